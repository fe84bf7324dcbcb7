/* SPDX-License-Identifier: Apache-2.0 */
/* What goes into a model and what comes out, and where it lies.
 *
 *   x f32 [1, elements]   the number of the call first, then what follows from it
 *   n i64 [any], optional shape input, of some models: rising from its first element
 *   z i64 [2]             the content that answered; 1 when all its weights were right
 *   y i64 [1]             the number of the call */
#include "sim.h"

#include <device/sim.h>

#include <string.h>

#define PLACE_BYTES (MOST_ACTS * SLOT_BYTES)
#define SLOT_BYTES UINT64_C(256) /* of a call: x, then z, then y */
#define Z_AT 64u
#define Y_AT 128u
#define JUDGING_NS UINT64_C(1000000) /* between two looks */

const char *const values_wanted[WANTEDS][2] = {
    [WANTED_ALL] = {"z", "y"}, [WANTED_Z] = {"z"}, [WANTED_Y] = {"y"}, [WANTED_Y_Z] = {"y", "z"}};
const uint32_t values_wanted_count[WANTEDS] = {2, 1, 1, 2};

struct call *values_call(struct sim *sim, const mm_value *input) {
    float number;
    memcpy(&number, input->data, sizeof(number));
    if (number < 1) {
        return NULL; /* of no call */
    }
    struct call *call = &sim->calls[(uint32_t)number - 1];
    if (input->bytes > sizeof(call->x) || memcmp(input->data, call->x, input->bytes) != 0) {
        sim_fail(sim, "values", "call %u: other elements than it gave", call->index);
    }
    return call;
}

/* ---- On a device ----------------------------------------------------------------------------- */

static bool wants_place(const struct scenario *s) {
    bool wants = false;
    for (uint32_t i = 0; i < s->act_count; i++) {
        wants |= !s->acts[i].off && (s->acts[i].located_in || s->acts[i].located_out);
    }
    return wants;
}

void values_begin_mesh(struct sim *sim) {
    const struct scenario *s = sim->scenario;
    struct mmi_residency *res = &sim->mesh->res;
    uint32_t i = 0;
    while (i < s->device_count && !s->devices[i].sim) {
        i++;
    }
    if (i == s->device_count || !wants_place(s)) {
        return;
    }
    struct mmi_device *device = res->devices[i].device;
    mmi_lock(&res->lock);
    bool taken = mmi_arena_take(device->arena, PLACE_BYTES, &sim->place_block) == MMI_TAKE_OK;
    res->devices[i].peak_bytes = mmi_arena_used(device->arena);
    mmi_unlock(&res->lock);
    if (taken && device->ops->map(device, &sim->place_block, &sim->place_region, NULL) == MM_OK) {
        sim->place = device;
    } else if (taken) {
        mmi_lock(&res->lock);
        mmi_arena_give(device->arena, &sim->place_block);
        mmi_unlock(&res->lock);
    }
}

void values_end_mesh(struct sim *sim) {
    if (sim->place) {
        sim->place->ops->unmap(&sim->place_region);
        mmi_lock(&sim->mesh->res.lock);
        mmi_arena_give(sim->place->arena, &sim->place_block);
        mmi_unlock(&sim->mesh->res.lock);
        sim->place = NULL;
    }
}

static char *slot_of(const struct sim *sim, const struct call *call) {
    return (char *)sim->place_region.base + call->index * SLOT_BYTES;
}

static uint32_t location_of(const struct sim *sim) {
    uint32_t i = 0;
    while (sim->mesh->res.devices[i].device != sim->place) {
        i++;
    }
    return MM_ON_DEVICE(i);
}

/* Put on the call's stream, and not waited for. When the device fails, values lie on the host. */
static void locate(struct sim *sim, struct call *call) {
    const struct mmi_device_ops *ops = sim->place->ops;
    mm_value *x = &call->inputs[0];
    if (ops->stream_open(sim->place, &call->stream, NULL) != MM_OK) {
        call->stream = NULL;
        return;
    }
    call->request.stream = call->stream;
    call->request.stream_location = location_of(sim);
    if (call->act->located_in && ops->copy_in(sim->place, call->stream, slot_of(sim, call), x->data,
                                              x->bytes, NULL) == MM_OK) {
        x->data = slot_of(sim, call);
        x->flags = location_of(sim);
    }
    for (uint32_t i = 0; i < call->response.output_capacity && call->act->located_out; i++) {
        bool z = values_wanted[call->wanted][i][0] == 'z';
        call->outputs[i].data = slot_of(sim, call) + (z ? Z_AT : Y_AT);
        call->outputs[i].flags = location_of(sim);
    }
}

static bool fetch(struct sim *sim, struct call *call, const mm_value *output, int64_t *to) {
    const struct mmi_device_ops *ops = sim->place->ops;
    mm_device_event over;
    sim->current->own_work++;
    bool fetched =
        ops->copy_out(sim->place, call->stream, to, output->data, output->bytes, NULL) == MM_OK &&
        ops->record(sim->place, call->stream, &over, NULL) == MM_OK &&
        ops->wait(sim->place, &over, NULL) == MM_OK;
    sim->current->own_work--;
    return fetched;
}

