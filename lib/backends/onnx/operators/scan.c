/* SPDX-License-Identifier: Apache-2.0 */

/* Scan: a graph that runs once for each slice of its inputs. */

#include <backends/onnx/graph/narrow.h>
#include <backends/onnx/operators/iterations.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

/* Inputs: what is carried, then what is scanned, one slice in each iteration. Outputs: carried,
 * then stacked. */

#define ONNX_MAX_SCANNED 32

struct scan {
    int64_t scanned; /* inputs that are */
    int64_t batches; /* of opset 8: everything has a first axis of items, each scanned on its own */
    uint32_t input_axis_count, output_axis_count, input_direction_count, output_direction_count;
    int64_t input_axes[ONNX_MAX_SCANNED], output_axes[ONNX_MAX_SCANNED];
    int64_t input_directions[ONNX_MAX_SCANNED], output_directions[ONNX_MAX_SCANNED];
};

static mm_status read_scan(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct scan *scan = params;
    uint32_t max = ONNX_MAX_SCANNED;
    scan->batches = a->opset < 9;
    if (scan->batches) {
        MMI_TRY(mmi_onnx_read_ints(a, "directions", max, scan->input_directions,
                                   &scan->input_direction_count, err));
    }
    MMI_TRY(mmi_onnx_read_int(a, "num_scan_inputs", 0, &scan->scanned, err));
    MMI_TRY(mmi_onnx_read_ints(a, "scan_input_axes", max, scan->input_axes, &scan->input_axis_count,
                               err));
    MMI_TRY(mmi_onnx_read_ints(a, "scan_output_axes", max, scan->output_axes,
                               &scan->output_axis_count, err));
    MMI_TRY(mmi_onnx_read_ints(a, "scan_input_directions", max, scan->input_directions,
                               &scan->input_direction_count, err));
    return mmi_onnx_read_ints(a, "scan_output_directions", max, scan->output_directions,
                              &scan->output_direction_count, err);
}

/* Inputs of opset 8 begin with the lengths of the items. */
static uint32_t first_of_scan(const struct scan *scan) {
    return scan->batches ? 1 : 0;
}

static mm_status check_scan(const struct onnx_node *node, mm_error *err) {
    const struct scan *scan = node->params;
    int64_t inputs = (int64_t)node->input_count - first_of_scan(scan);
    if (scan->scanned > inputs || node->output_count < inputs - scan->scanned) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "%" PRId64 " inputs, of which %" PRId64 " are scanned, and %u outputs",
                        inputs, scan->scanned, node->output_count);
    }
    return mmi_onnx_check_graph(node, &mmi_onnx_op_Scan, 0, (uint64_t)inputs, node->output_count,
                                err);
}

/* Slice `at` along an axis. */
static mm_status take_slice(const struct onnx_execution *x, const struct onnx_tensor *from,
                            uint32_t axis, uint64_t at, struct onnx_run_value *slice,
                            mm_error *err) {
    int64_t shape[MM_MAX_RANK];
    struct onnx_split split = mmi_onnx_split_at(from, axis);
    memcpy(shape, from->shape, sizeof(shape));
    memmove(shape + axis, shape + axis + 1, (from->rank - 1 - axis) * sizeof(int64_t));
    MMI_TRY(mmi_onnx_make_tensor(x->memory, from->dtype, from->rank - 1, shape, slice, err));
    uint8_t *to = mmi_onnx_value_data(slice);
    if (mmi_onnx_packed_bits(from->dtype) && slice->tensor.bytes > 0) { /* filled bit by bit */
        memset(to, 0, slice->tensor.bytes);
    }
    for (uint64_t outer = 0; outer < split.outer; outer++) {
        mmi_onnx_copy_elements(from->dtype, from->data, (outer * split.length + at) * split.inner,
                               to, outer * split.inner, split.inner);
    }
    return MM_OK;
}

