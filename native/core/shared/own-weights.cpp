#include "shared/own-weights.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <new>

#include "gguf.h"
#include "inward/error.h"

namespace inward {

namespace {

// A thread reads whole panels, so that no two write one, and as many as stay in its cache.
constexpr int64_t BYTES_AT_ONCE = 1 << 18;
// Of those, what it takes at once: more than a large page, which two threads would otherwise both clear.
constexpr int64_t TAKEN_AT_ONCE = 16;
constexpr int64_t CACHE_LINE    = 64;

std::vector<ggml_type> taken_types() {
    std::vector<ggml_type> found;
    for (int i = 0; i < GGML_TYPE_COUNT; i++) {
        if (layout_of((ggml_type) i).group > 0) found.push_back((ggml_type) i);
    }
    return found;
}

// Of a matrix, in lines of the cache of its own.
int64_t packed_bytes(ggml_type type, int64_t in, int64_t out) {
    return (packed_matrix::bytes(type, in, out) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

// Hands out pieces of one block.
struct cutter {
    uint8_t * at;
    packed_matrix cut(ggml_type type, int64_t in, int64_t out) {
        const packed_matrix made(at, type, in, out);
        at += packed_bytes(type, in, out);
        return made;
    }
};

std::vector<float> read_vector(const base_model & model, const ggml_tensor * from) {
    std::vector<float> values;
    if (!from) return values;
    std::vector<char> bytes;
    model.read(from, 0, (int64_t) ggml_nbytes(from), bytes);
    values.resize(from->ne[0]);
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
}

// Matrices that are to be read, by all threads: most of the time goes into memory that nobody touched before.
class matrix_reader {
public:
    explicit matrix_reader(const base_model & model) : model_(model) {}

    void add(const ggml_tensor * from, const packed_matrix & to) {
        const int64_t rows = std::max<int64_t>(1, BYTES_AT_ONCE / (PANEL * (int64_t) from->nb[1])) * PANEL;
        for (int64_t row = 0; row < from->ne[1]; row += rows) {
            pieces_.push_back({ from, to, row, std::min(rows, from->ne[1] - row) });
        }
    }

    void read(thread_team & team) const {
        std::mutex         mutex;
        std::exception_ptr failed;
        team.run(1, [&](team_member & member) {
            std::vector<char>  bytes;
            std::vector<float> scratch;
            member.each((int64_t) pieces_.size(), TAKEN_AT_ONCE, [&](int64_t first, int64_t last) {
                // The others wait for every thread: none may leave.
                try {
                    for (int64_t i = first; i < last; i++) read(pieces_[i], bytes, scratch);
                } catch (...) {
                    const std::lock_guard<std::mutex> held(mutex);
                    if (!failed) failed = std::current_exception();
                }
            });
        });
        if (failed) std::rethrow_exception(failed);
    }

private:
    struct piece {
        const ggml_tensor * from;
        packed_matrix       to;
        int64_t             row, count;
    };

    const base_model & model_;
    std::vector<piece> pieces_;

    void read(const piece & one, std::vector<char> & bytes, std::vector<float> & scratch) const {
        const auto width = (int64_t) one.from->nb[1];
        model_.read(one.from, one.row * width, one.count * width, bytes);
        one.to.put(one.row, one.count, one.from->type, bytes.data(), scratch);
    }
};

// A LoRA adapter's tensors in memory.
struct lora_file {
    ::gguf_context * header = nullptr;
    ggml_context *   tensors = nullptr;
    float            alpha = 0;

    lora_file(const std::string & path, const std::string & architecture) {
        header = gguf_init_from_file(path.c_str(), { /*no_alloc*/ false, &tensors });
        if (!header) throw error("ADAPTER_INVALID", path + " cannot be read as a GGUF file");
        // Shapes may fit another architecture's projections, whose heads stand in another order.
        const int64_t     id = gguf_find_key(header, "general.architecture");
        const std::string base =
            id >= 0 && gguf_get_kv_type(header, id) == GGUF_TYPE_STRING ? gguf_get_val_str(header, id) : "";
        if (base != architecture) {
            throw error("ADAPTER_INVALID",
                        path + " is for a model of architecture \"" + base + "\"; this one is " + architecture);
        }
        const int64_t key = gguf_find_key(header, "adapter.lora.alpha");
        if (key >= 0 && gguf_get_kv_type(header, key) == GGUF_TYPE_FLOAT32) alpha = gguf_get_val_f32(header, key);
    }
    ~lora_file() {
        if (tensors) ggml_free(tensors);
        if (header) gguf_free(header);
    }
    lora_file(const lora_file &) = delete;

    const ggml_tensor * find(const std::string & name) const { return ggml_get_tensor(tensors, name.c_str()); }
};

int64_t packed_bytes(const base_model & model) {
    int64_t sum = 0;
    auto    add = [&](const ggml_tensor * matrix) { sum += packed_bytes(matrix->type, matrix->ne[0], matrix->ne[1]); };
    for (const auto & layer : model.layers) {
        for (const auto * group : { &layer.qkv, &layer.gate_up }) {
            for (const auto & one : *group) add(one.weight);
        }
        add(layer.o.weight);
        add(layer.down.weight);
    }
    add(model.output.weight);
    if (model.output.weight != model.token_embedding) add(model.token_embedding);
    return sum;
}

}  // namespace

std::vector<float> decode_weights(const std::string & type, const std::vector<uint8_t> & bytes, int64_t columns,
                                  const std::string & by) {
    int number = 0;
    while (number < GGML_TYPE_COUNT && (layout_of((ggml_type) number).group == 0 ||
                                        ggml_type_name((ggml_type) number) != type)) {
        number++;
    }
    const auto known = (ggml_type) number;
    if (number == GGML_TYPE_COUNT || columns < 1 || columns % layout_of(known).group != 0 || bytes.empty() ||
        bytes.size() % ggml_row_size(known, columns) != 0) {
        throw error("MODEL_TENSOR_TYPE", std::to_string(bytes.size()) + " bytes are no rows of " +
                                             std::to_string(columns) + " weights of type " + type);
    }
    const size_t       width = ggml_row_size(known, columns);
    const int64_t      rows  = (int64_t) (bytes.size() / width);
    std::vector<float> floats(rows * columns), scratch;
    if (by == "ggml") {
        const auto to_float = ggml_get_type_traits(known)->to_float;
        if (!to_float) std::memcpy(floats.data(), bytes.data(), bytes.size());
        else to_float(bytes.data(), floats.data(), rows * columns);
        return floats;
    }
    const auto *  kernels = kernels_named(by);
    if (!kernels) throw error("MODEL_TENSOR_TYPE", "this processor has no kernels " + by);
    const memory_block  memory(packed_matrix::bytes(known, columns, rows));
    const packed_matrix matrix(memory.data(), known, columns, rows, *kernels);
    matrix.put(0, rows, known, bytes.data(), scratch);
    for (int64_t row = 0; row < rows; row++) matrix.get(row, floats.data() + row * columns);
    return floats;
}

int64_t packed_group::out() const {
    int64_t sum = 0;
    for (const auto & part : parts) sum += part.weight.out();
    return sum;
}

bool packed_group::has_pairs() const {
    return std::any_of(parts.begin(), parts.end(), [](const packed_projection & part) { return !part.pairs.empty(); });
}

template <typename Each> void own_weights::each_group(const Each & each) {
    for (auto & layer : layers) {
        for (auto * group : { &layer.qkv, &layer.o, &layer.gate_up, &layer.down }) each(*group);
    }
    each(output);
}

own_weights::own_weights(const std::string & path) {
    try {
        model_             = std::make_unique<base_model>(path, taken_types());
        const auto & model = *model_;
        hparams            = model.hparams;
        tied_              = model.output.weight == model.token_embedding;
        bytes_             = (uint64_t) packed_bytes(model);
    } catch (const error & refused) {
        if (refused.code != "TRAIN_MODEL" && refused.code != "MODEL_ARCHITECTURE") throw;
        throw error("ENGINE_UNAVAILABLE", std::string("engine.forward own cannot evaluate this model (") +
                                              refused.what() + "); set engine.forward to llama.cpp");
    }
}

void own_weights::load(thread_team & team) {
    const auto   file  = std::move(model_);
    const auto & model = *file;
    try {
        block_ = memory_block((int64_t) bytes());
    } catch (const std::bad_alloc &) {
        throw error("ENGINE_MEMORY", "there is no room for " + std::to_string(bytes()) + " bytes of weights");
    }
    cutter        pieces{ block_.data() };
    matrix_reader matrices(model);
    auto          vector = [&](const ggml_tensor * from) { return read_vector(model, from); };
    auto          take = [&](packed_group & group, const linear_weights & from) {
        packed_projection part;
        part.name   = from.name;
        part.weight = pieces.cut(from.weight->type, from.weight->ne[0], from.weight->ne[1]);
        part.bias   = vector(from.bias);
        matrices.add(from.weight, part.weight);
        group.parts.push_back(std::move(part));
    };
    layers.resize(model.layers.size());
    for (size_t l = 0; l < layers.size(); l++) {
        const auto & from = model.layers[l];
        auto &       to   = layers[l];
        to.attention_norm         = vector(from.attention_norm);
        to.feed_forward_norm      = vector(from.feed_forward_norm);
        to.attention_post_norm    = vector(from.attention_post_norm);
        to.feed_forward_post_norm = vector(from.feed_forward_post_norm);
        to.q_norm                 = vector(from.q_norm);
        to.k_norm                 = vector(from.k_norm);
        for (const auto & one : from.qkv) take(to.qkv, one);
        take(to.o, from.o);
        for (const auto & one : from.gate_up) take(to.gate_up, one);
        take(to.down, from.down);
    }
    output_norm  = vector(model.output_norm);
    rope_factors = vector(model.rope_factors);
    take(output, model.output);
    embedding = output.parts[0].weight;
    if (!tied_) {
        embedding = pieces.cut(model.token_embedding->type, hparams.embedding, hparams.vocabulary);
        matrices.add(model.token_embedding, embedding);
    }
    matrices.read(team);
}

void own_weights::set_adapters(const std::vector<adapter_choice> & chosen) {
    std::map<std::string, packed_projection *> places;
    each_group([&](packed_group & group) {
        for (auto & part : group.parts) {
            if (&group != &output || !tied_) places[part.name + ".weight"] = &part;
        }
    });
    std::vector<std::unique_ptr<lora_file>> files;
    struct found_pair {
        packed_projection * part;
        const ggml_tensor * a, * b;
        float               scale;
    };
    std::vector<found_pair> found;
    int64_t                 bytes = 0;
    for (const auto & one : chosen) {
        files.push_back(std::make_unique<lora_file>(one.path, hparams.architecture));
        const auto & file = *files.back();
        for (auto t = ggml_get_first_tensor(file.tensors); t; t = ggml_get_next_tensor(file.tensors, t)) {
            const std::string name = t->name;
            const size_t      end  = name.rfind(".lora_a");
            if (end == std::string::npos || end + 7 != name.size()) {
                if (name.size() > 7 && name.rfind(".lora_b") == name.size() - 7) continue;
                // The whole of the file as one tensor, of which the others are views.
                if (name.find(".lora_") == std::string::npos && t->type == GGML_TYPE_I8) continue;
                throw error("ADAPTER_INVALID", one.path + ": its tensor " + name + " is no half of a LoRA pair");
            }
            const auto   place = places.find(name.substr(0, end));
            const auto * b     = file.find(name.substr(0, end) + ".lora_b");
            if (place == places.end() || !b || t->ne[0] != place->second->weight.in() ||
                b->ne[1] != place->second->weight.out() || t->ne[1] != b->ne[0]) {
                throw error("ADAPTER_INVALID",
                            one.path + ": its pair for " + name.substr(0, end) + " does not fit this model");
            }
            // As llama.cpp: without alpha the rank does not divide either.
            const float scale = file.alpha != 0 ? one.scale * file.alpha / (float) b->ne[0] : one.scale;
            found.push_back({ place->second, t, b, scale });
            bytes += packed_bytes(GGML_TYPE_F32, t->ne[0], t->ne[1]) + packed_bytes(GGML_TYPE_F32, b->ne[0], b->ne[1]);
        }
    }
    each_group([](packed_group & group) {
        for (auto & part : group.parts) part.pairs.clear();
    });
    pairs_ = memory_block(bytes);
    cutter             pieces{ pairs_.data() };
    std::vector<float> scratch;
    for (const auto & one : found) {
        packed_pair pair{ pieces.cut(GGML_TYPE_F32, one.a->ne[0], one.a->ne[1]),
                          pieces.cut(GGML_TYPE_F32, one.b->ne[0], one.b->ne[1]), one.scale };
        pair.a.put(0, one.a->ne[1], one.a->type, one.a->data, scratch);
        pair.b.put(0, one.b->ne[1], one.b->type, one.b->data, scratch);
        one.part->pairs.push_back(pair);
    }
    most_rank = 0;
    each_group([&](packed_group & group) {
        int64_t sum = 0;
        for (const auto & part : group.parts) {
            for (const auto & pair : part.pairs) sum += pair.a.out();
        }
        most_rank = std::max(most_rank, sum);
    });
}

}  // namespace inward
