#include "train/graph.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "ggml-alloc.h"
#include "inward/error.h"

namespace inward {

namespace {

// What one layer's forward pass leaves for its backward pass.
struct layer_values {
    ggml_tensor * x = nullptr, * qkv = nullptr, * qk = nullptr, * attended = nullptr;
    ggml_tensor * x1 = nullptr, * gate_up = nullptr;
    ggml_tensor * added[GROUPS_PER_LAYER] = {};  // by a block, before its norm
    ggml_tensor * dropped[GROUPS_PER_LAYER] = {}, * xa[GROUPS_PER_LAYER] = {};
};

// Runs on the CPU between two layers: what it reads of the layer before is there only when that one is computed.
void enter_layer(ggml_tensor * dst, int, int, void * userdata) {
    const auto & visit = *(const layer_visit *) userdata;
    visit.weights->enter(visit.number);
    *floats(dst) = *floats(dst->src[0]);
}

struct builder {
    const graph_maker &          make;
    model_graph &                out;
    operations &                 ops;
    const graph_settings &       settings;
    // one for each layer and group, so that a layer that is computed again drops the same inputs
    std::vector<std::vector<ggml_tensor *>> masks;

    graph_context & g() const { return out.g; }
    projection_group & group(int layer, int which) const { return make.lora.groups[layer][which]; }

    ggml_tensor * mask_of(int layer, int which, ggml_tensor * x) {
        if (!settings.dropout || !group(layer, which).has_lora()) return nullptr;
        auto *& mask = masks[layer][which];
        if (!mask) {
            mask = ggml_new_tensor_2d(g().ctx, GGML_TYPE_F32, x->ne[0], x->ne[1]);
            ggml_set_input(mask);
            out.masks.push_back({ mask, layer, which });
        }
        return mask;
    }

    ggml_tensor * project(int layer, int which, ggml_tensor * x, ggml_tensor * residual, layer_values & v) {
        auto & gr = group(layer, which);
        if (gr.has_lora()) {
            auto * mask      = mask_of(layer, which, x);
            v.dropped[which] = mask ? ggml_mul(g().ctx, x, mask) : x;
            v.xa[which]      = ops.down(gr, v.dropped[which]);
        }
        return ops.project(gr, x, v.xa[which], residual);
    }

    ggml_tensor * project_back(int layer, int which, ggml_tensor * dy, const layer_values & v,
                               bool need_input = true) {
        auto * mask = masks[layer][which];
        return ops.project_back(group(layer, which), dy, v.dropped[which], v.xa[which], mask, need_input);
    }

    ggml_tensor * norm(norm_parameters & p, ggml_tensor * x) { return p.weight ? ops.norm(p, x) : x; }

    // Gradient of x: through its norm, and around the block that reads it.
    ggml_tensor * norm_back(norm_parameters & p, ggml_tensor * dh, ggml_tensor * x, ggml_tensor * around) {
        return p.weight ? ops.norm_back(p, dh, x, around) : ggml_add(g().ctx, dh, around);
    }

    ggml_tensor * scaled(ggml_tensor * x, float factor) { return factor == 1 ? x : ggml_scale(g().ctx, x, factor); }

    // `carried` and what a block, which ends with this projection, adds to it.
    ggml_tensor * add(int layer, int which, norm_parameters & after, ggml_tensor * x, ggml_tensor * carried,
                      layer_values & v) {
        const float scale = make.model.hparams.residual_scale;
        if (!after.weight && scale == 1) return project(layer, which, x, carried, v);
        v.added[which] = project(layer, which, x, nullptr, v);
        return ggml_add(g().ctx, scaled(norm(after, v.added[which]), scale), carried);
    }

    // Gradient of what that projection reads.
    ggml_tensor * add_back(int layer, int which, norm_parameters & after, ggml_tensor * dx, const layer_values & v) {
        auto * d = scaled(dx, make.model.hparams.residual_scale);
        if (after.weight) d = ops.norm_back(after, d, v.added[which], nullptr);
        return project_back(layer, which, d, v);
    }

