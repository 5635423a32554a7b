// What is written into states on the way, as a caller gives it: native/index.d.ts says what each array is.
#pragma once
#include <cstdint>
#include <vector>

namespace inward {

// src/model/interventions.ts has the same ones.
enum class edit_operation : int32_t { replace, add, project_out, scale };
constexpr int32_t EDIT_OPERATIONS = 4;

struct intervention_table {
    int64_t              model_layers = 0, head_width = 0;
    std::vector<float>   values, factors;
    std::vector<int32_t> parts, layers, widths, operations;
    std::vector<int32_t> vector_starts, vectors, head_starts, heads, set_starts, sets;
    std::vector<int32_t> token_sets, answer_sets;  // empty: nothing is done to anybody
};

}  // namespace inward
