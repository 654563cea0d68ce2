/* SPDX-License-Identifier: MIT */
/* LOAD and UNLOAD: programs built by PoCL's compiler, and the report of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "exec_inside.h"

/* More than this of source, of options, or of log is nobody's program. */
#define MAX_CODE ((uint64_t)16 << 20)
#define MAX_OPTIONS 4096
#define MAX_LOG ((size_t)1 << 20)
/* Kernels' argument kinds are asked for; OpenCL 1.2 names need this option. */
#define OUR_OPTIONS " -cl-kernel-arg-info"

/* What LOAD made so far, and what it will report. */
struct build {
	struct exec_program made;
	enum weir_npu_build result;
	char *code, *options, *log;
	uint32_t kernels; /* found, for SPACE */
};

/* ---- kernels ------------------------------------------------------------- */

static enum exec_arg arg_kind(cl_kernel k, cl_uint i)
{
	static const char *const others[] = {"image", "sampler_t", "pipe", "event_t"};
	cl_kernel_arg_address_qualifier space = 0;
	char type[128] = "";
	cl_int err;

	err = clGetKernelArgInfo(
		k, i, CL_KERNEL_ARG_ADDRESS_QUALIFIER, sizeof(space), &space, NULL);
	if (err == CL_SUCCESS)
		err = clGetKernelArgInfo(
			k, i, CL_KERNEL_ARG_TYPE_NAME, sizeof(type) - 1, type, NULL);
	if (err != CL_SUCCESS)
		return EXEC_ARG_OTHER;
	for (size_t n = 0; n < sizeof(others) / sizeof(others[0]); n++) {
		if (strstr(type, others[n]) && !strchr(type, '*'))
			return EXEC_ARG_OTHER;
	}
	switch (space) {
	case CL_KERNEL_ARG_ADDRESS_GLOBAL:
	case CL_KERNEL_ARG_ADDRESS_CONSTANT:
		return EXEC_ARG_BUFFER;
	case CL_KERNEL_ARG_ADDRESS_LOCAL:
		return EXEC_ARG_LOCAL;
	default:
		return EXEC_ARG_VALUE;
	}
}

static cl_int describe(const struct exec *e, cl_kernel k, struct exec_kernel *out)
{
	size_t length = 0, local = 0, required[3] = {0, 0, 0};
	cl_uint n_args = 0;
	cl_int err;

	err = clGetKernelInfo(k, CL_KERNEL_FUNCTION_NAME, 0, NULL, &length);
	if (err == CL_SUCCESS) {
		out->name = calloc(1, length + 1);
		err = out->name
			      ? clGetKernelInfo(k, CL_KERNEL_FUNCTION_NAME, length, out->name, NULL)
			      : CL_OUT_OF_HOST_MEMORY;
	}
	if (err == CL_SUCCESS)
		err = clGetKernelInfo(k, CL_KERNEL_NUM_ARGS, sizeof(n_args), &n_args, NULL);
	if (err == CL_SUCCESS)
		err = clGetKernelWorkGroupInfo(
			k, e->device, CL_KERNEL_WORK_GROUP_SIZE, sizeof(local), &local, NULL);
	if (err == CL_SUCCESS)
		err = clGetKernelWorkGroupInfo(k, e->device, CL_KERNEL_COMPILE_WORK_GROUP_SIZE,
			sizeof(required), required, NULL);
	if (err != CL_SUCCESS)
		return err;
	snprintf(out->info.name, sizeof(out->info.name), "%s", out->name);
	out->info.n_args = n_args;
	out->info.max_local =
		local < e->identity.max_local ? (uint32_t)local : e->identity.max_local;
	for (unsigned i = 0; i < 3; i++)
		out->info.required_local[i] = (uint32_t)required[i];
	for (cl_uint i = 0; i < n_args && i < EXEC_ARGS; i++)
		out->kinds[i] = (uint8_t)arg_kind(k, i);
	return CL_SUCCESS;
}

static void free_program(struct exec_program *p)
{
	for (uint32_t i = 0; p->kernels && i < p->count; i++)
		free(p->kernels[i].name);
	free(p->kernels);
	if (p->program)
		clReleaseProgram(p->program);
	memset(p, 0, sizeof(*p));
}

