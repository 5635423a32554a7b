// Everything that is not a product: memory-bound loops, written so that compilers turn them into vector code.
#include <algorithm>
#include <cmath>

#include "shared/row-kernels.h"
#include "shared/vector-loops.h"
#include "train/kernels.h"

namespace inward {

namespace {

INWARD_CLONES float dot_loop(const float * a, const float * b, const float * c, int64_t n) {
    float   strand[STRANDS] = { 0 };
    int64_t i               = 0;
    for (; i + STRANDS <= n; i += STRANDS) {
        for (int s = 0; s < STRANDS; s++) strand[s] += a[i + s] * b[i + s] * c[i + s];
    }
    float sum = 0;
    for (; i < n; i++) sum += a[i] * b[i] * c[i];
    for (int s = 0; s < STRANDS; s++) sum += strand[s];
    return sum;
}

INWARD_CLONES void softmax_back_loop(const float * p, float * d, int64_t n, float scale) {
    float   strand[STRANDS] = { 0 };
    int64_t i               = 0;
    for (; i + STRANDS <= n; i += STRANDS) {
        for (int s = 0; s < STRANDS; s++) strand[s] += p[i + s] * d[i + s];
    }
    float dot = 0;
    for (; i < n; i++) dot += p[i] * d[i];
    for (int s = 0; s < STRANDS; s++) dot += strand[s];
    for (i = 0; i < n; i++) d[i] = p[i] * (d[i] - dot) * scale;
}

INWARD_CLONES void norm_back_loop(const float * dh, const float * w, const float * x, const float * residual,
                                  float * dx, int64_t n, float r, float c) {
    if (residual) {
        for (int64_t i = 0; i < n; i++) dx[i] = residual[i] + r * (dh[i] * w[i] - c * x[i]);
    } else {
        for (int64_t i = 0; i < n; i++) dx[i] = r * (dh[i] * w[i] - c * x[i]);
    }
}

INWARD_CLONES void swiglu_back_loop(const float * gate, const float * up, const float * dact, float * dgate,
                                    float * dup, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const float sigmoid = 1.0f / (1.0f + fast_exp(-gate[i]));
        const float silu    = gate[i] * sigmoid;
        dup[i]              = dact[i] * silu;
        dgate[i]            = dact[i] * up[i] * (sigmoid + silu * (1.0f - sigmoid));
    }
}

// In single precision; llama.cpp's CPU kernels, and our own forward pass when asking, look GELU up by half-precision
// arguments.
INWARD_CLONES void geglu_loop(const float * gate, const float * up, float * act, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const float x = gate[i];
        act[i]        = x / (1.0f + fast_exp(-x * (GELU_LINEAR + GELU_CUBIC * x * x))) * up[i];
    }
}

INWARD_CLONES void geglu_back_loop(const float * gate, const float * up, const float * dact, float * dgate, float * dup,
                                   int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const float x = gate[i], square = x * x;
        const float sigmoid = 1.0f / (1.0f + fast_exp(-x * (GELU_LINEAR + GELU_CUBIC * square)));
        const float gelu    = x * sigmoid;
        dup[i]              = dact[i] * gelu;
        dgate[i] = dact[i] * up[i] * (sigmoid + gelu * (1.0f - sigmoid) * (GELU_LINEAR + 3.0f * GELU_CUBIC * square));
    }
}

INWARD_CLONES void cap_slopes_loop(const float * capped, float * slopes, int64_t n, float one_by_cap) {
    for (int64_t i = 0; i < n; i++) {
        const float t = capped[i] * one_by_cap;
        slopes[i]     = 1.0f - t * t;
    }
}

INWARD_CLONES void multiply_loop(float * d, const float * slopes, int64_t n) {
    for (int64_t i = 0; i < n; i++) d[i] *= slopes[i];
}

INWARD_CLONES void cap_back_loop(const float * x, const float * d, float * to, int64_t n, float one_by_cap) {
    for (int64_t i = 0; i < n; i++) {
        const float t = fast_tanh(x[i] * one_by_cap);
        to[i]         = d[i] * (1.0f - t * t);
    }
}

struct rows {
    int64_t first, last;
    rows(const ggml_tensor * t, int ith, int nth) : first(t->ne[1] * ith / nth), last(t->ne[1] * (ith + 1) / nth) {}
};

void rms_norm_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    const node_order order;
    const auto &  norm = *(const norm_parameters *) userdata;
    const auto *  x    = dst->src[0];
    const int64_t n    = x->ne[0];
    const rows    mine(dst, ith, nth);
    for (int64_t t = mine.first; t < mine.last; t++) {
        norm_row(floats(x) + t * stride(x), floats(norm.weight), floats(dst) + t * stride(dst), n, norm.epsilon);
    }
}

void rms_norm_back_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    const node_order order;
    const auto &  norm = *(const norm_parameters *) userdata;
    const auto *  dh = dst->src[0], * x = dst->src[1], * residual = dst->src[2];
    const int64_t n = x->ne[0];
    const rows    mine(dst, ith, nth);
    for (int64_t t = mine.first; t < mine.last; t++) {
        const float * around = residual ? floats(residual) + t * stride(residual) : nullptr;
        norm_back_row(floats(dh) + t * stride(dh), floats(norm.weight), floats(x) + t * stride(x), around,
                      floats(dst) + t * stride(dst), n, norm.epsilon);
    }
}

template <auto LOOP> void gated_op(ggml_tensor * dst, int ith, int nth, void *) {
    const node_order order;
    const auto *  gate_up = dst->src[0];
    const int64_t n       = dst->ne[0];
    const rows    mine(dst, ith, nth);
    for (int64_t t = mine.first; t < mine.last; t++) {
        const float * gate = floats(gate_up) + t * stride(gate_up);
        LOOP(gate, gate + n, floats(dst) + t * stride(dst), n);
    }
}

