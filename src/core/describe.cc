#include <bit>
#include <cstdint>

#include "gemmsmith/args.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// A matrix as the problem speaks of it. On the path of every call: no strings but in errors.
struct Matrix {
  std::int64_t batch, rows, columns, ld, batch_stride;
  Layout layout;
};

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

void CheckShapes(const Matrix& a, const Matrix& b, const Matrix& d) {
  if (a.columns != b.rows) [[unlikely]]
    Mismatch("columns of a and rows of b differ", a.columns, b.rows);
  if (d.rows != a.rows) [[unlikely]]
    Mismatch("rows of d and rows of a differ", d.rows, a.rows);
  if (d.columns != b.columns) [[unlikely]]
    Mismatch("columns of d and columns of b differ", d.columns, b.columns);
  if (a.batch != d.batch && a.batch_stride != 0) [[unlikely]]
    Mismatch("batch of a and batch of d differ", a.batch, d.batch);
  if (b.batch != d.batch && b.batch_stride != 0) [[unlikely]]
    Mismatch("batch of b and batch of d differ", b.batch, d.batch);
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

/// The vectors, matrices and scalars that an epilogue may read, against the product's and D's size.
class EpilogueTensors {
 public:
  EpilogueTensors(const GemmArgs& args, const Matrix& d) : args_(args), d_(d) {}

  void Describe(GemmProblem& p) const {
    const EpilogueArgs& e = *args_.epilogue;
    if (e.epilogue.Reads(EpilogueInput::kPaired) || e.epilogue.Reads(EpilogueInput::kPairedBias) ||
        e.epilogue.Reads(EpilogueInput::kPairedScaleColumn))
      throw Fail(Code::kUnsupported, "", "gemm: no kernel makes one column of d of two of the product yet");
    p.epilogue_id = e.epilogue.id();
    if (e.epilogue.Reads(EpilogueInput::kBias)) p.bias_type = Vector("bias", e.bias, p.n);
    if (e.epilogue.Reads(EpilogueInput::kBiasM)) {
      const DType type = Vector("bias_m", e.bias_m, p.m);
      if (e.epilogue.Reads(EpilogueInput::kBias) && type != p.bias_type)
        throw Fail(Code::kInvalidArgument, "convert one of them", "gemm: bias is {}, bias_m {}", ToString(p.bias_type),
                   ToString(type));
      p.bias_type = type;
    }
    if (e.epilogue.Reads(EpilogueInput::kResidual)) Residual(p);
    if (e.epilogue.Reads(EpilogueInput::kScaleRow)) Scale("scale_row", e.scale_row, p.m);
    if (e.epilogue.Reads(EpilogueInput::kDScaleRow)) Scale("d_scale_row", e.d_scale_row, p.m);
    if (e.epilogue.Reads(EpilogueInput::kScaleColumn)) Scale("scale_column", e.scale_column, p.n);
    if (e.epilogue.Reads(EpilogueInput::kDScaleColumn)) Scale("d_scale_column", e.d_scale_column, p.n);
    if (e.epilogue.Reads(EpilogueInput::kScaleBlock)) Blocks("scale_block", e.scale_block, EpilogueInput::kScaleBlock);
    if (e.epilogue.Reads(EpilogueInput::kDScaleBlock))
      Blocks("d_scale_block", e.d_scale_block, EpilogueInput::kDScaleBlock);
  }

 private:
  void CheckGiven(const char* name, const Tensor& t, const Matrix& v) const {
    CheckPointer(name, t, v);
    if (t.device != args_.d.device)
      throw Fail(Code::kInvalidArgument, "copy it", "gemm: {} is on {}, d on {}", name, ToString(t.device),
                 ToString(args_.d.device));
    if (Overlap(args_.d, d_, t, v))
      throw Fail(Code::kInvalidArgument, "write to other memory", "gemm: d overlaps {}", name);
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
  void Blocks(const char* name, const Tensor& t, EpilogueInput input) const {
    const EpilogueBlock block = args_.epilogue->epilogue.block(input);
    const std::int64_t rows = (d_.rows + block.rows - 1) / block.rows,
                       columns = (d_.columns + block.columns - 1) / block.columns;
    if (t.rank != 2 || t.shape[0] != rows || t.shape[1] != columns || (columns > 1 && t.strides[1] != 1) ||
        (rows > 1 && t.strides[0] != columns))
      throw Fail(Code::kInvalidArgument, "", "gemm: {} must be a dense matrix ({}, {}) for blocks of {} x {}", name,
                 rows, columns, block.rows, block.columns);
    CheckScale(name, t.dtype);
    CheckGiven(name, t, {1, rows, columns, columns, 0, Layout::kRowMajor});
  }
  void Residual(GemmProblem& p) const {
    const Tensor& t = args_.epilogue->residual;
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
  const Matrix& d_;
};

}  // namespace

GemmProblem Describe(const GemmArgs& args, DType acc_type, ComputeMode compute) {
  const Matrix a = View("a", args.a), b = View("b", args.b), d = View("d", args.d);
  CheckShapes(a, b, d);
  CheckPointer("a", args.a, a);
  CheckPointer("b", args.b, b);
  CheckPointer("d", args.d, d);
  CheckOutput(args, a, b, d);
  GemmProblem p;
  p.m = d.rows, p.n = d.columns, p.k = a.columns, p.batch = d.batch;
  p.lda = a.ld, p.ldb = b.ld, p.ldd = d.ld;
  p.batch_stride_a = a.batch_stride, p.batch_stride_b = b.batch_stride, p.batch_stride_d = d.batch_stride;
  p.a_type = args.a.dtype, p.b_type = args.b.dtype, p.c_type = p.d_type = args.d.dtype, p.acc_type = acc_type;
  p.a_layout = a.layout, p.b_layout = b.layout, p.d_layout = d.layout;
  p.compute = compute;
  std::uint64_t bits = AlignmentBits(args.a, a) | AlignmentBits(args.b, b) | AlignmentBits(args.d, d) | 16;
  if (args.beta.value != 0 || args.beta.device_pointer != nullptr) {
    const Matrix c = CheckedC(args, d);
    p.beta = BetaClass::kGeneral;
    p.ldc = c.ld, p.batch_stride_c = c.batch_stride;
    if (args.c.given()) p.c_type = args.c.dtype, bits |= AlignmentBits(args.c, c);
  }
  p.alignment = static_cast<std::uint8_t>(std::countr_zero(bits));
  if (args.epilogue != nullptr) EpilogueTensors(args, d).Describe(p);
  return p;
}

}  // namespace gemmsmith
