/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_CATALOG_NAMES_H
#define MMI_CATALOG_NAMES_H

/* Name -> number, read without a lock or a locked instruction: open addressing over 64-bit words
 * {hash tag, number + 2}. The names themselves lie with the models: the caller compares, so a word
 * that is out of date does no harm. Writers are serialised by the caller.
 *
 * A reader may be in a table that was replaced meanwhile. One that was outgrown stays as it is
 * until the end (all of them together are no larger than the one in use): what is missing there was
 * missing when the reader came. One that was swept of removed words is used again by the next
 * sweep, and may be emptied under the reader: a reader that finds nothing checks whether a sweep
 * took place, and if so searches again. */

#include <base/alloc.h>

#include <stdatomic.h>
#include <stddef.h>

struct mmi_names_table;

struct mmi_names {
    const mm_allocator *alloc;
    struct mmi_names_table *_Atomic table;
    struct mmi_names_table *spare;    /* as large as the one in use; NULL = none yet */
    struct mmi_names_table *outgrown; /* smaller ones */
    _Atomic uint64_t sweeps;
    size_t live, used; /* used counts removed words too */
};

bool mmi_names_init(struct mmi_names *names, const mm_allocator *alloc); /* false = no memory */
void mmi_names_fini(struct mmi_names *names);                            /* no reader is left */

/* Does model `number` have the name that is looked for? */
typedef bool (*mmi_names_match)(void *ctx, uint32_t number);
/* From any thread. UINT32_MAX = none. */
uint32_t mmi_names_find(const struct mmi_names *names, uint64_t hash, mmi_names_match match,
                        void *ctx);
/* Room for one more. false = out of memory, nothing changed. */
bool mmi_names_reserve(struct mmi_names *names);
void mmi_names_add(struct mmi_names *names, uint64_t hash, uint32_t number); /* after a reserve */
void mmi_names_remove(struct mmi_names *names, uint64_t hash, uint32_t number);

#endif
