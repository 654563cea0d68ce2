/* SPDX-License-Identifier: MIT */
/* Bytes in: files and standard input, with a limit, and their tokens. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

/* More text than an evaluation gets through in a day; an endless file must not fill the memory. */
#define TEXT_MAX ((size_t)256 << 20)

int text_add(struct text *t, const char *data, size_t len)
{
	size_t size = t->size ? t->size : 256;
	char *grown;

	if (len > TEXT_MAX - t->len)
		return fail("a text of more than %zu MiB is too long", TEXT_MAX >> 20);
	while (size < t->len + len + 1)
		size *= 2;
	if (size > t->size) {
		grown = realloc(t->data, size);
		if (!grown)
			return fail("out of memory for a text of %zu bytes", t->len + len);
		t->data = grown;
		t->size = size;
	}
	if (len)
		memcpy(t->data + t->len, data, len);
	t->len += len;
	t->data[t->len] = 0;
	return 0;
}

static int read_all(struct text *t, int fd, const char *name)
{
	char block[16384];
	ssize_t n;

	if (text_add(t, "", 0))
		return 1;
	while ((n = read(fd, block, sizeof(block))) != 0) {
		if (n < 0 && errno == EINTR && !interrupted())
			continue;
		if (n < 0)
			return fail("cannot read %s: %s", name, strerror(errno));
		if (text_add(t, block, (size_t)n))
			return fail("cannot read %s to its end", name);
	}
	return 0;
}

int text_read(struct text *t, const char *path)
{
	int fd, status;

	if (!strcmp(path, "-"))
		return read_all(t, STDIN_FILENO, "standard input");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail("cannot read %s: %s", path, strerror(errno));
	status = read_all(t, fd, path);
	close(fd);
	return status;
}

void text_drop_newline(struct text *t)
{
	if (t->len && t->data[t->len - 1] == '\n')
		t->len--;
	if (t->len && t->data[t->len] == '\n' && t->data[t->len - 1] == '\r')
		t->len--;
	if (t->data)
		t->data[t->len] = 0;
}

void text_free(struct text *t)
{
	free(t->data);
	memset(t, 0, sizeof(*t));
}

int text_tokens(const weir_tokenizer *t, const char *text, size_t len, unsigned flags,
	int32_t **tokens, size_t *n)
{
	/* A token is at least a byte, but for what stands in front; asked again if there are more.
	 */
	size_t max = len + 16;
	int64_t count;

	for (;;) {
		*tokens = malloc(max * sizeof(**tokens));
		if (!*tokens)
			return fail("out of memory for the tokens of %zu bytes", len);
		count = weir_tokenize(t, text, len, flags, *tokens, max);
		if (count >= 0 && (size_t)count <= max)
			break;
		free(*tokens);
		*tokens = NULL;
		if (count < 0)
			return fail_weir();
		max = (size_t)count;
	}
	*n = (size_t)count;
	return 0;
}
