/* SPDX-License-Identifier: Apache-2.0 */
/* Operations: wait, poll, progress, cancel, free; callbacks; the queue and its descriptor. */
#include "fixture.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define MANY 24

/* An asynchronous inference with all that must outlive the call. */
struct job {
    struct fixture *f;
    float x[4];
    mm_value input;
    mm_request request;
    mm_response response;
    mm_async async;
    mm_op *op;
    _Atomic unsigned called;
    mm_status seen;  /* by the callback */
    float seen_y[4]; /* by the callback, of the outputs */
    bool frees;      /* the callback frees its op */
    mm_status (*inside)(struct job *job);
    mm_status inside_status;
};

static void on_done(void *user, mm_op *op) {
    struct job *job = user;
    job->seen = mm_op_poll(op, NULL);
    if (job->seen == MM_OK && job->response.output_count > 0) {
        memcpy(job->seen_y, job->response.outputs[0].data, sizeof(job->seen_y));
    }
    if (job->inside) {
        job->inside_status = job->inside(job);
    }
    if (job->frees) {
        mm_op_free(op);
    }
    atomic_fetch_add(&job->called, 1);
}

static void job_init(struct job *job, struct fixture *f) {
    memset(job, 0, sizeof(*job));
    job->f = f;
    memcpy(job->x, (float[]){1, 2, 3, 4}, sizeof(job->x));
    job->input = (mm_value){.name = "x",
                            .dtype = MM_F32,
                            .rank = 2,
                            .shape = {1, 4},
                            .data = job->x,
                            .bytes = sizeof(job->x)};
    job->request = (mm_request)MM_REQUEST_INIT;
    job->request.inputs = &job->input;
    job->request.input_count = 1;
    job->response = (mm_response)MM_RESPONSE_INIT;
    job->async = (mm_async)MM_ASYNC_INIT;
    job->async.callback = on_done;
    job->async.user = job;
}

static void job_infer(struct job *job, mm_model model) {
    struct fixture *f = job->f;
    assert_ok(f, mm_infer_async(f->mesh, model, &job->request, &job->response, &job->async,
                                &job->op, &f->err));
}

static bool was_called(void *ctx) {
    return atomic_load(&((struct job *)ctx)->called) > 0;
}

static void job_until_called(struct job *job) {
    fixture_until(was_called, job);
}

/* The callback comes after waiters were woken, and it looks at the outputs. */
static void job_fini(struct job *job) {
    if (job->async.callback) {
        job_until_called(job);
    }
    mm_op_free(job->op);
    mm_response_free(&job->response);
}

static mm_progress progress_of(mm_op *op) {
    mm_progress progress = MM_PROGRESS_INIT;
    assert_int_equal(mm_op_progress(op, &progress), MM_OK);
    return progress;
}

/* One device of so many MiB, so many threads for inferences. */
static void open_small(struct fixture *f, uint64_t mib, uint32_t infer_threads) {
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    mm_device_options host = fixture_host("host", mib * MIB);
    options.devices = &host;
    options.device_count = 1;
    options.infer_threads = infer_threads;
    fixture_open(f, &options);
}

/* ---- Wait, poll, progress ------------------------------------------------------------------- */

/* "mm_op_wait gives status and error" */
static void test_op_wait_gives_status_and_error(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model good = fixture_echo(&f, "good", "seed 1\n");
    mm_model bad = fixture_echo(&f, "bad", "fail_attach -1 MM_IO\nversion red\n");
    struct job job;
    job_init(&job, &f);
    job_infer(&job, good);
    assert_ok(&f, mm_op_wait(job.op, 0, &f.err));
    assert_memory_equal(job.response.outputs[0].data, job.x, sizeof(job.x));
    assert_ptr_equal(mm_op_user(job.op), &job);
    assert_ok(&f, mm_op_poll(job.op, &f.err));
    assert_ok(&f, mm_op_wait(job.op, MM_NO_WAIT, &f.err)); /* as often as one likes */
    job_fini(&job);
    job_init(&job, &f);
    job.async.callback = NULL;
    job_infer(&job, bad);
    assert_status(&f, mm_op_wait(job.op, 0, &f.err), MM_IO);
    assert_non_null(strstr(f.err.text, "model bad"));
    assert_non_null(strstr(f.err.text, "red"));
    mm_error again = {0};
    assert_int_equal(mm_op_poll(job.op, &again), MM_IO);
    assert_string_equal(again.text, f.err.text);
    assert_null(job.response.owned);
    mm_op_free(job.op);
    mm_op_free(NULL);
    mm_op_cancel(NULL);
    assert_int_equal(mm_op_wait(NULL, 0, NULL), MM_INVALID_ARGUMENT);
    assert_null(mm_op_user(NULL));
    fixture_close(&f);
}

