/* Byte tables: out[i] = table[codes[i]].
 *
 * A machine has at most 64 states in practice (vm_state 12, task_state 43, migration status 18), so a whole
 * row table fits in registers: one VPERMI2B looks 64 states up in a 128-entry table (AVX-512 VBMI), and four
 * PSHUFB look 32 states up in a 64-entry one (AVX2). Codes outside the registers' table occur only
 * as the refused mark (0xFF) or in unchecked input; a block that holds one takes the scalar path, so
 * the result is that of the plain loop for every input.
 *
 * Cost: two memory streams and one to nine instructions for 32 or 64 states; bound by memory bandwidth.
 * Variants are chosen at run time (dispatch.h); all are tested for equality with the Python twin (bytes.translate).
 */
#include "tables.h"
#include "dispatch.h"
#include <string.h>

static void translate_scalar(const uint8_t *table, const uint8_t *codes, uint8_t *out, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t in, moved = 0;
        memcpy(&in, codes + i, 8);
        for (unsigned b = 0; b < 64; b += 8) moved |= (uint64_t)table[(in >> b) & 0xff] << b;
        memcpy(out + i, &moved, 8);
    }
    for (; i < n; i++) out[i] = table[codes[i]];
}

#ifdef NS_X86
NS_AVX2 static void translate_avx2(const uint8_t *table, const uint8_t *codes, uint8_t *out, size_t n) {
    const __m256i low_nibble = _mm256_set1_epi8(0x0f), last = _mm256_set1_epi8(63);
    __m256i rows[4];
    for (int r = 0; r < 4; r++)
        rows[r] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(table + 16 * r)));
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i code = _mm256_loadu_si256((const __m256i *)(codes + i));
        /* max(code, 63) == 63 for every byte iff all codes are below 64 (unsigned) */
        if (_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(code, last), last)) != -1) {
            translate_scalar(table, codes + i, out + i, 32);
            continue;
        }
        __m256i low = _mm256_and_si256(code, low_nibble);
        __m256i high = _mm256_and_si256(_mm256_srli_epi16(code, 4), low_nibble);
        __m256i moved = _mm256_setzero_si256();
        for (int r = 0; r < 4; r++) {
            __m256i mine = _mm256_cmpeq_epi8(high, _mm256_set1_epi8((char)r));
            moved = _mm256_or_si256(moved, _mm256_and_si256(mine, _mm256_shuffle_epi8(rows[r], low)));
        }
        _mm256_storeu_si256((__m256i *)(out + i), moved);
    }
    translate_scalar(table, codes + i, out + i, n - i);
}

NS_AVX512 static void translate_avx512(const uint8_t *table, const uint8_t *codes, uint8_t *out, size_t n) {
    const __m512i low = _mm512_loadu_si512(table), high = _mm512_loadu_si512(table + 64);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m512i code = _mm512_loadu_si512(codes + i);
        if (_mm512_movepi8_mask(code)) { /* a code of 128 or more: beyond the two registers */
            translate_scalar(table, codes + i, out + i, 64);
            continue;
        }
        _mm512_storeu_si512(out + i, _mm512_permutex2var_epi8(low, code, high));
    }
    translate_scalar(table, codes + i, out + i, n - i);
}
#endif

void ns_translate(const uint8_t table[256], const uint8_t *codes, uint8_t *out, size_t n) {
    static void (*const variants[NS_ISAS])(const uint8_t *, const uint8_t *, uint8_t *, size_t) =
        NS_VARIANTS(translate_scalar, translate_scalar, translate_avx2, translate_avx512);
    variants[ns_isa()](table, codes, out, n);
}
