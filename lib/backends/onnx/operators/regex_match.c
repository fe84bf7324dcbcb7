/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/letters.h>
#include <backends/onnx/operators/regex.h>

#include <string.h>

bool mmi_onnx_regex_is_sound(const struct onnx_regex *regex) {
    int64_t count = (int64_t)regex->count;
    bool sound = count > 0 && regex->steps[count - 1].op == ONNX_REGEX_MATCH;
    for (int64_t i = 0; i < count && sound; i++) {
        const struct onnx_regex_step *step = &regex->steps[i];
        bool leads = step->op == ONNX_REGEX_SPLIT || step->op == ONNX_REGEX_JUMP;
        bool a = i + step->a >= 0 && i + step->a < count;
        bool b = i + step->b >= 0 && i + step->b < count;
        sound = !leads || (a && (b || step->op == ONNX_REGEX_JUMP));
        if (step->op == ONNX_REGEX_LETTERS) {
            sound = step->a >= 0 && step->b >= 0 &&
                    (uint64_t)step->a + (uint64_t)step->b <= regex->range_count;
        }
    }
    return sound;
}

/* Places in the program, each with where in the text its match began; the earliest comes first.
 * `mark` says in which round one was met last. */
struct places {
    uint64_t *began, *next_began;
    uint32_t *now, *next, *stack, *mark;
    uint32_t now_count, next_count, round;
};

uint64_t mmi_onnx_regex_scratch(uint64_t count) {
    return 2 * count * sizeof(uint64_t) +
           (5 * count + 8) * sizeof(uint32_t); /* the stack holds both ways of each split */
}

static struct places places_in(void *scratch, uint32_t count) {
    uint64_t *began = scratch;
    uint32_t *room = (uint32_t *)(began + 2 * count);
    memset(room + 2 * count, 0, count * sizeof(*room));
    return (struct places){.began = began,
                           .next_began = began + count,
                           .now = room,
                           .next = room + count,
                           .mark = room + 2 * count,
                           .stack = room + 3 * count,
                           .round = 1};
}

/* Where the text is: the letters around. ONNX_NO_LETTER + 1: none. */
#define NOTHING (ONNX_NO_LETTER + 1)
struct around {
    uint32_t before, after;
};

static bool is_word(uint32_t letter) {
    return (letter >= '0' && letter <= '9') || (letter >= 'A' && letter <= 'Z') || letter == '_' ||
           (letter >= 'a' && letter <= 'z');
}

static bool is_at(int32_t place, struct around around) {
    bool edge = is_word(around.before) != is_word(around.after);
    switch (place) {
    case ONNX_REGEX_BEGIN:
        return around.before == NOTHING;
    case ONNX_REGEX_END:
        return around.after == NOTHING;
    case ONNX_REGEX_LINE_BEGIN:
        return around.before == NOTHING || around.before == '\n';
    case ONNX_REGEX_LINE_END:
        return around.after == NOTHING || around.after == '\n';
    case ONNX_REGEX_WORD_EDGE:
        return edge;
    default:
        return !edge;
    }
}

/* All places that lead from `at` without a letter, to `next`; those that are there already stay as
 * they are. */
static void reach(const struct onnx_regex *regex, struct places *p, uint32_t at,
                  struct around around, uint64_t began) {
    uint32_t height = 0;
    p->stack[height++] = at;
    while (height > 0) {
        at = p->stack[--height];
        if (p->mark[at] == p->round) {
            continue;
        }
        p->mark[at] = p->round;
        const struct onnx_regex_step *step = &regex->steps[at];
        switch (step->op) {
        case ONNX_REGEX_SPLIT:
            p->stack[height++] = (uint32_t)((int64_t)at + step->b);
            p->stack[height++] = (uint32_t)((int64_t)at + step->a);
            break;
        case ONNX_REGEX_JUMP:
            p->stack[height++] = (uint32_t)((int64_t)at + step->a);
            break;
        case ONNX_REGEX_AT:
            if (is_at(step->a, around)) {
                p->stack[height++] = at + 1;
            }
            break;
        default:
            p->next_began[p->next_count] = began;
            p->next[p->next_count++] = at;
        }
    }
}

