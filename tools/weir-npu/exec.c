/* SPDX-License-Identifier: MIT */
/* The OpenCL device of a worker, and launches on it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/backend.h"
#include "exec_inside.h"
#include "runtime/device/pocl.h"

#define MAX_PLATFORMS 16

/* ---- the device ---------------------------------------------------------- */

static void device_text(cl_device_id d, cl_device_info what, char *out, size_t size)
{
	char text[1024] = "";

	if (clGetDeviceInfo(d, what, sizeof(text) - 1, text, NULL) != CL_SUCCESS)
		text[0] = 0;
	snprintf(out, size, "%.*s", (int)size - 1, text);
}

static uint64_t device_number(cl_device_id d, cl_device_info what, size_t size)
{
	uint64_t number = 0;

	/* Little-endian: the narrow ones fill the low half. */
	if (clGetDeviceInfo(d, what, size, &number, NULL) != CL_SUCCESS)
		return 0;
	return number;
}

/* Only PoCL takes any host address as a pointer, and runs in this process with its rights. */
static cl_device_id find_device(cl_platform_id *platform)
{
	cl_platform_id platforms[MAX_PLATFORMS];
	cl_device_id device = NULL;
	cl_uint n = 0;

	if (clGetPlatformIDs(MAX_PLATFORMS, platforms, &n) != CL_SUCCESS)
		return NULL;
	for (cl_uint i = 0; i < n && i < MAX_PLATFORMS; i++) {
		if (!weir_pocl_major(platforms[i]))
			continue;
		*platform = platforms[i];
		if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_CPU, 1, &device, NULL) ==
			CL_SUCCESS)
			return device;
	}
	return NULL;
}

/*
 * PoCL names the CPU that it compiles for at the end: "... HSTR:
 * cpu-x86_64-pc-linux-gnu-skylake-avx512".
 */
static uint32_t features(cl_device_id device)
{
	static const char triple[] = "-linux-gnu-";
	char version[256];
	const char *target;
	enum weir_tier tier;

	device_text(device, CL_DEVICE_VERSION, version, sizeof(version));
	target = strstr(version, triple);
	if (!target)
		return 0;
	tier = weir_tier_host(target + strlen(triple));
	if (tier == WEIR_TIER_VNNI)
		return WEIR_NPU_FEATURE_VNNI | WEIR_NPU_FEATURE_PMADDUBSW;
	return tier == WEIR_TIER_PMADDUBSW ? WEIR_NPU_FEATURE_PMADDUBSW : 0;
}

static void identify(
	cl_platform_id platform, cl_device_id device, struct weir_npu_identity *identity)
{
	char name[96], driver[64], version[128] = "", target[128];
	uint64_t local, bytes;

	memset(identity, 0, sizeof(*identity));
	device_text(device, CL_DEVICE_NAME, name, sizeof(name));
	device_text(device, CL_DRIVER_VERSION, driver, sizeof(driver));
	device_text(device, CL_DEVICE_VERSION, target, sizeof(target));
	clGetPlatformInfo(platform, CL_PLATFORM_VERSION, sizeof(version) - 1, version, NULL);
	version[sizeof(version) - 1] = 0;
	snprintf(identity->name, sizeof(identity->name), "Weir NPU (emulated by PoCL on %s)", name);
	snprintf(identity->version, sizeof(identity->version), "weir-npu 1.0; %s; %s; %s", driver,
		target, version);
	identity->kind = WEIR_NPU_KIND_CPU;
	identity->features = features(device);
	identity->formats = 1u << WEIR_NPU_FORMAT_OPENCL_C;
	identity->compute_units =
		(uint32_t)device_number(device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(cl_uint));
	local = device_number(device, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(size_t));
	identity->max_local = local > UINT32_MAX ? UINT32_MAX : (uint32_t)local;
	bytes = device_number(device, CL_DEVICE_MAX_PARAMETER_SIZE, sizeof(size_t));
	identity->max_args = bytes / 8 < EXEC_ARGS ? (uint32_t)(bytes / 8) : EXEC_ARGS;
	identity->max_programs = WORKER_PROGRAMS;
	/* The widest vector that compiled kernels load with an instruction that insists. */
	identity->align = 64;
	identity->local_memory = device_number(device, CL_DEVICE_LOCAL_MEM_SIZE, sizeof(cl_ulong));
	identity->clock_hz = 1000000000;
}

static int set_up_pocl(unsigned threads)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", threads);
	/* The names of PoCL up to 5, and of later ones. */
	if (threads && (setenv("POCL_MAX_PTHREAD_COUNT", text, 1) ||
			       setenv("POCL_CPU_MAX_CU_COUNT", text, 1)))
		return -1;
	/* One compilation a kernel: what a program's binary holds is then what runs. */
	if (setenv("POCL_WORK_GROUP_SPECIALIZATION", "0", 1))
		return -1;
	/* A division by zero is a fault of its kernel here; PoCL would go on. */
	return setenv("POCL_SIGFPE_HANDLER", "0", 1);
}

