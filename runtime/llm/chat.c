/* SPDX-License-Identifier: MIT */
/* Conversations as tokens: markup may hold control tokens, what people and models said never does.
 */
#include "llm/chat.h"

#include "base/base.h"
#include "format/tokenizer.h"
#include "format/utf8.h"

static const char *const format_names[WEIR_CHAT_FORMATS] = {
	[WEIR_CHAT_CHATML] = "chatml",
	[WEIR_CHAT_LLAMA2] = "llama2",
	[WEIR_CHAT_LLAMA3] = "llama3",
	[WEIR_CHAT_MISTRAL] = "mistral",
	[WEIR_CHAT_ZEPHYR] = "zephyr",
};
#define FORMAT_NAMES "chatml, llama2, llama3, mistral, zephyr"

const char *weir_chat_format_name(enum weir_chat_format format)
{
	return (unsigned)format < WEIR_CHAT_FORMATS ? format_names[format] : NULL;
}

int weir_chat_format_by_name(const char *name)
{
	for (int i = 0; i < WEIR_CHAT_FORMATS; i++) {
		if (strcmp(name, format_names[i]) == 0)
			return i;
	}
	return weir_fail(EINVAL, "there is no chat format \"%s\"; there are " FORMAT_NAMES, name);
}

int weir_chat_format_of(const weir_tokenizer *t)
{
	const char *jinja = weir_tokenizer_template(t);
	int format;

	if (!jinja)
		return weir_fail(ENOENT,
			"the file has no chat template; give --chat-format one of " FORMAT_NAMES);
	format = weir_chat_template_format(jinja);
	if (format < 0)
		return weir_fail(-format, "the file's chat template is none that Weir knows; give "
					  "--chat-format one of " FORMAT_NAMES);
	return format;
}

/* ---- a conversation under construction ---- */

enum role { SYSTEM, USER, ASSISTANT, ROLES };

static const char *const role_names[ROLES] = {"system", "user", "assistant"};
static const char *const chatml_headers[ROLES] = {
	"<|im_start|>system\n", "<|im_start|>user\n", "<|im_start|>assistant\n"};
static const char *const llama3_headers[ROLES] = {"<|start_header_id|>system<|end_header_id|>\n\n",
	"<|start_header_id|>user<|end_header_id|>\n\n",
	"<|start_header_id|>assistant<|end_header_id|>\n\n"};
static const char *const zephyr_headers[ROLES] = {"<|system|>\n", "<|user|>\n", "<|assistant|>\n"};

/* Most spans that a message becomes. */
#define MESSAGE_SPANS 12

struct chat {
	const weir_tokenizer *t;
	struct weir_chat_style style;
	const struct weir_chat_message *messages;
	struct weir_span bos, eos;
	bool started;	/* something was written, or stands in front of the first message */
	bool begin_bos; /* the tokenizer puts bos first, as its vocabulary wants */
	struct weir_span *spans;
	size_t n;
};

static int role_of(const struct weir_chat_message *m)
{
	for (int i = 0; i < ROLES; i++) {
		if (m->role && strcmp(m->role, role_names[i]) == 0)
			return i;
	}
	return -1;
}

static void put(struct chat *c, const char *text, size_t len, bool special)
{
	if (len > 0)
		c->spans[c->n++] = (struct weir_span){.text = text, .len = len, .special = special};
}

static void put_markup(struct chat *c, const char *text)
{
	put(c, text, strlen(text), true);
}

/* What Python's strip() and Jinja's trim take away. */
static bool is_space(uint32_t c)
{
	return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
	       c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
	       c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Bytes of the spaces that text starts with. */
static size_t spaces_before(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len) {
		uint32_t c;
		size_t length = weir_utf8_decode(text + at, len - at, &c);

		if (length == 0 || !is_space(c))
			break;
		at += length;
	}
	return at;
}

/* Bytes of the spaces that text ends with. */
static size_t spaces_behind(const char *text, size_t len)
{
	size_t end = len;

	while (end > 0) {
		size_t at = end - 1;
		uint32_t c;

		while (at > 0 && end - at < 4 && ((unsigned char)text[at] & 0xc0) == 0x80)
			at--;
		if (weir_utf8_decode(text + at, end - at, &c) != end - at || !is_space(c))
			break;
		end = at;
	}
	return len - end;
}

static void put_content(struct chat *c, const char *text, bool trim_begin, bool trim_end)
{
	size_t len = strlen(text), spaces = trim_begin ? spaces_before(text, len) : 0;

	text += spaces;
	len -= spaces;
	if (trim_end)
		len -= spaces_behind(text, len);
	put(c, text, len, false);
}

/* The beginning token, before the first thing that is written. */
static void put_start(struct chat *c, bool again)
{
	if (!c->started)
		c->begin_bos = weir_tokenizer_wants_bos(c->t);
	if ((!c->started && c->style.bos && !c->begin_bos) || (c->started && again))
		put(c, c->bos.text, c->bos.len, true);
	c->started = true;
}

/* ChatML, Llama 3, Zephyr: a header, the text, an end. */
static void put_headed(
	struct chat *c, const char *const headers[ROLES], struct weir_span end, size_t i)
{
	const struct weir_chat_style *s = &c->style;
	int role = role_of(&c->messages[i]);
	bool trim = role == ASSISTANT ? s->trim_answers : s->trim;

