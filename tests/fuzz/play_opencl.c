/* SPDX-License-Identifier: MIT */
/*
 * As much of OpenCL as weir-npu's worker calls: nothing runs, what it must never be given aborts,
 * and programs are what their source's bytes say.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/fuzz/play_opencl.h"
#include "tools/weir-npu/exec_inside.h"

struct space *play_space;

struct _cl_program {
	unsigned references, kernels;
	uint32_t seed;
	char log[16];
};

struct _cl_kernel {
	cl_program program;
	unsigned index, n_args;
	bool set[8];
};

/* What an argument is, by the source that made the program. */
static enum exec_arg kind_of(cl_kernel k, cl_uint i)
{
	return (enum exec_arg)(1 + (k->program->seed >> (2 * (k->index * 5 + i) % 30)) % 4);
}

#define GIVE(value)                                                                                \
	do {                                                                                       \
		if (size_out)                                                                      \
			*size_out = sizeof(value);                                                 \
		if (out && size < sizeof(value))                                                   \
			return CL_INVALID_VALUE;                                                   \
		if (out)                                                                           \
			memcpy(out, &(value), sizeof(value));                                      \
		return CL_SUCCESS;                                                                 \
	} while (0)

#define GIVE_TEXT(text)                                                                            \
	do {                                                                                       \
		if (size_out)                                                                      \
			*size_out = strlen(text) + 1;                                              \
		if (out && size < strlen(text) + 1)                                                \
			return CL_INVALID_VALUE;                                                   \
		if (out)                                                                           \
			strcpy(out, text);                                                         \
		return CL_SUCCESS;                                                                 \
	} while (0)

cl_int clGetPlatformIDs(cl_uint n, cl_platform_id *out, cl_uint *count)
{
	insist(n > 0);
	out[0] = (cl_platform_id)1;
	*count = 1;
	return CL_SUCCESS;
}

cl_int clGetPlatformInfo(
	cl_platform_id p, cl_platform_info what, size_t size, void *out, size_t *size_out)
{
	(void)p;
	(void)what;
	GIVE_TEXT("Portable Computing Language");
}

cl_int clGetDeviceIDs(
	cl_platform_id p, cl_device_type type, cl_uint n, cl_device_id *out, cl_uint *count)
{
	(void)p;
	(void)type;
	(void)n;
	(void)count;
	out[0] = (cl_device_id)1;
	return CL_SUCCESS;
}

cl_int clGetDeviceInfo(
	cl_device_id d, cl_device_info what, size_t size, void *out, size_t *size_out)
{
	size_t number = 1024;

	(void)d;
	if (what == CL_DEVICE_NAME || what == CL_DEVICE_VERSION || what == CL_DRIVER_VERSION)
		GIVE_TEXT("a device");
	if (size == sizeof(cl_uint)) {
		cl_uint narrow = 2;

		GIVE(narrow);
	}
	GIVE(number);
}

cl_context clCreateContext(const cl_context_properties *p, cl_uint n, const cl_device_id *d,
	void (*notify)(const char *, const void *, size_t, void *), void *user, cl_int *err)
{
	(void)p;
	(void)n;
	(void)d;
	(void)notify;
	(void)user;
	*err = CL_SUCCESS;
	return (cl_context)1;
}

cl_command_queue clCreateCommandQueueWithProperties(
	cl_context c, cl_device_id d, const cl_queue_properties *p, cl_int *err)
{
	(void)c;
	(void)d;
	(void)p;
	*err = CL_SUCCESS;
	return (cl_command_queue)1;
}

cl_int clReleaseContext(cl_context c)
{
	(void)c;
	return CL_SUCCESS;
}

cl_int clReleaseCommandQueue(cl_command_queue q)
{
	(void)q;
	return CL_SUCCESS;
}

cl_program clCreateProgramWithSource(
	cl_context c, cl_uint n, const char **text, const size_t *size, cl_int *err)
{
	cl_program p = calloc(1, sizeof(*p));

	(void)c;
	insist(p && n == 1 && size[0] > 0 && memchr(text[0], 0, size[0]) == NULL);
	for (size_t i = 0; i < size[0]; i++)
		p->seed = p->seed * 31 + (uint8_t)text[0][i];
	p->references = 1;
	p->kernels = p->seed % 5;
	strcpy(p->log, p->seed % 3 ? "" : "some words");
	*err = CL_SUCCESS;
	return p;
}

cl_int clBuildProgram(cl_program p, cl_uint n, const cl_device_id *d, const char *options,
	void (*notify)(cl_program, void *), void *user)
{
	(void)n;
	(void)d;
	(void)notify;
	(void)user;
	for (const char *o = options; *o; o++)
		insist(*o >= ' ' && *o <= '~');
	return p->seed % 7 == 0 ? CL_BUILD_PROGRAM_FAILURE : CL_SUCCESS;
}

cl_int clGetProgramBuildInfo(cl_program p, cl_device_id d, cl_program_build_info what, size_t size,
	void *out, size_t *size_out)
{
	(void)d;
	(void)what;
	GIVE_TEXT(p->log);
}

