/* SPDX-License-Identifier: Apache-2.0 */
/* What arena.h promises, one promise a test, and every allocation failing in turn. */

#include "naive.h"

#define KIB UINT64_C(1024)
#define CHUNK MMI_CHUNK_BYTES

static struct mmi_block take(struct mmi_arena *arena, uint64_t bytes) {
    struct mmi_block block = {0};
    assert_int_equal(mmi_arena_take(arena, bytes, &block), MMI_TAKE_OK);
    return block;
}

static struct mmi_arena *chunked(struct world *world, uint64_t chunks) {
    world_init(world);
    return mmi_arena_new(&world->env.alloc, MMI_ARENA_CHUNKED, chunks * CHUNK);
}

static void done(struct world *world, struct mmi_arena *arena) {
    assert_null(mmi_arena_validate(arena));
    mmi_arena_free(arena);
    world_fini(world);
}

static void test_capacity_is_rounded_down(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_arena *arena = mmi_arena_new(&world.env.alloc, MMI_ARENA_PAGED, 3 * 4096 - 1);
    assert_int_equal(mmi_arena_kind_of(arena), MMI_ARENA_PAGED);
    assert_int_equal(mmi_arena_capacity(arena), 2 * 4096);
    assert_int_equal(mmi_arena_rounded(arena, 1), 4096);
    assert_int_equal(mmi_arena_rounded(arena, UINT64_MAX), UINT64_MAX);
    mmi_arena_free(arena);
    arena = mmi_arena_new(&world.env.alloc, MMI_ARENA_CHUNKED, 3 * CHUNK - 1);
    assert_int_equal(mmi_arena_kind_of(arena), MMI_ARENA_CHUNKED);
    assert_int_equal(mmi_arena_capacity(arena), 2 * CHUNK);
    assert_int_equal(mmi_arena_rounded(arena, 1), CHUNK);
    assert_int_equal(mmi_arena_rounded(arena, CHUNK + 1), 2 * CHUNK);
    done(&world, arena);
    mmi_arena_free(NULL);
}

static void test_absurd_sizes(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_arena *arena = mmi_arena_new(&world.env.alloc, MMI_ARENA_PAGED, UINT64_MAX);
    assert_true(mmi_arena_fits(arena, UINT64_MAX - 4095, 0));
    assert_false(mmi_arena_fits(arena, UINT64_MAX, 0));
    assert_false(mmi_arena_fits(arena, UINT64_MAX, UINT64_MAX));
    mmi_arena_free(arena);
    assert_null(mmi_arena_new(&world.env.alloc, MMI_ARENA_CHUNKED, UINT64_MAX));
    arena = mmi_arena_new(&world.env.alloc, MMI_ARENA_CHUNKED, 0);
    struct mmi_block block;
    assert_int_equal(mmi_arena_take(arena, 1, &block), MMI_TAKE_NO_ROOM);
    assert_int_equal(mmi_arena_take(arena, UINT64_MAX, &block), MMI_TAKE_NO_ROOM);
    assert_false(mmi_arena_set_capacity(arena, UINT64_MAX));
    assert_int_equal(mmi_arena_capacity(arena), 0);
    done(&world, arena);
}

static void test_zeroed_block_does_nothing(void **state) {
    (void)state;
    for (int kind = MMI_ARENA_PAGED; kind <= MMI_ARENA_CHUNKED; kind++) {
        struct world world;
        world_init(&world);
        struct mmi_arena *arena =
            mmi_arena_new(&world.env.alloc, (enum mmi_arena_kind)kind, 2 * CHUNK);
        struct mmi_block nothing = {0};
        mmi_arena_give(arena, &nothing);
        mmi_trial_begin(arena);
        mmi_trial_release(arena, &nothing);
        mmi_trial_keep(arena, &nothing);
        assert_int_equal(mmi_trial_free_bytes(arena), 2 * CHUNK);
        mmi_trial_end(arena);
        assert_int_equal(mmi_arena_used(arena), 0);
        done(&world, arena);
    }
}

