/* SPDX-License-Identifier: Apache-2.0 */
/* Every sequence of operations on tiny arenas, and after each of them every trial. Cells are a
 * quarter of a chunk. A sequence is replayed from an empty arena; its last step is checked, those
 * before were checked as shorter sequences.
 * Usage: test [EXTRA_STEPS], about ten times as long for each. */

#include "naive.h"

#include <stdlib.h>

#define CELL_BYTES (MMI_CHUNK_BYTES / 4)

static const uint64_t sizes[] = {CELL_BYTES, 2 * CELL_BYTES - 255, 3 * CELL_BYTES, MMI_CHUNK_BYTES,
                                 MMI_CHUNK_BYTES + 1};
#define SIZES (sizeof sizes / sizeof *sizes)

#define MAX_DEPTH 8

static uint32_t extra_steps; /* at most 3 */

struct search {
    struct world *world;
    struct naive naive;
    uint64_t chunks;
    uint32_t depth;       /* of the longest sequences */
    bool resizes, trials; /* steps and checks to include */
    uint32_t steps[MAX_DEPTH];
    uint64_t sequences;
};

/* Steps: [0, SIZES) take, then set_capacity down, up and back, then give block n. */
#define RESIZES 3u

static void step(struct search *s, uint32_t choice) {
    if (choice < SIZES) {
        naive_take(&s->naive, sizes[choice]);
    } else if (choice < SIZES + RESIZES) {
        static const uint64_t up[RESIZES] = {0, 3, 2};
        assert_true(naive_set_capacity(&s->naive, s->chunks + up[choice - SIZES] - 2));
    } else {
        naive_give(&s->naive, choice - (uint32_t)SIZES - RESIZES);
    }
}

static void check_trials(struct naive *naive) {
    for (uint32_t set = 1; set < 1u << naive->count; set++) {
        mmi_trial_begin(naive->arena);
        for (uint32_t i = 0; i < naive->count; i++) {
            naive->gone[i] = set >> i & 1;
            /* Those that stay are released and kept again. */
            mmi_trial_release(naive->arena, &naive->blocks[i]);
        }
        for (uint32_t i = 0; i < naive->count; i++) {
            if (!naive->gone[i]) {
                mmi_trial_keep(naive->arena, &naive->blocks[i]);
            }
        }
        for (uint32_t size = 0; size < SIZES; size++) {
            for (uint64_t reserve = 0; reserve <= MMI_CHUNK_BYTES; reserve += MMI_CHUNK_BYTES) {
                assert_int_equal(mmi_trial_fits(naive->arena, sizes[size], reserve),
                                 naive_fits(naive, sizes[size], reserve));
            }
        }
        uint64_t used = naive_used(naive);
        uint64_t left = naive->capacity > used ? naive->capacity - used : 0;
        assert_int_equal(mmi_trial_free_bytes(naive->arena), left * MMI_CHUNK_BYTES);
        mmi_trial_end(naive->arena);
    }
    for (uint32_t i = 0; i < naive->count; i++) {
        naive->gone[i] = false;
    }
}

/* Replays steps[0 .. length) and returns how many choices the next step has. */
static uint32_t replay(struct search *s, uint32_t length) {
    struct mmi_arena *arena =
        mmi_arena_new(&s->world->env.alloc, MMI_ARENA_CHUNKED, s->chunks * MMI_CHUNK_BYTES);
    naive_init(&s->naive, arena, CELL_BYTES);
    for (uint32_t i = 0; i < length; i++) {
        step(s, s->steps[i]);
    }
    naive_check(&s->naive);
    if (s->trials) {
        check_trials(&s->naive);
        naive_check(&s->naive);
    }
    mmi_arena_free(arena); /* with the blocks still out */
    assert_int_equal(world_live_bytes(s->world), 0);
    s->sequences++;
    return (uint32_t)SIZES + RESIZES + s->naive.count;
}

static void explore(struct search *s, uint32_t length) {
    uint32_t choices = replay(s, length);
    if (length == s->depth) {
        return;
    }
    for (uint32_t choice = 0; choice < choices; choice++) {
        bool is_resize = choice >= SIZES && choice < SIZES + RESIZES;
        if (!is_resize || s->resizes) {
            s->steps[length] = choice;
            explore(s, length + 1);
        }
    }
}

static void run(uint64_t chunks, uint32_t depth, bool resizes, bool trials) {
    struct world world;
    world_init(&world);
    static struct search s;
    s = (struct search){.world = &world,
                        .chunks = chunks,
                        .depth = depth + extra_steps,
                        .resizes = resizes,
                        .trials = trials};
    explore(&s, 0);
    print_message("%u chunks, %u steps: %llu sequences\n", (unsigned)chunks, (unsigned)s.depth,
                  (unsigned long long)s.sequences);
    world_fini(&world);
}

static void test_steps(void **state) {
    (void)state;
    run(3, 5, false, false);
    run(4, 5, false, false);
    run(5, 5, false, false);
}

static void test_resizes(void **state) {
    (void)state;
    run(3, 5, true, false);
    run(4, 4, true, false);
    run(5, 4, true, false);
}

static void test_trials(void **state) {
    (void)state;
    run(3, 5, false, true);
    run(4, 4, true, true);
    run(5, 4, false, true);
}

/* Pages are only counted: every sequence of takes and gives against a sum. */
static void explore_pages(struct mmi_arena *arena, uint64_t used, uint32_t depth) {
    static const uint64_t asks[] = {1, MMI_PAGE_BYTES, MMI_PAGE_BYTES + 1, 3 * MMI_PAGE_BYTES};
    uint64_t capacity = mmi_arena_capacity(arena) / MMI_PAGE_BYTES;
    assert_null(mmi_arena_validate(arena));
    assert_int_equal(mmi_arena_used(arena), used * MMI_PAGE_BYTES);
    for (size_t i = 0; depth > 0 && i < sizeof asks / sizeof *asks; i++) {
        uint64_t pages = (asks[i] + MMI_PAGE_BYTES - 1) / MMI_PAGE_BYTES;
        bool fits = used + pages <= capacity;
        for (uint64_t reserve = 0; reserve <= capacity; reserve++) {
            assert_int_equal(mmi_arena_fits(arena, asks[i], reserve * MMI_PAGE_BYTES),
                             used + pages + reserve <= capacity);
        }
        struct mmi_block block = {0};
        assert_int_equal(mmi_arena_take(arena, asks[i], &block),
                         fits ? MMI_TAKE_OK : MMI_TAKE_NO_ROOM);
        explore_pages(arena, used + (fits ? pages : 0), depth - 1);
        if (fits) {
            mmi_trial_begin(arena);
            mmi_trial_release(arena, &block);
            assert_int_equal(mmi_trial_free_bytes(arena), (capacity - used) * MMI_PAGE_BYTES);
            mmi_trial_end(arena);
        }
        mmi_arena_give(arena, &block);
    }
}

static void test_pages(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    for (uint64_t pages = 0; pages <= 5; pages++) {
        struct mmi_arena *arena =
            mmi_arena_new(&world.env.alloc, MMI_ARENA_PAGED, pages * MMI_PAGE_BYTES + 4095);
        explore_pages(arena, 0, 6);
        mmi_arena_free(arena);
    }
    world_fini(&world);
}

int main(int argc, char **argv) {
    extra_steps = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
    assert_true(extra_steps <= 3);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_resizes),
        cmocka_unit_test(test_trials),
        cmocka_unit_test(test_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
