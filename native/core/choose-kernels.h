// Which kernel computes each group's products: measured on this machine with this model's shapes.
#pragma once
#include <map>
#include <string>

#include "graph.h"

namespace inward {

// Sets every group's kernels, from `given` where it names them ("qkv.forward": "blas"), else by measuring the first layer's group with
// `tokens` tokens. Leaves the choices in `chosen` and what was measured in `timings`. Gradients are garbage afterwards.
// throws inward::error TRAIN_DEVICE when a given kernel cannot be had
void choose_kernels(graph_maker & maker, const std::map<std::string, std::string> & given, int64_t tokens,
                    std::map<std::string, std::string> & chosen, std::map<std::string, std::string> & timings);

}  // namespace inward
