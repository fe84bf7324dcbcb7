/* SPDX-License-Identifier: Apache-2.0 */
#include <conformance/samples.h>

#include <modelmesh/backend.h>

#define BOTH (MM_DEVICE_HOST | MM_DEVICE_SIM)
#define WEIGHTS "weights_bytes 70001\ngroups 3\nseed 5\n"
#define DATA "backends/onnx/data/"

const struct sample samples[] = {
    {"null", "anything", "any bytes are a null model", NULL, BOTH, 3, ""},
    {"echo", "empty", "echo1\n", NULL, BOTH, 0, ""},
    {"echo", "plain", "echo1\n" WEIGHTS "activation_bytes 9k\n", NULL, BOTH, 0, ""},
    {"echo", "late", "echo1\n" WEIGHTS "check 0\n", NULL, BOTH, 0, ""},
    {"echo", "bound", "echo1\n" WEIGHTS "outputs bound\n", NULL, BOTH, 5, ""},
    {"echo", "unknown", "echo1\n" WEIGHTS "outputs unknown\n", NULL, BOTH, 5, ""},
    {"echo", "scratch", "echo1\nactivation_per_element 300\nscratch_more 5000\n", NULL, BOTH, 0,
     ""},
    {"echo", "device", "echo1\n" WEIGHTS "through_device 1\n", NULL, BOTH, 0, ""},
    {"echo", "serial", "echo1\nserial 1\nown_bytes 3k\nleak_bytes 1k\n", NULL, BOTH, 0, ""},
    {"echo", "slow", "echo1\ninfer_ns 3ms\n", NULL, BOTH, 0, ""},
    {"echo", "strings", "echo1\nio string\n", NULL, BOTH, 4, ""},
    {"echo", "sequence", "echo1\nio sequence\ndtype i2\n", NULL, BOTH, 0, ""},
    {"echo", "map", "echo1\nio map\n", NULL, BOTH, 0, ""},
    {"echo", "optional", "echo1\nio optional\ndtype f64\n", NULL, BOTH, 0, ""},
    {"echo", "two", "echo1\nio two\ndtype i4\n", NULL, BOTH, 3, ""},
    {"echo", "repeat", "echo1\nio repeat\noutputs unknown\n", NULL, BOTH, 0, ""},
    {"echo-nested", "plain", "echon\n" WEIGHTS, NULL, BOTH, 0, ""},
    {"echo-device", "plain", "echod\n" WEIGHTS, NULL, BOTH, 0, ""},
    {"echo-device", "device", "echod\n" WEIGHTS "through_device 1\n", NULL, BOTH, 0, ""},
    {"echo-device", "unknown", "echod\n" WEIGHTS "outputs unknown\n", NULL, BOTH, 5, ""},
    {"echo-device", "two", "echod\nio two\ndtype i4\n", NULL, BOTH, 3, ""},
    {"echo-device", "repeat", "echod\nio repeat\noutputs bound\n", NULL, BOTH, 0, ""},
    {"onnx", "mlp", NULL, DATA "mlp.onnx", BOTH, 0, ""},
    {"onnx", "image", NULL, DATA "image.onnx", BOTH, 9, ""},
    {"onnx", "rate", NULL, DATA "rate.onnx", BOTH, 3, ""},
    {"onnx", "lengths", NULL, DATA "lengths.onnx", BOTH, 20, ""},
    {"onnx", "outputs", NULL, DATA "outputs.onnx", BOTH, 0, ""},
    {"echo-own", "own", "echoo\n" WEIGHTS "own_bytes 10k\nleak_bytes 1k\n", NULL, BOTH, 0, ""},
    {"onnx", "timed image", NULL, DATA "image.onnx", BOTH, 9, "profile=1"},
    {"onnx", "timed rate", NULL, DATA "rate.onnx", BOTH, 3, "profile=1"},
    {0},
};

const struct exception unsupported[] = {
    {0},
};

const struct exception expected_to_fail[] = {
    {0},
};
