/* SPDX-License-Identifier: Apache-2.0 */
/* The public calls, each on a thread of its own. */
#include "sim.h"

#include <base/checked.h>
#include <base/status.h>

#include <stdio.h>
#include <string.h>

#define FAR_NS UINT64_C(30000000000)
#define REST_NS UINT64_C(2500000000) /* all that time alone brings about is over by then */

/* ---- Bounds ---------------------------------------------------------------------------------- */

uint64_t calls_deadline(const struct sim *sim, const struct act *act) {
    switch (act->deadline) {
    case DEADLINE_AT_ONCE:
        return MM_NO_WAIT;
    case DEADLINE_PAST:
        return sim->now_ns - 1;
    case DEADLINE_SOON:
        return sim->now_ns + act->delay_ns;
    case DEADLINE_FAR:
        return sim->now_ns + FAR_NS;
    default:
        return 0;
    }
}

__attribute__((unused)) static uint64_t time_left(const struct sim *sim, uint64_t deadline_ns) {
    uint64_t left = mmi_sub_floor(deadline_ns, sim->now_ns);
    return left > 0 ? left : 1;
}

mm_status calls_evict(struct sim *sim, struct call *call) {
    return mm_evict(sim->mesh, call->registration->handle, call->deadline_ns, &call->error);
}

mm_status calls_stop(struct sim *sim, uint64_t deadline_ns) {
    return mm_mesh_stop(sim->mesh, deadline_ns);
}

mm_status calls_op_wait(struct sim *sim, mm_op *op, uint64_t deadline_ns, mm_error *err) {
    (void)sim;
    return mm_op_wait(op, deadline_ns, err);
}

struct sim_device_view calls_device(const struct sim *sim, uint32_t device) {
    const struct mmi_arena *arena = sim->mesh->res.devices[device].device->arena;
    return (struct sim_device_view){mmi_arena_used(arena), mmi_arena_capacity(arena)};
}

/* ---- Requests -------------------------------------------------------------------------------- */

static void infer(struct sim *sim, struct call *call) {
    values_request(sim, call);
    call->may_wait |= call->deadline_ns != MM_NO_WAIT;
    mm_status status = mm_infer(sim->mesh, call->registration->handle, &call->request,
                                &call->response, &call->error);
    judge(sim, call, status, &call->error);
}

static mm_status make_binding(struct sim *sim, struct call *call) {
    const char *names[2];
    uint32_t count = values_names(call, names);
    uint64_t deadline_ns = call->deadline_ns;
    call->deadline_ns = 0; /* of the inference alone */
    call->may_wait = true;
    call->wanted = call->act->wanted;
    bool all = call->wanted == WANTED_ALL;
    mm_status status =
        mm_bind(sim->mesh, call->registration->handle, names, count,
                all ? NULL : values_wanted[call->wanted],
                all ? 0 : values_wanted_count[call->wanted], &call->binding, &call->error);
    if (status != MM_OK) {
        call->binding = NULL;
        return status;
    }
    call->begun_step = sim->step;
    call->deadline_ns = deadline_ns;
    return MM_OK;
}

/* One binding serves many requests at once, whatever becomes of the model between them. */
static void bind(struct sim *sim, struct call *call) {
    struct registration *registration = call->registration;
    if (registration->binding && call->act->keeps) {
        call->binding = registration->binding;
        call->wanted = registration->bound;
    } else {
        mm_status status = make_binding(sim, call);
        if (status != MM_OK) {
            judge(sim, call, status, &call->error);
            return;
        }
    }
    if (call->act->keeps && !registration->binding) {
        registration->binding = call->binding;
        registration->bound = call->wanted;
    }
    call->binding_kept = call->binding == registration->binding;
    infer(sim, call);
}

/* ---- Models ---------------------------------------------------------------------------------- */

static void evict(struct sim *sim, struct call *call) {
    call->may_wait = true; /* also if it is idle: until its memory is back */
    judge(sim, call, calls_evict(sim, call), &call->error);
}

mm_model_spec calls_update_begins(struct sim *sim, struct call *call, uint32_t *flags) {
    struct registration *registration = call->registration;
    const struct act *act = call->act;
    call->life = registration->life_count++;
    struct life *life = &registration->lives[call->life];
    mm_model_spec spec = setup_spec(sim, act->model, act->number, life);
    *flags = act->replace ? MM_UPDATE_REPLACE : 0u;
    if (act->sparse) { /* all else stays as it was, a pin too */
        spec = (mm_model_spec)MM_MODEL_SPEC_INIT;
        setup_source(sim, act->model, act->number, &spec, life);
        return spec;
    }
    *flags |= act->reset ? MM_UPDATE_RESET : 0u;
    bool pinned = sim->scenario->models[registration->model].pinned;
    registration->surely_pinned &= pinned || !act->reset;
    sim->class_moved[registration->model] = true;
    return spec;
}

