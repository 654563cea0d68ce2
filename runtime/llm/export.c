/* SPDX-License-Identifier: MIT */
/* Tensors on their way out, whatever the format: which rows go where, floats, and what is kept. */
#include "llm/export_parts.h"

#include <json-c/json.h>
#include <math.h>
#include <stdarg.h>

int weir_export_fail(const struct weir_export *x, int err, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return weir_fail(err, "cannot write %s: %s", x->set.path, text);
}

int weir_export_header(const struct weir_export *x, struct weir_store_settings *s, const void *data, size_t size,
	uint64_t file_size, void **header)
{
	*header = malloc(size);
	if (!*header)
		return weir_export_fail(x, ENOMEM, "no memory for its header");
	memcpy(*header, data, size);
	s->header = *header;
	s->header_size = size;
	s->file_size = file_size;
	return 0;
}

/* ---- what goes where ---- */

size_t weir_export_row(const struct weir_export *x, const struct weir_export_item *item, size_t r)
{
	const size_t half = x->params->n_rot / 2, in_head = r % x->params->head_dim, first = r - in_head;

	if (item->order == WEIR_EXPORT_ROWS_STAY || in_head >= 2 * half)
		return r;
	if (item->order == WEIR_EXPORT_ROWS_ADJACENT)
		return first + in_head % 2 * half + in_head / 2;
	return first + in_head % half * 2 + in_head / half;
}

/* blk.N.attn_q.weight and the like. */
static bool is_rotated(const char *name)
{
	unsigned layer;
	int end = 0;
	char c;

	if (sscanf(name, "blk.%u.attn_%c.%n", &layer, &c, &end) != 2 || !end || (c != 'q' && c != 'k'))
		return false;
	return !strcmp(name + end, "weight") || !strcmp(name + end, "bias");
}

static enum weir_export_order order_of(const struct weir_export *x, const char *name)
{
	const bool adjacent = !x->set.folder && !strcmp(x->params->arch, "llama");

	if (adjacent == (x->params->rope == WEIR_ROPE_ADJACENT) || !is_rotated(name))
		return WEIR_EXPORT_ROWS_STAY;
	return adjacent ? WEIR_EXPORT_ROWS_ADJACENT : WEIR_EXPORT_ROWS_HALVES;
}

/* A quantizer's matrix must be cut into whole blocks of 32, and known groups. */
static int codes_check(const struct weir_export *x, const struct weir_export_item *item)
{
	if (item->in->n_dims != 2)
		return weir_export_fail(x, EINVAL, "the tensor %s is no matrix", item->in->name);
	if (item->k % 32)
		return weir_export_fail(x, EOPNOTSUPP, "rows of %s have %zu weights, no multiple of 32",
			item->in->name, item->k);
	return 0;
}

static int item_set(const struct weir_export *x, struct weir_export_item *item,
	const struct weir_export_tensor *t)
{
	const struct weir_checkpoint_tensor *in = t->in;

	item->in = in;
	item->form = t->form;
	item->order = order_of(x, in->name);
	item->k = (size_t)in->dim[0];
	if (in->n_dims == 1 && item->order != WEIR_EXPORT_ROWS_STAY)
		item->k = 1;
	item->rows = (size_t)in->weights / item->k;
	if (item->order != WEIR_EXPORT_ROWS_STAY && item->rows % x->params->head_dim)
		return weir_export_fail(x, EINVAL, "the tensor %s has %zu rows, which are not heads of %u", in->name,
			item->rows, x->params->head_dim);
	if (t->form == WEIR_EXPORT_CODES)
		return codes_check(x, item);
	if (t->form == WEIR_EXPORT_KEEP && !in->data && !in->coding.bits)
		return weir_export_fail(x, EOPNOTSUPP, "the tensor %s has the type %s, which Weir cannot copy",
			in->name, weir_type_name(in->type));
	return 0;
}

static int settings_check(const struct weir_export *x)
{
	const struct weir_export_settings *s = &x->set;

	if (s->bits != 2 && s->bits != 3 && s->bits != 4 && s->bits != 8)
		return weir_export_fail(x, EINVAL, "weights of %u bits: it must be 2, 3, 4 or 8", s->bits);
	if (s->group % 32)
		return weir_export_fail(x, EINVAL, "groups of %u weights: it must be a multiple of 32", s->group);
	if (s->row_act && (s->bits != 8 || s->group))
		return weir_export_fail(x, EINVAL,
			"activations quantized by token need weights of 8 bits with one scale a row");
	return 0;
}

static int export_plan(struct weir_export *x, const struct weir_export_tensor *tensors)
{
	struct weir_store_settings s = {.path = x->set.path, .overwrite = x->set.overwrite, .n_flags = x->n};
	void *header = NULL;
	int err = settings_check(x);

	x->items = calloc(x->n ? x->n : 1, sizeof(*x->items));
	if (!err && !x->items)
		err = weir_export_fail(x, ENOMEM, "no memory for the list of tensors");
	for (size_t i = 0; !err && i < x->n; i++)
		err = item_set(x, &x->items[i], &tensors[i]);
	if (err)
		return err;
	memcpy(s.identity, x->set.identity, sizeof(s.identity));
	err = x->target->plan(x, &s, &header);
	if (!err)
		err = weir_store_open(&x->store, &s);
	free(header);
	if (err)
		return err;
	err = x->target->beside(x);
	if (err)
		weir_store_close(&x->store);
	return err;
}