static void test_small_border(void **state) {
    (void)state;
    struct world world;
    struct mmi_arena *arena = chunked(&world, 4);
    struct mmi_block small = take(arena, CHUNK - 256);
    assert_true(small.small);
    struct mmi_block large = take(arena, CHUNK - 255);
    assert_false(large.small);
    assert_int_equal(large.chunk_count, 1);
    struct mmi_block last = take(arena, 256); /* what `small` left of its chunk */
    assert_int_equal(last.chunk, small.chunk);
    assert_int_equal(last.offset, CHUNK - 256);
    assert_int_equal(mmi_arena_used(arena), 2 * CHUNK);
    done(&world, arena);
}

static void test_holes_serve_only_small(void **state) {
    (void)state;
    struct world world;
    struct mmi_arena *arena = chunked(&world, 1);
    struct mmi_block small = take(arena, 100);
    assert_int_equal(small.charged_bytes, 256);
    assert_int_equal(mmi_arena_used(arena), CHUNK);
    assert_int_equal(mmi_arena_free_bytes(arena), 0);
    assert_false(mmi_arena_fits(arena, CHUNK, 0));
    assert_true(mmi_arena_fits(arena, CHUNK - 256, 0));
    assert_false(mmi_arena_fits(arena, CHUNK - 255, 0));
    mmi_arena_give(arena, &small);
    assert_true(mmi_arena_fits(arena, CHUNK, 0));
    done(&world, arena);
}

static void test_smallest_hole_is_taken(void **state) {
    (void)state;
    struct world world;
    struct mmi_arena *arena = chunked(&world, 2);
    struct mmi_block a = take(arena, 512 * KIB);
    struct mmi_block b = take(arena, 4 * KIB);
    struct mmi_block c = take(arena, 256 * KIB);
    struct mmi_block d = take(arena, 4 * KIB);
    mmi_arena_give(arena, &a);
    mmi_arena_give(arena, &c);
    struct mmi_block e = take(arena, 200 * KIB);
    assert_int_equal(e.offset, 516 * KIB); /* where c was, not a, nor at the end */
    assert_true(b.chunk == d.chunk && d.chunk == e.chunk);
    done(&world, arena);
}

static void test_reserve(void **state) {
    (void)state;
    struct world world;
    struct mmi_arena *arena = chunked(&world, 4);
    struct mmi_block small = take(arena, KIB);
    assert_true(mmi_arena_fits(arena, 2 * CHUNK, CHUNK));
    assert_false(mmi_arena_fits(arena, 2 * CHUNK, CHUNK + 1)); /* whole chunks are left free */
    assert_true(mmi_arena_fits(arena, KIB, 3 * CHUNK));
    assert_false(mmi_arena_fits(arena, KIB, 4 * CHUNK)); /* though its hole is there */
    assert_true(mmi_arena_fits(arena, 0, 3 * CHUNK));
    assert_false(mmi_arena_fits(arena, 0, 3 * CHUNK + 1));
    assert_false(mmi_arena_fits(arena, KIB, UINT64_MAX));
    mmi_arena_give(arena, &small);
    assert_false(mmi_arena_fits(arena, KIB, 4 * CHUNK));
    done(&world, arena);
}

/* With a reserve, a chunk that empties is a free chunk, and its holes count no more. */
static void test_trial_emptied_chunk_has_no_holes(void **state) {
    (void)state;
    struct world world;
    struct mmi_arena *arena = chunked(&world, 2);
    struct mmi_block small = take(arena, KIB);
    mmi_trial_begin(arena);
    assert_true(mmi_trial_fits(arena, KIB, CHUNK));
    mmi_trial_release(arena, &small);
    assert_int_equal(mmi_trial_free_bytes(arena), 2 * CHUNK);
    assert_true(mmi_trial_fits(arena, KIB, CHUNK));
    assert_false(mmi_trial_fits(arena, KIB, 2 * CHUNK));
    assert_true(mmi_trial_fits(arena, 2 * CHUNK, 0));
    mmi_trial_keep(arena, &small);
    assert_int_equal(mmi_trial_free_bytes(arena), CHUNK);
    assert_false(mmi_trial_fits(arena, 2 * CHUNK, 0));
    mmi_trial_end(arena);
    assert_int_equal(mmi_arena_used(arena), CHUNK);
    done(&world, arena);
}

