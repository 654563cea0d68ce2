/* SPDX-License-Identifier: MIT */
/* What the readers of picture formats share: the bytes they read and the pixels they fill. */
#ifndef WEIR_FORMAT_PICTURE_H
#define WEIR_FORMAT_PICTURE_H

#include "base/base.h"
#include "weir/vision.h"

/*
 * More than any camera has; sizes in bytes stay far from overflow. A side's limit is libpng's own
 * default.
 */
#define WEIR_PICTURE_PIXELS (UINT64_C(1) << 28)
#define WEIR_PICTURE_SIDE 1000000

struct weir_picture_file {
	const unsigned char *data;
	size_t size;
	const char *name; /* for sentences */
};

/* Whether data begins as files of that format do. */
bool weir_picture_is_png(const struct weir_picture_file *f);
bool weir_picture_is_jpeg(const struct weir_picture_file *f);
bool weir_picture_is_bmp(const struct weir_picture_file *f);

/*
 * Decode into out, which was zeroed: grey where the file is grey, else RGB. After a failure out is
 * not to be freed.
 */
int weir_picture_png(const struct weir_picture_file *f, struct weir_picture *out);
int weir_picture_jpeg(const struct weir_picture_file *f, struct weir_picture *out);
int weir_picture_bmp(const struct weir_picture_file *f, struct weir_picture *out);

/*
 * Checks the size that a file's header claims, and that its bytes can be so many pixels at all:
 * `most` is how many of them one byte of the file can stand for in this format. Then sets out's
 * fields, pixels malloced.
 */
int weir_picture_make(const struct weir_picture_file *f, uint64_t width, uint64_t height,
	unsigned channels, unsigned most, struct weir_picture *out);

#endif
