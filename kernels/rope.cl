/* SPDX-License-Identifier: MIT */
/*
 * Rotary embedding (RoFormer, Su et al. 2021) of a step's queries and keys, and the store of keys and values into
 * the cache. Angles come ready in the step block. Build options: HEADS, KV_HEADS, HEAD_DIM, N_ROT, ROTATIONS (of
 * each query), and where they apply ROPE_HALVES, QK_NORM (RMSNorm of each head before it is rotated), KV_Q8 or KV_F32.
 */
#include "launch.clh"
#include "step.clh"
#include "math.clh"
#include "kv.clh"

#define HALF_MAX 65504.0f

#ifdef ROPE_HALVES
#define PAIR_FIRST(i) (i)
#define PAIR_SECOND(i) ((i) + N_ROT / 2)
#else
#define PAIR_FIRST(i) (2 * (i))
#define PAIR_SECOND(i) (2 * (i) + 1)
#endif

/* A stored number's bits. Halves saturate: an infinite value times an unseen key's zero would be no number. */
#ifdef KV_Q8
typedef char kv_bits;
#elif defined(KV_F32)
typedef float kv_bits;
#else
typedef ushort kv_bits;
#endif

static inline float kv_inverse(float top)
{
	return top > 1e-30f ? 127.0f / top : 0.0f;
}

#ifdef WEIR_CPU

/* A head's row, padded to whole vectors. */
#define WIDE ((HEAD_DIM + 15) / 16 * 16)

static inline float row_square_sum(const float *row)
{
	float16 sum = 0.0f;
	int i;

	for (i = 0; i < WIDE; i += 16) {
		float16 v = vload16(0, row + i);

		sum = fma(v, v, sum);
	}
	return weir_sum16(sum);
}

#ifdef KV_Q8
static inline float row_top(const float *row)
{
	float16 top = 0.0f;
	int i;

	for (i = 0; i < WIDE; i += 16)
		top = max(top, fabs(vload16(0, row + i)));
	return weir_max16(top);
}
#endif

/* Copies a head, normalized if norm is there; what pads the row is 0. */
static inline void row_load(float *row, global const float *x, global const float *norm, float eps)
{
	int i;

	for (i = 0; i + 16 <= HEAD_DIM; i += 16)
		vstore16(vload16(0, x + i), 0, row + i);
	for (; i < HEAD_DIM; i++)
		row[i] = x[i];
	for (; i < WIDE; i++)
		row[i] = 0.0f;
#ifdef QK_NORM
	if (norm) {
		float inverse = 1.0f / sqrt(row_square_sum(row) / HEAD_DIM + eps);

		for (i = 0; i < HEAD_DIM; i++)
			row[i] *= inverse * norm[i];
	}
#endif
}

/* Rotates the pairs of in; dimensions past N_ROT pass. */
static inline void row_rotate(const float *in, global const float *angles, float *out)
{
	int i = 0;

#ifdef ROPE_HALVES
	for (; i + 16 <= N_ROT / 2; i += 16) {
		float16 u = vload16(0, angles + 2 * i), v = vload16(0, angles + 2 * i + 16);
		float16 c = (float16)(u.even, v.even), s = (float16)(u.odd, v.odd);
		float16 a = vload16(0, in + i), b = vload16(0, in + i + N_ROT / 2);

		vstore16(a * c - b * s, 0, out + i);
		vstore16(a * s + b * c, 0, out + i + N_ROT / 2);
	}
#else
	for (; i + 8 <= N_ROT / 2; i += 8) {
		float16 u = vload16(0, angles + 2 * i), v = vload16(0, in + 2 * i);
		float8 a = v.even * u.even - v.odd * u.odd;
		float8 b = v.even * u.odd + v.odd * u.even;
		float16 r;

		r.even = a;
		r.odd = b;
		vstore16(r, 0, out + 2 * i);
	}
#endif
	for (; i < N_ROT / 2; i++) {
		float c = angles[2 * i], s = angles[2 * i + 1];
		float a = in[PAIR_FIRST(i)], b = in[PAIR_SECOND(i)];

		out[PAIR_FIRST(i)] = a * c - b * s;
		out[PAIR_SECOND(i)] = a * s + b * c;
	}
	for (i = N_ROT; i < WIDE; i++)
		out[i] = in[i];
}

