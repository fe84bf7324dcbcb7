/* SPDX-License-Identifier: Apache-2.0 */
/* Models whose answers show whose weights they ran on. Every page of the weights bears the mark of
 * its content; every slot checks that it is called as backend.h promises. */
#include "sim.h"

#include <base/status.h>

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES UINT64_C(4096)
#define SHAPE_BYTES UINT64_C(1024) /* of scratch, for what the shape input begins with */
#define WRITE_BYTES ((size_t)64 << 10)

static struct sim *the_sim;

void backend_use(struct sim *sim) {
    the_sim = sim;
}

struct sim_state {
    const mm_services *services;
};

struct sim_model {
    struct content content;
    mm_value_info inputs[2], outputs[2];
    uint64_t group_ends[4];
    uint32_t group_count;
    bool open;
};

/* Made by size for such a request, and for no other. */
struct sim_signature {
    int64_t elements, shape_elements, first;
};

struct sim_instance {
    struct sim_model *model; /* NULL: attach did not run */
    struct content content;
    mm_region region;
    uint64_t attached_step;
    uint32_t running;
    bool attaching, attached;
    bool whole; /* all its weights were there, once */
};

static uint32_t model_of(const struct content *content) {
    return (content->id - 1) / MOST_CONTENTS;
}

static uint32_t number_of(const struct content *content) {
    return (content->id - 1) % MOST_CONTENTS;
}

static uint64_t mark_of(const struct content *content, uint64_t page) {
    return (uint64_t)content->id << 32 | (page & 0xffffffff);
}

/* ---- Calls from inside of slots -------------------------------------------------------------- */

/* What would wait there is refused; hook_wait sees to it that it does not wait. */
static void call_inside(struct sim *sim) {
    uint32_t model = (uint32_t)chance_below(&sim->chance, sim->scenario->model_count);
    const struct registration *registration = sim->current_of[model];
    mm_status status = MM_BUSY;
    sim->current->must_not_wait = true;
    switch (registration ? chance_below(&sim->chance, 3) : 0) {
    case 0:
        status = calls_stop(sim, 0);
        break;
    case 1:
        status = mm_evict(sim->mesh, registration->handle, 0, NULL);
        status = status == MM_OK ? MM_BUSY : status; /* it was cold */
        break;
    default:
        status = mm_load(sim->mesh, registration->handle, NULL, NULL, NULL);
    }
    sim->current->must_not_wait = false;
    if (status == MM_OK || status == MM_DEADLINE) {
        sim_fail(sim, "inside", "a call that blocks says %s inside of a slot",
                 mm_status_name(status));
    }
}

/* ---- Slots begin and end --------------------------------------------------------------------- */

/* What went wrong by plan; the slot's own work comes first when it is `late`. */
static mm_status enter(const char *what, enum point point, const struct content *content,
                       bool *late, mm_error *err) {
    struct sim *sim = the_sim;
    mmi_assert_no_locks();
    if (mmi_tls()->locks != 0) {
        sim_fail(sim, "lock", "%s of m%u is called with a lock held", what, model_of(content));
    }
    if (!sim->current) {
        sim_fail(sim, "backend", "%s of m%u is called by a check", what, model_of(content));
        return MM_INVALID_STATE;
    }
    sim->slots_active++;
    sim->current->slot_depth++;
    story(sim, "m%u.%u: %s ...", model_of(content), number_of(content), what);
    if (point != POINT_INFER && sim->created && !sim->freeing && chance_percent(&sim->chance, 4)) {
        call_inside(sim);
    }
    int32_t status = faults_slot(sim, point, late);
    return status ? mmi_fail(err, (mm_status)status, "%s fails by plan", what) : MM_OK;
}

static mm_status leave(const char *what, const struct content *content, mm_status status) {
    struct sim *sim = the_sim;
    sim->slots_active--;
    sim->current->slot_depth--;
    story(sim, "m%u.%u: ... %s %s", model_of(content), number_of(content), what,
          status == MM_OK ? "done" : "failed");
    return status;
}