template <auto LOOP> void gated_back_op(ggml_tensor * dst, int ith, int nth, void *) {
    const node_order order;
    const auto *  gate_up = dst->src[0], * dact = dst->src[1];
    const int64_t n = dact->ne[0];
    const rows    mine(dst, ith, nth);
    for (int64_t t = mine.first; t < mine.last; t++) {
        const float * gate = floats(gate_up) + t * stride(gate_up);
        float *       out  = floats(dst) + t * stride(dst);
        LOOP(gate, gate + n, floats(dact) + t * stride(dact), out, out + n, n);
    }
}

void cap_logits_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    const node_order order;
    const float  cap    = ((const hyperparameters *) userdata)->logit_cap;
    const auto * logits = dst->src[0];
    const rows   mine(dst, ith, nth);
    for (int64_t t = mine.first; t < mine.last; t++) {
        cap_row(floats(logits) + t * stride(logits), floats(dst) + t * stride(dst), dst->ne[0], cap);
    }
}

void cap_logits_back_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    const node_order order;
    const float  cap = ((const hyperparameters *) userdata)->logit_cap;
    const auto * d = dst->src[0], * logits = dst->src[1];
    const rows   mine(dst, ith, nth);
    for (int64_t t = mine.first; t < mine.last; t++) {
        cap_back_loop(floats(logits) + t * stride(logits), floats(d) + t * stride(d), floats(dst) + t * stride(dst),
                      dst->ne[0], 1.0f / cap);
    }
}

void cross_entropy_op(ggml_tensor * dst, const ggml_tensor *, int ith, int nth, void * userdata) {
    const node_order order;
    auto &        chunk = *(loss_chunk *) userdata;
    const int64_t n     = dst->ne[0];
    const rows    mine(dst, ith, nth);
    for (int64_t t = mine.first; t < mine.last; t++) {
        float *     row    = floats(dst) + t * stride(dst);
        const float target = row[chunk.targets[t]];
        const float top    = greatest(row, n);
        // Piece by piece into a double, so that a large vocabulary costs no digits.
        double sum = 0;
        for (int64_t i = 0; i < n; i += 1024) sum += exp_sum(row + i, std::min<int64_t>(1024, n - i), top);
        chunk.logprobs[t] = (double) target - (double) top - std::log(sum);
        scale_in_place(row, n, (float) (chunk.weights[t] / sum));
        row[chunk.targets[t]] -= chunk.weights[t];
    }
}

}  // namespace

void softmax_back(const float * p, float * d, int64_t n, float scale) { softmax_back_loop(p, d, n, scale); }

// h = r w x with r = (mean x^2 + eps)^(-1/2): dx = r (w dh - x r^2 mean(w dh x))
void norm_back_row(const float * dh, const float * weight, const float * x, const float * around, float * dx, int64_t n,
                   float epsilon) {
    const float square = square_sum(x, n) / (float) n + epsilon;
    const float c      = dot_loop(dh, weight, x, n) / (float) n / square;
    norm_back_loop(dh, weight, x, around, dx, n, 1.0f / std::sqrt(square), c);
}

void cap_slopes(const float * capped, float * slopes, int64_t n, float cap) {
    cap_slopes_loop(capped, slopes, n, 1.0f / cap);
}

void multiply_row(float * d, const float * slopes, int64_t n) { multiply_loop(d, slopes, n); }

ggml_tensor * rms_norm(ggml_context * ctx, norm_parameters & norm, ggml_tensor * x) {
    return custom_node(ctx, "norm", x->ne[0], x->ne[1], { x }, rms_norm_op, &norm);
}

ggml_tensor * rms_norm_back(ggml_context * ctx, norm_parameters & norm, ggml_tensor * dh, ggml_tensor * x,
                            ggml_tensor * residual) {
    return custom_node(ctx, "norm back", x->ne[0], x->ne[1], { dh, x, residual }, rms_norm_back_op, &norm);
}

ggml_tensor * gated(ggml_context * ctx, gate_kind kind, ggml_tensor * gate_up) {
    const auto op = kind == gate_kind::gelu ? gated_op<geglu_loop> : gated_op<swiglu_row>;
    return custom_node(ctx, "gate", gate_up->ne[0] / 2, gate_up->ne[1], { gate_up }, op, nullptr);
}

ggml_tensor * gated_back(ggml_context * ctx, gate_kind kind, ggml_tensor * gate_up, ggml_tensor * dact) {
    const auto op = kind == gate_kind::gelu ? gated_back_op<geglu_back_loop> : gated_back_op<swiglu_back_loop>;
    return custom_node(ctx, "gate back", gate_up->ne[0], gate_up->ne[1], { gate_up, dact }, op, nullptr);
}

ggml_tensor * cap_logits(ggml_context * ctx, const hyperparameters & hp, ggml_tensor * logits) {
    return custom_node(ctx, "cap", logits->ne[0], logits->ne[1], { logits }, cap_logits_op, (void *) &hp);
}

ggml_tensor * cap_logits_back(ggml_context * ctx, const hyperparameters & hp, ggml_tensor * d, ggml_tensor * logits) {
    return custom_node(ctx, "cap back", d->ne[0], d->ne[1], { d, logits }, cap_logits_back_op, (void *) &hp);
}

ggml_tensor * cross_entropy(ggml_context * ctx, loss_chunk & chunk, ggml_tensor * logits) {
    auto * made = ggml_map_custom1_inplace(ctx, logits, cross_entropy_op, GGML_N_TASKS_MAX, &chunk);
    ggml_set_name(made, "cross entropy");
    return made;
}

}  // namespace inward
