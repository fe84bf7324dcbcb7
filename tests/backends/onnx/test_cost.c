/* SPDX-License-Identifier: Apache-2.0 */

/* What nodes are worth, by their shapes; and what a ring of times keeps. */

#include <support/world.h>

#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/matmul.h>
#include <backends/onnx/steps/cost.h>
#include <backends/onnx/steps/profile.h>

#include <string.h>

static struct onnx_tensor tensor(int32_t dtype, uint32_t rank, const int64_t *shape) {
    struct onnx_tensor made = {0};
    mm_error err;
    assert_int_equal(mmi_onnx_tensor_set(&made, dtype, rank, shape, &err), MM_OK);
    return made;
}
#define F32(...)                                                                                   \
    tensor(MM_F32, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t),                       \
           (const int64_t[]){__VA_ARGS__})
#define NOTHING ((struct onnx_tensor){.dtype = MM_DTYPE_NONE})

static void check(const struct onnx_costed *x, uint64_t flops, uint64_t bytes) {
    struct onnx_cost cost = mmi_onnx_cost(x);
    if (cost.flops != flops || cost.bytes != bytes) {
        fail_msg("%s: %llu flops, %llu bytes; %llu and %llu wanted", x->op->name,
                 (unsigned long long)cost.flops, (unsigned long long)cost.bytes,
                 (unsigned long long)flops, (unsigned long long)bytes);
    }
}

static void check_one(const struct onnx_operator *op, const void *params,
                      const struct onnx_tensor *inputs, uint32_t count,
                      const struct onnx_tensor output, uint64_t flops) {
    uint64_t bytes = output.bytes;
    for (uint32_t i = 0; i < count; i++) {
        bytes += inputs[i].dtype == MM_DTYPE_NONE ? 0 : inputs[i].bytes;
    }
    check(&(struct onnx_costed){.op = op,
                                .params = params,
                                .input_count = count,
                                .output_count = 1,
                                .inputs = inputs,
                                .outputs = &output},
          flops, bytes);
}

static void test_products(void **state) {
    (void)state;
    const struct onnx_gemm gemm = {.trans_a = 1};
    const struct onnx_tensor stacks[] = {F32(2, 3, 5), F32(5, 7)};
    check_one(&mmi_onnx_op_MatMul, NULL, stacks, 2, F32(2, 3, 7), 2 * (2 * 3 * 7) * 5);
    const struct onnx_tensor turned[] = {F32(5, 3), F32(5, 7), F32(7)};
    check_one(&mmi_onnx_op_Gemm, &gemm, turned, 3, F32(3, 7), 2 * (3 * 7) * 5);
    const struct onnx_linear linear = {.activation.function = ONNX_F_Relu};
    const struct onnx_tensor lines[] = {F32(4, 5), F32(5, 7), NOTHING};
    check_one(&mmi_onnx_op_Linear, &linear, lines, 3, F32(4, 7), 2 * (4 * 7) * 5 + 4 * 7);
}

static void test_windows(void **state) {
    (void)state;
    const struct onnx_conv conv = {.activation.function = ONNX_F_NONE};
    const struct onnx_tensor grouped[] = {F32(1, 8, 10, 10), F32(16, 2, 3, 3), F32(16)};
    check_one(&mmi_onnx_op_Conv, &conv, grouped, 3, F32(1, 16, 8, 8),
              2 * (16 * 8 * 8) * (2 * 3 * 3));
    const struct onnx_tensor back[] = {F32(1, 4, 5, 5), F32(4, 6, 2, 2)};
    check_one(&mmi_onnx_op_ConvTranspose, &conv, back, 2, F32(1, 6, 10, 10),
              2 * (4 * 5 * 5) * (6 * 2 * 2));
    const struct onnx_pool pool = {.window = {.axes = 2, .kernel = {3, 2}}};
    const struct onnx_tensor image[] = {F32(1, 2, 9, 8)};
    check_one(&mmi_onnx_op_MaxPool, &pool, image, 1, F32(1, 2, 3, 4), 2 * 3 * 4 * 3 * 2);
}

static void test_sequences(void **state) {
    (void)state;
    const struct onnx_tensor layer[] = {F32(6, 2, 5), F32(1, 16, 5), F32(1, 16, 4)};
    check_one(&mmi_onnx_op_LSTM, NULL, layer, 3, F32(6, 1, 2, 4), 2 * (6 * 2) * (16 * 5 + 16 * 4));
    const struct onnx_tensor heads[] = {F32(1, 2, 3, 8), F32(1, 2, 5, 8), F32(1, 2, 5, 6)};
    check_one(&mmi_onnx_op_Attention, NULL, heads, 3, F32(1, 2, 3, 6),
              2 * (2 * 3 * 8) * 5 + 2 * (2 * 3 * 6) * 5);
}

