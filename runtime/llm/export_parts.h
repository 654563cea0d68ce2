/* SPDX-License-Identifier: MIT */
/* What the parts of the writer of models share: tensors on their way out, and what a GGUF file and a folder do apart. */
#ifndef WEIR_LLM_EXPORT_PARTS_H
#define WEIR_LLM_EXPORT_PARTS_H

#include "format/gguf_write.h"
#include "format/safetensors_write.h"
#include "llm/export_store.h"

struct json_object;

#define WEIR_EXPORT_CHUNK (1u << 18) /* weights that a thread takes at a time: a megabyte of floats */

/* How rows of q and k change places, head by head: which two rows RoPE rotates together. */
enum weir_export_order {
	WEIR_EXPORT_ROWS_STAY,
	WEIR_EXPORT_ROWS_ADJACENT, /* from i and i + n_rot / 2 to 2i and 2i + 1 */
	WEIR_EXPORT_ROWS_HALVES,   /* and back */
};

struct weir_export_item {
	const struct weir_checkpoint_tensor *in;
	enum weir_export_form form;
	enum weir_export_order order;
	size_t rows, k;	   /* a vector is one row, or rows of one where they change places */
	uint32_t type;	   /* what the output holds, unless codes: F32, F16, or the input's own type, as it is */
	bool left_out;	   /* the output says it in another way */
	uint64_t place[3]; /* in the file: weights or blocks; AutoAWQ's qweight, qzeros, scales */
};

struct weir_export {
	const struct weir_checkpoint *in;
	const struct weir_params *params;
	const weir_tokenizer *tokenizer;
	struct weir_export_settings set;
	const struct weir_export_target *target;
	struct weir_export_item *items;
	size_t n;
	float *rope_factors;  /* (n_rot / 2), for a tensor that a folder's config says in words; NULL: none */
	uint64_t rope_place;
	struct json_object *config; /* of a folder */
	struct weir_store store;
};

/* Codes of one matrix on their way out, for weir_parallel. */
struct weir_export_job {
	struct weir_export *x;
	const struct weir_export_item *item;
	const struct weir_codes *codes;
	size_t group, groups; /* weights a group, groups a row */
};

/* What a format does in its own way. plan is given settings with identity and flags set, and sets the rest. */
struct weir_export_target {
	/* Checks that the format can hold it, and sets the items' types and places. *header is malloced. */
	int (*plan)(struct weir_export *x, struct weir_store_settings *s, void **header);
	/* All of one matrix. */
	int (*codes)(struct weir_export_job *job);
	/* What stands beside the tensors of the input: at once, since it may not be possible. */
	int (*beside)(struct weir_export *x);
};
extern const struct weir_export_target weir_export_gguf, weir_export_folder;

/* The input's row that becomes row r of the output. */
size_t weir_export_row(const struct weir_export *x, const struct weir_export_item *item, size_t r);
/* The zero point of group g of an input's row. */
static inline uint8_t weir_export_zero(const struct weir_export_job *j, size_t row, size_t g)
{
	return j->codes->zero ? j->codes->zero[row * j->groups + g] : (uint8_t)(1u << (j->x->set.bits - 1));
}

/* Keeps a copy of the header for the store. */
int weir_export_header(const struct weir_export *x, struct weir_store_settings *s, const void *data, size_t size,
	uint64_t file_size, void **header);

/* "cannot write OUT: TEXT" */
int weir_export_fail(const struct weir_export *x, int err, const char *fmt, ...) WEIR_PRINTF(3, 4);

/* The keys of a GGUF file, by the shape of a folder's model and its words. */
int weir_export_keys(const struct weir_export *x, struct weir_gguf_out *w);

/* ---- the folder's other files (export_config.c) ---- */

#define WEIR_EXPORT_WEIGHTS "model.safetensors"
extern const char *const weir_export_files[]; /* all that a folder may hold; ends with NULL */

/* "blk.3.attn_q.weight" to "model.layers.3.self_attn.q_proj"; false: a folder has no name for it. */
bool weir_export_module(const struct weir_export_item *item, char *out, size_t size);
/* Makes what config.json will say. -EOPNOTSUPP: it has no words for this model. */
int weir_export_config(struct weir_export *x);
/* Writes config.json and what holds the words. */
int weir_export_beside(struct weir_export *x);

/* ---- positions (export_rope.c) ---- */

/* How a model's positions are scaled, told by its frequencies alone. */
struct weir_export_rope {
	double base;
	double factor; /* 1: not scaled; linear: of all pairs; Llama 3: of the slowest ones */
	bool even;     /* all pairs alike */
	double pair[WEIR_MAX_ROT / 2]; /* frequency i is base^(-2i / n_rot) / pair[i] */
};
void weir_export_rope_of(const struct weir_params *p, struct weir_export_rope *out);
/* Whether the pairs are scaled as Llama 3 is, after a context of original positions: see config.json's rope_scaling. */
bool weir_export_rope_llama3(const struct weir_export_rope *rope, uint32_t n_rot, uint32_t *original);

#endif
