/* SPDX-License-Identifier: MIT */
/* TFLite files on disk: opened and mapped, and listed by weir_file_*. */
#include <sys/stat.h>

#include "base/base.h"
#include "format/tflite.h"
#include "suite.h"
#include "tflite_writer.h"
#include "weir/llm.h"
#include "weir/weir.h"

static char folder[64];

static const char *in_folder(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void check_meta(const weir_file *f, size_t i, const char *want_key, const char *want_value)
{
	char key[64], value[512];
	const char *type;

	ck_assert_int_eq(weir_file_meta(f, i, key, sizeof(key), &type, value, sizeof(value)), 0);
	ck_assert_str_eq(key, want_key);
	ck_assert_str_eq(type, "string");
	ck_assert_str_eq(value, want_value);
	ck_assert_int_eq(weir_file_meta(f, i, key, sizeof(key), &type, value, 5), 0);
	ck_assert_uint_eq(strlen(value), WEIR_MIN(strlen(want_value), 4));
	ck_assert(!strncmp(value, want_value, 4));
}

START_TEST(listing)
{
	struct tflite_writer *w = tflite_writer_sample();
	struct weir_file_tensor t;
	char key[8], value[8];
	const char *type;
	weir_file *f;

	ck_assert_int_eq(tflite_writer_save(w, in_folder("sample.tflite")), 0);
	ck_assert_msg(!weir_file_open(&f, in_folder("sample.tflite")), "%s", weir_error());
	ck_assert_str_eq(weir_file_format(f), "TFLite v3");
	ck_assert_uint_eq(weir_file_meta_count(f), 4);
	check_meta(f, 0, "description", "a sample");
	check_meta(f, 1, "operators",
		"16: 1 CONV_2D, 1 DEPTHWISE_CONV_2D, 1 AVERAGE_POOL_2D, 1 FULLY_CONNECTED, 1 SOFTMAX, 1 "
		"CONCATENATION, "
		"1 ADD, 1 RESHAPE, 1 SQUEEZE, 1 MEAN, 1 STRIDED_SLICE, 1 SPLIT, 1 RESIZE_BILINEAR, "
		"1 RESIZE_NEAREST_NEIGHBOR, 1 QUANTIZE, 1 CUSTOM");
	check_meta(f, 2, "inputs", "input INT8 [1, 8, 8, 4] scale 0.5 zero -3");
	check_meta(f, 3, "outputs", "next INT8 [1, 8, 8, 4] scale 0.5 zero -3");
	ck_assert_int_eq(weir_file_meta(f, 4, key, sizeof(key), &type, value, sizeof(value)), -ERANGE);
	ck_assert_int_eq(weir_file_tensor(f, 1, &t), 0);
	ck_assert_str_eq(t.name, "weights");
	ck_assert_str_eq(t.type, "INT8");
	ck_assert(t.n_dims == 4 && t.dim[0] == 4 && t.dim[1] == 1 && t.dim[3] == 4 && t.bytes == 16);
	ck_assert(t.offset && t.offset + t.bytes <= weir_file_bytes(f));
	ck_assert_int_eq(weir_file_tensor(f, 0, &t), 0);
	ck_assert(t.offset == 0 && t.bytes == 256);
	ck_assert_int_eq(weir_file_tensor(f, weir_file_tensor_count(f), &t), -ERANGE);
	weir_file_close(f);
	tflite_writer_free(w);
}
END_TEST

START_TEST(listing_of_a_model)
{
	const char *path = suite_data("cnn/person_detect.tflite", "listing");
	struct weir_file_tensor t;
	weir_file *f;

	if (!path)
		return;
	ck_assert_msg(!weir_file_open(&f, path), "%s", weir_error());
	check_meta(f, 1, "operators",
		"31: 14 DEPTHWISE_CONV_2D, 14 CONV_2D, 1 AVERAGE_POOL_2D, 1 RESHAPE, 1 SOFTMAX");
	check_meta(f, 2, "inputs", "input INT8 [1, 96, 96, 1] scale 0.00784313772 zero -1");
	for (size_t i = 0; i < weir_file_tensor_count(f); i++)
		ck_assert(!weir_file_tensor(f, i, &t) && t.offset + t.bytes <= weir_file_bytes(f));
	weir_file_close(f);
	weir_file_close(NULL);
	weir_tflite_close(NULL);
}
END_TEST

/* What begins as a TFLite file is refused as one. */
START_TEST(listing_of_a_broken_one)
{
	FILE *file = fopen(in_folder("broken.tflite"), "wb");
	char want[256];
	weir_file *f;

	ck_assert(file && fwrite("\0\0\0\0TFL3", 1, 8, file) == 8 && !fclose(file));
	ck_assert(weir_tflite_is(in_folder("broken.tflite")));
	ck_assert_int_eq(weir_file_open(&f, in_folder("broken.tflite")), -EINVAL);
	snprintf(want, sizeof(want), "%s: its first table has offset 0, at byte 0",
		in_folder("broken.tflite"));
	ck_assert_str_eq(weir_error(), want);
	ck_assert_ptr_null(f);
}
END_TEST

static void refused(const char *name, int err, const char *sentence)
{
	struct weir_tflite *f = (struct weir_tflite *)1;
	char want[256];

	snprintf(want, sizeof(want), "%s: %s", in_folder(name), sentence);
	ck_assert_int_eq(weir_tflite_open(in_folder(name), &f), -err);
	ck_assert_ptr_null(f);
	ck_assert_str_eq(weir_error(), want);
	ck_assert(!weir_tflite_is(in_folder(name)));
}

START_TEST(no_files)
{
	FILE *empty = fopen(in_folder("empty"), "w");

	ck_assert(empty && !fclose(empty));
	ck_assert(!mkfifo(in_folder("pipe"), 0600));
	refused("absent", ENOENT, "No such file or directory");
	refused("empty", EINVAL, "it is empty");
	refused("pipe", EINVAL, "it is not a regular file");
	refused(".", EINVAL, "it is not a regular file");
}
END_TEST

static void make_folder(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%s/weir-tflite-XXXXXX", tmp && strlen(tmp) < 32 ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
	static const char *const left[] = {"sample.tflite", "broken.tflite", "empty", "pipe"};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(left); i++)
		unlink(in_folder(left[i]));
	rmdir(folder);
}

int main(void)
{
	Suite *suite = suite_create("tflite_file");
	TCase *tc = tcase_create("file");

	tcase_add_unchecked_fixture(tc, make_folder, remove_folder);
	tcase_add_test(tc, listing);
	tcase_add_test(tc, listing_of_a_model);
	tcase_add_test(tc, listing_of_a_broken_one);
	tcase_add_test(tc, no_files);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
