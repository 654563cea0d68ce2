/* SPDX-License-Identifier: MIT */
/*
 * Row ops between matmuls: RMSNorm (Zhang & Sennrich 2019), SwiGLU's gate (Shazeer 2020) and packing alone.
 * Each leaves its rows in every form that is read, so that no row makes a second trip through memory.
 */
#include "launch.clh"
#include "step.clh"
#include "math.clh"
#include "pack.clh"

#define ACT_F32 1
#define ACT_PACKED 2
#define ACT_FINE 4 /* packed in two columns a row */
#define ACT_ROWS8 8 /* packed with one scale a row */

#define WEIR_ACT_PART 256 /* values of a row that are a unit of work: ACT_PART of graph/op_act.c */

/* What a row is made of; always a constant, so that inlining leaves one case. */
#define ACT_COPY 0 /* x */
#define ACT_NORM 1 /* x * inverse * weight */
#define ACT_GATE 2 /* silu(x) * x[k + i] */

static inline float act_value(int mode, global const float *x, global const float *weight, float inverse,
	int k, int i)
{
	if (mode == ACT_NORM)
		return x[i] * inverse * weight[i];
	if (mode == ACT_GATE)
		return x[i] / (1.0f + weir_exp(-x[i])) * x[k + i];
	return x[i];
}

#ifdef WEIR_CPU

static inline float16 act_value16(int mode, global const float *x, global const float *weight, float inverse,
	int k, int i)
{
	float16 v = vload16(0, x + i);

	if (mode == ACT_NORM)
		return v * inverse * vload16(0, weight + i);
	if (mode == ACT_GATE)
		return v / (1.0f + weir_exp16(-v)) * vload16(0, x + k + i);
	return v;
}

static inline float act_inverse_rms(global const float *x, int k, float eps)
{
	float16 a = 0.0f, b = 0.0f;
	float sum;
	int i;

	for (i = 0; i + 32 <= k; i += 32) {
		float16 u = vload16(0, x + i), v = vload16(0, x + i + 16);

		a = fma(u, u, a);
		b = fma(v, v, b);
	}
	sum = weir_sum16(a + b);
	for (; i < k; i++)
		sum = fma(x[i], x[i], sum);
	return 1.0f / sqrt(sum / k + eps);
}

#define ACT_KEPT 8192 /* values that a row keeps, where making them again takes longer: as much as a first cache has */

/* A row with one scale: its values are made or read twice, first for the largest. What is not live is zero. */
static inline void act_row8(int mode, global const float *x, global const float *weight, float inverse, int k,
	struct weir_packed p, int live)
{
	bool keep = mode == ACT_GATE && k <= ACT_KEPT;
	float kept[ACT_KEPT];
	float16 tops = 0.0f;
	float top, to_q;
	int begin, i;

	for (i = 0; live && i < k; i += 16) {
		float16 v = act_value16(mode, x, weight, inverse, k, i);

		if (keep)
			vstore16(v, 0, kept + i);
		tops = max(tops, fabs(v));
	}
	top = weir_max16(tops);
	to_q = top > WEIR_PACK_TINY ? 127.0f / top : 0.0f;
	p.scale[0] = top * (1.0f / 127.0f);
	for (begin = 0; begin < k; begin += WEIR_ROWS8_CHUNK) {
		int16 sum = 0;

		for (i = begin; i < min(begin + WEIR_ROWS8_CHUNK, k); i += 32) {
			int16 a = 0, b = 0;

			if (keep) {
				a = weir_pack_round16(vload16(0, kept + i) * to_q);
				b = weir_pack_round16(vload16(0, kept + i + 16) * to_q);
			} else if (live) {
				a = weir_pack_round16(act_value16(mode, x, weight, inverse, k, i) * to_q);
				b = weir_pack_round16(
					act_value16(mode, x, weight, inverse, k, i + 16) * to_q);
			}
			weir_pack_bytes(p, i / 32, a, b);
			sum += a + b;
		}
		p.sum32[begin / WEIR_ROWS8_CHUNK * p.stride] = weir_isum16(sum);
	}
}

