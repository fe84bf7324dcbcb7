/* SPDX-License-Identifier: Apache-2.0 */
#include "measure.h"
#include "screen.h"

#include <stdlib.h>
#include <string.h>

/* ---- Prepare -------------------------------------------------------------------------------- */

static bool describe(struct zoo *zoo, struct zoo_model *model, mm_error *err) {
    if (mm_model_describe(zoo->mesh, model->handle, 0, &model->description, err) != MM_OK) {
        return false;
    }
    model->weights_bytes = model->description->weights_bytes;
    model->activation_bytes = model->description->activation_bytes;
    return true;
}

static bool prepare(struct zoo *zoo, mm_error *err) {
    bool ok = true;
    screen_begin();
    for (uint32_t i = 0; ok && i < zoo->count; i++) {
        if (screen_due(false)) {
            screen_line("prepare %u of %u models: %s", i + 1, zoo->count, zoo->models[i].name);
        }
        ok = describe(zoo, &zoo->models[i], err);
    }
    screen_clear();
    return ok;
}

static bool find_characters(const struct zoo *zoo, struct things *things, mm_error *err) {
    const struct zoo_model *model = &zoo->models[zoo->first[KIND_REC]];
    const mm_model_description *description = model->description;
    for (uint32_t i = 0; i < description->metadata_count; i++) {
        if (strcmp(description->metadata[2 * i], "character") == 0) {
            return charset_parse(description->metadata[2 * i + 1], &things->charset, err);
        }
    }
    return fault(err, MM_NOT_FOUND, "%s: its metadata has no list of characters", model->name);
}

/* ---- Run ------------------------------------------------------------------------------------ */

static bool run_once(struct zoo *zoo, struct zoo_model *model, const struct sample *sample,
                     mm_error *err) {
    float state[VAD_STATE] = {0};
    struct answer answer;
    bool recurrent = model->kind == KIND_VAD || model->kind == KIND_VADSEQ;
    if (!ask(zoo->mesh, model, &sample->input, recurrent ? state : NULL, &answer, err)) {
        return false;
    }
    answer_free(&answer);
    mm_model_info info = MM_MODEL_INFO_INIT;
    mm_model_info_get(zoo->mesh, model->handle, &info);
    model->activation_bytes = info.activation_bytes;
    return true;
}

/* Every public model runs: its variants need the same. */
static bool run_each(struct zoo *zoo, const struct things *things, struct samples samples[KINDS],
                     mm_error *err) {
    struct reading reading;
    if (!reading_make(zoo, things, &reading, err)) {
        return false;
    }
    bool ok = samples_make(things, &reading, samples, err);
    reading_free(&reading);
    uint64_t executed_bytes = 0;
    for (uint32_t i = 0; ok && i < zoo->count; i++) {
        struct zoo_model *model = &zoo->models[i];
        if (model->original) {
            ok = run_once(zoo, model, &samples[model->kind].items[0], err);
            executed_bytes = model->activation_bytes;
        }
        model->activation_bytes = executed_bytes;
    }
    return ok;
}

static bool make_first_answers(struct zoo *zoo, const struct samples samples[KINDS],
                               mm_error *err) {
    for (uint32_t i = 0; i < zoo->count; i++) {
        struct zoo_model *model = &zoo->models[i];
        model->first_answers = calloc(samples[model->kind].count, sizeof(*model->first_answers));
        if (!model->first_answers) {
            return fault(err, MM_NO_MEMORY, "no memory for first answers");
        }
    }
    return true;
}

/* ---- Sum up --------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool sum_up(const struct zoo *zoo, struct room *room, mm_error *err) {
    uint64_t *sizes = calloc(zoo->count, sizeof(*sizes));
    if (!sizes) {
        return fault(err, MM_NO_MEMORY, "no memory to sort the models");
    }
    for (uint32_t i = 0; i < zoo->count; i++) {
        const struct zoo_model *model = &zoo->models[i];
        sizes[i] = model->weights_bytes;
        room->all_bytes += model->weights_bytes;
        if (model->activation_bytes > room->execution_bytes) {
            room->execution_bytes = model->activation_bytes;
            room->execution_of = model->name;
        }
    }
    qsort(sizes, zoo->count, sizeof(*sizes), by_size);
    room->median_bytes = sizes[zoo->count / 2];
    free(sizes);
    room->weights_bytes = room->median_bytes * FIT / PODS;
    room->pod_bytes = room->weights_bytes + room->execution_bytes;
    return true;
}

static bool measure_on(struct zoo *zoo, struct things *things, struct samples samples[KINDS],
                       struct room *room, mm_error *err) {
    if (!prepare(zoo, err) || !find_characters(zoo, things, err) ||
        !run_each(zoo, things, samples, err)) {
        return false;
    }
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    mm_mesh_stats_get(zoo->mesh, &stats);
    room->prepared_now = stats.prepares > 0;
    if (!make_first_answers(zoo, samples, err) || !sum_up(zoo, room, err)) {
        samples_free(samples);
        return false;
    }
    return true;
}

bool measure(struct zoo *zoo, struct things *things, const char *cache_dir,
             struct samples samples[KINDS], struct room *room, mm_error *err) {
    *room = (struct room){.execution_of = "none"};
    uint64_t begun_ns = now_ns();
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.cache_dir = cache_dir;
    mm_mesh *mesh;
    if (mm_mesh_create(&options, &mesh, err) != MM_OK) {
        return false;
    }
    bool ok = zoo_register(zoo, mesh, false, err) && measure_on(zoo, things, samples, room, err);
    mm_mesh_free(&mesh);
    zoo->mesh = NULL;
    room->took_ns = now_ns() - begun_ns;
    return ok;
}
