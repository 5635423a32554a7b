// llama.cpp's own forward pass: any device, any encoding.
#pragma once
#include "ask/row-evaluator.h"
#include "probe/graph-probe.h"

namespace inward {

class llama_evaluator : public row_evaluator {
public:
    llama_evaluator(const llama_library & llama, llama_model * model, const engine_options & options, bool is_cpu);
    ~llama_evaluator() override;

    bool make_room(int64_t cells, int sequences, int64_t rows, bool separate) override;
    void clear() override;
    void share(int32_t from, int32_t to, int32_t count) override;
    void release(int32_t sequence, int32_t first) override;
    void set_adapters(const std::vector<adapter_choice> & chosen) override;
    void set_control_vector(const control_vector & vector) override;
    void decode(const std::vector<queued> & rows, int64_t each) override;
    const float * logits(int32_t row) override;
    int64_t       logits_at_once() const override { return INT64_MAX; }
    void          set_layout(const state_layout *) override {}
    void          check_edits(const edit_sets & edits) const override;
    // What looks into the graph of room that is made from here on, and writes there; null: nobody. It outlives this. captures: rows
    // with records have outputs, and no logits are asked for.
    void          set_probe(graph_probe * probe, bool captures);

private:
    const llama_library &             llama_;
    llama_model *                     model_;
    const engine_options &            options_;
    bool                              is_cpu_;
    graph_probe *                     probe_ = nullptr;
    bool                              captures_ = false;
    std::vector<float>                kept_logits_;  // of rows that were evaluated sequence by sequence
    std::vector<int64_t>              kept_rows_;    // of each row its number there, or -1; empty: logits are llama.cpp's
    llama_context *                   context_  = nullptr;
    bool                              separate_ = false;  // as make_room has it
    std::vector<llama_adapter_lora *> adapters_;
    std::vector<float>                scales_;
    control_vector                    control_;
    std::vector<int32_t>              tokens_, positions_, counts_;
    std::vector<llama_seq_id *>       sequences_;
    std::vector<int8_t>               outputs_;
    std::vector<int32_t>              places_;          // in the batch, of each row that was given
    std::vector<llama_seq_id>         names_;           // what sequences_ point to where rows are filled up
    int32_t                           filler_ = -1;     // the sequence of rows that nobody asked for, or -1
    int64_t                           piece_ = 0;       // cells of each sequence, where they are separate
    std::vector<int32_t>              lengths_;         // tokens that each sequence holds, where batches have one shape

    llama_context_params context_params() const;
    void apply_adapters();
    void apply_control();
    void lay_out(const std::vector<queued> & rows);
    void fill_up(const std::vector<queued> & rows);
    void fill_up_each(const std::vector<queued> & rows, int64_t each);
    void add_filler(llama_seq_id sequence, int32_t position);
    void take_filler_back(const std::vector<queued> & rows, int64_t each);
    void pin_filler(int64_t rows);
    void evaluate();
    void decode_seen(const std::vector<queued> & rows);
    void keep_logits(const std::vector<size_t> & rows);
    void learn_beginning();
    void try_token(ggml_backend_sched_eval_callback look, void * data, llama_adapter_lora * adapter) const;
    void require_used(const adapter_choice & choice, llama_adapter_lora * adapter) const;
    void remove(int32_t sequence, int32_t first);
};

}  // namespace inward
