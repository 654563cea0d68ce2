/* SPDX-License-Identifier: MIT */
/* What every suite repeats: a main that runs one libcheck suite in this process and prints its counts. */
#ifndef WEIR_TESTS_SUITE_H
#define WEIR_TESTS_SUITE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Runs a case a function. CK_FORK=no by default: OpenCL's threads do not survive a fork, and sanitizers
 * see one process.
 */
static inline int suite_run(Suite *s)
{
	SRunner *r = srunner_create(s);
	int failed;

	srunner_set_fork_status(r, CK_NOFORK);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}

/* A file of the test data, or NULL and a line that says what is skipped. */
static inline const char *suite_data(const char *name, const char *skips)
{
	static char path[4][512];
	static unsigned next;
	const char *dir = getenv("WEIR_TEST_DATA");
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir ? dir : "../shared/data", name);
	if (!access(p, R_OK))
		return p;
	printf("skip %s: no %s\n", skips, p);
	return NULL;
}

#endif
