/* SPDX-License-Identifier: MIT */
/*
 * Kernels that do harm: weir-npu's worker names the launch, the address and the queue, and dies
 * of it alone.
 */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "npu/bench.h"
#include "suite.h"

#define WORKER_EXIT_FAULT 3

static const char source[] =
	"kernel void fill(global int *to, int v) { to[get_global_id(0)] = v; }\n"
	"kernel void at(global int *to, long offset) { to[offset] = 7; }\n"
	"kernel void far(global int *to, ulong addr) { *(global int *)(uintptr_t)addr = 7; }\n"
	"kernel void divide(global int *to) { to[0] = to[1] / to[2]; }\n"
	"kernel void endless(global volatile int *to) { while (to[0] == 0) to[1]++; }\n";

enum { FILL, AT, FAR, DIVIDE, ENDLESS, KERNELS };
static const char *const names[KERNELS] = {"fill", "at", "far", "divide", "endless"};

static void setup(void)
{
	bench_setup();
	bench_program(source, names, KERNELS);
}

/* ---- kernels that do harm ------------------------------------------------------------------ */

/* The worker marks the queue and ends. */
static void must_end(int code, uint64_t addr, uint64_t seq)
{
	int status;

	rig_publish(&rig, queue);
	ck_assert_int_eq(rig_fault(&rig, queue), code);
	ck_assert_uint_eq(queue->status->fault_addr, addr);
	ck_assert_uint_eq(queue->status->error_seq, seq);
	ck_assert_uint_eq(queue->status->completed, seq);
	ck_assert_uint_ge(rig_interrupts(&rig, RIG_LONG_MS), 1);
	status = rig_death(&rig);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), WORKER_EXIT_FAULT);
	ck_assert_int_eq(rig.shared->executing, 0);
}

/* In the middle of launches that are enqueued together: exactly that one is named. */
START_TEST(wild_store)
{
	struct weir_npu_arg good[] = {arg_buffer(data.addr), arg_int(1)};
	struct weir_npu_arg bad[] = {
		arg_buffer(data.addr), {WEIR_NPU_ARG_VALUE, 8, 64 * PAGE / 4 + 5}};
	uint64_t seq;

	must(launch_next(FILL, 4, 16, good, 2));
	must(launch_next(AT, 1, 1, (struct weir_npu_arg[]){good[0], {WEIR_NPU_ARG_VALUE, 8, 3}}, 2));
	for (unsigned i = 0; i < 3; i++)
		push(queue, launch_next(FILL, 4, 16, good, 2));
	push(queue, packet_nop());
	seq = queue->written;
	push(queue, launch_next(AT, 1, 1, bad, 2));
	for (unsigned i = 0; i < 3; i++)
		push(queue, launch_next(FILL, 4, 16, good, 2));
	must_end(WEIR_NPU_FAULT_ADDRESS, data.addr + data.size + 20, seq);
}
END_TEST

/* Around the context's addresses nothing of the worker's own is near: an index that runs off
 * faults. */
START_TEST(outer_store)
{
	struct weir_npu_arg args[] = {arg_buffer(data.addr),
		{WEIR_NPU_ARG_VALUE, 8, -(data.addr / 4) - ((uint64_t)1 << 31)}};
	uint64_t seq = queue->written;

	push(queue, launch_next(AT, 1, 1, args, 2));
	must_end(WEIR_NPU_FAULT_ADDRESS, -((uint64_t)1 << 33), seq);
}
END_TEST

START_TEST(read_only_store)
{
	struct weir_npu_arg args[] = {arg_buffer(constant.addr), arg_int(1)};
	uint64_t seq = queue->written;

	push(queue, launch_next(FILL, 1, 1, args, 2));
	must_end(WEIR_NPU_FAULT_ADDRESS, constant.addr, seq);
}
END_TEST

/* An address of the worker's own that is none: said as it is. */
START_TEST(far_store)
{
	struct weir_npu_arg args[] = {arg_buffer(data.addr), {WEIR_NPU_ARG_VALUE, 8, 0x1230}};
	uint64_t seq = queue->written;

	push(queue, launch_next(FAR, 1, 1, args, 2));
	must_end(WEIR_NPU_FAULT_ADDRESS, 0x1230, seq);
}
END_TEST

START_TEST(division)
{
	struct weir_npu_arg args[] = {arg_buffer(data.addr)};
	uint64_t seq = queue->written;

	((int *)data.host)[1] = 5;
	push(queue, launch_next(DIVIDE, 1, 1, args, 1));
	must_end(WEIR_NPU_FAULT_EXECUTION, 0, seq);
}
END_TEST

