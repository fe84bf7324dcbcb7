/* SPDX-License-Identifier: Apache-2.0 */
/* Conv without im2col, by indirection: the input of one output row for one tap is contiguous in
 * padded rows (padded_rows.h), so a GEMM reads the rows of B there, through offsets. For windows of
 * more than one tap, and output rows that nearly fill their panels. */
#include <backends/onnx/cpu/conv.h>
#include <backends/onnx/cpu/padded_rows.h>
#include <base/checked.h>

/* Of all channels of a block. */
#define PADDED_FLOATS (48 * 1024)
/* For larger m the cost of im2col is negligible. */
#define MAX_M 128

struct indirect {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    struct onnx_conv_sizes size;
    struct onnx_padded_rows padded;
    uint64_t channel_block, taps;   /* channels of a block of k */
    uint64_t row_block, row_blocks; /* output rows of a block; blocks of an image */
    uint64_t tasks, task_floats, offset_bytes;
    uint64_t *offsets; /* [channel_block][taps] */
};

static bool plan(struct indirect *s, const struct onnx_conv *params,
                 const struct onnx_tensor *inputs, const mm_services *services) {
    if (!mmi_onnx_conv_sizes(&s->size, params, inputs)) {
        return false;
    }
    const struct onnx_window_2d *window = &s->size.window;
    uint64_t width = window->columns.out;
    uint64_t padded_width = (width + ONNX_NR - 1) / ONNX_NR * ONNX_NR;
    s->taps = window->rows.kernel * window->columns.kernel;
    s->channel_block = mmi_min_u64(mmi_max_u64(256 / s->taps, 1), s->size.channels);
    if (s->taps == 1 || (padded_width - width) * 16 > width || s->size.m > MAX_M ||
        !mmi_onnx_padded_rows(window, 0, PADDED_FLOATS / s->channel_block, &s->padded)) {
        return false;
    }
    s->tasks = mmi_onnx_tasks(services, s->size.work_ns, UINT64_MAX);
    uint64_t share = window->rows.out * s->size.gemms / s->tasks;
    s->row_block = mmi_max_u64(4, mmi_min_u64(s->padded.out_rows, share / 4 * 4));
    s->row_blocks = (window->rows.out + s->row_block - 1) / s->row_block;
    s->tasks = mmi_min_u64(s->tasks, s->row_blocks * s->size.gemms);
    s->offset_bytes = (s->channel_block * s->taps * sizeof(*s->offsets) + 63) / 64 * 64;
    return mmi_mul(s->channel_block, s->padded.floats, &s->task_floats);
}

/* Copies the input of output rows [first, first + count) of some channels. */
static void pad_channels(const struct indirect *s, const float *image, uint64_t channels,
                         uint64_t first, uint64_t count, float *scratch) {
    for (uint64_t c = 0; c < channels; c++) {
        mmi_onnx_pad_rows(&s->padded, s->simd, image + c * s->size.in_pixels, first, count,
                          scratch + c * s->padded.floats);
    }
}

static void run_row_block(const struct indirect *s, uint64_t gemm, uint64_t first, float *scratch) {
    uint64_t width = s->size.window.columns.out;
    uint64_t count = mmi_min_u64(s->row_block, s->size.window.rows.out - first);
    const float *image = mmi_onnx_conv_image(&s->size, s->call, gemm);
    for (uint64_t from = 0; from < s->size.channels; from += s->channel_block) {
        uint64_t channels = mmi_min_u64(s->channel_block, s->size.channels - from);
        pad_channels(s, image + from * s->size.in_pixels, channels, first, count, scratch);
        for (uint64_t row = 0; row < count; row++) {
            uint64_t column = (first + row) * width;
            struct onnx_sgemm p =
                mmi_onnx_conv_gemm(&s->size, s->call, gemm, (struct onnx_range){0, s->size.m},
                                   (struct onnx_range){column, column + width});
            p.k = channels * s->taps;
            p.a += from * s->taps;
            p.b = scratch + mmi_onnx_padded_row(&s->padded, row);
            p.b_panel_stride = ONNX_NR;
            p.b_offsets = s->offsets;
            p.accumulate = from > 0;
            p.activation = from + channels == s->size.channels ? p.activation : NULL;
            s->simd->gemm(&p);
        }
    }
}

static void run_row_blocks(void *ctx, uint64_t i) {
    const struct indirect *s = ctx;
    float *scratch = (float *)((char *)s->call->scratch + s->offset_bytes) + i * s->task_floats;
    struct onnx_range mine = mmi_onnx_part(s->row_blocks * s->size.gemms, s->tasks, i);
    for (uint64_t block = mine.from; block < mine.to; block++) {
        run_row_block(s, block / s->row_blocks, block % s->row_blocks * s->row_block, scratch);
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    struct indirect s = {.simd = mmi_onnx_simd(call->services->cpu_features),
                         .call = call,
                         .offsets = call->scratch};
    plan(&s, call->params, call->inputs, call->services);
    mmi_onnx_tap_offsets(&s.padded, s.offsets);
    for (uint64_t i = s.taps; i < s.channel_block * s.taps; i++) {
        s.offsets[i] = s.offsets[i - s.taps] + s.padded.floats;
    }
    mmi_onnx_run_tasks(call->services, s.tasks, run_row_blocks, &s);
    return MM_OK;
}

onnx_kernel mmi_onnx_choose_conv_indirect(struct onnx_inference *x, const mm_services *services) {
    struct indirect s;
    uint64_t bytes;
    if (!plan(&s, x->params, x->inputs, services) ||
        !mmi_mul(s.tasks * sizeof(float), s.task_floats, &bytes) ||
        !mmi_add(bytes, s.offset_bytes, &bytes)) {
        return NULL;
    }
    x->scratch_bytes = bytes;
    return run;
}
