/* SPDX-License-Identifier: MIT */
/* weir info for networks: what a run takes, and where its tensors lie. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static void print_ends(const weir_net *net, bool inputs)
{
	unsigned n = inputs ? weir_net_inputs(net) : weir_net_outputs(net);
	struct weir_net_tensor t;
	char shape[128];

	for (unsigned i = 0; i < n; i++) {
		if ((inputs ? weir_net_input(net, i, &t) : weir_net_output(net, i, &t)) < 0)
			continue;
		printf("  %-11s ", inputs ? "input" : "output");
		out_escaped(t.name, strlen(t.name));
		printf(": %s", network_shape(&t, shape, sizeof(shape)));
		if (t.scale > 0)
			printf(", value = (q %s %d) * %.9g", t.zero < 0 ? "+" : "-", abs(t.zero),
				(double)t.scale);
		printf("%s\n", t.folded ? ", float32 in the file" : "");
	}
}

static struct json_object *json_ends(const weir_net *net, bool inputs)
{
	unsigned n = inputs ? weir_net_inputs(net) : weir_net_outputs(net);
	struct json_object *list = json_object_new_array();
	struct weir_net_tensor t;

	for (unsigned i = 0; i < n; i++) {
		if ((inputs ? weir_net_input(net, i, &t) : weir_net_output(net, i, &t)) == 0)
			json_object_array_add(list, json_tensor(&t));
	}
	return list;
}

static struct json_object *json_blocks(const weir_net *net)
{
	struct json_object *list = json_object_new_array();
	struct weir_net_block b;

	for (unsigned i = 0; weir_net_block(net, i, &b) == 0; i++) {
		struct json_object *row = json_object_new_object();

		json_put_text(row, "tensor", b.name);
		json_put_text(row, "made_by", b.op);
		json_put_int(row, "at", b.at);
		json_put_int(row, "bytes", b.bytes);
		json_put_int(row, "first_step", b.first);
		json_put_int(row, "last_step", b.last);
		json_put_int(row, "rows", b.rows);
		json_put_int(row, "rows_kept", b.ring);
		json_object_array_add(list, row);
	}
	return list;
}

static void print_network(const weir_net *net)
{
	char a[32], b[32], c[32];
	struct weir_net_info info;

	weir_net_info(net, &info);
	printf("\nnetwork%s%s\n", *info.description ? ": " : "", info.description);
	print_ends(net, true);
	print_ends(net, false);
	printf("  weights     %s with tables and multipliers\n",
		format_bytes(info.weight_bytes, a, sizeof(a)));
	printf("  MACs        %s a run\n", format_count(info.macs, b, sizeof(b)));
	printf("  operators   %u, run in %u steps", info.operators, info.steps);
	if (info.streamed)
		printf(", %u chains of them by strips of rows", info.streamed);
	printf("\n  activations %llu bytes (%s), %s if none shared memory\n\n",
		(unsigned long long)info.activation_bytes,
		format_bytes(info.activation_bytes, a, sizeof(a)),
		format_bytes(info.unshared_bytes, c, sizeof(c)));
	memory_draw(net);
}

int network_info(const struct options *o, const char *path, struct json_object *object)
{
	struct json_object *network;
	struct weir_net_info info;
	struct engine e;
	int status = network_open(&e, o, path);

	if (!status && object) {
		network = json_object_new_object();
		weir_net_info(e.net, &info);
		json_put_network(network, &info);
		json_put(network, "inputs", json_ends(e.net, true));
		json_put(network, "outputs", json_ends(e.net, false));
		json_put(network, "memory", json_blocks(e.net));
		json_put(object, "network", network);
	} else if (!status) {
		print_network(e.net);
	}
	if (!status && o->svg)
		status = memory_svg(e.net, o->svg);
	engine_close(&e);
	return status;
}
