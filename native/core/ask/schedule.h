// What the engine keeps books of while a group is asked: cells of the KV cache, rows that wait to be evaluated, and
// sequences in which answers are made.
#pragma once
#include <algorithm>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "ask/row-evaluator.h"
#include "inward/engine.h"

namespace inward {

constexpr int64_t CACHE_STEP = 256;  // a cache that is a little larger serves the next group too

// Evaluations of one shape: of every sequence so many rows, whoever is asked.
struct one_shape_rows {
    const int64_t streams;     // sequences, one for a kept prompt, and one that fills up
    // Of a prompt, at once, counted from its first token: a piece is the same piece for everybody.
    const int64_t piece_rows;
    const int64_t least_rows;

    explicit one_shape_rows(const engine_options & o)
        : streams(o.sequences + 2),
          piece_rows(std::max<int64_t>(1, std::min(MOST_EACH, o.batch_tokens / streams))),
          least_rows(o.least_rows) {}

    // Cells of each sequence in the cache in which such an item is asked: how many there are enters its sums.
    int64_t room(int64_t item_tokens) const {
        int64_t cells = CACHE_STEP;
        while (cells < item_tokens + 2 * piece_rows) cells *= 2;
        return cells;
    }

    // One of an answer, or a piece of a prompt, or as many as exact kernels want.
    int64_t rows_each(bool of_prompts) const {
        return std::max(of_prompts ? piece_rows : 1, (least_rows + streams - 1) / streams);
    }

private:
    static constexpr int64_t MOST_EACH = 64;
};

// Cells of the KV cache: each a token in the context of all those before it, held by every sequence that begins so.
class cell_pool {
public:
    // A cell that one sequence holds.
    int32_t take() {
        used_++;
        if (free_.empty()) {
            cells_.push_back({ 1, -1, {}, 0 });
            return (int32_t) cells_.size() - 1;
        }
        const int32_t id = free_.back();
        free_.pop_back();
        cells_[id] = { 1, -1, {}, 0 };
        return id;
    }

    // By one more sequence.
    void hold(int32_t id) { cells_[id].references++; }

    // By one sequence: it is free for another token when nobody holds it.
    void give_up(int32_t id) {
        if (--cells_[id].references > 0) return;
        cells_[id].record = {};
        free_.push_back(id);
        used_--;
    }

    // Its number among the rows that wait to be evaluated, or -1.
    int64_t pending(int32_t id) const { return cells_[id].pending; }
    void    set_pending(int32_t id, int64_t number) { cells_[id].pending = number; }

    // What is captured of its token, or will be where it still waits; null: nothing.
    const record_of_token & record(int32_t id) const { return cells_[id].record; }
    void                    set_record(int32_t id, record_of_token record) { cells_[id].record = std::move(record); }

    // Edits that were done to its token's states.
    int32_t edits_done(int32_t id) const { return cells_[id].edits_done; }
    void    set_edits_done(int32_t id, int32_t count) { cells_[id].edits_done = count; }

    int64_t used() const { return used_; }

    void clear() {
        cells_.clear();
        free_.clear();
        used_ = 0;
    }

private:
    struct cell {
        int32_t         references;
        int64_t         pending;
        record_of_token record;
        int32_t         edits_done;
    };
    std::vector<cell>    cells_;
    std::vector<int32_t> free_;
    int64_t              used_ = 0;
};

// Prompt tokens that wait to be evaluated, first come, first served. A row keeps its number while others before it are
// taken off.
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

    // Rows at the front that the first one's sequence waits for.
    int64_t rows_of_front() const {
        const auto other = [this](const queued & row) {
            return row.sequences.front() != rows_.front().sequences.front();
        };
        return std::find_if(rows_.begin(), rows_.end(), other) - rows_.begin();
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

// A sequence of the cache, and what has been read for the item that it answers.
struct answer_slot {
    int32_t              item = -1;       // -1: free, or kept for its prompt only
    bool                 holds = false;   // its sequence has cells
    std::vector<int32_t> path;            // cells of all its tokens
    int32_t              next = -1;       // generated token to evaluate, or -1
    int32_t              waiting = 0;     // prompt readings that are still to come
    std::vector<int32_t> tokens;
    std::vector<double>  logprobs, margins, entropies, scores;
    double               log_sum_exp = 0;
    std::vector<int32_t> top_ids;
    std::vector<double>  top_logprobs, read_logprobs;
    std::vector<double>  position_log_sum_exps, position_logprobs;
    std::vector<int32_t> position_ids;

    // ended: whether its last token ends the turn
    void append_to(engine_results & results, bool ended) const {
        const auto append = [](auto & to, const auto & from) { to.insert(to.end(), from.begin(), from.end()); };
        results.items.push_back(item);
        results.counts.push_back((int32_t) tokens.size());
        append(results.tokens, tokens);
        append(results.logprobs, logprobs);
        append(results.margins, margins);
        append(results.entropies, entropies);
        results.ended.push_back(ended);
        results.score_counts.push_back((int32_t) scores.size());
        append(results.scores, scores);
        results.log_sum_exps.push_back(log_sum_exp);
        append(results.top_ids, top_ids);
        append(results.top_logprobs, top_logprobs);
        append(results.read_logprobs, read_logprobs);
        append(results.position_log_sum_exps, position_log_sum_exps);
        append(results.position_ids, position_ids);
        append(results.position_logprobs, position_logprobs);
    }
};

}  // namespace inward
