/* SPDX-License-Identifier: Apache-2.0 */
/* Random makes, finds, holds, removals and restarts beside a naive model of what must be there: two
 * lists, of files and of memory, in the order of use. */
#include <artifact/fixture.h>

#define NUMBERS 12u
#define HANDLES 6u
#define STEPS 2500

static struct fixture g;
static uint64_t seed;

/* One thing kept, on disk or in memory; gone when life is 0. */
struct kept {
    uint64_t life; /* which making of it */
    uint64_t bytes, use;
    unsigned holds;
    bool passing; /* in memory, found no room: not kept */
};

struct handle {
    struct mmi_artifact *artifact; /* NULL = none */
    uint64_t number, life;         /* life: of memory */
    bool in_memory, held;
};

static struct kept disk[NUMBERS], memory[NUMBERS];
static struct handle handles[HANDLES];
static uint64_t lives, uses;
static struct model models[NUMBERS];

static uint64_t total(const struct kept *kept, bool unheld_only) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < NUMBERS; i++) {
        bool counts = kept[i].life && !kept[i].passing;
        bytes += counts && !(unheld_only && kept[i].holds) ? kept[i].bytes : 0;
    }
    return bytes;
}

static uint64_t total_passing(void) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < NUMBERS; i++) {
        bytes += memory[i].life && memory[i].passing ? memory[i].bytes : 0;
    }
    return bytes;
}

/* Make room for `need` beside what is there and `more` besides; false: cannot be, nobody left. */
static bool make_room(struct kept *kept, uint64_t more, uint64_t need, uint64_t budget) {
    if (total(kept, false) - total(kept, true) + more + need > budget) {
        return false;
    }
    while (total(kept, false) + more + need > budget) {
        struct kept *oldest = NULL;
        for (size_t i = 0; i < NUMBERS; i++) {
            if (kept[i].life && !kept[i].holds && !kept[i].passing &&
                (!oldest || kept[i].use < oldest->use)) {
                oldest = &kept[i];
            }
        }
        oldest->life = 0;
    }
    return true;
}

/* Prepared and not held there is one at a time. */
static void drop_passing(void) {
    for (size_t i = 0; i < NUMBERS; i++) {
        memory[i].life = memory[i].holds || !memory[i].passing ? memory[i].life : 0;
    }
}

/* What a commit must come to: in memory or not. */
static void expect_commit(uint64_t number, bool *in_memory) {
    const struct model *model = &models[number];
    uint64_t most = PAGE + stored_bytes(model);
    uint64_t rest = file_bytes(model) - most;
    *in_memory = !g.config.cache_dir || !make_room(disk, 0, most, g.config.cache_budget_bytes) ||
                 !make_room(disk, most, rest, g.config.cache_budget_bytes);
    struct kept *kept = *in_memory ? &memory[number] : &disk[number];
    uint64_t bytes = *in_memory ? stored_bytes(model) : file_bytes(model);
    bool fits = !*in_memory || make_room(memory, 0, bytes, g.config.temporary_budget_bytes);
    if (!fits) { /* beside the budget, while it is needed */
        drop_passing();
    }
    if (!kept->life) {
        *kept = (struct kept){.life = ++lives, .bytes = bytes, .passing = !fits};
    }
    kept->use = ++uses;
}

static void check(struct mmi_artifact *artifact, uint64_t number, bool in_memory) {
    expect_view(artifact, &models[number]);
    assert_int_equal(mmi_artifact_temporary_bytes(artifact),
                     in_memory ? stored_bytes(&models[number]) : 0);
}

static void keep_handle(struct mmi_artifact *artifact, uint64_t number, bool in_memory,
                        uint64_t *random) {
    struct handle *handle = &handles[test_random_below(random, HANDLES)];
    if (handle->artifact) {
        mmi_artifact_release(artifact);
        return;
    }
    *handle =
        (struct handle){artifact, number, in_memory ? memory[number].life : 0, in_memory, false};
}

static void make_one(uint64_t *random) {
    uint64_t number = test_random_below(random, NUMBERS);
    bool in_memory;
    expect_commit(number, &in_memory);
    struct mmi_artifact *artifact;
    assert_int_equal(fixture_commit(&g, &models[number], &artifact), MM_OK);
    check(artifact, number, in_memory);
    keep_handle(artifact, number, in_memory, random);
}

static void find_one(uint64_t *random) {
    uint64_t number = test_random_below(random, NUMBERS);
    struct kept *kept = memory[number].life ? &memory[number] : &disk[number];
    struct mmi_artifact *artifact;
    mm_status status = fixture_find(&g, number, &artifact);
    assert_int_equal(status, kept->life ? MM_OK : MM_NONE);
    if (status == MM_OK) {
        kept->use = ++uses;
        check(artifact, number, kept == &memory[number]);
        keep_handle(artifact, number, kept == &memory[number], random);
    }
}

