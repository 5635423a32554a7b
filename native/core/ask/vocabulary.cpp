#include "inward/vocabulary.h"

#include <algorithm>
#include <limits>

#include "inward/error.h"
#include "shared/libraries.h"

namespace inward {

vocabulary_facts vocabulary::describe() const {
    vocabulary_facts facts;
    const int32_t    count = llama_.vocab_n_tokens(vocab_);
    for (int32_t id = 0; id < count; id++) {
        facts.attributes.push_back((int32_t) llama_.vocab_get_attr(vocab_, id));
        facts.ends.push_back(llama_.vocab_is_eog(vocab_, id));
    }
    // Where a file names none, llama.cpp may take a number that is an ordinary word's.
    const auto attributes = [&](int32_t id) { return id >= 0 && id < count ? facts.attributes[id] : 0; };
    const auto control    = [&](int32_t id) { return attributes(id) & LLAMA_TOKEN_ATTR_CONTROL ? id : -1; };
    const int32_t eot     = llama_.vocab_eot(vocab_);
    facts.bos      = control(llama_.vocab_bos(vocab_));
    facts.eos      = control(llama_.vocab_eos(vocab_));
    facts.eot      = eot >= 0 && eot < count && !(attributes(eot) & LLAMA_TOKEN_ATTR_UNKNOWN) ? eot : -1;
    facts.adds_bos = llama_.vocab_get_add_bos(vocab_);
    facts.adds_eos = llama_.vocab_get_add_eos(vocab_);
    return facts;
}

std::vector<int32_t> vocabulary::tokenize(const std::string & text) const {
    if (text.size() > (size_t) std::numeric_limits<int32_t>::max()) throw error("TRAIN_SHAPE", "the text is too long");
    // A token stands for a byte at least, but for a blank that may be put before the text.
    std::vector<int32_t> tokens(text.size() + 2);
    const auto fill = [&] {
        return llama_.tokenize(vocab_, text.data(), (int32_t) text.size(), tokens.data(), (int32_t) tokens.size(),
                               /*add_special*/ false, /*parse_special*/ false);
    };
    int32_t count = fill();
    if (count == std::numeric_limits<int32_t>::min()) throw error("TRAIN_SHAPE", "the text has too many tokens");
    if (count < 0) {
        tokens.resize(-count);
        count = fill();
    }
    tokens.resize(count);
    return tokens;
}

std::string vocabulary::detokenize(const std::vector<int32_t> & tokens) const {
    const int32_t known = llama_.vocab_n_tokens(vocab_);
    if (std::any_of(tokens.begin(), tokens.end(), [&](int32_t id) { return id < 0 || id >= known; })) {
        throw error("TRAIN_SHAPE", "there is no such token");
    }
    std::string text(std::max<size_t>(64, 8 * tokens.size()), '\0');
    const auto  fill = [&] {
        return llama_.detokenize(vocab_, tokens.data(), (int32_t) tokens.size(), text.data(), (int32_t) text.size(),
                                 /*remove_special*/ false, /*unparse_special*/ true);
    };
    int32_t length = fill();
    if (length < 0) {
        text.resize(-length);
        length = fill();
    }
    text.resize(std::max(0, length));
    return text;
}

vocabulary_file::vocabulary_file(const std::string & binaries_folder, const std::string & model_path)
    : llama_(llama_of(binaries_folder)) {
    auto params         = llama_.model_default_params();
    params.vocab_only   = true;
    params.n_gpu_layers = 0;
    {
        const log_keeper log(llama_);
        model_    = llama_.model_load_from_file(model_path.c_str(), params);
        load_log_ = log.said();
    }
    if (!model_) throw error("MODEL_LOAD", load_log_);
}

vocabulary_file::~vocabulary_file() { llama_.model_free(model_); }

vocabulary vocabulary_file::words() const { return vocabulary(llama_, llama_.model_get_vocab(model_)); }

}  // namespace inward
