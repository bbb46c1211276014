/* The bodies of the bitmap kernels, included by bitmaps.c once for each width of vectors, with these defined:
 *   NS_F(name) the variant's name of a function, NS_T its target attribute,
 *   V a vector of VW words; LOAD, STORE, ZERO, ONES, ADD (of 64-bit lanes), OR, AND, MINUS(a, b) = a & ~b, XOR3, MAJORITY(a, b, c), ANY(a),
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

/* A group of 2^m bitmaps, bit by bit: at level m `last` has m binary digits of the number (0 ...) of the last bitmap that has the
 * page, then whether there is one; `first` those of how many bitmaps follow the first that has it. Where none has it, both are 0. */
typedef struct {
    V last[NS_BITMAPS_LEVELS], first[NS_BITMAPS_LEVELS];
} NS_F(group);

/* Two groups of level m, the older first, are one of the next level. */
NS_T NS_BODY static void NS_F(joined)(NS_F(group) *both, const NS_F(group) *old, const NS_F(group) *young, const int m) {
    for (int i = 0; i < m; i++) {
        both->last[i] = OR(young->last[i], MINUS(old->last[i], young->last[m]));
        both->first[i] = OR(old->first[i], MINUS(young->first[i], old->last[m]));
    }
    both->last[m] = young->last[m];
    both->first[m] = old->last[m];
    both->last[m + 1] = OR(old->last[m], young->last[m]);
}

/* Counts the windows that end in a group; `before` is `last` of the group before it. Of 2^m windows last + first + 1 have the page,
 * but not more than all: the carry of the sum. A page is new where the group has it and there was a window without it. */
NS_T NS_BODY static V NS_F(ending)(V sum, const V *before, const NS_F(group) *now, const int m, const int fresh) {
    V carry = now->last[m], digit[NS_BITMAPS_LEVELS];
    for (int i = 0; i < m; i++) {
        digit[i] = XOR3(before[i], now->first[i], carry);
        carry = MAJORITY(before[i], now->first[i], carry);
    }
    if (fresh) return TALLY(sum, MINUS(now->last[m], AND(carry, before[m])));
    V found = TALLY(ZERO(), carry);
    for (int i = m - 1; i >= 0; i--) found = TALLY(ADD(found, found), MINUS(digit[i], carry));
    return ADD(sum, found);
}

/* The same for n groups that follow each other. */
NS_T NS_BODY static V NS_F(endings)(V sum, const V *before, const NS_F(group) *now, const int n, const int m, const int fresh) {
    for (int i = 0; i < n; i++) sum = NS_F(ending)(sum, i ? now[i - 1].last : before, now + i, m, fresh);
    return sum;
}

typedef struct {
    V pad, *sums;
    size_t index;
    int end, levels;
} NS_F(block);

/* Makes a group of the next level of `now`, which is level m, and of the other half, and counts there; 0 where the half is still to
 * come. The state of a column is, for each level, `last` of the group before, then the first half of the group of the next. */
NS_T NS_BODY static int NS_F(climb)(const NS_F(block) *b, NS_F(group) *now, V *state, const int m, const int fresh) {
    V *half = state + level_at(m) + m + 1, *before = state + level_at(m + 1);
    NS_F(group) other, both;
    if (m + 1 >= b->levels) return 0;
    if (b->index >> (m - 3) & 1) {
        for (int i = 0; i <= m; i++) other.last[i] = half[i];
        for (int i = 0; i < m; i++) other.first[i] = half[m + 1 + i];
        NS_F(joined)(&both, &other, now, m);
    } else if (b->end) {
        for (int i = 0; i <= m; i++) other.last[i] = other.first[i] = b->pad;
        NS_F(joined)(&both, now, &other, m);
    } else {
        for (int i = 0; i <= m; i++) half[i] = now->last[i];
        for (int i = 0; i < m; i++) half[m + 1 + i] = now->first[i];
        return 0;
    }
    b->sums[m + 1] = NS_F(ending)(b->sums[m + 1], before, &both, m + 1, fresh);
    for (int i = 0; i <= m + 1; i++) before[i] = now->last[i] = both.last[i];
    for (int i = 0; i <= m; i++) now->first[i] = both.first[i];
    return 1;
}