/* Values begin to end of a row; where a sum or a maximum is of the row, all of them. */
static inline void act_row(int mode, global const float *x, global const float *weight, float eps, int k,
	int begin, int end, global float *f32, struct weir_packed packed, struct weir_packed rows8, int forms)
{
	float inverse = mode == ACT_NORM ? act_inverse_rms(x, k, eps) : 1.0f;
	int i;

	if (forms & ACT_ROWS8)
		act_row8(mode, x, weight, inverse, k, rows8, 1);
	if (forms & ACT_PACKED) {
		for (i = begin; i < end; i += 32) {
			float16 a = act_value16(mode, x, weight, inverse, k, i);
			float16 b = act_value16(mode, x, weight, inverse, k, i + 16);

			weir_pack_group(packed, i / 32, a, b);
			if (forms & ACT_F32) {
				vstore16(a, 0, f32 + i);
				vstore16(b, 0, f32 + i + 16);
			}
		}
		return;
	}
	if (!(forms & ACT_F32))
		return;
	for (i = begin; i + 16 <= end; i += 16)
		vstore16(act_value16(mode, x, weight, inverse, k, i), 0, f32 + i);
	for (; i < end; i++)
		f32[i] = act_value(mode, x, weight, inverse, k, i);
}

static inline void act_zero(struct weir_packed packed, struct weir_packed rows8, global const float *x, int k,
	int begin, int end, int forms)
{
	int g;

	for (g = begin / 32; (forms & ACT_PACKED) && g < end / 32; g++)
		weir_pack_group(packed, g, (float16)0.0f, (float16)0.0f);
	if (forms & ACT_ROWS8)
		act_row8(ACT_COPY, x, x, 1.0f, k, rows8, 0);
}

/*
 * Rows of tiles: a unit writes a whole tile, so cache lines of values have one writer. Where nothing is of a whole row,
 * a unit is a part of it: then one token's row has work for several.
 */
static inline void act_rows(int part, int parts, int mode, int first, int count, global const float *x, int x_stride,
	global const float *weight, float eps, global float *f32, global char *packed, global char *rows8,
	int k, int tile, int forms)
{
	int fine = forms & ACT_FINE, tokens = fine ? tile / 2 : tile;
	int length = mode == ACT_NORM || forms & ACT_ROWS8 ? k : WEIR_ACT_PART;
	int pieces = (k + length - 1) / length, units = (count + tokens - 1) / tokens * pieces;
	int u, t;

	for (u = part; u < units; u += parts) {
		int base = u / pieces * tokens, begin = u % pieces * length, end = min(begin + length, k);

		for (t = base; t < base + tokens; t++) {
			struct weir_packed p = weir_packed_at(packed, t, k, tile, fine);
			struct weir_packed r = weir_packed_at(rows8, t, k, tile, 0);

			if (t < count)
				act_row(mode, x + (size_t)(first + t) * x_stride, weight, eps, k, begin, end,
					f32 + (size_t)t * k, p, r, forms);
			else
				act_zero(p, r, x, k, begin, end, forms);
		}
	}
}

#define ACT_KERNEL WEIR_KERNEL

#else /* WEIR_GPU */

#define ACT_LOCAL 64

/*
 * Where there are more work-items than values the last one is repeated, and the same is stored again: no branches.
 * PoCL 3.1 gets branches wrong that some work-items of a group take, when they leave a loop as invariant.
 */
static inline int act_lane(int base, int k)
{
	return min(base + (int)get_local_id(0), k - 1);
}

/* ACT_LOCAL is its square. 64 values become 8, then one: no barrier in a loop, see attention_gpu.clh. */
#define ACT_FOLD 8

static inline float act_local_sum(local float *part, float v)
{
	int lid = (int)get_local_id(0), i;
	float sum = 0.0f, all = 0.0f;

	part[lid] = v;
	barrier(CLK_LOCAL_MEM_FENCE);
	for (i = 0; i < ACT_FOLD; i++)
		sum += part[i * ACT_FOLD + lid % ACT_FOLD];
	barrier(CLK_LOCAL_MEM_FENCE);
	part[lid] = sum;
	barrier(CLK_LOCAL_MEM_FENCE);
	for (i = 0; i < ACT_FOLD; i++)
		all += part[i];
	barrier(CLK_LOCAL_MEM_FENCE);
	return all;
}

static inline float act_inverse_rms(local float *part, global const float *x, int k, float eps)
{
	float sum = 0.0f;
	int i;

	for (i = 0; i < k; i += ACT_LOCAL) {
		float v = x[act_lane(i, k)];

		sum += i + (int)get_local_id(0) < k ? v * v : 0.0f;
	}
	return 1.0f / sqrt(act_local_sum(part, sum) / k + eps);
}

