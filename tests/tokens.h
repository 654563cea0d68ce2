/* SPDX-License-Identifier: MIT */
/* What suites on tokens share: tokens of a text, compared with a list. */
#ifndef WEIR_TESTS_TOKENS_H
#define WEIR_TESTS_TOKENS_H

#include "base/base.h"
#include "suite.h"
#include "weir/llm.h"

/* Ids as "1 2 3"; the caller frees it. */
static inline char *ids_text(const int32_t *ids, int64_t n)
{
	char *text = malloc((size_t)n * 12 + 1), *p = text;

	*p = 0;
	for (int64_t i = 0; i < n; i++)
		p += sprintf(p, "%s%d", i ? " " : "", ids[i]);
	return text;
}

static inline int32_t *tokens_of(
	const weir_tokenizer *t, const char *text, size_t len, unsigned flags, int64_t *n)
{
	int32_t *ids;

	*n = weir_tokenize(t, text, len, flags, NULL, 0);
	ck_assert_msg(*n >= 0, "%s", weir_error());
	ids = malloc(((size_t)*n + 1) * sizeof(*ids));
	ck_assert_int_eq(weir_tokenize(t, text, len, flags, ids, (size_t)*n), *n);
	return ids;
}

static inline void expect(
	const weir_tokenizer *t, const char *text, unsigned flags, const char *want)
{
	int64_t n;
	int32_t *ids = tokens_of(t, text, strlen(text), flags, &n);
	char *got = ids_text(ids, n);

	ck_assert_msg(strcmp(got, want) == 0, "\"%s\": %s, not %s", text, got, want);
	free(got);
	free(ids);
}

static inline void expect_ids(
	const weir_tokenizer *t, const char *text, unsigned flags, size_t n, const int32_t *want)
{
	char *w = ids_text(want, (int64_t)n);

	expect(t, text, flags, w);
	free(w);
}
#define EXPECT(t, text, flags, ...)                                                                \
	expect_ids(t, text, flags, sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t),             \
		(int32_t[]){__VA_ARGS__})

/* ---- published vectors: texts in NAME.inp of the test data, ids of each in NAME.out ---- */

static inline char *vectors_read(const char *name, const char *suffix)
{
	char path[600], *data;
	size_t size;
	const char *file = suite_data(name, "vectors");

	snprintf(path, sizeof(path), "%s%s", file, suffix);
	ck_assert_int_eq(weir_file_read(path, 1 << 20, &data, &size), 0);
	return data;
}

/* One line of ids without the spaces around them; the next one starts behind it. */
static inline char *vectors_line(char **rest)
{
	char *line = strsep(rest, "\n");
	size_t len;

	ck_assert_ptr_nonnull(line);
	line += strspn(line, " ");
	for (len = strlen(line); len > 0 && line[len - 1] == ' '; len--)
		line[len - 1] = 0;
	return line;
}

static inline void expect_vectors(const weir_tokenizer *t, const char *name)
{
	static const char mark[] = "\n__ggml_vocab_test__\n";
	char *in = vectors_read(name, ".inp"), *out = vectors_read(name, ".out");
	char *text = in, *rest = out;
	int lines = 0;

	while (text) {
		char *end = strstr(text, mark);

		if (end)
			*end = 0;
		expect(t, text, 0, vectors_line(&rest));
		text = end ? end + strlen(mark) : NULL;
		lines++;
	}
	ck_assert_int_eq(lines, 47);
	ck_assert(!rest || !*rest);
	free(in);
	free(out);
}

#endif
