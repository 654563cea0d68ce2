/* SPDX-License-Identifier: MIT */
/* The options of all subcommands: one table, one parser, one struct that it fills. */
#ifndef WEIR_TOOL_OPTIONS_H
#define WEIR_TOOL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which subcommands know an option, one bit each. */
enum {
	CMD_RUN = 1 << 0,
	CMD_CHAT = 1 << 1,
	CMD_BENCH = 1 << 2,
	CMD_EVAL = 1 << 3,
	CMD_TOKENIZE = 1 << 4,
	CMD_INFO = 1 << 5,
	CMD_CLASSIFY = 1 << 6,
	CMD_QUANTIZE = 1 << 7,
	CMD_ALL = (1 << 8) - 1,
};

#define SIZES_MAX 16
#define OPTIONS_MAX 96

/* A list of counts, "128,512". */
struct sizes {
	size_t count;
	uint64_t at[SIZES_MAX];
};

/* One number for all channels of a picture, or one for each of three. */
struct reals {
	size_t count;
	double at[3];
};

struct options {
	const char *model, *prompt, *file, *system, *chat_format, *save, *load;
	const char *text, *dump_logits, *kl;
	const char *labels, *dump, *svg;
	const char *device, *tier, *schedule, *plan, *trace;
	uint64_t tokens, top_k, seed, ctx, batch, sinks, window, threads, repetitions, windows;
	double temp, top_p, min_p, repeat_penalty;
	int kv, provider; /* enum weir_kv, enum weir_provider */
	uint64_t top, memory_budget; /* bytes, or WEIR_NET_LEAST; 0: not given */
	struct sizes prompts, gens, depths;
	struct reals mean, scale;
	double crop;
	const char *calib, *alpha; /* a number, or "auto" */
	double alpha_down;
	int method, bits, group; /* places of words */
	uint64_t samples, length;
	bool duo, no_clip, exhaustive, w8a8, force;
	bool chat, raw, echo, quiet, json, profile, streaming;
	bool pieces, bos, special, decode, recursive;
	bool help, version;

	bool given[OPTIONS_MAX]; /* for each row of the table: the command line named it */
	char **args;	/* what is no option */
	size_t n_args;
};

struct command {
	const char *name;
	unsigned bit;
	const char *usage;   /* behind "weir NAME [OPTION]..." */
	const char *summary; /* one line */
	const char *details; /* paragraphs for --help */
	const char *examples;
	size_t max_args;
	int (*run)(const struct options *o); /* the exit status */
};

/*
 * Fills o from a subcommand's command line (argv[0] is its name), moving argv's entries. Returns 0,
 * or 2 after a sentence and a hint on stderr.
 */
int options_parse(const struct command *c, int argc, char **argv, struct options *o);

/* Whether the command line named this (long) option. */
bool options_given(const struct options *o, const char *name);

/* The options that a subcommand knows, for --help. */
void options_help(const struct command *c);

#endif
