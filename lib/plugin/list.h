/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_PLUGIN_LIST_H
#define MMI_PLUGIN_LIST_H

/* Private to this module: the list of backends, and the check of a table. */

#include <base/list.h>
#include <base/lock.h>
#include <plugin/registry.h>

struct mmi_registry_entry {
    struct mmi_list link;
    struct mmi_backend backend;
    mm_backend table; /* a copy of today's size: the backend's own may be an older, shorter one */
    struct mmi_registry *registry;
    bool ready; /* init succeeded; until then the entry only keeps the name taken */
};

struct mmi_registry {
    const struct mmi_env *env;
    struct mmi_registry_config config;
    uint64_t cpu_features;
    struct mmi_lock lock;    /* guards the list and `ready`; never held while a slot runs */
    struct mmi_list entries; /* in the order of registration; only a failed init takes one out */
};

/* Copy and check a backend's table, which may be that of an older minor: slots that it lacks are
 * NULL. Else what is wrong with it, by the name of its field. */
mm_status mmi_backend_read(const mm_backend *from, mm_backend *table, mm_error *err);

#endif
