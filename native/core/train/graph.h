// The model as a graph: forward, loss and gradients, written once over `operations`.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "train/operations.h"
#include "train/weight-store.h"

namespace inward {

// What a graph computes for one size of microbatch.
enum class graph_kind {
    train,   // log-probabilities of the targets, and adds to the gradients
    logits,  // raw logits at the loss rows
};

struct graph_settings {
    graph_kind kind          = graph_kind::train;
    bool       checkpointing = false;
    bool       dropout       = false;
};

struct dropout_mask {
    ggml_tensor * tensor;  // f32 [in, tokens or rows]
    int           layer, group;
};

// The nodes of one layer's turn, forward or backward: from `first` to the next phase's. Layer -1: the embeddings; as many
// as there are: what follows the last.
struct graph_phase {
    int first, layer;
};

// Where a streamed layer's turn begins.
struct layer_visit {
    weight_store * weights;
    size_t         number;
};

struct model_graph {
    graph_context              g;
    std::vector<graph_phase>   phases;
    std::vector<int>           streamed;  // layers in the order in which the graph visits them
    std::deque<layer_visit>    visits;    // the graph points into it
    std::vector<loss_chunk>    chunks;
    std::vector<ggml_tensor *> logprobs;  // of each chunk, when ggml's operations compute the loss
    std::vector<ggml_tensor *> logits;    // of each chunk, when logits are wanted
    std::vector<dropout_mask>  masks;
    std::vector<double>        row_logprobs;  // filled by our own loss kernel
    int64_t                    chunk_rows = 0;

    ~model_graph();
};

// What a layer computes beside its products. A norm without a weight is none.
struct layer_parts {
    norm_parameters attention_norm, attention_post_norm, feed_forward_norm, feed_forward_post_norm;
    attention_layer attention;
};

// The same for all layers; the kernels keep pointers into it.
struct model_parts {
    std::vector<attention_plan> plans;  // one for each window that a layer has
    std::vector<layer_parts>    layers;
    norm_parameters             output_norm;

    model_parts(const base_model & model, workspace * work);
    model_parts(const model_parts &) = delete;
    int64_t scratch(int64_t tokens) const;
    void    set(const microbatch & batch, int threads);
};

// What never changes stands on the device: as inputs of a graph, each view of them would be copied there every time.
class graph_constants {
public:
    // throws inward::error TRAIN_MEMORY
    graph_constants(const hyperparameters & hp, ggml_backend_t backend);
    ~graph_constants();
    graph_constants(const graph_constants &) = delete;

    ggml_tensor * counting = nullptr;  // i32 [0, 1, ... up to the widest rows of any weight]
    ggml_tensor * zeros    = nullptr;  // f32 [widest scattered row, 1]

private:
    ggml_context *        context_ = nullptr;
    ggml_backend_buffer_t buffer_  = nullptr;
};

// [devices]
using constants_by_device = std::vector<std::unique_ptr<graph_constants>>;
constants_by_device constants_on(const devices & where, const hyperparameters & hp);

// Whether the device computes products with a turned second operand as it lies, so that nothing need be turned.
bool multiplies_turned(ggml_backend_t backend);

// What the graphs of one trainer have in common.
struct graph_maker {
    base_model &       model;
    adapter &          lora;
    projection_group & output;
    model_parts &      parts;
    const placement &  places;
    weight_store &     weights;
    ggml_backend_t     backend;
    bool               is_cpu;
    bool               own_kernels;
    int                threads;
    const constants_by_device & constants;
    // Loss rows whose logits exist at once: a processor's cache wants few, a GPU is idle with few.
    int64_t            chunk_rows;
    bool               takes_turned;

    // most nodes that any graph of this model has
    size_t most_nodes(int64_t rows) const;
    std::unique_ptr<model_graph> make(const graph_settings & settings, int64_t tokens, int64_t rows) const;
    std::unique_ptr<operations>  operations_for(graph_context & g) const;
    // creates the nodes that are filled before a run
    void add_inputs(graph_context & g, bool own_attention, bool own_loss) const;
};

// Which kernel computes each group's products (choose-kernels.cpp): our own on a CPU; elsewhere measured with this model's
// shapes. Sets every group's kernels, from `given` where it names them ("qkv.forward": "ggml"), else by measuring the first
// layer's group with `tokens` tokens. Leaves the choices in `chosen` and what was measured in `timings`. Gradients are
// garbage afterwards.
// exact: only among those whose operands are floats.
// throws inward::error TRAIN_DEVICE when a given kernel cannot be had
void choose_kernels(graph_maker & maker, const std::map<std::string, std::string> & given, int64_t tokens, bool exact,
                    std::map<std::string, std::string> & chosen, std::map<std::string, std::string> & timings);

}  // namespace inward
