/* SPDX-License-Identifier: Apache-2.0 */
/* 80 GiB of models of 20 to 2000 MB: refused if and only if the sum of rounded sizes says so.
 * Usage: test [SEED] */

#include <memory/arena.h>
#include <support/world.h>

#include <math.h>
#include <string.h>

#define CAPACITY_BYTES (UINT64_C(80) << 30)
#define OPERATIONS 30000

static uint64_t seed;

static uint64_t random_model_bytes(uint64_t *random) {
    double unit = (double)(test_random(random) >> 11) / 9007199254740992.0;
    return (uint64_t)(20e6 * pow(100, unit));
}

struct oracle {
    struct mmi_arena *arena;
    struct mmi_block blocks[CAPACITY_BYTES / 20000000 + 1]; /* oldest first */
    size_t count;
    uint64_t asked, charged; /* bytes */
    uint64_t refused;
};

static bool take(struct oracle *oracle, uint64_t bytes) {
    uint64_t rounded = (bytes + MMI_CHUNK_BYTES - 1) / MMI_CHUNK_BYTES * MMI_CHUNK_BYTES;
    bool fits = rounded <= CAPACITY_BYTES - oracle->charged;
    struct mmi_block *block = &oracle->blocks[oracle->count];
    assert_int_equal(mmi_arena_take(oracle->arena, bytes, block),
                     fits ? MMI_TAKE_OK : MMI_TAKE_NO_ROOM);
    if (!fits) {
        oracle->refused++;
        return false;
    }
    assert_int_equal(block->charged_bytes, rounded);
    oracle->charged += rounded;
    oracle->asked += bytes;
    oracle->count++;
    return true;
}

static void give(struct oracle *oracle, size_t index) {
    struct mmi_block *block = &oracle->blocks[index];
    oracle->charged -= block->charged_bytes;
    oracle->asked -= block->bytes;
    mmi_arena_give(oracle->arena, block);
    memmove(block, block + 1, (--oracle->count - index) * sizeof *block);
}

/* Who is refused displaces the oldest until it fits: so the live sizes stay those of the requests.
 */
static void test_oracle(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    static struct oracle oracle;
    oracle.arena = mmi_arena_new(&world.env.alloc, MMI_ARENA_CHUNKED, CAPACITY_BYTES);
    double padding = 0;
    uint64_t random = seed;
    uint64_t wanted = random_model_bytes(&random);
    for (int i = 0; i < OPERATIONS; i++) {
        if (test_random_below(&random, 10) == 0 && oracle.count > 0) {
            give(&oracle, (size_t)test_random_below(&random, oracle.count));
        } else if (take(&oracle, wanted)) {
            wanted = random_model_bytes(&random);
        } else {
            give(&oracle, 0);
        }
        assert_int_equal(mmi_arena_used(oracle.arena), oracle.charged);
        assert_int_equal(mmi_arena_free_bytes(oracle.arena), CAPACITY_BYTES - oracle.charged);
        padding +=
            oracle.asked ? (double)(oracle.charged - oracle.asked) / (double)oracle.asked : 0;
        if (i % 1000 == 0) {
            assert_null(mmi_arena_validate(oracle.arena));
        }
    }
    print_message("%llu refused, padding %.3f %%\n", (unsigned long long)oracle.refused,
                  100 * padding / OPERATIONS);
    assert_true(oracle.refused > OPERATIONS / 10);
    assert_true(padding / OPERATIONS <= 0.003);
    mmi_arena_free(oracle.arena);
    world_fini(&world);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_oracle)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
