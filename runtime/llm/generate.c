/* SPDX-License-Identifier: MIT */
/* The loop that talks: sample, show whole characters, feed. */
#include "format/tokenizer.h"
#include "llm/session.h"

/* Bytes that are not a whole character yet; a token that is longer passes through in parts. */
struct tail {
	char bytes[512];
	size_t len;
};

struct sink {
	int (*fn)(void *user, int32_t token, const char *text, size_t len);
	void *user;
	struct tail tail;
};

/* Shows what is whole of the tail and the text behind it, and keeps the rest. Nonzero: the user wants to stop. */
static int sink_text(struct sink *k, int32_t token, const char *text, size_t len)
{
	int stop = 0;

	do {
		size_t part = WEIR_MIN(len, sizeof(k->tail.bytes) - k->tail.len), whole;

		memcpy(k->tail.bytes + k->tail.len, text, part);
		k->tail.len += part;
		text += part;
		len -= part;
		whole = weir_utf8_whole(k->tail.bytes, k->tail.len);
		stop = k->fn(k->user, token, k->tail.bytes, whole);
		memmove(k->tail.bytes, k->tail.bytes + whole, k->tail.len - whole);
		k->tail.len -= whole;
	} while (len && !stop);
	return stop;
}

static int generate(weir_session *s, size_t max, struct sink *k, enum weir_stop *stop)
{
	const weir_tokenizer *t = s->model->tokenizer;

	*stop = WEIR_STOP_LENGTH;
	for (size_t i = 0; i < max; i++) {
		int32_t token;
		bool end, user = false;
		int err = weir_session_sample(s, &token);

		if (err)
			return err;
		end = t && weir_token_is_end(t, token);
		if (!end) {
			size_t len = 0;
			const char *text = t ? weir_token_text(t, token, false, &len) : "";

			/* A model may have more rows than its vocabulary has words. */
			user = sink_text(k, token, text ? text : "", text ? len : 0);
		}
		if (!s->set.window && s->position >= s->set.ctx) {
			*stop = end ? WEIR_STOP_END : user ? WEIR_STOP_USER : WEIR_STOP_FULL;
			return 0;
		}
		err = weir_session_feed(s, &token, 1, NULL, NULL);
		if (err)
			return err;
		s->stats.generated_tokens++;
		s->stats.prompt_tokens--;
		if (end || user) {
			*stop = end ? WEIR_STOP_END : WEIR_STOP_USER;
			return 0;
		}
	}
	return 0;
}

int weir_session_generate(weir_session *s, size_t max,
	int (*fn)(void *user, int32_t token, const char *text, size_t len), void *user, enum weir_stop *stop)
{
	struct sink k = {.fn = fn, .user = user};
	double prompt = s->stats.prompt_seconds, start = weir_now();
	enum weir_stop reason;
	int err = generate(s, max, &k, &reason);

	if (!err && k.tail.len)
		fn(user, -1, k.tail.bytes, k.tail.len);
	/* What feed counted as reading was generating. */
	s->stats.prompt_seconds = prompt;
	s->stats.generate_seconds += weir_now() - start;
	if (!err && stop)
		*stop = reason;
	return err;
}
