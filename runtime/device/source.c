/* SPDX-License-Identifier: MIT */
/*
 * Kernel sources: embedded in the library, or read from the folder $WEIR_KERNELS; includes put in
 * place.
 */
#include "device/backend.h"
#include "device/kernel_sources.h"

/* Files one program may include, and how deep; our own kernels include three or four. */
#define MAX_FILES 32
#define MAX_DEPTH 8
#define MAX_SOURCE ((size_t)4 << 20)

struct expansion {
	char *text;
	size_t size, capacity;
	char *seen[MAX_FILES]; /* the names of files that are in the text */
	unsigned n_seen;
};

static int append(struct expansion *x, const char *text, size_t size)
{
	size_t need, capacity;
	char *grown;

	if (!weir_size_add(x->size, size, &need) || need > MAX_SOURCE)
		return weir_fail(EFBIG, "a kernel program of more than %zu bytes", MAX_SOURCE);
	if (need + 1 > x->capacity) {
		capacity = WEIR_MAX(x->capacity * 2, need + 1);
		grown = realloc(x->text, capacity);
		if (!grown)
			return weir_fail(ENOMEM, "out of memory");
		x->text = grown;
		x->capacity = capacity;
	}
	memcpy(x->text + x->size, text, size);
	x->size = need;
	x->text[need] = 0;
	return 0;
}

/* Names are of files in one folder: nothing that leads out of it. */
static bool name_ok(const char *name)
{
	return *name && *name != '.' && !strchr(name, '/') && strlen(name) < 128;
}

static int read_embedded(const char *name, char **text, size_t *size)
{
	for (const struct weir_kernel_source *s = weir_kernel_sources; s->name; s++) {
		if (strcmp(s->name, name) != 0)
			continue;
		*text = malloc(s->size + 1);
		if (!*text)
			return weir_fail(ENOMEM, "kernels/%s: out of memory", name);
		memcpy(*text, s->text, s->size);
		(*text)[s->size] = 0;
		*size = s->size;
		return 0;
	}
	return weir_fail(ENOENT, "kernels/%s: there is no such file in this libweir", name);
}

static int read_source(const char *name, char **text, size_t *size)
{
	const char *folder = getenv("WEIR_KERNELS");
	char path[4096];
	int length;

	if (!name_ok(name))
		return weir_fail(EINVAL, "\"%s\" is no name of a kernel file", name);
	if (!folder || !*folder)
		return read_embedded(name, text, size);
	length = snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (length < 0 || (size_t)length >= sizeof(path))
		return weir_fail(ENAMETOOLONG, "WEIR_KERNELS: the path is too long");
	return weir_file_read(path, MAX_SOURCE, text, size);
}

/* The name in a line #include "name", or false. A leading "kernels/" is left out. */
static bool parse_include(const char *line, size_t length, char *name, size_t size)
{
	static const char prefix[] = "kernels/";
	const char *p = line, *end = line + length, *close;

	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	if (p == end || *p++ != '#')
		return false;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	if (end - p < 7 || memcmp(p, "include", 7) != 0)
		return false;
	p += 7;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	if (p == end || *p++ != '"')
		return false;
	close = memchr(p, '"', (size_t)(end - p));
	if (!close)
		return false;
	if ((size_t)(close - p) > strlen(prefix) && memcmp(p, prefix, strlen(prefix)) == 0)
		p += strlen(prefix);
	snprintf(name, size, "%.*s", (int)WEIR_MIN(close - p, 256), p);
	return true;
}

static bool is_seen(const struct expansion *x, const char *name)
{
	for (unsigned i = 0; i < x->n_seen; i++) {
		if (strcmp(x->seen[i], name) == 0)
			return true;
	}
	return false;
}

static int mark_seen(struct expansion *x, const char *name)
{
	if (x->n_seen == MAX_FILES)
		return weir_fail(
			EINVAL, "kernels/%s: a program of more than %d files", name, MAX_FILES);
	x->seen[x->n_seen] = strdup(name);
	if (!x->seen[x->n_seen])
		return weir_fail(ENOMEM, "kernels/%s: out of memory", name);
	x->n_seen++;
	return 0;
}

/* Keeps the compiler's messages right about file and line. */
static int append_line_mark(struct expansion *x, unsigned line, const char *name)
{
	char mark[192];
	int length = snprintf(mark, sizeof(mark), "#line %u \"kernels/%s\"\n", line, name);

	return append(x, mark, (size_t)length);
}

static int expand_file(struct expansion *x, const char *name, unsigned depth);

static int expand_line(struct expansion *x, const char *file, unsigned number, const char *line,
	size_t length, unsigned depth)
{
	char name[260];
	int err;

	if (!parse_include(line, length, name, sizeof(name))) {
		err = append(x, line, length);
		return err < 0 ? err : append(x, "\n", 1);
	}
	if (is_seen(x, name))
		return append(x, "\n", 1);
	if (depth == MAX_DEPTH)
		return weir_fail(EINVAL, "kernels/%s:%u: includes nest more than %d deep", file,
			number, MAX_DEPTH);
	err = expand_file(x, name, depth + 1);
	if (err < 0)
		return weir_fail_in(
			err, "kernels/%s:%u: cannot include \"%s\"", file, number, name);
	return append_line_mark(x, number + 1, file);
}

static int expand_file(struct expansion *x, const char *name, unsigned depth)
{
	const char *line, *end, *next;
	unsigned number = 1;
	char *text = NULL;
	size_t size = 0;
	int err;

	err = read_source(name, &text, &size);
	if (err < 0)
		return err;
	err = mark_seen(x, name);
	if (err == 0)
		err = append_line_mark(x, 1, name);
	end = text + size;
	for (line = text; line < end && err == 0; line = next, number++) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));

		next = stop ? stop + 1 : end;
		stop = stop ? stop : end;
		err = expand_line(x, name, number, line, (size_t)(stop - line), depth);
	}
	free(text);
	return err;
}

/*
 * The compiler may not make a * b + c into one fma of its own accord: whether it does differs by
 * device, and tests compare with a reference bit for bit. Kernels that want one write fma().
 */
static const char prologue[] = "#pragma OPENCL FP_CONTRACT OFF\n";

int weir_source_expand(const char *file, char **text, size_t *size)
{
	struct expansion x = {0};
	int err;

	err = append(&x, prologue, strlen(prologue));
	if (err == 0)
		err = expand_file(&x, file, 0);
	for (unsigned i = 0; i < x.n_seen; i++)
		free(x.seen[i]);
	if (err < 0) {
		free(x.text);
		return err;
	}
	*text = x.text;
	*size = x.size;
	return 0;
}
