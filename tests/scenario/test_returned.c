/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that comes back, memory that does not, and memory that a backend has of its own. */
#include "weather.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

/* ---- Memory of a backend's own --------------------------------------------------------------- */

static uint64_t reported_bytes; /* by the backend "says" */

static uint64_t says_own_bytes(void *instance) {
    (void)instance;
    return reported_bytes;
}

/* echo-own, but it reports what the test says. */
static const mm_backend *backend_says(void) {
    static mm_backend table;
    table = mmi_backend_echo_own;
    table.name = "says";
    table.own_bytes = says_own_bytes;
    return &table;
}

static mm_model add_own(struct fixture *f, const char *name, const char *backend, unsigned mib) {
    char script[64];
    snprintf(script, sizeof(script), "own_bytes %um\nseed 3\n", mib);
    mm_model_spec spec = fixture_spec(f, name, "echo-own", script);
    spec.backend = backend;
    return fixture_register(f, &spec);
}

/* "A backend that manages its own memory says so, estimates before a load, reports after it" */
static void test_own_memory_is_estimated_then_reported(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "host", 16 * MIB);
    mm_model model = add_own(&f, "m", "echo-own", 4);
    assert_ok(&f, mm_prepare(f.mesh, model, NULL, NULL, &f.err));
    mm_plan plan = MM_PLAN_INIT;
    assert_ok(&f, mm_plan_load(f.mesh, model, &plan, &f.err));
    assert_int_equal(plan.needed_bytes, 4 * MIB);
    assert_ok(&f, fixture_infer(&f, model));
    mm_model_info info = fixture_info(&f, model);
    assert_true(info.own_bytes >= 4 * MIB && info.own_bytes <= 4 * MIB + 4096);
    /* What it says is charged, in pages: a little more than the estimate. */
    assert_int_equal(fixture_device(&f, "host").used_bytes, 4 * MIB + 4096);
    assert_ok(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err));
    assert_int_equal(fixture_device(&f, "host").used_bytes, 0);
    fixture_close(&f);
}

/* Weights that lie in a device's memory stay where they are when the backend says what it took: the
 * answers go on to be those of the model's own weights. */
static void test_own_memory_does_not_move_weights(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "sim", 8 * MIB);
    mm_model models[3];
    for (unsigned i = 0; i < 3; i++) {
        char name[8], script[96];
        snprintf(name, sizeof(name), "m%u", i);
        snprintf(script, sizeof(script), "weights_bytes %u\nown_bytes 50k\nseed %u\n",
                 i == 1 ? 900 : 1000, i + 1);
        mm_model_spec spec = fixture_spec(&f, name, "echo-own", script);
        models[i] = fixture_register(&f, &spec);
    }
    uint64_t random = 1;
    for (unsigned round = 0; round < 300; round++) {
        mm_model model = models[test_random_below(&random, 3)];
        if (test_random_below(&random, 3) == 0) {
            assert_ok(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err));
        } else {
            assert_ok(&f, fixture_infer(&f, model));
        }
    }
    fixture_close(&f);
}

/* "... obeys the budget": others leave for it, and it leaves for others; too large is too large */
static void test_own_memory_obeys_the_budget(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "host", 16 * MIB);
    mm_model own = add_own(&f, "own", "echo-own", 9), large = add_own(&f, "large", "echo-own", 17);
    mm_model other = weather_model(&f, "other", 9, 1);
    mm_model turns[4] = {other, own, other, own};
    for (int i = 0; i < 4; i++) {
        assert_ok(&f, fixture_infer(&f, turns[i]));
        assert_int_equal(weather_state(&f, turns[(i + 1) % 2]), MM_STATE_COLD);
        assert_true(fixture_device(&f, "host").used_bytes <= 16 * MIB);
        fixture_advance(&f, MS_NS);
    }
    assert_status(&f, fixture_infer(&f, large), MM_TOO_LARGE);
    assert_int_equal(f.err.available_bytes, 16 * MIB);
    assert_int_equal(weather_state(&f, own), MM_STATE_READY);
    fixture_close(&f);
}

