// SPDX-License-Identifier: GPL-2.0
/*
 * weir_quota.c - who pays for buffers: bytes by file, and by user over all files.
 *
 * The limits are our own and not RLIMIT_MEMLOCK, whose default is too small for any network.
 */
#include <linux/cred.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uidgid.h>

#include "weir.h"

/**
 * struct weir_user - what all files of a user hold
 * @ref: accounts hold it
 * @uid: of the process that opened the file
 * @lock: guards @used, and &weir_account.used of its accounts
 * @used: bytes
 * @node: in weir_users
 */
struct weir_user {
	struct kref ref;
	kuid_t uid;
	spinlock_t lock;	/* guards used, here and in accounts */
	u64 used;
	struct list_head node;
};

struct weir_account {
	struct kref ref;
	struct weir_user *user;
	u64 used;
};

static LIST_HEAD(weir_users);
static DEFINE_MUTEX(weir_users_lock);

static u64 weir_quota(unsigned int mib)
{
	return mib ? (u64)mib * SZ_1M : (u64)(totalram_pages() / 2) << PAGE_SHIFT;
}

static struct weir_user *weir_user_find(kuid_t uid)
{
	struct weir_user *user;

	list_for_each_entry(user, &weir_users, node) {
		if (uid_eq(user->uid, uid)) {
			kref_get(&user->ref);
			return user;
		}
	}
	return NULL;
}

static struct weir_user *weir_user_get(kuid_t uid)
{
	struct weir_user *user;

	mutex_lock(&weir_users_lock);
	user = weir_user_find(uid);
	if (!user) {
		user = kzalloc(sizeof(*user), GFP_KERNEL);
		if (user) {
			kref_init(&user->ref);
			user->uid = uid;
			spin_lock_init(&user->lock);
			list_add(&user->node, &weir_users);
		}
	}
	mutex_unlock(&weir_users_lock);
	return user;
}

static void weir_user_release(struct kref *ref)
{
	struct weir_user *user = container_of(ref, struct weir_user, ref);

	list_del(&user->node);
	mutex_unlock(&weir_users_lock);
	WARN_ON(user->used);
	kfree(user);
}

static void weir_user_put(struct weir_user *user)
{
	kref_put_mutex(&user->ref, weir_user_release, &weir_users_lock);
}

struct weir_account *weir_account_create(void)
{
	struct weir_account *account;

	account = kzalloc(sizeof(*account), GFP_KERNEL);
	if (!account)
		return ERR_PTR(-ENOMEM);
	account->user = weir_user_get(current_uid());
	if (!account->user) {
		kfree(account);
		return ERR_PTR(-ENOMEM);
	}
	kref_init(&account->ref);
	return account;
}

struct weir_account *weir_account_get(struct weir_account *account)
{
	kref_get(&account->ref);
	return account;
}

static void weir_account_release(struct kref *ref)
{
	struct weir_account *account = container_of(ref, struct weir_account, ref);

	weir_user_put(account->user);
	kfree(account);
}

void weir_account_put(struct weir_account *account)
{
	kref_put(&account->ref, weir_account_release);
}

static bool weir_quota_fits(u64 used, u64 size, u64 max)
{
	u64 sum;

	return !check_add_overflow(used, size, &sum) && sum <= max;
}

int weir_account_charge(struct weir_account *account, u64 size)
{
	struct weir_user *user = account->user;
	int ret = -EDQUOT;

	spin_lock(&user->lock);
	if (weir_quota_fits(account->used, size, weir_quota(weir_quota_file_mib)) &&
	    weir_quota_fits(user->used, size, weir_quota(weir_quota_user_mib))) {
		account->used += size;
		user->used += size;
		ret = 0;
	}
	spin_unlock(&user->lock);
	return ret;
}

void weir_account_uncharge(struct weir_account *account, u64 size)
{
	struct weir_user *user = account->user;

	spin_lock(&user->lock);
	account->used -= size;
	user->used -= size;
	spin_unlock(&user->lock);
}

void weir_account_read(struct weir_account *account, struct drm_weir_query_device *out)
{
	struct weir_user *user = account->user;

	out->quota_max = weir_quota(weir_quota_file_mib);
	out->user_quota_max = weir_quota(weir_quota_user_mib);
	spin_lock(&user->lock);
	out->quota_used = account->used;
	out->user_quota_used = user->used;
	spin_unlock(&user->lock);
}
