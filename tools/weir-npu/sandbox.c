/* SPDX-License-Identifier: MIT */
/*
 * What a worker may do. It compiles and runs what strangers send, as native code: the kernels of a
 * context have the rights of its worker. So it has few: limits, no new privileges, system calls
 * from a list, and files by Landlock, where the kernel has it.
 *
 * execve has to be on the list: PoCL 3.1 and 6.0 compile in the process, but link each compiled
 * kernel by running ld (clang's driver does that). Landlock lets /usr/bin/ld and the dynamic loader
 * alone be executed, and what is executed inherits all of this.
 */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox.h"
#include "worker.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- environment ----------------------------------------------------------- */

static int make_folders(char *path)
{
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		mkdir(path, 0700);
		*p = '/';
	}
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

static int cache_folder(char *path, size_t size)
{
	const char *own = getenv("POCL_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");
	int length;

	if (own && *own == '/')
		length = snprintf(path, size, "%s", own);
	else if (xdg && *xdg == '/')
		length = snprintf(path, size, "%s/weir-npu", xdg);
	else if (home && *home == '/')
		length = snprintf(path, size, "%s/.cache/weir-npu", home);
	else /* a folder that others can make is no place for machine code */
		return -ENOENT;
	return length > 0 && (size_t)length < size ? 0 : -ENAMETOOLONG;
}

int sandbox_environment(int ctx)
{
	static const char *const noise[] = {"POCL_DEBUG", "POCL_VERBOSE",
		"POCL_LEAVE_KERNEL_COMPILER_TEMP_FILES", "POCL_TRACING", "LD_DEBUG"};
	char path[1024];
	int err = cache_folder(path, sizeof(path));

	if (!err)
		err = make_folders(path);
	if (err) {
		npu_log(ctx,
			"no folder for compiled kernels by POCL_CACHE_DIR, XDG_CACHE_HOME or HOME: "
			"%s",
			strerror(-err));
		return err;
	}
	for (size_t i = 0; i < COUNT(noise); i++)
		unsetenv(noise[i]);
	if (setenv("POCL_CACHE_DIR", path, 1) || setenv("TMPDIR", path, 1))
		return -ENOMEM;
	return 0;
}

/* ---- limits ------------------------------------------------------------------ */

static int limit(void)
{
	static const struct {
		int what;
		rlim_t most;
	} limits[] = {
		{RLIMIT_CORE, 0},
		{RLIMIT_FSIZE, (rlim_t)256 << 20},
		{RLIMIT_NOFILE, 256},
		/* Private memory: the buffers are shared and do not count. */
		{RLIMIT_DATA, (rlim_t)8 << 30},
	};
	struct rlimit r;

	for (size_t i = 0; i < COUNT(limits); i++) {
		if (getrlimit(limits[i].what, &r))
			return -errno;
		if (r.rlim_max != RLIM_INFINITY && r.rlim_max < limits[i].most)
			continue;
		r.rlim_cur = r.rlim_max = limits[i].most;
		if (setrlimit(limits[i].what, &r))
			return -errno;
	}
	return 0;
}

/* ---- Landlock ---------------------------------------------------------------- */

/* Numbers of linux/landlock.h, which older systems have only in part. */
#define LL_EXECUTE (1u << 0)
#define LL_WRITE_FILE (1u << 1)
#define LL_READ_FILE (1u << 2)
#define LL_READ_DIR (1u << 3)
#define LL_ALL_1 ((1u << 13) - 1) /* version 1 */
#define LL_REFER (1u << 13)	  /* 2 */
#define LL_TRUNCATE (1u << 14)	  /* 3 */
#define LL_NET 3u		  /* 4: bind and connect TCP */
#define LL_SCOPE 3u		  /* 6: abstract sockets and signals */
#define LL_VERSION 1u
#define LL_PATH_BENEATH 1

#define LL_READ (LL_READ_FILE | LL_READ_DIR)
#define LL_WRITE (LL_ALL_1 & ~LL_EXECUTE)

struct ll_ruleset {
	uint64_t fs, net, scoped;
};

