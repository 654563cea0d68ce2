/* SPDX-License-Identifier: MIT */
/* Damaged and hostile GGUF files: each is refused with its sentence, none crashes. */
#include "base/base.h"
#include "format/gguf.h"
#include "gguf_walk.h"
#include "gguf_writer.h"
#include "suite.h"
#include "weir/weir.h"

static volatile uint64_t sink;

static const uint64_t dim32[] = {32, 1, 1, 1, 1};

static void tensor_f32(struct gguf_writer *w, const char *name, uint64_t offset)
{
	gguf_writer_describe(w, name, strlen(name), 1, dim32, WEIR_TYPE_F32, offset);
}

static void raw_key(struct gguf_writer *w, uint32_t type, const void *value, size_t size)
{
	gguf_writer_raw(w, "k", 1, type, value, size);
}

static void key_twice(struct gguf_writer *w)
{
	gguf_writer_u32(w, "a", 1);
	gguf_writer_u32(w, "b", 1);
	gguf_writer_u32(w, "a", 2);
}

static void key_type_13(struct gguf_writer *w)
{
	raw_key(w, 13, "12345678", 8);
}

static void key_without_name(struct gguf_writer *w)
{
	gguf_writer_u32(w, "", 1);
}

static void key_with_escape(struct gguf_writer *w)
{
	gguf_writer_u32(w, "ok", 1);
	gguf_writer_u32(w, "a\x1b[2J", 1);
}

static void key_with_c1_control(struct gguf_writer *w)
{
	gguf_writer_u32(w,
		"a\xc2\x9b"
		"2J",
		1); /* U+009B begins an escape sequence too */
}

static void key_not_utf8(struct gguf_writer *w)
{
	gguf_writer_u32(w, "a\xc0\x80", 1);
}

static void key_name_past_end(struct gguf_writer *w)
{
	gguf_writer_u32(w, "ok", 1);
	gguf_writer_raw(w, NULL, 0, 4, "1234", 4);
}

static void patch_key_length(unsigned char *data, size_t *size)
{
	/* The second key's length: 16 bytes before the end (length, type, value). */
	memset(data + *size - 16, 0xff, 8);
}

static void value_past_end(struct gguf_writer *w)
{
	raw_key(w, WEIR_GGUF_U64, "1234567", 7);
}

static void string_past_end(struct gguf_writer *w)
{
	raw_key(w, WEIR_GGUF_STRING, "\x04\0\0\0\0\0\0\0abc", 11);
}

static void string_huge(struct gguf_writer *w)
{
	raw_key(w, WEIR_GGUF_STRING,
		"\xff\xff\xff\xff\xff\xff\xff\xff"
		"abc",
		11);
}

static void array_huge(struct gguf_writer *w)
{
	/* 2^61 + 1 elements of 8 bytes: 8 in 64 bits. */
	raw_key(w, WEIR_GGUF_ARRAY,
		"\x0a\0\0\0\x01\0\0\0\0\0\0\x20"
		"12345678",
		20);
}

static void strings_past_end(struct gguf_writer *w)
{
	raw_key(w, WEIR_GGUF_ARRAY,
		"\x08\0\0\0\x02\0\0\0\0\0\0\0"
		"\x01\0\0\0\0\0\0\0a"
		"\x09\0\0\0\0\0\0\0b",
		30);
}

