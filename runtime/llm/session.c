/* SPDX-License-Identifier: MIT */
/* Sessions: made, fed and asked. */
#include <sys/mman.h>

#include "format/tokenizer.h"
#include "llm/session.h"

#define DEFAULT_BATCH 512
#define DEFAULT_CTX 4096
/* In a stream the ring holds a step beside the window: small steps keep it small. */
#define STREAM_BATCH 128
#define MAX_BATCH 4096
/* Tokens from which on the cache is in huge pages. */
#define SMALL_PAGES 512
#define MAX_CTX (1u << 24)

void weir_session_settings_default(struct weir_session_settings *settings)
{
	memset(settings, 0, sizeof(*settings));
	settings->size = sizeof(*settings);
}

static int settings_resolve(struct weir_session_settings *set, const struct weir_params *p)
{
	if (set->size != sizeof(*set))
		return weir_fail(EINVAL, "session settings of %zu bytes, %zu expected", set->size, sizeof(*set));
	if (!set->ctx)
		set->ctx = WEIR_MIN(p->context, DEFAULT_CTX);
	if (set->ctx > MAX_CTX)
		return weir_fail(EINVAL, "a context of %u positions: at most %u", set->ctx, MAX_CTX);
	if (!set->batch)
		set->batch = DEFAULT_BATCH;
	if (set->batch < 2 || set->batch > MAX_BATCH)
		return weir_fail(EINVAL, "a batch of %u tokens: it must be from 2 to %d", set->batch, MAX_BATCH);
	if (set->kv != WEIR_KV_F16 && set->kv != WEIR_KV_Q8 && set->kv != WEIR_KV_F32)
		return weir_fail(EINVAL, "the cache type %d is unknown", set->kv);
	if (!set->window && set->sinks)
		return weir_fail(EINVAL, "sinks need a window");
	if (set->window > MAX_CTX || set->sinks > MAX_CTX)
		return weir_fail(EINVAL, "%u sinks and a window of %u: at most %u each", set->sinks,
			set->window, MAX_CTX);
	if (set->window) {
		set->batch = WEIR_MIN(set->batch, STREAM_BATCH);
		set->ctx = set->sinks + set->window;
	} else {
		/* The width of a step costs memory: no wider than what can ever be fed. */
		set->batch = WEIR_MAX(WEIR_MIN(set->batch, (uint32_t)weir_align_up(set->ctx, WEIR_TILE + 4)), 2);
	}
	return 0;
}

/*
 * A short text takes little of the cache: in huge pages the first token's keys, here and there in every layer, would
 * take all of it. A long one is read faster in them (4 to 9 %, measured at 4096 tokens). This speaks of the mapping
 * alone: where the kernel does not follow, or the buffer is other memory, the cache is what it was.
 */
