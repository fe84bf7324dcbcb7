/* SPDX-License-Identifier: Apache-2.0 */

/* NonMaxSuppression: of boxes that overlap too much, the one with the highest score. */

#include <backends/onnx/operators/execution.h>
#include <base/status.h>

#include <inttypes.h>
#include <stdlib.h>

struct suppression {
    int64_t centered; /* boxes are x, y of the centre, width, height; else two corners, y first */
};

static mm_status read_suppression(const struct onnx_attributes *a, void *params, mm_error *err) {
    return mmi_onnx_read_int(a, "center_point_box", 0, &((struct suppression *)params)->centered,
                             err);
}

struct box {
    float top, left, bottom, right;
};

static struct box box_at(const float *box, bool centered) {
    if (centered) {
        float width = box[2] / 2, height = box[3] / 2;
        return (struct box){box[1] - height, box[0] - width, box[1] + height, box[0] + width};
    }
    bool down = box[0] < box[2], right = box[1] < box[3];
    return (struct box){down ? box[0] : box[2], right ? box[1] : box[3], down ? box[2] : box[0],
                        right ? box[3] : box[1]};
}

static float area(const struct box *box) {
    return (box->bottom - box->top) * (box->right - box->left);
}

/* Intersection over union is more than the threshold. */
static bool overlap(const struct box *a, const struct box *b, float threshold) {
    struct box both = {a->top > b->top ? a->top : b->top, a->left > b->left ? a->left : b->left,
                       a->bottom < b->bottom ? a->bottom : b->bottom,
                       a->right < b->right ? a->right : b->right};
    if (both.bottom <= both.top || both.right <= both.left || area(a) <= 0 || area(b) <= 0) {
        return false;
    }
    float shared = area(&both);
    return shared / (area(a) + area(b) - shared) > threshold;
}

struct candidate {
    float score;
    uint32_t index;
};

static int by_score_descending(const void *a_, const void *b_) {
    const struct candidate *a = a_, *b = b_;
    if (a->score != b->score) {
        return a->score < b->score ? 1 : -1;
    }
    return (a->index > b->index) - (a->index < b->index);
}

struct search {
    const float *boxes, *scores;
    int64_t batches, classes, count; /* boxes of one batch */
    int64_t most;                    /* boxes of one class */
    float threshold, least;
    bool centered, has_least;
    struct candidate *candidates; /* [count] */
    struct box *taken;            /* [count] */
};

static bool is_free(const struct search *s, const struct box *box, int64_t taken) {
    for (int64_t i = 0; i < taken; i++) {
        if (overlap(box, &s->taken[i], s->threshold)) {
            return false;
        }
    }
    return true;
}

/* One class of one batch: its picks to `picks` (NULL: only counted); how many. */
static int64_t pick(const struct search *s, int64_t batch, int64_t class, int64_t *picks) {
    const float *boxes = s->boxes + batch * s->count * 4;
    const float *scores = s->scores + (batch * s->classes + class) * s->count;
    size_t count = 0;
    for (int64_t i = 0; i < s->count; i++) {
        if (!s->has_least || scores[i] > s->least) {
            s->candidates[count++] = (struct candidate){scores[i], (uint32_t)i};
        }
    }
    qsort(s->candidates, count, sizeof(*s->candidates), by_score_descending);
    int64_t taken = 0;
    for (size_t i = 0; i < count && taken < s->most; i++) {
        struct box box = box_at(boxes + 4 * (int64_t)s->candidates[i].index, s->centered);
        if (is_free(s, &box, taken)) {
            s->taken[taken++] = box;
            if (picks) {
                *picks++ = batch;
                *picks++ = class;
                *picks++ = s->candidates[i].index;
            }
        }
    }
    return taken;
}

static int64_t pick_all(const struct search *s, int64_t *picks) {
    int64_t count = 0;
    for (int64_t batch = 0; batch < s->batches; batch++) {
        for (int64_t class = 0; class < s->classes; class ++) {
            count += pick(s, batch, class, picks ? picks + 3 * count : NULL);
        }
    }
    return count;
}

static mm_status read_threshold(const struct onnx_execution *x, uint32_t input, const char *what,
                                float *threshold, mm_error *err) {
    if (!mmi_onnx_is_given(x, input)) {
        return MM_OK;
    }
    MMI_TRY(mmi_onnx_expect_tensor(x, input, what, MM_F32, -1, err));
    if (x->inputs[input].tensor.elements != 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "its %s is no single number", what);
    }
    *threshold = ((const float *)x->inputs[input].tensor.data)[0];
    return MM_OK;
}

static mm_status read_search(const struct onnx_execution *x, struct search *s, mm_error *err) {
    MMI_TRY(mmi_onnx_expect_tensor(x, 0, "boxes", MM_F32, 3, err));
    MMI_TRY(mmi_onnx_expect_tensor(x, 1, "scores", MM_F32, 3, err));
    const struct onnx_tensor *boxes = &x->inputs[0].tensor, *scores = &x->inputs[1].tensor;
    *s = (struct search){.boxes = boxes->data,
                         .scores = scores->data,
                         .batches = scores->shape[0],
                         .classes = scores->shape[1],
                         .count = scores->shape[2],
                         .centered = ((const struct suppression *)x->params)->centered != 0,
                         .has_least = mmi_onnx_is_given(x, 4)};
    if (boxes->shape[0] != s->batches || boxes->shape[1] != s->count || boxes->shape[2] != 4 ||
        s->count > INT32_MAX) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "boxes [%" PRId64 ", %" PRId64 ", %" PRId64 "] do not fit scores [%" PRId64
                        ", %" PRId64 ", %" PRId64 "]",
                        boxes->shape[0], boxes->shape[1], boxes->shape[2], s->batches, s->classes,
                        s->count);
    }
    if (mmi_onnx_is_given(x, 2)) {
        MMI_TRY(mmi_onnx_expect_number(x, 2, "limit", &s->most, err));
    }
    MMI_TRY(read_threshold(x, 3, "iou_threshold", &s->threshold, err));
    return read_threshold(x, 4, "score_threshold", &s->least, err);
}

static mm_status execute_suppression(struct onnx_execution *x, mm_error *err) {
    struct search s;
    MMI_TRY(read_search(x, &s, err));
    uint64_t bytes = (uint64_t)s.count * (sizeof(*s.candidates) + sizeof(*s.taken));
    struct onnx_run_block *block = mmi_onnx_block_take(x->memory, bytes);
    if (!block) {
        return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS, "no room to sort %" PRId64 " boxes",
                        s.count);
    }
    s.taken = mmi_onnx_block_data(block);
    s.candidates = (struct candidate *)(s.taken + s.count);
    int64_t shape[2] = {pick_all(&s, NULL), 3};
    MMI_TRY(mmi_onnx_make_tensor(x->memory, MM_I64, 2, shape, &x->outputs[0], err));
    pick_all(&s, mmi_onnx_value_data(&x->outputs[0]));
    mmi_onnx_block_drop(x->memory, block);
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_NonMaxSuppression = {
    .name = "NonMaxSuppression",
    .min_inputs = 2,
    .max_inputs = 5,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct suppression),
    .read = read_suppression,
    .execute = execute_suppression,
};
