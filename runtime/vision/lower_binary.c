/* SPDX-License-Identifier: MIT */
/* ADD, SUB and MUL of int8, with operands broadcast as TFLite does: dims from the last on are equal or 1. */
#include "kernels/cnn_binary.clh"
#include "vision/lower_each.h"

/* Dims of both inputs and the output with ones before them, and what the operator is made of. */
struct binary {
	int in[2], out;
	int dim[2][WEIR_TFLITE_DIMS], size[WEIR_TFLITE_DIMS];
	bool full[2]; /* as large as the output */
	int row;      /* the input whose values are a row in the node's constants, for all rows; -1: none */
	float scale[2], out_scale;
	int zero[2];
	const char *label;
};

/* Rows count the first dims, up to Y. */
enum { Y = WEIR_TFLITE_DIMS - 3, X, C };

static void extend(const struct weir_tflite_tensor *t, int dim[WEIR_TFLITE_DIMS])
{
	for (int d = 0; d < WEIR_TFLITE_DIMS; d++) {
		int at = d - WEIR_TFLITE_DIMS + (int)t->n_dims;

		dim[d] = at < 0 ? 1 : t->dim[at];
	}
}

static bool same_dims(const int a[WEIR_TFLITE_DIMS], const int b[WEIR_TFLITE_DIMS])
{
	return !memcmp(a, b, WEIR_TFLITE_DIMS * sizeof(*a));
}

static int check_shapes(struct weir_lower *l, unsigned op, struct binary *b)
{
	unsigned n_dims = 0;
	int err;

	for (int i = 0; i < 2; i++) {
		extend(weir_lower_tensor(l, b->in[i]), b->dim[i]);
		n_dims = WEIR_MAX(n_dims, weir_lower_tensor(l, b->in[i])->n_dims);
	}
	for (int d = 0; d < WEIR_TFLITE_DIMS; d++) {
		if (b->dim[0][d] != b->dim[1][d] && b->dim[0][d] != 1 && b->dim[1][d] != 1)
			return weir_lower_fail_tensor(l, op, EINVAL, b->in[1],
				"it cannot be broadcast: a dimension is %d where the other input's is %d", b->dim[1][d],
				b->dim[0][d]);
		b->size[d] = WEIR_MAX(b->dim[0][d], b->dim[1][d]);
	}
	err = weir_lower_shape(l, op, b->out, n_dims, b->size + WEIR_TFLITE_DIMS - n_dims);
	for (int i = 0; i < 2; i++)
		b->full[i] = same_dims(b->dim[i], b->size);
	return err;
}

/*
 * Of a constant that is the same for all rows a row is made here: then a strip of rows needs but these of
 * the other input.
 */
static int row_input(struct weir_lower *l, const struct binary *b)
{
	for (int i = 1; i >= 0; i--) {
		bool fits = weir_lower_tensor(l, b->in[i])->data && b->full[!i];

		for (int d = 0; d <= Y; d++)
			fits = fits && b->dim[i][d] == 1;
		if (fits)
			return i;
	}
	return -1;
}

static int check_binary(struct weir_lower *l, unsigned op, const char *label, struct binary *b)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	bool f32;
	int err = weir_lower_arity(l, op, 2, 2, 1);

	if (err)
		return err;
	*b = (struct binary){.in = {o->inputs[0], o->inputs[1]}, .out = o->outputs[0], .label = label};
	err = weir_lower_same_type(l, op, (const int[]){b->in[0], b->in[1], b->out}, 3, &f32);
	if (err)
		return err;
	err = check_shapes(l, op, b);
	if (err)
		return err;
	for (int i = 0; i < 2; i++) {
		b->scale[i] = weir_tflite_scale(weir_lower_tensor(l, b->in[i]), 0);
		b->zero[i] = weir_tflite_zero(weir_lower_tensor(l, b->in[i]), 0);
	}
	b->out_scale = weir_tflite_scale(weir_lower_tensor(l, b->out), 0);
	b->row = row_input(l, b);
	return 0;
}

/* ---- how operands are gone through ------------------------------------------------------------ */

/* Whether all of a row is one run: no operand repeats along x, or a row has one x, or repeats all of it. */
static bool one_run(const struct binary *b)
{
	for (int i = 0; i < 2; i++) {
		bool whole = b->dim[i][X] == b->size[X] && b->dim[i][C] == b->size[C];
		bool single = b->dim[i][X] == 1 && b->dim[i][C] == 1;

		if (i != b->row && !whole && !single)
			return false;
	}
	return true;
}

static void set_operand(const struct binary *b, int i, bool run, int *p)
{
	const int *dim = b->dim[i];
	int stride = 1;

	p[CNN_OPERAND_ZERO] = b->zero[i];
	p[CNN_OPERAND_X] = dim[X] == 1 ? 0 : dim[C];
	p[CNN_OPERAND_STEP] = dim[C] == b->size[C];
	if (run) /* of values next to one another, or of one */
		p[CNN_OPERAND_STEP] = dim[X] == b->size[X] && dim[C] == b->size[C];
	for (int d = Y; d >= 0; d--) {
		p[CNN_OPERAND_ROW + d] = dim[d] == 1 ? 0 : stride;
		stride *= dim[d];
	}
	if (i != b->row)
		return;
	p[CNN_OPERAND_X] = b->size[C];
	p[CNN_OPERAND_STEP] = 1;
	p[CNN_OPERAND_ROW] = -1;
}

