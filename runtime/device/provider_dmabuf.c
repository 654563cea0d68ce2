/* SPDX-License-Identifier: MIT */
/* Memory that came as a dma-buf, from another process or another driver. */
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device/backend.h"

int weir_dmabuf_open(int fd, struct weir_memory *m)
{
	off_t size = lseek(fd, 0, SEEK_END);
	int err;

	if (size < 0)
		return weir_fail(errno, "fd %d is no dma-buf: %m", fd);
	if (size == 0 || (uint64_t)size > PTRDIFF_MAX)
		return weir_fail(EINVAL, "fd %d: a dma-buf of %lld bytes", fd, (long long)size);
	memset(m, 0, sizeof(*m));
	m->provider = &weir_provider_dmabuf;
	m->size = (size_t)size;
	m->shared = true;
	m->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (m->fd < 0)
		return weir_fail(errno, "cannot duplicate fd %d: %m", fd);
	m->map = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (m->map != MAP_FAILED)
		return 0;
	err = weir_fail(errno, "cannot map fd %d for reading and writing: %m", fd);
	close(m->fd);
	return err;
}

void weir_dmabuf_close(struct weir_memory *m)
{
	munmap(m->map, m->size);
	close(m->fd);
}

int weir_dmabuf_export(const struct weir_memory *m)
{
	int fd = fcntl(m->fd, F_DUPFD_CLOEXEC, 0);

	return fd >= 0 ? fd : weir_fail(errno, "cannot duplicate a dma-buf: %m");
}

/* Waits for fences of others, and maintains caches where CPU and devices do not share them. */
int weir_dmabuf_sync(
	const struct weir_memory *m, size_t offset, size_t size, unsigned access, bool end)
{
	struct dma_buf_sync sync = {.flags = end ? DMA_BUF_SYNC_END : DMA_BUF_SYNC_START};
	int ret;

	(void)offset;
	(void)size;
	if (access & WEIR_ACCESS_READ)
		sync.flags |= DMA_BUF_SYNC_READ;
	if (access & WEIR_ACCESS_WRITE)
		sync.flags |= DMA_BUF_SYNC_WRITE;
	do
		ret = ioctl(m->fd, DMA_BUF_IOCTL_SYNC, &sync);
	while (ret < 0 && (errno == EINTR || errno == EAGAIN));
	/* Shared memory that is no dma-buf (a memfd) has neither fences nor caches of devices. */
	if (ret < 0 && errno == ENOTTY)
		return 0;
	return ret < 0 ? weir_fail(errno, "dma-buf sync: %m") : 0;
}

const struct weir_provider_ops weir_provider_dmabuf = {
	.id = WEIR_PROVIDER_AUTO,
	.name = "dma-buf",
	.caps = WEIR_BUFFER_MAP | WEIR_BUFFER_DMABUF,
	.destroy = weir_dmabuf_close,
	.export = weir_dmabuf_export,
	.sync = weir_dmabuf_sync,
};
