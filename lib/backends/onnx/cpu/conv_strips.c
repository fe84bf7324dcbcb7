/* SPDX-License-Identifier: Apache-2.0 */
/* Conv by strips (strip.h) of all channels, a few rows of results at a time: each element of the
 * window finds what a row of results sees in one piece, so the strips are multiplied as they are.
 * For windows with several elements and rows that fill their panels. */
#include <backends/onnx/cpu/conv.h>
#include <backends/onnx/cpu/strip.h>
#include <base/checked.h>

/* Floats of all strips that are filled before they are used. */
#define STRIPS_FLOATS (48 * 1024)
/* For more rows laying out tiles (conv.c) costs next to nothing. */
#define MOST_ROWS 128

struct strips {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    struct onnx_conv_sizes size;
    struct onnx_strip strip;
    uint64_t some, taps;   /* channels that are filled together; elements of the window */
    uint64_t lines, parts; /* rows of results that are computed together; how often */
    uint64_t tasks, task_floats, offset_bytes;
    uint64_t *offsets; /* [some][taps] */
};

static bool measure(struct strips *s, const struct onnx_conv *params,
                    const struct onnx_tensor *inputs, const mm_services *services) {
    if (!mmi_onnx_conv_sizes(&s->size, params, inputs)) {
        return false;
    }
    const struct onnx_plane *plane = &s->size.plane;
    uint64_t width = plane->columns.out;
    uint64_t filled = (width + ONNX_PANEL - 1) / ONNX_PANEL * ONNX_PANEL;
    s->taps = plane->rows.kernel * plane->columns.kernel;
    s->some = mmi_min_u64(mmi_max_u64(256 / s->taps, 1), s->size.channels);
    if (s->taps == 1 || (filled - width) * 16 > width || s->size.rows > MOST_ROWS ||
        !mmi_onnx_strip(plane, 0, STRIPS_FLOATS / s->some, &s->strip)) {
        return false;
    }
    s->tasks = mmi_onnx_tasks(services, s->size.work_ns, UINT64_MAX);
    uint64_t share = plane->rows.out * s->size.units / s->tasks;
    s->lines = mmi_max_u64(4, mmi_min_u64(s->strip.results, share / 4 * 4));
    s->parts = (plane->rows.out + s->lines - 1) / s->lines;
    s->tasks = mmi_min_u64(s->tasks, s->parts * s->size.units);
    s->offset_bytes = (s->some * s->taps * sizeof(*s->offsets) + 63) / 64 * 64;
    return mmi_mul(s->some, s->strip.floats, &s->task_floats);
}

/* What `count` rows of results from `first` on see of some channels. */
static void fill(const struct strips *s, const float *image, uint64_t channels, uint64_t first,
                 uint64_t count, float *room) {
    for (uint64_t c = 0; c < channels; c++) {
        mmi_onnx_fill_strip(&s->strip, s->simd, image + c * s->size.in_size, first, count,
                            room + c * s->strip.floats);
    }
}

static void run_part(const struct strips *s, uint64_t unit, uint64_t first, float *room) {
    uint64_t width = s->size.plane.columns.out;
    uint64_t count = mmi_min_u64(s->lines, s->size.plane.rows.out - first);
    const float *image = mmi_onnx_conv_image(&s->size, s->call, unit);
    for (uint64_t from = 0; from < s->size.channels; from += s->some) {
        uint64_t channels = mmi_min_u64(s->some, s->size.channels - from);
        fill(s, image + from * s->size.in_size, channels, first, count, room);
        for (uint64_t line = 0; line < count; line++) {
            uint64_t column = (first + line) * width;
            struct onnx_simd_product p =
                mmi_onnx_conv_product(&s->size, s->call, unit, (struct onnx_range){0, s->size.rows},
                                      (struct onnx_range){column, column + width});
            p.depth = channels * s->taps;
            p.a += from * s->taps;
            p.b = room + mmi_onnx_strip_row(&s->strip, line);
            p.b_panel = ONNX_PANEL;
            p.b_offsets = s->offsets;
            p.add = from > 0;
            p.activation = from + channels == s->size.channels ? p.activation : NULL;
            s->simd->product(&p);
        }
    }
}

static void run_parts(void *ctx, uint64_t i) {
    const struct strips *s = ctx;
    float *room = (float *)((char *)s->call->scratch + s->offset_bytes) + i * s->task_floats;
    struct onnx_range mine = mmi_onnx_part(s->parts * s->size.units, s->tasks, i);
    for (uint64_t part = mine.from; part < mine.to; part++) {
        run_part(s, part / s->parts, part % s->parts * s->lines, room);
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    struct strips s = {.simd = mmi_onnx_simd(call->services->cpu_features),
                       .call = call,
                       .offsets = call->scratch};
    measure(&s, call->params, call->inputs, call->services);
    mmi_onnx_strip_offsets(&s.strip, s.offsets);
    for (uint64_t i = s.taps; i < s.some * s.taps; i++) {
        s.offsets[i] = s.offsets[i - s.taps] + s.strip.floats;
    }
    mmi_onnx_run_tasks(call->services, s.tasks, run_parts, &s);
    return MM_OK;
}

onnx_kernel mmi_onnx_choose_conv_strips(struct onnx_inference *x, const mm_services *services) {
    struct strips s;
    uint64_t bytes;
    if (!measure(&s, x->params, x->inputs, services) ||
        !mmi_mul(s.tasks * sizeof(float), s.task_floats, &bytes) ||
        !mmi_add(bytes, s.offset_bytes, &bytes)) {
        return NULL;
    }
    x->scratch_bytes = bytes;
    return run;
}
