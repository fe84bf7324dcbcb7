/* SPDX-License-Identifier: Apache-2.0 */
/* version.h as an older minor would have had it: frozen, and without the last fields of structs
 * that may grow. Without comments. For program.c and plugin.c. */
#ifndef MODELMESH_VERSION_H
#define MODELMESH_VERSION_H

#define MM_VERSION_MAJOR 0
#define MM_VERSION_MINOR 0
#define MM_VERSION_PATCH 0
#define MM_VERSION_TEXT "0.0.0"

#define MM_ABI_MAJOR 0
#define MM_ABI_MINOR 0

#define MM_BACKEND_ABI_MAJOR 1
#define MM_BACKEND_ABI_MINOR 0

#endif
