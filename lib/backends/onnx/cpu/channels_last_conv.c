/* SPDX-License-Identifier: Apache-2.0 */
/* ChannelsLastConv as a GEMM: its rows are pixels of the result, and row i of A is what the window
 * of pixel i sees: a few stretches of memory. Without padding they lie in the image itself; with
 * padding, a block of the image is copied with it. */
#include <backends/onnx/cpu/channels_last.h>
#include <backends/onnx/cpu/gemm.h>
#include <backends/onnx/cpu/pixel_windows.h>
#include <base/checked.h>

#include <string.h>

#define MAX_PIXELS 192               /* of a block: what they see stays in the L2 cache */
#define MAX_BLOCK_FLOATS (64 * 1024) /* of a padded copy, if that is possible */

struct conv {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    struct onnx_window_2d window;
    struct onnx_epilogue epilogue;
    uint64_t images, channels, made; /* of the image, of the result */
    uint64_t groups, group_channels, group_made;
    uint64_t depth;         /* rows of B */
    bool padded;            /* A is read from a copy */
    uint64_t rows, columns; /* of a block of results, at most */
    uint64_t row_blocks, column_blocks;
    uint64_t copy_rows, copy_columns; /* of the padded copy */
    uint64_t panel_parts;             /* a block's panels are parted among so many tasks */
    uint64_t tasks, task_bytes;
    uint64_t span_count;
    struct onnx_span_plan spans;
    uint64_t weights_bytes; /* of scratch */
    const float *weights;
};

uint64_t mmi_onnx_widened_weights_bytes(const struct onnx_tensor *weights) {
    const uint64_t width = mmi_onnx_element_bytes(weights->dtype);
    return weights->dtype == MM_F32 ? 0 : (weights->bytes / width * sizeof(float) + 63) / 64 * 64;
}

const float *mmi_onnx_widen_weights(const struct onnx_simd *simd, const struct onnx_tensor *tensor,
                                    const void *weights, void *room) {
    if (tensor->dtype == MM_F32) {
        return weights;
    }
    uint64_t count = tensor->bytes / mmi_onnx_element_bytes(tensor->dtype);
    (tensor->dtype == MM_F16 ? simd->widen_f16 : simd->widen_bf16)(weights, count, room);
    return room;
}

/* ---- The plan -------------------------------------------------------------------------------- */

/* Windows reach beyond the image. */
static bool reaches_out(const struct onnx_window_axis *axis) {
    return axis->pad_begin > 0 || mmi_onnx_extent_of(axis, axis->out) > axis->in;
}

/* At most MAX_PIXELS results, whole rows where they fit, of nearly equal size. */
static void plan_blocks(struct conv *conv, uint64_t pixels) {
    const struct onnx_window_axis *down = &conv->window.rows, *across = &conv->window.columns;
    conv->column_blocks = mmi_div_up(across->out, pixels);
    conv->columns = mmi_div_up(across->out, conv->column_blocks);
    uint64_t rows = mmi_max_u64(pixels / conv->columns, 1);
    while (conv->padded && rows > 1 &&
           mmi_onnx_extent_of(down, rows) * mmi_onnx_extent_of(across, conv->columns) *
                   conv->channels >
               MAX_BLOCK_FLOATS) {
        rows--;
    }
    conv->row_blocks = mmi_div_up(down->out, rows);
    conv->rows = mmi_div_up(down->out, conv->row_blocks);
    conv->copy_rows = mmi_onnx_extent_of(down, conv->rows);
    conv->copy_columns = mmi_onnx_extent_of(across, conv->columns);
}

static void plan_tasks(struct conv *conv, const mm_services *services) {
    uint64_t results = conv->images * conv->window.rows.out * conv->window.columns.out;
    uint64_t panels = mmi_div_up(conv->group_made, ONNX_NR);
    double ns = mmi_onnx_sgemm_ns(results, conv->group_made, conv->depth) * (double)conv->groups;
    conv->tasks = mmi_onnx_tasks(services, ns, UINT64_MAX);
    uint64_t share = results / conv->tasks;
    bool split_panels = conv->tasks > 1 && share < MAX_PIXELS && panels >= 2 * conv->tasks;
    uint64_t pixels = split_panels ? MAX_PIXELS : mmi_min_u64(MAX_PIXELS, share + 1);
    plan_blocks(conv, pixels);
    conv->panel_parts = split_panels ? conv->tasks : 1;
    conv->tasks = mmi_min_u64(conv->tasks, conv->images * conv->row_blocks * conv->column_blocks *
                                               conv->panel_parts);
}