struct op_waiter {
    mm_op *op;
    uint64_t deadline_ns;
    mm_status status;
    _Atomic bool ended;
};

static void *run_op_waiter(void *ctx) {
    struct op_waiter *waiter = ctx;
    waiter->status = mm_op_wait(waiter->op, waiter->deadline_ns, NULL);
    atomic_store(&waiter->ended, true);
    return NULL;
}

static bool has_ended(void *ctx) {
    return atomic_load(&((struct op_waiter *)ctx)->ended);
}

/* "MM_PENDING when the deadline came first": the op goes on */
static void test_op_wait_ends_at_its_deadline_and_the_op_goes_on(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "version w\n");
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_ATTACH, "w");
    mm_op *op;
    assert_ok(&f, mm_load(f.mesh, model, NULL, &op, &f.err));
    assert_int_equal(mm_op_poll(op, NULL), MM_PENDING);
    gate_wait_arrived(&gate, 1);
    struct op_waiter waiter = {.op = op, .deadline_ns = fixture_after(&f, S_NS)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_op_waiter, &waiter), 0);
    fixture_pass_time_until(&f, has_ended, &waiter);
    pthread_join(thread, NULL);
    assert_int_equal(waiter.status, MM_PENDING);
    assert_int_equal(mm_op_poll(op, NULL), MM_PENDING);
    gate_open(&gate);
    assert_status(&f, mm_op_wait(op, 0, &f.err), MM_OK);
    mm_op_free(op);
    fixture_close(&f);
}

struct stage_wish {
    mm_op *op;
    mm_stage stage;
};

static bool is_at_stage(void *ctx) {
    struct stage_wish *wish = ctx;
    return progress_of(wish->op).stage == (int32_t)wish->stage;
}

/* mm_op_progress names each stage: preparing, waiting for memory, loading, running, done */
static void test_progress_names_every_stage(void **state) {
    (void)state;
    struct fixture f;
    open_small(&f, 6, 2);
    mm_model holder = fixture_gated(&f, "holder", "weights_bytes 5m\nversion h\n");
    mm_model model = fixture_gated(&f, "m", "weights_bytes 4m\nseed 2\nversion s\n");
    struct gate hold, prepare, attach, infer;
    gate_shut(&f, &hold, MMI_ECHO_INFER, "h");
    gate_shut(&f, &prepare, MMI_ECHO_PREPARE, "s");
    gate_shut(&f, &attach, MMI_ECHO_ATTACH, "s");
    gate_shut(&f, &infer, MMI_ECHO_INFER, "s");
    struct asker asker = {.f = &f, .model = holder};
    asker_start(&asker);
    gate_wait_arrived(&hold, 1);
    struct job job;
    job_init(&job, &f);
    job_infer(&job, model);
    gate_wait_arrived(&prepare, 1);
    assert_int_equal(progress_of(job.op).stage, MM_STAGE_PREPARING);
    gate_open(&prepare);
    fixture_until(is_at_stage, &(struct stage_wish){job.op, MM_STAGE_WAITING});
    gate_open(&hold);
    assert_int_equal(asker_join(&asker), MM_OK);
    fixture_advance(&f, 100 * MS_NS); /* past the grace */
    gate_wait_arrived(&attach, 1);
    mm_progress loading = progress_of(job.op);
    assert_int_equal(loading.stage, MM_STAGE_LOADING);
    assert_int_equal(loading.total_bytes, 4 * MIB);
    assert_in_range(loading.done_bytes, 0, loading.total_bytes);
    assert_in_range(loading.permille, 0, 1000);
    gate_open(&attach);
    gate_wait_arrived(&infer, 1);
    assert_int_equal(progress_of(job.op).stage, MM_STAGE_RUNNING);
    gate_open(&infer);
    assert_status(&f, mm_op_wait(job.op, 0, &f.err), MM_OK);
    assert_int_equal(progress_of(job.op).stage, MM_STAGE_DONE);
    job_fini(&job);
    fixture_close(&f);
}

/* ---- Cancel, free --------------------------------------------------------------------------- */

