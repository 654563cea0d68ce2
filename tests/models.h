/* SPDX-License-Identifier: MIT */
/* Devices, models and sessions as suites need them, and small random models of every architecture. */
#ifndef WEIR_TESTS_MODELS_H
#define WEIR_TESTS_MODELS_H

#include "format/gguf.h"
#include "weir/llm.h"

/* A shape for a random model; zeros mean what the comment says. */
struct model_shape {
	const char *arch;	/* "llama", "qwen2", "qwen3" */
	enum weir_type type;	/* of its matrices */
	uint32_t layers, dim, ff, heads, kv_heads, vocab;
	uint32_t head_dim;	/* 0: dim / heads */
	uint32_t n_rot;		/* 0: head_dim */
	bool untied;		/* an output.weight of its own */
	bool bias;		/* of q, k, v */
	bool rope_factors;	/* rope_freqs.weight */
	float linear_scale;	/* 0: none */
	enum weir_type mixed;	/* of attn_v and ffn_down, where not 0 */
};

/* Writes it to a new file, whose name it returns (free it, unlink it); seed makes the weights. */
char *model_write(const struct model_shape *shape, uint32_t seed);

/* The device $WEIR_TEST_DEVICE (else the first) by settings that need no more; aborts the test on failure. NULL tier and schedule: its own. */
weir_device *model_device(const char *tier, const char *schedule, unsigned threads, enum weir_provider provider);
/* The same with a way of running plans. */
weir_device *model_device_with(const char *tier, const char *schedule, unsigned threads, enum weir_provider provider,
	const char *plan);
weir_model *model_open(weir_device *dev, const char *path);
/* kv, ctx, sinks, window, batch as in weir_session_settings. */
weir_session *model_session(weir_model *m, enum weir_kv kv, uint32_t ctx, uint32_t sinks, uint32_t window,
	uint32_t batch);

/* n tokens of a model with this vocabulary, always the same. */
void model_tokens(int32_t *tokens, size_t n, uint32_t vocab, uint32_t seed);

/* |a - b| / |b| over n values: 0 when both are zero. */
double model_distance(const float *a, const float *b, size_t n);

/* Greedy text of n tokens after the beginning token and prompt; the caller frees it. */
char *model_greedy(weir_session *s, weir_model *m, const char *prompt, size_t n);

#endif
