/* SPDX-License-Identifier: MIT */
/* Weights and activations for the checks of matmul.cl and embed.cl. */
#include "matmul.h"

#include <math.h>

#include "base/base.h"

void *matmul_allocate(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size);

	if (p)
		return p;
	fprintf(stderr, "checkcl: no memory\n");
	exit(1);
}

/* ---- kinds ------------------------------------------------------------------------------------ */

#define TYPE(t)                                                                                    \
	{                                                                                          \
		.name = #t, .type = WEIR_TYPE_##t                                                  \
	}
#define CODES(n, b, g, ...)                                                                        \
	{                                                                                          \
		.name = n, .bits = b, .format = {.base = WEIR_PLANE_U##b, .group = g, __VA_ARGS__} \
	}

static const struct weight_kind kinds[] = {
	TYPE(F32),
	TYPE(F16),
	TYPE(BF16),
	TYPE(Q4_0),
	TYPE(Q4_1),
	TYPE(Q5_0),
	TYPE(Q5_1),
	TYPE(Q8_0),
	TYPE(Q2_K),
	TYPE(Q3_K),
	TYPE(Q4_K),
	TYPE(Q5_K),
	TYPE(Q6_K),
	/* Between them: every width of codes, zeros and none, both sorts of scales. */
	CODES("W4g128", 4, 128, .zeros = true),
	CODES("W3g128", 3, 128, .zeros = true, .f32_scales = true),
	CODES("W2g64", 2, 64, .zero = 2),
	CODES("W2g128", 2, 128, .zeros = true),
	CODES("W8g128", 8, 128, .zero = 128),
	CODES("W8A8", 8, 0, .zero = 128, .row_act = true),
};

const struct weight_kind *weight_kind(const char *name)
{
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(kinds); i++) {
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	}
	fprintf(stderr, "checkcl: no weights are called %s\n", name);
	exit(1);
}

struct weir_plane_format weight_format(const struct weight_kind *kind, size_t k)
{
	struct weir_plane_format f = kind->format;

	if (!kind->bits)
		return *weir_plane_format(kind->type);
	if (f.row_act || f.group > k)
		f.group = (uint32_t)k;
	return f;
}

size_t weight_block(const struct weight_kind *kind)
{
	size_t weights = 32, bytes;

	if (!kind->bits)
		weir_type_block(kind->type, &weights, &bytes);
	return weights;
}

/* ---- weights ---------------------------------------------------------------------------------- */

static void put_half(uint8_t *p, float v)
{
	uint16_t h = weir_float_to_half(v);

	memcpy(p, &h, sizeof(h));
}

/* Where halves are in the blocks of a type; -1 for none. */
static void half_offsets(enum weir_type type, int *d, int *m)
{
	*m = -1;
	*d = 0;
	switch (type) {
	case WEIR_TYPE_Q4_1:
	case WEIR_TYPE_Q5_1:
	case WEIR_TYPE_Q4_K:
	case WEIR_TYPE_Q5_K:
		*m = 2;
		break;
	case WEIR_TYPE_Q2_K:
		*d = 80;
		*m = 82;
		break;
	case WEIR_TYPE_Q3_K:
		*d = 108;
		break;
	case WEIR_TYPE_Q6_K:
		*d = 208;
		break;
	default:
		break;
	}
}

static void random_float(struct checkcl *c, enum weir_type type, int fill, uint8_t *out)
{
	float v = fill == FILL_RANDOM ? checkcl_uniform(c, -2, 2) : fill & 1 ? 60000.0f : -60000.0f;
	uint32_t bits;

	memcpy(&bits, &v, sizeof(bits));
	if (type == WEIR_TYPE_F32)
		memcpy(out, &v, sizeof(v));
	else if (type == WEIR_TYPE_F16)
		put_half(out, v);
	else
		memcpy(out, (uint8_t *)&bits + 2, 2);
}

/* A tensor as a file has it: n weights. */
static uint8_t *random_blocks(struct checkcl *c, enum weir_type type, int fill, size_t n)
{
	size_t per_block, bytes, count;
	uint8_t *blocks;
	int d, m;

	weir_type_block(type, &per_block, &bytes);
	count = n / per_block;
	blocks = matmul_allocate(count, bytes);
	half_offsets(type, &d, &m);
	for (size_t b = 0; b < count; b++) {
		uint8_t *block = blocks + b * bytes;

		if (per_block == 1) {
			random_float(c, type, fill, block);
			continue;
		}
		for (size_t i = 0; i < bytes; i++)
			block[i] = fill == FILL_RANDOM ? (uint8_t)checkcl_random(c) : (uint8_t)fill;
		put_half(block + d, checkcl_uniform(c, -0.1f, 0.1f));
		if (m >= 0)
			put_half(block + m, checkcl_uniform(c, -0.1f, 0.1f));
	}
	return blocks;
}

