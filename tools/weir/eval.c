/* SPDX-License-Identifier: MIT */
/* weir eval: perplexity, in separate windows as AWQ measures it, or along one stream. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tool.h"

#define BUCKET 1000 /* predictions that a line of a stream sums up */

struct eval {
	const struct options *options;
	struct engine engine;
	struct text text;
	int32_t *tokens;
	size_t n;	   /* of them */
	size_t begin, end; /* of the window; of the stream's block */
	FILE *logits;	   /* --dump-logits */
	double sum;	   /* of -ln p over the predictions so far */
	uint64_t predictions;
	double bucket; /* the same in the stream's bucket */
	struct json_object *buckets;
	double seconds;
};

/* -ln of the probability that the logits give to token; summed in double, as a vocabulary is long.
 */
static double nll(const float *logits, size_t vocabulary, int32_t token)
{
	float max = logits[0];
	double sum = 0;

	for (size_t i = 1; i < vocabulary; i++)
		max = logits[i] > max ? logits[i] : max;
	for (size_t i = 0; i < vocabulary; i++)
		sum += (double)expf(logits[i] - max);
	return log(sum) + (double)max - (double)logits[token];
}

static int on_logits(void *user, size_t i, const float *logits)
{
	struct eval *e = user;
	size_t vocabulary = (size_t)e->engine.info.vocabulary;
	size_t next = e->begin + i + 1;
	double loss;

	if (interrupted())
		return -ECANCELED;
	if (e->logits && fwrite(logits, sizeof(*logits), vocabulary, e->logits) != vocabulary)
		return -EIO;
	if (next >= e->end)
		return 0; /* what follows is another window's */
	loss = nll(logits, vocabulary, e->tokens[next]);
	e->sum += loss;
	e->bucket += loss;
	e->predictions++;
	return 0;
}

static int eval_feed(struct eval *e, size_t from, size_t n)
{
	double start = now();
	int ret = weir_session_feed_each(e->engine.session, e->tokens + from, n, on_logits, e);

	e->seconds += now() - start;
	if (ret == -ECANCELED && interrupted())
		return fail("stopped");
	if (e->logits && ferror(e->logits))
		return fail("cannot write %s: %s", e->options->dump_logits, strerror(errno));
	return ret < 0 ? fail_weir() : 0;
}

static double eval_nll(const struct eval *e)
{
	return e->predictions ? e->sum / (double)e->predictions : 0;
}

static int eval_report(struct eval *e, uint64_t windows, uint64_t size)
{
	const struct options *o = e->options;
	double mean = eval_nll(e);
	struct json_object *object;

	progress_end();
	if (!o->json) {
		printf("perplexity %.4f, mean NLL %.4f nats over %llu predictions", exp(mean), mean,
			(unsigned long long)e->predictions);
		if (windows)
			printf(" in %llu windows of %llu tokens", (unsigned long long)windows,
				(unsigned long long)size);
		printf(" (%.1f tok/s)\n",
			(double)(e->predictions + windows) / (e->seconds > 0 ? e->seconds : 1e-9));
		return engine_profile(&e->engine, NULL);
	}
	object = json_object_new_object();
	json_put_real(object, "perplexity", exp(mean));
	json_put_real(object, "nll", mean);
	json_put_int(object, "predictions", e->predictions);
	if (windows) {
		json_put_int(object, "windows", windows);
		json_put_int(object, "ctx", size);
	}
	json_put_real(object, "seconds", e->seconds);
	if (e->buckets)
		json_put(object, "buckets", json_object_get(e->buckets));
	json_put_model(object, &e->engine);
	if (engine_profile(&e->engine, object)) {
		json_object_put(object);
		return 1;
	}
	return out_json(object);
}

