/* SPDX-License-Identifier: MIT */
/* The options of all subcommands: the table, and a strict parser on getopt_long. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/llm.h>
#include <weir/vision.h>
#include <weir/weir.h>

#include "options.h"
#include "tool.h"

enum kind {
	KIND_FLAG,   /* bool */
	KIND_STRING, /* const char *, pointing into argv */
	KIND_COUNT,  /* uint64_t in min..max */
	KIND_REAL,   /* double in min..max */
	KIND_CHOICE, /* int, the place of a word in words */
	KIND_SIZES,  /* struct sizes, each in min..max */
	KIND_REALS,  /* struct reals, each in min..max */
	KIND_BYTES,  /* uint64_t in min..max, with K or M behind it, or WEIR_NET_LEAST */
};

struct row {
	const char *name;
	char letter; /* or 0 */
	unsigned commands;
	enum kind kind;
	size_t offset; /* in struct options */
	const char *arg, *help;
	double min, max;
	const char *const *words;
};

static const char *const kv_words[] = {"f16", "q8", "f32", NULL};
static const char *const provider_words[] = {"auto", "weir", "udmabuf", "host", "shadow", NULL};
static const char *const method_words[] = {"rtn", "awq", "smoothquant", NULL};
static const char *const bits_words[] = {"8", "4", "3", "2", NULL};
static const char *const group_words[] = {"32", "64", "128", "channel", NULL};

/* clang-format off */
#define ROW(kind_, name_, letter_, commands_, field, arg_, help_) \
	.kind = kind_, .name = name_, .letter = letter_, .commands = commands_, \
	.offset = offsetof(struct options, field), .arg = arg_, .help = help_
#define FLAG(name, letter, commands, field, help) \
	{ROW(KIND_FLAG, name, letter, commands, field, NULL, help)}
#define STRING(name, letter, commands, field, arg, help) \
	{ROW(KIND_STRING, name, letter, commands, field, arg, help)}
#define CHOICE(name, letter, commands, field, arg, words_, help) \
	{ROW(KIND_CHOICE, name, letter, commands, field, arg, help), .words = words_}
#define COUNT(...) NUMBER(KIND_COUNT, __VA_ARGS__)
#define REAL(...) NUMBER(KIND_REAL, __VA_ARGS__)
#define SIZES(...) NUMBER(KIND_SIZES, __VA_ARGS__)
#define REALS(...) NUMBER(KIND_REALS, __VA_ARGS__)
#define BYTES(...) NUMBER(KIND_BYTES, __VA_ARGS__)
#define NUMBER(kind, name, letter, commands, field, arg, min_, max_, help) \
	{ROW(kind, name, letter, commands, field, arg, help), .min = min_, .max = max_}
/* clang-format on */

#define TALK (CMD_RUN | CMD_CHAT)
#define MODEL (TALK | CMD_BENCH | CMD_EVAL)
#define DEVICE (MODEL | CMD_CLASSIFY | CMD_INFO | CMD_QUANTIZE)
/* More positions than any model has; keeps sums of a few of them far from overflow. */
#define POSITIONS 1073741824.0

