// What llama.cpp says of a vocabulary that it has read.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

struct llama_model;
struct llama_vocab;

namespace inward {

struct llama_library;

struct vocabulary_facts {
    std::vector<int32_t> attributes;  // [tokens] llama.cpp's llama_token_attr
    std::vector<uint8_t> ends;        // [tokens] whether generation stops there
    int32_t              bos, eos, eot;  // -1: there is none, or the first two are no control tokens
    bool                 adds_bos, adds_eos;
};

// Lives no longer than the engine, or the file, that it is of.
class vocabulary {
public:
    vocabulary(const llama_library & llama, const llama_vocab * vocab) : llama_(llama), vocab_(vocab) {}

    vocabulary_facts describe() const;
    // Nothing in the text is a control token, and nothing is added. throws TRAIN_SHAPE for a text that is too long
    std::vector<int32_t> tokenize(const std::string & text) const;
    // As llama.cpp reads the tokens, control tokens by their names; may end within a character. throws TRAIN_SHAPE
    std::string detokenize(const std::vector<int32_t> & tokens) const;

private:
    const llama_library & llama_;
    const llama_vocab *   vocab_;
};

// A file of which llama.cpp has read the vocabulary, without its weights and without a device.
class vocabulary_file {
public:
    // throws MODEL_LOAD with the lines of llama.cpp's log, ENGINE_UNAVAILABLE
    vocabulary_file(const std::string & binaries_folder, const std::string & model_path);
    ~vocabulary_file();
    vocabulary_file(const vocabulary_file &) = delete;

    vocabulary          words() const;
    // Lines that llama.cpp warned with.
    const std::string & load_log() const { return load_log_; }

private:
    const llama_library & llama_;
    llama_model *         model_;
    std::string           load_log_;
};

}  // namespace inward