static void export_free(struct weir_export *x)
{
	json_object_put(x->config);
	free(x->items);
	free(x->rope_factors);
	free(x);
}

int weir_export_open(const struct weir_checkpoint *in, const struct weir_params *p, const weir_tokenizer *t,
	const struct weir_export_settings *s, const struct weir_export_tensor *tensors, size_t n,
	struct weir_export **out)
{
	struct weir_export *x = calloc(1, sizeof(*x));
	int err;

	if (!x)
		return weir_fail(ENOMEM, "no memory to write %s", s->path);
	x->in = in;
	x->params = p;
	x->tokenizer = t;
	x->set = *s;
	x->n = n;
	x->target = s->folder ? &weir_export_folder : &weir_export_gguf;
	err = export_plan(x, tensors);
	if (err) {
		export_free(x);
		return err;
	}
	*out = x;
	return 0;
}

enum weir_export_found weir_export_found(const struct weir_export *x)
{
	return x->store.found;
}

unsigned weir_export_stages_done(const struct weir_export *x)
{
	return x->store.stages;
}

void weir_export_close(struct weir_export *x)
{
	if (!x)
		return;
	weir_store_close(&x->store);
	export_free(x);
}

/* ---- rows ---- */

/* Rows of one tensor on their way out, for weir_parallel. */
struct rows {
	struct weir_export *x;
	const struct weir_export_item *item;
	const float *values; /* NULL: the input's own */
	size_t bytes;	     /* of a row of the output */
};

/* Row r of the output as floats, which may be written to room. */
static int row_floats(const struct rows *job, size_t r, float *room, const float **out)
{
	const size_t from = weir_export_row(job->x, job->item, r);

	*out = room;
	if (!job->values)
		return weir_checkpoint_floats(job->x->in, job->item->in, from, 1, room);
	*out = job->values + from * job->item->k;
	return 0;
}

static int row_convert(const struct rows *job, const float *in, char *out)
{
	if (job->item->type == WEIR_TYPE_F32) {
		memcpy(out, in, job->bytes);
		return 0;
	}
	for (size_t i = 0; i < job->item->k; i++) {
		const uint16_t h = weir_float_to_half(in[i]);

		if (isfinite(in[i]) && (h & 0x7c00) == 0x7c00)
			return weir_export_fail(job->x, ERANGE, "the tensor %s has the weight %g, too big for F16",
				job->item->in->name, in[i]);
		memcpy(out + 2 * i, &h, 2);
	}
	return 0;
}

static int rows_convert(const struct rows *job, size_t begin, size_t end, char *out)
{
	float *room = malloc(job->item->k * sizeof(*room));
	const float *row;
	int err = room ? 0 : weir_export_fail(job->x, ENOMEM, "no memory for a row of %s", job->item->in->name);

	for (size_t r = begin; !err && r < end; r++) {
		err = row_floats(job, r, room, &row);
		if (!err)
			err = row_convert(job, row, out + (r - begin) * job->bytes);
	}
	free(room);
	return err;
}

/* Whether the output has the input's bytes. */
static bool is_raw(const struct weir_export_item *item)
{
	return item->form == WEIR_EXPORT_KEEP && !item->in->coding.bits && item->type == item->in->type;
}

static void rows_copy(const struct rows *job, size_t begin, size_t end, char *out)
{
	for (size_t r = begin; r < end; r++)
		memcpy(out + (r - begin) * job->bytes,
			(const char *)job->item->in->data + weir_export_row(job->x, job->item, r) * job->bytes,
			job->bytes);
}

static int rows_write(void *user, size_t begin, size_t end)
{
	const struct rows *job = user;
	const size_t size = (end - begin) * job->bytes;
	char *out = malloc(size);
	int err = 0;

	if (!out)
		return weir_export_fail(job->x, ENOMEM, "no memory for rows of %s", job->item->in->name);
	if (job->values || !is_raw(job->item))
		err = rows_convert(job, begin, end, out);
	else
		rows_copy(job, begin, end, out);
	if (!err)
		err = weir_store_write(&job->x->store, job->item->place[0] + begin * job->bytes, out, size);
	free(out);
	return err;
}

/* values NULL: the input's. */
static int item_write(struct weir_export *x, const struct weir_export_item *item, const float *values)
{
	struct rows job = {.x = x, .item = item, .values = values};
	size_t weights, bytes;

	if (!weir_type_block(item->type, &weights, &bytes))
		return weir_export_fail(x, EOPNOTSUPP, "the tensor %s cannot be copied", item->in->name);
	job.bytes = item->k / weights * bytes;
	return weir_parallel(0, item->rows, WEIR_MAX(WEIR_EXPORT_CHUNK / item->k, 1), rows_write, &job);
}

