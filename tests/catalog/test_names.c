/* SPDX-License-Identifier: Apache-2.0 */

/* The table of names against a list that is searched from the front. */

#include <catalog/names.h>
#include <support/world.h>

#include <string.h>

#define NAMES 700u
#define STEPS 60000u

struct fixture {
    struct world world;
    struct mmi_names names;
    bool there[NAMES]; /* the naive table: by number */
    size_t live;
};

static void fixture_init(struct fixture *fixture) {
    memset(fixture, 0, sizeof(*fixture));
    world_init(&fixture->world);
    assert_true(mmi_names_init(&fixture->names, &fixture->world.env.alloc));
}

static void fixture_fini(struct fixture *fixture) {
    mmi_names_fini(&fixture->names);
    world_fini(&fixture->world);
}

/* Few tags for many names: most steps meet strangers on their way. */
static uint64_t hash_of(uint32_t number) {
    return ((uint64_t)(number % 41) << 32) | number * 2654435761u;
}

struct query {
    const struct fixture *fixture;
    uint32_t wanted;
};

static bool matches(void *ctx, uint32_t number) {
    const struct query *query = ctx;
    assert_true(number < NAMES);
    assert_true(query->fixture->there[number]); /* a removed name is asked about by nobody */
    return number == query->wanted;
}

static void expect(const struct fixture *fixture, uint32_t number) {
    struct query query = {fixture, number};
    uint32_t found = mmi_names_find(&fixture->names, hash_of(number), matches, &query);
    assert_int_equal(found, fixture->there[number] ? number : UINT32_MAX);
}

static void add(struct fixture *fixture, uint32_t number) {
    assert_true(mmi_names_reserve(&fixture->names));
    mmi_names_add(&fixture->names, hash_of(number), number);
    fixture->there[number] = true;
    fixture->live++;
}

static void take_out(struct fixture *fixture, uint32_t number) {
    mmi_names_remove(&fixture->names, hash_of(number), number);
    fixture->there[number] = false;
    fixture->live--;
}

static void test_random_steps(void **state) {
    uint64_t seed = *(uint64_t *)*state;
    struct fixture fixture;
    fixture_init(&fixture);
    for (unsigned step = 0; step < STEPS; step++) {
        /* The share of names that are there swings, so the table grows and is swept. */
        uint64_t share = step / 5000 % 2 ? 20 : 80;
        uint32_t number = (uint32_t)test_random_below(&seed, NAMES);
        bool wanted = test_random_below(&seed, 100) < share;
        if (wanted != fixture.there[number]) {
            wanted ? add(&fixture, number) : take_out(&fixture, number);
        }
        expect(&fixture, number);
        expect(&fixture, (uint32_t)test_random_below(&seed, NAMES));
        assert_int_equal(fixture.names.live, fixture.live);
        assert_true(fixture.names.used >= fixture.names.live);
    }
    for (uint32_t number = 0; number < NAMES; number++) {
        expect(&fixture, number);
    }
    fixture_fini(&fixture);
}

/* Removed words fill a table too; it is swept, not doubled, when few names are live. */
static void test_churn_stays_small(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    uint64_t before = world_live_bytes(&fixture.world);
    for (uint32_t i = 0; i < 10000; i++) {
        add(&fixture, i % NAMES);
        take_out(&fixture, i % NAMES);
    }
    assert_int_equal(world_live_bytes(&fixture.world), 2 * before); /* two tables in turn */
    assert_true(atomic_load(&fixture.names.sweeps) > 0);
    fixture_fini(&fixture);
}

static void test_remove_of_a_stranger_does_nothing(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    add(&fixture, 1);
    mmi_names_remove(&fixture.names, hash_of(42), 42); /* the same tag */
    expect(&fixture, 1);
    assert_int_equal(fixture.names.live, 1);
    fixture_fini(&fixture);
}

static void test_without_memory_nothing_changes(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    unsigned refused = 0;
    for (uint32_t number = 0; number < NAMES; number++) {
        world_fail_alloc(&fixture.world, 1);
        bool reserved = mmi_names_reserve(&fixture.names);
        refused += !reserved;
        assert_int_equal(world_failed(&fixture.world), !reserved);
        world_fail_alloc(&fixture.world, 0);
        for (uint32_t i = 0; i < number; i += 37) {
            expect(&fixture, i);
        }
        add(&fixture, number);
    }
    assert_true(refused > 2);
    fixture_fini(&fixture);

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
