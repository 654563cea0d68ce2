/* SPDX-License-Identifier: MIT */
/*
 * weir-npu at work, without a virtual machine: programs on pages that lie anywhere, interrupts,
 * faults and what becomes of others, sleep, pause and reset.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <time.h>

#include "suite.h"
#include "tools/weir-npu/vfio_user.h"
#include "vfio_client.h"

#define RW (WEIR_NPU_ENTRY_READ | WEIR_NPU_ENTRY_WRITE)
#define FENCED WEIR_NPU_CLASS_FENCED
#define LATE 60000

static struct vc vc;

static const char source[] =
	"kernel void add(global const int *a, global const int *b, global int *c)\n"
	"{ size_t i = get_global_id(0); c[i] = a[i] + b[i]; }\n"
	"kernel void forever(global volatile int *stop) { while (!*stop) ; }\n"
	"kernel void poke(global int *a, long offset) { a[offset] = 1; }\n";

static struct weir_npu_arg buffer_arg(const struct vc_buffer *b)
{
	return (struct weir_npu_arg){.kind = WEIR_NPU_ARG_BUFFER, .value = b->addr};
}

/* The kernels' numbers in the table are the report's: by name. */
static uint32_t kernel_number(
	struct vc_context *x, const struct vc_buffer *report, const char *name)
{
	struct weir_npu_report r;
	struct weir_npu_kernel k;

	vc_get(x, report, 0, &r, sizeof(r));
	for (uint32_t i = 0; i < r.kernels; i++) {
		vc_get(x, report, sizeof(r) + i * sizeof(k), &k, sizeof(k));
		if (!strcmp(k.name, name))
			return i;
	}
	ck_abort_msg("no kernel %s", name);
}

/* A context with a queue and the program, whose kernels have these numbers. */
struct job {
	struct vc_context x;
	struct vc_queue q;
	uint32_t add, forever, poke;
};

static void job_load(struct job *j)
{
	struct vc_buffer report;

	ck_assert_int_eq(vc_load(&j->q, 0, source, &report), 0);
	j->add = kernel_number(&j->x, &report, "add");
	j->forever = kernel_number(&j->x, &report, "forever");
	j->poke = kernel_number(&j->x, &report, "poke");
}

static void job_start(struct job *j, uint32_t id)
{
	ck_assert_int_eq(vc_context(&j->x, &vc, id), 0);
	ck_assert_int_eq(vc_queue(&j->q, &j->x, id, 6, FENCED), 0);
	job_load(j);
}

static void job_end(struct job *j)
{
	ck_assert_int_eq(vc_queue_destroy(&j->q), 0);
	ck_assert_int_eq(vc_context_destroy(&j->x), 0);
}

/* Adds two buffers of n ints on pages that lie anywhere, and looks at each sum. */
static void job_add(struct job *j, unsigned n)
{
	struct vc_buffer b[3];
	struct weir_npu_arg args[3];
	int *data = malloc(n * sizeof(*data));

	ck_assert_ptr_nonnull(data);
	for (unsigned k = 0; k < 3; k++) {
		b[k] = vc_buffer(&j->x, n * sizeof(*data), RW);
		args[k] = buffer_arg(&b[k]);
		for (unsigned i = 0; i < n; i++)
			data[i] = (int)(k == 0 ? i : k == 1 ? 7 * i + j->x.id : 0);
		vc_put(&j->x, &b[k], 0, data, n * sizeof(*data));
	}
	vc_launch(&j->q, 0, j->add, n / 64, 64, args, 3);
	ck_assert_int_eq(vc_finish(&j->q, LATE), 0);
	vc_get(&j->x, &b[2], 0, data, n * sizeof(*data));
	for (unsigned i = 0; i < n; i++)
		ck_assert_int_eq(data[i], (int)(8 * i + j->x.id));
	free(data);
}

/* Something that never ends by itself; it has begun when read_index passed it. */
static struct vc_buffer job_hang(struct job *j)
{
	struct vc_buffer stop = vc_buffer(&j->x, VC_PAGE, RW);
	struct weir_npu_arg arg = buffer_arg(&stop);

	memset(vc_byte(&j->x, &stop, 0), 0, VC_PAGE);
	vc_launch(&j->q, 0, j->forever, 1, 1, &arg, 1);
	vc_publish(&j->q);
	for (int i = 0; i < 5000 && j->q.status->read_index < j->q.published; i++)
		usleep(1000);
	ck_assert_uint_eq(j->q.status->read_index, j->q.published);
	ck_assert_uint_lt(j->q.status->completed, j->q.published);
	return stop;
}

