/* SPDX-License-Identifier: MIT */
/*
 * JPEG files, by libjpeg: its errors become sentences, and a small file cannot take endless time or
 * memory.
 */
#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>
#include <jerror.h>

#include "format/picture.h"

/* Huffman codes have at least one bit for a block of 8 x 8 pixels. */
#define PIXELS_A_BYTE (64 * 8)
/*
 * A progressive file has about ten scans; each goes over the whole picture, however few bytes it
 * has.
 */
#define SCANS_MAX 100
/* Coefficients of a progressive picture of 2^28 pixels without subsampling take 1.5 GiB. */
#define MEMORY_MAX (1536L << 20)

struct reader {
	struct jpeg_error_mgr errors;
	struct jpeg_progress_mgr progress;
	struct jpeg_source_mgr source;
	struct jpeg_decompress_struct jpeg;
	jmp_buf jump;
	const struct weir_picture_file *file;
	struct weir_picture *out;
	int err;
};

bool weir_picture_is_jpeg(const struct weir_picture_file *f)
{
	return f->size >= 3 && f->data[0] == 0xff && f->data[1] == 0xd8 && f->data[2] == 0xff;
}

static _Noreturn void stop(struct reader *r, int err)
{
	r->err = err;
	longjmp(r->jump, 1);
}

static _Noreturn void on_error(j_common_ptr jpeg)
{
	struct reader *r = jpeg->client_data;
	char text[JMSG_LENGTH_MAX];

	jpeg->err->format_message(jpeg, text);
	stop(r, weir_fail(jpeg->err->msg_code == JERR_OUT_OF_MEMORY ? ENOMEM : EINVAL,
			"%s: damaged JPEG file: %s", r->file->name, text));
}

/* What libjpeg warns of, decoders pass over; but not that data is missing. */
static void on_message(j_common_ptr jpeg, int level)
{
	struct reader *r = jpeg->client_data;

	if (level < 0 && jpeg->err->msg_code == JWRN_HIT_MARKER)
		stop(r, weir_fail(EINVAL, "%s: damaged JPEG file: the pixels' data end early",
				r->file->name));
}

static void on_output(j_common_ptr jpeg)
{
	(void)jpeg;
}

static void on_progress(j_common_ptr jpeg)
{
	struct reader *r = jpeg->client_data;

	if (r->jpeg.input_scan_number > SCANS_MAX)
		stop(r, weir_fail(EINVAL, "%s: the JPEG file has more than %d scans", r->file->name,
				SCANS_MAX));
}

static void source_begin(j_decompress_ptr jpeg)
{
	(void)jpeg;
}

static boolean source_fill(j_decompress_ptr jpeg)
{
	struct reader *r = jpeg->client_data;

	stop(r, weir_fail(EINVAL, "%s: the JPEG file ends early, at byte %zu", r->file->name,
			r->file->size));
}

static void source_skip(j_decompress_ptr jpeg, long n)
{
	if (n <= 0)
		return;
	if ((size_t)n > jpeg->src->bytes_in_buffer)
		source_fill(jpeg);
	jpeg->src->next_input_byte += n;
	jpeg->src->bytes_in_buffer -= (size_t)n;
}

static void connect(struct reader *r)
{
	struct jpeg_decompress_struct *jpeg = &r->jpeg;

	jpeg->err = jpeg_std_error(&r->errors);
	r->errors.error_exit = on_error;
	r->errors.emit_message = on_message;
	r->errors.output_message = on_output;
	r->progress.progress_monitor = on_progress;
	jpeg->client_data = r;
	jpeg_create_decompress(jpeg);
	jpeg->progress = &r->progress;
	jpeg->mem->max_memory_to_use = MEMORY_MAX;
	r->source = (struct jpeg_source_mgr){
		.next_input_byte = r->file->data,
		.bytes_in_buffer = r->file->size,
		.init_source = source_begin,
		.fill_input_buffer = source_fill,
		.skip_input_data = source_skip,
		.resync_to_restart = jpeg_resync_to_restart,
		.term_source = source_begin,
	};
	jpeg->src = &r->source;
}

/* Of a file whose scans each have a part of the components, one may have no scan. */
static void check_scans(struct reader *r)
{
	if (!r->jpeg.coef_bits)
		return;
	for (int c = 0; c < r->jpeg.num_components; c++)
		if (r->jpeg.coef_bits[c][0] < 0)
			stop(r, weir_fail(EINVAL,
					"%s: damaged JPEG file: no scan has its component %d",
					r->file->name, c + 1));
}

static void read_picture(struct reader *r)
{
	struct jpeg_decompress_struct *jpeg = &r->jpeg;
	const char *name = r->file->name;
	size_t pitch;
	int err;

	jpeg_read_header(jpeg, TRUE);
	if (jpeg->arith_code)
		stop(r, weir_fail(EOPNOTSUPP, "%s: JPEG with arithmetic coding is not supported",
				name));
	if (jpeg->num_components != 1 && jpeg->num_components != 3)
		stop(r, weir_fail(EOPNOTSUPP,
				"%s: JPEG with %d components, as for CMYK, is not supported", name,
				jpeg->num_components));
	jpeg->out_color_space = jpeg->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
	err = weir_picture_make(r->file, jpeg->image_width, jpeg->image_height,
		(unsigned)jpeg->num_components, PIXELS_A_BYTE, r->out);
	if (err)
		stop(r, err);
	jpeg_start_decompress(jpeg);
	check_scans(r);
	pitch = (size_t)r->out->width * r->out->channels;
	while (jpeg->output_scanline < jpeg->output_height) {
		JSAMPROW row = r->out->pixels + jpeg->output_scanline * pitch;

		jpeg_read_scanlines(jpeg, &row, 1);
	}
	jpeg_finish_decompress(jpeg);
}

int weir_picture_jpeg(const struct weir_picture_file *f, struct weir_picture *out)
{
	/* In memory, not in registers, whatever longjmp does. */
	struct reader *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return weir_fail(ENOMEM, "%s: no memory to decode it", f->name);
	r->file = f;
	r->out = out;
	if (!setjmp(r->jump)) {
		connect(r);
		read_picture(r);
	}
	err = r->err;
	jpeg_destroy_decompress(&r->jpeg);
	free(r);
	if (err)
		free(out->pixels);
	return err;
}
