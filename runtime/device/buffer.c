/* SPDX-License-Identifier: MIT */
/* Buffers: made by the device's provider, and CPU access between begin and end. */
#include "device/backend.h"

/* What stale host bytes of a shadow buffer read as: NaN as float or half, -1 as an integer. */
#define POISON 0xff

static const struct weir_provider_ops *const providers[] = {
	[WEIR_PROVIDER_WEIR] = &weir_provider_weir,
	[WEIR_PROVIDER_UDMABUF] = &weir_provider_udmabuf,
	[WEIR_PROVIDER_HOST] = &weir_provider_host,
	[WEIR_PROVIDER_SHADOW] = &weir_provider_shadow,
};

/* AUTO tries these in turn; never shadow, which is for tests. */
static const enum weir_provider best_first[] = {
	WEIR_PROVIDER_WEIR,
	WEIR_PROVIDER_UDMABUF,
	WEIR_PROVIDER_HOST,
};

/* ---- making -------------------------------------------------------------- */

/* A buffer of memory that is there already, which is destroyed when this fails. */
static int create_of(weir_device *dev, struct weir_memory *memory, size_t size, const char *name,
	struct weir_buffer **out)
{
	const struct weir_provider_ops *provider = memory->provider;
	struct weir_buffer *buf = calloc(1, sizeof(*buf));
	int err;

	if (!buf) {
		provider->destroy(memory);
		return weir_fail(ENOMEM, "buffer %s: out of memory", name);
	}
	buf->dev = dev;
	buf->provider = provider;
	buf->size = size;
	buf->memory = *memory;
	snprintf(buf->name, sizeof(buf->name), "%s", name);
	err = weir_buffer_import(buf);
	if (err < 0) {
		provider->destroy(&buf->memory);
		free(buf);
		return err;
	}
	buf->caps = provider->caps;
	if (buf->way == WEIR_IMPORT_NATIVE)
		buf->caps |= WEIR_BUFFER_ADDRESS;
	if (buf->coherence != WEIR_COHERENCE_COPIED &&
		(buf->coherence == WEIR_COHERENCE_DIRECT || dev->unified_memory))
		buf->caps |= WEIR_BUFFER_UNIFIED;
	pthread_mutex_init(&buf->lock, NULL);
	*out = buf;
	return 0;
}

static int create_from(weir_device *dev, const struct weir_provider_ops *provider, size_t size,
	const char *name, struct weir_buffer **out)
{
	struct weir_memory memory = {.provider = provider, .fd = -1};
	int err = provider->create(dev, size, name, &memory);

	if (err == 0)
		err = create_of(dev, &memory, size, name, out);
	if (err == 0 && provider->shadow)
		memset((*out)->memory.map, POISON, (*out)->memory.size);
	return err;
}

int weir_buffer_create(weir_device *dev, size_t size, const char *name, struct weir_buffer **out)
{
	bool reached = false;
	int err;

	*out = NULL;
	name = name ? name : "(unnamed)";
	if (size == 0)
		return weir_fail(EINVAL, "buffer %s: its size is 0", name);
	if (size > dev->props.max_buffer)
		return weir_fail(ENOMEM, "buffer %s: %zu bytes, %s takes at most %zu in one buffer",
			name, size, dev->info.name, dev->props.max_buffer);
	err = create_from(dev, dev->provider, size, name, out);
	/* The first choice may have a limit of its own (udmabuf's is 64 MiB): the next may not. */
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(best_first) && !dev->provider_forced && err < 0;
		i++) {
		const struct weir_provider_ops *next = providers[best_first[i]];

		if (reached)
			err = create_from(dev, next, size, name, out);
		reached |= next == dev->provider;
	}
	return err < 0 ? weir_fail_in(err, "buffer %s of %zu bytes", name, size) : 0;
}

