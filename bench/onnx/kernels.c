/* SPDX-License-Identifier: Apache-2.0 */
/* The fast kernels of Conv and Linear, alone, on one thread, over the shapes of the public models:
 * microseconds and GF/s of each and the share of what the CPU can do at most, milliseconds of each
 * model. Checks each against the plain kernel first; exits 1 if one is wrong. Time is that of the
 * thread, so that others on the machine do not count.
 *
 * Usage: bench-onnx-kernels [MODEL | linear] [portable | avx2 | avx512]     (default: the best) */

#include <backends/onnx/cpu/cpu.h>
#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/matmul.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "peak.h"

#define MAX_ERROR 2e-6 /* relative to the sum of sizes, roughly */
#define ROUNDS 9
#define ROUND_NS 5e6

/* One node with its data. */
struct node {
    const struct onnx_operator *op;
    const void *params;
    struct onnx_tensor inputs[3], output;
    void *data[3];
    double work; /* multiplications and additions */
};

struct total {
    const char *model;
    double ns, work;
};

static double peak; /* GF/s; 0: not known */

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *take(uint64_t bytes) {
    void *memory = NULL;
    if (posix_memalign(&memory, 64, bytes + 64) != 0) {
        exit(1);
    }
    return memory;
}

static void add_input(struct node *node, uint32_t i, uint32_t rank, const int64_t *shape) {
    static uint64_t seed = 1;
    mmi_onnx_tensor_set(&node->inputs[i], MM_F32, rank, shape, NULL);
    float *data = take(node->inputs[i].bytes);
    for (uint64_t k = 0; k < node->inputs[i].elements; k++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        data[k] = (float)(seed >> 40) / (1 << 23) - 1;
    }
    node->data[i] = data;
}

/* The result of one kernel, in memory of its own; NULL: there is none. */
static float *run(const struct node *node, onnx_kernel kernel, uint64_t scratch_bytes,
                  const mm_services *services, double *best_ns) {
    void *scratch = take(scratch_bytes);
    float *out = take(node->output.bytes);
    const void *in[] = {node->data[0], node->data[1], node->data[2]};
    void *outs[] = {out};
    struct onnx_call call = {.params = node->params,
                             .input_count = 3,
                             .output_count = 1,
                             .inputs = node->inputs,
                             .outputs = &node->output,
                             .in = in,
                             .out = outs,
                             .scratch = scratch,
                             .services = services};
    double begin_ns = now_ns();
    bool failed = kernel(&call, NULL) != MM_OK;
    double once_ns = now_ns() - begin_ns;
    uint64_t runs = (uint64_t)(ROUND_NS / (once_ns + 1)) + 1;
    for (int round = 0; best_ns && round < ROUNDS; round++) {
        begin_ns = now_ns();
        for (uint64_t i = 0; i < runs; i++) {
            kernel(&call, NULL);
        }
        double ns = (now_ns() - begin_ns) / (double)runs;
        *best_ns = round == 0 || ns < *best_ns ? ns : *best_ns;
    }
    free(scratch);
    if (failed) {
        free(out);
    }
    return failed ? NULL : out;
}

static bool same(const struct node *node, const float *got, const float *wanted) {
    double terms = node->work / (double)node->output.elements / 2;
    for (uint64_t i = 0; got && wanted && i < node->output.elements; i++) {
        if (!(fabs((double)got[i] - (double)wanted[i]) <= MAX_ERROR * (terms + 1))) {
            return false;
        }
    }
    return got && wanted;
}

/* Nanoseconds of the fast kernel; below 0: it is wrong, or there is none. */
static double measure(struct node *node, const mm_services *services) {
    struct onnx_inference x = {.params = node->params,
                               .input_count = 3,
                               .output_count = 1,
                               .inputs = node->inputs,
                               .outputs = &node->output};
    double ns = -1;
    if (node->op->infer(&x, NULL) != MM_OK) {
        return -1;
    }
    float *wanted = run(node, node->op->run, x.scratch_bytes, services, NULL);
    onnx_kernel kernel = mmi_onnx_cpu_kernel(node->op, &x, services);
    float *got = kernel ? run(node, kernel, x.scratch_bytes, services, &ns) : NULL;
    bool right = same(node, got, wanted);
    free(got);
    free(wanted);
    for (uint32_t i = 0; i < 3; i++) {
        free(node->data[i]);
    }
    return right ? ns : -1;
}

static bool report(const char *text, double ns, double work, int64_t times, struct total *total) {
    printf("%-54s %9.1f us %7.1f GF/s", text, ns / 1e3, work / ns);
    if (peak > 0) {
        printf(" %3.0f %%", 100 * work / ns / peak);
    }
    printf("\n");
    total->ns += ns * (double)times;
    total->work += work * (double)times;
    if (ns < 0) {
        printf("wrong, or not there\n");
    }
    return ns >= 0;
}

/* ---- Conv */

struct shape {
    const char *model;
    int64_t times, channels, rows, columns, made;
    int64_t kernel[2], strides[2], pads[2], group;
};

