/* SPDX-License-Identifier: Apache-2.0 */
#include <observe/events.h>

#include <inttypes.h>
#include <string.h>

const char *mmi_reason_text(enum mmi_reason reason) {
    static const char *const texts[] = {
#define REASON_TEXT(name, text) [MMI_REASON_##name] = text,
        MMI_REASON_MAP(REASON_TEXT)
#undef REASON_TEXT
    };
    return texts[reason];
}

/* NULL for a kind of a later version. */
static const char *kind_text(int32_t kind) {
    switch (kind) {
#define KIND_TEXT(name, value, text)                                                               \
    case value:                                                                                    \
        return text;
        MMI_EVENT_MAP(KIND_TEXT)
#undef KIND_TEXT
    default:
        return NULL;
    }
}

void mmi_event_name(char *field, size_t room, const char *name) {
    static const char marker[] = "...";
    size_t bytes = name ? strlen(name) : 0;
    if (bytes < room) {
        memcpy(field, name ? name : "", bytes + 1);
        return;
    }
    size_t kept = room > sizeof marker ? room - sizeof marker : 0;
    while (kept > 0 && ((unsigned char)name[kept] & 0xc0) == 0x80) {
        kept--;
    }
    memcpy(field, name, kept);
    memcpy(field + kept, marker, room - kept < sizeof marker ? room - kept : sizeof marker);
    field[room - 1] = '\0';
}

static bool is_control(unsigned char c) {
    return c < ' ' || c == 0x7f;
}

static bool is_plain(const char *value) {
    for (const char *c = value; *c; c++) {
        if (is_control((unsigned char)*c) || strchr(" \"\\=", *c)) {
            return false;
        }
    }
    return true;
}

static void add_quoted(struct mmi_text *text, const char *value) {
    mmi_text_add(text, "\"");
    for (const char *c = value; *c; c++) {
        if (*c == '\n') {
            mmi_text_add(text, "\\n");
        } else if (is_control((unsigned char)*c)) {
            mmi_text_add(text, "\\x%02x", (unsigned)(unsigned char)*c);
        } else {
            mmi_text_add(text, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
        }
    }
    mmi_text_add(text, "\"");
}

static void add_text(struct mmi_text *text, const char *key, const char *value) {
    if (value[0] == '\0') {
        return;
    }
    mmi_text_add(text, " %s=", key);
    if (is_plain(value)) {
        mmi_text_add(text, "%s", value);
    } else {
        add_quoted(text, value);
    }
}

void mmi_event_line(const struct mmi_event *event, struct mmi_text *text) {
    const char *kind = kind_text(event->kind);
    if (kind) {
        mmi_text_add(text, "%s", kind);
    } else {
        mmi_text_add(text, "event_%" PRId32, event->kind);
    }
    add_text(text, "model", event->model);
    add_text(text, "device", event->device);
    if (event->bytes > 0) {
        mmi_text_add(text, " bytes=%" PRIu64, event->bytes);
    }
    if (event->idle_ns > 0) {
        mmi_text_add(text, " idle_ms=%" PRIu64, event->idle_ns / 1000000);
    }
    if (event->duration_ns > 0) {
        mmi_text_add(text, " duration_ms=%" PRIu64 ".%03u", event->duration_ns / 1000000,
                     (unsigned)(event->duration_ns / 1000 % 1000));
    }
    add_text(text, "for", event->other);
    add_text(text, "reason", event->reason);
    add_text(text, "policy", event->policy);
    if (event->status != MM_OK) {
        add_text(text, "status", mm_status_name(event->status));
    }
}
