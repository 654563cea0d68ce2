/* SPDX-License-Identifier: MIT */
/* Repacks rows from a file's blocks, or from codes, into planes: bits move, no weight becomes a float. */
#include "quant/plane.h"

#include "base/base.h"
#include "quant/blocks.h"

/* A file block taken apart: its quants in order of k, and its scales. */
struct parts {
	uint8_t q[256];
	uint16_t d, min; /* halves: scale and minimum of the block, or of its super block */
	int8_t scale[16];
	uint8_t min8[16];
};

/* ---- blocks apart ---------------------------------------------------------------------------- */

static inline void split_nibbles(const uint8_t *restrict qs, size_t n, uint8_t *restrict q)
{
	for (size_t i = 0; i < n; i++) {
		q[i] = qs[i] & 15;
		q[i + n] = qs[i] >> 4;
	}
}

static void part_q4_0(const void *src, struct parts *p)
{
	const struct weir_block_q4_0 *b = src;

	p->d = weir_load_u16(b->d);
	split_nibbles(b->qs, 16, p->q);
}

static void part_q4_1(const void *src, struct parts *p)
{
	const struct weir_block_q4_1 *b = src;

	p->d = weir_load_u16(b->d);
	p->min = weir_load_u16(b->m);
	split_nibbles(b->qs, 16, p->q);
}

/*
 * Of each of 32 bytes at from, the bits under mask << shift: moved down by shift and up by up, and
 * added to q's byte. Eight bytes at a time; what a shift drags over from a neighbour is masked
 * away.
 */
static inline void add_bits(
	uint8_t *q, const uint8_t *from, unsigned shift, uint64_t mask, unsigned up)
{
	mask *= UINT64_C(0x0101010101010101);
	for (int i = 0; i < 32; i += 8) {
		uint64_t bits, q8;

		memcpy(&bits, from + i, sizeof(bits));
		memcpy(&q8, q + i, sizeof(q8));
		q8 |= (bits >> shift & mask) << up;
		memcpy(q + i, &q8, sizeof(q8));
	}
}

/*
 * Adds bit i of 32 to q[i] as its fifth bit, eight at a time: the product spreads a byte's bits
 * over eight bytes.
 */
static inline void add_fifth_bits(const uint8_t qh[4], uint8_t q[32])
{
	for (int i = 0; i < 4; i++) {
		uint64_t q8, spread = qh[i] * UINT64_C(0x0101010101010101);

		spread &= UINT64_C(0x8040201008040201);
		/* A bit anywhere in a byte becomes its top bit: 0x7f and 0x01 to 0x80 reach it. */
		spread = (spread + UINT64_C(0x7f7f7f7f7f7f7f7f)) & UINT64_C(0x8080808080808080);
		memcpy(&q8, q + 8 * i, sizeof(q8));
		q8 |= spread >> 3;
		memcpy(q + 8 * i, &q8, sizeof(q8));
	}
}

static void part_q5_0(const void *src, struct parts *p)
{
	const struct weir_block_q5_0 *b = src;

	p->d = weir_load_u16(b->d);
	split_nibbles(b->qs, 16, p->q);
	add_fifth_bits(b->qh, p->q);
}

static void part_q5_1(const void *src, struct parts *p)
{
	const struct weir_block_q5_1 *b = src;

	p->d = weir_load_u16(b->d);
	p->min = weir_load_u16(b->m);
	split_nibbles(b->qs, 16, p->q);
	add_fifth_bits(b->qh, p->q);
}

static void part_q8_0(const void *src, struct parts *p)
{
	const struct weir_block_q8_0 *b = src;

	p->d = weir_load_u16(b->d);
	for (int i = 0; i < 32; i++)
		p->q[i] = (uint8_t)b->qs[i] ^ 0x80; /* + 128 */
}

static void part_q2_k(const void *src, struct parts *p)
{
	const struct weir_block_q2_k *b = src;

	p->d = weir_load_u16(b->d);
	p->min = weir_load_u16(b->dmin);
	for (int i = 0; i < 16; i++) {
		p->scale[i] = b->scales[i] & 15;
		p->min8[i] = b->scales[i] >> 4;
	}
	memset(p->q, 0, sizeof(p->q));
	for (unsigned c = 0; c < 8; c++)
		add_bits(p->q + 32 * c, b->qs + c / 4 * 32, c % 4 * 2, 3, 0);
}

