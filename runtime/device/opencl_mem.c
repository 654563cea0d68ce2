/* SPDX-License-Identifier: MIT */
/*
 * OpenCL's view of buffer memory: imports, copies, CPU access, and sub-buffers for arguments at an
 * offset.
 */
#include <dlfcn.h>
#include <unistd.h>

#include "device/opencl.h"

/* OpenCL 3.0's call for imports, looked up at run time: the ICD loader may be older. */
typedef cl_mem (*create_with_properties_fn)(
	cl_context, const cl_ulong *, cl_mem_flags, size_t, void *, cl_int *);
typedef cl_mem (*import_memory_arm_fn)(
	cl_context, cl_mem_flags, const cl_import_properties_arm *, void *, size_t, cl_int *);

/* ---- imports ------------------------------------------------------------- */

static int khr_ownership(struct opencl_device *d, cl_mem mem, const char *call)
{
	clEnqueueAcquireExternalMemObjectsKHR_fn fn; /* release has the same type */
	cl_int e;

	fn = (clEnqueueAcquireExternalMemObjectsKHR_fn)clGetExtensionFunctionAddressForPlatform(
		d->platform, call);
	if (!fn)
		return weir_fail(EOPNOTSUPP, "%s: the driver has no %s", d->base.info.name, call);
	e = fn(d->queue, 1, &mem, 0, NULL, NULL);
	return e == CL_SUCCESS ? 0 : opencl_fail(d, e, call);
}

static int khr_acquire(struct opencl_device *d, cl_mem mem)
{
	return khr_ownership(d, mem, "clEnqueueAcquireExternalMemObjectsKHR");
}

static int khr_release(struct opencl_device *d, cl_mem mem)
{
	int err = khr_ownership(d, mem, "clEnqueueReleaseExternalMemObjectsKHR");
	cl_int e;

	if (err < 0)
		return err;
	e = clFinish(d->queue);
	return e == CL_SUCCESS ? 0 : opencl_fail(d, e, "clFinish");
}

static int import_khr(
	struct opencl_device *d, const struct weir_memory *m, size_t size, cl_mem *out)
{
	cl_ulong properties[] = {CL_EXTERNAL_MEMORY_HANDLE_DMA_BUF_KHR, 0, 0};
	create_with_properties_fn create;
	cl_int e = CL_SUCCESS;
	int err, fd;

	create = (create_with_properties_fn)dlsym(RTLD_DEFAULT, "clCreateBufferWithProperties");
	if (!d->has_dmabuf_khr || !create || !m->provider->export)
		return weir_fail(
			EOPNOTSUPP, "%s: no cl_khr_external_memory_dma_buf", d->base.info.name);
	/* A successful import makes the fd the driver's: it gets one of its own. */
	fd = weir_memory_export(m);
	if (fd < 0)
		return fd;
	properties[1] = (cl_ulong)fd;
	*out = create(d->context, properties, CL_MEM_READ_WRITE, size, NULL, &e);
	if (!*out) {
		close(fd);
		return opencl_fail(
			d, e, "cannot import a dma-buf by cl_khr_external_memory_dma_buf");
	}
	err = khr_acquire(d, *out);
	if (err < 0)
		clReleaseMemObject(*out);
	return err;
}

static int import_arm(
	struct opencl_device *d, const struct weir_memory *m, size_t size, struct weir_mem *out)
{
	const cl_import_properties_arm properties[] = {
		CL_IMPORT_TYPE_ARM, CL_IMPORT_TYPE_DMA_BUF_ARM, 0};
	cl_int e = CL_SUCCESS;
	import_memory_arm_fn import;
	int err;

	import = (import_memory_arm_fn)clGetExtensionFunctionAddressForPlatform(
		d->platform, "clImportMemoryARM");
	if (!d->has_dmabuf_arm || !import || !m->provider->export)
		return weir_fail(EOPNOTSUPP, "%s: no cl_arm_import_memory", d->base.info.name);
	out->fd = weir_memory_export(m);
	if (out->fd < 0)
		return out->fd;
	/* For this type the address of the fd is passed, not the fd; it stays ours. */
	out->mem = import(d->context, CL_MEM_READ_WRITE, properties, &out->fd, size, &e);
	if (out->mem)
		return 0;
	err = opencl_fail(d, e, "cannot import a dma-buf by cl_arm_import_memory");
	close(out->fd);
	return err;
}

