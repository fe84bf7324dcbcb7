/* SPDX-License-Identifier: Apache-2.0 */
#include <catalog/signature.h>

#include <base/checked.h>
#include <catalog/shown.h>
#include <plugin/status.h>

#include <string.h>

#define VALID (UINT64_C(1) << 63)
#define MOST_KEY_WORDS (UINT64_C(256) << 10 >> 3) /* of what is kept for others */

/* ---- Keys ---------------------------------------------------------------------------------------
 * A key is a row of words made by walking the inputs: what size is shown of them, so kinds and
 * shapes, and all that shape inputs hold. The same walk hashes, compares and stores; it ends at the
 * first difference. */

struct walk {
    uint64_t hash;
    size_t words;
    const uint64_t *compare; /* NULL = do not compare */
    size_t compare_words;
    uint64_t *store; /* NULL = do not store */
    bool equal;
};

static void emit(struct walk *walk, uint64_t word) {
    walk->hash = (walk->hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    walk->hash ^= walk->hash >> 29;
    if (walk->compare) {
        walk->equal =
            walk->equal && walk->words < walk->compare_words && walk->compare[walk->words] == word;
    }
    if (walk->store) {
        walk->store[walk->words] = word;
    }
    walk->words++;
}

static void walk_bytes(struct walk *walk, const void *bytes, uint64_t count) {
    for (uint64_t at = 0; at < count && walk->equal; at += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, (const char *)bytes + at, (size_t)mmi_min_u64(sizeof(word), count - at));
        emit(walk, word);
    }
}

static void walk_value(struct walk *walk, const mm_value *value, bool shown) {
    emit(walk, ((uint64_t)(uint32_t)value->kind << 48) | ((uint64_t)(uint32_t)value->dtype << 32) |
                   value->rank);
    if (value->kind != MM_TENSOR) {
        emit(walk, value->item_count);
        for (uint64_t i = 0; i < value->item_count && walk->equal; i++) {
            walk_value(walk, &value->items[i], shown);
        }
        return;
    }
    for (uint32_t axis = 0; axis < value->rank; axis++) {
        emit(walk, (uint64_t)value->shape[axis]);
    }
    if (shown && value->offsets) {
        uint64_t entries = mm_shape_elements(value->rank, value->shape) + 1;
        walk_bytes(walk, value->offsets, entries * sizeof(uint64_t));
    }
    if (shown && value->data) {
        walk_bytes(walk, value->data, value->bytes);
    }
}

static void walk_inputs(struct walk *walk, const mm_description *description,
                        const mm_value *inputs) {
    walk->hash = UINT64_C(0x6a09e667f3bcc908);
    walk->words = 0;
    walk->equal = true;
    for (uint32_t i = 0; i < description->input_count && walk->equal; i++) {
        walk_value(walk, &inputs[i], mmi_is_shown(&description->inputs[i]));
    }
    walk->equal = walk->equal && walk->words == walk->compare_words;
}

/* ---- Slots ---------------------------------------------------------------------------------- */

static size_t signatures_bytes(uint32_t capacity) {
    return sizeof(struct mmi_signatures) + capacity * sizeof(struct mmi_signature);
}

struct mmi_signatures *mmi_signatures_new(const mm_allocator *alloc,
                                          const struct mmi_backend *backend,
                                          const mm_description *description, void *opened,
                                          int32_t device_kind, uint32_t capacity) {
    struct mmi_signatures *signatures = mmi_alloc(alloc, 1, signatures_bytes(capacity));
    if (signatures) {
        signatures->alloc = alloc;
        signatures->backend = backend;
        signatures->description = description;
        signatures->opened = opened;
        signatures->device_kind = device_kind;
        signatures->capacity = capacity;
    }
    return signatures;
}

/* Free what a signature holds, not the struct. Copes with half-built ones. */
static void clear(struct mmi_signatures *signatures, struct mmi_signature *signature) {
    const mm_backend *table = signatures->backend->table;
    if (signature->state || table->signature_bytes == 0) {
        if (table->size_done && signature->key) {
            table->size_done(signature->state);
        }
    }
    mmi_free(signatures->alloc, signature->state, table->signature_bytes);
    mmi_free(signatures->alloc, signature->key, signature->key_words * sizeof(uint64_t));
    uint32_t outputs = signatures->description->output_count;
    mmi_free(signatures->alloc, signature->size.outputs, outputs * sizeof(mm_value));
    mmi_free(signatures->alloc, signature->size.exactness, outputs);
}

