/* SPDX-License-Identifier: MIT */
/* The test bench of weir-npu's worker. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/npu/rig.h"

#define PAGE WEIR_NPU_PAGE
/* Any odd number walks over all pages, none beside the one before. */
#define STRIDE 1237

uint64_t rig_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- the process --------------------------------------------------------------- */

static int make_memory(const char *name, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void *map(int fd, size_t size, uint64_t offset)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

static void send_irq(struct rig *r)
{
	struct worker_command c = {.op = WORKER_IRQ};

	r->irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ck_assert_int_ge(r->irq, 0);
	ck_assert_int_eq(rig_command(r, &c, r->irq, -1), 0);
}

void rig_start(struct rig *r, const struct worker_settings *given)
{
	struct worker_settings settings = *given;
	int ends[2];

	memset(r, 0, sizeof(*r));
#if !defined(__SANITIZE_ADDRESS__)
	settings.sandbox = true;
#endif
	r->guest = make_memory("guest", (size_t)RIG_PAGES * PAGE);
	r->bar = make_memory("bar2", RIG_QUEUES * PAGE);
	r->all = map(r->guest, (size_t)RIG_PAGES * PAGE, 0);
	r->shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(r->shared, MAP_FAILED);
	r->next_addr = 16 * PAGE;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	r->pid = fork();
	ck_assert_int_ge(r->pid, 0);
	if (r->pid == 0) {
		close(ends[0]);
		close(r->guest);
		close(r->bar);
		worker_main(ends[1], r->shared, &settings);
	}
	close(ends[1]);
	r->socket = ends[0];
	send_irq(r);
}

int rig_death(struct rig *r)
{
	int status = 0;

	if (r->pid > 0)
		ck_assert_int_eq(waitpid(r->pid, &status, 0), r->pid);
	r->pid = 0;
	return status;
}

/* Tests that want the worker's end to be its own look at rig_death() before. */
void rig_stop(struct rig *r)
{
	close(r->socket);
	rig_death(r);
	close(r->guest);
	close(r->bar);
	close(r->irq);
	munmap(r->all, (size_t)RIG_PAGES * PAGE);
	munmap(r->shared, PAGE);
	for (unsigned i = 0; i < r->n_buffers; i++)
		munmap(r->buffers[i].host, r->buffers[i].size);
	for (unsigned i = 0; i < RIG_QUEUES; i++) {
		if (r->queues[i].doorbell)
			munmap(r->queues[i].doorbell, PAGE);
	}
}

static void send_command(struct rig *r, const struct worker_command *c, int fd0, int fd1)
{
	int fds[2] = {fd0, fd1}, n = fd0 < 0 ? 0 : fd1 < 0 ? 1 : 2;
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(fds))];
	} control = {0};
	struct iovec data = {(void *)c, sizeof(*c)};
	struct msghdr m = {.msg_iov = &data, .msg_iovlen = 1};

	if (n) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, (size_t)n * sizeof(int));
	}
	ck_assert_int_eq(sendmsg(r->socket, &m, MSG_NOSIGNAL), sizeof(*c));
}

int rig_command(struct rig *r, const struct worker_command *c, int fd0, int fd1)
{
	struct pollfd p = {r->socket, POLLIN, 0};
	struct worker_reply reply;
	ssize_t n;

	send_command(r, c, fd0, fd1);
	ck_assert_int_eq(poll(&p, 1, RIG_LONG_MS), 1);
	n = recv(r->socket, &reply, sizeof(reply), 0);
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return -EPIPE;
	ck_assert_int_eq(n, sizeof(reply));
	ck_assert_uint_eq(reply.op, c->op);
	return reply.err;
}

int rig_simple(struct rig *r, enum worker_op op, uint32_t queue)
{
	struct worker_command c = {.op = op, .queue = queue};

	return rig_command(r, &c, -1, -1);
}

void rig_kick(struct rig *r)
{
	struct worker_command c = {.op = WORKER_KICK};

	send_command(r, &c, -1, -1);
}

/* ---- memory ---------------------------------------------------------------------- */

static uint64_t take_page(struct rig *r)
{
	ck_assert_uint_lt(r->next_page, RIG_PAGES);
	return (uint64_t)(r->next_page++ * STRIDE % RIG_PAGES) * PAGE;
}

