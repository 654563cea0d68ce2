/* SPDX-License-Identifier: MIT */
/*
 * Pictures: every kind of PNG, JPEG and BMP, damaged and absurd ones, resizing, and how pixels are
 * scaled.
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>

#include <png.h>

#include <weir/vision.h>

#include "picture_writer.h"
#include "suite.h"

#define W 37
#define H 23

/* Noise by the constants of Numerical Recipes (Press et al., 7.1). */
static void noise(unsigned char *to, size_t n)
{
	uint32_t state = 1;

	for (size_t i = 0; i < n; i++) {
		state = state * 1664525 + 1013904223;
		to[i] = (unsigned char)(state >> 24);
	}
}

/* FNV-1a of 64 bits. */
static uint64_t hash(const unsigned char *data, size_t n)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < n; i++)
		h = (h ^ data[i]) * 0x100000001b3;
	return h;
}

static struct weir_picture decoded(struct picture_bytes b, unsigned channels)
{
	struct weir_picture p;
	int err = weir_picture_decode(b.data, b.size, "test", channels, &p);

	ck_assert_msg(err == 0, "%s", weir_error());
	free(b.data);
	return p;
}

static void assert_refused(const unsigned char *data, size_t size, int err, const char *says)
{
	struct weir_picture p;
	int got = weir_picture_decode(data, size, "some/name.jpg", 3, &p);

	ck_assert_msg(got == -err, "%d in place of %d: %s", got, -err, got ? weir_error() : "");
	ck_assert_msg(strstr(weir_error(), says) && strstr(weir_error(), "some/name.jpg"),
		"\"%s\": %s", says, weir_error());
	ck_assert_ptr_null(p.pixels);
	ck_assert_uint_eq(p.width, 0);
}

/*
 * Sample s of row y, of so many bits, as 8 bits: short ones spread over 0..255, of long ones the
 * high byte.
 */
static unsigned sample(const unsigned char *row, unsigned s, int depth)
{
	if (depth >= 8)
		return row[s * (unsigned)depth / 8];
	return (row[s * (unsigned)depth / 8] >> (8 - depth - (int)(s * (unsigned)depth % 8)) &
		((1 << depth) - 1));
}

static unsigned luma(unsigned r, unsigned g, unsigned b)
{
	return (r * 19595 + g * 38470 + b * 7471 + 32768) >> 16;
}

struct kind {
	int depth, type, transparent;
	unsigned samples;
};

/* What the channel c of pixel x is once it is decoded. */
static unsigned expected(const struct kind *k, const unsigned char *row, unsigned x, unsigned c)
{
	const unsigned most = k->depth < 8 ? (1u << k->depth) - 1 : 255;
	const bool color = k->type & PNG_COLOR_MASK_COLOR, alpha = k->type & PNG_COLOR_MASK_ALPHA;
	unsigned v = sample(row, x * k->samples + (color && k->samples > 2 ? c : 0), k->depth), a;

	if (k->type == PNG_COLOR_TYPE_PALETTE)
		return (int)v == k->transparent ? 0 : v * (3 + 2 * c) % 256;
	if ((int)v == k->transparent)
		return 0;
	if (!alpha)
		return v * 255 / most;
	a = sample(row, x * k->samples + k->samples - 1, k->depth);
	return (v * a + 127) / 255;
}

static void check_png(const struct kind *k, bool interlaced)
{
	static unsigned char rows[W * H * 8];
	const size_t pitch = (W * k->samples * (unsigned)k->depth + 7) / 8;
	const unsigned channels = k->type & PNG_COLOR_MASK_COLOR ? 3 : 1;
	struct weir_picture p, grey;

	noise(rows, sizeof(rows));
	p = decoded(picture_png(rows, W, H, k->depth, k->type, interlaced, k->transparent), 0);
	grey = decoded(picture_png(rows, W, H, k->depth, k->type, interlaced, k->transparent), 1);
	ck_assert_uint_eq(p.width, W);
	ck_assert_uint_eq(p.height, H);
	ck_assert_uint_eq(p.channels, channels);
	ck_assert_uint_eq(grey.channels, 1);
	for (unsigned y = 0; y < H; y++) {
		for (unsigned x = 0; x < W; x++) {
			const unsigned char *at = p.pixels + (y * W + x) * channels;
			unsigned l = channels == 3 ? luma(at[0], at[1], at[2]) : at[0];

			for (unsigned c = 0; c < channels; c++)
				ck_assert_msg(at[c] == expected(k, rows + y * pitch, x, c),
					"type %d, %d bits, at %u %u %u: %u", k->type, k->depth, x,
					y, c, at[c]);
			ck_assert_uint_eq(grey.pixels[y * W + x], l);
		}
	}
	weir_picture_free(&p);
	weir_picture_free(&grey);
}

