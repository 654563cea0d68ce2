/* SPDX-License-Identifier: MIT */
/* Networks made by hand for checkcl's rows of convolutional kernels. */
#include "cnn.h"

#include "base/base.h"
#include "vision/network.h"

#define TIME_LEAST 20
#define TIME_SECONDS 0.05

void cnn_net_start(struct cnn_net *n)
{
	memset(n, 0, sizeof(*n));
	snprintf(n->file.path, sizeof(n->file.path), "checkcl");
	n->file.tensors = n->tensors;
	n->file.ops = n->ops;
}

void cnn_net_done(struct cnn_net *n)
{
	while (n->n_memory)
		free(n->memory[--n->n_memory]);
}

static void *keep(struct cnn_net *n, const void *data, size_t size)
{
	void *p = malloc(size);

	if (!p || n->n_memory == WEIR_ARRAY_SIZE(n->memory))
		abort();
	memcpy(p, data, size);
	return n->memory[n->n_memory++] = p;
}

int cnn_net_tensor(
	struct cnn_net *n, enum weir_tflite_type type, unsigned n_dims, const int32_t *dims, const void *data)
{
	struct weir_tflite_tensor *t = &n->tensors[n->file.n_tensors];

	if (n->file.n_tensors == CNN_NET_TENSORS)
		abort();
	snprintf(t->name, sizeof(t->name), "t%u", n->file.n_tensors);
	t->type = type;
	t->n_dims = n_dims;
	t->count = 1;
	for (unsigned i = 0; i < n_dims; i++) {
		t->dim[i] = dims[i];
		t->count *= (size_t)dims[i];
	}
	t->bytes = t->count * weir_tflite_type_size(type);
	t->data = data ? keep(n, data, t->bytes) : NULL;
	return (int)n->file.n_tensors++;
}

void cnn_net_quantize(struct cnn_net *n, int tensor, float scale, int zero)
{
	struct weir_tflite_tensor *t = &n->tensors[tensor];
	int64_t wide = zero;

	t->n_scales = 1;
	t->scale = keep(n, &scale, sizeof(scale));
	t->zero = keep(n, &wide, sizeof(wide));
}

void cnn_net_quantize_axis(struct cnn_net *n, int tensor, int axis, unsigned n_scales, const float *scales)
{
	struct weir_tflite_tensor *t = &n->tensors[tensor];

	t->n_scales = n_scales;
	t->scale = keep(n, scales, n_scales * sizeof(*scales));
	t->zero = NULL;
	t->axis = axis;
}

static const int32_t *list(struct cnn_net *n, unsigned count, const int32_t *values)
{
	int32_t *l = n->lists[n->n_lists];

	if (n->n_lists++ == WEIR_ARRAY_SIZE(n->lists) || count > CNN_NET_ENDS)
		abort();
	memcpy(l, values, count * sizeof(*l));
	return l;
}

struct weir_tflite_op *cnn_net_op(struct cnn_net *n, enum weir_tflite_code code, unsigned n_inputs,
	const int32_t *inputs, unsigned n_outputs, const int32_t *outputs)
{
	struct weir_tflite_op *o = &n->ops[n->file.n_ops];

	if (n->file.n_ops++ == CNN_NET_OPS)
		abort();
	o->code = code;
	o->version = 1;
	o->inputs = list(n, n_inputs, inputs);
	o->outputs = list(n, n_outputs, outputs);
	o->n_inputs = n_inputs;
	o->n_outputs = n_outputs;
	o->stride_w = o->stride_h = o->dilation_w = o->dilation_h = o->filter_w = o->filter_h = 1;
	o->depth_multiplier = 1;
	o->beta = 1;
	return o;
}

void cnn_net_ends(struct cnn_net *n, unsigned n_inputs, const int32_t *inputs, unsigned n_outputs,
	const int32_t *outputs)
{
	n->file.inputs = list(n, n_inputs, inputs);
	n->file.outputs = list(n, n_outputs, outputs);
	n->file.n_inputs = n_inputs;
	n->file.n_outputs = n_outputs;
}

/* ---- running ------------------------------------------------------------------------------------- */

static const struct way {
	const char *name;
	enum weir_net_mode mode;
	bool tricks;
	uint64_t budget;
} ways[] = {
	{"launches", WEIR_NET_CHAIN, true, 0},
	{"whole", WEIR_NET_WHOLE, true, 0},
	{"launches, nothing shared", WEIR_NET_CHAIN, false, 0},
	{"launches, least memory", WEIR_NET_CHAIN, true, WEIR_NET_LEAST},
	{"whole, least memory", WEIR_NET_WHOLE, true, WEIR_NET_LEAST},
};

static bool way_possible(struct checkcl *c, const struct way *w)
{
	return w->mode != WEIR_NET_WHOLE ||
	       (weir_device_props(c->dev)->schedule == WEIR_SCHEDULE_CPU && !c->chain);
}

static weir_net *open_net(struct checkcl *c, const char *params, const struct cnn_net *n, const struct way *w)
{
	struct weir_net_settings s;
	weir_net *net;

	weir_net_settings_default(&s);
	s.mode = w->mode;
	s.in_place = s.overlay = s.fold = w->tricks;
	s.memory_budget = w->budget;
	if (!weir_net_create(c->dev, &n->file, &s, &net))
		return net;
	checkcl_fail(c, params, weir_error());
	return NULL;
}