bool values_waits(const struct sim *sim, const struct sim_thread *thread) {
    for (uint32_t i = 0; i < sim->scenario->device_count; i++) {
        const struct mmi_sim *impl =
            sim->scenario->devices[i].sim ? sim->mesh->res.devices[i].device->impl : NULL;
        if (impl && thread->state == THREAD_WAITING && thread->cond == &impl->changed) {
            return true;
        }
    }
    return false;
}

/* ---- Requests -------------------------------------------------------------------------------- */

static bool is_shaped(const struct call *call) {
    const struct sim *sim = call->thread->sim;
    return sim->scenario->models[call->registration->model].contents[0].flags & CONTENT_SHAPED;
}

/* Bound ones have no inputs left out. */
static uint32_t shape_elements(const struct call *call) {
    uint32_t least = call->binding ? 1 : 0;
    return call->act->shape_elements > least ? call->act->shape_elements : least;
}

uint32_t values_names(const struct call *call, const char *names[2]) {
    names[0] = "x";
    names[1] = "n";
    return is_shaped(call) ? 2 : 1;
}

static void make_inputs(struct call *call) {
    const struct act *act = call->act;
    for (uint32_t i = 0; i < 4; i++) {
        call->x[i] = (float)(call->index + 1 + i * 100);
    }
    for (uint32_t i = 0; i < MOST_SHAPE_ELEMENTS; i++) {
        call->n[i] = (int64_t)(act->number % 4 + i);
    }
    call->inputs[0] = (mm_value){.name = "x",
                                 .dtype = MM_F32,
                                 .rank = 2,
                                 .shape = {1, act->elements},
                                 .data = call->x,
                                 .bytes = act->elements * sizeof(float)};
    call->inputs[1] = (mm_value){.name = "n",
                                 .dtype = MM_I64,
                                 .rank = 1,
                                 .shape = {shape_elements(call)},
                                 .data = call->n,
                                 .bytes = shape_elements(call) * sizeof(int64_t)};
}

static void make_response(struct call *call) {
    uint32_t count = values_wanted_count[call->wanted];
    call->response = (mm_response)MM_RESPONSE_INIT;
    if (call->act->buffers == BUFFERS_OWNED && !call->act->located_out) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        bool z = values_wanted[call->wanted][i][0] == 'z';
        bool small = call->act->buffers == BUFFERS_SMALL;
        call->outputs[i] = (mm_value){.data = call->room[i],
                                      .bytes = (z ? 2 : 1) * sizeof(int64_t) - (small ? 1 : 0)};
    }
    call->response.outputs = call->outputs;
    call->response.output_capacity = count;
}

void values_request(struct sim *sim, struct call *call) {
    const struct act *act = call->act;
    call->wanted = call->binding ? call->wanted : act->wanted;
    make_inputs(call);
    make_response(call);
    call->request = (mm_request)MM_REQUEST_INIT;
    call->request.inputs = call->inputs;
    call->request.input_count = is_shaped(call) && shape_elements(call) > 0 ? 2 : 1;
    if (!call->binding && call->wanted != WANTED_ALL) {
        call->request.outputs = values_wanted[call->wanted];
        call->request.output_count = values_wanted_count[call->wanted];
    }
    call->request.priority = act->priority;
    call->request.deadline_ns = call->deadline_ns;
    call->request.binding = call->binding;
    bool located =
        act->kind == ACT_INFER || (act->kind == ACT_INFER_ASYNC && act->after != AFTER_DROP);
    if (sim->place && located && (act->located_in || act->located_out)) {
        call->may_wait = true;
        locate(sim, call);
    }
    call->oldest_life = judge_oldest_life(call->registration, sim->step);
}

bool values_answer(struct sim *sim, struct call *call, const int64_t **z, const int64_t **y) {
    *z = *y = NULL;
    uint32_t count = values_wanted_count[call->wanted];
    if (call->response.output_count != count) {
        sim_fail(sim, "answer", "call %u: %u outputs, %u are wanted", call->index,
                 call->response.output_count, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        const mm_value *output = &call->response.outputs[i];
        bool is_z = values_wanted[call->wanted][i][0] == 'z';
        const int64_t *at = output->data;
        if (output->bytes != (is_z ? 2 : 1) * sizeof(int64_t)) {
            sim_fail(sim, "answer", "call %u: output %u has %llu bytes", call->index, i,
                     (unsigned long long)output->bytes);
        }
        if (output->flags & MM_VALUE_LOCATION) {
            at = call->room[i];
            if (!fetch(sim, call, output, call->room[i])) {
                return false;
            }
        }
        *(is_z ? z : y) = at;
    }
    return true;
}

void values_end(struct sim *sim, struct call *call) {
    while (call->judging) {
        schedule_sleep(sim, JUDGING_NS);
    }
    mm_response_free(&call->response);
    if (call->stream) {
        call->may_wait = true;
        sim->place->ops->stream_close(sim->place, call->stream);
        call->stream = NULL;
    }
}
