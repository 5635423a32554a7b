// The steps of a transformer layer and their gradients as ggml nodes, in two ways: with ggml's own operations, on any
// device; and with the CPU's kernels. graph.cpp writes the model once over these.
#pragma once
#include <memory>
#include <string>

#include "train/kernels.h"

namespace inward {

// Nodes that are filled before each run.
struct graph_inputs {
    ggml_tensor * tokens     = nullptr;  // i32 [tokens]
    ggml_tensor * positions  = nullptr;  // i32 [tokens]            ggml's RoPE
    ggml_tensor * global_table = nullptr, * local_table = nullptr;  // f32 [RoPE's width, tokens] our RoPE
    std::vector<ggml_tensor *> masks;    // f32 [tokens, tokens]    ggml's attention, one for each window
    ggml_tensor * rows       = nullptr;  // i32 [rows] the loss rows
    ggml_tensor * row_of     = nullptr;  // i32 [tokens] each token's loss row, or the number of rows
    ggml_tensor * targets    = nullptr;  // i32 [rows] vocabulary * (row in its chunk) + target   ggml's loss
    ggml_tensor * weights    = nullptr;  // f32 [1, rows]                                         ggml's loss
    ggml_tensor * zeros      = nullptr;  // f32 [widest scattered row, 1]
    ggml_tensor * counting   = nullptr;  // i32 [most rows of any weight] 0, 1, 2, …              ggml's products
};

struct graph_context {
    ggml_context *    ctx   = nullptr;
    ggml_cgraph *     graph = nullptr;
    graph_inputs      in;
    int64_t           tokens = 0, rows = 0;
    const base_model * model = nullptr;
    ggml_backend_t    backend = nullptr;
    bool              is_cpu  = true;
    int               threads = 1;
    bool              takes_turned = false;  // the device multiplies by turned matrices as they lie
};

// With ggml's own operations.
class operations {
public:
    explicit operations(graph_context & g) : g(g) {}
    virtual ~operations() = default;

    virtual ggml_tensor * norm(norm_parameters & p, ggml_tensor * x);
    // gradient of x, plus the residual, which may be null
    virtual ggml_tensor * norm_back(norm_parameters & p, ggml_tensor * dh, ggml_tensor * x, ggml_tensor * residual);
    virtual ggml_tensor * down(projection_group & group, ggml_tensor * x);
    virtual ggml_tensor * project(projection_group & group, ggml_tensor * x, ggml_tensor * xa, ggml_tensor * residual);
    // null when the input's gradient is not needed; adds to the pairs' gradients either way
    virtual ggml_tensor * project_back(projection_group & group, ggml_tensor * dy, ggml_tensor * dropped_x,
                                       ggml_tensor * xa, ggml_tensor * mask, bool need_input);
    // queries and keys, normed and turned as the layer has it
    virtual ggml_tensor * turn_heads(attention_layer & layer, ggml_tensor * qkv);
    virtual ggml_tensor * attend(attention_layer & layer, ggml_tensor * qk, ggml_tensor * qkv);
    // gradient of qkv
    virtual ggml_tensor * attend_back(attention_layer & layer, ggml_tensor * qk, ggml_tensor * qkv,
                                      ggml_tensor * dout);
    virtual ggml_tensor * gate(ggml_tensor * gate_up);
    virtual ggml_tensor * gate_back(ggml_tensor * gate_up, ggml_tensor * dact);
    // gradient of the logits; log-probabilities go to the chunk (CPU) or to *logprobs, a node to read after the run
    virtual ggml_tensor * loss_back(loss_chunk & chunk, ggml_tensor * logits, int64_t first_row,
                                    ggml_tensor ** logprobs);
    // what the output projection gives, scaled and capped
    ggml_tensor * finish_logits(ggml_tensor * raw);
    ggml_tensor * finish_logits_back(ggml_tensor * d, ggml_tensor * raw);
    // rows [features, rows] to their tokens, zero elsewhere
    ggml_tensor * scatter(ggml_tensor * rows);
    virtual bool own_attention() const { return false; }
    virtual bool own_loss() const { return false; }

protected:
    graph_context & g;