static void part_q3_k(const void *src, struct parts *p)
{
	const struct weir_block_q3_k *b = src;

	p->d = weir_load_u16(b->d);
	weir_unpack_q3_scales(b->scales, p->scale);
	memset(p->q, 0, sizeof(p->q));
	for (unsigned c = 0; c < 8; c++) {
		add_bits(p->q + 32 * c, b->qs + c / 4 * 32, c % 4 * 2, 3, 0);
		add_bits(p->q + 32 * c, b->hmask, c, 1, 2);
	}
}

static void part_q4_k(const void *src, struct parts *p)
{
	const struct weir_block_q4_k *b = src;

	p->d = weir_load_u16(b->d);
	p->min = weir_load_u16(b->dmin);
	weir_unpack_k4_scales(b->scales, (uint8_t *)p->scale, p->min8);
	for (int c = 0; c < 4; c++)
		split_nibbles(b->qs + 32 * c, 32, p->q + 64 * c);
}

static void part_q5_k(const void *src, struct parts *p)
{
	const struct weir_block_q5_k *b = src;

	p->d = weir_load_u16(b->d);
	p->min = weir_load_u16(b->dmin);
	weir_unpack_k4_scales(b->scales, (uint8_t *)p->scale, p->min8);
	for (int c = 0; c < 4; c++)
		split_nibbles(b->qs + 32 * c, 32, p->q + 64 * c);
	for (unsigned c = 0; c < 8; c++)
		add_bits(p->q + 32 * c, b->qh, c, 1, 4);
}

static void part_q6_k(const void *src, struct parts *p)
{
	const struct weir_block_q6_k *b = src;

	p->d = weir_load_u16(b->d);
	memcpy(p->scale, b->scales, sizeof(p->scale));
	for (int c = 0; c < 2; c++)
		split_nibbles(b->ql + 64 * c, 64, p->q + 128 * c);
	for (unsigned c = 0; c < 8; c++)
		add_bits(p->q + 32 * c, b->qh + c / 4 * 32, c % 4 * 2, 3, 4);
}

/* ---- blocks into a plane --------------------------------------------------------------------- */

/* Where 16 rows lie in a plane, and in the file. */
struct rows {
	const struct weir_plane_layout *layout;
	uint8_t *quants, *scales, *extra;
	const uint8_t *src;
	size_t src_stride; /* bytes of a row in the file */
	size_t n;	   /* rows to pack, at most 16 */
};

static inline void store_u16(uint8_t *at, uint16_t v)
{
	memcpy(at, &v, sizeof(v));
}

static inline void store_u32(uint8_t *at, uint32_t v)
{
	memcpy(at, &v, sizeof(v));
}

/* The four quants at q, shifted; their high bits are in their bytes. */
static inline uint32_t four(const uint8_t *q, unsigned left)
{
	return weir_load_u32(q) << left;
}

/* 16 quants of 2 bits in one int. */
static inline uint32_t sixteen_u2(const uint8_t *q)
{
	return four(q, 0) | four(q + 4, 2) | four(q + 8, 4) | four(q + 12, 6);
}

/* 32 quants: their low two bits as above, then bit 2 of each in an int of its own. */
static inline void put_u3(uint8_t *to, const uint8_t *q)
{
	uint8_t low[32];
	uint32_t high = 0;

	for (unsigned i = 0; i < 32; i++)
		low[i] = q[i] & 3;
	for (unsigned t = 0; t < 8; t++)
		high |= (weir_load_u32(q + 4 * t) >> 2 & UINT32_C(0x01010101)) << t;
	store_u32(to, sixteen_u2(low));
	store_u32(to + 64, sixteen_u2(low + 16));
	store_u32(to + 128, high);
}

/* A row's weights, a multiple of 32, into its lane. */
static inline void put_quants(
	uint8_t *to, enum weir_plane_base base, const uint8_t *q, size_t weights)
{
	switch (base) {
	case WEIR_PLANE_U2:
		for (size_t i = 0; i < weights / 16; i++)
			store_u32(to + 64 * i, sixteen_u2(q + 16 * i));
		break;
	case WEIR_PLANE_U3:
		for (size_t i = 0; i < weights / 32; i++)
			put_u3(to + 192 * i, q + 32 * i);
		break;
	case WEIR_PLANE_U4:
		for (size_t i = 0; i < weights / 8; i++)
			store_u32(to + 64 * i, four(q + 8 * i, 0) | four(q + 8 * i + 4, 4));
		break;
	default:
		for (size_t i = 0; i < weights / 4; i++)
			store_u32(to + 64 * i, four(q + 4 * i, 0));
	}
}

