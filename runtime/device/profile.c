/* SPDX-License-Identifier: MIT */
/* What launches took: rows by op, and a trace in Chrome's JSON format. */
#include <inttypes.h>

#include "device/backend.h"

struct event {
	const char *label;
	uint64_t start, end;
	uint64_t bytes, ops;
};

struct row {
	const char *label;
	struct weir_profile_row sum;
};

struct weir_profile {
	struct row *rows;
	size_t n_rows, cap_rows;
	struct event *events;
	size_t n_events, cap_events, max_events;
	uint64_t dropped; /* launches that the trace has no place for */
};

int weir_profile_create(size_t max_events, struct weir_profile **out)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return weir_fail(ENOMEM, "out of memory for a profile");
	(*out)->max_events = max_events;
	return 0;
}

void weir_profile_destroy(struct weir_profile *p)
{
	if (!p)
		return;
	free(p->rows);
	free(p->events);
	free(p);
}

/* ---- adding -------------------------------------------------------------- */

/* Labels are literals: mostly the same pointer, and always few. */
static struct row *find_row(struct weir_profile *p, const char *label)
{
	struct row *rows;

	for (size_t i = 0; i < p->n_rows; i++) {
		if (p->rows[i].label == label || strcmp(p->rows[i].label, label) == 0)
			return &p->rows[i];
	}
	if (p->n_rows == p->cap_rows) {
		size_t cap = p->cap_rows ? p->cap_rows * 2 : 32;

		rows = realloc(p->rows, cap * sizeof(*rows));
		if (!rows)
			return NULL;
		p->rows = rows;
		p->cap_rows = cap;
	}
	rows = &p->rows[p->n_rows++];
	memset(rows, 0, sizeof(*rows));
	rows->label = label;
	snprintf(rows->sum.op, sizeof(rows->sum.op), "%s", label);
	return rows;
}

static void keep_event(struct weir_profile *p, const struct event *event)
{
	struct event *events;
	size_t cap;

	if (p->n_events == p->cap_events && p->cap_events < p->max_events) {
		cap = WEIR_MIN(p->cap_events ? p->cap_events * 2 : 1024, p->max_events);
		events = realloc(p->events, cap * sizeof(*events));
		if (events) {
			p->events = events;
			p->cap_events = cap;
		}
	}
	if (p->n_events < p->cap_events)
		p->events[p->n_events++] = *event;
	else
		p->dropped++;
}

void weir_profile_add(struct weir_profile *p, const struct weir_launch *launch, unsigned tokens,
	uint64_t start, uint64_t end)
{
	struct event event = {
		.label = launch->label,
		.start = start,
		.end = WEIR_MAX(start, end),
		.bytes = launch->bytes + tokens * launch->token_bytes,
		.ops = launch->ops + tokens * launch->token_ops,
	};
	struct row *row = find_row(p, launch->label);

	if (row) {
		row->sum.calls++;
		row->sum.seconds += (double)(event.end - event.start) * 1e-9;
		row->sum.bytes += (double)event.bytes;
		row->sum.ops += (double)event.ops;
	}
	keep_event(p, &event);
}

/* ---- reading ------------------------------------------------------------- */

static int compare_rows(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->sum.seconds < y->sum.seconds ? 1 : x->sum.seconds > y->sum.seconds ? -1 : 0;
}

int weir_profile_rows(weir_device *dev, struct weir_profile_row *rows, unsigned max)
{
	struct weir_profile *p = dev->profile;
	int ret;

	if (!p)
		return 0;
	pthread_mutex_lock(&dev->lock);
	ret = dev->backend->wait(dev);
	if (ret == 0) {
		qsort(p->rows, p->n_rows, sizeof(*p->rows), compare_rows);
		for (size_t i = 0; i < p->n_rows && i < max; i++)
			rows[i] = p->rows[i].sum;
		ret = (int)p->n_rows;
	}
	pthread_mutex_unlock(&dev->lock);
	return ret;
}

