/* SPDX-License-Identifier: Apache-2.0 */
/* What every kind of device promises: contiguous regions over scattered memory that comes back. */

#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* One for all tests: the largest region there is. */
static uint8_t pattern[FIXTURE_BYTES + 12 * MIB];

/* Writes the pattern of `seed` in pieces that fall on no boundary. */
static void write_pattern(struct holder *holder, uint64_t seed) {
    const struct mmi_device_ops *ops = holder->region.device->ops;
    uint64_t bytes = holder->region.bytes;
    fill_pattern(pattern, bytes, seed);
    for (uint64_t at = 0; at < bytes;) {
        uint64_t piece = bytes - at < 700001 ? bytes - at : 700001;
        mm_error err;
        assert_int_equal(ops->write(&holder->region, at, pattern + at, piece, &err), MM_OK);
        at += piece;
    }
}

static void check_pattern(const struct holder *holder, uint64_t seed) {
    fill_pattern(pattern, holder->region.bytes, seed);
    assert_int_equal(memcmp(holder->region.base, pattern, holder->region.bytes), 0);
}

/* ---- Names ----------------------------------------------------------------------------------- */

static void test_names(void **state) {
    (void)state;
    static const struct {
        const char *name;
        mm_status status;
        int32_t kind;
        const char *called;
    } cases[] = {
        {"host", MM_OK, MM_DEVICE_HOST, "host"},
        {"host/left", MM_OK, MM_DEVICE_HOST, "left"},
        {"sim", MM_OK, MM_DEVICE_SIM, "sim"},
        {"sim/pod1", MM_OK, MM_DEVICE_SIM, "pod1"},
        {"sim/012345678901234567890123456789012345678901234567890123456789012", MM_OK,
         MM_DEVICE_SIM, "012345678901234567890123456789012345678901234567890123456789012"},
        {"sim/0123456789012345678901234567890123456789012345678901234567890123",
         MM_INVALID_ARGUMENT, 0, NULL},
        {"cuda:0", MM_UNSUPPORTED, 0, NULL},
        {"cuda:12", MM_UNSUPPORTED, 0, NULL},
        {"cuda", MM_INVALID_ARGUMENT, 0, NULL},
        {"cuda:x", MM_INVALID_ARGUMENT, 0, NULL},
        {"", MM_INVALID_ARGUMENT, 0, NULL},
        {NULL, MM_INVALID_ARGUMENT, 0, NULL},
        {"host/", MM_INVALID_ARGUMENT, 0, NULL},
        {"host/a/b", MM_INVALID_ARGUMENT, 0, NULL},
        {"hosts", MM_INVALID_ARGUMENT, 0, NULL},
        {"/pod1", MM_INVALID_ARGUMENT, 0, NULL},
        {"Sim", MM_INVALID_ARGUMENT, 0, NULL},
    };
    struct world world;
    world_init(&world);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mmi_device_config config = {
            .name = cases[i].name, .index = 7, .budget_bytes = FIXTURE_BYTES};
        struct mmi_device *device = NULL;
        mm_error err = {0};
        assert_int_equal(mmi_device_open(&world.env, &config, &device, &err), cases[i].status);
        if (cases[i].status != MM_OK) {
            assert_null(device);
            assert_int_equal(err.status, cases[i].status);
            assert_non_null(strstr(err.text, "devices[7].name"));
            assert_int_equal(mmi_device_open(&world.env, &config, &device, NULL), cases[i].status);
            continue;
        }
        assert_string_equal(device->name, cases[i].called);
        assert_string_equal(device->pub.name, cases[i].called);
        assert_int_equal(device->pub.kind, cases[i].kind);
        assert_int_equal(device->pub.index, 7);
        assert_null(device->pub.native);
        mmi_device_close(device);
    }
    mmi_device_close(NULL);
    world_fini(&world);
}

static void test_what_the_build_lacks_is_named(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_device *device = NULL;
    mm_error err;
    assert_int_equal(
        mmi_device_open(&world.env, &(struct mmi_device_config){.name = "cuda:0"}, &device, &err),
        MM_UNSUPPORTED);
    assert_non_null(strstr(err.text, "CUDA"));
    world_fini(&world);
}

