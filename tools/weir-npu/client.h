/* SPDX-License-Identifier: MIT */
/*
 * The client's connection: bytes and fds come in, whole messages go to vfio_user.c, replies go out.
 */
#ifndef WEIR_NPU_CLIENT_H
#define WEIR_NPU_CLIENT_H

#include "vfio_user.h"

struct client {
	int fd;
	struct vfu vfu;
	struct vfu_message message; /* that arrives; its fds so far */
	size_t have;		    /* bytes of header, then of data */
	bool header_done;
	uint8_t data[VFU_MAX_DATA];
	struct vfu_reply reply;
};

/* Takes fd. */
void client_init(struct client *c, struct npu *npu, int fd);
void client_fini(struct client *c);

/*
 * Handles what has arrived, so many messages at most. 0, or -errno: the connection is over (-EPIPE:
 * the client left).
 */
int client_serve(struct client *c, unsigned limit);

#endif
