/* SPDX-License-Identifier: MIT */
/* Dequantisation against golden vectors, and planes: layout, packing, and that nothing is lost. */
#include <math.h>

#include "base/base.h"
#include "quant/plane.h"
#include "plane_suite.h"
#include "weir/weir.h"

static const enum weir_type types[] = {
	WEIR_TYPE_F32,
	WEIR_TYPE_F16,
	WEIR_TYPE_BF16,
	WEIR_TYPE_Q4_0,
	WEIR_TYPE_Q4_1,
	WEIR_TYPE_Q5_0,
	WEIR_TYPE_Q5_1,
	WEIR_TYPE_Q8_0,
	WEIR_TYPE_Q2_K,
	WEIR_TYPE_Q3_K,
	WEIR_TYPE_Q4_K,
	WEIR_TYPE_Q5_K,
	WEIR_TYPE_Q6_K,
};
#define N_TYPES ((int)WEIR_ARRAY_SIZE(types))

/* ---- golden vectors -------------------------------------------------------------------------- */

/*
 * golden_dequant.bin was made with the Python package gguf, the reference dequantisation of the
 * GGUF project: for each type 7 blocks of random bytes (48 numbers for the floats, infinities and
 * NaN left out), whose halves d, dmin and m were set to a normal one, a negative one, the smallest
 * subnormal, a negative subnormal, 65504, the smallest normal and -0 in turn, and what
 * gguf.quants.dequantize gives for them. After 8 bytes of magic, for each type three little-endian
 * u32: its number, bytes, weights; then the bytes, then the weights as float.
 */
#define GOLDEN "tests/golden_dequant.bin"

struct golden {
	uint32_t type, bytes, weights;
};

static const char *check_golden(const char *at)
{
	struct golden g;
	float *got, want;

	memcpy(&g, at, sizeof(g));
	at += sizeof(g);
	got = allocate(g.weights * sizeof(*got));
	weir_type_to_float((enum weir_type)g.type, at, g.weights, got);
	at += g.bytes;
	for (uint32_t i = 0; i < g.weights; i++, at += sizeof(want)) {
		memcpy(&want, at, sizeof(want));
		if (bits_of(got[i]) != bits_of(want))
			ck_abort_msg("%s: weight %u is %a, not %a", weir_type_name(g.type), i,
				(double)got[i], (double)want);
	}
	free(got);
	return at;
}

START_TEST(golden)
{
	const char *at;
	size_t size;
	char *data;
	int n = 0;

	ck_assert_msg(!weir_file_read(GOLDEN, 1 << 20, &data, &size),
		"%s (run this from the repository's root)", weir_error());
	ck_assert(size > 8 && !memcmp(data, "WEIRGOLD", 8));
	for (at = data + 8; at < data + size; n++)
		at = check_golden(at);
	ck_assert_ptr_eq(at, data + size);
	ck_assert_int_eq(n, N_TYPES);
	free(data);
}
END_TEST

/* ---- layout ---------------------------------------------------------------------------------- */

static void layout_of(enum weir_type type, size_t rows, size_t k, struct weir_plane_layout *l)
{
	ck_assert_msg(
		!weir_plane_layout(weir_plane_format(type), rows, k, 64, l), "%s", weir_error());
}

START_TEST(formats)
{
	const enum weir_type type = types[_i];
	const struct weir_plane_format *f = weir_plane_format(type);

	ck_assert_ptr_nonnull(f);
	ck_assert(weir_plane_format_equal(f, f));
	for (int i = 0; i < N_TYPES; i++) {
		if (i != _i)
			ck_assert(!weir_plane_format_equal(f, weir_plane_format(types[i])));
	}
	ck_assert_ptr_null(weir_plane_format((enum weir_type)17));
}
END_TEST

START_TEST(layout_sizes)
{
	struct weir_plane_layout l;

	layout_of(WEIR_TYPE_Q4_K, 17, 512, &l);
	ck_assert_uint_eq(l.padded_rows, 32);
	ck_assert_uint_eq(l.quants_size, 32 * 512 / 2);
	ck_assert_uint_eq(l.scales_size, 32 * (512 / 32) * 2);
	ck_assert_uint_eq(l.extra_size, 32 * (512 / 256) * 4);
	ck_assert_uint_eq(l.scales, l.quants_size);
	ck_assert_uint_eq(l.extra, l.scales + l.scales_size);
	ck_assert_uint_eq(l.size, l.extra + l.extra_size);

	layout_of(WEIR_TYPE_Q8_0, 16, 32, &l);
	ck_assert_uint_eq(l.quants_size, 16 * 32);
	ck_assert_uint_eq(l.scales_size, 16 * 2);
	ck_assert_uint_eq(l.extra_size, 0);
	ck_assert_uint_eq(l.size, 16 * 32 + 64); /* 32 bytes of scales take an aligned 64 */

	layout_of(WEIR_TYPE_F16, 1, 7, &l);
	ck_assert_uint_eq(l.quants_size, 16 * 7 * 2);
	ck_assert_uint_eq(l.scales_size, 0);
	ck_assert_uint_eq(l.size, 256);
	ck_assert(!weir_plane_layout(weir_plane_format(WEIR_TYPE_F32), 1, 1, 4096, &l));
	ck_assert_uint_eq(l.size, 4096);
}
END_TEST

