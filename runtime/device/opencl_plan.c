/* SPDX-License-Identifier: MIT */
/*
 * Plans on OpenCL: a kernel object for each launch with its arguments set once; a run only
 * enqueues.
 */
#include "device/opencl.h"

/*
 * Profiled launches that may wait for their times to be read: past this many a run waits for the
 * queue, so that events do not pile up when nobody waits.
 */
#define MAX_TIMED 65536

struct opencl_launch {
	cl_kernel kernel;
	size_t global, local;
};

/* ---- binding ------------------------------------------------------------- */

static int fail_launch(
	const struct opencl_device *d, const struct weir_launch *l, cl_int e, const char *what)
{
	return weir_fail(opencl_errno(e), "%s: kernel %s of kernels/%s: %s: %s", d->base.info.name,
		l->kernel, l->program->file, what, opencl_error(e));
}

static int set_arg(
	struct opencl_device *d, const struct weir_launch *l, cl_kernel kernel, cl_uint i)
{
	const struct weir_arg *arg = &l->args[i];
	char what[48];
	cl_mem part;
	cl_int e;
	int err;

	switch (arg->kind) {
	case WEIR_ARG_BUFFER:
		err = opencl_mem_part(d, arg->buffer->mem, arg->offset, arg->size, &part);
		if (err < 0)
			return err;
		e = clSetKernelArg(kernel, i, sizeof(part), &part);
		break;
	case WEIR_ARG_INT:
		e = clSetKernelArg(kernel, i, sizeof(arg->i), &arg->i);
		break;
	case WEIR_ARG_FLOAT:
		e = clSetKernelArg(kernel, i, sizeof(arg->f), &arg->f);
		break;
	default:
		e = clSetKernelArg(kernel, i, arg->size, NULL);
		break;
	}
	if (e == CL_SUCCESS)
		return 0;
	snprintf(what, sizeof(what), "argument %u", (unsigned)i);
	return fail_launch(d, l, e, what);
}

/* What the driver would refuse at every run is refused here, with the numbers. */
static int check_kernel(struct opencl_device *d, const struct weir_launch *l, cl_kernel kernel)
{
	size_t required[3] = {0, 0, 0}, most = 0;
	cl_uint n_args = 0;
	cl_int e;

	e = clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof(n_args), &n_args, NULL);
	if (e != CL_SUCCESS)
		return fail_launch(d, l, e, "cannot be asked for its arguments");
	if (n_args != l->n_args)
		return weir_fail(EINVAL,
			"kernel %s of kernels/%s takes %u arguments, the launch %s gives %u",
			l->kernel, l->program->file, (unsigned)n_args, l->label, l->n_args);
	clGetKernelWorkGroupInfo(kernel, d->device, CL_KERNEL_COMPILE_WORK_GROUP_SIZE,
		sizeof(required), required, NULL);
	if (required[0] && required[0] * required[1] * required[2] != l->local)
		return weir_fail(EINVAL,
			"kernel %s of kernels/%s needs work-groups of %zu, the launch %s has %u",
			l->kernel, l->program->file, required[0], l->label, l->local);
	e = clGetKernelWorkGroupInfo(
		kernel, d->device, CL_KERNEL_WORK_GROUP_SIZE, sizeof(most), &most, NULL);
	if (e == CL_SUCCESS && most > 0 && l->local > most)
		return weir_fail(EINVAL,
			"kernel %s of kernels/%s: %s takes work-groups of %zu, the launch %s "
			"has %u",
			l->kernel, l->program->file, d->base.info.name, most, l->label, l->local);
	return 0;
}

static int bind_launch(
	struct opencl_device *d, const struct weir_launch *l, struct opencl_launch *out)
{
	cl_int e = CL_SUCCESS;
	int err;

	out->kernel = clCreateKernel(l->program->built, l->kernel, &e);
	if (!out->kernel)
		return fail_launch(d, l, e, "cannot create it");
	err = check_kernel(d, l, out->kernel);
	for (cl_uint i = 0; i < l->n_args && err == 0; i++)
		err = set_arg(d, l, out->kernel, i);
	out->local = l->local;
	out->global = (size_t)l->groups * l->local;
	return err;
}

int opencl_plan_bind(struct weir_plan *plan)
{
	struct opencl_device *d = opencl_device(plan->dev);
	struct opencl_launch *bound = calloc(plan->count, sizeof(*bound));
	int err = 0;

	if (!bound)
		return weir_fail(ENOMEM, "%s: out of memory", plan->dev->info.name);
	plan->bound = bound;
	for (size_t i = 0; i < plan->count && err == 0; i++)
		err = bind_launch(d, &plan->launches[i], &bound[i]);
	if (err < 0)
		opencl_plan_unbind(plan);
	return err;
}

