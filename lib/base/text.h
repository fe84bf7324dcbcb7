/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BASE_TEXT_H
#define MMI_BASE_TEXT_H

/* A bounded text under construction: never overruns, remembers how much was wanted. */

#include <stddef.h>
#include <stdint.h>

struct mmi_text {
    char *at;    /* may be NULL when room is 0 */
    size_t room; /* bytes at `at`, the final NUL included */
    size_t need; /* bytes that everything so far would take, without the NUL */
};

void mmi_text_init(struct mmi_text *text, char *at, size_t room);
__attribute__((format(printf, 2, 3))) void mmi_text_add(struct mmi_text *text, const char *format,
                                                        ...);
/* "[1, 3, ?, 640]"; a negative axis is "?". */
void mmi_text_shape(struct mmi_text *text, uint32_t rank, const int64_t *shape);

/* "key=value,key=value" with ASCII keys: finds `key` and copies its value (NUL-terminated, cut to
 * room). Returns the value's length, or -1 when the key is absent. */
int64_t mmi_config_get(const char *config, const char *key, char *value, size_t room);
/* The same as a number with an optional suffix k, m, g (powers of 1024) or ns, us, ms, s (times to
 * ns). absent = fallback; malformed = -1 in *bad, else 0. */
uint64_t mmi_config_u64(const char *config, const char *key, uint64_t fallback, int *bad);

#endif
