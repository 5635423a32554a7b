#include "inward/quantize.h"

#include <cstdio>
#include <filesystem>
#include <map>

#include "inward/error.h"
#include "shared/libraries.h"

namespace inward {

namespace {

const std::map<std::string, llama_ftype> TYPES = {
    { "f32", LLAMA_FTYPE_ALL_F32 },         { "f16", LLAMA_FTYPE_MOSTLY_F16 },
    { "bf16", LLAMA_FTYPE_MOSTLY_BF16 },    { "q8_0", LLAMA_FTYPE_MOSTLY_Q8_0 },
    { "q6_k", LLAMA_FTYPE_MOSTLY_Q6_K },    { "q5_k_m", LLAMA_FTYPE_MOSTLY_Q5_K_M },
    { "q5_k_s", LLAMA_FTYPE_MOSTLY_Q5_K_S }, { "q5_1", LLAMA_FTYPE_MOSTLY_Q5_1 },
    { "q5_0", LLAMA_FTYPE_MOSTLY_Q5_0 },    { "q4_k_m", LLAMA_FTYPE_MOSTLY_Q4_K_M },
    { "q4_k_s", LLAMA_FTYPE_MOSTLY_Q4_K_S }, { "q4_1", LLAMA_FTYPE_MOSTLY_Q4_1 },
    { "q4_0", LLAMA_FTYPE_MOSTLY_Q4_0 },    { "iq4_nl", LLAMA_FTYPE_MOSTLY_IQ4_NL },
    { "iq4_xs", LLAMA_FTYPE_MOSTLY_IQ4_XS }, { "q3_k_l", LLAMA_FTYPE_MOSTLY_Q3_K_L },
    { "q3_k_m", LLAMA_FTYPE_MOSTLY_Q3_K_M }, { "q3_k_s", LLAMA_FTYPE_MOSTLY_Q3_K_S },
    { "q2_k", LLAMA_FTYPE_MOSTLY_Q2_K },    { "q2_k_s", LLAMA_FTYPE_MOSTLY_Q2_K_S },
    { "iq3_m", LLAMA_FTYPE_MOSTLY_IQ3_M },  { "iq3_s", LLAMA_FTYPE_MOSTLY_IQ3_S },
    { "iq3_xs", LLAMA_FTYPE_MOSTLY_IQ3_XS }, { "iq3_xxs", LLAMA_FTYPE_MOSTLY_IQ3_XXS },
    { "iq2_m", LLAMA_FTYPE_MOSTLY_IQ2_M },  { "iq2_s", LLAMA_FTYPE_MOSTLY_IQ2_S },
    { "iq2_xs", LLAMA_FTYPE_MOSTLY_IQ2_XS }, { "iq2_xxs", LLAMA_FTYPE_MOSTLY_IQ2_XXS },
};

llama_model_kv_override override_of(const metadata_value & one) {
    llama_model_kv_override made{};
    if (one.key.size() >= sizeof made.key || one.text.size() >= sizeof made.val_str) {
        throw error("INTERNAL", "a metadata value of the new file is longer than llama.cpp takes");
    }
    std::snprintf(made.key, sizeof made.key, "%s", one.key.c_str());
    if (one.text.empty()) {
        made.tag     = LLAMA_KV_OVERRIDE_TYPE_INT;
        made.val_i64 = one.number;
    } else {
        made.tag = LLAMA_KV_OVERRIDE_TYPE_STR;
        std::snprintf(made.val_str, sizeof made.val_str, "%s", one.text.c_str());
    }
    return made;
}

}  // namespace

void requantize(const requantize_options & o) {
    const auto type = TYPES.find(o.type);
    if (type == TYPES.end()) throw error("MODEL_TENSOR_TYPE", "there is no encoding " + o.type);
    if (o.threads < 1 || o.threads > 512) throw error("ENGINE_UNAVAILABLE", "re-encoding takes 1 thread to 512");
    std::error_code ignored;
    // llama.cpp takes a file without a name for a model without one.
    if (!std::filesystem::is_regular_file(o.input, ignored)) throw error("MODEL_NOT_FOUND", "no file " + o.input);
    // Its input is mapped into memory while the output is written.
    if (std::filesystem::exists(o.output, ignored)) throw error("INTERNAL", o.output + " is there already");

    const auto & llama      = llama_of(o.binaries_folder);
    auto         params     = llama.model_quantize_default_params();
    params.ftype            = type->second;
    params.nthread          = o.threads;
    params.allow_requantize = true;

    std::vector<llama_model_imatrix_data> importances;
    for (const auto & one : o.importances) {
        importances.push_back({ one.tensor.c_str(), one.values.data(), one.values.size() });
    }
    importances.push_back({ nullptr, nullptr, 0 });
    if (!o.importances.empty()) params.imatrix = importances.data();
    std::vector<llama_model_kv_override> overrides;
    for (const auto & one : o.metadata) overrides.push_back(override_of(one));
    overrides.push_back({});
    if (!o.metadata.empty()) params.kv_overrides = overrides.data();

    const log_keeper log(llama);
    if (llama.model_quantize(o.input.c_str(), o.output.c_str(), &params) == 0) return;
    std::string said = log.said();
    std::filesystem::remove(o.output, ignored);
    while (!said.empty() && said.back() == '\n') said.pop_back();
    // Its output stream throws the standard library's own words, in which every library has this one.
    if (said.find("iostream") != std::string::npos) {
        throw error("STORE_UNWRITABLE", o.output + " cannot be written: " + said);
    }
    throw error("MODEL_TENSOR_TYPE", o.input + " cannot be re-encoded as " + o.type + ": " + said);
}

}  // namespace inward
