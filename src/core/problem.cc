#include "gemmsmith/problem.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <optional>
#include <type_traits>
#include <vector>

#include "gemmsmith/args.h"
#include "gemmsmith/epilogue.h"
#include "util/digest.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

static_assert(std::has_unique_object_representations_v<GemmProblem>, "the problem is hashed as bytes");

struct Side {
  const char* name;
  std::int64_t rows, columns, ld, batch_stride;
  Layout layout;
  DType dtype;
};

/// Products of sizes stay below 2^60 bytes, so that no offset overflows.
constexpr double kMaxBytes = 0x1p60;

void CheckSide(const Side& side, std::int64_t batch) {
  if (side.layout == Layout::kPacked) return;
  const bool by_rows = side.layout == Layout::kRowMajor;
  const std::int64_t run = by_rows ? side.columns : side.rows, lines = by_rows ? side.rows : side.columns;
  if (lines > 1 && side.ld < run)
    throw Fail(Code::kInvalidArgument, "rows (or columns, if column-major) must not overlap",
               "gemm: leading dimension ld{}={} is shorter than {}", side.name, side.ld, run);
  const double span = (static_cast<double>(side.ld) * lines + static_cast<double>(side.batch_stride) * batch) * 8;
  if (side.batch_stride < 0 || span > kMaxBytes)
    throw Fail(Code::kInvalidArgument, "", "gemm: {} with ld{}={} and batch stride {} does not fit an address space",
               side.name, side.name, side.ld, side.batch_stride);
}

void CheckTypes(const GemmProblem& p) {
  const auto integer = [](DType t) { return Info(t).is_integer(); };
  if (integer(p.a_type) != integer(p.b_type) || (p.a_type == DType::kF64) != (p.b_type == DType::kF64))
    throw Fail(Code::kUnsupported, "convert one of them", "gemm: a ({}) and b ({}) cannot be multiplied",
               ToString(p.a_type), ToString(p.b_type));
  if (p.acc_type != DefaultAccumulator(p.a_type))
    throw Fail(Code::kUnsupported, "", "gemm: {} operands are summed in {}, not in {}", ToString(p.a_type),
               ToString(DefaultAccumulator(p.a_type)), ToString(p.acc_type));
  if (p.beta != BetaClass::kZero && p.c_type != p.d_type)
    throw Fail(Code::kUnsupported, "convert C", "gemm: c ({}) must have the dtype of d ({})", ToString(p.c_type),
               ToString(p.d_type));
}

/// Batch entries of D are whole blocks one after the other, or interleaved row by row; all else overlaps.
void CheckBatchOfD(const GemmProblem& p) {
  const bool by_rows = p.d_layout == Layout::kRowMajor;
  const std::int64_t run = by_rows ? p.d_columns() : p.m, lines = by_rows ? p.m : p.d_columns();
  const std::int64_t entries = p.entries_d();
  if (entries <= 1 || run == 0 || lines == 0) return;
  const bool blocks = p.batch_stride_d >= (lines - 1) * p.ldd + run;
  const bool interleaved = p.batch_stride_d >= run && p.ldd >= (entries - 1) * p.batch_stride_d + run;
  if (!blocks && !interleaved)
    throw Fail(Code::kInvalidArgument, "", "gemm: batch entries of d overlap: stride {} with rows of {} every {}",
               p.batch_stride_d, run, p.ldd);
}

/// Two columns make one of D, or each its own; and as the epilogue says, where this process knows it.
void CheckColumnsPerD(const GemmProblem& p) {
  const std::optional<Epilogue> epilogue = Epilogue::Find(p.epilogue_id);
  const std::int64_t wanted = !epilogue ? p.columns_per_d : epilogue->pairs_columns() ? 2 : 1;
  if (p.columns_per_d != wanted || p.columns_per_d < 1 || p.columns_per_d > 2)
    throw Fail(Code::kInvalidArgument, "call SetEpilogue", "gemm: columns_per_d={} does not fit the epilogue",
               p.columns_per_d);
  if (p.columns_per_d == 1) return;
  if (p.n % 2 != 0)
    throw Fail(Code::kInvalidArgument, "pad B", "gemm: n={} must be even for an epilogue that pairs columns", p.n);
  if (p.beta != BetaClass::kZero)
    throw Fail(Code::kUnsupported, "give no beta; a residual is added after the pairing",
               "gemm: an epilogue that pairs columns takes no c");
}

