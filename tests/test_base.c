/* SPDX-License-Identifier: MIT */
/* Errors, halves, parallel loops, and files that appear only when whole. */
#include <math.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/base.h"
#include "suite.h"
#include "weir/weir.h"

START_TEST(error_text)
{
	ck_assert_int_eq(weir_fail(EINVAL, "file %s", "a"), -EINVAL);
	ck_assert_str_eq(weir_error(), "file a");
	ck_assert_int_eq(weir_fail_in(-EIO, "load %d", 3), -EIO);
	ck_assert_str_eq(weir_error(), "load 3: file a");
	/* The text that stands may be an argument. */
	weir_fail(EIO, "again: %s", weir_error());
	ck_assert_str_eq(weir_error(), "again: load 3: file a");
}
END_TEST

/* Every half converts to a float that converts back, and halfway cases round to even. */
START_TEST(half_all)
{
	for (uint32_t h = 0; h < 0x10000; h++) {
		float f = weir_half_to_float((uint16_t)h);

		if ((h & 0x7c00) == 0x7c00 && (h & 0x3ff))
			ck_assert(isnan(f));
		else
			ck_assert_uint_eq(weir_float_to_half(f), h);
	}
	ck_assert_uint_eq(weir_float_to_half(1 + 0x1p-11f), 0x3c00);
	ck_assert_uint_eq(weir_float_to_half(1 + 3 * 0x1p-11f), 0x3c02);
	ck_assert_uint_eq(weir_float_to_half(65519), 0x7bff);
	ck_assert_uint_eq(weir_float_to_half(65520), 0x7c00);
	ck_assert_uint_eq(weir_float_to_half(0x1p-25f), 0);
	ck_assert_uint_eq(weir_float_to_half(0x1.8p-25f), 1);
	ck_assert_uint_eq(weir_float_to_half(-INFINITY), 0xfc00);
}
END_TEST

static atomic_int hits[1000];

static int hit(void *user, size_t begin, size_t end)
{
	for (size_t i = begin; i < end; i++)
		atomic_fetch_add(&hits[i], 1);
	return user && begin >= 300 ? weir_fail(ERANGE, "chunk at %zu", begin) : 0;
}

START_TEST(parallel_covers)
{
	ck_assert_int_eq(weir_parallel(3, 1000, 7, hit, NULL), 0);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(hits[i], 1);
	ck_assert_int_eq(weir_parallel(2, 0, 7, hit, NULL), 0);
}
END_TEST

START_TEST(parallel_error)
{
	int yes = 1;

	ck_assert_int_eq(weir_parallel(2, 1000, 100, hit, &yes), -ERANGE);
	ck_assert(strstr(weir_error(), "chunk at"));
}
END_TEST

START_TEST(atomic_file)
{
	char dir[] = "/tmp/weir-base-XXXXXX", path[64], *data;
	struct weir_atomic_file f;
	size_t size;

	ck_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a", dir);
	ck_assert_int_eq(weir_atomic_begin(&f, path), 0);
	fputs("half", f.file);
	weir_atomic_abort(&f);
	ck_assert_int_ne(access(path, F_OK), 0);
	ck_assert_int_eq(rmdir(dir), 0); /* nothing is left of it */
	ck_assert_int_eq(weir_path_make(dir), 0);
	ck_assert_int_eq(weir_atomic_begin(&f, path), 0);
	ck_assert_int_ne(access(path, F_OK), 0);
	fputs("whole", f.file);
	ck_assert_int_eq(weir_atomic_commit(&f), 0);
	ck_assert_int_eq(weir_file_read(path, 100, &data, &size), 0);
	ck_assert_str_eq(data, "whole");
	free(data);
	ck_assert_int_eq(weir_file_read(path, 4, &data, &size), -EFBIG);
	ck_assert_int_eq(weir_atomic_begin(&f, "/proc/none/a"), -ENOENT);
	unlink(path);
	rmdir(dir);
}
END_TEST

/* A full disk: the error is a sentence, the old file stays. */
START_TEST(atomic_full)
{
	struct weir_atomic_file f;
	struct stat st;

	if (stat("/dev/full", &st)) {
		printf("skip atomic_full: no /dev/full\n");
		return;
	}
	ck_assert_int_eq(weir_atomic_begin(&f, "/tmp/weir-base-full"), 0);
	f.file = freopen("/dev/full", "wb", f.file);
	ck_assert(f.file);
	fputs("x", f.file);
	ck_assert_int_lt(weir_atomic_commit(&f), 0);
	ck_assert(strstr(weir_error(), "/tmp/weir-base-full"));
	ck_assert_int_ne(access("/tmp/weir-base-full", F_OK), 0);
}
END_TEST

START_TEST(paths)
{
	char path[128];

	setenv("XDG_CACHE_HOME", "/tmp/x", 1);
	ck_assert_int_eq(weir_path_cache(path, sizeof(path)), 0);
	ck_assert_str_eq(path, "/tmp/x/weir");
	setenv("XDG_CACHE_HOME", "relative", 1); /* not allowed by the specification: ignored */
	setenv("HOME", "/tmp/h", 1);
	ck_assert_int_eq(weir_path_cache(path, sizeof(path)), 0);
	ck_assert_str_eq(path, "/tmp/h/.cache/weir");
	ck_assert_int_eq(weir_path_cache(path, 5), -ENAMETOOLONG);
	unsetenv("HOME");
	ck_assert_int_eq(weir_path_cache(path, sizeof(path)), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base");
	TCase *t = tcase_create("base");

	tcase_add_test(t, error_text);
	tcase_add_test(t, half_all);
	tcase_add_test(t, parallel_covers);
	tcase_add_test(t, parallel_error);
	tcase_add_test(t, atomic_file);
	tcase_add_test(t, atomic_full);
	tcase_add_test(t, paths);
	suite_add_tcase(s, t);
	return suite_run(s);
}
