/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that refuse, that are lost, that are slow, and a kernel that has no mapping left. */

#include "fixture.h"

#include <dirent.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER
#endif
#endif

/* ---- What is left behind --------------------------------------------------------------------- */

static size_t count_fds(void) {
    size_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder)) {
        count++;
    }
    closedir(folder);
    return count;
}

/* Mappings of the memory of simulated devices. */
static size_t count_sim_mappings(void) {
    char line[512];
    size_t count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        count += strstr(line, "modelmesh-sim") != NULL;
    }
    fclose(maps);
    return count;
}

/* ---- The nth call fails ---------------------------------------------------------------------- */

/* A life with a large region, a small one and a new budget; stops at the first failure. */
static mm_status live(struct mmi_device *device, mm_error *err) {
    static uint8_t bytes[5 * MIB];
    struct holder large = {0}, small = {0};
    const struct mmi_device_ops *ops = device->ops;
    take(device, &large, sizeof(bytes));
    take(device, &small, 1000);
    mm_status status = ops->map(device, &large.block, &large.region, err);
    if (status == MM_OK) {
        status = ops->map(device, &small.block, &small.region, err);
    }
    if (status == MM_OK) {
        status = ops->write(&large.region, 0, bytes, sizeof(bytes), err);
    }
    if (status == MM_OK) {
        status = ops->write(&small.region, 999, bytes, 1, err);
    }
    if (status == MM_OK) {
        status = ops->resize(device, FIXTURE_BYTES + 20 * MIB, err);
    }
    drop(device, &large);
    drop(device, &small);
    return status;
}

static mm_status open_and_live(struct world *world, const char *name, mm_error *err) {
    struct mmi_device *device = NULL;
    struct mmi_device_config config = {.name = name, .budget_bytes = FIXTURE_BYTES};
    mm_status status = mmi_device_open(&world->env, &config, &device, err);
    if (status == MM_OK) {
        status = live(device, err);
        assert_int_equal(mmi_arena_used(device->arena), 0);
    } else {
        assert_null(device);
    }
    mmi_device_close(device);
    return status;
}

static void test_nth_call_fails(void **state) {
    const char *name = *state;
    static const struct {
        int errnum;
        mm_status status;
    } cases[] = {
        {ENOMEM, MM_NO_MEMORY}, {ENODEV, MM_DEVICE_LOST}, {EIO, MM_IO},
        {EINVAL, MM_IO},        {EMFILE, MM_NO_FDS},      {ENFILE, MM_NO_FDS},
    };
    size_t fds = count_fds();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t nth = 0;
        bool failed;
        do {
            struct world world;
            mm_error err = {0};
            world_init(&world);
            world_fault(&world, "device", ++nth, cases[i].errnum);
            mm_status status = open_and_live(&world, name, &err);
            failed = world_failed(&world);
            assert_int_equal(status, failed ? cases[i].status : MM_OK);
            assert_int_equal(err.status, status);
            assert_true(!failed || strstr(err.text, name));
            world_fini(&world);
            assert_int_equal(count_sim_mappings(), 0);
            assert_int_equal(count_fds(), fds);
        } while (failed);
        assert_int_equal(nth, 7); /* open, two maps, two writes, resize: each of them asked once */
    }
}

static void test_nth_allocation_fails(void **state) {
    const char *name = *state;
    size_t fds = count_fds();
    uint64_t nth = 0;
    bool failed;
    do {
        struct world world;
        mm_error err = {0};
        world_init(&world);
        world_fail_alloc(&world, ++nth);
        struct mmi_device *device = NULL;
        struct mmi_device_config config = {.name = name, .budget_bytes = FIXTURE_BYTES};
        mm_status status = mmi_device_open(&world.env, &config, &device, &err);
        if (status == MM_OK) {
            status = device->ops->resize(device, 2 * FIXTURE_BYTES, &err);
        }
        failed = world_failed(&world);
        assert_int_equal(status, failed ? MM_NO_MEMORY : MM_OK);
        mmi_device_close(device);
        world_fini(&world);
        assert_int_equal(count_sim_mappings(), 0);
        assert_int_equal(count_fds(), fds);
    } while (failed);
    assert_true(nth > 2);
}

/* ---- Lost ------------------------------------------------------------------------------------ */

