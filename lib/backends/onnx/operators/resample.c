/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/resize.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>

#include <math.h>
#include <string.h>

/* The plain kernel of Resize. NEAREST copies elements of any type; the other modes weigh them, one
 * axis after the other, in f64. */

#define OUTSIDE (-1) /* in place of an index: the extrapolation value */

/* Element i of the result is the sum over t < taps of weights[i * taps + t] times element
 * indices[i * taps + t] of the axis. */
struct table {
    const struct onnx_resize_axis *axis;
    uint64_t taps;
    int64_t *indices;
    double *weights; /* NEAREST: not there */
};

/* ---- From a coordinate of the result to one of the image ------------------------------------- */

/* In f32, as everybody does it: f64 would choose other neighbours. */
static float coordinate(int32_t mode, const struct onnx_resize_axis *axis, int64_t i) {
    float x = (float)i, in = (float)axis->in, scale = axis->scale, width = axis->width;
    float half = (x + 0.5f) / scale - 0.5f;
    switch (mode) {
    case ONNX_RESIZE_HALF_PIXEL:
        return half;
    case ONNX_RESIZE_HALF_PIXEL_SYMMETRIC:
        return in / 2 * (1 - (float)axis->out / (scale * in)) + half;
    case ONNX_RESIZE_PYTORCH_HALF_PIXEL:
        return axis->out > 1 ? half : 0;
    case ONNX_RESIZE_ALIGN_CORNERS:
        return axis->out > 1 ? x * (in - 1) / (width - 1) : 0;
    case ONNX_RESIZE_ASYMMETRIC:
        return x / scale;
    case ONNX_RESIZE_TF_HALF_PIXEL:
        return (x + 0.5f) / scale;
    default: /* crop */
        return axis->out > 1
                   ? axis->start * (in - 1) + x * (axis->end - axis->start) * (in - 1) / (width - 1)
                   : 0.5f * (axis->start + axis->end) * (in - 1);
    }
}

static float round_coordinate(int32_t mode, float scale, float x) {
    switch (mode) {
    case ONNX_RESIZE_ROUND_DOWN:
        return ceilf(x - 0.5f);
    case ONNX_RESIZE_ROUND_UP:
        return floorf(x + 0.5f);
    case ONNX_RESIZE_CEIL:
        return ceilf(x);
    case ONNX_RESIZE_SIMPLE:
        return scale < 1 ? ceilf(x) : floorf(x);
    default:
        return floorf(x);
    }
}

/* A coordinate as a fraction of numbers that f64 holds exactly. false: there is none. */
struct fraction {
    double over, under;
};

static bool exact(int32_t mode, const struct onnx_resize_axis *axis, int64_t i,
                  struct fraction *x) {
    double in = (double)axis->in, out = (double)axis->out, at = (double)i;
    double from = (double)axis->ratio_in, to = (double)axis->ratio_out;
    *x = (struct fraction){(2 * at + 1) * from - to, 2 * to};
    switch (mode) {
    case ONNX_RESIZE_HALF_PIXEL:
        break;
    case ONNX_RESIZE_HALF_PIXEL_SYMMETRIC:
        x->over += in * to - out * from;
        break;
    case ONNX_RESIZE_PYTORCH_HALF_PIXEL:
        x->over = axis->out > 1 ? x->over : 0;
        break;
    case ONNX_RESIZE_ALIGN_CORNERS:
        *x = axis->out > 1 ? (struct fraction){at * (in - 1), (double)axis->width - 1}
                           : (struct fraction){0, 1};
        break;
    case ONNX_RESIZE_ASYMMETRIC:
        *x = (struct fraction){at * from, to};
        break;
    case ONNX_RESIZE_TF_HALF_PIXEL:
        *x = (struct fraction){(2 * at + 1) * from, 2 * to};
        break;
    default:
        return false;
    }
    double limit = 0x1p51; /* so many bits that the remainder is exact, too */
    return axis->ratio_in > 0 && fabs(x->over) < limit && x->under > 0 && x->under < limit &&
           in * to < limit && out * from < limit;
}

static double round_fraction(int32_t mode, float scale, struct fraction x) {
    double whole = floor(x.over / x.under), rest = x.over - whole * x.under;
    switch (mode) {
    case ONNX_RESIZE_ROUND_DOWN:
        return 2 * rest > x.under ? whole + 1 : whole;
    case ONNX_RESIZE_ROUND_UP:
        return 2 * rest >= x.under ? whole + 1 : whole;
    case ONNX_RESIZE_CEIL:
        return rest > 0 ? whole + 1 : whole;
    case ONNX_RESIZE_SIMPLE:
        return scale < 1 && rest > 0 ? whole + 1 : whole;
    default:
        return whole;
    }
}

