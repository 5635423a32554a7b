// Prompts that stay evaluated, beside each other, from one group to the next one that begins with them: each is its tokens, what is
// done to their states, and the cells where they lie.
#pragma once
#include <algorithm>
#include <vector>

#include "ask/schedule.h"
#include "probe/state-edits.h"
#include "shared/prompt-group.h"

namespace inward {

class kept_prompts {
public:
    // Of a new group, whose edits these are; `order` has prompts that begin alike next to each other, and is empty where nothing can be
    // shared. Returns whether anything is there already. What the group before kept is still held.
    bool wants(const prompt_group & group, const std::vector<int32_t> & order, const edit_sets & edits) {
        wanted_.clear();
        wanted_of_.assign(group.items(), -1);
        tokens_ = 0;
        int32_t before = -1;
        for (const int32_t item : order) {
            const int32_t many = group.keeps_of(item);
            if (many == 0) continue;
            if (before < 0 || !group.same_kept(before, item)) {
                prompt one{ { group.prompt(item), group.prompt(item) + many }, {}, {} };
                for (int32_t i = 0; i < many; i++) one.edits.push_back(edits.at(group.edits(item, i)));
                wanted_.push_back(std::move(one));
                tokens_ += many;
            }
            wanted_of_[item] = (int32_t) wanted_.size() - 1;
            before           = item;
        }
        for (const auto & one : wanted_) {
            for (const auto & old : kept_) {
                if (!old.path.empty() && old.is(one)) return true;
            }
        }
        return false;
    }

    // Of all that the group wants to be kept.
    int64_t tokens() const { return tokens_; }

    // What the new group wants and was kept goes on; the rest is given up.
    void take_over(cell_pool & cells) {
        for (auto & old : kept_) {
            if (old.path.empty()) continue;
            const auto found = std::find_if(wanted_.begin(), wanted_.end(), [&](const prompt & one) {
                return one.path.empty() && old.is(one);
            });
            if (found != wanted_.end()) {
                found->path = std::move(old.path);
                continue;
            }
            for (const int32_t id : old.path) cells.give_up(id);
        }
        begin();
    }

    // No cell is held any more by anybody; the new group's prompts are to be kept.
    void forget() {
        for (auto & one : wanted_) one.path.clear();
        begin();
    }

    // Cells of what the item begins with; null where it is not there.
    const std::vector<int32_t> * path_of(int32_t item) const {
        if (kept_of_[item] < 0 || kept_[kept_of_[item]].path.empty()) return nullptr;
        return &kept_[kept_of_[item]].path;
    }

    // path: cells of an item that was evaluated
    void keep(int32_t item, const std::vector<int32_t> & path, cell_pool & cells) {
        if (kept_of_[item] < 0) return;
        auto & one = kept_[kept_of_[item]];
        if (!one.path.empty()) return;
        one.path.assign(path.begin(), path.begin() + one.tokens.size());
        for (const int32_t id : one.path) cells.hold(id);
    }

    // Returns whether there was anything.
    bool give_up(cell_pool & cells) {
        bool any = false;
        for (auto & one : kept_) {
            any = any || !one.path.empty();
            for (const int32_t id : one.path) cells.give_up(id);
            one.path.clear();
        }
        return any;
    }

private:
    struct prompt {
        std::vector<int32_t>             tokens;
        std::vector<const token_edits *> edits;  // what is done to each; of the group that it was last in
        std::vector<int32_t>             path;   // its cells; empty: it is not there

        bool is(const prompt & other) const {
            return tokens == other.tokens &&
                   std::equal(edits.begin(), edits.end(), other.edits.begin(), other.edits.end(), same_edits);
        }
    };

    std::vector<prompt>  kept_, wanted_;         // of the group that is asked, of the one that is to begin
    std::vector<int32_t> kept_of_, wanted_of_;   // of each item, or -1
    int64_t              tokens_ = 0;

    void begin() {
        kept_    = wanted_;
        kept_of_ = wanted_of_;
    }
};

}  // namespace inward
