/* SPDX-License-Identifier: Apache-2.0 */

/* Each verdict of the victim plan, on a device small enough to be seen through. */

#include "fit.h"

#define NOW_NS 1000

struct scene {
    struct fit fit;
    struct mmi_candidate candidates[FIT_MAX];
    struct mmi_plan_key keys[FIT_MAX];
    uint32_t victims[FIT_MAX];
    struct mmi_plan_input input;
    struct mmi_plan_output output;
};

/* Nobody there, the asker is of class normal. */
static void scene_init(struct scene *scene, uint64_t need_bytes, uint64_t free_bytes) {
    *scene = (struct scene){.fit = {.need_bytes = need_bytes, .free_bytes = free_bytes}};
    scene->input = (struct mmi_plan_input){.candidates = scene->candidates,
                                           .keys = scene->keys,
                                           .evict_class = 1,
                                           .fits_empty = true,
                                           .now_ns = NOW_NS,
                                           .fit = fit_query_of(&scene->fit)};
    scene->output.victims = scene->victims;
}

/* One more of class normal; those added first were used last. */
static struct mmi_candidate *add(struct scene *scene, enum mmi_candidate_state state,
                                 uint64_t bytes) {
    uint32_t index = (uint32_t)scene->input.count++;
    scene->fit.own_bytes[index] = bytes;
    scene->candidates[index] = (struct mmi_candidate){.index = index,
                                                      .state = (uint8_t)state,
                                                      .evict_class = 1,
                                                      .last_used = 100 - index,
                                                      .bytes = bytes,
                                                      .load_cost_ns = 10 * bytes};
    return &scene->candidates[index];
}

static void check(struct scene *scene, enum mmi_verdict verdict, size_t victim_count,
                  const uint32_t *victims) {
    mmi_plan(&scene->input, &scene->output);
    assert_int_equal(scene->output.verdict, verdict);
    assert_int_equal(scene->output.victim_count, victim_count);
    for (size_t i = 0; i < victim_count; i++) {
        assert_int_equal(scene->victims[i], victims[i]);
    }
}

static void test_fits(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene, 10, 10);
    scene.output.victims = NULL; /* no candidates, no room needed */
    check(&scene, MMI_PLAN_FITS, 0, NULL);
}

static void test_reclaimable_counts_as_free(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene, 10, 4);
    add(&scene, MMI_CANDIDATE_RECLAIMABLE, 6)->evict_class = 2;
    add(&scene, MMI_CANDIDATE_RECLAIMABLE, 3); /* leaves first, but in vain */
    add(&scene, MMI_CANDIDATE_IDLE, 6);
    check(&scene, MMI_PLAN_FITS, 1, (uint32_t[]){0});
    assert_int_equal(scene.output.victim_bytes, 0);
    assert_int_equal(scene.output.victim_cost_ns, 0);
    assert_int_equal(scene.output.victim_class, 0);
}

static void test_draining_is_awaited(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene, 10, 0);
    add(&scene, MMI_CANDIDATE_RECLAIMABLE, 4);
    struct mmi_candidate *draining = add(&scene, MMI_CANDIDATE_DRAINING, 6);
    draining->barred = draining->self = true; /* it leaves all the same */
    draining->evict_class = 2;
    add(&scene, MMI_CANDIDATE_IDLE, 10);
    check(&scene, MMI_PLAN_WAIT, 0, NULL);
}

static void test_evict_in_order(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene, 14, 0);
    add(&scene, MMI_CANDIDATE_IDLE, 4);
    add(&scene, MMI_CANDIDATE_IDLE, 4)->last_used = 7;
    add(&scene, MMI_CANDIDATE_IDLE, 4)->last_used = 7; /* a tie: the smaller index first */
    add(&scene, MMI_CANDIDATE_IDLE, 4)->evict_class = 0;
    add(&scene, MMI_CANDIDATE_RECLAIMABLE, 1);
    add(&scene, MMI_CANDIDATE_LEASED, 99);
    check(&scene, MMI_PLAN_EVICT, 4, (uint32_t[]){3, 1, 2, 0});
    scene.fit = (struct fit){.need_bytes = 13, .own_bytes = {4, 4, 4, 4, 1, 99}};
    check(&scene, MMI_PLAN_EVICT, 4, (uint32_t[]){4, 3, 1, 2});
    assert_int_equal(scene.output.victim_bytes, 12);
    assert_int_equal(scene.output.victim_cost_ns, 120);
    assert_int_equal(scene.output.victim_class, 1);
    assert_false(scene.output.draining);
}

