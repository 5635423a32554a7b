// Warnings and errors belong into the worker's log, which is shown when it crashes; ggml's and llama.cpp's other talk does not.
#pragma once
#include <cstdio>

#include "ggml.h"

namespace inward {

inline void quiet_log(ggml_log_level level, const char * text, void *) {
    if (level == GGML_LOG_LEVEL_ERROR || level == GGML_LOG_LEVEL_WARN) std::fputs(text, stderr);
}

}  // namespace inward