struct rig_buffer rig_alloc(struct rig *r, uint64_t size, int prot)
{
	struct worker_command c = {.op = WORKER_MAP, .size = PAGE, .prot = (uint32_t)prot};
	struct rig_buffer b = {.addr = r->next_addr, .size = (size + PAGE - 1) / PAGE * PAGE};
	void *at;

	b.host = mmap(NULL, b.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(b.host, MAP_FAILED);
	for (uint64_t done = 0; done < b.size; done += PAGE) {
		c.addr = b.addr + done;
		c.offset = take_page(r);
		at = mmap(b.host + done, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			r->guest, (off_t)c.offset);
		ck_assert_ptr_ne(at, MAP_FAILED);
		ck_assert_int_eq(rig_command(r, &c, r->guest, -1), 0);
	}
	/* A page that is nobody's between any two. */
	r->next_addr += b.size + PAGE;
	ck_assert_uint_lt(r->n_buffers, RIG_BUFFERS);
	r->buffers[r->n_buffers++] = b;
	return b;
}

int rig_unmap(struct rig *r, uint64_t addr, uint64_t size)
{
	struct worker_command c = {.op = WORKER_UNMAP, .addr = addr, .size = size};

	return rig_command(r, &c, -1, -1);
}

/* ---- queues ---------------------------------------------------------------------- */

struct rig_queue *rig_queue(
	struct rig *r, unsigned i, uint32_t queue_class, uint32_t priority, uint64_t start)
{
	struct rig_queue *q = &r->queues[i];
	struct worker_command c = {.op = WORKER_QUEUE,
		.queue = i,
		.order = RIG_RING_ORDER,
		.queue_class = queue_class,
		.priority = priority,
		.start = start,
		.doorbell_offset = i * PAGE};

	q->ring = rig_alloc(r, RIG_RING * WEIR_NPU_PACKET_SIZE, PROT_READ | PROT_WRITE);
	c.addr = q->ring.addr;
	c.status_offset = take_page(r);
	c.control_offset = take_page(r) + 3 * sizeof(struct weir_npu_control);
	q->status = (void *)(r->all + c.status_offset);
	q->control = (void *)(r->all + c.control_offset);
	q->doorbell = map(r->bar, PAGE, c.doorbell_offset);
	q->doorbell->published = start;
	q->written = start;
	ck_assert_int_eq(rig_command(r, &c, r->guest, r->bar), 0);
	return q;
}

static bool queue_ok(const struct rig_queue *q)
{
	return __atomic_load_n(&q->status->state, __ATOMIC_ACQUIRE) == WEIR_NPU_QUEUE_OK;
}

static bool reached(const __u64 *counter, uint64_t value)
{
	return __atomic_load_n(counter, __ATOMIC_ACQUIRE) >= value;
}

/* Two cores for the device's threads, and this one. */
static void rest(unsigned *times)
{
	struct timespec t = {0, 50000};

	if (++*times > 200)
		nanosleep(&t, NULL);
}

static bool worker_lives(const struct rig *r)
{
	siginfo_t info = {0};

	return r->pid > 0 && waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == 0;
}

static bool wait_counter(
	const struct rig *r, struct rig_queue *q, const __u64 *counter, uint64_t value, unsigned ms)
{
	uint64_t end = rig_now() + (uint64_t)ms * 1000000;
	unsigned times = 0;

	while (!reached(counter, value)) {
		if (!queue_ok(q))
			return reached(counter, value);
		if (rig_now() > end || (times % 256 == 255 && !worker_lives(r)))
			return reached(counter, value);
		rest(&times);
	}
	return true;
}

void rig_publish(struct rig *r, struct rig_queue *q)
{
	__atomic_store_n(&q->doorbell->published, q->written, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&q->status->need_kick, __ATOMIC_RELAXED))
		rig_kick(r);
}

void rig_push(struct rig *r, struct rig_queue *q, const struct weir_npu_packet *p)
{
	if (q->written >= RIG_RING && !reached(&q->status->read_index, q->written - RIG_RING + 1)) {
		rig_publish(r, q);
		if (!wait_counter(
			    r, q, &q->status->read_index, q->written - RIG_RING + 1, RIG_LONG_MS))
			return;
	}
	memcpy(q->ring.host + q->written++ % RIG_RING * sizeof(*p), p, sizeof(*p));
}

bool rig_wait(struct rig *r, struct rig_queue *q, uint64_t seq, unsigned ms)
{
	return wait_counter(r, q, &q->status->completed, seq, ms);
}

