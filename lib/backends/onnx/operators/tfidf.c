/* SPDX-License-Identifier: Apache-2.0 */

/* TfIdfVectorizer: how often runs of tokens (n-grams) of a pool are in a row. */

#include <backends/onnx/operators/lookup.h>
#include <backends/onnx/operators/ml.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum mode { TF, IDF, TFIDF };

struct tfidf {
    int64_t least, most, skips, columns; /* lengths of n-grams; tokens left out between two */
    int32_t mode, reserved;
};
/* The inputs behind X: the different tokens, sorted; n-grams as places among these, by length and
 * sorted; of each length from 1 on where its n-grams begin, there and among all; the column of each
 * n-gram; the weight of each column. */
enum { TOKENS = 1, GRAMS, LEVELS, COLUMNS, WEIGHTS, INPUTS };

static mm_status read_tfidf(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const modes[] = {"TF", "IDF", "TFIDF", NULL};
    struct tfidf *p = params;
    MMI_TRY(mmi_onnx_read_choice(a, "mode", modes, &p->mode, err));
    MMI_TRY(mmi_onnx_read_int(a, "min_gram_length", 1, &p->least, err));
    MMI_TRY(mmi_onnx_read_int(a, "max_gram_length", 1, &p->most, err));
    return mmi_onnx_read_int(a, "max_skip_count", 0, &p->skips, err);
}

static mm_status check(const void *params, mm_error *err) {
    const struct tfidf *p = params;
    bool right = p->least >= 1 && p->most >= p->least && p->skips >= 0 && p->skips < INT32_MAX;
    return right ? MM_OK
                 : mmi_fail(err, MM_INVALID_MODEL,
                            "n-grams of %" PRId64 " to %" PRId64 " tokens, %" PRId64 " skipped",
                            p->least, p->most, p->skips);
}

/* ---- The pool -------------------------------------------------------------------------------- */

enum { COUNTS, INDEXES, POOL_WEIGHTS, POOL_INTS, POOL_STRINGS, LISTS };
static const struct onnx_list tfidf_lists[] = {
    [COUNTS] = {.name = "ngram_counts", .dtype = MM_I64},
    [INDEXES] = {.name = "ngram_indexes", .dtype = MM_I64},
    [POOL_WEIGHTS] = {.name = "weights", .dtype = MM_F32},
    [POOL_INTS] = {.name = "pool_int64s", .dtype = MM_I64},
    [POOL_STRINGS] = {.name = "pool_strings", .dtype = MM_STRING},
    [LISTS] = {0}};

struct pool {
    const struct onnx_lists *lists;
    struct onnx_tensor tokens; /* of the pool, then sorted */
    int32_t *grams;
    int64_t *levels, *columns;
    int64_t levels_count, count; /* n-grams */
};

/* Of the n-grams of `length` tokens, whose places are sorted by qsort_r. */
struct level {
    const int32_t *grams;
    uint64_t length;
};

static int by_tokens(const void *a_, const void *b_, void *level_) {
    const struct level *level = level_;
    const int32_t *a = level->grams + *(const uint64_t *)a_ * level->length;
    const int32_t *b = level->grams + *(const uint64_t *)b_ * level->length;
    for (uint64_t i = 0; i < level->length; i++) {
        if (a[i] != b[i]) {
            return a[i] < b[i] ? -1 : 1;
        }
    }
    return 0;
}

/* How many n-grams of each length there are; where they begin. */
static mm_status read_levels(struct pool *pool, mm_error *err) {
    const struct onnx_tensor *counts = &pool->lists->at[COUNTS];
    int64_t tokens = (int64_t)pool->tokens.elements, levels = (int64_t)counts->elements;
    int64_t *to = mmi_onnx_take(pool->lists->arena, (uint64_t)levels + 1, 2 * sizeof(*to));
    if (!to) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for its pool");
    }
    for (int64_t i = 0; i <= levels; i++) {
        to[2 * i] = i < levels ? ((const int64_t *)counts->data)[i] : tokens;
        int64_t before = i > 0 ? to[2 * i - 2] : 0, length = to[2 * i] - before;
        if (to[2 * i] < before || to[2 * i] > tokens || (i == 0 && length != 0) ||
            (i > 0 && length % i != 0)) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "ngram_counts has %" PRId64 " at %" PRId64 ", for a pool of %" PRId64,
                            to[2 * i], i, tokens);
        }
        to[2 * i + 1] = i > 0 ? to[2 * i - 1] + length / i : 0;
    }
    pool->levels = to;
    pool->levels_count = levels;
    pool->count = to[2 * levels + 1];
    return MM_OK;
}

