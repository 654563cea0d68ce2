/* SPDX-License-Identifier: MIT */
/* Plans: checks launches before the backend binds them, and hands runs to it. */
#include "device/backend.h"
#include "device/fuse.h"

/* Launches that a plan has at least for its kernels to be fused: a program of its own must be worth building. */
#define FUSE_LEAST 64

static int check_arg(const weir_device *dev, const struct weir_launch *l, unsigned i)
{
	const struct weir_arg *arg = &l->args[i];
	int err;

	switch (arg->kind) {
	case WEIR_ARG_BUFFER:
		if (!arg->buffer || arg->buffer->dev != dev)
			return weir_fail(EINVAL, "launch %s: argument %u is no buffer of %s",
				l->label, i, dev->info.name);
		err = weir_buffer_check(arg->buffer, arg->offset, arg->size);
		if (err < 0)
			return weir_fail_in(err, "launch %s: argument %u", l->label, i);
		if (arg->offset % dev->props.align != 0)
			return weir_fail(EINVAL,
				"launch %s: argument %u: offset %zu of buffer %s is not a "
				"multiple of %zu",
				l->label, i, arg->offset, arg->buffer->name, dev->props.align);
		return 0;
	case WEIR_ARG_LOCAL:
		if (arg->size == 0)
			return weir_fail(
				EINVAL, "launch %s: argument %u: no local memory", l->label, i);
		return 0;
	case WEIR_ARG_INT:
	case WEIR_ARG_FLOAT:
		return 0;
	}
	return weir_fail(EINVAL, "launch %s: argument %u is of no known kind", l->label, i);
}

static int check_launch(const weir_device *dev, const struct weir_launch *l)
{
	int err;

	if (!l->program || !l->kernel || !l->label)
		return weir_fail(EINVAL, "a launch has no program, kernel or label");
	if (l->groups == 0 || l->local == 0)
		return weir_fail(EINVAL, "launch %s: %u work-groups of %u work-items", l->label,
			l->groups, l->local);
	if (l->n_args > WEIR_LAUNCH_ARGS)
		return weir_fail(EINVAL, "launch %s: %u arguments are more than %d", l->label,
			l->n_args, WEIR_LAUNCH_ARGS);
	for (unsigned i = 0; i < l->n_args; i++) {
		err = check_arg(dev, l, i);
		if (err < 0)
			return err;
	}
	return 0;
}

static int build_programs(weir_device *dev, const struct weir_launch *launches, size_t count)
{
	int err = 0;

	for (size_t i = 0; i < count && err == 0; i++)
		err = weir_program_build(dev, launches[i].program);
	return err;
}

/* A plan of these launches as they are. */
static int make_plan(weir_device *dev, const struct weir_launch *launches, size_t count, struct weir_plan **out)
{
	struct weir_plan *plan = calloc(1, sizeof(*plan));
	int err;

	if (!plan)
		return weir_fail(ENOMEM, "%s: out of memory", dev->info.name);
	plan->dev = dev;
	plan->count = count;
	plan->launches = calloc(count, sizeof(*plan->launches));
	if (!plan->launches) {
		err = weir_fail(ENOMEM, "%s: out of memory", dev->info.name);
		goto error;
	}
	memcpy(plan->launches, launches, count * sizeof(*launches));
	err = build_programs(dev, plan->launches, count);
	if (err == 0)
		err = dev->backend->plan_bind(plan);
	if (err < 0)
		goto error;
	*out = plan;
	return 0;

error:
	free(plan->launches);
	free(plan);
	return err;
}

/* Work-groups that wait for each other want a device that runs each one to its end on a thread. */
static bool fuse_wanted(const weir_device *dev, size_t count)
{
	if (strcmp(dev->info.kind, "CPU") != 0 || dev->props.schedule != WEIR_SCHEDULE_CPU ||
		dev->plan_mode == WEIR_PLAN_PLAIN)
		return false;
	return dev->plan_mode != WEIR_PLAN_AUTO || count >= FUSE_LEAST;
}

static int make_fused(weir_device *dev, struct weir_launch *launches, size_t count, struct weir_plan **out)
{
	struct weir_buffer *table;
	struct weir_launch whole;
	int err = weir_fuse(dev, launches, count, &whole, &table);

	if (err < 0)
		return err;
	err = make_plan(dev, launches, count, out);
	if (err < 0) {
		weir_buffer_destroy(table);
		return err;
	}
	(*out)->table = table;
	err = make_plan(dev, &whole, 1, &(*out)->whole);
	if (err < 0) {
		weir_plan_destroy(*out);
		*out = NULL;
	}
	return err;
}

