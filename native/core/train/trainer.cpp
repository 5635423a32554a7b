// One base, one adapter, on one or several devices: runs the graphs over microbatches and updates the parameters.
#include "inward/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <thread>

#include "inward/error.h"
#include "shared/devices.h"
#include "shared/libraries.h"
#include "shared/row-kernels.h"
#include "train/fit-memory.h"
#include "train/microbatch.h"
#include "train/optimizer.h"

namespace inward {

namespace {

// Before the first backend is loaded, since loading one talks.
const std::string & quietly(const std::string & folder) {
    ggml_log_set(quiet_log, nullptr);
    return folder;
}

// Beside the kernels: how many layers, the first ones, a CPU computes before other devices.
constexpr const char * CPU_LAYERS = "layers.cpu";

std::string number(double v) {
    const std::string text = std::to_string(v);
    return text.substr(0, text.find_last_not_of("0.") + 1 == 0 ? 1 : text.size());
}

// throws inward::error TRAIN_SETTINGS
void check_options(const trainer_options & o) {
    auto refuse = [](const std::string & what) { throw error("TRAIN_SETTINGS", what); };
    if (o.threads < 1 || o.threads > 512) refuse("threads is " + std::to_string(o.threads) + "; it must be 1 to 512");
    if (o.rank < 1 || o.rank > 1 << 14) refuse("rank is " + std::to_string(o.rank) + "; it must be 1 to 16384");
    if (!(o.alpha > 0) || !std::isfinite(o.alpha)) refuse("alpha is " + number(o.alpha) + "; it must be above 0");
    if (!(o.dropout >= 0 && o.dropout < 1)) refuse("dropout is " + number(o.dropout) + "; it must be 0 to below 1");
    if (o.targets.empty()) refuse("targets is empty: nothing would be trained");
    for (const auto & target : o.targets) {
        static const char * const known[] = { "q", "k", "v", "o", "gate", "up", "down" };
        if (std::find(std::begin(known), std::end(known), target) == std::end(known)) {
            refuse("there is no target \"" + target + "\"");
        }
        if (std::count(o.targets.begin(), o.targets.end(), target) > 1) {
            refuse("the target \"" + target + "\" stands twice");
        }
    }
    if (o.max_microbatch_tokens < 1 || o.max_loss_rows < 1 || o.max_loss_rows > o.max_microbatch_tokens) {
        refuse("a microbatch of " + std::to_string(o.max_microbatch_tokens) + " tokens cannot have " +
               std::to_string(o.max_loss_rows) + " loss rows");
    }
}

// Products over tokens are fastest on a GPU where rows begin at multiples of so many numbers.
constexpr int64_t GPU_TOKEN_STEP = 32;

// Those whose gradients are proven.
const std::vector<ggml_type> TRAINED_TYPES = {
    GGML_TYPE_F32,  GGML_TYPE_F16,  GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0, GGML_TYPE_Q4_1,
    GGML_TYPE_Q5_0, GGML_TYPE_Q5_1, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K,
};

int most_threads(int threads) { return std::max(threads, (int) std::min(16u, std::thread::hardware_concurrency())); }

// Room for what microbatches are filled up with.
trainer_options with_room(trainer_options o) {
    const bool only_cpus = o.device.find_first_not_of("cpu,") == std::string::npos;
    if (only_cpus && o.least_columns <= 1) return o;
    o.max_loss_rows += o.least_columns;
    o.max_microbatch_tokens += o.least_columns;
    if (!only_cpus) {
        o.max_microbatch_tokens = (o.max_microbatch_tokens + GPU_TOKEN_STEP - 1) / GPU_TOKEN_STEP * GPU_TOKEN_STEP;
    }
    return o;
}

}  // namespace

struct trainer::impl {
    trainer_options              options;
    devices                      device;
    base_model                   model;
    weight_store                 weights;
    constants_by_device          constants;
    thread_team                  fillers;  // of dropout masks
    std::unique_ptr<arrangement> laid;
    std::unique_ptr<optimizer>   adamw;
    std::vector<float>           rope_factors;
    trainer_description          description;

    explicit impl(const trainer_options & o)
        : options(with_room(o)),
          device(quietly(o.binaries_folder), o.fallback_folder, o.device, o.threads),
          model(o.model_path, TRAINED_TYPES),
          weights(model, device),
          constants(constants_on(device, model.hparams)),
          fillers(device.is_cpu ? o.threads : most_threads(o.threads)) {
        // As many layers on the CPU as in the run that these kernels are of.
        const auto before = o.kernels.find(CPU_LAYERS);
        if (before != o.kernels.end()) options.device_layers = model.hparams.layers - std::strtoll(before->second.c_str(), nullptr, 10);
        // Before the weights are read: a run that will not fit is refused at once.
        laid = fit_memory(options, model, device, weights, constants, description.memory);
        laid->reserve_workspace();
        weights.load();
        laid->lora.load(device);
        if (model.rope_factors) {
            rope_factors.resize(model.hparams.global_rope.width / 2);
            ggml_backend_tensor_get(model.rope_factors, rope_factors.data(), 0, ggml_nbytes(model.rope_factors));
        }
        choose_kernels(laid->maker, o.kernels, std::min<int64_t>(o.max_microbatch_tokens, 512), o.exact, description.kernels,
                       description.kernel_timings);
        // Where layers are computed by different kinds of device, it is part of how.
        if (!device.is_cpu && device.all.front().is_cpu) {
            description.kernels[CPU_LAYERS] = std::to_string(laid->places.count(0));
        }
        laid->lora.zero_gradients();
        adamw = std::make_unique<optimizer>(laid->lora, device);
        replan();
        reserve();
        describe();
    }

