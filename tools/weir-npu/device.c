/* SPDX-License-Identifier: MIT */
/*
 * The NPU's outside: regions, registers, interrupts, reset, and the turn of the wheel that serves
 * its workers.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device.h"

static int make_doorbells(struct npu *npu)
{
	uint64_t pages = 1;

	/* A BAR is a power of two. */
	while (pages < npu->settings->queues)
		pages *= 2;
	npu->doorbells_size = pages * NPU_STRIDE;
	npu->doorbells = memfd_create("weir-npu-doorbells", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (npu->doorbells < 0 || ftruncate(npu->doorbells, (off_t)npu->doorbells_size))
		return -errno;
	/* The client gets this fd: no worker shall die because it shrinks the file. */
	return fcntl(npu->doorbells, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
		       ? -errno
		       : 0;
}

int npu_init(struct npu *npu, const struct npu_settings *settings)
{
	int err;

	memset(npu, 0, sizeof(*npu));
	npu->settings = settings;
	npu->doorbells = -1;
	for (unsigned i = 0; i < WEIR_NPU_IRQS; i++)
		npu->irq[i] = -1;
	memory_init(&npu->memory);
	npu->contexts = calloc(settings->contexts, sizeof(*npu->contexts));
	npu->queues = calloc(settings->queues, sizeof(*npu->queues));
	err = npu->contexts && npu->queues ? make_doorbells(npu) : -ENOMEM;
	if (err)
		npu_fini(npu);
	else
		pci_init(npu);
	return err;
}

void npu_fini(struct npu *npu)
{
	if (npu->contexts && npu->queues)
		context_forget_all(npu);
	for (unsigned i = 0; i < WEIR_NPU_IRQS; i++)
		npu_set_irq(npu, i, -1);
	memory_clear(&npu->memory);
	if (npu->doorbells >= 0)
		close(npu->doorbells);
	npu->doorbells = -1;
	free(npu->contexts);
	free(npu->queues);
	npu->contexts = NULL;
	npu->queues = NULL;
}

static void reset_registers(struct npu *npu)
{
	context_forget_all(npu);
	npu->started = npu->running = npu->pausing = npu->failed = npu->pending = false;
	npu->admin_addr = 0;
	npu->admin_size = npu->admin_tail = npu->admin_head = 0;
	if (fallocate(npu->doorbells, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		    (off_t)npu->doorbells_size))
		npu_log(-1, "doorbells cannot be cleared: %s", strerror(errno));
	npu->counters.resets++;
}

void npu_reset(struct npu *npu)
{
	reset_registers(npu);
	pci_init(npu);
	memset(npu->msix, 0, sizeof(npu->msix));
	npu->memory.enabled = false;
}

void npu_power_cycle(struct npu *npu)
{
	npu_reset(npu);
	for (unsigned i = 0; i < WEIR_NPU_IRQS; i++)
		npu_set_irq(npu, i, -1);
	memory_clear(&npu->memory);
}

void npu_set_irq(struct npu *npu, unsigned vector, int fd)
{
	int old = npu->irq[vector];

	npu->irq[vector] = fd;
	for (unsigned i = 0;
		vector == WEIR_NPU_IRQ_QUEUE && npu->contexts && i < npu->settings->contexts; i++) {
		if (npu->contexts[i].process)
			process_set_irq(npu->contexts[i].process, fd);
	}
	if (old >= 0)
		close(old);
}

void npu_raise(struct npu *npu, unsigned vector)
{
	struct pollfd f = {.fd = npu->irq[vector], .events = POLLOUT};
	uint64_t one = 1;

	/* A counter that is full would make the write wait, and has not been looked at anyhow. */
	if (f.fd < 0 || poll(&f, 1, 0) != 1 || !(f.revents & POLLOUT))
		return;
	if (write(f.fd, &one, sizeof(one)) < 0)
		npu_log(-1, "interrupt %u cannot be raised: %s", vector, strerror(errno));
}

void npu_fail(struct npu *npu, const char *why)
{
	if (npu->failed)
		return;
	npu_log(-1, "the device failed and wants a reset: %s", why);
	npu->failed = true;
	npu_raise(npu, WEIR_NPU_IRQ_ADMIN);
}

uint64_t npu_region_size(const struct npu *npu, uint32_t region)
{
	switch (region) {
	case NPU_REGION_BAR0:
		return WEIR_NPU_BAR0_SIZE;
	case NPU_REGION_BAR2:
		return npu->doorbells_size;
	case NPU_REGION_BAR4:
		return NPU_MSIX_SIZE;
	case NPU_REGION_CONFIG:
		return NPU_CONFIG_SIZE;
	default:
		return 0;
	}
}

static bool idle(const struct npu *npu)
{
	for (unsigned i = 0; i < npu->settings->contexts; i++) {
		const struct process *p = npu->contexts[i].process;

		if (p && (process_pausing(p) ||
				 __atomic_load_n(&p->shared->executing, __ATOMIC_RELAXED) != -1))
			return false;
	}
	return true;
}

static uint32_t register_read(const struct npu *npu, uint64_t offset)
{
	switch (offset) {
	case WEIR_NPU_REG_MAGIC:
		return WEIR_NPU_MAGIC;
	case WEIR_NPU_REG_VERSION:
		return WEIR_NPU_VERSION;
	case WEIR_NPU_REG_CAPS:
		return WEIR_NPU_CAP_QUEUE_RESET | WEIR_NPU_CAP_ISOLATION | WEIR_NPU_CAP_COHERENT |
		       WEIR_NPU_CAP_EMULATED;
	case WEIR_NPU_REG_CONTEXTS:
		return npu->settings->contexts;
	case WEIR_NPU_REG_QUEUES:
		return npu->settings->queues;
	case WEIR_NPU_REG_STRIDE:
		return NPU_STRIDE;
	case WEIR_NPU_REG_ENTRIES:
		return TABLE_ENTRIES;
	case WEIR_NPU_REG_ADDR_BITS:
		return WORKER_ADDR_BITS;
	case WEIR_NPU_REG_STATUS:
		return WEIR_NPU_STATUS_READY | (npu->failed ? WEIR_NPU_STATUS_FAILED : 0) |
		       (idle(npu) ? WEIR_NPU_STATUS_IDLE : 0);
	case WEIR_NPU_REG_CONTROL:
		return npu->running ? WEIR_NPU_CONTROL_RUN : 0;
	case WEIR_NPU_REG_ADMIN_LO:
		return (uint32_t)npu->admin_addr;
	case WEIR_NPU_REG_ADMIN_HI:
		return (uint32_t)(npu->admin_addr >> 32);
	case WEIR_NPU_REG_ADMIN_SIZE:
		return npu->admin_size;
	default:
		return 0;
	}
}

static void tell_workers(struct npu *npu, uint32_t op)
{
	struct worker_command c = {.op = op};

	for (unsigned i = 0; i < npu->settings->contexts; i++) {
		struct process *p = npu->contexts[i].process;

		if (p && process_post(p, &c, -1, -1))
			context_lose_worker(npu, i, "out of memory", false, -1);
	}
}

static void start(struct npu *npu)
{
	uint32_t size = npu->admin_size;

	npu->running = true;
	npu->pausing = false;
	if (npu->started) {
		npu_log(-1, "goes on");
		tell_workers(npu, WORKER_RESUME);
		return;
	}
	npu->started = true;
	if (size < NPU_ADMIN_MIN || size > NPU_ADMIN_MAX || (size & (size - 1)))
		npu_fail(npu, "the admin ring's size is no power of two from 2 to 64");
	else if (npu->admin_addr % WEIR_NPU_PAGE)
		npu_fail(npu, "the admin ring's address is no multiple of 4096");
	else
		npu_log(-1, "runs, with an admin ring of %u at %#llx", size,
			(unsigned long long)npu->admin_addr);
}

static void stop(struct npu *npu)
{
	npu_log(-1, "pauses");
	npu->running = false;
	npu->pausing = true;
	tell_workers(npu, WORKER_PAUSE);
}

static void control_write(struct npu *npu, uint32_t value)
{
	bool run = value & WEIR_NPU_CONTROL_RUN;

	if (value & WEIR_NPU_CONTROL_RESET) {
		npu_log(-1, "reset by the driver");
		reset_registers(npu);
	} else if (run && !npu->running) {
		start(npu);
	} else if (!run && npu->running) {
		stop(npu);
	}
}

static void register_write(struct npu *npu, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case WEIR_NPU_REG_CONTROL:
		control_write(npu, value);
		break;
	case WEIR_NPU_REG_ADMIN_LO:
		if (!npu->started)
			npu->admin_addr = (npu->admin_addr & ~0xffffffffull) | value;
		break;
	case WEIR_NPU_REG_ADMIN_HI:
		if (!npu->started)
			npu->admin_addr = (npu->admin_addr & 0xffffffff) | (uint64_t)value << 32;
		break;
	case WEIR_NPU_REG_ADMIN_SIZE:
		if (!npu->started)
			npu->admin_size = value;
		break;
	case WEIR_NPU_REG_ADMIN_TAIL:
		npu->admin_tail = value;
		break;
	case WEIR_NPU_REG_KICK:
		npu->counters.kicks++;
		context_kick(npu, value);
		break;
	default:
		npu_log(-1, "write of %#x to register %#llx, which cannot be written", value,
			(unsigned long long)offset);
	}
}

