/* The page-exact simulator: the scan of a dirty bitmap, the bitmap's sync, the guest's writes.
 *
 * What it computes: three things about bitmaps of one bit a page, 64 pages a word.
 *
 *   scan    which pages go out next. A word whose pages all fit is sent as one, with three popcounts; the one in which the
 *           budget ends, page by page. Bytes and time are integers, so words and pages add up to the same.
 *   merge   dirty |= written, new = popcount(written & ~dirty).
 *   writes  by a counter: the i-th random number of a key is mix(key + i * golden ratio), so they can be made in any order.
 *           draw: a number u of 64 bits falls into the group with start <= u <= last, and there on page
 *           low + (u - start) / 2048 * ratio, ratio being pages a step of 2048. When it comes is another number, mix(u + golden ratio).
 *           fill: where many writes fall on each page, 64 pages at once: a page is written if a number of 32 random digits, one
 *           from each of 32 random words, is below its chance. The first digit that differs decides, so about ten words do.
 *           When the last write of a page comes: of a Poisson process of rate r in T seconds it comes in the last t of them with
 *           probability (1 - exp(-r t)) / (1 - exp(-r T)), if one comes at all.
 *           Which page a rank is, is a keyed order: a Feistel network on the rows and columns of a grid is one-to-one, and the few
 *           that fall behind the last page go round again.
 *
 * Domain: any number of pages below 2**40, in an order below 2**32; costs below 2**53. Cost: scan and merge, a few words a ns; draw, 2 to 6 ns a write;
 * fill, 0.1 ns a page, scattered some ns a page. Source of the generator: Steele, Lea, Flood, Fast splittable pseudorandom number generators (OOPSLA'14).
 */
#include "scan.h"
#include "dispatch.h"

#define GOLDEN 0x9e3779b97f4a7c15u
#define ALL (~(uint64_t)0)

/* Writes that are drawn, and words of pages that are filled, in one go. */
enum { BLOCK = 256, LANES = 8 };

static inline uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t random_at(uint64_t key, uint64_t i) { return mix(key + i * GOLDEN); }

/* The high half of a product, of four products of halves, which go side by side in a vector. */
static inline uint64_t high_product(uint64_t x, uint64_t y) {
    const uint64_t low = 0xffffffffu, x0 = x & low, x1 = x >> 32, y0 = y & low, y1 = y >> 32;
    const uint64_t middle = x1 * y0 + (x0 * y0 >> 32), other = x0 * y1 + (middle & low);
    return x1 * y1 + (middle >> 32) + (other >> 32);
}

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

/* One round of the network; a page behind the last one goes round again. */
static inline uint64_t scatter(uint64_t x, const ns_order *o) {
    /* Of whole numbers below 2**32 a quotient in doubles has the right floor. */
    uint64_t row = (uint64_t)(int64_t)((double)(int64_t)x / (double)(int64_t)o->columns), column = x - row * o->columns;
    row = shifted(row, column, o->keys[0], o->rows);
    column = shifted(column, row, o->keys[1], o->columns);
    return row * o->columns + column;
}

NS_BODY static void scatter_all(uint64_t *x, int n, const ns_order *o) {
    if (!o->rows) return;
    for (int i = 0; i < n; i++) x[i] = scatter(x[i], o);
    for (int i = 0; i < n; i++)
        while (x[i] >= o->pages) x[i] = scatter(x[i], o);
}

static inline void set(uint64_t *bits, uint64_t page) { bits[page >> 6] |= (uint64_t)1 << (page & 63); }

/* Sets the bits of n pages from `first` on, of each in `written` if it was written late (1), else (0) in `early`. Which of them is
 * chance, so it is looked up: a branch would be taken wrongly half the time. */
static inline void set_all(const ns_marks *m, int64_t first, const uint64_t *pages, const uint64_t *late, int n) {
    uint64_t *const marks[2] = {m->early, m->written};
    for (int i = 0; i < n; i++) set(marks[late[i]], (uint64_t)first + pages[i]);
}

static inline void set_late(const ns_marks *m, int64_t first, const uint64_t *pages, int n) {
    for (int i = 0; i < n; i++) set(m->written, (uint64_t)first + pages[i]);
}

