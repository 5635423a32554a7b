// A group of prompts that are evaluated together, checked: what must hold before the first llama.cpp call.
#pragma once
#include <vector>

#include "inward/engine.h"

namespace inward {

struct prompt_group : engine_work {
    int32_t longest_answer = 0;

    prompt_group() = default;
    // throws inward::error TRAIN_SHAPE, ENGINE_EMPTY_PROMPT, ENGINE_CONTEXT, ENGINE_TOKEN
    prompt_group(engine_work work, const engine_description & model);

    int32_t         items() const { return (int32_t) most_tokens.size(); }
    const int32_t * prompt(int32_t item) const { return tokens.data() + starts[item]; }
    int32_t         length(int32_t item) const { return starts[item + 1] - starts[item]; }
    // What the longest prompt takes with its longest answer, tokens.
    int64_t longest() const;
    // Where in [0, 1) the token at this position of the answer is drawn; negative: greedy.
    double draw(int32_t item, size_t position) const {
        return draws.empty() ? -1 : draws[(size_t) item * longest_answer + position];
    }
    double temperature(int32_t item) const { return temperatures.empty() ? 1 : temperatures[item]; }
    // Whether this group's answers end at the token, whatever the vocabulary says of it.
    bool ends(int32_t token) const { return !is_end.empty() && is_end[token]; }
    // Whether states of a prompt's token, or of an answer's, are captured.
    bool captures(int32_t item, int32_t token) const { return !capture.empty() && capture[starts[item] + token]; }
    bool captures_answer(int32_t item) const { return !capture_answers.empty() && capture_answers[item]; }
    // Which set of edits is done to a prompt's token, or to an answer's; -1: nothing is done.
    int32_t edits(int32_t item, int32_t token) const {
        return interventions.token_sets.empty() ? -1 : interventions.token_sets[starts[item] + token];
    }
    int32_t answer_edits(int32_t item) const {
        return interventions.answer_sets.empty() ? -1 : interventions.answer_sets[item];
    }
    // Whether any logits are looked at.
    bool is_read() const;
    // Tokens of the item's prompt that stay, beside other prompts'.
    int32_t keeps_of(int32_t item) const { return keeps.empty() ? 0 : keeps[item]; }
    // Whether both items have the same to be kept.
    bool same_kept(int32_t one, int32_t other) const;
    // Which of the rows a scored token's logits are.
    int64_t row_of(int32_t item, int32_t token) const { return first_rows[item] + token - score_from[item]; }
    // The items with their prompts in lexicographic order, what is done to a token being a part of it: neighbours share the most.
    std::vector<int32_t> sorted() const;

private:
    // Places in the group's tokens.
    bool same_token(int64_t one, int64_t other) const;
    bool token_before(int64_t one, int64_t other) const;

    std::vector<bool>    is_end;  // [vocabulary]; empty where end_ids is
    std::vector<int64_t> first_rows;  // [items]; empty without rows
};

}  // namespace inward