/* A row as it is stored; gives the scale, where there is one. */
static inline float row_encode(const float *row, kv_bits *out)
{
	int i;

#ifdef KV_Q8
	float top = row_top(row), inverse = kv_inverse(top);

	for (i = 0; i < WIDE; i += 16)
		vstore16(convert_char16(convert_int16_rte(vload16(0, row + i) * inverse)), 0, out + i);
	return top * (1.0f / 127.0f);
#elif defined(KV_F32)
	for (i = 0; i < WIDE; i += 16)
		vstore16(vload16(0, row + i), 0, out + i);
	return 0.0f;
#else
	for (i = 0; i < WIDE; i += 16)
		vstore_half16_rte(clamp(vload16(0, row + i), -HALF_MAX, HALF_MAX), 0, (half *)(out + i));
	return 0.0f;
#endif
}

static inline void row_store_key(const float *row, global char *kv, int slots, int head, int slot)
{
	global kv_bits *keys = (global kv_bits *)kv_keys(kv, slots, head) + kv_key_at(slot, 0);
	kv_bits bits[WIDE];
	float scale = row_encode(row, bits);
	int d;

	for (d = 0; d < HEAD_DIM; d++)
		keys[(size_t)d * 16] = bits[d];
#ifdef KV_Q8
	kv_key_scales(kv, slots, head)[slot] = scale;
#else
	(void)scale;
#endif
}

static inline void row_store_value(const float *row, global char *kv, int slots, int head, int slot)
{
	global kv_bits *values = (global kv_bits *)kv_values(kv, slots, head) + (size_t)slot * HEAD_DIM;
	kv_bits bits[WIDE];
	float scale = row_encode(row, bits);
	int d;

	for (d = 0; d < HEAD_DIM; d++)
		values[d] = bits[d];
#ifdef KV_Q8
	kv_value_scales(kv, slots, head)[slot] = scale;
#else
	(void)scale;
#endif
}

static inline void store_query(const float *row, global float *q)
{
	int d;

	for (d = 0; d + 16 <= HEAD_DIM; d += 16)
		vstore16(vload16(0, row + d), 0, q + d);
	for (; d < HEAD_DIM; d++)
		q[d] = row[d];
}

static inline void rope_token(global const float *x, int slot, global const float *angles,
	global const float *q_norm, global const float *k_norm, float eps, global float *q, global char *kv,
	int slots)
{
	float row[WIDE], turned[WIDE];
	int head, r;

	for (head = 0; head < HEADS; head++) {
		row_load(row, x + head * HEAD_DIM, q_norm, eps);
		for (r = 0; r < ROTATIONS; r++) {
			row_rotate(row, angles + r * N_ROT, turned);
			store_query(turned, q + (r * HEADS + head) * HEAD_DIM);
		}
	}
	x += HEADS * HEAD_DIM;
	for (head = 0; head < KV_HEADS; head++) {
		row_load(row, x + head * HEAD_DIM, k_norm, eps);
		row_rotate(row, angles, turned);
		row_store_key(turned, kv, slots, head, slot);
	}
	x += KV_HEADS * HEAD_DIM;
	for (head = 0; head < KV_HEADS; head++) {
		row_load(row, x + head * HEAD_DIM, (global const float *)0, eps);
		row_store_value(row, kv, slots, head, slot);
	}
}

/* Sixteen tokens at a time: their keys share cache lines, which two threads should not write by turns. */
#define RUN 16

WEIR_KERNEL rope_store(WEIR_PART_ARGS global const struct weir_step *step,
	global const int *slot, global const float *rope, global const float *qkv,
	global const float *q_norm, global const float *k_norm, global float *q, global char *kv, int slots,
	float eps)
{
	int base, t;

	for (base = WEIR_PART * RUN; base < step->n_tokens; base += WEIR_PARTS * RUN) {
		for (t = base; t < min(base + RUN, step->n_tokens); t++)
			rope_token(qkv + (size_t)t * (HEADS + 2 * KV_HEADS) * HEAD_DIM, slot[t],
				rope + (size_t)t * 2 * N_ROT, q_norm, k_norm, eps,
				q + (size_t)t * ROTATIONS * HEADS * HEAD_DIM, kv, slots);
	}
}

