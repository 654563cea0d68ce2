/* SPDX-License-Identifier: MIT */
/* Slots, segments and angles of a step: StreamingLLM (Xiao et al. 2023) by two rotations of the query. */
#include <math.h>

#include "base/base.h"
#include "llm/step.h"

/* Slots are counted in blocks that attention reads whole. */
#define SLOT_BLOCK 64
#define KEY_BLOCK 16

void weir_slots_init(struct weir_slots *s, uint32_t ctx, uint32_t sinks, uint32_t window, uint32_t step)
{
	memset(s, 0, sizeof(*s));
	s->step = step;
	if (!window) {
		s->count = (uint32_t)weir_align_up(ctx, SLOT_BLOCK);
		return;
	}
	s->sinks = sinks;
	s->window = window;
	s->ring = (uint32_t)weir_align_up(sinks, KEY_BLOCK);
	s->count = (uint32_t)weir_align_up(s->ring + window + step - 1, SLOT_BLOCK);
	s->ring_size = s->count - s->ring;
}

uint32_t weir_slots_of(const struct weir_slots *s, uint64_t position)
{
	if (!s->window || position < s->sinks)
		return (uint32_t)position;
	return s->ring + (uint32_t)((position - s->sinks) % s->ring_size);
}

/* The first position of the window that the token at position sees. */
static uint64_t window_begin(const struct weir_slots *s, uint64_t position)
{
	uint64_t begin = position + 1 > s->window ? position + 1 - s->window : 0;

	return s->window ? WEIR_MAX(begin, s->sinks) : 0;
}

static void segment_add(struct weir_step *step, uint32_t slot, uint64_t count, int64_t pos, int sink)
{
	if (!count)
		return;
	step->segment[step->n_segments++] = (struct weir_segment){
		.slot = (int)slot,
		.count = (int)count,
		/* Of a sink only "in the past" matters, and that never ends: keep it in range. */
		.pos = (int)WEIR_MAX(pos, -(int64_t)(1 << 30)),
		.sink = sink,
	};
}

static void segments_fill(const struct weir_slots *s, uint64_t position, uint32_t n, struct weir_step *step)
{
	uint64_t end = position + n, begin = window_begin(s, position), count;
	uint32_t slot, room;

	step->n_segments = 0;
	if (!s->window) {
		segment_add(step, 0, end, -(int64_t)position, 0);
		return;
	}
	segment_add(step, 0, WEIR_MIN(end, s->sinks), -(int64_t)position, 1);
	if (end <= begin)
		return;
	/* The ring's part from begin on, in two where it wraps. */
	count = end - begin;
	slot = weir_slots_of(s, begin);
	room = s->count - slot;
	segment_add(step, slot, WEIR_MIN(count, room), (int64_t)(begin - position), 0);
	if (count > room)
		segment_add(step, s->ring, count - room, (int64_t)(begin + room - position), 0);
}

/* In double: a position of 10^9 is as exact as one of 10. */
static void angles(const struct weir_params *p, uint64_t position, float *out)
{
	for (uint32_t i = 0; i < p->n_rot / 2; i++) {
		double a = (double)position * p->freq[i];

		out[2 * i] = (float)cos(a);
		out[2 * i + 1] = (float)sin(a);
	}
}

void weir_step_fill(const struct weir_slots *s, const struct weir_params *p, uint64_t position, uint32_t n,
	struct weir_step *step, int32_t *slot, int32_t *seen, float *rope)
{
	uint64_t cache = (uint64_t)s->sinks + s->window;

	step->n_tokens = (int)n;
	step->out_first = (int)n - 1;
	step->out_count = 1;
	segments_fill(s, position, n, step);
	for (uint32_t t = 0; t < n; t++) {
		float *at = rope + (size_t)t * 2 * p->n_rot;

		slot[t] = (int32_t)weir_slots_of(s, position + t);
		seen[t] = (int32_t)((int64_t)window_begin(s, position + t) - (int64_t)position);
		angles(p, position + t, at);
		if (s->window)
			angles(p, WEIR_MIN(position + t, cache - 1), at + p->n_rot);
		else
			memcpy(at + p->n_rot, at, p->n_rot * sizeof(*at));
	}
}