/* "Out of memory: one wider plan, one retry": with the size that was measured */
static void test_own_memory_beyond_its_estimate_is_retried_once(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "host", 16 * MIB);
    assert_ok(&f, mm_backend_register(f.mesh, backend_says(), &f.err));
    mm_model idle = weather_model(&f, "idle", 10, 1), model = add_own(&f, "m", "says", 4);
    assert_ok(&f, fixture_infer(&f, idle));
    fixture_advance(&f, MS_NS);
    reported_bytes = 10 * MIB;
    assert_ok(&f, fixture_infer(&f, model));
    assert_int_equal(fixture_info(&f, model).own_bytes, 10 * MIB);
    assert_int_equal(fixture_device(&f, "host").used_bytes, 10 * MIB);
    assert_int_equal(weather_state(&f, idle), MM_STATE_COLD);
    assert_int_equal(fixture_events_of(&f, "load_begin", "m"), 2);
    /* The next load knows. */
    assert_ok(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err));
    assert_ok(&f, fixture_infer(&f, model));
    assert_int_equal(fixture_events_of(&f, "load_begin", "m"), 3);
    fixture_close(&f);
}

/* A report beyond the whole device: MM_TOO_LARGE with what was measured; nobody else leaves. */
static void test_own_memory_beyond_the_device_is_too_large(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "host", 16 * MIB);
    assert_ok(&f, mm_backend_register(f.mesh, backend_says(), &f.err));
    mm_model idle = weather_model(&f, "idle", 2, 1), model = add_own(&f, "m", "says", 4);
    assert_ok(&f, fixture_infer(&f, idle));
    fixture_advance(&f, MS_NS);
    reported_bytes = 20 * MIB;
    assert_status(&f, fixture_infer(&f, model), MM_TOO_LARGE);
    assert_true(f.err.needed_bytes >= 20 * MIB);
    assert_int_equal(f.err.available_bytes, 16 * MIB);
    assert_int_equal(weather_state(&f, idle), MM_STATE_READY);
    assert_int_equal(fixture_device(&f, "host").used_bytes, 2 * MIB);
    fixture_close(&f);
}

/* ---- Leaks ----------------------------------------------------------------------------------- */

/* "what does not [go back] is charged to that backend and shown" */
static void test_leaks_are_shown_and_charged(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "host", 16 * MIB);
    mm_model model = fixture_echo(&f, "m", "weights_bytes 1m\nleak_bytes 512k\nseed 1\n");
    mm_model fits = weather_model(&f, "fits", 15, 2), all = weather_model(&f, "all", 16, 3);
    uint64_t leaked = 0;
    for (int i = 1; i <= 2; i++) {
        assert_ok(&f, fixture_infer(&f, model));
        assert_int_equal(fixture_device(&f, "host").leaked_bytes, leaked);
        assert_ok(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err));
        leaked = fixture_device(&f, "host").leaked_bytes;
        assert_true(leaked >= (uint64_t)i * 512 * 1024 && leaked < (uint64_t)i * 513 * 1024);
        assert_int_equal(fixture_events(&f, "leak", "model=m", "reason=\"not freed by echo\""), i);
        assert_ok(&f, i == 1 ? fixture_infer(&f, fits) : MM_OK);
        assert_ok(&f, mm_evict(f.mesh, fits, MM_NO_WAIT, &f.err));
    }
    assert_true(fixture_infer(&f, all) != MM_OK); /* 16 MiB are no more to be had */
    assert_true(f.err.available_bytes <= 16 * MIB);
    assert_int_equal(fixture_device(&f, "host").used_bytes, 0);
    fixture_close(&f);
}

/* ---- Given back ------------------------------------------------------------------------------ */

