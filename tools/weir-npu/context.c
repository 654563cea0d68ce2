/* SPDX-License-Identifier: MIT */
/*
 * Contexts and queues: what the driver asked for, the worker process of each context, and what
 * becomes of queues without.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "device.h"

static struct npu_context *find_context(const struct npu *npu, uint32_t id)
{
	return id < npu->settings->contexts && npu->contexts[id].exists ? &npu->contexts[id] : NULL;
}

static struct queue_slot *find_queue(const struct npu *npu, uint32_t id)
{
	return id < npu->settings->queues && npu->queues[id].exists ? &npu->queues[id] : NULL;
}

static bool is_queue_command(const struct weir_npu_admin *c)
{
	return c->op == WEIR_NPU_ADMIN_QUEUE_CREATE || c->op == WEIR_NPU_ADMIN_QUEUE_DESTROY;
}

struct npu_context *context_of_command(const struct npu *npu, const struct weir_npu_admin *c)
{
	return &npu->contexts[is_queue_command(c) ? npu->queues[c->queue].ctx : c->ctx];
}

/* ---- workers --------------------------------------------------------------------------------- */

static int post_all(const struct npu_context *c, struct process *p)
{
	return table_post_map(&c->table, 0, c->table.count, p);
}

/* The context's worker, started now if there is none; with all buffers mapped, or about to be. */
static struct process *get_worker(struct npu *npu, unsigned ctx)
{
	struct npu_context *c = &npu->contexts[ctx];
	struct worker_shared last;
	struct process *p;

	if (c->process)
		return c->process;
	p = process_start(ctx, &npu->settings->worker, npu->irq[WEIR_NPU_IRQ_QUEUE]);
	if (!p)
		return NULL;
	npu->counters.workers++;
	if (post_all(c, p)) {
		process_end(p, &last);
		return NULL;
	}
	if (npu->settings->verbose)
		npu_log((int)ctx, "worker %d, %zu mappings", p->pid, c->table.runs);
	c->process = p;
	return p;
}

static void add_past(struct worker_shared *sum, const struct worker_shared *s)
{
	sum->packets += s->packets;
	sum->launches += s->launches;
	sum->loads += s->loads;
	sum->copies += s->copies;
	sum->fills += s->fills;
	sum->signals += s->signals;
	sum->waits += s->waits;
	sum->sleeps += s->sleeps;
	sum->kicks += s->kicks;
	sum->interrupts += s->interrupts;
	sum->busy_ns += s->busy_ns;
}

/* Kills the worker. The queue it executed, or -1. */
static int64_t end_worker(struct npu *npu, unsigned ctx)
{
	struct worker_shared last;

	if (!npu->contexts[ctx].process)
		return -1;
	process_end(npu->contexts[ctx].process, &last);
	npu->contexts[ctx].process = NULL;
	add_past(&npu->past, &last);
	return last.executing;
}

/* Writes to the status page what became of the queue, if it is still ok: state last. */
static void mark_queue(struct npu *npu, uint32_t id, bool guilty)
{
	const uint64_t page = npu->queues[id].status.addr;
	uint32_t state = WEIR_NPU_QUEUE_GUILTY, code = WEIR_NPU_FAULT_LOST;
	struct weir_npu_status s;

	if (memory_read(&npu->memory, page, &s, sizeof(s)))
		return;
	if (s.state == WEIR_NPU_QUEUE_OK) {
		state = guilty ? WEIR_NPU_QUEUE_GUILTY : WEIR_NPU_QUEUE_INNOCENT;
		code = guilty ? WEIR_NPU_FAULT_EXECUTION : WEIR_NPU_FAULT_LOST;
		s.error_seq = s.completed;
		s.fault_addr = 0;
		memory_write(&npu->memory, page + offsetof(struct weir_npu_status, error_seq),
			(uint64_t[]){s.error_seq, s.fault_addr}, 2 * sizeof(uint64_t));
		memory_write(&npu->memory, page + offsetof(struct weir_npu_status, code), &code,
			sizeof(code));
		memory_write(&npu->memory, page + offsetof(struct weir_npu_status, state), &state,
			sizeof(state));
	} else {
		state = s.state;
		code = s.code;
	}
	if (state == WEIR_NPU_QUEUE_GUILTY)
		npu->counters.queues_guilty++;
	else
		npu->counters.queues_innocent++;
	npu_log((int)npu->queues[id].ctx, "queue %u is %s, fault %u at packet %llu, address %#llx",
		id, state == WEIR_NPU_QUEUE_GUILTY ? "guilty" : "innocent", code,
		(unsigned long long)s.error_seq, (unsigned long long)s.fault_addr);
}

