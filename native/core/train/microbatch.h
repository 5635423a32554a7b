// A microbatch on its way into a graph.
#pragma once
#include "inward/trainer.h"
#include "shared/thread-team.h"
#include "train/graph.h"

namespace inward {

// What must hold before the first ggml call: ggml aborts the process where it does not.
// throws inward::error TRAIN_SHAPE, TRAIN_EXAMPLE, TRAIN_CONTEXT
void check_microbatch(const microbatch & batch, const hyperparameters & hp, int64_t most_tokens, int64_t most_rows);

// Puts it into the graph's input nodes.
void fill_inputs(model_graph & graph, const microbatch & batch, const hyperparameters & hp, const model_parts & parts,
                 const float * rope_factors);
// Draws every mask from (seed, layer, group, element): the same microbatch with the same seed drops the same inputs.
void fill_dropout(model_graph & graph, float probability, uint64_t seed, thread_team & team);
// With tokens that nobody sees and whose loss weighs nothing, so that there are at least so many tokens, and loss rows in
// the last chunk, and tokens in multiples of `step`.
microbatch filled_up(const microbatch & batch, int64_t least, int64_t chunk_rows, int64_t step);

}  // namespace inward
