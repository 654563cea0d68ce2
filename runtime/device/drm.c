/* SPDX-License-Identifier: MIT */
/* The kernel module weir through libdrm: finding and opening its render nodes, and its ioctls. */
#include <fcntl.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xf86drm.h>

#include "device/drm.h"
#include "weir/weir.h"

#define DRIVER "weir"

/* ---- the module itself --------------------------------------------------- */

/* The module behind a node, by sysfs: opening another driver's node could wake its device. */
static bool module_of(unsigned minor, char *name, size_t size)
{
	char path[96], target[512];
	const char *base;
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/dev/char/226:%u/device/driver/module", minor);
	length = readlink(path, target, sizeof(target) - 1);
	if (length <= 0)
		return false;
	target[length] = 0;
	base = strrchr(target, '/');
	snprintf(name, size, "%.63s", base ? base + 1 : target);
	return true;
}

static int real_open(const char *path, unsigned minor)
{
	char module[64] = "";
	bool known;
	int fd;

	if (access(path, F_OK) != 0)
		return -ENOENT;
	known = module_of(minor, module, sizeof(module));
	if (known && strcmp(module, DRIVER) != 0)
		return -ENODEV;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	return known ? -errno : -ENODEV;
}

static int real_ioctl(int fd, unsigned long request, void *arg)
{
	return drmIoctl(fd, request, arg) < 0 ? -errno : 0;
}

static int real_map(int fd, uint64_t offset, size_t size, int prot, void **out)
{
	void *map = mmap(NULL, size, prot, MAP_SHARED, fd, (off_t)offset);

	if (map == MAP_FAILED)
		return -errno;
	*out = map;
	return 0;
}

static void real_close(int fd)
{
	close(fd);
}

static const struct weir_drm_calls real_calls = {
	.open = real_open,
	.ioctl = real_ioctl,
	.map = real_map,
	.close = real_close,
};

const struct weir_drm_calls *weir_drm_calls = &real_calls;

/* ---- sentences ----------------------------------------------------------- */

/* To be told to join the group root would be bad advice: then udev did not see the node. */
static int fail_access(const char *path)
{
	struct group entry, *group = NULL;
	struct stat st;
	char text[1024];

	if (stat(path, &st) < 0 || st.st_gid == 0)
		return weir_fail(EACCES,
			"%s: no permission: it belongs to root alone, where udev would give it to "
			"the group render",
			path);
	getgrgid_r(st.st_gid, &entry, text, sizeof(text), &group);
	return weir_fail(EACCES,
		"%s: no permission: it belongs to the group %s (sudo usermod -aG %s $USER, then "
		"log "
		"in again)",
		path, group ? group->gr_name : "render", group ? group->gr_name : "render");
}

int weir_drm_fail(const struct weir_drm *drm, int err, const char *what)
{
	char info[160] = "";
	struct drm_weir_query_device now;

	err = err < 0 ? -err : err;
	if (err == ECHILD)
		return weir_fail(ECHILD, "%s: %s: this process is a fork of the one that opened it",
			drm->path, what);
	if (err == ENODEV)
		return weir_fail(ENODEV, "%s: %s: the device is gone; close it and open it again",
			drm->path, what);
	if (err == EIO)
		return weir_fail(EIO, "%s: %s: the NPU failed and is being reset", drm->path, what);
	if (err == EDQUOT && weir_drm_query(drm, WEIR_QUERY_DEVICE, &now, sizeof(now)) == 0)
		snprintf(info, sizeof(info),
			": this file holds %llu of %llu bytes, this user %llu of %llu",
			(unsigned long long)now.quota_used, (unsigned long long)now.quota_max,
			(unsigned long long)now.user_quota_used,
			(unsigned long long)now.user_quota_max);
	return weir_fail(err, "%s: %s: %s%s", drm->path, what, strerror(err), info);
}

int weir_drm_fail_none(const struct weir_drm_node *nodes, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (nodes[i].err)
			return weir_fail(-nodes[i].err, "%s", nodes[i].why);
	}
	if (access("/sys/module/" DRIVER, F_OK) != 0)
		return weir_fail(
			ENODEV, "the kernel module weir is not loaded (sudo modprobe weir)");
	return weir_fail(
		ENODEV, "the kernel module weir is loaded, but has no render node in /dev/dri");
}

/* ---- nodes --------------------------------------------------------------- */

static bool is_weir(int fd)
{
	char name[16] = "";
	struct drm_version version = {.name = name, .name_len = sizeof(name) - 1};

	return weir_drm_calls->ioctl(fd, DRM_IOCTL_VERSION, &version) == 0 &&
	       strcmp(name, DRIVER) == 0;
}

static int query(int fd, enum drm_weir_query type, void *out, size_t size)
{
	struct drm_weir_dev_query q = {
		.type = (uint32_t)type, .size = (uint32_t)size, .pointer = (uintptr_t)out};

	return weir_drm_calls->ioctl(fd, DRM_IOCTL_WEIR_DEV_QUERY, &q);
}

