/* SPDX-License-Identifier: MIT */
/* Weights: places reserved first, then buffers made and filled, each tensor repacked straight from the mapped file. */
#include "base/base.h"
#include "llm/weights.h"

/* A file's tensor on its way into a matrix or a vector. */
struct source {
	const struct weir_checkpoint_tensor *tensor;
	struct weir_matrix *matrix; /* or */
	struct weir_vector *vector;
	size_t first_row;
	size_t place;
};

/* A region in one of the buffers. */
struct place {
	size_t arena, offset, size;
};

struct weir_weights {
	weir_device *dev;
	const struct weir_checkpoint *file;
	struct source *sources;
	size_t n_sources;
	struct place *places;
	size_t n_places;
	struct weir_buffer **arenas;
	size_t *arena_size;
	size_t n_arenas;
	size_t bytes;
};

int weir_weights_create(weir_device *dev, const struct weir_checkpoint *c, struct weir_weights **out)
{
	struct weir_weights *w = calloc(1, sizeof(*w));

	if (!w)
		return weir_fail(ENOMEM, "no memory for a model");
	w->dev = dev;
	w->file = c;
	*out = w;
	return 0;
}

void weir_weights_destroy(struct weir_weights *w)
{
	if (!w)
		return;
	for (size_t i = 0; w->arenas && i < w->n_arenas; i++)
		weir_buffer_destroy(w->arenas[i]);
	free(w->arenas);
	free(w->arena_size);
	free(w->sources);
	free(w->places);
	free(w);
}

/* Grows an array for one more element; capacities are powers of two. */
static int grow(void **array, size_t count, size_t element)
{
	void *more;

	if (count & (count - 1) || (count && count < 16))
		return 0;
	more = reallocarray(*array, count ? WEIR_MAX(2 * count, 16) : 16, element);
	if (!more)
		return weir_fail(ENOMEM, "no memory for the list of weights");
	*array = more;
	return 0;
}

static int source_add(struct weir_weights *w, const struct source *s)
{
	int err = grow((void **)&w->sources, w->n_sources, sizeof(*w->sources));

	if (!err)
		w->sources[w->n_sources++] = *s;
	return err;
}

/* A region of size bytes in the last arena, or in a new one when that is full. */
static int place_add(struct weir_weights *w, const char *name, size_t size, size_t *index)
{
	const struct weir_device_props *props = weir_device_props(w->dev);
	struct place *p;
	int err = grow((void **)&w->places, w->n_places, sizeof(*w->places));

	if (err)
		return err;
	size = weir_align_up(size, props->align);
	if (size > props->max_buffer)
		return weir_fail(EFBIG, "the tensor %s needs %zu bytes, one buffer of %s holds %zu", name,
			size, props->name, props->max_buffer);
	if (!w->n_arenas || size > props->max_buffer - w->arena_size[w->n_arenas - 1]) {
		err = grow((void **)&w->arena_size, w->n_arenas, sizeof(*w->arena_size));
		if (err)
			return err;
		w->arena_size[w->n_arenas++] = 0;
	}
	p = &w->places[w->n_places];
	p->arena = w->n_arenas - 1;
	p->offset = w->arena_size[p->arena];
	p->size = size;
	w->arena_size[p->arena] += size;
	w->bytes += size;
	*index = w->n_places++;
	return 0;
}

static int find_tensor(const struct weir_weights *w, unsigned layer, const char *format, char *name,
	size_t size, const struct weir_checkpoint_tensor **out)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(name, size, format, layer);
#pragma GCC diagnostic pop
	*out = weir_checkpoint_tensor(w->file, name);
	if (!*out)
		return weir_fail(ENOENT, "cannot load %s: the tensor %s is missing",
			weir_checkpoint_path(w->file), name);
	if (!(*out)->coding.bits && !weir_plane_format((*out)->type))
		return weir_fail(EOPNOTSUPP, "cannot load %s: the tensor %s has the type %s, which Weir does not run",
			weir_checkpoint_path(w->file), name, weir_type_name((*out)->type));
	return 0;
}

static int check_shape(const struct weir_weights *w, const struct weir_checkpoint_tensor *t, size_t k, size_t rows)
{
	if (t->dim[0] == k && t->dim[1] == rows && t->dim[2] == 1 && t->dim[3] == 1)
		return 0;
	return weir_fail(EINVAL, "cannot load %s: the tensor %s is %llu x %llu x %llu x %llu, it must be %zu x %zu",
		weir_checkpoint_path(w->file), t->name, (unsigned long long)t->dim[0],
		(unsigned long long)t->dim[1], (unsigned long long)t->dim[2],
		(unsigned long long)t->dim[3], k, rows);
}

