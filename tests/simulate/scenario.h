/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIMULATE_SCENARIO_H
#define TESTS_SIMULATE_SCENARIO_H

/* What a seed means, all of it: the mesh, its models, the calls that are made, what fails, and the
 * seed of the schedule. The shrinker takes things out of it until what is left tells the story. */

#include <stdbool.h>
#include <stdint.h>

#define MOST_MODELS 8u
#define MOST_CONTENTS 4u /* of a model: what it may be updated to */
#define MOST_DEVICES 3u
#define MOST_ACTS 72u
#define MOST_FAULTS 8u

#define CONTENT_MAGIC "sim1model"

/* A model's source is such a struct. */
struct content {
    char magic[16];
    uint32_t id;    /* 1 + model * MOST_CONTENTS + number: never 0 */
    uint32_t flags; /* CONTENT_* */
    uint64_t weights_bytes;
    uint64_t
        own_bytes; /* of memory of its own, in a backend that has some: said, never allocated */
    uint64_t activation_bytes; /* for each element of the input ... */
    uint64_t more_bytes;       /* ... and asked for while it runs */
    uint32_t groups;
    uint32_t reserved;
};
enum { CONTENT_SERIAL = 1, CONTENT_SHAPED = 2 /* it has the shape input n */ };

enum flavor { FLAVOR_PLAIN, FLAVOR_OWN, FLAVOR_NESTED, FLAVORS };

struct model_plan {
    enum flavor flavor;
    struct content contents[MOST_CONTENTS];
    int device; /* the only one that it may use; -1 = any */
    int32_t evict_class, source_changes;
    uint32_t replicas, min_replicas;
    uint32_t max_concurrency, max_queued;
    uint64_t idle_ttl_ns, min_residency_ns;
    bool pinned, preload, warm;
    bool file; /* its source is one, which may change */
};

struct device_plan {
    bool sim;
    uint64_t budget_bytes;
    uint64_t in_ns_per_mib, out_ns_per_mib, latency_ns, load_delay_ns; /* sim */
};

enum act_kind {
    ACT_INFER,
    ACT_INFER_ASYNC,
    ACT_LOAD,
    ACT_PREPARE,
    ACT_EVICT,
    ACT_UPDATE,
    ACT_UNREGISTER, /* and, some time later, register again */
    ACT_PIN,
    ACT_UNPIN,
    ACT_CLASS,
    ACT_BUDGET,
    ACT_PLAN,
    ACT_DESCRIBE,
    ACT_SIZES,
    ACT_BIND, /* and infer with it */
    ACT_FILE, /* changes the model's */
    ACT_LOOK,
    ACT_CLOSE,
    ACT_STOP,
    ACT_KINDS
};

/* What becomes of an op. */
enum after {
    AFTER_WAIT,   /* for its end */
    AFTER_PEEK,   /* wait for a while, then for its end */
    AFTER_CANCEL, /* after a while */
    AFTER_FREE,   /* at once: only the callback tells */
    AFTER_POLL,
    AFTER_QUEUE, /* fetched from the mesh's queue */
    AFTER_DROP,  /* freed at once, and nothing tells its end */
    AFTERS
};

/* Outputs that are asked for. */
enum wanted { WANTED_ALL, WANTED_Z, WANTED_Y, WANTED_Y_Z, WANTEDS };

/* Where they go. */
enum buffers { BUFFERS_OWNED, BUFFERS_MINE, BUFFERS_SMALL, BUFFERS_KINDS };

enum file_change { FILE_REPLACED, FILE_IN_PLACE, FILE_TRUNCATED, FILE_REMOVED, FILE_CHANGES };

enum deadline { DEADLINE_NONE, DEADLINE_AT_ONCE, DEADLINE_PAST, DEADLINE_SOON, DEADLINE_FAR };

struct act {
    bool off;
    enum act_kind kind;
    uint32_t model;
    bool async, callback, callback_frees, retry, replace;
    enum after after;
    enum deadline deadline;
    uint64_t delay_ns; /* until the deadline, the cancel, the next look */
    int32_t priority;
    uint32_t elements;       /* of the input */
    uint32_t shape_elements; /* of the shape input; 0 = left out */
    enum wanted wanted;
    enum buffers buffers;
    bool located_in, located_out;
    bool keeps;                /* the binding, for others */
    bool tells, sparse, reset; /* an update: has an mm_async; says only what is new */
    bool frees;                /* the op, before it is fetched */
    enum file_change change;
    uint32_t number; /* of the new content; of a device; class ... */
    uint64_t bytes;
};

/* Where something may fail. */
enum point {
    POINT_ALLOC,
    POINT_READ,
    POINT_WRITE, /* also what makes it last */
    POINT_DEVICE,
    POINT_THREAD,
    POINT_PREPARE,
    POINT_OPEN,
    POINT_SIZE,
    POINT_ATTACH,
    POINT_DETACH, /* may only be slow */
    POINT_INFER,
    POINTS
};

struct fault {
    bool off;
    enum point point;
    uint64_t from, count; /* the from-th call and count - 1 more; from 1 */
    int32_t status;       /* of a slot; else an errno. 0 = only slow */
    bool late;            /* a slot does its work first */
    uint64_t sleep_ns;
};

struct scenario {
    uint64_t seed;
    uint32_t device_count, model_count, act_count, fault_count;
    struct device_plan devices[MOST_DEVICES];
    struct model_plan models[MOST_MODELS];
    struct act acts[MOST_ACTS];
    struct fault faults[MOST_FAULTS];
    bool faulty_setup; /* faults count from the beginning; else from when the models are there */
    uint32_t load_threads, infer_threads, prepare_threads;
    uint64_t drain_grace_ns, min_residency_ns, backoff_first_ns;
    uint64_t description_budget_bytes, prepare_budget_bytes;
    uint32_t max_queued, generation_bits;
    bool idle_evict, no_threads;
    bool located; /* some values lie on a device, if one is simulated */
    bool files;   /* of some models */
    bool cache;   /* there is a cache directory */
    uint64_t artifact_budget_bytes, cache_budget_bytes;
    uint32_t max_signatures;
    /* The schedule. */
    uint64_t schedule_seed;
    uint32_t pause_one_in; /* of the points where a thread lets go of its last lock; 0 = none */
    uint64_t most_pauses;  /* so many; then none */
    uint32_t slow_percent; /* of the slots take time */
    uint64_t slow_ns;      /* at most so much */
    uint32_t tick_one_in;  /* steps that move the clock to the next deadline; 0 = none */
    bool spurious;         /* who waits is woken for nothing now and then */
    bool by_priority;      /* threads have priorities that change now and then */
    uint32_t hold_one_in;  /* pauses that hold a thread back behind all others; 0 = none */
    uint32_t crowd;        /* calls in flight, at most */
};

/* The same for the same seed, always. */
void scenario_make(uint64_t seed, struct scenario *scenario);
/* Does a call that is still there use this model? */
bool scenario_uses(const struct scenario *scenario, uint32_t model);
/* The whole of it, for a reader. */
void scenario_print(const struct scenario *scenario);

const char *act_name(enum act_kind kind);
const char *point_name(enum point point);

/* ---- Chance ---------------------------------------------------------------------------------- */

uint64_t chance_next(uint64_t *state);
uint64_t chance_below(uint64_t *state, uint64_t limit); /* limit > 0 */
bool chance_percent(uint64_t *state, unsigned percent);
/* Every order of magnitude is as likely. */
uint64_t chance_between(uint64_t *state, uint64_t least, uint64_t most);

#endif
