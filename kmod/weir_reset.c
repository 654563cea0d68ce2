// SPDX-License-Identifier: GPL-2.0
/* weir_reset.c - the watch over awake queues, their power, hangs, and resets of the device. */
#include <linux/dma-fence.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/pm_runtime.h>
#include <linux/workqueue.h>

#include "weir.h"
#include "weir_trace.h"

/* A queue that stands still only because others of its device work is given so many limits. */
#define PATIENCE	4

/* And so many while the device says that it builds a program: compilers take seconds. */
#define BUILD_PATIENCE	15

#define WATCH_MAX_MS	250

static unsigned long hang_limit(void)
{
	return max(msecs_to_jiffies(READ_ONCE(weir_hang_limit_ms)), 2ul);
}

static unsigned long watch_period(void)
{
	return clamp(hang_limit() / 4, 1ul, msecs_to_jiffies(WATCH_MAX_MS));
}

/* ---- power --------------------------------------------------------------------------------- */

/*
 * An awake queue holds a power reference. The watch gives it back when the device has set
 * need_kick and all that was published is done (queue_look()). No wake-up is lost by that: a
 * process that rings after the watch looked at the doorbell finds need_kick set, because the device
 * had set it before and clears it only when it wakes, and then asks for a kick, which comes here
 * and takes the reference again. A process that rang before is seen in the doorbell.
 *
 * A device may wake for one queue and clear need_kick of others, which then work without a kick.
 * The watch adopts these. And before the device really sleeps, weir_queues_doze() sets need_kick of
 * all and looks at all doorbells: the same handshake once more, with a device that stands still.
 */
int weir_queue_wake(struct weir_queue *queue)
{
	struct weir_npu *npu = queue->npu;
	unsigned long flags;
	bool slept;
	int ret;

	ret = pm_runtime_resume_and_get(&npu->pdev->dev);
	if (ret < 0)
		return ret;
	spin_lock_irqsave(&queue->lock, flags);
	slept = !queue->awake && !queue->dead;
	if (slept) {
		queue->awake = true;
		queue->seen_at = jiffies;
	}
	spin_unlock_irqrestore(&queue->lock, flags);
	if (slept)
		queue_delayed_work(npu->wq, &npu->watch, watch_period());
	else
		weir_npu_power_put(npu);
	return 0;
}

static void queue_rest_locked(struct weir_queue *queue)
{
	if (!queue->awake)
		return;
	queue->awake = false;
	weir_npu_power_put(queue->npu);
}

void weir_queue_rest(struct weir_queue *queue)
{
	unsigned long flags;

	spin_lock_irqsave(&queue->lock, flags);
	queue_rest_locked(queue);
	spin_unlock_irqrestore(&queue->lock, flags);
}

static u64 queue_due(struct weir_queue *queue)
{
	return max(weir_queue_published_locked(queue), queue->fenced);
}

/* The device works for a queue that asked for no kick: it is awake. Power is there. */
static void queue_adopt(struct weir_queue *queue)
{
	queue->awake = true;
	queue->seen_at = jiffies;
	queue_delayed_work(queue->npu->wq, &queue->npu->watch, watch_period());
}

static void queues_need_kick(struct weir_npu *npu, u32 value)
{
	struct weir_queue *queue;

	list_for_each_entry(queue, &npu->queues, node)
		if (!queue->dead)
			WRITE_ONCE(queue->status->need_kick, value);
}

bool weir_queues_doze(struct weir_npu *npu, bool paused)
{
	struct weir_queue *queue;
	unsigned long flags;
	bool idle = true;

	spin_lock_irqsave(&npu->queues_lock, flags);
	if (paused)
		queues_need_kick(npu, 1);
	mb();	/* see above: who rings from now on asks for a kick */
	list_for_each_entry(queue, &npu->queues, node) {
		spin_lock(&queue->lock);
		if (!queue->dead && queue_due(queue) > weir_queue_completed(queue)) {
			idle = false;
			if (!queue->awake) {
				pm_runtime_get_noresume(&npu->pdev->dev);
				queue_adopt(queue);
			}
		}
		spin_unlock(&queue->lock);
	}
	if (paused && !idle)
		queues_need_kick(npu, 0);
	spin_unlock_irqrestore(&npu->queues_lock, flags);
	return idle;
}