/* Anonymous pages of this process that are in memory. */
static uint64_t rss_anon_bytes(void) {
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    char line[128];
    unsigned long long kib = 0;
    while (fgets(line, sizeof(line), file) && sscanf(line, "RssAnon: %llu kB", &kib) != 1) {}
    fclose(file);
    assert_true(kib > 0);
    return kib * 1024;
}

static void check_rss_returns(const char *backend, const char *script) {
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.map_cache = MM_MAP_NEVER; /* mapped weights are no memory of the process's own */
    fixture_open(&f, &options);
    mm_model_spec spec = fixture_spec(&f, "m", backend, script);
    mm_model model = fixture_register(&f, &spec);
    assert_ok(&f, mm_prepare(f.mesh, model, NULL, NULL, &f.err)); /* its artifact stays */
    malloc_trim(0);                                               /* what other tests freed */
    uint64_t before = rss_anon_bytes();
    for (int i = 0; i < 3; i++) {
        assert_ok(&f, fixture_infer(&f, model));
        assert_true(rss_anon_bytes() >= before + 31 * MIB);
        assert_ok(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err));
        assert_true(rss_anon_bytes() <= before + MIB);
    }
    fixture_close(&f);
}

/* "memory really given back": the pages of a 32 MiB model on the host */
static void test_pages_of_a_host_model_return(void **state) {
    (void)state;
    if (!WEATHER_SANITIZED) { /* they have shadows of every page */
        check_rss_returns("echo", "weights_bytes 32m\ncheck 0\n");
    }
}

/* "mapped like cache entries, so that memory holds what is resident and no more": the pages of the
 * temporary file, none of the process's own. */
static void test_mapped_weights_are_in_memory_once(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_echo(&f, "m", "weights_bytes 32m\nseed 1\n");
    assert_ok(&f, fixture_infer(&f, model));
    assert_ok(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err));
    malloc_trim(0);
    uint64_t before = rss_anon_bytes();
    for (int i = 0; i < 3; i++) {
        assert_ok(&f, fixture_infer(&f, model)); /* reads all of them */
        assert_true(WEATHER_SANITIZED || rss_anon_bytes() <= before + MIB);
        assert_int_equal(fixture_info(&f, model).artifact_bytes, 32 * MIB);
        assert_int_equal(fixture_device(&f, "host").used_bytes, 32 * MIB);
        assert_ok(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err));
    }
    fixture_close(&f);
}

/* "malloc_trim where a backend used malloc" */
static void test_pages_of_a_backend_with_malloc_return(void **state) {
    (void)state;
    if (!WEATHER_SANITIZED) {
        check_rss_returns("echo-own", "own_bytes 32m\n");
    }
}

/* A device keeps a stream for each thread that copied: a second one would bring it later. */
static void one_thread_each(mm_mesh_options *options) {
    options->infer_threads = options->load_threads = options->prepare_threads = 1;
}

/* Less than before is no growth: what was reached is the bound from then on. */
static void not_above(uint64_t bytes, uint64_t *bound) {
    assert_true(bytes <= *bound);
    *bound = bytes;
}

#define MIX 6

static void add_mix(struct fixture *f, mm_model models[MIX]) {
    static const char *const scripts[MIX] = {
        "weights_bytes 300k\nseed 1\n",
        "weights_bytes 3m\ncheck 0\nseed 2\n",
        "weights_bytes 100\nseed 3\nactivation_bytes 64k\n",
        "weights_bytes 5m\ncheck 0\nseed 4\ngroups 7\nactivation_bytes 1m\n",
        "seed 5\nown_bytes 100k\n",
        "weights_bytes 700k\nseed 6\nscratch_more 100k\n",
    };
    for (int i = 0; i < MIX; i++) {
        char name[8];
        snprintf(name, sizeof(name), "m%d", i);
        models[i] = fixture_echo(f, name, scripts[i]);
    }
}