/* Eight neighbours have a group of 32, four values each; quad is this one's place in the row. */
static inline void act_store_quad(local int *sums, struct weir_packed p, int quad, int k, int4 q, float scale)
{
	int lid = (int)get_local_id(0);
	int i;

	barrier(CLK_LOCAL_MEM_FENCE);
	sums[lid] = q.x + q.y + q.z + q.w;
	if (quad < k / 4)
		p.q[(size_t)quad * p.stride] = as_int(convert_char4(q));
	barrier(CLK_LOCAL_MEM_FENCE);
	if (quad < k / 4 && lid % 4 == 0)
		p.sum16[(quad / 4) * p.stride] =
			sums[lid] + sums[lid + 1] + sums[lid + 2] + sums[lid + 3];
	if (quad < k / 4 && lid % 8 == 0) {
		int sum = 0;

		for (i = 0; i < 8; i++)
			sum += sums[lid + i];
		p.sum32[(quad / 8) * p.stride] = sum;
		p.scale[(quad / 8) * p.stride] = scale;
	}
}

static inline void act_pack_quad(local float *part, local int *sums, struct weir_packed p, int quad, int k,
	float4 v)
{
	int lid = (int)get_local_id(0);
	float4 m = fabs(v);
	float top = 0.0f, inverse, scale;
	int4 q;
	int i;

	part[lid] = max(max(m.x, m.y), max(m.z, m.w));
	barrier(CLK_LOCAL_MEM_FENCE);
	for (i = 0; i < 8; i++)
		top = max(top, part[(lid & ~7) + i]);
	inverse = top > WEIR_PACK_TINY ? 127.0f / top : 0.0f;
	scale = top * (1.0f / 127.0f);
	q = convert_int4_rte(v * inverse);
	act_store_quad(sums, p, quad, k, q, scale);
	if (p.fine) {
		q = convert_int4_rte((v * inverse - convert_float4(q)) * (float)WEIR_PACK_FINE);
		act_store_quad(sums, weir_packed_rest(p), quad, k, q, scale * (1.0f / WEIR_PACK_FINE));
	}
	barrier(CLK_LOCAL_MEM_FENCE);
}

static inline void act_pack_row(int mode, local float *part, local int *sums, global const float *x,
	global const float *weight, float inverse, int k, struct weir_packed p, int live)
{
	int base;

	for (base = 0; base < k / 4; base += ACT_LOCAL) {
		int quad = base + (int)get_local_id(0);
		float4 v = 0.0f;

		if (live && quad < k / 4) {
			v.x = act_value(mode, x, weight, inverse, k, 4 * quad);
			v.y = act_value(mode, x, weight, inverse, k, 4 * quad + 1);
			v.z = act_value(mode, x, weight, inverse, k, 4 * quad + 2);
			v.w = act_value(mode, x, weight, inverse, k, 4 * quad + 3);
		}
		act_pack_quad(part, sums, p, quad, k, v);
	}
}

static inline float act_local_max(local float *part, float v)
{
	int lid = (int)get_local_id(0), i;
	float top = 0.0f, all = 0.0f;

	part[lid] = v;
	barrier(CLK_LOCAL_MEM_FENCE);
	for (i = 0; i < ACT_FOLD; i++)
		top = max(top, part[i * ACT_FOLD + lid % ACT_FOLD]);
	barrier(CLK_LOCAL_MEM_FENCE);
	part[lid] = top;
	barrier(CLK_LOCAL_MEM_FENCE);
	for (i = 0; i < ACT_FOLD; i++)
		all = max(all, part[i]);
	barrier(CLK_LOCAL_MEM_FENCE);
	return all;
}