void weir_queues_undoze(struct weir_npu *npu)
{
	unsigned long flags;

	spin_lock_irqsave(&npu->queues_lock, flags);
	queues_need_kick(npu, 0);
	spin_unlock_irqrestore(&npu->queues_lock, flags);
}

/* ---- the watch ----------------------------------------------------------------------------- */

/*
 * One look at one queue: true while it has to be looked at again. Progress is completed or
 * read_index that moved. Fences count as published, whatever the process wrote over its doorbell:
 * that is what bounds them.
 */
static bool queue_look(struct weir_queue *queue)
{
	u64 completed = weir_queue_completed(queue);
	u64 read = weir_queue_read_index(queue);
	bool was_busy = queue->busy;
	bool asleep, waiting;

	lockdep_assert_held(&queue->lock);
	if (queue->dead) {
		queue->busy = false;
		queue_rest_locked(queue);
		return false;
	}
	asleep = READ_ONCE(queue->status->need_kick);
	mb();	/* need_kick before the doorbell: see weir_queue_wake() */
	queue->busy = queue_due(queue) > completed;
	if (!queue->awake) {
		if (!queue->busy || asleep ||
		    pm_runtime_get_if_in_use(&queue->npu->pdev->dev) <= 0)
			return false;
		queue_adopt(queue);
	}
	waiting = queue->queue_class == WEIR_QUEUE_LONG_RUNNING &&
		  READ_ONCE(queue->status->waiting);
	if (!queue->busy || !was_busy || waiting || completed != queue->seen_completed ||
	    read != queue->seen_read) {
		queue->seen_completed = completed;
		queue->seen_read = read;
		queue->seen_at = jiffies;
	}
	if (!asleep)
		return true;
	if (!queue->busy) {
		queue_rest_locked(queue);
		return false;
	}
	/* The process rang and did not ask for a kick, or not yet. */
	weir_npu_write_kick(queue->npu, queue->hw);
	return true;
}

/* Packets were fetched that are not done. */
static bool queue_executes(struct weir_queue *queue)
{
	return queue->seen_read > queue->seen_completed;
}

/*
 * Does the device work for others that this queue may be waiting for? What was fetched waits for
 * its own context alone, and only while that moves. What was not may wait for anything, even for
 * one that hangs, whose turn comes first.
 */
static bool waits_for_others(struct weir_queue *queue)
{
	struct weir_queue *other;
	bool moves;

	list_for_each_entry(other, &queue->npu->queues, node) {
		if (other == queue || !other->busy)
			continue;
		moves = time_before(jiffies, other->seen_at + hang_limit());
		if (queue_executes(queue) ? moves && other->vm == queue->vm :
					    moves || queue_executes(other))
			return true;
	}
	return false;
}

static bool queue_hangs(struct weir_queue *queue)
{
	unsigned long stood = jiffies - queue->seen_at;

	if (!queue->awake || !queue->busy || queue->dead || stood < hang_limit())
		return false;
	if (READ_ONCE(queue->status->waiting) && stood < BUILD_PATIENCE * hang_limit())
		return false;
	return stood >= PATIENCE * hang_limit() || !waits_for_others(queue);
}

/* Looks at all queues: whether any is awake, and the one that hangs for the longest time. */
static bool watch_queues(struct weir_npu *npu, struct weir_queue **hung)
{
	struct weir_queue *queue;
	unsigned long flags;
	bool again = false;

	*hung = NULL;
	spin_lock_irqsave(&npu->queues_lock, flags);
	list_for_each_entry(queue, &npu->queues, node) {
		weir_queue_progress(queue);
		spin_lock(&queue->lock);
		again |= queue_look(queue);
		spin_unlock(&queue->lock);
	}
	list_for_each_entry(queue, &npu->queues, node)
		if (queue_hangs(queue) &&
		    (!*hung || time_before(queue->seen_at, (*hung)->seen_at)))
			*hung = queue;
	if (*hung)
		weir_queue_get(*hung);
	spin_unlock_irqrestore(&npu->queues_lock, flags);
	return again;
}