/* *axis of scanned input j, and how many slices all of them have. */
static mm_status scan_axis(const struct onnx_execution *x, uint32_t j, uint32_t *axis,
                           int64_t *length, mm_error *err) {
    const struct scan *scan = x->params;
    uint32_t input = x->input_count - (uint32_t)scan->scanned + j;
    MMI_TRY(mmi_onnx_expect_tensor(x, input, "scanned input", MM_DTYPE_NONE, -1, err));
    const struct onnx_tensor *tensor = &x->inputs[input].tensor;
    int64_t wanted = j < scan->input_axis_count ? scan->input_axes[j] : 0;
    if (!mmi_onnx_axis(wanted, tensor->rank, axis)) {
        return mmi_fail(err, MM_INVALID_MODEL, "input %u is scanned along axis %" PRId64 " of %u",
                        input, wanted, tensor->rank);
    }
    if (j > 0 && *length != tensor->shape[*axis]) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "input %u has %" PRId64 " slices, %" PRId64 " wanted", input,
                        tensor->shape[*axis], *length);
    }
    *length = tensor->shape[*axis];
    return MM_OK;
}

static mm_status scan_once(struct onnx_execution *x, struct onnx_iteration *it, int64_t i,
                           int64_t length, mm_error *err) {
    const struct scan *scan = x->params;
    const struct onnx_graph *graph = x->node->graphs[0];
    uint32_t carried = x->input_count - (uint32_t)scan->scanned;
    for (uint32_t j = 0; j < carried; j++) {
        it->inputs[j] = mmi_onnx_hand_over(&x->outputs[j]);
    }
    for (uint32_t j = 0; j < (uint32_t)scan->scanned; j++) {
        uint32_t axis;
        int64_t count = length;
        MMI_TRY(scan_axis(x, j, &axis, &count, err));
        bool reverse = j < scan->input_direction_count && scan->input_directions[j] == 1;
        MMI_TRY(take_slice(x, &x->inputs[carried + j].tensor, axis,
                           (uint64_t)(reverse ? length - 1 - i : i), &it->inputs[carried + j],
                           err));
    }
    MMI_TRY(x->call(x->ctx, graph, it->inputs, it->outputs, err));
    for (uint32_t j = 0; j < carried; j++) {
        x->outputs[j] = mmi_onnx_hand_over(&it->outputs[j]);
    }
    for (uint32_t j = carried; j < graph->output_count; j++) {
        MMI_TRY(mmi_onnx_push(x, &it->stacks[j], &it->outputs[j], length, err));
        mmi_onnx_drop_value(x->memory, &it->outputs[j]);
    }
    return MM_OK;
}

static mm_status scan_all(struct onnx_execution *x, mm_error *err) {
    const struct scan *scan = x->params;
    const struct onnx_graph *graph = x->node->graphs[0];
    uint32_t carried = x->input_count - (uint32_t)scan->scanned, axis;
    struct onnx_iteration it = {0};
    int64_t length = 0;
    for (uint32_t j = 0; j < (uint32_t)scan->scanned; j++) {
        MMI_TRY(scan_axis(x, j, &axis, &length, err));
    }
    MMI_TRY(mmi_onnx_begin_iterations(x, graph, &it, err));
    for (uint32_t j = 0; j < carried; j++) {
        x->outputs[j] = mmi_onnx_share_value(&x->inputs[j]);
    }
    for (int64_t i = 0; i < length; i++) {
        MMI_TRY(scan_once(x, &it, i, length, err));
    }
    for (uint32_t j = carried; j < graph->output_count; j++) {
        struct onnx_stack *stack = &it.stacks[j];
        uint32_t k = j - carried;
        stack->axis = k < scan->output_axis_count ? scan->output_axes[k] : 0;
        stack->reverse = k < scan->output_direction_count && scan->output_directions[k] == 1;
        const mm_value_info *declared = graph->declared ? &graph->declared[j] : NULL;
        MMI_TRY(mmi_onnx_pop_all(x, stack, declared, &x->outputs[j], err));
    }
    mmi_onnx_block_drop(x->memory, it.block);
    return MM_OK;
}

