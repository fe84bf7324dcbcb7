/* SPDX-License-Identifier: Apache-2.0 */
/* What a call costs its caller: no allocation, system call or lock on a hit; 64 KiB of stack. */
#include "scene.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* One request into the caller's own buffers. */
struct own {
    struct ask ask;
    float y[4];
    int64_t z[2];
    mm_value out[2];
};

static void own_init(struct own *own, struct fixture *f, mm_model model) {
    ask_init(&own->ask, f, model);
    own->out[0] = (mm_value){.data = own->y, .bytes = sizeof(own->y)};
    own->out[1] = (mm_value){.data = own->z, .bytes = sizeof(own->z)};
    own->ask.response.outputs = own->out;
    own->ask.response.output_capacity = 2;
}

static bool own_hit(struct own *own) {
    own->y[3] = 0;
    own->z[1] = -1;
    return ask_infer(&own->ask) == MM_OK && (own->ask.response.flags & MM_RESPONSE_HIT) &&
           own->ask.response.wait_ns == 0 && own->y[3] == 4 && own->z[1] == 1;
}

/* "The hot path has no lock, allocation ...": after 100 calls to get warm, with the caller's
 * buffers, by name and by binding. */
static void test_hit_allocates_nothing_and_takes_no_lock(void **state) {
    (void)state;
    struct fixture f;
    fixture_open_with(&f, NULL, 0, true);
    mm_model model = fixture_add(&f, "m", "weights_bytes 64k\nactivation_bytes 64k\nseed 1\n");
    mm_binding *binding;
    assert_int_equal(mm_bind(f.mesh, model, (const char *[]){"x"}, 1, NULL, 0, &binding, &f.err),
                     MM_OK);
    struct own own;
    own_init(&own, &f, model);
    assert_int_equal(ask_infer(&own.ask), MM_OK);
    for (int bound = 0; bound < 2; bound++) {
        own.ask.request.binding = bound ? binding : NULL;
        for (int i = 0; i < 100; i++) {
            assert_true(own_hit(&own));
        }
        uint64_t allocations = world_allocations(&f.world);
        mmi_lock(&f.mesh->res.lock); /* whoever took it now would wait for ever */
        bool good = true;
        for (int i = 0; i < 1000; i++) {
            good = own_hit(&own) && good;
        }
        mmi_unlock(&f.mesh->res.lock);
        assert_true(good);
        assert_int_equal(world_allocations(&f.world), allocations);
    }
    mm_binding_free(binding);
    fixture_close(&f);
}

/* ---- System calls ---------------------------------------------------------------------------- */

/* What a filtered thread finds out, for the parent to see. */
struct traps {
    volatile sig_atomic_t count, first;
    int clock_traps; /* reading the clock is a system call on this machine */
    int hits;
    bool filtered;
};
static struct traps *traps; /* of the child: a signal handler knows no argument of ours */

static void on_trap(int number, siginfo_t *info, void *context) {
    (void)number;
    (void)context;
    if (traps->count++ == 0) {
        traps->first = info->si_syscall;
    }
}

