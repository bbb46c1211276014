/* The page-exact simulator: the scan of a dirty bitmap, the bitmap's sync, the guest's writes.
 *
 * What it computes: three things about bitmaps of one bit a page, 64 pages a word.
 *
 *   scan    which pages go out next. A word whose pages all fit is sent as one, with three popcounts; the one in which the
 *           budget ends, page by page. Bytes and time are integers, so words and pages add up to the same.
 *   merge   dirty |= written, new = popcount(written & ~dirty).
 *   writes  by a counter: the i-th random number of a key is mix(key + i * golden ratio), so they can be made in any order.
 *           draw: a number u of 64 bits falls into the group with start <= u <= last, and there on page
 *           low + (u - start) / 2048 * ratio, ratio being pages a step of 2048.
 *           fill: where many writes fall on each page, 64 pages at once: if the bits of x are 1 with probability q, those of
 *           (x | r) are with 1/2 + q/2, those of (x & r) with q/2, r random. So 32 random words, one a binary digit of the chance,
 *           make 64 pages; what is left of a group is compared page by page.
 *           Which page a rank is, is a keyed order: a Feistel network on the rows and columns of a grid is one-to-one, and the few
 *           that fall behind the last page go round again.
 *
 * Domain: any number of pages below 2**40, in an order below 2**32; costs below 2**53. Cost: scan and merge, a few words a ns; draw, 5 to 12 ns a write;
 * fill, 1 to 3 ns a page. Source of the generator: Steele, Lea, Flood, Fast splittable pseudorandom number generators (OOPSLA'14).
 */
#include "scan.h"
#include "dispatch.h"

#define GOLDEN 0x9e3779b97f4a7c15u
#define ALL (~(uint64_t)0)

static inline uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t random_at(uint64_t key, uint64_t i) { return mix(key + i * GOLDEN); }

static inline uint64_t high_product(uint64_t x, uint64_t y) { return (uint64_t)(((unsigned __int128)x * y) >> 64); }

/* --- the scan */

NS_BODY static int64_t scan_body(ns_memory *m, int64_t cursor, int64_t left, ns_budget budget, int64_t *counts) {
    const int64_t words = (m->pages + 63) / 64;
    const int64_t *size = budget.bytes, *cost = budget.time;
    int64_t bytes = 0, time = 0, at, sent[NS_KINDS] = {0, 0, 0, 0};
    if (cursor >= m->pages) cursor = 0;
    uint64_t mask = ALL << (cursor & 63);
    at = cursor >> 6;
    for (int64_t step = 0; step <= words && left > 0; step++) {
        uint64_t todo = m->dirty[at] & mask, gone = 0;
        mask = ALL;
        if (todo) {
            const uint64_t blank = todo & m->zero[at], old = todo & m->again[at] & ~blank;
            const int64_t all = __builtin_popcountll(todo), blanks = __builtin_popcountll(blank);
            const int64_t olds = __builtin_popcountll(old), news = all - blanks - olds;
            const int64_t more = news * size[NS_FIRST] + olds * size[NS_AGAIN] + blanks * size[NS_BLANK];
            const int64_t longer = news * cost[NS_FIRST] + olds * cost[NS_AGAIN] + blanks * cost[NS_BLANK];
            if (bytes + more < budget.room && time + longer < budget.patience) {
                bytes += more, time += longer, gone = todo, left -= all;
                sent[NS_FIRST] += news, sent[NS_AGAIN] += olds, sent[NS_BLANK] += blanks;
            } else {
                do {
                    const uint64_t bit = todo & -todo;
                    const int kind = (blank & bit) ? NS_BLANK : (old & bit) ? NS_AGAIN : NS_FIRST;
                    bytes += size[kind], time += cost[kind], sent[kind]++, left--;
                    gone |= bit, todo ^= bit;
                } while (todo && bytes < budget.room && time < budget.patience);
            }
            m->dirty[at] &= ~gone;
            m->again[at] |= gone;
            cursor = at * 64 + 64 - __builtin_clzll(gone);
            if (bytes >= budget.room || time >= budget.patience) break;
        }
        if (++at == words) at = 0;
    }
    for (int kind = 0; kind < NS_KINDS; kind++) counts[kind] += sent[kind];
    return cursor;
}