void context_lose_worker(struct npu *npu, unsigned ctx, const char *why, bool blame, int64_t skip)
{
	int64_t executing;
	bool marked = false;

	if (!npu->contexts[ctx].process)
		return;
	executing = end_worker(npu, ctx);
	npu->counters.workers_lost++;
	npu_log((int)ctx, "restarts: %s", why);
	for (uint32_t i = 0; i < npu->settings->queues; i++) {
		struct queue_slot *q = &npu->queues[i];

		if (!q->exists || !q->live || q->ctx != ctx)
			continue;
		q->live = false;
		if (i == skip)
			continue;
		mark_queue(npu, i, blame && i == executing);
		marked = true;
	}
	if (marked)
		npu_raise(npu, WEIR_NPU_IRQ_QUEUE);
}

static bool has_live_queue(const struct npu *npu, unsigned ctx)
{
	for (uint32_t i = 0; i < npu->settings->queues; i++) {
		if (npu->queues[i].exists && npu->queues[i].live && npu->queues[i].ctx == ctx)
			return true;
	}
	return false;
}

/* ---- contexts -------------------------------------------------------------------------------- */

int context_create(struct npu *npu, const struct weir_npu_admin *c)
{
	struct npu_context *ctx;
	enum weir_npu_result r;

	if (c->ctx >= npu->settings->contexts || npu->contexts[c->ctx].exists)
		return WEIR_NPU_RESULT_ID;
	if (!c->count || c->count > TABLE_ENTRIES || c->addr % 64 ||
		c->addr > UINT64_MAX - (uint64_t)c->count * sizeof(struct weir_npu_entry))
		return WEIR_NPU_RESULT_COMMAND;
	ctx = &npu->contexts[c->ctx];
	if (table_init(&ctx->table, c->count))
		return WEIR_NPU_RESULT_RESOURCE;
	r = table_read(&ctx->table, &npu->memory, c->addr, 0, c->count);
	if (r) {
		table_fini(&ctx->table, &npu->memory);
		return r;
	}
	ctx->exists = true;
	ctx->addr = c->addr;
	npu->counters.contexts++;
	npu_log((int)c->ctx, "made, with a table of %u at %#llx", c->count,
		(unsigned long long)c->addr);
	return WEIR_NPU_RESULT_OK;
}

static void forget_context(struct npu *npu, unsigned id)
{
	struct npu_context *ctx = &npu->contexts[id];

	end_worker(npu, id);
	table_fini(&ctx->table, &npu->memory);
	memset(ctx, 0, sizeof(*ctx));
}

int context_destroy(struct npu *npu, const struct weir_npu_admin *c)
{
	struct npu_context *ctx = find_context(npu, c->ctx);

	if (!ctx)
		return WEIR_NPU_RESULT_ID;
	if (ctx->queues)
		return WEIR_NPU_RESULT_COMMAND;
	forget_context(npu, c->ctx);
	npu_log((int)c->ctx, "gone");
	return WEIR_NPU_RESULT_OK;
}

