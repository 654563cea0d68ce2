/* SPDX-License-Identifier: MIT */
/* The driver's half: admin commands, contexts of scattered pages, queues. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tools/weir-npu/vfio_user.h"
#include "vfio_client.h"

#define HALF_PAGES (VC_HALF / VC_PAGE)
#define QUICK_MS 20000

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "vfio driver: %s\n", what);
	abort();
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void give_memory(struct vc *c)
{
	const uint32_t both = VFU_DMA_READABLE | VFU_DMA_WRITABLE;

	c->memory_fd = memfd_create("guest", MFD_CLOEXEC);
	need(c->memory_fd >= 0 && !ftruncate(c->memory_fd, VC_MEMORY), "memfd");
	c->memory = mmap(NULL, VC_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, c->memory_fd, 0);
	need(c->memory != MAP_FAILED, "mmap");
	c->used = c->scattered = 0;
	need(!vc_map(c, VC_LOW, VC_HALF, 0, c->memory_fd, both) &&
			!vc_map(c, VC_HIGH, VC_HALF, VC_HALF, c->memory_fd, both),
		"DMA_MAP");
}

void *vc_at(struct vc *c, uint64_t bus)
{
	if (bus >= VC_LOW && bus < VC_LOW + VC_HALF)
		return c->memory + (bus - VC_LOW);
	need(bus >= VC_HIGH && bus < VC_HIGH + VC_HALF, "bus address of no memory");
	return c->memory + VC_HALF + (bus - VC_HIGH);
}

uint64_t vc_pages(struct vc *c, unsigned n)
{
	uint64_t bus = VC_LOW + c->used * VC_PAGE;

	c->used += n;
	need(c->used <= HALF_PAGES, "memory for pages");
	memset(vc_at(c, bus), 0, (size_t)n * VC_PAGE);
	return bus;
}

/*
 * Every page of the upper half once, neighbours far from each other: 4099 is odd, so it walks a
 * power of two whole.
 */
static uint64_t scattered_page(struct vc *c)
{
	uint64_t n = c->scattered++;

	need(n < HALF_PAGES, "memory for buffers");
	return VC_HIGH + n * 4099 % HALF_PAGES * VC_PAGE;
}

/* ---- device ---------------------------------------------------------------------------------- */

static void map_doorbells(struct vc *c)
{
	struct vfio_region_info info = {.argsz = sizeof(info), .index = NPU_REGION_BAR2};
	size_t size = sizeof(info);
	int fd = -1;

	need(!vc_call(c, VFU_DEVICE_GET_REGION_INFO, &info, sizeof(info), NULL, 0, &info, &size,
		     &fd) &&
			fd >= 0 && (info.flags & VFIO_REGION_INFO_FLAG_MMAP),
		"BAR2's region");
	c->doorbells_size = info.size;
	c->doorbells = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	need(c->doorbells != MAP_FAILED, "mmap of doorbells");
	close(fd);
}

void vc_run(struct vc *c)
{
	c->admin_tail = 0;
	vc_set_reg(c, WEIR_NPU_REG_ADMIN_LO, (uint32_t)c->admin);
	vc_set_reg(c, WEIR_NPU_REG_ADMIN_HI, (uint32_t)(c->admin >> 32));
	vc_set_reg(c, WEIR_NPU_REG_ADMIN_SIZE, c->admin_size);
	vc_set_reg(c, WEIR_NPU_REG_CONTROL, WEIR_NPU_CONTROL_RUN);
}

