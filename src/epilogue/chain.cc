#include <algorithm>
#include <array>
#include <iterator>
#include <optional>

#include "epilogue/expression.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// An epilogue while its names are applied. Up to "swiglu" all that is done to a column is done to its partner too.
struct Chain {
  Value x = TracedAccumulator();
  std::optional<Value> partner;
  bool swiglu_done = false;
  std::vector<std::pair<Value, void (*)(Outputs&, const Value&)>> extra;
};

const Inputs kIn;

template <class Function>
void ForEach(Chain& chain, const Function& function) {
  chain.x = function(chain.x);
  if (chain.partner) chain.partner = function(*chain.partner);
}
void ForEachColumn(Chain& chain, Value (*function)(const Value&, const Value&), const Value& own, const Value& paired) {
  chain.x = function(chain.x, own);
  if (chain.partner) chain.partner = function(*chain.partner, paired);
}
Value Sum(const Value& x, const Value& y) { return x + y; }
Value Product(const Value& x, const Value& y) { return x * y; }

template <Value (*kFunction)(const Value&)>
void Map(Chain& chain) {
  ForEach(chain, kFunction);
}
template <Value (Inputs::*kInput)() const>
void Multiply(Chain& chain) {
  ForEach(chain, [](const Value& x) { return x * (kIn.*kInput)(); });
}
template <DType kType>
void Quantise(Chain& chain) {
  chain.x = RoundTo(kType, chain.x);
}
template <Outputs& (Outputs::*kSet)(const Value&)>
void Amax(Chain& chain) {
  chain.extra.emplace_back(chain.x, [](Outputs& outputs, const Value& x) { (outputs.*kSet)(x); });
}

/// Where in a chain a name may stand. kProduct: reads columns of the product, so before swiglu. kElement: speaks of
/// elements of D, so after it. kLast: nothing may follow.
enum class Where { kAnywhere, kProduct, kElement, kLast };

struct Row {
  EpilogueName name;
  Where where;
  void (*apply)(Chain&);
};

constexpr Row kRows[] = {
    {{"bias", "x + bias[j]"}, Where::kProduct, [](Chain& c) { ForEachColumn(c, Sum, kIn.Bias(), kIn.PairedBias()); }},
    {{"bias_m", "x + bias_m[i]"},
     Where::kAnywhere,
     [](Chain& c) { ForEach(c, [](Value x) { return x + kIn.BiasM(); }); }},
    {{"relu", "x < 0 ? 0 : x"}, Where::kAnywhere, Map<Relu>},
    {{"gelu", "x / 2 * (1 + erf(x / sqrt(2)))"}, Where::kAnywhere, Map<Gelu>},
    {{"gelu_tanh", "x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))"}, Where::kAnywhere, Map<GeluTanh>},
    {{"silu", "x / (1 + exp(-x))"}, Where::kAnywhere, Map<Silu>},
    {{"swiglu", "silu(x) * partner, for columns 2j (x) and 2j + 1 (partner) of the product"},
     Where::kProduct,
     [](Chain& c) {
       c.x = Swiglu(c.x, *c.partner);
       c.partner.reset();
       c.swiglu_done = true;
     }},
    {{"tanh", "tanh(x)"}, Where::kAnywhere, Map<Tanh>},
    {{"sigmoid", "1 / (1 + exp(-x))"}, Where::kAnywhere, Map<Sigmoid>},
    {{"residual", "x + residual[i, j]"}, Where::kElement, [](Chain& c) { c.x = c.x + kIn.Residual(); }},
    {{"scale", "x * scalar"}, Where::kAnywhere, Multiply<&Inputs::Scalar>},
    {{"scale_row", "x * scale_row[i]"}, Where::kAnywhere, Multiply<&Inputs::ScaleRow>},
    {{"scale_column", "x * scale_column[j]"},
     Where::kProduct,
     [](Chain& c) { ForEachColumn(c, Product, kIn.ScaleColumn(), kIn.PairedScaleColumn()); }},
    {{"scale_block", "x * scale_block[i, j / 128]"}, Where::kElement, [](Chain& c) { c.x = c.x * kIn.ScaleBlock(); }},
    {{"amax_row", "x; also stores the largest |x| of each row"}, Where::kElement, Amax<&Outputs::AmaxRow>},
    {{"amax_column", "x; also stores the largest |x| of each column"}, Where::kElement, Amax<&Outputs::AmaxColumn>},
    {{"amax_block", "x; also stores the largest |x| of each 128 elements of a row"},
     Where::kElement,
     [](Chain& c) { c.extra.emplace_back(c.x, [](Outputs& outputs, const Value& x) { outputs.AmaxBlock(x); }); }},
    {{"d_scale", "x * d_scale"}, Where::kElement, Multiply<&Inputs::DScale>},
    {{"d_scale_row", "x * d_scale_row[i]"}, Where::kElement, Multiply<&Inputs::DScaleRow>},
    {{"d_scale_column", "x * d_scale_column[j]"}, Where::kElement, Multiply<&Inputs::DScaleColumn>},
    {{"d_scale_block", "x * d_scale_block[i, j / 128]"},
     Where::kElement,
     [](Chain& c) { c.x = c.x * kIn.DScaleBlock(); }},
    {{"quantise_s8", "the nearest s8, saturating"}, Where::kLast, Quantise<DType::kS8>},
    {{"quantise_u8", "the nearest u8, saturating"}, Where::kLast, Quantise<DType::kU8>},
    {{"quantise_e4m3", "the nearest e4m3, saturating"}, Where::kLast, Quantise<DType::kE4m3>},
    {{"quantise_e5m2", "the nearest e5m2, saturating"}, Where::kLast, Quantise<DType::kE5m2>},
};

