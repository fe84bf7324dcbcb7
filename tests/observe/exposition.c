/* SPDX-License-Identifier: Apache-2.0 */
#include "exposition.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAMILIES_MAX 128

struct family {
    char name[96], type[16];
};

struct reader {
    struct exposition *out;
    const char *at;
    unsigned line;
    struct family families[FAMILIES_MAX];
    size_t family_count;
    bool typed;   /* the last family has its TYPE */
    size_t first; /* its first sample */
};

static bool fail(struct reader *r, const char *problem) {
    snprintf(r->out->problem, sizeof r->out->problem, "line %u: %s", r->line, problem);
    return false;
}

static bool accept(struct reader *r, const char *literal) {
    size_t bytes = strlen(literal);
    bool same = strncmp(r->at, literal, bytes) == 0;
    r->at += same ? bytes : 0;
    return same;
}

/* [a-zA-Z_][a-zA-Z0-9_]*, with colons in metric names only. */
static bool read_name(struct reader *r, char *name, size_t room, bool metric) {
    size_t bytes = 0;
    for (;; bytes++) {
        char c = r->at[bytes];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool later = bytes > 0 && c >= '0' && c <= '9';
        if (!letter && !later && !(metric && c == ':')) {
            break;
        }
    }
    if (bytes == 0 || bytes >= room) {
        return fail(r, "a name was expected");
    }
    memcpy(name, r->at, bytes);
    name[bytes] = '\0';
    r->at += bytes;
    return true;
}

static bool read_label_value(struct reader *r, char *value, size_t room) {
    size_t bytes = 0;
    for (; *r->at != '"'; r->at++) {
        char c = *r->at;
        if (c == '\0' || c == '\n' || bytes + 1 >= room) {
            return fail(r, "a label's value does not end");
        }
        if (c == '\\') {
            c = *++r->at;
            if (c != '\\' && c != '"' && c != 'n') {
                return fail(r, "an unknown escape");
            }
            c = c == 'n' ? '\n' : c;
        }
        value[bytes++] = c;
    }
    value[bytes] = '\0';
    r->at++;
    return true;
}

/* The family of a sample's name, which for histograms loses its ending. */
static bool belongs(const struct family *family, const char *name) {
    size_t bytes = strlen(family->name);
    if (strncmp(name, family->name, bytes) != 0) {
        return false;
    }
    const char *rest = name + bytes;
    if (strcmp(family->type, "histogram") != 0) {
        return *rest == '\0';
    }
    return strcmp(rest, "_bucket") == 0 || strcmp(rest, "_sum") == 0 || strcmp(rest, "_count") == 0;
}

static bool read_sample(struct reader *r) {
    if (r->out->count == SAMPLES_MAX) {
        return fail(r, "too many samples for this reader");
    }
    struct sample *sample = &r->out->samples[r->out->count];
    *sample = (struct sample){0};
    if (!read_name(r, sample->name, sizeof sample->name, true)) {
        return false;
    }
    if (accept(r, "{")) {
        if (!read_name(r, sample->label, sizeof sample->label, false) || !accept(r, "=\"") ||
            !read_label_value(r, sample->value, sizeof sample->value) || !accept(r, "}")) {
            return r->out->problem[0] ? false : fail(r, "a label was expected");
        }
    }
    char *end = NULL;
    if (!accept(r, " ") || *r->at == ' ') {
        return fail(r, "one space was expected before the number");
    }
    sample->number = strtod(r->at, &end);
    if (end == r->at || *end != '\n') {
        return fail(r, "a number and the end of the line were expected");
    }
    r->at = end;
    if (!r->typed || !belongs(&r->families[r->family_count - 1], sample->name)) {
        return fail(r, "a sample outside its family");
    }
    for (size_t i = 0; i < r->out->count; i++) {
        const struct sample *other = &r->out->samples[i];
        if (strcmp(other->name, sample->name) == 0 && strcmp(other->label, sample->label) == 0 &&
            strcmp(other->value, sample->value) == 0) {
            return fail(r, "a series appears twice");
        }
    }
    r->out->count++;
    return true;
}

