// Compiled for this machine, as Eigen's manual asks.
#include "peers.h"

#ifdef GEMMSMITH_BENCH_EIGEN
#include <Eigen/Core>
#endif

namespace gemmsmith::bench {

#ifdef GEMMSMITH_BENCH_EIGEN
namespace {

class EigenPeer : public Peer {
 public:
  std::string name() const override { return "Eigen"; }
  std::string about() const override {
    const std::string sets = Eigen::SimdInstructionSetsInUse();  // "AVX512, FMA, AVX2, ..."
    return std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) + "." +
           std::to_string(EIGEN_MINOR_VERSION) + " " + sets.substr(0, sets.find(','));
  }
  std::function<void()> Prepare(const Case& c, const Operands& x) override {
    if (c.a_type != c.d_type || c.packed || !c.epilogue.empty()) return {};
    if (c.a_type == DType::kF32) return Made<float>(c, x);
    if (c.a_type == DType::kF64) return Made<double>(c, x);
    return {};
  }

 private:
  template <class T>
  static std::function<void()> Made(const Case& c, const Operands& x) {
    using RowMajor = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    using ColMajor = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;
    const Eigen::Map<const RowMajor> a(static_cast<const T*>(x.a), c.m, c.k);
    Eigen::Map<RowMajor> d(static_cast<T*>(x.d), c.m, c.n);
    if (c.b_transposed) {
      const Eigen::Map<const ColMajor> b(static_cast<const T*>(x.b), c.k, c.n);
      return [a, b, d]() mutable { d.noalias() = a * b; };
    }
    const Eigen::Map<const RowMajor> b(static_cast<const T*>(x.b), c.k, c.n);
    return [a, b, d]() mutable { d.noalias() = a * b; };
  }
};

}  // namespace

std::unique_ptr<Peer> OpenEigen(std::vector<std::string>&) { return std::make_unique<EigenPeer>(); }
#else
std::unique_ptr<Peer> OpenEigen(std::vector<std::string>& missing) {
  missing.push_back("Eigen: not there when this was configured (Debian: libeigen3-dev)");
  return nullptr;
}
#endif

}  // namespace gemmsmith::bench