static void update(struct sim *sim, struct call *call) {
    uint32_t flags;
    mm_model_spec spec = calls_update_begins(sim, call, &flags);
    mm_async async = MM_ASYNC_INIT;
    call->deadline_ns = call->act->tells && call->deadline_ns != MM_NO_WAIT ? call->deadline_ns : 0;
    async.deadline_ns = call->deadline_ns;
    call->may_wait = true;
    mm_status status = mm_update(sim->mesh, call->registration->handle, &spec, flags,
                                 call->act->tells ? &async : NULL, NULL, &call->error);
    judge(sim, call, status, &call->error);
}

static void change_file(struct sim *sim, struct call *call) {
    uint32_t model = call->act->model, number = call->act->number % MOST_CONTENTS;
    if (!sim->scenario->models[model].file) {
        return;
    }
    disk_change(sim, model, call->act->change, number);
    for (uint32_t i = 0; i < sim->registration_count; i++) {
        struct registration *registration = &sim->registrations[i];
        for (uint32_t k = 0; k < registration->life_count && registration->model == model; k++) {
            registration->lives[k].numbers |= 1u << sim->file_number[model];
        }
    }
}

static void leave_and_return(struct sim *sim, struct call *call) {
    struct registration *registration = call->registration;
    uint32_t model = registration->model;
    if (registration->registered) {
        registration->leaving = true;
        registration->surely_pinned = false;
        sim->unregistered = true;
        mm_status status = mm_unregister(sim->mesh, registration->handle, &call->error);
        judge(sim, call, status, &call->error);
        if (status == MM_OK) {
            registration->registered = false;
            registration->gone = true;
        }
        schedule_sleep(sim, call->act->delay_ns);
    }
    mm_status status;
    mm_error err;
    const struct registration *made = setup_enroll(sim, model, call->act->number, &status, &err);
    story(sim, "call %u: register m%u: %s", call->index, model, mm_status_name(status));
    bool explained = status == MM_OK || status == MM_EXISTS ||
                     (status == MM_CLOSED && sim->closing) || faults_explain(sim, status);
    if (!made && !explained) {
        sim_fail(sim, "status", "register m%u: %s: %s", model, mm_status_name(status), err.text);
    }
}

static void set(struct sim *sim, struct call *call) {
    struct registration *registration = call->registration;
    mm_status status;
    if (call->act->kind == ACT_PIN) {
        status = mm_pin(sim->mesh, registration->handle);
        uint32_t others = 0; /* that take it back */
        for (uint32_t i = 0; i < MOST_ACTS; i++) {
            const struct call *other = &sim->calls[i];
            bool beside =
                other->begun && (!other->returned || other->ended_step >= call->begun_step);
            others += beside && other->registration == registration &&
                      (other->act->kind == ACT_UNPIN || other->act->kind == ACT_UPDATE);
        }
        registration->surely_pinned = status == MM_OK && others == 0 && !registration->leaving;
    } else if (call->act->kind == ACT_UNPIN) {
        registration->surely_pinned = false;
        status = mm_unpin(sim->mesh, registration->handle);
    } else {
        sim->class_moved[registration->model] = true;
        status = mm_set_class(sim->mesh, registration->handle, (int32_t)(call->act->number % 4));
    }
    judge(sim, call, status, NULL);
}

/* ---- The mesh -------------------------------------------------------------------------------- */

static void budget(struct sim *sim, struct call *call) {
    uint32_t device = call->act->number % sim->scenario->device_count;
    uint64_t bytes = call->act->bytes;
    sim->budget_calls[device]++;
    sim->most_budget[device] = mmi_max_u64(sim->most_budget[device], bytes);
    call->may_wait = true;
    call->deadline_ns = 0; /* it has none: it waits for what it evicted, and for nobody else */
    mm_status status = mm_device_set_budget(sim->mesh, setup_devices[device], bytes, &call->error);
    if (--sim->budget_calls[device] == 0) {
        sim->most_budget[device] = calls_device(sim, device).budget_bytes;
    }
    judge(sim, call, status, &call->error);
}