static int64_t clamp(double x, int64_t in) {
    return x >= (double)(in - 1) ? in - 1 : x > 0 ? (int64_t)x : 0;
}

/* ---- Weights --------------------------------------------------------------------------------- */

/* What an element weighs at a distance, in elements of the image. */
static double filter(const struct onnx_resize *resize, double distance) {
    double x = fabs(distance), a = (double)resize->cubic_a;
    if (resize->mode == ONNX_RESIZE_LINEAR) {
        return x < 1 ? 1 - x : 0;
    }
    return x <= 1  ? ((a + 2) * x - (a + 3)) * x * x + 1
           : x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
                   : 0;
}

/* Where an axis shrinks, antialias makes the filter as much wider. */
static double shrink(const struct onnx_resize *resize, const struct onnx_resize_axis *axis) {
    return resize->antialias && axis->scale < 1 ? (double)axis->scale : 1;
}

/* From how far elements are seen. */
static double reach(const struct onnx_resize *resize, const struct onnx_resize_axis *axis) {
    return (resize->mode == ONNX_RESIZE_LINEAR ? 1 : 2) / shrink(resize, axis);
}

static uint64_t count_taps(const struct onnx_resize *resize, const struct onnx_resize_axis *axis) {
    double taps = ceil(2 * reach(resize, axis));
    return resize->mode == ONNX_RESIZE_NEAREST ? 1 : taps < 0x1p63 ? (uint64_t)taps : UINT64_MAX;
}

static void weigh(const struct onnx_resize *resize, struct table *table, uint64_t i, double x) {
    const struct onnx_resize_axis *axis = table->axis;
    double *weights = table->weights + i * table->taps, sum = 0;
    double first = floor(x - reach(resize, axis)) + 1;
    for (uint64_t t = 0; t < table->taps; t++) {
        double at = first + (double)t;
        bool outside = at < 0 || at > (double)(axis->in - 1);
        bool counts = !(resize->exclude_outside && outside);
        weights[t] = counts ? filter(resize, (at - x) * shrink(resize, axis)) : 0;
        table->indices[i * table->taps + t] = clamp(at, axis->in);
        sum += weights[t];
    }
    bool normalize = (resize->antialias || resize->exclude_outside) && sum != 0;
    for (uint64_t t = 0; t < table->taps && normalize; t++) {
        weights[t] /= sum;
    }
}

static void fill_table(const struct onnx_resize *resize, struct table *table) {
    const struct onnx_resize_axis *axis = table->axis;
    for (uint64_t i = 0; i < (uint64_t)axis->out; i++) {
        float x = coordinate(resize->coordinates, axis, (int64_t)i);
        bool outside = !(x >= 0) || x > (float)(axis->in - 1);
        if (resize->mode == ONNX_RESIZE_NEAREST) {
            struct fraction fraction;
            double at = exact(resize->coordinates, axis, (int64_t)i, &fraction)
                            ? round_fraction(resize->nearest, axis->scale, fraction)
                            : (double)round_coordinate(resize->nearest, axis->scale, x);
            table->indices[i] = clamp(at, axis->in);
        } else {
            weigh(resize, table, i, (double)x);
        }
        if (resize->coordinates == ONNX_RESIZE_CROP && outside) {
            table->indices[i * table->taps] = OUTSIDE;
        }
    }
}

uint64_t mmi_onnx_resample_taps(const struct onnx_resize *resize,
                                const struct onnx_resize_axis *axis) {
    return count_taps(resize, axis);
}

void mmi_onnx_resample_axis(const struct onnx_resize *resize, const struct onnx_resize_axis *axis,
                            int64_t *indices, double *weights) {
    struct table table = {axis, count_taps(resize, axis), indices, weights};
    fill_table(resize, &table);
}

/* ---- All axes -------------------------------------------------------------------------------- */

struct resample {
    const struct onnx_resize *resize;
    struct table tables[MM_MAX_RANK]; /* of the axes that are not kept */
    uint32_t first, end;              /* those are in [first, end) */
    uint64_t outer, inner;            /* elements before and after */
    uint64_t max_elements;            /* of an intermediate result, from `first` on */
    uint64_t bytes;                   /* of scratch; UINT64_MAX: more than there can be */
};

/* Takes the next part of the scratch; without a scratch it only counts. */
static void *cut(struct resample *r, uint8_t *scratch, uint64_t count, uint64_t each) {
    uint64_t bytes, end;
    void *part = scratch ? scratch + r->bytes : NULL;
    bool fits = mmi_mul(count, each, &bytes) && mmi_mul(bytes, sizeof(double), &bytes) &&
                mmi_add(r->bytes, bytes, &end);
    r->bytes = fits ? end : UINT64_MAX;
    return part;
}

