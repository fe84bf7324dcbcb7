/* SPDX-License-Identifier: Apache-2.0 */
/* Whose turn it is, and what time. Outside of the threads lies the loop: each step it picks one
 * that can run, or the next call to begin, or lets time pass; then what must hold is checked. */
#include "sim.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define START_NS UINT64_C(1000000000)
#define STEP_NS UINT64_C(200)
#define MOST_STEPS UINT64_C(200000)
#define HELD_STEPS UINT64_C(1000)
#define MOST_ADVANCES UINT64_C(8000)
#define ADVANCES_AT_REST 12u /* what time alone still brings about: idle time, back-off */

/* ---- What is wrong --------------------------------------------------------------------------- */

static const char *skipped[8];

void sim_skip(const char *text) {
    for (size_t i = 0; i < sizeof(skipped) / sizeof(skipped[0]); i++) {
        if (!skipped[i]) {
            skipped[i] = text;
            return;
        }
    }
}

static bool is_skipped(const char *text) {
    bool found = false;
    for (size_t i = 0; i < sizeof(skipped) / sizeof(skipped[0]) && skipped[i]; i++) {
        found |= strstr(text, skipped[i]) != NULL;
    }
    return found;
}

void sim_fail(struct sim *sim, const char *kind, const char *format, ...) {
    if (!sim->failed) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(sim->text, sizeof(sim->text), format, arguments);
        va_end(arguments);
        if (is_skipped(sim->text)) {
            return;
        }
        sim->failed = true;
        snprintf(sim->kind, sizeof(sim->kind), "%s", kind);
    }
    if (sim->current) {
        sim->current->state = THREAD_ENDED; /* it, and all others, stop where they are */
        mmi_tls()->threads = NULL;
        fiber_leave();
    }
}

/* ---- Turns ----------------------------------------------------------------------------------- */

static void set_state(struct sim_thread *thread, enum thread_state state) {
    thread->state = state;
    thread->since_step = thread->sim->step;
}

static void rest_until(struct sim_thread *thread, enum thread_state state, uint64_t wake_ns) {
    set_state(thread, state);
    thread->wake_ns = wake_ns == UINT64_MAX ? 0 : wake_ns;
    fiber_leave();
    thread->cond = NULL;
    thread->wake_ns = 0;
}

static void turn_over(struct sim *sim) {
    rest_until(sim->current, THREAD_RUNNABLE, 0);
}

void schedule_pause(struct sim *sim) {
    if (sim->current) {
        turn_over(sim);
    }
}

void schedule_sleep(struct sim *sim, uint64_t ns) {
    if (sim->current && ns > 0) {
        rest_until(sim->current, THREAD_ASLEEP, sim->now_ns + ns);
    }
}

/* ---- In place of the system's threads -------------------------------------------------------- */

static void thread_main(void *ctx) {
    struct sim_thread *thread = ctx;
    mmi_tls()->threads = &thread->sim->threads;
    mmi_tls()->shard = 1 + (unsigned)(thread - thread->sim->thread) % MMI_MAX_SHARDS;
    thread->run(thread->ctx);
    set_state(thread, THREAD_ENDED);
}

struct sim_thread *schedule_start(struct sim *sim, const char *name, void (*run)(void *ctx),
                                  void *ctx) {
    uint32_t i = 0;
    while (i < sim->thread_count && sim->thread[i].fiber) {
        i++;
    }
    if (i == MOST_THREADS) {
        return NULL;
    }
    struct sim_thread *thread = &sim->thread[i];
    *thread = (struct sim_thread){.sim = sim, .run = run, .ctx = ctx};
    thread->fiber = fiber_new(thread_main, thread);
    if (!thread->fiber) {
        return NULL;
    }
    sim->thread_count += i == sim->thread_count;
    snprintf(thread->name, sizeof(thread->name), "%s", name);
    thread->priority = chance_next(&sim->chance) | UINT64_C(1) << 32;
    set_state(thread, THREAD_RUNNABLE);
    return thread;
}

static int hook_start(void *user, const char *name, void (*run)(void *ctx), void *ctx,
                      void **thread) {
    *thread = schedule_start(user, name, run, ctx);
    return *thread ? 0 : EAGAIN;
}

static void release(struct sim_thread *thread) {
    fiber_free(thread->fiber);
    thread->fiber = NULL;
}

static void hook_join(void *user, void *joined) {
    struct sim *sim = user;
    struct sim_thread *thread = joined;
    while (thread->state != THREAD_ENDED) {
        sim->current->joined = thread;
        rest_until(sim->current, THREAD_JOINING, 0);
    }
    release(thread);
}