static void test_lost_for_ever(void **state) {
    struct fixture *fixture = *state;
    struct mmi_device *device = fixture->device;
    const struct mmi_device_ops *ops = device->ops;
    struct holder large = {0}, small = {0}, late = {0};
    mm_error err;
    hold(device, &large, 4 * MIB);
    hold(device, &small, 100);
    assert_false(device->lost);
    world_fault(&fixture->world, "device", 1, ENODEV);
    assert_int_equal(ops->write(&large.region, 0, "x", 1, &err), MM_DEVICE_LOST);
    assert_true(device->lost);
    assert_non_null(strstr(err.text, device->name));
    assert_int_equal(ops->write(&large.region, 0, "x", 1, &err), MM_DEVICE_LOST);
    assert_int_equal(ops->write(&small.region, 0, "x", 1, NULL), MM_DEVICE_LOST);
    assert_int_equal(ops->resize(device, 2 * FIXTURE_BYTES, &err), MM_DEVICE_LOST);
    assert_int_equal(ops->probe(device, &err), MM_DEVICE_LOST);
    if (ops->window) {
        assert_null(ops->window(&large.region, 0, 1));
    }
    if (ops->map_file) {
        assert_int_equal(ops->map_file(device, 0, 0, 1, &late.region, &err), MM_DEVICE_LOST);
    }
    take(device, &late, 3 * MIB);
    assert_int_equal(ops->map(device, &late.block, &late.region, &err), MM_DEVICE_LOST);
    assert_null(late.region.device);
    drop(device, &late);
    drop(device, &small);
    drop(device, &large);
}

/* ---- Slow ------------------------------------------------------------------------------------ */

#define STEP_NS UINT64_C(1000000)
#define PER_MIB_NS (3 * STEP_NS)

/* A clock that moves by `step_ns` whenever somebody looks at it; 0 = it stands still. */
struct clock {
    _Atomic uint64_t now_ns, step_ns, looks;
};

static uint64_t look(void *user) {
    struct clock *clock = user;
    clock->looks++;
    return atomic_fetch_add(&clock->now_ns, clock->step_ns);
}

struct slow {
    struct fixture fixture;
    struct clock clock;
    struct holder holder;
    _Atomic bool done;
    mm_status status;
};

static uint8_t four_mib[4 * MIB];

static void slow_open(struct slow *slow, uint64_t ns_per_mib, uint64_t step_ns) {
    memset(slow, 0, sizeof(*slow));
    fixture_open(&slow->fixture, &(struct mmi_device_config){.name = "sim/slow",
                                                             .budget_bytes = FIXTURE_BYTES,
                                                             .sim_ns_per_mib = ns_per_mib,
                                                             .sim_load_delay_ns = UINT64_MAX});
    slow->clock.now_ns = WORLD_START_NS;
    slow->clock.step_ns = step_ns;
    mmi_clock_init(&slow->fixture.world.env.clock, look, &slow->clock);
    slow->clock.looks = 0;
    hold(slow->fixture.device, &slow->holder, sizeof(four_mib));
}

static void slow_close(struct slow *slow) {
    drop(slow->fixture.device, &slow->holder);
    fixture_close(&slow->fixture);
}

static void *fill(void *ctx) {
    struct slow *slow = ctx;
    struct mmi_device *device = slow->fixture.device;
    slow->status = device->ops->write(&slow->holder.region, 0, four_mib, sizeof(four_mib), NULL);
    slow->done = true;
    return NULL;
}

/* Starts a write and returns once it waits: it has computed its deadline and looked again. */
static pthread_t fill_until_it_waits(struct slow *slow) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, fill, slow), 0);
    while (slow->clock.looks < 2) {
        sched_yield();
    }
    return thread;
}

/* Neither map nor unmap takes time: the delay of a load is not theirs. */
static void test_latency_on_the_clock(void **state) {
    (void)state;
    struct slow slow;
    slow_open(&slow, PER_MIB_NS, STEP_NS);
    struct mmi_device *device = slow.fixture.device;
    mm_error err;
    uint64_t mapped_ns = slow.clock.now_ns;
    assert_int_equal(device->ops->write(&slow.holder.region, 0, four_mib, sizeof(four_mib), &err),
                     MM_OK);
    uint64_t written_ns = slow.clock.now_ns;
    assert_in_range(written_ns - mapped_ns, 4 * PER_MIB_NS, 4 * PER_MIB_NS + 4 * STEP_NS);
    device->ops->unmap(&slow.holder.region);
    assert_int_equal(device->ops->map(device, &slow.holder.block, &slow.holder.region, &err),
                     MM_OK);
    assert_int_equal(slow.clock.now_ns, written_ns);
    slow_close(&slow);
}

/* Time stands still: the first write cannot have ended when the others do. */
static void test_writes_do_not_queue(void **state) {
    (void)state;
    struct slow slow;
    slow_open(&slow, 1000, 0); /* 4 MiB take 4 us, one byte takes no time */
    struct mmi_device *device = slow.fixture.device;
    pthread_t thread = fill_until_it_waits(&slow);
    struct holder small = {0}, large = {0};
    mm_error err;
    for (int i = 0; i < 10; i++) {
        hold(device, &small, 1000);
        hold(device, &large, 3 * MIB);
        assert_int_equal(device->ops->write(&small.region, 0, "x", 1, &err), MM_OK);
        drop(device, &small);
        drop(device, &large);
    }
    assert_false(slow.done);
    slow.clock.step_ns = STEP_NS;
    pthread_join(thread, NULL);
    assert_int_equal(slow.status, MM_OK);
    slow_close(&slow);
}

