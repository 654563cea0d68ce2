/* SPDX-License-Identifier: MIT */
/*
 * The process of one context: sets itself up, then answers what the main process asks while
 * another thread executes.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "queue.h"
#include "sandbox.h"

/* ---- queues ------------------------------------------------------------------ */

static void *map_page(int fd, uint64_t offset, int prot)
{
	void *page = MAP_FAILED;

	if (offset % WEIR_NPU_PAGE == 0 && offset <= INT64_MAX - WEIR_NPU_PAGE)
		page = mmap(NULL, WEIR_NPU_PAGE, prot, MAP_SHARED, fd, (off_t)offset);
	return page == MAP_FAILED ? NULL : page;
}

static void unmap_page(const void *inside)
{
	uintptr_t page = (uintptr_t)inside & ~(uintptr_t)(WEIR_NPU_PAGE - 1);

	if (page)
		munmap((void *)page, WEIR_NPU_PAGE);
}

static void free_queue(struct npu_queue *q)
{
	unmap_page(q->status);
	unmap_page(q->control);
	unmap_page(q->doorbell);
	free(q);
}

static bool queue_command_ok(const struct worker_command *c)
{
	return c->order >= 6 && c->order <= 14 && c->priority <= 2 &&
	       c->queue_class <= WEIR_NPU_CLASS_LONG_RUNNING &&
	       c->addr % WEIR_NPU_PACKET_SIZE == 0 && c->addr < (uint64_t)1 << WORKER_ADDR_BITS &&
	       c->control_offset % sizeof(struct weir_npu_control) == 0;
}

static struct npu_queue *make_queue(const struct worker_command *c, const int *fds)
{
	uint64_t inside = c->control_offset % WEIR_NPU_PAGE;
	struct npu_queue *q = calloc(1, sizeof(*q));
	char *control;

	if (!q)
		return NULL;
	q->id = c->queue;
	q->queue_class = c->queue_class;
	q->priority = c->priority;
	q->ring = c->addr;
	q->size = (uint64_t)1 << c->order;
	q->published = q->fetched = q->completed = c->start;
	q->burst = 8;
	q->status = map_page(fds[0], c->status_offset, PROT_READ | PROT_WRITE);
	control = map_page(fds[0], c->control_offset - inside, PROT_READ);
	if (control)
		q->control = (const struct weir_npu_control *)(control + inside);
	q->doorbell = map_page(fds[1], c->doorbell_offset, PROT_READ);
	if (q->status && q->control && q->doorbell)
		return q;
	free_queue(q);
	return NULL;
}

static void begin_status(const struct npu_queue *q)
{
	struct weir_npu_status *s = q->status;

	memset(s, 0, sizeof(*s));
	s->read_index = q->fetched;
	s->timestamp = queue_now();
	__atomic_store_n(&s->completed, q->completed, __ATOMIC_RELEASE);
}

static int add_queue(struct worker *w, const struct worker_command *c, const int *fds)
{
	struct npu_queue *q;
	int err;

	if (!queue_command_ok(c) || fds[0] < 0 || fds[1] < 0)
		return -EINVAL;
	q = make_queue(c, fds);
	if (!q)
		return -ENOMEM;
	begin_status(q);
	err = schedule_add(w, q);
	if (err)
		free_queue(q);
	else if (w->settings.verbose)
		npu_log((int)w->settings.ctx, "queue %u: %llu packets at 0x%llx from %llu on",
			q->id, (unsigned long long)q->size, (unsigned long long)q->ring,
			(unsigned long long)c->start);
	return err;
}

static int end_queue(struct worker *w, uint32_t id)
{
	struct npu_queue *q = schedule_remove(w, id);

	if (!q)
		return -ENOENT;
	if (w->settings.verbose)
		npu_log((int)w->settings.ctx, "queue %u ended with %llu packets completed", id,
			(unsigned long long)q->completed);
	free_queue(q);
	return 0;
}

/* ---- commands ------------------------------------------------------------------ */

/*
 * Another thread may be about to write to the old one: the number stays and is never another file,
 * which could be guest memory.
 */
static int set_irq(struct worker *w, int fd)
{
	if (fd < 0)
		__atomic_store_n(&w->irq_on, false, __ATOMIC_RELEASE);
	if (dup2(fd < 0 ? w->no_irq : fd, w->irq) < 0)
		return -errno;
	if (fd >= 0)
		__atomic_store_n(&w->irq_on, true, __ATOMIC_RELEASE);
	return 0;
}

