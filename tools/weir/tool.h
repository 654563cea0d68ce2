/* SPDX-License-Identifier: MIT */
/* What the subcommands share: messages, text in and out, device, model and session. */
#ifndef WEIR_TOOL_H
#define WEIR_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <json-c/json.h>

#include <weir/llm.h>
#include <weir/quantize.h>
#include <weir/vision.h>
#include <weir/weir.h>

#include "options.h"

#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

enum {
	EXIT_USAGE = 2, /* the command line is wrong; anything else that fails is 1 */
};

/* ---- message.c: everything that goes to stderr ---- */

/* A line on stderr behind "weir: "; control characters are escaped. */
void say(const char *fmt, ...) PRINTF(1, 2);
int fail(const char *fmt, ...) PRINTF(1, 2); /* the same, returning 1 */
int fail_weir(void);			     /* fail() with the library's sentence */
/* The same with a hint to a subcommand's --help (NULL: to weir's own), returning EXIT_USAGE. */
int usage(const char *command, const char *fmt, ...) PRINTF(2, 3);

double now(void); /* seconds on the monotonic clock */

/*
 * A line on stderr that is drawn over, when that is a terminal and the work takes long enough to be
 * noticed. A weir_progress; user may be a string that is shown behind. Cancels once interrupted.
 */
int progress(void *user, const char *what, uint64_t done, uint64_t total);
void progress_end(void);  /* takes the line away */
void progress_hide(void); /* the same until it is drawn next, before a line on the same terminal */

/* Ctrl-C: from now on it sets a flag once, and a second one ends the program. */
void interrupt_catch(void);
bool interrupted(void);
/* Whether work was cut short by Ctrl-C: clears the flag. */
bool interrupt_taken(void);

/* ---- output.c: everything that goes to stdout ---- */

/* 0, or 1 after saying why it cannot be written (not for a pipe whose reader has gone). */
int out_write(const char *text, size_t len);
int out_flush(void);
int out_close(void);
/* Prints text with control characters and bytes that are not UTF-8 as \n, \x1b. */
void out_escaped(const char *text, size_t len);
/* Prints an object and drops it; _line: on one line. */
int out_json(struct json_object *object);
int out_json_line(struct json_object *object);

/* A JSON string; bytes that are not UTF-8 become U+FFFD. */
struct json_object *json_text(const char *text, size_t len);
void json_put(struct json_object *object, const char *key, struct json_object *value);
void json_put_text(struct json_object *object, const char *key, const char *text);
void json_put_int(struct json_object *object, const char *key, uint64_t value);
void json_put_real(struct json_object *object, const char *key, double value);

/* "94.1 MiB" and "134.5 M" in out. */
const char *format_bytes(uint64_t bytes, char *out, size_t size);
const char *format_count(uint64_t count, char *out, size_t size);

/* ---- text.c: bytes in ---- */

struct text {
	char *data; /* with a zero byte behind; NULL while empty */
	size_t len, size;
};
int text_add(struct text *t, const char *data, size_t len);
/* Reads a file ("-": standard input) to its end. 0, or 1 after saying why not. */
int text_read(struct text *t, const char *path);
void text_drop_newline(struct text *t); /* the one at its end */
void text_free(struct text *t);

/* Tokens of text, malloced. 0, or 1 after saying why not. */
int text_tokens(const weir_tokenizer *t, const char *text, size_t len, unsigned flags,
	int32_t **tokens, size_t *n);

/* ---- engine.c: device, model, session ---- */

struct engine {
	const struct options *options;
	weir_device *device;
	weir_model *model;
	weir_session *session;
	weir_net *net; /* or this, in place of model and session */
	const weir_tokenizer *tokenizer; /* the model's; NULL where that is weights alone */
	struct weir_model_info info;
	char path[4096];
	double load_seconds;
	uint64_t seed; /* that sampling uses */
};

/* The model that -m or the defaults name, into path. 0, or 1 after saying what to do. */
int engine_model_path(const struct options *o, char *path, size_t size);
/* The same, refusing what is no language model. */
int engine_language_path(const struct options *o, char *path, size_t size);
int engine_device(const struct options *o, const char *device, weir_device **out);
/* All return 0, or 1 after saying why not. */
int engine_open(struct engine *e, const struct options *o);
int engine_open_words(struct engine *e, const struct options *o); /* refuses weights alone */
int engine_session(struct engine *e, uint64_t ctx); /* 0: --ctx, or the library's default */
int engine_sampling(struct engine *e);
int engine_chat_format(struct engine *e, enum weir_chat_format *format);
/* --load, if it was given; what the command line says of sampling goes over what the file says. */
int engine_load(struct engine *e);
int engine_save(struct engine *e); /* --save */
int engine_feed(struct engine *e, const int32_t *tokens, size_t n);
/* --profile on stderr, or as "profile" in an object if there is one; --trace to its file. */
int engine_profile(struct engine *e, struct json_object *object);
void engine_close(struct engine *e);

