#pragma once

#include <cstdint>
#include <vector>

#include "gemmsmith/args.h"

namespace gemmsmith {

/// What a grouped call's GroupArgs must have: (m) elements of `index`, or one for each group.
std::int64_t GroupElements(const GemmProblem& problem);
/// The tensor of `groups` that the problem's grouping reads.
const Tensor& GroupTensor(Grouping grouping, const GroupArgs& groups);
Tensor& GroupTensor(Grouping grouping, GroupArgs& groups);

/// The dense problem whose batch entries are a grouped one's groups, were all alike: what the cost model reckons with.
/// Dense problems stay as they are.
GemmProblem AsBatch(const GemmProblem& problem);
/// One entry of it.
GemmProblem OneGroup(const GemmProblem& problem);

/// The rows, or the part of k, of one group: [begin, end). Of kMasked: of its own rows.
struct GroupPart {
  std::int64_t group, begin, end;
};
/// In their order, without empty ones but for those of kAlongK, whose D is all C. `groups`: in host memory. Throws
/// kInvalidArgument for an index, end or count out of range, or a group that does not begin at a multiple of
/// `alignment` rows (GroupAlignment for what kernels take).
std::vector<GroupPart> PartsOf(const GemmProblem& problem, const Tensor& groups, std::int64_t alignment = 1);

/// The dense call that one part of a grouped one is. Lives as long as `args`; not to be moved.
class PartOfCall {
 public:
  PartOfCall(const GemmProblem& problem, const GemmArgs& args, const GroupPart& part);
  PartOfCall(const PartOfCall&) = delete;
  PartOfCall& operator=(const PartOfCall&) = delete;

  const GemmArgs& args() const { return args_; }
  const GemmProblem& problem() const { return problem_; }
  /// Of a tensor that lies as D.
  Tensor OfD(const Tensor& d) const;

 private:
  Tensor Rows(Tensor tensor) const;
  void TakeEpilogue(const EpilogueArgs& epilogue);

  const GroupPart part_;
  const Grouping grouping_;
  GemmArgs args_;
  ScaleArgs scales_;
  EpilogueArgs epilogue_;
  GemmProblem problem_;
};

}  // namespace gemmsmith
