#pragma once

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gemmsmith/gemmsmith.h"

namespace gemmsmith::bench {

/// One row: a product that every contestant computes. Dense, row-major but for a transposed B, which is stored (n, k).
struct Case {
  std::string set;
  std::int64_t m = 0, n = 0, k = 0;
  bool b_transposed = false;
  bool packed = false;  ///< B was brought into each library's own form before.
  DType a_type = DType::kF32, b_type = DType::kF32, d_type = DType::kF32;
  std::string epilogue;  ///< "bias+gelu", with a bias over n; empty: none.

  double flops() const { return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k); }
  std::int64_t ldb() const { return b_transposed ? k : n; }
  double b_bytes() const { return static_cast<double>(n) * static_cast<double>(k * std::int64_t(SizeOf(b_type))); }
};
/// "f32 nn 16x16x16 packed".
std::string ToString(const Case& c);

struct Operands {
  const void *a, *b;
  const float* bias;
  void* d;
};

/// The operands of all cases of one set lie in the same memory, filled once.
class OperandPool {
 public:
  explicit OperandPool(const std::vector<Case>& cases);
  Operands For(const Case& c) const;

 private:
  struct Free {
    void operator()(void* pointer) const { std::free(pointer); }
  };
  using Memory = std::unique_ptr<void, Free>;
  static Memory Allocate(std::size_t bytes);
  Memory a_, b_, d_;
  std::vector<float> bias_;
};

enum class Role { kOurs, kPeer, kLimit };

/// Who takes part in a row. Without `run`, `why` says why not.
struct Contestant {
  std::string name;
  Role role;
  std::function<void()> run = {};
  std::string why = {};
  double work = 0;      ///< Of a limit: what one run does, in operations or bytes.
  bool checked = true;  ///< It makes all of D.
  std::vector<double> seconds = {};
};

struct Effort {
  double row_seconds = 0.25;
  int min_rounds = 5, max_rounds = 21;
};

/// Every round times each contestant in turn, so that all meet the same machine. Whoever computes something else than
/// the product is left out, which its row says.
nlohmann::json Compete(const Case& c, const Operands& operands, std::vector<Contestant> contestants, int threads,
                       const Effort& effort);

}  // namespace gemmsmith::bench
