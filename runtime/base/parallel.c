/* SPDX-License-Identifier: MIT */
/* A loop over chunks on some threads, for work on the host: repacking weights, hashing. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/base.h"
#include "weir/weir.h"

#define MAX_THREADS 64

struct work {
	size_t count, chunk;
	int (*fn)(void *user, size_t begin, size_t end);
	void *user;
	atomic_size_t next;
	pthread_mutex_t lock;
	int err;	  /* the first error */
	char text[1024]; /* and its sentence, which belongs to another thread */
};

static void *work_run(void *arg)
{
	struct work *w = arg;

	for (;;) {
		size_t begin = atomic_fetch_add(&w->next, w->chunk);
		int err;

		if (begin >= w->count)
			return NULL;
		err = w->fn(w->user, begin, WEIR_MIN(w->count, begin + w->chunk));
		if (!err)
			continue;
		pthread_mutex_lock(&w->lock);
		if (!w->err) {
			w->err = err;
			snprintf(w->text, sizeof(w->text), "%s", weir_error());
		}
		pthread_mutex_unlock(&w->lock);
		atomic_store(&w->next, w->count);
		return NULL;
	}
}

static unsigned cpu_count(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) ? 1 : CPU_COUNT(&set);

	return (unsigned)WEIR_MAX(n, 1);
}

int weir_parallel(unsigned threads, size_t count, size_t chunk,
	int (*fn)(void *user, size_t begin, size_t end), void *user)
{
	struct work w = {.count = count, .chunk = chunk ? chunk : 1, .fn = fn, .user = user};
	pthread_t id[MAX_THREADS];
	unsigned started = 0;
	size_t chunks = count / w.chunk + 1;

	if (!threads)
		threads = cpu_count();
	threads = (unsigned)WEIR_MIN((size_t)WEIR_MIN(threads, MAX_THREADS), chunks);
	pthread_mutex_init(&w.lock, NULL);
	/* A thread that cannot start is no error: the others do its share. */
	while (started + 1 < threads && !pthread_create(&id[started], NULL, work_run, &w))
		started++;
	work_run(&w);
	for (unsigned i = 0; i < started; i++)
		pthread_join(id[i], NULL);
	pthread_mutex_destroy(&w.lock);
	return w.err ? weir_fail(-w.err, "%s", w.text) : 0;
}