/* One item: a slice along the first axis of each input. `part` has room for its inputs and
 * outputs. */
static mm_status scan_item(const struct onnx_execution *x, uint64_t item,
                           struct onnx_execution *part, struct onnx_stack *stacks, int64_t items,
                           mm_error *err) {
    struct onnx_run_value *inputs = (struct onnx_run_value *)(uintptr_t)part->inputs;
    for (uint32_t i = 0; i < part->input_count; i++) {
        MMI_TRY(take_slice(x, &x->inputs[i + 1].tensor, 0, item, &inputs[i], err));
    }
    MMI_TRY(scan_all(part, err));
    for (uint32_t i = 0; i < part->input_count; i++) {
        mmi_onnx_drop_value(x->memory, &inputs[i]);
    }
    for (uint32_t i = 0; i < part->output_count; i++) {
        MMI_TRY(mmi_onnx_push(x, &stacks[i], &part->outputs[i], items, err));
        mmi_onnx_drop_value(x->memory, &part->outputs[i]);
    }
    return MM_OK;
}

/* Opset 8. */
static mm_status scan_batches(struct onnx_execution *x, mm_error *err) {
    struct onnx_iteration it = {0}; /* with as many inputs and outputs as the graph has */
    int64_t items = 0;
    if (mmi_onnx_is_given(x, 0)) {
        return mmi_fail(err, MM_UNSUPPORTED, "lengths of its own for each item, of opset 8");
    }
    for (uint32_t i = 1; i < x->input_count; i++) {
        MMI_TRY(mmi_onnx_expect_tensor(x, i, "input", MM_DTYPE_NONE, -1, err));
        const struct onnx_tensor *tensor = &x->inputs[i].tensor;
        bool fits = tensor->rank > 0 && (i == 1 || tensor->shape[0] == items);
        if (!fits) {
            return mmi_fail(err, MM_INVALID_MODEL, "its input %u has not as many items", i);
        }
        items = tensor->shape[0];
    }
    MMI_TRY(mmi_onnx_begin_iterations(x, x->node->graphs[0], &it, err));
    struct onnx_execution part = *x;
    part.input_count = x->input_count - 1;
    part.inputs = it.inputs;
    part.outputs = it.outputs;
    for (int64_t i = 0; i < items; i++) {
        MMI_TRY(scan_item(x, (uint64_t)i, &part, it.stacks, items, err));
    }
    for (uint32_t i = 0; i < x->output_count; i++) {
        MMI_TRY(mmi_onnx_pop_all(x, &it.stacks[i], NULL, &x->outputs[i], err));
    }
    mmi_onnx_block_drop(x->memory, it.block);
    return MM_OK;
}

static mm_status execute_scan(struct onnx_execution *x, mm_error *err) {
    const struct scan *scan = x->params;
    return scan->batches ? scan_batches(x, err) : scan_all(x, err);
}

const struct onnx_operator mmi_onnx_op_Scan = {
    .name = "Scan",
    .min_inputs = 0,
    .max_inputs = ONNX_ANY_NUMBER,
    .min_outputs = 1,
    .max_outputs = ONNX_ANY_NUMBER,
    .params_bytes = sizeof(struct scan),
    .limits = ONNX_LIMITS(
        ONNX_BETWEEN("num_scan_inputs", struct scan, scanned, 1, ONNX_MAX_SCANNED),
        ONNX_BETWEEN("scan_input_axes", struct scan, input_axis_count, 0, ONNX_MAX_SCANNED),
        ONNX_BETWEEN("scan_output_axes", struct scan, output_axis_count, 0, ONNX_MAX_SCANNED),
        ONNX_BETWEEN("scan_input_directions", struct scan, input_direction_count, 0,
                     ONNX_MAX_SCANNED),
        ONNX_BETWEEN("scan_output_directions", struct scan, output_direction_count, 0,
                     ONNX_MAX_SCANNED)),
    .read = read_scan,
    .execute = execute_scan,
    .graphs = {"body"},
    .check_graphs = check_scan,
};
