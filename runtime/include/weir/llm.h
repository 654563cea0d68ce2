/* SPDX-License-Identifier: MIT */
/*
 * Language models: a model is loaded once, immutable, and shared by its sessions; a session is one conversation
 * with a KV cache of its own. A session is used by one thread at a time.
 */
#ifndef WEIR_LLM_H
#define WEIR_LLM_H

#include "weir/weir.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Progress of long work: done of total, from 0 up. Return nonzero to cancel: the call returns -ECANCELED. */
typedef int (*weir_progress)(void *user, const char *what, uint64_t done, uint64_t total);

/* ---- tokenizer -------------------------------------------------------------------------------- */

typedef struct weir_tokenizer weir_tokenizer;

/*
 * A tokenizer of its own from a GGUF file's metadata (also of a file with a vocabulary alone), or from the
 * tokenizer.json of a Hugging Face folder.
 */
int weir_tokenizer_open(weir_tokenizer **out, const char *path);
void weir_tokenizer_close(weir_tokenizer *t); /* takes NULL; not for a model's own */

enum {
	WEIR_TOKENIZE_BOS = 1 << 0,	/* put the beginning token first where the model wants one */
	WEIR_TOKENIZE_SPECIAL = 1 << 1, /* text of control tokens ("<|im_end|>") becomes those tokens */
};

/*
 * Ids of text (len bytes, any bytes) into tokens, at most max of them; returns how many there are, which may be
 * more than max (then only max were written), or -errno.
 */
int64_t weir_tokenize(const weir_tokenizer *t, const char *text, size_t len, unsigned flags,
	int32_t *tokens, size_t max);

/*
 * The bytes of one token (maybe a part of a character); *len may be 0: control tokens print nothing unless special
 * is set. NULL for an id outside the vocabulary. Valid as long as t.
 */
const char *weir_token_text(const weir_tokenizer *t, int32_t token, bool special, size_t *len);
int32_t weir_token_count(const weir_tokenizer *t);
int32_t weir_token_bos(const weir_tokenizer *t); /* -1 if none */
int32_t weir_token_eos(const weir_tokenizer *t);
bool weir_token_is_end(const weir_tokenizer *t, int32_t token); /* end of text or of a turn */

/* How many of len bytes are whole UTF-8 characters; an invalid byte counts as a character. */
size_t weir_utf8_whole(const char *text, size_t len);

/* ---- model ------------------------------------------------------------------------------------ */

typedef struct weir_model weir_model;

struct weir_model_settings {
	size_t size;
	weir_progress progress; /* NULL: none */
	void *user;
};
void weir_model_settings_default(struct weir_model_settings *settings);

/*
 * Reads a GGUF file (the first of its shards), or a folder as Hugging Face has them, and repacks its weights into the
 * device's memory. A folder has config.json of a Llama, Mistral, Qwen 2 or Qwen 3, model.safetensors or its shards and
 * their index with F32, F16, BF16 or AutoAWQ's 4 bit codes (version GEMM), and tokenizer.json, without which the model
 * runs on tokens alone. -EOPNOTSUPP: a kind of model, type or quantization that Weir does not run, named.
 */
int weir_model_load(weir_model **out, weir_device *dev, const char *path,
	const struct weir_model_settings *settings);
void weir_model_close(weir_model *m); /* takes NULL; after its sessions */

struct weir_model_info {
	char architecture[32]; /* "llama", "qwen2", "qwen3" */
	char name[128];
	char type[16];	       /* of most weights: "Q4_K"; how they were quantized: "W4 g128", "W8A8" */
	uint64_t parameters;
	uint64_t file_bytes;
	uint64_t weight_bytes; /* in the device's planes */
	int32_t layers, embedding, feed_forward, heads, kv_heads, head_dim, vocabulary;
	int32_t context;       /* that it was trained for */
};
void weir_model_describe(const weir_model *m, struct weir_model_info *out);
/* The model's for as long as it is; NULL for a file without a vocabulary, which runs on token numbers alone. */
const weir_tokenizer *weir_model_tokenizer(const weir_model *m);

/* ---- session ---------------------------------------------------------------------------------- */

typedef struct weir_session weir_session;

enum weir_kv {
	WEIR_KV_F16,
	WEIR_KV_Q8, /* int8, a scale for each head and token */
	WEIR_KV_F32, /* exact: for comparisons */
};

struct weir_session_settings {
	size_t size;
	uint32_t ctx;	 /* positions that the cache holds; 0: the model's own context, at most 4096 */
	uint32_t batch;	 /* tokens of a prefill step; 0: 512 */
	uint32_t sinks;	 /* streaming (window > 0): first tokens that stay visible, */
	uint32_t window; /* and how many of the newest: endless text in constant memory */
	enum weir_kv kv;
};
void weir_session_settings_default(struct weir_session_settings *settings);

int weir_session_create(weir_session **out, weir_model *m, const struct weir_session_settings *settings);
void weir_session_destroy(weir_session *s); /* takes NULL */

/*
 * Appends tokens: afterwards the logits of what follows the last one are there. -ENOSPC when the context is full
 * and nothing streams: nothing was appended then.
 */
int weir_session_feed(weir_session *s, const int32_t *tokens, size_t n, weir_progress progress, void *user);

/*
 * The same, giving the logits after each token to fn, in order; logits are valid during the call alone. fn
 * returns 0 or a negative code, which stops and is returned (the tokens of the step under way stay appended).
 */
int weir_session_feed_each(weir_session *s, const int32_t *tokens, size_t n,
	int (*fn)(void *user, size_t i, const float *logits), void *user);

