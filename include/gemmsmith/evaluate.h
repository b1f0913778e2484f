#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gemmsmith/dtype.h"
#include "gemmsmith/export.h"
#include "gemmsmith/problem.h"

namespace gemmsmith {

/// A described accelerator: cores with an SRAM and a matrix unit each, over one shared memory. Its time for a GEMM is
/// predicted, not measured (docs/evaluate.md has the formulas). Optional numbers that are left empty have the default
/// shown.
struct AcceleratorMicroArch {
  std::string chip_type;       ///< Any name.
  std::int64_t num_cores = 0;  ///< 1 to 65,536.
  std::int64_t sram_kb = 0;    ///< KiB of each core, for tiles.
  /// What a core multiplies in one clock: (cube_m, cube_k) by (cube_k, cube_n). With cube_k = 1 it is a systolic array
  /// of cube_m rows and cube_n columns, which fills and drains for every product; else it does not wait.
  std::int64_t cube_m = 0, cube_n = 0, cube_k = 0;
  double tflops_int8 = 0;  ///< Peak of the chip, 1e12 operations per second; a multiply-add is two.
  /// Also of f16. Default: tflops_int8 / 2.
  std::optional<double> tflops_bf16 = std::nullopt;
  /// Default: tflops_int8.
  std::optional<double> tflops_fp8 = std::nullopt;
  /// 1e9 bytes per second, of all cores together. Default: 2 * tflops_int8.
  std::optional<double> dram_gbps = std::nullopt;
  /// 1e9 f32 additions per second of the chip, for adding the parts of k. Default: 1000/64 * tflops_int8.
  std::optional<double> vector_gops = std::nullopt;
  /// 1e9 bytes per second of the network between cores, on which then all inputs travel. Default: 0, there is none.
  std::optional<double> noc_gbps = std::nullopt;
  /// Microseconds before anything happens. Default: 0.
  std::optional<double> launch_us = std::nullopt;

  friend bool operator==(const AcceleratorMicroArch&, const AcceleratorMicroArch&) = default;
};

/// The chip of a JSON file, one object whose names are the members above. Throws kNotFound or kIo; kInvalidArgument for
/// a name that is unknown, missing or there twice, for what is no number, and what Validate refuses.
GEMMSMITH_API AcceleratorMicroArch ReadMicroArch(const std::string& path);
/// The same from text; `origin` stands for the file name in errors.
GEMMSMITH_API AcceleratorMicroArch ParseMicroArch(std::string_view text, const std::string& origin);
/// Throws kInvalidArgument, naming the number, for a chip that cannot be: no cores, an SRAM below one tile, ...
GEMMSMITH_API void Validate(const AcceleratorMicroArch& arch);
/// The same chip with every default filled in.
GEMMSMITH_API AcceleratorMicroArch WithDefaults(AcceleratorMicroArch arch);
/// All members with defaults filled in, as one line of JSON with sorted names: equal for chips that behave alike in
/// all, and for them only.
GEMMSMITH_API std::string Fingerprint(const AcceleratorMicroArch& arch);
/// 16 hexadecimal digits of it, for names of files; compare the full text.
GEMMSMITH_API std::string ShortFingerprint(const AcceleratorMicroArch& arch);

/// G products of their own operands, each (M, K) by (K, N).
struct GEMMShape {
  std::int64_t G = 1, M = 0, K = 0, N = 0;
  DType input_dtype = DType::kBf16, output_dtype = DType::kBf16;

  friend bool operator==(const GEMMShape&, const GEMMShape&) = default;
};

/// `problem` as a chip sees it. A batch with one B for all is one product of more rows, one with one A of more columns;
/// of `groups` that share m (kContiguous) or k (kAlongK) each has an equal part, rounded up. Throws kUnsupported for C,
/// epilogues, scales, and A and B of types of different size.
GEMMSMITH_API GEMMShape ShapeOf(const GemmProblem& problem);

/// How much is tried. kExact: no partition, tile or loop order at all is better. The others are shortcuts: of the
/// partitions that give every core work, kBalanced takes 5 by score and of their tiles the 3 largest, kFast 3 and 1.
enum class SearchEffort : std::uint8_t { kExact, kBalanced, kFast };

/// Results of different modes are different results.
struct GEMMSearchMode {
  bool tile_search = true;       ///< Off: a tile is one cube.
  bool partition_search = true;  ///< Off: (1, p, q, 1), p <= q as near to each other as can be; 64 cores: (1, 8, 8, 1).
  SearchEffort effort = SearchEffort::kExact;
  bool use_precise_evaluator = true;  ///< Off: the roofline, which knows neither tile nor order nor partition.

