/* SPDX-License-Identifier: MIT */
/*
 * Resizing by a triangle filter, first along rows, then along columns. When it shrinks, the
 * triangle is as wide as what one pixel of the result covers, so that each pixel of the picture
 * counts. Weights in fixed point and 8 bits between the two passes are as in Pillow's Image.resize
 * with BILINEAR, so that networks see what they were trained on: the same bytes, or one off where
 * Pillow goes along columns first.
 */
#include <math.h>

#include "format/picture.h"

#define WEIGHT_BITS                                                                                \
	22 /* 8 bits of pixel, and room for the rounding of weights that sum up to one: below 2^31 \
	    */

/* Which pixels a pixel of the result is made of, and their weights. */
struct taps {
	unsigned n;	 /* of results */
	unsigned most;	 /* weights a result has at most */
	unsigned *first; /* (n) */
	unsigned *count; /* (n) */
	int32_t *weight; /* (n, most) */
};

static void taps_free(struct taps *t)
{
	free(t->first);
	free(t->count);
	free(t->weight);
}

/* The weights of result i: triangles sampled at the middles of pixels, scaled to sum up to one. */
static void taps_fill(struct taps *t, unsigned i, unsigned from, double scale, double *w)
{
	double width = fmax(scale, 1), middle = (i + 0.5) * scale, sum = 0;
	double begin = floor(fmax(middle - width + 0.5, 0)),
	       end = floor(fmin(middle + width + 0.5, from));
	unsigned n = (unsigned)(end - begin);

	for (unsigned k = 0; k < n; k++) {
		w[k] = fmax(1 - fabs((begin + k - middle + 0.5) * (1 / width)), 0);
		sum += w[k];
	}
	t->first[i] = (unsigned)begin;
	t->count[i] = n;
	for (unsigned k = 0; k < n; k++)
		t->weight[(size_t)i * t->most + k] =
			(int32_t)(0.5 + w[k] * (1 / sum) * (1 << WEIGHT_BITS));
}

/* From `from` pixels to n. */
static int taps_make(struct taps *t, unsigned from, unsigned n)
{
	double scale = (double)from / n, *w;
	size_t weights;

	memset(t, 0, sizeof(*t));
	t->n = n;
	t->most = 2 * (unsigned)ceil(fmax(scale, 1)) + 1;
	w = malloc(t->most * sizeof(*w));
	t->first = malloc(n * sizeof(*t->first));
	t->count = malloc(n * sizeof(*t->count));
	if (weir_size_mul(n, t->most * sizeof(*t->weight), &weights))
		t->weight = malloc(weights);
	for (unsigned i = 0; w && t->first && t->count && t->weight && i < n; i++)
		taps_fill(t, i, from, scale, w);
	free(w);
	if (w && t->first && t->count && t->weight)
		return 0;
	taps_free(t);
	return weir_fail(ENOMEM, "no memory to resize %u pixels to %u", from, n);
}

static unsigned char to_byte(int32_t sum)
{
	sum = (sum + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS;
	return (unsigned char)(sum > 255 ? 255 : sum);
}

static void resize_row(
	const struct taps *t, const unsigned char *in, unsigned channels, unsigned char *out)
{
	for (unsigned i = 0; i < t->n; i++) {
		const int32_t *w = t->weight + (size_t)i * t->most;
		const unsigned char *from = in + (size_t)t->first[i] * channels;

		for (unsigned c = 0; c < channels; c++) {
			int32_t sum = 0;

			for (unsigned k = 0; k < t->count[i]; k++)
				sum += w[k] * from[k * channels + c];
			*out++ = to_byte(sum);
		}
	}
}

/* Row i of the result out of rows of `pitch` bytes; sum has pitch places. */
static void resize_column(const struct taps *t, unsigned i, const unsigned char *in, size_t pitch,
	int32_t *sum, unsigned char *out)
{
	const int32_t *w = t->weight + (size_t)i * t->most;

	memset(sum, 0, pitch * sizeof(*sum));
	for (unsigned k = 0; k < t->count[i]; k++) {
		const unsigned char *row = in + (t->first[i] + (size_t)k) * pitch;

		for (size_t x = 0; x < pitch; x++)
			sum[x] += w[k] * row[x];
	}
	for (size_t x = 0; x < pitch; x++)
		out[x] = to_byte(sum[x]);
}

/* The rectangle [x, x + w) by [y, y + h) of p. */
struct box {
	unsigned x, y, w, h;
};

/* So much of the largest one of the aspect ratio width : height, in the middle, to whole pixels. */
static struct box middle(const struct weir_picture *p, double crop, unsigned width, unsigned height)
{
	struct box b = {0, 0, p->width, p->height};
	uint64_t wide = (uint64_t)p->width * height, tall = (uint64_t)p->height * width;

	if (wide > tall)
		b.w = (unsigned)((tall + height / 2) / height);
	else
		b.h = (unsigned)((wide + width / 2) / width);
	b.w = (unsigned)(b.w * crop + 0.5);
	b.h = (unsigned)(b.h * crop + 0.5);
	b.w = WEIR_MIN(WEIR_MAX(b.w, 1), p->width);
	b.h = WEIR_MIN(WEIR_MAX(b.h, 1), p->height);
	b.x = (p->width - b.w) / 2;
	b.y = (p->height - b.h) / 2;
	return b;
}

static int resize_box(const struct weir_picture *p, const struct box *b, const struct taps *across,
	const struct taps *down, unsigned char *out)
{
	size_t from = (size_t)p->width * p->channels, pitch = (size_t)across->n * p->channels, size;
	unsigned char *rows = weir_size_mul(pitch, b->h, &size) ? malloc(size) : NULL;
	int32_t *sum = malloc(pitch * sizeof(*sum));
	int err = 0;

	if (rows && sum) {
		for (unsigned y = 0; y < b->h; y++)
			resize_row(across,
				p->pixels + (b->y + (size_t)y) * from + (size_t)b->x * p->channels,
				p->channels, rows + y * pitch);
		for (unsigned y = 0; y < down->n; y++)
			resize_column(down, y, rows, pitch, sum, out + y * pitch);
	} else {
		err = weir_fail(ENOMEM, "no memory to resize a picture of %u x %u to %u x %u",
			p->width, p->height, across->n, down->n);
	}
	free(rows);
	free(sum);
	return err;
}

int weir_picture_resize(const struct weir_picture *p, double crop, unsigned width, unsigned height,
	unsigned char *out)
{
	struct taps across, down;
	struct box b;
	int err;

	if (!p->pixels || !p->width || !p->height || (p->channels != 1 && p->channels != 3))
		return weir_fail(EINVAL, "the picture to resize has no pixels");
	if (!width || !height || width > WEIR_PICTURE_SIDE || height > WEIR_PICTURE_SIDE)
		return weir_fail(EINVAL, "a picture cannot be resized to %u x %u", width, height);
	if (!(crop > 0 && crop <= 1))
		return weir_fail(
			EINVAL, "the part of a picture that is used is in (0, 1], not %g", crop);
	b = middle(p, crop, width, height);
	err = taps_make(&across, b.w, width);
	if (err)
		return err;
	err = taps_make(&down, b.h, height);
	if (!err) {
		err = resize_box(p, &b, &across, &down, out);
		taps_free(&down);
	}
	taps_free(&across);
	return err;
}
