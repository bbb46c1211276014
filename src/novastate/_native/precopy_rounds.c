/* The pre-copy kernel's second family: whole rounds, and a budget for the pause.
 *
 * What it computes, the formulas, the domain and the sources stand at the head of rounds_py.py, the twin, whose operations
 * and their order are kept here one by one: results are equal to the last bit.
 *
 * Cost: one exp() a class and round, at most NS_PRECOPY_SYNCS rounds. No allocation, no global.
 */
#include "precopy_fields.h"

size_t ns_precopy_rounds(const ns_precopy_scenario *s, const double *classes, size_t k, const double *member,
                         const double *start, double *out, double *rounds, size_t capacity) {
    const double page = s->page, wire = s->wire, deadline = s->deadline;
    double first = s->first, again = s->again;
    if (s->quota > 0.0) {
        first = greatest(first, wire * s->slot / s->quota);
        again = greatest(again, wire * s->slot / s->quota);
    }
    double left = s->pages, dirty = 0, synced = 0;
    int syncs = 1;
    if (start != NULL) {
        const ns_precopy_start *b = (const ns_precopy_start *)start;
        left = b->left;
        synced = 0.0 - b->since;
        syncs = (int)least(b->syncs, 1e9);
        for (size_t i = 0; i < k; i++) dirty = dirty + least(start[NS_PRECOPY_START_FIELDS + i], classes[3 * i]);
    }
    size_t row = 0;
    double now = 0, sent = 0, last_round = 0, marked = 0, marked_span = 0;
    int converged = 0, alike = 0;
    double lasts = left * first + dirty * again, gone = left + dirty;
    for (int done = 0; done < NS_PRECOPY_SYNCS; done++) {
        now = now + lasts;
        sent = sent + gone * wire;
        double span = now - synced;
        dirty = 0.0;
        for (size_t i = 0; i < k; i++) {
            double n = classes[3 * i];
            if (n <= 0.0) continue;
            double written = classes[3 * i + 1] * member[0] * span;
            dirty = dirty + (classes[3 * i + 2] > 0.0 ? least(written, n) : n * (1.0 - exp(-written / n)));
        }
        synced = now;
        syncs = syncs + 1;
        last_round = span;
        if (row < capacity) {
            double *at = rounds + row * NS_PRECOPY_ROUND_FIELDS;
            at[0] = greatest(0.0, now - span);
            at[1] = gone * wire;
            at[2] = dirty;
            at[3] = dirty;
            at[4] = 0.0;
            row++;
        }
        double pause = gone > 0.0 ? dirty * page * lasts / (gone * wire) : 0.0;
        if (dirty < 0.5 || (s->most_rounds <= 0.0 && pause <= s->downtime * member[1])
            || (s->most_rounds > 0.0 && (double)done >= s->most_rounds) || (deadline > 0.0 && now >= deadline)) {
            converged = 1;
            break;
        }
        alike = fabs(dirty - marked) < 0.25 && fabs(span - marked_span) < 1e-6 ? alike + 1 : 0;
        marked = dirty;
        marked_span = span;
        lasts = dirty * again;
        gone = dirty;
        if (alike >= 3 && s->most_rounds <= 0.0) {
            if (deadline <= 0.0) break;
            double skipped = greatest(0.0, floor((deadline - now) / lasts)); /* rounds that are all alike */
            now = now + skipped * lasts;
            sent = sent + skipped * (gone * wire);
            synced = now;
        }
    }
    double pause = s->device, total = now;
    if (converged) {
        pause = s->device + dirty * again;
        total = now + pause;
        sent = sent + dirty * wire;
    }
    out[0] = converged ? 0.0 : 2.0;
    out[1] = total;
    out[2] = pause;
    out[3] = sent;
    out[4] = syncs;
    out[5] = 0.0;
    out[6] = dirty;
    out[7] = last_round;
    return row;
}