int weir_buffer_from_fd(weir_device *dev, int fd, const char *name, struct weir_buffer **out)
{
	struct weir_memory memory;
	int err;

	*out = NULL;
	name = name ? name : "(unnamed)";
	err = weir_dmabuf_open(fd, &memory);
	if (err == 0)
		err = create_of(dev, &memory, memory.size, name, out);
	return err < 0 ? weir_fail_in(err, "buffer %s", name) : 0;
}

void weir_buffer_destroy(struct weir_buffer *buf)
{
	if (!buf)
		return;
	/* Submitted work may still use it. */
	pthread_mutex_lock(&buf->dev->lock);
	buf->dev->backend->wait(buf->dev);
	pthread_mutex_unlock(&buf->dev->lock);
	buf->dev->backend->mem_destroy(buf->dev, buf->mem);
	buf->provider->destroy(&buf->memory);
	pthread_mutex_destroy(&buf->lock);
	free(buf);
}

/* ---- which provider ------------------------------------------------------ */

const char *weir_provider_name(enum weir_provider provider)
{
	static const char *const names[] = {
		[WEIR_PROVIDER_AUTO] = "auto",
		[WEIR_PROVIDER_WEIR] = "weir",
		[WEIR_PROVIDER_UDMABUF] = "udmabuf",
		[WEIR_PROVIDER_HOST] = "host",
		[WEIR_PROVIDER_SHADOW] = "shadow",
	};

	return (unsigned)provider < WEIR_ARRAY_SIZE(names) ? names[provider] : "unknown";
}

/* Whether a provider works on this device is found by making a buffer of it. */
static int try_provider(
	weir_device *dev, enum weir_provider id, bool *unified, enum weir_import *way)
{
	struct weir_buffer *buf;
	int err = create_from(dev, providers[id], dev->props.align, "probe", &buf);

	if (err < 0)
		return err;
	*unified = (buf->caps & WEIR_BUFFER_UNIFIED) != 0;
	*way = buf->way;
	weir_buffer_destroy(buf);
	return 0;
}

/* The best that shares memory with the device; where none does, the best that works at all. */
static int choose_best(weir_device *dev)
{
	enum weir_import way;
	bool unified;
	int err, last = 0;

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(best_first); i++) {
		err = try_provider(dev, best_first[i], &unified, &way);
		if (err < 0) {
			last = err;
			continue;
		}
		if (unified || !dev->provider)
			dev->provider = providers[best_first[i]];
		dev->props.host_unified = unified;
		if (unified)
			return 0;
	}
	return dev->provider
		       ? 0
		       : weir_fail_in(last, "%s: no provider of buffers works", dev->info.name);
}

int weir_providers_open(weir_device *dev, enum weir_provider wanted)
{
	enum weir_import way;
	int err;

	if (wanted == WEIR_PROVIDER_AUTO)
		return choose_best(dev);
	err = try_provider(dev, wanted, &dev->props.host_unified, &way);
	if (err < 0)
		return weir_fail_in(err, "provider %s", weir_provider_name(wanted));
	dev->provider = providers[wanted];
	dev->provider_forced = true;
	return 0;
}

const char *weir_device_provider_name(const weir_device *dev)
{
	return weir_provider_name(dev->provider->id);
}

static void describe_way(const struct weir_provider_ops *p, bool unified, enum weir_import way,
	char *out, size_t size)
{
	if (p->shadow)
		snprintf(out, size, "two copies on purpose");
	else if (way == WEIR_IMPORT_COPY)
		snprintf(out, size, "the device shares no memory with it: every access copies");
	else
		snprintf(out, size, "by %s, %s", weir_import_name(way),
			unified ? "zero-copy" : "the driver copies");
}

