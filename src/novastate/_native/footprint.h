/* Footprints of a trace of writes, and pages that are chosen by hash. See footprint.c and footprint_choose.c. */
#ifndef NOVASTATE_FOOTPRINT_H
#define NOVASTATE_FOOTPRINT_H
#include <stddef.h>
#include <stdint.h>

/* What the numbers of a column are. */
enum { NS_NONE, NS_U32, NS_I32, NS_U64, NS_F64 };

/* Why a trace is refused. */
enum { NS_FINE, NS_BAD_PAGE, NS_BAD_TIME, NS_NO_MEMORY };

typedef struct {
    const void *pages, *times; /* n of each; times may be NULL: write i is in slot i */
    int page_type, time_type;
    size_t n;
    double start, rate; /* a time t is in slot floor((t - start) * rate) */
    uint64_t page_count; /* below 2^32; a table of so many numbers is made */
    uint64_t slots;      /* below 2^32 - 1 */
} ns_trace;

/* The free lengths of a trace: of the slots between two writes of a page, before its first and after its last, each one more
 * than the slots it has. counts[j] and sums[j] are how many there are above windows[j-1] and not above windows[j], and what they
 * add up to; j <= levels, and windows rises. `distinct` is the number of pages. *bad says which write was refused. */
int ns_footprint_lengths(const ns_trace *trace, const uint32_t *windows, size_t levels, uint64_t *counts, uint64_t *sums,
                         uint64_t *distinct, size_t *bad);

/* chosen[i] = whether the hash of page i is below `limit`; pages NULL: page i is first + i. */
void ns_footprint_choose(const uint64_t *pages, uint64_t first, size_t n, uint64_t seed, uint64_t limit, uint8_t *chosen);
#endif