void opencl_plan_unbind(struct weir_plan *plan)
{
	struct opencl_launch *bound = plan->bound;

	if (!bound)
		return;
	for (size_t i = 0; i < plan->count; i++) {
		if (bound[i].kernel)
			clReleaseKernel(bound[i].kernel);
	}
	free(bound);
	plan->bound = NULL;
}

/* ---- running ------------------------------------------------------------- */

static cl_int enqueue(struct opencl_device *d, const struct opencl_launch *l, cl_event *event)
{
	return clEnqueueNDRangeKernel(
		d->queue, l->kernel, 1, NULL, &l->global, &l->local, 0, NULL, event);
}

/* Room for the events of one more run of a profiled plan. */
static int reserve_timed(struct opencl_device *d, size_t count)
{
	struct opencl_timed *timed;
	size_t cap;

	if (d->n_timed + count <= d->cap_timed)
		return 0;
	cap = WEIR_MAX(d->cap_timed * 2, d->n_timed + count);
	timed = realloc(d->timed, cap * sizeof(*timed));
	if (!timed)
		return weir_fail(ENOMEM, "%s: out of memory for the profile", d->base.info.name);
	d->timed = timed;
	d->cap_timed = cap;
	return 0;
}

static int run_timed(
	struct opencl_device *d, const struct weir_plan *plan, size_t first, size_t count, unsigned tokens)
{
	const struct opencl_launch *bound = plan->bound;
	int err = reserve_timed(d, count);
	cl_int e;

	if (err < 0)
		return err;
	for (size_t i = first; i < first + count; i++) {
		struct opencl_timed *t = &d->timed[d->n_timed];

		e = enqueue(d, &bound[i], &t->event);
		if (e != CL_SUCCESS)
			return fail_launch(d, &plan->launches[i], e, "cannot be enqueued");
		t->launch = &plan->launches[i];
		t->tokens = tokens;
		d->n_timed++;
	}
	return 0;
}

static int run_plain(struct opencl_device *d, const struct weir_plan *plan, size_t first, size_t count)
{
	const struct opencl_launch *bound = plan->bound;
	cl_event *last;
	cl_int e;

	for (size_t i = first; i < first + count; i++) {
		last = i + 1 == first + count ? &d->pending[d->n_pending] : NULL;
		e = enqueue(d, &bound[i], last);
		if (e != CL_SUCCESS)
			return fail_launch(d, &plan->launches[i], e, "cannot be enqueued");
	}
	d->n_pending++;
	return 0;
}

int opencl_plan_run(struct weir_plan *plan, size_t first, size_t count, unsigned tokens)
{
	struct opencl_device *d = opencl_device(plan->dev);
	cl_int e;
	int err;

	if (d->n_pending == OPENCL_PENDING || d->n_timed > MAX_TIMED) {
		err = opencl_wait(plan->dev);
		if (err < 0)
			return err;
	}
	d->busy = true;
	err = plan->dev->profile ? run_timed(d, plan, first, count, tokens) : run_plain(d, plan, first, count);
	e = clFlush(d->queue);
	if (err == 0 && e != CL_SUCCESS)
		err = opencl_fail(d, e, "cannot flush the queue");
	return err;
}

void opencl_timed_collect(struct opencl_device *d)
{
	cl_ulong start, end;
	cl_int status, e;

	for (size_t i = 0; i < d->n_timed; i++) {
		struct opencl_timed *t = &d->timed[i];

		status = CL_COMPLETE;
		e = clGetEventInfo(
			t->event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, NULL);
		if (e == CL_SUCCESS && status < 0)
			e = status;
		if (e == CL_SUCCESS)
			e = clGetEventProfilingInfo(
				t->event, CL_PROFILING_COMMAND_START, sizeof(start), &start, NULL);
		if (e == CL_SUCCESS)
			e = clGetEventProfilingInfo(
				t->event, CL_PROFILING_COMMAND_END, sizeof(end), &end, NULL);
		if (e == CL_SUCCESS)
			weir_profile_add(d->base.profile, t->launch, t->tokens, start, end);
		else if (d->failed == CL_SUCCESS)
			d->failed = e;
		clReleaseEvent(t->event);
	}
	d->n_timed = 0;
}
