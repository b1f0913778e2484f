#include "gemmsmith/evaluate.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "gemmsmith/error.h"
#include "select/partition.h"

namespace gemmsmith {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const char* const kChip = R"({"chip_type": "SG2262", "num_cores": 64, "sram_kb": 8192, "cube_m": 16, "cube_n": 16,
                              "cube_k": 32, "tflops_int8": 256})";

AcceleratorMicroArch Chip() { return ParseMicroArch(kChip, "chip.json"); }

template <class Call>
std::string MessageOf(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

/// kChip with `text` in place of `old`.
std::string ChipWith(const std::string& old, const std::string& text) {
  std::string json = kChip;
  return json.replace(json.find(old), old.size(), text);
}

TEST(MicroArch, OfAFileHasTheDocumentedDefaults) {
  const AcceleratorMicroArch arch = ReadMicroArch(GEMMSMITH_SOURCE_DIR "/examples/chips/sg2262.json");
  EXPECT_EQ(arch, Chip());
  const AcceleratorMicroArch full = WithDefaults(arch);
  EXPECT_EQ(full.tflops_bf16, 128);
  EXPECT_EQ(full.tflops_fp8, 256);
  EXPECT_EQ(full.dram_gbps, 512);
  EXPECT_EQ(full.vector_gops, 4000);
  EXPECT_EQ(full.noc_gbps, 0);
  EXPECT_EQ(full.launch_us, 0);
  EXPECT_EQ(WithDefaults(full), full);
}

TEST(MicroArch, WhatIsWrongIsNamed) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "chip.json is no JSON"},
      {"[1]", "chip.json is not one JSON object"},
      {ChipWith("}", ", \"cores\": 3}"), "unknown name \"cores\": there are chip_type, tflops_int8, num_cores"},
      {ChipWith("}", ", \"num_cores\": 3}"), "\"num_cores\" is there twice"},
      {ChipWith("\"num_cores\": 64,", ""), "num_cores is missing"},
      {ChipWith("64", "0"), "num_cores=0 is not a whole number from 1 to 65536"},
      {ChipWith("64", "-3"), "num_cores=-3 is not a whole number from 1 to 65536"},
      {ChipWith("64", "-1e300"), "num_cores=-1e+300"},
      {ChipWith("64", "1.5"), "num_cores=1.5"},
      {ChipWith("64", "1e30"), "num_cores=1e+30"},
      {ChipWith("64", "\"many\""), "num_cores=\"many\" is not a number"},
      {ChipWith("64", "99999999"), "num_cores=99999999"},
      {ChipWith("8192", "0"), "sram_kb=0"},
      {ChipWith("8192", "3"), "sram_kb=3 is 3072 bytes, and one tile of 16x16x32 takes 4096"},
      {ChipWith("\"cube_m\": 16", "\"cube_m\": 5000"), "cube_m=5000"},
      {ChipWith("256", "-1"), "tflops_int8=-1 is not above 0"},
      {ChipWith("256", "1e99"), "tflops_int8=1e+99"},
      {ChipWith("256", "null"), "tflops_int8 is missing"},
      {ChipWith("}", ", \"dram_gbps\": 0}"), "dram_gbps=0 is not above 0"},
      {ChipWith("}", ", \"noc_gbps\": -1}"), "noc_gbps=-1 is not at least 0"},
      {ChipWith("}", ", \"launch_us\": true}"), "launch_us=true is not a number"},
      {ChipWith("\"SG2262\"", "7"), "chip_type=7 is no text"},
      {ChipWith("SG2262", ""), "chip_type has 0 bytes"},
      {ChipWith("}", ", \"x\": " + std::string(100, '[') + std::string(100, ']') + "}"), "nested deeper"},
  };
  for (const auto& test : cases) {
    const auto& text = test.first;
    const char* const message = test.second;
    EXPECT_THAT(MessageOf([&] { ParseMicroArch(text, "chip.json"); }), HasSubstr(message)) << text;
    EXPECT_THAT(MessageOf([&] { ParseMicroArch(text, "chip.json"); }), HasSubstr("chip.json")) << text;
  }
  EXPECT_THAT(MessageOf([] { ReadMicroArch("/nowhere/chip.json"); }), HasSubstr("/nowhere/chip.json"));
  EXPECT_THAT(MessageOf([] { ReadMicroArch("/"); }), HasSubstr("read /"));
  EXPECT_THAT(MessageOf([] { ReadMicroArch("/dev/zero"); }), HasSubstr("more than"));
}

