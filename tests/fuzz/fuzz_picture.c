/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: any bytes as a picture; what decodes is resized. Seeds are written to the
 * folder that WEIR_FUZZ_SEEDS names, before the run: mkdir corpus && WEIR_FUZZ_SEEDS=corpus
 * build/fuzz/fuzz_picture -max_total_time=180 corpus
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <png.h>

#include <weir/vision.h>

#include "picture_writer.h"

#define W 19
#define H 11

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void save_seed(const char *folder, const char *name, struct picture_bytes b)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "wb");
	if (!f || fwrite(b.data, 1, b.size, f) != b.size)
		fprintf(stderr, "cannot write %s\n", path);
	if (f)
		fclose(f);
	free(b.data);
}

static void save_pngs(const char *folder, const unsigned char *pixels)
{
	static const int types[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_PALETTE, PNG_COLOR_TYPE_RGB,
		PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB_ALPHA};
	char name[32];

	for (int i = 0; i < 5; i++) {
		for (int interlaced = 0; interlaced < 2; interlaced++) {
			snprintf(name, sizeof(name), "%d-%d.png", types[i], interlaced);
			save_seed(folder, name,
				picture_png(pixels, W, H, 8, types[i], interlaced, i < 2 ? 3 : -1));
		}
	}
	save_seed(folder, "16.png", picture_png(pixels, W, H, 16, PNG_COLOR_TYPE_GRAY, false, -1));
	save_seed(folder, "1.png", picture_png(pixels, W, H, 1, PNG_COLOR_TYPE_PALETTE, false, -1));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const struct picture_bmp_settings bmps[] = {{.bits = 24},
		{.bits = 32, .fields = true}, {.bits = 24, .core = true},
		{.bits = 32, .top_down = true}};
	struct picture_bmp_settings indexed = {.bits = 8, .n_colors = 256};
	unsigned char pixels[W * H * 4];
	const char *folder = getenv("WEIR_FUZZ_SEEDS");
	char name[32];

	(void)argc;
	(void)argv;
	if (!folder)
		return 0;
	for (size_t i = 0; i < sizeof(pixels); i++)
		pixels[i] = (unsigned char)(i * i / 7);
	save_pngs(folder, pixels);
	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "%d.jpg", i);
		save_seed(folder, name,
			picture_jpeg(pixels, W, H,
				i < 2	? 1
				: i < 4 ? 3
					: 4,
				i % 2, 40));
	}
	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%d.bmp", i);
		save_seed(folder, name, picture_bmp(pixels, W, H, &bmps[i]));
	}
	indexed.palette = pixels;
	save_seed(folder, "8.bmp", picture_bmp(pixels, W, H, &indexed));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned targets[][2] = {{8, 8}, {33, 5}};
	unsigned char out[33 * 8 * 3];
	struct weir_picture p;

	/* How many bytes there are says whether it is to be grey, colour, or as it is. */
	if (weir_picture_decode(data, size, "fuzz", size % 3 == 2 ? 3 : (unsigned)(size % 3), &p))
		return 0;
	if (!p.pixels || !p.width || !p.height || (p.channels != 1 && p.channels != 3))
		abort();
	for (int i = 0; i < 2; i++)
		if (weir_picture_resize(&p, i ? 0.875 : 1, targets[i][0], targets[i][1], out))
			abort();
	weir_picture_free(&p);
	return 0;
}
