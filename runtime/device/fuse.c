/* SPDX-License-Identifier: MIT */
/* Plans whose kernels are functions of one: the table, and the launches that read it. */
#include "device/fuse.h"
#include "kernels/plan.clh"

/* Work-groups of the one launch: more than threads, so that one that gave up waiting may come back. */
#define GROUPS_PER_THREAD 4

/* Bytes of weights that a chunk reads at least, and chunks that an op has at most, for each thread. */
#define CHUNK_BYTES 32768
#define CHUNKS_PER_THREAD 32
/* Where bytes are not known beforehand. */
#define CHUNKS_PER_THREAD_UNKNOWN 4

#define CONTROL_BYTES 256 /* of kernels/ticket.clh's counters */
#define OTHER_ARGS 5	  /* of weir_plan, beside the buffers */

struct fuse {
	weir_device *dev;
	const struct weir_launch *launches;
	size_t count;
	struct weir_fuse_part *parts; /* at most count of each */
	size_t n_parts;
	size_t *kinds; /* the first launch of each kind */
	size_t *kind_of, *part_of; /* by launch */
	size_t n_kinds;
	struct weir_buffer *space[WEIR_LAUNCH_ARGS];
	size_t n_space;
};

static int refuse(const struct weir_launch *l, const char *why)
{
	return weir_fail(EOPNOTSUPP, "launch %s cannot be fused: %s", l->label, why);
}

/* ---- what there is ---------------------------------------------------------- */

static size_t find_part(struct fuse *f, const struct weir_program *p)
{
	size_t i = 0;

	while (i < f->n_parts && (strcmp(f->parts[i].file, p->file) != 0 || strcmp(f->parts[i].options, p->options) != 0))
		i++;
	if (i == f->n_parts)
		f->parts[f->n_parts++] = (struct weir_fuse_part){p->file, p->options};
	return i;
}

/* Launches of one kernel of one part: their arguments are of the same kinds. */
static bool same_kind(const struct fuse *f, size_t a, size_t b)
{
	const struct weir_launch *x = &f->launches[a], *y = &f->launches[b];
	bool same = f->part_of[a] == f->part_of[b] && strcmp(x->kernel, y->kernel) == 0 && x->n_args == y->n_args;

	for (unsigned i = 0; same && i < x->n_args; i++)
		same = x->args[i].kind == y->args[i].kind;
	return same;
}

static size_t find_kind(struct fuse *f, size_t launch)
{
	size_t i = 0;

	while (i < f->n_kinds && !same_kind(f, f->kinds[i], launch))
		i++;
	if (i == f->n_kinds)
		f->kinds[f->n_kinds++] = launch;
	return i;
}

static size_t find_space(struct fuse *f, const struct weir_buffer *buffer)
{
	size_t i = 0;

	while (i < f->n_space && f->space[i] != buffer)
		i++;
	if (i == f->n_space && i < WEIR_LAUNCH_ARGS - OTHER_ARGS)
		f->space[f->n_space++] = (struct weir_buffer *)(uintptr_t)buffer;
	return i;
}

static int take_launch(struct fuse *f, size_t i)
{
	const struct weir_launch *l = &f->launches[i];

	if (l->local != 1)
		return refuse(l, "its work-groups have more than one work-item");
	if (l->program->text)
		return refuse(l, "it is fused already");
	f->part_of[i] = find_part(f, l->program);
	for (unsigned a = 0; a < l->n_args; a++) {
		const struct weir_arg *arg = &l->args[a];

		if (arg->kind == WEIR_ARG_LOCAL)
			return refuse(l, "it has local memory");
		if (arg->kind != WEIR_ARG_BUFFER)
			continue;
		if (arg->offset % WEIR_PLAN_UNIT || arg->offset / WEIR_PLAN_UNIT > INT32_MAX)
			return refuse(l, "an argument lies where the table cannot say");
		if (find_space(f, arg->buffer) == f->n_space)
			return refuse(l, "the plan has too many buffers");
	}
	f->kind_of[i] = find_kind(f, i);
	return 0;
}

/* ---- the program -------------------------------------------------------------- */

