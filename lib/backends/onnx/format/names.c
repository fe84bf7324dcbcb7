/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/format/names.h>
#include <backends/onnx/graph/graph.h>
#include <base/hash.h>

#include <string.h>

#define FIRST_CAPACITY 32

struct onnx_name {
    struct onnx_span text; /* at NULL: the slot is empty */
    uint32_t value;
};

/* Where the name is, or would be. */
static struct onnx_name *find_slot(const struct onnx_scope *scope, struct onnx_span name) {
    uint32_t i = (uint32_t)mmi_hash64(name.at, name.bytes, 0);
    for (;; i++) {
        struct onnx_name *slot = &scope->slots[i & (scope->capacity - 1)];
        bool same = slot->text.bytes == name.bytes && slot->text.at &&
                    memcmp(slot->text.at, name.at, name.bytes) == 0;
        if (!slot->text.at || same) {
            return slot;
        }
    }
}

uint32_t mmi_onnx_find_here(const struct onnx_scope *scope, struct onnx_span name) {
    const struct onnx_name *slot = scope->capacity > 0 ? find_slot(scope, name) : NULL;
    return slot && slot->text.at ? slot->value : ONNX_NO_VALUE;
}

uint32_t mmi_onnx_find_name(const struct onnx_scope *scope, struct onnx_span name) {
    uint32_t value = ONNX_NO_VALUE;
    for (; scope && value == ONNX_NO_VALUE; scope = scope->outer) {
        value = mmi_onnx_find_here(scope, name);
    }
    return value;
}

static bool grow(struct onnx_scope *scope) {
    struct onnx_scope wider = *scope;
    wider.capacity = scope->capacity ? scope->capacity * 2 : FIRST_CAPACITY;
    wider.slots = mmi_onnx_take(scope->arena, wider.capacity, sizeof(*wider.slots));
    if (!wider.slots || wider.capacity < scope->capacity) {
        return false;
    }
    for (uint32_t i = 0; i < scope->capacity; i++) {
        if (scope->slots[i].text.at) {
            *find_slot(&wider, scope->slots[i].text) = scope->slots[i];
        }
    }
    *scope = wider;
    return true;
}

bool mmi_onnx_add_name(struct onnx_scope *scope, struct onnx_span name, uint32_t value) {
    if (scope->count >= scope->capacity / 2 && !grow(scope)) {
        return false;
    }
    *find_slot(scope, name) = (struct onnx_name){name, value};
    scope->count++;
    return true;
}
