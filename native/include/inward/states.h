// What a model holds of a token on the way through its layers, by name: src/model/sites.ts has the same names and shapes.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

namespace inward {

// In the order of a layer. What attention and feed-forward add is taken as it is added: after a norm of its own and the
// architecture's residual scale, so that before + attention_output = middle, and middle + mlp_output = after.
enum class state_part : int32_t {
    residual_before,
    attention_output,
    residual_middle,
    mlp_output,
    residual_after,
    head_values,        // [heads x head width] what each head has gathered, before the output matrix
    attention_weights,  // [heads x keys] over the tokens from the text's first up to this one
};
constexpr int32_t STATE_PARTS = 7;

struct state_site {
    state_part part;
    int32_t    layer;
    int64_t    width;  // numbers of a token; of attention weights: heads, each with as many numbers as there are keys
};

struct capture_choice {
    std::vector<state_site> sites;
    bool                    half = false;  // F16, else F32
};

// What was captured of one token.
class token_states;
using states_of_tokens = std::vector<std::shared_ptr<const token_states>>;

uint64_t bytes_of(const states_of_tokens & records);
// Item after item, site after site: of each of the item's tokens what was captured there.
// counts: [items] tokens
void write_states(const states_of_tokens & records, const std::vector<int32_t> & counts, uint8_t * to);

}  // namespace inward
