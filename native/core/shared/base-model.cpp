#include "shared/base-model.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#ifdef _WIN32
#    include <fstream>
#    include <mutex>
#else
#    include <fcntl.h>
#    include <unistd.h>
#endif

#include "gguf.h"
#include "inward/error.h"
#include "shared/model-header.h"

namespace inward {

// A file that several threads read at once; of one that cannot be opened nothing is read.
class shared_file {
public:
    shared_file(const shared_file &) = delete;

#ifdef _WIN32
    explicit shared_file(const std::string & path) : file_(path, std::ios::binary) {}

    bool read(int64_t at, int64_t count, char * to) const {
        const std::lock_guard<std::mutex> held(reading_);
        file_.clear();
        file_.seekg((std::streamoff) at);
        return (bool) file_.read(to, count);
    }

private:
    mutable std::mutex    reading_;
    mutable std::ifstream file_;
#else
    explicit shared_file(const std::string & path) : file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
    ~shared_file() {
        if (file_ >= 0) close(file_);
    }

    bool read(int64_t at, int64_t count, char * to) const {
        while (count > 0) {
            const auto done = pread(file_, to, (size_t) count, (off_t) at);
            if (done < 0 && errno == EINTR) continue;
            if (done <= 0) return false;
            at += done;
            to += done;
            count -= done;
        }
        return true;
    }

private:
    int file_;
#endif
};

namespace {

// gguf-split writes these as u16.
int64_t split_value(const gguf_context * header, const std::string & path, const char * key, int64_t fallback) {
    const int64_t id = gguf_find_key(header, key);
    if (id < 0) return fallback;
    if (gguf_get_kv_type(header, id) != GGUF_TYPE_UINT16) throw error("MODEL_PARTS", path + ": its " + key + " is no u16");
    return gguf_get_val_u16(header, id);
}

std::string shape_text(const std::vector<int64_t> & shape) {
    std::string text;
    for (auto n : shape) text += (text.empty() ? "[" : ", ") + std::to_string(n);
    return text + "]";
}

}  // namespace

base_model::base_model(const std::string & path, const std::vector<ggml_type> & types) : types_(types) {
    try {
        open_part(path);
        open_other_parts();
        gather_tensors();
        model_header header{ parts_[0].header, "" };
        header.architecture = header.text("general.architecture", "");
        const auto & kind   = architecture_of(header.architecture, path);
        hparams             = read_hyperparameters(kind, header);
        find_tensors(kind);
        check_file_length();
    } catch (...) {
        free_headers();
        throw;
    }
}

base_model::~base_model() {
    free_headers();
}

void base_model::free_headers() {
    if (parts_.size() > 1 && tensors_) ggml_free(tensors_);
    for (auto & one : parts_) {
        ggml_free(one.tensors);
        gguf_free(one.header);
    }
}

void base_model::open_part(const std::string & path) {
    part             made{ path };
    made.bytes = std::make_shared<shared_file>(path);
    gguf_init_params params = { /*no_alloc*/ true, &made.tensors };
    made.header = gguf_init_from_file(path.c_str(), params);
    if (!made.header) throw error("MODEL_NOT_GGUF", path + " cannot be read as a GGUF file");
    parts_.push_back(std::move(made));
}

// All metadata stand in the first part; the others are found by their names, as llama.cpp finds them.
void base_model::open_other_parts() {
    const std::string first = parts_[0].path;
    const int64_t     count = split_value(parts_[0].header, first, "split.count", 1);
    if (count <= 1) return;
    char ending[32];
    std::snprintf(ending, sizeof ending, "-00001-of-%05d.gguf", (int) count);
    const size_t stem = first.size() - std::min(first.size(), std::strlen(ending));
    if (split_value(parts_[0].header, first, "split.no", 0) != 0 || first.substr(stem) != ending) {
        throw error("MODEL_PARTS", first + " is not, by header and name, the first of " + std::to_string(count) + " parts");
    }
    for (int64_t number = 1; number < count; number++) {
        std::snprintf(ending, sizeof ending, "-%05d-of-%05d.gguf", (int) number + 1, (int) count);
        open_part(first.substr(0, stem) + ending);
        if (split_value(parts_.back().header, parts_.back().path, "split.no", -1) != number) {
            throw error("MODEL_PARTS", parts_.back().path + " is another part than its name says");
        }
    }
}

void base_model::gather_tensors() {
    if (parts_.size() == 1) {
        tensors_ = parts_[0].tensors;
        return;
    }
    size_t count = 0;
    for (const auto & one : parts_) count += (size_t) gguf_get_n_tensors(one.header);
    tensors_ = ggml_init({ count * ggml_tensor_overhead(), nullptr, /*no_alloc*/ true });
    for (const auto & one : parts_) {
        for (auto t = ggml_get_first_tensor(one.tensors); t; t = ggml_get_next_tensor(one.tensors, t)) {
            if (ggml_get_tensor(tensors_, t->name)) {
                throw error("MODEL_PARTS", one.path + " has the tensor " + t->name + ", which another part has too");
            }
            ggml_set_name(ggml_dup_tensor(tensors_, t), t->name);
        }
    }
}

ggml_tensor * base_model::take(const std::string & name, std::vector<int64_t> shape, bool needed) {
    ggml_tensor * tensor = ggml_get_tensor(tensors_, name.c_str());
    if (!tensor) {
        if (needed) unsupported("it has no tensor " + name);
        return nullptr;
    }
    std::vector<int64_t> found(tensor->ne, tensor->ne + ggml_n_dims(tensor));
    while (found.size() < shape.size()) found.push_back(1);
    if (found != shape) {
        unsupported("tensor " + name + " has shape " + shape_text(found) + " instead of " + shape_text(shape));
    }
    if (std::find(types_.begin(), types_.end(), tensor->type) == types_.end()) {
        unsupported("tensor " + name + " is encoded as " + ggml_type_name(tensor->type));
    }
    if (shape.size() == 1 && tensor->type != GGML_TYPE_F32) unsupported("vector " + name + " is not F32");
    taken_.push_back(name);
    return tensor;
}

void base_model::find_tensors(const architecture & kind) {
    const auto & hp = hparams;
    ggml_tensor * embedding = ggml_get_tensor(tensors_, "token_embd.weight");
    if (!embedding) unsupported("it has no tensor token_embd.weight");
    hparams.vocabulary = embedding->ne[1];
    token_embedding    = take("token_embd.weight", { hp.embedding, hp.vocabulary }, true);
    output_norm        = take("output_norm.weight", { hp.embedding }, true);
    find_rope_factors(kind);
    output.name   = "output";
    if (kind.output != output_from::embedding) {
        output.weight = take("output.weight", { hp.embedding, hp.vocabulary }, kind.output == output_from::own);
    }
    if (kind.output_bias) output.bias = take("output.bias", { hp.vocabulary }, false);
    if (!output.weight) output.weight = token_embedding;
    for (int64_t l = 0; l < hp.layers; l++) layers.push_back(find_layer(kind, "blk." + std::to_string(l) + "."));
    // A tensor that we do not know would silently be left out of the forward pass.
    for (auto t = ggml_get_first_tensor(tensors_); t; t = ggml_get_next_tensor(tensors_, t)) {
        if (std::find(taken_.begin(), taken_.end(), t->name) == taken_.end()) {
            unsupported(std::string("it has an unknown tensor ") + t->name);
        }
        weight_bytes_ += ggml_nbytes(t);
    }
}

void base_model::find_rope_factors(const architecture & kind) {
    auto & rope = hparams.global_rope;
    auto factors = [&](const char * name) { return take(name, { rope.width / 2 }, false); };
    if (kind.factors == rope_tensors::freqs) rope_factors = factors("rope_freqs.weight");
    if (kind.factors != rope_tensors::short_or_long) return;
    rope_factors         = factors("rope_factors_short.weight");
    const auto * further = factors("rope_factors_long.weight");
    // Beyond the original context every token, the early ones too, would be turned by other factors: two models in one.
    if (further) hparams.context = std::min(hparams.context, rope.original_context);
}

layer_weights base_model::find_layer(const architecture & kind, const std::string & block) {
    const auto &  hp = hparams;
    layer_weights layer;
    auto norm   = [&](const char * name, int64_t width) { return take(block + name + ".weight", { width }, true); };
    auto linear = [&](const std::string & name, std::vector<std::string> targets, int64_t in, int64_t out, bool bias) {
        linear_weights found;
        found.name    = block + name;
        found.targets = std::move(targets);
        found.weight  = take(found.name + ".weight", { in, out }, true);
        if (bias) found.bias = take(found.name + ".bias", { out }, false);
        return found;
    };
    if (kind.norms_before) {
        layer.attention_norm    = norm("attn_norm", hp.embedding);
        layer.feed_forward_norm = norm("ffn_norm", hp.embedding);
    }
    if (kind.norms_after) {
        layer.attention_post_norm    = norm("post_attention_norm", hp.embedding);
        layer.feed_forward_post_norm = norm("post_ffw_norm", hp.embedding);
    }
    if (kind.norms_of_heads != head_norm::none) {
        const bool all = kind.norms_of_heads == head_norm::all;
        layer.q_norm   = norm("attn_q_norm", all ? hp.queries() : hp.head_width);
        layer.k_norm   = norm("attn_k_norm", all ? hp.keys() : hp.head_width);
    }
    if (ggml_get_tensor(tensors_, (block + "attn_qkv.weight").c_str())) {
        layer.qkv = { linear("attn_qkv", { "q", "k", "v" }, hp.embedding, hp.queries() + 2 * hp.keys(), true) };
    } else {
        layer.qkv = { linear("attn_q", { "q" }, hp.embedding, hp.queries(), true),
                      linear("attn_k", { "k" }, hp.embedding, hp.keys(), true),
                      linear("attn_v", { "v" }, hp.embedding, hp.keys(), true) };
    }
    layer.o = linear("attn_output", { "o" }, hp.queries(), hp.embedding, kind.projection_biases);
    if (kind.gate_in_up) {
        layer.gate_up = { linear("ffn_up", { "gate", "up" }, hp.embedding, 2 * hp.feed_forward, false) };
    } else {
        layer.gate_up = { linear("ffn_gate", { "gate" }, hp.embedding, hp.feed_forward, kind.projection_biases),
                          linear("ffn_up", { "up" }, hp.embedding, hp.feed_forward, kind.projection_biases) };
    }
    layer.down = linear("ffn_down", { "down" }, hp.feed_forward, hp.embedding, kind.projection_biases);
    return layer;
}

void base_model::check_file_length() const {
    std::error_code ignored;
    for (const auto & [path, header, tensors, file] : parts_) {
        const uint64_t length = std::filesystem::file_size(path, ignored);
        for (int64_t i = 0; i < gguf_get_n_tensors(header); i++) {
            const uint64_t begin = gguf_get_data_offset(header) + gguf_get_tensor_offset(header, i);
            const uint64_t end   = begin + gguf_get_tensor_size(header, i);
            if (end > length) {
                throw error("MODEL_TRUNCATED", path + " has " + std::to_string(length) + " bytes; tensor " +
                                                   gguf_get_tensor_name(header, i) + " ends at " + std::to_string(end));
            }
        }
    }
}

void base_model::read(const ggml_tensor * tensor, int64_t first, int64_t count, std::vector<char> & bytes) const {
    for (const auto & one : parts_) {
        const int64_t id = gguf_find_tensor(one.header, tensor->name);
        if (id < 0) continue;
        bytes.resize((size_t) count);
        const auto begin = (int64_t) (gguf_get_data_offset(one.header) + gguf_get_tensor_offset(one.header, id));
        if (one.bytes->read(begin + first, count, bytes.data())) return;
        throw error("MODEL_TRUNCATED", one.path + " ends inside tensor " + tensor->name);
    }
    throw error("INTERNAL", std::string("no part holds the tensor ") + tensor->name);
}

}  // namespace inward
