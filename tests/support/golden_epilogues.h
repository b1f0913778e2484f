#pragma once

// The epilogues whose CUDA text is kept in tests/golden/epilogues.inc: each operation alone, each name, and some
// chains.

#include <string>
#include <utility>
#include <vector>

#include "epilogue/trace.h"

namespace gemmsmith {

/// D = the operation on inputs; a bool selects, an s32 is converted.
inline OpTrace TraceOf(const OpInfo& info) {
  OpTrace trace{{{Op::kAccumulator},
                 {Op::kBias},
                 {Op::kResidual},
                 {Op::kRow},
                 {Op::kColumn},
                 {Op::kLess, {0, 1, -1}},
                 {Op::kLess, {1, 2, -1}}},
                {}};
  OpNode node{info.op};
  for (int i = 0; i < info.arity; ++i)
    node.operands[i] = info.operands[i] == ValueType::kF32   ? i
                       : info.operands[i] == ValueType::kS32 ? 3 + i % 2
                                                             : 5 + i;
  trace.body.push_back(node);
  if (info.type == ValueType::kBool) trace.body.push_back({Op::kSelect, {7, 0, 1}});
  if (info.type == ValueType::kS32) trace.body.push_back({Op::kToF32, {7, -1, -1}});
  trace.outputs = {{OutputKind::kD, static_cast<std::int32_t>(trace.body.size()) - 1}};
  return Canonical(trace);
}

inline std::vector<std::pair<std::string, OpTrace>> GoldenEpilogues() {
  std::vector<std::pair<std::string, OpTrace>> all;
  for (const OpInfo& info : AllOps())
    if (info.kind == OpKind::kComputed)
      all.emplace_back(std::string("op_") + std::string(info.text) + '_' + std::string(ToString(info.operands.back())) +
                           std::to_string(static_cast<int>(info.op)),
                       TraceOf(info));
  for (const EpilogueName& name : EpilogueNames())
    all.emplace_back("name_" + std::string(name.name), Epilogue::Parse(name.name).trace());
  for (const char* chain :
       {"bias+gelu", "bias+silu", "scale_row+scale_column+bias+swiglu+amax_row+d_scale_row+quantise_s8",
        "bias+gelu_tanh+residual", "scale+bias+relu+amax_block+d_scale_block+quantise_e4m3"}) {
    std::string name = chain;
    for (char& c : name)
      if (c == '+') c = '_';
    all.emplace_back("chain_" + name, Epilogue::Parse(chain).trace());
  }
  const Epilogue constants = Trace([](Value acc, Inputs in) {
    const Value late = in.Column() > in.Row() + -2147483647 - 1;
    const Value x = Select(late, -1.0f / 0.0f, acc * 1e-45f + 0.1f);
    return Outputs(Select(acc == acc * 0.0f, -0.0f, x) * 3e38f - 16777216.0f).AmaxColumn(x);
  });
  all.emplace_back("constants", constants.trace());
  return all;
}

}  // namespace gemmsmith