int64_t ns_scan_cached(ns_memory *m, ns_cache cache, int64_t now, int64_t cursor, int64_t left, ns_budget budget,
                       int64_t *counts) {
    const int64_t words = (m->pages + 63) / 64;
    int64_t bytes = 0, time = 0, at;
    if (cursor >= m->pages) cursor = 0;
    uint64_t mask = ALL << (cursor & 63);
    at = cursor >> 6;
    for (int64_t step = 0; step <= words && left > 0; step++) {
        for (uint64_t todo = m->dirty[at] & mask; todo; todo &= todo - 1) {
            const uint64_t bit = todo & -todo;
            const int64_t page = at * 64 + __builtin_ctzll(todo), slot = page & (cache.slots - 1);
            int kind = (m->zero[at] & bit) ? NS_BLANK : (m->again[at] & bit) ? NS_AGAIN : NS_FIRST;
            if (kind != NS_BLANK) {
                /* A page that was used in this round or the one before keeps its slot. */
                if (cache.page[slot] == page) {
                    kind = NS_DELTA;
                    cache.age[slot] = now;
                } else if (cache.page[slot] < 0 || cache.age[slot] + 2 <= now) {
                    cache.page[slot] = page;
                    cache.age[slot] = now;
                }
            }
            bytes += budget.bytes[kind], time += budget.time[kind], counts[kind]++, left--;
            m->dirty[at] &= ~bit;
            m->again[at] |= bit;
            cursor = page + 1;
            if (bytes >= budget.room || time >= budget.patience) return cursor;
        }
        mask = ALL;
        if (++at == words) at = 0;
    }
    return cursor;
}

NS_BODY static void census_body(const ns_memory *m, int64_t *counts) {
    const int64_t words = (m->pages + 63) / 64;
    int64_t all = 0, blanks = 0, olds = 0;
    for (int64_t i = 0; i < words; i++) {
        const uint64_t todo = m->dirty[i], blank = todo & m->zero[i];
        all += __builtin_popcountll(todo);
        blanks += __builtin_popcountll(blank);
        olds += __builtin_popcountll(todo & m->again[i] & ~blank);
    }
    counts[NS_FIRST] = all - blanks - olds, counts[NS_AGAIN] = olds, counts[NS_BLANK] = blanks, counts[NS_DELTA] = 0;
}

NS_BODY static int64_t merge_body(ns_memory *m, uint64_t *written) {
    const int64_t words = (m->pages + 63) / 64;
    int64_t fresh = 0;
    for (int64_t i = 0; i < words; i++) {
        const uint64_t now = written[i];
        if (!now) continue;
        fresh += __builtin_popcountll(now & ~m->dirty[i]);
        m->dirty[i] |= now;
        m->zero[i] &= ~now;
        written[i] = 0;
    }
    return fresh;
}

/* --- the writes */

/* (x + something that y decides) modulo n, for x < n. */
static inline uint64_t shifted(uint64_t x, uint64_t y, uint64_t key, uint64_t n) {
    x += (((y + key) * GOLDEN >> 32) * n) >> 32;
    return x >= n ? x - n : x;
}

static inline uint64_t scatter(uint64_t x, ns_order o) {
    if (!o.rows) return x;
    uint64_t row = (uint32_t)x / (uint32_t)o.columns, column = x - row * o.columns;
    do {
        row = shifted(row, column, o.keys[0], o.rows);
        column = shifted(column, row, o.keys[1], o.columns);
        x = row * o.columns + column;
    } while (x >= o.pages);
    return x;
}

static inline void set(uint64_t *bits, uint64_t page) { bits[page >> 6] |= (uint64_t)1 << (page & 63); }

NS_BODY static void draw_body(uint64_t *written, int64_t first, uint64_t key, uint64_t counter, int64_t count,
                              uint64_t base, const ns_group *groups, const double *ratios, const int32_t *guide,
                              int shift, ns_order order) {
    const uint64_t span = 0 - base;
    for (int64_t i = 0; i < count; i++) {
        uint64_t u = random_at(key, counter + (uint64_t)i);
        if (span) u = base + high_product(u, span);
        int64_t at = guide[u >> shift];
        while (u > groups[at].last) at++;
        const double past = (double)(int64_t)((u - groups[at].start) >> 11) * ratios[at];
        uint64_t rank = groups[at].low + (uint64_t)(int64_t)past;
        if (rank >= order.pages) rank = order.pages - 1; /* of a sound table none is */
        set(written, (uint64_t)first + scatter(rank, order));
    }
}

/* 64 bits, each 1 with probability chance / 2**32, from 32 random words. */
static inline uint64_t biased(uint64_t key, uint64_t counter, uint64_t chance) {
    if (chance >> 32) return ALL;
    uint64_t x = 0;
    if (chance)
        for (int digit = __builtin_ctzll(chance); digit < 32; digit++) {
            const uint64_t r = random_at(key, counter + (uint64_t)digit);
            x = (chance >> digit) & 1 ? x | r : x & r;
        }
    return x;
}

