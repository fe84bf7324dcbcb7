/* SPDX-License-Identifier: Apache-2.0 */
#include <support/served.h>

#include <stdio.h>
#include <string.h>

static bool takes(const struct mmi_location *location) {
    return location->text && strncmp(location->text, "served://", 9) == 0;
}

/* Without an entity tag two contents of one length are the same to it, so that is weak. */
static struct mmi_identity identity_of(const struct served *served) {
    char state[128];
    int length = snprintf(state, sizeof(state), "%llu %s", (unsigned long long)served->count,
                          served->tag ? served->tag : "");
    return mmi_identity_make(&served_kind, served->address, strlen(served->address), state,
                             (size_t)length, served->tag != NULL);
}

/* The script comes as the memory of the location. */
static mm_status open_main(struct mmi_source *source, const struct mmi_location *location,
                           mm_error *err) {
    struct served *served = (struct served *)location->memory->data;
    struct mmi_opened_file *file = mmi_source_add(source, served->address, 0, served->count);
    if (!file) {
        return mmi_fail(err, MM_NO_MEMORY, "%s: out of memory", served->address);
    }
    file->own.state = served;
    file->identity = identity_of(served);
    served->arrived = served->at = 0;
    served->downloads = 1;
    served->opened++;
    return MM_OK;
}

static mm_status open_sibling(struct mmi_source *source, const char *relative, mm_error *err) {
    (void)source;
    return mmi_fail(err, MM_NOT_FOUND, "%s: not there", relative);
}

static mm_status read_packets(struct mmi_opened_file *file, uint64_t offset, void *to,
                              uint64_t count, mm_error *err) {
    struct served *served = file->own.state;
    if (offset < served->at) {
        served->arrived = 0;
        served->downloads++;
    }
    while (served->arrived < offset + count) {
        served->arrived += SERVED_PACKET;
        if (served->arrived > served->fails_at) {
            return mmi_fail(err, MM_IO, "%s: the connection broke", served->address);
        }
    }
    served->at = offset + count;
    memcpy(to, served->bytes + offset, count);
    return MM_OK;
}

static bool identify(const struct mmi_opened_file *file, struct mmi_identity *identity) {
    *identity = identity_of(file->own.state);
    return true;
}

static void close_file(struct mmi_opened_file *file) {
    ((struct served *)file->own.state)->opened--;
}

static void close_source(struct mmi_source *source) {
    (void)source;
}

const struct mmi_source_kind served_kind = {.name = "served",
                                            .piece_bytes = SERVED_PACKET,
                                            .takes = takes,
                                            .open = open_main,
                                            .open_sibling = open_sibling,
                                            .read = read_packets,
                                            .identify = identify,
                                            .close_file = close_file,
                                            .close = close_source};

mm_status served_open(const struct mmi_env *env, struct served *served, struct mmi_source **source,
                      mm_error *err) {
    struct mmi_memory script = {.data = served};
    struct mmi_location location = {served->address, &script};
    return mmi_source_open_as(env, &served_kind, &location, source, err);
}