/* A block of a strip: eight bitmaps. */
NS_T NS_BODY static void NS_F(eight)(const NS_F(block) *b, const uint64_t *const *row, size_t columns, V *state,
                                     const int fresh) {
    V sum[4] = {b->sums[0], b->sums[1], b->sums[2], b->sums[3]};
    for (size_t c = 0; c < columns; c++, state += state_size(b->levels)) {
        NS_F(group) one[8], two[4], four[2], now, rest;
        for (int r = 0; r < 8; r++) one[r].last[0] = LOAD(row[r] + c * VW);
        for (int r = 0; r < 4; r++) NS_F(joined)(two + r, one + 2 * r, one + 2 * r + 1, 0);
        for (int r = 0; r < 2; r++) NS_F(joined)(four + r, two + 2 * r, two + 2 * r + 1, 1);
        NS_F(joined)(&now, four, four + 1, 2);
        /* The last group of a level is the younger half of that of the next. */
        V *kept = state + level_at(3), before[4][4];
        for (int i = 0; i <= 3; i++) before[3][i] = kept[i];
        for (int m = 3; m-- > 0; before[m][m] = before[m + 1][m])
            for (int i = 0; i < m; i++) before[m][i] = AND(before[m + 1][i], before[m + 1][m]);
        for (int i = 0; i <= 3; i++) kept[i] = now.last[i];
        sum[0] = NS_F(endings)(sum[0], before[0], one, 8, 0, fresh);
        sum[1] = NS_F(endings)(sum[1], before[1], two, 4, 1, fresh);
        sum[2] = NS_F(endings)(sum[2], before[2], four, 2, 2, fresh);
        sum[3] = NS_F(endings)(sum[3], before[3], &now, 1, 3, fresh);
        /* The compiler knows the numbers of most levels: that is faster. */
        if (NS_F(climb)(b, &now, state, 3, fresh) && NS_F(climb)(b, &now, state, 4, fresh) && NS_F(climb)(b, &now, state, 5, fresh) &&
            NS_F(climb)(b, &now, state, 6, fresh)) {
            for (int i = 0; i <= 7; i++) rest.last[i] = now.last[i];
            for (int i = 0; i < 7; i++) rest.first[i] = now.first[i];
            for (int m = 7; NS_F(climb)(b, &rest, state, m, fresh);) m++;
        }
    }
    for (int m = 0; m < 4; m++) b->sums[m] = sum[m];
}

/* Adds to totals[j] what is found in `words` words, whole vectors, of each bitmap; `memory` is that of all of them: a strip of what
 * follows the last bitmap, then the state. */
NS_T static void NS_F(sums)(const bitmap_rows *b, size_t from, size_t words, int levels, int fresh, uint64_t *memory, uint64_t *totals) {
    V sums[NS_BITMAPS_LEVELS];
    for (int m = 0; m < levels; m++) sums[m] = ZERO();
    for (size_t at = from; at < from + words; at += STRIP) {
        const size_t left = from + words - at, columns = (left < STRIP ? left : STRIP) / VW;
        V *state = (V *)(memory + STRIP);
        const V pad = LOAD(memory);
        for (size_t i = 0; i < columns * state_size(levels); i++) state[i] = ONES();
        for (size_t start = 0; start < b->rows; start += 8) {
            const uint64_t *row[8];
            const int end = start + 8 >= b->rows;
            for (size_t r = 0; r < 8; r++) row[r] = row_at(b, start + r, at, memory);
            const NS_F(block) block = {.pad = pad, .sums = sums, .index = start / 8, .end = end, .levels = levels};
            if (fresh) NS_F(eight)(&block, row, columns, state, 1);
            else NS_F(eight)(&block, row, columns, state, 0);
        }
    }
    for (int m = 0; m < levels; m++) totals[m] += TOTAL(sums[m]);
}

#undef NS_F
#undef NS_T
#undef V
#undef VW
#undef LOAD
#undef STORE
#undef ZERO
#undef ONES
#undef OR
#undef ADD
#undef AND
#undef XOR3
#undef MAJORITY
#undef MINUS
#undef ANY
#undef TALLY
#undef TOTAL
