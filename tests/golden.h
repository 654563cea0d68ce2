/* SPDX-License-Identifier: MIT */
/* Reader of tests/golden (formats: README.md there): LiteRT's results, and the inputs that they belong to. */
#ifndef WEIR_TESTS_GOLDEN_H
#define WEIR_TESTS_GOLDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GOLDEN_OPS "tests/golden/ops.pack"
#define GOLDEN_MODELS "tests/golden/models.pack"
#define GOLDEN_ENDS 8 /* inputs, or outputs, of a case at most */

/* ---- ops.pack: networks of one operator, or a few ----------------------------------------------- */

struct golden_case {
	char name[64];
	const uint8_t *model; /* a TFLite file: in memory of its own, so that sanitizers see where it ends */
	size_t model_bytes;
	unsigned runs, inputs, outputs;
	size_t in_bytes[GOLDEN_ENDS], out_bytes[GOLDEN_ENDS];
	float tolerance;     /* 0: the same bits; > 0: of each float; < 0: of the output's largest */
	const uint8_t *data; /* a run after the other, its inputs and then its outputs */
};
const uint8_t *golden_input(const struct golden_case *c, unsigned run, unsigned i);
const uint8_t *golden_output(const struct golden_case *c, unsigned run, unsigned i);

struct golden_ops {
	uint8_t *file;
	struct golden_case *cases;
	unsigned n;
};
/* NULL, or a sentence that says what is wrong with the file. */
const char *golden_ops_read(const char *path, struct golden_ops *out);
void golden_ops_free(struct golden_ops *ops);

/*
 * NULL when got is what the case wants of a run's output, else a sentence with the place and both values (until the
 * next call).
 */
const char *golden_differs(const struct golden_case *c, unsigned run, unsigned output, const void *got);

/* ---- models.pack: the models of the test data --------------------------------------------------- */

#define GOLDEN_RUNS 200
#define GOLDEN_PICTURES 3

struct golden_model {
	char name[64]; /* of the file in cnn/, without .tflite */
	unsigned number;
	size_t out_bytes;
	const uint8_t *data; /* a run after the other: hash of the input, output */
};
struct golden_models {
	uint8_t *file;
	struct golden_model *models;
	unsigned n;
};
const char *golden_models_read(const char *path, struct golden_models *out);
void golden_models_free(struct golden_models *m);
uint64_t golden_model_hash(const struct golden_model *m, unsigned run);
const uint8_t *golden_model_output(const struct golden_model *m, unsigned run);

/* RGB pixels of images/NAME.png, in the order of golden_picture_names. */
struct golden_picture {
	unsigned width, height;
	const uint8_t *pixels;
};
extern const char *const golden_picture_names[GOLDEN_PICTURES];

/* Input number run of a model whose input is [1, h, w, c], as int8. */
void golden_pixels(unsigned model, unsigned run, int h, int w, int c, const struct golden_picture *pictures,
	int8_t *out);
/* The same for a model that takes floats. */
void golden_floats(const int8_t *pixels, size_t n, unsigned run, float *out);
uint64_t golden_hash(const void *data, size_t size);

#endif
