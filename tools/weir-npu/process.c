/* SPDX-License-Identifier: MIT */
/* Worker processes: fork, commands and replies over the socket, and the end. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

#define WORKER_FD 3

int64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The child: keeps its socket, its shared page and standard error, and dies with main. */
static void child(int socket, struct worker_shared *shared, const struct worker_settings *settings,
	int main_pid) __attribute__((noreturn));

static void child(int socket, struct worker_shared *shared, const struct worker_settings *settings,
	int main_pid)
{
	sigset_t none;

	sigemptyset(&none);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != main_pid ||
		dup2(socket, WORKER_FD) < 0 || close_range(WORKER_FD + 1, ~0u, 0) ||
		sigprocmask(SIG_SETMASK, &none, NULL)) {
		npu_log((int)settings->ctx, "the worker cannot be set up: %s", strerror(errno));
		_exit(1);
	}
	worker_main(WORKER_FD, shared, settings);
}

struct process *process_start(unsigned ctx, const struct worker_settings *settings, int irq_fd)
{
	struct worker_settings own = *settings;
	struct process *p = calloc(1, sizeof(*p));
	int pair[2] = {-1, -1}, main_pid = getpid();

	own.ctx = ctx;
	if (!p)
		goto error;
	p->ctx = ctx;
	p->irq = true;
	p->irq_fd = irq_fd;
	p->deadline = INT64_MAX;
	p->shared = mmap(
		NULL, WEIR_NPU_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p->shared == MAP_FAILED) {
		p->shared = NULL;
		goto error;
	}
	p->shared->executing = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		goto error;
	p->pid = fork();
	if (p->pid < 0)
		goto error;
	if (!p->pid)
		child(pair[1], p->shared, &own, main_pid);
	/* Workers that are forked later do not get this one's page. */
	madvise(p->shared, WEIR_NPU_PAGE, MADV_DONTFORK);
	close(pair[1]);
	p->socket = pair[0];
	return p;
error:
	npu_log((int)ctx, "no worker can be started: %s", strerror(errno));
	if (pair[0] >= 0) {
		close(pair[0]);
		close(pair[1]);
	}
	if (p && p->shared)
		munmap(p->shared, WEIR_NPU_PAGE);
	free(p);
	return NULL;
}

/* The worker's last word for the log, when it was not main that killed it. */
static void log_status(const struct process *p, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status))
		npu_log((int)p->ctx, "its worker ended with status %d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		npu_log((int)p->ctx, "its worker died of signal %d (%s)", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
}

void process_end(struct process *p, struct worker_shared *last)
{
	int status = 0, err;

	if (!p)
		return;
	kill(p->pid, SIGKILL);
	do {
		err = waitpid(p->pid, &status, 0);
	} while (err < 0 && errno == EINTR);
	if (err == p->pid)
		log_status(p, status);
	*last = *p->shared;
	munmap(p->shared, WEIR_NPU_PAGE);
	close(p->socket);
	free(p->items);
	free(p);
}

void process_begin(struct process *p)
{
	p->error = 0;
}

