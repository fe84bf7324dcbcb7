/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_CATALOG_NAMES_H
#define MMI_CATALOG_NAMES_H

/* Name -> number, read without a lock: open addressing over 64-bit words {hash tag, number + 1}.
 * The names themselves lie with the models: the caller compares. Writers are serialised by the
 * caller. */

#include <catalog/guard.h>

struct mmi_names_table;

struct mmi_names {
    struct mmi_guard *guard;
    struct mmi_names_table *_Atomic table;
    size_t live, used; /* used counts removed words too */
};

bool mmi_names_init(struct mmi_names *names, struct mmi_guard *guard); /* false = out of memory */
void mmi_names_fini(struct mmi_names *names);

/* Does model `number` have the name that is looked for? */
typedef bool (*mmi_names_match)(void *ctx, uint32_t number);
/* Inside a guard, or serialised with the writers. UINT32_MAX = none. */
uint32_t mmi_names_find(const struct mmi_names *names, uint64_t hash, mmi_names_match match,
                        void *ctx);
/* Room for one more. false = out of memory, nothing changed. */
bool mmi_names_reserve(struct mmi_names *names);
void mmi_names_add(struct mmi_names *names, uint64_t hash, uint32_t number); /* after a reserve */
void mmi_names_remove(struct mmi_names *names, uint64_t hash, uint32_t number);

#endif
