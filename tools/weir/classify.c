/* SPDX-License-Identifier: MIT */
/* weir classify: what is on pictures, by a network that has a score for each class. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

struct classify {
	const struct options *options;
	struct engine engine;
	struct paths paths;
	struct weir_net_tensor input, output; /* output: the first, which has the classes' scores */
	struct weir_picture_scaling scaling;
	struct text label_text;
	char **labels; /* (classes), in label_text; NULL: there are none */
	size_t classes, top;
	float *scores;		     /* (classes) */
	size_t *order;		     /* (top), likeliest first */
	unsigned char *output_bytes; /* of the largest output */
	struct dump dump;
	size_t done, failed; /* inputs; pictures and folders */
	double start, run_seconds;
};

/* ---- before the first picture ---- */

static const char *model_path(const struct options *o)
{
	const char *named = getenv("WEIR_MODEL");

	return o->model ? o->model : named && *named ? named : NULL;
}

static int check_usage(const struct options *o)
{
	if (!o->n_args)
		return usage("classify",
			"there is no picture: name files or folders, or - for a list on "
			"standard input");
	if (!model_path(o))
		return usage("classify", "there is no network: name one with -m FILE");
	if (o->raw && (o->mean.count || o->scale.count))
		return usage("classify",
			"--raw takes bytes as they are: it goes with neither --mean nor --scale");
	return 0;
}

static void set_scaling(struct classify *c)
{
	const struct reals *mean = &c->options->mean, *scale = &c->options->scale;

	weir_picture_scaling_default(&c->input, &c->scaling);
	c->scaling.raw = c->options->raw;
	c->scaling.crop = (float)c->options->crop;
	for (int i = 0; i < 3 && (mean->count || scale->count); i++) {
		c->scaling.mean[i] = mean->count ? (float)mean->at[mean->count == 3 ? i : 0] : 0;
		c->scaling.scale[i] =
			scale->count ? (float)scale->at[scale->count == 3 ? i : 0] : 1;
	}
}

/* The network's one input, and the classes of its first output. */
static int look_at_network(struct classify *c)
{
	const struct weir_net *net = c->engine.net;
	const char *path = c->engine.path;
	bool floats, bytes;

	if (weir_net_inputs(net) != 1)
		return fail("%s has %u inputs: weir classify runs networks with one", path,
			weir_net_inputs(net));
	if (weir_net_input(net, 0, &c->input) < 0 || weir_net_output(net, 0, &c->output) < 0)
		return fail_weir();
	floats = !strcmp(c->output.type, "float32");
	bytes = !strcmp(c->output.type, "int8");
	if (!floats && !bytes)
		return fail("%s: its output %s is %s: weir classify reads int8 and float32", path,
			c->output.name, c->output.type);
	c->classes = (size_t)(c->output.bytes / (floats ? sizeof(float) : 1));
	c->top = c->options->top ? c->options->top : 5;
	c->top = c->top < c->classes ? c->top : c->classes;
	return 0;
}

static int make_room(struct classify *c)
{
	struct weir_net_tensor t;
	uint64_t most = 0;

	for (unsigned i = 0; i < weir_net_outputs(c->engine.net); i++) {
		if (weir_net_output(c->engine.net, i, &t) < 0)
			return fail_weir();
		most = t.bytes > most ? t.bytes : most;
	}
	c->scores = malloc(c->classes * sizeof(*c->scores));
	c->order = malloc(c->top * sizeof(*c->order));
	c->output_bytes = malloc(most);
	return c->scores && c->order && c->output_bytes
		       ? 0
		       : fail("out of memory for %zu classes", c->classes);
}

/* The first run builds what the others use: its time says nothing. */
static int warm_up(struct classify *c)
{
	void *bytes;

	if (weir_net_input_begin(c->engine.net, 0, &bytes) < 0)
		return fail_weir();
	memset(bytes, 0, c->input.bytes);
	if (weir_net_input_end(c->engine.net, 0) < 0 || weir_net_run(c->engine.net) < 0)
		return fail_weir();
	weir_profile_reset(c->engine.device);
	return 0;
}

static int read_labels(struct classify *c)
{
	const char *path = c->options->labels;
	char *rest, *line;
	size_t n = 0, len;

	if (!path)
		return 0;
	if (text_read(&c->label_text, path))
		return 1;
	text_drop_newline(&c->label_text);
	c->labels = malloc(c->classes * sizeof(*c->labels));
	if (!c->labels)
		return fail("out of memory for %zu labels", c->classes);
	for (rest = c->label_text.data; (line = strsep(&rest, "\n")); n++) {
		len = strlen(line);
		if (len && line[len - 1] == '\r')
			line[len - 1] = 0;
		if (n < c->classes)
			c->labels[n] = line;
	}
	if (n != c->classes)
		return fail("%s has %zu lines, but %s has %zu classes", path, n, c->engine.path,
			c->classes);
	return 0;
}

