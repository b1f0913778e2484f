// oneDNN 2 and 3 through their C interface, both at once: what is used of it differs in a few functions. Constants as
// in dnnl_types.h of both.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>

#include "peers.h"

namespace gemmsmith::bench {
namespace {

using Dims = std::array<std::int64_t, 12>;
using Handle = std::shared_ptr<void>;

enum : int {
  kCpu = 1,
  kAnyTag = 1,
  kForwardInference = 96,
  kQueryWeights = 131,
  kSource = 1,
  kDestination = 17,
  kWeights = 33,
  kBias = 41,
};

int DataType(DType type) {
  switch (type) {
    case DType::kBf16:
      return 2;
    case DType::kF32:
      return 3;
    case DType::kS32:
      return 4;
    case DType::kS8:
      return 5;
    case DType::kU8:
      return 6;
    default:
      return 0;
  }
}

struct Argument {
  int index;
  void* memory;
};

/// A description of a matrix: a struct in version 2, which is smaller than this, and an object in version 3.
struct Descriptor {
  alignas(16) std::array<std::byte, 2048> value{};
  Handle object;
  const void* get() const { return object != nullptr ? object.get() : value.data(); }
};

class OneDnn : public Peer {
 public:
  explicit OneDnn(const PeerLibrary& library);
  std::string name() const override {
    return "oneDNN " + std::to_string(version_[0]) + "." + std::to_string(version_[1]) + "." +
           std::to_string(version_[2]);
  }
  std::string about() const override { return {}; }
  std::function<void()> Prepare(const Case& c, const Operands& x) override {
    return Made(c, x, c.epilogue.empty() ? 0 : Algorithm(c.epilogue), 0);
  }
  std::function<void()> PrepareUnfused(const Case& c, const Operands& x) override {
    return Made(c, x, 0, Algorithm(c.epilogue));
  }

 private:
  struct Call {
    int (*execute)(const void*, void*, int, const Argument*);
    void* stream;
    Handle primitive;
    std::vector<Argument> arguments;
    void operator()() const { execute(primitive.get(), stream, static_cast<int>(arguments.size()), arguments.data()); }
  };
  /// A primitive that was made, and all that it refers to.
  struct Prepared {
    std::vector<Call> calls;
    std::vector<Handle> kept;
  };

  int Algorithm(const std::string& epilogue) const {
    static const std::map<std::string, std::array<int, 2>> algorithms = {{"bias+relu", {0x1f, 0x20}},
                                                                         {"bias+gelu_tanh", {0xcf, 0x2b}},
                                                                         {"bias+silu", {0xdf, 0x2c}},
                                                                         {"bias+gelu", {0x30, 0x31}}};
    return algorithms.at(epilogue)[version_[0] == 2 ? 0 : 1];
  }

  std::function<void()> Made(const Case& c, const Operands& x, int fused, int unfused);
  Descriptor Describe(std::int64_t rows, std::int64_t columns, DType type, std::int64_t row_stride,
                      std::int64_t column_stride) const;
  Descriptor DescribeAny(std::int64_t rows, std::int64_t columns, DType type) const;
  Handle Attributes(int fused) const;
  Handle MatmulOf(const Descriptor& a, const Descriptor& b, const Descriptor* bias, const Descriptor& d,
                  const Handle& attributes) const;
  Handle EltwiseOf(int algorithm, const Descriptor& d) const;
  Handle PrimitiveOf(const Handle& description) const;
  void* Memory(Prepared& prepared, const void* descriptor, const void* data) const;
  void* PackedB(Prepared& prepared, const Descriptor& plain, const void* data, const void* wanted) const;

