#include "shared/row-kernels.h"

#include "ggml.h"
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
    for (int s = 0; i < n; i++, s++) strand[s] = values[i] > strand[s] ? values[i] : strand[s];
    for (int half = STRANDS / 2; half > 0; half /= 2) {
        for (int s = 0; s < half; s++) strand[s] = strand[s + half] > strand[s] ? strand[s + half] : strand[s];
    }
    return strand[0];
}

INWARD_CLONES int32_t beyond_loop(const float * values, int64_t n, float most) {
    int32_t beyond = 0;
    for (int64_t i = 0; i < n; i++) beyond |= std::fabs(values[i]) <= most ? 0 : 1;
    return beyond;
}

// Rounded to nearest, ties to even: a float whose exponent is the result's adds the fraction, and what it has no room for
// is rounded off by the addition itself.
INWARD_CLONES void half_loop(const float * values, uint16_t * to, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        std::memcpy(&bits, values + i, sizeof bits);
        const uint32_t magnitude = bits & 0x7fffffffu, sign = (bits >> 16) & 0x8000u;
        // From 2^-14 on every result has 10 bits behind its first one; below, as many as there are down to 2^-24.
        const uint32_t least    = 113u << 23, exponent = magnitude & 0x7f800000u;
        const uint32_t bias     = (exponent > least ? exponent : least) + (13u << 23);
        float          size, shift;
        std::memcpy(&size, &magnitude, sizeof size);
        std::memcpy(&shift, &bias, sizeof shift);
        const float    sum = size + shift;
        uint32_t       rounded;
        std::memcpy(&rounded, &sum, sizeof rounded);
        // Places of 2^-24 (of the exponent's) that the sum is above the shift, with the exponent before them.
        to[i] = (uint16_t) (sign + (rounded - bias) + (((bias - (13u << 23) - least) >> 23) << 10));
    }
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

INWARD_CLONES void add_scaled_loop(float * to, const float * from, int64_t n, float factor) {
    for (int64_t i = 0; i < n; i++) to[i] += factor * from[i];
}

INWARD_CLONES void norm_loop(const float * x, const float * w, float * h, int64_t n, float r) {
    for (int64_t i = 0; i < n; i++) h[i] = x[i] * r * w[i];
}

// Clamped in a loop of its own: compilers divide once for each of a clamp's outcomes otherwise.
INWARD_CLONES void swiglu_loop(const float * gate, const float * up, float * act, int64_t n) {
    constexpr int64_t AT_ONCE = 256;
    float             x[AT_ONCE];
    for (int64_t begin = 0; begin < n; begin += AT_ONCE, gate += AT_ONCE, up += AT_ONCE, act += AT_ONCE) {
        const int64_t count = std::min(AT_ONCE, n - begin);
        for (int64_t i = 0; i < count; i++) x[i] = in_exp_range(-gate[i]);
        for (int64_t i = 0; i < count; i++) act[i] = gate[i] / (1.0f + fast_exp_in_range(x[i])) * up[i];
    }
}

constexpr uint32_t HALVES = 1 << 16;

// GELU of every half, by the half's bits. One sum is fused, as compilers fuse it in ggml's kernels for processors that can:
// it decides how one of these numbers is rounded.
const float * gelu_of_halves() {
    static const std::vector<float> table = [] {
        std::vector<float> values(HALVES);
        for (uint32_t bits = 0; bits < HALVES; bits++) {
            const float x    = ggml_fp16_to_fp32((ggml_fp16_t) bits);
            const float gelu = 0.5f * x * (1.0f + std::tanh(0.7978845608f * x * std::fma(0.044715f * x, x, 1.0f)));
            values[bits]     = ggml_fp16_to_fp32(ggml_fp32_to_fp16(gelu));
        }
        return values;
    }();
    return table.data();
}