    graph_settings train_settings() const {
        return { graph_kind::train, options.activation_checkpointing, options.dropout > 0 };
    }

    static graph_settings logits_settings() { return { graph_kind::logits, false, false }; }

    // With the kernels and the optimizer as they are now; what was free stands as it was found before.
    void replan() {
        const auto before = description.memory;
        auto &     memory = description.memory;
        memory = laid->plan(options.activation_checkpointing, options.max_microbatch_tokens, options.max_loss_rows);
        memory.host_available = before.host_available;
        for (size_t d = 0; d < memory.devices.size(); d++) {
            memory.devices[d].available = before.devices[d].available;
            memory.devices[d].optimizer = adamw->bytes((int) d);
        }
        description.fallbacks =
            laid->fallbacks(train_settings(), options.max_microbatch_tokens, options.max_loss_rows);
    }

    // Takes the planned memory at once: what fits now does not fail in the middle of a run.
    void reserve() {
        auto train = laid->make(train_settings(), options.max_microbatch_tokens, options.max_loss_rows);
        if (!ggml_backend_sched_reserve(laid->scheduler(), train->g.graph)) {
            throw error("TRAIN_MEMORY", "there is no room for the activations of " +
                                            std::to_string(options.max_microbatch_tokens) + " tokens");
        }
    }

    void describe() {
        const auto & hp = model.hparams;
        auto &       d  = description;
        d.device_name   = device.name;
        d.architecture  = hp.architecture;
        d.layers        = hp.layers;
        d.embedding     = hp.embedding;
        d.heads         = hp.heads;
        d.kv_heads      = hp.kv_heads;
        d.feed_forward  = hp.feed_forward;
        d.vocabulary    = hp.vocabulary;
        d.context       = hp.context;
        d.parameters    = laid->lora.count;
        d.tensors       = laid->lora.tensors;
    }

    // Runs a graph over one microbatch; values of its outputs stay readable until the next run.
    std::unique_ptr<model_graph> run(const graph_settings & settings, const microbatch & given,
                                     uint64_t dropout_seed) {
        check_microbatch(given, model.hparams, options.max_microbatch_tokens, options.max_loss_rows);
        microbatch batch = filled_up(given, options.least_columns, laid->maker.chunk_rows, token_step());
        for (auto & weight : batch.loss_weights) weight *= options.loss_scale;
        auto graph = laid->make(settings, (int64_t) batch.token_ids.size(), (int64_t) batch.loss_rows.size());
        if (laid->maker.own_kernels) laid->parts.set(batch, options.threads);
        if (!ggml_backend_sched_alloc_graph(laid->scheduler(), graph->g.graph)) {
            throw error("TRAIN_MEMORY", "the device has no room for the activations of " +
                                            std::to_string(batch.token_ids.size()) + " tokens");
        }
        fill_inputs(*graph, batch, model.hparams, laid->parts, rope_factors.empty() ? nullptr : rope_factors.data());
        fill_dropout(*graph, options.dropout, dropout_seed, fillers);
        weights.begin(graph->streamed);
        const auto status = ggml_backend_sched_graph_compute(laid->scheduler(), graph->g.graph);
        weights.end();
        if (status == GGML_STATUS_ALLOC_FAILED) {
            throw error("TRAIN_MEMORY", "the device ran out of memory while computing");
        }
        if (status != GGML_STATUS_SUCCESS) {
            throw error("TRAIN_DEVICE",
                        std::string("the device stopped with status ") + ggml_status_to_string(status));
        }
        return graph;
    }

    int64_t token_step() const { return device.is_cpu ? 1 : GPU_TOKEN_STEP; }

    double accumulate(const microbatch & batch, uint64_t dropout_seed) {
        auto graph = run(train_settings(), batch, dropout_seed);
        read_logprobs(*graph);
        double loss = 0;
        for (size_t i = 0; i < batch.loss_rows.size(); i++) {
            loss -= (double) batch.loss_weights[i] * graph->row_logprobs[i];
        }
        return loss;
    }

    static void read_logprobs(model_graph & graph) {
        size_t row = 0;
        for (auto * chunk : graph.logprobs) {
            std::vector<float> values(ggml_nelements(chunk));
            ggml_backend_tensor_get(chunk, values.data(), 0, ggml_nbytes(chunk));
            for (float v : values) graph.row_logprobs[row++] = v;
        }
    }

