/* SPDX-License-Identifier: MIT */
/*
 * What the device suites share: a folder with kernels of their own, and the calls that every case
 * makes.
 */
#ifndef WEIR_TESTS_DEVICE_SUITE_H
#define WEIR_TESTS_DEVICE_SUITE_H

#include <sys/stat.h>
#include <sys/wait.h>

#include "device/backend.h"
#include "suite.h"

/* A folder of this run's own: kernels in k, caches beside it. */
static char work[] = "/tmp/weir-test-XXXXXX";

static inline void put_file(const char *name, const void *data, size_t size)
{
	char path[1024];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", work, name);
	f = fopen(path, "wb");
	/* Called outside of tests too, where libcheck's checks may not stand. */
	if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) {
		perror(path);
		exit(2);
	}
}

static inline void put_text(const char *name, const char *text)
{
	put_file(name, text, strlen(text));
}

static const char *work_path(const char *name)
{
	static char path[4][1024];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", work, name);
	return p;
}

static const char main_cl[] =
	"#include \"part.clh\"\n"
	"#include \"kernels/part.clh\"\n"
	"__kernel __attribute__((reqd_work_group_size(1, 1, 1)))\n"
	"void add(__global int *p, int n) { p[get_group_id(0)] += n * SCALE; }\n"
	"__kernel void where(__global ulong *out, __global const int *p)\n"
	"{ out[0] = (ulong)p; out[1] = (ulong)out; }\n"
	"__kernel void mul_add(__global float *p, float a, __local float *l)\n"
	"{ l[0] = p[0]; p[1] = l[0] * a + p[2]; p[3] = fma(l[0], a, p[2]); p[4] = p[0] / a; }\n"
	"__kernel void items(__global int *p) { p[get_global_id(0)] = (int)get_local_size(0); }\n"
	"__kernel void spin(__global float *p, int n)\n"
	"{ float a = get_group_id(0); for (int i = 0; i < n; i++) a = a * 1.000001f + 0.1f;\n"
	"  p[get_group_id(0)] = a; }\n"
	"__kernel void macros(__global int *p) { p[0] = 0;\n"
	"#ifdef WEIR_CPU\n p[0] |= 1;\n#endif\n#ifdef WEIR_GPU\n p[0] |= 2;\n#endif\n"
	"#ifdef WEIR_TIER_PORTABLE\n p[0] |= 4;\n#endif\n#ifdef WEIR_TIER_VNNI\n p[0] |= "
	"8;\n#endif\n}\n";

static inline void put_kernels(void)
{
	mkdir(work_path("k"), 0700);
	put_text("k/main.cl", main_cl);
	/* Expanded twice it would define the function twice. */
	put_text("k/part.clh", "#include \"deep.clh\"\nint once(void) { return 1; }\n");
	put_text("k/deep.clh", "#ifndef SCALE\n#define SCALE 1\n#endif\n");
	put_text("k/broken.cl", "#include \"deep.clh\"\n__kernel void k(__global int "
				"*p)\n{\n\tp[0] = absent;\n}\n");
	put_text("k/no_include.cl", "\n\n#include \"absent.clh\"\n");
	put_text("k/self.cl",
		"#include \"self.cl\"\n__kernel void k(__global int *p) { p[0] = 1; }\n");
	put_text("k/one.cl", "__kernel void k(__global int *p) { p[0] = 1; }\n");
	put_text("k/two.cl", "__kernel void k(__global int *p) { p[0] = 2; }\n");
	setenv("WEIR_KERNELS", work_path("k"), 1);
}

static inline struct weir_device_settings settings_for(enum weir_provider provider)
{
	struct weir_device_settings s;

	weir_device_settings_default(&s);
	s.provider = provider;
	s.cache = work_path("cache");
	return s;
}

static inline weir_device *open_with(const struct weir_device_settings *s)
{
	weir_device *dev;
	int err = weir_device_open(&dev, s);

	ck_assert_msg(err == 0, "%s", weir_error());
	return dev;
}

static inline weir_device *open_device(enum weir_provider provider)
{
	struct weir_device_settings s = settings_for(provider);

	return open_with(&s);
}

static inline struct weir_program *program(weir_device *dev, const char *file, const char *options)
{
	struct weir_program *p;

	ck_assert_msg(weir_program_get(dev, file, options, &p) == 0, "%s", weir_error());
	return p;
}

