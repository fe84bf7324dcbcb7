/* SPDX-License-Identifier: Apache-2.0 */
/* May a call end so, and is the answer right? */
#include "sim.h"

#include <string.h>

/* ---- Whose answer ---------------------------------------------------------------------------- */

static bool overlap(const struct life *a, const struct life *b) {
    return (!a->ended || b->begun_step <= a->ended_step) &&
           (!b->ended || a->begun_step <= b->ended_step);
}

/* The last update that worked before that step, and beside which there was no other: what came
 * before it no longer answers. */
uint32_t judge_oldest_life(const struct registration *registration, uint64_t step) {
    for (uint32_t k = registration->life_count; k-- > 1;) {
        const struct life *life = &registration->lives[k];
        bool alone = life->worked && life->ended_step < step;
        for (uint32_t j = 1; j < registration->life_count && alone; j++) {
            alone = j == k || !overlap(life, &registration->lives[j]);
        }
        if (alone) {
            return k;
        }
    }
    return 0;
}

/* Of a file: whatever it was since the update, or the registration. */
static bool is_of(const struct life *life, uint32_t model, uint32_t content) {
    if (life->content != 0) {
        return life->content == content;
    }
    uint32_t number = (content - 1) % MOST_CONTENTS;
    return (content - 1) / MOST_CONTENTS == model && (life->numbers & 1u << number);
}

static bool may_answer(const struct call *call, uint32_t content) {
    const struct registration *registration = call->registration;
    for (uint32_t k = call->oldest_life; k < registration->life_count; k++) {
        const struct life *life = &registration->lives[k];
        if (is_of(life, registration->model, content) && !life->failed) {
            return true;
        }
    }
    return false;
}

/* A version is its content: without an update it stays the same, whatever becomes of the file. */
static void check_served(struct sim *sim, const struct call *call, uint32_t content) {
    struct registration *registration = call->registration;
    if (registration->life_count > 1 || registration->lives[0].content != 0) {
        return;
    }
    if (registration->served && registration->served != content) {
        sim_fail(sim, "answer", "call %u: m%u.%u answers, it was m%u.%u before", call->index,
                 registration->model, (content - 1) % MOST_CONTENTS, registration->model,
                 (registration->served - 1) % MOST_CONTENTS);
    }
    registration->served = content;
}

static void check_answer(struct sim *sim, struct call *call) {
    const int64_t *z, *y;
    if (!values_answer(sim, call, &z, &y)) {
        return;
    }
    if (y && y[0] != call->index) {
        sim_fail(sim, "answer", "call %u: the answer of call %lld", call->index, (long long)y[0]);
    }
    if (z && z[1] == 1) {
        check_served(sim, call, (uint32_t)z[0]);
    }
    if (z && (z[1] != 1 || !may_answer(call, (uint32_t)z[0]))) {
        uint32_t content = (uint32_t)z[0] - 1;
        sim_fail(sim, "answer", "call %u: m%u is asked, m%u.%u answers%s", call->index,
                 call->registration->model, content / MOST_CONTENTS, content % MOST_CONTENTS,
                 z[1] == 1 ? "" : ", on other weights");
    }
    sim->answers++;
}

void judge_dropped(struct sim *sim, struct call *call) {
    check_answer(sim, call);
}

/* ---- How it ended ---------------------------------------------------------------------------- */

static bool bounded(const struct sim *sim, const struct call *call) {
    return call->deadline_ns > MM_NO_WAIT && sim->now_ns >= call->deadline_ns;
}

static uint64_t pages(uint64_t bytes) {
    return (bytes + 4095) / 4096 * 4096;
}

/* Whatever it points to, it has room on any device, if there is nobody else. */
static bool fits_anywhere(const struct sim *sim, uint32_t model) {
    const uint64_t least_bytes = UINT64_C(2) << 20; /* of a budget */
    bool fits = !sim->lost_device && !sim->faulted;
    for (uint32_t i = 0; i < sim->scenario->device_count; i++) {
        fits &= !sim->scenario->devices[i].sim;
    }
    for (uint32_t i = 0; i < MOST_CONTENTS; i++) {
        const struct content *content = &sim->scenario->models[model].contents[i];
        uint64_t weights = content->own_bytes > content->weights_bytes ? content->own_bytes
                                                                       : content->weights_bytes;
        fits &= pages(weights) + pages(4 * content->activation_bytes + 4096) +
                    pages(content->more_bytes) <=
                least_bytes;
    }
    return fits;
}

