/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <sched.h>
#include <string.h>

void ask_init(struct ask *ask, struct fixture *f, mm_model model) {
    *ask = (struct ask){.f = f, .model = model, .x = {1, 2, 3, 4}};
    ask->in = (mm_value){.name = "x",
                         .dtype = MM_F32,
                         .rank = 2,
                         .shape = {1, 4},
                         .data = ask->x,
                         .bytes = sizeof(ask->x)};
    ask->request = (mm_request)MM_REQUEST_INIT;
    ask->request.inputs = &ask->in;
    ask->request.input_count = 1;
    ask->response = (mm_response)MM_RESPONSE_INIT;
}

mm_status ask_infer(struct ask *ask) {
    return mm_infer(ask->f->mesh, ask->model, &ask->request, &ask->response, &ask->err);
}

static void count_call(void *user, mm_op *op) {
    struct ask *ask = user;
    struct gate *gate = &ask->f->gate;
    mm_status told = mm_op_poll(op, NULL);
    pthread_mutex_lock(&gate->mutex);
    ask->told = told;
    ask->called++;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}

mm_status ask_async(struct ask *ask) {
    mm_async async = MM_ASYNC_INIT;
    async.callback = count_call;
    async.user = ask;
    return mm_infer_async(ask->f->mesh, ask->model, &ask->request, &ask->response, &async, &ask->op,
                          &ask->err);
}

int64_t ask_seed(const struct ask *ask) {
    assert_int_equal(ask->response.output_count, 2);
    assert_memory_equal(ask->response.outputs[0].data, ask->x, sizeof(ask->x));
    int64_t z[2];
    assert_int_equal(ask->response.outputs[1].bytes, sizeof(z));
    memcpy(z, ask->response.outputs[1].data, sizeof(z));
    return z[1];
}

void ask_wait_called(struct ask *ask) {
    struct gate *gate = &ask->f->gate;
    pthread_mutex_lock(&gate->mutex);
    while (ask->called == 0) {
        pthread_cond_wait(&gate->changed, &gate->mutex);
    }
    pthread_mutex_unlock(&gate->mutex);
}

unsigned ask_called(struct ask *ask) {
    pthread_mutex_lock(&ask->f->gate.mutex);
    unsigned called = ask->called;
    pthread_mutex_unlock(&ask->f->gate.mutex);
    return called;
}

void ask_done(struct ask *ask) {
    mm_response_free(&ask->response);
    mm_op_free(ask->op);
    ask->op = NULL;
}

static int64_t seed_of(struct fixture *f, mm_model model, bool hit) {
    struct ask ask;
    ask_init(&ask, f, model);
    if (ask_infer(&ask) != MM_OK) {
        fail_msg("infer: %s", ask.err.text);
    }
    assert_true(!hit || (ask.response.flags & MM_RESPONSE_HIT));
    int64_t seed = ask_seed(&ask);
    ask_done(&ask);
    return seed;
}

int64_t scene_seed(struct fixture *f, mm_model model) {
    return seed_of(f, model, false);
}

int64_t scene_hit(struct fixture *f, mm_model model) {
    return seed_of(f, model, true);
}

struct expected {
    struct fixture *f;
    mm_model model;
    uint64_t bytes;
    int32_t state;
};

static bool uses(void *ctx) {
    struct expected *expected = ctx;
    return fixture_device(expected->f, 0).used_bytes == expected->bytes;
}

void scene_wait_used(struct fixture *f, uint64_t bytes) {
    wait_until(uses, &(struct expected){.f = f, .bytes = bytes});
}

static bool in_state(void *ctx) {
    struct expected *expected = ctx;
    return fixture_info(expected->f, expected->model).state == expected->state;
}

void scene_wait_state(struct fixture *f, mm_model model, int32_t model_state) {
    wait_until(in_state, &(struct expected){.f = f, .model = model, .state = model_state});
}

static void *run_call(void *ctx) {
    struct call *call = ctx;
    call->status = call->run(call->ctx);
    atomic_store(&call->returned, true);
    return NULL;
}

void call_start(struct call *call, mm_status (*run)(void *ctx), void *ctx) {
    *call = (struct call){.run = run, .ctx = ctx};
    assert_int_equal(pthread_create(&call->thread, NULL, run_call, call), 0);
}

mm_status call_join(struct call *call) {
    pthread_join(call->thread, NULL);
    return call->status;
}

static mm_status run_ask(void *ctx) {
    return ask_infer(ctx);
}

void call_ask(struct call *call, struct ask *ask) {
    call_start(call, run_ask, ask);
}

mm_status call_join_with_time(struct call *call, struct fixture *f) {
    while (!atomic_load(&call->returned)) {
        fixture_advance(f, MS);
        sched_yield();
    }
    return call_join(call);
}
