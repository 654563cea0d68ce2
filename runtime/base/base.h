/* SPDX-License-Identifier: MIT */
/* What every part of libweir shares: error sentences, overflow-safe sizes, time, hashing, paths. */
#ifndef WEIR_BASE_H
#define WEIR_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEIR_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define WEIR_MIN(a, b) ((a) < (b) ? (a) : (b))
#define WEIR_MAX(a, b) ((a) > (b) ? (a) : (b))
#define WEIR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/*
 * Sets this thread's error text (what weir_error() returns) and returns -err. The sentence names the
 * file, tensor, device or flag, and what is wrong with it; no capital, no full stop, no newline.
 *     return weir_fail(EINVAL, "%s: tensor %s has no dimensions", path, name);
 */
int weir_fail(int err, const char *fmt, ...) WEIR_PRINTF(2, 3);

/* Puts "what: " before the error text that stands, and returns err (0 or -errno) as it was given. */
int weir_fail_in(int err, const char *fmt, ...) WEIR_PRINTF(2, 3);

/* r = a * b or a + b; false when the result does not fit. */
static inline bool weir_size_mul(size_t a, size_t b, size_t *r)
{
	return !__builtin_mul_overflow(a, b, r);
}

static inline bool weir_size_add(size_t a, size_t b, size_t *r)
{
	return !__builtin_add_overflow(a, b, r);
}

/* x rounded up to a multiple of a, a power of two; x must be at most SIZE_MAX - a. */
static inline size_t weir_align_up(size_t x, size_t a)
{
	return (x + a - 1) & ~(a - 1);
}

struct weir_str { /* bytes in what was read; may hold zero bytes; not terminated */
	const char *ptr;
	size_t len;
};

/* Seconds on the monotonic clock. */
double weir_now(void);

/* 128-bit hash of bytes, FNV-1a run twice with different offsets: for cache keys, not for secrets. */
struct weir_hash {
	uint64_t lo, hi;
};
void weir_hash_init(struct weir_hash *h);
void weir_hash_add(struct weir_hash *h, const void *data, size_t size);

bool weir_path_is_folder(const char *path);

/* Makes a folder and its parents (mode 0700). 0 or -errno. */
int weir_path_make(const char *path);

/*
 * $XDG_CACHE_HOME/weir or $HOME/.cache/weir, written to path; -ENOENT when neither is set, -ENAMETOOLONG.
 * Does not create it.
 */
int weir_path_cache(char *path, size_t size);

/*
 * A file that appears under its name only when it is whole: written beside it as a temporary file, then
 * renamed. begin opens the temporary file for writing, commit flushes, syncs and renames it, abort removes
 * it. commit and abort both end the use of f, whatever they return.
 */
struct weir_atomic_file {
	FILE *file;
	char *path, *temp;
};
int weir_atomic_begin(struct weir_atomic_file *f, const char *path);
int weir_atomic_commit(struct weir_atomic_file *f);
void weir_atomic_abort(struct weir_atomic_file *f);

/*
 * Reads a whole file (at most max bytes) into *data, malloced, the caller's to free, with a zero byte
 * after its end. 0 or -errno with a sentence.
 */
int weir_file_read(const char *path, size_t max, char **data, size_t *size);

/*
 * Maps a regular file read-only; the caller's to munmap. NULL and 0 for an empty one. 0 or -errno with a sentence
 * that does not name the file.
 */
int weir_file_map(const char *path, const void **data, size_t *size);

/*
 * Calls fn(user, begin, end) over [0, count) cut into chunks, on up to threads threads (0: one for each CPU
 * that this process may use), the caller's among them. fn returns 0 or -errno; the first error stops the rest and is returned, with
 * its sentence.
 */
int weir_parallel(unsigned threads, size_t count, size_t chunk,
	int (*fn)(void *user, size_t begin, size_t end), void *user);

/* IEEE half and bfloat16 to and from float; to half rounds to nearest even. */
float weir_half_to_float(uint16_t h);
uint16_t weir_float_to_half(float f);
static inline float weir_bf16_to_float(uint16_t b)
{
	uint32_t u = (uint32_t)b << 16;
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

#endif