static void test_others(void **state) {
    (void)state;
    const struct onnx_tensor pair[] = {F32(4, 1), F32(1, 6)};
    check_one(&mmi_onnx_op_Add, NULL, pair, 2, F32(4, 6), 24);
    const struct onnx_tensor table = F32(10, 3);
    check_one(&mmi_onnx_op_Transpose, NULL, &table, 1, F32(3, 10), 0);
    check_one(&mmi_onnx_op_ReduceSum, NULL, &table, 1, F32(10), 30);
    /* Of a table as much is read as comes out. */
    const struct onnx_tensor looked_up[] = {F32(1000, 8), tensor(MM_I64, 1, (const int64_t[]){2})};
    const struct onnx_tensor rows = F32(2, 8);
    check(&(struct onnx_costed){.op = &mmi_onnx_op_Gather,
                                .input_count = 2,
                                .output_count = 1,
                                .inputs = looked_up,
                                .outputs = &rows},
          0, 2 * 8 * 4 + 2 * 8 + 2 * 8 * 4);
}

/* ---- The ring -------------------------------------------------------------------------------- */

static uint64_t run_once(struct onnx_profile *profile, const struct onnx_node *node,
                         uint32_t events, bool good) {
    uint64_t run = mmi_onnx_profile_begin(profile, 10);
    for (uint32_t i = 0; i < events; i++) {
        const struct onnx_timed timed = {.run = run, .begin_ns = 11 + i, .end_ns = 12 + i};
        mmi_onnx_profile_add(profile, node, &timed);
    }
    mmi_onnx_profile_end(profile, run, 20, good);
    return run;
}

static void test_ring(void **state) {
    (void)state;
    struct world world;
    struct onnx_arena arena;
    world_init(&world);
    mmi_onnx_arena_init(&arena, &world.env.alloc);
    struct onnx_profile *profile = mmi_onnx_profile_new(&arena, 4, 10);
    assert_non_null(profile);
    int params = 0;
    uint32_t makes[] = {3}, other[] = {2};
    struct onnx_node nodes[] = {
        {.name = "a",
         .op = &mmi_onnx_op_Neg,
         .params = &params,
         .output_count = 1,
         .outputs = makes},
        {.name = "", .op = &mmi_onnx_op_Identity, .output_count = 1, .outputs = makes}, /* a copy */
        {.name = "b",
         .op = &mmi_onnx_op_Abs,
         .params = &params,
         .output_count = 1,
         .outputs = other},
    };
    uint64_t first = run_once(profile, &nodes[0], 3, true);
    uint64_t failed = run_once(profile, &nodes[1], 1, false);
    uint64_t last = run_once(profile, &nodes[2], 2, true);
    run_once(profile, &nodes[0], 1, true);
    assert_int_equal(profile->node_count, 3); /* each once */
    assert_string_equal(profile->nodes[2].name, "b");
    assert_true(mmi_onnx_profile_has(profile, first));
    assert_false(mmi_onnx_profile_has(profile, failed));
    assert_true(mmi_onnx_profile_has(profile, last));
    assert_false(mmi_onnx_profile_has(profile, 4)); /* none such */
    assert_int_equal(profile->runs[first].count, 3);
    /* A long run takes the place of the others; one that is longer than the ring is not kept. */
    uint64_t full = run_once(profile, &nodes[0], (uint32_t)profile->capacity, true);
    assert_true(mmi_onnx_profile_has(profile, full));
    assert_false(mmi_onnx_profile_has(profile, last));
    uint64_t longer = run_once(profile, &nodes[0], (uint32_t)profile->capacity + 1, true);
    assert_false(mmi_onnx_profile_has(profile, longer));
    for (int i = 0; i < ONNX_PROFILE_RUNS; i++) {
        full = run_once(profile, &nodes[0], 1, true);
    }
    assert_true(mmi_onnx_profile_has(profile, full));
    assert_true(mmi_onnx_profile_has(profile, full - ONNX_PROFILE_RUNS + 1));
    assert_false(mmi_onnx_profile_has(profile, full - ONNX_PROFILE_RUNS));
    mmi_onnx_profile_fini(profile);
    mmi_onnx_arena_free(&arena);
    for (uint64_t nth = 1;; nth++) {
        world_fail_alloc(&world, nth);
        profile = mmi_onnx_profile_new(&arena, 4, 10);
        bool hit = world_failed(&world);
        assert_true(hit == (profile == NULL));
        mmi_onnx_profile_fini(profile);
        mmi_onnx_arena_free(&arena);
        if (!hit) {
            break;
        }
    }
    world_fini(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),  cmocka_unit_test(test_windows),
        cmocka_unit_test(test_sequences), cmocka_unit_test(test_others),
        cmocka_unit_test(test_ring),
    };
    return cmocka_run_group_tests_name("onnx-cost", tests, NULL, NULL);
}
