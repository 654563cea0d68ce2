/* SPDX-License-Identifier: MIT */
/*
 * What a bad process does on the NPU: it becomes guilty, in time and with a reason, and nobody else notices. Killed
 * processes leave nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "drm/node.h"
#include "drm/victim.h"

#define LIMIT_MS 1500
#define LIMIT_FILE "/sys/module/weir/parameters/hang_limit_ms"

static const char source[] = "__kernel void add(__global int *p, int value)\n"
			     "{\n"
			     "	p[get_global_id(0)] += value;\n"
			     "}\n"
			     "__kernel void wild(__global int *p, long offset)\n"
			     "{\n"
			     "	p[offset] = 1;\n"
			     "}\n"
			     "__kernel void endless(__global volatile int *p)\n"
			     "{\n"
			     "	while (p[0] != -1)\n"
			     "		p[1]++;\n"
			     "}\n";

static void set_limit(const char *text)
{
	int fd = open(LIMIT_FILE, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	ck_assert_int_gt(write(fd, text, strlen(text)), 0);
	close(fd);
}

struct bad {
	struct node_queue q;
	struct node_bo data, args;
	uint32_t kernel;
};

static void bad_open(struct bad *b, const char *kernel)
{
	int fd = node_open(NODE_NPU);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(node_queue_create(fd, 4096, WEIR_QUEUE_FENCED, &b->q), 0);
	ck_assert_int_eq(node_bo_create(fd, 65536, 0, &b->data), 0);
	ck_assert_int_eq(node_bo_create(fd, 4096, 0, &b->args), 0);
	if (kernel)
		ck_assert_int_eq(node_load(&b->q, 7, source, kernel, &b->kernel), 0);
}

static void bad_close(struct bad *b)
{
	int fd = b->q.fd;

	node_queue_destroy(&b->q);
	node_bo_destroy(&b->data);
	node_bo_destroy(&b->args);
	close(fd);
}

static void bad_launch(struct bad *b, const struct weir_npu_arg *args, unsigned n, uint32_t groups)
{
	memcpy(b->args.map, args, n * sizeof(*args));
	node_put_launch(&b->q, 7, b->kernel, groups, 1, &b->args, 0, n);
}

/* Rings and waits for the verdict. */
static void must_be_guilty(struct bad *b, uint32_t code, uint64_t seq, int ms)
{
	struct drm_weir_queue_state state;
	uint64_t start = node_now();

	ck_assert_int_eq(node_ring(&b->q), 0);
	ck_assert_int_eq(node_finish(&b->q, ms), -EIO);
	state = node_state(&b->q);
	printf("guilty after %llu ms: code %u, packet %llu, address 0x%llx\n",
		(unsigned long long)(node_now() - start) / 1000000, state.code,
		(unsigned long long)state.error_seq, (unsigned long long)state.fault_addr);
	ck_assert_uint_eq(state.state, WEIR_NPU_QUEUE_GUILTY);
	ck_assert_uint_eq(state.code, code);
	ck_assert_uint_eq(state.error_seq, seq);
	ck_assert_uint_eq(b->q.status->state, WEIR_NPU_QUEUE_GUILTY);
}

/* The same file goes on with a new queue; its programs have to be loaded anew. */
static void must_work_again(struct bad *b)
{
	struct weir_npu_arg args[2] = {
		{.kind = WEIR_NPU_ARG_BUFFER, .value = b->data.addr},
		{.kind = WEIR_NPU_ARG_VALUE, .size = 4, .value = 5},
	};
	uint32_t kernel;
	struct node_queue q;

	ck_assert_int_eq(node_queue_create(b->q.fd, 4096, WEIR_QUEUE_FENCED, &q), 0);
	memset(b->data.map, 0, b->data.size);
	ck_assert_int_eq(node_load(&q, 3, source, "add", &kernel), 0);
	memcpy(b->args.map, args, sizeof(args));
	node_put_launch(&q, 3, kernel, 1024, 1, &b->args, 0, 2);
	ck_assert_int_eq(node_ring(&q), 0);
	ck_assert_int_eq(node_finish(&q, 30000), 0);
	ck_assert_int_eq(((int *)(void *)b->data.map)[1023], 5);
	ck_assert_int_eq(((int *)(void *)b->data.map)[1024], 0);
	node_queue_destroy(&q);
}

