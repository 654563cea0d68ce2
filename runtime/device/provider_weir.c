/* SPDX-License-Identifier: MIT */
/* Provider weir: buffers of the kernel module weir, of the NPU's own node or of the buffer
 * manager's. */
#include "device/backend.h"

/* One file a device, shared by all its buffers. */
static int node_of(weir_device *dev, struct weir_drm **out)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int err = 0;

	pthread_mutex_lock(&lock);
	if (!dev->drm)
		err = weir_drm_open_buffers(&dev->drm);
	*out = dev->drm;
	pthread_mutex_unlock(&lock);
	return err;
}

static int ko_create(weir_device *dev, size_t size, const char *name, struct weir_memory *m)
{
	struct weir_drm *drm;
	int err = node_of(dev, &drm);

	(void)name;
	if (err == 0)
		err = weir_drm_bo_create(drm, size, WEIR_BO_CACHED, &m->bo);
	if (err < 0)
		return err;
	m->map = m->bo.map;
	m->size = m->bo.size;
	return 0;
}

static void ko_destroy(struct weir_memory *m)
{
	weir_drm_bo_destroy(&m->bo);
}

static int ko_export(const struct weir_memory *m)
{
	return weir_drm_bo_export(&m->bo);
}

/*
 * Nothing to do, and no system call, while one device that uses the CPU's caches has it to itself.
 */
static int ko_sync(
	const struct weir_memory *m, size_t offset, size_t size, unsigned access, bool end)
{
	uint32_t flags = end ? WEIR_SYNC_END : 0;

	if (weir_drm_coherent(m->bo.drm) && !m->shared)
		return 0;
	if (access & WEIR_ACCESS_READ)
		flags |= WEIR_SYNC_READ;
	if (access & WEIR_ACCESS_WRITE)
		flags |= WEIR_SYNC_WRITE;
	return weir_drm_bo_sync(&m->bo, flags, offset, size);
}

const struct weir_provider_ops weir_provider_weir = {
	.id = WEIR_PROVIDER_WEIR,
	.name = "weir",
	.caps = WEIR_BUFFER_MAP | WEIR_BUFFER_DMABUF,
	.create = ko_create,
	.destroy = ko_destroy,
	.export = ko_export,
	.sync = ko_sync,
};
