/* SPDX-License-Identifier: MIT */
/* Work on the NPU that fails: sentences, and that only its own device is lost. */
#include "npu_device.h"

/* Everything says so from then on, nothing crashes, and a device that is opened anew works. */
static void failed_for_good(
	weir_device *dev, struct weir_buffer *b, struct weir_plan *p, const char *words)
{
	struct weir_program *prog;
	void *ptr;

	assert_fails(weir_device_wait(dev), EIO, words);
	assert_fails(weir_device_wait(dev), EIO, words);
	assert_fails(weir_plan_run(p, 1), EIO, words);
	assert_fails(weir_buffer_begin(b, 0, 4, WEIR_ACCESS_READ, &ptr), EIO, "buffer test");
	assert_fails(weir_program_get(dev, "two.cl", NULL, &prog), EIO, words);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);

	dev = open_npu(WEIR_PROVIDER_AUTO);
	b = buffer(dev, 64);
	p = plan(dev,
		&(struct weir_launch[]){launch_add(program(dev, "main.cl", NULL), b, 0, 9)}[0], 1);
	ck_assert_int_eq(weir_plan_run(p, 1), 0);
	ck_assert_int_eq(get_int(b, 0), 9);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}

static const char wild_cl[] = "__kernel void wild(__global char *p, int far)\n"
			      "{ p[(long)far << 24] = 1; }\n"
			      "__kernel void forever(__global volatile int *p)\n"
			      "{ while (p[0] == 0) p[1]++; }\n";

/* The sentence names the launch; another device of this process loses nothing. */
START_TEST(wild_address)
{
	weir_device *dev = open_npu(WEIR_PROVIDER_AUTO), *other = open_npu(WEIR_PROVIDER_AUTO);
	struct weir_buffer *b, *c = buffer(other, 64);
	struct weir_launch l[3], fine = launch_add(program(other, "main.cl", NULL), c, 0, 1);
	struct weir_plan *p, *q = plan(other, &fine, 1);

	put_text("k/wild.cl", wild_cl);
	b = buffer(dev, 64);
	l[0] = launch_add(program(dev, "main.cl", NULL), b, 0, 1);
	l[1] = launch(program(dev, "wild.cl", NULL), "wild", b, 0);
	l[1].label = "spoiler";
	l[1].args[l[1].n_args++] = (struct weir_arg){.kind = WEIR_ARG_INT, .i = 3000};
	l[2] = l[0];
	p = plan(dev, l, 3);
	ck_assert_int_eq(weir_plan_run(q, 1), 0);
	ck_assert_int_eq(weir_plan_run(p, 1), 0);
	assert_fails(weir_device_wait(dev), EIO, "(op spoiler, kernel wild of kernels/wild.cl)");
	ck_assert_msg(strstr(weir_error(), "is in no buffer") != NULL, "%s", weir_error());
	failed_for_good(dev, b, p, "is in no buffer");
	ck_assert_int_eq(weir_plan_run(q, 1), 0);
	ck_assert_int_eq(get_int(c, 0), 2);
	weir_plan_destroy(q);
	weir_buffer_destroy(c);
	weir_device_close(other);
}
END_TEST

START_TEST(endless)
{
	weir_device *dev = open_npu(WEIR_PROVIDER_AUTO);
	struct weir_buffer *b = buffer(dev, 64);
	struct weir_launch l;
	struct weir_plan *p;

	put_text("k/wild.cl", wild_cl);
	l = launch(program(dev, "wild.cl", NULL), "forever", b, 0);
	p = plan(dev, &l, 1);
	ck_assert_int_eq(weir_plan_run(p, 1), 0);
	assert_fails(weir_device_wait(dev), EIO,
		"kernel forever of kernels/wild.cl): no progress within");
	failed_for_good(dev, b, p, "no progress");
}
END_TEST

/* Packets as a broken program would write them. */
START_TEST(bad_packets)
{
	static const char *const words[] = {"the field at byte 0", "no such program or kernel",
		"argument 0", "is in no buffer", "the field at byte"};
	weir_device *dev = open_npu(WEIR_PROVIDER_AUTO);
	struct weir_buffer *b = buffer(dev, 64);
	struct weir_launch l = launch_add(program(dev, "main.cl", NULL), b, 0, 1);
	struct weir_plan *p = plan(dev, &l, 1);
	struct npu_device *d = npu_device(dev);
	struct weir_npu_packet packet;
	struct weir_npu_launch body = {.program = 250,
		.groups = {1, 1, 1},
		.local = {1, 1, 1},
		.n_args = 2,
		.args = b->mem->addr};
	struct weir_npu_copy copy = {.to = b->mem->addr, .from = 1ull << 36, .size = 8};

	npu_packet(&packet, WEIR_NPU_PACKET_LAUNCH, &body, sizeof(body));
	if (_i == 0)
		packet.type = 99;
	if (_i == 2) {
		/* The buffer is all zero, and no argument is of kind 0. */
		body.program = 0;
		npu_packet(&packet, WEIR_NPU_PACKET_LAUNCH, &body, sizeof(body));
	}
	if (_i == 3)
		npu_packet(&packet, WEIR_NPU_PACKET_COPY, &copy, sizeof(copy));
	if (_i == 4)
		packet.flags = 0x80;
	pthread_mutex_lock(&dev->lock);
	ck_assert_int_eq(npu_submit(d, &packet, "a test's packet"), 0);
	pthread_mutex_unlock(&dev->lock);
	assert_fails(weir_device_wait(dev), EIO, "(a test's packet): ");
	failed_for_good(dev, b, p, words[_i]);
}
END_TEST

/* A fork has the mappings, and must not use them. */
START_TEST(forked)
{
	weir_device *dev = open_npu(WEIR_PROVIDER_AUTO);
	struct weir_buffer *b = buffer(dev, 64);
	struct weir_launch l = launch_add(program(dev, "main.cl", NULL), b, 0, 1);
	struct weir_plan *p = plan(dev, &l, 1);
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		bool ok = weir_plan_run(p, 1) == -EIO && strstr(weir_error(), "a fork");

		_exit(ok && weir_buffer_fd(b) == -ECHILD ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	run(dev, &l, 1);
	ck_assert_int_eq(get_int(b, 0), 1);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

void npu_faults_add(Suite *s)
{
	TCase *c = add_case(s, "faults");

	tcase_add_unchecked_fixture(c, npu_join_work, NULL);
	tcase_add_test(c, wild_address);
	tcase_add_test(c, endless);
	tcase_add_loop_test(c, bad_packets, 0, 5);
	tcase_add_test(c, forked);
}
