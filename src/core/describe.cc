#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <numeric>
#include <span>

#include "core/describe_groups.h"
#include "core/describe_scales.h"
#include "gemmsmith/args.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// A matrix as the problem speaks of it. On the path of every call: no strings but in errors.
struct Matrix {
  std::int64_t batch, rows, columns, ld, batch_stride;
  Layout layout;
};

std::int64_t CeilDiv(std::int64_t x, std::int64_t y) { return (x + y - 1) / y; }

[[noreturn]] void BadRank(const char* name, int rank) {
  throw Fail(Code::kInvalidArgument, "", "gemm: {} has rank {}; (rows, columns) or (batch, rows, columns) is wanted",
             name, rank);
}
[[noreturn]] void NoUnitStride(const char* name, std::int64_t row, std::int64_t column) {
  throw Fail(Code::kInvalidArgument, "copy it into a dense tensor",
             "gemm: {} has strides ({}, {}); one of the last two must be 1", name, row, column);
}
[[noreturn]] void Mismatch(const char* what, std::int64_t x, std::int64_t y) {
  throw Fail(Code::kInvalidArgument, "", "gemm: {}: {} and {}", what, x, y);
}

Matrix View(const char* name, const Tensor& t) {
  if (t.rank != 2 && t.rank != 3) [[unlikely]]
    BadRank(name, t.rank);
  const int r = t.rank - 2;
  Matrix v{r == 1 ? t.shape[0] : 1, t.shape[r], t.shape[r + 1], 0, r == 1 ? t.strides[0] : 0, Layout::kRowMajor};
  if (t.rank == 3 && v.batch == 1) v.batch_stride = 0;
  const std::int64_t row = t.strides[r], column = t.strides[r + 1];
  if (t.packed) {
    v.layout = Layout::kPacked;
  } else if (column == 1 || v.columns <= 1 || v.rows == 0) {
    v.ld =
        v.rows <= 1 ? std::max<std::int64_t>(v.columns, 1) : row;  // a single row has no leading dimension to differ in
  } else if (row == 1 || v.rows <= 1) {
    v.layout = Layout::kColMajor;
    v.ld = column;
  } else {
    NoUnitStride(name, row, column);
  }
  return v;
}

/// Bytes from the first to past the last element, a bounding range.
std::int64_t Span(const Matrix& v, DType dtype) {
  if (v.rows <= 0 || v.columns <= 0 || v.batch <= 0) return 0;
  const std::int64_t size = static_cast<std::int64_t>(SizeOf(dtype));
  if (v.layout == Layout::kPacked) return v.rows * v.columns * size;
  const bool by_rows = v.layout == Layout::kRowMajor;
  const std::int64_t lines = by_rows ? v.rows : v.columns, run = by_rows ? v.columns : v.rows;
  return ((v.batch - 1) * v.batch_stride + (lines - 1) * v.ld + run) * size;
}

/// Whether two matrices whose bounding ranges meet are column ranges of one wider matrix, side by side.
bool SideBySide(const Tensor& x, const Matrix& vx, const Tensor& y, const Matrix& vy) {
  const std::int64_t pitch = vx.ld * static_cast<std::int64_t>(SizeOf(x.dtype));
  if (vx.batch != 1 || vy.batch != 1 || vx.layout != vy.layout || vx.layout == Layout::kPacked || pitch <= 0 ||
      pitch != vy.ld * static_cast<std::int64_t>(SizeOf(y.dtype)))
    return false;
  const auto width = [](const Matrix& v, const Tensor& t) {
    return (v.layout == Layout::kRowMajor ? v.columns : v.rows) * static_cast<std::int64_t>(SizeOf(t.dtype));
  };
  std::int64_t offset = (static_cast<const char*>(y.data) - static_cast<const char*>(x.data)) % pitch;
  if (offset < 0) offset += pitch;
  return offset >= width(vx, x) && offset + width(vy, y) <= pitch;
}

