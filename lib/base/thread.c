/* SPDX-License-Identifier: Apache-2.0 */
#include <base/env.h>
#include <base/thread.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

_Thread_local struct mmi_tls mmi_tls_self __attribute__((tls_model("initial-exec")));

void mmi_tls_number(struct mmi_tls *number) {
    static _Atomic unsigned next; /* spreads threads; carries no state of any mesh */
    number->shard = 1 + atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % MMI_MAX_SHARDS;
}

static void *thread_main(void *argument) {
    struct mmi_thread *thread = argument;
    pthread_setname_np(pthread_self(), thread->name);
    thread->run(thread->ctx);
    return NULL;
}

static void other_main(void *argument) {
    struct mmi_thread *thread = argument;
    thread->run(thread->ctx);
}

/* 0 or an errno. */
static int set_affinity(pthread_attr_t *attr, const struct mmi_env *env) {
    if (!env->cpus) {
        return 0;
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    for (size_t i = 0; i < env->cpu_count; i++) {
        if (env->cpus[i] < 0 || env->cpus[i] >= CPU_SETSIZE) {
            return EINVAL;
        }
        CPU_SET((unsigned)env->cpus[i], &set);
    }
    return pthread_attr_setaffinity_np(attr, sizeof(set), &set);
}

/* 0 or an errno. */
static int create(const struct mmi_env *env, struct mmi_thread *thread) {
    pthread_attr_t attr;
    int errnum = pthread_attr_init(&attr);
    if (errnum) {
        return errnum;
    }
    errnum = set_affinity(&attr, env);
    if (!errnum) {
        /* The thread starts with every signal blocked: no handler of the host ever runs on it. */
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        errnum = pthread_create(&thread->id, &attr, thread_main, thread);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attr);
    return errnum;
}

mm_status mmi_thread_start(const struct mmi_env *env, struct mmi_thread *thread, const char *role,
                           unsigned number, void (*run)(void *ctx), void *ctx, mm_error *err) {
    char name[64];
    snprintf(name, sizeof(name), "%s-%s-%u", env->thread_prefix, role, number);
    *thread = (struct mmi_thread){.run = run, .ctx = ctx, .threads = env->threads};
    snprintf(thread->name, sizeof(thread->name), "%.15s", name);
    int errnum = mmi_fault(env, "thread");
    if (!errnum) {
        errnum = env->threads ? env->threads->start(env->threads->user, thread->name, other_main,
                                                    thread, &thread->other)
                              : create(env, thread);
    }
    if (errnum) {
        /* Whatever the errno: EAGAIN is a limit, ENOMEM a stack that found no room. */
        const char *reason = strerrordesc_np(errnum);
        return mmi_fail(err, MM_NO_THREADS, "thread %s-%u: %s", role, number,
                        reason ? reason : "unknown error");
    }
    thread->running = true;
    return MM_OK;
}

void mmi_thread_join(struct mmi_thread *thread) {
    if (thread->running) {
        if (thread->threads) {
            thread->threads->join(thread->threads->user, thread->other);
        } else {
            pthread_join(thread->id, NULL);
        }
        thread->running = false;
    }
}
