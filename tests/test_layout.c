/* SPDX-License-Identifier: MIT */
/*
 * The layout of networks: plans of networks as they are and of random ones are played; what whole layers, overlays and
 * streaming need at most.
 */
#include "layout_player.h"

/* ---- networks as they are ---- */

/* Inverted residuals: 1x1 to `expand` channels, depthwise, 1x1 to `out`. */
struct block {
	int expand, kernel, stride, out;
	bool residual;
};

static int net_blocks(struct net *n, int at, const struct block *blocks, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct block *b = &blocks[i];
		int from = at;

		at = net_window(n, at, 1, 1, 0, b->expand, false);
		at = net_window(n, at, b->kernel, b->stride, b->kernel / 2, b->expand, true);
		at = net_window(n, at, 1, 1, 0, b->out, false);
		if (b->residual)
			at = net_binary(n, at, from);
	}
	return at;
}

/* mcunet-320kb-1mb_imagenet.tflite, its PADs folded into the convolutions. */
static void net_mcunet(struct net *n)
{
	static const struct block blocks[] = {
		{24, 7, 2, 16, false}, {80, 3, 1, 16, true}, {80, 7, 1, 16, true}, {64, 5, 1, 16, true},
		{80, 5, 2, 24, false}, {120, 5, 1, 24, true}, {120, 5, 1, 24, true}, {120, 3, 2, 40, false},
		{240, 7, 1, 40, true}, {160, 5, 1, 40, true}, {200, 5, 1, 48, false}, {240, 7, 1, 48, true},
		{240, 3, 1, 48, true}, {288, 3, 2, 96, false}, {480, 7, 1, 96, true}, {384, 3, 1, 96, true},
		{480, 7, 1, 160, false},
	};
	int at;

	memset(n, 0, sizeof(*n));
	at = net_tensor(n, 176, 176, 3);
	n->tensors[at].before = true;
	at = net_window(n, at, 3, 2, 1, 16, false);
	at = net_window(n, at, 3, 1, 1, 16, true);
	at = net_window(n, at, 1, 1, 0, 8, false);
	at = net_blocks(n, at, blocks, WEIR_ARRAY_SIZE(blocks));
	at = net_window(n, at, 6, 6, 0, 160, true);
	at = net_window(n, at, 1, 1, 0, 1000, false);
	n->tensors[n->n_tensors] = (struct weir_layout_tensor){
		.bytes = 1000, .row_bytes = 1000, .rows = 1, .storage = at, .after = true};
	n->n_tensors++;
}

/* tinyengine-vww.tflite: int8 input. */
static void net_vww(struct net *n)
{
	static const struct block blocks[] = {
		{48, 3, 2, 16, false}, {48, 3, 1, 16, true}, {48, 3, 1, 16, true}, {48, 7, 2, 24, false},
		{144, 3, 1, 24, true}, {120, 5, 1, 24, true}, {144, 7, 2, 40, false}, {240, 7, 1, 40, true},
		{240, 3, 1, 48, false}, {192, 3, 1, 48, true}, {240, 5, 2, 96, false}, {480, 3, 1, 96, true},
		{384, 3, 1, 96, true}, {288, 7, 1, 160, false},
	};
	int at, next;

	memset(n, 0, sizeof(*n));
	at = net_tensor(n, 80, 80, 3);
	n->tensors[at].before = true;
	at = net_window(n, at, 3, 2, 1, 16, false);
	at = net_window(n, at, 3, 1, 1, 16, true);
	at = net_window(n, at, 1, 1, 0, 8, false);
	at = net_blocks(n, at, blocks, WEIR_ARRAY_SIZE(blocks));
	/* A transposition, two means, a layer and DEQUANTIZE: all need the whole of their input. */
	for (int i = 0; i < 5; i++) {
		static const int bytes[] = {1440, 480, 160, 2, 8};

		next = net_tensor(n, 1, bytes[i], 1);
		net_node(n, at, -1, next);
		at = next;
	}
	n->tensors[at].after = true;
}

