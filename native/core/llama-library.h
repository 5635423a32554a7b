// libllama of the chosen variant, found while running: every variant's has a name of its own.
#pragma once
#include <memory>
#include <string>

#include "llama.h"
#include "shared-library.h"

namespace inward {

#define INWARD_LLAMA_FUNCTIONS(each)                                                                                          \
    each(backend_init) each(model_default_params) each(context_default_params) each(model_load_from_file) each(model_free)    \
    each(init_from_model) each(free) each(model_get_vocab) each(vocab_n_tokens) each(vocab_is_eog) each(model_n_ctx_train)    \
    each(get_memory) each(memory_clear) each(memory_seq_rm) each(memory_seq_cp) each(decode) each(get_logits_ith)             \
    each(adapter_lora_init) each(adapter_lora_free) each(set_adapters_lora) each(n_ctx) each(n_seq_max)                       \
    each(max_parallel_sequences) each(log_set) each(model_n_params) each(model_quantize_default_params) each(model_quantize)

struct llama_library {
    // throws inward::error ENGINE_UNAVAILABLE
    explicit llama_library(const std::string & binaries_folder);

#define INWARD_DECLARE(name) decltype(&::llama_##name) name;
    INWARD_LLAMA_FUNCTIONS(INWARD_DECLARE)
#undef INWARD_DECLARE

private:
    shared_library library_;
};

// The one of this folder, loaded once.
const llama_library & llama_of(const std::string & binaries_folder);

}  // namespace inward
