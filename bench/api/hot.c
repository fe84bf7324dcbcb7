/* SPDX-License-Identifier: Apache-2.0 */
/* What a resident model costs: lookup and lease through the internal library, mm_infer over a
 * direct call of the backend, registering. 20 models resident of 10,000 registered.
 *
 *   bench-hot [rounds]
 *
 * Numbers are medians of interleaved rounds; the answer of every timed path is checked first. */
#include <api/mesh.h>
#include <backends/echo/echo.h>
#include <residency/admission.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MODELS 10000
#define RESIDENT 20
#define CALLS 200000

static char script[] = "echo1\nweights_bytes 4k\nseed 1\n";

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof(*values), by_value);
    return values[count / 2];
}

static void die(const char *what) {
    fprintf(stderr, "bench-hot: %s\n", what);
    exit(1);
}

struct bench {
    mm_mesh *mesh;
    mm_model models[MODELS];
    char names[RESIDENT][32];
    uint32_t order[4096]; /* random, below RESIDENT */
};

static mm_status infer(mm_mesh *mesh, mm_model model, float *x, float *y, int64_t *z) {
    mm_value in = {
        .name = "x", .dtype = MM_F32, .rank = 2, .shape = {1, 4}, .data = x, .bytes = 16};
    mm_value out[2] = {{.data = y, .bytes = 16}, {.data = z, .bytes = 16}};
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &in;
    request.input_count = 1;
    mm_response response = MM_RESPONSE_INIT;
    response.outputs = out;
    response.output_capacity = 2;
    return mm_infer(mesh, model, &request, &response, NULL);
}

static void open_mesh(struct bench *bench) {
    mm_device_options device = MM_DEVICE_OPTIONS_INIT;
    device.name = "host";
    device.budget_bytes = 64u << 20;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = &device;
    options.device_count = 1;
    options.compute_threads = 1;
    if (mm_mesh_create(&options, &bench->mesh, NULL) != MM_OK) {
        die("no mesh");
    }
    for (uint32_t i = 0; i < MODELS; i++) {
        char name[32];
        snprintf(name, sizeof(name), "team-%u/model-%u", i % 7, i);
        if (i < RESIDENT) {
            memcpy(bench->names[i], name, sizeof(name));
        }
        mm_model_spec spec = MM_MODEL_SPEC_INIT;
        spec.name = name;
        spec.data = script;
        spec.data_bytes = strlen(script);
        if (mm_register(bench->mesh, &spec, &bench->models[i], NULL) != MM_OK) {
            die("register");
        }
    }
    float x[4] = {1, 2, 3, 4}, y[4];
    int64_t z[2];
    for (uint32_t i = 0; i < RESIDENT; i++) {
        if (infer(bench->mesh, bench->models[i], x, y, z) != MM_OK || y[3] != 4 || z[1] != 1) {
            die("wrong answer");
        }
    }
    uint64_t random = 1;
    for (size_t i = 0; i < 4096; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        bench->order[i] = (uint32_t)(random >> 33) % RESIDENT;
    }
}

/* ---- Leases ---------------------------------------------------------------------------------- */

static double lease_by_handle(struct bench *bench) {
    uint64_t begun_ns = now_ns();
    for (uint32_t i = 0; i < CALLS; i++) {
        struct mmi_admission admission;
        if (!mmi_admission_try(&bench->mesh->res, bench->models[bench->order[i & 4095]].id, 0,
                               &admission)) {
            die("not resident");
        }
        mmi_admission_return(&bench->mesh->res, &admission);
    }
    return (double)(now_ns() - begun_ns) / CALLS;
}

/* The next model depends on what this lease found: nothing overlaps. */
static double lease_dependent(struct bench *bench) {
    uint64_t begun_ns = now_ns();
    uint32_t at = 0;
    for (uint32_t i = 0; i < CALLS; i++) {
        struct mmi_admission admission;
        if (!mmi_admission_try(&bench->mesh->res, bench->models[bench->order[at & 4095]].id, 0,
                               &admission)) {
            die("not resident");
        }
        at += 1 + (uint32_t)admission.instance->view.bytes;
        mmi_admission_return(&bench->mesh->res, &admission);
    }
    return (double)(now_ns() - begun_ns) / CALLS;
}

