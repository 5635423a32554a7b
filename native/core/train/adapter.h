// The trained parameters: every A and B of the adapter as views into four flat arrays, on each device those of its layers.
#pragma once
#include <string>
#include <vector>

#include "inward/trainer.h"
#include "shared/base-model.h"
#include "shared/devices.h"
#include "train/placement.h"

namespace inward {

// One projection and its LoRA pair, if it has one.
struct projection {
    linear_weights base;
    int64_t        out = 0;
    ggml_tensor *  b = nullptr, * grad_b = nullptr;  // [rank, out]
    int64_t        a_row = 0;                        // its first row in the group's A
};

// Work space of the kernels, one buffer for each thread: allocated once, so that it can be planned for.
struct workspace {
    std::vector<std::vector<float>> of_thread;
};

// Projections that read the same input; their A matrices stand below each other in one.
struct projection_group {
    std::string             name;  // qkv, o, gate_up, down, output
    std::vector<projection> parts;
    int64_t                 in = 0, out = 0;  // out: of all parts
    int64_t                 rank_rows = 0;    // rows of A: rank times the number of parts with a pair
    int64_t                 rank = 0;
    ggml_tensor *           a = nullptr, * grad_a = nullptr;  // [in, rank_rows]
    float                   scale = 0;                        // alpha / rank
    // How its products are computed; kernels.h names the choices.
    std::string forward_kernel, backward_kernel;
    workspace * work = nullptr;
    bool has_lora() const { return rank_rows > 0; }
};

enum group_index { GROUP_QKV, GROUP_O, GROUP_GATE_UP, GROUP_DOWN, GROUPS_PER_LAYER };

// The parameters of the layers of one device, which stand together: layers lie on devices in their order.
struct flat_arrays {
    int     device = 0;
    int64_t first = 0, count = 0;  // floats, parameters and padding between them
    ggml_tensor * parameters = nullptr, * gradients = nullptr, * first_moments = nullptr, * second_moments = nullptr;

    ggml_context *        context = nullptr;
    ggml_backend_buffer_t buffer  = nullptr;

    uint64_t bytes() const { return 4 * ggml_nbytes(parameters); }
};

class adapter {
public:
    // Lays the parameters out; allocates nothing on the devices. throws TRAIN_SETTINGS
    adapter(const base_model & model, const trainer_options & options, const placement & places);
    ~adapter();
    adapter(const adapter &) = delete;

    void plan(const devices & where);  // they belong to empty buffers, so that graphs can be laid out
    void load(const devices & where);  // allocates; everything is zero. throws TRAIN_MEMORY

    // [layer][group_index]
    std::vector<std::vector<projection_group>> groups;
    std::vector<tensor_info>                   tensors;
    std::vector<flat_arrays>                   flats;
    int64_t                                    count = 0;  // floats, over all devices

    void zero_gradients();
    // One array over all devices, [count]
    using array = ggml_tensor * flat_arrays::*;
    void get(array which, float * out) const;
    void set(array which, const float * values);
};

}  // namespace inward
