/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_ARTIFACT_VERIFY_H
#define MMI_ARTIFACT_VERIFY_H

/* Check a cache directory without a mesh. */

#include <base/env.h>
#include <base/status.h>

struct mmi_verify_report {
    uint64_t entries, bytes;   /* looked at */
    uint64_t damaged, removed; /* checksum or shape wrong; unlinked */
    uint64_t foreign;          /* of another format version: left alone */
    uint64_t leftovers;        /* of interrupted writes: removed */
};

/* Reads every entry in full and removes what is damaged; safe beside processes that use the
 * directory. progress(user, done_bytes, total_bytes) may be NULL. MM_OK whatever was found;
 * MM_NOT_FOUND, MM_CACHE_NOT_OWNED, MM_NO_FDS, MM_NO_MEMORY, MM_IO: it could not be looked at. */
mm_status mmi_cache_verify(const struct mmi_env *env, const char *cache_dir,
                           void (*progress)(void *user, uint64_t done, uint64_t total), void *user,
                           struct mmi_verify_report *report, mm_error *err);

#endif
