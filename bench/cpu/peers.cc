#include "peers.h"

#include <dlfcn.h>

#ifdef GEMMSMITH_BENCH_LIBXSMM
#include <libxsmm.h>
#endif

namespace gemmsmith::bench {

std::unique_ptr<PeerLibrary> PeerLibrary::Open(const std::string& soname, std::vector<std::string>& missing) {
  void* const handle = dlopen(soname.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  if (handle == nullptr) {
    missing.push_back(dlerror());
    return nullptr;
  }
  return std::unique_ptr<PeerLibrary>(new PeerLibrary(soname, handle));
}

void* PeerLibrary::Find(const std::string& symbol) const { return dlsym(handle_, symbol.c_str()); }

std::vector<std::unique_ptr<Peer>> OpenPeers(std::vector<std::string>& missing) {
  std::vector<std::unique_ptr<Peer>> peers;
  const auto add = [&](std::unique_ptr<Peer> peer) {
    if (peer != nullptr) peers.push_back(std::move(peer));
  };
  add(OpenOpenBlas("libopenblas.so.0", "", missing));
  add(OpenOpenBlas("libscipy_openblas.so", "scipy_", missing));
  add(OpenBlis(missing));
  add(OpenMkl(missing));
  add(OpenOneDnn("libdnnl.so.2", missing));
  add(OpenOneDnn("libdnnl.so.3", missing));
  add(OpenEigen(missing));
  add(OpenLibxsmm(missing));
  return peers;
}

#ifdef GEMMSMITH_BENCH_LIBXSMM
namespace {

/// Kernels for one shape of at most 256^3, on one thread: what it is made for.
class Libxsmm : public Peer {
 public:
  Libxsmm() { libxsmm_init(); }
  std::string name() const override { return "libxsmm"; }
  std::string about() const override { return std::string(LIBXSMM_VERSION) + " " + libxsmm_get_target_arch(); }
  std::function<void()> Prepare(const Case& c, const Operands& x) override {
    if (c.a_type != c.d_type || c.packed || c.b_transposed || !c.epilogue.empty() || c.flops() > 2 * 256.0 * 256 * 256)
      return {};
    if (c.a_type == DType::kF32) return Made(libxsmm_smmdispatch, c, x, 0.0F);
    if (c.a_type == DType::kF64) return Made(libxsmm_dmmdispatch, c, x, 0.0);
    return {};
  }

 private:
  /// Its matrices are column-major: D^T = B^T * A^T.
  template <class Dispatch, class T>
  static std::function<void()> Made(Dispatch* dispatch, const Case& c, const Operands& x, T zero) {
    const auto m = static_cast<int>(c.m), n = static_cast<int>(c.n), k = static_cast<int>(c.k);
    const auto kernel = dispatch(n, m, k, &n, &k, &n, nullptr, &zero, nullptr, nullptr);
    if (kernel == nullptr) return {};
    return [kernel, a = static_cast<const T*>(x.a), b = static_cast<const T*>(x.b), d = static_cast<T*>(x.d)] {
      kernel(b, a, d);
    };
  }
};

}  // namespace

std::unique_ptr<Peer> OpenLibxsmm(std::vector<std::string>& missing) {
  const char* const threads = std::getenv("OMP_NUM_THREADS");
  if (threads != nullptr && std::string(threads) != "1") {
    missing.push_back("libxsmm: one thread only");
    return nullptr;
  }
  return std::make_unique<Libxsmm>();
}
#else
std::unique_ptr<Peer> OpenLibxsmm(std::vector<std::string>& missing) {
  missing.push_back("libxsmm: not there when this was configured (Debian: libxsmm-dev)");
  return nullptr;
}
#endif

}  // namespace gemmsmith::bench
