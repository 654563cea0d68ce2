/* SPDX-License-Identifier: MIT */
/* weir classify, and bench and info of networks, as people and scripts meet them. */
#include <math.h>
#include <png.h>
#include <sys/stat.h>

#include "cli.h"
#include "picture_writer.h"
#include "tflite_writer.h"

#define MCUNET "cnn/mcunet-320kb-1mb_imagenet.tflite"

static const char *mcunet; /* $M; NULL: there is no test data */

/* The line that weir classify --json prints of a picture, by the last part of its path. */
static struct json_object *line_of(const char *name)
{
	char *copy = strdup(out), *rest = copy, *line;
	struct json_object *object = NULL;
	const char *path;
	size_t len;

	while ((line = strsep(&rest, "\n")) && *line) {
		object = json_tokener_parse(line);
		ck_assert_msg(object != NULL, "no JSON: %s", line);
		path = json_object_get_string(json_at(object, "path"));
		len = strlen(path);
		if (len >= strlen(name) && !strcmp(path + len - strlen(name), name))
			break;
		json_object_put(object);
		object = NULL;
	}
	ck_assert_msg(object != NULL, "no line of %s: %.500s", name, out);
	free(copy);
	return object;
}

static int best(const char *name)
{
	struct json_object *object = line_of(name);
	int index = json_object_get_int(
		json_at(json_object_array_get_idx(json_at(object, "top"), 0), "index"));

	json_object_put(object);
	return index;
}

static void save(const char *name, void *data, size_t size)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", work, name);
	f = fopen(path, "wb");
	ck_assert(f && data && fwrite(data, 1, size, f) == size);
	fclose(f);
	free(data);
}

/*
 * A network without weights in $D/name: the output, (1, classes), has the bytes of the input, (1,
 * side, side, 3), and thereby shows what pixels go in as. With two inputs it adds them up.
 */
static void save_network(const char *name, int type, int side, float scale, int64_t zero, bool two)
{
	struct tflite_writer *w = tflite_writer_new();
	struct tflite_tensor t = {
		.name = "pixels", .type = type, .n_dims = 4, .dim = {1, side, side, 3}};
	const int32_t shape[] = {1, side * side * 3};
	int in[2], out_id;
	char path[128];

	if (type == WEIR_TFLITE_I8) {
		t.n_scales = t.n_zeros = 1;
		t.scale = &scale;
		t.zero = &zero;
	}
	in[0] = tflite_writer_tensor(w, &t);
	in[1] = two ? tflite_writer_tensor(w, &t)
		    : tflite_writer_tensor(w, &(struct tflite_tensor){.name = "shape",
						      .type = WEIR_TFLITE_I32,
						      .n_dims = 1,
						      .dim = {2},
						      .data = shape,
						      .size = sizeof(shape)});
	t.name = "scores";
	if (!two) {
		t.n_dims = 2;
		t.dim[1] = shape[1];
	}
	out_id = tflite_writer_tensor(w, &t);
	tflite_writer_op(
		w, &(struct weir_tflite_op){.code = two ? WEIR_TFLITE_ADD : WEIR_TFLITE_RESHAPE,
			   .version = 1,
			   .n_inputs = 2,
			   .inputs = in,
			   .n_outputs = 1,
			   .outputs = &out_id});
	tflite_writer_ends(w, two ? 2 : 1, in, 1, &out_id);
	snprintf(path, sizeof(path), "%s/%s", work, name);
	ck_assert_int_eq(tflite_writer_save(w, path), 0);
	tflite_writer_free(w);
}

#define SIDE 5
#define PIXELS (SIDE * SIDE * 3)

/* The bytes that $D/dump has: PIXELS values. */
static void load_dump(void *into, size_t size)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/dump", work);
	f = fopen(path, "rb");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fread(into, 1, size, f), size);
	ck_assert_int_eq(fgetc(f), EOF);
	fclose(f);
}

