/* SPDX-License-Identifier: MIT */
/* vfio-user messages: each is checked whole before the device hears of it. */
#include <errno.h>
#include <json-c/json.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vfio_user.h"

#define MAX_JSON 4096

static const char *command_name(unsigned command)
{
	static const char *const names[] = {
		[VFU_VERSION] = "VERSION",
		[VFU_DMA_MAP] = "DMA_MAP",
		[VFU_DMA_UNMAP] = "DMA_UNMAP",
		[VFU_DEVICE_GET_INFO] = "DEVICE_GET_INFO",
		[VFU_DEVICE_GET_REGION_INFO] = "DEVICE_GET_REGION_INFO",
		[VFU_DEVICE_GET_REGION_IO_FDS] = "DEVICE_GET_REGION_IO_FDS",
		[VFU_DEVICE_GET_IRQ_INFO] = "DEVICE_GET_IRQ_INFO",
		[VFU_DEVICE_SET_IRQS] = "DEVICE_SET_IRQS",
		[VFU_REGION_READ] = "REGION_READ",
		[VFU_REGION_WRITE] = "REGION_WRITE",
		[VFU_DMA_READ] = "DMA_READ",
		[VFU_DMA_WRITE] = "DMA_WRITE",
		[VFU_DEVICE_RESET] = "DEVICE_RESET",
	};

	return command < sizeof(names) / sizeof(*names) && names[command] ? names[command]
									  : "unknown";
}

int vfu_check_header(const struct vfu_header *h)
{
	const char *why = NULL;

	if (h->size < sizeof(*h))
		why = "is shorter than its header";
	else if (h->size - sizeof(*h) > VFU_MAX_DATA)
		why = "is too long";
	else if ((h->flags & VFU_TYPE) != VFU_TYPE_COMMAND)
		why = "is no command";
	if (!why)
		return 0;
	npu_log(-1, "message %u (%s, %u bytes, flags %#x) %s", h->id, command_name(h->command),
		h->size, h->flags, why);
	return -EPROTO;
}

/* A message too short for its fixed part is wrong, whatever it is. */
static int take(const struct vfu_message *m, void *to, size_t size)
{
	if (m->size < size)
		return -EINVAL;
	memcpy(to, m->data, size);
	return 0;
}

static int put(struct vfu_reply *r, const void *from, size_t size)
{
	memcpy(r->data + r->size, from, size);
	r->size += size;
	return 0;
}

/*
 * {"capabilities": {"max_data_xfer_size": N, ...}}: what we must know is that it is one; the limits
 * hold for requests of ours.
 */
static int check_capabilities(const char *text, size_t size)
{
	struct json_tokener *tokener;
	struct json_object *o, *caps;
	int err = -EINVAL;

	if (!size)
		return 0;
	if (size > MAX_JSON || text[size - 1] || strlen(text) != size - 1)
		return -EINVAL;
	tokener = json_tokener_new_ex(8);
	if (!tokener)
		return -ENOMEM;
	o = json_tokener_parse_ex(tokener, text, (int)size);
	if (o && json_object_is_type(o, json_type_object) &&
		(!json_object_object_get_ex(o, "capabilities", &caps) ||
			json_object_is_type(caps, json_type_object)))
		err = 0;
	json_object_put(o);
	json_tokener_free(tokener);
	return err;
}

static int on_version(struct vfu *v, struct vfu_message *m, struct vfu_reply *r)
{
	struct {
		uint16_t major, minor;
	} version;
	char text[256];
	int err = take(m, &version, sizeof(version));

	if (err)
		return err;
	if (v->negotiated)
		return -EALREADY;
	if (version.major)
		return -EPROTONOSUPPORT;
	err = check_capabilities(
		(const char *)m->data + sizeof(version), m->size - sizeof(version));
	if (err)
		return err;
	v->negotiated = true;
	version.minor = 0;
	put(r, &version, sizeof(version));
	snprintf(text, sizeof(text),
		"{\"capabilities\":{\"max_msg_fds\":%d,\"max_data_xfer_size\":%d,\"pgsizes\":%d,"
		"\"max_dma_maps\":%d}}",
		VFU_MAX_FDS, VFU_MAX_TRANSFER, WEIR_NPU_PAGE, MEMORY_MAX_MAPS);
	return put(r, text, strlen(text) + 1);
}

static int on_dma_map(struct vfu *v, struct vfu_message *m, struct vfu_reply *r)
{
	const uint32_t known = VFU_DMA_READABLE | VFU_DMA_WRITABLE;
	struct vfu_dma_map d;
	uint32_t prot;
	int err = take(m, &d, sizeof(d));

	(void)r;
	if (err)
		return err;
	if (d.argsz < sizeof(d) || (d.flags & ~known) || m->n_fds > 1)
		return -EINVAL;
	prot = (d.flags & VFU_DMA_READABLE ? PROT_READ : 0) |
	       (d.flags & VFU_DMA_WRITABLE ? PROT_WRITE : 0);
	err = memory_map(
		&v->npu->memory, d.addr, d.size, d.offset, m->n_fds ? m->fds[0] : -1, prot);
	if (!err)
		v->npu->counters.maps++;
	return err;
}

