/* SPDX-License-Identifier: Apache-2.0 */
#include "qdq.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Building */

static void *room(struct bench *bench, uint64_t bytes) {
    void *data = mmi_onnx_take_data(&bench->arena, bytes);
    assert_non_null(data);
    return data;
}

uint32_t qdq_constant(struct bench *bench, int32_t dtype, uint32_t rank, const int64_t *shape,
                      const void *data) {
    struct onnx_tensor tensor;
    assert_int_equal(mmi_onnx_tensor_set(&tensor, dtype, rank, shape, NULL), MM_OK);
    void *copy = room(bench, tensor.bytes);
    memcpy(copy, data, tensor.bytes);
    tensor.data = copy;
    return mmi_onnx_add_constant(&bench->model, &tensor);
}

/* Integers of 8 or 32 bits; the latter small. */
static void fill(struct bench *bench, struct onnx_tensor *tensor) {
    void *data = room(bench, tensor->bytes);
    for (uint64_t i = 0; i < tensor->elements; i++) {
        uint64_t number = test_random_below(&bench->seed, 256);
        if (tensor->dtype == MM_I32) {
            ((int32_t *)data)[i] = (int32_t)number * 8 - 1024;
        } else {
            ((uint8_t *)data)[i] = (uint8_t)number;
        }
    }
    tensor->data = data;
}

uint32_t qdq_ints(struct bench *bench, int32_t dtype, const char *shape) {
    const struct onnx_tensor of = bench_tensor(bench, MM_F32, shape);
    struct onnx_tensor tensor;
    assert_int_equal(mmi_onnx_tensor_set(&tensor, dtype, of.rank, of.shape, NULL), MM_OK);
    fill(bench, &tensor);
    return mmi_onnx_add_constant(&bench->model, &tensor);
}

uint32_t qdq_zero(struct bench *bench, int32_t dtype, int32_t zero) {
    return qdq_constant(bench, dtype, 0, NULL, &zero);
}

const struct qdq_scaling qdq_x_u8 = {MM_U8, 128, 0.03F}, qdq_x_i8 = {MM_I8, -5, 0.02F},
                         qdq_w_i8 = {MM_I8, 0, 0.01F}, qdq_y_u8 = {MM_U8, 0, 0.05F},
                         qdq_y_i8 = {MM_I8, 3, 0.07F};

uint32_t qdq_dequantize(struct bench *bench, uint32_t x, const struct qdq_scaling *s) {
    return BENCH_NODE(bench, "DequantizeLinear", "", x, bench_scalar(bench, s->scale),
                      qdq_zero(bench, s->dtype, s->zero));
}

uint32_t qdq_quantize(struct bench *bench, uint32_t x, const struct qdq_scaling *s) {
    return BENCH_NODE(bench, "QuantizeLinear", "", x, bench_scalar(bench, s->scale),
                      qdq_zero(bench, s->dtype, s->zero));
}

uint32_t qdq_input(struct bench *bench, const struct qdq_scaling *s, const char *shape) {
    return qdq_dequantize(bench, bench_input(bench, s->dtype, shape), s);
}

uint32_t qdq_weights(struct bench *bench, const struct qdq_scaling *s, const char *shape) {
    return qdq_dequantize(bench, qdq_ints(bench, s->dtype, shape), s);
}

/* With a scale for each of `count` slices of the axis, between a quarter and the whole of that of
 * s. */
uint32_t qdq_weights_along(struct bench *bench, const struct qdq_scaling *s, const char *shape,
                           int64_t axis, int64_t count) {
    float *scales = room(bench, (uint64_t)count * sizeof(float));
    int8_t *zeros = room(bench, (uint64_t)count);
    for (int64_t i = 0; i < count; i++) {
        scales[i] = s->scale * (float)(1 + test_random_below(&bench->seed, 4)) / 4;
        zeros[i] = (int8_t)s->zero;
    }
    char attributes[32];
    snprintf(attributes, sizeof(attributes), "axis=%d", (int)axis);
    return BENCH_NODE(bench, "DequantizeLinear", attributes, qdq_ints(bench, s->dtype, shape),
                      qdq_constant(bench, MM_F32, 1, &count, scales),
                      qdq_constant(bench, s->dtype, 1, &count, zeros));
}

/* Integers with the scale of x times that of w. */
uint32_t qdq_bias(struct bench *bench, const struct qdq_scaling *x, const struct qdq_scaling *w,
                  const char *shape) {
    return BENCH_NODE(bench, "DequantizeLinear", "", qdq_ints(bench, MM_I32, shape),
                      bench_scalar(bench, x->scale * w->scale));
}

float qdq_random_scale(struct bench *bench, double least, double most) {
    double part = (double)test_random_below(&bench->seed, 1 << 20) / (1 << 20);
    return (float)(least * pow(most / least, part));
}

