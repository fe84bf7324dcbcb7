/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/steps/weights.h>
#include <base/checked.h>
#include <base/status.h>

#include <string.h>

#define ALIGN 64
#define GROUP_BYTES (UINT64_C(4) << 20)
#define MIB (UINT64_C(1) << 20)

/* Constants that stay in the description: their elements may decide shapes, which must be known
 * where no weights are. */
#define SMALL_BYTES 256
#define SMALL_INTEGER_BYTES 4096

static bool is_small(const struct onnx_tensor *constant) {
    bool floats = constant->dtype == MM_F32 || constant->dtype == MM_F64 ||
                  constant->dtype == MM_F16 || constant->dtype == MM_BF16;
    if (constant->dtype == MM_STRING) {
        return true; /* its elements point to text, which the blob has no place for */
    }
    return constant->layout == ONNX_PLAIN &&
           constant->bytes <= (floats ? SMALL_BYTES : SMALL_INTEGER_BYTES);
}

static bool place(const struct onnx_model *model, uint32_t value, struct onnx_weights *weights) {
    if (value == ONNX_NO_VALUE || !model->values[value].constant ||
        is_small(model->values[value].constant) || weights->offsets[value] != ONNX_NO_WEIGHT) {
        return true;
    }
    uint64_t end;
    if (!mmi_add(weights->bytes, model->values[value].constant->bytes, &end) ||
        !mmi_round_up(end, ALIGN, &end)) {
        return false;
    }
    weights->offsets[value] = weights->bytes;
    weights->bytes = end;
    return true;
}

static bool place_graph(const struct onnx_model *model, const struct onnx_graph *graph,
                        struct onnx_weights *weights) {
    bool fits = true;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct onnx_node *node = graph->nodes[i];
        for (uint32_t j = 0; j < node->input_count; j++) {
            fits &= place(model, node->inputs[j], weights);
        }
        for (uint32_t b = 0; b < node->graph_count; b++) {
            fits &= place_graph(model, node->graphs[b], weights);
        }
    }
    for (uint32_t i = 0; i < graph->output_count; i++) {
        fits &= place(model, graph->outputs[i], weights);
    }
    return fits;
}

mm_status mmi_onnx_place_weights(const struct onnx_model *model, struct onnx_weights *weights,
                                 mm_error *err) {
    weights->bytes = 0;
    weights->offsets = mmi_onnx_take(model->arena, model->value_count, sizeof(*weights->offsets));
    if (!weights->offsets) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for the order of weights");
    }
    memset(weights->offsets, 0xff, model->value_count * sizeof(*weights->offsets));
    bool fits = place_graph(model, model->main, weights);
    for (uint32_t i = 0; model->defaults && i < model->main->input_count; i++) {
        fits &= place(model, model->defaults[i], weights);
    }
    return fits ? MM_OK
                : mmi_fail(err, MM_INVALID_MODEL, "the weights are larger than memory can be");
}

/* Values by their place in the blob. */
static mm_status in_order(const struct onnx_model *model, const struct onnx_weights *weights,
                          uint32_t **order, uint32_t *count, mm_error *err) {
    /* Offsets are multiples of 64, and rise with the order of placing. */
    uint64_t slots = weights->bytes / ALIGN;
    uint32_t *at = mmi_onnx_take(model->arena, slots, sizeof(*at));
    if (!at) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for the order of weights");
    }
    for (uint32_t i = 0; i < model->value_count; i++) {
        if (weights->offsets[i] != ONNX_NO_WEIGHT) {
            at[weights->offsets[i] / ALIGN] = i + 1;
        }
    }
    *count = 0;
    for (uint64_t i = 0; i < slots; i++) {
        if (at[i]) {
            at[(*count)++] = at[i] - 1;
        }
    }
    *order = at;
    return MM_OK;
}

static mm_status write_one(const struct onnx_tensor *weight, const mm_sink *sink, mm_error *err) {
    static const uint8_t zeros[ALIGN];
    const uint8_t *data = weight->data;
    for (uint64_t done = 0; done < weight->bytes;) {
        uint64_t count = mmi_min_u64(weight->bytes - done, MIB);
        if (sink->cancelled(sink->ctx)) {
            return mmi_fail(err, MM_CANCELLED, "cancelled");
        }
        MMI_TRY(sink->weights(sink->ctx, data + done, count, err));
        done += count;
    }
    uint64_t padding = -weight->bytes & (ALIGN - 1);
    return padding ? sink->weights(sink->ctx, zeros, padding, err) : MM_OK;
}

mm_status mmi_onnx_write_weights(const struct onnx_model *model, const struct onnx_weights *weights,
                                 const mm_sink *sink, mm_error *err) {
    uint32_t *order = NULL, count = 0;
    MMI_TRY(in_order(model, weights, &order, &count, err));
    MMI_TRY(sink->expect(sink->ctx, weights->bytes, err));
    uint64_t group_begin = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t offset = weights->offsets[order[i]];
        if (offset - group_begin >= GROUP_BYTES) {
            MMI_TRY(sink->group(sink->ctx, err));
            group_begin = offset;
        }
        MMI_TRY(write_one(model->values[order[i]].constant, sink, err));
        sink->progress(sink->ctx, (uint32_t)(500 + 500 * offset / weights->bytes));
    }
    return MM_OK;
}
