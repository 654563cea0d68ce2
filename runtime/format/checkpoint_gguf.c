/* SPDX-License-Identifier: MIT */
/* GGUF files with codes: what a quantizer of Weir's wrote, taken out of the blocks that carry it. */
#include <math.h>

#include "format/checkpoint_parts.h"
#include "quant/blocks.h"

#define KEY(name) "weir.quantization." name
#define BLOCK 32

/* ---- keys ------------------------------------------------------------------------------------ */

static int bad_key(const struct weir_checkpoint *c, const char *what)
{
	return weir_fail(EINVAL, "cannot read %s: %s", weir_gguf_path(c->gguf), what);
}

/* bits 0: the file has no codes. */
static int read_keys(const struct weir_checkpoint *c, struct weir_coding *out)
{
	struct weir_str text;
	int err = weir_gguf_string(c->gguf, KEY("method"), &text);

	*out = (struct weir_coding){0};
	if (err == -ENOENT)
		return 0;
	if (!err)
		err = weir_gguf_u32(c->gguf, KEY("bits"), &out->bits);
	if (!err)
		err = weir_gguf_u32(c->gguf, KEY("group"), &out->group);
	if (err == -ENOENT)
		return bad_key(c, "the key " KEY("method") " is there without bits and group");
	if (err)
		return err;
	if (out->bits != 2 && out->bits != 3 && out->bits != 4 && out->bits != 8)
		return bad_key(c, KEY("bits") " is not 2, 3, 4 or 8");
	if (out->group % BLOCK)
		return bad_key(c, KEY("group") " is not a multiple of 32");
	out->zeros = out->bits < 8;
	err = weir_gguf_string(c->gguf, KEY("activations"), &text);
	if (err)
		return err == -ENOENT ? 0 : err;
	if (text.len != 10 || memcmp(text.ptr, "token-int8", 10))
		return bad_key(c, KEY("activations") " is not token-int8, which is all that Weir knows");
	if (out->bits != 8 || out->group)
		return bad_key(c, KEY("activations") " goes with 8 bits and one group a row alone");
	out->row_act = true;
	return 0;
}

static bool is_matrix_of_layer(const char *name)
{
	static const char *const names[] = {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"};
	char text[64];
	unsigned layer;
	int n = 0;

	if (sscanf(name, "blk.%u.%n", &layer, &n) != 1 || !n)
		return false;
	for (unsigned i = 0; i < WEIR_ARRAY_SIZE(names); i++) {
		snprintf(text, sizeof(text), "%s.weight", names[i]);
		if (!strcmp(name + n, text))
			return true;
	}
	return false;
}

int weir_gguf_codings(struct weir_checkpoint *c)
{
	struct weir_coding coding;
	int err = read_keys(c, &coding);

	if (err || !coding.bits)
		return err;
	for (size_t i = 0; i < c->n_tensors; i++) {
		struct weir_checkpoint_tensor *t = &c->tensors[i];

		if (t->type != (coding.bits == 8 ? WEIR_TYPE_Q8_0 : WEIR_TYPE_Q4_1) || t->n_dims != 2 ||
			t->dim[0] > UINT32_MAX || !is_matrix_of_layer(t->name))
			continue;
		t->coding = coding;
		/* A group is a row at most. */
		if (!coding.group || coding.group > t->dim[0])
			t->coding.group = (uint32_t)t->dim[0];
	}
	return 0;
}

/* ---- codes ----------------------------------------------------------------------------------- */

/* Codes of one block, its scale as in the file and its zero point. NULL, or what is wrong with it. */
static const char *read_q4_1(const void *block, unsigned bits, uint8_t *q, uint16_t *d, uint8_t *zero)
{
	const struct weir_block_q4_1 *b = block;
	const float scale = weir_load_half(b->d), min = weir_load_half(b->m);
	float z = scale != 0 ? nearbyintf(-min / scale) : 0;

	*d = weir_load_u16(b->d);
	if (!isfinite(scale))
		return "a scale is not finite";
	if (!(z >= 0 && z < (float)(1u << bits)))
		return "a minimum is no zero point times its scale";
	if (weir_half_to_float(weir_float_to_half(-z * scale)) != min)
		return "a minimum is no zero point times its scale";
	*zero = (uint8_t)z;
	for (unsigned i = 0; i < BLOCK / 2; i++) {
		q[i] = b->qs[i] & 15;
		q[i + BLOCK / 2] = b->qs[i] >> 4;
	}
	for (unsigned i = 0; i < BLOCK; i++)
		if (q[i] >> bits)
			return "a code has more bits than the file says";
	return NULL;
}

static const char *read_q8_0(const void *block, uint8_t *q, uint16_t *d, uint8_t *zero)
{
	const struct weir_block_q8_0 *b = block;

	*d = weir_load_u16(b->d);
	*zero = 128;
	for (unsigned i = 0; i < BLOCK; i++)
		q[i] = (uint8_t)b->qs[i] ^ 0x80; /* + 128 */
	return isfinite(weir_load_half(b->d)) ? NULL : "a scale is not finite";
}

/* One row: the blocks of a group agree. NULL, or what is wrong. */
static const char *read_row(const struct weir_checkpoint_tensor *t, const char *blocks, size_t bytes, uint8_t *q,
	float *scale, uint8_t *zero)
{
	const struct weir_coding *coding = &t->coding;
	uint16_t d, of_group = 0;
	uint8_t z, zero_of_group = 0;

	for (size_t k = 0; k < t->dim[0]; k += BLOCK, blocks += bytes) {
		const size_t g = k / coding->group;
		const char *wrong = coding->bits == 8 ? read_q8_0(blocks, q + k, &d, &z)
						      : read_q4_1(blocks, coding->bits, q + k, &d, &z);

		if (wrong)
			return wrong;
		if (k % coding->group == 0) {
			of_group = d;
			zero_of_group = z;
			scale[g] = weir_half_to_float(d);
			if (zero)
				zero[g] = z;
		}
		if (d != of_group || z != zero_of_group)
			return "the scales of a group are not equal";
	}
	return NULL;
}

int weir_gguf_codes(const struct weir_checkpoint *c, const struct weir_checkpoint_tensor *t, size_t first_row,
	size_t n_rows, uint8_t *q, float *scale, uint8_t *zero)
{
	const size_t groups = weir_coding_groups(&t->coding, t->dim[0]);
	size_t weights, bytes;

	weir_type_block(t->type, &weights, &bytes);
	for (size_t r = 0; r < n_rows; r++) {
		const char *blocks = (const char *)t->data + (first_row + r) * (t->dim[0] / weights) * bytes;
		const char *wrong = read_row(t, blocks, bytes, q + r * t->dim[0], scale + r * groups,
			zero ? zero + r * groups : NULL);

		if (wrong)
			return weir_fail(EINVAL, "cannot read %s: the tensor %s: in row %zu %s", weir_checkpoint_path(c), t->name,
				first_row + r, wrong);
	}
	return 0;
}
