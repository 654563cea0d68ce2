/* SPDX-License-Identifier: MIT */
/* Touches everything that an open TFLite file offers, for tests with damaged files under sanitizers. */
#ifndef WEIR_TESTS_TFLITE_WALK_H
#define WEIR_TESTS_TFLITE_WALK_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/tflite.h"

static inline void tflite_walk_must(bool holds)
{
	if (!holds)
		abort();
}

static inline uint64_t tflite_walk_tensor(const struct weir_tflite_tensor *t)
{
	uint64_t sum = strlen(t->name) + strlen(weir_tflite_type_name(t->type));
	size_t count = 1;

	tflite_walk_must(t->n_dims <= WEIR_TFLITE_DIMS && strlen(t->name) < sizeof(t->name));
	for (unsigned d = 0; d < t->n_dims; d++) {
		tflite_walk_must(t->dim[d] >= 1);
		count *= (size_t)t->dim[d];
	}
	tflite_walk_must(count == t->count && t->bytes == count * weir_tflite_type_size(t->type));
	tflite_walk_must(t->n_scales <= 1 || (unsigned)t->dim[t->axis] == t->n_scales);
	for (unsigned i = 0; i < t->n_scales; i++) {
		const float scale = weir_tflite_scale(t, i);

		tflite_walk_must(isfinite(scale) && (scale >= 0 || t->data));
		sum += (unsigned)weir_tflite_zero(t, i);
	}
	for (size_t i = 0; t->data && i < t->bytes; i++)
		sum += t->data[i];
	if (t->data && (t->type == WEIR_TFLITE_I32 || t->type == WEIR_TFLITE_I64))
		sum += (unsigned)weir_tflite_int(t, t->count - 1);
	return sum;
}

static inline bool tflite_walk_number(const struct weir_tflite *f, int32_t tensor)
{
	return tensor >= 0 && (uint32_t)tensor < f->n_tensors;
}

/* Marks in written what the operator writes. */
static inline uint64_t tflite_walk_op(
	const struct weir_tflite *f, const struct weir_tflite_op *op, bool *written)
{
	uint64_t sum = strlen(weir_tflite_code_name(op->code)) + (unsigned)op->version;

	tflite_walk_must(op->code >= 0 && strlen(op->custom) < sizeof(op->custom));
	tflite_walk_must(op->n_new_shape <= WEIR_TFLITE_DIMS && op->n_squeeze_dims <= WEIR_TFLITE_DIMS);
	tflite_walk_must(op->padding == WEIR_TFLITE_SAME || op->padding == WEIR_TFLITE_VALID);
	for (unsigned i = 0; i < op->n_inputs; i++) {
		const int32_t t = op->inputs[i];

		if (t == -1)
			continue;
		tflite_walk_must(tflite_walk_number(f, t));
		tflite_walk_must(written[t] || f->tensors[t].variable);
	}
	for (unsigned i = 0; i < op->n_outputs; i++) {
		const int32_t t = op->outputs[i];

		tflite_walk_must(tflite_walk_number(f, t) && !written[t]);
		written[t] = true;
	}
	return sum;
}

/* A sum of what was read, so that no compiler leaves the reading out. Aborts where the description breaks
 * its word. */
static inline uint64_t tflite_walk(const struct weir_tflite *f)
{
	bool *written = calloc(f->n_tensors, sizeof(*written));
	uint64_t sum = f->bytes + strlen(f->path) + strlen(f->description);

	tflite_walk_must(written && f->n_ops && f->n_inputs && f->n_outputs);
	for (unsigned i = 0; i < f->n_tensors; i++) {
		sum += tflite_walk_tensor(&f->tensors[i]);
		written[i] = f->tensors[i].data;
	}
	for (unsigned i = 0; i < f->n_inputs; i++) {
		tflite_walk_must(tflite_walk_number(f, f->inputs[i]) && !written[f->inputs[i]]);
		written[f->inputs[i]] = true;
	}
	for (unsigned i = 0; i < f->n_ops; i++)
		sum += tflite_walk_op(f, &f->ops[i], written);
	for (unsigned i = 0; i < f->n_outputs; i++) {
		tflite_walk_must(tflite_walk_number(f, f->outputs[i]));
		tflite_walk_must(written[f->outputs[i]] || f->tensors[f->outputs[i]].variable);
	}
	free(written);
	return sum;
}

/* Parses bytes in a block of their own size, so that a sanitizer sees each read past their end. */
static inline int tflite_parse_copy(
	const unsigned char *data, size_t size, struct weir_tflite **f, void **copy)
{
	*copy = malloc(size ? size : 1);
	tflite_walk_must(*copy);
	memcpy(*copy, data, size);
	return weir_tflite_parse(*copy, size, "bad.tflite", f);
}

#endif
