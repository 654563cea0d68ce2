/* SPDX-License-Identifier: MIT */
/* PNG files, by libpng: its errors become sentences, alpha is blended over black, 16 bits become 8.
 */
#include <setjmp.h>

#include <png.h>

#include "format/picture.h"

/* Deflate writes at most 258 bytes for every 2 bits (RFC 1951), and a pixel takes at least one bit.
 */
#define PIXELS_A_BYTE (258 * 4 * 8)
/* Of an ancillary chunk: none that is read here is larger. */
#define CHUNK_MAX 65536

struct reader {
	const struct weir_picture_file *file;
	size_t at;
	png_structp png;
	png_infop info;
	struct weir_picture *out;
	unsigned char *rows; /* a row with alpha, or all of them when the file is interlaced */
	png_bytepp row;	     /* the rows of an interlaced file */
	int err;	     /* where the sentence already stands */
};

bool weir_picture_is_png(const struct weir_picture_file *f)
{
	return f->size >= 8 && !png_sig_cmp(f->data, 0, 8);
}

static void on_error(png_structp png, png_const_charp text)
{
	struct reader *r = png_get_error_ptr(png);

	if (!r->err)
		r->err = weir_fail(EINVAL, "%s: damaged PNG file: %s", r->file->name, text);
	png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
	(void)png;
	(void)text;
}

static void on_read(png_structp png, png_bytep to, size_t n)
{
	struct reader *r = png_get_io_ptr(png);

	if (n > r->file->size - r->at) {
		r->err = weir_fail(EINVAL, "%s: the PNG file ends early, at byte %zu",
			r->file->name, r->file->size);
		png_error(png, "early end");
	}
	memcpy(to, r->file->data + r->at, n);
	r->at += n;
}

/* A bad allocation within libpng ends in its error handler; ours, here, too. */
static void *need(struct reader *r, void *memory)
{
	if (!memory) {
		r->err = weir_fail(ENOMEM, "%s: no memory to decode it", r->file->name);
		png_error(r->png, "no memory");
	}
	return memory;
}

/* What comes out of libpng: 8 bits of grey or RGB, with alpha or without. */
static void transform(struct reader *r)
{
	png_structp png = r->png;

	png_set_expand(png); /* palettes, fewer than 8 bits, and a transparent colour into alpha */
	png_set_strip_16(png);
	png_set_interlace_handling(png);
	png_read_update_info(png, r->info);
}

static void blend(const unsigned char *from, size_t pixels, unsigned channels, unsigned char *to)
{
	for (size_t i = 0; i < pixels; i++, from += channels + 1)
		for (unsigned c = 0; c < channels; c++)
			*to++ = (unsigned char)((from[c] * from[channels] + 127) / 255);
}

static void read_rows(struct reader *r, bool alpha)
{
	struct weir_picture *p = r->out;
	size_t pitch = (size_t)p->width * p->channels;

	if (alpha)
		r->rows = need(r, malloc((size_t)p->width * (p->channels + 1)));
	for (unsigned y = 0; y < p->height; y++) {
		unsigned char *row = p->pixels + y * pitch;

		png_read_row(r->png, alpha ? r->rows : row, NULL);
		if (alpha)
			blend(r->rows, p->width, p->channels, row);
	}
}

/* Every pass goes over all rows. */
static void read_interlaced(struct reader *r, bool alpha)
{
	struct weir_picture *p = r->out;
	size_t pitch = (size_t)p->width * (p->channels + alpha);
	unsigned char *pixels = p->pixels;

	if (alpha)
		pixels = r->rows = need(r, malloc(pitch * p->height));
	r->row = need(r, malloc(p->height * sizeof(*r->row)));
	for (unsigned y = 0; y < p->height; y++)
		r->row[y] = pixels + y * pitch;
	png_read_image(r->png, r->row);
	if (alpha)
		blend(pixels, (size_t)p->width * p->height, p->channels, p->pixels);
}

static void read_picture(struct reader *r)
{
	unsigned channels;
	bool alpha, interlaced;

	png_set_read_fn(r->png, r, on_read);
	png_set_keep_unknown_chunks(
		r->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1); /* colour profiles, texts and the like */
	png_set_chunk_malloc_max(r->png, CHUNK_MAX);
	png_read_info(r->png, r->info);
	interlaced = png_get_interlace_type(r->png, r->info) != PNG_INTERLACE_NONE;
	transform(r);
	channels = png_get_channels(r->png, r->info);
	alpha = channels % 2 == 0;
	r->err = weir_picture_make(r->file, png_get_image_width(r->png, r->info),
		png_get_image_height(r->png, r->info), channels - alpha, PIXELS_A_BYTE, r->out);
	if (r->err)
		png_error(r->png, "size");
	if (interlaced)
		read_interlaced(r, alpha);
	else
		read_rows(r, alpha);
	png_read_end(r->png, NULL); /* the rest of the data's checksums */
}

int weir_picture_png(const struct weir_picture_file *f, struct weir_picture *out)
{
	/* In memory, not in registers, whatever longjmp does. */
	struct reader *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return weir_fail(ENOMEM, "%s: no memory to decode it", f->name);
	r->file = f;
	r->out = out;
	r->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r, on_error, on_warning);
	r->info = r->png ? png_create_info_struct(r->png) : NULL;
	if (!r->info)
		r->err = weir_fail(ENOMEM,
			"%s: libpng cannot be used: no memory, or not of version %s", f->name,
			PNG_LIBPNG_VER_STRING);
	else if (!setjmp(png_jmpbuf(r->png)))
		read_picture(r);
	err = r->err;
	png_destroy_read_struct(&r->png, &r->info, NULL);
	free(r->rows);
	free(r->row);
	free(r);
	if (err)
		free(out->pixels);
	return err;
}
