/* SPDX-License-Identifier: MIT */
/* Text that a session makes: streamed or kept, and the turns of a chat around it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static int on_text(void *user, int32_t token, const char *text, size_t len)
{
	struct answer *a = user;

	(void)token;
	if (!a->first)
		a->first = now() - a->asked;
	if (len) {
		a->newline = text[len - 1] == '\n';
		a->failed = a->keep ? text_add(a->keep, text, len)
				    : out_write(text, len) || out_flush();
	}
	return a->failed || interrupted();
}

int answer_generate(struct answer *a, size_t max)
{
	int ret;

	ret = weir_session_generate(a->engine->session, max, on_text, a, &a->stop);
	if (ret < 0)
		return fail_weir();
	return a->failed;
}

int answer_ask(struct engine *e, enum weir_chat_format format, const char *system, const char *text)
{
	/* What the session holds is not read again: the earlier turn only gives this its place. */
	struct weir_chat_message earlier[] = {{"user", ""}, {"assistant", ""}, {"user", text}};
	struct weir_chat_message first[] = {{"system", system}, {"user", text}};
	bool fresh = weir_session_position(e->session) == 0;
	int32_t *tokens;
	size_t n;
	int ret, status;

	if (!fresh)
		ret = weir_chat_encode(e->tokenizer, format, earlier, 3, 2, true, &tokens, &n);
	else if (system)
		ret = weir_chat_encode(e->tokenizer, format, first, 2, 0, true, &tokens, &n);
	else
		ret = weir_chat_encode(e->tokenizer, format, first + 1, 1, 0, true, &tokens, &n);
	if (ret < 0)
		return fail_weir();
	status = engine_feed(e, tokens, n);
	free(tokens);
	return status;
}

int answer_close(struct engine *e, enum weir_chat_format format)
{
	/* A whole empty answer is what opens one and what ends one: the end is what is longer. */
	const struct weir_chat_message turn[] = {{"user", ""}, {"assistant", ""}};
	int32_t *open = NULL, *whole = NULL;
	size_t n_open, n_whole;
	int status = 0;

	if (weir_chat_encode(e->tokenizer, format, turn, 1, 1, true, &open, &n_open) < 0 ||
		weir_chat_encode(e->tokenizer, format, turn, 2, 1, false, &whole, &n_whole) < 0)
		status = fail_weir();
	else if (n_whole > n_open)
		status = engine_feed(e, whole + n_open, n_whole - n_open);
	free(open);
	free(whole);
	return status;
}
