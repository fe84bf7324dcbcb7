/* SPDX-License-Identifier: Apache-2.0 */
#include "stage.h"

#include <sched.h>
#include <stdatomic.h>

/* ---- Create, register, infer, evict, unregister ---------------------------------------------- */

static void play_life(struct stage *stage) {
    mm_mesh *mesh = stage->mesh;
    if (!stage_add(stage, 0) || !stage_ask(stage, 0, 0, NULL) ||
        !stage_step(stage, "evict", mm_evict(mesh, stage->models[0], MM_NO_WAIT, &stage->err)) ||
        !stage_ask(stage, 0, 0, NULL) || !stage_add(stage, 1)) {
        return;
    }
    stage_step(stage, "unregister", mm_unregister(mesh, stage->models[0], &stage->err));
    stage->models[0].id = 0;
    stage_ask(stage, 1, 0, NULL);
}

/* ---- Operations ------------------------------------------------------------------------------ */

static void count_call(void *user, mm_op *op) {
    (void)op;
    atomic_fetch_add((_Atomic unsigned *)user, 1);
}

static bool end_op(struct stage *stage, const char *what, mm_op *op) {
    bool ok = stage_step(stage, what, mm_op_wait(op, 0, &stage->err));
    mm_op_free(op);
    return ok;
}

static bool async_infer(struct stage *stage, unsigned i) {
    _Atomic unsigned calls = 0;
    mm_async async = MM_ASYNC_INIT;
    async.callback = count_call;
    async.user = &calls;
    mm_request request = stage_request();
    mm_response response = MM_RESPONSE_INIT;
    mm_op *op = NULL;
    if (!stage_step(stage, "infer_async",
                    mm_infer_async(stage->mesh, stage->models[i], &request, &response, &async, &op,
                                   &stage->err))) {
        return false;
    }
    bool ok = stage_step(stage, "infer_async's op", mm_op_wait(op, 0, &stage->err));
    if (ok) {
        stage_judge(stage, i, 0, &response);
    }
    mm_response_free(&response);
    mm_op_free(op);
    while (atomic_load(&calls) == 0) { /* it comes, whatever failed */
        sched_yield();
    }
    return ok;
}

static bool queued_load(struct stage *stage, unsigned i) {
    mm_async async = MM_ASYNC_INIT;
    async.flags = MM_ASYNC_QUEUE;
    mm_op *op = NULL;
    if (!stage_step(stage, "load",
                    mm_load(stage->mesh, stage->models[i], &async, &op, &stage->err))) {
        return false;
    }
    bool ok = stage_step(stage, "load's op", mm_op_wait(op, 0, &stage->err));
    mm_op *next = NULL;
    while (mm_ops_next(stage->mesh, &next) == MM_NONE) {
        sched_yield();
    }
    stage->wrong |= next != op;
    mm_op_free(op);
    return ok;
}

static void play_async(struct stage *stage) {
    mm_op *op = NULL;
    if (!stage_add(stage, 0) || !stage_add(stage, 1) || !async_infer(stage, 0) ||
        !async_infer(stage, 0) || !queued_load(stage, 1) ||
        !stage_step(stage, "prepare",
                    mm_prepare(stage->mesh, stage->models[1], NULL, &op, &stage->err))) {
        return;
    }
    end_op(stage, "prepare's op", op);
}

/* ---- Updates --------------------------------------------------------------------------------- */

