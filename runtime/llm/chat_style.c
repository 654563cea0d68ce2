/* SPDX-License-Identifier: MIT */
/* Reads from a chat template which format it is and the details in which templates of one format
 * differ. */
#include "llm/chat.h"

#include "base/base.h"
#include "llm/chat_jinja.h"

/* Whether token i means the text of a message: message['content'], message.content or content. */
static bool is_content(const struct weir_jinja *j, size_t i)
{
	return weir_jinja_is(j, i, WEIR_JINJA_NAME, "content") ||
	       weir_jinja_is(j, i, WEIR_JINJA_LITERAL, "content");
}

/* Whether "| trim" or ".strip()" follows the content at i. */
static bool is_trimmed(const struct weir_jinja *j, size_t i)
{
	do {
		i++;
	} while (weir_jinja_is(j, i, WEIR_JINJA_SIGN, "]") ||
		 weir_jinja_is(j, i, WEIR_JINJA_SIGN, ")"));
	return (weir_jinja_is(j, i, WEIR_JINJA_SIGN, "|") &&
		       weir_jinja_is(j, i + 1, WEIR_JINJA_NAME, "trim")) ||
	       (weir_jinja_is(j, i, WEIR_JINJA_SIGN, ".") &&
		       weir_jinja_is(j, i + 1, WEIR_JINJA_NAME, "strip"));
}

/* First and last + 1 token of the block that token i is in. */
static void block_range(const struct weir_jinja *j, size_t i, size_t *begin, size_t *end)
{
	size_t block = j->tokens[i].block;

	*begin = i;
	while (*begin > 0 && j->tokens[*begin - 1].block == block)
		(*begin)--;
	*end = i + 1;
	while (*end < j->n && j->tokens[*end].block == block)
		(*end)++;
}

static bool range_trims(const struct weir_jinja *j, size_t begin, size_t end)
{
	for (size_t i = begin; i < end; i++) {
		if (is_content(j, i) && is_trimmed(j, i))
			return true;
	}
	return false;
}

/* Puts a copy of text in the place of *out. */
static int set(char **out, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return weir_fail(ENOMEM, "no memory for a chat format");
	free(*out);
	*out = copy;
	return 0;
}

/* a and b joined. */
static int set_joined(char **out, const char *a, const char *b)
{
	char *text;

	if (asprintf(&text, "%s%s", a, b) < 0)
		return weir_fail(ENOMEM, "no memory for a chat format");
	free(*out);
	*out = text;
	return 0;
}

/* ---- which format ---- */

/* A literal that starts with start, in a block that also has the end token. */
static size_t ended_literal(const struct weir_jinja *j, const char *start)
{
	for (size_t i = 0; i < j->n; i++) {
		size_t begin, end, eos;

		if (j->tokens[i].kind != WEIR_JINJA_LITERAL ||
			strncmp(j->tokens[i].text, start, strlen(start)) != 0)
			continue;
		block_range(j, i, &begin, &end);
		eos = weir_jinja_name(j, begin, "eos_token");
		if (eos < end)
			return i;
	}
	return j->n;
}

/* Zephyr: a role's header, the text and the end token, in one expression. Others have the header
 * alone. */
static bool is_zephyr(const char *jinja)
{
	struct weir_jinja j;
	bool is;

	if (!strstr(jinja, "<|user|>") || !strstr(jinja, "<|assistant|>") ||
		weir_jinja_read(&j, jinja))
		return false;
	is = ended_literal(&j, "<|user|>\n") < j.n;
	weir_jinja_free(&j);
	return is;
}

int weir_chat_template_format(const char *jinja)
{
	if (strstr(jinja, "<|im_start|>") && strstr(jinja, "<|im_end|>")) {
		/* Phi-4 and SmolVLM use the same tokens in another way. */
		if (strstr(jinja, "<|im_sep|>") || strstr(jinja, "<end_of_utterance>"))
			return -EOPNOTSUPP;
		return WEIR_CHAT_CHATML;
	}
	if (strstr(jinja, "<|start_header_id|>") && strstr(jinja, "<|end_header_id|>") &&
		strstr(jinja, "<|eot_id|>"))
		return WEIR_CHAT_LLAMA3;
	if (strstr(jinja, "[INST]") && strstr(jinja, "[/INST]")) {
		/* Mistral's v7 has tokens for the system text. */
		if (strstr(jinja, "[SYSTEM_PROMPT]"))
			return -EOPNOTSUPP;
		return strstr(jinja, "<<SYS>>") ? WEIR_CHAT_LLAMA2 : WEIR_CHAT_MISTRAL;
	}
	return is_zephyr(jinja) ? WEIR_CHAT_ZEPHYR : -EOPNOTSUPP;
}

/* ---- details ---- */

