/* SPDX-License-Identifier: Apache-2.0 */
/* Conv as products of matrices: the weights [O, K] of a group times the pixels that each result
 * sees, [K, results], of which a tile at a time is laid out in the scratch. */
#include <backends/onnx/cpu/kernels.h>
#include <backends/onnx/cpu/plane.h>
#include <backends/onnx/cpu/multiply.h>
#include <backends/onnx/cpu/tasks.h>
#include <base/checked.h>

#include <string.h>

#define TILE 240
/* So few results a channel are better computed one by one. */
#define DOTS 4

struct conv {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    const struct onnx_activation *activation;
    struct onnx_plane plane;
    uint64_t batch, groups;
    uint64_t channels, rows, depth, columns; /* of a group: in, out, K, results of a channel */
    uint64_t in_size;                        /* of a channel */
    bool flat;                               /* each result sees the pixel at its place */
    uint64_t tile, tiles, row_parts, block;  /* columns of a tile, depth of a block */
    uint64_t stride;                         /* of the tile's rows */
    uint64_t tasks, task_floats, seen_bytes;
    const struct onnx_seen *seen; /* by each row of the window, by each column */
    float *room;                  /* of the tasks */
};

static bool is_flat(const struct onnx_plane_axis *axis) {
    return axis->kernel == 1 && axis->stride == 1 && axis->begin == 0 && axis->in == axis->out;
}

static bool measure(struct conv *conv, const struct onnx_conv *params,
                    const struct onnx_tensor *inputs, const struct onnx_tensor *output) {
    struct onnx_placed placed;
    const struct onnx_tensor *weights = &inputs[1];
    if (mmi_onnx_place_window(&params->window, &inputs[0], weights->shape + 2, &placed, NULL) !=
            MM_OK ||
        !mmi_onnx_plane(&placed, &conv->plane)) {
        return false;
    }
    const struct onnx_plane_axis *rows = &conv->plane.rows, *columns = &conv->plane.columns;
    conv->activation = params->activation.kind == ONNX_ACT_NONE ? NULL : &params->activation;
    conv->batch = (uint64_t)inputs[0].shape[0];
    conv->groups = (uint64_t)params->group;
    conv->channels = (uint64_t)weights->shape[1];
    conv->rows = (uint64_t)weights->shape[0] / conv->groups;
    conv->depth = conv->channels * rows->kernel * columns->kernel;
    conv->columns = rows->out * columns->out;
    conv->seen_bytes = ((rows->kernel + columns->kernel) * sizeof(*conv->seen) + 63) / 64 * 64;
    conv->in_size = rows->in * columns->in;
    conv->flat = is_flat(rows) && is_flat(columns);
    return output->elements > 0 && weights->elements > 0 && inputs[0].elements > 0;
}

/* Tiles, tasks and the scratch of each. */
static void plan(struct conv *conv, const mm_services *services) {
    uint64_t units = conv->batch * conv->groups;
    uint64_t work_ns = units * mmi_onnx_simd_ns(conv->rows, conv->columns, conv->depth);
    conv->tasks = mmi_onnx_tasks(services, work_ns);
    conv->block = mmi_onnx_simd_block(conv->depth);
    conv->tiles = (conv->columns + TILE - 1) / TILE;
    if (conv->tasks > 1 && units < conv->tasks && conv->columns / conv->tasks >= 4 * ONNX_PANEL) {
        conv->tiles = (conv->tiles + conv->tasks - 1) / conv->tasks * conv->tasks;
    }
    uint64_t each = (conv->columns + conv->tiles - 1) / conv->tiles;
    conv->tile = (each + ONNX_PANEL - 1) / ONNX_PANEL * ONNX_PANEL;
    conv->tiles = (conv->columns + conv->tile - 1) / conv->tile;
    uint64_t parts = (conv->tasks + units * conv->tiles - 1) / (units * conv->tiles);
    conv->row_parts = mmi_min_u64(parts, conv->rows);
    /* An odd number of cache lines: rows do not all fall on the same places of a cache. */
    conv->stride = conv->tile / ONNX_PANEL % 2 == 1 ? conv->tile : conv->tile + ONNX_PANEL;
    conv->task_floats =
        conv->columns <= DOTS ? conv->columns * conv->depth : conv->stride * conv->block;
}

/* ---- Laying out */

static void clear(float *to, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        to[i] = 0;
    }
}

