// The kernels of products.h. Compiled with -ffp-contract=fast: their sums are fused, and nothing else's may be.
#include <cstdlib>
#include <string>

#include "shared/panel-kernels.h"
#include "shared/products.h"

namespace inward {

namespace {

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

// MOST panels at once for one row, half of that for two.
#define INWARD_KERNELS_OF(set, width, most, attributes)                                                              \
    template <int ROWS, int PANELS>                                                                                  \
    attributes void set##_tile(const float * x, const float * w, int64_t k, int64_t stride, float * c,               \
                               int64_t ldc, bool add) {                                                              \
        tile<width, ROWS, PANELS>(x, w, k, stride, c, ldc, add);                                                     \
    }                                                                                                                \
    template <ggml_type TYPE, int ROWS, int PANELS>                                                                  \
    attributes void set##_few(const float * x, const uint8_t * w, int64_t k, int64_t stride, float * c,              \
                              int64_t ldc, bool add) {                                                               \
        few_rows<width, TYPE, ROWS, PANELS>(x, w, k, stride, c, ldc, add);                                           \
    }                                                                                                                \
    template <ggml_type TYPE> attributes void set##_decode(const uint8_t * from, int64_t k, float * to) {            \
        decode_panel<width, TYPE>(from, k, to);                                                                      \
    }                                                                                                                \
    template <ggml_type TYPE> constexpr panel_kernels set##_panels() {                                               \
        return { TYPE, set##_decode<TYPE>,                                                                           \
                 { { set##_few<TYPE, 1, 1>, set##_few<TYPE, 1, most> },                                              \
                   { set##_few<TYPE, 2, 1>, set##_few<TYPE, 2, (most + 1) / 2> } } };                                \
    }                                                                                                                \
    const panel_kernels set##_PANELS[] = {                                                                           \
        set##_panels<GGML_TYPE_F32>(),    set##_panels<GGML_TYPE_F16>(),  set##_panels<GGML_TYPE_BF16>(),            \
        set##_panels<GGML_TYPE_Q8_0>(),   set##_panels<GGML_TYPE_Q4_0>(), set##_panels<GGML_TYPE_Q4_1>(),            \
        set##_panels<GGML_TYPE_Q5_0>(),   set##_panels<GGML_TYPE_Q5_1>(), set##_panels<GGML_TYPE_Q2_K>(),            \
        set##_panels<GGML_TYPE_Q3_K>(),   set##_panels<GGML_TYPE_Q4_K>(), set##_panels<GGML_TYPE_Q5_K>(),            \
        set##_panels<GGML_TYPE_Q6_K>(),   set##_panels<GGML_TYPE_IQ4_NL>(), set##_panels<GGML_TYPE_IQ4_XS>(),        \
    };
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

INWARD_KERNELS_OF(plain, four, 1, )
const product_kernels PLAIN = { "plain", PLAIN_ROWS, 1, { INWARD_SIX_ROWS(plain) }, { 1, 1 }, plain_PANELS };

#if defined(__x86_64__) && defined(__GNUC__)
INWARD_KERNELS_OF(avx2, eight, 2, __attribute__((target("avx2,fma,f16c"))))
INWARD_KERNELS_OF(avx512, sixteen, 4, __attribute__((target("avx512f,avx512vl,avx512dq,avx2,fma,f16c"))))
const product_kernels AVX2   = { "avx2", 6, 1, { INWARD_SIX_ROWS(avx2) }, { 2, 1 }, avx2_PANELS };
const product_kernels AVX512 = {
    "avx512", 12, 2, { INWARD_SIX_ROWS(avx512), INWARD_ROWS(avx512, 7), INWARD_ROWS(avx512, 8), INWARD_ROWS(avx512, 9),
                       INWARD_ROWS(avx512, 10), INWARD_ROWS(avx512, 11), INWARD_ROWS(avx512, 12) },
    { 4, 2 }, avx512_PANELS
};
#endif

const product_kernels & choose() {
    // So that one machine can prove the kernels of another; which ran stands in the manifest.
    const char *      wanted = std::getenv("INWARD_KERNELS");
    const std::string most   = wanted ? wanted : "avx512";
    const auto *      best   = most == "avx512" ? kernels_named("avx512") : nullptr;
    if (!best && most != "plain") best = kernels_named("avx2");
    return best ? *best : PLAIN;
}

}  // namespace

const product_kernels & kernels_here() {
    static const product_kernels & chosen = choose();
    return chosen;
}

const product_kernels * kernels_named(const std::string & name) {
#if defined(__x86_64__) && defined(__GNUC__)
    // Every processor that has both reads halves too.
    const bool avx2   = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512dq");
    if (name == "avx512") return avx512 ? &AVX512 : nullptr;
    if (name == "avx2") return avx2 ? &AVX2 : nullptr;
#endif
    return name == "plain" ? &PLAIN : nullptr;
}

const panel_kernels & product_kernels::of_type(ggml_type type) const {
    int i = 0;
    while (panels[i].type != type) i++;
    return panels[i];
}

}  // namespace inward