/* The literal that opens the assistant's turn, if it starts as the format's does; n: none. */
static size_t answer_literal(const struct weir_jinja *j, const char *start)
{
	size_t i = 0;

	while ((i = weir_jinja_name(j, i, "add_generation_prompt")) < j->n) {
		while (++i < j->n && j->tokens[i].kind != WEIR_JINJA_LITERAL)
			;
		if (i < j->n && strncmp(j->tokens[i].text, start, strlen(start)) == 0)
			return i;
	}
	return j->n;
}

/* The system text that stands whole in a literal: what the template gives where no message does. */
static int read_system(struct weir_chat_style *s, const struct weir_jinja *j)
{
	static const char start[] = "<|im_start|>system\n";

	for (size_t i = 0; i < j->n; i++) {
		const char *begin, *end;

		if (j->tokens[i].kind != WEIR_JINJA_LITERAL)
			continue;
		begin = strstr(j->tokens[i].text, start);
		end = begin ? strstr(begin, "<|im_end|>") : NULL;
		if (!end)
			continue;
		begin += strlen(start);
		s->system = strndup(begin, (size_t)(end - begin));
		return s->system ? 0 : weir_fail(ENOMEM, "no memory for a chat format");
	}
	return 0;
}

static int read_chatml(struct weir_chat_style *s, const struct weir_jinja *j)
{
	size_t i = answer_literal(j, "<|im_start|>assistant");
	int err = read_system(s, j);

	s->trim = s->trim_answers = range_trims(j, 0, j->n);
	return err || i == j->n ? err : set(&s->answer, j->tokens[i].text);
}

/* Llama 3.1 and later: the dates that lead the system text. Where the template would ask a clock,
 * its own date. */
static int read_llama3(struct weir_chat_style *s, const struct weir_jinja *j)
{
	const char *cutoff = NULL, *date = NULL;
	int err;

	s->trim = s->trim_answers = range_trims(j, 0, j->n);
	for (size_t i = 0; i < j->n; i++) {
		if (j->tokens[i].kind != WEIR_JINJA_LITERAL)
			continue;
		if (!cutoff && strncmp(j->tokens[i].text, "Cutting Knowledge Date:", 23) == 0)
			cutoff = j->tokens[i].text;
		if (!date && i > 1 && weir_jinja_is(j, i - 1, WEIR_JINJA_SIGN, "=") &&
			weir_jinja_is(j, i - 2, WEIR_JINJA_NAME, "date_string"))
			date = j->tokens[i].text;
	}
	if (!cutoff || !date || weir_jinja_literal(j, 0, "Today Date:") == j->n)
		return 0;
	err = set_joined(&s->preamble, cutoff, "Today Date: ");
	if (!err)
		err = set_joined(&s->preamble, s->preamble, date);
	return err ? err : set_joined(&s->preamble, s->preamble, "\n\n");
}

/* The expression that writes an assistant's text: [before +] content [+ after] + eos_token [+
 * tail]. */
static int read_assistant(struct weir_chat_style *s, const struct weir_jinja *j)
{
	for (size_t eos = 0; (eos = weir_jinja_name(j, eos, "eos_token")) < j->n; eos++) {
		size_t begin, end, content;
		int err;

		block_range(j, eos, &begin, &end);
		for (content = begin; content < eos && !is_content(j, content); content++)
			;
		if (content == eos || weir_jinja_literal(j, begin, "[INST]") < end)
			continue;
		s->trim_answers = is_trimmed(j, content);
		err = set(&s->before, begin < content && j->tokens[begin].kind == WEIR_JINJA_LITERAL
					      ? j->tokens[begin].text
					      : "");
		if (!err && eos >= begin + 2 && j->tokens[eos - 2].kind == WEIR_JINJA_LITERAL &&
			eos - 2 > content)
			err = set(&s->after, j->tokens[eos - 2].text);
		else if (!err)
			err = set(&s->after, "");
		if (!err && eos + 2 < end && j->tokens[eos + 2].kind == WEIR_JINJA_LITERAL)
			err = set(&s->tail, j->tokens[eos + 2].text);
		return err;
	}
	return 0;
}

/* Llama 2 and Mistral: the literals around the user's text, with the spaces that the template's
 * author put there. */
static int read_inst(struct weir_chat_style *s, const struct weir_jinja *j)
{
	size_t open = weir_jinja_literal(j, 0, "[INST]"),
	       close = weir_jinja_literal(j, 0, "[/INST]");
	size_t begin, end;
	int err = 0;

	if (open < j->n && close < j->n) {
		block_range(j, open, &begin, &end);
		s->trim = range_trims(j, begin, end);
		s->bos_each = open > begin + 1 &&
			      weir_jinja_is(j, open - 2, WEIR_JINJA_NAME, "bos_token");
		err = set(&s->open, j->tokens[open].text);
		if (!err)
			err = set(&s->close, j->tokens[close].text);
	}
	return err ? err : read_assistant(s, j);
}