    // From here on nodes are this layer's, up to the next call. `before` is computed before it.
    void enter(int layer, ggml_tensor * before) {
        ggml_build_forward_expand(g().graph, before);
        out.phases.push_back({ ggml_graph_n_nodes(g().graph), layer });
        const auto & constants = *make.constants[make.places.device_of(layer)];
        g().in.zeros           = constants.zeros;
        g().in.counting        = constants.counting;
        if (layer >= (int) make.places.layers.size() || !make.places.layers[layer].streamed) return;
        out.visits.push_back({ &make.weights, out.visits.size() });
        out.streamed.push_back(layer);
        ggml_build_forward_expand(g().graph, custom_node(g().ctx, "enter_layer", 1, 1, { ggml_view_1d(g().ctx, before, 1, 0) },
                                                         enter_layer, &out.visits.back(), 1));
    }

    bool is_last(int layer) const { return layer + 1 == (int) make.model.layers.size(); }

    ggml_tensor * layer_forward(int layer, ggml_tensor * x, layer_values & v) {
        auto & parts = make.parts.layers[layer];
        v.x          = x;
        v.qkv        = project(layer, GROUP_QKV, norm(parts.attention_norm, x), nullptr, v);
        v.qk         = ops.turn_heads(parts.attention, v.qkv);
        v.attended   = ops.attend(parts.attention, v.qk, v.qkv);
        auto * carried = x;
        if (is_last(layer)) {
            // From here on no token looks at another, and only the loss rows are read.
            v.attended = ggml_get_rows(g().ctx, v.attended, g().in.rows);
            carried    = ggml_get_rows(g().ctx, x, g().in.rows);
        }
        v.x1      = add(layer, GROUP_O, parts.attention_post_norm, v.attended, carried, v);
        v.gate_up = project(layer, GROUP_GATE_UP, norm(parts.feed_forward_norm, v.x1), nullptr, v);
        return add(layer, GROUP_DOWN, parts.feed_forward_post_norm, ops.gate(v.gate_up), v.x1, v);
    }

    // null for the first layer
    ggml_tensor * layer_backward(int layer, ggml_tensor * dx2, const layer_values & v) {
        auto & parts     = make.parts.layers[layer];
        auto * dact      = add_back(layer, GROUP_DOWN, parts.feed_forward_post_norm, dx2, v);
        auto * dh2       = project_back(layer, GROUP_GATE_UP, ops.gate_back(v.gate_up, dact), v);
        auto * dx1       = norm_back(parts.feed_forward_norm, dh2, v.x1, dx2);
        auto * dattended = add_back(layer, GROUP_O, parts.attention_post_norm, dx1, v);
        if (is_last(layer)) {
            dattended = ops.scatter(dattended);
            dx1       = ops.scatter(dx1);
        }
        auto * dqkv = ops.attend_back(parts.attention, v.qk, v.qkv, dattended);
        auto * dh1  = project_back(layer, GROUP_QKV, dqkv, v, layer > 0);
        return layer > 0 ? norm_back(parts.attention_norm, dh1, v.x, dx1) : nullptr;
    }

    void build(int64_t rows) {
        const int layers = (int) make.model.layers.size();
        masks.assign(layers, std::vector<ggml_tensor *>(GROUPS_PER_LAYER, nullptr));
        std::vector<layer_values> kept(layers);
        out.phases.push_back({ 0, -1 });
        auto * x = ggml_get_rows(g().ctx, make.model.token_embedding, g().in.tokens);
        x        = scaled(x, make.model.hparams.embedding_scale);
        for (int l = 0; l < layers; l++) {
            enter(l, x);
            x = layer_forward(l, x, kept[l]);
        }
        enter(layers, x);
        auto * h  = ops.norm(make.parts.output_norm, x);
        auto * dh = loss(h, rows);
        if (settings.kind == graph_kind::logits) return;
        auto * dx = ops.norm_back(make.parts.output_norm, dh, x, nullptr);
        for (int l = layers - 1; l >= 0; l--) {
            enter(l, dx);
            layer_values again;
            if (settings.checkpointing) layer_forward(l, kept[l].x, again);
            // The first layer's gradients are expanded by the operations themselves.
            dx = layer_backward(l, dx, settings.checkpointing ? again : kept[l]);
        }
    }

