/* SPDX-License-Identifier: MIT */
/* Folders, whole-file reads, and files that appear only when they are whole. */
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

bool weir_path_is_folder(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int weir_path_make(const char *path)
{
	char *copy = strdup(path);
	int err = 0;

	if (!copy)
		return weir_fail(ENOMEM, "no memory for the path %s", path);
	for (char *p = copy + 1;; p++) {
		char c = *p;

		if (c && c != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, 0700) < 0 && errno != EEXIST) {
			err = errno;
			err = weir_fail(err, "cannot make the folder %s: %s", copy, strerror(err));
			break;
		}
		if (!c)
			break;
		*p = c;
	}
	free(copy);
	return err;
}

int weir_path_cache(char *path, size_t size)
{
	const char *base = getenv("XDG_CACHE_HOME");
	const char *middle = "";
	int n;

	if (!base || base[0] != '/') {
		base = getenv("HOME");
		middle = "/.cache";
	}
	if (!base || !base[0])
		return weir_fail(ENOENT, "neither XDG_CACHE_HOME nor HOME is set");
	n = snprintf(path, size, "%s%s/weir", base, middle);
	if (n < 0 || (size_t)n >= size)
		return weir_fail(ENAMETOOLONG, "the cache folder's name is too long");
	return 0;
}

int weir_atomic_begin(struct weir_atomic_file *f, const char *path)
{
	int fd, err;

	memset(f, 0, sizeof(*f));
	f->path = strdup(path);
	if (!f->path || asprintf(&f->temp, "%s.XXXXXX", path) < 0) {
		f->temp = NULL;
		err = ENOMEM;
		goto error;
	}
	fd = mkstemp(f->temp);
	if (fd < 0) {
		err = errno;
		free(f->temp);
		f->temp = NULL;
		goto error;
	}
	f->file = fdopen(fd, "wb");
	if (!f->file) {
		err = errno;
		close(fd);
		goto error;
	}
	return 0;
error:
	weir_fail(err, "cannot write %s: %s", path, strerror(err));
	weir_atomic_abort(f);
	return -err;
}

int weir_atomic_commit(struct weir_atomic_file *f)
{
	mode_t mask = umask(0);
	int err = 0;

	umask(mask);
	if (fflush(f->file) || ferror(f->file) || fchmod(fileno(f->file), 0666 & ~mask) ||
		fsync(fileno(f->file)))
		err = errno ? errno : EIO;
	if (fclose(f->file) && !err)
		err = errno;
	f->file = NULL;
	if (!err && rename(f->temp, f->path))
		err = errno;
	if (err) {
		weir_fail(err, "cannot write %s: %s", f->path, strerror(err));
		weir_atomic_abort(f);
		return -err;
	}
	free(f->temp);
	f->temp = NULL;
	weir_atomic_abort(f);
	return 0;
}

void weir_atomic_abort(struct weir_atomic_file *f)
{
	if (f->file)
		fclose(f->file);
	if (f->temp)
		unlink(f->temp);
	free(f->temp);
	free(f->path);
	memset(f, 0, sizeof(*f));
}

int weir_file_read(const char *path, size_t max, char **data, size_t *size)
{
	size_t used = 0, room = 0;
	char *text = NULL;
	FILE *f = fopen(path, "rb");
	int err;

	if (!f) {
		err = errno;
		return weir_fail(err, "cannot read %s: %s", path, strerror(err));
	}
	for (;;) {
		if (used + 1 >= room) {
			char *more;

			room = room ? room * 2 : 65536;
			more = realloc(text, room);
			if (!more) {
				err = weir_fail(ENOMEM, "cannot read %s: no memory for it", path);
				goto error;
			}
			text = more;
		}
		size_t n = fread(text + used, 1, room - used - 1, f);

		used += n;
		if (used > max) {
			err = weir_fail(EFBIG, "cannot read %s: it has more than %zu bytes", path, max);
			goto error;
		}
		if (n)
			continue;
		if (ferror(f)) {
			err = errno;
			err = weir_fail(err, "cannot read %s: %s", path, strerror(err));
			goto error;
		}
		break;
	}
	fclose(f);
	text[used] = '\0';
	*data = text;
	*size = used;
	return 0;
error:
	free(text);
	fclose(f);
	return err;
}