void mmi_signatures_free(struct mmi_signatures *signatures) {
    if (!signatures) {
        return;
    }
    for (uint32_t i = 0; i < signatures->capacity; i++) {
        if (atomic_load(&signatures->slots[i].word) & VALID) {
            clear(signatures, &signatures->slots[i]);
        }
    }
    mmi_free(signatures->alloc, signatures, signatures_bytes(signatures->capacity));
}

struct mmi_signature *mmi_signature_find(struct mmi_signatures *signatures,
                                         const mm_value *inputs) {
    for (uint32_t i = 0; i < signatures->capacity; i++) {
        struct mmi_signature *slot = &signatures->slots[i];
        if (!(atomic_load_explicit(&slot->word, memory_order_relaxed) & VALID)) {
            continue;
        }
        if (atomic_fetch_add_explicit(&slot->word, 1, memory_order_acquire) & VALID) {
            struct walk walk = {.compare = slot->key, .compare_words = slot->key_words - 1};
            walk_inputs(&walk, signatures->description, inputs);
            if (walk.equal) {
                return slot;
            }
        }
        atomic_fetch_sub_explicit(&slot->word, 1, memory_order_release);
    }
    return NULL;
}

/* ---- New signatures ------------------------------------------------------------------------- */

/* The caller will be told so. */
static bool sized_well(const mm_value *value, uint8_t exactness) {
    bool well = value->rank <= MM_MAX_RANK && exactness <= MM_SIZE_UNKNOWN;
    for (uint32_t i = 0; well && exactness == MM_SIZE_EXACT && i < value->rank; i++) {
        well = value->shape[i] >= 0;
    }
    return well;
}

static mm_status check_outputs(const struct mmi_signatures *signatures, const mm_size *size,
                               mm_error *err) {
    for (uint32_t i = 0; i < signatures->description->output_count; i++) {
        if (!sized_well(&size->outputs[i], size->exactness[i])) {
            return mmi_fail(err, MM_BACKEND_FAILED,
                            "backend %s: size says of output %u what cannot be",
                            signatures->backend->table->name, i);
        }
    }
    return MM_OK;
}

bool mmi_signature_kept(const struct mmi_signature *signature, const mm_value *values,
                        uint32_t count) {
    const mm_size *size = &signature->size;
    bool kept = true;
    for (uint32_t i = 0; i < count; i++) {
        bool exact = size->exactness[i] == MM_SIZE_EXACT && values[i].kind == MM_TENSOR &&
                     values[i].dtype != MM_STRING;
        kept = kept && values[i].rank <= MM_MAX_RANK &&
               (!exact || values[i].bytes == size->outputs[i].bytes);
    }
    return kept;
}

static mm_status ask(struct mmi_signatures *signatures, struct mmi_signature *signature,
                     const mm_value *inputs, mm_error *err) {
    const struct mmi_backend *backend = signatures->backend;
    struct mmi_shown shown;
    if (!mmi_shown_make(signatures->alloc, signatures->description, inputs, &shown)) {
        return mmi_fail(err, MM_NO_MEMORY, "signature: out of memory");
    }
    uint64_t before = atomic_load(&backend->live_bytes);
    mm_error told = {0};
    mm_status status =
        backend->table->size(signatures->opened, signatures->device_kind, signature->state,
                             shown.values, &signature->size, &told);
    uint64_t after = atomic_load(&backend->live_bytes);
    signature->bytes +=
        signature->size.state_bytes ? signature->size.state_bytes : mmi_sub_floor(after, before);
    mmi_shown_free(signatures->alloc, &shown);
    status = mmi_slot_status(backend, MMI_SLOT_SIZE, status, &told);
    return status == MM_OK ? check_outputs(signatures, &signature->size, err)
                           : mmi_error_copy(err, &told);
}

static bool allocate(struct mmi_signatures *signatures, struct mmi_signature *signature,
                     const mm_value *inputs) {
    const mm_allocator *alloc = signatures->alloc;
    const mm_backend *table = signatures->backend->table;
    uint32_t outputs = signatures->description->output_count;
    struct walk walk = {0};
    walk_inputs(&walk, signatures->description, inputs);
    signature->hash = walk.hash;
    if (outputs > 0) {
        signature->size.outputs = mmi_alloc(alloc, outputs, sizeof(mm_value));
        signature->size.exactness = mmi_alloc(alloc, outputs, 1);
        if (!signature->size.outputs || !signature->size.exactness) {
            return false;
        }
    }
    if (table->signature_bytes > 0) {
        signature->state = mmi_alloc(alloc, 1, table->signature_bytes);
        if (!signature->state) {
            return false;
        }
    }
    /* Last: a key says that the state is there and that size was or will be called. One word more,
     * so that a model without inputs has a key too. What is not shared needs no other. */
    signature->large = walk.words > MOST_KEY_WORDS;
    signature->key_words = (signature->large ? 0 : walk.words) + 1;
    signature->key = mmi_alloc(alloc, signature->key_words, sizeof(uint64_t));
    signature->bytes = sizeof(*signature) + signature->key_words * sizeof(uint64_t) +
                       outputs * (sizeof(mm_value) + 1) + table->signature_bytes;
    return signature->key != NULL;
}

