#include "train/microbatch.h"

#include <cmath>
#include <algorithm>
#include <string>

#include "inward/error.h"
#include "shared/row-kernels.h"

namespace inward {

namespace {

[[noreturn]] void shape(const std::string & what) { throw error("TRAIN_SHAPE", "a microbatch is malformed: " + what); }

// An input that no node reads has no memory.
void put(ggml_tensor * to, const void * values) {
    if (to && to->buffer) ggml_backend_tensor_set(to, values, 0, ggml_nbytes(to));
}

// [tokens, tokens]: 0 where the row's token sees the column's, else minus infinity. A window is of positions: along the
// path from the root, whatever lies between in the microbatch.
std::vector<float> forest_mask(const microbatch & b, int64_t window) {
    const int64_t      tokens = (int64_t) b.token_ids.size(), segments = (int64_t) b.segment_starts.size();
    std::vector<float> mask(tokens * tokens, -INFINITY);
    for (int64_t s = 0; s < segments; s++) {
        const int64_t begin = b.segment_starts[s], end = s + 1 < segments ? b.segment_starts[s + 1] : tokens;
        for (int64_t t = begin; t < end; t++) {
            float * row = mask.data() + t * tokens;
            auto    see = [&](int64_t first, int64_t last) {
                for (int64_t k = first; k < last; k++) {
                    if (window <= 0 || b.positions[t] - b.positions[k] < window) row[k] = 0;
                }
            };
            see(begin, t + 1);
            for (int32_t a = b.segment_parents[s]; a >= 0; a = b.segment_parents[a]) {
                see(b.segment_starts[a], b.segment_starts[a + 1]);
            }
        }
    }
    return mask;
}

constexpr uint64_t STEP = 0x9e3779b97f4a7c15ull;  // splitmix64's

uint64_t mixed(uint64_t x) {  // and its finalizer
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

}  // namespace

void check_microbatch(const microbatch & b, const hyperparameters & hp, int64_t most_tokens, int64_t most_rows) {
    const int64_t tokens = (int64_t) b.token_ids.size(), rows = (int64_t) b.loss_rows.size();
    const int64_t segments = (int64_t) b.segment_starts.size();
    if (tokens < 1) shape("it has no tokens");
    if (tokens > most_tokens) {
        shape("it has " + std::to_string(tokens) + " tokens, planned were " + std::to_string(most_tokens));
    }
    if (rows < 1 || rows > most_rows) {
        shape("it has " + std::to_string(rows) + " loss rows, planned were 1 to " + std::to_string(most_rows));
    }
    if ((int64_t) b.positions.size() != tokens) shape("positions and tokens differ in number");
    if ((int64_t) b.segment_parents.size() != segments || segments < 1) shape("segments and parents differ in number");
    if ((int64_t) b.loss_targets.size() != rows || (int64_t) b.loss_weights.size() != rows) {
        shape("loss rows, targets and weights differ in number");
    }
    auto check_token = [&](int32_t id) {
        if (id < 0 || id >= hp.vocabulary) {
            throw error("TRAIN_EXAMPLE", "token id " + std::to_string(id) + " is not in the vocabulary of " +
                                             std::to_string(hp.vocabulary));
        }
    };
    for (auto id : b.token_ids) check_token(id);
    for (auto id : b.loss_targets) check_token(id);
    for (auto p : b.positions) {
        if (p < 0) shape("a position is negative");
        if (p >= hp.context) {
            throw error("TRAIN_CONTEXT", "position " + std::to_string(p) + " is beyond the model's context of " +
                                             std::to_string(hp.context));
        }
    }
    for (int64_t s = 0; s < segments; s++) {
        const int64_t begin = b.segment_starts[s], end = s + 1 < segments ? b.segment_starts[s + 1] : tokens;
        if ((s == 0 && begin != 0) || begin >= end || end > tokens) shape("segments do not follow each other");
        const int32_t parent = b.segment_parents[s];
        if (parent < -1 || parent >= s) shape("a segment's parent does not stand before it");
        const int32_t expected = parent < 0 ? 0 : b.positions[b.segment_starts[parent + 1] - 1] + 1;
        for (int64_t t = begin; t < end; t++) {
            if (b.positions[t] != expected + (t - begin)) shape("positions do not go on from the parent segment");
        }
    }
    for (int64_t r = 0; r < rows; r++) {
        if (b.loss_rows[r] < 0 || b.loss_rows[r] >= tokens || (r > 0 && b.loss_rows[r] <= b.loss_rows[r - 1])) {
            shape("loss rows do not ascend within the tokens");
        }
        if (!std::isfinite(b.loss_weights[r])) shape("a loss weight is not finite");
    }
}

void fill_inputs(model_graph & graph, const microbatch & batch, const hyperparameters & hp, const model_parts & parts,
                 const float * rope_factors) {
    auto &        in     = graph.g.in;
    const int64_t tokens = graph.g.tokens, rows = graph.g.rows;
    put(in.tokens, batch.token_ids.data());
    put(in.rows, batch.loss_rows.data());
    std::vector<int32_t> row_of(tokens, (int32_t) rows);
    for (int64_t r = 0; r < rows; r++) row_of[batch.loss_rows[r]] = (int32_t) r;
    put(in.row_of, row_of.data());
    put(in.positions, batch.positions.data());
    for (size_t i = 0; i < in.masks.size(); i++) {
        if (in.masks[i]->buffer) put(in.masks[i], forest_mask(batch, parts.plans[i].window).data());
    }
    auto put_table = [&](ggml_tensor * to, const rope_settings & rope, const float * factors) {
        if (!to || !to->buffer) return;
        std::vector<float> table;
        rope_table(table, batch.positions, rope, factors);
        put(to, table.data());
    };
    put_table(in.global_table, hp.global_rope, rope_factors);
    put_table(in.local_table, hp.local_rope, nullptr);
    if (in.targets) {
        std::vector<int32_t> targets(rows);
        for (int64_t r = 0; r < rows; r++) {
            targets[r] = (int32_t) (hp.vocabulary * (r % graph.chunk_rows)) + batch.loss_targets[r];
        }
        put(in.targets, targets.data());
        put(in.weights, batch.loss_weights.data());
    }
    for (size_t c = 0; c < graph.chunks.size(); c++) {
        const int64_t first = (int64_t) c * graph.chunk_rows;
        graph.chunks[c]     = { batch.loss_targets.data() + first, batch.loss_weights.data() + first,
                                graph.row_logprobs.data() + first };
    }
}

void fill_dropout(model_graph & graph, float probability, uint64_t seed, thread_team & team) {
    const float    kept      = 1.0f / (1.0f - probability);
    const uint64_t threshold = (uint64_t) (probability * 4294967296.0);
    for (const auto & mask : graph.masks) {
        std::vector<float> values(ggml_nelements(mask.tensor));
        const uint64_t     number = (uint64_t) (mask.layer * GROUPS_PER_LAYER + mask.group + 1);
        const uint64_t     key    = mixed(mixed(seed) + STEP * number);
        team.run(1, [&](team_member & member) {
            member.each((int64_t) values.size(), 1 << 16, [&](int64_t first, int64_t last) {
                for (int64_t i = first; i < last; i++) {
                    values[i] = (mixed(key + STEP * (uint64_t) i) >> 32) < threshold ? 0.0f : kept;
                }
            });
        });
        put(mask.tensor, values.data());
    }
}

microbatch filled_up(const microbatch & batch, int64_t least, int64_t chunk_rows, int64_t step) {
    microbatch    made   = batch;
    const int64_t tokens = (int64_t) batch.token_ids.size(), rows = (int64_t) batch.loss_rows.size();
    const int64_t last   = rows % chunk_rows;
    const int64_t more   = last > 0 && last < least ? std::min(least, chunk_rows) - last : 0;
    const int64_t wanted = std::max(least, tokens + more);
    const int64_t all    = (wanted + step - 1) / step * step;
    for (int64_t t = tokens; t < all; t++) {
        made.token_ids.push_back(0);
        made.positions.push_back(0);
        made.segment_starts.push_back((int32_t) t);
        made.segment_parents.push_back(-1);
        if (t - tokens >= more) continue;
        made.loss_rows.push_back((int32_t) t);
        made.loss_targets.push_back(0);
        made.loss_weights.push_back(0);
    }
    return made;
}

}  // namespace inward