/* A row with one scale: its values are made twice, first for the largest. What is not live is zero. */
static inline void act_row8(int mode, local float *part, global const float *x, global const float *weight,
	float inverse, int k, struct weir_packed p, int live)
{
	float top = 0.0f, to_q;
	int begin, base, i;

	for (i = 0; i < k; i += ACT_LOCAL)
		top = max(top, fabs(act_value(mode, x, weight, inverse, k, act_lane(i, k))));
	top = act_local_max(part, live ? top : 0.0f);
	to_q = top > WEIR_PACK_TINY ? 127.0f / top : 0.0f;
	p.scale[0] = top * (1.0f / 127.0f);
	for (begin = 0; begin < k; begin += WEIR_ROWS8_CHUNK) {
		int end = min(begin + WEIR_ROWS8_CHUNK, k) / 4, sum = 0;

		for (base = begin / 4; base < end; base += ACT_LOCAL) {
			int quad = act_lane(base, end);
			float4 v;
			int4 q;

			v.x = act_value(mode, x, weight, inverse, k, 4 * quad);
			v.y = act_value(mode, x, weight, inverse, k, 4 * quad + 1);
			v.z = act_value(mode, x, weight, inverse, k, 4 * quad + 2);
			v.w = act_value(mode, x, weight, inverse, k, 4 * quad + 3);
			q = convert_int4_rte(live ? v * to_q : (float4)0.0f);
			p.q[(size_t)quad * p.stride] = as_int(convert_char4(q));
			sum += base + (int)get_local_id(0) < end ? q.x + q.y + q.z + q.w : 0;
		}
		/* Below 2^24: exact in a float. */
		p.sum32[begin / WEIR_ROWS8_CHUNK * p.stride] = (int)act_local_sum(part, (float)sum);
	}
}

/* A work-group a token; those that fill up the last tile write zeros. */
static inline void act_rows(int mode, local float *part, local int *sums, int first, int count,
	global const float *x, int x_stride, global const float *weight, float eps, global float *f32,
	global char *packed, global char *rows8, int k, int tile, int forms)
{
	int t = (int)get_group_id(0);
	int fine = forms & ACT_FINE, tokens = fine ? tile / 2 : tile;
	int live = t < count;
	float inverse = 1.0f;
	int i;

	if (t >= (count + tokens - 1) / tokens * tokens)
		return;
	x += (size_t)(live ? first + t : 0) * x_stride;
	if (mode == ACT_NORM)
		inverse = act_inverse_rms(part, x, k, eps);
	if (live && (forms & ACT_F32)) {
		for (i = 0; i < k; i += ACT_LOCAL) {
			int at = act_lane(i, k);

			f32[(size_t)t * k + at] = act_value(mode, x, weight, inverse, k, at);
		}
	}
	if (forms & ACT_PACKED)
		act_pack_row(mode, part, sums, x, weight, inverse, k,
			weir_packed_at(packed, t, k, tile, fine), live);
	if (forms & ACT_ROWS8)
		act_row8(mode, part, x, weight, inverse, k, weir_packed_at(rows8, t, k, tile, 0), live);
}

#define ACT_KERNEL kernel __attribute__((reqd_work_group_size(ACT_LOCAL, 1, 1))) void

#endif

#ifdef WEIR_CPU
#define ACT_ROWS(mode, ...) act_rows(WEIR_PART, WEIR_PARTS, mode, __VA_ARGS__)
#else
#define ACT_ROWS(mode, ...)                                                                        \
	local float part[ACT_LOCAL];                                                               \
	local int sums[ACT_LOCAL];                                                                 \
	act_rows(mode, part, sums, __VA_ARGS__)
#endif

/* head: the rows are those that the step's head reads, not the step's tokens. */
ACT_KERNEL act_rmsnorm(WEIR_PART_ARGS global const struct weir_step *step, global const float *x,
	global const float *weight, global float *f32, global char *packed, global char *rows8, int k,
	float eps, int tile, int forms, int head)
{
	int first = head ? step->out_first : 0;
	int count = head ? step->out_count : step->n_tokens;

	ACT_ROWS(ACT_NORM, first, count, x, k, weight, eps, f32, packed, rows8, k, tile, forms);
}

ACT_KERNEL act_silu_gate(WEIR_PART_ARGS global const struct weir_step *step, global const float *gate_up,
	global float *f32, global char *packed, global char *rows8, int k, int tile, int forms)
{
	ACT_ROWS(ACT_GATE, 0, step->n_tokens, gate_up, 2 * k, gate_up, 0.0f, f32, packed, rows8, k, tile,
		forms);
}

ACT_KERNEL act_pack(WEIR_PART_ARGS global const struct weir_step *step, global const float *x, global float *f32,
	global char *packed, global char *rows8, int k, int tile, int forms)
{
	ACT_ROWS(ACT_COPY, 0, step->n_tokens, x, k, x, 0.0f, f32, packed, rows8, k, tile, forms);
}
