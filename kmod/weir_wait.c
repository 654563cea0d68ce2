// SPDX-License-Identifier: GPL-2.0
/* weir_wait.c - who waits for packets: threads, eventfds and dma_fences of a queue. */
#include <linux/dma-fence.h>
#include <linux/dma-fence-chain.h>
#include <linux/eventfd.h>
#include <linux/hrtimer.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <drm/drm_syncobj.h>

#include "weir.h"
#include "weir_trace.h"

/**
 * struct weir_want - somebody wants packets to be done
 * @node: in &weir_queue.wants, by @seq
 * @seq: how many
 * @done: called once when they are, or with an error when the queue is dead; from any context,
 *	without queue->lock. NULL: a thread at &weir_queue.wait
 */
struct weir_want {
	struct list_head node;
	u64 seq;
	void (*done)(struct weir_want *want, int error);
};

static void event_done(struct weir_want *want, int error);

static void want_insert(struct weir_queue *queue, struct weir_want *want)
{
	struct weir_want *before;

	lockdep_assert_held(&queue->lock);
	/* From the end: people mostly wait for what they published last. */
	list_for_each_entry_reverse(before, &queue->wants, node)
		if (before->seq <= want->seq)
			break;
	list_add(&want->node, &before->node);
}

/* What is due goes to the list; the rest is what the device raises its interrupt for. */
static void wants_collect(struct weir_queue *queue, struct list_head *due, u64 *completed)
{
	struct weir_want *want;
	u64 next;

	lockdep_assert_held(&queue->lock);
	do {
		*completed = weir_queue_completed(queue);
		next = 0;
		while (!list_empty(&queue->wants)) {
			want = list_first_entry(&queue->wants, struct weir_want, node);
			if (!queue->dead && want->seq > *completed) {
				next = want->seq;
				break;
			}
			if (want->done == event_done)
				queue->n_events--;
			if (want->done)
				list_move_tail(&want->node, due);
			else
				list_del_init(&want->node);
		}
		WRITE_ONCE(queue->control->irq_seq, next);
		/*
		 * The device counts, then looks at irq_seq; we write irq_seq, then look at the
		 * count. With a full barrier in both, one of the two sees the other.
		 */
		mb();
	} while (next && weir_queue_completed(queue) >= next);
}

void weir_queue_progress(struct weir_queue *queue)
{
	struct weir_want *want, *next;
	unsigned long flags;
	LIST_HEAD(due);
	u64 completed;
	u32 state;
	int error;

	spin_lock_irqsave(&queue->lock, flags);
	state = READ_ONCE(queue->status->state);
	if (state != WEIR_NPU_QUEUE_OK)
		weir_queue_die_locked(queue, state, WEIR_NPU_FAULT_LOST);
	wants_collect(queue, &due, &completed);
	error = queue->state == WEIR_NPU_QUEUE_GONE ? -ENODEV : -EIO;
	wake_up_all(&queue->wait);
	spin_unlock_irqrestore(&queue->lock, flags);

	list_for_each_entry_safe(want, next, &due, node)
		want->done(want, want->seq <= completed ? 0 : error);
}

void weir_queues_progress(struct weir_npu *npu)
{
	struct weir_queue *queue;
	unsigned long flags;

	spin_lock_irqsave(&npu->queues_lock, flags);
	list_for_each_entry(queue, &npu->queues, node)
		weir_queue_progress(queue);
	spin_unlock_irqrestore(&npu->queues_lock, flags);
}

/* ---- fences -------------------------------------------------------------------------------- */

/**
 * struct weir_fence - a dma_fence for packets of a queue
 * @base: the fence
 * @lock: its lock, here because fences outlive queues and even the device
 * @want: what it waits for; the list holds a reference
 *
 * A fence holds nothing of its queue, and the module for as long as it lives.
 */
struct weir_fence {
	struct dma_fence base;
	spinlock_t lock;	/* that of base */
	struct weir_want want;
};

static const char *fence_driver_name(struct dma_fence *fence)
{
	return WEIR_NAME;
}

static const char *fence_timeline_name(struct dma_fence *fence)
{
	return "queue";
}

/* Module exit waits for these by rcu_barrier(). */
static void fence_free(struct rcu_head *rcu)
{
	kfree(container_of(rcu, struct weir_fence, base.rcu));
	module_put(THIS_MODULE);
}

static void fence_release(struct dma_fence *base)
{
	call_rcu(&base->rcu, fence_free);
}

static const struct dma_fence_ops fence_ops = {
	.get_driver_name = fence_driver_name,
	.get_timeline_name = fence_timeline_name,
	.release = fence_release,
};

