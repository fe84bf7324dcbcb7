/* SPDX-License-Identifier: Apache-2.0 */

/* The same elements in the same order under another shape: Reshape, Flatten, Squeeze, Unsqueeze,
 * Identity. */

#include <backends/onnx/operators/execution.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/movement.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>

/* Where steps/ cannot simply look at the input's bytes. */
static mm_status run_view(const struct onnx_call *call, mm_error *err) {
    (void)err;
    if (call->out[0] && call->in[0] && call->out[0] != call->in[0]) {
        memcpy(call->out[0], call->in[0], call->outputs[0].bytes);
    }
    return MM_OK;
}

/* The input's elements as `shape`. */
static mm_status set_view(struct onnx_inference *x, uint32_t rank, const int64_t *shape,
                          mm_error *err) {
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], x->inputs[0].dtype, rank, shape, err));
    if (x->outputs[0].elements == x->inputs[0].elements) {
        return MM_OK;
    }
    return mmi_fail(err, MM_INVALID_MODEL,
                    "a tensor of %" PRIu64 " elements cannot become one of %" PRIu64,
                    x->inputs[0].elements, x->outputs[0].elements);
}

/* ---- Reshape --------------------------------------------------------------------------------- */

static mm_status read_reshape(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_reshape *reshape = params;
    return mmi_onnx_read_int(mmi_onnx_since(a, 14), "allowzero", 0, &reshape->allowzero, err);
}

/* The length of the axis that is -1: what the others leave of `elements`. */
static mm_status fill_free_axis(struct onnx_ints *shape, uint32_t free_axis, uint64_t elements,
                                mm_error *err) {
    shape->at[free_axis] = 1;
    uint64_t others = mm_shape_elements(shape->count, shape->at);
    if (others == 0 || elements % others != 0) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "axis %u is to take what the others leave of %" PRIu64
                        " elements, and they have %" PRIu64,
                        free_axis, elements, others);
    }
    shape->at[free_axis] = (int64_t)(elements / others);
    return MM_OK;
}

static mm_status infer_reshape(struct onnx_inference *x, mm_error *err) {
    const struct onnx_reshape *reshape = x->params;
    const struct onnx_tensor *data = &x->inputs[0];
    struct onnx_ints shape;
    uint32_t free_axis = UINT32_MAX;
    MMI_TRY(mmi_onnx_known_ints(x, 1, "shape", &shape, err));
    for (uint32_t i = 0; i < shape.count; i++) {
        if (shape.at[i] == 0 && !reshape->allowzero) {
            if (i >= data->rank) {
                return mmi_fail(err, MM_INVALID_MODEL,
                                "axis %u is to be copied from a tensor with %u axes", i,
                                data->rank);
            }
            shape.at[i] = data->shape[i];
        } else if (shape.at[i] == -1 && free_axis == UINT32_MAX) {
            free_axis = i;
        } else if (shape.at[i] < 0) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "axis %u of its shape is %" PRId64 ", 0 or more wanted, or -1 once", i,
                            shape.at[i]);
        }
    }
    if (free_axis != UINT32_MAX) {
        MMI_TRY(fill_free_axis(&shape, free_axis, data->elements, err));
    }
    return set_view(x, shape.count, shape.at, err);
}

static void learn_reshape(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    (void)output;
    fact->rank = (int32_t)mmi_onnx_fact_length(l, 1);
}

const struct onnx_operator mmi_onnx_op_Reshape = {
    .name = "Reshape",
    .flags = ONNX_OP_VIEW,
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_reshape),
    .shaping_inputs = 1u << 1,
    .read = read_reshape,
    .infer = infer_reshape,
    .run = run_view,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
    .learn = learn_reshape,
};

/* ---- Flatten --------------------------------------------------------------------------------- */

struct flatten {
    int64_t axis;
};

static mm_status read_flatten(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct flatten *flatten = params;
    return mmi_onnx_read_int(a, "axis", 1, &flatten->axis, err);
}

static mm_status infer_flatten(struct onnx_inference *x, mm_error *err) {
    const struct flatten *flatten = x->params;
    const struct onnx_tensor *data = &x->inputs[0];
    uint32_t axis = data->rank;
    if (flatten->axis != (int64_t)data->rank) { /* behind the last axis is allowed here */
        MMI_TRY(mmi_onnx_check_axis(flatten->axis, data->rank, &axis, err));
    }
    uint64_t before = mm_shape_elements(axis, data->shape);
    uint64_t behind = mm_shape_elements(data->rank - axis, data->shape + axis);
    return set_view(x, 2, (const int64_t[]){(int64_t)before, (int64_t)behind}, err);
}

const struct onnx_operator mmi_onnx_op_Flatten = {
    .name = "Flatten",
    .flags = ONNX_OP_VIEW,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct flatten),
    .read = read_flatten,
    .infer = infer_flatten,
    .run = run_view,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_IS_2, ONNX_SIZE_ALIKE, 0},
};

/* ---- Squeeze, Unsqueeze ---------------------------------------------------------------------- */

