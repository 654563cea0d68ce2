/* SPDX-License-Identifier: MIT */
/*
 * AutoAWQ's layout "GEMM" (casper-hansen/AutoAWQ, awq/modules/linear/gemm.py): for y = W x with W of out x in,
 * qweight int32 (in, out/8), qzeros int32 (in/group, out/8), scales half (in/group, out); a word holds eight rows of
 * W, row 8i + j in its nibble order[j]; W = (code - zero) * scale.
 */
#include <math.h>
#include <strings.h>

#include "format/checkpoint_parts.h"

#define ROWS_A_WORD 8

static const uint8_t order[ROWS_A_WORD] = {0, 4, 1, 5, 2, 6, 3, 7};

/* ---- quantization_config --------------------------------------------------------------------- */

static int refuse(const struct weir_json *config, const char *key, const char *value, const char *instead)
{
	struct weir_json member;

	weir_json_member(config, key, &member);
	return weir_json_fail(&member, EOPNOTSUPP, "is %.48s: Weir reads %s", value, instead);
}

/* A string that must be this one; absent: it is, unless it is required. */
static int expect_string(const struct weir_json *config, const char *key, const char *want, bool required)
{
	const char *value;
	int err = weir_json_string(config, key, &value);

	if (err == -ENOENT && !required)
		return 0;
	if (err)
		return err;
	return strcasecmp(value, want) ? refuse(config, key, value, want) : 0;
}

static int read_bits(const struct weir_json *config)
{
	uint32_t bits = 4;
	char text[16];
	int err = weir_json_u32(config, "bits", &bits);

	if (err && err != -ENOENT)
		return err;
	snprintf(text, sizeof(text), "%u", bits);
	return bits == 4 ? 0 : refuse(config, "bits", text, "4");
}

static int read_zero_point(const struct weir_json *config)
{
	bool zero = true;
	int err = weir_json_bool(config, "zero_point", &zero);

	if (err && err != -ENOENT)
		return err;
	return zero ? 0 : refuse(config, "zero_point", "false", "codes with zero points alone");
}

/* -1 is a whole row: 0 here. */
static int read_group(const struct weir_json *config, uint32_t *out)
{
	struct weir_json member;
	double group = 128;
	int err = weir_json_double(config, "group_size", &group);

	if (err && err != -ENOENT)
		return err;
	*out = 0;
	if (group == -1)
		return 0;
	if (!(group >= 32 && group <= 1 << 24) || fmod(group, 32) != 0) {
		weir_json_member(config, "group_size", &member);
		return weir_json_fail(&member, EINVAL, "is %g: Weir reads -1 and multiples of 32", group);
	}
	*out = (uint32_t)group;
	return 0;
}

static int read_floats(struct weir_awq_config *awq)
{
	struct weir_json element;
	const char *name;
	int err = weir_json_array(&awq->config, "modules_to_not_convert", &awq->floats);

	if (err == -ENOENT)
		return 0;
	for (size_t i = 0; !err && i < weir_json_count(&awq->floats); i++) {
		weir_json_at(&awq->floats, i, &element);
		err = weir_json_string(&element, NULL, &name);
	}
	return err;
}

int weir_awq_read_config(struct weir_checkpoint *c)
{
	struct weir_awq_config *awq = &c->awq;
	int err = weir_json_object(&c->config, "quantization_config", &awq->config);

	if (err == -ENOENT)
		return 0;
	if (err || (err = expect_string(&awq->config, "quant_method", "awq", true)) ||
		(err = expect_string(&awq->config, "version", "gemm", false)) ||
		(err = expect_string(&awq->config, "backend", "autoawq", false)) ||
		(err = read_bits(&awq->config)) || (err = read_zero_point(&awq->config)) ||
		(err = read_group(&awq->config, &awq->group)) || (err = read_floats(awq)))
		return err;
	awq->used = true;
	return 0;
}

/* ---- tensors --------------------------------------------------------------------------------- */

static const char *path_of(const struct weir_checkpoint *c, const struct weir_safetensor *s)
{
	return weir_safetensors_path(c->folder, s->shard);
}

static int check_part(const struct weir_checkpoint *c, const struct weir_safetensor *s, enum weir_dtype type,
	uint64_t rows, uint64_t columns)
{
	if (s->type != type)
		return weir_fail(EINVAL, "cannot read %s: the tensor %s has the type %s, it must be %s", path_of(c, s),
			s->name, weir_dtype_name(s->type), weir_dtype_name(type));
	if (s->n_dims != 2 || s->dim[0] != rows || s->dim[1] != columns)
		return weir_fail(EINVAL, "cannot read %s: the tensor %s is %llu x %llu in %u dimensions, it must be %llu x %llu",
			path_of(c, s), s->name, (unsigned long long)s->dim[0], (unsigned long long)s->dim[1], s->n_dims,
			(unsigned long long)rows, (unsigned long long)columns);
	return 0;
}

