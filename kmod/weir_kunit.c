// SPDX-License-Identifier: GPL-2.0
/*
 * weir_kunit.c - unit tests of quotas and of the arithmetic of addresses and sizes.
 */
#include <kunit/test.h>
#include <linux/dma-mapping.h>
#include <linux/sizes.h>

#include "weir.h"

/* ---- quotas ---------------------------------------------------------------------------------- */

struct weir_quota_params {
	unsigned int file_mib;
	unsigned int user_mib;
};

static int weir_quota_init(struct kunit *test)
{
	struct weir_quota_params *saved = kunit_kzalloc(test, sizeof(*saved), GFP_KERNEL);

	if (!saved)
		return -ENOMEM;
	saved->file_mib = weir_quota_file_mib;
	saved->user_mib = weir_quota_user_mib;
	weir_quota_file_mib = 4;
	weir_quota_user_mib = 6;
	test->priv = saved;
	return 0;
}

static void weir_quota_exit(struct kunit *test)
{
	struct weir_quota_params *saved = test->priv;

	if (!saved)
		return;
	weir_quota_file_mib = saved->file_mib;
	weir_quota_user_mib = saved->user_mib;
}

static struct weir_account *weir_quota_account(struct kunit *test)
{
	struct weir_account *account = weir_account_create();

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, account);
	return account;
}

static void weir_quota_file(struct kunit *test)
{
	struct weir_account *account = weir_quota_account(test);
	struct drm_weir_query_device device = {};

	KUNIT_EXPECT_EQ(test, weir_account_charge(account, SZ_4M), 0);
	KUNIT_EXPECT_EQ(test, weir_account_charge(account, 1), -EDQUOT);
	weir_account_read(account, &device);
	KUNIT_EXPECT_EQ(test, device.quota_max, (u64)SZ_4M);
	KUNIT_EXPECT_EQ(test, device.quota_used, (u64)SZ_4M);
	weir_account_uncharge(account, SZ_4M);
	KUNIT_EXPECT_EQ(test, weir_account_charge(account, SZ_4M + 1), -EDQUOT);
	weir_account_read(account, &device);
	KUNIT_EXPECT_EQ(test, device.quota_used, 0ull);
	weir_account_put(account);
}

static void weir_quota_user(struct kunit *test)
{
	struct weir_account *one = weir_quota_account(test), *two = weir_quota_account(test);
	struct drm_weir_query_device device = {};

	weir_account_read(one, &device);
	KUNIT_EXPECT_EQ(test, device.user_quota_max, 6ull * SZ_1M);
	/* Whoever loads the module holds no buffer of it yet. */
	KUNIT_EXPECT_EQ(test, device.user_quota_used, 0ull);
	KUNIT_EXPECT_EQ(test, weir_account_charge(one, SZ_4M), 0);
	KUNIT_EXPECT_EQ(test, weir_account_charge(two, SZ_4M), -EDQUOT);
	KUNIT_EXPECT_EQ(test, weir_account_charge(two, SZ_2M), 0);
	weir_account_read(two, &device);
	KUNIT_EXPECT_EQ(test, device.quota_used, (u64)SZ_2M);
	KUNIT_EXPECT_EQ(test, device.user_quota_used, 6ull * SZ_1M);
	weir_account_uncharge(one, SZ_4M);
	weir_account_uncharge(two, SZ_2M);
	weir_account_put(one);
	weir_account_put(two);
}

