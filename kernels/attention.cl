/* SPDX-License-Identifier: MIT */
/*
 * Cascaded attention: a query's softmax over the segments of the cache, online (Milakov & Gimelshein 2018) over
 * blocks of 64 slots and, for long contexts, in shares that are merged by log-sum-exp (FlashDecoding, FlashInfer).
 * Build options: HEADS, KV_HEADS, HEAD_DIM, ROTATIONS, TEAM (query heads of one KV head that go together),
 * TOKENS (that go together), PASS (vectors of values that are summed at once, a divisor of those in a row), and
 * KV_Q8 or KV_F32. Scores are kept in base 2: queries are scaled by log2(e) / sqrt(HEAD_DIM).
 *
 * Slots outside of the segments may hold anything. Their scores are replaced, never multiplied by zero, and their
 * values are not read.
 */
#include "step.clh"
#include "math.clh"
#include "pack.clh"
#include "kv.clh"

#define BLOCK 64
#define GROUP (HEADS / KV_HEADS)
#define TEAMS (HEADS / TEAM)
#define ROWS (TEAM * TOKENS)
#define WIDE ((HEAD_DIM + 15) / 16)

/* A partial result: values, padded to whole vectors, then the maximum and the sum of its exponentials. */
#define PART (WIDE * 16 + 16)
#define PART_TOP (WIDE * 16)
#define PART_SUM (WIDE * 16 + 1)

/* A share is not worth its merging for fewer blocks than this. */
#define SHARE_BLOCKS 2

struct span {
	int lo, hi; /* slots, or blocks of them; empty when lo >= hi */
};

/* The slots of a segment that token t sees. Positions are clamped first: none of the differences overflows. */
static inline struct span token_span(global const struct weir_segment *g, int t, int seen)
{
	int end = g->pos + g->count;
	int first = g->sink ? g->pos : clamp(seen, g->pos, end);
	struct span s;

	s.lo = g->slot + first - g->pos;
	s.hi = g->slot + clamp(t + 1, g->pos, end) - g->pos;
	return s;
}

/* The slots that any of the tokens from t up to end sees. */
static inline struct span tile_span(global const struct weir_segment *g, global const int *seen, int t, int end)
{
	struct span all = {INT_MAX, 0};

	for (; t < end; t++) {
		struct span s = token_span(g, t, seen[t]);

		if (s.lo < s.hi) {
			all.lo = min(all.lo, s.lo);
			all.hi = max(all.hi, s.hi);
		}
	}
	return all;
}

/* Blocks are aligned, so that they never pass the end of the cache. */
static inline struct span span_blocks(struct span s)
{
	struct span b = {0, 0};

	if (s.lo < s.hi) {
		b.lo = s.lo / BLOCK;
		b.hi = (s.hi + BLOCK - 1) / BLOCK;
	}
	return b;
}

/* Which of the tile's blocks, counted through all segments, a share takes. */
static inline struct span share_blocks(global const struct weir_step *step, global const int *seen, int t,
	int end, int share, int shares)
{
	struct span r;
	int total = 0, i;

	for (i = 0; i < step->n_segments; i++) {
		struct span b = span_blocks(tile_span(step->segment + i, seen, t, end));

		total += b.hi - b.lo;
	}
	shares = clamp(total / SHARE_BLOCKS, 1, shares);
	share = min(share, shares);
	r.lo = (int)((long)total * share / shares);
	r.hi = share < shares ? (int)((long)total * (share + 1) / shares) : r.lo;
	return r;
}

/* One segment's part of a share: blocks of the segment from *at on, *at being the count of blocks before it. */
static inline struct span share_part(struct span blocks, struct span share, int *at)
{
	int n = blocks.hi - blocks.lo;
	struct span r;

	r.lo = blocks.lo + clamp(share.lo - *at, 0, n);
	r.hi = blocks.lo + clamp(share.hi - *at, 0, n);
	*at += n;
	return r;
}

#ifdef WEIR_CPU

/* Sub-blocks of 16 keys scored at once, so that enough sums are in flight to hide their latency. */
#define SIDE (ROWS >= 8 ? 1 : ROWS >= 4 ? 2 : 4)