static void fence_done(struct weir_want *want, int error)
{
	struct weir_fence *fence = container_of(want, struct weir_fence, want);

	if (error)
		dma_fence_set_error(&fence->base, error);
	trace_weir_fence_signal(fence->base.context, want->seq, error);
	dma_fence_signal(&fence->base);
	dma_fence_put(&fence->base);
}

static struct weir_fence *fence_create(struct weir_queue *queue, u64 seq)
{
	struct weir_fence *fence = kzalloc(sizeof(*fence), GFP_KERNEL_ACCOUNT);

	if (!fence)
		return NULL;
	__module_get(THIS_MODULE);
	spin_lock_init(&fence->lock);
	INIT_LIST_HEAD(&fence->want.node);
	fence->want.seq = seq;
	fence->want.done = fence_done;
	dma_fence_init(&fence->base, &fence_ops, &fence->lock, queue->fence_context, seq);
	return fence;
}

/* A fence for the same packets that has not signalled yet: so fences are no more than packets. */
static struct weir_fence *fence_find(struct weir_queue *queue, u64 seq)
{
	struct weir_want *want;

	list_for_each_entry_reverse(want, &queue->wants, node) {
		if (want->seq < seq)
			break;
		if (want->seq == seq && want->done == fence_done)
			return container_of(want, struct weir_fence, want);
	}
	return NULL;
}

/*
 * A fence is for published packets alone, which either complete, or stand still until the watch
 * kills the queue. What the process does to doorbell and ring from now on can make the packets
 * fail, but not last: fenced remembers what was published.
 */
static struct dma_fence *fence_add(struct weir_queue *queue, u64 seq)
{
	struct weir_fence *fence = fence_create(queue, seq), *same;
	struct dma_fence *result;
	unsigned long flags;
	int ret = -EIO;

	if (!fence)
		return ERR_PTR(-ENOMEM);
	spin_lock_irqsave(&queue->lock, flags);
	if (queue->dead)
		goto unlock;
	ret = -EINVAL;
	if (seq > weir_queue_published_locked(queue) ||
	    seq > weir_queue_read_index(queue) + (1ull << queue->order))
		goto unlock;
	ret = 0;
	same = fence_find(queue, seq);
	if (!same) {
		same = fence;
		dma_fence_get(&fence->base);
		want_insert(queue, &fence->want);
	}
	queue->fenced = max(queue->fenced, seq);
	result = dma_fence_get(&same->base);
unlock:
	spin_unlock_irqrestore(&queue->lock, flags);
	dma_fence_put(&fence->base);
	return ret ? ERR_PTR(ret) : result;
}

/*
 * The device has to come to the packets without the process's help, even if it was about to sleep
 * when they were published. A queue with a fence that waits does not lose its power.
 */
static void fence_push(struct weir_queue *queue)
{
	struct weir_npu *npu = queue->npu;
	bool push;

	weir_queue_progress(queue);
	mb();	/* published was read before: as a process does before it looks at need_kick */
	push = !READ_ONCE(queue->awake) || READ_ONCE(queue->status->need_kick);
	if (!push || weir_queue_completed(queue) >= READ_ONCE(queue->fenced))
		return;
	if (weir_npu_down_settled(npu) && !READ_ONCE(queue->dead) && weir_queue_kick(queue))
		weir_npu_failed(npu, "it does not wake up for a queue");
	weir_npu_up_read(npu);
}

static int queue_fence(struct weir_queue *queue, struct drm_syncobj *syncobj,
		       const struct drm_weir_queue_fence *args)
{
	struct dma_fence_chain *chain = NULL;
	struct dma_fence *fence;

	if (args->point) {
		chain = dma_fence_chain_alloc();
		if (!chain)
			return -ENOMEM;
	}
	fence = fence_add(queue, args->seq);
	if (IS_ERR(fence)) {
		dma_fence_chain_free(chain);
		return PTR_ERR(fence);
	}
	fence_push(queue);
	if (chain)
		drm_syncobj_add_point(syncobj, chain, fence, args->point);
	else
		drm_syncobj_replace_fence(syncobj, fence);
	dma_fence_put(fence);
	return 0;
}

int weir_queue_fence_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_weir_queue_fence *args = data;
	struct weir_file *wf = file->driver_priv;
	struct drm_syncobj *syncobj;
	struct weir_queue *queue;
	int ret = -EINVAL;

	if (!wf->vm)
		return -EOPNOTSUPP;
	queue = weir_queue_lookup(wf, args->queue);
	if (!queue)
		return -ENOENT;
	if (!args->seq || queue->queue_class != WEIR_QUEUE_FENCED)
		goto put;
	syncobj = drm_syncobj_find(file, args->syncobj);
	if (!syncobj) {
		ret = -ENOENT;
		goto put;
	}
	ret = queue_fence(queue, syncobj, args);
	drm_syncobj_put(syncobj);