START_TEST(png_kinds)
{
	static const struct kind kinds[] = {
		{1, PNG_COLOR_TYPE_GRAY, -1, 1},
		{2, PNG_COLOR_TYPE_GRAY, -1, 1},
		{4, PNG_COLOR_TYPE_GRAY, 5, 1},
		{8, PNG_COLOR_TYPE_GRAY, -1, 1},
		{8, PNG_COLOR_TYPE_GRAY, 200, 1},
		{16, PNG_COLOR_TYPE_GRAY, -1, 1},
		{1, PNG_COLOR_TYPE_PALETTE, -1, 1},
		{2, PNG_COLOR_TYPE_PALETTE, 2, 1},
		{4, PNG_COLOR_TYPE_PALETTE, -1, 1},
		{8, PNG_COLOR_TYPE_PALETTE, 77, 1},
		{8, PNG_COLOR_TYPE_RGB, -1, 3},
		{16, PNG_COLOR_TYPE_RGB, -1, 3},
		{8, PNG_COLOR_TYPE_GRAY_ALPHA, -1, 2},
		{16, PNG_COLOR_TYPE_GRAY_ALPHA, -1, 2},
		{8, PNG_COLOR_TYPE_RGB_ALPHA, -1, 4},
		{16, PNG_COLOR_TYPE_RGB_ALPHA, -1, 4},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		check_png(&kinds[i], false);
		check_png(&kinds[i], true);
	}
}
END_TEST

/* Colours that change slowly, which JPEG keeps but for a little. */
static void slopes(unsigned char *to, unsigned components)
{
	for (unsigned y = 0; y < H; y++)
		for (unsigned x = 0; x < W; x++)
			for (unsigned c = 0; c < components; c++)
				*to++ = (unsigned char)(c == 0	 ? x * 6
							: c == 1 ? y * 10
								 : 255 - x * 3 - y * 3);
}

START_TEST(jpeg_kinds)
{
	unsigned char pixels[W * H * 4];
	struct picture_bytes b;
	struct weir_picture p;

	for (int progressive = 0; progressive < 2; progressive++) {
		for (unsigned components = 1; components <= 3; components += 2) {
			slopes(pixels, components);
			p = decoded(
				picture_jpeg(pixels, W, H, (int)components, progressive, 98), 0);
			ck_assert_uint_eq(p.channels, components);
			ck_assert(p.width == W && p.height == H);
			for (size_t i = 0; i < W * H * components; i++)
				ck_assert_msg(abs(pixels[i] - p.pixels[i]) <= 8,
					"byte %zu: %d, was %d", i, p.pixels[i], pixels[i]);
			weir_picture_free(&p);
		}
	}
	p = decoded(picture_jpeg(pixels, W, H, 1, false, 90), 3);
	for (size_t i = 0; i < W * H; i++)
		ck_assert(p.pixels[3 * i] == p.pixels[3 * i + 1] &&
			  p.pixels[3 * i] == p.pixels[3 * i + 2]);
	weir_picture_free(&p);
	b = picture_jpeg(pixels, W, 8, 4, false, 90);
	assert_refused(b.data, b.size, EOPNOTSUPP, "4 components");
	free(b.data);
}
END_TEST