/* The kernel runs while its buffer goes away: the store behind that is its fault. */
START_TEST(unmap_under)
{
	struct weir_npu_arg args[] = {arg_buffer(data.addr)};
	volatile int *count = (volatile int *)data.host + 1;
	uint64_t seq = queue->written, end = rig_now() + (uint64_t)RIG_LONG_MS * 1000000;
	int err;

	push(queue, launch_next(ENDLESS, 1, 1, args, 1));
	rig_publish(&rig, queue);
	while (*count == 0 && rig_now() < end)
		continue;
	ck_assert_int_ne(*count, 0);
	ck_assert_int_eq(rig.shared->executing, 0);
	/* The fault may end the worker before it has answered. */
	err = rig_unmap(&rig, data.addr, PAGE);
	ck_assert(err == 0 || err == -EPIPE);
	ck_assert_int_eq(rig_fault(&rig, queue), WEIR_NPU_FAULT_ADDRESS);
	/* Either of the two words. */
	ck_assert_uint_le(queue->status->fault_addr - data.addr, 4);
	ck_assert_uint_eq(queue->status->error_seq, seq);
	ck_assert_int_eq(WEXITSTATUS(rig_death(&rig)), WORKER_EXIT_FAULT);
}
END_TEST

/* The memory behind a mapping goes: SIGBUS. */
START_TEST(truncated)
{
	struct worker_command c = {
		.op = WORKER_MAP, .addr = (uint64_t)1 << 30, .size = PAGE, .prot = RW};
	int fd = memfd_create("short", 0);
	uint64_t seq;

	ck_assert_int_eq(ftruncate(fd, PAGE), 0);
	ck_assert_int_eq(rig_command(&rig, &c, fd, -1), 0);
	must(packet_fill(c.addr, PAGE, 1));
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	close(fd);
	seq = queue->written;
	push(queue, packet_copy(c.addr + 128, data.addr, 64));
	must_end(WEIR_NPU_FAULT_ADDRESS, c.addr + 128, seq);
}
END_TEST

#if defined(__x86_64__)
#define X86_SOURCE                                                                                 \
	"kernel void call(global long *o, long n, long a, long b, long c)\n"                       \
	"{ long r; __asm__ volatile(\"syscall\" : \"=a\"(r) : \"a\"(n), \"D\"(a), \"S\"(b),\n"     \
	"  \"d\"(c) : \"rcx\", \"r11\", \"memory\"); o[0] = r; }\n"                                \
	"kernel void broken(global long *o) { __asm__ volatile(\"ud2\"); }\n"

static const char *const x86_names[] = {"call", "broken"};

static void load_x86(void)
{
	must(packet_unload(BENCH_PROGRAM));
	bench_program(X86_SOURCE, x86_names, 2);
}

START_TEST(illegal_instruction)
{
	uint64_t seq;

	load_x86();
	seq = queue->written;
	push(queue, launch_next(1, 1, 1, (struct weir_npu_arg[]){arg_buffer(data.addr)}, 1));
	must_end(WEIR_NPU_FAULT_EXECUTION, 0, seq);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__)
static long call(long number, long a, long b, long c)
{
	struct weir_npu_arg args[] = {arg_buffer(data.addr),
		{WEIR_NPU_ARG_VALUE, 8, (uint64_t)number}, {WEIR_NPU_ARG_VALUE, 8, (uint64_t)a},
		{WEIR_NPU_ARG_VALUE, 8, (uint64_t)b}, {WEIR_NPU_ARG_VALUE, 8, (uint64_t)c}};
	struct weir_npu_packet p = launch_next(0, 1, 1, args, 5);

	if (!rig_do(&rig, queue, &p))
		return 1;
	return *(long *)data.host;
}

/*
 * A kernel in machine code has the rights that the sandbox leaves: numbers of x86-64's system
 * calls, host addresses.
 */
START_TEST(sandbox)
{
	uint64_t *out = (uint64_t *)data.host, host;

	/* The host address of the buffer is what a kernel says it is. */
	must(packet_unload(BENCH_PROGRAM));
	bench_program("kernel void self(global ulong *o) { o[0] = (ulong)(uintptr_t)o; }",
		(const char *const[]){"self"}, 1);
	must(launch_next(0, 1, 1, (struct weir_npu_arg[]){arg_buffer(data.addr)}, 1));
	host = out[0];
	load_x86();
	strcpy(data.host + 64, "/etc/passwd");
	ck_assert_int_eq(call(41, 1, 1, 0), -38);	     /* socket: ENOSYS */
	ck_assert_int_eq(call(435, (long)host, 88, 0), -38); /* clone3 */
	ck_assert_int_eq(call(56, 0x10000000, 0, 0), -38);   /* clone(CLONE_NEWUSER) */
	ck_assert_int_eq(call(62, rig.pid, 0, 0), -38);	     /* kill */
	ck_assert_int_gt(call(39, 0, 0, 0), 1);		     /* getpid: allowed */
	if (call(444, 0, 0, 1) > 0)
		ck_abort_msg("Landlock is at a kernel's service");
	if (call(2, (long)host + 64, 0, 0) == -13)			/* open: EACCES */
		ck_assert_int_eq(call(59, (long)host + 64, 0, 0), -13); /* execve */
	else
		printf("skip files in sandbox: no Landlock in this kernel\n");
	/* No file to write in the folders of the system. */
	strcpy(data.host + 64, "/usr/weir-npu-test");
	ck_assert_int_lt(call(2, (long)host + 64, 0101, 0600), 0);
	ck_assert_int_eq(call(101, 16, 1, 0), 1); /* ptrace: the end */
	ck_assert_int_eq(WTERMSIG(rig_death(&rig)), SIGSYS);
	ck_assert_int_eq(rig.shared->executing, 0);
}
END_TEST
#endif
#endif

