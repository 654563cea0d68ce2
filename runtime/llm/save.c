/* SPDX-License-Identifier: MIT */
/* Reads and writes saved sessions. Nothing of a session changes before all of the file is found sound. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "llm/save.h"
#include "llm/session.h"

#define SAVE_MAGIC "WEIRSESS"
#define SAVE_VERSION 1

uint32_t weir_save_used(const struct weir_slots *slots, uint64_t position)
{
	uint64_t used = position;

	if (slots->window && position > slots->sinks)
		used = slots->ring + WEIR_MIN(position - slots->sinks, slots->ring_size);
	return (uint32_t)weir_align_up((size_t)WEIR_MIN(used, slots->count), 16);
}

static int bad(const char *name, const char *what)
{
	return weir_fail(EINVAL, "cannot load the session %s: %s", name, what);
}

static int header_check(const struct weir_save_header *h, const char *name, const struct weir_save_expect *e)
{
	if (memcmp(h->magic, SAVE_MAGIC, sizeof(h->magic)))
		return bad(name, "it is no saved session");
	if (h->version != SAVE_VERSION || h->header_size != sizeof(*h))
		return bad(name, "it was saved by another version");
	if (h->model[0] != e->model[0] || h->model[1] != e->model[1] || h->vocab != e->vocab)
		return bad(name, "it was saved with another model");
	if (h->kv != e->kv)
		return bad(name, "its cache has another type (--kv)");
	if (h->sinks != e->slots.sinks || h->window != e->slots.window)
		return bad(name, "it was saved with other sinks or another window (--sinks, --window)");
	if (h->window && (h->ring_size != e->slots.ring_size || h->slots != e->slots.count))
		return bad(name, "it was saved with another step size (--batch)");
	if (!h->window && h->position > e->slots.count)
		return bad(name, "it has more positions than the context holds (--ctx)");
	if (!h->position || h->position > INT64_MAX / 2)
		return bad(name, "its position is out of range");
	if (h->used != weir_save_used(&e->slots, h->position) || h->n_past > WEIR_SAMPLER_PAST ||
		h->n_past > h->position || h->cache_size != (uint64_t)h->used * e->slot_bytes)
		return bad(name, "its header contradicts itself");
	return 0;
}

int weir_save_parse(const void *data, size_t size, const char *name, const struct weir_save_expect *e,
	struct weir_saved *out)
{
	const unsigned char *at = data;
	struct weir_save_header *h = &out->header;
	struct weir_hash hash, stored;
	uint64_t need;
	int err;

	if (size < sizeof(*h) + sizeof(hash))
		return bad(name, "it is too short");
	memcpy(h, at, sizeof(*h));
	err = header_check(h, name, e);
	if (err)
		return err;
	/* No term can overflow: n_past, vocab and used are bounded by the session's own, which has memory for them. */
	need = sizeof(*h) + 4ull * h->n_past + 4ull * h->vocab + h->cache_size + sizeof(hash);
	if (h->file_size != need || size != need)
		return bad(name, "its length is not what its header says");
	weir_hash_init(&hash);
	weir_hash_add(&hash, data, size - sizeof(hash));
	memcpy(&stored, at + size - sizeof(hash), sizeof(stored));
	if (stored.lo != hash.lo || stored.hi != hash.hi)
		return bad(name, "it is damaged: its checksum does not match");
	out->past = at + sizeof(*h);
	out->logits = out->past + 4ull * h->n_past;
	out->cache = out->logits + 4ull * h->vocab;
	for (uint32_t i = 0; i < h->n_past; i++) {
		int32_t token;

		memcpy(&token, out->past + 4 * i, sizeof(token));
		if (token < 0 || (uint32_t)token >= h->vocab)
			return bad(name, "it has a token outside the vocabulary");
	}
	return 0;
}

/* One part of a layer's cache: count runs, one a kv head, of slots bytes each, of which the first used lie in files. */
struct part {
	size_t offset, stride, slot;
};

#define PARTS 4

static unsigned parts_of(const weir_session *s, struct part part[PARTS])
{
	const struct weir_attention_shape *shape = &s->io.shape;
	const struct weir_kv_layout *l = &s->io.layer;
	size_t value = weir_kv_bytes(shape->kv) * shape->head_dim;

	part[0] = (struct part){l->k, value * shape->slots, value};
	part[1] = (struct part){l->v, value * shape->slots, value};
	part[2] = (struct part){l->k_scale, sizeof(float) * shape->slots, sizeof(float)};
	part[3] = (struct part){l->v_scale, sizeof(float) * shape->slots, sizeof(float)};
	return shape->kv == WEIR_KV_Q8 ? 4 : 2;
}

static void expect_of(const weir_session *s, struct weir_save_expect *e)
{
	struct part part[PARTS];
	unsigned n = parts_of(s, part);

	memset(e, 0, sizeof(*e));
	e->model[0] = s->model->fingerprint.lo;
	e->model[1] = s->model->fingerprint.hi;
	e->kv = s->set.kv;
	e->vocab = s->model->params.vocab;
	e->slots = s->slots;
	for (unsigned i = 0; i < n; i++)
		e->slot_bytes += (uint64_t)part[i].slot * s->model->params.layers * s->io.shape.kv_heads;
}

