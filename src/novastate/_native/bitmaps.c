/* Dirty bitmaps: union and what is new in it, footprints of windows, gaps.
 *
 * D_1 ... D_K are bitmaps of pages written in intervals that follow each other. W(k) is the mean of |D_i u ... u D_(i-k+1)|
 * over all i; W(k+1) - W(k) that of |D_i \ (D_(i-1) u ... u D_(i-k))|, but for the two ends of the record.
 *
 * merge, count: one pass; bound by memory: 2 MiB (a guest of 64 GiB) in 20 to 45 us.
 *
 * sums (dense): for k = 1, 2, 4 ... the union of 2k is the union of the k last and that of the k before them, which a ring
 * of k unions remembers: one OR a level and bitmap, no matter how long the window is. Every second ring suffices, where two
 * levels are made from four unions of one. The bitmaps are cut into strips of 2 KiB, so that a strip of some bitmaps, and the
 * rings of a column, stay in the caches. K * words / VW * levels * (OR, AND-NOT, population count, add): 8 levels of 2 MiB
 * take 120 us where all of it is in the caches.
 *
 * scan (sparse): for each set bit the number of the bitmap where the page was last set; a histogram of the gaps has all of
 * W: a window of k misses a page in a gap g (between two bitmaps that have it) at max(0, g - k) places, before its first
 * bitmap f (0, 1 ...) at max(0, f + 1 - k), after its last l at max(0, K - l - k). A set bit is a miss of the table, which is asked for
 * some bits ahead: faster than `sums` where fewer than one bit of 2000 is set, and exact for all k.
 *
 * Domain: any number of words and bitmaps, also none. The sums fit 64 bits: bits times bitmaps < 2^64.
 * Sources: binary unions are those of sparse tables (Bender and Farach-Colton 2000); the gap formula is HOTL's (Xiang, Ding et
 * al., ASPLOS'13) with bitmaps as time; population count with AVX2: Mula, Kurz, Lemire 2018.
 */
#if defined(__linux__)
#define _GNU_SOURCE
#include <sys/mman.h>
#endif
#include "bitmaps.h"
#include "dispatch.h"
#include <stdlib.h>
#include <string.h>

/* Words of a strip; its bitmaps at a time; how many rows ahead memory is asked for them. One more row a column, and one more
 * vector a ring, keep columns and rings off each other's places in the caches. A tile has 130 KiB. */
enum { STRIP = 256, TILE_ROWS = 64, COLUMN_ROWS = TILE_ROWS + 1, AHEAD = 2, PAD = 1 };

/* What is to be copied into a tile: `width` words of each of `rows` rows, `row` the next of them; `at` vectors are
 * done. */
typedef struct {
    const uint64_t *row;
    uint64_t *tile;
    size_t words, width, rows, at;
} feeder;

/* Vectors of the state of one column: see `column`. */
static size_t state_size(int levels) {
    size_t size = 4;
    for (int j = 2; j < levels; j += 2) size += ((size_t)1 << j) * (j + 2 < levels ? 4 : 1) + PAD;
    return size;
}

#define NS_F(name) name##_scalar
#define NS_T
#define V uint64_t
#define VW 1
#define LOAD(p) (*(p))
#define STORE(p, a) (*(p) = (a))
#define ZERO() 0
#define OR(a, b) ((a) | (b))
#define OR3(a, b, c) ((a) | (b) | (c))
#define MINUS(a, b) ((a) & ~(b))
#define ANY(a) ((a) != 0)
#define TALLY(sum, a) ((sum) + (uint64_t)__builtin_popcountll(a))
#define TOTAL(a) (a)
#include "bitmaps_body.h"

#ifdef NS_X86
NS_AVX2 NS_BODY static __m256i tally_avx2(__m256i sum, __m256i a) {
    const __m256i low = _mm256_set1_epi8(0x0f);
    const __m256i bits =
        _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i halves = _mm256_add_epi8(_mm256_shuffle_epi8(bits, _mm256_and_si256(a, low)),
                                           _mm256_shuffle_epi8(bits, _mm256_and_si256(_mm256_srli_epi16(a, 4), low)));
    return _mm256_add_epi64(sum, _mm256_sad_epu8(halves, _mm256_setzero_si256()));
}

