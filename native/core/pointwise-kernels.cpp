// Everything that is not a product: memory-bound loops, written so that compilers turn them into vector code.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "clones.h"
#include "kernel-tensors.h"
#include "kernels.h"

namespace inward {

namespace {

// exp within 2 units in the last place: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2] (Taylor to the 7th power; the next term is
// below 5e-9). Arguments are clamped where the result leaves the normal floats.
INWARD_INLINE float fast_exp(float x) {
    x             = std::min(std::max(x, -87.0f), 88.0f);
    const float n = std::floor(x * 1.44269504f + 0.5f);
    const float f = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts, so that n ln 2 is exact enough
    float       p = 1.0f / 5040.0f;
    p             = p * f + 1.0f / 720.0f;
    p             = p * f + 1.0f / 120.0f;
    p             = p * f + 1.0f / 24.0f;
    p             = p * f + 1.0f / 6.0f;
    p             = p * f + 0.5f;
    p             = p * f + 1.0f;
    p             = p * f + 1.0f;
    const int32_t bits = ((int32_t) n + 127) << 23;
    float         power;
    std::memcpy(&power, &bits, sizeof power);
    return p * power;
}

// Sums in 16 strands: vector code in an order that does not depend on the vectors' width.
constexpr int STRANDS = 16;

INWARD_CLONES float exp_sum_loop(float * values, int64_t n, float shift) {
    float   strand[STRANDS] = { 0 };
    int64_t i               = 0;
    for (; i + STRANDS <= n; i += STRANDS) {
        for (int s = 0; s < STRANDS; s++) {
            const float e = fast_exp(values[i + s] - shift);
            values[i + s] = e;
            strand[s] += e;
        }
    }
    float sum = 0;
    for (; i < n; i++) sum += values[i] = fast_exp(values[i] - shift);
    for (int s = 0; s < STRANDS; s++) sum += strand[s];
    return sum;
}

INWARD_CLONES void scale_loop(float * values, int64_t n, float factor) {
    for (int64_t i = 0; i < n; i++) values[i] *= factor;
}

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

INWARD_CLONES float greatest_loop(const float * values, int64_t n) {
    float strand[STRANDS];
    std::fill(strand, strand + STRANDS, values[0]);
    int64_t i = 0;
    for (; i + STRANDS <= n; i += STRANDS) {
        for (int s = 0; s < STRANDS; s++) strand[s] = values[i + s] > strand[s] ? values[i + s] : strand[s];
    }
    float most = *std::max_element(strand, strand + STRANDS);
    for (; i < n; i++) most = std::max(most, values[i]);
    return most;
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

INWARD_CLONES float square_sum_loop(const float * a, int64_t n) {
    float   strand[STRANDS] = { 0 };
    int64_t i               = 0;
    for (; i + STRANDS <= n; i += STRANDS) {
        for (int s = 0; s < STRANDS; s++) strand[s] += a[i + s] * a[i + s];
    }
    float sum = 0;
    for (; i < n; i++) sum += a[i] * a[i];
    for (int s = 0; s < STRANDS; s++) sum += strand[s];
    return sum;
}

INWARD_CLONES void norm_loop(const float * x, const float * w, float * h, int64_t n, float r) {
    for (int64_t i = 0; i < n; i++) h[i] = x[i] * r * w[i];
}

INWARD_CLONES void norm_back_loop(const float * dh, const float * w, const float * x, const float * residual, float * dx, int64_t n, float r,
                                  float c) {
    if (residual) {
        for (int64_t i = 0; i < n; i++) dx[i] = residual[i] + r * (dh[i] * w[i] - c * x[i]);
    } else {
        for (int64_t i = 0; i < n; i++) dx[i] = r * (dh[i] * w[i] - c * x[i]);
    }
}

INWARD_CLONES void swiglu_loop(const float * gate, const float * up, float * act, int64_t n) {
    for (int64_t i = 0; i < n; i++) act[i] = gate[i] / (1.0f + fast_exp(-gate[i])) * up[i];
}

INWARD_CLONES void swiglu_back_loop(const float * gate, const float * up, const float * dact, float * dgate, float * dup, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const float sigmoid = 1.0f / (1.0f + fast_exp(-gate[i]));
        const float silu    = gate[i] * sigmoid;
        dup[i]              = dact[i] * silu;
        dgate[i]            = dact[i] * up[i] * (sigmoid + silu * (1.0f - sigmoid));
    }
}

struct rows {
    int64_t first, last;
    rows(const ggml_tensor * t, int ith, int nth) : first(t->ne[1] * ith / nth), last(t->ne[1] * (ith + 1) / nth) {}
};

void rms_norm_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    const auto &  norm = *(const norm_parameters *) userdata;
    const auto *  x    = dst->src[0];
    const int64_t n    = x->ne[0];
    const rows    mine(dst, ith, nth);
    for (int64_t t = mine.first; t < mine.last; t++) {
        norm_row(floats(x) + t * stride(x), floats(norm.weight), floats(dst) + t * stride(dst), n, norm.epsilon);
    }
}

// h = r w x with r = (mean x^2 + eps)^(-1/2): dx = r (w dh - x r^2 mean(w dh x))
void rms_norm_back_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    const auto &  norm = *(const norm_parameters *) userdata;
    const auto *  dh = dst->src[0], * x = dst->src[1], * residual = dst->src[2];
    const int64_t n = x->ne[0];
    const rows    mine(dst, ith, nth);
    for (int64_t t = mine.first; t < mine.last; t++) {
        const float * row  = floats(x) + t * stride(x);
        const float * grad = floats(dh) + t * stride(dh);
        const float   square = square_sum_loop(row, n) / (float) n + norm.epsilon;
        const float   c      = dot_loop(grad, floats(norm.weight), row, n) / (float) n / square;
        norm_back_loop(grad, floats(norm.weight), row, residual ? floats(residual) + t * stride(residual) : nullptr,
                       floats(dst) + t * stride(dst), n, 1.0f / std::sqrt(square), c);
    }
}

