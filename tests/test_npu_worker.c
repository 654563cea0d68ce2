/* SPDX-License-Identifier: MIT */
/* weir-npu's worker does what packets say: memory, programs, launches. */
#include <errno.h>
#include <sys/mman.h>

#include "npu/bench.h"
#include "suite.h"

static const char source[] =
	"kernel void add(global int *to, global const int *from, int v)\n"
	"{ size_t i = get_global_id(0); to[i] = from[i] + v; }\n"
	"kernel void where(global ulong *out, global int *x)\n"
	"{ out[0] = (ulong)(uintptr_t)out; out[1] = (ulong)(uintptr_t)x; x[0] = 1234; }\n"
	"kernel void locals(global int *out, local int *l, int n)\n"
	"{ size_t i = get_local_id(0); l[i] = (int)i * n; barrier(CLK_LOCAL_MEM_FENCE);\n"
	"  out[get_global_id(0)] = l[get_local_size(0) - 1 - i]; }\n"
	"kernel void types(global long *o, char a, short b, int c, long d, float e)\n"
	"{ o[0] = a; o[1] = b; o[2] = c; o[3] = d; o[4] = (long)(e * 4); }\n"
	"kernel void shape(global uint *out)\n"
	"{ uint i = get_group_id(0) + get_num_groups(0) * (get_group_id(1) +\n"
	"    get_num_groups(1) * get_group_id(2));\n"
	"  if (get_local_id(0) + get_local_id(1) + get_local_id(2) == 0)\n"
	"    out[i] = get_local_size(0) * 100 + get_local_size(1) * 10 + get_local_size(2); }\n"
	"kernel __attribute__((reqd_work_group_size(4, 2, 1))) void fixed(global int *o)\n"
	"{ o[get_global_id(0) + 4 * get_global_id(1)] = 1; }\n"
	"kernel void table(constant int *t, global int *o) { o[0] = t[3]; }\n"
	"kernel void spin(global volatile ulong *o, ulong n)\n"
	"{ for (ulong i = 0; i < n; i++) o[0]++; }\n"
	"kernel void empty(void) { }\n";

enum { ADD, WHERE, LOCALS, TYPES, SHAPE, FIXED, TABLE, SPIN, EMPTY, KERNELS };
static const char *const names[KERNELS] = {
	"add", "where", "locals", "types", "shape", "fixed", "table", "spin", "empty"};

static void setup(void)
{
	struct weir_npu_report *r;

	bench_setup();
	bench_program(source, names, KERNELS);
	/* What LOAD said of them is looked at in a program of its own. */
	r = rig_load(&rig, queue, 6, source, "");
	ck_assert_uint_eq(kernel_of(r, "add")->n_args, 3);
	ck_assert_uint_eq(kernel_of(r, "empty")->n_args, 0);
	ck_assert_uint_eq(kernel_of(r, "fixed")->required_local[0], 4);
	ck_assert_uint_eq(kernel_of(r, "fixed")->required_local[1], 2);
	ck_assert_uint_eq(kernel_of(r, "fixed")->required_local[2], 1);
	ck_assert_uint_eq(kernel_of(r, "add")->required_local[0], 0);
	ck_assert_uint_ge(kernel_of(r, "add")->max_local, 64);
	free(r);
}

/* ---- memory packets -------------------------------------------------------------- */

/* The pages of a buffer are scattered, here and there alike: an odd range over many of them. */
START_TEST(memory)
{
	struct rig_buffer from = rig_alloc(&rig, 32 * PAGE, PROT_READ);
	size_t size = 25 * PAGE + 1234;
	uint64_t value;

	for (size_t i = 0; i < from.size; i++)
		from.host[i] = (char)(i * 7 + i / 4096);
	must(packet_copy(data.addr + 77, from.addr + 4001, size));
	ck_assert_mem_eq(data.host + 77, from.host + 4001, size);
	ck_assert_int_eq(data.host[76], 0);
	ck_assert_int_eq(data.host[77 + size], 0);
	must(packet_fill(data.addr + 4, 3 * PAGE + 8, 0x04030201));
	for (size_t i = 0; i < 3 * PAGE + 8; i++)
		ck_assert_int_eq(data.host[4 + i], 1 + (int)(i % 4));
	ck_assert_int_eq(data.host[3 * PAGE + 12], (char)from.host[4001 + 3 * PAGE + 12 - 77]);
	must(packet_signal(data.addr + 8, 0x1122334455667788));
	memcpy(&value, data.host + 8, sizeof(value));
	ck_assert_uint_eq(value, 0x1122334455667788);
	must(packet_nop());
	ck_assert_uint_eq(rig.shared->copies, 1);
	ck_assert_uint_eq(rig.shared->fills, 1);
	ck_assert_uint_eq(rig.shared->signals, 1);
	ck_assert_uint_eq(rig.shared->packets, 5);
}
END_TEST

