// A batch of single tokens for llama_decode.
#pragma once
#include <cstdint>
#include <vector>

#include "llama-library.h"

namespace inward {

// Someone who waits for the logits after a token.
struct reader {
    int32_t slot;
    int32_t scored = -1;  // index into the item's tokens of the one that is scored; -1: the first token of the answer
};

// A token that waits to be evaluated.
struct queued {
    int32_t              token, position;
    std::vector<int32_t> sequences;
    std::vector<reader>  readers;  // none: its logits are not made
    int32_t              owner;    // cell
};

class row_decoder {
public:
    // throws inward::error ENGINE_MEMORY, ENGINE_CRASHED
    void decode(const llama_library & llama, llama_context * context, std::vector<queued> & rows);

private:
    std::vector<int32_t>        tokens_, positions_, counts_;
    std::vector<llama_seq_id *> sequences_;
    std::vector<int8_t>         outputs_;
};

}  // namespace inward
