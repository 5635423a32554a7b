// One base, one adapter, one device: runs the graphs over microbatches and updates the parameters.
#include "inward/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "ggml-alloc.h"
#include "inward/error.h"
#include "shared/devices.h"
#include "shared/libraries.h"
#include "shared/row-kernels.h"
#include "train/microbatch.h"
#include "train/optimizer.h"

namespace inward {

namespace {

// Before the first backend is loaded, since loading one talks.
const std::string & quietly(const std::string & folder) {
    ggml_log_set(quiet_log, nullptr);
    return folder;
}

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

// Loss rows whose logits exist at once. A GPU waits for its host between chunks.
constexpr int64_t CHUNK_ROWS     = 64;
constexpr int64_t GPU_CHUNK_ROWS = 512;
// Products over tokens are fastest on a GPU where rows begin at multiples of so many numbers.
constexpr int64_t GPU_TOKEN_STEP = 32;

int most_threads(int threads) { return std::max(threads, (int) std::min(16u, std::thread::hardware_concurrency())); }

// Room for what microbatches are filled up with.
trainer_options with_room(trainer_options o) {
    if (o.device == "cpu" && o.least_columns <= 1) return o;
    o.max_loss_rows += o.least_columns;
    o.max_microbatch_tokens += o.least_columns;
    if (o.device != "cpu") {
        o.max_microbatch_tokens = (o.max_microbatch_tokens + GPU_TOKEN_STEP - 1) / GPU_TOKEN_STEP * GPU_TOKEN_STEP;
    }
    return o;
}

// Lets a graph be laid out before its weights are allocated: they belong to an empty buffer for as long as this lives.
class planned_buffer {
public:
    planned_buffer(ggml_context * tensors, ggml_backend_t backend)
        : tensors_(tensors),
          buffer_(ggml_backend_buft_alloc_buffer(ggml_backend_get_default_buffer_type(backend), 0)) {
        set(buffer_);
    }
    ~planned_buffer() {
        set(nullptr);
        ggml_backend_buffer_free(buffer_);
    }
    planned_buffer(const planned_buffer &) = delete;

private:
    ggml_context *        tensors_;
    ggml_backend_buffer_t buffer_;

    void set(ggml_backend_buffer_t buffer) {
        for (auto t = ggml_get_first_tensor(tensors_); t; t = ggml_get_next_tensor(tensors_, t)) t->buffer = buffer;
    }
};

}  // namespace

struct trainer::impl {
    trainer_options          options;
    devices                  device;
    base_model               model;
    adapter                  lora;
    std::unique_ptr<blas>    library;
    workspace                work;
    graph_constants          constants;
    thread_team              fillers;  // of dropout masks
    projection_group         output;
    std::unique_ptr<model_parts> parts;
    std::vector<float>       rope_factors;
    std::unique_ptr<graph_maker> maker;
    std::unique_ptr<optimizer>   adamw;
    ggml_backend_sched_t         sched = nullptr;
    trainer_description          description;

    explicit impl(const trainer_options & o)
        : options(with_room(o)),
          device(quietly(o.binaries_folder), o.fallback_folder, o.device, o.threads),
          model(o.model_path),
          lora(model, o),
          constants(model.hparams, device.main),
          fillers(device.is_cpu ? o.threads : most_threads(o.threads)) {
        if (!o.blas_library.empty() && device.is_cpu) library = std::make_unique<blas>(o.blas_library);
        prepare_groups();
        maker.reset(new graph_maker{ model, lora, output, *parts, device.main, device.is_cpu, library != nullptr,
                                     o.threads, constants, device.is_cpu ? CHUNK_ROWS : GPU_CHUNK_ROWS,
                                     !device.is_cpu && multiplies_turned(device.main) });
        const uint64_t scratch = reserve_workspace();
        make_scheduler();
        // Before the weights are read: a run that will not fit is refused at once. Every kernel's graph is laid out
        // alike.
        assume_kernels();
        {
            const planned_buffer weights(model.tensors(), device.main), parameters(lora.context(), device.main);
            plan_memory(scratch);
        }
        model.load(device.main);
        lora.load(device.main);
        if (model.rope_factors) {
            rope_factors.resize(model.hparams.global_rope.width / 2);
            ggml_backend_tensor_get(model.rope_factors, rope_factors.data(), 0, ggml_nbytes(model.rope_factors));
        }
        choose_kernels(*maker, o.kernels, std::min<int64_t>(o.max_microbatch_tokens, 512), o.exact, description.kernels,
                       description.kernel_timings);
        zero_gradients();
        adamw = std::make_unique<optimizer>(lora, device.main);
        plan_memory(scratch);
        reserve();
        describe();
    }

