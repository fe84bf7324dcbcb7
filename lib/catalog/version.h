/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_CATALOG_VERSION_H
#define MMI_CATALOG_VERSION_H

/* One version of a model: its content, and what was found out about it.
 *
 * A version is prepared once for each kind of device that asks for another layout: a build. A build
 * serves every kind whose layout text is the same, so most versions have one. The chart of a build:
 *
 *   UNPREPARED --> PREPARING --> PREPARED          the description is open
 *        ^             |  |          |
 *        |             |  +-> BAD ---+--> PREPARING   (the error holds until its time)
 *        +-------------+-------------+
 *   PREPARING -> UNPREPARED: cancelled. PREPARED -> UNPREPARED: the description was closed for lack
 *   of room; the key is kept, so the way back is short.
 *
 * Everything here is under the residency lock, but for mmi_build_open and mmi_opened_close, which
 * take long and want no lock. What an mmi_opened shows stays as it is while it has users. */

#include <artifact/store.h>
#include <base/list.h>
#include <base/lock.h>
#include <catalog/signature.h>
#include <catalog/spec.h>
#include <plugin/registry.h>
#include <source/source.h>

#include <stdatomic.h>

enum mmi_build_state {
    MMI_BUILD_UNPREPARED,
    MMI_BUILD_PREPARING,
    MMI_BUILD_PREPARED,
    MMI_BUILD_BAD
};

/* An open description. It stays while it has users, also when its build has another by now. */
struct mmi_opened {
    struct mmi_build *build; /* each user holds a reference to its version */
    uint32_t users;
    struct mmi_list closing; /* residency's */
    struct mmi_backend *backend;
    const mm_format *format;
    struct mmi_artifact *artifact;
    mm_artifact view; /* what the backend was given; its address stays */
    void *state;      /* the backend's, table->model_bytes */
    mm_description description;
    struct mmi_signatures *signatures[MMI_DEVICE_KINDS]; /* by mmi_kind_index; NULL: not for it */
    uint64_t io_hash;    /* of names, types and shapes of inputs and outputs */
    uint64_t host_bytes; /* of all this but the signatures */
};

/* Host memory of a description and its signatures. */
uint64_t mmi_opened_bytes(const struct mmi_opened *opened);

/* A failure that is remembered, with growing back-off. */
struct mmi_failure {
    int32_t status;    /* MM_OK = none */
    uint16_t count;    /* in a row, no further than 65,535 */
    bool fresh;        /* who waited when it happened was not told yet: it holds until then */
    mm_error *error;   /* NULL: there was no memory for it */
    uint64_t until_ns; /* doubled from each to the next */
};

struct mmi_build {
    struct mmi_version *version;
    uint32_t kinds; /* mm_device_kind, or'ed; 0: a version's first build before it was prepared */
    enum mmi_build_state state;
    int32_t preparing_kind; /* PREPARING: for which kind */
    _Atomic uint32_t prepare_permille;
    struct mmi_failure failure;  /* BAD */
    struct mmi_opened *opened;   /* PREPARED only */
    struct mmi_list closable;    /* linked: PREPARED without users, least recently used first */
    uint64_t closable_bytes;     /* counted while linked */
    _Atomic uint64_t read_bytes; /* PREPARING: of the source, so far */
    _Atomic bool unwanted;       /* PREPARING: the last who wanted it cancelled; it may stop */
    /* Found out once, kept when the description is closed. */
    bool keyed; /* `target`, with the version's content, finds the artifact */
    bool bare;  /* the backend has no prepare: there is no key */
    bool activation_expected, activation_measured;
    struct mmi_hash target;
    uint64_t weights_bytes;
    uint64_t own_bytes; /* estimate, then as measured */
    /* the backend's estimate, then what requests before the first run will need, then the
     * high-water mark */
    uint64_t activation_bytes;
    uint64_t prepare_ns; /* of the last one */
};

/* Has the source still the content? Asked before a load where the settings say so. */
enum mmi_source_state {
    MMI_SOURCE_UNKNOWN,
    MMI_SOURCE_CHECKING,
    MMI_SOURCE_SAME,   /* a moment ago: good for the load that asked */
    MMI_SOURCE_CHANGED /* and is to be followed */
};