static void write_case(FILE *out, const struct fuse *f, size_t kind)
{
	const struct weir_launch *l = &f->launches[f->kinds[kind]];

	fprintf(out, " case %zu: %s_%zu(part, parts", kind, l->kernel, f->part_of[f->kinds[kind]]);
	for (unsigned a = 0; a < l->n_args; a++)
		fprintf(out, ", %s(%u)",
			l->args[a].kind == WEIR_ARG_BUFFER ? "PLAN_AT"
							   : l->args[a].kind == WEIR_ARG_INT ? "PLAN_INT" : "PLAN_FLOAT",
			a);
	fputs("); break;", out);
}

/* kernels/plan.cl, and what it asks for. */
static int write_plan(FILE *out, const struct fuse *f)
{
	char *text = NULL;
	size_t size;
	int err = weir_source_expand("plan.cl", &text, &size);

	if (err < 0)
		return err;
	fprintf(out, "#define PLAN_SPACES %zu\n#define PLAN_POINTERS", f->n_space);
	for (size_t i = 0; i < f->n_space; i++)
		fprintf(out, "%s global char *space%zu", i ? "," : "", i);
	fputs("\n#define PLAN_LIST", out);
	for (size_t i = 0; i < f->n_space; i++)
		fprintf(out, "%s space%zu", i ? "," : "", i);
	fputs("\n#define PLAN_CASES", out);
	for (size_t i = 0; i < f->n_kinds; i++)
		write_case(out, f, i);
	fputc('\n', out);
	fputs(text, out);
	free(text);
	return 0;
}

static int make_program(struct fuse *f, struct weir_program **out)
{
	char *parts = NULL, *text = NULL;
	size_t size;
	FILE *file;
	int err = weir_fuse_text(f->parts, f->n_parts, &parts, &size);

	if (err < 0)
		return err;
	file = open_memstream(&text, &size);
	if (file) {
		fputs(parts, file);
		err = write_plan(file, f);
	}
	free(parts);
	if (!file || fclose(file))
		err = weir_fail(ENOMEM, "%s: out of memory", f->dev->info.name);
	if (err < 0) {
		free(text);
		return err;
	}
	err = weir_program_of_text(f->dev, "plan.cl", text, out);
	return err < 0 ? err : weir_program_build(f->dev, *out);
}

/* ---- the table ------------------------------------------------------------------ */

static unsigned count_chunks(const struct weir_launch *l, unsigned threads)
{
	uint64_t most = threads * (l->bytes ? CHUNKS_PER_THREAD : CHUNKS_PER_THREAD_UNKNOWN);
	uint64_t chunks = l->bytes ? l->bytes / CHUNK_BYTES : most;

	/* A multiple of the threads, so that they end together. */
	chunks = WEIR_MIN((chunks + threads - 1) / threads * threads, most);
	return (unsigned)WEIR_MAX(WEIR_MIN(chunks, l->groups), 1);
}

static struct weir_plan_arg table_arg(struct fuse *f, const struct weir_arg *arg)
{
	struct weir_plan_arg out = {.value = arg->i};

	if (arg->kind == WEIR_ARG_BUFFER)
		out = (struct weir_plan_arg){
			(int)(arg->offset / WEIR_PLAN_UNIT), (int)find_space(f, arg->buffer)};
	else if (arg->kind == WEIR_ARG_FLOAT)
		memcpy(&out.value, &arg->f, sizeof(arg->f));
	return out;
}

/* Fills the table; how many tickets there are. */
static int fill_table(struct fuse *f, struct weir_plan_op *ops)
{
	unsigned threads = WEIR_MAX(f->dev->props.compute_units, 1);
	int tickets = 0, wait = 0;

	for (size_t i = 0; i < f->count; i++) {
		const struct weir_launch *l = &f->launches[i];

		if (!l->beside)
			wait = tickets;
		ops[i] = (struct weir_plan_op){
			.kind = (int)f->kind_of[i],
			.ticket = tickets,
			.chunks = (int)count_chunks(l, threads),
			.wait = wait,
			.ahead = (int)WEIR_MIN(l->ahead / WEIR_PLAN_UNIT, INT32_MAX),
		};
		for (unsigned a = 0; a < l->n_args; a++)
			ops[i].arg[a] = table_arg(f, &l->args[a]);
		tickets += ops[i].chunks;
	}
	return tickets;
}