NS_AVX2 NS_BODY static uint64_t total_avx2(__m256i a) {
    uint64_t lanes[4];
    _mm256_storeu_si256((__m256i *)lanes, a);
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

#define NS_F(name) name##_avx2
#define NS_T NS_AVX2
#define V __m256i
#define VW 4
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE(p, a) _mm256_storeu_si256((__m256i *)(p), a)
#define ZERO() _mm256_setzero_si256()
#define OR(a, b) _mm256_or_si256(a, b)
#define OR3(a, b, c) OR(OR(a, b), c)
#define MINUS(a, b) _mm256_andnot_si256(b, a)
#define ANY(a) (!_mm256_testz_si256(a, a))
#define TALLY(sum, a) tally_avx2(sum, a)
#define TOTAL(a) total_avx2(a)
#include "bitmaps_body.h"

#define NS_F(name) name##_avx512
#define NS_T NS_AVX512
#define V __m512i
#define VW 8
#define LOAD(p) _mm512_loadu_si512(p)
#define STORE(p, a) _mm512_storeu_si512(p, a)
#define ZERO() _mm512_setzero_si512()
#define OR(a, b) _mm512_or_si512(a, b)
#define OR3(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0xfe)
#define MINUS(a, b) _mm512_andnot_si512(b, a)
#define ANY(a) (_mm512_test_epi64_mask(a, a) != 0)
#define TALLY(sum, a) _mm512_add_epi64(sum, _mm512_popcnt_epi64(a))
#define TOTAL(a) ((uint64_t)_mm512_reduce_add_epi64(a))
#include "bitmaps_body.h"
#endif

#ifdef NS_ARM
#define NS_F(name) name##_neon
#define NS_T
#define V uint64x2_t
#define VW 2
#define LOAD(p) vld1q_u64(p)
#define STORE(p, a) vst1q_u64(p, a)
#define ZERO() vdupq_n_u64(0)
#define OR(a, b) vorrq_u64(a, b)
#define OR3(a, b, c) OR(OR(a, b), c)
#define MINUS(a, b) vbicq_u64(a, b)
#define ANY(a) ((vgetq_lane_u64(a, 0) | vgetq_lane_u64(a, 1)) != 0)
#define TALLY(sum, a) vpadalq_u32(sum, vpaddlq_u16(vpaddlq_u8(vcntq_u8(vreinterpretq_u8_u64(a)))))
#define TOTAL(a) (vgetq_lane_u64(a, 0) + vgetq_lane_u64(a, 1))
#include "bitmaps_body.h"
#endif

uint64_t ns_bitmaps_merge(uint64_t *out, const uint64_t *bits, size_t words) {
    static uint64_t (*const variants[NS_ISAS])(uint64_t *, const uint64_t *, size_t) =
        NS_VARIANTS(merge_scalar, merge_neon, merge_avx2, merge_avx512);
    return variants[ns_isa()](out, bits, words);
}

uint64_t ns_bitmaps_count(const uint64_t *bits, size_t words) {
    static uint64_t (*const variants[NS_ISAS])(const uint64_t *, size_t) =
        NS_VARIANTS(count_scalar, count_neon, count_avx2, count_avx512);
    return variants[ns_isa()](bits, words);
}

typedef void fill_fn(feeder *);
typedef void strip_fn(const uint64_t *, size_t, size_t, size_t, uint64_t *, int, int, uint64_t *, feeder *);

/* All of one tile, whose first bitmap is number `start`. A level counts from its first whole window on, so the rows are
 * gone through in runs that lie all before such a start, or all after it. */
static void tile_sums(const uint64_t *tile, size_t rows, size_t start, uint64_t *state, int levels, int fresh, uint64_t *sums,
                      strip_fn *strip, feeder *next) {
    for (size_t at = 0, end; at < rows; at = end) {
        end = rows;
        for (int j = 0; j < levels; j++) {
            const size_t whole = ((size_t)1 << j) - !fresh;
            if (whole > start + at && whole < start + end) end = whole - start;
        }
        uint64_t found[NS_BITMAPS_LEVELS] = {0};
        strip(tile, at, end - at, start + at, state, levels, fresh, found, next);
        for (int j = 0; j < levels; j++)
            if (start + at >= ((size_t)1 << j) - !fresh) sums[j] += found[j];
    }
}

/* Strip by strip, and within a strip tile by tile, while the tile that comes next is copied beside. */
static void all_sums(const uint64_t *bitmaps, size_t rows, size_t words, int levels, int fresh, uint64_t *sums, uint64_t *memory) {
    static fill_fn *const fills[NS_ISAS] = NS_VARIANTS(fill_scalar, fill_neon, fill_avx2, fill_avx512);
    static strip_fn *const strips[NS_ISAS] = NS_VARIANTS(strip_scalar, strip_neon, strip_avx2, strip_avx512);
    const int isa = ns_isa();
    uint64_t *const tiles[2] = {memory, memory + STRIP * COLUMN_ROWS}, *const state = memory + 2 * STRIP * COLUMN_ROWS;
    const size_t blocks = (rows + TILE_ROWS - 1) / TILE_ROWS, jobs = (words + STRIP - 1) / STRIP * blocks;
    feeder next = {0};
    for (size_t job = 0; job <= jobs; job++) {
        const feeder now = next;
        const size_t at = job / blocks * STRIP, start = job % blocks * TILE_ROWS;
        if (job < jobs)
            next = (feeder){.row = bitmaps + start * words + at, .tile = tiles[job & 1], .words = words,
                            .width = words - at < STRIP ? words - at : STRIP,
                            .rows = rows - start < TILE_ROWS ? rows - start : TILE_ROWS};
        if (job) {
            const size_t began = (job - 1) % blocks * TILE_ROWS;
            if (!began) memset(state, 0, STRIP * state_size(levels) * sizeof *state);
            tile_sums(now.tile, now.rows, began, state, levels, fresh, sums, strips[isa], &next);
        }
        fills[isa](&next);
    }
}

int ns_bitmaps_sums(const uint64_t *bitmaps, size_t rows, size_t words, int levels, int fresh, uint64_t *sums) {
    memset(sums, 0, (size_t)levels * sizeof *sums);
    uint64_t *memory = aligned_alloc(64, (2 * STRIP * COLUMN_ROWS + STRIP * state_size(levels)) * sizeof *memory);
    if (!memory) return -1;
    all_sums(bitmaps, rows, words, levels, fresh, sums, memory);
    free(memory);
    return 0;
}

uint32_t *ns_bitmaps_table(size_t pages) {
    const size_t huge = (size_t)2 << 20, bytes = (pages * sizeof(uint32_t) + huge - 1) / huge * huge;
    if (pages * sizeof(uint32_t) < huge) return calloc(pages ? pages : 1, sizeof(uint32_t));
    uint32_t *made = aligned_alloc(huge, bytes);
    if (!made) return NULL;
#if defined(__linux__)
    (void)madvise(made, bytes, MADV_HUGEPAGE);
#endif
    return memset(made, 0, bytes);
}

/* Pages that were found and whose entries of the table were asked for, but not looked at yet. */
enum { WAITING = 256 };

static void scan_waiting(const uint64_t *pages, size_t n, uint32_t now, uint32_t *last, uint64_t *gaps, uint64_t *firsts) {
    for (size_t i = 0; i < n; i++) {
        uint32_t *seen = last + pages[i];
        if (*seen) gaps[now - *seen]++;
        else firsts[now - 1]++;
        *seen = now;
    }
}

void ns_bitmaps_scan(const uint64_t *bits, size_t words, size_t at, uint32_t *last, uint64_t *gaps, uint64_t *firsts) {
    const uint32_t now = (uint32_t)at + 1;
    uint64_t waiting[WAITING + 64];
    size_t n = 0;
    for (size_t i = 0; i < words; i++) {
        const uint64_t *w = bits + i;
        if (i + 8 <= words && !(w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7])) {
            i += 7;
            continue;
        }
        for (uint64_t left = *w; left; left &= left - 1) {
            waiting[n] = i * 64 + (uint64_t)__builtin_ctzll(left);
            __builtin_prefetch(last + waiting[n++], 1);
        }
        if (n >= WAITING) {
            scan_waiting(waiting, n, now, last, gaps, firsts);
            n = 0;
        }
    }
    scan_waiting(waiting, n, now, last, gaps, firsts);
}

void ns_bitmaps_lasts(const uint32_t *last, size_t pages, size_t rows, uint64_t *lasts) {
    for (size_t p = 0; p < pages; p++)
        if (last[p]) lasts[rows - last[p]]++;
}
