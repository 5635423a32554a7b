// AdamW over the flat arrays, on the device.
#pragma once
#include "ggml-alloc.h"
#include "train/adapter.h"

namespace inward {

class optimizer {
public:
    // throws inward::error TRAIN_MEMORY
    optimizer(adapter & lora, ggml_backend_t backend);
    ~optimizer();
    optimizer(const optimizer &) = delete;

    // returns the scaled gradient's norm before clipping; a norm that is not finite changes nothing
    double update(const adamw_step & step);

    uint64_t bytes() const;

private:
    adapter &             lora_;
    ggml_backend_t        backend_;
    ggml_context *        context_ = nullptr;
    ggml_backend_buffer_t buffer_  = nullptr;
    ggml_gallocr_t        norm_alloc_ = nullptr, step_alloc_ = nullptr;
    ggml_cgraph *         norm_graph_ = nullptr, * step_graph_ = nullptr;
    ggml_tensor *         squares_ = nullptr, * scale_ = nullptr, * settings_ = nullptr;
};

}  // namespace inward
