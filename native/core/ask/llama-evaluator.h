// llama.cpp's own forward pass: any device, any encoding.
#pragma once
#include "ask/row-evaluator.h"

namespace inward {

class llama_evaluator : public row_evaluator {
public:
    // The model outlives this.
    llama_evaluator(const llama_library & llama, llama_model * model, const engine_options & options, bool is_cpu);
    ~llama_evaluator() override;

    bool make_room(int64_t cells, int sequences, int64_t rows, bool separate) override;
    void clear() override;
    void share(int32_t from, int32_t to, int32_t count) override;
    void release(int32_t sequence, int32_t first) override;
    void set_adapters(const std::vector<adapter_choice> & chosen) override;
    void decode(const std::vector<queued> & rows) override;
    const float * logits(int32_t row) override;

private:
    const llama_library &             llama_;
    llama_model *                     model_;
    const engine_options &            options_;
    bool                              is_cpu_;
    llama_context *                   context_  = nullptr;
    bool                              separate_ = false;  // as make_room has it
    std::vector<llama_adapter_lora *> adapters_;
    std::vector<float>                scales_;
    std::vector<int32_t>              tokens_, positions_, counts_;
    std::vector<llama_seq_id *>       sequences_;
    std::vector<int8_t>               outputs_;

    llama_context_params context_params() const;
    void apply_adapters();
    void require_used(const adapter_choice & choice, llama_adapter_lora * adapter) const;
    void remove(int32_t sequence, int32_t first);
};

}  // namespace inward