static bool whole_register(uint64_t offset, uint32_t count)
{
	if (count == 4 && offset % 4 == 0)
		return true;
	npu_log(-1, "access of %u bytes to register %#llx: registers are 4 bytes, aligned", count,
		(unsigned long long)offset);
	return false;
}

static int doorbells_copy(struct npu *npu, uint64_t offset, void *data, uint32_t count, bool write)
{
	ssize_t n = write ? pwrite(npu->doorbells, data, count, (off_t)offset)
			  : pread(npu->doorbells, data, count, (off_t)offset);

	return n == (ssize_t)count ? 0 : -EIO;
}

int npu_region_read(struct npu *npu, uint32_t region, uint64_t offset, void *data, uint32_t count)
{
	uint32_t value;

	switch (region) {
	case NPU_REGION_BAR0:
		if (!whole_register(offset, count))
			return -EINVAL;
		value = register_read(npu, offset);
		memcpy(data, &value, sizeof(value));
		return 0;
	case NPU_REGION_BAR2:
		return doorbells_copy(npu, offset, data, count, false);
	case NPU_REGION_BAR4:
		memcpy(data, npu->msix + offset, count);
		return 0;
	case NPU_REGION_CONFIG:
		memcpy(data, npu->config + offset, count);
		return 0;
	default:
		return -EINVAL;
	}
}