/* "Completes MM_CANCELLED unless it is done first or runs in a backend's infer" */
static void test_cancel_ends_what_waits_and_not_what_runs(void **state) {
    (void)state;
    struct fixture f;
    open_small(&f, 64, 1);
    mm_model model = fixture_gated(&f, "m", "version c\n");
    struct gate infer;
    gate_shut(&f, &infer, MMI_ECHO_INFER, "c");
    struct job runs, waits;
    job_init(&runs, &f);
    job_init(&waits, &f);
    job_infer(&runs, model);
    gate_wait_arrived(&infer, 1);
    job_infer(&waits, model); /* a hit, but the one thread is taken */
    mm_op_cancel(runs.op);
    mm_op_cancel(waits.op);
    assert_status(&f, mm_op_wait(waits.op, 0, &f.err), MM_CANCELLED);
    assert_int_equal(mm_op_poll(runs.op, NULL), MM_PENDING);
    gate_open(&infer);
    assert_status(&f, mm_op_wait(runs.op, 0, &f.err), MM_OK);
    mm_op_cancel(runs.op); /* done first */
    assert_int_equal(mm_op_poll(runs.op, NULL), MM_OK);
    assert_int_equal(gate_arrived(&infer), 1);
    assert_null(waits.response.owned);
    job_fini(&runs);
    job_fini(&waits);
    fixture_close(&f);
    assert_int_equal(atomic_load(&runs.called), 1);
    assert_int_equal(atomic_load(&waits.called), 1);
    assert_int_equal(waits.seen, MM_CANCELLED);
}

/* "A load that others wait for goes on"; one that nobody waits for does not */
static void test_cancel_leaves_a_load_that_others_wait_for(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "weights_bytes 64k\nversion l\n");
    struct gate attach;
    gate_shut(&f, &attach, MMI_ECHO_ATTACH, "l");
    mm_op *ops[2];
    for (int i = 0; i < 2; i++) {
        assert_ok(&f, mm_load(f.mesh, model, NULL, &ops[i], &f.err));
    }
    gate_wait_arrived(&attach, 1);
    fixture_until_queued(&f, model, 2);
    mm_op_cancel(ops[0]);
    mm_op_cancel(ops[0]);
    assert_status(&f, mm_op_wait(ops[0], 0, &f.err), MM_CANCELLED);
    assert_int_equal(mm_op_poll(ops[1], NULL), MM_PENDING);
    gate_open(&attach);
    assert_status(&f, mm_op_wait(ops[1], 0, &f.err), MM_OK);
    assert_int_equal(fixture_info(&f, model).loads, 1);
    mm_op_free(ops[0]);
    mm_op_free(ops[1]);
    fixture_close(&f);
}

/* "mm_op_free while running detaches: the callback still comes once" */
static void test_free_while_running_detaches(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "version f\n");
    struct gate infer;
    gate_shut(&f, &infer, MMI_ECHO_INFER, "f");
    struct job runs, waits, hot;
    job_init(&runs, &f);
    job_init(&waits, &f);
    job_init(&hot, &f);
    job_infer(&waits, model);
    mm_op_free(waits.op); /* it still waits for the load */
    job_infer(&runs, model);
    gate_wait_arrived(&infer, 1);
    mm_op_free(runs.op);
    assert_false(was_called(&runs));
    job_infer(&hot, model);
    gate_open(&infer);
    mm_op_free(hot.op); /* may be done or not */
    job_until_called(&runs);
    job_until_called(&waits);
    job_until_called(&hot);
    mm_response_free(&runs.response);
    mm_response_free(&waits.response);
    mm_response_free(&hot.response);
    fixture_close(&f);
    assert_int_equal(atomic_load(&runs.called), 1);
    assert_int_equal(atomic_load(&waits.called), 1);
    assert_int_equal(runs.seen, MM_OK);
    assert_int_equal(waits.seen, MM_OK);
}

/* ---- Callbacks ------------------------------------------------------------------------------ */

/* "A callback may free its op"; "outputs are visible before the callback" */
static void test_a_callback_may_free_its_op(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_echo(&f, "m", "seed 1\n");
    struct job jobs[MANY];
    for (int i = 0; i < MANY; i++) {
        job_init(&jobs[i], &f);
        jobs[i].frees = true;
        jobs[i].x[0] = (float)i;
        job_infer(&jobs[i], model);
    }
    for (int i = 0; i < MANY; i++) {
        job_until_called(&jobs[i]);
        assert_int_equal(jobs[i].seen, MM_OK);
        assert_memory_equal(jobs[i].seen_y, jobs[i].x, sizeof(jobs[i].x));
        mm_response_free(&jobs[i].response);
    }
    fixture_close(&f);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(atomic_load(&jobs[i].called), 1);
    }
}

