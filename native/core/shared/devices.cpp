#include "shared/devices.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>

#include "inward/error.h"
#include "shared/libraries.h"

namespace inward {

namespace {

struct registry {
    shared_library library;
    decltype(&ggml_backend_load_all_from_path) load_all;
    decltype(&ggml_backend_load)               load;
    decltype(&ggml_backend_dev_count)          count;
    decltype(&ggml_backend_dev_get)            get;

    explicit registry(const std::string & path) : library(path, "TRAIN_DEVICE") {
        load_all = (decltype(load_all)) library.symbol("ggml_backend_load_all_from_path");
        load     = (decltype(load)) library.symbol("ggml_backend_load");
        count    = (decltype(count)) library.symbol("ggml_backend_dev_count");
        get      = (decltype(get)) library.symbol("ggml_backend_dev_get");
        if (!load_all || !load || !count || !get) {
            throw error("TRAIN_DEVICE", path + " is no ggml registry of a release known here");
        }
    }
};

registry & registry_of(const std::string & folder) {
    // One process may meet several trainers, but backends are registered once.
    static std::map<std::string, std::unique_ptr<registry>> known;
    auto & slot = known[folder];
    if (!slot) {
        slot = std::make_unique<registry>(find_library(folder, "ggml", "ggml", "TRAIN_DEVICE"));
        slot->load_all(folder.c_str());
    }
    return *slot;
}

void set_threads(ggml_backend_t backend, int threads) {
    auto reg = ggml_backend_dev_backend_reg(ggml_backend_get_device(backend));
    auto set = (ggml_backend_set_n_threads_t) ggml_backend_reg_get_proc_address(reg, "ggml_backend_set_n_threads");
    if (set) set(backend, threads);
}

bool matches(ggml_backend_dev_t device, const std::string & wanted) {
    const auto type = ggml_backend_dev_type(device);
    if (wanted == "cpu") return type == GGML_BACKEND_DEVICE_TYPE_CPU;
    if (type != GGML_BACKEND_DEVICE_TYPE_GPU && type != GGML_BACKEND_DEVICE_TYPE_IGPU) return false;
    std::string reg = ggml_backend_reg_name(ggml_backend_dev_backend_reg(device));
    std::transform(reg.begin(), reg.end(), reg.begin(), [](unsigned char c) { return (char) std::tolower(c); });
    return reg == wanted || (wanted == "metal" && reg == "mtl");
}

bool has(registry & known, const std::string & wanted) {
    for (size_t i = 0; i < known.count(); i++) {
        if (matches(known.get(i), wanted)) return true;
    }
    return false;
}

// Brings the backend that is built for an older runtime, where the newer one found none.
void load_fallback(registry & known, const std::string & folder, const std::string & wanted) {
    std::error_code ignored;
    for (const auto & entry : std::filesystem::directory_iterator(folder, ignored)) {
        const std::string name = entry.path().filename().string();
        if (name.find("ggml-" + wanted) != std::string::npos) known.load(entry.path().string().c_str());
    }
}

ggml_backend_t start(registry & known, const std::string & wanted, int threads, const std::string & folder) {
    for (size_t i = 0; i < known.count(); i++) {
        auto device = known.get(i);
        if (!matches(device, wanted)) continue;
        auto backend = ggml_backend_dev_init(device, nullptr);
        if (!backend) {
            throw error("TRAIN_DEVICE", std::string("the device ") + ggml_backend_dev_name(device) +
                                            " does not start");
        }
        set_threads(backend, threads);
        return backend;
    }
    throw error("TRAIN_DEVICE", "the libraries in " + folder + " find no " + wanted + " device");
}

}  // namespace

devices::devices(const std::string & folder, const std::string & fallback, const std::string & wanted, int threads)
    : is_cpu(wanted == "cpu") {
    auto & known = registry_of(folder);
    if (!fallback.empty() && !has(known, wanted)) load_fallback(known, fallback, wanted);
    cpu          = start(known, "cpu", threads, folder);
    if (is_cpu) {
        main = cpu;
    } else {
        try {
            main = start(known, wanted, threads, folder);
        } catch (...) {
            ggml_backend_free(cpu);
            throw;
        }
    }
    auto device = ggml_backend_get_device(main);
    name        = std::string(ggml_backend_dev_name(device)) + " (" + ggml_backend_dev_description(device) + ")";
}

devices::~devices() {
    if (main != cpu) ggml_backend_free(main);
    ggml_backend_free(cpu);
}

uint64_t devices::free_memory() const {
#ifdef __linux__
    if (is_cpu) {
        // What can be had without swapping; ggml reports all memory as free.
        std::ifstream info("/proc/meminfo");
        std::string   key;
        uint64_t      kib;
        std::string   unit;
        while (info >> key >> kib >> unit) {
            if (key == "MemAvailable:") return kib * 1024;
        }
    }
#endif
    size_t free = 0, total = 0;
    ggml_backend_dev_memory(ggml_backend_get_device(main), &free, &total);
    return free;
}

}  // namespace inward
