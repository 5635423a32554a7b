#include "shared-library.h"

#include "inward/error.h"

#ifdef _WIN32
#    include <windows.h>
#else
#    include <dlfcn.h>
#endif

namespace inward {

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

}  // namespace inward
