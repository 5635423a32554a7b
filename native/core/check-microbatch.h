// What must hold before the first ggml call: ggml aborts the process where it does not.
#pragma once
#include "base-model.h"
#include "inward/trainer.h"

namespace inward {

// throws inward::error TRAIN_SETTINGS
void check_options(const trainer_options & options);
// throws inward::error TRAIN_SHAPE, TRAIN_EXAMPLE, TRAIN_CONTEXT
void check_microbatch(const microbatch & batch, const hyperparameters & hp, int64_t most_tokens, int64_t most_rows);

}  // namespace inward
