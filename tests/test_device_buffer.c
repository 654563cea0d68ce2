/* SPDX-License-Identifier: MIT */
/*
 * Buffers from each provider that is here: access rules, zero copy, copies where nothing is shared.
 */
#include <fcntl.h>

#include "device_suite.h"

START_TEST(provider_states)
{
	weir_device *dev = open_device(WEIR_PROVIDER_AUTO);
	struct weir_device_settings s;
	weir_device *other;
	char state[256];

	ck_assert_int_eq(weir_device_provider(dev, WEIR_PROVIDER_WEIR, state, sizeof(state)), 0);
	ck_assert_ptr_nonnull(strstr(state, "not usable: the kernel module weir"));
	ck_assert_int_eq(weir_device_provider(dev, WEIR_PROVIDER_AUTO, state, sizeof(state)), 0);
	ck_assert_str_eq(state, weir_device_provider_name(dev));
	ck_assert_int_eq(weir_device_provider(dev, WEIR_PROVIDER_SHADOW, state, sizeof(state)), 0);
	ck_assert_ptr_nonnull(strstr(state, "works"));
	ck_assert_int_eq(weir_device_provider(dev, WEIR_PROVIDER_UDMABUF, state, sizeof(state)), 0);
	if (access("/dev/udmabuf", F_OK) != 0) {
		ck_assert_ptr_nonnull(strstr(state, "not usable: /dev/udmabuf does not exist"));
		ck_assert_str_eq(weir_device_provider_name(dev), "host");
		ck_assert_int_eq(
			weir_device_provider(dev, WEIR_PROVIDER_HOST, state, sizeof(state)), 0);
		ck_assert_ptr_nonnull(strstr(state, "in use"));
		s = settings_for(WEIR_PROVIDER_UDMABUF);
		assert_fails(weir_device_open(&other, &s), ENOENT, "udmabuf");
	}
	assert_fails(weir_device_provider(dev, (enum weir_provider)7, state, sizeof(state)), EINVAL,
		"provider 7");
	weir_device_close(dev);
	s = settings_for(WEIR_PROVIDER_WEIR);
	ck_assert_int_lt(weir_device_open(&other, &s), 0);
	ck_assert_ptr_nonnull(strstr(weir_error(), "provider weir"));
}
END_TEST

/*
 * The first byte that is not factor * k + add, or n: libcheck's checks are too slow for each byte.
 */
static size_t first_wrong(const unsigned char *p, size_t n, unsigned factor, unsigned add)
{
	size_t k = 0;

	while (k < n && p[k] == (unsigned char)(k * factor + add))
		k++;
	return k;
}

START_TEST(buffer_round_trip)
{
	static const size_t sizes[] = {1, 63, 64, 65, 4096, 4097, (3 << 20) + 5};
	weir_device *dev = open_provider(_i);
	unsigned char *p;

	if (!dev)
		return;
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(sizes); i++) {
		size_t n = sizes[i];
		struct weir_buffer *b = buffer(dev, n);

		ck_assert_uint_eq(weir_buffer_size(b), n);
		ck_assert_str_eq(weir_buffer_provider(b), weir_provider_name(providers_here[_i]));
		p = begin(b, 0, n, WEIR_ACCESS_READ);
		ck_assert_uint_eq(first_wrong(p, n, 0, 0), n);
		end(b, p);
		p = begin(b, 0, n, WEIR_ACCESS_WRITE);
		for (size_t k = 0; k < n; k++)
			p[k] = (unsigned char)(k * 7 + 3);
		end(b, p);
		p = begin(b, n / 2, n - n / 2, WEIR_ACCESS_READ | WEIR_ACCESS_WRITE);
		ck_assert_uint_eq(
			first_wrong(p, n - n / 2, 7, (unsigned)(n / 2 * 7 + 3)), n - n / 2);
		end(b, p);
		weir_buffer_destroy(b);
	}
	weir_device_close(dev);
}
END_TEST

