/* SPDX-License-Identifier: Apache-2.0 */

/* Each scenario again and again: with the 1st, 2nd, 3rd ... allocation failing, then with the n-th
 * thread, open, read, write, mapping and device call. After each the call has succeeded or said
 * why, the mesh serves again, its inside is sound, and it goes without leaving anything behind.
 *
 * Usage: test-nth [seed [points of one kind, at most [scenario]]] */

#include "stage.h"

#include <stress/check.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define MOST_POINTS 500u
#define PATIENCE_S 60u /* a point takes milliseconds; a hang is killed */

/* One kind of failure, and what a step may answer to it. A backend that gets no more scratch, for
 * whatever reason, says MM_NO_ROOM_FOR_ACTIVATIONS. */
struct kind {
    const char *what; /* NULL = an allocation */
    int errnum;
    mm_status answers[4]; /* ends with MM_OK */
};
static const struct kind kinds[] = {
    {NULL, 0, {MM_NO_MEMORY, MM_NO_ROOM_FOR_ACTIVATIONS}},
    {"thread", EAGAIN, {MM_NO_THREADS}},
    {"thread", ENOMEM, {MM_NO_THREADS, MM_NO_MEMORY}},
    {"open", EMFILE, {MM_NO_FDS}},
    {"open", EIO, {MM_IO}},
    {"open", ENOMEM, {MM_NO_MEMORY, MM_IO}},
    {"read", EIO, {MM_IO}},
    {"write", EIO, {MM_IO}},
    {"write", ENOSPC, {MM_NO_SPACE}},
    {"sync", EIO, {MM_IO}},
    {"rename", EIO, {MM_IO}},
    {"map", ENOMEM, {MM_NO_MEMORY}},
    {"device", ENOMEM, {MM_NO_MEMORY, MM_NO_ROOM_FOR_ACTIVATIONS}},
    {"device", EIO, {MM_IO, MM_NO_ROOM_FOR_ACTIVATIONS}},
    {"device", EMFILE, {MM_NO_FDS, MM_NO_ROOM_FOR_ACTIVATIONS}},
};

struct arguments {
    uint64_t seed, most_points;
    const char *scenario; /* NULL = all */
};

static char point[128]; /* that runs now, for whoever reads of a failure; "" = none */

static int tell_point(void **state) {
    (void)state;
    if (point[0]) {
        print_error("at the point: %s\n", point);
    }
    return 0;
}

static void arm(struct stage *stage, const struct kind *kind, uint64_t nth) {
    if (kind->what) {
        world_fault(&stage->world, kind->what, nth, kind->errnum);
    } else {
        world_fail_alloc(&stage->world, nth);
    }
}

static bool answers(const struct kind *kind, mm_status status) {
    for (size_t i = 0; kind->answers[i] != MM_OK; i++) {
        if (kind->answers[i] == status) {
            return true;
        }
    }
    return status == MM_OK;
}

/* Nothing fails any more, and back-offs are over: everything that is registered answers. */
static void expect_service(struct stage *stage) {
    stage->status = MM_OK;
    world_advance(&stage->world, UINT64_C(3600000000000));
    bool made = stage->mesh || stage_create(stage);
    if (made && stage->models[0].id == 0 && stage->models[1].id == 0) {
        made = stage_add(stage, 0);
    }
    for (unsigned i = 0; made && i < STAGE_MODELS; i++) {
        made = stage->models[i].id == 0 || stage_ask(stage, i, 0, NULL);
    }
    if (!made) {
        fail_msg("afterwards, %s: %s", stage->failed, stage->err.text);
    }
}

/* true: the failure was hit; there may be a later one. */
static bool run_point(const struct scenario *scenario, const struct kind *kind, uint64_t nth) {
    struct stage stage;
    snprintf(point, sizeof(point), "%s, %s%s%s number %llu", scenario->name,
             kind->what ? kind->what : "allocation", kind->what ? " " : "",
             kind->what ? strerror(kind->errnum) : "", (unsigned long long)nth);
    alarm(PATIENCE_S);
    stage_init(&stage, scenario);
    arm(&stage, kind, nth);
    if (stage_create(&stage)) {
        scenario->play(&stage);
    }
    bool hit = world_failed(&stage.world);
    arm(&stage, kind, 0);
    if (!answers(kind, stage.status) || (stage.status != MM_OK && !hit) || stage.wrong) {
        fail_msg("%s: %s: %s%s", stage.failed ? stage.failed : "", mm_status_name(stage.status),
                 stage.err.text, stage.wrong ? ", wrong answer" : "");
    }
    if (stage.status != MM_OK) {
        assert_true(stage.err.text[0] != '\0' || strcmp(stage.failed, "metrics") == 0);
    }
    if (!stage.mesh) {
        memset(stage.models, 0, sizeof(stage.models));
    }
    expect_service(&stage);
    char text[CHECK_TEXT_BYTES];
    const char *broken = residency_check_at_rest(&stage.mesh->res, text);
    if (broken || stage.wrong) {
        fail_msg("%s", broken ? broken : "a wrong answer afterwards");
    }
    stage_fini(&stage);
    alarm(0);
    point[0] = '\0';
    return hit;
}

/* How many points of this kind there are. */
static uint64_t count_points(const struct scenario *scenario) {
    struct stage stage;
    stage_init(&stage, scenario);
    if (stage_create(&stage)) {
        scenario->play(&stage);
    }
    if (stage.status != MM_OK || stage.wrong) {
        fail_msg("%s, without a failure: %s: %s", scenario->name, stage.failed, stage.err.text);
    }
    uint64_t count = world_allocations(&stage.world);
    stage_fini(&stage);
    return count;
}

/* All, one after the other; of very many a sample. */
static uint64_t run_kind(const struct scenario *scenario, const struct kind *kind, uint64_t count,
                         const struct arguments *arguments) {
    uint64_t points = 0, seed = arguments->seed;
    if (!kind->what && count > arguments->most_points) {
        for (; points < arguments->most_points; points++) {
            run_point(scenario, kind, 1 + test_random_below(&seed, count));
        }
        return points;
    }
    while (points < arguments->most_points && run_point(scenario, kind, points + 1)) {
        points++;
    }
    return points;
}

static void test_every_failure_is_survived(void **state) {
    const struct arguments *arguments = *state;
    uint64_t all = 0;
    for (size_t i = 0; i < nth_scenario_count; i++) {
        const struct scenario *scenario = &nth_scenarios[i];
        if (arguments->scenario && strcmp(arguments->scenario, scenario->name) != 0) {
            continue;
        }
        uint64_t count = count_points(scenario), points = 0;
        for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
            points += run_kind(scenario, &kinds[k], count, arguments);
        }
        print_message("%-12s %4llu points\n", scenario->name, (unsigned long long)points);
        all += points;
    }
    print_message("%-12s %4llu points\n", "all", (unsigned long long)all);
}

int main(int argc, char **argv) {
    struct arguments arguments = {test_seed(argc, argv), MOST_POINTS, argc > 3 ? argv[3] : NULL};
    if (argc > 2) {
        arguments.most_points = strtoull(argv[2], NULL, 0);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(test_every_failure_is_survived, NULL, tell_point,
                                                 &arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