static bool takes(const struct onnx_regex *regex, const struct onnx_regex_step *step,
                  uint32_t letter) {
    const struct onnx_regex_range *ranges = regex->ranges + step->a;
    uint32_t low = 0, high = (uint32_t)step->b; /* sorted */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((int64_t)letter > ranges[middle].last) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < (uint32_t)step->b && (int64_t)letter >= ranges[low].first;
}

static void swap(struct places *p) {
    uint32_t *now = p->now;
    uint64_t *began = p->began;
    p->began = p->next_began;
    p->next_began = began;
    p->now = p->next;
    p->now_count = p->next_count;
    p->next = now;
    p->next_count = 0;
    p->round++;
}

/* The letter ahead is read: from `now` to `next`. `ahead`: behind it. */
static void step(const struct onnx_regex *regex, struct places *p, struct around *around,
                 const char **ahead, const char *end) {
    uint32_t letter = around->after;
    around->before = letter;
    around->after = *ahead != end ? mmi_onnx_next_letter(ahead, end) : NOTHING;
    for (uint32_t i = 0; i < p->now_count; i++) {
        const struct onnx_regex_step *its = &regex->steps[p->now[i]];
        if (its->op == ONNX_REGEX_LETTERS && takes(regex, its, letter)) {
            reach(regex, p, p->now[i] + 1, *around, p->began[i]);
        }
    }
}

bool mmi_onnx_regex_matches(const struct onnx_regex *regex, const struct onnx_string *text,
                            void *scratch) {
    struct places p = places_in(scratch, (uint32_t)regex->count);
    const char *ahead = text->at, *end = text->bytes > 0 ? ahead + text->bytes : ahead;
    struct around around = {.before = NOTHING, .after = NOTHING};
    around.after = ahead != end ? mmi_onnx_next_letter(&ahead, end) : NOTHING;
    reach(regex, &p, 0, around, 0);
    for (swap(&p); around.after != NOTHING && p.now_count > 0; swap(&p)) {
        step(regex, &p, &around, &ahead, end);
    }
    bool matches = false;
    for (uint32_t i = 0; i < p.now_count && around.after == NOTHING; i++) {
        matches |= regex->steps[p.now[i]].op == ONNX_REGEX_MATCH;
    }
    return matches;
}

/* A match that ends here is the better one if none began before it; what began later than the best
 * is given up. */
static void note_match(const struct onnx_regex *regex, struct places *p, uint64_t at,
                       struct onnx_regex_span *best, bool *found) {
    for (uint32_t i = 0; i < p->now_count; i++) {
        if (regex->steps[p->now[i]].op == ONNX_REGEX_MATCH) {
            *best = (struct onnx_regex_span){p->began[i], at};
            *found = true;
        }
    }
    while (*found && p->now_count > 0 && p->began[p->now_count - 1] > best->begin) {
        p->now_count--;
    }
}

bool mmi_onnx_regex_find(const struct onnx_regex *regex, const struct onnx_string *text,
                         uint64_t from, void *scratch, struct onnx_regex_span *best) {
    struct places p = places_in(scratch, (uint32_t)regex->count);
    const char *end = text->bytes > 0 ? text->at + text->bytes : text->at;
    const char *at = from > 0 ? text->at + from : text->at, *ahead = at;
    struct around around = {.before = from > 0 ? (uint8_t)at[-1] : NOTHING, .after = NOTHING};
    bool found = false;
    around.after = ahead != end ? mmi_onnx_next_letter(&ahead, end) : NOTHING;
    for (;;) {
        if (!found) {
            reach(regex, &p, 0, around, (uint64_t)(at - text->at));
        }
        swap(&p);
        note_match(regex, &p, (uint64_t)(at - text->at), best, &found);
        if (around.after == NOTHING || (found && p.now_count == 0)) {
            return found;
        }
        at = ahead;
        step(regex, &p, &around, &ahead, end);
    }
}
