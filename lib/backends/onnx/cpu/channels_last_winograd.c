/* SPDX-License-Identifier: Apache-2.0 */
/* ChannelsLastConv with 3 x 3 windows by Winograd's algorithm. The weights are transformed while it
 * runs, a panel at a time: transformed ones would be four times as large, in memory and to load. */
#include <backends/onnx/cpu/channels_last.h>
#include <backends/onnx/cpu/gemm.h>
#include <backends/onnx/cpu/pixel_windows.h>
#include <base/checked.h>

#define TILE 4          /* results along an axis */
#define SEEN (TILE + 2) /* pixels that they see */
#define PRODUCTS (SEEN * SEEN)
#define MIN_CHANNELS 16 /* with fewer, in or out, transforms take longer than they save */
#define MIN_TILES 4     /* of an image: else the weights' transform does */
#define MAX_TILES 128   /* of a block: what all products of a panel take in the L2 cache */
#define MAX_TRANSFORMED (512 * 1024) /* floats of a block, if that leaves enough tiles */
#define ENOUGH_TILES 64

struct winograd {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    struct onnx_window_2d window;
    struct onnx_epilogue epilogue;
    const struct onnx_tensor *weights;
    const float *bias, *addend;
    uint64_t images, channels, made;
    uint64_t tile_rows, tile_columns;                              /* of an image */
    uint64_t block_rows, block_columns, row_blocks, column_blocks; /* in tiles */
    uint64_t panel_parts, tasks;
    uint64_t copy_width; /* pixels of a row of the copy */
    /* From one of the 36 parts of what is transformed to the next. */
    uint64_t transformed_step, panel_step, product_step;
    uint64_t copy_floats, wide_floats; /* wide: a panel of weights that are narrow */
};

static bool is_3x3(const struct onnx_window_axis *axis) {
    return axis->kernel == 3 && axis->stride == 1 && axis->dilation == 1;
}

/* At least so many floats, and an odd number of cache lines: the 36 parts are written side by side,
 * and are not to fall into the same sets of the cache. */
static uint64_t step_of(uint64_t floats) {
    uint64_t lines = (floats + 15) / 16;
    return (lines | 1) * 16;
}

static void plan_blocks(struct winograd *w) {
    uint64_t most = mmi_max_u64(MAX_TRANSFORMED / PRODUCTS / w->channels, ENOUGH_TILES);
    most = mmi_min_u64(most, MAX_TILES);
    w->column_blocks = mmi_div_up(w->tile_columns, most);
    w->block_columns = mmi_div_up(w->tile_columns, w->column_blocks);
    w->row_blocks = mmi_div_up(w->tile_rows, mmi_max_u64(most / w->block_columns, 1));
    w->block_rows = mmi_div_up(w->tile_rows, w->row_blocks);
    uint64_t tiles = w->block_rows * w->block_columns;
    w->copy_width = w->block_columns * TILE + 2;
    w->wide_floats = w->weights->dtype == MM_F32 ? 0 : 9 * w->channels * ONNX_NR;
    w->copy_floats = (w->block_rows * TILE + 2) * w->copy_width * w->channels;
    w->transformed_step = step_of(tiles * w->channels);
    w->panel_step = step_of(w->channels * ONNX_NR);
    w->product_step = step_of(tiles * ONNX_NR);
}

static bool plan(struct winograd *w, const struct onnx_conv *params,
                 const struct onnx_tensor *inputs, const mm_services *services) {
    struct onnx_placed placed;
    const struct onnx_tensor *image = &inputs[ONNX_LAST_CONV_X];
    if (params->no_winograd ||
        mmi_onnx_place_last(&params->window, image, &placed, NULL) != MM_OK || placed.axes != 2 ||
        !mmi_onnx_window_2d(&placed, &w->window) || params->group != 1 ||
        !is_3x3(&w->window.rows) || !is_3x3(&w->window.columns)) {
        return false;
    }
    w->weights = &inputs[ONNX_LAST_CONV_WEIGHTS];
    w->images = (uint64_t)image->shape[0];
    w->channels = (uint64_t)image->shape[image->rank - 1];
    w->made = (uint64_t)inputs[ONNX_LAST_CONV_WEIGHTS].shape[1];
    w->tile_rows = mmi_div_up(w->window.rows.out, TILE);
    w->tile_columns = mmi_div_up(w->window.columns.out, TILE);
    if (w->channels < MIN_CHANNELS || w->made < MIN_CHANNELS || image->elements == 0 ||
        w->tile_rows * w->tile_columns < MIN_TILES) {
        return false;
    }
    plan_blocks(w);
    uint64_t results = w->images * w->window.rows.out * w->window.columns.out;
    double ns = mmi_onnx_sgemm_ns(results, w->made, w->channels * 9) / 3;
    uint64_t panels = mmi_div_up(w->made, ONNX_NR), blocks = w->images * w->row_blocks;
    blocks *= w->column_blocks;
    w->tasks = mmi_onnx_tasks(services, ns, UINT64_MAX);
    w->panel_parts = blocks >= 4 * w->tasks || w->tasks == 1
                         ? 1
                         : mmi_min_u64(mmi_div_up(w->tasks, blocks), panels);
    w->tasks = mmi_min_u64(w->tasks, blocks * w->panel_parts);
    return true;
}

