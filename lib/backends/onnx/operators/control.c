/* SPDX-License-Identifier: Apache-2.0 */

/* If, Loop and Scan: nodes that run graphs. */

#include <backends/onnx/operators/execution.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

/* Inputs and outputs of graph i of a node. */
static mm_status check_counts(const struct onnx_node *node, const struct onnx_operator *op,
                              uint32_t i, uint64_t inputs, uint64_t outputs, mm_error *err) {
    const struct onnx_graph *graph = node->graphs[i];
    if (graph->input_count == inputs && graph->output_count == outputs) {
        return MM_OK;
    }
    return mmi_fail(err, MM_INVALID_MODEL,
                    "%s has %u inputs and %u outputs, %" PRIu64 " and %" PRIu64 " wanted",
                    op->graphs[i], graph->input_count, graph->output_count, inputs, outputs);
}

/* ---- If -------------------------------------------------------------------------------------- */

static mm_status check_if(const struct onnx_node *node, mm_error *err) {
    for (uint32_t i = 0; i < 2; i++) {
        MMI_TRY(check_counts(node, &mmi_onnx_op_If, i, 0, node->output_count, err));
    }
    return MM_OK;
}

static mm_status execute_if(struct onnx_execution *x, mm_error *err) {
    MMI_TRY(mmi_onnx_expect_tensor(x, 0, "condition", MM_BOOL, -1, err));
    int64_t condition;
    MMI_TRY(mmi_onnx_expect_number(x, 0, "condition", &condition, err));
    return x->call(x->ctx, x->node->graphs[condition ? 0 : 1], NULL, x->outputs, err);
}

const struct onnx_operator mmi_onnx_op_If = {
    .name = "If",
    .flags = ONNX_OP_CONTROL,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = ONNX_ANY_NUMBER,
    .shaping_inputs = 1u << 0,
    .execute = execute_if,
    .graphs = {"then_branch", "else_branch"},
    .check_graphs = check_if,
};

/* ---- Stacks: one slice of an output from each iteration -------------------------------------- */

struct stack {
    struct onnx_run_value slices; /* [capacity, ...], of which `count` are there */
    int64_t count, capacity;
    int64_t axis; /* of the result; may be negative */
    bool reverse;
};

static bool same_shape(const struct onnx_tensor *slice, const struct onnx_tensor *slices) {
    return slices->dtype == slice->dtype && slices->rank == slice->rank + 1 &&
           memcmp(slices->shape + 1, slice->shape, slice->rank * sizeof(int64_t)) == 0;
}

static mm_status grow(const struct onnx_execution *x, struct stack *stack,
                      const struct onnx_tensor *slice, int64_t expected, mm_error *err) {
    struct onnx_run_value larger;
    int64_t shape[MM_MAX_RANK + 1];
    int64_t usual = stack->capacity ? 2 * stack->capacity : 8;
    stack->capacity = expected > 0 && expected <= 4096 && !stack->capacity ? expected : usual;
    shape[0] = stack->capacity;
    memcpy(shape + 1, slice->shape, slice->rank * sizeof(int64_t));
    MMI_TRY(mmi_onnx_make_tensor(x->memory, slice->dtype, slice->rank + 1, shape, &larger, err));
    if (stack->count > 0) {
        memcpy(mmi_onnx_value_data(&larger), stack->slices.tensor.data,
               (uint64_t)stack->count * slice->bytes);
    }
    mmi_onnx_drop_value(x->memory, &stack->slices);
    stack->slices = larger;
    return MM_OK;
}

/* expected: how many there will be; 0: nobody knows. */
static mm_status push(const struct onnx_execution *x, struct stack *stack,
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
    uint8_t *to = mmi_onnx_value_data(&stack->slices);
    if (slice->tensor.bytes > 0) {
        memcpy(to + (uint64_t)stack->count * slice->tensor.bytes, slice->tensor.data,
               slice->tensor.bytes);
    }
    stack->count++;
    return MM_OK;
}