/* Scales of the block that begins at weight k of the row in this lane. */
static inline void put_scales(const struct rows *rows, size_t lane, size_t k, const struct parts *p)
{
	const struct weir_plane_format *f = &rows->layout->format;
	const size_t width = f->has_min ? 2 * WEIR_PLANE_ROWS : WEIR_PLANE_ROWS;
	const size_t at = k / f->group * width + lane;
	uint8_t *half = rows->scales + 2 * at, *to = rows->scales + at;

	if (f->two_level)
		half = rows->extra + 2 * (k / WEIR_PLANE_SUPER * width + lane);
	store_u16(half, p->d);
	if (f->has_min)
		store_u16(half + 2 * WEIR_PLANE_ROWS, p->min);
	if (!f->two_level)
		return;
	for (size_t g = 0; g < WEIR_PLANE_SUPER / f->group; g++, to += width) {
		to[0] = (uint8_t)p->scale[g];
		if (f->has_min)
			to[WEIR_PLANE_ROWS] = p->min8[g];
	}
}

/*
 * Block by block over the 16 rows, so that each vector of the plane is filled while it is in the
 * nearest cache. Inlined with constants, for loops of known length.
 */
static inline __attribute__((always_inline)) void pack_blocks(const struct rows *rows,
	size_t weights, size_t bytes, void (*part)(const void *block, struct parts *p))
{
	const enum weir_plane_base base = rows->layout->format.base;
	const size_t vector = base == WEIR_PLANE_U4 ? 8 : 4;
	struct parts p = {0};

	for (size_t k = 0; k < rows->layout->k; k += weights) {
		const uint8_t *src = rows->src + k / weights * bytes;
		uint8_t *to = rows->quants + k / vector * 64;

		for (size_t r = 0; r < rows->n; r++, src += rows->src_stride) {
			part(src, &p);
			put_quants(to + 4 * r, base, p.q, weights);
			put_scales(rows, r, k, &p);
		}
	}
}

/* Tiles of 16 weights of each row: for f32 a cache line of each. */
#define TILE 16

static inline __attribute__((always_inline)) void pack_floats(const struct rows *rows, size_t size)
{
	const size_t n_k = rows->layout->k;
	uint8_t tile[WEIR_PLANE_ROWS][TILE * 4];

	for (size_t k = 0; k < n_k; k += TILE) {
		const size_t n = WEIR_MIN(n_k - k, (size_t)TILE);
		uint8_t *to = rows->quants + k * WEIR_PLANE_ROWS * size;

		for (size_t r = 0; r < rows->n; r++)
			memcpy(tile[r], rows->src + r * rows->src_stride + k * size, n * size);
		for (size_t i = 0; i < n; i++) {
			for (size_t r = 0; r < rows->n; r++)
				memcpy(to + (i * WEIR_PLANE_ROWS + r) * size, tile[r] + i * size,
					size);
		}
	}
}

static void pack_rows(const struct rows *rows, enum weir_type type)
{
	switch (type) {
	case WEIR_TYPE_F32:
		pack_floats(rows, 4);
		break;
	case WEIR_TYPE_F16:
	case WEIR_TYPE_BF16:
		pack_floats(rows, 2);
		break;
	case WEIR_TYPE_Q4_0:
		pack_blocks(rows, 32, sizeof(struct weir_block_q4_0), part_q4_0);
		break;
	case WEIR_TYPE_Q4_1:
		pack_blocks(rows, 32, sizeof(struct weir_block_q4_1), part_q4_1);
		break;
	case WEIR_TYPE_Q5_0:
		pack_blocks(rows, 32, sizeof(struct weir_block_q5_0), part_q5_0);
		break;
	case WEIR_TYPE_Q5_1:
		pack_blocks(rows, 32, sizeof(struct weir_block_q5_1), part_q5_1);
		break;
	case WEIR_TYPE_Q8_0:
		pack_blocks(rows, 32, sizeof(struct weir_block_q8_0), part_q8_0);
		break;
	case WEIR_TYPE_Q2_K:
		pack_blocks(rows, 256, sizeof(struct weir_block_q2_k), part_q2_k);
		break;
	case WEIR_TYPE_Q3_K:
		pack_blocks(rows, 256, sizeof(struct weir_block_q3_k), part_q3_k);
		break;
	case WEIR_TYPE_Q4_K:
		pack_blocks(rows, 256, sizeof(struct weir_block_q4_k), part_q4_k);
		break;
	case WEIR_TYPE_Q5_K:
		pack_blocks(rows, 256, sizeof(struct weir_block_q5_k), part_q5_k);
		break;
	case WEIR_TYPE_Q6_K:
		pack_blocks(rows, 256, sizeof(struct weir_block_q6_k), part_q6_k);
		break;
	}
}

