/* SPDX-License-Identifier: MIT */
/* An output that is cut goes on where it was and comes out the same; what stands in its way is said. */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/base.h"
#include "exports.h"
#include "suite.h"

static const struct model_shape shape = {.arch = "llama", .type = WEIR_TYPE_F16, .layers = 3, .dim = 64, .ff = 96,
	.heads = 4, .kv_heads = 2, .vocab = 40, .untied = true};

static const char *in_dir(const struct export_case *c, const char *name)
{
	static char path[4][256];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", c->dir, name);
	return p;
}

/* The file of tensors, whole. */
static char *output(const struct export_case *c, size_t *size)
{
	char *data;

	ck_assert_msg(!weir_file_read(c->set.folder ? in_dir(c, "out/model.safetensors") : c->path, 1 << 24, &data, size),
		"%s", weir_error());
	return data;
}

static void check_same(const struct export_case *c, const char *want, size_t want_size)
{
	size_t size;
	char *data = output(c, &size);

	ck_assert_uint_eq(size, want_size);
	ck_assert_mem_eq(data, want, size);
	ck_assert_int_ne(access(in_dir(c, "out.partial"), F_OK), 0);
	free(data);
}

static void check_open_fails(const struct export_case *c, int err, const char *says)
{
	struct weir_export *x;

	ck_assert_int_eq(weir_export_open(c->in, &c->params, c->tokenizer, &c->set, c->tensors, c->n, &x), err);
	ck_assert_msg(strstr(weir_error(), says), "%s", weir_error());
}

/* A process that is gone after so many stages, in the midst of the next one. */
static void killed_after(const struct export_case *c, unsigned stages)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		struct weir_export *x = export_open(c);
		struct weir_codes codes;
		size_t i = c->n;

		for (unsigned s = weir_export_stages_done(x); s < stages; s++)
			export_layer(c, x, s);
		while (i-- && c->tensors[i].form != WEIR_EXPORT_CODES)
			;
		codes = export_codes(c, i);
		memset((void *)codes.q, 1, 64); /* not what it will be */
		weir_export_codes(x, i, &codes);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_ne(access(c->path, F_OK), 0);
}

/* ---- cut and gone on with ---- */

static void resumes(bool folder)
{
	struct export_case c;
	size_t size;
	char *want;

	export_case_init(&c, &shape);
	c.set.folder = folder;
	export_whole(&c);
	want = output(&c, &size);
	c.set.overwrite = true;
	check_same(&c, want, size);
	for (unsigned cut = 1; cut <= shape.layers; cut++) {
		struct weir_export *x = export_open(&c);

		ck_assert_int_eq(weir_export_found(x), WEIR_EXPORT_NEW);
		for (unsigned s = 0; s < cut; s++)
			export_layer(&c, x, s);
		weir_export_close(x);
		x = export_open(&c);
		ck_assert_int_eq(weir_export_found(x), WEIR_EXPORT_RESUMED);
		ck_assert_uint_eq(weir_export_stages_done(x), cut);
		export_rest(&c, x);
		check_same(&c, want, size);
	}
	free(want);
	export_case_fini(&c);
}

START_TEST(test_resumes)
{
	resumes(false);
	resumes(true);
}
END_TEST

START_TEST(test_killed)
{
	struct export_case c;
	size_t size;
	char *want;

	export_case_init(&c, &shape);
	export_whole(&c);
	want = output(&c, &size);
	ck_assert_int_eq(unlink(c.path), 0);
	for (unsigned stage = 0; stage < shape.layers; stage++)
		killed_after(&c, stage);
	export_whole(&c);
	check_same(&c, want, size);
	free(want);
	export_case_fini(&c);
}
END_TEST

/* Cancelled while it copies what stays: all stages are done, and the next run finishes. */
static int cancel(void *user, const char *what, uint64_t done, uint64_t total)
{
	(void)user, (void)what;
	return done >= total / 2;
}

