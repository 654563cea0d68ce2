/* SPDX-License-Identifier: MIT */
/*
 * weir-npu's main process under any messages and any guest memory: vfio-user messages one by one or
 * as a stream of bytes, and admin commands with their tables. Workers are stood in for by what
 * checks the commands that they would get and answers as the input says. Input: flags, a count, so
 * many bytes of guest memory, then messages.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/weir-npu/client.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY (256u << 10)
#define BUS 0x10000u
#define MAX_RANGES 512

static const struct npu_settings settings = {.contexts = 4, .queues = 6};
static int guest = -1, event = -1, readonly = -1;
/* What decides how workers answer. */
static const uint8_t *choices;
static size_t n_choices;

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

/* ---- in place of log.c and process.c --------------------------------------------------------- */

void npu_log(int ctx, const char *format, ...)
{
	char line[512];
	va_list ap;

	(void)ctx;
	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
}

int64_t clock_ms(void)
{
	return 0;
}

/* A worker's address space, and its page, which it may write as it likes. */
struct fake {
	struct process p;
	struct worker_shared shared;
	struct {
		uint64_t from, to;
	} ranges[MAX_RANGES];
	unsigned n;
	bool full;
};

static unsigned choose(unsigned n)
{
	if (!n_choices)
		return 0;
	n_choices--;
	return *choices++ % n;
}

struct process *process_start(unsigned ctx, const struct worker_settings *s, int irq_fd)
{
	struct fake *f = choose(16) == 15 ? NULL : calloc(1, sizeof(*f));

	(void)s;
	if (!f)
		return NULL;
	f->p.ctx = ctx;
	f->p.socket = -1;
	f->p.irq_fd = irq_fd;
	f->p.irq = true;
	f->p.deadline = INT64_MAX;
	f->p.shared = &f->shared;
	f->shared.executing = (int)choose(8) - 1;
	return &f->p;
}

void process_end(struct process *p, struct worker_shared *last)
{
	if (!p)
		return;
	*last = *p->shared;
	free(p->items);
	free(p);
}

void process_begin(struct process *p)
{
	p->error = 0;
}

void process_kick(struct process *p)
{
	p->kick = true;
}

void process_set_irq(struct process *p, int fd)
{
	p->irq_fd = fd;
	p->irq = true;
}

static void check_file(int fd, uint64_t offset, uint64_t size)
{
	off_t end = lseek(fd, 0, SEEK_END);

	CHECK(end >= 0 && offset <= (uint64_t)end && size <= (uint64_t)end - offset);
}

static void map(struct fake *f, const struct worker_command *c, int fd)
{
	const uint64_t end = 1ull << WORKER_ADDR_BITS;

	CHECK(c->size && (c->addr | c->size | c->offset) % WEIR_NPU_PAGE == 0 && c->addr < end &&
		c->size <= end - c->addr);
	CHECK(c->prot && !(c->prot & ~(uint32_t)(PROT_READ | PROT_WRITE)));
	check_file(fd, c->offset, c->size);
	for (unsigned i = 0; i < f->n; i++)
		CHECK(c->addr >= f->ranges[i].to || c->addr + c->size <= f->ranges[i].from);
	f->full = f->full || f->n == MAX_RANGES;
	if (f->full)
		return;
	f->ranges[f->n].from = c->addr;
	f->ranges[f->n++].to = c->addr + c->size;
}

static void unmap(struct fake *f, const struct worker_command *c)
{
	for (unsigned i = 0; i < f->n;) {
		if (f->ranges[i].from < c->addr || f->ranges[i].to > c->addr + c->size)
			i++;
		else
			f->ranges[i] = f->ranges[--f->n];
	}
}

static void queue(const struct worker_command *c, const int *fds)
{
	CHECK(c->order >= 6 && c->order <= 14 && c->addr % 64 == 0 && c->queue < settings.queues &&
		c->priority <= 2);
	CHECK(c->status_offset % WEIR_NPU_PAGE == 0 && c->control_offset % 64 == 0);
	check_file(fds[0], c->status_offset, WEIR_NPU_PAGE);
	check_file(fds[0], c->control_offset, 64);
	check_file(fds[1], c->doorbell_offset, WEIR_NPU_PAGE);
}