static void weir_quota_overflow(struct kunit *test)
{
	struct weir_account *account = weir_quota_account(test);

	KUNIT_EXPECT_EQ(test, weir_account_charge(account, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, weir_account_charge(account, U64_MAX), -EDQUOT);
	KUNIT_EXPECT_EQ(test, weir_account_charge(account, U64_MAX - PAGE_SIZE + 1), -EDQUOT);
	weir_account_uncharge(account, PAGE_SIZE);
	weir_account_put(account);
}

/* A buffer outlives the file that it was made by, and still pays. */
static void weir_quota_outlives(struct kunit *test)
{
	struct weir_account *account = weir_quota_account(test);
	struct drm_weir_query_device device = {};

	KUNIT_EXPECT_EQ(test, weir_account_charge(account, SZ_1M), 0);
	KUNIT_EXPECT_PTR_EQ(test, weir_account_get(account), account);
	weir_account_put(account);
	weir_account_read(account, &device);
	KUNIT_EXPECT_EQ(test, device.quota_used, (u64)SZ_1M);
	weir_account_uncharge(account, SZ_1M);
	weir_account_put(account);
}

static struct kunit_case weir_quota_cases[] = {
	KUNIT_CASE(weir_quota_file),
	KUNIT_CASE(weir_quota_user),
	KUNIT_CASE(weir_quota_overflow),
	KUNIT_CASE(weir_quota_outlives),
	{ }
};

static struct kunit_suite weir_quota_suite = {
	.name = "weir-quota",
	.init = weir_quota_init,
	.exit = weir_quota_exit,
	.test_cases = weir_quota_cases,
};

/* ---- addresses ------------------------------------------------------------------------------- */

#define WEIR_TEST_RUNS	4

struct weir_run {
	u64 addr;
	u32 size;
};

static void weir_test_table(struct kunit *test, struct sg_table *sgt, const struct weir_run *runs,
			    unsigned int n)
{
	struct scatterlist *sg = kunit_kcalloc(test, WEIR_TEST_RUNS, sizeof(*sg), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, sg);
	KUNIT_ASSERT_LE(test, n, WEIR_TEST_RUNS);
	sg_init_table(sg, n);
	for (i = 0; i < n; i++) {
		sg_dma_address(&sg[i]) = runs[i].addr;
		sg_dma_len(&sg[i]) = runs[i].size;
	}
	*sgt = (struct sg_table) { .sgl = sg, .nents = n, .orig_nents = n };
}

static void weir_segments_merge(struct kunit *test)
{
	static const struct weir_run runs[] = {
		{ 0x100000, 0x1000 }, { 0x101000, 0x3000 }, { 0x200000, 0x1000 },
		{ 0x1ff000, 0x1000 },
	};
	struct weir_npu_segment out[WEIR_TEST_RUNS] = {};
	struct sg_table sgt;

	weir_test_table(test, &sgt, runs, ARRAY_SIZE(runs));
	KUNIT_EXPECT_EQ(test, weir_segments_of(&sgt, 0x6000, NULL), 3);
	KUNIT_EXPECT_EQ(test, weir_segments_of(&sgt, 0x6000, out), 3);
	KUNIT_EXPECT_EQ(test, out[0].addr, 0x100000ull);
	KUNIT_EXPECT_EQ(test, out[0].size, 0x4000ull);
	KUNIT_EXPECT_EQ(test, out[1].addr, 0x200000ull);
	KUNIT_EXPECT_EQ(test, out[1].size, 0x1000ull);
	KUNIT_EXPECT_EQ(test, out[2].addr, 0x1ff000ull);
	KUNIT_EXPECT_EQ(test, out[2].size, 0x1000ull);
}

/* An exporter may map more than the buffer has: what is past its end is not for the device. */
static void weir_segments_cut(struct kunit *test)
{
	static const struct weir_run runs[] = { { 0x100000, 0x4000 }, { 0x300000, 0x4000 } };
	struct weir_npu_segment out[WEIR_TEST_RUNS] = {};
	struct sg_table sgt;

	weir_test_table(test, &sgt, runs, ARRAY_SIZE(runs));
	KUNIT_EXPECT_EQ(test, weir_segments_of(&sgt, 0x5000, out), 2);
	KUNIT_EXPECT_EQ(test, out[1].size, 0x1000ull);
	KUNIT_EXPECT_EQ(test, weir_segments_of(&sgt, 0x4000, NULL), 1);
}

static void weir_segments_refuse(struct kunit *test)
{
	static const struct weir_run odd_addr[] = { { 0x100010, 0x1000 } };
	static const struct weir_run odd_size[] = { { 0x100000, 0x800 }, { 0x200000, 0x800 } };
	static const struct weir_run short_one[] = { { 0x100000, 0x1000 } };
	struct sg_table sgt;

	weir_test_table(test, &sgt, odd_addr, ARRAY_SIZE(odd_addr));
	KUNIT_EXPECT_EQ(test, weir_segments_of(&sgt, 0x1000, NULL), -EINVAL);
	weir_test_table(test, &sgt, odd_size, ARRAY_SIZE(odd_size));
	KUNIT_EXPECT_EQ(test, weir_segments_of(&sgt, 0x1000, NULL), -EINVAL);
	weir_test_table(test, &sgt, short_one, ARRAY_SIZE(short_one));
	KUNIT_EXPECT_EQ(test, weir_segments_of(&sgt, 0x2000, NULL), -EINVAL);
}

static void weir_size_max(struct kunit *test)
{
	struct weir_device *wdev = kunit_kzalloc(test, sizeof(*wdev), GFP_KERNEL);
	struct weir_npu *npu = kunit_kzalloc(test, sizeof(*npu), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, wdev);
	KUNIT_ASSERT_NOT_NULL(test, npu);
	KUNIT_EXPECT_EQ(test, weir_bo_size_max(wdev), (u64)INT_MAX << PAGE_SHIFT);
	wdev->npu = npu;
	npu->addr_bits = 40;
	KUNIT_EXPECT_EQ(test, weir_bo_size_max(wdev), 1ull << 40);
	npu->addr_bits = 63;
	KUNIT_EXPECT_EQ(test, weir_bo_size_max(wdev), (u64)INT_MAX << PAGE_SHIFT);
}

static struct kunit_case weir_address_cases[] = {
	KUNIT_CASE(weir_segments_merge),
	KUNIT_CASE(weir_segments_cut),
	KUNIT_CASE(weir_segments_refuse),
	KUNIT_CASE(weir_size_max),
	{ }
};

static struct kunit_suite weir_address_suite = {
	.name = "weir-address",
	.test_cases = weir_address_cases,
};

kunit_test_suites(&weir_quota_suite, &weir_address_suite);
