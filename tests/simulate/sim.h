/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIMULATE_SIM_H
#define TESTS_SIMULATE_SIM_H

/* One simulation: a mesh whose threads are fibers, under a clock that moves when it is told to.
 *
 *   scenario.c   a seed -> the mesh, the calls, what fails
 *   fiber.c      the stacks
 *   schedule.c   whose turn it is, and what time
 *   faults.c     the allocator, and everything that fails or takes time
 *   disk.c       sources in files, the cache directory
 *   backend.c    models whose answers show whose weights they ran on
 *   setup.c      the mesh, its devices and models
 *   calls.c      the public calls, each on a thread of its own;  op.c  what becomes of ops;
 *                values.c  what goes in and comes out
 *   judge.c      may a call end so, and is the answer right
 *   check.c      what must hold after every step, at rest and at the end;  log.c  the decision log
 *   story.c      what happened, line by line
 *   shrink.c     the smallest scenario that still fails
 *   simulate.c   the program
 */

#include "fiber.h"
#include "scenario.h"

#include <api/mesh.h>

#define MOST_THREADS 96u
#define MOST_REGISTRATIONS (MOST_MODELS + MOST_ACTS)
#define MOST_INSTANCES 64u
#define MOST_LIVES 8u
#define MOST_STAMPS 160u
#define DISK_FOLDER_BYTES 56u
#define DISK_PATH_BYTES 80u
#define MOST_SHAPE_ELEMENTS 12u
/* evict, stop and mm_op_wait count from when they look at the clock, not to a point in time. */
#define RELATIVE_TIMEOUTS 0

/* ---- Threads --------------------------------------------------------------------------------- */

enum thread_state { THREAD_RUNNABLE, THREAD_WAITING, THREAD_ASLEEP, THREAD_JOINING, THREAD_ENDED };

struct sim_thread {
    struct sim *sim;
    struct fiber *fiber; /* NULL: this place is free */
    char name[24];
    void (*run)(void *ctx);
    void *ctx;
    enum thread_state state;
    const struct mmi_cond *cond; /* that it waits on */
    uint64_t wake_ns;            /* WAITING, ASLEEP: no later; 0 = never */
    uint64_t since_step;         /* in this state */
    uint64_t woken_step;         /* by another thread, last */
    struct sim_thread *joined;
    uint64_t priority;
    bool must_not_wait; /* it is in a call from inside of a slot */
    bool held;          /* behind all others, for a while */
    uint32_t torn; /* id of a content that it prepared, whose file changed meanwhile; 0 = none */
    struct call *call;   /* that it makes; NULL: one of the mesh's own */
    unsigned slot_depth; /* backend calls that it is inside of */
    unsigned own_work;   /* of the simulation: it may wait for a device */
    void *where[16];     /* of the last wait, for the story */
    int where_count;
};

/* ---- Calls ----------------------------------------------------------------------------------- */

/* One life of a name: from register to unregister. */
struct registration {
    uint32_t model;
    mm_model handle;
    bool registered, leaving, gone; /* gone: unregister returned */
    bool surely_pinned;
    /* What it points to: the first, then by updates in the order in which they began. */
    struct life {
        uint32_t content; /* id; of a file: 0 */
        uint32_t numbers; /* of a file: bits of what it was since */
        bool ended, worked, failed;
        uint64_t begun_step, ended_step;
    } lives[MOST_LIVES];
    uint32_t life_count;
    uint32_t served;     /* content that has answered, of a file; 0 = none yet */
    mm_binding *binding; /* NULL: none is kept */
    enum wanted bound;   /* its outputs */
};

struct call {
    const struct act *act;
    uint32_t index; /* of the act */
    struct sim_thread *thread;
    struct registration *registration;
    bool begun, returned; /* the public call, or the op */
    bool may_wait;        /* what it is inside of */
    bool surely_pinned;   /* its model, when it began */
    uint64_t begun_step, begun_ns, ended_step;
    uint64_t deadline_ns; /* 0 = none */
    uint32_t oldest_life; /* of the registration, that may answer */
    uint32_t life;        /* that an update brings */
    mm_op *op;
    mm_request request;
    mm_value inputs[2];
    const char *names[2];
    enum wanted wanted;
    mm_response response;
    mm_value outputs[2];
    int64_t room[2][2];        /* of outputs */
    struct mmi_stream *stream; /* of its values on a device; NULL: they are not */
    mm_binding *binding;
    bool binding_kept;
    bool ran; /* to its end, and well */
    mm_status status;
    mm_error error;
    unsigned callbacks, fetched;
    bool called_back; /* and it has returned */
    bool judging;     /* somebody looks at its outputs */
    uint64_t cancelled_ns;
    bool accepted, cancelled, completed, handle_freed, judged;
    bool in_slot; /* its inference runs */
    float x[4];
    int64_t n[MOST_SHAPE_ELEMENTS];
};

/* ---- The backend's side --------------------------------------------------------------------- */

struct sim_instance; /* backend.c */

/* ---- The whole ------------------------------------------------------------------------------- */

struct sim {
    const struct scenario *scenario;
    bool story;