    ggml_tensor * loss(ggml_tensor * h, int64_t rows) {
        ggml_tensor * dh = nullptr;
        for (int64_t first = 0, c = 0; first < rows; first += make.chunk_rows, c++) {
            const int64_t count = std::min(make.chunk_rows, rows - first);
            auto * of_chunk = ggml_view_2d(g().ctx, h, h->ne[0], count, h->nb[1], first * h->nb[1]);
            auto * raw      = ops.project(make.output, of_chunk, nullptr, nullptr);
            auto * logits   = ops.finish_logits(raw);
            if (settings.kind == graph_kind::logits) {
                ggml_set_output(logits);
                ggml_build_forward_expand(g().graph, logits);
                out.logits.push_back(logits);
                continue;
            }
            ggml_tensor * logprobs = nullptr;
            auto * dlogits = ops.loss_back(out.chunks[c], logits, first, &logprobs);
            if (logprobs) out.logprobs.push_back(logprobs);
            auto * draw = ops.finish_logits_back(dlogits, raw);
            auto * d    = ops.project_back(make.output, draw, nullptr, nullptr, nullptr, true);
            dh       = dh ? ggml_concat(g().ctx, dh, d, 1) : d;
            // One chunk's logits are gone before the next one's are made.
            ggml_build_forward_expand(g().graph, dh);
        }
        return dh;
    }
};

}  // namespace

model_parts::model_parts(const base_model & model, workspace * work) {
    const auto & hp = model.hparams;
    // Complete before anything points into it.
    std::vector<int64_t> windows;
    for (const auto & traits : hp.of_layer) {
        if (std::find(windows.begin(), windows.end(), traits.window) != windows.end()) continue;
        windows.push_back(traits.window);
        plans.push_back({ hp.head_width, hp.heads, hp.kv_heads, hp.attention_scale, hp.attention_cap, traits.window,
                          work, {}, {} });
    }
    auto norm   = [&](const ggml_tensor * weight) { return norm_parameters{ weight, hp.norm_epsilon }; };
    output_norm = norm(model.output_norm);
    for (size_t l = 0; l < model.layers.size(); l++) {
        const auto & weights = model.layers[l];
        const auto & traits  = hp.of_layer[l];
        const auto   plan    = std::find(windows.begin(), windows.end(), traits.window) - windows.begin();
        layers.push_back({ norm(weights.attention_norm),
                           norm(weights.attention_post_norm),
                           norm(weights.feed_forward_norm),
                           norm(weights.feed_forward_post_norm),
                           { &plans[plan], plan, traits.turns ? &hp.rope((int64_t) l) : nullptr, traits.local,
                             norm(weights.q_norm), norm(weights.k_norm) } });
    }
}

int64_t model_parts::scratch(int64_t tokens) const {
    // Windows need no more than the whole.
    return plans.front().scratch(tokens);
}

void model_parts::set(const microbatch & batch, int threads) {
    for (auto & plan : plans) plan.set(batch, threads);
}

graph_constants::graph_constants(const hyperparameters & hp, ggml_backend_t backend) {
    context_ = ggml_init({ ggml_tensor_overhead() * 2, nullptr, /*no_alloc*/ true });
    // Rows of any weight: outputs of a projection, of fused ones too.
    const int64_t widest = std::max({ hp.vocabulary, 2 * hp.feed_forward, hp.embedding, hp.queries() + 2 * hp.keys() });
    counting = ggml_new_tensor_1d(context_, GGML_TYPE_I32, widest);
    zeros    = ggml_new_tensor_2d(context_, GGML_TYPE_F32, std::max(hp.embedding, hp.queries()), 1);
    buffer_  = ggml_backend_alloc_ctx_tensors(context_, backend);
    if (!buffer_) {
        ggml_free(context_);
        throw error("TRAIN_MEMORY", "the device has no room for " + std::to_string(4 * widest) + " bytes of constants");
    }
    std::vector<int32_t> counts(widest);
    std::iota(counts.begin(), counts.end(), 0);
    ggml_backend_tensor_set(counting, counts.data(), 0, ggml_nbytes(counting));
    ggml_backend_tensor_memset(zeros, 0, 0, ggml_nbytes(zeros));
}

graph_constants::~graph_constants() {
    ggml_backend_buffer_free(buffer_);
    ggml_free(context_);
}

constants_by_device constants_on(const devices & where, const hyperparameters & hp) {
    constants_by_device made;
    for (const auto & one : where.all) made.push_back(std::make_unique<graph_constants>(hp, one.backend));
    return made;
}

bool multiplies_turned(ggml_backend_t backend) {
    auto * ctx   = ggml_init({ ggml_tensor_overhead() * 8, nullptr, /*no_alloc*/ true });
    auto * w     = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, 32, 64);
    auto * x     = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, 64, 16);
    const bool is = ggml_backend_supports_op(backend, ggml_out_prod(ctx, w, ggml_transpose(ctx, x)));
    ggml_free(ctx);
    return is;
}