/* ---- Weights --------------------------------------------------------------------------------- */

/* Is every page the content's? Small ones are read in full, of large ones every seventh page. */
static bool intact(const struct content *content, const void *weights) {
    uint64_t pages = content->weights_bytes / PAGE_BYTES;
    uint64_t stride = pages > 32 ? 7 : 1;
    for (uint64_t page = 0; page < pages; page += stride) {
        uint64_t mark;
        memcpy(&mark, (const char *)weights + page * PAGE_BYTES, sizeof(mark));
        if (mark != mark_of(content, page)) {
            return false;
        }
    }
    return true;
}

static void fill(const struct content *content, uint64_t at, char *to, uint64_t bytes) {
    for (uint64_t i = 0; i < bytes; i += PAGE_BYTES) {
        uint64_t mark = mark_of(content, (at + i) / PAGE_BYTES);
        memcpy(to + i, &mark, sizeof(mark));
    }
}

static uint64_t group_end(const struct content *content, uint32_t group) {
    uint64_t pages = content->weights_bytes / PAGE_BYTES;
    return group + 1 == content->groups ? content->weights_bytes
                                        : pages * (group + 1) / content->groups * PAGE_BYTES;
}

static mm_status write_all(const struct content *content, const mm_sink *sink, char *buffer,
                           mm_error *err) {
    MMI_TRY(sink->expect(sink->ctx, content->weights_bytes, err));
    uint64_t at = 0;
    for (uint32_t group = 0; group < content->groups; group++) {
        uint64_t end = group_end(content, group);
        if (group > 0) {
            MMI_TRY(sink->group(sink->ctx, err));
        }
        while (at < end) {
            if (sink->cancelled(sink->ctx)) {
                return mmi_fail(err, MM_CANCELLED, "nobody wants it any more");
            }
            uint64_t bytes = end - at < WRITE_BYTES ? end - at : WRITE_BYTES;
            fill(content, at, buffer, bytes);
            MMI_TRY(sink->weights(sink->ctx, buffer, bytes, err));
            at += bytes;
            sink->progress(sink->ctx, (uint32_t)(at * 1000 / content->weights_bytes));
        }
    }
    return MM_OK;
}

/* Another preparation may go on in the middle of a write: each has a buffer of its own. */
static mm_status write_weights(const struct content *content, const mm_sink *sink, mm_error *err) {
    if (content->weights_bytes == 0) {
        return MM_OK;
    }
    char *buffer = calloc(1, WRITE_BYTES); /* all but the marks stays 0 */
    mm_status status = buffer ? write_all(content, sink, buffer, err)
                              : mmi_fail(err, MM_NO_MEMORY, "no memory for a buffer");
    free(buffer);
    return status;
}

/* ---- The slots ------------------------------------------------------------------------------- */

static mm_status slot_init(void *state, const mm_services *services, mm_error *err) {
    (void)err;
    ((struct sim_state *)state)->services = services;
    return MM_OK;
}

static void slot_fini(void *state) {
    (void)state;
}

static mm_status slot_prepare(void *state, const mm_source *source, const char *config,
                              int32_t device_kind, const mm_sink *sink, mm_error *err) {
    (void)state;
    (void)config;
    (void)device_kind;
    struct content content;
    if (source->bytes != sizeof(content)) {
        return mmi_fail(err, MM_INVALID_MODEL, "%llu bytes", (unsigned long long)source->bytes);
    }
    const uint32_t *changes = the_sim->file_changes;
    uint32_t before[MOST_MODELS];
    memcpy(before, changes, sizeof(before));
    MMI_TRY(source->read(source->ctx, 0, &content, sizeof(content), err));
    bool late;
    mm_status status = enter("prepare", POINT_PREPARE, &content, &late, err);
    if (status == MM_OK || late) {
        mm_error own;
        mm_status worked = sink->cancelled(sink->ctx)
                               ? mmi_fail(&own, MM_CANCELLED, "nobody wants it any more")
                               : sink->describe(sink->ctx, &content, sizeof(content), &own);
        if (worked == MM_OK) {
            worked = write_weights(&content, sink, &own);
        }
        if (status == MM_OK && worked != MM_OK) {
            status = mmi_error_copy(err, &own);
        }
    }
    uint32_t model = model_of(&content);
    bool torn =
        before[model] != changes[model] && the_sim->file_number[model] != number_of(&content);
    the_sim->current->torn = torn ? content.id : 0;
    return leave("prepare", &content, status);
}

