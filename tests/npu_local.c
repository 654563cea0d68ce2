/* SPDX-License-Identifier: MIT */
/* An NPU without a kernel: the module's ioctls, as far as the runtime uses them, on a worker of
 * weir-npu. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device/drm.h"
#include "npu_local.h"
#include "tools/weir-npu/worker.h"

#define MINOR WEIR_DRM_FIRST
#define FILES 8
#define HANDLES 4096
#define STRIDE 65536
#define PAGE 4096
#define HANG_MS 4000
#define BUILD_PATIENCE 15 /* so many times that while a program is built */

/* What an mmap offset is of; the handle or queue stands above. */
#define OFFSET_BO (1ull << 40)
#define OFFSET_DOORBELL (2ull << 40)
#define OFFSET_STATUS (3ull << 40)

struct bo {
	int memfd; /* -1: no such handle */
	uint64_t size, addr;
};

/* A file with at most one queue: more than one the runtime does not make. */
struct file {
	int fd; /* -1: free */
	struct bo bos[HANDLES];
	uint64_t next_addr;
	int socket, irq;
	pid_t worker;
	struct worker_shared *shared;
	bool queue, dead;
	int pages, doorbell; /* memfds: status page and control block; doorbell page */
	struct weir_npu_status *status;
	struct weir_npu_control *control;
};

static struct file files[FILES];
static struct file *last;
static struct weir_npu_identity identity;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct worker_settings settings = {.awake_ms = 2000, .sandbox = true};

/* ---- the worker ---------------------------------------------------------- */

static int exchange(
	struct file *f, const struct worker_command *command, const int *fds, unsigned n_fds)
{
	char space[CMSG_SPACE(2 * sizeof(int))] = {0};
	struct iovec io = {(void *)(uintptr_t)command, sizeof(*command)};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
	struct worker_reply reply;