/* ---- scores ---- */

/* Whether an int8 output can hold [0, 1] alone, as SOFTMAX's and LOGISTIC's do. */
static bool holds_probabilities(const struct weir_net_tensor *t)
{
	return t->scale > 0 && t->zero == -128 && 255 * (double)t->scale <= 1;
}

/*
 * Whether floats are probabilities: none outside [0, 1], together 1, but for the rounding of bytes
 * they once were.
 */
static bool are_probabilities(const float *score, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++) {
		if (!(score[i] >= 0 && score[i] <= 1))
			return false;
		sum += (double)score[i];
	}
	return fabs(sum - 1) <= 0.02 + (double)n / 512;
}

static void softmax(float *score, size_t n)
{
	double most = -INFINITY, sum = 0;

	for (size_t i = 0; i < n; i++)
		most = fmax(most, (double)score[i]);
	for (size_t i = 0; i < n; i++)
		sum += exp((double)score[i] - most);
	for (size_t i = 0; i < n; i++)
		score[i] = (float)(exp((double)score[i] - most) / sum);
}

/* Real values of the output in c->output_bytes, as probabilities. */
static void score_classes(struct classify *c)
{
	const struct weir_net_tensor *t = &c->output;
	const bool floats = !strcmp(t->type, "float32");

	if (floats)
		memcpy(c->scores, c->output_bytes, c->classes * sizeof(*c->scores));
	for (size_t i = 0; i < c->classes && !floats; i++)
		c->scores[i] = (float)((int8_t)c->output_bytes[i] - t->zero) *
			       (t->scale > 0 ? t->scale : 1);
	if (c->classes == 1 ||
		(floats ? are_probabilities(c->scores, c->classes) : holds_probabilities(t)))
		return;
	softmax(c->scores, c->classes);
}

/* Whether class i comes before class k: the first of equals. */
static bool before(const struct classify *c, size_t i, size_t k)
{
	float x = c->scores[i], y = c->scores[k];

	return x > y || (x == y && i < k);
}

/* Keeps the best so far in order: with few of them most classes cost one comparison. */
static void order_classes(struct classify *c)
{
	size_t n = 0, k;

	for (size_t i = 0; i < c->classes; i++) {
		if (n == c->top && !before(c, i, c->order[n - 1]))
			continue;
		n += n < c->top;
		for (k = n - 1; k && before(c, i, c->order[k - 1]); k--)
			c->order[k] = c->order[k - 1];
		c->order[k] = i;
	}
}

/* ---- what is printed ---- */

static int print_line(const struct classify *c, const char *name)
{
	out_escaped(name, strlen(name));
	putchar(':');
	for (size_t i = 0; i < c->top; i++) {
		size_t class = c->order[i];

		printf("%s %zu ", i ? ";" : "", class);
		if (c->labels) {
			out_escaped(c->labels[class], strlen(c->labels[class]));
			putchar(' ');
		}
		printf("%.4f", (double)c->scores[class]);
	}
	putchar('\n');
	return out_flush();
}

static int print_json(const struct classify *c, const char *name, double seconds)
{
	struct json_object *object = json_object_new_object(), *list = json_object_new_array();

	for (size_t i = 0; i < c->top; i++) {
		struct json_object *row = json_object_new_object();
		size_t class = c->order[i];

		json_put_int(row, "index", class);
		if (c->labels)
			json_put_text(row, "label", c->labels[class]);
		json_put_real(row, "score", (double)c->scores[class]);
		json_object_array_add(list, row);
	}
	json_put_text(object, "path", name);
	json_put(object, "top", list);
	json_put_real(object, "milliseconds", seconds * 1e3);
	return out_json_line(object) || out_flush();
}

/* Pictures a second so far, on a terminal. */
static void show_progress(const struct classify *c, size_t at)
{
	char note[48];
	double seconds = now() - c->start;

	snprintf(note, sizeof(note), "%.1f a second", seconds > 0 ? (double)c->done / seconds : 0);
	progress(note, "pictures", at, c->paths.count);
}

static void say_summary(const struct classify *c)
{
	double seconds = now() - c->start;

	progress_end();
	fprintf(stderr, "%zu picture%s", c->done, c->done == 1 ? "" : "s");
	if (c->failed)
		fprintf(stderr, ", %zu failed", c->failed);
	if (c->done && seconds > 0)
		fprintf(stderr, ", %.1f a second; network %.3f ms", (double)c->done / seconds,
			c->run_seconds * 1e3 / (double)c->done);
	fputc('\n', stderr);
}

