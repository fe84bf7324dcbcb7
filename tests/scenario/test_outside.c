/* SPDX-License-Identifier: Apache-2.0 */
/* What happens outside: sources that change, descriptors that run out, a clock that is set back. */
#include "weather.h"

#include <support/scratch.h>

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define YEAR_S (365 * 24 * 3600)

/* The wall clock of this program: the real one, moved by so many seconds. */
static _Atomic long wall_moved_s;

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
        now->tv_sec += atomic_load(&wall_moved_s);
    }
    return result;
}

static const char old_script[] = "echo1\nweights_bytes 3m\ncheck 0\nseed 1\n";
static const char new_script[] = "echo1\nweights_bytes 3m\ncheck 0\nseed 2\n";

struct outside {
    struct fixture f;
    struct scratch scratch;
    mm_model model;
};

/* A model from a file, of seed 1, resident. */
static void outside_open(struct outside *o, const mm_mesh_options *options) {
    fixture_open(&o->f, options);
    scratch_init(&o->scratch);
    scratch_text(&o->scratch, "m.echo", old_script);
    char path[SCRATCH_ROOM];
    mm_model_spec spec = fixture_spec(&o->f, "m", "echo", old_script + MMI_ECHO_MAGIC_BYTES);
    spec.data = NULL;
    spec.data_bytes = 0;
    spec.source = scratch_path(&o->scratch, "m.echo", path);
    o->model = fixture_register(&o->f, &spec);
    assert_ok(&o->f, fixture_infer(&o->f, o->model));
}

static void outside_close(struct outside *o) {
    scratch_fini(&o->scratch);
    fixture_close(&o->f);
}

static void overwrite(struct outside *o) {
    scratch_text(&o->scratch, "m.echo", new_script);
}

static void cut(struct outside *o) {
    scratch_write(&o->scratch, "m.echo", old_script, 9);
}

static void empty(struct outside *o) {
    scratch_write(&o->scratch, "m.echo", "", 0);
}

static void take_away(struct outside *o) {
    char path[SCRATCH_ROOM];
    assert_int_equal(unlink(scratch_path(&o->scratch, "m.echo", path)), 0);
}

static const struct {
    void (*harm)(struct outside *o);
    mm_status status; /* once the artifact is gone too */
} harms[] = {{overwrite, MM_SOURCE_CHANGED},
             {cut, MM_SOURCE_CHANGED},
             {empty, MM_SOURCE_CHANGED},
             {take_away, MM_NOT_FOUND}};
#define HARMS (sizeof(harms) / sizeof(harms[0]))

/* ---- Sources --------------------------------------------------------------------------------- */

/* "source overwritten, truncated, unlinked while resident: resident answers unchanged"; and after a
 * reload from the artifact: "version is its content; a changed source is seen by update only" */
static void test_a_harmed_source_does_not_change_the_answers(void **state) {
    (void)state;
    for (size_t i = 0; i < HARMS; i++) {
        struct outside o;
        outside_open(&o, NULL);
        harms[i].harm(&o);
        assert_ok(&o.f, fixture_infer(&o.f, o.model));
        assert_int_equal(fixture_info(&o.f, o.model).loads, 1);
        assert_ok(&o.f, mm_evict(o.f.mesh, o.model, MM_NO_WAIT, &o.f.err));
        assert_ok(&o.f, fixture_infer(&o.f, o.model));
        assert_int_equal(fixture_info(&o.f, o.model).loads, 2);
        outside_close(&o);
    }
}

/* Makes the mesh forget what was prepared of m: its budget is for one model. */
static void crowd_out(struct outside *o) {
    mm_model other = weather_model(&o->f, "other", 3, 9);
    assert_ok(&o->f, mm_evict(o->f.mesh, o->model, MM_NO_WAIT, &o->f.err));
    assert_ok(&o->f, fixture_infer(&o->f, other));
    assert_int_equal(fixture_info(&o->f, o->model).artifact_bytes, 0);
}

/* "artifact gone and source different: MM_SOURCE_CHANGED" */
static void test_without_artifact_a_harmed_source_is_told(void **state) {
    (void)state;
    for (size_t i = 0; i < HARMS; i++) {
        struct outside o;
        mm_mesh_options options = MM_MESH_OPTIONS_INIT;
        options.artifact_budget_bytes = 4 * MIB;
        outside_open(&o, &options);
        harms[i].harm(&o);
        crowd_out(&o);
        assert_status(&o.f, fixture_infer(&o.f, o.model), harms[i].status);
        assert_non_null(strstr(o.f.err.text, "m.echo"));
        outside_close(&o);
    }
}

