// Prompt tokens that wait to be evaluated, first come, first served. A row keeps its number while others before it are taken off.
#pragma once
#include <cstdint>
#include <deque>
#include <utility>

#include "row-evaluator.h"

namespace inward {

class waiting_rows {
public:
    // The row's number.
    int64_t push(queued row) {
        rows_.push_back(std::move(row));
        return taken_ + (int64_t) rows_.size() - 1;
    }

    queued & at(int64_t number) { return rows_[number - taken_]; }

    queued take() {
        queued row = std::move(rows_.front());
        rows_.pop_front();
        taken_++;
        return row;
    }

    bool    empty() const { return rows_.empty(); }
    int64_t size() const { return (int64_t) rows_.size(); }

    void clear() {
        rows_.clear();
        taken_ = 0;
    }

private:
    std::deque<queued> rows_;
    int64_t            taken_ = 0;
};

}  // namespace inward
