// Compiled with -ffp-contract=fast: its sums are fused, and nothing else's may be.
#include "ask/path-attention.h"

#include "shared/row-kernels.h"
#include "shared/vector-loops.h"

namespace inward {

namespace {

// Pairs of strands first, then pairs of those: the same tree on every machine.
INWARD_INLINE float total(const float * strands) {
    float eight[8], four[4];
    for (int i = 0; i < 8; i++) eight[i] = strands[i] + strands[i + 8];
    for (int i = 0; i < 4; i++) four[i] = eight[i] + eight[i + 4];
    return (four[0] + four[2]) + (four[1] + four[3]);
}

INWARD_INLINE float dot(const float * a, const float * b, int64_t n) {
    float   strands[STRANDS] = { 0 };
    int64_t i                = 0;
    for (; i + STRANDS <= n; i += STRANDS) {
        for (int s = 0; s < STRANDS; s++) strands[s] += a[i + s] * b[i + s];
    }
    float sum = total(strands);
    for (; i < n; i++) sum += a[i] * b[i];
    return sum;
}

INWARD_CLONES void score_keys(const cell_attention & over, const float * queries, float * scores) {
    for (int64_t j = 0; j < over.count; j++) {
        const float * key = over.keys + over.cells[j] * over.stride;
        for (int64_t h = 0; h < over.group; h++) {
            scores[h * over.count + j] = dot(queries + h * over.width, key, over.width) * over.scale;
        }
    }
}

// COLUMNS of the sum stay in registers over all cells.
template <int COLUMNS>
INWARD_INLINE void weigh(const cell_attention & over, const float * weights, int64_t column, float * out) {
    float sums[COLUMNS] = { 0 };
    for (int64_t j = 0; j < over.count; j++) {
        const float * value = over.values + over.cells[j] * over.stride + column;
        for (int i = 0; i < COLUMNS; i++) sums[i] += weights[j] * value[i];
    }
    for (int i = 0; i < COLUMNS; i++) out[column + i] = sums[i];
}

INWARD_CLONES void weigh_values(const cell_attention & over, const float * scores, float * out) {
    for (int64_t h = 0; h < over.group; h++) {
        const float * weights = scores + h * over.count;
        float *       to      = out + h * over.width;
        int64_t       column  = 0;
        for (; column + 64 <= over.width; column += 64) weigh<64>(over, weights, column, to);
        for (; column + 16 <= over.width; column += 16) weigh<16>(over, weights, column, to);
        for (; column < over.width; column++) weigh<1>(over, weights, column, to);
    }
}

}  // namespace

void attend(const cell_attention & over, const float * queries, float * scores, float * out) {
    score_keys(over, queries, scores);
    if (over.cap != 0) cap_row(scores, scores, over.group * over.count, over.cap);
    for (int64_t h = 0; h < over.group; h++) {
        float * row = scores + h * over.count;
        scale_in_place(row, over.count, 1.0f / exp_sum(row, over.count, greatest(row, over.count)));
    }
    weigh_values(over, scores, out);
}

}  // namespace inward