static int import_host(
	struct opencl_device *d, const struct weir_memory *m, size_t size, cl_mem *out)
{
	cl_int e = CL_SUCCESS;

	*out = clCreateBuffer(
		d->context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, size, m->map, &e);
	if (!*out)
		return opencl_fail(d, e, "cannot use host memory as a buffer");
	return 0;
}

/* Most of it by the widest pattern there is: PoCL fills byte by byte with a narrow one. */
static cl_int clear(struct opencl_device *d, cl_mem mem, size_t size)
{
	const cl_ulong16 zero = {{0}};
	size_t wide = size - size % sizeof(zero);
	cl_int e = CL_SUCCESS;

	if (wide > 0)
		e = clEnqueueFillBuffer(d->queue, mem, &zero, sizeof(zero), 0, wide, 0, NULL, NULL);
	if (e == CL_SUCCESS && wide < size)
		e = clEnqueueFillBuffer(d->queue, mem, &zero, 1, wide, size - wide, 0, NULL, NULL);
	return e == CL_SUCCESS ? clFinish(d->queue) : e;
}

static int allocate(struct opencl_device *d, size_t size, cl_mem *out)
{
	cl_int e = CL_SUCCESS;

	*out = clCreateBuffer(d->context, CL_MEM_READ_WRITE, size, NULL, &e);
	if (!*out)
		return opencl_fail(d, e, "cannot allocate device memory");
	e = clear(d, *out, size);
	if (e == CL_SUCCESS)
		return 0;
	clReleaseMemObject(*out);
	return opencl_fail(d, e, "cannot clear device memory");
}

int opencl_mem_create(weir_device *dev, enum weir_import way, const struct weir_memory *m,
	size_t size, struct weir_mem **out)
{
	struct opencl_device *d = opencl_device(dev);
	struct weir_mem *mem = calloc(1, sizeof(*mem));
	int err = -EOPNOTSUPP;

	if (!mem)
		return weir_fail(ENOMEM, "%s: out of memory", dev->info.name);
	mem->fd = -1;
	if (way == WEIR_IMPORT_DMABUF_KHR)
		err = import_khr(d, m, size, &mem->mem);
	else if (way == WEIR_IMPORT_DMABUF_ARM)
		err = import_arm(d, m, size, mem);
	else if (way == WEIR_IMPORT_HOST_PTR)
		err = import_host(d, m, size, &mem->mem);
	else if (way == WEIR_IMPORT_COPY)
		err = allocate(d, size, &mem->mem);
	else
		weir_fail(EOPNOTSUPP, "%s: no %s", dev->info.name, weir_import_name(way));
	if (err < 0) {
		free(mem);
		return err;
	}
	mem->way = way;
	mem->size = size;
	pthread_mutex_init(&mem->lock, NULL);
	*out = mem;
	return 0;
}

void opencl_mem_destroy(weir_device *dev, struct weir_mem *mem)
{
	(void)dev;
	for (size_t i = 0; i < mem->n_parts; i++)
		clReleaseMemObject(mem->parts[i].mem);
	clReleaseMemObject(mem->mem);
	if (mem->fd >= 0)
		close(mem->fd);
	pthread_mutex_destroy(&mem->lock);
	free(mem->parts);
	free(mem);
}

/* ---- copies -------------------------------------------------------------- */

int opencl_mem_read(weir_device *dev, struct weir_mem *mem, size_t offset, size_t size, void *to)
{
	struct opencl_device *d = opencl_device(dev);
	cl_int e;

	e = clEnqueueReadBuffer(d->queue, mem->mem, CL_TRUE, offset, size, to, 0, NULL, NULL);
	return e == CL_SUCCESS ? 0 : opencl_fail(d, e, "cannot read device memory");
}

int opencl_mem_write(
	weir_device *dev, struct weir_mem *mem, size_t offset, size_t size, const void *from)
{
	struct opencl_device *d = opencl_device(dev);
	cl_int e;

	e = clEnqueueWriteBuffer(d->queue, mem->mem, CL_TRUE, offset, size, from, 0, NULL, NULL);
	return e == CL_SUCCESS ? 0 : opencl_fail(d, e, "cannot write device memory");
}

int opencl_mem_copy(weir_device *dev, struct weir_mem *from, size_t from_offset,
	struct weir_mem *to, size_t to_offset, size_t size)
{
	struct opencl_device *d = opencl_device(dev);
	cl_int e;

