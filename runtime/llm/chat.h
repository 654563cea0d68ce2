/* SPDX-License-Identifier: MIT */
/* What a chat template's text says about how its format is written. */
#ifndef WEIR_LLM_CHAT_H
#define WEIR_LLM_CHAT_H

#include "weir/llm.h"

/*
 * How turns are written. ChatML, Llama 3 and Zephyr put a header before each message; Llama 2 and
 * Mistral put the user's text between open and close and the assistant's between before and after,
 * then the end token. Strings are never NULL unless it says so.
 */
struct weir_chat_style {
	enum weir_chat_format format;
	bool bos;	   /* the template writes the beginning token itself, */
	bool bos_each;	   /* before every turn of the user's (Llama 2) */
	bool trim;	   /* white space around texts goes: system's and user's, */
	bool trim_answers; /* and assistant's */
	char *open, *close;
	char *before, *after;
	char *tail;	/* behind the token that ends the assistant's turn */
	char *answer;	/* what opens the assistant's turn */
	char *system;	/* ChatML: the system text where none is given; NULL: none */
	char *preamble; /* Llama 3.1: before the system text, which then always stands; NULL: none
			 */
};

/* The format whose markers a template (its text in Jinja) has; -EOPNOTSUPP. No sentence. */
int weir_chat_template_format(const char *jinja);
/* How format is written, by jinja where that is not NULL and is of the format. 0 or -errno. */
int weir_chat_style_init(struct weir_chat_style *s, enum weir_chat_format format, const char *jinja,
	bool inst_token, bool byte_level);
void weir_chat_style_fini(struct weir_chat_style *s);

#endif
