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
    STEP_LINGERING,
    STEP_LEASED,
    STEP_LOADING,
    STEP_STALLED,
    STEP_BARRED,
    STEP_COUNT
};

static const enum mmi_verdict verdicts[STEP_COUNT] = {
    [STEP_AS_IT_IS] = MMI_PLAN_FITS,  [STEP_RECLAIMABLE] = MMI_PLAN_FITS,
    [STEP_DRAINING] = MMI_PLAN_WAIT,  [STEP_IDLE] = MMI_PLAN_EVICT,
    [STEP_STAYING] = MMI_PLAN_STAY,   [STEP_RUNNING] = MMI_PLAN_RUNS,
    [STEP_LINGERING] = MMI_PLAN_WAIT, [STEP_LEASED] = MMI_PLAN_LEASED,
    [STEP_LOADING] = MMI_PLAN_WAIT,   [STEP_STALLED] = MMI_PLAN_STALLED,
    [STEP_BARRED] = MMI_PLAN_BARRED,
};

static enum step step_of(const struct mmi_plan_input *in, const struct mmi_candidate *c) {
    if (c->stalled) { /* before anything else: who waits for memory gives none back */
        return STEP_STALLED;
    }
    if (c->state == MMI_CANDIDATE_DRAINING) {
        return STEP_DRAINING;
    }
    if (c->state == MMI_CANDIDATE_LINGERING) {
        return STEP_LINGERING;
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
 * A quicksort that stops when enough were taken. keys[0 .. taken) are taken, up to `sorted` they
 * are in order; of the rest only the front is divided. Each of `ends` closes a part whose members
 * leave before all that stand behind it; the last one closes the front. */

#define MOST_ENDS 64u
#define FEW 12u /* are sorted by insertion */

struct queue {
    const struct mmi_candidate *candidates;
    struct mmi_plan_key *keys;
    size_t taken, sorted;
    size_t ends[MOST_ENDS];
    unsigned end_count;
};

/* Spare copies first, then class. */
static uint32_t rank_in_step(const struct mmi_candidate *c) {
    return (uint32_t)!c->spare << 8 | c->evict_class;
}

static enum step step_in(const struct mmi_plan_key *key) {
    return (enum step)(key->rank >> 16);
}

/* by_time: within STAYING who may leave soonest goes first. */
static struct mmi_plan_key key_of(const struct mmi_candidate *c, uint32_t at, enum step step,
                                  bool by_time) {
    bool timed = by_time && step == STEP_STAYING;
    return (struct mmi_plan_key){.rank = (uint32_t)step << 16 | (timed ? 0 : rank_in_step(c)),
                                 .at = at,
                                 .time = timed ? c->stay_until_ns : c->last_used};
}

/* Their keys are equal. */
static bool leaves_before_equal(const struct mmi_candidate *a, const struct mmi_candidate *b) {
    if (rank_in_step(a) != rank_in_step(b)) {
        return rank_in_step(a) < rank_in_step(b);
    }
    return a->last_used != b->last_used ? a->last_used < b->last_used : a->index < b->index;
}

static inline bool leaves_before(const struct queue *q, const struct mmi_plan_key *a,
                                 const struct mmi_plan_key *b) {
    if (a->rank != b->rank) {
        return a->rank < b->rank;
    }
    return a->time != b->time ? a->time < b->time
                              : leaves_before_equal(&q->candidates[a->at], &q->candidates[b->at]);
}

static inline void swap(struct mmi_plan_key *a, struct mmi_plan_key *b) {
    struct mmi_plan_key held = *a;
    *a = *b;
    *b = held;
}

/* Put `key` where it belongs in a heap with the last to leave at its root, from `at` on down. */
static void sink(const struct queue *q, struct mmi_plan_key *heap, size_t count, size_t at) {
    struct mmi_plan_key key = heap[at];
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && leaves_before(q, &heap[child], &heap[child + 1]);
        if (!leaves_before(q, &key, &heap[child])) {
            break;
        }
        heap[at] = heap[child];
    }
    heap[at] = key;
}

/* All of a part, whatever it looks like. */
static void sort_part(const struct queue *q, struct mmi_plan_key *part, size_t count) {
    for (size_t i = count / 2; i-- > 0;) {
        sink(q, part, count, i);
    }
    for (size_t left = count; left-- > 1;) {
        swap(&part[0], &part[left]);
        sink(q, part, left, 0);
    }
}

static void sort_few(const struct queue *q, struct mmi_plan_key *part, size_t count) {
    for (size_t i = 1; i < count; i++) {
        struct mmi_plan_key key = part[i];
        size_t at = i;
        for (; at > 0 && leaves_before(q, &key, &part[at - 1]); at--) {
            part[at] = part[at - 1];
        }
        part[at] = key;
    }
}

/* Divide more than two: those before the answer leave first, the one there is in its place. */
static size_t divide(const struct queue *q, struct mmi_plan_key *part, size_t count) {
    struct mmi_plan_key *first = &part[0], *middle = &part[count / 2], *last = &part[count - 1];
    if (leaves_before(q, middle, first)) {
        swap(middle, first);
    }
    if (leaves_before(q, last, middle)) {
        swap(last, middle);
        if (leaves_before(q, middle, first)) {
            swap(middle, first);
        }
    }
    swap(middle, last - 1);
    struct mmi_plan_key pivot = last[-1];
    size_t i = 0, j = count - 2;
    for (;;) {
        while (leaves_before(q, &part[++i], &pivot)) {}
        while (leaves_before(q, &pivot, &part[--j])) {}
        if (i >= j) {
            break;
        }
        swap(&part[i], &part[j]);
    }
    swap(&part[i], last - 1);
    return i;
}

static void queue_init(struct queue *q, const struct mmi_plan_input *in) {
    *q = (struct queue){.candidates = in->candidates, .keys = in->keys, .end_count = 1};
    q->ends[0] = in->count;
    for (size_t i = 0; i < in->count; i++) {
        const struct mmi_candidate *c = &in->candidates[i];
        q->keys[i] = key_of(c, (uint32_t)i, step_of(in, c), true);
    }
}

/* Whoever leaves next; the queue is not empty. */
static const struct mmi_plan_key *queue_take(struct queue *q) {
    while (q->taken == q->sorted) {
        struct mmi_plan_key *front = &q->keys[q->sorted];
        size_t count = q->ends[q->end_count - 1] - q->sorted;
        if (count > FEW && q->end_count + 1 < MOST_ENDS) {
            size_t at = q->sorted + divide(q, front, count);
            q->ends[q->end_count++] = at + 1;
            q->ends[q->end_count++] = at;
        } else {
            (count > FEW ? sort_part : sort_few)(q, front, count);
            q->sorted = q->ends[--q->end_count];
        }
    }
    return &q->keys[q->taken++];
}

/* Put the `count` before `end`, which were taken by time, into the order of the other steps. */
static void reorder(const struct queue *q, const struct mmi_plan_key *end, size_t count) {
    struct mmi_plan_key *part = &q->keys[end - q->keys] - count;
    for (size_t i = 0; i < count; i++) {
        part[i] = key_of(&q->candidates[part[i].at], part[i].at, STEP_STAYING, false);
    }
    sort_part(q, part, count);
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

/* Of those taken drop who is not needed, latest first; the others are the victims. */
static void name_victims(const struct mmi_plan_input *in, const struct queue *q,
                         struct mmi_plan_output *out) {
    const struct mmi_fit_query *fit = &in->fit;
    for (size_t i = q->taken; i-- > 0;) {
        const struct mmi_candidate *c = &in->candidates[q->keys[i].at];
        if (fit->keep(fit->ctx, c)) {
            continue;
        }
        if (c->state == MMI_CANDIDATE_DRAINING || c->state == MMI_CANDIDATE_RUNNING ||
            c->state == MMI_CANDIDATE_LINGERING) {
            out->draining = true;
        } else {
            count_victim(out, c);
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

/* Those taken suffice; `last` was the last of them. */
static void conclude(const struct mmi_plan_input *in, const struct queue *q,
                     const struct mmi_plan_key *last, struct mmi_plan_output *out) {
    enum step step = step_in(last);
    out->verdict = verdicts[step];
    if (step == STEP_STAYING) {
        out->wait_until_ns = in->candidates[last->at].stay_until_ns;
    } else if (step == STEP_RECLAIMABLE || step == STEP_IDLE || step == STEP_LEASED) {
        name_victims(in, q, out);
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
    struct queue q;
    queue_init(&q, input);
    size_t staying = 0; /* how many of those taken last are STAYING, not yet reordered */
    while (q.taken < input->count) {
        const struct mmi_plan_key *next = queue_take(&q);
        if (step_in(next) == STEP_STAYING) {
            staying++;
        } else if (staying > 0) {
            reorder(&q, next, staying);
            staying = 0;
        }
        fit->release(fit->ctx, &input->candidates[next->at]);
        if (fit->fits(fit->ctx)) {
            conclude(input, &q, next, output);
            return;
        }
    }
    output->verdict = MMI_PLAN_HELD;
}
