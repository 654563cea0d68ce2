/* SPDX-License-Identifier: MIT */
/* Device, model and session as the options want them, and what is said about them. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "tool.h"

static const char default_model[] = "SmolLM2-135M-Instruct.Q4_1.gguf";

int engine_model_path(const struct options *o, char *path, size_t size)
{
	const char *home = getenv("HOME"), *data = getenv("XDG_DATA_HOME"),
		   *named = getenv("WEIR_MODEL");
	int len;

	if (o->model)
		named = o->model;
	if (named && *named)
		len = snprintf(path, size, "%s", named);
	else if (data && *data == '/') /* the XDG rules: a relative path is ignored */
		len = snprintf(path, size, "%s/weir/%s", data, default_model);
	else
		len = snprintf(
			path, size, "%s/.local/share/weir/%s", home ? home : "", default_model);
	if (len < 0 || (size_t)len >= size)
		return fail("the name of the model file is too long");
	if (!(named && *named) && access(path, F_OK))
		return fail("there is no model at %s: name one with -m FILE, or get the default "
			    "one with "
			    "tools/fetch-model (or `make run`)",
			path);
	return 0;
}

int engine_language_path(const struct options *o, char *path, size_t size)
{
	if (engine_model_path(o, path, size))
		return 1;
	if (network_is(path))
		return fail("%s is a network for pictures: weir classify runs it", path);
	return 0;
}

int engine_device(const struct options *o, const char *device, weir_device **out)
{
	struct weir_device_settings settings;

	weir_device_settings_default(&settings);
	settings.device = device;
	settings.threads = (unsigned)o->threads;
	settings.provider = (enum weir_provider)o->provider;
	settings.tier = o->tier;
	settings.schedule = o->schedule;
	settings.plan = o->plan;
	settings.profile = o->profile || o->trace;
	return weir_device_open(out, &settings) < 0 ? fail_weir() : 0;
}

int engine_open(struct engine *e, const struct options *o)
{
	struct weir_model_settings settings;
	double start = now();
	int ret;

	memset(e, 0, sizeof(*e));
	e->options = o;
	if (engine_language_path(o, e->path, sizeof(e->path)))
		return 1;
	if (access(e->path, R_OK))
		return fail("cannot read %s: %s", e->path, strerror(errno));
	interrupt_catch();
	if (o->save)
		signal(SIGPIPE, SIG_IGN); /* still to be saved when the reader has gone */
	if (engine_device(o, o->device, &e->device))
		return 1;
	weir_model_settings_default(&settings);
	settings.progress = progress;
	ret = weir_model_load(&e->model, e->device, e->path, &settings);
	progress_end();
	if (ret < 0)
		return fail_weir();
	e->tokenizer = weir_model_tokenizer(e->model);
	weir_model_describe(e->model, &e->info);
	e->load_seconds = now() - start;
	return 0;
}

int engine_open_words(struct engine *e, const struct options *o)
{
	if (engine_open(e, o))
		return 1;
	if (e->tokenizer)
		return 0;
	return fail("%s has no vocabulary: there are weights for weir bench, and no words for text",
		e->path);
}

int engine_session(struct engine *e, uint64_t ctx)
{
	const struct options *o = e->options;
	struct weir_session_settings settings;

	weir_session_settings_default(&settings);
	if (ctx || o->ctx)
		settings.ctx = (uint32_t)(ctx ? ctx : o->ctx);
	if (o->batch)
		settings.batch = (uint32_t)o->batch;
	settings.window = (uint32_t)o->window;
	/* Four sinks are what StreamingLLM found enough (arXiv 2309.17453, table 2). */
	if (o->window)
		settings.sinks = options_given(o, "sinks") ? (uint32_t)o->sinks : 4;
	settings.kv = (enum weir_kv)o->kv;
	return weir_session_create(&e->session, e->model, &settings) < 0 ? fail_weir() : 0;
}

int engine_sampling(struct engine *e)
{
	const struct options *o = e->options;
	struct weir_sampling sampling;

	weir_sampling_default(&sampling);
	if (options_given(o, "temp"))
		sampling.temperature = (float)o->temp;
	if (options_given(o, "top-k"))
		sampling.top_k = (int32_t)o->top_k;
	if (options_given(o, "top-p"))
		sampling.top_p = (float)o->top_p;
	if (options_given(o, "min-p"))
		sampling.min_p = (float)o->min_p;
	if (options_given(o, "repeat-penalty"))
		sampling.repeat_penalty = (float)o->repeat_penalty;
	if (options_given(o, "seed")) {
		sampling.seed = o->seed;
	} else {
		uint32_t drawn; /* short enough to be typed again */

		if (getrandom(&drawn, sizeof(drawn), 0) == sizeof(drawn))
			sampling.seed = drawn;
	}
	e->seed = sampling.seed;
	return weir_session_sampling(e->session, &sampling) < 0 ? fail_weir() : 0;
}

int engine_chat_format(struct engine *e, enum weir_chat_format *format)
{
	const char *name = e->options->chat_format;
	int ret = name ? weir_chat_format_by_name(name) : weir_chat_format_of(e->tokenizer);

	if (ret < 0)
		return fail_weir();
	*format = (enum weir_chat_format)ret;
	return 0;
}

