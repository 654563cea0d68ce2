/* SPDX-License-Identifier: MIT */
/*
 * weir eval: perplexity, in separate windows as AWQ measures it, or along one stream; of several models in a table, and
 * with what they lose against a reference.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"

#define BUCKET 1000 /* predictions that a line of a stream sums up */

struct eval {
	const struct options *options;
	struct text text;
	const char **models; /* (count) paths; with --kl the first is the reference */
	size_t count;
	char path[4096]; /* the one that -m or the defaults name */
	struct eval_table table;
	struct json_object *rows; /* --json, of several models */
};

static int eval_windows(struct eval_run *r)
{
	char note[32];

	for (uint64_t i = 0; i < r->windows; i++) {
		snprintf(note, sizeof(note), "perplexity %.3f", exp(eval_nll(r)));
		if (progress(i ? note : NULL, "windows", i, r->windows))
			return fail("stopped");
		weir_session_reset(r->engine.session);
		r->end = (size_t)((i + 1) * r->size);
		if (eval_feed(r, (size_t)(i * r->size), (size_t)r->size))
			return 1;
	}
	return 0;
}

/* A line, or an object, for the predictions behind the first `before`, whose sum of -ln p was nll. */
static int bucket_end(struct eval_run *r, uint64_t before, double nll)
{
	double mean = (r->score.nll - nll) / (double)(r->score.predictions - before);
	struct json_object *row;

	if (!r->options.json) {
		progress_end();
		printf("%8llu  perplexity %.4f  so far %.4f\n",
			(unsigned long long)r->score.predictions, exp(mean), exp(eval_nll(r)));
		return out_flush();
	}
	row = json_object_new_object();
	json_put_int(row, "predictions", r->score.predictions);
	json_put_real(row, "nll", mean);
	json_put_real(row, "perplexity", exp(mean));
	json_object_array_add(r->buckets, row);
	return 0;
}

static int eval_stream(struct eval_run *r)
{
	uint64_t before = 0;
	double nll = 0;
	char note[32];

	if (r->options.json)
		r->buckets = json_object_new_array();
	r->end = r->n;
	for (size_t i = 0; i + 1 < r->n; i++) {
		snprintf(note, sizeof(note), "perplexity %.3f", exp(eval_nll(r)));
		if (progress(i ? note : NULL, "stream", i, r->n))
			return fail("stopped");
		if (eval_feed(r, i, 1))
			return 1;
		if (r->score.predictions % BUCKET && i + 2 < r->n)
			continue;
		if (bucket_end(r, before, nll))
			return 1;
		before = r->score.predictions;
		nll = r->score.nll;
	}
	return 0;
}

static int report(struct eval *e, struct eval_run *r)
{
	struct json_object *row;

	if (e->count == 1)
		return eval_report(r);
	if (!e->rows)
		return eval_table_row(&e->table, r);
	row = eval_json(r);
	if (row)
		json_object_array_add(e->rows, row);
	return !row;
}

static int eval_one(struct eval *e, const char *model)
{
	const struct options *o = e->options;
	struct eval_run r;
	int status = eval_open(&r, o, model, &e->text) || eval_plan(&r);

	if (!status && o->dump_logits)
		status = dump_open(&r.dump, o->dump_logits);
	if (!status)
		status = o->streaming ? eval_stream(&r) : eval_windows(&r);
	if (!status)
		status = dump_close(&r.dump, true) || report(e, &r);
	eval_close(&r);
	return status;
}

/* The models are all open at a time: each block of the text's tokens goes through all of them. */
static int eval_against(struct eval *e)
{
	struct eval_run *runs = calloc(e->count, sizeof(*runs));
	int status = runs ? 0 : fail("out of memory for %zu models", e->count);

	for (size_t i = 0; i < e->count && !status; i++)
		status = eval_open(&runs[i], e->options, e->models[i], &e->text);
	if (!status)
		status = eval_lockstep(runs, e->count);
	for (size_t i = 0; i < e->count && !status; i++)
		status = report(e, &runs[i]);
	for (size_t i = 0; i < e->count && runs; i++)
		eval_close(&runs[i]);
	free(runs);
	return status;
}

/* Models go by the last parts of their paths, if these tell them apart. */
static void table_plan(struct eval *e)
{
	struct eval_table *t = &e->table;

	t->divergence = e->options->kl != NULL;
	for (size_t i = 0; i < e->count; i++) {
		for (size_t j = 0; j < i && !t->paths; j++)
			t->paths = !strcmp(eval_name(e->models[i]), eval_name(e->models[j]));
	}
	for (size_t i = 0; i < e->count; i++) {
		int len = (int)strlen(t->paths ? e->models[i] : eval_name(e->models[i]));

		t->width = len > t->width ? len : t->width;
	}
}

static int eval_models(struct eval *e)
{
	const struct options *o = e->options;
	struct json_object *object;

	if (e->count > 1)
		table_plan(e);
	if (e->count > 1 && o->json)
		e->rows = json_object_new_array();
	if (o->kl && eval_against(e))
		return 1;
	for (size_t i = 0; i < e->count && !o->kl; i++) {
		if (eval_one(e, e->models[i]))
			return 1;
	}
	if (!e->rows)
		return 0;
	object = json_object_new_object();
	json_put(object, "models", json_object_get(e->rows));
	return out_json(object);
}

/* --kl's, -m's, then those that are words; the default if there is none but --kl's. */
static int models_list(struct eval *e)
{
	const struct options *o = e->options;

	e->models = malloc((o->n_args + 2) * sizeof(*e->models));
	if (!e->models)
		return fail("out of memory for the names of %zu models", o->n_args);
	if (o->kl)
		e->models[e->count++] = o->kl;
	if (o->model || !o->n_args) {
		if (engine_language_path(o, e->path, sizeof(e->path)))
			return 1;
		e->models[e->count++] = e->path;
	}
	for (size_t i = 0; i < o->n_args; i++)
		e->models[e->count++] = o->args[i];
	return 0;
}

/* 0, or the exit status after saying what does not fit together. */
static int eval_check(const struct options *o)
{
	bool several = o->kl || o->n_args + (o->model != NULL) > 1;

	if (!o->text)
		return usage("eval", "there is no text: --text FILE names it");
	if (!o->streaming && (o->window || options_given(o, "sinks")))
		return usage("eval", "--window and --sinks are for --streaming");
	if (o->streaming && o->windows)
		return usage("eval", "--windows counts separate windows, and --streaming has none");
	if (several && (o->streaming || o->dump_logits || o->trace))
		return usage("eval", "--%s is for one model at a time",
			o->streaming	 ? "streaming"
			: o->dump_logits ? "dump-logits"
					 : "trace");
	return 0;
}

int cmd_eval(const struct options *o)
{
	struct eval e = {.options = o};
	int status = eval_check(o);

	if (!status)
		status = models_list(&e) || text_read(&e.text, o->text) || eval_models(&e);
	json_object_put(e.rows);
	text_free(&e.text);
	free(e.models);
	return status;
}
