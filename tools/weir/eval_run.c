/* SPDX-License-Identifier: MIT */
/* A model over the tokens of eval's text, and the score that it gets. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"

double eval_nll(const struct eval_run *r)
{
	return r->score.predictions ? r->score.nll / (double)r->score.predictions : 0;
}

static int room_for_one(struct eval_score *s)
{
	size_t room = s->room ? 2 * s->room : 4096;
	double *more;

	if (s->predictions < s->room)
		return 0;
	more = room < SIZE_MAX / sizeof(*more) ? realloc(s->divergence, room * sizeof(*more)) : NULL;
	if (!more)
		return -ENOMEM;
	s->divergence = more;
	s->room = room;
	return 0;
}

/* Against token i of the block. */
static int compare(struct eval_run *r, size_t i, const float *logits, const struct softmax *q)
{
	const struct eval_block *b = r->block;
	const float *reference = b->logits + i * b->vocabulary;
	const struct softmax *p = &b->softmax[i];
	size_t next = (size_t)r->tokens[r->begin + i + 1];
	double shift = exp(-softmax_nll(q, logits, next)) - exp(-softmax_nll(p, reference, next));

	if (room_for_one(&r->score)) {
		fail("out of memory for %llu divergences", (unsigned long long)r->score.predictions);
		r->said = true;
		return -ENOMEM;
	}
	r->score.divergence[r->score.predictions] =
		softmax_divergence(p, reference, q, logits, b->vocabulary);
	r->score.same += logits[p->top] == q->max;
	r->score.shift += shift;
	r->score.squares += shift * shift;
	return 0;
}

static void keep(struct eval_block *b, size_t i, const float *logits, const struct softmax *s)
{
	memcpy(b->logits + i * b->vocabulary, logits, b->vocabulary * sizeof(*logits));
	b->softmax[i] = *s;
}

static int predict(struct eval_run *r, size_t i, const float *logits)
{
	struct softmax s;
	double loss;
	int ret = 0;

	softmax_of(logits, (size_t)r->engine.info.vocabulary, &s);
	loss = softmax_nll(&s, logits, (size_t)r->tokens[r->begin + i + 1]);
	if (!isfinite(loss)) {
		fail("%s: the logits after token %zu are not finite: its weights may be damaged",
			r->engine.path, r->begin + i);
		r->said = true;
		return -EDOM;
	}
	if (r->reference)
		keep(r->block, i, logits, &s);
	else if (r->block)
		ret = compare(r, i, logits, &s);
	if (ret)
		return ret;
	r->score.nll += loss;
	r->score.predictions++;
	return 0;
}

static int on_logits(void *user, size_t i, const float *logits)
{
	struct eval_run *r = user;

	if (interrupted())
		return -ECANCELED;
	if (dump_add(&r->dump, logits, (size_t)r->engine.info.vocabulary * sizeof(*logits))) {
		r->said = true;
		return -EIO;
	}
	/* What follows the end is another window's. */
	return r->begin + i + 1 < r->end ? predict(r, i, logits) : 0;
}

int eval_feed(struct eval_run *r, size_t from, size_t n)
{
	double start = now();
	int ret;

	r->begin = from;
	ret = weir_session_feed_each(r->engine.session, r->tokens + from, n, on_logits, r);
	r->score.seconds += now() - start;
	if (ret == -ECANCELED && interrupted())
		return fail("stopped");
	return ret < 0 && !r->said ? fail_weir() : ret < 0;
}

int eval_open(struct eval_run *r, const struct options *o, const char *model, const struct text *text)
{
	memset(r, 0, sizeof(*r));
	r->options = *o;
	r->options.model = model;
	if (engine_open_words(&r->engine, &r->options) ||
		text_tokens(r->engine.tokenizer, text->data, text->len, WEIR_TOKENIZE_BOS,
			&r->tokens, &r->n))
		return 1;
	if (o->tokens && o->tokens < r->n)
		r->n = (size_t)o->tokens;
	return r->n < 2 ? fail("%s has %zu tokens: there is nothing to predict", o->text, r->n) : 0;
}

int eval_plan(struct eval_run *r)
{
	const struct options *o = &r->options;
	int32_t context = r->engine.info.context;

	if (o->streaming)
		return engine_session(&r->engine, 0);
	r->size = o->ctx;
	if (!r->size)
		r->size = context > 0 && context < 2048 ? (uint64_t)context : 2048;
	if (r->size < 2)
		return fail("a window of 1 token has nothing to predict: --ctx takes 2 or more");
	if (r->size > r->n) {
		say("the text has %zu tokens: one window of that size, not of %llu", r->n,
			(unsigned long long)r->size);
		r->size = r->n;
	}
	r->windows = r->n / r->size;
	if (o->windows && o->windows < r->windows)
		r->windows = o->windows;
	return engine_session(&r->engine, r->size);
}

void eval_close(struct eval_run *r)
{
	json_object_put(r->buckets);
	dump_close(&r->dump, false);
	engine_close(&r->engine);
	free(r->score.divergence);
	free(r->tokens);
	memset(r, 0, sizeof(*r));
}
