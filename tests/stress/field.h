/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_STRESS_FIELD_H
#define TESTS_STRESS_FIELD_H

/* A mesh on the real clock over echo models, and a backend that watches what is detached. Calls
 * come from many threads, so trouble is noted here and asserted later by the main thread. */

#include <support/world.h>

#include <api/mesh.h>
#include <backends/echo/echo.h>

#define FIELD_KIB UINT64_C(1024)
#define FIELD_MIB (UINT64_C(1) << 20)
#define FIELD_MS UINT64_C(1000000)

/* The echo's `version` word of models that are pinned from their first moment to the end. */
#define FIELD_PINNED "pinned"

struct field {
    struct world world;
    mm_mesh *mesh;
    struct mmi_echo_hooks hooks;
    mm_backend watched;          /* name "watched" */
    _Atomic uint64_t fail_every; /* one attach in so many fails with MM_IO; 0 = none */
    _Atomic uint64_t attached;   /* calls */
    _Atomic uint64_t in_use;     /* detached while somebody ran on it */
    _Atomic uint64_t pinned;     /* detached although pinned */
    _Atomic bool ending;         /* from here on everything leaves */
    _Atomic bool troubled;
    pthread_mutex_t mutex;
    char trouble[512]; /* the first */
};

/* options: allocator is the field's. */
void field_open(struct field *field, const mm_mesh_options *options);
/* Frees the mesh; asserts that nothing is left. */
void field_close(struct field *field);

__attribute__((format(printf, 2, 3))) void field_trouble(struct field *field, const char *format,
                                                         ...);
/* Fails the test with the first trouble. Main thread. */
void field_expect_no_trouble(struct field *field);
/* Notes what residency_check finds. */
void field_check(struct field *field);

/* One request: x f32 [1, 4] -> y, z. Lives until its end was seen. */
struct field_request {
    float x[4];
    mm_value input;
    mm_request request;
    mm_response response;
};
void field_request_init(struct field_request *request, float mark, uint64_t deadline_ns);
/* After MM_OK. The seed that answered; UINT64_MAX when the answer is not of one model's weights, or
 * y is not x. weights_bytes: what a model of a seed weighs. */
uint64_t field_answer(const struct field_request *request,
                      uint64_t (*weights_bytes)(uint64_t seed));

#endif
