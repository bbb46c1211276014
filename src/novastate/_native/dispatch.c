/* The choice of an instruction set. See dispatch.h. */
#include "dispatch.h"
#include <string.h>

static const char *const names[NS_ISAS] = {"scalar", "neon", "avx2", "avx512"};

static int chosen = -1;

static int supported(int level) {
    if (level == NS_SCALAR) return 1;
#ifdef NS_X86
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                     __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
    if (level == NS_AVX2_LEVEL) return avx2;
    if (level == NS_AVX512_LEVEL)
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
               __builtin_cpu_supports("avx512vpopcntdq");
#endif
#ifdef NS_ARM
    if (level == NS_NEON) return 1;
#endif
    return 0;
}

/* Idempotent, so two threads that make the choice at once agree. */
int ns_isa(void) {
    int level = __atomic_load_n(&chosen, __ATOMIC_RELAXED);
    if (level < 0) {
        for (level = NS_ISAS - 1; !supported(level); level--) {}
        __atomic_store_n(&chosen, level, __ATOMIC_RELAXED);
    }
    return level;
}

const char *ns_isa_variant(size_t i) {
    for (int level = NS_ISAS - 1; level >= 0; level--)
        if (supported(level) && i-- == 0) return names[level];
    return NULL;
}

const char *ns_isa_name(int level) { return level >= 0 && level < NS_ISAS ? names[level] : "?"; }

int ns_isa_force(const char *name) {
    for (int level = 0; level < NS_ISAS; level++)
        if (!strcmp(names[level], name) && supported(level)) {
            __atomic_store_n(&chosen, level, __ATOMIC_RELAXED);
            return 0;
        }
    return -1;
}
