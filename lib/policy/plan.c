/* SPDX-License-Identifier: Apache-2.0 */
#include <policy/plan.h>

#include <base/checked.h>

/* Numbered as in the header. */
enum step {
    STEP_AS_IT_IS = 1,
    STEP_RECLAIMABLE,
    STEP_DRAINING,
    STEP_IDLE,
    STEP_STAYING,
    STEP_RUNNING,
    STEP_LEASED,
    STEP_LOADING,
    STEP_STALLED,
    STEP_BARRED,
    STEP_COUNT
};

static const enum mmi_verdict verdicts[STEP_COUNT] = {
    [STEP_AS_IT_IS] = MMI_PLAN_FITS,   [STEP_RECLAIMABLE] = MMI_PLAN_FITS,
    [STEP_DRAINING] = MMI_PLAN_WAIT,   [STEP_IDLE] = MMI_PLAN_EVICT,
    [STEP_STAYING] = MMI_PLAN_STAY,    [STEP_RUNNING] = MMI_PLAN_RUNS,
    [STEP_LEASED] = MMI_PLAN_LEASED,   [STEP_LOADING] = MMI_PLAN_WAIT,
    [STEP_STALLED] = MMI_PLAN_STALLED, [STEP_BARRED] = MMI_PLAN_BARRED,
};

static enum step step_of(const struct mmi_plan_input *in, const struct mmi_candidate *c) {
    if (c->stalled) { /* before anything else: who waits for memory gives none back */
        return STEP_STALLED;
    }
    if (c->state == MMI_CANDIDATE_DRAINING) {
        return STEP_DRAINING;
    }
    if (c->barred || c->self) {
        return STEP_BARRED;
    }
    if (c->state == MMI_CANDIDATE_RECLAIMABLE) {
        return STEP_RECLAIMABLE;
    }
    if (c->state == MMI_CANDIDATE_RUNNING) {
        return STEP_RUNNING;
    }
    if (c->evict_class > in->evict_class) {
        return STEP_BARRED;
    }
    switch (c->state) {
    case MMI_CANDIDATE_IDLE:
        return c->stay_until_ns > in->now_ns ? STEP_STAYING : STEP_IDLE;
    case MMI_CANDIDATE_LEASED:
        return STEP_LEASED;
    default:
        return STEP_LOADING;
    }
}

/* ---- The order of leaving --------------------------------------------------------------------
 * A heap sort that stops when enough were taken: the first `left` candidates are the heap, those
 * taken stand behind it, the latest taken in front. */

struct queue {
    struct mmi_candidate *at;
    size_t left;
    bool by_time; /* within STAYING: who may leave soonest goes first */
};

/* Step, then spare copies first, then class: computed once, compared often. */
static uint32_t rank_of(const struct mmi_plan_input *in, const struct mmi_candidate *c) {
    return (uint32_t)step_of(in, c) << 16 | (uint32_t)!c->spare << 8 | c->evict_class;
}

static enum step step_in(const struct mmi_candidate *c) {
    return (enum step)(c->rank >> 16);
}

static bool leaves_before(const struct queue *q, const struct mmi_candidate *a,
                          const struct mmi_candidate *b) {
    bool by_time = q->by_time && step_in(a) == STEP_STAYING && step_in(b) == STEP_STAYING;
    if (by_time && a->stay_until_ns != b->stay_until_ns) {
        return a->stay_until_ns < b->stay_until_ns;
    }
    if (a->rank != b->rank) {
        return a->rank < b->rank;
    }
    return a->last_used != b->last_used ? a->last_used < b->last_used : a->index < b->index;
}

/* Put `c` where it belongs, from `at` on down. */
static void sink(struct queue *q, size_t at, struct mmi_candidate c) {
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= q->left) {
            break;
        }
        if (child + 1 < q->left && leaves_before(q, &q->at[child + 1], &q->at[child])) {
            child++;
        }
        if (!leaves_before(q, &q->at[child], &c)) {
            break;
        }
        q->at[at] = q->at[child];
        at = child;
    }
    q->at[at] = c;
}

static void queue_init(struct queue *q, struct mmi_candidate *at, size_t count, bool by_time) {
    *q = (struct queue){.at = at, .left = count, .by_time = by_time};
    for (size_t i = count / 2; i-- > 0;) {
        sink(q, i, at[i]);
    }
}

