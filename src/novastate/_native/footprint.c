/* Footprints of a trace: the mean number of distinct pages written in a window of w slots, for many w, in one pass.
 *
 * A page that is written in slots a and b and not between is missed by max(0, b - a - w) of the windows of w slots; one that is
 * first written in slot f by max(0, f + 1 - w), one last written in slot l, of K, by max(0, K - l - w). So, with x for
 * b - a, f + 1 and K - l of all m pages,
 *
 *     fp(w) = m - sum over x > w of (x - w) / (K - w + 1),
 *
 * and a count and a sum of the x between one w and the next suffice for all w. A page's table entry is 1 + the slot of its last
 * write, 0 at first: so f + 1 needs no case of its own.
 *
 * Cost: a write is a miss of the table, which is asked for some writes ahead, and an addition to counters that stay in the
 * caches: the level of x is found by its leading bits. 2 to 3 ns a write for a guest of 4 GiB, 4 to 6 ns for one of 64 GiB.
 * Domain: slots < 2^32 - 1, pages < 2^32; times that do not fall. Sums fit 64 bits, as n < 2^32 and x <= 2^32.
 * Source: Xiang, Ding, Luo, Bao: HOTL, ASPLOS'13; Xiang et al.: All-window profiling, PPoPP'11.
 */
#include "footprint.h"
#include "dispatch.h"
#include "hugepages.h"
#include <stdlib.h>
#include <string.h>

/* Writes at a time; the table is asked for those of the next time, the columns for those that are LEAD further. */
enum { CHUNK = 256, LEAD = 6 * CHUNK };
/* Lengths whose first six bits are the same (of x + 32) share a bin; no bin is wider than a 32nd of its lengths. */
enum { BINS = 28 * 32 + 1 };
/* Counters are kept four times, so that one write need not wait for the one before. */
enum { COPIES = 4, FEW_LEVELS = 4096, MOST_PENDING = 1 << 15 };

typedef struct {
    uint64_t count, sum;
} cell;

/* The windows that are below all lengths of a bin, and the next one. */
typedef struct {
    uint32_t level, next;
} entry;

typedef struct {
    const uint32_t *windows;
    size_t levels, copies, pending;
    int single; /* no bin has two windows in it */
    uint64_t *recent; /* the last of them: count << 48 | sum */
    cell *cells;
    entry bins[BINS];
} counters;

/* By the bits of x + 32 as a double, which is exact; it is made from the double 2^52 + x. */
NS_BODY static uint32_t bin_of(uint32_t x) {
    uint64_t bits = 0x4330000000000000 | x;
    double wide;
    memcpy(&wide, &bits, sizeof wide);
    wide -= 4503599627370496.0 - 32.0;
    memcpy(&bits, &wide, sizeof bits);
    return (uint32_t)(bits >> 47) - (1028u << 5);
}

