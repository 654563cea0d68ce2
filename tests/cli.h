/* SPDX-License-Identifier: MIT */
/* What suites of the program repeat: running lines of shell, and looking at what they print. */
#ifndef WEIR_TESTS_CLI_H
#define WEIR_TESTS_CLI_H

#include <sys/wait.h>

#include <json-c/json.h>

#include "suite.h"

static char work[64];			  /* a folder of this run's own, $D to the commands */
static char out[1 << 20], err[64 * 1024]; /* what the last command printed */

static inline void slurp(const char *name, char *into, size_t size)
{
	char path[128];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", work, name);
	f = fopen(path, "rb");
	ck_assert_ptr_nonnull(f);
	n = fread(into, 1, size - 1, f);
	into[n] = 0;
	fclose(f);
}

/* Runs a line of shell, where $W is the program; returns its exit status, 128 + n for signal n. */
static inline int sh(const char *line)
{
	char command[4096];
	int status;

	snprintf(command, sizeof(command), "{ %s\n} >%s/out 2>%s/err", line, work, work);
	status = system(command);
	slurp("out", out, sizeof(out));
	slurp("err", err, sizeof(err));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define ASSERT_STATUS(line, status)                                                                \
	do {                                                                                       \
		int got_ = sh(line);                                                               \
		ck_assert_msg(got_ == (status), "%s: exit %d, stderr: %.1500s", line, got_, err);  \
	} while (0)
#define ASSERT_HAS(text, part)                                                                     \
	ck_assert_msg(strstr(text, part), "\"%s\" is not in: %.1500s", part, text)

/* A command line that is wrong, and what the sentence about it has. */
struct usage_row {
	const char *line, *says;
};

/* Exit status 2, the sentence and where to look; nothing on standard output. */
static inline void assert_usage(const struct usage_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ASSERT_STATUS(rows[i].line, 2);
		ASSERT_HAS(err, rows[i].says);
		ASSERT_HAS(err, "\nTry: weir ");
		ck_assert_str_eq(out, "");
	}
}

static inline int lines_of(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* The object that a command prints; the caller's to put. */
static inline struct json_object *json_of(const char *line)
{
	struct json_object *object;

	ASSERT_STATUS(line, 0);
	object = json_tokener_parse(out);
	ck_assert_msg(object != NULL, "%s: no JSON: %s", line, out);
	return object;
}

static inline struct json_object *json_at(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	ck_assert_msg(json_object_object_get_ex(object, key, &value), "no key %s", key);
	return value;
}

/* Makes the folder, and sets $W and $D. */
static inline void cli_begin(void)
{
	const char *temp = getenv("TMPDIR"), *bin = getenv("WEIR_BIN");

	snprintf(work, sizeof(work), "%.40s/weir-cli-XXXXXX", temp ? temp : "/tmp");
	if (!mkdtemp(work)) {
		perror(work);
		exit(1);
	}
	setenv("W", bin ? bin : "build/weir", 1);
	setenv("D", work, 1);
}

/* Runs a case's tests and removes the folder: main's exit status. */
static inline int cli_end(const char *name, TCase *c)
{
	Suite *s = suite_create(name);
	char line[128];
	int failed;

	tcase_set_timeout(c, 0);
	suite_add_tcase(s, c);
	failed = suite_run(s);
	snprintf(line, sizeof(line), "rm -rf '%s'", work);
	return system(line) || failed;
}

#endif
