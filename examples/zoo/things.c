/* SPDX-License-Identifier: Apache-2.0 */
#include "things.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BYTES (64u << 20)
#define LOUD 0.02f

struct contents {
    char path[4096];
    uint8_t *data;
    uint64_t bytes;
};

static bool read_one(const char *folder, const char *name, struct contents *file, mm_error *err) {
    snprintf(file->path, sizeof(file->path), "%s/%s", folder, name);
    return file_read(file->path, MOST_BYTES, &file->data, &file->bytes, err);
}

/* The next line with something on it; NULL at the end. Cuts the text up. */
static char *next_line(char **text) {
    char *line;
    while ((line = strsep(text, "\n"))) {
        if (*line && *line != '#') {
            return line;
        }
    }
    return NULL;
}

/* Lines `size direction text`. */
static bool parse_lines(const struct contents *file, struct things *things, mm_error *err) {
    char *text = (char *)file->data, *line;
    while ((line = next_line(&text))) {
        strsep(&line, " ");
        const char *direction = strsep(&line, " ");
        if (!direction || !line || things->line_count == OCR_MOST_LINES) {
            return fault(err, MM_INVALID_ARGUMENT, "%s: at most %d lines `size direction text`",
                         file->path, OCR_MOST_LINES);
        }
        struct expected_line *expected = &things->lines[things->line_count++];
        expected->turned = strcmp(direction, "down") == 0;
        snprintf(expected->text, sizeof(expected->text), "%s", line);
    }
    return true;
}

/* Where the first and the last loud sample are. */
static void find_spoken(struct things *things) {
    const struct sound *sound = &things->sound;
    uint64_t first = 0, last = sound->count;
    while (first < last && fabsf(sound->samples[first]) < LOUD) {
        first++;
    }
    while (last > first && fabsf(sound->samples[last - 1]) < LOUD) {
        last--;
    }
    things->spoken = (struct span){(double)first / VAD_RATE, (double)last / VAD_RATE};
}

static bool read_picture(const char *folder, struct things *things, mm_error *err) {
    struct contents picture = {0}, lines = {0};
    bool ok = read_one(folder, "picture.ppm", &picture, err) &&
              picture_parse(picture.path, picture.data, picture.bytes, &things->picture, err) &&
              read_one(folder, "picture.txt", &lines, err) && parse_lines(&lines, things, err);
    free(picture.data);
    free(lines.data);
    if (ok && (things->picture.width % OCR_SIDE || things->picture.height % OCR_SIDE)) {
        return fault(err, MM_INVALID_ARGUMENT, "%s: sides that are multiples of %d are wanted",
                     picture.path, OCR_SIDE);
    }
    return ok;
}

static bool read_recording(const char *folder, struct things *things, mm_error *err) {
    struct contents file = {0};
    struct sound recorded = {0};
    bool ok = read_one(folder, "speech.wav", &file, err) &&
              sound_parse(file.path, file.data, file.bytes, &recorded, err) &&
              sound_resample(&recorded, VAD_RATE, &things->sound, err);
    free(file.data);
    sound_free(&recorded);
    if (ok) {
        find_spoken(things);
    }
    return ok;
}

/* One line of files.txt: `file label name`. */
static bool read_file(const char *folder, char *line, struct things *things, mm_error *err) {
    const char *place = strsep(&line, " "), *label = strsep(&line, " ");
    if (!label || !line || things->file_count == MOST_FILES) {
        return fault(err, MM_INVALID_ARGUMENT, "%s/files.txt: at most %d lines `file label name`",
                     folder, MOST_FILES);
    }
    struct thing_file *thing = &things->files[things->file_count];
    snprintf(thing->label, sizeof(thing->label), "%s", label);
    snprintf(thing->name, sizeof(thing->name), "%s", line);
    char name[64];
    snprintf(name, sizeof(name), "files/%.50s", place);
    struct contents file = {0};
    if (!read_one(folder, name, &file, err)) {
        return false;
    }
    filetype_ids(file.data, file.bytes, thing->ids);
    free(file.data);
    things->file_count++;
    return true;
}

static bool read_files(const char *folder, struct things *things, mm_error *err) {
    struct contents list = {0}, labels = {0};
    bool ok = read_one(folder, "filetypes.txt", &labels, err) &&
              labels_parse(labels.path, (char *)labels.data, &things->labels, err) &&
              read_one(folder, "files.txt", &list, err);
    char *text = (char *)list.data, *line;
    while (ok && (line = next_line(&text))) {
        ok = read_file(folder, line, things, err);
    }
    free(list.data);
    free(labels.data);
    return ok;
}

bool things_read(const char *folder, struct things *things, mm_error *err) {
    if (read_picture(folder, things, err) && read_recording(folder, things, err) &&
        read_files(folder, things, err)) {
        return true;
    }
    things_free(things);
    return false;
}

void things_free(struct things *things) {
    picture_free(&things->picture);
    sound_free(&things->sound);
    labels_free(&things->labels);
    charset_free(&things->charset);
}
