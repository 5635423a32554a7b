// Attention of one token over the cells on its own path, wherever these lie: nothing masked is computed, nothing is
// gathered.
#pragma once
#include <cstdint>

namespace inward {

struct cell_attention {
    int64_t         group;   // query heads that share this key-value head
    int64_t         width;   // of a head
    float           scale;
    float           cap;     // scores become cap * tanh(score / cap); 0: as they are
    const float *   keys;    // of this key-value head in cell 0
    const float *   values;
    int64_t         stride;  // floats from one cell to the next
    const int32_t * cells;   // the path, or its last part where attention is local; the token's own last
    int64_t         count;
};

// Scores are computed for so many cells at once.
constexpr int64_t SCORED_AT_ONCE = 4;
// How far the scores of two query heads are apart.
constexpr int64_t score_row(int64_t count) { return (count + SCORED_AT_ONCE - 1) / SCORED_AT_ONCE * SCORED_AT_ONCE; }

// queries and out: [group][width]; scores: work space of `group` rows of scores, in which the weights are left. Sums in an
// order that depends on the number of cells alone.
void attend(const cell_attention & over, const float * queries, float * scores, float * out);

}  // namespace inward
