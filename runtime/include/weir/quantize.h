/* SPDX-License-Identifier: MIT */
/*
 * Makes quantized models: rounding to nearest, AWQ (Lin et al. 2023, "AWQ: Activation-aware Weight Quantization") and
 * SmoothQuant (Xiao et al. 2022), layer by layer on the device, in memory of one layer and the calibration text's hidden
 * states.
 */
#ifndef WEIR_QUANTIZE_H
#define WEIR_QUANTIZE_H

#include <weir/llm.h>

#ifdef __cplusplus
extern "C" {
#endif

enum weir_quantize_method {
	WEIR_QUANTIZE_RTN, /* round to nearest: no text is needed */
	WEIR_QUANTIZE_AWQ,
	WEIR_QUANTIZE_SMOOTHQUANT, /* 8 bits, weights by row, activations by token */
};
const char *weir_quantize_method_name(enum weir_quantize_method method); /* "rtn", "awq", "smoothquant" */

/* An alpha that is chosen for each norm from 0.3, 0.35 .. 0.95, by the loss of what the norm feeds. */
#define WEIR_QUANTIZE_ALPHA_AUTO (-1.0)

/* What a layer's linears are scaled by, in the order of a layer's work. */
enum weir_quantize_scaling {
	WEIR_QUANTIZE_ATTN_IN,	/* attn_norm -> q, k, v */
	WEIR_QUANTIZE_ATTN_OUT, /* v -> o; AWQ, where both have the same shape */
	WEIR_QUANTIZE_FFN_IN,	/* ffn_norm -> gate, up */
	WEIR_QUANTIZE_FFN_OUT,	/* up -> down; AWQ, and SmoothQuant with alpha_down */
	WEIR_QUANTIZE_SCALINGS,
};

/* What was found for one of them. */
struct weir_quantize_choice {
	unsigned finished; /* candidates that saw the whole text; 0: nothing was searched, the rest is 0, too */
	double exponent;   /* AWQ's ratio or SmoothQuant's alpha */
	double first_loss; /* of the first that was tried: AWQ's ratio 0, which scales nothing */
	double loss;	   /* of the best; mean squared error of the module's output */
};

struct weir_quantize_layer {
	unsigned index, count;
	bool resumed; /* it was finished by an earlier run: nothing was searched now */
	struct weir_quantize_choice choice[WEIR_QUANTIZE_SCALINGS];
	double seconds; /* all of it, of that: */
	double statistics_seconds, search_seconds, clip_seconds, write_seconds;
};

struct weir_quantize_settings {
	size_t size; /* of this struct */
	enum weir_quantize_method method;
	unsigned bits;	 /* 2, 3, 4 or 8 */
	uint32_t group;	 /* weights that share a scale, a multiple of 32; 0: a row */
	bool token_int8; /* 8 bits by row alone: the model's activations will be int8 with one scale a token (W8A8) */
	bool duo;	 /* AWQ: scales from weights, too, as AutoAWQ has them */
	bool clip;	 /* AWQ: search for the range of each group; true */
	double alpha;	 /* SmoothQuant: 0 to 1, or WEIR_QUANTIZE_ALPHA_AUTO; 0.5 */
	double alpha_down; /* the same between up and down, 0 to 1; below 0: not scaled, as in the paper; -1 */
	bool exhaustive; /* every candidate of a search sees the whole text, also when it is far behind the best */

	/*
	 * Calibration: the tokens of a text, cut into blocks of length; of N blocks, samples are taken, number i is block
	 * floor(i * N / samples). All N where there are fewer; one shorter block where the text is shorter than a block.
	 */
	const char *text; /* len bytes; NULL: none, which RTN alone does without */
	size_t len;
	const int32_t *tokens; /* in place of a text: n_tokens of them */
	size_t n_tokens;
	uint32_t samples, length; /* 128 and 512 */

	bool overwrite;		/* replace an output that exists */
	weir_progress progress; /* NULL: none */
	/* After each layer, in order; NULL: none. Nonzero cancels. */
	int (*layer)(void *user, const struct weir_quantize_layer *layer);
	void *user; /* of both */
};
void weir_quantize_settings_default(struct weir_quantize_settings *settings);

struct weir_quantize_report {
	uint64_t blocks, samples, length; /* of the calibration text: blocks it has, how many and how long were taken */
	unsigned layers, resumed_layers;
	bool restarted;	       /* what an earlier, different run had left was thrown away */
	uint64_t device_bytes; /* buffers that the search held, in all */
	uint64_t host_bytes;   /* hidden states and one layer's weights */
	double seconds;
};

/*
 * Quantizes the linears of the model in (a GGUF file or a Hugging Face folder) to out: a GGUF file where the name ends
 * in ".gguf", else a folder in AutoAWQ's layout. Embeddings, head and norms keep their type, and so do linears whose
 * rows are not a multiple of 32. Until out is whole it is
 * out.partial; a run that was cancelled or killed goes on there when it is called again with the same input, text and
 * settings, and ends with the same bytes as one that was not. 0, or -errno with a sentence: -EEXIST: out is there already;
 * -ECANCELED: by progress or layer. report may be NULL.
 */
int weir_quantize(weir_device *dev, const char *in, const char *out, const struct weir_quantize_settings *settings,
	struct weir_quantize_report *report);

#ifdef __cplusplus
}
#endif
#endif
