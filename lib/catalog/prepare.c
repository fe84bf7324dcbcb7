/* SPDX-License-Identifier: Apache-2.0 */
/* Source -> key -> artifact -> open description.
 *
 *   1. choose the backend, by the spec and the name, else by the first bytes
 *   2. the artifact is known by its key: take it from the store
 *   3. else find the content of the source: remembered by identity, or read and hashed
 *   4. the store has that content: take it; else let the backend make it
 *   5. open the description
 */
#include <catalog/content.h>

#include <base/checked.h>
#include <base/hash.h>
#include <plugin/status.h>

#include <string.h>

#define MAX_VALUES 65536u

struct preparation {
    struct mmi_preparer *preparer;
    const struct mmi_version *version;
    const struct mmi_prepare_watch *watch;
    struct mmi_source_watch source_watch;
    int32_t kind;              /* that it is prepared for ... */
    uint32_t kinds;            /* ... and all that it is good for */
    struct mmi_source *source; /* NULL until somebody needs it */
    struct mmi_backend *backend;
    const mm_format *format;
    struct mmi_artifact *artifact;
    struct mmi_key key;
    bool made;
};

void mmi_preparer_init(struct mmi_preparer *preparer) {
    mmi_lock_init(&preparer->lock, MMI_RANK_PREPARE);
    mmi_cond_init(&preparer->freed, preparer->env);
}

void mmi_preparer_fini(struct mmi_preparer *preparer) {
    mmi_cond_fini(&preparer->freed);
    mmi_lock_fini(&preparer->lock);
}

/* ---- The byte limit ------------------------------------------------------------------------- */

static mm_status begin_bytes(struct preparation *p, uint64_t bytes, mm_error *err) {
    struct mmi_preparer *preparer = p->preparer;
    bool cancelled;
    mmi_lock(&preparer->lock);
    while (!(cancelled = p->watch->cancelled(p->watch->user)) && preparer->active_bytes > 0 &&
           mmi_add_cap(preparer->active_bytes, bytes) > preparer->budget_bytes) {
        mmi_cond_wait(&preparer->freed, &preparer->lock, &preparer->env->clock, 0);
    }
    preparer->active_bytes = mmi_add_cap(preparer->active_bytes, cancelled ? 0 : bytes);
    mmi_unlock(&preparer->lock);
    return cancelled ? mmi_fail(err, MM_CANCELLED, "cancelled before it was prepared") : MM_OK;
}

void mmi_preparer_look(struct mmi_preparer *preparer) {
    mmi_lock(&preparer->lock);
    mmi_cond_broadcast(&preparer->freed);
    mmi_unlock(&preparer->lock);
}

static void end_bytes(struct mmi_preparer *preparer, uint64_t bytes) {
    mmi_lock(&preparer->lock);
    preparer->active_bytes = mmi_sub_floor(preparer->active_bytes, bytes);
    mmi_cond_broadcast(&preparer->freed);
    mmi_unlock(&preparer->lock);
}

/* ---- 1. Backend and source ------------------------------------------------------------------ */

static mm_status need_source(struct preparation *p, mm_error *err) {
    if (p->source) {
        return MM_OK;
    }
    struct mmi_spec *spec = p->version->spec;
    MMI_TRY(mmi_source_open(p->preparer->env, spec->source, &spec->memory, &p->source, err));
    p->source_watch =
        (struct mmi_source_watch){p->watch->cancelled, p->watch->read, p->watch->user};
    mmi_source_watch(p->source, &p->source_watch);
    return MM_OK;
}

static mm_status choose_backend(struct preparation *p, mm_error *err) {
    const struct mmi_spec *spec = p->version->spec;
    struct mmi_format_query query = {
        .backend = spec->backend, .format = spec->format, .name = spec->source ? spec->source : ""};
    mm_status status =
        mmi_registry_find(p->preparer->registry, &query, &p->backend, &p->format, err);
    if (status != MM_NONE) {
        return status;
    }
    MMI_TRY(need_source(p, err));
    const mm_source *reader = mmi_source_reader(p->source);
    unsigned char head[MMI_FORMAT_HEAD_BYTES];
    query.head = head;
    query.head_bytes = (size_t)mmi_min_u64(sizeof(head), reader->bytes);
    MMI_TRY(reader->read(reader->ctx, 0, head, query.head_bytes, err));
    if (spec->source) {
        query.name = mmi_source_path(p->source);
    }
    return mmi_registry_find(p->preparer->registry, &query, &p->backend, &p->format, err);
}

static struct mmi_hash target_of(const struct preparation *p, int32_t kind) {
    const mm_backend *table = p->backend->table;
    const char *layout = table->layout ? table->layout(p->backend->state, kind) : "";
    return mmi_target_hash(table->name, table->version, layout, p->version->spec->config);
}