static void config_write(struct npu *npu, uint64_t offset, const void *data, uint32_t count)
{
	bool lost = false;

	pci_write(npu, offset, data, count);
	if (npu->memory.enabled == pci_bus_master(npu))
		return;
	npu->memory.enabled = pci_bus_master(npu);
	npu_log(-1, "bus mastering is %s", npu->memory.enabled ? "on" : "off");
	for (unsigned i = 0; !npu->memory.enabled && i < npu->settings->contexts; i++) {
		if (npu->contexts[i].process) {
			context_lose_worker(npu, i, "bus mastering is off", false, -1);
			lost = true;
		}
	}
	if (lost)
		npu_fail(npu, "bus mastering went off while contexts had workers");
}

int npu_region_write(
	struct npu *npu, uint32_t region, uint64_t offset, const void *data, uint32_t count)
{
	uint32_t value;

	switch (region) {
	case NPU_REGION_BAR0:
		if (!whole_register(offset, count))
			return -EINVAL;
		memcpy(&value, data, sizeof(value));
		register_write(npu, offset, value);
		return 0;
	case NPU_REGION_BAR2:
		return doorbells_copy(npu, offset, (void *)data, count, true);
	case NPU_REGION_BAR4:
		/*
		 * The client keeps the table: this is what it wrote. The pending bits cannot be
		 * written.
		 */
		if (offset < NPU_MSIX_PBA)
			memcpy(npu->msix + offset, data,
				count < NPU_MSIX_PBA - offset ? count : NPU_MSIX_PBA - offset);
		return 0;
	case NPU_REGION_CONFIG:
		config_write(npu, offset, data, count);
		return 0;
	default:
		return -EINVAL;
	}
}

int npu_unmap(struct npu *npu, uint64_t addr, uint64_t last)
{
	int used = memory_unmap_check(&npu->memory, addr, last);

	if (used < 0)
		return used;
	if (used) {
		npu->counters.unmaps_in_use++;
		context_unmap(npu, addr, last);
	}
	npu->counters.unmaps += memory_unmap(&npu->memory, addr, last);
	return 0;
}

static void serve_command(struct npu *npu)
{
	const struct npu_context *c = context_of_command(npu, &npu->command);

	if (!c->process)
		admin_complete(npu, -EPIPE);
	else if (!process_busy(c->process))
		admin_complete(npu, c->process->error);
}

void npu_serve(struct npu *npu)
{
	int64_t now = clock_ms();
	bool pausing = false;

	for (unsigned i = 0; i < npu->settings->contexts; i++) {
		struct process *p = npu->contexts[i].process;
		int err = p ? process_serve(p, now) : 0;

		if (err) {
			context_lose_worker(npu, i, "its worker is gone", true, -1);
		} else if (p) {
			pausing = pausing || process_pausing(p);
			if (p->irq_changed)
				npu_raise(npu, WEIR_NPU_IRQ_QUEUE);
			p->irq_changed = false;
		}
	}
	if (npu->pending)
		serve_command(npu);
	if (npu->pausing && !pausing) {
		npu->pausing = false;
		npu_log(-1, "is idle");
		npu_raise(npu, WEIR_NPU_IRQ_ADMIN);
	}
	admin_run(npu);
	stale_serve(npu);
}

int64_t npu_deadline(const struct npu *npu)
{
	int64_t deadline = stale_deadline(npu);

	for (unsigned i = 0; i < npu->settings->contexts; i++) {
		const struct process *p = npu->contexts[i].process;

		if (p && p->deadline < deadline)
			deadline = p->deadline;
	}
	/* A command whose worker is gone is answered at the next turn. */
	return npu->pending && !context_of_command(npu, &npu->command)->process ? 0 : deadline;
}
