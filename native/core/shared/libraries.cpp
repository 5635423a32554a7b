#include "shared/libraries.h"

#include <filesystem>
#include <map>
#include <memory>

#include "inward/error.h"

#ifdef _WIN32
#    include <windows.h>
#else
#    include <dlfcn.h>
#endif

namespace inward {

namespace {

constexpr size_t MOST_KEPT = 1 << 20;

}  // namespace

shared_library::shared_library(const std::string & path, const char * code) : path_(path) {
#ifdef _WIN32
    handle_ = (void *) LoadLibraryA(path.c_str());
    const std::string why = "error " + std::to_string(GetLastError());
#else
    handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    const char *      said = handle_ ? nullptr : dlerror();
    const std::string why  = said ? said : "";
#endif
    if (!handle_) throw error(code, path + " cannot be loaded: " + why);
}

void * shared_library::symbol(const char * name) const {
#ifdef _WIN32
    return (void *) GetProcAddress((HMODULE) handle_, name);
#else
    return dlsym(handle_, name);
#endif
}

std::string find_library(const std::string & folder, const std::string & stem, const char * project,
                         const char * code) {
    std::error_code ignored;
    for (const auto & entry : std::filesystem::directory_iterator(folder, ignored)) {
        const std::string name = entry.path().filename().string();
        // With its dot: libllama-common is another.
        if (name.rfind("lib" + stem + ".", 0) != 0 && name.rfind(stem + ".", 0) != 0) continue;
        for (const char * ending : { ".so", ".dylib", ".dll" }) {
            if (name.find(ending) != std::string::npos) return entry.path().string();
        }
    }
    throw error(code, std::string("there is no ") + project + " library in " + folder);
}

llama_library::llama_library(const std::string & folder)
    : library_(find_library(folder, "llama", "llama.cpp", "ENGINE_UNAVAILABLE"), "ENGINE_UNAVAILABLE") {
#define INWARD_FIND(name)                                     \
    name = (decltype(name)) library_.symbol("llama_" #name);  \
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

log_keeper::log_keeper(const llama_library & llama) : llama_(llama) { llama_.log_set(keep, this); }

log_keeper::~log_keeper() { llama_.log_set(quiet_log, nullptr); }

std::string log_keeper::said() const {
    std::lock_guard<std::mutex> held(mutex_);
    return said_;
}

void log_keeper::keep(ggml_log_level level, const char * text, void * keeper) {
    auto & self = *(log_keeper *) keeper;
    std::lock_guard<std::mutex> held(self.mutex_);
    if (level != GGML_LOG_LEVEL_CONT) self.last_ = level;
    if (self.last_ != GGML_LOG_LEVEL_WARN && self.last_ != GGML_LOG_LEVEL_ERROR) return;
    std::fputs(text, stderr);
    // A vocabulary of strangers may have a warning for each token.
    if (self.said_.size() < MOST_KEPT) self.said_ += text;
}

}  // namespace inward
