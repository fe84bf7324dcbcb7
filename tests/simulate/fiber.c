/* SPDX-License-Identifier: Apache-2.0 */
#include "fiber.h"

#include <base/lock.h>
#include <base/thread.h>

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#else
#define WITH_ASAN 0
#endif

#define STACK_BYTES (WITH_ASAN ? (size_t)1 << 20 : (size_t)256 << 10)
#define GUARD_BYTES ((size_t)4096)

/* ---- The switch ------------------------------------------------------------------------------ */

#if defined(__x86_64__)

/* A stopped side is its stack pointer; what a call must keep lies on its stack. */
typedef void *place;

void fiber_switch(place *from, place to);
__asm__(".text\n"
        ".p2align 4\n"
        ".globl fiber_switch\n"
        ".type fiber_switch, @function\n"
        "fiber_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size fiber_switch, . - fiber_switch\n");

static void prepare(place *at, void *stack, void (*begin)(void)) {
    void **top = (void **)((char *)stack + STACK_BYTES);
    *--top = NULL; /* where begin would return to: it begins aligned as after a call */
    *--top = (void *)(uintptr_t)begin;
    for (int i = 0; i < 6; i++) {
        *--top = NULL;
    }
    *at = top;
}

static void switch_sides(place *from, place *to) {
    fiber_switch(from, *to);
}

#else

#include <ucontext.h>

typedef ucontext_t place;

static void prepare(place *at, void *stack, void (*begin)(void)) {
    getcontext(at);
    at->uc_stack.ss_sp = stack;
    at->uc_stack.ss_size = STACK_BYTES;
    at->uc_link = NULL;
    makecontext(at, begin, 0);
}

static void switch_sides(place *from, place *to) {
    swapcontext(from, to);
}

#endif

/* ---- Fibers ---------------------------------------------------------------------------------- */

struct fiber {
    struct fiber *next; /* unused ones */
    void *stack;
    place at;
    struct mmi_tls tls;
    void *shadow; /* the sanitizer's, while it is stopped */
    void (*run)(void *ctx);
    void *ctx;
    bool ended;
};

static struct fiber *unused;
static struct fiber *current;
static place outside;

#if WITH_ASAN
static const void *outside_stack;
static size_t outside_bytes;
#endif

static void begin(void) {
#if WITH_ASAN
    __sanitizer_finish_switch_fiber(NULL, &outside_stack, &outside_bytes);
#endif
    struct fiber *self = current;
    self->run(self->ctx);
    self->ended = true;
    fiber_leave();
    abort(); /* nobody enters it again */
}

static void *new_stack(void) {
    char *memory = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    if (mprotect(memory + GUARD_BYTES, STACK_BYTES, PROT_READ | PROT_WRITE) != 0) {
        munmap(memory, GUARD_BYTES + STACK_BYTES);
        return NULL;
    }
    return memory + GUARD_BYTES;
}

struct fiber *fiber_new(void (*run)(void *ctx), void *ctx) {
    struct fiber *fiber = unused;
    if (fiber) {
        unused = fiber->next;
    } else {
        fiber = calloc(1, sizeof(*fiber));
        fiber->stack = new_stack();
        if (!fiber->stack) {
            free(fiber);
            return NULL;
        }
    }
    *fiber = (struct fiber){.stack = fiber->stack, .run = run, .ctx = ctx};
    prepare(&fiber->at, fiber->stack, begin);
    return fiber;
}

void fiber_free(struct fiber *fiber) {
    fiber->next = unused;
    unused = fiber;
}

void fiber_enter(struct fiber *fiber) {
    struct mmi_tls mine = *mmi_tls();
    *mmi_tls() = fiber->tls;
    current = fiber;
#if WITH_ASAN
    void *shadow;
    __sanitizer_start_switch_fiber(&shadow, fiber->stack, STACK_BYTES);
#endif
    switch_sides(&outside, &fiber->at);
#if WITH_ASAN
    __sanitizer_finish_switch_fiber(shadow, NULL, NULL);
#endif
    current = NULL;
    fiber->tls = *mmi_tls();
    *mmi_tls() = mine;
}

void fiber_leave(void) {
    mmi_assert_no_locks();
    struct fiber *self = current;
#if WITH_ASAN
    __sanitizer_start_switch_fiber(self->ended ? NULL : &self->shadow, outside_stack,
                                   outside_bytes);
#endif
    switch_sides(&self->at, &outside);
#if WITH_ASAN
    __sanitizer_finish_switch_fiber(self->shadow, &outside_stack, &outside_bytes);
#endif
}

bool fiber_ended(const struct fiber *fiber) {
    return fiber->ended;
}
