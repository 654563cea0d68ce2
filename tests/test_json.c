/* SPDX-License-Identifier: MIT */
/* JSON: what is read, and what is refused with which sentence. */
#include <unistd.h>

#include "format/json.h"
#include "suite.h"
#include "weir/weir.h"

static int parse(const char *text, struct weir_json *out)
{
	return weir_json_parse("x.json", text, strlen(text), out);
}

static void parse_good(const char *text, struct weir_json *out)
{
	ck_assert_msg(!parse(text, out), "%s", weir_error());
}

/* ---- texts that are no JSON ------------------------------------------------------------------ */

static const struct {
	const char *text, *sentence;
} refused[] = {
	{"", "line 1: the text ends where a value is due"},
	{" \n ", "line 2: the text ends where a value is due"},
	{"{} x", "line 1: something stands behind the value"},
	{"{}{}", "line 1: something stands behind the value"},
	{"nul", "line 1: what stands here is no value"},
	{"NaN", "line 1: what stands here is no value"},
	{"Infinity", "line 1: what stands here is no value"},
	{"True", "line 1: what stands here is no value"},
	{"'a'", "line 1: what stands here is no value"},
	{"// c\n1", "line 1: what stands here is no value"},
	{"[1,]", "line 1: what stands here is no value"},
	{"[1 2]", "line 1: an array goes on without a comma"},
	{"[1", "line 1: an array goes on without a comma"},
	{"{\"a\":1,}", "line 1: a key in quotes is due"},
	{"{a:1}", "line 1: a key in quotes is due"},
	{"{\"a\" 1}", "line 1: the key a has no colon behind it"},
	{"{\"a\":1 \"b\":2}", "line 1: an object goes on without a comma"},
	{"{\"a\":1,\n\"b\":2,\n\"a\":3}", "line 3: the key a is there twice"},
	{"{\"a\":{\"b\":1,\"b\":1}}", "line 1: the key b is there twice"},
	{"{\"a\\u0062\":1,\"\\u0061b\":1}", "line 1: the key ab is there twice"},
	{"{\"\\u001b[1m\":1,\"\\u001b[1m\":1}", "line 1: the key ?[1m is there twice"},
	{"{\"a\\u0000b\":1}", "line 1: a key with a zero byte"},
	{"\"a", "line 1: the text ends inside a string"},
	{"\"a\nb\"", "line 1: a control character (10) in a string"},
	{"\"\\x\"", "line 1: a backslash before what needs none"},
	{"\"\\", "line 1: a backslash before what needs none"},
	{"\"\\u12g4\"", "line 1: \\u takes four hexadecimal digits"},
	{"\"\\u12", "line 1: \\u takes four hexadecimal digits"},
	{"\"\\u\x10\x11\x12\x13\"", "line 1: \\u takes four hexadecimal digits"},
	{"\"\\ud800\"", "line 1: half a character: \\ud800"},
	{"\"\\ud800\\u0041\"", "line 1: half a character: \\ud800"},
	{"\"\\udc00\"", "line 1: half a character: \\udc00"},
	{"\"\x80\"", "line 1: invalid UTF-8"},
	{"\"\xc0\x80\"", "line 1: invalid UTF-8"},
	{"\"\xed\xa0\x80\"", "line 1: invalid UTF-8"},
	{"\"\xe2\x82\"", "line 1: invalid UTF-8"},
	{"\xef\xbb\xbf{}", "line 1: what stands here is no value"},
	{"01", "line 1: a number is not as JSON writes it"},
	{"-", "line 1: a number is not as JSON writes it"},
	{"1.", "line 1: a number is not as JSON writes it"},
	{"1e", "line 1: a number is not as JSON writes it"},
	{"+1", "line 1: what stands here is no value"},
	{".5", "line 1: what stands here is no value"},
	{"0x10", "line 1: something stands behind the value"},
	{"1e999", "line 1: a number past what a double holds"},
};

START_TEST(refuse)
{
	struct weir_json j;
	char want[128];

	ck_assert_int_eq(parse(refused[_i].text, &j), -EINVAL);
	snprintf(want, sizeof(want), "cannot read x.json: %s", refused[_i].sentence);
	ck_assert_str_eq(weir_error(), want);
	ck_assert_ptr_null(j.value);
}
END_TEST

