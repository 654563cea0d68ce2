// SPDX-License-Identifier: GPL-2.0
/* The NPU by its registers: life and death, the admin ring, start, pause and sleep. */

#include <linux/dma-fence.h>
#include <linux/iopoll.h>
#include <linux/ktime.h>
#include <linux/pm_runtime.h>

#include <drm/drm_print.h>

#include "weir.h"
#include "weir_trace.h"

/* A command may have to start a process of the device model: seconds on a busy machine. */
#define WEIR_ADMIN_MS		10000
#define WEIR_ADMIN_LOOK_MS	100	/* interrupts can be lost: look so often without one */
#define WEIR_RESET_US		(4 * USEC_PER_SEC)
#define WEIR_SETTLE_MS		60000	/* a reset and all restores, at their limits */
#define WEIR_IDLE_MS		100	/* no queue is awake, so nothing should execute */
#define WEIR_SLEEP_MS		1000	/* what executes may go on so long before system sleep */

void weir_npu_write_kick(struct weir_npu *npu, u32 hw_queue)
{
	weir_npu_write(npu, WEIR_NPU_REG_KICK, hw_queue);
}

void weir_npu_power_put(struct weir_npu *npu)
{
	pm_runtime_mark_last_busy(&npu->pdev->dev);
	pm_runtime_put_autosuspend(&npu->pdev->dev);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Nothing brings a removed device back. */
static void weir_npu_set_life(struct weir_npu *npu, int life)
{
	int old = READ_ONCE(npu->life);

	do {
		if (old == WEIR_NPU_REMOVED)
			return;
	} while (!try_cmpxchg(&npu->life, &old, life));
	wake_up_all(&npu->life_wait);
}

/*
 * Who sees REMOVED frees memory that the device could reach: so bus mastering ends first. Reading
 * back lets writes that are on their way arrive before.
 */
static void weir_npu_end_life(struct weir_npu *npu)
{
	u16 command;

	pci_clear_master(npu->pdev);
	pci_read_config_word(npu->pdev, PCI_COMMAND, &command);
	/* Pairs with the acquire in weir_npu_down_settled(). */
	smp_store_release(&npu->life, WEIR_NPU_REMOVED);
	wake_up_all(&npu->life_wait);
}

void weir_npu_gone(struct weir_npu *npu, const char *why)
{
	if (READ_ONCE(npu->life) == WEIR_NPU_REMOVED)
		return;
	dev_err_ratelimited(&npu->pdev->dev, "the NPU is gone: %s\n", why);
	weir_npu_end_life(npu);
	queue_work(npu->wq, &npu->reset_work);
}

/*
 * Waking up allocates memory, so it comes before reset_sem is taken: the delay of autosuspend keeps
 * the device awake until a command holds power.
 */
static void weir_npu_rouse(struct weir_npu *npu)
{
	if (READ_ONCE(npu->life) == WEIR_NPU_RUNNING &&
	    !pm_runtime_resume_and_get(&npu->pdev->dev))
		weir_npu_power_put(npu);
}

int weir_npu_down_read(struct weir_npu *npu)
{
	int life;

	for (;;) {
		weir_npu_rouse(npu);
		down_read(&npu->reset_sem);
		life = READ_ONCE(npu->life);
		if (life == WEIR_NPU_RUNNING)
			return 0;
		up_read(&npu->reset_sem);
		if (life != WEIR_NPU_SUSPENDED)
			return life == WEIR_NPU_FAILED ? -EIO : -ENODEV;
		if (wait_event_killable(npu->life_wait,
					READ_ONCE(npu->life) != WEIR_NPU_SUSPENDED))
			return -EINTR;
	}
}

void weir_npu_up_read(struct weir_npu *npu)
{
	up_read(&npu->reset_sem);
}

bool weir_npu_down_settled(struct weir_npu *npu)
{
	int life;

	for (;;) {
		weir_npu_rouse(npu);
		down_read(&npu->reset_sem);
		/* Pairs with the release in weir_npu_end_life(). */
		life = smp_load_acquire(&npu->life);
		if (life == WEIR_NPU_RUNNING || life == WEIR_NPU_REMOVED)
			return life == WEIR_NPU_RUNNING;
		up_read(&npu->reset_sem);
		if (life == WEIR_NPU_SUSPENDED)
			wait_event(npu->life_wait, READ_ONCE(npu->life) != WEIR_NPU_SUSPENDED);
		else if (!wait_event_timeout(npu->life_wait,
					     READ_ONCE(npu->life) != WEIR_NPU_FAILED,
					     msecs_to_jiffies(WEIR_SETTLE_MS)))
			weir_npu_gone(npu, "it was not reset in time");
	}
}

/* ---- admin ring ------------------------------------------------------------------------------ */

static int weir_npu_errno(u32 result)
{
	switch (result) {
	case WEIR_NPU_RESULT_OK:
		return 0;
	case WEIR_NPU_RESULT_RESOURCE:
		return -ENOSPC;
	default:
		return -EIO;
	}
}

int weir_npu_check(struct weir_npu *npu)
{
	u32 status = weir_npu_read(npu, WEIR_NPU_REG_STATUS);

	if (status == ~0u) {
		weir_npu_gone(npu, "its registers do not answer");
		return -ENODEV;
	}
	if (status & WEIR_NPU_STATUS_FAILED) {
		weir_npu_failed(npu, "it says so");
		return -EIO;
	}
	return 0;
}

static int weir_npu_await(struct weir_npu *npu, struct weir_npu_admin *entry)
{
	unsigned long deadline = jiffies + msecs_to_jiffies(WEIR_ADMIN_MS);
	bool late;
	int ret;

	for (;;) {
		wait_for_completion_timeout(&npu->admin_done,
					    msecs_to_jiffies(WEIR_ADMIN_LOOK_MS));
		/* Looked at before the entry, which is looked at once more after the time is up. */
		late = time_after(jiffies, deadline);
		if (READ_ONCE(entry->done)) {
			dma_rmb();	/* result was written before done */
			return 0;
		}
		ret = weir_npu_check(npu);
		if (ret)
			return ret;
		if (late) {
			weir_npu_failed(npu, "an admin command is late");
			return -EIO;
		}
	}
}

static int weir_npu_post(struct weir_npu *npu, const struct weir_npu_admin *command)
{
	struct weir_npu_admin *entry = &npu->admin[npu->admin_tail % WEIR_ADMIN_ENTRIES];
	int ret;

	*entry = *command;
	entry->result = 0;
	entry->done = 0;
	reinit_completion(&npu->admin_done);
	WRITE_ONCE(npu->admin_busy, true);
	wmb();	/* the entry is in memory before the device hears of it */
	weir_npu_write(npu, WEIR_NPU_REG_ADMIN_TAIL, ++npu->admin_tail);
	ret = weir_npu_await(npu, entry);
	WRITE_ONCE(npu->admin_busy, false);
	if (ret)
		return ret;
	if (entry->result)
		drm_dbg_driver(&npu->wdev->drm, "admin command %u refused: %u\n", command->op,
			       entry->result);
	return weir_npu_errno(entry->result);
}

int weir_npu_command(struct weir_npu *npu, const struct weir_npu_admin *command)
{
	int life = READ_ONCE(npu->life);
	ktime_t begin;
	int ret;

	lockdep_assert_held(&npu->reset_sem);
	if (life != WEIR_NPU_RUNNING)
		return life == WEIR_NPU_REMOVED ? -ENODEV : -EIO;
	ret = pm_runtime_resume_and_get(&npu->pdev->dev);
	if (ret) {
		weir_npu_gone(npu, "it does not wake up");
		return -ENODEV;
	}
	mutex_lock(&npu->admin_lock);
	begin = ktime_get();
	ret = weir_npu_post(npu, command);
	mutex_unlock(&npu->admin_lock);
	trace_weir_command(command, ret, ktime_to_ns(ktime_sub(ktime_get(), begin)));
	weir_npu_power_put(npu);
	return ret;
}

/* ---- start and stop: with power, reset_sem held for writing or nobody else there ------------- */

/* Makes the device forget all; when it has, nothing of before touches memory. */
static int weir_npu_quiesce(struct weir_npu *npu)
{
	u32 status;
	int ret;

	weir_npu_write(npu, WEIR_NPU_REG_CONTROL, WEIR_NPU_CONTROL_RESET);
	ret = readl_poll_timeout(npu->regs + WEIR_NPU_REG_STATUS, status,
				 status & WEIR_NPU_STATUS_READY, 500, WEIR_RESET_US);
	/* A device that is gone reads as ones: it "failed" too. */
	return ret || (status & WEIR_NPU_STATUS_FAILED) ? -EIO : 0;
}

static void weir_npu_run(struct weir_npu *npu)
{
	weir_npu_write(npu, WEIR_NPU_REG_CONTROL, WEIR_NPU_CONTROL_RUN);
}

static int weir_npu_start(struct weir_npu *npu)
{
	const struct weir_npu_admin identify = {
		.op = WEIR_NPU_ADMIN_IDENTIFY,
		.addr = npu->admin_dma + WEIR_ADMIN_BYTES,
	};
	int ret;

	ret = weir_npu_quiesce(npu);
	if (ret)
		return ret;
	pci_set_master(npu->pdev);
	memset(npu->admin, 0, WEIR_ADMIN_BYTES);
	npu->admin_tail = 0;
	weir_npu_write(npu, WEIR_NPU_REG_ADMIN_LO, lower_32_bits(npu->admin_dma));
	weir_npu_write(npu, WEIR_NPU_REG_ADMIN_HI, upper_32_bits(npu->admin_dma));
	weir_npu_write(npu, WEIR_NPU_REG_ADMIN_SIZE, WEIR_ADMIN_ENTRIES);
	weir_npu_run(npu);
	npu->lost = false;
	weir_npu_set_life(npu, WEIR_NPU_RUNNING);
	/* Shows that it takes commands. */
	return weir_npu_command(npu, &identify);
}

int weir_npu_restart(struct weir_npu *npu)
{
	int ret;

	ret = pm_runtime_resume_and_get(&npu->pdev->dev);
	if (!ret) {
		ret = weir_npu_start(npu);
		weir_npu_power_put(npu);
	}
	if (ret)
		weir_npu_gone(npu, "a reset did not help");
	return ret ? -EIO : 0;
}

int weir_npu_pause(struct weir_npu *npu, unsigned int limit_ms)
{
	u32 status;
	int ret;

	weir_npu_write(npu, WEIR_NPU_REG_CONTROL, 0);
	ret = readl_poll_timeout(npu->regs + WEIR_NPU_REG_STATUS, status,
				 status & (WEIR_NPU_STATUS_IDLE | WEIR_NPU_STATUS_FAILED),
				 200, limit_ms * USEC_PER_MSEC);
	if (!ret && !(status & WEIR_NPU_STATUS_FAILED))
		return 0;
	weir_npu_run(npu);
	return -EBUSY;
}

/* After sleep: the device still has admin ring and contexts. */
static bool weir_npu_kept_state(struct weir_npu *npu)
{
	u32 status = weir_npu_read(npu, WEIR_NPU_REG_STATUS);

	return (status & WEIR_NPU_STATUS_READY) && !(status & WEIR_NPU_STATUS_FAILED) &&
	       weir_npu_read(npu, WEIR_NPU_REG_ADMIN_LO) == lower_32_bits(npu->admin_dma) &&
	       weir_npu_read(npu, WEIR_NPU_REG_ADMIN_HI) == upper_32_bits(npu->admin_dma) &&
	       weir_npu_read(npu, WEIR_NPU_REG_ADMIN_SIZE) == WEIR_ADMIN_ENTRIES;
}

/* ---- sleep and end --------------------------------------------------------------------------- */

void weir_npu_sleep(struct weir_npu *npu)
{
	down_write(&npu->reset_sem);
	if (READ_ONCE(npu->life) != WEIR_NPU_REMOVED) {
		npu->lost = READ_ONCE(npu->life) != WEIR_NPU_RUNNING ||
			    weir_npu_pause(npu, WEIR_SLEEP_MS);
		if (npu->lost && weir_npu_quiesce(npu))
			weir_npu_gone(npu, "it neither pauses nor resets");
		weir_npu_set_life(npu, WEIR_NPU_SUSPENDED);
	}
	up_write(&npu->reset_sem);
}

void weir_npu_wake(struct weir_npu *npu)
{
	bool signalling = dma_fence_begin_signalling();

	down_write(&npu->reset_sem);
	if (READ_ONCE(npu->life) == WEIR_NPU_SUSPENDED) {
		if (npu->lost || !weir_npu_kept_state(npu)) {
			weir_reset_device(npu);
		} else {
			weir_npu_run(npu);
			weir_npu_set_life(npu, WEIR_NPU_RUNNING);
		}
	}
	up_write(&npu->reset_sem);
	dma_fence_end_signalling(signalling);
}

int weir_npu_doze(struct weir_npu *npu)
{
	int ret;

	/* A device that failed is left to the reset, which holds power. */
	if (READ_ONCE(npu->life) != WEIR_NPU_RUNNING)
		return 0;
	ret = weir_npu_pause(npu, WEIR_IDLE_MS);
	if (weir_queues_doze(npu, !ret))
		return ret;
	if (!ret)
		weir_npu_run(npu);
	return -EBUSY;
}

void weir_npu_undoze(struct weir_npu *npu)
{
	if (READ_ONCE(npu->life) != WEIR_NPU_RUNNING)
		return;
	/* Who woke it may hold reset_sem: a reset is work for another. */
	if (!weir_npu_kept_state(npu)) {
		weir_npu_failed(npu, "it lost its state in sleep");
		return;
	}
	weir_queues_undoze(npu);
	weir_npu_run(npu);
}

void weir_npu_halt(struct weir_npu *npu)
{
	down_write(&npu->reset_sem);
	if (READ_ONCE(npu->life) != WEIR_NPU_REMOVED && weir_npu_quiesce(npu))
		dev_warn(&npu->pdev->dev, "the NPU does not answer while it is removed\n");
	weir_npu_end_life(npu);
	up_write(&npu->reset_sem);
}
