/* SPDX-License-Identifier: MIT */
/* IEEE binary16 to and from float, in integer arithmetic, so that every machine gives the same bits. */
#include "base/base.h"

float weir_half_to_float(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16;
	uint32_t exp = h >> 10 & 0x1f;
	uint32_t frac = h & 0x3ff;
	uint32_t bits;
	float f;

	if (exp == 31) {
		bits = sign | 0x7f800000 | frac << 13;
	} else if (exp) {
		bits = sign | (exp + 112) << 23 | frac << 13;
	} else {
		/* Subnormal: frac * 2^-24, exact in float. */
		f = (float)frac * 0x1p-24f;
		memcpy(&bits, &f, sizeof(bits));
		bits |= sign;
	}
	memcpy(&f, &bits, sizeof(f));
	return f;
}

uint16_t weir_float_to_half(float f)
{
	uint32_t bits, mag;
	uint16_t sign;

	memcpy(&bits, &f, sizeof(bits));
	sign = bits >> 16 & 0x8000;
	mag = bits & 0x7fffffff;
	if (mag > 0x7f800000)
		return sign | 0x7e00;
	if (mag >= 0x47800000) /* 65536 and more; what rounds up to it carries over below */
		return sign | 0x7c00;
	if (mag < 0x38800000) {
		/* Below 2^-14: adding 0.5 puts the last kept bit at 2^-24, and the addition rounds to even. */
		float a;

		memcpy(&a, &mag, sizeof(a));
		a += 0.5f;
		memcpy(&mag, &a, sizeof(mag));
		return sign | (uint16_t)(mag - 0x3f000000);
	}
	mag += 0xfff + (mag >> 13 & 1); /* to nearest even at bit 13 */
	return sign | (uint16_t)((mag - 0x38000000) >> 13);
}
