/* SPDX-License-Identifier: MIT */
/* Programs: includes, options, build errors, arithmetic, and the disk cache in all states. */
#include <dirent.h>
#include <math.h>
#include <sched.h>
#include <sys/mount.h>

#include "device_suite.h"

START_TEST(program_once)
{
	weir_device *dev = open_device(WEIR_PROVIDER_AUTO);
	struct weir_program *p = program(dev, "main.cl", "-DSCALE=2");

	ck_assert_ptr_eq(program(dev, "main.cl", "-DSCALE=2"), p);
	ck_assert_ptr_ne(program(dev, "main.cl", "-DSCALE=3"), p);
	ck_assert_ptr_eq(program(dev, "main.cl", ""), program(dev, "main.cl", NULL));
	weir_device_close(dev);
}
END_TEST

START_TEST(program_options)
{
	weir_device *dev = open_device(WEIR_PROVIDER_AUTO);
	struct weir_buffer *b = buffer(dev, 64);
	struct weir_launch l[2];

	l[0] = launch_add(program(dev, "main.cl", "-DSCALE=10"), b, 0, 2);
	l[1] = launch_add(program(dev, "main.cl", "-DSCALE=100"), b, 0, 3);
	run(dev, l, 2);
	ck_assert_int_eq(get_int(b, 0), 320);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

static unsigned count_words(const char *text, const char *word)
{
	unsigned n = 0;

	for (const char *p = text; (p = strstr(p, word)); p += strlen(word))
		n++;
	return n;
}

START_TEST(includes)
{
	size_t size;
	char *text;

	ck_assert_int_eq(weir_source_expand("main.cl", &text, &size), 0);
	ck_assert_uint_eq(size, strlen(text));
	ck_assert_uint_eq(count_words(text, "int once("), 1);
	ck_assert_uint_eq(count_words(text, "#define SCALE"), 1);
	ck_assert_uint_eq(count_words(text, "#include"), 0);
	ck_assert_uint_eq(count_words(text, "#line 2 \"kernels/main.cl\""), 1);
	free(text);
	ck_assert_int_eq(weir_source_expand("self.cl", &text, &size), 0);
	ck_assert_uint_eq(count_words(text, "void k("), 1);
	free(text);
	assert_fails(weir_source_expand("no_include.cl", &text, &size), ENOENT,
		"kernels/no_include.cl:3: cannot include \"absent.clh\"");
	assert_fails(weir_source_expand("absent.cl", &text, &size), ENOENT, "absent.cl");
	assert_fails(weir_source_expand("../k/main.cl", &text, &size), EINVAL, "../k/main.cl");
	assert_fails(weir_source_expand("..", &text, &size), EINVAL, "no name");
	assert_fails(weir_source_expand("", &text, &size), EINVAL, "no name");
}
END_TEST

/* Files that include each other without end are stopped, however they are named. */
START_TEST(includes_too_deep)
{
	char name[32], text[64];
	size_t size;
	char *out;

	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "k/deep%d.clh", i);
		snprintf(text, sizeof(text), "#include \"deep%d.clh\"\n", i + 1);
		put_text(name, text);
	}
	assert_fails(weir_source_expand("deep0.clh", &out, &size), EINVAL, "nest");
}
END_TEST

/* The embedded sources: the same call without $WEIR_KERNELS. */
START_TEST(embedded)
{
	size_t size;
	char *text;

	unsetenv("WEIR_KERNELS");
	assert_fails(weir_source_expand("main.cl", &text, &size), ENOENT,
		"no such file in this libweir");
	setenv("WEIR_KERNELS", work_path("k"), 1);
}
END_TEST

START_TEST(build_error)
{
	weir_device *dev = open_device(WEIR_PROVIDER_AUTO);
	struct weir_program *p;

	assert_fails(weir_program_get(dev, "broken.cl", NULL, &p), EIO, "kernels/broken.cl");
	ck_assert_ptr_nonnull(strstr(weir_error(), "absent"));
	/* The line is the file's own, whatever the includes put before it. */
	ck_assert_msg(strstr(weir_error(), "broken.cl:4") != NULL, "%s", weir_error());
	assert_fails(weir_program_get(dev, "absent.cl", NULL, &p), ENOENT, "absent.cl");
	ck_assert_ptr_null(p);
	weir_device_close(dev);
}
END_TEST