static void test_absurd_budgets(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_device *device = NULL;
    mm_error err;
    struct mmi_device_config config = {.name = "sim", .budget_bytes = UINT64_MAX};
    assert_int_equal(mmi_device_open(&world.env, &config, &device, &err), MM_INVALID_ARGUMENT);
    assert_non_null(strstr(err.text, "budget_bytes"));
    config.budget_bytes = MMI_CHUNK_BYTES - 1; /* no chunk at all: nothing fits, nothing breaks */
    assert_int_equal(mmi_device_open(&world.env, &config, &device, &err), MM_OK);
    assert_int_equal(mmi_arena_capacity(device->arena), 0);
    mmi_device_close(device);
    world_fini(&world);
}

/* ---- Regions --------------------------------------------------------------------------------- */

static void test_contiguous_over_scattered(void **state) {
    struct fixture *fixture = *state;
    struct mmi_device *device = fixture->device;
    /* Every second chunk is taken, so that the large block gets what lies between. */
    struct holder comb[FIXTURE_BYTES / MMI_CHUNK_BYTES] = {0};
    size_t teeth = sizeof(comb) / sizeof(comb[0]);
    for (size_t i = 0; i < teeth; i++) {
        hold(device, &comb[i], MMI_CHUNK_BYTES);
        write_pattern(&comb[i], i);
    }
    for (size_t i = 0; i < teeth; i += 2) {
        drop(device, &comb[i]);
    }
    struct holder large = {0};
    hold(device, &large, FIXTURE_BYTES / 2 - 12345);
    write_pattern(&large, 99);
    check_pattern(&large, 99);
    for (size_t i = 1; i < teeth; i += 2) {
        check_pattern(&comb[i], i);
        drop(device, &comb[i]);
    }
    check_pattern(&large, 99);
    drop(device, &large);
}

static void test_adjacent_and_reversed_runs(void **state) {
    struct fixture *fixture = *state;
    struct mmi_device *device = fixture->device;
    struct holder all = {0}, parts[4] = {{.block = {0}}};
    hold(device, &all, FIXTURE_BYTES);
    write_pattern(&all, 1);
    check_pattern(&all, 1);
    drop(device, &all);
    for (size_t i = 0; i < 4; i++) {
        hold(device, &parts[i], FIXTURE_BYTES / 4);
        write_pattern(&parts[i], i);
    }
    for (size_t i = 4; i-- > 0;) {
        check_pattern(&parts[i], i);
        drop(device, &parts[i]);
    }
    hold(device, &all, FIXTURE_BYTES);
    write_pattern(&all, 2);
    check_pattern(&all, 2);
    drop(device, &all);
}

static void test_small_neighbours(void **state) {
    struct fixture *fixture = *state;
    struct mmi_device *device = fixture->device;
    static const uint64_t sizes[] = {1,     255, 256,           257,    4096,
                                     70000, 1,   2 * MIB - 256, 900000, 300000};
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
    struct holder holders[COUNT] = {0};
    for (size_t i = 0; i < COUNT; i++) {
        hold(device, &holders[i], sizes[i]);
        write_pattern(&holders[i], i);
    }
    for (size_t i = 0; i < COUNT; i += 3) {
        drop(device, &holders[i]);
        hold(device, &holders[i], sizes[i]);
        write_pattern(&holders[i], 50 + i);
    }
    for (size_t i = 0; i < COUNT; i++) {
        check_pattern(&holders[i], i % 3 == 0 ? 50 + i : i);
    }
    for (size_t i = 0; i < COUNT; i++) {
        drop(device, &holders[i]);
    }
}

static void test_alignment(void **state) {
    struct fixture *fixture = *state;
    struct mmi_device *device = fixture->device;
    static const uint64_t sizes[] = {1, 300, 5000, 2 * MIB, 2 * MIB + 1};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct holder holder = {0};
        hold(device, &holder, sizes[i]);
        assert_int_equal((uintptr_t)holder.region.base % (holder.block.small ? 256 : 4096), 0);
        drop(device, &holder);
    }
}