static int on_dma_unmap(struct vfu *v, struct vfu_message *m, struct vfu_reply *r)
{
	struct vfu_dma_unmap d;
	int err = take(m, &d, sizeof(d));

	if (err)
		return err;
	if (d.argsz < sizeof(d) || (d.flags & ~VFU_UNMAP_ALL))
		return d.flags & ~VFU_UNMAP_ALL ? -EOPNOTSUPP : -EINVAL;
	if (d.flags & VFU_UNMAP_ALL) {
		if (d.addr || d.size)
			return -EINVAL;
		err = npu_unmap(v->npu, 0, UINT64_MAX);
	} else {
		if (!d.size || (d.addr | d.size) % WEIR_NPU_PAGE ||
			d.size - 1 > UINT64_MAX - d.addr)
			return -EINVAL;
		err = npu_unmap(v->npu, d.addr, d.addr + (d.size - 1));
	}
	return err ? err : put(r, &d, sizeof(d));
}

static int on_get_info(struct vfu *v, struct vfu_message *m, struct vfu_reply *r)
{
	struct {
		uint32_t argsz, flags, regions, irqs;
	} info;
	int err = take(m, &info, sizeof(info));

	(void)v;
	if (err)
		return err;
	if (info.argsz < sizeof(info))
		return -EINVAL;
	info.argsz = sizeof(info);
	info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info.regions = VFIO_PCI_NUM_REGIONS;
	info.irqs = VFIO_PCI_NUM_IRQS;
	return put(r, &info, sizeof(info));
}

static int on_get_region_info(struct vfu *v, struct vfu_message *m, struct vfu_reply *r)
{
	struct vfio_region_info info;
	int err = take(m, &info, sizeof(info));

	if (err)
		return err;
	if (info.argsz < sizeof(info) || info.index >= VFIO_PCI_NUM_REGIONS)
		return -EINVAL;
	info.argsz = sizeof(info);
	info.cap_offset = 0;
	info.offset = 0;
	info.size = npu_region_size(v->npu, info.index);
	info.flags = info.size ? VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE : 0;
	if (info.index == NPU_REGION_BAR2) {
		info.flags |= VFIO_REGION_INFO_FLAG_MMAP;
		r->fd = v->npu->doorbells;
	}
	return put(r, &info, sizeof(info));
}

static int on_get_irq_info(struct vfu *v, struct vfu_message *m, struct vfu_reply *r)
{
	struct vfio_irq_info info;
	int err = take(m, &info, sizeof(info));

	(void)v;
	if (err)
		return err;
	if (info.argsz < sizeof(info) || info.index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	info.argsz = sizeof(info);
	info.flags = 0;
	info.count = 0;
	if (info.index == VFIO_PCI_MSIX_IRQ_INDEX) {
		info.flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE;
		info.count = WEIR_NPU_IRQS;
	}
	return put(r, &info, sizeof(info));
}

/* A pipe would block where an eventfd does not. */
static bool is_eventfd(int fd)
{
	static const char want[] = "anon_inode:[eventfd]";
	char path[64], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target));
	return n == sizeof(want) - 1 && !memcmp(target, want, sizeof(want) - 1);
}

static int set_eventfds(struct vfu *v, struct vfu_message *m, const struct vfio_irq_set *s)
{
	/* Either every vector gets one or every vector loses it. */
	if (m->n_fds && m->n_fds != s->count)
		return -EINVAL;
	for (unsigned i = 0; i < m->n_fds; i++) {
		if (!is_eventfd(m->fds[i]))
			return -EINVAL;
	}
	for (uint32_t i = 0; i < s->count; i++) {
		npu_set_irq(v->npu, s->start + i, m->n_fds ? m->fds[i] : -1);
		if (m->n_fds)
			m->fds[i] = -1;
	}
	return 0;
}

static int trigger(struct vfu *v, const struct vfu_message *m, const struct vfio_irq_set *s)
{
	const uint8_t *bools = m->data + sizeof(*s);
	bool have = s->flags & VFIO_IRQ_SET_DATA_BOOL;

	if (have && m->size - sizeof(*s) < s->count)
		return -EINVAL;
	if (!have && !s->count) {
		for (unsigned i = 0; i < WEIR_NPU_IRQS; i++)
			npu_set_irq(v->npu, i, -1);
	}
	for (uint32_t i = 0; i < s->count; i++) {
		if (!have || bools[i])
			npu_raise(v->npu, s->start + i);
	}
	return 0;
}