static int32_t lowest_kind(uint32_t kinds) {
    return (int32_t)(kinds & (~kinds + 1));
}

/* The kind to prepare for, and what else has the same layout. */
static void choose_kinds(struct preparation *p, int32_t asked) {
    uint32_t runs_on = p->backend->table->device_kinds;
    uint32_t usable = runs_on & p->preparer->kinds;
    p->kind = runs_on & (uint32_t)asked ? asked : lowest_kind(usable ? usable : runs_on);
    p->kinds = (uint32_t)p->kind;
    p->key.target = target_of(p, p->kind);
    for (uint32_t rest = usable & ~p->kinds; rest; rest &= rest - 1) {
        struct mmi_hash target = target_of(p, lowest_kind(rest));
        if (mmi_hash_equal(target, p->key.target)) {
            p->kinds |= (uint32_t)lowest_kind(rest);
        }
    }
}

/* ---- 3, 4. Content and artifact -------------------------------------------------------------- */

static mm_status source_changed(const struct preparation *p, mm_error *err) {
    return mmi_fail(err, MM_SOURCE_CHANGED, "%s: the content changed since it was first prepared",
                    mmi_source_reader(p->source)->name);
}

/* It is not what the version was made of. */
static bool other_content(const struct preparation *p) {
    return p->version->content_known && !mmi_hash_equal(p->key.content, p->version->content);
}

/* What was good when it was prepared first cannot be bad now and be the same; but a backend may
 * refuse for one kind what it takes for another, before it has read all that makes the content. */
static bool spoiled(struct preparation *p, mm_status status) {
    bool bad = status == MM_INVALID_MODEL || status == MM_UNSUPPORTED;
    if (!bad || !p->version->content_known) {
        return false;
    }
    bool remembered;
    return mmi_content_of(p->preparer, p->source, &p->key.content, &remembered, NULL) == MM_OK &&
           other_content(p);
}

/* MM_NONE: the store has nothing under this key. */
static mm_status find(struct preparation *p, mm_error *err) {
    return mmi_store_find(p->preparer->store, &p->key, &p->artifact, err);
}

static mm_status call_prepare(const struct preparation *p, const mm_sink *sink, mm_error *err) {
    const struct mmi_backend *backend = p->backend;
    mm_error told = {0};
    mm_status status = backend->table->prepare(backend->state, mmi_source_reader(p->source),
                                               p->version->spec->config, p->kind, sink, &told);
    if (status == MM_CANCELLED && !sink->cancelled(sink->ctx)) { /* else it would be tried again */
        return mmi_fail(err, MM_BACKEND_FAILED,
                        "backend %s: prepare says that it was cancelled, which it was not",
                        backend->table->name);
    }
    status = mmi_slot_status(backend, MMI_SLOT_PREPARE, status, &told);
    const char *file = mmi_source_reader(p->source)->name;
    if (status != MM_OK && file && !strstr(told.text, file)) {
        mmi_error_prefix(&told, "%s", file);
    }
    return status == MM_OK ? MM_OK : mmi_error_copy(err, &told);
}

static mm_status run_prepare(struct preparation *p, mm_error *err) {
    struct mmi_writer_config config = {
        .cancelled = p->watch->cancelled, .progress = p->watch->progress, .user = p->watch->user};
    struct mmi_writer *writer;
    MMI_TRY(mmi_writer_open(p->preparer->store, &config, &writer, err));
    mm_status status = call_prepare(p, mmi_writer_sink(writer), err);
    if (status == MM_OK) {
        status = mmi_content_read(&p->preparer->env->alloc, p->source, &p->key.content, err);
    }
    if (status == MM_OK && !mmi_source_unchanged(p->source)) {
        status = mmi_fail(err, MM_SOURCE_CHANGED, "%s: changed while it was read",
                          mmi_source_reader(p->source)->name);
    }
    if (status == MM_OK && other_content(p)) {
        status = source_changed(p, err);
    }
    if (spoiled(p, status)) {
        status = source_changed(p, err);
    }
    if (status != MM_OK) {
        mmi_writer_abort(writer);
        return status;
    }
    p->made = true;
    MMI_TRY(mmi_writer_commit(writer, &p->key, &p->artifact, err));
    mmi_store_remember(p->preparer->store, p->source, p->key.content);
    return MM_OK;
}

/* Which siblings count is for the backend to say, not for what was remembered. */
static mm_status forget_siblings(struct preparation *p, mm_error *err) {
    if (mmi_source_siblings(p->source, NULL) == 0) {
        return MM_OK;
    }
    mmi_source_close(p->source);
    p->source = NULL;
    return need_source(p, err);
}

