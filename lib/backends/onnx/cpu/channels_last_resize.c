/* SPDX-License-Identifier: Apache-2.0 */
/* ChannelsLastResize: whole pixels are copied, or rows and then pixels are weighed. */
#include <backends/onnx/cpu/simd.h>
#include <backends/onnx/cpu/tasks.h>
#include <backends/onnx/operators/channels.h>
#include <backends/onnx/operators/channels_last.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/resize.h>
#include <base/checked.h>

#include <string.h>

#define MAX_TAPS 64 /* along an axis */

/* One spatial axis; a kept one takes its elements as they are. */
struct axis {
    uint64_t in, out, taps;
    int64_t *indices; /* [out * taps] */
    double *weights;  /* [out * taps]; nearest: not there */
};

struct resize {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    struct axis rows, columns;
    bool nearest;
    uint64_t images, channels, tasks;
    uint64_t table_bytes, row_floats; /* of all tables; of a weighed row, for each task */
};

static bool plan_axis(const struct onnx_resize *params, const struct onnx_resize_axis *from,
                      struct axis *to) {
    *to = (struct axis){(uint64_t)from->in, (uint64_t)from->out, 1, NULL, NULL};
    if (!from->kept) {
        to->taps = mmi_onnx_resample_taps(params, from);
    }
    return to->taps <= MAX_TAPS;
}

static uint64_t table_bytes(const struct axis *axis) {
    return axis->out * axis->taps * (sizeof(*axis->indices) + sizeof(*axis->weights));
}

/* axes: of the image. false: for the plain kernel. */
static bool plan(struct resize *r, const struct onnx_resize *params,
                 const struct onnx_tensor *inputs, uint32_t input_count,
                 const mm_services *services, struct onnx_resize_axis axes[MM_MAX_RANK]) {
    struct onnx_tensor seen[ONNX_RESIZE_SIZES + 1] = {{0}};
    const struct onnx_resize_axis whole = {.in = 1, .out = 1, .kept = true};
    uint32_t rank = inputs[0].rank;
    if (rank < 3 || rank > 4 || params->coordinates == ONNX_RESIZE_CROP) {
        return false;
    }
    memcpy(seen, inputs, mmi_min_u64(input_count, ONNX_RESIZE_SIZES + 1) * sizeof(*seen));
    mmi_onnx_channels_first(&inputs[0], seen[0].shape);
    if (mmi_onnx_resize_axes(params, seen, input_count, axes, NULL) != MM_OK || !axes[0].kept ||
        !axes[1].kept || !plan_axis(params, rank == 4 ? &axes[2] : &whole, &r->rows) ||
        !plan_axis(params, &axes[rank - 1], &r->columns)) {
        return false;
    }
    r->nearest = params->mode == ONNX_RESIZE_NEAREST;
    r->images = (uint64_t)axes[0].in;
    r->channels = (uint64_t)axes[1].in;
    r->table_bytes = (table_bytes(&r->rows) + table_bytes(&r->columns) + 63) / 64 * 64;
    r->row_floats = r->nearest ? 0 : (r->columns.in * r->channels + 15) / 16 * 16;
    double elements = (double)(r->images * r->rows.out * r->columns.out * r->channels);
    r->tasks = mmi_onnx_tasks(services, elements / 4, r->images * r->rows.out);
    return true;
}

static void *fill_axis(const struct onnx_resize *params, const struct onnx_resize_axis *from,
                       struct axis *axis, void *memory) {
    axis->weights = memory;
    axis->indices = (int64_t *)(axis->weights + axis->out * axis->taps);
    if (from && !from->kept) {
        mmi_onnx_resample_axis(params, from, axis->indices, axis->weights);
    } else {
        for (uint64_t i = 0; i < axis->out; i++) {
            axis->indices[i] = (int64_t)i;
            axis->weights[i] = 1;
        }
    }
    return axis->indices + axis->out * axis->taps;
}

/* Rows of floats that are weighed. */
struct strip {
    const float *first;
    uint64_t step, count; /* floats from one to the next; of each */
};

/* Element i of an axis. */
static void weigh(const struct resize *r, const struct axis *axis, uint64_t i,
                  const struct strip *strip, float *to) {
    const float *rows[MAX_TAPS];
    float weights[MAX_TAPS];
    for (uint64_t t = 0; t < axis->taps; t++) {
        rows[t] = strip->first + (uint64_t)axis->indices[i * axis->taps + t] * strip->step;
        weights[t] = (float)axis->weights[i * axis->taps + t];
    }
    r->simd->weigh_rows(rows, weights, axis->taps, strip->count, to);
}

static void run_row(const struct resize *r, const float *image, uint64_t row, float *between,
                    float *to) {
    const uint64_t channels = r->channels, width = r->columns.in * channels;
    if (r->nearest) {
        const float *from = image + (uint64_t)r->rows.indices[row] * width;
        for (uint64_t i = 0; i < r->columns.out; i++) {
            memcpy(to + i * channels, from + (uint64_t)r->columns.indices[i] * channels,
                   channels * sizeof(*to));
        }
        return;
    }
    const struct strip rows = {image, width, width}, pixels = {between, channels, channels};
    weigh(r, &r->rows, row, &rows, between);
    for (uint64_t i = 0; i < r->columns.out; i++) {
        weigh(r, &r->columns, i, &pixels, to + i * channels);
    }
}

static void run_rows(void *ctx, uint64_t task) {
    const struct resize *r = ctx;
    float *between = (float *)((uint8_t *)r->call->scratch + r->table_bytes) + task * r->row_floats;
    struct onnx_range mine = mmi_onnx_part(r->images * r->rows.out, r->tasks, task);
    for (uint64_t i = mine.from; i < mine.to; i++) {
        const float *image = (const float *)r->call->in[0] +
                             i / r->rows.out * r->rows.in * r->columns.in * r->channels;
        run_row(r, image, i % r->rows.out, between,
                (float *)r->call->out[0] + i * r->columns.out * r->channels);
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct onnx_resize *params = call->params;
    struct onnx_tensor inputs[ONNX_RESIZE_SIZES + 1];
    struct onnx_resize_axis axes[MM_MAX_RANK];
    struct resize r = {.simd = mmi_onnx_simd(call->services->cpu_features), .call = call};
    for (uint32_t i = 0; i <= ONNX_RESIZE_SIZES; i++) {
        inputs[i] = mmi_onnx_call_input(call, i);
    }
    plan(&r, params, inputs, ONNX_RESIZE_SIZES + 1, call->services, axes);
    uint32_t rank = inputs[0].rank;
    void *next = fill_axis(params, rank == 4 ? &axes[2] : NULL, &r.rows, call->scratch);
    fill_axis(params, &axes[rank - 1], &r.columns, next);
    mmi_onnx_run_tasks(call->services, r.tasks, run_rows, &r);
    return MM_OK;
}

onnx_kernel mmi_onnx_cpu_ChannelsLastResize(struct onnx_inference *x, const mm_services *services) {
    struct onnx_resize_axis axes[MM_MAX_RANK];
    struct resize r = {0};
    uint64_t rows;
    if (x->inputs[0].dtype != MM_F32 || x->outputs[0].elements == 0 || x->inputs[0].elements == 0 ||
        !plan(&r, x->params, x->inputs, x->input_count, services, axes) ||
        !mmi_mul(r.tasks * sizeof(float), r.row_floats, &rows) ||
        !mmi_add(rows, r.table_bytes, &rows)) {
        return NULL;
    }
    x->scratch_bytes = rows;
    return run;
}
