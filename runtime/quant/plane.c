/* SPDX-License-Identifier: MIT */
/* Planes: which one a type has, how large it is, and its rows as float. */
#include "quant/plane.h"

#include "base/base.h"
#include "quant/blocks.h"

static const struct weir_plane_format f32_plane = {.base = WEIR_PLANE_F32};
static const struct weir_plane_format f16_plane = {.base = WEIR_PLANE_F16};
static const struct weir_plane_format bf16_plane = {.base = WEIR_PLANE_BF16};
static const struct weir_plane_format q4_0_plane = {.base = WEIR_PLANE_U4, .group = 32, .zero = 8};
static const struct weir_plane_format q4_1_plane = {
	.base = WEIR_PLANE_U4, .group = 32, .has_min = true};
static const struct weir_plane_format q5_0_plane = {.base = WEIR_PLANE_U8, .group = 32, .zero = 16};
static const struct weir_plane_format q5_1_plane = {
	.base = WEIR_PLANE_U8, .group = 32, .has_min = true};
static const struct weir_plane_format q8_0_plane = {
	.base = WEIR_PLANE_U8, .group = 32, .zero = 128};
static const struct weir_plane_format q2_k_plane = {
	.base = WEIR_PLANE_U4, .group = 16, .two_level = true, .has_min = true};
static const struct weir_plane_format q3_k_plane = {
	.base = WEIR_PLANE_U4, .group = 16, .two_level = true, .zero = 4};
static const struct weir_plane_format q4_k_plane = {
	.base = WEIR_PLANE_U4, .group = 32, .two_level = true, .has_min = true};
static const struct weir_plane_format q5_k_plane = {
	.base = WEIR_PLANE_U8, .group = 32, .two_level = true, .has_min = true};
static const struct weir_plane_format q6_k_plane = {
	.base = WEIR_PLANE_U8, .group = 16, .two_level = true, .zero = 32};

const struct weir_plane_format *weir_plane_format(enum weir_type type)
{
	switch (type) {
	case WEIR_TYPE_F32:
		return &f32_plane;
	case WEIR_TYPE_F16:
		return &f16_plane;
	case WEIR_TYPE_BF16:
		return &bf16_plane;
	case WEIR_TYPE_Q4_0:
		return &q4_0_plane;
	case WEIR_TYPE_Q4_1:
		return &q4_1_plane;
	case WEIR_TYPE_Q5_0:
		return &q5_0_plane;
	case WEIR_TYPE_Q5_1:
		return &q5_1_plane;
	case WEIR_TYPE_Q8_0:
		return &q8_0_plane;
	case WEIR_TYPE_Q2_K:
		return &q2_k_plane;
	case WEIR_TYPE_Q3_K:
		return &q3_k_plane;
	case WEIR_TYPE_Q4_K:
		return &q4_k_plane;
	case WEIR_TYPE_Q5_K:
		return &q5_k_plane;
	case WEIR_TYPE_Q6_K:
		return &q6_k_plane;
	}
	return NULL;
}

bool weir_plane_format_equal(const struct weir_plane_format *a, const struct weir_plane_format *b)
{
	return a->base == b->base && a->group == b->group && a->two_level == b->two_level &&
	       a->has_min == b->has_min && a->zero == b->zero && a->zeros == b->zeros &&
	       a->f32_scales == b->f32_scales && a->row_act == b->row_act;
}

/* a * b / c, where c divides a. */
static bool scaled(size_t a, size_t b, size_t c, size_t *out)
{
	return weir_size_mul(a / c, b, out);
}

/*
 * Sizes of the three parts for padded * k weights, and the region's; false when one does not fit.
 */
static bool measure(struct weir_plane_layout *l, size_t weights, size_t align)
{
	static const size_t bits[] = {
		[WEIR_PLANE_U2] = 2,
		[WEIR_PLANE_U3] = 3,
		[WEIR_PLANE_U4] = 4,
		[WEIR_PLANE_U8] = 8,
		[WEIR_PLANE_F16] = 16,
		[WEIR_PLANE_BF16] = 16,
		[WEIR_PLANE_F32] = 32,
	};
	const struct weir_plane_format *f = &l->format;
	const size_t parts = f->has_min ? 2 : 1;
	size_t end;

	/* In whole bytes: 16 rows of 3 bits are 6 bytes. */
	if (!scaled(weights, bits[f->base], 8, &l->quants_size))
		return false;
	l->scales_size = 0;
	l->extra_size = 0;
	if (!weir_plane_is_float(f)) {
		/* At most 4 bytes for 32 weights, which take 8 or more: no overflow. */
		const size_t values = l->padded_rows * l->groups * parts;

		l->scales_size = values * (f->two_level ? 1 : f->f32_scales ? 4 : 2);
		if (f->two_level)
			l->extra_size = weights / WEIR_PLANE_SUPER * parts * 2;
		else if (f->zeros)
			l->extra_size = values;
	}
	/* Room for both sums and three roundings up. */
	if (!weir_size_add(l->quants_size, l->scales_size, &end) ||
		!weir_size_add(end, l->extra_size, &end) || end > SIZE_MAX / 2 ||
		align > SIZE_MAX / 8)
		return false;
	l->scales = weir_align_up(l->quants_size, align);
	l->extra = weir_align_up(l->scales + l->scales_size, align);
	l->size = weir_align_up(l->extra + l->extra_size, align);
	return true;
}

/* Whether rows of k have this format's groups. */
static int check_groups(const struct weir_plane_format *f, size_t k)
{
	const size_t block = weir_plane_is_float(f) ? 1 : f->two_level ? WEIR_PLANE_SUPER : 32;

	if (k % block)
		return weir_fail(
			EINVAL, "rows of %zu weights are not whole blocks of %zu", k, block);
	if (weir_plane_is_float(f) || f->two_level)
		return 0;
	if (!f->group || f->group % 32 || f->group > k || (f->row_act && f->group != k))
		return weir_fail(EINVAL,
			"rows of %zu weights have no groups of %u: a group is a multiple of 32", k,
			(unsigned)f->group);
	return 0;
}