/* [n, a, b] to [a, n, b], maybe with the slices in reverse order. */
static void interleave(const struct stack *stack, const struct onnx_tensor *to, uint32_t axis) {
    struct onnx_split split = mmi_onnx_split_at(to, axis);
    uint64_t inner = mmi_onnx_tensor_bytes(to->dtype, split.inner);
    const uint8_t *from = stack->slices.tensor.data;
    uint8_t *at = (uint8_t *)(uintptr_t)to->data;
    for (uint64_t outer = 0; outer < split.outer; outer++) {
        for (uint64_t i = 0; i < split.length; i++, at += inner) {
            uint64_t slice = stack->reverse ? split.length - 1 - i : i;
            memcpy(at, from + (slice * split.outer + outer) * inner, inner);
        }
    }
}

/* Without iterations nobody knows the shape: what is declared of it, and nothing along free axes. */
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

/* The stack as an output; it is empty afterwards. */
static mm_status pop_all(const struct onnx_execution *x, struct stack *stack,
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

/* The inputs and outputs of a graph, and a stack for each output; all zeroed. */
struct iteration {
    struct onnx_run_block *block;
    struct onnx_run_value *inputs, *outputs;
    struct stack *stacks; /* [output_count] */
};

static mm_status begin(const struct onnx_execution *x, const struct onnx_graph *graph,
                       struct iteration *it, mm_error *err) {
    uint64_t values = (uint64_t)graph->input_count + graph->output_count;
    uint64_t bytes = values * sizeof(*it->inputs) + graph->output_count * sizeof(*it->stacks);
    it->block = mmi_onnx_block_take(x->memory, bytes);
    if (!it->block) {
        return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS, "no room for its iterations");
    }
    memset(mmi_onnx_block_data(it->block), 0, bytes);
    it->inputs = mmi_onnx_block_data(it->block);
    it->outputs = it->inputs + graph->input_count;
    it->stacks = (struct stack *)(it->outputs + graph->output_count);
    return MM_OK;
}

/* From now on another holder's. */
static struct onnx_run_value hand_over(struct onnx_run_value *value) {
    struct onnx_run_value moved = *value;
    *value = (struct onnx_run_value){0};
    return moved;
}

static mm_status make_number(const struct onnx_execution *x, int32_t dtype, int64_t number,
                             struct onnx_run_value *value, mm_error *err) {
    MMI_TRY(mmi_onnx_make_tensor(x->memory, dtype, 0, NULL, value, err));
    memcpy(mmi_onnx_value_data(value), &number, value->tensor.bytes); /* the low bytes come first */
    return MM_OK;
}

/* ---- Loop ------------------------------------------------------------------------------------ */

/* Inputs: the most iterations, the first condition, then what is carried. Of its graph: iteration,
 * condition, carried; its outputs: condition, carried, then what is stacked. */

static uint32_t carried_by_loop(const struct onnx_node *node) {
    return node->input_count > 2 ? node->input_count - 2 : 0;
}

static mm_status check_loop(const struct onnx_node *node, mm_error *err) {
    uint32_t carried = carried_by_loop(node);
    if (node->output_count < carried) {
        return mmi_fail(err, MM_INVALID_MODEL, "%u outputs, %u or more wanted", node->output_count,
                        carried);
    }
    return check_counts(node, &mmi_onnx_op_Loop, 0, (uint64_t)carried + 2,
                        (uint64_t)node->output_count + 1, err);
}

static mm_status keeps_going(const struct onnx_run_value *value, bool *going, mm_error *err) {
    if (!value->there || value->kind != MM_TENSOR || value->tensor.dtype != MM_BOOL ||
        value->tensor.elements != 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "its condition is no single bool");
    }
    *going = mmi_onnx_int_at(&value->tensor, 0) != 0;
    return MM_OK;
}