/* "beyond it they are prepared again, and an event says so" */
static void test_without_artifact_an_untouched_source_is_prepared_again(void **state) {
    (void)state;
    struct outside o;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.artifact_budget_bytes = 4 * MIB;
    outside_open(&o, &options);
    crowd_out(&o);
    assert_true(fixture_events(&o.f, "artifact_dropped", NULL, NULL) >= 1);
    assert_ok(&o.f, fixture_infer(&o.f, o.model));
    assert_int_equal(fixture_stats(&o.f).prepares, 3);
    outside_close(&o);
}

/* "what finds no room is there ... as long as it is mapped, and is prepared again for the next" */
static void test_an_artifact_beyond_its_budget(void **state) {
    (void)state;
    struct outside o;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.artifact_budget_bytes = 2 * MIB;
    outside_open(&o, &options);
    mm_model large = weather_model(&o.f, "large", 5, 7);
    uint64_t prepares = fixture_stats(&o.f).prepares;
    for (unsigned i = 1; i <= 3; i++) {
        assert_ok(&o.f, fixture_infer(&o.f, large));
        assert_ok(&o.f, fixture_infer(&o.f, large)); /* a hit */
        assert_int_equal(fixture_info(&o.f, large).artifact_bytes, 5 * MIB);
        assert_int_equal(fixture_stats(&o.f).prepares, prepares + i);
        assert_ok(&o.f, mm_evict(o.f.mesh, large, MM_NO_WAIT, &o.f.err));
        assert_int_equal(fixture_info(&o.f, large).artifact_bytes, 0);
        assert_int_equal(
            fixture_events(&o.f, "artifact_dropped", "reason=artifact_budget", "bytes=5242880"), i);
    }
    outside_close(&o);
}

/* "unregister: the source may be deleted after return", also while it is being prepared */
static void test_the_source_may_go_after_unregister(void **state) {
    (void)state;
    struct outside o;
    outside_open(&o, NULL);
    struct gate gate;
    gate_shut(&o.f, &gate, MMI_ECHO_PREPARE, "slow");
    char path[SCRATCH_ROOM];
    scratch_text(&o.scratch, "slow.echo", "echo1\nversion slow\n");
    mm_model_spec spec = fixture_spec(&o.f, "slow", "gated", "version slow\n");
    spec.data = NULL;
    spec.source = scratch_path(&o.scratch, "slow.echo", path);
    struct asker asker = {.f = &o.f, .model = fixture_register(&o.f, &spec)};
    asker_start(&asker);
    gate_wait_arrived(&gate, 1);
    assert_ok(&o.f, mm_unregister(o.f.mesh, asker.model, &o.f.err));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(asker_join(&asker), MM_UNREGISTERED);
    gate_open(&gate);
    assert_ok(&o.f, fixture_infer(&o.f, o.model));
    outside_close(&o);
}

/* ---- The clock ------------------------------------------------------------------------------- */

/* "clock a year back: no entry invalidated by the clock, no timer fires": nothing looks at the wall
 * clock but to tell whether a file is fresh */