static const struct weir_layout_settings plain = {.align = 16},
	whole = {.align = 16, .in_place = true, .overlay = true},
	streamed = {.align = 16, .in_place = true, .overlay = true, .stream = true};

static struct weir_layout_settings budgeted(struct weir_layout_settings set, size_t budget)
{
	set.budget = budget;
	return set;
}

static void model_check(void (*make)(struct net *), const char *name, size_t most_whole, size_t half)
{
	static struct net n;
	size_t p, w, least, arena;
	double t = weir_now();

	make(&n);
	p = layout_size(&n, plain);
	w = layout_size(&n, whole);
	least = layout_size(&n, budgeted(streamed, WEIR_LAYOUT_LEAST));
	printf("%s: %zu bytes plain, %zu with overlays, %zu at least\n", name, p, w, least);
	ck_assert_uint_le(w, most_whole);
	ck_assert_uint_le(w, p);
	ck_assert_uint_gt(layout_size(&n, budgeted(streamed, half)), 0);
	/* Every budget from the least on can be kept to. */
	for (size_t budget = least; budget < p; budget += (p - least) / 7 + 1) {
		arena = layout_size(&n, budgeted(streamed, budget));
		ck_assert_msg(arena, "%s", weir_error());
	}
	ck_assert_uint_eq(layout_size(&n, budgeted(streamed, least / 2)), 0);
	printf("%s: %.2f s\n", name, weir_now() - t);
}

START_TEST(layout_mcunet)
{
	model_check(net_mcunet, "MCUNet-320kB", 247808, 123904);
}
END_TEST

START_TEST(layout_vww)
{
	model_check(net_vww, "tinyengine-vww", 89600, 44800);
}
END_TEST

/* ---- random networks ---- */

static uint32_t random_state;

static int random_below(int n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return (int)(random_state % (uint32_t)n);
}

/* Some tensor with the picture's size, so that both can be added; at itself if there is none. */
static int random_like(const struct net *n, int at)
{
	for (int tries = 0; tries < 8; tries++) {
		int other = random_below((int)n->n_tensors);
		const struct weir_layout_tensor *t = &n->tensors[other];

		if (t->rows == n->tensors[at].rows && t->row_bytes == n->tensors[at].row_bytes && !t->after &&
			t->storage == other)
			return other;
	}
	return at;
}

static int random_window(struct net *n, int at)
{
	int rows = n->tensors[at].rows, stride = 1 + random_below(3), kernel, pad;
	bool depthwise = random_below(2);

	do {
		kernel = 1 + random_below(7);
		pad = random_below(2) ? kernel / 2 : random_below(kernel);
	} while (rows + 2 * pad < kernel);
	return net_window(n, at, kernel, random_below(3) ? 1 : stride, pad,
		depthwise ? n->channels[at] : 1 + random_below(24), depthwise);
}

/* Two branches of `at`, copied into one tensor: it has two writers, and neither can stream. */
static int random_concat(struct net *n, int at)
{
	int a = net_binary(n, at, -1), b = random_below(2) ? at : net_binary(n, a, at);
	int out = net_tensor(n, n->tensors[at].rows, n->width[at], 2 * n->channels[at]);

	net_node(n, a, -1, out);
	net_node(n, b, -1, out);
	return out;
}

static int random_reshape(struct net *n, int at)
{
	int id = net_tensor(n, n->tensors[at].rows, n->width[at], n->channels[at]);

	n->tensors[id].storage = n->tensors[at].storage;
	if (random_below(2)) {
		n->tensors[id].rows = 1;
		n->tensors[id].row_bytes = n->tensors[id].bytes;
		n->width[id] = 1;
		n->channels[id] = (int)n->tensors[id].bytes;
	}
	return id;
}

