// A sequence of the cache, and what has been read for the item that it answers.
#pragma once
#include <cstdint>
#include <vector>

#include "inward/engine.h"

namespace inward {

struct answer_slot {
    int32_t              item = -1;       // -1: free, or kept for its prompt only
    bool                 holds = false;   // its sequence has cells
    std::vector<int32_t> path;            // cells of all its tokens
    int32_t              next = -1;       // generated token to evaluate, or -1
    int32_t              waiting = 0;     // prompt readings that are still to come
    std::vector<int32_t> tokens;
    std::vector<double>  logprobs, margins, entropies, scores;
    double               log_sum_exp = 0;
    std::vector<int32_t> top_ids;
    std::vector<double>  top_logprobs, read_logprobs;

    // ended: whether its last token ends the turn
    void append_to(engine_results & results, bool ended) const {
        const auto append = [](auto & to, const auto & from) { to.insert(to.end(), from.begin(), from.end()); };
        results.items.push_back(item);
        results.counts.push_back((int32_t) tokens.size());
        append(results.tokens, tokens);
        append(results.logprobs, logprobs);
        append(results.margins, margins);
        append(results.entropies, entropies);
        results.ended.push_back(ended);
        results.score_counts.push_back((int32_t) scores.size());
        append(results.scores, scores);
        results.log_sum_exps.push_back(log_sum_exp);
        append(results.top_ids, top_ids);
        append(results.top_logprobs, top_logprobs);
        append(results.read_logprobs, read_logprobs);
    }
};

}  // namespace inward