/* a * b + c rounds twice unless the kernel says fma; division is exact. */
START_TEST(arithmetic)
{
	weir_device *dev = open_device(WEIR_PROVIDER_AUTO);
	const float x = 1.0f + 0x1p-23f, a = 1.0f + 3 * 0x1p-23f, c = -1.0f;
	struct weir_buffer *b = buffer(dev, 64);
	struct weir_launch l = launch(program(dev, "main.cl", NULL), "mul_add", b, 0);
	volatile float product = x * a;
	float *p;

	l.args[l.n_args++] = (struct weir_arg){.kind = WEIR_ARG_FLOAT, .f = a};
	l.args[l.n_args++] = (struct weir_arg){.kind = WEIR_ARG_LOCAL, .size = 64};
	p = begin(b, 0, 64, WEIR_ACCESS_READ | WEIR_ACCESS_WRITE);
	p[0] = x;
	p[2] = c;
	end(b, p);
	run(dev, &l, 1);
	p = begin(b, 0, 64, WEIR_ACCESS_READ);
	ck_assert(product + c != fmaf(x, a, c));
	ck_assert(p[1] == product + c);
	ck_assert(p[3] == fmaf(x, a, c));
	ck_assert(p[4] == x / a);
	end(b, p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

/* ---- the disk cache ------------------------------------------------------------ */

/* What kernel k of file stores, by a device that caches in folder. */
static int run_k(const char *file, const char *folder)
{
	struct weir_device_settings s = settings_for(WEIR_PROVIDER_AUTO);
	struct weir_buffer *b;
	struct weir_launch l;
	weir_device *dev;
	int v;

	s.cache = folder;
	dev = open_with(&s);
	b = buffer(dev, 64);
	l = launch(program(dev, file, NULL), "k", b, 0);
	run(dev, &l, 1);
	v = get_int(b, 0);
	weir_buffer_destroy(b);
	weir_device_close(dev);
	return v;
}

/* The only file of a folder, or false. */
static bool only_file(const char *folder, char *path, size_t size)
{
	char command[600];
	FILE *f;
	bool one;

	snprintf(command, sizeof(command), "find '%s' -type f", folder);
	f = popen(command, "r");
	ck_assert_ptr_nonnull(f);
	one = fgets(path, (int)size, f) != NULL;
	if (one)
		path[strcspn(path, "\n")] = 0;
	one = one && fgetc(f) == EOF;
	pclose(f);
	return one;
}

/* Drivers that must not be asked for binaries (opencl_program.c) leave no entry. */
static bool fill_cache(const char *file, const char *folder, int want, char *path, size_t size)
{
	ck_assert_int_eq(run_k(file, folder), want);
	if (only_file(folder, path, size))
		return true;
	printf("skip cache tests: this driver gives no binaries\n");
	return false;
}

START_TEST(cache_entry)
{
	char path[600], *name;
	struct stat before, after;

	if (!fill_cache("one.cl", work_path("c1"), 1, path, sizeof(path)))
		return;
	name = strrchr(path, '/') + 1;
	ck_assert_uint_eq(strspn(name, "0123456789abcdef"), 32);
	ck_assert_str_eq(name + 32, ".bin");
	ck_assert_int_eq(stat(path, &before), 0);
	ck_assert_int_eq(run_k("one.cl", work_path("c1")), 1);
	ck_assert_int_eq(stat(path, &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino); /* not written again */
	ck_assert(only_file(work_path("c1"), path, sizeof(path)));
}
END_TEST

struct entry_header {
	char magic[8];
	uint32_t version, zero;
	uint64_t check, size, checksum;
};

/*
 * An entry with another program in it is believed when all its sums fit: so a hit does use the
 * entry.
 */
/* PoCL compiles kernels for a binary that are not those it runs: none is asked for then. */
START_TEST(cache_without_use)
{
	struct weir_device_info info;
	char path[600];

	ck_assert_int_eq(weir_device_describe(0, &info), 0);
	if (strcmp(info.platform, "Portable Computing Language"))
		return;
	unsetenv("POCL_WORK_GROUP_SPECIALIZATION");
	ck_assert_int_eq(run_k("one.cl", work_path("c6")), 1);
	ck_assert_int_eq(run_k("one.cl", work_path("c6")), 1);
	ck_assert(!only_file(work_path("c6"), path, sizeof(path)));
}
END_TEST

START_TEST(cache_hit_is_used)
{
	char one[600], two[600], *a, *b, *name;
	struct weir_cache_key key = {0};
	struct entry_header h;
	size_t na, nb;

	if (!fill_cache("one.cl", work_path("c2"), 1, one, sizeof(one)) ||
		!fill_cache("two.cl", work_path("c3"), 2, two, sizeof(two)))
		return;
	ck_assert_int_eq(weir_file_read(one, 1 << 24, &a, &na), 0);
	ck_assert_int_eq(weir_file_read(two, 1 << 24, &b, &nb), 0);
	memcpy(&h, a, sizeof(h));
	name = strrchr(one, '/') + 1;
	memcpy(key.name, name, 32);
	key.check = h.check;
	weir_cache_store(work_path("c2"), &key, b + sizeof(h), nb - sizeof(h));
	ck_assert_int_eq(run_k("one.cl", work_path("c2")), 2);
	/* The file of another program under this name is foreign, and replaced. */
	snprintf(two, sizeof(two), "c2/%s", name);
	put_file(two, b, nb);
	ck_assert_int_eq(run_k("one.cl", work_path("c2")), 1);
	ck_assert_int_eq(run_k("one.cl", work_path("c2")), 1);
	free(a);
	free(b);
}
END_TEST

START_TEST(cache_damaged)
{
	char path[600], name[600], *a, *b;
	size_t n, m;

	if (!fill_cache("one.cl", work_path("c4"), 1, path, sizeof(path)))
		return;
	snprintf(name, sizeof(name), "c4/%s", strrchr(path, '/') + 1);
	ck_assert_int_eq(weir_file_read(path, 1 << 24, &a, &n), 0);
	for (int i = 0; i < 6; i++) {
		char *bad = malloc(n + 1);
		size_t size = n;

		memcpy(bad, a, n);
		bad[n] = 'x';
		if (i == 0)
			bad[n / 2] ^= 1;
		if (i == 1)
			size = n - 1;
		if (i == 2)
			size = 0;
		if (i == 3)
			size = 20; /* within the header */
		if (i == 4)
			size = n + 1;
		if (i == 5)
			bad[8] ^= 1; /* the version */
		put_file(name, bad, size);
		ck_assert_int_eq(run_k("one.cl", work_path("c4")), 1);
		/* Rebuilt and stored whole again. */
		ck_assert_int_eq(weir_file_read(path, 1 << 24, &b, &m), 0);
		ck_assert_uint_ge(m, 40);
		ck_assert_int_eq(memcmp(a, b, 24), 0);
		ck_assert(m != size || memcmp(b, bad, m) != 0);
		free(b);
		free(bad);
	}
	free(a);
}
END_TEST

START_TEST(cache_unusable)
{
	char path[600];

	put_text("file", "not a folder");
	ck_assert_int_eq(run_k("one.cl", work_path("file")), 1);
	ck_assert_int_eq(run_k("one.cl", work_path("file/below")), 1);
	ck_assert_int_eq(run_k("one.cl", "/proc/nonexistent/weir"), 1);
	ck_assert_int_eq(run_k("one.cl", ""), 1);
	/* Made with its parents where it can be. */
	if (fill_cache("one.cl", work_path("c5/a/b"), 1, path, sizeof(path)))
		ck_assert_ptr_nonnull(strstr(path, "c5/a/b/"));
}
END_TEST

static unsigned count_files(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *e;
	unsigned n = 0;

	while (dir && (e = readdir(dir)))
		n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
	if (dir)
		closedir(dir);
	return n;
}

/* In a process of its own: a tmpfs of 8 KiB as the cache, seen by nobody else. */
static int self_full_cache(void)
{
	const char *folder = work_path("full");
	struct weir_device_settings s;
	struct weir_program *p;
	weir_device *dev;

	mkdir(folder, 0700);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("tmpfs", folder, "tmpfs", 0, "size=8k") < 0)
		return 77;
	s = settings_for(WEIR_PROVIDER_AUTO);
	s.cache = folder;
	if (weir_device_open(&dev, &s) < 0 || weir_program_get(dev, "main.cl", NULL, &p) < 0)
		return 1;
	weir_device_close(dev);
	/* Nothing half-written stays. */
	return count_files(folder) == 0 ? 0 : 2;
}

START_TEST(cache_full)
{
	int status = run_self("full-cache", "WEIR_KERNELS", work_path("k"));

	if (status == 77)
		printf("skip cache_full: no tmpfs can be mounted here\n");
	else
		ck_assert_int_eq(status, 0);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("device_program");
	TCase *programs = add_case(s, "programs");

	tcase_add_test(programs, program_once);
	tcase_add_test(programs, program_options);
	tcase_add_test(programs, includes);
	tcase_add_test(programs, includes_too_deep);
	tcase_add_test(programs, embedded);
	tcase_add_test(programs, build_error);
	tcase_add_test(programs, arithmetic);
	tcase_add_test(programs, cache_entry);
	tcase_add_test(programs, cache_without_use);
	tcase_add_test(programs, cache_hit_is_used);
	tcase_add_test(programs, cache_damaged);
	tcase_add_test(programs, cache_unusable);
	tcase_add_test(programs, cache_full);
	return s;
}

int main(int argc, char **argv)
{
	/* Without it PoCL's binaries hold nothing that runs, and are not asked for. */
	setenv("POCL_WORK_GROUP_SPECIALIZATION", "0", 1);
	if (argc == 3) {
		snprintf(work, sizeof(work), "%s", argv[2]);
		return self_full_cache();
	}
	return device_suite_run(make_suite());
}
