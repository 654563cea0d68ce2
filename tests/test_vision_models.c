/* SPDX-License-Identifier: MIT */
/*
 * The models of the test data: 200 inputs of each against LiteRT's reference kernels, in both tiers, with and without
 * the planner's tricks, and streamed; known pictures and what they show; memory.
 */
#include "base/base.h"
#include "golden.h"
#include "suite.h"
#include "weir/vision.h"

static struct golden_models golden;
static struct golden_picture crops[GOLDEN_PICTURES];
static struct weir_picture decoded[GOLDEN_PICTURES];
static bool have_pictures;

struct way {
	const char *name, *tier;
	bool no_tricks;
	uint64_t budget;
	enum weir_net_mode mode;
	unsigned step; /* of the inputs, to spare time */
};

static const struct way ways[] = {
	{"defaults", NULL, false, 0, WEIR_NET_AUTO, 1},
	{"no tricks", NULL, true, 0, WEIR_NET_AUTO, 1},
	{"streamed", NULL, false, WEIR_NET_LEAST, WEIR_NET_AUTO, 1},
	{"streamed, a launch a step", NULL, false, WEIR_NET_LEAST, WEIR_NET_CHAIN, 4},
	{"one launch", NULL, false, 0, WEIR_NET_WHOLE, 4},
	{"portable tier", "portable", false, 0, WEIR_NET_AUTO, 1},
	{"portable tier, streamed, no tricks", "portable", true, WEIR_NET_LEAST, WEIR_NET_AUTO, 4},
};

static const char *model_path(const char *name)
{
	char file[96];

	snprintf(file, sizeof(file), "cnn/%s.tflite", name);
	return suite_data(file, name);
}

static weir_device *device_open(const char *tier)
{
	struct weir_device_settings set;
	weir_device *dev;

	weir_device_settings_default(&set);
	set.device = getenv("WEIR_TEST_DEVICE");
	set.tier = tier;
	ck_assert_msg(!weir_device_open(&dev, &set), "%s", weir_error());
	if (tier)
		ck_assert_str_eq(weir_device_tier(dev), tier);
	return dev;
}

static weir_net *net_load(weir_device *dev, const char *path, const struct way *way)
{
	struct weir_net_settings set;
	weir_net *net;

	weir_net_settings_default(&set);
	if (way) {
		set.mode = way->mode;
		set.memory_budget = way->budget;
		if (way->no_tricks)
			set.in_place = set.overlay = set.fold = false;
	}
	ck_assert_msg(!weir_net_load(&net, dev, path, &set), "%s", weir_error());
	return net;
}

static void *allocate(size_t size)
{
	void *p = malloc(size);

	ck_assert_ptr_nonnull(p);
	return p;
}

/* ---- 200 inputs --------------------------------------------------------------------------------- */

/* Makes input number run and writes it; it is the one that the golden output belongs to. */
static void input_make(weir_net *net, const struct golden_model *m, unsigned run)
{
	struct weir_net_tensor t;
	int8_t *pixels;
	float *floats;
	size_t n = 1;
	int err;

	ck_assert_int_eq(weir_net_input(net, 0, &t), 0);
	for (unsigned i = 0; i < t.n_dims; i++)
		n *= (size_t)t.dim[i];
	pixels = allocate(n);
	floats = allocate(n * sizeof(*floats));
	golden_pixels(m->number, run, t.dim[1], t.dim[2], t.dim[3], crops, pixels);
	golden_floats(pixels, n, run, floats);
	/* The file's type decides, folded or not. */
	if (t.folded || !strcmp(t.type, "float32")) {
		ck_assert_uint_eq(golden_hash(floats, n * sizeof(*floats)), golden_model_hash(m, run));
		err = weir_net_input_write(net, 0, floats, n * sizeof(*floats));
	} else {
		ck_assert_uint_eq(golden_hash(pixels, n), golden_model_hash(m, run));
		err = weir_net_input_write(net, 0, pixels, n);
	}
	ck_assert_msg(!err, "%s", weir_error());
	free(floats);
	free(pixels);
}

