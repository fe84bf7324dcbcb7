/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_CATALOG_MODEL_H
#define MMI_CATALOG_MODEL_H

/* What is registered: models by handle and by name.
 *
 * A handle's id is {salt of the mesh + generation: high 32, number + 1: low 32}, so that a handle
 * of another mesh is as stale as one of an earlier life. Models lie in segments that never move, so
 * a handle leads to its model without a lock, however stale it is; whoever got there compares ids.
 * A number whose generations are used up is never given again.
 *
 * Atomic fields are read by anyone. Everything else, and every function not said to be lock-free,
 * is under the residency lock. */

#include <base/heap.h>
#include <catalog/names.h>
#include <catalog/version.h>

struct mmi_slot;

#define MMI_NAME_WORDS 32u /* 255 bytes and a NUL ... */
#define MMI_NAME_SHORT 8u  /* ... and of a short name 63 */

/* Where to try for a lease, and the word that grants it; 0 = not resident. */
struct mmi_hot {
    struct mmi_slot *_Atomic slot;
    _Atomic uint64_t word;
};

/* An update that goes on. */
enum mmi_update_state {
    MMI_UPDATE_NONE,
    MMI_UPDATE_BESIDE,            /* the new version loads beside the old */
    MMI_UPDATE_BESIDE_OR_REPLACE, /* the same; the old may leave first if both do not fit */
    MMI_UPDATE_FOLLOW,            /* BESIDE, of a source that changed; a cold model is not loaded */
    MMI_UPDATE_REPLACE            /* the old leaves, or left, before the new one loads */
};

struct mmi_model {
    /* The way of a hit. */
    _Alignas(64) _Atomic uint64_t id; /* 0 = nobody */
    struct mmi_hot hot;               /* residency's: the only copy, or one of them */
    struct mmi_hot *_Atomic copies;   /* [devices]: all of them; NULL: at most one */

    /* A short name, NUL-terminated, or the beginning of a long one, which is then whole in
     * long_name. Readers without the lock compare words, and the id before and after: it stays
     * while the name does, and no two lives share one. */
    _Atomic uint64_t name[MMI_NAME_SHORT];
    _Atomic uint64_t *_Atomic long_name; /* [MMI_NAME_WORDS], kept for the number's next tenants;
                                            NULL: none of them had one */

    uint32_t number;
    uint32_t generation;
    uint32_t next_free;
    uint32_t queued; /* waiters in its lists, or for scratch */
    enum mmi_update_state update;
    bool preload;       /* load it although nobody waits */
    bool held;          /* the update waits until the current version is there, or failed */
    uint8_t superseded; /* versions in a row that were given up while requests waited for them */
    struct mmi_settings settings;
    uint64_t versions; /* numbers given so far */

    struct mmi_version *current; /* never NULL while registered */
    struct mmi_version *next;    /* of an update that goes on; else NULL */

    /* Residency's. */
    struct mmi_list marked;        /* to be looked at by the scheduler */
    struct mmi_list waiters;       /* requests and ops that wait for it, highest priority first */
    struct mmi_list updating;      /* those that wait for the switch */
    struct mmi_list evicting;      /* those that wait until no instance is left */
    struct mmi_list instances;     /* of all its versions */
    struct mmi_list parked;        /* operations that wait for a thread and have no lease */
    struct mmi_hot *copies_memory; /* of `copies`, kept for the number's next tenants */
    uint64_t copy_until_ns;        /* no further copy is tried before ... */
    struct mmi_list wanting;       /* ... and it is looked at when memory becomes free after that */

    uint64_t served;  /* leases given back by instances that are gone */
    uint64_t misses;  /* requests that came when it was not resident ... */
    uint64_t granted; /* ... and got a lease in the end */
    uint64_t hits;    /* as last told */
    uint64_t loads, evictions, failures;
};

/* Segment k holds 64 << k models: numbers 64 * (2^k - 1) and up. */
#define MMI_FIRST_SEGMENT 64u
#define MMI_SEGMENTS 20u

