/* SPDX-License-Identifier: MIT */
/* What the parts of the TFLite reader share: the file being read, and its parts. */
#ifndef WEIR_FORMAT_TFLITE_PARSE_H
#define WEIR_FORMAT_TFLITE_PARSE_H

#include "format/tflite.h"
#include "format/tflite_flat.h"

#define WEIR_TFLITE_CUSTOM 32

struct weir_tflite_file {
	struct weir_tflite pub; /* first: the pointer that users have is this one */
	struct weir_tflite_tensor *tensors;
	struct weir_tflite_op
		*ops;	    /* inputs, with outputs behind them, are malloced, one block an operator */
	int32_t *ends;	    /* the network's inputs, then its outputs */
	const void *mapped; /* the caller's bytes if NULL */
};

struct weir_tflite_reader {
	struct weir_flat flat;
	struct weir_tflite_file *file;
	struct weir_flat_vector codes, buffers, tensors, ops; /* of tables */
	struct weir_flat_vector inputs, outputs;	      /* of int32 */
};

/* Fills the file's description from data. 0 or -errno and a sentence without the path. */
int weir_tflite_read(struct weir_tflite_file *f, const void *data, size_t size);

/* tflite_tensor.c: tensor i from its table, to a zeroed description. */
int weir_tflite_read_tensor(
	struct weir_tflite_reader *r, const struct weir_flat_table *t, struct weir_tflite_tensor *out);
/* tflite_op.c: an operator; its code, its tensors, its options. */
int weir_tflite_read_op(
	struct weir_tflite_reader *r, const struct weir_flat_table *t, struct weir_tflite_op *out);
/* tflite_order.c: who writes which tensor, and that it is written before it is read. */
int weir_tflite_check_order(const struct weir_tflite *f);

/* Copies a vector of tensors' numbers, each in range (or -1 where absent ones are allowed). */
int weir_tflite_read_numbers(struct weir_tflite_reader *r, const struct weir_flat_vector *v,
	const char *what, bool absent, int32_t *out);

/* For sentences: "tensor 7 (conv/weights)", in a buffer of the caller's. */
#define WEIR_TFLITE_WHO 96
const char *weir_tflite_who(const struct weir_tflite *f, int tensor, char who[WEIR_TFLITE_WHO]);

#endif
