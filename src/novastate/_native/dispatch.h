/* Which instruction set the kernels of a module run: chosen once, here, for all of them.
 *
 * Levels, slowest first. Each means all of what is listed, so that a variant may use any of it:
 *   scalar   plain C
 *   neon     aarch64 (every aarch64 processor has it)
 *   avx2     AVX2, BMI, BMI2, POPCNT                              (Intel Haswell 2013, AMD Zen 2017)
 *   avx512   AVX-512 F, BW, CD, DQ, VL, VBMI, VPOPCNTDQ           (Intel Ice Lake 2019, AMD Zen 4 2022)
 *
 * A kernel has one function a level and one row:
 *
 *     static double sum_scalar(const double *x, size_t n) { ... }
 *     #if NS_X86
 *     NS_AVX2 static double sum_avx2(const double *x, size_t n) { ... }
 *     #endif
 *     double ns_sum(const double *x, size_t n) {
 *         static double (*const variants[NS_ISAS])(const double *, size_t) =
 *             NS_VARIANTS(sum_scalar, sum_scalar, sum_avx2, sum_avx2);
 *         return variants[ns_isa()](x, n);
 *     }
 *
 * NS_VARIANTS takes scalar, neon, avx2, avx512; names that this build does not have are not looked at, and a
 * level without a variant of its own names the next lower one. Where the compiler vectorises well enough,
 * a body may be written once as `NS_BODY static ...` and called from an empty function a level.
 *
 * The choice is the best level of the processor, or what NOVASTATE_ISA asks for (dispatch.pxi), or what a test
 * forces. It is one word for each extension module, read and written atomically.
 */
#ifndef NOVASTATE_DISPATCH_H
#define NOVASTATE_DISPATCH_H
#include <stddef.h>

enum { NS_SCALAR, NS_NEON, NS_AVX2_LEVEL, NS_AVX512_LEVEL, NS_ISAS };

#define NS_BODY __attribute__((always_inline)) inline

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define NS_X86 1
#define NS_AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt")))
#define NS_AVX512 __attribute__((target( \
    "avx2,bmi,bmi2,popcnt,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi,avx512vpopcntdq," \
    "prefer-vector-width=512")))
#define NS_VARIANTS(scalar, neon, avx2, avx512) {scalar, scalar, avx2, avx512}
#elif defined(__aarch64__) && defined(__GNUC__)
#include <arm_neon.h>
#define NS_ARM 1
#define NS_VARIANTS(scalar, neon, avx2, avx512) {scalar, neon, scalar, scalar}
#else
#define NS_VARIANTS(scalar, neon, avx2, avx512) {scalar, scalar, scalar, scalar}
#endif

/* The level in use, at first the best there is. */
int ns_isa(void);

/* The i-th level that this processor and build can run, fastest first, by name; NULL past the last. */
const char *ns_isa_variant(size_t i);

/* The name of a level. */
const char *ns_isa_name(int level);

/* Takes the level of this name; returns 0, or -1 where processor or build lack it. */
int ns_isa_force(const char *name);
#endif
