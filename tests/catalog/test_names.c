/* SPDX-License-Identifier: Apache-2.0 */

/* The table of names against a list that is searched from the front. */

#include <catalog/names.h>
#include <support/world.h>

#include <string.h>

#define NAMES 700u
#define STEPS 60000u

struct ground {
    struct world world;
    struct mmi_names names;
    bool there[NAMES]; /* the naive table: by number */
    size_t live;
};

static void ground_init(struct ground *ground) {
    memset(ground, 0, sizeof(*ground));
    world_init(&ground->world);
    assert_true(mmi_names_init(&ground->names, &ground->world.env.alloc));
}

static void ground_fini(struct ground *ground) {
    mmi_names_fini(&ground->names);
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
    assert_int_equal(world_live_bytes(&ground.world), 2 * before); /* two tables in turn */
    assert_true(atomic_load(&ground.names.sweeps) > 0);
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
    struct mmi_names names;
    world_init(&world);
    world_fail_alloc(&world, 1);
    assert_false(mmi_names_init(&names, &world.env.alloc));
    mmi_names_fini(&names);
    world_fini(&world);
}

int main(int argc, char **argv) {
    uint64_t seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_random_steps, &seed),
        cmocka_unit_test(test_churn_stays_small),
        cmocka_unit_test(test_remove_of_a_stranger_does_nothing),
        cmocka_unit_test(test_without_memory_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
