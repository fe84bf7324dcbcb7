/* SPDX-License-Identifier: Apache-2.0 */
/* Many at once: waiters on one load, names that come and go, loads side by side, a mesh that is
 * freed with all of it under way. argv: how often the name is registered (1,000,000 takes long). */
#include "weather.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned registrations = 20000;

/* ---- One asynchronous request ---------------------------------------------------------------- */

struct request {
    float x[4];
    mm_value input;
    mm_request request;
    mm_response response;
    mm_op *op;
    _Atomic unsigned completed; /* calls of the callback */
    mm_status told;
};

static void on_end(void *user, mm_op *op) {
    struct request *request = user;
    request->told = mm_op_poll(op, NULL);
    atomic_fetch_add(&request->completed, 1);
}

static void request_start(struct request *request, struct fixture *f, mm_model model,
                          uint64_t deadline_ns) {
    memset(request, 0, sizeof(*request));
    request->input = (mm_value){.name = "x",
                                .dtype = MM_F32,
                                .rank = 2,
                                .shape = {1, 4},
                                .data = request->x,
                                .bytes = sizeof(request->x)};
    request->request = (mm_request)MM_REQUEST_INIT;
    request->request.inputs = &request->input;
    request->request.input_count = 1;
    request->request.deadline_ns = deadline_ns;
    request->response = (mm_response)MM_RESPONSE_INIT;
    mm_async async = MM_ASYNC_INIT;
    async.callback = on_end;
    async.user = request;
    assert_ok(f, mm_infer_async(f->mesh, model, &request->request, &request->response, &async,
                                &request->op, &f->err));
}

/* ---- Waiters on one load --------------------------------------------------------------------- */

#define CROWD 1000

/* race: the deadlines pass while the load ends, not before. */
static void check_crowd(bool race) {
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = weather_gated(&f, "m", 1, 7);
    struct request *requests = calloc(CROWD, sizeof(*requests));
    assert_non_null(requests);
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_ATTACH, "m");
    for (int i = 0; i < CROWD; i++) {
        request_start(&requests[i], &f, model, i == 0 ? 0 : WORLD_START_NS + 5 * MS_NS);
    }
    gate_wait_arrived(&gate, 1);
    fixture_until_queued(&f, model, CROWD);
    fixture_advance(&f, 6 * MS_NS);
    if (!race) {
        fixture_until_queued(&f, model, 1);
    }
    gate_open(&gate);
    unsigned good = 0;
    for (int i = 0; i < CROWD; i++) {
        mm_status status = mm_op_wait(requests[i].op, 0, NULL);
        assert_true(status == MM_OK || (status == MM_DEADLINE && i > 0));
        good += status == MM_OK;
    }
    assert_true(race ? good >= 1 : good == 1);
    assert_int_equal(fixture_info(&f, model).loads, 1);
    assert_int_equal(fixture_info(&f, model).leases, 0);
    assert_int_equal(fixture_info(&f, model).queued, 0);
    assert_int_equal(mm_mesh_stop(f.mesh, 0), MM_OK); /* the last callback came */
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(atomic_load(&requests[i].completed), 1);
        assert_int_equal(requests[i].told, mm_op_poll(requests[i].op, NULL));
        mm_op_free(requests[i].op);
        mm_response_free(&requests[i].response);
    }
    free(requests);
    fixture_close(&f);
}

/* "1,000 async waiters on one load, 999 expiring in its tick: each completes once, MM_OK or
 * MM_DEADLINE; one load; leases 0 after" */
static void test_crowd_expires_before_its_load_ends(void **state) {
    (void)state;
    check_crowd(false);
}

static void test_crowd_expires_in_the_tick_of_its_load(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) {
        check_crowd(true);
    }
}

/* ---- Names ----------------------------------------------------------------------------------- */

#define CONTENTS 64
#define ASKERS 3
#define HANDLES 512 /* remembered: more than there are generations of 8 bits */

struct names {
    struct fixture f;
    mm_model_spec specs[CONTENTS];
    pthread_mutex_t mutex; /* guards the handles */
    struct {
        mm_model model;
        int64_t seed;
    } handles[HANDLES];
    _Atomic bool over;
};

