/* SPDX-License-Identifier: MIT */
/* What tokenizer.json does with text before the model and with tokens after it: normalizer, pre_tokenizer,
 * post_processor. */
#include "format/tokenizer_json.h"

#include "format/tokenize.h"
#include "format/utf8.h"

static const char space_mark[] = "\xe2\x96\x81"; /* U+2581 */

/* ---- lists of steps ---------------------------------------------------------------------------- */

int weir_json_steps(const struct weir_json *root, const char *key, const char *list_key,
	struct weir_json_steps *out)
{
	const char *type;
	int err;

	out->n = 0;
	out->list = (struct weir_json){0};
	if (!weir_json_has(root, key))
		return 0;
	err = weir_json_object(root, key, &out->one);
	if (!err)
		err = weir_json_string(&out->one, "type", &type);
	if (err)
		return err;
	out->n = 1;
	if (strcmp(type, "Sequence") != 0)
		return 0;
	err = weir_json_array(&out->one, list_key, &out->list);
	if (!err)
		out->n = weir_json_count(&out->list);
	return err;
}

int weir_json_step(
	const struct weir_json_steps *steps, size_t i, struct weir_json *out, const char **type)
{
	*out = steps->one;
	if (steps->list.value)
		weir_json_at(&steps->list, i, out);
	return weir_json_string(out, "type", type);
}

int weir_json_step_unknown(const struct weir_json *step, const char *type)
{
	char text[64];

	snprintf(text, sizeof(text), "%s", type);
	weir_utf8_clean(text);
	return weir_json_fail(step, EOPNOTSUPP, "is %s, which Weir does not know here", text);
}

int weir_json_optional_bool(const struct weir_json *in, const char *key, bool *out)
{
	return weir_json_has(in, key) ? weir_json_bool(in, key, out) : 0;
}

/* ---- which kind it is -------------------------------------------------------------------------- */

int weir_tokenizer_json_kind(const struct weir_json *root, enum weir_vocab_kind *kind)
{
	struct weir_json_steps steps;
	struct weir_json step, model;
	const char *type;
	bool fallback = false;
	int err = weir_json_steps(root, "pre_tokenizer", "pretokenizers", &steps);

	for (size_t i = 0; i < steps.n && !err; i++) {
		err = weir_json_step(&steps, i, &step, &type);
		if (err || strcmp(type, "ByteLevel") != 0)
			continue;
		*kind = WEIR_VOCAB_BPE;
		return 0;
	}
	if (!err)
		err = weir_json_object(root, "model", &model);
	if (!err)
		err = weir_json_optional_bool(&model, "byte_fallback", &fallback);
	if (err)
		return err;
	if (!fallback)
		return weir_json_fail(&model, EOPNOTSUPP,
			"has no byte_fallback and no ByteLevel pre-tokenizer: Weir knows no other kinds");
	*kind = WEIR_VOCAB_SPM;
	return 0;
}

/* ---- byte-level: words ------------------------------------------------------------------------- */

static int add_step(
	const struct weir_json *step, const char *regex, struct weir_vocab_words *w, struct weir_vocab_step *added)
{
	if (w->n == WEIR_VOCAB_STEPS)
		return weir_json_fail(step, EOPNOTSUPP, "is one step more than the %d that Weir takes",
			WEIR_VOCAB_STEPS);
	added->regex = strdup(regex);
	if (!added->regex)
		return weir_fail(ENOMEM, "no memory for a pre-tokenizer");
	w->step[w->n++] = *added;
	return 0;
}

/* text as an expression for itself; malloced. */
static char *quote(const char *text)
{
	char *out = malloc(2 * strlen(text) + 1), *p = out;

	for (; out && *text; text++) {
		if (strchr("\\^$.[]|()?*+{}-", *text))
			*p++ = '\\';
		*p++ = *text;
	}
	if (out)
		*p = 0;
	return out;
}

/* pattern, {"Regex": expression} or {"String": text}; malloced. */
static int read_pattern(const struct weir_json *step, char **out)
{
	struct weir_json pattern;
	const char *text;
	int err = weir_json_object(step, "pattern", &pattern);

	if (err)
		return err;
	if (weir_json_has(&pattern, "String")) {
		err = weir_json_string(&pattern, "String", &text);
		*out = err ? NULL : quote(text);
	} else {
		err = weir_json_string(&pattern, "Regex", &text);
		*out = err ? NULL : strdup(text);
	}
	if (!err && !*out)
		return weir_fail(ENOMEM, "no memory for a pre-tokenizer");
	return err;
}

static int add_split(const struct weir_json *step, struct weir_vocab_words *w)
{
	struct weir_vocab_step added = {0};
	const char *behavior;
	char *regex = NULL;
	bool invert = false;
	int err = weir_json_string(step, "behavior", &behavior);

	if (!err)
		err = weir_json_optional_bool(step, "invert", &invert);
	if (!err)
		err = read_pattern(step, &regex);
	if (err)
		return err;
	if (strcmp(behavior, "Removed") == 0) {
		added.drop_others = invert;
		added.drop_matches = !invert;
	} else if (strcmp(behavior, "Isolated") != 0) {
		err = weir_json_fail(step, EOPNOTSUPP, "is a Split whose behavior is neither Isolated nor Removed");
	}
	if (!err)
		err = add_step(step, regex, w, &added);
	free(regex);
	return err;
}