int process_post(struct process *p, const struct worker_command *c, int fd0, int fd1)
{
	if (choose(32) == 31)
		return -ENOMEM;
	if (p->count == p->capacity) {
		p->capacity = p->capacity * 2 + 4;
		p->items = realloc(p->items, p->capacity * sizeof(*p->items));
		CHECK(p->items);
	}
	p->items[p->count++] = (struct process_item){.command = *c, .fds = {fd0, fd1}};
	return 0;
}

int process_serve(struct process *p, int64_t now)
{
	struct fake *f = (struct fake *)p;
	unsigned what = choose(8);

	(void)now;
	if (what == 7)
		return -EPIPE;
	if (p->irq) {
		CHECK(p->irq_fd < 0 || fcntl(p->irq_fd, F_GETFD) >= 0);
		p->irq = false;
		p->irq_changed = true;
	}
	p->kick = false;
	/* Sends all, or leaves some for the next turn. */
	while (p->first < p->count && (what != 6 || choose(2))) {
		const struct process_item *item = &p->items[p->first++];

		if (item->command.op == WORKER_MAP)
			map(f, &item->command, item->fds[0]);
		else if (item->command.op == WORKER_UNMAP)
			unmap(f, &item->command);
		else if (item->command.op == WORKER_QUEUE)
			queue(&item->command, item->fds);
		if (choose(16) == 15 && !p->error)
			p->error = -ENOMEM;
	}
	if (p->first == p->count)
		p->first = p->count = 0;
	return 0;
}

bool process_busy(const struct process *p)
{
	return p->irq || p->first < p->count;
}

bool process_pausing(const struct process *p)
{
	return p->first < p->count && p->items[p->count - 1].command.op == WORKER_PAUSE;
}

int process_wait(struct process *p, int limit_ms)
{
	int err;

	(void)limit_ms;
	for (int i = 0; i < 8; i++) {
		err = process_serve(p, 0);
		if (err || !process_busy(p))
			return err;
	}
	return -ETIMEDOUT;
}

/* ---- messages -------------------------------------------------------------------------------- */

static int message(
	struct vfu *v, unsigned command, const void *data, size_t n, unsigned kind, unsigned n_fds)
{
	static struct vfu_reply reply;
	struct vfu_message m = {.header = {.command = (uint16_t)command}, .data = data, .size = n};
	int err;

	for (; m.n_fds < n_fds; m.n_fds++)
		m.fds[m.n_fds] = fcntl(kind == 0   ? guest
				       : kind == 1 ? event
						   : readonly,
			F_DUPFD_CLOEXEC, 3);
	err = vfu_handle(v, &m, &reply);
	CHECK(err <= 0 && err > -4096 && reply.size <= sizeof(reply.data));
	CHECK(!err || (!reply.size && reply.fd < 0));
	for (unsigned i = 0; i < m.n_fds; i++) {
		if (m.fds[i] >= 0)
			close(m.fds[i]);
	}
	return err;
}

static void write_register(struct vfu *v, uint32_t region, uint64_t offset, uint32_t value)
{
	struct {
		struct vfu_region_access a;
		uint32_t value;
	} m = {{offset, region, sizeof(value)}, value};

	CHECK(!message(v, VFU_REGION_WRITE, &m, sizeof(m.a) + sizeof(value), 0, 0));
}

