/* SPDX-License-Identifier: MIT */
/* The memory map that weir info draws: in the terminal, and as a picture that XML's readers take, whatever names there are. */
#include "cli.h"
#include "tflite_writer.h"

enum { LAYERS = 12 };

/* Names as a hostile file has them; the rest are called "layer". */
static const char *const hostile[] = {
	"a<b>&\"c'd/x", "]]><script>alert(1)</script>", "\x01\x1b[31mred\x07\x7f", "\xff\xfe broken \xc3", "\xef\xbf\xbe\xef\xbf\xbf",
	"gr\xc3\xbc\xc3\x9f gott \xe2\x82\xac \xf0\x9f\x98\x80", "",
	"a name that is far longer than all room there is for it in a line of eighty columns or a rectangle of a picture",
};

/* A network whose input is a picture, with a layer after the other that adds its input to itself. */
static void save_network(void)
{
	struct tflite_writer *w = tflite_writer_new();
	const float scale = 0.5f;
	const int64_t zero = 0;
	char path[128];
	int first, at, next;

	for (int i = -1; i < LAYERS; i++) {
		struct tflite_tensor t = {.name = i < 0 ? "input" : "layer", .type = WEIR_TFLITE_I8, .n_dims = 4,
			.dim = {1, 64, 50, 3}, .n_scales = 1, .n_zeros = 1, .scale = &scale, .zero = &zero};

		if (i >= 0 && (size_t)i < sizeof(hostile) / sizeof(hostile[0]))
			t.name = hostile[i];
		next = tflite_writer_tensor(w, &t);
		if (i < 0)
			first = next;
		else
			tflite_writer_op(w, &(struct weir_tflite_op){.code = WEIR_TFLITE_ADD, .version = 1, .n_inputs = 2,
				.inputs = (int32_t[]){at, first}, .n_outputs = 1, .outputs = &next});
		at = next;
	}
	tflite_writer_ends(w, 1, &first, 1, &at);
	snprintf(path, sizeof(path), "%s/net", work);
	ck_assert_int_eq(tflite_writer_save(w, path), 0);
	tflite_writer_free(w);
}

/* Bytes of a UTF-8 character that XML takes; 0: it is none. */
static size_t xml_char(const unsigned char *s)
{
	size_t n = *s < 0x80 ? 1 : *s < 0xc2 ? 0 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : *s < 0xf5 ? 4 : 0;

	if (*s < ' ' && *s != '\n' && *s != '\t')
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	return n == 3 && s[0] == 0xef && s[1] == 0xbf && s[2] >= 0xbe ? 0 : n;
}

static const char *xml_entity(const char *s)
{
	static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;"};

	for (size_t i = 0; i < 4; i++) {
		if (!strncmp(s, known[i], strlen(known[i])))
			return s + strlen(known[i]);
	}
	ck_abort_msg("no entity of XML: %.20s", s);
	return NULL;
}

/* That elements are closed as they were opened, and that all else is text. How many are called "rect". */
static int xml_check(const char *s)
{
	char open[16][16];
	int depth = 0, rects = 0;

	while (*s) {
		char name[16];
		const char *end;

		if (*s == '&') {
			s = xml_entity(s);
		} else if (*s != '<') {
			ck_assert_msg(xml_char((const unsigned char *)s), "no character of XML: %.20s", s);
			ck_assert(depth || *s == '\n');
			s += xml_char((const unsigned char *)s);
		} else {
			end = strchr(s, '>');
			ck_assert(end && sscanf(s + 1 + (s[1] == '/'), "%15[a-z]", name) == 1);
			if (s[1] == '/')
				ck_assert(depth && !strcmp(open[--depth], name));
			else if (end[-1] != '/')
				snprintf(open[depth++], sizeof(open[0]), "%s", name);
			ck_assert_int_lt(depth, 15);
			rects += s[1] != '/' && !strcmp(name, "rect");
			s = end + 1;
		}
	}
	ck_assert_int_eq(depth, 0);
	return rects;
}

static int blocks_of(const char *line)
{
	struct json_object *object = json_of(line);
	int n = (int)json_object_array_length(json_at(json_at(object, "network"), "memory"));

	json_object_put(object);
	return n;
}