/* ---- A block of tiles ------------------------------------------------------------------------ */

struct block {
    uint64_t image;
    struct onnx_range rows, columns, panels; /* tiles; panels of B */
    float *copy, *wide, *transformed, *panel, *products;
};

/* What the tiles see, with zeros around the image. */
static void copy_padded(const struct winograd *w, const struct block *block) {
    const struct onnx_window_axis *down = &w->window.rows, *across = &w->window.columns;
    const float *images = w->call->in[0];
    const struct onnx_patch patch = {
        .image = images + block->image * down->in * across->in * w->channels,
        .image_rows = down->in,
        .image_columns = across->in,
        .channels = w->channels,
        .first_row = (int64_t)(block->rows.from * TILE) - down->pad_begin,
        .first_column = (int64_t)(block->columns.from * TILE) - across->pad_begin,
        .rows = (block->rows.to - block->rows.from) * TILE + 2,
        .columns = w->copy_width};
    mmi_onnx_copy_patch(&patch, block->copy);
}

static uint64_t tiles_of(const struct block *block) {
    return (block->rows.to - block->rows.from) * (block->columns.to - block->columns.from);
}

static void transform_input(const struct winograd *w, const struct block *block) {
    uint64_t columns = block->columns.to - block->columns.from, tiles = tiles_of(block);
    struct onnx_winograd_tile tile = {.row_stride = w->copy_width * w->channels,
                                      .channels = w->channels,
                                      .step = w->transformed_step};
    for (uint64_t i = 0; i < tiles; i++) {
        uint64_t pixel = i / columns * TILE * w->copy_width + i % columns * TILE;
        tile.pixels = block->copy + pixel * w->channels;
        tile.transformed = block->transformed + i * w->channels;
        w->simd->winograd_input(&tile);
    }
}

static void multiply(const struct winograd *w, const struct block *block) {
    uint64_t tiles = tiles_of(block);
    struct onnx_sgemm gemm = {.m = tiles,
                              .n = ONNX_NR,
                              .k = w->channels,
                              .a_row_stride = w->channels,
                              .a_k_stride = 1,
                              .b_k_stride = ONNX_NR,
                              .b_panel_stride = w->channels * ONNX_NR,
                              .c_row_stride = ONNX_NR};
    for (uint64_t i = 0; i < PRODUCTS; i++) {
        gemm.a = block->transformed + i * w->transformed_step;
        gemm.b = block->panel + i * w->panel_step;
        gemm.c = block->products + i * w->product_step;
        mmi_onnx_sgemm(w->simd, &gemm);
    }
}

/* Results of a panel. */
static void transform_output(const struct winograd *w, const struct block *block, uint64_t panel) {
    const uint64_t rows = w->window.rows.out, columns = w->window.columns.out;
    uint64_t tile_columns = block->columns.to - block->columns.from, tiles = tiles_of(block);
    float bias[ONNX_NR] = {0};
    struct onnx_winograd_result r = {.step = w->product_step,
                                     .bias = bias,
                                     .low = w->epilogue.low,
                                     .high = w->epilogue.high,
                                     .row_stride = columns * w->made,
                                     .pixel_stride = w->made};
    r.columns = mmi_min_u64(ONNX_NR, w->made - panel * ONNX_NR);
    for (uint64_t i = 0; i < r.columns && w->bias; i++) {
        bias[i] = w->bias[panel * ONNX_NR + i];
    }
    for (uint64_t i = 0; i < tiles; i++) {
        uint64_t row = (block->rows.from + i / tile_columns) * TILE;
        uint64_t column = (block->columns.from + i % tile_columns) * TILE;
        uint64_t at = ((block->image * rows + row) * columns + column) * w->made + panel * ONNX_NR;
        r.products = block->products + i * ONNX_NR;
        r.rows = mmi_min_u64(TILE, rows - row);
        r.pixels = mmi_min_u64(TILE, columns - column);
        r.to = (float *)w->call->out[0] + at;
        r.addend = w->addend ? w->addend + at : NULL;
        w->simd->winograd_output(&r);
        for (uint64_t j = 0; j < r.rows && w->epilogue.activation; j++) {
            w->simd->activate(w->epilogue.activation, r.to + j * r.row_stride, r.pixel_stride,
                              r.pixels, r.columns);
        }
    }
}

