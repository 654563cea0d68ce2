/* SPDX-License-Identifier: MIT */
/* Where a layer's keys and values lie, and the op that rotates and stores them (kernels/rope.cl). */
#include "base/base.h"
#include "graph/attention.h"

/* As in kernels/rope.cl. */
#define ROPE_RUN 16
#define ROPE_LOCAL 64

#define CPU_GROUPS 128

size_t weir_kv_bytes(enum weir_kv kv)
{
	return kv == WEIR_KV_Q8 ? 1 : kv == WEIR_KV_F16 ? 2 : 4;
}

const char *attention_kv_option(const struct weir_attention_shape *shape)
{
	return shape->kv == WEIR_KV_Q8 ? " -DKV_Q8" : shape->kv == WEIR_KV_F32 ? " -DKV_F32" : "";
}

void weir_kv_layout(const struct weir_attention_shape *shape, size_t align, struct weir_kv_layout *out)
{
	bool q8 = shape->kv == WEIR_KV_Q8;
	size_t scales = (size_t)shape->kv_heads * shape->slots;
	size_t part = scales * shape->head_dim * weir_kv_bytes(shape->kv);
	/* Kernels read rows of values by 16, past the last one's end (KV_PAD in kernels/kv.clh). */
	size_t pad = shape->head_dim % 16 ? 64 : 0;

	/* Slots are a multiple of 64: so is every part's size. */
	out->k = 0;
	out->v = part;
	out->k_scale = 2 * part + pad;
	out->v_scale = out->k_scale + (q8 ? scales * sizeof(float) : 0);
	out->size = weir_align_up(out->v_scale + (q8 ? scales * sizeof(float) : 0), align);
}

bool attention_check(struct weir_graph *g, const struct weir_attention_shape *shape,
	const struct weir_tensor *kv)
{
	struct weir_kv_layout layout;

	if (!shape->kv_heads || !shape->heads || shape->heads % shape->kv_heads || shape->heads > 1024)
		weir_graph_fail(g, EINVAL, "attention: %u heads cannot share %u key heads", shape->heads,
			shape->kv_heads);
	else if (!shape->head_dim || shape->head_dim % 4 || shape->head_dim > 256)
		weir_graph_fail(g, EINVAL, "attention: heads of %u, not a multiple of 4 up to 256",
			shape->head_dim);
	else if (shape->n_rot % 2 || shape->n_rot > shape->head_dim)
		weir_graph_fail(g, EINVAL, "attention: %u rotated dimensions of heads of %u", shape->n_rot,
			shape->head_dim);
	else if (!shape->slots || shape->slots % 64 || shape->slots > (1u << 30))
		weir_graph_fail(g, EINVAL, "attention: %u slots, not a multiple of 64", shape->slots);
	if (!weir_graph_ok(g))
		return false;
	weir_kv_layout(shape, 64, &layout);
	if (weir_tensor_size(kv) < layout.size)
		weir_graph_fail(g, EINVAL, "attention: a cache of %zu bytes where %zu are used",
			weir_tensor_size(kv), layout.size);
	return weir_graph_ok(g);
}

unsigned attention_rotations(const struct weir_attention_shape *shape)
{
	return shape->two_queries ? 2 : 1;
}

void weir_op_rope_store(struct weir_graph *g, const struct weir_step_tensors *s,
	const struct weir_attention_shape *shape, struct weir_tensor *qkv, struct weir_tensor *q_norm,
	struct weir_tensor *k_norm, float eps, struct weir_tensor *q_out, struct weir_tensor *kv)
{
	unsigned rows = shape->heads + 2 * shape->kv_heads;
	unsigned groups = WEIR_MIN((s->width + ROPE_RUN - 1) / ROPE_RUN, CPU_GROUPS), local = 1;
	char options[160];
	struct weir_op *op;

	if (!weir_graph_ok(g) || !attention_check(g, shape, kv))
		return;
	snprintf(options, sizeof(options),
		"-DHEADS=%u -DKV_HEADS=%u -DHEAD_DIM=%u -DN_ROT=%u -DROTATIONS=%u%s%s%s", shape->heads,
		shape->kv_heads, shape->head_dim, shape->n_rot, attention_rotations(shape),
		shape->rope == WEIR_ROPE_HALVES ? " -DROPE_HALVES" : "", q_norm ? " -DQK_NORM" : "",
		attention_kv_option(shape));
	if (weir_device_props(weir_graph_device(g))->schedule == WEIR_SCHEDULE_GPU) {
		groups = s->width * rows;
		local = ROPE_LOCAL;
	}
	op = weir_graph_op(g, "rope_store", "rope.cl", options, "rope_store", groups, local);
	weir_op_read(op, s->step);
	weir_op_read(op, s->slot);
	weir_op_read(op, s->rope);
	weir_op_read(op, qkv);
	weir_op_read(op, q_norm ? q_norm : s->rope);
	weir_op_read(op, k_norm ? k_norm : s->rope);
	weir_op_write(op, q_out);
	weir_op_update(op, kv);
	weir_op_int(op, (int32_t)shape->slots);
	weir_op_float(op, eps);
	weir_op_cost(op, 0, (uint64_t)rows * shape->head_dim * 8, (uint64_t)rows * shape->head_dim * 3);
}
