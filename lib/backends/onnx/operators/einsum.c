/* SPDX-License-Identifier: Apache-2.0 */

/* Einsum: what an equation says is done in steps of at most two operands, from left to right; each
 * step sums over what nobody needs after it. An operand is elements and a stride for each label,
 * which is the sum of the strides of its axes: a diagonal where a label is there twice, 0 where
 * it is not. */

#include <backends/onnx/operators/einsum.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

#define LABELS ONNX_EINSUM_LABELS
#define ALIGN 64

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_einsum *einsum = params;
    const struct onnx_attribute *equation = mmi_onnx_attribute(a, "equation");
    size_t count = 0;
    if (!equation || equation->type != ONNX_ATTRIBUTE_STRING) {
        return mmi_fail(err, MM_INVALID_MODEL, "attribute equation is no string");
    }
    for (const char *at = equation->text; *at; at++) {
        if (*at == ' ') {
            continue;
        }
        if (count + 1 == sizeof(einsum->equation)) {
            return mmi_fail(err, MM_UNSUPPORTED, "attribute equation has more than %zu letters",
                            count);
        }
        einsum->equation[count++] = *at;
    }
    return MM_OK;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

struct operand {
    uint64_t labels; /* bit i: it has label i */
    int64_t stride[LABELS];
    const void *data;
};

static const struct operand one_operand; /* no labels: one element */

struct step {
    const struct operand *a, *b;
    uint64_t keep;              /* labels of the result */
    const struct onnx_term *to; /* in this order; NULL: in theirs */
    void *data;                 /* where the result goes */
};

/* The walk over all steps, which lays out the scratch, and computes in it where `call` is there. */
struct walk {
    const struct onnx_equation *equation;
    const struct onnx_call *call;
    enum onnx_number number;
    uint64_t used; /* bytes of the scratch; UINT64_MAX: too many */
    uint32_t inputs;
    struct operand at[ONNX_EINSUM_INPUTS]; /* the inputs, as they are by now */
};

static void compute(const struct walk *walk, const struct step *step);

static uint64_t number_bytes(enum onnx_number number) {
    return number == ONNX_F32 ? sizeof(float) : sizeof(double);
}

/* Room for so many numbers in the scratch. */
static void *take(struct walk *walk, uint64_t elements) {
    uint64_t bytes, begin = walk->used;
    bool fits = mmi_mul(elements, number_bytes(walk->number), &bytes) &&
                mmi_round_up(bytes, ALIGN, &bytes) && mmi_add(begin, bytes, &walk->used);
    walk->used = fits ? walk->used : UINT64_MAX;
    return walk->call && fits ? (uint8_t *)walk->call->scratch + begin : NULL;
}

/* Elements of the labels; UINT64_MAX on overflow. */
static uint64_t elements_of(const struct onnx_equation *equation, uint64_t labels) {
    uint64_t elements = 1;
    bool fits = true, none = false;
    for (uint32_t i = 0; i < LABELS; i++) {
        if (labels >> i & 1) {
            none |= equation->size[i] == 0;
            fits = fits && mmi_mul(elements, (uint64_t)equation->size[i], &elements);
        }
    }
    return none ? 0 : fits ? elements : UINT64_MAX;
}

static void set_operand(struct walk *walk, uint32_t input, const struct onnx_tensor *tensor) {
    struct operand *operand = &walk->at[input];
    const struct onnx_term *term = &walk->equation->inputs[input];
    int64_t strides[MM_MAX_RANK];
    memset(operand, 0, sizeof(*operand));
    if (tensor->elements > 0) {
        mmi_onnx_strides(tensor, strides);
    }
    for (uint32_t i = 0; i < term->count && tensor->elements > 0; i++) {
        operand->stride[term->at[i]] += tensor->shape[i] == 1 ? 0 : strides[i];
    }
    for (uint32_t i = 0; i < term->count; i++) {
        operand->labels |= UINT64_C(1) << term->at[i];
    }
    void *copy = mmi_onnx_is_native(tensor->dtype) ? NULL : take(walk, tensor->elements);
    if (walk->call) {
        operand->data = copy ? copy : walk->call->in[input];
    }
    if (copy) {
        mmi_onnx_convert(tensor->dtype, walk->call->in[input], tensor->elements,
                         mmi_onnx_number_type(walk->number), copy);
    }
}

