/* SPDX-License-Identifier: MIT */
/* Reader of tests/golden: LiteRT's results, and the inputs that they belong to. */
#include "golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

static char sentence[256];

static const char *say(const char *path, const char *what)
{
	snprintf(sentence, sizeof(sentence), "%s %s", path, what);
	return sentence;
}

/* ---- bytes of a file ---------------------------------------------------------------------------- */

/* What is left of a file, or of a record in it; failed once more was asked for than there is. */
struct cursor {
	const uint8_t *p;
	size_t left;
	bool failed;
};

static const uint8_t *take(struct cursor *c, size_t size)
{
	const uint8_t *p = c->p;

	if (size > c->left) {
		c->failed = true;
		return NULL;
	}
	c->p += size;
	c->left -= size;
	return p;
}

static uint32_t take_u32(struct cursor *c)
{
	const uint8_t *p = take(c, 4);

	return p ? (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24 : 0;
}

static void take_name(struct cursor *c, char name[64])
{
	const uint8_t *p = take(c, 64);

	if (p)
		memcpy(name, p, 64);
	name[63] = 0;
}

/* The whole file in memory, after its magic; NULL and a sentence. */
static uint8_t *read_file(const char *path, const char *magic, struct cursor *c, const char **error)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = NULL;
	long size = -1;

	if (f && !fseek(f, 0, SEEK_END))
		size = ftell(f);
	if (size >= 8 && !fseek(f, 0, SEEK_SET))
		data = malloc((size_t)size);
	if (data && fread(data, 1, (size_t)size, f) != (size_t)size) {
		free(data);
		data = NULL;
	}
	if (f)
		fclose(f);
	*c = (struct cursor){.p = data, .left = data ? (size_t)size : 0};
	if (!data) {
		*error = say(path, "cannot be read");
	} else if (memcmp(take(c, 8), magic, 8)) {
		*error = say(path, "does not begin as it should");
		free(data);
		data = NULL;
	}
	return data;
}

/* ---- ops.pack ----------------------------------------------------------------------------------- */

static size_t run_bytes(const struct golden_case *c)
{
	size_t n = 0;

	for (unsigned i = 0; i < c->inputs; i++)
		n += c->in_bytes[i];
	for (unsigned i = 0; i < c->outputs; i++)
		n += c->out_bytes[i];
	return n;
}

const uint8_t *golden_input(const struct golden_case *c, unsigned run, unsigned i)
{
	const uint8_t *p = c->data + run * run_bytes(c);

	for (unsigned k = 0; k < i; k++)
		p += c->in_bytes[k];
	return p;
}

const uint8_t *golden_output(const struct golden_case *c, unsigned run, unsigned i)
{
	const uint8_t *p = golden_input(c, run, c->inputs);

	for (unsigned k = 0; k < i; k++)
		p += c->out_bytes[k];
	return p;
}

static bool read_case(struct cursor *r, struct golden_case *c)
{
	const uint8_t *model;
	uint8_t *copy;
	uint32_t bits;

	take_name(r, c->name);
	c->model_bytes = take_u32(r);
	c->runs = take_u32(r);
	c->inputs = take_u32(r);
	c->outputs = take_u32(r);
	bits = take_u32(r);
	memcpy(&c->tolerance, &bits, sizeof(bits));
	if (r->failed || !c->runs || c->inputs > GOLDEN_ENDS || !c->outputs || c->outputs > GOLDEN_ENDS)
		return false;
	for (unsigned i = 0; i < c->inputs; i++)
		c->in_bytes[i] = take_u32(r);
	for (unsigned i = 0; i < c->outputs; i++)
		c->out_bytes[i] = take_u32(r);
	model = take(r, c->model_bytes);
	c->data = r->p;
	if (!model || !run_bytes(c) || r->left != run_bytes(c) * c->runs)
		return false;
	copy = malloc(c->model_bytes);
	if (!copy)
		return false;
	memcpy(copy, model, c->model_bytes);
	c->model = copy;
	return true;
}

