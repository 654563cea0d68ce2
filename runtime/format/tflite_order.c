/* SPDX-License-Identifier: MIT */
/* Checks a TFLite network's data flow: who writes each tensor, once, and before it is read. */
#include "format/tflite_parse.h"

/* Who writes a tensor: the operator's number, or one of these. */
enum { NOBODY = -1, FILE_ITSELF = -2, CALLER = -3, STATE = -4 };

struct writers {
	const struct weir_tflite *f;
	int *of; /* by tensor */
};

static int set_inputs(const struct writers *w)
{
	const struct weir_tflite *f = w->f;
	char who[WEIR_TFLITE_WHO];

	for (unsigned i = 0; i < f->n_tensors; i++)
		w->of[i] = f->tensors[i].data ? FILE_ITSELF : f->tensors[i].variable ? STATE : NOBODY;
	for (unsigned i = 0; i < f->n_inputs; i++) {
		const int32_t t = f->inputs[i];

		if (w->of[t] == FILE_ITSELF || w->of[t] == CALLER)
			return weir_fail(EINVAL, "%s is an input, but %s", weir_tflite_who(f, t, who),
				w->of[t] == CALLER ? "it is one twice" : "the file has its values");
		w->of[t] = CALLER;
	}
	return 0;
}

/* Operator op writes tensor t. */
static int set_output(const struct writers *w, unsigned op, int32_t t)
{
	char who[WEIR_TFLITE_WHO];

	weir_tflite_who(w->f, t, who);
	if (w->of[t] == FILE_ITSELF)
		return weir_fail(EINVAL, "it writes %s, whose values the file has", who);
	if (w->of[t] == CALLER)
		return weir_fail(EINVAL, "it writes %s, which is an input of the network", who);
	if (w->of[t] >= 0)
		return weir_fail(EINVAL, "it writes %s, which operator %d writes too", who, w->of[t]);
	w->of[t] = (int)op;
	return 0;
}

/* Operator op reads tensor t. */
static int check_input(const struct writers *w, unsigned op, int32_t t)
{
	char who[WEIR_TFLITE_WHO];
	int writer;

	if (t < 0) /* an optional input that is absent */
		return 0;
	writer = w->of[t];
	weir_tflite_who(w->f, t, who);
	if (writer == NOBODY)
		return weir_fail(EINVAL, "it reads %s, which no operator writes", who);
	/* A variable keeps its values from one run to the next. */
	if (writer == (int)op && !w->f->tensors[t].variable)
		return weir_fail(EINVAL, "it reads %s, which it writes itself", who);
	if (writer > (int)op && !w->f->tensors[t].variable)
		return weir_fail(EINVAL, "it reads %s, which operator %d writes only later", who, writer);
	return 0;
}

static int fail_op(const struct weir_tflite *f, unsigned op, int err)
{
	return weir_fail_in(err, "operator %u (%s)", op, weir_tflite_code_name(f->ops[op].code));
}

static int check(const struct writers *w)
{
	const struct weir_tflite *f = w->f;
	char who[WEIR_TFLITE_WHO];
	int err = set_inputs(w);

	if (err)
		return err;
	for (unsigned op = 0; op < f->n_ops; op++) {
		for (unsigned i = 0; i < f->ops[op].n_outputs && !err; i++)
			err = set_output(w, op, f->ops[op].outputs[i]);
		if (err)
			return fail_op(f, op, err);
	}
	for (unsigned op = 0; op < f->n_ops; op++) {
		for (unsigned i = 0; i < f->ops[op].n_inputs && !err; i++)
			err = check_input(w, op, f->ops[op].inputs[i]);
		if (err)
			return fail_op(f, op, err);
	}
	for (unsigned i = 0; i < f->n_outputs; i++) {
		if (w->of[f->outputs[i]] == NOBODY)
			return weir_fail(EINVAL, "%s is an output, but no operator writes it",
				weir_tflite_who(f, f->outputs[i], who));
	}
	return 0;
}

int weir_tflite_check_order(const struct weir_tflite *f)
{
	const struct writers w = {.f = f, .of = calloc(f->n_tensors, sizeof(*w.of))};
	int err;

	if (!w.of)
		return weir_fail(ENOMEM, "no memory for %u tensors", f->n_tensors);
	err = check(&w);
	free(w.of);
	return err;
}