  friend bool operator==(const GEMMSearchMode&, const GEMMSearchMode&) = default;
};
/// "tile=1 partition=1 effort=exact precise=1".
GEMMSMITH_API std::string ToString(const GEMMSearchMode& mode);
/// "exact", "balanced", "fast".
GEMMSMITH_API std::string_view ToString(SearchEffort effort);

/// What a search took; differs from run to run.
struct GEMMSearchCost {
  double search_time_ms = 0;
  std::int64_t num_searched_partitions = 0;  ///< Those that no bound had ruled out.
  std::int64_t num_searched_tiles = 0;       ///< The same, over all partitions.
};

/// The best way found to run one GEMMShape.
struct GEMMResult {
  double latency_us = 0;       ///< From the call to the last byte stored; never below the roofline.
  double compute_time_us = 0;  ///< The busiest core's matrix unit.
  double memory_time_us = 0;   ///< All transfers, if nothing else were to be done.
  double flops = 0;            ///< 2 G M N K.
  std::int64_t dram_traffic_bytes = 0;
  double arch_utilization = 0;                   ///< flops / (peak * compute_time_us): lost to idle cores and padding.
  double effective_utilization = 0;              ///< flops / (peak * latency_us).
  std::array<std::int64_t, 3> best_tile{};       ///< m, n, k: elements, whole cubes.
  std::string best_loop_order;                   ///< "mnk": m outermost, k innermost.
  std::array<std::int64_t, 4> best_partition{};  ///< P_G, P_M, P_N, P_K: parts of each dimension, one per core.
  GEMMSearchCost search;
};

/// How often each cache of an evaluator had what was asked for.
struct EvaluatorStats {
  std::uint64_t result_hits = 0, result_misses = 0;  ///< Shape and mode to result.
  std::uint64_t tile_hits = 0, tile_misses = 0;      ///< Extent of a core's part to tile sizes.
  std::uint64_t score_hits = 0, score_misses = 0;    ///< Form of a shape to partitions by score; not of kExact.
};

/// Predicts GEMMs on one chip. Remembers every result while it lives. Thread-safe.
class GEMMSMITH_API GEMMEvaluator {
 public:
  /// Throws as Validate.
  explicit GEMMEvaluator(const AcceleratorMicroArch& arch);
  ~GEMMEvaluator();
  GEMMEvaluator(const GEMMEvaluator&) = delete;
  GEMMEvaluator& operator=(const GEMMEvaluator&) = delete;

  /// Throws kInvalidArgument for sizes below 1 or a product above 2^56, kUnsupported for a dtype without a peak and
  /// where the SRAM holds no tile of it.
  GEMMResult evaluate(const GEMMShape& shape, const GEMMSearchMode& mode = {});
  GEMMResult evaluate(std::int64_t groups, std::int64_t m, std::int64_t k, std::int64_t n,
                      DType input_dtype = DType::kBf16, DType output_dtype = DType::kBf16,
                      const GEMMSearchMode& mode = {});
  /// All of them, by `threads` threads (0: one per core); the same results whatever their number. `done` is called
  /// after each, by any of the threads, and must not throw. Throws as evaluate, before any is begun.
  std::vector<GEMMResult> evaluate_all(std::span<const GEMMShape> shapes, const GEMMSearchMode& mode = {},
                                       int threads = 0, const std::function<void()>& done = {});

  /// With every default filled in.
  const AcceleratorMicroArch& arch() const;
  EvaluatorStats stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A GEMM of a model and how often one pass has it.
struct ModelGemm {
  std::string name;  ///< "attention.qkv", "experts.gate_up", ...
  GEMMShape shape;
  std::int64_t count = 1;
};

/// What decides the GEMMs of a transformer, by the names of a Hugging Face config.json. Zero: the model has none, or
/// what the comment says.
struct ModelConfig {
  std::int64_t hidden_size = 0, intermediate_size = 0, num_attention_heads = 0, num_hidden_layers = 1;
  std::int64_t num_key_value_heads = 0;  ///< 0: as many as heads.
  std::int64_t head_dim = 0;             ///< 0: hidden_size / heads.
  std::int64_t vocab_size = 0;
  /// Latent attention (DeepSeek): all but q_lora_rank, which may be 0, or none.
  std::int64_t q_lora_rank = 0, kv_lora_rank = 0, qk_nope_head_dim = 0, qk_rope_head_dim = 0, v_head_dim = 0;
  /// Mixture of experts: all layers but the first `first_k_dense_replace`.
  std::int64_t n_routed_experts = 0, num_experts_per_tok = 0, n_shared_experts = 0, moe_intermediate_size = 0;
  std::int64_t first_k_dense_replace = 0;
};

/// One pass over a model.
struct ModelPass {
  std::int64_t batch = 1, seq = 1;  ///< Sequences, and new tokens of each.
  std::int64_t context = 0;         ///< Tokens that attention looks at; 0: seq.
  DType input_dtype = DType::kBf16, output_dtype = DType::kBf16;
};

/// The model of a config.json, whose other names are left alone (n_routed_experts is also num_local_experts or
/// num_experts). Throws kNotFound, kIo, or kInvalidArgument with file and name.
GEMMSMITH_API ModelConfig ReadModelConfig(const std::string& path);
/// The same from text; `origin` stands for the file name in errors.
GEMMSMITH_API ModelConfig ParseModelConfig(std::string_view text, const std::string& origin);
/// The GEMMs of one pass, in order. Tokens are spread evenly over the experts. Throws kInvalidArgument.
GEMMSMITH_API std::vector<ModelGemm> ModelGemms(const ModelConfig& model, const ModelPass& pass);

/// Evaluates the GEMMs of one transformer layer, so that they are known: queries, keys and values as one, output, gate
/// and down of the feed-forward part. Returns how many there are.
GEMMSMITH_API std::size_t prewarm_for_transformer(GEMMEvaluator& evaluator, std::int64_t hidden_size,
                                                  std::int64_t intermediate_size, std::int64_t batch_size,
                                                  std::int64_t seq_len);
/// The same with the products inside attention, for `heads` heads of hidden / heads.
GEMMSMITH_API std::size_t prewarm(GEMMEvaluator& evaluator, std::int64_t hidden, std::int64_t intermediate,
                                  std::int64_t heads, std::int64_t batch, std::int64_t seq);

}  // namespace gemmsmith
