#include "train/adapter.h"

#include <algorithm>
#include <functional>

#include "inward/error.h"

namespace inward {

namespace {

// Rows of the flat arrays, so that the optimizer's work can be cut over threads; offsets stay aligned on every device.
constexpr int64_t FLAT_ROW  = 1024;
constexpr int64_t ALIGNMENT = 64;

}  // namespace

adapter::adapter(const base_model & model, const trainer_options & options) {
    const int64_t rank = options.rank;
    // A matrix that is several projections has one pair for all of them, as PEFT's has.
    auto wanted = [&](const linear_weights & weights) {
        const auto asked = std::count_if(weights.targets.begin(), weights.targets.end(), [&](const std::string & one) {
            return std::find(options.targets.begin(), options.targets.end(), one) != options.targets.end();
        });
        if (asked == 0 || asked == (int64_t) weights.targets.size()) return asked > 0;
        std::string names;
        for (const auto & one : weights.targets) names += (names.empty() ? "" : ", ") + one;
        throw error("TRAIN_SETTINGS", "in this model " + weights.name + " is " + names +
                                          " in one matrix: an adapter has all of them as targets or none");
    };
    const size_t per_layer = 2 * (4 + 7);
    const size_t tensors_size = ggml_tensor_overhead() * (model.layers.size() * per_layer + 8);
    context_ = ggml_init({ tensors_size, nullptr, /*no_alloc*/ true });

    // First the layout, then the arrays it needs, then views into them.
    std::vector<std::function<void()>> views;
    auto place = [&](int64_t floats) {
        const int64_t at = count;
        count            = (count + floats + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        return at;
    };
    auto view = [&](ggml_tensor ** into, ggml_tensor ** of, int64_t ne0, int64_t ne1, int64_t offset) {
        views.push_back([=] {
            *into = ggml_view_2d(context_, *of, ne0, ne1, ne0 * sizeof(float), offset * sizeof(float));
        });
    };
    groups.resize(model.layers.size());
    for (size_t l = 0; l < model.layers.size(); l++) {
        const auto & layer = model.layers[l];
        const std::vector<std::pair<const char *, std::vector<linear_weights>>> of_layer = {
            { "qkv", layer.qkv },
            { "o", { layer.o } },
            { "gate_up", layer.gate_up },
            { "down", { layer.down } },
        };
        groups[l].resize(GROUPS_PER_LAYER);
        for (size_t g = 0; g < of_layer.size(); g++) {
            auto & group = groups[l][g];
            group.name   = of_layer[g].first;
            group.rank   = rank;
            group.scale  = options.alpha / (float) rank;
            for (const auto & weights : of_layer[g].second) {
                projection part;
                part.base = weights;
                part.out  = weights.weight->ne[1];
                group.in  = weights.weight->ne[0];
                group.out += part.out;
                if (wanted(weights)) {
                    part.a_row = group.rank_rows;
                    group.rank_rows += rank;
                } else {
                    part.a_row = -1;
                }
                group.parts.push_back(part);
            }
            if (!group.has_lora()) continue;
            const int64_t a_at = place(group.in * group.rank_rows);
            view(&group.a, &parameters, group.in, group.rank_rows, a_at);
            view(&group.grad_a, &gradients, group.in, group.rank_rows, a_at);
            for (auto & part : group.parts) {
                if (part.a_row < 0) continue;
                const int64_t b_at = place(rank * part.out);
                view(&part.b, &parameters, rank, part.out, b_at);
                view(&part.grad_b, &gradients, rank, part.out, b_at);
                tensors.push_back({ part.base.name + ".weight.lora_a", group.in, rank, a_at + group.in * part.a_row });
                tensors.push_back({ part.base.name + ".weight.lora_b", rank, part.out, b_at });
            }
        }
    }
    capacity_ = (count + FLAT_ROW - 1) / FLAT_ROW * FLAT_ROW;
    for (auto flat : { &parameters, &gradients, &first_moments, &second_moments }) {
        *flat = ggml_new_tensor_2d(context_, GGML_TYPE_F32, FLAT_ROW, capacity_ / FLAT_ROW);
    }
    ggml_set_param(parameters);
    for (auto & make : views) make();
}

adapter::~adapter() {
    if (buffer_) ggml_backend_buffer_free(buffer_);
    ggml_free(context_);
}

void adapter::load(ggml_backend_t backend) {
    buffer_ = ggml_backend_alloc_ctx_tensors_from_buft(context_, ggml_backend_get_default_buffer_type(backend));
    if (!buffer_) {
        throw error("TRAIN_MEMORY",
                    "the device has no room for " + std::to_string(16 * count) + " bytes of adapter state");
    }
    ggml_backend_buffer_set_usage(buffer_, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    ggml_backend_buffer_clear(buffer_, 0);
}

}  // namespace inward
