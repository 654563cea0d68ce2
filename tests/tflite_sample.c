/* SPDX-License-Identifier: MIT */
/* A TFLite file that has something of everything, for the reader's tests and as a seed for fuzzing. */
#include "base/base.h"
#include "tflite_writer.h"

#define CHANNELS 4

static int sample_activation(struct tflite_writer *w, const char *name)
{
	return tflite_writer_tensor(w, &(struct tflite_tensor){.name = name,
					       .type = WEIR_TFLITE_I8,
					       .n_dims = 4,
					       .dim = {1, 8, 8, CHANNELS},
					       .n_scales = 1,
					       .n_zeros = 1,
					       .scale = (const float[]){0.5f},
					       .zero = (const int64_t[]){-3}});
}

static int sample_weights(struct tflite_writer *w)
{
	static const int8_t values[CHANNELS * CHANNELS] = {1, -2, 3, -4};

	return tflite_writer_tensor(w, &(struct tflite_tensor){.name = "weights",
					       .type = WEIR_TFLITE_I8,
					       .n_dims = 4,
					       .dim = {CHANNELS, 1, 1, CHANNELS},
					       .n_scales = CHANNELS,
					       .n_zeros = CHANNELS,
					       .scale = (const float[]){0.5f, 0.25f, 2.0f, 1.0f},
					       .zero = (const int64_t[CHANNELS]){0},
					       .data = values,
					       .size = sizeof(values)});
}

/* Values behind the flatbuffer, and what else few tensors have. */
static int sample_others(struct tflite_writer *w)
{
	static const int32_t values[CHANNELS] = {100, -200};

	const int bias =
		tflite_writer_tensor(w, &(struct tflite_tensor){.name = "bias",
						.type = WEIR_TFLITE_I32,
						.n_dims = 1,
						.dim = {CHANNELS},
						.n_scales = CHANNELS,
						.n_zeros = CHANNELS,
						.scale = (const float[]){0.25f, 0.125f, 1.0f, 0.5f},
						.zero = (const int64_t[CHANNELS]){0},
						.axis = 3,
						.data = values,
						.size = sizeof(values),
						.behind = true});
	tflite_writer_tensor(w, &(struct tflite_tensor){.type = WEIR_TFLITE_F32, .variable = true});
	tflite_writer_tensor(
		w, &(struct tflite_tensor){.name = "words", .type = 5, .data = "abc", .size = 3});
	return bias;
}

struct tflite_writer *tflite_writer_sample(void)
{
	static const int codes[] = {WEIR_TFLITE_CONV_2D, WEIR_TFLITE_DEPTHWISE_CONV_2D,
		WEIR_TFLITE_AVERAGE_POOL_2D, WEIR_TFLITE_FULLY_CONNECTED, WEIR_TFLITE_SOFTMAX,
		WEIR_TFLITE_CONCATENATION, WEIR_TFLITE_ADD, WEIR_TFLITE_RESHAPE, WEIR_TFLITE_SQUEEZE,
		WEIR_TFLITE_MEAN, WEIR_TFLITE_STRIDED_SLICE, WEIR_TFLITE_SPLIT,
		WEIR_TFLITE_RESIZE_BILINEAR, WEIR_TFLITE_RESIZE_NEAREST_NEIGHBOR, WEIR_TFLITE_QUANTIZE,
		32};
	struct tflite_writer *w = tflite_writer_new();
	const int first = sample_activation(w, "input"), weights = sample_weights(w);
	const int bias = sample_others(w);
	int last = first;

	tflite_writer_description(w, "a sample");
	for (unsigned i = 0; i < WEIR_ARRAY_SIZE(codes); i++) {
		const int next = sample_activation(w, "next");

		tflite_writer_op(w, &(struct weir_tflite_op){
					    .code = codes[i],
					    .version = 1,
					    .n_inputs = 4,
					    .inputs = (const int32_t[]){last, weights, bias, -1},
					    .n_outputs = 1,
					    .outputs = &next,
					    .stride_w = 1,
					    .stride_h = 1,
					    .dilation_w = 1,
					    .dilation_h = 1,
					    .n_new_shape = 2,
					    .new_shape = {1, -1},
					    .n_squeeze_dims = 1,
					    .squeeze_dims = {2},
				    });
		last = next;
	}
	tflite_writer_ends(w, 1, &first, 1, &last);
	return w;
}
