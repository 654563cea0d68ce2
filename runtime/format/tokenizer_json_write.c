/* SPDX-License-Identifier: MIT */
/* Writes a vocabulary as the tokenizer.json of a Hugging Face folder, and what it says beside it. */
#include "format/tokenize.h"

#include "base/base.h"
#include "format/utf8.h"

struct writer {
	FILE *f;
	const weir_tokenizer *t;
	const struct weir_vocab *v;
	struct weir_vocab_merge *merges; /* by rank */
	size_t n_merges;
};

/* ---- texts ------------------------------------------------------------------------------------- */

static void put_text(FILE *f, const char *text, size_t len)
{
	putc('"', f);
	for (size_t i = 0; i < len; i++) {
		const unsigned char c = (unsigned char)text[i];

		if (c == '"' || c == '\\')
			fprintf(f, "\\%c", c);
		else if (c < 0x20)
			fprintf(f, "\\u%04x", c);
		else
			putc(c, f);
	}
	putc('"', f);
}

static void put_token(const struct writer *w, int32_t id)
{
	put_text(w->f, weir_vocab_text(w->v, id), w->v->tokens[id].len);
}

static bool is_utf8(const char *text, size_t len)
{
	bool valid = true;

	return len == 0 || (weir_utf8_run(text, len, &valid) == len && valid);
}

/* Whether the token is what its text finds: another one with the same text, or one without, is nobody's. */
static bool is_found(const struct weir_vocab *v, int32_t id)
{
	return weir_vocab_find(v, weir_vocab_text(v, id), v->tokens[id].len) == id;
}

/* What such files cannot say. */
static int check(const weir_tokenizer *t)
{
	const struct weir_vocab *v = &t->vocab;

	for (int32_t i = 0; i < v->count; i++) {
		const char *text = weir_vocab_text(v, i);

		if (!is_utf8(text, v->tokens[i].len) || strlen(text) != v->tokens[i].len)
			return weir_fail(EOPNOTSUPP, "token %d is not UTF-8, as tokenizer.json wants it", i);
	}
	if (v->chat_template && !is_utf8(v->chat_template, strlen(v->chat_template)))
		return weir_fail(EOPNOTSUPP, "the chat template is not UTF-8, as tokenizer_config.json wants it");
	if (v->prefix_first && !v->prefix_spare)
		return weir_fail(EOPNOTSUPP, "tokenizer.json cannot say where this vocabulary puts spaces");
	for (unsigned b = 0; b < 256 && v->kind == WEIR_VOCAB_SPM; b++) {
		if (t->byte_token[b] < 0)
			return weir_fail(EOPNOTSUPP, "the vocabulary has no token <0x%02X> for a byte", b);
	}
	return 0;
}

/* ---- tokenizer.json ---------------------------------------------------------------------------- */

static bool is_added(const struct weir_vocab *v, int32_t id)
{
	const struct weir_vocab_token *token = &v->tokens[id];

	return (token->type == WEIR_TOKEN_CONTROL || token->type == WEIR_TOKEN_UNKNOWN ||
		       token->type == WEIR_TOKEN_USER) &&
	       token->len <= WEIR_SPECIAL_MAX && is_found(v, id);
}

static const char *boolean(bool value)
{
	return value ? "true" : "false";
}

static void put_added(const struct writer *w)
{
	const char *comma = "";

	fputs("\"added_tokens\":[", w->f);
	for (int32_t i = 0; i < w->v->count; i++) {
		const struct weir_vocab_token *token = &w->v->tokens[i];

		if (!is_added(w->v, i))
			continue;
		fprintf(w->f, "%s\n{\"id\":%d,\"content\":", comma, i);
		put_token(w, i);
		fprintf(w->f,
			",\"single_word\":false,\"lstrip\":%s,\"rstrip\":%s,\"normalized\":false,\"special\":%s}",
			boolean(token->strip_left), boolean(token->strip_right),
			boolean(token->type != WEIR_TOKEN_USER));
		comma = ",";
	}
	fputs("],\n", w->f);
}

#define MARK "\xe2\x96\x81"

/* Spaces of SPM text. */
static void put_spaces(const struct writer *w)
{
	const struct weir_vocab *v = w->v;

	if (v->prefix_spare && v->add_space_prefix) {
		fprintf(w->f,
			"\"normalizer\":null,\n\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"" MARK
			"\",\"prepend_scheme\":\"%s\",\"split\":false},\n",
			v->prefix_first ? "first" : "always");
		return;
	}
	fputs("\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[", w->f);
	if (v->add_space_prefix)
		fputs("{\"type\":\"Prepend\",\"prepend\":\"" MARK "\"},", w->f);
	fputs("{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" MARK
	      "\"}]},\n\"pre_tokenizer\":null,\n",
		w->f);
}

/* Words of byte-level text. */
static void put_words(const struct writer *w)
{
	const struct weir_vocab_words *words = weir_pretokenizer_words(w->t->pre);

	fputs("\"normalizer\":null,\n\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[", w->f);
	for (unsigned i = 0; i < words->n; i++) {
		const struct weir_vocab_step *step = &words->step[i];

		fputs("\n{\"type\":\"Split\",\"pattern\":{\"Regex\":", w->f);
		put_text(w->f, step->regex, strlen(step->regex));
		fprintf(w->f, "},\"behavior\":\"%s\",\"invert\":%s},",
			step->drop_matches || step->drop_others ? "Removed" : "Isolated", boolean(step->drop_others));
	}
	fputs("\n{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false}]},\n", w->f);
}