/* What results [columns] see of one channel through one element of the window. */
static void lay_row(const struct conv *conv, const float *channel, const uint64_t tap[2],
                    struct onnx_range columns, float *to) {
    const struct onnx_plane_axis *down = &conv->plane.rows, *across = &conv->plane.columns;
    const struct onnx_seen *rows = &conv->seen[tap[0]];
    const struct onnx_seen *inside = &conv->seen[down->kernel + tap[1]];
    uint64_t row = columns.from / across->out, from = columns.from % across->out;
    for (uint64_t at = columns.from; at < columns.to; row++, from = 0) {
        uint64_t end = mmi_min_u64(across->out, from + columns.to - at);
        uint64_t first = end, last = end;
        if (row >= rows->from && row < rows->to) {
            first = mmi_min_u64(mmi_max_u64(inside->from, from), end);
            last = mmi_max_u64(mmi_min_u64(inside->to, end), first);
        }
        clear(to, first - from);
        if (last > first) {
            int64_t pixel = ((int64_t)(row * down->stride) + rows->offset) * (int64_t)across->in +
                            (int64_t)(first * across->stride) + inside->offset;
            conv->simd->gather(channel + pixel, across->stride, to + first - from, last - first);
        }
        clear(to + last - from, end - last);
        to += end - from;
        at += end - from;
    }
}

/* Rows [depth] of the matrix of pixels of one group's image, those columns. */
static void lay_out(const struct conv *conv, const float *image, struct onnx_range depth,
                    struct onnx_range columns, float *to) {
    uint64_t down = conv->plane.rows.kernel, across = conv->plane.columns.kernel;
    uint64_t tap[2] = {depth.from / across % down, depth.from % across};
    const float *channel = image + depth.from / across / down * conv->in_size;
    uint64_t count = columns.to - columns.from;
    uint64_t padding = (ONNX_PANEL - count % ONNX_PANEL) % ONNX_PANEL;
    for (uint64_t k = depth.from; k < depth.to; k++, to += conv->stride) {
        if (conv->flat) {
            conv->simd->gather(channel + columns.from, 1, to, count);
        } else {
            lay_row(conv, channel, tap, columns, to);
        }
        clear(to + count, padding);
        if (++tap[1] == across) {
            tap[1] = 0;
            tap[0]++;
        }
        if (tap[0] == down) {
            tap[0] = 0;
            channel += conv->in_size;
        }
    }
}

/* ---- Running */

/* One tile of one group of one image, or some rows of it. */
struct job {
    uint64_t unit; /* image * groups + group */
    struct onnx_range rows, columns;
};

static struct job job_at(const struct conv *conv, uint64_t i) {
    uint64_t part = i % conv->row_parts, tile = i / conv->row_parts % conv->tiles;
    return (struct job){
        .unit = i / conv->row_parts / conv->tiles,
        .rows = mmi_onnx_part(conv->rows, conv->row_parts, part),
        .columns = {tile * conv->tile, mmi_min_u64((tile + 1) * conv->tile, conv->columns)}};
}

/* The product that a job is, with all of the depth and without B. */
static struct onnx_simd_product product_of(const struct conv *conv, const struct job *job) {
    const float *weights = conv->call->in[1];
    const float *bias = mmi_onnx_given(conv->call, 2) ? conv->call->in[2] : NULL;
    float *out = conv->call->out[0];
    uint64_t row = job->unit % conv->groups * conv->rows + job->rows.from;
    uint64_t image_row = job->unit * conv->rows + job->rows.from;
    return (struct onnx_simd_product){.rows = job->rows.to - job->rows.from,
                                      .columns = job->columns.to - job->columns.from,
                                      .depth = conv->depth,
                                      .a = weights + row * conv->depth,
                                      .a_row = conv->depth,
                                      .a_depth = 1,
                                      .c = out + image_row * conv->columns + job->columns.from,
                                      .c_row = conv->columns,
                                      .row_bias = bias ? bias + row : NULL,
                                      .activation = conv->activation};
}

static const float *image_of(const struct conv *conv, uint64_t unit) {
    return (const float *)conv->call->in[0] + unit * conv->channels * conv->in_size;
}

static void run_tile(const struct conv *conv, const struct job *job, float *room) {
    const struct onnx_simd_product whole = product_of(conv, job);
    for (uint64_t from = 0; from < conv->depth; from += conv->block) {
        struct onnx_range depth = {from, mmi_min_u64(from + conv->block, conv->depth)};
        lay_out(conv, image_of(conv, job->unit), depth, job->columns, room);
        struct onnx_simd_product part = whole;
        part.depth = depth.to - depth.from;
        part.a += from;
        part.b = room;
        part.b_depth = conv->stride;
        part.b_panel = ONNX_PANEL;
        part.add = from > 0;
        part.activation = depth.to == conv->depth ? whole.activation : NULL;
        mmi_onnx_simd_multiply_rows(conv->simd, &part);
    }
}

static void run_tiles(void *ctx, uint64_t i) {
    const struct conv *conv = ctx;
    float *room = conv->room + i * conv->task_floats;
    uint64_t jobs = conv->batch * conv->groups * conv->tiles * conv->row_parts;
    struct onnx_range mine = mmi_onnx_part(jobs, conv->tasks, i);
    for (uint64_t at = mine.from; at < mine.to; at++) {
        struct job job = job_at(conv, at);
        run_tile(conv, &job, room);
    }
}

