/* SPDX-License-Identifier: Apache-2.0 */
#include <base/alloc.h>
#include <base/checked.h>
#include <support/world.h>

#include <string.h>
#include <sys/mman.h>

static void is_zero(const void *memory, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        assert_int_equal(((const char *)memory)[i], 0);
    }
}

static void test_zeroed_and_aligned(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    const mm_allocator *allocators[] = {&world.env.alloc, &mmi_malloc_allocator};
    for (size_t i = 0; i < 2; i++) {
        for (size_t align = 1; align <= 4096; align *= 2) {
            void *memory = mmi_alloc_aligned(allocators[i], 100, align);
            assert_int_equal((uintptr_t)memory % align, 0);
            is_zero(memory, 100);
            mmi_free(allocators[i], memory, 100);
        }
        void *items = mmi_alloc(allocators[i], 3, 7);
        is_zero(items, 21);
        mmi_free(allocators[i], items, 21);
        mmi_free(allocators[i], NULL, 21);
    }
    world_fini(&world);
}

/* From 1 MiB on memory is mapped: zeroed, aligned, usable to its last byte, given back at once. */
static void test_large(void **state) {
    (void)state;
    const size_t mib = (size_t)1 << 20;
    for (size_t align = 16; align <= 4 * mib; align *= 8) {
        for (size_t bytes = mib - 1; bytes <= mib + 4097; bytes += bytes == mib + 1 ? 4096 : 1) {
            unsigned char *memory = mmi_alloc_aligned(&mmi_malloc_allocator, bytes, align);
            assert_non_null(memory);
            assert_int_equal((uintptr_t)memory % align, 0);
            is_zero(memory, bytes);
            memset(memory, 0x5a, bytes);
            mmi_free(&mmi_malloc_allocator, memory, bytes);
            unsigned char resident;
            void *page = (void *)((uintptr_t)memory & ~(uintptr_t)4095);
            bool mapped = mincore(page, 4096, &resident) == 0;
            assert_true(bytes < mib || !mapped);
        }
    }
}

static void test_overflow(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    assert_null(mmi_alloc(&world.env.alloc, SIZE_MAX / 2, 3));
    assert_int_equal(world_allocations(&world), 0);
    assert_null(mmi_alloc_aligned(&mmi_malloc_allocator, SIZE_MAX - 8, 64));
    world_fini(&world);
}

static void test_text(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    char *copy = mmi_copy_text(&world.env.alloc, "ocr/rec");
    assert_string_equal(copy, "ocr/rec");
    assert_int_equal(world_live_bytes(&world), 8);
    mmi_free_text(&world.env.alloc, copy);
    mmi_free_text(&world.env.alloc, NULL);
    world_fail_alloc(&world, 1);
    assert_null(mmi_copy_text(&world.env.alloc, ""));
    assert_true(world_failed(&world));
    world_fini(&world);
}

static void test_grow(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    uint32_t *items = NULL;
    size_t capacity = 0;
    for (size_t count = 0; count < 1000; count++) {
        void *moved = items;
        if (count == capacity) {
            /* A failure leaves everything as it was. */
            world_fail_alloc(&world, 1);
            size_t before = capacity;
            assert_false(mmi_grow(&world.env.alloc, &moved, &capacity, count + 1, sizeof(*items)));
            assert_int_equal(capacity, before);
            assert_ptr_equal(moved, items);
        }
        assert_true(mmi_grow(&world.env.alloc, &moved, &capacity, count + 1, sizeof(*items)));
        items = moved;
        is_zero(&items[count], (capacity - count) * sizeof(*items));
        items[count] = (uint32_t)count;
    }
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(items[i], i);
        items[i] = 0;
    }
    assert_in_range(world_allocations(&world), 1, 2 * 8); /* doubling, and a failure each time */
    void *same = items;
    assert_false(mmi_grow(&world.env.alloc, &same, &capacity, SIZE_MAX, sizeof(*items)));
    assert_ptr_equal(same, items);
    mmi_free(&world.env.alloc, items, capacity * sizeof(*items));
    world_fini(&world);
}

static void test_checked(void **state) {
    (void)state;
    uint64_t out;
    assert_true(mmi_add(UINT64_MAX - 1, 1, &out) && out == UINT64_MAX);
    assert_false(mmi_add(UINT64_MAX, 1, &out));
    assert_true(mmi_mul(UINT64_C(1) << 32, (UINT64_C(1) << 32) - 1, &out));
    assert_false(mmi_mul(UINT64_C(1) << 32, UINT64_C(1) << 32, &out));
    assert_true(mmi_round_up(0, 4096, &out) && out == 0);
    assert_true(mmi_round_up(1, 4096, &out) && out == 4096);
    assert_true(mmi_round_up(4096, 4096, &out) && out == 4096);
    assert_false(mmi_round_up(UINT64_MAX - 4094, 4096, &out));
    assert_true(mmi_add_cap(UINT64_MAX, 5) == UINT64_MAX);
    assert_int_equal(mmi_sub_floor(3, 5), 0);
    assert_int_equal(mmi_sub_floor(5, 3), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zeroed_and_aligned),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_grow),
        cmocka_unit_test(test_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