START_TEST(bmp_kinds)
{
	static const struct picture_bmp_settings kinds[] = {
		{.bits = 24},
		{.bits = 32},
		{.bits = 24, .top_down = true},
		{.bits = 24, .core = true},
		{.bits = 32, .fields = true},
	};
	unsigned char pixels[W * H * 3], palette[256 * 3];
	struct picture_bmp_settings s = {.bits = 8, .n_colors = 256, .palette = palette};
	struct weir_picture p;

	noise(pixels, sizeof(pixels));
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		p = decoded(picture_bmp(pixels, W, H, &kinds[i]), 0);
		ck_assert(p.channels == 3 && p.width == W && p.height == H);
		ck_assert_mem_eq(p.pixels, pixels, sizeof(pixels));
		weir_picture_free(&p);
	}
	for (int core = 0; core < 2; core++) {
		s.core = core;
		noise(palette, sizeof(palette));
		p = decoded(picture_bmp(pixels, W, H, &s), 0);
		ck_assert_uint_eq(p.channels, 3);
		for (size_t i = 0; i < W * H; i++)
			ck_assert_mem_eq(p.pixels + 3 * i, palette + 3 * pixels[i], 3);
		weir_picture_free(&p);
		for (int i = 0; i < 256; i++)
			memset(palette + 3 * i, 255 - i, 3);
		p = decoded(picture_bmp(pixels, W, H, &s), 0);
		ck_assert_uint_eq(p.channels, 1);
		for (size_t i = 0; i < W * H; i++)
			ck_assert_uint_eq(p.pixels[i], 255 - pixels[i]);
		weir_picture_free(&p);
	}
}
END_TEST

/* Every file that was cut is refused, wherever the cut is. */
static void cut(struct picture_bytes b)
{
	for (size_t n = 0; n < b.size; n++) {
		unsigned char *part = malloc(n ? n : 1);
		struct weir_picture p;
		int err;

		memcpy(part, b.data, n);
		err = weir_picture_decode(part, n, "cut", 0, &p);
		ck_assert_msg(
			err < 0 && strstr(weir_error(), "cut"), "%zu of %zu bytes", n, b.size);
		ck_assert_ptr_null(p.pixels);
		free(part);
	}
	free(b.data);
}

START_TEST(truncated)
{
	const struct picture_bmp_settings bits24 = {.bits = 24};
	unsigned char pixels[W * H * 4];

	slopes(pixels, 3);
	cut(picture_png(pixels, W, H, 8, PNG_COLOR_TYPE_RGB, false, -1));
	cut(picture_png(pixels, W, H, 8, PNG_COLOR_TYPE_RGB, true, -1));
	cut(picture_jpeg(pixels, W, H, 3, false, 60));
	cut(picture_jpeg(pixels, W, H, 3, true, 60));
	cut(picture_bmp(pixels, W, H, &bits24));
}
END_TEST

/* The first place of two bytes. */
static size_t find(const struct picture_bytes *b, unsigned char first, unsigned char second)
{
	for (size_t i = 0; i + 1 < b->size; i++)
		if (b->data[i] == first && b->data[i + 1] == second)
			return i;
	ck_abort_msg("no bytes %02x %02x", first, second);
	return 0;
}

START_TEST(hostile_jpeg)
{
	unsigned char pixels[W * H * 3], *many;
	struct picture_bytes b;
	size_t at, end, len;

	slopes(pixels, 3);
	b = picture_jpeg(pixels, W, H, 3, true, 60);
	/* A picture of 65500 x 65500 out of a few bytes; and one of none. */
	at = find(&b, 0xff, 0xc2);
	memcpy(b.data + at + 5, "\x3f\xff\x3f\xff", 4);
	assert_refused(b.data, b.size, EINVAL, "cannot be the 16383 x 16383");
	memcpy(b.data + at + 5, "\xff\xdc\xff\xdc", 4);
	assert_refused(b.data, b.size, EFBIG, "too large");
	memcpy(b.data + at + 5, "\0\x08\0\0", 4);
	assert_refused(b.data, b.size, EINVAL, "damaged");
	memcpy(b.data + at + 5, "\0\x17\0\x25", 4);
	/* A marker in the middle of the data, and the end of the file behind it. */
	memcpy(b.data + b.size - 5, "\xff\xd9", 2);
	assert_refused(b.data, b.size - 3, EINVAL, "end early");
	free(b.data);
	/* The first scan again and again: it ends where the next marker is, which no zero follows.
	 */
	b = picture_jpeg(pixels, W, H, 3, true, 60);
	at = find(&b, 0xff, 0xda);
	for (end = at + 2; b.data[end] != 0xff || !b.data[end + 1]; end++)
		;
	len = end - at;
	many = malloc(b.size + 200 * len);
	memcpy(many, b.data, end);
	for (size_t i = 0; i < 200; i++)
		memcpy(many + end + i * len, b.data + at, len);
	memcpy(many + end + 200 * len, b.data + end, b.size - end);
	assert_refused(many, b.size + 200 * len, EINVAL, "more than 100 scans");
	free(many);
	/* No scan at all. */
	at = find(&b, 0xff, 0xda);
	memmove(b.data + at, b.data + b.size - 2, 2);
	assert_refused(b.data, at + 2, EINVAL, "damaged");
	free(b.data);
}
END_TEST