START_TEST(layout_refuses)
{
	static const struct {
		enum weir_type type;
		size_t rows, k, align;
		int err;
		const char *sentence;
	} cases[] = {
		{WEIR_TYPE_Q4_0, 16, 48, 64, -EINVAL,
			"rows of 48 weights are not whole blocks of 32"},
		{WEIR_TYPE_Q6_K, 16, 288, 64, -EINVAL,
			"rows of 288 weights are not whole blocks of 256"},
		{WEIR_TYPE_F32, 0, 4, 64, -EINVAL, "a matrix of 0 x 4 weights has no plane"},
		{WEIR_TYPE_F32, 4, 0, 64, -EINVAL, "a matrix of 4 x 0 weights has no plane"},
		{WEIR_TYPE_F32, 4, 4, 48, -EINVAL, "a plane's alignment is 48, not a power of two"},
		{WEIR_TYPE_F32, SIZE_MAX - 3, 1, 64, -EOVERFLOW, NULL},
		{WEIR_TYPE_F32, SIZE_MAX / 4, 1, 64, -EOVERFLOW, NULL},
		{WEIR_TYPE_F16, SIZE_MAX / 4, 2, 64, -EOVERFLOW, NULL},
		{WEIR_TYPE_Q8_0, (size_t)1 << (sizeof(size_t) * 4),
			(size_t)1 << (sizeof(size_t) * 4), 64, -EOVERFLOW, NULL},
		{WEIR_TYPE_Q8_0, (size_t)1 << (sizeof(size_t) * 8 - 6), 32, 64, -EOVERFLOW, NULL},
	};
	struct weir_plane_layout l;

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(cases); i++) {
		ck_assert_int_eq(weir_plane_layout(weir_plane_format(cases[i].type), cases[i].rows,
					 cases[i].k, cases[i].align, &l),
			cases[i].err);
		if (cases[i].sentence)
			ck_assert_str_eq(weir_error(), cases[i].sentence);
	}
}
END_TEST

/* ---- packing --------------------------------------------------------------------------------- */

/* Random bytes; halves and floats may be anything, also NaN: a plane keeps them. */
static unsigned char *random_rows(enum weir_type type, size_t rows, size_t k, size_t *row_size)
{
	size_t weights, bytes, size;
	unsigned char *src;

	ck_assert(weir_type_block(type, &weights, &bytes));
	*row_size = k / weights * bytes;
	size = rows * *row_size;
	src = allocate(size);
	for (size_t i = 0; i < size; i++)
		src[i] = (unsigned char)(next_random() >> 32);
	return src;
}

/* The same bits; of a NaN, that it is one: the sign that arithmetic gives it is the machine's. */
static bool same(float a, float b)
{
	return bits_of(a) == bits_of(b) || (a != a && b != b);
}

/* Not an assertion for each weight: check writes each one down, which takes longer than the test.
 */
static void check_weight(const struct weir_plane_layout *l, enum weir_type type, size_t r, size_t k,
	float got, float want)
{
	if (!same(got, want))
		ck_abort_msg("%s %zu x %zu: [%zu][%zu] is %a, not %a", weir_type_name(type),
			l->rows, l->k, r, k, (double)got, (double)want);
}

static void check_rows(const struct weir_plane_layout *l, const void *plane, enum weir_type type,
	const unsigned char *src, size_t row_size)
{
	float *want = allocate(l->k * sizeof(float)), *got = allocate(l->k * sizeof(float));

	for (size_t r = 0; r < l->rows; r++) {
		weir_type_to_float(type, src + r * row_size, l->k, want);
		weir_plane_row(l, plane, r, got);
		for (size_t k = 0; k < l->k; k++)
			check_weight(l, type, r, k, got[k], want[k]);
	}
	for (size_t r = l->rows; r < l->padded_rows; r++) {
		weir_plane_row(l, plane, r, got);
		for (size_t k = 0; k < l->k; k++)
			check_weight(l, type, r, k, fabsf(got[k]), 0);
	}
	free(want);
	free(got);
}