static void test_unmap_gives_back(void **state) {
    struct fixture *fixture = *state;
    struct mmi_device *device = fixture->device;
    struct holder leaver = {0}, stayer = {0};
    hold(device, &stayer, 5 * MIB);
    write_pattern(&stayer, 1);
    hold(device, &leaver, FIXTURE_BYTES - 8 * MIB);
    write_pattern(&leaver, 2);
    void *base = leaver.region.base;
    assert_true(is_mapped(base));
    drop(device, &leaver);
    assert_false(is_mapped(base));
    /* The same memory for the next one, and nobody else's. */
    hold(device, &leaver, FIXTURE_BYTES - 8 * MIB);
    write_pattern(&leaver, 3);
    check_pattern(&stayer, 1);
    check_pattern(&leaver, 3);
    drop(device, &leaver);
    drop(device, &stayer);
    device->ops->unmap(&stayer.region); /* a zeroed region does nothing */
}

static void test_window(void **state) {
    struct fixture *fixture = *state;
    struct mmi_device *device = fixture->device;
    if (device->pub.kind != MM_DEVICE_HOST) {
        assert_null(device->ops->window);
        assert_null(device->ops->map_file);
        return;
    }
    struct holder holder = {0};
    hold(device, &holder, 10000);
    for (uint64_t i = 0; i < 10000; i++) {
        assert_int_equal(holder.region.base[i], 0);
    }
    uint8_t *window = device->ops->window(&holder.region, 5000, 5000);
    assert_ptr_equal(window, holder.region.base + 5000);
    memset(window, 7, 5000);
    assert_int_equal(holder.region.base[4999], 0);
    assert_int_equal(holder.region.base[9999], 7);
    drop(device, &holder);
}

static void test_resize(void **state) {
    struct fixture *fixture = *state;
    struct mmi_device *device = fixture->device;
    struct holder first = {0}, large = {0}, small = {0};
    mm_error err;
    hold(device, &first, FIXTURE_BYTES);
    write_pattern(&first, 1);
    for (uint64_t step = 1; step <= 3; step++) {
        assert_int_equal(device->ops->resize(device, FIXTURE_BYTES + step * 4 * MIB, &err), MM_OK);
        assert_true(mmi_arena_set_capacity(device->arena, FIXTURE_BYTES + step * 4 * MIB));
    }
    /* In the new memory, across the three times that it grew. */
    hold(device, &large, 10 * MIB);
    hold(device, &small, 100 * KIB);
    write_pattern(&large, 2);
    write_pattern(&small, 3);
    check_pattern(&first, 1);
    check_pattern(&large, 2);
    check_pattern(&small, 3);
    /* Below what is in use: everything stays readable. */
    assert_int_equal(device->ops->resize(device, 2 * MIB, &err), MM_OK);
    assert_true(mmi_arena_set_capacity(device->arena, 2 * MIB));
    check_pattern(&large, 2);
    drop(device, &first);
    drop(device, &large);
    drop(device, &small);
    assert_int_equal(device->ops->resize(device, FIXTURE_BYTES + 12 * MIB, &err), MM_OK);
    assert_true(mmi_arena_set_capacity(device->arena, FIXTURE_BYTES + 12 * MIB));
    hold(device, &first, FIXTURE_BYTES + 12 * MIB);
    write_pattern(&first, 4);
    check_pattern(&first, 4);
    drop(device, &first);
}

static void test_resize_absurd(void **state) {
    struct fixture *fixture = *state;
    mm_error err;
    assert_int_equal(fixture->device->ops->resize(fixture->device, UINT64_MAX, &err),
                     MM_INVALID_ARGUMENT);
    /* More addresses than there are: nothing changed, and it goes on. */
    uint64_t most = UINT32_MAX * MMI_CHUNK_BYTES;
    assert_int_not_equal(fixture->device->ops->resize(fixture->device, most, &err), MM_OK);
    struct holder holder = {0};
    hold(fixture->device, &holder, FIXTURE_BYTES);
    write_pattern(&holder, 1);
    drop(fixture->device, &holder);
}

