/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BASE_HASH_H
#define MMI_BASE_HASH_H

/* Hashes for tables and checksums (XXH3, xxHash library). Not for trust: an attacker can
 * collide. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t mmi_hash64(const void *bytes, size_t count, uint64_t seed);

struct mmi_hash {
    uint64_t low, high;
};
struct mmi_hash mmi_hash128(const void *bytes, size_t count);
static inline bool mmi_hash_equal(struct mmi_hash a, struct mmi_hash b) {
    return a.low == b.low && a.high == b.high;
}

#endif
