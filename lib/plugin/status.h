/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_PLUGIN_STATUS_H
#define MMI_PLUGIN_STATUS_H

/* What a backend answers is looked at before anybody acts on it. */

#include <plugin/registry.h>

enum mmi_backend_slot {
    MMI_SLOT_INIT,
    MMI_SLOT_PREPARE,
    MMI_SLOT_OPEN,
    MMI_SLOT_SIZE,
    MMI_SLOT_ATTACH,
    MMI_SLOT_INFER,
    MMI_SLOTS
};

/* May the slot of such a backend answer so? As backend.h says at the slot. */
bool mmi_slot_may(const mm_backend *table, enum mmi_backend_slot slot, mm_status status);

/* The status to go on with: that of the slot where it may answer so, else MM_BACKEND_FAILED. err is
 * the one that the slot was given, zeroed before; afterwards it has the same status, one line of
 * text, and byte counts only where they mean something. MM_OK leaves it alone. */
mm_status mmi_slot_status(const struct mmi_backend *backend, enum mmi_backend_slot slot,
                          mm_status status, mm_error *err);

#endif
