/* SPDX-License-Identifier: Apache-2.0 */
/* Conv by tiles: what a stretch of results sees is laid out in the scratch, [depth, results], and
 * multiplied by all weights. */
#include <backends/onnx/cpu/conv.h>
#include <base/checked.h>

#define TILE 240
#define DIRECT_ROWS 24
/* So few results a channel are better computed one by one. */
#define DOTS 4

struct conv {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    struct onnx_conv_sizes size;
    bool flat;                              /* each result sees the pixel at its place */
    bool direct;                            /* so few rows that copying would cost too much */
    uint64_t tile, tiles, row_parts, block; /* columns of a tile; depth of a block */
    uint64_t stride;                        /* of the tile's rows */
    uint64_t tasks, task_floats, seen_bytes;
    const struct onnx_seen *seen; /* by each row of the window, by each column */
    float *room;                  /* of the tasks */
};

static bool is_flat(const struct onnx_plane_axis *axis) {
    return axis->kernel == 1 && axis->stride == 1 && axis->begin == 0 && axis->in == axis->out;
}

bool mmi_onnx_conv_sizes(struct onnx_conv_sizes *sizes, const struct onnx_conv *params,
                         const struct onnx_tensor *inputs) {
    struct onnx_placed placed;
    const struct onnx_tensor *image = &inputs[0], *weights = &inputs[1];
    if (mmi_onnx_place_window(&params->window, image, weights->shape + 2, &placed, NULL) != MM_OK ||
        !mmi_onnx_plane(&placed, &sizes->plane)) {
        return false;
    }
    const struct onnx_plane_axis *rows = &sizes->plane.rows, *columns = &sizes->plane.columns;
    sizes->activation = params->activation.kind == ONNX_ACT_NONE ? NULL : &params->activation;
    sizes->groups = (uint64_t)params->group;
    sizes->units = (uint64_t)image->shape[0] * sizes->groups;
    sizes->channels = (uint64_t)weights->shape[1];
    sizes->rows = (uint64_t)weights->shape[0] / sizes->groups;
    sizes->depth = sizes->channels * rows->kernel * columns->kernel;
    sizes->columns = rows->out * columns->out;
    sizes->in_size = rows->in * columns->in;
    sizes->work_ns =
        (double)sizes->units * mmi_onnx_simd_ns(sizes->rows, sizes->columns, sizes->depth);
    return sizes->units * sizes->rows * sizes->columns > 0 && image->elements > 0 &&
           weights->elements > 0;
}

struct onnx_simd_product mmi_onnx_conv_product(const struct onnx_conv_sizes *sizes,
                                               const struct onnx_call *call, uint64_t unit,
                                               struct onnx_range rows, struct onnx_range columns) {
    const float *weights = call->in[1];
    const float *bias = mmi_onnx_given(call, 2) ? call->in[2] : NULL;
    float *out = call->out[0];
    uint64_t row = unit % sizes->groups * sizes->rows + rows.from;
    uint64_t image_row = unit * sizes->rows + rows.from;
    return (struct onnx_simd_product){.rows = rows.to - rows.from,
                                      .columns = columns.to - columns.from,
                                      .depth = sizes->depth,
                                      .a = weights + row * sizes->depth,
                                      .a_row = sizes->depth,
                                      .a_depth = 1,
                                      .c = out + image_row * sizes->columns + columns.from,
                                      .c_row = sizes->columns,
                                      .row_bias = bias ? bias + row : NULL,
                                      .activation = sizes->activation};
}

/* Tiles of the results that have `most` columns, or a little less so that rows of results are not
 * split. */
static uint64_t tile_of(const struct onnx_conv_sizes *size, uint64_t most) {
    uint64_t tiles = (size->columns + most - 1) / most;
    uint64_t each = (size->columns + tiles - 1) / tiles;
    uint64_t width = size->plane.columns.out, whole = most / width * width;
    bool aligned = whole >= each && whole % ONNX_PANEL == 0;
    return aligned ? whole : (each + ONNX_PANEL - 1) / ONNX_PANEL * ONNX_PANEL;
}

