/* SPDX-License-Identifier: MIT */
/* Writes pictures for tests: PNG and JPEG through their libraries' encoders, BMP by hand. */
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

#include "picture_writer.h"

static void png_add(png_structp png, png_bytep data, size_t size)
{
	struct picture_bytes *out = png_get_io_ptr(png);
	unsigned char *grown = realloc(out->data, out->size + size);

	if (!grown)
		png_error(png, "no memory");
	memcpy(grown + out->size, data, size);
	out->data = grown;
	out->size += size;
}

static void png_flush_nothing(png_structp png)
{
	(void)png;
}

static void png_set_extras(
	png_structp png, png_infop info, int depth, int color_type, int transparent)
{
	png_color palette[256];
	png_byte alpha[256];
	png_color_16 grey = {.gray = (png_uint_16)transparent};

	for (int i = 0; i < 256; i++) {
		palette[i] = (png_color){(png_byte)(i * 3), (png_byte)(i * 5), (png_byte)(i * 7)};
		alpha[i] = i == transparent ? 0 : 255;
	}
	if (color_type == PNG_COLOR_TYPE_PALETTE)
		png_set_PLTE(png, info, palette, 1 << depth);
	if (transparent >= 0 && color_type == PNG_COLOR_TYPE_PALETTE)
		png_set_tRNS(png, info, alpha, 1 << depth, NULL);
	else if (transparent >= 0)
		png_set_tRNS(png, info, NULL, 0, &grey);
}

struct picture_bytes picture_png(const unsigned char *rows, unsigned width, unsigned height,
	int depth, int color_type, bool interlaced, int transparent)
{
	struct picture_bytes out = {0};
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop info = png_create_info_struct(png);
	size_t pitch;

	if (setjmp(png_jmpbuf(png)))
		abort();
	png_set_write_fn(png, &out, png_add, png_flush_nothing);
	png_set_IHDR(png, info, width, height, depth, color_type,
		interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
		PNG_FILTER_TYPE_DEFAULT);
	png_set_extras(png, info, depth, color_type, transparent);
	png_write_info(png, info);
	pitch = png_get_rowbytes(png, info);
	for (int pass = png_set_interlace_handling(png); pass > 0; pass--)
		for (unsigned y = 0; y < height; y++)
			png_write_row(png, rows + y * pitch);
	png_write_end(png, info);
	png_destroy_write_struct(&png, &info);
	return out;
}

struct picture_bytes picture_jpeg(const unsigned char *pixels, unsigned width, unsigned height,
	int components, bool progressive, int quality)
{
	struct jpeg_compress_struct jpeg;
	struct jpeg_error_mgr errors; /* the standard one: it exits */
	struct picture_bytes out = {0};
	unsigned long size = 0;

	jpeg.err = jpeg_std_error(&errors);
	jpeg_create_compress(&jpeg);
	jpeg_mem_dest(&jpeg, &out.data, &size);
	jpeg.image_width = width;
	jpeg.image_height = height;
	jpeg.input_components = components;
	jpeg.in_color_space = components == 1	? JCS_GRAYSCALE
			      : components == 3 ? JCS_RGB
						: JCS_CMYK;
	jpeg_set_defaults(&jpeg);
	jpeg_set_quality(&jpeg, quality, TRUE);
	if (progressive)
		jpeg_simple_progression(&jpeg);
	jpeg_start_compress(&jpeg, TRUE);
	while (jpeg.next_scanline < height) {
		JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + (size_t)jpeg.next_scanline * width *
								      (size_t)components);

		jpeg_write_scanlines(&jpeg, &row, 1);
	}
	jpeg_finish_compress(&jpeg);
	jpeg_destroy_compress(&jpeg);
	out.size = size;
	return out;
}

static void put(unsigned char *p, unsigned bytes, uint32_t value)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (unsigned char)(value >> 8 * i);
}

static void bmp_header(unsigned char *d, unsigned width, unsigned height,
	const struct picture_bmp_settings *s, unsigned header)
{
	put(d, 4, header);
	if (s->core) {
		put(d + 4, 2, width);
		put(d + 6, 2, height);
		put(d + 8, 2, 1);
		put(d + 10, 2, s->bits);
		return;
	}
	put(d + 4, 4, width);
	put(d + 8, 4, s->top_down ? 0 - height : height);
	put(d + 12, 2, 1);
	put(d + 14, 2, s->bits);
	put(d + 16, 4, s->fields ? 3 : 0);
	put(d + 32, 4, s->n_colors);
	if (s->fields)
		for (unsigned i = 0; i < 3; i++)
			put(d + 40 + 4 * i, 4, 0xff0000u >> 8 * i);
}

static void bmp_palette(unsigned char *d, const struct picture_bmp_settings *s)
{
	const unsigned step = s->core ? 3 : 4;

	for (unsigned i = 0; i < s->n_colors; i++)
		for (unsigned c = 0; c < 3; c++)
			d[i * step + c] = s->palette[i * 3 + 2 - c];
}

static void bmp_row(unsigned char *to, const unsigned char *from, unsigned width, unsigned bits)
{
	for (unsigned x = 0; x < width && bits == 8; x++)
		to[x] = from[x];
	for (unsigned x = 0; x < width && bits > 8; x++)
		for (unsigned c = 0; c < 3; c++)
			to[x * bits / 8 + c] = from[x * 3 + 2 - c];
}

struct picture_bytes picture_bmp(const unsigned char *pixels, unsigned width, unsigned height,
	const struct picture_bmp_settings *s)
{
	const unsigned header = s->core	    ? 12
				: s->fields ? 56
					    : 40,
		       colors = s->n_colors * (s->core ? 3 : 4);
	const size_t begin = 14 + header + colors, stride = (width * s->bits / 8 + 3) / 4 * 4;
	struct picture_bytes out = {.size = begin + stride * height};

	out.data = calloc(1, out.size);
	if (!out.data)
		return out;
	memcpy(out.data, "BM", 2);
	put(out.data + 2, 4, (uint32_t)out.size);
	put(out.data + 10, 4, (uint32_t)begin);
	bmp_header(out.data + 14, width, height, s, header);
	bmp_palette(out.data + 14 + header, s);
	for (unsigned y = 0; y < height; y++)
		bmp_row(out.data + begin + (s->top_down ? y : height - 1 - y) * stride,
			pixels + (size_t)y * width * (s->bits == 8 ? 1 : 3), width, s->bits);
	return out;
}
