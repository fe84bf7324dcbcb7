/* SPDX-License-Identifier: Apache-2.0 */

/* The metrics as a scraper reads them. */

#include <observe/metrics.h>

#include <support/world.h>

#include "exposition.h"

#include <stdlib.h>
#include <string.h>

static uint64_t seed;
static struct exposition scraped;
static char page[1 << 18];

static void scrape(const struct mmi_metrics *metrics) {
    struct mmi_text text;
    mmi_text_init(&text, page, sizeof page);
    mmi_metrics_write(metrics, &text);
    assert_true(text.need < sizeof page);
    assert_int_equal(text.need, strlen(page));
    exposition_read(&scraped, page);
    assert_string_equal(scraped.problem, "");
}

static void check(const char *name, const char *label, const char *value, double expected) {
    double got = exposition_get(&scraped, name, label, value);
    if (got < expected || got > expected) {
        fail_msg("%s{%s=%s} is %g, not %g", name, label ? label : "", value ? value : "", got,
                 expected);
    }
}

static void test_reader_is_strict(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "a 1\n",
        "# HELP a x\na 1\n",
        "# TYPE a gauge\na 1\n",
        "# HELP a x\n# TYPE b gauge\nb 1\n",
        "# HELP a x\n# TYPE a number\na 1\n",
        "# HELP a x\n# TYPE a gauge\n",
        "# HELP a x\n# TYPE a gauge\na 1",
        "# HELP a x\n# TYPE a gauge\na one\n",
        "# HELP a x\n# TYPE a gauge\na 1,5\n",
        "# HELP a x\n# TYPE a gauge\n1a 1\n",
        "# HELP a x\n# TYPE a gauge\na 1\na 1\n",
        "# HELP a x\n# TYPE a gauge\na{b=\"\\t\"} 1\n",
        "# HELP a x\n# TYPE a gauge\na{b=\"x\n\"} 1\n",
        "# HELP a x\n# TYPE a gauge\na{b=x} 1\n",
        "# HELP a x\n# TYPE a counter\na 1\n",
        "# HELP a_total x\n# TYPE a_total gauge\na_total 1\n",
        "# HELP a x\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
        "# HELP a x\n# TYPE a histogram\na_bucket{le=\"2\"} 1\na_bucket{le=\"1\"} 1\n",
        "# HELP a x\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"2\"} 1\n",
        "# HELP a x\n# TYPE a gauge\na 1\n# HELP b x\n# TYPE b gauge\nb 1\n# HELP a x\n",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        exposition_read(&scraped, wrong[i]);
        if (scraped.problem[0] == '\0') {
            fail_msg("taken for sound: %s", wrong[i]);
        }
    }
    exposition_read(&scraped, "# HELP a x\n# TYPE a gauge\na{b=\"\\\\\\\"\\n\"} 1.5\n");
    assert_string_equal(scraped.problem, "");
    check("a", "b", "\\\"\n", 1.5);
}

static void test_empty_mesh(void **state) {
    (void)state;
    static const struct mmi_metrics metrics;
    scrape(&metrics);
    check("modelmesh_requests_total", NULL, NULL, 0);
    check("modelmesh_evictions_total", "reason", "budget", 0); /* a series exists from the start */
    check("modelmesh_load_seconds_count", NULL, NULL, 0);
    assert_null(strstr(page, "modelmesh_budget_bytes"));
    assert_null(strstr(page, "modelmesh_model_"));
}