struct exec *exec_open(
	const struct worker_settings *settings, struct space *space, struct weir_npu_identity *out)
{
	const cl_queue_properties none[] = {0};
	struct exec *e = calloc(1, sizeof(*e));
	cl_platform_id platform;
	const char *what;
	cl_int err = 0;

	if (!e || set_up_pocl(settings->threads)) {
		npu_log((int)settings->ctx, "out of memory");
		free(e);
		return NULL;
	}
	e->space = space;
	e->ctx = (int)settings->ctx;
	what = "there is no CPU device of PoCL (package pocl-opencl-icd)";
	e->device = find_device(&platform);
	if (!e->device)
		goto error;
	identify(platform, e->device, &e->identity);
	e->binaries = weir_pocl_gives_binaries(weir_pocl_major(platform));
	what = "OpenCL makes no context";
	e->context = clCreateContext(NULL, 1, &e->device, NULL, NULL, &err);
	if (!e->context)
		goto error;
	what = "OpenCL makes no queue";
	e->queue = clCreateCommandQueueWithProperties(e->context, e->device, none, &err);
	if (!e->queue)
		goto error;
	*out = e->identity;
	return e;

error:
	npu_log((int)settings->ctx, "%s (%d)", what, (int)err);
	exec_close(e);
	return NULL;
}

void exec_close(struct exec *e)
{
	uint64_t where;

	for (uint32_t i = 0; i < WORKER_PROGRAMS; i++) {
		if (e->programs[i].program)
			exec_unload(e, i, &where);
	}
	if (e->queue)
		clReleaseCommandQueue(e->queue);
	if (e->context)
		clReleaseContext(e->context);
	free(e);
}

/* ---- launches ------------------------------------------------------------ */

static int check_group(
	const struct exec_kernel *k, const struct weir_npu_launch *l, uint64_t *where)
{
	const uint32_t *required = k->info.required_local;
	uint64_t items = (uint64_t)l->local[0] * l->local[1] * l->local[2];

	*where = offsetof(struct weir_npu_packet, body) + offsetof(struct weir_npu_launch, local);
	if (required[0] && memcmp(required, l->local, sizeof(l->local)) != 0)
		return WEIR_NPU_FAULT_PACKET;
	return items > k->info.max_local ? WEIR_NPU_FAULT_PACKET : 0;
}

int exec_launch(struct exec *e, const struct weir_npu_launch *l, uint64_t *where)
{
	const struct exec_program *program;
	size_t global[3], local[3];
	cl_kernel object;
	cl_int err;
	int fault;

	*where = l->program;
	if (l->program >= WORKER_PROGRAMS)
		return WEIR_NPU_FAULT_PROGRAM;
	program = &e->programs[l->program];
	if (!program->program || l->kernel >= program->count)
		return WEIR_NPU_FAULT_PROGRAM;
	fault = check_group(&program->kernels[l->kernel], l, where);
	if (!fault)
		fault = exec_bind(e, l, &object, where);
	if (fault)
		return fault;
	for (unsigned i = 0; i < 3; i++) {
		local[i] = l->local[i];
		global[i] = local[i] * l->groups[i];
	}
	err = clEnqueueNDRangeKernel(
		e->queue, object, 3, NULL, global, local, 0, NULL, &e->pending[e->n_pending]);
	if (err == CL_SUCCESS) {
		__atomic_store_n(&e->n_pending, e->n_pending + 1, __ATOMIC_RELEASE);
		return 0;
	}
	npu_log(e->ctx, "kernel %s cannot be launched: OpenCL error %d",
		program->kernels[l->kernel].info.name, (int)err);
	*where = 0;
	return WEIR_NPU_FAULT_EXECUTION;
}

int exec_finish(struct exec *e)
{
	unsigned n = e->n_pending;
	cl_int err, status = CL_COMPLETE;

	if (n == 0)
		return 0;
	err = clFinish(e->queue);
	clGetEventInfo(e->pending[n - 1], CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status),
		&status, NULL);
	__atomic_store_n(&e->n_pending, 0, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < n; i++)
		clReleaseEvent(e->pending[i]);
	if (err == CL_SUCCESS && status >= 0)
		return 0;
	npu_log(e->ctx, "a launch failed: OpenCL error %d", (int)(err ? err : status));
	return WEIR_NPU_FAULT_EXECUTION;
}

unsigned exec_done(struct exec *e)
{
	unsigned n = __atomic_load_n(&e->n_pending, __ATOMIC_ACQUIRE);
	cl_int status;

	for (unsigned i = 0; i < n; i++) {
		status = CL_QUEUED;
		clGetEventInfo(e->pending[i], CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status),
			&status, NULL);
		if (status > CL_COMPLETE)
			return i;
	}
	return n;
}