static void describe(struct sim_model *model, mm_description *out) {
    const struct content *content = &model->content;
    model->inputs[0] = (mm_value_info){
        .name = "x", .kind = MM_TENSOR, .dtype = MM_F32, .rank = 2, .shape = {1, -1}};
    model->inputs[1] = (mm_value_info){.name = "n",
                                       .kind = MM_TENSOR,
                                       .dtype = MM_I64,
                                       .rank = 1,
                                       .shape = {-1},
                                       .flags = MM_VALUE_INFO_SHAPE_INPUT | MM_VALUE_INFO_OPTIONAL};
    model->outputs[0] =
        (mm_value_info){.name = "z", .kind = MM_TENSOR, .dtype = MM_I64, .rank = 1, .shape = {2}};
    model->outputs[1] =
        (mm_value_info){.name = "y", .kind = MM_TENSOR, .dtype = MM_I64, .rank = 1, .shape = {1}};
    out->flags = content->flags & CONTENT_SERIAL ? MM_DESCRIPTION_SERIAL : 0;
    out->inputs = model->inputs;
    out->outputs = model->outputs;
    out->input_count = content->flags & CONTENT_SHAPED ? 2 : 1;
    out->output_count = 2;
    out->weights_bytes = content->weights_bytes;
    out->own_bytes = content->own_bytes;
    out->activation_bytes = content->activation_bytes;
    out->batch_axis = -1;
}

static mm_status slot_open(void *state, void *model_, const mm_artifact *artifact,
                           mm_description *out, mm_error *err) {
    (void)state;
    struct sim_model *model = model_;
    if (artifact->description_bytes != sizeof(struct content)) {
        return mmi_fail(err, MM_CORRUPT, "a description of %llu bytes",
                        (unsigned long long)artifact->description_bytes);
    }
    memcpy(&model->content, artifact->description, sizeof(model->content));
    model->open = true;
    the_sim->models_open++;
    bool late;
    mm_status status = enter("open", POINT_OPEN, &model->content, &late, err);
    if (artifact->source && the_sim->current->torn == model->content.id) {
        sim_fail(the_sim, "source", "m%u: its file changed while it was read, and it is opened",
                 model_of(&model->content));
    }
    if (artifact->weights_bytes != model->content.weights_bytes) {
        sim_fail(the_sim, "backend", "open of m%u: %llu bytes of weights",
                 model_of(&model->content), (unsigned long long)artifact->weights_bytes);
    }
    if (status == MM_OK || late) {
        describe(model, out);
    }
    return leave("open", &model->content, status);
}

static void slot_close(void *model_) {
    struct sim_model *model = model_;
    for (uint32_t i = 0; i < the_sim->instance_count; i++) {
        if (the_sim->instances[i]->model == model) {
            sim_fail(the_sim, "backend", "m%u is closed while attached", model_of(&model->content));
        }
    }
    the_sim->models_open -= model->open;
    model->open = false;
}

/* All of the shape input is there, as the caller gave it. */
static struct sim_signature signature_of(const struct content *content, const mm_value *inputs) {
    struct sim_signature signature = {.elements = inputs[0].shape[1]};
    if (!(content->flags & CONTENT_SHAPED) || inputs[1].kind == MM_OPTIONAL) {
        return signature;
    }
    const int64_t *n = inputs[1].data;
    signature.shape_elements = inputs[1].shape[0];
    if (!n || inputs[1].bytes != (uint64_t)inputs[1].shape[0] * sizeof(*n)) {
        sim_fail(the_sim, "values", "m%u: its shape input is not shown", model_of(content));
        return signature;
    }
    signature.first = n[0];
    for (int64_t i = 0; i < inputs[1].shape[0]; i++) {
        if (n[i] != n[0] + i) {
            sim_fail(the_sim, "values", "m%u: other elements in its shape input",
                     model_of(content));
        }
    }
    return signature;
}