TEST(MicroArch, FingerprintIsOfAllFieldsWithTheirDefaults) {
  EXPECT_EQ(Fingerprint(Chip()), Fingerprint(WithDefaults(Chip())));
  EXPECT_EQ(ShortFingerprint(Chip()).size(), 16u);
  std::set<std::string> texts = {Fingerprint(Chip())}, names = {ShortFingerprint(Chip())};
  const std::pair<const char*, const char*> changes[] = {
      {"SG2262", "SG2260"},
      {"64", "32"},
      {"8192", "4096"},
      {"\"cube_m\": 16", "\"cube_m\": 8"},
      {"\"cube_n\": 16", "\"cube_n\": 8"},
      {"\"cube_k\": 32", "\"cube_k\": 16"},
      {"256", "255"},
      {"}", ",\"tflops_bf16\": 127}"},
      {"}", ",\"tflops_fp8\": 127}"},
      {"}", ",\"dram_gbps\": 127}"},
      {"}", ",\"vector_gops\": 127}"},
      {"}", ",\"noc_gbps\": 127}"},
      {"}", ",\"launch_us\": 127}"},
  };
  for (const auto& [old, text] : changes) {
    const AcceleratorMicroArch arch = ParseMicroArch(ChipWith(old, text), "chip.json");
    EXPECT_TRUE(texts.insert(Fingerprint(arch)).second) << text;
    EXPECT_TRUE(names.insert(ShortFingerprint(arch)).second) << text;
  }
}

TEST(Partitions, AreAsManyAsTheSpecificationSays) {
  EXPECT_EQ(AllPartitions(8).size(), 20u);
  EXPECT_EQ(AllPartitions(64).size(), 84u);
  EXPECT_EQ(AllPartitions(1).size(), 1u);
  EXPECT_EQ(AllPartitions(8).data(), AllPartitions(8).data()) << "made once";
  for (const Partition& p : AllPartitions(60)) EXPECT_EQ(p.g * p.m * p.n * p.k, 60);
  EXPECT_TRUE(std::is_sorted(AllPartitions(60).begin(), AllPartitions(60).end()));
  EXPECT_EQ(BalancedPartition(64), (Partition{1, 8, 8, 1}));
  EXPECT_EQ(BalancedPartition(32), (Partition{1, 4, 8, 1}));
  EXPECT_EQ(BalancedPartition(7), (Partition{1, 1, 7, 1}));
}

TEST(Partitions, AreScoredAsTheSpecificationSays) {
  const auto first = [](const GEMMShape& shape) { return PartitionsByScore(8, FormOf(shape)).front(); };
  // Balance 10, one part of k 5, alike 3; of equals the larger.
  EXPECT_EQ(first({1, 4096, 64, 4096}), (Partition{8, 1, 1, 1}));
  EXPECT_EQ(PartitionsByScore(8, ShapeForm::kSquare)[1], (Partition{2, 2, 2, 1}));
  EXPECT_EQ(first({1, 9000, 64, 100}), (Partition{8, 1, 1, 1})) << "the (4, 2, 1, 1) of a tall shape has 5 + 5 + 3";
  const std::vector<Partition> wide = PartitionsByScore(8, FormOf({1, 100, 64, 9000}));
  const auto at = [&wide](const Partition& p) { return std::find(wide.begin(), wide.end(), p) - wide.begin(); };
  EXPECT_LT(at({4, 1, 2, 1}), at({4, 2, 1, 1}));
  EXPECT_EQ(FormOf({1, 300, 1, 200}), ShapeForm::kOther);
}

