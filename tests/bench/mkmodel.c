/* SPDX-License-Identifier: MIT */
/*
 * Makes the model files whose speed is measured, the same bytes each time:
 *     mkmodel from MODEL TYPE OUT                           MODEL in another type
 *     mkmodel random LAYERS,DIM,FF,HEADS,KV,VOCAB TYPE OUT  a llama of random weights
 *     mkmodel facts MODEL                                   what a token reads
 * TYPE: F16, Q8_0, Q5_0, Q4_1, Q4_0, or Q4_K_M, llama.cpp's mixture of Q4_K and Q6_K. Rows that do not fit the blocks of
 * 256 get the types that llama.cpp falls back to. OUT appears when it is whole.
 */
#include <unistd.h>

#include "base/base.h"
#include "blocks.h"
#include "format/checkpoint.h"
#include "format/gguf_write.h"
#include "llm/params.h"
#include "weir/weir.h"

#define CHUNK_ROWS 64
#define ALIGNMENT 32 /* of data in a GGUF file */

/* general.file_type is what programs call the file. */
static const struct mix {
	const char *name;
	uint32_t type, file_type;
	bool more; /* Q6_K for the head, and for v and down of the layers that suffer most */
} mixes[] = {
	{"F16", WEIR_TYPE_F16, 1, false},
	{"Q8_0", WEIR_TYPE_Q8_0, 7, false},
	{"Q5_0", WEIR_TYPE_Q5_0, 8, false},
	{"Q4_1", WEIR_TYPE_Q4_1, 3, false},
	{"Q4_0", WEIR_TYPE_Q4_0, 2, false},
	{"Q4_K_M", WEIR_TYPE_Q4_K, 15, true},
};

struct shape {
	unsigned layers, dim, ff, heads, kv_heads, vocab;
};

struct item {
	char name[64];
	uint64_t k, rows; /* rows 0: a vector */
	uint32_t type;
	const struct weir_checkpoint_tensor *in; /* NULL: random */
};

struct maker {
	const struct mix *mix;
	struct weir_checkpoint *in; /* NULL: random */
	unsigned layers;
	bool tied; /* the embedding is the head too */
	struct item *items;
	size_t n;
	FILE *file;
	uint64_t at; /* bytes written */
};

/* ---- types ---- */

/* Of n layers the first and the last eighth, and of those between every third: llama.cpp's choice for the _M mixtures. */
static bool wants_more(unsigned layer, unsigned n)
{
	return layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2;
}

static bool gets_more(const struct maker *m, const char *name)
{
	char part[32];
	unsigned layer;

	if (!strcmp(name, m->tied ? "token_embd.weight" : "output.weight"))
		return true;
	return sscanf(name, "blk.%u.%31s", &layer, part) == 2 && wants_more(layer, m->layers) &&
	       (!strcmp(part, "attn_v.weight") || !strcmp(part, "ffn_down.weight"));
}

static uint32_t type_of(const struct maker *m, const struct item *item)
{
	uint32_t type = m->mix->type;

	if (!item->rows)
		return WEIR_TYPE_F32;
	/* A head that was kept finer than the rest stays so. */
	if (m->in && !strcmp(item->name, "token_embd.weight") && item->in->type == WEIR_TYPE_Q8_0 && type != WEIR_TYPE_F16)
		return item->in->type;
	if (m->mix->more && gets_more(m, item->name))
		type = WEIR_TYPE_Q6_K;
	if (item->k % 256 && type == WEIR_TYPE_Q4_K)
		type = WEIR_TYPE_Q5_0;
	if (item->k % 256 && type == WEIR_TYPE_Q6_K)
		type = WEIR_TYPE_Q8_0;
	return item->k % 32 ? WEIR_TYPE_F16 : type;
}

static int add(struct maker *m, const char *name, uint64_t k, uint64_t rows, const struct weir_checkpoint_tensor *in)
{
	struct item *more = reallocarray(m->items, m->n + 1, sizeof(*more)), *item;

	if (!more)
		return weir_fail(ENOMEM, "no memory for the names of %zu tensors", m->n + 1);
	m->items = more;
	item = &more[m->n++];
	*item = (struct item){.k = k, .rows = rows, .in = in};
	snprintf(item->name, sizeof(item->name), "%s", name);
	item->type = type_of(m, item);
	return 0;
}

/* ---- what is written ---- */

static void put_common(const struct maker *m, struct weir_gguf_out *w)
{
	weir_gguf_put_u32(w, "general.file_type", m->mix->file_type);
	weir_gguf_put_u32(w, "general.quantization_version", 2);
}

