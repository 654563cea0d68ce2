/* SPDX-License-Identifier: MIT */
/* cnn_resize.clh against each pixel by TFLite's formulas, without tables. */
#include "cnn.h"

#include <math.h>

#include "base/base.h"

struct resize {
	enum weir_tflite_type type;
	bool bilinear, align_corners, half_pixel_centers;
	int n, in[2], c, out[2];
	const void *values;
};

static const void *value_at(const struct resize *r, int n, int y, int x, int c)
{
	size_t at = (size_t)(((n * r->in[0] + y) * r->in[1] + x) * r->c + c);

	return (const char *)r->values + at * weir_tflite_type_size(r->type);
}

static float float_at(const struct resize *r, int n, int y, int x, int c)
{
	float v;

	memcpy(&v, value_at(r, n, y, x, c), sizeof(v));
	return v;
}

static float scale_of(const struct resize *r, int d)
{
	if (r->align_corners && r->out[d] > 1)
		return (float)(r->in[d] - 1) / (float)(r->out[d] - 1);
	return (float)r->in[d] / (float)r->out[d];
}

static int nearest(const struct resize *r, int d, int i)
{
	float at = ((float)i + (r->half_pixel_centers ? 0.5f : 0)) * scale_of(r, d);
	int pixel = (int)(r->align_corners ? roundf(at) : floorf(at));

	return pixel < r->in[d] ? pixel : r->in[d] - 1;
}

static float bilinear_f32(const struct resize *r, int n, int y, int x, int c)
{
	const int place[2] = {y, x};
	float at[2], part[2];
	int low[2], high[2];

	for (int d = 0; d < 2; d++) {
		at[d] = (float)place[d] * scale_of(r, d);
		if (r->half_pixel_centers)
			at[d] = ((float)place[d] + 0.5f) * scale_of(r, d) - 0.5f;
		low[d] = at[d] > 0 ? (int)floorf(at[d]) : 0;
		high[d] = (int)ceilf(at[d]) < r->in[d] ? (int)ceilf(at[d]) : r->in[d] - 1;
		part[d] = at[d] - (float)low[d];
	}
	return 0.0f + float_at(r, n, low[0], low[1], c) * (1 - part[0]) * (1 - part[1]) +
	       float_at(r, n, high[0], low[1], c) * part[0] * (1 - part[1]) +
	       float_at(r, n, low[0], high[1], c) * (1 - part[0]) * part[1] +
	       float_at(r, n, high[0], high[1], c) * part[0] * part[1];
}

static int8_t bilinear_i8(const struct resize *r, int n, int y, int x, int c)
{
	const int place[2] = {y, x};
	int64_t sum = 0, part[2], low[2], high[2];

	for (int d = 0; d < 2; d++) {
		bool corners = r->align_corners && r->out[d] > 1;
		int64_t in = r->in[d] - corners, out = r->out[d] - corners, scale = (1024 * in + out / 2) / out;
		int64_t at = place[d] * scale + (r->half_pixel_centers ? scale / 2 - 512 : 0);

		low[d] = at / 1024 > 0 ? at / 1024 : 0;
		high[d] = (at + 1023) / 1024 < r->in[d] ? (at + 1023) / 1024 : r->in[d] - 1;
		part[d] = at - 1024 * low[d];
	}
	for (int k = 0; k < 4; k++) {
		int64_t v = *(const int8_t *)value_at(
			r, n, (int)(k & 1 ? high[0] : low[0]), (int)(k & 2 ? high[1] : low[1]), c);

		sum += v * (k & 1 ? part[0] : 1024 - part[0]) * (k & 2 ? part[1] : 1024 - part[1]);
	}
	return (int8_t)((sum + (sum > 0 ? 1 << 19 : -(1 << 19))) / (1 << 20));
}

static void want_value(const struct resize *r, int n, int y, int x, int c, void *to)
{
	float f;
	int8_t q;

	if (!r->bilinear) {
		memcpy(to, value_at(r, n, nearest(r, 0, y), nearest(r, 1, x), c),
			weir_tflite_type_size(r->type));
	} else if (r->type == WEIR_TFLITE_F32) {
		f = bilinear_f32(r, n, y, x, c);
		memcpy(to, &f, sizeof(f));
	} else {
		q = bilinear_i8(r, n, y, x, c);
		memcpy(to, &q, sizeof(q));
	}
}

