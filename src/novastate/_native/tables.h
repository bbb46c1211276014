/* Byte tables: a fleet's states through one trigger. See tables.c. */
#ifndef NOVASTATE_TABLES_H
#define NOVASTATE_TABLES_H
#include <stddef.h>
#include <stdint.h>

/* out[i] = table[codes[i]] for i < n. `codes` and `out` may be the same memory, not otherwise overlap. */
void ns_translate(const uint8_t table[256], const uint8_t *codes, uint8_t *out, size_t n);

/* The variant that ns_translate runs on this processor: "avx512vbmi", "avx2" or "scalar". */
const char *ns_translate_isa(void);

/* The i-th variant that this processor and build can run, fastest first; NULL past the last. */
const char *ns_translate_variant(size_t i);

/* Forces a variant by name, for tests; returns 0, or -1 if this processor or build lacks it. */
int ns_translate_force(const char *isa);
#endif
