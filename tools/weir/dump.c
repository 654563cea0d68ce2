/* SPDX-License-Identifier: MIT */
/*
 * A file of bytes that appears under its name when it is whole; devices and pipes are written as
 * they are.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

static int cannot_write(const struct dump *d)
{
	return fail("cannot write %s: %s", d->path, strerror(errno));
}

int dump_open(struct dump *d, const char *path)
{
	struct stat s;
	mode_t mask = umask(0);
	int fd;

	umask(mask);
	memset(d, 0, sizeof(*d));
	d->path = path;
	if (!stat(path, &s) && !S_ISREG(s.st_mode)) {
		d->file = fopen(path, "wb");
		return d->file ? 0 : cannot_write(d);
	}
	if (asprintf(&d->temp, "%s.XXXXXX", path) < 0) {
		d->temp = NULL;
		return fail("out of memory for the path %s", path);
	}
	fd = mkstemp(d->temp);
	if (fd >= 0 && !fchmod(fd, 0666 & ~mask))
		d->file = fdopen(fd, "wb");
	if (d->file)
		return 0;
	cannot_write(d);
	if (fd >= 0) {
		close(fd);
		unlink(d->temp);
	}
	free(d->temp);
	d->temp = NULL;
	return 1;
}

int dump_add(struct dump *d, const void *data, size_t size)
{
	return !d->file || fwrite(data, 1, size, d->file) == size ? 0 : cannot_write(d);
}

int dump_close(struct dump *d, bool keep)
{
	int status = 0;

	if (!d->file)
		return 0;
	if (fclose(d->file) && keep)
		status = cannot_write(d);
	if (d->temp && keep && !status && rename(d->temp, d->path))
		status = cannot_write(d);
	if (d->temp && (!keep || status))
		unlink(d->temp);
	free(d->temp);
	memset(d, 0, sizeof(*d));
	return status;
}
