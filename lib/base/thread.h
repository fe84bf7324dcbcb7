/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BASE_THREAD_H
#define MMI_BASE_THREAD_H

/* Threads of ours: named "<prefix>-<role>-<n>", all signals blocked, pinned to the host's CPUs. */

#include <base/status.h>

#include <pthread.h>

struct mmi_cond;
struct mmi_env;

/* Threads that tests put in place of the system's. One runs at a time, and another gets its turn
 * only inside wait, pause, join and start, where no lock is held (start: where none need be). */
struct mmi_threads {
    void *user;
    /* 0 or an errno. *thread is for join. `run` and what it needs are kept until it ends. */
    int (*start)(void *user, const char *name, void (*run)(void *ctx), void *ctx, void **thread);
    void (*join)(void *user, void *thread);
    /* Until woken or until the clock passes deadline_ns (0 = no deadline); may return early. */
    void (*wait)(void *user, struct mmi_cond *cond, uint64_t deadline_ns);
    void (*wake)(void *user, struct mmi_cond *cond, bool all); /* one that waits, or all; no turn */
    void (*pause)(void *user); /* a thread of theirs has just let go of its last lock */
};

struct mmi_thread {
    void (*run)(void *ctx);
    void *ctx;
    char name[16]; /* as much as the kernel keeps */
    pthread_t id;
    void *other; /* of `threads`, where there are some */
    const struct mmi_threads *threads;
    bool running;
};

/* MM_NO_THREADS when it cannot be started. role: "load", "infer" ...; the name is cut to 15
 * bytes. */
mm_status mmi_thread_start(const struct mmi_env *env, struct mmi_thread *thread, const char *role,
                           unsigned number, void (*run)(void *ctx), void *ctx, mm_error *err);
/* Waits for its end; does nothing when it never started. */
void mmi_thread_join(struct mmi_thread *thread);

/* All that the library keeps per thread. */
struct mmi_frame; /* residency: the backend call that this thread is in */
struct mmi_tls {
    unsigned shard;                    /* 1 + this thread's number; 0 = not numbered yet */
    const struct mmi_frame *frame;     /* innermost; NULL = none */
    void *transfer;                    /* residency: the load whose bytes this thread moves */
    int64_t backend_bytes;             /* allocated less freed by backends on this thread, ever */
    bool inside_body;                  /* pool: of a parallel_for; one more runs here alone */
    uint32_t locks;                    /* held */
    uint32_t locks_taken;              /* ever; wraps. Read by tests */
    const struct mmi_logging *logging; /* the line that this thread is writing; NULL = none */
    const void *delivers;              /* work: the board whose callbacks this thread runs */
    const struct mmi_threads *threads; /* that it is one of; NULL = the system's */
};
/* initial-exec: reading it is one instruction, and never allocates in the middle of a request. */
extern _Thread_local struct mmi_tls mmi_tls_self __attribute__((tls_model("initial-exec")));
static inline struct mmi_tls *mmi_tls(void) {
    return &mmi_tls_self;
}

#define MMI_MAX_SHARDS 64u
/* Give a thread its number, 0 .. MMI_MAX_SHARDS - 1 in turn; once in its life. */
void mmi_tls_number(struct mmi_tls *tls);
/* The calling thread's shard of `count`, a power of two <= MMI_MAX_SHARDS. */
static inline unsigned mmi_thread_shard(unsigned count) {
    struct mmi_tls *tls = mmi_tls();
    if (__builtin_expect(tls->shard == 0, 0)) {
        mmi_tls_number(tls);
    }
    return (tls->shard - 1) & (count - 1);
}

#endif