// The bits of the nearest half, to even between two; what no finite half is near, a NaN too, has those of a NaN.
INWARD_INLINE uint32_t half_bits(float x) {
    // Half's smallest normal number and the distance of those below, which is that of floats above 0.5.
    constexpr float    NORMAL = 0x1p-14f, SHIFT = 0.5f;
    constexpr uint32_t SHIFT_BITS = 0x3f000000, EXPONENTS_APART = (127 - 15) << 10, NOT_A_NUMBER = 0x7fff;

    uint32_t bits, below;
    std::memcpy(&bits, &x, sizeof bits);
    const uint32_t size   = bits & 0x7fffffff;
    const uint32_t normal = ((size + 0xfff + (size >> 13 & 1)) >> 13) - EXPONENTS_APART;
    const float    length = std::fabs(x), moved = length + SHIFT;
    std::memcpy(&below, &moved, sizeof below);
    return (bits >> 16 & 0x8000) | (length < NORMAL ? below - SHIFT_BITS : std::min(normal, NOT_A_NUMBER));
}

INWARD_CLONES void geglu_loop(const float * gate, const float * up, float * act, int64_t n, const float * table) {
    for (int64_t i = 0; i < n; i++) {
        const float x = gate[i], looked_up = table[half_bits(x)];
        act[i] = x <= -10.0f ? 0.0f : (x >= 10.0f ? x : looked_up) * up[i];
    }
}

}  // namespace

float greatest(const float * values, int64_t n) { return greatest_loop(values, n); }
bool all_within(const float * values, int64_t n, float most) { return beyond_loop(values, n, most) == 0; }

void to_half(const float * values, uint16_t * to, int64_t n) { half_loop(values, to, n); }

float square_sum(const float * values, int64_t n) { return square_sum_loop(values, n); }
float exp_sum(float * values, int64_t n, float shift) { return exp_sum_loop(values, n, shift); }
void  scale_in_place(float * values, int64_t n, float factor) { scale_loop(values, n, factor); }
void  cap_row(const float * from, float * to, int64_t n, float cap) { cap_loop(from, to, n, cap, 1.0f / cap); }
void  add_scaled(float * to, const float * from, int64_t n, float factor) { add_scaled_loop(to, from, n, factor); }

void norm_row(const float * x, const float * weight, float * h, int64_t n, float epsilon) {
    norm_loop(x, weight, h, n, 1.0f / std::sqrt(square_sum_loop(x, n) / (float) n + epsilon));
}

void swiglu_row(const float * gate, const float * up, float * act, int64_t n) { swiglu_loop(gate, up, act, n); }

void geglu_row_looked_up(const float * gate, const float * up, float * act, int64_t n) {
    geglu_loop(gate, up, act, n, gelu_of_halves());
}

void rope_table(std::vector<float> & table, const std::vector<int32_t> & positions, const rope_settings & rope,
                const float * factors) {
    const int64_t width = rope.width;
    // In single precision and step by step, as ggml does it: the same angles to the last bit.
    const float step = std::pow(rope.base, -2.0f / (float) width);
    const bool  yarn = rope.extrapolation != 0;
    // Pairs of numbers between which YaRN goes from angles as they are to scaled ones.
    float       ends[2] = { 0, 0 };
    if (yarn) {
        ggml_rope_yarn_corr_dims((int) width, (int) rope.original_context, rope.base, rope.beta_fast, rope.beta_slow,
                                 ends);
    }
    const float magnitude = yarn ? rope.magnitude * (1.0f + 0.1f * std::log(1.0f / rope.scale)) : rope.magnitude;
    table.resize(positions.size() * width);
    for (size_t t = 0; t < positions.size(); t++) {
        float theta = (float) positions[t];
        for (int64_t i = 0; i < width; i += 2) {
            const float whole = theta / (factors ? factors[i / 2] : 1.0f);
            float       angle = rope.scale * whole;
            if (yarn) {
                const float past = ((float) (i / 2) - ends[0]) / std::max(0.001f, ends[1] - ends[0]);
                const float kept = (1.0f - std::min(1.0f, std::max(0.0f, past))) * rope.extrapolation;
                angle            = angle * (1.0f - kept) + whole * kept;
            }
            table[t * width + i]     = std::cos(angle) * magnitude;
            table[t * width + i + 1] = std::sin(angle) * magnitude;
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
