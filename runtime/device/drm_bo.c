/* SPDX-License-Identifier: MIT */
/* Buffers of the kernel module weir: made, mapped, imported and exported. */
#include <fcntl.h>
#include <sys/mman.h>

#include "device/drm.h"

/* ---- handles ------------------------------------------------------------- */

/*
 * Importing a dma-buf of a buffer that this file has already gives the same handle once more, and
 * closing it once closes it for both: so uses are counted here. drm->lock is held.
 */
static int ref_handle(struct weir_drm *drm, uint32_t handle)
{
	uint32_t *refs;
	size_t n;

	if (handle >= drm->n_refs) {
		n = WEIR_MAX((size_t)64, weir_align_up((size_t)handle + 1, 64));
		refs = realloc(drm->refs, n * sizeof(*refs));
		if (!refs)
			return -ENOMEM;
		memset(refs + drm->n_refs, 0, (n - drm->n_refs) * sizeof(*refs));
		drm->refs = refs;
		drm->n_refs = n;
	}
	drm->refs[handle]++;
	return 0;
}

static void close_handle(const struct weir_drm *drm, uint32_t handle)
{
	struct drm_gem_close args = {.handle = handle};

	weir_drm_ioctl(drm, DRM_IOCTL_GEM_CLOSE, &args);
}

static void unref_handle(struct weir_drm *drm, uint32_t handle)
{
	pthread_mutex_lock(&drm->lock);
	if (--drm->refs[handle] == 0)
		close_handle(drm, handle);
	pthread_mutex_unlock(&drm->lock);
}

/* ---- making -------------------------------------------------------------- */

int weir_drm_bo_create(struct weir_drm *drm, size_t size, uint32_t flags, struct weir_drm_bo *out)
{
	struct drm_weir_bo_create args = {.size = size, .flags = flags};
	char what[64];
	int err;

	memset(out, 0, sizeof(*out));
	snprintf(what, sizeof(what), "cannot make a buffer of %zu bytes", size);
	pthread_mutex_lock(&drm->lock);
	err = weir_drm_ioctl(drm, DRM_IOCTL_WEIR_BO_CREATE, &args);
	if (err == 0) {
		err = ref_handle(drm, args.handle);
		if (err < 0)
			close_handle(drm, args.handle);
	}
	pthread_mutex_unlock(&drm->lock);
	if (err < 0)
		return weir_drm_fail(drm, err, what);
	out->drm = drm;
	out->handle = args.handle;
	out->size = args.size;
	out->addr = args.dev_addr;
	err = weir_drm_map(drm, args.mmap_offset, args.size, PROT_READ | PROT_WRITE, &out->map);
	if (err == 0)
		return 0;
	weir_drm_bo_destroy(out);
	return weir_drm_fail(drm, err, "cannot map a buffer");
}

int weir_drm_bo_import(struct weir_drm *drm, int fd, struct weir_drm_bo *out)
{
	struct drm_prime_handle prime = {.fd = fd};
	struct drm_weir_bo_info info = {0};
	int err;

	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&drm->lock);
	err = weir_drm_ioctl(drm, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime);
	if (err == 0) {
		err = ref_handle(drm, prime.handle);
		if (err < 0)
			close_handle(drm, prime.handle); /* no count: nobody had it before */
	}
	pthread_mutex_unlock(&drm->lock);
	if (err < 0)
		return weir_drm_fail(drm, err, "cannot import a dma-buf");
	info.handle = prime.handle;
	err = weir_drm_ioctl(drm, DRM_IOCTL_WEIR_BO_INFO, &info);
	if (err < 0) {
		unref_handle(drm, prime.handle);
		return weir_drm_fail(drm, err, "cannot ask for an imported buffer");
	}
	out->drm = drm;
	out->handle = prime.handle;
	out->size = info.size;
	out->addr = info.dev_addr;
	return 0;
}

int weir_drm_bo_export(const struct weir_drm_bo *bo)
{
	struct drm_prime_handle prime = {.handle = bo->handle, .flags = DRM_CLOEXEC | DRM_RDWR};
	int err = weir_drm_ioctl(bo->drm, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime);

	return err < 0 ? weir_drm_fail(bo->drm, err, "cannot export a buffer as a dma-buf")
		       : prime.fd;
}

int weir_drm_bo_sync(const struct weir_drm_bo *bo, uint32_t flags, size_t offset, size_t size)
{
	struct drm_weir_sync_range range = {
		.handle = bo->handle, .flags = flags, .offset = offset, .size = size};
	struct drm_weir_bo_sync args = {.ranges = (uintptr_t)&range,
		.count = 1,
		.stride = sizeof(range),
		.timeout_ns = INT64_MAX};
	int err = weir_drm_ioctl(bo->drm, DRM_IOCTL_WEIR_BO_SYNC, &args);

	return err < 0 ? weir_drm_fail(bo->drm, err, "cannot open a buffer to the CPU") : 0;
}

void weir_drm_bo_destroy(struct weir_drm_bo *bo)
{
	if (!bo->drm)
		return;
	if (bo->map)
		munmap(bo->map, bo->size);
	unref_handle(bo->drm, bo->handle);
	memset(bo, 0, sizeof(*bo));
}
