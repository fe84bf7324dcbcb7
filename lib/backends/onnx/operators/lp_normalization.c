/* SPDX-License-Identifier: Apache-2.0 */

/* LpNormalization: elements divided by the norm of those along an axis. Where that is 0, they
 * stay. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>

struct lp {
    int64_t axis, p;
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct lp *lp = params;
    MMI_TRY(mmi_onnx_read_int(a, "axis", -1, &lp->axis, err));
    return mmi_onnx_read_int(a, "p", 2, &lp->p, err);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct lp *lp = x->params;
    const struct onnx_tensor *input = &x->inputs[0];
    uint32_t axis;
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_FLOATS, err));
    MMI_TRY(mmi_onnx_check_axis(lp->axis, input->rank, &axis, err));
    return mmi_onnx_tensor_set(&x->outputs[0], input->dtype, input->rank, input->shape, err);
}

/* Columns beside each other: `length` rows of `count` elements, `step` bytes apart. */
struct columns {
    int64_t p;
    int32_t dtype;
    uint64_t length, count, step;
    const uint8_t *from;
    uint8_t *to;
};

static void normalise_columns(const struct columns *columns) {
    double norms[ONNX_CHUNK] = {0};
    union onnx_chunk numbers, results;
    for (uint64_t i = 0; i < columns->length; i++) {
        const double *x = mmi_onnx_load_as(
            ONNX_F64, columns->dtype, columns->from + i * columns->step, columns->count, &numbers);
        for (uint64_t j = 0; j < columns->count; j++) {
            norms[j] += columns->p == 1 ? fabs(x[j]) : x[j] * x[j];
        }
    }
    for (uint64_t j = 0; j < columns->count; j++) {
        double norm = columns->p == 1 ? norms[j] : sqrt(norms[j]);
        norms[j] = norm == 0 ? 1 : norm;
    }
    for (uint64_t i = 0; i < columns->length; i++) {
        const double *x = mmi_onnx_load_as(
            ONNX_F64, columns->dtype, columns->from + i * columns->step, columns->count, &numbers);
        for (uint64_t j = 0; j < columns->count; j++) {
            results.f64[j] = x[j] / norms[j];
        }
        mmi_onnx_convert(MM_F64, &results, columns->count, columns->dtype,
                         columns->to + i * columns->step);
    }
}

/* One column whose elements lie beside each other. */
static void normalise_row(const struct columns *row, uint32_t width) {
    union onnx_chunk numbers;
    double norm = 0;
    for (uint64_t i = 0; i < row->length; i += ONNX_CHUNK) {
        uint64_t n = mmi_min_u64(ONNX_CHUNK, row->length - i);
        const double *x =
            mmi_onnx_load_as(ONNX_F64, row->dtype, row->from + i * width, n, &numbers);
        for (uint64_t j = 0; j < n; j++) {
            norm += row->p == 1 ? fabs(x[j]) : x[j] * x[j];
        }
    }
    norm = row->p == 1 ? norm : sqrt(norm);
    for (uint64_t i = 0; i < row->length && norm != 0; i += ONNX_CHUNK) {
        union onnx_chunk results;
        uint64_t n = mmi_min_u64(ONNX_CHUNK, row->length - i);
        const double *x =
            mmi_onnx_load_as(ONNX_F64, row->dtype, row->from + i * width, n, &numbers);
        for (uint64_t j = 0; j < n; j++) {
            results.f64[j] = x[j] / norm;
        }
        mmi_onnx_convert(MM_F64, &results, n, row->dtype, row->to + i * width);
    }
    if (norm == 0 && row->to != row->from) {
        memcpy(row->to, row->from, row->length * width);
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct lp *lp = call->params;
    const struct onnx_tensor *input = &call->inputs[0];
    uint32_t axis = 0, width = mmi_onnx_element_bytes(input->dtype);
    (void)err;
    if (input->elements == 0) {
        return MM_OK;
    }
    mmi_onnx_axis(lp->axis, input->rank, &axis);
    struct onnx_split split = mmi_onnx_split_at(input, axis);
    struct columns columns = {.p = lp->p, .dtype = input->dtype, .length = split.length};
    columns.step = split.inner * width;
    for (uint64_t outer = 0; call->out[0] && outer < split.outer; outer++) {
        for (uint64_t i = 0; i < split.inner; i += ONNX_CHUNK) {
            uint64_t at = outer * split.length * columns.step + i * width;
            columns.count = mmi_min_u64(ONNX_CHUNK, split.inner - i);
            columns.from = (const uint8_t *)call->in[0] + at;
            columns.to = (uint8_t *)call->out[0] + at;
            if (split.inner == 1) {
                normalise_row(&columns, width);
            } else {
                normalise_columns(&columns);
            }
        }
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_LpNormalization = {
    .name = "LpNormalization",
    .flags = ONNX_OP_IN_PLACE,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct lp),
    .limits = ONNX_LIMITS(ONNX_BETWEEN("p", struct lp, p, 1, 2)),
    .read = read,
    .infer = infer,
    .run = run,
    .facts = ONNX_FACTS_LIKE_0,
};
