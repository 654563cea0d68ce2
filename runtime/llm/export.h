/* SPDX-License-Identifier: MIT */
/*
 * Writes a quantized model, as a GGUF file or as a Hugging Face folder in AutoAWQ's layout, one tensor at a time and in
 * any order. Where each tensor's bytes lie is known from the start. Until the output is whole it is OUT.partial/, with a
 * journal of what has reached the disk: a run that was cut goes on there.
 */
#ifndef WEIR_LLM_EXPORT_H
#define WEIR_LLM_EXPORT_H

#include "format/checkpoint.h"
#include "format/tokenizer.h"
#include "llm/params.h"
#include "weir/llm.h"
#include "quant/plane.h"

/* What the output holds for one tensor. */
enum weir_export_form {
	WEIR_EXPORT_KEEP,  /* in GGUF the input's bytes and type, F32 for vectors of a folder; in folders F16. Copied by finish. */
	WEIR_EXPORT_FLOAT, /* values that the caller gives: F32 in GGUF, F16 in folders */
	WEIR_EXPORT_CODES, /* codes that the caller gives; matrices alone */
};

struct weir_export_tensor {
	const struct weir_checkpoint_tensor *in; /* the input's tensor: its name and shape; must outlive the export */
	enum weir_export_form form;
};

struct weir_export_settings {
	const char *path; /* OUT: the file's or folder's final name */
	bool folder;	  /* AutoAWQ's layout: 4 bits, k a multiple of the group, rows of 8 */
	bool overwrite;	  /* replace an OUT that exists; a folder only where it holds nothing but a model's files */
	const char *method; /* "rtn", "awq", "smoothquant": for the file's keys */
	unsigned bits;	  /* 2, 3, 4 or 8 */
	uint32_t group;	  /* weights a scale, a multiple of 32; 0: a whole row */
	bool row_act;	  /* W8A8: activations will be quantized by token */
	uint64_t identity[2]; /* hash of input, calibration text and settings: a resumed run must have the same */
};

struct weir_export;

/* What open found in OUT.partial. */
enum weir_export_found {
	WEIR_EXPORT_NEW,     /* nothing */
	WEIR_EXPORT_RESUMED, /* a run of this identity: it goes on */
	WEIR_EXPORT_RESTARTED, /* another run's files, or damaged ones: they were thrown away */
};

/*
 * Lists what the output will hold: every tensor of the input that is to be kept, each once. tensors is copied, what it
 * points at and the checkpoint, params and tokenizer are not. Rows of q and k are put in the order that the output's
 * architecture wants; the caller gives them in the input's. t may be NULL for GGUF: a model without words.
 * Creates OUT.partial/ with all the room that the output needs, or goes on with one of the same identity and shape.
 * -EEXIST: OUT is there and !overwrite; -EBUSY: another process writes the same; -ENOSPC; -EOPNOTSUPP: the folder layout
 * cannot hold it. All with a sentence.
 */
int weir_export_open(const struct weir_checkpoint *in, const struct weir_params *p, const weir_tokenizer *t,
	const struct weir_export_settings *s, const struct weir_export_tensor *tensors, size_t n,
	struct weir_export **out);
enum weir_export_found weir_export_found(const struct weir_export *x);

/* How many stages have reached the disk, counted from the first: their tensors need not be given again. */
unsigned weir_export_stages_done(const struct weir_export *x);

/* All of tensor i: values as the input's rows lie, (rows, k). */
int weir_export_floats(struct weir_export *x, size_t i, const float *values);
/*
 * All of matrix i: q (rows, k), scale and zero (rows, ceil(k / group)); scales are rounded to
 * halves. No zeros: 1 << (bits - 1) for all, the only zero point that 8 bits have.
 */
int weir_export_codes(struct weir_export *x, size_t i, const struct weir_codes *codes);

/* Everything given so far reaches the disk; stages are 0, 1, 2... Tensors of a stage are not given after it. */
int weir_export_stage_done(struct weir_export *x, unsigned stage);

/*
 * Copies the tensors that are kept, writes what stands beside them, and gives the output its name. -EINVAL when a
 * tensor was never given. The export must still be closed.
 */
int weir_export_finish(struct weir_export *x, weir_progress progress, void *user);

/* Takes NULL. OUT.partial stays for a next run unless finish succeeded. */
void weir_export_close(struct weir_export *x);

#endif