#else /* WEIR_GPU */

#define ROPE_LOCAL 64

#ifdef KV_Q8
static inline kv_bits kv_encode(float v, float inverse)
{
	return convert_char_sat_rte(v * inverse);
}
#elif defined(KV_F32)
static inline kv_bits kv_encode(float v, float inverse)
{
	(void)inverse;
	return v;
}
#else
static inline kv_bits kv_encode(float v, float inverse)
{
	uint bits = as_uint(clamp(v, -HALF_MAX, HALF_MAX));
	uint size = bits & 0x7fffffff, out;

	(void)inverse;
	if (size < 0x38800000) /* below 2^-14 a half has steps of 2^-24: those of a float at 1/2 */
		out = as_uint(as_float(size) + 0.5f) - 0x3f000000;
	else /* a new bias for the exponent, and rounding to nearest even */
		out = (size - (112u << 23) + 0xfff + ((size >> 13) & 1)) >> 13;
	return (kv_bits)(((bits >> 16) & 0x8000) | out);
}
#endif

/* ROPE_LOCAL is its square. 64 values become 8, then one: no barrier in a loop, see attention_gpu.clh. */
#define ROPE_FOLD 8

#define REDUCE(name, op)									\
	static inline float name(local float *part, float v)					\
	{											\
		int lid = (int)get_local_id(0), i;						\
												\
		barrier(CLK_LOCAL_MEM_FENCE);							\
		part[lid] = v;									\
		barrier(CLK_LOCAL_MEM_FENCE);							\
		v = part[lid % ROPE_FOLD];							\
		for (i = 1; i < ROPE_FOLD; i++)							\
			v = op(v, part[i * ROPE_FOLD + lid % ROPE_FOLD]);			\
		barrier(CLK_LOCAL_MEM_FENCE);							\
		part[lid] = v;									\
		barrier(CLK_LOCAL_MEM_FENCE);							\
		v = part[0];									\
		for (i = 1; i < ROPE_FOLD; i++)							\
			v = op(v, part[i]);							\
		return v;									\
	}
#define ADD(a, b) ((a) + (b))
REDUCE(local_sum, ADD)
REDUCE(local_max, max)

/*
 * Where there are more work-items than dimensions the last one is repeated, and the same value is stored again: no
 * branches. PoCL 3.1 gets branches wrong that some work-items of a group take, when they leave a loop as invariant.
 */
static inline int lane(int base, int count)
{
	return min(base + (int)get_local_id(0), count - 1);
}

static inline void row_load(local float *part, local float *row, global const float *x,
	global const float *norm, float eps)
{
	int i;

#ifdef QK_NORM
	float sum = 0.0f, inverse;

	for (i = 0; i < HEAD_DIM; i += ROPE_LOCAL) {
		float v = x[lane(i, HEAD_DIM)];

		sum += i + (int)get_local_id(0) < HEAD_DIM ? v * v : 0.0f;
	}
	inverse = 1.0f / sqrt(local_sum(part, sum) / HEAD_DIM + eps);
#else
	(void)part;
	(void)eps;
#endif
	for (i = 0; i < HEAD_DIM; i += ROPE_LOCAL) {
		int d = lane(i, HEAD_DIM);
		float v = x[d];

#ifdef QK_NORM
		if (norm) /* the same for all */
			v *= inverse * norm[d];
#endif
		row[d] = v;
	}
	barrier(CLK_LOCAL_MEM_FENCE);
}

