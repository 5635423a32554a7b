// Typed reads of a GGUF header: gguf's own getters abort the process when a value has another type.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

struct gguf_context;

namespace inward {

// throws inward::error TRAIN_MODEL: our own forward pass, which asking has a second evaluator beside, does not compute it
[[noreturn]] void unsupported(const std::string & what);

struct model_header {
    const ::gguf_context * header;
    std::string            architecture;

    // Of keys "<architecture>.<suffix>"; the fallback where there is none. throws TRAIN_MODEL for another type
    bool    has(const std::string & suffix) const;
    int64_t whole(const std::string & suffix, int64_t fallback) const;
    float   real(const std::string & suffix, float fallback) const;
    bool    truth(const std::string & suffix, bool fallback) const;
    // One truth for each layer, from a list of as many; empty where the key is absent or is a single number.
    std::vector<bool> truths(const std::string & suffix) const;
    // Of a whole key
    std::string text(const std::string & key, const std::string & fallback) const;
};

}  // namespace inward
