/* SPDX-License-Identifier: MIT */
/* OpenCL devices: listing, opening, the queue and waiting for it. Uses the API of OpenCL 1.2. */
#include "device/opencl.h"

/* More platforms or devices than this are not listed. */
#define MAX_PLATFORMS 16
#define MAX_DEVICES 32

/* ---- errors -------------------------------------------------------------- */

#define NAMED(e)                                                                                   \
	{                                                                                          \
		e, #e                                                                              \
	}
static const struct {
	cl_int err;
	const char *name;
} error_names[] = {
	NAMED(CL_DEVICE_NOT_FOUND),
	NAMED(CL_DEVICE_NOT_AVAILABLE),
	NAMED(CL_COMPILER_NOT_AVAILABLE),
	NAMED(CL_MEM_OBJECT_ALLOCATION_FAILURE),
	NAMED(CL_OUT_OF_RESOURCES),
	NAMED(CL_OUT_OF_HOST_MEMORY),
	NAMED(CL_PROFILING_INFO_NOT_AVAILABLE),
	NAMED(CL_MEM_COPY_OVERLAP),
	NAMED(CL_BUILD_PROGRAM_FAILURE),
	NAMED(CL_MAP_FAILURE),
	NAMED(CL_MISALIGNED_SUB_BUFFER_OFFSET),
	NAMED(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST),
	NAMED(CL_LINKER_NOT_AVAILABLE),
	NAMED(CL_DEVICE_PARTITION_FAILED),
	NAMED(CL_INVALID_VALUE),
	NAMED(CL_INVALID_DEVICE),
	NAMED(CL_INVALID_CONTEXT),
	NAMED(CL_INVALID_COMMAND_QUEUE),
	NAMED(CL_INVALID_HOST_PTR),
	NAMED(CL_INVALID_MEM_OBJECT),
	NAMED(CL_INVALID_BINARY),
	NAMED(CL_INVALID_BUILD_OPTIONS),
	NAMED(CL_INVALID_PROGRAM),
	NAMED(CL_INVALID_PROGRAM_EXECUTABLE),
	NAMED(CL_INVALID_KERNEL_NAME),
	NAMED(CL_INVALID_KERNEL),
	NAMED(CL_INVALID_ARG_INDEX),
	NAMED(CL_INVALID_ARG_VALUE),
	NAMED(CL_INVALID_ARG_SIZE),
	NAMED(CL_INVALID_KERNEL_ARGS),
	NAMED(CL_INVALID_WORK_GROUP_SIZE),
	NAMED(CL_INVALID_WORK_ITEM_SIZE),
	NAMED(CL_INVALID_EVENT),
	NAMED(CL_INVALID_OPERATION),
	NAMED(CL_INVALID_BUFFER_SIZE),
	NAMED(CL_INVALID_PROPERTY),
	NAMED(CL_INVALID_DEVICE_PARTITION_COUNT),
};

const char *opencl_error(cl_int err)
{
	static _Thread_local char text[64];

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(error_names); i++) {
		if (error_names[i].err == err) {
			snprintf(text, sizeof(text), "%s (%d)", error_names[i].name, (int)err);
			return text;
		}
	}
	snprintf(text, sizeof(text), "OpenCL error %d", (int)err);
	return text;
}

int opencl_errno(cl_int err)
{
	switch (err) {
	case CL_OUT_OF_HOST_MEMORY:
	case CL_OUT_OF_RESOURCES:
	case CL_MEM_OBJECT_ALLOCATION_FAILURE:
		return ENOMEM;
	case CL_DEVICE_NOT_AVAILABLE:
	case CL_DEVICE_NOT_FOUND:
		return ENODEV;
	case CL_INVALID_BUFFER_SIZE:
	case CL_INVALID_VALUE:
	case CL_INVALID_WORK_GROUP_SIZE:
	case CL_INVALID_WORK_ITEM_SIZE:
	case CL_INVALID_ARG_SIZE:
	case CL_INVALID_ARG_VALUE:
	case CL_INVALID_KERNEL_ARGS:
	case CL_INVALID_KERNEL_NAME:
		return EINVAL;
	default:
		return EIO;
	}
}

int opencl_fail(const struct opencl_device *d, cl_int err, const char *what)
{
	return weir_fail(
		opencl_errno(err), "%s: %s: %s", d->base.info.name, what, opencl_error(err));
}