static char *repeat(const char *what, size_t times)
{
	const size_t n = strlen(what);
	char *text = malloc(n * times + 1);

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < times; i++)
		memcpy(text + i * n, what, n);
	text[n * times] = '\0';
	return text;
}

START_TEST(depth)
{
	char *deep = repeat("[", 1000000), text[2 * WEIR_JSON_DEPTH + 1];
	struct weir_json j;

	ck_assert_int_eq(parse(deep, &j), -EINVAL);
	ck_assert_str_eq(weir_error(), "cannot read x.json: line 1: more than 64 objects and arrays in each other");
	free(deep);
	memset(text, '[', WEIR_JSON_DEPTH);
	memset(text + WEIR_JSON_DEPTH, ']', WEIR_JSON_DEPTH);
	text[2 * WEIR_JSON_DEPTH] = '\0';
	parse_good(text, &j);
	weir_json_close(&j);
}
END_TEST

/* Two megabytes of text whose objects would take half a gigabyte. */
START_TEST(cost)
{
	char *many = repeat("{},", 1000000);
	struct weir_json j;

	many[0] = '[';
	many[1] = ' ';
	many[2] = ' ';
	ck_assert_int_eq(parse(many, &j), -EFBIG);
	ck_assert_str_eq(weir_error(), "cannot read x.json: line 1: it has more values than Weir reads");
	free(many);
}
END_TEST

START_TEST(number_length)
{
	char *digits = repeat("1", 513);
	struct weir_json j;

	ck_assert_int_eq(parse(digits, &j), -EINVAL);
	ck_assert_str_eq(weir_error(), "cannot read x.json: line 1: a number of 513 characters");
	free(digits);
}
END_TEST

/* ---- values ---------------------------------------------------------------------------------- */

#define SAMPLE \
	"{\"a\": {\"list\": [1, \"x\", {\"deep\": -3}], \"n\": 7, \"f\": 1.5, \"t\": true, \"none\": null},\n" \
	" \"big\": 18446744073709551615, \"huge\": 1000000000000000019884624838656, \"e\": 1e-5,\n" \
	" \"text\": \"q\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\xe2\x82\xac\", \"zero\": \"a\\u0000b\", \"\": 1}"

START_TEST(values)
{
	struct weir_json j, a;
	const char *text;
	struct weir_str s;
	uint32_t u32;
	uint64_t u64;
	double f;
	bool t;

	parse_good(SAMPLE, &j);
	ck_assert(!weir_json_object(&j, "a", &a));
	ck_assert(!weir_json_u32(&a, "n", &u32) && u32 == 7);
	ck_assert(!weir_json_double(&a, "f", &f) && f == 1.5);
	ck_assert(!weir_json_double(&a, "n", &f) && f == 7);
	ck_assert(!weir_json_bool(&a, "t", &t) && t);
	ck_assert(weir_json_has(&a, "n") && !weir_json_has(&a, "none") && !weir_json_has(&a, "other"));
	ck_assert(!weir_json_u64(&j, "big", &u64) && u64 == UINT64_MAX);
	ck_assert(!weir_json_double(&j, "huge", &f) && f == 1e30);
	ck_assert(!weir_json_double(&j, "e", &f) && f == 1e-5);
	ck_assert(!weir_json_string(&j, "text", &text));
	ck_assert_str_eq(text, "q\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80\xe2\x82\xac");
	ck_assert(!weir_json_bytes(&j, "zero", &s) && s.len == 3 && !memcmp(s.ptr, "a\0b", 3));
	weir_json_close(&j);
}
END_TEST

