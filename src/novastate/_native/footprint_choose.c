/* A page is in the sample when its hash is below a limit: the same pages in every window and on every machine.
 *
 * The hash is splitmix64's finalizer (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA'14; constants of
 * Stafford's variant 13) over page + seed * golden ratio. What is kept is limit / 2^64 of all pages, and independent of
 * where they lie: SHARDS (Waldspurger et al., FAST'15). Cost: two multiplications a page, 8 pages at a time with AVX-512.
 */
#include "dispatch.h"
#include "footprint.h"

NS_BODY static uint64_t mixed(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

NS_BODY static void choose(const uint64_t *pages, uint64_t first, size_t n, uint64_t seed, uint64_t limit, uint8_t *chosen) {
    const uint64_t shift = seed * 0x9e3779b97f4a7c15u;
    if (pages)
        for (size_t i = 0; i < n; i++) chosen[i] = mixed(pages[i] + shift) < limit;
    else
        for (size_t i = 0; i < n; i++) chosen[i] = mixed(first + i + shift) < limit;
}

static void choose_scalar(const uint64_t *p, uint64_t f, size_t n, uint64_t s, uint64_t l, uint8_t *c) { choose(p, f, n, s, l, c); }
#ifdef NS_X86
NS_AVX2 static void choose_avx2(const uint64_t *p, uint64_t f, size_t n, uint64_t s, uint64_t l, uint8_t *c) {
    choose(p, f, n, s, l, c);
}
NS_AVX512 static void choose_avx512(const uint64_t *p, uint64_t f, size_t n, uint64_t s, uint64_t l, uint8_t *c) {
    choose(p, f, n, s, l, c);
}
#endif

void ns_footprint_choose(const uint64_t *pages, uint64_t first, size_t n, uint64_t seed, uint64_t limit, uint8_t *chosen) {
    static void (*const variants[NS_ISAS])(const uint64_t *, uint64_t, size_t, uint64_t, uint64_t, uint8_t *) =
        NS_VARIANTS(choose_scalar, choose_scalar, choose_avx2, choose_avx512);
    variants[ns_isa()](pages, first, n, seed, limit, chosen);
}
