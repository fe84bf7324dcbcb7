/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <modelmesh/types.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1) << 20)
#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)

/* ---- Chance ---------------------------------------------------------------------------------- */

uint64_t chance_next(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t chance_below(uint64_t *state, uint64_t limit) {
    return chance_next(state) % limit;
}

bool chance_percent(uint64_t *state, unsigned percent) {
    return chance_below(state, 100) < percent;
}

uint64_t chance_between(uint64_t *state, uint64_t least, uint64_t most) {
    uint64_t top = least;
    while (top < most && chance_percent(state, 75)) {
        top *= 2;
    }
    top = top < most ? top : most;
    return least + chance_below(state, top - least + 1);
}

static uint64_t one_of(uint64_t *chance, const uint64_t *list, uint64_t count) {
    return list[chance_below(chance, count)];
}
#define ONE_OF(chance, ...)                                                                        \
    one_of(chance, (const uint64_t[]){__VA_ARGS__},                                                \
           sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

/* ---- Models ---------------------------------------------------------------------------------- */

/* Memory is dear to move: large ones are mostly of the kind that only says how large it is. */
static void make_content(uint64_t *chance, const struct model_plan *model, uint32_t id,
                         struct content *content) {
    *content = (struct content){.magic = CONTENT_MAGIC, .id = id, .groups = 1};
    if (model->flavor == FLAVOR_OWN) {
        content->weights_bytes = ONE_OF(chance, 0, 0, 4 * KIB, 20 * KIB);
        content->own_bytes =
            ONE_OF(chance, 100 * KIB, 500 * KIB, 500 * KIB, 700 * KIB, 700 * KIB, 1100 * KIB);
        if (chance_percent(chance, 10)) {
            content->own_bytes = ONE_OF(chance, 1500 * KIB, 2100 * KIB);
        }
    } else {
        content->weights_bytes = ONE_OF(chance, 4 * KIB, 20 * KIB, 60 * KIB, 300 * KIB);
        if (chance_percent(chance, 15)) {
            content->weights_bytes = ONE_OF(chance, 700 * KIB, 700 * KIB, 1100 * KIB, 2100 * KIB);
        }
    }
    if (content->weights_bytes > 0) {
        uint64_t pages = content->weights_bytes / (4 * KIB);
        content->groups = 1 + (uint32_t)chance_below(chance, pages < 3 ? pages : 3);
    } else {
        content->groups = 0;
    }
    content->activation_bytes = ONE_OF(chance, 0, 0, 4 * KIB, 100 * KIB, 300 * KIB);
    content->more_bytes = chance_percent(chance, 15) ? ONE_OF(chance, 4 * KIB, 500 * KIB) : 0;
}

static void make_model(uint64_t *chance, struct scenario *s, uint32_t m) {
    struct model_plan *model = &s->models[m];
    model->flavor = (enum flavor)ONE_OF(chance, FLAVOR_PLAIN, FLAVOR_OWN, FLAVOR_OWN);
    if (chance_percent(chance, 8)) {
        model->flavor = FLAVOR_NESTED;
    }
    uint32_t flags = chance_percent(chance, 15) ? CONTENT_SERIAL : 0;
    flags |= chance_percent(chance, 20) ? CONTENT_SHAPED : 0;
    for (uint32_t i = 0; i < MOST_CONTENTS; i++) {
        make_content(chance, model, 1 + m * MOST_CONTENTS + i, &model->contents[i]);
        model->contents[i].flags = flags;
    }
    bool fixed = s->device_count > 1 && chance_percent(chance, 15);
    model->device = fixed ? (int)chance_below(chance, s->device_count) : -1;
    model->evict_class = chance_percent(chance, 30) ? (int32_t)chance_below(chance, 4) : 0;
    model->max_concurrency = chance_percent(chance, 20) ? 1 + (uint32_t)chance_below(chance, 2) : 0;
    model->max_queued = chance_percent(chance, 10) ? 1 + (uint32_t)chance_below(chance, 4) : 0;
    model->idle_ttl_ns = chance_percent(chance, 12) ? ONE_OF(chance, 1 * MS, 20 * MS) : 0;
    model->min_residency_ns = chance_percent(chance, 15) ? ONE_OF(chance, 1, 5 * MS, 90 * MS) : 0;
    model->pinned = chance_percent(chance, 8);
    model->preload = chance_percent(chance, 8);
    model->warm = chance_percent(chance, 15);
    unsigned copied = model->idle_ttl_ns ? 50 : 15; /* it is all copies that must be idle */
    model->replicas = chance_percent(chance, copied) ? 2 + (uint32_t)chance_below(chance, 2) : 0;
    model->min_replicas = (uint32_t)chance_below(chance, model->replicas + 1);
    /* The contents never change: what is tried is the look before each load. */
    model->source_changes = chance_percent(chance, 20) ? (int32_t)chance_below(chance, 4) : 0;
    if (s->no_threads) {
        model->idle_ttl_ns = 0;
        model->preload = false;
    }
    model->file = s->files && chance_percent(chance, 60);
}

/* ---- The mesh -------------------------------------------------------------------------------- */

static void make_delays(uint64_t *chance, struct device_plan *device) {
    device->in_ns_per_mib = ONE_OF(chance, 0, 100 * US, 50 * MS);
    device->out_ns_per_mib = ONE_OF(chance, 0, 10 * MS);
    device->latency_ns = ONE_OF(chance, 0, 10 * US, 5 * MS);
    device->load_delay_ns = ONE_OF(chance, 0, 0, 100 * MS);
}

/* What costs time: most seeds have none of it. */
static void make_store(uint64_t *chance, struct scenario *s) {
    s->files = chance_percent(chance, 9);
    s->cache = chance_percent(chance, 4);
    s->cache_budget_bytes = ONE_OF(chance, 0, 3 * MIB, 3 * MIB);
    s->artifact_budget_bytes = 128 * MIB;
    if (s->files && chance_percent(chance, 70)) { /* so that the file is read again */
        s->artifact_budget_bytes = ONE_OF(chance, 64 * KIB, 64 * KIB, 400 * KIB);
    } else if (chance_percent(chance, 8)) {
        s->artifact_budget_bytes = ONE_OF(chance, 400 * KIB, 2200 * KIB, 3 * MIB);
    }
}

static void make_mesh(uint64_t *chance, struct scenario *s) {
    s->device_count = (uint32_t)ONE_OF(chance, 1, 1, 2, 3);
    for (uint32_t i = 0; i < s->device_count; i++) {
        s->devices[i].sim = chance_percent(chance, 35);
        s->devices[i].budget_bytes = ONE_OF(chance, 2 * MIB, 2 * MIB, 3 * MIB, 6 * MIB);
        if (s->devices[i].sim && chance_percent(chance, 50)) {
            make_delays(chance, &s->devices[i]);
        }
    }
    s->located = chance_percent(chance, 20);
    for (uint32_t i = 0; i < s->device_count && s->located; i++) {
        s->devices[i].budget_bytes += s->devices[i].sim ? 2 * MIB : 0; /* for the values */
    }
    s->load_threads = 1 + (uint32_t)chance_below(chance, 2);
    s->infer_threads = 1 + (uint32_t)chance_below(chance, 3);
    s->prepare_threads = 1 + (uint32_t)chance_below(chance, 2);
    s->drain_grace_ns = ONE_OF(chance, 0, 1, 50 * MS);
    s->min_residency_ns = ONE_OF(chance, 0, 1, 1, 20 * MS);
    s->backoff_first_ns = ONE_OF(chance, 0, 1, 1 * MS, 5 * S);
    s->description_budget_bytes = ONE_OF(chance, 0, 0, 1, 4 * KIB);
    s->prepare_budget_bytes = ONE_OF(chance, 0, 1);
    s->max_queued = chance_percent(chance, 10) ? 2 + (uint32_t)chance_below(chance, 4) : 0;
    s->generation_bits = chance_percent(chance, 25) ? 2 : 0;
    s->idle_evict = chance_percent(chance, 25);
    s->no_threads = chance_percent(chance, 6);
    s->max_signatures = (uint32_t)ONE_OF(chance, 0, 0, 1, 3);
    make_store(chance, s);
}

static void make_schedule(uint64_t *chance, struct scenario *s) {
    s->schedule_seed = chance_next(chance);
    s->pause_one_in = (uint32_t)ONE_OF(chance, 0, 2, 8, 40);
    s->most_pauses = UINT64_MAX;
    s->slow_percent = (uint32_t)ONE_OF(chance, 0, 20, 60, 100);
    s->slow_ns = ONE_OF(chance, 100 * US, 10 * MS, 200 * MS);
    s->tick_one_in = (uint32_t)ONE_OF(chance, 0, 20, 200);
    s->by_priority = chance_percent(chance, 50);
    s->hold_one_in = (uint32_t)ONE_OF(chance, 0, 0, 10, 100);
    s->spurious = chance_percent(chance, 6); /* it hides a wake-up that was lost */
    s->crowd = (uint32_t)ONE_OF(chance, 2, 5, 12, 40);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

/* How often each comes, where it comes at all. */
static const struct {
    const char *name;
    unsigned weight;
    bool always;
} kinds[ACT_KINDS] = {
    [ACT_INFER] = {"infer", 30, true},
    [ACT_INFER_ASYNC] = {"infer_async", 20, false},
    [ACT_LOAD] = {"load", 8, false},
    [ACT_PREPARE] = {"prepare", 3, false},
    [ACT_EVICT] = {"evict", 12, false},
    [ACT_UPDATE] = {"update", 8, false},
    [ACT_UNREGISTER] = {"unregister", 6, false},
    [ACT_PIN] = {"pin", 3, false},
    [ACT_UNPIN] = {"unpin", 3, false},
    [ACT_CLASS] = {"set_class", 2, false},
    [ACT_BUDGET] = {"set_budget", 5, false},
    [ACT_PLAN] = {"plan_load", 2, false},
    [ACT_DESCRIBE] = {"describe", 3, false},
    [ACT_SIZES] = {"output_bytes", 3, false},
    [ACT_BIND] = {"bind", 4, false},
    [ACT_FILE] = {"change_file", 8, false},
    [ACT_LOOK] = {"look", 3, false},
    [ACT_CLOSE] = {"close", 1, false},
    [ACT_STOP] = {"stop", 1, false},
};

const char *act_name(enum act_kind kind) {
    return kinds[kind].name;
}

static enum act_kind pick_kind(uint64_t *chance, const bool *allowed) {
    unsigned sum = 0;
    for (unsigned k = 0; k < ACT_KINDS; k++) {
        sum += allowed[k] ? kinds[k].weight : 0;
    }
    unsigned at = (unsigned)chance_below(chance, sum);
    for (unsigned k = 0;; k++) {
        unsigned weight = allowed[k] ? kinds[k].weight : 0;
        if (at < weight) {
            return (enum act_kind)k;
        }
        at -= weight;
    }
}

static void make_values(uint64_t *chance, const struct scenario *s, struct act *act) {
    act->shape_elements = (uint32_t)ONE_OF(chance, 0, 1, 1, 8, 9, 12);
    act->wanted =
        (enum wanted)ONE_OF(chance, WANTED_ALL, WANTED_ALL, WANTED_Z, WANTED_Y, WANTED_Y_Z);
    act->buffers = (enum buffers)ONE_OF(chance, BUFFERS_OWNED, BUFFERS_OWNED, BUFFERS_MINE);
    if (chance_percent(chance, 4)) {
        act->buffers = BUFFERS_SMALL;
    }
    act->located_in = s->located && chance_percent(chance, 40);
    act->located_out = s->located && chance_percent(chance, 40);
    act->keeps = chance_percent(chance, 60);
}

static void make_act(uint64_t *chance, const struct scenario *s, const bool *allowed,
                     struct act *act) {
    act->kind = pick_kind(chance, allowed);
    uint64_t first = chance_below(chance, s->model_count); /* some are popular */
    act->model = (uint32_t)(chance_percent(chance, 50) ? first : first / 2);
    act->async = act->kind == ACT_INFER_ASYNC || chance_percent(chance, 50);
    act->callback = chance_percent(chance, 50);
    act->callback_frees = chance_percent(chance, 30);
    act->retry = chance_percent(chance, 30);
    act->replace = chance_percent(chance, 40);
    act->after = (enum after)chance_below(chance, AFTERS);
    act->callback |= act->after == AFTER_FREE;
    act->callback_frees &= act->after == AFTER_FREE;
    static const uint64_t deadlines[] = {DEADLINE_NONE, DEADLINE_NONE, DEADLINE_NONE,
                                         DEADLINE_NONE, DEADLINE_SOON, DEADLINE_SOON,
                                         DEADLINE_FAR,  DEADLINE_FAR,  DEADLINE_AT_ONCE};
    act->deadline = (enum deadline)one_of(chance, deadlines, 9);
    if (chance_percent(chance, 3)) {
        act->deadline = DEADLINE_PAST;
    }
    act->delay_ns = chance_between(chance, 10 * US, 100 * MS);
    act->priority = chance_percent(chance, 25) ? (int32_t)chance_below(chance, 3) - 1 : 0;
    act->elements = (uint32_t)ONE_OF(chance, 1, 1, 2, 4);
    act->number = (uint32_t)chance_below(chance, 12);
    make_values(chance, s, act);
    act->tells = chance_percent(chance, 50);
    act->sparse = chance_percent(chance, 30);
    act->reset = chance_percent(chance, 30);
    act->frees = chance_percent(chance, 50);
    act->change = (enum file_change)ONE_OF(chance, FILE_REPLACED, FILE_REPLACED, FILE_IN_PLACE,
                                           FILE_IN_PLACE, FILE_TRUNCATED, FILE_REMOVED);
    act->bytes = ONE_OF(chance, 2 * MIB, 2 * MIB, 3 * MIB, 4 * MIB, 8 * MIB);
}

/* Crowds: all models want the same little memory, one most of it, for as long as runs take; many
 * give up. Nothing fails. */
static void make_crowded(uint64_t *chance, struct scenario *s) {
    s->files = s->cache = s->located = false;
    s->artifact_budget_bytes = 128 * MIB;
    s->device_count = 1;
    s->devices[0] = (struct device_plan){.budget_bytes = 2 * MIB};
    for (uint32_t m = 0; m < s->model_count; m++) {
        struct model_plan *model = &s->models[m];
        model->file = false;
        model->device = -1;
        for (uint32_t i = 0; i < MOST_CONTENTS; i++) {
            struct content *content = &model->contents[i];
            uint64_t bytes = m == 0 ? ONE_OF(chance, 1100 * KIB, 1500 * KIB)
                                    : ONE_OF(chance, 500 * KIB, 700 * KIB, 700 * KIB, 1100 * KIB);
            content->own_bytes = model->flavor == FLAVOR_OWN ? bytes : content->own_bytes;
        }
    }
    s->slow_percent = 100;
    s->drain_grace_ns = 1;
    for (uint32_t i = 0; i < s->act_count; i++) {
        if (chance_percent(chance, 40)) {
            s->acts[i].deadline = DEADLINE_SOON;
        }
    }
}

/* ... and those that ask much and are stopped in the middle of it, or as soon as something began,
 * ... */
static void make_stopped(uint64_t *chance, struct scenario *s) {
    uint32_t at = s->act_count / 2 + (uint32_t)chance_below(chance, s->act_count / 2);
    if (chance_percent(chance, 50)) {
        at = 1 + (uint32_t)chance_below(chance, 2);
        s->act_count = at + 1;
        s->pause_one_in = 1 + (uint32_t)chance_below(chance, 3);
    }
    for (uint32_t i = at > 6 ? at - 6 : 0; i < at + 6 && i < s->act_count; i++) {
        s->acts[i].kind = ACT_INFER_ASYNC;
        s->acts[i].async = s->acts[i].callback = true;
        s->acts[i].model %= 2;
    }
    s->acts[at].kind = ACT_STOP;
    s->acts[at].deadline = DEADLINE_NONE;
    s->crowd = 40;
}

/* ... or in which models are asked what they are, also those that rest evicted because whoever
 * wanted their memory gave up. */
static void make_asked(uint64_t *chance, struct scenario *s) {
    static const uint64_t questions[] = {ACT_DESCRIBE, ACT_SIZES, ACT_PREPARE};
    s->idle_evict = false;
    s->slow_ns = 200 * MS;
    s->crowd = 5;
    for (uint32_t m = 0; m < s->model_count; m++) {
        struct model_plan *model = &s->models[m];
        model->flavor = model->flavor == FLAVOR_NESTED ? FLAVOR_PLAIN : model->flavor;
        model->preload = false;
    }
    for (uint32_t i = 0; i < s->act_count; i++) {
        enum act_kind *kind = &s->acts[i].kind;
        enum after *after = &s->acts[i].after;
        *after = *after == AFTER_DROP ? AFTER_WAIT : *after;
        if (chance_percent(chance, 40)) {
            *kind = (enum act_kind)one_of(chance, questions, 3);
        } else if (*kind == ACT_UPDATE || *kind == ACT_PIN) {
            *kind = ACT_INFER;
        }
    }
}

/* ---- Faults ---------------------------------------------------------------------------------- */

static const char *const points[POINTS] = {"alloc", "read", "write",  "device", "thread", "prepare",
                                           "open",  "size", "attach", "detach", "infer"};

const char *point_name(enum point point) {
    return points[point];
}

static int32_t slot_status(uint64_t *chance) {
    static const uint64_t likely[] = {MM_BACKEND_FAILED, MM_NO_MEMORY, MM_IO, MM_DEVICE_LOST,
                                      MM_NO_ROOM_FOR_ACTIVATIONS};
    static const uint64_t odd[] = {
#define STATUS_VALUE(name, value, text) value,
        MM_STATUS_MAP(STATUS_VALUE) 1000, 54321};
    return (int32_t)(chance_percent(chance, 60)
                         ? one_of(chance, likely, sizeof(likely) / sizeof(likely[0]))
                         : one_of(chance, odd, sizeof(odd) / sizeof(odd[0])));
}

static void make_fault(uint64_t *chance, const struct scenario *s, struct fault *fault) {
    fault->point = (enum point)ONE_OF(chance, POINT_ALLOC, POINT_DEVICE, POINT_DEVICE, POINT_THREAD,
                                      POINT_PREPARE, POINT_OPEN, POINT_SIZE, POINT_ATTACH,
                                      POINT_ATTACH, POINT_DETACH, POINT_INFER, POINT_INFER);
    bool disk = s->files || s->cache;
    if (disk && chance_percent(chance, 40)) {
        fault->point = s->cache && chance_percent(chance, 50) ? POINT_WRITE : POINT_READ;
    }
    uint64_t most = fault->point == POINT_ALLOC ? 2000 : fault->point == POINT_INFER ? 40 : 12;
    fault->from = chance_between(chance, 1, most);
    fault->count = chance_percent(chance, 70) ? 1 : chance_between(chance, 2, 20);
    fault->late = chance_percent(chance, 30);
    if (fault->point == POINT_DEVICE) {
        fault->status = chance_percent(chance, 35) ? ENODEV : EIO;
    } else if (fault->point == POINT_THREAD) {
        fault->status = EAGAIN;
    } else if (fault->point == POINT_READ || fault->point == POINT_WRITE) {
        fault->status = fault->point == POINT_WRITE && chance_percent(chance, 50) ? ENOSPC : EIO;
    } else if (fault->point == POINT_DETACH || chance_percent(chance, 20)) {
        fault->sleep_ns = chance_between(chance, 1 * MS, 2 * S);
    } else if (fault->point != POINT_ALLOC) {
        fault->status = slot_status(chance);
    }
    if (fault->point == POINT_ALLOC) {
        fault->sleep_ns = 0;
        fault->status = ENOMEM;
    }
}

/* ---- The whole ------------------------------------------------------------------------------- */

void scenario_make(uint64_t seed, struct scenario *s) {
    memset(s, 0, sizeof(*s));
    uint64_t chance = seed * UINT64_C(0xd1342543de82ef95) + 1;
    s->seed = seed;
    make_mesh(&chance, s);
    make_schedule(&chance, s);
    s->model_count = 1 + (uint32_t)chance_below(&chance, MOST_MODELS);
    for (uint32_t m = 0; m < s->model_count; m++) {
        make_model(&chance, s, m);
    }
    bool allowed[ACT_KINDS];
    for (unsigned k = 0; k < ACT_KINDS; k++) {
        allowed[k] = kinds[k].always || chance_percent(&chance, 50);
    }
    allowed[ACT_FILE] = s->files;
    allowed[ACT_EVICT] |= s->files;
    s->act_count = chance_percent(&chance, 40)
                       ? (uint32_t)chance_between(&chance, 4, MOST_ACTS)
                       : MOST_ACTS / 2 + (uint32_t)chance_below(&chance, MOST_ACTS / 2 + 1);
    for (uint32_t i = 0; i < s->act_count; i++) {
        make_act(&chance, s, allowed, &s->acts[i]);
    }
    for (uint32_t i = 0; i < s->act_count * 3 / 4; i++) { /* it ends late, if it ends */
        struct act *act = &s->acts[i];
        act->kind = act->kind == ACT_CLOSE || act->kind == ACT_STOP ? ACT_INFER : act->kind;
    }
    uint64_t profile = chance_below(&chance, 100); /* most have none */
    if (profile < 12) {
        make_crowded(&chance, s);
    } else if (profile < 16) {
        make_stopped(&chance, s);
    } else if (profile < 20) {
        make_crowded(&chance, s);
        make_asked(&chance, s);
    }
    s->faulty_setup = chance_percent(&chance, 5);
    s->fault_count = profile >= 20 && chance_percent(&chance, 70)
                         ? (uint32_t)chance_below(&chance, MOST_FAULTS + 1)
                         : 0;
    for (uint32_t i = 0; i < s->fault_count; i++) {
        make_fault(&chance, s, &s->faults[i]);
    }
}

static bool asks(const struct scenario *s, uint32_t model) {
    for (uint32_t i = 0; i < s->act_count; i++) {
        const struct act *act = &s->acts[i];
        bool of_model = act->kind < ACT_BUDGET || (act->kind > ACT_BUDGET && act->kind < ACT_LOOK);
        if (!act->off && of_model && act->model == model) {
            return true;
        }
    }
    return s->models[model].preload;
}

bool scenario_uses(const struct scenario *s, uint32_t model) {
    uint32_t before = (model + s->model_count - 1) % s->model_count;
    return asks(s, model) || (s->models[before].flavor == FLAVOR_NESTED && asks(s, before));
}

static void print_setting(const char *name, uint64_t value) {
    if (value) {
        printf(", %s %" PRIu64, name, value);
    }
}

static void print_model(const struct scenario *s, uint32_t m) {
    static const char *const flavors[] = {"plain", "own memory", "nested"};
    const struct model_plan *model = &s->models[m];
    printf("  m%" PRIu32 ": %s", m, flavors[model->flavor]);
    for (uint32_t i = 0; i < MOST_CONTENTS; i++) {
        const struct content *content = &model->contents[i];
        uint64_t bytes = content->own_bytes > content->weights_bytes ? content->own_bytes
                                                                     : content->weights_bytes;
        printf("%s%" PRIu64 "k", i ? "/" : ", ", bytes / KIB);
        printf("+%" PRIu64 "k", content->activation_bytes / KIB);
        if (content->more_bytes) {
            printf("+%" PRIu64 "k", content->more_bytes / KIB);
        }
    }
    if (model->device >= 0) {
        printf(", device %d", model->device);
    }
    print_setting("class", (uint64_t)model->evict_class);
    print_setting("source_changes", (uint64_t)model->source_changes);
    print_setting("max_concurrency", model->max_concurrency);
    print_setting("max_queued", model->max_queued);
    print_setting("replicas", model->replicas);
    print_setting("min_replicas", model->min_replicas);
    if (model->idle_ttl_ns) {
        printf(", ttl %" PRIu64 " ms", model->idle_ttl_ns / MS);
    }
    if (model->min_residency_ns) {
        printf(", min residency %" PRIu64 " ns", model->min_residency_ns);
    }
    printf("%s%s", model->file ? ", a file" : "",
           model->contents[0].flags & CONTENT_SHAPED ? ", shape input" : "");
    printf("%s%s%s%s\n", model->pinned ? ", pinned" : "", model->preload ? ", preload" : "",
           model->warm ? ", warm" : "",
           model->contents[0].flags & CONTENT_SERIAL ? ", serial" : "");
}

void scenario_print(const struct scenario *s) {
    printf("seed %" PRIu64 ", schedule %" PRIu64 "\n", s->seed, s->schedule_seed);
    for (uint32_t i = 0; i < s->device_count; i++) {
        const struct device_plan *device = &s->devices[i];
        printf("  d%" PRIu32 ": %s, %" PRIu64 " KiB", i, device->sim ? "sim" : "host",
               device->budget_bytes / KIB);
        print_setting("in ns/MiB", device->in_ns_per_mib);
        print_setting("out ns/MiB", device->out_ns_per_mib);
        print_setting("latency ns", device->latency_ns);
        print_setting("load delay ns", device->load_delay_ns);
        putchar('\n');
    }
    for (uint32_t m = 0; m < s->model_count; m++) {
        if (scenario_uses(s, m)) {
            print_model(s, m);
        }
    }
    printf("  threads: load %" PRIu32 ", infer %" PRIu32 ", prepare %" PRIu32 "; grace %" PRIu64
           ", min residency %" PRIu64 ", back-off %" PRIu64 " ns%s\n",
           s->load_threads, s->infer_threads, s->prepare_threads, s->drain_grace_ns,
           s->min_residency_ns, s->backoff_first_ns,
           s->no_threads   ? "; none"
           : s->idle_evict ? "; idle_evict"
                           : "");
    printf("  artifact budget %" PRIu64 " KiB", s->artifact_budget_bytes / KIB);
    if (s->cache) {
        printf(", cache directory of %" PRIu64 " KiB", s->cache_budget_bytes / KIB);
    }
    print_setting("most signatures", s->max_signatures);
    putchar('\n');
    for (uint32_t i = 0; i < s->fault_count; i++) {
        const struct fault *fault = &s->faults[i];
        if (!fault->off) {
            printf("  fault: %s from %" PRIu64 ", %" PRIu64 " times, status %" PRId32 "%s, %" PRIu64
                   " us\n",
                   points[fault->point], fault->from, fault->count, fault->status,
                   fault->late ? " late" : "", fault->sleep_ns / US);
        }
    }
}
