/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: any packets, argument blocks, doorbells and mappings through the queue code of
 * weir-npu's worker. OpenCL is played by this file, which insists on what OpenCL must never be
 * given.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/play_opencl.h"
#include "tools/weir-npu/exec_inside.h"
#include "tools/weir-npu/queue.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PAGE WEIR_NPU_PAGE
#define SPACE_SIZE ((uint64_t)1 << WORKER_ADDR_BITS)
#define RING 64
#define MEMORY_PAGES 32
/* Device addresses of what is mapped at first, and its pages in the memory. */
#define DATA_ADDR (16 * PAGE)
#define DATA_PAGES 8
#define CONST_ADDR (64 * PAGE)
#define RING_ADDR (128 * PAGE)

static struct worker worker;
static struct worker_shared shared;
static struct weir_npu_status status;
static struct weir_npu_control control;
static struct weir_npu_doorbell doorbell;
static struct npu_queue queue;
static int memory;
static uint64_t written;

void npu_log(int ctx, const char *format, ...)
{
	(void)ctx;
	(void)format;
}

/* ---- a worker of one queue --------------------------------------------------------------- */

static void map(uint64_t addr, unsigned page, unsigned pages, int prot)
{
	insist(space_map(&worker.space, addr, (uint64_t)pages * PAGE, prot, memory, page * PAGE) ==
		0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	memory = memfd_create("fuzz", MFD_CLOEXEC);
	insist(memory >= 0 && ftruncate(memory, MEMORY_PAGES * PAGE) == 0);
	insist(space_init(&worker.space) == 0);
	play_space = &worker.space;
	worker.shared = &shared;
	return 0;
}

/* Programs of four kernels; those of the second insist on a local size. */
static void load_programs(void)
{
	static const char *const sources[] = {"aaaajs", "aaaaqq"};
	struct weir_npu_load l = {.format = WEIR_NPU_FORMAT_OPENCL_C,
		.code = DATA_ADDR,
		.code_size = 6,
		.report_size = PAGE,
		.report = DATA_ADDR + PAGE};
	uint64_t where;

	for (l.program = 0; l.program < 2; l.program++) {
		memcpy(space_pointer(&worker.space, DATA_ADDR), sources[l.program], 6);
		insist(exec_load(worker.exec, &l, &where) == 0);
		insist(worker.exec->programs[l.program].count == 4);
	}
}

static void begin(uint32_t queue_class)
{
	int rw = PROT_READ | PROT_WRITE;

	memset(&status, 0, sizeof(status));
	memset(&queue, 0, sizeof(queue));
	doorbell.published = 0;
	written = 0;
	queue.queue_class = queue_class;
	queue.ring = RING_ADDR;
	queue.size = RING;
	queue.status = &status;
	queue.control = &control;
	queue.doorbell = &doorbell;
	queue.burst = 8;
	map(DATA_ADDR, 0, DATA_PAGES, rw);
	map(CONST_ADDR, 8, 2, PROT_READ);
	map(RING_ADDR, 16, 1, rw);
	memset(space_pointer(&worker.space, DATA_ADDR), 0, DATA_PAGES * PAGE);
	worker.exec = exec_open(&worker.settings, &worker.space, &worker.identity);
	insist(worker.exec != NULL);
	load_programs();
}

static void end(void)
{
	exec_close(worker.exec);
	insist(space_unmap(&worker.space, 0, SPACE_SIZE) == 0);
	insist(worker.space.count == 0);
}

static void check(void)
{
	insist(status.completed == queue.completed && status.read_index == queue.fetched);
	insist(status.completed <= status.read_index);
	insist(status.state == (queue.dead ? WEIR_NPU_QUEUE_GUILTY : WEIR_NPU_QUEUE_OK));
	insist(queue.n_launched == 0);
	if (!queue.dead)
		return;
	insist(status.code >= WEIR_NPU_FAULT_PACKET && status.code <= WEIR_NPU_FAULT_DOORBELL);
	insist(status.error_seq == status.completed && !status.waiting);
}

static void turns(unsigned most)
{
	while (most-- > 0 && queue_ready(&worker, &queue)) {
		queue_turn(&worker, &queue);
		check();
	}
}

/* ---- input -------------------------------------------------------------------------------- */

struct input {
	const uint8_t *at;
	size_t left;
};

static uint64_t take(struct input *in, size_t n)
{
	uint64_t value = 0;

	if (n > in->left)
		n = in->left;
	memcpy(&value, in->at, n);
	in->at += n;
	in->left -= n;
	return value;
}

static void take_bytes(struct input *in, void *to, size_t n)
{
	if (n > in->left)
		n = in->left;
	memcpy(to, in->at, n);
	in->at += n;
	in->left -= n;
}

/* Two bytes of input that are most often an address of something. */
static uint64_t take_address(struct input *in)
{
	static const uint64_t bases[] = {DATA_ADDR, CONST_ADDR, RING_ADDR, 0, DATA_ADDR + 7 * PAGE,
		SPACE_SIZE, UINT64_MAX - 255};
	uint64_t r = take(in, 2);

	return bases[r % 7] + (r >> 3) % 64 * 64 + (r >> 13) * 4;
}

/* A packet that is right but for what the input makes wrong. */
static struct weir_npu_packet make_packet(struct input *in)
{
	struct weir_npu_packet p = {.type = (uint8_t)(1 + take(in, 1) % 8)};
	struct weir_npu_launch launch = {.groups = {1, 1, 1}, .local = {1, 1, 1}};
	struct weir_npu_load load = {.format = WEIR_NPU_FORMAT_OPENCL_C, .report_size = 1024};
	uint64_t words[3];

	if (p.type == WEIR_NPU_PACKET_LAUNCH) {
		launch.program = (uint32_t)take(in, 1) % 4;
		launch.kernel = (uint32_t)take(in, 1) % 5;
		launch.groups[0] = (uint32_t)take(in, 1) % 16 + 1;
		launch.local[0] = (uint32_t)take(in, 1) % 4 + 1;
		launch.n_args = (uint32_t)take(in, 1) % 7;
		launch.args = take_address(in) & ~(uint64_t)7;
		memcpy(p.body, &launch, sizeof(launch));
	} else if (p.type == WEIR_NPU_PACKET_LOAD) {
		load.program = (uint32_t)take(in, 1) % 6;
		load.code = take_address(in);
		load.code_size = take(in, 1) + 1;
		load.options = take_address(in);
		load.options_size = (uint32_t)take(in, 1) % 32;
		load.report = take_address(in) & ~(uint64_t)7;
		memcpy(p.body, &load, sizeof(load));
	} else if (p.type == WEIR_NPU_PACKET_UNLOAD) {
		p.body[0] = (uint8_t)(take(in, 1) % 4);
	} else if (p.type != WEIR_NPU_PACKET_NOP) {
		words[0] = take_address(in);
		words[1] = p.type == WEIR_NPU_PACKET_COPY ? take_address(in) : take(in, 1) * 4;
		words[2] = p.type == WEIR_NPU_PACKET_COPY ? take(in, 2) : 0;
		memcpy(p.body, words, sizeof(words));
	}
	if (take(in, 1) % 16 == 0)
		p.stamp = take_address(in) & ~(uint64_t)7;
	return p;
}

static struct weir_npu_arg make_arg(struct input *in, uint8_t kind)
{
	uint64_t r = take(in, 1);

	if (kind == WEIR_NPU_ARG_VALUE)
		return (struct weir_npu_arg){kind, 4, r};
	if (kind == WEIR_NPU_ARG_LOCAL)
		return (struct weir_npu_arg){kind, 0, r + 1};
	return (struct weir_npu_arg){kind, 0, r % 16 ? DATA_ADDR + r * 64 : take_address(in)};
}

/* A launch of a kernel that there is, most often, with a block of arguments that suits it. */
static struct weir_npu_packet make_launch(struct input *in)
{
	uint64_t r = take(in, 2), block = DATA_ADDR + (r >> 8) % 16 * 128, bad;
	struct weir_npu_launch l = {.program = r % 2, .kernel = (r >> 1) % 4, .args = block};
	const struct exec_program *program = &worker.exec->programs[l.program];
	struct weir_npu_packet p = {.type = WEIR_NPU_PACKET_LAUNCH};
	struct weir_npu_arg args[8] = {0};

	for (unsigned i = 0; i < 3; i++)
		l.groups[i] = l.local[i] = 1;
	l.local[0] = 2;
	if (program->program && l.kernel < program->count) {
		l.n_args = program->kernels[l.kernel].info.n_args;
		for (uint32_t i = 0; i < l.n_args; i++)
			args[i] = make_arg(in, program->kernels[l.kernel].kinds[i]);
	}
	if (space_check(&worker.space, block, sizeof(args), PROT_WRITE, &bad))
		memcpy(space_pointer(&worker.space, block), args, sizeof(args));
	memcpy(p.body, &l, sizeof(l));
	return p;
}

static void push(const struct weir_npu_packet *p)
{
	uint64_t where = 0, bad;
	int fault = ring_check_packet(p, queue.queue_class, &worker.identity, &where);

	insist(fault == 0 || (fault == WEIR_NPU_FAULT_PACKET && where < WEIR_NPU_PACKET_SIZE));
	if (!space_check(&worker.space, RING_ADDR, PAGE, PROT_WRITE, &bad))
		return;
	if (written - status.read_index == RING)
		turns(2);
	memcpy(space_pointer(&worker.space, RING_ADDR + written % RING * sizeof(*p)), p,
		sizeof(*p));
	doorbell.published = ++written;
}

/* Bytes into the data buffer: argument blocks, sources, values that are waited for. */
static void write_data(struct input *in)
{
	uint64_t at = take(in, 2) % (DATA_PAGES * PAGE - 256), bad;
	size_t n = take(in, 1);

	if (space_check(&worker.space, DATA_ADDR, DATA_PAGES * PAGE, PROT_WRITE, &bad))
		take_bytes(in, space_pointer(&worker.space, DATA_ADDR + at), n);
}

static void write_args(struct input *in)
{
	struct weir_npu_arg args[6] = {0};
	uint64_t at = take(in, 1) % 64 * 64, bad;

	for (unsigned i = 0; i < 6; i++) {
		uint64_t r = take(in, 1);

		args[i].kind = (uint32_t)(r % 4);
		args[i].size = args[i].kind == WEIR_NPU_ARG_VALUE ? 1u << (r >> 2) % 4 : (r >> 7);
		args[i].value = args[i].kind == WEIR_NPU_ARG_BUFFER ? take_address(in) : r;
	}
	if (space_check(&worker.space, DATA_ADDR, DATA_PAGES * PAGE, PROT_WRITE, &bad))
		memcpy(space_pointer(&worker.space, DATA_ADDR + at), args, sizeof(args));
}

static void remap(struct input *in)
{
	uint64_t addr = DATA_ADDR + take(in, 1) % 16 * PAGE, pages = take(in, 1) % 8;

	if (take(in, 1) % 2)
		space_unmap(&worker.space, addr, pages * PAGE);
	else
		space_map(&worker.space, addr, pages * PAGE, PROT_READ | PROT_WRITE, memory,
			(addr - DATA_ADDR) % (16 * PAGE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct weir_npu_packet p = {0};

	begin(take(&in, 1) % 2);
	while (in.left > 0) {
		switch (take(&in, 1) % 16) {
		case 0:
			take_bytes(&in, &p, sizeof(p));
			push(&p);
			break;
		case 1:
			remap(&in);
			break;
		case 2:
			doorbell.published = take(&in, 8);
			break;
		case 3:
		case 4:
			write_data(&in);
			break;
		case 5:
		case 6:
			write_args(&in);
			break;
		case 7:
			control.irq_seq = take(&in, 1);
			break;
		case 8:
		case 9:
			turns(1);
			break;
		case 10:
		case 11:
		case 12:
			p = make_launch(&in);
			push(&p);
			break;
		default:
			p = make_packet(&in);
			push(&p);
		}
	}
	turns(100);
	end();
	return 0;
}
