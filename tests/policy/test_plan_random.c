/* SPDX-License-Identifier: Apache-2.0 */

/* The plan against every subset there is.
 *
 * Number the candidates in the order of leaving and read a set as a binary number, the last to
 * leave the highest digit. "Latest chosen first is dropped" then means: of all sufficient sets of
 * the deciding step the plan names the smallest number. That one comparison holds sufficiency,
 * minimality and order. What may be in a set is decided by rules written down here once more. */

#include "fit.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS 60000
#define NOW_NS 1000

static uint64_t seed;

struct scene {
    struct fit fit;
    struct mmi_candidate candidates[FIT_MAX]; /* by index */
    uint32_t count;
    uint8_t evict_class;
};

static void scene_random(struct scene *scene, uint64_t *random) {
    memset(scene, 0, sizeof *scene);
    scene->count = (uint32_t)test_random_below(random, 10);
    scene->evict_class = (uint8_t)test_random_below(random, 3);
    scene->fit.free_bytes = test_random_below(random, 4);
    for (uint32_t i = 0; i < scene->count; i++) {
        uint64_t bytes = test_random_below(random, 8);
        scene->fit.own_bytes[i] = bytes;
        scene->candidates[i] = (struct mmi_candidate){
            .index = i,
            .state = (uint8_t)test_random_below(random, MMI_CANDIDATE_LINGERING + 1),
            .evict_class = (uint8_t)test_random_below(random, 3),
            .barred = test_random_below(random, 8) == 0,
            .self = test_random_below(random, 10) == 0,
            .stalled = test_random_below(random, 8) == 0,
            .spare = test_random_below(random, 6) == 0,
            .last_used = test_random_below(random, 6),
            .bytes = bytes,
            .load_cost_ns = test_random_below(random, 100),
            .stay_until_ns =
                test_random_below(random, 3) == 0 ? NOW_NS - 2 + test_random_below(random, 6) : 0};
    }
    scene->fit.chunk_count = test_random_below(random, 4);
    for (size_t i = 0; i < scene->fit.chunk_count; i++) {
        uint32_t present = (UINT32_C(1) << scene->count) - 1;
        uint32_t foreign = test_random_below(random, 4) == 0 ? UINT32_C(1) << 31 : 0;
        scene->fit.chunks[i].members = ((uint32_t)test_random(random) & present) | foreign;
        scene->fit.chunks[i].bytes = test_random_below(random, 6);
    }
    scene->fit.need_bytes = test_random_below(random, 8 + 5 * (scene->count + 1));
}

#define STEP_HELD 12

/* The header's list of steps, once more. */
static int step_of(const struct scene *scene, const struct mmi_candidate *c) {
    static const int steps[] = {
        [MMI_CANDIDATE_RECLAIMABLE] = 2, [MMI_CANDIDATE_DRAINING] = 3,  [MMI_CANDIDATE_IDLE] = 4,
        [MMI_CANDIDATE_RUNNING] = 6,     [MMI_CANDIDATE_LINGERING] = 7, [MMI_CANDIDATE_LEASED] = 8,
        [MMI_CANDIDATE_LOADING] = 9};
    int step = steps[c->state];
    bool stays = step == 4 && c->stay_until_ns > NOW_NS;
    bool asks_class = step == 4 || step >= 8;
    bool barred = (step != 3 && step != 7 && (c->barred || c->self)) ||
                  (asks_class && c->evict_class > scene->evict_class);
    return c->stalled ? 10 : barred ? 11 : stays ? 5 : step;
}

/* How many of the others leave before candidate i. */
static uint32_t place_of(const struct scene *scene, uint32_t i) {
    uint32_t place = 0;
    for (uint32_t j = 0; j < scene->count; j++) {
        const struct mmi_candidate *a = &scene->candidates[j], *b = &scene->candidates[i];
        int64_t d = step_of(scene, a) - step_of(scene, b);
        d = d != 0 ? d : b->spare - a->spare;
        d = d != 0 ? d : a->evict_class - b->evict_class;
        d = d != 0 ? d : (int64_t)a->last_used - (int64_t)b->last_used;
        d = d != 0 ? d : (int64_t)j - (int64_t)i;
        place += d < 0;
    }
    return place;
}