/* Lays out the scratch. Returns its two buffers of max_elements. */
static double *lay_out(const struct onnx_resize *resize, const struct onnx_resize_axis *axes,
                       uint32_t rank, void *scratch, struct resample *r) {
    uint64_t elements = 1;
    *r = (struct resample){.resize = resize, .first = rank, .outer = 1, .inner = 1};
    for (uint32_t i = 0; i < rank; i++) {
        r->first = axes[i].kept || i > r->first ? r->first : i;
        r->end = axes[i].kept ? r->end : i + 1;
    }
    for (uint32_t i = 0; i < rank; i++) {
        uint64_t in = (uint64_t)axes[i].in;
        r->outer *= i < r->first ? in : 1;
        r->inner *= i >= r->end ? in : 1;
        elements *= i < r->first ? 1 : in;
    }
    r->max_elements = elements;
    for (uint32_t i = r->first; i < r->end; i++) {
        if (!axes[i].kept) {
            struct table *table = &r->tables[i];
            *table = (struct table){.axis = &axes[i], .taps = count_taps(resize, &axes[i])};
            table->indices = cut(r, scratch, table->taps, (uint64_t)axes[i].out);
            table->weights = cut(r, scratch, table->taps, (uint64_t)axes[i].out);
            uint64_t others = elements / mmi_max_u64((uint64_t)axes[i].in, 1);
            elements = mmi_mul(others, (uint64_t)axes[i].out, &elements) ? elements : UINT64_MAX;
            r->max_elements = mmi_max_u64(r->max_elements, elements);
        }
    }
    return resize->mode == ONNX_RESIZE_NEAREST ? NULL : cut(r, scratch, r->max_elements, 2);
}

uint64_t mmi_onnx_resample_scratch(const struct onnx_resize *resize,
                                   const struct onnx_resize_axis *axes, uint32_t rank) {
    struct resample r;
    lay_out(resize, axes, rank, NULL, &r);
    return r.bytes;
}

/* ---- NEAREST --------------------------------------------------------------------------------- */

struct nearest {
    const struct resample *r;
    const struct onnx_resize_axis *axes;
    uint32_t width;    /* bytes of an element */
    uint64_t block;    /* bytes of what lies behind the last resized axis */
    uint8_t value[16]; /* for OUTSIDE */
};

static inline __attribute__((always_inline)) void gather_elements(const struct table *table,
                                                                  const uint8_t *from,
                                                                  const uint8_t *value, uint8_t *to,
                                                                  uint32_t width) {
    for (int64_t i = 0; i < table->axis->out; i++) {
        int64_t index = table->indices[i];
        mmi_onnx_copy(to + i * width, index < 0 ? value : from + index * width, width);
    }
}

static void gather(const struct nearest *n, const uint8_t *from, uint8_t *to) {
    const struct table *table = &n->r->tables[n->r->end - 1];
    uint64_t count = n->block / n->width;
    if (count == 1 && n->width == 4) {
        gather_elements(table, from, n->value, to, 4);
    } else if (count == 1) {
        gather_elements(table, from, n->value, to, n->width);
    } else {
        for (int64_t i = 0; i < table->axis->out; i++, to += n->block) {
            if (table->indices[i] < 0) {
                mmi_onnx_fill(to, count, n->value, n->width);
            } else {
                memcpy(to, from + (uint64_t)table->indices[i] * n->block, n->block);
            }
        }
    }
}

/* The row of the image that row `index` of the result comes from, both counted over all axes from
 * the first resized to the last but one; OUTSIDE where one of them is. */
static int64_t source_row(const struct nearest *n, uint64_t index) {
    int64_t row = 0, step = 1;
    bool outside = false;
    for (uint32_t i = n->r->end - 1; i-- > n->r->first;) {
        const struct onnx_resize_axis *axis = &n->axes[i];
        uint64_t at = index % (uint64_t)axis->out;
        int64_t from = axis->kept ? (int64_t)at : n->r->tables[i].indices[at];
        outside = outside || from < 0;
        row += from * step;
        step *= axis->in;
        index /= (uint64_t)axis->out;
    }
    return outside ? OUTSIDE : row;
}

static void copy_nearest(const struct nearest *n, uint64_t rows, const uint8_t *from, uint8_t *to) {
    const struct onnx_resize_axis *last = &n->axes[n->r->end - 1];
    uint64_t in_bytes = (uint64_t)last->in * n->block, out_bytes = (uint64_t)last->out * n->block;
    int64_t before = OUTSIDE;
    for (uint64_t row = 0; row < rows; row++, to += out_bytes) {
        int64_t source = source_row(n, row);
        if (source < 0) {
            mmi_onnx_fill(to, out_bytes / n->width, n->value, n->width);
        } else if (source == before) {
            memcpy(to, to - out_bytes, out_bytes);
        } else {
            gather(n, from + (uint64_t)source * in_bytes, to);
        }
        before = source;
    }
}

