/* SPDX-License-Identifier: Apache-2.0 */
/* The memory plan: buffers that live at the same time do not overlap, and no plan is much larger
 * than the peak of live bytes. */
#include <backends/onnx/steps/memory_plan.h>
#include <base/alloc.h>
#include <support/world.h>

static uint64_t random_state;

static uint64_t random_below(uint64_t limit) {
    return test_random_below(&random_state, limit);
}

static bool overlap_in_time(const struct onnx_buffer *a, const struct onnx_buffer *b) {
    return a->first <= b->last && b->first <= a->last;
}

static bool has_memory(const struct onnx_memory_plan *plan, uint32_t i) {
    const struct onnx_buffer *buffer = &plan->buffers[i];
    return buffer->shares == i && buffer->output == ONNX_NO_OUTPUT && buffer->bytes > 0;
}

static void check_plan(struct onnx_memory_plan *plan, uint64_t bytes, uint32_t steps) {
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct onnx_buffer *a = &plan->buffers[i];
        if (!has_memory(plan, i)) {
            continue;
        }
        assert_int_equal(a->offset % 64, 0);
        assert_true(a->offset + a->bytes <= bytes);
        for (uint32_t j = 0; j < i; j++) {
            const struct onnx_buffer *b = &plan->buffers[j];
            if (has_memory(plan, j) && overlap_in_time(a, b)) {
                assert_true(a->offset + a->bytes <= b->offset || b->offset + b->bytes <= a->offset);
            }
        }
    }
    uint64_t peak = 0;
    for (uint32_t s = 0; s < steps; s++) {
        uint64_t live = 0;
        for (uint32_t i = 0; i < plan->count; i++) {
            const struct onnx_buffer *a = &plan->buffers[i];
            live += has_memory(plan, i) && a->first <= s && s <= a->last ? a->bytes : 0;
        }
        peak = live > peak ? live : peak;
    }
    assert_true(bytes >= peak);
    assert_true(bytes <= 2 * peak + 64 * (uint64_t)plan->count);
}

static void test_random_plans(void **state) {
    (void)state;
    for (uint32_t round = 0; round < 300; round++) {
        struct onnx_arena arena;
        mmi_onnx_arena_init(&arena, &mmi_malloc_allocator);
        struct onnx_memory_plan plan = {.arena = &arena};
        uint32_t count = 1 + (uint32_t)random_below(200);
        uint32_t steps = 1 + (uint32_t)random_below(100);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t at = (uint32_t)random_below(steps);
            uint32_t index = mmi_onnx_plan_add(&plan, random_below(5000), at);
            assert_int_equal(index, i);
            plan.buffers[i].last = at + (uint32_t)random_below(steps - at);
            if (random_below(10) == 0) {
                plan.buffers[i].output = 0;
            }
        }
        uint64_t bytes;
        assert_true(mmi_onnx_plan_offsets(&plan, &bytes));
        check_plan(&plan, bytes, steps);
        mmi_onnx_arena_free(&arena);
    }
}

static void test_share(void **state) {
    (void)state;
    struct onnx_arena arena;
    mmi_onnx_arena_init(&arena, &mmi_malloc_allocator);
    struct onnx_memory_plan plan = {.arena = &arena};
    uint32_t input = mmi_onnx_plan_add(&plan, 640, 0);
    uint32_t result = mmi_onnx_plan_add(&plan, 640, 3);
    plan.buffers[input].last = 4;
    mmi_onnx_plan_share(&plan, input, result, 3); /* step 4 still reads the input */
    assert_ptr_equal(mmi_onnx_plan_buffer(&plan, result), &plan.buffers[result]);
    plan.buffers[input].last = 3;
    plan.buffers[result].last = 9;
    mmi_onnx_plan_share(&plan, input, result, 3);
    assert_ptr_equal(mmi_onnx_plan_buffer(&plan, result), &plan.buffers[input]);
    assert_int_equal(plan.buffers[input].last, 9);
    uint32_t next = mmi_onnx_plan_add(&plan, 640, 9);
    mmi_onnx_plan_share(&plan, result, next, 9);
    assert_ptr_equal(mmi_onnx_plan_buffer(&plan, next), &plan.buffers[input]);
    uint64_t bytes;
    assert_true(mmi_onnx_plan_offsets(&plan, &bytes));
    assert_int_equal(bytes, 640);
    mmi_onnx_arena_free(&arena);
}

static void test_absurd_sizes(void **state) {
    (void)state;
    struct onnx_arena arena;
    mmi_onnx_arena_init(&arena, &mmi_malloc_allocator);
    struct onnx_memory_plan plan = {.arena = &arena};
    for (uint32_t i = 0; i < 5; i++) {
        mmi_onnx_plan_add(&plan, (uint64_t)1 << 62, 0);
    }
    uint64_t bytes;
    assert_false(mmi_onnx_plan_offsets(&plan, &bytes));
    mmi_onnx_arena_free(&arena);
}

int main(int argc, char **argv) {
    random_state = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_plans),
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_absurd_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
