/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/steps/memory_plan.h>
#include <base/checked.h>

#include <stdlib.h>

#define ALIGN 64

uint32_t mmi_onnx_plan_add(struct onnx_memory_plan *plan, uint64_t bytes, uint32_t at) {
    if (!mmi_onnx_grow(plan->arena, (void **)&plan->buffers, &plan->capacity, plan->count,
                       sizeof(*plan->buffers))) {
        return ONNX_NO_BUFFER;
    }
    uint32_t index = plan->count++;
    plan->buffers[index] = (struct onnx_buffer){
        .bytes = bytes, .first = at, .last = at, .shares = index, .output = ONNX_NO_OUTPUT};
    return index;
}

struct onnx_buffer *mmi_onnx_plan_buffer(struct onnx_memory_plan *plan, uint32_t index) {
    while (plan->buffers[index].shares != index) {
        index = plan->buffers[index].shares;
    }
    return &plan->buffers[index];
}

void mmi_onnx_plan_share(struct onnx_memory_plan *plan, uint32_t input, uint32_t result,
                         uint32_t at) {
    struct onnx_buffer *in = mmi_onnx_plan_buffer(plan, input);
    struct onnx_buffer *out = mmi_onnx_plan_buffer(plan, result);
    bool free = in != out && in->last == at && out->first == at && in->bytes == out->bytes;
    if (free && in->output == ONNX_NO_OUTPUT && out->output == ONNX_NO_OUTPUT) {
        in->last = out->last;
        out->shares = (uint32_t)(in - plan->buffers);
    }
}

static uint64_t round_up(uint64_t bytes) {
    return mmi_add_cap(bytes, ALIGN - 1) & ~(uint64_t)(ALIGN - 1);
}

static int by_size(const void *a_, const void *b_) {
    const struct onnx_buffer *a = *(struct onnx_buffer *const *)a_;
    const struct onnx_buffer *b = *(struct onnx_buffer *const *)b_;
    if (a->bytes != b->bytes) {
        return a->bytes < b->bytes ? 1 : -1;
    }
    return a < b ? -1 : 1; /* deterministic: qsort is not stable */
}

/* Where `buffer` overlaps none of the placed ones, which are sorted by offset. */
static uint64_t lowest_offset(const struct onnx_buffer *buffer, struct onnx_buffer *const *placed,
                              uint32_t count) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct onnx_buffer *other = placed[i];
        bool together = other->first <= buffer->last && buffer->first <= other->last;
        if (!together || other->offset + other->bytes <= at) {
            continue;
        }
        if (other->offset >= at + buffer->bytes) {
            break;
        }
        at = (other->offset + other->bytes + ALIGN - 1) & ~(uint64_t)(ALIGN - 1);
    }
    return at;
}

static void insert(struct onnx_buffer **placed, uint32_t count, struct onnx_buffer *buffer) {
    uint32_t at = count;
    while (at > 0 && placed[at - 1]->offset > buffer->offset) {
        placed[at] = placed[at - 1];
        at--;
    }
    placed[at] = buffer;
}

bool mmi_onnx_plan_offsets(struct onnx_memory_plan *plan, uint64_t *bytes) {
    struct onnx_buffer **buffers =
        mmi_onnx_take(plan->arena, 2 * (uint64_t)plan->count, sizeof(*buffers));
    if (!buffers) {
        return false;
    }
    struct onnx_buffer **placed = buffers + plan->count;
    uint32_t count = 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < plan->count; i++) {
        struct onnx_buffer *buffer = &plan->buffers[i];
        bool planned = buffer->shares == i && buffer->output == ONNX_NO_OUTPUT && buffer->bytes > 0;
        if (planned) {
            buffers[count++] = buffer;
        } else if (buffer->output == ONNX_A_RESULT) {
            buffer->offset = plan->result_bytes;
            plan->result_bytes = mmi_add_cap(buffer->offset, round_up(buffer->bytes));
        }
        sum = mmi_add_cap(sum, mmi_add_cap(buffer->bytes, ALIGN));
    }
    if (sum > PTRDIFF_MAX) {
        return false; /* no sum of offsets below can overflow after this */
    }
    qsort(buffers, count, sizeof(struct onnx_buffer *), by_size);
    *bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        buffers[i]->offset = lowest_offset(buffers[i], placed, i);
        insert(placed, i, buffers[i]);
        *bytes = mmi_max_u64(*bytes, buffers[i]->offset + buffers[i]->bytes);
    }
    return true;
}
