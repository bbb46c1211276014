/* Forecasts of a column of guests: the pre-copy recursion, a guest in each lane of a SIMD register.
 *
 * What it computes, the formulas, the domain and the sources stand at the head of fleet_py.py, the twin, whose operations
 * and their order are kept here one by one, in every variant: results are equal to the last bit (built with
 * -ffp-contract=off; exp is the twin's polynomial).
 *
 * How: rows come in W at a time, beside each other: their first pass, first sync (first_pass) and first steps, in which most
 * calm guests end. What is left takes free lanes of one group that goes round (take). A step is a run of slots, then one
 * slot, or half of it, then a sync of the lanes that are due (step). What ends beside each other is written at once, the
 * rest a block at a time (end, hand_out). A lane's numbers depend on its own row only, whoever its neighbours are.
 * Written once, in fleet_turn.h, fleet_group.h, fleet_first.h and fleet_rounds.h, in words that fleet_lanes.h defines for
 * each instruction set.
 *
 * Cost: of 8 lanes at 3 classes a first pass some 1300 instructions, a step 900; calm guests take one or two. State is
 * some 300 kB of stack; no allocation, no global.
 */
#include "fleet.h"
#include "precopy.h"
#include "dispatch.h"
#include <math.h>
#include <string.h>

enum { CLASSES = NS_FLEET_MAX_CLASSES, SEGMENTS = NS_PRECOPY_SEGMENTS, BLOCK = 64 };
enum { OPENING = 2 /* steps of the rows that come in */, SOON = 32 /* rows from those to what is fetched */ };
enum { CONVERGES = 0, TIMES_OUT = 1, NEVER = 2 };
#define SLOT 0.1
#define TURN 0.05
#define HEADER 8.0
#define WIRE_ZERO 9.0
#define FLUSH 32.0
#define GIB 1073741824.0
#define UNLIMITED 1e300
#define MOST_STEPS 20000
#define MOST_SYNCS 2000.0
#define STRETCH 32.0
#define LN2 0x1.62e42fefa39efp-1
#define LOG2E 0x1.71547652b82fep0
#define WHOLE (0x1.8p52 + 1023.0)
/* (2^f - 1) / f for |f| <= 1/2: 2^f within 2.2e-12. */
#define Q0 0x1.62e42fef9cc64p-1
#define Q1 0x1.ebfbdff823ce4p-3
#define Q2 0x1.c6b08da70f1c7p-5
#define Q3 0x1.3b2ab7181ce01p-7
#define Q4 0x1.5d87759513548p-10
#define Q5 0x1.4308ac8236a36p-13
#define Q6 0x1.00c0e6fdccd9ap-16
#define Q7 0x1.63d13adb27880p-20
/* What a lane keeps of its row. */
enum {
    THROTTLING, INITIAL, INCREMENT, MOST, TRIGGER, TAILSLOW, LOST, WAKE, PAGE, /* only where guests are throttled */
    WIRE, IWIRE, FIRST, IFIRST, AGAIN, IAGAIN, BLANK, IBLANK, SWITCHOVER, POSTCOPY, BEGIN, DEVICE, /* as far as here of page, line and rules */
    QUOTA, DTP, PER_FIRST, IPER_FIRST, FULL_FIRST, PER, IPER, FULL, FRONT, ZERO, TAIL, TAIL_ZERO, NOW, SLOT_AT, SLOT_SENT, SENT,
    THETA, AHEAD, TIMEOUT,
    CHUNKS, UNSENT, /* only where memory is watched anew in parts */ BUSY, /* only where guests are throttled */ FIELDS
};

/* Rows that are done and not yet written, in the order in which they came to their end. */
enum { ROW, TOTAL, PAUSE, BYTES, WOULD, SYNCS, PERCENT, LEFT, RESULTS };
typedef struct {
    size_t have;
    double lane[RESULTS][BLOCK + 8];
} finished;

/* Writes them where they belong. */
static void hand_out(finished *d, const ns_fleet_result *out) {
    for (size_t l = 0; l < d->have; l++) {
        const size_t i = (size_t)(int64_t)d->lane[ROW][l];
        const double total = d->lane[TOTAL][l], would = d->lane[WOULD][l];
        out->verdict[i] = total < INFINITY ? CONVERGES : would < INFINITY ? TIMES_OUT : NEVER;
        out->total[i] = total;
        out->downtime[i] = d->lane[PAUSE][l];
        out->transferred[i] = d->lane[BYTES][l];
        out->unlimited[i] = would;
        out->syncs[i] = (int32_t)d->lane[SYNCS][l];
        out->throttle[i] = (uint8_t)d->lane[PERCENT][l];
        out->pending[i] = d->lane[LEFT][l];
    }
    d->have = 0;
}

static inline double least(double a, double b) { return b < a ? b : a; }
static inline double greatest(double a, double b) { return b > a ? b : a; }
static inline double pow2_scalar(double whole) {
    uint64_t word;
    memcpy(&word, &whole, sizeof word);
    word <<= 52;
    memcpy(&whole, &word, sizeof whole);
    return whole;
}

#define LANES 0
#define TARGET
#include "fleet_lanes.h"
#include "fleet_turn.h"
#include "fleet_group.h"
#include "fleet_first.h"
#include "fleet_rounds.h"
#undef LANES
#undef TARGET
#if NS_X86
#define LANES 4
#define TARGET NS_AVX2
#include "fleet_lanes.h"
#include "fleet_turn.h"
#include "fleet_group.h"
#include "fleet_first.h"
#include "fleet_rounds.h"
#undef LANES
#undef TARGET
#define LANES 8
#define TARGET NS_AVX512
#include "fleet_lanes.h"
#include "fleet_turn.h"
#include "fleet_group.h"
#include "fleet_first.h"
#include "fleet_rounds.h"
#undef LANES
#undef TARGET
#endif

void ns_fleet_run(const ns_fleet *fleet, const ns_fleet_result *out) {
    static void (*const variants[NS_ISAS])(const ns_fleet *, const ns_fleet_result *) =
        NS_VARIANTS(run_scalar, run_scalar, run_avx2, run_avx512);
    variants[ns_isa()](fleet, out);
}