	put_start(c, false);
	if (i == 0 && role != SYSTEM && (s->system || s->preamble)) {
		put_markup(c, headers[SYSTEM]);
		put_markup(c, s->system ? s->system : s->preamble);
		put(c, end.text, end.len, true);
		put_markup(c, s->tail);
	}
	put_markup(c, headers[role]);
	if (i == 0 && role == SYSTEM && s->preamble)
		put_markup(c, s->preamble);
	put_content(c, c->messages[i].content, trim, trim);
	put(c, end.text, end.len, true);
	/* What stands behind an answer's end is written with the next turn: the model stops at the
	 * end. */
	if (role != ASSISTANT)
		put_markup(c, s->tail);
}

/* Llama 2 and Mistral: turns of the user's in brackets; a system text stands in the first of them.
 */
static void put_bracketed(struct chat *c, size_t i)
{
	const struct weir_chat_style *s = &c->style;
	const char *content = c->messages[i].content;
	bool after_system = i == 1 && role_of(&c->messages[0]) == SYSTEM;

	switch (role_of(&c->messages[i])) {
	case USER:
		put_start(c, s->bos_each);
		put_markup(c, s->open);
		if (after_system && s->format == WEIR_CHAT_LLAMA2) {
			put_markup(c, "<<SYS>>\n");
			put_content(c, c->messages[0].content, false, false);
			put_markup(c, "\n<</SYS>>\n\n");
		} else if (after_system) {
			put_content(c, c->messages[0].content, s->trim, false);
			put_markup(c, "\n\n");
		}
		put_content(c, content, s->trim && !after_system, s->trim);
		put_markup(c, s->close);
		break;
	case ASSISTANT:
		put_start(c, false);
		put_markup(c, s->before);
		put_content(c, content, s->trim_answers, s->trim_answers);
		put_markup(c, s->after);
		put(c, c->eos.text, c->eos.len, true);
		break;
	default: /* the system's: written with the user's turn that follows */
		break;
	}
}

static bool is_bracketed(enum weir_chat_format format)
{
	return format == WEIR_CHAT_LLAMA2 || format == WEIR_CHAT_MISTRAL;
}

static struct weir_span span_of(const char *text)
{
	return (struct weir_span){.text = text, .len = strlen(text), .special = true};
}

static void put_message(struct chat *c, size_t i)
{
	switch (c->style.format) {
	case WEIR_CHAT_CHATML:
		put_headed(c, chatml_headers, span_of("<|im_end|>"), i);
		break;
	case WEIR_CHAT_LLAMA3:
		put_headed(c, llama3_headers, span_of("<|eot_id|>"), i);
		break;
	case WEIR_CHAT_ZEPHYR:
		put_headed(c, zephyr_headers, c->eos, i);
		break;
	default:
		put_bracketed(c, i);
	}
}

static int messages_check(enum weir_chat_format format, const struct weir_chat_message *messages,
	size_t count, size_t from)
{
	if (from > count)
		return weir_fail(
			EINVAL, "message %zu is asked for of a conversation of %zu", from, count);
	for (size_t i = 0; i < count; i++) {
		int role = role_of(&messages[i]);

		if (role < 0 || !messages[i].content)
			return weir_fail(EINVAL,
				"message %zu has the role \"%s\"; roles are system, user and "
				"assistant",
				i, messages[i].role ? messages[i].role : "");
		if (role == SYSTEM && i > 0 && is_bracketed(format))
			return weir_fail(EINVAL,
				"message %zu is a system message; the chat format %s has one at "
				"the start alone",
				i, format_names[format]);
	}
	return 0;
}

/* The text of a special token; instead where there is none. */
static struct weir_span token_span(const weir_tokenizer *t, int32_t token, const char *instead)
{
	struct weir_span span = span_of(instead);

	if (token >= 0)
		span.text = weir_token_text(t, token, true, &span.len);
	return span;
}

int weir_chat_encode(const weir_tokenizer *t, enum weir_chat_format format,
	const struct weir_chat_message *messages, size_t count, size_t from, bool answer,
	int32_t **tokens, size_t *n)
{
	struct chat c = {.t = t, .messages = messages};
	size_t size;
	int err;

	if ((unsigned)format >= WEIR_CHAT_FORMATS)
		return weir_fail(EINVAL, "there is no chat format %d", (int)format);
	err = messages_check(format, messages, count, from);
	if (err)
		return err;
	err = weir_chat_style_init(&c.style, format, weir_tokenizer_template(t),
		weir_tokenizer_find(t, "[INST]") >= 0, weir_tokenizer_find(t, "<0x0A>") < 0);
	if (err)
		return err;
	if (!weir_size_mul(count - from + 1, MESSAGE_SPANS * sizeof(*c.spans), &size) ||
		!(c.spans = malloc(size))) {
		err = weir_fail(ENOMEM, "no memory for a conversation of %zu messages", count);
		goto error;
	}
	c.bos = token_span(t, weir_token_bos(t), "");
	c.eos = token_span(t, weir_token_eos(t), "</s>");
	c.started =
		from > 0 && !(from == 1 && is_bracketed(format) && role_of(&messages[0]) == SYSTEM);
	for (size_t i = from; i <= count; i++) {
		if (i > 0 && role_of(&messages[i - 1]) == ASSISTANT && (i < count || answer))
			put_markup(&c, c.style.tail);
		if (i < count)
			put_message(&c, i);
	}
	if (answer) {
		put_start(&c, false);
		put_markup(&c, c.style.answer);
	}
	err = weir_tokenizer_encode(t, c.spans, c.n, c.begin_bos, tokens, n);
	free(c.spans);
error:
	weir_chat_style_fini(&c.style);
	return err;
}
