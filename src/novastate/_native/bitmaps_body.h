/* The bodies of the bitmap kernels, included by bitmaps.c once for each width of vectors, with these defined:
 *   NS_F(name) the variant's name of a function, NS_T its target attribute,
 *   V a vector of VW words; LOAD, STORE, ZERO, OR(a, b), OR3(a, b, c), MINUS(a, b) = a & ~b, ANY(a),
 *   TALLY(sum, a): `sum`, whose 64-bit lanes count, and the bits of `a`; TOTAL(sum) all its lanes. */

NS_T static uint64_t NS_F(merge)(uint64_t *out, const uint64_t *bits, size_t words) {
    V sum = ZERO();
    size_t i = 0;
    for (; i + VW <= words; i += VW) {
        V old = LOAD(out + i), more = LOAD(bits + i);
        V found = MINUS(more, old);
        sum = TALLY(sum, found);
        /* A union that has all of it already stays clean in the cache. */
        if (ANY(found)) STORE(out + i, OR(old, more));
    }
    uint64_t total = TOTAL(sum);
    for (; i < words; i++) {
        total += (uint64_t)__builtin_popcountll(bits[i] & ~out[i]);
        out[i] |= bits[i];
    }
    return total;
}

NS_T static uint64_t NS_F(count)(const uint64_t *bits, size_t words) {
    V sum = ZERO(), more = ZERO();
    size_t i = 0;
    for (; i + 2 * VW <= words; i += 2 * VW) {
        sum = TALLY(sum, LOAD(bits + i));
        more = TALLY(more, LOAD(bits + i + VW));
    }
    uint64_t total = TOTAL(sum) + TOTAL(more);
    for (; i < words; i++) total += (uint64_t)__builtin_popcountll(bits[i]);
    return total;
}

/* Copies one more vector of the tile that comes next, and asks for a later one: memory works while bits are counted.
 * It goes through the rows as they lie; in the tile the rows of a column of VW words lie one after the other. */
NS_T NS_BODY static void NS_F(feed)(feeder *next) {
    const size_t row = next->at / (STRIP / VW), c = next->at % (STRIP / VW);
    if (row >= next->rows) return;
    const uint64_t *from = next->row + c * VW;
    uint64_t padded[VW] = {0};
    if (row + AHEAD < next->rows) __builtin_prefetch(from + AHEAD * next->words, 0, 2);
    if ((c + 1) * VW > next->width)
        from = c * VW < next->width ? memcpy(padded, from, (next->width - c * VW) * sizeof *from) : padded;
    STORE(next->tile + (c * COLUMN_ROWS + row) * VW, LOAD(from));
    next->at++;
    if (c == STRIP / VW - 1) next->row += next->words;
}

NS_T static void NS_F(fill)(feeder *next) {
    while (next->at / (STRIP / VW) < next->rows) NS_F(feed)(next);
}

/* One column of a tile, `rows` of its bitmaps, the first being number `start`. The state of a column is the four bitmaps
 * before, then for j = 2, 4, 6 ... a ring of unions of 2^j bitmaps: four times 2^j of them, or 2^j for the last. */
NS_T NS_BODY static void NS_F(column)(
    const uint64_t *column, size_t rows, size_t start, uint64_t *state, V *sums, const int levels, const int fresh, feeder *next) {
    V sum[NS_BITMAPS_LEVELS];
    V d1 = LOAD(state), d2 = LOAD(state + VW), d3 = LOAD(state + 2 * VW), d4 = LOAD(state + 3 * VW);
    for (int j = 0; j < levels; j++) sum[j] = sums[j];
    feeder own = *next;
    for (size_t r = 0; r < rows; r++) {
        NS_F(feed)(&own);
        const V now = LOAD(column + r * VW);
        /* The unions end with this bitmap or, where fresh, with the one before it. */
        V joint = now, b1 = d1, b2 = d2, b3 = d3;
        if (fresh) joint = d1, b1 = d2, b2 = d3, b3 = d4;
        uint64_t *ring = state + 4 * VW;
#define NS_TALLY(j) if ((j) < levels) sum[j] = TALLY(sum[j], fresh ? MINUS(now, joint) : joint)
        NS_TALLY(0);
        joint = OR(joint, b1);
        NS_TALLY(1);
        joint = OR3(joint, b2, b3);
#pragma GCC unroll 8
        for (int j = 2; j < levels; j += 2) {
            const size_t size = (size_t)1 << j, mask = (j + 2 < levels ? 4 * size : size) - 1;
            const V here = joint;
            NS_TALLY(j);
            joint = OR(joint, LOAD(ring + ((start + r - size) & mask) * VW));
            NS_TALLY(j + 1);
            if (j + 2 < levels)
                joint = OR3(joint, LOAD(ring + ((start + r - 2 * size) & mask) * VW),
                            LOAD(ring + ((start + r - 3 * size) & mask) * VW));
            STORE(ring + ((start + r) & mask) * VW, here);
            ring += (mask + 1 + PAD) * VW;
        }
#undef NS_TALLY
        d4 = d3, d3 = d2, d2 = d1, d1 = now;
    }
    *next = own;
    STORE(state, d1);
    STORE(state + VW, d2);
    STORE(state + 2 * VW, d3);
    STORE(state + 3 * VW, d4);
    for (int j = 0; j < levels; j++) sums[j] = sum[j];
}

/* All columns of a tile from row `at`; adds to totals[j]. */
NS_T static void NS_F(strip)(const uint64_t *tile, size_t at, size_t rows, size_t start, uint64_t *state, int levels,
                             int fresh, uint64_t *totals, feeder *next) {
    V sums[NS_BITMAPS_LEVELS];
    for (int j = 0; j < levels; j++) sums[j] = ZERO();
    for (size_t c = 0; c < STRIP / VW; c++) {
        const uint64_t *column = tile + (c * COLUMN_ROWS + at) * VW;
        uint64_t *own = state + c * state_size(levels) * VW;
        if (levels == 8 && fresh) NS_F(column)(column, rows, start, own, sums, 8, 1, next);
        else if (levels == 8) NS_F(column)(column, rows, start, own, sums, 8, 0, next);
        else NS_F(column)(column, rows, start, own, sums, levels, fresh, next);
    }
    for (int j = 0; j < levels; j++) totals[j] += TOTAL(sums[j]);
}

#undef NS_F
#undef NS_T
#undef V
#undef VW
#undef LOAD
#undef STORE
#undef ZERO
#undef OR
#undef OR3
#undef MINUS
#undef ANY
#undef TALLY
#undef TOTAL
