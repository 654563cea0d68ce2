/* SPDX-License-Identifier: MIT */
/* The client's half: weir-npu as a child, and vfio-user messages to it. */
#include <errno.h>
#include <linux/vfio.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"
#include "tools/weir-npu/vfio_user.h"
#include "vfio_client.h"

#define START_MS 60000

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "vfio client: %s: %s\n", what, strerror(errno));
	abort();
}

void vc_program(char *out, size_t size)
{
	const char *given = getenv("WEIR_NPU");
	char self[512];
	ssize_t n;

	if (given) {
		snprintf(out, size, "%s", given);
		return;
	}
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	need(n > 0, "/proc/self/exe");
	self[n] = 0;
	*strrchr(self, '/') = 0;
	snprintf(out, size, "%s/../weir-npu", self);
}

void vc_start(struct vc *c, const char *const *args)
{
	const char *temp = getenv("TMPDIR");
	const char *argv[24] = {NULL, "--socket", c->path, "--stats", c->stats};
	unsigned n = 5;
	char program[600];

	memset(c, 0, sizeof(*c));
	c->fd = c->memory_fd = c->irq[0] = c->irq[1] = -1;
	snprintf(c->folder, sizeof(c->folder), "%s/weir-npu-XXXXXX",
		temp && strlen(temp) < 40 ? temp : "/tmp");
	need(mkdtemp(c->folder), c->folder);
	snprintf(c->path, sizeof(c->path), "%s/socket", c->folder);
	snprintf(c->stats, sizeof(c->stats), "%s/stats", c->folder);
	vc_program(program, sizeof(program));
	argv[0] = program;
#ifdef __SANITIZE_ADDRESS__
	/* The sanitizer's own calls are not what workers are allowed. */
	argv[n++] = "--no-sandbox";
#endif
	while (args && *args && n + 1 < sizeof(argv) / sizeof(*argv))
		argv[n++] = *args++;
	argv[n] = NULL;
	c->pid = fork();
	need(c->pid >= 0, "fork");
	if (!c->pid) {
		/* A test that fails leaves nothing behind. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(program, (char *const *)argv);
		fprintf(stderr, "cannot run %s: %s\n", program, strerror(errno));
		_exit(127);
	}
	for (int ms = 0; access(c->path, F_OK); ms += 5) {
		need(ms < START_MS && !waitpid(c->pid, NULL, WNOHANG), "weir-npu does not start");
		usleep(5000);
	}
}

int vc_wait(struct vc *c)
{
	int status;

	vc_disconnect(c);
	need(waitpid(c->pid, &status, 0) == c->pid, "waitpid");
	unlink(c->path);
	unlink(c->stats);
	rmdir(c->folder);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int vc_stop(struct vc *c)
{
	vc_disconnect(c);
	kill(c->pid, SIGTERM);
	return vc_wait(c);
}

void vc_disconnect(struct vc *c)
{
	if (c->fd >= 0)
		close(c->fd);
	if (c->memory)
		munmap(c->memory, VC_MEMORY);
	if (c->memory_fd >= 0)
		close(c->memory_fd);
	if (c->doorbells)
		munmap(c->doorbells, c->doorbells_size);
	for (unsigned i = 0; i < WEIR_NPU_IRQS; i++) {
		if (c->irq[i] >= 0)
			close(c->irq[i]);
		c->irq[i] = -1;
	}
	c->fd = c->memory_fd = -1;
	c->memory = c->doorbells = NULL;
}

void vc_connect(struct vc *c)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	/* A test that failed left its connection. */
	vc_disconnect(c);
	memcpy(a.sun_path, c->path, strlen(c->path) + 1);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	need(c->fd >= 0 && !connect(c->fd, (struct sockaddr *)&a, sizeof(a)), "connect");
}

bool vc_send_raw(struct vc *c, const void *data, size_t n, const int *fds, unsigned n_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(64 * sizeof(int))];
	} control;
	struct iovec iov = {(void *)data, n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds) {
		memset(&control, 0, sizeof(control));
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, n_fds * sizeof(int));
	}
	return sendmsg(c->fd, &m, MSG_NOSIGNAL) == (ssize_t)n;
}

/* One fd at most comes with the first byte. */
static bool receive(struct vc *c, void *to, size_t n, int *fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	uint8_t *p = to;

	while (n) {
		struct iovec iov = {p, n};
		struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
		struct pollfd f = {.fd = c->fd, .events = POLLIN};
		struct cmsghdr *h;
		ssize_t got;

		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control.bytes);
		need(poll(&f, 1, 30000) == 1, "weir-npu does not answer");
		got = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC);
		if (got <= 0)
			return false;
		h = CMSG_FIRSTHDR(&m);
		if (h && h->cmsg_type == SCM_RIGHTS)
			memcpy(fd, CMSG_DATA(h), sizeof(*fd));
		p += got;
		n -= (size_t)got;
	}
	return true;
}

static int take_reply(struct vc *c, unsigned command, void *reply, size_t *size, int *fd)
{
	static uint8_t buffer[VFU_MAX_DATA];
	struct vfu_header h;
	size_t n;
	int got = -1;

	if (!receive(c, &h, sizeof(h), &got))
		return -EPIPE;
	need(h.id == c->id && h.command == command && (h.flags & VFU_TYPE) == VFU_TYPE_REPLY &&
			h.size >= sizeof(h) && h.size - sizeof(h) <= sizeof(buffer),
		"the header of a reply");
	n = h.size - sizeof(h);
	if (!receive(c, buffer, n, &got))
		return -EPIPE;
	if (fd)
		*fd = got;
	else if (got >= 0)
		close(got);
	if (h.flags & VFU_ERROR) {
		need(!n && h.error && h.error < 4096, "an error reply");
		return -(int)h.error;
	}
	need(!h.error, "a reply with an error and no flag");
	if (size) {
		need(n <= *size, "a reply longer than expected");
		*size = n;
	}
	if (n && reply)
		memcpy(reply, buffer, n);
	return 0;
}

