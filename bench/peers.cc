#include "peers.h"

#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef GEMMSMITH_BENCH_OPENBLAS
#include <cblas.h>
#endif
#ifdef GEMMSMITH_BENCH_EIGEN
#include <Eigen/Core>
#endif
#ifdef GEMMSMITH_BENCH_ONEDNN
#include <dnnl.h>
#endif

namespace gemmsmith::bench {
namespace {

#ifdef GEMMSMITH_BENCH_OPENBLAS
template <class T>
void OpenBlas(const PeerCall<T>& c) {
  const auto m = static_cast<blasint>(c.m), n = static_cast<blasint>(c.n), k = static_cast<blasint>(c.k);
  const auto trans_b = c.b_transposed ? CblasTrans : CblasNoTrans;
  const blasint ldb = c.b_transposed ? k : n;
  if constexpr (std::is_same_v<T, float>)
    cblas_sgemm(CblasRowMajor, CblasNoTrans, trans_b, m, n, k, 1, c.a, k, c.b, ldb, 0, c.d, n);
  else
    cblas_dgemm(CblasRowMajor, CblasNoTrans, trans_b, m, n, k, 1, c.a, k, c.b, ldb, 0, c.d, n);
}
#endif

#ifdef GEMMSMITH_BENCH_EIGEN
template <class T>
void RunEigen(const PeerCall<T>& c) {
  using RowMajor = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using ColMajor = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;
  const Eigen::Map<const RowMajor> a(c.a, c.m, c.k);
  Eigen::Map<RowMajor> d(c.d, c.m, c.n);
  if (c.b_transposed)
    d.noalias() = a * Eigen::Map<const ColMajor>(c.b, c.k, c.n);
  else
    d.noalias() = a * Eigen::Map<const RowMajor>(c.b, c.k, c.n);
}
#endif

#ifdef GEMMSMITH_BENCH_ONEDNN
void OneDnn(const PeerCall<float>& c) {
  dnnl_sgemm('N', c.b_transposed ? 'T' : 'N', c.m, c.n, c.k, 1, c.a, c.k, c.b, c.b_transposed ? c.k : c.n, 0, c.d, c.n);
}
#endif

[[maybe_unused]] void SetOmpThreads([[maybe_unused]] int threads) {
#ifdef _OPENMP
  omp_set_num_threads(threads);
#endif
}

}  // namespace

std::span<const Peer> Peers() {
  static const std::vector<Peer> peers = {
#ifdef GEMMSMITH_BENCH_OPENBLAS
      {"openblas", [](int threads) { openblas_set_num_threads(threads); }, OpenBlas<float>, OpenBlas<double>},
#endif
#ifdef GEMMSMITH_BENCH_EIGEN
      {"eigen", [](int threads) { Eigen::setNbThreads(threads); }, RunEigen<float>, RunEigen<double>},
#endif
#ifdef GEMMSMITH_BENCH_ONEDNN
      {"onednn", SetOmpThreads, OneDnn, nullptr},
#endif
  };
  return peers;
}

std::string PeerVersions() {
  std::string text;
  [[maybe_unused]] const auto add = [&](const std::string& version) { text += (text.empty() ? "" : ", ") + version; };
#ifdef GEMMSMITH_BENCH_OPENBLAS
  add(std::string(openblas_get_config()) + " on " + openblas_get_corename());
#endif
#ifdef GEMMSMITH_BENCH_EIGEN
  add("Eigen " + std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) + "." +
      std::to_string(EIGEN_MINOR_VERSION));
#endif
#ifdef GEMMSMITH_BENCH_ONEDNN
  const dnnl_version_t& v = *dnnl_version();
  add("oneDNN " + std::to_string(v.major) + "." + std::to_string(v.minor) + "." + std::to_string(v.patch));
#endif
  return text;
}

}  // namespace gemmsmith::bench
