/* SPDX-License-Identifier: MIT */
/* The admin ring: takes commands in order, has them executed, writes how they ended. */
#include <stddef.h>
#include <string.h>

#include "device.h"

static const char *op_name(unsigned op)
{
	static const char *const names[] = {
		[WEIR_NPU_ADMIN_IDENTIFY] = "IDENTIFY",
		[WEIR_NPU_ADMIN_CTX_CREATE] = "CTX_CREATE",
		[WEIR_NPU_ADMIN_CTX_DESTROY] = "CTX_DESTROY",
		[WEIR_NPU_ADMIN_CTX_UPDATE] = "CTX_UPDATE",
		[WEIR_NPU_ADMIN_QUEUE_CREATE] = "QUEUE_CREATE",
		[WEIR_NPU_ADMIN_QUEUE_DESTROY] = "QUEUE_DESTROY",
		[WEIR_NPU_ADMIN_QUEUE_RESET] = "QUEUE_RESET",
	};

	return op < sizeof(names) / sizeof(*names) && names[op] ? names[op] : "no such command";
}

static const char *result_name(int result)
{
	static const char *const names[] = {"ok", "a field is wrong",
		"no such id, or it exists already", "an address cannot be reached", "no room",
		"the device failed at it"};

	return names[result];
}

static int execute(struct npu *npu, const struct weir_npu_admin *c)
{
	if (c->zero)
		return WEIR_NPU_RESULT_COMMAND;
	switch (c->op) {
	case WEIR_NPU_ADMIN_IDENTIFY:
		return memory_write(&npu->memory, c->addr, &npu->identity, sizeof(npu->identity))
			       ? WEIR_NPU_RESULT_ADDRESS
			       : WEIR_NPU_RESULT_OK;
	case WEIR_NPU_ADMIN_CTX_CREATE:
		return context_create(npu, c);
	case WEIR_NPU_ADMIN_CTX_DESTROY:
		return context_destroy(npu, c);
	case WEIR_NPU_ADMIN_CTX_UPDATE:
		return context_update(npu, c);
	case WEIR_NPU_ADMIN_QUEUE_CREATE:
		return context_queue_create(npu, c);
	case WEIR_NPU_ADMIN_QUEUE_DESTROY:
		return context_queue_destroy(npu, c);
	case WEIR_NPU_ADMIN_QUEUE_RESET:
		return context_queue_reset(npu, c);
	default:
		return WEIR_NPU_RESULT_COMMAND;
	}
}

static uint64_t slot_of(const struct npu *npu, uint32_t n)
{
	return npu->admin_addr +
	       (uint64_t)(n & (npu->admin_size - 1)) * sizeof(struct weir_npu_admin);
}

/* The command at admin_head is done. */
static void answer(struct npu *npu, const struct weir_npu_admin *c, int result)
{
	uint64_t slot = slot_of(npu, npu->admin_head++);
	uint32_t value = (uint32_t)result, done = 1;

	if (result) {
		npu->counters.admin_refused++;
		npu_log(-1, "%s (context %u, queue %u) refused: %s", op_name(c->op), c->ctx,
			c->queue, result_name(result));
	} else if (npu->settings->verbose) {
		npu_log(-1, "%s (context %u, queue %u)", op_name(c->op), c->ctx, c->queue);
	}
	if (memory_write(&npu->memory, slot + offsetof(struct weir_npu_admin, result), &value,
		    sizeof(value)) ||
		memory_write(&npu->memory, slot + offsetof(struct weir_npu_admin, done), &done,
			sizeof(done)))
		npu_fail(npu, "the admin ring cannot be written");
	npu_raise(npu, WEIR_NPU_IRQ_ADMIN);
}

static bool deaf_now(const struct npu *npu)
{
	const struct npu_settings *s = npu->settings;

	return s->deaf && (!s->deaf_at || s->deaf_at == npu->counters.admin_commands);
}

static void take(struct npu *npu)
{
	int result;

	if (memory_read(&npu->memory, slot_of(npu, npu->admin_head), &npu->command,
		    sizeof(npu->command))) {
		npu_fail(npu, "the admin ring cannot be read");
		return;
	}
	npu->counters.admin_commands++;
	if (deaf_now(npu)) {
		npu_log(-1, "fault deaf: %s is not answered", op_name(npu->command.op));
		npu->admin_head++;
		return;
	}
	result = execute(npu, &npu->command);
	if (result == CONTEXT_PENDING)
		npu->pending = true;
	else
		answer(npu, &npu->command, result);
}

void admin_run(struct npu *npu)
{
	while (npu->running && !npu->failed && !npu->pending &&
		npu->admin_head != npu->admin_tail) {
		if (npu->admin_tail - npu->admin_head > npu->admin_size)
			npu_fail(npu, "ADMIN_TAIL is further than the ring from what was taken");
		else
			take(npu);
	}
}

void admin_complete(struct npu *npu, int err)
{
	npu->pending = false;
	answer(npu, &npu->command, context_complete(npu, &npu->command, err));
}
