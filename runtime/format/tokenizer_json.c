/* SPDX-License-Identifier: MIT */
/* Fills a vocabulary from the files of a Hugging Face folder: tokenizer.json, and what stands beside it. */
#include "format/tokenizer_json.h"

#include "format/tokenize.h"
#include "format/utf8.h"

#include <unistd.h>

#define TOKENIZER_MAX ((size_t)256 << 20) /* bytes of tokenizer.json; the field's largest have 40 million */
#define CONFIG_MAX ((size_t)16 << 20)	  /* of the other files */
#define TEMPLATE_MAX ((size_t)1 << 20)

/* FOLDER/NAME; false: it does not fit. */
static bool join(char *path, size_t size, const char *folder, const char *name)
{
	int n = snprintf(path, size, "%s/%s", folder, name);

	return n > 0 && (size_t)n < size;
}

/* A file that may be absent: then out->value is NULL. path must outlive out. */
static int open_optional(const char *folder, const char *name, char *path, size_t size, struct weir_json *out)
{
	*out = (struct weir_json){.file = path};
	if (!join(path, size, folder, name))
		return weir_fail(ENAMETOOLONG, "%s: the folder's name is too long", folder);
	if (access(path, F_OK) != 0)
		return 0;
	return weir_json_open(path, CONFIG_MAX, out);
}

/* ---- tokenizer_config.json --------------------------------------------------------------------- */

/* A special token by its text, or by an object that has it. */
static int read_special(const struct weir_json *config, const char *key, const struct weir_vocab *v, int32_t *id)
{
	struct weir_json object;
	const char *text;
	int32_t found;
	int err;

	if (!weir_json_has(config, key))
		return 0;
	if (weir_json_object(config, key, &object) == 0)
		err = weir_json_string(&object, "content", &text);
	else
		err = weir_json_string(config, key, &text);
	if (err)
		return err;
	found = weir_vocab_find(v, text, strlen(text));
	if (found < 0)
		return weir_json_fail(config, EINVAL, "has a %s that is no token", key);
	*id = found;
	return 0;
}

/* The template named "default" in a list of {name, template}; NULL: none. */
static int default_template(const struct weir_json *list, const char **out)
{
	int err = 0;

	for (size_t i = 0; i < weir_json_count(list) && !err && !*out; i++) {
		struct weir_json each;
		const char *name;

		weir_json_at(list, i, &each);
		err = weir_json_string(&each, "name", &name);
		if (!err && strcmp(name, "default") == 0)
			err = weir_json_string(&each, "template", out);
	}
	return err;
}

static int read_chat_template(const struct weir_json *config, struct weir_vocab *v)
{
	struct weir_json list;
	const char *text = NULL;
	int err;

	if (v->chat_template || !weir_json_has(config, "chat_template"))
		return 0;
	if (weir_json_array(config, "chat_template", &list) == 0)
		err = default_template(&list, &text);
	else
		err = weir_json_string(config, "chat_template", &text);
	if (err || !text)
		return err;
	v->chat_template = strdup(text);
	return v->chat_template ? 0 : weir_fail(ENOMEM, "no memory for the chat template");
}

/* A template in a file of its own goes before tokenizer_config.json's. */
static int read_template_file(const char *folder, struct weir_vocab *v)
{
	char path[4096];
	size_t size;
	int err;

	if (!join(path, sizeof(path), folder, "chat_template.jinja") || access(path, F_OK) != 0)
		return 0;
	err = weir_file_read(path, TEMPLATE_MAX, &v->chat_template, &size);
	if (!err && strlen(v->chat_template) != size)
		return weir_fail(EINVAL, "cannot read %s: it has a zero byte", path);
	return err;
}

/* says: the post-processor decides whether bos is put before a text. */
static int read_config(const char *folder, bool says, struct weir_vocab *v)
{
	char path[4096];
	struct weir_json config;
	int32_t bos = v->bos;
	int err = open_optional(folder, "tokenizer_config.json", path, sizeof(path), &config);

	if (err || !config.value)
		return err;
	err = read_special(&config, "bos_token", v, &v->bos);
	if (!err)
		err = read_special(&config, "eos_token", v, &v->eos);
	if (!err && v->unk < 0)
		err = read_special(&config, "unk_token", v, &v->unk);
	if (!err && !says)
		err = weir_json_optional_bool(&config, "add_bos_token", &v->add_bos);
	if (!err)
		err = read_chat_template(&config, v);
	if (v->add_bos && bos >= 0)
		v->bos = bos;
	weir_json_close(&config);
	return err;
}

