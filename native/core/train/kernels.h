// The CPU's kernels for training, as custom operations in a ggml graph: every matrix product is one of floats, one
// slice for each of ggml's threads. All tensors are [features, tokens] with contiguous features. One thread count
// gives one result, bit for bit.
#pragma once
#include <cstdint>
#include <vector>

#include "ggml.h"
#include "train/adapter.h"
#include "train/matrix-products.h"

#if defined(__SANITIZE_THREAD__)
extern "C" void __tsan_acquire(void * place);
extern "C" void __tsan_release(void * place);
#endif

namespace inward {

// --- what every kernel needs of ggml's tensors

inline const float * floats(const ggml_tensor * t) { return (const float *) t->data; }
inline float *       floats(ggml_tensor * t) { return (float *) t->data; }
// floats from one row to the next
inline int64_t stride(const ggml_tensor * t) { return (int64_t) (t->nb[1] / sizeof(float)); }

// Two nodes of a graph stand apart by a barrier in ggml, which the thread sanitizer does not see: each operation
// tells it. To it, every tensor that one thread writes and another one reads at the next node would be a race.
struct node_order {
#if defined(__SANITIZE_THREAD__)
    node_order() { __tsan_acquire(&place); }
    ~node_order() { __tsan_release(&place); }
    static inline char place = 0;
#else
    node_order() {}
#endif
};

// A custom operation on ggml's threads, all of them unless said otherwise; sources that are null at the end are left out.
inline ggml_tensor * custom_node(ggml_context * ctx, const char * name, int64_t ne0, int64_t ne1,
                                 std::vector<ggml_tensor *> sources, ggml_custom_op_t op, void * userdata,
                                 int threads = GGML_N_TASKS_MAX) {
    while (!sources.empty() && !sources.back()) sources.pop_back();
    auto * made = ggml_custom_4d(ctx, GGML_TYPE_F32, ne0, ne1, 1, 1, sources.data(), (int) sources.size(), op,
                                 threads, userdata);
    ggml_set_name(made, name);
    return made;
}

// --- products of a group of projections (linear-kernels.cpp)

// A x * alpha/rank -> [rank_rows, tokens]
ggml_tensor * lora_down(ggml_context * ctx, projection_group & group, ggml_tensor * x);
// W x + bias + B xa (+ residual) for all parts below each other -> [out, tokens]; xa and residual may be null
ggml_tensor * linear(ggml_context * ctx, projection_group & group, ggml_tensor * x, ggml_tensor * xa,
                     ggml_tensor * residual);
// B^T dy * alpha/rank -> [rank_rows, tokens]
ggml_tensor * lora_down_back(ggml_context * ctx, projection_group & group, ggml_tensor * dy);
// W^T dy + mask * (A^T dxa) -> [in, tokens], and adds to the gradients of A and B: dxa, dropped x and xa may be null
// without a pair, mask without dropout
ggml_tensor * linear_back(ggml_context * ctx, projection_group & group, ggml_tensor * dy, ggml_tensor * dxa,
                          ggml_tensor * dropped_x, ggml_tensor * xa, ggml_tensor * mask);
// Only the gradients of A and B: for the first layer, whose input needs none -> a [1] that stands for the work
ggml_tensor * lora_gradients(ggml_context * ctx, projection_group & group, ggml_tensor * dy, ggml_tensor * dxa,
                             ggml_tensor * dropped_x, ggml_tensor * xa);
// Most floats of work space that one thread needs for this group
int64_t linear_scratch(const projection_group & group);

// --- attention over a prefix forest (attention-kernels.cpp)

struct key_range {
    int32_t first, last;  // [first, last)
};

// Queries of one segment that are computed together: they see `keys` wholly, except for those that a query's window has
// left behind and for the last range, which is their own segment up to the last query and is seen causally.
struct attention_block {
    int32_t                first, last;  // queries [first, last)
    std::vector<key_range> keys;
    int32_t                key_count;
};

// Which queries see which keys, in all layers of one window. It changes from microbatch to microbatch; the graph keeps
// a pointer.
struct attention_plan {
    int64_t head_width, heads, kv_heads;
    float   scale, cap;  // of scores, as in hyperparameters
    int64_t window;      // as in layer_traits
    workspace * work;
    std::vector<attention_block> blocks;
    struct item {
        int32_t block, kv_head;
    };
    std::vector<std::vector<item>> of_thread;  // balanced by cost

