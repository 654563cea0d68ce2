/* SPDX-License-Identifier: MIT */
/* Programs of the NPU: source text goes to it in a buffer, and a table of kernels comes back. */
#include "device/npu.h"

/* Kernels that a report has room for at first; what a device asks for beyond that is limited. */
#define FIRST_KERNELS 64
#define MAX_KERNELS 4096
#define LOG_ROOM 16384

/* A build: one buffer with the source, the options and the report behind each other. */
struct build {
	const char *source, *options, *name;
	size_t source_size, options_size;
	struct weir_drm_bo bo;
	size_t options_at, report_at, report_size;
};

static int make_buffer(struct npu_device *d, struct build *b, size_t kernels)
{
	size_t size;
	int err;

	b->report_size = sizeof(struct weir_npu_report) + kernels * sizeof(struct weir_npu_kernel) +
			 LOG_ROOM;
	b->options_at = weir_align_up(b->source_size, 64);
	b->report_at = b->options_at + weir_align_up(b->options_size, 64);
	if (!weir_size_add(b->report_at, b->report_size, &size))
		return weir_fail(EFBIG, "kernels/%s: too large", b->name);
	err = weir_drm_bo_create(d->base.drm, size, WEIR_BO_CACHED, &b->bo);
	if (err < 0)
		return err;
	memcpy(b->bo.map, b->source, b->source_size);
	memcpy((char *)b->bo.map + b->options_at, b->options, b->options_size);
	return npu_bo_end(&b->bo, WEIR_SYNC_WRITE);
}

/* Others may run meanwhile: the lock is held for submitting alone. */
static int load(struct npu_device *d, const struct build *b, uint32_t id)
{
	const struct weir_npu_load body = {
		.program = id,
		.format = WEIR_NPU_FORMAT_OPENCL_C,
		.code = b->bo.addr,
		.code_size = b->source_size,
		.options = b->options_size ? b->bo.addr + b->options_at : 0,
		.options_size = (uint32_t)b->options_size,
		.report_size = (uint32_t)b->report_size,
		.report = b->bo.addr + b->report_at,
	};
	struct weir_npu_packet packet;
	uint64_t seq;
	int err;

	npu_packet(&packet, WEIR_NPU_PACKET_LOAD, &body, sizeof(body));
	pthread_mutex_lock(&d->base.lock);
	err = npu_submit(d, &packet, "a program");
	seq = d->written;
	pthread_mutex_unlock(&d->base.lock);
	if (err == 0 && npu_wait_for(d, seq) < 0) {
		pthread_mutex_lock(&d->base.lock);
		err = npu_drain(d);
		pthread_mutex_unlock(&d->base.lock);
	}
	return err < 0 ? err : npu_bo_begin(&b->bo, WEIR_SYNC_READ);
}

static const char *result_text(uint32_t result)
{
	switch (result) {
	case WEIR_NPU_BUILD_ERROR:
		return "the compiler refuses it";
	case WEIR_NPU_BUILD_FORMAT:
		return "the device takes no OpenCL C";
	case WEIR_NPU_BUILD_SPACE:
		return "it has too many kernels";
	case WEIR_NPU_BUILD_RESOURCE:
		return "the device is out of memory";
	default:
		return "the device reports what is no result";
	}
}

static int fail_build(
	const struct npu_device *d, const struct build *b, const struct weir_npu_report *r)
{
	const char *text = (const char *)b->bo.map + b->report_at + sizeof(*r);
	size_t room = b->report_size - sizeof(*r), size = WEIR_MIN((size_t)r->log_size, room);
	char *log = strndup(text, size);
	int err;

	if (log)
		weir_log_cut(log);
	err = weir_fail(r->result == WEIR_NPU_BUILD_RESOURCE ? ENOMEM : EIO,
		"kernels/%s does not build for %s: %s%s%s", b->name, d->base.info.name,
		result_text(r->result), log && *log ? "\n" : "", log ? log : "");
	free(log);
	return err;
}

