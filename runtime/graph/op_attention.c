/* SPDX-License-Identifier: MIT */
/* Attention over the cache, as one launch or as shares and their merge (kernels/attention.cl). */
#include "base/base.h"
#include "graph/attention.h"

/* As in kernels/attention.cl. */
#define BLOCK 64

#define ATTEND_F32 1
#define ATTEND_PACKED 2

#define CPU_GROUPS 128

/*
 * Query rows of a tile, for all of which a block of keys and values is made floats once. On an x86_64 with AVX-512 and
 * heads of 64, 96 rows were 7 % faster than 48, and 144 or 192 no faster than 96.
 */
#define TILE_ROWS 96
/* Rows of a token that keep their sums in registers: one more vector has the keys, and there are 32 (AVX-512, NEON). */
#define DECODE_ROWS 16
/* Sums of a prefill tile's strip: 6 rows of 4 vectors, beside 4 vectors of keys or values and a query or weight. */
#define STRIP_ROWS 6
#define STRIP_SUMS 24

/* Heads that a GPU's work-item keeps sums for. */
#define GPU_TEAM 8

/* Shares of a decode step: enough work-groups for this many a thread on a CPU, or in all on a GPU. */
#define CPU_UNITS 4
#define GPU_UNITS 256
#define MAX_SHARES 32

struct attention_plan {
	bool gpu;
	unsigned team;	 /* query heads that go together: they share keys and values */
	unsigned teams;
	unsigned tokens; /* that go together */
	unsigned strip;	 /* rows that are in registers together */
	unsigned pass;	 /* vectors of values summed at once */
	unsigned units;	 /* of work that a step should have */
	unsigned shares;
	unsigned groups, local;
};

static unsigned largest_divisor(unsigned n, unsigned max)
{
	unsigned d = WEIR_MIN(n, max);

	while (n % d)
		d--;
	return d;
}

/* On a CPU all threads get as many shares as each other, where that can be. */
static unsigned count_shares(const struct weir_device_props *props, const struct weir_attention_shape *shape,
	const struct attention_plan *p)
{
	unsigned most = WEIR_MAX(1, WEIR_MIN(MAX_SHARES, shape->slots / (2 * BLOCK)));
	unsigned shares = WEIR_MIN((p->units + p->teams - 1) / p->teams, most);

	if (!p->gpu && props->compute_units < 2)
		return 1;
	while (!p->gpu && shares < most && p->teams * shares % props->compute_units)
		shares++;
	return shares;
}

/* Decode keeps all rows of a token in registers; prefill has strips of them, as high as vectors of values allow. */
static void plan_strips(struct attention_plan *p, unsigned width, unsigned vectors)
{
	p->tokens = width > 1 ? TILE_ROWS / p->team : 1;
	p->strip = width > 1 ? STRIP_ROWS : p->team;
	p->pass = largest_divisor(vectors, WEIR_MAX(STRIP_SUMS / p->strip, 1));
	if (width > 1 && p->pass < 3) {
		p->pass = largest_divisor(vectors, 7);
		p->strip = WEIR_MIN(STRIP_ROWS, STRIP_SUMS / p->pass);
	}
}

static struct attention_plan plan_attention(struct weir_graph *g, const struct weir_attention_shape *shape,
	unsigned width)
{
	const struct weir_device_props *props = weir_device_props(weir_graph_device(g));
	struct attention_plan p = {.gpu = props->schedule == WEIR_SCHEDULE_GPU, .tokens = 1, .strip = 1, .pass = 1};

	p.team = largest_divisor(shape->heads / shape->kv_heads, p.gpu ? GPU_TEAM : DECODE_ROWS);
	p.teams = shape->heads / p.team;
	p.units = p.gpu ? GPU_UNITS : CPU_UNITS * WEIR_MIN(props->compute_units, 64u);
	if (!p.gpu)
		plan_strips(&p, width, (shape->head_dim + 15) / 16);
	p.shares = width == 1 ? count_shares(props, shape, &p) : 1;
	p.groups = width * p.teams * p.shares; /* a step may have as many units as tokens */
	if (!p.gpu)
		p.groups = WEIR_MIN(p.groups, CPU_GROUPS);
	p.local = p.gpu ? BLOCK : 1;
	return p;
}