/* Bytes of the output that differ; the first of them is printed. */
static size_t compare(const struct golden_model *m, unsigned run, const uint8_t *got, const char *way)
{
	const uint8_t *want = golden_model_output(m, run);
	size_t wrong = 0, first = 0;

	for (size_t i = m->out_bytes; i-- > 0;) {
		if (got[i] != want[i]) {
			wrong++;
			first = i;
		}
	}
	if (wrong)
		printf("%s, %s: input %u: byte %zu is %d, not %d; %zu of %zu wrong\n", m->name, way, run, first,
			(int8_t)got[first], (int8_t)want[first], wrong, m->out_bytes);
	return wrong;
}

static void model_try(weir_device *dev, const struct golden_model *m, const char *path, const struct way *way)
{
	weir_net *net = net_load(dev, path, way);
	uint8_t *got = allocate(m->out_bytes);
	const char *stride = getenv("WEIR_TEST_STRIDE"); /* less still, for slow machines */
	unsigned tried = 0, wrong = 0, step = way->step * (unsigned)(stride ? WEIR_MAX(atoi(stride), 1) : 1);

	for (unsigned run = 0; run < GOLDEN_RUNS; run += step) {
		if (!have_pictures && run >= 100 && run < 160)
			continue;
		input_make(net, m, run);
		ck_assert_msg(!weir_net_run(net), "%s", weir_error());
		ck_assert_msg(!weir_net_output_read(net, 0, got, m->out_bytes), "%s", weir_error());
		wrong += compare(m, run, got, way->name) != 0;
		tried++;
	}
	free(got);
	weir_net_destroy(net);
	ck_assert_uint_gt(tried, 0);
	ck_assert_msg(!wrong, "%s, %s: %u of %u inputs have wrong results", m->name, way->name, wrong, tried);
}

START_TEST(two_hundred_inputs)
{
	const struct way *way = &ways[(unsigned)_i / golden.n];
	const struct golden_model *m = &golden.models[(unsigned)_i % golden.n];
	const char *path = model_path(m->name);
	weir_device *dev;

	if (!path)
		return;
	dev = device_open(way->tier);
	model_try(dev, m, path, way);
	weir_device_close(dev);
}
END_TEST

/* ---- what pictures show ------------------------------------------------------------------------- */

#define VWW_IMAGES 20
#define VWW_BYTES (80 * 80 * 3)

/* Lines "index,name,label"; the number of labels. */
static int labels_read(const char *path, int labels[VWW_IMAGES])
{
	FILE *f = fopen(path, "r");
	char line[256];
	int n = 0;

	ck_assert_ptr_nonnull(f);
	while (n < VWW_IMAGES && fgets(line, sizeof(line), f)) {
		const char *comma = strrchr(line, ',');

		if (comma)
			labels[n++] = atoi(comma + 1);
	}
	fclose(f);
	return n;
}

static void read_all(const char *path, void *out, size_t size)
{
	FILE *f = fopen(path, "rb");

	ck_assert_msg(f && fread(out, 1, size, f) == size, "%s is too short", path);
	fclose(f);
}

/* The int8 pixels go in as they are where the float input is folded, else as the floats that they stand for. */
static int vww_class(weir_net *net, const int8_t *pixels)
{
	struct weir_net_tensor t;
	float *floats, out[2];
	int err;

	ck_assert_int_eq(weir_net_input(net, 0, &t), 0);
	if (t.folded) {
		ck_assert_uint_eq(t.bytes, VWW_BYTES);
		err = weir_net_input_write(net, 0, pixels, VWW_BYTES);
	} else {
		floats = allocate(VWW_BYTES * sizeof(*floats));
		for (int i = 0; i < VWW_BYTES; i++)
			floats[i] = (float)pixels[i] * 0.007839307188987732f;
		err = weir_net_input_write(net, 0, floats, VWW_BYTES * sizeof(*floats));
		free(floats);
	}
	ck_assert_msg(!err, "%s", weir_error());
	ck_assert_msg(!weir_net_run(net), "%s", weir_error());
	ck_assert_msg(!weir_net_output_read(net, 0, out, sizeof(out)), "%s", weir_error());
	return out[1] > out[0];
}