mm_status mmi_signature_make(struct mmi_signatures *signatures, const mm_value *inputs,
                             struct mmi_signature **out, mm_error *err) {
    struct mmi_signature *signature = mmi_alloc(signatures->alloc, 1, sizeof(*signature));
    if (!signature) {
        return mmi_fail(err, MM_NO_MEMORY, "signature: out of memory");
    }
    if (!allocate(signatures, signature, inputs)) {
        mmi_signature_destroy(signatures, signature);
        return mmi_fail(err, MM_NO_MEMORY, "signature: out of memory");
    }
    if (!signature->large) {
        struct walk walk = {.store = signature->key};
        walk_inputs(&walk, signatures->description, inputs);
    }
    mm_status status = ask(signatures, signature, inputs, err);
    if (status != MM_OK) {
        mmi_signature_destroy(signatures, signature);
        return status;
    }
    signature->all_exact = true;
    for (uint32_t i = 0; i < signatures->description->output_count; i++) {
        signature->all_exact &= signature->size.exactness[i] == MM_SIZE_EXACT;
    }
    *out = signature;
    return MM_OK;
}

/* A slot without contents, or taken from its least recently used contents. NULL: all are in use. */
static struct mmi_signature *take_slot(struct mmi_signatures *signatures) {
    struct mmi_signature *oldest = NULL;
    uint64_t oldest_used = 0;
    for (uint32_t i = 0; i < signatures->capacity; i++) {
        struct mmi_signature *slot = &signatures->slots[i];
        uint64_t word = atomic_load(&slot->word);
        if (word == 0) {
            return slot;
        }
        uint64_t used = atomic_load_explicit(&slot->last_used, memory_order_relaxed);
        if (word == VALID && (!oldest || used < oldest_used)) {
            oldest = slot;
            oldest_used = used;
        }
    }
    uint64_t idle = VALID;
    if (oldest && !atomic_compare_exchange_strong(&oldest->word, &idle, 0)) {
        return NULL;
    }
    return oldest;
}

struct mmi_signature *mmi_signature_share(struct mmi_signatures *signatures,
                                          struct mmi_signature **signature) {
    struct mmi_signature *slot = (*signature)->large ? NULL : take_slot(signatures);
    if (!slot) {
        return NULL;
    }
    struct mmi_signature *made = *signature;
    struct mmi_signature replaced = {.key = slot->key,
                                     .key_words = slot->key_words,
                                     .state = slot->state,
                                     .size = slot->size,
                                     .bytes = slot->bytes};
    slot->hash = made->hash;
    slot->key = made->key;
    slot->key_words = made->key_words;
    slot->state = made->state;
    slot->size = made->size;
    slot->bytes = made->bytes;
    atomic_store(&slot->last_used, atomic_load(&made->last_used));
    atomic_store(&slot->more_bytes, atomic_load(&made->more_bytes));
    slot->all_exact = made->all_exact;
    slot->shared = true;
    signatures->bytes += slot->bytes;
    signatures->bytes -= mmi_min_u64(replaced.bytes, signatures->bytes);
    /* A reader may be adding and subtracting on the empty slot just now: add, do not store. */
    atomic_fetch_add_explicit(&slot->word, VALID | 1, memory_order_release);
    *signature = slot;
    made->key = replaced.key;
    made->key_words = replaced.key_words;
    made->state = replaced.state;
    made->size = replaced.size;
    return made;
}

void mmi_signature_destroy(struct mmi_signatures *signatures, struct mmi_signature *shell) {
    clear(signatures, shell);
    mmi_free(signatures->alloc, shell, sizeof(*shell));
}

void mmi_signature_done(struct mmi_signatures *signatures, struct mmi_signature *signature,
                        uint64_t ticks) {
    if (!signature->shared) {
        mmi_signature_destroy(signatures, signature);
        return;
    }
    atomic_store_explicit(&signature->last_used, ticks, memory_order_relaxed);
    atomic_fetch_sub_explicit(&signature->word, 1, memory_order_release);
}
