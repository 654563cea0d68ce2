/* SPDX-License-Identifier: MIT */
/*
 * weir-npu's admin ring, without a virtual machine: commands and all that is wrong with them,
 * rings, context tables, queues' fields; and the program's options.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "suite.h"
#include "tools/weir-npu/vfio_user.h"
#include "vfio_client.h"

#define RW (WEIR_NPU_ENTRY_READ | WEIR_NPU_ENTRY_WRITE)
#define LATE 60000

static struct vc vc;

static int admin(struct weir_npu_admin a)
{
	return vc_admin(&vc, &a, LATE);
}

/* ---- admin ring ------------------------------------------------------------------------------ */

START_TEST(commands)
{
	struct weir_npu_identity *id;
	uint64_t at, alien = 0x70000000;

	vc_boot(&vc);
	at = vc_pages(&vc, 2);
	ck_assert_int_eq(
		admin((struct weir_npu_admin){.op = WEIR_NPU_ADMIN_IDENTIFY, .addr = at + 64}), 0);
	id = vc_at(&vc, at + 64);
	ck_assert_ptr_nonnull(memchr(id->name, 0, sizeof(id->name)));
	ck_assert_ptr_nonnull(memchr(id->version, 0, sizeof(id->version)));
	ck_assert_uint_gt(strlen(id->name), 0);
	ck_assert_uint_ge(id->max_local, 1);
	ck_assert_uint_ge(id->max_programs, 1);
	ck_assert(id->formats & 1u << WEIR_NPU_FORMAT_OPENCL_C);
	ck_assert(vc.admin_irqs || vc_irq(&vc, WEIR_NPU_IRQ_ADMIN, 1000));

	ck_assert_int_eq(
		admin((struct weir_npu_admin){.op = WEIR_NPU_ADMIN_IDENTIFY, .addr = alien}),
		WEIR_NPU_RESULT_ADDRESS);
	ck_assert_int_eq(admin((struct weir_npu_admin){
				 .op = WEIR_NPU_ADMIN_IDENTIFY, .addr = VC_LOW + VC_HALF - 4095}),
		WEIR_NPU_RESULT_ADDRESS);
	ck_assert_int_eq(admin((struct weir_npu_admin){
				 .op = WEIR_NPU_ADMIN_IDENTIFY, .addr = UINT64_MAX - 7}),
		WEIR_NPU_RESULT_ADDRESS);
	/* Memory that the client keeps to itself, and memory that may only be read. */
	ck_assert_int_eq(vc_map(&vc, alien, 2 * VC_PAGE, 0, -1, 3), 0);
	ck_assert_int_eq(
		admin((struct weir_npu_admin){.op = WEIR_NPU_ADMIN_IDENTIFY, .addr = alien}),
		WEIR_NPU_RESULT_ADDRESS);
	ck_assert_int_eq(
		vc_map(&vc, alien + 2 * VC_PAGE, VC_PAGE, 0, vc.memory_fd, VFU_DMA_READABLE), 0);
	ck_assert_int_eq(admin((struct weir_npu_admin){
				 .op = WEIR_NPU_ADMIN_IDENTIFY, .addr = alien + 2 * VC_PAGE}),
		WEIR_NPU_RESULT_ADDRESS);
	ck_assert_int_eq(admin((struct weir_npu_admin){.op = 0}), WEIR_NPU_RESULT_COMMAND);
	ck_assert_int_eq(admin((struct weir_npu_admin){.op = 8}), WEIR_NPU_RESULT_COMMAND);
	ck_assert_int_eq(admin((struct weir_npu_admin){
				 .op = WEIR_NPU_ADMIN_IDENTIFY, .addr = at, .zero = 1}),
		WEIR_NPU_RESULT_COMMAND);
	vc_disconnect(&vc);
}
END_TEST

static void expect_failed(void)
{
	struct weir_npu_admin nothing = {.op = WEIR_NPU_ADMIN_IDENTIFY};

	/* The interrupt says that STATUS changed. */
	ck_assert_uint_gt(vc_irq(&vc, WEIR_NPU_IRQ_ADMIN, 5000), 0);
	ck_assert(vc_reg(&vc, WEIR_NPU_REG_STATUS) & WEIR_NPU_STATUS_FAILED);
	ck_assert_int_eq(vc_admin(&vc, &nothing, 100), -ETIMEDOUT);
	vc_set_reg(&vc, WEIR_NPU_REG_CONTROL, WEIR_NPU_CONTROL_RESET);
	ck_assert_uint_eq(
		vc_reg(&vc, WEIR_NPU_REG_STATUS), WEIR_NPU_STATUS_READY | WEIR_NPU_STATUS_IDLE);
}

