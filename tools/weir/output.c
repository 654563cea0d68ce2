/* SPDX-License-Identifier: MIT */
/* Everything that goes to stdout: text, JSON, and what happens when it cannot be written. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static bool out_broken; /* said once */

static int out_fail(int err)
{
	/* A reader that has gone, as in `weir ... | head`, knows what it does. */
	if (!out_broken && err != EPIPE)
		say("cannot write to standard output%s%s", err ? ": " : "",
			err ? strerror(err) : "");
	out_broken = true;
	return 1;
}

int out_write(const char *text, size_t len)
{
	if (len && fwrite(text, 1, len, stdout) != len)
		return out_fail(errno);
	return 0;
}

int out_flush(void)
{
	return fflush(stdout) ? out_fail(errno) : 0;
}

int out_close(void)
{
	/* A write of printf's that failed earlier has left its mark on the stream; why is lost. */
	bool earlier = ferror(stdout);

	if (fclose(stdout))
		return out_fail(earlier ? 0 : errno);
	return earlier || out_broken ? out_fail(0) : 0;
}

/* Bytes of the UTF-8 character that text begins with; 0 if it is none. */
static size_t utf8_char(const char *text, size_t len)
{
	const unsigned char *b = (const unsigned char *)text;
	size_t n = b[0] < 0x80 ? 1 : b[0] < 0xc2 ? 0 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;

	if (b[0] > 0xf4 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((b[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Overlong forms, surrogates, and what is past U+10FFFF. */
	if ((b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f) ||
		(b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f))
		return 0;
	return n;
}

void out_escaped(const char *text, size_t len)
{
	for (size_t i = 0, n; i < len; i += n ? n : 1) {
		unsigned char c = (unsigned char)text[i];

		n = utf8_char(text + i, len - i);
		/* C2 80 to C2 9F are control characters too. */
		if (n > 1 && !(c == 0xc2 && (unsigned char)text[i + 1] < 0xa0))
			fwrite(text + i, 1, n, stdout);
		else if (n > 1)
			printf("\\x%02x\\x%02x", c, (unsigned char)text[i + 1]);
		else if (c == '\n')
			fputs("\\n", stdout);
		else if (c == '\t')
			fputs("\\t", stdout);
		else if (c == '\\')
			fputs("\\\\", stdout);
		else if (!n || c < ' ' || c == 127)
			printf("\\x%02x", c);
		else
			putchar(c);
	}
}

static int print_json(struct json_object *object, int flags)
{
	size_t len = 0;
	const char *text = json_object_to_json_string_length(object, flags, &len);
	int status = text ? out_write(text, len) || out_write("\n", 1) : fail("out of memory");

	json_object_put(object);
	return status;
}

int out_json(struct json_object *object)
{
	return print_json(object,
		JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
}

int out_json_line(struct json_object *object)
{
	return print_json(object, JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
}

struct json_object *json_text(const char *text, size_t len)
{
	/* Each byte becomes at most the three of U+FFFD. */
	char *clean = len < INT32_MAX / 3 ? malloc(3 * len + 1) : NULL;
	struct json_object *string;
	size_t size = 0;

	if (!clean)
		return NULL;
	for (size_t i = 0, n; i < len; i += n ? n : 1) {
		n = utf8_char(text + i, len - i);
		memcpy(clean + size, n ? text + i : "\xef\xbf\xbd", n ? n : 3);
		size += n ? n : 3;
	}
	string = json_object_new_string_len(clean, (int)size);
	free(clean);
	return string;
}

void json_put(struct json_object *object, const char *key, struct json_object *value)
{
	json_object_object_add(object, key, value);
}

void json_put_text(struct json_object *object, const char *key, const char *text)
{
	json_put(object, key, json_text(text, strlen(text)));
}

void json_put_int(struct json_object *object, const char *key, uint64_t value)
{
	json_put(object, key, json_object_new_uint64(value));
}

void json_put_real(struct json_object *object, const char *key, double value)
{
	json_put(object, key, json_object_new_double(value));
}

const char *format_bytes(uint64_t bytes, char *out, size_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	size_t unit = 0;

	for (; value >= 1024; value /= 1024)
		unit++;
	snprintf(out, size, unit ? "%.2f %s" : "%.0f %s", value, units[unit]);
	return out;
}

const char *format_count(uint64_t count, char *out, size_t size)
{
	static const char *const units[] = {"", " K", " M", " B", " T", " Q", " E"};
	double value = (double)count;
	size_t unit = 0;

	for (; value >= 1000 && unit < 6; value /= 1000)
		unit++;
	snprintf(out, size, unit ? "%.2f%s" : "%.0f%s", value, units[unit]);
	return out;
}
