/* SPDX-License-Identifier: MIT */
/*
 * Runs a command and prints, in one line: seconds to the first byte on its standard output (to its end, if it writes none),
 * seconds to its end, its peak resident memory in KiB.
 *     spent COMMAND...
 * What the command prints is dropped. Exits as the command does.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Reads to the end; when the first byte came, or 0. */
static double drain(int fd)
{
	char buffer[65536];
	double first = 0;
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0 || (n < 0 && errno == EINTR))
		if (n > 0 && !first)
			first = now();
	return first;
}

static int fail(const char *what)
{
	fprintf(stderr, "spent: %s: %s\n", what, strerror(errno));
	return 127;
}

int main(int argc, char **argv)
{
	const double start = now();
	struct rusage usage;
	double first, end;
	int out[2], status;
	pid_t pid;

	if (argc < 2) {
		fprintf(stderr, "Usage: spent COMMAND...\n");
		return 2;
	}
	if (pipe(out) || (pid = fork()) < 0)
		return fail("cannot start a process");
	if (!pid) {
		dup2(out[1], STDOUT_FILENO);
		close(out[0]);
		close(out[1]);
		execvp(argv[1], argv + 1);
		_exit(fail(argv[1]));
	}
	close(out[1]);
	first = drain(out[0]);
	while (wait4(pid, &status, 0, &usage) < 0)
		if (errno != EINTR)
			return fail("cannot wait");
	end = now();
	printf("%.4f %.4f %ld\n", (first ? first : end) - start, end - start, usage.ru_maxrss);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
