/* SPDX-License-Identifier: Apache-2.0 */
/* What happened, line by line: time in ms, the thread, what it does. */
#include "sim.h"

#include <execinfo.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void print_time(uint64_t at_ns, const char *name) {
    printf("%12.4f  %-16s", (double)(at_ns - UINT64_C(1000000000)) / 1e6, name);
}

/* The decisions since the last line. Telling a story changes nothing of it: nobody gets a turn. */
static void tell_events(struct sim *sim) {
    const struct mmi_threads *threads = mmi_tls()->threads;
    mmi_tls()->threads = NULL;
    mm_event event;
    while (mm_events_next(sim->mesh, &sim->story_cursor, &event, NULL) == MM_OK) {
        char text[512];
        mm_event_text(&event, text, sizeof(text));
        print_time(event.time_ns, "");
        printf("    * %s\n", text);
    }
    mmi_tls()->threads = threads;
}

void story(struct sim *sim, const char *format, ...) {
    if (!sim->story) {
        return;
    }
    if (sim->mesh && sim->created && !sim->freeing && mmi_tls()->locks == 0) {
        tell_events(sim);
    }
    print_time(sim->now_ns, sim->current ? sim->current->name : "");
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

static void add(char text[160], const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(char text[160], const char *format, ...) {
    size_t length = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + length, 160 - length, format, arguments);
    va_end(arguments);
}

static void add_deadline(char text[160], const struct act *act) {
    static const char *const names[] = {"", ", no wait", ", deadline past", ", deadline in ",
                                        ", deadline far"};
    add(text, "%s", names[act->deadline]);
    if (act->deadline == DEADLINE_SOON) {
        add(text, "%" PRIu64 " us", act->delay_ns / 1000);
    }
}

static void add_values(char text[160], const struct act *act) {
    static const char *const wanted[WANTEDS] = {"", " -> z", " -> y", " -> y, z"};
    static const char *const buffers[BUFFERS_KINDS] = {"", ", own buffers", ", small buffers"};
    add(text, " x[1, %" PRIu32 "]", act->elements);
    if (act->shape_elements) {
        add(text, " n[%" PRIu32 "]", act->shape_elements);
    }
    add(text, "%s%s%s%s", wanted[act->wanted], buffers[act->buffers],
        act->located_in ? ", in on device" : "", act->located_out ? ", out on device" : "");
}

const char *story_act(const struct act *act, char text[160]) {
    static const char *const afters[AFTERS] = {
        "",         ", then peeked at", ", then cancelled", ", handle freed",
        ", polled", ", queued",         ", dropped"};
    text[0] = '\0';
    add(text, "%s", act_name(act->kind));
    if (act->kind == ACT_BUDGET) {
        add(text, " d(%" PRIu32 ") %" PRIu64 " KiB", act->number, act->bytes >> 10);
        return text;
    }
    if (act->kind < ACT_LOOK) {
        add(text, " m%" PRIu32, act->model);
    }
    if (act->kind == ACT_FILE) {
        add(text, " %s .%" PRIu32, disk_change_name(act->change), act->number % MOST_CONTENTS);
        return text;
    }
    if (act->kind == ACT_UPDATE || act->kind == ACT_UNREGISTER) {
        add(text, ".%" PRIu32 "%s%s%s%s", act->number % MOST_CONTENTS,
            act->replace ? ", replace" : "", act->sparse ? ", only the source" : "",
            act->reset ? ", reset" : "", act->tells ? ", mm_async" : "");
    }
    if (act->kind == ACT_INFER || act->kind == ACT_INFER_ASYNC || act->kind == ACT_BIND) {
        add_values(text, act);
    }
    if (act->priority) {
        add(text, ", priority %" PRId32, act->priority);
    }
    if (act->kind != ACT_UNREGISTER && (act->kind < ACT_PIN || act->kind > ACT_PLAN)) {
        add_deadline(text, act);
    }
    if (act->async && (act->kind <= ACT_PREPARE || act->kind == ACT_UPDATE)) {
        add(text, ", async%s%s%s", afters[act->after], act->callback ? ", callback" : "",
            act->after == AFTER_CANCEL ? act->number % 3 ? " later" : " at once" : "");
    }
    return text;
}

/* ---- Who waits where ------------------------------------------------------------------------- */

void story_where(struct sim_thread *thread) {
    thread->where_count = backtrace(thread->where, sizeof(thread->where) / sizeof(void *));
}

/* The functions of the library on its stack, innermost first, as the program's debug information
 * names them. */
static void print_where(const struct sim_thread *thread) {
    char **names = backtrace_symbols(thread->where, thread->where_count);
    for (int i = 2; names && i < thread->where_count;
         i++) { /* without story_where and its caller */
        const char *offset = strstr(names[i], "(+");
        char command[512], line[256];
        if (!offset) {
            continue;
        }
        snprintf(command, sizeof(command),
                 "addr2line -f -s -e %.*s %.*s 2>/dev/null | paste -sd' '",
                 (int)(offset - names[i]), names[i], (int)strcspn(offset + 1, ")"), offset + 1);
        FILE *pipe = popen(command, "r");
        bool read = pipe && fgets(line, sizeof(line), pipe);
        if (read && (strncmp(line, "mm_", 3) == 0 || !strstr(line, "schedule.c"))) {
            printf("        %s", line);
        }
        if (pipe) {
            pclose(pipe);
        }
    }
}

void story_waiting(struct sim *sim) {
    story(sim, "%s: %s", sim->kind, sim->text);
    static const char *const states[] = {"can run", "waits", "sleeps", "joins", "has ended"};
    for (uint32_t i = 0; i < sim->thread_count; i++) {
        const struct sim_thread *thread = &sim->thread[i];
        if (!thread->fiber || thread->state == THREAD_ENDED) {
            continue;
        }
        printf("    %s %s", thread->name, states[thread->state]);
        if (thread->wake_ns) {
            printf(" until %.4f", (double)(thread->wake_ns - UINT64_C(1000000000)) / 1e6);
        }
        putchar('\n');
        if (thread->state == THREAD_WAITING && (thread->call || thread->slot_depth > 0)) {
            print_where(thread);
        }
    }
}
