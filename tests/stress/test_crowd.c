/* SPDX-License-Identifier: Apache-2.0 */

/* Many more threads than cores, few models, and hardly any room: devices whose budgets move between
 * 2 and 4 MiB, runs that must wait for activation memory, models that are registered anew, updated
 * and evicted under all of it. Whoever waits must come to an end: a call that takes 10 s is shown,
 * with everybody that waits, and ends the process.
 *
 * Usage: test-stress-crowd [seed [operations]] */

#include "check.h"
#include "soak.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LONG_NS (10 * 1000 * FIELD_MS)

/* ---- The scene ------------------------------------------------------------------------------- */

struct kind {
    uint64_t weights_kib, activation_kib, more_kib;
    unsigned infer_us, serial;
};
/* By name. The first two are pinned. */
static const struct kind kinds[] = {
    {60, 4, 0, 0, 0},      {60, 4, 0, 0, 0},     {256, 1500, 0, 500, 0}, {256, 1200, 0, 500, 0},
    {300, 100, 0, 500, 0}, {600, 700, 0, 0, 0},  {900, 0, 0, 500, 1},    {1200, 64, 0, 0, 0},
    {64, 200, 300, 0, 0},  {500, 900, 0, 500, 0}};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const struct kind *kind_of(uint64_t seed) {
    return &kinds[seed % SOAK_SEED_NAMES % KINDS];
}

static uint64_t weights_of(uint64_t seed) {
    return kind_of(seed)->weights_kib * FIELD_KIB;
}

static void script(uint64_t seed, char *text, size_t bytes) {
    const struct kind *kind = kind_of(seed);
    snprintf(text, bytes,
             "activation_bytes %lluk\nscratch_more %lluk\ninfer_ns %uus\nserial %u\n"
             "groups %d\ncheck %d\n",
             (unsigned long long)kind->activation_kib, (unsigned long long)kind->more_kib,
             kind->infer_us, kind->serial, seed / SOAK_SEED_NAMES % 3 == 0 ? 2 : 1,
             seed / SOAK_SEED_NAMES % 2 == 0);
}

static void settle(struct client *client, uint64_t name, mm_model_spec *spec) {
    spec->device = name == 2 || name == 9 ? "host" : NULL;
    spec->evict_class = (int32_t)soak_below(client, 4);
    spec->replicas = name == 4 ? 2 : 0;
    spec->max_concurrency = name == 5 ? 2 : 0;
    spec->idle_ttl_ns = soak_chance(client, 10) ? 2 * FIELD_MS : 0;
}

static const struct soak_scene scene = {
    .clients = 64,
    .names = KINDS,
    .device_count = 2,
    .devices = {{"host", "host", 3, 2, 4}, {"sim/b", "b", 4, 2, 4}},
    .weights_of = weights_of,
    .script = script,
    .settle = settle,
    .shares = {[SOAK_INFER] = 528,
               [SOAK_ASYNC] = 120,
               [SOAK_CANCEL] = 30,
               [SOAK_WAIT] = 40,
               [SOAK_LOAD] = 30,
               [SOAK_AGAIN] = 31,
               [SOAK_UPDATE] = 40,
               [SOAK_EVICT] = 40,
               [SOAK_SET] = 40,
               [SOAK_BUDGET] = 31,
               [SOAK_PLAN] = 20,
               [SOAK_INFO] = 20,
               [SOAK_DESCRIBE] = 15,
               [SOAK_SIZES] = 15},
};

/* ---- Who watches ----------------------------------------------------------------------------- */

struct watchdog {
    pthread_t thread;
    struct soak *soak;
    _Atomic bool ended;
};

static uint64_t lasts_ns(const struct client *client, const char **what) {
    uint64_t since_ns = atomic_load(&client->since_ns);
    *what = atomic_load(&client->call);
    uint64_t now_ns = soak_now(client);
    bool same = *what && since_ns == atomic_load(&client->since_ns);
    return same && now_ns > since_ns ? now_ns - since_ns : 0;
}

static void give_up(struct soak *soak) {
    for (unsigned i = 0; i < soak->scene->clients; i++) {
        const char *what;
        uint64_t ns = lasts_ns(&soak->clients[i], &what);
        if (ns >= LONG_NS) {
            fprintf(stderr, "client %u: %s, for %llu ms\n", i, what,
                    (unsigned long long)(ns / FIELD_MS));
        }
    }
    residency_print_waiters(&soak->field.mesh->res);
    fflush(NULL);
    abort();
}

static void *watch(void *ctx) {
    struct watchdog *watchdog = ctx;
    struct soak *soak = watchdog->soak;
    while (!atomic_load(&watchdog->ended)) {
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        for (unsigned i = 0; i < soak->scene->clients; i++) {
            const char *what;
            if (lasts_ns(&soak->clients[i], &what) >= LONG_NS) {
                give_up(soak);
            }
        }
    }
    return NULL;
}

/* ---- The whole ------------------------------------------------------------------------------- */

struct arguments {
    uint64_t seed, operations;
};

static void test_a_crowd_in_little_room(void **state) {
    const struct arguments *arguments = *state;
    static struct soak soak;
    struct watchdog watchdog = {.soak = &soak};
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.infer_threads = 4;
    options.load_threads = 2;
    options.drain_grace_ns = FIELD_MS;
    options.min_residency_ns = FIELD_MS;
    options.backoff_first_ns = FIELD_MS;
    options.backoff_max_ns = 4 * FIELD_MS;
    options.artifact_budget_bytes = 16 * FIELD_MIB;
    options.event_capacity = 256;
    soak_open(&soak, &scene, &options, arguments->seed);
    atomic_store(&soak.left, (int64_t)arguments->operations);
    assert_int_equal(pthread_create(&watchdog.thread, NULL, watch, &watchdog), 0);
    soak_run(&soak);
    atomic_store(&watchdog.ended, true);
    pthread_join(watchdog.thread, NULL);
    soak_end(&soak);
}

int main(int argc, char **argv) {
    struct arguments arguments = {test_seed(argc, argv), 30000};
    if (argc > 2) {
        arguments.operations = strtoull(argv[2], NULL, 0);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_a_crowd_in_little_room, &arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