static void test_trial_merges_released_neighbours(void **state) {
    (void)state;
    struct world world;
    struct mmi_arena *arena = chunked(&world, 1);
    struct mmi_block a = take(arena, 512 * KIB);
    struct mmi_block b = take(arena, 512 * KIB);
    struct mmi_block c = take(arena, 1024 * KIB - 256);
    assert_int_equal(c.offset, 1024 * KIB);
    mmi_trial_begin(arena);
    mmi_trial_release(arena, &a);
    assert_false(mmi_trial_fits(arena, 513 * KIB, 0));
    mmi_trial_release(arena, &b);
    assert_true(mmi_trial_fits(arena, 1024 * KIB, 0));
    assert_false(mmi_trial_fits(arena, 1024 * KIB + 1, 0));
    mmi_trial_end(arena);
    /* The marks of one trial mean nothing to the next. */
    mmi_trial_begin(arena);
    mmi_trial_release(arena, &a);
    assert_false(mmi_trial_fits(arena, 513 * KIB, 0));
    mmi_trial_end(arena);
    done(&world, arena);
}

static void test_capacity_moves(void **state) {
    (void)state;
    struct world world;
    struct mmi_arena *arena = chunked(&world, 4);
    struct mmi_block large = take(arena, 2 * CHUNK);
    struct mmi_block small = take(arena, KIB);
    assert_true(mmi_arena_set_capacity(arena, 2 * CHUNK));
    assert_int_equal(mmi_arena_free_bytes(arena), 0);
    assert_true(mmi_arena_chunk_retired(arena, 3));
    assert_false(mmi_arena_fits(arena, KIB, 0)); /* not even a hole */
    assert_false(mmi_arena_fits(arena, 0, 0));
    mmi_arena_give(arena, &large);
    assert_int_equal(mmi_arena_free_bytes(arena), CHUNK);
    assert_true(mmi_arena_fits(arena, KIB, 0));
    assert_null(mmi_arena_validate(arena));
    assert_int_equal(mmi_arena_chunk_bound(arena), 4);
    assert_true(mmi_arena_set_capacity(arena, 6 * CHUNK));
    assert_int_equal(mmi_arena_chunk_bound(arena), 6);
    large = take(arena, 5 * CHUNK);
    assert_int_equal(mmi_arena_free_bytes(arena), 0);
    mmi_arena_give(arena, &small);
    mmi_arena_give(arena, &large);
    assert_int_equal(mmi_arena_used(arena), 0);
    done(&world, arena);
}

static void test_freed_with_blocks_out(void **state) {
    (void)state;
    struct world world;
    struct mmi_arena *arena = chunked(&world, 8);
    take(arena, KIB);
    take(arena, 3 * CHUNK);
    take(arena, CHUNK - 256);
    done(&world, arena);
}

static void test_paged_holds_no_metadata(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_arena *arena = mmi_arena_new(&world.env.alloc, MMI_ARENA_PAGED, 64 * 4096);
    uint64_t live = world_live_bytes(&world);
    struct mmi_block block = take(arena, 5000);
    assert_int_equal(block.bytes, 5000);
    assert_int_equal(block.charged_bytes, 8192);
    assert_int_equal(world_live_bytes(&world), live);
    assert_true(mmi_arena_set_capacity(arena, 4096));
    assert_int_equal(mmi_arena_free_bytes(arena), 0);
    assert_false(mmi_arena_fits(arena, 1, 0));
    mmi_arena_give(arena, &block);
    assert_int_equal(mmi_arena_free_bytes(arena), 4096);
    done(&world, arena);
}