START_TEST(hostile_png)
{
	/*
	 * Width and height stand behind the length and name of the first chunk, its checksum behind
	 * five bytes more.
	 */
	static const unsigned char sizes[][8] = {{0, 0x0f, 0, 0, 0, 0x0f, 0, 0},
		{0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1}, {0, 0, 0x40, 0, 0, 0, 0x40, 0}};
	static const char *const says[] = {"too large", "damaged", "cannot be the 16384 x 16384"};
	static const int errors[] = {EFBIG, EINVAL, EINVAL};
	unsigned char pixels[W * H * 3];
	struct picture_bytes b;

	noise(pixels, sizeof(pixels));
	for (size_t i = 0; i < 3; i++) {
		uint32_t sum = 0xffffffff;

		b = picture_png(pixels, W, H, 8, PNG_COLOR_TYPE_RGB, i == 1, -1);
		memcpy(b.data + 16, sizes[i], 8);
		/* The checksum of the PNG specification, annex D. */
		for (size_t k = 12; k < 29; k++) {
			sum ^= b.data[k];
			for (int bit = 0; bit < 8; bit++)
				sum = sum & 1 ? 0xedb88320 ^ sum >> 1 : sum >> 1;
		}
		for (int k = 0; k < 4; k++)
			b.data[29 + k] = (unsigned char)(~sum >> (24 - 8 * k));
		assert_refused(b.data, b.size, errors[i], says[i]);
		free(b.data);
	}
	/* Any byte that is changed is found by a checksum. */
	b = picture_png(pixels, W, H, 8, PNG_COLOR_TYPE_RGB, false, -1);
	for (size_t i = 8; i < b.size; i++) {
		struct weir_picture p;

		b.data[i] ^= 0x10;
		ck_assert_msg(
			weir_picture_decode(b.data, b.size, "x", 0, &p) < 0, "byte %zu changed", i);
		b.data[i] ^= 0x10;
	}
	free(b.data);
}
END_TEST

START_TEST(hostile_bmp)
{
	static const struct {
		size_t at;
		unsigned char bytes[4];
		int err;
		const char *says;
	} rows[] = {
		{14, {0, 0, 0, 0}, EINVAL, "header of 0"},
		{14, {255, 255, 255, 255}, EINVAL, "header of 4294967295"},
		{18, {0, 0, 0, 0}, EINVAL, "no pixels"},
		{18, {255, 255, 255, 255}, EINVAL, "width of -1"},
		{18, {255, 255, 255, 127}, EFBIG, "too large"},
		{22, {0, 0, 0, 128}, EFBIG, "too large"},
		{22, {0, 16, 0, 0}, EINVAL, "cannot be the"},
		{22, {24, 0, 0, 0}, EINVAL, "ends early"},
		{26, {1, 0, 4, 0}, EOPNOTSUPP, "4 bits"},
		{26, {1, 0, 24, 0}, EINVAL, "ends early"},
		{30, {1, 0, 0, 0}, EOPNOTSUPP, "compression"},
		{30, {3, 0, 0, 0}, EOPNOTSUPP, "masks"},
		{46, {1, 1, 0, 0}, EINVAL, "palette"},
		{46, {255, 255, 255, 255}, EINVAL, "palette"},
		{46, {2, 0, 0, 0}, EINVAL, "of a palette of 2"},
		{10, {255, 255, 255, 255}, EINVAL, "ends early"},
		{10, {53, 0, 0, 0}, EINVAL, "in its header"},
	};
	unsigned char pixels[W * H], palette[256 * 3] = {0};
	const struct picture_bmp_settings s = {.bits = 8, .n_colors = 256, .palette = palette};
	struct picture_bytes b;

	noise(pixels, sizeof(pixels));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		b = picture_bmp(pixels, W, H, &s);
		memcpy(b.data + rows[i].at, rows[i].bytes, 4);
		assert_refused(b.data, b.size, rows[i].err, rows[i].says);
		free(b.data);
	}
}
END_TEST