int weir_plan_create(
	weir_device *dev, const struct weir_launch *launches, size_t count, struct weir_plan **out)
{
	struct weir_launch *copy;
	int err = 0;

	*out = NULL;
	if (count == 0)
		return weir_fail(EINVAL, "%s: a plan without launches", dev->info.name);
	for (size_t i = 0; i < count && err == 0; i++)
		err = check_launch(dev, &launches[i]);
	if (err < 0)
		return err;
	if (!fuse_wanted(dev, count))
		return make_plan(dev, launches, count, out);
	copy = calloc(count, sizeof(*copy));
	if (!copy)
		return weir_fail(ENOMEM, "%s: out of memory", dev->info.name);
	memcpy(copy, launches, count * sizeof(*copy));
	err = make_fused(dev, copy, count, out);
	free(copy);
	/* A driver that cannot take all kernels in one may still take them apart. */
	return err == -EOPNOTSUPP || (err < 0 && dev->plan_mode == WEIR_PLAN_AUTO)
		       ? make_plan(dev, launches, count, out)
		       : err;
}

/* Work of the plan may still run, and a profile still looks at its launches: both end first. */
void weir_plan_destroy(struct weir_plan *plan)
{
	if (!plan)
		return;
	pthread_mutex_lock(&plan->dev->lock);
	plan->dev->backend->wait(plan->dev);
	if (plan->dev->timing.plan == plan)
		plan->dev->timing.plan = NULL;
	pthread_mutex_unlock(&plan->dev->lock);
	weir_plan_destroy(plan->whole);
	plan->dev->backend->plan_unbind(plan);
	weir_buffer_destroy(plan->table);
	free(plan->launches);
	free(plan);
}

size_t weir_plan_count(const struct weir_plan *plan)
{
	return plan->count;
}

/* ---- running ------------------------------------------------------------- */

/* A profile wants each launch; steps of many tokens have launches that are long enough. */
static bool run_whole(const struct weir_plan *plan, unsigned tokens)
{
	const weir_device *dev = plan->dev;

	if (!plan->whole || dev->profile || dev->plan_mode == WEIR_PLAN_CHAIN)
		return false;
	if (dev->plan_mode == WEIR_PLAN_WHOLE)
		return true;
	return tokens == 1 && weir_pace_whole(&plan->pace);
}

static void time_begin(struct weir_plan *plan, bool whole, unsigned tokens)
{
	struct weir_plan_timing *t = &plan->dev->timing;

	t->plan = plan->whole && tokens == 1 && !t->runs ? plan : NULL;
	t->whole = whole;
	t->start = t->plan ? weir_now() : 0;
	t->runs++;
}

void weir_plan_finished(weir_device *dev)
{
	struct weir_plan_timing *t = &dev->timing;
	struct weir_plan *plan = t->plan;

	/* The first run of each way touches memory and builds what drivers build late. */
	if (plan)
		weir_pace_count(&plan->pace, t->whole, plan->pace.runs < 2 ? 0 : weir_now() - t->start);
	t->plan = NULL;
	t->runs = 0;
}

int weir_plan_run_some(struct weir_plan *plan, size_t first, size_t count, unsigned tokens)
{
	weir_device *dev = plan->dev;
	bool all = first == 0 && count == plan->count, whole;
	int err;

	if (first > plan->count || count > plan->count - first)
		return weir_fail(EINVAL, "%s: launches %zu to %zu of a plan of %zu", dev->info.name, first,
			first + count, plan->count);
	pthread_mutex_lock(&dev->lock);
	whole = all && run_whole(plan, tokens);
	time_begin(plan, whole, all ? tokens : 0);
	if (whole)
		err = dev->backend->plan_run(plan->whole, 0, 1, tokens);
	else
		err = dev->backend->plan_run(plan, first, count, tokens);
	pthread_mutex_unlock(&dev->lock);
	return err;
}

int weir_plan_run(struct weir_plan *plan, unsigned tokens)
{
	return weir_plan_run_some(plan, 0, plan->count, tokens);
}
