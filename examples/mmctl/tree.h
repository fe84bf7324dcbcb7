/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMCTL_TREE_H
#define MMCTL_TREE_H

/* Any JSON text as a tree: what mm_model_report tells. */

#include <stdbool.h>
#include <stdint.h>

enum tree_kind { TREE_NULL, TREE_FALSE, TREE_TRUE, TREE_NUMBER, TREE_TEXT, TREE_LIST, TREE_OBJECT };

struct tree {
    enum tree_kind kind;
    const char *key;  /* in an object */
    const char *text; /* TEXT */
    uint64_t number;  /* NUMBER: a whole one; others are cut to one */
    uint32_t count;   /* LIST, OBJECT: children */
    struct tree *first, *next;
};

/* Takes the text apart where it lies, so it stays as long as the tree. NULL: no JSON, or no
 * memory; said on stderr. */
struct tree *read_tree(char *text);
void free_tree(struct tree *tree); /* NULL does nothing */

/* Of an object; what is not there is an empty tree, "" or 0. */
const struct tree *tree_member(const struct tree *tree, const char *key);
const char *tree_text(const struct tree *tree, const char *key);
uint64_t tree_number(const struct tree *tree, const char *key);
bool tree_true(const struct tree *tree, const char *key);

#endif
