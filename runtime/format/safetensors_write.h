/* SPDX-License-Identifier: MIT */
/*
 * The header of a safetensors file: eight bytes of length, then JSON that names each tensor's type, shape and place,
 * padded with spaces so that the data starts at a multiple of 64. Tensors follow each other without a gap, as the
 * format wants it, so those with bigger elements should come first. Used as format/gguf_write.h is.
 */
#ifndef WEIR_FORMAT_SAFETENSORS_WRITE_H
#define WEIR_FORMAT_SAFETENSORS_WRITE_H

#include "format/safetensors.h"

struct weir_safetensors_out;

struct weir_safetensors_out *weir_safetensors_out_new(void); /* NULL: no memory, with a sentence; put takes NULL */
void weir_safetensors_out_free(struct weir_safetensors_out *w); /* takes NULL; the header goes with it */

/* The next tensor by index; dim[n_dims - 1] is the contiguous one. */
void weir_safetensors_put(struct weir_safetensors_out *w, const char *name, enum weir_dtype type,
	unsigned n_dims, const uint64_t *dim);

struct weir_safetensors_header {
	const void *data; /* w's, until it is freed */
	size_t size;	  /* bytes of it, a multiple of 64 */
	const uint64_t *offset; /* in the file, of each tensor's data, in the order they were put */
	uint64_t file_size;
};

/* Once, after the last put. 0, -ENOMEM or -EOVERFLOW with a sentence. */
int weir_safetensors_out_finish(struct weir_safetensors_out *w, struct weir_safetensors_header *out);

#endif
