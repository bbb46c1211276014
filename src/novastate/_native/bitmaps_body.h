/* The bodies of the bitmap kernels, included by bitmaps.c once for each width of vectors, with these defined:
 *   NS_F(name) the variant's name of a function, NS_T its target attribute,
 *   V a vector of VW words; LOAD, STORE, ZERO, ONES, ADD (of 64-bit lanes), OR, AND, MINUS(a, b) = a & ~b, XOR3, MAJORITY(a, b, c), ANY(a),
 *   WITH(a, b, c) = a | b & ~c, TALLY(sum, a): `sum`, whose 64-bit lanes count, and the bits of `a`; TOTAL(sum) all its lanes;
 *   KEEP(sum): its additions are done here: else the compiler does them later, and has too few registers for what waits. */

NS_T static uint64_t NS_F(merge)(uint64_t *out, const uint64_t *bits, size_t words) {
    V sum = ZERO();
    size_t i = 0;
    for (; i + 4 * VW <= words; i += 4 * VW) {
        V old[4], more[4], found[4];
        for (int j = 0; j < 4; j++) {
            old[j] = LOAD(out + i + j * VW);
            more[j] = LOAD(bits + i + j * VW);
            found[j] = MINUS(more[j], old[j]);
            sum = TALLY(sum, found[j]);
        }
        /* A union that has all of it already stays clean in the cache. */
        if (ANY(OR(OR(found[0], found[1]), OR(found[2], found[3]))))
            for (int j = 0; j < 4; j++) STORE(out + i + j * VW, OR(old[j], more[j]));
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
    NS_UNROLLED for (int i = 0; i < m; i++) {
        both->last[i] = WITH(young->last[i], old->last[i], young->last[m]);
        both->first[i] = WITH(old->first[i], young->first[i], old->last[m]);
    }
    both->last[m] = young->last[m];
    both->first[m] = old->last[m];
    both->last[m + 1] = OR(old->last[m], young->last[m]);
}

/* Counts the windows that end in a group; `before` is `last` of the group before it. Of 2^m windows last + first + 1 have the page,
 * but not more than all: the carry of the sum. */
NS_T NS_BODY static V NS_F(ending)(V sum, const V *before, const NS_F(group) *now, const int m) {
    V carry = now->last[m], digit[NS_BITMAPS_LEVELS];
    NS_UNROLLED for (int i = 0; i < m; i++) {
        digit[i] = XOR3(before[i], now->first[i], carry);
        carry = MAJORITY(before[i], now->first[i], carry);
    }
    V found = TALLY(ZERO(), carry);
    NS_UNROLLED for (int i = m - 1; i >= 0; i--) found = TALLY(ADD(found, found), MINUS(digit[i], carry));
    sum = ADD(sum, found);
    KEEP(sum);
    return sum;
}

/* Sums of levels 0 to 2; the last bitmap, the union of it and the one before, and of that and the one before that. */
typedef struct {
    V sum[3], one, two, older;
} NS_F(low);

/* Counts four bitmaps on levels 0 to 2, by unions: there they are cheaper than the digits. They are a group of level 2. */
NS_T NS_BODY static void NS_F(four)(NS_F(low) *s, const uint64_t *row, const size_t stride, NS_F(group) *now) {
    const V a = LOAD(row), b = LOAD(row + stride), c = LOAD(row + 2 * stride), d = LOAD(row + 3 * stride);
    const V a2 = OR(s->one, a), b2 = OR(a, b), c2 = OR(b, c), d2 = OR(c, d), d4 = OR(b2, d2);
    s->sum[0] = TALLY(TALLY(TALLY(TALLY(s->sum[0], a), b), c), d);
    KEEP(s->sum[0]);
    s->sum[1] = TALLY(TALLY(TALLY(TALLY(s->sum[1], a2), b2), c2), d2);
    KEEP(s->sum[1]);
    s->sum[2] = TALLY(TALLY(TALLY(TALLY(s->sum[2], OR(s->older, a2)), OR(s->two, b2)), OR(a2, c2)), d4);
    KEEP(s->sum[2]);
    s->one = d;
    s->two = d2;
    s->older = c2;
    now->last[0] = WITH(d, b, d2);
    now->last[1] = d2;
    now->last[2] = d4;
    now->first[0] = WITH(a, c, b2);
    now->first[1] = b2;
}

/* Makes a group of the next level of `now`, which is level m, and of the other half, and counts there; 0 where the half is still to
 * come. See `half_at`. */
NS_T NS_BODY static int NS_F(climb)(const bitmap_block *b, V *sums, NS_F(group) *now, V *state, const int m) {
    V *half = state + half_at(m), *before = state + before_at(m + 1);
    NS_F(group) other, both;
    if (m + 1 >= b->levels) return 0;
    if (b->index >> (m - 4) & 1) {
        NS_UNROLLED for (int i = 0; i <= m; i++) other.last[i] = half[i];
        NS_UNROLLED for (int i = 0; i < m; i++) other.first[i] = half[m + 1 + i];
        NS_F(joined)(&both, &other, now, m);
    } else if (b->end) {
        NS_UNROLLED for (int i = 0; i <= m; i++) other.last[i] = other.first[i] = ONES();
        NS_F(joined)(&both, now, &other, m);
    } else {
        NS_UNROLLED for (int i = 0; i <= m; i++) half[i] = now->last[i];
        NS_UNROLLED for (int i = 0; i < m; i++) half[m + 1 + i] = now->first[i];
        return 0;
    }
    sums[m + 1] = NS_F(ending)(sums[m + 1], before, &both, m + 1);
    NS_UNROLLED for (int i = 0; i <= m + 1; i++) before[i] = now->last[i] = both.last[i];
    NS_UNROLLED for (int i = 0; i <= m; i++) now->first[i] = both.first[i];
    return 1;
}

NS_T NS_BODY static void NS_F(eight)(NS_F(low) *s, const uint64_t *row, const size_t stride, NS_F(group) *now) {
    NS_F(group) old, young;
    NS_F(four)(s, row, stride, &old);
    NS_F(four)(s, row + 4 * stride, stride, &young);
    NS_F(joined)(now, &old, &young, 2);
}

/* A block of a strip: sixteen bitmaps. */
NS_T NS_BODY static void NS_F(sixteen)(const bitmap_block *b, V *sums, V *state) {
    V sum3 = sums[3], sum4 = sums[4];
    NS_F(low) s = {.sum = {sums[0], sums[1], sums[2]}};
    const uint64_t *row = b->row, *next = b->next;
    for (size_t c = 0; c < b->columns; c++, state += state_size(b->levels), row += VW, next += VW) {
        NS_F(group) old, young, now;
        V *before = state + before_at(4), younger[4];
        for (size_t r = 0; r < BLOCK; r++) __builtin_prefetch(next + r * b->next_stride, 0, 2);
        /* The last group of level 3 is the younger half of that of level 4. */
        for (int i = 0; i < 3; i++) younger[i] = AND(before[i], before[3]);
        younger[3] = before[3];
        s.two = AND(younger[1], younger[2]);
        s.one = AND(younger[0], s.two);
        s.older = *state;
        NS_F(eight)(&s, row, b->stride, &old);
        sum3 = NS_F(ending)(sum3, younger, &old, 3);
        NS_F(eight)(&s, row + 8 * b->stride, b->stride, &young);
        *state = s.older;
        sum3 = NS_F(ending)(sum3, old.last, &young, 3);
        NS_F(joined)(&now, &old, &young, 3);
        sum4 = NS_F(ending)(sum4, before, &now, 4);
        NS_UNROLLED for (int i = 0; i <= 4; i++) before[i] = now.last[i];
        /* Each with a number that the compiler knows, which is faster. */
        (void)(NS_F(climb)(b, sums, &now, state, 4) && NS_F(climb)(b, sums, &now, state, 5) && NS_F(climb)(b, sums, &now, state, 6) &&
               NS_F(climb)(b, sums, &now, state, 7) && NS_F(climb)(b, sums, &now, state, 8) && NS_F(climb)(b, sums, &now, state, 9) &&
               NS_F(climb)(b, sums, &now, state, 10) && NS_F(climb)(b, sums, &now, state, 11) && NS_F(climb)(b, sums, &now, state, 12) &&
               NS_F(climb)(b, sums, &now, state, 13) && NS_F(climb)(b, sums, &now, state, 14));
    }
    for (int m = 0; m < 3; m++) sums[m] = s.sum[m];
    sums[3] = sum3;
    sums[4] = sum4;
}

/* Adds to totals[j] what is found in `words` words, whole vectors, of each bitmap. */
NS_T static void NS_F(sums)(const bitmap_rows *b, size_t from, size_t words, int levels, uint64_t *memory, uint64_t *totals) {
    V sums[NS_BITMAPS_LEVELS], *state = (V *)(memory + BLOCK * STRIP);
    for (int m = 0; m < levels; m++) sums[m] = ZERO();
    for (size_t at = from; at < from + words; at += STRIP) {
        const size_t left = from + words - at, columns = (left < STRIP ? left : STRIP) / VW;
        for (size_t i = 0; i < columns * state_size(levels); i++) state[i] = ONES();
        for (size_t start = 0; start < b->rows; start += BLOCK) {
            const bitmap_block block = block_at(b, start, at, columns * VW, left >= 2 * STRIP, levels, VW, memory);
            NS_F(sixteen)(&block, sums, state);
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
#undef WITH
#undef KEEP
#undef ANY
#undef TALLY
#undef TOTAL
