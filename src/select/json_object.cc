#include "select/json_object.h"

#include <fcntl.h>

#include <cerrno>
#include <set>

#include "util/file.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr std::size_t kMaxBytes = 1 << 20;
constexpr std::size_t kMaxDepth = 64;  // of objects in objects; no parser of ours goes deeper
constexpr double kMaxCount = 9007199254740992;

/// What a file says, fit for a terminal: short, and without control characters.
std::string Shown(const nlohmann::json& value) {
  constexpr std::size_t kMaxShown = 60;
  const std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
  return text.size() > kMaxShown ? text.substr(0, kMaxShown) + "..." : text;
}

}  // namespace

std::string ReadSmallFile(const std::string& path) {
  const UniqueFd fd = OpenFile(path, O_RDONLY | O_CLOEXEC);
  if (!fd && errno == ENOENT) throw Fail(Code::kNotFound, "", "there is no file \"{}\"", path);
  if (!fd) throw IoError("open", path, errno);
  std::string text(kMaxBytes + 1, '\0');
  const std::ptrdiff_t size = ReadFully(fd.get(), text.data(), text.size());
  if (size < 0) throw IoError("read", path, errno);
  if (static_cast<std::size_t>(size) > kMaxBytes)
    throw Fail(Code::kInvalidArgument, "", "{}: more than {} bytes", path, kMaxBytes);
  text.resize(static_cast<std::size_t>(size));
  return text;
}

JsonObject::JsonObject(std::string_view text, std::string origin) : origin_(std::move(origin)) {
  std::set<std::string> names;
  const auto watch = [&](int depth, nlohmann::json::parse_event_t event, const nlohmann::json& value) {
    if (static_cast<std::size_t>(depth) > kMaxDepth)
      throw Fail(Code::kInvalidArgument, "", "{}: nested deeper than {}", origin_, kMaxDepth);
    if (event == nlohmann::json::parse_event_t::key && depth == 1 && !names.insert(value.get<std::string>()).second)
      throw Fail(Code::kInvalidArgument, "leave one of them", "{}: {} is there twice", origin_, Shown(value));
    return true;
  };
  try {
    members_ = nlohmann::json::parse(text, watch);
  } catch (const nlohmann::json::exception& error) {
    throw Fail(Code::kInvalidArgument, "", "{} is no JSON: {}", origin_, error.what());
  }
  if (!members_.is_object()) throw Fail(Code::kInvalidArgument, "", "{} is not one JSON object", origin_);
}

bool JsonObject::Has(const char* name) const { return members_.contains(name) && !members_.at(name).is_null(); }

const nlohmann::json& JsonObject::At(const char* name) const {
  if (!Has(name)) throw Fail(Code::kInvalidArgument, "", "{}: {} is missing", origin_, name);
  return members_.at(name);
}

std::string JsonObject::Text(const char* name) const {
  const nlohmann::json& value = At(name);
  if (!value.is_string()) throw Fail(Code::kInvalidArgument, "", "{}: {}={} is no text", origin_, name, Shown(value));
  return value;
}

double JsonObject::Number(const char* name) const {
  const nlohmann::json& value = At(name);
  if (!value.is_number())
    throw Fail(Code::kInvalidArgument, "", "{}: {}={} is not a number", origin_, name, Shown(value));
  return value;
}

std::int64_t JsonObject::Count(const char* name) const {
  const nlohmann::json& value = At(name);
  // 64.0 is as good as 64: other programs write numbers so.
  const double number = value.is_number() ? value.get<double>() : -1;
  if (!(number >= 0 && number <= kMaxCount) || number != static_cast<double>(static_cast<std::int64_t>(number)))
    throw Fail(Code::kInvalidArgument, "", "{}: {}={} is not a whole number from 0 to 2^53", origin_, name,
               Shown(value));
  return static_cast<std::int64_t>(number);
}

}  // namespace gemmsmith
