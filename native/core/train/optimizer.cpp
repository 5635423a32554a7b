#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "inward/error.h"

namespace inward {

namespace {

// As torch's clip_grad_norm_ has it, so that both clip alike.
constexpr double CLIP_EPSILON = 1e-6;

void compute(ggml_backend_t backend, ggml_cgraph * graph) {
    const auto status = ggml_backend_graph_compute(backend, graph);
    if (status == GGML_STATUS_SUCCESS) return;
    throw error("TRAIN_DEVICE", std::string("the device failed in the optimizer with status ") + ggml_status_to_string(status));
}

}  // namespace

// The parameters of one device.
struct optimizer::part {
    int                   device;
    ggml_backend_t        backend;
    ggml_context *        context = nullptr;
    ggml_backend_buffer_t buffer  = nullptr;
    ggml_gallocr_t        norm_alloc = nullptr, step_alloc = nullptr;
    ggml_cgraph *         norm_graph = nullptr, * step_graph = nullptr;
    ggml_tensor *         squares = nullptr, * scale = nullptr, * settings = nullptr;

    part(flat_arrays & flat, const inward::device & on) : device(flat.device), backend(on.backend) {
        ggml_init_params params = { ggml_tensor_overhead() * 64 + 2 * ggml_graph_overhead(), nullptr, /*no_alloc*/ true };
        context   = ggml_init(params);
        auto buft = ggml_backend_get_default_buffer_type(backend);

        scale    = ggml_new_tensor_1d(context, GGML_TYPE_F32, 1);
        settings = ggml_new_tensor_1d(context, GGML_TYPE_F32, 7);
        buffer   = ggml_backend_alloc_ctx_tensors_from_buft(context, buft);

        norm_graph = ggml_new_graph(context);
        squares    = ggml_sum_rows(context, ggml_sqr(context, flat.gradients));
        ggml_set_output(squares);
        ggml_build_forward_expand(norm_graph, squares);

        step_graph      = ggml_new_graph(context);
        auto * gradient = ggml_mul(context, flat.gradients, scale);
        auto * stepped  = ggml_opt_step_adamw(context, flat.parameters, gradient, flat.first_moments,
                                              flat.second_moments, settings);
        ggml_build_forward_expand(step_graph, stepped);

        norm_alloc = ggml_gallocr_new(buft);
        step_alloc = ggml_gallocr_new(buft);
        if (!buffer || !ggml_gallocr_alloc_graph(norm_alloc, norm_graph) ||
            !ggml_gallocr_alloc_graph(step_alloc, step_graph)) {
            throw error("TRAIN_MEMORY", on.name + " has no room for the optimizer");
        }
    }

    ~part() {
        if (step_alloc) ggml_gallocr_free(step_alloc);
        if (norm_alloc) ggml_gallocr_free(norm_alloc);
        if (buffer) ggml_backend_buffer_free(buffer);
        ggml_free(context);
    }
};

optimizer::optimizer(adapter & lora, const devices & where) {
    for (auto & flat : lora.flats) {
        if (flat.count > 0) parts_.push_back(std::make_unique<part>(flat, where.all[flat.device]));
    }
}

optimizer::~optimizer() = default;

uint64_t optimizer::bytes(int device) const {
    uint64_t bytes = 0;
    for (const auto & one : parts_) {
        if (one->device != device) continue;
        bytes += ggml_gallocr_get_buffer_size(one->norm_alloc, 0) + ggml_gallocr_get_buffer_size(one->step_alloc, 0);
    }
    return bytes;
}

double optimizer::update(const adamw_step & step) {
    double sum = 0;
    for (const auto & one : parts_) {
        compute(one->backend, one->norm_graph);
        std::vector<float> squares(ggml_nelements(one->squares));
        ggml_backend_tensor_get(one->squares, squares.data(), 0, ggml_nbytes(one->squares));
        for (float s : squares) sum += s;
    }
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
    for (const auto & one : parts_) {
        ggml_backend_tensor_set(one->scale, &scale_value, 0, sizeof scale_value);
        ggml_backend_tensor_set(one->settings, settings, 0, sizeof settings);
        compute(one->backend, one->step_graph);
    }
    return norm;
}

}  // namespace inward