bool Overlap(const Tensor& x, const Matrix& vx, const Tensor& y, const Matrix& vy) {
  const auto x0 = reinterpret_cast<std::uintptr_t>(x.data), y0 = reinterpret_cast<std::uintptr_t>(y.data);
  const auto x1 = x0 + Span(vx, x.dtype), y1 = y0 + Span(vy, y.dtype);
  return x0 < y1 && y0 < x1 && x0 != x1 && y0 != y1 && !SideBySide(x, vx, y, vy);
}

void CheckPointer(const char* name, const Tensor& t, const Matrix& v) {
  if (t.data == nullptr && v.rows > 0 && v.columns > 0 && v.batch > 0) [[unlikely]]
    throw Fail(Code::kInvalidArgument, "", "gemm: {} is a null pointer", name);
}

std::uint64_t AlignmentBits(const Tensor& t, const Matrix& v) {
  const std::uint64_t size = SizeOf(t.dtype);
  return reinterpret_cast<std::uintptr_t>(t.data) | v.ld * size | v.batch_stride * size;
}

/// Sums of integers are scaled by integers.
void CheckWhole(const char* name, const Scalar& scalar) {
  const double value = scalar.value;
  if (scalar.device_pointer == nullptr && !(value == std::trunc(value) && std::fabs(value) <= 0x7fffffff)) [[unlikely]]
    throw Fail(Code::kInvalidArgument, "scale in an epilogue: \"scale\", \"scale_row\", \"scale_column\"",
               "gemm: {} is {}, and sums of integers take a whole number of 32 bits", name, value);
}

/// How many matrices each operand must be.
struct Entries {
  std::int64_t a, b, d;
};

void CheckShapes(const Matrix& a, const Matrix& b, const Matrix& d, bool pairs_columns, bool grouped,
                 const Entries& wanted) {
  if (a.columns != b.rows) [[unlikely]]
    Mismatch("columns of a and rows of b differ", a.columns, b.rows);
  if (d.rows != a.rows) [[unlikely]]
    Mismatch("rows of d and rows of a differ", d.rows, a.rows);
  if (pairs_columns) {
    if (b.columns % 2 != 0) [[unlikely]]
      throw Fail(Code::kInvalidArgument, "pad B", "gemm: b has {} columns; an epilogue that pairs them wants even",
                 b.columns);
    if (d.columns != b.columns / 2) [[unlikely]]
      Mismatch("columns of d and pairs of columns of b differ", d.columns, b.columns / 2);
  } else if (d.columns != b.columns) [[unlikely]] {
    Mismatch("columns of d and columns of b differ", d.columns, b.columns);
  }
  if (a.batch != wanted.a && (grouped || a.batch_stride != 0)) [[unlikely]]
    Mismatch(grouped ? "groups of a and groups of b differ" : "batch of a and batch of d differ", a.batch, wanted.a);
  if (b.batch != wanted.b && (grouped || b.batch_stride != 0)) [[unlikely]]
    Mismatch("batch of b and batch of d differ", b.batch, wanted.b);
  if (d.batch != wanted.d) [[unlikely]]
    Mismatch("groups of d and groups of b differ", d.batch, wanted.d);
}

void CheckOutput(const GemmArgs& args, const Matrix& a, const Matrix& b, const Matrix& d) {
  if (args.d.read_only || args.d.packed) [[unlikely]]
    throw Fail(Code::kInvalidArgument, "", "gemm: d is {}", args.d.packed ? "packed" : "read-only");
  if (args.a.device != args.d.device || args.b.device != args.d.device) [[unlikely]]
    throw Fail(Code::kInvalidArgument, "copy them to one device", "gemm: a is on {}, b on {}, d on {}",
               ToString(args.a.device), ToString(args.b.device), ToString(args.d.device));
  if (Overlap(args.d, d, args.a, a) || Overlap(args.d, d, args.b, b)) [[unlikely]]
    throw Fail(Code::kInvalidArgument, "write to other memory", "gemm: d overlaps {}",
               Overlap(args.d, d, args.a, a) ? "a" : "b");
}