static double lease_by_name(struct bench *bench) {
    uint64_t begun_ns = now_ns();
    for (uint32_t i = 0; i < CALLS; i++) {
        struct mmi_admission admission;
        mm_model model;
        if (mm_find(bench->mesh, bench->names[bench->order[i & 4095]], &model) != MM_OK ||
            !mmi_admission_try(&bench->mesh->res, model.id, 0, &admission)) {
            die("not found");
        }
        mmi_admission_return(&bench->mesh->res, &admission);
    }
    return (double)(now_ns() - begun_ns) / CALLS;
}

struct half {
    struct bench *bench;
    pthread_barrier_t *start;
    double ns;
};

static void *run_half(void *ctx) {
    struct half *half = ctx;
    pthread_barrier_wait(half->start);
    half->ns = lease_by_handle(half->bench);
    return NULL;
}

/* Leases a second of two threads, on one mesh or on one each. */
static double two_threads(struct bench *a, struct bench *b) {
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, 2);
    struct half halves[2] = {{a, &start, 0}, {b, &start, 0}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, run_half, &halves[i]) != 0) {
            die("no thread");
        }
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&start);
    return 1e9 / halves[0].ns + 1e9 / halves[1].ns;
}

/* ---- Requests -------------------------------------------------------------------------------- */

static double through_mesh(struct bench *bench) {
    float x[4] = {1, 2, 3, 4}, y[4];
    int64_t z[2];
    uint64_t begun_ns = now_ns();
    for (uint32_t i = 0; i < CALLS; i++) {
        if (infer(bench->mesh, bench->models[0], x, y, z) != MM_OK) {
            die("infer");
        }
    }
    return (double)(now_ns() - begun_ns) / CALLS;
}

static bool never(mm_exec *exec) {
    (void)exec;
    return false;
}

/* The same call of the same instance without the mesh around it. */
static double direct(struct bench *bench) {
    struct mmi_admission admission;
    if (!mmi_admission_try(&bench->mesh->res, bench->models[0].id, 0, &admission)) {
        die("not resident");
    }
    struct mmi_opened *opened = mmi_admission_opened(&admission);
    float x[4] = {1, 2, 3, 4}, y[4];
    int64_t z[2];
    mm_value in = {.dtype = MM_F32, .rank = 2, .shape = {1, 4}, .data = x, .bytes = 16};
    struct mmi_signature *signature = mmi_signature_find(opened->signatures[0], &in);
    if (!signature) {
        die("no signature");
    }
    mm_exec exec = {.signature = signature->state, .stopped = never};
    uint64_t begun_ns = now_ns();
    for (uint32_t i = 0; i < CALLS; i++) {
        mm_value out[2] = {signature->size.outputs[0], signature->size.outputs[1]};
        out[0].data = y;
        out[1].data = z;
        if (opened->backend->table->infer(admission.instance->state, &exec, &in, out, NULL) !=
            MM_OK) {
            die("direct");
        }
    }
    double ns = (double)(now_ns() - begun_ns) / CALLS;
    mmi_signature_done(opened->signatures[0], signature, 0);
    mmi_admission_return(&bench->mesh->res, &admission);
    return ns;
}

/* Forms of a request whose outputs are not all the caller's. */
struct form {
    const char *name;
    bool subset; /* only y is asked for */
    bool array;  /* the library's, names too */
    bool data;   /* the caller's array, the library's memory */
};
static const struct form forms[] = {{"  subset", .subset = true},
                                    {"  library's array", .array = true},
                                    {"  library's memory", .data = true}};
#define FORMS (sizeof(forms) / sizeof(forms[0]))

