/* Tables that are looked up at random, in huge pages where the system has them: a miss of the cache is not one of the TLB as well. */
#ifndef NOVASTATE_HUGEPAGES_H
#define NOVASTATE_HUGEPAGES_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

/* `n` zeros; NULL without memory. For free(). */
static inline uint32_t *ns_huge_zeros(size_t n) {
    const size_t huge = (size_t)2 << 20;
    if (n < huge / sizeof(uint32_t)) return calloc(n ? n : 1, sizeof(uint32_t));
    if (n > (SIZE_MAX - huge) / sizeof(uint32_t)) return NULL;
    const size_t bytes = (n * sizeof(uint32_t) + huge - 1) / huge * huge;
    uint32_t *made = aligned_alloc(huge, bytes);
    if (!made) return NULL;
#ifdef MADV_HUGEPAGE
    (void)madvise(made, bytes, MADV_HUGEPAGE);
#endif
    return memset(made, 0, bytes);
}
#endif
