/* SPDX-License-Identifier: MIT */
/* What eval prints: of one model a line, of several a table, or JSON. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"

/* Of a model's divergences from the reference. */
struct divergence {
	double mean, error, p99, max; /* error: the mean's standard error */
	double same;		      /* part of predictions with the same likeliest token */
	double shift, rms;	      /* mean and root mean square of p - p_reference */
};

static int in_order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The reference's own are all zero: it keeps none. */
static void divergence_of(struct eval_score *s, struct divergence *out)
{
	size_t n = (size_t)s->predictions;
	double squares = 0;

	memset(out, 0, sizeof(*out));
	out->same = 1;
	if (!s->divergence || !n)
		return;
	for (size_t i = 0; i < n; i++)
		out->mean += s->divergence[i] / (double)n;
	for (size_t i = 0; i < n; i++)
		squares += (s->divergence[i] - out->mean) * (s->divergence[i] - out->mean);
	out->error = n > 1 ? sqrt(squares / (double)(n - 1) / (double)n) : 0;
	qsort(s->divergence, n, sizeof(*s->divergence), in_order);
	out->p99 = s->divergence[n - 1 - n / 100];
	out->max = s->divergence[n - 1];
	out->same = (double)s->same / (double)n;
	out->shift = s->shift / (double)n;
	out->rms = sqrt(s->squares / (double)n);
}

static double speed(const struct eval_run *r)
{
	double seconds = r->score.seconds > 0 ? r->score.seconds : 1e-9;

	return (double)(r->score.predictions + r->windows) / seconds;
}

static double bits(const struct weir_model_info *info)
{
	return info->parameters ? 8.0 * (double)info->weight_bytes / (double)info->parameters : 0;
}

static void json_put_divergence(struct json_object *object, struct eval_score *s)
{
	struct divergence d;

	divergence_of(s, &d);
	json_put_real(object, "kl", d.mean);
	json_put_real(object, "kl_error", d.error);
	json_put_real(object, "kl_p99", d.p99);
	json_put_real(object, "kl_max", d.max);
	json_put_real(object, "same_top", d.same);
	json_put_real(object, "p_shift", d.shift);
	json_put_real(object, "p_rms", d.rms);
}

struct json_object *eval_json(struct eval_run *r)
{
	struct json_object *object = json_object_new_object();
	double mean = eval_nll(r);

	json_put_real(object, "perplexity", exp(mean));
	json_put_real(object, "nll", mean);
	json_put_int(object, "predictions", r->score.predictions);
	if (r->windows) {
		json_put_int(object, "windows", r->windows);
		json_put_int(object, "ctx", r->size);
	}
	if (r->options.kl)
		json_put_divergence(object, &r->score);
	json_put_real(object, "seconds", r->score.seconds);
	json_put_real(object, "tokens_per_second", speed(r));
	json_put_real(object, "bits_per_weight", bits(&r->engine.info));
	if (r->buckets)
		json_put(object, "buckets", json_object_get(r->buckets));
	json_put_model(object, &r->engine);
	if (engine_profile(&r->engine, object)) {
		json_object_put(object);
		return NULL;
	}
	return object;
}

int eval_report(struct eval_run *r)
{
	double mean = eval_nll(r);
	struct json_object *object;

	progress_end();
	if (r->options.json) {
		object = eval_json(r);
		return object ? out_json(object) : 1;
	}
	printf("perplexity %.4f, mean NLL %.4f nats over %llu predictions", exp(mean), mean,
		(unsigned long long)r->score.predictions);
	if (r->windows)
		printf(" in %llu windows of %llu tokens", (unsigned long long)r->windows,
			(unsigned long long)r->size);
	printf(" (%.1f tok/s)\n", speed(r));
	return engine_profile(&r->engine, NULL);
}

/* ---- the table ---- */

const char *eval_name(const char *path)
{
	const char *name = path;

	for (const char *at = path; *at; at++) {
		if (at[0] == '/' && at[1] && at[1] != '/')
			name = at + 1;
	}
	return name;
}

static void table_head(const struct eval_table *t)
{
	printf("%-*s %-8s %7s %11s %10s %11s %8s", t->width, "model", "type", "bits/w", "weights",
		"windows", "perplexity", "NLL");
	if (t->divergence)
		printf(" %9s %9s %8s %8s %7s %7s", "KL", "+-", "KL 99%", "KL max", "top-1", "dp");
	printf(" %8s\n", "tok/s");
}

static void print_divergence(struct eval_score *s)
{
	struct divergence d;

	divergence_of(s, &d);
	printf(" %9.6f %9.6f %8.5f %8.4f %6.2f%% %6.2f%%", d.mean, d.error, d.p99, d.max,
		100 * d.same, 100 * d.shift);
}

int eval_table_row(struct eval_table *t, struct eval_run *r)
{
	const struct weir_model_info *info = &r->engine.info;
	char windows[48], bytes[32];
	double mean = eval_nll(r);

	progress_end();
	if (!t->rows++)
		table_head(t);
	snprintf(windows, sizeof(windows), "%llux%llu", (unsigned long long)r->windows,
		(unsigned long long)r->size);
	printf("%-*s %-8s %7.3f %11s %10s %11.4f %8.5f", t->width,
		t->paths ? r->engine.path : eval_name(r->engine.path), info->type, bits(info),
		format_bytes(info->weight_bytes, bytes, sizeof(bytes)), windows, exp(mean), mean);
	if (t->divergence)
		print_divergence(&r->score);
	printf(" %8.1f\n", speed(r));
	return out_flush() || engine_profile(&r->engine, NULL);
}
