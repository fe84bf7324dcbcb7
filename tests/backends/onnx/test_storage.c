/* SPDX-License-Identifier: Apache-2.0 */
/* The memory plan: nobody who lives at the same time overlaps, and no plan is much larger than what
 * lives at once. */
#include <backends/onnx/steps/storage.h>
#include <base/alloc.h>
#include <support/world.h>

static uint64_t random_state;

static uint64_t random_below(uint64_t limit) {
    return test_random_below(&random_state, limit);
}

static bool live_together(const struct onnx_storage *a, const struct onnx_storage *b) {
    return a->first <= b->last && b->first <= a->last;
}

static bool has_place(const struct onnx_storages *storages, uint32_t i) {
    const struct onnx_storage *block = &storages->all[i];
    return block->joined == i && block->output == ONNX_NO_OUTPUT && block->bytes > 0;
}

static void check_plan(struct onnx_storages *storages, uint64_t bytes, uint32_t steps) {
    for (uint32_t i = 0; i < storages->count; i++) {
        const struct onnx_storage *a = &storages->all[i];
        if (!has_place(storages, i)) {
            continue;
        }
        assert_int_equal(a->offset % 64, 0);
        assert_true(a->offset + a->bytes <= bytes);
        for (uint32_t j = 0; j < i; j++) {
            const struct onnx_storage *b = &storages->all[j];
            if (has_place(storages, j) && live_together(a, b)) {
                assert_true(a->offset + a->bytes <= b->offset || b->offset + b->bytes <= a->offset);
            }
        }
    }
    uint64_t most = 0;
    for (uint32_t s = 0; s < steps; s++) {
        uint64_t live = 0;
        for (uint32_t i = 0; i < storages->count; i++) {
            const struct onnx_storage *a = &storages->all[i];
            live += has_place(storages, i) && a->first <= s && s <= a->last ? a->bytes : 0;
        }
        most = live > most ? live : most;
    }
    assert_true(bytes >= most);
    assert_true(bytes <= 2 * most + 64 * (uint64_t)storages->count);
}

static void test_random_plans(void **state) {
    (void)state;
    for (uint32_t round = 0; round < 300; round++) {
        struct onnx_arena arena;
        mmi_onnx_arena_init(&arena, &mmi_malloc_allocator);
        struct onnx_storages storages = {.arena = &arena};
        uint32_t count = 1 + (uint32_t)random_below(200);
        uint32_t steps = 1 + (uint32_t)random_below(100);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t at = (uint32_t)random_below(steps);
            uint32_t index = mmi_onnx_add_storage(&storages, random_below(5000), at);
            assert_int_equal(index, i);
            storages.all[i].last = at + (uint32_t)random_below(steps - at);
            if (random_below(10) == 0) {
                storages.all[i].output = 0;
            }
        }
        uint64_t bytes;
        assert_true(mmi_onnx_lay_out(&storages, &bytes));
        check_plan(&storages, bytes, steps);
        mmi_onnx_arena_free(&arena);
    }
}

static void test_join(void **state) {
    (void)state;
    struct onnx_arena arena;
    mmi_onnx_arena_init(&arena, &mmi_malloc_allocator);
    struct onnx_storages storages = {.arena = &arena};
    uint32_t input = mmi_onnx_add_storage(&storages, 640, 0);
    uint32_t result = mmi_onnx_add_storage(&storages, 640, 3);
    storages.all[input].last = 4;
    mmi_onnx_join_storage(&storages, input, result, 3); /* is still needed by step 4 */
    assert_ptr_equal(mmi_onnx_storage(&storages, result), &storages.all[result]);
    storages.all[input].last = 3;
    storages.all[result].last = 9;
    mmi_onnx_join_storage(&storages, input, result, 3);
    assert_ptr_equal(mmi_onnx_storage(&storages, result), &storages.all[input]);
    assert_int_equal(storages.all[input].last, 9);
    uint32_t next = mmi_onnx_add_storage(&storages, 640, 9);
    mmi_onnx_join_storage(&storages, result, next, 9);
    assert_ptr_equal(mmi_onnx_storage(&storages, next), &storages.all[input]);
    uint64_t bytes;
    assert_true(mmi_onnx_lay_out(&storages, &bytes));
    assert_int_equal(bytes, 640);
    mmi_onnx_arena_free(&arena);
}

static void test_absurd_sizes(void **state) {
    (void)state;
    struct onnx_arena arena;
    mmi_onnx_arena_init(&arena, &mmi_malloc_allocator);
    struct onnx_storages storages = {.arena = &arena};
    for (uint32_t i = 0; i < 5; i++) {
        mmi_onnx_add_storage(&storages, (uint64_t)1 << 62, 0);
    }
    uint64_t bytes;
    assert_false(mmi_onnx_lay_out(&storages, &bytes));
    mmi_onnx_arena_free(&arena);
}

int main(int argc, char **argv) {
    random_state = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_plans),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_absurd_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