static mm_status make(struct preparation *p, mm_error *err) {
    MMI_TRY(forget_siblings(p, err));
    uint64_t bytes = mmi_source_reader(p->source)->bytes;
    MMI_TRY(begin_bytes(p, bytes, err));
    mm_status status = run_prepare(p, err);
    end_bytes(p->preparer, bytes);
    return status;
}

static mm_status get_artifact(struct preparation *p, mm_error *err) {
    const struct mmi_version *version = p->version;
    if (version->content_known) { /* 2 */
        p->key.content = version->content;
        mm_status status = find(p, err);
        if (status != MM_NONE) {
            return status;
        }
    }
    MMI_TRY(need_source(p, err));
    bool known; /* else right when there are no siblings; if there are, prepare finds out */
    MMI_TRY(mmi_content_of(p->preparer, p->source, &p->key.content, &known, err));
    if (known && other_content(p)) {
        return source_changed(p, err);
    }
    mm_status status = find(p, err);
    if (status == MM_NONE) {
        return make(p, err);
    }
    if (status == MM_OK && !known && mmi_source_unchanged(p->source)) {
        mmi_store_remember(p->preparer->store, p->source, p->key.content);
    }
    if (status == MM_OK && other_content(p)) {
        return source_changed(p, err);
    }
    return status;
}

/* ---- 5. Open -------------------------------------------------------------------------------- */

static mm_status check_values(const char *model, const char *what, const mm_value_info *values,
                              uint32_t count, mm_error *err) {
    if (count > MAX_VALUES || (count > 0 && !values)) {
        return mmi_fail(err, MM_BACKEND_FAILED, "%s: the backend describes no %ss", model, what);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!values[i].name || !values[i].name[0] || values[i].rank < -1 ||
            values[i].rank > MM_MAX_RANK) {
            return mmi_fail(err, MM_BACKEND_FAILED, "%s: the backend describes %s %u wrongly",
                            model, what, i);
        }
    }
    return MM_OK;
}

static uint64_t hash_values(const mm_value_info *values, uint32_t count, uint64_t hash) {
    for (uint32_t i = 0; i < count; i++) {
        int64_t fixed[4] = {values[i].kind, values[i].dtype, values[i].rank, values[i].flags};
        hash = mmi_hash64(values[i].name, strlen(values[i].name), hash);
        hash = mmi_hash64(fixed, sizeof(fixed), hash);
        if (values[i].rank > 0) {
            hash = mmi_hash64(values[i].shape, (size_t)values[i].rank * sizeof(int64_t), hash);
        }
    }
    return mmi_hash64(&count, sizeof(count), hash);
}

static mm_status open_description(struct preparation *p, struct mmi_opened *opened, mm_error *err) {
    const mm_backend *table = p->backend->table;
    const mm_allocator *alloc = &p->preparer->env->alloc;
    mmi_list_init(&opened->closing);
    opened->backend = p->backend;
    opened->format = p->format;
    opened->artifact = p->artifact;
    opened->view = mmi_artifact_view(p->artifact);
    opened->view.config = p->version->spec->config;
    opened->view.source = p->source ? mmi_source_reader(p->source) : NULL;
    if (table->model_bytes > 0) {
        opened->state = mmi_alloc(alloc, 1, table->model_bytes);
        if (!opened->state) {
            return mmi_fail(err, MM_NO_MEMORY, "%s: out of memory", table->name);
        }
    }
    mm_description *description = &opened->description;
    description->struct_size = sizeof(*description);
    description->batch_axis = -1;
    uint64_t before = atomic_load(&p->backend->live_bytes);
    mm_error told = {0};
    mm_status status =
        table->open(p->backend->state, opened->state, &opened->view, description, &told);
    status = mmi_slot_status(p->backend, MMI_SLOT_OPEN, status, &told);
    uint64_t after = atomic_load(&p->backend->live_bytes);
    opened->view.source = NULL; /* it is closed when this preparation ends */
    if (status != MM_OK) {
        return mmi_error_copy(err, &told);
    }
    opened->host_bytes =
        sizeof(*opened) + table->model_bytes + opened->view.description_bytes +
        (description->open_bytes ? description->open_bytes : mmi_sub_floor(after, before));
    const char *name = p->version->spec->source ? p->version->spec->source : table->name;
    MMI_TRY(check_values(name, "input", description->inputs, description->input_count, err));
    MMI_TRY(check_values(name, "output", description->outputs, description->output_count, err));
    if (description->weights_bytes > opened->view.weights_bytes) {
        return mmi_fail(err, MM_BACKEND_FAILED,
                        "%s: the backend wants %llu bytes of weights of %llu", name,
                        (unsigned long long)description->weights_bytes,
                        (unsigned long long)opened->view.weights_bytes);
    }
    opened->io_hash = hash_values(description->outputs, description->output_count,
                                  hash_values(description->inputs, description->input_count, 0));
    for (uint32_t rest = p->kinds; rest; rest &= rest - 1) {
        int32_t kind = lowest_kind(rest);
        struct mmi_signatures *signatures = mmi_signatures_new(
            alloc, p->backend, description, opened->state, kind, p->preparer->max_signatures);
        if (!signatures) {
            return mmi_fail(err, MM_NO_MEMORY, "%s: out of memory", table->name);
        }
        opened->signatures[mmi_kind_index(kind)] = signatures;
    }
    return MM_OK;
}

