/* SPDX-License-Identifier: MIT */
/* Reads JSON text (RFC 8259) into json-c's objects, and refuses all else by line. */
#include "format/json.h"

#include <locale.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "format/utf8.h"

/*
 * What values may cost together: three bytes of text ("{},") become some 700 in an object, so text alone is no bound.
 * A unit is about 64 bytes. The largest vocabularies, of 256k tokens and 600k merges, take a tenth.
 */
#define MAX_COST (UINT64_C(1) << 23)
#define COST_OBJECT 12
#define COST_ARRAY 3

#define MAX_NUMBER 512 /* characters of one number */

struct parser {
	const char *file, *begin, *at, *end;
	char *text; /* of the string that was read last, without its escapes */
	size_t len, room;
	locale_t locale; /* a decimal point is a point */
	uint64_t cost;
};

static int fail(const struct parser *p, int err, const char *fmt, ...) WEIR_PRINTF(3, 4);
static int fail(const struct parser *p, int err, const char *fmt, ...)
{
	size_t line = 1;
	char text[256];
	va_list args;

	for (const char *c = p->begin; c < p->at; c++)
		line += *c == '\n';
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	weir_utf8_clean(text);
	return weir_fail(err, "cannot read %s: line %zu: %s", p->file, line, text);
}

static int no_memory(const struct parser *p)
{
	return weir_fail(ENOMEM, "cannot read %s: no memory for its values", p->file);
}

static void skip_space(struct parser *p)
{
	while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t'))
		p->at++;
}

/* The next character that is not space; 0 at the end, which no character outside strings is. */
static char peek(struct parser *p)
{
	skip_space(p);
	return p->at < p->end ? *p->at : '\0';
}

static bool take(struct parser *p, char c)
{
	if (peek(p) != c)
		return false;
	p->at++;
	return true;
}

static int spend(struct parser *p, uint64_t cost)
{
	p->cost += cost;
	return p->cost <= MAX_COST ? 0 : fail(p, EFBIG, "it has more values than Weir reads");
}

/* ---- strings --------------------------------------------------------------------------------- */

static int append(struct parser *p, const char *bytes, size_t n)
{
	if (n >= p->room - p->len) {
		size_t room = WEIR_MAX(2 * p->room, p->len + n + 1);
		char *more = realloc(p->text, room);

		if (!more)
			return no_memory(p);
		p->text = more;
		p->room = room;
	}
	memcpy(p->text + p->len, bytes, n);
	p->len += n;
	p->text[p->len] = '\0';
	return 0;
}

/* Four hexadecimal digits behind \u. */
static int read_hex(struct parser *p, uint32_t *out)
{
	*out = 0;
	for (int i = 0; i < 4; i++, p->at++) {
		const char c = p->at < p->end ? *p->at : '\0';
		const char *digits = "0123456789abcdef";
		const char *digit = c ? strchr(digits, c | 0x20) : NULL;

		/* With 0x20 set, characters below it would look like digits. */
		if (!digit || c < '0')
			return fail(p, EINVAL, "\\u takes four hexadecimal digits");
		*out = *out << 4 | (uint32_t)(digit - digits);
	}
	return 0;
}

