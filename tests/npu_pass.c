/* SPDX-License-Identifier: MIT */
/* Starting a second process, and messages with file descriptors to it. */
#include "npu_pass.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "suite.h"

pid_t npu_pass_start(const char *option, int *socket)
{
	char number[16];
	int pair[2];
	pid_t pid;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fflush(NULL);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		snprintf(number, sizeof(number), "%d", dup(pair[1]));
		execl("/proc/self/exe", "npu-pass", option, number, (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	*socket = pair[0];
	return pid;
}

bool npu_pass_send(int socket, const void *data, size_t size, int fd)
{
	char space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec io = {(void *)(uintptr_t)data, size};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (fd >= 0) {
		m.msg_control = space;
		m.msg_controllen = sizeof(space);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	return sendmsg(socket, &m, MSG_NOSIGNAL) == (ssize_t)size;
}

bool npu_pass_receive(int socket, void *data, size_t size, int *fd)
{
	char space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec io = {data, size};
	struct msghdr m = {.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = space,
		.msg_controllen = sizeof(space)};
	struct cmsghdr *c;

	*fd = -1;
	if (recvmsg(socket, &m, MSG_CMSG_CLOEXEC) != (ssize_t)size)
		return false;
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof(int));
	return true;
}

weir_device *npu_pass_device(void)
{
	struct weir_device_settings s;
	weir_device *dev;

	weir_device_settings_default(&s);
	s.device = "npu";
	return weir_device_open(&dev, &s) < 0 ? NULL : dev;
}
