// Where the layers of a base are computed, and whose weights stay there.
#pragma once
#include <cstdint>
#include <vector>

#include "shared/base-model.h"

namespace inward {

struct layer_place {
    int  device   = 0;      // index into devices::all
    bool streamed = false;  // its weights lie on the host and are sent to the device each time that they are needed
};

struct placement {
    std::vector<layer_place> layers;
    int input = 0, output = 0;  // devices of the token embeddings and of what follows the last layer

    int     device_of(int layer) const;  // -1: the embeddings; as many as there are: what follows the last
    bool    streams() const;
    int64_t count(int device) const;
    int64_t count_streamed(int device) const;
    int64_t count_streamed() const;
};

// Layers whose weights a device holds at once of those that are streamed: while one is used, the next one comes.
constexpr int STREAM_SLOTS = 2;

// Every weight of a layer that there is.
std::vector<ggml_tensor *> tensors_of(const layer_weights & layer);
uint64_t                   bytes_of(const layer_weights & layer);

struct device_room {
    uint64_t bytes;   // for weights of layers
    bool     is_cpu;
};

// Layers go to the devices in their order, to each its share of all room.
// `stay`: so many layers' weights stay on the devices, the last ones of each; below 0: all that have room. The others are
// streamed; but where the first of several devices is a CPU and not all are, it computes what has no room on the others.
placement place_layers(const base_model & model, const std::vector<device_room> & rooms, int64_t stay);

}  // namespace inward
