/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/cpu/pixel_windows.h>
#include <backends/onnx/operators/channels_last.h>
#include <base/checked.h>

#include <math.h>
#include <string.h>

struct job {
    const struct onnx_pixel_windows *windows;
    const struct onnx_call *call;
    onnx_pixel_body body;
    void *ctx;
};

/* One result row of one image, with the taps of its rows that are inside. */
struct row {
    const struct job *job;
    uint64_t image, at;
    struct onnx_pixel_run run;
    uint64_t *offsets; /* [taps], in the scratch, as is what follows */
    uint32_t *tap;
};

void mmi_onnx_copy_patch(const struct onnx_patch *patch, float *to) {
    const uint64_t channels = patch->channels, width = patch->columns;
    int64_t first = patch->first_column, in = (int64_t)patch->image_columns;
    int64_t end = first + (int64_t)width;
    uint64_t before = first < 0 ? mmi_min_u64((uint64_t)-first, width) : 0;
    uint64_t after = end > in ? mmi_min_u64((uint64_t)(end - in), width - before) : 0;
    uint64_t inside = width - before - after;
    for (uint64_t i = 0; i < patch->rows; i++, to += width * channels) {
        int64_t row = patch->first_row + (int64_t)i;
        bool there = row >= 0 && row < (int64_t)patch->image_rows && inside > 0;
        memset(to, 0, (there ? before : width) * channels * sizeof(*to));
        if (there) {
            int64_t pixel = row * in + first + (int64_t)before;
            memcpy(to + before * channels, patch->image + pixel * (int64_t)channels,
                   inside * channels * sizeof(*to));
            memset(to + (before + inside) * channels, 0, after * channels * sizeof(*to));
        }
    }
}

bool mmi_onnx_pixel_windows(const struct onnx_window *window, const struct onnx_tensor *image,
                            const mm_services *services, struct onnx_pixel_windows *to) {
    struct onnx_placed placed;
    *to = (struct onnx_pixel_windows){.images = (uint64_t)image->shape[0]};
    if (image->elements == 0 || mmi_onnx_place_last(window, image, &placed, NULL) != MM_OK ||
        !mmi_onnx_window_2d(&placed, &to->window)) {
        return false;
    }
    const struct onnx_window_axis *rows = &to->window.rows, *columns = &to->window.columns;
    to->channels = (uint64_t)image->shape[image->rank - 1];
    to->taps = rows->kernel * columns->kernel;
    uint64_t all_rows = to->images * rows->out;
    double results = (double)all_rows * (double)columns->out * (double)to->channels;
    to->tasks = mmi_onnx_tasks(services, results * (double)(to->taps + 2) / 16, all_rows);
    uint64_t bytes = to->taps * (sizeof(uint64_t) + sizeof(float *) + sizeof(uint32_t));
    to->task_bytes = (bytes + 63) / 64 * 64;
    return all_rows * columns->out > 0;
}

/* `count` results from `column` on, which see the taps of the columns in [first, last). */
static void run_columns(struct row *row, uint64_t column, uint64_t count, uint64_t first,
                        uint64_t last) {
    const struct job *job = row->job;
    const struct onnx_window_axis *down = &job->windows->window.rows;
    const struct onnx_window_axis *across = &job->windows->window.columns;
    struct onnx_pixel_run *run = &row->run;
    uint64_t taps = 0, channels = job->windows->channels;
    for (uint64_t i = 0; i < down->kernel; i++) {
        struct onnx_tap_range inside = mmi_onnx_tap_range(down, i);
        if (row->at < inside.from || row->at >= inside.to) {
            continue;
        }
        int64_t at_row = (int64_t)(row->at * down->stride) + inside.offset;
        for (uint64_t j = first; j < last; j++) {
            int64_t at = (int64_t)(column * across->stride + j * across->dilation) -
                         across->pad_begin + at_row * (int64_t)across->in;
            row->offsets[taps] = (uint64_t)at * channels;
            row->tap[taps++] = (uint32_t)(i * across->kernel + j);
        }
    }
    run->row = row->at;
    run->column = column;
    run->pixels.neighbours = across->dilation == across->stride ? last - first : 0;
    run->pixels.taps = taps;
    run->pixels.pixels = count;
    uint64_t result = (row->image * down->out + row->at) * across->out + column;
    run->pixels.to = (float *)job->call->out[0] + result * channels;
    job->body(job->ctx, run);
}

/* The taps of the columns that the window at `column` sees inside of the image: [first, last). */
static struct onnx_range inside_of(const struct onnx_window_axis *across, uint64_t column) {
    int64_t begin = (int64_t)(column * across->stride) - across->pad_begin;
    int64_t dilation = (int64_t)across->dilation, in = (int64_t)across->in;
    uint64_t first = begin < 0 ? (uint64_t)((-begin + dilation - 1) / dilation) : 0;
    uint64_t last = begin < in ? (uint64_t)((in - 1 - begin) / dilation) + 1 : 0;
    last = mmi_min_u64(last, across->kernel);
    return (struct onnx_range){mmi_min_u64(first, last), last};
}

/* The windows that see nothing but the image go together. */
static void run_row(struct row *row) {
    const struct onnx_window_axis *across = &row->job->windows->window.columns;
    uint64_t from = mmi_onnx_tap_range(across, 0).from;
    uint64_t to = mmi_onnx_tap_range(across, across->kernel - 1).to;
    uint64_t column = 0;
    while (column < across->out) {
        struct onnx_range taps = inside_of(across, column);
        uint64_t count = column >= from && column < to ? to - column : 1;
        run_columns(row, column, count, taps.from, taps.to);
        column += count;
    }
}

static void run_rows(void *ctx, uint64_t task) {
    const struct job *job = ctx;
    const struct onnx_pixel_windows *windows = job->windows;
    const struct onnx_window_axis *down = &windows->window.rows, *across = &windows->window.columns;
    uint8_t *scratch = (uint8_t *)job->call->scratch + task * windows->task_bytes;
    struct row row = {.job = job, .offsets = (uint64_t *)scratch};
    const float **weights = (const float **)(row.offsets + windows->taps);
    row.tap = (uint32_t *)(weights + windows->taps);
    row.run = (struct onnx_pixel_run){.pixels = {.pixel_stride = across->stride * windows->channels,
                                                 .offsets = row.offsets,
                                                 .weights = weights,
                                                 .channels = windows->channels,
                                                 .low = -INFINITY,
                                                 .high = INFINITY},
                                      .tap = row.tap,
                                      .weights = weights};
    struct onnx_range mine = mmi_onnx_part(windows->images * down->out, windows->tasks, task);
    for (uint64_t i = mine.from; i < mine.to; i++) {
        row.image = i / down->out;
        row.at = i % down->out;
        row.run.pixels.from =
            (const float *)job->call->in[0] + row.image * down->in * across->in * windows->channels;
        run_row(&row);
    }
}

void mmi_onnx_run_pixel_windows(const struct onnx_pixel_windows *windows,
                                const struct onnx_call *call, onnx_pixel_body body, void *ctx) {
    struct job job = {windows, call, body, ctx};
    mmi_onnx_run_tasks(call->services, windows->tasks, run_rows, &job);
}
