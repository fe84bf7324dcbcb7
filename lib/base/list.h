/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BASE_LIST_H
#define MMI_BASE_LIST_H

/* Intrusive doubly linked list with a head that is a node. A node in no list points to itself. */

#include <stdbool.h>
#include <stddef.h>

struct mmi_list {
    struct mmi_list *prev, *next;
};

#define MMI_CONTAINER(pointer, type, member)                                                       \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline void mmi_list_init(struct mmi_list *node) {
    node->prev = node->next = node;
}
static inline bool mmi_list_empty(const struct mmi_list *head) {
    return head->next == head;
}
static inline bool mmi_list_linked(const struct mmi_list *node) {
    return node->next != node;
}
/* Insert before `at`; before the head is at the end. */
static inline void mmi_list_insert(struct mmi_list *at, struct mmi_list *node) {
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}
static inline void mmi_list_push_back(struct mmi_list *head, struct mmi_list *node) {
    mmi_list_insert(head, node);
}
static inline void mmi_list_remove(struct mmi_list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    mmi_list_init(node);
}
/* First node taken out, or NULL. */
static inline struct mmi_list *mmi_list_pop(struct mmi_list *head) {
    struct mmi_list *node = head->next;
    if (node == head) {
        return NULL;
    }
    mmi_list_remove(node);
    return node;
}
/* Move all nodes of `from` to the end of `to`. */
static inline void mmi_list_move_all(struct mmi_list *to, struct mmi_list *from) {
    if (!mmi_list_empty(from)) {
        from->next->prev = to->prev;
        to->prev->next = from->next;
        from->prev->next = to;
        to->prev = from->prev;
        mmi_list_init(from);
    }
}

/* for (struct mmi_list *n = head.next, *t = n->next; n != &head; n = t, t = n->next): the current
 * node may be removed in the body. */
#define MMI_LIST_EACH(node, head)                                                                  \
    for (struct mmi_list *node = (head)->next, *node##_next = node->next; node != (head);          \
         node = node##_next, node##_next = node->next)

#endif