static bool plan(struct conv *conv, const struct onnx_conv *params,
                 const struct onnx_tensor *inputs, const mm_services *services) {
    struct onnx_placed placed;
    const struct onnx_tensor *image = &inputs[ONNX_LAST_CONV_X];
    const struct onnx_tensor *weights = &inputs[ONNX_LAST_CONV_WEIGHTS];
    if (mmi_onnx_place_last(&params->window, image, &placed, NULL) != MM_OK ||
        !mmi_onnx_window_2d(&placed, &conv->window)) {
        return false;
    }
    conv->weights_bytes = mmi_onnx_widened_weights_bytes(weights);
    conv->images = (uint64_t)image->shape[0];
    conv->channels = (uint64_t)image->shape[image->rank - 1];
    conv->made = (uint64_t)weights->shape[1];
    conv->depth = (uint64_t)weights->shape[0];
    conv->groups = (uint64_t)params->group;
    conv->group_channels = conv->channels / conv->groups;
    conv->group_made = conv->made / conv->groups;
    if (conv->depth == 0 || image->elements == 0) {
        return false;
    }
    conv->padded = reaches_out(&conv->window.rows) || reaches_out(&conv->window.columns);
    plan_tasks(conv, services);
    bool whole_rows = conv->groups == 1 && conv->window.columns.dilation == 1;
    conv->span_count = conv->window.rows.kernel * (whole_rows ? 1 : conv->window.columns.kernel);
    uint64_t floats, copy, pointers = conv->rows * conv->columns * sizeof(float *);
    return mmi_mul(conv->padded ? conv->copy_rows : 0, conv->copy_columns, &copy) &&
           mmi_mul(copy, conv->channels * sizeof(float), &floats) &&
           mmi_add(floats, pointers, &floats) && mmi_round_up(floats, 64, &conv->task_bytes);
}

/* What all tasks read: weights, spans as they are, and as the plan cuts them. */
static uint64_t shared_bytes(const struct conv *conv) {
    uint64_t bytes = conv->weights_bytes + conv->span_count * sizeof(struct onnx_span) +
                     mmi_onnx_span_plan_bytes(conv->span_count, conv->depth);
    return (bytes + 63) / 64 * 64;
}

/* Where span i lies behind the first pixel of a window, and how long it is. */
static struct onnx_span span_at(const struct conv *conv, uint64_t i) {
    const struct onnx_window_axis *down = &conv->window.rows, *across = &conv->window.columns;
    uint64_t row_floats = (conv->padded ? conv->copy_columns : across->in) * conv->channels;
    if (conv->span_count == down->kernel) {
        return (struct onnx_span){i * down->dilation * row_floats, conv->depth / conv->span_count};
    }
    return (struct onnx_span){i / across->kernel * down->dilation * row_floats +
                                  i % across->kernel * across->dilation * conv->channels,
                              conv->group_channels};
}

static void plan_spans(struct conv *conv, void *memory) {
    struct onnx_span *spans = memory;
    for (uint64_t i = 0; i < conv->span_count; i++) {
        spans[i] = span_at(conv, i);
    }
    mmi_onnx_plan_spans(spans, conv->span_count, spans + conv->span_count, &conv->spans);
}

/* ---- Running --------------------------------------------------------------------------------- */

/* A block of results of one image. */
struct block {
    uint64_t image;
    struct onnx_range rows, columns, panels;
    const float **a; /* [pixels] */
    float *copy;
};

/* The part of the image that the block's windows see, with zeros around it. */
static void copy_padded(const struct conv *conv, const struct block *block, const float *image) {
    const struct onnx_window_axis *down = &conv->window.rows, *across = &conv->window.columns;
    const struct onnx_patch patch = {
        .image = image,
        .image_rows = down->in,
        .image_columns = across->in,
        .channels = conv->channels,
        .first_row = (int64_t)(block->rows.from * down->stride) - down->pad_begin,
        .first_column = (int64_t)(block->columns.from * across->stride) - across->pad_begin,
        .rows = mmi_onnx_extent_of(down, block->rows.to - block->rows.from),
        .columns = conv->copy_columns};
    mmi_onnx_copy_patch(&patch, block->copy);
}

