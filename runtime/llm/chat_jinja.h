/* SPDX-License-Identifier: MIT */
/* The words of a Jinja template: enough to read how a chat format is written, not to run it. */
#ifndef WEIR_LLM_CHAT_JINJA_H
#define WEIR_LLM_CHAT_JINJA_H

#include <stdbool.h>
#include <stddef.h>

enum weir_jinja_kind {
	WEIR_JINJA_RAW,	    /* text outside blocks, without the white space that blocks swallow */
	WEIR_JINJA_LITERAL, /* a string, its escapes resolved */
	WEIR_JINJA_NAME,    /* names, keywords, numbers */
	WEIR_JINJA_SIGN,    /* any other byte */
};

struct weir_jinja_token {
	enum weir_jinja_kind kind;
	const char *text; /* terminated */
	size_t block;	  /* the same for the tokens of one {{ }} or {% %} */
};

struct weir_jinja {
	struct weir_jinja_token *tokens;
	size_t n, size;
	char *text; /* of all of them */
};

/* Cuts a template into its tokens. Whatever the text is, it has some; -ENOMEM alone can happen. */
int weir_jinja_read(struct weir_jinja *j, const char *text);
void weir_jinja_free(struct weir_jinja *j);

/* The first literal from token at on that, without the spaces around it, is text; n: none. */
size_t weir_jinja_literal(const struct weir_jinja *j, size_t at, const char *text);
/* The first name from token at on; n: none. */
size_t weir_jinja_name(const struct weir_jinja *j, size_t at, const char *name);
/* Whether token i is a sign, a name or a literal that is text. */
bool weir_jinja_is(
	const struct weir_jinja *j, size_t i, enum weir_jinja_kind kind, const char *text);

#endif
