// The kernels of products.h. Compiled with -ffp-contract=fast: their sums are fused, and nothing else's may be.
#include <cstdlib>
#include <string>
#include <utility>

#include "shared/panel-kernels.h"
#include "shared/products.h"

namespace inward {

namespace {

template <typename WIDTH, int ROWS, int PANELS>
INWARD_INLINE void tile(const float * x, const float * w, int64_t k, int64_t panel_stride, float * c, int64_t ldc,
                        bool add, const wanted_next & next) {
    typedef typename WIDTH::vector vector;
    constexpr int                  LANES = WIDTH::LANES, PARTS = (int) PANEL / LANES;
    // Every loop over sums is unrolled, or they would live in memory before and behind the sum.
    vector                         sums[PANELS * PARTS][ROWS];
    INWARD_UNROLL
    for (int p = 0; p < PANELS * PARTS; p++) {
        INWARD_UNROLL
        for (int r = 0; r < ROWS; r++) sums[p][r] = vector{};
    }
    const uint8_t * line = next.at;
    const int64_t   every = next.every, apart = next.apart;
    for (int64_t i = 0; i < k; line += 64) {
        for (int p = 0; p < PANELS; p++) fetch_ahead(line + p * apart, 1);
        for (const int64_t end = std::min(k, i + every); i < end; i++) {
            vector weights[PANELS * PARTS];
            INWARD_UNROLL
            for (int p = 0; p < PANELS * PARTS; p++) {
                weights[p] = *(const vector *) (w + p / PARTS * panel_stride + i * PANEL + p % PARTS * LANES);
            }
            INWARD_UNROLL
            for (int r = 0; r < ROWS; r++) {
                const float factor = x[i * ROWS + r];
                INWARD_UNROLL
                for (int p = 0; p < PANELS * PARTS; p++) sums[p][r] += weights[p] * factor;
            }
        }
    }
    INWARD_UNROLL
    for (int p = 0; p < PANELS * PARTS; p++) {
        INWARD_UNROLL
        for (int r = 0; r < ROWS; r++) {
            vector * to = (vector *) (c + r * ldc + p * LANES);  // `auto` would forget that it may lie anywhere
            if (add) sums[p][r] += *to;
            *to = sums[p][r];
        }
    }
}

// FOURS: of rows, the last of which may be fewer. Its place is filled up with its last row again, and what that leaves
// behind the k-th row's end is overwritten by the next.
template <int FOURS>
INWARD_INLINE void turn_fours(const float * from, int64_t ld, int64_t rows, int64_t k, float factor, float * to) {
    const float * row[4 * FOURS];
    for (int64_t r = 0; r < 4 * FOURS; r++) row[r] = from + (r < rows ? r : rows - 1) * ld;
    int64_t i = 0;
    for (; i + 4 <= k; i += 4) {
        four::vector v[FOURS][4];
        for (int f = 0; f < FOURS; f++) {
            for (int r = 0; r < 4; r++) v[f][r] = *(const four::vector *) (row[4 * f + r] + i) * factor;
            turn_four(v[f]);
        }
        for (int j = 0; j < 4; j++, to += rows) {
            for (int f = 0; f < FOURS; f++) *(four::vector *) (to + 4 * f) = v[f][j];
        }
    }
    for (; i < k; i++, to += rows) {
        for (int64_t r = 0; r < rows; r++) to[r] = row[r][i] * factor;
    }
}

INWARD_INLINE void turn_rows(const float * from, int64_t ld, int64_t rows, int64_t k, float factor, float * to) {
    if (rows > 12) turn_fours<4>(from, ld, rows, k, factor, to);
    else if (rows > 8) turn_fours<3>(from, ld, rows, k, factor, to);
    else if (rows > 4) turn_fours<2>(from, ld, rows, k, factor, to);
    else turn_fours<1>(from, ld, rows, k, factor, to);
}

template <typename WIDTH> INWARD_INLINE void copy_rows(const float * from, int64_t ld, int64_t k, float * to) {
    typedef typename WIDTH::vector vector;
    for (int64_t i = 0; i < k; i++, from += ld, to += PANEL) {
        for (int lane = 0; lane < PANEL; lane += WIDTH::LANES) {
            *(vector *) (to + lane) = *(const vector *) (from + lane);
        }
    }
}

// MOST panels at once for one row, half of that for two.
#define INWARD_KERNELS_OF(set, width, most, attributes)                                                              \
    template <int ROWS, int PANELS>                                                                                  \
    attributes void set##_tile(const float * x, const float * w, int64_t k, int64_t stride, float * c,               \
                               int64_t ldc, bool add, const wanted_next & next) {                                    \
        tile<width, ROWS, PANELS>(x, w, k, stride, c, ldc, add, next);                                               \
    }                                                                                                                \
    template <ggml_type TYPE, int ROWS, int PANELS>                                                                  \
    attributes void set##_few(const float * x, const uint8_t * w, int64_t k, int64_t stride, float * c,              \
                              int64_t ldc, bool add) {                                                               \
        few_rows<width, TYPE, ROWS, PANELS>(x, w, k, stride, c, ldc, add);                                           \
    }                                                                                                                \
    template <ggml_type TYPE> attributes void set##_decode(const uint8_t * from, int64_t k, float * to) {            \
        decode_panel<width, TYPE>(from, k, to);                                                                      \
    }                                                                                                                \
    attributes void set##_turn(const float * from, int64_t ld, int64_t rows, int64_t k, float factor, float * to) {  \
        turn_rows(from, ld, rows, k, factor, to);                                                                    \
    }                                                                                                                \
    attributes void set##_copy(const float * from, int64_t ld, int64_t k, float * to) {                              \
        copy_rows<width>(from, ld, k, to);                                                                           \
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
const product_kernels PLAIN = { "plain", PLAIN_ROWS, 1, { INWARD_SIX_ROWS(plain) }, { 1, 1 }, plain_PANELS, plain_turn, plain_copy };

#if defined(__x86_64__) && defined(__GNUC__)
INWARD_KERNELS_OF(avx2, eight, 2, __attribute__((target("avx2,fma,f16c"))))
INWARD_KERNELS_OF(avx512, sixteen, 4, __attribute__((target("avx512f,avx512vl,avx512dq,avx2,fma,f16c"))))
const product_kernels AVX2   = { "avx2", 6, 1, { INWARD_SIX_ROWS(avx2) }, { 2, 1 }, avx2_PANELS, avx2_turn, avx2_copy };
const product_kernels AVX512 = {
    "avx512", 12, 2, { INWARD_SIX_ROWS(avx512), INWARD_ROWS(avx512, 7), INWARD_ROWS(avx512, 8), INWARD_ROWS(avx512, 9),
                       INWARD_ROWS(avx512, 10), INWARD_ROWS(avx512, 11), INWARD_ROWS(avx512, 12) },
    { 4, 2 }, avx512_PANELS, avx512_turn, avx512_copy
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