static const struct row rows[] = {
	STRING("model", 'm', TALK | CMD_EVAL | CMD_TOKENIZE, model, "FILE",
		"GGUF file, the first of its shards, or Hugging Face folder (default: $WEIR_MODEL, else the model "
		"that tools/fetch-model gets)"),
	STRING("model", 'm', CMD_BENCH, model, "FILE",
		"GGUF file, the first of its shards, Hugging Face folder, or TFLite file (default: $WEIR_MODEL, else "
		"the model that tools/fetch-model gets)"),
	STRING("model", 'm', CMD_CLASSIFY, model, "FILE", "TFLite file (default: $WEIR_MODEL)"),
	STRING("labels", 0, CMD_CLASSIFY, labels, "FILE", "the classes' names, one a line"),
	COUNT("top", 'k', CMD_CLASSIFY, top, "K", 1, INT32_MAX,
		"the K likeliest classes of each picture (default 5)"),
	REALS("mean", 0, CMD_CLASSIFY, mean, "A[,B,C]", -1e6, 1e6,
		"pixels go in as (pixel - mean) / scale: for all channels, or for red, green and "
		"blue (default: 0 with --scale, else what fits the input)"),
	REALS("scale", 0, CMD_CLASSIFY, scale, "A[,B,C]", 1e-6, 1e6,
		"see --mean (default: 1 with --mean, else what fits the input)"),
	REAL("crop", 0, CMD_CLASSIFY, crop, "F", 0.01, 1,
		"the part of the sides of a picture's middle that is used (default 0.875; but 1 "
		"when it has the input's size)"),
	FLAG("raw", 0, CMD_CLASSIFY, raw,
		"pixels' bytes go in as they are; files that are no pictures hold inputs' bytes"),
	FLAG("recursive", 'r', CMD_CLASSIFY, recursive, "look into folders in folders, too"),
	STRING("dump", 0, CMD_CLASSIFY, dump, "FILE",
		"write the bytes of all outputs, picture after picture"),
	BYTES("memory-budget", 0, CMD_CLASSIFY | CMD_BENCH | CMD_INFO, memory_budget, "SIZE", 1,
		1099511627776.0,
		"activations take at most SIZE bytes (K and M: 1024 and 1024 K): layers are "
		"computed by strips of rows to keep to it; min: as few as can be found"),
	STRING("svg", 0, CMD_INFO, svg, "FILE", "write a network's memory map as a picture"),
	CHOICE("method", 0, CMD_QUANTIZE, method, "rtn|awq|smoothquant", method_words,
		"round to nearest, or with scales from activations (default awq)"),
	CHOICE("bits", 0, CMD_QUANTIZE, bits, "8|4|3|2", bits_words,
		"of a weight (default 4; smoothquant: 8)"),
	CHOICE("group", 0, CMD_QUANTIZE, group, "32|64|128|channel", group_words,
		"weights that share a scale; channel: a whole row (default 128; smoothquant: "
		"channel)"),
	FLAG("w8a8", 0, CMD_QUANTIZE, w8a8,
		"rtn: int8 activations, too, with one scale a token; as smoothquant always does"),
	FLAG("duo", 0, CMD_QUANTIZE, duo, "awq: scales from weights, too, as AutoAWQ's duo_scaling"),
	FLAG("no-clip", 0, CMD_QUANTIZE, no_clip, "awq: no search for the range of each group"),
	FLAG("exhaustive", 0, CMD_QUANTIZE, exhaustive,
		"every scale that is tried sees the whole text: slower, and hardly ever another "
		"choice"),
	STRING("alpha", 0, CMD_QUANTIZE, alpha, "A|auto",
		"smoothquant: 0 to 1, how much of the activations' range goes into the weights "
		"(default 0.5); auto: the best of 0.3, 0.35 .. 0.95 behind each norm"),
	REAL("alpha-down", 0, CMD_QUANTIZE, alpha_down, "A", 0, 1,
		"smoothquant: the same between up and down, which the paper leaves as they are"),
	STRING("calib", 0, CMD_QUANTIZE, calib, "FILE", "the calibration text; - is standard input"),
	COUNT("samples", 0, CMD_QUANTIZE, samples, "N", 1, 65536,
		"blocks of it that are used, evenly spread (default 128)"),
	COUNT("length", 0, CMD_QUANTIZE, length, "N", 16, 65536, "tokens of a block (default 512)"),
	FLAG("force", 0, CMD_QUANTIZE, force, "replace an OUT that exists"),
	STRING("prompt", 'p', CMD_RUN, prompt, "TEXT", "the prompt"),
	STRING("file", 'f', CMD_RUN, file, "FILE",
		"the prompt from a file, less one newline at its end; - is standard input"),
	STRING("file", 'f', CMD_TOKENIZE, file, "FILE",
		"the text from a file, every byte of it; - is standard input"),
	STRING("text", 0, CMD_EVAL, text, "FILE", "the text; - is standard input"),
	COUNT("tokens", 'n', TALK, tokens, "N", 0, POSITIONS,
		"at most N tokens an answer (default: until the end or a full context)"),
	COUNT("tokens", 'n', CMD_EVAL, tokens, "N", 2, POSITIONS,
		"the first N tokens of the text alone"),
	FLAG("chat", 0, CMD_RUN, chat,
		"put the prompt as a user's turn in the model's chat format"),
	FLAG("raw", 0, CMD_RUN, raw, "complete the prompt as it is"),
	STRING("system", 0, TALK, system, "TEXT", "the system message of a chat"),
	STRING("chat-format", 0, TALK, chat_format, "NAME",
		"chatml, llama2, llama3, mistral or zephyr (default: the model's own)"),
	FLAG("echo", 0, CMD_RUN, echo, "print the prompt before its completion"),
	SIZES("n-prompt", 'p', CMD_BENCH, prompts, "N,...", 0, POSITIONS,
		"prompt sizes to time (default 512; 0: none)"),
	SIZES("n-gen", 'n', CMD_BENCH, gens, "N,...", 0, POSITIONS,
		"numbers of generated tokens to time (default 128; 0: none)"),
	SIZES("depth", 'd', CMD_BENCH, depths, "N,...", 0, POSITIONS,
		"tokens in the cache before the timed ones (default 0)"),
	COUNT("repetitions", 'r', CMD_BENCH, repetitions, "N", 1, 100000,
		"timed runs of each test (default 5; of a TFLite network: 100, or what 3 s allow)"),
	COUNT("windows", 0, CMD_EVAL, windows, "N", 1, POSITIONS,
		"at most N windows (default: all)"),
	FLAG("streaming", 0, CMD_EVAL, streaming,
		"one stream with --sinks and --window, in place of separate windows"),
	STRING("kl", 0, CMD_EVAL, kl, "FILE",
		"the reference, a model that is not quantized: print what the others lose "
		"against it, as Kullback-Leibler divergence"),
	STRING("dump-logits", 0, CMD_EVAL, dump_logits, "FILE",
		"write the logits of every position, as float32 in the machine's byte order"),
	FLAG("decode", 0, CMD_TOKENIZE, decode, "from ids to text"),
	FLAG("pieces", 0, CMD_TOKENIZE, pieces, "a line for each token: its id and its text"),
	FLAG("bos", 0, CMD_TOKENIZE, bos, "the beginning token first, where the model wants one"),
	FLAG("special", 0, CMD_RUN | CMD_TOKENIZE, special,
		"read (and with --decode print) control tokens such as <|im_end|>"),
	REAL("temp", 0, TALK, temp, "T", 0, 100, "temperature; 0 always takes the likeliest token"),
	COUNT("top-k", 0, TALK, top_k, "K", 0, INT32_MAX, "only the K likeliest tokens; 0: all"),
	REAL("top-p", 0, TALK, top_p, "P", 0, 1, "only the likeliest that sum to P; 1: all"),
	REAL("min-p", 0, TALK, min_p, "P", 0, 1,
		"only those of at least P times the likeliest; 0: all"),
	REAL("repeat-penalty", 0, TALK, repeat_penalty, "R", 0.01, 100,
		"make the last 64 tokens less likely by R; 1: off"),
	COUNT("seed", 's', TALK, seed, "N", 0, 9007199254740991.0,
		"of the random draws (default: a new one each time)"),
	COUNT("ctx", 'c', MODEL, ctx, "N", 1, POSITIONS, "positions that the context holds"),
	COUNT("batch", 'b', MODEL, batch, "N", 2, 4096,
		"tokens of a prompt computed at once (default 512)"),
	COUNT("window", 0, TALK | CMD_EVAL, window, "N", 1, POSITIONS,
		"streaming: endless text that sees the N newest tokens, in constant memory"),
	COUNT("sinks", 0, TALK | CMD_EVAL, sinks, "N", 0, POSITIONS,
		"streaming: the first N tokens stay visible too (default 4)"),
	CHOICE("kv", 0, MODEL, kv, "f16|q8|f32", kv_words, "type of the KV cache (default f16)"),
	STRING("save", 0, TALK, save, "FILE", "write the session to FILE at the end"),
	STRING("load", 0, TALK, load, "FILE", "go on with the session in FILE"),
	STRING("device", 0, DEVICE, device, "D",
		"number, kind (npu) or part of a name, as in `weir info` (default: the first "
		"GPU, else the first)"),
	COUNT("threads", 't', DEVICE, threads, "N", 1, 4096,
		"compute units of a CPU device to use (default: all)"),
	CHOICE("provider", 0, DEVICE, provider, "auto|weir|udmabuf|host|shadow",
		provider_words, "where buffers come from (default auto: the best that works)"),
	STRING("tier", 0, DEVICE, tier, "NAME",
		"dot products: vnni, pmaddubsw or portable (default: the fastest there is)"),
	STRING("schedule", 0, DEVICE, schedule, "NAME",
		"of kernels: cpu or gpu (default: by the device)"),
	STRING("plan", 0, DEVICE, plan, "NAME",
		"how a CPU runs a network: auto (default: as it measures to be quickest), plain, chain or whole"),
	FLAG("profile", 0, MODEL | CMD_CLASSIFY | CMD_QUANTIZE, profile,
		"print the time of each kind of operation"),
	STRING("trace", 0, MODEL | CMD_CLASSIFY | CMD_QUANTIZE, trace, "FILE",
		"write every launch as a Chrome trace, for Perfetto"),
	FLAG("quiet", 'q', TALK | CMD_CLASSIFY, quiet, "no statistics at the end"),
	FLAG("json", 0, CMD_ALL & ~CMD_CHAT, json, "results as JSON"),
	FLAG("help", 'h', CMD_ALL, help, "this text"),
	FLAG("version", 'V', CMD_ALL, version, "the version"),
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))
_Static_assert(N_ROWS <= OPTIONS_MAX, "options.given has a place for each row");