static uint32_t up_to_step(const struct scene *scene, int step) {
    uint32_t set = 0;
    for (uint32_t i = 0; i < scene->count; i++) {
        set |= step_of(scene, &scene->candidates[i]) <= step ? UINT32_C(1) << i : 0;
    }
    return set;
}

/* The smallest number among the sufficient subsets of `allowed`, as a set of indices. */
static uint32_t best_subset(const struct scene *scene, uint32_t allowed) {
    uint32_t by_place[FIT_MAX];
    for (uint32_t i = 0; i < scene->count; i++) {
        by_place[place_of(scene, i)] = i;
    }
    for (uint32_t number = 0; number < UINT32_C(1) << scene->count; number++) {
        uint32_t set = 0;
        for (uint32_t place = 0; place < scene->count; place++) {
            set |= (number >> place & 1) << by_place[place];
        }
        if ((set & ~allowed) == 0 && fit_would_hold(&scene->fit, set)) {
            return set;
        }
    }
    fail_msg("no subset suffices");
    return 0;
}

/* The earliest time at which enough of those that stay may leave. */
static uint64_t earliest(const struct scene *scene) {
    for (uint64_t time = NOW_NS + 1;; time++) {
        uint32_t set = up_to_step(scene, 4);
        for (uint32_t i = 0; i < scene->count; i++) {
            const struct mmi_candidate *c = &scene->candidates[i];
            bool gone = step_of(scene, c) == 5 && c->stay_until_ns <= time;
            set |= gone ? UINT32_C(1) << i : 0;
        }
        if (fit_would_hold(&scene->fit, set)) {
            return time;
        }
    }
}

static void check_victims(const struct scene *scene, int step, const struct mmi_plan_output *out) {
    uint32_t expected = best_subset(scene, up_to_step(scene, step));
    uint32_t named = 0, last_place = 0;
    struct mmi_plan_output sums = {0};
    for (size_t i = 0; i < out->victim_count; i++) {
        const struct mmi_candidate *c = &scene->candidates[out->victims[i]];
        uint32_t place = place_of(scene, c->index);
        assert_true(i == 0 || place > last_place);
        last_place = place;
        named |= UINT32_C(1) << c->index;
        if (c->state != MMI_CANDIDATE_RECLAIMABLE) {
            sums.victim_bytes += c->bytes;
            sums.victim_cost_ns += c->load_cost_ns;
            sums.victim_class =
                c->evict_class > sums.victim_class ? c->evict_class : sums.victim_class;
            if (c->stay_until_ns > NOW_NS && c->stay_until_ns > sums.wait_until_ns) {
                sums.wait_until_ns = c->stay_until_ns;
            }
        }
    }
    uint32_t draining = 0; /* and runs: they are awaited, not chosen */
    for (uint32_t i = 0; i < scene->count; i++) {
        int of = step_of(scene, &scene->candidates[i]);
        draining |= of == 3 || of == 6 || of == 7 ? expected & UINT32_C(1) << i : 0;
    }
    assert_int_equal(out->draining, draining != 0);
    assert_int_equal(named, expected & ~draining);
    assert_int_equal(out->victim_bytes, sums.victim_bytes);
    assert_int_equal(out->victim_cost_ns, sums.victim_cost_ns);
    assert_int_equal(out->victim_class, sums.victim_class);
    assert_int_equal(out->wait_until_ns, sums.wait_until_ns);
}

static enum mmi_verdict check_scene(const struct scene *scene, const struct mmi_plan_output *out) {
    static const enum mmi_verdict verdicts[] = {0,
                                                MMI_PLAN_FITS,
                                                MMI_PLAN_FITS,
                                                MMI_PLAN_WAIT,
                                                MMI_PLAN_EVICT,
                                                MMI_PLAN_STAY,
                                                MMI_PLAN_RUNS,
                                                MMI_PLAN_WAIT,
                                                MMI_PLAN_LEASED,
                                                MMI_PLAN_WAIT,
                                                MMI_PLAN_STALLED,
                                                MMI_PLAN_BARRED,
                                                MMI_PLAN_HELD};
    int step = 1;
    while (step < STEP_HELD && !fit_would_hold(&scene->fit, up_to_step(scene, step))) {
        step++;
    }
    assert_int_equal(out->verdict, verdicts[step]);
    if (step == 2 || step == 4 || step == 8) {
        check_victims(scene, step, out);
        return out->verdict;
    }
    assert_int_equal(out->victim_count, 0);
    assert_int_equal(out->wait_until_ns, step == 5 ? earliest(scene) : 0);
    return out->verdict;
}

