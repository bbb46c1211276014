/* Dirty bitmaps: union and what is new in it, footprints of windows, gaps.
 *
 * D_1 ... D_K are bitmaps of pages written in intervals that follow each other. W(k) is the mean of |D_i u ... u D_(i-k+1)|
 * over all i.
 *
 * merge, count: one pass; bound by memory: 2 MiB (a guest of 64 GiB) in 20 to 45 us.
 *
 * sums (dense): for k = 1, 2 and 4 the unions of the last k bitmaps are counted. For k = 2^m above, the bitmaps are cut into
 * groups of k. A window that ends in a group has a page unless it begins after the page's last place in the group before, `last`
 * (0 ... k - 1), and ends before its first place in this one, which `first` others follow: min(k, last + first + 1) of the group's k
 * windows have it. The numbers of all pages of a vector are kept by binary digits, a vector each, and added like that: m steps
 * for k bitmaps, where k unions would be 2 k. Two groups are joined to one of the next level by m selections. Before the first
 * bitmap and after the last all pages count as written: windows that are not whole then have all pages, which is subtracted.
 * The bitmaps are cut into strips of 4 KiB, whose state stays in the caches (240 KiB for 8 levels); the lines of the next 16
 * bitmaps are asked for as these 16 are read. A bitmap of 2 MiB takes a little more than two plain passes over it for 8 levels.
 *
 * scan (sparse): for each set bit the number of the bitmap where the page was last set; a histogram of the gaps has all of
 * W: a window of k misses a page in a gap g (between two bitmaps that have it) at max(0, g - k) places, before its first
 * bitmap f (0, 1 ...) at max(0, f + 1 - k), after its last l at max(0, K - l - k). A set bit is a miss of the table, which is asked for
 * some bits ahead: faster than 8 levels of `sums` where fewer than one bit of 10 000 is set in hundreds of bitmaps, and exact
 * for all k.
 *
 * Domain: any number of words and bitmaps, also none. The sums fit 64 bits: bits times bitmaps < 2^64.
 * Sources: the gap formula is HOTL's (Xiang, Ding et al., ASPLOS'13) with bitmaps as time; population count with AVX2: Mula, Kurz, Lemire 2018.
 */
#include "bitmaps.h"
#include "dispatch.h"
#include "hugepages.h"
#include <stdlib.h>
#include <string.h>

/* Words of a strip, and of the widest vector; bitmaps of a block. */
enum { STRIP = 512, WIDEST = 8, BLOCK = 16 };

#define NS_UNROLLED _Pragma("GCC unroll 16")

typedef struct {
    const uint64_t *bits;
    size_t rows, words;
} bitmap_rows;

/* The bitmaps of a block in a strip, and where those are that come next. */
typedef struct {
    const uint64_t *row, *next;
    size_t stride, next_stride, columns, index;
    int end, levels;
} bitmap_block;

/* The state of a column: the union of the two bitmaps before the last; then, for each level from 4, m + 1 vectors of `before`,
 * which is `last` of its last group, and 2 m + 1 of `half`, the first half of a group of the next level. */
NS_BODY static size_t before_at(int m) { return (size_t)(m * (3 * m + 1) / 2 - 25); }
NS_BODY static size_t half_at(int m) { return before_at(m) + (size_t)m + 1; }
NS_BODY static size_t state_size(int levels) { return half_at(levels - 1); }

/* The block of bitmaps from `start`: where there are fewer, a copy in `memory` that ends with bitmaps that have all pages.
 * `more`: a whole strip follows this one. */
static bitmap_block block_at(const bitmap_rows *b, size_t start, size_t at, size_t words, int more, int levels, size_t vector,
                             uint64_t *memory) {
    const uint64_t *row = b->bits + start * b->words + at;
    const size_t left = b->rows - start;
    bitmap_block block = {row, row, b->words, 0, words / vector, start / BLOCK, left <= BLOCK, levels};
    if (left >= 2 * BLOCK || (left <= BLOCK && more && b->rows >= BLOCK)) {
        block.next = left >= 2 * BLOCK ? row + BLOCK * b->words : b->bits + at + STRIP;
        block.next_stride = b->words;
    }
    if (left < BLOCK) {
        for (size_t r = 0; r < left; r++) memcpy(memory + r * STRIP, row + r * b->words, words * sizeof *row);
        memset(memory + left * STRIP, 0xff, (BLOCK - left) * STRIP * sizeof *memory);
        block.row = memory;
        block.stride = STRIP;
    }
    return block;
}