static bool wait_state(struct vc_queue *q, uint32_t state)
{
	for (int i = 0; i < 20000 && q->status->state != state; i++)
		usleep(1000);
	return q->status->state == state;
}

static int admin(struct weir_npu_admin a)
{
	return vc_admin(&vc, &a, LATE);
}

/* ---- work ------------------------------------------------------------------------------------ */

START_TEST(work)
{
	struct vc_buffer stamps, a, b;
	struct weir_npu_copy copy;
	struct weir_npu_fill fill;
	uint8_t bytes[8192];
	uint64_t stamp[2];
	struct job j;

	vc_boot(&vc);
	job_start(&j, 0);
	job_add(&j, 64);
	job_add(&j, 65536);
	/* Bytes that lie on no page's border, from and to pages that lie anywhere. */
	stamps = vc_buffer(&j.x, 16, RW);
	a = vc_buffer(&j.x, 16384, RW);
	b = vc_buffer(&j.x, 16384, RW);
	fill = (struct weir_npu_fill){.to = a.addr + 4, .size = 16000, .pattern = 0x01020304};
	copy = (struct weir_npu_copy){.to = b.addr + 111, .from = a.addr + 4, .size = 8000};
	vc_packet(&j.q, WEIR_NPU_PACKET_FILL, 0, 0, &fill, sizeof(fill));
	vc_packet(&j.q, WEIR_NPU_PACKET_COPY, WEIR_NPU_PACKET_BARRIER, stamps.addr, &copy,
		sizeof(copy));
	j.q.control->irq_seq = j.q.published;
	vc_irq(&vc, WEIR_NPU_IRQ_QUEUE, 0);
	ck_assert_int_eq(vc_finish(&j.q, LATE), 0);
	ck_assert_uint_gt(vc_irq(&vc, WEIR_NPU_IRQ_QUEUE, 2000), 0);
	vc_get(&j.x, &b, 111, bytes, 8000);
	for (unsigned i = 0; i < 8000; i++)
		ck_assert_uint_eq(bytes[i], 4 - i % 4);
	vc_get(&j.x, &b, 8111, bytes, 100);
	ck_assert_uint_eq(bytes[0], 0);
	vc_get(&j.x, &stamps, 0, stamp, sizeof(stamp));
	ck_assert_uint_gt(stamp[0], 0);
	ck_assert_uint_ge(stamp[1], stamp[0]);
	ck_assert_uint_ge(j.q.status->timestamp, stamp[1]);
	ck_assert_uint_eq(j.q.status->completed, j.q.published);
	ck_assert_uint_eq(j.q.status->read_index, j.q.published);
	/* Round the ring more than once. */
	for (unsigned i = 0; i < 200; i++) {
		vc_packet(&j.q, WEIR_NPU_PACKET_NOP, 0, 0, NULL, 0);
		if (i % 50 == 49)
			ck_assert_int_eq(vc_finish(&j.q, LATE), 0);
	}
	job_end(&j);
	vc_disconnect(&vc);
}
END_TEST

START_TEST(rebind)
{
	struct weir_npu_fill fill = {.size = VC_PAGE, .pattern = 0x77777777};
	struct vc_buffer a, b;
	struct job j;

	vc_boot(&vc);
	job_start(&j, 0);
	a = vc_buffer(&j.x, VC_PAGE, RW);
	b = vc_buffer(&j.x, VC_PAGE, RW);
	fill.to = a.addr;
	/* The device address of a becomes the memory of b. */
	ck_assert_int_eq(vc_rebind(&j.x, &b, 0), 0);
	a.segments = b.segments;
	ck_assert_int_eq(vc_rebind(&j.x, &a, RW | WEIR_NPU_ENTRY_VALID), 0);
	vc_packet(&j.q, WEIR_NPU_PACKET_FILL, 0, 0, &fill, sizeof(fill));
	ck_assert_int_eq(vc_finish(&j.q, LATE), 0);
	ck_assert_uint_eq(*(uint32_t *)vc_byte(&j.x, &b, 4092), 0x77777777);
	/* Read only; then gone. */
	ck_assert_int_eq(vc_rebind(&j.x, &a, WEIR_NPU_ENTRY_READ | WEIR_NPU_ENTRY_VALID), 0);
	vc_packet(&j.q, WEIR_NPU_PACKET_FILL, 0, 0, &fill, sizeof(fill));
	ck_assert_int_eq(vc_finish(&j.q, LATE), -EIO);
	ck_assert_uint_eq(j.q.status->state, WEIR_NPU_QUEUE_GUILTY);
	ck_assert_uint_eq(j.q.status->code, WEIR_NPU_FAULT_ADDRESS);
	ck_assert_uint_eq(j.q.status->error_seq, j.q.published - 1);
	job_end(&j);
	vc_disconnect(&vc);
}
END_TEST

