/* SPDX-License-Identifier: MIT */
/* Lists, picks, opens and closes devices, and answers what an open one is. */
#include <ctype.h>

#include "device/backend.h"

static const struct weir_backend *const backends[] = {
	&weir_backend_opencl,
	&weir_backend_npu,
};

static const char *const tier_names[] = {
	[WEIR_TIER_PORTABLE] = "portable",
	[WEIR_TIER_PMADDUBSW] = "pmaddubsw",
	[WEIR_TIER_VNNI] = "vnni",
};

static const char *const plan_mode_names[] = {
	[WEIR_PLAN_AUTO] = "auto",
	[WEIR_PLAN_PLAIN] = "plain",
	[WEIR_PLAN_CHAIN] = "chain",
	[WEIR_PLAN_WHOLE] = "whole",
};

static const char *const schedule_names[] = {
	[WEIR_SCHEDULE_CPU] = "cpu",
	[WEIR_SCHEDULE_GPU] = "gpu",
};

#define VERSION_TEXT2(major, minor) #major "." #minor
#define VERSION_TEXT(major, minor) VERSION_TEXT2(major, minor)

const char *weir_version(void)
{
	return VERSION_TEXT(WEIR_VERSION_MAJOR, WEIR_VERSION_MINOR);
}

const char *weir_tier_name(enum weir_tier tier)
{
	return (size_t)tier < WEIR_ARRAY_SIZE(tier_names) ? tier_names[tier] : "unknown";
}

const char *weir_schedule_name(enum weir_schedule schedule)
{
	return (size_t)schedule < WEIR_ARRAY_SIZE(schedule_names) ? schedule_names[schedule]
								  : "unknown";
}

/* ---- the list ------------------------------------------------------------ */

int weir_device_count(void)
{
	unsigned n = 0;

	for (size_t b = 0; b < WEIR_ARRAY_SIZE(backends); b++)
		n += backends[b]->count();
	return (int)n;
}

/* The backend that device i of the whole list belongs to; *i becomes the number in its own list. */
static const struct weir_backend *find_backend(unsigned *i)
{
	for (size_t b = 0; b < WEIR_ARRAY_SIZE(backends); b++) {
		unsigned n = backends[b]->count();

		if (*i < n)
			return backends[b];
		*i -= n;
	}
	return NULL;
}

static int fail_no_device(const char *what)
{
	int n = weir_device_count();

	if (n == 0)
		return weir_fail(ENODEV,
			"%s: there is no OpenCL device (is a driver such as "
			"pocl-opencl-icd installed?), and no NPU of the kernel module weir",
			what);
	return weir_fail(ENODEV, "%s: no such device, there %s %d (weir info lists them)", what,
		n == 1 ? "is" : "are", n);
}

int weir_device_describe(unsigned i, struct weir_device_info *out)
{
	const struct weir_backend *backend;
	unsigned local = i;
	char what[32];

	backend = find_backend(&local);
	if (backend)
		return backend->describe(local, out);
	snprintf(what, sizeof(what), "device %u", i);
	return fail_no_device(what);
}

/* ---- picking ------------------------------------------------------------- */

static bool is_index(const char *s)
{
	for (const char *p = s; *p; p++) {
		if (!isdigit((unsigned char)*p))
			return false;
	}
	return *s != 0;
}

static bool matches_kind(const char *wanted, const struct weir_device_info *info)
{
	return strcasecmp(info->kind, wanted) == 0;
}

static bool matches_name(const char *wanted, const struct weir_device_info *info)
{
	return strcasestr(info->name, wanted) || strcasestr(info->platform, wanted);
}

/* The first from *out on. */
static bool find(bool (*matches)(const char *wanted, const struct weir_device_info *info),
	const char *wanted, unsigned count, unsigned *out)
{
	struct weir_device_info info;

	for (unsigned i = *out; i < count; i++) {
		if (weir_device_describe(i, &info) == 0 && matches(wanted, &info)) {
			*out = i;
			return true;
		}
	}
	return false;
}

