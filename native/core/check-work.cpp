#include "check-work.h"

#include <algorithm>
#include <string>

#include "inward/error.h"

namespace inward {

void check_work(const engine_work & w, const engine_description & model) {
    const size_t items = w.most_tokens.size();
    const int32_t longest_answer = items == 0 ? 0 : *std::max_element(w.most_tokens.begin(), w.most_tokens.end());
    if (!w.draws.empty() && w.draws.size() != items * (size_t) std::max(0, longest_answer)) {
        throw error("TRAIN_SHAPE", "a group has " + std::to_string(w.draws.size()) + " draws for " + std::to_string(items) + " answers of up to " +
                                       std::to_string(longest_answer) + " tokens");
    }
    if (w.starts.size() != items + 1 || w.score_from.size() != items || w.starts.front() != 0 || w.starts.back() != (int32_t) w.tokens.size()) {
        throw error("TRAIN_SHAPE", "a group's arrays differ in length");
    }
    if (w.sequences < 0 || w.keep < 0) throw error("TRAIN_SHAPE", "a group has " + std::to_string(w.sequences) + " sequences and keeps " + std::to_string(w.keep) + " tokens");
    for (size_t i = 0; i < items; i++) {
        const int64_t length = w.starts[i + 1] - w.starts[i];
        if (length < 1) throw error("ENGINE_EMPTY_PROMPT", "prompt " + std::to_string(i + 1) + " has no tokens");
        if (w.keep > length || !std::equal(w.tokens.begin(), w.tokens.begin() + w.keep, w.tokens.begin() + w.starts[i])) {
            throw error("TRAIN_SHAPE", "prompt " + std::to_string(i + 1) + " does not begin with the " + std::to_string(w.keep) + " tokens that are to be kept");
        }
        if (w.most_tokens[i] < 0 || w.score_from[i] < 1 || w.score_from[i] > length) throw error("TRAIN_SHAPE", "item " + std::to_string(i + 1) + " asks for nothing sensible");
        if (length + w.most_tokens[i] > model.context) {
            throw error("ENGINE_CONTEXT", "prompt " + std::to_string(i + 1) + " needs " + std::to_string(length + w.most_tokens[i]) +
                                              " tokens with its answer; the model's context holds " + std::to_string(model.context));
        }
    }
    for (auto id : w.tokens) {
        if (id < 0 || id >= model.vocabulary) {
            throw error("ENGINE_TOKEN", "token id " + std::to_string(id) + " is not in the vocabulary of " + std::to_string(model.vocabulary));
        }
    }
    for (auto id : w.read_ids) {
        if (id < 0 || id >= model.vocabulary) throw error("ENGINE_TOKEN", "token id " + std::to_string(id) + " cannot be read");
    }
}

}  // namespace inward