    ggml_tensor * part_of(ggml_tensor * whole, int64_t first, int64_t count);
    ggml_tensor * transposed(ggml_tensor * t);
    ggml_tensor * outer(ggml_tensor * a, ggml_tensor * b);
    ggml_tensor * weight_rows(ggml_tensor * w, int64_t first, int64_t count);
    ggml_tensor * weight_product(const projection_group & group, ggml_tensor * w, ggml_tensor * x);
    ggml_tensor * product_over_rows(ggml_tensor * w, ggml_tensor * x, bool turned);
    virtual ggml_tensor * cap_logits(ggml_tensor * logits);
    virtual ggml_tensor * cap_logits_back(ggml_tensor * d, ggml_tensor * logits);
    // of scores: [keys, queries, heads], and what a cap makes of a change of a score or null
    struct attention_values {
        ggml_tensor * probabilities, * slopes;
    };
    attention_values probabilities(attention_layer & layer, ggml_tensor * qk);
    // tanh(x / cap), and its slope
    ggml_tensor * bounded(ggml_tensor * x, float cap);
    ggml_tensor * slope_of(ggml_tensor * bounded);
    // sigmoid(x (GELU_LINEAR + GELU_CUBIC x^2))
    ggml_tensor * gelu_sigmoid(ggml_tensor * x, ggml_tensor * square);
    // over as many numbers as the norm has; heads is [head width, heads, tokens]
    ggml_tensor * norm_heads(norm_parameters & p, ggml_tensor * heads);
    ggml_tensor * norm_heads_back(norm_parameters & p, ggml_tensor * d, ggml_tensor * heads);
    ggml_tensor * turned(attention_layer & layer, ggml_tensor * heads, bool back);
    ggml_tensor * heads_of(ggml_tensor * t, int64_t first, int64_t count);
    ggml_tensor * by_head(ggml_tensor * t, int64_t first, int64_t count);
    void          add_gradient(ggml_tensor * sum, ggml_tensor * gradient);
    bool          supported(ggml_tensor * node) const;
};

// With the CPU's own kernels.
class cpu_operations : public operations {
public:
    using operations::operations;
    ggml_tensor * norm(norm_parameters & p, ggml_tensor * x) override;
    ggml_tensor * norm_back(norm_parameters & p, ggml_tensor * dh, ggml_tensor * x, ggml_tensor * residual) override;
    ggml_tensor * down(projection_group & group, ggml_tensor * x) override;
    ggml_tensor * project(projection_group & group, ggml_tensor * x, ggml_tensor * xa,
                          ggml_tensor * residual) override;
    ggml_tensor * project_back(projection_group & group, ggml_tensor * dy, ggml_tensor * dropped_x, ggml_tensor * xa,
                               ggml_tensor * mask, bool need_input) override;
    ggml_tensor * turn_heads(attention_layer & layer, ggml_tensor * qkv) override;
    ggml_tensor * attend(attention_layer & layer, ggml_tensor * qk, ggml_tensor * qkv) override;
    ggml_tensor * attend_back(attention_layer & layer, ggml_tensor * qk, ggml_tensor * qkv,
                              ggml_tensor * dout) override;
    ggml_tensor * gate(ggml_tensor * gate_up) override;
    ggml_tensor * gate_back(ggml_tensor * gate_up, ggml_tensor * dact) override;
    ggml_tensor * loss_back(loss_chunk & chunk, ggml_tensor * logits, int64_t first_row,
                            ggml_tensor ** logprobs) override;
    bool own_attention() const override { return true; }
    bool own_loss() const override { return true; }

protected:
    ggml_tensor * cap_logits(ggml_tensor * logits) override;
    ggml_tensor * cap_logits_back(ggml_tensor * d, ggml_tensor * logits) override;
};

}  // namespace inward
