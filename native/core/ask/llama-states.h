// llama.cpp's evaluator where states are captured or written to. Of what is captured: what is asked is evaluated as ever, and every row once more beside it, in a
// context of its own that is looked into. Looking in takes a graph apart, so that a device fuses other operations, and asks for
// more rows of the last layer, so that its products have another shape: either moves last bits, which here are nobody's logits.
#pragma once
#include <memory>

#include "ask/llama-evaluator.h"
#include "probe/graph-probe.h"

namespace inward {

class llama_states : public row_evaluator {
public:
    // The model outlives this.
    llama_states(const llama_library & llama, llama_model * model, const engine_options & options, bool is_cpu);

    bool make_room(int64_t cells, int sequences, int64_t rows, bool separate) override;
    void clear() override;
    void share(int32_t from, int32_t to, int32_t count) override;
    void release(int32_t sequence, int32_t first) override;
    void set_adapters(const std::vector<adapter_choice> & chosen) override;
    void set_control_vector(const control_vector & vector) override;
    void decode(const std::vector<queued> & rows, int64_t each) override;
    const float * logits(int32_t row) override { return asked_.logits(row); }
    int64_t       logits_at_once() const override { return asked_.logits_at_once(); }
    void          set_layout(const state_layout * layout) override;
    void          check_edits(const edit_sets & edits) const override { asked_.check_edits(edits); }
    bool          will_be_edited(bool edited) override;
    // States alone need no second evaluation.
    void          will_be_read(bool read) override { is_read_ = read; }

private:
    const llama_library &             llama_;
    llama_model *                     model_;
    const bool                        is_cpu_;
    engine_options                    options_;  // of the one that is looked into
    llama_evaluator                   asked_;
    // What writes into the graph of what is asked, where anything is written; the layout has no sites.
    std::unique_ptr<state_layout>     no_sites_;
    std::unique_ptr<graph_probe>      writer_;
    std::unique_ptr<graph_probe>      probe_;
    std::unique_ptr<llama_evaluator>  seen_;     // null: nothing is captured
    std::vector<adapter_choice>       adapters_;
    control_vector                    control_;
    bool                              is_read_ = true;

    bool asks() const { return is_read_ || !seen_; }
};

}  // namespace inward
