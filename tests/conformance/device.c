/* SPDX-License-Identifier: Apache-2.0 */
#include <conformance/device.h>

#include <base/status.h>

#include <stdlib.h>
#include <string.h>

/* Does all copies up to this one, in the order in which they were put; of one stream, or NULL: of
 * all. Under the mutex. */
static void settle(struct hand *hand, uint64_t number, const void *stream) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < hand->pending_count; i++) {
        struct hand_copy copy = hand->pending[i];
        if (copy.number <= number && (!stream || copy.stream == stream)) {
            memcpy(copy.to, copy.from, copy.bytes);
        } else {
            hand->pending[kept++] = copy;
        }
    }
    hand->pending_count = kept;
}

static bool meet(const void *a, uint64_t a_bytes, const void *b, uint64_t b_bytes) {
    return (uintptr_t)a < (uintptr_t)b + b_bytes && (uintptr_t)b < (uintptr_t)a + a_bytes;
}

static bool lies_in(const struct hand *hand, const void *base, uint64_t bytes, bool on_device) {
    bool found = false;
    for (uint32_t i = 0; i < hand->place_count; i++) {
        const struct hand_place *place = &hand->places[i];
        found |= place->on_device == on_device && meet(place->base, place->bytes, base, bytes);
    }
    return found;
}

static mm_status copy(void *host, void *stream, void *to, const void *from, uint64_t bytes,
                      mm_error *err) {
    struct hand *hand = host;
    mm_status status = MM_OK;
    if (bytes == 0) {
        return MM_OK;
    }
    pthread_mutex_lock(&hand->mutex);
    if (!stream) {
        memcpy(to, from, bytes);
    } else if (hand->pending_count == HAND_COPIES) {
        status = mmi_fail(err, MM_NO_MEMORY, "more copies than this device can hold");
    } else {
        hand->pending[hand->pending_count++] =
            (struct hand_copy){stream, to, from, bytes, ++hand->number};
    }
    pthread_mutex_unlock(&hand->mutex);
    return status;
}

static mm_status copy_in(void *host, void *stream, void *to, const void *from, uint64_t bytes,
                         mm_error *err) {
    const struct hand *hand = host;
    return lies_in(hand, to, bytes, false) || lies_in(hand, from, bytes, true)
               ? mmi_fail(err, MM_INVALID_ARGUMENT, "copy_in: a value lies elsewhere")
               : copy(host, stream, to, from, bytes, err);
}

static mm_status copy_out(void *host, void *stream, void *to, const void *from, uint64_t bytes,
                          mm_error *err) {
    const struct hand *hand = host;
    return lies_in(hand, to, bytes, true) || lies_in(hand, from, bytes, false)
               ? mmi_fail(err, MM_INVALID_ARGUMENT, "copy_out: a value lies elsewhere")
               : copy(host, stream, to, from, bytes, err);
}

static mm_status copy_inside(void *host, void *stream, void *to, const void *from, uint64_t bytes,
                             mm_error *err) {
    const struct hand *hand = host;
    return lies_in(hand, to, bytes, false) || lies_in(hand, from, bytes, false)
               ? mmi_fail(err, MM_INVALID_ARGUMENT, "copy: a value lies elsewhere")
               : copy(host, stream, to, from, bytes, err);
}

static mm_status record(void *host, void *stream, mm_device_event *event, mm_error *err) {
    struct hand *hand = host;
    (void)err;
    pthread_mutex_lock(&hand->mutex);
    *event = stream ? (mm_device_event){stream, ++hand->number} : (mm_device_event){0};
    pthread_mutex_unlock(&hand->mutex);
    return MM_OK;
}

static mm_status wait(void *host, const mm_device_event *event, mm_error *err) {
    struct hand *hand = host;
    (void)err;
    pthread_mutex_lock(&hand->mutex);
    settle(hand, event->sequence, NULL);
    pthread_mutex_unlock(&hand->mutex);
    return MM_OK;
}

/* A wait of the other stream does all that was put before: then there is nothing to remember. */
static mm_status stream_wait(void *host, void *stream, const mm_device_event *event,
                             mm_error *err) {
    (void)stream;
    return wait(host, event, err);
}

/* Not yet, until somebody waits. */
static mm_status done(void *host, const mm_device_event *event, mm_error *err) {
    struct hand *hand = host;
    (void)err;
    bool pending = false;
    pthread_mutex_lock(&hand->mutex);
    for (uint32_t i = 0; i < hand->pending_count; i++) {
        pending |=
            hand->pending[i].stream == event->stream && hand->pending[i].number <= event->sequence;
    }
    pthread_mutex_unlock(&hand->mutex);
    return pending ? MM_PENDING : MM_OK;
}

