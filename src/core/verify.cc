#include "gemmsmith/verify.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <mutex>
#include <numeric>
#include <optional>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "core/epilogue_reference.h"
#include "core/groups.h"
#include "core/parallel.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Multiply-adds and elements up to which all of D is checked; beyond, about as much is spent on samples.
constexpr double kFullWork = 1 << 27, kFullElements = 1 << 22;
/// The reference is made of tiles: kRows rows of A times kColumns columns of B, kDepth of k at a time.
constexpr std::int64_t kRows = 32, kColumns = 64, kDepth = 256;

/// Factors of blocks of a matrix.
struct Scales {
  const float* data = nullptr;  ///< Null: none.
  std::int64_t block_rows = 1, block_columns = 1, row_stride = 0, column_stride = 0;

  double operator()(std::int64_t row, std::int64_t column) const {
    return data[row / block_rows * row_stride + column / block_columns * column_stride];
  }
  Scales Transposed() const { return {data, block_columns, block_rows, column_stride, row_stride}; }
};

struct Matrix {
  const void* data;
  DType dtype;
  std::int64_t rows, columns, row_stride, column_stride, offset;
  Scales scales{};

  std::int64_t At(std::int64_t row, std::int64_t column) const {
    return offset + row * row_stride + column * column_stride;
  }
  double operator()(std::int64_t row, std::int64_t column) const { return Decode(dtype, data, At(row, column)); }
  Matrix Transposed() const {
    return {data, dtype, columns, rows, column_stride, row_stride, offset, scales.Transposed()};
  }
};

struct Operands {
  Matrix a, b, c, d;
  double alpha, beta;
  std::optional<EpilogueReference> epilogue;

  /// D^T = epilogue(alpha * B^T * A^T + beta * C^T).
  Operands Transposed() const {
    Operands x{b.Transposed(), a.Transposed(), c.Transposed(), d.Transposed(), alpha, beta, epilogue};
    if (x.epilogue) x.epilogue->Transpose();
    return x;
  }
};

Matrix View(const char* name, const Tensor& tensor, std::int64_t rows, std::int64_t columns, std::int64_t batch) {
  if (tensor.packed || tensor.device.kind != DeviceKind::kCpu)
    throw Fail(Code::kInvalidArgument, "give the plain tensor, in host memory", "verify: {} is {}", name,
               tensor.packed ? "packed" : "on " + ToString(tensor.device));
  const int r = tensor.rank - 2;
  if (r < 0 || tensor.shape[r] != rows || tensor.shape[r + 1] != columns ||
      (tensor.data == nullptr && tensor.size() > 0))
    throw Fail(Code::kInvalidArgument, "", "verify: {} must be a matrix ({}, {}) in memory", name, rows, columns);
  if (r == 1 && tensor.shape[0] != 1 && batch >= tensor.shape[0])
    throw Fail(Code::kInvalidArgument, "", "verify: {} has {} batch entries, too few", name, tensor.shape[0]);
  return {tensor.data,
          tensor.dtype,
          rows,
          columns,
          tensor.strides[r],
          tensor.strides[r + 1],
          r == 1 && tensor.shape[0] != 1 ? batch * tensor.strides[0] : 0};
}

/// Those of A and of B, by rows and columns of A and B.
std::array<Scales, 2> ViewScales(const GemmProblem& p, const GemmArgs& args) {
  if (p.scaling == Scaling::kNone) return {};
  const Tensor &a = args.scales->a, &b = args.scales->b;
  for (const Tensor* tensor : {&a, &b})
    if (tensor->device.kind != DeviceKind::kCpu)
      throw Fail(Code::kInvalidArgument, "give them in host memory", "verify: scales are on {}",
                 ToString(tensor->device));
  const std::int64_t columns = p.scaling == Scaling::kBlock1x128 ? 1 : 128;
  return {{{static_cast<const float*>(a.data), 1, 128, a.strides[0], a.strides[1]},
           {static_cast<const float*>(b.data), 128, columns, b.strides[1], b.strides[0]}}};
}

