#include "ask/row-evaluator.h"

#include <algorithm>
#include <string>

#include "ask/llama-states.h"
#include "ask/own-forward.h"
#include "inward/error.h"

namespace inward {

std::unique_ptr<row_evaluator> make_evaluator(const llama_library & llama, llama_model * model,
                                              const engine_options & options, const devices & device,
                                              engine_description & description) {
    if (!options.own_forward) {
        description.context       = llama.model_n_ctx_train(model);
        description.whole_prompts = llama.model_is_recurrent(model) || llama.model_is_hybrid(model);
        description.window        = llama.model_n_swa(model);
        if (options.short_context > 0) description.context = std::min(description.context, options.short_context);
        return std::make_unique<llama_states>(llama, model, options, device.is_cpu);
    }
    if (!device.is_cpu) throw error("ENGINE_UNAVAILABLE", "engine.forward own is for the CPU");
    auto own            = std::make_unique<own_forward>(options, [&device] { return device.free_memory(); });
    description.context = own->hparams().context;
    description.kernels = own->kernels();
    if (own->hparams().vocabulary != description.vocabulary) {
        throw error("ENGINE_UNAVAILABLE", "the model has " + std::to_string(own->hparams().vocabulary) +
                                              " embeddings and " + std::to_string(description.vocabulary) +
                                              " tokens; set engine.forward to llama.cpp");
    }
    return own;
}

}  // namespace inward