int vc_call(struct vc *c, unsigned command, const void *data, size_t n, const int *fds,
	unsigned n_fds, void *reply, size_t *size, int *fd)
{
	static uint8_t message[sizeof(struct vfu_header) + VFU_MAX_DATA];
	struct vfu_header h = {
		.id = ++c->id, .command = (uint16_t)command, .size = (uint32_t)(sizeof(h) + n)};

	memcpy(message, &h, sizeof(h));
	if (n)
		memcpy(message + sizeof(h), data, n);
	if (!vc_send_raw(c, message, sizeof(h) + n, fds, n_fds))
		return -EPIPE;
	return take_reply(c, command, reply, size, fd);
}

bool vc_is_closed(struct vc *c)
{
	struct pollfd f = {.fd = c->fd, .events = POLLIN};
	char byte;

	return poll(&f, 1, 2000) == 1 && recv(c->fd, &byte, 1, MSG_DONTWAIT) <= 0;
}

int vc_version(struct vc *c, unsigned major, const char *json)
{
	uint8_t data[1024] = {(uint8_t)major, (uint8_t)(major >> 8), 0, 0};
	char reply[512];
	size_t size = sizeof(reply), n = json ? strlen(json) + 1 : 0;
	int err;

	memcpy(data + 4, json ? json : "", n);
	err = vc_call(c, VFU_VERSION, data, 4 + n, NULL, 0, reply, &size, NULL);
	if (!err)
		need(size > 4 && !reply[size - 1] && strstr(reply + 4, "\"max_dma_maps\":65535"),
			"the version");
	return err;
}

int vc_map(struct vc *c, uint64_t addr, uint64_t size, uint64_t offset, int fd, uint32_t flags)
{
	struct vfu_dma_map d = {sizeof(d), flags, offset, addr, size};

	return vc_call(c, VFU_DMA_MAP, &d, sizeof(d), &fd, fd >= 0, NULL, NULL, NULL);
}

int vc_unmap(struct vc *c, uint64_t addr, uint64_t size, uint32_t flags)
{
	struct vfu_dma_unmap d = {sizeof(d), flags, addr, size};

	return vc_call(c, VFU_DMA_UNMAP, &d, sizeof(d), NULL, 0, NULL, NULL, NULL);
}

int vc_read(struct vc *c, uint32_t region, uint64_t offset, void *data, uint32_t n)
{
	static uint8_t reply[VFU_MAX_DATA];
	struct vfu_region_access a = {offset, region, n};
	size_t size = sizeof(reply);
	int err = vc_call(c, VFU_REGION_READ, &a, sizeof(a), NULL, 0, reply, &size, NULL);

	if (err)
		return err;
	need(size == sizeof(a) + n && !memcmp(reply, &a, sizeof(a)), "the reply to a read");
	memcpy(data, reply + sizeof(a), n);
	return 0;
}

int vc_write(struct vc *c, uint32_t region, uint64_t offset, const void *data, uint32_t n)
{
	static uint8_t message[VFU_MAX_DATA];
	struct vfu_region_access a = {offset, region, n}, back;
	size_t size = sizeof(back);
	int err;

	memcpy(message, &a, sizeof(a));
	memcpy(message + sizeof(a), data, n);
	err = vc_call(c, VFU_REGION_WRITE, message, sizeof(a) + n, NULL, 0, &back, &size, NULL);
	if (!err)
		need(size == sizeof(a) && !memcmp(&a, &back, sizeof(a)), "the reply to a write");
	return err;
}

int vc_set_irqs(struct vc *c, uint32_t index, uint32_t flags, uint32_t start, uint32_t count,
	const int *fds, unsigned n_fds)
{
	struct vfio_irq_set s = {sizeof(s), flags, index, start, count};

	return vc_call(c, VFU_DEVICE_SET_IRQS, &s, sizeof(s), fds, n_fds, NULL, NULL, NULL);
}

uint32_t vc_reg(struct vc *c, uint32_t reg)
{
	uint32_t value = 0;

	need(!vc_read(c, NPU_REGION_BAR0, reg, &value, sizeof(value)), "read of a register");
	return value;
}

void vc_set_reg(struct vc *c, uint32_t reg, uint32_t value)
{
	need(!vc_write(c, NPU_REGION_BAR0, reg, &value, sizeof(value)), "write of a register");
}

uint64_t vc_irq(struct vc *c, unsigned vector, int ms)
{
	struct pollfd f = {.fd = c->irq[vector], .events = POLLIN};
	uint64_t count = 0;

	if (poll(&f, 1, ms) == 1)
		need(read(f.fd, &count, sizeof(count)) == sizeof(count), "read of an eventfd");
	return count;
}

uint64_t vc_counter(struct vc *c, const char *name)
{
	FILE *f = fopen(c->stats, "r");
	char found[64];
	unsigned long long value;

	need(f, c->stats);
	while (fscanf(f, "%63s %llu", found, &value) == 2) {
		if (strcmp(found, name))
			continue;
		fclose(f);
		return value;
	}
	fclose(f);
	need(false, name);
	return 0;
}

int vc_suite_run(struct vc *c, Suite *s, const char *const *args)
{
	int failed, status;

	vc_start(c, args);
	failed = suite_run(s);
	status = vc_stop(c);
	if (status)
		printf("weir-npu ended with status %d\n", status);
	return failed || status;
}