/* ---- the ids that end a text ------------------------------------------------------------------- */

/* One more token that ends a text: into the first of three places that is free; beyond those, a mark alone. */
static int add_end(const struct weir_json *id, struct weir_vocab *v)
{
	int32_t *const places[] = {&v->eos, &v->eot, &v->eom};
	uint32_t token;
	int err = weir_json_u32(id, NULL, &token);

	if (err)
		return err;
	if (token >= (uint32_t)v->count)
		return weir_json_fail(id, EINVAL, "is %u; the vocabulary has %d tokens", token, v->count);
	v->tokens[token].end = true;
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(places); i++) {
		if (*places[i] >= 0 && *places[i] != (int32_t)token)
			continue;
		*places[i] = (int32_t)token;
		break;
	}
	return 0;
}

/* eos_token_id: a number, or a list of them. */
static int read_ends(const struct weir_json *config, struct weir_vocab *v)
{
	struct weir_json value = {
		.file = config->file, .parent = config, .key = "eos_token_id", .value = NULL};
	int err = 0;

	json_object_object_get_ex(config->value, value.key, &value.value);
	if (!value.value)
		return 0;
	if (!json_object_is_type(value.value, json_type_array))
		return add_end(&value, v);
	for (size_t i = 0; i < weir_json_count(&value) && !err; i++) {
		struct weir_json each;

		weir_json_at(&value, i, &each);
		err = add_end(&each, v);
	}
	return err;
}

static int read_bos_id(const struct weir_json *config, struct weir_vocab *v)
{
	uint32_t id;
	int err;

	if (v->bos >= 0 || !weir_json_has(config, "bos_token_id"))
		return 0;
	err = weir_json_u32(config, "bos_token_id", &id);
	if (!err && id >= (uint32_t)v->count)
		return weir_json_fail(
			config, EINVAL, "has bos_token_id %u; the vocabulary has %d tokens", id, v->count);
	if (!err)
		v->bos = (int32_t)id;
	return err;
}

static int read_ids(const char *folder, struct weir_vocab *v)
{
	static const char *const files[] = {"generation_config.json", "config.json"};
	int err = 0;

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(files) && !err; i++) {
		char path[4096];
		struct weir_json config;

		err = open_optional(folder, files[i], path, sizeof(path), &config);
		if (err)
			break;
		if (config.value) {
			err = read_ends(&config, v);
			if (!err)
				err = read_bos_id(&config, v);
		}
		weir_json_close(&config);
	}
	return err;
}

/* ---- all of it --------------------------------------------------------------------------------- */

static int read_whole(const struct weir_json *root, bool *whole)
{
	struct weir_json model;
	int err = weir_json_object(root, "model", &model);

	return err ? err : weir_json_optional_bool(&model, "ignore_merges", whole);
}

static int read_vocab(const struct weir_json *root, const char *folder, struct weir_vocab *v)
{
	bool whole = false, says = false;
	int err = read_whole(root, &whole);

	if (!err)
		err = weir_tokenizer_json_text(root, whole, v);
	if (!err)
		err = weir_tokenizer_json_tokens(root, v);
	if (!err)
		err = weir_tokenizer_json_ends(root, v, &says);
	if (!err)
		err = read_template_file(folder, v);
	if (!err)
		err = read_config(folder, says, v);
	if (!err)
		err = read_ids(folder, v);
	if (err)
		return err;
	weir_vocab_settle(v);
	return weir_tokenizer_json_merges(root, v);
}

int weir_tokenizer_from_json(const char *folder, weir_tokenizer **out)
{
	enum weir_vocab_kind kind;
	struct weir_json root;
	struct weir_vocab v;
	char path[4096];
	int err;

	if (!join(path, sizeof(path), folder, "tokenizer.json"))
		return weir_fail(ENAMETOOLONG, "%s: the folder's name is too long", folder);
	if (access(path, F_OK) != 0)
		return weir_fail(ENOENT, "%s has no tokenizer.json: its model can run, but not on text", folder);
	err = weir_json_open(path, TOKENIZER_MAX, &root);
	if (err)
		return err;
	err = weir_tokenizer_json_kind(&root, &kind);
	if (!err) {
		weir_vocab_init(&v, kind);
		err = read_vocab(&root, folder, &v);
		if (err)
			weir_vocab_fini(&v);
		else if ((err = weir_tokenizer_create(&v, out)))
			weir_fail_in(err, "cannot read %s", path);
	}
	weir_json_close(&root);
	/* That would say that there is no vocabulary: something in it is missing. */
	return err == -ENOENT ? -EINVAL : err;
}