void CheckEpilogue(const GemmProblem& p) {
  if (p.epilogue_id == 0) return;
  if (p.d_layout != Layout::kRowMajor)
    throw Fail(Code::kUnsupported, "give D row-major", "gemm: an epilogue needs a row-major d");
  if (p.acc_type != DType::kF32 && p.acc_type != DType::kS32)
    throw Fail(Code::kUnsupported, "", "gemm: epilogues compute in f32, and the accumulator is {}",
               ToString(p.acc_type));
  if (p.ld_residual != 0)
    CheckSide(
        {"residual", p.m, p.d_columns(), p.ld_residual, p.batch_stride_residual, Layout::kRowMajor, p.residual_type},
        p.entries_d());
}

void CheckScaling(const GemmProblem& p) {
  if (p.scaling == Scaling::kNone) return;
  if (p.acc_type != DType::kF32)
    throw Fail(Code::kUnsupported, "", "gemm: block scales are f32, and the accumulator is {}", ToString(p.acc_type));
  if (p.batch > 1 || p.d_layout != Layout::kRowMajor || p.a_layout == Layout::kPacked || p.b_layout == Layout::kPacked)
    throw Fail(Code::kUnsupported, "call once for each entry, with a row-major d",
               "gemm: block scales take no batch ({}), no packed operands and no column-major d", p.batch);
}

/// Whether what an epilogue does to rows is the same, wherever a group begins.
bool KnowsNoPlace(const Epilogue& epilogue) {
  for (const EpilogueInput input : {EpilogueInput::kRow, EpilogueInput::kScaleBlock, EpilogueInput::kDScaleBlock})
    if (epilogue.Reads(input)) return false;
  for (const EpilogueOutput output :
       {EpilogueOutput::kAmaxRow, EpilogueOutput::kAmaxColumn, EpilogueOutput::kAmaxBlock})
    if (epilogue.Makes(output)) return false;
  return true;
}

void CheckGrouping(const GemmProblem& p) {
  if (p.grouping == Grouping::kNone) {
    if (p.groups == 1 && p.expected_m == 0) return;
    throw Fail(Code::kInvalidArgument, "call SetGrouping", "gemm: groups={} and expected_m={} without a grouping",
               p.groups, p.expected_m);
  }
  if (p.batch != 1 || p.d_layout != Layout::kRowMajor || p.b_layout == Layout::kPacked)
    throw Fail(Code::kUnsupported, "give D row-major, and plain operands",
               "gemm: groups take no batch ({}), no packed operands and no column-major d", p.batch);
  if (const std::optional<Epilogue> epilogue = Epilogue::Find(p.epilogue_id); epilogue && !KnowsNoPlace(*epilogue))
    throw Fail(Code::kUnsupported, "apply it in a launch of its own",
               "gemm: groups take no epilogue with maxima, block scales or a row's number");
  if (p.grouping == Grouping::kAlongK && p.scaling != Scaling::kNone)
    throw Fail(Code::kUnsupported, "", "gemm: groups along k take no block scales");
  if (p.expected_m < 0 || p.expected_m > p.m || (p.expected_m != 0 && p.grouping == Grouping::kAlongK))
    throw Fail(Code::kInvalidArgument, "", "gemm: expected_m={} of groups of at most m={} rows", p.expected_m,
               p.grouping == Grouping::kAlongK ? 0 : p.m);
}

std::uint8_t TightAlignment(const GemmProblem& p) {
  const std::uint64_t bits =
      p.lda * SizeOf(p.a_type) | p.ldb * SizeOf(p.b_type) | p.ldc * SizeOf(p.c_type) | p.ldd * SizeOf(p.d_type) | 16;
  return static_cast<std::uint8_t>(std::countr_zero(bits));
}

/// The types that epilogues read.
bool IsFloat(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBf16; }

