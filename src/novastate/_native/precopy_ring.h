/* The ring of the pre-copy kernel: what of the memory is unsent, by class, from the scan's position on. See ring_py.py, the twin. */
#ifndef NOVASTATE_PRECOPY_RING_H
#define NOVASTATE_PRECOPY_RING_H
#include "precopy_fields.h"
#include <stdint.h>
#include <string.h>

enum { SEGMENTS = NS_PRECOPY_SEGMENTS, CLASSES = NS_PRECOPY_MAX_CLASSES, ARCS = 8 };

/* What is unsent. The segments are [head, head + n) of the arrays; send() pops at the head, sync() pushes. */
typedef struct {
    size_t k, head, n;
    double chunks, size[CLASSES], rate[CLASSES], held[CLASSES], passed[CLASSES];
    int ordered[CLASSES], arcs[CLASSES];
    double at[CLASSES], arc[CLASSES][2 * ARCS];
    double width[2 * SEGMENTS], mass[2 * SEGMENTS];
    double dens[2 * SEGMENTS][CLASSES];
    double behind, dirty;
} ring;

static void ring_start(ring *r, const double *classes, size_t k, double chunks, double phase) {
    r->k = k;
    r->chunks = chunks;
    r->head = r->n = 0;
    for (size_t i = 0; i < k; i++) {
        r->size[i] = classes[3 * i];
        r->rate[i] = classes[3 * i + 1];
        r->ordered[i] = classes[3 * i + 2] > 0.0;
        r->held[i] = r->passed[i] = 0.0;
        r->arcs[i] = 0;
        r->at[i] = r->ordered[i] ? phase * r->size[i] : 0.0;
    }
    r->behind = 1.0;
    r->dirty = 0.0;
}

static void ring_push(ring *r, double width, double dens) {
    if (r->head + r->n == 2 * SEGMENTS) { /* at most SEGMENTS live: move them to the front */
        memmove(r->width, r->width + r->head, r->n * sizeof *r->width);
        memmove(r->mass, r->mass + r->head, r->n * sizeof *r->mass);
        memmove(r->dens, r->dens + r->head, r->n * sizeof *r->dens);
        r->head = 0;
    }
    size_t at = r->head + r->n++;
    r->width[at] = width;
    r->mass[at] = 0.0;
    for (size_t i = 0; i < r->k; i++) r->dens[at][i] = dens;
}

static void ring_sum(ring *r) {
    double dirty = 0.0;
    for (size_t j = r->head; j < r->head + r->n; j++) dirty = dirty + r->mass[j];
    for (size_t i = 0; i < r->k; i++) dirty = dirty + r->held[i];
    r->dirty = dirty;
}

/* Makes the arc of class `i` from `low` to `high` unsent. */
static void ring_lay(ring *r, size_t i, double low, double high) {
    double *arc = r->arc[i];
    const int n = r->arcs[i];
    int first = 0;
    if (!(low < high)) return;
    while (first < n && arc[2 * first + 1] < low) first++;
    int last = first;
    for (; last < n && arc[2 * last] <= high; last++) {
        low = least(low, arc[2 * last]);
        high = greatest(high, arc[2 * last + 1]);
    }
    if (first == last && n == ARCS) {
        if (first > 0)
            arc[2 * first - 1] = high;
        else
            arc[0] = low;
        return;
    }
    memmove(arc + 2 * (first + 1), arc + 2 * last, (size_t)(2 * (n - last)) * sizeof *arc);
    arc[2 * first] = low;
    arc[2 * first + 1] = high;
    r->arcs[i] = n - (last - first) + 1;
}

static void ring_count(ring *r, size_t i) {
    double held = 0.0;
    for (int j = 0; j < r->arcs[i]; j++) held = held + (r->arc[i][2 * j + 1] - r->arc[i][2 * j]);
    r->held[i] = held;
}

/* The writer of class `i` goes on for `pages`, of which the share `found` is seen, the last ones. */
static void ring_write(ring *r, size_t i, double pages, double found) {
    const double n = r->size[i], at = r->at[i], length = least(pages * found, n);
    double end = at + pages;
    if (length >= n || end >= n + n || pages >= n) {
        end = fmod(end, n);
        if (length >= n) {
            r->arcs[i] = 0;
            ring_lay(r, i, 0.0, n);
        } else if (length > end) {
            ring_lay(r, i, end - length + n, n);
            ring_lay(r, i, 0.0, end);
        } else
            ring_lay(r, i, end - length, end);
    } else {
        const double low = found >= 1.0 ? at : end - length;
        if (end <= n)
            ring_lay(r, i, low, end);
        else {
            ring_lay(r, i, low, n);
            ring_lay(r, i, greatest(0.0, low - n), end - n);
            end = end - n;
        }
    }
    r->at[i] = end;
    ring_count(r, i);
}

/* The scan sends `n` of the unsent pages of class `i`, or all. */
static void ring_pass(ring *r, size_t i, double n, int all) {
    double *arc = r->arc[i], moved = 0.0;
    const int count = r->arcs[i];
    int gone = 0;
    while (gone < count && (all || arc[2 * gone + 1] - arc[2 * gone] <= n)) {
        n = n - (arc[2 * gone + 1] - arc[2 * gone]);
        moved = arc[2 * gone + 1];
        gone++;
    }
    if (gone < count && n > 0.0) {
        moved = arc[2 * gone] + n;
        arc[2 * gone] = moved;
    }
    for (int j = 2 * gone; j < 2 * count; j++) arc[j - 2 * gone] = arc[j] - moved;
    r->arcs[i] = count - gone;
    r->at[i] = r->at[i] - moved;
    if (r->at[i] < 0.0) r->at[i] = r->at[i] + r->size[i];
    ring_count(r, i);
}

