/* SPDX-License-Identifier: Apache-2.0 */
/* The lease with real threads. Readers use whatever model is there, on changing shards and often
 * with a stale word; a manager drains it or loses its device, takes the bytes and loads the next
 * one; a reviver comes in between. The bytes are plain memory, so a use that is not ordered before
 * the take is a data race. The manager sleeps until the last release wakes it: a lost wake-up shows
 * as a test that never ends. Generations of 8 bits, so that slots are used up too. */

#include <residency/lease.h>

#include <support/world.h>

#include <sched.h>
#include <string.h>

#define READERS 3
#define LIVES 300
#define LEASES_A_LIFE 25 /* at least */
#define WORDS 32
#define GENERATION_BITS 8

struct scene {
    struct mmi_lock lock;
    struct mmi_slots slots;
    struct mmi_clock clock;
    struct mmi_cond settled;         /* under the lock */
    _Atomic(struct mmi_slot *) slot; /* stored apart from its word: a reader may see a mixed pair */
    _Atomic uint64_t word;
    uint64_t life;         /* the owner: counts the instances; written before READY */
    uint64_t bytes[WORDS]; /* of the instance: its life; 0 = taken */
    _Atomic bool over;
    _Atomic uint64_t leased, refused, revived, wrong, seed;
};

static void settle(struct scene *scene, struct mmi_slot *slot) {
    mmi_lock(&scene->lock);
    if (mmi_slot_settle(slot) != MMI_UNSETTLED) {
        mmi_cond_signal(&scene->settled);
    }
    mmi_unlock(&scene->lock);
}

static void use(struct scene *scene, struct mmi_slot *slot, uint64_t word, unsigned shard) {
    struct mmi_lease lease;
    enum mmi_acquired acquired = mmi_lease_acquire(slot, word, shard, &lease);
    bool settles = acquired == MMI_REFUSED_AND_SETTLE;
    if (acquired == MMI_LEASED) {
        uint64_t life = *(const uint64_t *)slot->owner;
        for (unsigned i = 0; i < WORDS; i++) {
            scene->wrong += scene->bytes[i] != life;
        }
        scene->leased++;
        settles = mmi_lease_release(&lease, life);
    } else {
        scene->refused++;
    }
    if (settles) {
        settle(scene, slot);
    }
}

static void *reader(void *ctx) {
    struct scene *scene = ctx;
    uint64_t seed = scene->seed++;
    struct mmi_slot *slot = scene->slot;
    uint64_t word = scene->word;
    while (!scene->over) {
        uint64_t random = test_random(&seed);
        if (random % 4 != 0) { /* else the pair of the last time */
            slot = atomic_load_explicit(&scene->slot, memory_order_acquire);
            word = atomic_load_explicit(&scene->word, memory_order_relaxed);
        }
        use(scene, slot, word, (unsigned)(random >> 32) % scene->slots.shard_count);
    }
    return NULL;
}

static void *reviver(void *ctx) {
    struct scene *scene = ctx;
    uint64_t seed = scene->seed++;
    while (!scene->over) {
        if (test_random(&seed) % 2) {
            mmi_lock(&scene->lock);
            if (mmi_slot_revive(scene->slot)) {
                scene->revived++;
                mmi_cond_signal(&scene->settled);
            }
            mmi_unlock(&scene->lock);
        }
        sched_yield();
    }
    return NULL;
}

static void load(struct scene *scene) {
    struct mmi_lease lease;
    mmi_lock(&scene->lock);
    struct mmi_slot *slot = mmi_slots_alloc(&scene->slots, &scene->life);
    assert_non_null(slot);
    mmi_slot_move(slot, MMI_LOADING);
    mmi_lease_grant(slot, mmi_lease_shard(&scene->slots), &lease);
    mmi_unlock(&scene->lock);

    scene->life++;
    for (unsigned i = 0; i < WORDS; i++) {
        scene->bytes[i] = scene->life;
    }

    mmi_lock(&scene->lock);
    atomic_store_explicit(&scene->slot, slot, memory_order_release);
    atomic_store_explicit(&scene->word, mmi_slot_ready(slot, scene->life), memory_order_relaxed);
    mmi_unlock(&scene->lock);
    if (mmi_lease_release(&lease, scene->life)) {
        settle(scene, slot);
    }
}

static void evict(struct scene *scene, bool lost) {
    struct mmi_slot *slot = scene->slot;
    mmi_lock(&scene->lock);
    for (;;) {
        enum mmi_instance_state state = mmi_slot_state(slot);
        if (state == MMI_DETACHING || state == MMI_RECLAIMABLE) {
            break;
        }
        if (lost && state != MMI_LOST) {
            mmi_slot_lost(slot);
        } else if (state == MMI_READY) {
            mmi_slot_drain(slot);
        } else {
            mmi_cond_wait(&scene->settled, &scene->lock, &scene->clock, 0);
        }
    }
    if (mmi_slot_state(slot) == MMI_RECLAIMABLE) {
        mmi_slot_move(slot, MMI_DETACHING);
    }
    mmi_unlock(&scene->lock);
    memset(scene->bytes, 0, sizeof scene->bytes);
    mmi_lock(&scene->lock);
    mmi_slots_free(slot);
    mmi_unlock(&scene->lock);
}

static void test_stress(void **state) {
    (void)state;
    static struct scene scene; /* zeroed */
    pthread_t threads[READERS + 1];
    struct world world;
    world_init(&world);
    mmi_lock_init(&scene.lock, MMI_RANK_RESIDENCY);
    mmi_clock_init(&scene.clock, NULL, NULL);
    assert_int_equal(mmi_cond_init(&scene.settled, &world.env), 0);
    mmi_slots_init(&scene.slots, &world.env.alloc, &scene.lock, 2, GENERATION_BITS);
    load(&scene);
    for (unsigned i = 0; i < READERS + 1; i++) {
        void *(*run)(void *) = i < READERS ? reader : reviver;
        assert_int_equal(pthread_create(&threads[i], NULL, run, &scene), 0);
    }
    for (unsigned i = 1; i <= LIVES; i++) {
        uint64_t enough = scene.leased + LEASES_A_LIFE;
        while (scene.leased < enough) {
            sched_yield();
        }
        evict(&scene, i % 4 == 0);
        load(&scene);
    }
    scene.over = true;
    for (unsigned i = 0; i < READERS + 1; i++) {
        pthread_join(threads[i], NULL);
    }
    print_message("%u lives, %u leased, %u refused, %u revived\n", LIVES, (unsigned)scene.leased,
                  (unsigned)scene.refused, (unsigned)scene.revived);
    assert_int_equal(scene.wrong, 0);
    assert_int_equal(mmi_slot_leases(scene.slot), 0);
    assert_int_equal(scene.slots.retired_count, LIVES / ((1u << GENERATION_BITS) - 1));
    mmi_slots_fini(&scene.slots);
    mmi_cond_fini(&scene.settled);
    mmi_lock_fini(&scene.lock);
    world_fini(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stress)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
