/* SPDX-License-Identifier: Apache-2.0 */
/* The lease's calls one by one, on one thread. */

#include <residency/lease.h>

#include <support/world.h>

struct scene {
    struct world world;
    struct mmi_lock lock;
    struct mmi_slots slots;
};

static void begin(struct scene *scene, unsigned cpus, unsigned generation_bits) {
    world_init(&scene->world);
    mmi_lock_init(&scene->lock, MMI_RANK_RESIDENCY);
    mmi_slots_init(&scene->slots, &scene->world.env.alloc, &scene->lock, cpus, generation_bits);
    mmi_lock(&scene->lock);
}

static void end(struct scene *scene) {
    mmi_unlock(&scene->lock);
    mmi_slots_fini(&scene->slots);
    mmi_lock_fini(&scene->lock);
    world_fini(&scene->world);
}

static struct mmi_slot *load(struct scene *scene, uint64_t *word) {
    struct mmi_slot *slot = mmi_slots_alloc(&scene->slots, scene);
    assert_non_null(slot);
    mmi_slot_move(slot, MMI_LOADING);
    *word = mmi_slot_ready(slot, 100);
    return slot;
}

static void evict(struct mmi_slot *slot) {
    assert_int_equal(mmi_slot_drain(slot), MMI_SETTLED_RECLAIMABLE);
    mmi_slot_move(slot, MMI_DETACHING);
    mmi_slots_free(slot);
}

static void test_life(void **state) {
    (void)state;
    struct scene scene;
    uint64_t word;
    struct mmi_lease lease = {0};
    begin(&scene, 3, 0);
    assert_int_equal(scene.slots.shard_count, 4);
    struct mmi_slot *slot = load(&scene, &word);
    assert_int_equal((uintptr_t)slot % MMI_LINE_BYTES, 0);
    assert_int_equal((uintptr_t)&slot->shards[1] % MMI_LINE_BYTES, 0);
    assert_int_equal(mmi_slot_last_used(slot), 100);

    assert_int_equal(mmi_lease_acquire(slot, word, 1, &lease), MMI_LEASED);
    assert_int_equal(mmi_slot_leases(slot), 1);
    assert_false(mmi_lease_release(&lease, 300));
    assert_int_equal(mmi_lease_acquire(slot, word, 2, &lease), MMI_LEASED);
    assert_false(mmi_lease_release(&lease, 200));
    assert_int_equal(mmi_slot_last_used(slot), 300);

    assert_int_equal(mmi_lease_acquire(slot, word, 3, &lease), MMI_LEASED);
    assert_int_equal(mmi_slot_drain(slot), MMI_UNSETTLED);
    struct mmi_lease late;
    assert_int_equal(mmi_lease_acquire(slot, word, 0, &late), MMI_REFUSED_AND_SETTLE);
    assert_int_equal(mmi_slot_settle(slot), MMI_UNSETTLED);
    assert_true(mmi_lease_release(&lease, 400));
    assert_int_equal(mmi_slot_settle(slot), MMI_SETTLED_RECLAIMABLE);
    assert_int_equal(mmi_slot_settle(slot), MMI_UNSETTLED);
    assert_int_equal(mmi_lease_acquire(slot, word, 0, &late), MMI_REFUSED);
    assert_int_equal(mmi_slot_leases(slot), 0);
    assert_int_equal(mmi_slot_last_used(slot), 400);

    assert_true(mmi_slot_revive(slot));
    assert_false(mmi_slot_revive(slot));
    assert_int_equal(mmi_lease_acquire(slot, word, 0, &lease), MMI_LEASED);
    assert_false(mmi_lease_release(&lease, 500));
    evict(slot);
    assert_int_equal(mmi_lease_acquire(slot, word, 0, &late), MMI_REFUSED);

    uint64_t next;
    assert_ptr_equal(load(&scene, &next), slot);
    assert_int_not_equal(next, word);
    assert_int_equal(mmi_slot_last_used(slot), 100);
    assert_int_equal(mmi_lease_acquire(slot, word, 0, &late), MMI_REFUSED);
    assert_int_equal(mmi_lease_acquire(slot, next, 0, &lease), MMI_LEASED);
    assert_ptr_equal(slot->owner, &scene);
    assert_false(mmi_lease_release(&lease, 600));
    end(&scene);
}

