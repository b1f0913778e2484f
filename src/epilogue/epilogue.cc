#include "gemmsmith/epilogue.h"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "epilogue/expression.h"
#include "util/digest.h"
#include "util/fork_gate.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// The text of "no epilogue".
constexpr std::string_view kIdentity = "v0 = acc\nd v0\n";

/// Nodes for expressions that share parts, each part once.
class Flattener {
 public:
  std::int32_t Add(const Expression& expression) {
    if (const auto known = index_.find(&expression); known != index_.end()) return known->second;
    OpNode node = expression.node;
    for (std::size_t i = 0; i < expression.operands.size(); ++i) node.operands[i] = Add(*expression.operands[i]);
    body_.push_back(node);
    return index_[&expression] = static_cast<std::int32_t>(body_.size()) - 1;
  }
  std::vector<OpNode> Take() { return std::move(body_); }

 private:
  std::unordered_map<const Expression*, std::int32_t> index_;
  std::vector<OpNode> body_;
};

/// Every epilogue that was made, for the life of the process, as the plans that name them.
class Registry {
 public:
  void Add(const Epilogue& epilogue) {
    const ForkGate gate;
    std::scoped_lock lock(mutex_);
    const auto [place, is_new] = epilogues_.emplace(epilogue.id(), epilogue);
    if (!(place->second == epilogue))
      throw Fail(Code::kInternal, "change either", "epilogue: two have the digest {:016x}", epilogue.id());
  }
  std::optional<Epilogue> Find(std::uint64_t id) const {
    const ForkGate gate;
    std::scoped_lock lock(mutex_);
    const auto found = epilogues_.find(id);
    return found == epilogues_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::uint64_t, Epilogue> epilogues_;
};

Registry& TheRegistry() {
  static auto* const registry = new Registry;  // plans may be used while the process ends
  return *registry;
}

/// Made by whoever needs it first, or by several at once, and not under the lock of a static: a child that is forked
/// meanwhile would wait for that for ever.
const Epilogue& Identity() {
  static constinit std::atomic<const Epilogue*> identity{nullptr};
  if (const Epilogue* const made = identity.load(std::memory_order_acquire)) return *made;
  auto mine = std::make_unique<const Epilogue>(Outputs(TracedAccumulator()));
  const Epilogue* first = nullptr;
  return identity.compare_exchange_strong(first, mine.get(), std::memory_order_acq_rel) ? *mine.release() : *first;
}

}  // namespace

Outputs::Outputs(const Value& d) { outputs_.push_back({static_cast<std::uint8_t>(OutputKind::kD), d, {0, 0}}); }
Outputs& Outputs::AmaxRow(const Value& x) {
  outputs_.push_back({static_cast<std::uint8_t>(OutputKind::kAmaxRow), x, {0, 0}});
  return *this;
}
Outputs& Outputs::AmaxColumn(const Value& x) {
  outputs_.push_back({static_cast<std::uint8_t>(OutputKind::kAmaxColumn), x, {0, 0}});
  return *this;
}
Outputs& Outputs::AmaxBlock(const Value& x, EpilogueBlock block) {
  outputs_.push_back({static_cast<std::uint8_t>(OutputKind::kAmaxBlock), x, block});
  return *this;
}

Epilogue::Epilogue() : Epilogue(Identity()) {}

Epilogue::Epilogue(const Outputs& outputs) {
  OpTrace trace;
  Flattener flattener;
  for (const auto& output : outputs.outputs_) {
    const Value value =
        Info(output.value.expression().node.op).type == ValueType::kS32 ? ToF32(output.value) : output.value;
    trace.outputs.push_back({static_cast<OutputKind>(output.kind), flattener.Add(value.expression()), output.block});
  }
  trace.body = flattener.Take();
  trace_ = std::make_shared<const OpTrace>(Canonical(trace));
  text_ = std::make_shared<const std::string>(ToText(*trace_));
  for (const OpNode& node : trace_->body)
    if (Info(node.op).kind == OpKind::kInput) inputs_ |= 1u << static_cast<int>(node.op);
  for (const OpOutput& output : trace_->outputs) outputs_ |= 1u << static_cast<int>(output.kind);
  if (*text_ == kIdentity) return;
  id_ = DigestOf(*text_).low | 1;  // never 0
  TheRegistry().Add(*this);
}

DType Epilogue::rounded_to() const {
  const std::string_view text = Info(trace_->body[trace_->outputs[0].value].op).text;
  constexpr std::string_view kRounding = "to_";
  return text.starts_with(kRounding) ? ParseDType(text.substr(kRounding.size())) : DType::kF32;
}

EpilogueBlock Epilogue::block(EpilogueInput input) const {
  for (const OpNode& node : trace_->body)
    if (Info(node.op).kind == OpKind::kInput && static_cast<int>(node.op) == static_cast<int>(input)) return node.block;
  return {};
}

EpilogueBlock Epilogue::block(EpilogueOutput kind) const {
  for (const OpOutput& output : trace_->outputs)
    if (output.kind == kind) return output.block;
  return {};
}

bool Epilogue::pairs_columns() const { return trace_->paired(); }

EpilogueResult Epilogue::Evaluate(const EpilogueElement& element, int ulps) const {
  return gemmsmith::Evaluate(*trace_, element, ulps);
}

std::optional<Epilogue> Epilogue::Find(std::uint64_t id) { return id == 0 ? Identity() : TheRegistry().Find(id); }

}  // namespace gemmsmith
