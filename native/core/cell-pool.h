// Cells of the KV cache: each a token in the context of all those before it, held by every sequence that begins so.
#pragma once
#include <cstdint>
#include <vector>

namespace inward {

class cell_pool {
public:
    // A cell that one sequence holds.
    int32_t take() {
        used_++;
        if (free_.empty()) {
            cells_.push_back({ 1, -1 });
            return (int32_t) cells_.size() - 1;
        }
        const int32_t id = free_.back();
        free_.pop_back();
        cells_[id] = { 1, -1 };
        return id;
    }

    // By one more sequence.
    void hold(int32_t id) { cells_[id].references++; }

    // By one sequence: it is free for another token when nobody holds it.
    void give_up(int32_t id) {
        if (--cells_[id].references > 0) return;
        free_.push_back(id);
        used_--;
    }

    // Its number among the rows that wait to be evaluated, or -1.
    int64_t pending(int32_t id) const { return cells_[id].pending; }
    void    set_pending(int32_t id, int64_t number) { cells_[id].pending = number; }

    int64_t used() const { return used_; }

    void clear() {
        cells_.clear();
        free_.clear();
        used_ = 0;
    }

private:
    struct cell {
        int32_t references;
        int64_t pending;
    };
    std::vector<cell>    cells_;
    std::vector<int32_t> free_;
    int64_t              used_ = 0;
};

}  // namespace inward