/* ---- Few results a channel */

/* What one result sees of one row of pixels. */
static void lay_run(const struct conv *conv, const float *pixels, uint64_t column, float *to) {
    const struct onnx_plane_axis *across = &conv->plane.columns;
    const struct onnx_seen *seen = conv->seen + conv->plane.rows.kernel;
    for (uint64_t tap = 0; tap < across->kernel; tap++) {
        bool inside = column >= seen[tap].from && column < seen[tap].to;
        to[tap] = inside ? pixels[(int64_t)(column * across->stride) + seen[tap].offset] : 0;
    }
}

/* All that each result sees, result by result: [columns, depth]. */
static const float *lay_out_results(const struct conv *conv, const float *image, float *room) {
    if (conv->flat && conv->columns == 1) {
        return image;
    }
    const struct onnx_plane_axis *down = &conv->plane.rows, *across = &conv->plane.columns;
    float *to = room;
    for (uint64_t n = 0; n < conv->columns; n++) {
        for (uint64_t i = 0; i < conv->channels * down->kernel; i++, to += across->kernel) {
            const struct onnx_seen *rows = &conv->seen[i % down->kernel];
            const float *channel = image + i / down->kernel * conv->in_size;
            uint64_t row = n / across->out;
            if (row < rows->from || row >= rows->to) {
                clear(to, across->kernel);
                continue;
            }
            int64_t pixels = ((int64_t)(row * down->stride) + rows->offset) * (int64_t)across->in;
            lay_run(conv, channel + pixels, n % across->out, to);
        }
    }
    return room;
}

static void run_dots(void *ctx, uint64_t i) {
    const struct conv *conv = ctx;
    float *room = conv->room + i * conv->task_floats;
    for (uint64_t unit = 0; unit < conv->batch * conv->groups; unit++) {
        struct job job = {.unit = unit,
                          .rows = mmi_onnx_part(conv->rows, conv->tasks, i),
                          .columns = {0, conv->columns}};
        const struct onnx_simd_product p = product_of(conv, &job);
        struct onnx_dots dots = {.rows = p.rows,
                                 .columns = p.columns,
                                 .depth = p.depth,
                                 .a = p.a,
                                 .x = lay_out_results(conv, image_of(conv, unit), room),
                                 .a_row = p.a_row,
                                 .x_column = p.depth,
                                 .c = p.c,
                                 .c_row = p.c_row,
                                 .c_column = 1,
                                 .row_bias = p.row_bias};
        conv->simd->dots(&dots);
        if (p.activation) {
            conv->simd->activate(p.activation, p.c, p.rows * p.columns);
        }
    }
}

/* ---- The kernels */

static mm_status run(const struct onnx_call *call, void (*body)(void *ctx, uint64_t i)) {
    struct conv conv = {.simd = mmi_onnx_simd(call->services->cpu_features), .call = call};
    measure(&conv, call->params, call->inputs, &call->outputs[0]);
    plan(&conv, call->services);
    struct onnx_seen *seen = call->scratch;
    conv.seen = seen;
    for (uint64_t i = 0; i < conv.plane.rows.kernel; i++) {
        *seen++ = mmi_onnx_plane_seen(&conv.plane.rows, i);
    }
    for (uint64_t i = 0; i < conv.plane.columns.kernel; i++) {
        *seen++ = mmi_onnx_plane_seen(&conv.plane.columns, i);
    }
    conv.room = (float *)((char *)call->scratch + conv.seen_bytes);
    mmi_onnx_run_tasks(call->services, conv.tasks, body, &conv);
    return MM_OK;
}

static mm_status conv_by_tiles(const struct onnx_call *call, mm_error *err) {
    (void)err;
    return run(call, run_tiles);
}

static mm_status conv_by_dots(const struct onnx_call *call, mm_error *err) {
    (void)err;
    return run(call, run_dots);
}

onnx_kernel mmi_onnx_choose_conv(struct onnx_inference *x, const mm_services *services) {
    struct conv conv = {0};
    if (x->inputs[0].dtype != MM_F32 || !measure(&conv, x->params, x->inputs, &x->outputs[0])) {
        return NULL;
    }
    if (conv.channels == 1 && conv.columns > DOTS && conv.groups > 1) {
        return mmi_onnx_choose_depthwise(x, services);
    }
    plan(&conv, services);
    uint64_t bytes;
    if (!mmi_mul(conv.tasks * sizeof(float), conv.task_floats, &bytes) ||
        !mmi_add(bytes, conv.seen_bytes, &x->scratch_bytes)) {
        return NULL;
    }
    return conv.columns <= DOTS ? conv_by_dots : conv_by_tiles;
}