static mm_status call_all(struct job *job) {
    struct fixture *f = job->f;
    mm_mesh *mesh = f->mesh;
    if (mm_mesh_stop(mesh, MM_NO_WAIT) != MM_BUSY || mm_mesh_free(&mesh) != MM_BUSY ||
        mesh != f->mesh) {
        return MM_INVALID_STATE;
    }
    mm_model model;
    mm_status status = mm_find(mesh, "m", &model);
    struct asker asker = {.f = f, .model = model};
    status = status == MM_OK ? asker_ask(&asker) : status;
    status = status == MM_OK ? mm_evict(mesh, model, fixture_after(f, S_NS), NULL) : status;
    status = status == MM_OK ? mm_load(mesh, model, NULL, NULL, NULL) : status; /* blocks */
    return status;
}

/* "callbacks ... may call anything but stop and free" */
static void test_a_callback_may_call_anything_but_stop_and_free(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_echo(&f, "m", "weights_bytes 1m\n");
    struct job job;
    job_init(&job, &f);
    job.inside = call_all;
    job_infer(&job, model);
    job_until_called(&job);
    assert_int_equal(job.inside_status, MM_OK);
    job_fini(&job);
    fixture_close(&f);
}

/* "exactly once ... none after stop returned", whatever each op was doing when it came */
static void test_no_callback_after_stop(void **state) {
    (void)state;
    struct fixture f;
    open_small(&f, 64, 2);
    mm_model slow = fixture_gated(&f, "slow", "version a\n");
    mm_model cold = fixture_gated(&f, "cold", "version b\n");
    struct gate infer, attach;
    gate_shut(&f, &infer, MMI_ECHO_INFER, "a");
    gate_shut(&f, &attach, MMI_ECHO_ATTACH, "b");
    struct job jobs[MANY];
    for (int i = 0; i < MANY; i++) {
        job_init(&jobs[i], &f);
        job_infer(&jobs[i], i < MANY / 2 ? cold : slow);
        if (i == 0) { /* before the threads for inferences are all taken */
            gate_wait_arrived(&attach, 1);
        }
    }
    gate_wait_arrived(&infer, 2);
    assert_int_equal(mm_mesh_close(f.mesh), MM_OK);
    gate_open(&infer);
    gate_open(&attach);
    assert_int_equal(mm_mesh_stop(f.mesh, 0), MM_OK);
    unsigned finished = 0;
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(atomic_load(&jobs[i].called), 1);
        assert_true(jobs[i].seen == MM_OK || jobs[i].seen == MM_CLOSED);
        finished += jobs[i].seen == MM_OK;
    }
    assert_true(finished >= 2); /* those that ran */
    mm_op *late = NULL;
    struct job refused;
    job_init(&refused, &f);
    assert_status(
        &f, mm_infer_async(f.mesh, slow, &refused.request, &refused.response, NULL, &late, &f.err),
        MM_CLOSED);
    assert_null(late);
    assert_int_equal(mm_mesh_stop(f.mesh, 0), MM_OK);
    assert_int_equal(mm_mesh_free(&f.mesh), MM_OK);
    for (int i = 0; i < MANY; i++) { /* ops outlive the mesh */
        assert_int_equal(mm_op_wait(jobs[i].op, 0, NULL), jobs[i].seen);
        job_fini(&jobs[i]);
        assert_int_equal(atomic_load(&jobs[i].called), 1);
    }
    fixture_close(&f);
}

/* ---- The queue ------------------------------------------------------------------------------ */

static bool is_readable(int fd) {
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

/* mm_ops_next: "in order of completion; MM_NONE when there is none, MM_CLOSED when the mesh is
 * stopped"; the descriptor "is readable while ops are queued" */
static void test_ops_next_and_its_descriptor(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "version q\n");
    int fd = mm_ops_eventfd(f.mesh);
    assert_true(fd >= 0);
    assert_int_equal(mm_ops_eventfd(f.mesh), fd);
    assert_false(is_readable(fd));
    struct gate infer;
    gate_shut(&f, &infer, MMI_ECHO_INFER, "q");
    struct job jobs[3];
    for (int i = 0; i < 3; i++) {
        job_init(&jobs[i], &f);
        jobs[i].async.callback = NULL;
        jobs[i].async.flags = i == 1 ? 0 : MM_ASYNC_QUEUE;
        jobs[i].async.user = i == 2 ? &f : NULL;
        job_infer(&jobs[i], model);
        gate_wait_arrived(&infer, (unsigned)i + 1);
        mm_op *none;
        assert_int_equal(mm_ops_next(f.mesh, &none), MM_NONE);
        gate_pass(&infer, 1);
        assert_status(&f, mm_op_wait(jobs[i].op, 0, &f.err), MM_OK);
        if (i == 0) {
            assert_int_equal(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1), 1);
            assert_int_equal(mm_ops_next(f.mesh, &none), MM_OK);
            assert_ptr_equal(none, jobs[0].op);
            assert_false(is_readable(fd));
        }
    }
    assert_true(is_readable(fd));
    mm_op *next;
    assert_int_equal(mm_ops_next(f.mesh, &next), MM_OK);
    assert_ptr_equal(next, jobs[2].op); /* the second did not ask for it */
    assert_ptr_equal(mm_op_user(next), &f);
    assert_int_equal(mm_ops_next(f.mesh, &next), MM_NONE);
    assert_false(is_readable(fd));
    assert_int_equal(mm_mesh_stop(f.mesh, 0), MM_OK);
    assert_int_equal(mm_ops_next(f.mesh, &next), MM_CLOSED);
    for (int i = 0; i < 3; i++) {
        job_fini(&jobs[i]);
    }
    fixture_close(&f);
}

