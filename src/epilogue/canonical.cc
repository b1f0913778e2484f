#include <algorithm>
#include <bit>
#include <charconv>
#include <iterator>
#include <map>
#include <tuple>
#include <utility>

#include "epilogue/trace.h"
#include "util/digest.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

[[noreturn]] void Malformed(std::string_view what) { throw Fail(Code::kInvalidArgument, "", "epilogue: {}", what); }

bool TakesBlock(Op op) { return op == Op::kScaleBlock || op == Op::kDScaleBlock; }

void CheckBlock(std::string_view what, bool wanted, EpilogueBlock block) {
  if (wanted ? block.rows < 1 || block.columns < 1 : block != EpilogueBlock{0, 0})
    throw Fail(Code::kInvalidArgument, "", "epilogue: {} with blocks of {} x {}", what, block.rows, block.columns);
}

void CheckNode(const OpTrace& trace, std::int32_t index) {
  const OpNode& node = trace.body[index];
  const OpInfo& info = Info(node.op);
  CheckBlock(info.text, TakesBlock(node.op), node.block);
  for (int i = 0; i < info.arity; ++i) {
    if (node.operands[i] < 0 || node.operands[i] >= index) Malformed("an operand is not computed before its use");
    if (const ValueType type = Info(trace.body[node.operands[i]].op).type; type != info.operands[i])
      throw Fail(Code::kInvalidArgument, "", "epilogue: {} takes {} as operand {}, not {}", info.text,
                 ToString(info.operands[i]), i + 1, ToString(type));
  }
}

void CheckOutput(const OpTrace& trace, const OpOutput& output) {
  CheckBlock(Info(output.kind).text, output.kind == OutputKind::kAmaxBlock, output.block);
  if (output.value < 0 || output.value >= static_cast<std::int32_t>(trace.body.size()))
    Malformed("an output is not computed");
  if (const ValueType type = Info(trace.body[output.value].op).type; type != ValueType::kF32)
    throw Fail(Code::kInvalidArgument, "convert it, or select between numbers", "epilogue: {} must be f32, not {}",
               Info(output.kind).text, ToString(type));
  const auto same = [&](const OpOutput& other) { return other.kind == output.kind; };
  if (std::count_if(trace.outputs.begin(), trace.outputs.end(), same) > 1)
    throw Fail(Code::kInvalidArgument, "", "epilogue: {} is set twice", Info(output.kind).text);
}

void Check(const OpTrace& trace) {
  if (trace.body.size() > OpTrace::kMaxNodes)
    throw Fail(Code::kInvalidArgument, "", "epilogue: {} operations; at most {}", trace.body.size(),
               OpTrace::kMaxNodes);
  for (std::size_t i = 0; i < trace.body.size(); ++i) CheckNode(trace, static_cast<std::int32_t>(i));
  for (const OpOutput& output : trace.outputs) CheckOutput(trace, output);
  if (std::none_of(trace.outputs.begin(), trace.outputs.end(),
                   [](const OpOutput& output) { return output.kind == OutputKind::kD; }))
    Malformed("D is not set");
}

class Canonicaliser {
 public:
  OpTrace Run(const OpTrace& trace) {
    std::vector<std::int32_t> unique;  // of each node of `trace`
    for (OpNode node : trace.body) {
      for (int i = 0; i < Info(node.op).arity; ++i) node.operands[i] = unique[node.operands[i]];
      unique.push_back(Add(node));
    }
    std::vector<OpOutput> outputs = trace.outputs;
    std::sort(outputs.begin(), outputs.end(), [](const auto& x, const auto& y) { return x.kind < y.kind; });
    for (OpOutput& output : outputs) output.value = Place(unique[output.value]);
    result_.outputs = std::move(outputs);
    CheckBlockSizes();
    return std::move(result_);
  }

 private:
  struct Unique {
    OpNode node;
    Digest digest;             // of all that it is computed from
    std::int32_t placed = -1;  // its index in the result
  };

  bool IsConstant(std::int32_t index) const { return Info(nodes_[index].node.op).kind == OpKind::kConstant; }

  /// What `node` always is, if that can be told: the node itself otherwise.
  std::int32_t Add(OpNode node) {
    const OpInfo& info = Info(node.op);
    if (info.type == ValueType::kF32 && info.kind == OpKind::kConstant && (node.bits & 0x7fffffff) > 0x7f800000)
      node.bits = kNanBits;
    if (info.text == "select") {
      if (node.operands[1] == node.operands[2]) return node.operands[1];
      if (IsConstant(node.operands[0])) return node.operands[nodes_[node.operands[0]].node.bits != 0 ? 1 : 2];
    }
    if (info.arity > 0 && AllConstant(node)) node = Folded(node);
    return Share(node);
  }