int engine_load(struct engine *e)
{
	static const char *const sampling[] = {
		"temp", "top-k", "top-p", "min-p", "repeat-penalty", "seed"};

	if (!e->options->load)
		return 0;
	if (weir_session_load(e->session, e->options->load) < 0)
		return fail_weir();
	for (size_t i = 0; i < sizeof(sampling) / sizeof(sampling[0]); i++) {
		if (options_given(e->options, sampling[i]))
			return engine_sampling(e);
	}
	return 0;
}

int engine_save(struct engine *e)
{
	if (!e->options->save)
		return 0;
	return weir_session_save(e->session, e->options->save) < 0 ? fail_weir() : 0;
}

int engine_feed(struct engine *e, const int32_t *tokens, size_t n)
{
	int ret = weir_session_feed(e->session, tokens, n, progress, NULL);

	progress_end();
	return ret < 0 ? fail_weir() : 0;
}

static void print_profile(const struct weir_profile_row *rows, int n, uint64_t copied)
{
	char bytes[32];

	fprintf(stderr, "%-32s %9s %11s %9s %9s\n", "operation", "calls", "ms", "GB/s", "Gop/s");
	for (int i = 0; i < n; i++) {
		const struct weir_profile_row *r = &rows[i];
		double s = r->seconds > 0 ? r->seconds * 1e9 : 1;

		fprintf(stderr, "%-32s %9llu %11.3f %9.2f %9.2f\n", r->op,
			(unsigned long long)r->calls, r->seconds * 1e3, r->bytes / s, r->ops / s);
	}
	fprintf(stderr, "copied between CPU and device: %s\n",
		format_bytes(copied, bytes, sizeof(bytes)));
}

static void json_put_profile(
	struct json_object *object, const struct weir_profile_row *rows, int n, uint64_t copied)
{
	struct json_object *list = json_object_new_array();

	for (int i = 0; i < n; i++) {
		struct json_object *row = json_object_new_object();

		json_put_text(row, "operation", rows[i].op);
		json_put_int(row, "calls", rows[i].calls);
		json_put_real(row, "seconds", rows[i].seconds);
		json_put_real(row, "bytes", rows[i].bytes);
		json_put_real(row, "ops", rows[i].ops);
		json_object_array_add(list, row);
	}
	json_put(object, "profile", list);
	json_put_int(object, "copied_bytes", copied);
}

int engine_profile(struct engine *e, struct json_object *object)
{
	struct weir_profile_row rows[128];
	const struct options *o = e->options;
	int n;

	if (o->profile) {
		n = weir_profile_rows(e->device, rows, 128);
		if (n < 0)
			return fail_weir();
		n = n < 128 ? n : 128;
		if (object)
			json_put_profile(object, rows, n, weir_profile_copied(e->device));
		else
			print_profile(rows, n, weir_profile_copied(e->device));
	}
	if (o->trace && weir_profile_trace(e->device, o->trace) < 0)
		return fail_weir();
	return 0;
}

void engine_close(struct engine *e)
{
	weir_session_destroy(e->session);
	weir_model_close(e->model);
	weir_net_destroy(e->net);
	weir_device_close(e->device);
	memset(e, 0, sizeof(*e));
}

void json_put_device(struct json_object *object, const struct engine *e)
{
	json_put_text(object, "device", weir_device_name(e->device));
	json_put_text(object, "tier", weir_device_tier(e->device));
	json_put_text(object, "schedule", weir_device_schedule(e->device));
	json_put_text(object, "provider", weir_device_provider_name(e->device));
	json_put_int(object, "threads", weir_device_threads(e->device));
}

void json_put_model(struct json_object *object, const struct engine *e)
{
	struct json_object *model = json_object_new_object();

	json_put_text(model, "file", e->path);
	json_put_text(model, "name", e->info.name);
	json_put_text(model, "architecture", e->info.architecture);
	json_put_text(model, "type", e->info.type);
	json_put_int(model, "parameters", e->info.parameters);
	json_put_int(model, "file_bytes", e->info.file_bytes);
	json_put_int(model, "weight_bytes", e->info.weight_bytes);
	json_put(object, "model", model);
	json_put_device(object, e);
}

void say_full(const struct engine *e, const char *also)
{
	struct weir_session_stats stats;

	weir_session_stats(e->session, &stats);
	say("the context of %u tokens is full: --ctx N makes it larger, --window N goes on in "
	    "constant "
	    "memory%s",
		stats.ctx, also);
}

void say_stats(const struct engine *e, double first_token)
{
	struct weir_session_stats s;

	weir_session_stats(e->session, &s);
	progress_end();
	fprintf(stderr, "prompt: %llu tokens", (unsigned long long)s.prompt_tokens);
	if (s.prompt_seconds > 0)
		fprintf(stderr, " in %.2f s, %.1f tok/s", s.prompt_seconds,
			(double)s.prompt_tokens / s.prompt_seconds);
	fprintf(stderr, "; generated: %llu tokens", (unsigned long long)s.generated_tokens);
	if (s.generate_seconds > 0)
		fprintf(stderr, " in %.2f s, %.1f tok/s", s.generate_seconds,
			(double)s.generated_tokens / s.generate_seconds);
	if (first_token > 0)
		fprintf(stderr, "; first token after %.2f s", first_token);
	fprintf(stderr, "; seed %llu\n", (unsigned long long)e->seed);
}