int weir_plane_layout(const struct weir_plane_format *format, size_t rows, size_t k, size_t align,
	struct weir_plane_layout *out)
{
	size_t weights;
	int err;

	if (!rows || !k)
		return weir_fail(EINVAL, "a matrix of %zu x %zu weights has no plane", rows, k);
	if (!align || (align & (align - 1)))
		return weir_fail(EINVAL, "a plane's alignment is %zu, not a power of two", align);
	err = check_groups(format, k);
	if (err)
		return err;
	*out = (struct weir_plane_layout){.format = *format, .rows = rows, .k = k};
	if (rows > SIZE_MAX - WEIR_PLANE_ROWS)
		goto overflow;
	out->padded_rows = weir_align_up(rows, WEIR_PLANE_ROWS);
	if (format->group)
		out->groups = k / format->group + (k % format->group != 0);
	if (!weir_size_mul(out->padded_rows, k, &weights) || !measure(out, weights, align))
		goto overflow;
	return 0;

overflow:
	return weir_fail(
		EOVERFLOW, "a matrix of %zu x %zu weights does not fit in memory", rows, k);
}

/* ---- rows as float --------------------------------------------------------------------------- */

struct row {
	const struct weir_plane_layout *layout;
	const uint8_t *quants, *scales, *extra; /* of the row's block of 16 */
	size_t lane;				 /* of the row in it */
};

static void float_row(const struct row *r, float *out)
{
	const size_t size = r->layout->format.base == WEIR_PLANE_F32 ? 4 : 2;

	for (size_t k = 0; k < r->layout->k; k++) {
		const uint8_t *at = r->quants + (k * WEIR_PLANE_ROWS + r->lane) * size;

		if (r->layout->format.base == WEIR_PLANE_F32)
			memcpy(&out[k], at, sizeof(*out));
		else if (r->layout->format.base == WEIR_PLANE_F16)
			out[k] = weir_load_half(at);
		else
			out[k] = weir_bf16_to_float(weir_load_u16(at));
	}
}

static int quant_at(const struct row *r, size_t k)
{
	const size_t byte = r->lane * 4 + k % 4;
	const uint8_t *three;
	int low;

	switch (r->layout->format.base) {
	case WEIR_PLANE_U2:
		return r->quants[k / 16 * 64 + byte] >> (k % 16 / 4 * 2) & 3;
	case WEIR_PLANE_U3:
		three = r->quants + k / 32 * 192 + byte;
		low = three[k % 32 / 16 * 64] >> (k % 16 / 4 * 2) & 3;
		return low | (three[128] >> (k % 32 / 4) & 1) << 2;
	case WEIR_PLANE_U4:
		return r->quants[k / 8 * 64 + byte] >> (k % 8 / 4 * 4) & 15;
	default:
		return r->quants[k / 4 * 64 + byte];
	}
}

/* What stands for zero in group g. */
static int zero_at(const struct row *r, size_t g)
{
	const struct weir_plane_format *f = &r->layout->format;

	return f->zeros ? r->extra[g * WEIR_PLANE_ROWS + r->lane] : f->zero;
}

/* Scale and minimum of group g. */
static void scale_at(const struct row *r, size_t g, float *scale, float *min)
{
	const struct weir_plane_format *f = &r->layout->format;
	const size_t width = f->has_min ? 2 * WEIR_PLANE_ROWS : WEIR_PLANE_ROWS;
	const size_t at = g * width + r->lane;
	const uint8_t *super;

	*min = 0;
	if (f->f32_scales) {
		memcpy(scale, r->scales + 4 * at, sizeof(*scale));
		return;
	}
	if (!f->two_level) {
		*scale = weir_load_half(r->scales + 2 * at);
		if (f->has_min)
			*min = weir_load_half(r->scales + 2 * (at + WEIR_PLANE_ROWS));
		return;
	}
	super = r->extra + 2 * (g * f->group / WEIR_PLANE_SUPER * width + r->lane);
	*scale = weir_load_half(super) * (float)(int8_t)r->scales[at];
	if (f->has_min)
		*min = -weir_load_half(super + 2 * WEIR_PLANE_ROWS) *
		       (float)r->scales[at + WEIR_PLANE_ROWS];
}

static void quant_row(const struct row *r, float *out)
{
	const struct weir_plane_format *f = &r->layout->format;
	float scale = 0, min = 0;
	int zero = 0;

	for (size_t k = 0; k < r->layout->k; k++) {
		if (k % f->group == 0) {
			scale_at(r, k / f->group, &scale, &min);
			zero = zero_at(r, k / f->group);
		}
		if (f->has_min)
			out[k] = (float)quant_at(r, k) * scale + min;
		else
			out[k] = (float)(quant_at(r, k) - zero) * scale;
	}
}

void weir_plane_row(
	const struct weir_plane_layout *layout, const void *plane, size_t row, float *out)
{
	const size_t block = row / WEIR_PLANE_ROWS, blocks = layout->padded_rows / WEIR_PLANE_ROWS;
	const uint8_t *base = plane;
	const struct row r = {
		.layout = layout,
		.quants = base + layout->quants_size / blocks * block,
		.scales = base + layout->scales + layout->scales_size / blocks * block,
		.extra = base + layout->extra + layout->extra_size / blocks * block,
		.lane = row % WEIR_PLANE_ROWS,
	};

	if (weir_plane_is_float(&layout->format))
		float_row(&r, out);
	else
		quant_row(&r, out);
}