/* A driver that brought the device up: what follows reaches admin commands at once. */
static void boot(struct vfu *v, unsigned tail)
{
	struct vfu_dma_map low = {sizeof(low), 3, 0, BUS, MEMORY / 2};
	struct vfu_dma_map high = {sizeof(high), 3, MEMORY / 2, BUS + MEMORY, MEMORY / 2};
	uint32_t version = 0;

	CHECK(!message(v, VFU_VERSION, &version, sizeof(version), 0, 0));
	CHECK(!message(v, VFU_DMA_MAP, &low, sizeof(low), 0, 1));
	CHECK(!message(v, VFU_DMA_MAP, &high, sizeof(high), 0, 1));
	write_register(v, NPU_REGION_CONFIG, PCI_COMMAND, PCI_COMMAND_MASTER);
	write_register(v, NPU_REGION_BAR0, WEIR_NPU_REG_ADMIN_LO, BUS);
	write_register(v, NPU_REGION_BAR0, WEIR_NPU_REG_ADMIN_SIZE, 64);
	write_register(v, NPU_REGION_BAR0, WEIR_NPU_REG_CONTROL, WEIR_NPU_CONTROL_RUN);
	write_register(v, NPU_REGION_BAR0, WEIR_NPU_REG_ADMIN_TAIL, tail);
}

/* Command, fds, length, bytes; workers get their turn after each. */
static void one_by_one(struct vfu *v, const uint8_t *data, size_t size)
{
	while (size >= 3) {
		size_t n = data[2] < size - 3 ? data[2] : size - 3;
		uint8_t *own = malloc(n ? n : 1);

		CHECK(own);
		memcpy(own, data + 3, n);
		message(v, data[0], own, n, data[1] % 3, data[1] / 3 % (VFU_MAX_FDS + 1));
		free(own);
		npu_serve(v->npu);
		data += 3 + n;
		size -= 3 + n;
	}
}

/* Bytes through a socket, in pieces. */
static void as_stream(struct npu *npu, const uint8_t *data, size_t size, size_t piece)
{
	static struct client c;
	int pair[2], err = 0;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	client_init(&c, npu, pair[0]);
	while (size && !err) {
		size_t n = size < piece ? size : piece;
		ssize_t sent = send(pair[1], data, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent <= 0)
			break;
		data += sent;
		size -= (size_t)sent;
		err = client_serve(&c, 64);
		npu_serve(npu);
		/* The client reads its replies. */
		while (recv(pair[1], (uint8_t[4096]){0}, 4096, MSG_DONTWAIT) > 0)
			continue;
	}
	client_fini(&c);
	close(pair[1]);
}

/* ---- the target ------------------------------------------------------------------------------ */

static void seed(const char *folder, const char *name, const void *data, size_t size)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "wb");
	if (!f || fwrite(data, 1, size, f) != size)
		fprintf(stderr, "cannot write %s\n", path);
	if (f)
		fclose(f);
}

/* A driver's life: context, table update, queue, destroy, all of it right. */
static void seed_life(const char *folder)
{
	static struct {
		uint8_t flags, tail;
		uint16_t memory;
		struct weir_npu_admin ring[64];
		struct weir_npu_entry table[4];
		struct weir_npu_segment segments[2];
		uint8_t messages[6];
	} s;
	uint64_t table = BUS + sizeof(s.ring), segments = table + sizeof(s.table);

	s.flags = 1;
	s.tail = 6;
	s.memory = (uint16_t)(sizeof(s.ring) + sizeof(s.table) + sizeof(s.segments));
	s.ring[0] = (struct weir_npu_admin){
		.op = WEIR_NPU_ADMIN_CTX_CREATE, .addr = table, .count = 4, .ctx = 1};
	s.ring[1] = (struct weir_npu_admin){.op = WEIR_NPU_ADMIN_QUEUE_CREATE,
		.order = 6,
		.ctx = 1,
		.queue = 2,
		.addr = 0x100000,
		.status = BUS + 0x3000,
		.control = BUS + 0x4040};
	s.ring[2] = (struct weir_npu_admin){
		.op = WEIR_NPU_ADMIN_CTX_UPDATE, .ctx = 1, .first = 1, .count = 2};
	s.ring[3] = (struct weir_npu_admin){.op = WEIR_NPU_ADMIN_QUEUE_RESET, .queue = 2};
	s.ring[4] = (struct weir_npu_admin){.op = WEIR_NPU_ADMIN_QUEUE_DESTROY, .queue = 2};
	s.ring[5] = (struct weir_npu_admin){.op = WEIR_NPU_ADMIN_CTX_DESTROY, .ctx = 1};
	s.table[0] = (struct weir_npu_entry){0x100000, 0x3000, segments, 2, 7};
	s.table[2] = (struct weir_npu_entry){0x200000, 0x1000, segments + 16, 1, 3};
	s.segments[0] = (struct weir_npu_segment){BUS + 0x8000, 0x2000};
	s.segments[1] = (struct weir_npu_segment){BUS + 0x6000, 0x1000};
	seed(folder, "life", &s, sizeof(s));
	s.flags = 0x81;
	seed(folder, "life-odd", &s, sizeof(s));
}

