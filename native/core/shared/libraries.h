// Libraries that are loaded while running: every variant of llama.cpp has names of its own for its files.
#pragma once
#include <cstdio>
#include <mutex>
#include <string>

#include "llama.h"

namespace inward {

class shared_library {
public:
    // throws inward::error with `code` when it cannot be loaded
    shared_library(const std::string & path, const char * code);

    // nullptr when the library has no such name
    void * symbol(const char * name) const;

    const std::string & path() const { return path_; }

private:
    std::string path_;
    void *      handle_;  // never closed: ggml keeps pointers into its plugins
};

// The path of lib<stem>.<variant>.<release>.so in a variant's folder, or what it is called on another system.
// throws inward::error with `code` when there is none of `project`
std::string find_library(const std::string & folder, const std::string & stem, const char * project,
                         const char * code);

// libllama of the chosen variant.
#define INWARD_LLAMA_FUNCTIONS(each)                                                              \
    each(backend_init) each(model_default_params) each(context_default_params)                    \
    each(model_load_from_file) each(model_free) each(init_from_model) each(free)                  \
    each(model_get_vocab) each(vocab_n_tokens) each(vocab_is_eog) each(model_n_ctx_train)         \
    each(get_memory) each(memory_clear) each(memory_seq_rm) each(memory_seq_cp) each(decode)      \
    each(get_logits_ith) each(adapter_lora_init) each(adapter_lora_free) each(set_adapters_lora)  \
    each(n_ctx) each(n_seq_max) each(max_parallel_sequences) each(log_set) each(model_n_params)   \
    each(max_devices) each(model_is_recurrent) each(model_is_hybrid) each(model_n_swa)            \
    each(model_n_layer) each(model_n_embd) each(set_adapter_cvec)                                 \
    each(model_quantize_default_params) each(model_quantize)                                      \
    each(vocab_get_attr) each(vocab_bos) each(vocab_eos) each(vocab_eot) each(vocab_get_add_bos)  \
    each(vocab_get_add_eos) each(tokenize) each(detokenize)

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

// Warnings and errors belong into the worker's log, which is shown when it crashes; ggml's and llama.cpp's other talk
// does not.
inline void quiet_log(ggml_log_level level, const char * text, void *) {
    if (level == GGML_LOG_LEVEL_ERROR || level == GGML_LOG_LEVEL_WARN) std::fputs(text, stderr);
}

// Keeps what llama.cpp warns of and fails at while this lives: it tells the reason of a failure in its log only.
class log_keeper {
public:
    explicit log_keeper(const llama_library & llama);
    ~log_keeper();
    log_keeper(const log_keeper &) = delete;

    // Lines, each of which ends with a line break.
    std::string said() const;

private:
    static void keep(ggml_log_level level, const char * text, void * keeper);

    const llama_library & llama_;
    mutable std::mutex    mutex_;  // weights are read by several threads
    std::string           said_;
    ggml_log_level        last_ = GGML_LOG_LEVEL_NONE;
};

}  // namespace inward
