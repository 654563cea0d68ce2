/* SPDX-License-Identifier: MIT */
/* A network of weir/vision.h from the inside: where its tensors are, and the plans that run it. */
#ifndef WEIR_VISION_NETWORK_H
#define WEIR_VISION_NETWORK_H

#include "device/device.h"
#include "device/pace.h"
#include "vision/lower_core.h"
#include "weir/vision.h"

#define WEIR_NET_BOUND (CNN_SPACES - CNN_BOUND)

/* An input or output. */
struct weir_net_end {
	struct weir_net_tensor tensor; /* as it is described */
	int id;			       /* of the file's tensor that memory holds */
	int root;		       /* the tensor whose bytes it has */
	weir_buffer *bound;	       /* or NULL: in the arena */
	size_t offset;
	void *open; /* between begin and end */
};

struct weir_net {
	weir_device *dev;
	struct weir_net_settings settings;
	struct weir_lower *lower; /* its tensors and nodes */
	struct weir_tflite *file; /* what lower describes; NULL: the caller's */
	struct weir_net_end *inputs, *outputs;
	unsigned n_inputs, n_outputs;
	struct weir_layout_tensor *tensors;
	struct weir_layout_node *nodes;
	struct weir_layout layout;
	uint64_t macs, weight_bytes;

	/* network_plan.c */
	weir_buffer *arena, *consts, *table;
	struct cnn_op *ops; /* a node each: the host's copy of the table */
	size_t *consts_at; /* by tensor: 0, or 1 + the place of a constant in consts */
	size_t steps_at, control_at, table_size; /* in the table */
	unsigned chunks;			 /* of all steps */
	struct weir_graph *chain, *whole;	 /* NULL until used */
	struct weir_plan *chain_plan, *whole_plan;
	struct weir_pace pace;
	bool ran_whole;
};

/*
 * From a description that is already there (and must live as long as the network): what weir_net_load does after it has
 * read the file.
 */
int weir_net_create(weir_device *dev, const struct weir_tflite *file, const struct weir_net_settings *settings,
	weir_net **out);

/* Lowers and lays out without a device: 0, or the error that weir_net_create would give. */
int weir_net_check(const struct weir_tflite *file, const struct weir_net_settings *settings);

/* network_plan.c: what the device is given, once; the plans, anew when a buffer is bound; a run. */
int weir_net_upload(struct weir_net *net);
void weir_net_plan_drop(struct weir_net *net);
int weir_net_plan_run(struct weir_net *net);
void weir_net_plan_free(struct weir_net *net);

#endif