/* Every model once, then none; scratch that is kept to save time goes with a budget. */
static void turn_over(struct fixture *f, const mm_model models[MIX], const char *device) {
    for (int i = 0; i < MIX; i++) {
        assert_ok(f, fixture_infer(f, models[i]));
        fixture_advance(f, MS_NS);
    }
    for (int i = 0; i < MIX; i++) {
        assert_ok(f, mm_evict(f->mesh, models[i], 0, &f->err));
    }
    assert_ok(f, mm_device_set_budget(f->mesh, device, 10 * MIB, &f->err));
    assert_ok(f, mm_device_set_budget(f->mesh, device, 12 * MIB, &f->err));
}

/* "metadata_bytes and used_bytes return to the start after evicting everything"; "1,000 loads and
 * evictions: live bytes equal at the end of windows; RssAnon of window 10 <= window 2 + 1 MiB" */
static void check_no_growth(const char *device_name) {
    struct fixture f;
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, device_name, 12 * MIB);
    one_thread_each(&options);
    fixture_open(&f, &options);
    mm_model models[MIX];
    add_mix(&f, models);
    turn_over(&f, models, device_name);
    uint64_t live = world_live_bytes(&f.world);
    uint64_t metadata = fixture_stats(&f).metadata_bytes;
    uint64_t second_rss = 0;
    for (int window = 1; window <= 10; window++) {
        for (int i = 0; i < 17; i++) { /* 17 * 6 = 102 loads */
            turn_over(&f, models, device_name);
        }
        not_above(world_live_bytes(&f.world), &live);
        not_above(fixture_stats(&f).metadata_bytes, &metadata);
        mm_device_stats stats = fixture_device(&f, device_name);
        assert_int_equal(stats.used_bytes, 0);
        assert_int_equal(stats.weights_bytes, 0);
        assert_int_equal(stats.scratch_bytes, 0);
        assert_int_equal(stats.leaked_bytes, 0);
        assert_int_equal(stats.instances, 0);
        second_rss = window == 2 ? rss_anon_bytes() : second_rss;
    }
    assert_true(fixture_stats(&f).loads >= 1000);
    assert_true(WEATHER_SANITIZED || rss_anon_bytes() <= second_rss + MIB);
    fixture_close(&f);
}

static void test_no_growth_on_the_host(void **state) {
    (void)state;
    check_no_growth("host");
}

static void test_no_growth_on_a_simulated_device(void **state) {
    (void)state;
    check_no_growth("sim");
}

/* A load that fails leaves nothing behind. */
static void test_failed_loads_leave_nothing(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    one_thread_each(&options);
    fixture_open(&f, &options);
    mm_model model = fixture_echo(
        &f, "m", "weights_bytes 1m\nown_bytes 64k\nfail_attach -1 MM_BACKEND_FAILED\n");
    uint64_t live = UINT64_MAX;
    for (int i = 0; i < 20; i++) {
        assert_status(&f, fixture_infer(&f, model), MM_BACKEND_FAILED);
        fixture_advance(&f, 100 * S_NS); /* beyond the back-off */
        not_above(world_live_bytes(&f.world), &live);
    }
    assert_int_equal(fixture_device(&f, "host").used_bytes, 0);
    assert_int_equal(fixture_stats(&f).load_failures, 20);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_memory_is_estimated_then_reported),
        cmocka_unit_test(test_own_memory_does_not_move_weights),
        cmocka_unit_test(test_own_memory_obeys_the_budget),
        cmocka_unit_test(test_own_memory_beyond_its_estimate_is_retried_once),
        cmocka_unit_test(test_own_memory_beyond_the_device_is_too_large),
        cmocka_unit_test(test_leaks_are_shown_and_charged),
        cmocka_unit_test(test_pages_of_a_host_model_return),
        cmocka_unit_test(test_mapped_weights_are_in_memory_once),
        cmocka_unit_test(test_pages_of_a_backend_with_malloc_return),
        cmocka_unit_test(test_no_growth_on_the_host),
        cmocka_unit_test(test_no_growth_on_a_simulated_device),
        cmocka_unit_test(test_failed_loads_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
