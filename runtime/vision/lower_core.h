/* SPDX-License-Identifier: MIT */
/* What a network is after it was lowered: its nodes, and what became of each tensor of the file. */
#ifndef WEIR_VISION_LOWER_CORE_H
#define WEIR_VISION_LOWER_CORE_H

#include "vision/lower.h"

struct weir_lower_tensor {
	int alias;	     /* the tensor whose bytes it has, or -1 */
	bool shared;	     /* another one has its bytes */
	bool input, output; /* of the network, after folding; an output's bytes may be another tensor's */
	int readers, reader; /* ops that read it, and the last of them */
	int folded;	     /* a float input: the int8 tensor that took its place, or -1 */
	bool padded;	     /* made by a PAD that its reader does: */
	int pad_source, pad[4];
};

struct weir_lower {
	const struct weir_tflite *file;
	bool fold;
	struct weir_lower_tensor *tensors; /* as many as the file has */
	struct weir_cnn_node *nodes;
	size_t n_nodes, max_nodes;
};

/* The file must live as long. 0 or -errno with a sentence. */
int weir_lower_create(const struct weir_tflite *file, bool fold, struct weir_lower **out);
void weir_lower_destroy(struct weir_lower *l); /* takes NULL */

/* The tensor whose bytes a tensor has. */
int weir_lower_storage(const struct weir_lower *l, int tensor);

#endif
