#include "engine/trial_operands.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <span>

#include "core/groups.h"
#include "runtime/cpu/cpu_device.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr std::size_t kMostSets = 64, kMostBytes = 512 << 20;
constexpr double kLongEnoughMs = 0.2;  // of one timing

std::int64_t CeilDiv(std::int64_t x, std::int64_t y) { return (x + y - 1) / y; }

/// A matrix of a problem, and how many elements it spans.
std::pair<Tensor, std::int64_t> Matrix(DType dtype, std::int64_t rows, std::int64_t columns, Layout layout,
                                       std::int64_t ld, std::int64_t batch, std::int64_t stride) {
  const bool by_rows = layout == Layout::kRowMajor;
  Tensor tensor(static_cast<void*>(nullptr), dtype, {batch, rows, columns});
  tensor.strides = {stride, by_rows ? ld : 1, by_rows ? 1 : ld};
  const std::int64_t lines = by_rows ? rows : columns, run = by_rows ? columns : rows;
  return {tensor, (batch - 1) * stride + std::max<std::int64_t>(0, lines - 1) * ld + run};
}

Tensor Dense(DType dtype, std::int64_t rows, std::int64_t columns) {
  return {static_cast<void*>(nullptr), dtype, {rows, columns}};
}
Tensor Line(DType dtype, std::int64_t length) { return {static_cast<void*>(nullptr), dtype, {length}}; }

}  // namespace

std::string ErrorText(const VerifyReport& report) {
  return fmt::format("error {:.3g} of {:.3g} allowed, at ({}, {})", report.max_error, report.tolerance,
                     report.worst_row, report.worst_column);
}

/// The arguments of a call.
struct TrialOperands::Set {
  GemmArgs args;
  EpilogueArgs epilogue;
  ScaleArgs scales;
  GroupArgs groups;
  std::vector<Buffer> buffers;
};

/// One of the tensors, in all sets.
struct TrialOperands::Operand {
  std::function<Tensor&(Set&)> in;
  Tensor form;  ///< Without data.
  std::vector<std::byte> bytes;
  std::vector<std::byte> packed;  ///< What the device gets in their place.

  /// All elements, those between rows too.
  Tensor all() { return {bytes.data(), form.dtype, {static_cast<std::int64_t>(bytes.size() / SizeOf(form.dtype))}}; }
  const std::vector<std::byte>& device_bytes() const { return packed.empty() ? bytes : packed; }
};

TrialOperands::TrialOperands(const GemmProblem& problem, Device& device, const PackedForm& packed, std::uint64_t seed)
    : problem_(problem), device_(device), host_(std::make_unique<Set>()) {
  if (problem.b_layout == Layout::kPacked) {
    problem_.b_layout = Layout::kRowMajor;
    problem_.ldb = std::max<std::int64_t>(1, problem.n);
  }
  AddMatrices(problem.b_layout == Layout::kPacked ? packed : PackedForm(), seed);
  if (problem.epilogue_id != 0) AddEpilogue(seed + 4);
  if (problem.scaling != Scaling::kNone) AddScales(seed + 20);
  if (problem.grouping != Grouping::kNone) AddGroups(seed + 30);
  MakeSets();
}

TrialOperands::~TrialOperands() = default;

template <class Member>
TrialOperands::Operand& TrialOperands::Add(Member member, const Tensor& form, std::int64_t elements) {
  auto operand = std::make_unique<Operand>();
  if constexpr (std::is_same_v<Member, Tensor GemmArgs::*>)
    operand->in = [member](Set& set) -> Tensor& { return set.args.*member; };
  else if constexpr (std::is_same_v<Member, Tensor ScaleArgs::*>)
    operand->in = [member](Set& set) -> Tensor& { return set.scales.*member; };
  else if constexpr (std::is_same_v<Member, Grouping>)
    operand->in = [member](Set& set) -> Tensor& { return GroupTensor(member, set.groups); };
  else
    operand->in = [member](Set& set) -> Tensor& { return set.epilogue.*member; };
  operand->form = form;
  operand->bytes.resize(static_cast<std::size_t>(std::max<std::int64_t>(1, elements)) * SizeOf(form.dtype));
  Tensor& host = operand->in(*host_) = form;
  host.data = operand->bytes.data();
  operands_.push_back(std::move(operand));
  return *operands_.back();
}

template <class Member>
void TrialOperands::AddFactors(Member member, const Tensor& form, std::uint64_t seed) {
  Operand& operand = Add(member, form, form.size());
  FillRandom(operand.all(), seed);
  auto* const x = reinterpret_cast<float*>(operand.bytes.data());
  for (float& factor : std::span(x, operand.bytes.size() / sizeof(float))) factor = 1 + factor / 2;
}