/* Where the writers in sequence are, seen from the scan: the sum of the distances. */
static inline double ring_place(const ring *r) {
    double place = 0.0;
    for (size_t i = 0; i < r->k; i++) place = place + r->at[i];
    return place;
}

static void ring_begin(ring *r, double behind, const double *held) {
    behind = least(greatest(behind, 0.0), 1.0);
    for (size_t i = 0; i < r->k; i++) {
        double n = r->size[i];
        if (n <= 0.0) continue;
        if (r->ordered[i]) {
            r->held[i] = least(held[i], n);
            if (r->held[i] > 0.0) { /* those that were written last */
                ring_lay(r, i, 0.0, r->held[i]);
                r->at[i] = r->held[i];
            }
        } else
            behind = least(behind, 1.0 - least(held[i] / n, 1.0));
    }
    double width = 1.0 - behind;
    if (width > 0.0) {
        ring_push(r, width, 0.0);
        double mass = 0.0;
        for (size_t i = 0; i < r->k; i++) {
            double n = r->size[i];
            if (n > 0.0 && !r->ordered[i]) {
                r->dens[0][i] = least(least(held[i] / n, 1.0) / width, 1.0);
                mass = mass + n * width * r->dens[0][i];
            }
        }
        r->mass[0] = mass;
        r->behind = behind;
        for (size_t i = 0; i < r->k; i++) r->passed[i] = behind * r->dens[0][i];
    }
    ring_sum(r);
}

/* All that was passed since the last sync was unsent: the first pass. */
static void ring_arm(ring *r) {
    for (size_t i = 0; i < r->k; i++) r->passed[i] = 1.0;
}

static double ring_sync(ring *r, double span, double factor, double ahead) {
    if (ahead > 0.0 && r->n == 0 && r->behind > 0.0) {
        ring_push(r, ahead, 1.0);
        for (size_t i = 0; i < r->k; i++)
            if (r->ordered[i]) {
                r->dens[r->head][i] = 0.0;
                ring_lay(r, i, 0.0, r->size[i] * ahead);
                ring_count(r, i);
            }
        r->behind = r->behind - ahead;
    }
    size_t fresh_at = SIZE_MAX; /* the segment of what was passed since the last sync */
    const double share = r->behind;
    if (r->behind > 0.0) {
        if (r->n == SEGMENTS) {
            size_t last = r->head + r->n - 1;
            double old = r->width[last];
            r->width[last] = old + r->behind;
            for (size_t i = 0; i < r->k; i++) r->dens[last][i] = r->dens[last][i] * (old / r->width[last]);
        } else {
            ring_push(r, r->behind, 0.0);
            fresh_at = r->head + r->n - 1;
        }
        r->behind = 0.0;
    }
    double fresh_all = 0.0;
    size_t end = r->head + r->n;
    for (size_t j = r->head; j < end; j++) r->mass[j] = 0.0;
    for (size_t i = 0; i < r->k; i++) {
        double n = r->size[i];
        if (n <= 0.0) continue;
        if (r->ordered[i]) {
            const double found =
                r->chunks > 1.0 && r->passed[i] > 0.0 ? 1.0 - r->passed[i] * (0.5 - 0.5 / r->chunks) : 1.0;
            r->passed[i] = 0.0;
            const double before = r->held[i];
            ring_write(r, i, r->rate[i] * factor * span, found);
            fresh_all = fresh_all + (r->held[i] - before);
            continue;
        }
        double hit = 1.0 - exp(-r->rate[i] * factor * span / n), late = hit;
        if (r->chunks > 1.0 && share > 0.0 && r->passed[i] > 0.0 && hit > 0.0) {
            double parts = greatest(1.0, r->chunks * share);
            double step = -expm1(-r->rate[i] * factor * span / n / parts);
            double armed = 1.0 - (1.0 - step) * hit / (parts * step);
            late = hit - least(1.0, r->passed[i] / share) * (hit - least(hit, greatest(0.0, armed)));
        }
        r->passed[i] = 0.0;
        for (size_t j = r->head; j < end; j++) {
            double dens = r->dens[j][i];
            double fresh = (1.0 - dens) * (j == fresh_at ? late : hit);
            dens = dens + fresh;
            r->dens[j][i] = dens;
            r->mass[j] = r->mass[j] + n * r->width[j] * dens;
            fresh_all = fresh_all + n * r->width[j] * fresh;
        }
    }
    ring_sum(r);
    return fresh_all;
}

static void ring_send(ring *r, double n) {
    double share = r->dirty > 0.0 ? n / r->dirty : 1.0;
    share = least(share, 1.0);
    double due = n;
    for (size_t i = 0; i < r->k; i++) {
        if (!(r->held[i] > 0.0)) continue;
        due = due - r->held[i] * share;
        ring_pass(r, i, r->held[i] * share, share >= 1.0);
    }
    while (r->n) {
        size_t j = r->head;
        if (share < 1.0 && r->mass[j] > due) {
            double part = due > 0.0 ? due / r->mass[j] : 0.0;
            for (size_t i = 0; i < r->k; i++) r->passed[i] = r->passed[i] + r->width[j] * part * r->dens[j][i];
            r->behind = r->behind + r->width[j] * part;
            r->width[j] = r->width[j] * (1.0 - part);
            r->mass[j] = r->mass[j] * (1.0 - part);
            break;
        }
        due = due - r->mass[j];
        for (size_t i = 0; i < r->k; i++) r->passed[i] = r->passed[i] + r->width[j] * r->dens[j][i];
        r->behind = r->behind + r->width[j];
        r->head++;
        r->n--;
    }
    ring_sum(r);
}
#endif
