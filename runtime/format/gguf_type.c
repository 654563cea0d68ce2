/* SPDX-License-Identifier: MIT */
/* Tensor types of ggml and value types of GGUF metadata: names and sizes. */
#include "format/gguf_parse.h"

/*
 * Numbers and block sizes as ggml.h and ggml-common.h of the ggml project define them, also of
 * types that were removed and whose numbers stay taken. Types with bytes 0 were gone before GGUF
 * was there.
 */
static const struct type {
	const char *name;
	uint16_t weights, bytes; /* of a block */
	bool runs;
} types[] = {
	[0] = {"F32", 1, 4, true},
	[1] = {"F16", 1, 2, true},
	[2] = {"Q4_0", 32, 18, true},
	[3] = {"Q4_1", 32, 20, true},
	[4] = {"Q4_2", 16, 0, false},
	[5] = {"Q4_3", 16, 0, false},
	[6] = {"Q5_0", 32, 22, true},
	[7] = {"Q5_1", 32, 24, true},
	[8] = {"Q8_0", 32, 34, true},
	[9] = {"Q8_1", 32, 36, false},
	[10] = {"Q2_K", 256, 84, true},
	[11] = {"Q3_K", 256, 110, true},
	[12] = {"Q4_K", 256, 144, true},
	[13] = {"Q5_K", 256, 176, true},
	[14] = {"Q6_K", 256, 210, true},
	[15] = {"Q8_K", 256, 292, false},
	[16] = {"IQ2_XXS", 256, 66, false},
	[17] = {"IQ2_XS", 256, 74, false},
	[18] = {"IQ3_XXS", 256, 98, false},
	[19] = {"IQ1_S", 256, 50, false},
	[20] = {"IQ4_NL", 32, 18, false},
	[21] = {"IQ3_S", 256, 110, false},
	[22] = {"IQ2_S", 256, 82, false},
	[23] = {"IQ4_XS", 256, 136, false},
	[24] = {"I8", 1, 1, false},
	[25] = {"I16", 1, 2, false},
	[26] = {"I32", 1, 4, false},
	[27] = {"I64", 1, 8, false},
	[28] = {"F64", 1, 8, false},
	[29] = {"IQ1_M", 256, 56, false},
	[30] = {"BF16", 1, 2, true},
	[31] = {"Q4_0_4_4", 32, 18, false},
	[32] = {"Q4_0_4_8", 32, 18, false},
	[33] = {"Q4_0_8_8", 32, 18, false},
	[34] = {"TQ1_0", 256, 54, false},
	[35] = {"TQ2_0", 256, 66, false},
	[36] = {"IQ4_NL_4_4", 32, 18, false},
	[37] = {"IQ4_NL_4_8", 32, 18, false},
	[38] = {"IQ4_NL_8_8", 32, 18, false},
	[39] = {"MXFP4", 32, 17, false},
	[40] = {"NVFP4", 64, 36, false},
	[41] = {"Q1_0", 128, 18, false},
};

const char *weir_type_name(uint32_t type)
{
	return type < WEIR_ARRAY_SIZE(types) ? types[type].name : NULL;
}

bool weir_type_shape(uint32_t type, size_t *weights, size_t *bytes)
{
	if (type >= WEIR_ARRAY_SIZE(types))
		return false;
	*weights = types[type].weights;
	*bytes = types[type].bytes;
	return true;
}

bool weir_type_block(uint32_t type, size_t *weights, size_t *bytes)
{
	if (type >= WEIR_ARRAY_SIZE(types) || !types[type].runs)
		return false;
	return weir_type_shape(type, weights, bytes);
}

static const struct {
	const char *name;
	size_t size;
} values[] = {
	[WEIR_GGUF_U8] = {"u8", 1},
	[WEIR_GGUF_I8] = {"i8", 1},
	[WEIR_GGUF_U16] = {"u16", 2},
	[WEIR_GGUF_I16] = {"i16", 2},
	[WEIR_GGUF_U32] = {"u32", 4},
	[WEIR_GGUF_I32] = {"i32", 4},
	[WEIR_GGUF_F32] = {"f32", 4},
	[WEIR_GGUF_BOOL] = {"bool", 1},
	[WEIR_GGUF_STRING] = {"string", 0},
	[WEIR_GGUF_ARRAY] = {"array", 0},
	[WEIR_GGUF_U64] = {"u64", 8},
	[WEIR_GGUF_I64] = {"i64", 8},
	[WEIR_GGUF_F64] = {"f64", 8},
};

size_t weir_gguf_value_size(uint32_t type)
{
	return type < WEIR_ARRAY_SIZE(values) ? values[type].size : 0;
}

const char *weir_gguf_value_name(uint32_t type)
{
	return type < WEIR_ARRAY_SIZE(values) ? values[type].name : NULL;
}