void weir_profile_reset(weir_device *dev)
{
	struct weir_profile *p = dev->profile;

	__atomic_store_n(&dev->copied, 0, __ATOMIC_RELAXED);
	if (!p)
		return;
	pthread_mutex_lock(&dev->lock);
	dev->backend->wait(dev);
	p->n_rows = 0;
	p->n_events = 0;
	p->dropped = 0;
	pthread_mutex_unlock(&dev->lock);
}

uint64_t weir_profile_copied(weir_device *dev)
{
	return __atomic_load_n(&dev->copied, __ATOMIC_RELAXED);
}

/* ---- the trace ----------------------------------------------------------- */

static void put_string(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			fprintf(f, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			fprintf(f, "\\u%04x", c);
		else
			fputc(c, f);
	}
	fputc('"', f);
}

static void put_meta(FILE *f, const char *what, const char *name)
{
	fprintf(f,
		"{\"ph\": \"M\", \"pid\": 1, \"tid\": 1, \"name\": \"%s\", \"args\": {\"name\": ",
		what);
	put_string(f, name);
	fputs("}},\n", f);
}

/* Microseconds of ns, exactly: doubles would round long runs. */
static void put_time(FILE *f, const char *key, uint64_t ns)
{
	fprintf(f, ", \"%s\": %" PRIu64 ".%03u", key, ns / 1000, (unsigned)(ns % 1000));
}

static void put_event(FILE *f, const struct event *e, uint64_t origin)
{
	fputs("{\"ph\": \"X\", \"pid\": 1, \"tid\": 1, \"name\": ", f);
	put_string(f, e->label);
	put_time(f, "ts", e->start > origin ? e->start - origin : 0);
	put_time(f, "dur", e->end - e->start);
	fprintf(f, ", \"args\": {\"bytes\": %" PRIu64 ", \"ops\": %" PRIu64 "}}", e->bytes, e->ops);
}

static void write_trace(FILE *f, const weir_device *dev)
{
	const struct weir_profile *p = dev->profile;
	uint64_t origin = p->n_events ? p->events[0].start : 0;

	fputs("{\"displayTimeUnit\": \"ns\",\n\"otherData\": {\"weir\": ", f);
	put_string(f, weir_version());
	fputs(", \"device\": ", f);
	put_string(f, dev->info.name);
	fprintf(f, ", \"launches_kept_at_most\": %zu, \"launches_dropped\": %" PRIu64 "},\n",
		p->max_events, p->dropped);
	fputs("\"traceEvents\": [\n", f);
	put_meta(f, "process_name", dev->info.name);
	put_meta(f, "thread_name", "queue");
	for (size_t i = 0; i < p->n_events; i++) {
		put_event(f, &p->events[i], origin);
		fputs(",\n", f);
	}
	/* JSON has no trailing comma: the last entry ends the list. */
	fputs("{\"ph\": \"M\", \"pid\": 1, \"tid\": 1, \"name\": \"thread_sort_index\", "
	      "\"args\": {\"sort_index\": 0}}\n]}\n",
		f);
}

int weir_profile_trace(weir_device *dev, const char *path)
{
	struct weir_atomic_file file;
	int err;

	if (!dev->profile)
		return weir_fail(EINVAL, "%s: no trace: the device %s was opened without profile",
			path, dev->info.name);
	err = weir_atomic_begin(&file, path);
	if (err < 0)
		return err;
	pthread_mutex_lock(&dev->lock);
	err = dev->backend->wait(dev);
	if (err == 0)
		write_trace(file.file, dev);
	pthread_mutex_unlock(&dev->lock);
	if (err == 0 && ferror(file.file))
		err = weir_fail(EIO, "%s: cannot write the trace", path);
	if (err < 0) {
		weir_atomic_abort(&file);
		return err;
	}
	return weir_atomic_commit(&file);
}