static void test_no_victim_in_vain(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene, 10, 0);
    add(&scene, MMI_CANDIDATE_IDLE, 8);
    add(&scene, MMI_CANDIDATE_IDLE, 3);
    add(&scene, MMI_CANDIDATE_IDLE, 2);
    add(&scene, MMI_CANDIDATE_IDLE, 1);
    check(&scene, MMI_PLAN_EVICT, 2, (uint32_t[]){2, 0}); /* 3 and 1 were chosen and dropped */
}

static void test_evict_beside_draining(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene, 10, 0);
    add(&scene, MMI_CANDIDATE_DRAINING, 5);
    add(&scene, MMI_CANDIDATE_IDLE, 5);
    check(&scene, MMI_PLAN_EVICT, 1, (uint32_t[]){1});
    assert_true(scene.output.draining);

    scene_init(&scene, 10, 0);
    add(&scene, MMI_CANDIDATE_DRAINING, 5);
    add(&scene, MMI_CANDIDATE_IDLE, 10); /* makes waiting needless */
    check(&scene, MMI_PLAN_EVICT, 1, (uint32_t[]){1});
    assert_false(scene.output.draining);
}

static void test_stay(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene, 10, 0);
    add(&scene, MMI_CANDIDATE_IDLE, 2)->stay_until_ns = NOW_NS; /* free to go */
    add(&scene, MMI_CANDIDATE_IDLE, 4)->stay_until_ns = NOW_NS + 3;
    add(&scene, MMI_CANDIDATE_IDLE, 4)->stay_until_ns = NOW_NS + 2;
    add(&scene, MMI_CANDIDATE_IDLE, 9)->stay_until_ns = NOW_NS + 4;
    add(&scene, MMI_CANDIDATE_LEASED, 99);
    check(&scene, MMI_PLAN_STAY, 0, NULL);
    assert_int_equal(scene.output.wait_until_ns, NOW_NS + 3);
}

static void test_leased(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene, 10, 0);
    add(&scene, MMI_CANDIDATE_LEASED, 6);
    add(&scene, MMI_CANDIDATE_LEASED, 5);
    add(&scene, MMI_CANDIDATE_IDLE, 2)->stay_until_ns = NOW_NS + 5;
    add(&scene, MMI_CANDIDATE_IDLE, 1)->stay_until_ns = NOW_NS + 9;
    add(&scene, MMI_CANDIDATE_IDLE, 2);
    add(&scene, MMI_CANDIDATE_LOADING, 99);
    check(&scene, MMI_PLAN_LEASED, 4, (uint32_t[]){4, 3, 2, 1}); /* 0 is left in peace */
    assert_int_equal(scene.output.wait_until_ns, NOW_NS + 9);
    assert_int_equal(scene.output.victim_bytes, 10);

    scene_init(&scene, 10, 0);
    add(&scene, MMI_CANDIDATE_LEASED, 10)->stay_until_ns = NOW_NS;
    check(&scene, MMI_PLAN_LEASED, 1, (uint32_t[]){0});
    assert_int_equal(scene.output.wait_until_ns, 0);
}

static void test_loading_is_awaited(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene, 10, 0);
    add(&scene, MMI_CANDIDATE_LOADING, 10);
    check(&scene, MMI_PLAN_WAIT, 0, NULL);
    scene.fit.released = 0;
    scene.candidates[0].barred = true; /* READY later, but it will not leave */
    check(&scene, MMI_PLAN_BARRED, 0, NULL);
}

static void test_forbidden(void **state) {
    (void)state;
    struct scene scene;
    for (int why = 0; why < 4; why++) {
        scene_init(&scene, 10, 0);
        bool reclaimable = why == 3;
        struct mmi_candidate *kept =
            add(&scene, reclaimable ? MMI_CANDIDATE_RECLAIMABLE : MMI_CANDIDATE_IDLE, 9);
        kept->barred = why == 0 || why == 3;
        kept->self = why == 1;
        kept->evict_class = why == 2 ? 2 : 0;
        add(&scene, MMI_CANDIDATE_IDLE, 1);
        check(&scene, MMI_PLAN_BARRED, 0, NULL);
    }
}