/* ---- faults ---------------------------------------------------------------------------------- */

START_TEST(wild_address)
{
	struct vc_buffer b;
	struct weir_npu_arg args[2];
	struct vc_queue other;
	struct job bad, good;

	vc_boot(&vc);
	job_start(&bad, 1);
	job_start(&good, 2);
	ck_assert_int_eq(vc_queue(&other, &bad.x, 7, 6, FENCED), 0);
	b = vc_buffer(&bad.x, VC_PAGE, RW);
	args[0] = buffer_arg(&b);
	args[1] = (struct weir_npu_arg){
		.kind = WEIR_NPU_ARG_VALUE, .size = 8, .value = 5 * VC_PAGE / sizeof(int)};
	vc_irq(&vc, WEIR_NPU_IRQ_QUEUE, 0);
	vc_launch(&bad.q, 0, bad.poke, 1, 1, args, 2);
	ck_assert_int_eq(vc_finish(&bad.q, LATE), -EIO);
	ck_assert_uint_eq(bad.q.status->state, WEIR_NPU_QUEUE_GUILTY);
	ck_assert_uint_eq(bad.q.status->code, WEIR_NPU_FAULT_ADDRESS);
	ck_assert_uint_eq(bad.q.status->fault_addr, b.addr + 5 * VC_PAGE);
	ck_assert_uint_eq(bad.q.status->error_seq, bad.q.published - 1);
	ck_assert_uint_gt(vc_irq(&vc, WEIR_NPU_IRQ_QUEUE, 2000), 0);
	ck_assert(wait_state(&other, WEIR_NPU_QUEUE_INNOCENT));
	ck_assert_uint_eq(other.status->code, WEIR_NPU_FAULT_LOST);
	/* The other context never noticed. */
	job_add(&good, 4096);
	/* The context works again with a new queue, and has no programs. */
	ck_assert_int_eq(vc_queue_destroy(&bad.q), 0);
	ck_assert_int_eq(vc_queue_destroy(&other), 0);
	ck_assert_int_eq(vc_queue(&bad.q, &bad.x, 1, 6, FENCED), 0);
	job_load(&bad);
	job_add(&bad, 4096);
	job_end(&bad);
	job_end(&good);
	vc_disconnect(&vc);
}
END_TEST

START_TEST(queue_reset)
{
	struct vc_queue other;
	struct job bad, good;

	vc_boot(&vc);
	job_start(&bad, 1);
	job_start(&good, 2);
	ck_assert_int_eq(vc_queue(&other, &bad.x, 7, 6, FENCED), 0);
	job_hang(&bad);
	job_add(&good, 4096);
	ck_assert_int_eq(vc_queue_reset(&bad.q), 0);
	/* Whose fault it was says the driver. */
	ck_assert_uint_eq(bad.q.status->state, WEIR_NPU_QUEUE_OK);
	ck_assert_uint_eq(other.status->state, WEIR_NPU_QUEUE_INNOCENT);
	ck_assert_uint_eq(other.status->code, WEIR_NPU_FAULT_LOST);
	job_add(&good, 4096);
	ck_assert_int_eq(vc_queue_destroy(&other), 0);
	ck_assert_int_eq(vc_queue_destroy(&bad.q), 0);
	ck_assert_int_eq(vc_queue(&bad.q, &bad.x, 1, 6, FENCED), 0);
	job_load(&bad);
	job_add(&bad, 64);
	job_end(&bad);
	job_end(&good);
	vc_disconnect(&vc);
}
END_TEST