static void test_give_never_allocates(void **state) {
    (void)state;
    struct world world;
    struct mmi_arena *arena = chunked(&world, 8);
    struct mmi_block blocks[6];
    for (uint32_t i = 0; i < 6; i++) {
        blocks[i] = take(arena, i == 5 ? 3 * CHUNK : (i + 1) * 100 * KIB);
    }
    assert_true(mmi_arena_set_capacity(arena, CHUNK));
    uint64_t allocations = world_allocations(&world);
    mmi_trial_begin(arena);
    for (uint32_t i = 0; i < 6; i++) {
        mmi_trial_release(arena, &blocks[i]);
        mmi_trial_fits(arena, KIB, 0);
    }
    mmi_trial_end(arena);
    static const uint32_t order[] = {1, 3, 2, 5, 0, 4};
    for (uint32_t i = 0; i < 6; i++) {
        mmi_arena_give(arena, &blocks[order[i]]);
        assert_null(mmi_arena_validate(arena));
    }
    assert_int_equal(world_allocations(&world), allocations);
    done(&world, arena);
}

/* Does it again when memory ran out, after seeing that nothing changed. */
static void take_or_unchanged(struct world *world, struct naive *naive, uint64_t bytes) {
    uint64_t live = world_live_bytes(world);
    enum mmi_take result = naive_take(naive, bytes);
    if (result == MMI_TAKE_NO_MEMORY) {
        assert_true(world_failed(world));
        assert_int_equal(world_live_bytes(world), live);
        naive_check(naive);
        result = naive_take(naive, bytes);
    }
    assert_int_equal(result, MMI_TAKE_OK);
    naive_check(naive);
}

static void test_nth_allocation_fails(void **state) {
    (void)state;
    bool failed = true;
    uint64_t nth = 0;
    while (failed) {
        struct world world;
        world_init(&world);
        world_fail_alloc(&world, ++nth);
        struct mmi_arena *arena = mmi_arena_new(&world.env.alloc, MMI_ARENA_CHUNKED, 4 * CHUNK);
        if (!arena) {
            assert_true(world_failed(&world));
            assert_int_equal(world_live_bytes(&world), 0);
            arena = mmi_arena_new(&world.env.alloc, MMI_ARENA_CHUNKED, 4 * CHUNK);
        }
        static struct naive naive;
        naive_init(&naive, arena, 4 * KIB);
        take_or_unchanged(&world, &naive, 2 * CHUNK);
        take_or_unchanged(&world, &naive, 512 * KIB); /* opens a chunk */
        take_or_unchanged(&world, &naive, 100 * KIB); /* splits a hole */
        take_or_unchanged(&world, &naive, 300 * KIB);
        naive_give(&naive, 2);
        take_or_unchanged(&world, &naive, 100 * KIB); /* fills a hole */
        while (!naive_set_capacity(&naive, 20)) {
            assert_true(world_failed(&world));
            naive_check(&naive);
        }
        take_or_unchanged(&world, &naive, 15 * CHUNK);
        while (naive.count > 0) {
            naive_give(&naive, 0);
            naive_check(&naive);
        }
        failed = world_failed(&world);
        done(&world, arena);
    }
    /* arena, bins, 2 arrays; run; shared + 2 spans; span; span; 2 arrays; run; and none failing */
    assert_int_equal(nth, 4 + 1 + 3 + 1 + 1 + 2 + 1 + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capacity_is_rounded_down),
        cmocka_unit_test(test_absurd_sizes),
        cmocka_unit_test(test_zeroed_block_does_nothing),
        cmocka_unit_test(test_small_border),
        cmocka_unit_test(test_holes_serve_only_small),
        cmocka_unit_test(test_smallest_hole_is_taken),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_trial_emptied_chunk_has_no_holes),
        cmocka_unit_test(test_trial_merges_released_neighbours),
        cmocka_unit_test(test_capacity_moves),
        cmocka_unit_test(test_freed_with_blocks_out),
        cmocka_unit_test(test_paged_holds_no_metadata),
        cmocka_unit_test(test_give_never_allocates),
        cmocka_unit_test(test_nth_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
