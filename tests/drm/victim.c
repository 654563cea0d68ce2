/* SPDX-License-Identifier: MIT */
/* The process that must not be disturbed. */
#include "drm/victim.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "drm/node.h"

static const char source[] = "__kernel void stir(__global const uint *in, __global uint *out, uint seed)\n"
			     "{\n"
			     "	size_t i = get_global_id(0);\n"
			     "	out[i] = in[i] * 2654435761u + seed;\n"
			     "}\n";

#define N 4096u

static void fill_args(struct node_bo *args, const struct node_bo *in, const struct node_bo *out, uint32_t seed)
{
	struct weir_npu_arg list[3] = {
		{.kind = WEIR_NPU_ARG_BUFFER, .value = in->addr},
		{.kind = WEIR_NPU_ARG_BUFFER, .value = out->addr},
		{.kind = WEIR_NPU_ARG_VALUE, .size = 4, .value = seed},
	};

	memcpy(args->map, list, sizeof(list));
}

static void serve(struct victim *v)
{
	struct node_bo in, out, args;
	struct node_queue q;
	uint32_t kernel, *a, *b;
	int fd = node_open(NODE_NPU);

	if (fd < 0 || node_queue_create(fd, 4096, WEIR_QUEUE_FENCED, &q) < 0 ||
		node_bo_create(fd, 4 * N, 0, &in) < 0 || node_bo_create(fd, 4 * N, 0, &out) < 0 ||
		node_bo_create(fd, 4096, 0, &args) < 0 || node_load(&q, 1, source, "stir", &kernel) < 0)
		_exit(1);
	a = (uint32_t *)(void *)in.map;
	b = (uint32_t *)(void *)out.map;
	for (uint32_t seed = 1;; seed++) {
		for (uint32_t i = 0; i < N; i++)
			a[i] = i ^ seed;
		fill_args(&args, &in, &out, seed);
		node_put_launch(&q, 1, kernel, N / 64, 64, &args, 0, 3);
		if (node_ring(&q) < 0 || node_finish(&q, 30000) < 0)
			++*v->wrong;
		for (uint32_t i = 0; i < N; i++)
			*v->wrong += b[i] != (i ^ seed) * 2654435761u + seed;
		++*v->rounds;
	}
}

void victim_start(struct victim *v)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	v->rounds = p;
	v->wrong = v->rounds + 1;
	v->pid = fork();
	if (v->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(v);
	}
	victim_must_go_on(v, 3, 60000);
}

void victim_must_go_on(struct victim *v, uint64_t n, int ms)
{
	uint64_t goal = *v->rounds + n, end = node_now() + (uint64_t)ms * 1000000;

	while (*v->rounds < goal && node_now() < end && waitpid(v->pid, NULL, WNOHANG) == 0)
		usleep(2000);
	ck_assert_msg(*v->rounds >= goal, "the other process stood still for %d ms, or ended", ms);
	ck_assert_msg(*v->wrong == 0, "the other process had %llu wrong results", (unsigned long long)*v->wrong);
}

void victim_stop(struct victim *v)
{
	int status;

	ck_assert_int_eq(waitpid(v->pid, &status, WNOHANG), 0);
	kill(v->pid, SIGKILL);
	waitpid(v->pid, &status, 0);
	munmap((void *)(uintptr_t)v->rounds, 4096);
}
