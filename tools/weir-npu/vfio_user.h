/* SPDX-License-Identifier: MIT */
/*
 * The part of the vfio-user protocol (version 0.0, as QEMU's docs/interop/vfio-user.rst describes
 * it) that a client needs to drive a PCI device with memory of its own: messages in, replies out.
 * Sockets are the caller's.
 */
#ifndef WEIR_NPU_VFIO_USER_H
#define WEIR_NPU_VFIO_USER_H

#include "device.h"

#define VFU_MAX_FDS 16
#define VFU_MAX_TRANSFER 65536
#define VFU_MAX_DATA (VFU_MAX_TRANSFER + 64)

enum vfu_command {
	VFU_VERSION = 1,
	VFU_DMA_MAP,
	VFU_DMA_UNMAP,
	VFU_DEVICE_GET_INFO,
	VFU_DEVICE_GET_REGION_INFO,
	VFU_DEVICE_GET_REGION_IO_FDS,
	VFU_DEVICE_GET_IRQ_INFO,
	VFU_DEVICE_SET_IRQS,
	VFU_REGION_READ,
	VFU_REGION_WRITE,
	VFU_DMA_READ,
	VFU_DMA_WRITE,
	VFU_DEVICE_RESET,
};

#define VFU_TYPE 0xf
#define VFU_TYPE_COMMAND 0
#define VFU_TYPE_REPLY 1
#define VFU_NO_REPLY (1u << 4)
#define VFU_ERROR (1u << 5)

struct vfu_header {
	uint16_t id;
	uint16_t command;
	uint32_t size; /* of the whole message */
	uint32_t flags;
	uint32_t error; /* errno */
};

struct vfu_dma_map {
	uint32_t argsz, flags; /* VFU_DMA_* */
	uint64_t offset, addr, size;
};
#define VFU_DMA_READABLE (1u << 0)
#define VFU_DMA_WRITABLE (1u << 1)

struct vfu_dma_unmap {
	uint32_t argsz, flags;
	uint64_t addr, size;
};
#define VFU_UNMAP_ALL (1u << 1)

struct vfu_region_access {
	uint64_t offset;
	uint32_t region, count;
};

/*
 * A message without its header; what the handler keeps of fds it sets to -1, the caller closes the
 * others.
 */
struct vfu_message {
	struct vfu_header header;
	const uint8_t *data;
	size_t size;
	int fds[VFU_MAX_FDS];
	unsigned n_fds;
};

struct vfu_reply {
	size_t size;
	int fd; /* to pass, stays the device's; -1: none */
	uint8_t data[VFU_MAX_DATA];
};

struct vfu {
	struct npu *npu;
	bool negotiated;
};

/*
 * Whether a header can begin a message: its bytes can be counted. If not, nothing after it can be
 * understood. 0 or -EPROTO with a line in the log.
 */
int vfu_check_header(const struct vfu_header *h);

/*
 * Handles one message. 0 with the reply, or -errno: the error reply. Of what is wrong the log has a
 * line.
 */
int vfu_handle(struct vfu *v, struct vfu_message *m, struct vfu_reply *reply);

#endif
