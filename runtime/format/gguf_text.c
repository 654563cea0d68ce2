/* SPDX-License-Identifier: MIT */
/* Metadata values as text for listings: safe to print, cut to fit. */
#include "format/gguf_parse.h"
#include "format/utf8.h"

#include <inttypes.h>

/* Elements of an array that a listing shows. */
#define FIRST_ELEMENTS 16

/*
 * Pieces are written whole or not at all, so that no character and no escape is cut in the middle.
 */
struct text {
	char *to;
	size_t size, len; /* len + 1 <= size */
	size_t mark;	  /* the last end of a piece behind which "..." fits */
	bool cut;
};

static void put(struct text *t, const char *piece, size_t len)
{
	if (t->cut)
		return;
	if (len >= t->size - t->len) {
		t->cut = true;
		return;
	}
	memcpy(t->to + t->len, piece, len);
	t->len += len;
	if (t->len + 4 <= t->size)
		t->mark = t->len;
}

static void put_text(struct text *t, const char *piece)
{
	put(t, piece, strlen(piece));
}

static void finish(struct text *t)
{
	if (t->cut && t->size >= 4) {
		memcpy(t->to + t->mark, "...", 3);
		t->len = t->mark + 3;
	}
	t->to[t->len] = '\0';
}

/* Control bytes and what is not UTF-8 would reach the terminal: they are written as escapes. */
static size_t put_char(struct text *t, const char *p, size_t n)
{
	const size_t len = weir_utf8_printable(p, n);
	const unsigned char u = (unsigned char)*p;
	char escape[8];

	if (u == '\n' || u == '\t' || u == '\r') {
		put_text(t, u == '\n' ? "\\n" : u == '\t' ? "\\t" : "\\r");
		return 1;
	}
	if (!len) {
		snprintf(escape, sizeof(escape), "\\x%02x", u);
		put_text(t, escape);
		return 1;
	}
	put(t, p, len);
	return len;
}

static void put_string(struct text *t, const struct weir_str *s)
{
	for (size_t i = 0; i < s->len && !t->cut;)
		i += put_char(t, s->ptr + i, s->len - i);
}

/* The fewest digits that give the same number back. */
static void put_float(struct text *t, double value, bool is_double)
{
	char number[40];

	for (int digits = is_double ? 15 : 6; digits <= (is_double ? 17 : 9); digits++) {
		snprintf(number, sizeof(number), "%.*g", digits, value);
		if (is_double ? strtod(number, NULL) == value
			      : strtof(number, NULL) == (float)value)
			break;
	}
	put_text(t, number);
}

static void put_scalar(struct text *t, const void *at, enum weir_gguf_value type)
{
	const struct weir_gguf_array one = {.type = type, .count = 1, .data = at};
	char number[32];
	int64_t i;

	switch (type) {
	case WEIR_GGUF_BOOL:
		put_text(t, weir_gguf_number(&one, 0) != 0 ? "true" : "false");
		return;
	case WEIR_GGUF_F32:
	case WEIR_GGUF_F64:
		put_float(t, weir_gguf_number(&one, 0), type == WEIR_GGUF_F64);
		return;
	case WEIR_GGUF_U64: /* a double does not hold every one */
		memcpy(&i, at, sizeof(i));
		snprintf(number, sizeof(number), "%" PRIu64, (uint64_t)i);
		break;
	case WEIR_GGUF_I64:
		memcpy(&i, at, sizeof(i));
		snprintf(number, sizeof(number), "%" PRId64, i);
		break;
	default:
		snprintf(number, sizeof(number), "%.0f", weir_gguf_number(&one, 0));
		break;
	}
	put_text(t, number);
}

static void put_strings(struct text *t, const struct weir_gguf_array *a)
{
	const void *at = NULL;
	struct weir_str s;

	for (unsigned n = 0; n < FIRST_ELEMENTS && weir_gguf_next_string(a, &at, &s); n++) {
		put_text(t, n ? ", \"" : " \"");
		put_string(t, &s);
		put_text(t, "\"");
	}
}

static void put_array(struct text *t, const struct weir_gguf_key *key)
{
	struct weir_gguf_array a;
	char head[64];
	size_t size;

	weir_gguf_array_of(key, &a);
	snprintf(head, sizeof(head), "[%" PRIu64 " x %s]", a.count, weir_gguf_value_name(a.type));
	put_text(t, head);
	if (a.type == WEIR_GGUF_STRING) {
		put_strings(t, &a);
	} else {
		size = weir_gguf_value_size(a.type);
		for (uint64_t i = 0; i < WEIR_MIN(a.count, FIRST_ELEMENTS); i++) {
			put_text(t, i ? ", " : " ");
			put_scalar(t, (const char *)a.data + i * size, a.type);
		}
	}
	if (a.count > FIRST_ELEMENTS)
		put_text(t, ", ...");
}

void weir_gguf_meta_text(const struct weir_gguf *g, size_t i, char *text, size_t size)
{
	const struct weir_gguf_shard *s = &g->shards[0];
	struct text t = {.to = text, .size = size};
	struct weir_str str;

	if (!size)
		return;
	if (i < s->n_keys) {
		const struct weir_gguf_key *key = &s->keys[i];

		if (key->type == WEIR_GGUF_ARRAY) {
			put_array(&t, key);
		} else if (key->type == WEIR_GGUF_STRING) {
			str = (struct weir_str){(const char *)key->at + 8, key->size - 8};
			put_string(&t, &str);
		} else {
			put_scalar(&t, key->at, key->type);
		}
	}
	finish(&t);
}