static bool run_net(const struct cnn_net *n, weir_net *net, const void *const *in)
{
	for (unsigned i = 0; i < n->file.n_inputs; i++) {
		if (weir_net_input_write(net, i, in[i], n->tensors[n->file.inputs[i]].bytes))
			return false;
	}
	return !weir_net_run(net);
}

static void compare_bytes(
	struct checkcl *c, const char *params, const int8_t *got, const int8_t *want, size_t n)
{
	size_t wrong = 0, first = 0;

	for (size_t i = 0; i < n; i++) {
		if (got[i] != want[i] && !wrong++)
			first = i;
	}
	c->checks++;
	if (!wrong)
		return;
	c->failures++;
	printf("FAIL %s: %zu of %zu wrong, the first at %zu: %d instead of %d\n", params, wrong, n, first,
		got[first], want[first]);
}

static void compare_output(struct checkcl *c, const char *params, const struct cnn_net *n, weir_net *net,
	unsigned i, const void *want, float rel)
{
	const struct weir_tflite_tensor *t = &n->tensors[n->file.outputs[i]];
	void *got = malloc(t->bytes);

	if (!got)
		abort();
	if (weir_net_output_read(net, i, got, t->bytes))
		checkcl_fail(c, params, weir_error());
	else if (t->type == WEIR_TFLITE_F32)
		checkcl_compare(c, params, got, want, t->count, 0, rel);
	else
		compare_bytes(c, params, got, want, t->bytes);
	free(got);
}

void cnn_net_check(struct checkcl *c, const char *params, const struct cnn_net *n, const void *const *in,
	const void *const *want, float rel)
{
	for (size_t w = 0; w < WEIR_ARRAY_SIZE(ways); w++) {
		char text[256];
		weir_net *net;

		if (!way_possible(c, &ways[w]))
			continue;
		snprintf(text, sizeof(text), "%s (%s)", params, ways[w].name);
		net = open_net(c, text, n, &ways[w]);
		if (!net)
			continue;
		/* Twice: what a run leaves behind must not matter to the next. */
		if (!run_net(n, net, in) || !run_net(n, net, in)) {
			checkcl_fail(c, text, weir_error());
		} else {
			for (unsigned i = 0; i < n->file.n_outputs; i++)
				compare_output(c, text, n, net, i, want[i], rel);
		}
		weir_net_destroy(net);
	}
}

/* Seconds of a run: the best one, as other programs only ever make one slower; negative when one failed. */
static double time_net(const struct cnn_net *n, weir_net *net, const void *const *in)
{
	double best = -1, end = weir_now() + TIME_SECONDS;

	for (unsigned i = 0; i < TIME_LEAST || weir_now() < end; i++) {
		double start, t;

		if (i == 0 && !run_net(n, net, in))
			return -1;
		start = weir_now();
		if (weir_net_run(net))
			return -1;
		t = weir_now() - start;
		best = i ? WEIR_MIN(best, t) : t;
	}
	return best;
}

void cnn_net_time(struct checkcl *c, const char *params, const struct cnn_net *n, unsigned same, double ops)
{
	void *in[CNN_NET_ENDS];

	if (!c->bench)
		return;
	for (unsigned i = 0; i < n->file.n_inputs; i++) {
		size_t bytes = n->tensors[n->file.inputs[i]].bytes;

		in[i] = malloc(bytes);
		if (!in[i])
			abort();
		cnn_random_bytes(c, in[i], bytes);
	}
	for (size_t w = 0; w < 2 && way_possible(c, &ways[w]); w++) {
		weir_net *net = open_net(c, params, n, &ways[w]);
		double t = net ? time_net(n, net, (const void *const *)in) : -1;

		t /= same;
		if (net && t < 0)
			checkcl_fail(c, params, weir_error());
		else if (net)
			printf("%-44s %-8s %10.1f us %8.1f GOPS\n", params, ways[w].name, t * 1e6,
				ops / t * 1e-9);
		weir_net_destroy(net);
	}
	for (unsigned i = 0; i < n->file.n_inputs; i++)
		free(in[i]);
}

void cnn_net_refused(struct checkcl *c, const char *params, const struct cnn_net *n, const char *what)
{
	char text[512];

	if (!weir_net_check(&n->file, NULL)) {
		checkcl_fail(c, params, "it was not refused");
		return;
	}
	snprintf(text, sizeof(text), "no \"%s\" in: %s", what, weir_error());
	if (strstr(weir_error(), what))
		c->checks++;
	else
		checkcl_fail(c, params, text);
}

int cnn_random(struct checkcl *c, int lo, int hi)
{
	return lo + (int)(checkcl_random(c) % (unsigned)(hi - lo + 1));
}

void cnn_random_bytes(struct checkcl *c, void *data, size_t size)
{
	uint8_t *p = data;

	for (size_t i = 0; i < size; i++)
		p[i] = (uint8_t)checkcl_random(c);
}
