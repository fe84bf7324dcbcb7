/* SPDX-License-Identifier: Apache-2.0 */
#include <base/hash.h>

/* The header alone: nothing to link, and no xxHash symbol to clash with a host's. */
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t mmi_hash64(const void *bytes, size_t count, uint64_t seed) {
    return XXH3_64bits_withSeed(bytes, count, seed);
}

struct mmi_hash mmi_hash128(const void *bytes, size_t count) {
    XXH128_hash_t hash = XXH3_128bits(bytes, count);
    return (struct mmi_hash){hash.low64, hash.high64};
}