/* The logits after the last token, vocabulary floats, copied to out. -ENODATA before the first feed. */
int weir_session_logits(weir_session *s, float *out);

struct weir_sampling {
	size_t size;
	float temperature;    /* 0: greedy */
	int32_t top_k;	      /* 0: all */
	float top_p;	      /* 1: off */
	float min_p;	      /* 0: off */
	float repeat_penalty; /* 1: off */
	int32_t repeat_last;  /* tokens that it looks back over; 64 */
	uint64_t seed;
};
void weir_sampling_default(struct weir_sampling *sampling);
/* How the session samples from now on; the generator starts anew from seed. */
int weir_session_sampling(weir_session *s, const struct weir_sampling *sampling);

/* Draws the next token from the logits; does not feed it. */
int weir_session_sample(weir_session *s, int32_t *token);

enum weir_stop {
	WEIR_STOP_LENGTH, /* max tokens were made */
	WEIR_STOP_END,	  /* the model ended its text or turn */
	WEIR_STOP_USER,	  /* the callback returned nonzero */
	WEIR_STOP_FULL,	  /* the context is full */
};

/*
 * Samples and feeds up to max tokens. Each call of fn has the next text, whole UTF-8 characters (what is cut off at
 * the end is given as it is), and the token that completed it; len may be 0 while a character is incomplete.
 * The token that ends a turn is fed, so that a chat goes on behind it, and not shown.
 */
int weir_session_generate(weir_session *s, size_t max,
	int (*fn)(void *user, int32_t token, const char *text, size_t len), void *user,
	enum weir_stop *stop);

/* Forgets the text; the cache stays allocated. */
void weir_session_reset(weir_session *s);
/* Tokens so far. */
uint64_t weir_session_position(const weir_session *s);

/* Cache, position, tokens and sampler, to a file and back into a session of the same model and settings. */
int weir_session_save(weir_session *s, const char *path);
int weir_session_load(weir_session *s, const char *path);

struct weir_session_stats {
	uint64_t prompt_tokens, generated_tokens;
	double prompt_seconds, generate_seconds, sample_seconds;
	uint64_t kv_bytes; /* of the cache */
	uint64_t activation_bytes;
	uint32_t ctx;	   /* positions that it holds; streaming: sinks + window */
};
void weir_session_stats(const weir_session *s, struct weir_session_stats *out);

/* ---- chat ------------------------------------------------------------------------------------- */

enum weir_chat_format {
	WEIR_CHAT_CHATML,
	WEIR_CHAT_LLAMA2,
	WEIR_CHAT_LLAMA3,
	WEIR_CHAT_MISTRAL,
	WEIR_CHAT_ZEPHYR,
	WEIR_CHAT_FORMATS,
};
const char *weir_chat_format_name(enum weir_chat_format format); /* "chatml", "llama2", ... */
int weir_chat_format_by_name(const char *name); /* or -EINVAL with the names there are */
/* The format of the tokenizer's own template. -ENOENT: it has none; -EOPNOTSUPP: none that Weir knows. */
int weir_chat_format_of(const weir_tokenizer *t);

struct weir_chat_message {
	const char *role;    /* "system", "user", "assistant" */
	const char *content; /* its text; control tokens in it stay text */
};

/*
 * Tokens of messages[from..count) as they stand in a conversation of all count, and, if answer, of what opens the
 * assistant's turn: so each turn feeds what is new alone. *tokens is malloced, the caller's to free.
 *
 * What a format writes behind an answer's end token (ChatML: a line break) comes with the message after it, since a
 * model stops at that token. A system text that stands inside the first user turn (Llama 2, Mistral) comes with that
 * turn, also where a template would move it to the last. The tokens of a cut conversation are those of the whole, but
 * for a cut before an assistant's message whose markup is plain text (Llama 2, Mistral before v3, with SPM): there
 * one more space may stand. -EINVAL: a role that is none of the three, or a second system text where one alone fits.
 */
int weir_chat_encode(const weir_tokenizer *t, enum weir_chat_format format,
	const struct weir_chat_message *messages, size_t count, size_t from, bool answer,
	int32_t **tokens, size_t *n);

/* ---- files ------------------------------------------------------------------------------------ */

typedef struct weir_file weir_file;

#define WEIR_FILE_DIMS 6

struct weir_file_tensor {
	const char *name, *type; /* type as the field names it: "Q4_K", "INT8" */
	unsigned n_dims;
	uint64_t dim[WEIR_FILE_DIMS]; /* in the file's order: GGUF's first is the contiguous one, others' last */
	uint64_t bytes, offset;	      /* offset 0: the file has no values of it */
	unsigned shard;
};

/*
 * A model file's metadata and tensors, GGUF or TFLite, or what config.json and the safetensors of a folder have, for
 * listings. Strings live as long as f.
 */
int weir_file_open(weir_file **out, const char *path);
void weir_file_close(weir_file *f); /* takes NULL */
const char *weir_file_format(const weir_file *f); /* "GGUF v3, 2 shards", "TFLite v3", "safetensors" */
uint64_t weir_file_bytes(const weir_file *f);
size_t weir_file_meta_count(const weir_file *f);
/* Key i, its type's name, and the value as text, cut to fit. -ERANGE past the end. */
int weir_file_meta(const weir_file *f, size_t i, char *key, size_t key_size, const char **type,
	char *value, size_t value_size);
size_t weir_file_tensor_count(const weir_file *f);
int weir_file_tensor(const weir_file *f, size_t i, struct weir_file_tensor *out);

#ifdef __cplusplus
}
#endif
#endif
