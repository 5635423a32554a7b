// A BLAS, optional: loaded while running, called with one thread from each of ggml's own threads.
#pragma once
#include <cstdint>
#include <string>

#include "shared/libraries.h"

namespace inward {

enum class transpose { no, yes };

class blas {
public:
    // throws inward::error TRAIN_DEVICE when the library has no cblas_sgemm
    explicit blas(const std::string & path);

    // C [m x n] = alpha op(A) op(B) + beta C, all row-major; ld* are the rows' lengths in floats
    void sgemm(transpose ta, transpose tb, int64_t m, int64_t n, int64_t k, float alpha, const float * a, int64_t lda,
               const float * b, int64_t ldb, float beta, float * c, int64_t ldc) const {
        if (m <= 0 || n <= 0) return;
        sgemm_(101, ta == transpose::yes ? 112 : 111, tb == transpose::yes ? 112 : 111, (int) m, (int) n, (int) k,
               alpha, a, (int) lda, b, (int) ldb, beta, c, (int) ldc);
    }

    const std::string & path() const { return library_.path(); }

private:
    using sgemm_fn = void (*)(int, int, int, int, int, int, float, const float *, int, const float *, int, float,
                              float *, int);
    shared_library library_;
    sgemm_fn       sgemm_ = nullptr;
};

}  // namespace inward
