/* SPDX-License-Identifier: MIT */
/*
 * Wrong packets, arguments and doorbells: weir-npu's worker says exactly what is wrong with
 * which, and lives on.
 */
#include <stddef.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "npu/bench.h"
#include "suite.h"

#define BODY offsetof(struct weir_npu_packet, body)

static const char source[] =
	"kernel void fill(global int *to, int v) { to[get_global_id(0)] = v; }\n"
	"kernel void shared(global int *to, local int *l) { l[get_local_id(0)] = 1; to[0] = l[0]; "
	"}\n"
	"kernel __attribute__((reqd_work_group_size(8, 1, 1))) void eight(global int *to)\n"
	"{ to[get_global_id(0)] = 8; }\n"
	"kernel void picture(read_only image2d_t i, sampler_t s, global int *to)\n"
	"{ to[0] = (int)read_imagef(i, s, (int2)(0, 0)).x; }\n"
	"kernel void wide(global int *to, float16 v) { to[0] = (int)v.s3; }\n";

enum { FILL, SHARED, EIGHT, PICTURE, WIDE, KERNELS };
static const char *const names[KERNELS] = {"fill", "shared", "eight", "picture", "wide"};

static void setup(void)
{
	bench_setup();
	bench_program(source, names, KERNELS);
}

/* ---- packets ------------------------------------------------------------------------- */

/* A queue that failed is replaced; the worker lives on, with its programs. */
static void again(void)
{
	uint64_t value = queue->written;

	ck_assert_int_eq(rig_simple(&rig, WORKER_QUEUE_END, 0), 0);
	munmap(queue->doorbell, PAGE);
	/* The ring's memory is used again. */
	munmap(queue->ring.host, queue->ring.size);
	rig.n_buffers--;
	ck_assert_ptr_eq(rig.buffers[rig.n_buffers].host, queue->ring.host);
	ck_assert_int_eq(rig_unmap(&rig, queue->ring.addr, queue->ring.size), 0);
	rig.next_page -= 3;
	queue = rig_queue(&rig, 0, WEIR_NPU_CLASS_FENCED, 1, value);
}

/* The one packet between good ones is at fault; those before are done, those behind are not. */
static void must_fault(struct weir_npu_packet p, int code, uint64_t addr)
{
	uint64_t before = queue->written;
	uint64_t *marks = (uint64_t *)(data.host + 7 * PAGE);

	rig_interrupts(&rig, 0);
	marks[0] = marks[1] = 0;
	push(queue, packet_signal(data.addr + 7 * PAGE, 1));
	push(queue, p);
	push(queue, packet_signal(data.addr + 7 * PAGE + 8, 1));
	rig_publish(&rig, queue);
	ck_assert_int_eq(rig_fault(&rig, queue), code);
	ck_assert_uint_eq(queue->status->error_seq, before + 1);
	ck_assert_uint_eq(queue->status->fault_addr, addr);
	ck_assert_uint_eq(queue->status->completed, before + 1);
	ck_assert_uint_eq(marks[0], 1);
	ck_assert_uint_eq(marks[1], 0);
	ck_assert_uint_eq(rig_interrupts(&rig, RIG_LONG_MS), 1);
	again();
	must(packet_nop());
}

#define WITH(packet, change)                                                                       \
	({                                                                                         \
		struct weir_npu_packet p = packet;                                                 \
		change;                                                                            \
		p;                                                                                 \
	})

#define FIELD(type, field) (BODY + offsetof(struct weir_npu_##type, field))

/* The queue's ring comes last here: again() uses its memory once more. */
static void renew_ring(void)
{
	ck_assert_int_eq(rig_simple(&rig, WORKER_QUEUE_END, 0), 0);
	munmap(queue->doorbell, PAGE);
	queue = rig_queue(&rig, 0, WEIR_NPU_CLASS_FENCED, 1, 0);
}