Operands View(const GemmProblem& p, const GemmArgs& args, const Tensor& c_before, std::int64_t batch) {
  if (args.alpha.device_pointer != nullptr || args.beta.device_pointer != nullptr)
    throw Fail(Code::kInvalidArgument, "give their values", "verify: alpha and beta are pointers to device memory");
  const Tensor& c = p.beta == BetaClass::kZero ? args.d : c_before;
  std::optional<EpilogueReference> epilogue;
  if (args.epilogue != nullptr) epilogue.emplace(p, *args.epilogue, batch);
  Matrix a = View("a", args.a, p.m, p.k, batch), b = View("b", args.b, p.k, p.n, batch);
  const auto scales = ViewScales(p, args);
  a.scales = scales[0], b.scales = scales[1];
  return {a,
          b,
          View("c", c, p.m, p.d_columns(), batch),
          View("d", args.d, p.m, p.d_columns(), batch),
          args.alpha.value,
          p.beta == BetaClass::kZero ? 0 : args.beta.value,
          epilogue};
}

/// All values of a narrow type: decoding one by one would take most of the time of a check.
template <class Bits>
const std::vector<double>& DecodeTable(DType dtype) {
  static std::array<std::vector<double>, 16> tables;
  static std::array<std::once_flag, 16> once;
  const auto index = static_cast<std::size_t>(dtype);
  std::call_once(once[index], [&] {
    for (std::uint32_t i = 0; i <= std::numeric_limits<Bits>::max(); ++i) {
      const Bits bits = static_cast<Bits>(i);
      tables[index].push_back(Decode(dtype, &bits, 0));
    }
  });
  return tables[index];
}

/// out(i, j) = x(rows[i], column + j) as `value` makes it of the stored element.
template <class T, class Value>
void LoadAs(const Matrix& x, std::span<const std::int64_t> rows, std::int64_t column, std::int64_t columns,
            std::int64_t out_row, std::int64_t out_column, double* out, Value value) {
  const T* data = static_cast<const T*>(x.data);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const T* row = data + x.At(rows[i], column);
    for (std::int64_t j = 0; j < columns; ++j) out[i * out_row + j * out_column] = value(row[j * x.column_stride]);
  }
}

void LoadStored(const Matrix& x, std::span<const std::int64_t> rows, std::int64_t column, std::int64_t columns,
                std::int64_t out_row, std::int64_t out_column, double* out) {
  const auto as_is = [](auto v) { return static_cast<double>(v); };
  const auto load = [&]<class T>(T, auto value) {
    LoadAs<T>(x, rows, column, columns, out_row, out_column, out, value);
  };
  if (x.dtype == DType::kF32) return load(float(), as_is);
  if (x.dtype == DType::kF64) return load(double(), as_is);
  if (x.dtype == DType::kS32) return load(std::int32_t(), as_is);
  if (SizeOf(x.dtype) == 2)
    return load(std::uint16_t(), [&table = DecodeTable<std::uint16_t>(x.dtype)](auto v) { return table[v]; });
  return load(std::uint8_t(), [&table = DecodeTable<std::uint8_t>(x.dtype)](auto v) { return table[v]; });
}

void Load(const Matrix& x, std::span<const std::int64_t> rows, std::int64_t column, std::int64_t columns,
          std::int64_t out_row, std::int64_t out_column, double* out) {
  LoadStored(x, rows, column, columns, out_row, out_column, out);
  if (x.scales.data == nullptr) return;
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::int64_t j = 0; j < columns; ++j) out[i * out_row + j * out_column] *= x.scales(rows[i], column + j);
}

/// How far one element is from the reference.
class Judge {
 public:
  Judge(DType dtype, double tolerance)
      : dtype_(dtype), epsilon_(Info(dtype).epsilon), smallest_(Smallest(dtype)), tolerance_(tolerance) {}

  double tolerance() const { return tolerance_; }
  EpilogueReference::Sum Sum(double reference, double scale) const { return {reference, tolerance_ * scale}; }

  /// The error beyond what the epilogue makes of accumulators within the tolerance.
  double Error(double result, const EpilogueReference::Range& range) const {
    if (std::isnan(result) && range.has_nan) return 0;
    if (std::isnan(result) || std::isnan(range.low)) return Error(result, range.low, 0);
    const double nearest = std::clamp(result, range.low, range.high);
    return Error(result, nearest, std::fabs(nearest));
  }

  double Error(double result, double reference, double scale) const {
    if (std::isnan(reference) || std::isnan(result)) return std::isnan(reference) && std::isnan(result) ? 0 : kInfinity;
    if (result == reference) return 0;
    const double rounding = std::max(epsilon_ * std::fabs(reference), smallest_) / 2;
    const double excess = std::fabs(result - reference) - rounding;
    // The second test is for overflow and saturation.
    if (excess <= 0 || Rounded(reference) == result) return 0;
    return scale > 0 && std::isfinite(excess) ? excess / scale : kInfinity;
  }