/* SplitMix64's last step (Steele, Lea and Flood 2014): seeds that lie side by side give numbers that do not. */
static uint32_t seed_of(uint64_t tensor, uint64_t row)
{
	uint64_t x = (tensor << 32 | row) + 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return (uint32_t)(x ^ x >> 31);
}

/* Even over +-0.035, a deviation of 0.02 as models are initialized with. */
static void random_row(uint32_t x, float *w, size_t k)
{
	for (size_t i = 0; i < k; i++) {
		x = x * 1664525 + 1013904223;
		w[i] = (float)(int32_t)x * (0.035f / 0x1p31f);
	}
}

struct job {
	const struct maker *m;
	const struct item *item;
	size_t index, row_bytes;
	char *out;
};

static int rows_make(void *user, size_t begin, size_t end)
{
	const struct job *j = user;
	const struct item *item = j->item;
	float *w = malloc(item->k * sizeof(*w));
	int err = w ? 0 : weir_fail(ENOMEM, "no memory for a row of %s", item->name);

	for (size_t r = begin; !err && r < end; r++) {
		if (item->in)
			err = weir_checkpoint_floats(j->m->in, item->in, r, 1, w);
		else
			random_row(seed_of(j->index, r), w, item->k);
		if (!err)
			blocks_of(item->type, w, item->k, j->out + r * j->row_bytes);
	}
	free(w);
	return err;
}

/* A vector: the norms' weights, and for random models ones. */
static int vector_make(const struct maker *m, const struct item *item, float *out)
{
	if (item->in)
		return weir_checkpoint_floats(m->in, item->in, 0, 1, out);
	for (size_t i = 0; i < item->k; i++)
		out[i] = 1;
	return 0;
}

static void write_bytes(struct maker *m, const void *data, size_t size)
{
	/* Errors stay with the stream: committing reports them. */
	fwrite(data, 1, size, m->file);
	m->at += size;
}

static int item_write(struct maker *m, size_t index, uint64_t offset)
{
	static const char zeros[ALIGNMENT];
	struct job j = {m, &m->items[index], index, 0, NULL};
	size_t weights, bytes, size;
	int err;

	weir_type_block(j.item->type, &weights, &bytes);
	j.row_bytes = j.item->k / weights * bytes;
	if (!weir_size_mul(j.row_bytes, j.item->rows ? j.item->rows : 1, &size) || !(j.out = malloc(size)))
		return weir_fail(ENOMEM, "no memory for %s", j.item->name);
	write_bytes(m, zeros, offset - m->at);
	if (!j.item->rows)
		err = vector_make(m, j.item, (float *)j.out);
	else if (j.item->in && j.item->in->type == j.item->type)
		err = (memcpy(j.out, j.item->in->data, size), 0);
	else
		err = weir_parallel(0, j.item->rows, CHUNK_ROWS, rows_make, &j);
	if (!err)
		write_bytes(m, j.out, size);
	free(j.out);
	return err;
}

static int data_write(struct maker *m, const struct weir_gguf_header *h, const char *path)
{
	static const char zeros[ALIGNMENT];
	struct weir_atomic_file f;
	int err = weir_atomic_begin(&f, path);

	if (err)
		return err;
	m->file = f.file;
	write_bytes(m, h->data, h->size);
	for (size_t i = 0; !err && i < m->n; i++)
		err = item_write(m, i, h->offset[i]);
	if (!err) {
		write_bytes(m, zeros, h->file_size - m->at);
		return weir_atomic_commit(&f);
	}
	weir_atomic_abort(&f);
	return err;
}

static int file_write(struct maker *m, struct weir_gguf_out *w, const char *path)
{
	struct weir_gguf_header h;
	int err;

	for (size_t i = 0; i < m->n; i++) {
		const struct item *item = &m->items[i];

		weir_gguf_put_tensor(w, item->name, item->type, item->rows ? 2 : 1, (uint64_t[]){item->k, item->rows});
	}
	err = weir_gguf_out_finish(w, &h);
	return err ? err : data_write(m, &h, path);
}

/* ---- a model in another type ---- */

static bool replaced(const struct weir_str *key)
{
	static const char *const keys[] = {"general.file_type", "general.quantization_version", "general.alignment"};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(keys); i++)
		if (key->len == strlen(keys[i]) && !memcmp(key->ptr, keys[i], key->len))
			return true;
	return false;
}

static void copy_keys(const struct maker *m, struct weir_gguf_out *w)
{
	const struct weir_gguf *g = weir_checkpoint_gguf(m->in);
	enum weir_gguf_value type;
	struct weir_str key;

	for (size_t i = 0; i < weir_gguf_meta_count(g); i++)
		if (!weir_gguf_meta(g, i, &key, &type) && !replaced(&key))
			weir_gguf_put_copy(w, g, i);
	put_common(m, w);
}

