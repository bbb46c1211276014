/* The words in which the fleet is written, once for each instruction set: W lanes of double precision.
 *
 * LANES names the instruction set (0: one lane of plain C, 4: AVX2, 8: AVX-512). Every word rounds as the plain C
 * does, so all variants give the same bits; of equal numbers min and max take either. pour() writes the lanes of a mask
 * beside each other, moved() gives those of a mask what where() says, put32() and put8() write whole numbers. leave() comes
 * before code of another instruction set, which the wide registers would slow down.
 */
#undef V
#undef M
#undef W
#undef F
#undef set1
#undef loadu
#undef storeu
#undef vmin
#undef vmax
#undef vfloor
#undef vsqrt
#undef lt
#undef le
#undef m_and
#undef m_or
#undef m_not
#undef sel
#undef bits
#undef mask
#undef pow2
#undef pour
#undef leave
#undef IX
#undef where
#undef moved
#undef strided
#undef put32
#undef put8
#undef lanes

#if LANES == 8
#define V __m512d
#define M __mmask8
#define W 8
#define F(name) name##_avx512
#define set1 _mm512_set1_pd
#define loadu _mm512_loadu_pd
#define storeu _mm512_storeu_pd
#define vmin(a, b) _mm512_min_pd(b, a)
#define vmax(a, b) _mm512_max_pd(b, a)
#define vfloor(a) _mm512_roundscale_pd(a, 9)
#define vsqrt(a) _mm512_sqrt_pd(a)
#define lt(a, b) _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ)
#define le(a, b) _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ)
#define m_and(a, b) ((M)((a) & (b)))
#define m_or(a, b) ((M)((a) | (b)))
#define m_not(a) ((M)~(a))
#define sel(m, a, b) _mm512_mask_blend_pd(m, b, a)
#define bits(m) ((unsigned)(m))
#define mask(b) ((M)(b))
#define pow2(m) _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(m), 52))
#define pour(at, m, a) storeu(at, _mm512_maskz_compress_pd(m, a))
#define leave() _mm256_zeroupper()
#define IX __m512i
#define where(to, from) \
    _mm512_maskz_expand_epi64((M)(to), _mm512_maskz_compress_epi64((M)(from), _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0)))
#define moved(old, m, from, a) _mm512_mask_permutexvar_pd(old, m, from, a)
#define lanes() _mm512_set_pd(7, 6, 5, 4, 3, 2, 1, 0)
#define strided(at, s) \
    _mm512_set_pd((at)[7 * (s)], (at)[6 * (s)], (at)[5 * (s)], (at)[4 * (s)], (at)[3 * (s)], (at)[2 * (s)], (at)[s], *(at))
#define put32(at, a) _mm256_storeu_si256((__m256i *)(at), _mm512_cvttpd_epi32(a))
#define put8(at, a) _mm_storel_epi64((__m128i *)(at), _mm256_cvtepi32_epi8(_mm512_cvttpd_epi32(a)))
#elif LANES == 4
#define V __m256d
#define M __m256d
#define W 4
#define F(name) name##_avx2
#define set1 _mm256_set1_pd
#define loadu _mm256_loadu_pd
#define storeu _mm256_storeu_pd
#define vmin(a, b) _mm256_min_pd(b, a)
#define vmax(a, b) _mm256_max_pd(b, a)
#define vfloor(a) _mm256_floor_pd(a)
#define vsqrt(a) _mm256_sqrt_pd(a)
#define lt(a, b) _mm256_cmp_pd(a, b, _CMP_LT_OQ)
#define le(a, b) _mm256_cmp_pd(a, b, _CMP_LE_OQ)
#define m_and(a, b) _mm256_and_pd(a, b)
#define m_or(a, b) _mm256_or_pd(a, b)
#define m_not(a) _mm256_xor_pd(a, _mm256_castsi256_pd(_mm256_set1_epi64x(-1)))
#define sel(m, a, b) _mm256_blendv_pd(b, a, m)
#define bits(m) ((unsigned)_mm256_movemask_pd(m))
#define mask(b) \
    _mm256_castsi256_pd(_mm256_set_epi64x(-(long long)(((b) >> 3) & 1), -(long long)(((b) >> 2) & 1), \
                                          -(long long)(((b) >> 1) & 1), -(long long)((b) & 1)))
#define pow2(m) _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(m), 52))
#define pour(at, m, a) pour_avx2(at, bits(m), a)
#define leave() _mm256_zeroupper()
#define IX __m256i
#define where(to, from) where_avx2(to, from)
#define moved(old, m, from, a) \
    sel(m, _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(a), from)), old)
#define lanes() _mm256_set_pd(3, 2, 1, 0)
#define strided(at, s) _mm256_set_pd((at)[3 * (s)], (at)[2 * (s)], (at)[s], *(at))
#define put32(at, a) _mm_storeu_si128((__m128i *)(at), _mm256_cvttpd_epi32(a))
#define put8(at, a) put8_avx2(at, _mm256_cvttpd_epi32(a))
NS_AVX2 static inline void put8_avx2(uint8_t *at, __m128i a) {
    const int four = _mm_cvtsi128_si32(_mm_packus_epi16(_mm_packs_epi32(a, a), a));
    memcpy(at, &four, 4);
}
NS_AVX2 static inline __m256i where_avx2(unsigned to, unsigned from) {
    int half[8] = {0};
    for (int l = 0; l < 4; l++)
        if (to >> l & 1) {
            half[2 * l] = 2 * __builtin_ctz(from);
            half[2 * l + 1] = half[2 * l] + 1;
            from &= from - 1;
        }
    return _mm256_loadu_si256((const __m256i *)half);
}
NS_AVX2 static inline void pour_avx2(double *at, unsigned m, __m256d a) {
    double lane[4];
    _mm256_storeu_pd(lane, a);
    for (unsigned l = 0; l < 4; l++)
        if (m >> l & 1) *at++ = lane[l];
}
#else
#define V double
#define M unsigned
#define W 1
#define F(name) name##_scalar
#define set1(a) (a)
#define loadu(at) (*(at))
#define storeu(at, a) (*(at) = (a))
#define vmin(a, b) least(a, b)
#define vmax(a, b) greatest(a, b)
#define vfloor(a) floor(a)
#define vsqrt(a) sqrt(a)
#define lt(a, b) ((unsigned)((a) < (b)))
#define le(a, b) ((unsigned)((a) <= (b)))
#define m_and(a, b) ((a) & (b))
#define m_or(a, b) ((a) | (b))
#define m_not(a) ((a) ^ 1u)
#define sel(m, a, b) ((m) ? (a) : (b))
#define bits(m) (m)
#define mask(b) (b)
#define pow2(n) pow2_scalar(n)
#define pour(at, m, a) ((void)((m) ? *(at) = (a) : 0.0))
#define leave() ((void)0)
#define IX unsigned
#define where(to, from) ((to) & (from))
#define moved(old, m, from, a) ((from) & (m) ? (a) : (old))
#define lanes() 0.0
#define put32(at, a) ((void)(*(at) = (int32_t)(a)))
#define put8(at, a) ((void)(*(at) = (uint8_t)(a)))
#define strided(at, s) ((void)(s), *(at))
#endif