    ~impl() {
        if (sched) ggml_backend_sched_free(sched);
    }

    void prepare_groups() {
        const auto & hp = model.hparams;
        parts           = std::make_unique<model_parts>(model, library.get(), &work);
        output.name     = "output";
        output.in       = hp.embedding;
        output.out      = hp.vocabulary;
        projection head;
        head.base  = model.output;
        head.out   = hp.vocabulary;
        head.a_row = -1;
        output.parts.push_back(head);
        auto finish = [&](projection_group & group) {
            group.library = library.get();
            group.work    = &work;
        };
        finish(output);
        for (auto & layer : lora.groups) std::for_each(layer.begin(), layer.end(), finish);
    }

    uint64_t reserve_workspace() {
        if (!library) return 0;
        int64_t most = std::max(parts->scratch(options.max_microbatch_tokens), linear_scratch(output));
        for (const auto & layer : lora.groups) {
            for (const auto & group : layer) most = std::max(most, linear_scratch(group));
        }
        work.of_thread.assign(options.threads, std::vector<float>(most));
        return (uint64_t) most * sizeof(float) * options.threads;
    }

    void make_scheduler() {
        std::vector<ggml_backend_t> backends = { device.main };
        if (!device.is_cpu) backends.push_back(device.cpu);
        const size_t nodes = maker->most_nodes(options.max_loss_rows);
        sched = ggml_backend_sched_new(backends.data(), nullptr, (int) backends.size(), nodes, false, true);
    }

    void assume_kernels() {
        auto assume = [&](projection_group & group) {
            group.forward_kernel  = library ? "blas" : options.exact ? "ggml-f32" : "ggml";
            group.backward_kernel = library ? "blas" : maker->takes_turned ? "out-prod" : "ggml-f32";
        };
        assume(output);
        for (auto & layer : lora.groups) std::for_each(layer.begin(), layer.end(), assume);
    }

    graph_settings train_settings() const {
        return { graph_kind::train, options.activation_checkpointing, options.dropout > 0 };
    }

    static graph_settings logits_settings() { return { graph_kind::logits, false, false }; }

    uint64_t compute_bytes(model_graph & graph) {
        size_t sizes[2] = { 0, 0 };
        ggml_backend_sched_reset(sched);
        ggml_backend_sched_reserve_size(sched, graph.g.graph, sizes);
        return device.is_cpu ? sizes[0] : sizes[0] + sizes[1];
    }

    void plan_memory(uint64_t scratch) {
        auto & memory = description.memory;
        const int64_t tokens = options.max_microbatch_tokens, rows = options.max_loss_rows;
        auto          train  = maker->make(train_settings(), tokens, rows);
        count_fallbacks(*train);
        const uint64_t training   = compute_bytes(*train);
        auto           evaluation = maker->make(logits_settings(), tokens, rows);
        memory.weights   = model.weight_bytes();
        memory.adapter   = 4 * ggml_nbytes(lora.parameters);
        memory.compute   = std::max(training, compute_bytes(*evaluation));
        memory.optimizer = adamw ? adamw->bytes() : 2 * ggml_nbytes(lora.parameters);
        memory.scratch   = scratch;
        memory.host      = sizeof(float) * model.hparams.vocabulary * std::min(rows, maker->chunk_rows);
        if (adamw) return;  // checked already
        memory.available = options.memory_limit ? options.memory_limit : device.free_memory();
        if (memory.total() > memory.available) {
            auto mib = [](uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; };
            throw error("TRAIN_MEMORY",
                        "training needs " + mib(memory.total()) + " (weights " + mib(memory.weights) + ", adapter " +
                            mib(memory.adapter) + ", activations of " + std::to_string(tokens) + " tokens " +
                            mib(memory.compute) + ", optimizer " + mib(memory.optimizer) + ", kernels " +
                            mib(memory.scratch) + "); there are " + mib(memory.available));
        }
    }

