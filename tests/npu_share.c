/* SPDX-License-Identifier: MIT */
/*
 * A model that tells its story on the NPU. And two processes and one cache: the owner of a session
 * hands its KV buffer over a socket as a dma-buf; the other process attends to it where it lies,
 * and gets what the owner gets, also after the owner has gone on.
 */
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device/backend.h"
#include "llm/session.h"
#include "models.h"
#include "npu_pass.h"
#include "npu_share.h"
#include "suite.h"

enum { VOCAB = 200, FIRST = 40, MORE = 7, MAX_ROW = 1024 };

/* What the other process is told, beside the fd: one attention of a layer. */
struct job {
	struct weir_attention_shape shape;
	struct weir_step step;
	uint64_t layer_offset, layer_size;
	float q[MAX_ROW];
};

/* ---- the same attention in both processes -------------------------------- */

static size_t row_of(const struct weir_attention_shape *shape)
{
	return (size_t)shape->heads * shape->head_dim;
}

struct places {
	size_t step, seen, q, out, size;
};

static struct places places_of(const weir_device *dev, size_t row)
{
	size_t align = weir_device_props(dev)->align;
	struct places p = {0};

	p.seen = weir_align_up(sizeof(struct weir_step), align);
	p.q = p.seen + align;
	p.out = p.q + weir_align_up(row * sizeof(float), align);
	p.size = p.out + weir_align_up(row * sizeof(float), align);
	return p;
}

static int put_job(
	struct weir_buffer *io, const struct job *job, const struct places *p, size_t row)
{
	char *at;
	int err = weir_buffer_begin(io, 0, p->size, WEIR_ACCESS_WRITE, (void **)&at);

	if (err < 0)
		return err;
	memset(at, 0, p->size);
	memcpy(at + p->step, &job->step, sizeof(job->step));
	/* All of the past is seen. */
	*(int32_t *)(at + p->seen) = INT32_MIN;
	memcpy(at + p->q, job->q, row * sizeof(float));
	return weir_buffer_end(io, at);
}

static int take_row(struct weir_buffer *io, const struct places *p, size_t row, float *out)
{
	void *at;
	int err = weir_buffer_begin(io, p->out, row * sizeof(float), WEIR_ACCESS_READ, &at);

	if (err < 0)
		return err;
	memcpy(out, at, row * sizeof(float));
	return weir_buffer_end(io, at);
}

/* Attention of one token over a layer of the cache in kv. */
static int attend(weir_device *dev, struct weir_buffer *kv, const struct job *job, float *out)
{
	size_t row = row_of(&job->shape);
	struct places p = places_of(dev, row);
	struct weir_step_tensors s = {.width = 1};
	struct weir_tensor *q, *cache;
	struct weir_rows_out result = {0};
	struct weir_buffer *io = NULL;
	struct weir_graph *g = NULL;
	struct weir_plan *plan;
	int err = weir_buffer_create(dev, p.size, "attention", &io);

	if (err == 0)
		err = put_job(io, job, &p, row);
	if (err == 0)
		err = weir_graph_create(dev, &g);
	if (err < 0)
		goto out;
	s.step = weir_graph_bind(g, "step", io, p.step, sizeof(struct weir_step));
	s.seen = weir_graph_bind(g, "seen", io, p.seen, sizeof(int32_t));
	q = weir_graph_bind(g, "q", io, p.q, row * sizeof(float));
	cache = weir_graph_bind(g, "kv", kv, job->layer_offset, job->layer_size);
	result.f32 = weir_graph_bind(g, "out", io, p.out, row * sizeof(float));
	weir_op_attention(g, &s, &job->shape, q, cache, result);
	err = weir_graph_plan(g, &plan);
	if (err == 0)
		err = weir_plan_run(plan, 1);
	if (err == 0)
		err = weir_device_wait(dev);
	if (err == 0)
		err = take_row(io, &p, row, out);
out:
	weir_graph_destroy(g);
	weir_buffer_destroy(io);
	return err;
}

/* ---- the second process ---------------------------------------------------- */

int npu_share_other(int socket)
{
	weir_device *dev = npu_pass_device();
	struct weir_buffer *kv = NULL;
	float out[MAX_ROW];
	struct job job;
	int fd, err = dev ? 0 : -ENODEV;

	unsetenv("WEIR_KERNELS");
	while (err == 0 && npu_pass_receive(socket, &job, sizeof(job), &fd)) {
		if (fd >= 0) {
			err = weir_buffer_from_fd(dev, fd, "kv of another process", &kv);
			close(fd);
		}
		if (err == 0)
			err = attend(dev, kv, &job, out);
		if (err == 0 && send(socket, out, sizeof(out), MSG_NOSIGNAL) != sizeof(out))
			err = -EPIPE;
	}
	if (err < 0)
		fprintf(stderr, "the second process: %s\n", weir_error());
	/* Not one byte was copied to get at the cache. */
	if (err == 0 && weir_profile_copied(dev) != 0)
		err = -EXDEV;
	weir_buffer_destroy(kv);
	weir_device_close(dev);
	return err == 0 ? 0 : 1;
}

