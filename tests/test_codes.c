/* SPDX-License-Identifier: MIT */
/* Planes of codes, as quantizers make them: every weight is its code's, and bits lie where kernels look for them. */
#include "base/base.h"
#include "quant/plane.h"
#include "plane_suite.h"
#include "weir/weir.h"

/* The plane begins full of ones: what is not written shows. */
static unsigned char *dirty_plane(const struct weir_plane_layout *l)
{
	return memset(allocate(l->size), 0xff, l->size);
}

static const struct {
	struct weir_plane_format format;
	unsigned bits;
	size_t k;
} coded[] = {
	{{.base = WEIR_PLANE_U4, .group = 128, .zeros = true}, 4, 576}, /* a short last group */
	{{.base = WEIR_PLANE_U4, .group = 128, .zeros = true, .f32_scales = true}, 4, 576},
	{{.base = WEIR_PLANE_U4, .group = 32, .zeros = true}, 4, 96},
	{{.base = WEIR_PLANE_U4, .group = 64, .zero = 8}, 4, 160},
	{{.base = WEIR_PLANE_U3, .group = 128, .zeros = true}, 3, 576},
	{{.base = WEIR_PLANE_U3, .group = 32, .zero = 4, .f32_scales = true}, 3, 32},
	{{.base = WEIR_PLANE_U2, .group = 128, .zeros = true}, 2, 576},
	{{.base = WEIR_PLANE_U2, .group = 96, .zeros = true, .f32_scales = true}, 2, 96},
	{{.base = WEIR_PLANE_U8, .group = 128, .zero = 128}, 8, 576},
	{{.base = WEIR_PLANE_U8, .group = 576, .zero = 128, .f32_scales = true, .row_act = true}, 8,
		576},
	{{.base = WEIR_PLANE_U8, .group = 64, .zeros = true}, 8, 160},
};
#define N_CODED ((int)WEIR_ARRAY_SIZE(coded))

static void coded_layout(int i, size_t rows, struct weir_plane_layout *l)
{
	ck_assert_msg(!weir_plane_layout(&coded[i].format, rows, coded[i].k, 64, l), "%s", weir_error());
}

/* Codes of rows x k at random; the memory is the caller's to free by codes_free. */
static struct weir_codes codes_make(const struct weir_plane_layout *l, unsigned bits)
{
	const size_t n = l->rows * l->groups;
	uint8_t *q = allocate(l->rows * l->k), *zero = allocate(n);
	float *scale = allocate(n * sizeof(*scale));

	for (size_t i = 0; i < l->rows * l->k; i++)
		q[i] = (uint8_t)(next_random() >> (64 - bits));
	for (size_t i = 0; i < n; i++) {
		zero[i] = (uint8_t)(next_random() >> (64 - bits));
		/* Not a half: only a plane of floats keeps it. */
		scale[i] = (float)(next_random() >> 40) * 0x1p-20f - 7;
	}
	return (struct weir_codes){q, scale, l->format.zeros ? zero : (free(zero), NULL)};
}

static void codes_free(struct weir_codes *c)
{
	free((void *)(uintptr_t)c->q);
	free((void *)(uintptr_t)c->scale);
	free((void *)(uintptr_t)c->zero);
}

static float code_weight(const struct weir_plane_layout *l, const struct weir_codes *c, size_t r, size_t k)
{
	const size_t group = r * l->groups + k / l->format.group;
	const int zero = c->zero ? c->zero[group] : l->format.zero;
	float scale = c->scale[group];

	if (!l->format.f32_scales)
		scale = weir_half_to_float(weir_float_to_half(scale));
	return (float)((int)c->q[r * l->k + k] - zero) * scale;
}

/* Every weight of a plane is that of its codes, and a padded row's are zero. */
static void check_codes(const struct weir_plane_layout *l, const void *plane, const struct weir_codes *c)
{
	float *got = allocate(l->k * sizeof(*got));

	for (size_t r = 0; r < l->padded_rows; r++) {
		weir_plane_row(l, plane, r, got);
		for (size_t k = 0; k < l->k; k++) {
			const float want = r < l->rows ? code_weight(l, c, r, k) : 0;

			if (r < l->rows ? bits_of(got[k]) != bits_of(want) : got[k] != 0)
				ck_abort_msg("%zu x %zu: [%zu][%zu] is %a, not %a", l->rows, l->k, r, k,
					(double)got[k], (double)want);
		}
	}
	free(got);
}

