/* SPDX-License-Identifier: MIT */
/* The error text of each thread, and the clock. */
#include <stdarg.h>
#include <time.h>

#include "base/base.h"
#include "weir/weir.h"

static _Thread_local char error_text[1024];

const char *weir_error(void)
{
	return error_text;
}

int weir_fail(int err, const char *fmt, ...)
{
	/* Composed aside: an argument may be the text that stands. */
	char text[sizeof(error_text)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	memcpy(error_text, text, sizeof(text));
	return -err;
}

int weir_fail_in(int err, const char *fmt, ...)
{
	char text[2 * sizeof(error_text) + 3];
	char where[sizeof(error_text)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(where, sizeof(where), fmt, args);
	va_end(args);
	snprintf(text, sizeof(text), "%s: %s", where, error_text);
	text[sizeof(error_text) - 1] = '\0';
	memcpy(error_text, text, sizeof(error_text));
	return err;
}

double weir_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
