#pragma once

#include <memory>
#include <string>
#include <vector>

#include "case.h"

namespace gemmsmith::bench {

/// cuBLASLt, opened at run time.
class CublasLt {
 public:
  /// Throws std::runtime_error where it is not there.
  explicit CublasLt(Device& device);
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  /// A case, and the algorithms that its heuristic proposes for it.
  class Product {
   public:
    /// Throws std::runtime_error where cuBLASLt does not do the case.
    Product(const CublasLt& library, const Case& c);
    ~Product();
    Product(const Product&) = delete;
    Product& operator=(const Product&) = delete;

    std::size_t algorithms() const;
    void Run(std::size_t algorithm, const GemmArgs& args, Stream stream) const;

   private:
    struct State;
    std::unique_ptr<State> state_;
  };

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gemmsmith::bench
