/* SPDX-License-Identifier: MIT */
/* Loops at the limits of memory and of arithmetic. Each thread takes pieces until none is left or the time is up. */
#include "limits.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

/* Bytes that a thread reads at a stretch: measured best on a 2-core Sapphire Rapids, and even at the end. */
#define PIECE ((size_t)288 << 10)
#define AHEAD 4096

struct limits {
	unsigned threads;
	pthread_t *thread;
	pthread_barrier_t begin, end;
	/* The work. Each call of it does a part and gives what it did, 0 when there is no more. */
	size_t (*part)(struct limits *l, size_t ticket);
	const char *data;
	size_t size, passes; /* bytes, and how often they are read */
	size_t ticket, done;
	bool stop;
	double until; /* when arithmetic ends */
};

#if defined(__x86_64__)
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define HAS_AVX512                                                                                 \
	(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&                \
		__builtin_cpu_supports("avx512vl"))
#else
#define AVX512
#define HAS_AVX512 0
#endif

typedef long long vector __attribute__((vector_size(64)));

/* What was read goes here, or the compiler would not read it. */
static volatile long long sink;

#define READ_BODY(p, n)                                                                            \
	vector a = {0}, b = {0}, c = {0}, d = {0};                                                 \
	for (size_t i = 0; i < (n) / 64; i += 4) {                                                 \
		const vector *v = (const vector *)(p) + i;                                         \
		for (int j = 0; j < 4; j++)                                                        \
			__builtin_prefetch((const char *)(v + j) + AHEAD, 0, 2);                   \
		a ^= v[0];                                                                         \
		b ^= v[1];                                                                         \
		c ^= v[2];                                                                         \
		d ^= v[3];                                                                         \
	}                                                                                          \
	a ^= b ^ c ^ d;                                                                            \
	sink = a[0] ^ a[1] ^ a[2] ^ a[3] ^ a[4] ^ a[5] ^ a[6] ^ a[7]

static void read_plain(const char *p, size_t n)
{
	READ_BODY(p, n);
}

AVX512 static void read_wide(const char *p, size_t n)
{
	READ_BODY(p, n);
}

static size_t part_read(struct limits *l, size_t ticket)
{
	size_t pieces = (l->size + PIECE - 1) / PIECE, at = ticket % pieces * PIECE;
	size_t n = WEIR_MIN(PIECE, l->size - at) / 256 * 256;

	if (ticket >= pieces * l->passes)
		return 0;
	(HAS_AVX512 ? read_wide : read_plain)(l->data + at, n);
	return n;
}

#if defined(__x86_64__)

#define STEPS 20000

/* Twelve sums, as many as hide any latency, that no instruction waits for. */
#define TWELVE(I) I(0) I(1) I(2) I(3) I(4) I(5) I(6) I(7) I(8) I(9) I(10) I(11)
#define CLOBBERS                                                                                   \
	"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",   \
		"xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

#define ZERO(n) "vpxord %%zmm" #n ", %%zmm" #n ", %%zmm" #n "\n\t"
#define VNNI(n) "vpdpbusd %%zmm15, %%zmm14, %%zmm" #n "\n\t"
#define FMA(n) "vfmadd231ps %%zmm15, %%zmm14, %%zmm" #n "\n\t"
/* Products go through registers of their own, three in turn. */
#define MADD(n) "vpmaddubsw %%zmm15, %%zmm14, %%zmm13\n\tvpaddw %%zmm13, %%zmm" #n ", %%zmm" #n "\n\t"

#define ARITHMETIC(name, I, ops)                                                                   \
	AVX512 static size_t name(struct limits *l, size_t ticket)                                 \
	{                                                                                          \
		(void)ticket;                                                                      \
		if (weir_now() > l->until)                                                         \
			return 0;                                                                  \
		__asm__ volatile(TWELVE(ZERO) ZERO(14) ZERO(15)::: CLOBBERS);                      \
		for (int i = 0; i < STEPS; i++)                                                    \
			__asm__ volatile(TWELVE(I)::: CLOBBERS);                                   \
		return (size_t)STEPS * 12 * (ops);                                                 \
	}

ARITHMETIC(part_vnni, VNNI, 128)
ARITHMETIC(part_pmaddubsw, MADD, 128)
ARITHMETIC(part_fma, FMA, 32)

#endif

/* ---- threads ---------------------------------------------------------------------------------- */

static void work(struct limits *l)
{
	size_t did;

	do {
		did = l->part(l, __atomic_fetch_add(&l->ticket, 1, __ATOMIC_RELAXED));
		__atomic_fetch_add(&l->done, did, __ATOMIC_RELAXED);
	} while (did);
}

static void *run_thread(void *data)
{
	struct limits *l = data;

	for (;;) {
		pthread_barrier_wait(&l->begin);
		if (l->stop)
			return NULL;
		work(l);
		pthread_barrier_wait(&l->end);
	}
}

/* What all threads did, a second. */
static double rate(struct limits *l)
{
	double start;

	l->ticket = l->done = 0;
	pthread_barrier_wait(&l->begin);
	start = weir_now();
	work(l);
	pthread_barrier_wait(&l->end);
	return (double)l->done / (weir_now() - start);
}

double limits_read(struct limits *l, const void *p, size_t size, double seconds)
{
	double once;

	l->part = part_read;
	l->data = p;
	l->size = size / 256 * 256;
	l->passes = 1;
	if (!l->size)
		return 0;
	once = rate(l);
	l->passes = (size_t)(seconds * once / (double)l->size);
	return l->passes > 1 ? rate(l) : once;
}

static double arithmetic(struct limits *l, size_t (*part)(struct limits *l, size_t ticket), double seconds)
{
	l->part = part;
	l->until = weir_now() + seconds;
	return rate(l);
}

double limits_int8(struct limits *l, enum weir_tier tier, double seconds)
{
#if defined(__x86_64__)
	if (tier == WEIR_TIER_VNNI)
		return arithmetic(l, part_vnni, seconds);
	if (tier == WEIR_TIER_PMADDUBSW)
		return arithmetic(l, part_pmaddubsw, seconds);
#endif
	return 0;
}

double limits_fma(struct limits *l, double seconds)
{
#if defined(__x86_64__)
	if (HAS_AVX512)
		return arithmetic(l, part_fma, seconds);
#endif
	return 0;
}

static void die(const char *what)
{
	fprintf(stderr, "kernels: no %s for the limits\n", what);
	exit(1);
}

struct limits *limits_create(unsigned threads)
{
	struct limits *l = calloc(1, sizeof(*l));

	if (!l || !(l->thread = calloc(threads, sizeof(*l->thread))))
		die("memory");
	pthread_barrier_init(&l->begin, NULL, threads);
	pthread_barrier_init(&l->end, NULL, threads);
	/* The caller is the first of them. */
	for (l->threads = 1; l->threads < threads; l->threads++) {
		if (pthread_create(&l->thread[l->threads], NULL, run_thread, l))
			die("threads");
	}
	return l;
}

void limits_destroy(struct limits *l)
{
	l->stop = true;
	pthread_barrier_wait(&l->begin);
	for (unsigned i = 1; i < l->threads; i++)
		pthread_join(l->thread[i], NULL);
	pthread_barrier_destroy(&l->begin);
	pthread_barrier_destroy(&l->end);
	free(l->thread);
	free(l);
}
