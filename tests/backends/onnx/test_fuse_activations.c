/* SPDX-License-Identifier: Apache-2.0 */

/* Activations after a convolution or matrix are fused, in each form in which exporters write
 * them. */

#include "graph_runner.h"

#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/matmul.h>

#define TOLERANCE 2e-6

static mm_status fuse_activations(struct onnx_model *model, const struct onnx_pass_context *context,
                                  mm_error *err) {
    mm_status status = mmi_onnx_make_linear(model, context, err);
    status = status == MM_OK ? mmi_onnx_fuse_activations(model, context, err) : status;
    return status == MM_OK ? mmi_onnx_pack(model, context, err) : status;
}

static uint32_t number(struct bench *bench, float value) {
    return bench_floats(bench, "1", &value);
}

static uint32_t clip(struct bench *bench, uint32_t x, float low, float high) {
    return BENCH_NODE(bench, "Clip", "", x, bench_scalar(bench, low), bench_scalar(bench, high));
}

/* ---- Ways to write an activation of v */

static uint32_t relu(struct bench *bench, uint32_t v) {
    return BENCH_NODE(bench, "Relu", "", v);
}

static uint32_t relu6(struct bench *bench, uint32_t v) {
    return clip(bench, v, 0, 0.5F);
}

static uint32_t sigmoid(struct bench *bench, uint32_t v) {
    return BENCH_NODE(bench, "Sigmoid", "", v);
}

static uint32_t tanh_of(struct bench *bench, uint32_t v) {
    return BENCH_NODE(bench, "Tanh", "", v);
}

static uint32_t leaky(struct bench *bench, uint32_t v) {
    return BENCH_NODE(bench, "LeakyRelu", "alpha=0.125", v);
}

static uint32_t hard_sigmoid(struct bench *bench, uint32_t v) {
    return BENCH_NODE(bench, "HardSigmoid", "alpha=0.25 beta=0.375", v);
}

static uint32_t hard_sigmoid_written_out(struct bench *bench, uint32_t v) {
    uint32_t shifted = BENCH_NODE(bench, "Add", "", v, bench_scalar(bench, 3));
    return BENCH_NODE(bench, "Div", "", clip(bench, shifted, 0, 6), bench_scalar(bench, 6));
}

static uint32_t hard_swish(struct bench *bench, uint32_t v) {
    return BENCH_NODE(bench, "HardSwish", "", v);
}

static uint32_t hard_swish_gate(struct bench *bench, uint32_t v) {
    return BENCH_NODE(bench, "Mul", "", hard_sigmoid(bench, v), v);
}

static uint32_t hard_swish_paddle(struct bench *bench, uint32_t v) {
    uint32_t shifted = BENCH_NODE(bench, "Add", "", v, number(bench, 3));
    uint32_t gated = BENCH_NODE(bench, "Mul", "", v, clip(bench, shifted, 0, 6));
    return BENCH_NODE(bench, "Div", "", gated, number(bench, 6));
}

static uint32_t hard_swish_torch(struct bench *bench, uint32_t v) {
    return BENCH_NODE(bench, "Mul", "", v, hard_sigmoid_written_out(bench, v));
}

static uint32_t silu(struct bench *bench, uint32_t v) {
    return BENCH_NODE(bench, "Mul", "", v, sigmoid(bench, v));
}

static uint32_t silu_paddle(struct bench *bench, uint32_t v) {
    uint32_t same = BENCH_NODE(bench, "Mul", "", v, number(bench, 1));
    return BENCH_NODE(bench, "Mul", "", v, sigmoid(bench, same));
}

static uint32_t scaled(struct bench *bench, uint32_t v) {
    uint32_t y = BENCH_NODE(bench, "Mul", "", number(bench, 0.75F), hard_swish_paddle(bench, v));
    return BENCH_NODE(bench, "Add", "", y, number(bench, -0.125F));
}

