/* SPDX-License-Identifier: MIT */
/*
 * weir-npu as a PCI device: the vfio-user protocol, configuration space, BARs, interrupts, memory,
 * and every wrong message.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>

#include "suite.h"
#include "tools/weir-npu/vfio_user.h"
#include "vfio_client.h"

#define BOTH (VFU_DMA_READABLE | VFU_DMA_WRITABLE)
#define TRIGGER_EVENTFD (VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)

static struct vc vc;

static void greet(void)
{
	vc_connect(&vc);
	ck_assert_int_eq(vc_version(&vc, 0, NULL), 0);
}

static int memory_file(uint64_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	return fd;
}

START_TEST(negotiation)
{
	static const uint8_t no_nul[] = {0, 0, 0, 0, '{', '}'};

	vc_connect(&vc);
	/* Nothing before the version. */
	ck_assert_int_eq(vc_unmap(&vc, 0, VC_PAGE, 0), -EPROTO);
	ck_assert_int_eq(vc_call(&vc, VFU_VERSION, no_nul, 3, NULL, 0, NULL, NULL, NULL), -EINVAL);
	ck_assert_int_eq(
		vc_call(&vc, VFU_VERSION, no_nul, sizeof(no_nul), NULL, 0, NULL, NULL, NULL),
		-EINVAL);
	ck_assert_int_eq(vc_version(&vc, 1, NULL), -EPROTONOSUPPORT);
	ck_assert_int_eq(vc_version(&vc, 0, "{\"capabilities\":"), -EINVAL);
	ck_assert_int_eq(vc_version(&vc, 0, "{\"capabilities\":7}"), -EINVAL);
	ck_assert_int_eq(vc_version(&vc, 0, "[]"), -EINVAL);
	ck_assert_int_eq(vc_version(&vc, 0, "[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]"), -EINVAL);
	ck_assert_int_eq(vc_version(&vc, 0,
				 "{\"capabilities\":{\"max_msg_fds\":8,\"write_multiple\":true}}"),
		0);
	ck_assert_int_eq(vc_version(&vc, 0, NULL), -EALREADY);
	vc_disconnect(&vc);
}
END_TEST