bool rig_do(struct rig *r, struct rig_queue *q, const struct weir_npu_packet *p)
{
	rig_push(r, q, p);
	rig_publish(r, q);
	return rig_wait(r, q, q->written, RIG_LONG_MS);
}

int rig_fault(struct rig *r, struct rig_queue *q)
{
	uint64_t end = rig_now() + (uint64_t)RIG_LONG_MS * 1000000;
	unsigned times = 0;

	(void)r;
	while (queue_ok(q)) {
		if (rig_now() > end)
			return 0;
		rest(&times);
	}
	ck_assert_uint_eq(q->status->state, WEIR_NPU_QUEUE_GUILTY);
	return (int)q->status->code;
}

uint64_t rig_interrupts(struct rig *r, int ms)
{
	struct pollfd p = {r->irq, POLLIN, 0};
	uint64_t n = 0;

	if (poll(&p, 1, ms) == 1)
		ck_assert_int_eq(read(r->irq, &n, sizeof(n)), sizeof(n));
	return n;
}

/* ---- packets ----------------------------------------------------------------------- */

static struct weir_npu_packet packet(uint8_t type, const void *body, size_t size)
{
	struct weir_npu_packet p = {.type = type};

	if (size)
		memcpy(p.body, body, size);
	return p;
}

struct weir_npu_packet packet_nop(void)
{
	return packet(WEIR_NPU_PACKET_NOP, NULL, 0);
}

struct weir_npu_packet packet_copy(uint64_t to, uint64_t from, uint64_t size)
{
	struct weir_npu_copy c = {to, from, size};

	return packet(WEIR_NPU_PACKET_COPY, &c, sizeof(c));
}

struct weir_npu_packet packet_fill(uint64_t to, uint64_t size, uint32_t pattern)
{
	struct weir_npu_fill f = {to, size, pattern, 0};

	return packet(WEIR_NPU_PACKET_FILL, &f, sizeof(f));
}

struct weir_npu_packet packet_signal(uint64_t addr, uint64_t value)
{
	struct weir_npu_signal s = {addr, value};

	return packet(WEIR_NPU_PACKET_SIGNAL, &s, sizeof(s));
}

struct weir_npu_packet packet_wait(uint64_t addr, uint64_t value)
{
	struct weir_npu_signal s = {addr, value};

	return packet(WEIR_NPU_PACKET_WAIT, &s, sizeof(s));
}

struct weir_npu_packet packet_unload(uint32_t program)
{
	struct weir_npu_unload u = {program, 0};

	return packet(WEIR_NPU_PACKET_UNLOAD, &u, sizeof(u));
}

struct weir_npu_packet packet_launch(uint32_t program, uint32_t kernel, uint32_t groups,
	uint32_t local, uint64_t args, uint32_t n)
{
	struct weir_npu_launch l = {program, kernel, {groups, 1, 1}, {local, 1, 1}, n, 0, args};

	return packet(WEIR_NPU_PACKET_LAUNCH, &l, sizeof(l));
}

struct weir_npu_arg arg_buffer(uint64_t addr)
{
	return (struct weir_npu_arg){WEIR_NPU_ARG_BUFFER, 0, addr};
}

struct weir_npu_arg arg_int(int32_t value)
{
	return (struct weir_npu_arg){WEIR_NPU_ARG_VALUE, 4, (uint32_t)value};
}

struct weir_npu_arg arg_local(uint64_t size)
{
	return (struct weir_npu_arg){WEIR_NPU_ARG_LOCAL, 0, size};
}

struct weir_npu_report *rig_load(struct rig *r, struct rig_queue *q, uint32_t program,
	const char *source, const char *options)
{
	uint32_t length = (uint32_t)strlen(source), extra = (uint32_t)strlen(options);
	struct rig_buffer text = rig_alloc(r, length + extra, PROT_READ);
	struct rig_buffer out = rig_alloc(r, 4 * PAGE, PROT_READ | PROT_WRITE);
	struct weir_npu_load l = {program, WEIR_NPU_FORMAT_OPENCL_C, text.addr, length,
		text.addr + length, extra, 4 * PAGE, out.addr};
	struct weir_npu_packet p = packet(WEIR_NPU_PACKET_LOAD, &l, sizeof(l));
	struct weir_npu_report *report = malloc(4 * PAGE);

	memcpy(text.host, source, length);
	memcpy(text.host + length, options, extra);
	ck_assert(rig_do(r, q, &p));
	ck_assert_ptr_nonnull(report);
	memcpy(report, out.host, 4 * PAGE);
	return report;
}
