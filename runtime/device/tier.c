/* SPDX-License-Identifier: MIT */
/* Which int8 dot product kernels can use that clang compiles for this very CPU. */
#include "device/backend.h"

#if defined(__x86_64__)

/*
 * LLVM's names of x86 CPUs with AVX512BW and AVX512VL. A driver may compile for less than the CPU
 * has (PoCL's distribution builds choose among a few variants), and 64-byte registers are refused
 * then.
 */
static const char *const avx512_targets[] = {
	"skylake-avx512",
	"cascadelake",
	"cooperlake",
	"cannonlake",
	"icelake-client",
	"icelake-server",
	"tigerlake",
	"rocketlake",
	"sapphirerapids",
	"emeraldrapids",
	"graniterapids",
	"graniterapids-d",
	"diamondrapids",
	"znver4",
	"znver5",
	"x86-64-v4",
};

static bool has_avx512(const char *target)
{
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(avx512_targets); i++) {
		if (strcmp(target, avx512_targets[i]) == 0)
			return true;
	}
	return false;
}

enum weir_tier weir_tier_host(const char *target)
{
	__builtin_cpu_init();
	if (!has_avx512(target) || !__builtin_cpu_supports("avx512bw") ||
		!__builtin_cpu_supports("avx512vl"))
		return WEIR_TIER_PORTABLE;
	return __builtin_cpu_supports("avx512vnni") ? WEIR_TIER_VNNI : WEIR_TIER_PMADDUBSW;
}

#else

enum weir_tier weir_tier_host(const char *target)
{
	(void)target;
	return WEIR_TIER_PORTABLE;
}

#endif
