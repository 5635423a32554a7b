// The frozen base: hyperparameters and weights of a GGUF of a known architecture; who computes with them gives them memory.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ggml.h"
#include "shared/architectures.h"

struct gguf_context;

namespace inward {

class shared_file;

// A weight matrix [in, out] and its optional bias [out].
struct linear_weights {
    std::string              name;     // "blk.0.attn_q"
    std::vector<std::string> targets;  // what an adapter calls it; several where one matrix is several projections
    ggml_tensor *            weight = nullptr;
    ggml_tensor *            bias   = nullptr;
};

// Weights of norms are null where the architecture has none.
struct layer_weights {
    ggml_tensor * attention_norm = nullptr, * feed_forward_norm = nullptr;            // of what is read
    ggml_tensor * attention_post_norm = nullptr, * feed_forward_post_norm = nullptr;  // of what is added
    // [head width] over the numbers of each head, or over all heads' numbers
    ggml_tensor * q_norm = nullptr, * k_norm = nullptr;
    // What reads the same input, in the order of its outputs: q, k, v and gate, up, or one matrix for all of them.
    std::vector<linear_weights> qkv, gate_up;
    linear_weights              o, down;
};

class base_model {
public:
    // Reads and checks the header, of all files where the model is split; allocates nothing.
    // throws inward::error MODEL_NOT_GGUF, MODEL_PARTS, MODEL_TRUNCATED, MODEL_ARCHITECTURE, TRAIN_MODEL
    // `types`: what weights may be encoded as
    base_model(const std::string & path, const std::vector<ggml_type> & types);
    ~base_model();
    base_model(const base_model &) = delete;

    // Bytes of a tensor from `first` on, from the file; from any thread. throws MODEL_TRUNCATED
    void read(const ggml_tensor * tensor, int64_t first, int64_t count, std::vector<char> & bytes) const;

    hyperparameters            hparams;
    ggml_tensor *              token_embedding = nullptr;
    ggml_tensor *              output_norm     = nullptr;
    ggml_tensor *              rope_factors    = nullptr;  // [rope width / 2] or null
    linear_weights             output;                     // the embedding again when tied
    std::vector<layer_weights> layers;

    uint64_t       weight_bytes() const { return weight_bytes_; }
    ggml_context * tensors() const { return tensors_; }

private:
    // A file of the model and its own header.
    struct part {
        std::string      path;
        ::gguf_context * header  = nullptr;
        ggml_context *   tensors = nullptr;
        std::shared_ptr<shared_file> bytes = {};
    };

    std::vector<part>     parts_;              // the first has all metadata
    ggml_context *        tensors_ = nullptr;  // of all parts; the only part's own
    uint64_t              weight_bytes_ = 0;
    std::vector<ggml_type> types_;

    void          open_part(const std::string & path);
    void          open_other_parts();
    void          gather_tensors();
    void          free_headers();
    void          find_tensors(const architecture & kind);
    void          find_rope_factors(const architecture & kind);
    layer_weights find_layer(const architecture & kind, const std::string & block);
    void          check_file_length() const;
    ggml_tensor * take(const std::string & name, std::vector<int64_t> shape, bool needed);
    std::vector<std::string> taken_;
};

}  // namespace inward