/* A program without kernels is one, too. */
static cl_int list_kernels(const struct exec *e, struct exec_program *p)
{
	cl_kernel *objects;
	cl_uint n = 0;
	cl_int err;

	err = clCreateKernelsInProgram(p->program, 0, NULL, &n);
	if (err != CL_SUCCESS || n == 0)
		return err;
	objects = calloc(n, sizeof(*objects));
	p->kernels = calloc(n, sizeof(*p->kernels));
	err = CL_OUT_OF_HOST_MEMORY;
	if (!objects || !p->kernels)
		goto end;
	p->count = n;
	err = clCreateKernelsInProgram(p->program, n, objects, NULL);
	for (cl_uint i = 0; i < n && objects[i]; i++) {
		if (err == CL_SUCCESS)
			err = describe(e, objects[i], &p->kernels[i]);
		clReleaseKernel(objects[i]);
	}
end:
	free(objects);
	return err;
}

/* ---- building ------------------------------------------------------------ */

static enum weir_npu_build result_of(cl_int err)
{
	switch (err) {
	case CL_SUCCESS:
		return WEIR_NPU_BUILD_OK;
	case CL_OUT_OF_HOST_MEMORY:
	case CL_OUT_OF_RESOURCES:
	case CL_MEM_OBJECT_ALLOCATION_FAILURE:
		return WEIR_NPU_BUILD_RESOURCE;
	default:
		return WEIR_NPU_BUILD_ERROR;
	}
}

/*
 * Sources and options come from a stranger: no option may name a file. The sandbox keeps #include
 * away from them.
 */
static const char *options_wrong(const char *options, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (options[i] < ' ' || options[i] > '~')
			return "an option holds what is not printable\n";
	}
	if (strstr(options, "-I") || strchr(options, '@'))
		return "options that name files are not taken\n";
	return NULL;
}

static void take_log(const struct exec *e, struct build *b)
{
	size_t size = 0;
	cl_int err;

	clGetProgramBuildInfo(b->made.program, e->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &size);
	if (size == 0 || size > MAX_LOG)
		return;
	b->log = calloc(1, size + 1);
	if (!b->log)
		return;
	err = clGetProgramBuildInfo(
		b->made.program, e->device, CL_PROGRAM_BUILD_LOG, size, b->log, NULL);
	if (err != CL_SUCCESS)
		b->log[0] = 0;
}

/*
 * PoCL compiles a kernel for its local size when it is first launched, which takes seconds for large ones and would
 * count as a hang there. Asked for a binary it does so at once, for kernels that insist on a local size.
 */
static void compile_ahead(const struct exec *e, const struct exec_program *p)
{
	size_t size;

	if (e->binaries)
		clGetProgramInfo(p->program, CL_PROGRAM_BINARY_SIZES, sizeof(size), &size, NULL);
}

static void build(struct exec *e, const struct weir_npu_load *l, struct build *b)
{
	const char *text = b->code, *wrong = options_wrong(b->options, l->options_size);
	size_t length = l->code_size;
	cl_int err = CL_SUCCESS;

	b->result = WEIR_NPU_BUILD_ERROR;
	/* Text that ends early would hide what follows from whoever reads the log. */
	if (memchr(text, 0, length))
		wrong = "the source holds a zero byte\n";
	if (wrong) {
		b->log = strdup(wrong);
		return;
	}
	strcat(b->options, OUR_OPTIONS);
	b->made.program = clCreateProgramWithSource(e->context, 1, &text, &length, &err);
	if (b->made.program) {
		err = clBuildProgram(b->made.program, 1, &e->device, b->options, NULL, NULL);
		take_log(e, b);
	}
	if (err == CL_SUCCESS)
		err = list_kernels(e, &b->made);
	if (err == CL_SUCCESS)
		compile_ahead(e, &b->made);
	b->result = result_of(err);
	if (b->result == WEIR_NPU_BUILD_ERROR && !b->log &&
		asprintf(&b->log, "the compiler says nothing but OpenCL error %d\n", (int)err) < 0)
		b->log = NULL;
}

