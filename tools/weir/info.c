/* SPDX-License-Identifier: MIT */
/* weir info: the devices and what they run with, or what is in a model file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/* What an open device runs with, for text and JSON alike; or the reason why it does not open. */
struct running {
	const char *tier, *schedule, *provider;
	unsigned threads;
};

static void print_device(unsigned i, const struct weir_device_info *d)
{
	char memory[32], buffer[32];

	printf("device %u: %s\n", i, d->name);
	printf("  kind       %s, %u compute units\n", d->kind, d->compute_units);
	printf("  platform   %s\n", d->platform);
	printf("  driver     %s\n", d->driver);
	printf("  memory     %s, buffers up to %s\n",
		format_bytes(d->memory, memory, sizeof(memory)),
		format_bytes(d->max_buffer, buffer, sizeof(buffer)));
}

static struct json_object *json_device(unsigned i, const struct weir_device_info *d)
{
	struct json_object *row = json_object_new_object();

	json_put_int(row, "index", i);
	json_put_text(row, "name", d->name);
	json_put_text(row, "kind", d->kind);
	json_put_text(row, "platform", d->platform);
	json_put_text(row, "driver", d->driver);
	json_put_int(row, "compute_units", d->compute_units);
	json_put_int(row, "memory", d->memory);
	json_put_int(row, "max_buffer", d->max_buffer);
	return row;
}

/* A sentence for each place that buffers can come from. */
static void show_providers(weir_device *dev, struct json_object *row)
{
	struct json_object *list = row ? json_object_new_object() : NULL;
	char state[256];

	for (int p = WEIR_PROVIDER_WEIR; p <= WEIR_PROVIDER_SHADOW; p++) {
		const char *name = weir_provider_name((enum weir_provider)p);

		if (weir_device_provider(dev, (enum weir_provider)p, state, sizeof(state)) < 0)
			snprintf(state, sizeof(state), "%s", weir_error());
		if (row) {
			json_put_text(list, name, state);
		} else {
			printf("  %-10s %-8s ", p == WEIR_PROVIDER_WEIR ? "buffers" : "", name);
			out_escaped(state, strlen(state));
			putchar('\n');
		}
	}
	if (row)
		json_put(row, "providers", list);
}

static void show_running(weir_device *dev, struct json_object *row)
{
	if (row) {
		json_put_text(row, "tier", weir_device_tier(dev));
		json_put_text(row, "schedule", weir_device_schedule(dev));
		json_put_int(row, "threads", weir_device_threads(dev));
		json_put_text(row, "provider", weir_device_provider_name(dev));
	} else {
		printf("  runs with  tier %s, schedule %s, %u threads\n", weir_device_tier(dev),
			weir_device_schedule(dev), weir_device_threads(dev));
	}
	show_providers(dev, row);
}

/* A device that does not open is shown all the same, with the reason. */
static int show_device(const struct options *o, unsigned i, struct json_object *list)
{
	struct weir_device_info d;
	struct json_object *row = NULL;
	weir_device *dev = NULL;
	char index[16];
	int status;

	if (weir_device_describe(i, &d) < 0)
		return fail_weir();
	snprintf(index, sizeof(index), "%u", i);
	if (list) {
		row = json_device(i, &d);
		json_object_array_add(list, row);
	} else {
		print_device(i, &d);
		out_flush();
	}
	status = engine_device(o, index, &dev);
	if (!status)
		show_running(dev, row);
	else if (row)
		json_put_text(row, "error", weir_error());
	weir_device_close(dev);
	return status;
}

/* The one that --device names, by number or name: opened to find which it is. */
static int show_named_device(const struct options *o, int count, struct json_object *list)
{
	struct weir_device_info d;
	weir_device *dev;
	int found = -1;

	if (engine_device(o, o->device, &dev))
		return 1;
	for (int i = 0; i < count && found < 0; i++) {
		if (!weir_device_describe((unsigned)i, &d) &&
			!strcmp(d.name, weir_device_name(dev)))
			found = i;
	}
	weir_device_close(dev);
	return found < 0 ? fail("no device is named %s", o->device)
			 : show_device(o, (unsigned)found, list);
}

static void print_node(const struct weir_node *n)
{
	char a[32], b[32], c[32];

	printf("node %s: kernel module weir\n  access     ", n->path);
	out_escaped(n->access, strlen(n->access));
	putchar('\n');
	if (!n->usable)
		return;
	printf("  kind       %s, %s caches with the CPU\n",
		!n->npu	      ? "buffers only"
		: n->emulated ? "NPU, emulated by a program"
			      : "NPU, silicon",
		n->coherent ? "shares" : "does not share");
	printf("  quota      %s a process, %s a user, of which %s are taken\n",
		format_bytes(n->quota, a, sizeof(a)), format_bytes(n->user_quota, b, sizeof(b)),
		format_bytes(n->user_used, c, sizeof(c)));
	if (n->npu)
		printf("  queues     %u a process, reset after %u ms without progress; device resets: %u\n",
			n->queues, n->hang_limit_ms, n->resets);
}

static struct json_object *json_node(const struct weir_node *n)
{
	struct json_object *row = json_object_new_object();

	json_put_text(row, "node", n->path);
	json_put_text(row, "access", n->access);
	json_put(row, "usable", json_object_new_boolean(n->usable));
	if (!n->usable)
		return row;
	json_put_text(row, "kind", n->npu ? "NPU" : "buffers");
	json_put(row, "emulated", json_object_new_boolean(n->emulated));
	json_put(row, "coherent", json_object_new_boolean(n->coherent));
	json_put_int(row, "abi_minor", n->abi_minor);
	json_put_int(row, "quota", n->quota);
	json_put_int(row, "user_quota", n->user_quota);
	json_put_int(row, "user_used", n->user_used);
	json_put_int(row, "queues", n->queues);
	json_put_int(row, "hang_limit_ms", n->hang_limit_ms);
	json_put_int(row, "resets", n->resets);
	return row;
}