/* What a group's zero stands for: its scale times that. */
static float weight_offset(
	const struct weir_plane_layout *l, const uint8_t *plane, size_t row, size_t i)
{
	size_t at = (row / WEIR_PLANE_ROWS * l->groups + i / l->format.group) * WEIR_PLANE_ROWS +
		    row % WEIR_PLANE_ROWS;
	const uint8_t *scales = plane + l->scales;

	return (l->format.f32_scales ? ((const float *)scales)[at]
				     : weir_half_to_float(((const uint16_t *)scales)[at])) *
	       plane[l->extra + at];
}

/* The minimum of one weight's group, straight from the plane. */
static float weight_min(
	const struct weir_plane_layout *l, const uint8_t *plane, size_t row, size_t i)
{
	size_t lane = WEIR_PLANE_ROWS + row % WEIR_PLANE_ROWS, block = row / WEIR_PLANE_ROWS;
	size_t at, super;
	const uint16_t *halves;

	if (l->format.zeros)
		return weight_offset(l, plane, row, i);
	if (!l->format.has_min)
		return 0;
	at = (block * (l->k / l->format.group) + i / l->format.group) * 2 * WEIR_PLANE_ROWS + lane;
	if (!l->format.two_level)
		return weir_half_to_float(((const uint16_t *)(plane + l->scales))[at]);
	halves = (const uint16_t *)(plane + l->extra);
	super = (block * (l->k / WEIR_PLANE_SUPER) + i / WEIR_PLANE_SUPER) * 2 * WEIR_PLANE_ROWS +
		lane;
	return weir_half_to_float(halves[super]) * plane[l->scales + at];
}

/* Codes at random, or all the bits of fill that one has. */
static void put_codes(struct checkcl *c, const struct weir_plane_layout *l, unsigned bits, int fill, void *plane)
{
	size_t groups = l->rows * l->groups, n = l->rows * l->k;
	uint8_t *q = matmul_allocate(n, 1), *zero = matmul_allocate(groups, 1);
	float *scale = matmul_allocate(groups, sizeof(*scale));
	struct weir_codes codes = {.q = q, .scale = scale, .zero = zero};
	unsigned mask = (1u << bits) - 1;

	for (size_t i = 0; i < n; i++)
		q[i] = (uint8_t)((fill == FILL_RANDOM ? checkcl_random(c) : (unsigned)fill) & mask);
	for (size_t i = 0; i < groups; i++) {
		zero[i] = (uint8_t)(checkcl_random(c) & mask);
		scale[i] = checkcl_uniform(c, -0.1f, 0.1f);
	}
	weir_plane_put(l, plane, &codes, 0, l->rows);
	free(q);
	free(zero);
	free(scale);
}

static void put_blocks(struct checkcl *c, const struct weir_plane_layout *l, enum weir_type type, int fill,
	void *plane)
{
	uint8_t *blocks = random_blocks(c, type, fill, l->rows * l->k);

	weir_plane_pack(l, plane, type, blocks, 0, l->rows);
	free(blocks);
}

void weights_free(struct weights *w)
{
	free(w->w);
	free(w->size);
	weir_buffer_destroy(w->m.buffer);
}

bool weights_make(struct checkcl *c, const struct weight_kind *kind, size_t rows, size_t k, int fill,
	size_t copies, struct weights *out)
{
	struct weir_plane_format format = weight_format(kind, k);
	struct weir_plane_layout *l = &out->m.layout;
	void *plane;

	memset(out, 0, sizeof(*out));
	out->kind = kind;
	out->m.name = "weights";
	if (weir_plane_layout(&format, rows, k, weir_device_props(c->dev)->align, l) ||
		weir_buffer_create(c->dev, l->size * copies, "checkcl weights", &out->m.buffer) ||
		weir_buffer_begin(out->m.buffer, 0, l->size * copies, WEIR_ACCESS_WRITE, &plane)) {
		checkcl_fail(c, kind->name, weir_error());
		weights_free(out);
		return false;
	}
	memset(plane, 0, l->size);
	if (kind->bits)
		put_codes(c, l, kind->bits, fill, plane);
	else
		put_blocks(c, l, kind->type, fill, plane);
	for (size_t i = 1; i < copies; i++)
		memcpy((uint8_t *)plane + i * l->size, plane, l->size);

	out->w = matmul_allocate(rows * k, sizeof(float));
	out->size = matmul_allocate(rows * k, sizeof(float));
	for (size_t r = 0; copies == 1 && r < rows; r++) {
		weir_plane_row(l, plane, r, out->w + r * k);
		for (size_t i = 0; i < k; i++) {
			float m = fabsf(weight_min(l, plane, r, i));

			out->size[r * k + i] = fabsf(out->w[r * k + i]) + 2 * m;
		}
	}
	if (weir_buffer_end(out->m.buffer, plane)) {
		checkcl_fail(c, kind->name, weir_error());
		weights_free(out);
		return false;
	}
	return true;
}