/* The character after \u: one unit of UTF-16, or two. */
static int read_unicode(struct parser *p)
{
	uint32_t c, low;
	char utf8[4];
	int err = read_hex(p, &c);

	if (err)
		return err;
	if (c >= 0xd800 && c < 0xdc00 && p->end - p->at >= 2 && p->at[0] == '\\' && p->at[1] == 'u') {
		p->at += 2;
		err = read_hex(p, &low);
		if (err)
			return err;
		if (low < 0xdc00 || low > 0xdfff)
			return fail(p, EINVAL, "half a character: \\u%04x", c);
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	if (c >= 0xd800 && c <= 0xdfff)
		return fail(p, EINVAL, "half a character: \\u%04x", c);
	return append(p, utf8, weir_utf8_encode(c, utf8));
}

static int read_escape(struct parser *p)
{
	static const char names[] = "\"\\/bfnrt", chars[] = "\"\\/\b\f\n\r\t";
	const char c = ++p->at < p->end ? *p->at : '\0';
	const char *name = c ? strchr(names, c) : NULL;

	if (c == 'u') {
		p->at++;
		return read_unicode(p);
	}
	if (!name)
		return fail(p, EINVAL, "a backslash before what needs none");
	p->at++;
	return append(p, &chars[name - names], 1);
}

/* Plain characters up to a quote, a backslash or what is wrong. */
static int read_plain(struct parser *p)
{
	const char *from = p->at;

	while (p->at < p->end && *p->at != '"' && *p->at != '\\') {
		const unsigned char c = (unsigned char)*p->at;
		size_t len = 1;
		uint32_t decoded;

		if (c < ' ')
			return fail(p, EINVAL, "a control character (%u) in a string", c);
		if (c >= 0x80)
			len = weir_utf8_decode(p->at, (size_t)(p->end - p->at), &decoded);
		if (!len)
			return fail(p, EINVAL, "invalid UTF-8");
		p->at += len;
	}
	return append(p, from, (size_t)(p->at - from));
}

/* A string into p->text; its quote is next. */
static int read_string(struct parser *p)
{
	int err = 0;

	p->len = 0;
	for (p->at++; !err;) {
		err = read_plain(p);
		if (err)
			break;
		if (p->at == p->end)
			return fail(p, EINVAL, "the text ends inside a string");
		if (*p->at == '"') {
			p->at++;
			break;
		}
		err = read_escape(p);
	}
	return err;
}

/* ---- values ---------------------------------------------------------------------------------- */

static size_t digits(struct parser *p)
{
	const char *from = p->at;

	while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
		p->at++;
	return (size_t)(p->at - from);
}

/* Passes one number; *integer: it has neither a fraction nor an exponent. False: it is none. */
static bool scan_number(struct parser *p, bool *integer)
{
	const char *first;
	size_t n;

	*integer = true;
	p->at += *p->at == '-';
	first = p->at;
	n = digits(p);
	if (!n || (n > 1 && *first == '0'))
		return false;
	if (p->at < p->end && *p->at == '.') {
		*integer = false;
		p->at++;
		if (!digits(p))
			return false;
	}
	if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
		*integer = false;
		p->at++;
		p->at += p->at < p->end && (*p->at == '+' || *p->at == '-');
		return digits(p) > 0;
	}
	return true;
}

/* Integers past 64 bits become doubles: tokenizers write 10^30 for "no limit". */
static int read_number(struct parser *p, struct json_object **out)
{
	char text[MAX_NUMBER + 1];
	const char *from = p->at;
	bool integer;
	double value;
	size_t n;

	if (!scan_number(p, &integer))
		return fail(p, EINVAL, "a number is not as JSON writes it");
	n = (size_t)(p->at - from);
	if (n > MAX_NUMBER)
		return fail(p, EINVAL, "a number of %zu characters", n);
	memcpy(text, from, n);
	text[n] = '\0';
	errno = 0;
	if (integer && *text == '-')
		*out = json_object_new_int64(strtoll(text, NULL, 10));
	else if (integer)
		*out = json_object_new_uint64(strtoull(text, NULL, 10));
	if (integer && !errno)
		return *out ? 0 : no_memory(p);
	json_object_put(*out);
	value = strtod_l(text, NULL, p->locale);
	if (!__builtin_isfinite(value))
		return fail(p, EINVAL, "a number past what a double holds");
	*out = json_object_new_double_s(value, text); /* written again, it stays as it was */
	return *out ? 0 : no_memory(p);
}

static int read_word(struct parser *p, struct json_object **out)
{
	static const char *const words[] = {"null", "true", "false"};

	for (unsigned i = 0; i < WEIR_ARRAY_SIZE(words); i++) {
		const size_t n = strlen(words[i]);

		if ((size_t)(p->end - p->at) < n || memcmp(p->at, words[i], n))
			continue;
		p->at += n;
		*out = i ? json_object_new_boolean(i == 1) : NULL;
		return i && !*out ? no_memory(p) : 0;
	}
	return fail(p, EINVAL, p->at < p->end ? "what stands here is no value" : "the text ends where a value is due");
}

static int read_value(struct parser *p, unsigned depth, struct json_object **out);

static int read_array(struct parser *p, unsigned depth, struct json_object *array)
{
	struct json_object *value;
	int err;

	p->at++;
	if (take(p, ']'))
		return 0;
	do {
		err = read_value(p, depth, &value);
		if (err)
			return err;
		if (json_object_array_add(array, value)) {
			json_object_put(value);
			return no_memory(p);
		}
	} while (take(p, ','));
	return take(p, ']') ? 0 : fail(p, EINVAL, "an array goes on without a comma");
}