START_TEST(device_info)
{
	struct vfio_device_info d = {.argsz = 16};
	struct vfio_irq_info irq = {.argsz = sizeof(irq)};
	struct vfio_region_info region = {.argsz = sizeof(region)};
	static const uint64_t sizes[VFIO_PCI_NUM_REGIONS] = {
		4096, 0, 128 * 65536, 0, 4096, 0, 0, 256, 0};
	size_t size = 16;

	greet();
	ck_assert_int_eq(vc_call(&vc, VFU_DEVICE_GET_INFO, &d, 16, NULL, 0, &d, &size, NULL), 0);
	ck_assert_uint_eq(d.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	ck_assert_uint_eq(d.num_regions, VFIO_PCI_NUM_REGIONS);
	ck_assert_uint_eq(d.num_irqs, VFIO_PCI_NUM_IRQS);
	d.argsz = 8;
	ck_assert_int_eq(
		vc_call(&vc, VFU_DEVICE_GET_INFO, &d, 16, NULL, 0, NULL, NULL, NULL), -EINVAL);
	for (uint32_t i = 0; i < VFIO_PCI_NUM_REGIONS; i++) {
		int fd = -1;

		region = (struct vfio_region_info){.argsz = sizeof(region), .index = i};
		size = sizeof(region);
		ck_assert_int_eq(vc_call(&vc, VFU_DEVICE_GET_REGION_INFO, &region, sizeof(region),
					 NULL, 0, &region, &size, &fd),
			0);
		ck_assert_uint_eq(region.size, sizes[i]);
		ck_assert_int_eq(fd >= 0, i == NPU_REGION_BAR2);
		ck_assert_uint_eq(
			!!(region.flags & VFIO_REGION_INFO_FLAG_MMAP), i == NPU_REGION_BAR2);
		if (fd >= 0) {
			/* Nobody may shrink what workers map. */
			ck_assert_int_lt(ftruncate(fd, 4096), 0);
			close(fd);
		}
	}
	region = (struct vfio_region_info){.argsz = sizeof(region), .index = VFIO_PCI_NUM_REGIONS};
	ck_assert_int_eq(vc_call(&vc, VFU_DEVICE_GET_REGION_INFO, &region, sizeof(region), NULL, 0,
				 NULL, NULL, NULL),
		-EINVAL);
	for (uint32_t i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		irq = (struct vfio_irq_info){.argsz = sizeof(irq), .index = i};
		size = sizeof(irq);
		ck_assert_int_eq(vc_call(&vc, VFU_DEVICE_GET_IRQ_INFO, &irq, sizeof(irq), NULL, 0,
					 &irq, &size, NULL),
			0);
		ck_assert_uint_eq(irq.count, i == VFIO_PCI_MSIX_IRQ_INDEX ? WEIR_NPU_IRQS : 0);
	}
	irq.index = VFIO_PCI_NUM_IRQS;
	ck_assert_int_eq(
		vc_call(&vc, VFU_DEVICE_GET_IRQ_INFO, &irq, sizeof(irq), NULL, 0, NULL, NULL, NULL),
		-EINVAL);
	vc_disconnect(&vc);
}
END_TEST

static uint32_t config(uint32_t offset, uint32_t bytes)
{
	uint32_t value = 0;

	ck_assert_int_eq(vc_read(&vc, NPU_REGION_CONFIG, offset, &value, bytes), 0);
	return value;
}

static uint32_t config_after(uint32_t offset, uint32_t value)
{
	ck_assert_int_eq(vc_write(&vc, NPU_REGION_CONFIG, offset, &value, sizeof(value)), 0);
	return config(offset, sizeof(value));
}

/* Where a capability lies, 0: there is none. */
static uint8_t capability(unsigned id)
{
	uint8_t at = (uint8_t)config(PCI_CAPABILITY_LIST, 1);

	while (at && config(at, 1) != id)
		at = (uint8_t)config(at + 1u, 1);
	return at;
}

START_TEST(config_space)
{
	uint8_t all[256], cap;

	greet();
	ck_assert_uint_eq(
		config(PCI_VENDOR_ID, 4), WEIR_NPU_PCI_DEVICE << 16 | WEIR_NPU_PCI_VENDOR);
	ck_assert_uint_eq(config(PCI_CLASS_REVISION, 4) >> 8, WEIR_NPU_PCI_CLASS);
	ck_assert_uint_eq(
		config_after(PCI_VENDOR_ID, ~0u), WEIR_NPU_PCI_DEVICE << 16 | WEIR_NPU_PCI_VENDOR);
	/* Sizes, by writing ones; then what was written stays. */
	ck_assert_uint_eq(config_after(PCI_BASE_ADDRESS_0, ~0u), ~4095u);
	ck_assert_uint_eq(config_after(PCI_BASE_ADDRESS_0, 0xfe801000), 0xfe801000);
	ck_assert_uint_eq(config_after(PCI_BASE_ADDRESS_1, ~0u), 0);
	ck_assert_uint_eq(config_after(PCI_BASE_ADDRESS_2, ~0u),
		0xff800000 | PCI_BASE_ADDRESS_MEM_TYPE_64 | 8);
	ck_assert_uint_eq(config_after(PCI_BASE_ADDRESS_3, ~0u), ~0u);
	ck_assert_uint_eq(config_after(PCI_BASE_ADDRESS_4, ~0u), ~4095u);
	ck_assert_uint_eq(config_after(PCI_ROM_ADDRESS, ~0u), 0);
	ck_assert(config(PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
	cap = capability(PCI_CAP_ID_MSIX);
	ck_assert_uint_eq(config(cap + PCI_MSIX_FLAGS, 2), WEIR_NPU_IRQS - 1);
	ck_assert_uint_eq(config(cap + PCI_MSIX_TABLE, 4) & PCI_MSIX_TABLE_BIR, NPU_REGION_BAR4);
	ck_assert_uint_eq(config(cap + PCI_MSIX_PBA, 4) & PCI_MSIX_PBA_BIR, NPU_REGION_BAR4);
	ck_assert_uint_eq(config_after(cap, ~0u) >> 16, 0xc000 | (WEIR_NPU_IRQS - 1));
	cap = capability(PCI_CAP_ID_PM);
	ck_assert_uint_eq(config_after(cap + PCI_PM_CTRL, 3), PCI_PM_CTRL_NO_SOFT_RESET | 3);
	ck_assert_uint_eq(capability(PCI_CAP_ID_EXP), 0);
	ck_assert_int_eq(vc_read(&vc, NPU_REGION_CONFIG, 0, all, sizeof(all)), 0);
	/* A reset by the client puts it back. */
	ck_assert_int_eq(vc_call(&vc, VFU_DEVICE_RESET, NULL, 0, NULL, 0, NULL, NULL, NULL), 0);
	ck_assert_uint_eq(config(PCI_BASE_ADDRESS_0, 4), 0);
	vc_disconnect(&vc);
}
END_TEST

START_TEST(registers)
{
	uint64_t wide = 0;

	greet();
	ck_assert_uint_eq(vc_reg(&vc, WEIR_NPU_REG_MAGIC), WEIR_NPU_MAGIC);
	ck_assert_uint_eq(vc_reg(&vc, WEIR_NPU_REG_VERSION), WEIR_NPU_VERSION);
	ck_assert_uint_eq(vc_reg(&vc, WEIR_NPU_REG_CAPS), 0xf);
	ck_assert_uint_eq(vc_reg(&vc, WEIR_NPU_REG_CONTEXTS), 32);
	ck_assert_uint_eq(vc_reg(&vc, WEIR_NPU_REG_QUEUES), 128);
	ck_assert_uint_eq(vc_reg(&vc, WEIR_NPU_REG_STRIDE), 65536);
	ck_assert_uint_eq(
		vc_reg(&vc, WEIR_NPU_REG_STATUS), WEIR_NPU_STATUS_READY | WEIR_NPU_STATUS_IDLE);
	vc_set_reg(&vc, WEIR_NPU_REG_MAGIC, 7);
	ck_assert_uint_eq(vc_reg(&vc, WEIR_NPU_REG_MAGIC), WEIR_NPU_MAGIC);
	vc_set_reg(&vc, WEIR_NPU_REG_ADMIN_LO, 0x1000);
	vc_set_reg(&vc, WEIR_NPU_REG_ADMIN_HI, 0x12);
	ck_assert_uint_eq(vc_reg(&vc, WEIR_NPU_REG_ADMIN_LO), 0x1000);
	ck_assert_uint_eq(vc_reg(&vc, WEIR_NPU_REG_ADMIN_HI), 0x12);
	/* Kicks of queues that are not there. */
	vc_set_reg(&vc, WEIR_NPU_REG_KICK, 3);
	vc_set_reg(&vc, WEIR_NPU_REG_KICK, ~0u);
	/* Whole and aligned, and inside. */
	ck_assert_int_eq(vc_read(&vc, NPU_REGION_BAR0, 0, &wide, 8), -EINVAL);
	ck_assert_int_eq(vc_read(&vc, NPU_REGION_BAR0, 2, &wide, 4), -EINVAL);
	ck_assert_int_eq(vc_write(&vc, NPU_REGION_BAR0, WEIR_NPU_REG_CONTROL, &wide, 1), -EINVAL);
	ck_assert_int_eq(vc_read(&vc, NPU_REGION_BAR0, 4096, &wide, 4), -EINVAL);
	ck_assert_int_eq(vc_read(&vc, NPU_REGION_BAR0, UINT64_MAX - 1, &wide, 4), -EINVAL);
	ck_assert_int_eq(vc_read(&vc, NPU_REGION_BAR0, 0, &wide, 0), -EINVAL);
	ck_assert_int_eq(vc_read(&vc, NPU_REGION_CONFIG, 254, &wide, 4), -EINVAL);
	ck_assert_int_eq(vc_read(&vc, 1, 0, &wide, 4), -EINVAL);
	ck_assert_int_eq(vc_read(&vc, 99, 0, &wide, 4), -EINVAL);
	/* RUN with an admin ring that is none. */
	vc_set_reg(&vc, WEIR_NPU_REG_CONTROL, WEIR_NPU_CONTROL_RUN);
	ck_assert(vc_reg(&vc, WEIR_NPU_REG_STATUS) & WEIR_NPU_STATUS_FAILED);
	vc_set_reg(&vc, WEIR_NPU_REG_CONTROL, WEIR_NPU_CONTROL_RESET);
	ck_assert_uint_eq(
		vc_reg(&vc, WEIR_NPU_REG_STATUS), WEIR_NPU_STATUS_READY | WEIR_NPU_STATUS_IDLE);
	ck_assert_uint_eq(vc_reg(&vc, WEIR_NPU_REG_CONTROL), 0);
	ck_assert_uint_eq(vc_reg(&vc, WEIR_NPU_REG_ADMIN_HI), 0);
	vc_disconnect(&vc);
}
END_TEST

START_TEST(other_bars)
{
	uint64_t value = 0x1122334455667788, back = 0;
	uint32_t word = 0xffffffff;

	vc_boot(&vc);
	/* What is mapped is what messages reach. */
	ck_assert_int_eq(vc_write(&vc, NPU_REGION_BAR2, 3 * 65536, &value, 8), 0);
	ck_assert_int_eq(memcmp(vc.doorbells + 3 * 65536, &value, 8), 0);
	memset(vc.doorbells + 5 * 65536, 0x5a, 8);
	ck_assert_int_eq(vc_read(&vc, NPU_REGION_BAR2, 5 * 65536, &back, 8), 0);
	ck_assert_uint_eq(back, 0x5a5a5a5a5a5a5a5a);
	ck_assert_int_eq(vc_read(&vc, NPU_REGION_BAR2, vc.doorbells_size - 4, &back, 8), -EINVAL);
	/* The MSI-X table can be written, the pending bits cannot. */
	ck_assert_int_eq(vc_write(&vc, NPU_REGION_BAR4, 16, &word, 4), 0);
	ck_assert_int_eq(vc_write(&vc, NPU_REGION_BAR4, NPU_MSIX_PBA, &word, 4), 0);
	ck_assert_int_eq(vc_read(&vc, NPU_REGION_BAR4, 16, &word, 4), 0);
	ck_assert_uint_eq(word, 0xffffffff);
	ck_assert_int_eq(vc_read(&vc, NPU_REGION_BAR4, NPU_MSIX_PBA, &word, 4), 0);
	ck_assert_uint_eq(word, 0);
	/* A reset clears doorbells. */
	vc_set_reg(&vc, WEIR_NPU_REG_CONTROL, WEIR_NPU_CONTROL_RESET);
	ck_assert_uint_eq(vc.doorbells[5 * 65536], 0);
	vc_disconnect(&vc);
}
END_TEST

START_TEST(interrupts)
{
	const uint32_t msix = VFIO_PCI_MSIX_IRQ_INDEX;
	const uint32_t trigger = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
	const struct vfio_irq_set second = {
		sizeof(second), VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER, msix, 0, 2};
	uint8_t set[sizeof(second) + 2] = {[sizeof(second) + 1] = 1};
	int pipes[2], fds[20];

	memcpy(set, &second, sizeof(second));
	vc_boot(&vc);
	ck_assert_int_eq(vc_set_irqs(&vc, msix, trigger, 0, 1, NULL, 0), 0);
	ck_assert_uint_eq(vc_irq(&vc, 0, 1000), 1);
	ck_assert_uint_eq(vc_irq(&vc, 1, 0), 0);
	ck_assert_int_eq(
		vc_call(&vc, VFU_DEVICE_SET_IRQS, set, sizeof(set), NULL, 0, NULL, NULL, NULL), 0);
	ck_assert_uint_eq(vc_irq(&vc, 1, 1000), 1);
	ck_assert_uint_eq(vc_irq(&vc, 0, 0), 0);
	ck_assert_int_eq(
		vc_call(&vc, VFU_DEVICE_SET_IRQS, set, sizeof(set) - 1, NULL, 0, NULL, NULL, NULL),
		-EINVAL);
	/* One vector loses its eventfd, then all do. */
	ck_assert_int_eq(vc_set_irqs(&vc, msix, TRIGGER_EVENTFD, 1, 1, NULL, 0), 0);
	ck_assert_int_eq(vc_set_irqs(&vc, msix, trigger, 0, 2, NULL, 0), 0);
	ck_assert_uint_eq(vc_irq(&vc, 0, 1000), 1);
	ck_assert_uint_eq(vc_irq(&vc, 1, 0), 0);
	ck_assert_int_eq(vc_set_irqs(&vc, msix, trigger, 0, 0, NULL, 0), 0);
	ck_assert_int_eq(vc_set_irqs(&vc, msix, trigger, 0, 2, NULL, 0), 0);
	ck_assert_uint_eq(vc_irq(&vc, 0, 50), 0);
	/* Wrong ones. */
	ck_assert_int_eq(vc_set_irqs(&vc, msix, TRIGGER_EVENTFD, 0, 2, vc.irq, 1), -EINVAL);
	ck_assert_int_eq(vc_set_irqs(&vc, msix, TRIGGER_EVENTFD, 1, 2, vc.irq, 2), -EINVAL);
	ck_assert_int_eq(vc_set_irqs(&vc, msix, TRIGGER_EVENTFD, ~0u, 2, vc.irq, 2), -EINVAL);
	ck_assert_int_eq(vc_set_irqs(&vc, msix, TRIGGER_EVENTFD, 0, ~0u, NULL, 0), -EINVAL);
	ck_assert_int_eq(vc_set_irqs(&vc, VFIO_PCI_NUM_IRQS, trigger, 0, 0, NULL, 0), -EINVAL);
	ck_assert_int_eq(vc_set_irqs(&vc, VFIO_PCI_MSI_IRQ_INDEX, TRIGGER_EVENTFD, 0, 1, vc.irq, 1),
		-EINVAL);
	ck_assert_int_eq(vc_set_irqs(&vc, VFIO_PCI_INTX_IRQ_INDEX, trigger, 0, 0, NULL, 0), 0);
	ck_assert_int_eq(vc_set_irqs(&vc, msix, 0, 0, 1, NULL, 0), -EINVAL);
	ck_assert_int_eq(vc_set_irqs(&vc, msix, 0x3f, 0, 1, NULL, 0), -EINVAL);
	ck_assert_int_eq(vc_set_irqs(&vc, msix, 1u << 20 | trigger, 0, 1, NULL, 0), -EINVAL);
	ck_assert_int_eq(vc_set_irqs(&vc, msix, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK,
				 0, 1, NULL, 0),
		-EOPNOTSUPP);
	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert_int_eq(vc_set_irqs(&vc, msix, TRIGGER_EVENTFD, 0, 1, &pipes[1], 1), -EINVAL);
	for (int i = 0; i < 20; i++)
		fds[i] = pipes[0];
	/* More fds than a message can have: the connection is over. */
	ck_assert_int_eq(vc_set_irqs(&vc, msix, TRIGGER_EVENTFD, 0, 1, fds, 20), -EPIPE);
	close(pipes[0]);
	close(pipes[1]);
	vc_disconnect(&vc);
}
END_TEST

START_TEST(dma_map)
{
	int fd = memory_file(64 * VC_PAGE), pipes[2], readonly;
	char path[64];

	greet();
	ck_assert_int_eq(pipe(pipes), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	readonly = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(readonly, 0);

	ck_assert_int_eq(vc_map(&vc, 0x10000, 4 * VC_PAGE, 0, fd, BOTH), 0);
	ck_assert_int_eq(vc_map(&vc, 0x10000, 4 * VC_PAGE, 0, fd, BOTH), 0);
	ck_assert_int_eq(vc_map(&vc, 0x10000, 4 * VC_PAGE, VC_PAGE, fd, BOTH), -EEXIST);
	ck_assert_int_eq(vc_map(&vc, 0x13000, 4 * VC_PAGE, 0, fd, BOTH), -EEXIST);
	ck_assert_int_eq(vc_map(&vc, 0xf000, 2 * VC_PAGE, 0, fd, BOTH), -EEXIST);
	ck_assert_int_eq(vc_map(&vc, 0x14000, 4 * VC_PAGE, 4 * VC_PAGE, fd, BOTH), 0);
	ck_assert_int_eq(vc_map(&vc, 0x20000, VC_PAGE, 0, -1, BOTH), 0);
	ck_assert_int_eq(vc_map(&vc, 0x30000, VC_PAGE, 0, readonly, BOTH), -EACCES);
	ck_assert_int_eq(vc_map(&vc, 0x30000, VC_PAGE, 0, readonly, VFU_DMA_READABLE), 0);
	ck_assert_int_eq(vc_map(&vc, 0x40000, VC_PAGE, 0, pipes[1], BOTH), -EINVAL);
	ck_assert_int_eq(vc_map(&vc, 0x40000, 2 * VC_PAGE, 63 * VC_PAGE, fd, BOTH), -EINVAL);
	ck_assert_int_eq(vc_map(&vc, 0x40000, VC_PAGE, UINT64_MAX - 4095, fd, BOTH), -EINVAL);
	ck_assert_int_eq(vc_map(&vc, 0x40000, 0, 0, fd, BOTH), -EINVAL);
	ck_assert_int_eq(vc_map(&vc, 0x40001, VC_PAGE, 0, fd, BOTH), -EINVAL);
	ck_assert_int_eq(vc_map(&vc, 0x40000, VC_PAGE + 1, 0, fd, BOTH), -EINVAL);
	ck_assert_int_eq(vc_map(&vc, UINT64_MAX - 4095, 2 * VC_PAGE, 0, fd, BOTH), -EINVAL);
	ck_assert_int_eq(vc_map(&vc, UINT64_MAX - 4095, VC_PAGE, 0, fd, BOTH), 0);
	ck_assert_int_eq(vc_map(&vc, 0x40000, VC_PAGE, 0, fd, 1u << 7), -EINVAL);

	/* Not a half of a map; more than one; none. */
	ck_assert_int_eq(vc_unmap(&vc, 0x10000, VC_PAGE, 0), -EINVAL);
	ck_assert_int_eq(vc_unmap(&vc, 0x12000, 4 * VC_PAGE, 0), -EINVAL);
	ck_assert_int_eq(vc_unmap(&vc, 0x10000, 8 * VC_PAGE, 0), 0);
	ck_assert_int_eq(vc_map(&vc, 0x12000, 4 * VC_PAGE, 0, fd, BOTH), 0);
	ck_assert_int_eq(vc_unmap(&vc, 0x100000, VC_PAGE, 0), 0);
	ck_assert_int_eq(vc_unmap(&vc, 0x12000, 0, 0), -EINVAL);
	ck_assert_int_eq(vc_unmap(&vc, 0x12001, VC_PAGE, 0), -EINVAL);
	ck_assert_int_eq(vc_unmap(&vc, UINT64_MAX - 4095, 2 * VC_PAGE, 0), -EINVAL);
	ck_assert_int_eq(vc_unmap(&vc, 0x12000, 4 * VC_PAGE, 1), -EOPNOTSUPP);
	ck_assert_int_eq(vc_unmap(&vc, 0x12000, 4 * VC_PAGE, VFU_UNMAP_ALL), -EINVAL);
	ck_assert_int_eq(vc_unmap(&vc, 0, 0, VFU_UNMAP_ALL), 0);
	ck_assert_int_eq(vc_map(&vc, 0x10000, VC_PAGE, 0, fd, BOTH), 0);
	close(pipes[0]);
	close(pipes[1]);
	close(readonly);
	close(fd);
	vc_disconnect(&vc);
}
END_TEST

/* What an IOMMU of 4 KiB pages does: from the top down, without a reply, all by the same fd. */
START_TEST(many_maps)
{
	const unsigned n = MEMORY_MAX_MAPS;
	int fd = memory_file(VC_PAGE);
	struct {
		struct vfu_header h;
		struct vfu_dma_map d;
	} m = {{.command = VFU_DMA_MAP, .size = sizeof(m), .flags = VFU_NO_REPLY},
		{sizeof(m.d), BOTH, 0, 0, VC_PAGE}};
	struct timespec from, to;
	double spent;

	greet();
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (unsigned i = n; i--;) {
		m.d.addr = (uint64_t)i * 2 * VC_PAGE;
		ck_assert(vc_send_raw(&vc, &m, sizeof(m), &fd, 1));
	}
	ck_assert_int_eq(vc_map(&vc, VC_PAGE, VC_PAGE, 0, fd, BOTH), -ENOSPC);
	ck_assert_int_eq(vc_unmap(&vc, 0, (uint64_t)n / 2 * 2 * VC_PAGE, 0), 0);
	ck_assert_int_eq(vc_map(&vc, VC_PAGE, VC_PAGE, 0, fd, BOTH), 0);
	clock_gettime(CLOCK_MONOTONIC, &to);
	spent = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
	printf("%u maps of 4 KiB: %.1f us each\n", n, spent * 1e6 / n);
	/* Far more than it takes, far less than if each looked at all others. */
	ck_assert_double_lt(spent, 60);
	close(fd);
	vc_disconnect(&vc);
	/*
	 * The counters are written when it noticed that we left, which the next client sees it did.
	 */
	greet();
	ck_assert_uint_ge(vc_counter(&vc, "maps"), n);
	vc_disconnect(&vc);
}
END_TEST

/* Every command with each length below what it needs, none of which may be taken for more. */
START_TEST(short_messages)
{
	static const struct {
		unsigned command;
		size_t need;
	} all[] = {{VFU_VERSION, 4}, {VFU_DMA_MAP, sizeof(struct vfu_dma_map)},
		{VFU_DMA_UNMAP, sizeof(struct vfu_dma_unmap)}, {VFU_DEVICE_GET_INFO, 16},
		{VFU_DEVICE_GET_REGION_INFO, sizeof(struct vfio_region_info)},
		{VFU_DEVICE_GET_IRQ_INFO, sizeof(struct vfio_irq_info)},
		{VFU_DEVICE_SET_IRQS, sizeof(struct vfio_irq_set)},
		{VFU_REGION_READ, sizeof(struct vfu_region_access)},
		{VFU_REGION_WRITE, sizeof(struct vfu_region_access) + 4}};
	static const unsigned unknown[] = {
		0, VFU_DEVICE_GET_REGION_IO_FDS, VFU_DMA_READ, VFU_DMA_WRITE, 14, 15, 99, 65535};
	struct vfu_region_access write = {WEIR_NPU_REG_ADMIN_LO, NPU_REGION_BAR0, 4};
	uint8_t data[64] = {64};

	greet();
	for (unsigned i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (all[i].command == VFU_REGION_WRITE)
			memcpy(data, &write, sizeof(write));
		for (size_t n = 0; n < all[i].need; n++) {
			int err = vc_call(&vc, all[i].command, data, n, NULL, 0, NULL, NULL, NULL);

			ck_assert_msg(err == -EINVAL, "command %u of %zu bytes: %d", all[i].command,
				n, err);
		}
	}
	for (unsigned i = 0; i < sizeof(unknown) / sizeof(*unknown); i++)
		ck_assert_int_eq(
			vc_call(&vc, unknown[i], data, 32, NULL, 0, NULL, NULL, NULL), -EOPNOTSUPP);
	vc_disconnect(&vc);
}
END_TEST

START_TEST(framing)
{
	static const struct vfu_header bad[] = {
		{.command = VFU_VERSION, .size = 0},
		{.command = VFU_VERSION, .size = 15},
		{.command = VFU_VERSION, .size = 0xffffffff},
		{.command = VFU_VERSION, .size = sizeof(struct vfu_header) + VFU_MAX_DATA + 1},
		{.command = VFU_VERSION, .size = 20, .flags = VFU_TYPE_REPLY},
		{.command = VFU_VERSION, .size = 20, .flags = 7},
	};
	struct {
		struct vfu_header h;
		struct vfu_region_access a;
	} m = {{.command = VFU_REGION_READ, .size = sizeof(m), .flags = VFU_NO_REPLY},
		{0, NPU_REGION_BAR0, 4}};
	struct pollfd f;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		vc_connect(&vc);
		ck_assert(vc_send_raw(&vc, &bad[i], sizeof(bad[i]), NULL, 0));
		ck_assert(vc_is_closed(&vc));
		vc_disconnect(&vc);
	}
	/* A client that leaves in the midst of a header, and of a message. */
	vc_connect(&vc);
	ck_assert(vc_send_raw(&vc, &m, 7, NULL, 0));
	vc_disconnect(&vc);
	vc_connect(&vc);
	ck_assert(vc_send_raw(&vc, &m, sizeof(m) - 3, NULL, 0));
	vc_disconnect(&vc);
	/* Without reply, though wrong or right; then byte by byte. */
	greet();
	ck_assert(vc_send_raw(&vc, &m, sizeof(m), NULL, 0));
	m.a.offset = 3;
	ck_assert(vc_send_raw(&vc, &m, sizeof(m), NULL, 0));
	f = (struct pollfd){.fd = vc.fd, .events = POLLIN};
	ck_assert_int_eq(poll(&f, 1, 100), 0);
	for (size_t i = 0; i < sizeof(m); i++)
		ck_assert(vc_send_raw(&vc, (const uint8_t *)&m + i, 1, NULL, 0));
	ck_assert_uint_eq(vc_reg(&vc, WEIR_NPU_REG_MAGIC), WEIR_NPU_MAGIC);
	vc_disconnect(&vc);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vfio_user");
	TCase *c = tcase_create("vfio_user");

	tcase_set_timeout(c, 300);
	tcase_add_test(c, negotiation);
	tcase_add_test(c, device_info);
	tcase_add_test(c, config_space);
	tcase_add_test(c, registers);
	tcase_add_test(c, other_bars);
	tcase_add_test(c, interrupts);
	tcase_add_test(c, dma_map);
	tcase_add_test(c, many_maps);
	tcase_add_test(c, short_messages);
	tcase_add_test(c, framing);
	suite_add_tcase(s, c);
	/* One device for all: each test is its next client. */
	return vc_suite_run(&vc, s, NULL);
}