/* As transformers reads modules_to_not_convert: a part of a name is enough. */
static int check_converted(const struct weir_checkpoint *c, const struct weir_safetensor *s)
{
	struct weir_json element;
	const char *part;

	if (!c->awq.floats.value)
		return 0;
	for (size_t i = 0; i < weir_json_count(&c->awq.floats); i++) {
		weir_json_at(&c->awq.floats, i, &element);
		if (!weir_json_string(&element, NULL, &part) && strstr(s->name, part))
			return weir_fail(EINVAL,
				"cannot read %s: the tensor %s holds codes, but modules_to_not_convert has %.64s",
				path_of(c, s), s->name, part);
	}
	return 0;
}

int weir_awq_tensor(
	const struct weir_checkpoint *c, const struct weir_folder_source *s, struct weir_checkpoint_tensor *t)
{
	const struct weir_safetensor *q = s->data;
	const uint64_t k = q->dim[0], words = q->dim[1];
	const uint64_t group = c->awq.group ? c->awq.group : k;
	int err = check_converted(c, q);

	if (!err)
		err = check_part(c, q, WEIR_DTYPE_I32, k, words);
	if (err)
		return err;
	/* count is the product of both: neither 8 * words nor sizes below can overflow past this. */
	if (!q->count || k > UINT32_MAX || k % 32 || k % group || words > SIZE_MAX / 64 / k)
		return weir_fail(EINVAL, "cannot read %s: the tensor %s has rows of %llu codes, not some groups of %llu",
			path_of(c, q), q->name, (unsigned long long)k, (unsigned long long)group);
	err = check_part(c, s->zeros, WEIR_DTYPE_I32, k / group, words);
	if (!err)
		err = check_part(c, s->scales, WEIR_DTYPE_F16, k / group, words * ROWS_A_WORD);
	if (err)
		return err;
	t->type = WEIR_TYPE_F16;
	t->n_dims = 2;
	t->dim[0] = k;
	t->dim[1] = words * ROWS_A_WORD;
	t->dim[2] = t->dim[3] = 1;
	t->weights = k * t->dim[1];
	t->size = q->size + s->zeros->size + s->scales->size;
	t->coding = (struct weir_coding){.bits = 4, .group = (uint32_t)group, .zeros = true};
	return 0;
}

/* ---- codes ----------------------------------------------------------------------------------- */

/* Nibbles of n_rows rows from first_row on, of n words each stride words apart: to out (n_rows, n). */
static void unpack(const struct weir_safetensor *s, size_t first_row, size_t n_rows, uint8_t *out)
{
	const size_t n = s->dim[0], stride = s->dim[1];
	const size_t first = first_row / ROWS_A_WORD, end = (first_row + n_rows + ROWS_A_WORD - 1) / ROWS_A_WORD;
	const char *data = s->data;

	for (size_t k = 0; k < n; k++) {
		for (size_t i = first; i < end; i++) {
			uint32_t word;

			memcpy(&word, data + (k * stride + i) * sizeof(word), sizeof(word));
			for (size_t j = 0; j < ROWS_A_WORD; j++) {
				const size_t row = i * ROWS_A_WORD + j - first_row;

				if (row < n_rows) /* not those before first_row: they wrap */
					out[row * n + k] = word >> (4 * order[j]) & 15;
			}
		}
	}
}

static int unpack_scales(const struct weir_checkpoint *c, const struct weir_safetensor *s, size_t first_row,
	size_t n_rows, float *out)
{
	const size_t groups = s->dim[0], rows = s->dim[1];
	uint16_t half;

	for (size_t g = 0; g < groups; g++) {
		for (size_t r = 0; r < n_rows; r++) {
			float *scale = &out[r * groups + g];

			memcpy(&half, (const char *)s->data + (g * rows + first_row + r) * sizeof(half), sizeof(half));
			*scale = weir_half_to_float(half);
			if (!isfinite(*scale))
				return weir_fail(EINVAL, "cannot read %s: the tensor %s is %g at group %zu of row %zu",
					path_of(c, s), s->name, (double)*scale, g, first_row + r);
		}
	}
	return 0;
}

int weir_awq_codes(const struct weir_checkpoint *c, const struct weir_checkpoint_tensor *t, size_t first_row,
	size_t n_rows, uint8_t *q, float *scale, uint8_t *zero)
{
	const struct weir_folder_source *s = &c->sources[t - c->tensors];

	unpack(s->data, first_row, n_rows, q);
	if (zero)
		unpack(s->zeros, first_row, n_rows, zero);
	return unpack_scales(c, s->scales, first_row, n_rows, scale);
}