struct ll_path {
	uint64_t access;
	int32_t fd;
} __attribute__((packed));

static int landlock_version(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LL_VERSION);
}

/* A path that is not there needs no rule. */
static int allow_path(int ruleset, const char *path, uint64_t access)
{
	struct ll_path rule = {.access = access};
	struct stat st;
	int err = 0;

	rule.fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.fd < 0)
		return 0;
	if (fstat(rule.fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.access &= LL_EXECUTE | LL_WRITE_FILE | LL_READ_FILE | LL_TRUNCATE;
	if (syscall(SYS_landlock_add_rule, ruleset, LL_PATH_BENEATH, &rule, 0))
		err = -errno;
	close(rule.fd);
	return err;
}

static int allow_paths(int ruleset, uint64_t handled)
{
	/* Compilers and libraries; what they ask about the machine. */
	static const char *const read[] = {"/usr", "/lib", "/lib64", "/etc/ld.so.cache",
		"/etc/OpenCL", "/etc/localtime", "/etc/debian_version", "/proc/cpuinfo",
		"/proc/meminfo", "/proc/mounts", "/proc/self/status", "/sys/devices/system",
		"/sys/kernel/mm/hugepages", "/dev/urandom"};
	static const char *const execute[] = {"/usr/bin/ld", "/lib64/ld-linux-x86-64.so.2",
		"/lib/ld-linux-aarch64.so.1", "/lib/ld-linux-armhf.so.3"};
	int err = 0;

	for (size_t i = 0; !err && i < COUNT(read); i++)
		err = allow_path(ruleset, read[i], LL_READ);
	for (size_t i = 0; !err && i < COUNT(execute); i++)
		err = allow_path(ruleset, execute[i], LL_READ_FILE | LL_EXECUTE);
	if (!err)
		err = allow_path(ruleset, "/dev/null", LL_READ_FILE | LL_WRITE_FILE);
	/*
	 * Shared with the other workers, for what one context compiled serves all. So contexts are
	 * kept apart by this only as far as their kernels are compiled OpenCL C and no machine code
	 * in it.
	 */
	if (!err)
		err = allow_path(ruleset, getenv("POCL_CACHE_DIR"), handled & ~LL_EXECUTE);
	return err;
}

static int restrict_files(int ctx)
{
	int version = landlock_version(), ruleset, err;
	struct ll_ruleset rules = {.fs = LL_ALL_1};

	if (version < 1) {
		npu_log(ctx,
			"the kernel has no Landlock: what is compiled can read this user's files");
		return 0;
	}
	if (version >= 2)
		rules.fs |= LL_REFER;
	if (version >= 3)
		rules.fs |= LL_TRUNCATE;
	if (version >= 4)
		rules.net = LL_NET;
	if (version >= 6)
		rules.scoped = LL_SCOPE;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
	if (ruleset < 0)
		return -errno;
	err = allow_paths(ruleset, rules.fs);
	if (!err && syscall(SYS_landlock_restrict_self, ruleset, 0))
		err = -errno;
	close(ruleset);
	return err;
}

/* ---- system calls -------------------------------------------------------------- */

/*
 * What PoCL, LLVM, ld, the C library and this program were seen to need, and their siblings on
 * other machines.
 */
static const char *const allowed[] = {
	/* files: which ones is Landlock's part */
	"read",
	"write",
	"readv",
	"writev",
	"pread64",
	"pwrite64",
	"lseek",
	"close",
	"open",
	"openat",
	"access",
	"faccessat",
	"faccessat2",
	"stat",
	"fstat",
	"lstat",
	"newfstatat",
	"statx",
	"statfs",
	"fstatfs",
	"readlink",
	"readlinkat",
	"getdents64",
	"getcwd",
	"mkdir",
	"mkdirat",
	"rename",
	"renameat",
	"renameat2",
	"unlink",
	"unlinkat",
	"rmdir",
	"chmod",
	"fchmod",
	"fchmodat",
	"umask",
	"ftruncate",
	"fdatasync",
	"fsync",
	"fcntl",
	"dup",
	"dup2",
	"dup3",
	"pipe2",
	"close_range",
	"flock",
	/* memory */
	"mmap",
	"munmap",
	"mprotect",
	"mremap",
	"madvise",
	"brk",
	/* threads and children */
	"futex",
	"set_robust_list",
	"rseq",
	"set_tid_address",
	"exit",
	"exit_group",
	"wait4",
	"waitid",
	"vfork",
	"execve",
	"sched_yield",
	"sched_getaffinity",
	"sched_setaffinity",
	"gettid",
	"getpid",
	"getppid",
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	/* signals and time */
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"sigaltstack",
	"pause",
	"alarm",
	"setitimer",
	"ppoll",
	"poll",
	"nanosleep",
	"clock_nanosleep",
	"restart_syscall",
	"clock_gettime",
	"clock_getres",
	"gettimeofday",
	/* the rest */
	"uname",
	"getrandom",
	"getrusage",
	"sysinfo",
	"arch_prctl",
	"recvmsg",
};

/*
 * Nobody here asks for these but an attacker: the worker dies of them. What is in neither list does
 * not exist: libraries cope with ENOSYS. clone3 is among that, for a filter cannot look at its
 * flags.
 */
static const char *const deadly[] = {
	"ptrace",
	"process_vm_readv",
	"process_vm_writev",
	"process_madvise",
	"pidfd_getfd",
	"kcmp",
	"mount",
	"umount2",
	"pivot_root",
	"chroot",
	"unshare",
	"setns",
	"open_tree",
	"move_mount",
	"fsopen",
	"bpf",
	"perf_event_open",
	"userfaultfd",
	"io_uring_setup",
	"io_uring_enter",
	"io_uring_register",
	"keyctl",
	"add_key",
	"request_key",
	"init_module",
	"finit_module",
	"delete_module",
	"kexec_load",
	"kexec_file_load",
	"reboot",
	"swapon",
	"open_by_handle_at",
	"iopl",
	"ioperm",
};

/* What has no number of its own, here or in this libseccomp, cannot be called or is absent. */
static int add_all(scmp_filter_ctx filter, uint32_t action, const char *const *names, size_t count)
{
	int err = 0;

	for (size_t i = 0; !err && i < count; i++) {
		int number = seccomp_syscall_resolve_name(names[i]);

		if (number >= 0)
			err = seccomp_rule_add(filter, action, number, 0);
	}
	return err;
}

/* Calls that only some arguments make harmless. */
static int add_some(scmp_filter_ctx filter)
{
	/* CLONE_NEW*, all kinds of name spaces */
	const uint64_t spaces = 0x7e020080;
	const uint64_t options[] = {PR_SET_NAME, PR_GET_NAME, PR_SET_TIMERSLACK, PR_SET_VMA};
	int err;

	err = seccomp_rule_add(
		filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, spaces, 0));
	for (size_t i = 0; !err && i < COUNT(options); i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
			SCMP_A0(SCMP_CMP_EQ, options[i]));
	if (!err) /* of this process: abort() */
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
			SCMP_A0(SCMP_CMP_EQ, (uint64_t)getpid()));
	if (!err)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2,
			SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A2(SCMP_CMP_EQ, 0));
	return err;
}

static int restrict_calls(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int err;

	if (!filter)
		return -ENOMEM;
	err = add_all(filter, SCMP_ACT_ALLOW, allowed, COUNT(allowed));
	if (!err)
		err = add_some(filter);
	if (!err)
		err = add_all(filter, SCMP_ACT_KILL_PROCESS, deadly, COUNT(deadly));
	if (!err)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err;
}

int sandbox_enter(int ctx)
{
	const char *what = "resource limits";
	int err = limit();

	if (!err) {
		what = "no_new_privs";
		if (chdir("/") || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
			err = -errno;
	}
	if (!err) {
		what = "Landlock";
		err = restrict_files(ctx);
	}
	if (!err) {
		what = "seccomp";
		err = restrict_calls();
	}
	if (err)
		npu_log(ctx, "no sandbox: %s: %s", what, strerror(-err));
	return err;
}
