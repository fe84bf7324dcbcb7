/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_DEVICE_FIXTURE_H
#define TESTS_DEVICE_FIXTURE_H

/* What the device tests share: a world with one device, and holders of its memory. */

#include <device/device.h>
#include <support/world.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define FIXTURE_BYTES (16 * MIB)

struct fixture {
    struct world world;
    struct mmi_device *device;
};

/* A block and the region that shows it. */
struct holder {
    struct mmi_block block;
    struct mmi_region region;
};

static inline void fixture_open(struct fixture *fixture, const struct mmi_device_config *config) {
    world_init(&fixture->world);
    mm_error err;
    assert_int_equal(mmi_device_open(&fixture->world.env, config, &fixture->device, &err), MM_OK);
}

static inline void fixture_close(struct fixture *fixture) {
    assert_null(mmi_arena_validate(fixture->device->arena));
    assert_int_equal(mmi_arena_used(fixture->device->arena), 0);
    mmi_device_close(fixture->device);
    world_fini(&fixture->world);
}

static inline int fixture_setup(void **state) {
    static struct fixture fixture;
    fixture_open(&fixture,
                 &(struct mmi_device_config){.name = *state, .budget_bytes = FIXTURE_BYTES});
    *state = &fixture;
    return 0;
}

static inline int fixture_teardown(void **state) {
    fixture_close(*state);
    return 0;
}

#define ON_HOST(test)                                                                              \
    cmocka_unit_test_prestate_setup_teardown(test, fixture_setup, fixture_teardown, (void *)"host")
#define ON_SIM(test)                                                                               \
    cmocka_unit_test_prestate_setup_teardown(test, fixture_setup, fixture_teardown, (void *)"sim")

static inline void take(struct mmi_device *device, struct holder *holder, uint64_t bytes) {
    assert_int_equal(mmi_arena_take(device->arena, bytes, &holder->block), MMI_TAKE_OK);
}

static inline void hold(struct mmi_device *device, struct holder *holder, uint64_t bytes) {
    mm_error err;
    take(device, holder, bytes);
    assert_int_equal(device->ops->map(device, &holder->block, &holder->region, &err), MM_OK);
    assert_ptr_equal(holder->region.device, device);
    assert_int_equal(holder->region.bytes, bytes);
}

static inline void drop(struct mmi_device *device, struct holder *holder) {
    device->ops->unmap(&holder->region);
    assert_null(holder->region.device);
    mmi_arena_give(device->arena, &holder->block);
}

/* Bytes that tell their place and their owner. They repeat after a prime number of bytes: no two
 * chunks begin alike. */
#define PATTERN_BYTES UINT64_C(4093)
static inline void fill_pattern(uint8_t *to, uint64_t bytes, uint64_t seed) {
    for (uint64_t i = 0; i < bytes && i < PATTERN_BYTES; i++) {
        to[i] = (uint8_t)((i * 131 + (i >> 8) * 7 + seed * 29) & 0xff);
    }
    for (uint64_t at = PATTERN_BYTES; at < bytes; at += PATTERN_BYTES) {
        memcpy(to + at, to, bytes - at < PATTERN_BYTES ? bytes - at : PATTERN_BYTES);
    }
}

/* Is anything mapped at this address? */
static inline bool is_mapped(void *base) {
    unsigned char resident;
    return mincore(base, 1, &resident) == 0 || errno != ENOMEM;
}

#endif
