// A model file with its weights in another encoding, made by llama.cpp.
#pragma once
#include <string>
#include <vector>

namespace inward {

// How much each column of a matrix matters to the rounding of its rows.
struct importance {
    std::string        tensor;
    std::vector<float> values;  // [columns x experts], finite
};

// A metadata value that is written into the new file. text empty: the number.
struct metadata_value {
    std::string key, text;
    int64_t     number = 0;
};

struct requantize_options {
    std::string binaries_folder;
    std::string input;
    std::string output;  // must not be there yet
    std::string type;    // in llama.cpp's words, lower case: f32, q8_0, q4_k_m ...
    int         threads = 1;
    std::vector<importance>     importances;  // empty: columns matter alike
    std::vector<metadata_value> metadata;     // keys and texts of fewer than 128 bytes
};

// Quantized weights are decoded first. Tensors of one dimension and norms stay as they are; in a mixture like q4_k_m,
// and for an output that is quantized, llama.cpp chooses by tensor. Its order of metadata and tensors is its own. The
// same input gives the same bytes for any number of threads. On failure there is no output file, but an assertion of
// ggml's ends the process: call this in one that may end. A full disk llama.cpp does not always notice: it leaves a
// file without a header.
// throws inward::error ENGINE_UNAVAILABLE, MODEL_TENSOR_TYPE, STORE_UNWRITABLE
void requantize(const requantize_options & options);

}  // namespace inward
