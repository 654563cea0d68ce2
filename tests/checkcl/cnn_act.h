/* SPDX-License-Identifier: MIT */
/* What rows of int8 operators other than convolutions share: shapes, tensors with random values, networks of one op. */
#ifndef WEIR_CHECKCL_CNN_ACT_H
#define WEIR_CHECKCL_CNN_ACT_H

#include "cnn.h"
#include "cnn_act_ref.h"

struct act_shape {
	unsigned n;
	int32_t dim[WEIR_TFLITE_DIMS];
};
#define ACT_SHAPE(...) {sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t), {__VA_ARGS__}}

size_t act_count(const struct act_shape *s);
const char *act_text(const struct act_shape *s, char text[80]);

/* Scales over some powers of ten, zero points at the ends as often as between. */
struct cnn_q act_random_q(struct checkcl *c);
/* Bytes, or now and then nothing but an end of the range; malloced. */
int8_t *act_random_values(struct checkcl *c, size_t count);

/* An int8 tensor; data NULL: not a constant. */
int act_tensor(struct cnn_net *net, const struct act_shape *s, struct cnn_q q, const void *data);

/* A network of one op with one input; tensors without quantization are floats. */
struct act_net {
	struct cnn_net net;
	struct weir_tflite_op *op;
	int in, out;
};
void act_make(struct act_net *s, enum weir_tflite_code code, const struct act_shape *in, const struct cnn_q *in_q,
	const struct act_shape *out, const struct cnn_q *out_q);
/* Checks it, times it, and ends it. */
void act_check(struct checkcl *c, struct act_net *s, const char *params, const void *in, const void *want, float rel);

#endif
