/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_LETTERS_H
#define MMI_BACKENDS_ONNX_OPERATORS_LETTERS_H

/* UTF-8, and the case of letters: Unicode's simple mapping (one letter to one) of Latin, Greek,
 * Cyrillic and Armenian, whatever the locale of the process is. */

#include <stdint.h>

#define ONNX_NO_LETTER UINT32_C(0x110000) /* a byte that is no UTF-8 */

/* The code point at *at, which is before `end`; *at: behind it. */
uint32_t mmi_onnx_next_letter(const char **at, const char *end);
/* Its bytes, 1 to 4. */
uint32_t mmi_onnx_put_letter(uint32_t letter, char to[4]);
uint32_t mmi_onnx_lower(uint32_t letter);
uint32_t mmi_onnx_upper(uint32_t letter);

#endif
