// Our own forward pass on the CPU, in single precision. Every number of a row depends on the tokens of its path and on
// the processor's instruction set alone: not on what else is in the batch, on threads, or on where its cells lie.
#pragma once
#include <functional>

#include "ask/path-attention.h"
#include "ask/row-evaluator.h"
#include "shared/own-weights.h"
#include "shared/thread-team.h"

namespace inward {

class own_forward : public row_evaluator {
public:
    // throws MODEL_*, ENGINE_UNAVAILABLE, ENGINE_MEMORY
    own_forward(const engine_options & options, std::function<uint64_t()> free_memory);

    const hyperparameters & hparams() const { return weights_.hparams; }
    static const char *     kernels() { return kernels_here().name; }

    bool make_room(int64_t cells, int sequences, int64_t rows, bool separate) override;
    // A cell is read by nobody who does not name it, so that sequences need no keeping of their own.
    void clear() override {}
    void share(int32_t, int32_t, int32_t) override {}
    void release(int32_t, int32_t) override {}
    void set_adapters(const std::vector<adapter_choice> & chosen) override;
    void decode(const std::vector<queued> & rows, int64_t each) override;
    const float * logits(int32_t row) override;
    int64_t       logits_at_once() const override;
    void          set_layout(const state_layout * layout) override;
    void          check_edits(const edit_sets & edits) const override;

private:
    struct row_path {
        size_t  first;  // into path_cells_
        int64_t count;
    };

    own_weights               weights_;
    std::function<uint64_t()> free_memory_;
    thread_team               team_;
    bool                      f32_cache_;

    float_block               store_;  // [layer][keys, values][cell][key-value heads x width]
    int64_t                   cells_ = 0, most_rows_ = 0;
    int64_t                   room_  = 0;  // cells that store_ has place for
    float_block               x_, read_x_, qkv_, attended_, gate_up_, added_, packed_, logits_;
    float_block               reduced_, packed_reduced_;
    std::vector<std::vector<float>> scratch_;  // of each thread

    std::vector<int32_t>      parents_;     // of each cell
    std::vector<int32_t>      path_cells_;
    std::vector<row_path>     paths_;       // of each row
    std::vector<int32_t>      readers_;     // rows whose logits are made
    std::vector<int32_t>      ending_;      // rows that the last layer is computed for: the readers, then what is captured
    // Rows that are captured: their numbers among all rows, and among ending_ (-1: not there)
    struct captured_row {
        int64_t        row, ending;
        token_states * record;
    };
    std::vector<captured_row> captured_;
    std::vector<token_states *> records_;   // of each row, or null
    const state_layout *      layout_ = nullptr;
    edited_rows               edited_;
    std::vector<int64_t>      endings_;     // of each row its number among ending_; -1: not there
    // Of rows to whose additions something is done: the sum before, and what is projected, packed
    float_block               before_, packed_edited_;
    int64_t                   edited_room_ = 0, added_room_ = 0;  // rows of these, and of added_
    std::vector<int32_t>      positions_;
    std::vector<float>        angles_, local_angles_;  // of global and local RoPE
    int64_t                   chunk_ = -1;  // of the readers, whose logits are there

    int64_t  queries() const { return weights_.hparams.heads * weights_.hparams.head_width; }
    int64_t  keys() const { return weights_.hparams.kv_heads * weights_.hparams.head_width; }
    float *  kept(int64_t layer, bool values) const { return store_.data() + (layer * 2 + values) * room_ * keys(); }
    void     reserve_reduced();
    void     find_paths(const std::vector<queued> & rows);
    void     find_edited(const std::vector<queued> & rows);
    void     forward(team_member & member, const std::vector<queued> & rows);
    void     keep_and_turn(team_member & member, int64_t layer, const std::vector<queued> & rows);
    void     attention(team_member & member, int64_t layer, bool ends);
    packed_rows normed(team_member & member, const float * x, int64_t rows, const std::vector<float> & weight);
    // Whether all that layers add needs neither a norm nor a scale.
    bool     adds_directly() const;
    void     add(team_member & member, int64_t layer, bool attention, const packed_rows & in, float * x);
    void     project(team_member & member, const packed_group & group, const packed_rows & x, float * out, bool adds);
    void     reduce(team_member & member, const packed_group & group, const packed_rows & x);
    // Of captured rows: `width` numbers each of `values`, whose rows are all rows or ending_, times a scale.
    void     keep(team_member & member, state_part part, int64_t layer, const float * values, int64_t width,
                  float scale = 1);
    // Of edited rows, in `values`, whose rows are all rows or ending_.
    void     edit(team_member & member, state_part part, int64_t layer, float * values, int64_t width);
    void     reserve_edited();
    void     remember(team_member & member, state_part part, int64_t layer, const packed_rows & in, const float * x);
    // Of edited rows, what was added and the sum. compact: added_ has these rows alone
    void     change_added(team_member & member, state_part part, int64_t layer, bool compact, float * x);
    void     keep_weights(int32_t site, int64_t row, int64_t head, const cell_attention & over, const float * weights);
    // Whether what layers add is kept by itself.
    bool     keeps_additions() const;
    bool     wants(state_part part, int64_t layer) const { return layout_ && layout_->find(part, layer) >= 0; }
    bool     is_late(state_part part, int64_t layer) const {
        return layer + 1 == weights_.hparams.layers && part != state_part::residual_before;
    }
    int64_t  width(state_part part) const;
    int64_t  piece(int64_t count) const;
};

}  // namespace inward