START_TEST(put_is_exact)
{
	static const size_t rows[] = {1, 16, 17, 48};

	seed = (uint64_t)_i + 5;
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(rows); i++) {
		struct weir_plane_layout l;
		struct weir_codes codes, half;
		unsigned char *plane, *parts;

		coded_layout(_i, rows[i], &l);
		ck_assert_uint_eq(l.quants_size, l.padded_rows * l.k * coded[_i].bits / 8);
		codes = codes_make(&l, coded[_i].bits);
		plane = dirty_plane(&l);
		parts = dirty_plane(&l);
		weir_plane_put(&l, plane, &codes, 0, rows[i]);
		check_codes(&l, plane, &codes);
		/* The same in two calls, the last rows first. */
		half = codes;
		half.q += 16 * l.k;
		half.scale += 16 * l.groups;
		half.zero = codes.zero ? codes.zero + 16 * l.groups : NULL;
		if (rows[i] > 16)
			weir_plane_put(&l, parts, &half, 16, rows[i] - 16);
		weir_plane_put(&l, parts, &codes, 0, WEIR_MIN(rows[i], (size_t)16));
		ck_assert_mem_eq(parts, plane, l.quants_size);
		ck_assert_mem_eq(parts + l.scales, plane + l.scales, l.scales_size);
		ck_assert_mem_eq(parts + l.extra, plane + l.extra, l.extra_size);
		free(plane);
		free(parts);
		codes_free(&codes);
	}
}
END_TEST

START_TEST(coded_formats_differ)
{
	const struct weir_plane_format *f = &coded[_i].format;

	for (int i = 0; i < N_CODED; i++)
		ck_assert(weir_plane_format_equal(f, &coded[i].format) == (i == _i));
	for (int type = 0; type <= WEIR_TYPE_BF16; type++) {
		const struct weir_plane_format *other = weir_plane_format((enum weir_type)type);

		ck_assert(!other || !weir_plane_format_equal(f, other));
	}
}
END_TEST

/* Where the bits of 2 and 3 bit codes lie. */
START_TEST(u2_u3_vectors)
{
	for (int i = 0; i < N_CODED; i++) {
		const enum weir_plane_base base = coded[i].format.base;
		const size_t low = base == WEIR_PLANE_U3 ? 192 : 128;
		struct weir_plane_layout l;
		struct weir_codes codes;
		unsigned char *plane;

		if (base != WEIR_PLANE_U2 && base != WEIR_PLANE_U3)
			continue;
		coded_layout(i, 16, &l);
		codes = codes_make(&l, coded[i].bits);
		plane = dirty_plane(&l);
		weir_plane_put(&l, plane, &codes, 0, 16);
		for (size_t r = 0; r < 16; r++) {
			for (size_t k = 0; k < l.k; k++) {
				const unsigned char *at = plane + k / 32 * low + r * 4 + k % 4;

				ck_assert_uint_eq(at[k % 32 / 16 * 64] >> (k % 16 / 4 * 2) & 3,
					codes.q[r * l.k + k] & 3);
				if (base == WEIR_PLANE_U3)
					ck_assert_uint_eq(at[128] >> (k % 32 / 4) & 1,
						codes.q[r * l.k + k] >> 2);
			}
		}
		free(plane);
		codes_free(&codes);
	}
}
END_TEST

START_TEST(groups_refused)
{
	static const struct {
		struct weir_plane_format format;
		size_t k;
	} cases[] = {
		{{.base = WEIR_PLANE_U4, .group = 128}, 96},
		{{.base = WEIR_PLANE_U4, .group = 48}, 96},
		{{.base = WEIR_PLANE_U4}, 96},
		{{.base = WEIR_PLANE_U4, .group = 32}, 48},
		{{.base = WEIR_PLANE_U8, .group = 32, .row_act = true}, 96},
	};
	struct weir_plane_layout l;

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(cases); i++)
		ck_assert_int_eq(weir_plane_layout(&cases[i].format, 16, cases[i].k, 64, &l), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("codes");
	TCase *tc = tcase_create("codes");

	tcase_add_loop_test(tc, put_is_exact, 0, N_CODED);
	tcase_add_loop_test(tc, coded_formats_differ, 0, N_CODED);
	tcase_add_test(tc, u2_u3_vectors);
	tcase_add_test(tc, groups_refused);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