static struct mmi_metrics small_mesh(void) {
    static const struct mmi_state_metrics states[] = {{"cold", 80}, {"ready", 20}};
    static const struct mmi_device_metrics devices[] = {
        {.name = "pod1",
         .budget_bytes = 1000,
         .used_bytes = 900,
         .weights_bytes = 800,
         .reclaimable_bytes = 100,
         .scratch_bytes = 50,
         .reserve_bytes = 60,
         .peak_bytes = 950,
         .leaked_bytes = 7,
         .instances = 3,
         .loads = 11,
         .evictions = 8},
        {.name = "pod2", .budget_bytes = UINT64_C(80) << 30, .lost = 1}};
    static const struct mmi_model_metrics models[] = {
        {.name = "ocr/rec", .requests = 9, .hits = 8, .loads = 1, .resident_bytes = 10857958},
        {.name = "a \"b\"\\\n", .requests = 4, .evictions = 2, .failures = 3}};
    struct mmi_metrics metrics = {.queued = 5,
                                  .metadata_bytes = 6,
                                  .description_bytes = 7,
                                  .artifact_bytes = 8,
                                  .cache_bytes = 9,
                                  .states = states,
                                  .state_count = 2,
                                  .devices = devices,
                                  .device_count = 2,
                                  .models = models,
                                  .model_count = 2};
    metrics.counts.requests = 13;
    metrics.counts.hits = 12;
    metrics.counts.counts[MMI_COUNT_MISSES] = 1;
    metrics.counts.counts[MMI_COUNT_LOADED_BYTES] = 12345;
    metrics.counts.evictions[MMI_REASON_BUDGET] = 3;
    metrics.counts.evictions[MMI_REASON_IDLE] = 4;
    return metrics;
}

static void test_values_and_labels(void **state) {
    (void)state;
    struct mmi_metrics metrics = small_mesh();
    scrape(&metrics);
    check("modelmesh_requests_total", NULL, NULL, 13);
    check("modelmesh_hits_total", NULL, NULL, 12);
    check("modelmesh_misses_total", NULL, NULL, 1);
    check("modelmesh_loaded_bytes_total", NULL, NULL, 12345);
    check("modelmesh_evictions_total", "reason", "budget", 3);
    check("modelmesh_evictions_total", "reason", "idle", 4);
    check("modelmesh_evictions_total", "reason", "device_lost", 0);
    check("modelmesh_queued_requests", NULL, NULL, 5);
    check("modelmesh_metadata_bytes", NULL, NULL, 6);
    check("modelmesh_description_bytes", NULL, NULL, 7);
    check("modelmesh_artifact_bytes", NULL, NULL, 8);
    check("modelmesh_cache_bytes", NULL, NULL, 9);
    check("modelmesh_models", "state", "ready", 20);
    check("modelmesh_budget_bytes", "device", "pod1", 1000);
    check("modelmesh_budget_bytes", "device", "pod2", 85899345920.0);
    check("modelmesh_used_bytes", "device", "pod1", 900);
    check("modelmesh_resident_bytes", "device", "pod1", 800);
    check("modelmesh_reclaimable_bytes", "device", "pod1", 100);
    check("modelmesh_scratch_bytes", "device", "pod1", 50);
    check("modelmesh_reserve_bytes", "device", "pod1", 60);
    check("modelmesh_peak_bytes", "device", "pod1", 950);
    check("modelmesh_leaked_bytes", "device", "pod1", 7);
    check("modelmesh_instances", "device", "pod1", 3);
    check("modelmesh_device_loads_total", "device", "pod1", 11);
    check("modelmesh_device_evictions_total", "device", "pod1", 8);
    check("modelmesh_device_lost", "device", "pod2", 1);
    check("modelmesh_model_requests_total", "model", "ocr/rec", 9);
    check("modelmesh_model_hits_total", "model", "ocr/rec", 8);
    check("modelmesh_model_loads_total", "model", "ocr/rec", 1);
    check("modelmesh_model_resident_bytes", "model", "ocr/rec", 10857958);
    check("modelmesh_model_evictions_total", "model", "a \"b\"\\\n", 2);
    check("modelmesh_model_failures_total", "model", "a \"b\"\\\n", 3);
}

