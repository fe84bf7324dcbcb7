/* SPDX-License-Identifier: Apache-2.0 */

/* Attributes by opset: those that the schemas have (data/attributes.txt) are known, all others are
 * refused by name. */

#include "loaded.h"

#include <stdio.h>
#include <string.h>

#define MAX_ROWS 512

/* An operator in opsets [first, last]. */
struct row {
    char type[40], attributes[320]; /* "axis=1 keepdims=1" */
    int first, last, inputs;
};
static struct row rows[MAX_ROWS];
static size_t row_count;

static void read_rows(const char *path) {
    char line[512];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        struct row *row = &rows[row_count++];
        int used;
        assert_true(row_count <= MAX_ROWS);
        assert_int_equal(sscanf(line, "%39s %d %d %d%n", row->type, &row->first, &row->last,
                                &row->inputs, &used),
                         4);
        const char *rest = line + used + strspn(line + used, " ");
        snprintf(row->attributes, sizeof(row->attributes), "%.*s", (int)strcspn(rest, "\n"), rest);
    }
    fclose(file);
}

/* The node with these attributes, and one more, loaded. */
static void load_node(struct loaded *l, const struct row *row, int opset, const char *more) {
    char attributes[400], inputs[64] = "";
    struct writer w;
    snprintf(attributes, sizeof(attributes), "%s %s", row->attributes, more);
    for (int i = 0; i < row->inputs; i++) {
        strcat(inputs, "x ");
    }
    writer_init(&w, opset);
    writer_input(&w, "x", MM_F32, NULL);
    writer_node(&w, row->type, inputs, "y", attributes);
    writer_end(&w);
    must_load(l, &w);
}

static void check_refused(struct loaded *l, const struct row *row, int opset, const char *more) {
    char text[240];
    load_node(l, row, opset, more);
    snprintf(text, sizeof(text),
             "%.39s node that makes 'y': attribute %.*s, which it does not have "
             "in opset %d",
             row->type, (int)strcspn(more, "="), more, opset);
    must_not_resolve(l, MM_INVALID_MODEL, text);
}

/* The attributes of `other`, another form of the operator, that `row` does not have. */
static void check_others(struct loaded *l, const struct row *row, const struct row *other) {
    char words[320], mine[330];
    snprintf(words, sizeof(words), "%s", other->attributes);
    snprintf(mine, sizeof(mine), " %s", row->attributes);
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
        char name[64];
        snprintf(name, sizeof(name), " %.*s=", (int)strcspn(word, "="), word);
        if (!strstr(mine, name)) {
            check_refused(l, row, row->first, word);
            check_refused(l, row, row->last, word);
        }
    }
}

static void what_the_schemas_have(void **state) {
    (void)state;
    struct loaded l;
    loaded_init(&l);
    for (size_t i = 0; i < row_count; i++) {
        load_node(&l, &rows[i], rows[i].first, "");
        must_resolve(&l);
        load_node(&l, &rows[i], rows[i].last, "");
        must_resolve(&l);
        check_refused(&l, &rows[i], rows[i].last, "misspelt=1");
        for (size_t j = 0; j < row_count; j++) {
            if (j != i && strcmp(rows[j].type, rows[i].type) == 0) {
                check_others(&l, &rows[i], &rows[j]);
            }
        }
    }
    assert_true(row_count > 150);
    loaded_fini(&l);
}

static void twice(void **state) {
    (void)state;
    struct loaded l;
    loaded_init(&l);
    const struct row softmax = {.type = "Softmax", .attributes = "axis=1", .inputs = 1};
    load_node(&l, &softmax, 13, "axis=1");
    must_not_resolve(&l, MM_INVALID_MODEL,
                     "Softmax node that makes 'y': attribute axis is there "
                     "twice");
    const struct row relu = {.type = "Relu", .attributes = "", .inputs = 1};
    load_node(&l, &relu, 13, "axis=1 axis=1");
    must_not_resolve(&l, MM_INVALID_MODEL, "attribute axis, which it does not have in opset 13");
    loaded_fini(&l);
}

static void constants(void **state) {
    (void)state;
    struct loaded l;
    loaded_init(&l);
    const struct row constant = {.type = "Constant", .attributes = ""};
    load_node(&l, &constant, 12, "value_int=1");
    must_resolve(&l);
    check_refused(&l, &constant, 11, "value_int=1");
    check_refused(&l, &constant, 13, "number=1");
    loaded_fini(&l);
}

int main(int argc, char **argv) {
    assert_true(argc > 1);
    read_rows(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_schemas_have),
        cmocka_unit_test(twice),
        cmocka_unit_test(constants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
