/* SPDX-License-Identifier: Apache-2.0 */
#include <catalog/model.h>

#include <base/hash.h>

#include <string.h>

_Static_assert(sizeof(_Atomic uint64_t) == sizeof(uint64_t) &&
                   __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "a name is read as text too");

#define NAME_BYTES (MMI_NAME_WORDS * sizeof(uint64_t))
#define NO_NUMBER UINT32_MAX

static size_t segment_bytes(unsigned segment) {
    return ((size_t)MMI_FIRST_SEGMENT << segment) * sizeof(struct mmi_model);
}

mm_status mmi_catalog_init(struct mmi_catalog *catalog, const mm_allocator *alloc,
                           const struct mmi_catalog_config *config, mm_error *err) {
    memset(catalog, 0, sizeof(*catalog));
    catalog->alloc = alloc;
    catalog->first_free = NO_NUMBER;
    catalog->max_models = config->max_models;
    catalog->devices = config->devices;
    catalog->salt = config->salt;
    unsigned bits = config->generation_bits;
    catalog->max_generation = bits == 0 || bits >= 32 ? UINT32_MAX : (1u << bits) - 1;
    if (!mmi_names_init(&catalog->names, alloc)) {
        return mmi_fail(err, MM_NO_MEMORY, "catalog: out of memory");
    }
    return MM_OK;
}

static void free_kept(struct mmi_catalog *catalog) {
    for (uint32_t number = 0; number < catalog->made; number++) {
        struct mmi_model *model = mmi_catalog_number(catalog, number);
        if (model) { /* always */
            mmi_free(catalog->alloc, (void *)atomic_load(&model->long_name), NAME_BYTES);
            mmi_free(catalog->alloc, model->copies_memory,
                     catalog->devices * sizeof(struct mmi_hot));
        }
    }
}

void mmi_catalog_fini(struct mmi_catalog *catalog) {
    mmi_names_fini(&catalog->names);
    free_kept(catalog);
    for (unsigned i = 0; i < MMI_SEGMENTS; i++) {
        mmi_free(catalog->alloc, atomic_load(&catalog->segments[i]), segment_bytes(i));
        atomic_store(&catalog->segments[i], NULL);
    }
}

bool mmi_model_want_copies(struct mmi_catalog *catalog, struct mmi_model *model) {
    if (!model->copies_memory) {
        model->copies_memory = mmi_alloc(catalog->alloc, catalog->devices, sizeof(struct mmi_hot));
    }
    return model->copies_memory != NULL;
}

/* ---- Lock-free ------------------------------------------------------------------------------ */

struct name_query {
    const struct mmi_catalog *catalog;
    const char *name;
    size_t words;  /* before the last one; below MMI_NAME_SHORT: a short name */
    uint64_t last; /* what is left of the name, and zeros */
    uint64_t hash, id;
};

/* On the caller's bytes: reading back a fresh copy would stall. */
static uint64_t word_at(const struct name_query *query, size_t i) {
    uint64_t word = query->last;
    if (i < query->words) {
        memcpy(&word, query->name + i * sizeof(word), sizeof(word));
    }
    return word;
}

/* false: longer than any name. */
static bool ask_for(struct name_query *query, const struct mmi_catalog *catalog, const char *name) {
    size_t length = strnlen(name, NAME_BYTES);
    *query =
        (struct name_query){.catalog = catalog, .name = name, .words = length / sizeof(uint64_t)};
    for (size_t at = length, first = query->words * sizeof(uint64_t); at-- > first;) {
        query->last = query->last << 8 | (unsigned char)name[at];
    }
    query->hash = mmi_hash64(name, length, 0);
    return length < NAME_BYTES;
}

/* A word of a long name after its beginning. The memory may be of an earlier life, but then the
 * beginning is not that of a long name, which has no NUL. */
static bool same_end(const struct name_query *query, struct mmi_model *model) {
    _Atomic uint64_t *name = atomic_load_explicit(&model->long_name, memory_order_acquire);
    for (size_t i = MMI_NAME_SHORT; i <= query->words; i++) {
        if (!name || atomic_load_explicit(&name[i], memory_order_acquire) != word_at(query, i)) {
            return false;
        }
    }
    return true;
}

/* The id is read before and after the name: a model that changed hands meanwhile does not match.
 * Each load is ordered before the next; the writer stores id 0, the words, the new id. */
static bool same_name(void *ctx, uint32_t number) {
    struct name_query *query = ctx;
    struct mmi_model *model = mmi_catalog_number(query->catalog, number);
    query->id = atomic_load_explicit(&model->id, memory_order_acquire);
    for (size_t i = 0; i <= query->words && i < MMI_NAME_SHORT; i++) {
        if (atomic_load_explicit(&model->name[i], memory_order_acquire) != word_at(query, i)) {
            return false;
        }
    }
    if (query->words >= MMI_NAME_SHORT && !same_end(query, model)) {
        return false;
    }
    return query->id != 0 && atomic_load_explicit(&model->id, memory_order_relaxed) == query->id;
}

static uint32_t find_number(const struct mmi_catalog *catalog, struct name_query *query) {
    return mmi_names_find(&catalog->names, query->hash, same_name, query);
}

uint64_t mmi_catalog_find(const struct mmi_catalog *catalog, const char *name) {
    struct name_query query;
    bool found = ask_for(&query, catalog, name) && find_number(catalog, &query) != NO_NUMBER;
    return found ? query.id : 0;
}

/* ---- Under the lock ------------------------------------------------------------------------- */

struct mmi_model *mmi_catalog_get(const struct mmi_catalog *catalog, uint64_t id) {
    struct mmi_model *model = mmi_catalog_at(catalog, id);
    return model && id != 0 && atomic_load(&model->id) == id ? model : NULL;
}