/* Neighbours that touch are one range to a packet, whatever order they came in. */
START_TEST(neighbours)
{
	struct worker_command c = {.op = WORKER_MAP, .size = PAGE, .prot = RW};
	const uint64_t base = (uint64_t)1 << 37;
	static const unsigned order[] = {3, 0, 2, 1};

	for (unsigned i = 0; i < 4; i++) {
		c.addr = base + order[i] * PAGE;
		c.offset = (RIG_PAGES - 1 - 2 * i) * PAGE;
		ck_assert_int_eq(rig_command(&rig, &c, rig.guest, -1), 0);
	}
	ck_assert_int_eq(rig_command(&rig, &c, rig.guest, -1), -EEXIST);
	must(packet_fill(base, 4 * PAGE, 0xabababab));
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq((uint8_t)rig.all[(RIG_PAGES - 1 - 2 * i) * PAGE + 9], 0xab);
	ck_assert_int_eq(rig_unmap(&rig, base + PAGE, PAGE), 0);
	must(packet_fill(base, PAGE, 1));
	must(packet_fill(base + 2 * PAGE, 2 * PAGE, 1));
	push(queue, packet_nop());
	push(queue, packet_fill(base, 4 * PAGE, 2));
	rig_publish(&rig, queue);
	ck_assert_int_eq(rig_fault(&rig, queue), WEIR_NPU_FAULT_ADDRESS);
	ck_assert_uint_eq(queue->status->fault_addr, base + PAGE);
	ck_assert_uint_eq(queue->status->completed, queue->written - 1);
}
END_TEST

/* Commands that make no sense are refused, and change nothing. */
START_TEST(commands)
{
	struct worker_command map = {.op = WORKER_MAP, .addr = PAGE, .size = PAGE, .prot = RW};
	struct worker_command q = {.op = WORKER_QUEUE, .queue = 9, .order = 6};
	struct worker_command c;

#define REFUSED(what, change, fd0, fd1)                                                            \
	do {                                                                                       \
		c = what;                                                                          \
		change;                                                                            \
		ck_assert_int_eq(rig_command(&rig, &c, fd0, fd1), -EINVAL);                        \
	} while (0)
	REFUSED(map, c.addr = 5, rig.guest, -1);
	REFUSED(map, c.size = 0, rig.guest, -1);
	REFUSED(map, c.size = 100, rig.guest, -1);
	REFUSED(map, c.addr = (uint64_t)1 << WORKER_ADDR_BITS, rig.guest, -1);
	REFUSED(map, c.size = (uint64_t)1 << WORKER_ADDR_BITS, rig.guest, -1);
	REFUSED(map, c.addr = UINT64_MAX - 4095, rig.guest, -1);
	REFUSED(map, c.offset = 1, rig.guest, -1);
	REFUSED(map, c.offset = UINT64_MAX - 4095, rig.guest, -1);
	REFUSED(map, c.prot = PROT_EXEC, rig.guest, -1);
	REFUSED(map, (void)0, -1, -1);
	REFUSED(map, c.op = WORKER_UNMAP; c.size = 7, -1, -1);
	REFUSED(map, c.op = 77, -1, -1);
	REFUSED(q, c.order = 5, rig.guest, rig.bar);
	REFUSED(q, c.order = 15, rig.guest, rig.bar);
	REFUSED(q, c.priority = 3, rig.guest, rig.bar);
	REFUSED(q, c.queue_class = 2, rig.guest, rig.bar);
	REFUSED(q, c.addr = 32, rig.guest, rig.bar);
	REFUSED(q, c.control_offset = 8, rig.guest, rig.bar);
	REFUSED(q, (void)0, rig.guest, -1);
#undef REFUSED
	ck_assert_int_eq(rig_simple(&rig, WORKER_QUEUE_END, 3), -ENOENT);
	q.queue = 0;
	ck_assert_int_eq(rig_command(&rig, &q, rig.guest, rig.bar), -EEXIST);
	must(packet_nop());
}
END_TEST

/* ---- programs ---------------------------------------------------------------------- */

static char *log_of(struct weir_npu_report *r)
{
	char *log = (char *)(r + 1) + r->kernels * sizeof(struct weir_npu_kernel);

	log[r->log_size] = 0;
	return log;
}

