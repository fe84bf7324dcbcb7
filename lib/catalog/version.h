/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_CATALOG_VERSION_H
#define MMI_CATALOG_VERSION_H

/* One version of a model: its content, and what is known of it.
 *
 *   UNPREPARED --> PREPARING --> PREPARED          the description is open
 *        ^             |  |          |
 *        |             |  +-> BAD ---+--> PREPARING   (the error holds until its time)
 *        +-------------+-------------+
 *   PREPARING -> UNPREPARED: cancelled. PREPARED -> UNPREPARED: the description was closed for lack
 *   of room; the key is kept, so the way back is short.
 *
 * Everything here is under the residency lock, except mmi_version_open, mmi_prepared_discard and
 * mmi_opened_close, which take long and are called without it. An mmi_opened does not change while
 * it has users. */

#include <artifact/store.h>
#include <base/list.h>
#include <base/lock.h>
#include <catalog/signature.h>
#include <catalog/spec.h>
#include <source/source.h>
#include <plugin/registry.h>

#include <stdatomic.h>

enum mmi_version_state {
    MMI_VERSION_UNPREPARED,
    MMI_VERSION_PREPARING,
    MMI_VERSION_PREPARED,
    MMI_VERSION_BAD
};

/* An open description. It lives while it has users, even if its version has another one by now. */
struct mmi_opened {
    struct mmi_version *version; /* each user holds a reference to it */
    uint32_t users;
    struct mmi_list closing; /* residency's */
    struct mmi_backend *backend;
    const mm_format *format;
    struct mmi_artifact *artifact;
    mm_artifact view; /* what the backend was given; its address stays */
    void *state;      /* the backend's, table->model_bytes */
    mm_description description;
    struct mmi_signatures *signatures;
    uint64_t io_hash;    /* of names, types and shapes of inputs and outputs */
    uint64_t host_bytes; /* of all this but the signatures */
};

/* A failure that is remembered, with growing back-off. */
struct mmi_failure {
    int32_t status;  /* MM_OK = none */
    mm_error *error; /* NULL: there was no memory for it */
    uint64_t until_ns, delay_ns;
    uint64_t count; /* in a row */
};

struct mmi_version {
    uint32_t refs; /* the model, users of descriptions, jobs */
    uint64_t number;
    struct mmi_spec *spec;
    struct mmi_settings settings; /* become the model's when this version does */
    enum mmi_version_state state;
    struct mmi_failure failure; /* BAD, or of the last load */
    struct mmi_opened *opened;  /* PREPARED only */
    struct mmi_list closable;   /* linked: PREPARED without users, least recently used first */
    uint64_t closable_bytes;    /* counted while linked */
    _Atomic bool abandoned;     /* no longer needed: a preparation may stop */
    _Atomic uint32_t prepare_permille;
    /* Kept when the description is closed. */
    bool keyed;
    bool bare; /* the backend has no prepare: there is no key */
    struct mmi_key key;
    uint64_t weights_bytes;
    uint64_t own_bytes; /* estimate, then as measured */
    /* the backend's estimate, then what requests before the first run will need, then the
     * high-water mark */
    uint64_t activation_bytes;
    bool activation_expected, activation_measured;
    uint64_t prepare_ns, load_ns;  /* of the last one */
    struct mmi_instance *instance; /* residency's: not NONE; NULL = none */
};

struct mmi_version *mmi_version_new(const mm_allocator *alloc, const struct mmi_spec *spec,
                                    uint64_t number); /* copies; refs 1; NULL = out of memory */
/* refs is 0 and there is no instance; calls the backend when it is open: no lock. */
void mmi_version_free(const mm_allocator *alloc, struct mmi_version *version);

/* Remember a failure at now; its error gets retry_after_ns. */
void mmi_failure_set(const mm_allocator *alloc, struct mmi_failure *failure, const mm_error *error,
                     uint64_t now_ns, uint64_t first_ns, uint64_t max_ns);
void mmi_failure_clear(const mm_allocator *alloc, struct mmi_failure *failure);
/* The remembered error as of now; its status. */
mm_status mmi_failure_get(const struct mmi_failure *failure, uint64_t now_ns, mm_error *err);

/* ---- Without a lock ------------------------------------------------------------------------- */

/* The result of one preparation; mmi_version_commit moves it into the version. */
struct mmi_prepared {
    struct mmi_opened *opened;
    bool keyed, bare, made; /* made: the backend's prepare ran */
    struct mmi_key key;
};

/* What preparing needs from the mesh. */
struct mmi_preparer {
    const struct mmi_env *env;
    struct mmi_registry *registry;
    struct mmi_store *store;
    int32_t device_kind; /* that artifacts are made for */
    uint32_t max_signatures;
    /* A byte limit on sources being prepared at once; one always may. */
    struct mmi_lock lock;
    pthread_cond_t freed;
    uint64_t budget_bytes, active_bytes;
};
void mmi_preparer_init(struct mmi_preparer *preparer);
void mmi_preparer_fini(struct mmi_preparer *preparer);

/* Callbacks during a preparation. */
struct mmi_prepare_watch {
    bool (*cancelled)(void *user);
    void (*progress)(void *user, uint32_t permille);
    void *user;
};

/* Source -> key -> artifact -> open description. Blocks. One at a time per version (PREPARING).
 * Reads spec and the key of the version. A known content that changed is MM_SOURCE_CHANGED. */
mm_status mmi_version_open(struct mmi_preparer *preparer, const struct mmi_version *version,
                           const struct mmi_prepare_watch *watch, struct mmi_prepared *prepared,
                           mm_error *err);
void mmi_opened_close(const mm_allocator *alloc, struct mmi_opened *opened); /* NULL is fine */

/* Under the lock: PREPARING -> PREPARED. */
void mmi_version_commit(struct mmi_version *version, const struct mmi_prepared *prepared);

#endif