START_TEST(fields)
{
	struct weir_npu_packet nop = packet_nop();
	struct weir_npu_packet copy = packet_copy(data.addr, data.addr + PAGE, 64);
	struct weir_npu_packet fill = packet_fill(data.addr, 64, 0);
	struct weir_npu_packet mark = packet_signal(data.addr, 0);
	struct weir_npu_packet plain = packet_launch(BENCH_PROGRAM, 0, 1, 1, args_buffer.addr, 2);
	struct weir_npu_packet text = WITH(nop, p.type = WEIR_NPU_PACKET_LOAD);
	struct weir_npu_load l = {.program = 9,
		.code = data.addr,
		.code_size = 9,
		.report_size = 16,
		.report = data.addr};
	const int bad = WEIR_NPU_FAULT_PACKET;

	renew_ring();
	memcpy(text.body, &l, sizeof(l));
	must_fault(WITH(nop, p.type = 0), bad, 0);
	must_fault(WITH(nop, p.type = 9), bad, 0);
	must_fault(WITH(nop, p.type = 255), bad, 0);
	must_fault(WITH(nop, p.flags = 2), bad, 1);
	must_fault(WITH(nop, p.zero[0] = 1), bad, 2);
	must_fault(WITH(nop, p.zero[5] = 1), bad, 7);
	must_fault(WITH(nop, p.stamp = 4), bad, 8);
	must_fault(WITH(nop, p.body[47] = 1), bad, 63);
	must_fault(WITH(copy, p.body[24] = 1), bad, BODY + 24);
	must_fault(packet_copy(data.addr, data.addr + PAGE, 0), bad, FIELD(copy, size));
	must_fault(packet_copy(data.addr, data.addr + 63, 64), bad, FIELD(copy, from));
	must_fault(packet_copy(data.addr + 63, data.addr, 64), bad, FIELD(copy, from));
	must_fault(packet_copy(0, 8, UINT64_MAX), bad, FIELD(copy, from));
	must_fault(packet_fill(data.addr + 2, 64, 0), bad, FIELD(fill, to));
	must_fault(packet_fill(data.addr, 63, 0), bad, FIELD(fill, size));
	must_fault(packet_fill(data.addr, 0, 0), bad, FIELD(fill, size));
	must_fault(WITH(fill, p.body[20] = 1), bad, FIELD(fill, zero));
	must_fault(WITH(fill, p.body[30] = 1), bad, BODY + 30);
	must_fault(packet_signal(data.addr + 4, 0), bad, FIELD(signal, addr));
	must_fault(WITH(mark, p.body[16] = 1), bad, BODY + 16);
	must_fault(packet_wait(data.addr, 0), bad, 0); /* a fenced queue */
	must_fault(WITH(packet_unload(1), p.body[4] = 1), bad, FIELD(unload, zero));
	must_fault(WITH(plain, p.body[36] = 1), bad, FIELD(launch, zero));
	must_fault(WITH(plain, p.body[8] = 0), bad, FIELD(launch, groups));
	must_fault(WITH(plain, p.body[16] = 0), bad, FIELD(launch, groups) + 8);
	must_fault(WITH(plain, p.body[11] = p.body[15] = 0x40), bad, FIELD(launch, groups) + 4);
	must_fault(WITH(plain, p.body[20] = 0), bad, FIELD(launch, local));
	must_fault(WITH(plain, p.body[22] = 0x10), bad, FIELD(launch, local));
	must_fault(WITH(plain, p.body[24] = 0; p.body[25] = 0x10; p.body[28] = 2), bad,
		FIELD(launch, local) + 8);
	must_fault(WITH(plain, p.body[34] = 1), bad, FIELD(launch, n_args));
	must_fault(WITH(plain, p.body[40] ^= 4), bad, FIELD(launch, args));
	must_fault(WITH(text, p.body[16] = 0), bad, FIELD(load, code_size));
	must_fault(WITH(text, p.body[36] = 15), bad, FIELD(load, report_size));
	must_fault(WITH(text, p.body[40] = 4), bad, FIELD(load, report));
}
END_TEST

