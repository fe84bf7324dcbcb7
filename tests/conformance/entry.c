/* SPDX-License-Identifier: Apache-2.0 */
#include <modelmesh/backend.h>

/* What makes a plugin of a backend's files: ENTRY_TABLE is the name of its table. */
extern const mm_backend ENTRY_TABLE;

MM_API const mm_backend *mm_backend_entry(void);
const mm_backend *mm_backend_entry(void) {
    return &ENTRY_TABLE;
}
