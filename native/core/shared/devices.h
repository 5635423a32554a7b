// The llama.cpp variant's backends: found at run time, because each variant's registry has a name of its own.
#pragma once
#include <string>

#include "ggml-backend.h"

namespace inward {

struct devices {
    ggml_backend_t main = nullptr;  // what the graph runs on
    ggml_backend_t cpu  = nullptr;  // same as main for the CPU; else takes what the device cannot do
    std::string    name;
    bool           is_cpu = true;

    // throws inward::error TRAIN_DEVICE
    devices(const std::string & binaries_folder, const std::string & fallback_folder, const std::string & wanted,
            int threads);
    ~devices();
    devices(const devices &) = delete;

    // bytes that are free for us now
    uint64_t free_memory() const;
};

}  // namespace inward
