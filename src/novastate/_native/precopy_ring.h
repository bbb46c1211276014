/* The ring of the pre-copy kernel: what of the memory is unsent, by class, from the scan's position on. See ring_py.py, the twin. */
#ifndef NOVASTATE_PRECOPY_RING_H
#define NOVASTATE_PRECOPY_RING_H
#include "precopy_fields.h"
#include <stdint.h>
#include <string.h>

enum { SEGMENTS = NS_PRECOPY_SEGMENTS, CLASSES = NS_PRECOPY_MAX_CLASSES };


/* What is unsent. The segments are [head, head + n) of the arrays; send() pops at the head, sync() pushes. */
typedef struct {
    size_t k, head, n;
    double chunks, size[CLASSES], rate[CLASSES], held[CLASSES], passed[CLASSES];
    int ordered[CLASSES];
    double width[2 * SEGMENTS], mass[2 * SEGMENTS];
    double dens[2 * SEGMENTS][CLASSES];
    double behind, dirty;
} ring;

static void ring_start(ring *r, const double *classes, size_t k, double chunks) {
    r->k = k;
    r->chunks = chunks;
    r->head = r->n = 0;
    for (size_t i = 0; i < k; i++) {
        r->size[i] = classes[3 * i];
        r->rate[i] = classes[3 * i + 1];
        r->ordered[i] = classes[3 * i + 2] > 0.0;
        r->held[i] = r->passed[i] = 0.0;
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

static void ring_begin(ring *r, double behind, const double *held) {
    behind = least(greatest(behind, 0.0), 1.0);
    for (size_t i = 0; i < r->k; i++) {
        double n = r->size[i];
        if (n <= 0.0) continue;
        if (r->ordered[i])
            r->held[i] = least(held[i], n);
        else
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
            if (r->ordered[i]) r->dens[r->head][i] = 0.0; /* these keep a plain count */
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
            double fresh = least(r->rate[i] * factor * span, n - r->held[i]);
            if (r->chunks > 1.0 && r->passed[i] > 0.0)
                fresh = fresh * (1.0 - r->passed[i] * (0.5 - 0.5 / r->chunks));
            r->passed[i] = 0.0;
            r->held[i] = r->held[i] + fresh;
            fresh_all = fresh_all + fresh;
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
        due = due - r->held[i] * share;
        r->held[i] = r->held[i] * (1.0 - share);
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
