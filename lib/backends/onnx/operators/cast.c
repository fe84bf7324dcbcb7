/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/cast.h>
#include <backends/onnx/operators/number.h>
#include <backends/onnx/operators/number_text.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    return mmi_onnx_read_int32(a, "to", MM_DTYPE_NONE, &((struct onnx_cast *)params)->to, err);
}

/* How floats of 8 bits are made. */
static mm_status read_like(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const modes[] = {"up", "down", "nearest", NULL};
    struct onnx_cast *cast = params;
    MMI_TRY(mmi_onnx_read_flag(mmi_onnx_since(a, 19), "saturate", true, &cast->how.saturate, err));
    return mmi_onnx_read_choice(mmi_onnx_since(a, 24), "round_mode", modes, &cast->how.round, err);
}

static mm_status read_cast(const struct onnx_attributes *a, void *params, mm_error *err) {
    MMI_TRY(read_like(a, params, err));
    return read(a, params, err);
}

static mm_status infer_to(struct onnx_inference *x, int32_t to, mm_error *err) {
    const struct onnx_tensor *input = &x->inputs[0];
    const uint32_t types = ONNX_REALS | ONNX_BOOL | ONNX_NARROW | ONNX_TYPE(MM_STRING);
    MMI_TRY(mmi_onnx_check_type(x, 0, types, err));
    if (!(types >> to & 1)) {
        return mmi_fail(err, MM_UNSUPPORTED, "a cast to %s is not supported", mm_dtype_text(to));
    }
    return mmi_onnx_tensor_set(&x->outputs[0], to, input->rank, input->shape, err);
}

static mm_status run_cast(const struct onnx_call *call, mm_error *err) {
    const struct onnx_cast *cast = call->params;
    int32_t from = call->inputs[0].dtype, to = call->outputs[0].dtype;
    struct onnx_conversion conversion = {from, to, &cast->how};
    if (!call->out[0]) {
        return MM_OK;
    }
    if (from == MM_STRING && to == MM_STRING) {
        memmove(call->out[0], call->in[0], call->outputs[0].bytes);
        return MM_OK;
    }
    if (from == MM_STRING) {
        return mmi_onnx_read_numbers(call, &conversion, err);
    }
    if (to == MM_STRING) {
        return mmi_onnx_write_numbers(call, err);
    }
    mmi_onnx_convert_by(&conversion, call->in[0], call->inputs[0].elements, call->out[0]);
    return MM_OK;
}

static mm_status infer_cast(struct onnx_inference *x, mm_error *err) {
    return infer_to(x, ((const struct onnx_cast *)x->params)->to, err);
}

static void learn_cast(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    (void)output;
    fact->dtype = ((const struct onnx_cast *)l->node->params)->to;
}

const struct onnx_operator mmi_onnx_op_Cast = {
    .name = "Cast",
    .flags = ONNX_OP_IN_PLACE,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_cast),
    .limits =
        ONNX_LIMITS(ONNX_OF_TYPE("to", struct onnx_cast, to, ONNX_ANY_TYPE),
                    ONNX_BETWEEN("round_mode", struct onnx_cast, how.round, 0, ONNX_ROUND_NEAREST)),
    .read = read_cast,
    .infer = infer_cast,
    .run = run_cast,
    .order = {ONNX_ORDER_ANY, 0, NULL},
    .facts = {ONNX_DTYPE_UNKNOWN, ONNX_SHAPE_OF_0, ONNX_SIZE_ALIKE, 0},
    .learn = learn_cast,
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_Cast}};

/* To the type of input 1. */
static mm_status infer_like(struct onnx_inference *x, mm_error *err) {
    return infer_to(x, x->inputs[1].dtype, err);
}

const struct onnx_operator mmi_onnx_op_CastLike = {
    .name = "CastLike",
    .flags = ONNX_OP_IN_PLACE,
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_cast),
    .limits =
        ONNX_LIMITS(ONNX_BETWEEN("round_mode", struct onnx_cast, how.round, 0, ONNX_ROUND_NEAREST)),
    .read = read_like,
    .infer = infer_like,
    .run = run_cast,
    .facts = {ONNX_DTYPE_OF_1, ONNX_SHAPE_OF_0, ONNX_SIZE_ALIKE, 0}};

/* The same bytes as another type of the same width. */
static mm_status infer_bits(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *input = &x->inputs[0];
    int32_t to = ((const struct onnx_cast *)x->params)->to;
    uint64_t from_bits = mm_dtype_bytes(input->dtype, 8), to_bits = mm_dtype_bytes(to, 8);
    if (from_bits == 0 || to_bits == 0) {
        return mmi_fail(err, MM_UNSUPPORTED, "the bits of %s as %s are not supported",
                        mm_dtype_text(input->dtype), mm_dtype_text(to));
    }
    if (from_bits != to_bits) {
        return mmi_fail(err, MM_INVALID_MODEL, "%s and %s differ in width",
                        mm_dtype_text(input->dtype), mm_dtype_text(to));
    }
    return mmi_onnx_tensor_set(&x->outputs[0], to, input->rank, input->shape, err);
}

static mm_status run_bits(const struct onnx_call *call, mm_error *err) {
    (void)err;
    if (call->out[0] && call->out[0] != call->in[0]) {
        memcpy(call->out[0], call->in[0], call->outputs[0].bytes);
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_BitCast = {
    .name = "BitCast",
    .flags = ONNX_OP_VIEW,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_cast),
    .limits = ONNX_LIMITS(ONNX_OF_TYPE("to", struct onnx_cast, to, ONNX_ANY_TYPE)),
    .read = read,
    .infer = infer_bits,
    .run = run_bits,
    .facts = {ONNX_DTYPE_UNKNOWN, ONNX_SHAPE_OF_0, ONNX_SIZE_ALIKE, 0},
    .learn = learn_cast};
