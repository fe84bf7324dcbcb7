/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SCENARIO_SCENE_H
#define TESTS_SCENARIO_SCENE_H

/* What scenarios share beside the fixture of tests/api: requests that are kept, calls on threads of
 * their own, and who is told of a completion. */

#include <api/fixture.h>

/* A sanitizer has threads, stacks and system calls of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SCENE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SCENE_SANITIZED 1
#endif
#endif
#ifndef SCENE_SANITIZED
#define SCENE_SANITIZED 0
#endif

/* One request with x f32[1, 4], and its answer in memory of the library's. */
struct ask {
    struct fixture *f;
    mm_model model;
    float x[4];
    mm_value in;
    mm_request request;
    mm_response response;
    mm_op *op;
    mm_error err;
    unsigned called; /* under the fixture's gate mutex */
    mm_status told;  /* to the callback */
};

void ask_init(struct ask *ask, struct fixture *f, mm_model model);
/* Blocks. */
mm_status ask_infer(struct ask *ask);
/* With a callback that counts; the op is the ask's. */
mm_status ask_async(struct ask *ask);
/* Whose weights answered; asserts that y is x. */
int64_t ask_seed(const struct ask *ask);
/* Until the callback came. */
void ask_wait_called(struct ask *ask);
/* The callback's times so far. */
unsigned ask_called(struct ask *ask);
void ask_done(struct ask *ask); /* frees the response and the op */

/* One blocking request on the calling thread: the seed of the answer. Asserts MM_OK. */
int64_t scene_seed(struct fixture *f, mm_model model);
/* The same for a request that must be a hit. */
int64_t scene_hit(struct fixture *f, mm_model model);

/* Until the first device's used bytes are these; until a model is in this state. */
void scene_wait_used(struct fixture *f, uint64_t bytes);
void scene_wait_state(struct fixture *f, mm_model model, int32_t model_state);

/* A call on a thread of its own. */
struct call {
    pthread_t thread;
    mm_status (*run)(void *ctx);
    void *ctx;
    mm_status status;
    _Atomic bool returned;
};
void call_start(struct call *call, mm_status (*run)(void *ctx), void *ctx);
mm_status call_join(struct call *call);
/* The request of an ask, on a thread. */
void call_ask(struct call *call, struct ask *ask);

/* Moves the clock until the call has returned; its status. */
mm_status call_join_with_time(struct call *call, struct fixture *f);

#endif
