/* SPDX-License-Identifier: MIT */
/*
 * Writes TFLite files for tests, in memory: tensors, operators, then inputs and outputs. Writes what it
 * is told, also nonsense; what it cannot be told is patched into the finished file, at places that it
 * tells. Aborts when memory is out. struct tflite_writer *w = tflite_writer_new(); int in =
 * tflite_writer_tensor(w, &(struct tflite_tensor){.name = "in", .type = WEIR_TFLITE_I8, .n_dims = 2, .dim
 * = {1, 10}, .n_scales = 1, .n_zeros = 1, .scale = (float[]){0.5f}, .zero = (int64_t[]){3}});
 *     tflite_writer_op(w, &(struct weir_tflite_op){.code = WEIR_TFLITE_RELU, .version = 1, .n_inputs = 1,
 *             .inputs = &in, .n_outputs = 1, .outputs = &out});
 *     tflite_writer_ends(w, 1, &in, 1, &out);
 *     data = tflite_writer_finish(w, &size);
 */
#ifndef WEIR_TESTS_TFLITE_WRITER_H
#define WEIR_TESTS_TFLITE_WRITER_H

#include "format/tflite.h"

struct tflite_tensor {
	const char *name; /* NULL: none */
	int type;
	unsigned n_dims;
	int32_t dim[8];
	/* Lists of n_scales and n_zeros; there is no quantization when both are 0. */
	unsigned n_scales, n_zeros;
	const float *scale;
	const int64_t *zero;
	int axis, details;
	const void *data; /* NULL: the file has no values */
	size_t size;	  /* of data, in bytes */
	bool behind;	  /* data lies behind the flatbuffer: Buffer.offset and size */
	bool variable, sparse;
	unsigned external;
};

struct tflite_writer;

struct tflite_writer *tflite_writer_new(void);	  /* free it with _free */
void tflite_writer_free(struct tflite_writer *w); /* takes NULL */

void tflite_writer_description(struct tflite_writer *w, const char *text);
/* Copied with all that it points at; its number. Its buffer has its number + 1, buffer 0 is the empty
 * one. */
int tflite_writer_tensor(struct tflite_writer *w, const struct tflite_tensor *t);
/* Copied with its inputs and outputs. Options are written for the codes that have any; each operator has
 * a code of its own. */
void tflite_writer_op(struct tflite_writer *w, const struct weir_tflite_op *op);
void tflite_writer_ends(struct tflite_writer *w, unsigned n_inputs, const int32_t *inputs,
	unsigned n_outputs, const int32_t *outputs);

/* The whole file, w's until the next call or change, for the caller to patch. Made anew by each call. */
unsigned char *tflite_writer_finish(struct tflite_writer *w, size_t *size);
int tflite_writer_save(struct tflite_writer *w, const char *path); /* 0 or -errno */

/* Tables of the finished file; the index is the tensor's, operator's, code's or buffer's. */
enum tflite_table {
	TFLITE_MODEL,
	TFLITE_GRAPH,
	TFLITE_CODE,
	TFLITE_TENSOR,
	TFLITE_QUANT,
	TFLITE_BUFFER,
	TFLITE_OP,
	TFLITE_OPTIONS,
};
/* The byte where a table begins, or where its field in a slot of the schema lies. Aborts where there is
 * none. */
size_t tflite_writer_table(const struct tflite_writer *w, enum tflite_table table, int index);
size_t tflite_writer_field(
	const struct tflite_writer *w, enum tflite_table table, int index, unsigned slot);
/* What the field, an offset, leads to: a vector's length, a table. */
size_t tflite_writer_target(
	const struct tflite_writer *w, enum tflite_table table, int index, unsigned slot);

/* A small valid file with an operator of every kind that has options, and tensors of every sort. */
struct tflite_writer *tflite_writer_sample(void);

#endif