static void plan(struct sim *sim, struct call *call) {
    mm_victim victims[MOST_MODELS];
    mm_plan plan = MM_PLAN_INIT;
    plan.victims = victims;
    plan.victim_capacity = MOST_MODELS;
    mm_status status = mm_plan_load(sim->mesh, call->registration->handle, &plan, &call->error);
    for (uint32_t i = 0; status == MM_OK && i < plan.victim_count && i < MOST_MODELS; i++) {
        if (strcmp(victims[i].name, setup_models[call->registration->model]) == 0 &&
            !call->registration->leaving) {
            sim_fail(sim, "plan", "m%u would leave for itself", call->registration->model);
        }
    }
    judge(sim, call, status, &call->error);
}

static void describe(struct sim *sim, struct call *call) {
    mm_model_description *description = NULL;
    call->may_wait = true;
    uint64_t deadline_ns = call->deadline_ns == MM_NO_WAIT ? 0 : call->deadline_ns;
    call->deadline_ns = deadline_ns;
    mm_status status = mm_model_describe(sim->mesh, call->registration->handle, deadline_ns,
                                         &description, &call->error);
    if (status == MM_OK) {
        mm_description_free(description);
    }
    judge(sim, call, status, &call->error);
}

static void sizes(struct sim *sim, struct call *call) {
    values_request(sim, call);
    call->may_wait = true;
    mm_value values[2] = {{0}};
    uint32_t count, wanted = values_wanted_count[call->wanted];
    mm_status status = mm_output_bytes(sim->mesh, call->registration->handle, &call->request,
                                       values, NULL, 2, &count, &call->error);
    for (uint32_t i = 0; status == MM_OK && i < wanted; i++) {
        bool z = values_wanted[call->wanted][i][0] == 'z';
        if (count != wanted || values[i].bytes != (z ? 2 : 1) * sizeof(int64_t)) {
            sim_fail(sim, "answer", "call %u: output %u of %u would have %llu bytes", call->index,
                     i, count, (unsigned long long)values[i].bytes);
        }
    }
    judge(sim, call, status, &call->error);
}

static void look(struct sim *sim, struct call *call) {
    static char text[1 << 16];
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    mm_model_info info = MM_MODEL_INFO_INIT;
    mm_model found;
    mm_status status = mm_mesh_stats_get(sim->mesh, &stats);
    if (call->act->number % 3 == 0) {
        mm_metrics_text(sim->mesh, text, sizeof(text));
    }
    mm_find(sim->mesh, setup_models[call->act->model], &found);
    if (call->registration) {
        mm_model_info_get(sim->mesh, call->registration->handle, &info);
    }
    judge(sim, call, status, NULL);
}

static void close_mesh(struct sim *sim, struct call *call) {
    sim->closing = true;
    mm_status status = mm_mesh_close(sim->mesh);
    sim->closed = true;
    judge(sim, call, status, NULL);
}

static void stop(struct sim *sim, struct call *call) {
    sim->closing = true;
    call->may_wait = true;
    call->deadline_ns = call->deadline_ns == MM_NO_WAIT ? 0 : call->deadline_ns;
    bool late = call->deadline_ns && call->deadline_ns <= sim->now_ns; /* nothing is started */
    mm_status status = calls_stop(sim, call->deadline_ns);
    sim->closed |= !late;
    sim->stopped |= status == MM_OK;
    for (uint32_t i = 0; i < sim->thread_count && status == MM_OK; i++) {
        const struct sim_thread *thread = &sim->thread[i];
        if (thread->fiber && !thread->call) {
            sim_fail(sim, "thread", "stopped, and thread %s is still there", thread->name);
        }
    }
    judge(sim, call, status, NULL);
}

/* ---- One call -------------------------------------------------------------------------------- */

static void make(struct sim *sim, struct call *call) {
    static void (*const makers[ACT_KINDS])(struct sim *, struct call *) = {
        [ACT_INFER] = infer,
        [ACT_INFER_ASYNC] = op_async,
        [ACT_LOAD] = op_async,
        [ACT_PREPARE] = op_async,
        [ACT_EVICT] = evict,
        [ACT_UPDATE] = update,
        [ACT_UNREGISTER] = leave_and_return,
        [ACT_PIN] = set,
        [ACT_UNPIN] = set,
        [ACT_CLASS] = set,
        [ACT_BUDGET] = budget,
        [ACT_PLAN] = plan,
        [ACT_DESCRIBE] = describe,
        [ACT_SIZES] = sizes,
        [ACT_BIND] = bind,
        [ACT_FILE] = change_file,
        [ACT_LOOK] = look,
        [ACT_CLOSE] = close_mesh,
        [ACT_STOP] = stop,
    };
    enum act_kind kind = call->act->kind;
    if (kind == ACT_UPDATE && call->registration->life_count == MOST_LIVES) {
        return;
    }
    call->begun = true;
    call->begun_step = sim->step;
    call->begun_ns = sim->now_ns;
    call->surely_pinned = call->registration && call->registration->surely_pinned;
    call->deadline_ns = calls_deadline(sim, call->act);
    bool async = call->act->async && kind == ACT_UPDATE;
    (async ? op_async : makers[kind])(sim, call);
    bool dropped = call->accepted && call->act->after == AFTER_DROP;
    if (!dropped) {
        values_end(sim, call);
    }
    if (!call->binding_kept) {
        mm_binding_free(call->binding);
    }
    call->may_wait = false;
    call->returned = true;
    call->ended_step = sim->step;
}

