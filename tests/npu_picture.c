/* SPDX-License-Identifier: MIT */
/*
 * Two processes and one picture: one decodes it into a buffer of its own and hands that over as a dma-buf; the other binds it as
 * a network's input and says what it shows, without a byte copied. A second picture in the same buffer needs no word.
 */
#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "npu_pass.h"
#include "npu_picture.h"
#include "suite.h"
#include "weir/vision.h"

#define SIDE 176
#define BYTES (SIDE * SIDE * 3)
#define CLASSES 1000

struct order {
	char path[512];
};

/* MCUNet's classes of them; the numbers are ImageNet's. */
static const struct {
	const char *file;
	int class;
} shows[] = {{"images/chelsea.png", 282}, {"images/coffee.png", 967}, {"images/rocket.jpg", 657}};

/* ---- who makes pictures ---------------------------------------------------- */

/* Pixels 0..255 to the network's -1..1 in steps of 1/127. */
static int put_picture(weir_buffer *buf, const char *path)
{
	static unsigned char pixels[BYTES];
	struct weir_picture picture;
	signed char *to;
	int err = weir_picture_read(path, 3, &picture);

	if (err < 0)
		return err;
	err = weir_picture_resize(&picture, 224.0 / 256, SIDE, SIDE, pixels);
	weir_picture_free(&picture);
	if (err == 0)
		err = weir_buffer_begin(buf, 0, BYTES, WEIR_ACCESS_WRITE, (void **)&to);
	if (err < 0)
		return err;
	for (size_t i = 0; i < BYTES; i++)
		to[i] = (signed char)lround((pixels[i] / 127.5 - 1) * 127);
	return weir_buffer_end(buf, to);
}

int npu_picture_other(int socket)
{
	weir_device *dev = npu_pass_device();
	weir_buffer *buf = NULL;
	struct order order;
	int err = dev ? weir_buffer_create(dev, BYTES, "picture", &buf) : -ENODEV;
	int got, fd = err < 0 ? -1 : weir_buffer_fd(buf);
	bool first = true;

	while (err == 0 && npu_pass_receive(socket, &order, sizeof(order), &got)) {
		err = put_picture(buf, order.path);
		if (err == 0 && !npu_pass_send(socket, "", 1, first ? fd : -1))
			err = -EPIPE;
		first = false;
	}
	if (err < 0)
		fprintf(stderr, "the second process: %s\n", weir_error());
	close(fd);
	weir_buffer_destroy(buf);
	weir_device_close(dev);
	return err == 0 ? 0 : 1;
}

/* ---- who looks at them ----------------------------------------------------- */

static int best(weir_net *net, signed char *scores)
{
	int top = 0;

	ck_assert_msg(weir_net_run(net) == 0, "%s", weir_error());
	ck_assert_msg(weir_net_output_read(net, 0, scores, CLASSES) == 0, "%s", weir_error());
	for (int i = 1; i < CLASSES; i++)
		top = scores[i] > scores[top] ? i : top;
	return top;
}

/* The same bytes by an ordinary write give the same scores. */
static void compare(weir_device *dev, const char *model, weir_buffer *buf, const signed char *want)
{
	signed char got[CLASSES];
	weir_net *net;
	void *bytes;

	ck_assert_msg(weir_net_load(&net, dev, model, NULL) == 0, "%s", weir_error());
	ck_assert_int_eq(weir_buffer_begin(buf, 0, BYTES, WEIR_ACCESS_READ, &bytes), 0);
	ck_assert_msg(weir_net_input_write(net, 0, bytes, BYTES) == 0, "%s", weir_error());
	ck_assert_int_eq(weir_buffer_end(buf, bytes), 0);
	best(net, got);
	ck_assert_mem_eq(got, want, CLASSES);
	weir_net_destroy(net);
}

static void ask(int socket, const char *path, int *fd)
{
	struct order order;
	char done;

	snprintf(order.path, sizeof(order.path), "%s", path);
	ck_assert(npu_pass_send(socket, &order, sizeof(order), -1));
	ck_assert(npu_pass_receive(socket, &done, 1, fd));
}

START_TEST(picture_of_another_process)
{
	const char *found = suite_data("cnn/mcunet-320kb-1mb_imagenet.tflite", "a shared picture");
	const char *kernels = getenv("WEIR_KERNELS");
	char *folder = kernels ? strdup(kernels) : NULL, *model;
	signed char scores[CLASSES];
	int socket, fd, more, status;
	uint64_t copied;
	weir_buffer *buf;
	weir_device *dev;
	weir_net *net;
	pid_t pid;

	if (!found || !suite_data(shows[0].file, "a shared picture")) {
		free(folder);
		return;
	}
	model = strdup(found); /* suite_data's text does not last */
	ck_assert_ptr_nonnull(model);
	unsetenv("WEIR_KERNELS"); /* the library's own */
	dev = npu_pass_device();
	ck_assert_msg(dev != NULL, "%s", weir_error());
	ck_assert_msg(weir_net_load(&net, dev, model, NULL) == 0, "%s", weir_error());
	pid = npu_pass_start("--npu-picture", &socket);
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(shows); i++) {
		ask(socket, suite_data(shows[i].file, "a shared picture"), i ? &more : &fd);
		if (i == 0) {
			ck_assert_int_ge(fd, 0);
			ck_assert_msg(weir_buffer_from_fd(dev, fd, "another's picture", &buf) == 0, "%s",
				weir_error());
			close(fd);
			ck_assert_msg(weir_net_input_bind(net, 0, buf, 0) == 0, "%s", weir_error());
		}
		copied = weir_profile_copied(dev);
		ck_assert_int_eq(best(net, scores), shows[i].class);
		ck_assert_uint_eq(weir_profile_copied(dev), copied);
		compare(dev, model, buf, scores);
	}
	close(socket);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	weir_net_destroy(net);
	weir_buffer_destroy(buf);
	weir_device_close(dev);
	if (folder)
		setenv("WEIR_KERNELS", folder, 1);
	free(folder);
	free(model);
}
END_TEST

void npu_picture_add(TCase *c)
{
	tcase_add_test(c, picture_of_another_process);
}
