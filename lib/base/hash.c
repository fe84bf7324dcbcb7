/* SPDX-License-Identifier: Apache-2.0 */
#include <base/hash.h>

/* The header alone: nothing to link, and no xxHash symbol to clash with a host's. */
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t mmi_hash64(const void *bytes, size_t count, uint64_t seed) {
    return XXH3_64bits_withSeed(bytes, count, seed);
}
