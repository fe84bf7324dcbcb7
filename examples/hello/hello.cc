/* SPDX-License-Identifier: Apache-2.0 */
/* The same from C++17: a mesh and a response that free themselves.
 *
 *     c++ -std=c++17 hello.cc $(pkg-config --cflags --libs modelmesh) -o hello-cc && ./hello-cc */
#include <modelmesh/modelmesh.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

struct FreeMesh {
    void operator()(mm_mesh *mesh) const { mm_mesh_free(&mesh); }
};
using Mesh = std::unique_ptr<mm_mesh, FreeMesh>;

struct Response : mm_response {
    Response() : mm_response(MM_RESPONSE_INIT) {}
    ~Response() { mm_response_free(this); }
    Response(const Response &) = delete;
    Response &operator=(const Response &) = delete;
};

int main() {
    mm_error err;
    mm_mesh *made = nullptr;
    if (mm_mesh_create(nullptr, &made, &err) != MM_OK) {
        std::fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    Mesh mesh(made);
    const std::string script = "echo1\nweights_bytes 1m\nseed 9\n";
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = "echo";
    spec.data = script.data();
    spec.data_bytes = script.size();
    mm_model model;
    if (mm_register(mesh.get(), &spec, &model, &err) != MM_OK) {
        std::fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    std::vector<float> x = {1, 2, 3, 4};
    mm_value input = {};
    input.name = "x";
    input.dtype = MM_F32;
    input.rank = 2;
    input.shape[0] = 1;
    input.shape[1] = 4;
    input.data = x.data();
    input.bytes = x.size() * sizeof(float);
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &input;
    request.input_count = 1;
    Response response;
    if (mm_infer(mesh.get(), model, &request, &response, &err) != MM_OK) {
        std::fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const float *y = static_cast<const float *>(response.outputs[0].data);
    std::printf("echo: y = %g %g %g %g\n", y[0], y[1], y[2], y[3]);
    return y[3] == 4 ? 0 : 1;
}
