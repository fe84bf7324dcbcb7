/* SPDX-License-Identifier: Apache-2.0 */

/* Adagrad, Adam and Momentum of ai.onnx.preview.training: one step that trains some tensors. Inputs
 * are the learning rate, the count of updates before this one, all tensors, their gradients, and
 * one or two kinds of state; outputs the new tensors and states. Computed in f64. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define DOMAIN "ai.onnx.preview.training"
#define KINDS 4 /* tensors, gradients, states: at most */

struct optimizer {
    float alpha, beta, epsilon, decay, norm, norm_post;
    int32_t nesterov;
};

/* An element of each kind; its new tensor and states take their places, and that of the
 * gradient. */
typedef void (*update)(const struct optimizer *o, double rate, double count, double *at);

static mm_status infer(struct onnx_inference *x, uint32_t kinds, mm_error *err) {
    uint32_t tensors = x->input_count < 2 ? 0 : (x->input_count - 2) / kinds;
    if (tensors < 1 || x->input_count != 2 + tensors * kinds ||
        x->output_count != tensors * (kinds - 1)) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "%u inputs and %u outputs; 2 and %u, and %u for each tensor wanted",
                        x->input_count, x->output_count, kinds, kinds - 1);
    }
    const uint32_t types = ONNX_TYPE(MM_F32) | ONNX_TYPE(MM_F64);
    MMI_TRY(mmi_onnx_check_type(x, 0, types, err));
    MMI_TRY(mmi_onnx_check_type(x, 1, ONNX_TYPE(MM_I64), err));
    if (x->inputs[0].elements != 1 || x->inputs[1].elements != 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "its rate or its count is not one number");
    }
    for (uint32_t i = 2; i < x->input_count; i++) {
        const struct onnx_tensor *first = &x->inputs[2 + (i - 2) % tensors], *input = &x->inputs[i];
        MMI_TRY(mmi_onnx_check_type(x, i, types, err));
        if (input->dtype != first->dtype || input->rank != first->rank ||
            memcmp(input->shape, first->shape, input->rank * sizeof(int64_t)) != 0) {
            return mmi_fail(err, MM_INVALID_MODEL, "its input %u is not like its input %u", i,
                            2 + (i - 2) % tensors);
        }
    }
    for (uint32_t i = 0; i < x->output_count; i++) {
        const struct onnx_tensor *first = &x->inputs[2 + i % tensors];
        MMI_TRY(mmi_onnx_tensor_set(&x->outputs[i], first->dtype, first->rank, first->shape, err));
    }
    return MM_OK;
}

static double element(const struct onnx_call *call, uint32_t input, uint64_t i) {
    const void *data = call->in[input];
    return call->inputs[input].dtype == MM_F64 ? ((const double *)data)[i]
                                               : (double)((const float *)data)[i];
}

static void run(const struct onnx_call *call, uint32_t kinds, update step) {
    uint32_t tensors = (call->input_count - 2) / kinds;
    double rate = element(call, 0, 0), count = (double)*(const int64_t *)call->in[1];
    for (uint32_t tensor = 0; tensor < tensors; tensor++) {
        for (uint64_t i = 0; i < call->outputs[tensor].elements; i++) {
            double at[KINDS];
            for (uint32_t kind = 0; kind < kinds; kind++) {
                at[kind] = element(call, 2 + kind * tensors + tensor, i);
            }
            step(call->params, rate, count, at);
            for (uint32_t kind = 0; kind + 1 < kinds; kind++) {
                uint32_t output = kind * tensors + tensor;
                double result = kind == 0 ? at[0] : at[kind + 1];
                if (!call->out[output]) {
                    continue;
                }
                if (call->outputs[output].dtype == MM_F64) {
                    ((double *)call->out[output])[i] = result;
                } else {
                    ((float *)call->out[output])[i] = (float)result;
                }
            }
        }
    }
}

/* ---- What one element does ------------------------------------------------------------------- */

static mm_status read_adagrad(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct optimizer *o = params;
    MMI_TRY(mmi_onnx_read_float(a, "norm_coefficient", 0, &o->norm, err));
    MMI_TRY(mmi_onnx_read_float(a, "decay_factor", 0, &o->decay, err));
    return mmi_onnx_read_float(a, "epsilon", 1e-6f, &o->epsilon, err);
}

