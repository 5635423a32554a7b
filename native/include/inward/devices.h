// What devices there are, as the binding sees it: neither Node-API nor ggml shows here.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace inward {

struct found_device {
    std::string name;         // cpu, cuda:0
    std::string description;  // what the driver calls it
    uint64_t    total = 0;    // bytes
    uint64_t    free  = 0;    // of a GPU less what its libraries take for themselves beside what is planned
    bool        integrated = false;  // shares the machine's memory
};

// Devices of one kind (cpu, cuda, vulkan, metal) in the order of their numbers; starts none.
// throws inward::error TRAIN_DEVICE where the variant's libraries cannot be loaded
std::vector<found_device> find_devices(const std::string & binaries_folder, const std::string & fallback_folder,
                                       const std::string & kind);

}  // namespace inward
