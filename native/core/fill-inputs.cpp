#include "fill-inputs.h"

#include <cmath>
#include <numeric>

namespace inward {

namespace {

// An input that no node reads has no memory.
void put(ggml_tensor * to, const void * values) {
    if (to && to->buffer) ggml_backend_tensor_set(to, values, 0, ggml_nbytes(to));
}

// [tokens, tokens]: 0 where the row's token sees the column's, else minus infinity
std::vector<float> forest_mask(const microbatch & b) {
    const int64_t      tokens = (int64_t) b.token_ids.size(), segments = (int64_t) b.segment_starts.size();
    std::vector<float> mask(tokens * tokens, -INFINITY);
    for (int64_t s = 0; s < segments; s++) {
        const int64_t begin = b.segment_starts[s], end = s + 1 < segments ? b.segment_starts[s + 1] : tokens;
        for (int64_t t = begin; t < end; t++) {
            float * row = mask.data() + t * tokens;
            for (int64_t seen = begin; seen <= t; seen++) row[seen] = 0;
            for (int32_t a = b.segment_parents[s]; a >= 0; a = b.segment_parents[a]) {
                for (int64_t seen = b.segment_starts[a]; seen < b.segment_starts[a + 1]; seen++) row[seen] = 0;
            }
        }
    }
    return mask;
}

uint64_t mixed(uint64_t x) {  // splitmix64's finalizer
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

}  // namespace

void fill_inputs(model_graph & graph, const microbatch & batch, const hyperparameters & hp, const float * rope_factors) {
    auto &        in     = graph.g.in;
    const int64_t tokens = graph.g.tokens, rows = graph.g.rows;
    put(in.tokens, batch.token_ids.data());
    put(in.rows, batch.loss_rows.data());
    std::vector<int32_t> row_of(tokens, (int32_t) rows);
    for (int64_t r = 0; r < rows; r++) row_of[batch.loss_rows[r]] = (int32_t) r;
    put(in.row_of, row_of.data());
    const std::vector<float> zeros(in.zeros->ne[0], 0.0f);
    put(in.zeros, zeros.data());
    put(in.positions, batch.positions.data());
    if (in.mask && in.mask->buffer) put(in.mask, forest_mask(batch).data());
    if (in.rope_table && in.rope_table->buffer) {
        std::vector<float> table;
        rope_table(table, batch.positions, hp, rope_factors);
        put(in.rope_table, table.data());
    }
    if (in.targets) {
        std::vector<int32_t> targets(rows);
        for (int64_t r = 0; r < rows; r++) targets[r] = (int32_t) (hp.vocabulary * (r % model_graph::CHUNK_ROWS)) + batch.loss_targets[r];
        put(in.targets, targets.data());
        put(in.weights, batch.loss_weights.data());
    }
    if (in.counting->buffer) {
        std::vector<int32_t> counting(in.counting->ne[0]);
        std::iota(counting.begin(), counting.end(), 0);
        put(in.counting, counting.data());
    }
    for (size_t c = 0; c < graph.chunks.size(); c++) {
        const int64_t first = (int64_t) c * model_graph::CHUNK_ROWS;
        graph.chunks[c]     = { batch.loss_targets.data() + first, batch.loss_weights.data() + first, graph.row_logprobs.data() + first };
    }
}

void fill_dropout(model_graph & graph, float probability, uint64_t seed) {
    const float    kept      = 1.0f / (1.0f - probability);
    const uint64_t threshold = (uint64_t) (probability * 4294967296.0);
    for (const auto & mask : graph.masks) {
        std::vector<float> values(ggml_nelements(mask.tensor));
        const uint64_t     key = mixed(mixed(seed) + 0x9e3779b97f4a7c15ull * (uint64_t) (mask.layer * GROUPS_PER_LAYER + mask.group + 1));
        for (size_t i = 0; i < values.size(); i++) values[i] = (mixed(key + 0x9e3779b97f4a7c15ull * i) >> 32) < threshold ? 0.0f : kept;
        put(mask.tensor, values.data());
    }
}

}  // namespace inward