NS_BODY static void fill_body(uint64_t *written, int64_t first, uint64_t key, uint64_t counter, const uint64_t *groups,
                              int64_t rows, ns_order order) {
    for (int64_t row = 0; row < rows; row++, groups += 3) {
        uint64_t rank = groups[0], left = groups[1];
        const uint64_t chance = groups[2];
        for (; left; rank += 64) {
            const uint64_t n = left < 64 ? left : 64;
            uint64_t hit = 0;
            if (n == 64) {
                hit = biased(key, counter, chance);
                counter += 32;
            } else {
                for (uint64_t bit = 0; bit < n; bit++)
                    hit |= (uint64_t)((random_at(key, counter + bit) >> 32) < chance) << bit;
                counter += n;
            }
            left -= n;
            if (order.rows) {
                for (; hit; hit &= hit - 1)
                    set(written, (uint64_t)first + scatter(rank + (uint64_t)__builtin_ctzll(hit), order));
            } else if (hit) {
                const uint64_t page = (uint64_t)first + rank, bit = page & 63;
                written[page >> 6] |= hit << bit;
                if (bit && hit >> (64 - bit)) written[(page >> 6) + 1] |= hit >> (64 - bit);
            }
        }
    }
}

void ns_mark(uint64_t *written, const int64_t *pages, int64_t count) {
    for (int64_t i = 0; i < count; i++) set(written, (uint64_t)pages[i]);
}

/* --- one function a level */

#define LEVEL(name, target) \
    target static int64_t scan_##name(ns_memory *m, int64_t cursor, int64_t left, ns_budget budget, int64_t *counts) { \
        return scan_body(m, cursor, left, budget, counts); \
    } \
    target static void census_##name(const ns_memory *m, int64_t *counts) { census_body(m, counts); } \
    target static int64_t merge_##name(ns_memory *m, uint64_t *written) { return merge_body(m, written); } \
    target static void draw_##name(uint64_t *w, int64_t f, uint64_t k, uint64_t c, int64_t n, uint64_t b, \
                                   const ns_group *g, const double *r, const int32_t *guide, int s, ns_order o) { \
        draw_body(w, f, k, c, n, b, g, r, guide, s, o); \
    } \
    target static void fill_##name(uint64_t *w, int64_t f, uint64_t k, uint64_t c, const uint64_t *g, int64_t n, \
                                   ns_order o) { \
        fill_body(w, f, k, c, g, n, o); \
    }

LEVEL(scalar, )
#ifdef NS_X86
LEVEL(avx2, NS_AVX2)
LEVEL(avx512, NS_AVX512)
#endif

#define CHOOSE(result, name, ...) \
    static result (*const variants[NS_ISAS])(__VA_ARGS__) = \
        NS_VARIANTS(name##_scalar, name##_scalar, name##_avx2, name##_avx512)

int64_t ns_scan(ns_memory *memory, int64_t cursor, int64_t left, ns_budget budget, int64_t *counts) {
    CHOOSE(int64_t, scan, ns_memory *, int64_t, int64_t, ns_budget, int64_t *);
    return variants[ns_isa()](memory, cursor, left, budget, counts);
}

void ns_census(const ns_memory *memory, int64_t *counts) {
    CHOOSE(void, census, const ns_memory *, int64_t *);
    variants[ns_isa()](memory, counts);
}

int64_t ns_merge(ns_memory *memory, uint64_t *written) {
    CHOOSE(int64_t, merge, ns_memory *, uint64_t *);
    return variants[ns_isa()](memory, written);
}

void ns_draw(uint64_t *written, int64_t first, uint64_t key, uint64_t counter, int64_t count, uint64_t base,
             const ns_group *groups, const double *ratios, const int32_t *guide, int shift, ns_order order) {
    CHOOSE(void, draw, uint64_t *, int64_t, uint64_t, uint64_t, int64_t, uint64_t, const ns_group *, const double *,
           const int32_t *, int, ns_order);
    variants[ns_isa()](written, first, key, counter, count, base, groups, ratios, guide, shift, order);
}

void ns_fill(uint64_t *written, int64_t first, uint64_t key, uint64_t counter, const uint64_t *groups, int64_t rows,
             ns_order order) {
    CHOOSE(void, fill, uint64_t *, int64_t, uint64_t, uint64_t, const uint64_t *, int64_t, ns_order);
    variants[ns_isa()](written, first, key, counter, groups, rows, order);
}