static bool check_histogram(struct reader *r, const struct family *family) {
    double le = -1, below = -1, total = -1, count = -2;
    bool sum = false;
    for (size_t i = r->first; i < r->out->count; i++) {
        const struct sample *sample = &r->out->samples[i];
        const char *ending = sample->name + strlen(family->name);
        if (strcmp(ending, "_bucket") == 0) {
            double next = strtod(sample->value, NULL);
            if (strcmp(sample->label, "le") != 0 || next <= le || sample->number < below) {
                return fail(r, "buckets must rise");
            }
            le = next;
            below = sample->number;
            total = isinf(next) ? sample->number : total;
        } else {
            sum = sum || strcmp(ending, "_sum") == 0;
            count = strcmp(ending, "_count") == 0 ? sample->number : count;
        }
    }
    return (sum && total == count) || fail(r, "+Inf, _sum or _count is missing or wrong");
}

static bool end_family(struct reader *r) {
    if (r->family_count == 0) {
        return true;
    }
    const struct family *family = &r->families[r->family_count - 1];
    if (!r->typed || r->first == r->out->count) {
        return fail(r, "a family without TYPE or samples");
    }
    size_t bytes = strlen(family->name);
    bool total = bytes > 6 && strcmp(family->name + bytes - 6, "_total") == 0;
    if (total != (strcmp(family->type, "counter") == 0)) {
        return fail(r, "counters, and nothing else, end in _total");
    }
    return strcmp(family->type, "histogram") != 0 || check_histogram(r, family);
}

static bool read_help(struct reader *r) {
    if (!end_family(r) || r->family_count == FAMILIES_MAX) {
        return r->out->problem[0] ? false : fail(r, "too many families for this reader");
    }
    struct family *family = &r->families[r->family_count];
    *family = (struct family){0};
    if (!read_name(r, family->name, sizeof family->name, true)) {
        return false;
    }
    for (size_t i = 0; i < r->family_count; i++) {
        if (strcmp(r->families[i].name, family->name) == 0) {
            return fail(r, "a family appears twice");
        }
    }
    r->family_count++;
    r->typed = false;
    r->first = r->out->count;
    if (!accept(r, " ") || *r->at == '\n') {
        return fail(r, "a help text was expected");
    }
    for (; *r->at != '\n' && *r->at; r->at++) {
        if (*r->at == '\\' && r->at[1] != '\\' && r->at[1] != 'n') {
            return fail(r, "an unknown escape");
        }
    }
    return true;
}

static bool read_type(struct reader *r) {
    char name[96];
    struct family *family = r->family_count > 0 ? &r->families[r->family_count - 1] : NULL;
    if (!read_name(r, name, sizeof name, true)) {
        return false;
    }
    if (!family || r->typed || strcmp(family->name, name) != 0 || !accept(r, " ")) {
        return fail(r, "TYPE must follow HELP of its family");
    }
    static const char *const types[] = {"counter", "gauge", "histogram"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (accept(r, types[i])) {
            snprintf(family->type, sizeof family->type, "%s", types[i]);
            r->typed = true;
            return true;
        }
    }
    return fail(r, "an unknown type");
}

void exposition_read(struct exposition *exposition, const char *text) {
    static struct reader reader;
    struct reader *r = &reader;
    *r = (struct reader){.out = exposition, .at = text, .line = 1};
    exposition->count = 0;
    exposition->problem[0] = '\0';
    for (; *r->at; r->line++) {
        bool sound = accept(r, "# HELP ")   ? read_help(r)
                     : accept(r, "# TYPE ") ? read_type(r)
                                            : read_sample(r);
        if (!sound) {
            return;
        }
        if (!accept(r, "\n")) {
            fail(r, "the line does not end");
            return;
        }
    }
    end_family(r);
}

double exposition_get(const struct exposition *exposition, const char *name, const char *label,
                      const char *value) {
    for (size_t i = 0; i < exposition->count; i++) {
        const struct sample *sample = &exposition->samples[i];
        if (strcmp(sample->name, name) == 0 && strcmp(sample->label, label ? label : "") == 0 &&
            strcmp(sample->value, value ? value : "") == 0) {
            return sample->number;
        }
    }
    return -1;
}