/* TinyEngine's 20 golden inputs: person or not. */
START_TEST(vww_golden)
{
	const char *path = model_path("tinyengine-vww");
	const char *images = suite_data("cnn/vww_golden_images_i8_80x80x3.bin", "TinyEngine's golden inputs");
	const char *csv = suite_data("cnn/vww_golden_labels.csv", "TinyEngine's golden inputs");
	int labels[VWW_IMAGES], right = 0;
	int8_t *pixels;
	weir_device *dev;
	weir_net *net;

	if (!path || !images || !csv)
		return;
	ck_assert_int_eq(labels_read(csv, labels), VWW_IMAGES);
	pixels = allocate(VWW_IMAGES * VWW_BYTES);
	read_all(images, pixels, VWW_IMAGES * VWW_BYTES);
	dev = device_open(NULL);
	net = net_load(dev, path, &ways[_i]);
	for (int i = 0; i < VWW_IMAGES; i++)
		right += vww_class(net, pixels + (size_t)i * VWW_BYTES) == labels[i];
	weir_net_destroy(net);
	weir_device_close(dev);
	free(pixels);
	ck_assert_int_eq(right, VWW_IMAGES);
}
END_TEST

/* The score of "person" as int8: the bmp's bytes go in as they are. */
static int person_score(weir_net *net, const char *path)
{
	struct weir_picture_scaling scaling;
	struct weir_net_tensor t;
	struct weir_picture p;
	int8_t by_picture[2], by_bytes[2];

	ck_assert_int_eq(weir_net_input(net, 0, &t), 0);
	ck_assert_msg(!weir_picture_read(path, 1, &p), "%s", weir_error());
	ck_assert_uint_eq((uint64_t)p.width * p.height, t.bytes);
	weir_picture_scaling_default(&t, &scaling);
	scaling.raw = true;
	ck_assert_msg(!weir_net_input_picture(net, 0, &p, &scaling), "%s", weir_error());
	ck_assert_msg(!weir_net_run(net), "%s", weir_error());
	ck_assert_int_eq(weir_net_output_read(net, 0, by_picture, sizeof(by_picture)), 0);
	ck_assert_msg(!weir_net_input_write(net, 0, p.pixels, t.bytes), "%s", weir_error());
	ck_assert_msg(!weir_net_run(net), "%s", weir_error());
	ck_assert_int_eq(weir_net_output_read(net, 0, by_bytes, sizeof(by_bytes)), 0);
	ck_assert_mem_eq(by_picture, by_bytes, sizeof(by_bytes));
	weir_picture_free(&p);
	return by_bytes[1];
}

/* LiteRT's reference kernels give 113 and -57. */
START_TEST(person_or_not)
{
	const char *path = model_path("person_detect");
	const char *person = suite_data("cnn/person.bmp", "person_detect's pictures");
	const char *nobody = suite_data("cnn/no_person.bmp", "person_detect's pictures");
	weir_device *dev;
	weir_net *net;

	if (!path || !person || !nobody)
		return;
	dev = device_open(NULL);
	net = net_load(dev, path, NULL);
	ck_assert_int_eq(person_score(net, person), 113);
	ck_assert_int_eq(person_score(net, nobody), -57);
	weir_net_destroy(net);
	weir_device_close(dev);
}
END_TEST