/* The result of a step, with strides for the labels that it keeps, the last one innermost. */
static struct operand result_of(const struct walk *walk, const struct step *step) {
    struct operand result = {.labels = step->keep, .data = step->data};
    int64_t stride = 1;
    if (elements_of(walk->equation, step->keep) == 0) {
        return result; /* of a size that may overflow */
    }
    if (step->to) {
        for (uint32_t i = step->to->count; i-- > 0;) {
            result.stride[step->to->at[i]] = stride;
            stride *= walk->equation->size[step->to->at[i]];
        }
        return result;
    }
    for (uint32_t i = LABELS; i-- > 0;) {
        if (step->keep >> i & 1) {
            result.stride[i] = stride;
            stride *= walk->equation->size[i];
        }
    }
    return result;
}

static struct operand do_step(struct walk *walk, struct step *step) {
    uint64_t elements = elements_of(walk->equation, step->keep);
    bool last = step->to && walk->call && mmi_onnx_is_native(walk->call->outputs[0].dtype);
    step->data = last ? walk->call->out[0] : take(walk, elements);
    if (walk->used == UINT64_MAX || elements >= INT64_MAX) {
        walk->used = UINT64_MAX;
        return one_operand;
    }
    if (walk->call && elements > 0) {
        compute(walk, step);
    }
    return result_of(walk, step);
}

/* Labels of the output and of all inputs but those in [from, end). */
static uint64_t needed_without(const struct walk *walk, uint32_t from, uint32_t end) {
    uint64_t labels = 0;
    for (uint32_t i = 0; i < walk->equation->output.count; i++) {
        labels |= UINT64_C(1) << walk->equation->output.at[i];
    }
    for (uint32_t i = 0; i < walk->inputs; i++) {
        labels |= i < from || i >= end ? walk->at[i].labels : 0;
    }
    return labels;
}

static void walk_steps(struct walk *walk, const struct onnx_tensor *inputs) {
    for (uint32_t i = 0; i < walk->inputs; i++) {
        set_operand(walk, i, &inputs[i]);
    }
    for (uint32_t i = 0; i < walk->inputs && walk->inputs > 1; i++) {
        uint64_t keep = walk->at[i].labels & needed_without(walk, i, i + 1);
        if (keep != walk->at[i].labels) { /* sum over what only this one has, once */
            struct step step = {&walk->at[i], &one_operand, keep, NULL, NULL};
            struct operand result = do_step(walk, &step);
            walk->at[i] = result;
        }
    }
    for (uint32_t i = walk->inputs > 1; i < walk->inputs; i++) {
        bool last = i + 1 == walk->inputs;
        struct step step = {.a = &walk->at[0], .b = i > 0 ? &walk->at[i] : &one_operand};
        step.keep = (step.a->labels | step.b->labels) & needed_without(walk, 0, i + 1);
        step.to = last ? &walk->equation->output : NULL;
        struct operand result = do_step(walk, &step);
        walk->at[0] = result;
    }
}

/* ---- Computing ------------------------------------------------------------------------------- */

/* A loop over a label, with the strides of both operands and, where it is kept, of the result. */
struct loop {
    int64_t size, a, b, to;
};
struct loops {
    struct loop kept[LABELS], summed[LABELS], inner;
    uint32_t kept_count, summed_count;
    bool inner_summed;
};

/* How badly a loop reads and writes memory. */
static int cost_of(const struct loop *loop) {
    int cost = loop->size < 4 ? 2 : 0;
    const int64_t strides[] = {loop->a, loop->b, loop->to};
    for (uint32_t i = 0; i < 3; i++) {
        cost += strides[i] == 0 ? 0 : strides[i] == 1 ? 1 : 8;
    }
    return cost;
}