static int add_digits(const struct weir_json *step, struct weir_vocab_words *w)
{
	struct weir_vocab_step added = {0};
	bool each = false;
	int err = weir_json_optional_bool(step, "individual_digits", &each);

	return err ? err : add_step(step, each ? "\\p{N}" : "\\p{N}+", w, &added);
}

static int add_byte_level(const struct weir_json *step, struct weir_vocab_words *w)
{
	struct weir_vocab_step added = {0};
	bool prefix = true, regex = true;
	int err = weir_json_optional_bool(step, "add_prefix_space", &prefix);

	if (!err)
		err = weir_json_optional_bool(step, "use_regex", &regex);
	if (err)
		return err;
	if (prefix)
		return weir_json_fail(
			step, EOPNOTSUPP, "has add_prefix_space, a space before each word, which Weir does not know");
	return regex ? add_step(step, WEIR_REGEX_GPT2, w, &added) : 0;
}

static int read_words(const struct weir_json *root, struct weir_vocab_words *w)
{
	struct weir_json_steps steps;
	int err = weir_json_steps(root, "pre_tokenizer", "pretokenizers", &steps);
	bool bytes = false;

	for (size_t i = 0; i < steps.n && !err; i++) {
		struct weir_json step;
		const char *type;

		err = weir_json_step(&steps, i, &step, &type);
		if (err)
			break;
		/* Text is bytes' characters from then on, which the steps here would not find. */
		if (bytes)
			err = weir_json_fail(&step, EOPNOTSUPP, "is a step behind ByteLevel, which Weir does not take");
		else if (strcmp(type, "Split") == 0)
			err = add_split(&step, w);
		else if (strcmp(type, "Digits") == 0)
			err = add_digits(&step, w);
		else if (strcmp(type, "ByteLevel") == 0)
			err = add_byte_level(&step, w);
		else
			err = weir_json_step_unknown(&step, type);
		bytes = strcmp(type, "ByteLevel") == 0;
	}
	return err;
}

static int check_normalizer(const struct weir_json *root)
{
	struct weir_json_steps steps;
	int err = weir_json_steps(root, "normalizer", "normalizers", &steps);

	for (size_t i = 0; i < steps.n && !err; i++) {
		struct weir_json step;
		const char *type;

		err = weir_json_step(&steps, i, &step, &type);
		if (!err && strcmp(type, "NFC") != 0)
			err = weir_json_step_unknown(&step, type);
	}
	return err;
}

static int read_byte_level(const struct weir_json *root, bool whole, struct weir_vocab *v)
{
	const char *name;
	int err = check_normalizer(root);

	if (err)
		return err;
	v->words = calloc(1, sizeof(*v->words));
	if (!v->words)
		return weir_fail(ENOMEM, "no memory for a pre-tokenizer");
	v->words->whole = whole;
	err = read_words(root, v->words);
	name = err ? NULL : weir_pretokenizer_name(v->words);
	if (name)
		snprintf(v->pre, sizeof(v->pre), "%s", name);
	return err;
}

/* ---- byte fallback: spaces --------------------------------------------------------------------- */

/* What turns spaces into U+2581. */
struct spaces {
	bool prepend, replace, metaspace;
};

static int is_mark(const struct weir_json *step, const char *key)
{
	const char *text;
	int err = weir_json_string(step, key, &text);

	if (!err && strcmp(text, space_mark) != 0)
		return weir_json_fail(step, EOPNOTSUPP, "has a %s other than U+2581", key);
	return err;
}

static int read_replace(const struct weir_json *step)
{
	char *pattern;
	int err = read_pattern(step, &pattern);

	if (err)
		return err;
	if (strcmp(pattern, " ") != 0)
		err = weir_json_fail(step, EOPNOTSUPP, "replaces something else than spaces, which Weir does not do");
	free(pattern);
	return err ? err : is_mark(step, "content");
}

static int read_space_normalizer(const struct weir_json *root, struct spaces *s)
{
	struct weir_json_steps steps;
	int err = weir_json_steps(root, "normalizer", "normalizers", &steps);

	for (size_t i = 0; i < steps.n && !err; i++) {
		struct weir_json step;
		const char *type;

		err = weir_json_step(&steps, i, &step, &type);
		if (err)
			break;
		if (strcmp(type, "Prepend") == 0 && !s->prepend) {
			s->prepend = true;
			err = is_mark(&step, "prepend");
		} else if (strcmp(type, "Replace") == 0 && !s->replace) {
			s->replace = true;
			err = read_replace(&step);
		} else {
			err = weir_json_step_unknown(&step, type);
		}
	}
	return err;
}