/* ---- crimes -------------------------------------------------------------- */

START_TEST(wild_kernel)
{
	static const int64_t offsets[] = {1 << 20, -(1 << 20), INT32_MIN, 1ll << 44};
	struct victim v;
	struct bad b;

	victim_start(&v);
	bad_open(&b, "wild");
	bad_launch(&b,
		(struct weir_npu_arg[]){
			{.kind = WEIR_NPU_ARG_BUFFER, .value = b.data.addr},
			{.kind = WEIR_NPU_ARG_VALUE, .size = 8, .value = (uint64_t)offsets[_i]},
		},
		2, 1);
	must_be_guilty(&b, WEIR_NPU_FAULT_ADDRESS, 1, 30000);
	if (_i == 0)
		ck_assert_uint_eq(node_state(&b.q).fault_addr, b.data.addr + 4 * (uint64_t)offsets[0]);
	must_work_again(&b);
	bad_close(&b);
	victim_must_go_on(&v, 5, 20000);
	victim_stop(&v);
}
END_TEST

START_TEST(endless_kernel)
{
	struct victim v;
	uint64_t start;
	struct bad b;

	set_limit("1500");
	victim_start(&v);
	bad_open(&b, "endless");
	bad_launch(&b, (struct weir_npu_arg[]){{.kind = WEIR_NPU_ARG_BUFFER, .value = b.data.addr}}, 1, 1);
	start = node_now();
	must_be_guilty(&b, WEIR_NPU_FAULT_HANG, 1, 30000);
	ck_assert_uint_ge(node_now() - start, LIMIT_MS * 900000ull);
	ck_assert_uint_le(node_now() - start, 4 * LIMIT_MS * 1000000ull);
	must_work_again(&b);
	bad_close(&b);
	victim_must_go_on(&v, 5, 20000);
	victim_stop(&v);
	set_limit("10000");
}
END_TEST

/* Packets that name what is not there. */
START_TEST(bad_packets)
{
	static const uint32_t codes[] = {
		WEIR_NPU_FAULT_PROGRAM, WEIR_NPU_FAULT_PROGRAM, WEIR_NPU_FAULT_ARGUMENT,
		WEIR_NPU_FAULT_ARGUMENT, WEIR_NPU_FAULT_ADDRESS, WEIR_NPU_FAULT_ADDRESS,
		WEIR_NPU_FAULT_ADDRESS, WEIR_NPU_FAULT_PACKET, WEIR_NPU_FAULT_PACKET,
	};
	struct bad b;
	struct weir_npu_arg args[2];
	uint32_t program = 7;

	bad_open(&b, "add");
	args[0] = (struct weir_npu_arg){.kind = WEIR_NPU_ARG_BUFFER, .value = b.data.addr};
	args[1] = (struct weir_npu_arg){.kind = WEIR_NPU_ARG_VALUE, .size = 4, .value = 1};
	switch (_i) {
	case 0:
		program = 8; /* never loaded */
		break;
	case 1:
		b.kernel = 50;
		break;
	case 2:
		args[1].size = 8;
		break;
	case 3:
		args[0].kind = WEIR_NPU_ARG_VALUE;
		args[0].size = 8;
		break;
	case 4:
		args[0].value = 0x7777000;
		break;
	case 5:
		b.args.addr += 1 << 28;
		break;
	case 6:
		node_put_copy(&b.q, b.data.addr, b.data.addr + b.data.size - 16, 32);
		break;
	case 7:
		node_put_fill(&b.q, b.data.addr, 30, 1);
		break;
	default:
		node_packet(&b.q, WEIR_NPU_PACKET_NOP)->zero[3] = 1;
		break;
	}
	if (_i < 6) {
		memcpy(b.args.map, args, sizeof(args));
		node_put_launch(&b.q, program, b.kernel, 1, 1, &b.args, 0, 2);
	}
	must_be_guilty(&b, codes[_i], 1, 30000);
	bad_close(&b);
}
END_TEST