static int best_class(weir_net *net, const char *picture)
{
	struct weir_picture_scaling scaling;
	struct weir_net_tensor t;
	struct weir_picture p;
	int8_t out[1000];
	int best = 0;

	ck_assert_int_eq(weir_net_input(net, 0, &t), 0);
	ck_assert_msg(!weir_picture_read(picture, 3, &p), "%s", weir_error());
	weir_picture_scaling_default(&t, &scaling);
	ck_assert_msg(!weir_net_input_picture(net, 0, &p, &scaling), "%s", weir_error());
	weir_picture_free(&p);
	ck_assert_msg(!weir_net_run(net), "%s", weir_error());
	ck_assert_msg(!weir_net_output_read(net, 0, out, sizeof(out)), "%s", weir_error());
	for (int i = 1; i < 1000; i++)
		best = out[i] > out[best] ? i : best;
	return best;
}

START_TEST(mcunet_pictures)
{
	static const struct {
		const char *file;
		int class;
	} pictures[] = {{"images/chelsea.png", 282}, {"images/coffee.png", 967}, {"images/rocket.jpg", 657}};
	const char *path = model_path("mcunet-320kb-1mb_imagenet"), *file;
	weir_device *dev;
	weir_net *net;

	if (!path)
		return;
	dev = device_open(NULL);
	net = net_load(dev, path, NULL);
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(pictures); i++) {
		file = suite_data(pictures[i].file, "MCUNet's classes");
		if (file)
			ck_assert_int_eq(best_class(net, file), pictures[i].class);
	}
	weir_net_destroy(net);
	weir_device_close(dev);
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------------- */

/* What X-CUBE-AI and TinyEngine need for the same models (activations and scratch), and half of it by streaming. */
START_TEST(memory)
{
	static const struct {
		const char *model;
		uint64_t most;
	} limits[] = {{"tinyengine-vww", 92000}, {"mcunet-320kb-1mb_imagenet", 342000}};
	const char *path = model_path(limits[_i].model);
	struct weir_net_info whole, least;
	weir_device *dev;
	weir_net *net;

	if (!path)
		return;
	dev = device_open(NULL);
	net = net_load(dev, path, &ways[0]);
	weir_net_info(net, &whole);
	weir_net_destroy(net);
	net = net_load(dev, path, &ways[2]);
	weir_net_info(net, &least);
	weir_net_destroy(net);
	weir_device_close(dev);
	ck_assert_uint_le(whole.activation_bytes, limits[_i].most);
	ck_assert_uint_le(least.activation_bytes, whole.activation_bytes / 2);
	ck_assert_uint_gt(least.streamed, 0);
	ck_assert_uint_gt(whole.unshared_bytes, whole.activation_bytes);
}
END_TEST

/* The pictures that inputs 100 to 159 are cut from. */
static bool pictures_read(void)
{
	char file[64];

	for (int i = 0; i < GOLDEN_PICTURES; i++) {
		const char *path;

		snprintf(file, sizeof(file), "images/%s.png", golden_picture_names[i]);
		path = suite_data(file, "inputs cut from pictures");
		if (!path)
			return false;
		if (weir_picture_read(path, 3, &decoded[i])) {
			fprintf(stderr, "%s\n", weir_error());
			exit(1);
		}
		crops[i] = (struct golden_picture){decoded[i].width, decoded[i].height, decoded[i].pixels};
	}
	return true;
}

int main(void)
{
	Suite *s = suite_create("vision models");
	TCase *c = tcase_create("golden");
	const char *error = golden_models_read(GOLDEN_MODELS, &golden);
	int ret;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (error) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	have_pictures = pictures_read();
	tcase_set_timeout(c, 600);
	tcase_add_loop_test(c, two_hundred_inputs, 0, (int)WEIR_ARRAY_SIZE(ways) * (int)golden.n);
	tcase_add_loop_test(c, vww_golden, 0, 3);
	tcase_add_test(c, person_or_not);
	tcase_add_test(c, mcunet_pictures);
	tcase_add_loop_test(c, memory, 0, 2);
	suite_add_tcase(s, c);
	ret = suite_run(s);
	for (int i = 0; i < GOLDEN_PICTURES; i++)
		weir_picture_free(&decoded[i]);
	golden_models_free(&golden);
	return ret;
}