const char *golden_ops_read(const char *path, struct golden_ops *out)
{
	const char *error = NULL;
	struct cursor c, record;
	uint32_t n, size;

	*out = (struct golden_ops){0};
	out->file = read_file(path, "WEIROPS1", &c, &error);
	if (!out->file)
		return error;
	n = take_u32(&c);
	/* A record has 88 bytes at least. */
	if (!n || n > c.left / 88)
		return say(path, "has a wrong number of cases");
	out->cases = calloc(n, sizeof(*out->cases));
	if (!out->cases)
		return say(path, "does not fit into memory");
	for (; out->n < n; out->n++) {
		size = take_u32(&c);
		record = (struct cursor){.p = c.p, .left = size};
		if (!take(&c, size) || !read_case(&record, &out->cases[out->n]))
			return say(path, "has a damaged record");
	}
	return c.left ? say(path, "has more bytes than cases") : NULL;
}

void golden_ops_free(struct golden_ops *ops)
{
	for (unsigned i = 0; ops->cases && i < ops->n; i++)
		free((void *)ops->cases[i].model);
	free(ops->cases);
	free(ops->file);
	*ops = (struct golden_ops){0};
}

static float float_at(const void *p, size_t i)
{
	float f;

	memcpy(&f, (const uint8_t *)p + 4 * i, sizeof(f));
	return f;
}

static const char *floats_differ(const struct golden_case *c, const uint8_t *want, const uint8_t *got, size_t n)
{
	float largest = 0;

	for (size_t i = 0; i < n; i++)
		largest = fmaxf(largest, fabsf(float_at(want, i)));
	for (size_t i = 0; i < n; i++) {
		float w = float_at(want, i), g = float_at(got, i);
		float allowed = c->tolerance > 0 ? c->tolerance * fabsf(w) : -c->tolerance * largest;

		if (fabsf(g - w) <= allowed)
			continue;
		snprintf(sentence, sizeof(sentence), "value %zu of %zu is %.9g, not %.9g", i, n, g, w);
		return sentence;
	}
	return NULL;
}

const char *golden_differs(const struct golden_case *c, unsigned run, unsigned output, const void *got)
{
	const uint8_t *want = golden_output(c, run, output), *p = got;
	size_t n = c->out_bytes[output], wrong = 0, first = 0;

	if (c->tolerance != 0)
		return floats_differ(c, want, p, n / 4);
	for (size_t i = n; i-- > 0;) {
		if (p[i] != want[i]) {
			first = i;
			wrong++;
		}
	}
	if (!wrong)
		return NULL;
	snprintf(sentence, sizeof(sentence),
		"byte %zu is %d, not %d (as floats, value %zu: %.9g, not %.9g); %zu of %zu wrong", first,
		(int8_t)p[first], (int8_t)want[first], first / 4,
		n % 4 ? 0.0 : float_at(p, first / 4), n % 4 ? 0.0 : float_at(want, first / 4), wrong, n);
	return sentence;
}

/* ---- models.pack -------------------------------------------------------------------------------- */

const char *const golden_picture_names[GOLDEN_PICTURES] = {"astronaut", "chelsea", "coffee"};

const char *golden_models_read(const char *path, struct golden_models *out)
{
	const char *error = NULL;
	struct cursor c;
	uint32_t n;

	*out = (struct golden_models){0};
	out->file = read_file(path, "WEIRNET1", &c, &error);
	if (!out->file)
		return error;
	n = take_u32(&c);
	if (take_u32(&c) != GOLDEN_RUNS || !n || n > c.left / 68)
		return say(path, "has a wrong number of models or runs");
	out->models = calloc(n, sizeof(*out->models));
	if (!out->models)
		return say(path, "does not fit into memory");
	for (; out->n < n; out->n++) {
		struct golden_model *m = &out->models[out->n];

		m->number = out->n;
		take_name(&c, m->name);
		m->out_bytes = take_u32(&c);
		m->data = take(&c, GOLDEN_RUNS * (8 + m->out_bytes));
		if (c.failed || !m->out_bytes)
			return say(path, "has a damaged model");
	}
	return c.left ? say(path, "has more bytes than models") : NULL;
}

void golden_models_free(struct golden_models *m)
{
	free(m->models);
	free(m->file);
	*m = (struct golden_models){0};
}

