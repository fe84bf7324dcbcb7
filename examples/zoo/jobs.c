/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs.h"
#include "screen.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPOKEN_OFF_S 0.4 /* how far from the first and last loud sample speech may begin and end */

/* How a job went: requests, of these misses, and the time. */
struct effort {
    uint64_t begun_ns;
    uint32_t requests, misses;
};

static void say_effort(const struct effort *effort) {
    printf("          %u request%s, %u cold, %s\n\n", effort->requests,
           effort->requests == 1 ? "" : "s", effort->misses,
           text_time((double)(now_ns() - effort->begun_ns)).text);
    fflush(stdout);
}

static uint32_t say_failure(const mm_error *err) {
    printf("          FAILED: %s\n\n", err->text);
    return 1;
}

/* ---- Read ----------------------------------------------------------------------------------- */

static uint32_t say_lines(const struct things *things, const struct reading *reading) {
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < reading->count || i < things->line_count; i++) {
        const struct line *line = i < reading->count ? &reading->lines[i] : NULL;
        const struct expected_line *expected = i < things->line_count ? &things->lines[i] : NULL;
        bool right = line && expected && strcmp(line->text, expected->text) == 0 &&
                     line->turned == expected->turned;
        printf("          \"%s\"%s  %s", line ? line->text : "",
               line && line->turned ? " (stood on its head)" : "", right ? "ok" : "WRONG");
        if (!right) {
            printf(": \"%s\"%s is written there", expected ? expected->text : "",
                   expected && expected->turned ? " on its head" : "");
        }
        printf("\n");
        wrong += !right;
    }
    return wrong;
}

static uint32_t read_picture(const struct zoo *zoo, const struct things *things) {
    printf("reads     a picture of %u x %u pixels\n", things->picture.width,
           things->picture.height);
    struct effort effort = {.begun_ns = now_ns()};
    struct reading reading;
    mm_error err;
    if (!reading_make(zoo, things, &reading, &err)) {
        return say_failure(&err);
    }
    uint32_t wrong = say_lines(things, &reading);
    effort.requests = reading.requests;
    effort.misses = reading.misses;
    say_effort(&effort);
    reading_free(&reading);
    return wrong;
}

/* ---- Hear ----------------------------------------------------------------------------------- */

static bool listen(struct zoo *zoo, const struct samples *windows, float *speech,
                   struct effort *effort, mm_error *err) {
    struct zoo_model *model = &zoo->models[zoo->first[KIND_VAD]];
    float state[VAD_STATE] = {0};
    for (uint32_t i = 0; i < windows->count; i++) {
        struct answer answer;
        if (!ask(zoo->mesh, model, &windows->items[i].input, state, &answer, err)) {
            return false;
        }
        effort->requests++;
        effort->misses += !answer.hit;
        const float *scores = answer_scores(&answer, 1);
        bool ok = scores ? answer_same(model, i, &answer, err)
                         : fault(err, MM_BACKEND_FAILED, "%s: no probability", model->name);
        speech[i] = ok ? scores[0] : 0;
        answer_free(&answer);
        if (!ok) {
            return false;
        }
    }
    return true;
}

static uint32_t say_spans(const struct things *things, const float *speech, uint64_t count) {
    struct span spans[8];
    uint32_t found = vad_spans(speech, count, spans, 8);
    for (uint32_t i = 0; i < found && i < 8; i++) {
        printf("          speech from %.2f s to %.2f s", spans[i].begin_s, spans[i].end_s);
        printf(i + 1 < found && i < 7 ? "\n" : "");
    }
    bool right = found == 1 && fabs(spans[0].begin_s - things->spoken.begin_s) < SPOKEN_OFF_S &&
                 fabs(spans[0].end_s - things->spoken.end_s) < SPOKEN_OFF_S;
    printf("%s  %s (the sentence is spoken from %.2f s to %.2f s)\n",
           found ? "" : "          no speech", right ? "ok" : "WRONG", things->spoken.begin_s,
           things->spoken.end_s);
    return !right;
}

static uint32_t hear_recording(struct zoo *zoo, const struct things *things,
                               const struct samples *windows) {
    printf("hears     a recording of %.1f s\n",
           (double)things->sound.count / (double)things->sound.rate);
    struct effort effort = {.begun_ns = now_ns()};
    mm_error err;
    float *speech = calloc(windows->count, sizeof(*speech));
    if (!speech) {
        fault(&err, MM_NO_MEMORY, "no memory for the recording");
        return say_failure(&err);
    }
    bool heard = listen(zoo, windows, speech, &effort, &err);
    uint32_t wrong = heard ? say_spans(things, speech, windows->count) : say_failure(&err);
    free(speech);
    if (heard) {
        say_effort(&effort);
    }
    return wrong;
}

/* ---- Tell ----------------------------------------------------------------------------------- */

static uint32_t tell_file(struct zoo *zoo, const struct things *things,
                          const struct samples *samples, uint32_t i, struct effort *effort) {
    struct zoo_model *model = &zoo->models[zoo->first[KIND_FILETYPE]];
    struct answer answer;
    mm_error err;
    if (!ask(zoo->mesh, model, &samples->items[i].input, NULL, &answer, &err)) {
        return say_failure(&err);
    }
    effort->requests++;
    effort->misses += !answer.hit;
    float score = 0;
    const float *scores = answer_scores(&answer, things->labels.count);
    const char *name = scores ? filetype_name(&things->labels, scores, &score) : "nothing";
    bool right = strcmp(name, things->files[i].label) == 0;
    printf("          %-14s is %-10s %3.0f %%  %s", things->files[i].name, name,
           100 * (double)score, right ? "ok\n" : "WRONG: it is ");
    if (!right) {
        printf("%s\n", things->files[i].label);
    }
    answer_free(&answer);
    return !right;
}

static uint32_t tell_files(struct zoo *zoo, const struct things *things,
                           const struct samples *samples) {
    printf("tells     what is in %u files, from their bytes alone\n", things->file_count);
    struct effort effort = {.begun_ns = now_ns()};
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < things->file_count; i++) {
        wrong += tell_file(zoo, things, samples, i, &effort);
    }
    say_effort(&effort);
    return wrong;
}

uint32_t jobs_run(struct zoo *zoo, const struct things *things,
                  const struct samples samples[KINDS]) {
    return read_picture(zoo, things) + hear_recording(zoo, things, &samples[KIND_VAD]) +
           tell_files(zoo, things, &samples[KIND_FILETYPE]);
}
