/* SPDX-License-Identifier: Apache-2.0 */

/* The table of names against a list that is searched from the front, and the guard that frees what
 * readers may look at. */

#include <catalog/names.h>
#include <support/world.h>

#include <string.h>

#define NAMES 700u
#define STEPS 60000u

struct ground {
    struct world world;
    struct mmi_guard guard;
    struct mmi_names names;
    bool there[NAMES]; /* the naive table: by number */
    size_t live;
};

static void ground_init(struct ground *ground) {
    memset(ground, 0, sizeof(*ground));
    world_init(&ground->world);
    mmi_guard_init(&ground->guard, &ground->world.env.alloc, 4);
    assert_true(mmi_names_init(&ground->names, &ground->guard));
}

static void ground_fini(struct ground *ground) {
    mmi_names_fini(&ground->names);
    mmi_guard_fini(&ground->guard);
    world_fini(&ground->world);
}

/* Few tags for many names: most steps meet strangers on their way. */
static uint64_t hash_of(uint32_t number) {
    return ((uint64_t)(number % 41) << 32) | number * 2654435761u;
}

struct query {
    const struct ground *ground;
    uint32_t wanted;
};

static bool matches(void *ctx, uint32_t number) {
    const struct query *query = ctx;
    assert_true(number < NAMES);
    assert_true(query->ground->there[number]); /* a removed name is asked about by nobody */
    return number == query->wanted;
}

static void expect(const struct ground *ground, uint32_t number) {
    struct query query = {ground, number};
    uint32_t found = mmi_names_find(&ground->names, hash_of(number), matches, &query);
    assert_int_equal(found, ground->there[number] ? number : UINT32_MAX);
}

static void add(struct ground *ground, uint32_t number) {
    assert_true(mmi_names_reserve(&ground->names));
    mmi_names_add(&ground->names, hash_of(number), number);
    ground->there[number] = true;
    ground->live++;
}

static void take_out(struct ground *ground, uint32_t number) {
    mmi_names_remove(&ground->names, hash_of(number), number);
    ground->there[number] = false;
    ground->live--;
}

static void test_random_steps(void **state) {
    uint64_t seed = *(uint64_t *)*state;
    struct ground ground;
    ground_init(&ground);
    for (unsigned step = 0; step < STEPS; step++) {
        /* The share of names that are there swings, so the table grows and is swept. */
        uint64_t share = step / 5000 % 2 ? 20 : 80;
        uint32_t number = (uint32_t)test_random_below(&seed, NAMES);
        bool wanted = test_random_below(&seed, 100) < share;
        if (wanted != ground.there[number]) {
            wanted ? add(&ground, number) : take_out(&ground, number);
        }
        expect(&ground, number);
        expect(&ground, (uint32_t)test_random_below(&seed, NAMES));
        assert_int_equal(ground.names.live, ground.live);
        assert_true(ground.names.used >= ground.names.live);
    }
    for (uint32_t number = 0; number < NAMES; number++) {
        expect(&ground, number);
    }
    ground_fini(&ground);
}

/* Removed words fill a table too; it is swept, not doubled, when few names are live. */
static void test_churn_stays_small(void **state) {
    (void)state;
    struct ground ground;
    ground_init(&ground);
    uint64_t before = world_live_bytes(&ground.world);
    for (uint32_t i = 0; i < 10000; i++) {
        add(&ground, i % NAMES);
        take_out(&ground, i % NAMES);
    }
    assert_int_equal(world_live_bytes(&ground.world), before);
    ground_fini(&ground);
}

static void test_remove_of_a_stranger_does_nothing(void **state) {
    (void)state;
    struct ground ground;
    ground_init(&ground);
    add(&ground, 1);
    mmi_names_remove(&ground.names, hash_of(42), 42); /* the same tag */
    expect(&ground, 1);
    assert_int_equal(ground.names.live, 1);
    ground_fini(&ground);
}

static void test_without_memory_nothing_changes(void **state) {
    (void)state;
    struct ground ground;
    ground_init(&ground);
    unsigned refused = 0;
    for (uint32_t number = 0; number < NAMES; number++) {
        world_fail_alloc(&ground.world, 1);
        bool reserved = mmi_names_reserve(&ground.names);
        refused += !reserved;
        assert_int_equal(world_failed(&ground.world), !reserved);
        world_fail_alloc(&ground.world, 0);
        for (uint32_t i = 0; i < number; i += 37) {
            expect(&ground, i);
        }
        add(&ground, number);
    }
    assert_true(refused > 2);
    ground_fini(&ground);

    struct world world;
    struct mmi_guard guard;
    struct mmi_names names;
    world_init(&world);
    mmi_guard_init(&guard, &world.env.alloc, 1);
    world_fail_alloc(&world, 1);
    assert_false(mmi_names_init(&names, &guard));
    mmi_names_fini(&names);
    mmi_guard_fini(&guard);
    world_fini(&world);
}

/* ---- The guard */

struct thing {
    struct mmi_retired retired;
    char bytes[100];
};

static void retire_new(struct ground *ground) {
    struct thing *thing = mmi_alloc(&ground->world.env.alloc, 1, sizeof(*thing));
    mmi_guard_retire(&ground->guard, &thing->retired, thing, sizeof(*thing));
}

static void test_what_nobody_reads_is_freed_at_once(void **state) {
    (void)state;
    struct ground ground;
    ground_init(&ground);
    uint64_t before = world_live_bytes(&ground.world);
    retire_new(&ground);
    assert_int_equal(world_live_bytes(&ground.world), before);
    ground_fini(&ground);
}

static void test_what_somebody_may_read_stays(void **state) {
    (void)state;
    struct ground ground;
    ground_init(&ground);
    uint64_t before = world_live_bytes(&ground.world);
    unsigned shard = mmi_guard_enter(&ground.guard);
    retire_new(&ground);
    retire_new(&ground);
    assert_int_equal(world_live_bytes(&ground.world), before + 2 * sizeof(struct thing));
    mmi_guard_leave(&ground.guard, shard);
    retire_new(&ground); /* looks at what the others left */
    assert_int_equal(world_live_bytes(&ground.world), before);
    ground_fini(&ground);
}

/* A shard counts once it was seen empty, at whatever time: later readers hold nothing up. */
static void test_later_readers_hold_up_nothing(void **state) {
    (void)state;
    struct ground ground;
    ground_init(&ground);
    struct mmi_guard_shard *shards = ground.guard.shards;
    uint64_t before = world_live_bytes(&ground.world);
    atomic_store(&shards[0].readers, 1);
    retire_new(&ground); /* shard 0 is missing */
    atomic_store(&shards[0].readers, 0);
    atomic_store(&shards[1].readers, 1);
    retire_new(&ground); /* frees the first; of the second, shard 1 is missing */
    assert_int_equal(world_live_bytes(&ground.world), before + sizeof(struct thing));
    atomic_store(&shards[1].readers, 0);
    ground_fini(&ground); /* whatever is left */
}

int main(int argc, char **argv) {
    uint64_t seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_random_steps, &seed),
        cmocka_unit_test(test_churn_stays_small),
        cmocka_unit_test(test_remove_of_a_stranger_does_nothing),
        cmocka_unit_test(test_without_memory_nothing_changes),
        cmocka_unit_test(test_what_nobody_reads_is_freed_at_once),
        cmocka_unit_test(test_what_somebody_may_read_stays),
        cmocka_unit_test(test_later_readers_hold_up_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