static void run_ring(uint64_t ring, uint32_t size, uint32_t tail)
{
	vc_set_reg(&vc, WEIR_NPU_REG_ADMIN_LO, (uint32_t)ring);
	vc_set_reg(&vc, WEIR_NPU_REG_ADMIN_HI, (uint32_t)(ring >> 32));
	vc_set_reg(&vc, WEIR_NPU_REG_ADMIN_SIZE, size);
	vc_set_reg(&vc, WEIR_NPU_REG_CONTROL, WEIR_NPU_CONTROL_RUN);
	vc_set_reg(&vc, WEIR_NPU_REG_ADMIN_TAIL, tail);
}

START_TEST(bad_rings)
{
	uint16_t off = PCI_COMMAND_MEMORY;

	vc_boot(&vc);
	vc_set_reg(&vc, WEIR_NPU_REG_ADMIN_TAIL, vc.admin_size + 1);
	expect_failed();
	run_ring(0x70000000, 8, 1);
	expect_failed();
	run_ring(~0ull << 12, 64, 60);
	expect_failed();
	run_ring(vc.admin + 64, 8, 1);
	expect_failed();
	run_ring(vc.admin, 128, 1);
	expect_failed();
	run_ring(vc.admin, 12, 1);
	expect_failed();
	/* Without bus mastering nothing is read, and nobody goes on executing. */
	ck_assert_int_eq(vc_write(&vc, NPU_REGION_CONFIG, PCI_COMMAND, &off, 2), 0);
	run_ring(vc.admin, 8, 1);
	expect_failed();
	vc_disconnect(&vc);
}
END_TEST

/* ---- tables ---------------------------------------------------------------------------------- */

static int try_entry(struct vc_context *x, struct weir_npu_entry e)
{
	((struct weir_npu_entry *)vc_at(x->c, x->table))[63] = e;
	return admin((struct weir_npu_admin){
		.op = WEIR_NPU_ADMIN_CTX_UPDATE, .ctx = x->id, .first = 63, .count = 1});
}

