#include "ask/llama-evaluator.h"

#include <memory>
#include <set>
#include <string>

#include "gguf.h"
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

llama_context_params llama_evaluator::context_params() const {
    auto params            = llama_.context_default_params();
    params.n_threads       = options_.threads;
    params.n_threads_batch = options_.threads;
    const bool flash       = options_.flash_attention && !options_.strict;
    params.flash_attn_type = flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.type_k = params.type_v = options_.f32_cache ? GGML_TYPE_F32 : GGML_TYPE_F16;
    // Of what a window has left behind, a text that shares the beginning still sees some.
    params.swa_full        = true;
    params.yarn_orig_ctx   = (uint32_t) options_.short_context;
    params.offload_kqv     = !is_cpu_;
    params.op_offload      = !is_cpu_;
    return params;
}

bool llama_evaluator::make_room(int64_t cells, int sequences, int64_t rows, bool separate) {
    if (context_) llama_.free(context_);
    separate_            = separate;
    auto          params = context_params();
    const int64_t pieces = separate ? sequences : 1;
    const int64_t piece  = (cells / pieces + CELL_STEP - 1) / CELL_STEP * CELL_STEP;
    params.n_ctx         = (uint32_t) (piece * pieces);
    params.n_batch       = (uint32_t) rows;
    params.n_ubatch      = (uint32_t) rows;
    params.n_seq_max     = (uint32_t) sequences;
    params.kv_unified    = !separate;
    context_             = llama_.init_from_model(model_, params);
    if (context_) apply_adapters();
    return context_ != nullptr;
}

void llama_evaluator::clear() {
    if (context_) llama_.memory_clear(llama_.get_memory(context_), true);
}

void llama_evaluator::share(int32_t from, int32_t to, int32_t count) {
    auto * memory = llama_.get_memory(context_);
    if (!separate_) {
        llama_.memory_seq_cp(memory, from, to, 0, count);
        return;
    }
    // Between sequences with cells of their own llama.cpp copies whole ones only.
    llama_.memory_seq_cp(memory, from, to, -1, -1);
    remove(to, count);
}

void llama_evaluator::release(int32_t sequence, int32_t first) {
    remove(sequence, first);
    // Where the next item's cells lie must not depend on those before.
    if (options_.strict) llama_.memory_clear(llama_.get_memory(context_), false);
}

void llama_evaluator::remove(int32_t sequence, int32_t first) {
    if (llama_.memory_seq_rm(llama_.get_memory(context_), sequence, first, -1)) return;
    throw error("INTERNAL", "llama.cpp cannot take the tokens from " + std::to_string(first) + " on out of a sequence");
}

void llama_evaluator::apply_adapters() {
    if (context_ && llama_.set_adapters_lora(context_, adapters_.data(), adapters_.size(), scales_.data()) != 0) {
        throw error("ADAPTER_INVALID", "llama.cpp refuses the adapters for this context");
    }
}

// llama.cpp loads a pair beside any matrix, and passes over those of matrices that its graph of the architecture multiplies
// without asking for one. One token is evaluated, and each of the adapter's tensors must be read on the way.
void llama_evaluator::require_used(const adapter_choice & choice, llama_adapter_lora * adapter) const {
    gguf_context * header = gguf_init_from_file(choice.path.c_str(), { /*no_alloc*/ true, nullptr });
    if (!header) throw error("ADAPTER_INVALID", choice.path + " cannot be read as a GGUF file");
    std::set<std::string> unread;
    for (int64_t i = 0; i < gguf_get_n_tensors(header); i++) unread.insert(gguf_get_tensor_name(header, i));
    gguf_free(header);

    auto params              = context_params();
    params.n_ctx             = CELL_STEP;
    params.n_batch           = 1;
    params.n_ubatch          = 1;
    params.n_seq_max         = 1;
    params.cb_eval_user_data = &unread;
    params.cb_eval           = [](ggml_tensor * node, bool, void * names) {
        for (const auto * source : node->src) {
            if (!source) continue;
            ((std::set<std::string> *) names)->erase((source->view_src ? source->view_src : source)->name);
        }
        return false;  // its numbers are not asked for
    };
    const std::unique_ptr<llama_context, decltype(llama_.free)> trial(llama_.init_from_model(model_, params), llama_.free);
    if (!trial) throw error("ENGINE_MEMORY", "there is no memory to try the adapter " + choice.path);
    float scale = 1;
    if (llama_.set_adapters_lora(trial.get(), &adapter, 1, &scale) != 0) {
        throw error("ADAPTER_INVALID", "llama.cpp refuses the adapter " + choice.path);
    }
    llama_token  token = 0;
    llama_batch  batch{};
    batch.n_tokens = 1;
    batch.token    = &token;
    const int32_t status = llama_.decode(trial.get(), batch);
    if (status != 0) throw error("ENGINE_CRASHED", "llama_decode ended with " + std::to_string(status) + " on one token");
    if (unread.empty()) return;
    throw error("ADAPTER_INVALID", choice.path + " has " + *unread.begin() + (unread.size() == 1 ? "" : " and others") +
                                       ", which llama.cpp loads and leaves out of this model's computation");
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
        try {
            require_used(one, loaded);
        } catch (...) {
            for (auto * earlier : made) llama_.adapter_lora_free(earlier);
            throw;
        }
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
