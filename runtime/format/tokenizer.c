/* SPDX-License-Identifier: MIT */
/* Text to tokens and back, whatever the vocabulary's kind: special tokens first, then what lies
 * between them. */
#include "format/tokenize.h"

#include "base/base.h"

#include <sys/stat.h>

int weir_tokens_add(struct weir_tokens *tokens, int32_t id)
{
	if (tokens->n == tokens->size) {
		size_t size = tokens->size ? tokens->size * 2 : 64;
		int32_t *ids = realloc(tokens->ids, size * sizeof(*ids));

		if (!ids)
			return weir_fail(ENOMEM, "no memory for %zu tokens", size);
		tokens->ids = ids;
		tokens->size = size;
	}
	tokens->ids[tokens->n++] = id;
	return 0;
}

/* ---- opening ---- */

static size_t piece_print(const struct weir_vocab *v, int32_t token, char *out)
{
	enum weir_token_type type = v->tokens[token].type;

	if (type == WEIR_TOKEN_CONTROL || type == WEIR_TOKEN_UNKNOWN || type == WEIR_TOKEN_USER) {
		memcpy(out, weir_vocab_text(v, token), v->tokens[token].len);
		return v->tokens[token].len;
	}
	return v->kind == WEIR_VOCAB_SPM ? weir_spm_print(v, token, out)
					 : weir_bpe_print(v, token, out);
}

static int pieces_print(weir_tokenizer *t)
{
	const struct weir_vocab *v = &t->vocab;
	size_t at = 0;

	/* No token prints more bytes than its text has. */
	t->printed = malloc(v->bytes_used + 1);
	t->pieces = malloc(((size_t)v->count + 1) * sizeof(*t->pieces));
	if (!t->printed || !t->pieces)
		return weir_fail(ENOMEM, "no memory for the texts of %d tokens", v->count);
	for (int32_t i = 0; i < v->count; i++) {
		t->pieces[i].at = at;
		t->pieces[i].len = (uint32_t)piece_print(v, i, t->printed + at);
		at += t->pieces[i].len;
	}
	return 0;
}

int weir_tokenizer_create(struct weir_vocab *v, weir_tokenizer **out)
{
	weir_tokenizer *t = calloc(1, sizeof(*t));
	int err;

	if (!t) {
		weir_vocab_fini(v);
		return weir_fail(ENOMEM, "no memory for a tokenizer");
	}
	t->vocab = *v;
	memset(v, 0, sizeof(*v));
	if (t->vocab.kind == WEIR_VOCAB_SPM) {
		weir_spm_bytes(&t->vocab, t->byte_token);
	} else {
		weir_bpe_bytes(&t->vocab, t->byte_token);
		err = t->vocab.words ? weir_pretokenizer_compile(t->vocab.words, &t->pre)
				     : weir_pretokenizer_create(t->vocab.pre, &t->pre);
		if (err)
			goto error;
	}
	weir_special_init(&t->special, &t->vocab);
	err = pieces_print(t);
	if (err)
		goto error;
	*out = t;
	return 0;
error:
	weir_tokenizer_close(t);
	return err;
}

int weir_tokenizer_open(weir_tokenizer **out, const char *path)
{
	struct weir_gguf *g;
	struct stat st;
	int err;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return weir_tokenizer_from_json(path, out);
	err = weir_gguf_open(path, &g);
	if (err)
		return err;
	err = weir_tokenizer_from_gguf(g, out);
	weir_gguf_close(g);
	return err;
}

void weir_tokenizer_close(weir_tokenizer *t)
{
	if (!t)
		return;
	weir_pretokenizer_destroy(t->pre);
	weir_vocab_fini(&t->vocab);
	free(t->pieces);
	free(t->printed);
	free(t);
}

/* ---- encoding ---- */

struct encoder {
	const weir_tokenizer *t;
	struct weir_merger merger;
	struct weir_tokens out;
	bool begun;	    /* something of the text was encoded */
	bool after_special; /* SPM puts a space before text that starts, or follows a special token
			     */
};

static int add_special(struct encoder *e, int32_t token)
{
	e->begun = e->after_special = true;
	return weir_tokens_add(&e->out, token);
}

static bool wants_space(const struct encoder *e, const char *text, size_t len)
{
	const struct weir_vocab *v = &e->t->vocab;

	if (!v->add_space_prefix || !e->after_special || (v->prefix_first && e->begun))
		return false;
	return !v->prefix_spare || !weir_spm_spaced(text, len);
}

static int encode_plain(struct encoder *e, const char *text, size_t len)
{
	const weir_tokenizer *t = e->t;
	bool space = wants_space(e, text, len);

	if (len == 0)
		return 0;
	e->begun = true;
	e->after_special = false;
	if (t->vocab.kind == WEIR_VOCAB_SPM)
		return weir_spm_encode(t, &e->merger, text, len, space, &e->out);
	return weir_bpe_encode(t, &e->merger, text, len, &e->out);
}

/* Text between control tokens: user-defined tokens are found before anything else is split. */
static int encode_between(struct encoder *e, const char *text, size_t at, size_t end)
{
	const weir_tokenizer *t = e->t;
	struct weir_special_match match;
	int err = 0;

	while (!err && weir_special_find(&t->special, &t->vocab, text, at, end, false, &match)) {
		err = encode_plain(e, text + at, match.at - at);
		if (!err)
			err = add_special(e, match.token);
		at = match.at + match.len;
	}
	return err ? err : encode_plain(e, text + at, end - at);
}