static void set_output(mm_size *out, uint32_t index, int64_t elements) {
    out->outputs[index].dtype = MM_I64;
    out->outputs[index].rank = 1;
    out->outputs[index].shape[0] = elements;
    out->outputs[index].bytes = (uint64_t)elements * sizeof(int64_t);
    out->exactness[index] = MM_SIZE_EXACT;
}

static mm_status slot_size(void *model_, int32_t device_kind, void *signature,
                           const mm_value *inputs, mm_size *out, mm_error *err) {
    (void)device_kind;
    struct sim_model *model = model_;
    bool late;
    mm_status status = enter("size", POINT_SIZE, &model->content, &late, err);
    if (!model->open) {
        sim_fail(the_sim, "backend", "size of m%u after its close", model_of(&model->content));
    }
    struct sim_signature made = signature_of(&model->content, inputs);
    memcpy(signature, &made, sizeof(made));
    out->activation_bytes = model->content.activation_bytes * (uint64_t)inputs[0].shape[1] +
                            SHAPE_BYTES * (uint64_t)made.first;
    set_output(out, 0, 2);
    set_output(out, 1, 1);
    if (inputs[0].data) {
        sim_fail(the_sim, "values", "m%u: size is shown what is not a shape",
                 model_of(&model->content));
    }
    return leave("size", &model->content, status);
}

static void remember(struct sim *sim, struct sim_instance *instance) {
    if (sim->instance_count == MOST_INSTANCES) {
        sim_fail(sim, "backend", "more than %u instances", MOST_INSTANCES);
        return;
    }
    sim->instances[sim->instance_count++] = instance;
}

static void forget(struct sim *sim, const struct sim_instance *instance) {
    uint32_t i = 0;
    while (i < sim->instance_count && sim->instances[i] != instance) {
        i++;
    }
    if (i == sim->instance_count) {
        sim_fail(sim, "backend", "detach of what is not attached");
        return;
    }
    sim->instances[i] = sim->instances[--sim->instance_count];
}

static mm_status wait_for_groups(struct sim_instance *instance, uint32_t groups) {
    const mm_region *region = &instance->region;
    for (uint32_t group = 0; group < groups && group < instance->content.groups; group++) {
        MMI_TRY(region->wait(region->ctx, group));
    }
    instance->whole = groups >= instance->content.groups;
    return MM_OK;
}

static mm_status slot_attach(void *model_, void *instance_, const mm_device *device,
                             const mm_region *region, mm_error *err) {
    (void)device;
    struct sim *sim = the_sim;
    struct sim_model *model = model_;
    struct sim_instance *instance = instance_;
    const struct content *content = &model->content;
    if (!model->open || instance->model) {
        sim_fail(sim, "backend", "attach of m%u: %s", model_of(content),
                 model->open ? "again" : "it is closed");
    }
    instance->model = model;
    instance->content = *content;
    instance->region = *region;
    instance->attaching = true;
    remember(sim, instance);
    bool late;
    mm_status status = enter("attach", POINT_ATTACH, content, &late, err);
    /* Every other content serves before all its groups are there. */
    bool all = content->id % 2 == 0;
    if (status == MM_OK || late) {
        mm_status arrived = wait_for_groups(instance, all ? content->groups : 1);
        status = status == MM_OK ? arrived : status;
    }
    if (status == MM_OK && instance->whole && !intact(content, region->base)) {
        sim_fail(sim, "weights", "attach of m%u: not its weights", model_of(content));
    }
    instance->attaching = false;
    instance->attached = status == MM_OK;
    instance->attached_step = sim->step;
    return leave("attach", content, status);
}

