// Finds places for the layers that the devices have memory for, before a weight is read.
#pragma once
#include "train/arrangement.h"

namespace inward {

// The largest microbatch of `options` fits; what stays on the devices is what the options say, or as much as there is
// room for.
// throws inward::error TRAIN_MEMORY with what is needed, what there is, and what would help; TRAIN_SETTINGS
std::unique_ptr<arrangement> fit_memory(const trainer_options & options, base_model & model, const devices & where,
                                        weight_store & weights, const constants_by_device & constants,
                                        memory_plan & plan);

}  // namespace inward