/* ---- activations ------------------------------------------------------------------------------ */

enum form activations_form(const struct weir_plane_format *format)
{
	return weir_plane_is_float(format) ? FORM_F32 : format->row_act ? FORM_ROWS8 : FORM_PACKED;
}

static int activation(struct checkcl *c, int pattern, size_t i)
{
	if (pattern == X_MAX)
		return 127;
	if (pattern == X_MIN)
		return -127;
	if (pattern == X_ALTERNATE)
		return i % 2 ? 127 : -127;
	return (int)(checkcl_random(c) % 255) - 127;
}

void activations_make(
	struct checkcl *c, size_t k, enum form form, int pattern, struct activations *out)
{
	size_t n = ACTIVATIONS * k;

	out->k = k;
	out->q = matmul_allocate(n, 1);
	out->scale = matmul_allocate(n / 32 + 1, sizeof(float));
	out->x = matmul_allocate(n, sizeof(float));
	/* Scales of 16 bits: then q * scale is a float exactly. */
	for (size_t i = 0; i < n / 32; i++) {
		out->scale[i] =
			weir_half_to_float(weir_float_to_half(checkcl_uniform(c, 1e-3f, 0.1f)));
		if (form == FORM_ROWS8 && i % (k / 32))
			out->scale[i] = out->scale[i - 1];
	}
	for (size_t i = 0; i < n; i++) {
		out->q[i] = (int8_t)activation(c, pattern, i);
		out->x[i] = form == FORM_F32 ? checkcl_uniform(c, -3, 3) : out->q[i] * out->scale[i / 32];
		if (form == FORM_F32 && pattern != X_RANDOM)
			out->x[i] = out->q[i];
	}
}

void activations_free(struct activations *a)
{
	free(a->q);
	free(a->scale);
	free(a->x);
}

/* How many tokens are in a tile of the packed form. */
static size_t tile_tokens(size_t width)
{
	return width == 1 ? 1 : WEIR_TILE;
}

size_t activations_size(enum form form, size_t width, size_t k)
{
	size_t tile = tile_tokens(width);

	return form == FORM_F32 ? width * k * sizeof(float) : (width + tile - 1) / tile * tile * k / 2 * 3;
}

/* Column j of a tile, of what packed and rows8 have of a token. */
static void pack_token(const struct activations *a, enum form form, size_t t, uint8_t *q, size_t tile)
{
	size_t k = a->k, j = t % tile, scale_group = form == FORM_ROWS8 ? k : 32;
	size_t sum_group = form == FORM_ROWS8 ? WEIR_ROWS8_CHUNK : 32;
	float *scale = (float *)(q + tile * k);
	int32_t *sum32 = (int32_t *)(scale + k / 32 * tile), *sum16 = sum32 + k / 32 * tile;

	for (size_t i = 0; i < k; i++) {
		int8_t v = a->q[t * k + i];

		q[(i / 4 * tile + j) * 4 + i % 4] = (uint8_t)v;
		sum32[i / sum_group * tile + j] += v;
		if (form == FORM_PACKED)
			sum16[i / 16 * tile + j] += v;
		scale[i / scale_group * tile + j] = a->scale[(t * k + i) / 32];
	}
}

/* The packed forms (runtime/graph/ops.h) in size bytes; what has no meaning is not a number. */
static void pack(const struct activations *a, enum form form, size_t tokens, size_t tile, uint8_t *out,
	size_t size)
{
	size_t tile_size = tile * a->k / 2 * 3;

	memset(out, 0xff, size);
	memset(out, 0, (tokens + tile - 1) / tile * tile_size);
	for (size_t t = 0; t < tokens; t++)
		pack_token(a, form, t, out + t / tile * tile_size, tile);
}

void activations_put(const struct activations *a, enum form form, size_t width, size_t tokens,
	struct weir_tensor *t)
{
	size_t size = weir_tensor_size(t);
	uint8_t *data = matmul_allocate(size, 1);

	if (form == FORM_F32) {
		memset(data, 0xff, size);
		memcpy(data, a->x, tokens * a->k * sizeof(float));
	} else {
		pack(a, form, tokens, tile_tokens(width), data, size);
	}
	checkcl_put(t, data, size);
	free(data);
}
