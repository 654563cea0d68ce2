/* SPDX-License-Identifier: MIT */
/*
 * Writes GGUF files for tests, in memory: keys first, then tensors, then finish. Writes what it is
 * told, also nonsense. Aborts when memory is out.
 *     struct gguf_writer *w = gguf_writer_new(3);
 *     gguf_writer_string(w, "general.architecture", "llama");
 *     gguf_writer_tensor(w, "output.weight", WEIR_TYPE_F32, 2, (uint64_t[]){64, 512}, floats);
 *     gguf_writer_save(w, "/tmp/model.gguf");
 *     gguf_writer_free(w);
 */
#ifndef WEIR_TESTS_GGUF_WRITER_H
#define WEIR_TESTS_GGUF_WRITER_H

#include "format/gguf.h"

struct gguf_writer;

struct gguf_writer *gguf_writer_new(uint32_t version); /* free it with _free */
void gguf_writer_free(struct gguf_writer *w);	       /* takes NULL */

void gguf_writer_u32(struct gguf_writer *w, const char *key, uint32_t value);
void gguf_writer_f32(struct gguf_writer *w, const char *key, float value);
void gguf_writer_bool(struct gguf_writer *w, const char *key, bool value);
void gguf_writer_string(struct gguf_writer *w, const char *key, const char *value);
/* A string of any bytes. */
void gguf_writer_bytes(struct gguf_writer *w, const char *key, const void *value, size_t len);
/* A scalar of any type; value has its bytes as they lie in memory. */
void gguf_writer_scalar(
	struct gguf_writer *w, const char *key, enum weir_gguf_value type, const void *value);
/* count numbers, value as they lie in memory. */
void gguf_writer_array(struct gguf_writer *w, const char *key, enum weir_gguf_value type,
	const void *value, uint64_t count);
void gguf_writer_strings(
	struct gguf_writer *w, const char *key, const char *const *strings, uint64_t count);
/* Key, type number and then size bytes, whatever they mean. */
void gguf_writer_raw(struct gguf_writer *w, const void *key, size_t key_len, uint32_t type,
	const void *value, size_t size);

/* The alignment of tensors from now on; also writes general.alignment. Power of two. */
void gguf_writer_alignment(struct gguf_writer *w, uint32_t alignment);

/* A tensor of a type that Weir runs; data has its bytes, NULL: zeros. */
void gguf_writer_tensor(struct gguf_writer *w, const char *name, uint32_t type, unsigned n_dims,
	const uint64_t *dim, const void *data);
/* A description alone, its bytes as given; data must be added by gguf_writer_data, if at all. */
void gguf_writer_describe(struct gguf_writer *w, const void *name, size_t name_len, uint32_t n_dims,
	const uint64_t *dim, uint32_t type, uint64_t offset);
/* size bytes at the next aligned offset of the data, which it returns; NULL: zeros. */
uint64_t gguf_writer_data(struct gguf_writer *w, const void *data, size_t size);

/* The whole file, w's until it is freed or changed. */
const void *gguf_writer_finish(struct gguf_writer *w, size_t *size);
/* Writes it to path; 0 or -errno. */
int gguf_writer_save(struct gguf_writer *w, const char *path);

/*
 * A small valid file with a key of every type and tensors of four, one of them of a type that Weir
 * does not run.
 */
struct gguf_writer *gguf_writer_sample(uint32_t version);

#endif