/*
 * A number, a kind, part of a name; NULL or "": the first GPU, else the first device. The first
 * that fits from *out on.
 */
static int pick(const char *wanted, unsigned *out)
{
	unsigned count = (unsigned)weir_device_count();
	unsigned long index;
	char what[160];

	snprintf(what, sizeof(what), "device %s", wanted && *wanted ? wanted : "0");
	if (count == 0)
		return fail_no_device(what);
	if (wanted && is_index(wanted)) {
		index = strtoul(wanted, NULL, 10);
		if (index >= count || index < *out)
			return fail_no_device(what);
		*out = (unsigned)index;
		return 0;
	}
	if (!wanted || !*wanted) {
		if (!find(matches_kind, "GPU", count, out) && *out == count)
			return fail_no_device(what);
		return 0;
	}
	if (find(matches_kind, wanted, count, out) || find(matches_name, wanted, count, out))
		return 0;
	return fail_no_device(what);
}

/* ---- opening ------------------------------------------------------------- */

void weir_device_settings_default(struct weir_device_settings *settings)
{
	*settings = (struct weir_device_settings){.size = sizeof(*settings)};
}

/* Callers built with an older, shorter struct get defaults for what they do not know. */
static int read_settings(const struct weir_device_settings *given, struct weir_device_settings *s)
{
	weir_device_settings_default(s);
	if (!given)
		return 0;
	if (given->size < offsetof(struct weir_device_settings, device) + sizeof(given->device) ||
		given->size > 4096)
		return weir_fail(EINVAL,
			"device settings: size %zu is not that of a settings struct "
			"(was it filled by weir_device_settings_default?)",
			given->size);
	memcpy(s, given, WEIR_MIN(given->size, sizeof(*s)));
	s->size = sizeof(*s);
	if ((unsigned)s->provider > WEIR_PROVIDER_SHADOW)
		return weir_fail(
			EINVAL, "device settings: provider %d is not one", (int)s->provider);
	return 0;
}

static int find_name(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0)
			return (int)i;
	}
	return -1;
}

static int set_tier(weir_device *dev, const char *wanted)
{
	int tier;

	dev->props.tier = dev->tier_best;
	if (!wanted)
		return 0;
	tier = find_name(tier_names, WEIR_ARRAY_SIZE(tier_names), wanted);
	if (tier < 0)
		return weir_fail(EINVAL,
			"tier %s: there is no such tier (vnni, pmaddubsw, portable)", wanted);
	if ((unsigned)tier > (unsigned)dev->tier_best)
		return weir_fail(EINVAL, "tier %s: %s cannot run it, its fastest is %s", wanted,
			dev->info.name, weir_tier_name(dev->tier_best));
	dev->props.tier = (enum weir_tier)tier;
	return 0;
}

static int set_schedule(weir_device *dev, const char *wanted)
{
	int schedule;

	dev->props.schedule = dev->schedule_best;
	if (!wanted)
		return 0;
	schedule = find_name(schedule_names, WEIR_ARRAY_SIZE(schedule_names), wanted);
	if (schedule < 0)
		return weir_fail(
			EINVAL, "schedule %s: there is no such schedule (cpu, gpu)", wanted);
	dev->props.schedule = (enum weir_schedule)schedule;
	return 0;
}

static int set_plan_mode(weir_device *dev, const char *wanted)
{
	int mode = wanted ? find_name(plan_mode_names, WEIR_ARRAY_SIZE(plan_mode_names), wanted) : WEIR_PLAN_AUTO;

	if (mode < 0)
		return weir_fail(EINVAL, "plan %s: there is no such way (auto, plain, chain, whole)", wanted);
	dev->plan_mode = (enum weir_plan_mode)mode;
	return 0;
}