static void point_at_windows(const struct conv *conv, const struct block *block,
                             const float *image) {
    const struct onnx_window_axis *down = &conv->window.rows, *across = &conv->window.columns;
    uint64_t width = conv->padded ? conv->copy_columns : across->in;
    const float **a = block->a;
    for (uint64_t row = block->rows.from; row < block->rows.to; row++) {
        uint64_t first =
            conv->padded ? (row - block->rows.from) * down->stride : row * down->stride;
        for (uint64_t column = block->columns.from; column < block->columns.to; column++) {
            uint64_t at = conv->padded ? column - block->columns.from : column;
            *a++ = image + (first * width + at * across->stride) * conv->channels;
        }
    }
}

/* The addend of the block goes where its results will be. */
static void copy_addend(const struct conv *conv, uint64_t first, uint64_t pixels,
                        struct onnx_range columns) {
    const struct onnx_tensor *tensor = &conv->call->inputs[ONNX_LAST_CONV_ADDEND];
    const float *addend = conv->call->in[ONNX_LAST_CONV_ADDEND];
    float *out = conv->call->out[0];
    if (addend == out) {
        return;
    }
    bool whole = tensor->elements == conv->call->outputs[0].elements;
    uint64_t image_pixels = conv->window.rows.out * conv->window.columns.out;
    for (uint64_t i = first; i < first + pixels; i++) {
        uint64_t from = whole ? i : tensor->elements > conv->made ? i / image_pixels : 0;
        memcpy(out + i * conv->made + columns.from, addend + from * conv->made + columns.from,
               (columns.to - columns.from) * sizeof(*out));
    }
}

static void multiply(const struct conv *conv, const struct block *block, uint64_t group,
                     struct onnx_range columns, uint64_t pixel) {
    const float *bias = mmi_onnx_given(conv->call, ONNX_LAST_CONV_BIAS)
                            ? conv->call->in[ONNX_LAST_CONV_BIAS]
                            : NULL;
    uint64_t first = group * conv->group_made + columns.from;
    struct onnx_span_gemm gemm = {.m = (block->rows.to - block->rows.from) *
                                       (block->columns.to - block->columns.from),
                                  .n = columns.to - columns.from,
                                  .a = block->a,
                                  .b_panel_stride = conv->depth * ONNX_NR,
                                  .c = (float *)conv->call->out[0] + pixel * conv->made + first,
                                  .c_row_stride = conv->made,
                                  .accumulate = mmi_onnx_given(conv->call, ONNX_LAST_CONV_ADDEND),
                                  .column_bias = bias ? bias + first : NULL};
    gemm.b = conv->weights + first / ONNX_NR * gemm.b_panel_stride;
    mmi_onnx_span_product(conv->simd, &conv->spans, &gemm, &conv->epilogue);
}

/* Windows of group 0 become those of the next one. */
static void next_group(const struct conv *conv, const struct block *block, uint64_t pixels) {
    for (uint64_t i = 0; i < pixels; i++) {
        block->a[i] += conv->group_channels;
    }
}

/* Results that lie side by side in memory: rows of the block as long as they are whole. */
static void run_block(const struct conv *conv, const struct block *block) {
    const struct onnx_window_axis *down = &conv->window.rows, *across = &conv->window.columns;
    const float *image =
        (const float *)conv->call->in[0] + block->image * down->in * across->in * conv->channels;
    uint64_t pixels =
        (block->rows.to - block->rows.from) * (block->columns.to - block->columns.from);
    uint64_t pixel =
        (block->image * down->out + block->rows.from) * across->out + block->columns.from;
    struct onnx_range columns = {block->panels.from * ONNX_NR,
                                 mmi_min_u64(block->panels.to * ONNX_NR, conv->group_made)};
    if (conv->padded) {
        copy_padded(conv, block, image);
    }
    point_at_windows(conv, block, conv->padded ? block->copy : image);
    for (uint64_t group = 0; group < conv->groups; group++) {
        if (mmi_onnx_given(conv->call, ONNX_LAST_CONV_ADDEND)) {
            uint64_t first = group * conv->group_made;
            struct onnx_range mine = {first + columns.from, first + columns.to};
            copy_addend(conv, pixel, pixels, mine);
        }
        multiply(conv, block, group, columns, pixel);
        next_group(conv, block, conv->groups > 1 ? pixels : 0);
    }
}