static void slot_detach(void *instance_) {
    struct sim *sim = the_sim;
    struct sim_instance *instance = instance_;
    if (!instance->model) {
        return;
    }
    struct content content = instance->content;
    bool late;
    mm_error err;
    if (instance->running > 0 || instance->attaching) {
        sim_fail(sim, "detach", "m%u is detached while %s", model_of(&content),
                 instance->attaching ? "it is attached" : "it runs");
    }
    instance->attached = false;
    enter("detach", POINT_DETACH, &content, &late, &err);
    if (instance->running > 0) {
        sim_fail(sim, "detach", "m%u runs while it is detached", model_of(&content));
    }
    if (content.weights_bytes > 0 && instance->whole && !intact(&content, instance->region.base)) {
        sim_fail(sim, "weights", "detach of m%u: not its weights", model_of(&content));
    }
    forget(sim, instance);
    leave("detach", &content, MM_OK);
}

static uint64_t slot_own_bytes(void *instance_) {
    const struct sim_instance *instance = instance_;
    return instance->content.own_bytes;
}

/* ---- Infer ----------------------------------------------------------------------------------- */

/* A model of the nested kind asks the next one on its way. */
static mm_status ask_next(struct sim *sim, const struct content *content, mm_error *err) {
    uint32_t next = (model_of(content) + 1) % sim->scenario->model_count;
    const struct registration *registration = sim->current_of[next];
    if (next == model_of(content) || !registration || !registration->registered ||
        sim->current->slot_depth > 3) {
        return MM_OK;
    }
    float x[4] = {0};
    mm_value input = {.name = "x",
                      .dtype = MM_F32,
                      .rank = 2,
                      .shape = {1, 1},
                      .data = x,
                      .bytes = sizeof(float)};
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &input;
    request.input_count = 1;
    request.deadline_ns = chance_percent(&sim->chance, 50) ? MM_NO_WAIT : 0;
    mm_response response = MM_RESPONSE_INIT;
    mm_error error;
    mm_status status = mm_infer(sim->mesh, registration->handle, &request, &response, &error);
    story(sim, "m%u asks m%u: %s", model_of(content), next, mm_status_name(status));
    mm_response_free(&response);
    (void)err;
    return MM_OK; /* it can do without */
}

static void check_run(struct sim *sim, const struct sim_instance *instance) {
    const struct content *content = &instance->content;
    uint32_t limit = sim->scenario->models[model_of(content)].max_concurrency;
    if (!instance->attached || !instance->model->open) {
        sim_fail(sim, "detach", "m%u runs, and is not attached", model_of(content));
    }
    if (instance->running > 1 && (content->flags & CONTENT_SERIAL)) {
        sim_fail(sim, "turns", "m%u is serial, and %u run", model_of(content), instance->running);
    }
    if (limit > 0 && instance->running > limit) {
        sim_fail(sim, "turns", "m%u: %u run, %u may", model_of(content), instance->running, limit);
    }
}

static bool mark_scratch(const mm_exec *exec, bool check) {
    for (uint64_t at = 0; at + sizeof(exec) <= exec->scratch_bytes; at += 16 * PAGE_BYTES) {
        char *to = (char *)exec->scratch + at;
        if (check && memcmp(to, &exec, sizeof(exec)) != 0) {
            return false;
        }
        memcpy(to, &exec, sizeof(exec));
    }
    return true;
}

static void put(mm_value *output, const int64_t *values, size_t count) {
    if (!(output->flags & MM_VALUE_UNWANTED)) {
        memcpy(output->data, values, count * sizeof(*values));
    }
}

