// SPDX-License-Identifier: GPL-2.0
/* weir_report.c - what was found where a queue failed, as text, by way of devcoredump. */
#include <linux/devcoredump.h>
#include <linux/highmem.h>
#include <linux/pm_runtime.h>
#include <linux/seq_buf.h>
#include <linux/vmalloc.h>

#include "weir.h"

#define REPORT_BYTES	(64u << 10)
/* Packets before and after the one that failed. */
#define REPORT_AROUND	8

static void report_registers(struct seq_buf *s, struct weir_npu *npu)
{
	seq_buf_printf(s, "device: %s, %s\n", npu->identity->name, npu->identity->version);
	seq_buf_printf(s, "resets: %u\nfaults: %d\n", npu->resets, atomic_read(&npu->faults));
	if (weir_npu_down_read(npu))
		return;
	if (!pm_runtime_resume_and_get(&npu->pdev->dev)) {
		seq_buf_printf(s, "registers: caps %#x status %#x control %#x\n",
			       weir_npu_read(npu, WEIR_NPU_REG_CAPS),
			       weir_npu_read(npu, WEIR_NPU_REG_STATUS),
			       weir_npu_read(npu, WEIR_NPU_REG_CONTROL));
		weir_npu_power_put(npu);
	}
	weir_npu_up_read(npu);
}

static void report_queue(struct seq_buf *s, struct weir_queue *queue)
{
	const struct weir_npu_status *status = queue->status;

	seq_buf_printf(s, "%s (%d) queue %u hw %d context %u class %s priority %u\n", queue->label,
		       queue->pid, queue->id, queue->hw, queue->vm->ctx,
		       queue->queue_class ? "long-running" : "fenced", queue->priority);
	seq_buf_printf(s, "\tstate %s code %s error_seq %llu fault_addr %#llx\n",
		       weir_state_name(READ_ONCE(status->state)),
		       weir_fault_name(READ_ONCE(status->code)),
		       READ_ONCE(status->error_seq), READ_ONCE(status->fault_addr));
	seq_buf_printf(s, "\tcompleted %llu read_index %llu published %llu ring %#llx packets %u\n",
		       READ_ONCE(status->completed), READ_ONCE(status->read_index),
		       weir_queue_published(queue), queue->ring_addr, 1u << queue->order);
}

static void report_queues(struct seq_buf *s, struct weir_npu *npu)
{
	struct weir_queue *queue;
	unsigned long flags;

	seq_buf_printf(s, "all queues:\n");
	spin_lock_irqsave(&npu->queues_lock, flags);
	list_for_each_entry(queue, &npu->queues, node)
		report_queue(s, queue);
	spin_unlock_irqrestore(&npu->queues_lock, flags);
}

static void report_packet(struct seq_buf *s, struct weir_queue *queue, u64 seq, bool failed)
{
	u64 slot = seq & ((1ull << queue->order) - 1);
	u64 offset = queue->ring_offset + slot * WEIR_NPU_PACKET_SIZE;
	u64 words[WEIR_NPU_PACKET_SIZE / sizeof(u64)];
	unsigned int i;

	memcpy_from_page((char *)words, queue->ring->pages[offset >> PAGE_SHIFT],
			 offset_in_page(offset), sizeof(words));
	seq_buf_printf(s, "%c%llu:", failed ? '>' : ' ', seq);
	for (i = 0; i < ARRAY_SIZE(words); i++)
		seq_buf_printf(s, " %016llx", words[i]);
	seq_buf_printf(s, "\n");
}

static void report_packets(struct seq_buf *s, struct weir_queue *queue)
{
	u64 failed = READ_ONCE(queue->status->error_seq);
	u64 first = failed > REPORT_AROUND ? failed - REPORT_AROUND : 0;
	u64 seq;

	if (!queue->ring->pages) {
		seq_buf_printf(s, "packets: the ring is a foreign buffer\n");
		return;
	}
	seq_buf_printf(s, "packets, as 64-bit words:\n");
	for (seq = first; seq <= failed + REPORT_AROUND; seq++)
		report_packet(s, queue, seq, seq == failed);
}

static void report_bindings(struct seq_buf *s, struct weir_vm *vm)
{
	u32 i;

	seq_buf_printf(s, "buffers of context %u:\n", vm->ctx);
	mutex_lock(&vm->lock);
	for (i = 0; vm->table && i < vm->entries; i++)
		if (vm->table[i].flags & WEIR_NPU_ENTRY_VALID)
			seq_buf_printf(s, "\t%#llx to %#llx, %u segments\n", vm->table[i].addr,
				       vm->table[i].addr + vm->table[i].size, vm->table[i].count);
	mutex_unlock(&vm->lock);
}

static void report_write(struct weir_queue *queue)
{
	struct weir_npu *npu = queue->npu;
	char *text = vzalloc(REPORT_BYTES);
	struct seq_buf s;

	if (!text)
		return;
	seq_buf_init(&s, text, REPORT_BYTES);
	seq_buf_printf(&s, "weir: a queue failed\n");
	report_registers(&s, npu);
	report_queue(&s, queue);
	report_packets(&s, queue);
	report_bindings(&s, queue->vm);
	report_queues(&s, npu);
	/* Owns the text from here on, even where the kernel has no coredumps. */
	dev_coredumpv(&npu->pdev->dev, text, seq_buf_used(&s), GFP_KERNEL);
}

/* The next guilty queue without a report, with a reference. */
static struct weir_queue *report_next(struct weir_npu *npu)
{
	struct weir_queue *queue, *found = NULL;
	unsigned long flags;

	spin_lock_irqsave(&npu->queues_lock, flags);
	list_for_each_entry(queue, &npu->queues, node) {
		spin_lock(&queue->lock);
		if (queue->dead && !queue->reported && queue->state == WEIR_NPU_QUEUE_GUILTY) {
			queue->reported = true;
			found = weir_queue_get(queue);
		}
		spin_unlock(&queue->lock);
		if (found)
			break;
	}
	spin_unlock_irqrestore(&npu->queues_lock, flags);
	return found;
}

/* weir_queue_end() waits for this work before it gives up ring and address space. */
void weir_report_work(struct work_struct *work)
{
	struct weir_npu *npu = container_of(work, struct weir_npu, report);
	struct weir_queue *queue;

	while ((queue = report_next(npu))) {
		report_write(queue);
		weir_queue_put(queue);
	}
}