int weir_device_provider(weir_device *dev, enum weir_provider provider, char *state, size_t size)
{
	enum weir_import way = WEIR_IMPORT_COPY;
	bool unified = false;
	char how[96];

	if ((unsigned)provider > WEIR_PROVIDER_SHADOW)
		return weir_fail(EINVAL, "provider %d is not one", (int)provider);
	if (provider == WEIR_PROVIDER_AUTO) {
		snprintf(state, size, "%s", weir_device_provider_name(dev));
		return 0;
	}
	if (try_provider(dev, provider, &unified, &way) < 0) {
		snprintf(state, size, "not usable: %s", weir_error());
		return 0;
	}
	describe_way(providers[provider], unified, way, how, sizeof(how));
	snprintf(state, size, "%s (%s)", providers[provider] == dev->provider ? "in use" : "works",
		how);
	return 0;
}

/* ---- what it is ---------------------------------------------------------- */

unsigned weir_buffer_caps(const struct weir_buffer *buf)
{
	return buf->caps;
}

size_t weir_buffer_size(const struct weir_buffer *buf)
{
	return buf->size;
}

const char *weir_buffer_provider(const struct weir_buffer *buf)
{
	return buf->provider->name;
}

int weir_memory_export(const struct weir_memory *m)
{
	if (!m->provider->export)
		return weir_fail(
			EOPNOTSUPP, "the provider %s makes no dma-bufs", m->provider->name);
	return m->provider->export(m);
}

int weir_buffer_fd(struct weir_buffer *buf)
{
	int fd;

	pthread_mutex_lock(&buf->lock);
	fd = weir_memory_export(&buf->memory);
	buf->memory.shared |= fd >= 0;
	pthread_mutex_unlock(&buf->lock);
	return fd < 0 ? weir_fail_in(fd, "buffer %s", buf->name) : fd;
}

const void *weir_buffer_address(const struct weir_buffer *buf)
{
	return buf->caps & WEIR_BUFFER_MAP ? buf->memory.map : NULL;
}

/* ---- CPU access ---------------------------------------------------------- */

int weir_buffer_check(const struct weir_buffer *buf, size_t offset, size_t size)
{
	size_t end;

	if (size == 0)
		return weir_fail(
			EINVAL, "buffer %s: an empty range at byte %zu", buf->name, offset);
	if (!weir_size_add(offset, size, &end) || end > buf->size)
		return weir_fail(EINVAL,
			"buffer %s: %zu bytes at byte %zu are not within its %zu bytes", buf->name,
			size, offset, buf->size);
	return 0;
}

/* A free entry, or an error when the range overlaps an open one or too many are open. */
static int find_free(struct weir_buffer *buf, size_t offset, size_t size, struct weir_range **out)
{
	*out = NULL;
	for (unsigned i = 0; i < WEIR_BUFFER_OPEN; i++) {
		struct weir_range *r = &buf->open[i];

		if (!r->ptr)
			*out = r;
		else if (offset < r->offset + r->size && r->offset < offset + size)
			return weir_fail(EINVAL,
				"buffer %s: bytes %zu to %zu overlap an access that is open, %zu "
				"to %zu",
				buf->name, offset, offset + size, r->offset, r->offset + r->size);
	}
	return *out ? 0
		    : weir_fail(EINVAL, "buffer %s: %d accesses are open already", buf->name,
			      WEIR_BUFFER_OPEN);
}

static void count_copy(weir_device *dev, size_t size)
{
	__atomic_fetch_add(&dev->copied, size, __ATOMIC_RELAXED);
}

/* Makes the range's bytes good for the access. The device's lock is held. */
static int fetch(struct weir_buffer *buf, const struct weir_range *r, void **ptr)
{
	weir_device *dev = buf->dev;
	bool read = (r->access & WEIR_ACCESS_READ) != 0;
	int err = 0;

	if (buf->coherence == WEIR_COHERENCE_DIRECT)
		return 0;
	if (buf->coherence == WEIR_COHERENCE_MAPPED)
		err = dev->backend->cpu_begin(dev, buf->mem, r->offset, r->size, r->access, ptr);
	else if (read)
		err = dev->backend->mem_read(dev, buf->mem, r->offset, r->size, *ptr);
	else if (buf->provider->shadow)
		memset(*ptr, POISON, r->size);
	if (err == 0 && read && !(buf->caps & WEIR_BUFFER_UNIFIED))
		count_copy(dev, r->size);
	return err;
}