START_TEST(build_error)
{
	struct weir_npu_report *r;

	r = rig_load(&rig, queue, 1, "kernel void k(global int *a) { nonsense }", "");
	ck_assert_uint_eq(r->result, WEIR_NPU_BUILD_ERROR);
	ck_assert_uint_eq(r->kernels, 0);
	ck_assert_msg(strstr(log_of(r), "nonsense") != NULL, "log: %s", log_of(r));
	free(r);
	/* The id is free, and the queue goes on. */
	r = rig_load(&rig, queue, 1,
		"#ifdef WORD\nkernel void k(global int *a) { a[0] = WORD; }\n#endif", "-DWORD=3");
	ck_assert_uint_eq(r->result, WEIR_NPU_BUILD_OK);
	ck_assert_uint_eq(r->kernels, 1);
	free(r);
	must(packet_unload(1));
	r = rig_load(&rig, queue, 1, "int nothing;", "");
	ck_assert_uint_le(r->result, WEIR_NPU_BUILD_ERROR);
	free(r);
}
END_TEST

/* Options that name files, or are no text. */
START_TEST(build_options)
{
	static const char *const options[] = {"-I/etc", "-I /etc", "@/etc/passwd", "-D\tA"};
	struct weir_npu_report *r;

	for (unsigned i = 0; i < 4; i++) {
		r = rig_load(&rig, queue, 1, "kernel void k(global int *a) { }", options[i]);
		ck_assert_uint_eq(r->result, WEIR_NPU_BUILD_ERROR);
		ck_assert_uint_gt(r->log_size, 0);
		free(r);
	}
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__)
/* The device's compiler reads no file for a stranger: the sandbox keeps it from that. */
START_TEST(build_files)
{
	static const char *const sources[] = {"#include \"/etc/passwd\"\n",
		"kernel void k(global int *a) { }\n#include </etc/passwd>\n"};
	struct weir_npu_report *r;

	for (unsigned i = 0; i < 2; i++) {
		r = rig_load(&rig, queue, 1, sources[i], "");
		ck_assert_uint_eq(r->result, WEIR_NPU_BUILD_ERROR);
		ck_assert_ptr_null(strstr(log_of(r), "root:"));
		free(r);
	}
	must(packet_nop());
}
END_TEST
#endif

static struct weir_npu_packet load_packet(const struct weir_npu_load *l)
{
	struct weir_npu_packet p = {.type = WEIR_NPU_PACKET_LOAD};

	memcpy(p.body, l, sizeof(*l));
	return p;
}

START_TEST(build_report)
{
	static const char text[] = "kernel void a(void) {} kernel void b(void) {}";
	struct weir_npu_load l = {.program = 2,
		.format = WEIR_NPU_FORMAT_OPENCL_C,
		.code = data.addr,
		.code_size = sizeof(text) - 1,
		.report_size = 16,
		.report = data.addr + PAGE};
	struct weir_npu_report *r = (void *)(data.host + PAGE);

	memcpy(data.host, text, sizeof(text));
	memset(r, 0x55, 1024);
	must(load_packet(&l));
	ck_assert_uint_eq(r->result, WEIR_NPU_BUILD_SPACE);
	ck_assert_uint_eq(r->kernels, 2);
	ck_assert_uint_eq(r->log_size, 0);
	ck_assert_int_eq(data.host[PAGE + 16], 0x55);
	l.report_size = 16 + 2 * sizeof(struct weir_npu_kernel);
	must(load_packet(&l));
	ck_assert_uint_eq(r->result, WEIR_NPU_BUILD_OK);
	ck_assert_int_eq(data.host[PAGE + l.report_size], 0x55);
	l.program = 3;
	l.format = WEIR_NPU_FORMAT_NATIVE;
	must(load_packet(&l));
	ck_assert_uint_eq(r->result, WEIR_NPU_BUILD_FORMAT);
	l.format = WEIR_NPU_FORMAT_OPENCL_C;
	l.code_size = sizeof(text);
	must(load_packet(&l));
	ck_assert_uint_eq(r->result, WEIR_NPU_BUILD_ERROR); /* a zero byte */
	/* A log is cut to what fits. */
	strcpy(data.host, "kernel void k(void) { wrong }");
	l.code_size = strlen(data.host);
	l.report_size = 16 + 10;
	memset(r, 0x55, 1024);
	must(load_packet(&l));
	ck_assert_uint_eq(r->result, WEIR_NPU_BUILD_ERROR);
	ck_assert_uint_eq(r->log_size, 10);
	ck_assert_int_eq(data.host[PAGE + 26], 0x55);
}
END_TEST

