/* SPDX-License-Identifier: Apache-2.0 */
#include "zoo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_MODELS 1000u

static const char *const kind_names[KINDS] = {"det", "rec", "cls", "vad", "vadseq", "filetype"};

static bool read_kind(const char *name, enum kind *kind) {
    for (uint32_t i = 0; i < KINDS; i++) {
        if (strcmp(name, kind_names[i]) == 0) {
            *kind = (enum kind)i;
            return true;
        }
    }
    return false;
}

/* A variant's name is its model's, with a number: "ocr/rec-07". */
static bool is_variant(const char *name) {
    const char *dash = strrchr(name, '-');
    return dash && dash[1] && strspn(dash + 1, "0123456789") == strlen(dash + 1);
}

static bool add(struct zoo *zoo, const char *folder, char *line, mm_error *err) {
    struct zoo_model *model = &zoo->models[zoo->count];
    const char *name = strsep(&line, " "), *kind = strsep(&line, " ");
    if (!kind || !line || !read_kind(kind, &model->kind)) {
        return fault(err, MM_INVALID_ARGUMENT,
                     "%s/models.txt: %s: `name kind file` is wanted, with a kind that is known",
                     folder, name);
    }
    snprintf(model->name, sizeof(model->name), "%s", name);
    int length = snprintf(model->path, sizeof(model->path), "%s/%s", folder, line);
    if (length >= (int)sizeof(model->path)) {
        return fault(err, MM_INVALID_ARGUMENT, "%s: a path too long", folder);
    }
    model->original = !is_variant(name);
    zoo->count++;
    return true;
}

static bool find_firsts(struct zoo *zoo, const char *folder, mm_error *err) {
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        uint32_t i = 0;
        while (i < zoo->count &&
               !(zoo->models[i].kind == (enum kind)kind && zoo->models[i].original)) {
            i++;
        }
        if (i == zoo->count) {
            return fault(err, MM_NOT_FOUND, "%s/models.txt: no public model of kind %s", folder,
                         kind_names[kind]);
        }
        zoo->first[kind] = i;
    }
    return true;
}

bool zoo_read(const char *folder, struct zoo *zoo, mm_error *err) {
    char path[4096];
    uint8_t *data;
    uint64_t bytes;
    snprintf(path, sizeof(path), "%s/models.txt", folder);
    *zoo = (struct zoo){.models = calloc(MOST_MODELS, sizeof(*zoo->models))};
    if (!zoo->models) {
        return fault(err, MM_NO_MEMORY, "no memory for the list of models");
    }
    if (!file_read(path, 1u << 20, &data, &bytes, err)) {
        zoo_free(zoo);
        return false;
    }
    char *text = (char *)data, *line;
    bool ok = true;
    while (ok && zoo->count < MOST_MODELS && (line = strsep(&text, "\n"))) {
        ok = !*line || add(zoo, folder, line, err);
    }
    free(data);
    ok = ok && find_firsts(zoo, folder, err);
    if (!ok) {
        zoo_free(zoo);
    }
    return ok;
}

void zoo_free(struct zoo *zoo) {
    for (uint32_t i = 0; i < zoo->count; i++) {
        mm_description_free(zoo->models[i].description);
        free(zoo->models[i].first_answers);
    }
    free(zoo->models);
    *zoo = (struct zoo){0};
}

bool zoo_register(struct zoo *zoo, mm_mesh *mesh, bool preload, mm_error *err) {
    zoo->mesh = mesh;
    for (uint32_t i = 0; i < zoo->count; i++) {
        struct zoo_model *model = &zoo->models[i];
        mm_model_spec spec = MM_MODEL_SPEC_INIT;
        spec.name = model->name;
        spec.source = model->path;
        if (preload && i == zoo->first[KIND_VAD]) {
            spec.evict_class = MM_CLASS_HIGH;
            spec.flags = MM_MODEL_PINNED | MM_MODEL_PRELOAD;
        }
        if (mm_register(mesh, &spec, &model->handle, err) != MM_OK) {
            return false;
        }
    }
    return true;
}
