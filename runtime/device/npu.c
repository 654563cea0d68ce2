/* SPDX-License-Identifier: MIT */
/* NPUs behind the kernel module weir: listing and opening them. */
#include "device/npu.h"

/* ---- the list ------------------------------------------------------------ */

struct list {
	unsigned count;
	struct weir_drm_node nodes[WEIR_DRM_NODES];
};

/* Nodes with queues that this process may open; of the others weir_node_describe tells. */
static void list_npus(struct list *list)
{
	unsigned count = weir_drm_scan(list->nodes);

	list->count = 0;
	for (unsigned i = 0; i < count; i++) {
		if (list->nodes[i].err == 0 && (list->nodes[i].info.caps & WEIR_CAP_QUEUES))
			list->nodes[list->count++] = list->nodes[i];
	}
}

static unsigned npu_count(void)
{
	struct list list;

	list_npus(&list);
	return list.count;
}

static bool power_of_two(uint64_t x)
{
	return x && !(x & (x - 1));
}

/* What the device says of itself is not believed blindly. */
static int read_identity(struct weir_drm *drm, struct weir_npu_identity *id)
{
	int err = weir_drm_query(drm, WEIR_QUERY_NPU, id, sizeof(*id));

	if (err < 0)
		return weir_drm_fail(drm, err, "cannot ask the NPU what it is");
	id->name[sizeof(id->name) - 1] = 0;
	id->version[sizeof(id->version) - 1] = 0;
	if (!(id->formats & (1u << WEIR_NPU_FORMAT_OPENCL_C)))
		return weir_fail(
			EOPNOTSUPP, "%s: the NPU %s takes no OpenCL C", drm->path, id->name);
	if (!power_of_two(id->align) || !power_of_two(drm->info.doorbell_stride) ||
		id->clock_hz == 0 || id->max_programs == 0 || id->max_local == 0 ||
		id->kind > WEIR_NPU_KIND_GPU)
		return weir_fail(
			EPROTO, "%s: the NPU %s describes itself wrongly", drm->path, id->name);
	return 0;
}

static void describe(const struct weir_drm *drm, const struct weir_npu_identity *id,
	struct weir_device_info *out)
{
	memset(out, 0, sizeof(*out));
	snprintf(out->name, sizeof(out->name), "%s", id->name);
	snprintf(out->platform, sizeof(out->platform), "weir.ko, %s", drm->path);
	snprintf(out->driver, sizeof(out->driver), "%.63s", id->version);
	snprintf(out->kind, sizeof(out->kind), "NPU");
	out->compute_units = id->compute_units;
	out->memory = drm->info.user_quota_max;
	out->max_buffer = WEIR_MIN(drm->info.quota_max, drm->info.user_quota_max);
}

static int npu_describe(unsigned i, struct weir_device_info *out)
{
	struct weir_npu_identity id;
	struct weir_drm *drm;
	struct list list;
	int err;

	list_npus(&list);
	if (i >= list.count)
		return weir_fail(ENODEV, "NPU %u went away", i);
	err = weir_drm_open(&list.nodes[i], &drm);
	if (err < 0)
		return err;
	err = read_identity(drm, &id);
	if (err == 0)
		describe(drm, &id, out);
	weir_drm_close(drm);
	return err;
}

/* ---- opening ------------------------------------------------------------- */

static enum weir_tier best_tier(uint32_t features)
{
	if (features & WEIR_NPU_FEATURE_VNNI)
		return WEIR_TIER_VNNI;
	return features & WEIR_NPU_FEATURE_PMADDUBSW ? WEIR_TIER_PMADDUBSW : WEIR_TIER_PORTABLE;
}