Matrix CheckedC(const GemmArgs& args, const Matrix& d) {
  const Tensor& given = args.c.given() ? args.c : args.d;
  const Matrix c = View("c", given);
  if (c.rows != d.rows || c.columns != d.columns || c.batch != d.batch) [[unlikely]]
    throw Fail(Code::kInvalidArgument, "", "gemm: c is ({}, {}, {}), d is ({}, {}, {})", c.batch, c.rows, c.columns,
               d.batch, d.rows, d.columns);
  CheckPointer("c", given, c);
  if (given.device != args.d.device) [[unlikely]]
    throw Fail(Code::kInvalidArgument, "copy it", "gemm: c is on {}, d on {}", ToString(given.device),
               ToString(args.d.device));
  const bool same = given.data == args.d.data && c.ld == d.ld && c.batch_stride == d.batch_stride;
  if (!same && Overlap(args.d, d, given, c)) [[unlikely]]
    throw Fail(Code::kInvalidArgument, "give C as D itself, or apart from it", "gemm: d overlaps part of c");
  if (c.layout != d.layout && c.rows > 1 && c.columns > 1) [[unlikely]]
    throw Fail(Code::kUnsupported, "copy C into D's layout", "gemm: c must be row-major or column-major as d is");
  return c;
}

/// A tensor of the call, with the matrix that it is.
struct Named {
  const char* name;
  const Tensor* tensor;
  Matrix matrix;
};

/// The vectors, matrices and scalars that an epilogue reads, and the maxima that it makes, against the product's and
/// D's size.
class EpilogueTensors {
 public:
  /// `operands`: what the product is made of.
  EpilogueTensors(const GemmArgs& args, const Matrix& d, std::span<const Named> operands)
      : args_(args), e_(*args.epilogue), d_(d), operands_(operands) {
    written_[written_count_++] = {"d", &args.d, d};
  }

  void Describe(GemmProblem& p) {
    p.epilogue_id = e_.epilogue.id();
    Maxima();
    if (Reads(EpilogueInput::kBias) || Reads(EpilogueInput::kPairedBias)) p.bias_type = Vector("bias", e_.bias, p.n);
    if (Reads(EpilogueInput::kBiasM)) BiasM(p);
    if (Reads(EpilogueInput::kResidual)) Residual(p);
    if (Reads(EpilogueInput::kScaleRow)) Scale("scale_row", e_.scale_row, p.m);
    if (Reads(EpilogueInput::kDScaleRow)) Scale("d_scale_row", e_.d_scale_row, p.m);
    if (Reads(EpilogueInput::kScaleColumn) || Reads(EpilogueInput::kPairedScaleColumn))
      Scale("scale_column", e_.scale_column, p.n);
    if (Reads(EpilogueInput::kDScaleColumn)) Scale("d_scale_column", e_.d_scale_column, d_.columns);
    if (Reads(EpilogueInput::kScaleBlock)) Blocks("scale_block", e_.scale_block, EpilogueInput::kScaleBlock);
    if (Reads(EpilogueInput::kDScaleBlock)) Blocks("d_scale_block", e_.d_scale_block, EpilogueInput::kDScaleBlock);
  }

 private:
  bool Reads(EpilogueInput input) const { return e_.epilogue.Reads(input); }

  /// Against D and the maxima so far.
  void CheckGiven(const char* name, const Tensor& t, const Matrix& v) const {
    CheckPointer(name, t, v);
    if (t.device != args_.d.device)
      throw Fail(Code::kInvalidArgument, "copy it", "gemm: {} is on {}, d on {}", name, ToString(t.device),
                 ToString(args_.d.device));
    for (const Named& written : std::span(written_).first(written_count_)) CheckApart(written, {name, &t, v});
  }
  static void CheckApart(const Named& written, const Named& other) {
    if (Overlap(*written.tensor, written.matrix, *other.tensor, other.matrix))
      throw Fail(Code::kInvalidArgument, "write to other memory", "gemm: {} overlaps {}", written.name, other.name);
  }