static void test_every_counter_has_its_series(void **state) {
    (void)state;
    static const char *const names[] = {
#define SERIES(id, metric, help) [MMI_COUNT_##id] = "modelmesh_" metric "_total",
        MMI_COUNTER_MAP(SERIES)
#undef SERIES
    };
    struct mmi_metrics metrics = {0};
    for (size_t i = 0; i < MMI_COUNTERS; i++) {
        metrics.counts.counts[i] = 100 + i;
    }
    scrape(&metrics);
    for (size_t i = 0; i < MMI_COUNTERS; i++) {
        check(names[i], NULL, NULL, 100 + (double)i);
    }
}

static void test_histogram(void **state) {
    (void)state;
    struct mmi_histogram histogram = {0};
    mmi_histogram_add(&histogram, 3);                   /* below the first bucket shown */
    mmi_histogram_add(&histogram, 1024);                /* on its edge */
    mmi_histogram_add(&histogram, 1025);                /* in the second */
    mmi_histogram_add(&histogram, UINT64_C(100) << 32); /* above the last: 429.5 s */
    struct mmi_metrics metrics = {0};
    mmi_histogram_read(&histogram, &metrics.load_time);
    scrape(&metrics);
    check("modelmesh_load_seconds_bucket", "le", "0.000001024", 2);
    check("modelmesh_load_seconds_bucket", "le", "0.000002048", 3);
    check("modelmesh_load_seconds_bucket", "le", "68.719476736", 3);
    check("modelmesh_load_seconds_bucket", "le", "+Inf", 4);
    check("modelmesh_load_seconds_count", NULL, NULL, 4);
    check("modelmesh_load_seconds_sum", NULL, NULL, 429.496731652);
    check("modelmesh_queue_seconds_count", NULL, NULL, 0);
    check("modelmesh_prepare_seconds_count", NULL, NULL, 0);
}

/* NULL asks for the need; every shorter buffer holds the beginning and its NUL. */
static void test_text_call(void **state) {
    (void)state;
    struct mmi_metrics metrics = small_mesh();
    scrape(&metrics);
    size_t need = strlen(page);
    struct mmi_text text;
    mmi_text_init(&text, NULL, 0);
    mmi_metrics_write(&metrics, &text);
    assert_int_equal(text.need, need);
    uint64_t random = seed;
    for (int i = 0; i < 50; i++) {
        size_t room = 1 + (size_t)test_random_below(&random, need + 1);
        char *part = malloc(room);
        mmi_text_init(&text, part, room);
        mmi_metrics_write(&metrics, &text);
        assert_int_equal(text.need, need);
        assert_int_equal(strlen(part), room - 1);
        assert_memory_equal(part, page, room - 1);
        free(part);
    }
}

/* Names from all bytes that may be in one come back as they were. */
static void test_random_names(void **state) {
    (void)state;
    uint64_t random = seed;
    for (int round = 0; round < 200; round++) {
        enum { MODELS = 5 };
        char names[MODELS][256];
        struct mmi_model_metrics models[MODELS];
        for (size_t i = 0; i < MODELS; i++) {
            size_t bytes = 1 + (size_t)test_random_below(&random, 254);
            for (size_t j = 0; j < bytes; j++) {
                static const char often[] = "\"\\\n{}=, ";
                bool special = test_random_below(&random, 3) == 0;
                names[i][j] = special ? often[test_random_below(&random, sizeof often - 1)]
                                      : (char)(1 + test_random_below(&random, 255));
            }
            names[i][0] = (char)('a' + i); /* they differ */
            names[i][bytes] = '\0';
            models[i] = (struct mmi_model_metrics){.name = names[i], .requests = i};
        }
        struct mmi_metrics metrics = {.models = models, .model_count = MODELS};
        scrape(&metrics);
        for (size_t i = 0; i < MODELS; i++) {
            check("modelmesh_model_requests_total", "model", names[i], (double)i);
        }
    }
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reader_is_strict),
        cmocka_unit_test(test_empty_mesh),
        cmocka_unit_test(test_values_and_labels),
        cmocka_unit_test(test_every_counter_has_its_series),
        cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_text_call),
        cmocka_unit_test(test_random_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