static void cache_pages(weir_session *s, bool huge)
{
	void *at = (void *)(uintptr_t)weir_buffer_address(s->io.kv);

	s->huge = huge;
	if (at)
		madvise(at, s->stats.kv_bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#ifdef MADV_COLLAPSE
	if (at && huge)
		madvise(at, s->stats.kv_bytes, MADV_COLLAPSE);
#endif
}

static int session_memory(weir_session *s)
{
	const struct weir_params *p = &s->model->params;
	struct weir_decoder_io *io = &s->io;
	size_t size;
	int err;

	weir_slots_init(&s->slots, s->set.ctx, s->set.sinks, s->set.window, s->set.batch);
	io->shape = (struct weir_attention_shape){
		.heads = p->heads,
		.kv_heads = p->kv_heads,
		.head_dim = p->head_dim,
		.n_rot = p->n_rot,
		.slots = s->slots.count,
		.kv = s->set.kv,
		.rope = p->rope,
		.two_queries = s->set.window != 0,
	};
	weir_decoder_layout(s->model, s->set.batch, io);
	if (!weir_size_mul(io->layer.size, p->layers, &size) ||
		size > weir_device_props(s->model->dev)->max_buffer)
		return weir_fail(EFBIG,
			"a cache for %u positions needs %zu bytes a layer, all %u layers more than the %zu of one buffer: take a smaller context (--ctx) or cache type (--kv q8)",
			s->slots.count, io->layer.size, p->layers,
			weir_device_props(s->model->dev)->max_buffer);
	err = weir_buffer_create(s->model->dev, io->size, "session", &io->io);
	if (!err)
		err = weir_buffer_create(s->model->dev, size, "kv", &io->kv);
	s->stats.kv_bytes = size;
	s->stats.ctx = s->set.ctx;
	if (!err)
		cache_pages(s, false);
	return err;
}

int weir_session_create(weir_session **out, weir_model *m, const struct weir_session_settings *settings)
{
	weir_session *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return weir_fail(ENOMEM, "no memory for a session");
	s->model = m;
	if (settings)
		s->set = *settings;
	else
		weir_session_settings_default(&s->set);
	s->logits = calloc(m->params.vocab, sizeof(*s->logits));
	if (!s->logits) {
		err = weir_fail(ENOMEM, "no memory for a session");
		goto error;
	}
	if ((err = settings_resolve(&s->set, &m->params)) ||
		(err = weir_sampler_init(&s->sampler, (int32_t)m->params.vocab)) || (err = session_memory(s)))
		goto error;
	s->stats.activation_bytes = s->io.size;
	*out = s;
	return 0;
error:
	weir_session_destroy(s);
	return err;
}

void weir_session_destroy(weir_session *s)
{
	if (!s)
		return;
	weir_graph_destroy(s->step_graph);
	weir_graph_destroy(s->fill_graph);
	weir_graph_destroy(s->heads_graph);
	weir_buffer_destroy(s->heads_logits);
	weir_buffer_destroy(s->io.io);
	weir_buffer_destroy(s->io.kv);
	weir_sampler_free(&s->sampler);
	free(s->logits);
	free(s);
}

/*
 * Builds a part when it is first needed: many sessions never read a prompt of more than a token, and one that does
 * gives its first token before the kernels of the next are compiled.
 */
static int part_build(weir_session *s, enum weir_decoder_part part, struct weir_graph **graph,
	struct weir_plan **plan, size_t *head_at)
{
	int err;

	if (*plan)
		return 0;
	err = weir_decoder_build(s->model, &s->io, part, s->heads_logits, graph, plan, head_at);
	if (!err)
		s->stats.activation_bytes += weir_graph_arena(*graph);
	return err;
}

static int heads_build(weir_session *s)
{
	size_t size = WEIR_HEADS * (size_t)s->model->params.vocab * sizeof(float), unused;
	int err = 0;

	if (!s->heads_logits)
		err = weir_buffer_create(s->model->dev, size, "logits", &s->heads_logits);
	return err ? err : part_build(s, WEIR_DECODER_HEADS, &s->heads_graph, &s->heads, &unused);
}

/* Writes what the next step's kernels read. */
static int inputs_write(weir_session *s, const int32_t *tokens, uint32_t n)
{
	const struct weir_decoder_inputs *in = n > 1 ? &s->io.many : &s->io.one;
	char *base;
	/* Fewer tokens than the width leave parts of the arrays as they are. */
	unsigned access = n < in->width ? WEIR_ACCESS_READ | WEIR_ACCESS_WRITE : WEIR_ACCESS_WRITE;
	int err = weir_buffer_begin(s->io.io, in->begin, in->size, access, (void **)&base);

	if (err)
		return err;
	base -= in->begin;
	memcpy(base + in->token, tokens, n * sizeof(*tokens));
	weir_step_fill(&s->slots, &s->model->params, s->position, n, (struct weir_step *)(base + in->step),
		(int32_t *)(base + in->slot), (int32_t *)(base + in->seen), (float *)(base + in->rope));
	return weir_buffer_end(s->io.io, base + in->begin);
}

/* Says which tokens of the step that ran the head is for. */
static int range_write(weir_session *s, int first, int count)
{
	struct weir_step *step;
	int err = weir_buffer_begin(s->io.io, s->io.many.step, sizeof(*step),
		WEIR_ACCESS_READ | WEIR_ACCESS_WRITE, (void **)&step);

	if (err)
		return err;
	step->out_first = first;
	step->out_count = count;
	return weir_buffer_end(s->io.io, step);
}

static int logits_read(weir_session *s)
{
	size_t size = (size_t)s->model->params.vocab * sizeof(float);
	void *at;
	int err = weir_buffer_begin(s->io.io, s->io.logits, size, WEIR_ACCESS_READ, &at);

	if (err)
		return err;
	memcpy(s->logits, at, size);
	return weir_buffer_end(s->io.io, at);
}

static void appended(weir_session *s, const int32_t *tokens, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		s->past[s->position++ % WEIR_SAMPLER_PAST] = tokens[i];
}

/* Runs tokens through the layers; afterwards their last hidden states are in io. One token gives logits too. */
static int step_run(weir_session *s, const int32_t *tokens, uint32_t n)
{
	size_t unused;
	int err = n > 1 ? part_build(s, WEIR_DECODER_FILL, &s->fill_graph, &s->fill, &s->fill_head)
			: part_build(s, WEIR_DECODER_STEP, &s->step_graph, &s->step, &unused);

	if (!s->huge && s->position + n > SMALL_PAGES)
		cache_pages(s, true);
	if (!err)
		err = inputs_write(s, tokens, n);
	if (!err)
		err = n > 1 ? weir_plan_run_some(s->fill, 0, s->fill_head, n) : weir_plan_run(s->step, 1);
	if (!err)
		appended(s, tokens, n);
	return err;
}

static int tokens_check(const weir_session *s, const int32_t *tokens, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (tokens[i] < 0 || (uint32_t)tokens[i] >= s->model->params.vocab)
			return weir_fail(EINVAL, "the token %d is outside the vocabulary of %u", tokens[i],
				s->model->params.vocab);
	if (!s->set.window && n > s->set.ctx - s->position)
		return weir_fail(ENOSPC,
			"the context is full: it holds %u positions, %llu are taken and %zu more would come: take a larger one (--ctx) or stream (--sinks and --window)",
			s->set.ctx, (unsigned long long)s->position, n);
	return 0;
}

static int feed(weir_session *s, const int32_t *tokens, size_t n, weir_progress progress, void *user)
{
	for (size_t done = 0; done < n;) {
		uint32_t now = (uint32_t)WEIR_MIN(n - done, s->set.batch);
		bool last = done + now == n;
		int err = step_run(s, tokens + done, now);

		if (!err && now > 1 && last)
			err = weir_plan_run_some(s->fill, s->fill_head, weir_plan_count(s->fill) - s->fill_head, 1);
		/* Steps queue up behind each other only as far as the host's own writes allow: not at all. */
		if (!err)
			err = weir_device_wait(s->model->dev);
		if (err)
			return err;
		done += now;
		if (progress && progress(user, "reading", done, n) && !last)
			return weir_fail(ECANCELED, "reading the prompt was cancelled");
	}
	return logits_read(s);
}

int weir_session_feed(weir_session *s, const int32_t *tokens, size_t n, weir_progress progress, void *user)
{
	double start = weir_now();
	int err = n ? tokens_check(s, tokens, n) : 0;

	if (err || !n)
		return err;
	err = feed(s, tokens, n, progress, user);
	s->stats.prompt_tokens += n;
	s->stats.prompt_seconds += weir_now() - start;
	return err;
}

/* Gives the logits of the n tokens of the step that just ran, first the one with index i. */
static int each_heads(weir_session *s, size_t i, uint32_t n,
	int (*fn)(void *user, size_t i, const float *logits), void *user)
{
	size_t vocab = s->model->params.vocab;
	int err = heads_build(s);

	for (uint32_t at = 0; at < n && !err;) {
		uint32_t now = (uint32_t)WEIR_MIN(n - at, WEIR_HEADS);
		void *logits;

		err = range_write(s, (int)at, (int)now);
		if (!err)
			err = weir_plan_run(s->heads, now);
		if (!err)
			err = weir_buffer_begin(s->heads_logits, 0, now * vocab * sizeof(float),
				WEIR_ACCESS_READ, &logits);
		if (err)
			break;
		for (uint32_t t = 0; t < now && !err; t++)
			err = fn(user, i + at + t, (const float *)logits + t * vocab);
		if (!err && at + now == n)
			memcpy(s->logits, (const float *)logits + (now - 1) * vocab, vocab * sizeof(float));
		if (err)
			weir_buffer_end(s->heads_logits, logits);
		else
			err = weir_buffer_end(s->heads_logits, logits);
		at += now;
	}
	return err;
}

int weir_session_feed_each(weir_session *s, const int32_t *tokens, size_t n,
	int (*fn)(void *user, size_t i, const float *logits), void *user)
{
	double start = weir_now();
	int err = n ? tokens_check(s, tokens, n) : 0;

	for (size_t done = 0; done < n && !err;) {
		uint32_t now = (uint32_t)WEIR_MIN(n - done, s->set.batch);

		err = step_run(s, tokens + done, now);
		if (!err && now > 1) {
			err = each_heads(s, done, now, fn, user);
		} else if (!err) {
			err = logits_read(s);
			if (!err)
				err = fn(user, done, s->logits);
		}
		done += now;
	}
	s->stats.prompt_tokens += n;
	s->stats.prompt_seconds += weir_now() - start;
	return err;
}

int weir_session_logits(weir_session *s, float *out)
{
	if (!s->position)
		return weir_fail(ENODATA, "no logits: nothing was fed yet");
	memcpy(out, s->logits, s->model->params.vocab * sizeof(*out));
	return 0;
}

int weir_session_sampling(weir_session *s, const struct weir_sampling *sampling)
{
	return weir_sampler_set(&s->sampler, sampling);
}

size_t weir_session_past(const weir_session *s, int32_t *tokens, size_t max)
{
	size_t n = (size_t)WEIR_MIN(s->position, (uint64_t)WEIR_MIN(max, WEIR_SAMPLER_PAST));

	for (size_t i = 0; i < n; i++)
		tokens[i] = s->past[(s->position - 1 - i) % WEIR_SAMPLER_PAST];
	return n;
}

int weir_session_sample(weir_session *s, int32_t *token)
{
	int32_t past[WEIR_SAMPLER_PAST];
	double start = weir_now();
	size_t n = 0;

	if (!s->position)
		return weir_fail(ENODATA, "nothing to sample from: nothing was fed yet");
	if (s->sampler.set.repeat_penalty != 1)
		n = weir_session_past(s, past, (size_t)s->sampler.set.repeat_last);
	*token = weir_sampler_draw(&s->sampler, s->logits, past, n);
	s->stats.sample_seconds += weir_now() - start;
	return 0;
}

void weir_session_reset(weir_session *s)
{
	s->position = 0;
}

uint64_t weir_session_position(const weir_session *s)
{
	return s->position;
}

void weir_session_stats(const weir_session *s, struct weir_session_stats *out)
{
	*out = s->stats;
}