START_TEST(tables)
{
	const uint32_t rw = RW | WEIR_NPU_ENTRY_VALID;
	struct weir_npu_admin create = {.op = WEIR_NPU_ADMIN_CTX_CREATE, .ctx = 5, .count = 4};
	struct weir_npu_segment *s;
	struct weir_npu_entry good, e;
	struct vc_context x;
	struct vc_buffer b;

	vc_boot(&vc);
	ck_assert_int_eq(vc_context(&x, &vc, 3), 0);
	create.addr = x.table;
	create.ctx = 3;
	ck_assert_int_eq(admin(create), WEIR_NPU_RESULT_ID);
	create.ctx = 32;
	ck_assert_int_eq(admin(create), WEIR_NPU_RESULT_ID);
	create.ctx = 5;
	create.count = 0;
	ck_assert_int_eq(admin(create), WEIR_NPU_RESULT_COMMAND);
	create.count = 4097;
	ck_assert_int_eq(admin(create), WEIR_NPU_RESULT_COMMAND);
	create.count = 4;
	create.addr += 32;
	ck_assert_int_eq(admin(create), WEIR_NPU_RESULT_COMMAND);
	create.addr = 0xffffffffffffffc0;
	ck_assert_int_eq(admin(create), WEIR_NPU_RESULT_COMMAND);
	create.addr = 0x70000000;
	ck_assert_int_eq(admin(create), WEIR_NPU_RESULT_ADDRESS);
	/* What was refused does not exist. */
	ck_assert_int_eq(admin((struct weir_npu_admin){.op = WEIR_NPU_ADMIN_CTX_DESTROY, .ctx = 5}),
		WEIR_NPU_RESULT_ID);
	ck_assert_int_eq(admin((struct weir_npu_admin){
				 .op = WEIR_NPU_ADMIN_CTX_UPDATE, .ctx = 5, .count = 1}),
		WEIR_NPU_RESULT_ID);
	ck_assert_int_eq(admin((struct weir_npu_admin){.op = WEIR_NPU_ADMIN_CTX_UPDATE, .ctx = 3}),
		WEIR_NPU_RESULT_COMMAND);
	ck_assert_int_eq(
		admin((struct weir_npu_admin){
			.op = WEIR_NPU_ADMIN_CTX_UPDATE, .ctx = 3, .first = 63, .count = 2}),
		WEIR_NPU_RESULT_COMMAND);
	ck_assert_int_eq(
		admin((struct weir_npu_admin){
			.op = WEIR_NPU_ADMIN_CTX_UPDATE, .ctx = 3, .first = ~0u, .count = 2}),
		WEIR_NPU_RESULT_COMMAND);

	b = vc_buffer(&x, 4 * VC_PAGE, RW);
	s = vc_at(&vc, b.segments);
	good = (struct weir_npu_entry){b.addr + b.size, b.size, b.segments, 4, rw};
	ck_assert_int_eq(try_entry(&x, good), 0);
	ck_assert_int_eq(try_entry(&x, (struct weir_npu_entry){.addr = 1, .size = 1}), 0);
#define REFUSED(field, value, result)                                                              \
	do {                                                                                       \
		e = good;                                                                          \
		e.field = value;                                                                   \
		ck_assert_int_eq(try_entry(&x, e), result);                                        \
	} while (0)
	REFUSED(addr, b.addr, WEIR_NPU_RESULT_COMMAND);
	REFUSED(addr, b.addr + 3 * VC_PAGE, WEIR_NPU_RESULT_COMMAND);
	REFUSED(addr, b.addr - 3 * VC_PAGE, WEIR_NPU_RESULT_COMMAND);
	REFUSED(addr, good.addr + 8, WEIR_NPU_RESULT_COMMAND);
	REFUSED(addr, 1ull << WORKER_ADDR_BITS, WEIR_NPU_RESULT_COMMAND);
	REFUSED(addr, (1ull << WORKER_ADDR_BITS) - VC_PAGE, WEIR_NPU_RESULT_COMMAND);
	REFUSED(addr, ~0ull << 12, WEIR_NPU_RESULT_COMMAND);
	REFUSED(size, 0, WEIR_NPU_RESULT_COMMAND);
	REFUSED(size, ~0ull << 12, WEIR_NPU_RESULT_COMMAND);
	REFUSED(size, good.size + 1, WEIR_NPU_RESULT_COMMAND);
	REFUSED(size, good.size + VC_PAGE, WEIR_NPU_RESULT_COMMAND);
	REFUSED(size, good.size - VC_PAGE, WEIR_NPU_RESULT_COMMAND);
	REFUSED(count, 0, WEIR_NPU_RESULT_COMMAND);
	REFUSED(count, 3, WEIR_NPU_RESULT_COMMAND);
	REFUSED(count, 5, WEIR_NPU_RESULT_COMMAND);
	REFUSED(flags, WEIR_NPU_ENTRY_VALID, WEIR_NPU_RESULT_COMMAND);
	REFUSED(flags, rw | 8, WEIR_NPU_RESULT_COMMAND);
	REFUSED(segments, 0x70000000, WEIR_NPU_RESULT_ADDRESS);
	REFUSED(segments, UINT64_MAX - 15, WEIR_NPU_RESULT_ADDRESS);
	s[2].addr += 16;
	ck_assert_int_eq(try_entry(&x, good), WEIR_NPU_RESULT_COMMAND);
	s[2].addr -= 16;
	s[2].size = 0;
	ck_assert_int_eq(try_entry(&x, good), WEIR_NPU_RESULT_COMMAND);
	s[2].size = VC_PAGE;
	s[3].addr = 0x70000000;
	ck_assert_int_eq(try_entry(&x, good), WEIR_NPU_RESULT_ADDRESS);
	s[3].addr = VC_LOW + VC_HALF;
	ck_assert_int_eq(try_entry(&x, good), WEIR_NPU_RESULT_ADDRESS);
	s[3].addr = ~0ull << 12;
	ck_assert_int_eq(try_entry(&x, good), WEIR_NPU_RESULT_ADDRESS);
	s[3].addr = VC_LOW;
	ck_assert_int_eq(try_entry(&x, good), 0);
	/*
	 * The upper half is more runs than a worker can have if it is mapped often enough: pages
	 * from the end.
	 */
	ck_assert_int_eq(vc_context_destroy(&x), 0);
	vc_disconnect(&vc);
}
END_TEST

/*
 * More mappings than a process can have are no room, not a worker that fails; and as many as are
 * taken, a worker has.
 */