/* ---- the list ------------------------------------------------------------ */

struct device_list {
	unsigned count;
	struct {
		cl_platform_id platform;
		cl_device_id device;
	} at[MAX_DEVICES];
};

/* No platform, or one whose driver fails, is an empty list and no error. */
static void list_devices(struct device_list *list)
{
	cl_platform_id platforms[MAX_PLATFORMS];
	cl_device_id devices[MAX_DEVICES];
	cl_uint n_platforms = 0, n;

	list->count = 0;
	if (clGetPlatformIDs(MAX_PLATFORMS, platforms, &n_platforms) != CL_SUCCESS)
		return;
	for (cl_uint p = 0; p < WEIR_MIN(n_platforms, MAX_PLATFORMS); p++) {
		n = 0;
		if (clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, MAX_DEVICES, devices, &n) !=
			CL_SUCCESS)
			continue;
		for (cl_uint i = 0; i < WEIR_MIN(n, MAX_DEVICES) && list->count < MAX_DEVICES;
			i++) {
			list->at[list->count].platform = platforms[p];
			list->at[list->count].device = devices[i];
			list->count++;
		}
	}
}

static unsigned opencl_count(void)
{
	struct device_list list;

	list_devices(&list);
	return list.count;
}

/* Strings longer than the place for them are cut, which drivers refuse to do. */
static void get_string(
	cl_platform_id platform, cl_device_id device, cl_uint what, char *out, size_t size)
{
	char text[1024] = "";
	cl_int err;

	if (device)
		err = clGetDeviceInfo(device, what, sizeof(text) - 1, text, NULL);
	else
		err = clGetPlatformInfo(platform, what, sizeof(text) - 1, text, NULL);
	if (err != CL_SUCCESS)
		text[0] = 0;
	snprintf(out, size, "%.*s", (int)size - 1, text);
}

static cl_ulong get_number(cl_device_id device, cl_device_info what, size_t size)
{
	cl_ulong wide = 0;
	cl_uint narrow = 0;

	if (size == sizeof(cl_uint)) {
		clGetDeviceInfo(device, what, sizeof(narrow), &narrow, NULL);
		return narrow;
	}
	clGetDeviceInfo(device, what, sizeof(wide), &wide, NULL);
	return wide;
}

static const char *kind_name(cl_device_id device)
{
	cl_device_type type = get_number(device, CL_DEVICE_TYPE, sizeof(cl_ulong));

	if (type & CL_DEVICE_TYPE_GPU)
		return "GPU";
	return type & CL_DEVICE_TYPE_CPU ? "CPU" : "accelerator";
}

static void describe(cl_platform_id platform, cl_device_id device, struct weir_device_info *out)
{
	memset(out, 0, sizeof(*out));
	get_string(platform, device, CL_DEVICE_NAME, out->name, sizeof(out->name));
	get_string(platform, NULL, CL_PLATFORM_NAME, out->platform, sizeof(out->platform));
	get_string(platform, device, CL_DRIVER_VERSION, out->driver, sizeof(out->driver));
	snprintf(out->kind, sizeof(out->kind), "%s", kind_name(device));
	out->compute_units =
		(unsigned)get_number(device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(cl_uint));
	out->memory = get_number(device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(cl_ulong));
	out->max_buffer = get_number(device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(cl_ulong));
}

static int opencl_describe(unsigned i, struct weir_device_info *out)
{
	struct device_list list;

	list_devices(&list);
	if (i >= list.count)
		return weir_fail(ENODEV, "OpenCL device %u went away", i);
	describe(list.at[i].platform, list.at[i].device, out);
	return 0;
}

/* ---- opening ------------------------------------------------------------- */

/* Extensions are words of one string that may be long. */
static bool has_extension(cl_device_id device, const char *name)
{
	size_t size = 0, length = strlen(name);
	bool found = false;
	char *text;

	if (clGetDeviceInfo(device, CL_DEVICE_EXTENSIONS, 0, NULL, &size) != CL_SUCCESS ||
		size == 0)
		return false;
	text = calloc(1, size + 1);
	if (!text)
		return false;
	if (clGetDeviceInfo(device, CL_DEVICE_EXTENSIONS, size, text, NULL) == CL_SUCCESS) {
		for (char *p = text; (p = strstr(p, name)) && !found; p += length)
			found = (p == text || p[-1] == ' ') && (p[length] == ' ' || p[length] == 0);
	}
	free(text);
	return found;
}