    void set(const microbatch & batch, int threads);
    // Most floats of work space that one thread needs
    int64_t scratch(int64_t tokens) const;
};

// A weight that is null: no norm.
struct norm_parameters {
    const ggml_tensor * weight  = nullptr;
    float               epsilon = 0;
};

// How a layer makes its queries and keys of what its projections give, and what they see.
struct attention_layer {
    attention_plan *      plan   = nullptr;
    int64_t               of_plans = 0;        // which of model_parts::plans, and so of the graph's masks, that is
    const rope_settings * rope   = nullptr;    // null where it does not turn
    bool                  local  = false;      // which of the graph's RoPE tables
    norm_parameters       q_norm, k_norm;      // over each head's numbers where the weight is as wide, else over all
};

// norms and turns the queries and keys that begin qkv [q + k + v, tokens] -> [q + k, tokens]; the table is null where
// nothing turns
ggml_tensor * turn_heads(ggml_context * ctx, attention_layer & layer, ggml_tensor * qkv, ggml_tensor * table);
// -> [heads * head_width, tokens]
ggml_tensor * attention(ggml_context * ctx, attention_layer & layer, ggml_tensor * qk, ggml_tensor * qkv);
// -> gradient of qkv [q + k + v, tokens]
ggml_tensor * attention_back(ggml_context * ctx, attention_layer & layer, ggml_tensor * qk, ggml_tensor * qkv,
                             ggml_tensor * dout, ggml_tensor * table, int threads);

// --- everything that is not a product (pointwise-kernels.cpp)

ggml_tensor * rms_norm(ggml_context * ctx, norm_parameters & norm, ggml_tensor * x);
// gradient through the norm, plus residual (the gradient that went around it), which may be null
ggml_tensor * rms_norm_back(ggml_context * ctx, norm_parameters & norm, ggml_tensor * dh, ggml_tensor * x,
                            ggml_tensor * residual);
// tanh's approximation of GELU is x sigmoid(GELU_LINEAR x + GELU_CUBIC x^3): 2 sqrt(2 / pi), and that times 0.044715
constexpr float GELU_LINEAR = 1.5957691216f, GELU_CUBIC = 0.0713548163f;

// [gate; up] [2F, tokens] -> act(gate) * up [F, tokens]
ggml_tensor * gated(ggml_context * ctx, gate_kind kind, ggml_tensor * gate_up);
ggml_tensor * gated_back(ggml_context * ctx, gate_kind kind, ggml_tensor * gate_up, ggml_tensor * dact);
// logits as hp.logit_cap bounds them, and the gradient of what they were before
ggml_tensor * cap_logits(ggml_context * ctx, const hyperparameters & hp, ggml_tensor * logits);
ggml_tensor * cap_logits_back(ggml_context * ctx, const hyperparameters & hp, ggml_tensor * d, ggml_tensor * logits);

// One chunk of loss rows.
struct loss_chunk {
    const int32_t * targets;
    const float *   weights;
    double *        logprobs;  // out
};

// In place: logits [vocabulary, rows] become weight * (softmax - one at the target); log-probabilities go to the chunk
ggml_tensor * cross_entropy(ggml_context * ctx, loss_chunk & chunk, ggml_tensor * logits);

// gradient through a row of a softmax, in place: d = p (d - sum p d) scale
void softmax_back(const float * p, float * d, int64_t n, float scale);
// gradient through a norm of n numbers, plus `around`, which may be null; `dx` may be `dh`
void norm_back_row(const float * dh, const float * weight, const float * x, const float * around, float * dx, int64_t n,
                   float epsilon);
// slope of cap * tanh(x / cap), told by its values
void cap_slopes(const float * capped, float * slopes, int64_t n, float cap);
// d *= slopes
void multiply_row(float * d, const float * slopes, int64_t n);

}  // namespace inward
