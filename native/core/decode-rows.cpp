#include "decode-rows.h"

#include <string>

#include "inward/error.h"

namespace inward {

void row_decoder::decode(const llama_library & llama, llama_context * context, std::vector<queued> & rows) {
    const size_t n = rows.size();
    tokens_.resize(n);
    positions_.resize(n);
    counts_.resize(n);
    sequences_.resize(n);
    outputs_.resize(n);
    for (size_t i = 0; i < n; i++) {
        tokens_[i]    = rows[i].token;
        positions_[i] = rows[i].position;
        counts_[i]    = (int32_t) rows[i].sequences.size();
        sequences_[i] = rows[i].sequences.data();
        outputs_[i]   = !rows[i].readers.empty();
    }
    llama_batch batch{};
    batch.n_tokens = (int32_t) n;
    batch.token    = tokens_.data();
    batch.pos      = positions_.data();
    batch.n_seq_id = counts_.data();
    batch.seq_id   = sequences_.data();
    batch.logits   = outputs_.data();
    const int32_t status = llama.decode(context, batch);
    if (status == 1) throw error("ENGINE_MEMORY", "the KV cache has no room for " + std::to_string(n) + " tokens");
    if (status == -2) throw error("ENGINE_MEMORY", "the device ran out of memory while evaluating " + std::to_string(n) + " tokens");
    if (status != 0) throw error("ENGINE_CRASHED", "llama_decode ended with " + std::to_string(status));
}

}  // namespace inward