static uint32_t shifted(struct bench *bench, uint32_t v) {
    return BENCH_NODE(bench, "Sub", "", relu(bench, v), bench_scalar(bench, 2));
}

static uint32_t mish(struct bench *bench, uint32_t v) {
    return BENCH_NODE(bench, "Mish", "", v);
}

static uint32_t swish(struct bench *bench, uint32_t v) {
    return BENCH_NODE(bench, "Swish", "alpha=0.5", v);
}

static uint32_t prelu(struct bench *bench, uint32_t v) {
    return BENCH_NODE(bench, "PRelu", "", v, number(bench, 0.125F));
}

static const struct way {
    uint32_t (*write)(struct bench *bench, uint32_t v);
    int32_t function;
    float a, b, scale, shift;
} ways[] = {
    {relu, ONNX_F_Relu, 0, 0, 0, 0},
    {relu6, ONNX_F_Clip, 0, 0.5F, 0, 0},
    {sigmoid, ONNX_F_Sigmoid, 0, 0, 0, 0},
    {tanh_of, ONNX_F_Tanh, 0, 0, 0, 0},
    {leaky, ONNX_F_LeakyRelu, 0.125F, 0, 0, 0},
    {hard_sigmoid, ONNX_F_HardSigmoid, 0.25F, 0.375F, 0, 0},
    {hard_sigmoid_written_out, ONNX_F_HardSigmoid, 1.0F / 6, 0.5F, 0, 0},
    {hard_swish, ONNX_F_HardSwish, 1.0F / 6, 0.5F, 0, 0},
    {hard_swish_gate, ONNX_F_HardSwish, 0.25F, 0.375F, 0, 0},
    {hard_swish_paddle, ONNX_F_HardSwish, 1.0F / 6, 0.5F, 0, 0},
    {hard_swish_torch, ONNX_F_HardSwish, 1.0F / 6, 0.5F, 0, 0},
    {silu, ONNX_F_Swish, 1, 0, 0, 0},
    {silu_paddle, ONNX_F_Swish, 1, 0, 0, 0},
    {mish, ONNX_F_Mish, 0, 0, 0, 0},
    {swish, ONNX_F_Swish, 0.5F, 0, 0, 0},
    {prelu, ONNX_F_LeakyRelu, 0.125F, 0, 0, 0},
    {scaled, ONNX_F_HardSwish, 1.0F / 6, 0.5F, 0.75F, -0.125F},
    {shifted, ONNX_F_Relu, 0, 0, 1, -2},
};

static uint32_t conv(struct bench *bench) {
    uint32_t x = bench_input(bench, MM_F32, "1 8 3 3");
    return BENCH_NODE(bench, "Conv", "", x, bench_random(bench, "4 8 1 1"));
}

static void check_way(const struct way *way, const char *type) {
    struct bench bench;
    bench_init(&bench, 1);
    bool linear = type[0] == 'L';
    uint32_t x = bench_input(&bench, MM_F32, linear ? "3 4" : "1 4 3 3");
    const char *wanted = linear ? "MatMul" : type;
    uint32_t w = bench_random(&bench, linear ? "4 4" : "4 4 1 1");
    bench_output(&bench, way->write(&bench, BENCH_NODE(&bench, wanted, "", x, w)));
    bench_apply(&bench, fuse_activations, TOLERANCE);
    assert_int_equal(bench_count(bench.model.main, NULL), 1);
    const struct onnx_node *node = bench_find(&bench, type);
    const struct onnx_activation *found =
        linear ? &((const struct onnx_linear *)node->params)->activation
               : &((const struct onnx_conv *)node->params)->activation;
    assert_int_equal(found->function, way->function);
    if (way->function != ONNX_F_Relu && way->function != ONNX_F_Sigmoid) {
        assert_float_equal(found->a, way->a, 1e-7);
        assert_float_equal(found->b, way->b, 1e-7);
    }
    assert_float_equal(found->scale, way->scale, 1e-7);
    assert_float_equal(found->shift, way->shift, 1e-7);
    bench_fini(&bench);
}

