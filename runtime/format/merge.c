/* SPDX-License-Identifier: MIT */
/*
 * Merging of neighbouring symbols, best first, as SentencePiece's BPE (by score) and byte-level BPE
 * (by rank) do: a list of symbols and a heap of candidate pairs, of which those that another merge
 * overtook are skipped.
 */
#include "format/tokenize.h"

#include "base/base.h"

struct weir_candidate {
	uint64_t key; /* order << 32 | left symbol: the smallest is next */
	uint32_t len; /* of both symbols when it was made: tells whether they still are as they were
		       */
	int32_t token; /* that they become */
};

void weir_merger_init(struct weir_merger *m, const struct weir_vocab *v)
{
	memset(m, 0, sizeof(*m));
	m->vocab = v;
}

void weir_merger_fini(struct weir_merger *m)
{
	free(m->symbols);
	free(m->heap);
}

int weir_merger_start(struct weir_merger *m, const char *text, size_t n)
{
	m->text = text;
	m->n = 0;
	m->heap_n = 0;
	if (n > m->size) {
		size_t size = WEIR_MAX(n, m->size * 2);
		struct weir_symbol *symbols = realloc(m->symbols, size * sizeof(*symbols));

		if (!symbols)
			return weir_fail(ENOMEM, "no memory to tokenize %zu bytes", n);
		m->symbols = symbols;
		m->size = size;
	}
	return 0;
}

void weir_merger_add(struct weir_merger *m, size_t len, int32_t token)
{
	struct weir_symbol *symbol = &m->symbols[m->n];

	symbol->at = 0;
	symbol->prev = (int32_t)m->n - 1;
	if (m->n > 0) {
		symbol->at = symbol[-1].at + symbol[-1].len;
		symbol[-1].next = (int32_t)m->n;
	}
	symbol->len = (uint32_t)len;
	symbol->next = -1;
	symbol->token = token;
	m->n++;
}

/* Scores as integers in the opposite order: the highest score is the smallest number. */
static uint32_t score_order(float score)
{
	uint32_t bits;

	score += 0.0f; /* -0 is 0 */
	memcpy(&bits, &score, sizeof(bits));
	return bits & 0x80000000 ? bits : ~(bits | 0x80000000);
}

/* What left and the symbol behind it can become; false: nothing. */
static bool candidate_make(const struct weir_merger *m, int32_t left, struct weir_candidate *c)
{
	const struct weir_vocab *v = m->vocab;
	const struct weir_symbol *l, *r;
	uint32_t order;

	if (left < 0 || m->symbols[left].next < 0)
		return false;
	l = &m->symbols[left];
	r = &m->symbols[l->next];
	c->len = l->len + r->len;
	if (v->kind == WEIR_VOCAB_SPM && !v->ranked) {
		c->token = weir_vocab_find_plain(v, m->text + l->at, c->len);
		if (c->token < 0)
			return false;
		order = score_order(v->tokens[c->token].score);
	} else {
		const struct weir_vocab_merge *merge = weir_vocab_merge(v, l->token, r->token);

		if (!merge)
			return false;
		c->token = merge->token;
		order = (uint32_t)merge->rank;
	}
	c->key = (uint64_t)order << 32 | (uint32_t)left;
	return true;
}

static void heap_down(struct weir_candidate *heap, size_t n, size_t i)
{
	struct weir_candidate c = heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= n)
			break;
		if (child + 1 < n && heap[child + 1].key < heap[child].key)
			child++;
		if (c.key <= heap[child].key)
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = c;
}

static void heap_push(struct weir_merger *m, const struct weir_candidate *c)
{
	size_t i = m->heap_n++;

	while (i > 0 && c->key < m->heap[(i - 1) / 2].key) {
		m->heap[i] = m->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	m->heap[i] = *c;
}

static struct weir_candidate heap_pop(struct weir_merger *m)
{
	struct weir_candidate c = m->heap[0];

	m->heap[0] = m->heap[--m->heap_n];
	if (m->heap_n > 0)
		heap_down(m->heap, m->heap_n, 0);
	return c;
}

/* The pairs that stand at the start. A merge takes a candidate away and adds two at most, so 2n
 * places do. */
static int heap_fill(struct weir_merger *m)
{
	if (m->heap_size < 2 * m->n) {
		size_t size = WEIR_MAX(2 * m->n, m->heap_size * 2);
		struct weir_candidate *heap = realloc(m->heap, size * sizeof(*heap));

		if (!heap)
			return weir_fail(ENOMEM, "no memory to tokenize %zu characters", m->n);
		m->heap = heap;
		m->heap_size = size;
	}
	for (size_t i = 0; i + 1 < m->n; i++) {
		if (candidate_make(m, (int32_t)i, &m->heap[m->heap_n]))
			m->heap_n++;
	}
	for (size_t i = m->heap_n / 2; i-- > 0;)
		heap_down(m->heap, m->heap_n, i);
	return 0;
}

/* Makes one symbol of left and the one behind it. */
static void symbols_join(struct weir_merger *m, int32_t left, int32_t token)
{
	struct weir_symbol *l = &m->symbols[left], *r = &m->symbols[l->next];

	l->len += r->len;
	l->token = token;
	l->next = r->next;
	r->len = 0;
	if (r->next >= 0)
		m->symbols[r->next].prev = left;
}

int weir_merger_run(struct weir_merger *m)
{
	int err = m->n > 1 ? heap_fill(m) : 0;

	if (err)
		return err;
	while (m->heap_n > 0) {
		struct weir_candidate c = heap_pop(m), next;
		int32_t left = (int32_t)(c.key & 0xffffffff);
		const struct weir_symbol *l = &m->symbols[left];

		/* The pair starts where left does; if its bytes are as many as then, neither symbol
		 * has changed. */
		if (l->len == 0 || l->next < 0 || l->len + m->symbols[l->next].len != c.len)
			continue;
		symbols_join(m, left, c.token);
		if (candidate_make(m, l->prev, &next))
			heap_push(m, &next);
		if (candidate_make(m, left, &next))
			heap_push(m, &next);
	}
	return 0;
}