/* ---- LINEAR and CUBIC ------------------------------------------------------------------------ */

/* One axis of [outer, in, inner] to [outer, out, inner]. */
static void weigh_axis(const struct table *table, double value, uint64_t outer, uint64_t inner,
                       const double *from, double *to) {
    uint64_t in = (uint64_t)table->axis->in, out = (uint64_t)table->axis->out;
    for (uint64_t at = 0; at < outer * out; at++, to += inner) {
        uint64_t first = at % out * table->taps;
        const double *image = from + at / out * in * inner;
        bool outside = table->indices[first] < 0;
        for (uint64_t i = 0; i < inner; i++) {
            to[i] = outside ? value : 0;
        }
        for (uint64_t t = first; t < first + table->taps && !outside; t++) {
            const double *row = image + (uint64_t)table->indices[t] * inner;
            double weight = table->weights[t];
            for (uint64_t i = 0; i < inner; i++) {
                to[i] += weight * row[i];
            }
        }
    }
}

/* What lies behind the outer axes, from one of two buffers to the other and back; returns where it
 * is at last. `elements` becomes how many there are. */
static double *weigh_axes(const struct resample *r, const struct onnx_resize_axis *axes,
                          double *from, uint64_t *elements) {
    double *to = from + r->max_elements;
    uint64_t outer = 1, inner = *elements;
    for (uint32_t i = r->first; i < r->end; i++) {
        inner /= (uint64_t)axes[i].in;
        if (!axes[i].kept) {
            double *read = from;
            weigh_axis(&r->tables[i], (double)r->resize->extrapolation, outer, inner, from, to);
            from = to;
            to = read;
        }
        outer *= (uint64_t)axes[i].out;
    }
    *elements = outer * inner;
    return from;
}

/* To whole numbers within what an integer type can hold; floats stay. */
static void round_to(int32_t dtype, double *numbers, uint64_t count) {
    if (!(ONNX_INTEGERS >> dtype & 1)) {
        return;
    }
    uint32_t bits = 8 * mmi_onnx_element_bytes(dtype);
    double min = ONNX_SIGNED >> dtype & 1 ? -ldexp(1, (int)bits - 1) : 0;
    double end = min + ldexp(1, (int)bits); /* the first number beyond */
    double max = bits < 64 ? end - 1 : nextafter(end, 0);
    for (uint64_t i = 0; i < count; i++) {
        double whole = nearbyint(numbers[i]);
        numbers[i] = whole < min ? min : whole > max ? max : whole;
    }
}

/* ---- The kernel ------------------------------------------------------------------------------ */

void mmi_onnx_resample(const struct onnx_call *call, const struct onnx_resize_axis *axes) {
    const struct onnx_resize *resize = call->params;
    const struct onnx_tensor *image = &call->inputs[0], *out = &call->outputs[0];
    const double value = (double)resize->extrapolation;
    struct resample r;
    double *buffer = lay_out(resize, axes, image->rank, call->scratch, &r);
    if (r.first == image->rank) { /* nothing changes */
        memcpy(call->out[0], call->in[0], image->bytes);
        return;
    }
    for (uint32_t i = r.first; i < r.end; i++) {
        if (!axes[i].kept) {
            fill_table(resize, &r.tables[i]);
        }
    }
    struct nearest nearest = {.r = &r, .axes = axes};
    nearest.width = mmi_onnx_element_bytes(image->dtype);
    nearest.block = r.inner * nearest.width;
    if ((ONNX_REALS | ONNX_BOOL) >> image->dtype & 1) {
        mmi_onnx_convert(MM_F64, &value, 1, image->dtype, nearest.value);
    }
    uint64_t seen = image->elements / r.outer, made = out->elements / r.outer;
    uint64_t rows = made / r.inner / (uint64_t)axes[r.end - 1].out;
    for (uint64_t i = 0; i < r.outer; i++) {
        const uint8_t *from = (const uint8_t *)call->in[0] + i * seen * nearest.width;
        uint8_t *to = (uint8_t *)call->out[0] + i * made * nearest.width;
        if (resize->mode == ONNX_RESIZE_NEAREST) {
            copy_nearest(&nearest, rows, from, to);
        } else {
            uint64_t elements = seen;
            mmi_onnx_convert(image->dtype, from, seen, MM_F64, buffer);
            double *last = weigh_axes(&r, axes, buffer, &elements);
            round_to(image->dtype, last, elements);
            mmi_onnx_convert(MM_F64, last, elements, image->dtype, to);
        }
    }
}
