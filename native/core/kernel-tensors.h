// What every kernel file needs of ggml's tensors. Included by kernels only.
#pragma once
#include <cstdint>
#include <vector>

#include "ggml.h"

namespace inward {

inline const float * floats(const ggml_tensor * t) { return (const float *) t->data; }
inline float *       floats(ggml_tensor * t) { return (float *) t->data; }
// floats from one row to the next
inline int64_t stride(const ggml_tensor * t) { return (int64_t) (t->nb[1] / sizeof(float)); }

// A custom operation on all of ggml's threads; sources that are null at the end are left out.
inline ggml_tensor * custom_node(ggml_context * ctx, const char * name, int64_t ne0, int64_t ne1, std::vector<ggml_tensor *> sources,
                                 ggml_custom_op_t op, void * userdata) {
    while (!sources.empty() && !sources.back()) sources.pop_back();
    auto * made = ggml_custom_4d(ctx, GGML_TYPE_F32, ne0, ne1, 1, 1, sources.data(), (int) sources.size(), op, GGML_N_TASKS_MAX, userdata);
    ggml_set_name(made, name);
    return made;
}

}  // namespace inward