/* The key of a member and its colon; *key is malloced. */
static int read_key(struct parser *p, struct json_object *object, char **key)
{
	int err;

	if (peek(p) != '"')
		return fail(p, EINVAL, "a key in quotes is due");
	err = read_string(p);
	if (err)
		return err;
	if (strlen(p->text) != p->len)
		return fail(p, EINVAL, "a key with a zero byte");
	if (json_object_object_get_ex(object, p->text, NULL))
		return fail(p, EINVAL, "the key %.64s is there twice", p->text);
	if (!take(p, ':'))
		return fail(p, EINVAL, "the key %.64s has no colon behind it", p->text);
	*key = strdup(p->text);
	return *key ? 0 : no_memory(p);
}

static int read_object(struct parser *p, unsigned depth, struct json_object *object)
{
	struct json_object *value;
	char *key = NULL;
	int err;

	p->at++;
	if (take(p, '}'))
		return 0;
	do {
		err = read_key(p, object, &key);
		if (err)
			return err;
		err = read_value(p, depth, &value);
		if (!err && json_object_object_add_ex(object, key, value, JSON_C_OBJECT_ADD_KEY_IS_NEW)) {
			json_object_put(value);
			err = no_memory(p);
		}
		free(key);
		if (err)
			return err;
	} while (take(p, ','));
	return take(p, '}') ? 0 : fail(p, EINVAL, "an object goes on without a comma");
}

/* An object or an array, whose bracket is next. */
static int read_nest(struct parser *p, unsigned depth, struct json_object **out)
{
	const bool array = *p->at == '[';
	int err;

	if (depth == WEIR_JSON_DEPTH)
		return fail(p, EINVAL, "more than %d objects and arrays in each other", WEIR_JSON_DEPTH);
	err = spend(p, array ? COST_ARRAY : COST_OBJECT);
	if (err)
		return err;
	*out = array ? json_object_new_array_ext(2) : json_object_new_object();
	if (!*out)
		return no_memory(p);
	err = array ? read_array(p, depth + 1, *out) : read_object(p, depth + 1, *out);
	if (err) {
		json_object_put(*out);
		*out = NULL;
	}
	return err;
}

static int read_value(struct parser *p, unsigned depth, struct json_object **out)
{
	const char c = peek(p);
	int err = spend(p, 1);

	*out = NULL;
	if (err)
		return err;
	if (c == '{' || c == '[')
		return read_nest(p, depth, out);
	if (c == '-' || (c >= '0' && c <= '9'))
		return read_number(p, out);
	if (c != '"')
		return read_word(p, out);
	err = read_string(p);
	if (err)
		return err;
	*out = json_object_new_string_len(p->text, (int)p->len);
	return *out ? 0 : no_memory(p);
}

/* ---- whole texts ----------------------------------------------------------------------------- */

int weir_json_parse(const char *file, const char *text, size_t size, struct weir_json *out)
{
	struct parser p = {.file = file, .begin = text, .at = text, .end = text + size};
	int err;

	*out = (struct weir_json){.file = file};
	if (size > INT32_MAX) /* json-c's lengths */
		return weir_fail(EFBIG, "cannot read %s: JSON of %zu bytes", file, size);
	p.locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
	if (!p.locale)
		return no_memory(&p);
	err = append(&p, "", 0); /* so that the empty string has a place */
	if (!err)
		err = read_value(&p, 0, &out->value);
	skip_space(&p);
	if (!err && p.at != p.end) {
		err = fail(&p, EINVAL, "something stands behind the value");
		weir_json_close(out);
	}
	free(p.text);
	freelocale(p.locale);
	return err;
}

int weir_json_open(const char *path, size_t max, struct weir_json *out)
{
	const void *data;
	size_t size;
	int err = weir_file_map(path, &data, &size);

	*out = (struct weir_json){.file = path};
	if (err)
		return weir_fail_in(err, "cannot read %s", path);
	if (size > max)
		err = weir_fail(EFBIG, "cannot read %s: it has %zu bytes, more than %zu", path, size, max);
	else
		err = weir_json_parse(path, data ? data : "", size, out);
	if (data)
		munmap((void *)data, size);
	return err;
}

void weir_json_close(struct weir_json *root)
{
	json_object_put(root->value);
	root->value = NULL;
}
