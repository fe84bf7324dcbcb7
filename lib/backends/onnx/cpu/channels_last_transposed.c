/* SPDX-License-Identifier: Apache-2.0 */
/* ChannelsLastConvTranspose. Results whose places leave the same rest when they are divided by the
 * strides, a phase, see the same taps: of those alone each phase is a convolution of stride 1. */
#include <backends/onnx/cpu/channels_last.h>
#include <backends/onnx/cpu/gemm.h>
#include <backends/onnx/cpu/pixel_windows.h>
#include <base/checked.h>

#define COPY_FLOATS (64 * 1024) /* of a block of the image, if that is possible */
#define MAX_PIXELS 192          /* that are multiplied at once */

/* Result o takes, by tap k, pixel (o + pad_begin - k * dilation) / stride: with o + pad_begin =
 * quotient * stride + phase, pixel quotient - reach. */
struct phase {
    struct onnx_span_plan spans;
    uint64_t first_row; /* of B */
};

struct conv {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    struct onnx_window_2d window; /* in: the result, out: the image */
    struct onnx_epilogue epilogue;
    uint64_t images, channels, made, taps;
    uint64_t phases;
    uint64_t quotients;                 /* of rows: from 0 to what the last result has */
    uint64_t block_rows, blocks;        /* of quotients */
    uint64_t reach_rows, reach_columns; /* the most that a tap reaches back */
    uint64_t copy_width, copy_floats, tasks, task_bytes, shared_bytes;
    struct phase *phase;    /* [phases] */
    uint64_t weights_bytes; /* of scratch */
    const float *weights;
};

static uint64_t reach_of(const struct onnx_window_axis *axis, uint64_t tap) {
    return tap * axis->dilation / axis->stride;
}

static uint64_t phase_of(const struct onnx_window_axis *axis, uint64_t tap) {
    return tap * axis->dilation % axis->stride;
}

static uint64_t last_quotient(const struct onnx_window_axis *axis) {
    return (axis->in - 1 + (uint64_t)axis->pad_begin) / axis->stride;
}

/* Taps of an axis that its results of a phase see. */
static uint64_t taps_of(const struct onnx_window_axis *axis, uint64_t phase) {
    uint64_t count = 0;
    for (uint64_t tap = 0; tap < axis->kernel; tap++) {
        count += phase_of(axis, tap) == phase;
    }
    return count;
}

/* Memory for the spans of all phases. */
static uint64_t plans_bytes(const struct conv *conv) {
    const struct onnx_window_axis *down = &conv->window.rows, *across = &conv->window.columns;
    uint64_t bytes = conv->phases * sizeof(struct phase) + conv->taps * sizeof(struct onnx_span);
    for (uint64_t i = 0; i < down->stride; i++) {
        uint64_t rows = taps_of(down, i);
        for (uint64_t j = 0; j < across->stride; j++) {
            uint64_t taps = rows * taps_of(across, j);
            bytes += mmi_onnx_span_plan_bytes(taps, taps * conv->channels);
        }
    }
    return bytes;
}

/* ---- The plan -------------------------------------------------------------------------------- */