/* The loop that becomes the innermost goes from its list. */
static void choose_inner(struct loops *loops) {
    uint32_t best = 0;
    int least = INT32_MAX;
    for (uint32_t i = 0; i < loops->kept_count + loops->summed_count; i++) {
        bool summed = i >= loops->kept_count;
        const struct loop *loop = summed ? &loops->summed[i - loops->kept_count] : &loops->kept[i];
        if (cost_of(loop) <= least) {
            least = cost_of(loop);
            best = i;
        }
    }
    loops->inner = (struct loop){.size = 1};
    loops->inner_summed = true;
    if (loops->kept_count + loops->summed_count == 0) {
        return;
    }
    loops->inner_summed = best >= loops->kept_count;
    struct loop *list = loops->inner_summed ? loops->summed : loops->kept;
    uint32_t *count = loops->inner_summed ? &loops->summed_count : &loops->kept_count;
    best -= loops->inner_summed ? loops->kept_count : 0;
    loops->inner = list[best];
    memmove(&list[best], &list[best + 1], (--*count - best) * sizeof(*list));
}

static void set_loops(const struct walk *walk, const struct step *step, struct loops *loops) {
    struct operand to = result_of(walk, step);
    loops->kept_count = loops->summed_count = 0;
    for (uint32_t i = 0; i < LABELS; i++) {
        struct loop loop = {walk->equation->size[i], step->a->stride[i], step->b->stride[i],
                            to.stride[i]};
        bool there = (step->a->labels | step->b->labels) >> i & 1;
        if (there && step->keep >> i & 1 && loop.size > 1) {
            loops->kept[loops->kept_count++] = loop;
        } else if (there && !(step->keep >> i & 1) && loop.size != 1) {
            loops->summed[loops->summed_count++] = loop;
        }
    }
    choose_inner(loops);
}

/* Where a walk over loops is. */
struct place {
    int64_t a, b, to;
    int64_t at[LABELS];
};

/* The next place; false: it was the last one, and the place is the first again. */
static bool next_place(const struct loop *loops, uint32_t count, struct place *place) {
    for (uint32_t i = count; i-- > 0;) {
        const struct loop *loop = &loops[i];
        place->a += loop->a;
        place->b += loop->b;
        place->to += loop->to;
        if (++place->at[i] < loop->size) {
            return true;
        }
        place->a -= loop->a * loop->size;
        place->b -= loop->b * loop->size;
        place->to -= loop->to * loop->size;
        place->at[i] = 0;
    }
    return false;
}