/* Every system call of the calling thread raises SIGSYS, but for the ways out. */
static bool trap_system_calls(void) {
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
    return sigaction(SIGSYS, &action, NULL) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* In a child, which takes the filter with it when it goes: a mesh on the real clock, warm, then
 * 1,000 hits of which none may enter the kernel. */
static void hit_under_filter(void) {
    struct fixture f;
    fixture_open_with(&f, NULL, 0, true);
    mm_model model = fixture_add(&f, "m", "weights_bytes 64k\nactivation_bytes 64k\nseed 1\n");
    struct own own;
    own_init(&own, &f, model);
    bool good = ask_infer(&own.ask) == MM_OK;
    for (int i = 0; i < 100; i++) {
        good = own_hit(&own) && good;
    }
    struct timespec now;
    if (!good || !trap_system_calls()) {
        _exit(1);
    }
    traps->filtered = true;
    clock_gettime(CLOCK_MONOTONIC, &now);
    traps->clock_traps = traps->count;
    traps->count = 0;
    for (int i = 0; i < 1000; i++) {
        traps->hits += own_hit(&own);
    }
    _exit(0);
}

/* "... or system call". */
static void test_hit_makes_no_system_call(void **state) {
    (void)state;
    if (SCENE_SANITIZED) {
        skip();
    }
    traps = mmap(NULL, sizeof(*traps), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(traps, MAP_FAILED);
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        hit_under_filter();
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    struct traps found = *traps;
    munmap(traps, sizeof(*traps));
    assert_int_equal(status, 0);
    assert_true(found.filtered);
    assert_int_equal(found.hits, 1000);
    if (found.count > 0) {
        fail_msg("%d system calls in 1000 hits, the first is number %d (the clock: %d)",
                 (int)found.count, (int)found.first, found.clock_traps);
    }
}

/* ---- While others load ----------------------------------------------------------------------- */

/* "loads that do not disturb resident models": wherever a load stands, 10,000 hits complete, and
 * none of them waits for a lock. */
static void test_loads_never_slow_residents(void **state) {
    (void)state;
    enum mmi_echo_slot slots[] = {MMI_ECHO_PREPARE, MMI_ECHO_OPEN, MMI_ECHO_ATTACH,
                                  MMI_ECHO_DETACH};
    for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
        struct fixture f;
        fixture_open(&f, NULL);
        mm_model hot = fixture_add(&f, "hot", "weights_bytes 1m\nseed 1\n");
        mm_model victim = fixture_add_gated(&f, "victim", "weights_bytes 10m\ncheck 0\nseed 2\n");
        mm_model cold = fixture_add_gated(&f, "cold", "weights_bytes 10m\ncheck 0\nseed 3\n");
        bool detach = slots[i] == MMI_ECHO_DETACH;
        if (detach) {
            assert_int_equal(scene_seed(&f, victim), 2);
            fixture_advance(&f, 1000 * MS);
        }
        assert_int_equal(scene_seed(&f, hot), 1);
        gate_close(&f, slots[i]);
        struct ask ask;
        struct call call;
        ask_init(&ask, &f, cold);
        call_ask(&call, &ask);
        gate_wait(&f, slots[i], 1);
        wait_queued(&f, 1);
        struct own own;
        own_init(&own, &f, hot);
        mmi_lock(&f.mesh->res.lock);
        uint64_t contended = f.mesh->res.lock.contended;
        mmi_unlock(&f.mesh->res.lock);
        unsigned hits = 0;
        for (int k = 0; k < 10000; k++) {
            hits += own_hit(&own);
        }
        assert_int_equal(hits, 10000);
        mmi_lock(&f.mesh->res.lock);
        assert_int_equal(f.mesh->res.lock.contended, contended);
        mmi_unlock(&f.mesh->res.lock);
        assert_false(atomic_load(&call.returned));
        gate_open(&f, slots[i]);
        assert_int_equal(call_join(&call), MM_OK);
        assert_int_equal(ask_seed(&ask), 3);
        ask_done(&ask);
        fixture_close(&f);
    }
}

/* ---- Stack ----------------------------------------------------------------------------------- */

#define STACK_BYTES (1u << 20)
#define MOST_BYTES (64u << 10)
#define PAINT 0xa7

struct depth {
    unsigned char *stack; /* [STACK_BYTES], the lowest address first */
    void (*run)(void *ctx);
    void *ctx;
    size_t used_bytes; /* below the frame that called run */
};

/* The paint begins well below the own frame, and what lies between counts as used. */
#define GAP_BYTES 1024

static void *paint_and_run(void *ctx) {
    struct depth *depth = ctx;
    unsigned char *here = __builtin_frame_address(0);
    volatile unsigned char *end = here - GAP_BYTES;
    for (volatile unsigned char *at = depth->stack; at < end; at++) {
        *at = PAINT;
    }
    depth->run(depth->ctx);
    volatile unsigned char *lowest = depth->stack;
    while (lowest < end && *lowest == PAINT) {
        lowest++;
    }
    depth->used_bytes = (size_t)(here - lowest);
    return NULL;
}

static size_t stack_of(void (*run)(void *ctx), void *ctx) {
    struct depth depth = {.run = run, .ctx = ctx};
    depth.stack =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(depth.stack, MAP_FAILED);
    pthread_attr_t attr;
    pthread_t thread;
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstack(&attr, depth.stack, STACK_BYTES), 0);
    assert_int_equal(pthread_create(&thread, &attr, paint_and_run, &depth), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attr);
    munmap(depth.stack, STACK_BYTES);
    return depth.used_bytes;
}

