/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_PLUGIN_TABLES_H
#define TESTS_PLUGIN_TABLES_H

/* A registry in a world, and tables that do nothing. */

#include <plugin/list.h>
#include <support/world.h>

struct fixture {
    struct world world;
    struct mmi_pool *pool;
    struct mmi_registry *registry;
};
void fixture_init(struct fixture *fixture);
void fixture_fini(struct fixture *fixture); /* asserts that nothing leaked */

/* A table that passes every check. */
mm_backend plain_table(const char *name, const mm_format *formats, uint32_t format_count);

#endif
