/* SPDX-License-Identifier: MIT */
/* Writes pictures for tests: PNG and JPEG through their libraries' encoders, BMP by hand. */
#ifndef WEIR_TESTS_PICTURE_WRITER_H
#define WEIR_TESTS_PICTURE_WRITER_H

#include <stdbool.h>
#include <stddef.h>

struct picture_bytes {
	unsigned char *data; /* malloced; NULL when the encoder failed */
	size_t size;
};

/*
 * rows: height rows as PNG stores them: packed samples, 16 bits with the high byte first.
 * color_type is libpng's. A palette has grey[i] = 3 * i, in three channels that are i * 3, i * 5
 * and i * 7 modulo 256. transparent >= 0: the tRNS chunk has that grey value or palette entry fully
 * transparent.
 */
struct picture_bytes picture_png(const unsigned char *rows, unsigned width, unsigned height,
	int depth, int color_type, bool interlaced, int transparent);

/* pixels: height rows of width * components bytes, components 1 (grey), 3 (RGB) or 4 (CMYK). */
struct picture_bytes picture_jpeg(const unsigned char *pixels, unsigned width, unsigned height,
	int components, bool progressive, int quality);

/*
 * pixels: indices (bits 8) or RGB (bits 24, 32), the top row first. palette: n_colors times RGB,
 * for bits 8. A core header is the one of OS/2. fields: 32 bits with masks.
 */
struct picture_bmp_settings {
	unsigned bits, n_colors;
	const unsigned char *palette;
	bool top_down, core, fields;
};
struct picture_bytes picture_bmp(const unsigned char *pixels, unsigned width, unsigned height,
	const struct picture_bmp_settings *s);

#endif