/// D is dense where that gives it another number of columns.
void SetColumnsPerD(GemmProblem& p, std::int64_t columns) {
  if (p.columns_per_d == columns) return;
  p.columns_per_d = columns;
  const bool by_rows = p.d_layout == Layout::kRowMajor;
  p.ldd = std::max<std::int64_t>(1, by_rows ? p.d_columns() : p.m);
  p.batch_stride_d = p.ldd * (by_rows ? p.m : p.d_columns());
  p.alignment = std::min(p.alignment, TightAlignment(p));
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

Layout ParseLayout(std::string_view layout, std::size_t i) {
  if (layout.size() == 2 && layout[i] == 'n') return Layout::kRowMajor;
  if (layout.size() == 2 && layout[i] == 't') return Layout::kColMajor;
  throw Fail(Code::kInvalidArgument, "", "unknown layout \"{}\": there are nn, nt, tn, tt (t: stored transposed)",
             layout);
}

}  // namespace

DType DefaultAccumulator(DType a_type) {
  return a_type == DType::kF64 ? DType::kF64 : Info(a_type).is_integer() ? DType::kS32 : DType::kF32;
}

GemmProblem MakeProblem(std::int64_t m, std::int64_t n, std::int64_t k, DType dtype, std::string_view layout,
                        BetaClass beta) {
  GemmProblem p;
  p.m = m, p.n = n, p.k = k;
  p.a_layout = ParseLayout(layout, 0);
  p.b_layout = ParseLayout(layout, 1);
  p.beta = beta;
  p.lda = std::max<std::int64_t>(1, p.a_layout == Layout::kRowMajor ? k : m);
  p.ldb = std::max<std::int64_t>(1, p.b_layout == Layout::kRowMajor ? n : k);
  p.ldd = std::max<std::int64_t>(1, n);
  p.ldc = beta == BetaClass::kZero ? 0 : p.ldd;
  SetDTypes(p, ToString(dtype));
  Validate(p);
  return Normalized(p);
}

GemmProblem Normalized(GemmProblem p) {
  const auto side = [](Layout& layout, std::int64_t& ld, std::int64_t rows, std::int64_t columns) {
    if (layout == Layout::kColMajor && (columns <= 1 || rows == 0 || ld == 1)) {
      layout = Layout::kRowMajor;
      ld = 1;
    }
    if (layout == Layout::kRowMajor && rows <= 1) ld = std::max<std::int64_t>(columns, 1);
    if (layout == Layout::kPacked) ld = 0;
  };
  side(p.a_layout, p.lda, p.m, p.k);
  side(p.b_layout, p.ldb, p.k, p.n);
  Layout c_layout = p.d_layout;
  if (p.beta != BetaClass::kZero) side(c_layout, p.ldc, p.m, p.n);
  side(p.d_layout, p.ldd, p.m, p.d_columns());
  if (p.ld_residual != 0 && p.m <= 1) p.ld_residual = std::max<std::int64_t>(p.d_columns(), 1);
  if (p.entries_a() == 1) p.batch_stride_a = 0;
  if (p.entries_b() == 1) p.batch_stride_b = 0;
  if (p.entries_d() == 1) p.batch_stride_c = p.batch_stride_d = p.batch_stride_residual = 0;
  if (p.beta == BetaClass::kZero) {
    p.ldc = p.batch_stride_c = 0;
    p.c_type = p.d_type;
  }
  return p;
}

void SetDTypes(GemmProblem& p, std::string_view dtypes) {
  const std::vector<std::string_view> names = Split(dtypes, ',');
  if (names.size() != 1 && names.size() != 3 && names.size() != 4)
    throw Fail(Code::kInvalidArgument, "give one dtype, or a,b,d, or a,b,d,acc", "dtypes \"{}\"", dtypes);
  p.a_type = ParseDType(names[0]);
  p.b_type = names.size() == 1 ? p.a_type : ParseDType(names[1]);
  p.acc_type = names.size() == 4 ? ParseDType(names[3]) : DefaultAccumulator(p.a_type);
  p.d_type = names.size() == 1 ? (Info(p.a_type).is_integer() ? DType::kS32 : p.a_type) : ParseDType(names[2]);
  p.c_type = p.d_type;
  if (p.a_type != DType::kF32 || p.b_type != DType::kF32) p.compute = ComputeMode::kIeee;
  p.alignment = TightAlignment(p);
}

