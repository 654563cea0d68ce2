/* SPDX-License-Identifier: MIT */
/* What the device counted, as lines of a name and a value. */
#include <inttypes.h>
#include <stdio.h>

#include "device.h"

/* Workers write their pages while this reads: each number is whole, the set is of no one moment. */
static uint64_t sum(const struct npu *npu, size_t offset)
{
	uint64_t total = *(const uint64_t *)((const uint8_t *)&npu->past + offset);

	for (unsigned i = 0; i < npu->settings->contexts; i++) {
		const struct process *p = npu->contexts[i].process;

		if (p)
			total += __atomic_load_n(
				(const uint64_t *)((const uint8_t *)p->shared + offset),
				__ATOMIC_RELAXED);
	}
	return total;
}

void npu_write_counters(const struct npu *npu, int fd)
{
	const struct npu_counters *c = &npu->counters;
	const struct {
		const char *name;
		uint64_t value;
	} lines[] = {
		{"clients", c->clients},
		{"messages", c->messages},
		{"message_errors", c->message_errors},
		{"maps", c->maps},
		{"unmaps", c->unmaps},
		{"unmaps_in_use", c->unmaps_in_use},
		{"maps_now", npu->memory.count},
		{"resets", c->resets},
		{"admin_commands", c->admin_commands},
		{"admin_refused", c->admin_refused},
		{"contexts", c->contexts},
		{"queues", c->queues},
		{"workers", c->workers},
		{"workers_lost", c->workers_lost},
		{"queues_guilty", c->queues_guilty},
		{"queues_innocent", c->queues_innocent},
		{"stale_reached", c->stale_reached},
		{"register_kicks", c->kicks},
		{"packets", sum(npu, offsetof(struct worker_shared, packets))},
		{"launches", sum(npu, offsetof(struct worker_shared, launches))},
		{"loads", sum(npu, offsetof(struct worker_shared, loads))},
		{"copies", sum(npu, offsetof(struct worker_shared, copies))},
		{"fills", sum(npu, offsetof(struct worker_shared, fills))},
		{"signals", sum(npu, offsetof(struct worker_shared, signals))},
		{"waits", sum(npu, offsetof(struct worker_shared, waits))},
		{"sleeps", sum(npu, offsetof(struct worker_shared, sleeps))},
		{"kicks", sum(npu, offsetof(struct worker_shared, kicks))},
		{"interrupts", sum(npu, offsetof(struct worker_shared, interrupts))},
		{"busy_ns", sum(npu, offsetof(struct worker_shared, busy_ns))},
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		dprintf(fd, "%s %" PRIu64 "\n", lines[i].name, lines[i].value);
}
