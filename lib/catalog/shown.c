/* SPDX-License-Identifier: Apache-2.0 */
#include <catalog/shown.h>

/* Values inside of a value. */
static size_t count_items(const mm_value *value) {
    size_t count = 0;
    for (uint64_t i = 0; value->kind != MM_TENSOR && i < value->item_count; i++) {
        count += 1 + count_items(&value->items[i]);
    }
    return count;
}

/* The items go to *next, which moves on. */
static void hide(mm_value *value, mm_value **next) {
    const mm_value *items = value->items;
    value->data = NULL;
    value->offsets = NULL;
    value->items = NULL;
    if (value->kind == MM_TENSOR) {
        value->bytes = value->dtype == MM_STRING ? 0 : value->bytes;
        return;
    }
    if (value->item_count > 0) {
        value->items = *next;
        *next += value->item_count;
    }
    for (uint64_t i = 0; i < value->item_count; i++) {
        value->items[i] = items[i];
        hide(&value->items[i], next);
    }
}

bool mmi_shown_make(const mm_allocator *alloc, const mm_description *description,
                    const mm_value *inputs, struct mmi_shown *shown) {
    uint32_t count = description->input_count;
    *shown = (struct mmi_shown){.room = count};
    for (uint32_t i = 0; i < count; i++) {
        shown->room += mmi_is_shown(&description->inputs[i]) ? 0 : count_items(&inputs[i]);
    }
    if (count == 0) {
        return true;
    }
    shown->values = mmi_alloc(alloc, shown->room, sizeof(mm_value));
    if (!shown->values) {
        return false;
    }
    mm_value *next = shown->values + count;
    for (uint32_t i = 0; i < count; i++) {
        shown->values[i] = inputs[i];
        if (!mmi_is_shown(&description->inputs[i])) {
            hide(&shown->values[i], &next);
        }
    }
    return true;
}

void mmi_shown_free(const mm_allocator *alloc, struct mmi_shown *shown) {
    mmi_free(alloc, shown->values, shown->room * sizeof(mm_value));
}