static void seed_messages(const char *folder)
{
	static const struct {
		uint8_t command;
		uint8_t size;
	} all[] = {{VFU_VERSION, 4}, {VFU_DMA_MAP, 32}, {VFU_DMA_UNMAP, 24},
		{VFU_DEVICE_GET_INFO, 16}, {VFU_DEVICE_GET_REGION_INFO, 32},
		{VFU_DEVICE_GET_IRQ_INFO, 16}, {VFU_DEVICE_SET_IRQS, 20}, {VFU_REGION_READ, 16},
		{VFU_REGION_WRITE, 20}, {VFU_DEVICE_RESET, 0}};
	uint8_t data[512] = {0};
	size_t n = 4;

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		data[n] = all[i].command;
		data[n + 1] = 3;
		data[n + 2] = all[i].size;
		if (all[i].size)
			data[n + 3] = all[i].size;
		n += 3 + all[i].size;
	}
	seed(folder, "messages", data, n);
	memset(data, 0, sizeof(data));
	data[0] = 2;
	n = 4;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct vfu_header h = {
			.command = all[i].command, .size = (uint32_t)(sizeof(h) + all[i].size)};

		memcpy(data + n, &h, sizeof(h));
		n += h.size;
	}
	seed(folder, "stream", data, n);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *folder = getenv("WEIR_FUZZ_SEEDS");
	char path[64];

	(void)argc;
	(void)argv;
	guest = memfd_create("guest", MFD_CLOEXEC);
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(guest >= 0 && event >= 0 && !ftruncate(guest, MEMORY));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", guest);
	readonly = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(readonly >= 0);
	if (folder) {
		seed_life(folder);
		seed_messages(folder);
	}
	return 0;
}

static void drive(struct npu *npu, unsigned flags, unsigned tail, const uint8_t *data, size_t size)
{
	struct vfu v = {.npu = npu};

	if (flags & 1)
		boot(&v, tail);
	for (unsigned i = 0; i < 96; i++)
		npu_serve(npu);
	if (flags & 2)
		as_stream(npu, data, size, 1 + flags / 4);
	else
		one_by_one(&v, data, size);
	npu_serve(npu);
	CHECK(npu_deadline(npu) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t head[4];
	uint16_t n;
	struct npu npu;

	if (size < sizeof(head))
		return 0;
	memcpy(head, data, sizeof(head));
	memcpy(&n, head + 2, sizeof(n));
	data += sizeof(head);
	size -= sizeof(head);
	n = n < size ? n : (uint16_t)size;
	CHECK(!ftruncate(guest, 0) && !ftruncate(guest, MEMORY));
	CHECK(pwrite(guest, data, n, 0) == n);
	/* Workers that answer well, or by the end of the input. */
	choices = data + size / 2;
	n_choices = head[0] & 0x80 ? size - size / 2 : 0;
	CHECK(!npu_init(&npu, &settings));
	drive(&npu, head[0] & 0x7f, head[1], data + n, size - n);
	context_forget_all(&npu);
	for (size_t i = 0; i < npu.memory.count; i++)
		CHECK(!memory_at(&npu.memory, i)->uses);
	npu_fini(&npu);
	return 0;
}