static int deliver(struct weir_buffer *buf, const struct weir_range *r)
{
	weir_device *dev = buf->dev;
	bool write = (r->access & WEIR_ACCESS_WRITE) != 0;
	int err = 0;

	if (buf->coherence == WEIR_COHERENCE_DIRECT)
		return 0;
	if (buf->coherence == WEIR_COHERENCE_MAPPED)
		err = dev->backend->cpu_end(dev, buf->mem, r->ptr);
	else if (write)
		err = dev->backend->mem_write(dev, buf->mem, r->offset, r->size, r->ptr);
	if (err == 0 && write && !(buf->caps & WEIR_BUFFER_UNIFIED))
		count_copy(dev, r->size);
	if (buf->provider->shadow)
		memset(r->ptr, POISON, r->size);
	return err;
}

static int begin_locked(struct weir_buffer *buf, struct weir_range *range, void **ptr)
{
	weir_device *dev = buf->dev;
	struct weir_range *slot;
	int err;

	err = find_free(buf, range->offset, range->size, &slot);
	if (err < 0)
		return err;
	*ptr = (char *)buf->memory.map + range->offset;
	pthread_mutex_lock(&dev->lock);
	err = dev->backend->wait(dev);
	if (err == 0)
		err = fetch(buf, range, ptr);
	pthread_mutex_unlock(&dev->lock);
	if (err == 0 && buf->provider->sync)
		err = buf->provider->sync(
			&buf->memory, range->offset, range->size, range->access, false);
	if (err < 0)
		return weir_fail_in(err, "buffer %s", buf->name);
	range->ptr = *ptr;
	*slot = *range;
	return 0;
}

int weir_buffer_begin(
	struct weir_buffer *buf, size_t offset, size_t size, unsigned access, void **ptr)
{
	struct weir_range range = {.offset = offset, .size = size, .access = access};
	int err;

	*ptr = NULL;
	err = weir_buffer_check(buf, offset, size);
	if (err < 0)
		return err;
	if (access == 0 || (access & ~(unsigned)(WEIR_ACCESS_READ | WEIR_ACCESS_WRITE)))
		return weir_fail(EINVAL, "buffer %s: access 0x%x is neither reading nor writing",
			buf->name, access);
	pthread_mutex_lock(&buf->lock);
	err = begin_locked(buf, &range, ptr);
	pthread_mutex_unlock(&buf->lock);
	if (err < 0)
		*ptr = NULL;
	return err;
}

static int end_locked(struct weir_buffer *buf, void *ptr)
{
	struct weir_range range = {0};
	int err = 0, late;

	for (unsigned i = 0; i < WEIR_BUFFER_OPEN && ptr; i++) {
		if (buf->open[i].ptr == ptr) {
			range = buf->open[i];
			buf->open[i].ptr = NULL;
			break;
		}
	}
	if (!range.ptr)
		return weir_fail(EINVAL, "buffer %s: end of an access that is not open", buf->name);
	if (buf->provider->sync)
		err = buf->provider->sync(
			&buf->memory, range.offset, range.size, range.access, true);
	pthread_mutex_lock(&buf->dev->lock);
	late = deliver(buf, &range);
	pthread_mutex_unlock(&buf->dev->lock);
	err = err < 0 ? err : late;
	return err < 0 ? weir_fail_in(err, "buffer %s", buf->name) : 0;
}

int weir_buffer_end(struct weir_buffer *buf, void *ptr)
{
	int err;

	pthread_mutex_lock(&buf->lock);
	err = end_locked(buf, ptr);
	pthread_mutex_unlock(&buf->lock);
	return err;
}