 private:
  double Rounded(double value) const { return Rounded(dtype_, value); }
  static double Rounded(DType dtype, double value) {
    std::uint64_t storage = 0;
    Encode(dtype, &storage, 0, value);
    return Decode(dtype, &storage, 0);
  }
  static double Smallest(DType dtype) {
    double value = 1;
    while (value / 2 > 0 && Rounded(dtype, value / 2) == value / 2) value /= 2;
    return value;
  }

  DType dtype_;
  double epsilon_, smallest_, tolerance_;
};

struct Worst {
  double error = -1;
  std::int64_t row = -1, column = -1;

  void Take(const Worst& other) {
    if (other.error > error) *this = other;
  }
};

/// Sums of products, and of their magnitudes, of one tile.
struct Sums {
  std::array<double, kRows * kColumns> value{}, magnitude{};
};

/// sums(i, j) += a(rows[i], :) * b(:, column + j), j below kColumns; columns past the end of b count as 0.
void Multiply(const Matrix& a, const Matrix& b, std::span<const std::int64_t> rows, std::int64_t column, Sums& sums) {
  std::vector<double> a_tile(kRows * kDepth), b_tile(kDepth * kColumns);  // (rows, depth), (depth, columns)
  const std::int64_t columns = std::min(kColumns, b.columns - column);
  std::vector<std::int64_t> b_columns(columns);
  for (std::int64_t j = 0; j < columns; ++j) b_columns[j] = column + j;
  for (std::int64_t k = 0; k < a.columns; k += kDepth) {
    const std::int64_t depth = std::min(kDepth, a.columns - k);
    Load(a, rows, k, depth, kDepth, 1, a_tile.data());
    Load(b.Transposed(), b_columns, k, depth, 1, kColumns, b_tile.data());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      double* value = &sums.value[i * kColumns];
      double* magnitude = &sums.magnitude[i * kColumns];
      for (std::int64_t l = 0; l < depth; ++l) {
        const double factor = a_tile[i * kDepth + l];
        const double* line = &b_tile[l * kColumns];
        for (std::int64_t j = 0; j < kColumns; ++j) {
          const double product = factor * line[j];
          value[j] += product;
          magnitude[j] += std::fabs(product);
        }
      }
    }
  }
}

/// What there is to check of the tile of the product at `rows` and `column`: its elements, as D and the references name
/// them.
class TileCheck {
 public:
  TileCheck(const Operands& operands, std::span<const std::int64_t> rows, std::int64_t column, const Judge& judge)
      : x_(operands), rows_(rows), column_(column), judge_(judge) {
    Multiply(x_.a, x_.b, rows, column, sums_);
  }

  Worst Plain() const {
    Worst worst;
    ForEach(1, 1, [&](std::int64_t row, std::int64_t column, std::size_t at) {
      const auto [reference, scale] = Reference(row, column, at);
      worst.Take({judge_.Error(x_.d(row, column), reference, scale), row, column});
    });
    return worst;
  }

  Worst Fused(MaximaReference& maxima, std::mutex& mutex) const {
    const EpilogueReference& epilogue = *x_.epilogue;
    const std::int64_t rows_per_d = epilogue.rows_per_d(), columns_per_d = epilogue.columns_per_d();
    const std::size_t partner = rows_per_d == 2 ? kColumns : columns_per_d == 2 ? 1 : 0;
    struct Element {
      std::int64_t row, column;
      EpilogueReference::Ranges ranges;
    };
    std::vector<Element> elements;
    Worst worst;
    ForEach(rows_per_d, columns_per_d, [&](std::int64_t row, std::int64_t column, std::size_t at) {
      const auto sum = [&](std::size_t place) {
        const auto [reference, scale] = Reference(row, column, place);
        return judge_.Sum(reference, scale);
      };
      const EpilogueReference::Ranges ranges = epilogue.At(row, column, sum(at), sum(at + partner));
      worst.Take({judge_.Error(x_.d(row, column), ranges[0]), row, column});
      if (!maxima.empty()) elements.push_back({row, column, ranges});
    });
    std::scoped_lock lock(mutex);
    for (const Element& element : elements) maxima.Take(element.row, element.column, element.ranges);
    return worst;
  }