START_TEST(too_many_runs)
{
	const unsigned each = 4096, entries = 16;
	struct weir_npu_entry *table;
	struct weir_npu_segment *s;
	struct vc_context x;
	struct vc_queue q;
	uint64_t segments;
	int result = 0;
	unsigned i;

	vc_boot(&vc);
	ck_assert_int_eq(vc_context(&x, &vc, 0), 0);
	segments = vc_pages(&vc, each * sizeof(*s) / VC_PAGE);
	s = vc_at(&vc, segments);
	for (i = 0; i < each; i++)
		s[i] = (struct weir_npu_segment){
			VC_LOW + (uint64_t)(each - 1 - i) * VC_PAGE, VC_PAGE};
	table = vc_at(&vc, x.table);
	for (i = 0; i < entries && !result; i++) {
		table[i] = (struct weir_npu_entry){VC_BASE + (uint64_t)i * each * VC_PAGE,
			(uint64_t)each * VC_PAGE, segments, each, RW | WEIR_NPU_ENTRY_VALID};
		result = admin((struct weir_npu_admin){
			.op = WEIR_NPU_ADMIN_CTX_UPDATE, .ctx = 0, .first = i, .count = 1});
	}
	ck_assert_int_eq(result, WEIR_NPU_RESULT_RESOURCE);
	ck_assert_uint_gt(i, TABLE_MAX_RUNS / each);
	x.n_entries = entries;
	x.next = VC_BASE + (uint64_t)entries * each * VC_PAGE;
	ck_assert_int_eq(vc_queue(&q, &x, 0, 6, WEIR_NPU_CLASS_FENCED), 0);
	vc_packet(&q, WEIR_NPU_PACKET_NOP, 0, 0, NULL, 0);
	ck_assert_int_eq(vc_finish(&q, LATE), 0);
	ck_assert_int_eq(vc_queue_destroy(&q), 0);
	ck_assert_int_eq(vc_context_destroy(&x), 0);
	vc_disconnect(&vc);
}
END_TEST

START_TEST(queues)
{
	struct weir_npu_admin good = {.op = WEIR_NPU_ADMIN_QUEUE_CREATE,
				      .order = 6,
				      .queue = 9,
				      .ctx = 1},
			      a;
	struct vc_context x;
	struct vc_buffer ring;
	struct vc_queue q;

	vc_boot(&vc);
	ck_assert_int_eq(vc_context(&x, &vc, 1), 0);
	ring = vc_buffer(&x, 4096, WEIR_NPU_ENTRY_READ);
	good.addr = ring.addr;
	good.status = vc_pages(&vc, 1);
	good.control = vc_pages(&vc, 1);
#define REFUSED_QUEUE(field, value, result)                                                        \
	do {                                                                                       \
		a = good;                                                                          \
		a.field = value;                                                                   \
		ck_assert_int_eq(admin(a), result);                                                \
	} while (0)
	REFUSED_QUEUE(queue, 128, WEIR_NPU_RESULT_ID);
	REFUSED_QUEUE(ctx, 2, WEIR_NPU_RESULT_ID);
	REFUSED_QUEUE(ctx, ~0u, WEIR_NPU_RESULT_ID);
	REFUSED_QUEUE(order, 5, WEIR_NPU_RESULT_COMMAND);
	REFUSED_QUEUE(order, 15, WEIR_NPU_RESULT_COMMAND);
	REFUSED_QUEUE(order, 65535, WEIR_NPU_RESULT_COMMAND);
	REFUSED_QUEUE(queue_class, 2, WEIR_NPU_RESULT_COMMAND);
	REFUSED_QUEUE(priority, 3, WEIR_NPU_RESULT_COMMAND);
	REFUSED_QUEUE(zero, 1, WEIR_NPU_RESULT_COMMAND);
	REFUSED_QUEUE(addr, ring.addr + 32, WEIR_NPU_RESULT_COMMAND);
	REFUSED_QUEUE(addr, 1ull << 40, WEIR_NPU_RESULT_COMMAND);
	REFUSED_QUEUE(addr, ring.addr + 64, WEIR_NPU_RESULT_ADDRESS);
	REFUSED_QUEUE(order, 7, WEIR_NPU_RESULT_ADDRESS);
	REFUSED_QUEUE(status, good.status + 64, WEIR_NPU_RESULT_COMMAND);
	REFUSED_QUEUE(status, 0x70000000, WEIR_NPU_RESULT_ADDRESS);
	REFUSED_QUEUE(control, good.control + 8, WEIR_NPU_RESULT_COMMAND);
	REFUSED_QUEUE(control, 0x70000000, WEIR_NPU_RESULT_ADDRESS);
	ck_assert_int_eq(admin(good), 0);
	ck_assert_int_eq(admin(good), WEIR_NPU_RESULT_ID);
	ck_assert_int_eq(vc_context_destroy(&x), WEIR_NPU_RESULT_COMMAND);
	q = (struct vc_queue){.x = &x, .id = 10};
	ck_assert_int_eq(vc_queue_destroy(&q), WEIR_NPU_RESULT_ID);
	ck_assert_int_eq(vc_queue_reset(&q), WEIR_NPU_RESULT_ID);
	q.id = ~0u;
	ck_assert_int_eq(vc_queue_destroy(&q), WEIR_NPU_RESULT_ID);
	q.id = 9;
	ck_assert_int_eq(vc_queue_destroy(&q), 0);
	ck_assert_int_eq(vc_queue_destroy(&q), WEIR_NPU_RESULT_ID);
	ck_assert_int_eq(vc_context_destroy(&x), 0);
	vc_disconnect(&vc);
}
END_TEST