void mmi_opened_close(const mm_allocator *alloc, struct mmi_opened *opened) {
    if (!opened) {
        return;
    }
    for (size_t i = 0; i < MMI_DEVICE_KINDS; i++) {
        mmi_signatures_free(opened->signatures[i]);
    }
    const mm_backend *table = opened->backend->table;
    if (opened->state || table->model_bytes == 0) {
        table->close(opened->state);
    }
    mmi_free(alloc, opened->state, table->model_bytes);
    mmi_artifact_release(opened->artifact);
    mmi_free(alloc, opened, sizeof(*opened));
}

static mm_status get_description(struct preparation *p, struct mmi_opened **out, mm_error *err) {
    const mm_allocator *alloc = &p->preparer->env->alloc;
    struct mmi_opened *opened = mmi_alloc(alloc, 1, sizeof(*opened));
    if (!opened) {
        return mmi_fail(err, MM_NO_MEMORY, "description: out of memory");
    }
    mm_status status = open_description(p, opened, err);
    p->artifact = NULL; /* the description has it now */
    if (status != MM_OK) {
        mmi_opened_close(alloc, opened);
        return status;
    }
    *out = opened;
    return MM_OK;
}

/* There may be a build for other devices of the mesh: making it must not fail, so its memory is
 * there before. */
static mm_status get_others(const struct preparation *p, struct mmi_prepared *prepared,
                            mm_error *err) {
    if (p->version->others || !(p->preparer->kinds & ~p->kinds)) {
        return MM_OK;
    }
    const mm_allocator *alloc = &p->preparer->env->alloc;
    prepared->others = mmi_builds_new(alloc);
    if (!prepared->others) {
        return mmi_fail(err, MM_NO_MEMORY, "description: out of memory");
    }
    return MM_OK;
}

/* Their names: with them the source can be looked at again. */
static mm_status keep_siblings(struct preparation *p, struct mmi_prepared *prepared,
                               mm_error *err) {
    const mm_allocator *alloc = &p->preparer->env->alloc;
    uint64_t bytes = p->source ? mmi_source_siblings(p->source, NULL) : 0;
    if (bytes == 0 || p->version->siblings) {
        return MM_OK;
    }
    prepared->siblings = mmi_alloc(alloc, 1, bytes);
    if (!prepared->siblings) {
        return mmi_fail(err, MM_NO_MEMORY, "%s: out of memory", mmi_source_reader(p->source)->name);
    }
    prepared->siblings_bytes = mmi_source_siblings(p->source, prepared->siblings);
    return MM_OK;
}

mm_status mmi_build_open(struct mmi_preparer *preparer, const struct mmi_build *build, int32_t kind,
                         const struct mmi_prepare_watch *watch, struct mmi_prepared *prepared,
                         mm_error *err) {
    struct preparation p = {.preparer = preparer, .version = build->version, .watch = watch};
    *prepared = (struct mmi_prepared){0};
    mm_status status = choose_backend(&p, err);
    if (status == MM_OK) {
        choose_kinds(&p, kind);
        prepared->bare = p.backend->table->prepare == NULL;
        if (prepared->bare) {
            status = need_source(&p, err);
            if (status == MM_OK) {
                status = mmi_artifact_bare(preparer->env, NULL, 0, &p.artifact, err);
            }
        } else {
            status = get_artifact(&p, err);
        }
    }
    if (status == MM_OK) {
        status = get_description(&p, &prepared->opened, err);
    }
    if (status == MM_OK) {
        status = keep_siblings(&p, prepared, err);
    }
    if (status == MM_OK) {
        status = get_others(&p, prepared, err); /* the last one: the others can be given back */
    }
    if (status != MM_OK && prepared->opened) {
        mmi_opened_close(&preparer->env->alloc, prepared->opened);
        mmi_free(&preparer->env->alloc, prepared->siblings, prepared->siblings_bytes);
        *prepared = (struct mmi_prepared){0};
    }
    if (status == MM_OK) {
        prepared->keyed = !prepared->bare;
        prepared->key = p.key;
        prepared->kinds = p.kinds;
        prepared->made = p.made;
    }
    mmi_artifact_release(p.artifact);
    mmi_source_close(p.source);
    return status;
}
