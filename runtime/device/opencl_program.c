/* SPDX-License-Identifier: MIT */
/* OpenCL programs: built from source or from a cached binary. */
#include "device/opencl.h"

static int fail_build(struct opencl_device *d, cl_program program, cl_int e, const char *name)
{
	size_t size = 0;
	char *log = NULL;
	int err;

	clGetProgramBuildInfo(program, d->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &size);
	if (size > 0)
		log = calloc(1, size + 1);
	if (log)
		clGetProgramBuildInfo(program, d->device, CL_PROGRAM_BUILD_LOG, size, log, NULL);
	if (log)
		weir_log_cut(log);
	err = weir_fail(e == CL_OUT_OF_HOST_MEMORY ? ENOMEM : EIO,
		"kernels/%s does not build for %s: %s%s%s", name, d->base.info.name,
		opencl_error(e), log && *log ? "\n" : "", log ? log : "");
	free(log);
	return err;
}

int opencl_program_build(weir_device *dev, const char *source, size_t size, const char *options,
	const char *name, void **out)
{
	struct opencl_device *d = opencl_device(dev);
	cl_program program;
	cl_int e;
	int err;

	program = clCreateProgramWithSource(d->context, 1, &source, &size, &e);
	if (!program)
		return opencl_fail(d, e, "cannot create a program");
	e = clBuildProgram(program, 1, &d->device, options, NULL, NULL);
	if (e != CL_SUCCESS) {
		err = fail_build(d, program, e, name);
		clReleaseProgram(program);
		return err;
	}
	*out = program;
	return 0;
}

int opencl_program_load(
	weir_device *dev, const void *binary, size_t size, const char *options, void **out)
{
	struct opencl_device *d = opencl_device(dev);
	const unsigned char *bytes = binary;
	cl_program program;
	cl_int e, status = CL_SUCCESS;

	program = clCreateProgramWithBinary(d->context, 1, &d->device, &size, &bytes, &status, &e);
	if (!program)
		return opencl_fail(d, e, "cannot load a cached program");
	if (status == CL_SUCCESS)
		status = clBuildProgram(program, 1, &d->device, options, NULL, NULL);
	if (status != CL_SUCCESS) {
		clReleaseProgram(program);
		return opencl_fail(d, status, "cannot build a cached program");
	}
	*out = program;
	return 0;
}

/* Mali's binaries hold only the kernels that were created from the program once. */
static void create_all_kernels(cl_program program)
{
	cl_kernel *kernels;
	cl_uint n = 0;

	if (clCreateKernelsInProgram(program, 0, NULL, &n) != CL_SUCCESS || n == 0)
		return;
	kernels = calloc(n, sizeof(*kernels));
	if (!kernels)
		return;
	if (clCreateKernelsInProgram(program, n, kernels, NULL) == CL_SUCCESS) {
		for (cl_uint i = 0; i < n; i++)
			clReleaseKernel(kernels[i]);
	}
	free(kernels);
}

int opencl_program_binary(weir_device *dev, void *built, void **data, size_t *size)
{
	struct opencl_device *d = opencl_device(dev);
	cl_program program = built;
	unsigned char *bytes;
	size_t length = 0;
	cl_int e;

	if (!weir_pocl_runs_binaries(d->pocl))
		return -EOPNOTSUPP;
	create_all_kernels(program);
	e = clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof(length), &length, NULL);
	if (e != CL_SUCCESS || length == 0)
		return -EOPNOTSUPP;
	bytes = malloc(length);
	if (!bytes)
		return -ENOMEM;
	e = clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(bytes), &bytes, NULL);
	if (e != CL_SUCCESS) {
		free(bytes);
		return -EOPNOTSUPP;
	}
	*data = bytes;
	*size = length;
	return 0;
}

void opencl_program_destroy(weir_device *dev, void *program)
{
	(void)dev;
	clReleaseProgram(program);
}