    std::vector<float> logits(const microbatch & batch) {
        auto               graph = run(logits_settings(), batch, 0);
        std::vector<float> all(graph->g.rows * model.hparams.vocabulary);
        size_t             at = 0;
        for (auto * chunk : graph->logits) {
            ggml_backend_tensor_get(chunk, all.data() + at, 0, ggml_nbytes(chunk));
            at += ggml_nelements(chunk);
        }
        all.resize(batch.loss_rows.size() * model.hparams.vocabulary);
        return all;
    }

    evaluation evaluate(const microbatch & batch) {
        auto               graph = run(logits_settings(), batch, 0);
        evaluation         result;
        const int64_t      n = model.hparams.vocabulary;
        std::vector<float> values;
        for (auto * chunk : graph->logits) {
            values.resize(ggml_nelements(chunk));
            ggml_backend_tensor_get(chunk, values.data(), 0, ggml_nbytes(chunk));
            const int64_t left = (int64_t) (batch.loss_rows.size() - result.logprobs.size());
            for (int64_t r = 0; r < std::min(chunk->ne[1], left); r++) {
                const int32_t wanted = batch.loss_targets[result.logprobs.size()];
                float *       row    = values.data() + r * n;
                const float   target = row[wanted];
                const int64_t best   = std::max_element(row, row + n) - row;  // ties: the lowest id
                const float   top    = row[best];
                double        sum    = 0;
                for (int64_t i = 0; i < n; i += 1024) sum += exp_sum(row + i, std::min<int64_t>(1024, n - i), top);
                result.logprobs.push_back((float) ((double) target - (double) top - std::log(sum)));
                result.is_best.push_back(best == wanted);
            }
        }
        return result;
    }

    std::map<std::string, double> profile(const microbatch & batch) {
        struct clock {
            std::map<std::string, double>         spent;
            std::chrono::steady_clock::time_point last;
        } watch;
        ggml_backend_sched_set_eval_callback(
            laid->scheduler(),
            [](ggml_tensor * node, bool ask, void * data) {
                auto &     w   = *(clock *) data;
                const auto now = std::chrono::steady_clock::now();
                if (!ask) {
                    const bool ours = node->op == GGML_OP_CUSTOM || node->op == GGML_OP_MAP_CUSTOM1;
                    const std::chrono::duration<double, std::milli> took = now - w.last;
                    w.spent[ours ? node->name : ggml_op_desc(node)] += took.count();
                }
                w.last = std::chrono::steady_clock::now();
                return true;
            },
            &watch);
        std::vector<float> before(laid->lora.count);
        laid->lora.get(&flat_arrays::gradients, before.data());
        try {
            run(train_settings(), batch, 0);
        } catch (...) {
            ggml_backend_sched_set_eval_callback(laid->scheduler(), nullptr, nullptr);
            throw;
        }
        ggml_backend_sched_set_eval_callback(laid->scheduler(), nullptr, nullptr);
        laid->lora.set(&flat_arrays::gradients, before.data());
        return watch.spent;
    }
};

trainer::trainer(const trainer_options & options) {
    check_options(options);
    p = std::make_unique<impl>(options);
}
trainer::~trainer() = default;

const trainer_description & trainer::describe() const { return p->description; }

double trainer::accumulate(const microbatch & batch, uint64_t dropout_seed) {
    return p->accumulate(batch, dropout_seed);
}

evaluation         trainer::evaluate(const microbatch & batch) { return p->evaluate(batch); }
std::vector<float> trainer::logits(const microbatch & batch) { return p->logits(batch); }

double trainer::update(const adamw_step & step) {
    adamw_step scaled = step;
    scaled.gradient_scale /= p->options.loss_scale;
    const double norm = p->adamw->update(scaled);
    p->laid->lora.zero_gradients();
    return norm;
}

void trainer::zero_gradients() { p->laid->lora.zero_gradients(); }

std::map<std::string, double> trainer::profile(const microbatch & batch) { return p->profile(batch); }

void trainer::gradients(float * out) const {
    p->laid->lora.get(&flat_arrays::gradients, out);
    for (int64_t i = 0; i < p->laid->lora.count; i++) out[i] /= p->options.loss_scale;
}

void trainer::state(float * parameters, float * first_moments, float * second_moments) const {
    p->laid->lora.get(&flat_arrays::parameters, parameters);
    p->laid->lora.get(&flat_arrays::first_moments, first_moments);
    p->laid->lora.get(&flat_arrays::second_moments, second_moments);
}

void trainer::set_state(const float * parameters, const float * first_moments, const float * second_moments) {
    p->laid->lora.set(&flat_arrays::parameters, parameters);
    p->laid->lora.set(&flat_arrays::first_moments, first_moments);
    p->laid->lora.set(&flat_arrays::second_moments, second_moments);
}

}  // namespace inward
