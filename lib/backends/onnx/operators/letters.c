/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/letters.h>

#include <stdbool.h>
#include <stddef.h>

/* ---- UTF-8 ----------------------------------------------------------------------------------- */

uint32_t mmi_onnx_next_letter(const char **at, const char *end) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *bytes = (const uint8_t *)*at;
    uint32_t first = bytes[0];
    uint32_t count = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    uint32_t letter = count <= 1 ? first : first & (0x7f >> count);
    bool right = count > 0 && first < 0xf8 && (size_t)(end - *at) >= count;
    for (uint32_t i = 1; right && i < count; i++) {
        right = (bytes[i] & 0xc0) == 0x80;
        letter = letter << 6 | (bytes[i] & 0x3f);
    }
    right = right && letter >= least[count] && letter < ONNX_NO_LETTER &&
            (letter < 0xd800 || letter > 0xdfff);
    *at += right ? count : 1;
    return right ? letter : ONNX_NO_LETTER;
}

uint32_t mmi_onnx_put_letter(uint32_t letter, char to[4]) {
    uint32_t count = letter < 0x80 ? 1 : letter < 0x800 ? 2 : letter < 0x10000 ? 3 : 4;
    static const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (uint32_t i = count; i-- > 1;) {
        to[i] = (char)(0x80 | (letter & 0x3f));
        letter >>= 6;
    }
    to[0] = (char)(first[count] | letter);
    return count;
}

/* ---- Case ------------------------------------------------------------------------------------ */

/* Capital letters and how far from each its small one is. Where every second one is capital, the
 * small ones are between. */
static const struct {
    uint32_t first, last;
    int32_t to_small;
    uint32_t step;
} capitals[] = {
    {0x41, 0x5a, 32, 1},    {0xc0, 0xd6, 32, 1},     {0xd8, 0xde, 32, 1},
    {0x100, 0x12e, 1, 2},   {0x132, 0x136, 1, 2},    {0x139, 0x147, 1, 2},
    {0x14a, 0x176, 1, 2},   {0x178, 0x178, -121, 1}, {0x179, 0x17d, 1, 2},
    {0x1a0, 0x1a4, 1, 2},   {0x1af, 0x1af, 1, 1},    {0x1cd, 0x1db, 1, 2},
    {0x1de, 0x1ee, 1, 2},   {0x1f8, 0x21e, 1, 2},    {0x222, 0x232, 1, 2},
    {0x370, 0x372, 1, 2},   {0x376, 0x376, 1, 1},    {0x386, 0x386, 38, 1},
    {0x388, 0x38a, 37, 1},  {0x38c, 0x38c, 64, 1},   {0x38e, 0x38f, 63, 1},
    {0x391, 0x3a1, 32, 1},  {0x3a3, 0x3ab, 32, 1},   {0x3d8, 0x3ee, 1, 2},
    {0x400, 0x40f, 80, 1},  {0x410, 0x42f, 32, 1},   {0x460, 0x480, 1, 2},
    {0x48a, 0x4be, 1, 2},   {0x4c0, 0x4c0, 15, 1},   {0x4c1, 0x4cd, 1, 2},
    {0x4d0, 0x52e, 1, 2},   {0x531, 0x556, 48, 1},   {0x1e00, 0x1e94, 1, 2},
    {0x1ea0, 0x1efe, 1, 2}, {0xff21, 0xff3a, 32, 1},
};
#define CAPITALS (sizeof(capitals) / sizeof(capitals[0]))

/* Letters whose other case leads elsewhere: dotted and dotless i, long s, micro, final sigma, the
 * capital of sharp s. */
static const uint32_t odd_to_small[][2] = {{0x130, 0x69}, {0x1e9e, 0xdf}};
static const uint32_t odd_to_capital[][2] = {
    {0x131, 0x49}, {0x17f, 0x53}, {0xb5, 0x39c}, {0x3c2, 0x3a3}, {0x1e9b, 0x1e60}};

uint32_t mmi_onnx_lower(uint32_t letter) {
    for (size_t i = 0; i < sizeof(odd_to_small) / sizeof(odd_to_small[0]); i++) {
        if (odd_to_small[i][0] == letter) {
            return odd_to_small[i][1];
        }
    }
    for (size_t i = 0; i < CAPITALS && letter >= capitals[i].first; i++) {
        if (letter <= capitals[i].last && (letter - capitals[i].first) % capitals[i].step == 0) {
            return (uint32_t)((int32_t)letter + capitals[i].to_small);
        }
    }
    return letter;
}

uint32_t mmi_onnx_upper(uint32_t letter) {
    for (size_t i = 0; i < sizeof(odd_to_capital) / sizeof(odd_to_capital[0]); i++) {
        if (odd_to_capital[i][0] == letter) {
            return odd_to_capital[i][1];
        }
    }
    for (size_t i = 0; i < CAPITALS; i++) {
        uint32_t capital = (uint32_t)((int32_t)letter - capitals[i].to_small);
        if (capital >= capitals[i].first && capital <= capitals[i].last &&
            (capital - capitals[i].first) % capitals[i].step == 0) {
            return capital;
        }
    }
    return letter;
}
