// Puts a microbatch into a graph's input nodes.
#pragma once
#include "graph.h"

namespace inward {

void fill_inputs(model_graph & graph, const microbatch & batch, const hyperparameters & hp, const float * rope_factors);
// Draws every mask from (seed, layer, group, element): the same microbatch with the same seed drops the same inputs.
void fill_dropout(model_graph & graph, float probability, uint64_t seed);

}  // namespace inward