put:
	weir_queue_put(queue);
	return ret;
}

/* ---- eventfds ------------------------------------------------------------------------------ */

/**
 * struct weir_event - an eventfd that waits
 * @want: what for
 * @eventfd: signalled once
 */
struct weir_event {
	struct weir_want want;
	struct eventfd_ctx *eventfd;
};

static void event_done(struct weir_want *want, int error)
{
	struct weir_event *event = container_of(want, struct weir_event, want);

	weir_eventfd_signal(event->eventfd);
	eventfd_ctx_put(event->eventfd);
	kfree(event);
}

static int wait_later(struct weir_queue *queue, const struct drm_weir_queue_wait *args)
{
	struct weir_event *event;
	unsigned long flags;
	int ret = 0;

	event = kzalloc(sizeof(*event), GFP_KERNEL_ACCOUNT);
	if (!event)
		return -ENOMEM;
	event->want.seq = args->seq;
	event->want.done = event_done;
	event->eventfd = eventfd_ctx_fdget(args->eventfd);
	if (IS_ERR(event->eventfd)) {
		kfree(event);
		return -EBADF;
	}
	spin_lock_irqsave(&queue->lock, flags);
	if (queue->dead && weir_queue_completed(queue) < args->seq)
		ret = queue->state == WEIR_NPU_QUEUE_GONE ? -ENODEV : -EIO;
	else if (queue->n_events >= WEIR_QUEUE_EVENTFDS)
		ret = -ENOSPC;
	if (!ret) {
		queue->n_events++;
		want_insert(queue, &event->want);
	}
	spin_unlock_irqrestore(&queue->lock, flags);
	if (ret) {
		eventfd_ctx_put(event->eventfd);
		kfree(event);
		return ret;
	}
	weir_queue_progress(queue);
	return 0;
}

/* ---- threads ------------------------------------------------------------------------------- */

/* 1: the wait is over, 0: not yet, or -errno */
static int wait_look(struct weir_queue *queue, u64 seq)
{
	unsigned long flags;
	int ret = 0;

	if (weir_queue_completed(queue) >= seq)
		return 1;
	spin_lock_irqsave(&queue->lock, flags);
	if (queue->dead && weir_queue_completed(queue) < seq)
		ret = queue->state == WEIR_NPU_QUEUE_GONE ? -ENODEV : -EIO;
	spin_unlock_irqrestore(&queue->lock, flags);
	return ret;
}

static int wait_here(struct weir_queue *queue, const struct drm_weir_queue_wait *args)
{
	struct weir_want want = { .seq = args->seq };
	ktime_t until = ns_to_ktime(max_t(s64, args->timeout_ns, 0));
	ktime_t *expires = args->timeout_ns == S64_MAX ? NULL : &until;
	DEFINE_WAIT(wait);
	unsigned long flags;
	int ret;

	spin_lock_irqsave(&queue->lock, flags);
	want_insert(queue, &want);
	spin_unlock_irqrestore(&queue->lock, flags);
	weir_queue_progress(queue);
	for (;;) {
		prepare_to_wait(&queue->wait, &wait, TASK_INTERRUPTIBLE);
		ret = wait_look(queue, args->seq);
		if (ret)
			break;
		/* The time is absolute: the call can be repeated as it is. */
		if (signal_pending(current)) {
			ret = -ERESTARTSYS;
			break;
		}
		if (!schedule_hrtimeout(expires, HRTIMER_MODE_ABS)) {
			ret = wait_look(queue, args->seq);
			ret = ret ? ret : -ETIME;
			break;
		}
	}
	finish_wait(&queue->wait, &wait);
	spin_lock_irqsave(&queue->lock, flags);
	list_del(&want.node);
	spin_unlock_irqrestore(&queue->lock, flags);
	return ret > 0 ? 0 : ret;
}

int weir_queue_wait_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_weir_queue_wait *args = data;
	struct weir_file *wf = file->driver_priv;
	struct weir_queue *queue;
	int ret;

	if (!wf->vm)
		return -EOPNOTSUPP;
	if (args->flags || args->pad)
		return -EINVAL;
	queue = weir_queue_lookup(wf, args->queue);
	if (!queue)
		return -ENOENT;
	ret = args->eventfd == -1 ? wait_here(queue, args) : wait_later(queue, args);
	weir_queue_put(queue);
	return ret;
}
