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

struct ground {
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
    struct ground *ground;
    uint64_t seed;
    struct found *found;
    size_t count;
};

static void *read_names(void *ctx) {
    struct reader *reader = ctx;
    struct ground *ground = reader->ground;
    while (!atomic_load(&ground->done)) {
        uint32_t name = (uint32_t)test_random_below(&reader->seed, NAMES);
        uint64_t id = mmi_catalog_find(&ground->catalog, ground->names[name]);
        if (id == 0 && name < LASTING) {
            atomic_fetch_add(&ground->missed, 1);
        }
        if (id != 0 && reader->count < FINDINGS) {
            reader->found[reader->count++] = (struct found){id, name};
        }
        struct mmi_model *model = mmi_catalog_at(&ground->catalog, id);
        if (id != 0 && !model) {
            atomic_fetch_add(&ground->missed, 1);
        }
    }
    return NULL;
}

static void add(struct ground *ground, uint32_t name) {
    struct mmi_model *model;
    assert_int_equal(mmi_catalog_add(&ground->catalog, ground->names[name], &model, NULL), MM_OK);
    ground->ids[name] = atomic_load(&model->id);
    assert_true(model->number < NUMBERS && model->generation < GENERATIONS);
    ground->owners[model->number * GENERATIONS + model->generation] = 1 + name;
}

static void write_names(struct ground *ground, uint64_t seed) {
    for (unsigned i = 0; i < WRITES; i++) {
        uint32_t name = LASTING + (uint32_t)test_random_below(&seed, NAMES - LASTING);
        if (ground->ids[name]) {
            mmi_catalog_remove(&ground->catalog,
                               mmi_catalog_get(&ground->catalog, ground->ids[name]));
            ground->ids[name] = 0;
        } else {
            add(ground, name);
        }
    }
}

static void expect_truth(const struct ground *ground, const struct reader *reader) {
    for (size_t i = 0; i < reader->count; i++) {
        uint32_t number = (uint32_t)reader->found[i].id - 1;
        uint32_t generation = (uint32_t)(reader->found[i].id >> 32);
        assert_true(number < NUMBERS && generation < GENERATIONS);
        assert_int_equal(ground->owners[number * GENERATIONS + generation],
                         1 + reader->found[i].name);
    }
}

/* "Name to handle": of the right model, or of none, whatever happens meanwhile. */
static void test_readers_find_the_right_model_or_none(void **state) {
    uint64_t seed = *(uint64_t *)*state;
    static struct ground ground;
    struct reader readers[READERS];
    world_init(&ground.world);
    ground.owners = calloc((size_t)NUMBERS * GENERATIONS, sizeof(*ground.owners));
    assert_int_equal(
        mmi_catalog_init(&ground.catalog, &ground.world.env.alloc, UINT32_MAX, 8, NULL), MM_OK);
    for (uint32_t name = 0; name < NAMES; name++) {
        snprintf(ground.names[name], sizeof(ground.names[name]), "n%u", name);
    }
    for (uint32_t name = 0; name < LASTING; name++) {
        add(&ground, name);
    }
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.ground = &ground, .seed = test_random(&seed)};
        readers[i].found = malloc(FINDINGS * sizeof(struct found));
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_names, &readers[i]), 0);
    }
    write_names(&ground, seed);
    atomic_store(&ground.done, true);
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        expect_truth(&ground, &readers[i]);
        free(readers[i].found);
    }
    assert_int_equal(atomic_load(&ground.missed), 0);
    struct mmi_model *model;
    while ((model = mmi_catalog_next(&ground.catalog, NULL))) {
        mmi_catalog_remove(&ground.catalog, model);
    }
    mmi_catalog_fini(&ground.catalog);
    free(ground.owners);
    world_fini(&ground.world);
}

int main(int argc, char **argv) {
    uint64_t seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_readers_find_the_right_model_or_none, &seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
