/* SPDX-License-Identifier: MIT */
/* Programs of a device: each is built once, when it is needed, from the disk cache where that has it. */
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

/*
 * At the end and not before the first run, which it would hold up: a driver may compile kernels for
 * the binary alone that do not run, and those that did are ready by now.
 */
static void store_cached(weir_device *dev, const struct weir_program *p)
{
	void *data;
	size_t size;

	if (!p->fresh || !dev->cache ||
		dev->backend->program_binary(dev, p->built, &data, &size) < 0)
		return;
	weir_cache_store(dev->cache, &p->key, data, size);
	free(data);
}

static int build_source(weir_device *dev, struct weir_program *p, const char *source, size_t size)
{
	char *full = full_options(dev, p->options);
	int err;

	if (!full)
		return weir_fail(ENOMEM, "kernels/%s: out of memory", p->file);
	make_key(dev, source, full, &p->key);
	err = load_cached(dev, &p->key, full, &p->built);
	if (err) {
		err = dev->backend->program_build(dev, source, size, full, p->file, &p->built);
		p->fresh = err == 0;
	}
	free(full);
	return err;
}

static int build_locked(weir_device *dev, struct weir_program *p)
{
	char *source = NULL;
	size_t size;
	int err;

	if (p->built)
		return 0;
	if (p->text)
		return build_source(dev, p, p->text, strlen(p->text));
	err = weir_source_expand(p->file, &source, &size);
	if (err == 0)
		err = build_source(dev, p, source, size);
	free(source);
	return err;
}

static void free_program(weir_device *dev, struct weir_program *p)
{
	if (p->built)
		dev->backend->program_destroy(dev, p->built);
	free(p->file);
	free(p->options);
	free(p->text);
	free(p);
}

static int create_locked(weir_device *dev, const char *file, const char *options, struct weir_program **out)
{
	struct weir_program *p = calloc(1, sizeof(*p));

	if (p) {
		p->file = strdup(file);
		p->options = strdup(options);
	}
	if (!p || !p->file || !p->options) {
		if (p)
			free_program(dev, p);
		return weir_fail(ENOMEM, "kernels/%s: out of memory", file);
	}
	p->next = dev->programs;
	dev->programs = p;
	*out = p;
	return 0;
}

/* text: of a fused one, or NULL. */
static struct weir_program *find_locked(
	weir_device *dev, const char *file, const char *options, const char *text)
{
	for (struct weir_program *p = dev->programs; p; p = p->next) {
		if (strcmp(p->file, file) == 0 && strcmp(p->options, options) == 0 && !p->text == !text &&
			(!text || strcmp(p->text, text) == 0))
			return p;
	}
	return NULL;
}

int weir_program_find(weir_device *dev, const char *file, const char *options, struct weir_program **out)
{
	int err = 0;

	options = options ? options : "";
	pthread_mutex_lock(&dev->programs_lock);
	*out = find_locked(dev, file, options, NULL);
	if (!*out)
		err = create_locked(dev, file, options, out);
	pthread_mutex_unlock(&dev->programs_lock);
	return err;
}

int weir_program_of_text(weir_device *dev, const char *name, char *text, struct weir_program **out)
{
	int err = 0;

	pthread_mutex_lock(&dev->programs_lock);
	*out = find_locked(dev, name, "", text);
	if (*out) {
		free(text);
	} else {
		err = create_locked(dev, name, "", out);
		if (err == 0)
			(*out)->text = text;
		else
			free(text);
	}
	pthread_mutex_unlock(&dev->programs_lock);
	return err;
}

int weir_program_build(weir_device *dev, struct weir_program *p)
{
	int err;

	pthread_mutex_lock(&dev->programs_lock);
	err = build_locked(dev, p);
	pthread_mutex_unlock(&dev->programs_lock);
	return err;
}

int weir_program_get(
	weir_device *dev, const char *file, const char *options, struct weir_program **out)
{
	int err = weir_program_find(dev, file, options, out);

	if (err == 0)
		err = weir_program_build(dev, *out);
	if (err < 0)
		*out = NULL;
	return err;
}

void weir_programs_close(weir_device *dev)
{
	struct weir_program *next;

	for (struct weir_program *p = dev->programs; p; p = next) {
		next = p->next;
		store_cached(dev, p);
		free_program(dev, p);
	}
	dev->programs = NULL;
}
