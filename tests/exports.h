/* SPDX-License-Identifier: MIT */
/* Random models on their way out, for suites: an input, codes for each of its layers' matrices, a folder to write to. */
#ifndef WEIR_TESTS_EXPORTS_H
#define WEIR_TESTS_EXPORTS_H

#include "llm/export.h"
#include "models.h"

struct export_case {
	char *dir;  /* where the output goes; of its own */
	char *path; /* dir/out */
	char *model;
	struct weir_checkpoint *in;
	struct weir_params params;
	weir_tokenizer *tokenizer;
	struct weir_export_settings set;
	struct weir_export_tensor *tensors; /* as many as in has */
	size_t n;
};

/* Matrices of layers become codes, their vectors floats; the rest is kept. Settings: 4 bits, groups of 32. */
void export_case_init(struct export_case *c, const struct model_shape *shape);
/* The same of a file or folder that is there. */
void export_case_open(struct export_case *c, const char *model);
void export_case_fini(struct export_case *c); /* removes the folder and what is in it */

/* The codes of tensor i: always the same; free them with export_codes_free. */
struct weir_codes export_codes(const struct export_case *c, size_t i);
void export_codes_free(struct weir_codes *codes);

/* Aborts the test on an error. */
struct weir_export *export_open(const struct export_case *c);
/* The tensors of a layer, and the stage's end. */
void export_layer(const struct export_case *c, struct weir_export *x, unsigned layer);
/* All of it, from where it stands. */
void export_rest(const struct export_case *c, struct weir_export *x);
void export_whole(const struct export_case *c);

#endif
