// The libraries with a cblas interface. Its constants and types are few, and are given here, because each library's
// header brings others of the same names.
#include <cstdint>
#include <sstream>

#include "peers.h"

namespace gemmsmith::bench {
namespace {

enum : int { kRowMajor = 101, kNoTrans = 111, kTrans = 112, kPacked = 151, kBMatrix = 162, kFixOffset = 173 };

template <class T, class Int>
using Gemm = void(int, int, int, Int, Int, Int, T, const T*, Int, const T*, Int, T, T*, Int);

int TransB(const Case& c) { return c.b_transposed ? kTrans : kNoTrans; }

bool IsPlain(const Case& c, DType type) {
  return c.a_type == type && c.d_type == type && !c.packed && c.epilogue.empty();
}

template <class T, class Int>
std::function<void()> MadePlain(Gemm<T, Int>* gemm, const Case& c, const Operands& x) {
  if (gemm == nullptr) return {};
  const auto m = static_cast<Int>(c.m), n = static_cast<Int>(c.n), k = static_cast<Int>(c.k);
  const auto ldb = static_cast<Int>(c.ldb());
  return [gemm, m, n, k, ldb, trans_b = TransB(c), x] {
    gemm(kRowMajor, kNoTrans, trans_b, m, n, k, 1, static_cast<const T*>(x.a), k, static_cast<const T*>(x.b), ldb, 0,
         static_cast<T*>(x.d), n);
  };
}

/// sgemm and dgemm; Int: the library's integers.
template <class Int>
class Cblas : public Peer {
 public:
  Cblas(std::string name, std::string about, const PeerLibrary& library, const std::string& prefix = "")
      : name_(std::move(name)), about_(std::move(about)) {
    library.Bind(sgemm_, prefix + "cblas_sgemm");
    library.Bind(dgemm_, prefix + "cblas_dgemm");
  }
  std::string name() const override { return name_; }
  std::string about() const override { return about_; }
  std::function<void()> Prepare(const Case& c, const Operands& x) override {
    if (IsPlain(c, DType::kF32)) return MadePlain(sgemm_, c, x);
    if (IsPlain(c, DType::kF64)) return MadePlain(dgemm_, c, x);
    return {};
  }

 private:
  std::string name_, about_;
  Gemm<float, Int>* sgemm_;
  Gemm<double, Int>* dgemm_;
};

/// MKL has packed weights, bf16 and int8 besides.
class Mkl : public Cblas<int> {
 public:
  Mkl(std::string about, const PeerLibrary& library) : Cblas("MKL", std::move(about), library) {
    library.Bind(f32_.size, "cblas_sgemm_pack_get_size");
    library.Bind(f32_.pack, "cblas_sgemm_pack");
    library.Bind(f32_.compute, "cblas_sgemm_compute");
    library.Bind(bf16_.gemm, "cblas_gemm_bf16bf16f32");
    library.Bind(bf16_.size, "cblas_gemm_bf16bf16f32_pack_get_size");
    library.Bind(bf16_.pack, "cblas_gemm_bf16bf16f32_pack");
    library.Bind(bf16_.compute, "cblas_gemm_bf16bf16f32_compute");
    library.Bind(int8_.gemm, "cblas_gemm_s8u8s32");
    library.Bind(int8_.size, "cblas_gemm_s8u8s32_pack_get_size");
    library.Bind(int8_.pack, "cblas_gemm_s8u8s32_pack");
    library.Bind(int8_.compute, "cblas_gemm_s8u8s32_compute");
  }
  std::function<void()> Prepare(const Case& c, const Operands& x) override {
    if (!c.epilogue.empty()) return {};
    if (c.a_type == DType::kF32 && c.packed) return PackedF32(c, x);
    if (c.a_type == DType::kBf16 && c.d_type == DType::kF32) return c.packed ? PackedBf16(c, x) : PlainBf16(c, x);
    if (c.a_type == DType::kU8) return c.packed ? PackedInt8(c, x) : PlainInt8(c, x);
    return Cblas::Prepare(c, x);
  }

 private:
  using PackSize = std::size_t(int identifier, int m, int n, int k);
  using Pack = void(int layout, int identifier, int trans, int m, int n, int k, const void* from, int ld, void* to);
  using Bytes = std::shared_ptr<void>;

  static Bytes Allocate(PackSize* size, const Case& c) {
    constexpr std::size_t kPage = 4096;
    const std::size_t bytes = size(kBMatrix, static_cast<int>(c.m), static_cast<int>(c.n), static_cast<int>(c.k));
    return {std::aligned_alloc(kPage, (bytes + kPage) / kPage * kPage), std::free};
  }
  static Bytes PackB(PackSize* size, Pack* pack, const Case& c, const Operands& x) {
    Bytes b = Allocate(size, c);
    pack(kRowMajor, kBMatrix, TransB(c), static_cast<int>(c.m), static_cast<int>(c.n), static_cast<int>(c.k), x.b,
         static_cast<int>(c.ldb()), b.get());
    return b;
  }

