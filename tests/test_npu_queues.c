/* SPDX-License-Identifier: MIT */
/*
 * weir-npu's worker serves its queues: counters, waits, turns, interrupts, sleep, and commands
 * meanwhile.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "npu/bench.h"
#include "suite.h"

static const char source[] = "kernel void spin(global volatile ulong *o, ulong n)\n"
			     "{ for (ulong i = 0; i < n; i++) o[0]++; }\n";

enum { SPIN };

static void setup(void)
{
	bench_setup();
	bench_program(source, (const char *const[]){"spin"}, 1);
}

static void start(unsigned awake_ms)
{
	struct worker_settings settings = {.ctx = 7, .awake_ms = awake_ms};

	bench_start(&settings);
}

/* ---- queues ---------------------------------------------------------------------------- */

START_TEST(counters)
{
	struct rig_queue *q = rig_queue(&rig, 1, WEIR_NPU_CLASS_FENCED, 1, 1000000007);
	uint64_t from = q->written;

	ck_assert_uint_eq(q->status->completed, from);
	ck_assert_uint_eq(q->status->read_index, from);
	for (unsigned i = 1; i <= 500; i++) {
		push(q, packet_signal(data.addr, i));
		rig_publish(&rig, q);
		if (i % 7 == 0) {
			ck_assert(rig_wait(&rig, q, from + i, RIG_LONG_MS));
			ck_assert_uint_ge(*(uint64_t *)data.host, i);
		}
	}
	ck_assert(rig_wait(&rig, q, from + 500, RIG_LONG_MS));
	ck_assert_uint_eq(q->status->read_index, from + 500);
	ck_assert_uint_le(q->status->timestamp, rig_now());
	ck_assert_uint_gt(q->status->timestamp, rig_now() - 1000000000);
	ck_assert_uint_eq(q->status->state, WEIR_NPU_QUEUE_OK);
	ck_assert_int_eq(rig.shared->executing, -1);
}
END_TEST

/* A WAIT holds up its own queue and no other. */
START_TEST(waits)
{
	struct rig_queue *q = rig_queue(&rig, 1, WEIR_NPU_CLASS_LONG_RUNNING, 1, 0);
	struct weir_npu_packet wait = packet_wait(data.addr, 10);
	uint64_t *value = (uint64_t *)data.host;

	push(q, packet_signal(data.addr + 8, 1));
	push(q, wait);
	push(q, packet_signal(data.addr + 8, 2));
	rig_publish(&rig, q);
	ck_assert(!rig_wait(&rig, q, 2, 30));
	ck_assert_uint_eq(q->status->completed, 1);
	ck_assert_uint_eq(q->status->waiting, 1);
	ck_assert_int_eq(rig.shared->executing, -1);
	must(packet_nop());
	__atomic_store_n(value, 9, __ATOMIC_RELEASE);
	ck_assert(!rig_wait(&rig, q, 2, 30));
	__atomic_store_n(value, 11, __ATOMIC_RELEASE);
	ck_assert(rig_wait(&rig, q, 3, RIG_LONG_MS));
	ck_assert_uint_eq(q->status->waiting, 0);
	ck_assert_uint_eq(value[1], 2);
	/* Two queues hand each other the turn. */
	for (uint64_t i = 1; i <= 100; i++) {
		push(q, packet_wait(data.addr + 16, i));
		push(q, packet_signal(data.addr + 24, i));
		rig_publish(&rig, q);
		must(packet_signal(data.addr + 16, i));
		ck_assert(rig_wait(&rig, q, 3 + 2 * i, RIG_LONG_MS));
		ck_assert_uint_eq(value[3], i);
	}
	ck_assert_uint_eq(rig.shared->waits, 101);
}
END_TEST