static void test_a_wall_clock_a_year_back_changes_nothing(void **state) {
    (void)state;
    struct outside o;
    outside_open(&o, NULL);
    mm_model_spec spec = fixture_spec(&o.f, "ttl", "echo", "weights_bytes 1m\nseed 5\n");
    spec.idle_ttl_ns = S_NS;
    mm_model ttl = fixture_register(&o.f, &spec);
    mm_model broken = fixture_echo(&o.f, "broken", "fail_attach 1 MM_IO\n");
    assert_ok(&o.f, fixture_infer(&o.f, ttl));
    assert_status(&o.f, fixture_infer(&o.f, broken), MM_IO);
    uint64_t retry_ns = fixture_info(&o.f, broken).retry_after_ns;
    static const long years[] = {-1, 1, 0};
    for (int i = 0; i < 3; i++) {
        atomic_store(&wall_moved_s, years[i] * YEAR_S);
        assert_int_equal(weather_state(&o.f, ttl), MM_STATE_READY);
        assert_ok(&o.f, fixture_infer(&o.f, o.model));
        assert_ok(&o.f, mm_evict(o.f.mesh, o.model, MM_NO_WAIT, &o.f.err));
        assert_ok(&o.f, fixture_infer(&o.f, o.model));
        assert_int_equal(fixture_info(&o.f, broken).retry_after_ns, retry_ns);
        assert_status(&o.f, fixture_infer(&o.f, broken), MM_IO);
    }
    assert_int_equal(fixture_stats(&o.f).prepares, 3); /* each model once */
    fixture_advance(&o.f, 2 * S_NS);
    fixture_until_state(&o.f, ttl, MM_STATE_COLD);
    assert_ok(&o.f, fixture_infer(&o.f, broken));
    outside_close(&o);
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

#define RESIDENTS 40
#define MOST_FDS 32

/* In a child no assertion may jump out: what fails is printed. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "child: line %d: %s\n", __LINE__, #condition);                         \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static mm_status child_infer(mm_mesh *mesh, mm_model model, int64_t *seed) {
    float x[4] = {0};
    mm_value input = {
        .name = "x", .dtype = MM_F32, .rank = 2, .shape = {1, 4}, .data = x, .bytes = sizeof(x)};
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &input;
    request.input_count = 1;
    mm_response response = MM_RESPONSE_INIT;
    mm_status status = mm_infer(mesh, model, &request, &response, NULL);
    if (status == MM_OK) {
        memcpy(seed, (const int64_t *)response.outputs[1].data + 1, sizeof(*seed));
    }
    mm_response_free(&response);
    return status;
}

static int check_residents(mm_mesh *mesh, const mm_model *models) {
    for (int i = 0; i < RESIDENTS; i++) {
        int64_t seed = -1;
        REQUIRE(child_infer(mesh, models[i], &seed) == MM_OK);
        REQUIRE(seed == i);
    }
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    REQUIRE(mm_mesh_stats_get(mesh, &stats) == MM_OK);
    REQUIRE(stats.resident == RESIDENTS);
    REQUIRE(stats.evictions == 0);
    return 0;
}

static int add_file_model(mm_mesh *mesh, const struct scratch *scratch, int i, mm_model *model) {
    char name[32], path[SCRATCH_ROOM];
    snprintf(name, sizeof(name), "m%d.echo", i);
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = name;
    spec.source = scratch_path(scratch, name, path);
    REQUIRE(mm_register(mesh, &spec, model, NULL) == MM_OK);
    return 0;
}

static int in_child(const struct scratch *scratch) {
    const struct rlimit limit = {MOST_FDS, MOST_FDS};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    mm_device_options device = fixture_host("host", 64 * MIB);
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = &device;
    options.device_count = 1;
    mm_mesh *mesh;
    REQUIRE(mm_mesh_create(&options, &mesh, NULL) == MM_OK);
    mm_model models[RESIDENTS + 1];
    for (int i = 0; i <= RESIDENTS; i++) {
        if (add_file_model(mesh, scratch, i, &models[i]) != 0) {
            return 1;
        }
    }
    if (check_residents(mesh, models) != 0) {
        return 1;
    }
    int last = 0;
    for (int fd = 0; (fd = dup(STDERR_FILENO)) >= 0;) {
        last = fd;
    }
    REQUIRE(errno == EMFILE && last == MOST_FDS - 1);
    int64_t seed;
    REQUIRE(child_infer(mesh, models[RESIDENTS], &seed) == MM_NO_FDS);
    if (check_residents(mesh, models) != 0) {
        return 1;
    }
    for (int fd = STDERR_FILENO + 1; fd <= last; fd++) {
        close(fd);
    }
    mm_async retry = MM_ASYNC_INIT;
    retry.flags = MM_ASYNC_RETRY;
    REQUIRE(mm_load(mesh, models[RESIDENTS], &retry, NULL, NULL) == MM_OK);
    REQUIRE(mm_mesh_free(&mesh) == MM_OK);
    return 0;
}

/* "ulimit -n 32: 40 models resident and served; past the limit MM_NO_FDS, nobody evicted" */
static void test_forty_models_with_thirty_two_descriptors(void **state) {
    (void)state;
    struct scratch scratch;
    scratch_init(&scratch);
    for (int i = 0; i <= RESIDENTS; i++) {
        char name[32], script[64];
        snprintf(name, sizeof(name), "m%d.echo", i);
        snprintf(script, sizeof(script), "echo1\nweights_bytes 300k\nseed %d\n", i);
        scratch_text(&scratch, name, script);
    }
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(in_child(&scratch));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    scratch_fini(&scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_harmed_source_does_not_change_the_answers),
        cmocka_unit_test(test_without_artifact_a_harmed_source_is_told),
        cmocka_unit_test(test_without_artifact_an_untouched_source_is_prepared_again),
        cmocka_unit_test(test_an_artifact_beyond_its_budget),
        cmocka_unit_test(test_the_source_may_go_after_unregister),
        cmocka_unit_test(test_a_wall_clock_a_year_back_changes_nothing),
        cmocka_unit_test(test_forty_models_with_thirty_two_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