/* The plane that holds a tensor as it is. */
static struct weir_plane_format format_of(const struct weir_checkpoint_tensor *t)
{
	static const enum weir_plane_base bases[] = {
		[2] = WEIR_PLANE_U2, [3] = WEIR_PLANE_U3, [4] = WEIR_PLANE_U4, [8] = WEIR_PLANE_U8};
	const struct weir_coding *c = &t->coding;

	if (!c->bits)
		return *weir_plane_format(t->type);
	return (struct weir_plane_format){
		.base = bases[c->bits],
		.group = c->group,
		.zero = c->zeros ? 0 : 128,
		.zeros = c->zeros,
		.row_act = c->row_act,
	};
}

int weir_weights_vector(struct weir_weights *w, struct weir_vector *out, unsigned layer, const char *format,
	size_t n, bool required)
{
	const struct weir_checkpoint_tensor *t;
	struct source s = {.vector = out};
	char name[128];
	int err = find_tensor(w, layer, format, name, sizeof(name), &t);

	memset(out, 0, sizeof(*out));
	if (err == -ENOENT && !required)
		return 0;
	if (!err)
		err = check_shape(w, t, n, 1);
	if (!err && t->coding.bits)
		err = weir_fail(EINVAL, "cannot load %s: the vector %s is coded", weir_checkpoint_path(w->file), name);
	if (!err)
		err = place_add(w, name, n * sizeof(float), &s.place);
	if (err)
		return err;
	out->n = n;
	s.tensor = t;
	return source_add(w, &s);
}

/* The bias that goes with a weight's name, for rows [at, at + rows) of a part: kept for one-tensor parts alone. */
static int bias_of(struct weir_weights *w, struct weir_vector *out, unsigned layer, const char *format,
	size_t rows)
{
	char bias[128];
	size_t stem = strlen(format) - strlen("weight");

	snprintf(bias, sizeof(bias), "%.*sbias", (int)stem, format);
	return weir_weights_vector(w, out, layer, bias, rows, false);
}

static bool has_bias(const struct weir_weights *w, unsigned layer, const char *format)
{
	char bias[128], name[128];
	const struct weir_checkpoint_tensor *t;

	snprintf(bias, sizeof(bias), "%.*sbias", (int)(strlen(format) - strlen("weight")), format);
	return find_tensor(w, layer, bias, name, sizeof(name), &t) != -ENOENT;
}

int weir_weights_linear(struct weir_weights *w, struct weir_linear *out, unsigned layer,
	const char *const *names, const size_t *rows, unsigned n, size_t k)
{
	const struct weir_checkpoint_tensor *t[WEIR_LINEAR_PARTS];
	char name[128];
	int err;

	memset(out, 0, sizeof(*out));
	out->k = k;
	for (unsigned i = 0; i < n; i++) {
		err = find_tensor(w, layer, names[i], name, sizeof(name), &t[i]);
		if (!err)
			err = check_shape(w, t[i], k, rows[i]);
		if (err)
			return err;
	}
	for (unsigned i = 0, end; i < n; i = end) {
		const struct weir_plane_format format = format_of(t[i]);
		struct weir_matrix *m = &out->part[out->parts];
		bool bias = has_bias(w, layer, names[i]);
		size_t sum = rows[i], place;

		/* A part with a bias stays alone: its bias is one vector. Blocks of 16 rows are whole tensors'. */
		for (end = i + 1; end < n; end++) {
			const struct weir_plane_format next = format_of(t[end]);

			if (bias || has_bias(w, layer, names[end]) || sum % WEIR_PLANE_ROWS ||
				!weir_plane_format_equal(&format, &next))
				break;
			sum += rows[end];
		}
		err = weir_plane_layout(&format, sum, k, weir_device_props(w->dev)->align, &m->layout);
		if (!err)
			err = place_add(w, t[i]->name, m->layout.size, &place);
		if (err)
			return err;
		snprintf(out->name[out->parts], sizeof(out->name[0]), "%s", t[i]->name);
		m->name = out->name[out->parts];
		for (unsigned j = i; j < end; j++) {
			struct source s = {.tensor = t[j], .matrix = m, .place = place};

			for (unsigned before = i; before < j; before++)
				s.first_row += rows[before];
			err = source_add(w, &s);
			if (err)
				return err;
		}
		out->first[out->parts] = out->rows;
		if (bias && (err = bias_of(w, &out->bias[out->parts], layer, names[i], sum)))
			return err;
		out->rows += sum;
		out->parts++;
	}
	return 0;
}

int weir_weights_all_used(const struct weir_weights *w)
{
	for (size_t i = 0; i < weir_checkpoint_tensor_count(w->file); i++) {
		const struct weir_checkpoint_tensor *t = weir_checkpoint_tensor_at(w->file, i);
		bool used = !strcmp(t->name, "rope_freqs.weight") || strstr(t->name, "rot_embd");

		for (size_t j = 0; j < w->n_sources && !used; j++)
			used = w->sources[j].tensor == t;
		if (!used)
			return weir_fail(EINVAL, "cannot load %s: the tensor %s is none that its architecture uses",
				weir_checkpoint_path(w->file), t->name);
	}
	return 0;
}