/* Without outer white space. */
static char *trimmed(char *text)
{
	size_t len;

	while (*text == ' ' || *text == '\n')
		text++;
	len = strlen(text);
	while (len && (text[len - 1] == ' ' || text[len - 1] == '\n'))
		text[--len] = '\0';
	return text;
}

/* ---- the owner ----------------------------------------------------------- */

/* The job that asks for the attention of a token after all that the session has read. */
static void make_job(const weir_session *s, struct job *job)
{
	memset(job, 0, sizeof(*job));
	job->shape = s->io.shape;
	job->layer_offset = s->io.layer.size; /* layer 1 */
	job->layer_size = s->io.layer.size;
	job->step.n_tokens = 1;
	job->step.n_segments = 1;
	job->step.segment[0].count = (int)s->position;
	job->step.segment[0].pos = -(int)s->position;
	for (size_t i = 0; i < row_of(&job->shape); i++)
		job->q[i] = (float)((int)(i * 37 % 29) - 14) / 7;
}

static void compare(weir_session *s, weir_device *dev, int socket, int fd)
{
	float own[MAX_ROW], other[MAX_ROW];
	struct job job;
	size_t row;
	bool moved = false;

	make_job(s, &job);
	row = row_of(&job.shape);
	ck_assert(npu_pass_send(socket, &job, sizeof(job), fd));
	ck_assert_msg(attend(dev, s->io.kv, &job, own) == 0, "%s", weir_error());
	ck_assert_int_eq(recv(socket, other, sizeof(other), 0), sizeof(other));
	for (size_t i = 0; i < row; i++)
		moved |= own[i] != 0;
	ck_assert(moved);
	ck_assert_mem_eq(own, other, row * sizeof(float));
}

static void share(enum weir_kv kv, enum weir_provider provider)
{
	struct model_shape shape = {"llama", WEIR_TYPE_Q8_0, 2, 64, 128, 4, 2, VOCAB};
	const char *kernels = getenv("WEIR_KERNELS");
	char *path = model_write(&shape, 21), *folder = kernels ? strdup(kernels) : NULL;
	struct weir_device_settings set;
	int32_t tokens[FIRST + MORE];
	weir_device *dev;
	weir_session *s;
	weir_model *m;
	int socket, fd, status = 0;
	pid_t pid;

	unsetenv("WEIR_KERNELS"); /* the library's own */
	weir_device_settings_default(&set);
	set.device = "npu";
	set.provider = provider;
	ck_assert_msg(weir_device_open(&dev, &set) == 0, "%s", weir_error());
	m = model_open(dev, path);
	s = model_session(m, kv, 128, 0, 0, 0);
	model_tokens(tokens, FIRST + MORE, VOCAB, 3);
	ck_assert_msg(weir_session_feed(s, tokens, FIRST, NULL, NULL) == 0, "%s", weir_error());
	fd = weir_buffer_fd(s->io.kv);
	ck_assert_msg(fd >= 0, "%s", weir_error());
	pid = npu_pass_start("--npu-share", &socket);
	compare(s, dev, socket, fd);
	close(fd);
	/* What the owner adds is there at once. */
	for (int i = FIRST; i < FIRST + MORE; i++) {
		ck_assert_int_eq(weir_session_feed(s, &tokens[i], 1, NULL, NULL), 0);
		compare(s, dev, socket, -1);
	}
	close(socket);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	weir_session_destroy(s);
	weir_model_close(m);
	weir_device_close(dev);
	if (folder)
		setenv("WEIR_KERNELS", folder, 1);
	free(folder);
	unlink(path);
	free(path);
}

/* Unchanged above the device layer: the golden text. */
START_TEST(story)
{
	const char *model = suite_data("llm/stories260K-f32.gguf", "a story");
	const char *golden = suite_data("llm/stories260K-greedy200.txt", "a story");
	const char *kernels = getenv("WEIR_KERNELS");
	char *folder = kernels ? strdup(kernels) : NULL, *want, *text;
	weir_device *dev;
	weir_session *s;
	weir_model *m;
	size_t size;

	if (!model || !golden) {
		free(folder);
		return;
	}
	unsetenv("WEIR_KERNELS");
	ck_assert_int_eq(weir_file_read(golden, 4096, &want, &size), 0);
	dev = npu_pass_device();
	ck_assert_msg(dev != NULL, "%s", weir_error());
	m = model_open(dev, model);
	s = model_session(m, WEIR_KV_F16, 0, 0, 0, 0);
	text = model_greedy(s, m, "", 200);
	ck_assert_str_eq(trimmed(text), trimmed(want));
	free(text);
	free(want);
	weir_session_destroy(s);
	weir_model_close(m);
	weir_device_close(dev);
	if (folder)
		setenv("WEIR_KERNELS", folder, 1);
	free(folder);
}
END_TEST

START_TEST(cache_of_another_process)
{
	share(_i ? WEIR_KV_Q8 : WEIR_KV_F16, WEIR_PROVIDER_WEIR);
}
END_TEST

void npu_share_add(TCase *c)
{
	tcase_add_test(c, story);
	tcase_add_loop_test(c, cache_of_another_process, 0, 2);
}
