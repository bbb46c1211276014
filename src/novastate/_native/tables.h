/* Byte tables: a fleet's states through one trigger. See tables.c. */
#ifndef NOVASTATE_TABLES_H
#define NOVASTATE_TABLES_H
#include <stddef.h>
#include <stdint.h>

/* out[i] = table[codes[i]] for i < n. `codes` and `out` may be the same memory, not otherwise overlap. */
void ns_translate(const uint8_t table[256], const uint8_t *codes, uint8_t *out, size_t n);
#endif
