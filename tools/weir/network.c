/* SPDX-License-Identifier: MIT */
/* Networks for pictures: how TFLite files are told from others, opened and described. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

bool network_is(const char *path)
{
	char head[8] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return false;
	n = pread(fd, head, sizeof(head), 0);
	close(fd);
	/* A flatbuffer's file identifier stands behind the offset of its root table. */
	return n == sizeof(head) && !memcmp(head + 4, "TFL3", 4);
}

bool network_named(const struct options *o)
{
	const char *path = o->model ? o->model : getenv("WEIR_MODEL");

	return path && network_is(path);
}

int network_open(struct engine *e, const struct options *o, const char *path)
{
	struct weir_net_settings settings;
	double start = now();

	memset(e, 0, sizeof(*e));
	e->options = o;
	snprintf(e->path, sizeof(e->path), "%s", path);
	if (access(path, R_OK))
		return fail("cannot read %s: %s", path, strerror(errno));
	if (!network_is(path))
		return fail("%s is no TFLite file: weir run and weir chat are for language models",
			path);
	interrupt_catch();
	if (engine_device(o, o->device, &e->device))
		return 1;
	weir_net_settings_default(&settings);
	settings.memory_budget = o->memory_budget;
	if (weir_net_load(&e->net, e->device, path, &settings) < 0)
		return fail_weir();
	e->load_seconds = now() - start;
	return 0;
}

const char *network_shape(const struct weir_net_tensor *t, char *out, size_t size)
{
	size_t at = (size_t)snprintf(out, size, "%s [", t->type);

	for (unsigned d = 0; d < t->n_dims && at < size; d++)
		at += (size_t)snprintf(out + at, size - at, "%s%d", d ? ", " : "", t->dim[d]);
	if (at < size)
		snprintf(out + at, size - at, "]");
	return out;
}

struct json_object *json_tensor(const struct weir_net_tensor *t)
{
	struct json_object *row = json_object_new_object(), *dims = json_object_new_array();

	for (unsigned d = 0; d < t->n_dims; d++)
		json_object_array_add(dims, json_object_new_int(t->dim[d]));
	json_put_text(row, "name", t->name);
	json_put_text(row, "type", t->type);
	json_put(row, "shape", dims);
	json_put_int(row, "bytes", t->bytes);
	if (t->scale > 0) {
		json_put_real(row, "scale", (double)t->scale);
		json_put(row, "zero_point", json_object_new_int(t->zero));
	}
	json_put(row, "folded", json_object_new_boolean(t->folded));
	return row;
}

void json_put_network(struct json_object *object, const struct weir_net_info *info)
{
	json_put_text(object, "description", info->description);
	json_put_int(object, "file_bytes", info->file_bytes);
	json_put_int(object, "weight_bytes", info->weight_bytes);
	json_put_int(object, "activation_bytes", info->activation_bytes);
	json_put_int(object, "unshared_bytes", info->unshared_bytes);
	json_put_int(object, "macs", info->macs);
	json_put_int(object, "operators", info->operators);
	json_put_int(object, "steps", info->steps);
	json_put_int(object, "streamed", info->streamed);
}
