// What must hold of a group of prompts before the first llama.cpp call.
#pragma once
#include "inward/engine.h"

namespace inward {

// throws inward::error TRAIN_SHAPE, ENGINE_EMPTY_PROMPT, ENGINE_CONTEXT, ENGINE_TOKEN
void check_work(const engine_work & work, const engine_description & model);

}  // namespace inward