void TrialOperands::AddScales(std::uint64_t seed) {
  const GemmProblem& p = problem_;
  const std::int64_t k = CeilDiv(p.k, 128);
  const auto factors = [&](std::int64_t groups, std::int64_t rows) {
    return groups == 0 ? Dense(DType::kF32, rows, k)
                       : Tensor(static_cast<void*>(nullptr), DType::kF32, {groups, rows, k});
  };
  AddFactors(&ScaleArgs::a, factors(p.grouping == Grouping::kMasked ? p.groups : 0, p.m), seed);
  AddFactors(&ScaleArgs::b,
             factors(p.grouping == Grouping::kNone ? 0 : p.groups,
                     p.scaling == Scaling::kBlock1x128 ? p.n : CeilDiv(p.n, 128)),
             seed + 1);
  host_->args.scales = &host_->scales;
}

void TrialOperands::AddGroups(std::uint64_t seed) {
  const Tensor form = Line(DType::kS32, GroupElements(problem_));
  FillGroups(problem_, Add(problem_.grouping, form, form.size()).all(), seed);
  host_->args.groups = &host_->groups;
}

void TrialOperands::AddMatrices(const PackedForm& packed, std::uint64_t seed) {
  const GemmProblem& p = problem_;
  const auto add = [&](Tensor GemmArgs::*member, const std::pair<Tensor, std::int64_t>& matrix) -> Operand& {
    Operand& operand = Add(member, matrix.first, matrix.second);
    FillRandom(operand.all(), seed++);
    return operand;
  };
  add(&GemmArgs::a, Matrix(p.a_type, p.m, p.k, p.a_layout, p.lda, p.entries_a(), p.batch_stride_a));
  Operand& b = add(&GemmArgs::b, Matrix(p.b_type, p.k, p.n, p.b_layout, p.ldb, p.entries_b(), p.batch_stride_b));
  if (packed.panel != 0) {
    b.packed.resize(static_cast<std::size_t>(packed.bytes(p.k, p.n)));
    PackB(Tensor(b.bytes.data(), p.b_type, {p.k, p.n}), packed, b.packed.data());
  }
  if (p.beta != BetaClass::kZero) {
    add(&GemmArgs::c, Matrix(p.c_type, p.m, p.d_columns(), p.d_layout, p.ldc, p.entries_d(), p.batch_stride_c));
    host_->args.beta = 1.0;
  }
  add(&GemmArgs::d, Matrix(p.d_type, p.m, p.d_columns(), p.d_layout, p.ldd, p.entries_d(), p.batch_stride_d));
}

void TrialOperands::AddEpilogue(std::uint64_t seed) {
  const GemmProblem& p = problem_;
  const std::optional<Epilogue> known = Epilogue::Find(p.epilogue_id);
  if (!known)
    throw Fail(Code::kInvalidArgument, "make the epilogue in this process", "tune: unknown epilogue {:016x}",
               p.epilogue_id);
  const Epilogue& epilogue = host_->epilogue.epilogue = *known;
  const auto values = [&](bool wanted, Tensor EpilogueArgs::*member, const Tensor& form, std::int64_t elements) {
    if (wanted) FillRandom(Add(member, form, elements).all(), seed++);
  };
  const auto scales = [&](bool wanted, Tensor EpilogueArgs::*member, const Tensor& form) {
    if (wanted) AddFactors(member, form, seed++);
  };
  const auto blocks = [&](EpilogueInput input, Tensor EpilogueArgs::*member) {
    const EpilogueBlock block = epilogue.block(input);
    if (epilogue.Reads(input))
      scales(true, member, Dense(DType::kF32, CeilDiv(p.m, block.rows), CeilDiv(p.d_columns(), block.columns)));
  };
  const auto maxima = [&](EpilogueOutput output, Tensor EpilogueArgs::*member, std::int64_t count) {
    if (epilogue.Makes(output)) Add(member, Dense(DType::kF32, p.batch, count), p.batch * count);
  };
  using enum EpilogueInput;
  values(epilogue.Reads(kBias) || epilogue.Reads(kPairedBias), &EpilogueArgs::bias, Line(p.bias_type, p.n), p.n);
  values(epilogue.Reads(kBiasM), &EpilogueArgs::bias_m, Line(p.bias_type, p.m), p.m);
  const auto [residual, elements] = Matrix(p.residual_type, p.m, p.d_columns(), Layout::kRowMajor, p.ld_residual,
                                           p.entries_d(), p.batch_stride_residual);
  values(epilogue.Reads(kResidual), &EpilogueArgs::residual, residual, elements);
  host_->epilogue.scalar = host_->epilogue.d_scale = 0.75;
  scales(epilogue.Reads(kScaleRow), &EpilogueArgs::scale_row, Line(DType::kF32, p.m));
  scales(epilogue.Reads(kScaleColumn) || epilogue.Reads(kPairedScaleColumn), &EpilogueArgs::scale_column,
         Line(DType::kF32, p.n));
  scales(epilogue.Reads(kDScaleRow), &EpilogueArgs::d_scale_row, Line(DType::kF32, p.m));
  scales(epilogue.Reads(kDScaleColumn), &EpilogueArgs::d_scale_column, Line(DType::kF32, p.d_columns()));
  blocks(kScaleBlock, &EpilogueArgs::scale_block);
  blocks(kDScaleBlock, &EpilogueArgs::d_scale_block);
  const EpilogueBlock block = epilogue.block(EpilogueOutput::kAmaxBlock);
  maxima(EpilogueOutput::kAmaxRow, &EpilogueArgs::amax_row, p.m);
  maxima(EpilogueOutput::kAmaxColumn, &EpilogueArgs::amax_column, p.d_columns());
  if (epilogue.Makes(EpilogueOutput::kAmaxBlock))
    maxima(EpilogueOutput::kAmaxBlock, &EpilogueArgs::amax_block,
           CeilDiv(p.m, block.rows) * CeilDiv(p.d_columns(), block.columns));
  host_->args.epilogue = &host_->epilogue;
}

