// The record of one token: what was captured of it, at the sites that were chosen, as it goes into a file.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "inward/states.h"

namespace inward {

class state_layout;

// `mlp_output.3`
std::string site_name(state_part part, int64_t layer);

class token_states {
public:
    token_states(std::shared_ptr<const state_layout> layout, int32_t position);

    int32_t              position() const { return position_; }
    const state_layout & layout() const { return *layout_; }
    uint64_t             bytes() const;
    // What was put at a site.
    const uint8_t * at(int32_t site) const;

    // From `first` on of the site's numbers; from several threads at once for different numbers.
    void put(int32_t site, int64_t first, const float * values, int64_t count, float scale = 1);
    // throws PROBE_SITE where a site was never put, PROBE_RANGE where a number does not fit, ENGINE_NOT_FINITE
    void require_whole(int32_t token) const;

private:
    const std::shared_ptr<const state_layout> layout_;
    const int32_t                             position_;
    const std::unique_ptr<uint8_t[]>          bytes_;  // not cleared: require_whole counts what is put
    std::vector<std::atomic<int64_t>>         left_;   // numbers of each site that are still to come
    std::atomic<int32_t>                      bad_site_{ -1 };
    float                                     bad_ = 0;
};

class state_layout {
public:
    // layers: of the model. throws PROBE_SITE for a site that no model has
    state_layout(capture_choice choice, int64_t layers);

    bool is_of(const capture_choice & choice, int64_t layers) const;
    const std::vector<state_site> & sites() const { return choice_.sites; }
    bool    half() const { return choice_.half; }
    int64_t layers() const { return layers_; }
    // Index among the sites, or -1.
    int32_t find(state_part part, int64_t layer) const { return found_[layer * STATE_PARTS + (int32_t) part]; }
    bool    any(state_part part) const;
    // Whether anything is taken that the last layer makes after its attention has looked at other tokens.
    bool    ends_late() const;

    int64_t numbers(int32_t site, int32_t position) const;
    // Numbers before a site's in a record.
    int64_t offset(int32_t site, int32_t position) const;
    // Of a whole record.
    int64_t numbers(int32_t position) const;
    int64_t number_bytes() const { return half() ? sizeof(uint16_t) : sizeof(float); }
    std::string name(int32_t site) const;

private:
    capture_choice       choice_;
    int64_t              layers_;
    std::vector<int32_t> found_;
    // Of all sites before each, and at last of all: numbers that are the same for every token, and those for each key.
    std::vector<int64_t> fixed_, for_each_key_;
};

using record_of_token = std::shared_ptr<token_states>;

}  // namespace inward
