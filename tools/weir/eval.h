/* SPDX-License-Identifier: MIT */
/* What the files of weir eval share: the numbers of a vector of logits, a model's run over the text, and its report. */
#ifndef WEIR_TOOL_EVAL_H
#define WEIR_TOOL_EVAL_H

#include "tool.h"

/* ---- eval_logits.c: sums over a vocabulary ---- */

struct softmax {
	float max;    /* of the logits */
	size_t top;   /* the first that is as large */
	double total; /* of exp(logit - max) */
};
/* n logits, 1 at least. Terms are computed as floats, to 1.2e-7 of each, and added up in double. */
void softmax_of(const float *logits, size_t n, struct softmax *out);
/* -ln of the probability that they give to token. */
double softmax_nll(const struct softmax *s, const float *logits, size_t token);
/*
 * The Kullback-Leibler divergence of two distributions over n tokens, sum of p ln (p / q), in nats: p and q are softmax
 * of reference and logits. Exactly 0 for the same logits; rounding may take it to -1e-7.
 */
double softmax_divergence(const struct softmax *p, const float *reference, const struct softmax *q,
	const float *logits, size_t n);

/* ---- eval_run.c: a model over the text's tokens ---- */

struct eval_score {
	double nll; /* sum over predictions */
	uint64_t predictions;
	double seconds;

	/* Against a reference: */
	double *divergence; /* of each prediction; malloced */
	size_t room;	    /* for so many */
	uint64_t same;	    /* predictions whose likeliest token is the reference's */
	double shift, squares; /* sums of p - p_reference of the text's own token, and of its square */
};

/* The reference's logits of as many tokens as the models are fed at a time, in lockstep with it. */
struct eval_block {
	size_t size;	  /* tokens */
	size_t vocabulary;
	float *logits;	  /* (size, vocabulary) */
	struct softmax *softmax; /* (size) */
};

struct eval_run {
	struct options options; /* the command's, with this model's file */
	struct engine engine;
	int32_t *tokens;
	size_t n;	   /* of them */
	uint64_t windows, size; /* size 0: a stream */
	size_t begin;	   /* the first token that is fed now, */
	size_t end;	   /* and where what it may predict ends: the window, or the block of a stream */
	struct dump dump;  /* --dump-logits */
	struct eval_score score;
	struct json_object *buckets; /* of a stream */
	struct eval_block *block; /* with --kl: the reference fills it, the others compare theirs with it */
	bool reference, said;
};

/* Model and tokens. All return 0, or 1 after saying why not. */
int eval_open(struct eval_run *r, const struct options *o, const char *model, const struct text *text);
/* Settles size and windows, and makes the session. */
int eval_plan(struct eval_run *r);
/* n tokens from token `from` on, behind what was fed before. */
int eval_feed(struct eval_run *r, size_t from, size_t n);
double eval_nll(const struct eval_run *r);
void eval_close(struct eval_run *r);

/* ---- eval_kl.c ---- */

/* All windows over count models in lockstep; runs[0] is the reference. 0, or 1 after saying why not. */
int eval_lockstep(struct eval_run *runs, size_t count);

/* ---- eval_report.c ---- */

/* What a model's run found: a line, or a JSON object; and --profile. */
int eval_report(struct eval_run *r);
/* The same as an object, the caller's; NULL after saying why not. */
struct json_object *eval_json(struct eval_run *r);
/* The last part of a path, by which a table calls a model. */
const char *eval_name(const char *path);

struct eval_table {
	int width;	 /* of the first column */
	bool paths;	 /* models go by their whole paths */
	bool divergence; /* against a reference, the first row */
	size_t rows;	 /* so far */
};
/* A row, and the head before the first. 0, or 1 after saying why not. */
int eval_table_row(struct eval_table *t, struct eval_run *r);

#endif