    // Takes the planned memory at once: what fits now does not fail in the middle of a run.
    void reserve() {
        auto train = maker->make(train_settings(), options.max_microbatch_tokens, options.max_loss_rows);
        ggml_backend_sched_reset(sched);
        if (!ggml_backend_sched_reserve(sched, train->g.graph)) {
            throw error("TRAIN_MEMORY", "the device has no room for " + std::to_string(description.memory.compute) +
                                            " bytes of activations");
        }
    }

    void count_fallbacks(const model_graph & graph) {
        description.fallbacks.clear();
        for (int i = 0; i < ggml_graph_n_nodes(graph.g.graph); i++) {
            auto * node = ggml_graph_node(graph.g.graph, i);
            if (!ggml_backend_supports_op(device.main, node)) description.fallbacks[ggml_op_desc(node)]++;
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
        d.parameters    = lora.count;
        d.tensors       = lora.tensors;
    }

    // Runs a graph over one microbatch; values of its outputs stay readable until the next run.
    std::unique_ptr<model_graph> run(const graph_settings & settings, const microbatch & given,
                                     uint64_t dropout_seed) {
        check_microbatch(given, model.hparams, options.max_microbatch_tokens, options.max_loss_rows);
        microbatch batch = filled_up(given, options.least_columns, maker->chunk_rows, token_step());
        for (auto & weight : batch.loss_weights) weight *= options.loss_scale;
        auto graph = maker->make(settings, (int64_t) batch.token_ids.size(), (int64_t) batch.loss_rows.size());
        if (library) parts->set(batch, options.threads);
        ggml_backend_sched_reset(sched);
        if (!ggml_backend_sched_alloc_graph(sched, graph->g.graph)) {
            throw error("TRAIN_MEMORY", "the device has no room for the activations of " +
                                            std::to_string(batch.token_ids.size()) + " tokens");
        }
        fill_inputs(*graph, batch, model.hparams, *parts, rope_factors.empty() ? nullptr : rope_factors.data());
        fill_dropout(*graph, options.dropout, dropout_seed, fillers);
        const auto status = ggml_backend_sched_graph_compute(sched, graph->g.graph);
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

    void zero_gradients() { ggml_backend_tensor_memset(lora.gradients, 0, 0, ggml_nbytes(lora.gradients)); }

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
            sched,
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
        std::vector<float> before(lora.count);
        ggml_backend_tensor_get(lora.gradients, before.data(), 0, before.size() * sizeof(float));
        try {
            run(train_settings(), batch, 0);
        } catch (...) {
            ggml_backend_sched_set_eval_callback(sched, nullptr, nullptr);
            throw;
        }
        ggml_backend_sched_set_eval_callback(sched, nullptr, nullptr);
        ggml_backend_tensor_set(lora.gradients, before.data(), 0, before.size() * sizeof(float));
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
    p->zero_gradients();
    return norm;
}

void trainer::zero_gradients() { p->zero_gradients(); }

std::map<std::string, double> trainer::profile(const microbatch & batch) { return p->profile(batch); }

void trainer::gradients(float * out) const {
    ggml_backend_tensor_get(p->lora.gradients, out, 0, p->lora.count * sizeof(float));
    for (int64_t i = 0; i < p->lora.count; i++) out[i] /= p->options.loss_scale;
}

void trainer::state(float * parameters, float * first_moments, float * second_moments) const {
    const size_t bytes = p->lora.count * sizeof(float);
    ggml_backend_tensor_get(p->lora.parameters, parameters, 0, bytes);
    ggml_backend_tensor_get(p->lora.first_moments, first_moments, 0, bytes);
    ggml_backend_tensor_get(p->lora.second_moments, second_moments, 0, bytes);
}

void trainer::set_state(const float * parameters, const float * first_moments, const float * second_moments) {
    const size_t bytes = p->lora.count * sizeof(float);
    ggml_backend_tensor_set(p->lora.parameters, parameters, 0, bytes);
    ggml_backend_tensor_set(p->lora.first_moments, first_moments, 0, bytes);
    ggml_backend_tensor_set(p->lora.second_moments, second_moments, 0, bytes);
}

}  // namespace inward
