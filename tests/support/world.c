/* SPDX-License-Identifier: Apache-2.0 */
#include <support/world.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Before each block: what free must be told again. Behind it: a mark that an overrun destroys. */
struct header {
    uint64_t bytes;
    uint64_t mark;
};
#define MARK UINT64_C(0x6d657368776f726c)

/* Locks through a const pointer: the mutex is no part of what a reader sees. */
static pthread_mutex_t *mutex_of(const struct world *world) {
    return (pthread_mutex_t *)(uintptr_t)&world->mutex;
}

static bool count_down(struct world_count *count) {
    if (count->until == 0 || --count->until > 0) {
        return false;
    }
    count->hit = true;
    return true;
}

static size_t front_bytes(size_t align) {
    return align > sizeof(struct header) ? align : sizeof(struct header);
}

static void let_between(struct world *world) {
    pthread_mutex_lock(&world->mutex);
    bool now = world->between_until > 0 && --world->between_until == 0;
    pthread_mutex_unlock(&world->mutex);
    if (now) {
        world->between(world->between_ctx);
    }
}

static void *counted_alloc(void *user, size_t bytes, size_t align) {
    let_between(user);
    struct world *world = user;
    assert_true(bytes > 0);
    assert_true(align > 0 && (align & (align - 1)) == 0);
    pthread_mutex_lock(&world->mutex);
    world->allocations++;
    bool fails =
        count_down(&world->alloc_failure) || (world->most_bytes > 0 && bytes > world->most_bytes);
    if (!fails) {
        world->live_bytes += bytes;
        world->live_blocks++;
    }
    pthread_mutex_unlock(&world->mutex);
    if (fails) {
        return NULL;
    }
    /* The start of the block is found again from the header, which lies right before the memory. */
    char *block = NULL;
    size_t front = front_bytes(align);
    int failed = posix_memalign((void **)&block, front, front + bytes + sizeof(uint64_t) * 2);
    assert_int_equal(failed, 0);
    char *memory = block + front;
    struct header header = {bytes, MARK ^ front};
    memcpy(memory - sizeof(header), &header, sizeof(header));
    memcpy(memory + bytes, &header.mark, sizeof(header.mark));
    memset(memory, 0xa5, bytes); /* nobody may count on zeroes here */
    return memory;
}

static void counted_free(void *user, void *memory, size_t bytes) {
    struct world *world = user;
    assert_non_null(memory);
    struct header header;
    uint64_t tail;
    memcpy(&header, (char *)memory - sizeof(header), sizeof(header));
    assert_int_equal(header.bytes, bytes); /* the size given back is the size that was asked */
    memcpy(&tail, (char *)memory + bytes, sizeof(tail));
    assert_int_equal(tail, header.mark); /* nothing was written past the end */
    memset(memory, 0x5a, bytes);
    free((char *)memory - (header.mark ^ MARK));
    pthread_mutex_lock(&world->mutex);
    world->live_bytes -= bytes;
    world->live_blocks--;
    pthread_mutex_unlock(&world->mutex);
}

static uint64_t fake_now(void *user) {
    struct world *world = user;
    pthread_mutex_lock(&world->mutex);
    uint64_t now_ns = world->now_ns;
    world->now_ns += world->tick_ns;
    pthread_mutex_unlock(&world->mutex);
    return now_ns;
}

static int fault(void *user, const char *what) {
    struct world *world = user;
    int errnum = 0;
    pthread_mutex_lock(&world->mutex);
    if (world->fault_what[0] == '\0' || strcmp(world->fault_what, what) == 0) {
        errnum = count_down(&world->fault_failure) ? world->fault_errnum : 0;
    }
    pthread_mutex_unlock(&world->mutex);
    return errnum;
}

void world_init(struct world *world) {
    memset(world, 0, sizeof(*world));
    pthread_mutex_init(&world->mutex, NULL);
    world->now_ns = WORLD_START_NS;
    world->env.alloc = (mm_allocator){world, counted_alloc, counted_free};
    mmi_clock_init(&world->env.clock, fake_now, world);
    snprintf(world->env.thread_prefix, sizeof(world->env.thread_prefix), "mm");
    world->env.fault = fault;
    world->env.fault_user = world;
}

void world_fini(struct world *world) {
    assert_int_equal(world->live_bytes, 0);
    assert_int_equal(world->live_blocks, 0);
    pthread_mutex_destroy(&world->mutex);
}

void world_advance(struct world *world, uint64_t ns) {
    pthread_mutex_lock(&world->mutex);
    world->now_ns += ns;
    pthread_mutex_unlock(&world->mutex);
}

static uint64_t read_locked(const struct world *world, const uint64_t *number) {
    pthread_mutex_lock(mutex_of(world));
    uint64_t value = *number;
    pthread_mutex_unlock(mutex_of(world));
    return value;
}

uint64_t world_live_bytes(const struct world *world) {
    return read_locked(world, &world->live_bytes);
}

uint64_t world_allocations(const struct world *world) {
    return read_locked(world, &world->allocations);
}

/* Disarming keeps what was hit, so that a loop may disarm first and ask then. */
static void arm(struct world *world, struct world_count *count, uint64_t nth) {
    count->until = nth;
    if (nth > 0) {
        world->alloc_failure.hit = false;
        world->fault_failure.hit = false;
    }
}

void world_between(struct world *world, uint64_t nth, void (*between)(void *ctx), void *ctx) {
    pthread_mutex_lock(&world->mutex);
    world->between = between;
    world->between_ctx = ctx;
    world->between_until = nth;
    pthread_mutex_unlock(&world->mutex);
}

void world_fail_alloc(struct world *world, uint64_t nth) {
    pthread_mutex_lock(&world->mutex);
    arm(world, &world->alloc_failure, nth);
    pthread_mutex_unlock(&world->mutex);
}

void world_fault(struct world *world, const char *what, uint64_t nth, int errnum) {
    pthread_mutex_lock(&world->mutex);
    snprintf(world->fault_what, sizeof(world->fault_what), "%s", what ? what : "");
    world->fault_errnum = errnum;
    arm(world, &world->fault_failure, nth);
    pthread_mutex_unlock(&world->mutex);
}

bool world_failed(const struct world *world) {
    pthread_mutex_lock(mutex_of(world));
    bool hit = world->alloc_failure.hit || world->fault_failure.hit;
    pthread_mutex_unlock(mutex_of(world));
    return hit;
}

uint64_t test_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t test_random_below(uint64_t *state, uint64_t limit) {
    return test_random(state) % limit;
}

uint64_t test_seed(int argc, char **argv) {
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    print_message("seed %llu\n", (unsigned long long)seed);
    return seed;
}
