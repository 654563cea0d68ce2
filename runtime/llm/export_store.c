/* SPDX-License-Identifier: MIT */
/* OUT.partial/: found, locked, journaled, and at last renamed. */
#include "llm/export_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_MAGIC "WEIRPART"
#define JOURNAL_VERSION 1

/* The journal, little-endian: this, then a byte for each tensor, then a weir_hash of all before it. */
struct journal {
	char magic[8];
	uint32_t version, stages;
	uint64_t identity[2];
	struct weir_hash header; /* of the data's first bytes */
	uint64_t n_flags;
};

static int cannot(const struct weir_store *st, int err)
{
	return weir_fail(err, "cannot write %s: %s", st->path, strerror(err));
}

/* ---- small things done to folders ---- */

static int sync_folder(const struct weir_store *st, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;

	if (fd < 0 || fsync(fd))
		err = cannot(st, errno);
	if (fd >= 0)
		close(fd);
	return err;
}

static int sync_parent(const struct weir_store *st)
{
	char *copy = strdup(st->path);
	int err = copy ? sync_folder(st, dirname(copy)) : cannot(st, ENOMEM);

	free(copy);
	return err;
}

/* Calls fn with the name of each entry but . and .., until it returns nonzero, which is returned. 0 for no folder. */
static int each_entry(const char *path, int (*fn)(void *user, int dir, const char *name), void *user)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int ret = 0;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (!ret && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			ret = fn(user, dirfd(dir), e->d_name);
	closedir(dir);
	return ret;
}

static int remove_entry(void *user, int dir, const char *name)
{
	(void)user;
	return unlinkat(dir, name, 0) && errno != ENOENT ? -errno : 0;
}

