#include "train/weight-store.h"

#include <algorithm>
#include <string>

#include "ggml-alloc.h"
#include "inward/error.h"

namespace inward {

namespace {

constexpr int64_t CHUNK_BYTES = 16 << 20;

ggml_backend_buffer_type_t type_of(const device & one) { return ggml_backend_get_default_buffer_type(one.backend); }

uint64_t aligned(uint64_t bytes, ggml_backend_buffer_type_t type) {
    const uint64_t unit = ggml_backend_buft_get_alignment(type);
    return (bytes + unit - 1) / unit * unit;
}

uint64_t room_for(const std::vector<ggml_tensor *> & tensors, ggml_backend_buffer_type_t type) {
    uint64_t bytes = 0;
    for (auto * tensor : tensors) bytes += aligned(ggml_backend_buft_get_alloc_size(type, tensor), type);
    return bytes;
}

void put_into(ggml_backend_buffer_t buffer, const std::vector<ggml_tensor *> & tensors) {
    auto place = ggml_tallocr_new(buffer);
    for (auto * tensor : tensors) {
        if (ggml_tallocr_alloc(&place, tensor) != GGML_STATUS_SUCCESS) {
            throw error("INTERNAL", std::string("no place for the tensor ") + tensor->name);
        }
    }
}

}  // namespace

weight_store::weight_store(base_model & model, const devices & where) : model_(model), devices_(where) {}

weight_store::~weight_store() {
    if (sender_.joinable()) {
        {
            std::lock_guard<std::mutex> held(mutex_);
            stop_ = true;
        }
        changed_.notify_all();
        sender_.join();
    }
    buffers_.clear();
    if (host_context_) ggml_free(host_context_);
}

int weight_store::device_of(const ggml_tensor * tensor) const {
    if (tensor == model_.token_embedding || tensor == model_.rope_factors) return places_.input;
    return places_.output;
}

// Tensors that stay on each device, or of layers that are streamed there.
std::vector<std::vector<ggml_tensor *>> weight_store::by_device(bool streamed) const {
    std::vector<std::vector<ggml_tensor *>> all(devices_.all.size());
    std::vector<const ggml_tensor *>        of_layers;
    for (size_t l = 0; l < model_.layers.size(); l++) {
        const auto tensors = tensors_of(model_.layers[l]);
        of_layers.insert(of_layers.end(), tensors.begin(), tensors.end());
        auto & own = all[places_.layers[l].device];
        if (places_.layers[l].streamed == streamed) own.insert(own.end(), tensors.begin(), tensors.end());
    }
    if (streamed) return all;
    std::sort(of_layers.begin(), of_layers.end());
    for (auto t = ggml_get_first_tensor(model_.tensors()); t; t = ggml_get_next_tensor(model_.tensors(), t)) {
        if (!std::binary_search(of_layers.begin(), of_layers.end(), t)) all[device_of(t)].push_back(t);
    }
    return all;
}

void weight_store::plan(const placement & places) {
    places_ = places;
    buffers_.clear();
    const auto stay = by_device(false), streamed = by_device(true);
    for (size_t d = 0; d < devices_.all.size(); d++) {
        auto * empty = ggml_backend_buft_alloc_buffer(type_of(devices_.all[d]), 0);
        ggml_backend_buffer_set_usage(empty, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
        buffers_.emplace_back(empty, ggml_backend_buffer_free);
        for (auto * tensor : stay[d]) tensor->buffer = empty;
        for (auto * tensor : streamed[d]) tensor->buffer = empty;
    }
}

std::vector<uint64_t> weight_store::device_bytes() const {
    std::vector<uint64_t> bytes;
    const auto            stay = by_device(false);
    for (size_t d = 0; d < devices_.all.size(); d++) {
        const auto type = type_of(devices_.all[d]);
        uint64_t   slot = 0;
        for (size_t l = 0; l < model_.layers.size(); l++) {
            if (places_.layers[l].device != (int) d || !places_.layers[l].streamed) continue;
            slot = std::max(slot, room_for(tensors_of(model_.layers[l]), type));
        }
        bytes.push_back(room_for(stay[d], type) + STREAM_SLOTS * slot);
    }
    return bytes;
}

uint64_t weight_store::host_bytes() const {
    uint64_t bytes = 0;
    for (size_t l = 0; l < model_.layers.size(); l++) {
        if (places_.layers[l].streamed) bytes += bytes_of(model_.layers[l]);
    }
    return bytes;
}

void weight_store::allocate(const std::vector<ggml_tensor *> & tensors, ggml_backend_buffer_type_t type,
                            const std::string & where) {
    // A device may have a largest buffer.
    const uint64_t most = ggml_backend_buft_get_max_size(type);
    for (size_t first = 0, last = 0; first < tensors.size(); first = last) {
        std::vector<ggml_tensor *> some;
        for (; last < tensors.size(); last++) {
            some.push_back(tensors[last]);
            if (some.size() > 1 && room_for(some, type) > most) {
                some.pop_back();
                break;
            }
        }
        const uint64_t bytes = room_for(some, type);
        auto *         made  = ggml_backend_buft_alloc_buffer(type, bytes);
        if (!made) throw error("TRAIN_MEMORY", where + " has no room for " + std::to_string(bytes) + " bytes of weights");
        buffers_.emplace_back(made, ggml_backend_buffer_free);
        ggml_backend_buffer_set_usage(made, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
        put_into(made, some);
    }
}

void weight_store::allocate_slots() {
    size_t count = 0;
    for (const auto & layer : model_.layers) count += tensors_of(layer).size();
    host_context_ = ggml_init({ count * ggml_tensor_overhead(), nullptr, /*no_alloc*/ true });
    host_.resize(model_.layers.size());
    occupant_.assign(devices_.all.size() * STREAM_SLOTS, -1);
    for (size_t d = 0; d < devices_.all.size(); d++) {
        const auto & one  = devices_.all[d];
        const auto   type = type_of(one);
        // Memory that the device reads by itself, where there is such.
        auto * pinned = ggml_backend_dev_host_buffer_type(one.handle);
        auto * of_cpu = ggml_backend_get_default_buffer_type(devices_.cpu);
        uint64_t         largest = 0;
        std::vector<int> own;
        for (size_t l = 0; l < model_.layers.size(); l++) {
            if (places_.layers[l].device != (int) d || !places_.layers[l].streamed) continue;
            own.push_back((int) l);
            auto & layer = host_[l];
            layer.there  = tensors_of(model_.layers[l]);
            layer.slot   = (int) d * STREAM_SLOTS + (int) (own.size() - 1) % STREAM_SLOTS;
            for (auto * tensor : layer.there) layer.here.push_back(ggml_dup_tensor(host_context_, tensor));
            allocate(layer.here, pinned ? pinned : of_cpu, "the host");
            largest = std::max(largest, room_for(layer.there, type));
        }
        for (int s = 0; s < STREAM_SLOTS && !own.empty(); s++) {
            auto * made = ggml_backend_buft_alloc_buffer(type, largest);
            if (!made) throw error("TRAIN_MEMORY", one.name + " has no room for " + std::to_string(largest) + " bytes of a layer");
            buffers_.emplace_back(made, ggml_backend_buffer_free);
            ggml_backend_buffer_set_usage(made, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
            ggml_backend_buffer_clear(made, 0);
            for (int l : own) {
                if (host_[l].slot == (int) d * STREAM_SLOTS + s) put_into(made, host_[l].there);
            }
        }
    }
}

void weight_store::load() {
    const auto stay = by_device(false), streamed = by_device(true);
    for (const auto & all : { stay, streamed }) {
        for (const auto & own : all) {
            for (auto * tensor : own) tensor->buffer = nullptr;
        }
    }
    buffers_.clear();
    for (size_t d = 0; d < devices_.all.size(); d++) {
        allocate(stay[d], type_of(devices_.all[d]), devices_.all[d].name);
        for (auto * tensor : stay[d]) read(tensor, tensor);
    }
    if (!places_.streams()) return;
    allocate_slots();
    for (const auto & layer : host_) {
        for (size_t i = 0; i < layer.here.size(); i++) read(layer.there[i], layer.here[i]);
    }
    sender_ = std::thread([this] { send(); });
}

void weight_store::read(ggml_tensor * from, ggml_tensor * to) {
    const int64_t     bytes = (int64_t) ggml_nbytes(from);
    std::vector<char> chunk;
    for (int64_t done = 0; done < bytes; done += CHUNK_BYTES) {
        model_.read(from, done, std::min(CHUNK_BYTES, bytes - done), chunk);
        ggml_backend_tensor_set(to, chunk.data(), (size_t) done, chunk.size());
    }
}

void weight_store::begin(std::vector<int> visits) {
    std::lock_guard<std::mutex> held(mutex_);
    visits_ = std::move(visits);
    ended_ = sent_ = 0;
    changed_.notify_all();
}

void weight_store::enter(size_t visit) {
    std::unique_lock<std::mutex> held(mutex_);
    ended_ = visit;
    changed_.notify_all();
    changed_.wait(held, [&] { return sent_ > visit; });
}

void weight_store::end() {
    std::unique_lock<std::mutex> held(mutex_);
    // A layer may still be on its way where a graph was given up.
    changed_.wait(held, [&] { return !busy_; });
    visits_.clear();
    ended_ = sent_ = 0;
}

// Whether all earlier visits of other layers to this visit's slot are over.
bool weight_store::slot_is_free(size_t visit) const {
    for (size_t before = visit; before-- > ended_;) {
        if (host_[visits_[before]].slot == host_[visits_[visit]].slot && visits_[before] != visits_[visit]) return false;
    }
    return true;
}

void weight_store::send() {
    std::unique_lock<std::mutex> held(mutex_);
    for (;;) {
        changed_.wait(held, [&] { return stop_ || (sent_ < visits_.size() && slot_is_free(sent_)); });
        if (stop_) return;
        const int    wanted = visits_[sent_];
        const auto & layer  = host_[wanted];
        if (occupant_[layer.slot] != wanted) {
            occupant_[layer.slot] = wanted;
            busy_                 = true;
            held.unlock();
            for (size_t i = 0; i < layer.here.size(); i++) {
                auto * to = layer.there[i];
                // Some devices want zeros behind a row's end, where another layer's weights may lie.
                if (ggml_backend_buft_get_alloc_size(ggml_backend_buffer_get_type(to->buffer), to) > ggml_nbytes(to)) {
                    ggml_backend_buffer_init_tensor(to->buffer, to);
                }
                ggml_backend_tensor_set(to, layer.here[i]->data, 0, ggml_nbytes(to));
            }
            held.lock();
            busy_ = false;
        }
        sent_++;
        changed_.notify_all();
    }
}

}  // namespace inward
