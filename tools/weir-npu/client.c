/* SPDX-License-Identifier: MIT */
/* The connection to the client: framing of messages on a stream socket that carries fds. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

/* A client that does not read its replies for so long is gone for good. */
#define SEND_LIMIT_MS 5000

void client_init(struct client *c, struct npu *npu, int fd)
{
	memset(c, 0, sizeof(*c));
	c->fd = fd;
	c->vfu.npu = npu;
	c->message.data = c->data;
}

static void close_fds(struct vfu_message *m)
{
	for (unsigned i = 0; i < m->n_fds; i++) {
		if (m->fds[i] >= 0)
			close(m->fds[i]);
	}
	m->n_fds = 0;
}

void client_fini(struct client *c)
{
	close_fds(&c->message);
	close(c->fd);
	c->fd = -1;
}

/* Adds the fds that came with bytes; more than a message can have are an error. */
static int take_fds(struct vfu_message *m, struct msghdr *h)
{
	int err = h->msg_flags & MSG_CTRUNC ? -EPROTO : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		unsigned n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		for (unsigned i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (m->n_fds < VFU_MAX_FDS) {
				m->fds[m->n_fds++] = fd;
			} else {
				close(fd);
				err = -EPROTO;
			}
		}
	}
	if (err)
		npu_log(-1, "message with more than %d fds", VFU_MAX_FDS);
	return err;
}

/* Receives up to size bytes. > 0: so many; 0: nothing there; else -errno. */
static int receive(struct client *c, void *to, size_t size)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(VFU_MAX_FDS * sizeof(int))];
	} control;
	struct iovec iov = {to, size};
	struct msghdr h = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(c->fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int err;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (!n)
		return -EPIPE;
	err = take_fds(&c->message, &h);
	return err ? err : (int)n;
}

/* 1: a message is whole; 0: more must come; else -errno. */
static int receive_message(struct client *c)
{
	struct vfu_message *m = &c->message;
	int n;

	while (!c->header_done) {
		n = receive(c, (uint8_t *)&m->header + c->have, sizeof(m->header) - c->have);
		if (n <= 0)
			return n;
		c->have += (size_t)n;
		if (c->have < sizeof(m->header))
			continue;
		n = vfu_check_header(&m->header);
		if (n)
			return n;
		m->size = m->header.size - sizeof(m->header);
		c->header_done = true;
		c->have = 0;
	}
	while (c->have < m->size) {
		n = receive(c, c->data + c->have, m->size - c->have);
		if (n <= 0)
			return n;
		c->have += (size_t)n;
	}
	c->header_done = false;
	c->have = 0;
	return 1;
}

static int wait_writable(int fd)
{
	struct pollfd f = {.fd = fd, .events = POLLOUT};
	int n = poll(&f, 1, SEND_LIMIT_MS);

	if (n > 0)
		return 0;
	if (n < 0 && errno == EINTR)
		return 0;
	npu_log(-1, "the client does not read its replies");
	return -ETIMEDOUT;
}

static int send_all(
	int socket, const struct vfu_header *header, const void *data, size_t size, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov[2] = {{(void *)header, sizeof(*header)}, {(void *)data, size}};
	struct msghdr h = {.msg_iov = iov, .msg_iovlen = 2};

	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		h.msg_control = control.bytes;
		h.msg_controllen = sizeof(control.bytes);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	}
	while (iov[0].iov_len || iov[1].iov_len) {
		ssize_t n = sendmsg(socket, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
		int err = 0;

		if (n < 0)
			err = errno == EAGAIN || errno == EINTR ? wait_writable(socket) : -errno;
		if (err)
			return err;
		for (unsigned i = 0; i < 2 && n > 0; i++) {
			size_t part = (size_t)n < iov[i].iov_len ? (size_t)n : iov[i].iov_len;

			iov[i].iov_base = (uint8_t *)iov[i].iov_base + part;
			iov[i].iov_len -= part;
			n -= (ssize_t)part;
			/* The fd went with the first byte. */
			h.msg_control = NULL;
			h.msg_controllen = 0;
		}
	}
	return 0;
}

static int handle(struct client *c)
{
	struct vfu_message *m = &c->message;
	struct vfu_header h = {.id = m->header.id,
		.command = m->header.command,
		.flags = VFU_TYPE_REPLY,
		.size = sizeof(h)};
	bool silent = m->header.flags & VFU_NO_REPLY;
	int err = vfu_handle(&c->vfu, m, &c->reply);

	close_fds(m);
	if (silent)
		return 0;
	if (err) {
		h.flags |= VFU_ERROR;
		h.error = (uint32_t)-err;
	}
	h.size += (uint32_t)c->reply.size;
	return send_all(c->fd, &h, c->reply.data, c->reply.size, c->reply.fd);
}

int client_serve(struct client *c, unsigned limit)
{
	while (limit--) {
		int n = receive_message(c);

		if (n <= 0)
			return n;
		n = handle(c);
		if (n)
			return n;
	}
	return 0;
}