static inline struct weir_buffer *buffer(weir_device *dev, size_t size)
{
	struct weir_buffer *b;

	ck_assert_msg(weir_buffer_create(dev, size, "test", &b) == 0, "%s", weir_error());
	return b;
}

static inline void *begin(struct weir_buffer *b, size_t offset, size_t size, unsigned access)
{
	void *p;

	ck_assert_msg(weir_buffer_begin(b, offset, size, access, &p) == 0, "%s", weir_error());
	return p;
}

static inline void end(struct weir_buffer *b, void *p)
{
	ck_assert_msg(weir_buffer_end(b, p) == 0, "%s", weir_error());
}

static inline int get_int(struct weir_buffer *b, size_t offset)
{
	int *p = begin(b, offset, sizeof(*p), WEIR_ACCESS_READ), v = *p;

	end(b, p);
	return v;
}

static inline void set_int(struct weir_buffer *b, size_t offset, int v)
{
	int *p = begin(b, offset, sizeof(*p), WEIR_ACCESS_WRITE);

	*p = v;
	end(b, p);
}

static inline struct weir_launch launch(
	struct weir_program *p, const char *kernel, struct weir_buffer *b, size_t offset)
{
	return (struct weir_launch){
		.program = p,
		.kernel = kernel,
		.label = kernel,
		.groups = 1,
		.local = 1,
		.args = {{.kind = WEIR_ARG_BUFFER,
			.buffer = b,
			.offset = offset,
			.size = b->size - offset}},
		.n_args = 1,
	};
}

static inline struct weir_launch launch_add(
	struct weir_program *p, struct weir_buffer *b, size_t offset, int n)
{
	struct weir_launch l = launch(p, "add", b, offset);

	l.args[l.n_args++] = (struct weir_arg){.kind = WEIR_ARG_INT, .i = n};
	return l;
}

static inline struct weir_plan *plan(weir_device *dev, const struct weir_launch *l, size_t n)
{
	struct weir_plan *p;

	ck_assert_msg(weir_plan_create(dev, l, n, &p) == 0, "%s", weir_error());
	return p;
}

/* Records, runs and waits. */
static inline void run(weir_device *dev, const struct weir_launch *l, size_t n)
{
	struct weir_plan *p = plan(dev, l, n);

	ck_assert_msg(weir_plan_run(p, 1) == 0, "%s", weir_error());
	ck_assert_msg(weir_device_wait(dev) == 0, "%s", weir_error());
	weir_plan_destroy(p);
}

#define assert_fails(call, code, words)                                                            \
	do {                                                                                       \
		ck_assert_int_eq(call, -(code));                                                   \
		ck_assert_msg(                                                                     \
			strstr(weir_error(), words), "\"%s\" lacks \"%s\"", weir_error(), words);  \
	} while (0)

static const enum weir_provider providers_here[] = {
	WEIR_PROVIDER_HOST, WEIR_PROVIDER_SHADOW, WEIR_PROVIDER_UDMABUF};

/* NULL for a provider that this machine does not have. */
static inline weir_device *open_provider(int i)
{
	if (providers_here[i] == WEIR_PROVIDER_UDMABUF && access("/dev/udmabuf", F_OK) != 0) {
		printf("skip provider udmabuf: /dev/udmabuf does not exist\n");
		return NULL;
	}
	return open_device(providers_here[i]);
}

/* Runs this program again with what as its argument; its exit status. */
static inline int run_self(const char *what, const char *key, const char *value)
{
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		setenv(key, value, 1);
		execl("/proc/self/exe", "test_device", what, work, (char *)NULL);
		_exit(99);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A suite in a folder of its own; */
static inline int device_suite_run(Suite *s)
{
	char command[128];
	int ret;

	if (!mkdtemp(work))
		return 1;
	put_kernels();
	ret = suite_run(s);
	snprintf(command, sizeof(command), "rm -rf '%s'", work);
	return system(command) == 0 ? ret : 1;
}

static inline TCase *add_case(Suite *s, const char *name)
{
	TCase *c = tcase_create(name);

	tcase_set_timeout(c, 300);
	suite_add_tcase(s, c);
	return c;
}

#endif