static int from_items(struct maker *m)
{
	int err = 0;

	for (size_t i = 0; !err && i < weir_checkpoint_tensor_count(m->in); i++) {
		const struct weir_checkpoint_tensor *t = weir_checkpoint_tensor_at(m->in, i);

		if (strlen(t->name) >= sizeof(m->items->name) || t->n_dims > 2 || t->coding.bits)
			return weir_fail(EOPNOTSUPP, "%s: tensor %s is none of a plain model", weir_checkpoint_path(m->in),
				t->name);
		err = add(m, t->name, t->dim[0], t->n_dims == 2 ? t->dim[1] : 0, t);
	}
	return err;
}

static int make_from(struct maker *m, const char *model, struct weir_gguf_out *w)
{
	struct weir_params p;
	int err = weir_checkpoint_open(model, &m->in);

	if (!err && !weir_checkpoint_gguf(m->in))
		err = weir_fail(EINVAL, "%s is not a GGUF file", model);
	if (!err)
		err = weir_params_read(m->in, &p);
	if (err)
		return err;
	m->layers = p.layers;
	m->tied = !weir_checkpoint_tensor(m->in, "output.weight");
	copy_keys(m, w);
	return from_items(m);
}

/* ---- a model of random weights ---- */

#define FIRST_BYTE 3
#define FIRST_WORD (FIRST_BYTE + 256)

/* Token i: SentencePiece's three, the bytes, so that any text has tokens, and words. Returns its type. */
static int32_t word_make(unsigned i, char *text, size_t size)
{
	static const char *const first[FIRST_BYTE] = {"<unk>", "<s>", "</s>"};

	if (i < FIRST_BYTE) {
		snprintf(text, size, "%s", first[i]);
		return i ? 3 : 2; /* control, unknown */
	}
	if (i < FIRST_WORD) {
		snprintf(text, size, "<0x%02X>", i - FIRST_BYTE);
		return 6; /* byte */
	}
	snprintf(text, size, "\xe2\x96\x81w%u", i);
	return 1; /* normal */
}

static int put_words(struct weir_gguf_out *w, unsigned n)
{
	float *score = calloc(n, sizeof(*score));
	int32_t *type = calloc(n, sizeof(*type));
	int err = score && type ? 0 : weir_fail(ENOMEM, "no memory for %u words", n);

	if (!err) {
		weir_gguf_put_string(w, "tokenizer.ggml.model", "llama");
		weir_gguf_put_strings(w, "tokenizer.ggml.tokens", n);
		for (unsigned i = 0; i < n; i++) {
			char text[32];

			type[i] = word_make(i, text, sizeof(text));
			score[i] = -(float)i;
			weir_gguf_put_element(w, text, strlen(text));
		}
		weir_gguf_put_array(w, "tokenizer.ggml.scores", WEIR_GGUF_F32, score, n);
		weir_gguf_put_array(w, "tokenizer.ggml.token_type", WEIR_GGUF_I32, type, n);
		weir_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 1);
		weir_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 2);
		weir_gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", 0);
	}
	free(score);
	free(type);
	return err;
}

static int random_keys(const struct shape *s, struct weir_gguf_out *w)
{
	weir_gguf_put_string(w, "general.architecture", "llama");
	weir_gguf_put_string(w, "general.name", "random weights");
	weir_gguf_put_u32(w, "llama.block_count", s->layers);
	weir_gguf_put_u32(w, "llama.context_length", 16384);
	weir_gguf_put_u32(w, "llama.embedding_length", s->dim);
	weir_gguf_put_u32(w, "llama.feed_forward_length", s->ff);
	weir_gguf_put_u32(w, "llama.attention.head_count", s->heads);
	weir_gguf_put_u32(w, "llama.attention.head_count_kv", s->kv_heads);
	weir_gguf_put_u32(w, "llama.rope.dimension_count", s->dim / s->heads);
	weir_gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
	weir_gguf_put_f32(w, "llama.rope.freq_base", 10000);
	weir_gguf_put_u32(w, "llama.vocab_size", s->vocab);
	return put_words(w, s->vocab);
}

static int random_layer(struct maker *m, const struct shape *s, unsigned layer)
{
	const unsigned kv = s->dim / s->heads * s->kv_heads;
	const struct {
		const char *name;
		unsigned k, rows;
	} parts[] = {
		{"attn_norm", s->dim, 0},
		{"attn_q", s->dim, s->dim},
		{"attn_k", s->dim, kv},
		{"attn_v", s->dim, kv},
		{"attn_output", s->dim, s->dim},
		{"ffn_norm", s->dim, 0},
		{"ffn_gate", s->dim, s->ff},
		{"ffn_up", s->dim, s->ff},
		{"ffn_down", s->ff, s->dim},
	};
	int err = 0;

	for (size_t i = 0; !err && i < WEIR_ARRAY_SIZE(parts); i++) {
		char name[64];

		snprintf(name, sizeof(name), "blk.%u.%s.weight", layer, parts[i].name);
		err = add(m, name, parts[i].k, parts[i].rows, NULL);
	}
	return err;
}

