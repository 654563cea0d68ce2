/* SPDX-License-Identifier: MIT */
/* Typed look-ups in JSON values. */
#include "format/json.h"

#include <inttypes.h>
#include <stdarg.h>

#include "format/utf8.h"

/* "quantization_config.modules[3]", as far as it fits. Returns its length. */
static size_t write_path(const struct weir_json *v, char *text, size_t size)
{
	size_t len;
	int n;

	if (!v->parent)
		return 0;
	len = write_path(v->parent, text, size);
	if (v->key)
		n = snprintf(text + len, size - len, "%s%.64s", len ? "." : "", v->key);
	else
		n = snprintf(text + len, size - len, "[%zu]", v->index);
	return WEIR_MIN(len + (size_t)WEIR_MAX(n, 0), size - 1);
}

int weir_json_fail(const struct weir_json *v, int err, const char *fmt, ...)
{
	char path[256] = "", text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	write_path(v, path, sizeof(path));
	weir_utf8_clean(path);
	return weir_fail(err, "cannot read %s: %s %s", v->file, *path ? path : "it", text);
}

static const char *type_name(const struct json_object *value)
{
	switch (json_object_get_type(value)) {
	case json_type_null:
		return "null";
	case json_type_boolean:
		return "a boolean";
	case json_type_double:
		return "a number with a fraction";
	case json_type_int:
		return "an integer";
	case json_type_object:
		return "an object";
	case json_type_array:
		return "an array";
	case json_type_string:
		return "a string";
	}
	return "of no known type";
}

static int wrong_type(const struct weir_json *v, const char *want)
{
	return weir_json_fail(v, EINVAL, "is %s, not %s", type_name(v->value), want);
}

static bool find(const struct weir_json *in, const char *key, struct json_object **out)
{
	*out = NULL;
	return json_object_is_type(in->value, json_type_object) &&
	       json_object_object_get_ex(in->value, key, out) && *out;
}

bool weir_json_has(const struct weir_json *object, const char *key)
{
	struct json_object *value;

	return find(object, key, &value);
}

void weir_json_member(const struct weir_json *object, const char *key, struct weir_json *out)
{
	*out = (struct weir_json){.file = object->file, .parent = object, .key = key};
	find(object, key, &out->value);
}

/* The member, of whatever type; with no key the value in itself. */
static int look_up(const struct weir_json *in, const char *key, struct weir_json *out)
{
	if (!key) {
		*out = *in;
		return 0;
	}
	weir_json_member(in, key, out);
	if (in->value && !json_object_is_type(in->value, json_type_object))
		return wrong_type(in, "an object");
	if (!out->value)
		return weir_json_fail(out, ENOENT, "is missing");
	return 0;
}

static int look_up_type(const struct weir_json *in, const char *key, enum json_type type, const char *want,
	struct weir_json *out)
{
	int err = look_up(in, key, out);

	if (!err && !json_object_is_type(out->value, type))
		return wrong_type(out, want);
	return err;
}

int weir_json_object(const struct weir_json *in, const char *key, struct weir_json *out)
{
	struct weir_json v;
	int err = look_up_type(in, key, json_type_object, "an object", &v);

	if (!err)
		*out = v;
	return err;
}

int weir_json_array(const struct weir_json *in, const char *key, struct weir_json *out)
{
	struct weir_json v;
	int err = look_up_type(in, key, json_type_array, "an array", &v);

	if (!err)
		*out = v;
	return err;
}

int weir_json_bytes(const struct weir_json *in, const char *key, struct weir_str *out)
{
	struct weir_json v;
	int err = look_up_type(in, key, json_type_string, "a string", &v);

	if (err)
		return err;
	out->ptr = json_object_get_string(v.value);
	out->len = (size_t)json_object_get_string_len(v.value);
	return 0;
}

int weir_json_string(const struct weir_json *in, const char *key, const char **out)
{
	struct weir_json v;
	struct weir_str s;
	int err = weir_json_bytes(in, key, &s);

	if (err)
		return err;
	if (strlen(s.ptr) != s.len) {
		look_up(in, key, &v);
		return weir_json_fail(&v, EINVAL, "has a zero byte");
	}
	*out = s.ptr;
	return 0;
}

static int read_unsigned(const struct weir_json *in, const char *key, uint64_t max, uint64_t *out)
{
	struct weir_json v;
	uint64_t value;
	int err = look_up_type(in, key, json_type_int, "an integer", &v);

	if (err)
		return err;
	/* Negative only below zero in the signed reading too: past INT64_MAX that one saturates. */
	if (json_object_get_int64(v.value) < 0)
		return weir_json_fail(&v, EINVAL, "is negative");
	value = json_object_get_uint64(v.value);
	if (value > max)
		return weir_json_fail(&v, EINVAL, "is %" PRIu64 ", more than %" PRIu64, value, max);
	*out = value;
	return 0;
}

int weir_json_u64(const struct weir_json *in, const char *key, uint64_t *out)
{
	return read_unsigned(in, key, UINT64_MAX, out);
}

int weir_json_u32(const struct weir_json *in, const char *key, uint32_t *out)
{
	uint64_t value = 0;
	int err = read_unsigned(in, key, UINT32_MAX, &value);

	if (!err)
		*out = (uint32_t)value;
	return err;
}

int weir_json_double(const struct weir_json *in, const char *key, double *out)
{
	struct weir_json v;
	int err = look_up(in, key, &v);

	if (err)
		return err;
	if (!json_object_is_type(v.value, json_type_double) && !json_object_is_type(v.value, json_type_int))
		return wrong_type(&v, "a number");
	*out = json_object_get_double(v.value);
	return 0;
}

int weir_json_bool(const struct weir_json *in, const char *key, bool *out)
{
	struct weir_json v;
	int err = look_up_type(in, key, json_type_boolean, "a boolean", &v);

	if (!err)
		*out = json_object_get_boolean(v.value);
	return err;
}

size_t weir_json_count(const struct weir_json *array)
{
	return json_object_array_length(array->value);
}

void weir_json_at(const struct weir_json *array, size_t i, struct weir_json *out)
{
	*out = (struct weir_json){
		.value = json_object_array_get_idx(array->value, i),
		.file = array->file,
		.parent = array,
		.index = i,
	};
}

bool weir_json_next(const struct weir_json *object, const void **at, struct weir_json *member)
{
	const struct lh_entry *e =
		*at ? lh_entry_next((const struct lh_entry *)*at) : json_object_get_object(object->value)->head;

	if (!e)
		return false;
	*at = e;
	*member = (struct weir_json){
		.value = lh_entry_v(e),
		.file = object->file,
		.parent = object,
		.key = lh_entry_k(e),
	};
	return true;
}
