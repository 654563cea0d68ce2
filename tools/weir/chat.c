/* SPDX-License-Identifier: MIT */
/* weir chat: a conversation, turn by turn. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

struct chat {
	const struct options *options;
	struct engine engine;
	enum weir_chat_format format;
	struct lines *lines;
	double first; /* seconds to the first token of the last answer */
	bool quit;
};

/* ---- what can be typed in place of a turn ---- */

struct verb {
	const char *name, *argument, *help;
	int (*run)(struct chat *c, const char *argument);
};

static int verb_help(struct chat *c, const char *argument);

static int verb_reset(struct chat *c, const char *argument)
{
	(void)argument;
	weir_session_reset(c->engine.session);
	say("the conversation begins anew");
	return 0;
}

static int verb_stats(struct chat *c, const char *argument)
{
	struct weir_session_stats stats;
	char bytes[32];

	(void)argument;
	weir_session_stats(c->engine.session, &stats);
	say_stats(&c->engine, c->first);
	fprintf(stderr, "position %llu, the cache holds %u (%s)\n",
		(unsigned long long)weir_session_position(c->engine.session), stats.ctx,
		format_bytes(stats.kv_bytes, bytes, sizeof(bytes)));
	return 0;
}

static int verb_save(struct chat *c, const char *argument)
{
	if (weir_session_save(c->engine.session, argument) < 0)
		return fail_weir();
	say("saved %s", argument);
	return 0;
}

static int verb_load(struct chat *c, const char *argument)
{
	if (weir_session_load(c->engine.session, argument) < 0)
		return fail_weir();
	say("loaded %s: the conversation goes on at position %llu", argument,
		(unsigned long long)weir_session_position(c->engine.session));
	return 0;
}

static int verb_quit(struct chat *c, const char *argument)
{
	(void)argument;
	c->quit = true;
	return 0;
}

static const struct verb verbs[] = {
	{"/help", NULL, "this list", verb_help},
	{"/reset", NULL, "forget the conversation", verb_reset},
	{"/stats", NULL, "tokens, speeds and the place in the context", verb_stats},
	{"/save", "FILE", "write the conversation to FILE", verb_save},
	{"/load", "FILE", "go on with the conversation in FILE", verb_load},
	{"/quit", NULL, "end (as Ctrl-D does)", verb_quit},
};

#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static int verb_help(struct chat *c, const char *argument)
{
	(void)c;
	(void)argument;
	for (size_t i = 0; i < N_VERBS; i++)
		fprintf(stderr, "%-6s %-5s %s\n", verbs[i].name,
			verbs[i].argument ? verbs[i].argument : "", verbs[i].help);
	fprintf(stderr,
		"A line that ends in \\ goes on with the next one. Ctrl-C stops an answer.\n");
	return 0;
}

static int chat_verb(struct chat *c, char *line)
{
	size_t len = strcspn(line, " \t");
	char *argument = line + len + strspn(line + len, " \t");
	size_t end = strlen(argument);

	while (end && (argument[end - 1] == ' ' || argument[end - 1] == '\t'))
		argument[--end] = 0;
	for (size_t i = 0; i < N_VERBS; i++) {
		if (strlen(verbs[i].name) != len || strncmp(verbs[i].name, line, len))
			continue;
		if (verbs[i].argument && !*argument)
			return fail("%s needs a %s behind it", verbs[i].name, verbs[i].argument);
		if (!verbs[i].argument && *argument)
			return fail("%s takes nothing behind it", verbs[i].name);
		return verbs[i].run(c, argument);
	}
	return fail("there is no command %.*s: /help lists them", (int)(len < 40 ? len : 40), line);
}

/* ---- turns ---- */

static int chat_answer(struct chat *c, double asked)
{
	const struct options *o = c->options;
	size_t max = options_given(o, "tokens") ? (size_t)o->tokens : SIZE_MAX;
	struct answer a = {.engine = &c->engine, .asked = asked};
	int status;

	status = answer_generate(&a, max);
	interrupt_taken();
	if (out_write("\n", 1) || out_flush())
		return 1;
	if (lines_terminal(c->lines))
		fputc('\n', stderr); /* turns stand apart */
	c->first = a.first;
	if (status)
		return status;
	if (a.stop == WEIR_STOP_FULL) {
		say_full(&c->engine, "; /reset begins anew");
		return 0;
	}
	return a.stop == WEIR_STOP_END ? 0 : answer_close(&c->engine, c->format);
}

static int chat_turn(struct chat *c, const struct text *line)
{
	double asked = now();
	int status;

	if (strlen(line->data) != line->len)
		return fail("the turn has a zero byte at %zu", strlen(line->data));
	status = answer_ask(&c->engine, c->format, c->options->system, line->data);
	if (!status)
		return chat_answer(c, asked);
	if (lines_terminal(c->lines) && !interrupt_taken())
		fprintf(stderr, "/reset begins a new conversation, /save FILE keeps this one.\n");
	return status;
}

/* On a terminal a turn that fails is said and the next one may do better; a script stops there. */
static int chat_loop(struct chat *c)
{
	struct text line = {0};
	bool terminal = lines_terminal(c->lines);
	int got, status = 0;

	while (!c->quit) {
		interrupt_catch();
		got = lines_read(c->lines, &line);
		if (got == 0)
			break;
		if (got < 0 && got != -EINTR) {
			status = 1;
			break;
		}
		if (got < 0) {
			fprintf(stderr, "\n(Ctrl-D or /quit ends)\n");
			continue;
		}
		if (!line.data[strspn(line.data, " \t\n")] && strlen(line.data) == line.len)
			continue;
		interrupt_catch();
		status = line.data[0] == '/' ? chat_verb(c, line.data) : chat_turn(c, &line);
		if (status && !terminal)
			break;
		status = 0;
	}
	if (terminal && !c->quit)
		fputc('\n', stderr);
	text_free(&line);
	return status;
}

static int chat_open(struct chat *c)
{
	struct engine *e = &c->engine;

	if (engine_open_words(e, c->options) || engine_chat_format(e, &c->format) ||
		engine_session(e, 0) || engine_sampling(e) || engine_load(e))
		return 1;
	c->lines = lines_open();
	if (!c->lines)
		return 1;
	if (lines_terminal(c->lines))
		fprintf(stderr, "%s on %s: /help lists commands, Ctrl-D ends.\n",
			*e->info.name ? e->info.name : e->path, weir_device_name(e->device));
	return 0;
}

int cmd_chat(const struct options *o)
{
	struct chat c = {.options = o};
	int status = chat_open(&c);

	if (!status)
		status = chat_loop(&c);
	if (!status)
		status = engine_save(&c.engine);
	if (!status && !o->quiet)
		say_stats(&c.engine, 0);
	if (!status)
		status = engine_profile(&c.engine, NULL);
	lines_close(c.lines);
	engine_close(&c.engine);
	return status;
}