 private:
  /// Calls `visit` with the row and the column of each element of D, and the place of its (first) sum.
  template <class Visit>
  void ForEach(std::int64_t rows_per_d, std::int64_t columns_per_d, const Visit& visit) const {
    for (std::size_t i = 0; i < rows_.size(); i += rows_per_d)
      for (std::int64_t j = column_; j < std::min(column_ + kColumns, x_.b.columns); j += columns_per_d)
        visit(rows_[i] / rows_per_d, j / columns_per_d, i * kColumns + (j - column_));
  }
  /// alpha * sum + beta * C, and the same of magnitudes. There is no C where D has less columns than the product.
  std::pair<double, double> Reference(std::int64_t row, std::int64_t column, std::size_t at) const {
    const double added = x_.beta == 0 ? 0 : x_.beta * x_.c(row, column);
    return {x_.alpha * sums_.value[at] + added, std::fabs(x_.alpha) * sums_.magnitude[at] + std::fabs(added)};
  }

  const Operands& x_;
  const std::span<const std::int64_t> rows_;
  const std::int64_t column_;
  const Judge& judge_;
  Sums sums_;
};

/// Of maxima that the epilogue took.
Worst CheckMaxima(const MaximaReference& maxima, double tolerance) {
  const Judge judge(DType::kF32, tolerance);
  Worst worst;
  for (const MaximaReference::Maximum& maximum : maxima.Found())
    worst.Take({judge.Error(maximum.stored, maximum.range), maximum.row, maximum.column});
  return worst;
}

/// Checks whole rows of D.
Worst CheckRows(const Operands& x, const std::vector<std::int64_t>& d_rows, const Judge& judge) {
  std::vector<std::int64_t> rows;  // of the product
  const std::int64_t rows_per_d = x.epilogue ? x.epilogue->rows_per_d() : 1;
  for (const std::int64_t row : d_rows)
    for (std::int64_t i = 0; i < rows_per_d; ++i) rows.push_back(row * rows_per_d + i);
  const std::int64_t row_blocks = (static_cast<std::int64_t>(rows.size()) + kRows - 1) / kRows;
  const std::int64_t column_blocks = (x.b.columns + kColumns - 1) / kColumns;
  std::optional<MaximaReference> maxima;
  if (x.epilogue) maxima.emplace(*x.epilogue);
  Worst worst;
  std::mutex mutex, maxima_mutex;
  ParallelFor(row_blocks * column_blocks, [&](std::int64_t block) {
    const std::size_t first = block / column_blocks * kRows;
    const std::span some = std::span(rows).subspan(first, std::min<std::size_t>(kRows, rows.size() - first));
    const TileCheck tile(x, some, block % column_blocks * kColumns, judge);
    const Worst found = maxima ? tile.Fused(*maxima, maxima_mutex) : tile.Plain();
    std::scoped_lock lock(mutex);
    worst.Take(found);
  });
  if (maxima) worst.Take(CheckMaxima(*maxima, judge.tolerance()));
  return worst;
}

/// `count` different numbers below `end`, in order.
std::vector<std::int64_t> Sample(std::int64_t count, std::int64_t end, std::mt19937_64& random) {
  if (count >= end) {
    std::vector<std::int64_t> all(end);
    std::iota(all.begin(), all.end(), 0);
    return all;
  }
  std::set<std::int64_t> chosen;
  while (static_cast<std::int64_t>(chosen.size()) < count) chosen.insert(random() % end);
  return {chosen.begin(), chosen.end()};
}

double Gamma(double operations, double epsilon) {
  // Past a hundredth, for millions of terms, the bound no longer tells right from wrong; sums stay far below it.
  constexpr double kMost = 0.01;
  const double sum = operations * epsilon / 2;
  return std::min(kMost, sum / (1 - std::min(sum, 0.5)));
}

/// Tensor cores of sm_89 and sm_90 cut each product of 8-bit floats, and each sum of an instruction's 32, to 13 bits
/// below the largest of them ("MMA-Sim", arXiv:2511.10909). Kernels add such sums in f32 after 128 products.
double ShortSums(std::int64_t k) {
  constexpr double kMost = 0.01;  // as of Gamma
  const double products = static_cast<double>(std::min<std::int64_t>(k, 128));
  return std::min(kMost, (products + std::ceil(products / 32)) * 0x1p-13);
}