/* Sorts those of length n. */
static mm_status sort_level(struct pool *pool, int64_t n, const int32_t *ids, mm_error *err) {
    int64_t from = pool->levels[2 * n - 2], first = pool->levels[2 * n - 1];
    uint64_t count = (uint64_t)(pool->levels[2 * n + 1] - first), length = (uint64_t)n;
    struct level level = {ids + from, length};
    uint64_t *order = mmi_onnx_take_data(pool->lists->arena, count * sizeof(*order));
    if (!order) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for its pool");
    }
    for (uint64_t i = 0; i < count; i++) {
        order[i] = i;
    }
    qsort_r(order, count, sizeof(*order), by_tokens, &level);
    for (uint64_t i = 0; i < count; i++) {
        memcpy(pool->grams + (uint64_t)from + i * length, ids + (uint64_t)from + order[i] * length,
               length * sizeof(*ids));
        pool->columns[(uint64_t)first + i] =
            ((const int64_t *)pool->lists->at[INDEXES].data)[(uint64_t)first + order[i]];
    }
    return MM_OK;
}

static mm_status sort_pool(struct pool *pool, mm_error *err) {
    struct onnx_arena *arena = pool->lists->arena;
    struct onnx_tensor from = pool->tokens, places = {0};
    uint32_t width = mmi_onnx_element_bytes(from.dtype);
    int32_t *ids = mmi_onnx_take_data(arena, from.elements * sizeof(*ids));
    pool->grams = mmi_onnx_take_data(arena, from.elements * sizeof(*pool->grams));
    pool->columns = mmi_onnx_take_data(arena, (uint64_t)pool->count * sizeof(*pool->columns));
    if (!ids || !pool->grams || !pool->columns) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for its pool");
    }
    MMI_TRY(mmi_onnx_sort_keys(arena, &from, &pool->tokens, &places, err));
    for (uint64_t i = 0; i < from.elements; i++) {
        ids[i] =
            (int32_t)mmi_onnx_find_sorted(&pool->tokens, (const uint8_t *)from.data + i * width);
    }
    for (int64_t n = 1; n <= pool->levels_count; n++) {
        MMI_TRY(sort_level(pool, n, ids, err));
    }
    return MM_OK;
}

/* Columns from the n-grams' indexes; a weight of each, if there are any. */
static mm_status check_columns(const struct onnx_lists *lists, const struct pool *pool,
                               struct tfidf *p, mm_error *err) {
    const struct onnx_tensor *indexes = &lists->at[INDEXES], *weights = &lists->at[POOL_WEIGHTS];
    if ((int64_t)indexes->elements != pool->count) {
        return mmi_fail(err, MM_INVALID_MODEL, "%" PRIu64 " ngram_indexes of %" PRId64 " n-grams",
                        indexes->elements, pool->count);
    }
    for (uint64_t i = 0; i < indexes->elements; i++) {
        int64_t column = ((const int64_t *)indexes->data)[i];
        if (column < 0 || column >= INT32_MAX) {
            return mmi_fail(err, MM_INVALID_MODEL, "an ngram_index is %" PRId64, column);
        }
        p->columns = column >= p->columns ? column + 1 : p->columns;
    }
    if (weights->dtype != MM_DTYPE_NONE && (int64_t)weights->elements < p->columns) {
        return mmi_fail(err, MM_INVALID_MODEL, "%" PRIu64 " weights of %" PRId64 " columns",
                        weights->elements, p->columns);
    }
    return MM_OK;
}

static mm_status set_list(struct onnx_tensor *list, int32_t dtype, int64_t count, const void *data,
                          mm_error *err) {
    MMI_TRY(mmi_onnx_tensor_set(list, dtype, 1, &count, err));
    list->data = data;
    return MM_OK;
}

