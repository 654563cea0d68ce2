/* SPDX-License-Identifier: MIT */
/* The merges by rank that do what an SPM vocabulary's scores do, as Hugging Face's converter derives them. */
#include "format/tokenize.h"

#include "base/base.h"
#include "format/utf8.h"

struct list {
	const struct weir_vocab *v;
	struct weir_vocab_merge *merges;
	size_t n, size;
};

static int list_add(struct list *l, int32_t left, int32_t right, int32_t token)
{
	if (l->n == l->size) {
		size_t size = l->size ? l->size * 2 : 4096;
		struct weir_vocab_merge *merges = realloc(l->merges, size * sizeof(*merges));

		if (!merges)
			return weir_fail(ENOMEM, "no memory for %zu merges", size);
		l->merges = merges;
		l->size = size;
	}
	l->merges[l->n++] = (struct weir_vocab_merge){.left = left, .right = right, .token = token};
	return 0;
}

/* Each way to make a token of two others. */
static int add_splits(struct list *l, int32_t token)
{
	const char *text = weir_vocab_text(l->v, token);
	size_t len = l->v->tokens[token].len, length;
	uint32_t c;
	int err = 0;

	for (size_t at = 0; at < len && !err; at += length) {
		int32_t left, right;

		length = weir_utf8_decode(text + at, len - at, &c);
		if (!length)
			return weir_fail(EOPNOTSUPP, "token %d is not UTF-8", token);
		/* By score two characters can merge that are no tokens; by rank they are bytes by then. */
		if (length < len && weir_vocab_find_plain(l->v, text + at, length) < 0)
			return weir_fail(EOPNOTSUPP, "token %d has a character that is no token: ranks cannot make it",
				token);
		left = weir_vocab_find_plain(l->v, text, at);
		right = weir_vocab_find_plain(l->v, text + at, len - at);
		if (left >= 0 && right >= 0)
			err = list_add(l, left, right, token);
	}
	return err;
}

/* Text has marks where it has spaces, so no token with a space is ever merged. */
static bool is_made(const struct weir_vocab *v, int32_t token)
{
	const char *text = weir_vocab_text(v, token);
	size_t len = v->tokens[token].len;

	return !memchr(text, ' ', len) && weir_vocab_find_plain(v, text, len) == token;
}

static _Thread_local const struct weir_vocab *sorted; /* qsort gives its function no argument */

/* By score, highest first; of one score, as the converter has it, the longest left part first, then the longest right. */
static int compare(const void *a, const void *b)
{
	const struct weir_vocab_merge *x = a, *y = b;
	const struct weir_vocab_token *t = sorted->tokens;

	if (t[x->token].score != t[y->token].score)
		return t[x->token].score < t[y->token].score ? 1 : -1;
	if (t[x->left].len != t[y->left].len)
		return t[x->left].len < t[y->left].len ? 1 : -1;
	if (t[x->right].len != t[y->right].len)
		return t[x->right].len < t[y->right].len ? 1 : -1;
	return (x->token > y->token) - (x->token < y->token);
}

/* Whether the token is its first character, length bytes, again and again. */
static bool is_run(const struct weir_vocab *v, int32_t token, const char *first, size_t length)
{
	const char *text = weir_vocab_text(v, token);
	size_t len = v->tokens[token].len;

	return len % length == 0 && memcmp(text, first, length) == 0 &&
	       memcmp(text, text + length, len - length) == 0;
}

/*
 * Merges of one score, of which the leftmost goes first, while of ranks the lowest does. Both do the same where all
 * make one token (but see tokenize.h), or runs of one character, 2 to as many as the longest has: then the leftmost
 * run grows by one character until it is as long as can be. So are Llama's tokens of spaces.
 */
static bool ranks_can(const struct weir_vocab *v, const struct weir_vocab_merge *m, size_t n)
{
	const char *first = weir_vocab_text(v, m->token);
	size_t one = 0, longest = 0, length;
	bool same = true;
	uint32_t c;

	length = weir_utf8_decode(first, v->tokens[m->token].len, &c);
	for (size_t i = 0; i < n; i++)
		same = same && m[i].token == m->token;
	for (size_t i = 0; i < n && !same; i++) {
		if (!is_run(v, m[i].token, first, length))
			return false;
		one += v->tokens[m[i].right].len == length;
		longest = WEIR_MAX(longest, v->tokens[m[i].token].len / length);
	}
	return same || one == longest - 1;
}

static int rank_merges(struct list *l)
{
	const struct weir_vocab_token *t = l->v->tokens;
	size_t end;

	sorted = l->v;
	qsort(l->merges, l->n, sizeof(*l->merges), compare);
	for (size_t i = 0; i < l->n; i = end) {
		for (end = i; end < l->n && t[l->merges[end].token].score == t[l->merges[i].token].score; end++)
			l->merges[end].rank = (int32_t)end;
		if (!ranks_can(l->v, &l->merges[i], end - i))
			return weir_fail(EOPNOTSUPP,
				"token %d and others have one score, so the leftmost merges first: ranks cannot say that",
				l->merges[i].token);
	}
	return 0;
}

int weir_spm_merges(const struct weir_vocab *v, struct weir_vocab_merge **out, size_t *n)
{
	struct list l = {.v = v};
	int err = 0;

	for (int32_t i = 0; i < v->count && !err; i++) {
		if (is_made(v, i))
			err = add_splits(&l, i);
	}
	if (!err && l.n > INT32_MAX)
		err = weir_fail(E2BIG, "the vocabulary has %zu merges", l.n);
	if (!err && l.n > 0)
		err = rank_merges(&l);
	if (err) {
		free(l.merges);
		return err;
	}
	*out = l.merges;
	*n = l.n;
	return 0;
}
