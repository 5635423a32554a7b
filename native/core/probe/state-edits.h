// What is done to states before anything reads them: one edit, all edits of a token, and the tokens of one evaluation.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "inward/interventions.h"
#include "inward/states.h"

namespace inward {

struct state_edit {
    state_part     part;
    int32_t        layer;
    int64_t        width;
    edit_operation operation;
    float          factor;
    std::vector<const float *>               vectors;  // each of `width`
    std::vector<std::pair<int64_t, int64_t>> spans;    // of the numbers that it is done to

    void apply(float * state) const;
    bool is(const state_edit & other) const;
};

// All that is done to a token, in its order.
using token_edits = std::vector<const state_edit *>;

// What of it is done at a site, in place. Returns how many edits that were.
int32_t apply_edits(const token_edits & edits, state_part part, int64_t layer, float * state);
// Whether the same is done to two tokens; null: nothing.
bool same_edits(const token_edits * one, const token_edits * other);

// Of one group. Stays where it is when it is moved.
class edit_sets {
public:
    edit_sets() = default;
    edit_sets(edit_sets &&) = default;
    edit_sets & operator=(edit_sets &&) = default;
    // Takes the values out of the table. throws inward::error TRAIN_SHAPE, PROBE_SITE, PROBE_INVALID
    explicit edit_sets(intervention_table & table);

    bool                            empty() const { return sets_.empty(); }
    int64_t                         layers() const { return layers_; }
    const std::vector<state_edit> & all() const { return edits_; }
    // Null: nothing is done.
    const token_edits *             at(int32_t set) const { return set < 0 ? nullptr : &sets_[set]; }

private:
    int64_t                  layers_ = 0;
    std::vector<float>       values_;
    std::vector<state_edit>  edits_;
    std::vector<token_edits> sets_;
};

struct edited_row {
    int64_t             row;
    const token_edits * edits;
    int32_t *           done;  // edits that were done; null: nobody counts

    void apply(state_part part, int64_t layer, float * state) const {
        const int32_t count = apply_edits(*edits, part, layer, state);
        if (done) *done += count;
    }
};

// Rows of one evaluation to which something is done, by site.
class edited_rows {
public:
    void clear(int64_t layers);
    // ends: whether anything is made of what the last layer makes of this row; else nobody sees what is done to that.
    // done: where the edits that are done to it are counted; it outlives the evaluation.
    void add(int64_t row, const token_edits & edits, bool ends, int32_t * done);

    bool any() const { return any_; }
    const std::vector<edited_row> & at(state_part part, int64_t layer) const {
        return rows_[layer * STATE_PARTS + (int32_t) part];
    }
    bool any(state_part part, int64_t layer) const { return any_ && layer < layers_ && !at(part, layer).empty(); }

private:
    int64_t                              layers_ = 0;
    bool                                 any_ = false;
    std::vector<std::vector<edited_row>> rows_;
};

}  // namespace inward
