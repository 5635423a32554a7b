#include "probe/token-states.h"

#include <algorithm>
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
    fixed_.push_back(fixed);
    for_each_key_.push_back(for_each_key);
}

bool state_layout::is_of(const capture_choice & choice, int64_t layers) const {
    const auto same = [](const state_site & a, const state_site & b) {
        return a.part == b.part && a.layer == b.layer && a.width == b.width;
    };
    return layers == layers_ && choice.half == choice_.half &&
           std::equal(choice.sites.begin(), choice.sites.end(), choice_.sites.begin(), choice_.sites.end(), same);
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

int64_t state_layout::numbers(int32_t position) const {
    return fixed_.back() + for_each_key_.back() * (position + 1);
}

token_states::token_states(std::shared_ptr<const state_layout> layout, int32_t position)
    : layout_(std::move(layout)),
      position_(position),
      bytes_(new uint8_t[layout_->numbers(position) * layout_->number_bytes()]),
      left_(layout_->sites().size()) {
    for (int32_t i = 0; i < (int32_t) left_.size(); i++) left_[i] = layout_->numbers(i, position);
}

uint64_t token_states::bytes() const { return layout_->numbers(position_) * layout_->number_bytes(); }

const uint8_t * token_states::at(int32_t site) const {
    return bytes_.get() + layout_->offset(site, position_) * layout_->number_bytes();
}

void token_states::put(int32_t site, int64_t first, const float * values, int64_t count, float scale) {
    std::vector<float> scaled;
    if (scale != 1) {
        scaled.assign(values, values + count);
        for (auto & one : scaled) one *= scale;
        values = scaled.data();
    }
    const bool half = layout_->half();
    const int64_t at = layout_->offset(site, position_) + first;
    if (half) {
        to_half(values, (uint16_t *) bytes_.get() + at, count);
    } else {
        std::memcpy((float *) bytes_.get() + at, values, count * sizeof(float));
    }
    const float most = half ? LARGEST_HALF : FLT_MAX;
    if (!all_within(values, count, most)) {
        const float * bad = values;
        while (std::fabs(*bad) <= most) bad++;
        int32_t nobody = -1;
        if (bad_site_.compare_exchange_strong(nobody, site)) bad_ = *bad;
    }
    left_[site].fetch_sub(count, std::memory_order_relaxed);
}

void token_states::require_whole(int32_t token) const {
    const std::string where = " of token " + std::to_string(token) + " at position " + std::to_string(position_);
    for (size_t i = 0; i < left_.size(); i++) {
        const int64_t missing = left_[i];
        if (missing == 0) continue;
        throw error("PROBE_SITE", layout_->name((int32_t) i) + where + " was not found in what was evaluated: " +
                                      std::to_string(missing) + " of its numbers are missing");
    }
    if (bad_site_ < 0) return;
    const std::string what = layout_->name(bad_site_) + where;
    if (!std::isfinite(bad_)) throw error("ENGINE_NOT_FINITE", what + " holds a number that is not finite");
    throw error("PROBE_RANGE", what + " holds " + std::to_string(bad_) + ", and half precision ends at 65504");
}

uint64_t bytes_of(const states_of_tokens & records) {
    uint64_t bytes = 0;
    for (const auto & one : records) bytes += one->bytes();
    return bytes;
}

void write_states(const states_of_tokens & records, const std::vector<int32_t> & counts, uint8_t * to) {
    const auto * first = records.data();
    for (const int32_t count : counts) {
        const int32_t sites = count > 0 ? (int32_t) (*first)->layout().sites().size() : 0;
        for (int32_t site = 0; site < sites; site++) {
            for (int32_t i = 0; i < count; i++) {
                const auto &  record = *first[i];
                const int64_t bytes =
                    record.layout().numbers(site, record.position()) * record.layout().number_bytes();
                std::memcpy(to, record.at(site), bytes);
                to += bytes;
            }
        }
        first += count;
    }
}

}  // namespace inward
