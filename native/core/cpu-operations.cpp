#include "operations.h"

namespace inward {

ggml_tensor * cpu_operations::norm(norm_parameters & p, ggml_tensor * x) { return rms_norm(g.ctx, p, x); }

ggml_tensor * cpu_operations::norm_back(norm_parameters & p, ggml_tensor * dh, ggml_tensor * x, ggml_tensor * residual) {
    return rms_norm_back(g.ctx, p, dh, x, residual);
}

ggml_tensor * cpu_operations::down(projection_group & group, ggml_tensor * x) { return lora_down(g.ctx, group, x); }

ggml_tensor * cpu_operations::project(projection_group & group, ggml_tensor * x, ggml_tensor * xa, ggml_tensor * residual) {
    if (group.forward_kernel != "blas") return operations::project(group, x, xa, residual);
    return linear(g.ctx, group, x, xa, residual);
}

ggml_tensor * cpu_operations::project_back(projection_group & group, ggml_tensor * dy, ggml_tensor * dropped_x, ggml_tensor * xa,
                                           ggml_tensor * mask, bool need_input) {
    if (group.backward_kernel != "blas") return operations::project_back(group, dy, dropped_x, xa, mask, need_input);
    auto * dxa = group.has_lora() ? lora_down_back(g.ctx, group, dy) : nullptr;
    if (!need_input && !group.has_lora()) return nullptr;
    auto * made = need_input ? linear_back(g.ctx, group, dy, dxa, dropped_x, xa, mask) : lora_gradients(g.ctx, group, dy, dxa, dropped_x, xa);
    // The pairs' gradients are wanted even where nobody reads the input's.
    if (group.has_lora()) ggml_build_forward_expand(g.graph, made);
    return need_input ? made : nullptr;
}

ggml_tensor * cpu_operations::rotate(ggml_tensor * qkv) { return rope(g.ctx, *g.plan, qkv, g.in.rope_table); }

ggml_tensor * cpu_operations::attend(ggml_tensor * qk, ggml_tensor * qkv) { return attention(g.ctx, *g.plan, qk, qkv); }

ggml_tensor * cpu_operations::attend_back(ggml_tensor * qk, ggml_tensor * qkv, ggml_tensor * dout) {
    return attention_back(g.ctx, *g.plan, qk, qkv, dout, g.in.rope_table, g.threads);
}

ggml_tensor * cpu_operations::gate(ggml_tensor * gate_up) { return swiglu(g.ctx, gate_up); }

ggml_tensor * cpu_operations::gate_back(ggml_tensor * gate_up, ggml_tensor * dact) { return swiglu_back(g.ctx, gate_up, dact); }

ggml_tensor * cpu_operations::loss_back(loss_chunk & chunk, ggml_tensor * logits, int64_t, ggml_tensor ** logprobs) {
    *logprobs = nullptr;
    return cross_entropy(g.ctx, chunk, logits);
}

}  // namespace inward