double Tolerance(const GemmProblem& p) {
  // Alpha and its product, beta and its product, and adding both.
  const double operations = static_cast<double>(p.k) + 5;
  const double products = p.compute == ComputeMode::kTf32 && p.a_type == DType::kF32 ? 2 * 0x1p-11 : 0;
  const bool is_8_bit_float = SizeOf(p.a_type) == 1 && !Info(p.a_type).is_integer();
  return (is_8_bit_float ? ShortSums(p.k) : 0) + Gamma(operations, Info(p.acc_type).epsilon) +
         Gamma(operations, Info(DType::kF64).epsilon) + products;
}

/// What to check of each batch entry.
struct Samples {
  std::int64_t entries, rows, columns;
};

Samples ChooseSamples(const GemmProblem& p) {
  const double m = p.m, n = p.n, k = std::max<std::int64_t>(p.k, 1), batch = p.batch;
  if (m * n * k * batch <= kFullWork && m * n * batch <= kFullElements) return {p.batch, p.m, 0};
  const auto within = [](double count, std::int64_t most) {
    return static_cast<std::int64_t>(std::clamp(count, 1.0, static_cast<double>(most)));
  };
  const std::int64_t entries = within(kFullWork / ((m + n) * k), p.batch);
  const double half = kFullWork / 2 / entries;
  // More than a few dozen rows find nothing that these do not.
  return {entries, within(half / (n * k), std::min<std::int64_t>(p.m, kRows)),
          within(half / (m * k * p.columns_per_d), std::min<std::int64_t>(p.d_columns(), kRows))};
}

/// Each group as the dense call that it is, or some of them, if there is much to multiply.
VerifyReport VerifyGroups(const GemmProblem& p, const GemmArgs& args, const Tensor& c_before, std::uint64_t seed) {
  constexpr std::int64_t kSome = 8;
  if (args.groups == nullptr)
    throw Fail(Code::kInvalidArgument, "give GemmArgs::groups", "verify: {} has no groups", ToString(p));
  const std::vector<GroupPart> parts = PartsOf(p, GroupTensor(p.grouping, *args.groups));
  VerifyReport report;
  report.ok = true;
  report.tolerance = Tolerance(p);
  std::mt19937_64 random(seed);
  const auto count = static_cast<std::int64_t>(parts.size());
  for (const std::int64_t i : Sample(p.flops() / 2 <= kFullWork ? count : std::min(count, kSome), count, random)) {
    const GroupPart& part = parts[static_cast<std::size_t>(i)];
    const PartOfCall call(p, args, part);
    const Tensor c = p.beta == BetaClass::kZero ? Tensor() : call.OfD(c_before);
    const VerifyReport found = Verify(call.problem(), call.args(), c, random());
    report.checked += found.checked;
    if (found.max_error <= report.max_error && found.ok) continue;
    const bool of_all_rows = p.grouping == Grouping::kContiguous || p.grouping == Grouping::kEnds;
    report.max_error = std::max(report.max_error, found.max_error);
    report.worst_row = found.worst_row + (of_all_rows ? part.begin : 0);
    report.worst_column = found.worst_column;
    report.ok = report.ok && found.ok;
  }
  return report;
}

}  // namespace

VerifyReport Verify(const GemmProblem& problem, const GemmArgs& args, const Tensor& c_before, std::uint64_t seed) {
  if (problem.grouping != Grouping::kNone) return VerifyGroups(problem, args, c_before, seed);
  VerifyReport report;
  report.tolerance = Tolerance(problem);
  report.ok = true;
  if (problem.m == 0 || problem.n == 0 || problem.batch == 0) return report;
  View(problem, args, c_before, problem.batch - 1);
  const Judge judge(args.d.dtype, report.tolerance);
  const Samples samples = ChooseSamples(problem);
  std::mt19937_64 random(seed);
  Worst worst;
  for (const std::int64_t entry : Sample(samples.entries, problem.batch, random)) {
    const Operands operands = View(problem, args, c_before, entry);
    worst.Take(CheckRows(operands, Sample(samples.rows, problem.m, random), judge));
    report.checked += samples.rows * problem.d_columns();
    if (samples.columns == 0) continue;
    const Worst found = CheckRows(operands.Transposed(), Sample(samples.columns, problem.d_columns(), random), judge);
    worst.Take({found.error, found.column, found.row});
    report.checked += samples.columns * (problem.m - samples.rows);
  }
  report.max_error = worst.error;
  report.worst_row = worst.row;
  report.worst_column = worst.column;
  report.ok = worst.error <= report.tolerance;
  return report;
}

}  // namespace gemmsmith
