/* SPDX-License-Identifier: MIT */
/* Saved sessions: a header, the text's tail, the logits and the cache's slots in use, checked before they are taken. */
#ifndef WEIR_LLM_SAVE_H
#define WEIR_LLM_SAVE_H

#include "llm/sampler.h"
#include "llm/step.h"

/*
 * The file, little-endian as every machine that Weir runs on: this header, int32 past[n_past] (newest first), float
 * logits[vocab], then for each layer and each part of weir_kv_layout and kv head the bytes of slots [0, used),
 * then a 16-byte weir_hash of all before it.
 */
struct weir_save_header {
	char magic[8];	       /* "WEIRSESS" */
	uint32_t version;      /* 1 */
	uint32_t header_size;  /* of this struct */
	uint64_t model[2];     /* weir_params_fingerprint */
	uint64_t position;
	uint32_t kv, slots, sinks, window, ring_size; /* must equal the session's: they say where a position lies */
	uint32_t vocab, n_past, used; /* used: slots that hold something, a multiple of 16 */
	uint64_t random[4];
	uint64_t cache_size;   /* bytes of the cache's part */
	uint64_t file_size;
};

/* What a file must agree with to be loaded. */
struct weir_save_expect {
	uint64_t model[2];
	uint32_t kv, vocab;
	struct weir_slots slots;
	uint64_t slot_bytes; /* of all layers and parts: cache_size = used * slot_bytes */
};

/* A checked file: pointers into its bytes. */
struct weir_saved {
	struct weir_save_header header;
	const unsigned char *past, *logits, *cache; /* not aligned */
};

/* Slots in use after so many positions: a multiple of 16. */
uint32_t weir_save_used(const struct weir_slots *slots, uint64_t position);

/* Checks all of a file's bytes, name is for the sentence. 0 or -EINVAL; what it fills points into data. */
int weir_save_parse(const void *data, size_t size, const char *name, const struct weir_save_expect *expect,
	struct weir_saved *out);

#endif