/* ---- codes into a plane ---------------------------------------------------------------------- */

static void put_codes_scales(const struct rows *rows, const struct weir_codes *codes, size_t row)
{
	const struct weir_plane_format *f = &rows->layout->format;
	const size_t groups = rows->layout->groups;

	for (size_t g = 0; g < groups; g++) {
		for (size_t r = 0; r < rows->n; r++) {
			const size_t at = g * WEIR_PLANE_ROWS + r, from = (row + r) * groups + g;

			if (f->f32_scales)
				memcpy(rows->scales + 4 * at, &codes->scale[from], sizeof(float));
			else
				store_u16(rows->scales + 2 * at,
					weir_float_to_half(codes->scale[from]));
			if (f->zeros)
				rows->extra[at] = codes->zero[from];
		}
	}
}

/* By 32 weights over the 16 rows, as pack_blocks does. Inlined with a constant base. */
static inline __attribute__((always_inline)) void put_codes(
	const struct rows *rows, enum weir_plane_base base, size_t vectors_of_32)
{
	for (size_t k = 0; k < rows->layout->k; k += 32) {
		uint8_t *to = rows->quants + k / 32 * vectors_of_32 * 64;

		for (size_t r = 0; r < rows->n; r++)
			put_quants(to + 4 * r, base, rows->src + r * rows->src_stride + k, 32);
	}
}

static void put_rows(const struct rows *rows)
{
	switch (rows->layout->format.base) {
	case WEIR_PLANE_U2:
		put_codes(rows, WEIR_PLANE_U2, 2);
		break;
	case WEIR_PLANE_U3:
		put_codes(rows, WEIR_PLANE_U3, 3);
		break;
	case WEIR_PLANE_U4:
		put_codes(rows, WEIR_PLANE_U4, 4);
		break;
	default:
		put_codes(rows, WEIR_PLANE_U8, 8);
	}
}

/* ---- the plane's blocks of 16 rows ----------------------------------------------------------- */

/*
 * Points rows at the block of 16 that has row at, of the n_rows from first_row on, and zeroes it
 * when it ends in padding.
 */
static void rows_at(struct rows *rows, void *dst, size_t at, size_t first_row, size_t n_rows)
{
	const struct weir_plane_layout *l = rows->layout;
	const size_t blocks = l->padded_rows / WEIR_PLANE_ROWS, block = at / WEIR_PLANE_ROWS;
	const size_t quants = l->quants_size / blocks; /* bytes of 16 rows */
	const size_t scales = l->scales_size / blocks;
	const size_t extra = l->extra_size / blocks;

	rows->quants = (uint8_t *)dst + block * quants;
	rows->scales = (uint8_t *)dst + l->scales + block * scales;
	rows->extra = (uint8_t *)dst + l->extra + block * extra;
	rows->n = WEIR_MIN(first_row + n_rows - at, (size_t)WEIR_PLANE_ROWS);
	if (rows->n < WEIR_PLANE_ROWS && first_row + n_rows == l->rows) {
		memset(rows->quants, 0, quants);
		memset(rows->scales, 0, scales);
		memset(rows->extra, 0, extra);
	}
}

void weir_plane_pack(const struct weir_plane_layout *layout, void *dst, enum weir_type type,
	const void *src, size_t first_row, size_t n_rows)
{
	size_t weights, bytes;
	struct rows rows = {.layout = layout, .src = src};

	if (!weir_type_block(type, &weights, &bytes))
		return;
	rows.src_stride = layout->k / weights * bytes;
	for (size_t done = 0; done < n_rows; done += rows.n) {
		rows_at(&rows, dst, first_row + done, first_row, n_rows);
		pack_rows(&rows, type);
		rows.src += rows.n * rows.src_stride;
	}
}

void weir_plane_put(const struct weir_plane_layout *layout, void *dst, const struct weir_codes *codes,
	size_t first_row, size_t n_rows)
{
	struct rows rows = {.layout = layout, .src = codes->q, .src_stride = layout->k};

	for (size_t done = 0; done < n_rows; done += rows.n) {
		rows_at(&rows, dst, first_row + done, first_row, n_rows);
		put_rows(&rows);
		put_codes_scales(&rows, codes, done);
		rows.src += rows.n * rows.src_stride;
	}
}