static void run_blocks(void *ctx, uint64_t task) {
    const struct conv *conv = ctx;
    const struct onnx_window_axis *down = &conv->window.rows, *across = &conv->window.columns;
    uint8_t *scratch =
        (uint8_t *)conv->call->scratch + shared_bytes(conv) + task * conv->task_bytes;
    struct block block = {.a = (const float **)scratch};
    block.copy = (float *)(scratch + conv->rows * conv->columns * sizeof(*block.a));
    uint64_t panels = mmi_div_up(conv->group_made, ONNX_NR);
    struct onnx_range mine =
        mmi_onnx_part(conv->images * conv->row_blocks * conv->column_blocks * conv->panel_parts,
                      conv->tasks, task);
    for (uint64_t i = mine.from; i < mine.to; i++) {
        uint64_t at = i / conv->panel_parts;
        block.panels = mmi_onnx_part(panels, conv->panel_parts, i % conv->panel_parts);
        block.columns = mmi_onnx_part(across->out, conv->column_blocks, at % conv->column_blocks);
        at /= conv->column_blocks;
        block.rows = mmi_onnx_part(down->out, conv->row_blocks, at % conv->row_blocks);
        block.image = at / conv->row_blocks;
        if (conv->column_blocks == 1) {
            run_block(conv, &block);
            continue;
        }
        struct onnx_range rows = block.rows; /* parts of rows do not lie side by side */
        for (uint64_t row = rows.from; row < rows.to; row++) {
            block.rows = (struct onnx_range){row, row + 1};
            run_block(conv, &block);
        }
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct onnx_conv *params = call->params;
    struct conv conv = {.simd = mmi_onnx_simd(call->services->cpu_features),
                        .call = call,
                        .epilogue = mmi_onnx_epilogue(&params->activation)};
    plan(&conv, params, call->inputs, call->services);
    conv.weights = mmi_onnx_widen_weights(conv.simd, &call->inputs[ONNX_LAST_CONV_WEIGHTS],
                                          call->in[ONNX_LAST_CONV_WEIGHTS], call->scratch);
    plan_spans(&conv, (uint8_t *)call->scratch + conv.weights_bytes);
    mmi_onnx_run_tasks(call->services, conv.tasks, run_blocks, &conv);
    return MM_OK;
}

/* As large as the result, or one pixel, for each image or for all. */
static bool addend_fits(const struct onnx_inference *x, const struct conv *conv) {
    const struct onnx_tensor *addend = &x->inputs[ONNX_LAST_CONV_ADDEND], *out = &x->outputs[0];
    uint64_t results = conv->images * conv->window.rows.out * conv->window.columns.out * conv->made;
    if (out->elements != results || addend->rank != out->rank ||
        addend->shape[addend->rank - 1] != (int64_t)conv->made) {
        return false;
    }
    bool one = addend->elements == conv->made;
    bool each =
        addend->shape[0] == (int64_t)conv->images && addend->elements == conv->images * conv->made;
    return one || each || addend->elements == results;
}

onnx_kernel mmi_onnx_cpu_ChannelsLastConv(struct onnx_inference *x, const mm_services *services) {
    struct conv conv = {0};
    const struct onnx_conv *params = x->params;
    if (x->outputs[0].elements == 0) {
        return NULL;
    }
    if (mmi_onnx_is_depthwise_last(params, &x->inputs[ONNX_LAST_CONV_WEIGHTS])) {
        return mmi_onnx_choose_depthwise_last(x, services);
    }
    onnx_kernel winograd = mmi_onnx_choose_winograd(x, services);
    if (winograd) {
        return winograd;
    }
    uint64_t bytes;
    if (!plan(&conv, params, x->inputs, services) ||
        (mmi_onnx_has(x, ONNX_LAST_CONV_ADDEND) && !addend_fits(x, &conv)) ||
        !mmi_mul(conv.tasks, conv.task_bytes, &bytes) ||
        !mmi_add(bytes, shared_bytes(&conv), &bytes)) {
        return NULL;
    }
    x->scratch_bytes = bytes;
    return run;
}