  void Maxima() {
    const EpilogueBlock block = e_.epilogue.block(EpilogueOutput::kAmaxBlock);
    if (e_.epilogue.Makes(EpilogueOutput::kAmaxRow)) Maximum("amax_row", e_.amax_row, {d_.rows});
    if (e_.epilogue.Makes(EpilogueOutput::kAmaxColumn)) Maximum("amax_column", e_.amax_column, {d_.columns});
    if (e_.epilogue.Makes(EpilogueOutput::kAmaxBlock))
      Maximum("amax_block", e_.amax_block, {CeilDiv(d_.rows, block.rows), CeilDiv(d_.columns, block.columns)});
  }
  /// `extents` of one batch entry.
  void Maximum(const char* name, const Tensor& t, std::initializer_list<std::int64_t> extents) {
    const std::int64_t size = std::accumulate(extents.begin(), extents.end(), std::int64_t{1}, std::multiplies<>());
    if (t.dtype != DType::kF32 || !IsDense(t, extents))
      throw Fail(Code::kInvalidArgument, "",
                 "gemm: {} must be f32, dense, and {} elements for each of {} batch entries", name, size, d_.batch);
    if (t.read_only) throw Fail(Code::kInvalidArgument, "", "gemm: {} is read-only", name);
    const Matrix v{1, d_.batch, size, size, 0, Layout::kRowMajor};
    CheckGiven(name, t, v);
    for (const Named& operand : operands_) CheckApart({name, &t, v}, operand);
    written_[written_count_++] = {name, &t, v};
  }
  bool IsDense(const Tensor& t, std::initializer_list<std::int64_t> extents) const {
    const int outer = t.rank - static_cast<int>(extents.size());
    if (outer < 0 || outer > 1 || (outer == 0 && d_.batch != 1)) return false;
    std::int64_t stride = 1;
    for (int i = t.rank - 1; i >= 0; stride *= t.shape[i--]) {
      const std::int64_t extent = i < outer ? d_.batch : extents.begin()[i - outer];
      if (t.shape[i] != extent || (extent > 1 && t.strides[i] != stride)) return false;
    }
    return true;
  }

  static void CheckFloat(const char* name, DType dtype) {
    if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBf16)
      throw Fail(Code::kUnsupported, "convert it", "gemm: {} is {}; f32, f16 and bf16 are read", name, ToString(dtype));
  }
  DType Vector(const char* name, const Tensor& t, std::int64_t length) const {
    if (t.rank != 1 || t.shape[0] != length || (length > 1 && t.strides[0] != 1))
      throw Fail(Code::kInvalidArgument, "", "gemm: {} has rank {} and {} elements; the epilogue wants {} in a row",
                 name, t.rank, t.size(), length);
    CheckFloat(name, t.dtype);
    CheckGiven(name, t, {1, 1, length, length, 0, Layout::kRowMajor});
    return t.dtype;
  }
  static void CheckScale(const char* name, DType dtype) {
    if (dtype != DType::kF32)
      throw Fail(Code::kUnsupported, "convert it", "gemm: {} is {}; scales are f32", name, ToString(dtype));
  }
  void Scale(const char* name, const Tensor& t, std::int64_t length) const {
    CheckScale(name, Vector(name, t, length));
  }
  void BiasM(GemmProblem& p) const {
    const DType type = Vector("bias_m", e_.bias_m, p.m);
    const bool both = Reads(EpilogueInput::kBias) || Reads(EpilogueInput::kPairedBias);
    if (both && type != p.bias_type)
      throw Fail(Code::kInvalidArgument, "convert one of them", "gemm: bias is {}, bias_m {}", ToString(p.bias_type),
                 ToString(type));
    p.bias_type = type;
  }
  void Blocks(const char* name, const Tensor& t, EpilogueInput input) const {
    const EpilogueBlock block = e_.epilogue.block(input);
    const std::int64_t rows = CeilDiv(d_.rows, block.rows), columns = CeilDiv(d_.columns, block.columns);
    if (t.rank != 2 || t.shape[0] != rows || t.shape[1] != columns || (columns > 1 && t.strides[1] != 1) ||
        (rows > 1 && t.strides[0] != columns))
      throw Fail(Code::kInvalidArgument, "", "gemm: {} must be a dense matrix ({}, {}) for blocks of {} x {}", name,
                 rows, columns, block.rows, block.columns);
    CheckScale(name, t.dtype);
    CheckGiven(name, t, {1, rows, columns, columns, 0, Layout::kRowMajor});
  }
  void Residual(GemmProblem& p) const {
    const Tensor& t = e_.residual;
    const Matrix v = View("residual", t);
    if (v.rows != d_.rows || v.columns != d_.columns || v.batch != d_.batch)
      throw Fail(Code::kInvalidArgument, "", "gemm: residual is ({}, {}, {}), d is ({}, {}, {})", v.batch, v.rows,
                 v.columns, d_.batch, d_.rows, d_.columns);
    if (v.layout != Layout::kRowMajor) throw Fail(Code::kUnsupported, "copy it", "gemm: residual must be row-major");
    CheckFloat("residual", t.dtype);
    const bool is_d =
        t.data == args_.d.data && t.dtype == args_.d.dtype && v.ld == d_.ld && v.batch_stride == d_.batch_stride;
    if (!is_d) CheckGiven("residual", t, v);
    p.residual_type = t.dtype;
    p.ld_residual = v.ld, p.batch_stride_residual = v.batch_stride;
  }

  const GemmArgs& args_;
  const EpilogueArgs& e_;
  const Matrix& d_;
  const std::span<const Named> operands_;
  std::array<Named, 4> written_;  // D and three kinds of maxima
  std::size_t written_count_ = 0;
};

}  // namespace

