/* SPDX-License-Identifier: MIT */
/* Plans on the NPU: packets and argument blocks are made once; a run copies packets into the ring.
 */
#include "device/npu.h"

struct npu_plan {
	struct weir_npu_packet *packets; /* one a launch */
	struct weir_drm_bo args;	 /* the argument blocks of all of them */
};

/* ---- binding ------------------------------------------------------------- */

static const struct weir_npu_kernel *find_kernel(const struct npu_program *p, const char *name)
{
	for (unsigned i = 0; i < p->n_kernels; i++) {
		if (strcmp(p->kernels[i].name, name) == 0)
			return &p->kernels[i];
	}
	return NULL;
}

/* What the device would refuse at every run is refused here, with the numbers. */
static int check_kernel(
	const struct npu_device *d, const struct weir_launch *l, const struct weir_npu_kernel *k)
{
	const uint32_t *required;
	size_t local = 0;
	unsigned most;

	if (!k)
		return weir_fail(EINVAL, "%s: kernels/%s has no kernel %s", d->base.info.name,
			l->program->file, l->kernel);
	required = k->required_local;
	most = k->max_local ? WEIR_MIN(k->max_local, d->identity.max_local) : d->identity.max_local;
	if (k->n_args != l->n_args)
		return weir_fail(EINVAL,
			"kernel %s of kernels/%s takes %u arguments, the launch %s gives %u",
			l->kernel, l->program->file, k->n_args, l->label, l->n_args);
	if (required[0] && (required[0] != l->local || required[1] > 1 || required[2] > 1))
		return weir_fail(EINVAL,
			"kernel %s of kernels/%s needs work-groups of %u x %u x %u, the launch %s "
			"has %u",
			l->kernel, l->program->file, required[0], required[1], required[2],
			l->label, l->local);
	if (l->local > most)
		return weir_fail(EINVAL,
			"kernel %s of kernels/%s: %s takes work-groups of %u, the launch %s has %u",
			l->kernel, l->program->file, d->base.info.name, most, l->label, l->local);
	for (unsigned i = 0; i < l->n_args; i++) {
		if (l->args[i].kind == WEIR_ARG_LOCAL &&
			!weir_size_add(local, l->args[i].size, &local))
			local = SIZE_MAX;
	}
	if (local > d->identity.local_memory)
		return weir_fail(EINVAL,
			"kernel %s of kernels/%s: the launch %s asks for %zu bytes of local "
			"memory, %s has %llu",
			l->kernel, l->program->file, l->label, local, d->base.info.name,
			(unsigned long long)d->identity.local_memory);
	return 0;
}

static struct weir_npu_arg encode_arg(const struct weir_arg *arg)
{
	struct weir_npu_arg out = {0};

	switch (arg->kind) {
	case WEIR_ARG_BUFFER:
		out.kind = WEIR_NPU_ARG_BUFFER;
		out.value = arg->buffer->mem->addr + arg->offset;
		break;
	case WEIR_ARG_INT:
		out.kind = WEIR_NPU_ARG_VALUE;
		out.size = sizeof(arg->i);
		memcpy(&out.value, &arg->i, sizeof(arg->i));
		break;
	case WEIR_ARG_FLOAT:
		out.kind = WEIR_NPU_ARG_VALUE;
		out.size = sizeof(arg->f);
		memcpy(&out.value, &arg->f, sizeof(arg->f));
		break;
	case WEIR_ARG_LOCAL:
		out.kind = WEIR_NPU_ARG_LOCAL;
		out.value = arg->size;
		break;
	}
	return out;
}

/* args_at: byte of the argument block in the plan's buffer. */
static int bind_launch(struct npu_device *d, const struct weir_launch *l, struct npu_plan *bound,
	size_t i, size_t args_at)
{
	const struct npu_program *program = l->program->built;
	const struct weir_npu_kernel *kernel = find_kernel(program, l->kernel);
	struct weir_npu_arg *args = (struct weir_npu_arg *)((char *)bound->args.map + args_at);
	struct weir_npu_launch body = {
		.program = program->id,
		.groups = {l->groups, 1, 1},
		.local = {l->local, 1, 1},
		.n_args = l->n_args,
		.args = l->n_args ? bound->args.addr + args_at : 0,
	};
	int err = check_kernel(d, l, kernel);

	if (err < 0)
		return err;
	body.kernel = (uint32_t)(kernel - program->kernels);
	for (unsigned a = 0; a < l->n_args; a++)
		args[a] = encode_arg(&l->args[a]);
	npu_packet(&bound->packets[i], WEIR_NPU_PACKET_LAUNCH, &body, sizeof(body));
	return 0;
}

