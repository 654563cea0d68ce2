/* SPDX-License-Identifier: MIT */
/* Quantizing a model: what the settings ask for, layer by layer, from a checkpoint to an output. */
#include "base/base.h"
#include "llm/quantize_run.h"

#define MOST_SAMPLES 65536
#define LEAST_LENGTH 16
#define MOST_LENGTH 65536

void weir_quantize_settings_default(struct weir_quantize_settings *settings)
{
	*settings = (struct weir_quantize_settings){
		.size = sizeof(*settings),
		.method = WEIR_QUANTIZE_AWQ,
		.bits = 4,
		.group = 128,
		.clip = true,
		.alpha = 0.5,
		.alpha_down = -1,
		.samples = 128,
		.length = 512,
	};
}

const char *weir_quantize_method_name(enum weir_quantize_method method)
{
	static const char *const names[] = {"rtn", "awq", "smoothquant"};

	return (unsigned)method < WEIR_ARRAY_SIZE(names) ? names[method] : "unknown";
}

/* ---- settings -------------------------------------------------------------------------------- */

static int settings_check(struct weir_quantize_settings *s)
{
	bool smooth = s->method == WEIR_QUANTIZE_SMOOTHQUANT;

	if (s->size != sizeof(*s))
		return weir_fail(EINVAL, "quantize settings of %zu bytes, %zu expected", s->size, sizeof(*s));
	if ((unsigned)s->method > WEIR_QUANTIZE_SMOOTHQUANT)
		return weir_fail(EINVAL, "the method %d is unknown", s->method);
	if (s->bits != 2 && s->bits != 3 && s->bits != 4 && s->bits != 8)
		return weir_fail(EINVAL, "%u bits: weights are quantized to 2, 3, 4 or 8", s->bits);
	if (s->group % 32)
		return weir_fail(EINVAL, "a group of %u weights: it must be a multiple of 32", s->group);
	if ((s->token_int8 || smooth) && (s->bits != 8 || s->group))
		return weir_fail(EINVAL, "int8 activations by token go with weights of 8 bits by row alone");
	if (s->token_int8 && s->method == WEIR_QUANTIZE_AWQ)
		return weir_fail(EINVAL, "AWQ quantizes weights alone, not activations");
	if (s->method != WEIR_QUANTIZE_RTN && !weir_quant_calibrates(s))
		return weir_fail(EINVAL, "the method %s needs a calibration text", weir_quantize_method_name(s->method));
	if (smooth && s->alpha != WEIR_QUANTIZE_ALPHA_AUTO && !(s->alpha >= 0 && s->alpha <= 1))
		return weir_fail(EINVAL, "an alpha of %g: it must be from 0 to 1", s->alpha);
	if (smooth && !(s->alpha_down <= 1))
		return weir_fail(EINVAL, "an alpha of %g for down: it must be at most 1", s->alpha_down);
	if (s->samples < 1 || s->samples > MOST_SAMPLES || s->length < LEAST_LENGTH || s->length > MOST_LENGTH)
		return weir_fail(EINVAL, "%u samples of %u tokens: 1 to %d of %d to %d", s->samples, s->length,
			MOST_SAMPLES, LEAST_LENGTH, MOST_LENGTH);
	if (smooth)
		s->token_int8 = true;
	if (s->method == WEIR_QUANTIZE_RTN) {
		s->text = NULL;
		s->tokens = NULL;
	}
	return 0;
}

int weir_quant_progress(struct weir_quant_run *r, uint64_t work)
{
	r->done += work;
	if (r->set.progress && r->set.progress(r->set.user, r->what, r->done, r->total))
		return weir_fail(ECANCELED, "quantizing was cancelled");
	return 0;
}

/* ---- the input ------------------------------------------------------------------------------- */

static int words_open(struct weir_quant_run *r)
{
	const struct weir_gguf *g = weir_checkpoint_gguf(r->in);
	int err = g ? weir_tokenizer_from_gguf(g, &r->tokenizer)
		    : weir_tokenizer_from_json(weir_checkpoint_path(r->in), &r->tokenizer);

	return err == -ENOENT ? 0 : err; /* weights alone */
}

static int shape_check(const struct weir_quant_run *r)
{
	/* What the norms feed is the most of a model. */
	if (r->params.dim % 32)
		return weir_fail(EOPNOTSUPP, "cannot quantize %s: rows of %u weights are not a multiple of 32",
			weir_checkpoint_path(r->in), r->params.dim);
	if (weir_quant_calibrates(&r->set) && r->params.context && r->set.length > r->params.context)
		return weir_fail(EINVAL, "blocks of %u tokens are longer than the %u that %s was trained for",
			r->set.length, r->params.context, weir_checkpoint_path(r->in));
	return 0;
}

