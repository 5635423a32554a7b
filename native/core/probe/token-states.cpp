#include "probe/token-states.h"

#include <cfloat>
#include <cmath>
#include <cstring>
#include <utility>

#include "inward/error.h"
#include "shared/row-kernels.h"

namespace inward {

namespace {

constexpr float LARGEST_HALF = 65504;

const char * name_of(state_part part) {
    switch (part) {
        case state_part::residual_before: return "residual_before";
        case state_part::attention_output: return "attention_output";
        case state_part::residual_middle: return "residual_middle";
        case state_part::mlp_output: return "mlp_output";
        case state_part::residual_after: return "residual_after";
        case state_part::head_values: return "head_values";
        case state_part::attention_weights: return "attention_weights";
    }
    return "?";
}

}  // namespace

std::string site_name(state_part part, int64_t layer) { return name_of(part) + ("." + std::to_string(layer)); }

state_layout::state_layout(capture_choice choice, int64_t layers)
    : choice_(std::move(choice)), layers_(layers), found_(layers * STATE_PARTS, -1) {
    int64_t fixed = 0, for_each_key = 0;
    for (const auto & one : choice_.sites) {
        const auto part = (int32_t) one.part;
        if (part < 0 || part >= STATE_PARTS || one.layer < 0 || one.layer >= layers || one.width < 1) {
            throw error("PROBE_SITE", "there is no site " + std::to_string(part) + " of layer " +
                                          std::to_string(one.layer) + "; the model has " + std::to_string(layers) +
                                          " layers");
        }
        auto & found = found_[one.layer * STATE_PARTS + part];
        if (found >= 0) throw error("PROBE_SITE", name(found) + " is asked for twice");
        found = (int32_t) fixed_.size();
        fixed_.push_back(fixed);
        for_each_key_.push_back(for_each_key);
        (one.part == state_part::attention_weights ? for_each_key : fixed) += one.width;
    }
}

bool state_layout::any(state_part part) const {
    for (const auto & one : choice_.sites) {
        if (one.part == part) return true;
    }
    return false;
}

bool state_layout::ends_late() const {
    for (const auto & one : choice_.sites) {
        if (one.layer + 1 == layers_ && one.part != state_part::residual_before) return true;
    }
    return false;
}

int64_t state_layout::numbers(int32_t site, int32_t position) const {
    const auto & one = choice_.sites[site];
    return one.part == state_part::attention_weights ? one.width * (position + 1) : one.width;
}

int64_t state_layout::offset(int32_t site, int32_t position) const {
    return fixed_[site] + for_each_key_[site] * (position + 1);
}

std::string state_layout::name(int32_t site) const {
    return site_name(choice_.sites[site].part, choice_.sites[site].layer);
}

token_states::token_states(const state_layout & layout, int32_t position) : layout_(layout), position_(position) {
    int64_t numbers = 0;
    for (int32_t i = 0; i < (int32_t) layout.sites().size(); i++) {
        left_.push_back(layout.numbers(i, position));
        numbers += left_.back();
    }
    bytes_.resize(numbers * (layout.half() ? sizeof(uint16_t) : sizeof(float)));
}

void token_states::put(int32_t site, int64_t first, const float * values, int64_t count, float scale) {
    std::vector<float> scaled;
    if (scale != 1) {
        scaled.assign(values, values + count);
        for (auto & one : scaled) one *= scale;
        values = scaled.data();
    }
    const int64_t at = layout_.offset(site, position_) + first;
    if (layout_.half()) {
        to_half(values, (uint16_t *) bytes_.data() + at, count);
    } else {
        std::memcpy((float *) bytes_.data() + at, values, count * sizeof(float));
    }
    const float   most = layout_.half() ? LARGEST_HALF : FLT_MAX;
    const float * bad  = values + count;
    if (!all_within(values, count, most)) {
        bad = values;
        while (std::fabs(*bad) <= most) bad++;
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    left_[site] -= count;
    if (bad == values + count || bad_site_ >= 0) return;
    bad_site_ = site;
    bad_      = *bad;
}

void token_states::require_whole(int32_t token) const {
    const std::string where = " of token " + std::to_string(token) + " at position " + std::to_string(position_);
    for (size_t i = 0; i < left_.size(); i++) {
        if (left_[i] == 0) continue;
        throw error("PROBE_SITE", layout_.name((int32_t) i) + where + " was not found in what was evaluated: " +
                                      std::to_string(left_[i]) + " of its numbers are missing");
    }
    if (bad_site_ < 0) return;
    const std::string what = layout_.name(bad_site_) + where;
    if (!std::isfinite(bad_)) throw error("ENGINE_NOT_FINITE", what + " holds a number that is not finite");
    throw error("PROBE_RANGE", what + " holds " + std::to_string(bad_) + ", and half precision ends at 65504");
}

}  // namespace inward
