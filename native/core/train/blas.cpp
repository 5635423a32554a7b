#include "train/blas.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "inward/error.h"
#include "inward/trainer.h"

namespace inward {

blas::blas(const std::string & path) : library_(path, "TRAIN_DEVICE") {
    // The PyPI wheel puts scipy_ before every name.
    for (const char * name : { "cblas_sgemm", "scipy_cblas_sgemm" }) {
        if (!sgemm_) sgemm_ = (sgemm_fn) library_.symbol(name);
    }
    if (!sgemm_) throw error("TRAIN_DEVICE", path + " has no cblas_sgemm");
    // ggml's threads share the work; threads of BLAS's own would fight with them for the cores.
    using set_threads_fn = void (*)(int);
    for (const char * name : { "openblas_set_num_threads", "scipy_openblas_set_num_threads", "MKL_Set_Num_Threads" }) {
        if (auto set = (set_threads_fn) library_.symbol(name)) set(1);
    }
}

double measure_sgemm(const std::string & path, int threads, int m, int n, int k) {
    const blas library(path);
    std::vector<float> a((size_t) m * k, 0.5f), b((size_t) n * k, 0.25f), c((size_t) m * n);
    double best = 1e9;
    for (int round = 0; round < 5; round++) {
        const auto begun = std::chrono::steady_clock::now();
        std::vector<std::thread> pool;
        for (int t = 0; t < threads; t++) {
            pool.emplace_back([&, t] {
                const int64_t n0 = (int64_t) n * t / threads, n1 = (int64_t) n * (t + 1) / threads;
                library.sgemm(transpose::no, transpose::yes, m, n1 - n0, k, 1, a.data(), k, b.data() + n0 * k, k, 0,
                              c.data() + n0, n);
            });
        }
        for (auto & thread : pool) thread.join();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
        best = std::min(best, took.count());
    }
    return 2.0 * m * n * k / best * 1e-9;
}

}  // namespace inward
