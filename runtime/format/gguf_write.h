/* SPDX-License-Identifier: MIT */
/*
 * The header of a GGUF v3 file: keys, then tensors' descriptions. Where each tensor's data lies is known when the
 * header is, so the data can be written in any order.
 *     struct weir_gguf_out *w = weir_gguf_out_new();
 *     weir_gguf_put_string(w, "general.architecture", "llama");
 *     weir_gguf_put_tensor(w, "output.weight", WEIR_TYPE_F32, 2, (uint64_t[]){64, 512});
 *     err = weir_gguf_out_finish(w, &header);
 * The puts give no errors: running out of memory, or a tensor whose size overflows, is what finish reports.
 */
#ifndef WEIR_FORMAT_GGUF_WRITE_H
#define WEIR_FORMAT_GGUF_WRITE_H

#include "format/gguf.h"

struct weir_gguf_out;

struct weir_gguf_out *weir_gguf_out_new(void); /* NULL: no memory, with a sentence; the puts take NULL */
void weir_gguf_out_free(struct weir_gguf_out *w); /* takes NULL; the header goes with it */

void weir_gguf_put_u32(struct weir_gguf_out *w, const char *key, uint32_t value);
void weir_gguf_put_f32(struct weir_gguf_out *w, const char *key, float value);
void weir_gguf_put_bool(struct weir_gguf_out *w, const char *key, bool value);
void weir_gguf_put_string(struct weir_gguf_out *w, const char *key, const char *value);
/* A string of any bytes. */
void weir_gguf_put_bytes(struct weir_gguf_out *w, const char *key, const void *value, size_t len);
/* A scalar of any type; value has its bytes as they lie in memory. */
void weir_gguf_put_scalar(struct weir_gguf_out *w, const char *key, enum weir_gguf_value type,
	const void *value);
/* count numbers, as they lie in memory. */
void weir_gguf_put_array(struct weir_gguf_out *w, const char *key, enum weir_gguf_value type,
	const void *values, uint64_t count);
/* An array of strings: its key and count, then exactly count elements before anything else. */
void weir_gguf_put_strings(struct weir_gguf_out *w, const char *key, uint64_t count);
void weir_gguf_put_element(struct weir_gguf_out *w, const void *text, size_t len);
/* Key i of another file, as it is. */
void weir_gguf_put_copy(struct weir_gguf_out *w, const struct weir_gguf *g, size_t i);

/* A tensor of a type that Weir runs, the next by index; dim[0] is the contiguous one. */
void weir_gguf_put_tensor(struct weir_gguf_out *w, const char *name, uint32_t type, unsigned n_dims,
	const uint64_t *dim);

struct weir_gguf_header {
	const void *data; /* w's, until it is freed */
	size_t size;	  /* bytes of it, up to the first tensor's data */
	const uint64_t *offset; /* in the file, of each tensor's data, in the order they were put */
	uint64_t file_size;
};

/* Once, after the last put. 0, -ENOMEM or -EOVERFLOW with a sentence. */
int weir_gguf_out_finish(struct weir_gguf_out *w, struct weir_gguf_header *out);

#endif