/* Tiles, tasks and the scratch of each. */
static void plan(struct conv *conv, const mm_services *services) {
    const struct onnx_conv_sizes *size = &conv->size;
    const struct onnx_plane *plane = &size->plane;
    conv->flat = is_flat(&plane->rows) && is_flat(&plane->columns);
    conv->direct = conv->flat && size->rows <= DIRECT_ROWS;
    conv->seen_bytes =
        ((plane->rows.kernel + plane->columns.kernel) * sizeof(*conv->seen) + 63) / 64 * 64;
    conv->tasks = mmi_onnx_tasks(services, size->work_ns, UINT64_MAX);
    conv->block = mmi_onnx_simd_block(size->depth);
    uint64_t share = size->columns / conv->tasks;
    bool split = size->units < conv->tasks && share >= 4 * ONNX_PANEL;
    conv->tile = tile_of(size, split ? mmi_min_u64(TILE, share + ONNX_PANEL) : TILE);
    conv->tiles = (size->columns + conv->tile - 1) / conv->tile;
    uint64_t units = size->units * conv->tiles;
    conv->row_parts = mmi_min_u64((conv->tasks + units - 1) / units, size->rows);
    conv->tasks = mmi_min_u64(conv->tasks, units * conv->row_parts);
    /* An odd number of cache lines: rows do not all fall on the same places of a cache. */
    conv->stride = conv->tile / ONNX_PANEL % 2 == 1 ? conv->tile : conv->tile + ONNX_PANEL;
    conv->task_floats =
        size->columns <= DOTS ? size->columns * size->depth : conv->stride * conv->block;
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
    const struct onnx_plane_axis *down = &conv->size.plane.rows,
                                 *across = &conv->size.plane.columns;
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
    uint64_t down = conv->size.plane.rows.kernel, across = conv->size.plane.columns.kernel;
    uint64_t tap[2] = {depth.from / across % down, depth.from % across};
    const float *channel = image + depth.from / across / down * conv->size.in_size;
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
            channel += conv->size.in_size;
        }
    }
}

/* ---- Running */

/* One tile of one unit, or some rows of it. */
struct job {
    uint64_t unit;
    struct onnx_range rows, columns;
};

static struct job job_at(const struct conv *conv, uint64_t i) {
    uint64_t part = i % conv->row_parts, tile = i / conv->row_parts % conv->tiles;
    return (struct job){
        .unit = i / conv->row_parts / conv->tiles,
        .rows = mmi_onnx_part(conv->size.rows, conv->row_parts, part),
        .columns = {tile * conv->tile, mmi_min_u64((tile + 1) * conv->tile, conv->size.columns)}};
}

static void run_tile(const struct conv *conv, const struct job *job, float *room) {
    const struct onnx_simd_product whole =
        mmi_onnx_conv_product(&conv->size, conv->call, job->unit, job->rows, job->columns);
    const float *image = mmi_onnx_conv_image(&conv->size, conv->call, job->unit);
    for (uint64_t from = 0; from < conv->size.depth; from += conv->block) {
        struct onnx_range depth = {from, mmi_min_u64(from + conv->block, conv->size.depth)};
        struct onnx_simd_product part = whole;
        part.depth = depth.to - depth.from;
        part.a += from;
        if (conv->direct && part.columns % ONNX_PANEL == 0) {
            part.b = image + from * conv->size.in_size + job->columns.from;
            part.b_depth = conv->size.in_size;
        } else {
            lay_out(conv, image, depth, job->columns, room);
            part.b = room;
            part.b_depth = conv->stride;
        }
        part.b_panel = ONNX_PANEL;
        part.add = from > 0;
        part.activation = depth.to == conv->size.depth ? whole.activation : NULL;
        mmi_onnx_simd_multiply_rows(conv->simd, &part);
    }
}

static void run_tiles(void *ctx, uint64_t i) {
    const struct conv *conv = ctx;
    float *room = conv->room + i * conv->task_floats;
    uint64_t jobs = conv->size.units * conv->tiles * conv->row_parts;
    struct onnx_range mine = mmi_onnx_part(jobs, conv->tasks, i);
    for (uint64_t at = mine.from; at < mine.to; at++) {
        struct job job = job_at(conv, at);
        run_tile(conv, &job, room);
    }
}