/* ---- a picture: these return 1 when there is no sense in going on ---- */

/* Runs the network on the input that was written. */
static int classify_input(struct classify *c, const char *name)
{
	struct weir_net *net = c->engine.net;
	struct weir_net_tensor t;
	double start = now(), seconds;

	if (weir_net_run(net) < 0)
		return fail_weir();
	seconds = now() - start;
	c->run_seconds += seconds;
	c->done++;
	for (unsigned i = 0; i < weir_net_outputs(net); i++) {
		if (weir_net_output(net, i, &t) < 0 ||
			weir_net_output_read(net, i, c->output_bytes, t.bytes) < 0)
			return fail_weir();
		if (dump_add(&c->dump, c->output_bytes, t.bytes))
			return 1;
		if (i == 0)
			score_classes(c);
	}
	order_classes(c);
	progress_hide();
	return c->options->json ? print_json(c, name, seconds) : print_line(c, name);
}

/* A file with the bytes of one input, or of several one behind the other. */
static int classify_bytes(struct classify *c, const char *path)
{
	const uint64_t bytes = c->input.bytes, floats = bytes * sizeof(float);
	struct text file = {0};
	char name[4200];
	uint64_t each;
	int status = 0;

	if (text_read(&file, path)) {
		c->failed++;
		return 0;
	}
	each = c->input.folded && file.len == floats ? floats : bytes;
	if (!file.len || file.len % each) {
		say("%s: it is no picture, and its %zu bytes are no multiple of the %llu that "
		    "input %s takes",
			path, file.len, (unsigned long long)bytes, c->input.name);
		c->failed++;
		file.len = 0;
	}
	for (size_t i = 0; !status && !interrupted() && i < file.len / each; i++) {
		if (weir_net_input_write(c->engine.net, 0, file.data + i * each, each) < 0)
			status = fail_weir();
		snprintf(name, sizeof(name), file.len == each ? "%s" : "%s[%zu]", path, i);
		if (!status)
			status = classify_input(c, name);
	}
	text_free(&file);
	return status;
}

static int classify_picture(struct classify *c, const char *path)
{
	const int channels = c->input.n_dims == 4 ? c->input.dim[3] : 0;
	struct weir_picture picture;
	int err;

	err = weir_picture_read(
		path, channels == 1 || channels == 3 ? (unsigned)channels : 0, &picture);
	if (err == -EMEDIUMTYPE && c->options->raw)
		return classify_bytes(c, path);
	if (err < 0) {
		fail_weir();
		c->failed++;
		return 0;
	}
	err = weir_net_input_picture(c->engine.net, 0, &picture, &c->scaling);
	weir_picture_free(&picture);
	if (err < 0) {
		say("%s: %s", path, weir_error());
		c->failed++;
		return 0;
	}
	return classify_input(c, path);
}

static int classify_all(struct classify *c)
{
	int status = 0;

	c->start = now();
	for (size_t i = 0; i < c->paths.count && !status; i++) {
		show_progress(c, i);
		status = interrupted() ? fail("stopped") : classify_picture(c, c->paths.at[i]);
	}
	if (interrupted())
		status = 1;
	if (!c->options->quiet)
		say_summary(c);
	if (engine_profile(&c->engine, NULL))
		status = 1;
	return status || c->failed;
}

static int classify(struct classify *c)
{
	const struct options *o = c->options;
	int status = check_usage(o);

	if (status)
		return status;
	if (network_open(&c->engine, o, model_path(o)) || look_at_network(c) || make_room(c) ||
		read_labels(c))
		return 1;
	set_scaling(c);
	for (size_t i = 0; i < o->n_args; i++) {
		if (paths_add(&c->paths, o->args[i], o->recursive))
			return 1;
	}
	c->failed = c->paths.failed;
	if (!c->paths.count)
		return c->failed ? 1 : fail("there is no picture");
	if (o->dump && dump_open(&c->dump, o->dump))
		return 1;
	return warm_up(c) || classify_all(c);
}

int cmd_classify(const struct options *o)
{
	struct classify c = {.options = o};
	int status = classify(&c);

	if (dump_close(&c.dump, c.done && !interrupted()))
		status = 1;
	engine_close(&c.engine);
	paths_free(&c.paths);
	text_free(&c.label_text);
	free(c.labels);
	free(c.scores);
	free(c.order);
	free(c.output_bytes);
	return status;
}
