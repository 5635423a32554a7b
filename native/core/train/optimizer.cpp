#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "inward/error.h"

namespace inward {

namespace {

// As torch's clip_grad_norm_ has it, so that both clip alike.
constexpr double CLIP_EPSILON = 1e-6;

}  // namespace

optimizer::optimizer(adapter & lora, ggml_backend_t backend) : lora_(lora), backend_(backend) {
    ggml_init_params params = { ggml_tensor_overhead() * 64 + 2 * ggml_graph_overhead(), nullptr, /*no_alloc*/ true };
    context_  = ggml_init(params);
    auto buft = ggml_backend_get_default_buffer_type(backend);

    scale_    = ggml_new_tensor_1d(context_, GGML_TYPE_F32, 1);
    settings_ = ggml_new_tensor_1d(context_, GGML_TYPE_F32, 7);
    buffer_   = ggml_backend_alloc_ctx_tensors_from_buft(context_, buft);

    norm_graph_ = ggml_new_graph(context_);
    squares_    = ggml_sum_rows(context_, ggml_sqr(context_, lora.gradients));
    ggml_set_output(squares_);
    ggml_build_forward_expand(norm_graph_, squares_);

    step_graph_ = ggml_new_graph(context_);
    auto * gradient = ggml_mul(context_, lora.gradients, scale_);
    auto * stepped  = ggml_opt_step_adamw(context_, lora.parameters, gradient, lora.first_moments, lora.second_moments,
                                          settings_);
    ggml_build_forward_expand(step_graph_, stepped);

    norm_alloc_ = ggml_gallocr_new(buft);
    step_alloc_ = ggml_gallocr_new(buft);
    if (!buffer_ || !ggml_gallocr_alloc_graph(norm_alloc_, norm_graph_) ||
        !ggml_gallocr_alloc_graph(step_alloc_, step_graph_)) {
        throw error("TRAIN_MEMORY", "the device has no room for the optimizer");
    }
}

optimizer::~optimizer() {
    if (step_alloc_) ggml_gallocr_free(step_alloc_);
    if (norm_alloc_) ggml_gallocr_free(norm_alloc_);
    if (buffer_) ggml_backend_buffer_free(buffer_);
    ggml_free(context_);
}

uint64_t optimizer::bytes() const {
    return ggml_gallocr_get_buffer_size(norm_alloc_, 0) + ggml_gallocr_get_buffer_size(step_alloc_, 0);
}

double optimizer::update(const adamw_step & step) {
    if (ggml_backend_graph_compute(backend_, norm_graph_) != GGML_STATUS_SUCCESS) {
        throw error("TRAIN_DEVICE", "the device failed in the gradient's norm");
    }
    std::vector<float> squares(ggml_nelements(squares_));
    ggml_backend_tensor_get(squares_, squares.data(), 0, ggml_nbytes(squares_));
    double sum = 0;
    for (float s : squares) sum += s;
    const double norm = std::sqrt(sum) * step.gradient_scale;
    if (!std::isfinite(norm)) return norm;
    double scale = step.gradient_scale;
    if (step.max_gradient_norm > 0) scale *= std::min(1.0, step.max_gradient_norm / (norm + CLIP_EPSILON));
    const float scale_value = (float) scale;
    const float settings[7] = { step.learning_rate,
                                step.beta1,
                                step.beta2,
                                step.epsilon,
                                step.weight_decay,
                                (float) (1.0 / (1.0 - std::pow((double) step.beta1, step.step))),
                                (float) (1.0 / (1.0 - std::pow((double) step.beta2, step.step))) };
    ggml_backend_tensor_set(scale_, &scale_value, 0, sizeof scale_value);
    ggml_backend_tensor_set(settings_, settings, 0, sizeof settings);
    if (ggml_backend_graph_compute(backend_, step_graph_) != GGML_STATUS_SUCCESS) {
        throw error("TRAIN_DEVICE", "the device failed in the optimizer's step");
    }
    return norm;
}

}  // namespace inward
