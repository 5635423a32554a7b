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

adapter::adapter(const base_model & model, const trainer_options & options, const placement & places) {
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
    // First the layout, then the arrays it needs, then views into them.
    std::vector<std::function<void()>> views;
    auto round = [&](int64_t unit) { count = (count + unit - 1) / unit * unit; };
    auto place = [&](int64_t floats) {
        const int64_t at = count;
        count += floats;
        round(ALIGNMENT);
        return at;
    };
    auto view = [&](ggml_tensor ** into, array of, int64_t ne0, int64_t ne1, int64_t offset) {
        const size_t flat = flats.size() - 1;
        views.push_back([=] {
            auto & own = flats[flat];
            *into      = ggml_view_2d(own.context, own.*of, ne0, ne1, ne0 * sizeof(float),
                                      (offset - own.first) * sizeof(float));
        });
    };
    groups.resize(model.layers.size());
    for (size_t l = 0; l < model.layers.size(); l++) {
        if (flats.empty() || flats.back().device != places.layers[l].device) {
            flats.emplace_back();
            flats.back().device = places.layers[l].device;
            flats.back().first  = count;
        }
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
            view(&group.a, &flat_arrays::parameters, group.in, group.rank_rows, a_at);
            view(&group.grad_a, &flat_arrays::gradients, group.in, group.rank_rows, a_at);
            for (auto & part : group.parts) {
                if (part.a_row < 0) continue;
                const int64_t b_at = place(rank * part.out);
                view(&part.b, &flat_arrays::parameters, rank, part.out, b_at);
                view(&part.grad_b, &flat_arrays::gradients, rank, part.out, b_at);
                tensors.push_back({ part.base.name + ".weight.lora_a", group.in, rank, a_at + group.in * part.a_row });
                tensors.push_back({ part.base.name + ".weight.lora_b", rank, part.out, b_at });
            }
        }
        // Rows of whole layers: sums over them are the same wherever the next layer lies.
        round(FLAT_ROW);
        flats.back().count = count - flats.back().first;
    }
    const size_t bytes = ggml_tensor_overhead() * (model.layers.size() * per_layer + 8);
    for (auto & flat : flats) {
        flat.context = ggml_init({ bytes, nullptr, /*no_alloc*/ true });
        for (auto which : { &flat_arrays::parameters, &flat_arrays::gradients, &flat_arrays::first_moments,
                            &flat_arrays::second_moments }) {
            flat.*which = ggml_new_tensor_2d(flat.context, GGML_TYPE_F32, FLAT_ROW, flat.count / FLAT_ROW);
        }
        ggml_set_param(flat.parameters);
    }
    for (auto & make : views) make();
}

adapter::~adapter() {
    for (auto & flat : flats) {
        if (flat.buffer) ggml_backend_buffer_free(flat.buffer);
        ggml_free(flat.context);
    }
}

void adapter::plan(const devices & where) {
    for (auto & flat : flats) {
        flat.buffer = ggml_backend_buft_alloc_buffer(
            ggml_backend_get_default_buffer_type(where.all[flat.device].backend), 0);
        ggml_backend_buffer_set_usage(flat.buffer, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
        for (auto * t = ggml_get_first_tensor(flat.context); t; t = ggml_get_next_tensor(flat.context, t)) {
            t->buffer = flat.buffer;
        }
    }
}

void adapter::load(const devices & where) {
    for (auto & flat : flats) {
        for (auto * t = ggml_get_first_tensor(flat.context); t; t = ggml_get_next_tensor(flat.context, t)) {
            t->buffer = nullptr;
        }
        if (flat.buffer) ggml_backend_buffer_free(flat.buffer);
        const auto & one = where.all[flat.device];
        flat.buffer =
            ggml_backend_alloc_ctx_tensors_from_buft(flat.context, ggml_backend_get_default_buffer_type(one.backend));
        if (!flat.buffer) {
            throw error("TRAIN_MEMORY",
                        one.name + " has no room for " + std::to_string(flat.bytes()) + " bytes of adapter state");
        }
        ggml_backend_buffer_set_usage(flat.buffer, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
        ggml_backend_buffer_clear(flat.buffer, 0);
    }
}

void adapter::zero_gradients() {
    for (auto & flat : flats) ggml_backend_tensor_memset(flat.gradients, 0, 0, ggml_nbytes(flat.gradients));
}

void adapter::get(array which, float * out) const {
    for (const auto & flat : flats) {
        ggml_backend_tensor_get(flat.*which, out + flat.first, 0, flat.count * sizeof(float));
    }
}

void adapter::set(array which, const float * values) {
    for (auto & flat : flats) {
        ggml_backend_tensor_set(flat.*which, values + flat.first, 0, flat.count * sizeof(float));
    }
}

}  // namespace inward