static double through_form(struct bench *bench, const struct form *form) {
    float x[4] = {1, 2, 3, 4}, y[4];
    int64_t z[2];
    const char *wanted[] = {"y"};
    mm_value in = {
        .name = "x", .dtype = MM_F32, .rank = 2, .shape = {1, 4}, .data = x, .bytes = 16};
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &in;
    request.input_count = 1;
    request.outputs = form->subset ? wanted : NULL;
    request.output_count = form->subset ? 1 : 0;
    uint64_t begun_ns = now_ns();
    for (uint32_t i = 0; i < CALLS; i++) {
        mm_value out[2] = {{.data = form->data ? NULL : y, .bytes = 16},
                           {.data = form->data ? NULL : z, .bytes = 16}};
        mm_response response = MM_RESPONSE_INIT;
        response.outputs = form->array ? NULL : out;
        response.output_capacity = form->array ? 0 : 2;
        mm_status status = mm_infer(bench->mesh, bench->models[0], &request, &response, NULL);
        if (status != MM_OK || ((float *)response.outputs[0].data)[3] != 4) {
            die("infer");
        }
        mm_response_free(&response);
    }
    return (double)(now_ns() - begun_ns) / CALLS;
}

/* ---- Registering ----------------------------------------------------------------------------- */

static void registering(void) {
    enum { COUNT = 100000 };
    mm_mesh *mesh;
    if (mm_mesh_create(NULL, &mesh, NULL) != MM_OK) {
        die("no mesh");
    }
    mm_mesh_stats before = MM_MESH_STATS_INIT, after = MM_MESH_STATS_INIT;
    mm_mesh_stats_get(mesh, &before);
    uint64_t begun_ns = now_ns();
    for (uint32_t i = 0; i < COUNT; i++) {
        char name[32];
        snprintf(name, sizeof(name), "model-%u", i);
        mm_model model;
        mm_model_spec spec = MM_MODEL_SPEC_INIT;
        spec.name = name;
        spec.source = "/models/some/where/model.onnx";
        if (mm_register(mesh, &spec, &model, NULL) != MM_OK) {
            die("register");
        }
    }
    double us = (double)(now_ns() - begun_ns) / COUNT / 1e3;
    mm_mesh_stats_get(mesh, &after);
    printf("register             %8.2f us    %" PRIu64 " bytes a model, %d registered\n", us,
           (after.metadata_bytes - before.metadata_bytes) / COUNT, COUNT);
    mm_mesh_free(&mesh);
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 11;
    if (rounds < 1 || rounds > 1000) {
        die("rounds: 1 to 1000");
    }
    struct bench *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
    enum { SAMPLES = 7 + FORMS };
    double *samples[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
        samples[i] = calloc((size_t)rounds, sizeof(double));
    }
    open_mesh(a);
    open_mesh(b);
    for (int i = 0; i < rounds; i++) {
        samples[0][i] = lease_by_handle(a);
        samples[1][i] = lease_dependent(a);
        samples[2][i] = lease_by_name(a);
        samples[3][i] = two_threads(a, a) / two_threads(a, b);
        double mesh = through_mesh(a), bare = direct(a);
        samples[4][i] = mesh;
        samples[5][i] = bare;
        samples[6][i] = mesh - bare;
        for (size_t k = 0; k < FORMS; k++) {
            samples[7 + k][i] = through_form(a, &forms[k]);
        }
    }
    printf("lease by handle      %8.1f ns\n", median(samples[0], rounds));
    printf("  dependent          %8.1f ns\n", median(samples[1], rounds));
    printf("lease by name        %8.1f ns\n", median(samples[2], rounds));
    printf("two threads          %8.2f x   same models over two meshes\n",
           median(samples[3], rounds));
    printf("mm_infer             %8.1f ns\n", median(samples[4], rounds));
    for (size_t k = 0; k < FORMS; k++) {
        printf("%-20s %8.1f ns\n", forms[k].name, median(samples[7 + k], rounds));
    }
    printf("direct backend call  %8.1f ns\n", median(samples[5], rounds));
    printf("  difference         %8.1f ns\n", median(samples[6], rounds));
    registering();
    mm_mesh_free(&a->mesh);
    mm_mesh_free(&b->mesh);
    for (int i = 0; i < SAMPLES; i++) {
        free(samples[i]);
    }
    free(a);
    free(b);
    return 0;
}
