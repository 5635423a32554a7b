// The kernels of products.h. Compiled with -ffp-contract=fast: their sums are fused, and nothing else's may be.
#include <cstdlib>
#include <string>

#include "shared/products.h"
#include "shared/vector-loops.h"

// Vectors only travel between functions that are inlined into each other.
#if defined(__GNUC__) && !defined(__clang__)
#    pragma GCC diagnostic ignored "-Wpsabi"
#endif

namespace inward {

namespace {

// As many floats as one register has: a wider vector would live in memory, not in registers.
#if defined(__GNUC__)
struct sixteen {
    static constexpr int LANES = 16;
    typedef float vector __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));
};
struct eight {
    static constexpr int LANES = 8;
    typedef float vector __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));
};
struct four {
    static constexpr int LANES = 4;
    typedef float vector __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));
};
#else
struct four {
    static constexpr int LANES = 4;
    struct vector {
        float v[LANES];
        vector & operator+=(const vector & o) {
            for (int i = 0; i < LANES; i++) v[i] += o.v[i];
            return *this;
        }
        vector operator*(float f) const {
            vector made;
            for (int i = 0; i < LANES; i++) made.v[i] = v[i] * f;
            return made;
        }
    };
};
#endif

template <typename WIDTH, int ROWS, int PANELS>
INWARD_INLINE void tile(const float * x, const float * w, int64_t k, int64_t panel_stride, float * c, int64_t ldc,
                        bool add) {
    typedef typename WIDTH::vector vector;
    constexpr int                  LANES = WIDTH::LANES, PARTS = (int) PANEL / LANES;
    vector                         sums[PANELS * PARTS][ROWS];
    for (int p = 0; p < PANELS * PARTS; p++) {
        for (int r = 0; r < ROWS; r++) sums[p][r] = vector{};
    }
    for (int64_t i = 0; i < k; i++) {
        vector weights[PANELS * PARTS];
        for (int p = 0; p < PANELS * PARTS; p++) {
            weights[p] = *(const vector *) (w + p / PARTS * panel_stride + i * PANEL + p % PARTS * LANES);
        }
        for (int r = 0; r < ROWS; r++) {
            const float factor = x[i * ROWS + r];
            for (int p = 0; p < PANELS * PARTS; p++) sums[p][r] += weights[p] * factor;
        }
    }
    for (int p = 0; p < PANELS * PARTS; p++) {
        for (int r = 0; r < ROWS; r++) {
            vector * to = (vector *) (c + r * ldc + p * LANES);  // `auto` would forget that it may lie anywhere
            if (add) sums[p][r] += *to;
            *to = sums[p][r];
        }
    }
}

#define INWARD_TILE(set, width, attributes)                                                                 \
    template <int ROWS, int PANELS>                                                                         \
    attributes void set##_tile(const float * x, const float * w, int64_t k, int64_t stride, float * c,      \
                               int64_t ldc, bool add) {                                                     \
        tile<width, ROWS, PANELS>(x, w, k, stride, c, ldc, add);                                            \
    }
#define INWARD_ROWS(set, r) { set##_tile<r, 1>, set##_tile<r, 2> }
#define INWARD_SIX_ROWS(set)                                        \
    INWARD_ROWS(set, 1), INWARD_ROWS(set, 2), INWARD_ROWS(set, 3),  \
    INWARD_ROWS(set, 4), INWARD_ROWS(set, 5), INWARD_ROWS(set, 6)

// Sums that fit the registers: 16 of them on x86-64, 32 on Arm.
#if defined(__aarch64__)
constexpr int PLAIN_ROWS = 6;
#else
constexpr int PLAIN_ROWS = 3;
#endif

INWARD_TILE(plain, four, )
const product_kernels PLAIN = { "plain", PLAIN_ROWS, 1, { INWARD_SIX_ROWS(plain) } };

#if defined(__x86_64__) && defined(__GNUC__)
INWARD_TILE(avx2, eight, __attribute__((target("avx2,fma"))))
INWARD_TILE(avx512, sixteen, __attribute__((target("avx512f,avx512vl,avx512dq,avx2,fma"))))
const product_kernels AVX2   = { "avx2", 6, 1, { INWARD_SIX_ROWS(avx2) } };
const product_kernels AVX512 = {
    "avx512", 12, 2, { INWARD_SIX_ROWS(avx512), INWARD_ROWS(avx512, 7), INWARD_ROWS(avx512, 8), INWARD_ROWS(avx512, 9),
                       INWARD_ROWS(avx512, 10), INWARD_ROWS(avx512, 11), INWARD_ROWS(avx512, 12) }
};
#endif

const product_kernels & choose() {
    // So that one machine can prove the kernels of another; which ran stands in the manifest.
    const char *      wanted  = std::getenv("INWARD_KERNELS");
    const std::string most    = wanted ? wanted : "avx512";
#if defined(__x86_64__) && defined(__GNUC__)
    const bool avx2   = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512dq");
    if (avx512 && most == "avx512") return AVX512;
    if (avx2 && most != "plain") return AVX2;
#endif
    return PLAIN;
}

}  // namespace

const product_kernels & kernels_here() {
    static const product_kernels & chosen = choose();
    return chosen;
}

}  // namespace inward
