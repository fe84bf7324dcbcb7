/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of its own of a resident model: what it takes of the host beyond its packed weights and
 * the activations of a run.
 *
 *   bench-mlp-memory
 *
 * Counted twice: by the mesh's allocator, and as anonymous pages of the process (weights are mapped
 * from the cache and therefore no anonymous pages). */
#include "mlp.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 512
#define LAYERS 10
#define MODELS 16
#define BUDGET (UINT64_C(1) << 30)

static atomic_uint_least64_t live_bytes;

static void *counted_alloc(void *user, size_t bytes, size_t align) {
    (void)user;
    void *memory = NULL;
    align = align < sizeof(void *) ? sizeof(void *) : align;
    if (posix_memalign(&memory, align, bytes) != 0) {
        return NULL;
    }
    atomic_fetch_add(&live_bytes, bytes);
    return memory;
}

static void counted_free(void *user, void *memory, size_t bytes) {
    (void)user;
    atomic_fetch_sub(&live_bytes, bytes);
    free(memory);
}

/* Anonymous pages of this process. */
static uint64_t anonymous_bytes(void) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    uint64_t kib = 0;
    while (file && fgets(line, sizeof(line), file)) {
        sscanf(line, "RssAnon: %" SCNu64, &kib);
    }
    if (!file || kib == 0) {
        die("/proc/self/status", "has no RssAnon");
    }
    fclose(file);
    return kib * 1024;
}

static const mm_allocator counted = {NULL, counted_alloc, counted_free};

int main(void) {
    char folder[64], cache[80], name[16];
    struct mlp mlp;
    mm_model models[MODELS];
    bench_folder(folder);
    snprintf(cache, sizeof(cache), "%s/cache", folder);
    mlp_make(&mlp, folder, "10", LAYERS, WIDTH);
    mm_mesh *mesh = bench_mesh(BUDGET, cache, MM_MAP_AUTO, &counted);
    for (int i = 0; i < MODELS; i++) {
        snprintf(name, sizeof(name), "model-%d", i);
        models[i] = mlp_register(mesh, &mlp, name);
    }
    mlp_infer(mesh, models[0], &mlp); /* prepared, and once through everything */
    mlp_check(&mlp);
    malloc_trim(0);
    uint64_t live = atomic_load(&live_bytes), anonymous = anonymous_bytes();
    for (int i = 1; i < MODELS; i++) {
        mlp_infer(mesh, models[i], &mlp);
        mlp_check(&mlp);
    }
    mm_model_info info = MM_MODEL_INFO_INIT;
    mm_model_info_get(mesh, models[1], &info);
    live = atomic_load(&live_bytes) - live;
    anonymous = anonymous_bytes() - anonymous;
    printf("a model of %" PRIu64 " bytes of weights, activations %" PRIu64 ":\n",
           info.weights_bytes, info.activation_bytes);
    printf("  through the allocator  %8.1f KB each\n", (double)live / (MODELS - 1) / 1e3);
    printf("  anonymous pages        %8.1f KB each\n", (double)anonymous / (MODELS - 1) / 1e3);
    mm_mesh_free(&mesh);
    mlp_free(&mlp);
    bench_remove(folder);
    return 0;
}
