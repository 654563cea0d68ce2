/* SPDX-License-Identifier: MIT */
/* Cuts a Jinja template into tokens, with white space as Hugging Face renders it: trim_blocks and
 * lstrip_blocks. */
#include "llm/chat_jinja.h"

#include "base/base.h"

#include <ctype.h>

struct reader {
	struct weir_jinja *j;
	const char *start, *p;
	char *out; /* next byte of j->text */
	size_t block;
	char closed;  /* '%', '}' or '#': what the block before this text closed with */
	bool swallow; /* it swallows the white space behind it */
};

static int token_add(struct reader *r, enum weir_jinja_kind kind, const char *text)
{
	struct weir_jinja *j = r->j;

	if (j->n == j->size) {
		size_t size = j->size ? j->size * 2 : 256;
		struct weir_jinja_token *tokens = realloc(j->tokens, size * sizeof(*tokens));

		if (!tokens)
			return weir_fail(ENOMEM, "no memory for a chat template");
		j->tokens = tokens;
		j->size = size;
	}
	j->tokens[j->n++] =
		(struct weir_jinja_token){.kind = kind, .text = text, .block = r->block};
	return 0;
}

static bool opens_block(const char *p)
{
	return p[0] == '{' && (p[1] == '{' || p[1] == '%' || p[1] == '#');
}

/* The text up to the next block, as it is rendered. */
static int read_raw(struct reader *r)
{
	const char *begin = r->p, *end;
	char *text = r->out;

	while (*r->p && !opens_block(r->p))
		r->p++;
	end = r->p;
	if (r->swallow) {
		while (begin < end && isspace((unsigned char)*begin))
			begin++;
	} else if ((r->closed == '%' || r->closed == '#') && begin < end && *begin == '\n') {
		begin++;
	}
	if (*end && end[2] == '-') {
		while (end > begin && isspace((unsigned char)end[-1]))
			end--;
	} else if (*end && end[1] != '{') {
		const char *line = end;

		while (line > begin && (line[-1] == ' ' || line[-1] == '\t'))
			line--;
		if (line == r->start || line[-1] == '\n')
			end = line;
	}
	if (begin == end)
		return 0;
	memcpy(text, begin, (size_t)(end - begin));
	r->out += end - begin;
	*r->out++ = 0;
	return token_add(r, WEIR_JINJA_RAW, text);
}

static char escape(char c)
{
	switch (c) {
	case 'n':
		return '\n';
	case 't':
		return '\t';
	case 'r':
		return '\r';
	default:
		return c;
	}
}

static int read_literal(struct reader *r)
{
	char quote = *r->p++, *text = r->out;

	while (*r->p && *r->p != quote) {
		if (*r->p == '\\' && r->p[1])
			*r->out++ = escape(*++r->p);
		else
			*r->out++ = *r->p;
		r->p++;
	}
	if (*r->p)
		r->p++;
	*r->out++ = 0;
	return token_add(r, WEIR_JINJA_LITERAL, text);
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static int read_word(struct reader *r)
{
	char *text = r->out;
	bool name = is_name(*r->p);

	do {
		*r->out++ = *r->p++;
	} while (name && is_name(*r->p));
	*r->out++ = 0;
	return token_add(r, name ? WEIR_JINJA_NAME : WEIR_JINJA_SIGN, text);
}

/* A block from its "{{", "{%" or "{#" to what closes it. */
static int read_block(struct reader *r)
{
	char close = r->p[1] == '{' ? '}' : r->p[1];
	int err = 0;

	r->block++;
	r->p += 2;
	if (*r->p == '-' || *r->p == '+')
		r->p++;
	r->swallow = false;
	while (*r->p && !err) {
		bool dash = r->p[0] == '-' && r->p[1] == close && r->p[2] == '}';

		if (dash || (r->p[0] == close && r->p[1] == '}')) {
			r->swallow = dash;
			r->p += dash ? 3 : 2;
			break;
		}
		if (close == '#' || isspace((unsigned char)*r->p))
			r->p++;
		else if (*r->p == '\'' || *r->p == '"')
			err = read_literal(r);
		else
			err = read_word(r);
	}
	r->closed = close;
	r->block++;
	return err;
}

int weir_jinja_read(struct weir_jinja *j, const char *text)
{
	struct reader r = {.j = j, .start = text, .p = text};
	int err = 0;

	memset(j, 0, sizeof(*j));
	/* Each token takes its bytes and a terminator, and has at least one byte in the template.
	 */
	j->text = malloc(strlen(text) * 2 + 2);
	if (!j->text)
		return weir_fail(ENOMEM, "no memory for a chat template");
	r.out = j->text;
	while (*r.p && !err) {
		err = opens_block(r.p) ? 0 : read_raw(&r);
		if (!err && *r.p)
			err = read_block(&r);
	}
	if (err)
		weir_jinja_free(j);
	return err;
}

void weir_jinja_free(struct weir_jinja *j)
{
	free(j->tokens);
	free(j->text);
	memset(j, 0, sizeof(*j));
}

bool weir_jinja_is(
	const struct weir_jinja *j, size_t i, enum weir_jinja_kind kind, const char *text)
{
	return i < j->n && j->tokens[i].kind == kind && strcmp(j->tokens[i].text, text) == 0;
}

size_t weir_jinja_name(const struct weir_jinja *j, size_t at, const char *name)
{
	while (at < j->n && !weir_jinja_is(j, at, WEIR_JINJA_NAME, name))
		at++;
	return at;
}

size_t weir_jinja_literal(const struct weir_jinja *j, size_t at, const char *text)
{
	size_t len = strlen(text);

	for (; at < j->n; at++) {
		const char *t = j->tokens[at].text;

		if (j->tokens[at].kind != WEIR_JINJA_LITERAL)
			continue;
		t += strspn(t, " ");
		if (strncmp(t, text, len) == 0 && t[len + strspn(t + len, " ")] == 0)
			break;
	}
	return at;
}