static void step_adagrad(const struct optimizer *o, double rate, double count, double *at) {
    double gradient = (double)o->norm * at[0] + at[1];
    at[2] += gradient * gradient;
    rate /= 1 + count * (double)o->decay;
    at[0] -= rate * gradient / (sqrt(at[2]) + (double)o->epsilon);
}

static mm_status read_adam(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct optimizer *o = params;
    MMI_TRY(mmi_onnx_read_float(a, "alpha", 0.9f, &o->alpha, err));
    MMI_TRY(mmi_onnx_read_float(a, "beta", 0.999f, &o->beta, err));
    MMI_TRY(mmi_onnx_read_float(a, "norm_coefficient", 0, &o->norm, err));
    MMI_TRY(mmi_onnx_read_float(a, "norm_coefficient_post", 0, &o->norm_post, err));
    return mmi_onnx_read_float(a, "epsilon", 1e-6f, &o->epsilon, err);
}

static void step_adam(const struct optimizer *o, double rate, double count, double *at) {
    double alpha = (double)o->alpha, beta = (double)o->beta;
    double gradient = (double)o->norm * at[0] + at[1];
    at[2] = alpha * at[2] + (1 - alpha) * gradient;
    at[3] = beta * at[3] + (1 - beta) * gradient * gradient;
    rate *= count > 0 ? sqrt(1 - pow(beta, count)) / (1 - pow(alpha, count)) : 1;
    at[0] -= rate * at[2] / (sqrt(at[3]) + (double)o->epsilon);
    at[0] *= 1 - (double)o->norm_post;
}

static mm_status read_momentum(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const modes[] = {"standard", "nesterov", NULL};
    struct optimizer *o = params;
    MMI_TRY(mmi_onnx_read_choice(a, "mode", modes, &o->nesterov, err));
    MMI_TRY(mmi_onnx_read_float(a, "alpha", 0, &o->alpha, err));
    MMI_TRY(mmi_onnx_read_float(a, "beta", 0, &o->beta, err));
    return mmi_onnx_read_float(a, "norm_coefficient", 0, &o->norm, err);
}

static void step_momentum(const struct optimizer *o, double rate, double count, double *at) {
    double gradient = (double)o->norm * at[0] + at[1];
    at[2] = (double)o->alpha * at[2] + (count > 0 ? (double)o->beta : 1) * gradient;
    at[0] -= rate * (o->nesterov ? gradient + (double)o->alpha * at[2] : at[2]);
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    uint32_t kinds = l->node->op == &mmi_onnx_op_Adam ? 4 : 3;
    uint32_t tensors = l->node->input_count < 2 ? 0 : (l->node->input_count - 2) / kinds;
    if (tensors > 0) {
        *fact = mmi_onnx_fact(l, 2 + output % tensors);
    }
}

#define OPTIMIZER(name_, kinds, read_, step)                                                       \
    static mm_status infer_##name_(struct onnx_inference *x, mm_error *err) {                      \
        return infer(x, kinds, err);                                                               \
    }                                                                                              \
    static mm_status run_##name_(const struct onnx_call *call, mm_error *err) {                    \
        (void)err;                                                                                 \
        run(call, kinds, step);                                                                    \
        return MM_OK;                                                                              \
    }                                                                                              \
    const struct onnx_operator mmi_onnx_op_##name_ = {                                             \
        .name = #name_,                                                                            \
        .domain = DOMAIN,                                                                          \
        .min_inputs = 2 + (kinds),                                                                 \
        .max_inputs = ONNX_ANY_NUMBER,                                                             \
        .min_outputs = (kinds)-1,                                                                  \
        .max_outputs = ONNX_ANY_NUMBER,                                                            \
        .params_bytes = sizeof(struct optimizer),                                                  \
        .read = read_,                                                                             \
        .infer = infer_##name_,                                                                    \
        .run = run_##name_,                                                                        \
        .facts = {ONNX_DTYPE_UNKNOWN, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},                      \
        .learn = learn,                                                                            \
    };
OPTIMIZER(Adagrad, 3, read_adagrad, step_adagrad)
OPTIMIZER(Adam, 4, read_adam, step_adam)
OPTIMIZER(Momentum, 3, read_momentum, step_momentum)
