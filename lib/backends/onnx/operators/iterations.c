/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/graph/narrow.h>
#include <backends/onnx/operators/iterations.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

mm_status mmi_onnx_check_graph(const struct onnx_node *node, const struct onnx_operator *op,
                               uint32_t i, uint64_t inputs, uint64_t outputs, mm_error *err) {
    const struct onnx_graph *graph = node->graphs[i];
    if (graph->input_count == inputs && graph->output_count == outputs) {
        return MM_OK;
    }
    return mmi_fail(err, MM_INVALID_MODEL,
                    "%s has %u inputs and %u outputs, %" PRIu64 " and %" PRIu64 " wanted",
                    op->graphs[i], graph->input_count, graph->output_count, inputs, outputs);
}

/* ---- Stacks: one slice of an output from each iteration -------------------------------------- */

static bool same_shape(const struct onnx_tensor *slice, const struct onnx_tensor *slices) {
    return slices->dtype == slice->dtype && slices->rank == slice->rank + 1 &&
           memcmp(slices->shape + 1, slice->shape, slice->rank * sizeof(int64_t)) == 0;
}

static mm_status grow(const struct onnx_execution *x, struct onnx_stack *stack,
                      const struct onnx_tensor *slice, int64_t expected, mm_error *err) {
    struct onnx_run_value larger;
    int64_t shape[MM_MAX_RANK + 1];
    int64_t usual = stack->capacity ? 2 * stack->capacity : 8;
    stack->capacity = expected > 0 && expected <= 4096 && !stack->capacity ? expected : usual;
    shape[0] = stack->capacity;
    memcpy(shape + 1, slice->shape, slice->rank * sizeof(int64_t));
    MMI_TRY(mmi_onnx_make_tensor(x->memory, slice->dtype, slice->rank + 1, shape, &larger, err));
    if (mmi_onnx_packed_bits(slice->dtype) && larger.tensor.bytes > 0) { /* filled bit by bit */
        memset(mmi_onnx_value_data(&larger), 0, larger.tensor.bytes);
    }
    if (stack->count > 0) {
        memcpy(mmi_onnx_value_data(&larger), stack->slices.tensor.data,
               mmi_onnx_tensor_bytes(slice->dtype, (uint64_t)stack->count * slice->elements));
    }
    mmi_onnx_drop_value(x->memory, &stack->slices);
    stack->slices = larger;
    return MM_OK;
}

mm_status mmi_onnx_push(const struct onnx_execution *x, struct onnx_stack *stack,
                        const struct onnx_run_value *slice, int64_t expected, mm_error *err) {
    if (!slice->there || slice->kind != MM_TENSOR) {
        return mmi_fail(err, MM_INVALID_MODEL, "an output to be stacked is no tensor");
    }
    if (stack->count > 0 && !same_shape(&slice->tensor, &stack->slices.tensor)) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "an output to be stacked has another shape in iteration %" PRId64,
                        stack->count);
    }
    if (stack->count == stack->capacity) {
        MMI_TRY(grow(x, stack, &slice->tensor, expected, err));
    }
    uint64_t elements = slice->tensor.elements;
    mmi_onnx_copy_elements(slice->tensor.dtype, slice->tensor.data, 0,
                           mmi_onnx_value_data(&stack->slices), (uint64_t)stack->count * elements,
                           elements);
    stack->count++;
    return MM_OK;
}

/* [n, a, b] to [a, n, b], maybe with the slices in reverse order. */
static void interleave(const struct onnx_stack *stack, const struct onnx_tensor *to,
                       uint32_t axis) {
    struct onnx_split split = mmi_onnx_split_at(to, axis);
    void *at = (void *)(uintptr_t)to->data;
    if (mmi_onnx_packed_bits(to->dtype) && to->bytes > 0) {
        memset(at, 0, to->bytes);
    }
    for (uint64_t outer = 0; outer < split.outer; outer++) {
        for (uint64_t i = 0; i < split.length; i++) {
            uint64_t slice = stack->reverse ? split.length - 1 - i : i;
            uint64_t source = slice * split.outer + outer, target = outer * split.length + i;
            mmi_onnx_copy_elements(to->dtype, stack->slices.tensor.data, source * split.inner, at,
                                   target * split.inner, split.inner);
        }
    }
}

/* Without iterations nobody knows the shape: what is declared, and nothing along free axes. */
static mm_status no_slices(const struct onnx_execution *x, const mm_value_info *declared,
                           struct onnx_run_value *result, mm_error *err) {
    int64_t shape[MM_MAX_RANK + 1] = {0};
    uint32_t rank = 1;
    int32_t dtype = declared && declared->dtype ? declared->dtype : MM_F32;
    if (declared && declared->rank > 0) {
        rank = (uint32_t)declared->rank + 1;
        for (int32_t i = 0; i < declared->rank; i++) {
            shape[i + 1] = declared->shape[i] < 0 ? 0 : declared->shape[i];
        }
    }
    return mmi_onnx_make_tensor(x->memory, dtype, rank, shape, result, err);
}

mm_status mmi_onnx_pop_all(const struct onnx_execution *x, struct onnx_stack *stack,
                           const mm_value_info *declared, struct onnx_run_value *result,
                           mm_error *err) {
    if (stack->count == 0) {
        return no_slices(x, declared, result, err);
    }
    struct onnx_tensor *slices = &stack->slices.tensor;
    int64_t shape[MM_MAX_RANK];
    uint32_t axis;
    if (!mmi_onnx_axis(stack->axis, slices->rank, &axis)) {
        return mmi_fail(err, MM_INVALID_MODEL, "an output is stacked along axis %" PRId64 " of %u",
                        stack->axis, slices->rank);
    }
    memcpy(shape, slices->shape + 1, (slices->rank - 1) * sizeof(int64_t));
    memmove(shape + axis + 1, shape + axis, (slices->rank - 1 - axis) * sizeof(int64_t));
    shape[axis] = stack->count;
    if (axis == 0 && !stack->reverse) {
        const void *data = slices->data;
        *result = stack->slices;
        stack->slices = (struct onnx_run_value){0};
        MMI_TRY(mmi_onnx_tensor_set(&result->tensor, result->tensor.dtype, result->tensor.rank,
                                    shape, err));
        result->tensor.data = data;
        return MM_OK;
    }
    MMI_TRY(mmi_onnx_make_tensor(x->memory, slices->dtype, slices->rank, shape, result, err));
    interleave(stack, &result->tensor, axis);
    mmi_onnx_drop_value(x->memory, &stack->slices);
    return MM_OK;
}

/* ---- Memory of an iteration ------------------------------------------------------------------ */

mm_status mmi_onnx_begin_iterations(const struct onnx_execution *x, const struct onnx_graph *graph,
                                    struct onnx_iteration *it, mm_error *err) {
    uint64_t values = (uint64_t)graph->input_count + graph->output_count;
    uint64_t bytes = values * sizeof(*it->inputs) + graph->output_count * sizeof(*it->stacks);
    it->block = mmi_onnx_block_take(x->memory, bytes);
    if (!it->block) {
        return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS, "no room for its iterations");
    }
    memset(mmi_onnx_block_data(it->block), 0, bytes);
    it->inputs = mmi_onnx_block_data(it->block);
    it->outputs = it->inputs + graph->input_count;
    it->stacks = (struct onnx_stack *)(it->outputs + graph->output_count);
    return MM_OK;
}