/* The old or the new answers, whatever becomes of the update. */
static void play_update(struct stage *stage) {
    mm_op *op = NULL;
    if (!stage_add(stage, 0) || !stage_ask(stage, 0, 0, NULL)) {
        return;
    }
    mm_model_spec next = stage_spec(stage, 0, 1);
    if (!stage_step(stage, "update",
                    mm_update(stage->mesh, stage->models[0], &next, 0, NULL, NULL, &stage->err))) {
        mm_model_spec back = stage_spec(stage, 0, 0);
        world_fail_alloc(&stage->world, 0);
        world_fault(&stage->world, NULL, 0, 0);
        mm_error err;
        stage->wrong |=
            mm_update(stage->mesh, stage->models[0], &back, 0, NULL, NULL, &err) != MM_OK;
        return;
    }
    next = stage_spec(stage, 0, 0);
    if (stage_ask(stage, 0, 1, NULL) &&
        stage_step(stage, "update, replace",
                   mm_update(stage->mesh, stage->models[0], &next, MM_UPDATE_REPLACE, NULL, &op,
                             &stage->err))) {
        end_op(stage, "update's op", op);
    }
    if (stage->status != MM_OK) { /* the epilogue asks for revision 0 */
        world_fail_alloc(&stage->world, 0);
        world_fault(&stage->world, NULL, 0, 0);
        mm_error err;
        stage->wrong |=
            mm_update(stage->mesh, stage->models[0], &next, 0, NULL, NULL, &err) != MM_OK;
    } else {
        stage_ask(stage, 0, 0, NULL);
    }
}

/* ---- Two devices ----------------------------------------------------------------------------- */

static void two_devices(struct stage *stage, mm_mesh_options *options) {
    static mm_device_options devices[2];
    (void)stage;
    devices[0] = devices[1] = (mm_device_options)MM_DEVICE_OPTIONS_INIT;
    devices[0].name = "sim/pod";
    devices[0].budget_bytes = 4 * MIB;
    devices[1].name = "host";
    devices[1].budget_bytes = 2 * MIB;
    options->devices = devices;
    options->device_count = 2;
}

static void play_two_devices(struct stage *stage) {
    for (unsigned i = 0; i < STAGE_MODELS; i++) {
        if (!stage_add(stage, i) || !stage_ask(stage, i, 0, NULL)) {
            return;
        }
    }
    if (!stage_step(stage, "set_budget",
                    mm_device_set_budget(stage->mesh, "pod", 8 * MIB, &stage->err)) ||
        !stage_step(stage, "set_budget",
                    mm_device_set_budget(stage->mesh, "pod", 2 * MIB, &stage->err))) {
        return;
    }
    for (unsigned i = 0; i < STAGE_MODELS && stage_ask(stage, i, 0, NULL); i++) {}
}

/* ---- Eviction -------------------------------------------------------------------------------- */

static void play_eviction(struct stage *stage) {
    for (unsigned i = 0; i < STAGE_MODELS; i++) {
        if (!stage_add(stage, i)) {
            return;
        }
    }
    for (unsigned i = 0; i < 2 * STAGE_MODELS && stage_ask(stage, i % STAGE_MODELS, 0, NULL); i++) {
    }
}

/* ---- Descriptions ---------------------------------------------------------------------------- */

/* Room for none: each is closed as soon as its model is not resident. */
static void tiny_descriptions(struct stage *stage, mm_mesh_options *options) {
    (void)stage;
    options->description_budget_bytes = 1;
}

static void play_descriptions(struct stage *stage) {
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 2; i++) {
            if ((round == 0 && !stage_add(stage, i)) || !stage_ask(stage, i, 0, NULL) ||
                !stage_step(stage, "evict",
                            mm_evict(stage->mesh, stage->models[i], MM_NO_WAIT, &stage->err))) {
                return;
            }
        }
    }
}

/* ---- Bindings -------------------------------------------------------------------------------- */

static void play_bindings(struct stage *stage) {
    const char *inputs[] = {"x"}, *outputs[] = {"y", "z"};
    mm_binding *binding = NULL;
    if (!stage_add(stage, 0) || !stage_step(stage, "bind",
                                            mm_bind(stage->mesh, stage->models[0], inputs, 1,
                                                    outputs, 2, &binding, &stage->err))) {
        return;
    }
    if (stage_ask(stage, 0, 0, binding)) {
        stage_ask(stage, 0, 0, binding);
    }
    mm_binding_free(binding);
}

/* ---- Looking --------------------------------------------------------------------------------- */

