/* SPDX-License-Identifier: MIT */
/*
 * GB a second that THREADS threads read from 512 MiB of memory; the best of eight times, as a limit is to be. Prints one
 * number.
 *     bandwidth THREADS
 */
#include "base/base.h"
#include "limits.h"

#define BYTES ((size_t)512 << 20)
#define TIMES 8
#define SECONDS 0.1
#define THREADS_MAX 1024

int main(int argc, char **argv)
{
	const long threads = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
	struct limits *l;
	double best = 0;
	char *data;

	if (threads < 1 || threads > THREADS_MAX) {
		fprintf(stderr, "Usage: bandwidth THREADS\n");
		return 2;
	}
	data = aligned_alloc(4096, BYTES);
	if (!data) {
		fprintf(stderr, "bandwidth: no memory\n");
		return 1;
	}
	memset(data, 1, BYTES); /* pages of its own, not the one of zeros */
	l = limits_create((unsigned)threads);
	for (int i = 0; i < TIMES; i++) {
		const double bytes = limits_read(l, data, BYTES, SECONDS);

		best = WEIR_MAX(best, bytes);
	}
	limits_destroy(l);
	free(data);
	printf("%.1f\n", best * 1e-9);
	return 0;
}