static void identify(struct npu_device *d)
{
	const struct weir_npu_identity *id = &d->identity;
	struct weir_device_props *props = &d->base.props;

	describe(d->base.drm, id, &d->base.info);
	d->base.threads = WEIR_MAX(id->compute_units, 1u);
	d->base.tier_best = best_tier(id->features);
	d->base.schedule_best =
		id->kind == WEIR_NPU_KIND_CPU ? WEIR_SCHEDULE_CPU : WEIR_SCHEDULE_GPU;
	d->base.coherent = weir_drm_coherent(d->base.drm);
	d->base.unified_memory = true;
	snprintf(d->base.identity, sizeof(d->base.identity), "%s|%s", id->name, id->version);
	snprintf(d->base.build_options, sizeof(d->base.build_options), "-cl-std=CL1.2");
	props->compute_units = d->base.threads;
	props->align = WEIR_MAX((size_t)id->align, (size_t)64);
	props->max_buffer = d->base.info.max_buffer > SIZE_MAX ? SIZE_MAX : d->base.info.max_buffer;
}

static void npu_close(weir_device *dev)
{
	struct npu_device *d = npu_device(dev);

	npu_queue_close(d);
	weir_drm_bo_destroy(&d->stamps);
	free(d->timed);
	free(d->programs);
	free(d);
}

static int open_profile(struct npu_device *d)
{
	d->timed = calloc(NPU_STAMPS, sizeof(*d->timed));
	if (!d->timed)
		return weir_fail(ENOMEM, "%s: out of memory for the profile", d->base.info.name);
	return weir_drm_bo_create(
		d->base.drm, NPU_STAMPS * sizeof(struct npu_stamp), WEIR_BO_CACHED, &d->stamps);
}

static int set_up(struct npu_device *d, const struct weir_device_settings *settings)
{
	int err = read_identity(d->base.drm, &d->identity);

	if (err < 0)
		return err;
	identify(d);
	d->programs = calloc(d->identity.max_programs, sizeof(*d->programs));
	if (!d->programs)
		return weir_fail(ENOMEM, "%s: out of memory", d->base.info.name);
	err = npu_queue_open(d);
	if (err == 0 && settings->profile)
		err = open_profile(d);
	return err;
}

static int npu_open(unsigned i, const struct weir_device_settings *settings, weir_device **out)
{
	struct npu_device *d;
	struct weir_drm *drm;
	struct list list;
	int err;

	list_npus(&list);
	if (i >= list.count)
		return weir_fail(ENODEV, "NPU %u went away", i);
	d = calloc(1, sizeof(*d));
	if (!d)
		return weir_fail(ENOMEM, "NPU %u: out of memory", i);
	err = weir_drm_open(&list.nodes[i], &drm);
	if (err < 0) {
		free(d);
		return err;
	}
	d->base.backend = &weir_backend_npu;
	d->base.drm = drm;
	err = set_up(d, settings);
	if (err < 0) {
		npu_close(&d->base);
		weir_drm_close(drm);
		return err;
	}
	*out = &d->base;
	return 0;
}

/* ---- waiting ------------------------------------------------------------- */

int npu_wait(weir_device *dev)
{
	struct npu_device *d = npu_device(dev);
	int err = npu_drain(d);

	return err < 0 ? err : npu_timed_collect(d);
}

const struct weir_backend weir_backend_npu = {
	.name = "NPU",
	.count = npu_count,
	.describe = npu_describe,
	.open = npu_open,
	.close = npu_close,
	.wait = npu_wait,
	.mem_create = npu_mem_create,
	.mem_destroy = npu_mem_destroy,
	.mem_read = npu_mem_read,
	.mem_write = npu_mem_write,
	.mem_copy = npu_mem_copy,
	.cpu_begin = npu_cpu_begin,
	.cpu_end = npu_cpu_end,
	.program_build = npu_program_build,
	.program_load = npu_program_load,
	.program_binary = npu_program_binary,
	.program_destroy = npu_program_destroy,
	.plan_bind = npu_plan_bind,
	.plan_run = npu_plan_run,
	.plan_unbind = npu_plan_unbind,
};