START_TEST(buffer_and_kernel)
{
	weir_device *dev = open_provider(_i);
	struct weir_launch l[2];
	struct weir_buffer *b;
	size_t step;

	if (!dev)
		return;
	step = weir_device_props(dev)->align;
	b = buffer(dev, 16 * step);
	set_int(b, 0, 5);
	set_int(b, 3 * step, 50);
	l[0] = launch_add(program(dev, "main.cl", NULL), b, 0, 7);
	l[1] = launch_add(program(dev, "main.cl", NULL), b, 3 * step, 11);
	run(dev, l, 2);
	ck_assert_int_eq(get_int(b, 0), 12);
	ck_assert_int_eq(get_int(b, step), 0);
	ck_assert_int_eq(get_int(b, 3 * step), 61);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

START_TEST(access_rules)
{
	weir_device *dev = open_provider(_i);
	struct weir_buffer *b, *none;
	void *p[4], *q;

	if (!dev)
		return;
	b = buffer(dev, 4096);
	assert_fails(weir_buffer_begin(b, 0, 0, WEIR_ACCESS_READ, &q), EINVAL, "empty");
	assert_fails(weir_buffer_begin(b, 0, 4097, WEIR_ACCESS_READ, &q), EINVAL, "not within");
	assert_fails(weir_buffer_begin(b, 4096, 1, WEIR_ACCESS_READ, &q), EINVAL, "not within");
	assert_fails(weir_buffer_begin(b, SIZE_MAX, 2, WEIR_ACCESS_READ, &q), EINVAL, "not within");
	assert_fails(
		weir_buffer_begin(b, 16, SIZE_MAX - 8, WEIR_ACCESS_READ, &q), EINVAL, "not within");
	assert_fails(weir_buffer_begin(b, 0, 16, 0, &q), EINVAL, "access");
	assert_fails(weir_buffer_begin(b, 0, 16, 4, &q), EINVAL, "access");
	for (size_t i = 0; i < 4; i++)
		p[i] = begin(b, i * 64, 64, i & 1 ? WEIR_ACCESS_READ : WEIR_ACCESS_WRITE);
	assert_fails(
		weir_buffer_begin(b, 4 * 64, 64, WEIR_ACCESS_READ, &q), EINVAL, "open already");
	end(b, p[1]);
	assert_fails(weir_buffer_begin(b, 63, 2, WEIR_ACCESS_READ, &q), EINVAL, "overlap");
	assert_fails(weir_buffer_begin(b, 127, 2, WEIR_ACCESS_READ, &q), EINVAL, "overlap");
	assert_fails(weir_buffer_begin(b, 0, 4096, WEIR_ACCESS_READ, &q), EINVAL, "overlap");
	ck_assert_ptr_null(q);
	assert_fails(weir_buffer_end(b, p[1]), EINVAL, "not open");
	assert_fails(weir_buffer_end(b, NULL), EINVAL, "not open");
	assert_fails(weir_buffer_end(b, &q), EINVAL, "not open");
	p[1] = begin(b, 64, 64, WEIR_ACCESS_READ);
	for (size_t i = 0; i < 4; i++)
		end(b, p[i]);
	assert_fails(weir_buffer_create(dev, 0, "none", &none), EINVAL, "none");
	assert_fails(weir_buffer_create(dev, SIZE_MAX - 100, "huge", &none), ENOMEM, "huge");
	ck_assert_ptr_null(none);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

START_TEST(buffer_fd)
{
	weir_device *dev = open_device(WEIR_PROVIDER_HOST);
	struct weir_buffer *b = buffer(dev, 4096);

	ck_assert_uint_eq(weir_buffer_caps(b) & WEIR_BUFFER_DMABUF, 0);
	assert_fails(weir_buffer_fd(b), EOPNOTSUPP, "dma-buf");
	weir_buffer_destroy(b);
	weir_buffer_destroy(NULL);
	weir_device_close(dev);
}
END_TEST

/*
 * What begin gives, what address says and what the kernel sees are one address; nothing is copied.
 */
START_TEST(zero_copy)
{
	weir_device *dev = open_device(WEIR_PROVIDER_HOST);
	size_t step = weir_device_props(dev)->align;
	struct weir_buffer *b = buffer(dev, 8 * step), *out = buffer(dev, 64);
	struct weir_launch l = launch(program(dev, "main.cl", NULL), "where", out, 0);
	uint64_t *seen;
	void *p;

	if (!(weir_buffer_caps(b) & WEIR_BUFFER_UNIFIED)) {
		printf("skip zero_copy: %s shares no memory\n", weir_device_name(dev));
		weir_buffer_destroy(b);
		weir_buffer_destroy(out);
		weir_device_close(dev);
		return;
	}
	ck_assert(weir_device_props(dev)->host_unified);
	l.args[l.n_args++] = (struct weir_arg){
		.kind = WEIR_ARG_BUFFER, .buffer = b, .offset = 2 * step, .size = step};
	run(dev, &l, 1);
	seen = begin(out, 0, 16, WEIR_ACCESS_READ);
	p = begin(b, 2 * step, step, WEIR_ACCESS_READ);
	ck_assert_ptr_eq(p, (const char *)weir_buffer_address(b) + 2 * step);
	ck_assert_uint_eq(seen[0], (uintptr_t)p);
	ck_assert_uint_eq(seen[1], (uintptr_t)weir_buffer_address(out));
	ck_assert_uint_eq((uintptr_t)weir_buffer_address(b) % 4096, 0);
	end(b, p);
	end(out, seen);
	ck_assert_uint_eq(weir_profile_copied(dev), 0);
	weir_buffer_destroy(b);
	weir_buffer_destroy(out);
	weir_device_close(dev);
}
END_TEST

/* ---- shadow: a missing begin or end is seen ------------------------------------ */

START_TEST(shadow_without_end)
{
	weir_device *dev = open_device(WEIR_PROVIDER_SHADOW);
	struct weir_buffer *b = buffer(dev, 4096);
	struct weir_launch l = launch_add(program(dev, "main.cl", NULL), b, 0, 1);
	int *p;

	set_int(b, 0, 100);
	p = begin(b, 0, 4, WEIR_ACCESS_WRITE);
	*p = 500;
	run(dev, &l, 1); /* before end: sees the old value */
	weir_buffer_end(b, p);
	ck_assert_int_eq(get_int(b, 0), 500);
	set_int(b, 0, 100);
	p = begin(b, 0, 4, WEIR_ACCESS_READ);
	*p = 500; /* not open for writing: lost */
	end(b, p);
	run(dev, &l, 1);
	ck_assert_int_eq(get_int(b, 0), 101);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

START_TEST(shadow_sees_old_data)
{
	weir_device *dev = open_device(WEIR_PROVIDER_SHADOW);
	struct weir_buffer *b = buffer(dev, 4096);
	struct weir_launch l = launch_add(program(dev, "main.cl", NULL), b, 0, 1);
	int *p;

	set_int(b, 0, 7);
	p = begin(b, 0, 4, WEIR_ACCESS_READ | WEIR_ACCESS_WRITE);
	ck_assert_int_eq(*p, 7);
	end(b, p);
	/* Through a pointer whose access has ended neither side sees the other. */
	ck_assert_int_eq(*p, -1);
	*p = 1000;
	run(dev, &l, 1);
	ck_assert_int_eq(*p, 1000);
	ck_assert_int_eq(get_int(b, 0), 8);
	/* Begun for writing alone, the old bytes are gone. */
	p = begin(b, 0, 4, WEIR_ACCESS_WRITE);
	ck_assert_int_eq(*p, -1);
	end(b, p);
	ck_assert_int_eq(get_int(b, 0), -1);
	ck_assert_ptr_null(weir_buffer_address(b));
	ck_assert_uint_eq(weir_buffer_caps(b), 0);
	ck_assert(!weir_device_props(dev)->host_unified);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

START_TEST(shadow_counts)
{
	weir_device *dev = open_device(WEIR_PROVIDER_SHADOW);
	struct weir_buffer *b = buffer(dev, 4096);

	weir_profile_reset(dev);
	end(b, begin(b, 0, 100, WEIR_ACCESS_READ));
	ck_assert_uint_eq(weir_profile_copied(dev), 100);
	end(b, begin(b, 0, 30, WEIR_ACCESS_WRITE));
	ck_assert_uint_eq(weir_profile_copied(dev), 130);
	end(b, begin(b, 5, 7, WEIR_ACCESS_READ | WEIR_ACCESS_WRITE));
	ck_assert_uint_eq(weir_profile_copied(dev), 144);
	weir_profile_reset(dev);
	ck_assert_uint_eq(weir_profile_copied(dev), 0);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

/* ---- other ways to a device, by a backend that has fewer ------------------------ */

static struct weir_backend fewer;
static bool lies;

/* No import; or, like a driver that makes a copy in secret, an import that is another memory. */
static int fewer_mem_create(weir_device *dev, enum weir_import way, const struct weir_memory *m,
	size_t size, struct weir_mem **out)
{
	if (way == WEIR_IMPORT_HOST_PTR && lies)
		return weir_backend_opencl.mem_create(dev, WEIR_IMPORT_COPY, NULL, size, out);
	if (way != WEIR_IMPORT_COPY)
		return weir_fail(EOPNOTSUPP, "no import");
	return weir_backend_opencl.mem_create(dev, way, m, size, out);
}

START_TEST(copies_as_last_resort)
{
	weir_device *dev = open_device(WEIR_PROVIDER_HOST);
	struct weir_launch l;
	struct weir_buffer *b;
	char state[256];

	fewer = weir_backend_opencl;
	fewer.mem_create = fewer_mem_create;
	lies = _i == 1;
	dev->backend = &fewer;
	ck_assert_int_eq(weir_device_provider(dev, WEIR_PROVIDER_HOST, state, sizeof(state)), 0);
	ck_assert_msg(strstr(state, "every access copies") != NULL, "%s", state);
	b = buffer(dev, 4096);
	ck_assert_uint_eq(weir_buffer_caps(b), WEIR_BUFFER_MAP);
	weir_profile_reset(dev);
	set_int(b, 128, 41);
	l = launch_add(program(dev, "main.cl", NULL), b, 128, 1);
	run(dev, &l, 1);
	ck_assert_int_eq(get_int(b, 128), 42);
	ck_assert_uint_eq(weir_profile_copied(dev), 8);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

/* As on a GPU: the driver's map and unmap stand around each access. */
START_TEST(mapped_access)
{
	weir_device *dev = open_device(WEIR_PROVIDER_HOST);
	struct weir_launch l;
	struct weir_buffer *b;

	dev->coherent = false;
	dev->unified_memory = _i == 1;
	b = buffer(dev, 4096);
	ck_assert_int_eq(b->coherence, WEIR_COHERENCE_MAPPED);
	ck_assert_uint_eq(weir_buffer_caps(b), WEIR_BUFFER_MAP | (_i ? WEIR_BUFFER_UNIFIED : 0u));
	weir_profile_reset(dev);
	set_int(b, 128, 41);
	l = launch_add(program(dev, "main.cl", NULL), b, 128, 1);
	run(dev, &l, 1);
	ck_assert_int_eq(get_int(b, 128), 42);
	ck_assert_uint_eq(weir_profile_copied(dev), _i ? 0 : 8);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("device_buffer");
	TCase *buffers = add_case(s, "buffers");

	tcase_add_test(buffers, provider_states);
	tcase_add_loop_test(buffers, buffer_round_trip, 0, 3);
	tcase_add_loop_test(buffers, buffer_and_kernel, 0, 3);
	tcase_add_loop_test(buffers, access_rules, 0, 3);
	tcase_add_test(buffers, buffer_fd);
	tcase_add_test(buffers, zero_copy);
	tcase_add_test(buffers, shadow_without_end);
	tcase_add_test(buffers, shadow_sees_old_data);
	tcase_add_test(buffers, shadow_counts);
	tcase_add_loop_test(buffers, copies_as_last_resort, 0, 2);
	tcase_add_loop_test(buffers, mapped_access, 0, 2);
	return s;
}

int main(void)
{
	return device_suite_run(make_suite());
}
