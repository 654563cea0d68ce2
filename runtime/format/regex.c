/* SPDX-License-Identifier: MIT */
/*
 * Expressions of Oniguruma's Ruby syntax, which Hugging Face's tokenizers run, in PCRE2's. The two mostly agree; what
 * means something else there, or nothing, is refused.
 */
#include "format/tokenize.h"

#include "base/base.h"
#include "format/utf8.h"

#include <ctype.h>

#define REGEX_MAX 4096 /* bytes; the longest in the field's files have about 500 */

/*
 * Unicode's White_Space as the inside of a class: PCRE2's own \s also takes U+180E, which Unicode
 * took away in 6.3.
 */
#define SPACES                                                                                     \
	"\\x{09}-\\x{0d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}"                         \
	"\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

struct scan {
	const char *at;
	const char *members; /* of the class that at stands in; NULL: in none */
	FILE *out;
};

static int refuse(const char *what, const char *at)
{
	char text[24];

	snprintf(text, sizeof(text), "%s", at);
	weir_utf8_clean(text);
	return weir_fail(EOPNOTSUPP, "the regular expression has %s at \"%s\", which Weir does not know", what, text);
}

static int copy(struct scan *s, size_t n)
{
	fwrite(s->at, 1, n, s->out);
	s->at += n;
	return 0;
}

/* A class as an end of a range: each library reads it its own way. next: behind the class. */
static bool in_range(const struct scan *s, const char *next)
{
	return s->members && ((next[0] == '-' && next[1] != ']') || (s->at > s->members + 1 && s->at[-1] == '-'));
}

/* \p{Name}: general categories as they are; other names are scripts, of which PCRE2 would also take the extensions. */
static int put_property(struct scan *s)
{
	const char *name = s->at + 3;
	bool not = s->at[1] == 'P';
	size_t len;

	if (s->at[2] != '{')
		return refuse("a property without braces", s->at);
	if (*name == '^') {
		not = !not;
		name++;
	}
	for (len = 0; isalnum((unsigned char)name[len]) || name[len] == '_'; len++)
		;
	if (len == 0 || name[len] != '}')
		return refuse("a property's name", s->at);
	if (in_range(s, name + len + 1))
		return refuse("a range of classes", s->at);
	fprintf(s->out, "\\%c{%s%.*s}", not ? 'P' : 'p', len > 2 ? "sc:" : "", (int)len, name);
	s->at = name + len + 1;
	return 0;
}

/* \xHH or \uHHHH */
static int put_character(struct scan *s)
{
	size_t digits = s->at[1] == 'u' ? 4 : 2;

	for (size_t i = 0; i < digits; i++) {
		if (!isxdigit((unsigned char)s->at[2 + i]))
			return refuse("a character's number", s->at);
	}
	fprintf(s->out, "\\x{%.*s}", (int)digits, s->at + 2);
	s->at += 2 + digits;
	return 0;
}

static int put_space(struct scan *s, bool not)
{
	if (s->members && not)
		return refuse("a class of all but spaces in a class", s->at);
	if (in_range(s, s->at + 2))
		return refuse("a range of classes", s->at);
	if (s->members)
		fputs(SPACES, s->out);
	else
		fprintf(s->out, "[%s" SPACES "]", not ? "^" : "");
	s->at += 2;
	return 0;
}

static int put_escape(struct scan *s)
{
	switch (s->at[1]) {
	case 's':
	case 'S':
		return put_space(s, s->at[1] == 'S');
	case 'p':
	case 'P':
		return put_property(s);
	case 'x':
	case 'u':
		return put_character(s);
	case 'd':
	case 'D':
		if (in_range(s, s->at + 2))
			return refuse("a range of classes", s->at);
		return copy(s, 2);
	case 'r':
	case 'n':
	case 't':
	case 'f':
		return copy(s, 2);
	default:
		return ispunct((unsigned char)s->at[1]) ? copy(s, 2) : refuse("an escape", s->at);
	}
}

static int put_class(struct scan *s)
{
	int err = 0;

	copy(s, s->at[1] == '^' ? 2 : 1);
	if (*s->at == ']')
		return refuse("an empty class", s->at);
	s->members = s->at;
	while (!err && *s->at != ']') {
		if (!*s->at)
			err = refuse("a class without an end", s->members);
		else if (*s->at == '[' || (s->at[0] == '&' && s->at[1] == '&'))
			err = refuse("a class in a class", s->at);
		else
			err = *s->at == '\\' ? put_escape(s) : copy(s, 1);
	}
	s->members = NULL;
	return err ? err : copy(s, 1);
}

static int put_group(struct scan *s)
{
	static const char *const known[] = {"?:", "?=", "?!", "?>", "?<=", "?<!", "?i:", "?-i:"};

	if (s->at[1] != '?')
		return s->at[1] == '*' ? refuse("a verb", s->at) : copy(s, 1);
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(known); i++) {
		if (strncmp(s->at + 1, known[i], strlen(known[i])) == 0)
			return copy(s, 1 + strlen(known[i]));
	}
	return refuse("a kind of group", s->at);
}

/* {n}, {n,}, {n,m}. What follows would make it lazy or possessive for PCRE2, but is one more repetition in Ruby. */
static int put_count(struct scan *s)
{
	static const char digits[] = "0123456789";
	size_t n = 1 + strspn(s->at + 1, digits);

	if (n == 1)
		return refuse("a brace", s->at);
	if (s->at[n] == ',')
		n += 1 + strspn(s->at + n + 1, digits);
	if (s->at[n] != '}' || (s->at[n + 1] && strchr("?*+", s->at[n + 1])))
		return refuse("a count", s->at);
	return copy(s, n + 1);
}

static int put_next(struct scan *s)
{
	switch (*s->at) {
	case '\\':
		return put_escape(s);
	case '[':
		return put_class(s);
	case '(':
		return put_group(s);
	case '{':
		return put_count(s);
	case '^':
	case '$':
		return refuse("an anchor", s->at);
	default:
		return copy(s, 1);
	}
}

int weir_regex_translate(const char *regex, char **out)
{
	struct scan s = {.at = regex};
	size_t size;
	int err = 0;

	*out = NULL;
	if (strlen(regex) > REGEX_MAX)
		return weir_fail(EOPNOTSUPP, "a regular expression of %zu bytes; Weir takes %d", strlen(regex),
			REGEX_MAX);
	s.out = open_memstream(out, &size);
	if (!s.out)
		return weir_fail(ENOMEM, "no memory for a regular expression");
	while (*s.at && !err)
		err = put_next(&s);
	if (fclose(s.out) && !err)
		err = weir_fail(ENOMEM, "no memory for a regular expression");
	if (err) {
		free(*out);
		*out = NULL;
	}
	return err;
}
