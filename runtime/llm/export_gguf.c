/* SPDX-License-Identifier: MIT */
/*
 * A quantized model as a GGUF file that ggml's programs load: codes of 2, 3 and 4 bits lie in Q4_1 blocks, each with
 * the scale of its group as d and -zero * scale as m; codes of 8 bits in Q8_0 blocks.
 */
#include "llm/export_parts.h"
#include "quant/blocks.h"

#define BLOCK 32
/* general.file_type by its number in llama.cpp: what most tensors are. */
#define FILE_MOSTLY_Q4_1 3
#define FILE_MOSTLY_Q8_0 7
/* general.quantization_version: that of the blocks' layout, which has been 2 since GGUF is there. */
#define BLOCKS_VERSION 2

static uint32_t carrier(const struct weir_export *x)
{
	return x->set.bits == 8 ? WEIR_TYPE_Q8_0 : WEIR_TYPE_Q4_1;
}

/* ---- keys ---- */

static bool is_set_anew(const struct weir_str *key)
{
	static const char *const names[] = {"general.file_type", "general.quantization_version",
		"general.alignment"};
	static const char *const families[] = {"split.", "weir.quantization.", "quantize.imatrix."};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(names); i++)
		if (key->len == strlen(names[i]) && !memcmp(key->ptr, names[i], key->len))
			return true;
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(families); i++)
		if (key->len > strlen(families[i]) && !memcmp(key->ptr, families[i], strlen(families[i])))
			return true;
	return false;
}

static void copy_keys(struct weir_gguf_out *w, const struct weir_gguf *g)
{
	for (size_t i = 0; i < weir_gguf_meta_count(g); i++) {
		enum weir_gguf_value type;
		struct weir_str key;

		if (!weir_gguf_meta(g, i, &key, &type) && !is_set_anew(&key))
			weir_gguf_put_copy(w, g, i);
	}
}

static int put_keys(const struct weir_export *x, struct weir_gguf_out *w)
{
	const struct weir_gguf *g = weir_checkpoint_gguf(x->in);
	int err = 0;

	if (g)
		copy_keys(w, g);
	else
		err = weir_export_keys(x, w);
	weir_gguf_put_u32(w, "general.file_type", x->set.bits == 8 ? FILE_MOSTLY_Q8_0 : FILE_MOSTLY_Q4_1);
	weir_gguf_put_u32(w, "general.quantization_version", BLOCKS_VERSION);
	weir_gguf_put_string(w, "weir.quantization.method", x->set.method);
	weir_gguf_put_u32(w, "weir.quantization.bits", x->set.bits);
	weir_gguf_put_u32(w, "weir.quantization.group", x->set.group);
	if (x->set.row_act)
		weir_gguf_put_string(w, "weir.quantization.activations", "token-int8");
	return err;
}

/* ---- tensors ---- */

static uint32_t type_of(const struct weir_export *x, const struct weir_export_item *item)
{
	const bool moved = item->order != WEIR_EXPORT_ROWS_STAY;

	if (item->form == WEIR_EXPORT_CODES)
		return carrier(x);
	if (item->form == WEIR_EXPORT_FLOAT)
		return WEIR_TYPE_F32;
	/* ggml's operations on vectors take F32 alone. */
	if (item->in->n_dims == 1 && (moved || !weir_checkpoint_gguf(x->in)))
		return WEIR_TYPE_F32;
	return item->in->coding.bits ? WEIR_TYPE_F16 : item->in->type;
}

/* The factors that Llama 3's scaling gives each pair: a tensor here, words in a folder's config. */
static int rope_put(struct weir_export *x, struct weir_gguf_out *w)
{
	const uint32_t pairs = x->params->n_rot / 2;
	struct weir_export_rope rope;

	if (weir_checkpoint_gguf(x->in))
		return 0;
	weir_export_rope_of(x->params, &rope);
	if (rope.even)
		return 0;
	x->rope_factors = calloc(pairs, sizeof(*x->rope_factors));
	if (!x->rope_factors)
		return weir_export_fail(x, ENOMEM, "no memory for its frequencies");
	for (uint32_t i = 0; i < pairs; i++)
		x->rope_factors[i] = (float)rope.pair[i];
	weir_gguf_put_tensor(w, "rope_freqs.weight", WEIR_TYPE_F32, 1, (uint64_t[]){pairs});
	return 0;
}