static void test_lost(void **state) {
    (void)state;
    struct scene scene;
    uint64_t word;
    struct mmi_lease lease = {0};
    begin(&scene, 1, 0);
    struct mmi_slot *slot = load(&scene, &word);
    assert_int_equal(mmi_lease_acquire(slot, word, 0, &lease), MMI_LEASED);
    assert_int_equal(mmi_slot_lost(slot), MMI_UNSETTLED);
    assert_false(mmi_slot_revive(slot));
    assert_true(mmi_lease_release(&lease, 200));
    assert_int_equal(mmi_slot_settle(slot), MMI_SETTLED_DETACHING);
    assert_int_equal(mmi_slot_settle(slot), MMI_UNSETTLED);
    mmi_slots_free(slot);

    /* While it loads: the loader's own lease is waited for. */
    slot = mmi_slots_alloc(&scene.slots, NULL);
    mmi_slot_move(slot, MMI_LOADING);
    mmi_lease_grant(slot, 0, &lease);
    assert_int_equal(mmi_slot_lost(slot), MMI_UNSETTLED);
    assert_true(mmi_lease_release(&lease, 0));
    assert_int_equal(mmi_slot_settle(slot), MMI_SETTLED_DETACHING);
    mmi_slots_free(slot);

    /* With its bytes free to take already. */
    slot = load(&scene, &word);
    assert_int_equal(mmi_slot_drain(slot), MMI_SETTLED_RECLAIMABLE);
    assert_int_equal(mmi_slot_lost(slot), MMI_SETTLED_DETACHING);
    mmi_slots_free(slot);
    end(&scene);
}

/* No word is ever given twice, none is 0, and a slot without a generation left stays out of use. */
static void test_generations_run_out(void **state) {
    (void)state;
    struct scene scene;
    begin(&scene, 1, 3);
    uint64_t words[200];
    for (unsigned i = 0; i < 200; i++) {
        struct mmi_slot *slot = load(&scene, &words[i]);
        struct mmi_lease lease = {0};
        assert_int_not_equal(words[i], 0);
        assert_int_equal(mmi_lease_acquire(slot, 0, 0, &lease), MMI_REFUSED);
        for (unsigned j = 0; j < i; j++) {
            assert_int_not_equal(words[i], words[j]);
            assert_int_equal(mmi_lease_acquire(slot, words[j], 0, &lease), MMI_REFUSED);
        }
        evict(slot);
        assert_int_equal(mmi_lease_acquire(slot, words[i], 0, &lease), MMI_REFUSED);
        assert_int_equal(mmi_lease_acquire(slot, 0, 0, &lease), MMI_REFUSED);
    }
    assert_int_equal(scene.slots.retired_count, 200 / 7);
    end(&scene);
}

static void test_no_memory(void **state) {
    (void)state;
    struct scene scene;
    uint64_t word;
    begin(&scene, 64, 0);
    world_fail_alloc(&scene.world, 1);
    assert_null(mmi_slots_alloc(&scene.slots, NULL));
    assert_true(world_failed(&scene.world));
    struct mmi_slot *first = load(&scene, &word);
    /* The first one never moves, however many come. */
    for (unsigned i = 0; i < 100; i++) {
        uint64_t other;
        assert_ptr_not_equal(load(&scene, &other), first);
    }
    struct mmi_lease lease = {0};
    assert_int_equal(mmi_lease_acquire(first, word, 63, &lease), MMI_LEASED);
    assert_false(mmi_lease_release(&lease, 1));
    end(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_generations_run_out),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
