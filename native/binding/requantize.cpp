// Node-API only: requantize() as JavaScript sees it.
#include "requantize.h"

#include "convert.h"
#include "inward/quantize.h"

Napi::Value requantize(const Napi::CallbackInfo & info) {
    auto env = info.Env();
    if (info.Length() < 1 || !info[0].IsObject()) coded(env, "INTERNAL", "requantize takes its options");
    auto                       from = info[0].As<Napi::Object>();
    inward::requantize_options o;
    o.binaries_folder = text(from, "binariesFolder");
    o.input           = text(from, "input");
    o.output          = text(from, "output");
    o.type            = text(from, "type");
    o.threads         = (int) number(from, "threads");
    return guarded(env, [&]() -> Napi::Value {
        inward::requantize(o);
        return env.Undefined();
    });
}
