/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/steps/segments.h>
#include <base/status.h>

#include <string.h>

struct onnx_segment {
    struct onnx_segment *older;
    const struct onnx_graph *graph;
    uint32_t at;
    const mm_allocator *allocator;
    struct onnx_steps steps;
};

void mmi_onnx_segments_init(struct onnx_segments *segments) {
    *segments = (struct onnx_segments){0};
    mmi_lock_init(&segments->lock, MMI_RANK_LEAF);
}

void mmi_onnx_segments_fini(struct onnx_segments *segments) {
    while (segments->newest) {
        struct onnx_segment *segment = segments->newest;
        segments->newest = segment->older;
        mmi_onnx_segment_free(segment);
    }
    mmi_lock_fini(&segments->lock);
}

void mmi_onnx_segment_free(struct onnx_segment *segment) {
    if (segment) {
        const mm_allocator *allocator = segment->allocator;
        mmi_onnx_arena_free(&segment->steps.arena);
        allocator->free(allocator->user, segment, sizeof(*segment));
    }
}

/* ---- Finding --------------------------------------------------------------------------------- */

static bool holds(const struct onnx_placed *guard, const struct onnx_run_value *value) {
    const struct onnx_tensor *wanted = &guard->tensor, *got = &value->tensor;
    bool same = value->there && value->kind == MM_TENSOR && wanted->dtype == got->dtype &&
                wanted->rank == got->rank && wanted->known == got->known &&
                memcmp(wanted->shape, got->shape, wanted->rank * sizeof(int64_t)) == 0;
    return same && (!wanted->known || wanted->bytes == 0 ||
                    memcmp(wanted->data, got->data, wanted->bytes) == 0);
}

static bool fits(const struct onnx_segment *segment, const struct onnx_start *start) {
    bool fit = segment->graph == start->graph && segment->at == start->at;
    for (uint32_t i = 0; i < segment->steps.guard_count && fit; i++) {
        const struct onnx_placed *guard = &segment->steps.guards[i];
        fit = holds(guard, &start->values[guard->value]);
    }
    return fit;
}

static const struct onnx_segment *find(struct onnx_segments *segments,
                                       const struct onnx_start *start) {
    mmi_lock(&segments->lock);
    const struct onnx_segment *segment = segments->newest;
    mmi_unlock(&segments->lock);
    while (segment && !fits(segment, start)) { /* what is linked does not change */
        segment = segment->older;
    }
    return segment;
}

/* ---- Making ---------------------------------------------------------------------------------- */

static mm_status make(const struct onnx_start *start, struct onnx_segment **made, mm_error *err) {
    const mm_allocator *allocator = &start->services->allocator;
    struct onnx_segment *segment =
        allocator->alloc(allocator->user, sizeof(*segment), _Alignof(struct onnx_segment));
    if (!segment) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for the steps of a segment");
    }
    *segment =
        (struct onnx_segment){.graph = start->graph, .at = start->at, .allocator = allocator};
    mmi_onnx_arena_init(&segment->steps.arena, allocator);
    mm_status status = mmi_onnx_specialise(start, &segment->steps, err);
    if (status != MM_OK) {
        mmi_onnx_segment_free(segment);
        return status;
    }
    *made = segment;
    return MM_OK;
}

static bool keep(struct onnx_segments *segments, struct onnx_segment *segment) {
    mmi_lock(&segments->lock);
    bool room = segments->count < ONNX_KEPT_PLANS;
    if (room) {
        segment->older = segments->newest;
        segments->newest = segment;
        segments->count++;
    }
    mmi_unlock(&segments->lock);
    return room;
}

mm_status mmi_onnx_find_segment(struct onnx_segments *segments, const struct onnx_start *start,
                                const struct onnx_steps **steps, struct onnx_segment **own,
                                mm_error *err) {
    *own = NULL;
    const struct onnx_segment *found = find(segments, start);
    if (!found) {
        struct onnx_segment *made = NULL;
        MMI_TRY(make(start, &made, err));
        *own = keep(segments, made) ? NULL : made;
        found = made;
    }
    *steps = &found->steps;
    return MM_OK;
}