/* The plane begins full of ones: what is not written shows. */
static unsigned char *dirty_plane(const struct weir_plane_layout *l)
{
	return memset(allocate(l->size), 0xff, l->size);
}

static void check_pack(enum weir_type type, size_t rows, size_t k)
{
	struct weir_plane_layout l;
	unsigned char *plane, *parts, *src;
	size_t row_size;

	layout_of(type, rows, k, &l);
	src = random_rows(type, rows, k, &row_size);
	plane = dirty_plane(&l);
	parts = dirty_plane(&l);
	weir_plane_pack(&l, plane, type, src, 0, rows);
	check_rows(&l, plane, type, src, row_size);
	/* Ranges of 16 and 32 rows, the last one first. */
	for (size_t first = rows / 32 * 32;; first -= 32) {
		const size_t n = WEIR_MIN(rows - first, (size_t)32), half = WEIR_MIN(n, (size_t)16);

		if (n > half)
			weir_plane_pack(&l, parts, type, src + (first + half) * row_size,
				first + half, n - half);
		if (half)
			weir_plane_pack(&l, parts, type, src + first * row_size, first, half);
		if (!first)
			break;
	}
	ck_assert_mem_eq(parts, plane, l.quants_size);
	ck_assert_mem_eq(parts + l.scales, plane + l.scales, l.scales_size);
	ck_assert_mem_eq(parts + l.extra, plane + l.extra, l.extra_size);
	free(plane);
	free(parts);
	free(src);
}

START_TEST(pack_is_exact)
{
	static const size_t rows[] = {1, 15, 16, 17, 33, 48, 100};
	size_t weights, bytes;

	seed = (uint64_t)_i;
	ck_assert(weir_type_block(types[_i], &weights, &bytes));
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(rows); i++) {
		check_pack(types[_i], rows[i], weights);
		check_pack(types[_i], rows[i], 3 * weights);
		if (weights == 1) {
			check_pack(types[_i], rows[i], 16);
			check_pack(types[_i], rows[i], 77);
		}
	}
}
END_TEST

/*
 * Rows that another call packs must stay as they are: those of the same 16 too, unless they are
 * padding.
 */
START_TEST(pack_leaves_other_rows)
{
	const enum weir_type type = types[_i];
	struct weir_plane_layout l;
	size_t weights, bytes, row_size, k;
	unsigned char *plane, *src;
	float *before, *after;

	seed = 99;
	ck_assert(weir_type_block(type, &weights, &bytes));
	k = 2 * weights;
	layout_of(type, 64, k, &l);
	src = random_rows(type, 64, k, &row_size);
	plane = dirty_plane(&l);
	before = allocate(k * sizeof(float));
	after = allocate(k * sizeof(float));
	weir_plane_pack(&l, plane, type, src, 0, 64);
	weir_plane_pack(&l, plane, type, src, 16, 21); /* rows 16 to 36 */
	for (size_t r = 0; r < 64; r++) {
		const size_t from = r >= 16 && r < 37 ? r - 16 : r;

		weir_type_to_float(type, src + from * row_size, k, before);
		weir_plane_row(&l, plane, r, after);
		for (size_t i = 0; i < k; i++)
			check_weight(&l, type, r, i, after[i], before[i]);
	}
	free(plane);
	free(src);
	free(before);
	free(after);
}
END_TEST

/* ---- where bytes lie: what kernels rely on --------------------------------------------------- */

static uint16_t half_at(const unsigned char *p)
{
	uint16_t h;

	memcpy(&h, p, sizeof(h));
	return h;
}

START_TEST(u4_vectors)
{
	struct weir_plane_layout l;
	unsigned char src[32][2][18], *plane;

	/* Row r, block b: scale 0x1000 + 16 r + b; weight i is (r + i + b) & 15. */
	for (unsigned r = 0; r < 32; r++) {
		for (unsigned b = 0; b < 2; b++) {
			src[r][b][0] = (unsigned char)(16 * r + b);
			src[r][b][1] = (unsigned char)(0x10 + (r >> 4));
			for (unsigned i = 0; i < 16; i++)
				src[r][b][2 + i] = (unsigned char)(((r + i + b) & 15) |
								   ((r + i + 16 + b) & 15) << 4);
		}
	}
	layout_of(WEIR_TYPE_Q4_0, 32, 64, &l);
	plane = dirty_plane(&l);
	weir_plane_pack(&l, plane, WEIR_TYPE_Q4_0, src, 0, 32);
	for (unsigned r = 0; r < 32; r++) {
		const unsigned char *q = plane + r / 16 * (64 / 8 * 64);

		for (unsigned k = 0; k < 64; k++) {
			const unsigned z = k / 8, j = k % 4, high = k % 8 / 4;

			ck_assert_uint_eq(q[z * 64 + r % 16 * 4 + j] >> (4 * high) & 15,
				(r + k % 32 + k / 32) & 15);
		}
		for (unsigned b = 0; b < 2; b++)
			ck_assert_uint_eq(
				half_at(plane + l.scales + 2 * ((r / 16 * 2 + b) * 16 + r % 16)),
				0x1000 + 16 * r + b);
	}
	free(plane);
}
END_TEST

