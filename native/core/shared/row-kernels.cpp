#include "shared/row-kernels.h"

#include "shared/vector-loops.h"

namespace inward {

namespace {

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

INWARD_CLONES void cap_loop(const float * from, float * to, int64_t n, float cap, float one_by_cap) {
    for (int64_t i = 0; i < n; i++) to[i] = cap * fast_tanh(from[i] * one_by_cap);
}

INWARD_CLONES void norm_loop(const float * x, const float * w, float * h, int64_t n, float r) {
    for (int64_t i = 0; i < n; i++) h[i] = x[i] * r * w[i];
}

INWARD_CLONES void swiglu_loop(const float * gate, const float * up, float * act, int64_t n) {
    for (int64_t i = 0; i < n; i++) act[i] = gate[i] / (1.0f + fast_exp(-gate[i])) * up[i];
}

}  // namespace

float greatest(const float * values, int64_t n) { return greatest_loop(values, n); }
float square_sum(const float * values, int64_t n) { return square_sum_loop(values, n); }
float exp_sum(float * values, int64_t n, float shift) { return exp_sum_loop(values, n, shift); }
void  scale_in_place(float * values, int64_t n, float factor) { scale_loop(values, n, factor); }
void  cap_row(const float * from, float * to, int64_t n, float cap) { cap_loop(from, to, n, cap, 1.0f / cap); }

void norm_row(const float * x, const float * weight, float * h, int64_t n, float epsilon) {
    norm_loop(x, weight, h, n, 1.0f / std::sqrt(square_sum_loop(x, n) / (float) n + epsilon));
}

void swiglu_row(const float * gate, const float * up, float * act, int64_t n) { swiglu_loop(gate, up, act, n); }

void rope_table(std::vector<float> & table, const std::vector<int32_t> & positions, const rope_settings & rope,
                const float * factors) {
    const int64_t width = rope.width;
    // In single precision and step by step, as ggml does it: the same angles to the last bit.
    const float step = std::pow(rope.base, -2.0f / (float) width);
    table.resize(positions.size() * width);
    for (size_t t = 0; t < positions.size(); t++) {
        float theta = (float) positions[t];
        for (int64_t i = 0; i < width; i += 2) {
            const float angle        = rope.scale * (theta / (factors ? factors[i / 2] : 1.0f));
            table[t * width + i]     = std::cos(angle) * rope.magnitude;
            table[t * width + i + 1] = std::sin(angle) * rope.magnitude;
            theta *= step;
        }
    }
}

void rotate_row(const float * from, float * to, const float * table, int64_t heads, int64_t width,
                const rope_settings & rope, float direction) {
    // Where the second number of a pair stands, and how far it is to the next pair.
    const int64_t apart = rope.halves ? rope.width / 2 : 1, next = rope.halves ? 1 : 2;
    for (int64_t h = 0; h < heads; h++, from += width, to += width) {
        for (int64_t i = 0; i < rope.width / 2; i++) {
            const float c = table[2 * i], s = direction * table[2 * i + 1];
            const float x = from[i * next], y = from[i * next + apart];
            to[i * next]         = x * c - y * s;
            to[i * next + apart] = x * s + y * c;
        }
        if (from != to) std::copy(from + rope.width, from + width, to + rope.width);
    }
}

}  // namespace inward