static void hook_wait(void *user, struct mmi_cond *cond, uint64_t deadline_ns) {
    struct sim *sim = user;
    struct sim_thread *thread = sim->current;
    if (thread->must_not_wait) {
        sim_fail(sim, "waits", "a call from inside of a slot waits");
    }
    if (thread->call && thread->slot_depth == 0 && thread->own_work == 0 &&
        !thread->call->may_wait) {
        sim_fail(sim, "waits", "call %u (%s) waits and may not", thread->call->index,
                 act_name(thread->call->act->kind));
    }
    if (sim->story) {
        story_where(thread);
    }
    thread->cond = cond;
    rest_until(thread, THREAD_WAITING, deadline_ns);
}

static void hook_wake(void *user, struct mmi_cond *cond, bool all) {
    struct sim *sim = user;
    struct sim_thread *waiting[MOST_THREADS];
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim->thread_count; i++) {
        struct sim_thread *thread = &sim->thread[i];
        if (thread->fiber && thread->state == THREAD_WAITING && thread->cond == cond) {
            waiting[count++] = thread;
        }
    }
    uint32_t first = !all && count > 1 ? (uint32_t)chance_below(&sim->chance, count) : 0;
    for (uint32_t i = 0; i < count && (all || i == 0); i++) {
        set_state(waiting[all ? i : first], THREAD_RUNNABLE);
        waiting[all ? i : first]->woken_step = sim->step;
    }
}

static void hook_pause(void *user) {
    struct sim *sim = user;
    uint32_t one_in = sim->scenario->pause_one_in;
    if (one_in == 0 || !sim->current || sim->pauses >= sim->scenario->most_pauses ||
        chance_below(&sim->chance, one_in) != 0) {
        return;
    }
    sim->pauses++;
    uint32_t hold = sim->scenario->hold_one_in;
    sim->current->held = hold && chance_below(&sim->chance, hold) == 0;
    turn_over(sim);
}

void schedule_init(struct sim *sim) {
    sim->threads =
        (struct mmi_threads){sim, hook_start, hook_join, hook_wait, hook_wake, hook_pause};
    sim->now_ns = START_NS;
    sim->chance = sim->scenario->schedule_seed;
    sim->starter_priority = chance_next(&sim->chance);
}

/* ---- The loop -------------------------------------------------------------------------------- */

static bool is_due(const struct sim *sim, const struct sim_thread *thread) {
    bool resting = thread->state == THREAD_WAITING || thread->state == THREAD_ASLEEP;
    return resting && thread->wake_ns != 0 && thread->wake_ns <= sim->now_ns;
}

/* Those that can run; and the next time at which another one can (0 = never). */
static uint32_t look(struct sim *sim, struct sim_thread **runnable, uint64_t *next_ns) {
    uint32_t count = 0;
    *next_ns = 0;
    for (uint32_t i = 0; i < sim->thread_count; i++) {
        struct sim_thread *thread = &sim->thread[i];
        if (!thread->fiber) {
            continue;
        }
        bool joined = thread->state == THREAD_JOINING && thread->joined->state == THREAD_ENDED;
        if (joined || is_due(sim, thread)) {
            set_state(thread, THREAD_RUNNABLE);
        }
        if (thread->state == THREAD_RUNNABLE) {
            runnable[count++] = thread;
        } else if (thread->state != THREAD_JOINING && thread->wake_ns != 0 &&
                   (*next_ns == 0 || thread->wake_ns < *next_ns)) {
            *next_ns = thread->wake_ns;
        }
    }
    return count;
}

/* Those that are held back go on when nothing else can, or much was done. */
static uint32_t leave_out_held(const struct sim *sim, struct sim_thread **runnable, uint32_t count,
                               bool can_begin) {
    uint32_t others = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct sim_thread *thread = runnable[i];
        thread->held &= sim->step - thread->since_step < HELD_STEPS;
        if (!thread->held) { /* to the front */
            runnable[i] = runnable[others];
            runnable[others++] = thread;
        }
    }
    if (others > 0 || can_begin) {
        return others;
    }
    for (uint32_t i = 0; i < count; i++) {
        runnable[i]->held = false;
    }
    return count;
}

/* NULL: the next call begins. */
static struct sim_thread *pick(struct sim *sim, struct sim_thread **runnable, uint32_t count,
                               bool can_begin) {
    uint64_t *chance = &sim->chance;
    count = leave_out_held(sim, runnable, count, can_begin);
    if (!sim->scenario->by_priority) {
        uint64_t at = chance_below(chance, count + can_begin);
        return at < count ? runnable[at] : NULL;
    }
    if (chance_below(chance, 12) ==
        0) { /* somebody falls behind all others, or comes to the front */
        uint64_t at = chance_below(chance, count + 1);
        uint64_t priority = chance_percent(chance, 50) ? 0 : UINT64_MAX;
        *(at < count ? &runnable[at]->priority : &sim->starter_priority) =
            priority ^ chance_below(chance, 1024);
    }
    struct sim_thread *best = can_begin ? NULL : runnable[0];
    uint64_t priority = can_begin ? sim->starter_priority : runnable[0]->priority;
    for (uint32_t i = 0; i < count; i++) {
        if (runnable[i]->priority > priority) {
            best = runnable[i];
            priority = best->priority;
        }
    }
    return best;
}