#define NS_F(name) name##_scalar
#define NS_T
#define V uint64_t
#define VW 1
#define LOAD(p) (*(p))
#define STORE(p, a) (*(p) = (a))
#define ZERO() 0
#define ONES() UINT64_MAX
#define ADD(a, b) ((a) + (b))
#define AND(a, b) ((a) & (b))
#define XOR3(a, b, c) ((a) ^ (b) ^ (c))
#define MAJORITY(a, b, c) (((a) & (b)) | (((a) ^ (b)) & (c)))
#define OR(a, b) ((a) | (b))
#define MINUS(a, b) ((a) & ~(b))
#define WITH(a, b, c) ((a) | ((b) & ~(c)))
#define KEEP(a) (void)(a)
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
#define ONES() _mm256_set1_epi64x(-1)
#define ADD(a, b) _mm256_add_epi64(a, b)
#define AND(a, b) _mm256_and_si256(a, b)
#define XOR3(a, b, c) _mm256_xor_si256(_mm256_xor_si256(a, b), c)
#define MAJORITY(a, b, c) OR(AND(a, b), AND(_mm256_xor_si256(a, b), c))
#define OR(a, b) _mm256_or_si256(a, b)
#define MINUS(a, b) _mm256_andnot_si256(b, a)
#define WITH(a, b, c) OR(a, MINUS(b, c))
#define KEEP(a) __asm__("" : "+x"(a))
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
#define ONES() _mm512_set1_epi64(-1)
#define ADD(a, b) _mm512_add_epi64(a, b)
#define AND(a, b) _mm512_and_si512(a, b)
#define XOR3(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0x96)
#define MAJORITY(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0xe8)
#define OR(a, b) _mm512_or_si512(a, b)
#define MINUS(a, b) _mm512_andnot_si512(b, a)
#define WITH(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0xf4)
#define KEEP(a) __asm__("" : "+v"(a))
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
#define ONES() vdupq_n_u64(UINT64_MAX)
#define ADD(a, b) vaddq_u64(a, b)
#define AND(a, b) vandq_u64(a, b)
#define XOR3(a, b, c) veorq_u64(veorq_u64(a, b), c)
#define MAJORITY(a, b, c) OR(AND(a, b), AND(veorq_u64(a, b), c))
#define OR(a, b) vorrq_u64(a, b)
#define MINUS(a, b) vbicq_u64(a, b)
#define WITH(a, b, c) OR(a, MINUS(b, c))
#define KEEP(a) __asm__("" : "+w"(a))
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

int ns_bitmaps_sums(const uint64_t *bitmaps, size_t rows, size_t words, int levels, uint64_t *sums) {
    static void (*const variants[NS_ISAS])(const bitmap_rows *, size_t, size_t, int, uint64_t *, uint64_t *) =
        NS_VARIANTS(sums_scalar, sums_neon, sums_avx2, sums_avx512);
    const bitmap_rows b = {bitmaps, rows, words};
    uint64_t totals[NS_BITMAPS_LEVELS] = {0};
    int used = 5; /* levels that a block of bitmaps has in any case, and those with a window in the record */
    while (used < levels && rows >> used) used++;
    uint64_t *memory = aligned_alloc(64, STRIP * (BLOCK + state_size(used)) * sizeof *memory);
    if (!memory) return -1;
    /* A vector lies in one line of the cache: what comes before the first line, and after the last, is for plain C. */
    const size_t off = (size_t)((uintptr_t)bitmaps / sizeof *bitmaps % WIDEST), lead = (WIDEST - off) % WIDEST;
    const size_t head = lead < words ? lead : words, vectors = (words - head) / WIDEST * WIDEST, tail = head + vectors;
    sums_scalar(&b, 0, head, used, memory, totals);
    variants[ns_isa()](&b, head, vectors, used, memory, totals);
    sums_scalar(&b, tail, words - tail, used, memory, totals);
    free(memory);
    for (int j = 0; j < levels; j++) {
        /* Windows that are not whole have all pages: see above. */
        const size_t size = (size_t)1 << j, whole = size < BLOCK ? BLOCK : size, ends = (rows + whole - 1) / whole * whole;
        const uint64_t extra = ends - (rows >= size ? rows - size + 1 : 0);
        sums[j] = j < used && rows >= size ? totals[j] - extra * words * 64 : 0;
    }
    return 0;
}

uint32_t *ns_bitmaps_table(size_t pages) { return ns_huge_zeros(pages); }

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