START_TEST(addresses)
{
	const int bad = WEIR_NPU_FAULT_ADDRESS;
	const uint64_t end = data.addr + data.size, top = (uint64_t)1 << WORKER_ADDR_BITS;
	struct weir_npu_load l = {.program = 9,
		.format = WEIR_NPU_FORMAT_OPENCL_C,
		.code = data.addr,
		.code_size = 9,
		.report_size = 16,
		.report = data.addr};
	struct weir_npu_packet text = {.type = WEIR_NPU_PACKET_LOAD};

	renew_ring();
	must_fault(packet_copy(end - 64, data.addr, 65), bad, end);
	must_fault(packet_copy(data.addr, end - 64, 65), bad, end);
	must_fault(packet_copy(constant.addr, data.addr, 8), bad, constant.addr);
	must_fault(packet_copy(data.addr, UINT64_MAX - 3, 8), bad, UINT64_MAX - 3);
	must_fault(packet_copy(top, data.addr, 8), bad, top);
	must_fault(packet_fill(0, 4, 1), bad, 0);
	must_fault(packet_fill(data.addr, top, 1), bad, end);
	must_fault(packet_fill(data.addr, UINT64_MAX - 3, 1), bad, end);
	must_fault(packet_signal(end, 1), bad, end);
	must_fault(packet_signal(constant.addr, 1), bad, constant.addr);
	must_fault(WITH(packet_nop(), p.stamp = end - 8), bad, end);
	must_fault(WITH(packet_nop(), p.stamp = constant.addr), bad, constant.addr);
	must_fault(packet_launch(BENCH_PROGRAM, kernels[FILL], 1, 1, end, 2), bad, end);
	must_fault(packet_launch(BENCH_PROGRAM, kernels[FILL], 1, 1, end - 16, 2), bad, end);
	must_fault(
		launch_next(FILL, 1, 1, (struct weir_npu_arg[]){arg_buffer(end), arg_int(1)}, 2), bad, end);
	must_fault(launch_next(FILL, 1, 1, (struct weir_npu_arg[]){arg_buffer(0), arg_int(1)}, 2), bad, 0);
	memcpy(text.body, &l, sizeof(l));
	must_fault(WITH(text, p.body[23] = 1), bad, end); /* code_size */
	must_fault(WITH(text, p.body[15] = 1), bad, l.code + ((uint64_t)1 << 56));
	must_fault(WITH(text, p.body[35] = 1), bad, 0);	  /* options at 0 */
	must_fault(WITH(text, p.body[39] = 1), bad, end); /* report_size */
	must_fault(WITH(text, p.body[47] = 1), bad, l.report + ((uint64_t)1 << 56));
}
END_TEST

START_TEST(programs)
{
	struct weir_npu_load l = {.program = BENCH_PROGRAM,
		.format = WEIR_NPU_FORMAT_OPENCL_C,
		.code = data.addr,
		.code_size = 9,
		.report_size = 16,
		.report = data.addr};
	struct weir_npu_packet text = {.type = WEIR_NPU_PACKET_LOAD};
	const int bad = WEIR_NPU_FAULT_PROGRAM;

	renew_ring();
	must_fault(packet_launch(0, 0, 1, 1, args_buffer.addr, 2), bad, 0);
	must_fault(packet_launch(WORKER_PROGRAMS, 0, 1, 1, 0, 0), bad, WORKER_PROGRAMS);
	must_fault(packet_launch(UINT32_MAX, 0, 1, 1, 0, 0), bad, UINT32_MAX);
	must_fault(packet_launch(BENCH_PROGRAM, KERNELS, 1, 1, 0, 0), bad, BENCH_PROGRAM);
	must_fault(packet_launch(BENCH_PROGRAM, UINT32_MAX, 1, 1, 0, 0), bad, BENCH_PROGRAM);
	must_fault(packet_unload(0), bad, 0);
	must_fault(packet_unload(UINT32_MAX), bad, UINT32_MAX);
	memcpy(text.body, &l, sizeof(l));
	must_fault(text, bad, BENCH_PROGRAM); /* it is in use */
	must_fault(WITH(text, p.body[1] = 1), bad, 256 + BENCH_PROGRAM);
	must(packet_unload(BENCH_PROGRAM));
	must_fault(packet_unload(BENCH_PROGRAM), bad, BENCH_PROGRAM);
	must_fault(packet_launch(BENCH_PROGRAM, 0, 1, 1, args_buffer.addr, 2), bad, BENCH_PROGRAM);
}
END_TEST