NS_BODY static void draw_body(ns_marks m, int64_t first, uint64_t key, uint64_t counter, int64_t count, ns_shares t,
                              ns_order order, const uint64_t *since) {
    const uint64_t span = 0 - t.base;
    uint64_t u[BLOCK], page[BLOCK], time[BLOCK];
    for (int64_t done = 0; done < count; done += BLOCK) {
        const int n = count - done < BLOCK ? (int)(count - done) : BLOCK;
        for (int i = 0; i < n; i++) u[i] = random_at(key, counter + (uint64_t)done + (uint64_t)i);
        if (since)
            for (int i = 0; i < n; i++) time[i] = mix(u[i] + GOLDEN) >> 32;
        if (span)
            for (int i = 0; i < n; i++) u[i] = t.base + high_product(u[i], span);
        if (t.rows == 1) {
            const ns_group only = t.groups[0];
            const double ratio = t.ratios[0];
            for (int i = 0; i < n; i++)
                page[i] = only.low + (uint64_t)(int64_t)((double)(int64_t)((u[i] - only.start) >> 11) * ratio);
        } else {
            for (int i = 0; i < n; i++) {
                int64_t at = t.guide[u[i] >> t.shift];
                while (u[i] > t.groups[at].last) at++;
                const double past = (double)(int64_t)((u[i] - t.groups[at].start) >> 11) * t.ratios[at];
                page[i] = t.groups[at].low + (uint64_t)(int64_t)past;
            }
        }
        for (int i = 0; i < n; i++) page[i] = page[i] < order.pages ? page[i] : order.pages - 1; /* of a sound table all are */
        scatter_all(page, n, &order);
        if (since) {
            for (int i = 0; i < n; i++) time[i] = time[i] >= since[((uint64_t)first + page[i]) >> m.part];
            set_all(&m, first, page, time, n);
        } else
            set_late(&m, first, page, n);
    }
}

/* Of 64 pages a word, whether a number of 32 random digits is below `chance`: the first digit that differs decides. */
NS_BODY static void biased_of(uint64_t *hit, int words, uint64_t key, uint64_t counter, uint64_t stride, uint64_t chance) {
    uint64_t todo[LANES], any = 1;
    for (int w = 0; w < words; w++) hit[w] = chance >> 32 ? ALL : 0, todo[w] = ~hit[w];
    for (int digit = 31; any && digit >= 0 && chance & (((uint64_t)2 << digit) - 1) && !(chance >> 32); digit--) {
        const uint64_t one = 0 - (chance >> digit & 1);
        any = 0;
        for (int w = 0; w < words; w++) {
            const uint64_t r = random_at(key, counter + (uint64_t)w * stride + (uint64_t)digit);
            hit[w] |= todo[w] & ~r & one;
            todo[w] &= r ^ ~one;
            any |= todo[w];
        }
    }
}

NS_BODY static void biased(uint64_t *hit, int words, uint64_t key, uint64_t counter, uint64_t stride, uint64_t chance) {
    if (words == LANES) biased_of(hit, LANES, key, counter, stride, chance);
    else biased_of(hit, words, key, counter, stride, chance);
}

static inline uint64_t lowest(uint64_t n) { return n < 64 ? ((uint64_t)1 << n) - 1 : ALL; }

/* Sets 64 bits from `page` on. */
static inline void set_word(uint64_t *bits, uint64_t page, uint64_t hit) {
    const uint64_t bit = page & 63;
    if (hit) bits[page >> 6] |= hit << bit;
    if (bit && hit >> (64 - bit)) bits[(page >> 6) + 1] |= hit >> (64 - bit);
}

NS_BODY static void fill_body(ns_marks m, int64_t first, uint64_t key, uint64_t counter, const uint64_t *groups, int64_t rows) {
    uint64_t hit[LANES], late[LANES];
    for (const uint64_t *g = groups; g < groups + 4 * rows; g += 4) {
        uint64_t page = (uint64_t)first + g[0];
        for (uint64_t left = g[1]; left;) {
            const int words = left < 64 * LANES ? (int)((left + 63) / 64) : LANES;
            biased(hit, words, key, counter, 64, g[2]);
            biased(late, words, key, counter + 32, 64, g[3]);
            for (int w = 0; w < words; w++, page += 64) {
                const uint64_t all = hit[w] & lowest(left);
                set_word(m.written, page, all & late[w]);
                if (all & ~late[w]) set_word(m.early, page, all & ~late[w]);
                left -= left < 64 ? left : 64;
            }
            counter += 64 * (uint64_t)words;
        }
    }
}

