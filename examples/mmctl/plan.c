/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include "json.h"
#include "show.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- Reading --------------------------------------------------------------------------------- */

static int by_count(const void *a_, const void *b_) {
    const struct by_operator *a = a_, *b = b_;
    return a->count != b->count ? (a->count < b->count ? 1 : -1) : strcmp(a->name, b->name);
}

static struct by_operator *find_operator(struct plan *plan, const char *name) {
    for (uint32_t i = 0; i < plan->count; i++) {
        if (strcmp(plan->operators[i].name, name) == 0) {
            return &plan->operators[i];
        }
    }
    plan->operators[plan->count].name = name;
    return &plan->operators[plan->count++];
}

static void count_steps(struct plan *plan, const struct tree *steps) {
    for (const struct tree *step = steps->first; step; step = step->next) {
        struct by_operator *op = find_operator(plan, tree_text(step, "operator"));
        const char *kernel = tree_text(step, "kernel");
        op->count++;
        op->fast += strcmp(kernel, "fast") == 0;
        op->plain += strcmp(kernel, "plain") == 0;
        op->later += kernel[0] == '\0';
        op->flops += tree_number(step, "flops");
        op->bytes += tree_number(step, "bytes");
    }
}

int read_plan(mm_mesh *mesh, mm_model model, const struct inputs *inputs, struct plan *plan) {
    mm_error err;
    char *report;
    mm_request request = MM_REQUEST_INIT;
    request.inputs = inputs->values;
    request.input_count = inputs->count;
    *plan = (struct plan){0};
    if (mm_model_report(mesh, model, &request, &report, &err) != MM_OK) {
        return failure("report", &err);
    }
    plan->report = strdup(report);
    plan->text = strdup(report);
    mm_report_free(report);
    plan->tree = plan->text ? read_tree(plan->text) : NULL;
    if (!plan->report || !plan->tree) {
        return EXIT_FAILED;
    }
    const struct tree *steps = tree_member(plan->tree, "steps");
    const struct tree *later = tree_member(plan->tree, "later");
    plan->operators = calloc((size_t)steps->count + later->count + 1, sizeof(*plan->operators));
    if (!plan->operators) {
        return bad_argument("report", "out of memory");
    }
    count_steps(plan, steps);
    count_steps(plan, later);
    qsort(plan->operators, plan->count, sizeof(*plan->operators), by_count);
    return EXIT_DONE;
}

void free_plan(struct plan *plan) {
    free_tree(plan->tree);
    free(plan->operators);
    free(plan->text);
    free(plan->report);
    *plan = (struct plan){0};
}

/* ---- Showing --------------------------------------------------------------------------------- */

/* "Relu" of {"operator": "Conv", "fused": ["Relu"]}: how often each was fused into what. */
static void print_fused(const struct plan *plan) {
    struct plan kinds = {0};
    const struct tree *steps = tree_member(plan->tree, "steps");
    uint64_t programs = 0, functions = 0;
    kinds.operators = calloc((size_t)steps->count + 1, sizeof(*kinds.operators));
    for (const struct tree *step = steps->first; kinds.operators && step; step = step->next) {
        const struct tree *fused = tree_member(step, "fused");
        if (fused->count == 0) {
            continue;
        }
        if (strcmp(tree_text(step, "operator"), "Fused") == 0) {
            programs++;
            functions += fused->count;
        } else {
            find_operator(&kinds, fused->first->text)->count++;
        }
    }
    const char *between = "fused        ";
    for (uint32_t i = 0; i < kinds.count; i++) {
        printf("%s%s %" PRIu64, between, kinds.operators[i].name, kinds.operators[i].count);
        between = ", ";
    }
    if (kinds.count > 0) {
        printf(" into the step before");
    }
    if (programs > 0) {
        printf("%s%" PRIu64 " elementwise functions into %" PRIu64 " steps", between, functions,
               programs);
    }
    if (kinds.count > 0 || programs > 0) {
        printf("\n");
    }
    free(kinds.operators);
}

void print_plan(const struct plan *plan) {
    printf("memory       %s weights, %s activations a run\n",
           show_bytes(tree_number(plan->tree, "weights_bytes")),
           show_bytes(tree_number(plan->tree, "activation_bytes")));
    print_fused(plan);
    printf("steps        %u%s\n", tree_member(plan->tree, "steps")->count,
           tree_true(plan->tree, "whole") ? ", all planned before a run"
                                          : "; what comes after them only the run plans");
    printf("  %-28s %6s %6s %6s %6s %10s %11s\n", "operator", "count", "fast", "plain", "later",
           "GFLOP", "bytes");
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct by_operator *op = &plan->operators[i];
        printf("  %-28s %6" PRIu64 " %6" PRIu64 " %6" PRIu64 " %6" PRIu64 " %10.4f %11s\n",
               op->name, op->count, op->fast, op->plain, op->later, (double)op->flops / 1e9,
               show_bytes(op->bytes));
    }
}

void print_plan_json(const struct plan *plan) {
    printf("{\"operators\": [");
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct by_operator *op = &plan->operators[i];
        printf("%s{\"operator\": ", i > 0 ? ", " : "");
        put_json_text(stdout, op->name, strlen(op->name), false);
        printf(", \"count\": %" PRIu64 ", \"fast\": %" PRIu64 ", \"plain\": %" PRIu64
               ", \"later\": %" PRIu64 ", \"flops\": %" PRIu64 ", \"bytes\": %" PRIu64 "}",
               op->count, op->fast, op->plain, op->later, op->flops, op->bytes);
    }
    printf("], \"report\": %s}", plan->report);
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

static void append(char text[1024], const char *more) {
    size_t used = strlen(text);
    snprintf(text + used, 1024 - used, "%s", more);
}

static bool is_named(const char *const *list, uint32_t count, const char *name) {
    size_t length = strlen(name);
    for (uint32_t i = 0; i < count; i++) {
        if (strncmp(list[i], name, length) == 0 && list[i][length] == '=') {
            return true;
        }
    }
    return false;
}

static bool is_free(const mm_value_info *info) {
    bool free_axis = info->rank < 0;
    for (int32_t i = 0; i < info->rank; i++) {
        free_axis |= info->shape[i] < 0;
    }
    return free_axis || info->kind != MM_TENSOR;
}

bool name_free_inputs(const mm_model_description *description, const struct input_options *options,
                      char text[1024]) {
    text[0] = '\0';
    for (uint32_t i = 0; i < description->input_count; i++) {
        const mm_value_info *info = &description->inputs[i];
        bool optional = info->flags & MM_VALUE_INFO_OPTIONAL || info->kind == MM_OPTIONAL;
        if (optional || !is_free(info) ||
            is_named(options->shapes, options->shape_count, info->name) ||
            is_named(options->files, options->file_count, info->name)) {
            continue;
        }
        append(text, text[0] ? ", " : "");
        append(text, info->name);
        append(text, " is ");
        append(text, show_value(info));
    }
    return text[0] != '\0';
}

void name_shapes(const struct inputs *inputs, char text[1024]) {
    text[0] = '\0';
    for (uint32_t i = 0; i < inputs->count; i++) {
        const mm_value *value = &inputs->values[i];
        append(text, i > 0 ? ", " : "");
        append(text, value->name);
        for (uint32_t axis = 0; axis < value->rank; axis++) {
            char number[32];
            snprintf(number, sizeof(number), "%c%" PRId64, axis > 0 ? 'x' : '=',
                     value->shape[axis]);
            append(text, number);
        }
    }
}