  std::function<void()> PackedF32(const Case& c, const Operands& x) const {
    const auto m = static_cast<int>(c.m), n = static_cast<int>(c.n), k = static_cast<int>(c.k);
    const Bytes b = Allocate(f32_.size, c);
    f32_.pack(kRowMajor, kBMatrix, TransB(c), m, n, k, 1, x.b, static_cast<int>(c.ldb()), b.get());
    return [compute = f32_.compute, m, n, k, x, b] {
      compute(kRowMajor, kNoTrans, kPacked, m, n, k, x.a, k, b.get(), n, 0, x.d, n);
    };
  }
  std::function<void()> PlainBf16(const Case& c, const Operands& x) const {
    const auto m = static_cast<int>(c.m), n = static_cast<int>(c.n), k = static_cast<int>(c.k);
    return [gemm = bf16_.gemm, trans_b = TransB(c), ldb = static_cast<int>(c.ldb()), m, n, k, x] {
      gemm(kRowMajor, kNoTrans, trans_b, m, n, k, 1, x.a, k, x.b, ldb, 0, x.d, n);
    };
  }
  std::function<void()> PackedBf16(const Case& c, const Operands& x) const {
    const auto m = static_cast<int>(c.m), n = static_cast<int>(c.n), k = static_cast<int>(c.k);
    return [compute = bf16_.compute, m, n, k, x, b = PackB(bf16_.size, bf16_.pack, c, x)] {
      compute(kRowMajor, kNoTrans, kPacked, m, n, k, 1, x.a, k, b.get(), n, 0, x.d, n);
    };
  }
  std::function<void()> PlainInt8(const Case& c, const Operands& x) const {
    const auto m = static_cast<int>(c.m), n = static_cast<int>(c.n), k = static_cast<int>(c.k);
    return [gemm = int8_.gemm, trans_b = TransB(c), ldb = static_cast<int>(c.ldb()), m, n, k, x] {
      const std::int32_t zero = 0;
      gemm(kRowMajor, kNoTrans, trans_b, kFixOffset, m, n, k, 1, x.a, k, 0, x.b, ldb, 0, 0, x.d, n, &zero);
    };
  }
  std::function<void()> PackedInt8(const Case& c, const Operands& x) const {
    const auto m = static_cast<int>(c.m), n = static_cast<int>(c.n), k = static_cast<int>(c.k);
    return [compute = int8_.compute, m, n, k, x, b = PackB(int8_.size, int8_.pack, c, x)] {
      const std::int32_t zero = 0;
      compute(kRowMajor, kNoTrans, kPacked, kFixOffset, m, n, k, 1, x.a, k, 0, b.get(), n, 0, 0, x.d, n, &zero);
    };
  }

  struct {
    PackSize* size;
    void (*pack)(int, int, int, int, int, int, float, const void*, int, void*);
    void (*compute)(int, int, int, int, int, int, const void*, int, const void*, int, float, void*, int);
  } f32_;
  struct {
    void (*gemm)(int, int, int, int, int, int, float, const void*, int, const void*, int, float, void*, int);
    PackSize* size;
    Pack* pack;
    void (*compute)(int, int, int, int, int, int, float, const void*, int, const void*, int, float, void*, int);
  } bf16_;
  /// In row-major calls A is u8 and B s8, whatever the name says.
  struct Int8 {
    using Call = void(int, int, int, int, int, int, int, float, const void*, int, std::int8_t, const void*, int,
                      std::int8_t, float, void*, int, const std::int32_t*);
    Call* gemm;
    PackSize* size;
    Pack* pack;
    Call* compute;
  } int8_;
};

}  // namespace

std::unique_ptr<Peer> OpenOpenBlas(const std::string& soname, const std::string& prefix,
                                   std::vector<std::string>& missing) {
  const auto library = PeerLibrary::Open(soname, missing);
  if (library == nullptr) return nullptr;
  const char* (*config)() = nullptr;
  const char* (*core)() = nullptr;
  library->Bind(config, prefix + "openblas_get_config");
  library->Bind(core, prefix + "openblas_get_corename");
  std::istringstream words(config());  // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ..."
  std::string name, version;
  words >> name >> version;
  return std::make_unique<Cblas<int>>(name + " " + version.substr(0, version.find('.', 4)), core(), *library, prefix);
}

std::unique_ptr<Peer> OpenBlis(std::vector<std::string>& missing) {
  const auto library = PeerLibrary::Open("libblis64.so.4", missing);
  if (library == nullptr) return nullptr;
  const char* (*version)() = nullptr;
  const char* (*arch)(int) = nullptr;
  int (*arch_id)() = nullptr;
  library->Bind(version, "bli_info_get_version_str");
  library->Bind(arch, "bli_arch_string");
  library->Bind(arch_id, "bli_arch_query_id");
  return std::make_unique<Cblas<std::int64_t>>("BLIS", std::string(version()) + " " + arch(arch_id()), *library);
}

std::unique_ptr<Peer> OpenMkl(std::vector<std::string>& missing) {
  const auto library = PeerLibrary::Open("libmkl_rt.so.3", missing);
  if (library == nullptr) return nullptr;
  void (*describe)(char*, int) = nullptr;
  library->Bind(describe, "MKL_Get_Version_String");
  char text[256] = {};
  describe(text, sizeof(text) - 1);  // "Intel(R) oneAPI Math Kernel Library Version 2026.2-Product Build ..."
  const std::string words = text;
  const std::size_t begin = words.find("Version ");
  if (begin == std::string::npos) return std::make_unique<Mkl>(words, *library);
  return std::make_unique<Mkl>(words.substr(begin + 8, words.find('-', begin) - begin - 8), *library);
}

}  // namespace gemmsmith::bench
