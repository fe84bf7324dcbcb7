/* SPDX-License-Identifier: Apache-2.0 */

/* Axes in another order: Transpose; and blocks of pixels that become channels and back:
 * SpaceToDepth, DepthToSpace. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/movement.h>
#include <backends/onnx/operators/unpacked.h>
#include <base/status.h>

#include <inttypes.h>

/* ---- Transpose ------------------------------------------------------------------------------- */

static mm_status read_transpose(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_transpose *transpose = params;
    return mmi_onnx_read_ints(a, "perm", MM_MAX_RANK, transpose->perm, &transpose->count, err);
}

static mm_status infer_transpose(struct onnx_inference *x, mm_error *err) {
    const struct onnx_transpose *transpose = x->params;
    const struct onnx_tensor *data = &x->inputs[0];
    int64_t shape[MM_MAX_RANK];
    uint32_t seen = 0;
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    if (transpose->count != 0 && transpose->count != data->rank) {
        return mmi_fail(err, MM_INVALID_MODEL, "perm names %u axes of a tensor with %u",
                        transpose->count, data->rank);
    }
    for (uint32_t i = 0; i < transpose->count; i++) {
        bool inside = transpose->perm[i] >= 0 && transpose->perm[i] < (int64_t)data->rank;
        if (!inside || seen & 1u << transpose->perm[i]) {
            return mmi_fail(err, MM_INVALID_MODEL, "perm is no order of %u axes: %" PRId64,
                            data->rank, transpose->perm[i]);
        }
        seen |= 1u << transpose->perm[i];
    }
    for (uint32_t i = 0; i < data->rank; i++) {
        shape[i] = data->shape[mmi_onnx_source_axis(transpose, data->rank, i)];
    }
    return mmi_onnx_tensor_set(&x->outputs[0], data->dtype, data->rank, shape, err);
}

/* Axes that move past axes of one element move nothing. */
static bool is_view_transpose(const struct onnx_inference *x) {
    const struct onnx_tensor *data = &x->inputs[0];
    uint32_t before = 0;
    for (uint32_t i = 0; i < data->rank; i++) {
        uint32_t axis = mmi_onnx_source_axis(x->params, data->rank, i);
        if (data->shape[axis] != 1) {
            if (axis < before) {
                return false;
            }
            before = axis;
        }
    }
    return true;
}

static mm_status run_transpose(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct onnx_tensor *input = &call->inputs[0], *output = &call->outputs[0];
    struct onnx_move move = {.width = mmi_onnx_element_bytes(output->dtype)};
    int64_t from[MM_MAX_RANK], to[MM_MAX_RANK];
    if (output->bytes == 0) {
        return MM_OK;
    }
    mmi_onnx_byte_strides(input, from);
    mmi_onnx_byte_strides(output, to);
    for (uint32_t i = 0; i < output->rank; i++) {
        uint32_t source = mmi_onnx_source_axis(call->params, input->rank, i);
        mmi_onnx_move_axis(&move, (uint64_t)output->shape[i], from[source], to[i]);
    }
    mmi_onnx_move(&move, call->in[0], call->out[0]);
    return MM_OK;
}

ONNX_UNPACKED(transpose)

const struct onnx_operator mmi_onnx_op_Transpose = {
    .name = "Transpose",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_transpose),
    .limits = ONNX_LIMITS(ONNX_BETWEEN("perm", struct onnx_transpose, count, 0, MM_MAX_RANK)),
    .read = read_transpose,
    .infer = infer_unpacked_transpose,
    .run = run_unpacked_transpose,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
    .is_view = is_view_transpose,
};

/* ---- DepthToSpace, SpaceToDepth -------------------------------------------------------------- */

struct blocks {
    int64_t size;
    int32_t column_row_depth; /* DepthToSpace in mode CRD */
    uint32_t reserved;
};

static mm_status read_blocks(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct blocks *blocks = params;
    return mmi_onnx_read_int(a, "blocksize", 0, &blocks->size, err);
}

static mm_status read_depth(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const modes[] = {"DCR", "CRD", NULL};
    struct blocks *blocks = params;
    MMI_TRY(
        mmi_onnx_read_choice(mmi_onnx_since(a, 11), "mode", modes, &blocks->column_row_depth, err));
    return read_blocks(a, params, err);
}

/* An axis that is cut into blocks. */
static mm_status check_divisible(const struct onnx_tensor *data, uint32_t axis, int64_t by,
                                 mm_error *err) {
    if (data->shape[axis] % by == 0) {
        return MM_OK;
    }
    return mmi_fail(err, MM_INVALID_MODEL,
                    "axis %u has %" PRId64 " elements, no multiple of %" PRId64, axis,
                    data->shape[axis], by);
}

static mm_status check_image(const struct onnx_inference *x, mm_error *err) {
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    if (x->inputs[0].rank == 4) {
        return MM_OK;
    }
    return mmi_fail(err, MM_INVALID_MODEL, "its input has %u axes, 4 wanted", x->inputs[0].rank);
}