static inline void row_rotate(local const float *in, global const float *angles, local float *out)
{
	int i;

	for (i = 0; i < N_ROT / 2; i += ROPE_LOCAL) {
		int pair = lane(i, N_ROT / 2);
		float c = angles[2 * pair], s = angles[2 * pair + 1];
		float a = in[PAIR_FIRST(pair)], b = in[PAIR_SECOND(pair)];

		out[PAIR_FIRST(pair)] = a * c - b * s;
		out[PAIR_SECOND(pair)] = a * s + b * c;
	}
	for (i = N_ROT; i < HEAD_DIM; i += ROPE_LOCAL) {
		int d = lane(i, HEAD_DIM);

		out[d] = in[d];
	}
	barrier(CLK_LOCAL_MEM_FENCE);
}

/* What a stored row's values are multiplied by. */
static inline float row_inverse(local float *part, local const float *row, float *scale)
{
#ifdef KV_Q8
	float top = 0.0f;
	int i;

	for (i = 0; i < HEAD_DIM; i += ROPE_LOCAL)
		top = max(top, fabs(row[lane(i, HEAD_DIM)]));
	top = local_max(part, top);
	*scale = top * (1.0f / 127.0f);
	return kv_inverse(top);
#else
	(void)part;
	(void)row;
	*scale = 0.0f;
	return 0.0f;
#endif
}

static inline void key_store(local const float *row, global char *kv, int slots, int head, int slot,
	float inverse, float scale)
{
	global kv_bits *keys = (global kv_bits *)kv_keys(kv, slots, head);
	int i;

	for (i = 0; i < HEAD_DIM; i += ROPE_LOCAL) {
		int d = lane(i, HEAD_DIM);

		keys[kv_key_at(slot, d)] = kv_encode(row[d], inverse);
	}
#ifdef KV_Q8
	kv_key_scales(kv, slots, head)[slot] = scale;
#endif
}

static inline void value_store(local const float *row, global char *kv, int slots, int head, int slot,
	float inverse, float scale)
{
	global kv_bits *values = (global kv_bits *)kv_values(kv, slots, head) + (size_t)slot * HEAD_DIM;
	int i;

	for (i = 0; i < HEAD_DIM; i += ROPE_LOCAL) {
		int d = lane(i, HEAD_DIM);

		values[d] = kv_encode(row[d], inverse);
	}
#ifdef KV_Q8
	kv_value_scales(kv, slots, head)[slot] = scale;
#endif
}

/*
 * A work-group a token and a head: of the queries, then of the keys, then of the values. All go through the same
 * barriers, and only stores are for some alone.
 */
kernel __attribute__((reqd_work_group_size(ROPE_LOCAL, 1, 1))) void rope_store(
	global const struct weir_step *step, global const int *slot, global const float *rope,
	global const float *qkv, global const float *q_norm, global const float *k_norm, global float *q,
	global char *kv, int slots, float eps)
{
	local float part[ROPE_LOCAL], row[HEAD_DIM], turned[HEAD_DIM];
	int t = (int)get_group_id(0) / (HEADS + 2 * KV_HEADS);
	int head = (int)get_group_id(0) % (HEADS + 2 * KV_HEADS);
	int key = head - HEADS, value = key - KV_HEADS;
	global const float *norm = key < 0 ? q_norm : value < 0 ? k_norm : (global const float *)0;
	float inverse, scale;
	int r, i;

	if (t >= step->n_tokens)
		return;
	row_load(part, row, qkv + (size_t)get_group_id(0) * HEAD_DIM, norm, eps);
	/* The first rotation, which is the keys', comes last. */
	for (r = ROTATIONS - 1; r >= 0; r--) {
		row_rotate(row, rope + ((size_t)t * 2 + r) * N_ROT, turned);
		for (i = 0; key < 0 && i < HEAD_DIM; i += ROPE_LOCAL) {
			int d = lane(i, HEAD_DIM);

			q[(((size_t)t * ROTATIONS + r) * HEADS + head) * HEAD_DIM + d] = turned[d];
		}
		barrier(CLK_LOCAL_MEM_FENCE);
	}
	inverse = row_inverse(part, value < 0 ? turned : row, &scale);
	if (value >= 0)
		value_store(row, kv, slots, value, slot[t], inverse, scale);
	else if (key >= 0)
		key_store(turned, kv, slots, key, slot[t], inverse, scale);
}

#endif
