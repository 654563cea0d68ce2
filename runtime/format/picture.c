/* SPDX-License-Identifier: MIT */
/* Pictures from files and memory: which format it is, and how many channels the caller wants. */
#include "format/picture.h"

/* Larger files are no pictures that Weir could decode: 2^28 pixels of 4 bytes, and a header. */
#define FILE_MAX ((size_t)(4 * WEIR_PICTURE_PIXELS) + 65536)

int weir_picture_make(const struct weir_picture_file *f, uint64_t width, uint64_t height,
	unsigned channels, unsigned most, struct weir_picture *out)
{
	if (!width || !height)
		return weir_fail(EINVAL, "%s: the picture has no pixels: %llu x %llu", f->name,
			(unsigned long long)width, (unsigned long long)height);
	if (width > WEIR_PICTURE_SIDE || height > WEIR_PICTURE_SIDE ||
		width * height > WEIR_PICTURE_PIXELS)
		return weir_fail(EFBIG,
			"%s: a picture of %llu x %llu is too large: at most %d a side and 2^28 "
			"pixels",
			f->name, (unsigned long long)width, (unsigned long long)height,
			WEIR_PICTURE_SIDE);
	if (width * height / most > f->size)
		return weir_fail(EINVAL,
			"%s: the file's %zu bytes cannot be the %llu x %llu pixels it claims",
			f->name, f->size, (unsigned long long)width, (unsigned long long)height);
	out->pixels = malloc((size_t)(width * height) * channels);
	if (!out->pixels)
		return weir_fail(ENOMEM, "%s: no memory for %llu x %llu pixels", f->name,
			(unsigned long long)width, (unsigned long long)height);
	out->width = (unsigned)width;
	out->height = (unsigned)height;
	out->channels = channels;
	return 0;
}

/* Luma of ITU-R BT.601 (0.299 R + 0.587 G + 0.114 B) in 16-bit fixed point, rounded. */
static unsigned char luma(const unsigned char *rgb)
{
	return (unsigned char)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 32768) >> 16);
}

static int to_grey(struct weir_picture *p)
{
	size_t n = (size_t)p->width * p->height;
	unsigned char *smaller;

	for (size_t i = 0; i < n; i++)
		p->pixels[i] = luma(p->pixels + 3 * i);
	p->channels = 1;
	smaller = realloc(p->pixels, n);
	if (smaller)
		p->pixels = smaller;
	return 0;
}

static int to_rgb(struct weir_picture *p, const char *name)
{
	size_t n = (size_t)p->width * p->height;
	unsigned char *larger = realloc(p->pixels, 3 * n);

	if (!larger)
		return weir_fail(
			ENOMEM, "%s: no memory for %u x %u pixels", name, p->width, p->height);
	p->pixels = larger;
	p->channels = 3;
	for (size_t i = n; i-- > 0;)
		memset(larger + 3 * i, larger[i], 3);
	return 0;
}

static int decode(const struct weir_picture_file *f, struct weir_picture *out)
{
	if (!f->size)
		return weir_fail(EMEDIUMTYPE, "%s: the file is empty", f->name);
	if (weir_picture_is_png(f))
		return weir_picture_png(f, out);
	if (weir_picture_is_jpeg(f))
		return weir_picture_jpeg(f, out);
	if (weir_picture_is_bmp(f))
		return weir_picture_bmp(f, out);
	return weir_fail(
		EMEDIUMTYPE, "%s: this is neither a PNG nor a JPEG nor a BMP file", f->name);
}

int weir_picture_decode(const void *data, size_t size, const char *name, unsigned channels,
	struct weir_picture *out)
{
	const struct weir_picture_file f = {data, size, name};
	int err;

	memset(out, 0, sizeof(*out));
	if (channels != 0 && channels != 1 && channels != 3)
		return weir_fail(
			EINVAL, "%s: a picture has 1 or 3 channels, not %u", name, channels);
	err = decode(&f, out);
	if (err) {
		memset(out, 0, sizeof(*out));
		return err;
	}
	if (channels == 1 && out->channels == 3)
		err = to_grey(out);
	else if (channels == 3 && out->channels == 1)
		err = to_rgb(out, name);
	if (err)
		weir_picture_free(out);
	return err;
}

int weir_picture_read(const char *path, unsigned channels, struct weir_picture *out)
{
	char *data = NULL;
	size_t size = 0;
	int err;

	memset(out, 0, sizeof(*out));
	err = weir_file_read(path, FILE_MAX, &data, &size);
	if (err)
		return err;
	err = weir_picture_decode(data, size, path, channels, out);
	free(data);
	return err;
}

void weir_picture_free(struct weir_picture *p)
{
	free(p->pixels);
	memset(p, 0, sizeof(*p));
}
