/* SPDX-License-Identifier: MIT */
/* From pixels to a network's input: how they are scaled, and what a quantized input holds of them.
 */
#include <math.h>

#include "base/base.h"
#include "weir/vision.h"

/* He et al., Deep Residual Learning (arXiv 1512.03385): sides are resized to 256, and 224 are used.
 */
#define STANDARD_CROP (224.0 / 256)

/* What networks are trained on: pixels as they are, or spread over one of these. */
static const struct range {
	float lo, hi;
} ranges[] = {{0, 1}, {-1, 1}, {0, 255}};

/* How much of both ranges together is in each of them: 1 when they are the same. */
static double overlap(double lo, double hi, const struct range *r)
{
	double common = fmin(hi, (double)r->hi) - fmax(lo, (double)r->lo);

	return common > 0 ? common / (fmax(hi, (double)r->hi) - fmin(lo, (double)r->lo)) : 0;
}

void weir_picture_scaling_default(
	const struct weir_net_tensor *input, struct weir_picture_scaling *out)
{
	double lo = (-128.0 - input->zero) * (double)input->scale,
	       hi = (127.0 - input->zero) * (double)input->scale;
	const struct range *best = &ranges[0];

	memset(out, 0, sizeof(*out));
	out->size = sizeof(*out);
	if (input->scale > 0)
		for (size_t i = 1; i < WEIR_ARRAY_SIZE(ranges); i++)
			if (overlap(lo, hi, &ranges[i]) > overlap(lo, hi, best))
				best = &ranges[i];
	for (int c = 0; c < 3; c++) {
		out->scale[c] = 255 / (best->hi - best->lo);
		out->mean[c] = 0 - best->lo * out->scale[c];
	}
}

/* As QUANTIZE does: halves away from zero, and what the type cannot hold to its end. */
static int8_t quantize(float value, const struct weir_net_tensor *t)
{
	float q = roundf(value / t->scale) + (float)t->zero;

	return (int8_t)fminf(fmaxf(q, -128), 127);
}

static float scaled(unsigned pixel, const struct weir_picture_scaling *s, unsigned c)
{
	return s->raw ? (float)pixel : ((float)pixel - s->mean[c]) / s->scale[c];
}

static void fill_int8(const unsigned char *pixels, size_t n, unsigned channels,
	const struct weir_net_tensor *t, const struct weir_picture_scaling *s, int8_t *out)
{
	int8_t table[3][256];

	for (unsigned c = 0; c < channels; c++)
		for (unsigned v = 0; v < 256; v++)
			table[c][v] = s->raw ? (int8_t)v : quantize(scaled(v, s, c), t);
	for (size_t i = 0; i < n; i++)
		for (unsigned c = 0; c < channels; c++)
			*out++ = table[c][*pixels++];
}

static void fill_float(const unsigned char *pixels, size_t n, unsigned channels,
	const struct weir_picture_scaling *s, float *out)
{
	float table[3][256];

	for (unsigned c = 0; c < channels; c++)
		for (unsigned v = 0; v < 256; v++)
			table[c][v] = scaled(v, s, c);
	for (size_t i = 0; i < n; i++)
		for (unsigned c = 0; c < channels; c++)
			*out++ = table[c][*pixels++];
}

static int check_input(const struct weir_net_tensor *t, const struct weir_picture_scaling *s)
{
	if (t->n_dims != 4 || t->dim[0] != 1 || (t->dim[3] != 1 && t->dim[3] != 3))
		return weir_fail(EOPNOTSUPP,
			"input %s does not take a picture: its shape is not [1, height, width, 1 "
			"or 3]",
			t->name);
	if (strcmp(t->type, "float32") && (strcmp(t->type, "int8") || !(t->scale > 0 || s->raw)))
		return weir_fail(EOPNOTSUPP,
			"input %s does not take a picture: it is neither float32 nor quantized "
			"int8",
			t->name);
	for (int c = 0; c < t->dim[3] && !s->raw; c++)
		if (!isfinite(s->mean[c]) || !isfinite(s->scale[c]) || !s->scale[c])
			return weir_fail(EINVAL,
				"pixels of channel %d cannot be scaled by (pixel - %g) / %g", c,
				(double)s->mean[c], (double)s->scale[c]);
	return 0;
}

/* The pixels of the input's size and channels, malloced. */
static int fit(const struct weir_picture *p, const struct weir_net_tensor *t, double crop,
	unsigned char **out)
{
	unsigned width = (unsigned)t->dim[2], height = (unsigned)t->dim[1],
		 channels = (unsigned)t->dim[3];
	int err;

	if (!crop)
		crop = p->width == width && p->height == height ? 1 : STANDARD_CROP;

	if (p->channels != channels)
		return weir_fail(EINVAL,
			"input %s takes %u channels, the picture has %u: decode it with as many",
			t->name, channels, p->channels);
	*out = malloc((size_t)width * height * channels);
	if (!*out)
		return weir_fail(ENOMEM, "no memory for a picture of %u x %u", width, height);
	err = weir_picture_resize(p, crop, width, height, *out);
	if (err)
		free(*out);
	return err;
}

int weir_net_input_picture(weir_net *net, unsigned i, const struct weir_picture *p,
	const struct weir_picture_scaling *scaling)
{
	struct weir_picture_scaling s;
	struct weir_net_tensor t;
	unsigned char *pixels;
	void *bytes;
	int err = weir_net_input(net, i, &t);

	if (err)
		return err;
	if (scaling)
		s = *scaling;
	else
		weir_picture_scaling_default(&t, &s);
	err = check_input(&t, &s);
	if (err)
		return err;
	err = fit(p, &t, (double)s.crop, &pixels);
	if (err)
		return err;
	err = weir_net_input_begin(net, i, &bytes);
	if (!err) {
		size_t n = (size_t)t.dim[1] * (size_t)t.dim[2];

		if (!strcmp(t.type, "int8"))
			fill_int8(pixels, n, (unsigned)t.dim[3], &t, &s, bytes);
		else
			fill_float(pixels, n, (unsigned)t.dim[3], &s, bytes);
		err = weir_net_input_end(net, i);
	}
	free(pixels);
	return err;
}
