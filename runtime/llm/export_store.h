/* SPDX-License-Identifier: MIT */
/*
 * OUT.partial/: what a model is while it is written. It holds "data", the file or folder that will be renamed to OUT, and
 * "journal", which says whose it is and how much of it has reached the disk. The folder itself is locked.
 */
#ifndef WEIR_LLM_EXPORT_STORE_H
#define WEIR_LLM_EXPORT_STORE_H

#include "base/base.h"
#include "llm/export.h"

struct weir_store_settings {
	const char *path; /* OUT */
	const char *file; /* of the tensors, in the folder that OUT will be; NULL: OUT is that file */
	const char *const *known; /* names of files in such a folder, ends with NULL: others are not deleted to overwrite it */
	bool overwrite;
	uint64_t identity[2];
	const void *header; /* the file's first bytes; part of the identity, since they say where everything lies */
	size_t header_size;
	uint64_t file_size;
	size_t n_flags; /* tensors */
};

struct weir_store {
	char *path, *partial, *data, *journal; /* OUT, OUT.partial, OUT.partial/data, OUT.partial/journal */
	char *file;			       /* of the tensors: data, or in it */
	const char *const *known;
	bool folder, overwrite, finished;
	int lock, fd;			       /* OUT.partial; file */
	enum weir_export_found found;
	uint64_t identity[2];
	struct weir_hash header;
	uint64_t file_size;
	unsigned stages; /* done */
	size_t n_flags;
	uint8_t *flags; /* 1: the tensor was given */
};

/* As weir_export_open says. The store keeps nothing of s but known. A store that failed to open is closed already. */
int weir_store_open(struct weir_store *st, const struct weir_store_settings *s);
/* Bytes at a place in the file; threads may share a store. */
int weir_store_write(struct weir_store *st, uint64_t offset, const void *data, size_t size);
/* Everything written so far reaches the disk, then the journal, with so many stages and the flags as they are. */
int weir_store_sync(struct weir_store *st, unsigned stages);
/* Another file of the folder, beside that of the tensors. */
int weir_store_text(struct weir_store *st, const char *name, const char *text, size_t size);
/* Renames data to OUT and removes OUT.partial. */
int weir_store_finish(struct weir_store *st);
/* Without finish, OUT.partial stays if it holds a stage. */
void weir_store_close(struct weir_store *st);

#endif
