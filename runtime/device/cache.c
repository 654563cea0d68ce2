/* SPDX-License-Identifier: MIT */
/*
 * The disk cache of built programs. Whatever is wrong with it costs a build and never stops a run.
 */
#include "device/backend.h"

#define MAX_BINARY ((size_t)64 << 20)

/* In the byte order of this machine, as the binary behind it is. */
struct header {
	char magic[8];
	uint32_t version;
	uint32_t zero;
	uint64_t check; /* second hash of the key's material: an entry under a wrong name is refused
			 */
	uint64_t size;
	uint64_t checksum;
};

static const char magic[8] = {'W', 'E', 'I', 'R', 'P', 'R', 'O', 'G'};
#define VERSION 1

static void hash_material(struct weir_hash *h, const char *const *material, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t length = strlen(material[i]);

		weir_hash_add(h, &length, sizeof(length));
		weir_hash_add(h, material[i], length);
	}
}

void weir_cache_key_make(struct weir_cache_key *key, const char *const *material, size_t count)
{
	struct weir_hash h;

	weir_hash_init(&h);
	hash_material(&h, material, count);
	snprintf(key->name, sizeof(key->name), "%016llx%016llx", (unsigned long long)h.hi,
		(unsigned long long)h.lo);
	weir_hash_init(&h);
	weir_hash_add(&h, magic, sizeof(magic));
	hash_material(&h, material, count);
	key->check = h.lo;
}

static uint64_t checksum(const void *data, size_t size)
{
	struct weir_hash h;

	weir_hash_init(&h);
	weir_hash_add(&h, data, size);
	return h.lo ^ h.hi;
}

static bool entry_path(
	const char *folder, const struct weir_cache_key *key, char *path, size_t size)
{
	int length = snprintf(path, size, "%s/%s.bin", folder, key->name);

	return length > 0 && (size_t)length < size;
}

static bool entry_ok(const struct weir_cache_key *key, const char *entry, size_t size)
{
	struct header h;

	if (size <= sizeof(h))
		return false;
	memcpy(&h, entry, sizeof(h));
	return memcmp(h.magic, magic, sizeof(magic)) == 0 && h.version == VERSION && h.zero == 0 &&
	       h.check == key->check && h.size == size - sizeof(h) &&
	       h.checksum == checksum(entry + sizeof(h), size - sizeof(h));
}

int weir_cache_load(const char *folder, const struct weir_cache_key *key, void **data, size_t *size)
{
	char path[4096], *entry;
	size_t length;

	if (!entry_path(folder, key, path, sizeof(path)))
		return -ENOENT;
	if (weir_file_read(path, MAX_BINARY, &entry, &length) < 0)
		return -ENOENT;
	if (!entry_ok(key, entry, length)) {
		free(entry);
		return -ENOENT;
	}
	length -= sizeof(struct header);
	memmove(entry, entry + sizeof(struct header), length);
	*data = entry;
	*size = length;
	return 0;
}

void weir_cache_store(
	const char *folder, const struct weir_cache_key *key, const void *data, size_t size)
{
	struct header h = {.version = VERSION, .check = key->check, .size = size};
	struct weir_atomic_file file;
	char path[4096];

	if (size == 0 || size > MAX_BINARY - sizeof(h) ||
		!entry_path(folder, key, path, sizeof(path)))
		return;
	memcpy(h.magic, magic, sizeof(magic));
	h.checksum = checksum(data, size);
	if (weir_path_make(folder) < 0 || weir_atomic_begin(&file, path) < 0)
		return;
	if (fwrite(&h, sizeof(h), 1, file.file) == 1 && fwrite(data, size, 1, file.file) == 1)
		weir_atomic_commit(&file);
	else
		weir_atomic_abort(&file);
}
