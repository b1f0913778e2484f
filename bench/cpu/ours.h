#pragma once

#include <functional>
#include <memory>
#include <string>

#include "contest.h"

namespace gemmsmith::bench {

/// gemmsmith as its users call it: an Engine, prepared for the case, and a packed B where the case asks for one.
class Ours {
 public:
  Ours();
  /// With the reason in place of a function where the library does not do it yet.
  Contestant Prepare(const Case& c, const Operands& operands);
  /// The product alone, and then the epilogue as a pass of its own over D: a product with k = 0.
  Contestant PrepareUnfused(const Case& c, const Operands& operands);
  /// The product without its epilogue.
  Contestant PrepareBare(const Case& c, const Operands& operands);
  /// The config that was chosen for a case; empty where there is none.
  std::string ConfigOf(const Case& c) const;
  Engine& engine() { return engine_; }

 private:
  struct Call;
  std::unique_ptr<Call> Make(const Case& c, const Operands& operands);
  Engine engine_;
};

GemmProblem ProblemOf(const Case& c);

}  // namespace gemmsmith::bench
