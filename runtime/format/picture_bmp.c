/* SPDX-License-Identifier: MIT */
/*
 * BMP files without compression: 8 bits with a palette, 24 and 32 bits, bottom-up or top-down.
 * Layout: Microsoft's BITMAPFILEHEADER, BITMAPCOREHEADER, BITMAPINFOHEADER and its longer versions.
 */
#include "format/picture.h"

#define FILE_HEADER 14
#define CORE_HEADER 12
#define INFO_HEADER 40
#define RGB_UNPACKED 0 /* values of the field for the compression */
#define BIT_FIELDS 3

struct header {
	uint32_t size, compression, colors;
	size_t palette, pixels; /* where they begin */
	unsigned palette_step;	/* bytes a colour */
	int64_t width, height;	/* a negative height: the first row is the top one */
	unsigned bits;
};

static uint32_t u16(const unsigned char *p)
{
	return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32(const unsigned char *p)
{
	return u16(p) | u16(p + 2) << 16;
}

bool weir_picture_is_bmp(const struct weir_picture_file *f)
{
	return f->size >= FILE_HEADER + 4 && f->data[0] == 'B' && f->data[1] == 'M';
}

/* The only masks of 32 bits that are read: bytes in the order that pixels without masks have. */
static int check_masks(const struct weir_picture_file *f, const struct header *h)
{
	const unsigned char *mask = f->data + FILE_HEADER + INFO_HEADER;

	if (f->size < FILE_HEADER + INFO_HEADER + 12)
		return weir_fail(EINVAL, "%s: the BMP file ends in its header", f->name);
	if (h->bits != 32 || u32(mask) != 0xff0000 || u32(mask + 4) != 0xff00 ||
		u32(mask + 8) != 0xff)
		return weir_fail(
			EOPNOTSUPP, "%s: BMP with these colour masks is not supported", f->name);
	return 0;
}

static int read_header(const struct weir_picture_file *f, struct header *h)
{
	const unsigned char *d = f->data + FILE_HEADER;

	h->pixels = u32(f->data + 10);
	h->size = u32(d);
	if ((h->size != CORE_HEADER && h->size < INFO_HEADER) || h->size > f->size - FILE_HEADER)
		return weir_fail(
			EINVAL, "%s: the BMP file has a header of %u bytes", f->name, h->size);
	if (h->size == CORE_HEADER) {
		h->width = u16(d + 4);
		h->height = u16(d + 6);
		h->bits = u16(d + 10);
		h->palette_step = 3;
	} else {
		h->width = (int32_t)u32(d + 4);
		h->height = (int32_t)u32(d + 8);
		h->bits = u16(d + 14);
		h->compression = u32(d + 16);
		h->colors = u32(d + 32);
		h->palette_step = 4;
	}
	h->palette = FILE_HEADER + h->size;
	if (h->bits != 8 && h->bits != 24 && h->bits != 32)
		return weir_fail(EOPNOTSUPP, "%s: BMP with %u bits a pixel is not supported",
			f->name, h->bits);
	if (h->compression == BIT_FIELDS)
		return check_masks(f, h);
	if (h->compression != RGB_UNPACKED)
		return weir_fail(EOPNOTSUPP, "%s: BMP with compression (%u) is not supported",
			f->name, h->compression);
	return 0;
}

/* 0 when the palette is there; sets whether it is of greys alone. */
static int check_palette(const struct weir_picture_file *f, struct header *h, bool *grey)
{
	*grey = h->bits == 8;
	if (h->bits != 8)
		return 0;
	if (!h->colors)
		h->colors = 256;
	if (h->colors > 256 || h->palette + (size_t)h->colors * h->palette_step > f->size)
		return weir_fail(EINVAL, "%s: the BMP file ends in its palette of %u colours",
			f->name, h->colors);
	for (uint32_t i = 0; i < h->colors; i++) {
		const unsigned char *color = f->data + h->palette + (size_t)i * h->palette_step;

		*grey = *grey && color[0] == color[1] && color[1] == color[2];
	}
	return 0;
}

static int row_palette(const struct weir_picture_file *f, const struct header *h,
	const unsigned char *from, const struct weir_picture *p, unsigned char *to)
{
	for (unsigned x = 0; x < p->width; x++) {
		const unsigned char *color =
			f->data + h->palette + (size_t)from[x] * h->palette_step;

		if (from[x] >= h->colors)
			return weir_fail(EINVAL, "%s: a pixel has colour %u of a palette of %u",
				f->name, from[x], h->colors);
		for (unsigned c = 0; c < p->channels; c++)
			*to++ = color[p->channels - 1 - c]; /* blue comes first in files */
	}
	return 0;
}

static void row_direct(
	const struct header *h, const unsigned char *from, unsigned width, unsigned char *to)
{
	for (unsigned x = 0; x < width; x++, from += h->bits / 8) {
		*to++ = from[2];
		*to++ = from[1];
		*to++ = from[0];
	}
}

static int read_rows(
	const struct weir_picture_file *f, const struct header *h, const struct weir_picture *p)
{
	size_t stride = ((size_t)p->width * h->bits / 8 + 3) & ~(size_t)3;
	size_t pitch = (size_t)p->width * p->channels;
	int err = 0;

	if (h->pixels < h->palette)
		return weir_fail(EINVAL,
			"%s: the BMP file's pixels begin at byte %zu, in its header", f->name,
			h->pixels);
	/* stride * height is below 2^31: the picture has at most 2^28 pixels. */
	if (h->pixels > f->size || stride * p->height > f->size - h->pixels)
		return weir_fail(EINVAL,
			"%s: the BMP file ends early: its pixels take %zu bytes from byte %zu on, "
			"it has %zu",
			f->name, stride * p->height, h->pixels, f->size);
	for (unsigned y = 0; y < p->height && !err; y++) {
		const unsigned char *from = f->data + h->pixels + y * stride;
		unsigned char *to = p->pixels + (h->height < 0 ? y : p->height - 1 - y) * pitch;

		if (h->bits == 8)
			err = row_palette(f, h, from, p, to);
		else
			row_direct(h, from, p->width, to);
	}
	return err;
}

int weir_picture_bmp(const struct weir_picture_file *f, struct weir_picture *out)
{
	struct header h = {0};
	bool grey = false;
	int err = read_header(f, &h);

	if (!err)
		err = check_palette(f, &h, &grey);
	if (!err && h.width < 0)
		err = weir_fail(EINVAL, "%s: the BMP file has a width of %lld", f->name,
			(long long)h.width);
	if (!err)
		err = weir_picture_make(f, (uint64_t)h.width,
			(uint64_t)(h.height < 0 ? -h.height : h.height), grey ? 1 : 3, 1, out);
	if (!err)
		err = read_rows(f, &h, out);
	if (err)
		free(out->pixels);
	return err;
}
