#include <algorithm>
#include <utility>

#include "gemmsmith/evaluate.h"
#include "select/json_object.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr std::int64_t kMostOfAnything = std::int64_t{1} << 24;  // products of three of them fit 64 bits with ease
constexpr std::int64_t kMostTokens = std::int64_t{1} << 31;

struct Field {
  const char* name;
  std::int64_t ModelConfig::*member;
};
constexpr Field kFields[] = {
    {"hidden_size", &ModelConfig::hidden_size},
    {"intermediate_size", &ModelConfig::intermediate_size},
    {"num_attention_heads", &ModelConfig::num_attention_heads},
    {"num_hidden_layers", &ModelConfig::num_hidden_layers},
    {"num_key_value_heads", &ModelConfig::num_key_value_heads},
    {"head_dim", &ModelConfig::head_dim},
    {"vocab_size", &ModelConfig::vocab_size},
    {"q_lora_rank", &ModelConfig::q_lora_rank},
    {"kv_lora_rank", &ModelConfig::kv_lora_rank},
    {"qk_nope_head_dim", &ModelConfig::qk_nope_head_dim},
    {"qk_rope_head_dim", &ModelConfig::qk_rope_head_dim},
    {"v_head_dim", &ModelConfig::v_head_dim},
    {"n_routed_experts", &ModelConfig::n_routed_experts},
    {"num_local_experts", &ModelConfig::n_routed_experts},
    {"num_experts", &ModelConfig::n_routed_experts},
    {"num_experts_per_tok", &ModelConfig::num_experts_per_tok},
    {"n_shared_experts", &ModelConfig::n_shared_experts},
    {"moe_intermediate_size", &ModelConfig::moe_intermediate_size},
    {"first_k_dense_replace", &ModelConfig::first_k_dense_replace},
};

void RequirePositive(const char* name, std::int64_t value) {
  if (value < 1 || value > kMostOfAnything)
    throw Fail(Code::kInvalidArgument, "", "model: {}={} is not a whole number from 1 to {}", name, value,
               kMostOfAnything);
}

void Validate(const ModelConfig& c, const ModelPass& pass) {
  for (const Field& field : kFields)
    if (c.*field.member < 0 || c.*field.member > kMostOfAnything) RequirePositive(field.name, c.*field.member);
  RequirePositive("hidden_size", c.hidden_size);
  RequirePositive("num_attention_heads", c.num_attention_heads);
  RequirePositive("num_hidden_layers", c.num_hidden_layers);
  if (c.num_key_value_heads > 0 && c.num_attention_heads % c.num_key_value_heads != 0)
    throw Fail(Code::kInvalidArgument, "", "model: num_attention_heads={} is no multiple of num_key_value_heads={}",
               c.num_attention_heads, c.num_key_value_heads);
  if (c.kv_lora_rank > 0) {
    RequirePositive("qk_nope_head_dim", c.qk_nope_head_dim);
    RequirePositive("v_head_dim", c.v_head_dim);
  } else if (c.head_dim == 0 && c.hidden_size % c.num_attention_heads != 0) {
    throw Fail(Code::kInvalidArgument, "give head_dim",
               "model: hidden_size={} is no multiple of num_attention_heads={}", c.hidden_size, c.num_attention_heads);
  }
  if (c.n_routed_experts == 0 || c.first_k_dense_replace > 0) RequirePositive("intermediate_size", c.intermediate_size);
  if (c.n_routed_experts > 0) {
    RequirePositive("num_experts_per_tok", c.num_experts_per_tok);
    if (c.moe_intermediate_size == 0) RequirePositive("intermediate_size", c.intermediate_size);
    if (c.num_experts_per_tok > c.n_routed_experts)
      throw Fail(Code::kInvalidArgument, "", "model: num_experts_per_tok={} of n_routed_experts={}",
                 c.num_experts_per_tok, c.n_routed_experts);
  }
  RequirePositive("batch", pass.batch);
  RequirePositive("seq", pass.seq);
  if (pass.batch * pass.seq > kMostTokens)
    throw Fail(Code::kInvalidArgument, "", "model: batch={} times seq={} is more than {} tokens", pass.batch, pass.seq,
               kMostTokens);
  if (pass.context != 0) RequirePositive("context", pass.context);
  if (pass.context != 0 && pass.context < pass.seq)
    throw Fail(Code::kInvalidArgument, "", "model: context={} is shorter than seq={}", pass.context, pass.seq);
}