/* ---- what the caller gives ---- */

static int check_given(const struct weir_export *x, size_t i, enum weir_export_form form)
{
	if (i < x->n && x->items[i].form == form)
		return 0;
	return weir_export_fail(x, EINVAL, "tensor %zu is not announced in the form that it is given in", i);
}

int weir_export_floats(struct weir_export *x, size_t i, const float *values)
{
	int err = check_given(x, i, WEIR_EXPORT_FLOAT);

	if (!err && !x->items[i].left_out)
		err = item_write(x, &x->items[i], values);
	if (!err)
		x->store.flags[i] = 1;
	return err;
}

static int check_scales(const struct weir_export_job *j)
{
	const size_t n = j->item->rows * j->groups;
	const unsigned max = (1u << j->x->set.bits) - 1;

	for (size_t i = 0; i < n; i++) {
		const float d = weir_half_to_float(weir_float_to_half(j->codes->scale[i]));
		/* What the farthest code stands for, or the minimum in GGUF's blocks. */
		const float far = j->x->set.bits == 8 ? d : d * (float)max;

		if (!isfinite(weir_half_to_float(weir_float_to_half(far))))
			return weir_export_fail(j->x, ERANGE, "the tensor %s has the scale %g, too big for F16",
				j->item->in->name, j->codes->scale[i]);
		if (j->codes->zero && j->codes->zero[i] > max)
			return weir_export_fail(j->x, EINVAL, "the tensor %s has the zero point %u, past %u bits",
				j->item->in->name, j->codes->zero[i], j->x->set.bits);
	}
	return 0;
}

static int check_codes(const struct weir_export_job *j)
{
	const size_t n = j->item->rows * j->item->k;
	unsigned all = 0;

	if (j->x->set.bits == 8)
		return !j->codes->zero ? 0 :
					 weir_export_fail(j->x, EINVAL, "the tensor %s: 8 bits have no zero points",
						 j->item->in->name);
	for (size_t i = 0; i < n; i++)
		all |= j->codes->q[i];
	return !(all >> j->x->set.bits) ? 0 :
					  weir_export_fail(j->x, EINVAL, "the tensor %s has codes past %u bits",
						  j->item->in->name, j->x->set.bits);
}

int weir_export_codes(struct weir_export *x, size_t i, const struct weir_codes *codes)
{
	struct weir_export_job job = {.x = x, .codes = codes};
	int err = check_given(x, i, WEIR_EXPORT_CODES);

	if (err)
		return err;
	job.item = &x->items[i];
	job.group = x->set.group ? WEIR_MIN(x->set.group, job.item->k) : job.item->k;
	job.groups = (job.item->k + job.group - 1) / job.group;
	err = check_scales(&job);
	if (!err)
		err = check_codes(&job);
	if (!err)
		err = x->target->codes(&job);
	if (!err)
		x->store.flags[i] = 1;
	return err;
}

int weir_export_stage_done(struct weir_export *x, unsigned stage)
{
	if (stage != x->store.stages)
		return weir_export_fail(x, EINVAL, "stage %u ends after %u stages", stage, x->store.stages);
	return weir_store_sync(&x->store, stage + 1);
}

/* ---- the end ---- */

static int keep_one(struct weir_export *x, const struct weir_export_item *item)
{
	float *values;
	int err;

	/* Rows of one are not rows of the input, where a vector is a single one. */
	if (item->in->n_dims != 1 || item->order == WEIR_EXPORT_ROWS_STAY)
		return item_write(x, item, NULL);
	values = malloc(item->rows * sizeof(*values));
	if (!values)
		return weir_export_fail(x, ENOMEM, "no memory for %s", item->in->name);
	err = weir_checkpoint_floats(x->in, item->in, 0, 1, values);
	if (!err)
		err = item_write(x, item, values);
	free(values);
	return err;
}

static int keep(struct weir_export *x, weir_progress progress, void *user)
{
	int err = 0;

	for (size_t i = 0; !err && i < x->n; i++) {
		const struct weir_export_item *item = &x->items[i];

		if (progress && progress(user, "copying what stays", i, x->n))
			return weir_export_fail(x, ECANCELED, "it was cancelled");
		if (item->form != WEIR_EXPORT_KEEP || item->left_out)
			continue;
		err = keep_one(x, item);
		weir_checkpoint_drop(x->in, item->in);
	}
	if (!err && progress)
		progress(user, "copying what stays", x->n, x->n);
	return err;
}

int weir_export_finish(struct weir_export *x, weir_progress progress, void *user)
{
	int err;

	for (size_t i = 0; i < x->n; i++)
		if (x->items[i].form != WEIR_EXPORT_KEEP && !x->store.flags[i])
			return weir_export_fail(x, EINVAL, "the tensor %s was never given", x->items[i].in->name);
	err = keep(x, progress, user);
	return err ? err : weir_store_finish(&x->store);
}