/* Whoever leaves next; the queue is not empty. */
static const struct mmi_candidate *queue_take(struct queue *q) {
    struct mmi_candidate first = q->at[0];
    q->left--;
    if (q->left > 0) {
        sink(q, 0, q->at[q->left]);
    }
    q->at[q->left] = first;
    return &q->at[q->left];
}

/* Put the `count` candidates at `at`, taken by time, into the order of the other steps. */
static void reorder(struct mmi_candidate *at, size_t count) {
    struct queue q;
    queue_init(&q, at, count, false);
    while (q.left > 0) {
        queue_take(&q);
    }
}

/* ---- The plan -------------------------------------------------------------------------------- */

static void count_victim(struct mmi_plan_output *out, const struct mmi_candidate *c) {
    out->victims[out->victim_count++] = c->index;
    if (c->state == MMI_CANDIDATE_RECLAIMABLE) {
        return;
    }
    out->victim_class = c->evict_class > out->victim_class ? c->evict_class : out->victim_class;
    out->victim_bytes = mmi_add_cap(out->victim_bytes, c->bytes);
    out->victim_cost_ns = mmi_add_cap(out->victim_cost_ns, c->load_cost_ns);
    if (c->stay_until_ns > out->wait_until_ns) {
        out->wait_until_ns = c->stay_until_ns;
    }
}

/* Of the `count` chosen (latest first) drop who is not needed; the others are the victims. */
static void name_victims(const struct mmi_plan_input *in, const struct mmi_candidate *chosen,
                         size_t count, struct mmi_plan_output *out) {
    const struct mmi_fit_query *fit = &in->fit;
    for (size_t i = 0; i < count; i++) {
        fit->keep(fit->ctx, &chosen[i]);
        if (fit->fits(fit->ctx)) {
            continue;
        }
        fit->release(fit->ctx, &chosen[i]);
        if (chosen[i].state == MMI_CANDIDATE_DRAINING || chosen[i].state == MMI_CANDIDATE_RUNNING) {
            out->draining = true;
        } else {
            count_victim(out, &chosen[i]);
        }
    }
    for (size_t i = 0, j = out->victim_count; i + 1 < j; i++) {
        uint32_t held = out->victims[--j];
        out->victims[j] = out->victims[i];
        out->victims[i] = held;
    }
    if (out->wait_until_ns <= in->now_ns) {
        out->wait_until_ns = 0;
    }
}

/* Step `step` suffices with the candidates from `last` on. */
static void conclude(const struct mmi_plan_input *in, enum step step,
                     const struct mmi_candidate *last, struct mmi_plan_output *out) {
    out->verdict = verdicts[step];
    if (step == STEP_STAYING) {
        out->wait_until_ns = last->stay_until_ns;
    } else if (step == STEP_RECLAIMABLE || step == STEP_IDLE || step == STEP_LEASED) {
        size_t count = (size_t)(in->candidates + in->count - last);
        name_victims(in, last, count, out);
    }
}

void mmi_plan(const struct mmi_plan_input *input, struct mmi_plan_output *output) {
    const struct mmi_fit_query *fit = &input->fit;
    *output = (struct mmi_plan_output){.victims = output->victims};
    if (!input->fits_empty) {
        output->verdict = MMI_PLAN_TOO_LARGE;
        return;
    }
    if (fit->fits(fit->ctx)) {
        output->verdict = verdicts[STEP_AS_IT_IS];
        return;
    }
    for (size_t i = 0; i < input->count; i++) {
        input->candidates[i].rank = rank_of(input, &input->candidates[i]);
    }
    struct queue q;
    queue_init(&q, input->candidates, input->count, true);
    size_t staying = 0; /* how many of those taken last are STAYING, not yet reordered */
    while (q.left > 0) {
        const struct mmi_candidate *next = queue_take(&q);
        enum step step = step_in(next);
        if (step == STEP_STAYING) {
            staying++;
        } else if (staying > 0) {
            reorder(&q.at[q.left + 1], staying);
            staying = 0;
        }
        fit->release(fit->ctx, next);
        if (fit->fits(fit->ctx)) {
            conclude(input, step, next, output);
            return;
        }
    }
    output->verdict = MMI_PLAN_HELD;
}
