/* SPDX-License-Identifier: MIT */
/* Everything that goes to stderr: sentences, hints, the progress line; and Ctrl-C. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A sentence may quote a file's bytes: they must not steer the terminal. */
static void say_list(const char *fmt, va_list list)
{
	char line[2048];

	vsnprintf(line, sizeof(line), fmt, list);
	progress_end();
	fputs("weir: ", stderr);
	for (const char *c = line; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 127)
			fprintf(stderr, "\\x%02x", (unsigned char)*c);
		else
			fputc(*c, stderr);
	}
	fputc('\n', stderr);
}

void say(const char *fmt, ...)
{
	va_list list;

	va_start(list, fmt);
	say_list(fmt, list);
	va_end(list);
}

int fail(const char *fmt, ...)
{
	va_list list;

	va_start(list, fmt);
	say_list(fmt, list);
	va_end(list);
	return 1;
}

int fail_weir(void)
{
	return fail("%s", weir_error());
}

int usage(const char *command, const char *fmt, ...)
{
	va_list list;

	va_start(list, fmt);
	say_list(fmt, list);
	va_end(list);
	fprintf(stderr, "Try: weir %s%s--help\n", command ? command : "", command ? " " : "");
	return EXIT_USAGE;
}

/* ---- Ctrl-C ---- */

static volatile sig_atomic_t interrupt_flag;

static void on_interrupt(int signal_number)
{
	(void)signal_number;
	interrupt_flag = 1;
}

void interrupt_catch(void)
{
	struct sigaction action = {.sa_handler = on_interrupt};

	/* Once: a second Ctrl-C ends the program where the first is not heard. */
	action.sa_flags = (int)SA_RESETHAND;
	sigemptyset(&action.sa_mask);
	interrupt_flag = 0;
	sigaction(SIGINT, &action, NULL);
}

bool interrupted(void)
{
	return interrupt_flag;
}

bool interrupt_taken(void)
{
	bool taken = interrupt_flag;

	interrupt_flag = 0;
	return taken;
}

/* ---- progress ---- */

static struct {
	char what[64];
	bool shown;
	double start, drawn;
	uint64_t first; /* done when this work began */
} line;

static int terminal_columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || size.ws_col < 20)
		return 80;
	return size.ws_col;
}

static void progress_draw(const char *note, uint64_t done, uint64_t total, double t)
{
	char text[256], left[32] = "";
	int columns = terminal_columns() - 1;
	double share = total ? (double)done / (double)total : 0;

	if (done > line.first && total > done) {
		double seconds =
			(t - line.start) * (double)(total - done) / (double)(done - line.first);

		snprintf(left, sizeof(left), ", %d:%02d left", (int)(seconds / 60) % 10000,
			(int)seconds % 60);
	}
	snprintf(text, sizeof(text), "%s: %3.0f %%%s%s%s", line.what, 100 * share, left,
		note ? "  " : "", note ? note : "");
	fprintf(stderr, "\r%.*s\x1b[K", columns, text);
	fflush(stderr);
	line.shown = true;
	line.drawn = t;
}

int progress(void *user, const char *what, uint64_t done, uint64_t total)
{
	/* Below a third of a second nobody waits; ten times a second is smooth. */
	const double unnoticed = 0.3, between = 0.1;
	double t;

	if (interrupted())
		return 1;
	if (!isatty(STDERR_FILENO))
		return 0;
	t = now();
	if (strncmp(line.what, what, sizeof(line.what) - 1) || done < line.first) {
		snprintf(line.what, sizeof(line.what), "%s", what);
		line.start = t;
		line.first = done;
	}
	if (t - line.start < unnoticed || t - line.drawn < between)
		return 0;
	progress_draw(user, done, total, t);
	return 0;
}

void progress_hide(void)
{
	if (!line.shown || !isatty(STDOUT_FILENO))
		return;
	fputs("\r\x1b[K", stderr);
	line.shown = false;
}

void progress_end(void)
{
	if (line.shown)
		fputs("\r\x1b[K", stderr);
	line.shown = false;
	line.what[0] = 0;
}
