/* SPDX-License-Identifier: MIT */
/*
 * PCI configuration space of the NPU: a header, three BARs, the MSI-X capability and power
 * management.
 */
#include <linux/pci_regs.h>
#include <string.h>

#include "device.h"

#define MSIX_CAP 0x40
#define PM_CAP 0x50

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v);
	put16(p + 2, v >> 16);
}

/*
 * The bits below the size read as they are, those above can be written: so software finds the size.
 */
static void put_bar(struct npu *npu, unsigned bar, uint32_t type, uint64_t size)
{
	unsigned at = PCI_BASE_ADDRESS_0 + 4 * bar;

	put32(npu->config + at, type);
	put32(npu->config_mask + at, (uint32_t) ~(size - 1));
	if (type & PCI_BASE_ADDRESS_MEM_TYPE_64)
		put32(npu->config_mask + at + 4, (uint32_t)(~(size - 1) >> 32));
}

void pci_init(struct npu *npu)
{
	uint8_t *c = npu->config, *mask = npu->config_mask;

	memset(c, 0, sizeof(npu->config));
	memset(mask, 0, sizeof(npu->config_mask));
	put16(c + PCI_VENDOR_ID, WEIR_NPU_PCI_VENDOR);
	put16(c + PCI_DEVICE_ID, WEIR_NPU_PCI_DEVICE);
	put16(mask + PCI_COMMAND,
		PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
	put16(c + PCI_STATUS, PCI_STATUS_CAP_LIST);
	put32(c + PCI_CLASS_REVISION, WEIR_NPU_PCI_CLASS << 8 | WEIR_NPU_VERSION >> 16);
	mask[PCI_CACHE_LINE_SIZE] = mask[PCI_LATENCY_TIMER] = mask[PCI_INTERRUPT_LINE] = 0xff;
	put_bar(npu, NPU_REGION_BAR0, PCI_BASE_ADDRESS_MEM_TYPE_32, WEIR_NPU_BAR0_SIZE);
	put_bar(npu, NPU_REGION_BAR2, PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH,
		npu->doorbells_size);
	put_bar(npu, NPU_REGION_BAR4, PCI_BASE_ADDRESS_MEM_TYPE_32, NPU_MSIX_SIZE);
	put16(c + PCI_SUBSYSTEM_VENDOR_ID, WEIR_NPU_PCI_VENDOR);
	put16(c + PCI_SUBSYSTEM_ID, WEIR_NPU_PCI_DEVICE);
	c[PCI_CAPABILITY_LIST] = MSIX_CAP;
	c[MSIX_CAP] = PCI_CAP_ID_MSIX;
	c[MSIX_CAP + PCI_CAP_LIST_NEXT] = PM_CAP;
	put16(c + MSIX_CAP + PCI_MSIX_FLAGS, WEIR_NPU_IRQS - 1);
	put16(mask + MSIX_CAP + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	put32(c + MSIX_CAP + PCI_MSIX_TABLE, NPU_REGION_BAR4);
	put32(c + MSIX_CAP + PCI_MSIX_PBA, NPU_MSIX_PBA | NPU_REGION_BAR4);
	/* D0 and D3hot, where the client decodes no BAR; all is there when it comes back. */
	c[PM_CAP] = PCI_CAP_ID_PM;
	put16(c + PM_CAP + PCI_PM_PMC, 3);
	put16(c + PM_CAP + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
	put16(mask + PM_CAP + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);
}

bool pci_bus_master(const struct npu *npu)
{
	return npu->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

void pci_write(struct npu *npu, uint64_t offset, const uint8_t *data, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint8_t mask = npu->config_mask[offset + i];
		uint8_t *c = &npu->config[offset + i];

		*c = (uint8_t)((*c & ~mask) | (data[i] & mask));
	}
}