static void *want_all(const struct resize *r)
{
	size_t size = weir_tflite_type_size(r->type);
	char *want = malloc((size_t)(r->n * r->out[0] * r->out[1] * r->c) * size), *to = want;

	for (int n = 0; n < r->n; n++) {
		for (int y = 0; y < r->out[0]; y++) {
			for (int x = 0; x < r->out[1]; x++) {
				for (int c = 0; c < r->c; c++, to += size)
					want_value(r, n, y, x, c, to);
			}
		}
	}
	return want;
}

static void *random_values(struct checkcl *c, enum weir_tflite_type type, size_t n)
{
	char *v = malloc(n * weir_tflite_type_size(type));

	for (size_t i = 0; i < n; i++) {
		float f = checkcl_uniform(c, -1000, 1000);

		if (type == WEIR_TFLITE_F32)
			memcpy(v + i * 4, &f, 4);
		else
			v[i] = (char)cnn_random(c, cnn_random(c, 0, 2) ? -128 : 127, 127);
	}
	return v;
}

static void run_case(struct checkcl *c, struct resize *r)
{
	int32_t in_dim[4] = {r->n, r->in[0], r->in[1], r->c}, out_dim[4] = {r->n, r->out[0], r->out[1], r->c};
	int32_t ids[2], out, two = 2;
	void *values = random_values(c, r->type, (size_t)(r->n * r->in[0] * r->in[1] * r->c)), *want;
	struct weir_tflite_op *o;
	struct cnn_net net;
	char params[160];

	r->values = values;
	want = want_all(r);
	snprintf(params, sizeof(params), "%s %s %dx[%d, %d]x%d to [%d, %d]%s%s",
		r->bilinear ? "bilinear" : "nearest", weir_tflite_type_name(r->type), r->n, r->in[0], r->in[1],
		r->c, r->out[0], r->out[1], r->align_corners ? ", corners" : "",
		r->half_pixel_centers ? ", half pixels" : "");
	cnn_net_start(&net);
	ids[0] = cnn_net_tensor(&net, r->type, 4, in_dim, NULL);
	ids[1] = cnn_net_tensor(&net, WEIR_TFLITE_I32, 1, &two, r->out);
	out = cnn_net_tensor(&net, r->type, 4, out_dim, NULL);
	if (r->type == WEIR_TFLITE_I8) {
		cnn_net_quantize(&net, ids[0], 0.1f, 3);
		cnn_net_quantize(&net, out, 0.1f, 3);
	}
	o = cnn_net_op(&net, r->bilinear ? WEIR_TFLITE_RESIZE_BILINEAR : WEIR_TFLITE_RESIZE_NEAREST_NEIGHBOR, 2,
		ids, 1, &out);
	o->align_corners = r->align_corners;
	o->half_pixel_centers = r->half_pixel_centers;
	cnn_net_ends(&net, 1, ids, 1, &out);
	cnn_net_check(c, params, &net, &r->values, (const void *const *)&want, 0);
	cnn_net_done(&net);
	free(values);
	free(want);
}

static void each(struct checkcl *c, bool bilinear)
{
	static const int channels[] = {1, 3, 16, 17, 40};
	static const enum weir_tflite_type types[] = {WEIR_TFLITE_I8, WEIR_TFLITE_F32};

	for (int i = 0; i < (c->quick ? 4 : 24); i++) {
		struct resize r = {
			.bilinear = bilinear, .align_corners = i % 3 == 1, .half_pixel_centers = i % 3 == 2};

		r.n = cnn_random(c, 1, 2);
		r.c = channels[i % 5];
		for (int d = 0; d < 2; d++) {
			r.in[d] = cnn_random(c, 1, 14);
			r.out[d] = cnn_random(c, 1, i % 4 ? 20 : 90);
		}
		for (int t = 0; t < 2; t++) {
			r.type = types[t];
			run_case(c, &r);
		}
	}
}

static void check_nearest(struct checkcl *c)
{
	each(c, false);
}

static void check_bilinear(struct checkcl *c)
{
	each(c, true);
}

const struct checkcl_row checkcl_cnn_resize[] = {
	{"cnn_nearest", check_nearest},
	{"cnn_bilinear", check_bilinear},
	{NULL, NULL},
};
