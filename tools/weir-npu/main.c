/* SPDX-License-Identifier: MIT */
/*
 * weir-npu, the NPU as a program: options, the socket that QEMU connects to, the loop, and the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"

#define MESSAGES_A_TURN 64
#define STATS_MS 1000

struct options {
	const char *socket, *stats;
	bool once, help;
	struct npu_settings npu;
};

struct server {
	const struct options *o;
	struct npu npu;
	struct client *client; /* NULL: none is connected */
	int listening, signals;
	bool end;
	int64_t next_stats;
	struct pollfd fds[3 + NPU_MAX_CONTEXTS];
};

/* ---- options --------------------------------------------------------------------------------- */

static const char help_text[] =
	"Usage: weir-npu --socket PATH [OPTION]...\n\n"
	"Is a neural processing unit for virtual machines: QEMU connects to the socket and its "
	"guest sees a\n"
	"PCI device that executes queues of packets right in the guest's memory, by OpenCL.\n\n"
	"Options:\n"
	"  --socket PATH     where to listen; a socket that nobody listens at is replaced\n"
	"  --threads N       threads of OpenCL in each context (all processors)\n"
	"  --contexts N      contexts there can be (32)\n"
	"  --queues N        queues there can be (128)\n"
	"  --awake-ms N      how long doorbells are polled after the last work (100)\n"
	"  --fault WHAT[:N[:MS]]\n"
	"                    for tests: what goes wrong at each context's launch number N, from 1 "
	"on (each one):\n"
	"                    hang, wild (touches an address of no buffer), crash, slow (takes MS "
	"longer, 100);\n"
	"                    deaf: admin command number N is not answered;\n"
	"                    stale: the address of the N-th buffer that goes is read and written "
	"once more\n"
	"  --no-sandbox      workers without seccomp, for debuggers and sanitizers\n"
	"  --once            end when the client leaves\n"
	"  --stats FILE      write counters when a client leaves, and every second with --verbose\n"
	"  --verbose         log every message and command\n"
	"  --help            this text\n\n"
	"SIGUSR1 logs the counters; SIGTERM ends. The log goes to standard error. The exit status "
	"is 0, 1 when\n"
	"something failed, or 2 when the command line is wrong.\n\n"
	"Example:\n"
	"  weir-npu --socket /tmp/npu.sock &\n"
	"  qemu-system-x86_64 -m 1G -M q35,memory-backend=ram \\\n"
	"      -object memory-backend-memfd,id=ram,size=1G,share=on \\\n"
	"      -device "
	"'{\"driver\":\"vfio-user-pci\",\"socket\":{\"type\":\"unix\",\"path\":\"/tmp/"
	"npu.sock\"}}' ...\n";

static int usage(const char *format, const char *what)
{
	fprintf(stderr, "weir-npu: ");
	fprintf(stderr, format, what);
	fprintf(stderr, "; see weir-npu --help\n");
	return 2;
}

/* 0, or -EINVAL: text is no decimal number from low to high. */
static int parse_number(const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno || end == text || *end || *text < '0' || *text > '9' || *out < low ||
			       *out > high
		       ? -EINVAL
		       : 0;
}

static int parse_unsigned(
	const char *option, const char *text, unsigned low, unsigned high, unsigned *out)
{
	uint64_t n;

	if (parse_number(text, low, high, &n)) {
		fprintf(stderr,
			"weir-npu: --%s takes a number from %u to %u, not \"%s\"; see weir-npu "
			"--help\n",
			option, low, high, text);
		return 2;
	}
	*out = (unsigned)n;
	return 0;
}

/* WHAT[:N[:MS]] */
static int parse_fault(const char *text, struct npu_settings *s)
{
	static const char *const names[] = {"", "hang", "wild", "crash", "slow"};
	char what[16] = "", count[24] = "0", ms[24] = "100";
	uint64_t at, slow;
	int used = 0, parts = sscanf(text, "%15[a-z]%n:%23[0-9]%n:%23[0-9]%n", what, &used, count,
			      &used, ms, &used);

	if (parts < 1 || text[used] || parse_number(count, 0, UINT64_MAX, &at) ||
		parse_number(ms, 0, 3600000, &slow))
		return usage("--fault takes WHAT[:N[:MS]], not \"%s\"", text);
	if (!strcmp(what, "deaf")) {
		s->deaf = true;
		s->deaf_at = at;
		return 0;
	}
	if (!strcmp(what, "stale")) {
		s->stale = true;
		s->stale_at = at ? at : 1;
		return 0;
	}
	for (unsigned i = WORKER_FAULT_HANG; i <= WORKER_FAULT_SLOW; i++) {
		if (strcmp(what, names[i]))
			continue;
		s->worker.fault = (enum worker_fault)i;
		s->worker.fault_at = at;
		s->worker.fault_ms = (unsigned)slow;
		return 0;
	}
	return usage("there is no fault \"%s\"", what);
}

