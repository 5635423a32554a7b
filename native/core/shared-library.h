// Loading a library while running, on every system.
#pragma once
#include <string>

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

}  // namespace inward
