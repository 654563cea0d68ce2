/* SPDX-License-Identifier: MIT */
/* Lists what config.json of a folder says, and its tensors. */
#include "format/file_folder.h"

#define MAX_CONFIG (16 << 20)

static int add_key(struct weir_folder *f, const char *name, struct json_object *value)
{
	struct weir_folder_key *more = f->keys;

	if (!(f->n_keys & (f->n_keys - 1))) /* room for a power of two */
		more = reallocarray(f->keys, f->n_keys ? 2 * f->n_keys : 1, sizeof(*more));
	if (!more)
		return weir_fail(ENOMEM, "cannot read %s: no memory for its keys", f->config_path);
	f->keys = more;
	snprintf(more[f->n_keys].name, sizeof(more->name), "%s", name);
	more[f->n_keys++].value = value;
	return 0;
}

static int add_keys(struct weir_folder *f, const char *prefix, const struct weir_json *object)
{
	struct weir_json member;
	const void *at = NULL;
	int err = 0;

	while (!err && weir_json_next(object, &at, &member)) {
		char name[128];

		snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix ? "." : "", member.key);
		if (json_object_is_type(member.value, json_type_object))
			err = add_keys(f, name, &member);
		else
			err = add_key(f, name, member.value);
	}
	return err;
}

static int list(struct weir_folder *f)
{
	struct weir_json object;
	int err = weir_json_open(f->config_path, MAX_CONFIG, &f->config);

	/* Tensors alone are worth a list too. */
	if (err != -ENOENT) {
		if (!err)
			err = weir_json_object(&f->config, NULL, &object);
		if (!err)
			err = add_keys(f, "", &object);
		if (err)
			return err;
	}
	return weir_safetensors_open(f->path, &f->tensors);
}

int weir_folder_list(const char *path, struct weir_folder **out)
{
	struct weir_folder *f = calloc(1, sizeof(*f));
	int err;

	*out = f;
	if (!f || !(f->path = strdup(path)) || asprintf(&f->config_path, "%s/config.json", path) < 0) {
		if (f)
			f->config_path = NULL;
		err = weir_fail(ENOMEM, "cannot read %s: no memory", path);
	} else {
		err = list(f);
	}
	return err;
}

void weir_folder_unlist(struct weir_folder *f)
{
	if (!f)
		return;
	weir_safetensors_close(f->tensors);
	weir_json_close(&f->config);
	free(f->keys);
	free(f->config_path);
	free(f->path);
	free(f);
}

static const char *type_name(const struct json_object *value)
{
	switch (json_object_get_type(value)) {
	case json_type_boolean:
		return "bool";
	case json_type_double:
		return "f64";
	case json_type_int:
		return "i64";
	case json_type_array:
		return "array";
	case json_type_string:
		return "string";
	default:
		return "null";
	}
}

int weir_folder_meta(const struct weir_folder *f, size_t i, char *key, size_t key_size, const char **type, char *value,
	size_t value_size)
{
	struct json_object *v;

	if (i >= f->n_keys)
		return weir_fail(ERANGE, "%s has %zu keys, no number %zu", f->config_path, f->n_keys, i);
	v = f->keys[i].value;
	snprintf(key, key_size, "%s", f->keys[i].name);
	*type = type_name(v);
	snprintf(value, value_size, "%s",
		json_object_is_type(v, json_type_string)
			? json_object_get_string(v)
			: json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN));
	return 0;
}