static void unhold(struct handle *handle) {
    mmi_artifact_unhold(handle->artifact);
    memory[handle->number].holds -= handle->in_memory;
    handle->held = false;
    if (handle->in_memory && memory[handle->number].passing && !memory[handle->number].holds) {
        memory[handle->number].life = 0;
    }
}

static void use_handle(uint64_t *random) {
    struct handle *handle = &handles[test_random_below(random, HANDLES)];
    if (!handle->artifact) {
        return;
    }
    const struct model *model = &models[handle->number];
    if (handle->held) {
        expect_weights(handle->artifact, model); /* whatever became of its entry */
        unhold(handle);
        return;
    }
    struct kept *kept = handle->in_memory ? &memory[handle->number] : &disk[handle->number];
    bool there = handle->in_memory ? kept->life == handle->life : kept->life != 0;
    assert_int_equal(mmi_artifact_hold(handle->artifact, &g.err), there ? MM_OK : MM_NONE);
    if (there) {
        kept->use = ++uses;
        kept->holds += handle->in_memory;
        handle->held = true;
        expect_weights(handle->artifact, model);
    }
}

static void drop_handle(struct handle *handle) {
    if (handle->artifact) {
        if (handle->held) {
            unhold(handle);
        }
        expect_view(handle->artifact, &models[handle->number]);
        mmi_artifact_release(handle->artifact);
        *handle = (struct handle){0};
    }
}

/* Somebody removes an entry. */
static void remove_one(uint64_t *random) {
    uint64_t number = test_random_below(random, NUMBERS);
    char path[SCRATCH_ROOM];
    if (g.config.cache_dir && disk[number].life) {
        assert_int_equal(unlink(entry_path(&g, number, path)), 0);
        disk[number].life = 0;
    }
}

static void restart(void) {
    for (size_t i = 0; i < HANDLES; i++) {
        drop_handle(&handles[i]);
    }
    fixture_reopen(&g);
    memset(memory, 0, sizeof(memory));
}

static void check_sums(void) {
    struct mmi_store_stats stats = mmi_store_stats(g.store);
    assert_int_equal(stats.temporary_bytes, total(memory, false) + total_passing());
    if (g.config.cache_dir) {
        for (uint64_t i = 0; i < NUMBERS; i++) {
            char path[SCRATCH_ROOM];
            assert_int_equal(access(entry_path(&g, i, path), F_OK), disk[i].life ? 0 : -1);
        }
        assert_true(total(disk, false) <= g.config.cache_budget_bytes);
    }
}

static void walk(uint64_t random) {
    for (int step = 0; step < STEPS; step++) {
        uint64_t what = test_random_below(&random, 100);
        if (what < 25) {
            make_one(&random);
        } else if (what < 50) {
            find_one(&random);
        } else if (what < 85) {
            use_handle(&random);
        } else if (what < 97) {
            drop_handle(&handles[test_random_below(&random, HANDLES)]);
        } else if (what < 99) {
            remove_one(&random);
        } else {
            restart();
        }
        check_sums();
    }
    restart();
}

static void start(void) {
    uint64_t random = seed;
    memset(disk, 0, sizeof(disk));
    for (uint64_t i = 0; i < NUMBERS; i++) {
        models[i] = (struct model){.number = i,
                                   .weights_bytes = 1 + test_random_below(&random, 40 * KIB),
                                   .description_bytes = test_random_below(&random, 5000),
                                   .group_bytes = i % 3 * 3000};
    }
    /* One that fits into neither budget together with much else. */
    models[0].weights_bytes = 90 * KIB;
    models[1].weights_bytes = 150 * KIB; /* two into none at all */
    models[2].weights_bytes = 140 * KIB;
    fixture_init(&g);
    g.config.temporary_budget_bytes = 100 * KIB;
    g.config.cache_budget_bytes = 130 * KIB;
}

static void test_memory_only(void **state) {
    (void)state;
    start();
    g.config.cache_dir = NULL;
    fixture_open(&g);
    walk(seed + 1);
    fixture_fini(&g);
}

static void test_disk_and_memory(void **state) {
    (void)state;
    start();
    fixture_open(&g);
    walk(seed + 2);
    fixture_fini(&g);
}

/* A disk budget that many do not fit into at all. */
static void test_small_disk(void **state) {
    (void)state;
    start();
    g.config.cache_budget_bytes = 36 * KIB;
    fixture_open(&g);
    walk(seed + 3);
    fixture_fini(&g);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_only),
        cmocka_unit_test(test_disk_and_memory),
        cmocka_unit_test(test_small_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