static mm_status arrange_tfidf(struct onnx_lists *lists, void *params, mm_error *err) {
    struct tfidf *p = params;
    uint32_t given = 0;
    MMI_TRY(mmi_onnx_ml_only_one(lists, POOL_INTS, LISTS, "pool", &given, err));
    struct pool pool = {.lists = lists, .tokens = lists->at[given]};
    struct onnx_tensor made[INPUTS] = {{0}};
    if (lists->at[COUNTS].dtype == MM_DTYPE_NONE || lists->at[INDEXES].dtype == MM_DTYPE_NONE ||
        pool.tokens.elements > INT32_MAX) {
        return mmi_fail(err, MM_INVALID_MODEL, "it has no ngram_counts, or no ngram_indexes");
    }
    MMI_TRY(read_levels(&pool, err));
    MMI_TRY(check_columns(lists, &pool, p, err));
    MMI_TRY(sort_pool(&pool, err));
    p->most = p->most < pool.levels_count ? p->most : pool.levels_count;
    made[TOKENS] = pool.tokens;
    MMI_TRY(set_list(&made[GRAMS], MM_I32, (int64_t)lists->at[given].elements, pool.grams, err));
    MMI_TRY(set_list(&made[LEVELS], MM_I64, 2 * (pool.levels_count + 1), pool.levels, err));
    MMI_TRY(set_list(&made[COLUMNS], MM_I64, pool.count, pool.columns, err));
    made[WEIGHTS] = lists->at[POOL_WEIGHTS];
    memcpy(lists->at, made + 1, (INPUTS - 1) * sizeof(*made));
    lists->count = INPUTS - 1;
    return MM_OK;
}

/* ---- Counting -------------------------------------------------------------------------------- */

static mm_status infer_tfidf(struct onnx_inference *x, mm_error *err) {
    const struct tfidf *p = x->params;
    struct onnx_ml_rows rows = {0};
    bool text = x->inputs[TOKENS].dtype == MM_STRING;
    uint32_t numbers = ONNX_TYPE(MM_I32) | ONNX_TYPE(MM_I64);
    MMI_TRY(mmi_onnx_ml_rows(x, text ? ONNX_TYPE(MM_STRING) : numbers, &rows, err));
    const int64_t shape[2] = {(int64_t)rows.count, p->columns};
    bool matrix = x->inputs[0].rank == 2;
    if (!mmi_onnx_ml_scratch(x, rows.length)) {
        return mmi_fail(err, MM_TOO_LARGE, "rows of %" PRIu64 " tokens", rows.length);
    }
    return mmi_onnx_tensor_set(&x->outputs[0], MM_F32, matrix ? 2 : 1, shape + !matrix, err);
}

/* Where tokens that come one after the other are in the pool: n-grams [low, high) of one length. */
struct search {
    const int32_t *grams;
    uint64_t length, low, high;
};

