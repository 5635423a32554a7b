// What is computed over single rows of floats, when asking and when training. Every sum's order depends on the row's
// length alone.
#pragma once
#include <cstdint>
#include <vector>

#include "shared/base-model.h"

namespace inward {

float greatest(const float * values, int64_t n);
// whether each is a number and at most so far from 0
bool all_within(const float * values, int64_t n, float most);
// half precision's bits, rounded to nearest, ties to even; of numbers within half precision's range alone
void to_half(const float * values, uint16_t * to, int64_t n);
float square_sum(const float * values, int64_t n);
// exp of every value minus `shift`, in place, and their sum
float exp_sum(float * values, int64_t n, float shift);
// values *= factor
void scale_in_place(float * values, int64_t n, float factor);
// to = cap * tanh(from / cap); `from` may be `to`
void cap_row(const float * from, float * to, int64_t n, float cap);
// to += factor * from
void add_scaled(float * to, const float * from, int64_t n, float factor);

// h = x / rms(x) * weight; h may be x
void norm_row(const float * x, const float * weight, float * h, int64_t n, float epsilon);
// act = silu(gate) * up
void swiglu_row(const float * gate, const float * up, float * act, int64_t n);
// act = gelu(gate) * up, with tanh's approximation of GELU looked up: between -10 and 10 gate and GELU are rounded to
// half precision, as llama.cpp's CPU kernels do it. A model's numbers there are these, not those of an exact GELU.
void geglu_row_looked_up(const float * gate, const float * up, float * act, int64_t n);

// cos and sin of each token's angles, [rope.width, tokens] as pairs, computed as ggml does
void rope_table(std::vector<float> & table, const std::vector<int32_t> & positions, const rope_settings & rope,
                const float * factors);
// Rotates `heads` heads of `width` numbers by the angles of one token's row of rope_table; direction 1 turns forward, -1
// back. `from` may be `to`.
void rotate_row(const float * from, float * to, const float * table, int64_t heads, int64_t width,
                const rope_settings & rope, float direction);

}  // namespace inward
