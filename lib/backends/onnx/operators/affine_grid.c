/* SPDX-License-Identifier: Apache-2.0 */

/* AffineGrid: evenly spaced places of an image, each moved by the matrix of its batch: what
 * GridSample reads. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/status.h>

#include <inttypes.h>

#define AXES 3

struct affine_grid {
    int64_t align_corners;
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct affine_grid *grid = params;
    return mmi_onnx_read_int(a, "align_corners", 0, &grid->align_corners, err);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *theta = &x->inputs[0];
    struct onnx_ints size;
    int64_t shape[AXES + 2] = {0};
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_FLOATS, err));
    MMI_TRY(mmi_onnx_known_ints(x, 1, "size", &size, err));
    uint32_t axes = size.count < 2 ? 0 : size.count - 2;
    bool fits = (axes == 2 || axes == 3) && theta->rank == 3 && theta->shape[0] == size.at[0] &&
                theta->shape[1] == axes && theta->shape[2] == axes + 1;
    if (!fits) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its matrices have %u axes, its size %u numbers; [N, 2, 3] and 4, or "
                        "[N, 3, 4] and 5 wanted",
                        theta->rank, size.count);
    }
    shape[0] = size.at[0];
    for (uint32_t i = 0; i < axes; i++) {
        shape[i + 1] = size.at[i + 2];
    }
    shape[axes + 1] = axes;
    return mmi_onnx_tensor_set(&x->outputs[0], theta->dtype, axes + 2, shape, err);
}

/* Place `i` of `count`: their centres where corners are aligned are the ends of [-1, 1]. */
static double place_of(bool aligned, uint64_t i, uint64_t count) {
    if (aligned) {
        return count > 1 ? -1 + 2 * (double)i / (double)(count - 1) : 0;
    }
    return (2 * (double)i + 1) / (double)count - 1;
}

static void move_place(const struct onnx_tensor *theta, uint64_t batch, const double *place,
                       double *moved) {
    uint32_t axes = (uint32_t)theta->shape[1];
    for (uint32_t i = 0; i < axes; i++) {
        uint64_t row = (batch * axes + i) * (axes + 1);
        moved[i] = mmi_onnx_float_at(theta, row + axes);
        for (uint32_t j = 0; j < axes; j++) {
            moved[i] += mmi_onnx_float_at(theta, row + j) * place[j];
        }
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct affine_grid *grid = call->params;
    const struct onnx_tensor *output = &call->outputs[0];
    struct onnx_tensor theta = mmi_onnx_call_input(call, 0);
    uint32_t axes = output->rank - 2, width = mmi_onnx_element_bytes(output->dtype);
    uint8_t *to = call->out[0];
    (void)err;
    for (uint64_t i = 0; to && i < output->elements / axes; i++, to += axes * width) {
        double place[AXES], moved[AXES]; /* the last axis first */
        uint64_t rest = i;
        for (uint32_t axis = axes; axis-- > 0;) {
            uint64_t count = (uint64_t)output->shape[axis + 1];
            place[axes - 1 - axis] = place_of(grid->align_corners, rest % count, count);
            rest /= count;
        }
        move_place(&theta, rest, place, moved);
        mmi_onnx_convert(MM_F64, moved, axes, output->dtype, to);
    }
    return MM_OK;
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    int64_t numbers = mmi_onnx_fact_length(l, 1);
    (void)output;
    fact->rank = numbers == 4 || numbers == 5 ? (int32_t)numbers : -1;
}

const struct onnx_operator mmi_onnx_op_AffineGrid = {
    .name = "AffineGrid",
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct affine_grid),
    .shaping_inputs = 1u << 1,
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_SPREADS, 0},
    .learn = learn,
};
