/* SPDX-License-Identifier: MIT */
/* Provider weir: buffers of the kernel module weir.ko. Says why it cannot be used. */
#include <unistd.h>

#include "device/backend.h"

static int ko_create(size_t size, const char *name, struct weir_memory *m)
{
	(void)size;
	(void)name;
	(void)m;
	if (access("/sys/module/weir", F_OK) != 0)
		return weir_fail(ENODEV, "the kernel module weir is not loaded");
	return weir_fail(EOPNOTSUPP, "this libweir has no support for the kernel module weir");
}

static void ko_destroy(struct weir_memory *m)
{
	(void)m;
}

const struct weir_provider_ops weir_provider_weir = {
	.id = WEIR_PROVIDER_WEIR,
	.caps = WEIR_BUFFER_MAP | WEIR_BUFFER_DMABUF | WEIR_BUFFER_ADDRESS,
	.create = ko_create,
	.destroy = ko_destroy,
};