void swiglu_op(ggml_tensor * dst, int ith, int nth, void *) {
    const auto *  gate_up = dst->src[0];
    const int64_t n       = dst->ne[0];
    const rows    mine(dst, ith, nth);
    for (int64_t t = mine.first; t < mine.last; t++) {
        const float * gate = floats(gate_up) + t * stride(gate_up);
        swiglu_row(gate, gate + n, floats(dst) + t * stride(dst), n);
    }
}

void swiglu_back_op(ggml_tensor * dst, int ith, int nth, void *) {
    const auto *  gate_up = dst->src[0], * dact = dst->src[1];
    const int64_t n = dact->ne[0];
    const rows    mine(dst, ith, nth);
    for (int64_t t = mine.first; t < mine.last; t++) {
        const float * gate = floats(gate_up) + t * stride(gate_up);
        float *       out  = floats(dst) + t * stride(dst);
        swiglu_back_loop(gate, gate + n, floats(dact) + t * stride(dact), out, out + n, n);
    }
}

void cross_entropy_op(ggml_tensor * dst, const ggml_tensor *, int ith, int nth, void * userdata) {
    auto &        chunk = *(loss_chunk *) userdata;
    const int64_t n     = dst->ne[0];
    const rows    mine(dst, ith, nth);
    for (int64_t t = mine.first; t < mine.last; t++) {
        float *     row    = floats(dst) + t * stride(dst);
        const float target = row[chunk.targets[t]];
        const float top    = greatest_loop(row, n);
        // Piece by piece into a double, so that a large vocabulary costs no digits.
        double sum = 0;
        for (int64_t i = 0; i < n; i += 1024) sum += exp_sum_loop(row + i, std::min<int64_t>(1024, n - i), top);
        chunk.logprobs[t] = (double) target - (double) top - std::log(sum);
        scale_loop(row, n, (float) (chunk.weights[t] / sum));
        row[chunk.targets[t]] -= chunk.weights[t];
    }
}

}  // namespace

float exp_sum(float * values, int64_t n, float shift) { return exp_sum_loop(values, n, shift); }
float greatest(const float * values, int64_t n) { return greatest_loop(values, n); }
void  softmax_back(const float * p, float * d, int64_t n, float scale) { softmax_back_loop(p, d, n, scale); }
void  norm_row(const float * x, const float * weight, float * h, int64_t n, float epsilon) {
    norm_loop(x, weight, h, n, 1.0f / std::sqrt(square_sum_loop(x, n) / (float) n + epsilon));
}
void  swiglu_row(const float * gate, const float * up, float * act, int64_t n) { swiglu_loop(gate, up, act, n); }
void  scale_in_place(float * values, int64_t n, float factor) { scale_loop(values, n, factor); }

ggml_tensor * rms_norm(ggml_context * ctx, norm_parameters & norm, ggml_tensor * x) {
    return custom_node(ctx, "norm", x->ne[0], x->ne[1], { x }, rms_norm_op, &norm);
}

ggml_tensor * rms_norm_back(ggml_context * ctx, norm_parameters & norm, ggml_tensor * dh, ggml_tensor * x, ggml_tensor * residual) {
    return custom_node(ctx, "norm back", x->ne[0], x->ne[1], { dh, x, residual }, rms_norm_back_op, &norm);
}

ggml_tensor * swiglu(ggml_context * ctx, ggml_tensor * gate_up) {
    return custom_node(ctx, "swiglu", gate_up->ne[0] / 2, gate_up->ne[1], { gate_up }, swiglu_op, nullptr);
}

ggml_tensor * swiglu_back(ggml_context * ctx, ggml_tensor * gate_up, ggml_tensor * dact) {
    return custom_node(ctx, "swiglu back", gate_up->ne[0], gate_up->ne[1], { gate_up, dact }, swiglu_back_op, nullptr);
}

ggml_tensor * cross_entropy(ggml_context * ctx, loss_chunk & chunk, ggml_tensor * logits) {
    auto * made = ggml_map_custom1_inplace(ctx, logits, cross_entropy_op, GGML_N_TASKS_MAX, &chunk);
    ggml_set_name(made, "cross entropy");
    return made;
}

}  // namespace inward
