/* SPDX-License-Identifier: MIT */
/* Saved sessions from bytes at random: the checks before anything is taken over. */
#include "base/base.h"
#include "llm/save.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Puts right what a mutation cannot guess, so that the checks behind it are reached: lengths and the checksum. */
static void mend(uint8_t *copy, size_t size, const struct weir_save_expect *e)
{
	struct weir_save_header *h = (struct weir_save_header *)copy;
	struct weir_hash hash;

	memcpy(h->magic, "WEIRSESS", sizeof(h->magic));
	h->version = 1;
	h->header_size = sizeof(*h);
	h->model[0] = e->model[0];
	h->model[1] = e->model[1];
	h->vocab = e->vocab;
	h->sinks = e->slots.sinks;
	h->window = e->slots.window;
	h->ring_size = e->slots.ring_size;
	h->slots = e->slots.count;
	h->kv = e->kv;
	h->used = weir_save_used(&e->slots, h->position);
	h->cache_size = h->used * e->slot_bytes;
	h->file_size = size;
	weir_hash_init(&hash);
	weir_hash_add(&hash, copy, size - sizeof(hash));
	memcpy(copy + size - sizeof(hash), &hash, sizeof(hash));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct weir_save_expect e = {.model = {1, 2}, .vocab = 8, .slot_bytes = 1};
	struct weir_saved saved;
	uint8_t *copy;

	if (!size)
		return 0;
	weir_slots_init(&e.slots, 64, data[0] & 2 ? 4 : 0, data[0] & 2 ? 12 : 0, 16);
	copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (data[0] & 1 && size >= sizeof(struct weir_save_header) + sizeof(struct weir_hash))
		mend(copy, size, &e);
	if (!weir_save_parse(copy, size, "saved", &e, &saved)) {
		volatile uint8_t sum = 0;

		for (uint32_t i = 0; i < 4 * saved.header.n_past; i++)
			sum += saved.past[i];
		for (uint32_t i = 0; i < 4 * e.vocab; i++)
			sum += saved.logits[i];
		for (uint64_t i = 0; i < saved.header.cache_size; i++)
			sum += saved.cache[i];
	}
	free(copy);
	return 0;
}
