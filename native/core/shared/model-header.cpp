#include "shared/model-header.h"

#include "gguf.h"
#include "inward/error.h"

namespace inward {

void unsupported(const std::string & what) { throw error("TRAIN_MODEL", "this model cannot be trained: " + what); }

namespace {

int64_t find(const model_header & m, const std::string & suffix) {
    return gguf_find_key(m.header, (m.architecture + "." + suffix).c_str());
}

}  // namespace

bool model_header::has(const std::string & suffix) const { return find(*this, suffix) >= 0; }

int64_t model_header::whole(const std::string & suffix, int64_t fallback) const {
    const int64_t id = find(*this, suffix);
    if (id < 0) return fallback;
    switch (gguf_get_kv_type(header, id)) {
        case GGUF_TYPE_UINT32: return gguf_get_val_u32(header, id);
        case GGUF_TYPE_INT32:  return gguf_get_val_i32(header, id);
        case GGUF_TYPE_UINT64: return (int64_t) gguf_get_val_u64(header, id);
        case GGUF_TYPE_UINT16: return gguf_get_val_u16(header, id);
        default: unsupported(architecture + "." + suffix + " is no single whole number");
    }
}

float model_header::real(const std::string & suffix, float fallback) const {
    const int64_t id = find(*this, suffix);
    if (id < 0) return fallback;
    if (gguf_get_kv_type(header, id) != GGUF_TYPE_FLOAT32) {
        unsupported(architecture + "." + suffix + " is no 32-bit float");
    }
    return gguf_get_val_f32(header, id);
}

bool model_header::truth(const std::string & suffix, bool fallback) const {
    const int64_t id = find(*this, suffix);
    if (id < 0) return fallback;
    if (gguf_get_kv_type(header, id) != GGUF_TYPE_BOOL) unsupported(architecture + "." + suffix + " is no truth value");
    return gguf_get_val_bool(header, id);
}

std::vector<bool> model_header::truths(const std::string & suffix) const {
    std::vector<bool> all;
    const int64_t     id = find(*this, suffix);
    if (id < 0 || gguf_get_kv_type(header, id) != GGUF_TYPE_ARRAY) return all;
    const auto    type  = gguf_get_arr_type(header, id);
    const size_t  count = gguf_get_arr_n(header, id);
    if (type != GGUF_TYPE_BOOL && type != GGUF_TYPE_INT32 && type != GGUF_TYPE_UINT32) {
        unsupported(architecture + "." + suffix + " is no list of truth values");
    }
    const void * data = gguf_get_arr_data(header, id);
    for (size_t i = 0; i < count; i++) {
        all.push_back(type == GGUF_TYPE_BOOL ? ((const int8_t *) data)[i] != 0 : ((const int32_t *) data)[i] != 0);
    }
    return all;
}

std::string model_header::text(const std::string & key, const std::string & fallback) const {
    const int64_t id = gguf_find_key(header, key.c_str());
    if (id < 0) return fallback;
    if (gguf_get_kv_type(header, id) != GGUF_TYPE_STRING) unsupported(key + " is no string");
    return gguf_get_val_str(header, id);
}

}  // namespace inward