static int make_table(struct fuse *f, size_t control_at, struct weir_buffer **out, int *tickets)
{
	size_t size = control_at + CONTROL_BYTES;
	void *p;
	int err = weir_buffer_create(f->dev, size, "table of a plan", out);

	if (!err)
		err = weir_buffer_begin(*out, 0, size, WEIR_ACCESS_WRITE, &p);
	if (err)
		return err;
	memset(p, 0, size);
	*tickets = fill_table(f, p);
	return weir_buffer_end(*out, p);
}

/* ---- launches ------------------------------------------------------------------- */

static struct weir_launch base_launch(const struct fuse *f, struct weir_program *program, struct weir_buffer *table, size_t control_at)
{
	struct weir_launch l = {.program = program, .kernel = "weir_plan", .label = "plan", .local = 1};

	for (size_t i = 0; i < f->n_space; i++)
		l.args[l.n_args++] = (struct weir_arg){
			.kind = WEIR_ARG_BUFFER, .buffer = f->space[i], .size = weir_buffer_size(f->space[i])};
	l.args[l.n_args++] = (struct weir_arg){.kind = WEIR_ARG_BUFFER, .buffer = table, .size = control_at};
	l.args[l.n_args++] = (struct weir_arg){
		.kind = WEIR_ARG_BUFFER, .buffer = table, .offset = control_at, .size = CONTROL_BYTES};
	for (int i = 0; i < 3; i++) /* first, count, tickets */
		l.args[l.n_args++] = (struct weir_arg){.kind = WEIR_ARG_INT};
	return l;
}

static void make_whole(const struct fuse *f, const struct weir_launch *base, int tickets, struct weir_launch *whole)
{
	*whole = *base;
	whole->groups = GROUPS_PER_THREAD * WEIR_MAX(f->dev->props.compute_units, 1);
	whole->args[base->n_args - 2].i = (int32_t)f->count;
	whole->args[base->n_args - 1].i = tickets;
	for (size_t i = 0; i < f->count; i++) {
		whole->bytes += f->launches[i].bytes;
		whole->token_bytes += f->launches[i].token_bytes;
		whole->ops += f->launches[i].ops;
		whole->token_ops += f->launches[i].token_ops;
	}
}

/* Each launch keeps its name, its work-groups and its costs. */
static void make_chain(const struct weir_launch *base, struct weir_launch *launches, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct weir_launch l = *base;

		l.label = launches[i].label;
		l.groups = launches[i].groups;
		l.bytes = launches[i].bytes;
		l.token_bytes = launches[i].token_bytes;
		l.ops = launches[i].ops;
		l.token_ops = launches[i].token_ops;
		l.args[l.n_args - 3].i = (int32_t)i;
		l.args[l.n_args - 2].i = 1;
		launches[i] = l;
	}
}

static int fuse(struct fuse *f, struct weir_launch *launches, struct weir_launch *whole, struct weir_buffer **table)
{
	size_t control_at = weir_align_up(f->count * sizeof(struct weir_plan_op), f->dev->props.align);
	struct weir_program *program;
	struct weir_launch base;
	int tickets, err = 0;

	for (size_t i = 0; i < f->count && !err; i++)
		err = take_launch(f, i);
	if (!err)
		err = make_program(f, &program);
	if (!err)
		err = make_table(f, control_at, table, &tickets);
	if (err)
		return err;
	base = base_launch(f, program, *table, control_at);
	make_whole(f, &base, tickets, whole);
	make_chain(&base, launches, f->count);
	return 0;
}

int weir_fuse(weir_device *dev, struct weir_launch *launches, size_t count, struct weir_launch *whole, struct weir_buffer **table)
{
	struct fuse f = {.dev = dev, .launches = launches, .count = count};
	int err = -ENOMEM;

	f.parts = calloc(count, sizeof(*f.parts));
	f.kinds = calloc(count, sizeof(*f.kinds));
	f.kind_of = calloc(count, sizeof(*f.kind_of));
	f.part_of = calloc(count, sizeof(*f.part_of));
	*table = NULL;
	if (!f.parts || !f.kinds || !f.kind_of || !f.part_of || count > INT32_MAX)
		weir_fail(ENOMEM, "%s: out of memory", dev->info.name);
	else
		err = fuse(&f, launches, whole, table);
	if (err) {
		weir_buffer_destroy(*table);
		*table = NULL;
	}
	free(f.parts);
	free(f.kinds);
	free(f.kind_of);
	free(f.part_of);
	return err;
}
