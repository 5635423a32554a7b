// Lets a graph be laid out before its weights are allocated: they belong to an empty buffer for as long as this lives.
#pragma once
#include "ggml-backend.h"
#include "ggml.h"

namespace inward {

class planned_buffer {
public:
    planned_buffer(ggml_context * tensors, ggml_backend_t backend)
        : tensors_(tensors), buffer_(ggml_backend_buft_alloc_buffer(ggml_backend_get_default_buffer_type(backend), 0)) {
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

}  // namespace inward