/* After one was ended, the others have their time again: they may have waited for it. */
static void restart_clocks(struct weir_npu *npu)
{
	struct weir_queue *queue;
	unsigned long flags;

	spin_lock_irqsave(&npu->queues_lock, flags);
	list_for_each_entry(queue, &npu->queues, node) {
		spin_lock(&queue->lock);
		queue->seen_at = jiffies;
		spin_unlock(&queue->lock);
	}
	spin_unlock_irqrestore(&npu->queues_lock, flags);
}

static void end_hung(struct weir_npu *npu, struct weir_queue *queue)
{
	u32 state = WEIR_NPU_QUEUE_GUILTY, code = WEIR_NPU_FAULT_HANG;
	unsigned long flags;
	u64 published;

	published = weir_queue_published(queue);
	if (!queue_executes(queue) && published >= queue->fenced) {
		/* The device never took a packet: nothing that the queue could do about it. */
		state = WEIR_NPU_QUEUE_INNOCENT;
		code = WEIR_NPU_FAULT_LOST;
	} else if (!queue_executes(queue)) {
		/* Packets that a fence was made for were taken back. */
		code = WEIR_NPU_FAULT_DOORBELL;
	}
	dev_warn_ratelimited(&npu->pdev->dev, "queue %u of %s (%d) stands still at packet %llu\n",
			     queue->id, queue->label, queue->pid, queue->seen_completed);
	spin_lock_irqsave(&queue->lock, flags);
	queue->hung = state == WEIR_NPU_QUEUE_GUILTY;
	spin_unlock_irqrestore(&queue->lock, flags);
	if (!(npu->caps & WEIR_NPU_CAP_QUEUE_RESET) || weir_queue_leave(queue, true)) {
		/* The reset of the whole device ends the queue. */
		weir_npu_failed(npu, "a queue hangs and cannot be reset");
		return;
	}
	weir_queue_kill(queue, state, code);
	/* The device may have marked others of the context. */
	weir_queues_progress(npu);
	restart_clocks(npu);
}

static void watch_work(struct work_struct *work)
{
	struct weir_npu *npu = container_of(to_delayed_work(work), struct weir_npu, watch);
	struct weir_queue *hung;
	bool signalling;
	bool again;
	int power;
	int life;

	/*
	 * Awake queues hold power. Where nobody does there is nothing to look at, and to wake the
	 * device would allocate memory, which no fence may wait for.
	 */
	power = pm_runtime_get_if_in_use(&npu->pdev->dev);
	if (!power)
		return;
	signalling = dma_fence_begin_signalling();
	down_read(&npu->reset_sem);
	life = READ_ONCE(npu->life);
	again = life != WEIR_NPU_REMOVED;
	/* A device that is asleep or failed is for others to bring back. */
	if (life == WEIR_NPU_RUNNING) {
		weir_npu_check(npu);	/* a device that died raises no interrupt */
		again = watch_queues(npu, &hung);
		if (hung) {
			end_hung(npu, hung);
			weir_queue_put(hung);
		}
	}
	up_read(&npu->reset_sem);
	dma_fence_end_signalling(signalling);
	/* Without power management, and while it is off, there was none to take. */
	if (power > 0)
		weir_npu_power_put(npu);
	if (again)
		queue_delayed_work(npu->wq, &npu->watch, watch_period());
}

/* ---- reset of the device ------------------------------------------------------------------- */

void weir_npu_failed(struct weir_npu *npu, const char *why)
{
	int running = WEIR_NPU_RUNNING;

	if (!try_cmpxchg(&npu->life, &running, WEIR_NPU_FAILED))
		return;
	dev_err_ratelimited(&npu->pdev->dev, "the NPU failed: %s\n", why);
	wake_up_all(&npu->life_wait);
	queue_work(npu->wq, &npu->reset_work);
}