START_TEST(u8_vectors)
{
	struct weir_plane_layout l;
	unsigned char src[16][34], *plane;

	for (unsigned r = 0; r < 16; r++) {
		src[r][0] = (unsigned char)r;
		src[r][1] = 0x3c;
		for (unsigned k = 0; k < 32; k++)
			src[r][2 + k] = (unsigned char)(r * 37 + k * 5);
	}
	layout_of(WEIR_TYPE_Q8_0, 16, 32, &l);
	plane = dirty_plane(&l);
	weir_plane_pack(&l, plane, WEIR_TYPE_Q8_0, src, 0, 16);
	for (unsigned r = 0; r < 16; r++) {
		for (unsigned k = 0; k < 32; k++)
			ck_assert_uint_eq(
				plane[k / 4 * 64 + r * 4 + k % 4], ((r * 37 + k * 5) & 255) ^ 128);
		ck_assert_uint_eq(half_at(plane + l.scales + 2 * r), 0x3c00 + r);
	}
	free(plane);
}
END_TEST

/* Q2_K: one byte has scale and minimum of 16 weights. */
START_TEST(two_level_scales)
{
	struct weir_plane_layout l;
	unsigned char src[16][2][84], *plane;

	memset(src, 0, sizeof(src));
	for (unsigned r = 0; r < 16; r++) {
		for (unsigned s = 0; s < 2; s++) {
			for (unsigned g = 0; g < 16; g++)
				src[r][s][g] = (unsigned char)(((r + g) & 15) |
							       ((r + 3 * g + s) & 15) << 4);
			src[r][s][80] = (unsigned char)(2 * r + s); /* d, dmin */
			src[r][s][82] = (unsigned char)(100 + 2 * r + s);
		}
	}
	layout_of(WEIR_TYPE_Q2_K, 16, 512, &l);
	plane = dirty_plane(&l);
	weir_plane_pack(&l, plane, WEIR_TYPE_Q2_K, src, 0, 16);
	for (unsigned r = 0; r < 16; r++) {
		for (unsigned g = 0; g < 32; g++) {
			const unsigned char *scales = plane + l.scales + g * 32;

			ck_assert_uint_eq(scales[r], (r + g) & 15);
			ck_assert_uint_eq(scales[16 + r], (r + 3 * (g & 15) + g / 16) & 15);
		}
		for (unsigned s = 0; s < 2; s++) {
			const unsigned char *extra = plane + l.extra + s * 64;

			ck_assert_uint_eq(half_at(extra + 2 * r), 2 * r + s);
			ck_assert_uint_eq(half_at(extra + 32 + 2 * r), 100 + 2 * r + s);
		}
	}
	free(plane);
}
END_TEST

START_TEST(float_columns)
{
	struct weir_plane_layout l;
	unsigned char *plane;
	float src[17][5], got;

	for (unsigned r = 0; r < 17; r++) {
		for (unsigned k = 0; k < 5; k++)
			src[r][k] = (float)(10 * r + k);
	}
	layout_of(WEIR_TYPE_F32, 17, 5, &l);
	plane = dirty_plane(&l);
	weir_plane_pack(&l, plane, WEIR_TYPE_F32, src, 0, 17);
	for (unsigned r = 0; r < 32; r++) {
		for (unsigned k = 0; k < 5; k++) {
			memcpy(&got, plane + 4 * ((r / 16 * 5 + k) * 16 + r % 16), sizeof(got));
			ck_assert(got == (r < 17 ? src[r][k] : 0));
		}
	}
	free(plane);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("plane");
	TCase *tc = tcase_create("plane");

	tcase_add_test(tc, golden);
	tcase_add_loop_test(tc, formats, 0, N_TYPES);
	tcase_add_test(tc, layout_sizes);
	tcase_add_test(tc, layout_refuses);
	tcase_add_loop_test(tc, pack_is_exact, 0, N_TYPES);
	tcase_add_loop_test(tc, pack_leaves_other_rows, 0, N_TYPES);
	tcase_add_test(tc, u4_vectors);
	tcase_add_test(tc, u8_vectors);
	tcase_add_test(tc, two_level_scales);
	tcase_add_test(tc, float_columns);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