/// Two cores, a clock of one microsecond, a byte in a microsecond: what follows can be counted by hand.
AcceleratorMicroArch SlowChip() {
  AcceleratorMicroArch arch{"slow", 2, 1, 4, 4, 2, 128e-6};
  arch.dram_gbps = 1e-3;
  arch.launch_us = 5;
  return arch;
}

TEST(Evaluator, ASmallCaseIsAsCountedByHand) {
  GEMMEvaluator evaluator(SlowChip());
  // Each core has (8, 4) columns of the result: two cubes by one, and two steps of k. A comes to both cores.
  const GEMMResult r = evaluator.evaluate(1, 8, 4, 8, DType::kS8, DType::kS8, {false, false});
  EXPECT_THAT(r.best_partition, ElementsAre(1, 1, 2, 1));
  EXPECT_THAT(r.best_tile, ElementsAre(4, 4, 2));
  EXPECT_EQ(r.best_loop_order, "mnk");
  EXPECT_DOUBLE_EQ(r.compute_time_us, 4);
  EXPECT_EQ(r.dram_traffic_bytes, 2 * 32 + 2 * 32 + 64) << "A to two cores, B twice, for k turns within m, and D";
  EXPECT_DOUBLE_EQ(r.memory_time_us, 192);
  EXPECT_DOUBLE_EQ(r.latency_us, 5 + 192 + 1) << "launch, transfers, the last cube";
  EXPECT_DOUBLE_EQ(r.flops, 512);
  EXPECT_DOUBLE_EQ(r.arch_utilization, 1);
  EXPECT_DOUBLE_EQ(r.effective_utilization, 4.0 / 198);
  // One tile of everything: B comes once.
  EXPECT_EQ(evaluator.evaluate(1, 8, 4, 8, DType::kS8, DType::kS8, {true, false}).dram_traffic_bytes, 160);
  // A network brings A to both cores at once.
  AcceleratorMicroArch connected = SlowChip();
  connected.noc_gbps = 1;
  EXPECT_EQ(GEMMEvaluator(connected).evaluate(1, 8, 4, 8, DType::kS8, DType::kS8, {true, false}).dram_traffic_bytes,
            128);
}

TEST(Evaluator, PartsOfKAreAddedThroughMemoryOrTheNetwork) {
  AcceleratorMicroArch arch = SlowChip();
  arch.vector_gops = 1e-3;  // an addition in a microsecond
  const GEMMShape shape{1, 4, 4096, 4, DType::kS8, DType::kS8};
  arch.dram_gbps = 1;  // a thousand bytes in a microsecond
  const GEMMResult memory = GEMMEvaluator(arch).evaluate(shape);
  ASSERT_THAT(memory.best_partition, ElementsAre(1, 1, 1, 2));
  EXPECT_EQ(memory.dram_traffic_bytes, 2 * 4 * 4096 + 2 * 16 * 4 + 2 * 16 * 4 + 16);
  EXPECT_GT(memory.latency_us, 5 + 1024 + 16) << "launch, 1024 steps of k, 16 additions";
  EXPECT_LT(memory.latency_us, 5 + 1024 + 16 + 2);
  arch.noc_gbps = 1;
  const GEMMResult network = GEMMEvaluator(arch).evaluate(shape);
  EXPECT_EQ(network.dram_traffic_bytes, 2 * 4 * 4096 + 16);
}

