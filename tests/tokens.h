/* SPDX-License-Identifier: MIT */
/* What suites on tokens share: tokens of a text, compared with a list. */
#ifndef WEIR_TESTS_TOKENS_H
#define WEIR_TESTS_TOKENS_H

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

#endif
