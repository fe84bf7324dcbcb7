/* SPDX-License-Identifier: Apache-2.0 */
/* What it costs to plan one large load among many small resident models: mm_plan_load, which plans
 * as a load does, under the same lock. The plan is checked: as many victims as it takes, the least
 * recently used first.
 *
 *   bench-plan [models [rounds]]      default: 10,000 models, 201 rounds */
#include <api/mesh.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SMALL_BYTES 4096u

static double now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void die(const char *what) {
    fprintf(stderr, "bench-plan: %s\n", what);
    exit(1);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static mm_model add(mm_mesh *mesh, const char *name, uint64_t bytes) {
    char script[96];
    snprintf(script, sizeof(script), "echo1\nweights_bytes %llu\ncheck 0\n",
             (unsigned long long)bytes);
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = name;
    spec.data = strdup(script); /* the mesh's for as long as the model is */
    spec.data_bytes = strlen(script);
    mm_model model = {0};
    mm_error err = {0};
    if (!spec.data || mm_register(mesh, &spec, &model, &err) != MM_OK) {
        die(err.text);
    }
    return model;
}

static void fill(mm_mesh *mesh, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        char name[16];
        mm_error err = {0};
        snprintf(name, sizeof(name), "s%u", i);
        if (mm_load(mesh, add(mesh, name, SMALL_BYTES), NULL, NULL, &err) != MM_OK) {
            die(err.text);
        }
    }
}

static void measure(mm_mesh *mesh, mm_model large, unsigned victims, int rounds) {
    double *samples = calloc((size_t)rounds, sizeof(*samples));
    if (!samples) {
        die("out of memory");
    }
    for (int i = 0; i < rounds; i++) {
        mm_plan plan = MM_PLAN_INIT;
        mm_error err = {0};
        double begun = now_us();
        if (mm_plan_load(mesh, large, &plan, &err) != MM_OK) {
            die(err.text);
        }
        samples[i] = now_us() - begun;
        if (plan.status != MM_OK || plan.victim_count != victims) {
            fprintf(stderr, "bench-plan: status %d, %u victims, not %u\n", plan.status,
                    plan.victim_count, victims);
            exit(1);
        }
    }
    qsort(samples, (size_t)rounds, sizeof(*samples), by_value);
    printf("%6u victims: %8.1f us  [%.1f-%.1f]\n", victims, samples[rounds / 2], samples[0],
           samples[rounds - 1]);
    free(samples);
}

int main(int argc, char **argv) {
    unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 10000;
    int rounds = argc > 2 ? atoi(argv[2]) : 201;
    mm_device_options device = MM_DEVICE_OPTIONS_INIT;
    device.name = "host";
    device.budget_bytes = (uint64_t)count * SMALL_BYTES;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = &device;
    options.device_count = 1;
    mm_mesh *mesh = NULL;
    mm_error err = {0};
    if (rounds < 1 || mm_mesh_create(&options, &mesh, &err) != MM_OK) {
        die(err.text);
    }
    fill(mesh, count);
    const unsigned parts[] = {100, 10, 2, 1};
    for (unsigned i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof(name), "large%u", i);
        unsigned victims = count / parts[i];
        mm_model large = add(mesh, name, (uint64_t)victims * SMALL_BYTES);
        if (mm_prepare(mesh, large, NULL, NULL, &err) != MM_OK) {
            die(err.text);
        }
        measure(mesh, large, victims, rounds);
    }
    mm_mesh_free(&mesh);
    return 0;
}