/* ---- faults to order ------------------------------------------------------------------ */

static void order(enum worker_fault fault, uint64_t at, unsigned ms)
{
	struct worker_settings settings = {.ctx = 3,
		.awake_ms = 1000,
		.fault = fault,
		.fault_at = at,
		.fault_ms = ms,
		.threads = 1};

	bench_start(&settings);
	bench_program(source, names, KERNELS);
}

static void push_fills(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		push(queue,
			launch_next(FILL, 1, 1,
				(struct weir_npu_arg[]){arg_buffer(data.addr), arg_int((int)i + 1)},
				2));
	rig_publish(&rig, queue);
}

START_TEST(ordered_wild)
{
	uint64_t seq;

	order(WORKER_FAULT_WILD, 3, 0);
	seq = queue->written + 2;
	push_fills(5);
	must_end(WEIR_NPU_FAULT_ADDRESS, ((uint64_t)1 << WORKER_ADDR_BITS) - PAGE, seq);
	ck_assert_int_eq(*(int *)data.host, 2);
	bench_stop();
}
END_TEST

START_TEST(ordered_crash)
{
	order(WORKER_FAULT_CRASH, 2, 0);
	push_fills(3);
	ck_assert_int_eq(WTERMSIG(rig_death(&rig)), SIGABRT);
	ck_assert_int_eq(rig.shared->executing, 0);
	ck_assert_int_eq(*(int *)data.host, 1);
	ck_assert_uint_eq(queue->status->state, WEIR_NPU_QUEUE_OK);
	bench_stop();
}
END_TEST

/* Commands are answered while a packet hangs, but for the end of its queue. */
START_TEST(ordered_hang)
{
	struct rig_queue *other;

	order(WORKER_FAULT_HANG, 2, 0);
	push_fills(3);
	ck_assert(!rig_wait(&rig, queue, queue->written, 300));
	ck_assert_uint_eq(queue->status->completed, queue->written - 2);
	ck_assert_int_eq(rig.shared->executing, 0);
	other = rig_queue(&rig, 1, WEIR_NPU_CLASS_FENCED, 1, 0);
	ck_assert(!rig_wait(&rig, other, 1, 20));
	ck_assert_int_eq(rig_simple(&rig, WORKER_QUEUE_END, 1), 0);
	kill(rig.pid, SIGKILL);
	ck_assert_int_eq(WTERMSIG(rig_death(&rig)), SIGKILL);
	bench_stop();
}
END_TEST

START_TEST(ordered_slow)
{
	uint64_t before, spent;

	order(WORKER_FAULT_SLOW, 0, 60);
	before = rig_now();
	push_fills(3);
	ck_assert(rig_wait(&rig, queue, queue->written, RIG_LONG_MS));
	spent = rig_now() - before;
	ck_assert_uint_ge(spent, 180 * 1000000ul);
	ck_assert_int_eq(*(int *)data.host, 3);
	bench_stop();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("npu_kill");
	TCase *t = bench_case(s, "kernels", setup);

	tcase_add_test(t, wild_store);
	tcase_add_test(t, outer_store);
	tcase_add_test(t, read_only_store);
	tcase_add_test(t, far_store);
	tcase_add_test(t, division);
	tcase_add_test(t, unmap_under);
	tcase_add_test(t, truncated);
#if defined(__x86_64__)
	tcase_add_test(t, illegal_instruction);
#if !defined(__SANITIZE_ADDRESS__)
	tcase_add_test(t, sandbox);
#endif
#endif
	t = bench_case(s, "to order", NULL);
	tcase_add_test(t, ordered_wild);
	tcase_add_test(t, ordered_crash);
	tcase_add_test(t, ordered_hang);
	tcase_add_test(t, ordered_slow);
	return suite_run(s);
}