/// Lists the GEMMs of one pass.
class Lister {
 public:
  Lister(const ModelConfig& config, const ModelPass& pass)
      : c_(config), pass_(pass), tokens_(pass.batch * pass.seq), context_(std::max(pass.context, pass.seq)) {}

  std::vector<ModelGemm> List() {
    c_.kv_lora_rank > 0 ? LatentAttention() : Attention();
    const std::int64_t layers = c_.num_hidden_layers;
    const std::int64_t dense = c_.n_routed_experts == 0 ? layers : std::min(layers, c_.first_k_dense_replace);
    if (dense > 0) FeedForward("ffn", 1, tokens_, c_.intermediate_size, dense);
    if (layers > dense) Experts(layers - dense);
    if (c_.vocab_size > 0) Add("lm_head", 1, tokens_, c_.hidden_size, c_.vocab_size, 1);
    return std::move(gemms_);
  }

 private:
  void Add(const std::string& name, std::int64_t groups, std::int64_t m, std::int64_t k, std::int64_t n,
           std::int64_t count) {
    gemms_.push_back({name, {groups, m, k, n, pass_.input_dtype, pass_.output_dtype}, count});
  }

  /// Heads that share keys and values are rows of one product.
  void Attention() {
    const std::int64_t heads = c_.num_attention_heads, layers = c_.num_hidden_layers;
    const std::int64_t kv_heads = c_.num_key_value_heads > 0 ? c_.num_key_value_heads : heads;
    const std::int64_t dim = c_.head_dim > 0 ? c_.head_dim : c_.hidden_size / heads;
    const std::int64_t rows = pass_.seq * (heads / kv_heads);
    Add("attention.qkv", 1, tokens_, c_.hidden_size, (heads + 2 * kv_heads) * dim, layers);
    Add("attention.scores", pass_.batch * kv_heads, rows, dim, context_, layers);
    Add("attention.values", pass_.batch * kv_heads, rows, context_, dim, layers);
    Add("attention.output", 1, tokens_, heads * dim, c_.hidden_size, layers);
  }

  /// DeepSeek-V2 and V3: queries, keys and values from latents; every head has keys and values of its own.
  void LatentAttention() {
    const std::int64_t heads = c_.num_attention_heads, layers = c_.num_hidden_layers;
    const std::int64_t qk_dim = c_.qk_nope_head_dim + c_.qk_rope_head_dim;
    if (c_.q_lora_rank > 0) {
      Add("attention.q_a", 1, tokens_, c_.hidden_size, c_.q_lora_rank, layers);
      Add("attention.q_b", 1, tokens_, c_.q_lora_rank, heads * qk_dim, layers);
    } else {
      Add("attention.q", 1, tokens_, c_.hidden_size, heads * qk_dim, layers);
    }
    Add("attention.kv_a", 1, tokens_, c_.hidden_size, c_.kv_lora_rank + c_.qk_rope_head_dim, layers);
    Add("attention.kv_b", 1, tokens_, c_.kv_lora_rank, heads * (c_.qk_nope_head_dim + c_.v_head_dim), layers);
    Add("attention.scores", pass_.batch * heads, pass_.seq, qk_dim, context_, layers);
    Add("attention.values", pass_.batch * heads, pass_.seq, context_, c_.v_head_dim, layers);
    Add("attention.output", 1, tokens_, heads * c_.v_head_dim, c_.hidden_size, layers);
  }

