/* SPDX-License-Identifier: Apache-2.0 */
/* Long random runs against the naive map, validated after every operation, with trials in between.
 * Usage: test [SEED] */

#include "naive.h"

static uint64_t seed;

/* Mostly small blocks of all magnitudes, some large ones, some just at the border. */
static uint64_t random_bytes(const struct naive *naive, uint64_t *random) {
    uint64_t kind = test_random_below(random, 10);
    if (kind == 0) {
        return MMI_CHUNK_BYTES - 300 + test_random_below(random, 600);
    }
    if (kind <= 2) {
        return MMI_CHUNK_BYTES + test_random_below(random, 3 * MMI_CHUNK_BYTES);
    }
    uint64_t most = naive->cells >> test_random_below(random, 7);
    uint64_t cells = 1 + test_random_below(random, most - 1 > 0 ? most - 1 : 1);
    return cells * naive->cell_bytes - test_random_below(random, MMI_SMALL_STEP_BYTES);
}

/* Sizes at the border do not fill whole cells; with coarse cells they are made to. */
static uint64_t random_size(const struct naive *naive, uint64_t *random) {
    uint64_t bytes = random_bytes(naive, random);
    if (bytes < MMI_CHUNK_BYTES) {
        uint64_t cells = (bytes + naive->cell_bytes - 1) / naive->cell_bytes;
        uint64_t slack = cells * naive->cell_bytes - bytes;
        bytes += slack - slack % MMI_SMALL_STEP_BYTES;
    }
    return bytes;
}

static void try_trial(struct naive *naive, uint64_t *random) {
    mmi_trial_begin(naive->arena);
    for (uint32_t flips = 0; naive->count > 0 && flips < 12; flips++) {
        uint32_t i = (uint32_t)test_random_below(random, naive->count);
        naive->gone[i] = !naive->gone[i];
        (naive->gone[i] ? mmi_trial_release : mmi_trial_keep)(naive->arena, &naive->blocks[i]);
        uint64_t bytes = random_size(naive, random);
        uint64_t reserve = test_random_below(random, 4) * MMI_CHUNK_BYTES;
        assert_int_equal(mmi_trial_fits(naive->arena, bytes, reserve),
                         naive_fits(naive, bytes, reserve));
    }
    mmi_trial_end(naive->arena);
    /* The trial was right if doing it says the same. */
    bool commit = test_random_below(random, 4) == 0;
    uint64_t bytes = random_size(naive, random);
    bool fits = naive_fits(naive, bytes, 0);
    for (uint32_t i = naive->count; i-- > 0;) {
        bool gone = naive->gone[i];
        naive->gone[i] = false;
        if (gone && commit) {
            naive_give(naive, i);
        }
    }
    if (commit) {
        assert_int_equal(mmi_arena_fits(naive->arena, bytes, 0), fits);
    }
}

static void run(uint64_t run_seed, uint64_t cell_bytes, uint32_t operations) {
    struct world world;
    world_init(&world);
    uint64_t random = run_seed;
    uint64_t base = 4 + test_random_below(&random, 8);
    struct mmi_arena *arena =
        mmi_arena_new(&world.env.alloc, MMI_ARENA_CHUNKED, base * MMI_CHUNK_BYTES);
    static struct naive naive;
    naive_init(&naive, arena, cell_bytes);
    for (uint32_t i = 0; i < operations; i++) {
        uint64_t choice = test_random_below(&random, 100);
        if (choice < 52 && naive.count < NAIVE_BLOCKS) {
            naive_take(&naive, random_size(&naive, &random));
        } else if (choice < 92 && naive.count > 0) {
            naive_give(&naive, (uint32_t)test_random_below(&random, naive.count));
        } else if (choice < 97) {
            try_trial(&naive, &random);
        } else {
            assert_true(naive_set_capacity(&naive, test_random_below(&random, base + 8)));
        }
        naive_check(&naive);
    }
    while (naive.count > 0) {
        naive_give(&naive, naive.count - 1);
        naive_check(&naive);
    }
    assert_int_equal(mmi_arena_used(arena), 0);
    mmi_arena_free(arena);
    world_fini(&world);
}

static void test_coarse(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 20; i++) {
        run(seed + i, MMI_CHUNK_BYTES / 64, 2000);
    }
}

static void test_fine(void **state) {
    (void)state;
    run(seed, MMI_SMALL_STEP_BYTES, 2000);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coarse),
        cmocka_unit_test(test_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