    /* schedule.c */
    struct mmi_threads threads;
    uint64_t now_ns, step, chance, pauses, advances;
    struct sim_thread thread[MOST_THREADS];
    uint32_t thread_count; /* places ever used */
    struct sim_thread *current;
    uint64_t starter_priority;
    bool at_end;                    /* the setup or the end is run: no calls begin */
    void (*finish)(void *ctx);      /* the body of the thread that does so ... */
    void (*alone)(struct sim *sim); /* ... and what it does */

    /* calls.c */
    mm_mesh *mesh;
    struct call calls[MOST_ACTS];
    uint32_t next_act, in_flight;
    struct registration registrations[MOST_REGISTRATIONS];
    uint32_t registration_count;
    struct registration *current_of[MOST_MODELS];
    bool created, closing, closed, stopped, freeing; /* closing: close began */
    bool class_moved[MOST_MODELS], unregistered, no_replicas;
    uint64_t most_budget[MOST_DEVICES];  /* of those that may hold now */
    uint32_t budget_calls[MOST_DEVICES]; /* on their way */
    uint32_t answers, fetching;

    /* faults.c */
    mm_allocator alloc;
    uint64_t live_bytes, live_blocks;
    uint64_t counts[POINTS];
    uint32_t hits[MOST_FAULTS];
    bool faulted, quiet_faults, lost_device;

    /* disk.c */
    char disk_folder[DISK_FOLDER_BYTES]; /* "": none */
    char model_paths[MOST_MODELS][DISK_PATH_BYTES];
    struct stamp {
        uint64_t inode, changed_ns;
    } stamps[MOST_STAMPS]; /* when files changed */
    uint32_t stamp_count;
    uint64_t file_clock_ns;
    uint32_t file_number[MOST_MODELS];  /* of the content; MOST_CONTENTS: none */
    uint32_t file_changes[MOST_MODELS]; /* since the beginning */

    /* values.c */
    struct mmi_device *place; /* where values may lie; NULL: nowhere */
    struct mmi_block place_block;
    struct mmi_region place_region;
    bool device_busy; /* nobody can run, and a slot or a device is at work */

    /* backend.c */
    struct sim_instance *instances[MOST_INSTANCES];
    uint32_t instance_count, slots_active;
    uint32_t models_open;

    /* log.c */
    uint64_t cursor, story_cursor;
    struct tally {
        int loads, prepares; /* begun and not ended */
        int draining;        /* chosen, and not gone */
        bool tried;          /* to prepare it, ever */
        int resident;        /* loaded and not detached */
        uint64_t ready_ns;   /* when it was loaded last */
        bool prepare_failed;
        uint64_t failed_ns; /* when that last failed, and is remembered; 0 = never */
    } tally[MOST_MODELS];

    /* What is wrong. */
    bool failed;
    char kind[32]; /* of failure: what the shrinker keeps */
    char text[512];
};

/* ---- schedule.c ----------------------------------------------------------------------------- */

void schedule_init(struct sim *sim);
/* Everything, until all calls have ended and the mesh is gone, or something is wrong. */
void schedule_run(struct sim *sim);
/* NULL: too many. */
struct sim_thread *schedule_start(struct sim *sim, const char *name, void (*run)(void *ctx),
                                  void *ctx);
/* From a thread: let others have a turn / let time pass. Nothing outside of one. */
void schedule_pause(struct sim *sim);
void schedule_sleep(struct sim *sim, uint64_t ns);

/* Something is wrong: the simulation ends here. Returns outside of a thread only. */
__attribute__((format(printf, 3, 4))) void sim_fail(struct sim *sim, const char *kind,
                                                    const char *format, ...);

/* What is wrong with this in its text is known: go on. */
void sim_skip(const char *text);

/* ---- faults.c ------------------------------------------------------------------------------- */

void faults_init(struct sim *sim);
int faults_hook(void *user, const char *what); /* env->fault */
/* A slot is entered: takes its time, and says how it ends. *late: not before its work is done. */
int32_t faults_slot(struct sim *sim, enum point point, bool *late);
/* May a call end so, for something that failed? */
bool faults_explain(const struct sim *sim, mm_status status);

/* ---- disk.c --------------------------------------------------------------------------------- */

void disk_begin(struct sim *sim);
void disk_end(struct sim *sim);
void disk_remove(long process); /* all that a process has left */
void disk_model_path(uint32_t model, char path[DISK_PATH_BYTES]);
void disk_cache_path(char path[DISK_PATH_BYTES]);
void disk_change(struct sim *sim, uint32_t model, enum file_change change, uint32_t number);
const char *disk_change_name(enum file_change change);

/* ---- backend.c ------------------------------------------------------------------------------ */

extern const mm_backend backend_plain, backend_own, backend_nested;
void backend_use(struct sim *sim); /* whose models the tables run */
uint32_t backend_attached(const struct sim *sim, uint32_t model);
/* Attached, and of that content's model, from before that step? */
bool backend_holds(const struct sim *sim, uint32_t model, uint64_t before_step);

/* ---- setup.c ------------------------------------------------------------------------------- */

