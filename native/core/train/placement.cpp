#include "train/placement.h"

#include <algorithm>
#include <numeric>

namespace inward {

namespace {

// How many layers each device gets, from the first on.
std::vector<int64_t> shares_of(const std::vector<uint64_t> & sizes, const std::vector<device_room> & rooms,
                               size_t first_device) {
    const double total = (double) std::accumulate(sizes.begin(), sizes.end(), uint64_t(0));
    double       room  = 0;
    for (size_t d = first_device; d < rooms.size(); d++) room += (double) rooms[d].bytes;
    std::vector<int64_t> counts(rooms.size(), 0);
    double               share = 0, done = 0;
    size_t               at    = 0;
    for (size_t d = first_device; d < rooms.size(); d++) {
        share += room > 0 ? (double) rooms[d].bytes / room : 1.0 / (double) (rooms.size() - first_device);
        // Half of a layer over the share is still this device's.
        while (at < sizes.size() && (d + 1 == rooms.size() || done + (double) sizes[at] / 2 <= share * total)) {
            done += (double) sizes[at++];
            counts[d]++;
        }
    }
    return counts;
}

// The last layers of [first, last) that fit in so many bytes; where not all do, beside the slots of those that are sent.
int64_t fitting(const std::vector<uint64_t> & sizes, int64_t first, int64_t last, uint64_t room) {
    const uint64_t all = std::accumulate(sizes.begin() + first, sizes.begin() + last, uint64_t(0));
    if (all <= room || first == last) return last - first;
    const uint64_t slots = STREAM_SLOTS * *std::max_element(sizes.begin() + first, sizes.begin() + last);
    uint64_t       used  = slots;
    int64_t        count = 0;
    while (count < last - first && used + sizes[last - 1 - count] <= room) used += sizes[last - 1 - count++];
    return count;
}

}  // namespace

int placement::device_of(int layer) const {
    if (layer < 0) return input;
    return layer < (int) layers.size() ? layers[layer].device : output;
}

bool placement::streams() const { return count_streamed() > 0; }

int64_t placement::count(int device) const {
    return std::count_if(layers.begin(), layers.end(), [&](const layer_place & one) { return one.device == device; });
}

int64_t placement::count_streamed(int device) const {
    return std::count_if(layers.begin(), layers.end(),
                         [&](const layer_place & one) { return one.device == device && one.streamed; });
}

int64_t placement::count_streamed() const {
    return std::count_if(layers.begin(), layers.end(), [](const layer_place & one) { return one.streamed; });
}

std::vector<ggml_tensor *> tensors_of(const layer_weights & layer) {
    std::vector<ggml_tensor *> all = { layer.attention_norm, layer.feed_forward_norm, layer.attention_post_norm,
                                       layer.feed_forward_post_norm, layer.q_norm, layer.k_norm };
    auto add = [&](const linear_weights & one) {
        all.push_back(one.weight);
        all.push_back(one.bias);
    };
    std::for_each(layer.qkv.begin(), layer.qkv.end(), add);
    add(layer.o);
    std::for_each(layer.gate_up.begin(), layer.gate_up.end(), add);
    add(layer.down);
    all.erase(std::remove(all.begin(), all.end(), nullptr), all.end());
    return all;
}

uint64_t bytes_of(const layer_weights & layer) {
    uint64_t bytes = 0;
    for (auto * tensor : tensors_of(layer)) bytes += ggml_nbytes(tensor);
    return bytes;
}

placement place_layers(const base_model & model, const std::vector<device_room> & rooms, int64_t stay) {
    std::vector<uint64_t> sizes;
    for (const auto & layer : model.layers) sizes.push_back(bytes_of(layer));
    const int64_t layers = (int64_t) sizes.size();
    const bool    cpu_first =
        rooms.front().is_cpu && std::any_of(rooms.begin(), rooms.end(), [](const device_room & r) { return !r.is_cpu; });
    int64_t on_cpu = 0;
    if (cpu_first) {
        const uint64_t others = std::accumulate(rooms.begin() + 1, rooms.end(), uint64_t(0),
                                                [](uint64_t sum, const device_room & r) { return sum + r.bytes; });
        uint64_t used = 0;
        int64_t  fit  = 0;
        while (fit < layers && used + sizes[layers - 1 - fit] <= others) used += sizes[layers - 1 - fit++];
        on_cpu = layers - (stay < 0 ? fit : std::min(stay, layers));
    }
    const std::vector<uint64_t> shared(sizes.begin() + on_cpu, sizes.end());
    auto counts = shares_of(shared, rooms, cpu_first ? 1 : 0);
    if (cpu_first) counts[0] = on_cpu;
    placement made;
    int64_t   first = 0;
    for (size_t d = 0; d < rooms.size(); d++) {
        const int64_t last = first + counts[d];
        int64_t       kept = last - first;
        if (!cpu_first && stay < 0) kept = fitting(sizes, first, last, rooms[d].bytes);
        // Cut from what all before get together, so that they come to `stay`.
        if (!cpu_first && stay >= 0 && stay < layers) kept = stay * last / layers - stay * first / layers;
        for (int64_t l = first; l < last; l++) made.layers.push_back({ (int) d, l < last - kept });
        first = last;
    }
    made.output = made.layers.back().device;
    // A matrix that is both is needed where its products are; its rows are few.
    made.input = model.output.weight == model.token_embedding ? made.output : made.layers.front().device;
    return made;
}

}  // namespace inward