int process_post(struct process *p, const struct worker_command *command, int fd0, int fd1)
{
	if (p->count == p->capacity) {
		size_t capacity = p->capacity ? p->capacity * 2 : 16;
		struct process_item *items = realloc(p->items, capacity * sizeof(*items));

		if (!items)
			return -ENOMEM;
		p->items = items;
		p->capacity = capacity;
	}
	p->items[p->count++] = (struct process_item){.command = *command, .fds = {fd0, fd1}};
	return 0;
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

static const char *op_name(uint32_t op)
{
	static const char *const names[] = {[WORKER_MAP] = "MAP",
		[WORKER_UNMAP] = "UNMAP",
		[WORKER_QUEUE] = "QUEUE",
		[WORKER_QUEUE_END] = "QUEUE_END",
		[WORKER_IRQ] = "IRQ",
		[WORKER_PAUSE] = "PAUSE",
		[WORKER_RESUME] = "RESUME"};

	return names[op];
}

/* When the reply that is waited for is late: it may be looked at once before. */
static int64_t limit_of(const struct process *p, int64_t now)
{
	uint32_t op = p->sent[p->sent_first].op, queue = p->sent[p->sent_first].queue;
	int64_t end = p->since + PROCESS_END_MS;

	if (!p->sent_count || op == WORKER_PAUSE)
		return INT64_MAX;
	if (!p->started)
		return p->since + PROCESS_START_MS;
	if (op == WORKER_QUEUE_END &&
		(now < end ||
			(int64_t)queue == __atomic_load_n(&p->shared->executing, __ATOMIC_RELAXED)))
		return end;
	return p->since + WORKER_LATE_MS;
}

/* 1: sent; 0: the socket is full; else -errno. */
static int send_one(struct process *p, const struct worker_command *command, const int *fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control;
	struct iovec iov = {(void *)command, sizeof(*command)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	unsigned n = 0;
	int out[2];

	for (unsigned i = 0; fds && i < 2; i++) {
		if (fds[i] >= 0)
			out[n++] = fds[i];
	}
	if (n) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), out, n * sizeof(int));
	}
	if (sendmsg(p->socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return 1;
	/* ETOOMANYREFS: too many fds under way; the worker takes them out. */
	return errno == EAGAIN || errno == EINTR || errno == ETOOMANYREFS ? 0 : -errno;
}

static int send_reply_wanted(
	struct process *p, const struct worker_command *command, const int *fds, int64_t now)
{
	int err;

	if (p->sent_count == PROCESS_WINDOW)
		return 0;
	err = send_one(p, command, fds);
	if (err <= 0)
		return err;
	if (!p->sent_count)
		p->since = now;
	p->sent[(p->sent_first + p->sent_count) % PROCESS_WINDOW].op = command->op;
	p->sent[(p->sent_first + p->sent_count++) % PROCESS_WINDOW].queue = command->queue;
	return 1;
}

static int send_all(struct process *p, int64_t now)
{
	int err;

	/* The eventfd before what might raise it, kicks after what they might be for. */
	if (p->irq) {
		struct worker_command c = {.op = WORKER_IRQ};

		err = send_reply_wanted(p, &c, (int[]){p->irq_fd, -1}, now);
		if (err <= 0)
			return err;
		p->irq = false;
	}
	while (p->first < p->count) {
		const struct process_item *item = &p->items[p->first];

		err = send_reply_wanted(p, &item->command, item->fds, now);
		if (err <= 0)
			return err;
		p->first++;
	}
	p->first = p->count = 0;
	if (p->kick) {
		struct worker_command c = {.op = WORKER_KICK};

		err = send_one(p, &c, NULL);
		if (err <= 0)
			return err;
		p->kick = false;
	}
	return 0;
}

/* 1: took one; 0: there is none; else -errno. */
static int receive_one(struct process *p, int64_t now)
{
	struct worker_reply r;
	struct iovec iov = {&r, sizeof(r)};
	/* No room for fds: what a worker might pass is dropped by the kernel. */
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n = recvmsg(p->socket, &m, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (!n)
		return -EPIPE;
	if ((size_t)n != sizeof(r) || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || !p->sent_count ||
		r.op != p->sent[p->sent_first].op || r.err > 0 || r.err < -4095) {
		npu_log((int)p->ctx, "its worker sent a wrong reply");
		return -EPROTO;
	}
	p->sent_first = (p->sent_first + 1) % PROCESS_WINDOW;
	p->sent_count--;
	p->started = true;
	p->since = now;
	if (r.op == WORKER_IRQ)
		p->irq_changed = true;
	if (r.err && !p->error)
		p->error = r.err;
	return 1;
}

int process_serve(struct process *p, int64_t now)
{
	int err;

	do {
		err = send_all(p, now);
		if (err)
			return err;
		err = receive_one(p, now);
	} while (err > 0);
	if (err)
		return err;
	p->deadline = limit_of(p, now);
	if (now < p->deadline)
		return 0;
	npu_log((int)p->ctx, "its worker is late with %s", op_name(p->sent[p->sent_first].op));
	return -ETIMEDOUT;
}

bool process_busy(const struct process *p)
{
	if (p->irq || p->first < p->count)
		return true;
	for (unsigned i = 0; i < p->sent_count; i++) {
		if (p->sent[(p->sent_first + i) % PROCESS_WINDOW].op != WORKER_PAUSE)
			return true;
	}
	return false;
}

bool process_pausing(const struct process *p)
{
	for (unsigned i = 0; i < p->sent_count; i++) {
		if (p->sent[(p->sent_first + i) % PROCESS_WINDOW].op == WORKER_PAUSE)
			return true;
	}
	for (size_t i = p->first; i < p->count; i++) {
		if (p->items[i].command.op == WORKER_PAUSE)
			return true;
	}
	return false;
}

short process_events(const struct process *p)
{
	bool more = p->irq || p->first < p->count;
	bool ready = more ? p->sent_count < PROCESS_WINDOW : p->kick;

	return (short)(POLLIN | (ready ? POLLOUT : 0));
}

int process_wait(struct process *p, int limit_ms)
{
	int64_t now = clock_ms(), end = now + limit_ms;

	for (;;) {
		struct pollfd f = {.fd = p->socket};
		int err = process_serve(p, now);

		if (err || !process_busy(p))
			return err;
		if (now >= end) {
			npu_log((int)p->ctx, "its worker is late");
			return -ETIMEDOUT;
		}
		f.events = process_events(p);
		poll(&f, 1, (int)(end - now));
		now = clock_ms();
	}
}
