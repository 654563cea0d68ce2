/* SPDX-License-Identifier: MIT */
/* What checks of float operators share: values, and TFLite's limits. */
#ifndef WEIR_CHECKCL_CNN_FLOAT_H
#define WEIR_CHECKCL_CNN_FLOAT_H

#include "cnn.h"

/* v under a fused activation. */
float cnn_limited(float v, int activation);

/* n malloced values of sizes that are far apart, so that sums in another order are seen. */
float *cnn_floats(struct checkcl *c, size_t n);

size_t cnn_product(unsigned n, const int32_t *dim);

/* cnn_float_flat.c: rows of the table in cnn_float.c. */
void cnn_check_connected(struct checkcl *c);
void cnn_check_mean(struct checkcl *c);
void cnn_check_softmax(struct checkcl *c);
void cnn_check_binary(struct checkcl *c);

#endif
