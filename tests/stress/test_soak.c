/* SPDX-License-Identifier: Apache-2.0 */

/* Everything at once: clients on threads of their own do whatever the public API allows, at random,
 * with 60 models on three devices that hold a few. Each answer is checked to be of the right model
 * and of a version that could be current; each status to be one that the call may give; the inside
 * every so often.
 *
 * Usage: test-stress-soak [seed [operations [seconds [artifact MiB]]]]
 * operations 0: until the time is over. Of 40 MiB for artifacts in memory not all of them fit. */

#include "check.h"
#include "soak.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK_EVERY 64u

/* ---- Clients --------------------------------------------------------------------------------- */

static bool goes_on(const struct client *client) {
    struct soak *soak = client->soak;
    if (atomic_load(&soak->field.troubled)) {
        return false;
    }
    return soak->endless ? soak_now(client) < soak->end_ns : atomic_fetch_sub(&soak->left, 1) > 0;
}

static void *run_client(void *ctx) {
    struct client *client = ctx;
    struct soak *soak = client->soak;
    while (goes_on(client)) {
        soak_call(client);
        if (atomic_fetch_add(&soak->done, 1) % CHECK_EVERY == 0) {
            field_check(&soak->field);
        }
    }
    for (unsigned i = 0; i < OPEN_OPS; i++) {
        while (atomic_load(&client->ops[i].busy)) { /* detached ones end too */
            sched_yield();
        }
        mm_op_free(client->ops[i].op);
    }
    return NULL;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static void open_soak(struct soak *soak, uint64_t artifact_mib) {
    mm_device_options devices[3];
    static const char *const names[] = {"sim/a", "sim/b", "host"};
    static const uint64_t mib[] = {14, 10, 6};
    for (int i = 0; i < 3; i++) {
        devices[i] = (mm_device_options)MM_DEVICE_OPTIONS_INIT;
        devices[i].name = names[i];
        devices[i].budget_bytes = mib[i] * FIELD_MIB;
    }
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = 3;
    options.infer_threads = 2;
    options.load_threads = 2;
    options.prepare_threads = 2;
    options.artifact_budget_bytes = artifact_mib * FIELD_MIB;
    options.description_budget_bytes = 64 * FIELD_KIB;
    options.drain_grace_ns = FIELD_MS;
    options.backoff_first_ns = FIELD_MS;
    options.backoff_max_ns = 4 * FIELD_MS;
    options.event_capacity = 256;
    options.max_signatures = 2;
    field_open(&soak->field, &options);
    atomic_store(&soak->field.fail_every, 150);
    for (uint64_t name = 0; name < NAMES; name++) {
        pthread_mutex_init(&soak->entries[name].mutex, NULL);
    }
}

/* What the mesh counted is what was asked and answered. */
static void expect_counters_add_up(struct soak *soak) {
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    assert_int_equal(mm_mesh_stats_get(soak->field.mesh, &stats), MM_OK);
    assert_int_equal(stats.requests, stats.hits + stats.misses);
    assert_true(stats.requests >= atomic_load(&soak->answered));
    assert_true(stats.requests <= atomic_load(&soak->asked));
    assert_true(stats.hits >= atomic_load(&soak->hits));
    assert_true(stats.joins <= stats.misses);
    assert_int_equal(stats.queued, 0);
    uint64_t requests = 0;
    for (uint64_t name = 0; name < NAMES; name++) {
        mm_model_info info = MM_MODEL_INFO_INIT;
        if (mm_model_info_get(soak->field.mesh, soak->entries[name].model, &info) == MM_OK) {
            assert_int_equal(info.leases + info.queued, 0);
            requests += info.requests;
        }
    }
    assert_true(requests <= stats.requests);
}

/* Everything leaves, and nothing of it stays behind. */
static void expect_empty_devices(struct soak *soak) {
    mm_mesh *mesh = soak->field.mesh;
    atomic_store(&soak->field.ending, true);
    for (uint64_t name = 0; name < NAMES; name++) {
        mm_model model = soak->entries[name].model;
        if (model.id != 0) {
            assert_int_equal(mm_unpin(mesh, model), MM_OK);
            assert_int_equal(mm_evict(mesh, model, MM_NO_WAIT, NULL), MM_OK);
        }
    }
    mm_device_stats devices[3];
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    stats.devices = devices;
    stats.device_capacity = 3;
    assert_int_equal(mm_mesh_stats_get(mesh, &stats), MM_OK);
    assert_int_equal(stats.resident, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(devices[i].instances, 0);
        assert_int_equal(devices[i].weights_bytes, 0);
    }
}

static void at_rest(struct soak *soak) {
    char text[CHECK_TEXT_BYTES];
    const char *broken = residency_check_at_rest(&soak->field.mesh->res, text);
    if (broken) {
        fail_msg("at rest: %s", broken);
    }
}

static void close_soak(struct soak *soak) {
    for (uint64_t name = 0; name < NAMES; name++) {
        pthread_mutex_destroy(&soak->entries[name].mutex);
    }
    field_close(&soak->field);
    for (struct script *script = atomic_load(&soak->scripts), *next; script; script = next) {
        next = script->next;
        free(script);
    }
}

static void print_statuses(const struct soak *soak) {
    print_message("%llu operations, %llu requests, %llu answers, %llu hits, %llu lives\n",
                  (unsigned long long)soak->done, (unsigned long long)soak->asked,
                  (unsigned long long)soak->answered, (unsigned long long)soak->hits,
                  (unsigned long long)soak->lives);
    for (int32_t status = 0; status <= MM_FORKED; status++) {
        if (soak->statuses[status]) {
            print_message("  %-28s %llu\n", mm_status_name(status),
                          (unsigned long long)soak->statuses[status]);
        }
    }
}

struct arguments {
    uint64_t seed, operations, seconds, artifact_mib;
};

static void test_everything_at_once(void **state) {
    const struct arguments *arguments = *state;
    static struct soak soak;
    static struct client clients[CLIENTS];
    uint64_t seed = arguments->seed;
    open_soak(&soak, arguments->artifact_mib);
    soak.endless = arguments->operations == 0;
    atomic_store(&soak.left, (int64_t)arguments->operations);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.soak = &soak, .seed = test_random(&seed)};
    }
    for (uint64_t name = 0; name < NAMES; name++) {
        soak_register(&clients[0], name);
    }
    soak.end_ns = soak_now(&clients[0]) + arguments->seconds * 1000 * FIELD_MS;
    for (unsigned i = 0; i < CLIENTS; i++) {
        assert_int_equal(pthread_create(&clients[i].thread, NULL, run_client, &clients[i]), 0);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
    }
    print_statuses(&soak);
    field_expect_no_trouble(&soak.field);
    at_rest(&soak);
    expect_counters_add_up(&soak);
    expect_empty_devices(&soak);
    at_rest(&soak);
    field_expect_no_trouble(&soak.field);
    close_soak(&soak);
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
