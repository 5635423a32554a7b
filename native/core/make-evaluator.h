// Who evaluates: llama.cpp on any device, or our own forward pass on the CPU.
#pragma once
#include <memory>

#include "devices.h"
#include "llama-library.h"
#include "row-evaluator.h"

namespace inward {

// description: context, and our own kernels, are filled in; its vocabulary is the one that tokens are of
// throws ENGINE_UNAVAILABLE, and what the evaluator throws
std::unique_ptr<row_evaluator> make_evaluator(
    const llama_library & llama, llama_model * model, const engine_options & options, const devices & device, engine_description & description);

}  // namespace inward