/* What pixels become, with networks that hand them on. */
START_TEST(pixels_go_in)
{
	unsigned char pixels[PIXELS], bytes[2 * PIXELS];
	float floats[PIXELS];
	struct picture_bytes b;

	for (int i = 0; i < PIXELS; i++)
		pixels[i] = (unsigned char)(i * 37 + 5);
	b = picture_png(pixels, SIDE, SIDE, 8, PNG_COLOR_TYPE_RGB, false, -1);
	save("p.png", b.data, b.size);
	save_network("unit", WEIR_TFLITE_I8, SIDE, 1.0f / 255, -128, false);
	save_network("signed", WEIR_TFLITE_I8, SIDE, 1.0f / 127, 0, false);
	save_network("floats", WEIR_TFLITE_F32, SIDE, 0, 0, false);
	save_network("two", WEIR_TFLITE_I8, SIDE, 0.5f, 0, true);

	ASSERT_STATUS("$W classify -q -m $D/unit --dump $D/dump $D/p.png", 0);
	load_dump(bytes, PIXELS);
	for (int i = 0; i < PIXELS; i++)
		ck_assert_int_eq((int8_t)bytes[i], pixels[i] - 128);
	ASSERT_STATUS("$W classify -q -m $D/unit --raw --dump $D/dump $D/p.png", 0);
	load_dump(bytes, PIXELS);
	ck_assert_mem_eq(bytes, pixels, PIXELS);
	/* That file of raw bytes twice is two inputs. */
	ASSERT_STATUS("cat $D/dump $D/dump >$D/twice; $W classify -q -m $D/unit --raw --dump "
		      "$D/dump $D/twice",
		0);
	load_dump(bytes, sizeof(bytes));
	ck_assert(!memcmp(bytes, pixels, PIXELS) && !memcmp(bytes + PIXELS, pixels, PIXELS));
	ASSERT_HAS(out, "/twice[1]: ");
	/* Halves go away from zero: (pixel - 127.5) / 127.5 * 127 has some at 0 and 255 alone. */
	ASSERT_STATUS("$W classify -q -m $D/signed --dump $D/dump $D/p.png", 0);
	load_dump(bytes, PIXELS);
	for (int i = 0; i < PIXELS; i++)
		ck_assert_int_eq(
			(int8_t)bytes[i], lroundf(((float)pixels[i] - 127.5f) / 127.5f * 127));
	ASSERT_STATUS("$W classify -q -m $D/signed --mean 0,100,200 --scale 10,20,-30 --dump "
		      "$D/dump $D/p.png",
		2);
	ASSERT_STATUS(
		"$W classify -q -m $D/signed --mean 0,100,200 --scale 510 --dump $D/dump $D/p.png",
		0);
	load_dump(bytes, PIXELS);
	for (int i = 0; i < PIXELS; i++) {
		float value = ((float)pixels[i] - 100.0f * (float)(i % 3)) / 510;

		ck_assert_int_eq((int8_t)bytes[i], lroundf(value / (1.0f / 127)));
	}
	ASSERT_STATUS("$W classify -q -m $D/floats --dump $D/dump $D/p.png", 0);
	load_dump(floats, sizeof(floats));
	for (int i = 0; i < PIXELS; i++)
		ck_assert_float_eq(floats[i], (float)pixels[i] / 255);
	ASSERT_STATUS("$W classify -q -m $D/two $D/p.png", 1);
	ASSERT_HAS(err, "has 2 inputs");
	ck_assert_int_eq(lines_of(err), 1);
}
END_TEST