model_graph::~model_graph() {
    if (g.ctx) ggml_free(g.ctx);
}

size_t graph_maker::most_nodes(int64_t rows) const {
    const int64_t chunks = (rows + chunk_rows - 1) / chunk_rows;
    return 2048 + model.layers.size() * 700 + (size_t) chunks * (40 + (size_t) model.hparams.vocabulary / 1024);
}

std::unique_ptr<operations> graph_maker::operations_for(graph_context & g) const {
    if (own_kernels) return std::make_unique<cpu_operations>(g);
    return std::make_unique<operations>(g);
}

void graph_maker::add_inputs(graph_context & g, bool own_attention, bool own_loss) const {
    const auto & hp = model.hparams;
    auto input = [&](ggml_type type, int64_t ne0, int64_t ne1) {
        auto * made = ggml_new_tensor_2d(g.ctx, type, ne0, ne1);
        ggml_set_input(made);
        return made;
    };
    g.in.tokens = input(GGML_TYPE_I32, g.tokens, 1);
    g.in.rows   = input(GGML_TYPE_I32, g.rows, 1);
    g.in.row_of = input(GGML_TYPE_I32, g.tokens, 1);
    // Until a layer of another device is entered.
    g.in.zeros    = constants[places.layers.front().device]->zeros;
    g.in.counting = constants[places.layers.front().device]->counting;
    if (own_attention) {
        g.in.global_table = input(GGML_TYPE_F32, hp.global_rope.width, g.tokens);
        g.in.local_table  = input(GGML_TYPE_F32, hp.local_rope.width, g.tokens);
    } else {
        g.in.positions = input(GGML_TYPE_I32, g.tokens, 1);
        for (size_t i = 0; i < parts.plans.size(); i++) g.in.masks.push_back(input(GGML_TYPE_F32, g.tokens, g.tokens));
    }
    if (!own_loss) {
        g.in.targets = input(GGML_TYPE_I32, g.rows, 1);
        g.in.weights = input(GGML_TYPE_F32, 1, g.rows);
    }
}

std::unique_ptr<model_graph> graph_maker::make(const graph_settings & settings, int64_t tokens, int64_t rows) const {
    auto         made  = std::make_unique<model_graph>();
    const size_t nodes = most_nodes(rows);
    const size_t bytes = ggml_tensor_overhead() * nodes * 2 + ggml_graph_overhead_custom(nodes, false);
    auto & g   = made->g;
    g.ctx      = ggml_init({ bytes, nullptr, /*no_alloc*/ true });
    g.graph    = ggml_new_graph_custom(g.ctx, nodes, false);
    g.tokens   = tokens;
    g.rows     = rows;
    g.model    = &model;
    g.backend  = backend;
    g.is_cpu   = is_cpu;
    g.threads  = threads;
    g.takes_turned = takes_turned;
    made->chunk_rows = chunk_rows;
    auto ops   = operations_for(g);
    add_inputs(g, ops->own_attention(), ops->own_loss());
    // The graph keeps pointers to the chunks.
    made->chunks.resize((rows + chunk_rows - 1) / chunk_rows);
    made->row_logprobs.resize(rows);
    builder{ *this, *made, *ops, settings, {} }.build(rows);
    return made;
}

}  // namespace inward