struct pack {
	const struct weir_checkpoint *file;
	const struct source *source;
	char *dst;
	size_t row_bytes;
};

static int pack_rows(void *user, size_t begin, size_t end)
{
	const struct pack *p = user;
	const struct source *s = p->source;

	weir_plane_pack(&s->matrix->layout, p->dst, s->tensor->type,
		(const char *)s->tensor->data + begin * p->row_bytes, s->first_row + begin, end - begin);
	return 0;
}

/* The same of a coded tensor. */
static int put_rows(void *user, size_t begin, size_t end)
{
	const struct pack *p = user;
	const struct source *s = p->source;
	const size_t n = end - begin, k = s->tensor->dim[0], groups = weir_coding_groups(&s->tensor->coding, k);
	float *scale = malloc(n * groups * sizeof(*scale));
	uint8_t *q = malloc(n * k), *zero = malloc(n * groups);
	const struct weir_codes codes = {.q = q, .scale = scale, .zero = zero};
	int err;

	if (scale && q && zero)
		err = weir_checkpoint_codes(p->file, s->tensor, begin, n, q, scale, zero);
	else
		err = weir_fail(ENOMEM, "no memory for %zu rows of %s", n, s->tensor->name);
	if (!err)
		weir_plane_put(&s->matrix->layout, p->dst, &codes, s->first_row + begin, n);
	free(scale);
	free(q);
	free(zero);
	return err;
}

/* Rows of a coded tensor that a thread takes at a time: half a cache line of AutoAWQ's words. */
#define CODED_ROWS 64

static int source_load(struct weir_weights *w, const struct source *s, char *base)
{
	const struct place *place = &w->places[s->place];
	char *dst = base + place->offset;
	struct pack pack = {.file = w->file, .source = s, .dst = dst};
	/* Chunks of some hundred kilobytes: enough to share, few enough to cost nothing. */
	size_t chunk;
	int err = 0;

	if (s->vector) {
		weir_type_to_float(s->tensor->type, s->tensor->data, s->tensor->weights, (float *)dst);
		s->vector->buffer = w->arenas[place->arena];
		s->vector->offset = place->offset;
	} else {
		const bool coded = s->tensor->coding.bits;

		pack.row_bytes = s->tensor->size / s->tensor->dim[1];
		chunk = coded ? CODED_ROWS : weir_align_up((256 << 10) / WEIR_MAX(pack.row_bytes, 1) + 1, WEIR_PLANE_ROWS);
		s->matrix->buffer = w->arenas[place->arena];
		s->matrix->offset = place->offset;
		err = weir_parallel(weir_device_props(w->dev)->compute_units, s->tensor->dim[1], chunk,
			coded ? put_rows : pack_rows, &pack);
	}
	weir_checkpoint_drop(w->file, s->tensor);
	return err;
}

static int arena_load(struct weir_weights *w, size_t arena, uint64_t *done, weir_progress progress, void *user)
{
	void *base;
	int err = weir_buffer_create(w->dev, w->arena_size[arena], "weights", &w->arenas[arena]);

	if (!err)
		err = weir_buffer_begin(w->arenas[arena], 0, w->arena_size[arena], WEIR_ACCESS_WRITE, &base);
	if (err)
		return err;
	for (size_t i = 0; i < w->n_sources && !err; i++) {
		const struct source *s = &w->sources[i];

		if (w->places[s->place].arena != arena)
			continue;
		err = source_load(w, s, base);
		*done += s->tensor->size;
		if (!err && progress && progress(user, "repacking", *done, weir_checkpoint_bytes(w->file)))
			err = weir_fail(ECANCELED, "loading was cancelled");
	}
	if (err)
		weir_buffer_end(w->arenas[arena], base);
	else
		err = weir_buffer_end(w->arenas[arena], base);
	return err;
}

int weir_weights_load(struct weir_weights *w, weir_progress progress, void *user)
{
	uint64_t done = 0;
	int err = 0;

	w->arenas = calloc(WEIR_MAX(w->n_arenas, 1), sizeof(struct weir_buffer *));
	if (!w->arenas)
		return weir_fail(ENOMEM, "no memory for the list of weights");
	for (size_t i = 0; i < w->n_arenas && !err; i++)
		err = arena_load(w, i, &done, progress, user);
	return err;
}

size_t weir_weights_bytes(const struct weir_weights *w)
{
	return w->bytes;
}

size_t weir_weights_buffers(const struct weir_weights *w)
{
	return w->n_arenas;
}

struct weir_buffer *weir_weights_buffer(const struct weir_weights *w, size_t i)
{
	return w->arenas[i];
}
