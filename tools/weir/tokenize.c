/* SPDX-License-Identifier: MIT */
/* weir tokenize: from text to tokens and back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

static struct json_object *json_pieces(const weir_tokenizer *t, const int32_t *tokens, size_t n)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		size_t len = 0;
		const char *text = weir_token_text(t, tokens[i], true, &len);

		json_object_array_add(list, json_text(text ? text : "", len));
	}
	return list;
}

static int print_json(const weir_tokenizer *t, const int32_t *tokens, size_t n, bool pieces)
{
	struct json_object *object = json_object_new_object();
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < n; i++)
		json_object_array_add(list, json_object_new_int(tokens[i]));
	json_put(object, "tokens", list);
	if (pieces)
		json_put(object, "pieces", json_pieces(t, tokens, n));
	return out_json(object);
}

static void print_pieces(const weir_tokenizer *t, const int32_t *tokens, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = 0;
		const char *text = weir_token_text(t, tokens[i], true, &len);

		printf("%d\t", tokens[i]);
		out_escaped(text ? text : "", len);
		putchar('\n');
	}
}

static int encode(const struct options *o, const weir_tokenizer *t, const struct text *text)
{
	unsigned flags =
		(o->bos ? WEIR_TOKENIZE_BOS : 0) | (o->special ? WEIR_TOKENIZE_SPECIAL : 0);
	int32_t *tokens;
	size_t n;
	int status = 0;

	if (text_tokens(t, text->data, text->len, flags, &tokens, &n))
		return 1;
	if (o->json) {
		status = print_json(t, tokens, n, o->pieces);
	} else if (o->pieces) {
		print_pieces(t, tokens, n);
	} else {
		for (size_t i = 0; i < n; i++)
			printf("%s%d", i ? " " : "", tokens[i]);
		putchar('\n');
	}
	free(tokens);
	return status;
}

/* The next id in *at, which moves behind it: 1, 0 at the end, -1 after saying what is no id. */
static int next_id(const char **at, int32_t count, int32_t *id)
{
	static const char between[] = " \t\r\n,[]";
	const char *start = *at + strspn(*at, between);
	size_t len = strcspn(start, between);
	char *end;
	long value;

	*at = start + len;
	if (!len)
		return 0;
	value = strtol(start, &end, 10);
	if (start[0] < '0' || start[0] > '9' || end != *at || value >= count) {
		fail("\"%.*s\" is no token: ids go from 0 to %d", (int)(len < 40 ? len : 40), start,
			count - 1);
		return -1;
	}
	*id = (int32_t)value;
	return 1;
}

static int decode(const struct options *o, const weir_tokenizer *t, const struct text *ids)
{
	struct text text = {0};
	struct json_object *object;
	const char *at = ids->data, *piece;
	int32_t id;
	size_t len;
	int status = text_add(&text, "", 0), more = 0;

	while (!status && (more = next_id(&at, weir_token_count(t), &id)) > 0) {
		piece = weir_token_text(t, id, o->special, &len);
		if (piece)
			status = text_add(&text, piece, len);
	}
	if (!status && more < 0)
		status = 1;
	if (!status && at != ids->data + ids->len)
		status = fail("there is a zero byte among the ids");
	if (!status && o->json) {
		object = json_object_new_object();
		json_put(object, "text", json_text(text.data, text.len));
		status = out_json(object);
	} else if (!status) {
		status = out_write(text.data, text.len);
		if (!status && (!text.len || text.data[text.len - 1] != '\n'))
			status = out_write("\n", 1);
	}
	text_free(&text);
	return status;
}

static int read_text(const struct options *o, struct text *text)
{
	if (o->n_args && o->file)
		return usage("tokenize", "a text and -f both give a text: one of them will do");
	if (o->decode && (o->pieces || o->bos))
		return usage("tokenize", "--decode goes with neither --pieces nor --bos");
	if (o->n_args)
		return text_add(text, o->args[0], strlen(o->args[0]));
	if (!o->file && isatty(STDIN_FILENO))
		return usage("tokenize",
			"there is no text: give TEXT, -f FILE, or text on standard input");
	return text_read(text, o->file ? o->file : "-");
}

int cmd_tokenize(const struct options *o)
{
	struct text text = {0};
	weir_tokenizer *tokenizer = NULL;
	char path[4096];
	int status = read_text(o, &text);

	if (!status)
		status = engine_language_path(o, path, sizeof(path));
	if (!status && weir_tokenizer_open(&tokenizer, path) < 0)
		status = fail_weir();
	if (!status)
		status = o->decode ? decode(o, tokenizer, &text) : encode(o, tokenizer, &text);
	weir_tokenizer_close(tokenizer);
	text_free(&text);
	return status;
}