START_TEST(arguments)
{
	const struct weir_npu_arg to = arg_buffer(data.addr), v = arg_int(5);
	const int bad = WEIR_NPU_FAULT_ARGUMENT;

	renew_ring();
#define ARGS(...) ((struct weir_npu_arg[]){__VA_ARGS__})
	must_fault(launch_next(FILL, 1, 1, ARGS(to), 1), bad, 1);
	must_fault(launch_next(FILL, 1, 1, ARGS(to, v, v), 3), bad, 2);
	must_fault(launch_next(FILL, 1, 1, NULL, 0), bad, 0);
	must_fault(launch_next(FILL, 1, 1, ARGS(v, v), 2), bad, 0);
	must_fault(launch_next(FILL, 1, 1, ARGS(to, to), 2), bad, 1);
	must_fault(launch_next(FILL, 1, 1, ARGS(to, arg_local(4)), 2), bad, 1);
	must_fault(launch_next(FILL, 1, 1, ARGS(to, {0, 0, 0}), 2), bad, 1);
	must_fault(launch_next(FILL, 1, 1, ARGS(to, {4, 4, 0}), 2), bad, 1);
	must_fault(launch_next(FILL, 1, 1, ARGS(to, {WEIR_NPU_ARG_VALUE, 3, 0}), 2), bad, 1);
	must_fault(launch_next(FILL, 1, 1, ARGS(to, {WEIR_NPU_ARG_VALUE, 8, 0}), 2), bad, 1);
	must_fault(launch_next(FILL, 1, 1, ARGS(to, {WEIR_NPU_ARG_VALUE, 0, 0}), 2), bad, 1);
	must_fault(launch_next(FILL, 1, 1, ARGS(to, {WEIR_NPU_ARG_VALUE, 1 << 30, 0}), 2), bad, 1);
	must_fault(launch_next(FILL, 1, 1, ARGS({WEIR_NPU_ARG_BUFFER, 8, data.addr}, v), 2), bad, 0);
	must_fault(launch_next(FILL, 1, 1, ARGS(arg_buffer(data.addr + 4), v), 2), bad, 0);
	must_fault(launch_next(SHARED, 1, 1, ARGS(to, arg_local(0)), 2), bad, 1);
	must_fault(launch_next(SHARED, 1, 1, ARGS(to, arg_local(UINT64_MAX)), 2), bad, 1);
	must_fault(launch_next(SHARED, 1, 1, ARGS(to, arg_local((uint64_t)1 << 40)), 2), bad, 1);
	must_fault(launch_next(SHARED, 1, 1, ARGS(to, {WEIR_NPU_ARG_LOCAL, 1, 64}), 2), bad, 1);
	must_fault(launch_next(SHARED, 1, 1, ARGS(to, to), 2), bad, 1);
	must_fault(launch_next(PICTURE, 1, 1, ARGS(to, v, to), 3), bad, 0);
	must_fault(launch_next(WIDE, 1, 1, ARGS(to, v), 2), bad, 1);
	must_fault(launch_next(EIGHT, 1, 4, ARGS(to), 1), WEIR_NPU_FAULT_PACKET, FIELD(launch, local));
	/* The same block after all of that, right at last. */
	must(launch_next(FILL, 1, 1, ARGS(to, v), 2));
	ck_assert_int_eq(*(int *)data.host, 5);
}
END_TEST

START_TEST(doorbells)
{
	renew_ring();
	for (unsigned i = 0; i < 100; i++)
		must(packet_nop());
	queue->doorbell->published = queue->written - 1;
	ck_assert_int_eq(rig_fault(&rig, queue), WEIR_NPU_FAULT_DOORBELL);
	ck_assert_uint_eq(queue->status->fault_addr, queue->written - 1);
	ck_assert_uint_eq(queue->status->error_seq, queue->written);
	again();
	queue->doorbell->published = queue->written + RIG_RING + 1;
	ck_assert_int_eq(rig_fault(&rig, queue), WEIR_NPU_FAULT_DOORBELL);
	again();
	queue->doorbell->published = UINT64_MAX;
	ck_assert_int_eq(rig_fault(&rig, queue), WEIR_NPU_FAULT_DOORBELL);
	ck_assert_uint_eq(queue->status->completed, queue->written);
	again();
	must(packet_nop());
	/* A ring that is no longer there. */
	ck_assert_int_eq(rig_unmap(&rig, queue->ring.addr, queue->ring.size), 0);
	push(queue, packet_nop());
	rig_publish(&rig, queue);
	ck_assert_int_eq(rig_fault(&rig, queue), WEIR_NPU_FAULT_ADDRESS);
	ck_assert_uint_eq(queue->status->fault_addr - queue->ring.addr,
		queue->status->error_seq % RIG_RING * 64);
}
END_TEST

/* ---- random packets --------------------------------------------------------------------- */

static uint64_t random_state = 88172645463325252;

