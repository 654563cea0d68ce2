/* SPDX-License-Identifier: MIT */
/*
 * Signals of harm become the fault of the queue in execution; then the worker ends, for its
 * memory is not to be trusted.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "fault.h"

#define STACK_SIZE 65536
#define EXIT_FAULT 3

static struct worker *the_worker;

/*
 * Reads of the context's memory beyond its buffers carry the address; what is no address in the
 * machine's eyes does not.
 */
static int classify(const struct worker *w, int number, const siginfo_t *info, uint64_t *addr)
{
	*addr = 0;
	if (number == SIGILL || number == SIGFPE)
		return WEIR_NPU_FAULT_EXECUTION;
	if (!space_holds(&w->space, info->si_addr, addr))
		*addr = (uintptr_t)info->si_addr;
	return WEIR_NPU_FAULT_ADDRESS;
}

/*
 * Any thread, any moment. OpenCL is asked which launch is in execution: should it hold the lock
 * that this needs, the alarm ends the process, and the main process marks the queue by what the
 * shared page says.
 */
static void handler(int number, siginfo_t *info, void *context)
{
	static int entered;
	struct worker *w = the_worker;
	struct npu_queue *q = __atomic_load_n(&w->current, __ATOMIC_ACQUIRE);
	uint64_t addr, seq;
	int code;

	(void)context;
	/* One is enough: another thread's harm waits for the end. */
	while (__atomic_exchange_n(&entered, 1, __ATOMIC_ACQ_REL))
		pause();
	signal(SIGALRM, SIG_DFL);
	alarm(1);
	if (q && !q->dead) {
		code = classify(w, number, info, &addr);
		seq = queue_culprit(w, q);
		__atomic_store_n(&q->status->completed, seq, __ATOMIC_RELEASE);
		queue_die(w, q, code, seq, addr);
		npu_log((int)w->settings.ctx,
			"queue %u, packet %llu: signal %d at 0x%llx: the worker ends", q->id,
			(unsigned long long)seq, number, (unsigned long long)addr);
	} else {
		npu_log((int)w->settings.ctx, "signal %d outside of packets: the worker ends",
			number);
	}
	_exit(EXIT_FAULT);
}

int fault_stack(void)
{
	stack_t stack = {.ss_size = STACK_SIZE};

	/* Kept until the process ends. */
	stack.ss_sp = malloc(STACK_SIZE);
	if (!stack.ss_sp)
		return -ENOMEM;
	return sigaltstack(&stack, NULL) ? -errno : 0;
}

int fault_catch(struct worker *w)
{
	static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	the_worker = w;
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (sigaction(numbers[i], &action, NULL))
			return -errno;
	}
	return 0;
}
