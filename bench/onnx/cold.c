/* SPDX-License-Identifier: Apache-2.0 */
/* Evicted -> first answer, less the steady time: what a cold model costs. Artifacts are known and
 * in the page cache; "evicted" is NONE: detached, pages returned.
 *
 *   bench-mlp-cold [rounds]
 *
 * For comparison, in the same round: memcpy of the model's bytes into memory that is there, into
 * fresh memory, and into fresh memory of huge pages. */
#include "mlp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define WIDTH 512
#define HOT 7 /* hot runs of a round */
#define BUDGET (UINT64_C(512) << 20)

enum { MAPPED, COPIED, WAYS };

struct samples {
    double cost[WAYS][MAX_ROUNDS];                                /* ms: cold less steady */
    double warm[MAX_ROUNDS], fresh[MAX_ROUNDS], huge[MAX_ROUNDS]; /* memcpy */
    double ratio[WAYS][MAX_ROUNDS];                               /* cost over what is allowed */
    double steady[MAX_ROUNDS];
};

static void *map_fresh(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        die("mmap", "out of memory");
    }
    return memory;
}

static double time_copy(void *to, const void *from, size_t bytes) {
    double begun_ms = now_ms();
    memcpy(to, from, bytes);
    double ms = now_ms() - begun_ms;
    if (memcmp(to, from, bytes) != 0) {
        die("memcpy", "wrong answer");
    }
    return ms;
}

static double time_fresh_copy(const void *from, size_t bytes, int advice) {
    void *fresh = map_fresh(bytes);
    madvise(fresh, bytes, advice); /* a wish: huge pages may be switched off */
    double ms = time_copy(fresh, from, bytes);
    munmap(fresh, bytes);
    return ms;
}

static double time_cold(mm_mesh *mesh, mm_model model, struct mlp *mlp, double *steady_ms) {
    double hot[HOT];
    bench_evict(mesh, model);
    double cold_ms = mlp_infer(mesh, model, mlp);
    mlp_check(mlp);
    for (int i = 0; i < HOT; i++) {
        hot[i] = mlp_infer(mesh, model, mlp);
    }
    *steady_ms = median(hot, HOT);
    return cold_ms - *steady_ms;
}

static void measure(struct mlp *mlp, mm_mesh *const meshes[WAYS], int rounds) {
    struct samples *s = calloc(1, sizeof(*s));
    size_t bytes = mlp->file_bytes;
    void *from = map_fresh(bytes), *warm = map_fresh(bytes);
    mm_model models[WAYS];
    if (!s) {
        die("calloc", "out of memory");
    }
    memset(from, 1, bytes);
    memset(warm, 2, bytes);
    for (int way = 0; way < WAYS; way++) {
        models[way] = mlp_register(meshes[way], mlp, mlp->path);
        mlp_infer(meshes[way], models[way], mlp);
        mlp_check(mlp);
    }
    for (int i = 0; i < rounds; i++) {
        s->warm[i] = time_copy(warm, from, bytes);
        s->fresh[i] = time_fresh_copy(from, bytes, MADV_NORMAL);
        s->huge[i] = time_fresh_copy(from, bytes, MADV_HUGEPAGE);
        for (int way = 0; way < WAYS; way++) {
            s->cost[way][i] = time_cold(meshes[way], models[way], mlp, &s->steady[i]);
        }
        s->ratio[MAPPED][i] = s->cost[MAPPED][i] / (0.25 * s->warm[i] + 0.3);
        s->ratio[COPIED][i] = s->cost[COPIED][i] / (1.3 * s->fresh[i]);
    }
    printf("%5.1f MB  steady %s ms; memcpy: warm %s ms, fresh %s ms, in huge pages %s ms\n",
           (double)bytes / 1e6, spread(s->steady, rounds), spread(s->warm, rounds),
           spread(s->fresh, rounds), spread(s->huge, rounds));
    printf("          mapped %s ms = %s x (0.25 warm + 0.3 ms)\n", spread(s->cost[MAPPED], rounds),
           spread(s->ratio[MAPPED], rounds));
    printf("          copied %s ms = %s x (1.3 fresh)\n", spread(s->cost[COPIED], rounds),
           spread(s->ratio[COPIED], rounds));
    for (int way = 0; way < WAYS; way++) {
        mm_unregister(meshes[way], models[way], NULL);
    }
    munmap(from, bytes);
    munmap(warm, bytes);
    free(s);
}

int main(int argc, char **argv) {
    static const uint32_t megabytes[] = {10, 30, 100};
    int rounds = bench_rounds(argc, argv, 11);
    char folder[64], cache[80];
    bench_folder(folder);
    snprintf(cache, sizeof(cache), "%s/cache", folder);
    mm_mesh *meshes[WAYS] = {bench_mesh(BUDGET, cache, MM_MAP_AUTO, NULL),
                             bench_mesh(BUDGET, cache, MM_MAP_NEVER, NULL)};
    for (size_t i = 0; i < sizeof(megabytes) / sizeof(megabytes[0]); i++) {
        struct mlp mlp;
        char name[16];
        snprintf(name, sizeof(name), "%u", megabytes[i]);
        mlp_make(&mlp, folder, name, megabytes[i] * 1000000 / (WIDTH * WIDTH * 4), WIDTH);
        measure(&mlp, meshes, rounds);
        mlp_free(&mlp);
    }
    for (int way = 0; way < WAYS; way++) {
        mm_mesh_free(&meshes[way]);
    }
    bench_remove(folder);
    return 0;
}
