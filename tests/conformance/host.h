/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CONFORMANCE_HOST_H
#define TESTS_CONFORMANCE_HOST_H

/* A host made by hand: just enough of one to lead a backend through its life, and to be as unkind
 * as the contract allows. Weights arrive when they are waited for and not before; scratch is full
 * of rubbish; what lies behind a buffer is guarded. */

#include <conformance/device.h>
#include <conformance/samples.h>
#include <support/world.h>

#include <modelmesh/backend.h>

#include <stdatomic.h>

/* Memory of the suite itself, given back all at once. */
struct heap {
    struct heap_block *blocks;
    uint8_t
        mark; /* makes the guards of one heap differ from another's: who copies too much from here
                     to there destroys the guard there */
};
/* Zeroed, with a guard behind it; >= 0 bytes. */
void *heap_take(struct heap *heap, uint64_t bytes, uint64_t align);
void heap_free(struct heap *heap); /* asserts that no guard was written over */

/* The unkindness of one test; 0 = none, else 1 = the first such call. */
struct trouble {
    uint64_t read_fails_at; /* MM_IO */
    uint64_t sink_fails_at; /* MM_NO_SPACE */
    uint64_t cancelled_at;  /* from then on */
    uint64_t stopped_at;    /* from then on */
    bool weights_fail;      /* no group arrives: MM_IO */
    bool no_output;         /* exec->output gives nothing */
    bool no_part;           /* exec->output_part gives nothing */
    bool no_more;           /* exec->scratch_more gives nothing */
};

/* Where the values of a run lie, other than on the host; for backends that say so. Bits. */
enum {
    PLACE_INPUTS = 1,
    PLACE_OUTPUTS = 2,
    PLACE_SMALL = 4 /* exec->output gives memory of the host after all */
};

struct artifact {
    uint8_t *description, *weights;
    uint64_t description_bytes, weights_bytes, expected_bytes, done_bytes;
    uint64_t ends[256];
    uint32_t group_count;
    bool described;
};

enum stage { STAGE_STATE, STAGE_PREPARED, STAGE_MODEL, STAGE_SIGNATURE, STAGE_INSTANCE };

/* What one test is about. */
struct subject {
    const mm_backend *table;
    const struct sample *sample;
    int32_t kind;         /* mm_device_kind */
    const uint8_t *bytes; /* of the model */
    uint64_t byte_count;
};

/* One backend in one mesh with one model, one signature, one instance. */
struct life {
    struct world *world;
    struct subject subject;
    const mm_backend *table; /* the subject's */
    struct trouble trouble;
    unsigned places; /* PLACE_*, of the next run */
    struct heap heap;
    mm_services services;
    uint64_t reads, sink_calls, cancel_calls;
    _Atomic uint64_t stop_calls; /* by any run of it */
    enum stage reached;          /* its constructor was called */
    void *state, *model, *signature, *instance;
    mm_source source;
    struct artifact artifact;
    mm_artifact view;
    mm_description description;
    mm_value *inputs;
    mm_size size;
    struct hand device;
    mm_region region;
    uint8_t *memory; /* the region's, writable */
    bool arrived[256];
    pthread_mutex_t arrival;
};

void life_init(struct life *life, struct world *world, const struct subject *subject);
/* From where it is to `to`. On failure the stage it stopped at is not undone: that is
 * life_fini's. */
mm_status life_lead(struct life *life, enum stage to, mm_error *err);
/* Destructors of all stages whose constructor was called, also if it failed. */
void life_fini(struct life *life);

/* One inference. */
struct run {
    struct life *life;
    struct heap heap;
    mm_exec exec;
    mm_value *inputs, *outputs;
    uint64_t asked, parts, more; /* calls of exec */
    mm_status status;
    mm_error err;
};
/* unwanted: bit i = output i. Fills run->status. */
void run_infer(struct run *run, struct life *life, uint32_t unwanted);
void run_fini(struct run *run);

/* values.c: an input that fits what the model declares; and comparing. */
void make_input(struct life *life, const mm_value_info *info, mm_value *value);
/* Made like that, none has more than 4096 elements: a run is short. */
bool small_inputs(const mm_value_info *infos, uint32_t count);
bool values_equal(const mm_value *a, const mm_value *b);

/* Status and text of a failure say the same, in one line. */
void check_error(mm_status status, const mm_error *err);

#endif