	if (f->dead)
		return -ENODEV;
	if (n_fds) {
		struct cmsghdr *c;

		m.msg_control = space;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	if (sendmsg(f->socket, &m, MSG_NOSIGNAL) < 0)
		return -EIO;
	if (command->op == WORKER_KICK)
		return 0;
	if (recv(f->socket, &reply, sizeof(reply), 0) != sizeof(reply) || reply.op != command->op)
		return -EIO;
	return reply.err;
}

/* The worker as a process of its own: OpenCL's threads of this one do not survive a fork. */
static int start_worker(struct file *f)
{
	int pair[2], shared = memfd_create("npu-shared", MFD_CLOEXEC);
	char a[16], b[16];

	if (shared < 0 || ftruncate(shared, PAGE) < 0 ||
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	f->shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
	f->shared->executing = -1;
	fflush(NULL);
	f->worker = fork();
	if (f->worker < 0)
		return -errno;
	if (f->worker == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fcntl(pair[1], F_SETFD, 0);
		fcntl(shared, F_SETFD, 0);
		snprintf(a, sizeof(a), "%d", pair[1]);
		snprintf(b, sizeof(b), "%d", shared);
		execl("/proc/self/exe", "npu-worker", "--npu-worker", a, b, (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	close(shared);
	f->socket = pair[0];
	f->irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return exchange(f, &(struct worker_command){.op = WORKER_IRQ}, &f->irq, 1);
}

/* As weir-npu does it: what the worker could not say itself. */
static void worker_died(struct file *f)
{
	bool ok;

	f->dead = true;
	waitpid(f->worker, NULL, 0);
	f->worker = 0;
	ok = f->queue && f->status->state == WEIR_NPU_QUEUE_OK;
	if (!ok)
		return;
	f->status->error_seq = f->status->completed;
	f->status->code = WEIR_NPU_FAULT_EXECUTION;
	__atomic_store_n(&f->status->state, WEIR_NPU_QUEUE_GUILTY, __ATOMIC_RELEASE);
}

/* ---- buffers ------------------------------------------------------------- */

static struct bo *get_bo(struct file *f, uint32_t handle)
{
	return handle < HANDLES && f->bos[handle].memfd >= 0 ? &f->bos[handle] : NULL;
}

/* A handle for a memfd, which becomes the file's. */
static int add_bo(struct file *f, int memfd, uint64_t size, uint32_t *handle)
{
	struct worker_command map = {
		.op = WORKER_MAP, .size = size, .prot = PROT_READ | PROT_WRITE};
	uint32_t h = 1;
	int err;

	while (h < HANDLES && f->bos[h].memfd >= 0)
		h++;
	if (h == HANDLES)
		return -ENOSPC;
	map.addr = f->next_addr;
	err = exchange(f, &map, &memfd, 1);
	if (err < 0)
		return err;
	f->next_addr += (size + 2 * PAGE + 0xffff) & ~0xffffull;
	f->bos[h] = (struct bo){.memfd = memfd, .size = size, .addr = map.addr};
	*handle = h;
	return 0;
}

static int bo_create(struct file *f, struct drm_weir_bo_create *a)
{
	uint64_t size = (a->size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	int fd, err;

	if (!a->size || a->flags & ~(WEIR_BO_WRITE_COMBINED | WEIR_BO_CONTIGUOUS))
		return -EINVAL;
	if (a->size > 1ull << 32)
		return -EDQUOT;
	fd = memfd_create("npu-buffer", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return -ENOMEM;
	err = add_bo(f, fd, size, &a->handle);
	if (err < 0) {
		close(fd);
		return err;
	}
	a->size = size;
	a->dev_addr = f->bos[a->handle].addr;
	a->mmap_offset = OFFSET_BO | (uint64_t)a->handle << 48;
	return 0;
}

static int bo_info(struct file *f, struct drm_weir_bo_info *a)
{
	const struct bo *bo = get_bo(f, a->handle);

	if (!bo)
		return -ENOENT;
	a->size = bo->size;
	a->dev_addr = bo->addr;
	a->mmap_offset = OFFSET_BO | (uint64_t)a->handle << 48;
	return 0;
}

static int bo_close(struct file *f, const struct drm_gem_close *a)
{
	struct bo *bo = get_bo(f, a->handle);
	struct worker_command unmap = {.op = WORKER_UNMAP};

	if (!bo)
		return -EINVAL;
	unmap.addr = bo->addr;
	unmap.size = bo->size;
	exchange(f, &unmap, NULL, 0);
	close(bo->memfd);
	bo->memfd = -1;
	return 0;
}

static int prime_export(struct file *f, struct drm_prime_handle *a)
{
	const struct bo *bo = get_bo(f, a->handle);

	if (!bo)
		return -ENOENT;
	a->fd = fcntl(bo->memfd, F_DUPFD_CLOEXEC, 0);
	return a->fd < 0 ? -errno : 0;
}

/* As in the kernel, what the file has already keeps its handle. */
static int prime_import(struct file *f, struct drm_prime_handle *a)
{
	struct stat st, other;
	int fd, err;

	if (fstat(a->fd, &st) < 0)
		return -EBADF;
	if (fcntl(a->fd, F_GET_SEALS) < 0)
		return -EINVAL; /* not a memfd, which is what a dma-buf is here */
	for (uint32_t h = 1; h < HANDLES; h++) {
		if (f->bos[h].memfd < 0 || fstat(f->bos[h].memfd, &other) < 0)
			continue;
		if (st.st_dev != other.st_dev || st.st_ino != other.st_ino)
			continue;
		a->handle = h;
		return 0;
	}
	fd = fcntl(a->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = add_bo(f, fd, (uint64_t)st.st_size, &a->handle);
	if (err < 0)
		close(fd);
	return err;
}

static int bo_sync(struct file *f, const struct drm_weir_bo_sync *a)
{
	const struct drm_weir_sync_range *r = (const void *)(uintptr_t)a->ranges;
	const struct bo *bo = get_bo(f, r->handle);

	if (a->count != 1 || a->stride < sizeof(*r) ||
		!(r->flags & (WEIR_SYNC_READ | WEIR_SYNC_WRITE)))
		return -EINVAL;
	if (!bo)
		return -ENOENT;
	return r->offset <= bo->size && r->size <= bo->size - r->offset ? 0 : -EINVAL;
}

/* ---- the queue ----------------------------------------------------------- */

static int queue_create(struct file *f, struct drm_weir_queue_create *a)
{
	const struct bo *ring = get_bo(f, a->ring_handle);
	struct worker_command c = {.op = WORKER_QUEUE, .control_offset = PAGE};
	int err;

	if (!ring)
		return -ENOENT;
	if (f->queue)
		return -ENOSPC;
	f->pages = memfd_create("npu-status", MFD_CLOEXEC);
	f->doorbell = memfd_create("npu-doorbell", MFD_CLOEXEC);
	if (ftruncate(f->pages, 2 * PAGE) < 0 || ftruncate(f->doorbell, STRIDE) < 0)
		return -ENOMEM;
	f->status = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, f->pages, 0);
	f->control = (struct weir_npu_control *)((char *)f->status + PAGE);
	c.addr = ring->addr + a->ring_offset;
	while (sizeof(struct weir_npu_packet) << c.order < a->ring_size)
		c.order++;
	c.queue_class = a->queue_class;
	c.priority = a->priority;
	err = exchange(f, &c, (int[]){f->pages, f->doorbell}, 2);
	if (err < 0)
		return err;
	f->queue = true;
	a->queue = 0;
	a->doorbell_offset = OFFSET_DOORBELL;
	a->status_offset = OFFSET_STATUS;
	return 0;
}

static int queue_end(struct file *f)
{
	if (!f->queue)
		return -ENOENT;
	exchange(f, &(struct worker_command){.op = WORKER_QUEUE_END}, NULL, 0);
	munmap(f->status, 2 * PAGE);
	close(f->pages);
	close(f->doorbell);
	f->queue = false;
	return 0;
}

static int queue_state(const struct file *f, struct drm_weir_queue_state *a)
{
	if (!f->queue)
		return -ENOENT;
	a->state = __atomic_load_n(&f->status->state, __ATOMIC_ACQUIRE);
	a->code = f->status->code;
	a->completed = f->status->completed;
	a->error_seq = f->status->error_seq;
	a->fault_addr = f->status->fault_addr;
	return 0;
}

/* The module's interrupt and its hang detection: no progress for so long makes the queue guilty. */
static int queue_wait(struct file *f, const struct drm_weir_queue_wait *a)
{
	struct pollfd p[2] = {{f->irq, POLLIN, 0}, {f->socket, POLLHUP, 0}};
	uint64_t before = 0, seen, drop;
	int idle = 0;

	for (;;) {
		__atomic_store_n(&f->control->irq_seq, a->seq, __ATOMIC_SEQ_CST);
		seen = __atomic_load_n(&f->status->completed, __ATOMIC_SEQ_CST);
		if (seen >= a->seq)
			return 0;
		if (__atomic_load_n(&f->status->state, __ATOMIC_ACQUIRE) != WEIR_NPU_QUEUE_OK)
			return -EIO;
		idle = seen == before ? idle + 10 : 0;
		before = seen;
		if (idle > HANG_MS * (f->status->waiting ? BUILD_PATIENCE : 1)) {
			f->status->error_seq = seen;
			f->status->code = WEIR_NPU_FAULT_HANG;
			__atomic_store_n(
				&f->status->state, WEIR_NPU_QUEUE_GUILTY, __ATOMIC_RELEASE);
			kill(f->worker, SIGKILL);
		}
		if (poll(p, 2, 10) > 0 && p[0].revents && read(f->irq, &drop, sizeof(drop)) < 0)
			continue;
		pthread_mutex_lock(&lock);
		if (p[1].revents & POLLHUP && !f->dead)
			worker_died(f);
		pthread_mutex_unlock(&lock);
	}
}

/* ---- files and ioctls ---------------------------------------------------- */

static struct file *find(int fd)
{
	for (unsigned i = 0; i < FILES; i++) {
		if (files[i].fd == fd)
			return &files[i];
	}
	return NULL;
}

static int local_open(const char *path, unsigned minor)
{
	struct file *f;

	(void)path;
	if (minor != MINOR)
		return -ENOENT;
	pthread_mutex_lock(&lock);
	f = find(-1);
	if (f) {
		memset(f, 0, sizeof(*f));
		f->fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		f->next_addr = 1 << 20;
		for (unsigned h = 0; h < HANDLES; h++)
			f->bos[h].memfd = -1;
	}
	last = f;
	pthread_mutex_unlock(&lock);
	return f ? f->fd : -EMFILE;
}

static void local_close(int fd)
{
	struct file *f;

	pthread_mutex_lock(&lock);
	f = find(fd);
	if (f->queue)
		queue_end(f);
	for (uint32_t h = 1; h < HANDLES; h++) {
		if (f->bos[h].memfd >= 0)
			bo_close(f, &(struct drm_gem_close){.handle = h});
	}
	if (f->worker) {
		kill(f->worker, SIGKILL);
		waitpid(f->worker, NULL, 0);
	}
	if (f->shared) {
		munmap(f->shared, PAGE);
		close(f->socket);
		close(f->irq);
	}
	close(f->fd);
	f->fd = -1;
	pthread_mutex_unlock(&lock);
}

static int query(const struct file *f, struct drm_weir_dev_query *a)
{
	struct drm_weir_query_device device = {
		.caps = WEIR_CAP_QUEUES | WEIR_CAP_DOORBELL | WEIR_CAP_ISOLATION |
			WEIR_CAP_COHERENT | WEIR_CAP_EMULATED,
		.page_size = PAGE,
		.doorbell_stride = STRIDE,
		.quota_max = 1ull << 32,
		.user_quota_max = 1ull << 32,
		.queues_max = 1,
		.queues_used = f->queue,
		.hang_limit_ms = HANG_MS,
	};
	const void *from =
		a->type == WEIR_QUERY_NPU ? (const void *)&identity : (const void *)&device;
	size_t size = a->type == WEIR_QUERY_NPU ? sizeof(identity) : sizeof(device);

	memcpy((void *)(uintptr_t)a->pointer, from, WEIR_MIN(size, (size_t)a->size));
	return 0;
}

static int version(struct drm_version *v)
{
	snprintf(v->name, v->name_len + 1, "weir");
	v->name_len = 4;
	return 0;
}

static int dispatch(struct file *f, unsigned long request, void *arg)
{
	int err = 0;

	switch (request) {
	case DRM_IOCTL_VERSION:
		return version(arg);
	case DRM_IOCTL_WEIR_DEV_QUERY:
		return query(f, arg);
	}
	if (!f->worker && !f->dead)
		err = start_worker(f);
	if (err < 0)
		return err;
	switch (request) {
	case DRM_IOCTL_WEIR_BO_CREATE:
		return bo_create(f, arg);
	case DRM_IOCTL_WEIR_BO_INFO:
		return bo_info(f, arg);
	case DRM_IOCTL_WEIR_BO_SYNC:
		return bo_sync(f, arg);
	case DRM_IOCTL_GEM_CLOSE:
		return bo_close(f, arg);
	case DRM_IOCTL_PRIME_HANDLE_TO_FD:
		return prime_export(f, arg);
	case DRM_IOCTL_PRIME_FD_TO_HANDLE:
		return prime_import(f, arg);
	case DRM_IOCTL_WEIR_QUEUE_CREATE:
		return queue_create(f, arg);
	case DRM_IOCTL_WEIR_QUEUE_DESTROY:
		return queue_end(f);
	case DRM_IOCTL_WEIR_QUEUE_STATE:
		return queue_state(f, arg);
	case DRM_IOCTL_WEIR_QUEUE_KICK:
		return exchange(f, &(struct worker_command){.op = WORKER_KICK}, NULL, 0);
	}
	return -ENOTTY;
}

static int local_ioctl(int fd, unsigned long request, void *arg)
{
	struct file *f;
	int err;

	pthread_mutex_lock(&lock);
	f = find(fd);
	if (request != DRM_IOCTL_WEIR_QUEUE_WAIT) {
		err = dispatch(f, request, arg);
		pthread_mutex_unlock(&lock);
		return err;
	}
	pthread_mutex_unlock(&lock);
	return queue_wait(f, arg);
}

static int local_map(int fd, uint64_t offset, size_t size, int prot, void **out)
{
	const struct file *f = find(fd);
	uint64_t kind = offset & (7ull << 40);
	int memfd = kind == OFFSET_DOORBELL ? f->doorbell : f->pages;

	if (kind == OFFSET_BO)
		memfd = f->bos[offset >> 48].memfd;
	*out = mmap(NULL, size, prot, MAP_SHARED, memfd, 0);
	return *out == MAP_FAILED ? -errno : 0;
}

static const struct weir_drm_calls calls = {
	.open = local_open,
	.ioctl = local_ioctl,
	.map = local_map,
	.close = local_close,
};

/* ---- for tests ----------------------------------------------------------- */

bool npu_local_start(int argc, char **argv)
{
	struct worker_shared *shared;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_UNDEFINED__)
	settings.sandbox = false;
#endif
	if (argc == 4 && strcmp(argv[1], "--npu-worker") == 0) {
		shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[3]), 0);
		worker_main(atoi(argv[2]), shared, &settings);
	}
	if (worker_identify(&settings, &identity) < 0) {
		printf("skip: there is no OpenCL device for an NPU's worker\n");
		return false;
	}
	for (unsigned i = 0; i < FILES; i++)
		files[i].fd = -1;
	weir_drm_calls = &calls;
	return true;
}

void npu_local_unplug(void)
{
	pthread_mutex_lock(&lock);
	last->dead = true;
	kill(last->worker, SIGKILL);
	waitpid(last->worker, NULL, 0);
	last->worker = 0;
	__atomic_store_n(&last->status->state, WEIR_NPU_QUEUE_GONE, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
}

unsigned npu_local_buffers(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FILES; i++) {
		for (unsigned h = 1; h < HANDLES && files[i].fd >= 0; h++)
			n += files[i].bos[h].memfd >= 0;
	}
	return n;
}