enum {
	OPT_SOCKET = 256,
	OPT_THREADS,
	OPT_CONTEXTS,
	OPT_QUEUES,
	OPT_AWAKE,
	OPT_FAULT,
	OPT_NO_SANDBOX,
	OPT_ONCE,
	OPT_STATS,
	OPT_VERBOSE,
	OPT_HELP
};

static const struct option long_options[] = {
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"threads", required_argument, NULL, OPT_THREADS},
	{"contexts", required_argument, NULL, OPT_CONTEXTS},
	{"queues", required_argument, NULL, OPT_QUEUES},
	{"awake-ms", required_argument, NULL, OPT_AWAKE},
	{"fault", required_argument, NULL, OPT_FAULT},
	{"no-sandbox", no_argument, NULL, OPT_NO_SANDBOX},
	{"once", no_argument, NULL, OPT_ONCE},
	{"stats", required_argument, NULL, OPT_STATS},
	{"verbose", no_argument, NULL, OPT_VERBOSE},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static int parse_option(int option, struct options *o)
{
	struct npu_settings *s = &o->npu;

	switch (option) {
	case OPT_SOCKET:
		o->socket = optarg;
		return 0;
	case OPT_THREADS:
		return parse_unsigned("threads", optarg, 1, 1024, &s->worker.threads);
	case OPT_CONTEXTS:
		return parse_unsigned("contexts", optarg, 1, NPU_MAX_CONTEXTS, &s->contexts);
	case OPT_QUEUES:
		return parse_unsigned("queues", optarg, 1, NPU_MAX_QUEUES, &s->queues);
	case OPT_AWAKE:
		return parse_unsigned("awake-ms", optarg, 0, 3600000, &s->worker.awake_ms);
	case OPT_FAULT:
		return parse_fault(optarg, s);
	case OPT_NO_SANDBOX:
		s->worker.sandbox = false;
		return 0;
	case OPT_ONCE:
		o->once = true;
		return 0;
	case OPT_STATS:
		o->stats = optarg;
		return 0;
	case OPT_VERBOSE:
		s->verbose = s->worker.verbose = true;
		return 0;
	case OPT_HELP:
		o->help = true;
		return 0;
	default:
		/* getopt_long() said what is wrong. */
		fprintf(stderr, "weir-npu: see weir-npu --help\n");
		return 2;
	}
}

static int parse_options(int argc, char **argv, struct options *o)
{
	int option, status = 0;

	*o = (struct options){.npu = {.contexts = 32,
				      .queues = 128,
				      .worker = {.awake_ms = 100, .sandbox = true}}};
	while (!status && (option = getopt_long(argc, argv, "", long_options, NULL)) >= 0)
		status = parse_option(option, o);
	if (status || o->help)
		return status;
	if (optind < argc)
		return usage("there is no argument \"%s\"", argv[optind]);
	if (!o->socket)
		return usage("%s is missing", "--socket PATH");
	return 0;
}

/* ---- socket and signals ---------------------------------------------------------------------- */

