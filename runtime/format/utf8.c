/* SPDX-License-Identifier: MIT */
/* Reads and writes UTF-8 and finds where its characters end. */
#include "format/utf8.h"

#include "base/base.h"
#include "weir/llm.h"

/* Bytes that a character with this first byte has; 0 for a byte that starts none. */
static unsigned utf8_length(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first < 0xc2)
		return 0;
	if (first < 0xe0)
		return 2;
	if (first < 0xf0)
		return 3;
	return first < 0xf5 ? 4 : 0;
}

/* Whether byte i (1 to 3) can follow the first one. The second byte's range keeps out overlong
 * forms and surrogates. */
static bool utf8_follows(unsigned char first, unsigned i, unsigned char byte)
{
	unsigned char low = 0x80, high = 0xbf;

	if (i == 1) {
		if (first == 0xe0)
			low = 0xa0;
		else if (first == 0xed)
			high = 0x9f;
		else if (first == 0xf0)
			low = 0x90;
		else if (first == 0xf4)
			high = 0x8f;
	}
	return byte >= low && byte <= high;
}

/* How many bytes at s can be one character's, and how many it needs; have 0: s starts none. */
static unsigned utf8_scan(const char *s, size_t n, unsigned *need)
{
	const unsigned char *b = (const unsigned char *)s;
	unsigned have = 1;

	*need = utf8_length(b[0]);
	if (*need == 0)
		return 0;
	while (have < *need && have < n) {
		if (!utf8_follows(b[0], have, b[have]))
			return 0;
		have++;
	}
	return have;
}

size_t weir_utf8_decode(const char *s, size_t n, uint32_t *character)
{
	static const unsigned char first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	unsigned need, have = utf8_scan(s, n, &need);

	if (have == 0 || have < need)
		return 0;
	*character = (unsigned char)s[0] & first_bits[need];
	for (unsigned i = 1; i < need; i++)
		*character = *character << 6 | ((unsigned char)s[i] & 0x3f);
	return need;
}

size_t weir_utf8_encode(uint32_t character, char out[4])
{
	if (character < 0x80) {
		out[0] = (char)character;
		return 1;
	}
	if (character < 0x800) {
		out[0] = (char)(0xc0 | character >> 6);
		out[1] = (char)(0x80 | (character & 0x3f));
		return 2;
	}
	if (character < 0x10000) {
		out[0] = (char)(0xe0 | character >> 12);
		out[1] = (char)(0x80 | (character >> 6 & 0x3f));
		out[2] = (char)(0x80 | (character & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | character >> 18);
	out[1] = (char)(0x80 | (character >> 12 & 0x3f));
	out[2] = (char)(0x80 | (character >> 6 & 0x3f));
	out[3] = (char)(0x80 | (character & 0x3f));
	return 4;
}

size_t weir_utf8_run(const char *s, size_t n, bool *valid)
{
	uint32_t character;
	size_t at = weir_utf8_decode(s, n, &character);

	*valid = at > 0;
	if (at == 0)
		at = 1;
	while (at < n) {
		size_t length = weir_utf8_decode(s + at, n - at, &character);

		if ((length > 0) != *valid)
			break;
		at += length ? length : 1;
	}
	return at;
}

size_t weir_utf8_whole(const char *text, size_t len)
{
	/* Only the last character can be cut off, and its first byte is at most three from the end.
	 */
	for (size_t back = 1; back <= 3 && back <= len; back++) {
		unsigned need, have = utf8_scan(text + len - back, back, &need);

		if (have == back && have < need)
			return len - back;
	}
	return len;
}

size_t weir_utf8_printable(const char *s, size_t n)
{
	uint32_t c = 0;
	const size_t len = weir_utf8_decode(s, n, &c);

	/* Control characters are U+0000 to U+001F and U+007F to U+009F. */
	return c < 0x20 || (c >= 0x7f && c < 0xa0) ? 0 : len;
}

bool weir_utf8_is_clean(const char *s, size_t n)
{
	size_t len = 1;

	for (size_t i = 0; i < n && len; i += len)
		len = weir_utf8_printable(s + i, n - i);
	return len > 0;
}

void weir_utf8_clean(char *text)
{
	size_t len;

	for (size_t left = strlen(text); left; text += len, left -= len) {
		len = weir_utf8_printable(text, left);
		if (!len) {
			*text = '?';
			len = 1;
		}
	}
}