/* The axes named by input 1, which count in a tensor of `rank` axes, as a set of bits. */
static mm_status read_axes(const struct onnx_inference *x, uint32_t rank, uint32_t *set,
                           mm_error *err) {
    struct onnx_ints axes;
    *set = 0;
    MMI_TRY(mmi_onnx_known_ints(x, 1, "axes", &axes, err));
    for (uint32_t i = 0; i < axes.count; i++) {
        uint32_t axis;
        MMI_TRY(mmi_onnx_check_axis(axes.at[i], rank, &axis, err));
        if (*set & 1u << axis) {
            return mmi_fail(err, MM_INVALID_MODEL, "axis %u is named twice", axis);
        }
        *set |= 1u << axis;
    }
    return MM_OK;
}

static mm_status infer_squeeze(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[0];
    bool named = mmi_onnx_has(x, 1);
    int64_t shape[MM_MAX_RANK];
    uint32_t rank = 0, set = 0;
    if (named) {
        MMI_TRY(read_axes(x, data->rank, &set, err));
    }
    for (uint32_t i = 0; i < data->rank; i++) {
        bool squeezed = named ? set & 1u << i : data->shape[i] == 1;
        if (!squeezed) {
            shape[rank++] = data->shape[i];
        } else if (data->shape[i] != 1) {
            return mmi_fail(err, MM_INVALID_MODEL, "axis %u has %" PRId64 " elements, 1 wanted", i,
                            data->shape[i]);
        }
    }
    return set_view(x, rank, shape, err);
}

static void learn_squeeze(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    int64_t axes = mmi_onnx_fact_length(l, 1), rank = mmi_onnx_fact(l, 0).rank;
    (void)output;
    fact->rank = axes > 0 && rank >= axes ? (int32_t)(rank - axes) : -1;
}

const struct onnx_operator mmi_onnx_op_Squeeze = {
    .name = "Squeeze",
    .flags = ONNX_OP_VIEW,
    .min_inputs = 1,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .shaping_inputs = 1u << 1,
    .infer = infer_squeeze,
    .run = run_view,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
    .learn = learn_squeeze,
};

static mm_status infer_unsqueeze(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[0];
    int64_t shape[MM_MAX_RANK];
    uint64_t rank = data->rank + x->inputs[1].elements;
    uint32_t set = 0, taken = 0;
    if (rank > MM_MAX_RANK) {
        return mmi_fail(err, MM_UNSUPPORTED, "a tensor of %" PRIu64 " axes, at most %u", rank,
                        MM_MAX_RANK);
    }
    MMI_TRY(read_axes(x, (uint32_t)rank, &set, err));
    for (uint32_t i = 0; i < rank; i++) {
        shape[i] = set & 1u << i ? 1 : data->shape[taken++];
    }
    return set_view(x, (uint32_t)rank, shape, err);
}

static void learn_unsqueeze(const struct onnx_learning *l, uint32_t output,
                            struct onnx_fact *fact) {
    int64_t axes = mmi_onnx_fact_length(l, 1), rank = mmi_onnx_fact(l, 0).rank;
    (void)output;
    fact->rank = axes > 0 && axes <= MM_MAX_RANK && rank >= 0 ? (int32_t)(rank + axes) : -1;
}

const struct onnx_operator mmi_onnx_op_Unsqueeze = {
    .name = "Unsqueeze",
    .flags = ONNX_OP_VIEW,
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .shaping_inputs = 1u << 1,
    .infer = infer_unsqueeze,
    .run = run_view,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
    .learn = learn_unsqueeze,
};

/* ExpandDims of com.microsoft: one axis. */
static mm_status infer_expand_dims(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *axis = &x->inputs[1];
    MMI_TRY(mmi_onnx_check_indices(x, 1, err));
    if (axis->rank > 1 || axis->elements != 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "its axis has %" PRIu64 " elements, 1 wanted",
                        axis->elements);
    }
    return infer_unsqueeze(x, err);
}

static void learn_expand_dims(const struct onnx_learning *l, uint32_t output,
                              struct onnx_fact *fact) {
    int32_t rank = mmi_onnx_fact(l, 0).rank;
    (void)output;
    fact->rank = rank >= 0 ? rank + 1 : -1;
}

const struct onnx_operator mmi_onnx_op_MsExpandDims = {
    .name = "ExpandDims",
    .domain = ONNX_MICROSOFT,
    .flags = ONNX_OP_VIEW,
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .shaping_inputs = 1u << 1,
    .infer = infer_expand_dims,
    .run = run_view,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
    .learn = learn_expand_dims,
};

/* ---- Identity -------------------------------------------------------------------------------- */

static mm_status infer_identity(struct onnx_inference *x, mm_error *err) {
    return set_view(x, x->inputs[0].rank, x->inputs[0].shape, err);
}

static mm_status execute_identity(struct onnx_execution *x, mm_error *err) {
    (void)err;
    x->outputs[0] = mmi_onnx_share_value(&x->inputs[0]);
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_Identity = {
    .name = "Identity",
    .execute = execute_identity,
    .flags = ONNX_OP_VIEW,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .infer = infer_identity,
    .run = run_view,
    .order = {ONNX_ORDER_ANY, 0, NULL},
    .facts = ONNX_FACTS_LIKE_0,
};