/* A queue that never ends is ended all the same, and soon; so is a context, and a client. */
START_TEST(destroy_busy)
{
	struct timespec from, to;
	struct job j, good;

	vc_boot(&vc);
	job_start(&good, 2);
	job_start(&j, 1);
	job_hang(&j);
	clock_gettime(CLOCK_MONOTONIC, &from);
	ck_assert_int_eq(vc_queue_destroy(&j.q), 0);
	clock_gettime(CLOCK_MONOTONIC, &to);
	ck_assert_int_lt(
		(to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000, 15000);
	/* Its page is not written any more: the driver may have freed it. */
	memset((void *)j.q.status, 0xee, sizeof(*j.q.status));
	job_add(&good, 64);
	ck_assert_uint_eq(j.q.status->state, 0xeeeeeeee);
	ck_assert_int_eq(vc_context_destroy(&j.x), 0);
	job_start(&j, 1);
	job_hang(&j);
	vc_disconnect(&vc);
	vc_boot(&vc);
	job_start(&j, 1);
	job_add(&j, 64);
	vc_disconnect(&vc);
}
END_TEST

/* The client takes memory away that a context has: that context loses it, at once. */
START_TEST(unmap_under)
{
	struct weir_npu_fill fill = {.size = VC_PAGE, .pattern = 1};
	struct weir_npu_segment *s;
	struct vc_buffer b;
	struct job j, good;
	uint64_t bus = 0x200000000, pages = 0x300000000;
	struct weir_npu_admin a = {
		.op = WEIR_NPU_ADMIN_QUEUE_CREATE, .order = 6, .queue = 9, .ctx = 1};

	vc_boot(&vc);
	job_start(&good, 2);
	job_start(&j, 1);
	b = vc_buffer(&j.x, VC_PAGE, RW);
	ck_assert_int_eq(vc_map(&vc, bus, VC_PAGE, 0, vc.memory_fd, 3), 0);
	s = vc_at(&vc, b.segments);
	s->addr = bus;
	ck_assert_int_eq(vc_rebind(&j.x, &b, RW | WEIR_NPU_ENTRY_VALID), 0);
	fill.to = b.addr;
	vc_packet(&j.q, WEIR_NPU_PACKET_FILL, 0, 0, &fill, sizeof(fill));
	ck_assert_int_eq(vc_finish(&j.q, LATE), 0);
	ck_assert_int_eq(vc_unmap(&vc, bus, VC_PAGE, 0), 0);
	memset(vc.memory, 0, VC_PAGE);
	vc_packet(&j.q, WEIR_NPU_PACKET_FILL, 0, 0, &fill, sizeof(fill));
	ck_assert_int_eq(vc_finish(&j.q, LATE), -EIO);
	ck_assert_uint_eq(j.q.status->code, WEIR_NPU_FAULT_ADDRESS);
	ck_assert_uint_eq(vc.memory[0], 0);
	/* A queue's own pages. */
	ck_assert_int_eq(
		vc_map(&vc, pages, 2 * VC_PAGE, VC_HALF - 2 * VC_PAGE, vc.memory_fd, 3), 0);
	a.addr = j.q.ring.addr;
	a.status = pages;
	a.control = pages + VC_PAGE;
	ck_assert_int_eq(admin(a), 0);
	ck_assert_int_eq(vc_unmap(&vc, pages, 2 * VC_PAGE, 0), 0);
	a.op = WEIR_NPU_ADMIN_QUEUE_DESTROY;
	ck_assert_int_eq(admin(a), 0);
	job_add(&good, 64);
	vc_disconnect(&vc);
}
END_TEST

/* ---- sleep, pause, reset --------------------------------------------------------------------- */

START_TEST(sleep_and_kick)
{
	struct job j;

	vc_boot(&vc);
	job_start(&j, 0);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 10000 && !j.q.status->need_kick; i++)
			usleep(1000);
		ck_assert_uint_eq(j.q.status->need_kick, 1);
		vc_packet(&j.q, WEIR_NPU_PACKET_NOP, 0, 0, NULL, 0);
		ck_assert_int_eq(vc_finish(&j.q, LATE), 0);
	}
	job_end(&j);
	vc_disconnect(&vc);
}
END_TEST

static bool wait_idle(void)
{
	for (int i = 0; i < 5000 && !(vc_reg(&vc, WEIR_NPU_REG_STATUS) & WEIR_NPU_STATUS_IDLE); i++)
		usleep(1000);
	return vc_reg(&vc, WEIR_NPU_REG_STATUS) & WEIR_NPU_STATUS_IDLE;
}

START_TEST(pause_and_run)
{
	struct vc_buffer stop;
	struct job j;

	vc_boot(&vc);
	job_start(&j, 0);
	stop = job_hang(&j);
	vc_set_reg(&vc, WEIR_NPU_REG_CONTROL, 0);
	usleep(50000);
	/* What executes finishes, and only then it is idle. */
	ck_assert(!(vc_reg(&vc, WEIR_NPU_REG_STATUS) & WEIR_NPU_STATUS_IDLE));
	vc_irq(&vc, WEIR_NPU_IRQ_ADMIN, 0);
	*(volatile int *)vc_byte(&j.x, &stop, 0) = 1;
	ck_assert(wait_idle());
	ck_assert_uint_gt(vc_irq(&vc, WEIR_NPU_IRQ_ADMIN, 2000), 0);
	ck_assert_uint_eq(j.q.status->completed, j.q.published);
	/* Neither packets nor commands are taken. */
	vc_packet(&j.q, WEIR_NPU_PACKET_NOP, 0, 0, NULL, 0);
	ck_assert_int_eq(vc_finish(&j.q, 300), -ETIMEDOUT);
	ck_assert_int_eq(vc_admin(&vc,
				 &(struct weir_npu_admin){
					 .op = WEIR_NPU_ADMIN_IDENTIFY, .addr = vc_pages(&vc, 1)},
				 100),
		-ETIMEDOUT);
	vc_set_reg(&vc, WEIR_NPU_REG_CONTROL, WEIR_NPU_CONTROL_RUN);
	ck_assert_int_eq(vc_finish(&j.q, LATE), 0);
	job_add(&j, 64);
	job_end(&j);
	vc_disconnect(&vc);
}
END_TEST