struct stranger {
    pthread_t thread;
    struct names *names;
    uint64_t random;
    unsigned answered, refused, wrong;
};

/* Whose weights answered; -1 and the status when nobody's. */
static int64_t ask_seed(mm_mesh *mesh, mm_model model, mm_status *status) {
    float x[4] = {0};
    mm_value input = {
        .name = "x", .dtype = MM_F32, .rank = 2, .shape = {1, 4}, .data = x, .bytes = sizeof(x)};
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &input;
    request.input_count = 1;
    mm_response response = MM_RESPONSE_INIT;
    *status = mm_infer(mesh, model, &request, &response, NULL);
    int64_t z[2] = {0, -1};
    if (*status == MM_OK) {
        memcpy(z, response.outputs[1].data, sizeof(z));
    }
    mm_response_free(&response);
    return z[1];
}

static void *run_stranger(void *ctx) {
    struct stranger *stranger = ctx;
    struct names *names = stranger->names;
    while (!atomic_load(&names->over)) {
        uint64_t pick = test_random_below(&stranger->random, HANDLES);
        pthread_mutex_lock(&names->mutex);
        mm_model model = names->handles[pick].model;
        int64_t seed = names->handles[pick].seed;
        pthread_mutex_unlock(&names->mutex);
        if (model.id == 0) {
            continue;
        }
        mm_status status;
        int64_t answer = ask_seed(names->f.mesh, model, &status);
        bool refused = status == MM_STALE_HANDLE || status == MM_UNREGISTERED;
        stranger->answered += status == MM_OK;
        stranger->refused += refused;
        stranger->wrong += !refused && (status != MM_OK || answer != seed);
    }
    return NULL;
}

static void names_open(struct names *names, struct weather *weather) {
    memset(names, 0, sizeof(*names));
    fixture_open(&names->f, NULL);
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 16 * MIB);
    weather_reopen(&names->f, &options, 8, weather);
    pthread_mutex_init(&names->mutex, NULL);
    for (unsigned i = 0; i < CONTENTS; i++) {
        char script[64];
        snprintf(script, sizeof(script), "weights_bytes 256\nseed %u\n", i);
        names->specs[i] = fixture_spec(&names->f, "m", "echo", script);
    }
}

/* "the same name unregistered and registered 10^6 times, stale handles in flight, generation forced
 * to 8 bits: never the wrong model" */
static void test_a_stale_handle_never_reaches_another_model(void **state) {
    (void)state;
    static struct names names;
    struct weather weather = {0};
    names_open(&names, &weather);
    struct fixture *f = &names.f;
    struct stranger strangers[ASKERS];
    for (unsigned i = 0; i < ASKERS; i++) {
        strangers[i] = (struct stranger){.names = &names, .random = i};
        pthread_create(&strangers[i].thread, NULL, run_stranger, &strangers[i]);
    }
    for (unsigned i = 0; i < registrations; i++) {
        mm_model model, found;
        unsigned content = i % CONTENTS;
        assert_ok(f, mm_register(f->mesh, &names.specs[content], &model, &f->err));
        pthread_mutex_lock(&names.mutex);
        names.handles[i % HANDLES].model = model;
        names.handles[i % HANDLES].seed = content;
        pthread_mutex_unlock(&names.mutex);
        assert_int_equal(mm_find(f->mesh, "m", &found), MM_OK);
        assert_int_equal(found.id, model.id);
        if (i % 16 == 0) {
            mm_status status;
            assert_int_equal(ask_seed(f->mesh, model, &status), content);
        }
        assert_ok(f, mm_unregister(f->mesh, model, &f->err));
        assert_int_equal(mm_find(f->mesh, "m", &found), MM_NOT_FOUND);
    }
    atomic_store(&names.over, true);
    unsigned refused = 0;
    for (unsigned i = 0; i < ASKERS; i++) {
        pthread_join(strangers[i].thread, NULL);
        assert_int_equal(strangers[i].wrong, 0);
        refused += strangers[i].refused;
    }
    assert_true(refused > 0);
    assert_int_equal(fixture_stats(f).models, 0);
    pthread_mutex_destroy(&names.mutex);
    fixture_close(f);
}

/* ---- Unregister while loading ---------------------------------------------------------------- */

