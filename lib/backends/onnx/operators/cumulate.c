/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>

/* CumSum, CumProd: each element with all before it along an axis. */

struct cumulate {
    int32_t exclusive, reverse; /* without the element itself; from the end */
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct cumulate *cumulate = params;
    MMI_TRY(mmi_onnx_read_flag(a, "exclusive", false, &cumulate->exclusive, err));
    return mmi_onnx_read_flag(a, "reverse", false, &cumulate->reverse, err);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *input = &x->inputs[0];
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_REALS, err));
    MMI_TRY(mmi_onnx_check_indices(x, 1, err));
    if (x->inputs[1].elements != 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input 1 has %" PRIu64 " elements, 1 wanted",
                        x->inputs[1].elements);
    }
    return mmi_onnx_tensor_set(&x->outputs[0], input->dtype, input->rank, input->shape, err);
}

/* The next element of each of `count` columns: x, to the sum a of those before it. Floats are
 * summed in f64. `results` may be `from`. */
typedef void (*stepper)(void *sums, const void *from, uint64_t count, bool exclusive,
                        void *results);
#define STEP(name, T, Sum, expression)                                                             \
    static void name(void *sums, const void *from, uint64_t count, bool exclusive,                 \
                     void *results) {                                                              \
        const T *in = from;                                                                        \
        Sum *sum = sums;                                                                           \
        T *out = results;                                                                          \
        for (uint64_t i = 0; i < count; i++) {                                                     \
            Sum a = sum[i], x = (Sum)in[i];                                                        \
            sum[i] = expression;                                                                   \
            out[i] = (T)(exclusive ? a : sum[i]);                                                  \
        }                                                                                          \
    }
#define STEPS(name, expression)                                                                    \
    STEP(name##_f32, float, double, expression)                                                    \
    STEP(name##_f64, double, double, expression)                                                   \
    STEP(name##_u64, uint64_t, uint64_t, expression)                                               \
    static const stepper name[ONNX_NUMBERS] = {name##_f32, name##_f64, name##_u64, name##_u64};
STEPS(sums_of, a + x)
STEPS(products_of, (a * x))

/* Elements before, of and after the axis; bytes of an element. */
struct job {
    const struct onnx_call *call;
    struct onnx_split split;
    uint32_t width;
    stepper step;
    bool product;
};

/* `count` columns, the first of which begins at element `first`. */
static void run_columns(const struct job *job, uint64_t first, uint64_t count) {
    const struct cumulate *cumulate = job->call->params;
    int32_t dtype = job->call->inputs[0].dtype;
    union onnx_chunk sums, numbers, results;
    for (uint64_t i = 0; i < count; i++) {
        if (mmi_onnx_number(dtype) == ONNX_F32 || dtype == MM_F64) {
            sums.f64[i] = job->product;
        } else {
            sums.u64[i] = job->product;
        }
    }
    for (uint64_t i = 0; i < job->split.length; i++) {
        uint64_t row = cumulate->reverse ? job->split.length - 1 - i : i;
        uint64_t at = (first + row * job->split.inner) * job->width;
        const uint8_t *from = (const uint8_t *)job->call->in[0] + at;
        job->step(&sums, mmi_onnx_load_numbers(dtype, from, count, &numbers), count,
                  cumulate->exclusive, &results);
        mmi_onnx_store_numbers(dtype, &results, count, (uint8_t *)job->call->out[0] + at);
    }
}

static mm_status run(const struct onnx_call *call, const stepper *steps, bool product,
                     mm_error *err) {
    const struct onnx_tensor *input = &call->inputs[0];
    const struct onnx_tensor axis_input = mmi_onnx_call_input(call, 1);
    int64_t named = mmi_onnx_int_at(&axis_input, 0);
    uint32_t axis;
    if (!mmi_onnx_axis(named, input->rank, &axis)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "axis %" PRId64 " of a tensor with %u axes",
                        named, input->rank);
    }
    struct job job = {.call = call,
                      .split = mmi_onnx_split_at(input, axis),
                      .width = mmi_onnx_element_bytes(input->dtype),
                      .step = steps[mmi_onnx_number(input->dtype)],
                      .product = product};
    for (uint64_t outer = 0; call->out[0] && outer < job.split.outer; outer++) {
        uint64_t first = outer * job.split.length * job.split.inner;
        for (uint64_t i = 0; i < job.split.inner; i += ONNX_CHUNK) {
            run_columns(&job, first + i, mmi_min_u64(ONNX_CHUNK, job.split.inner - i));
        }
    }
    return MM_OK;
}

#define CUMULATE(name_, steps, product)                                                            \
    static mm_status run_##name_(const struct onnx_call *call, mm_error *err) {                    \
        return run(call, steps, product, err);                                                     \
    }                                                                                              \
    const struct onnx_operator mmi_onnx_op_##name_ = {                                             \
        .name = #name_,                                                                            \
        .flags = ONNX_OP_IN_PLACE,                                                                 \
        .min_inputs = 2,                                                                           \
        .max_inputs = 2,                                                                           \
        .min_outputs = 1,                                                                          \
        .max_outputs = 1,                                                                          \
        .params_bytes = sizeof(struct cumulate),                                                   \
        .read = read,                                                                              \
        .infer = infer,                                                                            \
        .run = run_##name_,                                                                        \
        .facts = ONNX_FACTS_LIKE_0,                                                                \
    };
CUMULATE(CumSum, sums_of, false)
CUMULATE(CumProd, products_of, true)
