/* SPDX-License-Identifier: Apache-2.0 */

/* TensorScatter: rows of an update written into a cache, from an index on that each sample of the
 * batch has. */

#include <backends/onnx/operators/move.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

struct tensor_scatter {
    int64_t axis;
    int32_t circular;
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const modes[] = {"linear", "circular", NULL};
    struct tensor_scatter *p = params;
    MMI_TRY(mmi_onnx_read_int(a, "axis", -2, &p->axis, err));
    return mmi_onnx_read_choice(a, "mode", modes, &p->circular, err);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct tensor_scatter *p = x->params;
    const struct onnx_tensor *cache = &x->inputs[0], *update = &x->inputs[1];
    const struct onnx_tensor *starts = &x->inputs[2];
    uint32_t axis;
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    MMI_TRY(mmi_onnx_check_axis(p->axis, cache->rank, &axis, err));
    if (axis == 0) {
        return mmi_fail(err, MM_INVALID_MODEL, "axis is that of the batch");
    }
    bool fits = cache->dtype == update->dtype && cache->rank == update->rank;
    for (uint32_t i = 0; i < cache->rank && fits; i++) {
        fits =
            i == axis ? update->shape[i] <= cache->shape[i] : update->shape[i] == cache->shape[i];
    }
    if (!fits) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its update, %s of %u axes, does not fit its cache, %s of %u axes",
                        mm_dtype_text(update->dtype), update->rank, mm_dtype_text(cache->dtype),
                        cache->rank);
    }
    if (mmi_onnx_has(x, 2)) {
        MMI_TRY(mmi_onnx_check_indices(x, 2, err));
        if (starts->rank != 1 || starts->shape[0] != cache->shape[0]) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "%" PRIu64 " write_indices for a batch of %" PRId64, starts->elements,
                            cache->shape[0]);
        }
    }
    return mmi_onnx_tensor_set(&x->outputs[0], cache->dtype, cache->rank, cache->shape, err);
}

/* The place of the first row of a sample. */
static mm_status start_of(const struct onnx_call *call, uint64_t sample, uint64_t length,
                          uint64_t written, uint64_t *start, mm_error *err) {
    const struct tensor_scatter *p = call->params;
    struct onnx_tensor starts = mmi_onnx_call_input(call, 2);
    int64_t at = starts.known ? mmi_onnx_int_at(&starts, sample) : 0, most = (int64_t)length;
    if (p->circular) {
        at = (at % most + most) % most;
    } else if (at < 0 || at > most - (int64_t)written) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "write index %" PRId64 " of sample %" PRIu64 ", 0 to %" PRId64 " wanted",
                        at, sample, most - (int64_t)written);
    }
    *start = (uint64_t)at;
    return MM_OK;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct tensor_scatter *p = call->params;
    const struct onnx_tensor *cache = &call->inputs[0], *update = &call->inputs[1];
    uint32_t axis;
    if (!call->out[0]) {
        return MM_OK;
    }
    mmi_onnx_axis(p->axis, cache->rank, &axis);
    struct onnx_split split = mmi_onnx_split_at(cache, axis);
    uint64_t row = split.inner * mmi_onnx_element_bytes(cache->dtype);
    uint64_t written = (uint64_t)update->shape[axis];
    uint64_t parts = split.outer / (uint64_t)cache->shape[0]; /* of each sample */
    const uint8_t *from = call->in[1];
    if (call->out[0] != call->in[0]) {
        memcpy(call->out[0], call->in[0], cache->bytes);
    }
    for (uint64_t i = 0; i < split.outer && written > 0; i++) {
        uint64_t start = 0;
        MMI_TRY(start_of(call, i / parts, split.length, written, &start, err));
        uint8_t *to = (uint8_t *)call->out[0] + i * split.length * row;
        uint64_t before = mmi_min_u64(written, split.length - start);
        memcpy(to + start * row, from, before * row);
        memcpy(to, from + before * row, (written - before) * row);
        from += written * row;
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_TensorScatter = {
    .name = "TensorScatter",
    .min_inputs = 2,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct tensor_scatter),
    .read = read,
    .infer = infer,
    .run = run,
    .facts = ONNX_FACTS_LIKE_0,
};
