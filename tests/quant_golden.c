/* SPDX-License-Identifier: MIT */
/* Reader of tests/golden/quant.pack, and the inputs that tests/golden/make_quant.py makes as well. */
#include "quant_golden.h"

#include <check.h>

#include "base/base.h"

#define NAME 64
#define HEAD 12 /* magic, count */

static char *file;
static size_t file_size;

static uint32_t u32_at(size_t at)
{
	uint32_t v;

	memcpy(&v, file + at, sizeof(v));
	return v;
}

/* The first byte after a record, 0 when it does not lie in the file. */
static size_t record_end(size_t at)
{
	if (file_size - at < NAME + 4 || u32_at(at + NAME) > file_size - at - NAME - 4)
		return 0;
	return at + NAME + 4 + u32_at(at + NAME);
}

const char *quant_golden_open(const char *path)
{
	size_t at = HEAD;

	if (weir_file_read(path, 1 << 20, &file, &file_size))
		return "cannot be read";
	if (file_size < HEAD || memcmp(file, "WEIRQNT1", 8))
		return "does not begin as it should";
	for (uint32_t i = 0; at && i < u32_at(8); i++)
		at = record_end(at);
	return at == file_size ? NULL : "has a damaged record";
}

void quant_golden_close(void)
{
	free(file);
	file = NULL;
}

const void *quant_golden(const char *name, size_t n, size_t size)
{
	for (size_t at = HEAD; at < file_size; at = record_end(at)) {
		if (strncmp(file + at, name, NAME))
			continue;
		ck_assert_msg(u32_at(at + NAME) == n * size, "%s has %u bytes", name, u32_at(at + NAME));
		return file + at + NAME + 4;
	}
	ck_abort_msg("no record %s", name);
	return NULL;
}

/* splitmix64 (Steele, Lea, Flood 2014), its four 16-bit parts added up. */
static float draw(uint32_t seed, size_t i)
{
	uint64_t z = ((uint64_t)seed << 32) + i + 1;
	int64_t sum = -131070;

	z *= UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	z ^= z >> 31;
	for (int part = 0; part < 4; part++)
		sum += z >> (16 * part) & 0xffff;
	return (float)sum * 0x1p-16f;
}

static float *floats(size_t n)
{
	float *p = malloc(n * sizeof(*p));

	ck_assert_ptr_nonnull(p);
	return p;
}

float *quant_weights(uint32_t seed, size_t rows, size_t k)
{
	float *w = floats(rows * k);

	for (size_t i = 0; i < rows * k; i++) {
		float v = draw(seed, i);

		w[i] = v * v * v * 0.0625f + v * 0.03125f;
	}
	return w;
}

float *quant_tokens(uint32_t seed, size_t n, size_t k)
{
	static const float sizes[] = {0.25f, 0.5f, 1, 2, 4};
	float *x = floats(n * k);

	for (size_t i = 0; i < n * k; i++) {
		size_t c = i % k;
		bool outlier = c % 37 == 5;

		x[i] = (draw(seed, i) + (outlier ? 0.5f : 0)) * (outlier ? 24 : sizes[c * 7 % 5]);
	}
	return x;
}