static int header_make(struct weir_export *x, struct weir_gguf_out *w, struct weir_store_settings *s,
	void **header)
{
	struct weir_gguf_header h;
	int err = put_keys(x, w);

	for (size_t i = 0; i < x->n; i++) {
		struct weir_export_item *item = &x->items[i];

		item->type = type_of(x, item);
		weir_gguf_put_tensor(w, item->in->name, item->type, item->in->n_dims, item->in->dim);
	}
	if (!err)
		err = rope_put(x, w);
	if (!err)
		err = weir_gguf_out_finish(w, &h);
	if (err)
		return err;
	for (size_t i = 0; i < x->n; i++)
		x->items[i].place[0] = h.offset[i];
	if (x->rope_factors)
		x->rope_place = h.offset[x->n];
	return weir_export_header(x, s, h.data, h.size, h.file_size, header);
}

static int gguf_plan(struct weir_export *x, struct weir_store_settings *s, void **header)
{
	struct weir_gguf_out *w = weir_gguf_out_new();
	int err = w ? header_make(x, w, s, header) : -ENOMEM;

	weir_gguf_out_free(w);
	return err;
}

/* ---- codes ---- */

static void store_half(uint8_t *at, float value)
{
	const uint16_t h = weir_float_to_half(value);

	memcpy(at, &h, sizeof(h));
}

static void block_q8_0(void *out, const uint8_t *q, float scale)
{
	struct weir_block_q8_0 *b = out;

	store_half(b->d, scale);
	for (int i = 0; i < BLOCK; i++)
		b->qs[i] = (int8_t)(q[i] - 128);
}

static void block_q4_1(void *out, const uint8_t *q, float scale, uint8_t zero)
{
	struct weir_block_q4_1 *b = out;

	store_half(b->d, scale);
	/* Of the scale as it is stored, so that the zero point can be told from the block. */
	store_half(b->m, -(float)zero * weir_load_half(b->d));
	for (int i = 0; i < BLOCK / 2; i++)
		b->qs[i] = (uint8_t)(q[i] | q[i + BLOCK / 2] << 4);
}

static void row_blocks(const struct weir_export_job *j, size_t row, char *out)
{
	const size_t blocks = j->item->k / BLOCK;
	const uint8_t *q = j->codes->q + row * j->item->k;

	for (size_t b = 0; b < blocks; b++) {
		const size_t g = b * BLOCK / j->group;
		const float scale = j->codes->scale[row * j->groups + g];

		if (j->x->set.bits == 8)
			block_q8_0(out + b * sizeof(struct weir_block_q8_0), q + b * BLOCK, scale);
		else
			block_q4_1(out + b * sizeof(struct weir_block_q4_1), q + b * BLOCK, scale,
				weir_export_zero(j, row, g));
	}
}

static int rows_code(void *user, size_t begin, size_t end)
{
	const struct weir_export_job *j = user;
	const size_t block = j->x->set.bits == 8 ? sizeof(struct weir_block_q8_0) : sizeof(struct weir_block_q4_1);
	const size_t bytes = j->item->k / BLOCK * block;
	char *out = malloc((end - begin) * bytes);
	int err;

	if (!out)
		return weir_export_fail(j->x, ENOMEM, "no memory for rows of %s", j->item->in->name);
	for (size_t r = begin; r < end; r++)
		row_blocks(j, weir_export_row(j->x, j->item, r), out + (r - begin) * bytes);
	err = weir_store_write(&j->x->store, j->item->place[0] + begin * bytes, out, (end - begin) * bytes);
	free(out);
	return err;
}

static int gguf_codes(struct weir_export_job *j)
{
	return weir_parallel(0, j->item->rows, WEIR_MAX(WEIR_EXPORT_CHUNK / j->item->k, 1), rows_code, j);
}

static int gguf_beside(struct weir_export *x)
{
	if (!x->rope_factors)
		return 0;
	return weir_store_write(&x->store, x->rope_place, x->rope_factors,
		x->params->n_rot / 2 * sizeof(*x->rope_factors));
}

const struct weir_export_target weir_export_gguf = {gguf_plan, gguf_codes, gguf_beside};