/* A queue that waits can be ended at once, and memory it waits on unmapped: its fault then. */
START_TEST(wait_ends)
{
	struct rig_queue *q = rig_queue(&rig, 1, WEIR_NPU_CLASS_LONG_RUNNING, 2, 0);
	struct rig_buffer b = rig_alloc(&rig, PAGE, RW);

	push(q, packet_wait(b.addr, 1));
	rig_publish(&rig, q);
	ck_assert(!rig_wait(&rig, q, 1, 20));
	ck_assert_int_eq(rig_simple(&rig, WORKER_QUEUE_END, 1), 0);
	__atomic_store_n((uint64_t *)b.host, 5, __ATOMIC_RELEASE);
	ck_assert(!rig_wait(&rig, q, 1, 20));
	munmap(q->doorbell, PAGE);

	q = rig_queue(&rig, 1, WEIR_NPU_CLASS_LONG_RUNNING, 2, 0);
	push(q, packet_wait(b.addr, 100));
	rig_publish(&rig, q);
	ck_assert(!rig_wait(&rig, q, 1, 20));
	ck_assert_int_eq(rig_unmap(&rig, b.addr, PAGE), 0);
	ck_assert_int_eq(rig_fault(&rig, q), WEIR_NPU_FAULT_ADDRESS);
	ck_assert_uint_eq(q->status->fault_addr, b.addr);
	must(packet_nop());
}
END_TEST

/* Both go on, and the one of high priority is served more. */
START_TEST(priorities)
{
	struct weir_npu_arg args[] = {arg_buffer(data.addr), {WEIR_NPU_ARG_VALUE, 8, 20000}};
	struct rig_queue *low = rig_queue(&rig, 1, WEIR_NPU_CLASS_FENCED, 0, 0);
	struct rig_queue *high = rig_queue(&rig, 2, WEIR_NPU_CLASS_FENCED, 2, 0);
	struct weir_npu_packet p = launch(SPIN, 1, 1, 0, args, 2);

	must(p); /* compiled */
	for (unsigned i = 0; i < RIG_RING; i++) {
		push(low, p);
		push(high, p);
	}
	rig_publish(&rig, low);
	rig_publish(&rig, high);
	for (unsigned i = 0; i < 10 * RIG_RING; i++)
		push(high, p);
	rig_publish(&rig, high);
	ck_assert_uint_gt(low->status->completed, 0);
	ck_assert(rig_wait(&rig, high, high->written, RIG_LONG_MS));
	ck_assert(rig_wait(&rig, low, low->written, RIG_LONG_MS));
}
END_TEST

START_TEST(pause_resume)
{
	struct weir_npu_arg args[] = {arg_buffer(data.addr), {WEIR_NPU_ARG_VALUE, 8, 20000000}};
	uint64_t at;

	must(launch(SPIN, 1, 1, 0, args, 0 + 2));
	push(queue, launch(SPIN, 1, 1, 0, args, 2));
	rig_publish(&rig, queue);
	nap_ms(5);
	ck_assert_int_eq(rig_simple(&rig, WORKER_PAUSE, 0), 0);
	/* What executed is done when the answer comes. */
	ck_assert_int_eq(rig.shared->executing, -1);
	at = queue->status->completed;
	ck_assert_uint_eq(at, queue->written);
	push(queue, packet_nop());
	rig_publish(&rig, queue);
	ck_assert(!rig_wait(&rig, queue, at + 1, 50));
	/* Answers meanwhile. */
	ck_assert_int_eq(rig_simple(&rig, WORKER_QUEUE_END, 3), -ENOENT);
	ck_assert_int_eq(rig_simple(&rig, WORKER_RESUME, 0), 0);
	ck_assert(rig_wait(&rig, queue, at + 1, RIG_LONG_MS));
}
END_TEST

START_TEST(interrupts)
{
	must(packet_nop());
	ck_assert_uint_eq(rig_interrupts(&rig, 20), 0);
	__atomic_store_n(&queue->control->irq_seq, queue->written + 3, __ATOMIC_SEQ_CST);
	must(packet_signal(data.addr, 1));
	must(packet_signal(data.addr, 2));
	ck_assert_uint_eq(rig_interrupts(&rig, 20), 0);
	must(packet_signal(data.addr, 3));
	ck_assert_uint_eq(rig_interrupts(&rig, RIG_LONG_MS), 1);
	must(packet_signal(data.addr, 4));
	ck_assert_uint_eq(rig_interrupts(&rig, 20), 0);
	/* In the middle of a batch, too; what is passed already never comes. */
	__atomic_store_n(&queue->control->irq_seq, queue->written + 5, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < 20; i++)
		push(queue, packet_nop());
	must(packet_nop());
	ck_assert_uint_eq(rig_interrupts(&rig, RIG_LONG_MS), 1);
	__atomic_store_n(&queue->control->irq_seq, queue->written - 1, __ATOMIC_SEQ_CST);
	must(packet_nop());
	ck_assert_uint_eq(rig_interrupts(&rig, 20), 0);
	ck_assert_uint_eq(rig.shared->interrupts, 2);
}
END_TEST

