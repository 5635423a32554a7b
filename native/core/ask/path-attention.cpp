// Compiled with -ffp-contract=fast: its sums are fused, and nothing else's may be.
#include "ask/path-attention.h"

#include <string>

#include "shared/products.h"
#include "shared/row-kernels.h"
#include "shared/vectors.h"

namespace inward {

namespace {

// A product of two rows is summed in 16 strands, and these in pairs, then pairs of those: the same tree on every machine.
// Here down to four sums; what is left is (first + third) + (second + fourth).
template <typename WIDTH> INWARD_INLINE four::vector last_four(const typename WIDTH::vector * strands) {
    four::vector quarter[4];
    static_assert(sizeof quarter == STRANDS * sizeof(float), "not all strands");
    std::memcpy(quarter, strands, sizeof quarter);
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

// Of HEADS queries over four cells at once: trees of four products share their steps.
template <typename WIDTH, int HEADS>
INWARD_INLINE void score_four(const cell_attention & over, const float * queries, const float * const * keys,
                              float * scores) {
    typedef typename WIDTH::vector vector;
    constexpr int                  PARTS = STRANDS / WIDTH::LANES, CELLS = (int) SCORED_AT_ONCE;
    vector                         sums[HEADS][CELLS][PARTS];
    INWARD_UNROLL
    for (int h = 0; h < HEADS; h++) {
        INWARD_UNROLL
        for (int c = 0; c < CELLS; c++) {
            INWARD_UNROLL
            for (int p = 0; p < PARTS; p++) sums[h][c][p] = vector{};
        }
    }
    int64_t i = 0;
    for (; i + STRANDS <= over.width; i += STRANDS) {
        INWARD_UNROLL
        for (int p = 0; p < PARTS; p++) {
            vector key[CELLS];
            INWARD_UNROLL
            for (int c = 0; c < CELLS; c++) key[c] = *(const vector *) (keys[c] + i + p * WIDTH::LANES);
            INWARD_UNROLL
            for (int h = 0; h < HEADS; h++) {
                const vector query = *(const vector *) (queries + h * over.width + i + p * WIDTH::LANES);
                INWARD_UNROLL
                for (int c = 0; c < CELLS; c++) sums[h][c][p] += query * key[c];
            }
        }
    }
    INWARD_UNROLL
    for (int h = 0; h < HEADS; h++) {
        four::vector four_of[CELLS];
        INWARD_UNROLL
        for (int c = 0; c < CELLS; c++) four_of[c] = last_four<WIDTH>(sums[h][c]);
        turn_four(four_of);
        four::vector total = (four_of[0] + four_of[2]) + (four_of[1] + four_of[3]);
        float *      to    = scores + h * score_row(over.count);
        if (i < over.width) {
            *(four::vector *) to = total;
            for (int c = 0; c < CELLS; c++) {
                for (int64_t rest = i; rest < over.width; rest++) to[c] += queries[h * over.width + rest] * keys[c][rest];
            }
            total = *(const four::vector *) to;
        }
        *(four::vector *) to = total * over.scale;
    }
}

// COLUMNS vectors of HEADS sums stay in registers over all cells.
template <typename WIDTH, int HEADS, int COLUMNS>
INWARD_INLINE void weigh(const cell_attention & over, const float * weights, int64_t column, float * out) {
    typedef typename WIDTH::vector vector;
    const int64_t                  row = score_row(over.count);
    vector                         sums[HEADS][COLUMNS];
    INWARD_UNROLL
    for (int h = 0; h < HEADS; h++) {
        INWARD_UNROLL
        for (int i = 0; i < COLUMNS; i++) sums[h][i] = vector{};
    }
    for (int64_t j = 0; j < over.count; j++) {
        const float * from = over.values + over.cells[j] * over.stride + column;
        vector        value[COLUMNS];
        INWARD_UNROLL
        for (int i = 0; i < COLUMNS; i++) value[i] = *(const vector *) (from + i * WIDTH::LANES);
        INWARD_UNROLL
        for (int h = 0; h < HEADS; h++) {
            const float weight = weights[h * row + j];
            INWARD_UNROLL
            for (int i = 0; i < COLUMNS; i++) sums[h][i] += value[i] * weight;
        }
    }
    INWARD_UNROLL
    for (int h = 0; h < HEADS; h++) {
        INWARD_UNROLL
        for (int i = 0; i < COLUMNS; i++) *(vector *) (out + h * over.width + column + i * WIDTH::LANES) = sums[h][i];
    }
}

// HEADS of them, which share what is read.
template <typename WIDTH, int HEADS>
INWARD_INLINE void score_heads(const cell_attention & over, const float * queries, float * scores) {
    for (int64_t j = 0; j < over.count; j += SCORED_AT_ONCE) {
        const float * keys[SCORED_AT_ONCE];
        // The last ones again where there are no more.
        for (int64_t c = 0; c < SCORED_AT_ONCE; c++) {
            keys[c] = over.keys + over.cells[j + c < over.count ? j + c : over.count - 1] * over.stride;
        }
        score_four<WIDTH, HEADS>(over, queries, keys, scores + j);
    }
}

template <typename WIDTH, int HEADS>
INWARD_INLINE void weigh_heads(const cell_attention & over, const float * weights, float * out) {
    constexpr int64_t LANES  = WIDTH::LANES;
    int64_t           column = 0;
    for (; column + 4 * LANES <= over.width; column += 4 * LANES) weigh<WIDTH, HEADS, 4>(over, weights, column, out);
    for (; column + LANES <= over.width; column += LANES) weigh<WIDTH, HEADS, 1>(over, weights, column, out);
    for (; column < over.width; column++) {
        for (int h = 0; h < HEADS; h++) {
            float sum = 0;
            for (int64_t j = 0; j < over.count; j++) {
                sum += weights[h * score_row(over.count) + j] * over.values[over.cells[j] * over.stride + column];
            }
            out[h * over.width + column] = sum;
        }
    }
}

// MOST heads at once that fit the registers, when scored and when weighed.
#define INWARD_ATTENTION_OF(set, lanes, most_scored, most_weighed, attributes)                                \
    attributes void set##_score(const cell_attention & over, const float * queries, float * scores) {         \
        const int64_t row = score_row(over.count);                                                            \
        int64_t       h   = 0;                                                                                \
        for (; h + most_scored <= over.group; h += most_scored) {                                             \
            score_heads<lanes, most_scored>(over, queries + h * over.width, scores + h * row);                \
        }                                                                                                     \
        for (; h < over.group; h++) score_heads<lanes, 1>(over, queries + h * over.width, scores + h * row);  \
    }                                                                                                         \
    attributes void set##_weigh(const cell_attention & over, const float * weights, float * out) {            \
        const int64_t row = score_row(over.count);                                                            \
        int64_t       h   = 0;                                                                                \
        for (; h + most_weighed <= over.group; h += most_weighed) {                                           \
            weigh_heads<lanes, most_weighed>(over, weights + h * row, out + h * over.width);                  \
        }                                                                                                     \
        for (; h < over.group; h++) weigh_heads<lanes, 1>(over, weights + h * row, out + h * over.width);     \
    }                                                                                                         \
    const attention_kernels set##_ATTENTION = { set##_score, set##_weigh };

struct attention_kernels {
    void (* score)(const cell_attention & over, const float * queries, float * scores);
    void (* weigh)(const cell_attention & over, const float * weights, float * out);
};

INWARD_ATTENTION_OF(plain, four, 1, 2, )
#if defined(__x86_64__) && defined(__GNUC__)
INWARD_ATTENTION_OF(avx2, eight, 1, 2, __attribute__((target("avx2,fma,f16c"))))
INWARD_ATTENTION_OF(avx512, sixteen, 3, 3, __attribute__((target("avx512f,avx512vl,avx512dq,avx2,fma,f16c"))))
#endif

// Those of the products' kernels.
const attention_kernels & attention_here() {
    static const attention_kernels & chosen = []() -> const attention_kernels & {
#if defined(__x86_64__) && defined(__GNUC__)
        const std::string name = kernels_here().name;
        if (name == "avx512") return avx512_ATTENTION;
        if (name == "avx2") return avx2_ATTENTION;
#endif
        return plain_ATTENTION;
    }();
    return chosen;
}

}  // namespace

void attend(const cell_attention & over, const float * queries, float * scores, float * out) {
    const auto & kernels = attention_here();
    kernels.score(over, queries, scores);
    for (int64_t h = 0; h < over.group; h++) {
        float * row = scores + h * score_row(over.count);
        if (over.cap != 0) cap_row(row, row, over.count, over.cap);
        scale_in_place(row, over.count, 1.0f / exp_sum(row, over.count, greatest(row, over.count)));
    }
    kernels.weigh(over, scores, out);
}

}  // namespace inward
