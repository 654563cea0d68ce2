/* SPDX-License-Identifier: MIT */
/* Random models on their way out. */
#include "exports.h"

#include "base/base.h"
#include "suite.h"
#include "vocabs.h"

static uint32_t next(uint32_t *x)
{
	*x = *x * 1664525 + 1013904223;
	return *x >> 8;
}

static weir_tokenizer *words(void)
{
	static const char *const list[] = {"a", "b", "ab", NULL};

	return vocab_open(&(struct vocab){.spm = true, .words = list});
}

void export_case_open(struct export_case *c, const char *model)
{
	memset(c, 0, sizeof(*c));
	c->dir = strdup("/tmp/weir-export-XXXXXX");
	ck_assert(c->dir && mkdtemp(c->dir));
	ck_assert_int_gt(asprintf(&c->path, "%s/out", c->dir), 0);
	ck_assert_msg(!weir_checkpoint_open(model, &c->in), "%s", weir_error());
	ck_assert_msg(!weir_params_read(c->in, &c->params), "%s", weir_error());
	c->tokenizer = words();
	c->set = (struct weir_export_settings){.path = c->path, .method = "rtn", .bits = 4, .group = 32};
	c->n = weir_checkpoint_tensor_count(c->in);
	c->tensors = calloc(c->n, sizeof(*c->tensors));
	ck_assert(c->tensors);
	for (size_t i = 0; i < c->n; i++) {
		struct weir_export_tensor *t = &c->tensors[i];

		t->in = weir_checkpoint_tensor_at(c->in, i);
		t->form = WEIR_EXPORT_KEEP;
		if (!strncmp(t->in->name, "blk.", 4))
			t->form = t->in->n_dims == 2 ? WEIR_EXPORT_CODES : WEIR_EXPORT_FLOAT;
	}
}

void export_case_init(struct export_case *c, const struct model_shape *shape)
{
	char *model = model_write(shape, 7);

	export_case_open(c, model);
	c->model = model;
}

void export_case_fini(struct export_case *c)
{
	char command[256];

	weir_checkpoint_close(c->in);
	weir_tokenizer_close(c->tokenizer);
	if (c->model)
		unlink(c->model);
	snprintf(command, sizeof(command), "rm -rf '%s'", c->dir);
	ck_assert_int_eq(system(command), 0);
	free(c->tensors);
	free(c->model);
	free(c->path);
	free(c->dir);
}

struct weir_codes export_codes(const struct export_case *c, size_t i)
{
	const struct weir_checkpoint_tensor *in = c->tensors[i].in;
	const size_t k = in->dim[0], rows = in->dim[1], group = c->set.group ? WEIR_MIN(c->set.group, k) : k;
	const size_t n = rows * ((k + group - 1) / group);
	uint8_t *q = malloc(rows * k), *zero = malloc(n);
	float *scale = malloc(n * sizeof(*scale));
	uint32_t x = (uint32_t)i + 1, mask = (1u << c->set.bits) - 1;

	ck_assert(q && zero && scale);
	for (size_t j = 0; j < rows * k; j++)
		q[j] = (uint8_t)(next(&x) & mask);
	for (size_t j = 0; j < n; j++) {
		/* Halves, the smallest among them. */
		scale[j] = weir_half_to_float((uint16_t)(1 + next(&x) % 0x3c00));
		zero[j] = (uint8_t)(next(&x) & mask);
	}
	if (c->set.bits == 8) {
		free(zero);
		zero = NULL;
	}
	return (struct weir_codes){q, scale, zero};
}

void export_codes_free(struct weir_codes *codes)
{
	free((void *)codes->q);
	free((void *)codes->scale);
	free((void *)codes->zero);
}

struct weir_export *export_open(const struct export_case *c)
{
	struct weir_export *x;

	ck_assert_msg(!weir_export_open(c->in, &c->params, c->tokenizer, &c->set, c->tensors, c->n, &x), "%s",
		weir_error());
	return x;
}

static void give(const struct export_case *c, struct weir_export *x, size_t i)
{
	const struct weir_checkpoint_tensor *in = c->tensors[i].in;

	if (c->tensors[i].form == WEIR_EXPORT_CODES) {
		struct weir_codes codes = export_codes(c, i);

		ck_assert_msg(!weir_export_codes(x, i, &codes), "%s", weir_error());
		export_codes_free(&codes);
	} else if (c->tensors[i].form == WEIR_EXPORT_FLOAT) {
		float *values = malloc(in->weights * sizeof(*values));

		ck_assert(values);
		ck_assert(!weir_checkpoint_floats(c->in, in, 0, in->weights / in->dim[0], values));
		ck_assert_msg(!weir_export_floats(x, i, values), "%s", weir_error());
		free(values);
	}
}

void export_layer(const struct export_case *c, struct weir_export *x, unsigned layer)
{
	char start[32];

	snprintf(start, sizeof(start), "blk.%u.", layer);
	for (size_t i = 0; i < c->n; i++)
		if (!strncmp(c->tensors[i].in->name, start, strlen(start)))
			give(c, x, i);
	ck_assert_msg(!weir_export_stage_done(x, layer), "%s", weir_error());
}

void export_rest(const struct export_case *c, struct weir_export *x)
{
	for (unsigned layer = weir_export_stages_done(x); layer < c->params.layers; layer++)
		export_layer(c, x, layer);
	ck_assert_msg(!weir_export_finish(x, NULL, NULL), "%s", weir_error());
	weir_export_close(x);
}

void export_whole(const struct export_case *c)
{
	export_rest(c, export_open(c));
}
