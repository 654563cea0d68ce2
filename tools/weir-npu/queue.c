/* SPDX-License-Identifier: MIT */
/* Takes the packets of one queue from its ring and executes them in order. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "queue.h"

/* Launches are finished so often that a watchdog of seconds sees progress, whatever one takes. */
#define TURN_LONG 20000000u /* ns */
#define TURN_SHORT 5000000u

/* Memory is filled by blocks of so many bytes, which the C library copies as fast as it goes. */
#define FILL_BLOCK 1024

/* Not a fault: the queue goes on later. */
#define WAITS (-1)

/* Everything in memory is little-endian, and so are the machines that this runs on. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian machines only");

static void count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/* ---- what the process sees ------------------------------------------------ */

static void raise_interrupt(struct worker *w)
{
	const uint64_t one = 1;

	if (!__atomic_load_n(&w->irq_on, __ATOMIC_ACQUIRE))
		return;
	/* It can only fail by a full counter, and then the interrupt is pending already. */
	if (write(w->irq, &one, sizeof(one)) == sizeof(one))
		__atomic_fetch_add(&w->shared->interrupts, 1, __ATOMIC_RELAXED);
}

static void complete(struct worker *w, struct npu_queue *q, uint64_t seq)
{
	uint64_t before = q->completed, wanted;

	if (seq == before)
		return;
	q->completed = seq;
	__atomic_store_n(&q->status->timestamp, queue_now(), __ATOMIC_RELAXED);
	__atomic_store_n(&q->status->completed, seq, __ATOMIC_RELEASE);
	/* The driver writes irq_seq, then looks at completed: one of both sees the other. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	wanted = __atomic_load_n(&q->control->irq_seq, __ATOMIC_RELAXED);
	if (wanted > before && wanted <= seq)
		raise_interrupt(w);
}

void queue_die(struct worker *w, struct npu_queue *q, int code, uint64_t seq, uint64_t addr)
{
	struct weir_npu_status *s = q->status;

	q->dead = true;
	__atomic_store_n(&s->error_seq, seq, __ATOMIC_RELAXED);
	__atomic_store_n(&s->fault_addr, addr, __ATOMIC_RELAXED);
	__atomic_store_n(&s->code, (uint32_t)code, __ATOMIC_RELAXED);
	__atomic_store_n(&s->waiting, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&s->state, WEIR_NPU_QUEUE_GUILTY, __ATOMIC_RELEASE);
	raise_interrupt(w);
}

static uint64_t sequence(const struct npu_queue *q)
{
	return q->fetched - (q->n - q->at);
}

uint64_t queue_culprit(struct worker *w, struct npu_queue *q)
{
	unsigned done = q->n_launched ? exec_done(w->exec) : 0;

	return done < q->n_launched ? q->launched[done] : sequence(q);
}

/* ---- fetching -------------------------------------------------------------- */

static bool read_slots(struct worker *w, struct npu_queue *q, unsigned n, uint64_t *bad)
{
	uint64_t slot = q->fetched % q->size;
	uint64_t first = q->size - slot < n ? q->size - slot : n;
	const uint64_t size = WEIR_NPU_PACKET_SIZE;

	return space_read(&w->space, q->ring + slot * size, q->batch, first * size, bad) &&
	       space_read(&w->space, q->ring, q->batch + first, (n - first) * size, bad);
}

/* 0, or the fault. */
static int fetch(struct worker *w, struct npu_queue *q, uint64_t *where)
{
	uint64_t published = __atomic_load_n(&q->doorbell->published, __ATOMIC_ACQUIRE);
	uint64_t n = published - q->fetched;

	if (published < q->published || n > q->size) {
		*where = published;
		return WEIR_NPU_FAULT_DOORBELL;
	}
	q->published = published;
	if (n > QUEUE_BATCH)
		n = QUEUE_BATCH;
	/* A copy that nobody can change between check and use. */
	if (!read_slots(w, q, (unsigned)n, where))
		return WEIR_NPU_FAULT_ADDRESS;
	q->at = 0;
	q->n = (unsigned)n;
	q->fetched += n;
	__atomic_store_n(&q->status->read_index, q->fetched, __ATOMIC_RELEASE);
	return 0;
}

/* ---- execution ------------------------------------------------------------- */

/* Waits for the launches under way; adapts how many there will be next time. */
static int finish(struct worker *w, struct npu_queue *q)
{
	uint64_t spent;
	int fault;

	if (q->n_launched == 0)
		return 0;
	fault = exec_finish(w->exec);
	if (fault) {
		/* Which of them is not known: none counts as done. */
		q->n_launched = 0;
		q->lost = true;
		return fault;
	}
	spent = queue_now() - q->turn_begin;
	if (spent > TURN_LONG && q->burst > 1)
		q->burst /= 2;
	else if (spent < TURN_SHORT && q->burst < QUEUE_BATCH)
		q->burst *= 2;
	q->n_launched = 0;
	return 0;
}

/* As finish(); all before packet at are complete then. */
static int flush(struct worker *w, struct npu_queue *q, uint64_t *where)
{
	int fault = finish(w, q);

	*where = 0;
	if (!fault)
		complete(w, q, sequence(q));
	return fault;
}

/* The last page that nothing is mapped at. */
static uint64_t wild_address(struct worker *w)
{
	uint64_t addr = ((uint64_t)1 << WORKER_ADDR_BITS) - WEIR_NPU_PAGE, bad;

	while (space_check(&w->space, addr, WEIR_NPU_PAGE, PROT_NONE, &bad))
		addr -= WEIR_NPU_PAGE;
	return addr;
}

static void sleep_ms(unsigned ms)
{
	struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

	while (nanosleep(&t, &t))
		continue;
}

/* Does what a test asked for in the place of its n-th launch. */
static void misbehave(struct worker *w)
{
	if (w->settings.fault == WORKER_FAULT_NONE ||
		(w->settings.fault_at && w->settings.fault_at != w->launches))
		return;
	switch (w->settings.fault) {
	case WORKER_FAULT_HANG:
		for (;;)
			pause();
	case WORKER_FAULT_WILD:
		*(volatile uint32_t *)space_pointer(&w->space, wild_address(w)) = 1;
		break;
	case WORKER_FAULT_CRASH:
		abort();
	case WORKER_FAULT_SLOW:
		sleep_ms(w->settings.fault_ms);
		break;
	default:
		break;
	}
}

static int launch(
	struct worker *w, struct npu_queue *q, const struct weir_npu_packet *p, uint64_t *where)
{
	struct weir_npu_launch l;
	int fault;

	memcpy(&l, p->body, sizeof(l));
	if (q->n_launched == 0)
		q->turn_begin = queue_now();
	if (w->settings.fault != WORKER_FAULT_NONE) {
		fault = flush(w, q, where);
		if (fault)
			return fault;
		w->launches++;
		misbehave(w);
	}
	fault = exec_launch(w->exec, &l, where);
	if (fault)
		return fault;
	q->launched[q->n_launched++] = sequence(q);
	count(&w->shared->launches);
	return 0;
}

static int copy(struct worker *w, const struct weir_npu_packet *p, uint64_t *where)
{
	struct weir_npu_copy c;

	memcpy(&c, p->body, sizeof(c));
	if (!space_check(&w->space, c.from, c.size, PROT_READ, where) ||
		!space_check(&w->space, c.to, c.size, PROT_WRITE, where))
		return WEIR_NPU_FAULT_ADDRESS;
	memcpy(space_pointer(&w->space, c.to), space_pointer(&w->space, c.from), c.size);
	count(&w->shared->copies);
	return 0;
}

static int fill(struct worker *w, const struct weir_npu_packet *p, uint64_t *where)
{
	uint32_t block[FILL_BLOCK / sizeof(uint32_t)];
	struct weir_npu_fill f;
	uint64_t step;
	char *to;

	memcpy(&f, p->body, sizeof(f));
	if (!space_check(&w->space, f.to, f.size, PROT_WRITE, where))
		return WEIR_NPU_FAULT_ADDRESS;
	for (size_t i = 0; i < sizeof(block) / sizeof(block[0]); i++)
		block[i] = f.pattern;
	to = space_pointer(&w->space, f.to);
	for (uint64_t left = f.size; left > 0; left -= step) {
		step = left < sizeof(block) ? left : sizeof(block);
		memcpy(to, block, step);
		to += step;
	}
	count(&w->shared->fills);
	return 0;
}

static int signal_value(struct worker *w, const struct weir_npu_packet *p, uint64_t *where)
{
	struct weir_npu_signal s;

	memcpy(&s, p->body, sizeof(s));
	if (!space_store64(&w->space, s.addr, s.value, where))
		return WEIR_NPU_FAULT_ADDRESS;
	count(&w->shared->signals);
	return 0;
}

/* True also when looking would be a fault: the turn finds it then. */
static bool wait_is_over(struct worker *w, const struct weir_npu_packet *p)
{
	struct weir_npu_signal s;
	uint64_t value, bad;

	memcpy(&s, p->body, sizeof(s));
	return !space_load64(&w->space, s.addr, &value, &bad) || value >= s.value;
}

static int wait_value(
	struct worker *w, struct npu_queue *q, const struct weir_npu_packet *p, uint64_t *where)
{
	struct weir_npu_signal s;
	uint64_t value;

	memcpy(&s, p->body, sizeof(s));
	if (!space_load64(&w->space, s.addr, &value, where))
		return WEIR_NPU_FAULT_ADDRESS;
	q->waiting = value < s.value;
	__atomic_store_n(&q->status->waiting, q->waiting, __ATOMIC_RELEASE);
	if (q->waiting)
		return WAITS;
	count(&w->shared->waits);
	return 0;
}

/* Compilers take seconds: the watchdog is told. */
static int load(struct worker *w, struct npu_queue *q, const struct weir_npu_packet *p, uint64_t *where)
{
	struct weir_npu_load l;
	int fault;

	memcpy(&l, p->body, sizeof(l));
	count(&w->shared->loads);
	__atomic_store_n(&q->status->waiting, 1, __ATOMIC_RELEASE);
	fault = exec_load(w->exec, &l, where);
	__atomic_store_n(&q->status->waiting, 0, __ATOMIC_RELEASE);
	return fault;
}

static int unload(struct worker *w, const struct weir_npu_packet *p, uint64_t *where)
{
	struct weir_npu_unload u;

	memcpy(&u, p->body, sizeof(u));
	return exec_unload(w->exec, u.program, where);
}

/* What launches do overlaps with nothing else but launches, which OpenCL keeps in order. */
static int execute(
	struct worker *w, struct npu_queue *q, const struct weir_npu_packet *p, uint64_t *where)
{
	int fault;

	if (p->type == WEIR_NPU_PACKET_NOP)
		return 0;
	if (p->type == WEIR_NPU_PACKET_LAUNCH)
		return launch(w, q, p, where);
	fault = flush(w, q, where);
	if (fault)
		return fault;
	switch (p->type) {
	case WEIR_NPU_PACKET_COPY:
		return copy(w, p, where);
	case WEIR_NPU_PACKET_FILL:
		return fill(w, p, where);
	case WEIR_NPU_PACKET_SIGNAL:
		return signal_value(w, p, where);
	case WEIR_NPU_PACKET_WAIT:
		return wait_value(w, q, p, where);
	case WEIR_NPU_PACKET_LOAD:
		return load(w, q, p, where);
	default:
		return unload(w, p, where);
	}
}

/* Alone on the device, so that both times are its own. */
static int execute_stamped(
	struct worker *w, struct npu_queue *q, const struct weir_npu_packet *p, uint64_t *where)
{
	uint64_t begin, end, size = 2 * sizeof(begin);
	int fault;

	if (!space_check(&w->space, p->stamp, size, PROT_WRITE, where))
		return WEIR_NPU_FAULT_ADDRESS;
	fault = flush(w, q, where);
	if (fault)
		return fault;
	begin = queue_now();
	fault = execute(w, q, p, where);
	if (!fault)
		fault = finish(w, q);
	if (fault)
		return fault;
	end = queue_now();
	if (!space_store64(&w->space, p->stamp, begin, where) ||
		!space_store64(&w->space, p->stamp + sizeof(begin), end, where))
		return WEIR_NPU_FAULT_ADDRESS;
	return 0;
}

static int run_packet(struct worker *w, struct npu_queue *q, uint64_t *where)
{
	const struct weir_npu_packet *p = &q->batch[q->at];
	int fault;

	*where = 0;
	fault = ring_check_packet(p, q->queue_class, &w->identity, where);
	if (!fault)
		fault = p->stamp ? execute_stamped(w, q, p, where) : execute(w, q, p, where);
	if (fault)
		return fault;
	q->at++;
	count(&w->shared->packets);
	q->spent += 64u >> (2 * q->priority);
	/*
	 * One step of completed each, but for what costs nothing and for launches that can be a
	 * batch.
	 */
	if (q->n_launched >= q->burst || (q->n_launched && queue_now() - q->turn_begin > TURN_LONG))
		return flush(w, q, where);
	if (p->type != WEIR_NPU_PACKET_NOP && q->n_launched == 0)
		complete(w, q, sequence(q));
	return 0;
}

/* ---- turns ----------------------------------------------------------------- */

bool queue_ready(struct worker *w, struct npu_queue *q)
{
	if (q->dead || q->ending)
		return false;
	if (q->at < q->n)
		return !q->waiting || wait_is_over(w, &q->batch[q->at]);
	return __atomic_load_n(&q->doorbell->published, __ATOMIC_RELAXED) != q->fetched;
}

static const char *fault_name(int code)
{
	switch (code) {
	case WEIR_NPU_FAULT_PACKET:
		return "wrong packet, at byte";
	case WEIR_NPU_FAULT_PROGRAM:
		return "no such program or kernel (or, for LOAD, there is one): program";
	case WEIR_NPU_FAULT_ARGUMENT:
		return "wrong argument: number";
	case WEIR_NPU_FAULT_ADDRESS:
		return "address outside the context's buffers:";
	case WEIR_NPU_FAULT_DOORBELL:
		return "senseless doorbell:";
	default:
		return "kernel failed:";
	}
}

/* The launches before the bad packet are good unless they fail, too. */
static void fail(struct worker *w, struct npu_queue *q, int code, uint64_t where)
{
	uint64_t seq = sequence(q);
	int late = finish(w, q);

	if (q->lost) {
		seq = q->completed;
		where = 0;
		code = late ? late : code;
	}
	complete(w, q, seq);
	npu_log((int)w->settings.ctx, "queue %u, packet %llu: %s 0x%llx", q->id,
		(unsigned long long)seq, fault_name(code), (unsigned long long)where);
	queue_die(w, q, code, seq, where);
}

void queue_turn(struct worker *w, struct npu_queue *q)
{
	uint64_t where = 0;
	int fault = 0;

	if (q->at == q->n)
		fault = fetch(w, q, &where);
	while (!fault && q->at < q->n && !__atomic_load_n(&q->ending, __ATOMIC_RELAXED))
		fault = run_packet(w, q, &where);
	if (!fault)
		fault = flush(w, q, &where);
	if (fault > 0)
		fail(w, q, fault, where);
}