/* T: elements; SUM: what they are added up in. */
#define CONTRACT(name, T, SUM)                                                                     \
    static SUM sum_##name(const struct loops *l, const struct place *kept, const T *a,             \
                          const T *b) {                                                            \
        struct place place = {.a = kept->a, .b = kept->b};                                         \
        const struct loop *in = &l->inner;                                                         \
        SUM sum = 0;                                                                               \
        do {                                                                                       \
            const T *x = a + place.a, *y = b + place.b;                                            \
            for (int64_t i = 0; i < in->size; i++) {                                               \
                sum += (SUM)x[i * in->a] * (SUM)y[i * in->b];                                      \
            }                                                                                      \
        } while (next_place(l->summed, l->summed_count, &place));                                  \
        return sum;                                                                                \
    }                                                                                              \
    static void rows_##name(const struct loops *l, const struct place *kept, const T *a,           \
                            const T *b, T *to) {                                                   \
        const struct loop *in = &l->inner;                                                         \
        bool ordered = in->a == 0 && in->b == 1; /* a loop that becomes vectors */                 \
        for (int64_t begin = 0; begin < in->size; begin += ONNX_CHUNK) {                           \
            int64_t count = in->size - begin < ONNX_CHUNK ? in->size - begin : ONNX_CHUNK;         \
            struct place place = {.a = kept->a + begin * in->a, .b = kept->b + begin * in->b};     \
            SUM sums[ONNX_CHUNK] = {0};                                                            \
            do {                                                                                   \
                const T *x = a + place.a, *y = b + place.b;                                        \
                for (int64_t i = 0; i < count && ordered; i++) {                                   \
                    sums[i] += (SUM)*x * (SUM)y[i];                                                \
                }                                                                                  \
                for (int64_t i = 0; i < count && !ordered; i++) {                                  \
                    sums[i] += (SUM)x[i * in->a] * (SUM)y[i * in->b];                              \
                }                                                                                  \
            } while (next_place(l->summed, l->summed_count, &place));                              \
            for (int64_t i = 0; i < count; i++) {                                                  \
                to[kept->to + (begin + i) * in->to] = (T)sums[i];                                  \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    static void contract_##name(const struct loops *l, const T *a, const T *b, T *to) {            \
        struct place kept = {0};                                                                   \
        do {                                                                                       \
            if (l->inner_summed) {                                                                 \
                to[kept.to] = (T)sum_##name(l, &kept, a, b);                                       \
            } else {                                                                               \
                rows_##name(l, &kept, a, b, to);                                                   \
            }                                                                                      \
        } while (next_place(l->kept, l->kept_count, &kept));                                       \
    }
CONTRACT(f32, float, double)
CONTRACT(f64, double, double)
CONTRACT(u64, uint64_t, uint64_t) /* and i64: the low 64 bits are the same */

static bool sums_nothing(const struct loops *loops) {
    bool nothing = loops->inner.size == 0;
    for (uint32_t i = 0; i < loops->summed_count; i++) {
        nothing |= loops->summed[i].size == 0;
    }
    return nothing;
}

static void compute(const struct walk *walk, const struct step *step) {
    static const float one_f32 = 1;
    static const double one_f64 = 1;
    static const uint64_t one_u64 = 1;
    const void *one = walk->number == ONNX_F32   ? (const void *)&one_f32
                      : walk->number == ONNX_F64 ? (const void *)&one_f64
                                                 : (const void *)&one_u64;
    const void *a = step->a->data, *b = step->b == &one_operand ? one : step->b->data;
    struct loops loops;
    set_loops(walk, step, &loops);
    if (sums_nothing(&loops)) {
        memset(step->data, 0, elements_of(walk->equation, step->keep) * number_bytes(walk->number));
        return;
    }
    switch (walk->number) {
    case ONNX_F32:
        contract_f32(&loops, a, b, step->data);
        break;
    case ONNX_F64:
        contract_f64(&loops, a, b, step->data);
        break;
    default:
        contract_u64(&loops, a, b, step->data);
        break;
    }
}

/* ---- All of it ------------------------------------------------------------------------------- */

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_einsum *einsum = x->params;
    struct onnx_equation equation;
    int64_t shape[MM_MAX_RANK] = {0};
    MMI_TRY(mmi_onnx_check_types(x, ONNX_REALS, err));
    MMI_TRY(mmi_onnx_read_equation(einsum->equation, x->inputs, x->input_count, &equation, err));
    for (uint32_t i = 0; i < equation.output.count; i++) {
        shape[i] = equation.size[equation.output.at[i]];
    }
    MMI_TRY(
        mmi_onnx_tensor_set(&x->outputs[0], x->inputs[0].dtype, equation.output.count, shape, err));
    struct walk walk = {.equation = &equation,
                        .number = mmi_onnx_number(x->inputs[0].dtype),
                        .inputs = x->input_count};
    walk_steps(&walk, x->inputs);
    if (walk.used == UINT64_MAX) {
        return mmi_fail(err, MM_TOO_LARGE, "what it computes on the way is too large");
    }
    x->scratch_bytes = walk.used;
    return MM_OK;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct onnx_einsum *einsum = call->params;
    const struct onnx_tensor *output = &call->outputs[0];
    struct onnx_equation equation;
    if (!call->out[0]) {
        return MM_OK;
    }
    MMI_TRY(
        mmi_onnx_read_equation(einsum->equation, call->inputs, call->input_count, &equation, err));
    struct walk walk = {.equation = &equation,
                        .call = call,
                        .number = mmi_onnx_number(output->dtype),
                        .inputs = call->input_count};
    walk_steps(&walk, call->inputs);
    if (!mmi_onnx_is_native(output->dtype)) {
        mmi_onnx_convert(mmi_onnx_number_type(walk.number), walk.at[0].data, output->elements,
                         output->dtype, call->out[0]);
    }
    return MM_OK;
}

static mm_status check(const void *params, mm_error *err) {
    bool ends = memchr(((const struct onnx_einsum *)params)->equation, '\0', ONNX_EINSUM_TEXT);
    return ends ? MM_OK : mmi_fail(err, MM_INVALID_MODEL, "its equation does not end");
}

const struct onnx_operator mmi_onnx_op_Einsum = {
    .name = "Einsum",
    .min_inputs = 1,
    .max_inputs = ONNX_ANY_NUMBER,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_einsum),
    .check = check,
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF_ANY, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
};
