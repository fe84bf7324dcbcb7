/* SPDX-License-Identifier: Apache-2.0 */
/* The slowest calls: p99.9 of mm_pin, mm_find and of a hit of a small model, while two models of
 * 100 MB take turns in memory that holds one, over the same when nothing moves. A core must be
 * free for the loads; rounds are interleaved.
 *
 *   bench-moving [rounds] */
#include <api/mesh.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CALLS 200000u
#define LARGE "echo1\nweights_bytes 100m\ncheck 0\nseed %d\n"
#define MOST_ROUNDS 101

enum { PIN, FIND, HIT, KINDS };
static const char *const names[KINDS] = {"mm_pin", "mm_find", "hit"};

struct scene {
    mm_mesh *mesh;
    mm_model small, large[2];
    float x[4], y[4], z[64];
    atomic_bool moves;
    atomic_uint loads;
    double ns[CALLS];
};

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void die(const char *what) {
    fprintf(stderr, "bench-moving: %s\n", what);
    exit(1);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof(*values), by_value);
    return values[count / 2];
}

static mm_model add(mm_mesh *mesh, const char *name, const char *script) {
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = name;
    spec.data = strdup(script);
    spec.data_bytes = strlen(script);
    mm_model model = {0};
    mm_error err = {0};
    if (!spec.data || mm_register(mesh, &spec, &model, &err) != MM_OK) {
        die(err.text);
    }
    return model;
}

static void ask(struct scene *scene) {
    mm_value x = {.name = "x",
                  .dtype = MM_F32,
                  .rank = 2,
                  .shape = {1, 4},
                  .data = scene->x,
                  .bytes = sizeof(scene->x)};
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &x;
    request.input_count = 1;
    mm_response response = MM_RESPONSE_INIT;
    mm_error err = {0};
    if (mm_infer(scene->mesh, scene->small, &request, &response, &err) != MM_OK) {
        die(err.text);
    }
    mm_response_free(&response);
}

static void call(struct scene *scene, int kind) {
    mm_model found;
    switch (kind) {
    case PIN:
        if (mm_pin(scene->mesh, scene->small) != MM_OK) {
            die("mm_pin");
        }
        break;
    case FIND:
        if (mm_find(scene->mesh, "small", &found) != MM_OK || found.id != scene->small.id) {
            die("mm_find");
        }
        break;
    default:
        ask(scene);
    }
}

static double p999(struct scene *scene, int kind) {
    for (unsigned i = 0; i < CALLS; i++) {
        double begun = now_ns();
        call(scene, kind);
        scene->ns[i] = now_ns() - begun;
    }
    qsort(scene->ns, CALLS, sizeof(double), by_value);
    return scene->ns[CALLS - CALLS / 1000];
}

static void *move(void *ctx) {
    struct scene *scene = ctx;
    for (int i = 0; atomic_load(&scene->moves); i++) {
        mm_error err = {0};
        if (mm_load(scene->mesh, scene->large[i % 2], NULL, NULL, &err) != MM_OK) {
            die(err.text);
        }
        atomic_fetch_add(&scene->loads, 1);
    }
    return NULL;
}

static double beside(struct scene *scene, int kind) {
    pthread_t mover;
    atomic_store(&scene->moves, true);
    if (pthread_create(&mover, NULL, move, scene) != 0) {
        die("no thread");
    }
    unsigned before = atomic_load(&scene->loads);
    double ns;
    do { /* until some loads were whole inside of it */
        ns = p999(scene, kind);
    } while (atomic_load(&scene->loads) < before + 3);
    atomic_store(&scene->moves, false);
    pthread_join(mover, NULL);
    return ns;
}

static mm_mesh *open_mesh(void) {
    mm_device_options device = MM_DEVICE_OPTIONS_INIT;
    device.name = "host";
    device.budget_bytes = UINT64_C(128) << 20;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = &device;
    options.device_count = 1;
    options.min_residency_ns = 1;
    options.artifact_budget_bytes = UINT64_C(1) << 30;
    mm_mesh *mesh = NULL;
    mm_error err = {0};
    if (mm_mesh_create(&options, &mesh, &err) != MM_OK) {
        die(err.text);
    }
    return mesh;
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 7;
    if (rounds < 1 || rounds > MOST_ROUNDS) {
        die("rounds: 1 .. 101");
    }
    struct scene *scene = calloc(1, sizeof(*scene));
    if (!scene) {
        die("out of memory");
    }
    scene->mesh = open_mesh();
    scene->small = add(scene->mesh, "small", "echo1\nweights_bytes 64k\n");
    for (int i = 0; i < 2; i++) {
        char script[64], name[8];
        snprintf(script, sizeof(script), LARGE, i);
        snprintf(name, sizeof(name), "large%d", i);
        scene->large[i] = add(scene->mesh, name, script);
    }
    ask(scene);
    for (int kind = 0; kind < KINDS; kind++) {
        double alone[MOST_ROUNDS], moving[MOST_ROUNDS], ratio[MOST_ROUNDS];
        for (int i = 0; i < rounds; i++) {
            alone[i] = p999(scene, kind);
            moving[i] = beside(scene, kind);
            ratio[i] = moving[i] / alone[i];
        }
        double middle = median(ratio, rounds);
        printf("%-8s p99.9 alone %7.0f ns, while models move %7.0f ns: %.2f x [%.2f-%.2f]\n",
               names[kind], median(alone, rounds), median(moving, rounds), middle, ratio[0],
               ratio[rounds - 1]);
    }
    printf("%u loads of 100 MB\n", atomic_load(&scene->loads));
    mm_mesh_free(&scene->mesh);
    free(scene);
    return 0;
}
