/* SPDX-License-Identifier: MIT */
/* Small vocabularies for tests, made as GGUF metadata and opened. Aborts when one does not open. */
#ifndef WEIR_TESTS_VOCABS_H
#define WEIR_TESTS_VOCABS_H

#include "gguf_writer.h"
#include "weir/llm.h"

struct vocab {
	bool spm;		    /* else byte-level */
	const char *pre;	    /* NULL: not given */
	const char *const *words;   /* SPM: tokens, best first. Byte-level: merges ("a b"), by rank.
				       NULL ends it */
	const char *const *control; /* NULL ends it; NULL: none */
	const char *const *user;    /* NULL ends it; NULL: none */
	const char *bos, *eos;	    /* texts among control; NULL: none. SPM: <s> and </s>, always */
	const char *chat_template;  /* NULL: none */
};

/* Byte b's token, in the byte-level one and in the SPM one (which starts with <unk>, <s>, </s>). */
#define VOCAB_BPE_BYTE(b) ((int32_t)(unsigned char)(b))
#define VOCAB_SPM_BYTE(b) ((int32_t)(unsigned char)(b) + 3)

/* The metadata, to which a test may add; free it with gguf_writer_free. */
struct gguf_writer *vocab_write(const struct vocab *v);
weir_tokenizer *vocab_open(const struct vocab *v);
/* Opens what a writer has; 0 or what weir_tokenizer_from_gguf returns. */
int vocab_read(struct gguf_writer *w, weir_tokenizer **out);

#endif
