/* SPDX-License-Identifier: MIT */
/* The text of fused programs: kernel files one after another, names and macros kept apart. */
#include <ctype.h>

#include "device/fuse.h"

/* ---- names ---------------------------------------------------------------- */

struct name {
	const char *at;
	size_t size;
};

struct names {
	struct name *list;
	size_t count, cap;
};

static bool name_is(const struct name *n, const char *at, size_t size)
{
	return n->size == size && memcmp(n->at, at, size) == 0;
}

static bool names_have(const struct names *n, const char *at, size_t size)
{
	for (size_t i = 0; i < n->count; i++) {
		if (name_is(&n->list[i], at, size))
			return true;
	}
	return false;
}

static int names_add(struct names *n, const char *at, size_t size)
{
	if (names_have(n, at, size))
		return 0;
	if (n->count == n->cap) {
		size_t cap = n->cap ? n->cap * 2 : 64;
		struct name *list = realloc(n->list, cap * sizeof(*list));

		if (!list)
			return weir_fail(ENOMEM, "out of memory");
		n->list = list;
		n->cap = cap;
	}
	n->list[n->count++] = (struct name){at, size};
	return 0;
}

/* ---- reading what a file defines ------------------------------------------- */

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* Where a file's text is read: p is NULL at its end. */
struct scan {
	const char *p;
	int braces, parens;
	bool is_typedef;
	struct name last, before; /* the words that came last */
	struct names *defined, *macros;
};

/* The end of a line, past those that end in a backslash. */
static const char *line_end(const char *p)
{
	for (; *p; p++) {
		if (*p == '\n' && p[-1] != '\\')
			break;
	}
	return p;
}

/* A preprocessor's line at p, which is '#'. */
static int scan_directive(struct scan *s)
{
	const char *p = s->p + 1, *end;
	int err = 0;

	while (*p == ' ' || *p == '\t')
		p++;
	if (strncmp(p, "define", 6) == 0) {
		p += 6;
		while (*p == ' ' || *p == '\t')
			p++;
		for (end = p; is_word(*end); end++)
			;
		err = names_add(s->macros, p, (size_t)(end - p));
	}
	s->p = line_end(s->p + 1);
	return err;
}

static int scan_word(struct scan *s)
{
	const char *at = s->p;

	while (is_word(*s->p))
		s->p++;
	if (s->braces || s->parens)
		return 0;
	s->before = s->last;
	s->last = (struct name){at, (size_t)(s->p - at)};
	if (name_is(&s->last, "typedef", 7))
		s->is_typedef = true;
	if (s->is_typedef && name_is(&s->last, "__attribute__", 13)) /* a typedef's name comes before */
		return names_add(s->defined, s->before.at, s->before.size);
	return 0;
}

/* At file scope: a word before a parenthesis is a function, before = or [ a table, before a brace a tag. */
static int scan_mark(struct scan *s)
{
	bool outside = !s->braces && !s->parens, attribute = name_is(&s->last, "__attribute__", 13);
	bool tag = name_is(&s->before, "struct", 6) || name_is(&s->before, "union", 5) || name_is(&s->before, "enum", 4);
	int err = 0;
	char c = *s->p++;

	if (outside && s->last.size &&
		((c == '(' && !attribute && !s->is_typedef) || c == '=' || c == '[' || (c == '{' && tag)))
		err = names_add(s->defined, s->last.at, s->last.size);
	if (outside && c == ';') {
		if (s->is_typedef && s->last.size)
			err = names_add(s->defined, s->last.at, s->last.size);
		s->is_typedef = false;
	}
	s->braces += (c == '{') - (c == '}');
	s->parens += (c == '(') - (c == ')');
	if (outside && !(c == '*' || isspace((unsigned char)c)))
		s->last = s->before = (struct name){0};
	return err;
}

static int scan_text(const char *file, const char *text, struct names *defined, struct names *macros)
{
	struct scan s = {.p = text, .defined = defined, .macros = macros};
	int err = 0;

	while (*s.p && !err) {
		if (*s.p == '#') {
			err = scan_directive(&s);
		} else if (s.p[0] == '/' && s.p[1] == '*') {
			const char *end = strstr(s.p + 2, "*/");

			s.p = end ? end + 2 : s.p + strlen(s.p);
		} else if (s.p[0] == '/' && s.p[1] == '/') {
			s.p = line_end(s.p);
		} else if (is_word(*s.p)) {
			err = scan_word(&s);
		} else {
			err = scan_mark(&s);
		}
	}
	if (!err && (s.braces || s.parens))
		err = weir_fail(EINVAL, "kernels/%s: its braces or parentheses do not match", file);
	return err;
}

/* ---- writing --------------------------------------------------------------- */

/* "-DA=1 -DB": as lines, and their names as macros. */
static int write_options(FILE *out, const char *options, struct names *macros)
{
	int err = 0;

	for (const char *p = options; *p && !err;) {
		size_t size = strcspn(p, " "), name;

		if (size > 2 && p[0] == '-' && p[1] == 'D') {
			name = strcspn(p + 2, "= ");
			fprintf(out, "#define %.*s %.*s\n", (int)name, p + 2,
				p[2 + name] == '=' ? (int)(size - 3 - name) : 1, p[2 + name] == '=' ? p + 3 + name : "1");
			err = names_add(macros, p + 2, name);
		} else if (size) {
			err = weir_fail(EOPNOTSUPP, "the option %.*s cannot be one of a part", (int)size, p);
		}
		p += size + strspn(p + size, " ");
	}
	return err;
}

static void write_part(FILE *out, size_t number, const char *text, const struct names *defined, const struct names *macros)
{
	for (size_t i = 0; i < defined->count; i++) {
		const struct name *n = &defined->list[i];

		if (!names_have(macros, n->at, n->size))
			fprintf(out, "#define %.*s %.*s_%zu\n", (int)n->size, n->at, (int)n->size, n->at, number);
	}
	fputs(text, out);
	for (size_t i = 0; i < defined->count; i++)
		fprintf(out, "#undef %.*s\n", (int)defined->list[i].size, defined->list[i].at);
	for (size_t i = 0; i < macros->count; i++)
		fprintf(out, "#undef %.*s\n", (int)macros->list[i].size, macros->list[i].at);
}

static int add_part(FILE *out, size_t number, const struct weir_fuse_part *part)
{
	struct names defined = {0}, macros = {0};
	char *text = NULL;
	size_t size;
	int err = weir_source_expand(part->file, &text, &size);

	if (!err && !strstr(text, "WEIR_KERNEL"))
		err = weir_fail(EOPNOTSUPP, "kernels/%s is not written to be fused", part->file);
	if (!err)
		err = write_options(out, part->options, &macros);
	if (!err)
		err = scan_text(part->file, text, &defined, &macros);
	if (!err)
		write_part(out, number, text, &defined, &macros);
	free(defined.list);
	free(macros.list);
	free(text);
	return err;
}

int weir_fuse_text(const struct weir_fuse_part *parts, size_t count, char **text, size_t *size)
{
	FILE *out = open_memstream(text, size);
	int err = 0;

	if (!out)
		return weir_fail(ENOMEM, "out of memory");
	fputs("#define WEIR_FUSED\n", out);
	for (size_t i = 0; i < count && !err; i++)
		err = add_part(out, i, &parts[i]);
	if (fclose(out) && !err)
		err = weir_fail(ENOMEM, "out of memory");
	if (err) {
		free(*text);
		*text = NULL;
	}
	return err;
}
