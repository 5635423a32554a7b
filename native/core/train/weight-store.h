// The base's weights on the devices, and those that lie on the host and are sent there layer by layer.
#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "shared/base-model.h"
#include "shared/devices.h"
#include "train/placement.h"

namespace inward {

class weight_store {
public:
    weight_store(base_model & model, const devices & where);
    ~weight_store();
    weight_store(const weight_store &) = delete;

    // Weights belong to empty buffers of their devices, so that graphs can be laid out. May be called again.
    void plan(const placement & places);
    // As planned: what lies on each device, slots of streamed layers included; and on the host.
    std::vector<uint64_t> device_bytes() const;
    uint64_t              host_bytes() const;
    // Reads them all. throws TRAIN_MEMORY, MODEL_TRUNCATED
    void load();

    // --- streaming, while one graph runs
    // The streamed layers in the order in which the graph uses them.
    void begin(std::vector<int> visits);
    // Ends the visits before and waits until the weights of this one are there.
    void enter(size_t visit);
    void end();

private:
    using buffer = std::unique_ptr<ggml_backend_buffer, void (*)(ggml_backend_buffer *)>;

    base_model &    model_;
    const devices & devices_;
    placement       places_;
    std::vector<buffer> buffers_;  // of the planned, then of the loaded weights
    bool            is_loaded_ = false;

    // One copy of each streamed layer's weights on the host.
    struct host_layer {
        std::vector<ggml_tensor *> here, there;  // on the host, and in their slot on the device
        int                        slot = 0;     // device * STREAM_SLOTS + 0 or 1
    };
    ggml_context *          host_context_ = nullptr;
    std::vector<host_layer> host_;           // [layers]; empty where one stays
    std::vector<int>        occupant_;       // [slots] layer, or -1

    std::thread             sender_;
    std::mutex              mutex_;
    std::condition_variable changed_;
    std::vector<int>        visits_;
    size_t                  ended_ = 0, sent_ = 0;  // visits that are over; visits whose weights are there
    bool                    busy_ = false, stop_ = false;

    int  device_of(const ggml_tensor * tensor) const;
    std::vector<std::vector<ggml_tensor *>> by_device(bool streamed) const;
    void allocate(const std::vector<ggml_tensor *> & tensors, ggml_backend_buffer_type_t type, const std::string & where);
    void allocate_slots();
    void read(ggml_tensor * from, ggml_tensor * to);
    void send();
    bool slot_is_free(size_t visit) const;
};

}  // namespace inward