/*
 * Text in which [begin, end) of each special run may hold control tokens. They are found first, so
 * that no text around a run can swallow one's beginning; then user-defined tokens and words in all
 * that lies between.
 */
static int encode_runs(
	struct encoder *e, const char *text, size_t len, const struct weir_span *runs, size_t count)
{
	const weir_tokenizer *t = e->t;
	struct weir_special_match match;
	size_t done = 0, run_at = 0;
	int err = 0;

	for (size_t i = 0; i < count && !err; i++) {
		size_t at = run_at, end = run_at + runs[i].len;

		while (i + 1 < count && runs[i].special && runs[i + 1].special)
			end += runs[++i].len;
		run_at = end;
		while (runs[i].special && !err &&
			weir_special_find(&t->special, &t->vocab, text, at, end, true, &match)) {
			at = match.at + match.len;
			/* A user-defined token that hides a control token is found again between.
			 */
			if (t->vocab.tokens[match.token].type == WEIR_TOKEN_USER)
				continue;
			err = encode_between(e, text, done, match.at);
			if (!err)
				err = add_special(e, match.token);
			done = at;
		}
	}
	return err ? err : encode_between(e, text, done, len);
}

static int spans_length(const struct weir_span *spans, size_t count, size_t *len)
{
	*len = 0;
	for (size_t i = 0; i < count; i++) {
		if (!weir_size_add(*len, spans[i].len, len) || *len > WEIR_TOKENIZE_MAX)
			return weir_fail(EFBIG,
				"the text is longer than the %zu bytes that are tokenized at once",
				WEIR_TOKENIZE_MAX);
	}
	return 0;
}

static char *spans_join(const struct weir_span *spans, size_t count, size_t len)
{
	char *text = malloc(len + 1);
	size_t at = 0;

	for (size_t i = 0; text && i < count; i++) {
		if (spans[i].len > 0)
			memcpy(text + at, spans[i].text, spans[i].len);
		at += spans[i].len;
	}
	return text;
}

int weir_tokenizer_encode(const weir_tokenizer *t, const struct weir_span *spans, size_t count,
	bool bos, int32_t **tokens, size_t *n)
{
	struct encoder e = {.t = t, .after_special = true};
	char *joined = NULL;
	size_t len;
	int err = spans_length(spans, count, &len);

	if (err)
		return err;
	weir_merger_init(&e.merger, &t->vocab);
	if (count > 1) {
		joined = spans_join(spans, count, len);
		if (!joined) {
			err = weir_fail(ENOMEM, "no memory to tokenize %zu bytes", len);
			goto error;
		}
	}
	if (bos && weir_tokenizer_wants_bos(t))
		err = weir_tokens_add(&e.out, t->vocab.bos);
	if (!err && len > 0)
		err = encode_runs(&e, joined ? joined : spans[0].text, len, spans, count);
error:
	free(joined);
	weir_merger_fini(&e.merger);
	if (err) {
		free(e.out.ids);
		return err;
	}
	*tokens = e.out.ids;
	*n = e.out.n;
	return 0;
}

int64_t weir_tokenize(const weir_tokenizer *t, const char *text, size_t len, unsigned flags,
	int32_t *tokens, size_t max)
{
	struct weir_span span = {
		.text = text, .len = len, .special = flags & WEIR_TOKENIZE_SPECIAL};
	int32_t *ids = NULL;
	size_t n = 0;
	int err = weir_tokenizer_encode(t, &span, 1, flags & WEIR_TOKENIZE_BOS, &ids, &n);

	if (err)
		return err;
	if (WEIR_MIN(n, max) > 0)
		memcpy(tokens, ids, WEIR_MIN(n, max) * sizeof(*tokens));
	free(ids);
	return (int64_t)n;
}

/* ---- what it knows ---- */

static const struct weir_vocab_token *token_at(const weir_tokenizer *t, int32_t token)
{
	return token >= 0 && token < t->vocab.count ? &t->vocab.tokens[token] : NULL;
}

const char *weir_token_text(const weir_tokenizer *t, int32_t token, bool special, size_t *len)
{
	const struct weir_vocab_token *found = token_at(t, token);

	*len = 0;
	if (!found)
		return NULL;
	if (special || (found->type != WEIR_TOKEN_CONTROL && found->type != WEIR_TOKEN_UNKNOWN))
		*len = t->pieces[token].len;
	return t->printed + t->pieces[token].at;
}

int32_t weir_token_count(const weir_tokenizer *t)
{
	return t->vocab.count;
}

int32_t weir_token_bos(const weir_tokenizer *t)
{
	return t->vocab.bos;
}

int32_t weir_token_eos(const weir_tokenizer *t)
{
	return t->vocab.eos;
}

bool weir_token_is_end(const weir_tokenizer *t, int32_t token)
{
	const struct weir_vocab_token *found = token_at(t, token);

	return found && found->end;
}

const char *weir_tokenizer_template(const weir_tokenizer *t)
{
	return t->vocab.chat_template;
}

int32_t weir_tokenizer_find(const weir_tokenizer *t, const char *text)
{
	return weir_vocab_find(&t->vocab, text, strlen(text));
}

bool weir_tokenizer_wants_bos(const weir_tokenizer *t)
{
	return t->vocab.add_bos && t->vocab.bos >= 0;
}
