/* SPDX-License-Identifier: MIT */
/* Sampling: candidates are selected by heaps, so that a large vocabulary is never sorted whole. */
#include <math.h>

#include "base/base.h"
#include "llm/sampler.h"

void weir_sampling_default(struct weir_sampling *s)
{
	memset(s, 0, sizeof(*s));
	s->size = sizeof(*s);
	s->temperature = 0.8f;
	s->top_k = 40;
	s->top_p = 0.95f;
	s->min_p = 0.05f;
	s->repeat_penalty = 1;
	s->repeat_last = 64;
}

/* splitmix64 (Steele et al. 2014) spreads a seed over the state. */
static uint64_t splitmix(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint64_t rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

/* xoshiro256** (Blackman and Vigna 2018), as a double in [0, 1). */
static double random_unit(uint64_t s[4])
{
	uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return (double)(result >> 11) * 0x1p-53;
}

int weir_sampler_set(struct weir_sampler *s, const struct weir_sampling *set)
{
	uint64_t seed = set->seed;

	if (set->size != sizeof(*set))
		return weir_fail(EINVAL, "sampling settings of %zu bytes, %zu expected", set->size, sizeof(*set));
	if (!(set->temperature >= 0 && set->temperature <= 100))
		return weir_fail(EINVAL, "the temperature is %g, it must be from 0 to 100", set->temperature);
	if (set->top_k < 0)
		return weir_fail(EINVAL, "top-k is %d, it must be 0 or more", set->top_k);
	if (!(set->top_p > 0 && set->top_p <= 1))
		return weir_fail(EINVAL, "top-p is %g, it must be more than 0, at most 1", set->top_p);
	if (!(set->min_p >= 0 && set->min_p <= 1))
		return weir_fail(EINVAL, "min-p is %g, it must be from 0 to 1", set->min_p);
	if (!(set->repeat_penalty > 0 && set->repeat_penalty <= 100))
		return weir_fail(EINVAL, "the repeat penalty is %g, it must be more than 0, at most 100",
			set->repeat_penalty);
	if (set->repeat_last < 0 || set->repeat_last > WEIR_SAMPLER_PAST)
		return weir_fail(EINVAL, "the repeat penalty looks back over %d tokens, it can be 0 to %d",
			set->repeat_last, WEIR_SAMPLER_PAST);
	s->set = *set;
	for (int i = 0; i < 4; i++)
		s->random[i] = splitmix(&seed);
	return 0;
}

int weir_sampler_init(struct weir_sampler *s, int32_t vocab)
{
	struct weir_sampling set;

	memset(s, 0, sizeof(*s));
	s->vocab = vocab;
	s->candidates = calloc((size_t)vocab, sizeof(*s->candidates));
	s->logits = calloc((size_t)vocab, sizeof(*s->logits));
	if (!s->candidates || !s->logits) {
		weir_sampler_free(s);
		return weir_fail(ENOMEM, "no memory to sample from %d tokens", vocab);
	}
	weir_sampling_default(&set);
	return weir_sampler_set(s, &set);
}

void weir_sampler_free(struct weir_sampler *s)
{
	free(s->candidates);
	free(s->logits);
	memset(s, 0, sizeof(*s));
}

/* Better: the higher logit, of equals the lower token, so that the order never depends on a heap's moves. */
static bool better(const struct weir_candidate *a, const struct weir_candidate *b)
{
	return a->logit > b->logit || (a->logit == b->logit && a->token < b->token);
}

/* Heap with the worst (min) or the best (!min) at the root. */
static void sift(struct weir_candidate *c, size_t n, size_t i, bool min)
{
	struct weir_candidate x = c[i];

	for (;;) {
		size_t k = 2 * i + 1;

		if (k >= n)
			break;
		if (k + 1 < n && better(&c[k + 1], &c[k]) != min)
			k++;
		if (better(&x, &c[k]) != min)
			break;
		c[i] = c[k];
		i = k;
	}
	c[i] = x;
}

static void heapify(struct weir_candidate *c, size_t n, bool min)
{
	for (size_t i = n / 2; i-- > 0;)
		sift(c, n, i, min);
}

static void penalise(struct weir_sampler *s, const int32_t *past, size_t n)
{
	n = WEIR_MIN(n, (size_t)s->set.repeat_last);
	for (size_t i = 0; i < n; i++) {
		int32_t token = past[i];
		bool first = true;

		for (size_t j = 0; j < i && first; j++)
			first = past[j] != token;
		if (!first)
			continue;
		if (s->logits[token] > 0)
			s->logits[token] /= s->set.repeat_penalty;
		else
			s->logits[token] *= s->set.repeat_penalty;
	}
}

static int32_t greedy(const float *logits, int32_t n)
{
	int32_t best = 0;

	for (int32_t i = 1; i < n; i++)
		if (logits[i] > logits[best] || isnan(logits[best]))
			best = i;
	return best;
}

/* The k best of all, as a heap with the best at the root. */
static size_t select_top(struct weir_sampler *s, const float *logits, size_t k)
{
	struct weir_candidate *c = s->candidates;
	size_t n = 0;

	for (int32_t i = 0; i < s->vocab; i++) {
		struct weir_candidate x = {isnan(logits[i]) ? -INFINITY : logits[i], i};

		if (n < k) {
			c[n++] = x;
			if (n == k)
				heapify(c, n, true);
		} else if (better(&x, &c[0])) {
			c[0] = x;
			sift(c, n, 0, true);
		}
	}
	heapify(c, n, false);
	return n;
}

/* Moves the best of the heap's n to its end, one by one, until top-p and min-p say enough; returns how many. */
static size_t select_nucleus(struct weir_candidate *c, size_t n, float top_p, float min_p)
{
	float best = c[0].logit;
	double sum = 0, kept = 0;
	size_t m = 0;

	for (size_t i = 0; top_p < 1 && i < n; i++)
		sum += exp(c[i].logit - best);
	while (m < n) {
		struct weir_candidate x = c[0];
		double p = exp(x.logit - best);

		if (m && (p < min_p || (top_p < 1 && kept >= top_p * sum)))
			break;
		kept += p;
		c[0] = c[n - 1 - m];
		sift(c, n - 1 - m, 0, false);
		c[n - 1 - m++] = x;
	}
	return m;
}

int32_t weir_sampler_draw(struct weir_sampler *s, const float *logits, const int32_t *past, size_t n_past)
{
	size_t k = s->set.top_k && s->set.top_k < s->vocab ? (size_t)s->set.top_k : (size_t)s->vocab;
	struct weir_candidate *c = s->candidates;
	double sum = 0, at;
	size_t n, m, i;
	float best;

	if (s->set.repeat_penalty != 1 && n_past) {
		memcpy(s->logits, logits, (size_t)s->vocab * sizeof(*logits));
		penalise(s, past, n_past);
		logits = s->logits;
	}
	if (s->set.temperature <= 0)
		return greedy(logits, s->vocab);
	n = select_top(s, logits, k);
	best = c[0].logit;
	if (best == -INFINITY || best == INFINITY) /* nothing to weigh */
		return c[0].token;
	m = n;
	if (s->set.top_p < 1 || s->set.min_p > 0)
		m = select_nucleus(c, n, s->set.top_p, s->set.min_p);
	c += n - m; /* the best comes last */
	for (i = 0; i < m; i++)
		sum += exp((c[i].logit - best) / s->set.temperature);
	at = random_unit(s->random) * sum;
	for (i = m - 1; i > 0; i--) {
		at -= exp((c[i].logit - best) / s->set.temperature);
		if (at < 0)
			break;
	}
	return c[i].token;
}