/* ---- launches ------------------------------------------------------------------------ */

START_TEST(launch_kinds)
{
	struct weir_npu_arg add[] = {
		arg_buffer(data.addr + 4 * PAGE), arg_buffer(data.addr), arg_int(-5)};
	struct weir_npu_arg types[] = {arg_buffer(data.addr), {WEIR_NPU_ARG_VALUE, 1, 0xfe},
		{WEIR_NPU_ARG_VALUE, 2, 0xfffd}, {WEIR_NPU_ARG_VALUE, 4, 0xfffffffc},
		{WEIR_NPU_ARG_VALUE, 8, (uint64_t)-5}, {WEIR_NPU_ARG_VALUE, 4, 0x40200000}};
	struct weir_npu_arg locals[] = {arg_buffer(data.addr), arg_local(64 * 4), arg_int(3)};
	struct weir_npu_arg table[] = {arg_buffer(data.addr + 64), arg_buffer(data.addr)};
	struct weir_npu_arg fixed[] = {arg_buffer(data.addr)};
	int *ints = (int *)data.host, *out = (int *)(data.host + 4 * PAGE);
	int64_t *longs = (int64_t *)data.host;
	struct weir_npu_packet p;

	for (int i = 0; i < 4096; i++)
		ints[i] = i * i;
	must(launch(ADD, 64, 64, 0, add, 3));
	for (int i = 0; i < 4096; i++)
		ck_assert_int_eq(out[i], i * i - 5);
	must(launch(TYPES, 1, 1, 1, types, 6));
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(longs[i], -2 - i);
	ck_assert_int_eq(longs[4], 10);
	must(launch(LOCALS, 2, 64, 2, locals, 3));
	for (int i = 0; i < 128; i++)
		ck_assert_int_eq(ints[i], (63 - i % 64) * 3);
	ints[16 + 3] = 99;
	must(launch(TABLE, 1, 1, 3, table, 2));
	ck_assert_int_eq(ints[0], 99);
	p = launch(FIXED, 1, 4, 4, fixed, 1);
	((struct weir_npu_launch *)p.body)->local[1] = 2;
	memset(data.host, 0, 64);
	must(p);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(ints[i], 1);
	must(launch(EMPTY, 3, 2, 5, NULL, 0));
	ck_assert_uint_eq(rig.shared->launches, 6);
}
END_TEST

START_TEST(launch_shape)
{
	struct weir_npu_arg args[] = {arg_buffer(data.addr)};
	struct weir_npu_packet p = launch(SHAPE, 1, 1, 0, args, 1);
	struct weir_npu_launch l;
	uint32_t *out = (uint32_t *)data.host;

	memcpy(&l, p.body, sizeof(l));
	memcpy(l.groups, (uint32_t[]){5, 3, 2}, sizeof(l.groups));
	memcpy(l.local, (uint32_t[]){4, 3, 2}, sizeof(l.local));
	memcpy(p.body, &l, sizeof(l));
	must(p);
	for (unsigned i = 0; i < 30; i++)
		ck_assert_uint_eq(out[i], 432);
	ck_assert_uint_eq(out[30], 0);
}
END_TEST

/*
 * Pointers are the mapping itself: their distance is that of device addresses, and stores land in
 * the guest's pages.
 */
START_TEST(launch_zero_copy)
{
	struct weir_npu_arg args[] = {arg_buffer(data.addr), arg_buffer(data.addr + 9 * PAGE + 64)};
	uint64_t *seen = (uint64_t *)data.host;

	must(launch(WHERE, 1, 1, 0, args, 2));
	ck_assert_uint_eq(seen[1] - seen[0], 9 * PAGE + 64);
	ck_assert_uint_eq((seen[0] - data.addr) % PAGE, 0);
	ck_assert_int_eq(*(int *)(data.host + 9 * PAGE + 64), 1234);
	/* The same base for another buffer. */
	args[0] = arg_buffer(args_buffer.addr + PAGE);
	must(launch(WHERE, 1, 1, 1, args, 2));
	ck_assert_uint_eq(*(uint64_t *)(args_buffer.host + PAGE) - seen[0],
		args_buffer.addr + PAGE - data.addr);
}
END_TEST

