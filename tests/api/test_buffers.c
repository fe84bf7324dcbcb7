/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for outputs: kept, bounded, and given back when the mesh is gone. */
#include <support/world.h>

#include <api/buffers.h>

#include <pthread.h>
#include <string.h>

static void test_given_is_taken_again(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_buffers *buffers = mmi_buffers_new(&world.env.alloc);
    uint64_t empty = mmi_buffers_bytes(buffers);
    for (uint64_t bytes = 0; bytes < UINT64_C(40) << 20; bytes = bytes * 5 / 4 + 1) {
        struct mmi_buffer *buffer = mmi_buffer_take(buffers, bytes);
        assert_non_null(buffer);
        assert_int_equal((uintptr_t)buffer->memory % 64, 0);
        assert_true(buffer->bytes >= bytes + sizeof(*buffer));
        assert_true(buffer->bytes <= (bytes + sizeof(*buffer)) * 5 / 4 + 256);
        memset(buffer->memory, 0xaa, (size_t)bytes);
        bool kept = buffer->home != NULL;
        assert_true(kept || bytes > UINT64_C(15) << 20);
        mmi_buffer_give(buffer);
        uint64_t allocations = world_allocations(&world);
        mmi_buffer_give(mmi_buffer_take(buffers, bytes));
        assert_int_equal(world_allocations(&world) - allocations, kept ? 0 : 1);
        assert_in_range(mmi_buffers_bytes(buffers), empty, empty + MMI_BUFFERS_LIMIT_BYTES);
        assert_int_equal(mmi_buffers_bytes(buffers), world_live_bytes(&world));
    }
    assert_null(mmi_buffer_take(buffers, UINT64_MAX));
    mmi_buffers_close(buffers);
    world_fini(&world);
}

/* "valid after the mesh is gone": the last one frees the lists, too. */
static void test_buffers_outlive_the_mesh(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_buffers *buffers = mmi_buffers_new(&world.env.alloc);
    struct mmi_buffer *lent[3];
    for (int i = 0; i < 3; i++) {
        lent[i] = mmi_buffer_take(buffers, 1000);
    }
    mmi_buffer_give(lent[2]);
    mmi_buffers_close(buffers);
    for (int i = 0; i < 2; i++) {
        memset(lent[i]->memory, 1, 1000);
        mmi_buffer_give(lent[i]);
    }
    world_fini(&world);
}

/* Beyond the limit others that lie idle go; then the host's allocator is asked each time. */
static void test_limit(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_buffers *buffers = mmi_buffers_new(&world.env.alloc);
    enum { COUNT = 80 };
    struct mmi_buffer *lent[COUNT];
    unsigned kept = 0;
    for (int i = 0; i < COUNT; i++) {
        lent[i] = mmi_buffer_take(buffers, (UINT64_C(1) << 20) - sizeof(struct mmi_buffer));
        assert_non_null(lent[i]);
        kept += lent[i]->home != NULL;
    }
    assert_int_equal(kept, MMI_BUFFERS_LIMIT_BYTES >> 20);
    for (int i = 0; i < COUNT; i++) {
        mmi_buffer_give(lent[i]);
    }
    for (int i = 0; i < 8; i++) {
        lent[i] = mmi_buffer_take(buffers, UINT64_C(7) << 20);
        assert_non_null(lent[i]->home);
    }
    for (int i = 0; i < 8; i++) {
        mmi_buffer_give(lent[i]);
    }
    assert_in_range(mmi_buffers_bytes(buffers), 0, MMI_BUFFERS_LIMIT_BYTES + (1u << 15));
    mmi_buffers_close(buffers);
    world_fini(&world);
}

static void test_no_memory(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    world_fail_alloc(&world, 1);
    assert_null(mmi_buffers_new(&world.env.alloc));
    world_fail_alloc(&world, 0);
    struct mmi_buffers *buffers = mmi_buffers_new(&world.env.alloc);
    world_fail_alloc(&world, 1);
    assert_null(mmi_buffer_take(buffers, 1000));
    world_fail_alloc(&world, 0);
    mmi_buffer_give(mmi_buffer_take(buffers, 1000));
    mmi_buffers_close(buffers);
    world_fini(&world);
}

/* ---- Threads --------------------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS 20000

struct crowd {
    struct mmi_buffers *buffers;
    pthread_barrier_t all_lent;
    unsigned wrong[THREADS];
};
struct member {
    struct crowd *crowd;
    unsigned number;
};

/* Nobody else has what this thread took. Each ends with a buffer that it gives after the end. */
static void *take_and_give(void *ctx) {
    struct member *member = ctx;
    struct crowd *crowd = member->crowd;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct mmi_buffer *two[2];
        for (unsigned k = 0; k < 2; k++) {
            two[k] = mmi_buffer_take(crowd->buffers, 100 + i % 3 * 200);
            memset(two[k]->memory, (int)(2 * member->number + k), 100);
        }
        for (unsigned k = 0; k < 2; k++) {
            crowd->wrong[member->number] += two[k]->memory[0] != 2 * member->number + k ||
                                            two[k]->memory[99] != 2 * member->number + k;
            mmi_buffer_give(two[k]);
        }
    }
    struct mmi_buffer *last = mmi_buffer_take(crowd->buffers, 300);
    pthread_barrier_wait(&crowd->all_lent);
    mmi_buffer_give(last); /* while the lists are closed */
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct crowd crowd = {.buffers = mmi_buffers_new(&world.env.alloc)};
    pthread_barrier_init(&crowd.all_lent, NULL, THREADS + 1);
    struct member members[THREADS];
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        members[i] = (struct member){&crowd, i};
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &members[i]), 0);
    }
    pthread_barrier_wait(&crowd.all_lent);
    mmi_buffers_close(crowd.buffers);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(crowd.wrong[i], 0);
    }
    pthread_barrier_destroy(&crowd.all_lent);
    world_fini(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_given_is_taken_again),
        cmocka_unit_test(test_buffers_outlive_the_mesh),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