static void strings_many(struct gguf_writer *w)
{
	raw_key(w, WEIR_GGUF_ARRAY, "\x08\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 12);
}

static void array_cut(struct gguf_writer *w)
{
	raw_key(w, WEIR_GGUF_ARRAY, "\x08\0\0\0\xff", 5);
}

static void array_nested(struct gguf_writer *w)
{
	raw_key(w, WEIR_GGUF_ARRAY,
		"\x09\0\0\0\x01\0\0\0\0\0\0\0"
		"12345678901234567890",
		32);
}

static void array_type_99(struct gguf_writer *w)
{
	raw_key(w, WEIR_GGUF_ARRAY, "\x63\0\0\0\x01\0\0\0\0\0\0\0", 12);
}

static void alignment_0(struct gguf_writer *w)
{
	gguf_writer_u32(w, "general.alignment", 0);
}

static void alignment_4(struct gguf_writer *w)
{
	gguf_writer_u32(w, "general.alignment", 4);
}

static void alignment_48(struct gguf_writer *w)
{
	gguf_writer_u32(w, "general.alignment", 48);
}

static void alignment_huge(struct gguf_writer *w)
{
	gguf_writer_u32(w, "general.alignment", 1u << 31);
}

static void alignment_string(struct gguf_writer *w)
{
	gguf_writer_string(w, "general.alignment", "32");
}

static void tensor_twice(struct gguf_writer *w)
{
	for (int i = 0; i < 2; i++)
		gguf_writer_tensor(w, "t", WEIR_TYPE_F32, 1, dim32, NULL);
}

static void tensor_without_name(struct gguf_writer *w)
{
	tensor_f32(w, "", gguf_writer_data(w, NULL, 128));
}

static void tensor_name_long(struct gguf_writer *w)
{
	char name[128];

	memset(name, 'n', sizeof(name));
	gguf_writer_describe(w, name, 128, 1, dim32, WEIR_TYPE_F32, gguf_writer_data(w, NULL, 128));
}

static void tensor_name_zero(struct gguf_writer *w)
{
	gguf_writer_describe(w, "a\0b", 3, 1, dim32, WEIR_TYPE_F32, gguf_writer_data(w, NULL, 128));
}

static void tensor_0_dims(struct gguf_writer *w)
{
	gguf_writer_describe(w, "t", 1, 0, dim32, WEIR_TYPE_F32, gguf_writer_data(w, NULL, 128));
}

static void tensor_5_dims(struct gguf_writer *w)
{
	gguf_writer_describe(w, "t", 1, 5, dim32, WEIR_TYPE_F32, gguf_writer_data(w, NULL, 128));
}

static void tensor_dim_0(struct gguf_writer *w)
{
	gguf_writer_describe(
		w, "t", 1, 2, (uint64_t[]){32, 0}, WEIR_TYPE_F32, gguf_writer_data(w, NULL, 128));
}

static void tensor_dims_huge(struct gguf_writer *w)
{
	const uint64_t dim[] = {1ull << 32, 1ull << 31, 2, 1};

	gguf_writer_describe(w, "t", 1, 4, dim, WEIR_TYPE_F32, gguf_writer_data(w, NULL, 128));
}

static void tensor_bytes_huge(struct gguf_writer *w)
{
	gguf_writer_describe(w, "t", 1, 2, (uint64_t[]){1ull << 32, 1ull << 30}, WEIR_TYPE_F32,
		gguf_writer_data(w, NULL, 128));
}

static void tensor_type_200(struct gguf_writer *w)
{
	gguf_writer_describe(w, "t", 1, 1, dim32, 200, gguf_writer_data(w, NULL, 128));
}

static void tensor_half_block(struct gguf_writer *w)
{
	gguf_writer_describe(
		w, "t", 1, 2, (uint64_t[]){48, 2}, WEIR_TYPE_Q4_0, gguf_writer_data(w, NULL, 128));
}

static void tensor_misaligned(struct gguf_writer *w)
{
	gguf_writer_data(w, NULL, 256);
	tensor_f32(w, "t", 16);
}

static void tensor_misaligned_64(struct gguf_writer *w)
{
	gguf_writer_alignment(w, 64);
	gguf_writer_data(w, NULL, 256);
	tensor_f32(w, "t", 32);
}

static void tensor_past_end(struct gguf_writer *w)
{
	gguf_writer_data(w, NULL, 127);
	tensor_f32(w, "blk.3.attn_q.weight", 0);
}

static void tensor_no_data(struct gguf_writer *w)
{
	tensor_f32(w, "t", 0);
}

static void tensor_offset_huge(struct gguf_writer *w)
{
	gguf_writer_data(w, NULL, 128);
	tensor_f32(w, "t", UINT64_MAX - 31);
}

static void tensor_overlap(struct gguf_writer *w)
{
	gguf_writer_data(w, NULL, 256);
	tensor_f32(w, "one", 64);
	tensor_f32(w, "two", 0);
}

static void tensor_same_place(struct gguf_writer *w)
{
	gguf_writer_data(w, NULL, 256);
	tensor_f32(w, "one", 0);
	tensor_f32(w, "two", 0);
}

static void tensor_odd_past_end(struct gguf_writer *w)
{
	gguf_writer_data(w, NULL, 73);
	gguf_writer_describe(w, "t", 1, 1, (uint64_t[]){256}, 17, 0);
}

static void split_without_name(struct gguf_writer *w)
{
	gguf_writer_scalar(w, "split.count", WEIR_GGUF_U16, &(uint16_t){3});
}

static void split_tensors(struct gguf_writer *w)
{
	gguf_writer_scalar(w, "split.tensors.count", WEIR_GGUF_I32, &(int32_t){2});
	gguf_writer_tensor(w, "t", WEIR_TYPE_F32, 1, dim32, NULL);
}

static void nothing(struct gguf_writer *w)
{
	(void)w;
}

static void empty_file(unsigned char *data, size_t *size)
{
	(void)data;
	*size = 0;
}

static void cut_version(unsigned char *data, size_t *size)
{
	(void)data;
	*size = 6;
}

static void cut_counts(unsigned char *data, size_t *size)
{
	(void)data;
	*size = 20;
}

static void other_magic(unsigned char *data, size_t *size)
{
	(void)size;
	data[3] = 'g';
}

static void version_1(unsigned char *data, size_t *size)
{
	(void)size;
	data[4] = 1;
}

static void version_4(unsigned char *data, size_t *size)
{
	(void)size;
	data[4] = 4;
}

static void big_endian(unsigned char *data, size_t *size)
{
	(void)size;
	data[4] = 0;
	data[7] = 3;
}

static void many_keys(unsigned char *data, size_t *size)
{
	(void)size;
	memset(data + 16, 0xff, 8);
}

static void many_tensors(unsigned char *data, size_t *size)
{
	(void)size;
	data[8] = 1;
}

static void one_key_more(unsigned char *data, size_t *size)
{
	(void)size;
	data[16]++;
}

static void one_key(struct gguf_writer *w)
{
	gguf_writer_string(w, "a", "a longer string, as room for one more key");
}

static const struct hostile {
	void (*build)(struct gguf_writer *w);
	void (*patch)(unsigned char *data, size_t *size); /* of the finished file; NULL: none */
	const char *sentence;
} hostile[] = {
	{nothing, empty_file, "it is empty"},
	{nothing, other_magic, "it is no GGUF file: it does not begin with GGUF"},
	{nothing, cut_version, "it ends in the header, at byte 6"},
	{nothing, cut_counts, "it ends in the header, at byte 20"},
	{nothing, version_1, "it is GGUF version 1; Weir reads versions 2 and 3"},
	{nothing, version_4, "it is GGUF version 4; Weir reads versions 2 and 3"},
	{nothing, big_endian, "it is big-endian (GGUF version 3); Weir reads little-endian files"},
	{nothing, many_keys,
		"it says 18446744073709551615 metadata keys, too many for its 24 bytes"},
	{nothing, many_tensors, "it says 1 tensors, too many for its 24 bytes"},
	{one_key, one_key_more, "it ends in metadata key 2 of 2"},
	{key_twice, NULL, "key a is there twice"},
	{key_type_13, NULL, "key k has value type 13, which does not exist"},
	{key_without_name, NULL,
		"metadata key 1 of 1 has no name of 1 to 65535 bytes of UTF-8 text"},
	{key_with_escape, NULL,
		"metadata key 2 of 2 has no name of 1 to 65535 bytes of UTF-8 text"},
	{key_with_c1_control, NULL,
		"metadata key 1 of 1 has no name of 1 to 65535 bytes of UTF-8 text"},
	{key_not_utf8, NULL, "metadata key 1 of 1 has no name of 1 to 65535 bytes of UTF-8 text"},
	{key_name_past_end, patch_key_length, "it ends in metadata key 2 of 2"},
	{value_past_end, NULL,
		"the value of key k goes past the end of the file, which has 44 bytes"},
	{string_past_end, NULL,
		"the value of key k goes past the end of the file, which has 48 bytes"},
	{string_huge, NULL, "the value of key k goes past the end of the file, which has 48 bytes"},
	{array_huge, NULL, "the value of key k goes past the end of the file, which has 57 bytes"},
	{strings_past_end, NULL,
		"the value of key k goes past the end of the file, which has 67 bytes"},
	{strings_many, NULL,
		"the value of key k goes past the end of the file, which has 49 bytes"},
	{array_cut, NULL, "the value of key k goes past the end of the file, which has 42 bytes"},
	{array_nested, NULL, "key k is an array of arrays, which Weir does not read"},
	{array_type_99, NULL, "key k is an array of value type 99, which does not exist"},
	{alignment_0, NULL, "general.alignment is 0, not a power of two from 8 to 16777216"},
	{alignment_4, NULL, "general.alignment is 4, not a power of two from 8 to 16777216"},
	{alignment_48, NULL, "general.alignment is 48, not a power of two from 8 to 16777216"},
	{alignment_huge, NULL,
		"general.alignment is 2147483648, not a power of two from 8 to 16777216"},
	{alignment_string, NULL, "key general.alignment has type string, not an integer"},
	{tensor_twice, NULL, "tensor t is there twice"},
	{tensor_without_name, NULL, "tensor 1 of 1 has no name of 1 to 127 bytes of UTF-8 text"},
	{tensor_name_long, NULL, "tensor 1 of 1 has no name of 1 to 127 bytes of UTF-8 text"},
	{tensor_name_zero, NULL, "tensor 1 of 1 has no name of 1 to 127 bytes of UTF-8 text"},
	{tensor_0_dims, NULL, "tensor t has 0 dimensions, not 1 to 4"},
	{tensor_5_dims, NULL, "tensor t has 5 dimensions, not 1 to 4"},
	{tensor_dim_0, NULL, "dimension 1 of tensor t is 0"},
	{tensor_dims_huge, NULL, "tensor t has more weights than 64 bits can count"},
	{tensor_bytes_huge, NULL, "tensor t has more bytes than memory can hold"},
	{tensor_type_200, NULL, "tensor t has type 200, which Weir does not know"},
	{tensor_half_block, NULL,
		"tensor t has rows of 48 weights, but Q4_0 keeps them in blocks of 32"},
	{tensor_misaligned, NULL,
		"tensor t begins at offset 16, which is no multiple of the alignment, 32"},
	{tensor_misaligned_64, NULL,
		"tensor t begins at offset 32, which is no multiple of the alignment, 64"},
	{tensor_past_end, NULL, "tensor blk.3.attn_q.weight ends at byte 224, the file has 223"},
	{tensor_no_data, NULL, "tensor t ends at byte 192, the file has 57"},
	{tensor_offset_huge, NULL, "tensor t has an offset that does not fit in 64 bits"},
	{tensor_overlap, NULL, "tensors two and one overlap at byte 160"},
	{tensor_same_place, NULL, "tensors one and two overlap at byte 96"},
	{tensor_odd_past_end, NULL, "tensor t ends at byte 138, the file has 137"},
	{split_without_name, NULL, "split.count is 3, but its name says that there is 1"},
	{split_tensors, NULL, "split.tensors.count is 2, but there are 1 tensors"},
};

/* Bytes in a block of their own size, so that a sanitizer sees each read past their end. */
static int open_copy(const unsigned char *data, size_t size, struct weir_gguf **g, void **copy)
{
	*copy = malloc(size ? size : 1);
	ck_assert_ptr_nonnull(*copy);
	memcpy(*copy, data, size);
	return weir_gguf_open_memory(*copy, size, "bad.gguf", g);
}

START_TEST(hostile_files)
{
	const struct hostile *h = &hostile[_i];
	struct gguf_writer *w = gguf_writer_new(3);
	struct weir_gguf *g = (struct weir_gguf *)1;
	char sentence[300];
	size_t size;
	void *copy;
	unsigned char *data;

	h->build(w);
	data = (unsigned char *)gguf_writer_finish(w, &size);
	if (h->patch)
		h->patch(data, &size);
	snprintf(sentence, sizeof(sentence), "cannot read bad.gguf: %s", h->sentence);
	ck_assert_int_lt(open_copy(data, size, &g, &copy), 0);
	ck_assert_str_eq(weir_error(), sentence);
	ck_assert_ptr_null(g);
	free(copy);
	gguf_writer_free(w);
}
END_TEST

START_TEST(cut_at_every_byte)
{
	struct gguf_writer *w = gguf_writer_sample(3);
	struct weir_gguf *g;
	size_t size;
	const unsigned char *data = gguf_writer_finish(w, &size);
	void *copy;

	for (size_t n = 0; n < size; n++) {
		ck_assert_int_lt(open_copy(data, n, &g, &copy), 0);
		ck_assert(!strncmp(weir_error(), "cannot read bad.gguf: ", 22));
		free(copy);
	}
	ck_assert(!open_copy(data, size, &g, &copy));
	sink = gguf_walk(g);
	weir_gguf_close(g);
	free(copy);
	gguf_writer_free(w);
}
END_TEST

/* Bits flip, mostly in what describes the rest; most files are refused, none may crash. */
START_TEST(flipped_bits)
{
	struct gguf_writer *w = gguf_writer_sample(3);
	struct weir_gguf *g;
	size_t size, opened = 0;
	unsigned char *data = (unsigned char *)gguf_writer_finish(w, &size);
	void *copy;

	srandom(7);
	for (int i = 0; i < 20000; i++) {
		const size_t range = i % 4 ? size / 2 : size;

		for (int flips = 1 + i % 3; flips; flips--)
			data[(size_t)random() % range] ^= (unsigned char)(1u << random() % 8);
		if (!open_copy(data, size, &g, &copy)) {
			opened++;
			sink = gguf_walk(g);
			weir_gguf_close(g);
		}
		free(copy);
		data = (unsigned char *)gguf_writer_finish(w, &size); /* whole again */
	}
	ck_assert_uint_gt(opened, 100);
	ck_assert_uint_lt(opened, 19900);
	gguf_writer_free(w);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gguf_hostile");
	TCase *tc = tcase_create("hostile");

	tcase_add_loop_test(tc, hostile_files, 0, (int)WEIR_ARRAY_SIZE(hostile));
	tcase_add_test(tc, cut_at_every_byte);
	tcase_add_test(tc, flipped_bits);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
