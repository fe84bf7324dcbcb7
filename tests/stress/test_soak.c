/* SPDX-License-Identifier: Apache-2.0 */

/* Everything at once: clients on threads of their own do whatever the public API allows, at random,
 * with 60 models on three devices that hold a few. Each answer is checked to be of the right model
 * and of a version that could be current; each status to be one that the call may give; the inside
 * every so often.
 *
 * Usage: test-stress-soak [seed [operations [seconds [artifact MiB]]]]
 * operations 0: until the time is over. Of 40 MiB for artifacts in memory not all of them fit. */

#include "soak.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t mixed(uint64_t seed) {
    return test_random(&seed);
}

static bool is_fixed(uint64_t seed) {
    return seed % SOAK_SEED_NAMES < FIXED;
}

static uint64_t weights_of(uint64_t seed) {
    static const uint64_t kib[] = {4, 40, 200, 600, 1000, 1900, 2048, 3000, 5000, 9000};
    uint64_t mix = mixed(seed);
    return is_fixed(seed) ? 100 * FIELD_KIB
                          : kib[mix % 10 == 9 ? mix / 10 % 10 : mix % 8] * FIELD_KIB;
}

static void script(uint64_t seed, char *text, size_t bytes) {
    bool fixed = is_fixed(seed);
    uint64_t mix = mixed(~seed);
    snprintf(text, bytes,
             "groups %llu\ncheck %llu\nactivation_bytes %lluk\nactivation_per_element %llu\n"
             "scratch_more %lluk\nserial %d\n",
             (unsigned long long)(1 + mix % 3), (unsigned long long)(mix / 3 % 4 == 0),
             (unsigned long long)(fixed ? 4 : mix / 12 % 4 * 100),
             (unsigned long long)(mix / 48 % 2 * 8),
             (unsigned long long)(!fixed && mix / 96 % 8 == 0 ? 64 : 0), mix / 768 % 8 == 0);
}

static void settle(struct client *client, uint64_t name, mm_model_spec *spec) {
    static const char *const devices[] = {NULL, NULL, NULL, NULL, "a", "b", "host"};
    (void)name;
    spec->flags = (soak_chance(client, 3) ? MM_MODEL_PINNED : 0) |
                  (soak_chance(client, 10) ? MM_MODEL_PRELOAD : 0);
    spec->device = devices[soak_below(client, 7)];
    spec->evict_class = (int32_t)soak_below(client, 4);
    spec->max_concurrency = soak_chance(client, 20) ? 1 + (uint32_t)soak_below(client, 2) : 0;
    spec->idle_ttl_ns = soak_chance(client, 10) ? 3 * FIELD_MS : 0;
}

static const struct soak_scene scene = {
    .clients = 4,
    .names = NAMES,
    .device_count = 3,
    .devices = {{"sim/a", "a", 14, 9, 16}, {"sim/b", "b", 10, 7, 12}, {"host", "host", 6, 5, 8}},
    .weights_of = weights_of,
    .script = script,
    .settle = settle,
    .shares = {[SOAK_INFER] = 320,
               [SOAK_ASYNC] = 200,
               [SOAK_CANCEL] = 60,
               [SOAK_WAIT] = 30,
               [SOAK_LOAD] = 40,
               [SOAK_CHANGE] = 60,
               [SOAK_UPDATE] = 50,
               [SOAK_EVICT] = 70,
               [SOAK_SET] = 50,
               [SOAK_BUDGET] = 15,
               [SOAK_PLAN] = 40,
               [SOAK_INFO] = 20,
               [SOAK_STATS] = 15,
               [SOAK_DESCRIBE] = 20,
               [SOAK_SIZES] = 10},
};

struct arguments {
    uint64_t seed, operations, seconds, artifact_mib;
};

static void test_everything_at_once(void **state) {
    const struct arguments *arguments = *state;
    static struct soak soak;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.infer_threads = 2;
    options.load_threads = 2;
    options.prepare_threads = 2;
    options.artifact_budget_bytes = arguments->artifact_mib * FIELD_MIB;
    options.description_budget_bytes = 64 * FIELD_KIB;
    options.drain_grace_ns = FIELD_MS;
    options.backoff_first_ns = FIELD_MS;
    options.backoff_max_ns = 4 * FIELD_MS;
    options.event_capacity = 256;
    options.max_signatures = 2;
    soak_open(&soak, &scene, &options, arguments->seed);
    atomic_store(&soak.field.fail_every, 150);
    soak.endless = arguments->operations == 0;
    atomic_store(&soak.left, (int64_t)arguments->operations);
    soak.end_ns = soak_now(&soak.clients[0]) + arguments->seconds * 1000 * FIELD_MS;
    soak_run(&soak);
    soak_end(&soak);
}

int main(int argc, char **argv) {
    struct arguments arguments = {test_seed(argc, argv), 5000, 60, 40};
    if (argc > 2) {
        arguments.operations = strtoull(argv[2], NULL, 0);
    }
    if (argc > 3) {
        arguments.seconds = strtoull(argv[3], NULL, 0);
    }
    if (argc > 4) {
        arguments.artifact_mib = strtoull(argv[4], NULL, 0);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_everything_at_once, &arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
