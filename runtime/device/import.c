/* SPDX-License-Identifier: MIT */
/*
 * How a provider's memory becomes the device's: the ways are tried in turn, and each has to pass
 * write and read-back in both directions before it is believed.
 */
#include "device/backend.h"

/* Bytes looked at in each place of the buffer. */
#define SPOT 64

const char *weir_import_name(enum weir_import way)
{
	static const char *const names[] = {
		[WEIR_IMPORT_NATIVE] = "device address",
		[WEIR_IMPORT_DMABUF_KHR] = "cl_khr_external_memory_dma_buf",
		[WEIR_IMPORT_DMABUF_ARM] = "cl_arm_import_memory",
		[WEIR_IMPORT_HOST_PTR] = "CL_MEM_USE_HOST_PTR",
		[WEIR_IMPORT_COPY] = "copies",
	};

	return (unsigned)way < WEIR_ARRAY_SIZE(names) ? names[way] : "unknown";
}

static void fill_pattern(unsigned char *p, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size; i++)
		p[i] = (unsigned char)(seed + i * 37);
}

/* Opens the spot to the CPU as the coherence under test says. */
static int spot_begin(
	struct weir_buffer *buf, size_t offset, size_t size, unsigned access, void **ptr)
{
	int err = 0;

	*ptr = (char *)buf->memory.map + offset;
	if (buf->coherence == WEIR_COHERENCE_MAPPED)
		err = buf->dev->backend->cpu_begin(buf->dev, buf->mem, offset, size, access, ptr);
	if (err == 0 && buf->provider->sync)
		err = buf->provider->sync(&buf->memory, offset, size, access, false);
	return err;
}

static int spot_end(struct weir_buffer *buf, size_t offset, size_t size, unsigned access, void *ptr)
{
	int err = 0, late = 0;

	if (buf->provider->sync)
		err = buf->provider->sync(&buf->memory, offset, size, access, true);
	if (buf->coherence == WEIR_COHERENCE_MAPPED)
		late = buf->dev->backend->cpu_end(buf->dev, buf->mem, ptr);
	return err < 0 ? err : late;
}

static int spot_write(struct weir_buffer *buf, size_t offset, size_t size, const void *from)
{
	void *ptr;
	int err = spot_begin(buf, offset, size, WEIR_ACCESS_WRITE, &ptr);

	if (err < 0)
		return err;
	memcpy(ptr, from, size);
	return spot_end(buf, offset, size, WEIR_ACCESS_WRITE, ptr);
}

static int spot_read(struct weir_buffer *buf, size_t offset, size_t size, void *to)
{
	void *ptr;
	int err = spot_begin(buf, offset, size, WEIR_ACCESS_READ, &ptr);

	if (err < 0)
		return err;
	memcpy(to, ptr, size);
	return spot_end(buf, offset, size, WEIR_ACCESS_READ, ptr);
}

/* What the CPU writes the device must see, and the other way round. */
static int compare_spot(
	struct weir_buffer *buf, struct weir_mem *scratch, size_t offset, size_t size)
{
	const struct weir_backend *backend = buf->dev->backend;
	unsigned char wrote[SPOT], seen[SPOT];
	int err;

	fill_pattern(wrote, size, 0x5a);
	err = spot_write(buf, offset, size, wrote);
	if (err == 0)
		err = backend->mem_copy(buf->dev, buf->mem, offset, scratch, 0, size);
	if (err == 0)
		err = backend->mem_read(buf->dev, scratch, 0, size, seen);
	if (err < 0)
		return err;
	if (memcmp(wrote, seen, size) != 0)
		return weir_fail(EIO, "the device does not see what the CPU writes by %s",
			weir_import_name(buf->way));

	fill_pattern(wrote, size, 0xc3);
	err = backend->mem_write(buf->dev, scratch, 0, size, wrote);
	if (err == 0)
		err = backend->mem_copy(buf->dev, scratch, 0, buf->mem, offset, size);
	if (err == 0)
		err = spot_read(buf, offset, size, seen);
	if (err < 0)
		return err;
	if (memcmp(wrote, seen, size) != 0)
		return weir_fail(EIO, "the CPU does not see what the device writes by %s",
			weir_import_name(buf->way));
	return 0;
}

/* Afterwards the spot is as it was: zeros, or what came with a dma-buf. */
static int verify_spot(
	struct weir_buffer *buf, struct weir_mem *scratch, size_t offset, size_t size)
{
	unsigned char old[SPOT];
	int err = spot_read(buf, offset, size, old), late;

	if (err < 0)
		return err;
	err = compare_spot(buf, scratch, offset, size);
	late = spot_write(buf, offset, size, old);
	return err < 0 ? err : late;
}

/* The first and the last bytes: a copy that a driver made in secret would differ in both. */
static int verify(struct weir_buffer *buf, struct weir_mem *scratch)
{
	size_t size = WEIR_MIN(buf->size, SPOT);
	int err = verify_spot(buf, scratch, 0, size);

	if (err == 0 && buf->size > SPOT)
		err = verify_spot(buf, scratch, buf->size - size, size);
	return err;
}

/*
 * On a device that is this CPU the plain addresses have to do; else what the backend does around
 * access.
 */
static int try_way(struct weir_buffer *buf, struct weir_mem *scratch, enum weir_import way)
{
	weir_device *dev = buf->dev;
	int err = dev->backend->mem_create(dev, way, &buf->memory, buf->size, &buf->mem);

	if (err < 0)
		return err;
	buf->way = way;
	buf->coherence = dev->coherent ? WEIR_COHERENCE_DIRECT : WEIR_COHERENCE_MAPPED;
	err = verify(buf, scratch);
	if (err < 0 && buf->coherence == WEIR_COHERENCE_DIRECT) {
		buf->coherence = WEIR_COHERENCE_MAPPED;
		err = verify(buf, scratch);
	}
	if (err < 0)
		dev->backend->mem_destroy(dev, buf->mem);
	return err;
}

static int import_copied(struct weir_buffer *buf)
{
	buf->way = WEIR_IMPORT_COPY;
	buf->coherence = WEIR_COHERENCE_COPIED;
	return buf->dev->backend->mem_create(
		buf->dev, WEIR_IMPORT_COPY, NULL, buf->size, &buf->mem);
}

static int import_locked(struct weir_buffer *buf)
{
	weir_device *dev = buf->dev;
	struct weir_mem *scratch;
	int err;

	if (buf->provider->shadow)
		return import_copied(buf);
	err = dev->backend->mem_create(dev, WEIR_IMPORT_COPY, NULL, SPOT, &scratch);
	if (err < 0)
		return err;
	err = -EOPNOTSUPP;
	for (enum weir_import way = 0; way < WEIR_IMPORT_COPY && err < 0; way++)
		err = try_way(buf, scratch, way);
	dev->backend->mem_destroy(dev, scratch);
	if (err < 0 && buf->provider == &weir_provider_dmabuf)
		return weir_fail_in(
			err, "%s has no way to this memory without a copy", dev->info.name);
	return err == 0 ? 0 : import_copied(buf);
}

int weir_buffer_import(struct weir_buffer *buf)
{
	int err;

	pthread_mutex_lock(&buf->dev->lock);
	err = import_locked(buf);
	pthread_mutex_unlock(&buf->dev->lock);
	return err;
}
