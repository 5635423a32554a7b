#include <algorithm>
#include <chrono>
#include <cstdio>

#include "ggml-alloc.h"
#include "inward/error.h"
#include "train/graph.h"

namespace inward {

namespace {

constexpr int    ROUNDS  = 3;
constexpr double CLEARLY = 0.8;

bool all_floats(const projection_group & group) {
    return std::all_of(group.parts.begin(), group.parts.end(),
                       [](const projection & part) { return part.base.weight->type == GGML_TYPE_F32; });
}

// Best time of a few runs of one group's forward or backward products, milliseconds; below 0 when there is no memory
// for it.
double time_products(const graph_maker & maker, projection_group & group, bool backward, int64_t tokens) {
    const size_t nodes = 512 + (size_t) maker.model.hparams.vocabulary / 256;
    const size_t bytes = ggml_tensor_overhead() * nodes * 2 + ggml_graph_overhead_custom(nodes, false);
    model_graph  made;
    auto &       g = made.g;
    g.ctx     = ggml_init({ bytes, nullptr, /*no_alloc*/ true });
    g.graph   = ggml_new_graph_custom(g.ctx, nodes, false);
    g.tokens  = tokens;
    g.rows    = tokens;
    g.model   = &maker.model;
    g.backend = maker.backend;
    g.is_cpu  = maker.is_cpu;
    g.threads = maker.threads;
    g.takes_turned = maker.takes_turned;
    auto ops  = maker.operations_for(g);
    maker.add_inputs(g, true, true);
    auto input = [&](int64_t n) {
        auto * t = ggml_new_tensor_2d(g.ctx, GGML_TYPE_F32, n, tokens);
        ggml_set_input(t);
        // An input's memory is given to others after its last reader; these are read in every round.
        ggml_set_output(t);
        return t;
    };
    auto * x  = input(group.in);
    auto * xa = group.has_lora() ? input(group.rank_rows) : nullptr;
    auto * dy = backward ? input(group.out) : nullptr;
    auto * y  = backward ? ops->project_back(group, dy, x, xa, nullptr, true) : ops->project(group, x, xa, nullptr);
    ggml_build_forward_expand(g.graph, y);
    auto   alloc = ggml_gallocr_new(ggml_backend_get_default_buffer_type(maker.backend));
    double best  = -1;
    if (ggml_gallocr_alloc_graph(alloc, g.graph)) {
        // Ordinary numbers: zeros and denormals can be faster or slower than what training meets.
        for (auto * t : { x, xa, dy }) {
            if (!t || !t->buffer) continue;
            std::vector<float> values(ggml_nelements(t));
            for (size_t i = 0; i < values.size(); i++) {
                values[i] = (float) ((i * 2654435761u >> 16) % 1000) / 1000.0f - 0.5f;
            }
            ggml_backend_tensor_set(t, values.data(), 0, ggml_nbytes(t));
        }
        for (int round = 0; round < ROUNDS; round++) {
            const auto begun = std::chrono::steady_clock::now();
            ggml_backend_graph_compute(maker.backend, g.graph);
            const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begun;
            best = best < 0 ? took.count() : std::min(best, took.count());
        }
    }
    ggml_gallocr_free(alloc);
    return best;
}

// The kernels that keep the base's precision: floats stay floats. A quantized base is an approximation already, and
// llama.cpp itself rounds its activations, so there the faster one may round too.
std::vector<std::string> candidates(const graph_maker & maker, const projection_group & group, bool backward,
                                    bool exact) {
    if (maker.own_kernels) return { "own" };
    std::vector<std::string> names;
    if (backward) names.push_back(maker.takes_turned ? "out-prod" : "ggml-f32");
    else names.push_back(exact && !all_floats(group) ? "ggml-f32" : "ggml");
    if (backward && maker.is_cpu && !all_floats(group) && !exact) names.push_back("ggml-bf16");
    return names;
}

// Another kernel than the first must be clearly faster: two runs on one machine should choose alike, since kernels
// differ in last bits.
std::string fastest(const std::vector<std::pair<std::string, double>> & times, const std::string & first) {
    if (times.empty()) return first;
    auto best = times.begin();
    for (auto it = times.begin(); it != times.end(); ++it) {
        if (it->second < best->second * (best == times.begin() ? CLEARLY : 1.0)) best = it;
    }
    return best->first;
}

std::string measured(const std::vector<std::pair<std::string, double>> & times) {
    std::string text;
    for (const auto & [name, ms] : times) {
        char one[80];
        std::snprintf(one, sizeof one, "%s%s %.2f ms", text.empty() ? "" : ", ", name.c_str(), ms);
        text += one;
    }
    return text;
}

}  // namespace

void choose_kernels(graph_maker & maker, const std::map<std::string, std::string> & given, int64_t tokens, bool exact,
                    std::map<std::string, std::string> & chosen, std::map<std::string, std::string> & timings) {
    auto & first = maker.lora.groups[0];
    std::vector<projection_group *> shapes;
    for (auto & group : first) shapes.push_back(&group);
    shapes.push_back(&maker.output);
    for (auto * group : shapes) {
        for (bool backward : { false, true }) {
            auto &            kernel = backward ? group->backward_kernel : group->forward_kernel;
            const std::string key    = group->name + (backward ? ".backward" : ".forward");
            const auto        names  = candidates(maker, *group, backward, exact);
            auto              wanted = given.find(key);
            if (wanted == given.end()) wanted = given.find(backward ? "backward" : "forward");
            if (wanted != given.end()) {
                kernel = wanted->second;
                // Anything that this machine can do may be asked for, also what would not be chosen.
                const bool ggmls = backward ? kernel == "ggml-f32" || kernel == "ggml-bf16" || kernel == "out-prod"
                                            : kernel == "ggml" || kernel == "ggml-f32";
                if (maker.own_kernels ? kernel != "own" : !ggmls) {
                    throw error("TRAIN_DEVICE", "the kernel \"" + kernel + "\" for " + key + " cannot be had here");
                }
                chosen[key] = kernel;
                continue;
            }
            kernel = names.front();
            if (names.size() == 1) {
                chosen[key] = kernel;
                continue;
            }
            std::vector<std::pair<std::string, double>> times;
            for (const auto & name : names) {
                kernel = name;
                const int64_t n  = group == &maker.output ? std::min(tokens, maker.chunk_rows) : tokens;
                const double  ms = time_products(maker, *group, backward, n);
                if (ms >= 0) times.push_back({ name, ms });
            }
            kernel       = fastest(times, names.front());
            chosen[key]  = kernel;
            timings[key] = measured(times);
        }
    }
    chosen["attention"] = maker.own_kernels ? "own" : "ggml";
    for (auto & layer : maker.lora.groups) {
        for (size_t i = 0; i < layer.size(); i++) {
            layer[i].forward_kernel  = first[i].forward_kernel;
            layer[i].backward_kernel = first[i].backward_kernel;
        }
    }
}

}  // namespace inward