static bool plan(struct conv *conv, const struct onnx_conv *params,
                 const struct onnx_tensor *inputs, const mm_services *services) {
    struct onnx_placed placed;
    const struct onnx_tensor *image = &inputs[0];
    if (mmi_onnx_place_transposed_last(params, image, &placed, NULL) != MM_OK ||
        !mmi_onnx_window_2d(&placed, &conv->window)) {
        return false;
    }
    const struct onnx_window_axis *down = &conv->window.rows, *across = &conv->window.columns;
    conv->images = (uint64_t)image->shape[0];
    conv->channels = (uint64_t)image->shape[image->rank - 1];
    conv->made = (uint64_t)inputs[1].shape[1];
    conv->taps = down->kernel * across->kernel;
    conv->phases = down->stride * across->stride;
    conv->reach_rows = reach_of(down, down->kernel - 1);
    conv->reach_columns = reach_of(across, across->kernel - 1);
    conv->copy_width = last_quotient(across) + 1 + conv->reach_columns;
    conv->quotients = last_quotient(down) + 1;
    uint64_t row, floats, depth = conv->taps * conv->channels;
    if (image->elements == 0 || conv->phases > 4096 || conv->made == 0 ||
        !mmi_mul(conv->copy_width, conv->channels, &row)) {
        return false;
    }
    double ns = (double)conv->images * (double)(down->out * across->out) *
                mmi_onnx_sgemm_ns(1, conv->made, depth);
    conv->tasks = mmi_onnx_tasks(services, ns, UINT64_MAX);
    uint64_t fit = mmi_max_u64(mmi_sub_floor(COPY_FLOATS / row, conv->reach_rows), 1);
    uint64_t share = mmi_div_up(conv->images * conv->quotients, conv->tasks);
    conv->block_rows = mmi_max_u64(1, mmi_min_u64(mmi_min_u64(fit, share), conv->quotients));
    conv->blocks = mmi_div_up(conv->quotients, conv->block_rows);
    conv->tasks = mmi_min_u64(conv->tasks, conv->images * conv->blocks);
    if (!mmi_mul(conv->block_rows + conv->reach_rows, row, &conv->copy_floats) ||
        !mmi_mul(conv->copy_floats, sizeof(float), &floats) ||
        !mmi_add(floats, MAX_PIXELS * sizeof(float *), &floats) ||
        !mmi_round_up(floats, 64, &conv->task_bytes)) {
        return false;
    }
    conv->weights_bytes = mmi_onnx_widened_weights_bytes(&inputs[1]);
    return mmi_round_up(conv->weights_bytes + plans_bytes(conv), 64, &conv->shared_bytes);
}

/* The spans of one phase; returns how many. */
static uint64_t find_spans(const struct conv *conv, uint64_t row_phase, uint64_t column_phase,
                           struct onnx_span *spans) {
    const struct onnx_window_axis *down = &conv->window.rows, *across = &conv->window.columns;
    uint64_t count = 0;
    for (uint64_t i = 0; i < down->kernel; i++) {
        for (uint64_t j = 0; phase_of(down, i) == row_phase && j < across->kernel; j++) {
            if (phase_of(across, j) == column_phase) {
                uint64_t rows = conv->reach_rows - reach_of(down, i);
                uint64_t columns = conv->reach_columns - reach_of(across, j);
                spans[count++] = (struct onnx_span){
                    (rows * conv->copy_width + columns) * conv->channels, conv->channels};
            }
        }
    }
    return count;
}

/* The spans of all phases, and what of B is theirs, in the order of mmi_onnx_order_taps. */
static void plan_phases(struct conv *conv, void *memory) {
    conv->phase = memory;
    struct onnx_span *spans = (struct onnx_span *)(conv->phase + conv->phases);
    uint8_t *plans = (uint8_t *)(spans + conv->taps);
    uint64_t row = 0, across = conv->window.columns.stride;
    for (uint64_t i = 0; i < conv->phases; i++) {
        uint64_t count = find_spans(conv, i / across, i % across, spans);
        mmi_onnx_plan_spans(spans, count, plans, &conv->phase[i].spans);
        conv->phase[i].first_row = row;
        row += count * conv->channels;
        plans += mmi_onnx_span_plan_bytes(count, count * conv->channels);
    }
}

/* ---- Running --------------------------------------------------------------------------------- */

struct block {
    uint64_t image;
    struct onnx_range rows; /* quotients */
    float *copy;
    const float **a; /* [MAX_PIXELS] */
};

/* Pixels from the first that a result of the block may take, with zeros around the image. */
static void copy_padded(const struct conv *conv, const struct block *block) {
    const struct onnx_window_axis *down = &conv->window.rows, *across = &conv->window.columns;
    const float *images = conv->call->in[0];
    const struct onnx_patch patch = {
        .image = images + block->image * down->out * across->out * conv->channels,
        .image_rows = down->out,
        .image_columns = across->out,
        .channels = conv->channels,
        .first_row = (int64_t)block->rows.from - (int64_t)conv->reach_rows,
        .first_column = -(int64_t)conv->reach_columns,
        .rows = block->rows.to - block->rows.from + conv->reach_rows,
        .columns = conv->copy_width};
    mmi_onnx_copy_patch(&patch, block->copy);
}

