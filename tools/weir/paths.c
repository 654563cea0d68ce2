/* SPDX-License-Identifier: MIT */
/*
 * Files that words of the command line stand for: themselves, a folder's pictures, a list on
 * standard input.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "tool.h"

static int add(struct paths *p, const char *path)
{
	if (p->count == p->size) {
		size_t size = p->size ? 2 * p->size : 64;
		char **grown = realloc(p->at, size * sizeof(*grown));

		if (!grown)
			return fail("out of memory for %zu paths", size);
		p->at = grown;
		p->size = size;
	}
	p->at[p->count] = strdup(path);
	if (!p->at[p->count])
		return fail("out of memory for the path %s", path);
	p->count++;
	return 0;
}

static bool picture_name(const char *name)
{
	static const char *const endings[] = {".png", ".jpg", ".jpeg", ".bmp"};
	size_t len = strlen(name);

	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		size_t ending = strlen(endings[i]);

		if (len > ending && !strcasecmp(name + len - ending, endings[i]))
			return true;
	}
	return false;
}

static int add_folder(struct paths *p, const char *folder, bool recursive);

/* A name in a folder. Links to folders are not followed: they may lead in circles. */
static int add_entry(struct paths *p, const char *folder, const char *name, bool recursive)
{
	struct stat entry;
	char *path;
	int status = 0;

	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return 0;
	if (asprintf(&path, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/", name) <
		0)
		return fail("out of memory for a path in %s", folder);
	if (!lstat(path, &entry) && S_ISDIR(entry.st_mode))
		status = recursive ? add_folder(p, path, true) : 0;
	else if (picture_name(name))
		status = add(p, path);
	free(path);
	return status;
}

static int add_folder(struct paths *p, const char *folder, bool recursive)
{
	struct dirent **names;
	int n = scandir(folder, &names, NULL, alphasort), status = 0;

	if (n < 0) {
		say("cannot read %s: %s", folder, strerror(errno));
		p->failed++;
		return 0;
	}
	for (int i = 0; i < n; i++) {
		if (!status)
			status = add_entry(p, folder, names[i]->d_name, recursive);
		free(names[i]);
	}
	free(names);
	return status;
}

/* What cannot be found out about a path is said when it is read. */
static int add_path(struct paths *p, const char *path, bool recursive)
{
	size_t before = p->count, failed = p->failed;
	struct stat s;
	int status;

	if (!*path || stat(path, &s) || !S_ISDIR(s.st_mode))
		return add(p, path);
	status = add_folder(p, path, recursive);
	if (!status && p->count == before && p->failed == failed) {
		say("%s: there is no *.png, *.jpg, *.jpeg or *.bmp file in this folder", path);
		p->failed++;
	}
	return status;
}

static int add_list(struct paths *p, bool recursive)
{
	struct text list = {0};
	char *line, *rest;
	int status = text_read(&list, "-");

	if (!status && strlen(list.data) != list.len)
		status = fail("standard input is no list of paths: it has zero bytes");
	for (rest = list.data; !status && (line = strsep(&rest, "\n"));)
		status = *line ? add_path(p, line, recursive) : 0;
	text_free(&list);
	return status;
}

int paths_add(struct paths *p, const char *word, bool recursive)
{
	return strcmp(word, "-") ? add_path(p, word, recursive) : add_list(p, recursive);
}

void paths_free(struct paths *p)
{
	for (size_t i = 0; i < p->count; i++)
		free(p->at[i]);
	free(p->at);
	memset(p, 0, sizeof(*p));
}
