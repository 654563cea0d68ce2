/* SPDX-License-Identifier: MIT */
/* Both ways in turns at first, then the quicker one; the other is tried the less often the more often it loses. */
#include "base/base.h"
#include "device/pace.h"

#define WARM 8	     /* runs in turns */
#define TRIES 2	     /* runs of a try: the first finds its memory cold */
#define INTERVAL 64  /* runs to the first try */
#define INTERVAL_MAX 1024
#define SOON 4	     /* runs to a try when something has changed */
#define CHANGE 1.5   /* times as slow, or as quick, as when the last try ended */

bool weir_pace_whole(const struct weir_pace *p)
{
	if (p->runs < WARM)
		return p->runs % 2 == 0;
	return p->tries ? !p->whole : p->whole;
}

static void end_try(struct weir_pace *p, bool won)
{
	p->tries = 0;
	p->interval = won ? INTERVAL : WEIR_MIN(WEIR_MAX(p->interval, INTERVAL / 2) * 2, INTERVAL_MAX);
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

/* Of late: the least, forgotten bit by bit, as what disturbs a run only ever adds to its time. */
static void take_in(double *lately, double seconds)
{
	if (seconds > 0)
		*lately = *lately <= 0 || seconds < *lately ? seconds : 0.75 * *lately + 0.25 * seconds;
}

void weir_pace_count(struct weir_pace *p, bool whole, double seconds)
{
	bool was = p->whole;

	p->runs++;
	take_in(&p->seconds[whole], seconds);
	p->whole = p->seconds[0] <= 0 || p->seconds[1] < p->seconds[0];
	if (p->runs < WARM)
		return;
	if (p->runs == WARM || p->whole != was)
		end_try(p, true);
	else if (!p->tries)
		begin_try(p);
	else if (--p->tries == 0)
		end_try(p, false);
}