/* What follows a block's literal or end token: more of the block, then the text behind it. */
static const char *text_behind(const struct weir_jinja *j, size_t i)
{
	if (weir_jinja_is(j, i + 1, WEIR_JINJA_SIGN, "+"))
		i += 2;
	else
		i++;
	if (i < j->n &&
		(j->tokens[i].kind == WEIR_JINJA_RAW || j->tokens[i].kind == WEIR_JINJA_LITERAL) &&
		strspn(j->tokens[i].text, "\n ") == strlen(j->tokens[i].text))
		return j->tokens[i].text;
	return "";
}

static int read_zephyr(struct weir_chat_style *s, const struct weir_jinja *j)
{
	size_t user = ended_literal(j, "<|user|>\n"), answer = answer_literal(j, "<|assistant|>");
	size_t begin, end;
	int err;

	block_range(j, user, &begin, &end);
	s->trim = s->trim_answers = range_trims(j, begin, end);
	err = set(&s->tail, text_behind(j, weir_jinja_name(j, user, "eos_token")));
	if (!err && answer < j->n)
		err = set_joined(&s->answer, j->tokens[answer].text, text_behind(j, answer));
	return err;
}

static int style_read(struct weir_chat_style *s, const char *jinja)
{
	struct weir_jinja j;
	int err = weir_jinja_read(&j, jinja);

	if (err)
		return err;
	s->bos = weir_jinja_name(&j, 0, "bos_token") < j.n;
	switch (s->format) {
	case WEIR_CHAT_CHATML:
		err = read_chatml(s, &j);
		break;
	case WEIR_CHAT_LLAMA3:
		err = read_llama3(s, &j);
		break;
	case WEIR_CHAT_ZEPHYR:
		err = read_zephyr(s, &j);
		break;
	default:
		err = read_inst(s, &j);
	}
	weir_jinja_free(&j);
	return err;
}

/* ---- without a template ---- */

/* How the models that a format is named for write it. */
static const struct weir_chat_style plain_styles[] = {
	[WEIR_CHAT_CHATML] = {.tail = "\n", .answer = "<|im_start|>assistant\n"},
	[WEIR_CHAT_LLAMA2] = {.bos = true,
		.bos_each = true,
		.trim = true,
		.trim_answers = true,
		.open = "[INST] ",
		.close = " [/INST]",
		.before = " ",
		.after = " "},
	[WEIR_CHAT_LLAMA3] = {.bos = true,
		.trim = true,
		.trim_answers = true,
		.answer = "<|start_header_id|>assistant<|end_header_id|>\n\n"},
	/* Mistral's v1; v3, whose [INST] is a token; and v3 with the byte-level vocabulary
	   "tekken". */
	[WEIR_CHAT_MISTRAL] = {.bos = true, .open = " [INST] ", .close = " [/INST]", .before = " "},
	[WEIR_CHAT_ZEPHYR] = {.tail = "\n", .answer = "<|assistant|>\n"},
};
static const struct weir_chat_style mistral_v3 = {
	.bos = true, .trim_answers = true, .open = "[INST] ", .close = "[/INST]", .before = " "};
static const struct weir_chat_style mistral_tekken = {
	.bos = true, .trim_answers = true, .open = "[INST]", .close = "[/INST]"};

static int style_copy(struct weir_chat_style *s, const struct weir_chat_style *plain)
{
	char *const from[] = {
		plain->open, plain->close, plain->before, plain->after, plain->tail, plain->answer};
	char **to[] = {&s->open, &s->close, &s->before, &s->after, &s->tail, &s->answer};
	int err = 0;

	s->bos = plain->bos;
	s->bos_each = plain->bos_each;
	s->trim = plain->trim;
	s->trim_answers = plain->trim_answers;
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(to) && !err; i++)
		err = set(to[i], from[i] ? from[i] : "");
	return err;
}

int weir_chat_style_init(struct weir_chat_style *s, enum weir_chat_format format, const char *jinja,
	bool inst_token, bool byte_level)
{
	const struct weir_chat_style *plain = &plain_styles[format];
	int err;

	if (format == WEIR_CHAT_MISTRAL && inst_token)
		plain = byte_level ? &mistral_tekken : &mistral_v3;
	memset(s, 0, sizeof(*s));
	s->format = format;
	err = style_copy(s, plain);
	if (!err && jinja && weir_chat_template_format(jinja) == (int)format)
		err = style_read(s, jinja);
	if (err)
		weir_chat_style_fini(s);
	return err;
}

void weir_chat_style_fini(struct weir_chat_style *s)
{
	free(s->open);
	free(s->close);
	free(s->before);
	free(s->after);
	free(s->tail);
	free(s->answer);
	free(s->system);
	free(s->preamble);
	memset(s, 0, sizeof(*s));
}
