/* SPDX-License-Identifier: Apache-2.0 */
#include <base/checked.h>
#include <base/text.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void mmi_text_init(struct mmi_text *text, char *at, size_t room) {
    *text = (struct mmi_text){.at = at, .room = room};
    if (room > 0) {
        at[0] = '\0';
    }
}

void mmi_text_add(struct mmi_text *text, const char *format, ...) {
    size_t left = text->need < text->room ? text->room - text->need : 0;
    va_list args;
    va_start(args, format);
    int added = vsnprintf(left > 0 ? text->at + text->need : NULL, left, format, args);
    va_end(args);
    if (added > 0) {
        text->need += (size_t)added;
    }
}

void mmi_text_shape(struct mmi_text *text, uint32_t rank, const int64_t *shape) {
    mmi_text_add(text, "[");
    for (uint32_t i = 0; i < rank; i++) {
        const char *separator = i > 0 ? ", " : "";
        if (shape[i] < 0) {
            mmi_text_add(text, "%s?", separator);
        } else {
            mmi_text_add(text, "%s%" PRId64, separator, shape[i]);
        }
    }
    mmi_text_add(text, "]");
}

/* Start of the value of `key`, its length in *length; NULL when absent. */
static const char *find(const char *config, const char *key, size_t *length) {
    size_t key_length = strlen(key);
    while (config && *config) {
        size_t item = strcspn(config, ",");
        if (item > key_length && config[key_length] == '=' &&
            memcmp(config, key, key_length) == 0) {
            *length = item - key_length - 1;
            return config + key_length + 1;
        }
        config += item + (config[item] == ',');
    }
    return NULL;
}

int64_t mmi_config_get(const char *config, const char *key, char *value, size_t room) {
    size_t length;
    const char *found = find(config, key, &length);
    if (!found) {
        return -1;
    }
    if (room > 0) {
        size_t copied = length < room ? length : room - 1;
        memcpy(value, found, copied);
        value[copied] = '\0';
    }
    return (int64_t)length;
}

/* What a suffix multiplies by; 0 = no such suffix. */
static uint64_t unit(const char *suffix, size_t length) {
    static const struct {
        const char *text;
        uint64_t factor;
    } units[] = {
        {"", 1},
        {"k", UINT64_C(1) << 10},
        {"m", UINT64_C(1) << 20},
        {"g", UINT64_C(1) << 30},
        {"ns", 1},
        {"us", 1000},
        {"ms", 1000 * 1000},
        {"s", 1000 * 1000 * 1000},
    };
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strlen(units[i].text) == length && memcmp(units[i].text, suffix, length) == 0) {
            return units[i].factor;
        }
    }
    return 0;
}

uint64_t mmi_config_u64(const char *config, const char *key, uint64_t fallback, int *bad) {
    *bad = 0;
    size_t length;
    const char *text = find(config, key, &length);
    if (!text) {
        return fallback;
    }
    uint64_t number = 0;
    size_t digits = 0;
    bool fits = true;
    while (digits < length && text[digits] >= '0' && text[digits] <= '9') {
        fits = fits && mmi_mul(number, 10, &number) &&
               mmi_add(number, (uint64_t)(text[digits] - '0'), &number);
        digits++;
    }
    uint64_t factor = unit(text + digits, length - digits);
    if (digits == 0 || factor == 0 || !fits || !mmi_mul(number, factor, &number)) {
        *bad = -1;
        return fallback;
    }
    return number;
}