/* The first n-gram in the range whose token at `at` is not below `token`. */
static uint64_t bound(const struct search *s, uint64_t at, int64_t token) {
    uint64_t low = s->low, high = s->high;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (s->grams[middle * s->length + at] < token) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct counting {
    const struct tfidf *p;
    const int32_t *grams;
    const int64_t *levels, *columns;
    const int64_t *tokens; /* of the row; -1: not in the pool */
    uint64_t length;
    float *counts; /* [columns] */
};

/* The n-grams of n tokens that begin at token `at`, `step` apart. */
static void count_at(const struct counting *c, uint64_t n, uint64_t at, uint64_t step) {
    const int64_t *level = c->levels + 2 * (n - 1);
    struct search search = {c->grams + level[0], n, 0, (uint64_t)(level[3] - level[1])};
    for (uint64_t i = 0; i < n && search.low < search.high; i++) {
        int64_t token = c->tokens[at + i * step];
        if (token < 0) {
            return;
        }
        uint64_t low = bound(&search, i, token), high = bound(&search, i, token + 1);
        search.low = low;
        search.high = high;
    }
    for (uint64_t i = search.low; i < search.high; i++) {
        int64_t column = c->columns[(uint64_t)level[1] + i];
        if (column >= 0 && column < c->p->columns) {
            c->counts[column]++;
        }
    }
}

static void count_row(const struct counting *c) {
    for (uint64_t n = (uint64_t)c->p->least; n <= (uint64_t)c->p->most; n++) {
        uint64_t steps = n == 1 ? 1 : (uint64_t)c->p->skips + 1;
        for (uint64_t step = 1; step <= steps; step++) {
            uint64_t span = (n - 1) * step;
            if (span >= c->length) {
                break;
            }
            for (uint64_t at = 0; at + span < c->length; at++) {
                count_at(c, n, at, step);
            }
        }
    }
}

static void weigh(const struct tfidf *p, const float *weights, float *counts) {
    for (int64_t i = 0; i < p->columns; i++) {
        if (p->mode == IDF) {
            counts[i] = counts[i] > 0;
        }
        if (p->mode != TF && weights) {
            counts[i] *= weights[i];
        }
    }
}

/* The bytes of an artifact may be damaged. */
static bool is_sound(const struct onnx_call *call, const int64_t *levels) {
    uint64_t count = call->inputs[LEVELS].elements / 2;
    bool sound = (uint64_t)((const struct tfidf *)call->params)->most < count;
    for (uint64_t i = 1; i < count && sound; i++) {
        int64_t tokens = levels[2 * i] - levels[2 * i - 2];
        int64_t grams = levels[2 * i + 1] - levels[2 * i - 1];
        sound = levels[2 * i - 2] >= 0 && levels[2 * i - 1] >= 0 && tokens >= 0 && grams >= 0 &&
                grams <= tokens / (int64_t)i &&
                levels[2 * i] <= (int64_t)call->inputs[GRAMS].elements &&
                levels[2 * i + 1] <= (int64_t)call->inputs[COLUMNS].elements;
    }
    return sound;
}

static void find_tokens(const struct onnx_call *call, uint64_t row, uint64_t length, int64_t *to) {
    struct onnx_tensor input = mmi_onnx_call_input(call, 0);
    struct onnx_tensor sorted = mmi_onnx_list(call, TOKENS);
    for (uint64_t i = 0; i < length; i++) {
        uint64_t at = row * length + i;
        if (sorted.dtype == MM_STRING) {
            to[i] = mmi_onnx_find_sorted(&sorted, (const struct onnx_string *)input.data + at);
        } else {
            int64_t number = mmi_onnx_int_at(&input, at);
            to[i] = mmi_onnx_find_sorted(&sorted, &number);
        }
    }
}

static mm_status run_tfidf(const struct onnx_call *call, mm_error *err) {
    const struct tfidf *p = call->params;
    struct onnx_ml_rows rows = mmi_onnx_ml_rows_of(&call->inputs[0]);
    struct onnx_tensor weights = mmi_onnx_list(call, WEIGHTS);
    struct counting counting = {.p = p,
                                .grams = call->in[GRAMS],
                                .levels = call->in[LEVELS],
                                .columns = call->in[COLUMNS],
                                .tokens = call->scratch,
                                .length = rows.length,
                                .counts = call->out[0]};
    if (!is_sound(call, counting.levels)) {
        return mmi_fail(err, MM_CORRUPT, "its pool is damaged");
    }
    if (!call->out[0]) {
        return MM_OK;
    }
    memset(call->out[0], 0, call->outputs[0].bytes);
    for (uint64_t i = 0; i < rows.count; i++, counting.counts += p->columns) {
        find_tokens(call, i, rows.length, call->scratch);
        count_row(&counting);
        weigh(p, weights.data, counting.counts);
    }
    return MM_OK;
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    (void)output;
    fact->rank = mmi_onnx_fact(l, 0).rank;
}

const struct onnx_operator mmi_onnx_op_TfIdfVectorizer = {
    .name = "TfIdfVectorizer",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct tfidf),
    .limits = ONNX_LIMITS(ONNX_BETWEEN("mode", struct tfidf, mode, 0, 2)),
    .check = check,
    .read = read_tfidf,
    .lists = tfidf_lists,
    .arrange = arrange_tfidf,
    .arranged = INPUTS - 1,
    .infer = infer_tfidf,
    .run = run_tfidf,
    .facts = {MM_F32, ONNX_RANK_UNKNOWN, ONNX_SIZE_SPREADS, 0},
    .learn = learn,
};