/* The report is the device's to write, at any time: everything of it is taken once. */
static int read_kernels(const struct npu_device *d, const struct build *b, struct npu_program *p)
{
	struct weir_npu_report r;
	const char *table = (const char *)b->bo.map + b->report_at + sizeof(r);

	memcpy(&r, (const char *)b->bo.map + b->report_at, sizeof(r));
	if (r.result != WEIR_NPU_BUILD_OK) {
		p->n_kernels = r.result == WEIR_NPU_BUILD_SPACE ? r.kernels : 0;
		return fail_build(d, b, &r);
	}
	if (r.kernels > (b->report_size - sizeof(r)) / sizeof(*p->kernels))
		return weir_fail(EIO,
			"kernels/%s: %s reports %u kernels, more than its report holds", b->name,
			d->base.info.name, r.kernels);
	p->kernels = calloc(r.kernels + 1, sizeof(*p->kernels));
	if (!p->kernels)
		return weir_fail(ENOMEM, "kernels/%s: out of memory", b->name);
	memcpy(p->kernels, table, r.kernels * sizeof(*p->kernels));
	for (uint32_t i = 0; i < r.kernels; i++)
		p->kernels[i].name[WEIR_NPU_KERNEL_NAME - 1] = 0;
	p->n_kernels = r.kernels;
	return 0;
}

static int try_build(struct npu_device *d, struct build *b, size_t kernels, struct npu_program *p)
{
	int err = make_buffer(d, b, kernels);

	if (err == 0)
		err = load(d, b, p->id);
	if (err == 0)
		err = read_kernels(d, b, p);
	weir_drm_bo_destroy(&b->bo);
	return err;
}

static int find_id(struct npu_device *d, uint32_t *id)
{
	for (uint32_t i = 0; i < d->identity.max_programs; i++) {
		if (d->programs[i])
			continue;
		*id = i;
		return 0;
	}
	return weir_fail(ENOSPC, "%s: it holds %u programs and has no room for more",
		d->base.info.name, d->identity.max_programs);
}

int npu_program_build(weir_device *dev, const char *source, size_t size, const char *options,
	const char *name, void **out)
{
	struct npu_device *d = npu_device(dev);
	struct build b = {.source = source,
		.options = options,
		.name = name,
		.source_size = size,
		.options_size = strlen(options)};
	struct npu_program *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return weir_fail(ENOMEM, "kernels/%s: out of memory", name);
	pthread_mutex_lock(&dev->lock);
	err = npu_check(d);
	pthread_mutex_unlock(&dev->lock);
	if (err == 0)
		err = find_id(d, &p->id);
	if (err == 0) {
		err = try_build(d, &b, FIRST_KERNELS, p);
		if (err < 0 && p->n_kernels > FIRST_KERNELS && p->n_kernels <= MAX_KERNELS)
			err = try_build(d, &b, p->n_kernels, p);
	}
	if (err < 0) {
		free(p);
		return err;
	}
	d->programs[p->id] = true;
	*out = p;
	return 0;
}

/* The device keeps what it compiled, under keys of its own. */
int npu_program_load(
	weir_device *dev, const void *binary, size_t size, const char *options, void **out)
{
	(void)binary;
	(void)size;
	(void)options;
	(void)out;
	return weir_fail(EOPNOTSUPP, "%s: it takes no binaries", dev->info.name);
}

int npu_program_binary(weir_device *dev, void *program, void **data, size_t *size)
{
	(void)program;
	(void)data;
	(void)size;
	return weir_fail(EOPNOTSUPP, "%s: it gives no binaries", dev->info.name);
}

void npu_program_destroy(weir_device *dev, void *program)
{
	struct npu_device *d = npu_device(dev);
	struct npu_program *p = program;
	const struct weir_npu_unload body = {.program = p->id};
	struct weir_npu_packet packet;

	npu_packet(&packet, WEIR_NPU_PACKET_UNLOAD, &body, sizeof(body));
	pthread_mutex_lock(&d->base.lock);
	/* A queue that failed takes its programs with it. */
	if (!d->failed)
		npu_submit(d, &packet, "the end of a program");
	pthread_mutex_unlock(&d->base.lock);
	d->programs[p->id] = false;
	free(p->kernels);
	free(p);
}
