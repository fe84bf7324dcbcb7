/* SPDX-License-Identifier: Apache-2.0 */
#include <plugin/list.h>

#include <string.h>

/* How strongly a format answers a query in one respect; 0 = not at all. The strongest wins. */
typedef size_t match_fn(const mm_format *format, const struct mmi_format_query *query);

static size_t by_name(const mm_format *format, const struct mmi_format_query *query) {
    return strcmp(format->name, query->format) == 0;
}

static size_t by_suffix(const mm_format *format, const struct mmi_format_query *query) {
    size_t length = format->suffix ? strlen(format->suffix) : 0;
    size_t have = query->name ? strlen(query->name) : 0;
    bool fits = length > 0 && length <= have &&
                memcmp(query->name + have - length, format->suffix, length) == 0;
    return fits ? length : 0;
}

static size_t by_magic(const mm_format *format, const struct mmi_format_query *query) {
    size_t length = format->magic_bytes;
    bool fits = length > 0 && length <= query->head_bytes &&
                memcmp(query->head, format->magic, length) == 0;
    return fits ? length : 0;
}

static size_t has_magic(const mm_format *format, const struct mmi_format_query *query) {
    (void)query;
    return format->magic_bytes;
}

/* The backend was named and has this one format: nothing is left to choose. */
static size_t by_default(const mm_format *format, const struct mmi_format_query *query) {
    (void)format;
    return query->backend != NULL;
}

struct choice {
    struct mmi_backend *best, *rival; /* two backends with one claim: rival is not NULL */
    const mm_format *format;
    size_t strength;
};

/* Among the formats of one backend that are equally strong the first one counts. */
static void consider(struct choice *choice, struct mmi_backend *backend, const mm_format *format,
                     size_t strength) {
    if (strength > choice->strength) {
        *choice = (struct choice){backend, NULL, format, strength};
    } else if (strength > 0 && strength == choice->strength && backend != choice->best) {
        choice->rival = backend;
    }
}

static bool is_candidate(const struct mmi_registry_entry *entry,
                         const struct mmi_format_query *query) {
    return entry->ready &&
           (!query->backend || strcmp(entry->backend.table->name, query->backend) == 0);
}

/* One format, in however many rows. */
static bool has_one(const mm_backend *table) {
    bool one = table->format_count > 0;
    for (uint32_t i = 1; i < table->format_count; i++) {
        one &= strcmp(table->formats[i].name, table->formats[0].name) == 0;
    }
    return one;
}

static struct choice choose(struct mmi_registry *registry, const struct mmi_format_query *query,
                            match_fn *match) {
    struct choice choice = {0};
    MMI_LIST_EACH(node, &registry->entries) {
        struct mmi_registry_entry *entry = MMI_CONTAINER(node, struct mmi_registry_entry, link);
        const mm_backend *table = entry->backend.table;
        bool asked = is_candidate(entry, query) && (match != by_default || has_one(table));
        for (uint32_t i = 0; asked && i < table->format_count; i++) {
            consider(&choice, &entry->backend, &table->formats[i],
                     match(&table->formats[i], query));
        }
    }
    return choice;
}

static mm_status not_found(struct mmi_registry *registry, const struct mmi_format_query *query,
                           mm_error *err) {
    bool known = false;
    MMI_LIST_EACH(node, &registry->entries) {
        known |= is_candidate(MMI_CONTAINER(node, struct mmi_registry_entry, link), query);
    }
    if (query->backend && !known) {
        return mmi_fail(err, MM_NOT_FOUND, "no backend is named %s", query->backend);
    }
    const char *who = query->backend ? query->backend : "no backend";
    const char *verb = query->backend ? "does not know" : "knows";
    if (query->format) {
        return mmi_fail(err, MM_NOT_FOUND, "%s %s the format %s", who, verb, query->format);
    }
    return mmi_fail(err, MM_NOT_FOUND, "%s %s the format of %s, by its name or its first bytes",
                    who, verb, query->name && query->name[0] ? query->name : "the data");
}

/* In this order: the format's name and nothing else; or suffix, the only format of a named backend,
 * magic. */
static mm_status decide(struct mmi_registry *registry, const struct mmi_format_query *query,
                        struct choice *choice, mm_error *err) {
    if (query->format) {
        *choice = choose(registry, query, by_name);
    } else {
        *choice = choose(registry, query, by_suffix);
        if (!choice->best) {
            *choice = choose(registry, query, by_default);
        }
        if (!choice->best && !query->head && choose(registry, query, has_magic).best) {
            return mmi_fail(err, MM_NONE, "the name %s does not tell the format",
                            query->name ? query->name : "(none)");
        }
        if (!choice->best) {
            *choice = choose(registry, query, by_magic);
        }
    }
    if (!choice->best) {
        return not_found(registry, query, err);
    }
    if (choice->rival) {
        return mmi_fail(err, MM_AMBIGUOUS, "%s: the backends %s and %s both claim it (format %s)",
                        query->name ? query->name : "the data", choice->best->table->name,
                        choice->rival->table->name, choice->format->name);
    }
    return MM_OK;
}

mm_status mmi_registry_find(struct mmi_registry *registry, const struct mmi_format_query *query,
                            struct mmi_backend **backend, const mm_format **format, mm_error *err) {
    struct choice choice;
    mmi_lock(&registry->lock);
    mm_status status = decide(registry, query, &choice, err);
    mmi_unlock(&registry->lock);
    if (status == MM_OK) {
        *backend = choice.best;
        *format = choice.format;
    }
    return status;
}
