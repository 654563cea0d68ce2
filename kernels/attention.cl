/* SPDX-License-Identifier: MIT */
/*
 * Cascaded attention: a query's softmax over the segments of the cache, online (Milakov & Gimelshein 2018) over
 * blocks of 64 slots and, for long contexts, in shares that are merged by log-sum-exp (FlashDecoding, FlashInfer).
 * Build options: HEADS, KV_HEADS, HEAD_DIM, ROTATIONS, TEAM (query heads of one KV head that go together),
 * TOKENS (that go together), KV_Q8 or KV_F32 and, for a CPU, STRIP (rows, of a token and a head each, whose sums are in
 * registers), PASS (vectors of values that are summed at once, a divisor of those in a row) and UNITS (of work that
 * a step should have). Scores are kept in base 2: queries are scaled by log2(e) / sqrt(HEAD_DIM).
 *
 * Slots outside of the segments may hold anything. Their scores are replaced, never multiplied by zero, and their
 * values are not read.
 */
#include "launch.clh"
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

#ifdef WEIR_CPU
#include "attention_cpu.clh"
#else
#include "attention_gpu.clh"
#endif