/* A file, or a folder of files; what lies deeper was not made here and stands in the way. */
static int remove_flat(const char *path)
{
	int err;

	if (!unlink(path) || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	err = each_entry(path, remove_entry, NULL);
	return !err && rmdir(path) && errno != ENOENT ? -errno : err;
}

static bool is_journal(const char *name)
{
	return !strcmp(name, "journal") || !strncmp(name, "journal.", strlen("journal."));
}

static int remove_journal(void *user, int dir, const char *name)
{
	return is_journal(name) ? remove_entry(user, dir, name) : 0;
}

/* What a run has left goes, the folder too if nothing else is in it; data first: without a journal it is nobody's. */
static int partial_remove(struct weir_store *st)
{
	int err = remove_flat(st->data);

	if (!err)
		err = each_entry(st->partial, remove_journal, NULL);
	if (!err)
		rmdir(st->partial);
	return err;
}

/* ---- the journal ---- */

static struct weir_hash hash_of(const void *data, size_t size)
{
	struct weir_hash h;

	weir_hash_init(&h);
	weir_hash_add(&h, data, size);
	return h;
}

static struct journal journal_now(const struct weir_store *st)
{
	struct journal j = {.version = JOURNAL_VERSION, .stages = st->stages, .header = st->header};

	memcpy(j.magic, JOURNAL_MAGIC, sizeof(j.magic));
	memcpy(j.identity, st->identity, sizeof(j.identity));
	j.n_flags = st->n_flags;
	return j;
}

static int journal_write(struct weir_store *st)
{
	const struct journal j = journal_now(st);
	struct weir_atomic_file f;
	struct weir_hash sum;
	int err;

	weir_hash_init(&sum);
	weir_hash_add(&sum, &j, sizeof(j));
	weir_hash_add(&sum, st->flags, st->n_flags);
	err = weir_atomic_begin(&f, st->journal);
	if (err)
		return err;
	fwrite(&j, sizeof(j), 1, f.file);
	fwrite(st->flags, 1, st->n_flags, f.file);
	fwrite(&sum, sizeof(sum), 1, f.file);
	err = weir_atomic_commit(&f); /* reports what any of these met */
	return err ? err : sync_folder(st, st->partial);
}

/* Takes over the stages and flags of a journal of the same identity and shape; false for any other bytes. */
static bool journal_take(struct weir_store *st, const char *data, size_t size)
{
	const struct journal want = journal_now(st);
	struct journal j;
	struct weir_hash sum, stored;

	if (size != sizeof(j) + st->n_flags + sizeof(sum))
		return false;
	sum = hash_of(data, size - sizeof(sum));
	memcpy(&stored, data + size - sizeof(sum), sizeof(stored));
	memcpy(&j, data, sizeof(j));
	if (stored.lo != sum.lo || stored.hi != sum.hi)
		return false;
	st->stages = j.stages;
	j.stages = want.stages;
	if (memcmp(&j, &want, sizeof(j))) {
		st->stages = 0;
		return false;
	}
	memcpy(st->flags, data + sizeof(j), st->n_flags);
	return true;
}

static bool journal_read(struct weir_store *st)
{
	const size_t max = sizeof(struct journal) + st->n_flags + sizeof(struct weir_hash);
	size_t size;
	char *data;
	bool ok;

	if (weir_file_read(st->journal, max, &data, &size))
		return false;
	ok = journal_take(st, data, size);
	free(data);
	return ok;
}

/* ---- opening ---- */

static int stranger(void *user, int dir, const char *name)
{
	const struct weir_store *st = user;

	(void)dir;
	for (size_t i = 0; st->known[i]; i++)
		if (!strcmp(st->known[i], name))
			return 0;
	return weir_fail(EEXIST, "will not overwrite the folder %s: it holds %s, which is no file of a model", st->path,
		name);
}

/* Whether OUT may come to be. */
static int out_check(struct weir_store *st)
{
	struct stat s;
	int err;

	if (lstat(st->path, &s))
		return errno == ENOENT ? 0 : cannot(st, errno);
	if (!st->overwrite)
		return weir_fail(EEXIST, "%s is there already: it would have to be overwritten", st->path);
	if (!st->folder)
		return S_ISREG(s.st_mode) ? 0 :
					    weir_fail(EEXIST, "will not overwrite %s: it is not a regular file", st->path);
	if (!S_ISDIR(s.st_mode))
		return weir_fail(EEXIST, "will not overwrite %s: it is not a folder", st->path);
	err = each_entry(st->path, stranger, st);
	return err && err != -EEXIST ? cannot(st, -err) : err;
}

/* Whether the folder that is locked still has the name: the process that held it may just have removed it. */
static bool lock_holds(const struct weir_store *st)
{
	struct stat held, named;

	return !fstat(st->lock, &held) && !stat(st->partial, &named) && held.st_ino == named.st_ino &&
	       held.st_dev == named.st_dev;
}

/* The lock goes with the descriptor. */
static int partial_lock(struct weir_store *st)
{
	for (int tries = 0; tries < 16; tries++) {
		if (mkdir(st->partial, 0777) && errno != EEXIST)
			return cannot(st, errno);
		st->lock = open(st->partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (st->lock < 0)
			return weir_fail(errno, "cannot write %s: %s: %s", st->path, st->partial, strerror(errno));
		if (flock(st->lock, LOCK_EX | LOCK_NB))
			break;
		if (lock_holds(st))
			return 0;
		close(st->lock);
		st->lock = -1;
	}
	return weir_fail(EBUSY, "another process is writing %s (it holds %s)", st->path, st->partial);
}

struct look {
	bool journal, other;
};

static int look_entry(void *user, int dir, const char *name)
{
	struct look *look = user;

	(void)dir;
	if (is_journal(name))
		look->journal = true;
	else
		look->other = true;
	return 0;
}

/* A folder of this name without a journal is somebody's own, and is left alone. */
static int partial_look(struct weir_store *st)
{
	struct stat s;
	struct look look = {0};
	int err = each_entry(st->partial, look_entry, &look);

	if (err)
		return cannot(st, -err);
	if (!look.journal && look.other)
		return weir_fail(EEXIST, "cannot write %s: %s is in the way and is not an unfinished output", st->path,
			st->partial);
	if (!look.journal)
		return 0;
	if (journal_read(st) && !stat(st->file, &s) && S_ISREG(s.st_mode) && (uint64_t)s.st_size == st->file_size) {
		st->found = WEIR_EXPORT_RESUMED;
		return 0;
	}
	st->found = WEIR_EXPORT_RESTARTED;
	st->stages = 0;
	memset(st->flags, 0, st->n_flags);
	err = remove_flat(st->data);
	return err ? weir_fail(-err, "cannot start over in %s: %s", st->partial, strerror(-err)) : 0;
}

/* The file at its full size, so that a full disk is met now and not after hours. */
static int data_create(struct weir_store *st)
{
	int err = journal_write(st);

	if (err)
		return err;
	if (st->folder && mkdir(st->data, 0777) && errno != EEXIST)
		return cannot(st, errno);
	st->fd = open(st->file, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (st->fd < 0)
		return cannot(st, errno);
	if (!fallocate(st->fd, 0, 0, (off_t)st->file_size))
		return 0;
	if (errno == ENOSPC || errno == EFBIG || errno == EDQUOT)
		return weir_fail(errno, "cannot write %s: it needs %llu bytes: %s", st->path,
			(unsigned long long)st->file_size, strerror(errno));
	/* Not every file system can. */
	return ftruncate(st->fd, (off_t)st->file_size) ? cannot(st, errno) : 0;
}

static char *join(const char *a, const char *between, const char *b)
{
	char *s;

	return asprintf(&s, "%s%s%s", a, between, b) < 0 ? NULL : s;
}

static int store_init(struct weir_store *st, const struct weir_store_settings *s)
{
	size_t len = strlen(s->path);

	memset(st, 0, sizeof(*st));
	st->lock = st->fd = -1;
	st->folder = s->file;
	st->known = s->known;
	st->overwrite = s->overwrite;
	memcpy(st->identity, s->identity, sizeof(st->identity));
	st->header = hash_of(s->header, s->header_size);
	st->file_size = s->file_size;
	st->n_flags = s->n_flags;
	while (len > 1 && s->path[len - 1] == '/')
		len--;
	if (!len || (len == 1 && s->path[0] == '/'))
		return weir_fail(EINVAL, "the output needs a name");
	if (!(st->flags = calloc(s->n_flags + 1, 1)) || !(st->path = strndup(s->path, len)) ||
		!(st->partial = join(st->path, ".partial", "")) || !(st->data = join(st->partial, "/", "data")) ||
		!(st->journal = join(st->partial, "/", "journal")) ||
		!(st->file = s->file ? join(st->data, "/", s->file) : strdup(st->data)))
		return weir_fail(ENOMEM, "no memory for the path %s", s->path);
	return 0;
}

int weir_store_open(struct weir_store *st, const struct weir_store_settings *s)
{
	int err;

	if ((err = store_init(st, s)) || (err = out_check(st)) || (err = partial_lock(st)) ||
		(err = partial_look(st)))
		goto out;
	if (st->found == WEIR_EXPORT_RESUMED) {
		st->fd = open(st->file, O_RDWR | O_CLOEXEC);
		err = st->fd < 0 ? cannot(st, errno) : 0;
	} else {
		err = data_create(st);
	}
	if (!err)
		err = weir_store_write(st, 0, s->header, s->header_size);
	if (err && !st->stages)
		partial_remove(st);
out:
	if (err) {
		st->finished = true;
		weir_store_close(st);
	}
	return err;
}

/* ---- writing ---- */

int weir_store_write(struct weir_store *st, uint64_t offset, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t n = pwrite(st->fd, at, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return cannot(st, n ? errno : EIO);
		at += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

int weir_store_sync(struct weir_store *st, unsigned stages)
{
	int err = fdatasync(st->fd) ? cannot(st, errno) : 0;

	if (!err && st->folder)
		err = sync_folder(st, st->data);
	if (err)
		return err;
	st->stages = stages;
	return journal_write(st);
}

int weir_store_text(struct weir_store *st, const char *name, const char *text, size_t size)
{
	struct weir_atomic_file f;
	char *path = join(st->data, "/", name);
	int err;

	if (!path)
		return cannot(st, ENOMEM);
	err = weir_atomic_begin(&f, path);
	free(path);
	if (err)
		return err;
	fwrite(text, 1, size, f.file);
	return weir_atomic_commit(&f);
}

/* ---- the end ---- */

/* A file system without renameat2's flags gets what can be done without them. */
static bool without_flags(int err)
{
	return err == EINVAL || err == ENOSYS;
}

/* Where nothing may be replaced. */
static int rename_new(struct weir_store *st)
{
	struct stat s;

	if (!renameat2(AT_FDCWD, st->data, AT_FDCWD, st->path, RENAME_NOREPLACE))
		return 0;
	if (without_flags(errno) && lstat(st->path, &s) && errno == ENOENT && !rename(st->data, st->path))
		return 0;
	return errno == EEXIST ? weir_fail(EEXIST, "cannot write %s: it came to be meanwhile", st->path) :
				 cannot(st, errno);
}

/* A folder cannot be renamed over one that holds files: they change places, and the old one is removed. */
static int rename_folder(struct weir_store *st)
{
	char *old;
	int err = 0;

	if (!renameat2(AT_FDCWD, st->data, AT_FDCWD, st->path, RENAME_EXCHANGE))
		return 0;
	if (errno == ENOENT)
		return rename(st->data, st->path) ? cannot(st, errno) : 0;
	if (!without_flags(errno))
		return cannot(st, errno);
	old = join(st->partial, "/", "old");
	if (!old || rename(st->path, old) || rename(st->data, st->path) || remove_flat(old))
		err = cannot(st, old ? errno : ENOMEM);
	free(old);
	return err;
}

int weir_store_finish(struct weir_store *st)
{
	int err = fsync(st->fd) ? cannot(st, errno) : 0;

	if (!err && st->folder)
		err = sync_folder(st, st->data);
	if (!err)
		err = out_check(st);
	if (err)
		return err;
	if (!st->overwrite)
		err = rename_new(st);
	else if (st->folder)
		err = rename_folder(st);
	else
		err = rename(st->data, st->path) ? cannot(st, errno) : 0;
	if (!err)
		err = sync_parent(st);
	if (err)
		return err;
	st->finished = true;
	/* The output stands: what cannot be removed is in nobody's way. */
	partial_remove(st);
	return 0;
}

void weir_store_close(struct weir_store *st)
{
	if (!st->finished && !st->stages)
		partial_remove(st);
	if (st->fd >= 0)
		close(st->fd);
	if (st->lock >= 0)
		close(st->lock);
	free(st->path);
	free(st->partial);
	free(st->data);
	free(st->journal);
	free(st->file);
	free(st->flags);
	memset(st, 0, sizeof(*st));
	st->lock = st->fd = -1;
}
