/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SCENARIO_FIXTURE_H
#define TESTS_SCENARIO_FIXTURE_H

/* A whole mesh over scripted models, with a counted allocator, a fake clock, and gates at which
 * calls of the backend wait until the test lets them on. */

#include <support/world.h>

#include <api/mesh.h>
#include <backends/echo/echo.h>
#include <backends/echo/script.h>

#define MIB (UINT64_C(1) << 20)
#define MS_NS UINT64_C(1000000)
#define S_NS UINT64_C(1000000000)

#define FIXTURE_SCRIPTS 128
#define FIXTURE_GATES 16

/* Holds back one slot of the models of backend "gated" whose script says `version`. */
struct gate {
    struct fixture *f;
    const char *version;
    enum mmi_echo_slot slot;
    bool open;
    unsigned passes;  /* so many more may pass while it is not open */
    unsigned arrived; /* calls so far */
    unsigned passed;  /* of them, those that went on */
    /* Called by each that arrives, before it waits; what it returns is the slot's. NULL =
     * nothing */
    mm_status (*inside)(void *user, mm_error *err);
    void *user;
};

struct fixture_script {
    char *text; /* magic included: the model's bytes */
    struct mmi_echo_script parsed;
    char name[MM_NAME_BYTES]; /* registered under it */
};

struct fixture {
    struct world world;
    mm_mesh *mesh;
    mm_error err;
    struct mmi_echo_hooks hooks;
    mm_backend gated, gated_nested;
    pthread_mutex_t mutex; /* guards the gates */
    pthread_cond_t changed;
    struct gate *gates[FIXTURE_GATES];
    unsigned gate_count;
    struct fixture_script scripts[FIXTURE_SCRIPTS];
    unsigned script_count;
};

/* options: NULL = one device "host" of 64 MiB; so too when it has no devices. */
void fixture_open(struct fixture *f, const mm_mesh_options *options);
/* Frees the mesh. Asserts that it could be, that no lease was left before, that nothing leaked. */
void fixture_close(struct fixture *f);
void fixture_advance(struct fixture *f, uint64_t ns);
/* The deadline that is `ns` from now on the clock of the mesh. */
uint64_t fixture_after(const struct fixture *f, uint64_t ns);

/* Options of a device, and a mesh of them. */
mm_device_options fixture_host(const char *name, uint64_t budget_bytes);

/* A spec of a model with this script, the magic line left out; its bytes live as long as the
 * fixture. backend: "echo", "gated", "gated-nested", "echo-nested" or "echo-own". */
mm_model_spec fixture_spec(struct fixture *f, const char *name, const char *backend,
                           const char *script);
mm_model fixture_register(struct fixture *f, const mm_model_spec *spec);
mm_model fixture_echo(struct fixture *f, const char *name, const char *script);
mm_model fixture_gated(struct fixture *f, const char *name, const char *script);

/* One request: x f32 [1, 4]. MM_OK only for the right answer: y is x, z tells the weights of the
 * script under which the model is registered; else MM_CORRUPT. Fills f->err. */
mm_status fixture_infer(struct fixture *f, mm_model model);

/* The same on a thread of its own, or with wishes. Zero it, set the wishes, start it. */
struct asker {
    struct fixture *f;
    mm_model model;
    uint64_t deadline_ns;
    int32_t priority;
    unsigned *order; /* NULL, or a counter of those that ended, under the fixture's mutex */
    pthread_t thread;
    unsigned place;   /* in that order, from 1 */
    mm_status status; /* and the rest: what came of it */
    uint32_t flags;   /* the response's */
    uint64_t wait_ns; /* the response's */
    mm_error err;
};
mm_status asker_ask(struct asker *asker);
void asker_start(struct asker *asker);
mm_status asker_join(struct asker *asker);

void gate_shut(struct fixture *f, struct gate *gate, enum mmi_echo_slot slot, const char *version);
/* Let all pass, those that wait and those to come. */
void gate_open(struct gate *gate);
/* Let `count` pass and no more. */
void gate_pass(struct gate *gate, unsigned count);
/* Until `count` calls came in all. */
void gate_wait_arrived(struct gate *gate, unsigned count);
unsigned gate_arrived(struct gate *gate);

/* Until `done`: for what only another thread can bring about and nobody announces. */
void fixture_until(bool (*done)(void *ctx), void *ctx);
/* The same, while time passes by the millisecond. */
void fixture_pass_time_until(struct fixture *f, bool (*done)(void *ctx), void *ctx);
/* Until exactly so many requests wait: of this model; of the whole mesh. */
void fixture_until_queued(struct fixture *f, mm_model model, uint32_t count);
/* Until the model is in this state. */
void fixture_until_state(struct fixture *f, mm_model model, mm_model_state state);

mm_model_info fixture_info(struct fixture *f, mm_model model);
mm_mesh_stats fixture_stats(struct fixture *f);
mm_device_stats fixture_device(struct fixture *f, const char *name);
/* Lines of the decision log with all of these words in them; NULL = any. */
unsigned fixture_events(struct fixture *f, const char *kind, const char *word, const char *other);
/* kind and model=name. */
unsigned fixture_events_of(struct fixture *f, const char *kind, const char *name);
/* Sequence number of the first one of them; 0 = none. */
uint64_t fixture_first_event(struct fixture *f, const char *kind, const char *name);

/* A gate that stands open and only counts. */
void gate_count(struct fixture *f, struct gate *gate, enum mmi_echo_slot slot, const char *version);

#define assert_ok(f, call)                                                                         \
    do {                                                                                           \
        mm_status status_ = (call);                                                                \
        if (status_ != MM_OK) {                                                                    \
            fail_msg("%s: %s: %s", #call, mm_status_name(status_), (f)->err.text);                 \
        }                                                                                          \
    } while (0)
#define assert_status(f, call, wanted)                                                             \
    do {                                                                                           \
        mm_status status_ = (call);                                                                \
        if (status_ != (wanted)) {                                                                 \
            fail_msg("%s: %s, not %s: %s", #call, mm_status_name(status_), mm_status_name(wanted), \
                     (f)->err.text);                                                               \
        }                                                                                          \
    } while (0)

#endif