TEST(Evaluator, ModesOffAreOneCubeAndTheBalancedPartition) {
  GEMMEvaluator evaluator(Chip());
  const GEMMResult off = evaluator.evaluate(1, 4096, 4096, 4096, DType::kBf16, DType::kBf16, {false, false});
  EXPECT_THAT(off.best_tile, ElementsAre(16, 16, 32));
  EXPECT_THAT(off.best_partition, ElementsAre(1, 8, 8, 1));
  EXPECT_EQ(off.search.num_searched_partitions, 1);
  EXPECT_EQ(off.search.num_searched_tiles, 1);
  GEMMSearchMode roofline;
  roofline.use_precise_evaluator = false;
  const GEMMResult best = evaluator.evaluate({1, 4096, 4096, 4096}, roofline);
  EXPECT_DOUBLE_EQ(best.latency_us, 2.0 * 4096 * 4096 * 4096 / 128e6);
  EXPECT_EQ(best.dram_traffic_bytes, 3 * 4096 * 4096 * 2);
  EXPECT_TRUE(best.best_loop_order.empty());
  EXPECT_EQ(ToString(roofline), "tile=1 partition=1 effort=exact precise=0");
}

TEST(Evaluator, WhatCannotBeEvaluatedIsNamed) {
  GEMMEvaluator evaluator(Chip());
  const auto message = [&evaluator](const GEMMShape& shape) { return MessageOf([&] { evaluator.evaluate(shape); }); };
  EXPECT_THAT(message({1, 0, 4, 4}), HasSubstr("M=0 is not at least 1"));
  EXPECT_THAT(message({1, 4, -4, 4}), HasSubstr("K=-4"));
  EXPECT_THAT(message({1, 1 << 20, 1 << 20, 1 << 20}), HasSubstr("more than 2^56"));
  EXPECT_THAT(message({1, 4, 4, 4, DType::kF32, DType::kF32}), HasSubstr("no peak for f32 inputs; choose s8"));
  AcceleratorMicroArch small = Chip();
  small.sram_kb = 4;
  EXPECT_THAT(MessageOf([&] { GEMMEvaluator(small).evaluate(1, 4, 4, 4); }),
              HasSubstr("sram_kb=4 is 4096 bytes, and one bf16 tile takes 6144"));
  EXPECT_NO_THROW(GEMMEvaluator(small).evaluate(1, 4, 4, 4, DType::kS8));
  EXPECT_THROW(GEMMEvaluator{AcceleratorMicroArch{}}, Error);
  const GEMMShape shapes[] = {{1, 4, 4, 4}, {1, 0, 4, 4}};
  EXPECT_THAT(MessageOf([&] { evaluator.evaluate_all(shapes); }), HasSubstr("M=0"));
  EXPECT_EQ(evaluator.stats().result_misses, 4u) << "those that threw; none of the list was begun";
}

TEST(Evaluator, RemembersAndCounts) {
  GEMMEvaluator evaluator(Chip());
  const GEMMShape shape{1, 512, 4096, 7168};
  const GEMMSearchMode fast{true, true, SearchEffort::kFast};
  const double first = evaluator.evaluate(shape).latency_us;
  EXPECT_EQ(evaluator.evaluate(shape).latency_us, first);
  EXPECT_EQ(evaluator.stats().result_hits, 1u);
  EXPECT_EQ(evaluator.stats().result_misses, 1u);
  EXPECT_EQ(evaluator.stats().score_misses, 0u) << "the exact search scores nothing";
  EXPECT_EQ(evaluator.evaluate(shape, fast).best_partition[0], 1) << "no core is left without a product";
  evaluator.evaluate({1, 256, 4096, 7168}, fast);
  const EvaluatorStats stats = evaluator.stats();
  EXPECT_EQ(stats.result_misses, 3u) << "modes never mix";
  EXPECT_EQ(stats.score_misses, 1u);
  EXPECT_EQ(stats.score_hits, 1u) << "of the same form";
  EXPECT_GT(stats.tile_hits, 0u);
  EXPECT_GT(stats.tile_misses, 0u);
}