static void put_ends(const struct writer *w)
{
	int32_t bos = w->v->bos;

	if (!weir_tokenizer_wants_bos(w->t)) {
		fputs("\"post_processor\":null,\n", w->f);
		return;
	}
	fputs("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":", w->f);
	put_token(w, bos);
	fputs(",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\n\"pair\":[{\"SpecialToken\":{\"id\":", w->f);
	put_token(w, bos);
	fputs(",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":", w->f);
	put_token(w, bos);
	fputs(",\"type_id\":1}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],\n\"special_tokens\":{", w->f);
	put_token(w, bos);
	fputs(":{\"id\":", w->f);
	put_token(w, bos);
	fprintf(w->f, ",\"ids\":[%d],\"tokens\":[", bos);
	put_token(w, bos);
	fputs("]}}},\n", w->f);
}

static void put_decoder(const struct writer *w)
{
	if (w->v->kind == WEIR_VOCAB_BPE) {
		fputs("\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":"
		      "false},\n",
			w->f);
		return;
	}
	fputs("\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"" MARK
	      "\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}",
		w->f);
	if (w->v->add_space_prefix)
		fputs(",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}", w->f);
	fputs("]},\n", w->f);
}

static void put_model(const struct writer *w)
{
	const struct weir_vocab *v = w->v;
	const bool spm = v->kind == WEIR_VOCAB_SPM;
	const char *comma = "";

	fputs("\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":", w->f);
	if (spm && v->unk >= 0)
		put_token(w, v->unk);
	else
		fputs("null", w->f);
	fprintf(w->f,
		",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":%s,"
		"\"byte_fallback\":%s,\"ignore_merges\":%s,\n\"vocab\":{",
		boolean(spm), boolean(spm), boolean(!spm && weir_pretokenizer_whole_words(w->t->pre)));
	for (int32_t i = 0; i < v->count; i++) {
		if (!is_found(v, i))
			continue;
		fprintf(w->f, "%s\n", comma);
		put_token(w, i);
		fprintf(w->f, ":%d", i);
		comma = ",";
	}
	fputs("},\n\"merges\":[", w->f);
	for (size_t i = 0; i < w->n_merges; i++) {
		fputs(i ? ",\n[" : "\n[", w->f);
		put_token(w, w->merges[i].left);
		putc(',', w->f);
		put_token(w, w->merges[i].right);
		putc(']', w->f);
	}
	fputs("]}", w->f);
}

static void put_tokenizer(const struct writer *w)
{
	fputs("{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\n", w->f);
	put_added(w);
	if (w->v->kind == WEIR_VOCAB_SPM)
		put_spaces(w);
	else
		put_words(w);
	put_ends(w);
	put_decoder(w);
	put_model(w);
	fputs("}\n", w->f);
}

/* ---- the other files --------------------------------------------------------------------------- */

static void put_special(const struct writer *w, const char *key, int32_t id)
{
	if (id < 0 || !is_found(w->v, id))
		return;
	fprintf(w->f, ",\n\"%s\":", key);
	put_token(w, id);
}

static void put_config(const struct writer *w)
{
	const struct weir_vocab *v = w->v;

	fprintf(w->f,
		"{\"tokenizer_class\":\"PreTrainedTokenizerFast\",\n\"clean_up_tokenization_spaces\":false,\n"
		"\"add_bos_token\":%s",
		boolean(weir_tokenizer_wants_bos(w->t)));
	put_special(w, "bos_token", v->bos);
	put_special(w, "eos_token", v->eos);
	put_special(w, "unk_token", v->unk);
	if (v->chat_template) {
		fputs(",\n\"chat_template\":", w->f);
		put_text(w->f, v->chat_template, strlen(v->chat_template));
	}
	fputs("}\n", w->f);
}

/* All tokens that end a text, eos first. */
static void put_generation(const struct writer *w)
{
	const struct weir_vocab *v = w->v;
	const char *comma = "";

	fputs("{", w->f);
	if (v->bos >= 0)
		fprintf(w->f, "\"bos_token_id\":%d,", v->bos);
	fputs("\"eos_token_id\":[", w->f);
	for (int32_t i = -1; i < v->count; i++) {
		int32_t id = i < 0 ? v->eos : i;

		if (id < 0 || (i >= 0 && (i == v->eos || !v->tokens[i].end)))
			continue;
		fprintf(w->f, "%s%d", comma, id);
		comma = ",";
	}
	fputs("]}\n", w->f);
}

static int write_file(struct writer *w, const char *folder, const char *name, void (*put)(const struct writer *))
{
	struct weir_atomic_file file;
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s/%s", folder, name), err;

	if (n < 0 || (size_t)n >= sizeof(path))
		return weir_fail(ENAMETOOLONG, "%s: the folder's name is too long", folder);
	err = weir_atomic_begin(&file, path);
	if (err)
		return err;
	w->f = file.file;
	put(w);
	return weir_atomic_commit(&file);
}

int weir_tokenizer_write_json(const weir_tokenizer *t, const char *folder)
{
	struct writer w = {.t = t, .v = &t->vocab};
	int err = check(t);

	if (err)
		return err;
	if (w.v->kind == WEIR_VOCAB_SPM && !w.v->ranked) {
		err = weir_spm_merges(w.v, &w.merges, &w.n_merges);
	} else {
		w.merges = weir_vocab_ranked(w.v);
		w.n_merges = w.v->merges_used;
		err = w.merges ? 0 : -ENOMEM;
	}
	if (!err)
		err = write_file(&w, folder, "tokenizer.json", put_tokenizer);
	if (!err)
		err = write_file(&w, folder, "tokenizer_config.json", put_config);
	if (!err)
		err = write_file(&w, folder, "generation_config.json", put_generation);
	free(w.merges);
	return err;
}
