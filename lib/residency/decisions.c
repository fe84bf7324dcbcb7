/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/decisions.h>

void mmi_decided(struct mmi_residency *res, enum mmi_event_kind kind, const char *model,
                 const struct mmi_event *fields, const struct mmi_devstate *dev) {
    struct mmi_event event = *fields;
    event.kind = kind;
    event.time_ns = fields->time_ns ? fields->time_ns : mmi_res_now(res);
    mmi_event_name(event.model, sizeof(event.model), model);
    mmi_event_name(event.device, sizeof(event.device), dev ? dev->device->name : "");
    mmi_events_push(&res->events, &event);
}

static mm_log_level level_of(const struct mmi_event *event) {
    switch (event->kind) {
    case MMI_EVENT_LOAD_FAILED:
    case MMI_EVENT_DEVICE_LOST:
    case MMI_EVENT_LEAK:
        return MM_LOG_WARNING;
    default:
        return MM_LOG_INFO;
    }
}

bool mmi_decisions_to_log(struct mmi_residency *res) {
    return res->env->log.line && mmi_events_behind(&res->events, &res->log_cursor);
}

void mmi_decisions_log(struct mmi_residency *res) {
    struct mmi_event event;
    uint64_t lost;
    while (mmi_events_next(&res->events, &res->log_cursor, &event, &lost)) {
        char line[512];
        struct mmi_text text;
        mmi_text_init(&text, line, sizeof(line));
        mmi_event_line(&event, &text);
        mmi_log(&res->env->log, level_of(&event), "%s", line);
    }
}