static mm_status answer(struct sim *sim, struct sim_instance *instance, mm_exec *exec,
                        const mm_value *inputs, mm_value *outputs, mm_error *err) {
    const struct content *content = &instance->content;
    if (content->more_bytes > 0 && !exec->scratch_more(exec, content->more_bytes)) {
        return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS, "no room for more scratch");
    }
    if (sim->scenario->models[model_of(content)].flavor == FLAVOR_NESTED) {
        MMI_TRY(ask_next(sim, content, err));
    }
    mm_status arrived = wait_for_groups(instance, content->groups);
    if (arrived != MM_OK) {
        return mmi_fail(err, arrived, "its weights did not arrive");
    }
    check_run(sim, instance);
    int64_t z[2] = {content->id,
                    content->weights_bytes == 0 || intact(content, instance->region.base)};
    const struct call *call = values_call(sim, &inputs[0]);
    int64_t y = call ? (int64_t)call->index : -1;
    put(&outputs[0], z, 2);
    put(&outputs[1], &y, 1);
    if (!mark_scratch(exec, true)) {
        sim_fail(sim, "scratch", "m%u: somebody else used its scratch", model_of(content));
    }
    return MM_OK;
}

static mm_status slot_infer(void *instance_, mm_exec *exec, const mm_value *inputs,
                            mm_value *outputs, mm_error *err) {
    struct sim *sim = the_sim;
    struct sim_instance *instance = instance_;
    const struct content *content = &instance->content;
    struct call *call = values_call(sim, &inputs[0]);
    struct sim_signature asked = signature_of(content, inputs);
    if (memcmp(&asked, exec->signature, sizeof(asked)) != 0) {
        sim_fail(sim, "values", "m%u runs with the signature of another request",
                 model_of(content));
    }
    instance->running++;
    check_run(sim, instance);
    mark_scratch(exec, false);
    if (call) {
        check_overtaken(sim, call);
        call->in_slot = true;
    }
    bool late;
    mm_status status = enter("infer", POINT_INFER, content, &late, err);
    if (status == MM_OK || late) {
        mm_error own;
        mm_status worked = answer(sim, instance, exec, inputs, outputs, &own);
        if (status == MM_OK && worked != MM_OK) {
            status = mmi_error_copy(err, &own);
        }
    }
    instance->running--;
    if (call) {
        call->in_slot = false;
        call->ran = status == MM_OK;
    }
    return leave("infer", content, status);
}

/* ---- The tables ------------------------------------------------------------------------------ */

bool backend_holds(const struct sim *sim, uint32_t model, uint64_t before_step) {
    for (uint32_t i = 0; i < sim->instance_count; i++) {
        const struct sim_instance *instance = sim->instances[i];
        if (instance->attached && model_of(&instance->content) == model &&
            instance->attached_step < before_step) {
            return true;
        }
    }
    return false;
}

uint32_t backend_attached(const struct sim *sim, uint32_t model) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim->instance_count; i++) {
        const struct sim_instance *instance = sim->instances[i];
        count += instance->attached && model_of(&instance->content) == model;
    }
    return count;
}

static const mm_format formats[] = {
    {"sim", "1", ".sim", "simplain", 8, 0},
    {"sim-own", "1", ".simown", "simown__", 8, 0},
    {"sim-nested", "1", ".simnest", "simnest_", 8, 0},
};

#define TABLE(text, which)                                                                         \
    .struct_size = sizeof(mm_backend), .abi_major = MM_BACKEND_ABI_MAJOR,                          \
    .abi_minor = MM_BACKEND_ABI_MINOR, .name = text, .version = "1", .formats = &formats[which],   \
    .format_count = 1, .device_kinds = MM_DEVICE_HOST | MM_DEVICE_SIM,                             \
    .state_bytes = sizeof(struct sim_state), .model_bytes = sizeof(struct sim_model),              \
    .signature_bytes = sizeof(struct sim_signature),                                               \
    .instance_bytes = sizeof(struct sim_instance), .init = slot_init, .fini = slot_fini,           \
    .prepare = slot_prepare, .open = slot_open, .close = slot_close, .size = slot_size,            \
    .attach = slot_attach, .detach = slot_detach, .infer = slot_infer

const mm_backend backend_plain = {TABLE("sim", 0)};
const mm_backend backend_own = {TABLE("sim-own", 1), .flags = MM_BACKEND_OWN_MEMORY,
                                .own_bytes = slot_own_bytes};
const mm_backend backend_nested = {TABLE("sim-nested", 2), .flags = MM_BACKEND_NESTED};