static int serve(struct worker *w, const struct worker_command *c, const int *fds)
{
	switch (c->op) {
	case WORKER_MAP:
		return space_map(&w->space, c->addr, c->size, (int)c->prot, fds[0], c->offset);
	case WORKER_UNMAP:
		return space_unmap(&w->space, c->addr, c->size);
	case WORKER_QUEUE:
		return add_queue(w, c, fds);
	case WORKER_QUEUE_END:
		return end_queue(w, c->queue);
	case WORKER_KICK:
		schedule_kick(w);
		return 0;
	case WORKER_IRQ:
		return set_irq(w, fds[0]);
	case WORKER_PAUSE:
		schedule_pause(w);
		return 0;
	case WORKER_RESUME:
		schedule_resume(w);
		return 0;
	default:
		return -EINVAL;
	}
}

/* Bytes of the message, 0 at the end of the socket, -1. fds are -1 where none came. */
static ssize_t receive(int socket, struct worker_command *c, int *fds)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(2 * sizeof(int))];
	} control;
	struct iovec data = {c, sizeof(*c)};
	struct msghdr m = {.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *h;
	ssize_t size;

	fds[0] = fds[1] = -1;
	do {
		size = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
	} while (size < 0 && errno == EINTR);
	if (size <= 0)
		return size;
	h = CMSG_FIRSTHDR(&m);
	if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(h), h->cmsg_len - CMSG_LEN(0));
	return size;
}

/* Until the main process closes its end or is gone. */
static void control(struct worker *w, int socket)
{
	struct worker_command c;
	struct worker_reply r;
	int fds[2];

	while (receive(socket, &c, fds) == (ssize_t)sizeof(c)) {
		r.op = c.op;
		r.err = serve(w, &c, fds);
		/* What was mapped stays mapped. */
		for (unsigned i = 0; i < 2; i++) {
			if (fds[i] >= 0)
				close(fds[i]);
		}
		if (c.op != WORKER_KICK && write(socket, &r, sizeof(r)) != sizeof(r))
			break;
	}
}

/* ---- the process --------------------------------------------------------------- */

/* OpenCL starts its threads in this one, after the sandbox was entered. */
static void *execute(void *worker)
{
	struct worker *w = worker;
	int ctx = (int)w->settings.ctx;
	int err;

	w->exec = exec_open(&w->settings, &w->space, &w->identity);
	if (!w->exec)
		_exit(1);
	/* After OpenCL, which may have handlers of its own. */
	err = fault_stack();
	if (!err)
		err = fault_catch(w);
	if (err) {
		npu_log(ctx, "signal handlers: %s", strerror(-err));
		_exit(1);
	}
	return schedule_run(w);
}

static int set_up(struct worker *w)
{
	int ctx = (int)w->settings.ctx, err;

	/* The main process ends its workers itself; they do not outlive it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	err = sandbox_environment(ctx);
	if (err)
		return err;
	w->irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->no_irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->irq < 0 || w->no_irq < 0) {
		npu_log(ctx, "no eventfd: %s", strerror(errno));
		return -1;
	}
	err = space_init(&w->space);
	if (err) {
		npu_log(ctx, "no address space: %s", strerror(-err));
		return err;
	}
	return w->settings.sandbox ? sandbox_enter(ctx) : 0;
}

void worker_main(int socket, struct worker_shared *shared, const struct worker_settings *settings)
{
	static struct worker worker;
	struct worker *w = &worker;
	pthread_t thread;

	w->settings = *settings;
	w->shared = shared;
	shared->executing = -1;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	pthread_cond_init(&w->left, NULL);
	if (set_up(w) || pthread_create(&thread, NULL, execute, w))
		_exit(1);
	control(w, socket);
	/* Whatever executes is of no use to anybody. */
	_exit(0);
}

/* ---- identity ------------------------------------------------------------------ */

static int send_identity(const struct worker_settings *settings, int fd)
{
	static struct weir_npu_identity identity;
	static struct space none;

	if (sandbox_environment(-1) || !exec_open(settings, &none, &identity))
		return 1;
	return write(fd, &identity, sizeof(identity)) == sizeof(identity) ? 0 : 1;
}

static int receive_identity(int fd, struct weir_npu_identity *out)
{
	size_t size = 0;
	ssize_t n;

	while (size < sizeof(*out)) {
		n = read(fd, (char *)out + size, sizeof(*out) - size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		size += (size_t)n;
	}
	return 0;
}

int worker_identify(const struct worker_settings *settings, struct weir_npu_identity *out)
{
	int ends[2], status = 0, err;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC)) {
		npu_log(-1, "no pipe: %s", strerror(errno));
		return -1;
	}
	child = fork();
	if (child == 0)
		_exit(send_identity(settings, ends[1]));
	close(ends[1]);
	err = child < 0 ? -1 : receive_identity(ends[0], out);
	close(ends[0]);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	if (err)
		npu_log(-1, "cannot learn what OpenCL device there is");
	return err;
}
