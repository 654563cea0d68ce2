/* SPDX-License-Identifier: MIT */
/* Both ways in turns at first, then the quicker one; the other is tried the less often the more often it loses. */
#include "base/base.h"
#include "device/pace.h"

#define WARM 8	     /* runs in turns */
#define TRIES 4	     /* runs of a try: the first finds its memory cold and does not count */
#define INTERVAL 64  /* runs to the first try */
#define INTERVAL_MAX 1024
#define SOON 4	     /* runs to a try when something has changed */
#define CHANGE 1.5   /* times as slow, or as quick, as when the last try ended */
#define BETTER 0.95  /* of the other's time: less is no reason to change */
#define OUTLIER 4    /* times of late: no run counts as longer */

bool weir_pace_whole(const struct weir_pace *p)
{
	if (p->runs < WARM)
		return p->runs % 2 == 0;
	return p->tries ? !p->whole : p->whole;
}

/* A mean that forgets: weight is what the new run counts for. */
static void take_in(struct weir_pace *p, bool whole, double seconds, double weight)
{
	double *lately = &p->seconds[whole];

	if (seconds <= 0)
		return;
	if (*lately > 0 && weight < 1)
		*lately += weight * (WEIR_MIN(seconds, OUTLIER * *lately) - *lately);
	else
		*lately = seconds;
}

static void choose(struct weir_pace *p)
{
	p->whole ^= p->seconds[!p->whole] > 0 && p->seconds[!p->whole] < BETTER * p->seconds[p->whole];
}

static void end_try(struct weir_pace *p)
{
	bool was = p->whole;

	choose(p);
	p->interval = p->whole != was ? INTERVAL : WEIR_MIN(p->interval * 2, INTERVAL_MAX);
	p->probe = p->runs + p->interval;
	p->then = p->seconds[p->whole];
}

/* After a run of the quicker way: is it time to try the other? */
static void begin_try(struct weir_pace *p)
{
	double now = p->seconds[p->whole];

	if (now > CHANGE * p->then || CHANGE * now < p->then) {
		p->interval = INTERVAL;
		p->probe = WEIR_MIN(p->probe, p->runs + SOON);
		p->then = now;
	}
	if (p->runs >= p->probe)
		p->tries = TRIES;
}

void weir_pace_count(struct weir_pace *p, bool whole, double seconds)
{
	unsigned tried = TRIES - p->tries; /* runs of the try that counted: what was known before is old */

	p->runs++;
	if (p->runs < WARM) {
		take_in(p, whole, seconds, 0.4);
	} else if (p->runs == WARM) {
		take_in(p, whole, seconds, 0.4);
		p->whole = p->seconds[0] <= 0 || p->seconds[1] < p->seconds[0];
		p->interval = INTERVAL / 2;
		end_try(p);
	} else if (p->tries) {
		if (tried > 0)
			take_in(p, whole, seconds, 1.0 / tried);
		if (--p->tries == 0)
			end_try(p);
	} else {
		take_in(p, whole, seconds, 0.125);
		begin_try(p);
	}
}