static int shape_read(const char *text, struct shape *s)
{
	int end = 0;

	if (sscanf(text, "%u,%u,%u,%u,%u,%u%n", &s->layers, &s->dim, &s->ff, &s->heads, &s->kv_heads, &s->vocab, &end) != 6 ||
		text[end])
		return weir_fail(EINVAL, "%s is not LAYERS,DIM,FF,HEADS,KV,VOCAB", text);
	if (!s->layers || s->layers > 1000 || s->dim > 65536 || s->ff > 1u << 20 || s->vocab > 1u << 20 || s->vocab < FIRST_WORD)
		return weir_fail(EINVAL, "%s: up to 1000 layers, dim 65536, ff 2^20, and a vocabulary of %d to 2^20", text, FIRST_WORD);
	if (!s->dim || !s->ff || s->dim % 32 || s->ff % 32)
		return weir_fail(EINVAL, "%s: dim and ff are to be multiples of 32", text);
	if (!s->heads || !s->kv_heads || s->dim % s->heads || s->dim / s->heads % 2 || s->heads % s->kv_heads)
		return weir_fail(EINVAL, "%s: dim is to be heads of an even size, and heads a multiple of KV", text);
	return 0;
}

static int make_random(struct maker *m, const char *text, struct weir_gguf_out *w)
{
	struct shape s;
	int err = shape_read(text, &s);

	if (err)
		return err;
	m->layers = s.layers;
	err = random_keys(&s, w);
	put_common(m, w);
	if (!err)
		err = add(m, "token_embd.weight", s.dim, s.vocab, NULL);
	for (unsigned i = 0; !err && i < s.layers; i++)
		err = random_layer(m, &s, i);
	if (!err)
		err = add(m, "output_norm.weight", s.dim, 0, NULL);
	return err ? err : add(m, "output.weight", s.dim, s.vocab, NULL);
}

/* ---- the command line ---- */

/*
 * Two numbers: bytes of the file's embedding, of which a token reads one row alone (0: it is the head too), and of K and V
 * in halves that a token reads for each position.
 */
static int facts(const char *path)
{
	const struct weir_checkpoint_tensor *embedding;
	struct weir_checkpoint *c;
	struct weir_params p;
	int err = weir_checkpoint_open(path, &c);

	if (err)
		return err;
	err = weir_params_read(c, &p);
	embedding = weir_checkpoint_tensor(c, "output.weight") ? weir_checkpoint_tensor(c, "token_embd.weight") : NULL;
	if (!err)
		printf("%zu %llu\n", embedding ? embedding->size : 0, 4ull * p.layers * p.kv_heads * p.head_dim);
	weir_checkpoint_close(c);
	return err;
}

static const struct mix *mix_of(const char *name)
{
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(mixes); i++)
		if (!strcmp(mixes[i].name, name))
			return &mixes[i];
	weir_fail(EINVAL, "no type %s: F16, Q8_0, Q5_0, Q4_1, Q4_0 or Q4_K_M", name);
	return NULL;
}

static int make(char **arg)
{
	struct maker m = {.mix = mix_of(arg[2])};
	struct weir_gguf_out *w = m.mix ? weir_gguf_out_new() : NULL;
	int err = w ? 0 : -EINVAL;

	if (!err)
		err = strcmp(arg[0], "from") ? make_random(&m, arg[1], w) : make_from(&m, arg[1], w);
	if (!err)
		err = file_write(&m, w, arg[3]);
	weir_gguf_out_free(w);
	weir_checkpoint_close(m.in);
	free(m.items);
	return err;
}

int main(int argc, char **argv)
{
	int err;

	if (argc == 3 && !strcmp(argv[1], "facts")) {
		err = facts(argv[2]);
	} else if (argc == 5 && (!strcmp(argv[1], "from") || !strcmp(argv[1], "random"))) {
		err = make(argv + 1);
	} else {
		fprintf(stderr, "Usage: mkmodel from MODEL TYPE OUT\n"
				"       mkmodel random LAYERS,DIM,FF,HEADS,KV,VOCAB TYPE OUT\n"
				"       mkmodel facts MODEL\n");
		return 2;
	}
	if (err)
		fprintf(stderr, "mkmodel: %s\n", weir_error());
	return err != 0;
}
