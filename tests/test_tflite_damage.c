/* SPDX-License-Identifier: MIT */
/* TFLite files damaged by chance and by force: each opens and keeps the reader's word, or is refused with
 * a sentence. */
#include "base/base.h"
#include "suite.h"
#include "tflite_walk.h"
#include "tflite_writer.h"
#include "weir/weir.h"

static volatile uint64_t sink;

static bool is_sentence(const char *text)
{
	if (strncmp(text, "bad.tflite: ", 12) || strlen(text) > 400)
		return false;
	while ((unsigned char)*text >= 0x20)
		text++;
	return !*text;
}

/* Either it opens and keeps its word, or there is a sentence. Whether it opened. */
static bool try_bytes(const unsigned char *data, size_t size)
{
	struct weir_tflite *f;
	void *copy;
	const int err = tflite_parse_copy(data, size, &f, &copy);

	if (err) {
		if (err > 0 || f ||
			!is_sentence(weir_error())) /* an assertion for each of 100000 takes minutes */
			ck_abort_msg("%d, \"%s\"", err, weir_error());
	} else {
		sink = tflite_walk(f);
		weir_tflite_close(f);
	}
	free(copy);
	return !err;
}

START_TEST(cut_at_every_byte)
{
	struct tflite_writer *w = tflite_writer_sample();
	size_t size;
	const unsigned char *data = tflite_writer_finish(w, &size);

	for (size_t n = 0; n < size; n++)
		ck_assert(!try_bytes(data, n));
	ck_assert(try_bytes(data, size));
	tflite_writer_free(w);
}
END_TEST

/* Each 16-bit and each 32-bit word of the file is each of the numbers that mean trouble. */
START_TEST(every_word)
{
	static const uint32_t evil[] = {0, 1, 2, 3, 4, 5, 6, 8, 0x7f, 0x80, 0xff, 0x7fff, 0xfffe, 0xffff,
		0x10000, 0x3fffffff, 0x40000000, 0x7ffffffc, 0x7fffffff, 0x80000000, 0xfffffffc,
		0xfffffffe, 0xffffffff};
	struct tflite_writer *w = tflite_writer_sample();
	size_t size, opened = 0, tried = 0;
	unsigned char *data = tflite_writer_finish(w, &size);

	for (size_t at = 0; at + 4 <= size; at += 2) {
		const size_t bytes = at % 4 ? 2 : 4;
		unsigned char kept[4];

		memcpy(kept, data + at, bytes);
		for (size_t i = 0; i < WEIR_ARRAY_SIZE(evil); i++) {
			memcpy(data + at, &evil[i], bytes);
			opened += try_bytes(data, size);
			tried++;
		}
		/* The offset that just leaves the file, and those around it. */
		for (uint32_t i = 0; i < 12 && bytes == 4; i++) {
			const uint32_t end = (uint32_t)(size - at) - 8 + i;

			memcpy(data + at, &end, 4);
			opened += try_bytes(data, size);
			tried++;
		}
		memcpy(data + at, kept, bytes);
	}
	ck_assert_uint_gt(tried, 50000);
	ck_assert_uint_gt(opened, tried / 20);
	ck_assert_uint_lt(opened, tried - tried / 20);
	tflite_writer_free(w);
}
END_TEST

START_TEST(flipped_bits)
{
	struct tflite_writer *w = tflite_writer_sample();
	size_t size, opened = 0;
	unsigned char *data = tflite_writer_finish(w, &size), *spoilt = malloc(size);

	ck_assert_ptr_nonnull(spoilt);
	srandom(7);
	for (int i = 0; i < 30000; i++) {
		memcpy(spoilt, data, size);
		for (int flips = 1 + i % 5; flips; flips--)
			spoilt[(size_t)random() % size] ^= (unsigned char)(1u << random() % 8);
		opened += try_bytes(spoilt, i % 10 ? size : (size_t)random() % size);
	}
	ck_assert_uint_gt(opened, 1000);
	ck_assert_uint_lt(opened, 29000);
	free(spoilt);
	tflite_writer_free(w);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tflite_damage");
	TCase *tc = tcase_create("damage");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, cut_at_every_byte);
	tcase_add_test(tc, every_word);
	tcase_add_test(tc, flipped_bits);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
