/* SPDX-License-Identifier: Apache-2.0 */
/* The hot p50 of a model alone, and while others are loaded without a pause. A core must be free.
 *
 *   bench-mlp-loading [rounds] */
#include "mlp.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define CALLS 4000 /* of one measurement */
#define OTHERS 2

struct scene {
    mm_mesh *mesh;
    mm_model hot, others[OTHERS];
    struct mlp small, large;
    atomic_bool loads;
    atomic_uint_least64_t loaded;
    double samples[CALLS];
};

static void *load_others(void *ctx) {
    struct scene *scene = ctx;
    for (int i = 0; atomic_load(&scene->loads); i++) {
        mm_error err;
        mm_model other = scene->others[i % OTHERS];
        if (mm_load(scene->mesh, other, NULL, NULL, &err) != MM_OK) {
            die("load", err.text);
        }
        bench_evict(scene->mesh, other);
        atomic_fetch_add(&scene->loaded, 1);
    }
    return NULL;
}

static double hot_p50(struct scene *scene) {
    for (int i = 0; i < CALLS; i++) {
        scene->samples[i] = mlp_infer(scene->mesh, scene->hot, &scene->small);
    }
    mlp_check(&scene->small);
    return median(scene->samples, CALLS);
}

static double hot_p50_while_loading(struct scene *scene) {
    pthread_t loader;
    uint64_t before = atomic_load(&scene->loaded);
    atomic_store(&scene->loads, true);
    if (pthread_create(&loader, NULL, load_others, scene) != 0) {
        die("thread", "cannot be started");
    }
    double p50;
    do { /* until a load was whole inside of it */
        p50 = hot_p50(scene);
    } while (atomic_load(&scene->loaded) < before + 2);
    atomic_store(&scene->loads, false);
    pthread_join(loader, NULL);
    return p50;
}

static void measure(struct scene *scene, const char *way, int rounds) {
    static double alone[MAX_ROUNDS], beside[MAX_ROUNDS], ratio[MAX_ROUNDS];
    uint64_t before = atomic_load(&scene->loaded);
    for (int i = 0; i < rounds; i++) {
        alone[i] = 1e3 * hot_p50(scene);
        beside[i] = 1e3 * hot_p50_while_loading(scene);
        ratio[i] = beside[i] / alone[i];
    }
    printf("%s: alone %s us, while %u MB models load %s us, %s x; %u loads\n", way,
           spread(alone, rounds), (unsigned)(scene->large.file_bytes / 1000000),
           spread(beside, rounds), spread(ratio, rounds),
           (unsigned)(atomic_load(&scene->loaded) - before));
}

int main(int argc, char **argv) {
    int rounds = bench_rounds(argc, argv, 11);
    char folder[64], cache[80];
    struct scene *scene = calloc(1, sizeof(*scene));
    if (!scene) {
        die("calloc", "out of memory");
    }
    bench_folder(folder);
    snprintf(cache, sizeof(cache), "%s/cache", folder);
    mlp_make(&scene->small, folder, "small", 4, 256);
    mlp_make(&scene->large, folder, "large", 100, 512);
    for (uint32_t way = MM_MAP_AUTO; way <= MM_MAP_NEVER; way++) {
        scene->mesh = bench_mesh(UINT64_C(512) << 20, cache, way, NULL);
        scene->hot = mlp_register(scene->mesh, &scene->small, "hot");
        scene->others[0] = mlp_register(scene->mesh, &scene->large, "other-0");
        scene->others[1] = mlp_register(scene->mesh, &scene->large, "other-1");
        for (int i = 0; i < OTHERS; i++) { /* prepared, and right */
            mlp_infer(scene->mesh, scene->others[i], &scene->large);
            mlp_check(&scene->large);
            bench_evict(scene->mesh, scene->others[i]);
        }
        measure(scene, way == MM_MAP_AUTO ? "mapped" : "copied", rounds);
        mm_mesh_free(&scene->mesh);
    }
    mlp_free(&scene->small);
    mlp_free(&scene->large);
    free(scene);
    bench_remove(folder);
    return 0;
}