/* Plans come again: same packets, same or changed arguments, with and without barriers. */
START_TEST(launch_again)
{
	struct weir_npu_arg args[] = {arg_buffer(data.addr), arg_buffer(data.addr), arg_int(1)};
	struct weir_npu_packet p = launch(ADD, 1, 16, 0, args, 3);
	int *ints = (int *)data.host, sum;

	p.flags = WEIR_NPU_PACKET_BARRIER;
	for (int i = 0; i < 1000; i++)
		push(queue, p);
	must(packet_nop());
	ck_assert_int_eq(ints[0], 1000);
	ck_assert_int_eq(ints[15], 1000);
	sum = 1000;
	for (int i = 0; i < 100; i++) {
		args[2] = arg_int(i);
		must(launch(ADD, 1, 16, 0, args, 3));
		sum += i;
		ck_assert_int_eq(ints[7], sum);
	}
}
END_TEST

/* More different argument blocks than kernel objects are kept. */
START_TEST(launch_many)
{
	const unsigned blocks = 15 * PAGE / 48, rounds = 12;
	struct weir_npu_arg args[3];
	int *ints = (int *)data.host;

	for (unsigned round = 0; round < rounds; round++) {
		for (unsigned i = 0; i < blocks; i++) {
			uint64_t at = args_buffer.addr + i * 48 + round % 3 * 16;

			args[0] = arg_buffer(data.addr + i % 64 * 64);
			args[1] = args[0];
			args[2] = arg_int(1);
			if (i % 64 == 0)
				must(packet_nop()); /* what is to be changed was read */
			memcpy(args_buffer.host + i * 48 + round % 3 * 16, args, sizeof(args));
			push(queue, packet_launch(BENCH_PROGRAM, kernels[ADD], 1, 1, at, 3));
		}
	}
	must(packet_nop());
	for (unsigned i = 0; i < 64; i++)
		ck_assert_int_eq(ints[i * 16], (int)(rounds * (blocks / 64 + (i < blocks % 64))));
}
END_TEST

START_TEST(launch_stamps)
{
	struct weir_npu_arg args[] = {arg_buffer(data.addr), {WEIR_NPU_ARG_VALUE, 8, 300000}};
	struct weir_npu_packet p = launch(SPIN, 1, 1, 0, args, 2);
	uint64_t *stamps = (uint64_t *)(data.host + PAGE), before = rig_now();

	for (unsigned i = 0; i < 4; i++) {
		p.stamp = data.addr + PAGE + i * 16;
		push(queue, p);
	}
	p = packet_nop();
	p.stamp = data.addr + PAGE + 64;
	must(p);
	ck_assert_uint_ge(stamps[0], before);
	for (unsigned i = 0; i < 5; i++) {
		ck_assert_uint_le(stamps[2 * i], stamps[2 * i + 1]);
		if (i > 0)
			ck_assert_uint_le(stamps[2 * i - 1], stamps[2 * i]);
	}
	/* 300000 dependent additions in memory take their time on any machine. */
	ck_assert_uint_ge(stamps[3] - stamps[2], 50000);
	ck_assert_uint_le(stamps[9], rig_now());
	ck_assert_uint_eq(*(uint64_t *)data.host, 4 * 300000);
}
END_TEST

/* What launches write is there for the copy behind them, and the other way round. */
START_TEST(order)
{
	struct weir_npu_arg args[] = {
		arg_buffer(data.addr + PAGE), arg_buffer(data.addr), arg_int(1)};
	struct weir_npu_packet p = launch(ADD, 4, 64, 0, args, 3), back;

	back = packet_copy(data.addr, data.addr + PAGE, 1024);
	p.flags = back.flags = WEIR_NPU_PACKET_BARRIER;
	for (int i = 0; i < 200; i++) {
		push(queue, p);
		push(queue, back);
	}
	must(packet_nop());
	for (int i = 0; i < 256; i++)
		ck_assert_int_eq(((int *)data.host)[i], 200);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("npu_worker");
	TCase *t = bench_case(s, "packets", bench_setup);

	tcase_add_test(t, memory);
	tcase_add_test(t, neighbours);
	tcase_add_test(t, commands);
	tcase_add_test(t, build_error);
	tcase_add_test(t, build_options);
#if !defined(__SANITIZE_ADDRESS__)
	tcase_add_test(t, build_files);
#endif
	tcase_add_test(t, build_report);
	t = bench_case(s, "launches", setup);
	tcase_add_test(t, launch_kinds);
	tcase_add_test(t, launch_shape);
	tcase_add_test(t, launch_zero_copy);
	tcase_add_test(t, launch_again);
	tcase_add_test(t, launch_many);
	tcase_add_test(t, launch_stamps);
	tcase_add_test(t, order);
	return suite_run(s);
}