static int random_layer(struct net *n, int at)
{
	int kind = random_below(20), out;

	if (kind < 11)
		return random_window(n, at);
	if (kind < 13)
		return net_binary(n, at, -1);
	if (kind < 16)
		return net_binary(n, at, random_like(n, at));
	if (kind == 16)
		return random_concat(n, at);
	if (kind == 17)
		return random_reshape(n, at);
	/* One that needs all of its input. */
	out = net_tensor(n, 1 + random_below(20), 1 + random_below(10), 1 + random_below(10));
	net_node(n, at, -1, out);
	return out;
}

static void net_random(struct net *n)
{
	int layers = 1 + random_below(random_below(4) ? 14 : 40), at;

	memset(n, 0, sizeof(*n));
	at = net_tensor(n, 1 + random_below(40), 1 + random_below(30), 1 + random_below(8));
	n->tensors[at].before = true;
	n->tensors[at].fixed = !random_below(6);
	for (int i = 0; i < layers; i++) {
		at = random_layer(n, at);
		n->tensors[at].after = !random_below(15);
	}
	if (n->tensors[at].storage == at)
		n->tensors[at].fixed = !random_below(6);
	/* Some say nothing of rows. */
	for (size_t i = 0; i < n->n_tensors; i++) {
		if (random_below(25) == 0)
			n->tensors[i].row_bytes = 0;
	}
	n->tensors[at].after = true;
}

/* A tensor without rows must not be said to be read by rows. */
static void net_mend(struct net *n)
{
	for (size_t i = 0; i < n->n_nodes; i++) {
		struct weir_layout_node *node = &n->nodes[i];

		if (!rows_apart(&n->tensors[node->in]) || !rows_apart(&n->tensors[node->out]) ||
			(node->in2 >= 0 && !rows_apart(&n->tensors[node->in2])))
			node->span = node->stride = node->pad = 0;
		if (!node->span)
			node->overlay = 0;
	}
}

START_TEST(layout_random)
{
	static struct net n;
	size_t streams = 0, refused = 0;

	random_state = 2463534242u + (uint32_t)_i;
	for (int round = 0; round < 300; round++) {
		struct weir_layout_settings set = {.align = (size_t)1 << random_below(8), .in_place = random_below(4),
			.overlay = random_below(4)};
		size_t size, least, budget;

		net_random(&n);
		net_mend(&n);
		size = layout_size(&n, set);
		set.stream = random_below(4);
		set.budget = WEIR_LAYOUT_LEAST;
		least = layout_size(&n, set);
		streams += least < size;
		ck_assert_uint_le(least, size);
		budget = least + (size_t)random_below((int)(size - least) + 2);
		set.budget = budget ? budget : 1;
		ck_assert(!size || layout_size(&n, set));
		set.budget = 1 + (size_t)random_below((int)size + 1);
		refused += !layout_size(&n, set);
	}
	printf("random networks: %zu of 300 take less when streamed, %zu budgets refused\n", streams, refused);
	ck_assert_uint_gt(streams, 50);
	ck_assert_uint_gt(refused, 20);
}
END_TEST

/* The search ends in time, for networks far larger than those there are. */
START_TEST(layout_large)
{
	static struct net n;
	double t = weir_now();
	size_t size, least;
	int at;

	memset(&n, 0, sizeof(n));
	at = net_tensor(&n, 500, 2, 3);
	n.tensors[at].before = true;
	for (int i = 0; i < 1000; i++)
		at = i % 10 == 9 ? net_binary(&n, at, at - 2)
				 : net_window(&n, at, i % 2 ? 3 : 1, 1, i % 2, 4 + i % 4 / 2 * 8, i % 4 == 1);
	n.tensors[at].after = true;
	size = layout_size(&n, whole);
	t = weir_now();
	least = layout_size(&n, budgeted(streamed, WEIR_LAYOUT_LEAST));
	printf("1000 layers of 500 rows: %zu bytes, %zu at least, %.2f s\n", size, least, weir_now() - t);
	ck_assert_uint_lt(least, size);
}
END_TEST