static void test_against_all_subsets(void **state) {
    (void)state;
    uint64_t random = seed, seen[MMI_PLAN_TOO_LARGE] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        struct scene scene;
        scene_random(&scene, &random);
        struct mmi_candidate shuffled[FIT_MAX];
        memcpy(shuffled, scene.candidates, sizeof shuffled);
        for (uint32_t i = scene.count; i > 1; i--) {
            uint64_t j = test_random_below(&random, i);
            struct mmi_candidate held = shuffled[i - 1];
            shuffled[i - 1] = shuffled[j];
            shuffled[j] = held;
        }
        struct mmi_plan_key keys[FIT_MAX];
        uint32_t victims[FIT_MAX];
        struct fit fit = scene.fit;
        struct mmi_plan_input input = {.candidates = shuffled,
                                       .keys = keys,
                                       .count = scene.count,
                                       .evict_class = scene.evict_class,
                                       .fits_empty = true,
                                       .now_ns = NOW_NS,
                                       .fit = fit_query_of(&fit)};
        struct mmi_plan_output output = {.victims = victims};
        mmi_plan(&input, &output);
        seen[check_scene(&scene, &output)]++;
    }
    for (int verdict = 0; verdict < MMI_PLAN_TOO_LARGE; verdict++) {
        assert_true(seen[verdict] > ROUNDS / 500); /* the dice know every verdict */
    }
}

/* ---- Thousands of candidates ----------------------------------------------------------------- */

#define MANY 5000

struct field {
    uint64_t need_bytes, room_bytes;
    uint64_t fits_calls;
};

static void field_release(void *ctx, const struct mmi_candidate *candidate) {
    ((struct field *)ctx)->room_bytes += candidate->bytes;
}

static bool field_fits(void *ctx) {
    struct field *field = ctx;
    field->fits_calls++;
    return field->room_bytes >= field->need_bytes;
}

static bool field_keep(void *ctx, const struct mmi_candidate *candidate) {
    struct field *field = ctx;
    field->room_bytes -= candidate->bytes;
    bool fits = field_fits(field);
    field->room_bytes += fits ? 0 : candidate->bytes;
    return fits;
}

static void test_cost_of_thousands(void **state) {
    (void)state;
    static struct mmi_candidate candidates[MANY];
    static struct mmi_plan_key keys[MANY];
    static uint32_t victims[MANY];
    /* A few leave, half leave, all leave. */
    const uint64_t needs[] = {3, MANY / 2, MANY};
    for (size_t n = 0; n < sizeof needs / sizeof needs[0]; n++) {
        uint64_t random = seed + n;
        for (uint32_t i = 0; i < MANY; i++) {
            candidates[i] = (struct mmi_candidate){
                .index = i, .bytes = 1, .last_used = test_random(&random), .evict_class = 1};
        }
        struct field field = {.need_bytes = needs[n]};
        struct mmi_plan_input input = {
            .candidates = candidates,
            .keys = keys,
            .count = MANY,
            .evict_class = 1,
            .fits_empty = true,
            .fit = {
                .ctx = &field, .release = field_release, .keep = field_keep, .fits = field_fits}};
        struct mmi_plan_output output = {.victims = victims};
        mmi_plan(&input, &output);
        assert_int_equal(output.verdict, MMI_PLAN_EVICT);
        assert_int_equal(output.victim_count, needs[n]);
        assert_true(field.fits_calls <= 2 * needs[n] + 1);
    }
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_all_subsets),
        cmocka_unit_test(test_cost_of_thousands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
