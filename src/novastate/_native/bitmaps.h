/* Dirty bitmaps: one bit a page, K bitmaps in a row, each of what was written since the one before. See bitmaps.c. */
#ifndef NOVASTATE_BITMAPS_H
#define NOVASTATE_BITMAPS_H
#include <stddef.h>
#include <stdint.h>

/* Unions of 2^0, 2^1 ... 2^(levels-1) bitmaps. */
#define NS_BITMAPS_LEVELS 16

/* out |= bits; returns how many bits of `out` that set. The two are the same memory or do not overlap. */
uint64_t ns_bitmaps_merge(uint64_t *out, const uint64_t *bits, size_t words);

/* Bits that are set. */
uint64_t ns_bitmaps_count(const uint64_t *bits, size_t words);

/* sums[j], j < levels, of `rows` bitmaps of `words` words that lie one after the other: the sum over i >= 2^j - 1 of
 * |D_i u ... u D_(i-2^j+1)|, the footprints of all windows of 2^j bitmaps. Returns 0, or -1 without memory.
 * 1 <= levels <= NS_BITMAPS_LEVELS. */
int ns_bitmaps_sums(const uint64_t *bitmaps, size_t rows, size_t words, int levels, uint64_t *sums);

/* A table of `pages` zeros, in huge pages where the system has them; NULL without memory. For free(). */
uint32_t *ns_bitmaps_table(size_t pages);

/* Scans the bits of bitmap number `at` (0, 1 ...; below 2^32 - 1): last[p] becomes at + 1; gaps[at - previous] counts
 * the bits that were set in an earlier bitmap, firsts[at] the others. last is zero before bitmap 0. */
void ns_bitmaps_scan(const uint64_t *bits, size_t words, size_t at, uint32_t *last, uint64_t *gaps, uint64_t *firsts);

/* lasts[rows - 1 - i] counts the pages that were last set in bitmap i of `rows`. */
void ns_bitmaps_lasts(const uint32_t *last, size_t pages, size_t rows, uint64_t *lasts);
#endif