/* A rectangle a tensor, and the paper: all within the picture. */
START_TEST(picture)
{
	double x, y, width, height;
	int blocks = blocks_of("$W info $D/net --json");

	ASSERT_STATUS("$W info $D/net --svg $D/map.svg && cat $D/map.svg >$D/copy", 0);
	slurp("copy", out, sizeof(out));
	ck_assert_int_gt(blocks, LAYERS / 2);
	ck_assert_int_eq(xml_check(out), blocks + 1);
	ASSERT_HAS(out, "a&lt;b&gt;&amp;&quot;c'd/x");
	ASSERT_HAS(out, "gr\xc3\xbc\xc3\x9f gott \xe2\x82\xac \xf0\x9f\x98\x80");
	ASSERT_HAS(out, "?? broken ?\n");
	ASSERT_HAS(out, "<title>\xef\xbf\xbd\xef\xbf\xbd\n");
	for (const char *r = out; (r = strstr(r, "<rect x=")); r++) {
		ck_assert_int_eq(sscanf(r, "<rect x=\"%lf\" y=\"%lf\" width=\"%lf\" height=\"%lf\"", &x, &y, &width, &height), 4);
		ck_assert(x >= 90 && y >= 50 - 0.01 && width > 0 && height > 0);
		ck_assert(x + width <= 1080.01 && y + height <= 580.01);
	}
	/* What cannot be written whole leaves nothing behind. */
	ASSERT_STATUS("mkdir $D/full && ! $W info $D/net --svg $D/full 2>$D/said && test -s $D/said", 0);
	ASSERT_STATUS("ls $D/map.svg?* $D/full?* $D/full/*", 2);
	ASSERT_STATUS("test -w /dev/full && $W info $D/net --svg /dev/full", 1);
	ASSERT_HAS(err, "/dev/full");
}
END_TEST

/* Columns of a line of UTF-8. */
static int columns(const char *line, size_t len)
{
	int n = 0;

	for (size_t i = 0; i < len; i++)
		n += (line[i] & 0xc0) != 0x80;
	return n;
}

/* The grid: the lines from the one behind the blank to the axis. */
static int grid_check(const char *axis, const char *wall)
{
	const char *at = strstr(out, "activations"), *end;
	int rows = 0, width = 0, letters = 0;

	ck_assert_ptr_nonnull(at);
	at = strstr(at, "\n\n") + 2;
	for (; !strstr(at, axis) || strstr(at, axis) > strchr(at, '\n'); at = end + 1, rows++) {
		end = strchr(at, '\n');
		ck_assert_ptr_nonnull(end);
		ck_assert(!width || columns(at, (size_t)(end - at)) == width);
		width = columns(at, (size_t)(end - at));
		ck_assert_int_le(width, 80);
		ck_assert_ptr_eq(strstr(at, wall), at + 12);
		for (const char *c = at + 13; c < end; c++)
			letters += *c >= 'A' && *c <= 'Z';
	}
	ck_assert_int_gt(letters, 100);
	return rows;
}

/* Every line fits, with signs that the locale has. */
START_TEST(terminal)
{
	ASSERT_STATUS("LC_ALL=C.UTF-8 $W info $D/net", 0);
	ck_assert_int_eq(grid_check("└", "│"), 20);
	for (char *line = strstr(out, "  ^ step"), *end; line && *line; line = end + 1) {
		end = strchr(line, '\n');
		/* Escaped bytes of a name may stand out. */
		ck_assert(columns(line, (size_t)(end - line)) <= 80 || strstr(line, "\\x"));
	}
	ck_assert_ptr_null(strchr(out, '\x1b'));
	ASSERT_STATUS("LC_ALL=C $W info $D/net", 0);
	ck_assert_int_eq(grid_check("0 +", "|"), 20);
	ck_assert_ptr_null(strstr(out, "│"));
	/* A layer a strip: more steps than columns. */
	ASSERT_STATUS("LC_ALL=C.UTF-8 $W info $D/net --memory-budget min", 0);
	ck_assert_int_eq(grid_check("└", "│"), 20);
	ASSERT_STATUS("$W info $D/net >/dev/full", 1);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("memory");

	cli_begin();
	tcase_add_unchecked_fixture(c, save_network, NULL);
	tcase_add_test(c, picture);
	tcase_add_test(c, terminal);
	return cli_end("memory", c);
}