  bool AllConstant(const OpNode& node) const {
    const auto* begin = node.operands.begin();
    return std::all_of(begin, begin + Info(node.op).arity, [&](std::int32_t operand) { return IsConstant(operand); });
  }

  OpNode Folded(const OpNode& node) const {
    const OpInfo& info = Info(node.op);
    std::uint32_t operands[3] = {};
    for (int i = 0; i < info.arity; ++i) operands[i] = nodes_[node.operands[i]].node.bits;
    OpNode constant{info.type == ValueType::kF32   ? Op::kConstantF32
                    : info.type == ValueType::kS32 ? Op::kConstantS32
                                                   : Op::kConstantBool};
    constant.bits = info.evaluate(operands);
    return constant;
  }

  /// As people write: what is computed, inputs, constants. Depends on nothing but what the nodes compute.
  bool Before(std::int32_t x, std::int32_t y) const {
    const auto rank = [&](std::int32_t index) {
      const Unique& unique = nodes_[index];
      const OpKind kind = Info(unique.node.op).kind;
      return std::tuple(kind == OpKind::kConstant, kind == OpKind::kInput, unique.node.op, unique.digest);
    };
    return rank(x) < rank(y);
  }

  std::int32_t Share(OpNode node) {
    const OpInfo& info = Info(node.op);
    if (info.trait == OpTrait::kCommutative && Before(node.operands[1], node.operands[0]))
      std::swap(node.operands[0], node.operands[1]);
    std::string key =
        fmt::format("{} {} {}x{} {}", info.text, ToString(info.type), node.block.rows, node.block.columns, node.bits);
    for (int i = 0; i < info.arity; ++i) key += ' ' + nodes_[node.operands[i]].digest.Hex();
    const Digest digest = DigestOf(key);
    const auto [place, is_new] = by_digest_.emplace(digest, static_cast<std::int32_t>(nodes_.size()));
    if (is_new) nodes_.push_back({node, digest});
    return place->second;
  }

  /// Puts a node into the result after its operands; depth is at most kMaxNodes.
  std::int32_t Place(std::int32_t index) {
    if (nodes_[index].placed >= 0) return nodes_[index].placed;
    OpNode node = nodes_[index].node;
    for (int i = 0; i < Info(node.op).arity; ++i) node.operands[i] = Place(node.operands[i]);
    result_.body.push_back(node);
    return nodes_[index].placed = static_cast<std::int32_t>(result_.body.size()) - 1;
  }

  /// An input is one tensor, and so has one block size.
  void CheckBlockSizes() const {
    for (const OpNode& x : result_.body)
      for (const OpNode& y : result_.body)
        if (TakesBlock(x.op) && x.op == y.op && x.block != y.block)
          throw Fail(Code::kInvalidArgument, "", "epilogue: {} with blocks of {} x {} and of {} x {}", Info(x.op).text,
                     x.block.rows, x.block.columns, y.block.rows, y.block.columns);
  }

  std::vector<Unique> nodes_;
  std::map<Digest, std::int32_t> by_digest_;
  OpTrace result_;
};

std::string Constant(const OpNode& node) {
  if (node.op == Op::kConstantF32) return ShortestDecimal(std::bit_cast<float>(node.bits));
  return fmt::format("{}", static_cast<std::int32_t>(node.bits));
}

std::string BlockText(EpilogueBlock block) {
  return block.rows > 0 ? fmt::format(" {}x{}", block.rows, block.columns) : "";
}

}  // namespace

OpTrace Canonical(const OpTrace& trace) {
  Check(trace);
  return Canonicaliser().Run(trace);
}

std::string ToText(const OpTrace& trace) {
  std::string text;
  for (std::size_t i = 0; i < trace.body.size(); ++i) {
    const OpNode& node = trace.body[i];
    const OpInfo& info = Info(node.op);
    text += fmt::format("v{} = {}{}", i, info.text, BlockText(node.block));
    if (info.kind == OpKind::kConstant) text += ' ' + Constant(node);
    for (int j = 0; j < info.arity; ++j) text += fmt::format(" v{}", node.operands[j]);
    text += '\n';
  }
  for (const OpOutput& output : trace.outputs)
    text += fmt::format("{}{} v{}\n", Info(output.kind).text, BlockText(output.block), output.value);
  return text;
}

std::string ShortestDecimal(float value) {
  char digits[32];
  const auto end = std::to_chars(std::begin(digits), std::end(digits), value).ptr;
  return {digits, end};
}

bool OpTrace::Reads(Op input) const {
  return std::any_of(body.begin(), body.end(), [&](const OpNode& node) { return node.op == input; });
}

OpPattern OpTrace::pattern() const {
  if (outputs.size() > 1) return OpPattern::kReduction;
  return paired() ? OpPattern::kPairwise : OpPattern::kElementwise;
}

}  // namespace gemmsmith
