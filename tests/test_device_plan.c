/* SPDX-License-Identifier: MIT */
/* Plans: order, arguments, failed work, several sessions; and the profile. */
#include <json-c/json.h>
#include <math.h>

#include "device/opencl.h"
#include "device_suite.h"

/* ---- plans --------------------------------------------------------------------- */

/* Each launch sees what those before it wrote, and a run can be repeated. */
START_TEST(plan_order)
{
	weir_device *dev = open_provider(_i);
	struct weir_launch l[100];
	struct weir_buffer *b;
	struct weir_plan *p;
	int64_t want = 1;
	size_t step;

	if (!dev)
		return;
	step = weir_device_props(dev)->align;
	b = buffer(dev, 4 * step);
	/* Adding and doubling in turn: only this order gives this number. */
	for (int i = 0; i < 100; i++)
		l[i] = launch_add(program(dev, "main.cl", i & 1 ? "-DSCALE=p[0]" : NULL), b, 0,
			i & 1 ? 1 : i);
	p = plan(dev, l, 50);
	ck_assert_uint_eq(weir_plan_count(p), 50);
	set_int(b, 0, 1);
	for (int r = 0; r < 2; r++) {
		ck_assert_int_eq(weir_plan_run(p, 1), 0);
		for (int i = 0; i < 50; i++)
			want = (int32_t)(uint32_t)(i & 1 ? want + want : want + i);
	}
	ck_assert_int_eq(get_int(b, 0), (int)want);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

/* Launches on the same part of a buffer share its sub-buffer; another offset or size has its own.
 */
START_TEST(plan_parts)
{
	static const unsigned char at[] = {3, 1, 2, 3, 1, 1, 2, 3},
				   sizes[] = {1, 2, 1, 1, 1, 2, 1, 2};
	weir_device *dev = open_device(WEIR_PROVIDER_AUTO);
	size_t step = weir_device_props(dev)->align;
	struct weir_buffer *b = buffer(dev, 8 * step);
	struct weir_launch l[WEIR_ARRAY_SIZE(at)];
	int want[4] = {0};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(at); i++) {
		l[i] = launch_add(program(dev, "main.cl", NULL), b, at[i] * step, 1 << i);
		l[i].args[0].size = sizes[i] * step;
		want[at[i]] += 1 << i;
	}
	run(dev, l, WEIR_ARRAY_SIZE(at));
	run(dev, l, WEIR_ARRAY_SIZE(at));
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(get_int(b, i * step), 2 * want[i]);
	ck_assert_uint_eq(b->mem->n_parts, 5);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

/* More runs than the list of unseen events holds, without a wait between. */
START_TEST(plan_many_runs)
{
	struct weir_device_settings s = settings_for(WEIR_PROVIDER_AUTO);
	struct weir_launch l;
	struct weir_buffer *b;
	struct weir_plan *p;
	weir_device *dev;

	s.profile = _i == 1;
	dev = open_with(&s);
	b = buffer(dev, 64);
	l = launch_add(program(dev, "main.cl", NULL), b, 0, 1);
	p = plan(dev, &l, 1);
	for (int i = 0; i < 3 * OPENCL_PENDING + 5; i++)
		ck_assert_int_eq(weir_plan_run(p, 1), 0);
	ck_assert_int_eq(get_int(b, 0), 3 * OPENCL_PENDING + 5);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

START_TEST(plan_work_items)
{
	weir_device *dev = open_device(WEIR_PROVIDER_AUTO);
	struct weir_buffer *b = buffer(dev, 256);
	struct weir_launch l = launch(program(dev, "main.cl", NULL), "items", b, 0);
	int *p;

	l.groups = 3;
	l.local = 8;
	run(dev, &l, 1);
	p = begin(b, 0, 256, WEIR_ACCESS_READ);
	for (int i = 0; i < 64; i++)
		ck_assert_int_eq(p[i], i < 24 ? 8 : 0);
	end(b, p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

START_TEST(plan_refused)
{
	weir_device *dev = open_device(WEIR_PROVIDER_AUTO),
		    *other = open_device(WEIR_PROVIDER_AUTO);
	struct weir_program *prog = program(dev, "main.cl", NULL);
	size_t step = weir_device_props(dev)->align;
	struct weir_buffer *b = buffer(dev, 4 * step), *foreign = buffer(other, 64);
	struct weir_launch good = launch_add(prog, b, step, 1), l;
	struct weir_plan *p;

	l = good;
	l.args[0].offset = 4 * step;
	assert_fails(weir_plan_create(dev, &l, 1, &p), EINVAL, "not within");
	l = good;
	l.args[0].offset = SIZE_MAX - step + 1;
	assert_fails(weir_plan_create(dev, &l, 1, &p), EINVAL, "not within");
	l = good;
	l.args[0].size = SIZE_MAX;
	assert_fails(weir_plan_create(dev, &l, 1, &p), EINVAL, "not within");
	l = good;
	l.args[0].offset = 4;
	l.args[0].size = 4;
	assert_fails(weir_plan_create(dev, &l, 1, &p), EINVAL, "multiple");
	l = good;
	l.args[0].buffer = foreign;
	assert_fails(weir_plan_create(dev, &l, 1, &p), EINVAL, "no buffer of");
	l = good;
	l.n_args = 1;
	assert_fails(weir_plan_create(dev, &l, 1, &p), EINVAL, "takes 2 arguments");
	l = good;
	l.n_args = WEIR_LAUNCH_ARGS + 1;
	assert_fails(weir_plan_create(dev, &l, 1, &p), EINVAL, "arguments");
	l = good;
	l.local = 2;
	assert_fails(weir_plan_create(dev, &l, 1, &p), EINVAL, "work-groups of 1");
	l = good;
	l.groups = 0;
	assert_fails(weir_plan_create(dev, &l, 1, &p), EINVAL, "0 work-groups");
	l = good;
	l.kernel = "absent";
	assert_fails(weir_plan_create(dev, &l, 1, &p), EINVAL, "absent");
	l = launch(prog, "items", b, 0);
	l.local = 1u << 30;
	assert_fails(weir_plan_create(dev, &l, 1, &p), EINVAL, "work-groups of");
	assert_fails(weir_plan_create(dev, &l, 0, &p), EINVAL, "without launches");
	ck_assert_ptr_null(p);
	weir_plan_destroy(NULL);
	weir_buffer_destroy(foreign);
	weir_buffer_destroy(b);
	weir_device_close(other);
	weir_device_close(dev);
}
END_TEST

/*
 * Work whose event ends in an error: every wait from then on says so. The event is one that the
 * test can fail; PoCL 3.1 aborts when real work depends on a failed event, so it stands for a
 * launch's own.
 */
START_TEST(failed_work)
{
	struct weir_device_settings s = settings_for(WEIR_PROVIDER_AUTO);
	struct opencl_device *d;
	struct weir_launch l;
	struct weir_buffer *b;
	struct weir_plan *p;
	weir_device *dev;
	cl_event user;
	cl_int e;
	void *ptr;

	s.profile = _i == 1;
	dev = open_with(&s);
	d = opencl_device(dev);
	b = buffer(dev, 64);
	l = launch_add(program(dev, "main.cl", NULL), b, 0, 1);
	p = plan(dev, &l, 1);
	user = clCreateUserEvent(d->context, &e);
	ck_assert_int_eq(e, CL_SUCCESS);
	ck_assert_int_eq(weir_plan_run(p, 1), 0);
	ck_assert_int_eq(clFinish(d->queue), CL_SUCCESS);
	if (s.profile) {
		clReleaseEvent(d->timed[0].event);
		d->timed[0].event = user;
	} else {
		clReleaseEvent(d->pending[0]);
		d->pending[0] = user;
	}
	ck_assert_int_eq(clSetUserEventStatus(user, CL_OUT_OF_RESOURCES), CL_SUCCESS);
	assert_fails(weir_device_wait(dev), EIO, "submitted work failed: CL_OUT_OF_RESOURCES");
	assert_fails(weir_device_wait(dev), EIO, "submitted work failed");
	assert_fails(weir_buffer_begin(b, 0, 4, WEIR_ACCESS_READ, &ptr), EIO, "buffer test");
	ck_assert_int_eq(
		weir_profile_trace(dev, work_path("none.json")), s.profile ? -EIO : -EINVAL);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

/* ---- several sessions ---------------------------------------------------------- */

struct session {
	weir_device *dev;
	int result;
};

static void *session_main(void *arg)
{
	struct session *s = arg;
	struct weir_buffer *b;
	struct weir_program *prog;
	struct weir_launch l;
	struct weir_plan *p;
	int *ptr;

	s->result = -1;
	if (weir_buffer_create(s->dev, 4096, "session", &b) < 0 ||
		weir_program_get(s->dev, "main.cl", "-DSCALE=4", &prog) < 0)
		return NULL;
	l = launch_add(prog, b, 1024, 1);
	if (weir_plan_create(s->dev, &l, 1, &p) < 0)
		return NULL;
	for (int i = 0; i < 50; i++) {
		if (weir_plan_run(p, 1) < 0 ||
			weir_buffer_begin(b, 1024, 4, WEIR_ACCESS_READ | WEIR_ACCESS_WRITE,
				(void **)&ptr) < 0)
			return NULL;
		*ptr += 1;
		if (weir_buffer_end(b, ptr) < 0)
			return NULL;
	}
	if (weir_buffer_begin(b, 1024, 4, WEIR_ACCESS_READ, (void **)&ptr) < 0)
		return NULL;
	s->result = *ptr;
	weir_buffer_end(b, ptr);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	return NULL;
}

START_TEST(sessions)
{
	weir_device *dev = open_provider(_i);
	struct session s[4];
	pthread_t t[4];

	if (!dev)
		return;
	for (int i = 0; i < 4; i++) {
		s[i].dev = dev;
		ck_assert_int_eq(pthread_create(&t[i], NULL, session_main, &s[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(s[i].result, 250);
	weir_device_close(dev);
}
END_TEST

/* ---- profile ------------------------------------------------------------------- */

static weir_device *open_profiled(void)
{
	struct weir_device_settings s = settings_for(WEIR_PROVIDER_AUTO);

	s.profile = true;
	return open_with(&s);
}

START_TEST(profile_rows)
{
	weir_device *dev = open_profiled();
	struct weir_buffer *b = buffer(dev, 4096);
	struct weir_launch l[3];
	struct weir_profile_row rows[4];
	struct weir_plan *p;

	l[0] = launch_add(program(dev, "main.cl", NULL), b, 0, 1);
	l[0].bytes = 1000;
	l[0].token_bytes = 10;
	l[0].ops = 5;
	l[0].token_ops = 7;
	l[1] = l[0];
	l[2] = launch(program(dev, "main.cl", NULL), "spin", b, 0);
	l[2].args[l[2].n_args++] = (struct weir_arg){.kind = WEIR_ARG_INT, .i = 1000000};
	p = plan(dev, l, 3);
	ck_assert_int_eq(weir_plan_run(p, 3), 0);
	ck_assert_int_eq(weir_plan_run(p, 1), 0);
	/* Waits for what was submitted. */
	ck_assert_int_eq(weir_profile_rows(dev, rows, 4), 2);
	ck_assert_str_eq(rows[0].op, "spin");
	ck_assert_uint_eq(rows[0].calls, 2);
	ck_assert_str_eq(rows[1].op, "add");
	ck_assert_uint_eq(rows[1].calls, 4);
	ck_assert(rows[0].seconds > rows[1].seconds && rows[1].seconds > 0);
	ck_assert(rows[1].bytes == 2 * (1030 + 1010));
	ck_assert(rows[1].ops == 2 * (26 + 12));
	/* Only what fits is copied, but all are counted. */
	rows[1].calls = 99;
	ck_assert_int_eq(weir_profile_rows(dev, rows, 1), 2);
	ck_assert_uint_eq(rows[1].calls, 99);
	weir_profile_reset(dev);
	ck_assert_int_eq(weir_profile_rows(dev, rows, 4), 0);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

static double number(struct json_object *o, const char *key)
{
	struct json_object *v;

	ck_assert(json_object_object_get_ex(o, key, &v));
	return json_object_get_double(v);
}

static const char *string(struct json_object *o, const char *key)
{
	struct json_object *v;

	ck_assert(json_object_object_get_ex(o, key, &v));
	return json_object_get_string(v);
}

START_TEST(profile_trace)
{
	weir_device *dev = open_profiled();
	struct weir_buffer *b = buffer(dev, 64);
	struct weir_launch l = launch_add(program(dev, "main.cl", NULL), b, 0, 1);
	struct json_object *root, *events, *e, *args;
	struct weir_plan *p;
	double last = 0;
	unsigned n = 0;

	l.label = "odd \"label\"\\\n\x01"; /* still JSON */
	l.bytes = 64;
	l.token_ops = 3;
	p = plan(dev, &l, 1);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(weir_plan_run(p, 2), 0);
	ck_assert_msg(weir_profile_trace(dev, work_path("trace.json")) == 0, "%s", weir_error());
	root = json_object_from_file(work_path("trace.json"));
	ck_assert_msg(root != NULL, "%s", json_util_get_last_err());
	ck_assert(json_object_object_get_ex(root, "otherData", &e));
	ck_assert(number(e, "launches_kept_at_most") == 1000000);
	ck_assert(number(e, "launches_dropped") == 0);
	ck_assert_str_eq(string(e, "device"), weir_device_name(dev));
	ck_assert(json_object_object_get_ex(root, "traceEvents", &events));
	for (size_t i = 0; i < json_object_array_length(events); i++) {
		e = json_object_array_get_idx(events, i);
		if (strcmp(string(e, "ph"), "X") != 0)
			continue;
		ck_assert_str_eq(string(e, "name"), l.label);
		ck_assert(n > 0 || number(e, "ts") == 0);
		ck_assert(number(e, "ts") >= last && number(e, "dur") >= 0);
		last = number(e, "ts") + number(e, "dur") - 0.001;
		ck_assert(json_object_object_get_ex(e, "args", &args));
		ck_assert(number(args, "bytes") == 64 && number(args, "ops") == 6);
		n++;
	}
	ck_assert_uint_eq(n, 5);
	json_object_put(root);
	ck_assert_int_lt(weir_profile_trace(dev, work_path("absent/trace.json")), 0);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

START_TEST(profile_off)
{
	weir_device *dev = open_device(WEIR_PROVIDER_AUTO);
	struct weir_profile_row row;

	ck_assert_int_eq(weir_profile_rows(dev, &row, 1), 0);
	assert_fails(weir_profile_trace(dev, work_path("none.json")), EINVAL, "without profile");
	ck_assert_int_ne(access(work_path("none.json"), F_OK), 0);
	weir_profile_reset(dev);
	weir_device_close(dev);
}
END_TEST

/* The trace has an end, the rows count on. */
START_TEST(profile_bounded)
{
	weir_device *dev = open_profiled();
	struct weir_launch l = {.label = "op", .bytes = 1};
	struct weir_profile_row row;
	struct json_object *root, *e;

	weir_profile_destroy(dev->profile);
	ck_assert_int_eq(weir_profile_create(1500, &dev->profile), 0);
	for (uint64_t i = 0; i < 2000; i++)
		weir_profile_add(dev->profile, &l, 1, i * 10, i * 10 + 5);
	/* A clock that runs backwards makes no time below zero. */
	weir_profile_add(dev->profile, &l, 1, 100, 50);
	ck_assert_int_eq(weir_profile_rows(dev, &row, 1), 1);
	ck_assert_uint_eq(row.calls, 2001);
	ck_assert(row.bytes == 2001);
	ck_assert(fabs(row.seconds - 2000 * 5e-9) < 1e-12);
	ck_assert_int_eq(weir_profile_trace(dev, work_path("bounded.json")), 0);
	root = json_object_from_file(work_path("bounded.json"));
	ck_assert_ptr_nonnull(root);
	ck_assert(json_object_object_get_ex(root, "otherData", &e));
	ck_assert(number(e, "launches_kept_at_most") == 1500);
	ck_assert(number(e, "launches_dropped") == 501);
	ck_assert(json_object_object_get_ex(root, "traceEvents", &e));
	ck_assert_uint_eq(json_object_array_length(e), 1500 + 3);
	json_object_put(root);
	weir_device_close(dev);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("device_plan");
	TCase *plans = add_case(s, "plans");
	TCase *profile = add_case(s, "profile");

	tcase_add_loop_test(plans, plan_order, 0, 3);
	tcase_add_loop_test(plans, plan_many_runs, 0, 2);
	tcase_add_test(plans, plan_parts);
	tcase_add_test(plans, plan_work_items);
	tcase_add_test(plans, plan_refused);
	tcase_add_loop_test(plans, failed_work, 0, 2);
	tcase_add_loop_test(plans, sessions, 0, 3);

	tcase_add_test(profile, profile_rows);
	tcase_add_test(profile, profile_trace);
	tcase_add_test(profile, profile_off);
	tcase_add_test(profile, profile_bounded);
	return s;
}

int main(void)
{
	return device_suite_run(make_suite());
}