static void *staging_alloc(void *host, uint64_t bytes, mm_error *err) {
    struct hand *hand = host;
    const mm_allocator *alloc = &hand->world->env.alloc;
    void *memory = alloc->alloc(alloc->user, bytes, 4096);
    if (!memory) {
        mmi_fail(err, MM_NO_MEMORY, "no memory for staging");
    }
    return memory;
}

static void staging_free(void *host, void *memory, uint64_t bytes) {
    struct hand *hand = host;
    if (memory) {
        hand->world->env.alloc.free(hand->world->env.alloc.user, memory, bytes);
    }
}

static mm_status stream_open(void *host, void **stream, mm_error *err) {
    struct hand *hand = host;
    *stream = NULL;
    if (hand->pub.kind != MM_DEVICE_HOST) {
        *stream = malloc(1);
        if (!*stream) {
            return mmi_fail(err, MM_NO_MEMORY, "no memory for a stream");
        }
        pthread_mutex_lock(&hand->mutex);
        hand->opened++;
        pthread_mutex_unlock(&hand->mutex);
    }
    return MM_OK;
}

static void stream_close(void *host, void *stream) {
    struct hand *hand = host;
    if (stream) {
        hand_finish(hand, stream);
        pthread_mutex_lock(&hand->mutex);
        hand->opened--;
        pthread_mutex_unlock(&hand->mutex);
        free(stream);
    }
}

static mm_status access(void *host, void *stream, const void *base, uint64_t bytes, uint32_t access,
                        mm_error *err) {
    struct hand *hand = host;
    bool writes = access & MM_ACCESS_WRITE, early = false;
    pthread_mutex_lock(&hand->mutex);
    for (uint32_t i = 0; i < hand->pending_count; i++) {
        const struct hand_copy *one = &hand->pending[i];
        bool hurts = meet(one->to, one->bytes, base, bytes) ||
                     (writes && meet(one->from, one->bytes, base, bytes));
        early |= one->stream != stream && hurts;
    }
    pthread_mutex_unlock(&hand->mutex);
    return early ? mmi_fail(err, MM_INVALID_STATE, "a copy was not waited for") : MM_OK;
}

static const mm_device_calls calls = {
    .struct_size = sizeof(calls),
    .copy_in = copy_in,
    .copy_out = copy_out,
    .copy = copy_inside,
    .record = record,
    .wait = wait,
    .stream_wait = stream_wait,
    .staging_alloc = staging_alloc,
    .staging_free = staging_free,
    .done = done,
    .stream_open = stream_open,
    .stream_close = stream_close,
    .access = access,
};

void hand_init(struct hand *hand, struct world *world, int32_t kind) {
    *hand = (struct hand){.world = world};
    hand->pub = (mm_device){.kind = kind, .name = "by hand", .host = hand, .calls = &calls};
    pthread_mutex_init(&hand->mutex, NULL);
}

void hand_fini(struct hand *hand) {
    if (hand->world) {
        assert_int_equal(hand->opened, 0);
        pthread_mutex_destroy(&hand->mutex);
    }
}

void hand_finish(struct hand *hand, const void *stream) {
    if (stream) {
        pthread_mutex_lock(&hand->mutex);
        settle(hand, UINT64_MAX, stream);
        pthread_mutex_unlock(&hand->mutex);
    }
}

void hand_place(struct hand *hand, const void *base, uint64_t bytes, bool on_device) {
    assert_true(hand->place_count < HAND_PLACES);
    hand->places[hand->place_count++] = (struct hand_place){base, bytes, on_device};
}

void hand_forget_places(struct hand *hand) {
    hand->place_count = 0;
}

void hand_send(struct hand *hand, void *stream, void *to, const void *from, uint64_t bytes) {
    assert_int_equal(copy(hand, stream, to, from, bytes, NULL), MM_OK);
}

bool hand_owes_host(struct hand *hand) {
    bool owes = false;
    pthread_mutex_lock(&hand->mutex);
    for (uint32_t i = 0; i < hand->pending_count; i++) {
        owes |= lies_in(hand, hand->pending[i].to, hand->pending[i].bytes, false);
    }
    pthread_mutex_unlock(&hand->mutex);
    return owes;
}
