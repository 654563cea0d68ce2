/* SPDX-License-Identifier: MIT */
/* Lines that a person types: libedit and a history file on a terminal, plain reading elsewhere. */
#include <errno.h>
#include <histedit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "tool.h"

#define HISTORY_SIZE 1000

struct lines {
	EditLine *edit; /* NULL: plain reading */
	History *history;
	char history_path[4096]; /* "": not kept */
	const char *prompt;
	char *plain; /* getline's */
	size_t plain_size;
};

static char *line_prompt(EditLine *edit)
{
	struct lines *l;

	el_get(edit, EL_CLIENTDATA, &l);
	return (char *)l->prompt;
}

/* A character from the terminal: libedit's own reader would go on reading after Ctrl-C. */
static int line_char(EditLine *edit, wchar_t *out)
{
	mbstate_t state = {0};
	ssize_t n;
	char byte;

	(void)edit;
	for (;;) {
		n = read(STDIN_FILENO, &byte, 1);
		if (n < 0 && errno == EINTR && !interrupted())
			continue;
		if (n <= 0)
			return (int)n;
		switch (mbrtowc(out, &byte, 1, &state)) {
		case (size_t)-2:
			continue; /* the character goes on */
		case (size_t)-1:
			memset(&state, 0, sizeof(state));
			continue; /* no character: dropped */
		default:
			return 1;
		}
	}
}

/* $XDG_STATE_HOME/weir/chat_history, with its folders. Without a place for it nothing is kept. */
static void history_place(struct lines *l)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	size_t size = sizeof(l->history_path);
	int len;

	if (state && *state == '/')
		len = snprintf(l->history_path, size, "%s/weir/", state);
	else
		len = snprintf(l->history_path, size, "%s/.local/state/weir/", home ? home : "");
	if (len < 0 || (size_t)len + 16 > size || l->history_path[0] != '/') {
		l->history_path[0] = 0;
		return;
	}
	for (char *slash = l->history_path; (slash = strchr(slash + 1, '/'));) {
		*slash = 0;
		mkdir(l->history_path, 0700);
		*slash = '/';
	}
	strcat(l->history_path, "chat_history");
}

static int line_edit_open(struct lines *l)
{
	HistEvent event;

	/* What is typed is echoed on stderr: stdout has the answers alone. */
	l->edit = el_init("weir", stdin, stderr, stderr);
	l->history = history_init();
	if (!l->edit || !l->history)
		return -1;
	history(l->history, &event, H_SETSIZE, HISTORY_SIZE);
	history(l->history, &event, H_SETUNIQUE, 1);
	el_set(l->edit, EL_CLIENTDATA, l);
	el_set(l->edit, EL_PROMPT, line_prompt);
	el_set(l->edit, EL_EDITOR, "emacs");
	el_set(l->edit, EL_SIGNAL, 1);
	el_set(l->edit, EL_GETCFN, line_char);
	el_set(l->edit, EL_HIST, history, l->history);
	el_source(l->edit, NULL); /* the person's own ~/.editrc */
	history_place(l);
	if (l->history_path[0])
		history(l->history, &event, H_LOAD, l->history_path);
	return 0;
}

struct lines *lines_open(void)
{
	struct lines *l = calloc(1, sizeof(*l));

	if (l && isatty(STDIN_FILENO) && isatty(STDERR_FILENO) && line_edit_open(l)) {
		lines_close(l);
		l = NULL;
	}
	if (!l)
		fail("out of memory for reading lines");
	return l;
}

bool lines_terminal(const struct lines *l)
{
	return l->edit;
}

/* One line as it was typed, with its newline; NULL at the end or after Ctrl-C. */
static const char *line_typed(struct lines *l, const char *prompt, int *len)
{
	HistEvent event;
	const char *text;

	l->prompt = prompt;
	el_resize(l->edit);
	text = el_gets(l->edit, len);
	if (!text || *len <= 0)
		return NULL;
	if (*len > 1)
		history(l->history, &event, H_ENTER, text);
	return text;
}

static const char *line_next(struct lines *l, const char *prompt, int *len)
{
	ssize_t n;

	if (l->edit)
		return line_typed(l, prompt, len);
	n = getline(&l->plain, &l->plain_size, stdin);
	*len = n > 0 && n <= INT32_MAX ? (int)n : 0;
	return *len ? l->plain : NULL;
}

int lines_read(struct lines *l, struct text *out)
{
	const char *text;
	int len;

	out->len = 0;
	for (const char *prompt = "> "; (text = line_next(l, prompt, &len)); prompt = "  ") {
		if (text_add(out, text, (size_t)len))
			return -EIO;
		text_drop_newline(out);
		/* A backslash at its end: the turn goes on in the next line. */
		if (!out->len || out->data[out->len - 1] != '\\')
			return 1;
		out->data[out->len - 1] = '\n';
	}
	if (interrupt_taken())
		return -EINTR;
	if (!l->edit && ferror(stdin)) {
		fail("cannot read standard input: %s", strerror(errno));
		return -EIO;
	}
	return out->len ? 1 : 0; /* the end of the input ends a line too */
}

void lines_close(struct lines *l)
{
	HistEvent event;

	if (!l)
		return;
	if (l->history && l->history_path[0])
		history(l->history, &event, H_SAVE, l->history_path);
	if (l->edit)
		el_end(l->edit);
	if (l->history)
		history_end(l->history);
	free(l->plain);
	free(l);
}
