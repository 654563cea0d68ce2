/* SPDX-License-Identifier: MIT */
/* What one call of weir_quantize works with, and the steps of a layer. */
#ifndef WEIR_LLM_QUANTIZE_RUN_H
#define WEIR_LLM_QUANTIZE_RUN_H

#include "format/tokenizer.h"
#include "llm/export.h"
#include "llm/quantize_calib.h"
#include "llm/quantize_search.h"

struct weir_quant_run {
	weir_device *dev;
	struct weir_quantize_settings set;
	struct weir_quantizer quantizer; /* the search's; what is written has scales of halves */
	struct weir_checkpoint *in;
	struct weir_params params;
	weir_tokenizer *tokenizer; /* NULL: the input has no vocabulary */
	struct weir_quant_layer layer;
	struct weir_export *out;
	struct weir_export_tensor *tensors; /* of the output, in the input's order */
	size_t n_tensors;

	/* With a calibration text: */
	struct weir_quant_calib calib;
	struct weir_quant_net net;
	struct weir_quant_stats stats;
	unsigned tries;			    /* candidates of a search; 0: none is made */
	struct weir_quant_search search[2]; /* attention's and the feed-forward network's */
	struct weir_quant_gram gram[2];	    /* o's (unless it is not scaled) and down's */
	float *scales[WEIR_QUANTIZE_SCALINGS]; /* (k) what was chosen */
	float *candidates[WEIR_QUANTIZE_SCALINGS]; /* (tries, k) */

	struct weir_quantize_layer now; /* the report on the layer under way */
	struct weir_quantize_report report;
	const char *what; /* for progress */
	uint64_t done, total;
};

/* Work went on by so much: -ECANCELED when the caller wants to stop. */
int weir_quant_progress(struct weir_quant_run *r, uint64_t work);

/* ---- quantize_scale.c: scales and ranges of the layer at hand --------------------------------- */

/* Device memory, graphs and arrays that the method needs. */
int weir_quant_scale_create(struct weir_quant_run *r);
void weir_quant_scale_destroy(struct weir_quant_run *r);

/* Whether the method puts scales there, in this model. */
bool weir_quant_is_scaled(const struct weir_quant_run *r, enum weir_quantize_scaling scaling);

/* Units of progress that a layer takes. */
uint64_t weir_quant_layer_work(const struct weir_quant_run *r);

/* Chooses scales and clips, changes the layer's weights by them, and takes the hidden states through the layer. */
int weir_quant_scale_layer(struct weir_quant_run *r);
/* The hidden states alone. */
int weir_quant_pass_layer(struct weir_quant_run *r);

/* ---- quantize_write.c: the output ------------------------------------------------------------ */

int weir_quant_write_open(struct weir_quant_run *r, const char *path);
/* Rounds the layer's weights and gives them to the output, where they stay. */
int weir_quant_write_layer(struct weir_quant_run *r, unsigned index);

#endif