/* Packets of noise, by the hundred: each queue ends guilty or its packets are done; the other goes on. */
START_TEST(corrupt_packets)
{
	unsigned state = 12345, guilty = 0;
	struct victim v;

	victim_start(&v);
	for (int i = 0; i < 60; i++) {
		int fd = node_open(NODE_NPU), err;
		struct node_queue q;

		ck_assert_int_eq(node_queue_create(fd, 4096, WEIR_QUEUE_FENCED, &q), 0);
		for (int k = 0; k < 16; k++) {
			unsigned char *p = (unsigned char *)node_packet(&q, 1);

			for (int byte = k % 2 ? 0 : 1; byte < 64; byte++)
				p[byte] = (unsigned char)((state = state * 1103515245 + 12345) >> 16);
			if (k % 4 == 3)
				p[0] = (unsigned char)(1 + state % 8);
		}
		ck_assert_int_eq(node_ring(&q), 0);
		err = node_finish(&q, 20000);
		ck_assert_msg(err == 0 || err == -EIO, "noise: %d", err);
		guilty += node_state(&q).state == WEIR_NPU_QUEUE_GUILTY;
		node_queue_destroy(&q);
		close(fd);
	}
	printf("%u of 60 queues with noise became guilty\n", guilty);
	ck_assert_uint_gt(guilty, 50);
	victim_must_go_on(&v, 5, 20000);
	victim_stop(&v);
}
END_TEST

/* Doorbell values that make no sense. */
START_TEST(index_out_of_range)
{
	static const uint64_t values[] = {65, 1ull << 32, UINT64_MAX, 1ull << 63};
	struct drm_weir_queue_kick kick;
	struct victim v;
	struct bad b;

	victim_start(&v);
	bad_open(&b, NULL);
	kick = (struct drm_weir_queue_kick){.queue = b.q.id};
	b.q.doorbell->published = values[_i];
	node_ioctl(b.q.fd, DRM_IOCTL_WEIR_QUEUE_KICK, &kick);
	b.q.written = 1;
	ck_assert_int_eq(node_finish(&b.q, 20000), -EIO);
	ck_assert_uint_eq(node_state(&b.q).state, WEIR_NPU_QUEUE_GUILTY);
	ck_assert_uint_eq(node_state(&b.q).code, WEIR_NPU_FAULT_DOORBELL);
	bad_close(&b);
	victim_must_go_on(&v, 5, 20000);
	victim_stop(&v);
}
END_TEST

/* A million stores to the doorbell and a thousand kicks: the other goes on, and so does this one. */
START_TEST(doorbell_storm)
{
	struct drm_weir_queue_kick kick;
	struct victim v;
	struct bad b;

	victim_start(&v);
	bad_open(&b, NULL);
	kick = (struct drm_weir_queue_kick){.queue = b.q.id};
	for (unsigned i = 0; i < 1000000; i++) {
		b.q.doorbell->published = b.q.written;
		if (i % 1000 == 0)
			ck_assert_int_eq(node_ioctl(b.q.fd, DRM_IOCTL_WEIR_QUEUE_KICK, &kick), 0);
	}
	victim_must_go_on(&v, 3, 20000);
	node_packet(&b.q, WEIR_NPU_PACKET_NOP);
	ck_assert_int_eq(node_ring(&b.q), 0);
	ck_assert_int_eq(node_finish(&b.q, 20000), 0);
	bad_close(&b);
	victim_stop(&v);
}
END_TEST