uint64_t golden_model_hash(const struct golden_model *m, unsigned run)
{
	const uint8_t *p = m->data + run * (8 + m->out_bytes);
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

const uint8_t *golden_model_output(const struct golden_model *m, unsigned run)
{
	return m->data + run * (8 + m->out_bytes) + 8;
}

uint64_t golden_hash(const void *data, size_t size)
{
	struct weir_hash h;

	weir_hash_init(&h);
	weir_hash_add(&h, data, size);
	return h.lo; /* plain FNV-1a */
}

/* ---- inputs ------------------------------------------------------------------------------------- */

/* xorshift64* (Vigna 2016). */
static uint64_t next_random(uint64_t *x)
{
	*x ^= *x >> 12;
	*x ^= *x << 25;
	*x ^= *x >> 27;
	return *x * UINT64_C(0x2545f4914f6cdd1d);
}

static void random_bytes(uint64_t *x, uint8_t *out, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++, v >>= 8) {
		if (i % 8 == 0)
			v = next_random(x);
		out[i] = (uint8_t)v;
	}
}

struct shape {
	int h, w, c;
};

static void crop(const struct golden_picture *p, unsigned j, struct shape s, uint64_t *x, int8_t *out)
{
	unsigned fits = WEIR_MIN(p->height / (unsigned)s.h, p->width / (unsigned)s.w), step = 1 + j / 3 % fits;
	uint64_t top = next_random(x) % (p->height - ((unsigned)s.h - 1) * step);
	uint64_t left = next_random(x) % (p->width - ((unsigned)s.w - 1) * step);

	for (int y = 0; y < s.h; y++) {
		for (int xx = 0; xx < s.w; xx++) {
			const uint8_t *pixel = p->pixels +
				((top + (unsigned)y * step) * p->width + left + (unsigned)xx * step) * 3;

			for (int ch = 0; ch < s.c; ch++)
				*out++ = (int8_t)(pixel[s.c == 3 ? (unsigned)ch : j / 3 % 3] - 128);
		}
	}
}

/* Constants, gradients and checkerboards: value (y, x, ch) of input number run. */
static int8_t pattern(unsigned run, int y, int x, int ch)
{
	static const int8_t constants[] = {-128, 127, 0, -1, 1, -127, 64, -64, 100, -100};
	static const short slopes[][3] = {{1, 0, 0}, {0, 1, 0}, {1, 1, 0}, {3, 5, 7}, {0, 0, 85}, {2, -3, 40},
		{7, 1, 128}, {-1, 2, 60}, {16, 0, 1}, {0, 32, 3}};
	static const unsigned char cells[] = {1, 2, 3, 5, 8};

	if (run < 170)
		return constants[run - 160];
	if (run < 180) {
		const short *s = slopes[run - 170];

		return (int8_t)(((s[0] * x + s[1] * y + s[2] * ch) & 255) - 128);
	}
	return (x / cells[(run - 180) / 2] + y / cells[(run - 180) / 2] + (int)run) % 2 ? 127 : -128;
}

void golden_pixels(unsigned model, unsigned run, int h, int w, int c, const struct golden_picture *pictures,
	int8_t *out)
{
	uint64_t x = UINT64_C(0x9e3779b97f4a7c15) * (model * 1000 + run + 1);
	size_t n = (size_t)h * (size_t)w * (size_t)c;

	if (run >= 100 && run < 160) {
		crop(&pictures[(run - 100) % GOLDEN_PICTURES], run - 100, (struct shape){h, w, c}, &x, out);
		return;
	}
	if (run >= 160 && run < 190) {
		for (size_t i = 0; i < n; i++) {
			int at = (int)i;

			out[i] = pattern(run, at / c / w, at / c % w, at % c);
		}
		return;
	}
	random_bytes(&x, (uint8_t *)out, n);
	for (size_t i = 0; i < n; i++) {
		uint8_t byte = (uint8_t)out[i];

		if (run >= 195)
			out[i] = byte < 4 ? 127 : -128;
		else if (run >= 190)
			out[i] = byte < 128 ? -128 : 127;
		else if (run >= 80)
			out[i] = (int8_t)((out[i] - (out[i] & 7)) / 8); /* >> 3, towards minus infinity */
	}
}

void golden_floats(const int8_t *pixels, size_t n, unsigned run, float *out)
{
	/* The scale that tinyengine-vww gives its input: halves of its steps. */
	const float scale = 0.007839307188987732f;

	for (size_t i = 0; i < n; i++) {
		float v = pixels[i];

		switch (run % 5) {
		case 0: out[i] = v / 128.0f; break;
		case 1: out[i] = v / 64.0f; break;
		case 2: out[i] = (v + 0.5f) * scale; break;
		case 3: out[i] = v * 0x1p-20f; break;
		default: out[i] = v / 127.0f;
		}
	}
}