/* Without an eventfd nothing is raised, and with another that one. */
START_TEST(interrupts_elsewhere)
{
	struct worker_command c = {.op = WORKER_IRQ};
	int first = rig.irq, second = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	__atomic_store_n(&queue->control->irq_seq, queue->written + 1, __ATOMIC_SEQ_CST);
	ck_assert_int_eq(rig_command(&rig, &c, -1, -1), 0);
	must(packet_nop());
	ck_assert_uint_eq(rig_interrupts(&rig, 20), 0);
	ck_assert_uint_eq(rig.shared->interrupts, 0);
	__atomic_store_n(&queue->control->irq_seq, queue->written + 1, __ATOMIC_SEQ_CST);
	ck_assert_int_eq(rig_command(&rig, &c, second, -1), 0);
	must(packet_nop());
	ck_assert_uint_eq(rig_interrupts(&rig, 20), 0);
	rig.irq = second;
	ck_assert_uint_eq(rig_interrupts(&rig, RIG_LONG_MS), 1);
	close(first);
}
END_TEST

/* The driver sets irq_seq while packets complete: by one way or the other it always learns. */
START_TEST(interrupts_race)
{
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t seq = queue->written + 1;

		push(queue, packet_nop());
		rig_publish(&rig, queue);
		for (volatile unsigned spin = i % 64 * 20; spin > 0; spin--)
			continue;
		__atomic_store_n(&queue->control->irq_seq, seq, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (__atomic_load_n(&queue->status->completed, __ATOMIC_ACQUIRE) < seq)
			ck_assert_uint_ge(rig_interrupts(&rig, RIG_LONG_MS), 1);
		else
			rig_interrupts(&rig, 0);
		__atomic_store_n(&queue->control->irq_seq, 0, __ATOMIC_RELAXED);
		ck_assert(rig_wait(&rig, queue, seq, RIG_LONG_MS));
	}
}
END_TEST

/* ---- sleep ------------------------------------------------------------------------------- */

static bool asleep(const struct rig_queue *q, unsigned ms)
{
	uint64_t end = rig_now() + (uint64_t)ms * 1000000;

	while (!__atomic_load_n(&q->status->need_kick, __ATOMIC_RELAXED) && rig_now() < end)
		nap_ms(1);
	return __atomic_load_n(&q->status->need_kick, __ATOMIC_RELAXED);
}

START_TEST(sleeps)
{
	uint64_t slept;

	start(30);
	must(packet_nop());
	ck_assert_uint_eq(queue->status->need_kick, 0);
	ck_assert(asleep(queue, RIG_LONG_MS));
	nap_ms(20);
	ck_assert_uint_eq(rig.shared->awake, 0);
	slept = rig.shared->sleeps;
	ck_assert_uint_ge(slept, 1);
	/* Unkicked it sleeps on; a queue that comes wakes it, and it sees all doorbells. */
	push(queue, packet_nop());
	__atomic_store_n(&queue->doorbell->published, queue->written, __ATOMIC_RELEASE);
	ck_assert(!rig_wait(&rig, queue, queue->written, 50));
	rig_kick(&rig);
	ck_assert(rig_wait(&rig, queue, queue->written, RIG_LONG_MS));
	ck_assert(asleep(queue, RIG_LONG_MS));
	rig_queue(&rig, 1, WEIR_NPU_CLASS_FENCED, 1, 0);
	ck_assert(asleep(&rig.queues[1], RIG_LONG_MS));
	ck_assert(asleep(queue, RIG_LONG_MS));
	bench_stop();
}
END_TEST

/* It falls asleep at once, so that doorbell and sleep meet in every way: no packet is lost. */
START_TEST(sleep_race)
{
	start(0);
	for (unsigned i = 0; i < 1500; i++) {
		push(queue, packet_nop());
		rig_publish(&rig, queue);
		ck_assert_msg(rig_wait(&rig, queue, queue->written, 20000), "lost at %u", i);
		for (volatile unsigned spin = i % 97 * 150; spin > 0; spin--)
			continue;
	}
	bench_stop();
}
END_TEST