/* "unregister: returns at once, the name is free; stale handle MM_STALE_HANDLE; waiters
 * MM_UNREGISTERED", and whoever takes the name gets its own weights */
static void check_unregister_in(enum mmi_echo_slot slot) {
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.prepare_threads = 2; /* one is held back */
    fixture_open(&f, &options);
    mm_model old = weather_gated(&f, "m", 1, 1);
    struct gate gate;
    gate_shut(&f, &gate, slot, "m");
    struct asker blocking = {.f = &f, .model = old};
    asker_start(&blocking);
    gate_wait_arrived(&gate, 1);
    struct request request;
    request_start(&request, &f, old, 0);
    fixture_until_queued(&f, old, 2);
    assert_ok(&f, mm_unregister(f.mesh, old, &f.err));
    assert_status(&f, fixture_infer(&f, old), MM_STALE_HANDLE);
    mm_model fresh = fixture_echo(&f, "m", "weights_bytes 64k\nseed 2\n");
    assert_ok(&f, fixture_infer(&f, fresh));
    assert_int_equal(mm_op_wait(request.op, 0, NULL), MM_UNREGISTERED);
    gate_open(&gate);
    assert_int_equal(asker_join(&blocking), MM_UNREGISTERED);
    assert_ok(&f, fixture_infer(&f, fresh));
    mm_op_free(request.op);
    mm_response_free(&request.response);
    fixture_close(&f);
}

static void test_unregister_while_preparing(void **state) {
    (void)state;
    check_unregister_in(MMI_ECHO_PREPARE);
}

static void test_unregister_while_loading(void **state) {
    (void)state;
    check_unregister_in(MMI_ECHO_ATTACH);
}

/* ---- Loads side by side ---------------------------------------------------------------------- */

#define LOADS 12
#define LOADERS 4

/* Many different models load in parallel: as many at once as the executor has threads. */
static void test_different_models_load_in_parallel(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 64 * MIB);
    options.load_threads = LOADERS;
    fixture_open(&f, &options);
    struct gate gates[LOADS];
    mm_op *ops[LOADS];
    mm_model models[LOADS];
    static char names[LOADS][8];
    for (unsigned i = 0; i < LOADS; i++) {
        snprintf(names[i], sizeof(names[i]), "m%u", i);
        models[i] = weather_gated(&f, names[i], 1, i);
        assert_ok(&f, mm_prepare(f.mesh, models[i], NULL, NULL, &f.err));
        gate_shut(&f, &gates[i], MMI_ECHO_ATTACH, names[i]);
    }
    for (unsigned i = 0; i < LOADS; i++) {
        assert_ok(&f, mm_load(f.mesh, models[i], NULL, &ops[i], &f.err));
    }
    for (unsigned i = 0; i < LOADERS; i++) {
        gate_wait_arrived(&gates[i], 1);
    }
    assert_int_equal(gate_arrived(&gates[LOADERS]), 0);
    for (unsigned i = 0; i < LOADS; i++) {
        gate_open(&gates[i]);
    }
    for (unsigned i = 0; i < LOADS; i++) {
        assert_int_equal(mm_op_wait(ops[i], 0, &f.err), MM_OK);
        mm_op_free(ops[i]);
        assert_ok(&f, fixture_infer(&f, models[i]));
    }
    assert_int_equal(fixture_stats(&f).loads, LOADS);
    fixture_close(&f);
}

#define STORM_MODELS 24
#define STORM_THREADS 4

struct storm {
    pthread_t thread;
    struct fixture *f;
    const mm_model *models;
    uint64_t random;
    unsigned failed;
    _Atomic bool ended;
};

static void *run_storm(void *ctx) {
    struct storm *storm = ctx;
    for (int i = 0; i < 150; i++) {
        uint64_t pick = test_random_below(&storm->random, STORM_MODELS);
        struct asker asker = {.f = storm->f, .model = storm->models[pick]};
        storm->failed += asker_ask(&asker) != MM_OK;
    }
    atomic_store(&storm->ended, true);
    return NULL;
}

/* Three times as many models as fit, asked for at random from many threads: every answer is
 * right. */
