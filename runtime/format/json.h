/* SPDX-License-Identifier: MIT */
/*
 * JSON files, read strictly (RFC 8259) into json-c's objects, and typed look-ups whose sentences name the file and
 * the key. json-c's own reader keeps the last of two equal keys and takes text that is no JSON: it is not used.
 */
#ifndef WEIR_FORMAT_JSON_H
#define WEIR_FORMAT_JSON_H

#include <json-c/json.h>

#include "base/base.h"

#define WEIR_JSON_DEPTH 64 /* objects and arrays in each other */

/* A value and where it stands: a file's root, or a member found in another one, which must stay until then. */
struct weir_json {
	struct json_object *value; /* borrowed from the root's; NULL is JSON's null */
	const char *file;	   /* for sentences; the caller's, at the root */
	const struct weir_json *parent; /* NULL: the root */
	const char *key;	   /* in the parent, an object; NULL: an array, */
	size_t index;		   /* and its place there */
};

/*
 * Reads a file of at most max bytes, or size bytes of text (not terminated) that stand in it. Refused: what is not
 * one JSON value from end to end, invalid UTF-8, an object with one key twice, a key with a zero byte, numbers past a
 * double, more depth than WEIR_JSON_DEPTH, and more values than some hundred megabytes hold. 0, or -errno and a
 * sentence that names the file, the line and the key. path and file must stay as long as out.
 */
int weir_json_open(const char *path, size_t max, struct weir_json *out);
int weir_json_parse(const char *file, const char *text, size_t size, struct weir_json *out);
void weir_json_close(struct weir_json *root); /* takes a root that was never opened: all zero */

/* The member key of an object, for what is said of it; its value is NULL where the object has no such key. */
void weir_json_member(const struct weir_json *object, const char *key, struct weir_json *out);

/* Whether the object has the key, with a value that is not null. */
bool weir_json_has(const struct weir_json *object, const char *key);

/*
 * The member key of an object; with key NULL, the value in itself. 0; -ENOENT when the key is absent or null, and
 * -EINVAL when its value is of another type or out of range, each with a sentence. On an error out is as it was.
 */
int weir_json_object(const struct weir_json *in, const char *key, struct weir_json *out);
int weir_json_array(const struct weir_json *in, const char *key, struct weir_json *out);
int weir_json_string(const struct weir_json *in, const char *key, const char **out); /* without zero bytes */
int weir_json_bytes(const struct weir_json *in, const char *key, struct weir_str *out); /* any string */
int weir_json_u32(const struct weir_json *in, const char *key, uint32_t *out);
int weir_json_u64(const struct weir_json *in, const char *key, uint64_t *out);
int weir_json_double(const struct weir_json *in, const char *key, double *out); /* integers too; finite */
int weir_json_bool(const struct weir_json *in, const char *key, bool *out);

/* Elements of an array; i < weir_json_count. */
size_t weir_json_count(const struct weir_json *array);
void weir_json_at(const struct weir_json *array, size_t i, struct weir_json *out);

/*
 * Members of an object in the file's order; *at starts as NULL. False after the last. member->key is its key.
 *     const void *at = NULL; struct weir_json member;
 *     while (weir_json_next(&object, &at, &member)) ...
 */
bool weir_json_next(const struct weir_json *object, const void **at, struct weir_json *member);

/* Sets a sentence "cannot read FILE: KEY.PATH TEXT" and returns -err: for what a value may not be. */
int weir_json_fail(const struct weir_json *value, int err, const char *fmt, ...) WEIR_PRINTF(3, 4);

#endif