static void call_main(void *ctx) {
    struct call *call = ctx;
    struct sim *sim = call->thread->sim;
    uint32_t model = call->act->model;
    for (uint32_t i = sim->registration_count; i-- > 0 && !call->registration;) {
        struct registration *registration = &sim->registrations[i];
        if (registration->model == model && registration->handle.id != 0) {
            call->registration = registration;
        }
    }
    enum act_kind kind = call->act->kind;
    if (call->registration || kind == ACT_BUDGET || kind >= ACT_LOOK) {
        char text[160];
        story(sim, "call %u: %s", call->index, story_act(call->act, text));
        make(sim, call);
    }
}

bool calls_left(struct sim *sim) {
    const struct scenario *s = sim->scenario;
    while (sim->next_act < s->act_count && s->acts[sim->next_act].off) {
        sim->next_act++;
    }
    return sim->next_act < s->act_count;
}

void calls_begin(struct sim *sim) {
    uint32_t index = sim->next_act++;
    struct call *call = &sim->calls[index];
    *call = (struct call){.act = &sim->scenario->acts[index], .index = index};
    char name[24];
    snprintf(name, sizeof(name), "call %u", index);
    call->thread = schedule_start(sim, name, call_main, call);
    if (!call->thread) {
        sim_fail(sim, "thread", "too many threads");
        return;
    }
    call->thread->call = call;
    sim->in_flight++;
}

/* ---- The end --------------------------------------------------------------------------------- */

/* Is a thread of the mesh inside of the backend? A detach may be slow. */
static bool backend_works(const struct sim *sim) {
    for (uint32_t i = 0; i < sim->thread_count; i++) {
        if (sim->thread[i].slot_depth > 0) {
            return true;
        }
    }
    return false;
}

void calls_finish(struct sim *sim) {
    do {
        schedule_sleep(sim, REST_NS);
    } while (backend_works(sim));
    check_rest(sim);
    op_fetch_all(sim);
    sim->closing = true;
    if (chance_percent(&sim->chance, 50)) {
        mm_status status = calls_stop(sim, 0);
        sim->stopped = true;
        if (status != MM_OK) {
            sim_fail(sim, "status", "stop: %s", mm_status_name(status));
        }
        check_stopped(sim);
        op_fetch_all(sim);
    }
    values_end_mesh(sim);
    sim->freeing = true;
    mm_status status = mm_mesh_free(&sim->mesh);
    story(sim, "free: %s", mm_status_name(status));
    if (status != MM_OK || sim->mesh) {
        sim_fail(sim, "status", "free: %s", mm_status_name(status));
    }
    op_free_all(sim);
    for (uint32_t i = 0; i < sim->registration_count; i++) {
        mm_binding_free(sim->registrations[i].binding);
    }
}

/* ---- Who wants what -------------------------------------------------------------------------- */

bool calls_tells(const struct call *call) {
    return call->act->kind != ACT_UPDATE || call->act->tells;
}

bool calls_want(const struct sim *sim, uint32_t model) {
    const struct scenario *s = sim->scenario;
    uint32_t before = (model + s->model_count - 1) % s->model_count;
    if (s->models[model].preload || s->models[before].flavor == FLAVOR_NESTED) {
        return true;
    }
    for (uint32_t i = 0; i < s->act_count; i++) {
        const struct call *call = &sim->calls[i];
        if (!call->begun || !call->registration || call->registration->model != model) {
            continue;
        }
        enum act_kind kind = call->act->kind;
        bool wants = kind == ACT_INFER || kind == ACT_INFER_ASYNC || kind == ACT_LOAD ||
                     kind == ACT_BIND || kind == ACT_UPDATE ||
                     kind == ACT_PIN; /* pinned bytes do not count as free */
        bool ended = call->returned && call->ended_step < sim->step;
        if (wants && (!ended || call->act->after == AFTER_DROP || kind == ACT_UPDATE)) {
            return true;
        }
    }
    return false;
}