void vc_boot(struct vc *c)
{
	uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

	vc_connect(c);
	need(!vc_version(c, 0, "{\"capabilities\":{\"max_msg_fds\":8}}"), "version");
	give_memory(c);
	map_doorbells(c);
	for (unsigned i = 0; i < WEIR_NPU_IRQS; i++)
		c->irq[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	need(!vc_set_irqs(c, VFIO_PCI_MSIX_IRQ_INDEX,
		     VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 0, WEIR_NPU_IRQS,
		     c->irq, WEIR_NPU_IRQS),
		"eventfds");
	need(!vc_write(c, NPU_REGION_CONFIG, PCI_COMMAND, &command, sizeof(command)),
		"bus mastering");
	c->admin = vc_pages(c, 1);
	c->admin_size = 8;
	c->admin_irqs = 0;
	vc_run(c);
}

int vc_admin(struct vc *c, const struct weir_npu_admin *command, int ms)
{
	struct weir_npu_admin *slot =
		(struct weir_npu_admin *)vc_at(c, c->admin) + c->admin_tail % c->admin_size;
	int64_t end = now_ms() + ms;

	*slot = *command;
	slot->done = 0;
	slot->result = ~0u;
	vc_set_reg(c, WEIR_NPU_REG_ADMIN_TAIL, ++c->admin_tail);
	while (!__atomic_load_n(&slot->done, __ATOMIC_ACQUIRE)) {
		if (now_ms() > end)
			return -ETIMEDOUT;
		c->admin_irqs += vc_irq(c, WEIR_NPU_IRQ_ADMIN, 20);
	}
	return (int)slot->result;
}

/* ---- contexts -------------------------------------------------------------------------------- */

int vc_context(struct vc_context *x, struct vc *c, uint32_t id)
{
	struct weir_npu_admin a = {.op = WEIR_NPU_ADMIN_CTX_CREATE, .ctx = id, .count = VC_ENTRIES};

	*x = (struct vc_context){.c = c, .id = id, .table = vc_pages(c, 1), .next = VC_BASE};
	a.addr = x->table;
	return vc_admin(c, &a, QUICK_MS);
}

int vc_context_destroy(struct vc_context *x)
{
	struct weir_npu_admin a = {.op = WEIR_NPU_ADMIN_CTX_DESTROY, .ctx = x->id};

	return vc_admin(x->c, &a, QUICK_MS);
}

static struct weir_npu_entry *entry_of(struct vc_context *x, unsigned i)
{
	return (struct weir_npu_entry *)vc_at(x->c, x->table) + i;
}

int vc_rebind(struct vc_context *x, const struct vc_buffer *b, uint32_t flags)
{
	struct weir_npu_admin a = {
		.op = WEIR_NPU_ADMIN_CTX_UPDATE, .ctx = x->id, .first = b->entry, .count = 1};

	*entry_of(x, b->entry) = (struct weir_npu_entry){.addr = b->addr,
		.size = b->size,
		.segments = b->segments,
		.count = b->n_segments,
		.flags = flags};
	return vc_admin(x->c, &a, QUICK_MS);
}

struct vc_buffer vc_buffer(struct vc_context *x, uint64_t size, uint32_t flags)
{
	struct vc_buffer b = {.addr = x->next,
		.size = (size + VC_PAGE - 1) / VC_PAGE * VC_PAGE,
		.entry = x->n_entries++};
	struct weir_npu_segment *s;

	need(b.entry < VC_ENTRIES, "entries of the context");
	b.n_segments = (unsigned)(b.size / VC_PAGE);
	b.segments = vc_pages(x->c, (unsigned)(b.n_segments * sizeof(*s) + VC_PAGE - 1) / VC_PAGE);
	s = vc_at(x->c, b.segments);
	for (unsigned i = 0; i < b.n_segments; i++)
		s[i] = (struct weir_npu_segment){.addr = scattered_page(x->c), .size = VC_PAGE};
	/* A gap that is no buffer's follows each. */
	x->next += b.size + 16 * VC_PAGE;
	need(!vc_rebind(x, &b, flags | WEIR_NPU_ENTRY_VALID), "CTX_UPDATE");
	return b;
}

void *vc_byte(struct vc_context *x, const struct vc_buffer *b, uint64_t offset)
{
	const struct weir_npu_segment *s = vc_at(x->c, b->segments);

	need(offset < b->size, "a byte past the buffer");
	return (uint8_t *)vc_at(x->c, s[offset / VC_PAGE].addr) + offset % VC_PAGE;
}

static void copy(struct vc_context *x, const struct vc_buffer *b, uint64_t offset, uint8_t *data,
	uint64_t n, bool put)
{
	while (n) {
		uint64_t part = VC_PAGE - offset % VC_PAGE < n ? VC_PAGE - offset % VC_PAGE : n;
		void *at = vc_byte(x, b, offset);

		if (put)
			memcpy(at, data, part);
		else
			memcpy(data, at, part);
		offset += part;
		data += part;
		n -= part;
	}
}

void vc_put(struct vc_context *x, const struct vc_buffer *b, uint64_t offset, const void *data,
	uint64_t n)
{
	copy(x, b, offset, (uint8_t *)data, n, true);
}

void vc_get(
	struct vc_context *x, const struct vc_buffer *b, uint64_t offset, void *data, uint64_t n)
{
	copy(x, b, offset, data, n, false);
}

/* ---- queues ---------------------------------------------------------------------------------- */

int vc_queue(
	struct vc_queue *q, struct vc_context *x, uint32_t id, unsigned order, unsigned queue_class)
{
	struct weir_npu_admin a = {.op = WEIR_NPU_ADMIN_QUEUE_CREATE,
		.order = (uint16_t)order,
		.queue = id,
		.ctx = x->id,
		.queue_class = (uint8_t)queue_class,
		.priority = 1};

	*q = (struct vc_queue){.x = x, .id = id, .order = order};
	q->ring = vc_buffer(x, (uint64_t)WEIR_NPU_PACKET_SIZE << order, WEIR_NPU_ENTRY_READ);
	q->status_bus = vc_pages(x->c, 1);
	q->control_bus = vc_pages(x->c, 1);
	q->status = vc_at(x->c, q->status_bus);
	q->control = vc_at(x->c, q->control_bus);
	a.addr = q->ring.addr;
	a.status = q->status_bus;
	a.control = q->control_bus;
	return vc_admin(x->c, &a, QUICK_MS);
}

static int queue_command(struct vc_queue *q, unsigned op)
{
	struct weir_npu_admin a = {.op = (uint16_t)op, .queue = q->id, .ctx = q->x->id};

	return vc_admin(q->x->c, &a, QUICK_MS);
}

int vc_queue_destroy(struct vc_queue *q)
{
	return queue_command(q, WEIR_NPU_ADMIN_QUEUE_DESTROY);
}

int vc_queue_reset(struct vc_queue *q)
{
	return queue_command(q, WEIR_NPU_ADMIN_QUEUE_RESET);
}

void vc_packet(struct vc_queue *q, unsigned type, unsigned flags, uint64_t stamp, const void *body,
	size_t n)
{
	struct weir_npu_packet p = {.type = (uint8_t)type, .flags = (uint8_t)flags, .stamp = stamp};
	uint64_t slot = q->published++ & ((1ull << q->order) - 1);

	need(n <= sizeof(p.body), "a packet's body");
	if (n)
		memcpy(p.body, body, n);
	vc_put(q->x, &q->ring, slot * sizeof(p), &p, sizeof(p));
}

void vc_publish(struct vc_queue *q)
{
	struct vc *c = q->x->c;

	__atomic_store_n((uint64_t *)(c->doorbells + (uint64_t)q->id * NPU_STRIDE), q->published,
		__ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (q->status->need_kick)
		vc_set_reg(c, WEIR_NPU_REG_KICK, q->id);
}

int vc_finish(struct vc_queue *q, int ms)
{
	int64_t end = now_ms() + ms;

	vc_publish(q);
	while (__atomic_load_n(&q->status->completed, __ATOMIC_ACQUIRE) < q->published) {
		if (__atomic_load_n(&q->status->state, __ATOMIC_ACQUIRE) != WEIR_NPU_QUEUE_OK)
			return -EIO;
		if (now_ms() > end)
			return -ETIMEDOUT;
		usleep(200);
	}
	return 0;
}

int vc_load(struct vc_queue *q, uint32_t program, const char *source, struct vc_buffer *report)
{
	struct vc_buffer code = vc_buffer(q->x, strlen(source), WEIR_NPU_ENTRY_READ);
	struct weir_npu_load l = {.program = program,
		.format = WEIR_NPU_FORMAT_OPENCL_C,
		.code = code.addr,
		.code_size = strlen(source),
		.report_size = 2 * VC_PAGE};
	struct weir_npu_report r;
	char log[2 * VC_PAGE + 1] = "";
	int err;

	*report = vc_buffer(q->x, 2 * VC_PAGE, WEIR_NPU_ENTRY_READ | WEIR_NPU_ENTRY_WRITE);
	l.report = report->addr;
	vc_put(q->x, &code, 0, source, strlen(source));
	vc_packet(q, WEIR_NPU_PACKET_LOAD, 0, 0, &l, sizeof(l));
	err = vc_finish(q, 120000);
	if (err)
		return err;
	vc_get(q->x, report, 0, &r, sizeof(r));
	if (r.result && r.log_size < sizeof(log) - sizeof(r)) {
		vc_get(q->x, report, sizeof(r), log, r.log_size);
		printf("program %u: %s\n", program, log);
	}
	return (int)r.result;
}

void vc_launch(struct vc_queue *q, uint32_t program, uint32_t kernel, uint32_t groups,
	uint32_t local, const struct weir_npu_arg *args, unsigned n)
{
	struct vc_buffer block = vc_buffer(q->x, n * sizeof(*args), WEIR_NPU_ENTRY_READ);
	struct weir_npu_launch l = {.program = program,
		.kernel = kernel,
		.groups = {groups, 1, 1},
		.local = {local, 1, 1},
		.n_args = n,
		.args = block.addr};

	vc_put(q->x, &block, 0, args, n * sizeof(*args));
	vc_packet(q, WEIR_NPU_PACKET_LAUNCH, 0, 0, &l, sizeof(l));
}
