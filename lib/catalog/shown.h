/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_CATALOG_SHOWN_H
#define MMI_CATALOG_SHOWN_H

/* What a backend's size may see of the inputs: all of a shape input; of any other only kinds,
 * dtypes, shapes and counts of items. What is hidden is NULL, so that nobody uses it by mistake;
 * of strings the bytes are 0 besides, as they are no matter of the shape. */

#include <base/alloc.h>

#include <modelmesh/backend.h>

struct mmi_shown {
    mm_value *values; /* [input_count], then the items inside; refers to the inputs */
    size_t room;
};

static inline bool mmi_is_shown(const mm_value_info *info) {
    return info->flags & MM_VALUE_INFO_SHAPE_INPUT;
}

/* inputs: [input_count], checked. false: out of memory. */
bool mmi_shown_make(const mm_allocator *alloc, const mm_description *description,
                    const mm_value *inputs, struct mmi_shown *shown);
void mmi_shown_free(const mm_allocator *alloc, struct mmi_shown *shown);

#endif
