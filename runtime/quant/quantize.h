/* SPDX-License-Identifier: MIT */
/*
 * The arithmetic of quantizing weights, on the host: rounding to nearest, AWQ's scales and clip values (Lin et al.
 * 2023, "AWQ: Activation-aware Weight Quantization", as the projects llm-awq and AutoAWQ do it) and SmoothQuant's
 * scales (Xiao et al. 2022). It knows matrices of floats, row-major, (rows, k) = (out, in), and neither files nor devices.
 *
 * Results are the same bits on every machine, but for pow. Nothing here needs finite input: what is not finite is an
 * error where one is returned, with a sentence that the caller completes with the tensor's name (weir_fail_in).
 */
#ifndef WEIR_QUANT_QUANTIZE_H
#define WEIR_QUANT_QUANTIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weir_quantizer {
	unsigned bits;	  /* 2 to 8 */
	uint32_t group;	  /* weights of a row that share a scale; the last group of a row may be short. 0: the row */
	bool symmetric;	  /* scale = max|w| / (2^(bits-1) - 1), zero = 2^(bits-1), codes from 1 */
	bool half_scales; /* the scale is rounded to a half first, and zero and codes are chosen for that */
};

/* Groups of a row of k weights. */
size_t weir_quant_groups(const struct weir_quantizer *z, size_t k);

/*
 * Rounds to nearest, halves to even, so that weight = (q - zero) * scale:
 *   asymmetric  scale = max(max - min, 1e-5) / (2^bits - 1), zero = clamp(-round(min / scale))   (llm-awq)
 *   symmetric   scale = max(max|w|, 1e-5) / (2^(bits-1) - 1)                                     (SmoothQuant)
 *   q = clamp(round(w / scale) + zero)
 * With half_scales, zero and q follow from the rounded scale. Files that AutoAWQ packs have the same codes: its
 * round((w' + scale * zero) / scale) of the weights w' = (q - zero) * scale gives q back.
 * w: (rows, k), each column times column[c] before anything else; column: k floats or NULL. Out: q (rows, k), scale
 * (rows, groups), zero (rows, groups), which may be NULL when symmetric. -EINVAL when a weight is not finite,
 * -ERANGE when a scale has no half (above 65504); q, scale and zero are then undefined. Rows are independent: calls
 * for different rows may run in parallel.
 */
int weir_quant_rtn(const struct weir_quantizer *z, const float *w, const float *column, size_t rows, size_t k,
	uint8_t *q, float *scale, uint8_t *zero);

/* w (rows, k) of codes; zero may be NULL when symmetric. */
void weir_quant_dequant(const struct weir_quantizer *z, const uint8_t *q, const float *scale, const uint8_t *zero,
	size_t rows, size_t k, float *w);

/*
 * How scales s of input channels are put into a network: the columns of the matrices that read the channels times s,
 * and what makes the channels divided by s: a norm's weights (rows 1), the rows of the matrix before (k = its columns),
 * or activations themselves (rows tokens).
 */
void weir_scale_columns(float *w, size_t rows, size_t k, const float *s /* (k) */);
void weir_unscale_columns(float *w, size_t rows, size_t k, const float *s /* (k) */);
void weir_unscale_rows(float *w, size_t rows, size_t k, const float *s /* (rows) */);

/* ---- AWQ ------------------------------------------------------------------------------------------ */

#define WEIR_AWQ_RATIOS 20 /* ratio i is i / 20: 1 is never tried */
#define WEIR_AWQ_CLIPS 10  /* step i clips at max|w| * (1 - i / 20) */
#define WEIR_AWQ_CLIP_TOKENS 512

/*
 * Scales of a ratio in [0, 1), s: k floats.
 *   llm-awq  s = max(x^ratio, 1e-4)
 *   AutoAWQ  s = max(x^ratio / (w^(1 - ratio) + 1e-4), 1e-4)   ("duo scaling")
 * then divided by sqrt(max(s) * min(s)); what is not finite becomes 1.
 * x_mean: (k), mean |x| of each channel over the calibration tokens. w_mean: (k), from weir_awq_w_mean, or NULL for llm-awq.
 */
void weir_awq_scales(const float *x_mean, const float *w_mean, size_t k, double ratio, float *s);

/*
 * AutoAWQ's w_mean of matrices with the same input: the mean over all their rows of |w| / (max|w| of its group + 1e-6).
 * add accumulates a matrix into sum (k doubles, zeros at first); w_mean = sum / all rows.
 */
void weir_awq_w_mean_add(const struct weir_quantizer *z, const float *w, size_t rows, size_t k, double *sum);
void weir_awq_w_mean(const double *sum, size_t rows, size_t k, float *w_mean);

/* The first of the smallest losses. -EINVAL with a sentence when one is NaN or none is finite. */
int weir_awq_best(const double *loss, unsigned n, unsigned *best);

/*
 * The loss of a matrix alone: mean over tokens and rows of (d . x)^2 = tr(D G D^T) / (tokens * rows), where D (rows, k) is what
 * quantizing changed (quantized, divided by s, less the original) and G (k, k) = sum over tokens of x x^T, symmetric.
 */
int weir_awq_gram_loss(const float *d, const float *gram, size_t rows, size_t k, double tokens, unsigned threads,
	double *loss);

/* Every how many of n tokens the clip search takes one: n / 512, at least 1. It takes tokens 0, stride, 2 stride .. < n. */
size_t weir_awq_clip_stride(size_t tokens);

/*
 * Clip search of a matrix whose columns are already scaled; then w is clamped. For each row and group, of ten m =
 * max|w| * (1 - i / 20) the first with the smallest mean over tokens of (sum over the group of x * (Q(clamp(w, -m, m)) - w))^2.
 * x: (n, k) sampled tokens, already divided by s. clip: (rows, groups) chosen m, out; may be NULL. AWQ leaves
 * q and k projections out. -ENOMEM, -EINVAL when weights or tokens are not finite; w may then be clamped in part.
 * Needs 2 * group^2 bytes where the group's Gram matrix is cheaper than its tokens, and 104 * group a thread.
 *
 * A group clamped on both sides has its zero at round((2^bits - 1) / 2), a tie that the last bit of a weight decides, so
 * choices of single groups differ between programs whose scales differ in a last bit; the error of a whole matrix hardly does.
 */
int weir_awq_clip(const struct weir_quantizer *z, float *w, size_t rows, size_t k, const float *x, size_t n,
	unsigned threads, float *clip);

/* Clamps w to values that a search found: clip (rows, groups). */
void weir_awq_clamp(const struct weir_quantizer *z, float *w, size_t rows, size_t k, const float *clip);

/* ---- SmoothQuant ---------------------------------------------------------------------------------- */

/* w_max[c] = max(w_max[c], max over rows of |w[:, c]|): zeros at first, then each matrix with the same input. */
void weir_smooth_w_max(const float *w, size_t rows, size_t k, float *w_max);

/*
 * s = max(x^alpha / max(w, 1e-5)^(1 - alpha), 1e-5), k floats. x_max: max |x| of each channel over the calibration tokens.
 * Only where a norm precedes: attention's q, k, v and the feed-forward network's gate and up.
 */
void weir_smooth_scales(const float *x_max, const float *w_max, size_t k, double alpha, float *s);

#endif
