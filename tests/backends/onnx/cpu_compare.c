/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu_compare.h"
#include "cpu_tables.h"

#include <backends/onnx/cpu/cpu.h>
#include <backends/onnx/operators/evaluate.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void run_all(void *host, uint64_t count, void (*body)(void *ctx, uint64_t i), void *ctx) {
    struct comparison *c = host;
    c->shared += count > 1;
    for (uint64_t i = count; i-- > 0;) {
        body(ctx, i);
    }
}

void compare_init(struct comparison *c, uint64_t seed) {
    memset(c, 0, sizeof(*c));
    world_init(&c->world);
    c->seed = seed;
    mmi_onnx_arena_init(&c->arena, &c->world.env.alloc);
}

void compare_fini(struct comparison *c) {
    mmi_onnx_arena_free(&c->arena);
    world_fini(&c->world);
}

void compare_start(struct comparison *c, const struct onnx_operator *op, const void *params) {
    mmi_onnx_arena_free(&c->arena);
    mmi_onnx_arena_init(&c->arena, &c->world.env.alloc);
    c->op = op;
    c->params = params;
    c->input_count = 0;
    c->output_count = 1;
    c->size_params = NULL;
    c->tolerance = 1e-6;
    c->floor = 1;
}

/* Memory of exactly so many bytes, aligned to 64, all of them 0xff: as f32 no number. */
static void *exactly(uint64_t bytes) {
    void *memory = NULL;
    if (bytes > 0) {
        assert_int_equal(posix_memalign(&memory, 64, bytes), 0);
        memset(memory, 0xff, bytes);
    }
    return memory;
}

int64_t compare_below(struct comparison *c, int64_t limit) {
    return (int64_t)test_random_below(&c->seed, (uint64_t)limit);
}

float *compare_input(struct comparison *c, uint32_t rank, const int64_t *shape, float low,
                     float high) {
    struct onnx_tensor *input = &c->inputs[c->input_count++];
    assert_int_equal(mmi_onnx_tensor_set(input, MM_F32, rank, shape, NULL), MM_OK);
    float *data = mmi_onnx_take_data(&c->arena, input->bytes);
    assert_non_null(data);
    for (uint64_t i = 0; i < input->elements; i++) {
        float part = (float)test_random_below(&c->seed, 1 << 20) / (float)(1 << 20);
        data[i] = low + (high - low) * part;
    }
    input->data = data;
    return data;
}

void compare_byte_input(struct comparison *c, int32_t dtype, uint32_t rank, const int64_t *shape) {
    struct onnx_tensor *input = &c->inputs[c->input_count++];
    assert_int_equal(mmi_onnx_tensor_set(input, dtype, rank, shape, NULL), MM_OK);
    uint8_t *data = mmi_onnx_take_data(&c->arena, input->bytes);
    assert_non_null(data);
    for (uint64_t i = 0; i < input->bytes; i++) {
        bool extreme = test_random_below(&c->seed, 4) == 0;
        uint8_t byte = (uint8_t)test_random_below(&c->seed, 256);
        data[i] = extreme ? (uint8_t)(byte & 1 ? 255 : byte & 2 ? 128 : byte & 4 ? 127 : 0) : byte;
    }
    input->data = data;
}

void compare_known_input(struct comparison *c, int32_t dtype, const void *values, int64_t count) {
    struct onnx_tensor *input = &c->inputs[c->input_count++];
    assert_int_equal(mmi_onnx_tensor_set(input, dtype, 1, &count, NULL), MM_OK);
    void *data = mmi_onnx_take_data(&c->arena, input->bytes);
    assert_non_null(data);
    memcpy(data, values, input->bytes);
    input->data = data;
    input->known = 1;
}

void compare_no_input(struct comparison *c) {
    c->inputs[c->input_count++] = (struct onnx_tensor){.dtype = MM_DTYPE_NONE};
}

/* One run of one kernel. */
struct attempt {
    const mm_services *services; /* NULL: the plain kernel */
    const void *params;
    bool sizes; /* of the inputs, instead of the inputs */
    const void *in[COMPARE_INPUTS];
    void *out[COMPARE_OUTPUTS];
    struct onnx_tensor outputs[COMPARE_OUTPUTS];
};

static void take_inputs(const struct comparison *c, struct attempt *attempt) {
    for (uint32_t i = 0; i < c->input_count; i++) {
        const struct onnx_tensor *input = &c->inputs[i];
        bool left_out = input->dtype == MM_DTYPE_NONE;
        float *copy = exactly(input->bytes);
        attempt->in[i] = copy || left_out ? (const void *)copy : mmi_onnx_nothing;
        if (input->bytes > 0) {
            memcpy(copy, input->data, input->bytes);
        }
        bool sizes = attempt->sizes && input->dtype == MM_F32;
        for (uint64_t k = 0; sizes && k < input->bytes / sizeof(float); k++) {
            copy[k] = fabsf(copy[k]);
        }
    }
}

