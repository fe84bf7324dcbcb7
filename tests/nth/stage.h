/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_NTH_STAGE_H
#define TESTS_NTH_STAGE_H

/* What a scenario plays on: a mesh whose world fails once, somewhere. A scenario is a row of steps,
 * each of which may fail and say why; then the scenario ends, and what is left must be sound. */

#include <support/scratch.h>
#include <support/world.h>

#include <api/mesh.h>

#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1) << 20)
#define STAGE_MODELS 4u

struct stage {
    struct world world;
    struct scratch scratch;
    char cache[SCRATCH_ROOM], source[SCRATCH_ROOM];
    const struct scenario *scenario;
    mm_mesh *mesh; /* NULL: it could not be made */
    mm_model models[STAGE_MODELS];
    mm_status status; /* of the step that failed; MM_OK = none did */
    const char *failed;
    mm_error err;
    bool wrong; /* an answer was */
};

struct scenario {
    const char *name;
    void (*options)(struct stage *stage, mm_mesh_options *options); /* NULL = defaults */
    void (*play)(struct stage *stage);
    const char *backend; /* of its models; NULL = "echo" */
    const char *lines;   /* of their scripts, besides seed and size; NULL = none */
    uint64_t weights_bytes;
    bool from_file;  /* model 0 */
    bool no_threads; /* of the mesh */
};

extern const struct scenario nth_scenarios[];
extern const size_t nth_scenario_count;

void stage_init(struct stage *stage, const struct scenario *scenario);
/* Frees the mesh; asserts that nothing is left: no memory, no file open. */
void stage_fini(struct stage *stage);
/* A mesh, and no other failure than the step's own. */
bool stage_create(struct stage *stage);

/* Note how a step ended. false: the scenario is over. */
bool stage_step(struct stage *stage, const char *what, mm_status status);
/* Steps. */
bool stage_add(struct stage *stage, unsigned i); /* register model i */
mm_model_spec stage_spec(struct stage *stage, unsigned i, unsigned revision);
/* One request to model i, whose answer must be of that revision. */
bool stage_ask(struct stage *stage, unsigned i, unsigned revision, mm_binding *binding);
/* The answer is model i's, of that revision. */
void stage_judge(struct stage *stage, unsigned i, unsigned revision, const mm_response *response);

/* x f32 [1, 4]. */
extern const mm_value stage_input;
mm_request stage_request(void);

#endif