cl_int clGetProgramInfo(cl_program p, cl_program_info what, size_t size, void *out, size_t *size_out)
{
	size_t binary = p->seed;

	insist(what == CL_PROGRAM_BINARY_SIZES);
	GIVE(binary);
}

cl_int clReleaseProgram(cl_program p)
{
	insist(p->references > 0);
	if (--p->references == 0)
		free(p);
	return CL_SUCCESS;
}

static cl_kernel make_kernel(cl_program p, unsigned index)
{
	cl_kernel k = calloc(1, sizeof(*k));

	insist(k && index < p->kernels);
	p->references++;
	k->program = p;
	k->index = index;
	k->n_args = (p->seed >> index) % 6;
	return k;
}

cl_kernel clCreateKernel(cl_program p, const char *name, cl_int *err)
{
	*err = CL_SUCCESS;
	return make_kernel(p, (unsigned)(name[0] - 'a'));
}

cl_int clCreateKernelsInProgram(cl_program p, cl_uint n, cl_kernel *out, cl_uint *count)
{
	insist(!out || n == p->kernels);
	for (unsigned i = 0; out && i < n; i++)
		out[i] = make_kernel(p, i);
	if (count)
		*count = p->kernels;
	return CL_SUCCESS;
}

cl_int clReleaseKernel(cl_kernel k)
{
	clReleaseProgram(k->program);
	free(k);
	return CL_SUCCESS;
}

cl_int clGetKernelInfo(cl_kernel k, cl_kernel_info what, size_t size, void *out, size_t *size_out)
{
	char name[2] = {(char)('a' + k->index), 0};

	if (what == CL_KERNEL_FUNCTION_NAME)
		GIVE_TEXT(name);
	GIVE(k->n_args);
}

cl_int clGetKernelWorkGroupInfo(cl_kernel k, cl_device_id d, cl_kernel_work_group_info what,
	size_t size, void *out, size_t *size_out)
{
	size_t most = 512, required[3] = {2, 1, 1};

	(void)d;
	if (what == CL_KERNEL_WORK_GROUP_SIZE)
		GIVE(most);
	if (k->program->seed % 2)
		memset(required, 0, sizeof(required));
	GIVE(required);
}

cl_int clGetKernelArgInfo(
	cl_kernel k, cl_uint i, cl_kernel_arg_info what, size_t size, void *out, size_t *size_out)
{
	cl_kernel_arg_address_qualifier space = CL_KERNEL_ARG_ADDRESS_PRIVATE;
	enum exec_arg kind = kind_of(k, i);

	insist(i < k->n_args);
	if (what == CL_KERNEL_ARG_TYPE_NAME)
		GIVE_TEXT(kind == EXEC_ARG_OTHER ? "sampler_t" : "int*");
	if (kind == EXEC_ARG_BUFFER)
		space = CL_KERNEL_ARG_ADDRESS_GLOBAL;
	if (kind == EXEC_ARG_LOCAL)
		space = CL_KERNEL_ARG_ADDRESS_LOCAL;
	GIVE(space);
}

cl_int clSetKernelArg(cl_kernel k, cl_uint i, size_t size, const void *value)
{
	insist(i < k->n_args && size > 0);
	insist(kind_of(k, i) == (value ? EXEC_ARG_VALUE : EXEC_ARG_LOCAL));
	insist(!value || size == 1 || size == 2 || size == 4 || size == 8);
	if (value && size != 4)
		return CL_INVALID_ARG_SIZE;
	k->set[i] = true;
	return CL_SUCCESS;
}

cl_int clSetKernelArgSVMPointer(cl_kernel k, cl_uint i, const void *value)
{
	uint64_t addr = (uint64_t)((const char *)value - play_space->base), bad;

	insist(i < k->n_args && kind_of(k, i) == EXEC_ARG_BUFFER && addr % 64 == 0);
	insist(space_check(play_space, addr, 1, PROT_NONE, &bad));
	k->set[i] = true;
	return CL_SUCCESS;
}

cl_int clEnqueueNDRangeKernel(cl_command_queue q, cl_kernel k, cl_uint n, const size_t *offset,
	const size_t *global, const size_t *local, cl_uint n_events, const cl_event *events,
	cl_event *out)
{
	(void)q;
	(void)offset;
	(void)n_events;
	(void)events;
	insist(n == 3 && local[0] * local[1] * local[2] <= 512);
	for (unsigned i = 0; i < 3; i++)
		insist(local[i] > 0 && global[i] > 0 && global[i] % local[i] == 0);
	for (unsigned i = 0; i < k->n_args; i++)
		insist(k->set[i]);
	*out = (cl_event)1;
	return global[0] % 13 == 12 ? CL_OUT_OF_RESOURCES : CL_SUCCESS;
}

cl_int clFinish(cl_command_queue q)
{
	(void)q;
	return CL_SUCCESS;
}

cl_int clGetEventInfo(cl_event e, cl_event_info what, size_t size, void *out, size_t *size_out)
{
	cl_int done = CL_COMPLETE;

	(void)e;
	(void)what;
	GIVE(done);
}

cl_int clReleaseEvent(cl_event e)
{
	(void)e;
	return CL_SUCCESS;
}
