/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BASE_HASH_H
#define MMI_BASE_HASH_H

/* Hashes for tables and checksums (XXH3, xxHash library). Not for trust: an attacker can
 * collide. */

#include <stddef.h>
#include <stdint.h>

uint64_t mmi_hash64(const void *bytes, size_t count, uint64_t seed);

#endif