START_TEST(no_pictures)
{
	static const unsigned char text[] = "P5 1 1 255 x";
	struct weir_picture p;

	assert_refused(text, sizeof(text), EMEDIUMTYPE, "neither");
	assert_refused(text, 0, EMEDIUMTYPE, "empty");
	ck_assert_int_eq(weir_picture_read("/absent/file.png", 0, &p), -ENOENT);
	ck_assert(strstr(weir_error(), "/absent/file.png"));
	ck_assert_int_lt(weir_picture_read("/", 0, &p), 0);
	ck_assert_int_eq(weir_picture_decode(text, sizeof(text), "x", 2, &p), -EINVAL);
}
END_TEST

/*
 * What a file of the test data is, and resized: by Pillow 13.0, Image.convert, crop and resize with
 * BILINEAR.
 */
START_TEST(files)
{
	static const struct {
		const char *name;
		unsigned channels, width, height, to;
		uint64_t pixels, resized;
	} rows[] = {
		{"images/chelsea.png", 3, 451, 300, 176, 0xb2179687966157a8, 0x52e845353a6cb014},
		{"images/coffee.png", 1, 600, 400, 96, 0x7205b87acc988783, 0x42dc362b5614ad35},
		{"cnn/person.bmp", 1, 96, 96, 96, 0xae2ebb5ab83d1821, 0xae2ebb5ab83d1821},
		{"cnn/no_person.bmp", 3, 96, 96, 40, 0x1b4ac760aaef8bde, 0xc7da660a56135a3a},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *path = suite_data(rows[i].name, "a picture");
		size_t size = (size_t)rows[i].to * rows[i].to * rows[i].channels;
		unsigned char *small = malloc(size);
		struct weir_picture p;

		if (!path) {
			free(small);
			continue;
		}
		ck_assert_msg(
			weir_picture_read(path, rows[i].channels, &p) == 0, "%s", weir_error());
		ck_assert(p.width == rows[i].width && p.height == rows[i].height);
		ck_assert_uint_eq(
			hash(p.pixels, (size_t)p.width * p.height * p.channels), rows[i].pixels);
		ck_assert_int_eq(weir_picture_resize(&p, 1, rows[i].to, rows[i].to, small), 0);
		ck_assert_uint_eq(hash(small, size), rows[i].resized);
		weir_picture_free(&p);
		free(small);
	}
}
END_TEST

START_TEST(resize_golden)
{
	/* Noise, by Pillow 13.0: crop to the middle, resize with BILINEAR. */
	static const struct {
		unsigned from_width, from_height, channels, width, height;
		double crop;
		uint64_t hash;
	} rows[] = {
		{64, 48, 3, 20, 20, 1, 0x7d33b310e71919d8},
		{64, 48, 1, 17, 17, 1, 0xd0f4a4f678f4ff45},
		{30, 90, 3, 64, 64, 1, 0xc197ee1a0f55dd4a},
		{7, 5, 1, 50, 40, 1, 0xe5d1766613efcddd},
		{200, 100, 3, 96, 96, 1, 0x0e868751a0b34a08},
		{5, 5, 3, 5, 5, 1, 0x49579796c33fa47f},
		{97, 13, 1, 1, 1, 1, 0xaf63f14c8602103b},
		{64, 48, 3, 20, 20, 0.875, 0xc14adf3ec174d865},
		{61, 97, 1, 24, 16, 0.5, 0xef46dd3e29961ff6},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t size = (size_t)rows[i].width * rows[i].height * rows[i].channels;
		size_t from = (size_t)rows[i].from_width * rows[i].from_height * rows[i].channels;
		unsigned char *out = malloc(size);
		struct weir_picture p = {
			rows[i].from_width, rows[i].from_height, rows[i].channels, malloc(from)};

		noise(p.pixels, from);
		ck_assert_int_eq(
			weir_picture_resize(&p, rows[i].crop, rows[i].width, rows[i].height, out),
			0);
		ck_assert_msg(hash(out, size) == rows[i].hash, "row %zu: %#llx", i,
			(unsigned long long)hash(out, size));
		weir_picture_free(&p);
		free(out);
	}
}
END_TEST

/*
 * The definition, in floating point and in one step: the weight of each pixel is a triangle across
 * times one down.
 */