static int on_set_irqs(struct vfu *v, struct vfu_message *m, struct vfu_reply *r)
{
	struct vfio_irq_set s;
	uint32_t action, data;
	int err = take(m, &s, sizeof(s));

	(void)r;
	if (err)
		return err;
	action = s.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
	data = s.flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
	if (s.argsz < sizeof(s) ||
		(s.flags & ~(VFIO_IRQ_SET_ACTION_TYPE_MASK | VFIO_IRQ_SET_DATA_TYPE_MASK)) ||
		__builtin_popcount(action) != 1 || __builtin_popcount(data) != 1 ||
		s.index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	if (s.index != VFIO_PCI_MSIX_IRQ_INDEX)
		return s.count ? -EINVAL : 0;
	if (s.start > WEIR_NPU_IRQS || s.count > WEIR_NPU_IRQS - s.start)
		return -EINVAL;
	if (action != VFIO_IRQ_SET_ACTION_TRIGGER)
		return -EOPNOTSUPP;
	return data == VFIO_IRQ_SET_DATA_EVENTFD ? set_eventfds(v, m, &s) : trigger(v, m, &s);
}

static int check_access(const struct vfu *v, const struct vfu_region_access *a)
{
	uint64_t size = npu_region_size(v->npu, a->region);

	if (!a->count || a->count > VFU_MAX_TRANSFER || a->offset >= size ||
		a->count > size - a->offset)
		return -EINVAL;
	return 0;
}

static int on_region_read(struct vfu *v, struct vfu_message *m, struct vfu_reply *r)
{
	struct vfu_region_access a;
	int err = take(m, &a, sizeof(a));

	if (!err)
		err = check_access(v, &a);
	if (!err)
		err = npu_region_read(v->npu, a.region, a.offset, r->data + sizeof(a), a.count);
	if (err)
		return err;
	put(r, &a, sizeof(a));
	r->size += a.count;
	return 0;
}

static int on_region_write(struct vfu *v, struct vfu_message *m, struct vfu_reply *r)
{
	struct vfu_region_access a;
	int err = take(m, &a, sizeof(a));

	if (!err)
		err = check_access(v, &a);
	if (!err && a.count > m->size - sizeof(a))
		err = -EINVAL;
	if (!err)
		err = npu_region_write(v->npu, a.region, a.offset, m->data + sizeof(a), a.count);
	return err ? err : put(r, &a, sizeof(a));
}

static int on_reset(struct vfu *v, struct vfu_message *m, struct vfu_reply *r)
{
	(void)m;
	(void)r;
	npu_log(-1, "reset by the client");
	npu_reset(v->npu);
	return 0;
}

static int dispatch(struct vfu *v, struct vfu_message *m, struct vfu_reply *r)
{
	static int (*const handlers[])(struct vfu *, struct vfu_message *, struct vfu_reply *) = {
		[VFU_VERSION] = on_version,
		[VFU_DMA_MAP] = on_dma_map,
		[VFU_DMA_UNMAP] = on_dma_unmap,
		[VFU_DEVICE_GET_INFO] = on_get_info,
		[VFU_DEVICE_GET_REGION_INFO] = on_get_region_info,
		[VFU_DEVICE_GET_IRQ_INFO] = on_get_irq_info,
		[VFU_DEVICE_SET_IRQS] = on_set_irqs,
		[VFU_REGION_READ] = on_region_read,
		[VFU_REGION_WRITE] = on_region_write,
		[VFU_DEVICE_RESET] = on_reset,
	};
	unsigned command = m->header.command;

	if (!v->negotiated && command != VFU_VERSION)
		return -EPROTO;
	if (command >= sizeof(handlers) / sizeof(*handlers) || !handlers[command])
		return -EOPNOTSUPP;
	return handlers[command](v, m, r);
}

int vfu_handle(struct vfu *v, struct vfu_message *m, struct vfu_reply *r)
{
	struct npu_counters *n = &v->npu->counters;
	int err;

	r->size = 0;
	r->fd = -1;
	n->messages++;
	err = dispatch(v, m, r);
	if (v->npu->settings->verbose)
		npu_log(-1, "message %u: %s, %zu bytes, %u fds%s%s", m->header.id,
			command_name(m->header.command), m->size, m->n_fds, err ? ": " : "",
			err ? strerror(-err) : "");
	if (!err)
		return 0;
	n->message_errors++;
	if (!v->npu->settings->verbose)
		npu_log(-1, "message %u (%s, %zu bytes, %u fds) refused: %s", m->header.id,
			command_name(m->header.command), m->size, m->n_fds, strerror(-err));
	r->size = 0;
	r->fd = -1;
	return err;
}
