#include "sets.h"

#include <algorithm>

namespace gemmsmith::bench {
namespace {

struct Shape {
  std::int64_t m, n, k;
  bool b_transposed = false;
};
constexpr Shape kSquares[] = {{16, 16, 16},    {32, 32, 32},    {64, 64, 64},       {128, 128, 128},
                              {256, 256, 256}, {512, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048}};
constexpr Shape kRagged[] = {{17, 23, 31}, {33, 65, 129}, {100, 7, 300}, {1000, 1003, 997}};
// Few rows or columns, few or very many products: nothing that a square's blocking fits.
constexpr Shape kSkinny[] = {{96, 96, 96},    {4096, 1, 4096},  {4096, 64, 64},   {64, 64, 4096},
                             {32, 32, 16384}, {4096, 4096, 32}, {2048, 48, 2048}, {1024, 1024, 1024, true}};
// Weights of language models, (n, k), under a few tokens.
constexpr std::int64_t kTokens[] = {1, 4, 16, 64, 256};
constexpr std::int64_t kWeights[][2] = {{4096, 4096}, {7168, 2048}, {2048, 7168}, {11008, 4096}};

/// 60 shapes: 8 squares, 40 of language models, 4 ragged, 8 skinny.
std::vector<Shape> ShapesF32() {
  std::vector<Shape> shapes(std::begin(kSquares), std::end(kSquares));
  shapes.insert(shapes.end(), std::begin(kRagged), std::end(kRagged));
  shapes.insert(shapes.end(), std::begin(kSkinny), std::end(kSkinny));
  for (const bool b_transposed : {false, true})
    for (const std::int64_t m : kTokens)
      for (const auto& weight : kWeights) shapes.push_back({m, weight[0], weight[1], b_transposed});
  return shapes;
}

Case CaseOf(const std::string& set, const Shape& s, DType a, DType b, DType d, bool packed = false,
            const char* epilogue = "") {
  return {set, s.m, s.n, s.k, s.b_transposed, packed, a, b, d, epilogue};
}

std::vector<Case> CasesF32() {
  std::vector<Case> cases;
  for (const bool packed : {false, true})
    for (const Shape& s : ShapesF32())
      // What a packed B was made from no longer matters.
      if (!packed || !s.b_transposed) cases.push_back(CaseOf("f32", s, DType::kF32, DType::kF32, DType::kF32, packed));
  return cases;
}

std::vector<Case> CasesF64() {
  constexpr Shape kShapes[] = {{16, 16, 16},    {17, 23, 31},     {128, 128, 128},       {1024, 1024, 1024},
                               {4, 4096, 4096}, {64, 4096, 4096}, {4, 4096, 4096, true}, {1024, 1024, 1024, true}};
  std::vector<Case> cases;
  for (const bool packed : {false, true})
    for (const Shape& s : kShapes)
      if (!packed || !s.b_transposed) cases.push_back(CaseOf("f64", s, DType::kF64, DType::kF64, DType::kF64, packed));
  return cases;
}

/// Of narrow types: squares, and two weights of language models as they come in and as they are stored.
std::vector<Case> CasesNarrow(const std::string& set, DType a, DType b, const std::vector<DType>& results) {
  std::vector<Shape> shapes = {{64, 64, 64}, {256, 256, 256}, {512, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048}};
  for (const bool b_transposed : {false, true})
    for (const std::int64_t m : {4, 16, 64, 256})
      for (const auto& weight : {kWeights[0], kWeights[3]}) shapes.push_back({m, weight[0], weight[1], b_transposed});
  std::vector<Case> cases;
  for (const DType d : results)
    for (const bool packed : {false, true})
      for (const Shape& s : shapes)
        if (!packed || !s.b_transposed) cases.push_back(CaseOf(set, s, a, b, d, packed));
  return cases;
}

std::vector<Case> CasesEpilogue() {
  std::vector<Case> cases;
  for (const Shape& s : {Shape{4096, 1024, 64}, Shape{4096, 256, 256}, Shape{256, 4096, 4096}})
    for (const char* epilogue : {"bias+gelu", "bias+gelu_tanh", "bias+silu", "bias+relu"})
      cases.push_back(CaseOf("epilogue", s, DType::kF32, DType::kF32, DType::kF32, false, epilogue));
  return cases;
}

/// 40 of the f32 shapes: two of the four weights of language models.
std::vector<Case> CasesConfig() {
  std::vector<Case> cases;
  for (const Shape& s : ShapesF32())
    if (!(s.n == 7168 && s.k == 2048) && !(s.n == 2048 && s.k == 7168))
      cases.push_back(CaseOf("config", s, DType::kF32, DType::kF32, DType::kF32));
  return cases;
}

}  // namespace

const std::vector<std::string>& SetNames() {
  static const std::vector<std::string> names = {"f32", "f64", "bf16", "int8", "epilogue", "config"};
  return names;
}

std::vector<Case> CasesOf(const std::string& set, bool quick) {
  std::vector<Case> cases;
  if (set == "f32") cases = CasesF32();
  if (set == "f64") cases = CasesF64();
  if (set == "bf16") cases = CasesNarrow(set, DType::kBf16, DType::kBf16, {DType::kF32, DType::kBf16});
  if (set == "int8") cases = CasesNarrow(set, DType::kU8, DType::kS8, {DType::kS32});
  if (set == "epilogue") cases = CasesEpilogue();
  if (set == "config") cases = CasesConfig();
  if (quick) {
    std::erase_if(cases, [](const Case& c) { return c.flops() > 2 * 300.0 * 300 * 300 || c.b_bytes() > 4 << 20; });
    if (cases.empty()) cases = {CaseOf(set, {512, 256, 64}, DType::kF32, DType::kF32, DType::kF32, false, "bias+gelu")};
  }
  return cases;
}

}  // namespace gemmsmith::bench
