/* SPDX-License-Identifier: GPL-2.0 */
/* weir_trace.h - trace points: queues, fences, resets and admin commands. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM weir

#if !defined(WEIR_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define WEIR_TRACE_H

#include <linux/tracepoint.h>

#include "weir.h"

DECLARE_EVENT_CLASS(weir_queue,
		    TP_PROTO(struct weir_queue *queue),
		    TP_ARGS(queue),
		    TP_STRUCT__entry(__field(pid_t, pid)
				     __field(u32, id)
				     __field(int, hw)
				     __field(u32, queue_class)
				     __field(u32, packets)
		    ),
		    TP_fast_assign(__entry->pid = queue->pid;
				   __entry->id = queue->id;
				   __entry->hw = queue->hw;
				   __entry->queue_class = queue->queue_class;
				   __entry->packets = 1u << queue->order;
		    ),
		    TP_printk("pid=%d queue=%u hw=%d class=%s packets=%u", __entry->pid,
			      __entry->id, __entry->hw,
			      __entry->queue_class ? "long-running" : "fenced",
			      __entry->packets)
);

DEFINE_EVENT(weir_queue, weir_queue_create,
	     TP_PROTO(struct weir_queue *queue),
	     TP_ARGS(queue)
);

DEFINE_EVENT(weir_queue, weir_queue_destroy,
	     TP_PROTO(struct weir_queue *queue),
	     TP_ARGS(queue)
);

DEFINE_EVENT(weir_queue, weir_queue_kick,
	     TP_PROTO(struct weir_queue *queue),
	     TP_ARGS(queue)
);

TRACE_EVENT(weir_queue_kill,
	    TP_PROTO(struct weir_queue *queue, u64 completed),
	    TP_ARGS(queue, completed),
	    TP_STRUCT__entry(__field(pid_t, pid)
			     __field(u32, id)
			     __field(int, hw)
			     __field(u32, state)
			     __field(u32, code)
			     __field(u64, completed)
	    ),
	    TP_fast_assign(__entry->pid = queue->pid;
			   __entry->id = queue->id;
			   __entry->hw = queue->hw;
			   __entry->state = queue->state;
			   __entry->code = queue->code;
			   __entry->completed = completed;
	    ),
	    TP_printk("pid=%d queue=%u hw=%d state=%u code=%u completed=%llu", __entry->pid,
		      __entry->id, __entry->hw, __entry->state, __entry->code, __entry->completed)
);

TRACE_EVENT(weir_fence_signal,
	    TP_PROTO(u64 context, u64 seq, int error),
	    TP_ARGS(context, seq, error),
	    TP_STRUCT__entry(__field(u64, context)
			     __field(u64, seq)
			     __field(int, error)
	    ),
	    TP_fast_assign(__entry->context = context;
			   __entry->seq = seq;
			   __entry->error = error;
	    ),
	    TP_printk("context=%llu seq=%llu error=%d", __entry->context, __entry->seq,
		      __entry->error)
);

TRACE_EVENT(weir_reset,
	    TP_PROTO(u32 resets, int life, u64 ns),
	    TP_ARGS(resets, life, ns),
	    TP_STRUCT__entry(__field(u32, resets)
			     __field(int, life)
			     __field(u64, ns)
	    ),
	    TP_fast_assign(__entry->resets = resets;
			   __entry->life = life;
			   __entry->ns = ns;
	    ),
	    TP_printk("resets=%u %s in %llu ns", __entry->resets,
		      __entry->life == WEIR_NPU_RUNNING ? "running" : "gone", __entry->ns)
);

TRACE_EVENT(weir_command,
	    TP_PROTO(const struct weir_npu_admin *command, int ret, u64 ns),
	    TP_ARGS(command, ret, ns),
	    TP_STRUCT__entry(__field(u32, op)
			     __field(u32, ctx)
			     __field(u32, queue)
			     __field(int, ret)
			     __field(u64, ns)
	    ),
	    TP_fast_assign(__entry->op = command->op;
			   __entry->ctx = command->ctx;
			   __entry->queue = command->queue;
			   __entry->ret = ret;
			   __entry->ns = ns;
	    ),
	    TP_printk("op=%u ctx=%u queue=%u ret=%d in %llu ns", __entry->op, __entry->ctx,
		      __entry->queue, __entry->ret, __entry->ns)
);

#endif /* WEIR_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE weir_trace
#include <trace/define_trace.h>