extern const char *const setup_models[MOST_MODELS], *const setup_devices[MOST_DEVICES];
void setup_mesh(struct sim *sim); /* on a thread: the mesh and its models */
mm_model_spec setup_spec(struct sim *sim, uint32_t model, uint32_t number, struct life *life);
/* The content, from memory or from wherever the file is by then. */
void setup_source(struct sim *sim, uint32_t model, uint32_t number, mm_model_spec *spec,
                  struct life *life);
/* Register a name; NULL when it failed. */
struct registration *setup_enroll(struct sim *sim, uint32_t model, uint32_t number,
                                  mm_status *status, mm_error *err);

/* ---- calls.c -------------------------------------------------------------------------------- */

void calls_begin(struct sim *sim); /* the next act, on a thread of its own */
bool calls_left(struct sim *sim);
void calls_finish(struct sim *sim); /* on a thread: ends the mesh */
/* Does somebody want the model to be there, or did until this step? */
bool calls_want(const struct sim *sim, uint32_t model);
/* Has its op an mm_async, so that somebody may be told? */
bool calls_tells(const struct call *call);
uint64_t calls_deadline(const struct sim *sim, const struct act *act);
/* What an update brings, and its flags. */
mm_model_spec calls_update_begins(struct sim *sim, struct call *call, uint32_t *flags);
/* Bounds of a call, and how the library spells them. */
mm_status calls_evict(struct sim *sim, struct call *call);
mm_status calls_stop(struct sim *sim, uint64_t deadline_ns);
mm_status calls_op_wait(struct sim *sim, mm_op *op, uint64_t deadline_ns, mm_error *err);
struct sim_device_view {
    uint64_t used_bytes, budget_bytes;
};
struct sim_device_view calls_device(const struct sim *sim, uint32_t device);

/* ---- values.c -------------------------------------------------------------------------------- */

/* The values of a call begin with its number, so that a run knows whose it is. */
struct call *values_call(struct sim *sim, const mm_value *input);
/* What it asks for, from now on. */
void values_request(struct sim *sim, struct call *call);
/* Its outputs, as host memory: z[2], or NULL, and y, or NULL. false: they cannot be told. */
bool values_answer(struct sim *sim, struct call *call, const int64_t **z, const int64_t **y);
void values_end(struct sim *sim, struct call *call); /* on a thread */
/* Memory on a simulated device, if there is one and a call wants it. */
void values_begin_mesh(struct sim *sim);
void values_end_mesh(struct sim *sim);
/* Does the thread wait for a device? */
bool values_waits(const struct sim *sim, const struct sim_thread *thread);
uint32_t values_names(const struct call *call, const char *names[2]); /* of inputs */
extern const char *const values_wanted[WANTEDS][2];
extern const uint32_t values_wanted_count[WANTEDS];

/* ---- judge.c -------------------------------------------------------------------------------- */

/* It ended so: is that right? Once for each call. */
void judge(struct sim *sim, struct call *call, mm_status status, const mm_error *error);
/* The answer of one of whose end nobody was told. */
void judge_dropped(struct sim *sim, struct call *call);
uint32_t judge_oldest_life(const struct registration *registration, uint64_t step);

/* ---- op.c ----------------------------------------------------------------------------------- */

void op_async(struct sim *sim, struct call *call); /* everything that an asynchronous act does */
void op_fetch_all(struct sim *sim);                /* what is still in the mesh's queue */
void op_free_all(struct sim *sim);                 /* the last handles, the mesh is gone */
/* Is it over, as far as anybody can see? */
bool op_complete(const struct call *call);

/* ---- check.c, log.c ------------------------------------------------------------------------- */

void check_step(struct sim *sim);
/* Nobody can run: who waits may do so. next_ns: the next time that something is due; 0 = never. */
void check_quiet(struct sim *sim, uint64_t next_ns);
void check_rest(struct sim *sim);     /* all calls have ended; on a thread */
void check_stopped(struct sim *sim);  /* nothing is loaded */
void check_returned(struct sim *sim); /* the mesh is gone */
void check_overtaken(struct sim *sim, const struct call *call); /* it begins to run */
void log_read(struct sim *sim);
void log_rest(struct sim *sim);

/* ---- story.c -------------------------------------------------------------------------------- */

/* One line, behind those of the decision log so far. */
__attribute__((format(printf, 2, 3))) void story(struct sim *sim, const char *format, ...);
const char *story_act(const struct act *act, char text[160]);
void story_where(struct sim_thread *thread); /* remember it */
void story_waiting(struct sim *sim);         /* who waits, and where */

/* ---- shrink.c, simulate.c ------------------------------------------------------------------- */

/* One run in this process. true = nothing is wrong. After a failure the process must end. */
bool sim_run(struct sim *sim, const struct scenario *scenario, bool story);
/* How a run in a process of its own ended. */
struct outcome {
    bool failed;
    char kind[32];
    char text[512];
};
void sim_try(const struct scenario *scenario, bool story, struct outcome *outcome);
void shrink(struct scenario *scenario, struct outcome *outcome);

#endif
