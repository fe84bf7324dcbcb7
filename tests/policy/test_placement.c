/* SPDX-License-Identifier: Apache-2.0 */

/* Which device takes a model: the order of the header, pair by pair, then as properties. */

#include <policy/placement.h>

#include <support/world.h>

#define ROUNDS 20000
#define PLACEMENTS_MAX 6

static uint64_t seed;

static size_t place_two(struct mmi_placement a, struct mmi_placement b) {
    a.usable = b.usable = true;
    const struct mmi_placement placements[] = {a, b};
    return mmi_place(placements, 2, 0);
}

static void test_better_to_worse(void **state) {
    (void)state;
    const struct mmi_placement order[] = {
        {.plan = {.verdict = MMI_PLAN_FITS}, .free_bytes = 9},
        {.plan = {.verdict = MMI_PLAN_FITS}, .free_bytes = 8},
        {.plan = {.verdict = MMI_PLAN_EVICT, .victim_cost_ns = 5, .victim_bytes = 1}},
        {.plan = {.verdict = MMI_PLAN_EVICT, .victim_cost_ns = 5, .victim_bytes = 2}},
        {.plan = {.verdict = MMI_PLAN_EVICT, .victim_cost_ns = 6, .victim_bytes = 1}},
        {.plan = {.verdict = MMI_PLAN_EVICT, .victim_class = 1, .victim_cost_ns = 1}},
        {.plan = {.verdict = MMI_PLAN_WAIT}},
        {.plan = {.verdict = MMI_PLAN_EVICT, .victim_cost_ns = 1, .draining = true}},
        {.plan = {.verdict = MMI_PLAN_EVICT, .victim_cost_ns = 2, .draining = true}},
        {.plan = {.verdict = MMI_PLAN_STAY, .wait_until_ns = 3}},
        {.plan = {.verdict = MMI_PLAN_STAY, .wait_until_ns = 4}},
        {.plan = {.verdict = MMI_PLAN_RUNS}},
        {.plan = {.verdict = MMI_PLAN_LEASED, .victim_cost_ns = 1}},
        {.plan = {.verdict = MMI_PLAN_LEASED, .victim_cost_ns = 2}},
        {.plan = {.verdict = MMI_PLAN_STALLED}, .free_bytes = 1},
        {.plan = {.verdict = MMI_PLAN_HELD}, .free_bytes = 2},
        {.plan = {.verdict = MMI_PLAN_BARRED}, .free_bytes = 3},
        {.plan = {.verdict = MMI_PLAN_TOO_LARGE}, .free_bytes = 4},
    };
    size_t count = sizeof order / sizeof order[0];
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(place_two(order[i], order[i]), 0); /* a tie: the first */
        for (size_t j = i + 1; j < count; j++) {
            assert_int_equal(place_two(order[i], order[j]), 0);
            assert_int_equal(place_two(order[j], order[i]), 1);
        }
    }
}

static void test_none_usable(void **state) {
    (void)state;
    const struct mmi_placement placements[] = {{.plan = {.verdict = MMI_PLAN_FITS}},
                                               {.plan = {.verdict = MMI_PLAN_TOO_LARGE}}};
    assert_int_equal(mmi_place(placements, 2, 0), 2);
    assert_int_equal(mmi_place(NULL, 0, 0), 0);
}

static void random_placement(struct mmi_placement *placement, uint64_t *random) {
    *placement = (struct mmi_placement){
        .plan = {.verdict = (enum mmi_verdict)test_random_below(random, MMI_PLAN_TOO_LARGE + 1),
                 .victim_class = (uint8_t)test_random_below(random, 3),
                 .victim_cost_ns = test_random_below(random, 3),
                 .victim_bytes = test_random_below(random, 3),
                 .wait_until_ns = test_random_below(random, 3)},
        .free_bytes = test_random_below(random, 3),
        .usable = test_random_below(random, 4) != 0};
    placement->plan.draining =
        placement->plan.verdict == MMI_PLAN_EVICT && test_random_below(random, 2) != 0;
}

/* Of equals the one whose turn it is; nobody is first for ever. */
static void test_equals_take_turns(void **state) {
    (void)state;
    for (int verdict = 0; verdict <= MMI_PLAN_TOO_LARGE; verdict++) {
        struct mmi_placement placements[4];
        for (size_t i = 0; i < 4; i++) {
            placements[i] = (struct mmi_placement){
                .plan = {.verdict = (enum mmi_verdict)verdict}, .free_bytes = 7, .usable = true};
        }
        for (size_t first = 0; first < 4; first++) {
            assert_int_equal(mmi_place(placements, 4, first), first);
            placements[first].usable = false;
            assert_int_equal(mmi_place(placements, 4, first), (first + 1) % 4);
            placements[first].usable = true;
        }
        placements[2].free_bytes = 8;
        assert_int_equal(mmi_place(placements, 4, 3), 2);
    }
}

/* The choice wins every duel, wins ties only against later candidates, and taking a loser away
 * changes nothing. */
static void test_properties(void **state) {
    (void)state;
    uint64_t random = seed;
    for (int round = 0; round < ROUNDS; round++) {
        struct mmi_placement placements[PLACEMENTS_MAX];
        size_t count = (size_t)test_random_below(&random, PLACEMENTS_MAX + 1);
        for (size_t i = 0; i < count; i++) {
            random_placement(&placements[i], &random);
        }
        size_t best = mmi_place(placements, count, 0);
        for (size_t i = 0; i < count; i++) {
            if (best == count) {
                assert_false(placements[i].usable);
                continue;
            }
            assert_true(placements[best].usable);
            if (i == best || !placements[i].usable) {
                continue;
            }
            if (i < best) {
                assert_int_equal(place_two(placements[i], placements[best]), 1);
            } else {
                assert_int_equal(place_two(placements[best], placements[i]), 0);
            }
            placements[i].usable = false;
            assert_int_equal(mmi_place(placements, count, 0), best);
            placements[i].usable = true;
        }
    }
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_better_to_worse),
        cmocka_unit_test(test_none_usable),
        cmocka_unit_test(test_equals_take_turns),
        cmocka_unit_test(test_properties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
