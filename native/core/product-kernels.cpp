#include "product-kernels.h"

#include <cstdlib>
#include <string>

#include "clones.h"

// Vectors only travel between functions that are inlined into each other.
#if defined(__GNUC__) && !defined(__clang__)
#    pragma GCC diagnostic ignored "-Wpsabi"
#endif

namespace inward {

namespace {

#if defined(__GNUC__)
typedef float panel_row __attribute__((vector_size(PANEL * sizeof(float)), aligned(4), may_alias));
#else
struct panel_row {
    float v[PANEL];
    panel_row & operator+=(const panel_row & o) {
        for (int i = 0; i < PANEL; i++) v[i] += o.v[i];
        return *this;
    }
    panel_row operator*(float f) const {
        panel_row made;
        for (int i = 0; i < PANEL; i++) made.v[i] = v[i] * f;
        return made;
    }
};
#endif

template <int ROWS, int PANELS>
INWARD_INLINE void tile(const float * x, const float * w, int64_t k, int64_t panel_stride, float * c, int64_t ldc, bool add) {
    panel_row sums[PANELS][ROWS];
    for (int p = 0; p < PANELS; p++) {
        for (int r = 0; r < ROWS; r++) sums[p][r] = panel_row{};
    }
    for (int64_t i = 0; i < k; i++) {
        panel_row weights[PANELS];
        for (int p = 0; p < PANELS; p++) weights[p] = *(const panel_row *) (w + p * panel_stride + i * PANEL);
        for (int r = 0; r < ROWS; r++) {
            const float factor = x[i * ROWS + r];
            for (int p = 0; p < PANELS; p++) sums[p][r] += weights[p] * factor;
        }
    }
    for (int p = 0; p < PANELS; p++) {
        for (int r = 0; r < ROWS; r++) {
            panel_row * to = (panel_row *) (c + r * ldc + p * PANEL);  // `auto` would forget that it may lie anywhere
            if (add) sums[p][r] += *to;
            *to = sums[p][r];
        }
    }
}

#define INWARD_TILE(set, attributes)                                                                                               \
    template <int ROWS, int PANELS>                                                                                                \
    attributes void set##_tile(const float * x, const float * w, int64_t k, int64_t stride, float * c, int64_t ldc, bool add) {    \
        tile<ROWS, PANELS>(x, w, k, stride, c, ldc, add);                                                                          \
    }
#define INWARD_ROWS(set, r) { set##_tile<r, 1>, set##_tile<r, 2> }

INWARD_TILE(plain, )
const product_kernels PLAIN = { "plain", 6, 1, { INWARD_ROWS(plain, 1), INWARD_ROWS(plain, 2), INWARD_ROWS(plain, 3), INWARD_ROWS(plain, 4), INWARD_ROWS(plain, 5), INWARD_ROWS(plain, 6) } };

#if defined(__x86_64__) && defined(__GNUC__)
INWARD_TILE(avx2, __attribute__((target("avx2,fma"))))
INWARD_TILE(avx512, __attribute__((target("avx512f,avx512vl,avx512dq,avx2,fma"))))
const product_kernels AVX2 = { "avx2", 6, 1, { INWARD_ROWS(avx2, 1), INWARD_ROWS(avx2, 2), INWARD_ROWS(avx2, 3), INWARD_ROWS(avx2, 4), INWARD_ROWS(avx2, 5), INWARD_ROWS(avx2, 6) } };
const product_kernels AVX512 = { "avx512", 12, 2, { INWARD_ROWS(avx512, 1), INWARD_ROWS(avx512, 2), INWARD_ROWS(avx512, 3), INWARD_ROWS(avx512, 4),
                                                    INWARD_ROWS(avx512, 5), INWARD_ROWS(avx512, 6), INWARD_ROWS(avx512, 7), INWARD_ROWS(avx512, 8),
                                                    INWARD_ROWS(avx512, 9), INWARD_ROWS(avx512, 10), INWARD_ROWS(avx512, 11), INWARD_ROWS(avx512, 12) } };
#endif

const product_kernels & choose() {
    // So that one machine can prove the kernels of another; which ran stands in the manifest.
    const char *      wanted  = std::getenv("INWARD_KERNELS");
    const std::string most    = wanted ? wanted : "avx512";
#if defined(__x86_64__) && defined(__GNUC__)
    const bool avx2   = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
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