static void test_two_devices(void **state) {
    struct fixture *fixture = *state;
    struct mmi_device_config config = {
        .name = "sim/other", .index = 1, .budget_bytes = FIXTURE_BYTES};
    struct mmi_device *other;
    mm_error err;
    assert_int_equal(mmi_device_open(&fixture->world.env, &config, &other, &err), MM_OK);
    struct holder here = {0}, there = {0};
    hold(fixture->device, &here, 6 * MIB);
    hold(other, &there, 6 * MIB);
    write_pattern(&here, 1);
    write_pattern(&there, 2);
    check_pattern(&here, 1);
    check_pattern(&there, 2);
    drop(fixture->device, &here);
    drop(other, &there);
    mmi_device_close(other);
}

static void test_no_addresses_left(void **state) {
    struct fixture *fixture = *state;
    struct mmi_block block = {.bytes = UINT64_C(1) << 60, .charged_bytes = UINT64_C(1) << 60};
    struct mmi_region region = {0};
    mm_error err;
    assert_int_equal(fixture->device->ops->map(fixture->device, &block, &region, &err),
                     MM_NO_MEMORY);
    assert_null(region.device);
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* An unlinked file: 4 KiB of something, then the pattern. */
static int make_file(uint64_t bytes) {
    char name[] = "/tmp/device-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    unlink(name);
    fill_pattern(pattern, bytes, 5);
    assert_int_equal(pwrite(fd, pattern, bytes, 4096), bytes);
    return fd;
}

static void test_map_file(void **state) {
    struct fixture *fixture = *state;
    struct mmi_device *device = fixture->device;
    uint64_t bytes = 3 * MIB + 777;
    int fd = make_file(bytes);
    struct holder holder = {0};
    take(device, &holder, bytes);
    mm_error err;
    assert_int_equal(device->ops->map_file(device, fd, 4096, bytes, &holder.region, &err), MM_OK);
    close(fd); /* neither name nor descriptor is needed any more */
    assert_true(holder.region.file_mapped);
    assert_int_equal(holder.region.bytes, bytes);
    check_pattern(&holder, 5);
    void *base = holder.region.base;
    drop(device, &holder);
    assert_false(is_mapped(base));
}

static void test_map_file_errors(void **state) {
    struct fixture *fixture = *state;
    struct mmi_device *device = fixture->device;
    struct mmi_region region = {0};
    mm_error err;
    int fd = make_file(10000);
    assert_int_equal(device->ops->map_file(device, fd, 4096, 10001, &region, &err), MM_CORRUPT);
    assert_non_null(strstr(err.text, "10001"));
    assert_int_equal(device->ops->map_file(device, fd, 16384, 1, &region, &err), MM_CORRUPT);
    assert_int_equal(device->ops->map_file(device, fd, 4096, UINT64_MAX - 4096, &region, &err),
                     MM_CORRUPT);
    close(fd);
    assert_int_equal(device->ops->map_file(device, -1, 0, 1, &region, &err), MM_IO);
    int folder = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(folder >= 0);
    assert_int_not_equal(device->ops->map_file(device, folder, 0, 1, &region, &err), MM_OK);
    close(folder);
    int other = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(other >= 0);
    assert_int_not_equal(device->ops->map_file(device, other, 0, 1, &region, &err), MM_OK);
    close(other);
    assert_null(region.device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_what_the_build_lacks_is_named),
        cmocka_unit_test(test_absurd_budgets),
        ON_HOST(test_contiguous_over_scattered),
        ON_SIM(test_contiguous_over_scattered),
        ON_HOST(test_adjacent_and_reversed_runs),
        ON_SIM(test_adjacent_and_reversed_runs),
        ON_HOST(test_small_neighbours),
        ON_SIM(test_small_neighbours),
        ON_HOST(test_alignment),
        ON_SIM(test_alignment),
        ON_HOST(test_unmap_gives_back),
        ON_SIM(test_unmap_gives_back),
        ON_HOST(test_window),
        ON_SIM(test_window),
        ON_HOST(test_resize),
        ON_SIM(test_resize),
        ON_SIM(test_resize_absurd),
        ON_HOST(test_no_addresses_left),
        ON_SIM(test_no_addresses_left),
        ON_HOST(test_two_devices),
        ON_SIM(test_two_devices),
        ON_HOST(test_map_file),
        ON_HOST(test_map_file_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