struct tile {
	float q[ROWS][WIDE * 16];
	float p[ROWS][BLOCK]; /* scores, then their exponentials */
	float16 acc[ROWS][WIDE];
	float16 sum[ROWS]; /* by lane */
	float top[ROWS];
	int lo[TOKENS], hi[TOKENS]; /* the slots that each token sees in the segment */
};

static inline float16 kv_load16(global const kv_t *p)
{
#ifdef KV_Q8
	return convert_float16(vload16(0, p));
#elif defined(KV_F32)
	return vload16(0, p);
#else
	return vload_half16(0, p);
#endif
}

/* Rows of a token are TEAM heads that follow each other. */
static inline void tile_queries(struct tile *s, global const float *q, int t, int count, int rotation, int team)
{
	float scale = WEIR_LOG2E / sqrt((float)HEAD_DIM);
	int r, d;

	for (r = 0; r < ROWS; r++) {
		int token = t + min(r / TEAM, count - 1);
		global const float *from = q + (((size_t)token * ROTATIONS + rotation) * HEADS +
						       team * TEAM + r % TEAM) * HEAD_DIM;

		for (d = 0; d + 16 <= HEAD_DIM; d += 16)
			vstore16(vload16(0, from + d) * scale, 0, s->q[r] + d);
		for (; d < HEAD_DIM; d++)
			s->q[r][d] = from[d] * scale;
	}
}

static inline void tile_score(struct tile *s, global const kv_t *keys, global const float *scales)
{
	int b, d, i, r;

	for (b = 0; b < BLOCK; b += 16 * SIDE) {
		global const kv_t *k = keys + (size_t)b * HEAD_DIM;
		float16 a[ROWS][SIDE];

#pragma unroll
		for (r = 0; r < ROWS; r++) {
#pragma unroll
			for (i = 0; i < SIDE; i++)
				a[r][i] = 0.0f;
		}
		for (d = 0; d < HEAD_DIM; d++) {
			float16 v[SIDE];

#pragma unroll
			for (i = 0; i < SIDE; i++)
				v[i] = kv_load16(k + (i * HEAD_DIM + d) * 16);
#pragma unroll
			for (r = 0; r < ROWS; r++) {
#pragma unroll
				for (i = 0; i < SIDE; i++)
					a[r][i] = fma((float16)s->q[r][d], v[i], a[r][i]);
			}
		}
#pragma unroll
		for (i = 0; i < SIDE; i++) {
#ifdef KV_Q8
			float16 scale = vload16(0, scales + b + 16 * i);
#endif
#pragma unroll
			for (r = 0; r < ROWS; r++) {
#ifdef KV_Q8
				a[r][i] *= scale;
#endif
				vstore16(a[r][i], 0, s->p[r] + b + 16 * i);
			}
		}
	}
}

