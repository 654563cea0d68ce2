/* SPDX-License-Identifier: MIT */
/* Opens TFLite files and maps them. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/tflite_parse.h"

static int create(const char *name, struct weir_tflite_file **out)
{
	struct weir_tflite_file *f = calloc(1, sizeof(*f));

	*out = f;
	if (!f)
		return weir_fail(ENOMEM, "%s: no memory", name);
	snprintf(f->pub.path, sizeof(f->pub.path), "%s", name);
	return 0;
}

/* Ends an open: f is the caller's, or it is closed again and the sentence begins with its name. */
static int finish(struct weir_tflite_file *f, const char *name, int err, struct weir_tflite **out)
{
	if (!err) {
		*out = &f->pub;
		return 0;
	}
	weir_tflite_close(&f->pub);
	return weir_fail_in(err, "%s", name);
}

int weir_tflite_open(const char *path, struct weir_tflite **out)
{
	struct weir_tflite_file *f;
	size_t size = 0;
	int err;

	*out = NULL;
	err = create(path, &f);
	if (err)
		return err;
	err = weir_file_map(path, &f->mapped, &size);
	f->pub.bytes = size; /* what close takes away */
	if (!err)
		err = weir_tflite_read(f, f->mapped, size);
	return finish(f, path, err, out);
}

int weir_tflite_parse(const void *data, size_t size, const char *name, struct weir_tflite **out)
{
	struct weir_tflite_file *f;
	int err;

	*out = NULL;
	err = create(name, &f);
	return err ? err : finish(f, name, weir_tflite_read(f, data, size), out);
}

void weir_tflite_close(struct weir_tflite *pub)
{
	struct weir_tflite_file *f = (struct weir_tflite_file *)pub;

	if (!f)
		return;
	for (unsigned i = 0; i < pub->n_ops; i++)
		free((void *)f->ops[i].inputs);
	free(f->ops);
	free(f->tensors);
	free(f->ends);
	if (f->mapped)
		munmap((void *)f->mapped, pub->bytes);
	free(f);
}

bool weir_tflite_is(const char *path)
{
	/* Not blocking: the path may be a pipe that nobody writes to. */
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char begin[8];
	bool is;

	if (fd < 0)
		return false;
	is = pread(fd, begin, sizeof(begin), 0) == sizeof(begin) && !memcmp(begin + 4, "TFL3", 4);
	close(fd);
	return is;
}