int context_update(struct npu *npu, const struct weir_npu_admin *c)
{
	struct npu_context *ctx = find_context(npu, c->ctx);
	struct process *p;
	enum weir_npu_result r;

	if (!ctx)
		return WEIR_NPU_RESULT_ID;
	if (!c->count || c->first >= ctx->table.count || c->count > ctx->table.count - c->first)
		return WEIR_NPU_RESULT_COMMAND;
	p = ctx->process;
	if (p) {
		process_begin(p);
		if (table_post_unmap(&ctx->table, c->first, c->count, p))
			context_lose_worker(npu, c->ctx, "out of memory", false, -1);
	}
	stale_remember(npu, &ctx->table, c->first, c->count);
	table_drop(&ctx->table, &npu->memory, c->first, c->count);
	r = table_read(&ctx->table, &npu->memory, ctx->addr, c->first, c->count);
	p = ctx->process;
	if (!p)
		return r;
	if (table_post_map(&ctx->table, c->first, c->count, p))
		context_lose_worker(npu, c->ctx, "out of memory", false, -1);
	npu->command.result = r;
	return CONTEXT_PENDING;
}

/* What cannot be mapped is no buffer of the context, or its next worker would fail at it too. */
static int update_complete(struct npu *npu, const struct weir_npu_admin *c, int err)
{
	struct npu_context *ctx = &npu->contexts[c->ctx];

	/* Without a worker nothing is mapped: the table is what counts. */
	if (!err || !ctx->process)
		return (int)c->result;
	context_lose_worker(npu, c->ctx, strerror(-err), false, -1);
	table_drop(&ctx->table, &npu->memory, c->first, c->count);
	return WEIR_NPU_RESULT_RESOURCE;
}

/* ---- queues ---------------------------------------------------------------------------------- */

static bool queue_fields_ok(const struct weir_npu_admin *c)
{
	const uint64_t end = 1ull << WORKER_ADDR_BITS;
	uint64_t bytes;

	if (c->order > 31)
		return false;
	bytes = (uint64_t)WEIR_NPU_PACKET_SIZE << c->order;
	return bytes >= WEIR_NPU_RING_MIN && bytes <= WEIR_NPU_RING_MAX &&
	       c->queue_class <= WEIR_NPU_CLASS_LONG_RUNNING && c->priority <= 2 &&
	       c->addr % 64 == 0 && c->addr < end && bytes <= end - c->addr &&
	       c->status % WEIR_NPU_PAGE == 0 && c->control % sizeof(struct weir_npu_control) == 0;
}

static void release_piece(struct npu *npu, struct memory_piece *piece)
{
	if (piece->size)
		memory_release(&npu->memory, piece);
	memset(piece, 0, sizeof(*piece));
}

/* Status page and control block, which the worker gets as one file. */
static enum weir_npu_result use_pages(
	struct npu *npu, struct queue_slot *q, const struct weir_npu_admin *c)
{
	const uint32_t size = sizeof(struct weir_npu_control);

	if (memory_use(&npu->memory, c->status, WEIR_NPU_PAGE, PROT_READ | PROT_WRITE, &q->status))
		return WEIR_NPU_RESULT_ADDRESS;
	if (memory_use(&npu->memory, c->control, size, PROT_READ, &q->control))
		return WEIR_NPU_RESULT_ADDRESS;
	if (q->status.file != q->control.file) {
		npu_log((int)c->ctx,
			"queue %u: status page and control block lie in different memory backends",
			c->queue);
		return WEIR_NPU_RESULT_ADDRESS;
	}
	return WEIR_NPU_RESULT_OK;
}

static void forget_queue(struct npu *npu, uint32_t id)
{
	struct queue_slot *q = &npu->queues[id];

	release_piece(npu, &q->status);
	release_piece(npu, &q->control);
	npu->contexts[q->ctx].queues--;
	memset(q, 0, sizeof(*q));
	/* Nothing of one process waits in the page for the next. */
	fallocate(npu->doorbells, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		(off_t)id * NPU_STRIDE, NPU_STRIDE);
}