/* ---- the report ---------------------------------------------------------- */

/* Mapped before the build: if it is gone since then, the process gets its own SIGSEGV. */
static void report(struct exec *e, const struct weir_npu_load *l, struct build *b)
{
	char *to = space_pointer(e->space, l->report);
	size_t left = l->report_size - sizeof(struct weir_npu_report);
	size_t length = b->log ? strlen(b->log) : 0;
	struct weir_npu_report r = {.result = b->result};
	size_t at = sizeof(r);

	if (b->result == WEIR_NPU_BUILD_OK || b->result == WEIR_NPU_BUILD_SPACE)
		r.kernels = b->kernels;
	for (uint32_t i = 0; b->result == WEIR_NPU_BUILD_OK && i < b->kernels; i++) {
		memcpy(to + at, &b->made.kernels[i].info, sizeof(b->made.kernels[i].info));
		at += sizeof(b->made.kernels[i].info);
		left -= sizeof(b->made.kernels[i].info);
	}
	r.log_size = (uint32_t)(length < left ? length : left);
	if (r.log_size)
		memcpy(to + at, b->log, r.log_size);
	memcpy(to, &r, sizeof(r));
}

static int copy_in(struct exec *e, const struct weir_npu_load *l, struct build *b, uint64_t *where)
{
	if (!space_check(e->space, l->report, l->report_size, PROT_WRITE, where) ||
		!space_check(e->space, l->code, l->code_size, PROT_READ, where))
		return WEIR_NPU_FAULT_ADDRESS;
	if (l->options_size &&
		!space_check(e->space, l->options, l->options_size, PROT_READ, where))
		return WEIR_NPU_FAULT_ADDRESS;
	if (l->code_size > MAX_CODE || l->options_size > MAX_OPTIONS) {
		b->result = WEIR_NPU_BUILD_RESOURCE;
		return 0;
	}
	b->code = calloc(1, l->code_size + 1);
	b->options = calloc(1, l->options_size + sizeof(OUR_OPTIONS));
	if (!b->code || !b->options) {
		b->result = WEIR_NPU_BUILD_RESOURCE;
		return 0;
	}
	if (!space_read(e->space, l->code, b->code, l->code_size, where))
		return WEIR_NPU_FAULT_ADDRESS;
	if (l->options_size &&
		!space_read(e->space, l->options, b->options, l->options_size, where))
		return WEIR_NPU_FAULT_ADDRESS;
	return 0;
}

int exec_load(struct exec *e, const struct weir_npu_load *l, uint64_t *where)
{
	struct build b = {.result = WEIR_NPU_BUILD_OK};
	int fault;

	*where = l->program;
	if (l->program >= WORKER_PROGRAMS || e->programs[l->program].program)
		return WEIR_NPU_FAULT_PROGRAM;
	fault = copy_in(e, l, &b, where);
	if (fault)
		goto end;
	if (l->format != WEIR_NPU_FORMAT_OPENCL_C)
		b.result = WEIR_NPU_BUILD_FORMAT;
	if (b.result == WEIR_NPU_BUILD_OK)
		build(e, l, &b);
	b.kernels = b.made.count;
	if (b.result == WEIR_NPU_BUILD_OK &&
		b.kernels > (l->report_size - sizeof(struct weir_npu_report)) /
				    sizeof(struct weir_npu_kernel))
		b.result = WEIR_NPU_BUILD_SPACE;
	report(e, l, &b);
	if (b.result == WEIR_NPU_BUILD_OK) {
		e->programs[l->program] = b.made;
		memset(&b.made, 0, sizeof(b.made));
	}
end:
	free_program(&b.made);
	free(b.code);
	free(b.options);
	free(b.log);
	return fault;
}

int exec_unload(struct exec *e, uint32_t program, uint64_t *where)
{
	*where = program;
	if (program >= WORKER_PROGRAMS || !e->programs[program].program)
		return WEIR_NPU_FAULT_PROGRAM;
	exec_unbind(e, program);
	free_program(&e->programs[program]);
	return 0;
}