struct mmi_catalog {
    const mm_allocator *alloc;
    struct mmi_names names;
    struct mmi_model *_Atomic segments[MMI_SEGMENTS];
    uint32_t made;       /* numbers given out so far */
    uint32_t first_free; /* UINT32_MAX = none */
    uint64_t count;      /* registered now */
    uint32_t max_models, devices;
    uint32_t max_generation;
    uint32_t salt;
};

struct mmi_catalog_config {
    uint32_t max_models;
    uint32_t devices;         /* the most copies of a model */
    unsigned generation_bits; /* 1 .. 32, 0 = 32 */
    uint32_t salt;            /* tells the handles of this catalog from those of others */
};
mm_status mmi_catalog_init(struct mmi_catalog *catalog, const mm_allocator *alloc,
                           const struct mmi_catalog_config *config, mm_error *err);
void mmi_catalog_fini(struct mmi_catalog *catalog); /* no model is left, no reader either */

/* A new model with this name, 255 bytes at most; no version yet, lists and counters are empty.
 * MM_EXISTS, MM_NO_MEMORY, MM_OVERLOADED (max_models), MM_INVALID_ARGUMENT (the name). */
mm_status mmi_catalog_add(struct mmi_catalog *catalog, const char *name, struct mmi_model **model,
                          mm_error *err);
/* Memory for more than one copy. false = out of memory. */
bool mmi_model_want_copies(struct mmi_catalog *catalog, struct mmi_model *model);
/* Its versions are gone. The handle and the name are void from now on. Never fails, allocates
 * nothing. */
void mmi_catalog_remove(struct mmi_catalog *catalog, struct mmi_model *model);

static inline unsigned mmi_catalog_segment(uint32_t number, uint32_t *place) {
    uint32_t scaled = number / MMI_FIRST_SEGMENT + 1;
    unsigned segment = 31u - (unsigned)__builtin_clz(scaled);
    *place = number - MMI_FIRST_SEGMENT * ((1u << segment) - 1);
    return segment;
}
static inline struct mmi_model *mmi_catalog_number(const struct mmi_catalog *catalog,
                                                   uint32_t number) {
    uint32_t place;
    unsigned segment = mmi_catalog_segment(number, &place);
    if (segment >= MMI_SEGMENTS) {
        return NULL;
    }
    struct mmi_model *models =
        atomic_load_explicit(&catalog->segments[segment], memory_order_acquire);
    return models ? &models[place] : NULL;
}
/* Lock-free. The model that lies under this number, whose id may be another by now; NULL = there
 * was never one. */
static inline struct mmi_model *mmi_catalog_at(const struct mmi_catalog *catalog, uint64_t id) {
    uint32_t low = (uint32_t)id;
    return low == 0 ? NULL : mmi_catalog_number(catalog, low - 1);
}
/* Lock-free. 0 = no model has this name. */
uint64_t mmi_catalog_find(const struct mmi_catalog *catalog, const char *name);
/* The model of a handle, or NULL when it is stale. */
struct mmi_model *mmi_catalog_get(const struct mmi_catalog *catalog, uint64_t id);
/* Why there is no model of this id: MM_STALE_HANDLE; MM_INVALID_ARGUMENT for 0. */
mm_status mmi_catalog_no_model(uint64_t id, mm_error *err);
/* Walk: the model with the next higher number; NULL at the end. Start with NULL. */
struct mmi_model *mmi_catalog_next(const struct mmi_catalog *catalog,
                                   const struct mmi_model *model);

static inline const char *mmi_model_name(const struct mmi_model *model) {
    const char *name = (const char *)model->name; /* it changes under the lock only */
    bool is_long = name[sizeof(model->name) - 1] != '\0';
    return is_long ? (const char *)atomic_load_explicit(&model->long_name, memory_order_relaxed)
                   : name;
}

#endif