static mm_status iterate(struct onnx_execution *x, struct iteration *it, int64_t i, int64_t most,
                         bool *going, mm_error *err) {
    const struct onnx_graph *graph = x->node->graphs[0];
    uint32_t carried = carried_by_loop(x->node);
    MMI_TRY(make_number(x, MM_I64, i, &it->inputs[0], err));
    MMI_TRY(make_number(x, MM_BOOL, 1, &it->inputs[1], err));
    for (uint32_t j = 0; j < carried; j++) {
        it->inputs[2 + j] = hand_over(&x->outputs[j]);
    }
    MMI_TRY(x->call(x->ctx, graph, it->inputs, it->outputs, err));
    MMI_TRY(keeps_going(&it->outputs[0], going, err));
    mmi_onnx_drop_value(x->memory, &it->outputs[0]);
    for (uint32_t j = 0; j < carried; j++) {
        x->outputs[j] = hand_over(&it->outputs[1 + j]);
    }
    for (uint32_t j = 1 + carried; j < graph->output_count; j++) {
        MMI_TRY(push(x, &it->stacks[j], &it->outputs[j], most == INT64_MAX ? 0 : most, err));
        mmi_onnx_drop_value(x->memory, &it->outputs[j]);
    }
    return MM_OK;
}

static mm_status execute_loop(struct onnx_execution *x, mm_error *err) {
    const struct onnx_graph *graph = x->node->graphs[0];
    struct iteration it;
    int64_t most = INT64_MAX;
    bool going = true;
    MMI_TRY(mmi_onnx_is_given(x, 0) ? mmi_onnx_expect_number(x, 0, "count", &most, err) : MM_OK);
    MMI_TRY(mmi_onnx_is_given(x, 1) ? keeps_going(&x->inputs[1], &going, err) : MM_OK);
    MMI_TRY(begin(x, graph, &it, err));
    uint32_t carried = carried_by_loop(x->node);
    for (uint32_t j = 0; j < carried; j++) {
        x->outputs[j] = mmi_onnx_share_value(&x->inputs[2 + j]);
    }
    for (int64_t i = 0; i < most && going; i++) {
        MMI_TRY(iterate(x, &it, i, most, &going, err));
    }
    for (uint32_t j = 1 + carried; j < graph->output_count; j++) {
        const mm_value_info *declared = graph->declared ? &graph->declared[j] : NULL;
        MMI_TRY(pop_all(x, &it.stacks[j], declared, &x->outputs[j - 1], err));
    }
    mmi_onnx_block_drop(x->memory, it.block);
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_Loop = {
    .name = "Loop",
    .min_inputs = 0,
    .max_inputs = ONNX_ANY_NUMBER,
    .min_outputs = 0,
    .max_outputs = ONNX_ANY_NUMBER,
    .execute = execute_loop,
    .graphs = {"body"},
    .check_graphs = check_loop,
};

/* ---- Scan ------------------------------------------------------------------------------------ */

/* Inputs: what is carried, then what is scanned, one slice in each iteration. Outputs: carried, then
 * stacked. */

#define ONNX_MAX_SCANNED 32

struct scan {
    int64_t scanned; /* inputs that are */
    uint32_t input_axis_count, output_axis_count, input_direction_count, output_direction_count;
    int64_t input_axes[ONNX_MAX_SCANNED], output_axes[ONNX_MAX_SCANNED];
    int64_t input_directions[ONNX_MAX_SCANNED], output_directions[ONNX_MAX_SCANNED];
};

static mm_status read_scan(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct scan *scan = params;
    uint32_t max = ONNX_MAX_SCANNED;
    MMI_TRY(mmi_onnx_read_int(a, "num_scan_inputs", 0, &scan->scanned, err));
    MMI_TRY(mmi_onnx_read_ints(a, "scan_input_axes", max, scan->input_axes, &scan->input_axis_count,
                               err));
    MMI_TRY(mmi_onnx_read_ints(a, "scan_output_axes", max, scan->output_axes,
                               &scan->output_axis_count, err));
    MMI_TRY(mmi_onnx_read_ints(a, "scan_input_directions", max, scan->input_directions,
                               &scan->input_direction_count, err));
    MMI_TRY(mmi_onnx_read_ints(a, "scan_output_directions", max, scan->output_directions,
                               &scan->output_direction_count, err));
    if (scan->scanned < 1 || scan->scanned > max) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "attribute num_scan_inputs is %" PRId64 ", 1 to %u wanted", scan->scanned,
                        max);
    }
    return MM_OK;
}