START_TEST(device_reset)
{
	struct job j;

	vc_boot(&vc);
	job_start(&j, 0);
	job_hang(&j);
	vc_set_reg(&vc, WEIR_NPU_REG_CONTROL, WEIR_NPU_CONTROL_RESET);
	ck_assert_uint_eq(
		vc_reg(&vc, WEIR_NPU_REG_STATUS), WEIR_NPU_STATUS_READY | WEIR_NPU_STATUS_IDLE);
	/* It was forgotten, not judged. */
	ck_assert_uint_eq(j.q.status->state, WEIR_NPU_QUEUE_OK);
	vc_run(&vc);
	job_start(&j, 0);
	job_add(&j, 64);
	job_end(&j);
	vc_disconnect(&vc);
}
END_TEST

/* Without bus mastering nobody goes on executing, and only a reset helps. */
START_TEST(bus_master_off)
{
	uint16_t off = PCI_COMMAND_MEMORY;
	struct job j;

	vc_boot(&vc);
	job_start(&j, 0);
	job_hang(&j);
	while (vc_irq(&vc, WEIR_NPU_IRQ_ADMIN, 20))
		continue;
	ck_assert_int_eq(vc_write(&vc, NPU_REGION_CONFIG, PCI_COMMAND, &off, 2), 0);
	ck_assert_uint_gt(vc_irq(&vc, WEIR_NPU_IRQ_ADMIN, 5000), 0);
	ck_assert_uint_eq(vc_reg(&vc, WEIR_NPU_REG_STATUS),
		WEIR_NPU_STATUS_READY | WEIR_NPU_STATUS_FAILED | WEIR_NPU_STATUS_IDLE);
	vc_disconnect(&vc);
}
END_TEST

/* ---- the fault switch ------------------------------------------------------------------------ */

START_TEST(fault_crash)
{
	static const char *const args[] = {"--fault", "crash:2", NULL};
	struct vc_queue other;
	struct job j;

	ck_assert_int_eq(vc_stop(&vc), 0);
	vc_start(&vc, args);
	vc_boot(&vc);
	job_start(&j, 0);
	ck_assert_int_eq(vc_queue(&other, &j.x, 1, 6, FENCED), 0);
	job_add(&j, 64);
	vc_launch(&j.q, 0, j.forever, 1, 1,
		&(struct weir_npu_arg){.kind = WEIR_NPU_ARG_BUFFER, .value = j.q.ring.addr}, 1);
	vc_publish(&j.q);
	ck_assert(wait_state(&j.q, WEIR_NPU_QUEUE_GUILTY));
	ck_assert_uint_eq(j.q.status->code, WEIR_NPU_FAULT_EXECUTION);
	ck_assert_uint_eq(j.q.status->error_seq, j.q.published - 1);
	ck_assert(wait_state(&other, WEIR_NPU_QUEUE_INNOCENT));
	ck_assert_uint_gt(vc_irq(&vc, WEIR_NPU_IRQ_QUEUE, 2000), 0);
	vc_disconnect(&vc);
}
END_TEST

int main(void)
{
	const char *const args[] = {"--awake-ms", "20", NULL};
	Suite *s = suite_create("npu_work");
	TCase *c = tcase_create("npu_work");

	tcase_add_test(c, work);
	tcase_add_test(c, rebind);
	tcase_add_test(c, wild_address);
	tcase_add_test(c, queue_reset);
	tcase_add_test(c, destroy_busy);
	tcase_add_test(c, unmap_under);
	tcase_add_test(c, sleep_and_kick);
	tcase_add_test(c, pause_and_run);
	tcase_add_test(c, device_reset);
	tcase_add_test(c, bus_master_off);
	tcase_add_test(c, fault_crash);
	suite_add_tcase(s, c);
	/* One device for all but the last, which starts its own. */
	return vc_suite_run(&vc, s, args);
}
