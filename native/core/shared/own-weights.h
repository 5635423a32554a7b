// A base's weights as in its file, and the LoRA pairs on it as floats, in the product kernels' memory order.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "inward/engine.h"
#include "shared/base-model.h"
#include "shared/products.h"
#include "shared/thread-team.h"

namespace inward {

// B (A x) * scale beside one projection.
struct packed_pair {
    packed_matrix a, b;
    float         scale;
};

struct packed_projection {
    std::string              name;  // "blk.0.attn_q"
    packed_matrix            weight;
    std::vector<float>       bias;  // or empty
    std::vector<packed_pair> pairs; // of each adapter that has one
};

// Projections that read the same input and write side by side.
struct packed_group {
    std::vector<packed_projection> parts;
    int64_t in() const { return parts[0].weight.in(); }
    int64_t out() const;
    bool    has_pairs() const;
};

// Norms' weights are empty where the architecture has none: see layer_weights.
struct packed_layer {
    std::vector<float> attention_norm, feed_forward_norm, attention_post_norm, feed_forward_post_norm, q_norm, k_norm;
    packed_group       qkv, o, gate_up, down;
};

// Rows of `columns` weights as floats: as products read them from panels, by kernels that this processor has (avx512,
// avx2, plain), or as ggml decodes them (by "ggml"). throws MODEL_TENSOR_TYPE
std::vector<float> decode_weights(const std::string & type, const std::vector<uint8_t> & bytes, int64_t columns,
                                  const std::string & by);

class own_weights {
public:
    // Reads the header only. throws MODEL_*, ENGINE_UNAVAILABLE with what the model has that is not evaluated here
    explicit own_weights(const std::string & path);

    uint64_t bytes() const { return bytes_; }
    // Once. throws ENGINE_MEMORY, MODEL_TRUNCATED
    void load(thread_team & team);
    // Replaces all pairs. throws ADAPTER_INVALID and leaves those before
    void set_adapters(const std::vector<adapter_choice> & chosen);

    hyperparameters           hparams;
    std::vector<float>        output_norm, rope_factors;  // the latter may be empty
    std::vector<packed_layer> layers;
    packed_group              output;
    packed_matrix             embedding;  // the output's weights again when tied
    int64_t                   most_rank = 0;  // of all pairs of a group together

private:
    std::unique_ptr<const base_model> model_;  // until it is loaded
    bool                              tied_;
    uint64_t                          bytes_;
    memory_block                      block_, pairs_;

    template <typename Each> void each_group(const Each & each);
};

}  // namespace inward
