/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/graph/run_value.h>
#include <base/checked.h>
#include <base/status.h>

#include <string.h>

#define ALIGN 64
#define FIRST_CHUNK (UINT64_C(64) << 10)
#define LARGEST_CHUNK (UINT64_C(4) << 20)

struct onnx_run_block {
    struct onnx_run_block *next; /* in a list of free ones */
    uint64_t bytes;              /* of its class, without this head */
    uint64_t items;              /* run values that begin its data; they end with it */
    uint32_t holders, class;
};
_Static_assert(sizeof(struct onnx_run_block) <= ALIGN, "a block begins with its head");

/* ---- Blocks ---------------------------------------------------------------------------------- */

/* Four sizes from each power of two to the next, from 64 bytes on: a block is at most a quarter
 * larger than what was asked for. */
static uint32_t class_of(uint64_t bytes, uint64_t *size) {
    uint32_t shift = 0;
    uint64_t units = (bytes + ALIGN - 1) / ALIGN;
    units = units < 4 ? 4 : units;
    while (units >> shift >= 8) {
        shift++;
    }
    uint64_t rounded = ((units - 1) >> shift) + 1; /* 4 .. 8 */
    *size = (rounded << shift) * ALIGN;
    return 4 * shift + (uint32_t)rounded - 4;
}

void *mmi_onnx_block_data(struct onnx_run_block *block) {
    return (uint8_t *)block + ALIGN;
}

/* From the rest of the newest chunk, or a new one. */
static void *carve(struct onnx_run_memory *memory, uint64_t bytes) {
    if (bytes > memory->rest_bytes) {
        uint64_t usual = memory->chunk_bytes ? memory->chunk_bytes * 2 : FIRST_CHUNK;
        memory->chunk_bytes = mmi_min_u64(usual, LARGEST_CHUNK);
        if (bytes > memory->chunk_bytes / 2) {
            return memory->more(memory->ctx, bytes); /* the rest stays in use */
        }
        void *chunk = memory->more(memory->ctx, memory->chunk_bytes);
        if (!chunk) {
            return NULL;
        }
        memory->rest = chunk;
        memory->rest_bytes = memory->chunk_bytes;
    }
    void *at = memory->rest;
    memory->rest += bytes;
    memory->rest_bytes -= bytes;
    return at;
}

struct onnx_run_block *mmi_onnx_block_take(struct onnx_run_memory *memory, uint64_t bytes) {
    if (bytes >= PTRDIFF_MAX / 2) {
        return NULL;
    }
    uint64_t size;
    uint32_t class = class_of(bytes, &size);
    struct onnx_run_block *block = memory->free ? memory->free[class] : NULL;
    if (block) {
        memory->free[class] = block->next;
    } else {
        block = carve(memory, size + ALIGN);
    }
    if (block) {
        *block = (struct onnx_run_block){.bytes = size, .holders = 1, .class = class};
    }
    return block;
}

void *mmi_onnx_take_run_text(void *memory, uint64_t bytes) {
    struct onnx_run_block *block = mmi_onnx_block_take(memory, bytes);
    return block ? mmi_onnx_block_data(block) : NULL;
}

void mmi_onnx_block_hold(struct onnx_run_block *block) {
    if (block) {
        block->holders++;
    }
}

void mmi_onnx_block_drop(struct onnx_run_memory *memory, struct onnx_run_block *block) {
    if (!block || --block->holders > 0) {
        return;
    }
    struct onnx_run_value *items = mmi_onnx_block_data(block);
    for (uint64_t i = 0; i < block->items; i++) {
        mmi_onnx_drop_value(memory, &items[i]);
    }
    if (memory->free) {
        block->next = memory->free[block->class];
        memory->free[block->class] = block;
    }
}

#define TEXT_CHUNK (UINT64_C(16) << 10)

char *mmi_onnx_take_text_memory(struct onnx_run_memory *memory, uint64_t bytes) {
    if (bytes > TEXT_CHUNK / 4) {
        return bytes < PTRDIFF_MAX / 2 ? memory->more(memory->ctx, bytes) : NULL;
    }
    if (bytes > memory->text_bytes || !memory->text) {
        memory->text = memory->more(memory->ctx, TEXT_CHUNK);
        memory->text_bytes = memory->text ? TEXT_CHUNK : 0;
    }
    char *at = memory->text;
    if (at) {
        memory->text += bytes;
        memory->text_bytes -= bytes;
    }
    return at;
}

/* ---- Values ---------------------------------------------------------------------------------- */

static mm_status no_room(uint64_t bytes, mm_error *err) {
    return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS, "no room for %llu bytes of a result",
                    (unsigned long long)bytes);
}

mm_status mmi_onnx_make_tensor(struct onnx_run_memory *memory, int32_t dtype, uint32_t rank,
                               const int64_t *shape, struct onnx_run_value *value, mm_error *err) {
    *value = (struct onnx_run_value){0};
    MMI_TRY(mmi_onnx_tensor_set(&value->tensor, dtype, rank, shape, err));
    value->block = mmi_onnx_block_take(memory, value->tensor.bytes);
    if (!value->block) {
        return no_room(value->tensor.bytes, err);
    }
    value->tensor.data = mmi_onnx_block_data(value->block);
    value->there = true;
    return MM_OK;
}

mm_status mmi_onnx_make_items(struct onnx_run_memory *memory, int32_t kind, uint64_t count,
                              struct onnx_run_value *value, mm_error *err) {
    uint64_t bytes;
    *value = (struct onnx_run_value){0};
    value->block =
        mmi_mul(count, sizeof(*value), &bytes) ? mmi_onnx_block_take(memory, bytes) : NULL;
    if (!value->block) {
        return no_room(bytes, err);
    }
    value->kind = kind;
    value->there = true;
    value->items = mmi_onnx_block_data(value->block);
    value->item_count = value->block->items = count;
    memset(value->items, 0, bytes);
    return MM_OK;
}

struct onnx_run_value mmi_onnx_share_value(const struct onnx_run_value *value) {
    mmi_onnx_block_hold(value->block);
    return *value;
}

void mmi_onnx_drop_value(struct onnx_run_memory *memory, struct onnx_run_value *value) {
    struct onnx_run_block *block = value->block;
    *value = (struct onnx_run_value){0};
    mmi_onnx_block_drop(memory, block);
}