std::string_view ToString(ComputeMode mode) { return mode == ComputeMode::kTf32 ? "tf32" : "ieee"; }

void SetCompute(GemmProblem& p, std::string_view mode) {
  const ComputeMode wanted = mode == ToString(ComputeMode::kTf32) ? ComputeMode::kTf32 : ComputeMode::kIeee;
  if (mode != ToString(wanted))
    throw Fail(Code::kInvalidArgument, "", "unknown compute mode \"{}\": there are ieee and tf32", mode);
  if (wanted == ComputeMode::kTf32 && (p.a_type != DType::kF32 || p.b_type != DType::kF32))
    throw Fail(Code::kInvalidArgument, "", "compute mode tf32 is for f32 by f32, not for {} by {}", ToString(p.a_type),
               ToString(p.b_type));
  p.compute = wanted;
}

namespace {

constexpr std::pair<Scaling, std::string_view> kScalings[] = {
    {Scaling::kNone, "none"}, {Scaling::kBlock1x128, "1x128"}, {Scaling::kBlock128x128, "128x128"}};

}  // namespace

std::string_view ToString(Scaling scaling) { return kScalings[static_cast<std::size_t>(scaling)].second; }

void SetScaling(GemmProblem& p, std::string_view scaling) {
  const auto* const row =
      std::find_if(std::begin(kScalings), std::end(kScalings), [&](const auto& r) { return r.second == scaling; });
  if (row == std::end(kScalings))
    throw Fail(Code::kInvalidArgument, "", "unknown scaling \"{}\": there are none, 1x128 and 128x128", scaling);
  p.scaling = row->first;
  Validate(p);
}

namespace {

void SetDenseStrides(GemmProblem& p) {
  const auto stride = [](Layout layout, std::int64_t ld, std::int64_t rows, std::int64_t columns) {
    return ld * (layout == Layout::kRowMajor ? rows : columns);
  };
  p.batch_stride_a = stride(p.a_layout, p.lda, p.m, p.k);
  p.batch_stride_b = stride(p.b_layout, p.ldb, p.k, p.n);
  p.batch_stride_c = stride(p.d_layout, p.ldc, p.m, p.n);
  p.batch_stride_d = stride(p.d_layout, p.ldd, p.m, p.d_columns());
  p.batch_stride_residual = p.ld_residual * p.m;
  Validate(p);
  p = Normalized(p);
}

constexpr std::pair<Grouping, std::string_view> kGroupings[] = {{Grouping::kNone, "none"},
                                                                {Grouping::kContiguous, "contiguous"},
                                                                {Grouping::kMasked, "masked"},
                                                                {Grouping::kAlongK, "along_k"},
                                                                {Grouping::kEnds, "ends"}};

std::int64_t ParseCount(std::string_view text, std::string_view grouping) {
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count < 1)
    throw Fail(Code::kInvalidArgument, "write masked:32, or masked:32:192 for 32 groups of about 192 rows",
               "grouping \"{}\"", grouping);
  return count;
}

}  // namespace

void SetBatch(GemmProblem& p, std::int64_t batch) {
  p.batch = batch;
  SetDenseStrides(p);
}

std::string_view ToString(Grouping grouping) { return kGroupings[static_cast<std::size_t>(grouping)].second; }

void SetGrouping(GemmProblem& p, std::string_view grouping) {
  const std::vector<std::string_view> parts = Split(grouping, ':');
  const auto* const row =
      std::find_if(std::begin(kGroupings), std::end(kGroupings), [&](const auto& r) { return r.second == parts[0]; });
  const bool none = row == std::begin(kGroupings);
  if (row == std::end(kGroupings) || parts.size() > 3 || (parts.size() == 1) != none)
    throw Fail(Code::kInvalidArgument, "write masked:32, or masked:32:192 for 32 groups of about 192 rows",
               "grouping \"{}\": there are none, contiguous, ends, masked and along_k", grouping);
  p.grouping = row->first;
  p.groups = none ? 1 : ParseCount(parts[1], grouping);
  p.expected_m = parts.size() > 2 ? ParseCount(parts[2], grouping) : 0;
  SetDenseStrides(p);
}

