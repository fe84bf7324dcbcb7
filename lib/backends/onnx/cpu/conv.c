/* SPDX-License-Identifier: Apache-2.0 */
/* Conv by im2col: blocks of kc x nc of the im2col matrix are packed into the scratch and multiplied
 * by the weights. */
#include <backends/onnx/cpu/conv.h>
#include <base/checked.h>

#define MAX_NC 240
/* Up to this m packing costs more than it saves, if the image itself is the im2col matrix. */
#define UNPACKED_MAX_M 24
/* Up to this n, dot products are faster. */
#define DOT_MAX_N 4

struct conv {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    struct onnx_conv_sizes size;
    bool pointwise; /* 1 x 1, stride 1, no padding: the image is the im2col matrix */
    bool unpacked;  /* B is read from the image where its columns fill whole panels */
    uint64_t nc, n_blocks, m_blocks, kc;
    uint64_t b_row_stride; /* of the packed block */
    uint64_t tasks, task_floats, tap_ranges_bytes;
    const struct onnx_tap_range *tap_ranges; /* of the rows of the window, then of its columns */
    float *scratch;                          /* of the tasks */
};

static bool is_pointwise(const struct onnx_window_axis *axis) {
    return axis->kernel == 1 && axis->stride == 1 && axis->pad_begin == 0 && axis->in == axis->out;
}

bool mmi_onnx_conv_sizes(struct onnx_conv_sizes *sizes, const struct onnx_conv *params,
                         const struct onnx_tensor *inputs) {
    struct onnx_placed placed;
    const struct onnx_tensor *image = &inputs[0], *weights = &inputs[1];
    if (mmi_onnx_place_window(&params->window, image, weights->shape + 2, &placed, NULL) != MM_OK ||
        !mmi_onnx_window_2d(&placed, &sizes->window)) {
        return false;
    }
    const struct onnx_window_axis *rows = &sizes->window.rows, *columns = &sizes->window.columns;
    sizes->activation = params->activation.function == ONNX_F_NONE ? NULL : &params->activation;
    sizes->groups = (uint64_t)params->group;
    sizes->gemms = (uint64_t)image->shape[0] * sizes->groups;
    sizes->channels = (uint64_t)weights->shape[1];
    sizes->m = (uint64_t)weights->shape[0] / sizes->groups;
    sizes->k = sizes->channels * rows->kernel * columns->kernel;
    sizes->n = rows->out * columns->out;
    sizes->in_pixels = rows->in * columns->in;
    sizes->work_ns = (double)sizes->gemms * mmi_onnx_sgemm_ns(sizes->m, sizes->n, sizes->k);
    return sizes->gemms * sizes->m * sizes->n > 0 && image->elements > 0 && weights->elements > 0;
}

struct onnx_sgemm mmi_onnx_conv_gemm(const struct onnx_conv_sizes *sizes,
                                     const struct onnx_call *call, uint64_t gemm,
                                     struct onnx_range rows, struct onnx_range columns) {
    const float *weights = call->in[1];
    const float *bias = mmi_onnx_given(call, 2) ? call->in[2] : NULL;
    float *out = call->out[0];
    uint64_t row = gemm % sizes->groups * sizes->m + rows.from;
    uint64_t image_row = gemm * sizes->m + rows.from;
    return (struct onnx_sgemm){.m = rows.to - rows.from,
                               .n = columns.to - columns.from,
                               .k = sizes->k,
                               .a = weights + row * sizes->k,
                               .a_row_stride = sizes->k,
                               .a_k_stride = 1,
                               .c = out + image_row * sizes->n + columns.from,
                               .c_row_stride = sizes->n,
                               .row_bias = bias ? bias + row : NULL,
                               .activation = sizes->activation};
}

/* At most max_nc, in blocks of equal size; whole rows of output pixels if they are multiples of
 * ONNX_NR. */
static uint64_t choose_nc(const struct onnx_conv_sizes *size, uint64_t max_nc) {
    uint64_t blocks = (size->n + max_nc - 1) / max_nc;
    uint64_t each = (size->n + blocks - 1) / blocks;
    uint64_t width = size->window.columns.out, whole = max_nc / width * width;
    bool aligned = whole >= each && whole % ONNX_NR == 0;
    return aligned ? whole : (each + ONNX_NR - 1) / ONNX_NR * ONNX_NR;
}

