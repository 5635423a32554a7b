#include "train/arrangement.h"

#include <algorithm>
#include <numeric>
#include <set>

namespace inward {

namespace {

// Loss rows whose logits exist at once. A GPU waits for its host between chunks.
constexpr int64_t CHUNK_ROWS     = 64;
constexpr int64_t GPU_CHUNK_ROWS = 512;

bool multiply_turned(const devices & where) {
    return !where.is_cpu && std::all_of(where.all.begin(), where.all.end(),
                                        [](const device & one) { return multiplies_turned(one.backend); });
}

projection_group output_of(const base_model & model) {
    projection_group output;
    output.name = "output";
    output.in   = model.hparams.embedding;
    output.out  = model.hparams.vocabulary;
    projection head;
    head.base  = model.output;
    head.out   = output.out;
    head.a_row = -1;
    output.parts.push_back(head);
    return output;
}

bool is_view(ggml_op op) {
    return op == GGML_OP_NONE || op == GGML_OP_VIEW || op == GGML_OP_RESHAPE || op == GGML_OP_PERMUTE ||
           op == GGML_OP_TRANSPOSE;
}

}  // namespace

arrangement::arrangement(const trainer_options & options, base_model & model, const devices & where,
                         weight_store & weights, const constants_by_device & constants, const placement & placed)
    : places(placed),
      lora(model, options, placed),
      output(output_of(model)),
      parts(model, &work),
      maker{ model, lora, output, parts, places, weights, where.main, where.is_cpu, where.is_cpu && !options.ggml_operations, options.threads,
             constants, where.is_cpu ? CHUNK_ROWS : GPU_CHUNK_ROWS, multiply_turned(where) },
      options_(options),
      devices_(where),
      weights_(weights),
      model_(model) {
    // Every kernel's graph is laid out alike.
    auto finish = [&](projection_group & group) {
        group.work            = &work;
        group.forward_kernel  = maker.own_kernels ? "own" : options.exact ? "ggml-f32" : "ggml";
        group.backward_kernel = maker.own_kernels ? "own" : maker.takes_turned ? "out-prod" : "ggml-f32";
    };
    finish(output);
    for (auto & layer : lora.groups) std::for_each(layer.begin(), layer.end(), finish);
    weights.plan(placed);
    lora.plan(where);

    // ggml's scheduler wants a CPU last.
    std::vector<ggml_backend_t> backends;
    backend_of_.resize(where.all.size());
    for (bool cpus : { false, true }) {
        for (size_t d = 0; d < where.all.size(); d++) {
            if (where.all[d].is_cpu != cpus) continue;
            backend_of_[d] = (int) backends.size();
            backends.push_back(where.all[d].backend);
        }
    }
    if (std::find(backends.begin(), backends.end(), where.cpu) == backends.end()) backends.push_back(where.cpu);
    backends_          = (int) backends.size();
    const size_t nodes = maker.most_nodes(options.max_loss_rows);
    scheduler_         = ggml_backend_sched_new(backends.data(), nullptr, backends_, nodes, false, false);
}

arrangement::~arrangement() { ggml_backend_sched_free(scheduler_); }

std::unique_ptr<model_graph> arrangement::make(const graph_settings & settings, int64_t tokens, int64_t rows) const {
    auto graph = maker.make(settings, tokens, rows);
    ggml_backend_sched_reset(scheduler_);
    place(*graph);
    return graph;
}

// On one device that keeps all weights the scheduler finds the same by itself.
void arrangement::place(const model_graph & graph) const {
    if (devices_.all.size() == 1 && !places.streams()) return;
    const auto & phases = graph.phases;
    for (size_t p = 0; p < phases.size(); p++) {
        const int last = p + 1 < phases.size() ? phases[p + 1].first : ggml_graph_n_nodes(graph.g.graph);
        auto      own  = devices_.all[places.device_of(phases[p].layer)].backend;
        for (int i = phases[p].first; i < last; i++) {
            auto * node = ggml_graph_node(graph.g.graph, i);
            if (is_view(node->op)) continue;
            ggml_backend_sched_set_tensor_backend(scheduler_, node,
                                                  ggml_backend_supports_op(own, node) ? own : devices_.cpu);
        }
    }
}

int64_t arrangement::scratch_floats() const {
    if (!maker.own_kernels) return 0;
    int64_t most = std::max(parts.scratch(options_.max_microbatch_tokens), linear_scratch(output));
    for (const auto & layer : lora.groups) {
        for (const auto & group : layer) most = std::max(most, linear_scratch(group));
    }
    return most;
}

void arrangement::reserve_workspace() { work.of_thread.assign(options_.threads, std::vector<float>(scratch_floats())); }

// [backends]
std::vector<uint64_t> arrangement::compute_bytes(const graph_settings & settings, int64_t tokens, int64_t rows) const {
    std::vector<size_t> sizes(backends_, 0);
    auto                graph = make(settings, tokens, rows);
    ggml_backend_sched_reserve_size(scheduler_, graph->g.graph, sizes.data());
    return { sizes.begin(), sizes.end() };
}

// CUDA's products of whole matrices read copies: of half-precision weights as floats, and for quantized ones of the
// activations in 8 bits. Its pool keeps room for every size that it once had where it cannot grow in place.
uint64_t arrangement::copies_bytes(int device, int64_t tokens) const {
    if (devices_.all[device].name.rfind("cuda", 0) != 0) return 0;
    std::set<uint64_t> sizes;
    auto add = [&](const projection_group & group) {
        for (const auto & part : group.parts) {
            const auto * w = part.base.weight;
            // Weights that become floats do so slice by slice, in the graph.
            if (w->type == GGML_TYPE_F32 || group.forward_kernel != "ggml") continue;
            const uint64_t in_bytes = (uint64_t) (w->ne[0] + 511) / 512 * 512 * 9 / 8;
            sizes.insert(ggml_is_quantized(w->type) ? in_bytes * (tokens + 128) : sizeof(float) * ggml_nelements(w));
        }
    };
    for (size_t l = 0; l < lora.groups.size(); l++) {
        if (places.device_of((int) l) == device) std::for_each(lora.groups[l].begin(), lora.groups[l].end(), add);
    }
    if (places.output == device) add(output);
    return std::accumulate(sizes.begin(), sizes.end(), uint64_t(0));
}

memory_plan arrangement::plan(bool checkpointing, int64_t tokens, int64_t rows) const {
    memory_plan made;
    const auto  training   = compute_bytes({ graph_kind::train, checkpointing, options_.dropout > 0 }, tokens, rows);
    const auto  evaluation = compute_bytes({ graph_kind::logits, false, false }, tokens, rows);
    const auto  weights    = weights_.device_bytes();
    for (size_t d = 0; d < devices_.all.size(); d++) {
        const int     at = backend_of_[d];
        device_memory one;
        one.device    = devices_.all[d].name;
        one.layers    = places.count((int) d);
        one.streamed  = places.count_streamed((int) d);
        one.weights   = weights[d];
        one.compute   = std::max(training[at], evaluation[at]);
        one.copies    = copies_bytes((int) d, tokens);
        one.available = options_.memory_limit ? options_.memory_limit : devices_.all[d].free_memory();
        for (const auto & flat : lora.flats) {
            if (flat.device != (int) d) continue;
            one.adapter += flat.bytes();
            one.optimizer += flat.bytes() / 2;
        }
        made.devices.push_back(one);
    }
    if (backends_ > (int) devices_.all.size()) made.host_compute = std::max(training.back(), evaluation.back());
    made.host_weights = weights_.host_bytes();
    made.scratch      = (uint64_t) scratch_floats() * sizeof(float) * options_.threads;
    made.host         = sizeof(float) * model_.hparams.vocabulary * std::min(rows, maker.chunk_rows);
    device host;
    host.handle         = ggml_backend_get_device(devices_.cpu);
    made.host_available = options_.memory_limit && devices_.is_cpu ? options_.memory_limit : host.free_memory();
    return made;
}

std::map<std::string, int> arrangement::fallbacks(const graph_settings & settings, int64_t tokens, int64_t rows) const {
    std::map<std::string, int> found;
    const auto   graph  = maker.make(settings, tokens, rows);
    const auto & phases = graph->phases;
    for (size_t p = 0; p < phases.size(); p++) {
        const int last = p + 1 < phases.size() ? phases[p + 1].first : ggml_graph_n_nodes(graph->g.graph);
        auto      own  = devices_.all[places.device_of(phases[p].layer)].backend;
        for (int i = phases[p].first; i < last; i++) {
            auto * node = ggml_graph_node(graph->g.graph, i);
            // Ours are the CPU's own; beside a GPU they only wait for weights.
            if (node->op != GGML_OP_CUSTOM && !ggml_backend_supports_op(own, node)) found[ggml_op_desc(node)]++;
        }
    }
    return found;
}

}  // namespace inward
