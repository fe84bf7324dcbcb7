/* SPDX-License-Identifier: Apache-2.0 */
/* Random lives of regions against a naive shadow of every byte; and several threads at once. */

#include "fixture.h"

#include <stdatomic.h>
#include <stdlib.h>

#define HOLDERS 24
#define LARGEST_BYTES (4 * MIB)

static uint64_t seed;

struct shadowed {
    struct holder holder;
    uint8_t *shadow; /* NULL = holds nothing */
};

/* As many small sizes as large ones. */
static uint64_t random_size(uint64_t *random) {
    uint64_t limit = UINT64_C(1) << (1 + test_random_below(random, 23));
    return 1 + test_random_below(random, limit < LARGEST_BYTES ? limit : LARGEST_BYTES);
}

static void random_bytes(uint64_t *random, uint8_t *to, uint64_t bytes) {
    uint64_t start = test_random(random);
    fill_pattern(to, bytes, start);
}

static void begin(struct mmi_device *device, struct shadowed *s, uint64_t *random) {
    uint64_t bytes = random_size(random);
    enum mmi_take result = mmi_arena_take(device->arena, bytes, &s->holder.block);
    if (result == MMI_TAKE_NO_ROOM) {
        return;
    }
    assert_int_equal(result, MMI_TAKE_OK);
    mm_error err;
    assert_int_equal(device->ops->map(device, &s->holder.block, &s->holder.region, &err), MM_OK);
    s->shadow = malloc(bytes);
    assert_non_null(s->shadow);
    random_bytes(random, s->shadow, bytes);
    assert_int_equal(device->ops->write(&s->holder.region, 0, s->shadow, bytes, &err), MM_OK);
}

static void rewrite(struct mmi_device *device, struct shadowed *s, uint64_t *random) {
    uint64_t offset = test_random_below(random, s->holder.region.bytes);
    uint64_t bytes = 1 + test_random_below(random, s->holder.region.bytes - offset);
    random_bytes(random, s->shadow + offset, bytes);
    mm_error err;
    assert_int_equal(device->ops->write(&s->holder.region, offset, s->shadow + offset, bytes, &err),
                     MM_OK);
}

static void check(const struct shadowed *s) {
    assert_int_equal(memcmp(s->holder.region.base, s->shadow, s->holder.region.bytes), 0);
}

static void end(struct mmi_device *device, struct shadowed *s) {
    check(s);
    drop(device, &s->holder);
    free(s->shadow);
    s->shadow = NULL;
}

static void resize(struct mmi_device *device, uint64_t *random) {
    uint64_t bytes = FIXTURE_BYTES / 2 + test_random_below(random, FIXTURE_BYTES);
    mm_error err;
    assert_int_equal(device->ops->resize(device, bytes, &err), MM_OK);
    assert_true(mmi_arena_set_capacity(device->arena, bytes));
}

static void test_against_shadow(void **state) {
    struct mmi_device *device = ((struct fixture *)*state)->device;
    struct shadowed all[HOLDERS] = {0};
    uint64_t random = seed;
    for (int step = 0; step < 1500; step++) {
        struct shadowed *one = &all[test_random_below(&random, HOLDERS)];
        uint64_t dice = test_random_below(&random, 10);
        if (step % 50 == 49) {
            resize(device, &random);
        } else if (!one->shadow) {
            begin(device, one, &random);
        } else if (dice < 3) {
            rewrite(device, one, &random);
        } else if (dice < 6) {
            check(one);
        } else {
            end(device, one);
        }
    }
    for (size_t i = 0; i < HOLDERS; i++) {
        if (all[i].shadow) {
            end(device, &all[i]);
        }
    }
}

/* ---- Threads --------------------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS 120

struct crowd {
    struct mmi_device *device;
    pthread_mutex_t mutex; /* the arena's, in place of the residency lock */
    _Atomic unsigned next, refused, failed;
};

static bool crowd_take(struct crowd *crowd, uint64_t bytes, struct mmi_block *block) {
    pthread_mutex_lock(&crowd->mutex);
    bool taken = mmi_arena_take(crowd->device->arena, bytes, block) == MMI_TAKE_OK;
    pthread_mutex_unlock(&crowd->mutex);
    return taken;
}

static void crowd_give(struct crowd *crowd, struct mmi_block *block) {
    pthread_mutex_lock(&crowd->mutex);
    mmi_arena_give(crowd->device->arena, block);
    pthread_mutex_unlock(&crowd->mutex);
}

static bool one_life(struct crowd *crowd, uint8_t *bytes, uint64_t count) {
    struct mmi_device *device = crowd->device;
    struct holder holder = {0};
    if (!crowd_take(crowd, count, &holder.block)) {
        crowd->refused++;
        return true;
    }
    mm_error err;
    bool good = device->ops->map(device, &holder.block, &holder.region, &err) == MM_OK &&
                device->ops->write(&holder.region, 0, bytes, count / 2, &err) == MM_OK &&
                device->ops->write(&holder.region, count / 2, bytes + count / 2, count - count / 2,
                                   &err) == MM_OK &&
                memcmp(holder.region.base, bytes, count) == 0;
    device->ops->unmap(&holder.region);
    crowd_give(crowd, &holder.block);
    return good;
}

static void *run(void *ctx) {
    struct crowd *crowd = ctx;
    unsigned number = atomic_fetch_add(&crowd->next, 1);
    uint64_t random = seed + number;
    uint8_t *bytes = malloc(LARGEST_BYTES);
    fill_pattern(bytes, LARGEST_BYTES, number);
    for (int round = 0; round < ROUNDS; round++) {
        crowd->failed += !one_life(crowd, bytes, random_size(&random));
        if (round % 16 == 0) {
            /* The budget moves meanwhile; regions that are there do not notice. */
            uint64_t budget_bytes = FIXTURE_BYTES + number * 16 * MIB;
            crowd->failed += crowd->device->ops->resize(crowd->device, budget_bytes, NULL) != MM_OK;
        }
    }
    free(bytes);
    return NULL;
}

static void test_threads(void **state) {
    struct crowd crowd = {.device = ((struct fixture *)*state)->device};
    pthread_mutex_init(&crowd.mutex, NULL);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run, &crowd), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_mutex_destroy(&crowd.mutex);
    assert_int_equal(crowd.failed, 0);
    assert_int_equal(crowd.refused, 0); /* four of 4 MiB fit at any time */
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        ON_HOST(test_against_shadow),
        ON_SIM(test_against_shadow),
        ON_HOST(test_threads),
        ON_SIM(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