static int limits_make(struct net *n, struct weir_layout_settings set)
{
	struct weir_layout layout;
	int err = weir_layout_make(n->tensors, n->n_tensors, n->nodes, n->n_nodes, &set, &layout);

	if (!err)
		ck_assert_uint_le(layout.arena, set.budget ? set.budget : SIZE_MAX);
	weir_layout_free(&layout);
	weir_layout_free(&layout);
	return err;
}

static void net_pair(struct net *n, int rows, int width)
{
	int at;

	memset(n, 0, sizeof(*n));
	at = net_tensor(n, rows, width, 1);
	n->tensors[at].before = true;
	at = net_window(n, at, 3, 1, 1, 1, true);
	at = net_window(n, at, 2, 2, 0, 1, true);
	n->tensors[at].after = true;
}

/* Sizes at the end of what there can be, and networks that make no sense: an answer or a sentence, and soon. */
START_TEST(layout_limits)
{
	static struct net n;
	double t = weir_now();

	memset(&n, 0, sizeof(n));
	ck_assert_int_eq(limits_make(&n, streamed), 0);
	ck_assert_int_eq(limits_make(&n, budgeted(streamed, WEIR_LAYOUT_LEAST)), 0);
	net_pair(&n, 1 << 30, 1);
	ck_assert_int_eq(limits_make(&n, whole), 0);
	ck_assert_int_eq(limits_make(&n, budgeted(streamed, WEIR_LAYOUT_LEAST)), 0);
	ck_assert_int_eq(limits_make(&n, budgeted(streamed, 1)), -ENOSPC);
	ck_assert_int_eq(limits_make(&n, budgeted(whole, 1)), -ENOSPC);
	net_pair(&n, 2000, 1 << 19);
	ck_assert_int_eq(limits_make(&n, budgeted(streamed, WEIR_LAYOUT_LEAST)), 0);
	n.tensors[0].bytes = SIZE_MAX;
	ck_assert_int_eq(limits_make(&n, streamed), -EOVERFLOW);
	net_pair(&n, 10, 10);
	n.nodes[1].stride = INT32_MAX;
	n.nodes[1].pad = INT32_MIN;
	n.nodes[1].span = INT32_MAX;
	ck_assert_int_eq(limits_make(&n, budgeted(streamed, WEIR_LAYOUT_LEAST)), 0);
	n.nodes[1].pad = INT32_MAX;
	ck_assert_int_eq(limits_make(&n, budgeted(streamed, WEIR_LAYOUT_LEAST)), 0);
	n.nodes[1].overlay = SIZE_MAX;
	ck_assert_int_eq(limits_make(&n, whole), 0);
	n.nodes[1].stride = 0;
	ck_assert_int_eq(limits_make(&n, whole), -EINVAL);
	net_pair(&n, 10, 10);
	n.nodes[0].in = 17;
	ck_assert_int_eq(limits_make(&n, whole), -EINVAL);
	n.nodes[0].in = 0;
	n.tensors[1].storage = 2;
	n.tensors[2].storage = 1;
	ck_assert_int_eq(limits_make(&n, whole), -EINVAL);
	net_pair(&n, 10, 10);
	ck_assert_int_eq(limits_make(&n, (struct weir_layout_settings){.align = 24}), -EINVAL);
	/* Reads what nobody writes, and writes what nobody reads. */
	n.tensors[0].before = n.tensors[2].after = false;
	ck_assert_int_eq(limits_make(&n, budgeted(streamed, WEIR_LAYOUT_LEAST)), 0);
	ck_assert_double_lt(weir_now() - t, 10);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("layout");
	TCase *t = tcase_create("layout");
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_test(t, layout_mcunet);
	tcase_add_test(t, layout_vww);
	tcase_add_loop_test(t, layout_random, 0, 4);
	tcase_add_test(t, layout_large);
	tcase_add_test(t, layout_limits);
	suite_add_tcase(s, t);
	failed = suite_run(s);
	free(owner);
	return failed;
}