struct caller_on_paint {
    struct fixture *f;
    mm_model model, second;
    struct own own;
    mm_status status;
    mm_mesh *mesh;
    char *text;
};

static void infer_on_paint(void *ctx) {
    struct caller_on_paint *caller = ctx;
    caller->status = ask_infer(&caller->own.ask);
}

static void look_on_paint(void *ctx) {
    struct caller_on_paint *caller = ctx;
    mm_plan plan = MM_PLAN_INIT;
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    caller->status = mm_plan_load(caller->f->mesh, caller->second, &plan, NULL);
    mm_mesh_stats_get(caller->f->mesh, &stats);
    mm_metrics_text(caller->f->mesh, caller->text, 4096);
}

static void change_on_paint(void *ctx) {
    struct caller_on_paint *caller = ctx;
    mm_model_spec spec = fixture_spec(caller->f, NULL, "echo", "weights_bytes 9m\ncheck 0\n");
    caller->status =
        mm_update(caller->f->mesh, caller->model, &spec, MM_UPDATE_REPLACE, NULL, NULL, NULL);
    mm_evict(caller->f->mesh, caller->model, MM_NO_WAIT, NULL);
    mm_unregister(caller->f->mesh, caller->second, NULL);
}

static void make_on_paint(void *ctx) {
    struct caller_on_paint *caller = ctx;
    caller->status = mm_mesh_create(NULL, &caller->mesh, NULL);
    if (caller->status == MM_OK) {
        caller->status = mm_mesh_free(&caller->mesh);
    }
}

static void assert_shallow(const char *what, void (*run)(void *ctx),
                           struct caller_on_paint *caller) {
    size_t bytes = stack_of(run, caller);
    print_message("%s: %zu bytes of stack\n", what, bytes);
    assert_int_equal(caller->status, MM_OK);
    assert_true(bytes <= MOST_BYTES);
}

/* "a call needs at most 64 KiB of the caller's stack (measured on a painted stack)": cold, with all
 * the work on the caller, with somebody to evict; hot; and the other large calls. */
static void test_calls_need_little_stack(void **state) {
    (void)state;
    if (SCENE_SANITIZED) {
        skip();
    }
    for (int alone = 0; alone < 2; alone++) {
        struct fixture f;
        mm_mesh_options options = MM_MESH_OPTIONS_INIT;
        options.infer_threads = alone ? MM_THREADS_NONE : 0;
        fixture_open(&f, &options);
        char text[4096];
        struct caller_on_paint caller = {.f = &f, .text = text};
        caller.second = fixture_add(&f, "second", "weights_bytes 9m\ncheck 0\nseed 2\n");
        caller.model = fixture_add(&f, "m", "weights_bytes 9m\ncheck 0\nseed 1\n");
        assert_int_equal(scene_seed(&f, caller.second), 2);
        fixture_advance(&f, 1000 * MS);
        own_init(&caller.own, &f, caller.model);
        assert_shallow(alone ? "cold infer, on the caller" : "cold infer", infer_on_paint, &caller);
        assert_shallow("hot infer", infer_on_paint, &caller);
        assert_shallow("plan, stats, metrics", look_on_paint, &caller);
        assert_shallow("update, evict, unregister", change_on_paint, &caller);
        assert_shallow("create, free", make_on_paint, &caller);
        fixture_close(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hit_allocates_nothing_and_takes_no_lock),
        cmocka_unit_test(test_hit_makes_no_system_call),
        cmocka_unit_test(test_loads_never_slow_residents),
        cmocka_unit_test(test_calls_need_little_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