/* ---- Few results a channel */

/* What one result sees of one row of pixels. */
static void lay_run(const struct conv *conv, const float *pixels, uint64_t column, float *to) {
    const struct onnx_plane_axis *across = &conv->size.plane.columns;
    const struct onnx_seen *seen = conv->seen + conv->size.plane.rows.kernel;
    for (uint64_t tap = 0; tap < across->kernel; tap++) {
        bool inside = column >= seen[tap].from && column < seen[tap].to;
        to[tap] = inside ? pixels[(int64_t)(column * across->stride) + seen[tap].offset] : 0;
    }
}

/* All that each result sees, result by result: [columns, depth]. */
static const float *lay_out_results(const struct conv *conv, const float *image, float *room) {
    if (conv->flat && conv->size.columns == 1) {
        return image;
    }
    const struct onnx_plane_axis *down = &conv->size.plane.rows,
                                 *across = &conv->size.plane.columns;
    float *to = room;
    for (uint64_t n = 0; n < conv->size.columns; n++) {
        for (uint64_t i = 0; i < conv->size.channels * down->kernel; i++, to += across->kernel) {
            const struct onnx_seen *rows = &conv->seen[i % down->kernel];
            const float *channel = image + i / down->kernel * conv->size.in_size;
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
    for (uint64_t unit = 0; unit < conv->size.units; unit++) {
        struct job job = {.unit = unit,
                          .rows = mmi_onnx_part(conv->size.rows, conv->tasks, i),
                          .columns = {0, conv->size.columns}};
        const struct onnx_simd_product p =
            mmi_onnx_conv_product(&conv->size, conv->call, job.unit, job.rows, job.columns);
        const float *image = mmi_onnx_conv_image(&conv->size, conv->call, job.unit);
        struct onnx_dots dots = {.rows = p.rows,
                                 .columns = p.columns,
                                 .depth = p.depth,
                                 .a = p.a,
                                 .x = lay_out_results(conv, image, room),
                                 .a_row = p.a_row,
                                 .x_column = p.depth,
                                 .c = p.c,
                                 .c_row = p.c_row,
                                 .c_column = 1,
                                 .row_bias = p.row_bias};
        conv->simd->dots(&dots);
        if (p.activation) {
            conv->simd->activate(p.activation, p.c, p.columns, p.rows, p.columns);
        }
    }
}

/* ---- The kernels */

static mm_status run(const struct onnx_call *call, void (*body)(void *ctx, uint64_t i)) {
    struct conv conv = {.simd = mmi_onnx_simd(call->services->cpu_features), .call = call};
    mmi_onnx_conv_sizes(&conv.size, call->params, call->inputs);
    plan(&conv, call->services);
    struct onnx_seen *seen = call->scratch;
    conv.seen = seen;
    for (uint64_t i = 0; i < conv.size.plane.rows.kernel; i++) {
        *seen++ = mmi_onnx_plane_seen(&conv.size.plane.rows, i);
    }
    for (uint64_t i = 0; i < conv.size.plane.columns.kernel; i++) {
        *seen++ = mmi_onnx_plane_seen(&conv.size.plane.columns, i);
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
    if (x->inputs[0].dtype != MM_F32 || !mmi_onnx_conv_sizes(&conv.size, x->params, x->inputs)) {
        return NULL;
    }
    if (conv.size.columns > DOTS) {
        bool alone = conv.size.channels == 1 && conv.size.groups > 1;
        onnx_kernel kernel = alone ? mmi_onnx_choose_depthwise(x, services)
                                   : mmi_onnx_choose_conv_strips(x, services);
        if (kernel) {
            return kernel;
        }
    }
    plan(&conv, services);
    uint64_t bytes;
    if (!mmi_mul(conv.tasks * sizeof(float), conv.task_floats, &bytes) ||
        !mmi_add(bytes, conv.seen_bytes, &x->scratch_bytes)) {
        return NULL;
    }
    return conv.size.columns <= DOTS ? conv_by_dots : conv_by_tiles;
}