  /// Gate and up are two products of one shape.
  void FeedForward(const std::string& name, std::int64_t groups, std::int64_t m, std::int64_t width,
                   std::int64_t layers) {
    Add(name + ".gate_up", groups, m, c_.hidden_size, width, 2 * layers);
    Add(name + ".down", groups, m, width, c_.hidden_size, layers);
  }

  void Experts(std::int64_t layers) {
    const std::int64_t width = c_.moe_intermediate_size > 0 ? c_.moe_intermediate_size : c_.intermediate_size;
    const std::int64_t rows = tokens_ * c_.num_experts_per_tok;
    const std::int64_t busy = std::min(c_.n_routed_experts, rows);
    Add("router", 1, tokens_, c_.hidden_size, c_.n_routed_experts, layers);
    FeedForward("experts", busy, (rows + busy - 1) / busy, width, layers);
    if (c_.n_shared_experts > 0) FeedForward("shared_experts", 1, tokens_, width * c_.n_shared_experts, layers);
  }

  const ModelConfig& c_;
  const ModelPass& pass_;
  const std::int64_t tokens_, context_;
  std::vector<ModelGemm> gemms_;
};

std::size_t Prewarm(GEMMEvaluator& evaluator, const std::vector<GEMMShape>& shapes) {
  evaluator.evaluate_all(shapes);
  return shapes.size();
}

std::vector<GEMMShape> LayerShapes(std::int64_t hidden, std::int64_t intermediate, std::int64_t batch,
                                   std::int64_t seq) {
  ModelConfig config;
  config.hidden_size = hidden, config.intermediate_size = intermediate, config.num_attention_heads = 1;
  ModelPass pass;
  pass.batch = batch, pass.seq = seq;
  Validate(config, pass);
  const std::int64_t tokens = batch * seq;
  return {{1, tokens, hidden, 3 * hidden},
          {1, tokens, hidden, hidden},
          {1, tokens, hidden, intermediate},
          {1, tokens, intermediate, hidden}};
}

}  // namespace

ModelConfig ReadModelConfig(const std::string& path) { return ParseModelConfig(ReadSmallFile(path), path); }

ModelConfig ParseModelConfig(std::string_view text, const std::string& origin) {
  const JsonObject object(text, origin);
  ModelConfig config;
  for (const Field& field : kFields) config.*field.member = object.CountOr(field.name, config.*field.member);
  try {
    Validate(config, {});
  } catch (const Error& error) {
    throw Error(error.code(), origin + ": " + error.message(), error.remedy());
  }
  return config;
}

std::vector<ModelGemm> ModelGemms(const ModelConfig& model, const ModelPass& pass) {
  Validate(model, pass);
  return Lister(model, pass).List();
}

std::size_t prewarm_for_transformer(GEMMEvaluator& evaluator, std::int64_t hidden_size, std::int64_t intermediate_size,
                                    std::int64_t batch_size, std::int64_t seq_len) {
  return Prewarm(evaluator, LayerShapes(hidden_size, intermediate_size, batch_size, seq_len));
}

std::size_t prewarm(GEMMEvaluator& evaluator, std::int64_t hidden, std::int64_t intermediate, std::int64_t heads,
                    std::int64_t batch, std::int64_t seq) {
  std::vector<GEMMShape> shapes = LayerShapes(hidden, intermediate, batch, seq);
  RequirePositive("heads", heads);
  if (hidden % heads != 0)
    throw Fail(Code::kInvalidArgument, "", "model: hidden={} is no multiple of heads={}", hidden, heads);
  shapes.push_back({batch * heads, seq, hidden / heads, seq});
  shapes.push_back({batch * heads, seq, seq, hidden / heads});
  return Prewarm(evaluator, shapes);
}

}  // namespace gemmsmith