/* A missing folder is no error: programs are then built at every start. */
static int set_cache(weir_device *dev, const char *wanted)
{
	char path[4096];

	if (wanted && !*wanted)
		return 0;
	if (!wanted) {
		if (weir_path_cache(path, sizeof(path)) < 0)
			return 0;
		wanted = path;
	}
	dev->cache = strdup(wanted);
	return dev->cache ? 0 : weir_fail(ENOMEM, "device %s: out of memory", dev->info.name);
}

static int set_up(weir_device *dev, const struct weir_device_settings *s)
{
	int err;

	err = set_tier(dev, s->tier);
	if (err < 0)
		return err;
	err = set_schedule(dev, s->schedule);
	if (err < 0)
		return err;
	err = set_plan_mode(dev, s->plan);
	if (err < 0)
		return err;
	err = set_cache(dev, s->cache);
	if (err < 0)
		return err;
	if (s->profile) {
		err = weir_profile_create(WEIR_PROFILE_EVENTS, &dev->profile);
		dev->props.profiled = !err;
		if (err < 0)
			return err;
	}
	snprintf(dev->props.name, sizeof(dev->props.name), "%s", dev->info.name);
	return weir_providers_open(dev, s->provider);
}

static int open_at(unsigned i, const struct weir_device_settings *s, weir_device **out)
{
	const struct weir_backend *backend = find_backend(&i);
	weir_device *dev = NULL;
	int err;

	if (!backend)
		return weir_fail(ENODEV, "device %u went away while it was opened", i);
	err = backend->open(i, s, &dev);
	if (err < 0)
		return err;
	pthread_mutex_init(&dev->lock, NULL);
	pthread_mutex_init(&dev->programs_lock, NULL);
	err = set_up(dev, s);
	if (err < 0) {
		weir_device_close(dev);
		return err;
	}
	*out = dev;
	return 0;
}

/* A device that is listed and turns out to be gone is passed over for another that fits. */
int weir_device_open(weir_device **out, const struct weir_device_settings *settings)
{
	struct weir_device_settings s;
	char gone[512];
	unsigned i = 0;
	int err;

	*out = NULL;
	err = read_settings(settings, &s);
	if (err == 0)
		err = pick(s.device, &i);
	if (err < 0)
		return err;
	for (;;) {
		err = open_at(i, &s, out);
		if (err != -ENODEV)
			return err;
		snprintf(gone, sizeof(gone), "%s", weir_error());
		i++;
		if (pick(s.device, &i) < 0)
			return weir_fail(ENODEV, "%s", gone);
	}
}

void weir_device_close(weir_device *dev)
{
	struct weir_drm *drm;

	if (!dev)
		return;
	pthread_mutex_lock(&dev->lock);
	dev->backend->wait(dev);
	pthread_mutex_unlock(&dev->lock);
	weir_programs_close(dev);
	weir_profile_destroy(dev->profile);
	free(dev->cache);
	pthread_mutex_destroy(&dev->programs_lock);
	pthread_mutex_destroy(&dev->lock);
	drm = dev->drm;
	dev->backend->close(dev);
	weir_drm_close(drm);
}

/* ---- answers ------------------------------------------------------------- */

const struct weir_device_props *weir_device_props(const weir_device *dev)
{
	return &dev->props;
}

const char *weir_device_tier(const weir_device *dev)
{
	return weir_tier_name(dev->props.tier);
}

const char *weir_device_schedule(const weir_device *dev)
{
	return weir_schedule_name(dev->props.schedule);
}

unsigned weir_device_threads(const weir_device *dev)
{
	return dev->threads;
}

const char *weir_device_name(const weir_device *dev)
{
	return dev->info.name;
}

int weir_device_wait(weir_device *dev)
{
	int err;

	pthread_mutex_lock(&dev->lock);
	err = dev->backend->wait(dev);
	weir_plan_finished(dev);
	pthread_mutex_unlock(&dev->lock);
	return err;
}