static void kill_all(struct weir_npu *npu)
{
	struct weir_queue *queue;

	list_for_each_entry(queue, &npu->queues, node) {
		queue->in_device = false;
		weir_queue_kill(queue, WEIR_NPU_QUEUE_GONE, WEIR_NPU_FAULT_LOST);
	}
}

/*
 * A reset forgets the programs of a context. A queue of one that was used at all would meet the
 * lack of them some time, as a fault of its own: so it ends now, and its process knows why.
 */
static bool context_was_used(struct weir_npu *npu, struct weir_vm *vm)
{
	struct weir_queue *queue;

	list_for_each_entry(queue, &npu->queues, node)
		if (queue->vm == vm &&
		    (weir_queue_completed(queue) || weir_queue_published(queue)))
			return true;
	return false;
}

static void kill_lost(struct weir_npu *npu)
{
	struct weir_queue *queue;

	list_for_each_entry(queue, &npu->queues, node)
		queue->in_device = false;
	list_for_each_entry(queue, &npu->queues, node) {
		if (queue->hung)
			weir_queue_kill(queue, WEIR_NPU_QUEUE_GUILTY, WEIR_NPU_FAULT_HANG);
		else if (context_was_used(npu, queue->vm))
			weir_queue_kill(queue, WEIR_NPU_QUEUE_INNOCENT, WEIR_NPU_FAULT_LOST);
	}
}

static int restore_all(struct weir_npu *npu)
{
	struct weir_queue *queue;
	struct weir_vm *vm;
	int ret;

	list_for_each_entry(vm, &npu->vms, node) {
		ret = weir_vm_restore(vm);
		if (ret)
			return ret;
	}
	list_for_each_entry(queue, &npu->queues, node) {
		if (queue->dead || queue->ending)
			continue;
		ret = weir_queue_restore(queue);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * The lists change under reset_sem for reading alone, so they can be walked here without
 * queues_lock, which commands could not be waited for under.
 */
void weir_reset_device(struct weir_npu *npu)
{
	ktime_t begin = ktime_get();

	lockdep_assert_held_write(&npu->reset_sem);
	if (READ_ONCE(npu->life) != WEIR_NPU_REMOVED) {
		WRITE_ONCE(npu->resets, npu->resets + 1);
		if (!weir_npu_restart(npu)) {
			kill_lost(npu);
			if (restore_all(npu))
				weir_npu_gone(npu, "a reset did not last");
		}
	}
	if (READ_ONCE(npu->life) == WEIR_NPU_REMOVED)
		kill_all(npu);
	trace_weir_reset(npu->resets, READ_ONCE(npu->life),
			 ktime_to_ns(ktime_sub(ktime_get(), begin)));
}

static void reset_work(struct work_struct *work)
{
	struct weir_npu *npu = container_of(work, struct weir_npu, reset_work);
	bool signalling = dma_fence_begin_signalling();
	int life;

	down_write(&npu->reset_sem);
	life = READ_ONCE(npu->life);
	if (life == WEIR_NPU_FAILED || life == WEIR_NPU_REMOVED)
		weir_reset_device(npu);
	up_write(&npu->reset_sem);
	dma_fence_end_signalling(signalling);
}

int weir_reset_init(struct weir_npu *npu)
{
	npu->wq = alloc_ordered_workqueue("weir", WQ_MEM_RECLAIM);
	if (!npu->wq)
		return -ENOMEM;
	INIT_DELAYED_WORK(&npu->watch, watch_work);
	INIT_WORK(&npu->reset_work, reset_work);
	INIT_WORK(&npu->report, weir_report_work);
	return 0;
}

void weir_reset_fini(struct weir_npu *npu)
{
	cancel_delayed_work_sync(&npu->watch);
	cancel_work_sync(&npu->reset_work);
	cancel_work_sync(&npu->report);
	destroy_workqueue(npu->wq);
}