/* The values of the constant operand for a row, repeated. */
static int make_row(struct weir_lower *l, const struct binary *b, struct weir_cnn_node *node)
{
	const struct weir_tflite_tensor *t = weir_lower_tensor(l, b->in[b->row]);
	const int *dim = b->dim[b->row];
	size_t width = (size_t)b->size[X], channels = (size_t)b->size[C];
	int8_t *row = weir_lower_consts(l, node, width * channels);

	if (!row)
		return -ENOMEM;
	for (size_t x = 0; x < width; x++) {
		for (size_t c = 0; c < channels; c++) {
			size_t at = (dim[X] == 1 ? 0 : x * (size_t)dim[C]) + (dim[C] == 1 ? 0 : c);

			row[x * channels + c] = (int8_t)t->data[at];
		}
	}
	return 0;
}

/* The node, all but what its kind's arithmetic needs. */
static int add_node(struct weir_lower *l, unsigned op, const struct binary *b, enum cnn_kind kind,
	struct weir_cnn_node **out)
{
	int activation = weir_lower_file(l)->ops[op].activation;
	bool streams = b->row >= 0 || (b->full[0] && b->full[1]), run = one_run(b);
	int first = b->row == 0 ? 1 : 0, second = !first, lo, hi, err;
	struct weir_cnn_node *node;
	int *p;

	err = weir_lower_clamp_i8(l, op, b->out, activation, &lo, &hi);
	if (err)
		return err;
	node = weir_lower_node(l, op, b->label, kind, b->in[first], b->row >= 0 ? -1 : b->in[second], b->out);
	if (!node)
		return -ENOMEM;
	p = node->op.p;
	p[CNN_BINARY_LO] = lo;
	p[CNN_BINARY_HI] = hi;
	p[CNN_BINARY_ZERO] = weir_tflite_zero(weir_lower_tensor(l, b->out), 0);
	p[CNN_BINARY_RUN] = run ? b->size[X] * b->size[C] : b->size[C];
	p[CNN_BINARY_RUNS] = run ? 1 : b->size[X];
	for (int k = 0; k < 3; k++)
		p[CNN_BINARY_SIZE + k] = b->size[Y - 2 + k];
	set_operand(b, first, run, p + CNN_BINARY_FIRST);
	set_operand(b, second, run, p + CNN_BINARY_SECOND);
	weir_lower_each(node);
	if (!streams)
		node->span = node->stride = 0;
	node->same = b->full[first];
	node->same2 = b->row < 0 && b->full[second];
	*out = node;
	return b->row >= 0 ? make_row(l, b, node) : 0;
}

/* ---- arithmetic ------------------------------------------------------------------------------- */

/* A factor below 1, or a sentence: TFLite's reference ends the program for others. */
static int small_factor(struct weir_lower *l, unsigned op, int tensor, double factor, int *multiplier, int *shift)
{
	int32_t exponent;

	if (!(factor < 1) || !weir_fixed_factor(factor, multiplier, &exponent))
		return weir_lower_fail_tensor(l, op, EOPNOTSUPP, tensor,
			"its scale is too small for those of the inputs");
	*shift = -exponent;
	return 0;
}

/*
 * Both inputs are taken to steps of twice the larger scale, with 20 more bits, and their sum to the
 * output's.
 */
static int add(struct weir_lower *l, unsigned op, const char *label, int minus)
{
	int multiplier[2], shift[2], out_multiplier = 0, out_shift = 0, err;
	struct weir_cnn_node *node;
	struct binary b;
	double twice;

	err = check_binary(l, op, label, &b);
	if (err)
		return err;
	twice = 2 * (double)WEIR_MAX(b.scale[0], b.scale[1]);
	for (int i = 0; i < 2 && !err; i++)
		err = small_factor(l, op, b.in[i], (double)b.scale[i] / twice, &multiplier[i], &shift[i]);
	if (!err)
		err = small_factor(l, op, b.out, twice / ((double)(1 << 20) * (double)b.out_scale), &out_multiplier,
			&out_shift);
	if (!err)
		err = add_node(l, op, &b, CNN_ADD_I8, &node);
	if (err)
		return err;
	node->op.p[CNN_BINARY_MULTIPLIER] = out_multiplier;
	node->op.p[CNN_BINARY_EXPONENT] = -out_shift;
	for (int i = 0; i < 2; i++) {
		bool is_first = i == (b.row == 0 ? 1 : 0);
		int *p = node->op.p + (is_first ? CNN_BINARY_FIRST : CNN_BINARY_SECOND);

		p[CNN_OPERAND_MULTIPLIER] = multiplier[i];
		p[CNN_OPERAND_SHIFT] = shift[i];
		p[CNN_OPERAND_MINUS] = i ? minus : 0;
	}
	return 0;
}

int weir_lower_add(struct weir_lower *l, unsigned op)
{
	return add(l, op, "add", 0);
}

int weir_lower_sub(struct weir_lower *l, unsigned op)
{
	return add(l, op, "sub", -1);
}

int weir_lower_mul(struct weir_lower *l, unsigned op)
{
	struct weir_cnn_node *node;
	int32_t multiplier, exponent;
	struct binary b;
	float factor; /* as TFLite has it */
	int err = check_binary(l, op, "mul", &b);

	if (err)
		return err;
	factor = b.scale[0] * b.scale[1] / b.out_scale;
	if (!weir_fixed_factor((double)factor, &multiplier, &exponent))
		return weir_lower_fail_tensor(l, op, EOPNOTSUPP, b.out,
			"the inputs' scales multiplied are %g times its scale, more than fixed-point arithmetic takes",
			(double)factor);
	err = add_node(l, op, &b, CNN_MUL_I8, &node);
	if (err)
		return err;
	node->op.p[CNN_BINARY_MULTIPLIER] = multiplier;
	node->op.p[CNN_BINARY_EXPONENT] = exponent;
	return 0;
}
