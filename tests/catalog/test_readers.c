/* SPDX-License-Identifier: Apache-2.0 */

/* Threads that find names without a lock while others are added and removed. What they found is
 * compared afterwards with what was written: each handle that was ever given belongs to one
 * name. */

#include <catalog/model.h>
#include <support/world.h>

#include <stdio.h>
#include <stdlib.h>

#define NAMES 200u
#define LASTING 20u /* the first so many are never removed */
#define READERS 3u
#define WRITES 6000u
#define NUMBERS 1024u /* models made, at most */
#define FINDINGS 200000u

#define GENERATIONS 256u

struct found {
    uint64_t id;
    uint32_t name;
};

struct fixture {
    struct world world;
    struct mmi_catalog catalog;
    char names[NAMES][16];
    uint64_t ids[NAMES]; /* the writer's */
    uint32_t *owners;    /* [number * generations + generation]: 1 + name; the writer's */
    _Atomic bool done;
    _Atomic uint32_t missed; /* lasting names that were not found */
};

struct reader {
    pthread_t thread;
    struct fixture *fixture;
    uint64_t seed;
    struct found *found;
    size_t count;
};

static void *read_names(void *ctx) {
    struct reader *reader = ctx;
    struct fixture *fixture = reader->fixture;
    while (!atomic_load(&fixture->done)) {
        uint32_t name = (uint32_t)test_random_below(&reader->seed, NAMES);
        uint64_t id = mmi_catalog_find(&fixture->catalog, fixture->names[name]);
        if (id == 0 && name < LASTING) {
            atomic_fetch_add(&fixture->missed, 1);
        }
        if (id != 0 && reader->count < FINDINGS) {
            reader->found[reader->count++] = (struct found){id, name};
        }
        struct mmi_model *model = mmi_catalog_at(&fixture->catalog, id);
        if (id != 0 && !model) {
            atomic_fetch_add(&fixture->missed, 1);
        }
    }
    return NULL;
}

static void add(struct fixture *fixture, uint32_t name) {
    struct mmi_model *model;
    assert_int_equal(mmi_catalog_add(&fixture->catalog, fixture->names[name], &model, NULL), MM_OK);
    fixture->ids[name] = atomic_load(&model->id);
    assert_true(model->number < NUMBERS && model->generation < GENERATIONS);
    fixture->owners[model->number * GENERATIONS + model->generation] = 1 + name;
}

static void write_names(struct fixture *fixture, uint64_t seed) {
    for (unsigned i = 0; i < WRITES; i++) {
        uint32_t name = LASTING + (uint32_t)test_random_below(&seed, NAMES - LASTING);
        if (fixture->ids[name]) {
            mmi_catalog_remove(&fixture->catalog,
                               mmi_catalog_get(&fixture->catalog, fixture->ids[name]));
            fixture->ids[name] = 0;
        } else {
            add(fixture, name);
        }
    }
}

static void expect_truth(const struct fixture *fixture, const struct reader *reader) {
    for (size_t i = 0; i < reader->count; i++) {
        uint32_t number = (uint32_t)reader->found[i].id - 1;
        uint32_t generation = (uint32_t)(reader->found[i].id >> 32);
        assert_true(number < NUMBERS && generation < GENERATIONS);
        assert_int_equal(fixture->owners[number * GENERATIONS + generation],
                         1 + reader->found[i].name);
    }
}

/* "Name to handle": of the right model, or of none, whatever happens meanwhile. */
static void test_readers_find_the_right_model_or_none(void **state) {
    uint64_t seed = *(uint64_t *)*state;
    static struct fixture fixture;
    struct reader readers[READERS];
    world_init(&fixture.world);
    fixture.owners = calloc((size_t)NUMBERS * GENERATIONS, sizeof(*fixture.owners));
    const struct mmi_catalog_config config = {
        .max_models = UINT32_MAX, .devices = 1, .generation_bits = 8};
    assert_int_equal(mmi_catalog_init(&fixture.catalog, &fixture.world.env.alloc, &config, NULL),
                     MM_OK);
    for (uint32_t name = 0; name < NAMES; name++) {
        snprintf(fixture.names[name], sizeof(fixture.names[name]), "n%u", name);
    }
    for (uint32_t name = 0; name < LASTING; name++) {
        add(&fixture, name);
    }
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.fixture = &fixture, .seed = test_random(&seed)};
        readers[i].found = malloc(FINDINGS * sizeof(struct found));
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_names, &readers[i]), 0);
    }
    write_names(&fixture, seed);
    atomic_store(&fixture.done, true);
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        expect_truth(&fixture, &readers[i]);
        free(readers[i].found);
    }
    assert_int_equal(atomic_load(&fixture.missed), 0);
    struct mmi_model *model;
    while ((model = mmi_catalog_next(&fixture.catalog, NULL))) {
        mmi_catalog_remove(&fixture.catalog, model);
    }
    mmi_catalog_fini(&fixture.catalog);
    free(fixture.owners);
    world_fini(&fixture.world);
}

int main(int argc, char **argv) {
    uint64_t seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_readers_find_the_right_model_or_none, &seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