static mm_status infer_depth_to_space(struct onnx_inference *x, mm_error *err) {
    const struct blocks *blocks = x->params;
    const struct onnx_tensor *data = &x->inputs[0];
    int64_t size = blocks->size, shape[4];
    MMI_TRY(check_image(x, err));
    MMI_TRY(check_divisible(data, 1, size * size, err));
    shape[0] = data->shape[0];
    shape[1] = data->shape[1] / (size * size);
    if (__builtin_mul_overflow(data->shape[2], size, &shape[2]) ||
        __builtin_mul_overflow(data->shape[3], size, &shape[3])) {
        return mmi_fail(err, MM_INVALID_MODEL, "an image too large for blocks of %" PRId64, size);
    }
    return mmi_onnx_tensor_set(&x->outputs[0], data->dtype, 4, shape, err);
}

static mm_status infer_space_to_depth(struct onnx_inference *x, mm_error *err) {
    const struct blocks *blocks = x->params;
    const struct onnx_tensor *data = &x->inputs[0];
    int64_t size = blocks->size, shape[4];
    MMI_TRY(check_image(x, err));
    MMI_TRY(check_divisible(data, 2, size, err));
    MMI_TRY(check_divisible(data, 3, size, err));
    shape[0] = data->shape[0];
    shape[2] = data->shape[2] / size;
    shape[3] = data->shape[3] / size;
    if (__builtin_mul_overflow(data->shape[1], size * size, &shape[1])) {
        return mmi_fail(err, MM_INVALID_MODEL, "an image too large for blocks of %" PRId64, size);
    }
    return mmi_onnx_tensor_set(&x->outputs[0], data->dtype, 4, shape, err);
}

/* An image in which each block of pixels became one pixel with more channels, or the other way
 * round, has six axes: where they lie in the deep image and in the wide one. */
enum { IMAGE, CHANNEL, ROW, COLUMN, ROW_IN_BLOCK, COLUMN_IN_BLOCK, BLOCK_AXES };
struct block_axis {
    int64_t count, deep, wide; /* elements, and strides in elements */
};

static void place_blocks(const struct onnx_tensor *deep, const struct blocks *blocks,
                         struct block_axis axes[BLOCK_AXES]) {
    int64_t size = blocks->size, channels = deep->shape[1] / (size * size);
    int64_t rows = deep->shape[2], columns = deep->shape[3];
    int64_t plane = rows * columns, wide_row = columns * size, wide_plane = plane * size * size;
    /* how far apart in the deep image: channels of one pixel, pixels of one channel */
    int64_t channel = blocks->column_row_depth ? plane * size * size : plane;
    int64_t pixel = blocks->column_row_depth ? plane : plane * channels;
    axes[IMAGE] = (struct block_axis){deep->shape[0], wide_plane * channels, wide_plane * channels};
    axes[CHANNEL] = (struct block_axis){channels, channel, wide_plane};
    axes[ROW] = (struct block_axis){rows, columns, wide_row * size};
    axes[COLUMN] = (struct block_axis){columns, 1, size};
    axes[ROW_IN_BLOCK] = (struct block_axis){size, pixel * size, wide_row};
    axes[COLUMN_IN_BLOCK] = (struct block_axis){size, pixel, 1};
}

/* order: the axes as the output has them. */
static void move_blocks(const struct onnx_call *call, bool to_depth,
                        const uint8_t order[BLOCK_AXES]) {
    struct onnx_move move = {.width = mmi_onnx_element_bytes(call->outputs[0].dtype)};
    struct block_axis axes[BLOCK_AXES];
    if (call->outputs[0].bytes == 0) {
        return;
    }
    place_blocks(to_depth ? &call->outputs[0] : &call->inputs[0], call->params, axes);
    for (uint32_t i = 0; i < BLOCK_AXES; i++) {
        const struct block_axis *axis = &axes[order[i]];
        int64_t deep = axis->deep * move.width, wide = axis->wide * move.width;
        mmi_onnx_move_axis(&move, (uint64_t)axis->count, to_depth ? wide : deep,
                           to_depth ? deep : wide);
    }
    mmi_onnx_move(&move, call->in[0], call->out[0]);
}

static mm_status run_depth_to_space(const struct onnx_call *call, mm_error *err) {
    (void)err;
    static const uint8_t order[] = {IMAGE, CHANNEL, ROW, ROW_IN_BLOCK, COLUMN, COLUMN_IN_BLOCK};
    move_blocks(call, false, order);
    return MM_OK;
}

static mm_status run_space_to_depth(const struct onnx_call *call, mm_error *err) {
    (void)err;
    static const uint8_t order[] = {IMAGE, ROW_IN_BLOCK, COLUMN_IN_BLOCK, CHANNEL, ROW, COLUMN};
    move_blocks(call, true, order);
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_DepthToSpace = {
    .name = "DepthToSpace",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct blocks),
    .limits = ONNX_LIMITS(ONNX_BETWEEN("blocksize", struct blocks, size, 1, INT16_MAX)),
    .read = read_depth,
    .infer = infer_depth_to_space,
    .run = run_depth_to_space,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
};

const struct onnx_operator mmi_onnx_op_SpaceToDepth = {
    .name = "SpaceToDepth",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct blocks),
    .limits = ONNX_LIMITS(ONNX_BETWEEN("blocksize", struct blocks, size, 1, INT16_MAX)),
    .read = read_blocks,
    .infer = infer_space_to_depth,
    .run = run_space_to_depth,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
};