/* Is there anybody who may be pinned, or of another class? */
static bool some_stay(const struct sim *sim) {
    const struct scenario *s = sim->scenario;
    if (sim->place) {
        return true; /* the memory of the values does */
    }
    for (uint32_t m = 0; m < s->model_count; m++) {
        if (scenario_uses(s, m) && (s->models[m].pinned || s->models[m].evict_class)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < s->act_count; i++) {
        if (!s->acts[i].off && (s->acts[i].kind == ACT_PIN || s->acts[i].kind == ACT_CLASS)) {
            return true;
        }
    }
    return false;
}

/* Less memory for prepared models than they may need. */
static bool small_store(const struct sim *sim) {
    return sim->scenario->artifact_budget_bytes < UINT64_C(16) << 20;
}

/* What comes of a file that changes. */
static bool of_store(const struct sim *sim, const struct call *call, mm_status status) {
    uint32_t model = call->act->model;
    switch (status) {
    case MM_INVALID_MODEL:
    case MM_NOT_FOUND:
    case MM_SOURCE_CHANGED:
        return sim->scenario->models[model].file && sim->file_changes[model] > 0;
    default: /* a small budget for prepared models refuses nobody */
        return false;
    }
}

static bool expected(const struct sim *sim, const struct call *call, mm_status status) {
    enum act_kind kind = call->act->kind;
    const struct registration *registration = call->registration;
    bool at_once = call->deadline_ns == MM_NO_WAIT;
    switch (status) {
    case MM_OK:
        return true;
    case MM_DEADLINE:
        return bounded(sim, call);
    case MM_NOT_RESIDENT:
        return at_once;
    case MM_BUSY:
        return at_once || kind == ACT_BUDGET;
    case MM_STALE_HANDLE:
    case MM_UNREGISTERED:
        return registration && registration->leaving;
    case MM_CLOSED:
        return sim->closing;
    case MM_OVERLOADED:
        return sim->scenario->max_queued > 0 ||
               sim->scenario->models[call->act->model].max_queued > 0;
    case MM_TOO_LARGE: /* an update needs room for both */
        return kind == ACT_UPDATE || small_store(sim) ||
               ((kind < ACT_UPDATE || kind == ACT_BIND) && !fits_anywhere(sim, call->act->model));
    case MM_ALL_PINNED:
        return (kind <= ACT_UPDATE || kind == ACT_BIND) && some_stay(sim);
    case MM_NO_ROOM_FOR_ACTIVATIONS:
        return kind <= ACT_UPDATE || kind == ACT_BIND;
    case MM_CANCELLED: /* an update gives way to the next one */
        return call->cancelled || (kind == ACT_UPDATE && registration->life_count > 2);
    case MM_PINNED:
        return kind == ACT_EVICT;
    case MM_DEVICE_LOST:
        return sim->lost_device;
    case MM_UNSUPPORTED:
        return sim->scenario->no_threads && call->act->async;
    case MM_BUFFER_TOO_SMALL:
        return call->act->buffers == BUFFERS_SMALL;
    default:
        return of_store(sim, call, status);
    }
}

static void judge_infer(struct sim *sim, struct call *call, mm_status status) {
    if (status == MM_OK) {
        check_answer(sim, call);
        if (call->act->buffers == BUFFERS_SMALL) {
            sim_fail(sim, "answer", "call %u: its buffers were too small", call->index);
        }
    } else if (call->response.owned) {
        sim_fail(sim, "answer", "call %u failed, and its response owns memory", call->index);
    }
}

/* One that was cancelled never serves; one that gave way may have served meanwhile. */
static void judge_update(struct sim *sim, struct call *call, mm_status status, const char *text) {
    struct life *life = &call->registration->lives[call->life];
    bool gave_way = status == MM_CANCELLED && strstr(text, "another update took the place");
    bool open =
        gave_way || status == MM_DEADLINE || status == MM_CLOSED || status == MM_UNREGISTERED;
    life->ended = true;
    life->ended_step = sim->step;
    life->worked = status == MM_OK;
    life->failed = status != MM_OK && !open;
}

/* Its name never had another registration or content: what is attached under it is what it is. */
static bool only_life(const struct sim *sim, const struct registration *registration) {
    for (uint32_t i = 0; i < sim->registration_count; i++) {
        const struct registration *other = &sim->registrations[i];
        if (other != registration && other->model == registration->model) {
            return false;
        }
    }
    return registration->life_count == 1 && !registration->leaving;
}

void judge(struct sim *sim, struct call *call, mm_status status, const mm_error *error) {
    enum act_kind kind = call->act->kind;
    const char *text = error && status != MM_OK ? error->text : "";
    story(sim, "call %u: -> %s %s", call->index, mm_status_name(status), text);
    call->judged = true;
    call->status = status;
    if (!expected(sim, call, status) && !faults_explain(sim, status)) {
        sim_fail(sim, "status", "call %u (%s) ended %s, and nothing explains it: %s", call->index,
                 act_name(kind), mm_status_name(status), text);
    }
    if (error && status != MM_OK && error->status != (int32_t)status) {
        sim_fail(sim, "status", "call %u ended %s, its error says %s", call->index,
                 mm_status_name(status), mm_status_name((mm_status)error->status));
    }
    if (kind == ACT_INFER || kind == ACT_INFER_ASYNC || (kind == ACT_BIND && call->binding)) {
        judge_infer(sim, call, status);
    } else if (kind == ACT_UPDATE) {
        judge_update(sim, call, status, text);
    } else if (kind == ACT_EVICT && status == MM_OK && call->surely_pinned &&
               call->registration->surely_pinned) {
        sim_fail(sim, "evict", "call %u: m%u is evicted, and pinned", call->index,
                 call->registration->model);
    } else if (kind == ACT_EVICT && status == MM_OK && only_life(sim, call->registration) &&
               backend_holds(sim, call->registration->model, call->begun_step)) {
        sim_fail(sim, "evict", "call %u: m%u is evicted, and still attached", call->index,
                 call->registration->model);
    }
}