/* Nodes of the kernel module, those that this process may not open among them. */
static void show_nodes(struct json_object *object)
{
	struct json_object *list = object ? json_object_new_array() : NULL;
	struct weir_node n;

	for (int i = 0; i < weir_node_count(); i++) {
		if (weir_node_describe((unsigned)i, &n) < 0)
			break;
		if (object)
			json_object_array_add(list, json_node(&n));
		else
			print_node(&n);
	}
	if (object)
		json_put(object, "nodes", list);
}

static int show_devices(const struct options *o)
{
	struct json_object *object = o->json ? json_object_new_object() : NULL;
	struct json_object *list = object ? json_object_new_array() : NULL;
	int count = weir_device_count(), status = 0, shown;

	if (object) {
		json_put_text(object, "weir", weir_version());
		json_put(object, "devices", list);
	} else {
		printf("weir %s\n", weir_version());
	}
	if (count < 0)
		status = fail_weir();
	else if (!count)
		status = fail(
			"there is no OpenCL device and no NPU: install a driver, such as pocl-opencl-icd");
	else if (o->device)
		status = show_named_device(o, count, list);
	for (int i = 0; i < count && !o->device; i++) {
		shown = show_device(o, (unsigned)i, list);
		status = shown ? shown : status;
	}
	if (!o->device)
		show_nodes(object);
	if (object && out_json(object))
		status = 1;
	return status;
}

static void print_file(const weir_file *f, const char *path)
{
	char key[256], value[512], size[32];
	const char *type;

	printf("%s: %s, %s\n\n%zu keys\n", path, weir_file_format(f),
		format_bytes(weir_file_bytes(f), size, sizeof(size)), weir_file_meta_count(f));
	for (size_t i = 0; i < weir_file_meta_count(f); i++) {
		if (weir_file_meta(f, i, key, sizeof(key), &type, value, sizeof(value)) < 0)
			continue;
		printf("  ");
		out_escaped(key, strlen(key));
		printf("  %s  ", type);
		out_escaped(value, strlen(value));
		putchar('\n');
	}
	printf("\n%zu tensors\n", weir_file_tensor_count(f));
	for (size_t i = 0; i < weir_file_tensor_count(f); i++) {
		struct weir_file_tensor t;
		char dims[96] = "", at[32];

		if (weir_file_tensor(f, i, &t) < 0)
			continue;
		for (unsigned d = 0; d < t.n_dims && d < WEIR_FILE_DIMS; d++)
			snprintf(dims + strlen(dims), sizeof(dims) - strlen(dims), "%s%llu",
				d ? " x " : "", (unsigned long long)t.dim[d]);
		snprintf(at, sizeof(at), "at %llu", (unsigned long long)t.offset);
		printf("  %-7s %-22s %12s  %-15s ", t.type, dims, format_bytes(t.bytes, size, sizeof(size)),
			t.offset ? at : "computed");
		if (t.shard)
			printf("of shard %u  ", t.shard + 1);
		out_escaped(t.name, strlen(t.name));
		putchar('\n');
	}
}

static void json_put_file(struct json_object *object, const weir_file *f, const char *path)
{
	struct json_object *meta = json_object_new_array(), *tensors = json_object_new_array();
	char key[256], value[512];
	const char *type;

	json_put_text(object, "file", path);
	json_put_text(object, "format", weir_file_format(f));
	json_put_int(object, "bytes", weir_file_bytes(f));
	for (size_t i = 0; i < weir_file_meta_count(f); i++) {
		struct json_object *row;

		if (weir_file_meta(f, i, key, sizeof(key), &type, value, sizeof(value)) < 0)
			continue;
		row = json_object_new_object();
		json_put_text(row, "key", key);
		json_put_text(row, "type", type);
		json_put_text(row, "value", value);
		json_object_array_add(meta, row);
	}
	for (size_t i = 0; i < weir_file_tensor_count(f); i++) {
		struct weir_file_tensor t;
		struct json_object *row, *dims;

		if (weir_file_tensor(f, i, &t) < 0)
			continue;
		row = json_object_new_object();
		dims = json_object_new_array();
		json_put_text(row, "name", t.name);
		json_put_text(row, "type", t.type);
		for (unsigned d = 0; d < t.n_dims && d < WEIR_FILE_DIMS; d++)
			json_object_array_add(dims, json_object_new_uint64(t.dim[d]));
		json_put(row, "shape", dims);
		json_put_int(row, "bytes", t.bytes);
		json_put_int(row, "shard", t.shard);
		json_put_int(row, "offset", t.offset);
		json_object_array_add(tensors, row);
	}
	json_put(object, "metadata", meta);
	json_put(object, "tensors", tensors);
}

static int show_file(const struct options *o, const char *path)
{
	struct json_object *object;
	weir_file *f;
	int status = 0;

	if (!network_is(path) && (o->memory_budget || o->svg))
		return usage("info", "--memory-budget and --svg are for networks in TFLite files");
	if (weir_file_open(&f, path) < 0)
		return fail_weir();
	object = o->json ? json_object_new_object() : NULL;
	if (object)
		json_put_file(object, f, path);
	else
		print_file(f, path);
	weir_file_close(f);
	if (network_is(path))
		status = out_flush() || network_info(o, path, object);
	if (object && out_json(object))
		status = 1;
	return status;
}

int cmd_info(const struct options *o)
{
	if (o->n_args)
		return show_file(o, o->args[0]);
	if (o->memory_budget || o->svg)
		return usage("info", "--memory-budget and --svg need the FILE of a network");
	return show_devices(o);
}
