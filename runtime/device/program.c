/* SPDX-License-Identifier: MIT */
/* Programs of a device: each is built once, from the disk cache where that has it. */
#include "device/backend.h"

/* How much of a build log fits an error sentence. */
#define LOG_LINES 8
#define LOG_BYTES 700

/* The first lines of the log, and their end cut off with the last newline. */
void weir_log_cut(char *log)
{
	size_t length = strnlen(log, LOG_BYTES);
	unsigned lines = 0;

	log[length] = 0;
	for (char *p = log; *p; p++) {
		if (*p == '\n' && ++lines == LOG_LINES)
			*p = 0;
		if (!*p)
			break;
	}
	length = strlen(log);
	while (length > 0 && (log[length - 1] == '\n' || log[length - 1] == ' '))
		log[--length] = 0;
}

static const char *tier_macro(enum weir_tier tier)
{
	switch (tier) {
	case WEIR_TIER_VNNI:
		return "WEIR_TIER_VNNI";
	case WEIR_TIER_PMADDUBSW:
		return "WEIR_TIER_PMADDUBSW";
	case WEIR_TIER_PORTABLE:
		break;
	}
	return "WEIR_TIER_PORTABLE";
}

/* Everything the compiler is told: malloced. */
static char *full_options(const weir_device *dev, const char *options)
{
	char *text;

	if (asprintf(&text, "%s -D%s -D%s%s%s", dev->build_options, tier_macro(dev->props.tier),
		    dev->props.schedule == WEIR_SCHEDULE_CPU ? "WEIR_CPU" : "WEIR_GPU",
		    *options ? " " : "", options) < 0)
		return NULL;
	return text;
}

static void make_key(
	const weir_device *dev, const char *source, const char *options, struct weir_cache_key *key)
{
	const char *const material[] = {
		weir_version(), dev->backend->name, dev->identity, options, source};

	weir_cache_key_make(key, material, WEIR_ARRAY_SIZE(material));
}

static int load_cached(
	weir_device *dev, const struct weir_cache_key *key, const char *options, void **built)
{
	void *data;
	size_t size;
	int err;

	if (!dev->cache)
		return -ENOENT;
	err = weir_cache_load(dev->cache, key, &data, &size);
	if (err < 0)
		return err;
	err = dev->backend->program_load(dev, data, size, options, built);
	free(data);
	return err;
}

static void store_cached(weir_device *dev, const struct weir_cache_key *key, void *built)
{
	void *data;
	size_t size;

	if (!dev->cache || dev->backend->program_binary(dev, built, &data, &size) < 0)
		return;
	weir_cache_store(dev->cache, key, data, size);
	free(data);
}

static int build(weir_device *dev, const char *file, const char *options, void **built)
{
	struct weir_cache_key key;
	char *source = NULL, *full;
	size_t size;
	int err;

	err = weir_source_expand(file, &source, &size);
	if (err < 0)
		return err;
	full = full_options(dev, options);
	if (!full) {
		err = weir_fail(ENOMEM, "kernels/%s: out of memory", file);
		goto out;
	}
	make_key(dev, source, full, &key);
	err = load_cached(dev, &key, full, built);
	if (err == 0)
		goto out;
	err = dev->backend->program_build(dev, source, size, full, file, built);
	if (err == 0)
		store_cached(dev, &key, *built);
out:
	free(full);
	free(source);
	return err;
}

static void free_program(weir_device *dev, struct weir_program *p)
{
	if (p->built)
		dev->backend->program_destroy(dev, p->built);
	free(p->file);
	free(p->options);
	free(p);
}

static int create_locked(
	weir_device *dev, const char *file, const char *options, struct weir_program **out)
{
	struct weir_program *p = calloc(1, sizeof(*p));
	int err;

	if (p) {
		p->file = strdup(file);
		p->options = strdup(options);
	}
	if (!p || !p->file || !p->options)
		err = weir_fail(ENOMEM, "kernels/%s: out of memory", file);
	else
		err = build(dev, file, options, &p->built);
	if (err < 0) {
		if (p)
			free_program(dev, p);
		return err;
	}
	p->next = dev->programs;
	dev->programs = p;
	*out = p;
	return 0;
}

static struct weir_program *find_locked(weir_device *dev, const char *file, const char *options)
{
	for (struct weir_program *p = dev->programs; p; p = p->next) {
		if (strcmp(p->file, file) == 0 && strcmp(p->options, options) == 0)
			return p;
	}
	return NULL;
}

int weir_program_get(
	weir_device *dev, const char *file, const char *options, struct weir_program **out)
{
	int err = 0;

	options = options ? options : "";
	pthread_mutex_lock(&dev->programs_lock);
	*out = find_locked(dev, file, options);
	if (!*out)
		err = create_locked(dev, file, options, out);
	pthread_mutex_unlock(&dev->programs_lock);
	return err;
}

void weir_programs_close(weir_device *dev)
{
	struct weir_program *next;

	for (struct weir_program *p = dev->programs; p; p = next) {
		next = p->next;
		free_program(dev, p);
	}
	dev->programs = NULL;
}
