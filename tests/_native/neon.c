/* Every instruction set of this processor gives what plain C gives. For processors that the Python tests do not run on:
 * tools/neon.sh compiles this for aarch64 and runs it under qemu. */
#include "bitmaps.h"
#include "dispatch.h"
#include "footprint.h"
#include "tables.h"
#include <stdio.h>
#include <string.h>

enum { ROWS = 140, WORDS = 1100, SUMS = 8 + 11 };

static uint64_t state = 1;

static uint64_t next(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state ^ state >> 29;
}

typedef struct {
    uint64_t sums[SUMS], merged, counted, out[WORDS];
    uint8_t chosen[1000], moved[1000];
    uint64_t counts[4], lengths[4], distinct;
} results;

static void run(results *r, const uint64_t *bits, const uint32_t *pages) {
    const uint32_t windows[3] = {1, 50, 700};
    uint8_t table[256], codes[1000];
    size_t bad = 0;
    memset(r, 0, sizeof *r);
    for (int i = 0; i < 256; i++) table[i] = (uint8_t)(i * 7);
    for (int i = 0; i < 1000; i++) codes[i] = (uint8_t)pages[i];
    ns_bitmaps_sums(bits, ROWS, WORDS, 8, r->sums);
    ns_bitmaps_sums(bits, ROWS, WORDS - 1, 11, r->sums + 8);
    memcpy(r->out, bits, sizeof r->out);
    r->merged = ns_bitmaps_merge(r->out, bits + WORDS, WORDS - 1);
    r->counted = ns_bitmaps_count(bits, WORDS - 1);
    ns_footprint_choose(NULL, 5, 1000, 3, UINT64_MAX / 3, r->chosen);
    const ns_trace trace = {pages, NULL, NS_U32, NS_NONE, 1000, 0, 1, 512, 1000};
    ns_footprint_lengths(&trace, windows, 3, r->counts, r->lengths, &r->distinct, &bad);
    ns_translate(table, codes, r->moved, 1000);
}

int main(void) {
    static uint64_t bits[ROWS * WORDS];
    static uint32_t pages[1000];
    static results plain, other;
    const char *name;
    int wrong = 0;
    for (size_t i = 0; i < ROWS * WORDS; i++) bits[i] = next() & next() & next();
    for (size_t i = 0; i < 1000; i++) pages[i] = (uint32_t)(next() >> 40) % 512;
    ns_isa_force("scalar");
    run(&plain, bits, pages);
    for (size_t i = 0; (name = ns_isa_variant(i)) != NULL; i++) {
        ns_isa_force(name);
        run(&other, bits, pages);
        const int equal = !memcmp(&plain, &other, sizeof plain);
        printf("%s: %s\n", name, equal ? "as plain C" : "DIFFERENT");
        wrong |= !equal;
    }
    return wrong;
}
