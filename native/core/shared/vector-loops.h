// What loops are written with that compilers turn into vector code.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

// One binary carries a loop for several instruction sets and picks when it is loaded: machines differ.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#    define INWARD_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#    define INWARD_CLONES
#endif
#if defined(__GNUC__)
#    define INWARD_INLINE inline __attribute__((always_inline))
#else
#    define INWARD_INLINE inline
#endif

namespace inward {

// Sums in 16 strands: vector code in an order that does not depend on the vectors' width.
constexpr int STRANDS = 16;

// exp of a number from -700 to 0, within 2 units in the last place of a double: 2^n times a polynomial on
// [-ln 2 / 2, ln 2 / 2] (Taylor to the 12th power; the next term is below 2e-16).
INWARD_INLINE double exp_below_one(double x) {
    constexpr double ROUND = 0x1.8p52;  // added, a number's whole part stands in its low bits
    x                      = x < -700.0 ? -700.0 : x;
    const double t         = x * 1.4426950408889634 + ROUND;
    const double n         = t - ROUND;
    const double f         = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
    double       p         = 1.0 / 479001600.0;
    p                      = p * f + 1.0 / 39916800.0;
    p                      = p * f + 1.0 / 3628800.0;
    p                      = p * f + 1.0 / 362880.0;
    p                      = p * f + 1.0 / 40320.0;
    p                      = p * f + 1.0 / 5040.0;
    p                      = p * f + 1.0 / 720.0;
    p                      = p * f + 1.0 / 120.0;
    p                      = p * f + 1.0 / 24.0;
    p                      = p * f + 1.0 / 6.0;
    p                      = p * f + 0.5;
    p                      = p * f + 1.0;
    p                      = p * f + 1.0;
    uint64_t bits;
    std::memcpy(&bits, &t, sizeof bits);
    bits = (bits + 1023) << 52;
    double power;
    std::memcpy(&power, &bits, sizeof power);
    return p * power;
}

// Clamped to where exp is a normal float; a NaN stays one.
INWARD_INLINE float in_exp_range(float x) { return std::min(std::max(x, -87.0f), 88.0f); }

// exp(x) = power * (1 + more), power = 2^n and more a polynomial on [-ln 2 / 2, ln 2 / 2] (Taylor to the 7th power; the
// next term is below 5e-9). x is in range.
INWARD_INLINE void exp_parts(float x, float & power, float & more) {
    constexpr float ROUND = 0x1.8p23f;  // added, a number's whole part stands in its low bits

    const float n = std::floor(x * 1.44269504f + 0.5f);
    const float f = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts, so that n ln 2 is exact enough
    float       p = 1.0f / 5040.0f;
    p             = p * f + 1.0f / 720.0f;
    p             = p * f + 1.0f / 120.0f;
    p             = p * f + 1.0f / 24.0f;
    p             = p * f + 1.0f / 6.0f;
    p             = p * f + 0.5f;
    p             = p * f + 1.0f;
    more          = p * f;
    // Through the bits of a float, because a NaN has no integer to be converted to or shifted.
    const float t = n + ROUND;
    uint32_t    bits;
    std::memcpy(&bits, &t, sizeof bits);
    bits = (bits + 127) << 23;
    std::memcpy(&power, &bits, sizeof power);
}

// exp within 2 units in the last place, of x in range
INWARD_INLINE float fast_exp_in_range(float x) {
    float power, more;
    exp_parts(x, power, more);
    return (more + 1.0f) * power;
}
INWARD_INLINE float fast_exp(float x) { return fast_exp_in_range(in_exp_range(x)); }

// tanh within 3 units in the last place: (e^2x - 1) / (e^2x + 1), where e^2x - 1 loses no digits near zero
INWARD_INLINE float fast_tanh(float x) {
    float power, more;
    exp_parts(in_exp_range(2.0f * x), power, more);
    const float less_one = power * more + (power - 1.0f);
    return less_one / (less_one + 2.0f);
}

}  // namespace inward