TEST(Evaluator, WarmUpMakesALayerKnown) {
  GEMMEvaluator evaluator(Chip());
  EXPECT_EQ(prewarm_for_transformer(evaluator, 512, 2048, 2, 16), 4u);
  EXPECT_EQ(evaluator.stats().result_misses, 4u);
  EXPECT_EQ(prewarm(evaluator, 512, 2048, 8, 2, 16), 6u);
  EXPECT_EQ(evaluator.stats().result_misses, 6u);
  for (const GEMMShape& shape : {GEMMShape{1, 32, 512, 1536}, GEMMShape{1, 32, 512, 512}, GEMMShape{1, 32, 512, 2048},
                                 GEMMShape{1, 32, 2048, 512}, GEMMShape{16, 16, 64, 16}, GEMMShape{16, 16, 16, 64}})
    evaluator.evaluate(shape);
  EXPECT_EQ(evaluator.stats().result_misses, 6u);
  EXPECT_THAT(MessageOf([&] { prewarm(evaluator, 512, 2048, 7, 2, 16); }), HasSubstr("heads=7"));
  EXPECT_THAT(MessageOf([&] { prewarm_for_transformer(evaluator, 512, 0, 2, 16); }), HasSubstr("intermediate_size=0"));
}

TEST(ShapeOf, CostsProblemsAsWhatTheyAre) {
  GemmProblem problem = MakeProblem(8, 24, 16, DType::kBf16, "nt");
  EXPECT_EQ(ShapeOf(problem), (GEMMShape{1, 8, 16, 24}));
  SetBatch(problem, 5);
  EXPECT_EQ(ShapeOf(problem), (GEMMShape{5, 8, 16, 24}));
  GemmProblem shared = problem;
  shared.batch_stride_b = 0;
  EXPECT_EQ(ShapeOf(shared), (GEMMShape{1, 40, 16, 24})) << "one weight for all";
  shared = problem;
  shared.batch_stride_a = 0;
  EXPECT_EQ(ShapeOf(shared), (GEMMShape{1, 8, 16, 120}));
  GemmProblem grouped = MakeProblem(100, 24, 16, DType::kBf16);
  grouped.groups = 8;
  grouped.grouping = Grouping::kContiguous;
  EXPECT_EQ(ShapeOf(grouped), (GEMMShape{8, 13, 16, 24}));
  grouped.grouping = Grouping::kMasked;
  EXPECT_EQ(ShapeOf(grouped), (GEMMShape{8, 100, 16, 24}));
  grouped.grouping = Grouping::kAlongK;
  EXPECT_EQ(ShapeOf(grouped), (GEMMShape{8, 100, 2, 24}));
  EXPECT_THAT(MessageOf([] { ShapeOf(MakeProblem(1, 1, 1, DType::kBf16, "nn", BetaClass::kGeneral)); }),
              HasSubstr("reading C"));
}

const ModelGemm& Find(const std::vector<ModelGemm>& gemms, const std::string& name) {
  const auto found = std::find_if(gemms.begin(), gemms.end(), [&](const ModelGemm& g) { return g.name == name; });
  if (found == gemms.end()) throw std::out_of_range(name);
  return *found;
}

TEST(Model, DeepSeekV3HasItsParametersInItsWeights) {
  const ModelConfig model = ReadModelConfig(GEMMSMITH_SOURCE_DIR "/examples/models/deepseek-v3.json");
  ModelPass pass;
  pass.batch = 4, pass.seq = 512;
  const std::vector<ModelGemm> gemms = ModelGemms(model, pass);
  double weights = 0;
  for (const ModelGemm& gemm : gemms)
    if (gemm.name != "attention.scores" && gemm.name != "attention.values")
      weights += static_cast<double>(gemm.count * gemm.shape.G) * static_cast<double>(gemm.shape.K * gemm.shape.N);
  EXPECT_NEAR(weights + 129280.0 * 7168, 671.0e9, 0.2e9) << "with the embedding, as published";
  EXPECT_EQ(Find(gemms, "attention.q_b").shape, (GEMMShape{1, 2048, 1536, 24576}));
  EXPECT_EQ(Find(gemms, "attention.scores").shape, (GEMMShape{4 * 128, 512, 192, 512}));
  EXPECT_EQ(Find(gemms, "experts.gate_up").shape, (GEMMShape{256, 64, 7168, 2048}));
  EXPECT_EQ(Find(gemms, "experts.gate_up").count, 2 * 58);
  EXPECT_EQ(Find(gemms, "ffn.down").count, 3);
  // One token of one sequence: eight experts have a row each.
  pass = {};
  pass.context = 4096;
  const std::vector<ModelGemm> decode = ModelGemms(model, pass);
  EXPECT_EQ(Find(decode, "experts.down").shape, (GEMMShape{8, 1, 2048, 7168}));
  EXPECT_EQ(Find(decode, "attention.values").shape, (GEMMShape{128, 1, 4096, 128}));
}

