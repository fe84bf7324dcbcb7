/* SPDX-License-Identifier: Apache-2.0 */

/* A soak from its beginning to its end. */

#include "check.h"
#include "soak.h"

#include <sched.h>
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
    soak_begin(client, "the end of its operations");
    for (unsigned i = 0; i < OPEN_OPS; i++) {
        while (atomic_load(&client->ops[i].busy)) { /* detached ones end too */
            sched_yield();
        }
        mm_op_free(client->ops[i].op);
    }
    soak_begin(client, NULL);
    return NULL;
}

void soak_run(struct soak *soak) {
    for (unsigned i = 0; i < soak->scene->clients; i++) {
        struct client *client = &soak->clients[i];
        assert_int_equal(pthread_create(&client->thread, NULL, run_client, client), 0);
    }
    for (unsigned i = 0; i < soak->scene->clients; i++) {
        pthread_join(soak->clients[i].thread, NULL);
    }
}

/* ---- The beginning --------------------------------------------------------------------------- */

void soak_open(struct soak *soak, const struct soak_scene *scene, const mm_mesh_options *options,
               uint64_t seed) {
    mm_device_options devices[MAX_DEVICES];
    for (unsigned i = 0; i < scene->device_count; i++) {
        devices[i] = (mm_device_options)MM_DEVICE_OPTIONS_INIT;
        devices[i].name = scene->devices[i].option;
        devices[i].budget_bytes = scene->devices[i].first_mib * FIELD_MIB;
    }
    mm_mesh_options all = *options;
    all.devices = devices;
    all.device_count = scene->device_count;
    soak->scene = scene;
    field_open(&soak->field, &all);
    for (unsigned i = 0; i < scene->clients; i++) {
        soak->clients[i].soak = soak;
        soak->clients[i].seed = test_random(&seed);
    }
    for (uint64_t name = 0; name < scene->names; name++) {
        pthread_mutex_init(&soak->entries[name].mutex, NULL);
        soak_register(&soak->clients[0], name);
    }
}

/* ---- The end --------------------------------------------------------------------------------- */

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
    for (uint64_t name = 0; name < soak->scene->names; name++) {
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
    for (uint64_t name = 0; name < soak->scene->names; name++) {
        mm_model model = soak->entries[name].model;
        if (model.id != 0) {
            assert_int_equal(mm_unpin(mesh, model), MM_OK);
            assert_int_equal(mm_evict(mesh, model, MM_NO_WAIT, NULL), MM_OK);
        }
    }
    mm_device_stats devices[MAX_DEVICES];
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    stats.devices = devices;
    stats.device_capacity = MAX_DEVICES;
    assert_int_equal(mm_mesh_stats_get(mesh, &stats), MM_OK);
    assert_int_equal(stats.resident, 0);
    for (unsigned i = 0; i < soak->scene->device_count; i++) {
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
    for (uint64_t name = 0; name < soak->scene->names; name++) {
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

void soak_end(struct soak *soak) {
    print_statuses(soak);
    field_expect_no_trouble(&soak->field);
    at_rest(soak);
    expect_counters_add_up(soak);
    expect_empty_devices(soak);
    at_rest(soak);
    field_expect_no_trouble(&soak->field);
    uint64_t deadline_ns = soak_now(&soak->clients[0]) + 10 * 1000 * FIELD_MS;
    assert_int_equal(mm_mesh_stop(soak->field.mesh, deadline_ns), MM_OK);
    close_soak(soak);
}
