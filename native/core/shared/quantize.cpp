#include "inward/quantize.h"

#include <filesystem>
#include <map>

#include "inward/error.h"
#include "shared/libraries.h"

namespace inward {

namespace {

const std::map<std::string, llama_ftype> TYPES = {
    { "f32", LLAMA_FTYPE_ALL_F32 },       { "f16", LLAMA_FTYPE_MOSTLY_F16 },   { "bf16", LLAMA_FTYPE_MOSTLY_BF16 },
    { "q8_0", LLAMA_FTYPE_MOSTLY_Q8_0 },  { "q6_k", LLAMA_FTYPE_MOSTLY_Q6_K }, { "q5_k_m", LLAMA_FTYPE_MOSTLY_Q5_K_M },
    { "q5_1", LLAMA_FTYPE_MOSTLY_Q5_1 },  { "q5_0", LLAMA_FTYPE_MOSTLY_Q5_0 }, { "q4_k_m", LLAMA_FTYPE_MOSTLY_Q4_K_M },
    { "q4_1", LLAMA_FTYPE_MOSTLY_Q4_1 },  { "q4_0", LLAMA_FTYPE_MOSTLY_Q4_0 }, { "q3_k_m", LLAMA_FTYPE_MOSTLY_Q3_K_M },
    { "q2_k", LLAMA_FTYPE_MOSTLY_Q2_K },
};

}  // namespace

void requantize(const requantize_options & o) {
    const auto type = TYPES.find(o.type);
    if (type == TYPES.end()) throw error("MODEL_TENSOR_TYPE", "there is no encoding " + o.type);
    if (o.threads < 1) throw error("ENGINE_UNAVAILABLE", "re-encoding needs at least one thread");
    std::error_code ignored;
    // Its input is mapped into memory while the output is written.
    if (std::filesystem::exists(o.output, ignored)) throw error("INTERNAL", o.output + " is there already");

    const auto & llama      = llama_of(o.binaries_folder);
    auto         params     = llama.model_quantize_default_params();
    params.ftype            = type->second;
    params.nthread          = o.threads;
    params.allow_requantize = true;
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