static void test_ways(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        check_way(&ways[i], "Conv");
        check_way(&ways[i], "ConvTranspose");
        check_way(&ways[i], "Linear");
    }
}

/* ---- What is not fused */

static void check_nodes(struct bench *bench, uint32_t result, uint32_t nodes) {
    bench_output(bench, result);
    bench_apply(bench, fuse_activations, TOLERANCE);
    assert_int_equal(bench_count(bench->model.main, NULL), nodes);
    bench_fini(bench);
}

/* An intermediate value has a second use. */
static void test_used_outside(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t v = conv(&bench);
    bench_output(&bench, v);
    check_nodes(&bench, relu(&bench, v), 2);
    bench_init(&bench, 1);
    uint32_t gate = sigmoid(&bench, v = conv(&bench));
    bench_output(&bench, gate);
    check_nodes(&bench, BENCH_NODE(&bench, "Mul", "", v, gate), 3);
}

/* The longest prefix that is an activation: Relu; the next node has a second input. */
static void test_beginning(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t y = relu(&bench, conv(&bench));
    check_nodes(&bench, relu(&bench, BENCH_NODE(&bench, "Add", "", y, y)), 3);
}

static void test_other_nodes(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    check_nodes(&bench, BENCH_NODE(&bench, "IsNaN", "", conv(&bench)), 2);
    bench_init(&bench, 1); /* two functions */
    check_nodes(&bench, clip(&bench, BENCH_NODE(&bench, "Exp", "", conv(&bench)), 0, 1), 2);
    bench_init(&bench, 1); /* one number for each channel */
    uint32_t y = relu(&bench, conv(&bench));
    check_nodes(&bench, BENCH_NODE(&bench, "Mul", "", y, bench_random(&bench, "4 1 1")), 2);
    bench_init(&bench, 1); /* a gate that is shifted */
    uint32_t v = conv(&bench);
    uint32_t gate = BENCH_NODE(&bench, "Add", "", hard_sigmoid(&bench, v), number(&bench, 0.5F));
    check_nodes(&bench, BENCH_NODE(&bench, "Mul", "", v, gate), 4);
    bench_init(&bench, 1); /* five axes */
    const float two = 2;
    y = relu(&bench, conv(&bench));
    check_nodes(&bench, BENCH_NODE(&bench, "Mul", "", y, bench_floats(&bench, "1 1 1 1 1", &two)),
                2);
}

/* The activation is in a branch that may not run. */
static void test_in_branch(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t v = conv(&bench), asked = bench_input(&bench, MM_BOOL, "");
    struct onnx_graph *then = bench_branch(&bench);
    bench_branch_end(&bench, then, relu(&bench, v));
    struct onnx_graph *otherwise = bench_branch(&bench);
    uint32_t x = bench.model.main->inputs[0];
    uint32_t y = BENCH_NODE(&bench, "Conv", "", x, bench_random(&bench, "4 8 1 1"));
    bench_branch_end(&bench, otherwise, relu(&bench, y));
    check_nodes(&bench, bench_if(&bench, asked, then, otherwise), 4);
}

static void test_no_memory(void **state) {
    (void)state;
    for (uint64_t nth = 1, failed = true; failed; nth++) {
        struct bench bench;
        bench_init(&bench, 1);
        bench_output(&bench, scaled(&bench, conv(&bench)));
        struct onnx_pass_context context = {.services = &bench.services};
        world_fail_alloc(&bench.world, nth);
        mm_status status = mmi_onnx_fuse_activations(&bench.model, &context, &bench.err);
        failed = world_failed(&bench.world);
        world_fail_alloc(&bench.world, 0);
        assert_int_equal(status, failed ? MM_NO_MEMORY : MM_OK);
        bench_fini(&bench);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ways),      cmocka_unit_test(test_used_outside),
        cmocka_unit_test(test_beginning), cmocka_unit_test(test_other_nodes),
        cmocka_unit_test(test_in_branch), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