/* An fd of a node of weir, and what it says of itself. */
static int open_node(const char *path, unsigned minor, struct drm_weir_query_device *info)
{
	int fd = weir_drm_calls->open(path, minor), err;

	if (fd == -EACCES || fd == -EPERM)
		return fail_access(path);
	if (fd == -ENOENT || fd == -ENODEV)
		return fd;
	if (fd < 0)
		return weir_fail(-fd, "%s: %s", path, strerror(-fd));
	err = is_weir(fd) ? 0 : -ENODEV;
	if (err == 0) {
		err = query(fd, WEIR_QUERY_DEVICE, info, sizeof(*info));
		if (err == -ENODEV) {
			weir_drm_calls->close(fd);
			return weir_fail(ENXIO, "%s: the device is gone", path);
		}
		if (err == 0 && (info->page_size == 0 || info->page_size & (info->page_size - 1)))
			err = -EPROTO;
		if (err < 0)
			weir_fail(-err,
				"%s: its kernel module weir speaks another interface than this "
				"libweir (%s): "
				"install both from one version",
				path, strerror(-err));
	}
	if (err == 0)
		return fd;
	weir_drm_calls->close(fd);
	return err;
}

unsigned weir_drm_scan(struct weir_drm_node *nodes)
{
	unsigned count = 0;
	int fd;

	for (unsigned i = 0; i < WEIR_DRM_MINORS && count < WEIR_DRM_NODES; i++) {
		struct weir_drm_node *node = &nodes[count];

		memset(node, 0, sizeof(*node));
		node->minor = WEIR_DRM_FIRST + i;
		snprintf(node->path, sizeof(node->path), "/dev/dri/renderD%u", node->minor);
		fd = open_node(node->path, node->minor, &node->info);
		if (fd == -ENOENT || fd == -ENODEV)
			continue;
		if (fd >= 0) {
			weir_drm_calls->close(fd);
		} else {
			node->err = fd;
			snprintf(node->why, sizeof(node->why), "%s", weir_error());
		}
		count++;
	}
	return count;
}

/* A word that a fork does not inherit: the kernel gives the child zeros. */
static const uint32_t *make_here(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint32_t *here =
		mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (here == MAP_FAILED)
		return NULL;
	madvise(here, page, MADV_WIPEONFORK);
	*here = 1;
	return here;
}

int weir_drm_open(const struct weir_drm_node *node, struct weir_drm **out)
{
	struct weir_drm *drm = calloc(1, sizeof(*drm));
	int err;

	*out = NULL;
	if (drm)
		drm->here = make_here();
	if (!drm || !drm->here) {
		free(drm);
		return weir_fail(ENOMEM, "%s: out of memory", node->path);
	}
	pthread_mutex_init(&drm->lock, NULL);
	snprintf(drm->path, sizeof(drm->path), "%s", node->path);
	drm->fd = open_node(node->path, node->minor, &drm->info);
	if (drm->fd >= 0) {
		*out = drm;
		return 0;
	}
	err = drm->fd;
	if (err == -ENOENT || err == -ENODEV)
		err = weir_fail(ENXIO, "%s: the device is gone", node->path);
	weir_drm_close(drm);
	return err;
}

void weir_drm_close(struct weir_drm *drm)
{
	if (!drm)
		return;
	if (drm->fd >= 0)
		weir_drm_calls->close(drm->fd);
	munmap((void *)(uintptr_t)drm->here, (size_t)sysconf(_SC_PAGESIZE));
	pthread_mutex_destroy(&drm->lock);
	free(drm->refs);
	free(drm);
}

int weir_drm_open_buffers(struct weir_drm **out)
{
	struct weir_drm_node nodes[WEIR_DRM_NODES];
	unsigned count = weir_drm_scan(nodes);
	const struct weir_drm_node *best = NULL;

	*out = NULL;
	for (unsigned i = 0; i < count; i++) {
		bool queues = (nodes[i].info.caps & WEIR_CAP_QUEUES) != 0;

		if (nodes[i].err == 0 &&
			(!best || (!queues && (best->info.caps & WEIR_CAP_QUEUES))))
			best = &nodes[i];
	}
	return best ? weir_drm_open(best, out) : weir_drm_fail_none(nodes, count);
}

int weir_drm_ioctl(const struct weir_drm *drm, unsigned long request, void *arg)
{
	return weir_drm_here(drm) ? weir_drm_calls->ioctl(drm->fd, request, arg) : -ECHILD;
}

int weir_drm_query(const struct weir_drm *drm, enum drm_weir_query type, void *out, size_t size)
{
	return weir_drm_here(drm) ? query(drm->fd, type, out, size) : -ECHILD;
}

int weir_drm_map(const struct weir_drm *drm, uint64_t offset, size_t size, int prot, void **out)
{
	return weir_drm_here(drm) ? weir_drm_calls->map(drm->fd, offset, size, prot, out) : -ECHILD;
}