static uint64_t random_number(void)
{
	/* xorshift64 (Marsaglia 2003) */
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint64_t random_address(void)
{
	uint64_t r = random_number();

	switch (r % 4) {
	case 0:
		return data.addr + (r >> 8) % (data.size + 128);
	case 1:
		return data.addr + (r >> 8) % 64 * 64;
	case 2:
		return constant.addr + (r >> 8) % PAGE;
	default:
		return random_number() >> (r >> 8) % 64;
	}
}

static void random_args(void)
{
	struct weir_npu_arg *args = (void *)args_buffer.host;

	for (unsigned i = 0; i < 512; i++) {
		uint64_t r = random_number();

		args[i].kind = r % 8 ? 1 + r % 3 : (uint32_t)(r >> 32);
		args[i].size = args[i].kind == WEIR_NPU_ARG_VALUE ? 1u << (r >> 8) % 4 : 0;
		if ((r >> 16) % 16 == 0)
			args[i].size = (uint32_t)(r >> 24);
		args[i].value = r >> 20 & 1 ? random_address() & ~(uint64_t)63 : r >> 40;
	}
}

/*
 * Launches only of what is harmless whatever its arguments are: fill writes at most 64 bytes
 * behind its start.
 */
static struct weir_npu_packet random_packet(void)
{
	struct weir_npu_packet p = packet_nop();
	uint64_t r = random_number();

	switch (r % 8) {
	case 0:
		p = packet_copy(random_address(), random_address(), (r >> 8) % 200);
		break;
	case 1:
		p = packet_fill(random_address() & ~(uint64_t)3, (r >> 8) % 200, 0);
		break;
	case 2:
		p = packet_signal(random_address() & ~(uint64_t)7, r);
		break;
	case 3:
	case 4:
		p = packet_launch(r >> 8 & 15 ? BENCH_PROGRAM : (uint32_t)r,
			kernels[(r >> 12) % 2 ? SHARED : FILL], 1, 1 + (r >> 20) % 16,
			args_buffer.addr + (r >> 24) % 510 * 16, 2);
		break;
	case 5:
		p = packet_unload((uint32_t)random_number() | 2);
		break;
	case 6:
		break;
	default:
		for (unsigned i = 0; i < 8; i++)
			((uint64_t *)&p)[i] = random_number();
		p.type = (uint8_t)((r >> 8) % 10);
		if (p.type == WEIR_NPU_PACKET_LOAD)
			p.body[40] |= 1;
	}
	if ((r >> 56) % 4 == 0)
		((uint8_t *)&p)[(r >> 40) % 8] ^= (uint8_t)(r >> 48);
	if ((r >> 50) % 8 == 0)
		p.stamp = random_address() & ~(uint64_t)7;
	return p;
}

/* One queue after the other: whatever comes, its fault is said, and the worker lives. */
START_TEST(random_packets)
{
	unsigned faults = 0, codes[9] = {0}, sent = 0;

	renew_ring();
	while (sent < 20000) {
		random_args();
		for (unsigned i = 0; i < 32; i++, sent++)
			push(queue, random_packet());
		rig_publish(&rig, queue);
		if (rig_wait(&rig, queue, queue->written, RIG_LONG_MS))
			continue;
		ck_assert_int_ne(rig_fault(&rig, queue), 0);
		ck_assert_uint_le(queue->status->code, WEIR_NPU_FAULT_ADDRESS);
		ck_assert_uint_eq(queue->status->completed, queue->status->error_seq);
		codes[queue->status->code]++;
		faults++;
		again();
	}
	ck_assert_int_eq(waitpid(rig.pid, NULL, WNOHANG), 0);
	for (unsigned i = WEIR_NPU_FAULT_PACKET; i <= WEIR_NPU_FAULT_ADDRESS; i++)
		ck_assert_msg(codes[i] > 0, "no fault of code %u among %u", i, faults);
	must(packet_nop());
}
END_TEST

int main(void)
{
	Suite *s = suite_create("npu_harm");
	TCase *t = bench_case(s, "packets", setup);

	tcase_add_test(t, fields);
	tcase_add_test(t, addresses);
	tcase_add_test(t, programs);
	tcase_add_test(t, arguments);
	tcase_add_test(t, doorbells);
	tcase_add_test(t, random_packets);
	return suite_run(s);
}
