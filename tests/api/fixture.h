/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_API_FIXTURE_H
#define TESTS_API_FIXTURE_H

/* A mesh over scripted models, with a counted allocator, a fake clock, and a gate in every backend
 * call. */

#include <support/world.h>

#include <api/mesh.h>
#include <backends/echo/echo.h>

#include <stdatomic.h>

#define MIB (UINT64_C(1) << 20)
#define MS UINT64_C(1000000)
#define SCRIPTS 64

/* Models of backend "gated" stop in this slot until it is opened. */
struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool closed[MMI_ECHO_SLOTS];
    unsigned arrived[MMI_ECHO_SLOTS]; /* calls so far */
    mm_status (*inside)(void *user);  /* called in infer, before the gate; NULL = nothing */
    void *user;
};

struct fixture {
    struct world world;
    mm_mesh *mesh;
    mm_error err;
    struct gate gate;
    char *scripts[SCRIPTS];
    unsigned script_count;
    bool real_clock;
};

/* options: devices and so on; allocator is the fixture's. NULL: one host device of 16 MiB. */
void fixture_open(struct fixture *f, const mm_mesh_options *options);
void fixture_open_with(struct fixture *f, const mm_mesh_options *options, unsigned generation_bits,
                       bool real_clock);
/* Frees the mesh; asserts that nothing is left. */
void fixture_close(struct fixture *f);
void fixture_advance(struct fixture *f, uint64_t ns);
/* The deadline that is `ns` from now on the clock of the mesh. */
uint64_t fixture_after(const struct fixture *f, uint64_t ns);

/* A spec of a model with these script lines (without the magic), kept alive by the fixture.
 * backend: "echo", "gated" or "echo-nested". */
mm_model_spec fixture_spec(struct fixture *f, const char *name, const char *backend,
                           const char *lines);
mm_model fixture_add(struct fixture *f, const char *name, const char *lines);
mm_model fixture_add_gated(struct fixture *f, const char *name, const char *lines);

/* One request, x [1, 4]. seed: what the answer must say; -1 = do not look. */
mm_status fixture_infer(struct fixture *f, mm_model model, int seed);
mm_status fixture_infer_until(struct fixture *f, mm_model model, int seed, uint64_t deadline_ns,
                              bool *hit);

/* A request that runs on a thread of its own. */
struct caller {
    pthread_t thread;
    struct fixture *f;
    mm_model model;
    int seed;
    uint64_t deadline_ns;
    int32_t priority;
    mm_status status;
    mm_error err;
};
void caller_start(struct caller *caller, struct fixture *f, mm_model model, int seed,
                  uint64_t deadline_ns);
mm_status caller_join(struct caller *caller);

void gate_close(struct fixture *f, enum mmi_echo_slot slot);
void gate_open(struct fixture *f, enum mmi_echo_slot slot);
/* Until `count` calls have come to this slot in all. */
void gate_wait(struct fixture *f, enum mmi_echo_slot slot, unsigned count);

/* Until `done` says so; yields in between. For states that another thread reaches. */
void wait_until(bool (*done)(void *ctx), void *ctx);
/* Until so many requests wait in the mesh. */
void wait_queued(struct fixture *f, uint64_t count);

mm_model_info fixture_info(struct fixture *f, mm_model model);
mm_device_stats fixture_device(struct fixture *f, uint32_t index);
mm_mesh_stats fixture_stats(struct fixture *f);
/* Decision lines that contain all of `a` and `b` (NULL = anything). */
unsigned fixture_events(struct fixture *f, const char *a, const char *b);

#endif