/* Time stands still here too: only the loss can end the wait. */
static void lose_while_waiting(uint64_t ns_per_mib) {
    struct slow slow;
    slow_open(&slow, ns_per_mib, 0);
    struct mmi_device *device = slow.fixture.device;
    pthread_t thread = fill_until_it_waits(&slow);
    world_fault(&slow.fixture.world, "device", 1, ENODEV);
    assert_int_equal(device->ops->resize(device, FIXTURE_BYTES, NULL), MM_DEVICE_LOST);
    pthread_join(thread, NULL);
    assert_int_equal(slow.status, MM_DEVICE_LOST);
    slow_close(&slow);
}

static void test_lost_while_waiting(void **state) {
    (void)state;
    lose_while_waiting(PER_MIB_NS);
    lose_while_waiting(UINT64_MAX); /* more than 64 bits of nanoseconds: for ever */
}

/* ---- The kernel has no mapping left ---------------------------------------------------------- */

static bool resident(void *page) {
    unsigned char answer = 0;
    return mincore(page, 1, &answer) == 0 && (answer & 1);
}

/* Some systems allow so many that a test had better not try; ThreadSanitizer dies without any. */
static void skip_unless_few_mappings(void) {
#ifdef THREAD_SANITIZER
    skip();
#endif
    unsigned long most = ULONG_MAX;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
    if (file) {
        most = fscanf(file, "%lu", &most) == 1 ? most : ULONG_MAX;
        fclose(file);
    }
    if (most > 200000) {
        skip();
    }
}

/* Splits one mapping at every page until the process may have no more; returns its size. */
static uint64_t use_up_mappings(uint8_t **base) {
    uint64_t bytes = 1024 * MIB;
    *base = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(*base, MAP_FAILED);
    for (uint64_t at = 4096; at < bytes; at += 8192) {
        if (mprotect(*base + at, 4096, PROT_READ) != 0) {
            assert_int_equal(errno, ENOMEM);
            break;
        }
    }
    return bytes;
}

/* Three regions that the kernel merged into one mapping; the middle one leaves. */
static void test_unmap_without_mappings(void **state) {
    struct fixture *fixture = *state;
    struct mmi_device *device = fixture->device;
    struct holder holders[3] = {{.block = {0}}};
    skip_unless_few_mappings();
    for (size_t i = 0; i < 3; i++) {
        hold(device, &holders[i], 64 * KIB);
    }
    for (size_t i = 0; i < 3; i++) {
        memset(holders[i].region.base, 1, 64 * KIB);
    }
    uint8_t *base, *middle = holders[1].region.base;
    assert_true(resident(middle));
    uint64_t bytes = use_up_mappings(&base);
    device->ops->unmap(&holders[1].region);
    bool gone = !resident(middle);
    munmap(base, bytes);
    assert_true(gone);
    assert_int_equal(holders[0].region.base[0], 1);
    assert_int_equal(holders[2].region.base[64 * KIB - 1], 1);
    for (size_t i = 0; i < 3; i++) {
        drop(device, &holders[i]);
    }
}

/* The free chunks lie apart: the region needs a mapping for each; there is none for the last. */
static void test_map_without_mappings(void **state) {
    struct fixture *fixture = *state;
    struct mmi_device *device = fixture->device;
    struct holder comb[FIXTURE_BYTES / MMI_CHUNK_BYTES] = {0}, large = {0};
    size_t teeth = sizeof(comb) / sizeof(comb[0]);
    skip_unless_few_mappings();
    for (size_t i = 0; i < teeth; i++) {
        take(device, &comb[i], MMI_CHUNK_BYTES);
    }
    for (size_t i = 0; i < teeth; i += 2) {
        drop(device, &comb[i]);
    }
    take(device, &large, FIXTURE_BYTES / 2);
    size_t before = count_sim_mappings();
    uint8_t *base;
    uint64_t bytes = use_up_mappings(&base);
    mprotect(base + 4096, 4096, PROT_NONE); /* enough for a beginning */
    mm_error err;
    mm_status status = device->ops->map(device, &large.block, &large.region, &err);
    munmap(base, bytes);
    assert_int_equal(status, MM_NO_MEMORY);
    assert_null(large.region.device);
    assert_int_equal(count_sim_mappings(), before);
    assert_int_equal(device->ops->map(device, &large.block, &large.region, &err), MM_OK);
    drop(device, &large);
    for (size_t i = 1; i < teeth; i += 2) {
        drop(device, &comb[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_nth_call_fails, (void *)"host"),
        cmocka_unit_test_prestate(test_nth_call_fails, (void *)"sim"),
        cmocka_unit_test_prestate(test_nth_allocation_fails, (void *)"host"),
        cmocka_unit_test_prestate(test_nth_allocation_fails, (void *)"sim"),
        ON_HOST(test_lost_for_ever),
        ON_SIM(test_lost_for_ever),
        cmocka_unit_test(test_latency_on_the_clock),
        cmocka_unit_test(test_writes_do_not_queue),
        cmocka_unit_test(test_lost_while_waiting),
        ON_HOST(test_unmap_without_mappings),
        ON_SIM(test_map_without_mappings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
