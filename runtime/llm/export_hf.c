/* SPDX-License-Identifier: MIT */
/*
 * A quantized model as a Hugging Face folder in AutoAWQ's layout, version "gemm" (casper-hansen/AutoAWQ,
 * awq/modules/linear/gemm.py): of a matrix of in columns and out rows, qweight is int32 (in, out / 8), qzeros int32
 * (in / group, out / 8) and scales F16 (in / group, out). Eight rows' codes of four bits lie in a word, rows
 * 0, 2, 4, 6, 1, 3, 5, 7 from its low end.
 */
#include "llm/export_parts.h"

#define PACK 8 /* codes in a word */

/* Where row j of eight lies in their word, in nibbles. */
static const unsigned nibble[PACK] = {0, 4, 1, 5, 2, 6, 3, 7};

/* The module of a tensor; *end is what follows its name: ".weight", ".bias". */
static bool module_name(const char *gguf, char *out, size_t size, const char **end)
{
	*end = strrchr(gguf, '.');
	if (!*end || (strcmp(*end, ".weight") && strcmp(*end, ".bias")))
		return false;
	return weir_hf_module(gguf, (size_t)(*end - gguf), out, size);
}

bool weir_export_module(const struct weir_export_item *item, char *out, size_t size)
{
	const char *end;

	return module_name(item->in->name, out, size, &end);
}

/* ---- what fits ---- */

static size_t gcd(size_t a, size_t b)
{
	while (b) {
		const size_t r = a % b;

		a = b;
		b = r;
	}
	return a;
}

/* The sentence for a group that does not divide every row: which one would. */
static int group_misfit(const struct weir_export *x, const struct weir_export_item *item)
{
	size_t all = 0, group = 128;

	for (size_t i = 0; i < x->n; i++)
		if (x->items[i].form == WEIR_EXPORT_CODES)
			all = gcd(all, x->items[i].k);
	while (group > 32 && all % group)
		group /= 2;
	return weir_export_fail(x, EOPNOTSUPP,
		"AutoAWQ's layout has no short groups, and %s has rows of %zu: use --group %zu, or write GGUF",
		item->in->name, item->k, group);
}

static int folder_check(const struct weir_export *x)
{
	if (x->set.row_act)
		return weir_export_fail(x, EOPNOTSUPP,
			"AutoAWQ's layout knows no quantized activations: write GGUF (a name that ends in .gguf)");
	if (x->set.bits != 4)
		return weir_export_fail(x, EOPNOTSUPP,
			"AutoAWQ's layout has 4 bits, not %u: write GGUF (a name that ends in .gguf)", x->set.bits);
	if (!x->tokenizer && weir_checkpoint_gguf(x->in))
		return weir_export_fail(x, EOPNOTSUPP, "a folder needs a vocabulary, which %s does not have",
			weir_checkpoint_path(x->in));
	return 0;
}

static int item_check(struct weir_export *x, struct weir_export_item *item)
{
	char name[128];

	if (!strcmp(item->in->name, "rope_freqs.weight")) {
		item->left_out = true;
		return 0;
	}
	if (!weir_export_module(item, name, sizeof(name)))
		return weir_export_fail(x, EOPNOTSUPP, "the tensor %s has no name in a folder: write GGUF",
			item->in->name);
	item->type = WEIR_TYPE_F16;
	if (item->form != WEIR_EXPORT_CODES)
		return 0;
	if (item->rows % PACK)
		return weir_export_fail(x, EOPNOTSUPP,
			"AutoAWQ's layout packs %d rows, and %s has %zu: write GGUF", PACK, item->in->name,
			item->rows);
	return x->set.group && item->k % x->set.group ? group_misfit(x, item) : 0;
}

/* ---- where everything lies ---- */

/* Each of a tensor's parts of one type, by its name. fn is called in the order of the file. */
static void item_put(const struct weir_export *x, const struct weir_export_item *item,
	enum weir_dtype type, struct weir_safetensors_out *w)
{
	const bool words = type == WEIR_DTYPE_I32;
	char name[192], module[128];
	uint64_t dim[4];
	const char *end;

	if (item->left_out || (words && item->form != WEIR_EXPORT_CODES))
		return;
	module_name(item->in->name, module, sizeof(module), &end);
	if (item->form == WEIR_EXPORT_CODES) {
		dim[0] = item->k;
		dim[1] = words ? item->rows / PACK : item->rows;
		if (words) {
			snprintf(name, sizeof(name), "%s.qweight", module);
			weir_safetensors_put(w, name, type, 2, dim);
		}
		dim[0] = x->set.group ? item->k / x->set.group : 1;
		snprintf(name, sizeof(name), "%s.%s", module, words ? "qzeros" : "scales");
		weir_safetensors_put(w, name, type, 2, dim);
		return;
	}
	for (unsigned i = 0; i < item->in->n_dims; i++)
		dim[i] = item->in->dim[item->in->n_dims - 1 - i];
	snprintf(name, sizeof(name), "%s%s", module, end);
	weir_safetensors_put(w, name, type, item->in->n_dims, dim);
}