/* How many windows are below x. */
NS_BODY static size_t below(const uint32_t *windows, size_t low, size_t high, uint64_t x) {
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (windows[middle] < x) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* What `recent` holds moves to the cells, before its counts (16 bits) or sums (48) can overflow. */
static void flush(counters *c) {
    for (size_t i = 0; i < (c->levels + 1) * c->copies; i++) {
        c->cells[i / c->copies].count += c->recent[i] >> 48;
        c->cells[i / c->copies].sum += c->recent[i] & 0xffffffffffff;
        c->recent[i] = 0;
    }
    c->pending = 0;
}

/* Adds n lengths, at most CHUNK, and asks meanwhile for the table's entries of the pages that come next. */
NS_BODY static void add(counters *c, const uint32_t *x, size_t n, const uint32_t *table, const uint32_t *next, size_t more) {
    uint32_t bins[CHUNK];
    for (size_t i = 0; i < n; i++) bins[i] = bin_of(x[i]);
    uint64_t *const recent = c->recent;
    const size_t levels = c->levels, copies = c->copies;
    /* Whole chunks, four at a time: each counter of a level has an addition of its own. */
    if (c->single && copies == COPIES && n == CHUNK && more == CHUNK)
        for (size_t i = 0; i < CHUNK; i += COPIES)
            _Pragma("GCC unroll 4") for (size_t j = i; j < i + COPIES; j++) {
                __builtin_prefetch(table + next[j], 1, 2);
                const entry e = c->bins[bins[j]];
                recent[(e.level + (x[j] > e.next)) * COPIES + (j - i)] += (uint64_t)1 << 48 | x[j];
            }
    else if (c->single && copies == COPIES)
        for (size_t i = 0; i < n; i++) {
            if (i < more) __builtin_prefetch(table + next[i], 1, 2);
            const entry e = c->bins[bins[i]];
            recent[(e.level + (x[i] > e.next)) * COPIES + i % COPIES] += (uint64_t)1 << 48 | x[i];
        }
    else
        for (size_t i = 0; i < n; i++) {
            const size_t level = below(c->windows, c->bins[bins[i]].level, levels, x[i]);
            recent[level * copies + i % copies] += (uint64_t)1 << 48 | x[i];
        }
    c->pending += n;
    if (c->pending > MOST_PENDING - CHUNK) flush(c);
}

static int prepare(counters *c, const uint32_t *windows, size_t levels) {
    c->windows = windows;
    c->levels = levels;
    c->pending = 0;
    c->single = 1;
    c->copies = levels > FEW_LEVELS ? 1 : COPIES;
    c->cells = calloc(levels + 1, sizeof *c->cells);
    c->recent = calloc((levels + 1) * c->copies, sizeof *c->recent);
    for (size_t bin = 0; bin < BINS; bin++) {
        const uint64_t least = ((uint64_t)(32 + bin % 32) << (bin / 32)) - 32;
        const size_t level = below(windows, 0, levels, least);
        c->bins[bin] = (entry){(uint32_t)level, level < levels ? windows[level] : UINT32_MAX};
        if (bin && level > c->bins[bin - 1].level + 1) c->single = 0;
    }
    return c->cells && c->recent ? 0 : -1;
}

/* Pages as numbers of 32 bits; returns how many of the n are good before the first that is not. */
NS_BODY static size_t read_pages(const ns_trace *t, size_t from, size_t n, uint32_t *ids) {
    uint64_t most = 0;
#define NS_READ(type) \
    do { \
        const type *in = (const type *)t->pages + from; \
        for (size_t i = 0; i < n; i++) { \
            const uint64_t page = (uint64_t)(int64_t)in[i]; \
            most = page > most ? page : most; \
            ids[i] = (uint32_t)page; \
        } \
        if (most < t->page_count) return n; \
        for (size_t i = 0; i < n; i++) \
            if ((uint64_t)(int64_t)in[i] >= t->page_count) return i; \
    } while (0)
    if (t->page_type == NS_U32) NS_READ(uint32_t);
    else if (t->page_type == NS_I32) NS_READ(int32_t);
    else NS_READ(uint64_t);
#undef NS_READ
    return n;
}

/* 1 + the slots of n writes; returns how many are good: not before *least, and before the end. */
NS_BODY static size_t read_times(const ns_trace *t, size_t from, size_t n, uint32_t *least, uint32_t *now) {
    const double most = (double)t->slots, start = t->start, rate = t->rate;
    int fine = 1;
    if (t->time_type == NS_NONE) {
        const size_t good = from >= t->slots ? 0 : t->slots - from < n ? (size_t)t->slots - from : n;
        for (size_t i = 0; i < good; i++) now[i] = (uint32_t)(from + i) + 1;
        return good;
    }
#define NS_READ(type) \
    do { \
        const type *in = (const type *)t->times + from; \
        for (size_t i = 0; i < n; i++) { \
            const double slot = ((double)in[i] - start) * rate; \
            const int inside = slot >= 0 && slot < most; \
            now[i] = (uint32_t)(int64_t)(inside ? slot : 0) + 1; \
            fine &= inside; \
        } \
        for (size_t i = 1; i < n; i++) fine &= now[i] >= now[i - 1]; \
        if (fine && now[0] >= *least) return *least = now[n - 1], n; \
        for (size_t i = 0; i < n; i++) { \
            const double slot = ((double)in[i] - start) * rate; \
            if (!(slot >= 0 && slot < most) || now[i] < *least) return i; \
            *least = now[i]; \
        } \
    } while (0)
    if (t->time_type == NS_F64) NS_READ(double);
    else if (t->time_type == NS_U32) NS_READ(uint32_t);
    else if (t->time_type == NS_I32) NS_READ(int32_t);
    else NS_READ(int64_t);
#undef NS_READ
    return n;
}

/* Reads the pages of the next chunk; fewer than there are where one is out of range. */
NS_BODY static size_t next_pages(const ns_trace *t, size_t from, uint32_t *ids) {
    return from < t->n ? read_pages(t, from, t->n - from < CHUNK ? t->n - from : CHUNK, ids) : 0;
}

/* Asks for a place of a column, where there is one. */
NS_BODY static void ask(const void *column, size_t at, size_t n, size_t width) {
    if (column && at < n) __builtin_prefetch((const char *)column + at * width, 0, 2);
}

NS_BODY static int writes(const ns_trace *t, counters *c, uint32_t *last, size_t *bad) {
    uint32_t ids[2][CHUNK], now[CHUNK], x[CHUNK], least = 1;
    const size_t page_width = t->page_type == NS_U64 ? 8 : 4, time_width = t->time_type == NS_U32 || t->time_type == NS_I32 ? 4 : 8;
    size_t more = next_pages(t, 0, ids[0]);
    for (size_t from = 0; from < t->n; from += CHUNK) {
        const uint32_t *page = ids[from / CHUNK % 2];
        const size_t n = more;
        if (n < CHUNK && from + n < t->n) return *bad = from + n, NS_BAD_PAGE;
        const size_t good = read_times(t, from, n, &least, now);
        if (good < n) return *bad = from + good, NS_BAD_TIME;
        more = next_pages(t, from + CHUNK, ids[from / CHUNK % 2 ^ 1]);
        for (size_t i = 0; i < n; i++) {
            if (i % 8 == 0) {
                ask(t->pages, from + LEAD + i, t->n, page_width);
                ask(t->times, from + LEAD + i, t->n, time_width);
            }
            const uint32_t seen = last[page[i]];
            last[page[i]] = now[i];
            x[i] = now[i] - seen;
        }
        add(c, x, n, last, ids[from / CHUNK % 2 ^ 1], more);
    }
    return NS_FINE;
}

/* The lengths after the last write of each page; returns how many pages there are. */
NS_BODY static uint64_t ends(const ns_trace *t, counters *c, const uint32_t *last) {
    uint32_t x[CHUNK];
    size_t n = 0;
    uint64_t distinct = 0;
    for (size_t p = 0; p < t->page_count; p++) {
        x[n] = (uint32_t)(t->slots + 1 - last[p]);
        n += last[p] != 0;
        if (n == CHUNK || p + 1 == t->page_count) {
            add(c, x, n, NULL, NULL, 0);
            distinct += n;
            n = 0;
        }
    }
    return distinct;
}

NS_BODY static int run(const ns_trace *t, counters *c, uint32_t *last, uint64_t *distinct, size_t *bad) {
    const int state = writes(t, c, last, bad);
    if (state == NS_FINE) *distinct = ends(t, c, last);
    return state;
}

static int run_scalar(const ns_trace *t, counters *c, uint32_t *last, uint64_t *distinct, size_t *bad) {
    return run(t, c, last, distinct, bad);
}
#ifdef NS_X86
NS_AVX2 static int run_avx2(const ns_trace *t, counters *c, uint32_t *last, uint64_t *distinct, size_t *bad) {
    return run(t, c, last, distinct, bad);
}
NS_AVX512 static int run_avx512(const ns_trace *t, counters *c, uint32_t *last, uint64_t *distinct, size_t *bad) {
    return run(t, c, last, distinct, bad);
}
#endif

int ns_footprint_lengths(const ns_trace *t, const uint32_t *windows, size_t levels, uint64_t *counts, uint64_t *sums,
                         uint64_t *distinct, size_t *bad) {
    static int (*const variants[NS_ISAS])(const ns_trace *, counters *, uint32_t *, uint64_t *, size_t *) =
        NS_VARIANTS(run_scalar, run_scalar, run_avx2, run_avx512);
    counters c;
    uint32_t *last = NULL;
    int state = prepare(&c, windows, levels) ? NS_NO_MEMORY : NS_FINE;
    if (state == NS_FINE && !(last = ns_huge_zeros((size_t)t->page_count))) state = NS_NO_MEMORY;
    if (state == NS_FINE) state = variants[ns_isa()](t, &c, last, distinct, bad);
    if (state == NS_FINE) {
        flush(&c);
        for (size_t j = 0; j <= levels; j++) {
            counts[j] = c.cells[j].count;
            sums[j] = c.cells[j].sum;
        }
    }
    free(last);
    free(c.recent);
    free(c.cells);
    return state;
}
