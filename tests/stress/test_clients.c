/* SPDX-License-Identifier: Apache-2.0 */

/* Four clients of one mesh: two keep asking a few models of their own, some of them pinned; two
 * cycle over more models than fit. Nothing may fail, nobody may leave while somebody runs on it or
 * while it is pinned, and every answer is the right model's.
 *
 * Usage: test-stress-clients [seed [requests [seconds]]]
 * requests: of the two that cycle; 0: until the time is over */

#include "check.h"
#include "field.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS 4u
#define STEADY 3u   /* models of each of the first two clients */
#define CYCLING 12u /* models of each of the others */
#define MODELS (2 * STEADY + 2 * CYCLING)
#define SCRIPT_BYTES 256u
#define CHECK_EVERY 500u

struct clients {
    struct field field;
    mm_model models[MODELS];
    char scripts[MODELS][SCRIPT_BYTES];
    _Atomic int64_t left; /* requests of those that cycle */
    bool endless;
    uint64_t end_ns;
    _Atomic uint64_t requests, failed;
};

struct client {
    pthread_t thread;
    struct clients *all;
    unsigned first, count; /* its models */
    bool cycles;
    uint64_t seed;
};

/* The seed of a model is its number. Of two that cycle none fits beside the other on "pod". */
static uint64_t weights_of(uint64_t number) {
    return number < 2 * STEADY ? 50 * FIELD_KIB : (500 + number % 4 * 300) * FIELD_KIB;
}

static bool is_pinned(unsigned number) {
    return number < 2 * STEADY && number % STEADY == 0;
}

static void add_models(struct clients *all) {
    for (unsigned i = 0; i < MODELS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "m%u", i);
        snprintf(all->scripts[i], SCRIPT_BYTES,
                 "echo1\nweights_bytes %llu\nseed %u\nactivation_bytes 20k\nversion %s\n",
                 (unsigned long long)weights_of(i), i, is_pinned(i) ? FIELD_PINNED : "free");
        mm_model_spec spec = MM_MODEL_SPEC_INIT;
        spec.name = name;
        spec.data = all->scripts[i];
        spec.data_bytes = strlen(all->scripts[i]);
        spec.backend = "watched";
        spec.flags = is_pinned(i) ? MM_MODEL_PINNED : 0;
        spec.evict_class = i % 5 == 0 ? MM_CLASS_HIGH : MM_CLASS_NORMAL;
        assert_int_equal(mm_register(all->field.mesh, &spec, &all->models[i], NULL), MM_OK);
    }
}

static void ask(struct client *client, unsigned number) {
    struct clients *all = client->all;
    struct field_request request;
    mm_error err;
    field_request_init(&request, (float)number, 0);
    atomic_fetch_add(&all->requests, 1);
    mm_status status =
        mm_infer(all->field.mesh, all->models[number], &request.request, &request.response, &err);
    if (status != MM_OK) {
        atomic_fetch_add(&all->failed, 1);
        field_trouble(&all->field, "m%u: %s: %s", number, mm_status_name(status), err.text);
    } else if (field_answer(&request, weights_of) != number) {
        field_trouble(&all->field, "m%u: another model's answer", number);
    }
    mm_response_free(&request.response);
}

static bool goes_on(const struct client *client) {
    struct clients *all = client->all;
    if (atomic_load(&all->field.troubled)) {
        return false;
    }
    if (all->endless) {
        return mmi_now(&all->field.mesh->env.clock) < all->end_ns;
    }
    return (client->cycles ? atomic_fetch_sub(&all->left, 1) : atomic_load(&all->left)) > 0;
}

static void *run_client(void *ctx) {
    struct client *client = ctx;
    for (unsigned i = 0; goes_on(client); i++) {
        unsigned which = client->cycles ? i % client->count
                                        : (unsigned)test_random_below(&client->seed, client->count);
        ask(client, client->first + which);
        if (i % CHECK_EVERY == 0) {
            field_check(&client->all->field);
        }
    }
    return NULL;
}

static void open_field(struct clients *all) {
    mm_device_options devices[2] = {MM_DEVICE_OPTIONS_INIT, MM_DEVICE_OPTIONS_INIT};
    devices[0].name = "sim/pod";
    devices[0].budget_bytes = 8 * FIELD_MIB;
    devices[1].name = "host";
    devices[1].budget_bytes = 4 * FIELD_MIB;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = 2;
    options.artifact_budget_bytes = 64 * FIELD_MIB;
    options.event_capacity = 256;
    field_open(&all->field, &options);
}

static uint64_t evictions_of(struct clients *all) {
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    assert_int_equal(mm_mesh_stats_get(all->field.mesh, &stats), MM_OK);
    assert_int_equal(stats.requests, atomic_load(&all->requests));
    assert_int_equal(stats.requests, stats.hits + stats.misses);
    assert_int_equal(stats.failed, atomic_load(&all->failed));
    return stats.evictions;
}

struct arguments {
    uint64_t seed, requests, seconds;
};

static void test_nobody_leaves_who_is_used_or_pinned(void **state) {
    const struct arguments *arguments = *state;
    static struct clients all;
    struct client clients[CLIENTS];
    uint64_t seed = arguments->seed;
    open_field(&all);
    add_models(&all);
    all.endless = arguments->requests == 0;
    atomic_store(&all.left, (int64_t)arguments->requests);
    all.end_ns = mmi_now(&all.field.mesh->env.clock) + arguments->seconds * 1000 * FIELD_MS;
    for (unsigned i = 0; i < CLIENTS; i++) {
        bool cycles = i >= 2;
        clients[i] = (struct client){.all = &all,
                                     .first = cycles ? 2 * STEADY + (i - 2) * CYCLING : i * STEADY,
                                     .count = cycles ? CYCLING : STEADY,
                                     .cycles = cycles,
                                     .seed = test_random(&seed)};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, run_client, &clients[i]), 0);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
    }
    uint64_t evictions = evictions_of(&all);
    print_message(
        "requests %llu\nfailed %llu\nevictions %llu\n"
        "evictions of leased or pinned models %llu\n",
        (unsigned long long)atomic_load(&all.requests),
        (unsigned long long)atomic_load(&all.failed), (unsigned long long)evictions,
        (unsigned long long)(atomic_load(&all.field.in_use) + atomic_load(&all.field.pinned)));
    field_expect_no_trouble(&all.field);
    assert_true(evictions > 0);
    char text[CHECK_TEXT_BYTES];
    const char *broken = residency_check_at_rest(&all.field.mesh->res, text);
    if (broken) {
        fail_msg("at rest: %s", broken);
    }
    field_close(&all.field);
}

int main(int argc, char **argv) {
    struct arguments arguments = {test_seed(argc, argv), 300, 60};
    if (argc > 2) {
        arguments.requests = strtoull(argv[2], NULL, 0);
    }
    if (argc > 3) {
        arguments.seconds = strtoull(argv[3], NULL, 0);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_nobody_leaves_who_is_used_or_pinned, &arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
