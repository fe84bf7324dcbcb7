/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_IMAGES_LIBRARY_H
#define MMI_BACKENDS_ONNX_IMAGES_LIBRARY_H

/* Libraries of other people that are opened when a file needs them. Only their headers are there
 * when this is built, so nothing links them and a program runs where they are not.
 *
 * A format's functions are one list of names, from which a struct of pointers and the texts to look
 * them up by are made:
 *
 *     #define FUNCTIONS(X) X(WebPGetInfo) X(WebPDecodeRGBInto)
 *     struct functions { FUNCTIONS(ONNX_POINTER) };
 *     static const char *const names[] = {FUNCTIONS(ONNX_FUNCTION_NAME) NULL}; */

#include <modelmesh/types.h>

#define ONNX_POINTER(name) __typeof__(name) *name;
#define ONNX_FUNCTION_NAME(name) #name,

struct onnx_library {
    const char *name;             /* "libpng" */
    const char *package;          /* of Debian, that has it */
    const char *headers;          /* and the one with its headers */
    const char *files[3];         /* names to open it by, the first that is there; NULL ends them */
    const char *const *functions; /* NULL ends them; NULL: built without its headers */
};

/* The addresses of its functions, an array of pointers or a struct of nothing else. They stay valid
 * for ever. It costs microseconds once the library has been opened. Any thread.
 *
 * MM_UNSUPPORTED: built without the headers, the library is not there, or is too old; the text says
 * what to install. */
mm_status mmi_onnx_open_library(const struct onnx_library *library, void *functions, mm_error *err);

/* Text of a message of a library: cut to what `text` has room for, without blanks and line ends
 * behind it. The first message is kept. */
#define ONNX_MESSAGE_BYTES 200
void mmi_onnx_keep_message(char text[ONNX_MESSAGE_BYTES], const char *message);

#endif