TEST(Model, HeadsThatShareKeysAreRowsOfOneProduct) {
  const ModelConfig llama = ParseModelConfig(
      R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336, "rope_theta": 5e5,
          "num_attention_heads": 32, "num_key_value_heads": 8, "num_hidden_layers": 32, "vocab_size": 128256,
          "q_lora_rank": null})",
      "config.json");
  ModelPass pass;
  pass.batch = 2, pass.seq = 3, pass.context = 100;
  const std::vector<ModelGemm> gemms = ModelGemms(llama, pass);
  EXPECT_EQ(Find(gemms, "attention.qkv").shape, (GEMMShape{1, 6, 4096, 6144}));
  EXPECT_EQ(Find(gemms, "attention.scores").shape, (GEMMShape{16, 12, 128, 100}));
  EXPECT_EQ(Find(gemms, "attention.values").shape, (GEMMShape{16, 12, 100, 128}));
  EXPECT_EQ(Find(gemms, "ffn.gate_up").count, 64);
  EXPECT_EQ(gemms.size(), 7u);
}

TEST(Model, WhatIsWrongIsNamed) {
  const std::string good = R"("hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2)";
  const std::pair<std::string, const char*> cases[] = {
      {"{", "config.json is no JSON"},
      {"{}", "hidden_size=0"},
      {"{" + good + "}", "intermediate_size=0"},
      {"{" + good + R"(, "intermediate_size": 1.5})", "intermediate_size=1.5"},
      {"{" + good + R"(, "intermediate_size": 1e12})", "intermediate_size=1000000000000"},
      {"{" + good + R"(, "intermediate_size": 64, "num_key_value_heads": 3})", "num_key_value_heads=3"},
      {R"({"hidden_size": 65, "num_attention_heads": 4, "intermediate_size": 64})", "hidden_size=65"},
      {"{" + good + R"(, "n_routed_experts": 4})", "num_experts_per_tok=0"},
      {"{" + good + R"(, "n_routed_experts": 4, "num_experts_per_tok": 5, "moe_intermediate_size": 1})",
       "num_experts_per_tok=5 of n_routed_experts=4"},
      {"{" + good + R"(, "intermediate_size": 64, "kv_lora_rank": 4})", "qk_nope_head_dim=0"},
  };
  for (const auto& test : cases) {
    const auto& text = test.first;
    const char* const message = test.second;
    EXPECT_THAT(MessageOf([&] { ParseModelConfig(text, "config.json"); }), HasSubstr(message)) << text;
    EXPECT_THAT(MessageOf([&] { ParseModelConfig(text, "config.json"); }), HasSubstr("config.json")) << text;
  }
  const ModelConfig model = ParseModelConfig("{" + good + R"(, "intermediate_size": 64})", "config.json");
  const auto message = [&model](std::int64_t batch, std::int64_t seq, std::int64_t context) {
    ModelPass pass;
    pass.batch = batch, pass.seq = seq, pass.context = context;
    return MessageOf([&] { ModelGemms(model, pass); });
  };
  EXPECT_THAT(message(0, 1, 0), HasSubstr("batch=0"));
  EXPECT_THAT(message(1, 8, 4), HasSubstr("context=4 is shorter than seq=8"));
  EXPECT_THAT(message(1 << 20, 1 << 20, 0), HasSubstr("tokens"));
}

}  // namespace
}  // namespace gemmsmith
