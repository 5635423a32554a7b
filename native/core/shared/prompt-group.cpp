#include "shared/prompt-group.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <tuple>

#include "inward/error.h"
#include "inward/logit-rows.h"

namespace inward {

namespace {

[[noreturn]] void shape(const std::string & what) { throw error("TRAIN_SHAPE", what); }

}  // namespace

prompt_group::prompt_group(engine_work work, const engine_description & model) : engine_work(std::move(work)) {
    longest_answer = most_tokens.empty() ? 0 : *std::max_element(most_tokens.begin(), most_tokens.end());
    if (!draws.empty() && draws.size() != most_tokens.size() * (size_t) std::max(0, longest_answer)) {
        shape("a group has " + std::to_string(draws.size()) + " draws for " + std::to_string(items()) +
              " answers of up to " + std::to_string(longest_answer) + " tokens");
    }
    if (!temperatures.empty() && temperatures.size() != most_tokens.size()) {
        shape("a group has " + std::to_string(temperatures.size()) + " temperatures for " + std::to_string(items()) + " items");
    }
    for (const double one : temperatures) {
        if (!(one > 0) || !std::isfinite(one)) shape("a draw has the temperature " + std::to_string(one));
    }
    if (starts.size() != most_tokens.size() + 1 || score_from.size() != most_tokens.size() || starts.front() != 0 ||
        starts.back() != (int32_t) tokens.size()) {
        shape("a group's arrays differ in length");
    }
    if ((!capture.empty() && capture.size() != tokens.size()) ||
        (!capture_answers.empty() && capture_answers.size() != most_tokens.size())) {
        shape("a group's choice of captured tokens differs in length from its tokens, or from its items");
    }
    const auto & [edited, edited_answers] = std::tie(interventions.token_sets, interventions.answer_sets);
    if (!(edited.empty() && edited_answers.empty()) &&
        (edited.size() != tokens.size() || edited_answers.size() != most_tokens.size())) {
        shape("a group's interventions differ in length from its tokens, or from its items");
    }
    const int32_t sets = std::max<int32_t>(0, (int32_t) interventions.set_starts.size() - 1);
    for (const auto * some : { &edited, &edited_answers }) {
        for (const int32_t set : *some) {
            if (set < -1 || set >= sets) shape("a group has no set " + std::to_string(set) + " of interventions");
        }
    }
    if (sequences < 0 || keep < 0) {
        shape("a group has " + std::to_string(sequences) + " sequences and keeps " + std::to_string(keep) + " tokens");
    }
    if (!keeps.empty() && (keeps.size() != most_tokens.size() || keep > 0)) {
        shape("a group says of each of its items how much is kept of it, or of all together");
    }
    for (int32_t i = 0; i < items(); i++) {
        const std::string number = std::to_string(i + 1);
        const int64_t     count  = length(i);
        if (count < 1) throw error("ENGINE_EMPTY_PROMPT", "prompt " + number + " has no tokens");
        bool keeps = keep <= count;
        for (int32_t t = 0; keeps && t < keep; t++) keeps = same_token(t, starts[i] + t);
        if (!keeps) {
            shape("prompt " + number + " does not begin with the " + std::to_string(keep) +
                  " tokens that are to be kept");
        }
        if (keeps_of(i) < 0 || keeps_of(i) > count) {
            shape("prompt " + number + " has no " + std::to_string(keeps_of(i)) + " tokens that are to be kept");
        }
        if (most_tokens[i] < 0 || score_from[i] < 1 || score_from[i] > count) {
            shape("item " + number + " asks for nothing sensible");
        }
        if (count + most_tokens[i] > model.context) {
            throw error("ENGINE_CONTEXT", "prompt " + number + " needs " + std::to_string(count + most_tokens[i]) +
                                              " tokens with its answer; the model's context holds " +
                                              std::to_string(model.context));
        }
    }
    for (auto id : tokens) {
        if (id < 0 || id >= model.vocabulary) {
            throw error("ENGINE_TOKEN", "token id " + std::to_string(id) + " is not in the vocabulary of " +
                                            std::to_string(model.vocabulary));
        }
    }
    for (auto id : read_ids) {
        if (id < 0 || id >= model.vocabulary) {
            throw error("ENGINE_TOKEN", "token id " + std::to_string(id) + " cannot be read");
        }
    }
    if (rows) {
        int64_t sum = 0;
        for (int32_t i = 0; i < items(); i++) {
            first_rows.push_back(sum);
            sum += length(i) - score_from[i];
        }
        if (sum > rows->rows() || rows->vocabulary() != model.vocabulary) {
            shape("there is room for " + std::to_string(rows->rows()) + " positions of " +
                  std::to_string(rows->vocabulary()) + " tokens, not for " + std::to_string(sum) + " of " +
                  std::to_string(model.vocabulary));
        }
    }
    if (end_ids.empty()) return;
    is_end.resize(model.vocabulary);
    for (auto id : end_ids) {
        if (id < 0 || id >= model.vocabulary) {
            throw error("ENGINE_TOKEN", "token id " + std::to_string(id) + " cannot end an answer");
        }
        is_end[id] = true;
    }
}

bool prompt_group::is_read() const {
    if (top_tokens > 0 || !read_ids.empty()) return true;
    for (int32_t i = 0; i < items(); i++) {
        if (most_tokens[i] > 0 || score_from[i] < length(i)) return true;
    }
    return false;
}

int64_t prompt_group::longest() const {
    int64_t most = 0;
    for (int32_t i = 0; i < items(); i++) most = std::max<int64_t>(most, length(i) + most_tokens[i]);
    return most;
}

std::vector<int32_t> prompt_group::sorted() const {
    std::vector<int32_t> order(items());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
        int32_t at = 0;
        const int32_t most = std::min(length(a), length(b));
        while (at < most && same_token(starts[a] + at, starts[b] + at)) at++;
        return at < most ? token_before(starts[a] + at, starts[b] + at) : length(a) < length(b);
    });
    return order;
}

bool prompt_group::same_kept(int32_t one, int32_t other) const {
    if (keeps_of(one) != keeps_of(other)) return false;
    for (int32_t t = 0; t < keeps_of(one); t++) {
        if (!same_token(starts[one] + t, starts[other] + t)) return false;
    }
    return true;
}

bool prompt_group::same_token(int64_t one, int64_t other) const {
    const auto & sets = interventions.token_sets;
    return tokens[one] == tokens[other] && (sets.empty() || sets[one] == sets[other]);
}

bool prompt_group::token_before(int64_t one, int64_t other) const {
    const auto & sets = interventions.token_sets;
    if (tokens[one] != tokens[other] || sets.empty()) return tokens[one] < tokens[other];
    return sets[one] < sets[other];
}

}  // namespace inward
