/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <math.h>

/* ArgMax, ArgMin: where along an axis the best element is. */

struct arg {
    int64_t axis;
    int32_t keepdims, last; /* last: of equal ones the last */
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct arg *arg = params;
    MMI_TRY(mmi_onnx_read_int(a, "axis", 0, &arg->axis, err));
    MMI_TRY(mmi_onnx_read_flag(a, "keepdims", true, &arg->keepdims, err));
    return mmi_onnx_read_flag(mmi_onnx_since(a, 12), "select_last_index", false, &arg->last, err);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct arg *arg = x->params;
    const struct onnx_tensor *input = &x->inputs[0];
    int64_t shape[MM_MAX_RANK];
    uint32_t axis, rank = 0;
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_REALS, err));
    MMI_TRY(mmi_onnx_check_axis(arg->axis, input->rank, &axis, err));
    for (uint32_t i = 0; i < input->rank; i++) {
        if (i != axis || arg->keepdims) {
            shape[rank++] = i == axis ? 1 : input->shape[i];
        }
    }
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], MM_I64, rank, shape, err));
    if (input->shape[axis] == 0 && x->outputs[0].elements > 0) {
        return mmi_fail(err, MM_INVALID_MODEL, "axis %u of its input has no elements", axis);
    }
    return MM_OK;
}

/* ---- Scanning -------------------------------------------------------------------------------- */

/* Columns beside each other, or one column whose elements are: a row. */
struct scan {
    bool min, last;
    union onnx_chunk best; /* of each column so far */
    int64_t indices[ONNX_CHUNK];
};

/* Element x of a column is better than b, the best so far. What is no number is better than all
 * that is. */
#define BETTER(not_number)                                                                         \
    ((min ? x < b : x > b) || (last && x == b) || (not_number(x) && (last || !not_number(b))))
#define NEVER(x) false

/* Index `index` of each column; with index 0 they begin. */
#define COLUMNS(name, T, field, not_number)                                                        \
    static void name(struct scan *scan, const void *from, uint64_t count, int64_t index) {         \
        const T *in = from;                                                                        \
        bool min = scan->min, last = scan->last;                                                   \
        for (uint64_t i = 0; i < count; i++) {                                                     \
            T x = in[i], b = scan->best.field[i];                                                  \
            if (index == 0 || BETTER(not_number)) {                                                \
                scan->best.field[i] = x;                                                           \
                scan->indices[i] = index;                                                          \
            }                                                                                      \
        }                                                                                          \
    }
/* Indices [index, index + count) of one column. */
#define ROW(name, T, field, not_number)                                                            \
    static void name(struct scan *scan, const void *from, uint64_t count, int64_t index) {         \
        const T *in = from;                                                                        \
        bool min = scan->min, last = scan->last;                                                   \
        T b = index == 0 ? in[0] : scan->best.field[0];                                            \
        scan->indices[0] = index == 0 ? 0 : scan->indices[0];                                      \
        for (uint64_t i = index == 0; i < count; i++) {                                            \
            T x = in[i];                                                                           \
            if (BETTER(not_number)) {                                                              \
                b = x;                                                                             \
                scan->indices[0] = index + (int64_t)i;                                             \
            }                                                                                      \
        }                                                                                          \
        scan->best.field[0] = b;                                                                   \
    }
#define BOTH(field, T, not_number)                                                                 \
    COLUMNS(columns_##field, T, field, not_number)                                                 \
    ROW(row_##field, T, field, not_number)
BOTH(f32, float, isnan)
BOTH(f64, double, isnan)
BOTH(i64, int64_t, NEVER)
BOTH(u64, uint64_t, NEVER)

typedef void (*scanner)(struct scan *scan, const void *from, uint64_t count, int64_t index);
static const scanner columns[ONNX_NUMBERS] = {columns_f32, columns_f64, columns_i64, columns_u64};
static const scanner rows[ONNX_NUMBERS] = {row_f32, row_f64, row_i64, row_u64};

/* ---- All of it ------------------------------------------------------------------------------- */

static void run(const struct onnx_call *call, bool min) {
    const struct arg *arg = call->params;
    const struct onnx_tensor *input = &call->inputs[0];
    struct scan scan = {.min = min, .last = arg->last};
    enum onnx_number number = mmi_onnx_number(input->dtype);
    uint32_t axis, width = mmi_onnx_element_bytes(input->dtype);
    mmi_onnx_axis(arg->axis, input->rank, &axis);
    struct onnx_split split = mmi_onnx_split_at(input, axis);
    bool row = split.inner == 1;
    uint64_t results = call->out[0] ? call->outputs[0].elements : 0;
    int64_t *out = call->out[0];
    for (uint64_t first = 0, count; first < results; first += count) {
        uint64_t column = first % split.inner, down = row ? ONNX_CHUNK : 1;
        const uint8_t *from = call->in[0];
        from += (first / split.inner * split.length * split.inner + column) * width;
        count = mmi_min_u64(ONNX_CHUNK, split.inner - column);
        for (uint64_t i = 0; i < split.length; i += down) {
            union onnx_chunk numbers;
            uint64_t taken = row ? mmi_min_u64(down, split.length - i) : count;
            const void *loaded = mmi_onnx_load_numbers(input->dtype, from + i * split.inner * width,
                                                       taken, &numbers);
            (row ? rows : columns)[number](&scan, loaded, taken, (int64_t)i);
        }
        memcpy(out + first, scan.indices, count * sizeof(*out));
    }
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    const struct arg *arg = l->node->params;
    int32_t rank = mmi_onnx_fact(l, 0).rank;
    (void)output;
    fact->rank = arg->keepdims || rank < 1 ? rank : rank - 1;
}

#define ARG(name_, min)                                                                            \
    static mm_status run_##name_(const struct onnx_call *call, mm_error *err) {                    \
        (void)err;                                                                                 \
        run(call, min);                                                                            \
        return MM_OK;                                                                              \
    }                                                                                              \
    const struct onnx_operator mmi_onnx_op_##name_ = {                                             \
        .name = #name_,                                                                            \
        .min_inputs = 1,                                                                           \
        .max_inputs = 1,                                                                           \
        .min_outputs = 1,                                                                          \
        .max_outputs = 1,                                                                          \
        .params_bytes = sizeof(struct arg),                                                        \
        .read = read,                                                                              \
        .infer = infer,                                                                            \
        .run = run_##name_,                                                                        \
        .facts = {MM_I64, ONNX_RANK_UNKNOWN, ONNX_SIZE_REDUCES, 0},                                \
        .learn = learn,                                                                            \
    };
ARG(ArgMax, false)
ARG(ArgMin, true)