/* Block sizes, tasks and the scratch of each task. */
static void plan(struct conv *conv, const mm_services *services) {
    const struct onnx_conv_sizes *size = &conv->size;
    const struct onnx_window_2d *window = &size->window;
    conv->pointwise = is_pointwise(&window->rows) && is_pointwise(&window->columns);
    conv->unpacked = conv->pointwise && size->m <= UNPACKED_MAX_M;
    conv->tap_ranges_bytes =
        ((window->rows.kernel + window->columns.kernel) * sizeof(*conv->tap_ranges) + 63) / 64 * 64;
    conv->tasks = mmi_onnx_tasks(services, size->work_ns, UINT64_MAX);
    conv->kc = mmi_onnx_sgemm_kc(size->k);
    uint64_t share = size->n / conv->tasks;
    bool split = size->gemms < conv->tasks && share >= 4 * ONNX_NR;
    conv->nc = choose_nc(size, split ? mmi_min_u64(MAX_NC, share + ONNX_NR) : MAX_NC);
    conv->n_blocks = (size->n + conv->nc - 1) / conv->nc;
    uint64_t blocks = size->gemms * conv->n_blocks;
    conv->m_blocks = mmi_min_u64((conv->tasks + blocks - 1) / blocks, size->m);
    conv->tasks = mmi_min_u64(conv->tasks, blocks * conv->m_blocks);
    /* An odd number of cache lines, so that rows do not map to the same cache sets. */
    conv->b_row_stride = conv->nc / ONNX_NR % 2 == 1 ? conv->nc : conv->nc + ONNX_NR;
    conv->task_floats = size->n <= DOT_MAX_N ? size->n * size->k : conv->b_row_stride * conv->kc;
}

/* ---- im2col */

static void clear(float *to, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        to[i] = 0;
    }
}

