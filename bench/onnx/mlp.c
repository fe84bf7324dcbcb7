/* SPDX-License-Identifier: Apache-2.0 */
#include "mlp.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND_NS UINT64_C(1000000000)

_Noreturn void die(const char *what, const char *why) {
    fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(1);
}

static void *need(size_t count, size_t bytes) {
    void *memory = calloc(count, bytes);
    if (!memory) {
        die("calloc", "out of memory");
    }
    return memory;
}

/* ---- The file, in the words of onnx.proto: field numbers behind the names -------------------- */

struct file {
    uint8_t *bytes;
    size_t count, room;
};

static void put(struct file *file, const void *bytes, size_t count) {
    if (file->room - file->count < count) {
        file->room = 2 * file->room + count;
        file->bytes = realloc(file->bytes, file->room);
        if (!file->bytes) {
            die("realloc", "out of memory");
        }
    }
    memcpy(file->bytes + file->count, bytes, count);
    file->count += count;
}

static void put_varint(struct file *file, uint64_t value) {
    do {
        uint8_t byte = (uint8_t)((value & 127) | (value > 127 ? 128 : 0));
        put(file, &byte, 1);
        value >>= 7;
    } while (value > 0);
}

static void put_number(struct file *file, uint32_t field, uint64_t value) {
    put_varint(file, field << 3);
    put_varint(file, value);
}

static void put_bytes(struct file *file, uint32_t field, const void *bytes, size_t count) {
    put_varint(file, field << 3 | 2);
    put_varint(file, count);
    put(file, bytes, count);
}

static void put_text(struct file *file, uint32_t field, const char *text) {
    put_bytes(file, field, text, strlen(text));
}

/* A message made apart; it is freed. */
static void put_message(struct file *file, uint32_t field, struct file *message) {
    put_bytes(file, field, message->bytes, message->count);
    free(message->bytes);
}

static void put_tensor(struct file *graph, const char *name, uint32_t rows, uint32_t columns,
                       const float *data) {
    struct file tensor = {0};
    if (rows > 0) {
        put_number(&tensor, 1, rows); /* dims */
    }
    put_number(&tensor, 1, columns);
    put_number(&tensor, 2, MM_F32); /* data_type */
    put_text(&tensor, 8, name);
    put_bytes(&tensor, 9, data, (rows > 0 ? (size_t)rows : 1) * columns * sizeof(*data));
    put_message(graph, 5, &tensor); /* initializer */
}

/* inputs: NULL ends them. */
static void put_node(struct file *graph, const char *type, const char *const *inputs,
                     const char *output) {
    struct file node = {0};
    for (; *inputs; inputs++) {
        put_text(&node, 1, *inputs);
    }
    put_text(&node, 2, output);
    put_text(&node, 4, type);
    put_message(graph, 1, &node);
}

static void put_value(struct file *graph, uint32_t field, const char *name, uint32_t width) {
    struct file shape = {0}, tensor = {0}, type = {0}, value = {0};
    for (int i = 0; i < 2; i++) {
        struct file dimension = {0};
        put_number(&dimension, 1, i == 0 ? 1 : width);
        put_message(&shape, 1, &dimension);
    }
    put_number(&tensor, 1, MM_F32);
    put_message(&tensor, 2, &shape);
    put_message(&type, 1, &tensor);
    put_text(&value, 1, name);
    put_message(&value, 2, &type);
    put_message(graph, field, &value);
}

/* ---- The model ------------------------------------------------------------------------------- */

static float random_float(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (float)((double)(*state >> 40) / (1 << 23) - 1); /* [-1, 1) */
}

/* One layer into the graph; `x` becomes what it makes of it. */
static void add_layer(struct file *graph, const struct mlp *mlp, uint32_t layer, uint64_t *seed,
                      double *x) {
    uint32_t n = mlp->width;
    char in[16], weights[16], bias[16], sum[16], out[16];
    snprintf(in, sizeof(in), layer == 0 ? "x" : "h%u", layer);
    snprintf(weights, sizeof(weights), "w%u", layer);
    snprintf(bias, sizeof(bias), "b%u", layer);
    snprintf(sum, sizeof(sum), "s%u", layer);
    snprintf(out, sizeof(out), layer + 1 == mlp->layers ? "y" : "h%u", layer + 1);
    float *w = need((size_t)n * n, sizeof(*w)), *b = need(n, sizeof(*b));
    double *y = need(n, sizeof(*y));
    float scale = sqrtf(6.0f / (float)n); /* keeps the numbers about as large as they are */
    for (uint32_t i = 0; i < n; i++) {
        b[i] = 0.1f * random_float(seed);
        y[i] = (double)b[i];
    }
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < n; j++) {
            w[(size_t)i * n + j] = scale * random_float(seed);
            y[j] += x[i] * (double)w[(size_t)i * n + j];
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        x[i] = y[i] > 0 ? y[i] : 0;
    }
    put_tensor(graph, weights, n, n, w);
    put_tensor(graph, bias, 0, n, b);
    put_node(graph, "Gemm", (const char *const[]){in, weights, bias, NULL}, sum);
    put_node(graph, "Relu", (const char *const[]){sum, NULL}, out);
    free(w);
    free(b);
    free(y);
}

static void write_file(struct mlp *mlp, const struct file *model) {
    FILE *file = fopen(mlp->path, "wb");
    if (!file || fwrite(model->bytes, 1, model->count, file) != model->count || fclose(file) != 0) {
        die(mlp->path, "cannot be written");
    }
    mlp->file_bytes = model->count;
}