static int eval_windows(struct eval *e)
{
	const struct options *o = e->options;
	uint64_t size = o->ctx, windows;
	char note[32];

	if (!size)
		size = e->engine.info.context > 0 && e->engine.info.context < 2048
			       ? (uint64_t)e->engine.info.context
			       : 2048;
	if (size < 2)
		return fail("a window of 1 token has nothing to predict: --ctx takes 2 or more");
	if (size > e->n) {
		say("the text has %zu tokens: one window of that size, not of %llu", e->n,
			(unsigned long long)size);
		size = e->n;
	}
	windows = e->n / size;
	if (o->windows && o->windows < windows)
		windows = o->windows;
	if (engine_session(&e->engine, size))
		return 1;
	for (uint64_t i = 0; i < windows; i++) {
		snprintf(note, sizeof(note), "perplexity %.3f", exp(eval_nll(e)));
		if (progress(i ? note : NULL, "windows", i, windows))
			return fail("stopped");
		weir_session_reset(e->engine.session);
		e->begin = (size_t)(i * size);
		e->end = e->begin + (size_t)size;
		if (eval_feed(e, e->begin, (size_t)size))
			return 1;
	}
	return eval_report(e, windows, size);
}

/* A line, or an object, for the n predictions since the last one. */
static int bucket_end(struct eval *e, uint64_t n)
{
	double mean = e->bucket / (double)n;
	struct json_object *row;

	e->bucket = 0;
	if (!e->options->json) {
		progress_end();
		printf("%8llu  perplexity %.4f  so far %.4f\n", (unsigned long long)e->predictions,
			exp(mean), exp(eval_nll(e)));
		return out_flush();
	}
	row = json_object_new_object();
	json_put_int(row, "predictions", e->predictions);
	json_put_real(row, "nll", mean);
	json_put_real(row, "perplexity", exp(mean));
	json_object_array_add(e->buckets, row);
	return 0;
}

static int eval_stream(struct eval *e)
{
	char note[32];

	if (e->options->json)
		e->buckets = json_object_new_array();
	if (engine_session(&e->engine, 0))
		return 1;
	e->end = e->n;
	for (size_t i = 0; i + 1 < e->n; i++) {
		snprintf(note, sizeof(note), "perplexity %.3f", exp(eval_nll(e)));
		if (progress(i ? note : NULL, "stream", i, e->n))
			return fail("stopped");
		e->begin = i;
		if (eval_feed(e, i, 1))
			return 1;
		if (e->predictions % BUCKET == 0 && bucket_end(e, BUCKET))
			return 1;
	}
	if (e->predictions % BUCKET && bucket_end(e, e->predictions % BUCKET))
		return 1;
	return eval_report(e, 0, 0);
}

static int eval_tokens(struct eval *e)
{
	const struct options *o = e->options;

	if (text_tokens(e->engine.tokenizer, e->text.data, e->text.len, WEIR_TOKENIZE_BOS,
		    &e->tokens, &e->n))
		return 1;
	if (o->tokens && o->tokens < e->n)
		e->n = (size_t)o->tokens;
	return e->n < 2 ? fail("%s has %zu tokens: there is nothing to predict", o->text, e->n) : 0;
}

static int eval_dump_end(struct eval *e, int status)
{
	const char *path = e->options->dump_logits;
	struct stat file;
	bool regular;

	if (!e->logits)
		return status;
	regular = !fstat(fileno(e->logits), &file) && S_ISREG(file.st_mode);
	if (fclose(e->logits) && !status)
		status = fail("cannot write %s: %s", path, strerror(errno));
	if (status && regular)
		remove(path); /* half of it would pass for all of it; a device stays */
	return status;
}

static int eval_run(struct eval *e)
{
	const struct options *o = e->options;
	int status;

	if (!o->text)
		return usage("eval", "there is no text: --text FILE names it");
	if (o->n_args)
		return usage("eval", "there is one word too many: \"%s\"", o->args[0]);
	if (!o->streaming && (o->window || options_given(o, "sinks")))
		return usage("eval", "--window and --sinks are for --streaming");
	if (o->streaming && o->windows)
		return usage("eval", "--windows counts separate windows, and --streaming has none");
	if (text_read(&e->text, o->text) || engine_open(&e->engine, o) || eval_tokens(e))
		return 1;
	if (o->dump_logits) {
		e->logits = fopen(o->dump_logits, "wb");
		if (!e->logits)
			return fail("cannot write %s: %s", o->dump_logits, strerror(errno));
	}
	status = o->streaming ? eval_stream(e) : eval_windows(e);
	return eval_dump_end(e, status);
}

int cmd_eval(const struct options *o)
{
	struct eval e = {.options = o};
	int status = eval_run(&e);

	json_object_put(e.buckets);
	engine_close(&e.engine);
	text_free(&e.text);
	free(e.tokens);
	return status;
}
