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

// What a GPU's libraries take beside what is planned: cuBLAS's workspace, the pool's rounding, kernels that are loaded
// when they are first used. Out of memory there ends the process.
constexpr uint64_t LIBRARIES_TAKE = 768ull << 20;

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

// As a study's schema has it.
constexpr int MOST_THREADS = 512;

void set_threads(ggml_backend_t backend, int threads) {
    auto reg = ggml_backend_dev_backend_reg(ggml_backend_get_device(backend));
    auto set = (ggml_backend_set_n_threads_t) ggml_backend_reg_get_proc_address(reg, "ggml_backend_set_n_threads");
    if (set) set(backend, threads);
}

bool is_of(ggml_backend_dev_t handle, const std::string & kind) {
    const auto type = ggml_backend_dev_type(handle);
    if (kind == "cpu") return type == GGML_BACKEND_DEVICE_TYPE_CPU;
    if (type != GGML_BACKEND_DEVICE_TYPE_GPU && type != GGML_BACKEND_DEVICE_TYPE_IGPU) return false;
    std::string reg = ggml_backend_reg_name(ggml_backend_dev_backend_reg(handle));
    std::transform(reg.begin(), reg.end(), reg.begin(), [](unsigned char c) { return (char) std::tolower(c); });
    return reg == kind || (kind == "metal" && reg == "mtl");
}

std::vector<device> registered(registry & known, const std::string & kind) {
    std::vector<device> found;
    for (size_t i = 0; i < known.count(); i++) {
        auto handle = known.get(i);
        if (!is_of(handle, kind)) continue;
        device one;
        one.handle      = handle;
        one.is_cpu      = kind == "cpu";
        one.name        = one.is_cpu ? kind : kind + ":" + std::to_string(found.size());
        one.description = ggml_backend_dev_description(handle);
        one.integrated  = ggml_backend_dev_type(handle) == GGML_BACKEND_DEVICE_TYPE_IGPU;
        found.push_back(one);
    }
    return found;
}

// Brings the backend that is built for an older runtime, where the newer one found none.
void load_fallback(registry & known, const std::string & folder, const std::string & kind) {
    std::error_code ignored;
    for (const auto & entry : std::filesystem::directory_iterator(folder, ignored)) {
        const std::string name = entry.path().filename().string();
        if (name.find("ggml-" + kind) != std::string::npos) known.load(entry.path().string().c_str());
    }
}

std::vector<device> devices_of(const std::string & folder, const std::string & fallback, const std::string & kind) {
    auto & known = registry_of(folder);
    auto   found = registered(known, kind);
    if (!found.empty() || fallback.empty()) return found;
    load_fallback(known, fallback, kind);
    return registered(known, kind);
}

std::vector<std::string> pieces_of(const std::string & list) {
    std::vector<std::string> pieces(1);
    for (char c : list) {
        if (c == ',') pieces.emplace_back();
        else pieces.back() += c;
    }
    return pieces;
}

std::string names_of(const std::vector<device> & found) {
    std::string names;
    for (const auto & one : found) names += (names.empty() ? "" : ", ") + one.name + " (" + one.description + ")";
    return names;
}

}  // namespace

uint64_t free_machine_memory() {
#ifdef __linux__
    std::ifstream info("/proc/meminfo");
    std::string   key;
    uint64_t      kib;
    std::string   unit;
    while (info >> key >> kib >> unit) {
        if (key == "MemAvailable:") return kib * 1024;
    }
#endif
    return 0;
}

uint64_t device::free_memory() const {
    // ggml reports all of the machine's memory as free.
    const uint64_t machine = is_cpu ? free_machine_memory() : 0;
    if (machine > 0) return machine;
    size_t free = 0, total = 0;
    ggml_backend_dev_memory(handle, &free, &total);
    if (is_cpu) return free;
    return free > LIBRARIES_TAKE ? free - LIBRARIES_TAKE : 0;
}

std::vector<found_device> find_devices(const std::string & folder, const std::string & fallback,
                                       const std::string & kind) {
    std::vector<found_device> found;
    for (const auto & one : devices_of(folder, fallback, kind)) {
        size_t free = 0, total = 0;
        ggml_backend_dev_memory(one.handle, &free, &total);
        found.push_back({ one.name, one.description, total, one.free_memory(), one.integrated });
    }
    return found;
}

devices::devices(const std::string & folder, const std::string & fallback, const std::string & wanted, int threads) {
    // ggml starts all of them, and a machine that is given ten thousand answers nobody any more.
    if (threads > MOST_THREADS) {
        throw error("TRAIN_SETTINGS", "threads is " + std::to_string(threads) + "; it must be at most " +
                                          std::to_string(MOST_THREADS));
    }
    try {
        for (const auto & piece : pieces_of(wanted)) {
            const std::string kind  = piece.substr(0, piece.find(':'));
            const auto        found = devices_of(folder, fallback, kind);
            if (found.empty()) throw error("TRAIN_DEVICE", "the libraries in " + folder + " find no " + kind + " device");
            take(found, piece, threads);
        }
        for (const auto & one : all) {
            if (one.is_cpu) cpu = one.backend;
            else if (!main) main = one.backend;
        }
        is_cpu = !main;
        if (is_cpu) main = all.front().backend;
        if (!cpu) {
            const auto found = devices_of(folder, "", "cpu");
            if (found.empty()) throw error("TRAIN_DEVICE", "the libraries in " + folder + " find no CPU");
            cpu      = ggml_backend_dev_init(found.front().handle, nullptr);
            own_cpu_ = true;
            set_threads(cpu, threads);
        }
    } catch (...) {
        for (auto & one : all) ggml_backend_free(one.backend);
        throw;
    }
    for (const auto & one : all) {
        name += (name.empty() ? "" : ", ") + std::string(ggml_backend_dev_name(one.handle)) + " (" + one.description + ")";
    }
}

void devices::take(const std::vector<device> & found, const std::string & wanted, int threads) {
    const bool named  = wanted.find(':') != std::string::npos;
    const bool others = std::any_of(found.begin(), found.end(), [](const device & one) { return !one.integrated; });
    const auto before = all.size();
    for (auto one : found) {
        if (named ? one.name != wanted : one.integrated && others) continue;
        one.backend = ggml_backend_dev_init(one.handle, nullptr);
        if (!one.backend) {
            throw error("TRAIN_DEVICE", "the device " + one.name + " (" + one.description + ") does not start");
        }
        set_threads(one.backend, threads);
        all.push_back(one);
    }
    if (all.size() == before) {
        throw error("TRAIN_DEVICE", "there is no device " + wanted + " here; there are " + names_of(found));
    }
}

devices::~devices() {
    for (auto & one : all) ggml_backend_free(one.backend);
    if (own_cpu_) ggml_backend_free(cpu);
}

}  // namespace inward