struct qdq_scaling qdq_random_scaling(struct bench *bench) {
    static const int32_t zeros[2][4] = {{0, 255, 128, 77}, {-128, 127, 0, -31}};
    struct qdq_scaling s = {.scale = qdq_random_scale(bench, 1e-4, 10)};
    bool is_signed = test_random_below(&bench->seed, 2);
    s.dtype = is_signed ? MM_I8 : MM_U8;
    s.zero = zeros[is_signed][test_random_below(&bench->seed, 4)];
    return s;
}

/* ---- Checking */

mm_status qdq_fold(struct onnx_model *model, const struct onnx_pass_context *context,
                   mm_error *err) {
    mm_status status = mmi_onnx_fold_quantization(model, context, err);
    status = status == MM_OK ? mmi_onnx_fold_constants(model, context, err) : status;
    return status == MM_OK ? mmi_onnx_clean(model, context, err) : status;
}

static void compare(const struct onnx_tensor *a, const struct onnx_tensor *b,
                    struct qdq_seen *seen) {
    if (a->dtype != MM_U8 && a->dtype != MM_I8) {
        assert_tensors(a, b, 2e-5);
        return;
    }
    assert_tensors(a, b, 255); /* types and shapes */
    for (uint64_t i = 0; i < a->elements; i++) {
        double off = fabs(mmi_onnx_float_at(a, i) - mmi_onnx_float_at(b, i));
        seen->elements++;
        seen->different += off > 0;
        seen->most = fmax(seen->most, off);
    }
}

static struct onnx_tensor request(struct bench *bench, const mm_value_info *info) {
    char shape[64] = "";
    for (int32_t axis = 0; axis < info->rank; axis++) {
        int64_t count = info->shape[axis] < 0 ? 3 : info->shape[axis];
        snprintf(shape + strlen(shape), sizeof(shape) - strlen(shape), "%d ", (int)count);
    }
    struct onnx_tensor tensor = bench_tensor(bench, info->dtype, shape);
    if (info->dtype == MM_U8 || info->dtype == MM_I8) {
        fill(bench, &tensor);
    }
    return tensor;
}

void qdq_run(struct bench *bench, const struct onnx_tensor *inputs, struct onnx_tensor *out) {
    if (run_graph(&bench->model, inputs, out, &bench->arena, &bench->services, &bench->err) !=
        MM_OK) {
        fail_msg("%s", bench->err.text);
    }
}

struct qdq_seen qdq_apply(struct bench *bench) {
    struct onnx_tensor inputs[8], before[8], after[8];
    struct qdq_seen seen = {0};
    for (uint32_t i = 0; i < bench->model.main->input_count; i++) {
        inputs[i] = request(bench, &bench->model.inputs[i]);
    }
    qdq_run(bench, inputs, before);
    const struct onnx_pass_context context = {.services = &bench->services};
    if (qdq_fold(&bench->model, &context, &bench->err) != MM_OK) {
        fail_msg("%s", bench->err.text);
    }
    qdq_run(bench, inputs, after);
    for (uint32_t i = 0; i < bench->model.main->output_count; i++) {
        compare(&before[i], &after[i], &seen);
    }
    assert_true(seen.most <= 1);
    return seen;
}

/* What is left are these nodes: "QLinearConv QLinearAdd". Of MM_U8 or MM_I8 most are the same. */
void qdq_expect(struct bench *bench, uint32_t result, const char *nodes) {
    char left[256] = "";
    bench_output(bench, result);
    struct qdq_seen seen = qdq_apply(bench);
    assert_true(seen.different * 20 <= seen.elements);
    for (uint32_t i = 0; i < bench->model.main->node_count; i++) {
        const struct onnx_node *node = bench->model.main->nodes[i];
        snprintf(left + strlen(left), sizeof(left) - strlen(left), "%s%s", i > 0 ? " " : "",
                 node->op->name);
        if (node->domain) { /* as a description names it */
            assert_ptr_equal(mmi_onnx_find_operator(node->domain, node->type), node->op);
        }
    }
    assert_string_equal(left, nodes);
    bench_fini(bench);
}

/* Nothing becomes integer. */
void qdq_expect_not(struct bench *bench, uint32_t result) {
    static const char *const folded[] = {"QLinearConv",  "QLinearMatMul", "QGemm",
                                         "QLinearAdd",   "QLinearMul",    "QLinearWhere",
                                         "QLinearConcat"};
    bench_output(bench, result);
    qdq_apply(bench);
    for (size_t i = 0; i < sizeof(folded) / sizeof(folded[0]); i++) {
        assert_int_equal(bench_count(bench->model.main, folded[i]), 0);
    }
    assert_int_not_equal(bench_count(bench->model.main, "QuantizeLinear"), 0);
    bench_fini(bench);
}
