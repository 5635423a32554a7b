#pragma once
#include <stdexcept>
#include <string>

namespace inward {

// What a caller can cause, with one of inward's codes; the binding turns it into a JavaScript error with that code.
struct error : std::runtime_error {
    std::string code;
    error(std::string code, const std::string & message) : std::runtime_error(message), code(std::move(code)) {}
};

}  // namespace inward