static double triangle(unsigned i, unsigned n, unsigned from, unsigned k)
{
	double scale = (double)from / n, width = fmax(scale, 1), sum = 0, at;

	for (unsigned j = 0; j < from; j++)
		sum += fmax(0, 1 - fabs(j + 0.5 - (i + 0.5) * scale) / width);
	at = fmax(0, 1 - fabs(k + 0.5 - (i + 0.5) * scale) / width);
	return at / sum;
}

START_TEST(resize_definition)
{
	/* Already of the target's aspect ratio: nothing is cut off. */
	static const unsigned rows[][4] = {
		{24, 36, 10, 15}, {12, 9, 32, 24}, {40, 20, 10, 5}, {9, 9, 1, 1}, {1, 1, 8, 8}};

	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		const unsigned fw = rows[r][0], fh = rows[r][1], w = rows[r][2], h = rows[r][3];
		struct weir_picture p = {fw, fh, 1, malloc(fw * fh)};
		unsigned char out[40 * 40];

		noise(p.pixels, fw * fh);
		ck_assert_int_eq(weir_picture_resize(&p, 1, w, h, out), 0);
		for (unsigned y = 0; y < h; y++) {
			for (unsigned x = 0; x < w; x++) {
				double v = 0;

				for (unsigned fy = 0; fy < fh; fy++)
					for (unsigned fx = 0; fx < fw; fx++)
						v += triangle(x, w, fw, fx) *
						     triangle(y, h, fh, fy) *
						     p.pixels[fy * fw + fx];
				ck_assert_double_eq_tol(out[y * w + x], v, 1.01);
			}
		}
		weir_picture_free(&p);
	}
}
END_TEST

START_TEST(resize_bad)
{
	unsigned char pixel = 7, out[3];
	struct weir_picture p = {1, 1, 1, &pixel}, none = {0};

	ck_assert_int_eq(weir_picture_resize(&none, 1, 4, 4, out), -EINVAL);
	ck_assert_int_eq(weir_picture_resize(&p, 1, 0, 4, out), -EINVAL);
	ck_assert_int_eq(weir_picture_resize(&p, 1, 4, UINT32_MAX, out), -EINVAL);
	ck_assert_int_eq(weir_picture_resize(&p, 0, 1, 1, out), -EINVAL);
	ck_assert_int_eq(weir_picture_resize(&p, 1.01, 1, 1, out), -EINVAL);
	ck_assert_int_eq(weir_picture_resize(&p, (double)NAN, 1, 1, out), -EINVAL);
	ck_assert_int_eq(weir_picture_resize(&p, 0.01, 1, 1, out), 0);
	ck_assert_uint_eq(out[0], 7);
	p.channels = 2;
	ck_assert_int_eq(weir_picture_resize(&p, 1, 1, 1, out), -EINVAL);
}
END_TEST

START_TEST(scaling)
{
	/* The pixel that is real 0, and how many pixels are one unit. */
	static const struct {
		float scale;
		int32_t zero;
		float mean, per_unit;
	} rows[] = {
		{1.0f / 127, 0, 127.5f, 127.5f}, {2.0f / 255, -1, 127.5f, 127.5f},
		{1.0f / 255, -128, 0, 255}, {0.99f / 255, -128, 0, 255}, {1, -128, 0, 1},
		{1, 0, 0, 1}, {4.7f / 255, -14, 127.5f, 127.5f}, {0, 0, 0, 255}, /* floats */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct weir_net_tensor t = {
			.type = "int8", .scale = rows[i].scale, .zero = rows[i].zero};
		struct weir_picture_scaling s;

		weir_picture_scaling_default(&t, &s);
		ck_assert_uint_eq(s.size, sizeof(s));
		ck_assert(!s.raw);
		for (int c = 0; c < 3; c++) {
			ck_assert_msg(s.mean[c] == rows[i].mean && s.scale[c] == rows[i].per_unit,
				"row %zu: %g %g", i, (double)s.mean[c], (double)s.scale[c]);
		}
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {png_kinds, jpeg_kinds, bmp_kinds, truncated, hostile_jpeg,
		hostile_png, hostile_bmp, no_pictures, files, resize_golden, resize_definition,
		resize_bad, scaling};
	Suite *s = suite_create("picture");
	TCase *c = tcase_create("picture");

	tcase_set_timeout(c, 0);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(c, tests[i]);
	suite_add_tcase(s, c);
	return suite_run(s);
}