/*
 * PoCL's own CPU drivers name the CPU that they compile for in the device's version:
 * "... HSTR: pthread-x86_64-pc-linux-gnu-skylake-avx512" (PoCL 3), "cpu-x86_64-..." (4 and later).
 * A remote or proxied device has another prefix, and is not this CPU.
 */
static bool host_target(const char *version, char *target, size_t size)
{
	static const char *const drivers[] = {"pthread-", "cpu-", "basic-", "cpu-minimal-"};
	static const char triple[] = "-linux-gnu-";
	const char *hash = strstr(version, "HSTR: ");
	const char *cpu;
	bool ours = false;

	if (!hash)
		return false;
	hash += strlen("HSTR: ");
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(drivers); i++)
		ours |= strncmp(hash, drivers[i], strlen(drivers[i])) == 0;
	cpu = strstr(hash, triple);
	if (!ours || !cpu)
		return false;
	snprintf(target, size, "%s", cpu + strlen(triple));
	return true;
}

static void fill_props(struct opencl_device *d)
{
	struct weir_device_props *props = &d->base.props;
	cl_ulong align;

	props->compute_units =
		(unsigned)get_number(d->device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(cl_uint));
	props->max_buffer = d->base.info.max_buffer > SIZE_MAX ? SIZE_MAX : d->base.info.max_buffer;
	align = get_number(d->device, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof(cl_uint)) / 8;
	props->align = 64;
	/* A power of two in every driver; one that says otherwise gets the next power. */
	while (props->align < align)
		props->align *= 2;
	d->base.threads = props->compute_units;
}

static void identify(struct opencl_device *d)
{
	char platform_version[256], device_version[256], target[64];
	cl_device_fp_config fp = 0;
	bool cpu = strcmp(d->base.info.kind, "CPU") == 0;

	get_string(
		d->platform, NULL, CL_PLATFORM_VERSION, platform_version, sizeof(platform_version));
	get_string(d->platform, d->root, CL_DEVICE_VERSION, device_version, sizeof(device_version));
	snprintf(d->base.identity, sizeof(d->base.identity), "%.120s|%.60s|%.255s|%.60s",
		d->base.info.name, d->base.info.driver, platform_version, device_version);
	d->pocl = weir_pocl_major(d->platform);
	d->base.tier_best = WEIR_TIER_PORTABLE;
	d->base.schedule_best = cpu ? WEIR_SCHEDULE_CPU : WEIR_SCHEDULE_GPU;
	if (d->pocl && cpu && host_target(device_version, target, sizeof(target))) {
		d->base.tier_best = weir_tier_host(target);
		d->base.coherent = true;
	}
	d->base.unified_memory =
		get_number(d->root, CL_DEVICE_HOST_UNIFIED_MEMORY, sizeof(cl_uint)) != 0;
	clGetDeviceInfo(d->root, CL_DEVICE_SINGLE_FP_CONFIG, sizeof(fp), &fp, NULL);
	/*
	 * No option that lets the compiler change results; exact division where the device has it.
	 */
	snprintf(d->base.build_options, sizeof(d->base.build_options), "-cl-std=CL1.2%s",
		fp & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT ? " -cl-fp32-correctly-rounded-divide-sqrt"
							 : "");
	d->has_dmabuf_khr = has_extension(d->root, "cl_khr_external_memory_dma_buf");
	d->has_dmabuf_arm = has_extension(d->root, "cl_arm_import_memory");
}

/*
 * Fewer threads of a CPU device: a sub-device. Measured on PoCL 3.1's pthread driver: with one of
 * two compute units the process uses one core and the other worker sleeps.
 */
static int choose_units(struct opencl_device *d, unsigned threads)
{
	cl_device_partition_property split[] = {
		CL_DEVICE_PARTITION_BY_COUNTS, threads, CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0};
	cl_uint n = 0;
	cl_int err;

	d->device = d->root;
	if (threads == 0 || threads >= d->base.info.compute_units ||
		strcmp(d->base.info.kind, "CPU") != 0)
		return 0;
	err = clCreateSubDevices(d->root, split, 1, &d->device, &n);
	if (err == CL_SUCCESS && n == 1)
		return 0;
	d->device = d->root;
	return weir_fail(EOPNOTSUPP, "%s: cannot use %u of its %u compute units: %s",
		d->base.info.name, threads, d->base.info.compute_units, opencl_error(err));
}

