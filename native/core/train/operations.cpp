// ggml has no backward pass for some of these operations and an unusable one for others (quantized out_prod), so every
// gradient is written out in operations that all backends have; where a backend lacks a fused gradient it is composed
// of smaller ones.
#include "train/operations.h"

#include <algorithm>

namespace inward {

namespace {

// Rows of a weight that are turned and cast at once: the output projection of a large vocabulary would need gigabytes
// otherwise.
constexpr int64_t SLICE_ROWS = 8192;
// Keeps the logarithm of a probability that single precision rounds to zero finite: a loss of at most 87 nats a token.
constexpr float SMALLEST = 1e-38f;

// [d, heads, tokens] as rows that are normed together
ggml_tensor * normed_rows(ggml_context * ctx, const norm_parameters & p, ggml_tensor * heads) {
    const int64_t n = p.weight->ne[0];
    return ggml_reshape_2d(ctx, heads, n, ggml_nelements(heads) / n);
}

ggml_tensor * rope_table_of(const graph_context & g, const attention_layer & layer) {
    if (!layer.rope) return nullptr;
    return layer.local ? g.in.local_table : g.in.global_table;
}

}  // namespace

// --- with ggml's own operations

bool operations::supported(ggml_tensor * node) const { return ggml_backend_supports_op(g.backend, node); }

ggml_tensor * operations::part_of(ggml_tensor * whole, int64_t first, int64_t count) {
    if (count == whole->ne[0]) return whole;
    // Contiguous, because some backends read such a view as if its rows were dense.
    return ggml_cont(g.ctx, ggml_view_2d(g.ctx, whole, count, whole->ne[1], whole->nb[1], first * sizeof(float)));
}

ggml_tensor * operations::transposed(ggml_tensor * t) { return ggml_cont(g.ctx, ggml_transpose(g.ctx, t)); }

// sum over tokens of a[:, t] b[:, t]^T -> [na, nb], also for each of the outer dimensions
ggml_tensor * operations::outer(ggml_tensor * a, ggml_tensor * b) {
    if (g.is_cpu || g.takes_turned) return ggml_out_prod(g.ctx, a, b);
    return ggml_mul_mat(g.ctx, transposed(a), transposed(b));
}

// w [n, m] and x [m, tokens] -> sum over m of w[:, m] x[m, :], also for each of the outer dimensions
ggml_tensor * operations::product_over_rows(ggml_tensor * w, ggml_tensor * x, bool turned) {
    if (turned) return ggml_out_prod(g.ctx, w, ggml_transpose(g.ctx, x));
    return ggml_mul_mat(g.ctx, transposed(w), x);
}

void operations::add_gradient(ggml_tensor * sum, ggml_tensor * gradient) {
    ggml_build_forward_expand(g.graph, ggml_add_inplace(g.ctx, sum, gradient));
}

ggml_tensor * operations::norm(norm_parameters & p, ggml_tensor * x) {
    return ggml_mul(g.ctx, ggml_rms_norm(g.ctx, x, p.epsilon), const_cast<ggml_tensor *>(p.weight));
}

ggml_tensor * operations::norm_back(norm_parameters & p, ggml_tensor * dh, ggml_tensor * x, ggml_tensor * residual) {
    auto * grad  = ggml_mul(g.ctx, dh, const_cast<ggml_tensor *>(p.weight));
    auto * fused = ggml_rms_norm_back(g.ctx, grad, x, p.epsilon);
    ggml_tensor * dx = fused;
    if (!supported(fused)) {
        auto * square = ggml_scale_bias(g.ctx, ggml_mean(g.ctx, ggml_sqr(g.ctx, x)), 1.0f, p.epsilon);
        auto * c      = ggml_div(g.ctx, ggml_mean(g.ctx, ggml_mul(g.ctx, x, grad)), square);
        dx            = ggml_div(g.ctx, ggml_sub(g.ctx, grad, ggml_mul(g.ctx, x, c)), ggml_sqrt(g.ctx, square));
    }
    return residual ? ggml_add(g.ctx, dx, residual) : dx;
}

ggml_tensor * operations::down(projection_group & group, ggml_tensor * x) {
    return ggml_scale(g.ctx, ggml_mul_mat(g.ctx, group.a, x), group.scale);
}

ggml_tensor * operations::project(projection_group & group, ggml_tensor * x, ggml_tensor * xa,
                                  ggml_tensor * residual) {
    ggml_tensor * whole = nullptr;
    for (auto & part : group.parts) {
        auto * y = weight_product(group, part.base.weight, x);
        if (part.base.bias) y = ggml_add(g.ctx, y, part.base.bias);
        if (part.b) y = ggml_add(g.ctx, y, ggml_mul_mat(g.ctx, part.b, part_of(xa, part.a_row, group.rank)));
        whole = whole ? ggml_concat(g.ctx, whole, y, 0) : y;
    }
    return residual ? ggml_add(g.ctx, whole, residual) : whole;
}

// As floats, made while the graph runs: a second copy of all weights would double their memory.
ggml_tensor * operations::weight_rows(ggml_tensor * w, int64_t first, int64_t count) {
    if (w->type == GGML_TYPE_F32) return ggml_view_2d(g.ctx, w, w->ne[0], count, w->nb[1], first * w->nb[1]);
    return ggml_get_rows(g.ctx, w, ggml_view_1d(g.ctx, g.in.counting, count, first * sizeof(int32_t)));
}

ggml_tensor * operations::weight_product(const projection_group & group, ggml_tensor * w, ggml_tensor * x) {
    if (group.forward_kernel != "ggml-f32" || w->type == GGML_TYPE_F32) return ggml_mul_mat(g.ctx, w, x);
    ggml_tensor * y = nullptr;
    for (int64_t row = 0; row < w->ne[1]; row += SLICE_ROWS) {
        auto * d = ggml_mul_mat(g.ctx, weight_rows(w, row, std::min(SLICE_ROWS, w->ne[1] - row)), x);
        y        = y ? ggml_concat(g.ctx, y, d, 0) : d;
    }
    return y;
}

ggml_tensor * operations::project_back(projection_group & group, ggml_tensor * dy, ggml_tensor * dropped_x,
                                       ggml_tensor * xa, ggml_tensor * mask, bool need_input) {
    std::vector<ggml_tensor *> dys;
    int64_t                    begin  = 0;
    ggml_tensor *              dxa    = nullptr;
    const bool                 turned = group.backward_kernel == "out-prod";
    for (auto & part : group.parts) {
        dys.push_back(part_of(dy, begin, part.out));
        begin += part.out;
        if (!part.b) continue;
        auto * xa_part = part_of(xa, part.a_row, group.rank);
        // Long dimension first: out_prod runs along it.
        add_gradient(part.grad_b, g.is_cpu ? transposed(outer(dys.back(), xa_part)) : outer(xa_part, dys.back()));
        auto * d = product_over_rows(part.b, dys.back(), turned);
        dxa      = dxa ? ggml_concat(g.ctx, dxa, d, 0) : d;
    }
    ggml_tensor * dx = nullptr;
    if (dxa) {
        dxa = ggml_scale(g.ctx, dxa, group.scale);
        add_gradient(group.grad_a, outer(dropped_x, dxa));
        if (need_input) {
            dx = product_over_rows(group.a, dxa, turned);
            if (mask) dx = ggml_mul(g.ctx, dx, mask);
        }
    }
    if (!need_input) return nullptr;
    for (size_t i = 0; i < group.parts.size(); i++) {
        auto * w = group.parts[i].base.weight;
        for (int64_t row = 0; row < w->ne[1]; row += SLICE_ROWS) {
            const int64_t count = std::min(SLICE_ROWS, w->ne[1] - row);
            auto * rows = weight_rows(w, row, count);
            auto * dy_part = part_of(dys[i], row, count);
            ggml_tensor * d;
            if (group.backward_kernel == "ggml-bf16") {
                d = ggml_mul_mat(g.ctx, ggml_cast(g.ctx, ggml_transpose(g.ctx, rows), GGML_TYPE_BF16), dy_part);
            } else {
                d = product_over_rows(rows, dy_part, turned);
            }
            dx = dx ? ggml_add(g.ctx, dx, d) : d;
        }
    }
    return dx;
}

// A view of these heads, [head width, heads, tokens]
ggml_tensor * operations::heads_of(ggml_tensor * t, int64_t first, int64_t count) {
    const int64_t d = g.model->hparams.head_width;
    return ggml_view_3d(g.ctx, t, d, count, g.tokens, d * sizeof(float), t->nb[1], first * d * sizeof(float));
}

// These heads one after the other, [head width, tokens, heads]
ggml_tensor * operations::by_head(ggml_tensor * t, int64_t first, int64_t count) {
    return ggml_cont(g.ctx, ggml_permute(g.ctx, heads_of(t, first, count), 0, 2, 1, 3));
}

ggml_tensor * operations::norm_heads(norm_parameters & p, ggml_tensor * heads) {
    auto * normed = norm(p, normed_rows(g.ctx, p, ggml_cont(g.ctx, heads)));
    return ggml_reshape_3d(g.ctx, normed, heads->ne[0], heads->ne[1], heads->ne[2]);
}

ggml_tensor * operations::norm_heads_back(norm_parameters & p, ggml_tensor * d, ggml_tensor * heads) {
    auto * x    = normed_rows(g.ctx, p, ggml_cont(g.ctx, heads));
    auto * made = norm_back(p, normed_rows(g.ctx, p, d), x, nullptr);
    return ggml_reshape_3d(g.ctx, made, heads->ne[0], heads->ne[1], heads->ne[2]);
}

ggml_tensor * operations::turned(attention_layer & layer, ggml_tensor * heads, bool back) {
    if (!layer.rope) return heads;
    const auto & rope    = *layer.rope;
    auto *       factors = layer.local ? nullptr : g.model->rope_factors;
    const int    mode    = rope.halves ? GGML_ROPE_TYPE_NEOX : GGML_ROPE_TYPE_NORMAL;
    return (back ? ggml_rope_ext_back : ggml_rope_ext)(g.ctx, heads, g.in.positions, factors, (int) rope.width, mode,
                                                       (int) rope.original_context, rope.base, rope.scale,
                                                       rope.extrapolation, rope.magnitude, rope.beta_fast,
                                                       rope.beta_slow);
}

ggml_tensor * operations::turn_heads(attention_layer & layer, ggml_tensor * qkv) {
    const auto &  hp    = g.model->hparams;
    const int64_t heads = hp.heads + hp.kv_heads;
    ggml_tensor * dense;
    if (layer.q_norm.weight) {
        dense = ggml_concat(g.ctx, norm_heads(layer.q_norm, heads_of(qkv, 0, hp.heads)),
                            norm_heads(layer.k_norm, heads_of(qkv, hp.heads, hp.kv_heads)), 1);
    } else {
        dense = ggml_cont(g.ctx, heads_of(qkv, 0, heads));
    }
    return ggml_reshape_2d(g.ctx, turned(layer, dense, false), hp.head_width * heads, g.tokens);
}

ggml_tensor * operations::bounded(ggml_tensor * x, float cap) {
    return ggml_tanh(g.ctx, ggml_scale(g.ctx, x, 1.0f / cap));
}

ggml_tensor * operations::slope_of(ggml_tensor * bounded) {
    return ggml_scale_bias(g.ctx, ggml_sqr(g.ctx, bounded), -1.0f, 1.0f);
}

operations::attention_values operations::probabilities(attention_layer & layer, ggml_tensor * qk) {
    const auto & hp   = g.model->hparams;
    auto * mask       = g.in.masks[layer.of_plans];
    auto * scores     = ggml_mul_mat(g.ctx, by_head(qk, hp.heads, hp.kv_heads), by_head(qk, 0, hp.heads));
    if (!(hp.attention_cap > 0)) return { ggml_soft_max_ext(g.ctx, scores, mask, hp.attention_scale, 0), nullptr };
    auto * t = bounded(scores, hp.attention_cap / hp.attention_scale);
    return { ggml_soft_max_ext(g.ctx, t, mask, hp.attention_cap, 0), slope_of(t) };
}

ggml_tensor * operations::attend(attention_layer & layer, ggml_tensor * qk, ggml_tensor * qkv) {
    const auto & hp = g.model->hparams;
    auto * p        = probabilities(layer, qk).probabilities;
    auto * values   = heads_of(qkv, hp.heads + hp.kv_heads, hp.kv_heads);
    auto * v        = ggml_cont(g.ctx, ggml_permute(g.ctx, values, 1, 2, 0, 3));  // [tokens, head width, kv heads]
    auto * out      = ggml_mul_mat(g.ctx, v, p);  // [head width, queries, heads]
    auto * by_token = ggml_cont(g.ctx, ggml_permute(g.ctx, out, 0, 2, 1, 3));
    return ggml_reshape_2d(g.ctx, by_token, hp.head_width * hp.heads, g.tokens);
}

ggml_tensor * operations::attend_back(attention_layer & layer, ggml_tensor * qk, ggml_tensor * qkv,
                                      ggml_tensor * dout) {
    const auto &  hp = g.model->hparams;
    const int64_t d = hp.head_width, n = g.tokens, shared = n * (hp.heads / hp.kv_heads);
    const auto [p, slopes] = probabilities(layer, qk);
    auto * q  = by_head(qk, 0, hp.heads);
    auto * k  = by_head(qk, hp.heads, hp.kv_heads);
    auto * o  = by_head(dout, 0, hp.heads);
    auto * v  = by_head(qkv, hp.heads + hp.kv_heads, hp.kv_heads);
    auto * dp = ggml_mul_mat(g.ctx, v, o);  // [keys, queries, heads]
    auto * ds = ggml_soft_max_ext_back(g.ctx, dp, p, hp.attention_scale, 0);
    if (!supported(ds)) {
        auto * pd = ggml_mul(g.ctx, p, dp);
        ds = ggml_sub(g.ctx, pd, ggml_mul(g.ctx, p, ggml_sum_rows(g.ctx, pd)));
        ds = ggml_scale(g.ctx, ds, hp.attention_scale);
    }
    if (slopes) ds = ggml_mul(g.ctx, ds, slopes);
    // Heads that share keys stand beside each other, so their queries are one longer list.
    auto by_keys = [&](ggml_tensor * t) { return ggml_reshape_3d(g.ctx, t, t->ne[0], shared, hp.kv_heads); };
    auto * dv = outer(by_keys(o), by_keys(p));
    auto * dk = outer(by_keys(q), by_keys(ds));
    auto * dq = product_over_rows(k, ds, g.takes_turned);
    auto by_token = [&](ggml_tensor * t) { return ggml_cont(g.ctx, ggml_permute(g.ctx, t, 0, 2, 1, 3)); };
    auto * tq = turned(layer, by_token(dq), true);
    auto * tk = turned(layer, by_token(dk), true);
    if (layer.q_norm.weight) {
        tq = norm_heads_back(layer.q_norm, tq, heads_of(qkv, 0, hp.heads));
        tk = norm_heads_back(layer.k_norm, tk, heads_of(qkv, hp.heads, hp.kv_heads));
    }
    auto * dqkv = ggml_concat(g.ctx, ggml_concat(g.ctx, tq, tk, 1), by_token(dv), 1);
    return ggml_reshape_2d(g.ctx, dqkv, d * (hp.heads + 2 * hp.kv_heads), n);
}

ggml_tensor * operations::gelu_sigmoid(ggml_tensor * x, ggml_tensor * square) {
    auto * slope = ggml_scale_bias(g.ctx, square, GELU_CUBIC, GELU_LINEAR);
    return ggml_sigmoid(g.ctx, ggml_mul(g.ctx, x, slope));
}

// ggml's own GEGLU is a table of halves on the CPU, so GELU is made of smaller operations everywhere.
ggml_tensor * operations::gate(ggml_tensor * gate_up) {
    if (g.model->hparams.gate != gate_kind::gelu) return ggml_swiglu(g.ctx, gate_up);
    const int64_t n = gate_up->ne[0] / 2;
    auto * gate = part_of(gate_up, 0, n), * up = part_of(gate_up, n, n);
    return ggml_mul(g.ctx, ggml_mul(g.ctx, gate, gelu_sigmoid(gate, ggml_sqr(g.ctx, gate))), up);
}

ggml_tensor * operations::gate_back(ggml_tensor * gate_up, ggml_tensor * dact) {
    const int64_t n  = dact->ne[0];
    auto * gate = part_of(gate_up, 0, n), * up = part_of(gate_up, n, n);
    if (g.model->hparams.gate == gate_kind::gelu) {
        auto * square  = ggml_sqr(g.ctx, gate);
        auto * sigmoid = gelu_sigmoid(gate, square);
        auto * gelu    = ggml_mul(g.ctx, gate, sigmoid);
        auto * rest    = ggml_mul(g.ctx, gelu, ggml_scale_bias(g.ctx, sigmoid, -1.0f, 1.0f));
        auto * inner   = ggml_scale_bias(g.ctx, square, 3.0f * GELU_CUBIC, GELU_LINEAR);
        auto * slope   = ggml_add(g.ctx, sigmoid, ggml_mul(g.ctx, rest, inner));
        auto * dgate   = ggml_mul(g.ctx, ggml_mul(g.ctx, dact, up), slope);
        return ggml_concat(g.ctx, dgate, ggml_mul(g.ctx, dact, gelu), 0);
    }
    auto * dgate = ggml_silu_back(g.ctx, ggml_mul(g.ctx, dact, up), gate);
    return ggml_concat(g.ctx, dgate, ggml_mul(g.ctx, dact, ggml_silu(g.ctx, gate)), 0);
}

ggml_tensor * operations::loss_back(loss_chunk &, ggml_tensor * logits, int64_t first_row, ggml_tensor ** logprobs) {
    const int64_t vocabulary = logits->ne[0], rows = logits->ne[1];
    auto * p       = ggml_soft_max(g.ctx, logits);
    auto * flat    = ggml_reshape_2d(g.ctx, p, 1, vocabulary * rows);
    auto * targets = ggml_view_1d(g.ctx, g.in.targets, rows, first_row * sizeof(int32_t));
    auto * of_target = ggml_get_rows(g.ctx, flat, targets);  // [1, rows]
    *logprobs        = ggml_log(g.ctx, ggml_scale_bias(g.ctx, of_target, 1.0f, SMALLEST));
    ggml_set_output(*logprobs);
    // Before the next node overwrites the probabilities.
    ggml_build_forward_expand(g.graph, *logprobs);
    auto * d = ggml_set_rows(g.ctx, flat, ggml_scale_bias(g.ctx, of_target, 1.0f, -1.0f), targets);
    return ggml_mul(g.ctx, ggml_reshape_2d(g.ctx, d, vocabulary, rows),
                    ggml_view_2d(g.ctx, g.in.weights, 1, rows, sizeof(float), first_row * sizeof(float)));
}

ggml_tensor * operations::finish_logits(ggml_tensor * raw) {
    const auto & hp = g.model->hparams;
    auto * scaled   = hp.logit_scale == 1 ? raw : ggml_scale(g.ctx, raw, hp.logit_scale);
    return hp.logit_cap > 0 ? cap_logits(scaled) : scaled;
}

ggml_tensor * operations::finish_logits_back(ggml_tensor * d, ggml_tensor * raw) {
    const auto & hp = g.model->hparams;
    if (hp.logit_cap > 0) {
        d = cap_logits_back(d, hp.logit_scale == 1 ? raw : ggml_scale(g.ctx, raw, hp.logit_scale));
    }
    return hp.logit_scale == 1 ? d : ggml_scale(g.ctx, d, hp.logit_scale);
}

ggml_tensor * operations::cap_logits(ggml_tensor * logits) {
    const float cap = g.model->hparams.logit_cap;
    return ggml_scale(g.ctx, bounded(logits, cap), cap);
}

ggml_tensor * operations::cap_logits_back(ggml_tensor * d, ggml_tensor * logits) {
    return ggml_mul(g.ctx, d, slope_of(bounded(logits, g.model->hparams.logit_cap)));
}

ggml_tensor * operations::scatter(ggml_tensor * rows) {
    auto * nothing = ggml_view_2d(g.ctx, g.in.zeros, rows->ne[0], 1, g.in.zeros->nb[1], 0);
    return ggml_get_rows(g.ctx, ggml_concat(g.ctx, rows, nothing, 1), g.in.row_of);
}

// --- with the CPU's kernels

ggml_tensor * cpu_operations::norm(norm_parameters & p, ggml_tensor * x) { return rms_norm(g.ctx, p, x); }

ggml_tensor * cpu_operations::norm_back(norm_parameters & p, ggml_tensor * dh, ggml_tensor * x,
                                        ggml_tensor * residual) {
    return rms_norm_back(g.ctx, p, dh, x, residual);
}

ggml_tensor * cpu_operations::down(projection_group & group, ggml_tensor * x) { return lora_down(g.ctx, group, x); }

ggml_tensor * cpu_operations::project(projection_group & group, ggml_tensor * x, ggml_tensor * xa,
                                      ggml_tensor * residual) {
    return linear(g.ctx, group, x, xa, residual);
}

ggml_tensor * cpu_operations::project_back(projection_group & group, ggml_tensor * dy, ggml_tensor * dropped_x,
                                           ggml_tensor * xa, ggml_tensor * mask, bool need_input) {
    auto * dxa = group.has_lora() ? lora_down_back(g.ctx, group, dy) : nullptr;
    if (!need_input && !group.has_lora()) return nullptr;
    auto * made = need_input ? linear_back(g.ctx, group, dy, dxa, dropped_x, xa, mask)
                             : lora_gradients(g.ctx, group, dy, dxa, dropped_x, xa);
    // The pairs' gradients are wanted even where nobody reads the input's.
    if (group.has_lora()) ggml_build_forward_expand(g.graph, made);
    return need_input ? made : nullptr;
}

ggml_tensor * cpu_operations::turn_heads(attention_layer & layer, ggml_tensor * qkv) {
    return inward::turn_heads(g.ctx, layer, qkv, rope_table_of(g, layer));
}

ggml_tensor * cpu_operations::attend(attention_layer & layer, ggml_tensor * qk, ggml_tensor * qkv) {
    return attention(g.ctx, layer, qk, qkv);
}

ggml_tensor * cpu_operations::attend_back(attention_layer & layer, ggml_tensor * qk, ggml_tensor * qkv,
                                          ggml_tensor * dout) {
    return attention_back(g.ctx, layer, qk, qkv, dout, rope_table_of(g, layer), g.threads);
}

ggml_tensor * cpu_operations::gate(ggml_tensor * gate_up) { return gated(g.ctx, g.model->hparams.gate, gate_up); }

ggml_tensor * cpu_operations::gate_back(ggml_tensor * gate_up, ggml_tensor * dact) {
    return gated_back(g.ctx, g.model->hparams.gate, gate_up, dact);
}

ggml_tensor * cpu_operations::cap_logits(ggml_tensor * logits) {
    return inward::cap_logits(g.ctx, g.model->hparams, logits);
}

ggml_tensor * cpu_operations::cap_logits_back(ggml_tensor * d, ggml_tensor * logits) {
    return inward::cap_logits_back(g.ctx, g.model->hparams, d, logits);
}

ggml_tensor * cpu_operations::loss_back(loss_chunk & chunk, ggml_tensor * logits, int64_t,
                                        ggml_tensor ** logprobs) {
    *logprobs = nullptr;
    return cross_entropy(g.ctx, chunk, logits);
}

}  // namespace inward