/* The panel that the file's weights have, as f32. */
static const float *panel_of(const struct winograd *w, const struct block *block, uint64_t panel) {
    const uint64_t floats = 9 * w->channels * ONNX_NR;
    const uint32_t width = mmi_onnx_element_bytes(w->weights->dtype);
    struct onnx_tensor one = *w->weights;
    one.bytes = floats * width;
    const uint8_t *weights = w->call->in[ONNX_LAST_CONV_WEIGHTS];
    return mmi_onnx_widen_weights(w->simd, &one, weights + panel * one.bytes, block->wide);
}

static void run_block(const struct winograd *w, const struct block *block) {
    copy_padded(w, block);
    transform_input(w, block);
    for (uint64_t panel = block->panels.from; panel < block->panels.to; panel++) {
        w->simd->winograd_weights(panel_of(w, block, panel), w->channels, block->panel,
                                  w->panel_step);
        multiply(w, block);
        transform_output(w, block, panel);
    }
}

static uint64_t task_floats(const struct winograd *w) {
    return (w->copy_floats + w->wide_floats + 15) / 16 * 16 +
           PRODUCTS * (w->transformed_step + w->panel_step + w->product_step);
}

static void run_blocks(void *ctx, uint64_t task) {
    const struct winograd *w = ctx;
    struct block block = {.transformed = (float *)w->call->scratch + task * task_floats(w)};
    block.panel = block.transformed + PRODUCTS * w->transformed_step;
    block.products = block.panel + PRODUCTS * w->panel_step;
    block.copy = block.products + PRODUCTS * w->product_step;
    block.wide = block.copy + w->copy_floats;
    struct onnx_range mine = mmi_onnx_part(
        w->images * w->row_blocks * w->column_blocks * w->panel_parts, w->tasks, task);
    for (uint64_t i = mine.from; i < mine.to; i++) {
        uint64_t at = i / w->panel_parts;
        block.panels =
            mmi_onnx_part(mmi_div_up(w->made, ONNX_NR), w->panel_parts, i % w->panel_parts);
        block.columns = mmi_onnx_part(w->tile_columns, w->column_blocks, at % w->column_blocks);
        at /= w->column_blocks;
        block.rows = mmi_onnx_part(w->tile_rows, w->row_blocks, at % w->row_blocks);
        block.image = at / w->row_blocks;
        run_block(w, &block);
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct onnx_conv *params = call->params;
    struct winograd w = {.simd = mmi_onnx_simd(call->services->cpu_features),
                         .call = call,
                         .epilogue = mmi_onnx_epilogue(&params->activation)};
    plan(&w, params, call->inputs, call->services);
    w.bias = mmi_onnx_given(call, ONNX_LAST_CONV_BIAS) ? call->in[ONNX_LAST_CONV_BIAS] : NULL;
    w.addend = mmi_onnx_given(call, ONNX_LAST_CONV_ADDEND) ? call->in[ONNX_LAST_CONV_ADDEND] : NULL;
    mmi_onnx_run_tasks(call->services, w.tasks, run_blocks, &w);
    return MM_OK;
}

/* As large as what is computed, which it does not broadcast. */
static bool addend_fits(const struct onnx_inference *x, const struct winograd *w) {
    uint64_t results = w->images * w->window.rows.out * w->window.columns.out * w->made;
    return x->inputs[ONNX_LAST_CONV_ADDEND].elements == results &&
           x->outputs[0].elements == results;
}

onnx_kernel mmi_onnx_choose_winograd(struct onnx_inference *x, const mm_services *services) {
    struct winograd w = {0};
    uint64_t bytes;
    if (!plan(&w, x->params, x->inputs, services) ||
        (mmi_onnx_has(x, ONNX_LAST_CONV_ADDEND) && !addend_fits(x, &w)) ||
        !mmi_mul(w.tasks * sizeof(float), task_floats(&w), &bytes)) {
        return NULL;
    }
    x->scratch_bytes = bytes;
    return run;
}