/* The results of one row and one phase of columns. */
static void run_phase(const struct conv *conv, const struct block *block, uint64_t row,
                      uint64_t phase) {
    const struct onnx_window_axis *down = &conv->window.rows, *across = &conv->window.columns;
    uint64_t at_row = row + (uint64_t)down->pad_begin, begin = (uint64_t)across->pad_begin;
    const struct phase *taps = &conv->phase[at_row % down->stride * across->stride + phase];
    const float *copy = block->copy + (at_row / down->stride - block->rows.from) *
                                          conv->copy_width * conv->channels;
    /* the first result of the phase, and its quotient */
    uint64_t quotient = begin > phase ? (begin - phase + across->stride - 1) / across->stride : 0;
    uint64_t first = quotient * across->stride + phase - begin;
    const float *bias = mmi_onnx_given(conv->call, 2) ? conv->call->in[2] : NULL;
    float *out =
        (float *)conv->call->out[0] + (block->image * down->in + row) * across->in * conv->made;
    struct onnx_span_gemm gemm = {.n = conv->made,
                                  .a = block->a,
                                  .b_panel_stride = conv->taps * conv->channels * ONNX_NR,
                                  .c_row_stride = across->stride * conv->made,
                                  .column_bias = bias};
    gemm.b = conv->weights + taps->first_row * ONNX_NR;
    while (first < across->in) {
        uint64_t left = (across->in - 1 - first) / across->stride + 1;
        gemm.m = mmi_min_u64(left, MAX_PIXELS);
        gemm.c = out + first * conv->made;
        for (uint64_t i = 0; i < gemm.m; i++) {
            block->a[i] = copy + (quotient + i) * conv->channels;
        }
        mmi_onnx_span_product(conv->simd, &taps->spans, &gemm, &conv->epilogue);
        first += gemm.m * across->stride;
        quotient += gemm.m;
    }
}

static void run_block(const struct conv *conv, const struct block *block) {
    const struct onnx_window_axis *down = &conv->window.rows;
    uint64_t begin = (uint64_t)down->pad_begin;
    uint64_t from = mmi_sub_floor(block->rows.from * down->stride, begin);
    uint64_t to = mmi_min_u64(mmi_sub_floor(block->rows.to * down->stride, begin), down->in);
    copy_padded(conv, block);
    for (uint64_t row = from; row < to; row++) {
        for (uint64_t phase = 0; phase < conv->window.columns.stride; phase++) {
            run_phase(conv, block, row, phase);
        }
    }
}

static void run_blocks(void *ctx, uint64_t task) {
    const struct conv *conv = ctx;
    uint8_t *scratch =
        (uint8_t *)conv->call->scratch + conv->shared_bytes + task * conv->task_bytes;
    struct block block = {.a = (const float **)scratch,
                          .copy = (float *)(scratch + MAX_PIXELS * sizeof(*block.a))};
    struct onnx_range mine = mmi_onnx_part(conv->images * conv->blocks, conv->tasks, task);
    for (uint64_t i = mine.from; i < mine.to; i++) {
        block.image = i / conv->blocks;
        block.rows = mmi_onnx_part(conv->quotients, conv->blocks, i % conv->blocks);
        run_block(conv, &block);
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct onnx_conv *params = call->params;
    struct conv conv = {.simd = mmi_onnx_simd(call->services->cpu_features),
                        .call = call,
                        .epilogue = mmi_onnx_epilogue(&params->activation)};
    plan(&conv, params, call->inputs, call->services);
    conv.weights = mmi_onnx_widen_weights(conv.simd, &call->inputs[1], call->in[1], call->scratch);
    plan_phases(&conv, (uint8_t *)call->scratch + conv.weights_bytes);
    mmi_onnx_run_tasks(call->services, conv.tasks, run_blocks, &conv);
    return MM_OK;
}

onnx_kernel mmi_onnx_cpu_ChannelsLastConvTranspose(struct onnx_inference *x,
                                                   const mm_services *services) {
    struct conv conv = {0};
    uint64_t bytes;
    if (!plan(&conv, x->params, x->inputs, services) ||
        !mmi_mul(conv.tasks, conv.task_bytes, &bytes) ||
        !mmi_add(bytes, conv.shared_bytes, &bytes)) {
        return NULL;
    }
    x->scratch_bytes = bytes;
    return run;
}