/* While a WAIT waits there is nothing to kick: it has to look. */
START_TEST(sleep_wait)
{
	struct rig_queue *q;

	start(5);
	q = rig_queue(&rig, 1, WEIR_NPU_CLASS_LONG_RUNNING, 1, 0);
	push(q, packet_wait(data.addr, 1));
	rig_publish(&rig, q);
	nap_ms(100);
	__atomic_store_n((uint64_t *)data.host, 1, __ATOMIC_RELEASE);
	ck_assert(rig_wait(&rig, q, 1, RIG_LONG_MS));
	bench_stop();
}
END_TEST

/* ---- the process ---------------------------------------------------------------------------- */

START_TEST(socket_end)
{
	start(1000);
	must(packet_nop());
	close(rig.socket);
	rig.socket = -1;
	ck_assert_int_eq(rig_death(&rig), 0);
	bench_stop();
}
END_TEST

START_TEST(identity)
{
	struct worker_settings settings = {.threads = 1};
	struct weir_npu_identity i;

	memset(&i, 0xff, sizeof(i));
	ck_assert_int_eq(worker_identify(&settings, &i), 0);
	ck_assert_ptr_nonnull(memchr(i.name, 0, sizeof(i.name)));
	ck_assert(strncmp(i.name, "Weir NPU", 8) == 0);
	ck_assert_ptr_nonnull(strstr(i.version, "PoCL"));
	ck_assert_uint_eq(i.kind, WEIR_NPU_KIND_CPU);
	ck_assert_uint_eq(i.formats, 1u << WEIR_NPU_FORMAT_OPENCL_C);
	ck_assert_uint_eq(i.compute_units, 1);
	ck_assert_uint_ge(i.max_local, 64);
	ck_assert_uint_ge(i.max_args, 32);
	ck_assert_uint_eq(i.max_programs, WORKER_PROGRAMS);
	ck_assert_uint_eq(i.align, 64);
	ck_assert_uint_ge(i.local_memory, 16384);
	ck_assert_uint_eq(i.clock_hz, 1000000000);
	for (unsigned n = 0; n < sizeof(i.zero); n++)
		ck_assert_uint_eq(i.zero[n], 0);
}
END_TEST

/* Without a folder of the user's own there is no device, and a line that says why. */
START_TEST(identity_folder)
{
	static const char *const names[] = {"POCL_CACHE_DIR", "XDG_CACHE_HOME", "HOME"};
	struct worker_settings settings = {.threads = 1};
	struct weir_npu_identity i;
	char *saved[3];

	for (unsigned n = 0; n < 3; n++) {
		saved[n] = getenv(names[n]) ? strdup(getenv(names[n])) : NULL;
		unsetenv(names[n]);
	}
	ck_assert_int_eq(worker_identify(&settings, &i), -1);
	setenv("POCL_CACHE_DIR", "/proc/none", 1);
	ck_assert_int_eq(worker_identify(&settings, &i), -1);
	for (unsigned n = 0; n < 3; n++) {
		unsetenv(names[n]);
		if (saved[n])
			setenv(names[n], saved[n], 1);
		free(saved[n]);
	}
	ck_assert_int_eq(worker_identify(&settings, &i), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("npu_queues");
	TCase *t = bench_case(s, "queues", bench_setup);

	tcase_add_test(t, counters);
	tcase_add_test(t, waits);
	tcase_add_test(t, wait_ends);
	tcase_add_test(t, interrupts);
	tcase_add_test(t, interrupts_elsewhere);
	tcase_add_test(t, interrupts_race);
	t = bench_case(s, "launches", setup);
	tcase_add_test(t, priorities);
	tcase_add_test(t, pause_resume);
	t = bench_case(s, "process", NULL);
	tcase_add_test(t, sleeps);
	tcase_add_test(t, sleep_race);
	tcase_add_test(t, sleep_wait);
	tcase_add_test(t, socket_end);
	tcase_add_test(t, identity);
	tcase_add_test(t, identity_folder);
	return suite_run(s);
}