static int read_scheme(const struct weir_json *step, struct weir_vocab *v)
{
	const char *scheme = "always";
	int err = 0;

	if (weir_json_has(step, "prepend_scheme")) {
		err = weir_json_string(step, "prepend_scheme", &scheme);
	} else {
		/* As files had it before there were schemes. */
		v->add_space_prefix = true;
		err = weir_json_optional_bool(step, "add_prefix_space", &v->add_space_prefix);
		scheme = v->add_space_prefix ? "always" : "never";
	}
	if (err)
		return err;
	v->add_space_prefix = strcmp(scheme, "never") != 0;
	v->prefix_first = strcmp(scheme, "first") == 0;
	v->prefix_spare = true;
	if (v->add_space_prefix && !v->prefix_first && strcmp(scheme, "always") != 0)
		return weir_json_fail(step, EOPNOTSUPP, "has a prepend_scheme that Weir does not know");
	return 0;
}

static int read_metaspace(const struct weir_json *step, struct weir_vocab *v)
{
	bool split = true;
	int err = is_mark(step, "replacement");

	if (!err)
		err = weir_json_optional_bool(step, "split", &split);
	if (!err && split)
		return weir_json_fail(step, EOPNOTSUPP, "is a Metaspace that splits words, which Weir does not do");
	return err ? err : read_scheme(step, v);
}

static int read_spaces(const struct weir_json *root, struct weir_vocab *v)
{
	struct weir_json_steps steps;
	struct spaces s = {0};
	struct weir_json step;
	const char *type;
	int err = read_space_normalizer(root, &s);

	v->add_space_prefix = s.prepend;
	if (!err)
		err = weir_json_steps(root, "pre_tokenizer", "pretokenizers", &steps);
	for (size_t i = 0; !err && i < steps.n; i++) {
		err = weir_json_step(&steps, i, &step, &type);
		if (err)
			break;
		if (strcmp(type, "Metaspace") != 0 || s.prepend || s.replace || s.metaspace)
			return weir_json_step_unknown(&step, type);
		s.metaspace = true;
		err = read_metaspace(&step, v);
	}
	if (!err && !s.replace && !s.metaspace)
		return weir_json_fail(root, EOPNOTSUPP, "has byte_fallback and nothing that turns spaces into U+2581");
	return err;
}

int weir_tokenizer_json_text(const struct weir_json *root, bool whole, struct weir_vocab *v)
{
	struct weir_json model;

	if (v->kind == WEIR_VOCAB_BPE)
		return read_byte_level(root, whole, v);
	if (!whole)
		return read_spaces(root, v);
	weir_json_object(root, "model", &model);
	return weir_json_fail(&model, EOPNOTSUPP, "has ignore_merges without ByteLevel, which Weir does not know");
}

/* ---- after the model --------------------------------------------------------------------------- */

/* The id that a template's special token has. */
static int template_id(const struct weir_json *step, const struct weir_json *piece, int32_t count, int32_t *out)
{
	struct weir_json special, tokens, token, ids, first;
	const char *name;
	uint32_t id;
	int err = weir_json_object(piece, "SpecialToken", &special);

	if (!err)
		err = weir_json_string(&special, "id", &name);
	if (!err)
		err = weir_json_object(step, "special_tokens", &tokens);
	if (!err)
		err = weir_json_object(&tokens, name, &token);
	if (!err)
		err = weir_json_array(&token, "ids", &ids);
	if (err)
		return err;
	if (weir_json_count(&ids) != 1)
		return weir_json_fail(&ids, EOPNOTSUPP, "has %zu tokens; Weir puts one before a text",
			weir_json_count(&ids));
	weir_json_at(&ids, 0, &first);
	err = weir_json_u32(&first, NULL, &id);
	if (!err && id >= (uint32_t)count)
		return weir_json_fail(&first, EINVAL, "is %u; the vocabulary has %d tokens", id, count);
	if (!err)
		*out = (int32_t)id;
	return err;
}

static int read_template(const struct weir_json *step, struct weir_vocab *v)
{
	struct weir_json single, piece;
	int err = weir_json_array(step, "single", &single);

	for (size_t i = 0; !err && i < weir_json_count(&single); i++) {
		weir_json_at(&single, i, &piece);
		if (weir_json_has(&piece, "Sequence"))
			return 0;
		if (v->add_bos)
			return weir_json_fail(
				&piece, EOPNOTSUPP, "is a second token before a text; Weir puts one there");
		err = template_id(step, &piece, v->count, &v->bos);
		v->add_bos = !err;
	}
	return err ? err : weir_json_fail(&single, EINVAL, "has no place for the text");
}

int weir_tokenizer_json_ends(const struct weir_json *root, struct weir_vocab *v, bool *says)
{
	struct weir_json_steps steps;
	int err = weir_json_steps(root, "post_processor", "processors", &steps);

	*says = steps.n > 0;
	for (size_t i = 0; i < steps.n && !err; i++) {
		struct weir_json step;
		const char *type;

		err = weir_json_step(&steps, i, &step, &type);
		if (err)
			break;
		/* ByteLevel changes offsets alone. */
		if (strcmp(type, "TemplateProcessing") == 0)
			err = read_template(&step, v);
		else if (strcmp(type, "ByteLevel") != 0)
			err = weir_json_step_unknown(&step, type);
	}
	return err;
}