#define SHAPE(model, times, c, h, w, o, kh, kw, sh, sw, ph, pw, g)                                 \
    {#model, times, c, h, w, o, {kh, kw}, {sh, sw}, {ph, pw}, g},
static const struct shape shapes[] = {
#include "conv_shapes.def"
};
#undef SHAPE

static bool bench_conv(const struct shape *s, const mm_services *services, struct total *total) {
    struct onnx_conv params = {.window = {.axes = 2, .dilations = {1, 1}}, .group = s->group};
    struct node node = {.op = &mmi_onnx_op_Conv, .params = &params};
    char text[100];
    for (uint32_t i = 0; i < 2; i++) {
        params.window.kernel[i] = s->kernel[i];
        params.window.strides[i] = s->strides[i];
        params.window.begin[i] = params.window.end[i] = s->pads[i];
    }
    add_input(&node, 0, 4, (const int64_t[]){1, s->channels, s->rows, s->columns});
    add_input(&node, 1, 4,
              (const int64_t[]){s->made, s->channels / s->group, s->kernel[0], s->kernel[1]});
    add_input(&node, 2, 1, &s->made);
    struct onnx_placed placed;
    mmi_onnx_place_window(&params.window, &node.inputs[0], s->kernel, &placed, NULL);
    node.work = 2.0 * (double)node.inputs[1].elements * (double)(placed.out[0] * placed.out[1]);
    double work = node.work;
    mmi_onnx_tensor_set(&node.output, MM_F32, 4,
                        (const int64_t[]){1, s->made, placed.out[0], placed.out[1]}, NULL);
    double ns = measure(&node, services);
    snprintf(text, sizeof(text), "%-7s%2d x %dx%dx%d -> %d, %dx%d / %dx%d, group %d", s->model,
             (int)s->times, (int)s->channels, (int)s->rows, (int)s->columns, (int)s->made,
             (int)s->kernel[0], (int)s->kernel[1], (int)s->strides[0], (int)s->strides[1],
             (int)s->group);
    return report(text, ns, work, s->times, total);
}

static bool bench_convs(const char *model, const mm_services *services) {
    bool right = true;
    struct total total = {.model = ""};
    for (size_t i = 0; i <= sizeof(shapes) / sizeof(shapes[0]); i++) {
        bool end = i == sizeof(shapes) / sizeof(shapes[0]);
        if (end || strcmp(shapes[i].model, total.model) != 0) {
            if (total.ns > 0) {
                printf("%s: %.3f ms, %.1f GF/s\n\n", total.model, total.ns / 1e6,
                       total.work / total.ns);
            }
            total = (struct total){.model = end ? "" : shapes[i].model};
        }
        if (!end && (!model || strcmp(model, shapes[i].model) == 0)) {
            right = bench_conv(&shapes[i], services, &total) && right;
        }
    }
    return right;
}

/* ---- Linear */

static bool bench_linear(const int64_t *s, const mm_services *services) {
    const struct onnx_linear params = {.activation = {.function = ONNX_F_NONE}};
    struct node node = {.op = &mmi_onnx_op_Linear, .params = &params};
    struct total total = {.model = ""};
    char text[100];
    add_input(&node, 0, 2, s);
    add_input(&node, 1, 2, s + 1);
    add_input(&node, 2, 1, s + 2);
    uint64_t k = (uint64_t)s[1], n = (uint64_t)s[2], bytes = mmi_onnx_panel_bytes(k, n);
    float *panels = take(bytes);
    mmi_onnx_pack_panels(node.data[1], k, n, false, panels);
    free(node.data[1]);
    node.data[1] = panels;
    node.inputs[1].bytes = bytes;
    node.inputs[1].layout = ONNX_PANELS;
    node.work = 2.0 * (double)s[0] * (double)k * (double)n;
    snprintf(text, sizeof(text), "Linear %d x %d x %d", (int)s[0], (int)k, (int)n);
    return report(text, measure(&node, services), node.work, 1, &total);
}

/* The sizes of the public models, and those of transformers. */
static bool bench_linears(const mm_services *services) {
    static const int64_t of_models[][3] = {{1, 2048, 1000},  {40, 120, 6625},  {2048, 257, 64},
                                           {128, 384, 1536}, {128, 1536, 384}, {1, 512, 214}};
    static const int64_t depths[][2] = {{384, 384}, {768, 768}, {768, 3072}, {3072, 768}};
    static const int64_t rows[] = {1, 4, 8, 16, 64, 128, 512};
    bool right = true;
    for (size_t i = 0; i < sizeof(of_models) / sizeof(of_models[0]); i++) {
        right = bench_linear(of_models[i], services) && right;
    }
    for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
        for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
            const int64_t s[] = {rows[k], depths[i][0], depths[i][1]};
            right = bench_linear(s, services) && right;
        }
    }
    return right;
}

static void run_all(void *host, uint64_t count, void (*body)(void *ctx, uint64_t i), void *ctx) {
    (void)host;
    for (uint64_t i = 0; i < count; i++) {
        body(ctx, i);
    }
}

/* The best that this CPU has, or that of a name. */
static uint64_t features_of(const char *name) {
    uint64_t features = MM_CPU_NEON;
#ifdef __x86_64__
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
    bool vnni = __builtin_cpu_supports("avx512vnni");
    features = (avx2 ? MM_CPU_AVX2 : 0) | (avx512 ? MM_CPU_AVX512 : 0) |
               (avx512 && vnni ? MM_CPU_AVX512_VNNI : 0);
#endif
    return strcmp(name, "portable") == 0 ? 0
           : strcmp(name, "avx2") == 0   ? features & MM_CPU_AVX2
                                         : features;
}

int main(int argc, char **argv) {
    mm_services services = {.parallel_for = run_all, .threads = 1, .cpu_features = features_of("")};
    const char *model = NULL;
    for (int i = 1; i < argc; i++) {
        bool table = strcmp(argv[i], "portable") == 0 || strcmp(argv[i], "avx2") == 0 ||
                     strcmp(argv[i], "avx512") == 0;
        if (table) {
            services.cpu_features = features_of(argv[i]);
        } else {
            model = argv[i];
        }
    }
    peak = peak_gflops(services.cpu_features, now_ns);
    printf("peak of one core: %.1f GF/s\n\n", peak);
    bool right = bench_convs(model, &services);
    if (!model || strcmp(model, "linear") == 0) {
        right = bench_linears(&services) && right;
    }
    return right ? 0 : 1;
}