static void take_turn(struct sim *sim, struct sim_thread *thread) {
    sim->current = thread;
    fiber_enter(thread->fiber);
    sim->current = NULL;
    if (thread->state == THREAD_ENDED && thread->call && !sim->failed) {
        release(thread);
        sim->in_flight--;
    }
}

static void advance(struct sim *sim, uint64_t next_ns) {
    sim->now_ns = next_ns > sim->now_ns ? next_ns : sim->now_ns;
    if (++sim->advances > MOST_ADVANCES) {
        sim_fail(sim, "endless", "time passes and passes, and it does not come to an end");
    }
}

static void wake_for_nothing(struct sim *sim) {
    struct sim_thread *thread = &sim->thread[chance_below(&sim->chance, sim->thread_count)];
    if (thread->fiber && thread->state == THREAD_WAITING) {
        set_state(thread, THREAD_RUNNABLE);
    }
}

/* false: nobody can run, not even later. */
static bool step(struct sim *sim, bool may_advance) {
    struct sim_thread *runnable[MOST_THREADS];
    uint64_t next_ns;
    uint32_t count = look(sim, runnable, &next_ns);
    bool can_begin = !sim->at_end && calls_left(sim) && sim->in_flight < sim->scenario->crowd;
    if (++sim->step > MOST_STEPS) {
        sim_fail(sim, "endless", "it does not come to an end");
        return false;
    }
    if (count == 0 && !can_begin) {
        check_quiet(sim, next_ns);
        if (next_ns == 0 || !may_advance || sim->failed) {
            return false;
        }
        advance(sim, next_ns);
        return true;
    }
    uint32_t tick = sim->scenario->tick_one_in;
    if (tick && next_ns && !sim->at_end && chance_below(&sim->chance, tick) == 0) {
        advance(sim, next_ns);
        return true;
    }
    sim->now_ns += STEP_NS;
    if (sim->scenario->spurious && chance_below(&sim->chance, 8) == 0) {
        wake_for_nothing(sim);
    }
    struct sim_thread *thread = pick(sim, runnable, count, can_begin);
    if (thread) {
        take_turn(sim, thread);
    } else {
        calls_begin(sim);
    }
    check_step(sim);
    return true;
}

static void hang(struct sim *sim) {
    struct sim_thread *first = NULL;
    for (uint32_t i = 0; i < sim->thread_count; i++) {
        struct sim_thread *thread = &sim->thread[i];
        bool ours = thread->fiber && (thread->call || thread->run == sim->finish);
        if (ours && thread->state != THREAD_ENDED && !first) {
            first = thread;
        }
    }
    if (!sim->failed && first) {
        sim_fail(sim, "hang", "%s waits, and nothing will ever wake it", first->name);
    }
}

/* Until the thread has ended; all others go on meanwhile. */
static void run_alone(struct sim *sim, const char *name, void (*run)(struct sim *sim)) {
    sim->at_end = true;
    sim->alone = run;
    struct sim_thread *thread = schedule_start(sim, name, sim->finish, sim);
    while (!sim->failed && thread->state != THREAD_ENDED) {
        if (!step(sim, true)) {
            hang(sim);
        }
    }
    if (!sim->failed) {
        release(thread);
    }
    sim->at_end = false;
}

static void run_calls(struct sim *sim) {
    while (!sim->failed && (calls_left(sim) || sim->in_flight > 0)) {
        if (!step(sim, true)) {
            hang(sim);
        }
    }
    for (unsigned i = 0; i < ADVANCES_AT_REST && !sim->failed; i++) {
        uint64_t before = sim->advances;
        while (sim->advances == before && step(sim, true)) {}
    }
    while (!sim->failed && step(sim, false)) {}
}

static void alone_main(void *ctx) {
    struct sim *sim = ctx;
    sim->alone(sim);
}

void schedule_run(struct sim *sim) {
    sim->finish = alone_main;
    run_alone(sim, "setup", setup_mesh);
    if (!sim->failed && sim->mesh) {
        run_calls(sim);
        if (!sim->failed) {
            run_alone(sim, "end", calls_finish);
        }
    }
    for (uint32_t i = 0; i < sim->thread_count && !sim->failed; i++) {
        if (sim->thread[i].fiber) {
            sim_fail(sim, "thread", "thread %s was never joined", sim->thread[i].name);
        }
    }
    if (!sim->failed) {
        check_returned(sim);
    }
}