static inline int16 row_live(const struct tile *s, int row, int slot)
{
	int16 at = slot + (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

	return at >= s->lo[row / TEAM] && at < s->hi[row / TEAM];
}

/* A higher maximum shrinks what was summed under the old one. */
static inline void row_raise(struct tile *s, int row, float top)
{
	float shrink = weir_exp2(s->top[row] - top);
	int i;

	s->top[row] = top;
	s->sum[row] *= shrink;
	for (i = 0; i < WIDE; i++)
		s->acc[row][i] *= shrink;
}

/* Scores to exponentials. masked: some token does not see all of the block, which begins at slot. */
static inline void row_softmax(struct tile *s, int row, int slot, int masked, global const float *scales)
{
	float16 p[BLOCK / 16], top = -FLT_MAX;
	float m;
	int i;

#pragma unroll
	for (i = 0; i < BLOCK / 16; i++) {
		p[i] = vload16(i, s->p[row]);
		if (masked)
			p[i] = select((float16)-FLT_MAX, p[i], row_live(s, row, slot + 16 * i));
		top = max(top, p[i]);
	}
	m = weir_max16(top);
	if (m > s->top[row])
		row_raise(s, row, m);
#pragma unroll
	for (i = 0; i < BLOCK / 16; i++) {
		p[i] = weir_exp2_16(p[i] - s->top[row]);
		if (masked)
			p[i] = select((float16)0.0f, p[i], row_live(s, row, slot + 16 * i));
		s->sum[row] += p[i];
#ifdef KV_Q8
		p[i] *= vload16(i, scales);
#endif
		vstore16(p[i], i, s->p[row]);
	}
}

/* Adds the weighted values of the block's keys from lo up to hi, PASS vectors of each from v on. */
static inline void tile_values_pass(struct tile *s, global const kv_t *values, int lo, int hi, int v)
{
	float16 a[ROWS][PASS], x[PASS];
	int i, j, r;

#pragma unroll
	for (r = 0; r < ROWS; r++) {
#pragma unroll
		for (i = 0; i < PASS; i++)
			a[r][i] = s->acc[r][v + i];
	}
	for (j = lo; j < hi; j++) {
#pragma unroll
		for (i = 0; i < PASS; i++)
			x[i] = kv_load16(values + (size_t)j * HEAD_DIM + 16 * (v + i));
#pragma unroll
		for (r = 0; r < ROWS; r++) {
#pragma unroll
			for (i = 0; i < PASS; i++)
				a[r][i] = fma((float16)s->p[r][j], x[i], a[r][i]);
		}
	}
#pragma unroll
	for (r = 0; r < ROWS; r++) {
#pragma unroll
		for (i = 0; i < PASS; i++)
			s->acc[r][v + i] = a[r][i];
	}
}

static inline void tile_values(struct tile *s, global const kv_t *values, int lo, int hi)
{
	int v;

	for (v = 0; v < WIDE; v += PASS)
		tile_values_pass(s, values, lo, hi, v);
}

/* One segment, the blocks of part. */
static inline void tile_segment(struct tile *s, global char *kv, int slots, int head, struct span part,
	struct span seen)
{
	global const kv_t *keys = kv_keys(kv, slots, head), *values = kv_values(kv, slots, head);
	global const float *key_scales = 0, *value_scales = 0;
	int lo = s->lo[0], hi = s->hi[0];
	int b, r;

#ifdef KV_Q8
	key_scales = kv_key_scales(kv, slots, head);
	value_scales = kv_value_scales(kv, slots, head);
#endif
	for (r = 1; r < TOKENS; r++) {
		lo = max(lo, s->lo[r]);
		hi = min(hi, s->hi[r]);
	}
	for (b = part.lo; b < part.hi; b++) {
		int slot = b * BLOCK;
		int masked = slot < lo || slot + BLOCK > hi;

		tile_score(s, keys + (size_t)slot * HEAD_DIM, key_scales + slot);
		for (r = 0; r < ROWS; r++)
			row_softmax(s, r, slot, masked, value_scales + slot);
		tile_values(s, values + (size_t)slot * HEAD_DIM, max(seen.lo - slot, 0),
			min(seen.hi - slot, BLOCK));
	}
}

static inline void tile_clear(struct tile *s)
{
	int i, r;

	for (r = 0; r < ROWS; r++) {
		s->top[r] = -FLT_MAX;
		s->sum[r] = 0.0f;
		for (i = 0; i < WIDE; i++)
			s->acc[r][i] = 0.0f;
	}
}

static inline void tile_attend(struct tile *s, global const struct weir_step *step, global const int *seen,
	global const float *q, global char *kv, int slots, int t, int count, int team, struct span share)
{
	int at = 0, i, r;

	for (i = 0; i < step->n_segments; i++) {
		global const struct weir_segment *g = step->segment + i;
		struct span all = tile_span(g, seen, t, t + count);
		struct span part = share_part(span_blocks(all), share, &at);

		if (part.lo >= part.hi)
			continue;
		for (r = 0; r < TOKENS; r++) {
			int token = t + min(r, count - 1);
			struct span own = token_span(g, token, seen[token]);

			s->lo[r] = own.lo;
			s->hi[r] = own.hi;
		}
		tile_queries(s, q, t, count, ROTATIONS > 1 && g->sink, team);
		tile_segment(s, kv, slots, team * TEAM / GROUP, part, all);
	}
}

static inline void row_store(global float *out, const float16 *row, float scale)
{
	int i;

	for (i = 0; i < HEAD_DIM / 16; i++)
		vstore16(row[i] * scale, i, out);
#if HEAD_DIM % 16
	float rest[16];

	vstore16(row[WIDE - 1] * scale, 0, rest);
	for (i = 0; i < HEAD_DIM % 16; i++)
		out[HEAD_DIM / 16 * 16 + i] = rest[i];
#endif
}

/* A sum is 0 where a query sees nothing at all: so is its result. */
static inline float sum_inverse(float sum)
{
	return sum > 0.0f ? 1.0f / sum : 0.0f;
}

static inline void tile_store(const struct tile *s, global float *out, int t, int count, int team)
{
	int r;

	for (r = 0; r < count * TEAM; r++) {
		int head = team * TEAM + r % TEAM;

		row_store(out + ((size_t)(t + r / TEAM) * HEADS + head) * HEAD_DIM, s->acc[r],
			sum_inverse(weir_sum16(s->sum[r])));
	}
}

static inline void tile_store_part(const struct tile *s, global float *parts, int share, int team)
{
	int i, r;

	for (r = 0; r < TEAM; r++) {
		global float *part = parts + ((size_t)share * HEADS + team * TEAM + r) * PART;

		for (i = 0; i < WIDE; i++)
			vstore16(s->acc[r][i], i, part);
		part[PART_TOP] = s->top[r];
		part[PART_SUM] = weir_sum16(s->sum[r]);
	}
}

/*
 * A unit is a tile of tokens, a team of heads and a share of the keys. With one share out has results, else
 * partial ones (then a step has one token).
 */
kernel __attribute__((reqd_work_group_size(1, 1, 1))) void attend(global const struct weir_step *step,
	global const int *seen, global const float *q, global char *kv, global float *out, int slots,
	int shares)
{
	int tiles = (step->n_tokens + TOKENS - 1) / TOKENS;
	int unit;

	for (unit = (int)get_group_id(0); unit < tiles * TEAMS * shares; unit += (int)get_num_groups(0)) {
		int t = unit % tiles * TOKENS;
		int team = unit / tiles % TEAMS, share = unit / tiles / TEAMS;
		int count = min(TOKENS, step->n_tokens - t);
		struct tile s;

		tile_clear(&s);
		tile_attend(&s, step, seen, q, kv, slots, t, count, team,
			share_blocks(step, seen, t, t + count, share, shares));
		if (shares == 1)
			tile_store(&s, out, t, count, team);
		else
			tile_store_part(&s, out, share, team);
	}
}

/* Merges the shares' parts of one head into out. */
static inline void merge_head(global const float *parts, int shares, global float *out)
{
	float16 acc[WIDE];
	float top = -FLT_MAX, sum = 0.0f;
	int i, s;

	for (i = 0; i < WIDE; i++)
		acc[i] = 0.0f;
	for (s = 0; s < shares; s++) {
		global const float *part = parts + (size_t)s * HEADS * PART;

		if (part[PART_SUM] > 0.0f)
			top = max(top, part[PART_TOP]);
	}
	for (s = 0; s < shares; s++) {
		global const float *part = parts + (size_t)s * HEADS * PART;
		float w;

		if (!(part[PART_SUM] > 0.0f))
			continue;
		w = weir_exp2(part[PART_TOP] - top);
		sum = fma(w, part[PART_SUM], sum);
		for (i = 0; i < WIDE; i++)
			acc[i] = fma((float16)w, vload16(i, part), acc[i]);
	}
	row_store(out, acc, sum_inverse(sum));
}

/* One token's shares to its row, which is packed too if pack is set. */
kernel __attribute__((reqd_work_group_size(1, 1, 1))) void merge(global const float *parts, global float *f32,
	global char *packed, int shares, int pack)
{
	int head, g;

	for (head = 0; head < HEADS; head++)
		merge_head(parts + (size_t)head * PART, shares, f32 + (size_t)head * HEAD_DIM);
	if (!pack)
		return;
	for (g = 0; g < HEADS * HEAD_DIM / 32; g++)
		weir_pack_group(weir_packed_at(packed, 0, HEADS * HEAD_DIM, 1, 0), g, vload16(2 * g, f32),
			vload16(2 * g + 1, f32));
}

#else /* WEIR_GPU: TOKENS is 1 */

/*
 * Where there are more work-items than dimensions the last one is repeated, and the same value is stored again: no
 * branches. PoCL 3.1 gets branches wrong that some work-items of a group take, when they leave a loop as invariant.
 */

/* Dimensions of the values that a work-item sums. */
#define DIMS ((HEAD_DIM + BLOCK - 1) / BLOCK)

struct tile {
	float acc[TEAM][DIMS];
	float sum[TEAM]; /* of this work-item's keys */
	float top[TEAM]; /* of all */
};

struct tile_local {
	float q[TEAM][HEAD_DIM];
	float p[TEAM][BLOCK];
	float part[TEAM][BLOCK];
};

#define REDUCE(name, op)                                                                           \
	static inline void name(local struct tile_local *l)                                        \
	{                                                                                          \
		int lid = (int)get_local_id(0);                                                    \
		int n, r;                                                                          \
                                                                                                   \
		for (n = BLOCK / 2; n > 0; n /= 2) {                                               \
			barrier(CLK_LOCAL_MEM_FENCE);                                              \
			if (lid < n) {                                                             \
				for (r = 0; r < TEAM; r++)                                         \
					l->part[r][lid] = op(l->part[r][lid], l->part[r][lid + n]); \
			}                                                                          \
		}                                                                                  \
		barrier(CLK_LOCAL_MEM_FENCE);                                                      \
	}
#define ADD(a, b) ((a) + (b))
REDUCE(local_max, max)
REDUCE(local_sum, ADD)

static inline float kv_load(global const kv_t *p, size_t at)
{
#if defined(KV_Q8) || defined(KV_F32)
	return p[at];
#else
	return vload_half(at, p);
#endif
}

static inline void tile_queries(local struct tile_local *l, global const float *q, int t, int rotation, int team)
{
	float scale = WEIR_LOG2E / sqrt((float)HEAD_DIM);
	global const float *from = q + (((size_t)t * ROTATIONS + rotation) * HEADS + team * TEAM) * HEAD_DIM;
	int i;

	barrier(CLK_LOCAL_MEM_FENCE);
	for (i = 0; i < TEAM * HEAD_DIM; i += BLOCK) {
		int d = min(i + (int)get_local_id(0), TEAM * HEAD_DIM - 1);

		l->q[d / HEAD_DIM][d % HEAD_DIM] = from[d] * scale;
	}
	barrier(CLK_LOCAL_MEM_FENCE);
}

/* Each work-item scores a slot. */
static inline void tile_score(local struct tile_local *l, global const kv_t *keys, float scale, int live,
	int slot)
{
	int lid = (int)get_local_id(0);
	float a[TEAM];
	int d, r;

	for (r = 0; r < TEAM; r++)
		a[r] = 0.0f;
	for (d = 0; d < HEAD_DIM; d++) {
		float k = kv_load(keys, kv_key_at(slot, d));

		for (r = 0; r < TEAM; r++)
			a[r] = fma(l->q[r][d], k, a[r]);
	}
	for (r = 0; r < TEAM; r++) {
		l->p[r][lid] = live ? a[r] * scale : -FLT_MAX;
		l->part[r][lid] = l->p[r][lid];
	}
	local_max(l);
}

static inline void tile_softmax(struct tile *s, local struct tile_local *l, float scale, int live)
{
	int lid = (int)get_local_id(0);
	int i, r;

	for (r = 0; r < TEAM; r++) {
		float top = max(s->top[r], l->part[r][0]);
		float shrink = weir_exp2(s->top[r] - top);
		float p = live ? weir_exp2(l->p[r][lid] - top) : 0.0f;

		s->top[r] = top;
		s->sum[r] = fma(s->sum[r], shrink, p);
		for (i = 0; i < DIMS; i++)
			s->acc[r][i] *= shrink;
		l->p[r][lid] = live ? p * scale : 0.0f;
	}
	barrier(CLK_LOCAL_MEM_FENCE);
}

/* Each work-item sums DIMS dimensions of the block's values from lo up to hi. */
static inline void tile_values(struct tile *s, local struct tile_local *l, global const kv_t *values, int lo,
	int hi)
{
	int i, j, r;

	for (i = 0; i < DIMS; i++) {
		int d = min((int)get_local_id(0) + i * BLOCK, HEAD_DIM - 1);

		for (j = lo; j < hi; j++) {
			float v = kv_load(values, (size_t)j * HEAD_DIM + d);

			for (r = 0; r < TEAM; r++)
				s->acc[r][i] = fma(l->p[r][j], v, s->acc[r][i]);
		}
	}
	barrier(CLK_LOCAL_MEM_FENCE);
}

static inline void tile_segment(struct tile *s, local struct tile_local *l, global char *kv, int slots, int head,
	struct span part, struct span seen)
{
	int b;

	for (b = part.lo; b < part.hi; b++) {
		int base = b * BLOCK, slot = base + (int)get_local_id(0);
		int live = slot >= seen.lo && slot < seen.hi;
		float key_scale = 1.0f, value_scale = 1.0f;

#ifdef KV_Q8
		key_scale = kv_key_scales(kv, slots, head)[slot];
		value_scale = kv_value_scales(kv, slots, head)[slot];
#endif
		tile_score(l, kv_keys(kv, slots, head), key_scale, live, slot);
		tile_softmax(s, l, value_scale, live);
		tile_values(s, l, kv_values(kv, slots, head) + (size_t)base * HEAD_DIM,
			max(seen.lo - base, 0), min(seen.hi - base, BLOCK));
	}
}

static inline void tile_attend(struct tile *s, local struct tile_local *l, global const struct weir_step *step,
	global const int *seen, global const float *q, global char *kv, int slots, int t, int team,
	struct span share)
{
	int at = 0, i, r;

	for (r = 0; r < TEAM; r++) {
		s->top[r] = -FLT_MAX;
		s->sum[r] = 0.0f;
		for (i = 0; i < DIMS; i++)
			s->acc[r][i] = 0.0f;
	}
	for (i = 0; i < step->n_segments; i++) {
		global const struct weir_segment *g = step->segment + i;
		struct span all = tile_span(g, seen, t, t + 1);
		struct span part = share_part(span_blocks(all), share, &at);

		if (part.lo >= part.hi)
			continue;
		tile_queries(l, q, t, ROTATIONS > 1 && g->sink, team);
		tile_segment(s, l, kv, slots, team * TEAM / GROUP, part, all);
	}
	for (r = 0; r < TEAM; r++)
		l->part[r][get_local_id(0)] = s->sum[r];
	local_sum(l);
}

/* A work-group a token, a team of heads and a share of the keys; out as in the CPU's. */
kernel __attribute__((reqd_work_group_size(BLOCK, 1, 1))) void attend(global const struct weir_step *step,
	global const int *seen, global const float *q, global char *kv, global float *out, int slots,
	int shares)
{
	local struct tile_local l;
	int unit = (int)get_group_id(0);
	int share = unit % shares, team = unit / shares % TEAMS, t = unit / shares / TEAMS;
	struct tile s;
	int i, r;

	if (t >= step->n_tokens)
		return;
	tile_attend(&s, &l, step, seen, q, kv, slots, t, team,
		share_blocks(step, seen, t, t + 1, share, shares));
	for (r = 0; r < TEAM; r++) {
		int head = team * TEAM + r;
		float sum = l.part[r][0], scale = 1.0f;
		global float *row = out + ((size_t)share * HEADS + head) * PART;

		if (shares == 1) {
			row = out + ((size_t)t * HEADS + head) * HEAD_DIM;
			scale = sum > 0.0f ? 1.0f / sum : 0.0f;
		} else {
			row[PART_TOP] = s.top[r];
			row[PART_SUM] = sum;
		}
		for (i = 0; i < DIMS; i++) {
			int d = min((int)get_local_id(0) + i * BLOCK, HEAD_DIM - 1);

			row[d] = s.acc[r][i] * scale;
		}
	}
}

/* A work-group a head. */
kernel __attribute__((reqd_work_group_size(BLOCK, 1, 1))) void merge(global const float *parts,
	global float *f32, int shares)
{
	int head = (int)get_group_id(0);
	float top = -FLT_MAX;
	int i, s;

	parts += (size_t)head * PART;
	for (s = 0; s < shares; s++) {
		if (parts[(size_t)s * HEADS * PART + PART_SUM] > 0.0f)
			top = max(top, parts[(size_t)s * HEADS * PART + PART_TOP]);
	}
	for (i = 0; i < DIMS; i++) {
		int d = min((int)get_local_id(0) + i * BLOCK, HEAD_DIM - 1);
		float acc = 0.0f, sum = 0.0f;

		for (s = 0; s < shares; s++) {
			global const float *part = parts + (size_t)s * HEADS * PART;
			float w = part[PART_SUM] > 0.0f ? weir_exp2(part[PART_TOP] - top) : 0.0f;

			sum = fma(w, part[PART_SUM], sum);
			acc = fma(w, part[d], acc);
		}
		f32[(size_t)head * HEAD_DIM + d] = sum > 0.0f ? acc / sum : 0.0f;
	}
}

#endif