static void give_back(const struct comparison *c, struct attempt *attempt) {
    for (uint32_t i = 0; i < c->input_count; i++) {
        if (attempt->in[i] != mmi_onnx_nothing) {
            free((void *)(uintptr_t)attempt->in[i]);
        }
    }
    for (uint32_t i = 0; i < c->output_count; i++) {
        free(attempt->out[i]);
    }
}

/* false: there is no fast kernel, and nothing to give back. */
static bool try(struct comparison *c, struct attempt *attempt) {
    const mm_services *services = attempt->services;
    const mm_services plain = {.host = c, .parallel_for = run_all, .threads = 1};
    mm_error err = {0};
    struct onnx_inference x = {.params = attempt->params,
                               .input_count = c->input_count,
                               .output_count = c->output_count,
                               .inputs = c->inputs,
                               .outputs = attempt->outputs};
    mm_status status = mmi_onnx_infer(c->op, &x, &err);
    if (status != MM_OK) {
        fail_msg("%s: %s", c->op->name, err.text);
    }
    onnx_kernel kernel = services ? mmi_onnx_cpu_kernel(c->op, &x, services) : c->op->run;
    if (!kernel) {
        return false;
    }
    take_inputs(c, attempt);
    for (uint32_t i = 0; i < c->output_count; i++) {
        attempt->out[i] = exactly(attempt->outputs[i].bytes);
    }
    void *scratch = exactly(x.scratch_bytes);
    struct onnx_call call = {.params = attempt->params,
                             .input_count = c->input_count,
                             .output_count = c->output_count,
                             .inputs = c->inputs,
                             .outputs = attempt->outputs,
                             .in = attempt->in,
                             .out = attempt->out,
                             .scratch = scratch,
                             .services = services ? services : &plain};
    assert_int_equal(kernel(&call, &err), MM_OK);
    free(scratch);
    return true;
}

static bool alike(float got, float wanted, double max) {
    if (isnan(wanted) || isinf(wanted)) {
        return isnan(wanted) ? isnan(got) : got == wanted;
    }
    return fabs((double)got - (double)wanted) <= max;
}

static void compare(const struct comparison *c, const struct attempt *got,
                    const struct attempt *wanted, const struct attempt *sizes) {
    for (uint32_t i = 0; i < c->output_count; i++) {
        const float *a = got->out[i], *b = wanted->out[i];
        if (wanted->outputs[i].dtype != MM_F32) {
            uint64_t bytes = wanted->outputs[i].bytes;
            if (bytes > 0 && memcmp(a, b, bytes) != 0) {
                fail_msg("%s: output %u is another", c->op->name, i);
            }
            continue;
        }
        for (uint64_t k = 0; k < wanted->outputs[i].elements; k++) {
            double size = fabs((double)b[k]);
            double scale = sizes             ? (double)((const float *)sizes->out[i])[k]
                           : size > c->floor ? size
                                             : c->floor;
            if (!alike(a[k], b[k], c->tolerance * scale)) {
                fail_msg("%s: output %u, element %llu is %.9g, not %.9g", c->op->name, i,
                         (unsigned long long)k, (double)a[k], (double)b[k]);
            }
        }
    }
}

/* To the last bit. */
static void expect_same(const struct comparison *c, const struct attempt *a,
                        const struct attempt *b) {
    for (uint32_t i = 0; i < c->output_count; i++) {
        uint64_t bytes = a->outputs[i].bytes;
        if (bytes > 0 && memcmp(a->out[i], b->out[i], bytes) != 0) {
            fail_msg("%s: output %u is another when the work is shared", c->op->name, i);
        }
    }
}

bool compare_run(struct comparison *c) {
    struct attempt wanted = {.params = c->params},
                   sizes = {.params = c->size_params, .sizes = true};
    struct attempt got[2 * MAX_CPU_TABLES];
    uint64_t features[MAX_CPU_TABLES];
    uint32_t tables = cpu_tables(features);
    bool fast = false;
    try(c, &wanted);
    if (c->size_params) {
        try(c, &sizes);
    }
    for (uint32_t i = 0; i < 2 * tables; i++) {
        uint32_t threads = i < tables ? 1 : 3;
        mm_services services = {.host = c,
                                .parallel_for = run_all,
                                .threads = threads,
                                .cpu_features = features[i % tables]};
        got[i] = (struct attempt){.services = &services, .params = c->params};
        if (try(c, &got[i])) {
            compare(c, &got[i], &wanted, c->size_params ? &sizes : NULL);
            if (threads > 1) {
                expect_same(c, &got[i], &got[i - tables]);
            }
            c->kernels++;
            fast = true;
        }
    }
    for (uint32_t i = 0; i < 2 * tables; i++) {
        give_back(c, &got[i]);
    }
    give_back(c, &wanted);
    give_back(c, &sizes);
    return fast;
}