struct mmi_version {
    uint32_t refs;        /* the model, users of descriptions, work that was handed out */
    uint32_t build_count; /* >= 1 */
    uint64_t number;
    struct mmi_spec *spec;
    struct mmi_settings settings; /* become the model's when this version does */
    /* An update, before it begins: the number of the version that it says the rest of; 0: of none.
     * The class is that one's if keeps_class, and it is pinned if that one is. */
    uint64_t base;
    struct mmi_build *builds[MMI_DEVICE_KINDS]; /* [build_count] */
    struct mmi_build first;
    struct mmi_build *others; /* memory of those after the first; NULL: there is one for all */
    bool keeps_class, content_known;
    _Atomic bool abandoned; /* nobody wants it any more: a preparation may stop */
    uint8_t source;         /* enum mmi_source_state */
    struct mmi_hash content;
    char *siblings; /* that belong to it: names, each with its NUL; NULL: none */
    uint64_t siblings_bytes;
    struct mmi_failure follow; /* FOLLOW: what replaced the content cannot be had; this serves on */
    struct mmi_failure failure; /* of the last load */
    struct mmi_failure refusal; /* a load was refused, and nobody was told yet */
    uint64_t load_ns;           /* of the last one */
    struct mmi_list copies;     /* residency's: instances of it that are not NONE */
    struct mmi_list dropping;   /* residency's */
};

/* The build for devices of a kind: the one that says so, a first build that does not know its kinds
 * yet, else a new one. The builds' kinds never overlap. Cannot fail. */
struct mmi_build *mmi_version_build(struct mmi_version *version, int32_t kind);
/* A PREPARED build, whose description is as good as any for inputs and outputs; NULL = none. */
struct mmi_build *mmi_version_described(struct mmi_version *version);

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

/* What one preparation found out; mmi_build_commit moves it into the build. */
struct mmi_prepared {
    struct mmi_opened *opened;
    uint32_t kinds;         /* the one asked for and all that have its layout */
    bool keyed, bare, made; /* made: the backend's prepare ran */
    struct mmi_key key;
    struct mmi_build *others; /* a version's first build that does not serve the whole mesh: memory
                                 for the others, mmi_builds_new; else NULL */
    char *siblings;           /* NULL: none, or the version has them */
    uint64_t siblings_bytes;
};
/* NULL = out of memory. */
struct mmi_build *mmi_builds_new(const mm_allocator *alloc);

/* What preparing needs from the mesh. */
struct mmi_preparer {
    const struct mmi_env *env;
    struct mmi_registry *registry;
    struct mmi_store *store;
    uint32_t max_signatures;
    uint32_t kinds; /* of the mesh's devices, or'ed */
    /* A byte limit on sources being prepared at once; one always may. */
    struct mmi_lock lock;
    struct mmi_cond freed;
    uint64_t budget_bytes, active_bytes;
};
void mmi_preparer_init(struct mmi_preparer *preparer);
void mmi_preparer_fini(struct mmi_preparer *preparer);
/* What is being prepared may be cancelled now: who waits for the byte limit asks again. */
void mmi_preparer_look(struct mmi_preparer *preparer);

/* Told and asked while preparing. */
struct mmi_prepare_watch {
    bool (*cancelled)(void *user);
    void (*progress)(void *user, uint32_t permille);
    void (*read)(void *user, uint64_t bytes); /* so many more bytes of the source were read */
    void *user;
    bool only_find; /* MM_NONE where there is no artifact yet, instead of preparing one */
};

/* Source -> key -> artifact -> open description, for devices of one kind. Blocks. One at a time per
 * version. Reads the spec, the content and what was found out. A known content that changed is
 * MM_SOURCE_CHANGED. A backend that does not run on devices of that kind prepares for another one:
 * of the mesh's if it runs on any of them; prepared->kinds says for which. */
mm_status mmi_build_open(struct mmi_preparer *preparer, const struct mmi_build *build, int32_t kind,
                         const struct mmi_prepare_watch *watch, struct mmi_prepared *prepared,
                         mm_error *err);
/* Has the source the content of the version, which is known? MM_OK; MM_SOURCE_CHANGED; or why that
 * cannot be told. Blocks: looks at identities, reads what these do not tell. */
mm_status mmi_version_compare(struct mmi_preparer *preparer, const struct mmi_version *version,
                              const struct mmi_prepare_watch *watch, mm_error *err);
void mmi_opened_close(const mm_allocator *alloc, struct mmi_opened *opened); /* NULL is fine */

/* Under the lock: PREPARING -> PREPARED. Kinds that another build has stay with it. */
void mmi_build_commit(struct mmi_build *build, const struct mmi_prepared *prepared);

#endif