/* 1 - 2**t for t <= 0, within 2.2e-12: the polynomial of gone_py.py. */
static inline double gone(double t) {
    t = t > -1022.0 ? t : -1022.0;
    const double whole = 1.5 * 0x1p52 + 1023.0, shifted_t = t + whole, f = t - (shifted_t - whole), f2 = f * f;
    const double a = (0x1.62e42fef9cc64p-1 + 0x1.ebfbdff823ce4p-3 * f) + (0x1.c6b08da70f1c7p-5 + 0x1.3b2ab7181ce01p-7 * f) * f2;
    const double b = (0x1.5d87759513548p-10 + 0x1.4308ac8236a36p-13 * f) + (0x1.00c0e6fdccd9ap-16 + 0x1.63d13adb27880p-20 * f) * f2;
    union { double value; uint64_t bits; } scale = {.value = shifted_t};
    scale.bits <<= 52;
    return (1.0 - scale.value) - scale.value * (f * (a + b * (f2 * f2)));
}

NS_BODY static void fill_scattered_body(ns_marks m, int64_t first, uint64_t key, uint64_t counter, const uint64_t *groups,
                                        const double *paces, int64_t rows, ns_order order, const double *remains) {
    const uint64_t other = mix(key);
    uint64_t hit[LANES], page[64 * LANES], late[64 * LANES];
    for (int64_t row = 0; row < rows; row++) {
        uint64_t rank = groups[3 * row];
        const uint64_t chance = groups[3 * row + 2];
        const double pace = paces[row], share = (double)(int64_t)chance * 0x1p-32;
        for (uint64_t left = groups[3 * row + 1]; left;) {
            const int words = left < 64 * LANES ? (int)((left + 63) / 64) : LANES;
            int n = 0;
            biased(hit, words, key, counter, 32, chance);
            for (int w = 0; w < words; w++) {
                for (uint64_t todo = hit[w] & lowest(left); todo; todo &= todo - 1, n++) {
                    const uint64_t bit = (uint64_t)(64 * w + __builtin_ctzll(todo));
                    page[n] = rank + bit;
                    late[n] = 2 * counter + bit;
                }
                left -= left < 64 ? left : 64;
            }
            scatter_all(page, n, &order);
            if (remains) {
                for (int i = 0; i < n; i++) {
                    const double v = (double)(int64_t)(random_at(other, late[i]) >> 11) * 0x1p-53;
                    late[i] = v * share < gone(pace * remains[((uint64_t)first + page[i]) >> m.part]);
                }
                set_all(&m, first, page, late, n);
            } else
                set_late(&m, first, page, n);
            rank += 64 * (uint64_t)words, counter += 32 * (uint64_t)words;
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
    target static void draw_##name(ns_marks m, int64_t f, uint64_t k, uint64_t c, int64_t n, ns_shares t, ns_order o, \
                                   const uint64_t *since) { \
        draw_body(m, f, k, c, n, t, o, since); \
    } \
    target static void fill_##name(ns_marks m, int64_t f, uint64_t k, uint64_t c, const uint64_t *g, int64_t n) { \
        fill_body(m, f, k, c, g, n); \
    } \
    target static void fill_scattered_##name(ns_marks m, int64_t f, uint64_t k, uint64_t c, const uint64_t *g, \
                                             const double *p, int64_t n, ns_order o, const double *left) { \
        fill_scattered_body(m, f, k, c, g, p, n, o, left); \
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

void ns_draw(ns_marks marks, int64_t first, uint64_t key, uint64_t counter, int64_t count, ns_shares shares, ns_order order,
             const uint64_t *since) {
    CHOOSE(void, draw, ns_marks, int64_t, uint64_t, uint64_t, int64_t, ns_shares, ns_order, const uint64_t *);
    variants[ns_isa()](marks, first, key, counter, count, shares, order, since);
}

void ns_fill(ns_marks marks, int64_t first, uint64_t key, uint64_t counter, const uint64_t *groups, int64_t rows) {
    CHOOSE(void, fill, ns_marks, int64_t, uint64_t, uint64_t, const uint64_t *, int64_t);
    variants[ns_isa()](marks, first, key, counter, groups, rows);
}

void ns_fill_scattered(ns_marks marks, int64_t first, uint64_t key, uint64_t counter, const uint64_t *groups, const double *paces,
                       int64_t rows, ns_order order, const double *remains) {
    CHOOSE(void, fill_scattered, ns_marks, int64_t, uint64_t, uint64_t, const uint64_t *, const double *, int64_t, ns_order,
           const double *);
    variants[ns_isa()](marks, first, key, counter, groups, paces, rows, order, remains);
}