void TrialOperands::MakeSets() {
  std::size_t bytes = 1;
  for (const auto& operand : operands_) bytes += operand->device_bytes().size();
  const DeviceSpec& spec = device_.spec();
  const auto cache = static_cast<std::size_t>(std::max(spec.l2_bytes, spec.l3_bytes));
  std::size_t count = std::min({cache / bytes + 2, kMostSets, std::max<std::size_t>(1, kMostBytes / bytes)});
  if (device_.emulation() != nullptr) count = 1;
  for (std::size_t i = 0; i < count; ++i) {
    auto set = std::make_unique<Set>();
    set->args = host_->args;
    set->epilogue = host_->epilogue;
    if (host_->args.epilogue != nullptr) set->args.epilogue = &set->epilogue;
    set->scales = host_->scales;
    if (host_->args.scales != nullptr) set->args.scales = &set->scales;
    set->groups = host_->groups;
    if (host_->args.groups != nullptr) set->args.groups = &set->groups;
    for (const auto& operand : operands_) {
      const std::vector<std::byte>& from = operand->device_bytes();
      Buffer& buffer = set->buffers.emplace_back(device_.Allocate(from.size()));
      device_.Copy(buffer.data(), from.data(), from.size());
      Tensor& tensor = operand->in(*set);
      tensor.data = buffer.data();
      tensor.device = device_.id();
      tensor.packed = !operand->packed.empty();
    }
    sets_.push_back(std::move(set));
  }
  device_.Synchronize();
}

void TrialOperands::Launch(const Plan& plan, const Set& set) {
  GemmArgs args = set.args;
  if (!args.c.given()) args.c = args.d;
  if (plan.swapped) args = Canonical(args);
  if (plan.prepare != nullptr) plan.prepare(args, device_, {});
  LaunchSteps(plan, args, {}, workspace_.data());
}

std::string TrialOperands::WhyWrong(const Plan& plan) {
  if (workspace_.bytes() < plan.workspace_bytes) {
    workspace_ = Buffer();
    workspace_ = device_.Allocate(plan.workspace_bytes);
  }
  Set& set = *sets_.front();
  const auto for_each_output = [&](const auto& work) {
    for (std::size_t i = 0; i < operands_.size(); ++i) {
      const void* const place = operands_[i]->in(*host_).data;
      EpilogueArgs& e = host_->epilogue;
      for (const Tensor* output : {&host_->args.d, &e.amax_row, &e.amax_column, &e.amax_block})
        if (output->data == place) work(*operands_[i], set.buffers[i].data());
    }
  };
  for_each_output([&](Operand& operand, void* there) {
    Poison(operand.all());
    device_.Copy(there, operand.bytes.data(), operand.bytes.size());
  });
  Launch(plan, set);
  for_each_output(
      [&](Operand& operand, const void* there) { device_.Copy(operand.bytes.data(), there, operand.bytes.size()); });
  device_.Synchronize();
  const VerifyReport report = Verify(problem_, host_->args, host_->args.c);
  return report.ok ? "" : ErrorText(report);
}

double TrialOperands::Time(const Plan& plan) {
  const auto time = [&](int repeats) {
    const auto begin = device_.CreateEvent(), end = device_.CreateEvent();
    begin->Record({});
    for (int i = 0; i < repeats; ++i) Launch(plan, *sets_[next_++ % sets_.size()]);
    end->Record({});
    return end->MillisecondsSince(*begin) / repeats;
  };
  if (repeats_ == 0) repeats_ = static_cast<int>(std::clamp(kLongEnoughMs / std::max(time(1), 1e-4), 1.0, 1000.0));
  return time(repeats_) * 1e3;
}

}  // namespace gemmsmith
