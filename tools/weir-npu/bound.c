/* SPDX-License-Identifier: MIT */
/*
 * Kernel objects with their arguments: kept for launches that come again, checked against the
 * kernel.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "exec_inside.h"

/* ---- the table ----------------------------------------------------------- */

static struct exec_bound **bucket(struct exec *e, const struct weir_npu_launch *l)
{
	uint64_t h = l->args ^ (uint64_t)l->program << 48 ^ (uint64_t)l->kernel << 32;

	/* 2^64 divided by the golden ratio spreads neighbours (Knuth, volume 3, 6.4). */
	h *= 0x9e3779b97f4a7c15u;
	return &e->buckets[(h >> 40) % EXEC_BUCKETS];
}

static void leave_order(struct exec *e, struct exec_bound *b)
{
	*(b->newer ? &b->newer->older : &e->newest) = b->older;
	*(b->older ? &b->older->newer : &e->oldest) = b->newer;
}

static void enter_order(struct exec *e, struct exec_bound *b)
{
	b->newer = NULL;
	b->older = e->newest;
	*(b->older ? &b->older->newer : &e->oldest) = b;
	e->newest = b;
}

static void destroy(struct exec *e, struct exec_bound *b)
{
	struct weir_npu_launch key = {
		.program = b->program, .kernel = b->kernel, .args = b->args_addr};
	struct exec_bound **at = bucket(e, &key);

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	leave_order(e, b);
	e->n_bound--;
	/* OpenCL keeps it until what is under way with it is done. */
	clReleaseKernel(b->object);
	free(b);
}

void exec_unbind(struct exec *e, uint32_t program)
{
	struct exec_bound *older;

	for (struct exec_bound *b = e->newest; b; b = older) {
		older = b->older;
		if (b->program == program)
			destroy(e, b);
	}
}

static struct exec_bound *create(struct exec *e, const struct weir_npu_launch *l)
{
	const struct exec_program *p = &e->programs[l->program];
	const struct exec_kernel *k = &p->kernels[l->kernel];
	struct exec_bound **at = bucket(e, l), *b;
	cl_int err;

	if (e->n_bound == EXEC_BOUND)
		destroy(e, e->oldest);
	b = calloc(1, sizeof(*b) + k->info.n_args * sizeof(b->args[0]));
	if (!b)
		return NULL;
	b->object = clCreateKernel(p->program, k->name, &err);
	if (!b->object) {
		npu_log(e->ctx, "kernel %s cannot be created: OpenCL error %d", k->info.name,
			(int)err);
		free(b);
		return NULL;
	}
	b->program = l->program;
	b->kernel = l->kernel;
	b->args_addr = l->args;
	b->next = *at;
	*at = b;
	enter_order(e, b);
	e->n_bound++;
	return b;
}

static struct exec_bound *get(struct exec *e, const struct weir_npu_launch *l)
{
	struct exec_bound *b = *bucket(e, l);

	while (b && (b->args_addr != l->args || b->program != l->program || b->kernel != l->kernel))
		b = b->next;
	if (!b)
		return create(e, l);
	if (b != e->newest) {
		leave_order(e, b);
		enter_order(e, b);
	}
	return b;
}

/* ---- arguments ----------------------------------------------------------- */

static bool value_ok(const struct weir_npu_arg *arg)
{
	return arg->size == 1 || arg->size == 2 || arg->size == 4 || arg->size == 8;
}

/* The fault of an argument that OpenCL must not see. */
static int check_arg(struct exec *e, const struct exec_kernel *k, uint32_t i,
	const struct weir_npu_arg *arg, uint64_t *where)
{
	uint64_t bad;

	*where = i;
	if (arg->kind != k->kinds[i] || k->kinds[i] == EXEC_ARG_OTHER)
		return WEIR_NPU_FAULT_ARGUMENT;
	if (arg->kind == WEIR_NPU_ARG_VALUE)
		return value_ok(arg) ? 0 : WEIR_NPU_FAULT_ARGUMENT;
	if (arg->size)
		return WEIR_NPU_FAULT_ARGUMENT;
	if (arg->kind == WEIR_NPU_ARG_LOCAL)
		return arg->value ? 0 : WEIR_NPU_FAULT_ARGUMENT;
	if (arg->value % e->identity.align)
		return WEIR_NPU_FAULT_ARGUMENT;
	if (space_check(e->space, arg->value, 1, PROT_NONE, &bad))
		return 0;
	*where = arg->value;
	return WEIR_NPU_FAULT_ADDRESS;
}

/* All local arguments together have to fit. */
static int check_locals(
	struct exec *e, const struct weir_npu_arg *args, uint32_t n, uint64_t *where)
{
	uint64_t left = e->identity.local_memory;

	for (uint32_t i = 0; i < n; i++) {
		if (args[i].kind != WEIR_NPU_ARG_LOCAL)
			continue;
		*where = i;
		if (args[i].value > left)
			return WEIR_NPU_FAULT_ARGUMENT;
		left -= args[i].value;
	}
	return 0;
}

static cl_int set_arg(struct exec *e, cl_kernel object, uint32_t i, const struct weir_npu_arg *arg)
{
	switch (arg->kind) {
	case WEIR_NPU_ARG_BUFFER:
		return clSetKernelArgSVMPointer(object, i, space_pointer(e->space, arg->value));
	case WEIR_NPU_ARG_VALUE:
		/* Little-endian: the low bytes are the first. OpenCL compares the size. */
		return clSetKernelArg(object, i, arg->size, &arg->value);
	default:
		return clSetKernelArg(object, i, arg->value, NULL);
	}
}

/* Sets what differs from what the object has. */
static int set_args(struct exec *e, const struct exec_kernel *k, struct exec_bound *b,
	const struct weir_npu_arg *args, uint64_t *where)
{
	int fault;

	for (uint32_t i = 0; i < k->info.n_args; i++) {
		fault = check_arg(e, k, i, &args[i], where);
		if (fault)
			return fault;
		if (i < b->n_set && memcmp(&b->args[i], &args[i], sizeof(args[i])) == 0)
			continue;
		b->whole = false;
		if (set_arg(e, b->object, i, &args[i]) != CL_SUCCESS)
			return WEIR_NPU_FAULT_ARGUMENT;
		b->args[i] = args[i];
		if (i == b->n_set)
			b->n_set++;
	}
	fault = check_locals(e, args, k->info.n_args, where);
	b->whole = !fault;
	return fault;
}

int exec_bind(struct exec *e, const struct weir_npu_launch *l, cl_kernel *out, uint64_t *where)
{
	const struct exec_kernel *k = &e->programs[l->program].kernels[l->kernel];
	uint64_t generation = __atomic_load_n(&e->space->generation, __ATOMIC_ACQUIRE);
	struct weir_npu_arg args[EXEC_ARGS];
	size_t size = l->n_args * sizeof(args[0]);
	struct exec_bound *b;
	int fault;

	if (l->n_args != k->info.n_args) {
		*where = l->n_args < k->info.n_args ? l->n_args : k->info.n_args;
		return WEIR_NPU_FAULT_ARGUMENT;
	}
	if (!space_read(e->space, l->args, args, size, where))
		return WEIR_NPU_FAULT_ADDRESS;
	b = get(e, l);
	if (!b) {
		*where = 0;
		return WEIR_NPU_FAULT_EXECUTION;
	}
	if (!b->whole || b->generation != generation || memcmp(b->args, args, size) != 0) {
		fault = set_args(e, k, b, args, where);
		if (fault)
			return fault;
		b->generation = generation;
	}
	*out = b->object;
	return 0;
}
