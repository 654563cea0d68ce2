/* SPDX-License-Identifier: MIT */
/* References of int8 operators other than convolutions, value by value, as TFLite's int8 specification defines them. */
#ifndef WEIR_CHECKCL_CNN_ACT_REF_H
#define WEIR_CHECKCL_CNN_ACT_REF_H

#include <stdint.h>

/* A value is (q - zero) * scale. */
struct cnn_q {
	float scale;
	int zero;
};

/* One value of ADD (sign 1) or SUB (sign -1), and of MUL; lo and hi are the output's limits. */
int ref_add(int a, struct cnn_q qa, int b, struct cnn_q qb, int sign, struct cnn_q out, int lo, int hi);
int ref_mul(int a, struct cnn_q qa, int b, struct cnn_q qb, struct cnn_q out, int lo, int hi);

/* Limits of an output under the schema's activation. */
void ref_limits(int activation, struct cnn_q out, int *lo, int *hi);

int ref_logistic(int x, struct cnn_q in, struct cnn_q out);
int ref_hard_swish(int x, struct cnn_q in, struct cnn_q out);
int ref_relu(int x, struct cnn_q in, struct cnn_q out, float top); /* INFINITY: RELU */
int ref_requantize(int x, struct cnn_q in, struct cnn_q out);
int ref_quantize(float x, struct cnn_q out);

/* sum / count, halves away from zero. */
int ref_average(int64_t sum, int count);
/* The mean of count values with this sum. */
int ref_mean(int64_t sum, int64_t count, struct cnn_q in, struct cnn_q out);
void ref_softmax(const int8_t *in, int8_t *out, int depth, float beta, float scale);

float ref_unary_f32(int code, float x); /* by the operator's code in the schema */

#endif