int npu_plan_bind(struct weir_plan *plan)
{
	struct npu_device *d = npu_device(plan->dev);
	struct npu_plan *bound = calloc(1, sizeof(*bound));
	size_t n_args = 0, at = 0;
	int err = -ENOMEM;

	if (bound)
		bound->packets = calloc(plan->count, sizeof(*bound->packets));
	plan->bound = bound;
	if (!bound || !bound->packets) {
		weir_fail(ENOMEM, "%s: out of memory", plan->dev->info.name);
		goto error;
	}
	for (size_t i = 0; i < plan->count; i++)
		n_args += plan->launches[i].n_args;
	err = weir_drm_bo_create(plan->dev->drm, WEIR_MAX(n_args, 1) * sizeof(struct weir_npu_arg),
		WEIR_BO_CACHED, &bound->args);
	for (size_t i = 0; i < plan->count && err == 0; i++) {
		err = bind_launch(d, &plan->launches[i], bound, i, at);
		at += plan->launches[i].n_args * sizeof(struct weir_npu_arg);
	}
	if (err == 0)
		err = npu_bo_end(&bound->args, WEIR_SYNC_WRITE);
	if (err == 0)
		return 0;
error:
	npu_plan_unbind(plan);
	return err;
}

void npu_plan_unbind(struct weir_plan *plan)
{
	struct npu_plan *bound = plan->bound;

	if (!bound)
		return;
	weir_drm_bo_destroy(&bound->args);
	free(bound->packets);
	free(bound);
	plan->bound = NULL;
}

/* ---- running ------------------------------------------------------------- */

/* Packets get the places of their time stamps. */
static void stamp(struct npu_device *d, const struct weir_plan *plan, size_t at, size_t count,
	unsigned tokens)
{
	for (size_t i = 0; i < count; i++) {
		npu_slot(d, i)->stamp = d->stamps.addr + d->n_timed * sizeof(struct npu_stamp);
		d->timed[d->n_timed++] =
			(struct npu_timed){.launch = &plan->launches[at + i], .tokens = tokens};
	}
}

/* The ring ends somewhere: packets go in in two pieces at most. */
static void copy_packets(struct npu_device *d, const struct weir_npu_packet *packets, size_t count)
{
	size_t room = NPU_RING_PACKETS - d->written % NPU_RING_PACKETS;
	size_t first = WEIR_MIN(count, room);

	memcpy(npu_slot(d, 0), packets, first * sizeof(*packets));
	if (first < count)
		memcpy(d->slots, packets + first, (count - first) * sizeof(*packets));
}

static int run_part(struct npu_device *d, const struct weir_plan *plan, size_t at, size_t count,
	unsigned tokens)
{
	const struct npu_plan *bound = plan->bound;
	int err = npu_reserve(d, count);

	if (err < 0)
		return err;
	copy_packets(d, bound->packets + at, count);
	if (d->timed)
		stamp(d, plan, at, count, tokens);
	return npu_publish(d, count, (struct npu_run){.plan = plan, .at = at});
}

/* A plan goes out whole, by one store to the doorbell, as long as it fits the ring. */
int npu_plan_run(struct weir_plan *plan, size_t first, size_t n, unsigned tokens)
{
	struct npu_device *d = npu_device(plan->dev);
	int err = 0;

	for (size_t at = first, count; at < first + n && err == 0; at += count) {
		count = WEIR_MIN(first + n - at, NPU_RING_PACKETS);
		if (d->timed && d->n_timed + count > NPU_STAMPS)
			err = npu_wait(plan->dev);
		if (err == 0)
			err = run_part(d, plan, at, count, tokens);
	}
	return err;
}

static uint64_t to_ns(const struct npu_device *d, uint64_t ticks)
{
	uint64_t hz = d->identity.clock_hz;

	return ticks / hz * 1000000000u + (uint64_t)((double)(ticks % hz) * 1e9 / (double)hz);
}

int npu_timed_collect(struct npu_device *d)
{
	const struct npu_stamp *stamps = d->stamps.map;
	int err;

	if (d->n_timed == 0)
		return 0;
	err = npu_bo_begin(&d->stamps, WEIR_SYNC_READ);
	for (size_t i = 0; i < d->n_timed && err == 0; i++)
		weir_profile_add(d->base.profile, d->timed[i].launch, d->timed[i].tokens,
			to_ns(d, stamps[i].begin), to_ns(d, stamps[i].end));
	d->n_timed = 0;
	return err;
}