constexpr std::size_t kMaxNames = 32;

/// Names come from a command line or a file: short, and fit for a terminal.
std::string Quoted(std::string_view text) {
  std::string shown(text.substr(0, 40));
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return '"' + shown + (text.size() > 40 ? "...\"" : "\"");
}

const Row& FindRow(std::string_view name) {
  std::string names;
  for (const Row& row : kRows) {
    if (row.name.name == name) return row;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", row.name.name);
  }
  throw Fail(Code::kInvalidArgument, "", "epilogue: unknown name {}: there are {}", Quoted(name), names);
}

std::vector<const Row*> Rows(std::string_view chain) {
  std::vector<const Row*> rows;
  for (;;) {
    const std::size_t end = chain.find('+');
    rows.push_back(&FindRow(chain.substr(0, end)));
    if (rows.size() > kMaxNames) throw Fail(Code::kInvalidArgument, "", "epilogue: more than {} names", kMaxNames);
    if (end == std::string_view::npos) return rows;
    chain.remove_prefix(end + 1);
  }
}

void CheckOrder(const std::vector<const Row*>& rows, std::size_t i, const Chain& chain) {
  const Row& row = *rows[i];
  if (row.where == Where::kLast && i + 1 < rows.size())
    throw Fail(Code::kInvalidArgument, "", "epilogue: {} must be the last, but {} follows", row.name.name,
               rows[i + 1]->name.name);
  if (row.where == Where::kProduct && chain.swiglu_done)
    throw Fail(Code::kInvalidArgument, "", "epilogue: {} must stand before swiglu: it reads columns of the product",
               row.name.name);
  if ((row.where == Where::kElement || row.where == Where::kLast) && chain.partner)
    throw Fail(Code::kInvalidArgument, "", "epilogue: {} must stand after swiglu: it speaks of elements of D",
               row.name.name);
}

}  // namespace

Epilogue Epilogue::Parse(std::string_view text) {
  const std::vector<const Row*> rows = Rows(text);
  Chain chain;
  if (std::any_of(rows.begin(), rows.end(), [](const Row* row) { return row->name.name == "swiglu"; }))
    chain.partner = kIn.Paired();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    CheckOrder(rows, i, chain);
    rows[i]->apply(chain);
  }
  Outputs outputs(chain.x);
  for (const auto& [value, set] : chain.extra) set(outputs, value);
  return Epilogue(outputs);
}

std::span<const EpilogueName> EpilogueNames() {
  static const auto names = [] {
    std::array<EpilogueName, std::size(kRows)> all;
    std::transform(std::begin(kRows), std::end(kRows), all.begin(), [](const Row& row) { return row.name; });
    return all;
  }();
  return names;
}

}  // namespace gemmsmith