static void test_storm_of_misses_answers_right(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "sim", 16 * MIB);
    options.load_threads = LOADERS;
    fixture_open(&f, &options);
    mm_model models[STORM_MODELS];
    for (unsigned i = 0; i < STORM_MODELS; i++) {
        char name[8];
        snprintf(name, sizeof(name), "m%u", i);
        models[i] = weather_model(&f, name, 1 + i % 3, i);
    }
    struct storm storms[STORM_THREADS];
    for (unsigned i = 0; i < STORM_THREADS; i++) {
        storms[i] = (struct storm){.f = &f, .models = models, .random = i};
        pthread_create(&storms[i].thread, NULL, run_storm, &storms[i]);
    }
    for (unsigned i = 0; i < STORM_THREADS; i++) {
        while (!atomic_load(&storms[i].ended)) {
            fixture_advance(&f, MS_NS);
            sched_yield();
        }
        pthread_join(storms[i].thread, NULL);
        assert_int_equal(storms[i].failed, 0);
    }
    assert_true(fixture_device(&f, "sim").used_bytes <= 16 * MIB);
    fixture_close(&f);
}

/* ---- Free with operations under way ---------------------------------------------------------- */

struct freer {
    pthread_t thread;
    struct fixture *f;
    _Atomic bool begun;
};

static void *run_freer(void *ctx) {
    struct freer *freer = ctx;
    atomic_store(&freer->begun, true);
    mm_mesh_free(&freer->f->mesh);
    return NULL;
}

#define KINDS 3
#define EACH 20

/* "free of the mesh with ops running: cancels, waits, completes each once" */
static void test_free_completes_every_op_once(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 64 * MIB);
    options.infer_threads = 2;
    fixture_open(&f, &options);
    /* Is loaded; runs (two of them, the rest wait for a thread); is prepared. In this order: a cold
     * request is checked on a thread that runs. */
    static const char *const names[KINDS] = {"load", "run", "prepare"};
    static const enum mmi_echo_slot slots[KINDS] = {MMI_ECHO_ATTACH, MMI_ECHO_INFER,
                                                    MMI_ECHO_PREPARE};
    struct gate gates[KINDS];
    static struct request requests[KINDS][EACH];
    for (int k = 0; k < KINDS; k++) {
        mm_model model = weather_gated(&f, names[k], 1, (unsigned)k);
        gate_shut(&f, &gates[k], slots[k], names[k]);
        for (int i = 0; i < EACH; i++) {
            request_start(&requests[k][i], &f, model, 0);
        }
        if (k == 0) {
            fixture_until_queued(&f, model, EACH);
        }
        gate_wait_arrived(&gates[k], k == 1 ? 2 : 1);
    }
    struct freer freer = {.f = &f};
    pthread_create(&freer.thread, NULL, run_freer, &freer);
    for (int i = 0; i < EACH; i++) { /* what waits ends at once, while two still run */
        mm_status status = mm_op_wait(requests[0][i].op, 0, NULL);
        assert_true(status == MM_CLOSED || status == MM_CANCELLED);
    }
    for (int k = 0; k < KINDS; k++) {
        gate_open(&gates[k]);
    }
    pthread_join(freer.thread, NULL);
    assert_null(f.mesh);
    unsigned good = 0;
    for (int k = 0; k < KINDS; k++) {
        for (int i = 0; i < EACH; i++) {
            mm_status status = mm_op_poll(requests[k][i].op, NULL);
            assert_true(status == MM_OK || status == MM_CLOSED || status == MM_CANCELLED);
            good += status == MM_OK;
            assert_int_equal(atomic_load(&requests[k][i].completed), 1);
            mm_op_free(requests[k][i].op);
            mm_response_free(&requests[k][i].response);
        }
    }
    assert_int_equal(good, 2); /* those that ran */
    fixture_close(&f);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        registrations = (unsigned)strtoul(argv[1], NULL, 0);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crowd_expires_before_its_load_ends),
        cmocka_unit_test(test_crowd_expires_in_the_tick_of_its_load),
        cmocka_unit_test(test_a_stale_handle_never_reaches_another_model),
        cmocka_unit_test(test_unregister_while_preparing),
        cmocka_unit_test(test_unregister_while_loading),
        cmocka_unit_test(test_different_models_load_in_parallel),
        cmocka_unit_test(test_storm_of_misses_answers_right),
        cmocka_unit_test(test_free_completes_every_op_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
