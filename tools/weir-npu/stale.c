/* SPDX-License-Identifier: MIT */
/*
 * Fault "stale": the device keeps the bus address of a buffer that it was told to forget, and later reads and writes there,
 * as broken hardware would. Behind an IOMMU it must reach nothing.
 */
#include <inttypes.h>

#include "device.h"

/* Until the driver has freed the pages and their bus address. */
#define STALE_AFTER_MS 500

void stale_remember(struct npu *npu, const struct table *t, uint32_t first, uint32_t count)
{
	if (!npu->settings->stale)
		return;
	for (uint32_t i = first; i < first + count; i++) {
		if (!t->entries[i].pieces)
			continue;
		npu->stale.forgotten++;
		if (npu->stale.forgotten != npu->settings->stale_at)
			continue;
		npu->stale.addr = t->entries[i].pieces[0].addr;
		npu->stale.when = clock_ms() + STALE_AFTER_MS;
		npu_log(-1, "fault stale: 0x%" PRIx64 " is kept", npu->stale.addr);
	}
}

int64_t stale_deadline(const struct npu *npu)
{
	return npu->stale.when ? npu->stale.when : INT64_MAX;
}

void stale_serve(struct npu *npu)
{
	uint64_t word = 0;
	int read, write;

	if (!npu->stale.when || clock_ms() < npu->stale.when)
		return;
	npu->stale.when = 0;
	read = memory_read(&npu->memory, npu->stale.addr, &word, sizeof(word));
	/* What was read goes back: where nothing protects, nothing is to be harmed either. */
	write = memory_write(&npu->memory, npu->stale.addr, &word, sizeof(word));
	npu->counters.stale_reached += !read + !write;
	npu_log(-1, "fault stale: 0x%" PRIx64 ": read %s, write %s", npu->stale.addr,
		read ? "reached nothing" : "landed", write ? "reached nothing" : "landed");
}