/* Scores of floats that are no probabilities get a softmax, those that are stay. */
START_TEST(scores)
{
	float values[PIXELS] = {[7] = 2, [9] = 3};
	char line[256];

	save_network("floats", WEIR_TFLITE_F32, SIDE, 0, 0, false);
	save("logits", memcpy(malloc(sizeof(values)), values, sizeof(values)), sizeof(values));
	ASSERT_STATUS("$W classify -q -k 2 -m $D/floats --raw $D/logits", 0);
	snprintf(line, sizeof(line), "/logits: 9 %.4f; 7 %.4f\n",
		exp(3) / (exp(3) + exp(2) + PIXELS - 2), exp(2) / (exp(3) + exp(2) + PIXELS - 2));
	ASSERT_HAS(out, line);
	values[7] = 0.25f;
	values[9] = 0.75f;
	save("shares", memcpy(malloc(sizeof(values)), values, sizeof(values)), sizeof(values));
	ASSERT_STATUS("$W classify -q -k 3 -m $D/floats --raw $D/shares", 0);
	ASSERT_HAS(out, "/shares: 9 0.7500; 7 0.2500; 0 0.0000\n");
}
END_TEST

START_TEST(names)
{
	struct json_object *object, *top;
	double before = 1, score, sum = 0;

	if (!mcunet || !suite_data("images/chelsea.png", "photographs"))
		return;
	ASSERT_STATUS("seq -f 'class %g, that is' 0 999 >$D/labels", 0);
	ASSERT_STATUS("$W classify -m $M --labels $D/labels --top 7 --json $DATA/images", 0);
	ck_assert_int_eq(lines_of(out), 6);
	ck_assert_int_eq(best("/chelsea.png"), 282); /* tiger cat */
	ck_assert_int_eq(best("/coffee.png"), 967);  /* espresso */
	ck_assert_int_eq(best("/rocket.jpg"), 657);  /* missile */
	object = line_of("/rocket.jpg");
	ck_assert_double_gt(json_object_get_double(json_at(object, "milliseconds")), 0);
	top = json_at(object, "top");
	ck_assert_uint_eq(json_object_array_length(top), 7);
	for (size_t i = 0; i < 7; i++) {
		score = json_object_get_double(json_at(json_object_array_get_idx(top, i), "score"));
		ck_assert(score >= 0 && score <= before);
		before = score;
		sum += score;
	}
	ck_assert(sum > 0.3 && sum <= 1.0001);
	ck_assert_str_eq(
		json_object_get_string(json_at(json_object_array_get_idx(top, 0), "label")),
		"class 657, that is");
	json_object_put(object);
	ASSERT_HAS(err, "6 pictures, ");
	ASSERT_HAS(err, " a second; network ");
	ASSERT_STATUS("$W classify -m $M --labels $D/labels -k 1 -q $DATA/images/coffee.png", 0);
	ck_assert_msg(!strncmp(strrchr(out, '/'), "/coffee.png: 967 class 967, that is 0.", 37),
		"%s", out);
	ck_assert_str_eq(err, "");
	ASSERT_STATUS(
		"seq 0 1000 >$D/labels; $W classify -m $M --labels $D/labels $DATA/images", 1);
	ASSERT_HAS(err, "1001 lines");
	ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(lists_and_folders)
{
	if (!mcunet || !suite_data("images/chelsea.png", "photographs"))
		return;
	ASSERT_STATUS("mkdir -p $D/p/in/deep $D/empty; cp $DATA/images/chelsea.png $D/p/b.PNG;"
		      " cp $DATA/images/rocket.jpg $D/p/a.jpeg; cp $DATA/cnn/person.bmp "
		      "$D/p/in/deep/c.bmp;"
		      " ln -s .. $D/p/in/round; echo text >$D/p/notes.txt",
		0);
	ASSERT_STATUS("$W classify -m $M -k 1 $D/p/", 0);
	ck_assert_int_eq(lines_of(out), 2);
	ck_assert(strstr(out, "/p/a.jpeg: 657 ") < strstr(out, "/p/b.PNG: 282 "));
	ASSERT_STATUS("$W classify -m $M -k 1 -r $D/p", 0);
	ck_assert_int_eq(lines_of(out), 3);
	ASSERT_HAS(out, "/p/in/deep/c.bmp: ");
	ASSERT_STATUS("printf '%s\\n\\n%s\\n' $D/p/b.PNG $D/p/in/deep | $W classify -m $M -", 0);
	ck_assert_int_eq(lines_of(out), 2);
	ASSERT_STATUS("$W classify -m $M $D/empty", 1);
	ASSERT_HAS(err, "no *.png");
	ASSERT_STATUS("$W classify -m $M - </dev/null", 1);
	ASSERT_HAS(err, "no picture");
	ASSERT_STATUS("printf 'a\\0b' | $W classify -m $M -", 1);
	ASSERT_HAS(err, "zero bytes");
}
END_TEST

START_TEST(bad_pictures)
{
	if (!mcunet || !suite_data("images/chelsea.png", "photographs"))
		return;
	ASSERT_STATUS(
		"head -c 50000 $DATA/images/chelsea.png >$D/cut.png; echo text >$D/text.jpg", 0);
	ASSERT_STATUS("$W classify -m $M -k 1 $D/cut.png $D/text.jpg $D/absent.png "
		      "$DATA/images/chelsea.png",
		1);
	ck_assert_int_eq(lines_of(out), 1);
	ASSERT_HAS(out, "chelsea.png: 282 ");
	ASSERT_HAS(err, "/cut.png: the PNG file ends early");
	ASSERT_HAS(err, "/text.jpg: this is neither");
	ASSERT_HAS(err, "/absent.png: No such file");
	ASSERT_HAS(err, "1 picture, 3 failed");
	ck_assert_int_eq(lines_of(err), 4);
	ASSERT_STATUS("$W classify -m $M -q $DATA/images/chelsea.png >/dev/full", 1);
	ASSERT_HAS(err, "standard output");
	ASSERT_STATUS("$W classify -m $M $D/text.jpg --raw", 1);
	ASSERT_HAS(err, "no multiple of the 92928");
	ASSERT_STATUS("$W classify -m $M $D/cut.png --dump $D/none; ls $D/none*", 2);
	ASSERT_STATUS("$W classify -m $M $DATA/images/chelsea.png --dump $D/no/where", 1);
	ASSERT_HAS(err, "no/where");
}
END_TEST

/* The input of $D/one in floats, as the TFLite file has it, gives what its bytes do. */
static void check_floats(void)
{
	struct json_object *object = json_of("$W info $DATA/cnn/tinyengine-vww.tflite --json"),
			   *input;
	int8_t bytes[80 * 80 * 3];
	float *values = malloc(sizeof(bytes) * sizeof(float));
	char path[128];
	double scale;
	int zero;
	FILE *f;

	input = json_object_array_get_idx(json_at(json_at(object, "network"), "inputs"), 0);
	ck_assert(json_object_get_boolean(json_at(input, "folded")));
	scale = json_object_get_double(json_at(input, "scale"));
	zero = json_object_get_int(json_at(input, "zero_point"));
	json_object_put(object);
	snprintf(path, sizeof(path), "%s/one", work);
	f = fopen(path, "rb");
	ck_assert(f && values && fread(bytes, 1, sizeof(bytes), f) == sizeof(bytes));
	fclose(f);
	for (size_t i = 0; i < sizeof(bytes); i++)
		values[i] = (float)(scale * (bytes[i] - zero));
	save("floats.bin", values, sizeof(bytes) * sizeof(float));
	ASSERT_STATUS("$W classify -m $DATA/cnn/tinyengine-vww.tflite --raw -q $D/floats.bin "
		      "--dump $D/got &&"
		      " cmp $D/got $D/want",
		0);
}

/* 20 pictures that TinyEngine has for its network, with what they are. */
START_TEST(golden_bytes)
{
	const char *labels = suite_data("cnn/vww_golden_labels.csv", "TinyEngine's golden inputs");
	char line[256], name[64];
	int at, want, n = 0;
	struct stat s;
	FILE *f;

	if (!labels || !suite_data("cnn/tinyengine-vww.tflite", "TinyEngine's network"))
		return;
	setenv("V",
		suite_data("cnn/vww_golden_images_i8_80x80x3.bin", "TinyEngine's golden inputs"),
		1);
	ASSERT_STATUS(
		"$W classify -m $DATA/cnn/tinyengine-vww.tflite --raw --json $V --dump $D/all", 0);
	ck_assert_int_eq(lines_of(out), 20);
	f = fopen(labels, "r");
	while (fgets(line, sizeof(line), f)) {
		char *comma = strrchr(line, ',');

		if (sscanf(line, "%d,", &at) != 1 || !comma)
			continue;
		want = atoi(comma + 1);
		snprintf(name, sizeof(name), "[%d]", at);
		ck_assert_msg(best(name) == want, "picture %d is no %d", at, want);
		n++;
	}
	fclose(f);
	ck_assert_int_eq(n, 20);
	snprintf(line, sizeof(line), "%s/all", work);
	ck_assert_int_eq(stat(line, &s), 0);
	ck_assert_int_eq(s.st_size, 20 * 2 * 4);
	/* However little memory there is, and whatever computes: the same bytes. */
	ASSERT_STATUS("$W classify -m $DATA/cnn/tinyengine-vww.tflite --raw --memory-budget min -q "
		      "$V --dump $D/min &&"
		      " cmp $D/all $D/min",
		0);
	ASSERT_STATUS("$W classify -m $DATA/cnn/tinyengine-vww.tflite --raw --tier portable "
		      "--schedule gpu -q $V"
		      " --dump $D/gpu && cmp $D/all $D/gpu",
		0);
	/* One of them alone. */
	ASSERT_STATUS("tail -c 19200 $V >$D/one; tail -c 8 $D/all >$D/want;"
		      " $W classify -m $DATA/cnn/tinyengine-vww.tflite --raw -q $D/one --dump "
		      "$D/got && cmp $D/got $D/want",
		0);
	ASSERT_HAS(out, "/one: ");
	check_floats();
	ASSERT_STATUS(
		"$W classify -m $DATA/cnn/tinyengine-vww.tflite --raw -q $D/one --memory-budget 1K",
		1);
	ck_assert_int_eq(lines_of(err), 1);
}
END_TEST

/* The bytes of these files are what the network wants. */
START_TEST(persons)
{
	if (!suite_data("cnn/person_detect.tflite", "the network of two pictures") ||
		!suite_data("cnn/person.bmp", "the network of two pictures"))
		return;
	ASSERT_STATUS(
		"$W classify -m $DATA/cnn/person_detect.tflite --raw --json $DATA/cnn/person.bmp"
		" $DATA/cnn/no_person.bmp",
		0);
	ck_assert_int_eq(best("/person.bmp"), 1);
	ck_assert_int_eq(best("/no_person.bmp"), 0);
}
END_TEST

START_TEST(scaling)
{
	if (!mcunet || !suite_data("images/chelsea.png", "photographs"))
		return;
	ASSERT_STATUS("$W classify -m $M -q $DATA/images --dump $D/a", 0);
	ASSERT_STATUS("$W classify -m $M -q $DATA/images --dump $D/b --mean 127.5 --scale "
		      "127.5,127.5,127.5 &&"
		      " cmp $D/a $D/b",
		0);
	ASSERT_STATUS(
		"$W classify -m $M -q $DATA/images --dump $D/c --mean 100,120,140 --scale 70", 0);
	ASSERT_STATUS("cmp -s $D/a $D/c", 1);
	ASSERT_STATUS("ls -l $D/a | awk '{print $5}'", 0);
	ck_assert_str_eq(out, "6000\n");
}
END_TEST

START_TEST(other_files)
{
	if (suite_data("llm/stories260K-f32.gguf", "a language model")) {
		ASSERT_STATUS("$W classify -m $DATA/llm/stories260K-f32.gguf x.png", 1);
		ASSERT_HAS(err, "no TFLite file");
		ck_assert_int_eq(lines_of(err), 1);
	}
	if (!mcunet)
		return;
	ASSERT_STATUS("$W run -m $M -p x", 1);
	ASSERT_HAS(err, "weir classify");
	ASSERT_STATUS("$W tokenize -m $M x", 1);
	ASSERT_HAS(err, "weir classify");
	ASSERT_STATUS("WEIR_MODEL=$M $W chat </dev/null", 1);
	ASSERT_HAS(err, "weir classify");
	ASSERT_STATUS("$W bench -m $M -p 4", 2);
	ASSERT_HAS(err, "--n-prompt");
	ASSERT_STATUS("head -c 100000 $M >$D/cut.tflite; $W classify -m $D/cut.tflite x.png", 1);
	ASSERT_HAS(err, "/cut.tflite: ");
	ck_assert_int_eq(lines_of(err), 1);
}
END_TEST

START_TEST(bench)
{
	struct json_object *object;

	if (!mcunet)
		return;
	object = json_of("$W bench -m $M -r 7 --json --profile");
	ck_assert_int_eq(json_object_get_int(json_at(object, "repetitions")), 7);
	ck_assert_double_gt(json_object_get_double(json_at(object, "min_ms")), 0);
	ck_assert_double_ge(json_object_get_double(json_at(object, "median_ms")),
		json_object_get_double(json_at(object, "min_ms")));
	ck_assert_int_gt(json_object_get_int(json_at(object, "macs")), 50000000);
	ck_assert_int_gt(json_object_get_int(json_at(object, "activation_bytes")), 50000);
	ck_assert_uint_gt(json_object_array_length(json_at(object, "profile")), 0);
	json_object_put(object);
	ASSERT_STATUS("$W bench -m $M -r 3 --memory-budget 300K --trace $D/trace", 0);
	ck_assert_int_eq(lines_of(out), 3);
	ASSERT_HAS(out, "| mcunet-320kb");
	object = json_of("cat $D/trace");
	json_object_put(object);
}
END_TEST

START_TEST(info)
{
	struct json_object *object, *network, *blocks, *b;
	uint64_t end, most = 0, arena;

	if (!mcunet)
		return;
	object = json_of("$W info $M --json");
	ck_assert_uint_gt(json_object_array_length(json_at(object, "tensors")), 40);
	network = json_at(object, "network");
	ck_assert_uint_eq(json_object_array_length(json_at(network, "inputs")), 1);
	arena = json_object_get_uint64(json_at(network, "activation_bytes"));
	ck_assert_uint_lt(arena, json_object_get_uint64(json_at(network, "unshared_bytes")));
	blocks = json_at(network, "memory");
	for (size_t i = 0; i < json_object_array_length(blocks); i++) {
		b = json_object_array_get_idx(blocks, i);
		end = json_object_get_uint64(json_at(b, "at")) +
		      json_object_get_uint64(json_at(b, "bytes"));
		most = end > most ? end : most;
		ck_assert_int_le(json_object_get_int(json_at(b, "first_step")),
			json_object_get_int(json_at(b, "last_step")));
	}
	ck_assert(most > 0 && most <= arena);
	json_object_put(object);
	object = json_of("$W info $M --json --memory-budget min");
	ck_assert_uint_lt(
		json_object_get_uint64(json_at(json_at(object, "network"), "activation_bytes")),
		arena);
	json_object_put(object);
	ASSERT_STATUS("$W info $M --svg $D/map.svg", 0);
	ASSERT_HAS(out, "input");
	ASSERT_HAS(out, "[1, 176, 176, 3]");
	ASSERT_HAS(out, "activations");
	ASSERT_STATUS("cat $D/map.svg", 0);
	ASSERT_HAS(out, "<svg");
	ASSERT_HAS(out, "</svg>");
	ASSERT_STATUS("$W info $M --svg $D/no/where", 1);
	ASSERT_HAS(err, "no/where");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {pixels_go_in, scores, names, lists_and_folders, bad_pictures,
		golden_bytes, persons, scaling, other_files, bench, info};
	const char *data = getenv("WEIR_TEST_DATA");
	TCase *c = tcase_create("classify");

	cli_begin();
	mcunet = suite_data(MCUNET, "what takes a network");
	setenv("M", mcunet ? mcunet : "", 1);
	setenv("DATA", data ? data : "../shared/data", 1);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(c, tests[i]);
	return cli_end("classify", c);
}
