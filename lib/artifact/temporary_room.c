/* SPDX-License-Identifier: Apache-2.0 */
/* Where weights outside the cache directory find room: in the folder of temporary files; where that
 * refuses, in memory; where no file may be so long, not even one in memory, in pages of the
 * process. Before a place refuses for lack of room, what nobody holds there is given back. */
#include <artifact/state.h>

#include <artifact/io.h>
#include <base/checked.h>
#include <base/file_limit.h>

#include <errno.h>
#include <string.h>

/* Lack of descriptors or memory passes; whatever else is wrong with the folder, memory may do. */
static bool is_passing_lack(int error) {
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

static bool is_full(const struct mmi_temporary_place *place, int error) {
    return error == ENOSPC || error == EDQUOT || (error == ENOMEM && !place->folder);
}

/* No file may be so long, or there are no files in memory at all. */
static bool is_without_file(int error) {
    return error == EFBIG || error == ENOSYS || error == EPERM || error == EACCES;
}

/* Nobody is dropped in vain. */
static bool could_do(struct mmi_store *store, const struct mmi_temporary_place *place,
                     uint64_t bytes) {
    uint64_t unheld = mmi_temporary_cache_unheld(store, place);
    return unheld > 0 &&
           (!place->folder || mmi_add_cap(mmi_io_free_bytes(place->folder), unheld) >= bytes);
}

static int take_in(struct mmi_store *store, struct mmi_temporary_place *place,
                   struct mmi_room *room) {
    int error = mmi_temporary_place_take(place, room->bytes, &room->extent);
    if (!is_full(place, error) || !could_do(store, place, room->bytes)) {
        return error;
    }
    while (is_full(place, error) && mmi_temporary_cache_make_way(store, place, room->bytes)) {
        error = mmi_temporary_place_take(place, room->bytes, &room->extent);
    }
    return error;
}

static int take_in_memory(struct mmi_store *store, struct mmi_room *room) {
    mmi_temporary_cache_reserve_memory(store, room);
    int error = take_in(store, &store->memory, room);
    if (is_without_file(error) &&
        mmi_temporary_place_take_pages(&store->memory, room->bytes, &room->extent) == 0) {
        return 0;
    }
    return error;
}

static mm_status refuse(const struct mmi_temporary_place *place, uint64_t bytes, int error,
                        mm_error *err) {
    const char *name = mmi_temporary_place_name(place);
    uint64_t limit = mmi_file_limit();
    if (error == EFBIG && bytes > limit) {
        return mmi_fail_room(err, MM_NO_SPACE, bytes, limit,
                             "%s: prepared weights need a file of %llu bytes, RLIMIT_FSIZE of the "
                             "process is %llu",
                             name, (unsigned long long)bytes, (unsigned long long)limit);
    }
    if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
        uint64_t available = place->folder ? mmi_io_free_bytes(place->folder) : 0;
        return mmi_fail_room(err, MM_NO_SPACE, bytes, available,
                             "%s: prepared weights need %llu bytes, %llu are free: %s", name,
                             (unsigned long long)bytes, (unsigned long long)available,
                             strerrordesc_np(error));
    }
    return mmi_fail_errno(err, MM_IO, error, "%s: a file for prepared weights", name);
}

/* why: of the folder, which refused. */
static void log_why(struct mmi_store *store, int why) {
    mmi_log(&store->env->log, MM_LOG_INFO, "prepared weights in memory: %s: %s",
            store->folder.folder, strerrordesc_np(why));
}

mm_status mmi_room_take(struct mmi_store *store, uint64_t bytes, struct mmi_room *room,
                        mm_error *err) {
    *room = (struct mmi_room){.taken = true, .bytes = bytes};
    mmi_temporary_cache_reserve(store, room);
    if (bytes == 0) {
        return MM_OK;
    }
    struct mmi_temporary_place *place = store->folder.folder ? &store->folder : &store->memory;
    int why = place->folder ? take_in(store, place, room) : take_in_memory(store, room);
    int error = why;
    if (error != 0 && place->folder && !is_passing_lack(error)) {
        log_why(store, why);
        error = take_in_memory(store, room);
    }
    if (error == 0) {
        return MM_OK;
    }
    mmi_room_give(store, room);
    return refuse(place, bytes, why, err);
}

void mmi_room_give(struct mmi_store *store, struct mmi_room *room) {
    if (room->taken) {
        mmi_extent_give(room->extent);
        mmi_temporary_cache_unreserve(store, room);
        *room = (struct mmi_room){0};
    }
}

/* The room stays as it is when that fails. */
static mm_status move_to_memory(struct mmi_store *store, struct mmi_room *room, int why,
                                mm_error *err) {
    struct mmi_extent *from = room->extent;
    log_why(store, why);
    int error = take_in_memory(store, room);
    if (error != 0) {
        return refuse(&store->folder, room->bytes, why, err);
    }
    error = mmi_extent_copy(room->extent, from);
    mmi_extent_give(from);
    return error == 0 ? MM_OK
                      : mmi_fail_errno(err, MM_IO, error, "%s: moving prepared weights",
                                       store->folder.folder);
}

mm_status mmi_room_write(struct mmi_store *store, struct mmi_room *room, uint64_t offset,
                         const void *bytes, uint64_t count, mm_error *err) {
    if (count == 0) {
        return MM_OK;
    }
    int error = mmi_extent_write(room->extent, offset, bytes, count);
    bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    if (full && room->extent->place->folder) {
        MMI_TRY(move_to_memory(store, room, error, err));
        error = mmi_extent_write(room->extent, offset, bytes, count);
    }
    return error == 0 ? MM_OK
                      : mmi_fail_errno(err, MM_IO, error, "%s: prepared weights",
                                       mmi_temporary_place_name(room->extent->place));
}
