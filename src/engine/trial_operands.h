#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/plan_table.h"
#include "gemmsmith/verify.h"
#include "kernels/cpu_gemm.h"

namespace gemmsmith {

/// Random operands of a problem on a device, to check and to time its plans with. They are there several times over,
/// one set used after the other, so that together they exceed the last cache: as the layers of a model follow each
/// other, a call finds its weights in memory. (At most 64 sets and 512 MiB; on an emulated device one.)
class TrialOperands {
 public:
  /// `packed`: how the device packs a B; needed where the problem's is.
  TrialOperands(const GemmProblem& problem, Device& device, const PackedForm& packed, std::uint64_t seed);
  ~TrialOperands();

  /// Runs `plan` once and compares with a float64 reference. Empty: it is right; else how it is not.
  std::string WhyWrong(const Plan& plan);
  /// Microseconds of a call; of several, where one is short against the clock's grain.
  double Time(const Plan& plan);

 private:
  struct Set;
  struct Operand;

  void AddMatrices(const PackedForm& packed, std::uint64_t seed);
  void AddEpilogue(std::uint64_t seed);
  void AddScales(std::uint64_t seed);
  void AddGroups(std::uint64_t seed);
  /// Around 1.
  template <class Member>
  void AddFactors(Member member, const Tensor& form, std::uint64_t seed);
  template <class Member>
  Operand& Add(Member member, const Tensor& form, std::int64_t elements);
  void MakeSets();
  void Launch(const Plan& plan, const Set& set);

  GemmProblem problem_;  // Of the reference: B as it was before it was packed.
  Device& device_;
  std::vector<std::unique_ptr<Operand>> operands_;
  std::unique_ptr<Set> host_;
  std::vector<std::unique_ptr<Set>> sets_;
  Buffer workspace_;
  std::size_t next_ = 0;
  int repeats_ = 0;  // 0: not known yet
};

/// "error 0.5 of 1e-06 allowed, at (3, 4)".
std::string ErrorText(const VerifyReport& report);

}  // namespace gemmsmith
