/* SPDX-License-Identifier: MIT */
/* weir quantize: what the command line asks for, progress, and the report. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tool.h"

/* As the words in options.c. */
static const unsigned bits_of[] = {8, 4, 3, 2};
static const unsigned group_of[] = {32, 64, 128, 0};

struct quantize {
	const struct options *options;
	const char *in, *out;
	struct weir_quantize_settings set;
	struct weir_quantize_report report;
	struct engine engine; /* its device alone */
	struct text text;
	char note[64];
	struct json_object *layers; /* NULL: no JSON is wanted */
};

/* ---- the command line ------------------------------------------------------------------------ */

static bool is_method(const struct quantize *q, enum weir_quantize_method method)
{
	return q->set.method == method;
}

static int check_method(struct quantize *q)
{
	const struct options *o = q->options;
	bool rtn = is_method(q, WEIR_QUANTIZE_RTN), awq = is_method(q, WEIR_QUANTIZE_AWQ);

	if (!rtn && !o->calib)
		return usage("quantize", "%s needs a calibration text: --calib FILE names it",
			weir_quantize_method_name(q->set.method));
	if (rtn && (o->calib || o->samples || o->length))
		return usage("quantize", "--calib, --samples and --length are for awq and smoothquant");
	if (!awq && (o->duo || o->no_clip))
		return usage("quantize", "--duo and --no-clip are for awq");
	if ((o->alpha || options_given(o, "alpha-down")) && !is_method(q, WEIR_QUANTIZE_SMOOTHQUANT))
		return usage("quantize", "--alpha and --alpha-down are for smoothquant");
	if (o->w8a8 && !rtn)
		return usage("quantize", "--w8a8 is for rtn: %s",
			awq ? "awq leaves activations alone" : "smoothquant always does it");
	return 0;
}

static int read_alpha(struct quantize *q)
{
	const char *text = q->options->alpha;
	char *end;

	if (!text)
		return 0;
	if (!strcmp(text, "auto")) {
		q->set.alpha = WEIR_QUANTIZE_ALPHA_AUTO;
		return 0;
	}
	q->set.alpha = strtod(text, &end);
	if (!*text || *end || !(q->set.alpha >= 0 && q->set.alpha <= 1))
		return usage("quantize", "--alpha \"%s\" is neither auto nor from 0 to 1", text);
	return 0;
}

static int read_sizes(struct quantize *q)
{
	const struct options *o = q->options;
	bool int8 = o->w8a8 || is_method(q, WEIR_QUANTIZE_SMOOTHQUANT);

	if (int8) {
		q->set.bits = 8;
		q->set.group = 0;
		q->set.token_int8 = true;
	}
	if (options_given(o, "bits"))
		q->set.bits = bits_of[o->bits];
	if (options_given(o, "group"))
		q->set.group = group_of[o->group];
	if (int8 && (q->set.bits != 8 || q->set.group))
		return usage("quantize", "int8 activations go with --bits 8 --group channel alone");
	if (o->samples)
		q->set.samples = (uint32_t)o->samples;
	if (o->length)
		q->set.length = (uint32_t)o->length;
	return 0;
}

static int read_options(struct quantize *q)
{
	const struct options *o = q->options;
	int status;

	if (o->n_args < 2)
		return usage("quantize", "it takes an input and an output: weir quantize IN OUT");
	q->in = o->args[0];
	q->out = o->args[1];
	weir_quantize_settings_default(&q->set);
	if (options_given(o, "method"))
		q->set.method = (enum weir_quantize_method)o->method;
	q->set.duo = o->duo;
	q->set.clip = !o->no_clip;
	q->set.overwrite = o->force;
	q->set.exhaustive = o->exhaustive;
	if (options_given(o, "alpha-down"))
		q->set.alpha_down = o->alpha_down;
	status = check_method(q);
	if (!status)
		status = read_alpha(q);
	return status ? status : read_sizes(q);
}

/* ---- on the way ------------------------------------------------------------------------------ */

static int on_progress(void *user, const char *what, uint64_t done, uint64_t total)
{
	struct quantize *q = user;

	return progress(*q->note ? q->note : NULL, what, done, total);
}

static struct json_object *json_choice(const struct quantize *q, const struct weir_quantize_choice *c)
{
	struct json_object *object = json_object_new_object();

	json_put_real(object, is_method(q, WEIR_QUANTIZE_AWQ) ? "ratio" : "alpha", c->exponent);
	json_put_int(object, "finished", c->finished);
	json_put_real(object, "first_loss", c->first_loss);
	json_put_real(object, "loss", c->loss);
	return object;
}

static const char *const scaling_names[WEIR_QUANTIZE_SCALINGS] = {
	[WEIR_QUANTIZE_ATTN_IN] = "attn_in",
	[WEIR_QUANTIZE_ATTN_OUT] = "attn_out",
	[WEIR_QUANTIZE_FFN_IN] = "ffn_in",
	[WEIR_QUANTIZE_FFN_OUT] = "ffn_out",
};

static void add_layer(struct quantize *q, const struct weir_quantize_layer *l)
{
	struct json_object *row = json_object_new_object();

	json_put_int(row, "layer", l->index);
	json_put(row, "resumed", json_object_new_boolean(l->resumed));
	json_put_real(row, "seconds", l->seconds);
	json_put_real(row, "statistics_seconds", l->statistics_seconds);
	json_put_real(row, "search_seconds", l->search_seconds);
	json_put_real(row, "clip_seconds", l->clip_seconds);
	json_put_real(row, "write_seconds", l->write_seconds);
	for (unsigned i = 0; i < WEIR_QUANTIZE_SCALINGS; i++)
		if (l->choice[i].finished)
			json_put(row, scaling_names[i], json_choice(q, &l->choice[i]));
	json_object_array_add(q->layers, row);
}