static int post_queue(struct npu *npu, const struct queue_slot *q, const struct weir_npu_admin *c)
{
	struct worker_command w = {
		.op = WORKER_QUEUE,
		.queue = c->queue,
		.addr = c->addr,
		.order = c->order,
		.queue_class = c->queue_class,
		.priority = c->priority,
		.start = c->start,
		.status_offset = q->status.offset,
		.control_offset = q->control.offset,
		.doorbell_offset = (uint64_t)c->queue * NPU_STRIDE,
	};
	struct process *p = get_worker(npu, c->ctx);

	if (!p)
		return -ENOMEM;
	process_begin(p);
	return process_post(p, &w, q->status.file->fd, npu->doorbells);
}

int context_queue_create(struct npu *npu, const struct weir_npu_admin *c)
{
	struct npu_context *ctx = find_context(npu, c->ctx);
	struct queue_slot *q;
	int r;

	if (!ctx || c->queue >= npu->settings->queues || npu->queues[c->queue].exists)
		return WEIR_NPU_RESULT_ID;
	if (!queue_fields_ok(c))
		return WEIR_NPU_RESULT_COMMAND;
	if (!table_covers(&ctx->table, c->addr, (uint64_t)WEIR_NPU_PACKET_SIZE << c->order))
		return WEIR_NPU_RESULT_ADDRESS;
	if (ctx->queues >= WORKER_QUEUES)
		return WEIR_NPU_RESULT_RESOURCE;
	q = &npu->queues[c->queue];
	q->ctx = c->ctx;
	q->exists = true;
	ctx->queues++;
	r = use_pages(npu, q, c);
	if (!r && post_queue(npu, q, c))
		r = WEIR_NPU_RESULT_RESOURCE;
	if (r) {
		forget_queue(npu, c->queue);
		return r;
	}
	return CONTEXT_PENDING;
}

static int create_complete(struct npu *npu, const struct weir_npu_admin *c, int err)
{
	struct queue_slot *q = &npu->queues[c->queue];

	if (!err) {
		q->live = true;
		npu->counters.queues++;
		npu_log((int)q->ctx, "queue %u, %s, of %u packets from %llu on", c->queue,
			c->queue_class == WEIR_NPU_CLASS_FENCED ? "fenced" : "long-running",
			1u << c->order, (unsigned long long)c->start);
		return WEIR_NPU_RESULT_OK;
	}
	npu_log((int)q->ctx, "queue %u is not made: %s", c->queue, strerror(-err));
	/* A worker that was started for this queue may lack buffers. */
	if (!has_live_queue(npu, q->ctx))
		context_lose_worker(npu, q->ctx, "its worker cannot be set up", false, -1);
	forget_queue(npu, c->queue);
	if (err == -EFAULT)
		return WEIR_NPU_RESULT_ADDRESS;
	return err == -ENOMEM || err == -ENOSPC ? WEIR_NPU_RESULT_RESOURCE : WEIR_NPU_RESULT_FAILED;
}

/* A worker that lived on marked it itself. */
static void count_state(struct npu *npu, const struct queue_slot *q)
{
	uint32_t state;

	if (memory_read(&npu->memory, q->status.addr + offsetof(struct weir_npu_status, state),
		    &state, sizeof(state)))
		return;
	npu->counters.queues_guilty += state == WEIR_NPU_QUEUE_GUILTY;
	npu->counters.queues_innocent += state == WEIR_NPU_QUEUE_INNOCENT;
}

int context_queue_destroy(struct npu *npu, const struct weir_npu_admin *c)
{
	struct worker_command w = {.op = WORKER_QUEUE_END, .queue = c->queue};
	struct queue_slot *q = find_queue(npu, c->queue);
	struct process *p;

	if (!q)
		return WEIR_NPU_RESULT_ID;
	p = npu->contexts[q->ctx].process;
	if (!q->live || !p) {
		npu_log((int)q->ctx, "queue %u gone", c->queue);
		forget_queue(npu, c->queue);
		return WEIR_NPU_RESULT_OK;
	}
	count_state(npu, q);
	/* Whatever happens from here on, its status page does not say more. */
	q->live = false;
	process_begin(p);
	if (process_post(p, &w, -1, -1))
		context_lose_worker(npu, q->ctx, "out of memory", false, c->queue);
	return CONTEXT_PENDING;
}

