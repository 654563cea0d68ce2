/* SPDX-License-Identifier: MIT */
/* One worker with a queue, a program, and memory, for the suites of weir-npu's worker. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "tests/npu/bench.h"

struct rig rig;
struct rig_queue *queue;
struct rig_buffer args_buffer, data, constant;
uint32_t kernels[BENCH_KERNELS];

void bench_start(const struct worker_settings *settings)
{
	rig_start(&rig, settings);
	args_buffer = rig_alloc(&rig, 16 * PAGE, RW);
	data = rig_alloc(&rig, 64 * PAGE, RW);
	constant = rig_alloc(&rig, PAGE, PROT_READ);
	queue = rig_queue(&rig, 0, WEIR_NPU_CLASS_FENCED, 1, 0);
	must(packet_nop());
}

void bench_stop(void)
{
	rig_stop(&rig);
}

void bench_setup(void)
{
	struct worker_settings settings = {.ctx = 7, .awake_ms = 1000};

	bench_start(&settings);
}

const struct weir_npu_kernel *kernel_of(const struct weir_npu_report *r, const char *name)
{
	const struct weir_npu_kernel *k = (const void *)(r + 1);

	for (uint32_t i = 0; i < r->kernels; i++) {
		if (strcmp(k[i].name, name) == 0)
			return &k[i];
	}
	ck_abort_msg("no kernel %s", name);
	return NULL;
}

void bench_program(const char *source, const char *const *names, unsigned n)
{
	struct weir_npu_report *r = rig_load(&rig, queue, BENCH_PROGRAM, source, "-cl-std=CL1.2");
	const struct weir_npu_kernel *first = (const void *)(r + 1);

	ck_assert_uint_eq(r->result, WEIR_NPU_BUILD_OK);
	ck_assert_uint_eq(r->kernels, n);
	for (unsigned i = 0; i < n; i++)
		kernels[i] = (uint32_t)(kernel_of(r, names[i]) - first);
	free(r);
}

struct weir_npu_packet launch(unsigned kernel, uint32_t groups, uint32_t local, unsigned block,
	const struct weir_npu_arg *args, uint32_t n)
{
	uint64_t at = block * BENCH_BLOCK % args_buffer.size;

	if (n)
		memcpy(args_buffer.host + at, args, n * sizeof(*args));
	return packet_launch(
		BENCH_PROGRAM, kernels[kernel], groups, local, args_buffer.addr + at, n);
}

struct weir_npu_packet launch_next(unsigned kernel, uint32_t groups, uint32_t local,
	const struct weir_npu_arg *args, uint32_t n)
{
	static unsigned next;

	return launch(kernel, groups, local, next++ % 32, args, n);
}

void push(struct rig_queue *q, struct weir_npu_packet p)
{
	rig_push(&rig, q, &p);
}

void must(struct weir_npu_packet p)
{
	ck_assert(rig_do(&rig, queue, &p));
}

void nap_ms(unsigned ms)
{
	struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
}

TCase *bench_case(Suite *s, const char *name, void (*setup)(void))
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 300);
	if (setup)
		tcase_add_checked_fixture(t, setup, bench_stop);
	suite_add_tcase(s, t);
	return t;
}
