/* SPDX-License-Identifier: MIT */
/* weir run: one prompt, and the text that follows it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

struct run {
	const struct options *options;
	struct engine engine;
	struct text prompt, kept;
	struct answer answer;
	bool chat;
};

/* -p, -f, or what comes on standard input when that is no terminal. */
static int run_prompt(struct run *r)
{
	const struct options *o = r->options;

	if (o->prompt && o->file)
		return usage("run", "-p and -f both give a prompt: one of them will do");
	if (o->chat && o->raw)
		return usage("run", "--chat and --raw exclude each other");
	if (o->system && !r->chat)
		return usage("run", "--system is for a chat: add --chat");
	if (o->prompt)
		return text_add(&r->prompt, o->prompt, strlen(o->prompt));
	if (!o->file && o->load && isatty(STDIN_FILENO))
		return text_add(&r->prompt, "", 0); /* goes on where the session was */
	if (!o->file && isatty(STDIN_FILENO))
		return usage("run",
			"there is no prompt: give -p TEXT, -f FILE, or text on standard input");
	if (text_read(&r->prompt, o->file ? o->file : "-"))
		return 1;
	text_drop_newline(&r->prompt);
	return 0;
}

static int run_feed_raw(struct run *r)
{
	unsigned flags = r->options->special ? WEIR_TOKENIZE_SPECIAL : 0;
	bool fresh = weir_session_position(r->engine.session) == 0;
	int32_t *tokens;
	size_t n;
	int status = 0;

	if (fresh)
		flags |= WEIR_TOKENIZE_BOS;
	if (text_tokens(r->engine.tokenizer, r->prompt.data, r->prompt.len, flags, &tokens, &n))
		return 1;
	if (n)
		status = engine_feed(&r->engine, tokens, n);
	else if (fresh)
		status = fail("the prompt is empty, and this model has no token to begin with: "
			      "give some text");
	free(tokens);
	return status;
}

static int run_feed(struct run *r)
{
	enum weir_chat_format format;

	if (!r->chat)
		return run_feed_raw(r);
	if (strlen(r->prompt.data) != r->prompt.len)
		return fail("the prompt has a zero byte at %zu, which a chat's turn cannot have",
			strlen(r->prompt.data));
	if (engine_chat_format(&r->engine, &format))
		return 1;
	return answer_ask(&r->engine, format, r->options->system, r->prompt.data);
}

static int run_json(struct run *r)
{
	static const char *const stops[] = {"length", "end", "user", "full"};
	struct json_object *object = json_object_new_object();
	struct weir_session_stats stats;

	weir_session_stats(r->engine.session, &stats);
	json_put(object, "text", json_text(r->kept.data ? r->kept.data : "", r->kept.len));
	json_put_text(object, "stop", stops[r->answer.stop]);
	json_put_int(object, "prompt_tokens", stats.prompt_tokens);
	json_put_int(object, "generated_tokens", stats.generated_tokens);
	json_put_real(object, "prompt_seconds", stats.prompt_seconds);
	json_put_real(object, "generate_seconds", stats.generate_seconds);
	json_put_real(object, "sample_seconds", stats.sample_seconds);
	json_put_real(object, "first_token_seconds", r->answer.first);
	json_put_real(object, "load_seconds", r->engine.load_seconds);
	json_put_int(object, "context", stats.ctx);
	json_put_int(object, "kv_bytes", stats.kv_bytes);
	json_put_int(object, "activation_bytes", stats.activation_bytes);
	json_put_int(object, "seed", r->engine.seed);
	json_put_model(object, &r->engine);
	if (engine_profile(&r->engine, object)) {
		json_object_put(object);
		return 1;
	}
	return out_json(object);
}

/* What is due once the text is there. */
static int run_report(struct run *r)
{
	const struct options *o = r->options;

	if (!o->json && !r->answer.newline && (out_write("\n", 1) || out_flush()))
		return 1;
	if (r->answer.stop == WEIR_STOP_FULL)
		say_full(&r->engine, "");
	if (o->json)
		return run_json(r);
	if (!o->quiet)
		say_stats(&r->engine, r->answer.first);
	return engine_profile(&r->engine, NULL);
}

static int run_echo(struct run *r)
{
	const struct text *t = &r->prompt;

	if (t->len)
		r->answer.newline = t->data[t->len - 1] == '\n';
	return r->answer.keep ? text_add(r->answer.keep, t->data, t->len)
			      : out_write(t->data, t->len);
}

static int run_answer(struct run *r)
{
	const struct options *o = r->options;
	size_t max = options_given(o, "tokens") ? (size_t)o->tokens : SIZE_MAX;
	int status;

	r->answer.engine = &r->engine;
	r->answer.newline = true;
	r->answer.keep = o->json ? &r->kept : NULL;
	if (engine_open_words(&r->engine, o) || engine_session(&r->engine, 0) ||
		engine_sampling(&r->engine) || engine_load(&r->engine))
		return 1;
	r->answer.asked = now();
	if (run_feed(r))
		return 1;
	if (o->echo && run_echo(r))
		return 1;
	status = answer_generate(&r->answer, max);
	/* A text that could not be shown was made all the same. */
	if ((!status || r->answer.failed) && engine_save(&r->engine))
		return 1;
	return status || run_report(r);
}

int cmd_run(const struct options *o)
{
	struct run r = {.options = o};
	int status;

	/* The default model follows instructions; a file that is named may not. */
	r.chat = o->chat || (!o->model && !o->raw);
	status = run_prompt(&r);
	if (!status)
		status = run_answer(&r);
	engine_close(&r.engine);
	text_free(&r.prompt);
	text_free(&r.kept);
	return status;
}
