#include "ask/llama-evaluator.h"

#include <string>

#include "inward/error.h"

namespace inward {

namespace {

constexpr int64_t CELL_STEP = 256;  // llama.cpp pads the cache to this

}  // namespace

llama_evaluator::llama_evaluator(const llama_library & llama, llama_model * model, const engine_options & options,
                                 bool is_cpu)
    : llama_(llama), model_(model), options_(options), is_cpu_(is_cpu) {}

llama_evaluator::~llama_evaluator() {
    if (context_) llama_.free(context_);  // the adapters are the model's
}

bool llama_evaluator::make_room(int64_t cells, int sequences, int64_t rows) {
    if (context_) llama_.free(context_);
    auto params            = llama_.context_default_params();
    const bool    separate = options_.separate_sequences && !options_.strict;
    const int64_t pieces   = separate ? sequences : 1;
    const int64_t piece    = (cells / pieces + CELL_STEP - 1) / CELL_STEP * CELL_STEP;
    params.n_ctx           = (uint32_t) (piece * pieces);
    params.n_batch         = (uint32_t) rows;
    params.n_ubatch        = (uint32_t) rows;
    params.n_seq_max       = (uint32_t) sequences;
    params.n_threads       = options_.threads;
    params.n_threads_batch = options_.threads;
    const bool flash       = options_.flash_attention && !options_.strict;
    params.flash_attn_type = flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.type_k = params.type_v = options_.f32_cache ? GGML_TYPE_F32 : GGML_TYPE_F16;
    params.kv_unified      = !separate;
    params.offload_kqv     = !is_cpu_;
    params.op_offload      = !is_cpu_;
    context_               = llama_.init_from_model(model_, params);
    if (context_) apply_adapters();
    return context_ != nullptr;
}

void llama_evaluator::clear() {
    if (context_) llama_.memory_clear(llama_.get_memory(context_), true);
}

void llama_evaluator::share(int32_t from, int32_t to, int32_t count) {
    auto * memory = llama_.get_memory(context_);
    if (!options_.separate_sequences || options_.strict) {
        llama_.memory_seq_cp(memory, from, to, 0, count);
        return;
    }
    // Between sequences with cells of their own llama.cpp copies whole ones only.
    llama_.memory_seq_cp(memory, from, to, -1, -1);
    llama_.memory_seq_rm(memory, to, count, -1);
}

void llama_evaluator::release(int32_t sequence, int32_t first) {
    llama_.memory_seq_rm(llama_.get_memory(context_), sequence, first, -1);
    // Where the next item's cells lie must not depend on those before.
    if (options_.strict) llama_.memory_clear(llama_.get_memory(context_), false);
}

void llama_evaluator::apply_adapters() {
    if (context_ && llama_.set_adapters_lora(context_, adapters_.data(), adapters_.size(), scales_.data()) != 0) {
        throw error("ADAPTER_INVALID", "llama.cpp refuses the adapters for this context");
    }
}

void llama_evaluator::set_adapters(const std::vector<adapter_choice> & chosen) {
    std::vector<llama_adapter_lora *> made;
    for (const auto & one : chosen) {
        const log_keeper log(llama_);
        auto * loaded = llama_.adapter_lora_init(model_, one.path.c_str());
        if (!loaded) {
            for (auto * earlier : made) llama_.adapter_lora_free(earlier);
            throw error("ADAPTER_INVALID", one.path + " cannot be loaded onto this model: " + log.said());
        }
        made.push_back(loaded);
    }
    const auto old = std::move(adapters_);
    adapters_      = std::move(made);
    scales_.clear();
    for (const auto & one : chosen) scales_.push_back(one.scale);
    apply_adapters();
    for (auto * one : old) llama_.adapter_lora_free(one);
}

void llama_evaluator::decode(const std::vector<queued> & rows) {
    const size_t n = rows.size();
    tokens_.resize(n);
    positions_.resize(n);
    counts_.resize(n);
    sequences_.resize(n);
    outputs_.resize(n);
    for (size_t i = 0; i < n; i++) {
        tokens_[i]    = rows[i].token;
        positions_[i] = rows[i].position;
        counts_[i]    = (int32_t) rows[i].sequences.size();
        // llama_batch has no const; it is only read.
        sequences_[i] = const_cast<llama_seq_id *>(rows[i].sequences.data());
        outputs_[i]   = !rows[i].readers.empty();
    }
    llama_batch batch{};
    batch.n_tokens = (int32_t) n;
    batch.token    = tokens_.data();
    batch.pos      = positions_.data();
    batch.n_seq_id = counts_.data();
    batch.seq_id   = sequences_.data();
    batch.logits   = outputs_.data();
    const int32_t status = llama_.decode(context_, batch);
    if (status == 1) throw error("ENGINE_MEMORY", "the KV cache has no room for " + std::to_string(n) + " tokens");
    if (status == -2) {
        throw error("ENGINE_MEMORY", "the device ran out of memory while evaluating " + std::to_string(n) + " tokens");
    }
    if (status != 0) throw error("ENGINE_CRASHED", "llama_decode ended with " + std::to_string(status));
}

const float * llama_evaluator::logits(int32_t row) { return llama_.get_logits_ith(context_, row); }

}  // namespace inward
