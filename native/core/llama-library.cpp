#include "llama-library.h"

#include <filesystem>
#include <map>

#include "inward/error.h"

namespace inward {

namespace {

// libllama.<variant>.<release>.so; libllama-common is another
std::string library_path(const std::string & folder) {
    std::error_code ignored;
    for (const auto & entry : std::filesystem::directory_iterator(folder, ignored)) {
        const std::string name = entry.path().filename().string();
        if (name.rfind("libllama.", 0) == 0 || name.rfind("llama.", 0) == 0) {
            if (name.find(".so") != std::string::npos || name.find(".dylib") != std::string::npos || name.find(".dll") != std::string::npos) {
                return entry.path().string();
            }
        }
    }
    throw error("ENGINE_UNAVAILABLE", "there is no llama.cpp library in " + folder);
}

}  // namespace

llama_library::llama_library(const std::string & folder) : library_(library_path(folder), "ENGINE_UNAVAILABLE") {
#define INWARD_FIND(name)                                                                                                     \
    name = (decltype(name)) library_.symbol("llama_" #name);                                                                  \
    if (!name) throw error("ENGINE_UNAVAILABLE", library_.path() + " has no llama_" #name);
    INWARD_LLAMA_FUNCTIONS(INWARD_FIND)
#undef INWARD_FIND
}

const llama_library & llama_of(const std::string & folder) {
    static std::map<std::string, std::unique_ptr<llama_library>> known;
    auto & slot = known[folder];
    if (!slot) slot = std::make_unique<llama_library>(folder);
    return *slot;
}

}  // namespace inward
