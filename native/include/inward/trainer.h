// The trainer as the binding sees it: neither Node-API nor ggml shows here.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace inward {

struct trainer_options {
    std::string model_path;
    std::string binaries_folder;
    std::string fallback_folder;  // empty: none
    std::string device;        // one or several, as devices.h in shared/ has them
    // Layers whose weights stay on the devices, the last ones; those of the others are sent there one after the other, or
    // computed on the CPU where it is the first device. Below 0: as many as fit.
    int64_t     device_layers = -1;
    int         threads = 1;
    int         rank    = 0;
    float       alpha   = 0;
    float       dropout = 0;
    std::vector<std::string> targets;  // of q, k, v, o, gate, up, down
    bool        activation_checkpointing = false;
    int64_t     max_microbatch_tokens    = 0;
    int64_t     max_loss_rows            = 0;
    std::map<std::string, std::string> kernels;  // empty: measured
    uint64_t    memory_limit = 0;                // 0: what the device says is free
    bool        exact         = false;           // products of floats have float operands
    bool        ggml_operations = false;         // a CPU computes as other devices do, not with its own kernels
    int64_t     least_columns = 1;               // that no product over tokens or loss rows has fewer of
    float       loss_scale    = 1;               // a power of two; gradients are divided by it when they are read
};

// Packed examples; native/index.d.ts describes the arrays.
struct microbatch {
    std::vector<int32_t> token_ids, positions;
    std::vector<int32_t> segment_starts, segment_parents;
    std::vector<int32_t> loss_rows, loss_targets;
    std::vector<float>   loss_weights;
};

// Bytes on one device.
struct device_memory {
    std::string device;                     // cuda:0
    int64_t     layers = 0, streamed = 0;   // computed there; and of those, whose weights are sent there
    uint64_t    weights = 0;                // that stay, and the slots of those that are sent
    uint64_t    adapter = 0, compute = 0, optimizer = 0, available = 0;
    uint64_t    copies  = 0;                // that the device's library makes of operands, beside the graph
    uint64_t    needed() const { return weights + adapter + compute + optimizer + copies; }
    bool        is_cpu() const { return device == "cpu"; }
};

struct memory_plan {
    std::vector<device_memory> devices;
    // Beside the devices in the machine's memory: weights that are sent to them, what the CPU computes for them, work space
    // of the kernels, and logits on their way.
    uint64_t host_weights = 0, host_compute = 0, scratch = 0, host = 0, host_available = 0;

    // What the machine's memory must hold, its devices that are CPUs included.
    uint64_t host_needed() const;
    uint64_t total() const;    // over all devices and the machine's memory
    uint64_t largest() const;  // of any device; where all are CPUs, of the machine
    bool     fits() const { return short_of().empty(); }
    // Each memory that is too small, in words.
    std::vector<std::string> short_of() const;
};

struct tensor_info {
    std::string name;
    int64_t     ne0, ne1;
    int64_t     offset;  // floats into the flat arrays
};

struct trainer_description {
    std::string device_name, architecture;
    int64_t     layers, embedding, heads, kv_heads, feed_forward, vocabulary, context, parameters;
    std::vector<tensor_info>           tensors;
    std::map<std::string, std::string> kernels, kernel_timings;
    std::map<std::string, int>         fallbacks;
    memory_plan                        memory;
};

struct adamw_step {
    float learning_rate, weight_decay, beta1, beta2, epsilon;
    int   step;
    float gradient_scale, max_gradient_norm;
};

struct evaluation {
    std::vector<float>   logprobs;
    std::vector<uint8_t> is_best;
};

class trainer {
public:
    // throws inward::error: MODEL_*, TRAIN_MODEL, TRAIN_DEVICE, TRAIN_MEMORY, TRAIN_SETTINGS
    explicit trainer(const trainer_options & options);
    ~trainer();

    const trainer_description & describe() const;

    // returns the weighted sum of negative log-likelihoods, nats
    double     accumulate(const microbatch & batch, uint64_t dropout_seed);
    evaluation evaluate(const microbatch & batch);
    std::vector<float> logits(const microbatch & batch);

    // returns the scaled gradient's global L2 norm before clipping
    double update(const adamw_step & step);

    // each array has describe().parameters floats
    void gradients(float * out) const;
    void zero_gradients();
    void state(float * parameters, float * first_moments, float * second_moments) const;
    void set_state(const float * parameters, const float * first_moments, const float * second_moments);

    std::map<std::string, double> profile(const microbatch & batch);

private:
    struct impl;
    std::unique_ptr<impl> p;
};

// A product as the CPU's kernels compute it, for proofs and measurements: c [m x n] = factor a b, or that added to c, where a
// is [m x k] and b [k x n] as rows or, turned, as columns; rows stand close together.
struct float_product {
    int64_t            m, n, k;
    bool               turn_a, turn_b, add;
    float              factor;
    std::vector<float> a, b, c;
};

// By kernels that this processor has (avx512, avx2, plain). throws TRAIN_SHAPE, TRAIN_DEVICE
void multiply(float_product & product, const std::string & kernels);
// GFLOP/s of a [m x k] times the turned rows of a [n x k], which are cut over the threads.
double measure_products(int threads, int m, int n, int k);

}  // namespace inward
