// The llama.cpp variant's backends: found at run time, because each variant's registry has a name of its own.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "ggml-backend.h"
#include "inward/devices.h"

namespace inward {

// What can be had of the machine's memory without swapping; 0 where that is not known.
uint64_t free_machine_memory();

struct device {
    std::string        name;         // cpu, cuda:0, vulkan:1
    std::string        description;  // what the driver calls it
    bool               is_cpu     = true;
    bool               integrated = false;  // shares the machine's memory
    ggml_backend_dev_t handle     = nullptr;
    ggml_backend_t     backend    = nullptr;

    // Bytes that are free for us now; on a GPU less what its libraries take for themselves beside what is planned.
    uint64_t free_memory() const;
};

struct devices {
    std::vector<device> all;               // in the order in which they are named
    ggml_backend_t      main = nullptr;    // the first that is no CPU, else the CPU: operations are chosen for it
    ggml_backend_t      cpu  = nullptr;    // takes what the others cannot do
    std::string         name;
    bool                is_cpu = true;     // all of them are

    // `wanted` is a list: cpu, cuda, cuda:0,cuda:1, cpu,vulkan:0. A kind without a number is all of its devices; integrated
    // ones only where there are no others. A CPU may stand twice, as two devices.
    // throws inward::error TRAIN_DEVICE
    devices(const std::string & binaries_folder, const std::string & fallback_folder, const std::string & wanted,
            int threads);
    ~devices();
    devices(const devices &) = delete;

    // of the first device
    uint64_t free_memory() const { return all.front().free_memory(); }

private:
    bool own_cpu_ = false;  // the CPU is none of `all`

    void take(const std::vector<device> & found, const std::string & wanted, int threads);
};

}  // namespace inward