/* "device", "tier" and so on. */
void json_put_device(struct json_object *object, const struct engine *e);
void json_put_model(struct json_object *object, const struct engine *e);
/* What a full context can be told. */
void say_full(const struct engine *e, const char *also);
/* Tokens, speeds and the time to the first token, on stderr. */
void say_stats(const struct engine *e, double first_token);

/* ---- network.c: networks for pictures ---- */

/* Whether a file begins as TFLite files do. */
bool network_is(const char *path);
/* Whether -m or $WEIR_MODEL names one. */
bool network_named(const struct options *o);
/* Device and network into e, which it zeroes. 0, or 1 after saying why not. */
int network_open(struct engine *e, const struct options *o, const char *path);
/* "int8 [1, 80, 80, 3]" in out. */
const char *network_shape(const struct weir_net_tensor *t, char *out, size_t size);
/* An input or output: its name, type, shape and quantization. */
struct json_object *json_tensor(const struct weir_net_tensor *t);

void json_put_network(struct json_object *object, const struct weir_net_info *info);

/* network_bench.c: all of weir bench for a network. */
int network_bench(const struct options *o);
/* network_info.c: what the network in a file is once it is planned, as text or into object. */
int network_info(const struct options *o, const char *path, struct json_object *object);

/* ---- memory.c: a network's memory map ---- */

void memory_draw(const weir_net *net); /* in the terminal */
/* As an SVG file. 0, or 1 after saying why not. */
int memory_svg(const weir_net *net, const char *path);

/* ---- paths.c: the files that words of the command line stand for ---- */

struct paths {
	char **at;
	size_t count, size;
	size_t failed; /* folders that could not be read, or have no picture: said */
};
/*
 * Adds a file; of a folder its *.png, *.jpg, *.jpeg and *.bmp files in order, with those of folders in it if recursive;
 * of "-" what each line of standard input names. 0, or 1 after saying that there is no memory or no input.
 */
int paths_add(struct paths *p, const char *word, bool recursive);
void paths_free(struct paths *p);

/* ---- dump.c: a file of bytes that appears when it is whole ---- */

struct dump {
	const char *path;
	char *temp; /* what is renamed; NULL: path itself is written, which is no ordinary file */
	FILE *file;
};
int dump_open(struct dump *d, const char *path);
int dump_add(struct dump *d, const void *data, size_t size);
/* keep false, or an error: it does not appear. d may be zeroed. */
int dump_close(struct dump *d, bool keep);

/* ---- answer.c: text that a session makes ---- */

struct answer {
	struct engine *engine;
	struct text *keep; /* NULL: to stdout as it comes */
	double asked;	   /* when its prompt was fed */
	double first;	   /* seconds to its first token; 0 before that */
	bool newline;	   /* ends with one */
	bool failed;	   /* could not be written */
	enum weir_stop stop;
};
/* Up to max tokens; Ctrl-C stops it with WEIR_STOP_USER. 0, or 1 after saying what failed. */
int answer_generate(struct answer *a, size_t max);

/*
 * Feeds a user's turn and the opening of its answer: only what is new behind what the session
 * holds. system, if not NULL, opens a conversation, and is for its first turn alone.
 */
int answer_ask(
	struct engine *e, enum weir_chat_format format, const char *system, const char *text);
/* Ends an answer that the model did not end: the next turn stands behind a whole one. */
int answer_close(struct engine *e, enum weir_chat_format format);

/* ---- line.c: lines that a person types ---- */

struct lines;
/* Line editing and history on a terminal, plain lines else. NULL after saying why not. */
struct lines *lines_open(void);
bool lines_terminal(const struct lines *l);
/* 1: a line, without its newline; 0: the end; -EINTR: Ctrl-C; -EIO after saying what failed. */
int lines_read(struct lines *l, struct text *out);
void lines_close(struct lines *l); /* saves the history; takes NULL */

/* ---- the subcommands ---- */

int cmd_run(const struct options *o);
int cmd_chat(const struct options *o);
int cmd_bench(const struct options *o);
int cmd_eval(const struct options *o);
int cmd_quantize(const struct options *o);
int cmd_tokenize(const struct options *o);
int cmd_info(const struct options *o);
int cmd_classify(const struct options *o);

#endif
