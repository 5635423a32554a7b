// AdamW over the flat arrays, on each device over its own.
#pragma once
#include <memory>
#include <vector>

#include "ggml-alloc.h"
#include "shared/devices.h"
#include "train/adapter.h"

namespace inward {

class optimizer {
public:
    // throws inward::error TRAIN_MEMORY
    optimizer(adapter & lora, const devices & where);
    ~optimizer();
    optimizer(const optimizer &) = delete;

    // returns the scaled gradient's norm before clipping; a norm that is not finite changes nothing
    // throws inward::error TRAIN_DEVICE
    double update(const adamw_step & step);

    // of the part on this device; as much as two copies of its gradient
    uint64_t bytes(int device) const;

private:
    struct part;
    std::vector<std::unique_ptr<part>> parts_;  // in the order of the flat arrays
};

}  // namespace inward