/* Whether the path is a socket that nobody listens at any more. */
static bool is_left_over(const struct sockaddr_un *a)
{
	struct stat st;
	bool left;
	int fd;

	if (lstat(a->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	left = connect(fd, (const struct sockaddr *)a, sizeof(*a)) && errno == ECONNREFUSED;
	close(fd);
	return left;
}

static int bind_to(int fd, const struct sockaddr_un *a)
{
	if (!bind(fd, (const struct sockaddr *)a, sizeof(*a)))
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	if (!is_left_over(a) || unlink(a->sun_path))
		return -EADDRINUSE;
	return bind(fd, (const struct sockaddr *)a, sizeof(*a)) ? -errno : 0;
}

static int listen_at(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd, err;

	if (strlen(path) >= sizeof(a.sun_path)) {
		npu_log(-1, "the path of the socket is longer than %zu bytes: %s",
			sizeof(a.sun_path) - 1, path);
		return -1;
	}
	memcpy(a.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	err = fd < 0 ? -errno : bind_to(fd, &a);
	if (!err && listen(fd, 4))
		err = -errno;
	if (!err)
		return fd;
	npu_log(-1, "cannot listen at %s: %s", path, strerror(-err));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* A context is a process and a socket: more than a shell's default limit of files allows. */
static void raise_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return;
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
}

static int take_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- counters -------------------------------------------------------------------------------- */

/* Whole or not at all: a reader never sees half a file. */
static void write_stats(const struct server *s)
{
	char path[PATH_MAX];
	int fd;

	if (!s->o->stats)
		return;
	if (snprintf(path, sizeof(path), "%s.tmp", s->o->stats) >= (int)sizeof(path))
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0) {
		npu_log(-1, "cannot write %s: %s", path, strerror(errno));
		return;
	}
	npu_write_counters(&s->npu, fd);
	close(fd);
	if (rename(path, s->o->stats))
		npu_log(-1, "cannot write %s: %s", s->o->stats, strerror(errno));
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void client_leaves(struct server *s, int err)
{
	npu_log(-1, "client %llu left%s%s", (unsigned long long)s->npu.counters.clients,
		err == -EPIPE ? "" : ": ", err == -EPIPE ? "" : strerror(-err));
	client_fini(s->client);
	free(s->client);
	s->client = NULL;
	npu_power_cycle(&s->npu);
	write_stats(s);
	s->end = s->end || s->o->once;
}

static void client_comes(struct server *s)
{
	int fd = accept4(s->listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		/* It stays to be accepted: not at full speed. */
		if (errno != EAGAIN && errno != EINTR)
			usleep(100000);
		return;
	}
	s->client = malloc(sizeof(*s->client));
	if (!s->client) {
		close(fd);
		return;
	}
	client_init(s->client, &s->npu, fd);
	npu_log(-1, "client %llu", (unsigned long long)++s->npu.counters.clients);
}

static void take_signal(struct server *s)
{
	struct signalfd_siginfo info;

	if (read(s->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1)
		npu_write_counters(&s->npu, STDERR_FILENO);
	else
		s->end = true;
}

static int timeout(const struct server *s)
{
	int64_t now = clock_ms(), at = npu_deadline(&s->npu);

	if (s->o->npu.verbose && s->o->stats && s->next_stats < at)
		at = s->next_stats;
	if (at == INT64_MAX)
		return -1;
	return at <= now ? 0 : at - now > INT_MAX ? INT_MAX : (int)(at - now);
}

static nfds_t gather(struct server *s)
{
	nfds_t n = 0;

	s->fds[n++] = (struct pollfd){.fd = s->signals, .events = POLLIN};
	/* One client at a time: the next waits. */
	s->fds[n++] =
		(struct pollfd){.fd = s->client ? s->client->fd : s->listening, .events = POLLIN};
	for (unsigned i = 0; i < s->o->npu.contexts; i++) {
		const struct process *p = s->npu.contexts[i].process;

		if (p)
			s->fds[n++] = (struct pollfd){.fd = p->socket, .events = process_events(p)};
	}
	return n;
}

static void turn(struct server *s)
{
	nfds_t n = gather(s);

	if (poll(s->fds, n, timeout(s)) < 0 && errno != EINTR) {
		npu_log(-1, "poll: %s", strerror(errno));
		s->end = true;
		return;
	}
	if (s->fds[0].revents)
		take_signal(s);
	if (s->fds[1].revents && s->client) {
		int err = client_serve(s->client, MESSAGES_A_TURN);

		if (err)
			client_leaves(s, err);
	} else if (s->fds[1].revents) {
		client_comes(s);
	}
	npu_serve(&s->npu);
	if (s->o->npu.verbose && clock_ms() >= s->next_stats) {
		write_stats(s);
		s->next_stats = clock_ms() + STATS_MS;
	}
}

static int serve(const struct options *o)
{
	static struct server s;
	int status = 1, err;

	s.o = o;
	s.listening = -1;
	s.signals = take_signals();
	err = s.signals < 0 ? -errno : npu_init(&s.npu, &o->npu);
	if (err) {
		npu_log(-1, "cannot start: %s", strerror(-err));
		return 1;
	}
	if (worker_identify(&o->npu.worker, &s.npu.identity))
		goto error;
	s.listening = listen_at(o->socket);
	if (s.listening < 0)
		goto error;
	npu_log(-1, "%s; %u contexts, %u queues; listens at %s", s.npu.identity.name,
		o->npu.contexts, o->npu.queues, o->socket);
	while (!s.end)
		turn(&s);
	if (s.client)
		client_leaves(&s, -EPIPE);
	write_stats(&s);
	unlink(o->socket);
	npu_log(-1, "ends");
	status = 0;
error:
	if (s.listening >= 0)
		close(s.listening);
	npu_fini(&s.npu);
	close(s.signals);
	return status;
}

int main(int argc, char **argv)
{
	struct options o;
	int status = parse_options(argc, argv, &o);

	if (status)
		return status;
	if (o.help)
		return fputs(help_text, stdout) < 0 || fflush(stdout) ? 1 : 0;
	signal(SIGPIPE, SIG_IGN);
	raise_limit();
	return serve(&o);
}