/* Requests that wait for a thread: higher priority first. */
static void test_priority_orders_ops_that_wait_for_a_thread(void **state) {
    (void)state;
    struct fixture f;
    open_small(&f, 64, 1);
    mm_model model = fixture_gated(&f, "m", "version p\n");
    struct gate infer;
    gate_shut(&f, &infer, MMI_ECHO_INFER, "p");
    struct job jobs[4];
    static const int32_t priorities[] = {0, -1, 7, 0};
    static const int order[] = {0, 2, 3, 1};
    for (int i = 0; i < 4; i++) {
        job_init(&jobs[i], &f);
        jobs[i].request.priority = priorities[i];
        jobs[i].async.flags = MM_ASYNC_QUEUE;
        job_infer(&jobs[i], model);
        gate_wait_arrived(&infer, 1);
    }
    gate_open(&infer);
    for (int i = 0; i < 4; i++) {
        assert_status(&f, mm_op_wait(jobs[i].op, 0, &f.err), MM_OK);
    }
    for (int i = 0; i < 4; i++) {
        mm_op *next;
        assert_int_equal(mm_ops_next(f.mesh, &next), MM_OK);
        assert_ptr_equal(next, jobs[order[i]].op);
        job_fini(&jobs[order[i]]);
    }
    fixture_close(&f);
}

/* ---- Deadlines ------------------------------------------------------------------------------ */

/* The request's deadline counts until it runs; MM_NO_WAIT as in mm_infer. */
static void test_deadlines_of_async_requests(void **state) {
    (void)state;
    struct fixture f;
    open_small(&f, 64, 1);
    mm_model model = fixture_gated(&f, "m", "serial 1\nversion d\n");
    struct job jobs[4];
    for (int i = 0; i < 4; i++) {
        job_init(&jobs[i], &f);
    }
    jobs[0].request.deadline_ns = MM_NO_WAIT;
    job_infer(&jobs[0], model);
    assert_status(&f, mm_op_wait(jobs[0].op, 0, &f.err), MM_NOT_RESIDENT);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_COLD);
    struct gate infer;
    gate_shut(&f, &infer, MMI_ECHO_INFER, "d");
    job_infer(&jobs[1], model);
    gate_wait_arrived(&infer, 1);
    jobs[2].request.deadline_ns = WORLD_START_NS + MS_NS;
    jobs[3].request.deadline_ns = MM_NO_WAIT;
    job_infer(&jobs[2], model);
    job_infer(&jobs[3], model);
    assert_status(&f, mm_op_wait(jobs[3].op, 0, &f.err), MM_BUSY);
    fixture_advance(&f, MS_NS);
    assert_status(&f, mm_op_wait(jobs[2].op, 0, &f.err), MM_DEADLINE);
    gate_open(&infer);
    assert_status(&f, mm_op_wait(jobs[1].op, 0, &f.err), MM_OK);
    for (int i = 0; i < 4; i++) {
        job_fini(&jobs[i]);
    }
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_op_wait_gives_status_and_error),
        cmocka_unit_test(test_op_wait_ends_at_its_deadline_and_the_op_goes_on),
        cmocka_unit_test(test_progress_names_every_stage),
        cmocka_unit_test(test_cancel_ends_what_waits_and_not_what_runs),
        cmocka_unit_test(test_cancel_leaves_a_load_that_others_wait_for),
        cmocka_unit_test(test_free_while_running_detaches),
        cmocka_unit_test(test_a_callback_may_free_its_op),
        cmocka_unit_test(test_a_callback_may_call_anything_but_stop_and_free),
        cmocka_unit_test(test_no_callback_after_stop),
        cmocka_unit_test(test_ops_next_and_its_descriptor),
        cmocka_unit_test(test_priority_orders_ops_that_wait_for_a_thread),
        cmocka_unit_test(test_deadlines_of_async_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
