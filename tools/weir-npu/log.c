/* SPDX-License-Identifier: MIT */
/*
 * The log of weir-npu: one line an event on standard error, written at once so that processes do
 * not mix theirs.
 */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "worker.h"

void npu_log(int ctx, const char *format, ...)
{
	char line[1024];
	size_t used;
	va_list ap;
	int n;

	n = ctx < 0 ? snprintf(line, sizeof(line), "weir-npu: ")
		    : snprintf(line, sizeof(line), "weir-npu: context %d: ", ctx);
	used = (size_t)n;
	va_start(ap, format);
	n = vsnprintf(line + used, sizeof(line) - used - 1, format, ap);
	va_end(ap);
	if (n < 0)
		return;
	used += (size_t)n < sizeof(line) - used - 1 ? (size_t)n : sizeof(line) - used - 2;
	line[used++] = '\n';
	/* Whoever reads the log may be gone: that is no reason to fail. */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
}