mm_status mmi_catalog_no_model(uint64_t id, mm_error *err) {
    return mmi_fail(err, id ? MM_STALE_HANDLE : MM_INVALID_ARGUMENT,
                    id ? "the model of this handle was unregistered, or is of another mesh"
                       : "model: no handle");
}

struct mmi_model *mmi_catalog_next(const struct mmi_catalog *catalog,
                                   const struct mmi_model *model) {
    for (uint32_t number = model ? model->number + 1 : 0; number < catalog->made; number++) {
        struct mmi_model *next = mmi_catalog_number(catalog, number);
        if (atomic_load_explicit(&next->id, memory_order_relaxed) != 0) {
            return next;
        }
    }
    return NULL;
}

/* A free number: a returned one, else a new one. NULL = out of memory. */
static struct mmi_model *take_number(struct mmi_catalog *catalog) {
    if (catalog->first_free != NO_NUMBER) {
        struct mmi_model *model = mmi_catalog_number(catalog, catalog->first_free);
        catalog->first_free = model->next_free;
        return model;
    }
    uint32_t place;
    unsigned segment = mmi_catalog_segment(catalog->made, &place);
    if (segment >= MMI_SEGMENTS) {
        return NULL;
    }
    if (!atomic_load(&catalog->segments[segment])) {
        void *models = mmi_alloc_aligned(catalog->alloc, segment_bytes(segment), 64);
        if (!models) {
            return NULL;
        }
        atomic_store_explicit(&catalog->segments[segment], models, memory_order_release);
    }
    struct mmi_model *model = mmi_catalog_number(catalog, catalog->made);
    model->number = catalog->made++;
    model->generation = 1;
    return model;
}

static void give_number(struct mmi_catalog *catalog, struct mmi_model *model) {
    if (model->generation == catalog->max_generation) {
        return; /* another life could be taken for an old one */
    }
    model->generation++;
    model->next_free = catalog->first_free;
    catalog->first_free = model->number;
}

/* A new model starts with empty lists and counters. The atomics are stored one by one: stale
 * handles may read them. */
static void begin_life(struct mmi_model *model) {
    atomic_store(&model->hot.word, 0);
    atomic_store(&model->hot.slot, NULL);
    atomic_store(&model->copies, NULL);
    model->settings = (struct mmi_settings){.evict_class = 1, .replicas = 1};
    model->preload = model->held = false;
    model->superseded = 0;
    model->versions = 0;
    model->current = model->next = NULL;
    model->update = MMI_UPDATE_NONE;
    model->copy_until_ns = 0;
    mmi_list_init(&model->marked);
    mmi_list_init(&model->wanting);
    mmi_list_init(&model->waiters);
    mmi_list_init(&model->updating);
    mmi_list_init(&model->evicting);
    mmi_list_init(&model->parked);
    mmi_list_init(&model->instances);
    model->queued = 0;
    model->served = model->misses = model->granted = model->hits = 0;
    model->loads = model->evictions = model->failures = 0;
}

static bool has_room_for(struct mmi_catalog *catalog, struct mmi_model *model,
                         const struct name_query *query) {
    if (query->words >= MMI_NAME_SHORT && !atomic_load(&model->long_name)) {
        _Atomic uint64_t *name = mmi_alloc(catalog->alloc, 1, NAME_BYTES);
        atomic_store_explicit(&model->long_name, name, memory_order_release);
        return name != NULL;
    }
    return true;
}

/* The model is nobody's: its id is 0. */
static void store_name(struct mmi_model *model, const struct name_query *query) {
    for (size_t i = 0; i < MMI_NAME_SHORT; i++) { /* all: the last byte tells a long name */
        uint64_t word = i <= query->words ? word_at(query, i) : 0;
        atomic_store_explicit(&model->name[i], word, memory_order_release);
    }
    if (query->words >= MMI_NAME_SHORT) {
        _Atomic uint64_t *name = atomic_load(&model->long_name);
        for (size_t i = 0; i <= query->words; i++) {
            atomic_store_explicit(&name[i], word_at(query, i), memory_order_release);
        }
    }
}

mm_status mmi_catalog_add(struct mmi_catalog *catalog, const char *name, struct mmi_model **out,
                          mm_error *err) {
    struct name_query query;
    if (!ask_for(&query, catalog, name)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "model: its name is too long");
    }
    if (find_number(catalog, &query) != NO_NUMBER) {
        return mmi_fail(err, MM_EXISTS, "model %s: this name is registered already", name);
    }
    if (catalog->count >= catalog->max_models) {
        return mmi_fail(err, MM_OVERLOADED, "model %s: %llu models are registered, the limit is %u",
                        name, (unsigned long long)catalog->count, catalog->max_models);
    }
    struct mmi_model *model = mmi_names_reserve(&catalog->names) ? take_number(catalog) : NULL;
    if (!model) {
        return mmi_fail(err, MM_NO_MEMORY, "model %s: out of memory", name);
    }
    if (!has_room_for(catalog, model, &query)) {
        give_number(catalog, model);
        return mmi_fail(err, MM_NO_MEMORY, "model %s: out of memory", name);
    }
    begin_life(model);
    store_name(model, &query);
    uint32_t high = catalog->salt + model->generation;
    atomic_store(&model->id, ((uint64_t)high << 32) | (model->number + 1));
    mmi_names_add(&catalog->names, query.hash, model->number);
    catalog->count++;
    *out = model;
    return MM_OK;
}

void mmi_catalog_remove(struct mmi_catalog *catalog, struct mmi_model *model) {
    const char *name = mmi_model_name(model);
    mmi_names_remove(&catalog->names, mmi_hash64(name, strlen(name), 0), model->number);
    atomic_store(&model->id, 0);
    catalog->count--;
    give_number(catalog, model);
}