START_TEST(walks)
{
	static const char *const keys[] = {"a", "big", "huge", "e", "text", "zero", ""};
	struct weir_json j, a, list, element, member;
	const void *at = NULL;
	unsigned n = 0;
	uint32_t one;

	parse_good(SAMPLE, &j);
	while (weir_json_next(&j, &at, &member))
		ck_assert_str_eq(member.key, keys[n++]);
	ck_assert_uint_eq(n, WEIR_ARRAY_SIZE(keys));
	ck_assert(!weir_json_object(&j, "a", &a) && !weir_json_array(&a, "list", &list));
	ck_assert_uint_eq(weir_json_count(&list), 3);
	weir_json_at(&list, 0, &element);
	ck_assert(!weir_json_u32(&element, NULL, &one) && one == 1);
	weir_json_at(&list, 2, &element);
	ck_assert_int_eq(weir_json_u32(&element, "deep", &one), -EINVAL);
	ck_assert_str_eq(weir_error(), "cannot read x.json: a.list[2].deep is negative");
	weir_json_close(&j);
}
END_TEST

START_TEST(wrong)
{
	struct weir_json j, a, out;
	const char *text;
	uint32_t u32;
	double f;
	bool t;

	parse_good(SAMPLE, &j);
	ck_assert(!weir_json_object(&j, "a", &a));
	ck_assert_int_eq(weir_json_u32(&a, "none", &u32), -ENOENT);
	ck_assert_str_eq(weir_error(), "cannot read x.json: a.none is missing");
	ck_assert_int_eq(weir_json_u32(&a, "f", &u32), -EINVAL);
	ck_assert_str_eq(weir_error(), "cannot read x.json: a.f is a number with a fraction, not an integer");
	ck_assert_int_eq(weir_json_u32(&j, "big", &u32), -EINVAL);
	ck_assert_str_eq(weir_error(),
		"cannot read x.json: big is 18446744073709551615, more than 4294967295");
	ck_assert_int_eq(weir_json_double(&j, "text", &f), -EINVAL);
	ck_assert_str_eq(weir_error(), "cannot read x.json: text is a string, not a number");
	ck_assert_int_eq(weir_json_bool(&a, "n", &t), -EINVAL);
	ck_assert_str_eq(weir_error(), "cannot read x.json: a.n is an integer, not a boolean");
	ck_assert_int_eq(weir_json_string(&j, "zero", &text), -EINVAL);
	ck_assert_str_eq(weir_error(), "cannot read x.json: zero has a zero byte");
	ck_assert_int_eq(weir_json_object(&j, "big", &out), -EINVAL);
	ck_assert_str_eq(weir_error(), "cannot read x.json: big is an integer, not an object");
	ck_assert_int_eq(weir_json_array(&j, "a", &out), -EINVAL);
	ck_assert_str_eq(weir_error(), "cannot read x.json: a is an object, not an array");
	weir_json_close(&j);
	parse_good("[]", &j);
	ck_assert_int_eq(weir_json_u32(&j, "a", &u32), -EINVAL);
	ck_assert_str_eq(weir_error(), "cannot read x.json: it is an array, not an object");
	weir_json_close(&j);
}
END_TEST

START_TEST(files)
{
	char path[] = "/tmp/weir-json-XXXXXX", want[128];
	int fd = mkstemp(path);
	struct weir_json j;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "{\"a\": 1}", 8), 8);
	close(fd);
	ck_assert(!weir_json_open(path, 8, &j));
	weir_json_close(&j);
	ck_assert_int_eq(weir_json_open(path, 7, &j), -EFBIG);
	snprintf(want, sizeof(want), "cannot read %s: it has 8 bytes, more than 7", path);
	ck_assert_str_eq(weir_error(), want);
	ck_assert(!unlink(path));
	ck_assert_int_eq(weir_json_open(path, 8, &j), -ENOENT);
	ck_assert_int_eq(weir_json_open("/tmp", 8, &j), -EINVAL);
	ck_assert_str_eq(weir_error(), "cannot read /tmp: it is not a regular file");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("json");
	TCase *tc = tcase_create("json");

	tcase_add_loop_test(tc, refuse, 0, (int)WEIR_ARRAY_SIZE(refused));
	tcase_add_test(tc, depth);
	tcase_add_test(tc, cost);
	tcase_add_test(tc, number_length);
	tcase_add_test(tc, values);
	tcase_add_test(tc, walks);
	tcase_add_test(tc, wrong);
	tcase_add_test(tc, files);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