static void test_held_by_nobody_seen(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene, 10, 0);
    add(&scene, MMI_CANDIDATE_IDLE, 4);
    add(&scene, MMI_CANDIDATE_IDLE, 5)->barred = true; /* not what forbids it: 9 of 10 */
    check(&scene, MMI_PLAN_HELD, 0, NULL);
}

static void test_too_large(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene, 10, 0);
    add(&scene, MMI_CANDIDATE_IDLE, 9)->barred = true;
    scene.input.fits_empty = false;
    check(&scene, MMI_PLAN_TOO_LARGE, 0, NULL);
}

static void test_shared_chunk_leaves_as_one(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene, 10, 0);
    for (int i = 0; i < 4; i++) {
        add(&scene, MMI_CANDIDATE_IDLE, 0);
    }
    scene.fit.chunk_count = 2;
    scene.fit.chunks[0].bytes = scene.fit.chunks[1].bytes = 10;
    scene.fit.chunks[0].members = UINT32_C(1) << 3 | UINT32_C(1) << 31;
    scene.fit.chunks[1].members = UINT32_C(1) << 0 | UINT32_C(1) << 2;
    check(&scene, MMI_PLAN_EVICT, 2, (uint32_t[]){2, 0});
}

/* Scratch comes back when runs end; the runs' models may stay. */
static void test_runs_are_awaited_before_leases(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene, 10, 0);
    add(&scene, MMI_CANDIDATE_RUNNING, 8)->evict_class = 2; /* nobody leaves for it */
    add(&scene, MMI_CANDIDATE_IDLE, 2);
    add(&scene, MMI_CANDIDATE_LEASED, 99);
    check(&scene, MMI_PLAN_RUNS, 0, NULL);

    scene_init(&scene, 14, 0);
    add(&scene, MMI_CANDIDATE_RUNNING, 8);
    add(&scene, MMI_CANDIDATE_LEASED, 6);
    check(&scene, MMI_PLAN_LEASED, 1, (uint32_t[]){1});
    assert_true(scene.output.draining); /* the scratch is needed as well */
}

/* Who waits for memory gives none back, in whatever state it is. */
static void test_stalled_are_not_awaited(void **state) {
    (void)state;
    const enum mmi_candidate_state states[] = {MMI_CANDIDATE_LEASED, MMI_CANDIDATE_DRAINING,
                                               MMI_CANDIDATE_RECLAIMABLE};
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        struct scene scene;
        scene_init(&scene, 10, 4);
        struct mmi_candidate *stalled = add(&scene, states[i], 6);
        stalled->stalled = true;
        check(&scene, MMI_PLAN_STALLED, 0, NULL);
        stalled->barred = stalled->self = true; /* its own, which waits as well */
        scene.fit.released = 0;
        check(&scene, MMI_PLAN_STALLED, 0, NULL);
    }
}

/* The second copy of a hot model leaves before the only copy of a cold one. */
static void test_spare_copies_first(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene, 6, 0);
    add(&scene, MMI_CANDIDATE_IDLE, 3)->evict_class = 0;
    add(&scene, MMI_CANDIDATE_IDLE, 3)->spare = true;
    add(&scene, MMI_CANDIDATE_IDLE, 3);
    scene.candidates[1].last_used = 1000;
    check(&scene, MMI_PLAN_EVICT, 2, (uint32_t[]){1, 0});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fits),
        cmocka_unit_test(test_reclaimable_counts_as_free),
        cmocka_unit_test(test_draining_is_awaited),
        cmocka_unit_test(test_evict_in_order),
        cmocka_unit_test(test_no_victim_in_vain),
        cmocka_unit_test(test_evict_beside_draining),
        cmocka_unit_test(test_stay),
        cmocka_unit_test(test_leased),
        cmocka_unit_test(test_loading_is_awaited),
        cmocka_unit_test(test_forbidden),
        cmocka_unit_test(test_held_by_nobody_seen),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_shared_chunk_leaves_as_one),
        cmocka_unit_test(test_runs_are_awaited_before_leases),
        cmocka_unit_test(test_stalled_are_not_awaited),
        cmocka_unit_test(test_spare_copies_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
