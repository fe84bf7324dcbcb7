/* SPDX-License-Identifier: Apache-2.0 */
/* What it costs to bring weights back: evicted (NONE: detached, pages returned) -> READY, and then
 * the first look at every page, less a later such look. The artifact is in the page cache. Mapped,
 * where the cache entry's own pages serve, and copied; beside it, in the same round, memcpy of as
 * many bytes into memory that is there, and into fresh memory.
 *
 *   bench-cold [rounds] */
#include <api/mesh.h>
#include <residency/admission.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MEGA 1000000u
#define PAGE 4096u
#define MOST_ROUNDS 1000

enum { MAPPED, COPIED, WAYS };

struct samples {
    double load[WAYS][MOST_ROUNDS], cost[WAYS][MOST_ROUNDS], ratio[WAYS][MOST_ROUNDS];
    double warm[MOST_ROUNDS], fresh[MOST_ROUNDS];
};

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void die(const char *what) {
    fprintf(stderr, "bench-cold: %s\n", what);
    exit(1);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print(const char *what, double *values, int count, const char *unit) {
    qsort(values, (size_t)count, sizeof(*values), by_value);
    printf("  %-28s %8.2f %s  [%.2f-%.2f]\n", what, values[count / 2], unit, values[0],
           values[count - 1]);
}

/* ---- Memory --------------------------------------------------------------------------------- */

static void *map_fresh(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        die("mmap");
    }
    return memory;
}

static double time_copy(void *to, const void *from, size_t bytes) {
    double begun_ms = now_ms();
    memcpy(to, from, bytes);
    double ms = now_ms() - begun_ms;
    if (memcmp(to, from, bytes) != 0) {
        die("wrong copy");
    }
    return ms;
}

/* One byte of each page; the sum must be the same whenever it is taken. */
static double time_look(mm_mesh *mesh, mm_model model, uint64_t *sum) {
    struct mmi_admission admission;
    if (!mmi_admission_try(&mesh->res, model.id, 0, &admission)) {
        die("not resident");
    }
    const volatile unsigned char *at = admission.instance->view.base;
    *sum = 0;
    double begun_ms = now_ms();
    for (uint64_t i = 0; i < admission.instance->view.bytes; i += PAGE) {
        *sum = *sum * 31 + at[i];
    }
    double ms = now_ms() - begun_ms;
    mmi_admission_return(&mesh->res, &admission);
    return ms;
}

/* ---- The mesh ------------------------------------------------------------------------------- */

static mm_mesh *open_mesh(const char *cache, uint32_t map) {
    mm_device_options device = MM_DEVICE_OPTIONS_INIT;
    device.name = "host";
    device.budget_bytes = UINT64_C(512) << 20;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = &device;
    options.device_count = 1;
    options.cache_dir = cache;
    options.map_cache = map;
    mm_mesh *mesh;
    mm_error err;
    if (mm_mesh_create(&options, &mesh, &err) != MM_OK) {
        die(err.text);
    }
    return mesh;
}

static double time_load(mm_mesh *mesh, mm_model model) {
    mm_error err;
    if (mm_evict(mesh, model, MM_NO_WAIT, &err) != MM_OK) {
        die(err.text);
    }
    double begun_ms = now_ms();
    if (mm_load(mesh, model, NULL, NULL, &err) != MM_OK) {
        die(err.text);
    }
    return now_ms() - begun_ms;
}

static void one_round(struct samples *s, int i, mm_mesh *const meshes[WAYS],
                      const mm_model models[WAYS]) {
    for (int way = 0; way < WAYS; way++) {
        uint64_t first, again;
        s->load[way][i] = time_load(meshes[way], models[way]);
        double cold_ms = s->load[way][i] + time_look(meshes[way], models[way], &first);
        s->cost[way][i] = cold_ms - time_look(meshes[way], models[way], &again);
        if (first != again) {
            die("the weights changed");
        }
    }
    s->ratio[MAPPED][i] = s->cost[MAPPED][i] / (0.25 * s->warm[i] + 0.3);
    s->ratio[COPIED][i] = s->cost[COPIED][i] / (1.3 * s->fresh[i]);
}

static void measure(mm_mesh *const meshes[WAYS], uint32_t megabytes, int rounds) {
    static struct samples s;
    size_t bytes = (size_t)megabytes * MEGA;
    void *from = map_fresh(bytes), *warm = map_fresh(bytes);
    memset(from, 1, bytes);
    memset(warm, 2, bytes);
    char script[96], name[16];
    snprintf(script, sizeof(script), "echo1\nweights_bytes %zu\ncheck 0\nseed %u\n", bytes,
             megabytes);
    snprintf(name, sizeof(name), "%u", megabytes);
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = name;
    spec.data = script;
    spec.data_bytes = strlen(script);
    mm_model models[WAYS];
    for (int way = 0; way < WAYS; way++) {
        mm_error err;
        if (mm_register(meshes[way], &spec, &models[way], &err) != MM_OK ||
            mm_load(meshes[way], models[way], NULL, NULL, &err) != MM_OK) {
            die(err.text);
        }
    }
    for (int i = 0; i < rounds; i++) {
        void *fresh = map_fresh(bytes);
        s.warm[i] = time_copy(warm, from, bytes);
        s.fresh[i] = time_copy(fresh, from, bytes);
        munmap(fresh, bytes);
        one_round(&s, i, meshes, models);
    }
    printf("%u MB\n", megabytes);
    print("memcpy, warm", s.warm, rounds, "ms");
    print("memcpy, fresh", s.fresh, rounds, "ms");
    print("mapped: load", s.load[MAPPED], rounds, "ms");
    print("  and first look", s.cost[MAPPED], rounds, "ms");
    print("  over 0.25 warm + 0.3 ms", s.ratio[MAPPED], rounds, "x ");
    print("copied: load", s.load[COPIED], rounds, "ms");
    print("  and first look", s.cost[COPIED], rounds, "ms");
    print("  over 1.3 fresh", s.ratio[COPIED], rounds, "x ");
    munmap(from, bytes);
    munmap(warm, bytes);
    for (int way = 0; way < WAYS; way++) {
        mm_unregister(meshes[way], models[way], NULL);
    }
}

int main(int argc, char **argv) {
    static const uint32_t megabytes[] = {10, 30, 100};
    int rounds = argc > 1 ? atoi(argv[1]) : 11;
    if (rounds < 1 || rounds > MOST_ROUNDS) {
        die("rounds: 1 to 1000");
    }
    char folder[] = "/tmp/bench-cold-XXXXXX", command[64];
    if (!mkdtemp(folder)) {
        die("no folder");
    }
    mm_mesh *meshes[WAYS] = {open_mesh(folder, MM_MAP_AUTO), open_mesh(folder, MM_MAP_NEVER)};
    for (size_t i = 0; i < sizeof(megabytes) / sizeof(megabytes[0]); i++) {
        measure(meshes, megabytes[i], rounds);
    }
    for (int way = 0; way < WAYS; way++) {
        mm_mesh_free(&meshes[way]);
    }
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command) == 0 ? 0 : 1;
}