/* ---- options --------------------------------------------------------------------------------- */

START_TEST(fault_deaf)
{
	static const char *const args[] = {"--fault", "deaf:3", "--contexts", "4", NULL};
	struct weir_npu_admin a = {.op = WEIR_NPU_ADMIN_IDENTIFY};

	ck_assert_int_eq(vc_stop(&vc), 0);
	vc_start(&vc, args);
	vc_boot(&vc);
	ck_assert_uint_eq(vc_reg(&vc, WEIR_NPU_REG_CONTEXTS), 4);
	a.addr = vc_pages(&vc, 1);
	ck_assert_int_eq(vc_admin(&vc, &a, LATE), 0);
	ck_assert_int_eq(vc_admin(&vc, &a, LATE), 0);
	ck_assert_int_eq(vc_admin(&vc, &a, 300), -ETIMEDOUT);
	ck_assert_int_eq(vc_admin(&vc, &a, LATE), 0);
	vc_disconnect(&vc);
}
END_TEST

static int shell(const char *format, ...)
{
	char command[1400];
	va_list ap;
	int status;

	va_start(ap, format);
	vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(options)
{
	static const char *const wrong[] = {"--fault x", "--fault hang:", "--fault slow:1:x",
		"--queues 0", "--contexts 99999", "--awake-ms -1", "--threads 1x", "--nothing",
		"stray", "--stats"};
	char program[600];

	vc_program(program, sizeof(program));
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		int status = shell("%s --socket /nowhere/s %s >/dev/null 2>&1", program, wrong[i]);

		ck_assert_msg(status == 2, "%s: %d", wrong[i], status);
	}
	ck_assert_int_eq(shell("%s >/dev/null 2>&1", program), 2);
	ck_assert_int_eq(shell("%s --help >/dev/null", program), 0);
	/* A path that is none, that is taken, that is somebody's file, and that somebody left. */
	ck_assert_int_eq(shell("%s --socket /nowhere/s 2>/dev/null", program), 1);
	ck_assert_int_eq(shell("%s --socket %s 2>/dev/null", program, vc.path), 1);
	ck_assert_int_eq(shell("echo mine > %s/file && %s --socket %s/file 2>/dev/null", vc.folder,
				 program, vc.folder),
		1);
	ck_assert_int_eq(shell("grep -q mine %s/file && rm %s/file", vc.folder, vc.folder), 0);
}
END_TEST

START_TEST(life)
{
	static const char *const args[] = {"--once", "--verbose", NULL};
	char path[sizeof(vc.path)];

	/* SIGUSR1 shows the counters and changes nothing. */
	kill(vc.pid, SIGUSR1);
	vc_boot(&vc);
	ck_assert_uint_eq(vc_reg(&vc, WEIR_NPU_REG_MAGIC), WEIR_NPU_MAGIC);
	memcpy(path, vc.path, sizeof(path));
	ck_assert_int_eq(vc_stop(&vc), 0);
	ck_assert_int_ne(access(path, F_OK), 0);
	/* One client, then it ends by itself. */
	vc_start(&vc, args);
	vc_boot(&vc);
	ck_assert_int_eq(vc_wait(&vc), 0);
	ck_assert_int_ne(access(vc.path, F_OK), 0);
	vc_start(&vc, NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("npu_admin");
	TCase *c = tcase_create("npu_admin");

	tcase_add_test(c, commands);
	tcase_add_test(c, bad_rings);
	tcase_add_test(c, tables);
	tcase_add_test(c, too_many_runs);
	tcase_add_test(c, queues);
	tcase_add_test(c, fault_deaf);
	tcase_add_test(c, options);
	tcase_add_test(c, life);
	suite_add_tcase(s, c);
	/* One device for all but the last. */
	return vc_suite_run(&vc, s, NULL);
}