static void attend(struct weir_graph *g, const struct weir_step_tensors *s,
	const struct weir_attention_shape *shape, const struct attention_plan *p, const char *options,
	struct weir_tensor *q, struct weir_tensor *kv, struct weir_tensor *out, struct weir_tensor *packed)
{
	size_t row = (size_t)shape->heads * shape->head_dim;
	struct weir_op *op = weir_graph_op(g, "attention", "attention.cl", options, "attend", p->groups, p->local);

	weir_op_read(op, s->step);
	weir_op_read(op, s->seen);
	weir_op_read(op, q);
	weir_op_read(op, kv);
	weir_op_write(op, out ? out : packed);
	if (!p->gpu)
		weir_op_write(op, packed ? packed : out);
	weir_op_int(op, (int32_t)shape->slots);
	weir_op_int(op, (int32_t)p->shares);
	if (!p->gpu)
		weir_op_int(op, (out ? ATTEND_F32 : 0) | (packed ? ATTEND_PACKED : 0));
	/* Of what is sure: how many keys a step sees is not known here. */
	weir_op_cost(op, 0, (attention_rotations(shape) + 1) * row * 4, 0);
}

/* Merges a token's shares, and packs its row on a CPU, where that is one work-group's work. */
static void merge(struct weir_graph *g, const struct weir_attention_shape *shape, const struct attention_plan *p,
	const char *options, struct weir_tensor *parts, struct weir_tensor *row, struct weir_tensor *packed)
{
	size_t k = (size_t)shape->heads * shape->head_dim;
	struct weir_op *op = weir_graph_op(g, "attention_merge", "attention.cl", options, "merge",
		p->gpu ? shape->heads : 1, p->local);

	weir_op_read(op, parts);
	weir_op_write(op, row);
	if (!p->gpu)
		weir_op_write(op, packed ? packed : row);
	weir_op_int(op, (int32_t)p->shares);
	if (!p->gpu)
		weir_op_int(op, packed != NULL);
	weir_op_cost(op, 0, (p->shares + 1) * k * 4, p->shares * k * 2);
}

void weir_op_attention(struct weir_graph *g, const struct weir_step_tensors *s,
	const struct weir_attention_shape *shape, struct weir_tensor *q, struct weir_tensor *kv,
	struct weir_rows_out out)
{
	size_t k = (size_t)shape->heads * shape->head_dim;
	size_t part = ((size_t)(shape->head_dim + 15) / 16 * 16 + 16) * sizeof(float);
	struct weir_tensor *row = out.f32, *packed = NULL, *parts;
	struct weir_rows_out rest = {.packed = out.packed, .rows8 = out.rows8}; /* what is made of row */
	struct attention_plan p;
	char options[192];

	if (!weir_graph_ok(g) || !attention_check(g, shape, kv))
		return;
	if ((out.packed || out.rows8) && k % 32) {
		weir_graph_fail(g, EINVAL, "attention: a row of %zu cannot be packed in groups of 32", k);
		return;
	}
	p = plan_attention(g, shape, s->width);
	snprintf(options, sizeof(options),
		"-DHEADS=%u -DKV_HEADS=%u -DHEAD_DIM=%u -DROTATIONS=%u -DTEAM=%u -DTOKENS=%u -DSTRIP=%u -DPASS=%u "
		"-DUNITS=%u%s", shape->heads, shape->kv_heads, shape->head_dim, attention_rotations(shape), p.team,
		p.tokens, p.strip, p.pass, p.units, attention_kv_option(shape));
	if (!p.gpu && (p.shares > 1 || shape->head_dim % 32 == 0)) {
		packed = out.packed;
		rest.packed = NULL;
	}
	if (!row && (p.shares > 1 || !packed || rest.rows8))
		row = weir_graph_tensor(g, "attention rows", s->width * k * sizeof(float));
	if (p.shares == 1) {
		attend(g, s, shape, &p, options, q, kv, row, packed);
	} else {
		parts = weir_graph_tensor(g, "attention parts", p.shares * shape->heads * part);
		attend(g, s, shape, &p, options, q, kv, parts, NULL);
		merge(g, shape, &p, options, parts, row, packed);
	}
	if (rest.packed || rest.rows8)
		weir_op_pack(g, s, row, k, rest);
}
