// The addon's names. Every call is synchronous; it runs in a worker process.
#include "addon.h"

#include "inward/devices.h"
#include "inward/operations.h"
#include "inward/quantize.h"
#include "inward/trainer.h"
#include "shared/own-weights.h"

namespace {

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
    if (from.Get("importances").IsArray()) {
        auto all = from.Get("importances").As<Napi::Array>();
        for (uint32_t i = 0; i < all.Length(); i++) {
            auto one = all.Get(i).As<Napi::Object>();
            o.importances.push_back(
                { text(one, "tensor"), list<float, Napi::Float32Array>(env, one, "values", napi_float32_array) });
        }
    }
    if (from.Get("metadata").IsArray()) {
        auto all = from.Get("metadata").As<Napi::Array>();
        for (uint32_t i = 0; i < all.Length(); i++) {
            auto one = all.Get(i).As<Napi::Object>();
            o.metadata.push_back({ text(one, "key"), text(one, "text"), (int64_t) number(one, "number") });
        }
    }
    return guarded(env, [&]() -> Napi::Value {
        inward::requantize(o);
        return env.Undefined();
    });
}

Napi::Value list_devices(const Napi::CallbackInfo & info) {
    auto env = info.Env();
    if (info.Length() < 1 || !info[0].IsObject()) coded(env, "INTERNAL", "listDevices takes its options");
    auto from = info[0].As<Napi::Object>();
    return guarded(env, [&]() -> Napi::Value {
        const auto found =
            inward::find_devices(text(from, "binariesFolder"), text(from, "fallbackFolder"), text(from, "kind"));
        auto all = Napi::Array::New(env, found.size());
        for (uint32_t i = 0; i < found.size(); i++) {
            auto one = Napi::Object::New(env);
            one.Set("name", found[i].name);
            one.Set("description", found[i].description);
            one.Set("totalBytes", (double) found[i].total);
            one.Set("freeBytes", (double) found[i].free);
            one.Set("integrated", found[i].integrated);
            all.Set(i, one);
        }
        return all;
    });
}

Napi::Value compute_operations(const Napi::CallbackInfo & info) {
    auto env = info.Env();
    if (info.Length() < 1 || !info[0].IsObject()) coded(env, "INTERNAL", "computeOperations takes its options");
    auto                       from = info[0].As<Napi::Object>();
    inward::operations_options o;
    o.binaries_folder = text(from, "binariesFolder");
    o.fallback_folder = text(from, "fallbackFolder");
    o.device          = text(from, "device");
    o.threads         = (int) number(from, "threads");
    if (!from.Get("cases").IsArray()) coded(env, "INTERNAL", "computeOperations takes a list of cases");
    auto cases = from.Get("cases").As<Napi::Array>();
    for (uint32_t i = 0; i < cases.Length(); i++) {
        auto                   given = cases.Get(i).As<Napi::Object>();
        inward::operation_case one;
        one.operation = text(given, "operation");
        if (given.Has("type")) one.type = text(given, "type");
        one.inner   = (int64_t) number(given, "inner", 1);
        one.outer   = (int64_t) number(given, "outer", 1);
        one.columns = (int64_t) number(given, "columns", 1);
        one.first   = (int64_t) number(given, "first", 0);
        one.scale   = number(given, "scale", 1);
        o.cases.push_back(one);
    }
    return guarded(env, [&]() -> Napi::Value {
        const auto report  = inward::compute_operations(o);
        auto       results = Napi::Array::New(env, report.results.size());
        for (uint32_t i = 0; i < report.results.size(); i++) {
            const auto & found = report.results[i];
            auto         one   = Napi::Object::New(env);
            one.Set("supported", found.supported);
            one.Set("room", found.room);
            one.Set("distance", found.distance);
            one.Set("seconds", found.seconds);
            one.Set("same", found.same);
            results.Set(i, one);
        }
        auto made = Napi::Object::New(env);
        made.Set("deviceName", report.device_name);
        made.Set("log", report.log);
        made.Set("results", results);
        return made;
    });
}

Napi::Value decode_weights(const Napi::CallbackInfo & info) {
    auto env = info.Env();
    if (info.Length() < 4 || !info[0].IsString()) coded(env, "INTERNAL", "decodeWeights takes type, bytes, columns, by");
    auto from = Napi::Object::New(env);
    from.Set("bytes", info[1]);
    const std::string type    = info[0].As<Napi::String>();
    const auto        bytes   = list<uint8_t, Napi::Uint8Array>(env, from, "bytes", napi_uint8_array);
    const int64_t     columns = info[2].ToNumber().Int64Value();
    const std::string by      = info[3].ToString();
    return guarded(env, [&]() -> Napi::Value {
        const auto floats = inward::decode_weights(type, bytes, columns, by);
        auto       made   = Napi::Float32Array::New(env, floats.size());
        std::copy(floats.begin(), floats.end(), made.Data());
        return made;
    });
}

Napi::Value multiply(const Napi::CallbackInfo & info) {
    auto env = info.Env();
    if (info.Length() < 2 || !info[0].IsObject()) coded(env, "INTERNAL", "multiply takes a product and kernels");
    auto from   = info[0].As<Napi::Object>();
    auto floats = [&](const char * key) { return list<float, Napi::Float32Array>(env, from, key, napi_float32_array); };
    auto whole  = [&](const char * key) { return from.Get(key).ToNumber().Int64Value(); };
    auto is     = [&](const char * key) { return from.Get(key).ToBoolean().Value(); };
    inward::float_product product{ whole("m"), whole("n"), whole("k"), is("turnA"), is("turnB"), is("add"),
                                   from.Get("factor").ToNumber().FloatValue(), floats("a"), floats("b"), floats("c") };
    const std::string kernels = info[1].ToString();
    return guarded(env, [&]() -> Napi::Value {
        inward::multiply(product, kernels);
        auto made = Napi::Float32Array::New(env, product.c.size());
        std::copy(product.c.begin(), product.c.end(), made.Data());
        return made;
    });
}

// Of threads, rows and columns: larger ones are no product of a model's, and would take all memory.
constexpr double MOST_MEASURED = 16384;

Napi::Value measure_products(const Napi::CallbackInfo & info) {
    auto env = info.Env();
    return guarded(env, [&]() -> Napi::Value {
        if (info.Length() < 4) coded(env, "TRAIN_SETTINGS", "measureProducts takes threads, m, n and k");
        auto whole = [&](int i) {
            const double given = info[i].ToNumber().DoubleValue();
            if (!(given >= 1 && given <= MOST_MEASURED)) coded(env, "TRAIN_SETTINGS", "each is a number from 1 to 16384");
            return (int) given;
        };
        return Napi::Number::New(env, inward::measure_products(whole(0), whole(1), whole(2), whole(3)));
    });
}

Napi::Object start(Napi::Env env, Napi::Object exports) {
    exports.Set("Trainer", define_trainer(env));
    exports.Set("Engine", define_engine(env));
    exports.Set("LogitRows", define_logit_rows(env));
    exports.Set("Vocabulary", define_vocabulary(env));
    exports.Set("multiply", Napi::Function::New(env, multiply));
    exports.Set("measureProducts", Napi::Function::New(env, measure_products));
    exports.Set("listDevices", Napi::Function::New(env, list_devices));
    exports.Set("computeOperations", Napi::Function::New(env, compute_operations));
    exports.Set("decodeWeights", Napi::Function::New(env, decode_weights));
    exports.Set("requantize", Napi::Function::New(env, requantize));
    exports.Set("llamaCpp", INWARD_LLAMA_CPP);
    return exports;
}

}  // namespace

NODE_API_MODULE(inward, start)