static bool look_at_sizes(struct stage *stage) {
    mm_request request = stage_request();
    mm_value outputs[2];
    uint32_t count = 0;
    memset(outputs, 0, sizeof(outputs));
    bool ok = stage_step(stage, "output_bytes",
                         mm_output_bytes(stage->mesh, stage->models[0], &request, outputs, NULL, 2,
                                         &count, &stage->err));
    stage->wrong |= ok && count != 2;
    return ok;
}

static void play_looking(struct stage *stage) {
    mm_model_description *description = NULL;
    mm_plan plan = MM_PLAN_INIT;
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    mm_model_info info = MM_MODEL_INFO_INIT;
    if (!stage_add(stage, 0) ||
        !stage_step(stage, "plan",
                    mm_plan_load(stage->mesh, stage->models[0], &plan, &stage->err)) ||
        !stage_step(
            stage, "describe",
            mm_model_describe(stage->mesh, stage->models[0], 0, &description, &stage->err))) {
        return;
    }
    stage->wrong |= description->input_count != 1;
    mm_description_free(description);
    if (!look_at_sizes(stage) || !stage_ask(stage, 0, 0, NULL)) {
        return;
    }
    char text[16 * 1024];
    uint64_t needed = mm_metrics_text(stage->mesh, text, sizeof(text));
    stage_step(stage, "metrics", needed > 0 ? MM_OK : MM_NO_MEMORY);
    stage_step(stage, "stats", mm_mesh_stats_get(stage->mesh, &stats));
    stage_step(stage, "info", mm_model_info_get(stage->mesh, stage->models[0], &info));
}

/* ---- On disk --------------------------------------------------------------------------------- */

static void in_cache(struct stage *stage, mm_mesh_options *options) {
    options->cache_dir = stage->cache;
}

/* The second mesh finds what the first one made, if it could. */
static void play_cache(struct stage *stage) {
    if (!stage_add(stage, 0) || !stage_ask(stage, 0, 0, NULL) ||
        !stage_step(stage, "free", mm_mesh_free(&stage->mesh))) {
        return;
    }
    stage->models[0].id = 0;
    if (stage_create(stage) && stage_add(stage, 0)) {
        stage_ask(stage, 0, 0, NULL);
    }
}

/* ---- All of them ----------------------------------------------------------------------------- */

const struct scenario nth_scenarios[] = {
    {.name = "life", .play = play_life, .weights_bytes = 20 * KIB},
    {.name = "async", .play = play_async, .weights_bytes = 20 * KIB},
    {.name = "update", .play = play_update, .weights_bytes = 20 * KIB},
    {.name = "two devices",
     .options = two_devices,
     .play = play_two_devices,
     .weights_bytes = 900 * KIB,
     .lines = "check 0\n"},
    {.name = "eviction",
     .play = play_eviction,
     .weights_bytes = 1500 * KIB,
     .lines = "check 0\nactivation_bytes 100k\n"},
    {.name = "scratch",
     .play = play_eviction,
     .weights_bytes = 20 * KIB,
     .lines = "activation_bytes 10k\nscratch_more 30k\nserial 1\noutputs unknown\n"},
    {.name = "own memory",
     .play = play_life,
     .backend = "echo-own",
     .weights_bytes = 20 * KIB,
     .lines = "own_bytes 50k\n"},
    {.name = "descriptions",
     .options = tiny_descriptions,
     .play = play_descriptions,
     .weights_bytes = 20 * KIB},
    {.name = "bindings", .play = play_bindings, .weights_bytes = 20 * KIB},
    {.name = "looking", .play = play_looking, .weights_bytes = 20 * KIB},
    {.name = "cache",
     .options = in_cache,
     .play = play_cache,
     .weights_bytes = 20 * KIB,
     .from_file = true},
    {.name = "no threads", .play = play_life, .weights_bytes = 20 * KIB, .no_threads = true},
};
const size_t nth_scenario_count = sizeof(nth_scenarios) / sizeof(nth_scenarios[0]);