static mm_status check_scan(const struct onnx_node *node, mm_error *err) {
    const struct scan *scan = node->params;
    if (scan->scanned > node->input_count ||
        node->output_count < node->input_count - (uint32_t)scan->scanned) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "%u inputs, of which %" PRId64 " are scanned, and %u outputs",
                        node->input_count, scan->scanned, node->output_count);
    }
    return check_counts(node, &mmi_onnx_op_Scan, 0, node->input_count, node->output_count, err);
}

/* Slice `at` along an axis. */
static mm_status take_slice(const struct onnx_execution *x, const struct onnx_tensor *from,
                            uint32_t axis, uint64_t at, struct onnx_run_value *slice,
                            mm_error *err) {
    int64_t shape[MM_MAX_RANK];
    struct onnx_split split = mmi_onnx_split_at(from, axis);
    uint64_t inner = mmi_onnx_tensor_bytes(from->dtype, split.inner);
    memcpy(shape, from->shape, sizeof(shape));
    memmove(shape + axis, shape + axis + 1, (from->rank - 1 - axis) * sizeof(int64_t));
    MMI_TRY(mmi_onnx_make_tensor(x->memory, from->dtype, from->rank - 1, shape, slice, err));
    uint8_t *to = mmi_onnx_value_data(slice);
    for (uint64_t outer = 0; outer < split.outer; outer++, to += inner) {
        memcpy(to, (const uint8_t *)from->data + (outer * split.length + at) * inner, inner);
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

static mm_status scan_once(struct onnx_execution *x, struct iteration *it, int64_t i,
                           int64_t length, mm_error *err) {
    const struct scan *scan = x->params;
    const struct onnx_graph *graph = x->node->graphs[0];
    uint32_t carried = x->input_count - (uint32_t)scan->scanned;
    for (uint32_t j = 0; j < carried; j++) {
        it->inputs[j] = hand_over(&x->outputs[j]);
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
        x->outputs[j] = hand_over(&it->outputs[j]);
    }
    for (uint32_t j = carried; j < graph->output_count; j++) {
        MMI_TRY(push(x, &it->stacks[j], &it->outputs[j], length, err));
        mmi_onnx_drop_value(x->memory, &it->outputs[j]);
    }
    return MM_OK;
}

static mm_status execute_scan(struct onnx_execution *x, mm_error *err) {
    const struct scan *scan = x->params;
    const struct onnx_graph *graph = x->node->graphs[0];
    uint32_t carried = x->input_count - (uint32_t)scan->scanned, axis;
    struct iteration it;
    int64_t length = 0;
    for (uint32_t j = 0; j < (uint32_t)scan->scanned; j++) {
        MMI_TRY(scan_axis(x, j, &axis, &length, err));
    }
    MMI_TRY(begin(x, graph, &it, err));
    for (uint32_t j = 0; j < carried; j++) {
        x->outputs[j] = mmi_onnx_share_value(&x->inputs[j]);
    }
    for (int64_t i = 0; i < length; i++) {
        MMI_TRY(scan_once(x, &it, i, length, err));
    }
    for (uint32_t j = carried; j < graph->output_count; j++) {
        struct stack *stack = &it.stacks[j];
        uint32_t k = j - carried;
        stack->axis = k < scan->output_axis_count ? scan->output_axes[k] : 0;
        stack->reverse = k < scan->output_direction_count && scan->output_directions[k] == 1;
        const mm_value_info *declared = graph->declared ? &graph->declared[j] : NULL;
        MMI_TRY(pop_all(x, stack, declared, &x->outputs[j], err));
    }
    mmi_onnx_block_drop(x->memory, it.block);
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_Scan = {
    .name = "Scan",
    .min_inputs = 1,
    .max_inputs = ONNX_ANY_NUMBER,
    .min_outputs = 1,
    .max_outputs = ONNX_ANY_NUMBER,
    .params_bytes = sizeof(struct scan),
    .read = read_scan,
    .execute = execute_scan,
    .graphs = {"body"},
    .check_graphs = check_scan,
};