static int parse_count(const char *text, double min, double max, uint64_t *out, const char **why)
{
	char *end;

	/* strtoull would take " 1", "+1" and "-1". */
	if (text[0] < '0' || text[0] > '9') {
		*why = "is not a whole number";
		return -1;
	}
	errno = 0;
	*out = strtoull(text, &end, 10);
	if (*end) {
		*why = "has something behind its number";
		return -1;
	}
	if (errno || (double)*out < min || (double)*out > max) {
		*why = "is out of range";
		return -1;
	}
	return 0;
}

static int parse_real(const char *text, double min, double max, double *out, const char **why)
{
	char *end;

	/* No hexadecimal, no "inf", no "nan", no blanks: digits as people write them. */
	if (!*text || text[strspn(text, "0123456789.+-eE")]) {
		*why = "is not a number";
		return -1;
	}
	*out = strtod(text, &end);
	if (end == text || *end) {
		*why = end == text ? "is not a number" : "has something behind its number";
		return -1;
	}
	if (!(*out >= min && *out <= max)) {
		*why = "is out of range";
		return -1;
	}
	return 0;
}

static int parse_sizes(const char *text, const struct row *r, struct sizes *out, const char **why)
{
	char word[32];
	size_t len;

	out->count = 0;
	for (;; text += len + 1) {
		len = strcspn(text, ",");
		if (len >= sizeof(word) || out->count == SIZES_MAX) {
			*why = len >= sizeof(word) ? "is out of range"
						   : "lists more than 16 numbers";
			return -1;
		}
		memcpy(word, text, len);
		word[len] = 0;
		if (parse_count(word, r->min, r->max, &out->at[out->count++], why))
			return -1;
		if (!text[len])
			return 0;
	}
}

