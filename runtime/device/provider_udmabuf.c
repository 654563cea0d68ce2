/* SPDX-License-Identifier: MIT */
/*
 * Provider udmabuf: a sealed memfd whose pages /dev/udmabuf makes into a dma-buf, for devices to
 * import.
 */
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device/backend.h"

#define UDMABUF_PATH "/dev/udmabuf"
#define UDMABUF_LIMIT "/sys/module/udmabuf/parameters/size_limit_mb"

/*
 * The kernel wants F_SEAL_SHRINK (pages must not go away under the device) and refuses
 * F_SEAL_WRITE; F_SEAL_GROW only keeps the size true. Sealing ends with F_SEAL_SEAL, so that no
 * later holder of the fd adds a write seal.
 */
static int sealed_memfd(size_t size, const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err;

	if (fd < 0)
		return weir_fail(errno, "memfd_create: %m");
	if (ftruncate(fd, (off_t)size) < 0) {
		err = weir_fail(errno, "memfd of %zu bytes: %m", size);
		goto error;
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		err = weir_fail(errno, "cannot seal a memfd: %m");
		goto error;
	}
	return fd;

error:
	close(fd);
	return err;
}

/*
 * The kernel answers EINVAL for a size above its limit as for anything else: name the limit then.
 */
static int fail_create(size_t size)
{
	int err = errno;
	unsigned long limit = 0;
	char *text = NULL;
	size_t length;

	if (err == EINVAL && weir_file_read(UDMABUF_LIMIT, 64, &text, &length) == 0)
		limit = strtoul(text, NULL, 10);
	free(text);
	if (limit && size > (size_t)limit << 20)
		return weir_fail(err,
			UDMABUF_PATH
			": %zu bytes are more than its limit of %lu MiB (" UDMABUF_LIMIT ")",
			size, limit);
	return weir_fail(err, UDMABUF_PATH ": cannot make a dma-buf: %s", strerror(err));
}

static int make_dmabuf(int memfd, size_t size)
{
	struct udmabuf_create create = {
		.memfd = (uint32_t)memfd,
		.flags = UDMABUF_FLAGS_CLOEXEC,
		.size = size,
	};
	int device = open(UDMABUF_PATH, O_RDWR | O_CLOEXEC);
	int fd;

	if (device < 0 && errno == ENOENT)
		return weir_fail(ENOENT,
			UDMABUF_PATH " does not exist (kernel without CONFIG_UDMABUF, or the "
				     "module is not loaded)");
	if (device < 0)
		return weir_fail(errno, UDMABUF_PATH ": %m");
	fd = ioctl(device, UDMABUF_CREATE, &create);
	if (fd < 0)
		fd = fail_create(size);
	close(device);
	return fd;
}

static int udmabuf_create(weir_device *dev, size_t size, const char *name, struct weir_memory *m)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int memfd, err;

	(void)dev;
	if (size > (size_t)PTRDIFF_MAX - page)
		return weir_fail(ENOMEM, "%zu bytes are more than a process can have", size);
	m->size = weir_align_up(size, page);
	memfd = sealed_memfd(m->size, name);
	if (memfd < 0)
		return memfd;
	m->fd = make_dmabuf(memfd, m->size);
	close(memfd); /* the dma-buf holds the pages */
	if (m->fd < 0)
		return m->fd;
	m->map = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (m->map != MAP_FAILED)
		return 0;
	err = weir_fail(errno, "cannot map a dma-buf: %m");
	close(m->fd);
	return err;
}

const struct weir_provider_ops weir_provider_udmabuf = {
	.id = WEIR_PROVIDER_UDMABUF,
	.name = "udmabuf",
	.caps = WEIR_BUFFER_MAP | WEIR_BUFFER_DMABUF,
	.create = udmabuf_create,
	.destroy = weir_dmabuf_close,
	.export = weir_dmabuf_export,
	.sync = weir_dmabuf_sync,
};
