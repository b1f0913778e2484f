#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gemmsmith {

/// The text of a small file. Throws kNotFound or kIo; kInvalidArgument for a large one.
std::string ReadSmallFile(const std::string& path);

/// One JSON object that describes something. Errors are kInvalidArgument and begin with `origin`, the file's name.
class JsonObject {
 public:
  /// A name that is there twice is refused.
  JsonObject(std::string_view text, std::string origin);

  /// Whether it has `name`, with another value than null.
  bool Has(const char* name) const;
  /// What `name` is. Throws where it is missing, or something else.
  std::string Text(const char* name) const;
  double Number(const char* name) const;
  /// A whole number from 0 to 2^53.
  std::int64_t Count(const char* name) const;
  std::int64_t CountOr(const char* name, std::int64_t otherwise) const { return Has(name) ? Count(name) : otherwise; }

  const nlohmann::json& members() const { return members_; }
  const std::string& origin() const { return origin_; }

 private:
  const nlohmann::json& At(const char* name) const;

  std::string origin_;
  nlohmann::json members_;
};

}  // namespace gemmsmith