/* One row of the im2col matrix: the inputs of one tap of one channel for some output pixels. */
static void im2col_row(const struct conv *conv, const float *channel, const uint64_t tap[2],
                       struct onnx_range columns, float *to) {
    const struct onnx_window_axis *down = &conv->size.window.rows,
                                  *across = &conv->size.window.columns;
    const struct onnx_tap_range *rows = &conv->tap_ranges[tap[0]];
    const struct onnx_tap_range *inside = &conv->tap_ranges[down->kernel + tap[1]];
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

/* Rows `depth` and some columns of the im2col matrix; each row is padded with 0 to whole panels. */
static void im2col(const struct conv *conv, const float *image, struct onnx_range depth,
                   struct onnx_range columns, float *to) {
    uint64_t down = conv->size.window.rows.kernel, across = conv->size.window.columns.kernel;
    uint64_t tap[2] = {depth.from / across % down, depth.from % across};
    const float *channel = image + depth.from / across / down * conv->size.in_pixels;
    uint64_t count = columns.to - columns.from;
    uint64_t padding = (ONNX_NR - count % ONNX_NR) % ONNX_NR;
    for (uint64_t k = depth.from; k < depth.to; k++, to += conv->b_row_stride) {
        if (conv->pointwise) {
            conv->simd->gather(channel + columns.from, 1, to, count);
        } else {
            im2col_row(conv, channel, tap, columns, to);
        }
        clear(to + count, padding);
        if (++tap[1] == across) {
            tap[1] = 0;
            tap[0]++;
        }
        if (tap[0] == down) {
            tap[0] = 0;
            channel += conv->size.in_pixels;
        }
    }
}

/* ---- Running */

/* A block of C of one GEMM. */
struct block {
    uint64_t gemm;
    struct onnx_range rows, columns;
};

static struct block block_at(const struct conv *conv, uint64_t i) {
    uint64_t m_block = i % conv->m_blocks, n_block = i / conv->m_blocks % conv->n_blocks;
    return (struct block){
        .gemm = i / conv->m_blocks / conv->n_blocks,
        .rows = mmi_onnx_part(conv->size.m, conv->m_blocks, m_block),
        .columns = {n_block * conv->nc, mmi_min_u64((n_block + 1) * conv->nc, conv->size.n)}};
}

static void run_block(const struct conv *conv, const struct block *block, float *scratch) {
    const struct onnx_sgemm gemm =
        mmi_onnx_conv_gemm(&conv->size, conv->call, block->gemm, block->rows, block->columns);
    const float *image = mmi_onnx_conv_image(&conv->size, conv->call, block->gemm);
    for (uint64_t from = 0; from < conv->size.k; from += conv->kc) {
        struct onnx_range depth = {from, mmi_min_u64(from + conv->kc, conv->size.k)};
        struct onnx_sgemm part = gemm;
        part.k = depth.to - depth.from;
        part.a += from;
        if (conv->unpacked && part.n % ONNX_NR == 0) {
            part.b = image + from * conv->size.in_pixels + block->columns.from;
            part.b_k_stride = conv->size.in_pixels;
        } else {
            im2col(conv, image, depth, block->columns, scratch);
            part.b = scratch;
            part.b_k_stride = conv->b_row_stride;
        }
        part.b_panel_stride = ONNX_NR;
        part.accumulate = from > 0;
        part.activation = depth.to == conv->size.k ? gemm.activation : NULL;
        mmi_onnx_sgemm_block(conv->simd, &part);
    }
}

static void run_blocks(void *ctx, uint64_t i) {
    const struct conv *conv = ctx;
    float *scratch = conv->scratch + i * conv->task_floats;
    uint64_t blocks = conv->size.gemms * conv->n_blocks * conv->m_blocks;
    struct onnx_range mine = mmi_onnx_part(blocks, conv->tasks, i);
    for (uint64_t at = mine.from; at < mine.to; at++) {
        struct block block = block_at(conv, at);
        run_block(conv, &block, scratch);
    }
}

/* ---- Few output pixels */

/* The inputs of one output pixel in one row of the window. */
static void im2row_taps(const struct conv *conv, const float *pixels, uint64_t column, float *to) {
    const struct onnx_window_axis *across = &conv->size.window.columns;
    const struct onnx_tap_range *ranges = conv->tap_ranges + conv->size.window.rows.kernel;
    for (uint64_t tap = 0; tap < across->kernel; tap++) {
        bool inside = column >= ranges[tap].from && column < ranges[tap].to;
        to[tap] = inside ? pixels[(int64_t)(column * across->stride) + ranges[tap].offset] : 0;
    }
}

/* The transposed im2col matrix [n, k]. */
static const float *im2row(const struct conv *conv, const float *image, float *scratch) {
    if (conv->pointwise && conv->size.n == 1) {
        return image;
    }
    const struct onnx_window_axis *down = &conv->size.window.rows,
                                  *across = &conv->size.window.columns;
    float *to = scratch;
    for (uint64_t n = 0; n < conv->size.n; n++) {
        for (uint64_t i = 0; i < conv->size.channels * down->kernel; i++, to += across->kernel) {
            const struct onnx_tap_range *rows = &conv->tap_ranges[i % down->kernel];
            const float *channel = image + i / down->kernel * conv->size.in_pixels;
            uint64_t row = n / across->out;
            if (row < rows->from || row >= rows->to) {
                clear(to, across->kernel);
                continue;
            }
            int64_t pixels = ((int64_t)(row * down->stride) + rows->offset) * (int64_t)across->in;
            im2row_taps(conv, channel + pixels, n % across->out, to);
        }
    }
    return scratch;
}

static void run_dot_products(void *ctx, uint64_t i) {
    const struct conv *conv = ctx;
    float *scratch = conv->scratch + i * conv->task_floats;
    for (uint64_t gemm = 0; gemm < conv->size.gemms; gemm++) {
        struct block block = {.gemm = gemm,
                              .rows = mmi_onnx_part(conv->size.m, conv->tasks, i),
                              .columns = {0, conv->size.n}};
        const struct onnx_sgemm p =
            mmi_onnx_conv_gemm(&conv->size, conv->call, block.gemm, block.rows, block.columns);
        const float *image = mmi_onnx_conv_image(&conv->size, conv->call, block.gemm);
        struct onnx_dot_products dots = {.m = p.m,
                                         .n = p.n,
                                         .k = p.k,
                                         .a = p.a,
                                         .x = im2row(conv, image, scratch),
                                         .a_row_stride = p.a_row_stride,
                                         .x_row_stride = p.k,
                                         .c = p.c,
                                         .c_row_stride = p.c_row_stride,
                                         .c_column_stride = 1,
                                         .row_bias = p.row_bias};
        conv->simd->dot_products(&dots);
        if (p.activation) {
            conv->simd->activate(p.activation, p.c, p.n, p.m, p.n);
        }
    }
}

/* ---- The kernels */

static mm_status run(const struct onnx_call *call, void (*body)(void *ctx, uint64_t i)) {
    struct conv conv = {.simd = mmi_onnx_simd(call->services->cpu_features), .call = call};
    mmi_onnx_conv_sizes(&conv.size, call->params, call->inputs);
    plan(&conv, call->services);
    struct onnx_tap_range *ranges = call->scratch;
    conv.tap_ranges = ranges;
    for (uint64_t i = 0; i < conv.size.window.rows.kernel; i++) {
        *ranges++ = mmi_onnx_tap_range(&conv.size.window.rows, i);
    }
    for (uint64_t i = 0; i < conv.size.window.columns.kernel; i++) {
        *ranges++ = mmi_onnx_tap_range(&conv.size.window.columns, i);
    }
    conv.scratch = (float *)((char *)call->scratch + conv.tap_ranges_bytes);
    mmi_onnx_run_tasks(call->services, conv.tasks, body, &conv);
    return MM_OK;
}

static mm_status conv_im2col(const struct onnx_call *call, mm_error *err) {
    (void)err;
    return run(call, run_blocks);
}

static mm_status conv_dot_products(const struct onnx_call *call, mm_error *err) {
    (void)err;
    return run(call, run_dot_products);
}

onnx_kernel mmi_onnx_cpu_Conv(struct onnx_inference *x, const mm_services *services) {
    struct conv conv = {0};
    if (x->inputs[0].dtype != MM_F32 || !mmi_onnx_conv_sizes(&conv.size, x->params, x->inputs)) {
        return NULL;
    }
    if (conv.size.n > DOT_MAX_N) {
        bool depthwise = conv.size.channels == 1 && conv.size.groups > 1;
        onnx_kernel kernel = depthwise ? mmi_onnx_choose_depthwise(x, services) : NULL;
        if (kernel) {
            return kernel;
        }
    }
    plan(&conv, services);
    uint64_t bytes;
    if (!mmi_mul(conv.tasks * sizeof(float), conv.task_floats, &bytes) ||
        !mmi_add(bytes, conv.tap_ranges_bytes, &x->scratch_bytes)) {
        return NULL;
    }
    return conv.size.n <= DOT_MAX_N ? conv_dot_products : conv_im2col;
}