START_TEST(test_cancelled)
{
	struct weir_export *x;
	struct export_case c;

	export_case_init(&c, &shape);
	x = export_open(&c);
	for (unsigned s = 0; s < shape.layers; s++)
		export_layer(&c, x, s);
	ck_assert_int_eq(weir_export_finish(x, cancel, NULL), -ECANCELED);
	weir_export_close(x);
	ck_assert_int_ne(access(c.path, F_OK), 0);
	x = export_open(&c);
	ck_assert_uint_eq(weir_export_stages_done(x), shape.layers);
	export_rest(&c, x);
	ck_assert_int_eq(access(c.path, F_OK), 0);
	export_case_fini(&c);
}
END_TEST

/* ---- started over ---- */

static void cut_after_one(const struct export_case *c)
{
	struct weir_export *x = export_open(c);

	export_layer(c, x, 0);
	weir_export_close(x);
}

/* What is there now is thrown away; then it is put back to a cut run. */
static void check_restarts(const struct export_case *c)
{
	struct weir_export *x = export_open(c);

	ck_assert_int_eq(weir_export_found(x), WEIR_EXPORT_RESTARTED);
	ck_assert_uint_eq(weir_export_stages_done(x), 0);
	export_layer(c, x, 0);
	weir_export_close(x);
}

START_TEST(test_other_run)
{
	struct export_case c;

	export_case_init(&c, &shape);
	cut_after_one(&c);
	c.set.identity[1] = 5;
	check_restarts(&c);
	c.set.bits = 3; /* the same identity, but another header */
	check_restarts(&c);
	c.set.bits = 4;
	c.set.folder = true;
	check_restarts(&c);
	c.set.folder = false;
	check_restarts(&c);
	export_whole(&c);
	export_case_fini(&c);
}
END_TEST

START_TEST(test_damaged)
{
	struct export_case c;
	const char *journal;
	size_t size;
	char *data;

	export_case_init(&c, &shape);
	cut_after_one(&c);
	journal = strdup(in_dir(&c, "out.partial/journal"));
	ck_assert(!weir_file_read(journal, 1 << 20, &data, &size));
	for (size_t at = 0; at <= size; at += 7) {
		FILE *f = fopen(journal, "wb");

		ck_assert(f);
		if (at < size)
			data[at] ^= 0x10;
		fwrite(data, 1, at % 2 ? size : at, f);
		fclose(f);
		if (at < size)
			data[at] ^= 0x10;
		if (at < size || at % 2 == 0)
			check_restarts(&c);
	}
	ck_assert_int_eq(truncate(in_dir(&c, "out.partial/data"), 100), 0);
	check_restarts(&c);
	ck_assert_int_eq(unlink(in_dir(&c, "out.partial/data")), 0);
	check_restarts(&c);
	export_whole(&c);
	free(data);
	free((void *)journal);
	export_case_fini(&c);
}
END_TEST

/* ---- in the way ---- */

START_TEST(test_locked)
{
	struct weir_export *x;
	struct export_case c;

	export_case_init(&c, &shape);
	x = export_open(&c);
	check_open_fails(&c, -EBUSY, "another process is writing");
	export_rest(&c, x);
	c.set.overwrite = true;
	export_whole(&c);
	export_case_fini(&c);
}
END_TEST

static void touch(const char *path)
{
	FILE *f = fopen(path, "wb");

	ck_assert(f && fputs("mine\n", f) >= 0);
	fclose(f);
}

START_TEST(test_exists)
{
	struct export_case c;
	struct weir_export *x;

	export_case_init(&c, &shape);
	touch(c.path);
	check_open_fails(&c, -EEXIST, "is there already");
	ck_assert_int_ne(access(in_dir(&c, "out.partial"), F_OK), 0);
	c.set.overwrite = true;
	c.set.folder = true;
	check_open_fails(&c, -EEXIST, "is not a folder");
	c.set.folder = false;
	export_whole(&c);
	/* It comes to be while the output is made. */
	ck_assert_int_eq(unlink(c.path), 0);
	c.set.overwrite = false;
	x = export_open(&c);
	for (unsigned s = 0; s < shape.layers; s++)
		export_layer(&c, x, s);
	touch(c.path);
	ck_assert_int_eq(weir_export_finish(x, NULL, NULL), -EEXIST);
	weir_export_close(x);
	ck_assert_int_eq(unlink(c.path), 0);
	export_whole(&c);
	export_case_fini(&c);
}
END_TEST