GemmProblem Describe(const GemmArgs& args, DType acc_type, ComputeMode compute) {
  const Matrix a = View("a", args.a), b = View("b", args.b), d = View("d", args.d);
  const bool pairs_columns = args.epilogue != nullptr && args.epilogue->epilogue.pairs_columns();
  GemmProblem p;
  p.batch = d.batch;
  Entries entries{d.batch, d.batch, d.batch};
  if (args.groups != nullptr) [[unlikely]] {
    DescribeGroups(args, p);
    entries = {p.entries_a(), p.entries_b(), p.entries_d()};
  }
  CheckShapes(a, b, d, pairs_columns, args.groups != nullptr, entries);
  CheckPointer("a", args.a, a);
  CheckPointer("b", args.b, b);
  CheckPointer("d", args.d, d);
  CheckOutput(args, a, b, d);
  if (acc_type == DType::kS32) {
    CheckWhole("alpha", args.alpha);
    CheckWhole("beta", args.beta);
  }
  p.m = d.rows, p.n = b.columns, p.k = a.columns;
  p.columns_per_d = pairs_columns ? 2 : 1;
  p.lda = a.ld, p.ldb = b.ld, p.ldd = d.ld;
  p.batch_stride_a = a.batch_stride, p.batch_stride_b = b.batch_stride, p.batch_stride_d = d.batch_stride;
  p.a_type = args.a.dtype, p.b_type = args.b.dtype, p.c_type = p.d_type = args.d.dtype, p.acc_type = acc_type;
  p.a_layout = a.layout, p.b_layout = b.layout, p.d_layout = d.layout;
  p.compute = compute;
  if (args.scales != nullptr) [[unlikely]]
    p.scaling = DescribeScales(args, p);
  Matrix c{};
  std::uint64_t bits = AlignmentBits(args.a, a) | AlignmentBits(args.b, b) | AlignmentBits(args.d, d) | 16;
  if (args.beta.value != 0 || args.beta.device_pointer != nullptr) {
    if (pairs_columns)
      throw Fail(Code::kUnsupported, "give no beta; a residual is added after the pairing",
                 "gemm: an epilogue that pairs columns takes no c");
    c = CheckedC(args, d);
    p.beta = BetaClass::kGeneral;
    p.ldc = c.ld, p.batch_stride_c = c.batch_stride;
    if (args.c.given()) p.c_type = args.c.dtype, bits |= AlignmentBits(args.c, c);
  }
  p.alignment = static_cast<std::uint8_t>(std::countr_zero(bits));
  if (args.epilogue != nullptr) {
    const Named operands[] = {{"a", &args.a, a}, {"b", &args.b, b}, {"c", &args.c, c}};
    const bool reads_c = p.beta != BetaClass::kZero && args.c.given();
    EpilogueTensors(args, d, std::span(operands).first(reads_c ? 3 : 2)).Describe(p);
  }
  if (p.scaling != Scaling::kNone || p.grouping != Grouping::kNone) [[unlikely]]
    Validate(p);
  return p;
}

}  // namespace gemmsmith