static int parse_reals(
	const char *text, const struct row *r, struct reals *out, const char **why)
{
	char word[32];
	size_t len;

	for (out->count = 0;; text += len + 1) {
		len = strcspn(text, ",");
		if (len >= sizeof(word) || out->count == 3) {
			*why = len >= sizeof(word) ? "is out of range" : "lists more than 3 numbers";
			return -1;
		}
		memcpy(word, text, len);
		word[len] = 0;
		if (parse_real(word, r->min, r->max, &out->at[out->count++], why))
			return -1;
		if (!text[len])
			break;
	}
	if (out->count == 2) {
		*why = "lists two numbers: give one for all channels, or three";
		return -1;
	}
	return 0;
}

static int parse_bytes(const char *text, const struct row *r, uint64_t *out, const char **why)
{
	size_t len = strlen(text);
	char word[32];
	unsigned shift = 0;

	if (!strcmp(text, "min")) {
		*out = WEIR_NET_LEAST;
		return 0;
	}
	if (len && (text[len - 1] == 'K' || text[len - 1] == 'k'))
		shift = 10;
	else if (len && (text[len - 1] == 'M' || text[len - 1] == 'm'))
		shift = 20;
	len -= shift > 0;
	if (len >= sizeof(word)) {
		*why = "is out of range";
		return -1;
	}
	memcpy(word, text, len);
	word[len] = 0;
	if (parse_count(word, r->min, r->max / (double)(1 << shift), out, why))
		return -1;
	*out <<= shift;
	return 0;
}

static int parse_choice(const char *text, const struct row *r, int *out, const char **why)
{
	for (int i = 0; r->words[i]; i++) {
		if (!strcmp(text, r->words[i])) {
			*out = i;
			return 0;
		}
	}
	*why = "is not one of";
	return -1;
}

