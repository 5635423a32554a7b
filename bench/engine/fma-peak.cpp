// How many floating point operations a second one thread of this processor makes of fused multiply-adds that wait for nothing: the best of
// some rounds, GFLOP/s, by vectors of 512 and 256 bits; 0 where it has none.
#include <immintrin.h>

#include <algorithm>
#include <cstdio>
#include <ctime>

namespace {

constexpr int STEPS = 1000000, ROUNDS = 25;

double seconds() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

// Chains enough for none to wait, of different numbers: equal ones would be computed once.
#define CHAINS(each) each(0) each(1) each(2) each(3) each(4) each(5) each(6) each(7) each(8) each(9) each(10) each(11)
#define PEAK(name, instructions, vector, set, fused, lanes)                                      \
    __attribute__((target(instructions))) double name() {                                        \
        const vector a = set(0.999f), b = set(1e-4f);                                            \
        double       best = 0;                                                                   \
        CHAINS(BEGIN_##name)                                                                     \
        for (int round = 0; round < ROUNDS; round++) {                                           \
            const double begun = seconds();                                                      \
            for (int i = 0; i < STEPS; i++) { CHAINS(STEP_##name) }                              \
            best = std::max(best, 12.0 * 2 * lanes * STEPS / (seconds() - begun));               \
        }                                                                                        \
        CHAINS(END)                                                                              \
        return best;                                                                             \
    }
#define BEGIN_wide(i)   __m512 s##i = _mm512_set1_ps(1e-3f * (i + 1));
#define STEP_wide(i)    s##i = _mm512_fmadd_ps(s##i, a, b);
#define BEGIN_narrow(i) __m256 s##i = _mm256_set1_ps(1e-3f * (i + 1));
#define STEP_narrow(i)  s##i = _mm256_fmadd_ps(s##i, a, b);
#define END(i)          asm volatile("" : : "x"(s##i));

PEAK(wide, "avx512f,avx512vl", __m512, _mm512_set1_ps, _mm512_fmadd_ps, 16)
PEAK(narrow, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, 8)

}  // namespace

int main() {
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
    const bool avx2   = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    std::printf("{\"avx512\": %.1f, \"avx2\": %.1f}\n", avx512 ? wide() / 1e9 : 0, avx2 ? narrow() / 1e9 : 0);
}