static void opencl_close(weir_device *dev)
{
	struct opencl_device *d = opencl_device(dev);

	if (d->queue)
		clReleaseCommandQueue(d->queue);
	if (d->context)
		clReleaseContext(d->context);
	if (d->device && d->device != d->root)
		clReleaseDevice(d->device);
	free(d->timed);
	free(d);
}

static int opencl_open(unsigned i, const struct weir_device_settings *settings, weir_device **out)
{
	cl_command_queue_properties profiling = settings->profile ? CL_QUEUE_PROFILING_ENABLE : 0;
	cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, 0, 0};
	struct device_list list;
	struct opencl_device *d;
	cl_int e;
	int err;

	list_devices(&list);
	if (i >= list.count)
		return weir_fail(ENODEV, "OpenCL device %u went away", i);
	d = calloc(1, sizeof(*d));
	if (!d)
		return weir_fail(ENOMEM, "device %u: out of memory", i);
	d->base.backend = &weir_backend_opencl;
	d->platform = list.at[i].platform;
	d->root = list.at[i].device;
	describe(d->platform, d->root, &d->base.info);
	identify(d);
	err = choose_units(d, settings->threads);
	if (err < 0)
		goto error;
	fill_props(d);

	properties[1] = (cl_context_properties)d->platform;
	d->context = clCreateContext(properties, 1, &d->device, NULL, NULL, &e);
	if (!d->context) {
		err = opencl_fail(d, e, "cannot create a context");
		goto error;
	}
	d->queue = clCreateCommandQueue(d->context, d->device, profiling, &e);
	if (!d->queue) {
		err = opencl_fail(d, e, "cannot create a queue");
		goto error;
	}
	*out = &d->base;
	return 0;

error:
	opencl_close(&d->base);
	return err;
}

/* ---- waiting ------------------------------------------------------------- */

static void note_failure(struct opencl_device *d, cl_int err)
{
	if (err < 0 && d->failed == CL_SUCCESS)
		d->failed = err;
}

static void collect_pending(struct opencl_device *d)
{
	cl_int status, err;

	for (unsigned i = 0; i < d->n_pending; i++) {
		status = CL_COMPLETE;
		err = clGetEventInfo(d->pending[i], CL_EVENT_COMMAND_EXECUTION_STATUS,
			sizeof(status), &status, NULL);
		note_failure(d, err != CL_SUCCESS ? err : status);
		clReleaseEvent(d->pending[i]);
	}
	d->n_pending = 0;
}

/*
 * clFinish does not say that a command failed; its event does. What failed once stays failed: a
 * driver's context is of no use then, and another session's wait must not take the error away from
 * the one it belongs to.
 */
int opencl_wait(weir_device *dev)
{
	struct opencl_device *d = opencl_device(dev);

	if (d->busy) {
		note_failure(d, clFinish(d->queue));
		collect_pending(d);
		opencl_timed_collect(d);
		d->busy = false;
	}
	if (d->failed != CL_SUCCESS)
		return weir_fail(EIO, "%s: submitted work failed: %s", d->base.info.name,
			opencl_error(d->failed));
	return 0;
}

const struct weir_backend weir_backend_opencl = {
	.name = "OpenCL",
	.count = opencl_count,
	.describe = opencl_describe,
	.open = opencl_open,
	.close = opencl_close,
	.wait = opencl_wait,
	.mem_create = opencl_mem_create,
	.mem_destroy = opencl_mem_destroy,
	.mem_read = opencl_mem_read,
	.mem_write = opencl_mem_write,
	.mem_copy = opencl_mem_copy,
	.cpu_begin = opencl_cpu_begin,
	.cpu_end = opencl_cpu_end,
	.program_build = opencl_program_build,
	.program_load = opencl_program_load,
	.program_binary = opencl_program_binary,
	.program_destroy = opencl_program_destroy,
	.plan_bind = opencl_plan_bind,
	.plan_run = opencl_plan_run,
	.plan_unbind = opencl_plan_unbind,
};