START_TEST(test_folder_exists)
{
	struct export_case c;
	struct stat before, after;

	export_case_init(&c, &shape);
	c.set.folder = true;
	export_whole(&c);
	check_open_fails(&c, -EEXIST, "is there already");
	c.set.overwrite = true;
	touch(in_dir(&c, "out/diary.txt"));
	check_open_fails(&c, -EEXIST, "diary.txt");
	ck_assert_int_eq(unlink(in_dir(&c, "out/diary.txt")), 0);
	ck_assert_int_eq(stat(in_dir(&c, "out"), &before), 0);
	export_whole(&c);
	ck_assert_int_eq(stat(in_dir(&c, "out"), &after), 0);
	ck_assert(before.st_ino != after.st_ino);
	ck_assert_int_ne(access(in_dir(&c, "out.partial"), F_OK), 0);
	c.set.folder = false;
	check_open_fails(&c, -EEXIST, "not a regular file");
	export_case_fini(&c);
}
END_TEST

/* A folder that has the name and no journal is not ours to empty. */
START_TEST(test_partial_of_others)
{
	struct export_case c;

	export_case_init(&c, &shape);
	ck_assert_int_eq(mkdir(in_dir(&c, "out.partial"), 0700), 0);
	touch(in_dir(&c, "out.partial/data"));
	check_open_fails(&c, -EEXIST, "is in the way");
	ck_assert_int_eq(access(in_dir(&c, "out.partial/data"), F_OK), 0);
	ck_assert_int_eq(unlink(in_dir(&c, "out.partial/data")), 0);
	export_whole(&c); /* an empty one is */
	ck_assert_int_eq(unlink(c.path), 0);
	touch(in_dir(&c, "out.partial"));
	check_open_fails(&c, -ENOTDIR, "out.partial");
	export_case_fini(&c);
}
END_TEST

START_TEST(test_no_place)
{
	struct export_case c;
	char *path;

	export_case_init(&c, &shape);
	path = strdup(in_dir(&c, "none/out"));
	c.set.path = path;
	check_open_fails(&c, -ENOENT, "none/out");
	c.set.path = "/";
	check_open_fails(&c, -EINVAL, "needs a name");
	c.set.path = "/proc/weir";
	check_open_fails(&c, -ENOENT, "cannot write /proc/weir");
	free(path);
	export_case_fini(&c);
}
END_TEST

/* A limit stands for a full disk: it is met before anything is computed, and nothing is left. */
START_TEST(test_full)
{
	struct rlimit old, small;
	struct export_case c;

	export_case_init(&c, &shape);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 8192;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	check_open_fails(&c, -EFBIG, "it needs");
	ck_assert_int_ne(access(in_dir(&c, "out.partial"), F_OK), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	cut_after_one(&c);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	{
		struct weir_export *x = export_open(&c);
		struct weir_codes codes;
		size_t i = c.n;

		while (i-- && c.tensors[i].form != WEIR_EXPORT_CODES)
			;
		codes = export_codes(&c, i);
		ck_assert_int_eq(weir_export_codes(x, i, &codes), -EFBIG);
		ck_assert_msg(strstr(weir_error(), "cannot write"), "%s", weir_error());
		export_codes_free(&codes);
		weir_export_close(x);
	}
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	export_whole(&c); /* goes on */
	signal(SIGXFSZ, SIG_DFL);
	export_case_fini(&c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("export resume");
	TCase *t = tcase_create("partial outputs");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_resumes);
	tcase_add_test(t, test_killed);
	tcase_add_test(t, test_cancelled);
	tcase_add_test(t, test_other_run);
	tcase_add_test(t, test_damaged);
	tcase_add_test(t, test_locked);
	tcase_add_test(t, test_exists);
	tcase_add_test(t, test_folder_exists);
	tcase_add_test(t, test_partial_of_others);
	tcase_add_test(t, test_no_place);
	tcase_add_test(t, test_full);
	suite_add_tcase(s, t);
	return suite_run(s);
}