static int destroy_complete(struct npu *npu, const struct weir_npu_admin *c, int err)
{
	unsigned ctx = npu->queues[c->queue].ctx;

	/* It did not end the queue: then it does not go on either. */
	if (err)
		context_lose_worker(npu, ctx, strerror(-err), false, -1);
	npu_log((int)ctx, "queue %u gone", c->queue);
	forget_queue(npu, c->queue);
	return WEIR_NPU_RESULT_OK;
}

int context_queue_reset(struct npu *npu, const struct weir_npu_admin *c)
{
	struct queue_slot *q = find_queue(npu, c->queue);

	if (!q)
		return WEIR_NPU_RESULT_ID;
	if (q->live)
		context_lose_worker(npu, q->ctx, "the driver reset a queue of it", false, c->queue);
	return WEIR_NPU_RESULT_OK;
}

int context_complete(struct npu *npu, const struct weir_npu_admin *c, int err)
{
	switch (c->op) {
	case WEIR_NPU_ADMIN_QUEUE_CREATE:
		return create_complete(npu, c, err);
	case WEIR_NPU_ADMIN_QUEUE_DESTROY:
		return destroy_complete(npu, c, err);
	default:
		return update_complete(npu, c, err);
	}
}

void context_kick(struct npu *npu, uint32_t queue)
{
	struct queue_slot *q = find_queue(npu, queue);

	if (q && q->live && npu->contexts[q->ctx].process)
		process_kick(npu->contexts[q->ctx].process);
}

void context_forget_all(struct npu *npu)
{
	for (unsigned i = 0; i < npu->settings->contexts; i++) {
		if (npu->contexts[i].exists)
			end_worker(npu, i);
	}
	for (uint32_t i = 0; i < npu->settings->queues; i++) {
		if (npu->queues[i].exists)
			forget_queue(npu, i);
	}
	for (unsigned i = 0; i < npu->settings->contexts; i++) {
		if (npu->contexts[i].exists)
			forget_context(npu, i);
	}
}

/* ---- memory that the client takes away ------------------------------------------------------- */

static void drop_entry(struct npu *npu, unsigned id, uint32_t entry)
{
	struct npu_context *ctx = &npu->contexts[id];
	struct process *p = ctx->process;

	npu_log((int)id, "buffer at %#llx is gone: its memory was unmapped from the bus",
		(unsigned long long)ctx->table.entries[entry].addr);
	/* What is under way may name files that close now. */
	if (p && (npu->pending || p->first < p->count)) {
		context_lose_worker(
			npu, id, "its memory was unmapped while it was set up", false, -1);
	} else if (p) {
		process_begin(p);
		if (table_post_unmap(&ctx->table, entry, 1, p) || process_wait(p, PROCESS_END_MS) ||
			p->error)
			context_lose_worker(npu, id, "its memory was unmapped", false, -1);
	}
	table_drop(&ctx->table, &npu->memory, entry, 1);
}

static bool piece_in(const struct memory_piece *p, uint64_t addr, uint64_t last)
{
	return p->size && p->addr <= last && p->addr + (p->size - 1) >= addr;
}

void context_unmap(struct npu *npu, uint64_t addr, uint64_t last)
{
	for (uint32_t i = 0; i < npu->settings->queues; i++) {
		struct queue_slot *q = &npu->queues[i];

		if (!q->exists ||
			(!piece_in(&q->status, addr, last) && !piece_in(&q->control, addr, last)))
			continue;
		context_lose_worker(
			npu, q->ctx, "a queue's pages were unmapped from the bus", false, i);
		release_piece(npu, &q->status);
		release_piece(npu, &q->control);
	}
	for (unsigned i = 0; i < npu->settings->contexts; i++) {
		struct npu_context *ctx = &npu->contexts[i];

		for (uint32_t k = 0; ctx->exists && k < ctx->table.count; k++) {
			if (table_touches(&ctx->table, k, addr, last))
				drop_entry(npu, i, k);
		}
	}
}