/* A buffer that goes away under a kernel: the process harmed itself alone. */
START_TEST(buffer_vanishes)
{
	struct victim v;
	struct bad b;

	victim_start(&v);
	bad_open(&b, "endless");
	bad_launch(&b, (struct weir_npu_arg[]){{.kind = WEIR_NPU_ARG_BUFFER, .value = b.data.addr}}, 1, 1);
	ck_assert_int_eq(node_ring(&b.q), 0);
	for (int i = 0; i < 1000 && ((volatile int *)(void *)b.data.map)[1] == 0; i++)
		usleep(10000);
	node_bo_destroy(&b.data);
	ck_assert_int_eq(node_finish(&b.q, 20000), -EIO);
	ck_assert_uint_eq(node_state(&b.q).state, WEIR_NPU_QUEUE_GUILTY);
	ck_assert_uint_eq(node_state(&b.q).code, WEIR_NPU_FAULT_ADDRESS);
	victim_must_go_on(&v, 5, 20000);
	victim_stop(&v);
	b.data = (struct node_bo){.fd = -1};
	bad_close(&b);
}
END_TEST

/* ---- kills --------------------------------------------------------------- */

static void die_mid_flight(int delay_us)
{
	struct bad b;

	bad_open(&b, NULL);
	for (int i = 0; i < 60; i++)
		node_put_fill(&b.q, b.data.addr, b.data.size, (uint32_t)i);
	node_ring(&b.q);
	usleep((useconds_t)delay_us);
	kill(getpid(), SIGKILL);
}

/* WEIR_TEST_KILLS: how many (20). */
START_TEST(killed_mid_flight)
{
	const char *text = getenv("WEIR_TEST_KILLS");
	int kills = text ? atoi(text) : 20, fd = node_open(NODE_NPU);
	uint64_t before;
	struct victim v;

	victim_start(&v);
	before = node_query(fd).user_quota_used;
	for (int i = 0; i < kills; i++) {
		pid_t child = fork();
		int status;

		if (child == 0)
			die_mid_flight(i % 20 * 500);
		waitpid(child, &status, 0);
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "child %d: status %d", i, status);
		ck_assert_msg(*v.wrong == 0, "after %d kills the other was disturbed", i + 1);
	}
	victim_must_go_on(&v, 5, 20000);
	for (int i = 0; i < 500 && node_query(fd).user_quota_used != before; i++)
		usleep(10000);
	ck_assert_uint_eq(node_query(fd).user_quota_used, before);
	printf("%d processes killed, the other did %llu rounds without fault\n", kills,
		(unsigned long long)*v.rounds);
	victim_stop(&v);
	close(fd);
}
END_TEST

/* A process that dies while its kernel runs for ever takes nothing along. */
START_TEST(killed_in_endless_kernel)
{
	struct victim v;
	int status;
	pid_t child;

	victim_start(&v);
	child = fork();
	if (child == 0) {
		struct bad b;

		bad_open(&b, "endless");
		bad_launch(&b, (struct weir_npu_arg[]){{.kind = WEIR_NPU_ARG_BUFFER, .value = b.data.addr}}, 1,
			1);
		node_ring(&b.q);
		for (int i = 0; i < 1000 && ((volatile int *)(void *)b.data.map)[1] == 0; i++)
			usleep(10000);
		kill(getpid(), SIGKILL);
	}
	waitpid(child, &status, 0);
	ck_assert(WIFSIGNALED(status));
	victim_must_go_on(&v, 5, 20000);
	victim_stop(&v);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("faults");
	TCase *tc = tcase_create("faults");

	suite_add_tcase(s, tc);
	tcase_set_timeout(tc, 600);
	tcase_add_loop_test(tc, wild_kernel, 0, 4);
	tcase_add_test(tc, endless_kernel);
	tcase_add_loop_test(tc, bad_packets, 0, 9);
	tcase_add_test(tc, corrupt_packets);
	tcase_add_loop_test(tc, index_out_of_range, 0, 4);
	tcase_add_test(tc, doorbell_storm);
	tcase_add_test(tc, buffer_vanishes);
	tcase_add_test(tc, killed_mid_flight);
	tcase_add_test(tc, killed_in_endless_kernel);
	return node_suite(s, NODE_NPU);
}