void SetEpilogue(GemmProblem& p, const Epilogue& epilogue, DType bias_type) {
  const bool biased = epilogue.Reads(EpilogueInput::kBias) || epilogue.Reads(EpilogueInput::kBiasM);
  const bool has_residual = epilogue.Reads(EpilogueInput::kResidual);
  p.epilogue_id = epilogue.id();
  SetColumnsPerD(p, epilogue.pairs_columns() ? 2 : 1);
  p.bias_type = biased ? bias_type : DType::kF32;
  p.residual_type = has_residual && IsFloat(p.d_type) ? p.d_type : DType::kF32;
  p.ld_residual = has_residual ? std::max<std::int64_t>(p.d_columns(), 1) : 0;
  p.batch_stride_residual = p.ld_residual * p.m;
  Validate(p);
  p = Normalized(p);
}

void Validate(const GemmProblem& p) {
  if (p.m < 0 || p.n < 0 || p.k < 0 || p.batch < 0 || p.groups < 1)
    throw Fail(Code::kInvalidArgument, "", "gemm: sizes must not be negative: m={} n={} k={} batch={} groups={}", p.m,
               p.n, p.k, p.batch, p.groups);
  if (p.a_layout == Layout::kPacked || p.d_layout == Layout::kPacked ||
      (p.b_layout == Layout::kPacked && p.d_layout != Layout::kRowMajor))
    throw Fail(Code::kUnsupported, "give D row-major", "gemm: only b can be packed, and only beside a row-major d");
  CheckColumnsPerD(p);
  CheckSide({"a", p.m, p.k, p.lda, p.batch_stride_a, p.a_layout, p.a_type}, p.entries_a());
  CheckSide({"b", p.k, p.n, p.ldb, p.batch_stride_b, p.b_layout, p.b_type}, p.entries_b());
  CheckSide({"d", p.m, p.d_columns(), p.ldd, p.batch_stride_d, p.d_layout, p.d_type}, p.entries_d());
  if (p.beta != BetaClass::kZero)
    CheckSide({"c", p.m, p.n, p.ldc, p.batch_stride_c, p.d_layout, p.c_type}, p.entries_d());
  CheckBatchOfD(p);
  CheckTypes(p);
  CheckEpilogue(p);
  CheckScaling(p);
  CheckGrouping(p);
}

std::size_t Hash(const GemmProblem& problem) { return Hash64(&problem, sizeof(problem)); }

std::string LayoutName(const GemmProblem& p) {
  const auto letter = [](Layout layout) {
    return layout == Layout::kRowMajor ? 'n' : layout == Layout::kColMajor ? 't' : 'p';
  };
  return std::string{letter(p.a_layout), letter(p.b_layout)} + (p.d_layout == Layout::kColMajor ? "^T" : "");
}

std::string ToString(const GemmProblem& p) {
  std::string text = fmt::format("m={} n={} k={} {}", p.m, p.n, p.k, ToString(p.a_type));
  if (p.b_type != p.a_type || p.d_type != p.a_type)
    text += fmt::format(",{},{}", ToString(p.b_type), ToString(p.d_type));
  text += fmt::format(" {}", LayoutName(p));
  if (p.batch != 1) text += fmt::format(" batch={}", p.batch);
  if (p.beta != BetaClass::kZero) text += " beta";
  if (p.grouping != Grouping::kNone) text += fmt::format(" grouping={}:{}", ToString(p.grouping), p.groups);
  if (p.expected_m != 0) text += fmt::format(":{}", p.expected_m);
  if (p.compute == ComputeMode::kTf32) text += " tf32";
  if (p.scaling != Scaling::kNone) text += fmt::format(" scaling={}", ToString(p.scaling));
  if (p.epilogue_id != 0) text += fmt::format(" epilogue={:016x}", p.epilogue_id);
  if (p.columns_per_d != 1) text += fmt::format(" columns_per_d={}", p.columns_per_d);
  return text;
}

}  // namespace gemmsmith
