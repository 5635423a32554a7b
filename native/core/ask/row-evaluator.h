// Evaluates tokens over a KV cache whose cells the scheduler hands out; engine.cpp decides what is evaluated when, and
// this how.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "inward/engine.h"
#include "inward/error.h"
#include "probe/state-edits.h"
#include "probe/token-states.h"
#include "shared/devices.h"
#include "shared/libraries.h"

namespace inward {

// Someone who waits for the logits after a token.
struct reader {
    int32_t slot;
    int32_t scored = -1;  // index into the item's tokens of the one that is scored; -1: the first token of the answer
};

// A token that waits to be evaluated.
struct queued {
    int32_t              token, position;
    std::vector<int32_t> sequences;
    std::vector<reader>  readers;  // none: its logits are not made
    int32_t              owner;    // cell
    int32_t              parent;   // cell of the token before; -1: none
    record_of_token      record = {};  // filled by the evaluation; null: nobody wants it
    const token_edits *  edits = nullptr;  // what is done to its states; null: nothing
    int32_t *            done  = nullptr;  // where the edits are counted as they are done; null: nowhere
};

// Directions of layers from 1 on, one after the other.
struct control_vector {
    std::vector<float> values;
    int32_t            width = 0, first = 0, last = 0;
};

class row_evaluator {
public:
    virtual ~row_evaluator() = default;

    // Room for so many cells (ids below `cells`), sequences and rows of one evaluation, in place of any before; false
    // without memory for it. separate: each sequence has cells of its own only.
    virtual bool make_room(int64_t cells, int sequences, int64_t rows, bool separate) = 0;
    // Nothing of what was evaluated can be seen any more.
    virtual void clear() = 0;
    // A sequence begins with the first `count` cells of another; gives up its cells from position `first` on.
    virtual void share(int32_t from, int32_t to, int32_t count) = 0;
    virtual void release(int32_t sequence, int32_t first)       = 0;
    // Replaces all adapters, also those of room that is made later. throws ADAPTER_INVALID
    virtual void set_adapters(const std::vector<adapter_choice> & chosen) = 0;
    // each: rows that every sequence is evaluated with, filled up where it has fewer; 0: only those that are given.
    // throws ENGINE_MEMORY, ENGINE_CRASHED
    virtual void decode(const std::vector<queued> & rows, int64_t each) = 0;
    // Of a row that has readers; rows are asked for in their order. Null: there are none. They stay until a row beyond
    // the next multiple of logits_at_once() rows with readers is asked for, or anything is evaluated.
    virtual const float * logits(int32_t row) = 0;
    virtual int64_t       logits_at_once() const = 0;
    // As engine has it.
    virtual void set_control_vector(const control_vector &) {
        throw error("ENGINE_UNAVAILABLE", "engine.forward own adds directions by interventions alone");
    }
    // Records of rows have this layout from here on; null: rows have none. throws PROBE_SITE
    virtual void          set_layout(const state_layout * layout) = 0;
    // throws PROBE_SITE where the model has not what these are for, as far as it can be told before
    virtual void          check_edits(const edit_sets & edits) const = 0;
    // Whether anything is done to any row of the next group. Returns whether room has to be made anew for it.
    virtual bool          will_be_edited(bool) { return false; }
    // Whether the logits of any row of the next group are asked for.
    virtual void          will_be_read(bool) {}
};

// llama.cpp on any device, or our own forward pass on the CPU.
// description: all but its vocabulary is filled in; its vocabulary is the one that tokens are of
// throws ENGINE_UNAVAILABLE, and what the evaluator throws
std::unique_ptr<row_evaluator> make_evaluator(const llama_library & llama, llama_model * model,
                                              const engine_options & options, const devices & device,
                                              engine_description & description);

}  // namespace inward
