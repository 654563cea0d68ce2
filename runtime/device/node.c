/* SPDX-License-Identifier: MIT */
/* What there is of the kernel module weir, for people. */
#include <grp.h>
#include <sys/stat.h>

#include "device/drm.h"
#include "weir/weir.h"

int weir_node_count(void)
{
	struct weir_drm_node nodes[WEIR_DRM_NODES];

	return (int)weir_drm_scan(nodes);
}

/* "read and write, as group render (mode 0660)" */
static void describe_access(const struct weir_drm_node *node, char *out, size_t size)
{
	struct group entry, *group = NULL;
	char text[1024], id[16];
	struct stat st;

	if (node->err) {
		snprintf(out, size, "%s", node->why);
		return;
	}
	if (stat(node->path, &st) < 0) {
		snprintf(out, size, "read and write");
		return;
	}
	snprintf(id, sizeof(id), "%u", (unsigned)st.st_gid);
	getgrgid_r(st.st_gid, &entry, text, sizeof(text), &group);
	snprintf(out, size, "read and write; the node belongs to the group %s, mode %04o",
		group ? group->gr_name : id, (unsigned)st.st_mode & 07777);
}

int weir_node_describe(unsigned i, struct weir_node *out)
{
	struct weir_drm_node nodes[WEIR_DRM_NODES];
	unsigned count = weir_drm_scan(nodes);
	const struct drm_weir_query_device *info;

	memset(out, 0, sizeof(*out));
	if (i >= count)
		return weir_fail(
			ENODEV, "node %u of the kernel module weir: there are %u", i, count);
	info = &nodes[i].info;
	snprintf(out->path, sizeof(out->path), "%s", nodes[i].path);
	describe_access(&nodes[i], out->access, sizeof(out->access));
	out->usable = nodes[i].err == 0;
	out->npu = (info->caps & WEIR_CAP_QUEUES) != 0;
	out->emulated = (info->caps & WEIR_CAP_EMULATED) != 0;
	out->coherent = (info->caps & WEIR_CAP_COHERENT) != 0;
	out->abi_minor = info->abi_minor;
	out->quota = info->quota_max;
	out->user_quota = info->user_quota_max;
	out->user_used = info->user_quota_used;
	out->queues = info->queues_max;
	out->hang_limit_ms = info->hang_limit_ms;
	out->resets = info->resets;
	return 0;
}