	e = clEnqueueCopyBuffer(
		d->queue, from->mem, to->mem, from_offset, to_offset, size, 0, NULL, NULL);
	if (e == CL_SUCCESS)
		e = clFinish(d->queue);
	return e == CL_SUCCESS ? 0 : opencl_fail(d, e, "cannot copy device memory");
}

/* ---- CPU access ---------------------------------------------------------- */

static int map(struct opencl_device *d, struct weir_mem *mem, size_t offset, size_t size,
	unsigned access, void **ptr)
{
	cl_map_flags flags = access & WEIR_ACCESS_READ ? CL_MAP_READ : 0;
	cl_int e = CL_SUCCESS;

	if (access == WEIR_ACCESS_WRITE)
		flags = CL_MAP_WRITE_INVALIDATE_REGION;
	else if (access & WEIR_ACCESS_WRITE)
		flags |= CL_MAP_WRITE;
	*ptr = clEnqueueMapBuffer(
		d->queue, mem->mem, CL_TRUE, flags, offset, size, 0, NULL, NULL, &e);
	return e == CL_SUCCESS && *ptr ? 0 : opencl_fail(d, e, "cannot map a buffer");
}

int opencl_cpu_begin(weir_device *dev, struct weir_mem *mem, size_t offset, size_t size,
	unsigned access, void **ptr)
{
	struct opencl_device *d = opencl_device(dev);
	int err = 0;

	if (mem->way == WEIR_IMPORT_HOST_PTR)
		return map(d, mem, offset, size, access, ptr);
	if (mem->way == WEIR_IMPORT_DMABUF_KHR && mem->cpu_open == 0)
		err = khr_release(d, mem->mem);
	if (err == 0)
		mem->cpu_open++;
	return err;
}

int opencl_cpu_end(weir_device *dev, struct weir_mem *mem, void *ptr)
{
	struct opencl_device *d = opencl_device(dev);
	cl_int e;

	if (mem->way == WEIR_IMPORT_HOST_PTR) {
		d->busy = true;
		e = clEnqueueUnmapMemObject(d->queue, mem->mem, ptr, 0, NULL, NULL);
		return e == CL_SUCCESS ? 0 : opencl_fail(d, e, "cannot unmap a buffer");
	}
	mem->cpu_open--;
	if (mem->way != WEIR_IMPORT_DMABUF_KHR || mem->cpu_open > 0)
		return 0;
	d->busy = true;
	return khr_acquire(d, mem->mem);
}

/* ---- parts --------------------------------------------------------------- */

/* The first part that is not before (offset, size). */
static size_t find_part(const struct weir_mem *mem, size_t offset, size_t size)
{
	size_t low = 0, high = mem->n_parts;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct opencl_part *p = &mem->parts[middle];

		if (p->offset < offset || (p->offset == offset && p->size < size))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int add_part(
	struct opencl_device *d, struct weir_mem *mem, size_t at, size_t offset, size_t size)
{
	cl_buffer_region region = {offset, size};
	struct opencl_part *parts;
	cl_int e = CL_SUCCESS;
	cl_mem sub;

	if (mem->n_parts == mem->cap_parts) {
		size_t cap = mem->cap_parts ? mem->cap_parts * 2 : 16;

		parts = realloc(mem->parts, cap * sizeof(*parts));
		if (!parts)
			return weir_fail(ENOMEM, "%s: out of memory", d->base.info.name);
		mem->parts = parts;
		mem->cap_parts = cap;
	}
	sub = clCreateSubBuffer(
		mem->mem, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &e);
	if (!sub)
		return opencl_fail(d, e, "cannot make a sub-buffer");
	memmove(&mem->parts[at + 1], &mem->parts[at], (mem->n_parts - at) * sizeof(*mem->parts));
	mem->parts[at] = (struct opencl_part){.offset = offset, .size = size, .mem = sub};
	mem->n_parts++;
	return 0;
}

int opencl_mem_part(
	struct opencl_device *d, struct weir_mem *mem, size_t offset, size_t size, cl_mem *out)
{
	size_t at;
	int err = 0;

	if (offset == 0) {
		*out = mem->mem;
		return 0;
	}
	pthread_mutex_lock(&mem->lock);
	at = find_part(mem, offset, size);
	if (at == mem->n_parts || mem->parts[at].offset != offset || mem->parts[at].size != size)
		err = add_part(d, mem, at, offset, size);
	if (err == 0)
		*out = mem->parts[at].mem;
	pthread_mutex_unlock(&mem->lock);
	return err;
}
