/* SPDX-License-Identifier: Apache-2.0 */
#include "tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 64

struct parser {
    char *at;
    unsigned depth;
};

static struct tree *parse(struct parser *p);

static bool take(struct parser *p, char c) {
    p->at += strspn(p->at, " \t\r\n");
    if (*p->at != c) {
        return false;
    }
    p->at++;
    return true;
}

static char *put_letter(char *to, unsigned long code) {
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

/* Written over what was read, which is never shorter. NULL: no text. */
static char *parse_text(struct parser *p) {
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (!take(p, '"')) {
        return NULL;
    }
    char *text = p->at, *to = p->at;
    while (*p->at && *p->at != '"') {
        if (*p->at != '\\') {
            *to++ = *p->at++;
            continue;
        }
        char escaped = p->at[1];
        const char *name = escaped ? strchr(names, escaped) : NULL;
        if (name) {
            *to++ = meant[name - names];
            p->at += 2;
        } else if (escaped == 'u' && strlen(p->at) >= 6) {
            char digits[5] = {p->at[2], p->at[3], p->at[4], p->at[5], '\0'};
            to = put_letter(to, strtoul(digits, NULL, 16));
            p->at += 6;
        } else {
            return NULL;
        }
    }
    if (*p->at != '"') {
        return NULL;
    }
    p->at++;
    *to = '\0';
    return text;
}

/* Up to the bracket that ends it. */
static bool parse_children(struct parser *p, struct tree *tree, char end) {
    struct tree **last = &tree->first;
    for (bool first = true; !take(p, end); first = false) {
        char *key = NULL;
        if (!first && !take(p, ',')) {
            return false;
        }
        if (tree->kind == TREE_OBJECT) {
            key = parse_text(p);
            if (!key || !take(p, ':')) {
                return false;
            }
        }
        *last = parse(p);
        if (!*last) {
            return false;
        }
        (*last)->key = key;
        last = &(*last)->next;
        tree->count++;
    }
    return true;
}

static bool parse_word(struct parser *p, struct tree *tree) {
    static const struct {
        const char *word;
        enum tree_kind kind;
    } words[] = {{"null", TREE_NULL}, {"false", TREE_FALSE}, {"true", TREE_TRUE}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t length = strlen(words[i].word);
        if (strncmp(p->at, words[i].word, length) == 0) {
            tree->kind = words[i].kind;
            p->at += length;
            return true;
        }
    }
    char *end;
    tree->kind = TREE_NUMBER;
    tree->number = strtoull(p->at, &end, 10);
    bool good = end != p->at;
    p->at = end + strspn(end, "0123456789.eE+-"); /* what makes it no whole one */
    return good;
}

static bool parse_into(struct parser *p, struct tree *tree) {
    if (take(p, '{')) {
        tree->kind = TREE_OBJECT;
        return parse_children(p, tree, '}');
    }
    if (take(p, '[')) {
        tree->kind = TREE_LIST;
        return parse_children(p, tree, ']');
    }
    if (*p->at == '"') {
        tree->kind = TREE_TEXT;
        tree->text = parse_text(p);
        return tree->text != NULL;
    }
    return parse_word(p, tree);
}

static struct tree *parse(struct parser *p) {
    struct tree *tree = calloc(1, sizeof(*tree));
    bool good = tree && ++p->depth <= MAX_DEPTH && parse_into(p, tree);
    p->depth--;
    if (!good) {
        free_tree(tree);
        return NULL;
    }
    return tree;
}

struct tree *read_tree(char *text) {
    struct parser p = {.at = text};
    struct tree *tree = parse(&p);
    if (!tree) {
        fprintf(stderr, "mmctl: the backend's report is no JSON, or there is no memory for it\n");
    }
    return tree;
}

void free_tree(struct tree *tree) {
    while (tree) {
        struct tree *next = tree->next;
        free_tree(tree->first);
        free(tree);
        tree = next;
    }
}

const struct tree *tree_member(const struct tree *tree, const char *key) {
    static const struct tree none = {.text = ""};
    for (const struct tree *at = tree->first; at; at = at->next) {
        if (at->key && strcmp(at->key, key) == 0) {
            return at;
        }
    }
    return &none;
}

const char *tree_text(const struct tree *tree, const char *key) {
    const char *text = tree_member(tree, key)->text;
    return text ? text : "";
}

uint64_t tree_number(const struct tree *tree, const char *key) {
    return tree_member(tree, key)->number;
}

bool tree_true(const struct tree *tree, const char *key) {
    return tree_member(tree, key)->kind == TREE_TRUE;
}