static int row_set(
	const struct command *c, const struct row *r, const char *text, struct options *o)
{
	void *field = (char *)o + r->offset;
	const char *why = NULL;
	int ret = 0;

	switch (r->kind) {
	case KIND_FLAG:
		*(bool *)field = true;
		break;
	case KIND_STRING:
		*(const char **)field = text;
		break;
	case KIND_COUNT:
		ret = parse_count(text, r->min, r->max, field, &why);
		break;
	case KIND_REAL:
		ret = parse_real(text, r->min, r->max, field, &why);
		break;
	case KIND_CHOICE:
		ret = parse_choice(text, r, field, &why);
		break;
	case KIND_SIZES:
		ret = parse_sizes(text, r, field, &why);
		break;
	case KIND_REALS:
		ret = parse_reals(text, r, field, &why);
		break;
	case KIND_BYTES:
		ret = parse_bytes(text, r, field, &why);
		break;
	}
	o->given[r - rows] = true;
	if (!ret)
		return 0;
	if (r->kind == KIND_CHOICE)
		return usage(c->name, "--%s \"%s\" %s %s", r->name, text, why, r->arg);
	return usage(
		c->name, "--%s \"%s\" %s (%.10g to %.16g)", r->name, text, why, r->min, r->max);
}

/* getopt's own view of the rows that a command knows. */
static void getopt_tables(const struct command *c, struct option *longs, char *shorts)
{
	*shorts++ = ':'; /* a missing argument is told from an unknown option */
	for (size_t i = 0; i < N_ROWS; i++) {
		if (!(rows[i].commands & c->bit))
			continue;
		longs->name = rows[i].name;
		longs->has_arg = rows[i].kind == KIND_FLAG ? no_argument : required_argument;
		longs->flag = NULL;
		longs->val = 256 + (int)i;
		longs++;
		if (!rows[i].letter)
			continue;
		*shorts++ = rows[i].letter;
		if (rows[i].kind != KIND_FLAG)
			*shorts++ = ':';
	}
	memset(longs, 0, sizeof(*longs));
	*shorts = 0;
}

/* The row of what getopt_long returned; NULL if none. */
static const struct row *row_of(const struct command *c, int got)
{
	if (got >= 256 && (size_t)got < 256 + N_ROWS)
		return &rows[got - 256];
	for (size_t i = 0; i < N_ROWS; i++) {
		if ((rows[i].commands & c->bit) && rows[i].letter && rows[i].letter == got)
			return &rows[i];
	}
	return NULL;
}

static int bad_option(const struct command *c, int got, char **argv)
{
	const struct row *r = row_of(c, optopt);

	if (got == ':')
		return usage(
			c->name, "--%s needs a value, %s", r ? r->name : "option", r ? r->arg : "");
	if (r)
		return usage(c->name, "--%s takes no value", r->name);
	if (optopt)
		return usage(c->name, "there is no option -%c", optopt);
	return usage(c->name, "there is no option %s, or it is short for more than one",
		argv[optind - 1]);
}

int options_parse(const struct command *c, int argc, char **argv, struct options *o)
{
	struct option longs[N_ROWS + 1];
	char shorts[2 * N_ROWS + 2];
	const struct row *r;
	int got;

	memset(o, 0, sizeof(*o));
	getopt_tables(c, longs, shorts);
	opterr = 0;
	optind = 1;
	while ((got = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		r = got == ':' || got == '?' ? NULL : row_of(c, got);
		if (!r)
			return bad_option(c, got, argv);
		if (row_set(c, r, optarg, o))
			return EXIT_USAGE;
	}
	o->args = argv + optind;
	o->n_args = (size_t)(argc - optind);
	if (o->help || o->version || o->n_args <= c->max_args)
		return 0;
	return usage(c->name, "there is one word too many: \"%s\"", o->args[c->max_args]);
}

bool options_given(const struct options *o, const char *name)
{
	for (size_t i = 0; i < N_ROWS; i++) {
		if (o->given[i] && !strcmp(rows[i].name, name))
			return true;
	}
	return false;
}

/* Words of text from column on, folded at 80 columns. */
static void print_folded(const char *text, int column)
{
	int at = column;

	while (*text) {
		int len = (int)strcspn(text, " ");

		if (at > column && at + 1 + len > 80) {
			printf("\n%*s", column, "");
			at = column;
		} else if (at > column) {
			putchar(' ');
			at++;
		}
		printf("%.*s", len, text);
		at += len;
		text += len + (text[len] == ' ');
	}
	putchar('\n');
}

void options_help(const struct command *c)
{
	char left[48], letter[5];

	for (size_t i = 0; i < N_ROWS; i++) {
		const struct row *r = &rows[i];

		if (!(r->commands & c->bit))
			continue;
		snprintf(letter, sizeof(letter), r->letter ? "-%c, " : "    ", r->letter);
		snprintf(left, sizeof(left), "  %s--%s %s", letter, r->name, r->arg ? r->arg : "");
		printf("%-27s ", left);
		if (strlen(left) > 27)
			printf("\n%28s", "");
		print_folded(r->help, 28);
	}
}