/* Calls fn with each run of the cache that a file holds, in the file's order. */
static int cache_walk(const weir_session *s, char *kv, uint32_t used, int (*fn)(void *user, char *run, size_t size),
	void *user)
{
	struct part part[PARTS];
	unsigned n = parts_of(s, part);
	int err = 0;

	for (uint32_t layer = 0; layer < s->model->params.layers; layer++)
		for (unsigned i = 0; i < n; i++)
			for (uint32_t head = 0; head < s->io.shape.kv_heads && !err; head++)
				err = fn(user, kv + layer * s->io.layer.size + part[i].offset + head * part[i].stride,
					used * part[i].slot);
	return err;
}

struct writer {
	FILE *file;
	struct weir_hash hash;
};

static int write_run(void *user, char *run, size_t size)
{
	struct writer *w = user;

	weir_hash_add(&w->hash, run, size);
	if (size && fwrite(run, size, 1, w->file) != 1)
		return -(errno ? errno : EIO);
	return 0;
}

static int session_write(weir_session *s, struct writer *w, char *kv)
{
	struct weir_save_expect e;
	struct weir_save_header h = {.magic = SAVE_MAGIC, .version = SAVE_VERSION, .header_size = sizeof(h)};
	int32_t past[WEIR_SAMPLER_PAST];
	int err;

	expect_of(s, &e);
	memcpy(h.model, e.model, sizeof(h.model));
	memcpy(h.random, s->sampler.random, sizeof(h.random));
	h.position = s->position;
	h.kv = e.kv;
	h.slots = s->slots.count;
	h.sinks = s->slots.sinks;
	h.window = s->slots.window;
	h.ring_size = s->slots.ring_size;
	h.vocab = e.vocab;
	h.n_past = (uint32_t)weir_session_past(s, past, WEIR_SAMPLER_PAST);
	h.used = weir_save_used(&s->slots, s->position);
	h.cache_size = h.used * e.slot_bytes;
	h.file_size = sizeof(h) + 4ull * h.n_past + 4ull * h.vocab + h.cache_size + sizeof(struct weir_hash);
	weir_hash_init(&w->hash);
	if ((err = write_run(w, (char *)&h, sizeof(h))) ||
		(err = write_run(w, (char *)past, h.n_past * sizeof(*past))) ||
		(err = write_run(w, (char *)s->logits, h.vocab * sizeof(float))) ||
		(err = cache_walk(s, kv, h.used, write_run, w)))
		return err;
	if (fwrite(&w->hash, sizeof(w->hash), 1, w->file) != 1)
		return -(errno ? errno : EIO);
	return 0;
}

int weir_session_save(weir_session *s, const char *path)
{
	struct weir_atomic_file f;
	struct writer w;
	void *kv;
	int err;

	if (!s->position)
		return weir_fail(ENODATA, "nothing to save: nothing was fed yet");
	err = weir_atomic_begin(&f, path);
	if (err)
		return err;
	err = weir_buffer_begin(s->io.kv, 0, weir_buffer_size(s->io.kv), WEIR_ACCESS_READ, &kv);
	if (err) {
		weir_atomic_abort(&f);
		return err;
	}
	w.file = f.file;
	err = session_write(s, &w, kv);
	weir_buffer_end(s->io.kv, kv);
	if (err) {
		weir_atomic_abort(&f);
		return weir_fail(-err, "cannot write %s: %s", path, strerror(-err));
	}
	return weir_atomic_commit(&f);
}

static int read_run(void *user, char *run, size_t size)
{
	const unsigned char **at = user;

	memcpy(run, *at, size);
	*at += size;
	return 0;
}

/* Takes a checked file over. */
static int session_take(weir_session *s, const struct weir_saved *saved)
{
	const struct weir_save_header *h = &saved->header;
	const unsigned char *cache = saved->cache;
	void *kv;
	int err = weir_buffer_begin(s->io.kv, 0, weir_buffer_size(s->io.kv), WEIR_ACCESS_READ | WEIR_ACCESS_WRITE,
		&kv);

	if (err)
		return err;
	cache_walk(s, kv, h->used, read_run, &cache);
	err = weir_buffer_end(s->io.kv, kv);
	if (err)
		return err;
	memcpy(s->logits, saved->logits, h->vocab * sizeof(float));
	memcpy(s->sampler.random, h->random, sizeof(h->random));
	s->position = h->position;
	for (uint32_t i = 0; i < h->n_past; i++)
		memcpy(&s->past[(h->position - 1 - i) % WEIR_SAMPLER_PAST], saved->past + 4 * i, 4);
	return 0;
}

int weir_session_load(weir_session *s, const char *path)
{
	struct weir_save_expect e;
	struct weir_saved saved;
	struct stat st;
	void *data = MAP_FAILED;
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;

	if (fd < 0 || fstat(fd, &st) < 0) {
		err = errno;
		err = weir_fail(err, "cannot read %s: %s", path, strerror(err));
		goto out;
	}
	if (!S_ISREG(st.st_mode) || st.st_size <= 0) {
		err = bad(path, "it is empty or no file");
		goto out;
	}
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED) {
		err = errno;
		err = weir_fail(err, "cannot map %s: %s", path, strerror(err));
		goto out;
	}
	expect_of(s, &e);
	err = weir_save_parse(data, (size_t)st.st_size, path, &e, &saved);
	if (!err)
		err = session_take(s, &saved);
out:
	if (data != MAP_FAILED)
		munmap(data, (size_t)st.st_size);
	if (fd >= 0)
		close(fd);
	return err;
}
