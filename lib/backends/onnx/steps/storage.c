/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/steps/storage.h>
#include <base/checked.h>

#include <stdlib.h>

#define ALIGN 64

uint32_t mmi_onnx_add_storage(struct onnx_storages *storages, uint64_t bytes, uint32_t at) {
    if (!mmi_onnx_grow(storages->arena, (void **)&storages->all, &storages->capacity,
                       storages->count, sizeof(*storages->all))) {
        return ONNX_NO_STORAGE;
    }
    uint32_t index = storages->count++;
    storages->all[index] = (struct onnx_storage){
        .bytes = bytes, .first = at, .last = at, .joined = index, .output = ONNX_NO_OUTPUT};
    return index;
}

struct onnx_storage *mmi_onnx_storage(struct onnx_storages *storages, uint32_t index) {
    while (storages->all[index].joined != index) {
        index = storages->all[index].joined;
    }
    return &storages->all[index];
}

void mmi_onnx_join_storage(struct onnx_storages *storages, uint32_t input, uint32_t result,
                           uint32_t at) {
    struct onnx_storage *in = mmi_onnx_storage(storages, input);
    struct onnx_storage *out = mmi_onnx_storage(storages, result);
    bool free = in != out && in->last == at && out->first == at && in->bytes == out->bytes;
    if (free && in->output == ONNX_NO_OUTPUT && out->output == ONNX_NO_OUTPUT) {
        in->last = out->last;
        out->joined = (uint32_t)(in - storages->all);
    }
}

static int by_size(const void *a_, const void *b_) {
    const struct onnx_storage *a = *(struct onnx_storage *const *)a_;
    const struct onnx_storage *b = *(struct onnx_storage *const *)b_;
    if (a->bytes != b->bytes) {
        return a->bytes < b->bytes ? 1 : -1;
    }
    return a < b ? -1 : 1; /* the same order each time */
}

/* The lowest offset at which `block` meets none of the placed ones, which are in order of
 * offset. */
static uint64_t lowest(const struct onnx_storage *block, struct onnx_storage *const *placed,
                       uint32_t count) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct onnx_storage *other = placed[i];
        bool together = other->first <= block->last && block->first <= other->last;
        if (!together || other->offset + other->bytes <= at) {
            continue;
        }
        if (other->offset >= at + block->bytes) {
            break;
        }
        at = (other->offset + other->bytes + ALIGN - 1) & ~(uint64_t)(ALIGN - 1);
    }
    return at;
}

static void insert(struct onnx_storage **placed, uint32_t count, struct onnx_storage *block) {
    uint32_t at = count;
    while (at > 0 && placed[at - 1]->offset > block->offset) {
        placed[at] = placed[at - 1];
        at--;
    }
    placed[at] = block;
}

bool mmi_onnx_lay_out(struct onnx_storages *storages, uint64_t *bytes) {
    struct onnx_storage **blocks =
        mmi_onnx_take(storages->arena, 2 * (uint64_t)storages->count, sizeof(*blocks));
    if (!blocks) {
        return false;
    }
    struct onnx_storage **placed = blocks + storages->count;
    uint32_t count = 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < storages->count; i++) {
        struct onnx_storage *block = &storages->all[i];
        bool own = block->joined == i && block->output == ONNX_NO_OUTPUT && block->bytes > 0;
        if (own) {
            blocks[count++] = block;
            sum = mmi_add_cap(sum, mmi_add_cap(block->bytes, ALIGN));
        }
    }
    if (sum > PTRDIFF_MAX) {
        return false; /* no sum of offsets below can overflow after this */
    }
    qsort(blocks, count, sizeof(struct onnx_storage *), by_size);
    *bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        blocks[i]->offset = lowest(blocks[i], placed, i);
        insert(placed, i, blocks[i]);
        *bytes = mmi_max_u64(*bytes, blocks[i]->offset + blocks[i]->bytes);
    }
    return true;
}
