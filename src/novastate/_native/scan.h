/* The page-exact simulator: the scan of a dirty bitmap, the bitmap's sync, the guest's writes. See scan.c. */
#ifndef NOVASTATE_SCAN_H
#define NOVASTATE_SCAN_H
#include <stdint.h>

/* What a page may be to the one who sends it; the numbers that go with each are in this order. */
enum { NS_FIRST, NS_AGAIN, NS_BLANK, NS_DELTA, NS_KINDS };

typedef struct {
    uint64_t *dirty, *zero, *again; /* bit p & 63 of word p >> 6 is page p's; bits past the last page are 0 */
    int64_t pages;
} ns_memory;

/* What sending a page costs, by kind, and how much may be spent. Time has any unit; all below 2**53. */
typedef struct {
    const int64_t *bytes, *time;
    int64_t room, patience;
} ns_budget;

/* A direct-mapped cache of sent pages: the page in each slot (-1: none) and when it was last used. */
typedef struct {
    int64_t *page, *age;
    int64_t slots; /* a power of two */
} ns_cache;

/* A keyed order of 0 .. pages - 1, on a grid of `rows` x `columns` that is hardly larger; no rows leave them as they are. */
typedef struct {
    uint64_t pages, rows, columns, keys[2];
} ns_order;

/* One row of a table of writes: a number of start .. last falls on the pages low, low + 1, ... */
typedef struct {
    uint64_t start, last, low;
} ns_group;

/* How writes are shared out: a number from `base` on falls into one of the `rows` groups, in which a step of 2048 is `ratios` pages;
 * `guide` is the group at which to look first, by the number's bits from `shift` on. */
typedef struct {
    const ns_group *groups;
    const double *ratios;
    const int32_t *guide;
    int64_t rows;
    uint64_t base;
    int shift;
} ns_shares;

/* Where writes are marked: late ones and early ones apart, in parts of 2**part pages. */
typedef struct {
    uint64_t *written, *early;
    int part;
} ns_marks;

/* Sends dirty pages from `cursor` on, round and round, until the page that uses up room or patience has gone out, or all `left`
 * dirty pages have; adds them to `counts`. Returns the cursor: the page after the last one sent. */
int64_t ns_scan(ns_memory *memory, int64_t cursor, int64_t left, ns_budget budget, int64_t *counts);

/* The same with a cache, whose time is `now`. */
int64_t ns_scan_cached(ns_memory *memory, ns_cache cache, int64_t now, int64_t cursor, int64_t left, ns_budget budget,
                       int64_t *counts);

/* The dirty pages by kind. */
void ns_census(const ns_memory *memory, int64_t *counts);

/* Takes `written` over into the dirty pages, which are zero no more, and empties it; how many were not dirty before. */
int64_t ns_merge(ns_memory *memory, uint64_t *written);

/* Draws `count` writes, the counter-th to the (counter + count - 1)-th of the key, at any time as likely: what comes in the first
 * since / 2**32 of the time, a number for each part of the memory, is marked as early. All is late where `since` is NULL. */
void ns_draw(ns_marks marks, int64_t first, uint64_t key, uint64_t counter, int64_t count, ns_shares shares, ns_order order,
             const uint64_t *since);

/* Writes each page low .. low + size - 1 of each of the `rows` groups (low, size, chance, late) with probability chance / 2**32,
 * and of what is written late / 2**32 late. */
void ns_fill(ns_marks marks, int64_t first, uint64_t key, uint64_t counter, const uint64_t *groups, int64_t rows);

/* The same of groups (low, size, chance) of ranks: what is written comes late, in the last `remains` seconds of its part, with
 * probability (1 - 2**(pace * remains)) / (chance / 2**32). All is late where `remains` is NULL. */
void ns_fill_scattered(ns_marks marks, int64_t first, uint64_t key, uint64_t counter, const uint64_t *groups, const double *paces,
                       int64_t rows, ns_order order, const double *remains);

/* Writes these pages. */
void ns_mark(uint64_t *written, const int64_t *pages, int64_t count);
#endif
