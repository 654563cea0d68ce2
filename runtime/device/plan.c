/* SPDX-License-Identifier: MIT */
/* Plans: checks launches before the backend binds them, and hands runs to it. */
#include "device/backend.h"

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

int weir_plan_create(
	weir_device *dev, const struct weir_launch *launches, size_t count, struct weir_plan **out)
{
	struct weir_plan *plan;
	int err = 0;

	*out = NULL;
	if (count == 0)
		return weir_fail(EINVAL, "%s: a plan without launches", dev->info.name);
	for (size_t i = 0; i < count && err == 0; i++)
		err = check_launch(dev, &launches[i]);
	if (err < 0)
		return err;
	plan = calloc(1, sizeof(*plan));
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

/* Work of the plan may still run, and a profile still looks at its launches: both end first. */
void weir_plan_destroy(struct weir_plan *plan)
{
	if (!plan)
		return;
	pthread_mutex_lock(&plan->dev->lock);
	plan->dev->backend->wait(plan->dev);
	pthread_mutex_unlock(&plan->dev->lock);
	plan->dev->backend->plan_unbind(plan);
	free(plan->launches);
	free(plan);
}

size_t weir_plan_count(const struct weir_plan *plan)
{
	return plan->count;
}

int weir_plan_run(struct weir_plan *plan, unsigned tokens)
{
	int err;

	pthread_mutex_lock(&plan->dev->lock);
	err = plan->dev->backend->plan_run(plan, tokens);
	pthread_mutex_unlock(&plan->dev->lock);
	return err;
}
