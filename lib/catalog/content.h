/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_CATALOG_CONTENT_H
#define MMI_CATALOG_CONTENT_H

/* The content of a source: the hash of its main file and of all siblings that are open. Blocks; no
 * lock. */

#include <catalog/version.h>

/* Reads them, in order. */
mm_status mmi_content_read(const mm_allocator *alloc, const struct mmi_source *source,
                           struct mmi_hash *content, mm_error *err);
/* As the store remembers it by its identity, and opens the siblings that it remembers; else as
 * read. *remembered says which. */
mm_status mmi_content_of(struct mmi_preparer *preparer, struct mmi_source *source,
                         struct mmi_hash *content, bool *remembered, mm_error *err);

#endif