  int version_[3];
  void *engine_ = nullptr, *stream_ = nullptr;
  int (*memory_create_)(void** memory, const void* descriptor, void* engine, void* data);
  int (*memory_destroy_)(void* memory);
  int (*memory_get_data_)(const void* memory, void** data);
  std::size_t (*descriptor_size_)(const void* descriptor);
  int (*attributes_create_)(void** attributes);
  int (*attributes_destroy_)(void* attributes);
  int (*attributes_set_post_ops_)(void* attributes, const void* post_ops);
  int (*post_ops_create_)(void** post_ops);
  int (*post_ops_destroy_)(void* post_ops);
  int (*primitive_create_)(void** primitive, const void* description);
  int (*primitive_destroy_)(void* primitive);
  int (*primitive_execute_)(const void* primitive, void* stream, int count, const Argument* arguments);
  int (*description_destroy_)(void* description);
  const void* (*query_descriptor_)(const void* description, int what, int index);
  int (*reorder_)(void** description, const void* from, void* engine, const void* to, void* to_engine,
                  const void* attributes);
  struct {
    int (*by_strides)(void* descriptor, int rank, const std::int64_t* dims, int type, const std::int64_t* strides);
    int (*by_tag)(void* descriptor, int rank, const std::int64_t* dims, int type, int tag);
    int (*matmul)(void* operation, const void* a, const void* b, const void* bias, const void* d);
    int (*eltwise)(void* operation, int kind, int algorithm, const void* data, float alpha, float beta);
    int (*describe)(void** description, const void* operation, const void* attributes, void* engine, const void* hint);
    int (*append_eltwise)(void* post_ops, float scale, int algorithm, float alpha, float beta);
  } v2_{};
  struct {
    int (*by_strides)(void** descriptor, int rank, const std::int64_t* dims, int type, const std::int64_t* strides);
    int (*by_tag)(void** descriptor, int rank, const std::int64_t* dims, int type, int tag);
    int (*destroy)(void* descriptor);
    int (*matmul)(void** description, void* engine, const void* a, const void* b, const void* bias, const void* d,
                  const void* attributes);
    int (*eltwise)(void** description, void* engine, int kind, int algorithm, const void* from, const void* to,
                   float alpha, float beta, const void* attributes);
    int (*append_eltwise)(void* post_ops, int algorithm, float alpha, float beta);
  } v3_{};
};

void Require(int status, const char* what) {
  if (status != 0) throw std::runtime_error(std::string("oneDNN: ") + what + ": status " + std::to_string(status));
}

OneDnn::OneDnn(const PeerLibrary& library) {
  const int* (*version)() = nullptr;
  library.Bind(version, "dnnl_version");
  std::copy_n(version(), 3, version_);
  int (*engine_create)(void**, int, std::size_t) = nullptr;
  int (*stream_create)(void**, void*, unsigned) = nullptr;
  library.Bind(engine_create, "dnnl_engine_create");
  library.Bind(stream_create, "dnnl_stream_create");
  library.Bind(memory_create_, "dnnl_memory_create");
  library.Bind(memory_destroy_, "dnnl_memory_destroy");
  library.Bind(memory_get_data_, "dnnl_memory_get_data_handle");
  library.Bind(descriptor_size_, "dnnl_memory_desc_get_size");
  library.Bind(attributes_create_, "dnnl_primitive_attr_create");
  library.Bind(attributes_destroy_, "dnnl_primitive_attr_destroy");
  library.Bind(attributes_set_post_ops_, "dnnl_primitive_attr_set_post_ops");
  library.Bind(post_ops_create_, "dnnl_post_ops_create");
  library.Bind(post_ops_destroy_, "dnnl_post_ops_destroy");
  library.Bind(primitive_create_, "dnnl_primitive_create");
  library.Bind(primitive_destroy_, "dnnl_primitive_destroy");
  library.Bind(primitive_execute_, "dnnl_primitive_execute");
  library.Bind(description_destroy_, "dnnl_primitive_desc_destroy");
  library.Bind(query_descriptor_, "dnnl_primitive_desc_query_md");
  library.Bind(reorder_, "dnnl_reorder_primitive_desc_create");
  if (version_[0] == 2) {
    library.Bind(v2_.by_strides, "dnnl_memory_desc_init_by_strides");
    library.Bind(v2_.by_tag, "dnnl_memory_desc_init_by_tag");
    library.Bind(v2_.matmul, "dnnl_matmul_desc_init");
    library.Bind(v2_.eltwise, "dnnl_eltwise_forward_desc_init");
    library.Bind(v2_.describe, "dnnl_primitive_desc_create");
    library.Bind(v2_.append_eltwise, "dnnl_post_ops_append_eltwise");
  } else {
    library.Bind(v3_.by_strides, "dnnl_memory_desc_create_with_strides");
    library.Bind(v3_.by_tag, "dnnl_memory_desc_create_with_tag");
    library.Bind(v3_.destroy, "dnnl_memory_desc_destroy");
    library.Bind(v3_.matmul, "dnnl_matmul_primitive_desc_create");
    library.Bind(v3_.eltwise, "dnnl_eltwise_forward_primitive_desc_create");
    library.Bind(v3_.append_eltwise, "dnnl_post_ops_append_eltwise");
  }
  Require(engine_create(&engine_, kCpu, 0), "no CPU engine");
  Require(stream_create(&stream_, engine_, 1), "no stream");
}

Descriptor OneDnn::Describe(std::int64_t rows, std::int64_t columns, DType type, std::int64_t row_stride,
                            std::int64_t column_stride) const {
  const Dims dims{rows, columns}, strides{row_stride, column_stride};
  Descriptor made;
  if (version_[0] == 2) {
    Require(v2_.by_strides(made.value.data(), 2, dims.data(), DataType(type), strides.data()), "matrix");
  } else {
    void* object = nullptr;
    Require(v3_.by_strides(&object, 2, dims.data(), DataType(type), strides.data()), "matrix");
    made.object = Handle(object, v3_.destroy);
  }
  return made;
}

Descriptor OneDnn::DescribeAny(std::int64_t rows, std::int64_t columns, DType type) const {
  const Dims dims{rows, columns};
  Descriptor made;
  if (version_[0] == 2) {
    Require(v2_.by_tag(made.value.data(), 2, dims.data(), DataType(type), kAnyTag), "matrix of any form");
  } else {
    void* object = nullptr;
    Require(v3_.by_tag(&object, 2, dims.data(), DataType(type), kAnyTag), "matrix of any form");
    made.object = Handle(object, v3_.destroy);
  }
  return made;
}

Handle OneDnn::Attributes(int fused) const {
  void* made = nullptr;
  Require(attributes_create_(&made), "attributes");
  Handle attributes(made, attributes_destroy_);
  if (fused == 0) return attributes;
  void* list = nullptr;
  Require(post_ops_create_(&list), "post-ops");
  const Handle post_ops(list, post_ops_destroy_);
  const float alpha = fused == Algorithm("bias+silu") ? 1 : 0;
  Require(version_[0] == 2 ? v2_.append_eltwise(list, 1, fused, alpha, 0) : v3_.append_eltwise(list, fused, alpha, 0),
          "activation");
  Require(attributes_set_post_ops_(made, list), "post-ops");
  return attributes;
}

/// Null where the library has none.
Handle OneDnn::MatmulOf(const Descriptor& a, const Descriptor& b, const Descriptor* bias, const Descriptor& d,
                        const Handle& attributes) const {
  const void* const of_bias = bias == nullptr ? nullptr : bias->get();
  void* made = nullptr;
  if (version_[0] == 2) {
    alignas(16) std::array<std::byte, 16384> operation{};
    if (v2_.matmul(operation.data(), a.get(), b.get(), of_bias, d.get()) != 0) return nullptr;
    if (v2_.describe(&made, operation.data(), attributes.get(), engine_, nullptr) != 0) return nullptr;
  } else if (v3_.matmul(&made, engine_, a.get(), b.get(), of_bias, d.get(), attributes.get()) != 0) {
    return nullptr;
  }
  return {made, description_destroy_};
}

Handle OneDnn::EltwiseOf(int algorithm, const Descriptor& d) const {
  const float alpha = algorithm == Algorithm("bias+silu") ? 1 : 0;
  void* made = nullptr;
  if (version_[0] == 2) {
    alignas(16) std::array<std::byte, 16384> operation{};
    Require(v2_.eltwise(operation.data(), kForwardInference, algorithm, d.get(), alpha, 0), "activation");
    Require(v2_.describe(&made, operation.data(), nullptr, engine_, nullptr), "activation");
  } else {
    Require(v3_.eltwise(&made, engine_, kForwardInference, algorithm, d.get(), d.get(), alpha, 0, nullptr),
            "activation");
  }
  return {made, description_destroy_};
}

Handle OneDnn::PrimitiveOf(const Handle& description) const {
  void* made = nullptr;
  Require(primitive_create_(&made, description.get()), "primitive");
  return {made, primitive_destroy_};
}

void* OneDnn::Memory(Prepared& prepared, const void* descriptor, const void* data) const {
  void* made = nullptr;
  Require(memory_create_(&made, descriptor, engine_, const_cast<void*>(data)), "memory");
  prepared.kept.emplace_back(made, memory_destroy_);
  return made;
}

void* OneDnn::PackedB(Prepared& prepared, const Descriptor& plain, const void* data, const void* wanted) const {
  constexpr std::size_t kPage = 4096;
  Handle bytes(std::aligned_alloc(kPage, (descriptor_size_(wanted) + kPage) / kPage * kPage), std::free);
  void* const packed = Memory(prepared, wanted, bytes.get());
  prepared.kept.push_back(std::move(bytes));
  void* made = nullptr;
  Require(reorder_(&made, plain.get(), engine_, wanted, engine_, nullptr), "reorder");
  const Handle description(made, description_destroy_);
  // A reorder's operands are called from and to, with the numbers of source and destination.
  Call{primitive_execute_,
       stream_,
       PrimitiveOf(description),
       {{kSource, Memory(prepared, plain.get(), data)}, {kDestination, packed}}}();
  return packed;
}

std::function<void()> OneDnn::Made(const Case& c, const Operands& x, int fused, int unfused) {
  if (DataType(c.a_type) == 0) return {};
  const Descriptor a = Describe(c.m, c.k, c.a_type, c.k, 1);
  const Descriptor b = Describe(c.k, c.n, c.b_type, c.b_transposed ? 1 : c.n, c.b_transposed ? c.k : 1);
  const Descriptor d = Describe(c.m, c.n, c.d_type, c.n, 1);
  const Descriptor bias = Describe(1, c.n, DType::kF32, c.n, 1);
  const Descriptor asked = c.packed ? DescribeAny(c.k, c.n, c.b_type) : b;
  const Handle description = MatmulOf(a, asked, c.epilogue.empty() ? nullptr : &bias, d, Attributes(fused));
  if (description == nullptr) return {};
  const auto prepared = std::make_shared<Prepared>();
  void* const of_b = c.packed ? PackedB(*prepared, b, x.b, query_descriptor_(description.get(), kQueryWeights, 0))
                              : Memory(*prepared, b.get(), x.b);
  void* const of_d = Memory(*prepared, d.get(), x.d);
  Call matmul{primitive_execute_,
              stream_,
              PrimitiveOf(description),
              {{kSource, Memory(*prepared, a.get(), x.a)}, {kWeights, of_b}, {kDestination, of_d}}};
  if (!c.epilogue.empty()) matmul.arguments.push_back({kBias, Memory(*prepared, bias.get(), x.bias)});
  prepared->calls.push_back(std::move(matmul));
  if (unfused != 0)
    prepared->calls.push_back(
        {primitive_execute_, stream_, PrimitiveOf(EltwiseOf(unfused, d)), {{kSource, of_d}, {kDestination, of_d}}});
  return [prepared] {
    for (const Call& call : prepared->calls) call();
  };
}

}  // namespace

std::unique_ptr<Peer> OpenOneDnn(const std::string& soname, std::vector<std::string>& missing) {
  const auto library = PeerLibrary::Open(soname, missing);
  return library == nullptr ? nullptr : std::make_unique<OneDnn>(*library);
}

}  // namespace gemmsmith::bench