void mlp_make(struct mlp *mlp, const char *folder, const char *name, uint32_t layers,
              uint32_t width) {
    *mlp = (struct mlp){.layers = layers, .width = width};
    mlp->x = need(width, sizeof(float));
    mlp->y = need(width, sizeof(float));
    mlp->buffer = need(width, sizeof(float));
    snprintf(mlp->path, sizeof(mlp->path), "%s/mlp-%s.onnx", folder, name);
    uint64_t seed = (uint64_t)layers << 32 | width;
    double *x = need(width, sizeof(*x));
    struct file graph = {0}, model = {0}, opset = {0};
    for (uint32_t i = 0; i < width; i++) {
        mlp->x[i] = random_float(&seed);
        x[i] = (double)mlp->x[i];
    }
    put_text(&graph, 2, "mlp");
    put_value(&graph, 11, "x", width);
    put_value(&graph, 12, "y", width);
    for (uint32_t i = 0; i < layers; i++) {
        add_layer(&graph, mlp, i, &seed, x);
    }
    put_number(&model, 1, 8); /* ir_version */
    put_message(&model, 7, &graph);
    put_number(&opset, 2, 17);
    put_message(&model, 8, &opset);
    write_file(mlp, &model);
    free(model.bytes);
    for (uint32_t i = 0; i < width; i++) {
        mlp->y[i] = (float)x[i];
    }
    free(x);
}

void mlp_free(struct mlp *mlp) {
    free(mlp->x);
    free(mlp->y);
    free(mlp->buffer);
}

mm_model mlp_register(mm_mesh *mesh, const struct mlp *mlp, const char *name) {
    mm_error err;
    mm_model model;
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = name;
    spec.source = mlp->path;
    if (mm_register(mesh, &spec, &model, &err) != MM_OK) {
        die(name, err.text);
    }
    return model;
}

double mlp_infer(mm_mesh *mesh, mm_model model, struct mlp *mlp) {
    uint64_t bytes = mlp->width * sizeof(float);
    mm_value in = {.name = "x",
                   .dtype = MM_F32,
                   .rank = 2,
                   .shape = {1, mlp->width},
                   .data = mlp->x,
                   .bytes = bytes};
    mm_value out = {.data = mlp->buffer, .bytes = bytes};
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &in;
    request.input_count = 1;
    mm_response response = MM_RESPONSE_INIT;
    response.outputs = &out;
    response.output_capacity = 1;
    mm_error err;
    double begun_ms = now_ms();
    if (mm_infer(mesh, model, &request, &response, &err) != MM_OK) {
        die(mlp->path, err.text);
    }
    return now_ms() - begun_ms;
}

void mlp_check(const struct mlp *mlp) {
    double largest = 0;
    for (uint32_t i = 0; i < mlp->width; i++) {
        largest = fmax(largest, fabs((double)mlp->y[i]));
    }
    for (uint32_t i = 0; i < mlp->width; i++) {
        double off = fabs((double)mlp->buffer[i] - (double)mlp->y[i]);
        if (!(off <= 1e-4 * largest) || largest == 0) {
            die(mlp->path, "wrong answer");
        }
    }
}

/* ---- The mesh, folders, numbers -------------------------------------------------------------- */

mm_mesh *bench_mesh(uint64_t budget_bytes, const char *cache_dir, uint32_t map_cache,
                    const mm_allocator *allocator) {
    mm_error err;
    mm_mesh *mesh;
    mm_device_options device = MM_DEVICE_OPTIONS_INIT;
    device.name = "host";
    device.budget_bytes = budget_bytes;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = &device;
    options.device_count = 1;
    options.compute_threads = 1;
    options.cache_dir = cache_dir;
    options.map_cache = map_cache;
    options.allocator = allocator;
    if (mm_mesh_create(&options, &mesh, &err) != MM_OK) {
        die("mesh", err.text);
    }
    return mesh;
}

void bench_evict(mm_mesh *mesh, mm_model model) {
    mm_error err;
    mm_model_info info = MM_MODEL_INFO_INIT;
    if (mm_evict(mesh, model, mm_deadline_after(SECOND_NS), &err) != MM_OK) {
        die("evict", err.text);
    }
    if (mm_model_info_get(mesh, model, &info) != MM_OK || info.state != MM_STATE_COLD) {
        die("evict", "the model is not cold");
    }
}

void bench_folder(char path[64]) {
    snprintf(path, 64, "/tmp/bench-mlp-XXXXXX");
    if (!mkdtemp(path)) {
        die(path, "cannot be made");
    }
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at) {
    (void)status, (void)type, (void)at;
    return remove(path);
}

void bench_remove(const char *path) {
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof(*values), by_value);
    return values[count / 2];
}

const char *spread(double *values, int count) {
    static char texts[4][48];
    static unsigned next;
    char *text = texts[next++ % 4];
    double middle = median(values, count);
    snprintf(text, sizeof(texts[0]), "%.3f [%.3f-%.3f]", middle, values[0], values[count - 1]);
    return text;
}

int bench_rounds(int argc, char **argv, int usual) {
    int rounds = argc > 1 ? atoi(argv[1]) : usual;
    if (rounds < 1 || rounds > MAX_ROUNDS) {
        die("rounds", "1 to 1000");
    }
    return rounds;
}