/* What was chosen, and what it left of the loss of the first that was tried. */
static void print_layer(const struct weir_quantize_layer *l)
{
	if (l->resumed)
		return;
	progress_end();
	printf("layer %2u of %u:", l->index + 1, l->count);
	for (unsigned i = 0; i < WEIR_QUANTIZE_SCALINGS; i++)
		if (l->choice[i].finished)
			printf(" %s %.2f (%u, %3.0f %%)", scaling_names[i], l->choice[i].exponent, l->choice[i].finished,
				l->choice[i].first_loss > 0 ? 100 * l->choice[i].loss / l->choice[i].first_loss : 100);
	printf("  %.1f s\n", l->seconds);
	fflush(stdout);
}

static int on_layer(void *user, const struct weir_quantize_layer *l)
{
	struct quantize *q = user;

	if (q->layers)
		add_layer(q, l);
	else if (!is_method(q, WEIR_QUANTIZE_RTN))
		print_layer(l);
	snprintf(q->note, sizeof(q->note), "%u of %u layers", l->index + 1, l->count);
	return interrupted();
}

/* ---- the end --------------------------------------------------------------------------------- */

static uint64_t peak_memory(void)
{
	struct rusage r;

	return getrusage(RUSAGE_SELF, &r) ? 0 : (uint64_t)r.ru_maxrss * 1024;
}

static void say_notes(const struct quantize *q)
{
	const struct weir_quantize_report *r = &q->report;

	if (r->samples && (r->samples < q->set.samples || r->length < q->set.length))
		say("the calibration text is short: %llu blocks of %llu tokens were used, not %u of %u",
			(unsigned long long)r->samples, (unsigned long long)r->length, q->set.samples,
			q->set.length);
	if (r->restarted)
		say("%s.partial was of another input, text or settings, or damaged: it was begun anew", q->out);
	if (r->resumed_layers)
		say("%u of %u layers were finished already", r->resumed_layers, r->layers);
}

static int report_text(struct quantize *q)
{
	char group[32] = "whole rows", memory[32];

	if (q->set.group)
		snprintf(group, sizeof(group), "groups of %u", q->set.group);
	printf("%s: %s, %u bits, %s; %u layers in %.1f s, at most %s of memory\n", q->out,
		weir_quantize_method_name(q->set.method), q->set.bits, group, q->report.layers,
		q->report.seconds, format_bytes(peak_memory(), memory, sizeof(memory)));
	return engine_profile(&q->engine, NULL);
}

static int report_json(struct quantize *q)
{
	const struct weir_quantize_report *r = &q->report;
	struct json_object *object = json_object_new_object(), *calib;

	json_put_text(object, "input", q->in);
	json_put_text(object, "output", q->out);
	json_put_text(object, "method", weir_quantize_method_name(q->set.method));
	json_put_int(object, "bits", q->set.bits);
	json_put_int(object, "group", q->set.group);
	json_put(object, "token_int8", json_object_new_boolean(q->set.token_int8));
	if (r->samples) {
		calib = json_object_new_object();
		json_put_text(calib, "file", q->options->calib);
		json_put_int(calib, "blocks", r->blocks);
		json_put_int(calib, "samples", r->samples);
		json_put_int(calib, "length", r->length);
		json_put(object, "calibration", calib);
	}
	json_put(object, "layers", json_object_get(q->layers));
	json_put_int(object, "resumed_layers", r->resumed_layers);
	json_put_real(object, "seconds", r->seconds);
	json_put_int(object, "device_bytes", r->device_bytes);
	json_put_int(object, "host_bytes", r->host_bytes);
	json_put_int(object, "peak_memory", peak_memory());
	json_put_device(object, &q->engine);
	if (engine_profile(&q->engine, object)) {
		json_object_put(object);
		return 1;
	}
	return out_json(object);
}

static int quantize_run(struct quantize *q)
{
	const struct options *o = q->options;
	int status = read_options(q), ret;

	if (status)
		return status;
	if (o->calib && text_read(&q->text, o->calib))
		return 1;
	q->set.text = o->calib ? (q->text.data ? q->text.data : "") : NULL;
	q->set.len = q->text.len;
	q->set.progress = on_progress;
	q->set.layer = on_layer;
	q->set.user = q;
	q->engine.options = o;
	if (o->json)
		q->layers = json_object_new_array();
	interrupt_catch();
	if (engine_device(o, o->device, &q->engine.device))
		return 1;
	ret = weir_quantize(q->engine.device, q->in, q->out, &q->set, &q->report);
	progress_end();
	say_notes(q);
	if (ret == -ECANCELED) {
		engine_profile(&q->engine, NULL);
		return fail("stopped; what is finished lies in %s.partial: the same command goes on from there",
			q->out);
	}
	if (ret == -EEXIST)
		return fail("%s: --force replaces it", weir_error());
	if (ret)
		return fail_weir();
	return o->json ? report_json(q) : report_text(q);
}

int cmd_quantize(const struct options *o)
{
	struct quantize q = {.options = o};
	int status = quantize_run(&q);

	json_object_put(q.layers);
	engine_close(&q.engine);
	text_free(&q.text);
	return status;
}