static void take_places(struct weir_export *x, const uint64_t *offset)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->items[i].form == WEIR_EXPORT_CODES) {
			x->items[i].place[0] = *offset++;
			x->items[i].place[1] = *offset++;
		}
	for (size_t i = 0; i < x->n; i++)
		if (!x->items[i].left_out)
			x->items[i].place[x->items[i].form == WEIR_EXPORT_CODES ? 2 : 0] = *offset++;
}

static int header_make(struct weir_export *x, struct weir_safetensors_out *w, struct weir_store_settings *s,
	void **header)
{
	struct weir_safetensors_header h;
	int err;

	/* Words first: nothing comes to lie at an odd place. */
	for (size_t i = 0; i < x->n; i++)
		item_put(x, &x->items[i], WEIR_DTYPE_I32, w);
	for (size_t i = 0; i < x->n; i++)
		item_put(x, &x->items[i], WEIR_DTYPE_F16, w);
	err = weir_safetensors_out_finish(w, &h);
	if (err)
		return err;
	take_places(x, h.offset);
	return weir_export_header(x, s, h.data, h.size, h.file_size, header);
}

static int folder_plan(struct weir_export *x, struct weir_store_settings *s, void **header)
{
	struct weir_safetensors_out *w;
	int err = folder_check(x);

	for (size_t i = 0; !err && i < x->n; i++)
		err = item_check(x, &x->items[i]);
	if (!err)
		err = weir_export_config(x);
	if (err)
		return err;
	w = weir_safetensors_out_new();
	err = w ? header_make(x, w, s, header) : -ENOMEM;
	weir_safetensors_out_free(w);
	s->file = WEIR_EXPORT_WEIGHTS;
	s->known = weir_export_files;
	return err;
}

/* ---- codes ---- */

/* Columns [begin, end) of qweight's rows: column c of the input is a row of words here. */
static int columns_pack(void *user, size_t begin, size_t end)
{
	const struct weir_export_job *j = user;
	const size_t k = j->item->k, words = j->item->rows / PACK, n = end - begin;
	uint32_t *out = calloc(n * words, sizeof(*out));
	int err;

	if (!out)
		return weir_export_fail(j->x, ENOMEM, "no memory for columns of %s", j->item->in->name);
	for (size_t r = 0; r < j->item->rows; r++) {
		const uint8_t *q = j->codes->q + weir_export_row(j->x, j->item, r) * k + begin;
		const unsigned shift = 4 * nibble[r % PACK];

		for (size_t c = 0; c < n; c++)
			out[c * words + r / PACK] |= (uint32_t)q[c] << shift;
	}
	err = weir_store_write(&j->x->store, j->item->place[0] + begin * words * sizeof(*out), out,
		n * words * sizeof(*out));
	free(out);
	return err;
}

/* Zero points and scales of groups [begin, end). */
static int groups_pack(void *user, size_t begin, size_t end)
{
	const struct weir_export_job *j = user;
	const size_t rows = j->item->rows, words = rows / PACK, n = end - begin;
	uint32_t *zeros = calloc(n * words, sizeof(*zeros));
	uint16_t *scales = malloc(n * rows * sizeof(*scales));
	int err = zeros && scales ? 0 : weir_export_fail(j->x, ENOMEM, "no memory for %s", j->item->in->name);

	for (size_t r = 0; !err && r < rows; r++) {
		const size_t from = weir_export_row(j->x, j->item, r);
		const unsigned shift = 4 * nibble[r % PACK];

		for (size_t g = 0; g < n; g++) {
			zeros[g * words + r / PACK] |= (uint32_t)weir_export_zero(j, from, begin + g) << shift;
			scales[g * rows + r] = weir_float_to_half(j->codes->scale[from * j->groups + begin + g]);
		}
	}
	if (!err)
		err = weir_store_write(&j->x->store, j->item->place[1] + begin * words * sizeof(*zeros), zeros,
			n * words * sizeof(*zeros));
	if (!err)
		err = weir_store_write(&j->x->store, j->item->place[2] + begin * rows * sizeof(*scales), scales,
			n * rows * sizeof(*scales));
	free(zeros);
	free(scales);
	return err;
}

static int folder_codes(struct weir_export_job *j)
{
	const size_t chunk = WEIR_MAX(WEIR_EXPORT_CHUNK / j->item->rows, 64);
	int err = weir_parallel(0, j->item->k, chunk, columns_pack, j);

	return err ? err : weir_parallel(0, j->groups, chunk, groups_pack, j);
}

const struct weir_export_target weir_export_folder = {folder_plan, folder_codes, weir_export_beside};