static int run_open(struct weir_quant_run *r, const char *in, const char *out)
{
	int err;

	if ((err = weir_checkpoint_open(in, &r->in)) || (err = weir_params_read(r->in, &r->params)) ||
		(err = words_open(r)) || (err = weir_quant_layer_create(r->in, &r->params, &r->layer)) ||
		(err = shape_check(r)))
		return err;
	r->report.layers = r->params.layers;
	if (weir_quant_calibrates(&r->set)) {
		err = weir_quant_calib_create(r->in, &r->params, r->tokenizer, &r->set, &r->calib);
		if (!err)
			err = weir_quant_scale_create(r);
		r->report.blocks = r->calib.blocks;
		r->report.samples = r->calib.samples;
		r->report.length = r->calib.length;
		r->report.device_bytes = r->net.bytes;
		r->report.host_bytes = weir_quant_tokens(&r->calib) * r->calib.dim * sizeof(float);
	}
	r->report.host_bytes += r->layer.bytes;
	return err ? err : weir_quant_write_open(r, out);
}

static void run_close(struct weir_quant_run *r)
{
	weir_export_close(r->out);
	free(r->tensors);
	weir_quant_scale_destroy(r);
	weir_quant_calib_free(&r->calib);
	weir_quant_layer_free(&r->layer);
	weir_tokenizer_close(r->tokenizer);
	weir_checkpoint_close(r->in);
}

/* ---- layers ---------------------------------------------------------------------------------- */

static int layer_said(struct weir_quant_run *r)
{
	if (r->set.layer && r->set.layer(r->set.user, &r->now))
		return weir_fail(ECANCELED, "quantizing was cancelled");
	return 0;
}

/* What an earlier run finished is not searched again; but the hidden states have to come through it. */
static int layer_resume(struct weir_quant_run *r, unsigned index)
{
	int err = 0;

	if (weir_quant_calibrates(&r->set)) {
		err = weir_quant_layer_read(&r->layer, r->in, index);
		if (!err)
			err = weir_quant_pass_layer(r);
	}
	return err;
}

static int layer_quantize(struct weir_quant_run *r, unsigned index)
{
	int err = weir_quant_layer_read(&r->layer, r->in, index);
	double from;

	if (!err && weir_quant_calibrates(&r->set))
		err = weir_quant_scale_layer(r);
	from = weir_now();
	if (!err)
		err = weir_quant_write_layer(r, index);
	r->now.write_seconds = weir_now() - from;
	return err ? err : weir_quant_progress(r, 1);
}

static int layers_run(struct weir_quant_run *r)
{
	unsigned done = WEIR_MIN(weir_export_stages_done(r->out), r->params.layers);
	int err = 0;

	/* The states behind the last finished layer matter only where another follows. */
	r->report.resumed_layers = done;
	r->what = "coming back to where it stopped";
	r->total = (uint64_t)done * r->calib.samples;
	for (unsigned i = 0; i < r->params.layers && !err; i++) {
		double from = weir_now();

		if (i == done) {
			r->what = "quantizing";
			r->done = 0;
			r->total = (r->params.layers - done) * (weir_quant_calibrates(&r->set) ? weir_quant_layer_work(r) : 1);
		}
		r->now = (struct weir_quantize_layer){.index = i, .count = r->params.layers, .resumed = i < done};
		if (i >= done)
			err = layer_quantize(r, i);
		else if (done < r->params.layers)
			err = layer_resume(r, i);
		r->now.seconds = weir_now() - from;
		if (!err)
			err = layer_said(r);
	}
	return err;
}

int weir_quantize(weir_device *dev, const char *in, const char *out, const struct weir_quantize_settings *settings,
	struct weir_quantize_report *report)
{
	struct weir_quant_run *r = calloc(1, sizeof(*r));
	double from = weir_now();
	int err;

	if (!r)
		return weir_fail(ENOMEM, "no memory to quantize with");
	r->dev = dev;
	r->set = *settings;
	err = settings_check(&r->set);
	r->quantizer = (struct weir_quantizer){
		.bits = r->set.bits, .group = r->set.group, .symmetric = r->set.bits == 8};
	if (!err)
		err = run_open(r, in, out);
	if (!err) {
		r->report.restarted = weir_export_found(r->out) == WEIR_EXPORT_RESTARTED;
		err = layers_run(r);
	}
	if (!err)
		err = weir_export_finish(r->out, r->set.progress, r->set.user);
	r->report.seconds = weir_now() - from;
	if (report)
		*report = r->report;
	run_close(r);
	free(r);
	return err;
}
